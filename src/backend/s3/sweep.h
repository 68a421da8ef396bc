/*
 * sweep.h - aborts uploads in parts that nothing will end: a crash leaves them behind, they cost
 * as if they were objects, and no listing of objects shows them.
 *
 *     LIST --> ABORT ... --> LIST (the next page) ... --> done
 *
 * Ours are those below our prefix whose base names begin with our instance, and one more that is
 * named. Others are left alone.
 *
 * Threads: one.
 */
#ifndef BACKEND_S3_SWEEP_H
#define BACKEND_S3_SWEEP_H

#include "backend/s3/bucket.h"

enum {
    S3_SWEEP_PAGE = 200, /* uploads asked for at a time */
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

/*
 * Reads a page, and gives each upload of it to `each`, which may return an error to stop.
 * ERR_INPUT: no such page; ERR_LIMIT: larger or deeper than any that was asked for; ERR_NOMEM.
 */
MUST_CHECK enum err
s3_uploads_read(struct bytes body, enum err (*each)(void *context, const char *key, const char *id),
                void *context, struct s3_uploads_page *ret_page);

struct s3_sweep {
    struct s3_bucket *bucket;
    const char *prefix;    /* may be NULL, and a template: what is before that counts */
    const char *instance;  /* may change while nothing is under way */
    const char *other_key; /* of an object that was ours under another instance; "": none */
    bool listing;
    uint32_t pages;
    uint32_t agains;
    uint32_t aborted; /* in all */
    struct s3_uploads_page page;
    struct buf found; /* of the page: key and id of each, counted */
    struct cursor left;
    const char *keep;               /* the id of an upload that is needed; NULL: none is */
    char key[S3_KEY_BYTES_MAX + 1]; /* of the request at hand */
    struct buf query;
};

/* `bucket`, `prefix`, `instance` and `other_key` are borrowed. */
void s3_sweep_init(struct s3_sweep *sweep, struct s3_bucket *bucket, const char *prefix,
                   const char *instance, const char *other_key, struct budget *memory);
void s3_sweep_fini(struct s3_sweep *sweep);

/*
 * Steps as a writer's prepare(): `answer` NULL begins. Done with VERDICT_DELIVERED: all are gone.
 * With any other verdict some may be left, and nothing else is wrong. `keep`: borrowed until done.
 */
void s3_sweep_step(struct s3_sweep *sweep, const char *keep, const struct http_call_answer *answer,
                   struct writer_step *ret_step);

#endif
