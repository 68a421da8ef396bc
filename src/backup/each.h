/* each.h - calls a function for numbers, on several threads. */
#ifndef BACKUP_EACH_H
#define BACKUP_EACH_H

#include "base/err.h"
#include "sys/env.h"

enum { EACH_THREADS_MAX = 64 };

/*
 * Calls `call` for 0 to count - 1, on up to `threads` threads (at most EACH_THREADS_MAX; the
 * caller's is one of them), and waits. After the first error no further calls begin; that error is
 * returned. If a thread cannot be started, the others do its work.
 */
MUST_CHECK enum err each_of(struct env *env, uint32_t threads, size_t count,
                            enum err (*call)(void *context, size_t i, struct why *why),
                            void *context, struct why *why);

#endif
