/*
 * credentials.h - who a destination is for AWS: its keys, fetched, refreshed before they
 * expire, fetched again when they are refused. Sources and their order: key_sources.h.
 *
 * Fetching goes step by step and never waits for the network, with one exception: unless `polls`, a
 * profile's credential_process is run within a step, which takes up to AWS_PROCESS_LIMIT_MS. It
 * holds up its own destination's thread only.
 *
 * Threads: one; that of the destination.
 */
#ifndef BACKEND_AWS_CREDENTIALS_H
#define BACKEND_AWS_CREDENTIALS_H

#include "backend/aws/aws.h"

enum {
    AWS_REFRESH_BEFORE_S = 300, /* before keys expire */
    AWS_PROCESS_LIMIT_MS = 30000,
};

struct aws_credentials;

struct aws_credentials_options {
    struct aws_setup setup;                 /* copied; what it points to is borrowed */
    const struct http_calls_target *target; /* how STS is reached; borrowed */
    struct aws_clock *clock;                /* of the destination; borrowed */
    const char *name;                       /* the destination's; its role session is named so */
    bool polls; /* a program is not waited for: steps may end in WRITER_WAIT */
};

/* Asks for nothing yet. ERR_NOMEM. */
MUST_CHECK enum err aws_credentials_new(const struct aws_credentials_options *options,
                                        struct aws_credentials **ret_credentials);
/* Overwrites the keys. No call of a step may be under way. */
void aws_credentials_free(struct aws_credentials *credentials);

/* Whether step() has something to do: no keys yet, refused ones, or such that expire soon. */
bool aws_credentials_due(const struct aws_credentials *credentials);

/*
 * Fetches keys, step by step as a writer's prepare(): `answer` NULL begins anew, WRITER_SEND is a
 * call whose texts live until the next step, WRITER_DONE the end. WRITER_WAIT: a program runs, and
 * the next step is to come in a moment, with `answer` NULL. VERDICT_DELIVERED: there are
 * keys, and `answer` says whose. If keys that still work cannot be refreshed it is DELIVERED too
 * and says so, and they become due a minute later. VERDICT_BLOCKED: no source has credentials, a
 * source makes no sense, a role may not be assumed; VERDICT_RETRY, VERDICT_THROTTLED: later.
 * `answer` names the source that failed, and why.
 */
void aws_credentials_step(struct aws_credentials *credentials,
                          const struct http_call_answer *answer, struct writer_step *ret_step);

/* The keys to sign with; NULL: there are none. A view until the next step. */
const struct sigv4_credentials *aws_credentials_keys(const struct aws_credentials *credentials);

/* The number of these keys: a call remembers with which it was signed. */
uint32_t aws_credentials_generation(const struct aws_credentials *credentials);

/*
 * A call signed with keys of that number was refused for them: they are due, unless others have
 * taken their place. If the same come again, step() says so once with a verdict that makes the
 * relay wait (VERDICT_BLOCKED where only a person can change them), and then gives them out.
 */
void aws_credentials_refused(struct aws_credentials *credentials, uint32_t generation);

#endif
