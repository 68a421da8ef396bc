/*
 * signer.h - who a source is for the other system: headers, passwords, tokens, signatures. Private
 * to backend/fetch.
 *
 * Threads: all of a query's that ask the source. Tokens and keys are fetched by the first that
 * finds them due, while the others wait.
 */
#ifndef BACKEND_FETCH_SIGNER_H
#define BACKEND_FETCH_SIGNER_H

#include "backend/aws/identity.h"
#include "backend/fetch/fetch.h"

struct signer;
/* `target` is borrowed. Errors of fetcher_new(). */
MUST_CHECK enum err signer_new(const struct reader_options *options,
                               const struct fetch_signing *signing,
                               const struct http_calls_target *target, struct signer **ret_signer,
                               struct why *why);
void signer_free(struct signer *signer);

/* The texts of a request that is sent. */
struct signed_request {
    struct http_headers headers;
    struct identity_signature signature;
};
void signed_request_init(struct signed_request *sent, struct budget *budget);
void signed_request_fini(struct signed_request *sent);

/*
 * Makes a call, whose texts live until the next one of `sent`. It may have to fetch a token first,
 * as `patience` allows. ERR_IO: who we are is not to be had, or refused; ERR_AGAIN: not now.
 */
MUST_CHECK enum err signer_make(struct signer *signer, const struct fetch_request *request,
                                const struct http_patience *patience, struct signed_request *sent,
                                struct http_call *ret_call, struct why *why);
/*
 * As a writer's judge(). VERDICT_UNPREPARED: the next signer_make() will fetch a token or keys, if
 * no other thread has. Errors of `patience`.
 */
MUST_CHECK enum err signer_judge(struct signer *signer, const struct signed_request *sent,
                                 const struct http_patience *patience,
                                 const struct http_call_answer *answer,
                                 struct writer_step *ret_step, struct why *why);

#endif
