/*
 * dispatch.h - answers an invocation: its event becomes a request of the server in this process,
 * whose answer goes to the runtime API.
 *
 * Every event has an answer with a status, also what is not a request, so that no invocation fails.
 * The exception is a stream that breaks off: its status is sent, and the runtime API gets the
 * error.
 *
 * Threads: a dispatcher is shared by the parallel loops.
 */
#ifndef APP_LAMBDA_DISPATCH_H
#define APP_LAMBDA_DISPATCH_H

#include "app/lambda/runtime.h"
#include "net/http_pull.h"

enum {
    DISPATCH_SECONDS_MAX = 25, /* gateways wait for 29 to 30 s */
    /* The time of a write, for wal.ack-timeout: the server answers 2 s before its end, which is a
     * second before the dispatcher gives up. */
    DISPATCH_ACK_SECONDS = DISPATCH_SECONDS_MAX + 1,
};

struct dispatcher {
    struct env *env;
    struct http_puller *puller;
    struct http_calls_target server; /* a Unix socket */
    struct budget *budget;
    bool streams;        /* answers of function URLs are streamed */
    uint64_t gateway_ms; /* after which a gateway answers for the function; 0: those of AWS */
};

/* Answers the invocation. `read` is the result of reading its event. ERR_INPUT: the answer was
 * refused, which is logged; other errors: the runtime API does not work. */
MUST_CHECK enum err dispatch(struct dispatcher *dispatcher, struct runtime *runtime,
                             const struct invocation *invocation, enum err read, struct bytes event,
                             struct why *why);

#endif
