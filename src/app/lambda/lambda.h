/*
 * lambda.h - the parts of `firekeep lambda`: the configuration from the environment, the runtime
 * API, and what becomes of an invocation: an event, a request of the server in this process, an
 * answer.
 */
#ifndef APP_LAMBDA_LAMBDA_H
#define APP_LAMBDA_LAMBDA_H

#include <stdatomic.h>

#include "base/buf.h"
#include "net/http_client.h"
#include "net/http_pull.h"

/* --- function_settings.c ---------------------------------------------------------------------- */

/* The variables have the names that AWS' connector for Timestream reads, and some more. */

/* Returns the value of a variable, or NULL, as getenv() does. */
typedef char *function_variable(const char *name);

/* Writes the path of a file that the function may write: in $TMPDIR, or in /tmp, which is the only
 * directory that Lambda has for that. ERR_INPUT: it is too long for a socket. */
enum { FUNCTION_PATH_BYTES = 108 };
MUST_CHECK enum err function_path(function_variable *variable, const char *name,
                                  char ret_path[static FUNCTION_PATH_BYTES], struct why *why);
#define FUNCTION_SOCKET  "firekeep.sock"
#define FUNCTION_STORAGE "firekeep"
#define FUNCTION_ARCHIVE "firekeep-archive"

/* Appends the configuration as YAML. ERR_INPUT: a variable is missing or invalid; the sentence
 * names it. ERR_NOMEM, ERR_LIMIT: it does not fit. */
MUST_CHECK enum err function_settings_put(function_variable *variable, struct buf *to,
                                          struct why *why);

/* Returns the memory for the server, in bytes: half of the function's, at least 64 MiB. */
uint64_t function_memory_bytes(function_variable *variable);

/* Returns how many invocations run at a time, 1 to 64. */
uint32_t function_concurrency(function_variable *variable);

/* Sets *ret_ms to the time in ms after which the gateway answers for the function, or to 0 if none
 * is set. ERR_INPUT: the variable has no number of ms. */
MUST_CHECK enum err function_gateway_ms(function_variable *variable, uint64_t *ret_ms,
                                        struct why *why);

/* Sets *ret_streams to true if answers of function URLs are streamed. ERR_INPUT: the variable has
 * neither true nor false. */
MUST_CHECK enum err function_streams(function_variable *variable, bool *ret_streams,
                                     struct why *why);

/* --- lambda.c: a client of the runtime API ---------------------------------------------------- */

/* Lambda's runtime API hands out invocations one at a time and takes their answers. Threads: a
 * runtime belongs to one thread at a time; each parallel loop has its own. */
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

/* --- event.c ---------------------------------------------------------------------------------- */

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
 * Decodes an event, in which a gateway has packed a request of HTTP: HTTP APIs (payload 2.0 or
 * 1.0), REST APIs (payload 1.0) and function URLs (payload 2.0). The stage is cut off the path; a
 * path that is no route for writes or reads, nor below /api/ or /-/, becomes /write or /read if the
 * request has the header of that protocol. Headers of the connection are left out, and the
 * signature of a request that the gateway verified: it has the header of origin.h instead.
 * caller_begin() was called.
 *
 * ERR_INPUT: it is not an event of these gateways, or not a request. ERR_LIMIT: the body or the
 * number of headers is above the limit; the sentence is for the sender. ERR_NOMEM. Then `ret` has
 * only `is_url`.
 */
MUST_CHECK enum err event_read(struct bytes text, struct budget *budget, struct arena *arena,
                               struct buf *body, struct event *ret, struct why *why);

/* --- dispatch.c ------------------------------------------------------------------------------- */

enum { ANSWER_BYTES_MAX = 6 * 1024 * 1024 }; /* Lambda's limit for an answer that is not a stream */

#define ANSWER_STREAM_TYPE "application/vnd.awslambda.http-integration-response"

struct answer_header {
    const char *name;
    const char *value; /* "": the answer does not have it */
};

struct gateway_answer {
    unsigned status;
    const struct answer_header *headers; /* ends at a NULL name; may be NULL */
    struct bytes body;
};

/* Returns a plain answer with a text; the body borrows the text. */
struct gateway_answer answer_of_text(unsigned status, const char *text);

/* Appends the answer as JSON, which both payloads accept. The body is base64 if it has an encoding
 * or is not text. ERR_LIMIT: it has more than ANSWER_BYTES_MAX bytes. ERR_NOMEM. `to` is then as
 * before. */
MUST_CHECK enum err answer_put(const struct gateway_answer *answer, struct buf *to);

/* Appends what precedes the body of a stream. Without memory buf_error(to) says so. */
void answer_put_prelude(const struct gateway_answer *answer, struct buf *to);

enum {
    DISPATCH_SECONDS_MAX = 25, /* gateways wait for 29 to 30 s */
    /* The time of a write, for wal.ack-timeout: the server answers 2 s before its end, which is a
     * second before the dispatcher gives up. */
    DISPATCH_ACK_SECONDS = DISPATCH_SECONDS_MAX + 1,
};

/* Shared by the parallel loops. */
struct dispatcher {
    struct env *env;
    struct http_puller *puller;
    struct http_calls_target server; /* a Unix socket */
    struct budget *budget;
    bool streams;        /* answers of function URLs are streamed */
    uint64_t gateway_ms; /* after which a gateway answers for the function; 0: those of AWS */
};

/* Answers the invocation. Every event has an answer with a status, also what is not a request, so
 * that no invocation fails, except by a stream that breaks off: its status is sent, and the runtime
 * API gets the error. `read` is the result of reading its event. ERR_INPUT: the answer was
 * refused, which is logged; other errors: the runtime API does not work. */
MUST_CHECK enum err dispatch(struct dispatcher *dispatcher, struct runtime *runtime,
                             const struct invocation *invocation, enum err read, struct bytes event,
                             struct why *why);

#endif
