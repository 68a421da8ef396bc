/*
 * caller.h - the caller of a request whom a gateway in front of this process has verified, in a
 * header that only this process can write: its value begins with a secret.
 *
 * Threads: any, after caller_begin().
 */
#ifndef AUTH_CALLER_H
#define AUTH_CALLER_H

#include "base/buf.h"
#include "sys/env.h"

#define CALLER_HEADER "X-Firekeep-Caller"

/* Makes the secret of this process, once, before its server starts. Without it no header counts.
 * Errors of env_random(). */
MUST_CHECK enum err caller_begin(struct env *env);

/* Appends the value of the header. caller_begin() was called. */
void caller_put(struct buf *to, const char *caller);

/* Returns the caller in a value of the header, a view of it. NULL: `value` is NULL, or another
 * process wrote it. */
const char *caller_of(const char *value);

#endif
