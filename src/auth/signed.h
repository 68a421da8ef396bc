/*
 * signed.h - signs in requests of the HTTP server with AWS Signature Version 4, for the gate:
 * connects the check of a signature with the request, the users and the clock. It keeps nothing
 * between the head of a request and its body: a request is judged again, by the users in force
 * then.
 */
#ifndef AUTH_SIGNED_H
#define AUTH_SIGNED_H

#include "auth/users.h"
#include "base/buf.h"
#include "base/text/texts.h"
#include "net/http_server.h"
#include "net/sigv4.h"

/*
 * Verifies requests that arrive with AWS Signature Version 4, in their
 * Authorization header or presigned in their query. net/sigv4.h signs requests. Pure: the caller
 * gives the time and the hash of the body.
 *
 * sigv4_claim_read() reads the claim when the head has arrived, so that an unknown key is refused
 * before the body. sigv4_judge() judges it with the secret of that key: before the body and, if it
 * returns SIGV4_NEEDS_BODY, once more after it. auth/README.md lists the forms that are accepted.
 *
 * Threads: none of its own; a claim belongs to one thread at a time.
 */

enum {
    SIGV4_SKEW_S = 300,    /* between the signer's clock and ours */
    SIGV4_EXPIRES_S = 900, /* longest life of a presigned URL */
};

enum sigv4_verdict {
    SIGV4_ABSENT,     /* there is no such signature: other ways to sign in decide */
    SIGV4_MALFORMED,  /* there is one that cannot be read, or in two ways */
    SIGV4_CLAIMED,    /* the claim was read: look for the key */
    SIGV4_REFUSED,    /* `why` is for logs; the client must not learn it */
    SIGV4_NEEDS_BODY, /* all is good that can be judged without the hash of the body */
    SIGV4_GOOD,
    SIGV4_NO_MEMORY, /* not judged */
};

/* A request as it arrived, without control characters (tabs within headers excepted), as the HTTP
 * server lets it pass. All views live as long as the claim. */
struct sigv4_arrival {
    struct bytes method; /* "GET" */
    struct bytes target; /* of the request line, as it was sent: "/path?query" */
    /* Gives the header line at that index; false after the last. */
    bool (*header_at)(const void *context, uint32_t index, struct sigv4_header *ret_header);
    const void *context;
    bool is_tls;
};

/* The key's secrets, and settings. */
struct sigv4_terms {
    struct bytes secret_key;
    struct bytes session_token; /* empty: the key has none, and a request with one is refused */

    struct text_list services; /* in addition to aps and execute-api */
    const char *region;        /* NULL: any */
    struct text_list hosts;    /* one of them is the Host header, in any case; empty: any */
    bool unsigned_payload;     /* UNSIGNED-PAYLOAD is accepted over TLS */
    bool unsigned_tenant;      /* X-Scope-OrgID, which the caller ignores then, may be unsigned */
};

struct sigv4_claim {
    struct bytes key_id; /* a view of the request or the claim */
    bool is_presigned;

    /* Private. Absent texts have `at` NULL. */
    const struct sigv4_arrival *request;
    struct bytes path;
    struct bytes query; /* without X-Amz-Signature */
    struct bytes day, region, service;
    struct bytes signed_names; /* "host;x-amz-date" */
    struct bytes signature;
    const char *date_name; /* the header with the time; NULL: X-Amz-Date of the query */
    int64_t time_s;
    int64_t expires_s;
    struct bytes host, content_hash, session_token, tenant;
    bool is_verified; /* the signature is good; the body may still differ from content_hash */
    struct buf texts;
};

/* Reads the claim of a request; sigv4_claim_fini() releases it after every verdict. Returns
 * SIGV4_ABSENT, SIGV4_MALFORMED with the reason, SIGV4_NO_MEMORY, or SIGV4_CLAIMED: `key_id` is the
 * key that the client claims to have. `request` outlives the claim. */
enum sigv4_verdict sigv4_claim_read(const struct sigv4_arrival *request, struct budget *budget,
                                    struct sigv4_claim *ret_claim, struct why *why);
void sigv4_claim_fini(struct sigv4_claim *claim);

/* Judges a claim that was read. `now_s` (Unix) is when the head arrived. `body_hash` is
 * sigv4_hash() of the body as it was sent, or NULL if the body has not arrived. Then the verdict is
 * SIGV4_NEEDS_BODY unless the claim is refused, or its payload is unsigned: the signature itself is
 * verified by then if the request has X-Amz-Content-Sha256, and later if it does not. Also returns
 * SIGV4_REFUSED, SIGV4_GOOD (not without a hash, as above) and SIGV4_NO_MEMORY. */
enum sigv4_verdict sigv4_judge(struct sigv4_claim *claim, const struct sigv4_terms *terms,
                               int64_t now_s, const char *body_hash, struct why *why);

enum signed_stage { SIGNED_HEAD, SIGNED_WHOLE /* the body is there, too */ };

#endif
