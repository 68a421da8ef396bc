/*
 * signer.h - authenticates the requests of a source: headers, passwords, tokens, signatures.
 * Private to backend/fetch.
 *
 * Threads: any. The first thread that finds tokens or keys due fetches them, while others wait.
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

/* The texts of a request while it is sent. */
struct signed_request {
    struct http_headers headers;
    struct identity_signature signature;
};
void signed_request_init(struct signed_request *sent, struct budget *budget);
void signed_request_fini(struct signed_request *sent);

/*
 * Makes a call, whose texts live until the next call made with `sent`. Fetches a token first if one
 * is due, as `patience` allows. ERR_IO: credentials are missing or refused; ERR_AGAIN: they cannot
 * be fetched now.
 */
MUST_CHECK enum err signer_make(struct signer *signer, const struct fetch_request *request,
                                const struct http_patience *patience, struct signed_request *sent,
                                struct http_call *ret_call, struct why *why);
/*
 * Judges a response as judge() of a writer does. VERDICT_UNPREPARED: the next signer_make() fetches
 * a token or keys, unless another thread has. Errors of `patience`.
 */
MUST_CHECK enum err signer_judge(struct signer *signer, const struct signed_request *sent,
                                 const struct http_patience *patience,
                                 const struct http_call_answer *answer,
                                 struct writer_step *ret_step, struct why *why);

#endif
