/*
 * runtime.h - a client of Lambda's runtime API, which hands out invocations one at a time and takes
 * their answers.
 *
 * Threads: a runtime belongs to one thread at a time; each parallel loop has its own.
 */
#ifndef APP_LAMBDA_RUNTIME_H
#define APP_LAMBDA_RUNTIME_H

#include <stdatomic.h>

#include "net/http_client.h"

struct runtime;

enum { INVOCATION_ID_BYTES = 128 };

struct invocation {
    char id[INVOCATION_ID_BYTES];
    int64_t deadline_ms; /* Unix time; Lambda ends the invocation then */
};

/* `api` is "host:port", borrowed as `stop`, which ends waiting. Errors of http_client_new(). */
MUST_CHECK enum err runtime_new(struct env *env, const char *api, const atomic_bool *stop,
                                struct runtime **ret_runtime, struct why *why);
void runtime_free(struct runtime *runtime);

/* Waits for the next invocation, without limit, and appends its event. ERR_LIMIT: the event does
 * not fit, the invocation is valid. ERR_CANCELED: stopped. Other errors: the API does not work. */
MUST_CHECK enum err runtime_next(struct runtime *runtime, struct buf *event,
                                 struct invocation *ret_invocation, struct why *why);

/* Sends the answer. ERR_INPUT: it was refused. */
MUST_CHECK enum err runtime_answer(struct runtime *runtime, const struct invocation *invocation,
                                   struct bytes answer, struct why *why);

/* Sends an answer as a stream whose pieces begin with a prelude. An error that `next` of the pieces
 * returns breaks it off; instead they can end and have trailers with the error. */
MUST_CHECK enum err runtime_stream(struct runtime *runtime, const struct invocation *invocation,
                                   const struct http_call_pieces *pieces, struct why *why);

/* Reports that the function cannot start. */
MUST_CHECK enum err runtime_fail_start(struct runtime *runtime, const char *message,
                                       struct why *why);

#endif
