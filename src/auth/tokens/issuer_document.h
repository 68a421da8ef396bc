/*
 * issuer_document.h - the document in which an issuer of OpenID Connect describes itself (OpenID
 * Connect Discovery 1.0, sections 3 and 4): its address, and the address of its keys in it. Pure.
 */
#ifndef AUTH_TOKENS_ISSUER_DOCUMENT_H
#define AUTH_TOKENS_ISSUER_DOCUMENT_H

#include "base/mem.h"

enum {
    ISSUER_DOCUMENT_BYTES_MAX = 64 * 1024,
    ISSUER_URL_BYTES = 1100, /* size of a buffer for a URL, with the NUL */
};

/* Writes the URL of an issuer's document: the issuer, without a slash at its end, and the
 * well-known path. `to` has ISSUER_URL_BYTES. ERR_INPUT: the issuer has a query; ERR_LIMIT: it is
 * too long. */
MUST_CHECK enum err issuer_document_url(const char *issuer, char *to, struct why *why);

/*
 * Writes the URL of the keys, `jwks_uri`, into `ret_url`, which has ISSUER_URL_BYTES. It may have
 * another host than the issuer, but it is https unless the issuer is configured with http.
 *
 * ERR_INPUT   it is not such a document, its `issuer` is not equal to `issuer`, or its `jwks_uri`
 * is missing or not accepted; `ret_url` is undefined. ERR_LIMIT   it is longer than
 * ISSUER_DOCUMENT_BYTES_MAX, or has too many values.
 */
MUST_CHECK enum err issuer_document_read(struct budget *budget, struct bytes document,
                                         const char *issuer, char *ret_url, struct why *why);

#endif
