/*
 * bucket.h - a bucket: its address, signed requests to it, and the judging of its answers.
 *
 * The bucket's name is part of the host name, or of the path if the settings say so or the host
 * name does not work: an IP address has no subdomains, and a bucket with a dot in its name matches
 * no certificate. If an answer names another region, it is used from then on.
 *
 * Threads: one, that of the destination.
 */
#ifndef BACKEND_S3_BUCKET_H
#define BACKEND_S3_BUCKET_H

#include "backend/aws/credentials.h"
#include "backend/common/http_common.h"

enum {
    S3_KEY_BYTES_MAX = 1024, /* limit of S3 */
};

/* Headers that an answer is searched for: http_call_answer.wanted. */
enum {
    S3_WANTED_ETAG = AWS_WANTED_COUNT,
    S3_WANTED_REGION,
    S3_WANTED_LOCATION,
    S3_WANTED_LENGTH,
    S3_WANTED_DIGEST,
};

/* The store's behaviour for `If-None-Match: *`, learnt from its answers since the start. */
enum s3_conditional {
    S3_CONDITIONAL_UNKNOWN,
    S3_CONDITIONAL_ENFORCED, /* refuses to overwrite */
    S3_CONDITIONAL_IGNORED,
    S3_CONDITIONAL_UNSUPPORTED, /* refuses the header */
};

struct s3_bucket {
    const struct destination_settings *settings;
    const struct s3_settings *s3;
    struct aws_setup setup;
    struct http_calls_target target;
    struct aws_clock clock;
    struct aws_credentials *credentials;
    struct http_headers headers; /* for the current request, as the next two */
    struct aws_request request;
    struct buf path;
    char configured_region[AWS_REGION_BYTES]; /* from the settings or the machine */
    char region[AWS_REGION_BYTES];            /* the region in use, perhaps learnt */
    char endpoint[AWS_BUCKET_ENDPOINT_BYTES]; /* includes the bucket if it is part of the host name
                                               */
    bool in_path;                             /* the bucket is part of the path */
    uint32_t generation;                      /* number of the keys that signed the last request */
    enum s3_conditional conditional;          /* set by the owner */
};

/*
 * `variables`: of the environment. `learnt`: from s3_bucket_learnt() of an earlier run, may be
 * empty; ignored if the settings have changed. ERR_INPUT, ERR_MISSING, ERR_LIMIT: invalid settings;
 * ERR_NOMEM. After an error nothing has to be released.
 */
MUST_CHECK enum err s3_bucket_init(struct s3_bucket *bucket, const struct writer_options *options,
                                   const struct aws_variables *variables, struct bytes learnt,
                                   struct why *why);
/* Accepts zeroed memory. */
void s3_bucket_fini(struct s3_bucket *bucket);

/* Appends what is worth saving across restarts, if there is anything. */
void s3_bucket_learnt(const struct s3_bucket *bucket, struct buf *to);

/* The headers of a request in addition to those of all requests. */
enum s3_request_kind {
    S3_PLAIN,  /* neither makes an object nor is a part of one */
    S3_PART,   /* Content-MD5 */
    S3_INDEX,  /* Content-MD5 and encryption */
    S3_OBJECT, /* as S3_INDEX, and the storage class */
    S3_CREATE, /* as S3_OBJECT without Content-MD5: the content follows in parts */
};

struct s3_request {
    const char *method;
    const char *key;          /* not encoded; NULL: the bucket itself */
    const char *query;        /* percent-encoded; NULL: no query */
    const char *content_type; /* NULL: not sent */
    enum s3_request_kind kind;
    struct bytes body;  /* borrowed until the call is done */
    const uint8_t *md5; /* MD5_BYTES, for the body; NULL: computed */
    const char *digest; /* for the whole object, stored as its metadata (S3_OBJECT, S3_CREATE);
                           NULL: not stored */
    bool only_new;      /* fails if an object has the name, on stores that support it */
};

/*
 * Makes the call: WRITER_SEND, whose texts live until the next one. Or WRITER_DONE: no credentials
 * so far (VERDICT_UNPREPARED), not enough memory (VERDICT_RETRY), invalid settings
 * (VERDICT_BLOCKED).
 */
void s3_bucket_send(struct s3_bucket *bucket, const struct s3_request *request,
                    struct writer_step *ret_step);

/*
 * Judges an answer as aws_xml_judge() does, with three differences: if it names another region,
 * that is used (VERDICT_AGAIN); refused keys become due; and nothing is dead or too large, but
 * VERDICT_BLOCKED, because a bucket refuses a request as such and not for the samples in it.
 */
void s3_bucket_judge(struct s3_bucket *bucket, const struct http_call_answer *answer,
                     struct writer_step *ret_step);

#endif
