/* failing_memory.c - see failing_memory.h. */
#include "lib/failing_memory.h"

void fail_each_allocation(enum err (*act)(void))
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
