/*
 * upload.h - uploads one object into a bucket, as one request or in parts, and never replaces
 * another one.
 *
 *     LOOK --> PUT ---------------------------------------+
 *       |--> CREATE --> PART --> PART ... --> COMPLETE ---+--> DONE
 *       |      ^          |                    |  |       |
 *       |      +----------+--- NoSuchUpload ---+  412     |
 *       |                                         v       |
 *       |                                      COMPARE ---+   it is this object
 *       +---------------------------------------+-+--------> TAKEN, by another one
 *
 * With `only_new` a store that supports it refuses to overwrite an object (412); then that object
 * is compared. With `looks` it is looked for first, for stores that do not refuse.
 *
 * After other failures the upload continues where it was. Memory is that of one part.
 *
 * Threads: one.
 */
#ifndef BACKEND_S3_UPLOAD_H
#define BACKEND_S3_UPLOAD_H

#include "backend/s3/object.h"

enum { S3_UPLOAD_ID_BYTES = 1024 };

enum s3_upload_phase {
    S3_UPLOAD_LOOK,
    S3_UPLOAD_PUT,
    S3_UPLOAD_CREATE,
    S3_UPLOAD_PART,
    S3_UPLOAD_COMPLETE,
    S3_UPLOAD_COMPARE,
    S3_UPLOAD_DONE,
    S3_UPLOAD_TAKEN,
};

struct s3_upload_how {
    bool looks;
    bool only_new;
};

struct s3_upload {
    enum s3_upload_phase phase;
    struct s3_upload_how how; /* `only_new` is reset if the store does not support it */
    bool refused;             /* a 412 reported an existing object */
    bool unseen;              /* TAKEN by an object that may not be read */
    bool leftover;            /* an upload in parts was begun and must not be completed */
    uint64_t size;            /* size of the object */
    char digest[S3_DIGEST_BYTES];
    char id[S3_UPLOAD_ID_BYTES]; /* "": nothing of it is in the bucket */
    uint32_t part;               /* next part, from 0 */
    struct buf etags;            /* ETags of the parts before: each with its length */
    struct buf body;             /* the current request's, as the next three */
    uint8_t md5[MD5_BYTES];
    struct buf query;
    char key[S3_KEY_BYTES_MAX + 1];
};

void s3_upload_init(struct s3_upload *upload, struct budget *memory);
void s3_upload_fini(struct s3_upload *upload);
/* Resets the upload, and frees the memory of a part. */
void s3_upload_clear(struct s3_upload *upload);
/* Begins the upload of a sealed object. */
void s3_upload_begin(struct s3_upload *upload, const struct s3_object *object,
                     struct s3_upload_how how);

/* Makes the next request; not in DONE or TAKEN. Its texts live until the next one. Errors of
 * s3_object_read(), and ERR_NOMEM. */
MUST_CHECK enum err s3_upload_request(struct s3_upload *upload, struct s3_object *object,
                                      const char *content_type, struct s3_request *ret_request,
                                      struct why *why);
/*
 * Takes an answer and its verdict; blanks before its body are removed. A good answer leads to the
 * next phase; one that lacks something is VERDICT_RETRY. If the upload is gone, or its parts
 * differ, it begins again: VERDICT_AGAIN.
 */
void s3_upload_take(struct s3_upload *upload, const struct http_call_answer *answer,
                    struct writer_step *judged);
/* Returns the number of PUT and POST requests left, if nothing fails. */
uint64_t s3_upload_requests_left(const struct s3_upload *upload);

#endif
