/*
 * sigv4.h - signs requests to AWS: Signature Version 4, header form. Its parts also serve to verify
 * requests that others signed (auth/signed.h).
 * Source: AWS General Reference, "Signing AWS API requests". Pure: the caller gives the time.
 */
#ifndef NET_SIGV4_H
#define NET_SIGV4_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum {
    SIGV4_HASH_BYTES = 65, /* hex and NUL */
    SIGV4_DATE_BYTES = 17, /* 20150830T123600Z and NUL */
    SIGV4_HEADERS_MAX = 64,
};

struct sigv4_credentials {
    struct bytes access_key;
    struct bytes secret_key;
    struct bytes session_token; /* may be empty */
};

struct sigv4_header {
    struct bytes name; /* any case */
    struct bytes value;
};

struct sigv4_request {
    struct bytes method; /* "POST" */
    struct bytes path;   /* as it is sent, percent-encoded; empty: "/" */
    struct bytes query;  /* as it is sent, without "?" */
    /* All headers to sign, including "host", but X-Amz-Date, X-Amz-Security-Token and, if `is_s3`,
     * X-Amz-Content-Sha256, which sigv4_sign() makes. */
    const struct sigv4_header *headers;
    uint32_t header_count;
    struct bytes region;
    struct bytes service;
    int64_t time_s;                      /* Unix */
    char payload_hash[SIGV4_HASH_BYTES]; /* sigv4_hash() of the body, or UNSIGNED-PAYLOAD */
    bool is_s3;                          /* the path is taken as it is sent */
};

/* Writes the SHA-256 in hex, SIGV4_HASH_BYTES. */
void sigv4_hash(struct bytes body, char *ret_hash);

/*
 * Appends the headers that a signed request has beyond `headers`, each "Name: value\n":
 * X-Amz-Date, X-Amz-Security-Token if there is one, X-Amz-Content-Sha256 if `is_s3`, Authorization.
 * ERR_LIMIT: more than SIGV4_HEADERS_MAX headers, or more than 100 parameters. ERR_INPUT: a query
 * with an invalid escape.
 * ERR_NOMEM.
 */
MUST_CHECK enum err sigv4_sign(const struct sigv4_request *request,
                               const struct sigv4_credentials *credentials, struct buf *to);

/* Appends the canonical request that is signed, for tests and to explain a refusal. Same errors. */
MUST_CHECK enum err sigv4_canonical(const struct sigv4_request *request,
                                    const struct sigv4_credentials *credentials, struct buf *to);

/* --- requests that others signed -------------------------------------------------------------- */

/* Writes the signature that the request has if this secret signed it, SIGV4_HASH_BYTES. `headers`
 * are all that are signed. `query_as_sent`: the query is signed without decoding, only sorted, as
 * some signers do. Same errors as sigv4_sign(). */
MUST_CHECK enum err sigv4_expect(const struct sigv4_request *request, struct bytes secret_key,
                                 bool query_as_sent, struct budget *budget, char *ret_signature);

#endif
