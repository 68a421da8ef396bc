/*
 * confine.h - limits what the process can do, and what others can read of it.
 *
 * Threads: called by the main thread, before the server starts.
 */
#ifndef APP_CONFINE_H
#define APP_CONFINE_H

#include "base/err.h"

/* Turns off core dumps, and tracing by processes that do not run as root. Programs that the process
 * runs later can be traced, and dump no core either. */
void confine_memory(void);

/*
 * Lets all threads, and all programs that the process runs later, make only the system calls that
 * confine.c lists. Others fail with ENOSYS, and the kernel audits them. Such programs cannot gain
 * privileges by setuid bits. There is no way back: a second call fails.
 *
 * ERR_NOMEM; ERR_UNSUPPORTED: the kernel has no filters, or refuses them. Calls are not limited
 * then.
 */
MUST_CHECK enum err confine_calls(struct why *why);

#endif
