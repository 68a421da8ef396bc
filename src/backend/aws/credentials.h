/*
 * credentials.h - a destination's keys for AWS: fetches them, refreshes them before they expire,
 * and fetches them again if they are refused. Sources and their order: keys.h. And the identity of
 * whoever sends requests, by any of the settings there are: keys, tokens, passwords, headers.
 *
 * Steps never wait for the network. But unless `polls`, a profile's credential_process runs within
 * a step, which takes up to AWS_PROCESS_LIMIT_MS and delays only the thread of its destination.
 *
 * Threads: one, that of the destination.
 */
#ifndef BACKEND_AWS_CREDENTIALS_H
#define BACKEND_AWS_CREDENTIALS_H

#include "backend/aws/aws.h"
#include "backend/common/http_common.h"

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

/* --- identities ------------------------------------------------------------------------------- */

/*
 * An identity authenticates requests to an HTTP server as configured: with headers, a password, an
 * access token that is fetched, or a signature of AWS.
 *
 *     identity_is_due()    -> identity_step(), as a writer's prepare(): fetches a token or keys
 *     a request            identity_put_secrets(), identity_put_token(), identity_sign()
 *     its answer           identity_judge()
 *
 * Nothing here waits for the network. Threads: one at a time, except for identity_put_secrets().
 */

/* Everything is borrowed as long as the identity lives. */
struct identity_options {
    struct env *env;
    struct budget *memory;
    const char *name; /* the owner's; also names role sessions of AWS */
    const struct http_settings *http;
    const struct basic_auth_settings *basic_auth;
    const struct authorization_settings *authorization;
    const struct oauth2_settings *oauth2;   /* NULL, or without a token_url: not used */
    const struct aws_settings *aws;         /* NULL: requests are not signed */
    const char *service;                    /* for the signature; NULL: "aps" */
    bool is_s3;                             /* requests are signed, and errors parsed, as for S3 */
    const struct http_calls_target *target; /* for calls to STS */
    int64_t timeout_ms;                     /* for a request for a token */
    bool polls; /* identity_step() does not wait for programs: see above */
};

struct aws_identity;
/* Sends no request. ERR_NOMEM; errors of aws_region(). */
MUST_CHECK enum err identity_new(const struct identity_options *options,
                                 struct aws_identity **ret_identity, struct why *why);
/* NULL is fine. */
void identity_free(struct aws_identity *identity);
/* True if requests are signed. */
bool identity_signs(const struct aws_identity *identity);

/* True if the token or the keys are missing, or expire soon. */
bool identity_is_due(const struct aws_identity *identity);
/* Runs as a writer's prepare(). */
void identity_step(struct aws_identity *identity, const struct http_call_answer *answer,
                   struct writer_step *ret_step);

/* Puts the configured headers, and credentials that need not be fetched: then *ret_is_known.
 * Reads files. Any thread. Errors of http_put_auth(). */
MUST_CHECK enum err identity_put_secrets(const struct aws_identity *identity,
                                         struct http_headers *headers, bool *ret_is_known,
                                         struct why *why);
/* Puts the token, unless `is_known`. ERR_NOMEM. */
MUST_CHECK enum err identity_put_token(struct aws_identity *identity, bool is_known,
                                       struct http_headers *headers);

/* The texts of a signed request, and the number of its token or keys. */
struct identity_signature {
    struct aws_request request;
    struct buf address; /* the URL up to ? */
    uint32_t generation;
};
void identity_signature_init(struct identity_signature *signature, struct budget *memory);
void identity_signature_fini(struct identity_signature *signature);
/*
 * Completes a call, which has method, URL, headers and body: signs it, if that is configured. Its
 * texts live until the next use of `signature`; `answer_bytes_max` and `wanted` are kept, and
 * `wanted` must begin with aws_wanted if the call is signed. ERR_MISSING: there are no keys; errors
 * of aws_sign().
 */
MUST_CHECK enum err identity_sign(struct aws_identity *identity, struct http_call *call,
                                  struct identity_signature *signature, struct why *why);

/*
 * Called after http_judge(): VERDICT_UNPREPARED if the token or the keys were refused;
 * identity_step() fetches them again unless they were replaced. The step includes the text of AWS
 * about a signed request.
 */
void identity_judge(struct aws_identity *identity, uint32_t generation,
                    const struct http_call_answer *answer, struct writer_step *step);

#endif
