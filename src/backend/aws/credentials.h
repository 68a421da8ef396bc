/*
 * credentials.h - a destination's keys for AWS: fetches them, refreshes them before they expire,
 * and fetches them again if they are refused. Sources and their order: key_sources.h.
 *
 * Steps never wait for the network. But unless `polls`, a profile's credential_process runs within
 * a step, which takes up to AWS_PROCESS_LIMIT_MS and delays only the thread of its destination.
 *
 * Threads: one, that of the destination.
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
    struct aws_setup setup;                 /* copied; the objects it points to are borrowed */
    const struct http_calls_target *target; /* for calls to STS; borrowed */
    struct aws_clock *clock;                /* the destination's; borrowed */
    const char *name;                       /* the destination's; also names its role sessions */
    bool polls; /* programs run in the background: steps may return WRITER_WAIT */
};

/* Sends no request. ERR_NOMEM. */
MUST_CHECK enum err aws_credentials_new(const struct aws_credentials_options *options,
                                        struct aws_credentials **ret_credentials);
/* Overwrites the keys. No call of a step may be pending. */
void aws_credentials_free(struct aws_credentials *credentials);

/* True if aws_credentials_step() has to be called: there are no keys, or they were refused, or
 * expire soon. */
bool aws_credentials_due(const struct aws_credentials *credentials);

/*
 * Fetches keys, step by step as a writer's prepare(): `answer` NULL begins, WRITER_SEND is a call
 * whose texts live until the next step, WRITER_DONE the end. WRITER_WAIT: a program runs, and the
 * next step should follow soon, with `answer` NULL. VERDICT_DELIVERED: keys are available, and the
 * step's `answer` names their source. If valid keys could not be refreshed, it is also DELIVERED,
 * the step's `answer` says so, and they become due a minute later. VERDICT_BLOCKED: no source has
 * credentials, a source is invalid, a role may not be assumed; VERDICT_RETRY, VERDICT_THROTTLED:
 * later. The step's `answer` has the source and its error.
 */
void aws_credentials_step(struct aws_credentials *credentials,
                          const struct http_call_answer *answer, struct writer_step *ret_step);

/* Returns the keys to sign with, or NULL. A view until the next step. */
const struct sigv4_credentials *aws_credentials_keys(const struct aws_credentials *credentials);

/* Returns the number of these keys, which identifies those that signed a call. */
uint32_t aws_credentials_generation(const struct aws_credentials *credentials);

/*
 * Reports that a call signed with keys of that number was refused: they become due, unless they
 * were replaced. If the source returns the same keys, step() reports that once with a verdict that
 * makes the relay wait (VERDICT_BLOCKED if only a person can change them), and then uses them.
 */
void aws_credentials_refused(struct aws_credentials *credentials, uint32_t generation);

#endif
