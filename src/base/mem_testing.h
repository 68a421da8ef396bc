/* mem_testing.h - fails each allocation in turn. For tests. */
#ifndef BASE_MEM_TESTING_H
#define BASE_MEM_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

/* Calls `act` while each allocation fails in turn, which is ERR_NOMEM, until none does. */
static inline void fail_each_allocation(enum err (*act)(void))
{
    bool has_fired = true;
    for (uint64_t nth = 1; has_fired; nth++) {
        mem_fail_nth(nth, false);
        enum err e = act();
        has_fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, has_fired ? ERR_NOMEM : OK);
    }
}

#endif
