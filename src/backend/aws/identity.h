/*
 * identity.h - who we are for a server over HTTP, as settings say it: headers of their own, a
 * password, an access token that is fetched, or a signature of AWS.
 *
 *     identity_is_due()    -> identity_step(), as a writer's prepare(): there is a token, or keys
 *     a request            identity_put_secrets(), identity_put_token(), identity_sign()
 *     its answer           identity_judge()
 *
 * Nothing here waits for the network. Threads: one at a time, but for identity_put_secrets().
 */
#ifndef BACKEND_AWS_IDENTITY_H
#define BACKEND_AWS_IDENTITY_H

#include "backend/aws/credentials.h"
#include "backend/common/http_common.h"

/* All is borrowed for as long as the identity lives. */
struct identity_options {
    struct env *env;
    struct budget *memory;
    const char *name; /* whose it is: a role session of AWS is named so */
    const struct http_settings *http;
    const struct basic_auth_settings *basic_auth;
    const struct authorization_settings *authorization;
    const struct oauth2_settings *oauth2;   /* without a token_url, or NULL: none */
    const struct aws_settings *aws;         /* NULL: requests are not signed */
    const char *service;                    /* they are signed for; NULL: "aps" */
    bool is_s3;                             /* how they are signed, and refusals are written */
    const struct http_calls_target *target; /* how STS is reached */
    int64_t timeout_ms;                     /* of a request for a token */
    bool polls; /* identity_step() does not wait for a program: see credentials.h */
};

struct aws_identity;
/* Asks for nothing yet. ERR_NOMEM; errors of aws_region(). */
MUST_CHECK enum err identity_new(const struct identity_options *options,
                                 struct aws_identity **ret_identity, struct why *why);
/* NULL is fine. */
void identity_free(struct aws_identity *identity);
/* Whether requests are signed. */
bool identity_signs(const struct aws_identity *identity);

/* There is no token or there are no keys, or they end soon. */
bool identity_is_due(const struct aws_identity *identity);
/* As a writer's prepare(). */
void identity_step(struct aws_identity *identity, const struct http_call_answer *answer,
                   struct writer_step *ret_step);

/*
 * The configuration's own headers, and what says who we are if it need not be fetched: then
 * *ret_is_known. Reads files. Any thread. Errors of http_put_auth().
 */
MUST_CHECK enum err identity_put_secrets(const struct aws_identity *identity,
                                         struct http_headers *headers, bool *ret_is_known,
                                         struct why *why);
/* The token, where it is not known otherwise who we are. ERR_NOMEM. */
MUST_CHECK enum err identity_put_token(struct aws_identity *identity, bool is_known,
                                       struct http_headers *headers);

/* The texts of a request that is signed, and the number of the token or keys it is sent with. */
struct identity_signature {
    struct aws_request request;
    struct buf address; /* the URL without what comes after ? */
    uint32_t generation;
};
void identity_signature_init(struct identity_signature *signature, struct budget *memory);
void identity_signature_fini(struct identity_signature *signature);
/*
 * Completes a call, which has method, URL, headers and body: it is signed, if that is configured.
 * Its texts live until the next use of `signature`; `answer_bytes_max` and `wanted` stay,
 * of which the first is that of aws_wanted if it is signed.
 * ERR_MISSING: there are no keys; errors of aws_sign().
 */
MUST_CHECK enum err identity_sign(struct aws_identity *identity, struct http_call *call,
                                  struct identity_signature *signature, struct why *why);

/*
 * After http_judge(), of an answer: VERDICT_UNPREPARED if the token or the keys were refused, which
 * identity_step() then fetches anew, unless others have taken their place. What AWS says of a
 * signed request in an error is in the step.
 */
void identity_judge(struct aws_identity *identity, uint32_t generation,
                    const struct http_call_answer *answer, struct writer_step *step);

#endif
