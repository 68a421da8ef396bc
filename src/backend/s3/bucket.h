/*
 * bucket.h - a bucket: where it is, a signed request to it, and what its answers mean.
 *
 * The bucket stands in the host's name, or in the path where the settings say so or where it has
 * to: a host that is an address has no names below it, and one with a dot in the bucket's name fits
 * no certificate. If an answer names another region than ours, that is learnt.
 *
 * Threads: one, that of the destination.
 */
#ifndef BACKEND_S3_BUCKET_H
#define BACKEND_S3_BUCKET_H

#include "backend/aws/credentials.h"
#include "backend/common/http_common.h"

enum {
    S3_KEY_BYTES_MAX = 1024, /* what S3 allows */
    S3_BUCKET_NAME_BYTES_MAX = 255,
    S3_ENDPOINT_BYTES = AWS_ENDPOINT_BYTES + S3_BUCKET_NAME_BYTES_MAX + 1,
};

/* Headers of an answer that are looked at: http_call_answer.wanted. */
enum {
    S3_WANTED_ETAG = AWS_WANTED_COUNT,
    S3_WANTED_REGION,
    S3_WANTED_LOCATION,
    S3_WANTED_LENGTH,
    S3_WANTED_DIGEST,
};

/* What the store does with `If-None-Match: *` of what is to be a new object, as its answers told
 * since the start. */
enum s3_conditional {
    S3_CONDITIONAL_UNKNOWN,
    S3_CONDITIONAL_ENFORCED, /* it refuses to overwrite */
    S3_CONDITIONAL_IGNORED,
    S3_CONDITIONAL_UNSUPPORTED, /* it refuses the header */
};

struct s3_bucket {
    const struct destination_settings *settings;
    const struct s3_settings *s3;
    struct aws_setup setup;
    struct http_calls_target target;
    struct aws_clock clock;
    struct aws_credentials *credentials;
    struct http_headers headers; /* of the request at hand, as the next two */
    struct aws_request request;
    struct buf path;
    char told_region[AWS_REGION_BYTES]; /* by the settings or the machine */
    char region[AWS_REGION_BYTES];      /* the right one, as far as we know */
    char endpoint[S3_ENDPOINT_BYTES];   /* with the bucket, if it is part of the host */
    bool in_path;                       /* or else it is part of the path */
    uint32_t generation;                /* of the keys that signed last */
    enum s3_conditional conditional;    /* the owner's to change */
};

/*
 * `variables`: of the environment. `learnt`: s3_bucket_learnt() of before, may be empty; it counts
 * if the settings are those of then. ERR_INPUT, ERR_MISSING, ERR_LIMIT: settings that cannot be;
 * ERR_NOMEM. After an error there is nothing to be released.
 */
MUST_CHECK enum err s3_bucket_init(struct s3_bucket *bucket, const struct writer_options *options,
                                   const struct aws_variables *variables, struct bytes learnt,
                                   struct why *why);
/* Accepts zeroed memory. */
void s3_bucket_fini(struct s3_bucket *bucket);

/* What is worth remembering across restarts; nothing is appended if there is nothing. */
void s3_bucket_learnt(const struct s3_bucket *bucket, struct buf *to);

/* Which headers a request has besides those of all. */
enum s3_request_kind {
    S3_PLAIN,  /* neither makes an object nor is a part of one */
    S3_PART,   /* Content-MD5 */
    S3_INDEX,  /* that, and encryption */
    S3_OBJECT, /* that, and the storage class */
    S3_CREATE, /* as S3_OBJECT without Content-MD5: there is no content yet */
};

struct s3_request {
    const char *method;
    const char *key;          /* as it is; NULL: the bucket itself */
    const char *query;        /* percent-encoded; NULL: none */
    const char *content_type; /* NULL: none */
    enum s3_request_kind kind;
    struct bytes body;  /* borrowed until the call is done */
    const uint8_t *md5; /* what the body's should be, MD5_BYTES; NULL: as it is */
    const char *digest; /* of the whole object, kept beside it (S3_OBJECT, S3_CREATE); NULL: none */
    bool only_new;      /* only if no object has the name, where the store knows that */
};

/*
 * Makes the call: WRITER_SEND, whose texts live until the next one. Or WRITER_DONE: no credentials
 * yet (VERDICT_UNPREPARED), no memory (VERDICT_RETRY), settings that cannot be (VERDICT_BLOCKED).
 */
void s3_bucket_send(struct s3_bucket *bucket, const struct s3_request *request,
                    struct writer_step *ret_step);

/*
 * Judges an answer as aws_xml_judge() does it, with three differences: another region that it names
 * is taken (VERDICT_AGAIN); refused keys are due; and nothing is dead or too large, since a bucket
 * refuses requests for what they are and not for the samples in them: VERDICT_BLOCKED.
 */
void s3_bucket_judge(struct s3_bucket *bucket, const struct http_call_answer *answer,
                     struct writer_step *ret_step);

#endif
