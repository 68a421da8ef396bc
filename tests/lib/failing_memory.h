/* failing_memory.h - fails each allocation in turn. For tests. */
#ifndef LIB_FAILING_MEMORY_H
#define LIB_FAILING_MEMORY_H

#include "base/mem.h"
#include "lib/test.h"

/*
 * Calls `act` again and again, with its first, second, ... allocation failing, until none fails. It
 * must return ERR_NOMEM, and OK at last.
 */
void fail_each_allocation(enum err (*act)(void));

#endif
