/*
 * identity.h - authenticates requests to an HTTP server as configured: with headers, a password, an
 * access token that is fetched, or a signature of AWS.
 *
 *     identity_is_due()    -> identity_step(), as a writer's prepare(): fetches a token or keys
 *     a request            identity_put_secrets(), identity_put_token(), identity_sign()
 *     its answer           identity_judge()
 *
 * Nothing here waits for the network. Threads: one at a time, except for identity_put_secrets().
 */
#ifndef BACKEND_AWS_IDENTITY_H
#define BACKEND_AWS_IDENTITY_H

#include "backend/aws/credentials.h"
#include "backend/common/http_common.h"

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
    bool polls; /* identity_step() does not wait for programs: see credentials.h */
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
