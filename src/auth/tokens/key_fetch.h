/*
 * key_fetch.h - the thread that fetches keys of tokens over HTTP when they are due (issuers.h). All
 * fetches run at once, each with deadlines: an issuer that hangs delays no other.
 *
 * An issuer that is discovered takes two requests, for its document and for the keys that this
 * names. Redirects are not followed, answers larger than the limits of issuer_document.h and jwks.h
 * are refused, and certificates are verified with the ca_file, or else with the CAs of the system.
 */
#ifndef AUTH_TOKENS_KEY_FETCH_H
#define AUTH_TOKENS_KEY_FETCH_H

#include "auth/tokens/issuers.h"

#define KEY_FETCH_CONNECT_NS (5 * NS_PER_S)
#define KEY_FETCH_NS         (10 * NS_PER_S) /* limits a whole request */

struct key_fetcher;

/* `issuers` outlives it. ERR_NOMEM, ERR_AGAIN (no thread). */
MUST_CHECK enum err key_fetcher_start(struct env *env, struct budget *memory,
                                      struct issuers *issuers, struct key_fetcher **ret_fetcher,
                                      struct why *why);
/* Breaks off what is being fetched, and ends the thread; NULL is fine. */
void key_fetcher_stop(struct key_fetcher *fetcher);

#endif
