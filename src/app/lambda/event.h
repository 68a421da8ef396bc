/*
 * event.h - decodes the event of an invocation, in which a gateway has packed a request of HTTP:
 * HTTP APIs (payload 2.0 or 1.0), REST APIs (payload 1.0) and function URLs (payload 2.0).
 */
#ifndef APP_LAMBDA_EVENT_H
#define APP_LAMBDA_EVENT_H

#include "base/buf.h"

enum {
    EVENT_BYTES_MAX = 6 * 1024 * 1024 + 64 * 1024, /* Lambda's limit is 6 MB */
    EVENT_BODY_BYTES_MAX = 4608 * 1024,            /* what 6 MiB of base64 can hold: 4.5 MiB */
    EVENT_HEADERS_MAX = 128,
};

/* Texts are in the arena of event_read(). */
struct event {
    bool is_url; /* of a function URL, whose answer may be streamed */
    const char *method;
    const char *target;         /* path and query of the request for the server */
    const char *const *headers; /* "Name: value"; NULL after the last */
    struct bytes body;          /* a view of `body` of event_read() */
    const char *caller;         /* ARN of the caller whom the gateway verified (IAM); or NULL */
};

/*
 * Decodes an event. The stage is cut off the path; a path that is no route for writes or reads, nor
 * below /api/ or /-/, becomes /write or /read if the request has the header of that protocol.
 * Headers of the connection are left out, and the signature of a request that the gateway verified:
 * it has the CALLER_HEADER of auth/origin.h instead. caller_begin() was called.
 *
 * ERR_INPUT: it is not an event of these gateways, or not a request. ERR_LIMIT: the body or the
 * number of headers is above the limit; the sentence is for the sender. ERR_NOMEM. Then `ret` has
 * only `is_url`.
 */
MUST_CHECK enum err event_read(struct bytes text, struct budget *budget, struct arena *arena,
                               struct buf *body, struct event *ret, struct why *why);

#endif
