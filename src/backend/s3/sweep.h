/*
 * sweep.h - aborts abandoned uploads in parts: a crash leaves them, they cost as much as objects,
 * and no listing of objects shows them.
 *
 *     LIST --> ABORT ... --> LIST (the next page) ... --> done
 *
 * Only uploads below the prefix whose base names begin with the instance are aborted, and one more
 * with a given key.
 *
 * Threads: one.
 */
#ifndef BACKEND_S3_SWEEP_H
#define BACKEND_S3_SWEEP_H

#include "backend/s3/bucket.h"

enum {
    S3_SWEEP_PAGE = 200, /* uploads per request */
    S3_SWEEP_PAGES_MAX = 500,
    S3_SWEEP_LIST_BYTES_MAX = 1024 * 1024,
    S3_SWEEP_ID_BYTES = 1024,
};

/* A page of ListMultipartUploads; texts are views until the reading function returns. */
struct s3_uploads_page {
    bool is_truncated;
    char next_key[S3_KEY_BYTES_MAX + 1];
    char next_id[S3_SWEEP_ID_BYTES];
};

/* Parses a page, and passes each upload to `each`, which may return an error to stop. ERR_INPUT:
 * not such a page; ERR_LIMIT: larger or deeper than requested; ERR_NOMEM. */
MUST_CHECK enum err
s3_uploads_read(struct bytes body, enum err (*each)(void *context, const char *key, const char *id),
                void *context, struct s3_uploads_page *ret_page);

struct s3_sweep {
    struct s3_bucket *bucket;
    const char *prefix;    /* may be NULL, or a template: the part before it is used */
    const char *instance;  /* may change while no request is pending */
    const char *other_key; /* an object named with an earlier instance; "": none */
    bool listing;
    uint32_t pages;
    uint32_t agains;
    uint32_t aborted; /* total */
    struct s3_uploads_page page;
    struct buf found; /* uploads of the page: key and id of each, counted */
    struct cursor left;
    const char *keep;               /* id of an upload that must not be aborted; NULL: none */
    char key[S3_KEY_BYTES_MAX + 1]; /* key of the object in the current request */
    struct buf query;
};

/* `bucket`, `prefix`, `instance` and `other_key` are borrowed. */
void s3_sweep_init(struct s3_sweep *sweep, struct s3_bucket *bucket, const char *prefix,
                   const char *instance, const char *other_key, struct budget *memory);
void s3_sweep_fini(struct s3_sweep *sweep);

/* Runs as a writer's prepare(): `answer` NULL begins. VERDICT_DELIVERED: all are aborted. With
 * any other verdict some may remain, without other harm. `keep`: borrowed until done. */
void s3_sweep_step(struct s3_sweep *sweep, const char *keep, const struct http_call_answer *answer,
                   struct writer_step *ret_step);

#endif
