/* failing_memory.h - fails each allocation in turn. For tests. */
#ifndef LIB_FAILING_MEMORY_H
#define LIB_FAILING_MEMORY_H

#include "lib/test.h"

#include "base/mem.h"

/* Calls `act` while each allocation fails in turn, which is ERR_NOMEM, until none does. */
void fail_each_allocation(enum err (*act)(void));

#endif
