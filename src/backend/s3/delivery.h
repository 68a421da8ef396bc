/*
 * delivery.h - private to s3/: a writer and its calls, and the upload of a full call as an object.
 *
 * Threads: one, as for a writer.
 */
#ifndef BACKEND_S3_DELIVERY_H
#define BACKEND_S3_DELIVERY_H

#include "backend/common/pack.h"
#include "backend/s3/bucket.h"
#include "backend/s3/object.h"

/*
 * Uploads one object into a bucket, as one request or in parts, and never replaces
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
 * The name is looked for first, for stores that overwrite. With `only_new` a store that supports it
 * refuses to overwrite an object (412); then that object is compared.
 *
 * After other failures the upload continues where it was. Memory is that of one part.
 *
 * Threads: one.
 */

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

struct s3_upload {
    enum s3_upload_phase phase;
    bool only_new; /* reset if the store does not support it */
    bool unseen;   /* TAKEN by an object that may not be read */
    uint64_t size; /* size of the object */
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
void s3_upload_begin(struct s3_upload *upload, const struct s3_object *object, bool only_new);

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

enum { S3_TENANT_BYTES = 256, S3_INSTANCE_BYTES = 65 };

/* Stages of a call. */
enum s3_stage { S3_FILLING, S3_RENAMED, S3_SEALED, S3_UPLOADING, S3_DELIVERED };

struct s3_writer {
    struct writer_base base;
    char instance[S3_INSTANCE_BYTES]; /* the beginning of names */
    const struct s3_settings *s3;
    struct s3_bucket bucket;
    struct s3_store *store;
    struct packer *packer;
    struct buf packed;
    double ratio;        /* packed to plain bytes, measured on the last piece */
    bool by_tenant;      /* each object belongs to one tenant */
    uint64_t content;    /* hash of the settings that shape the content of objects */
    uint64_t offered;    /* the last record with an item that was offered */
    uint64_t seal_count; /* objects sealed, counted across restarts */

    struct s3_object adopted; /* object from before a restart; its number is 0 if there is none */
    bool adopted_arrived;
    uint32_t adopters; /* calls that count its items */

    struct s3_call *noted;     /* call with an object that is sealed, but not delivered */
    struct s3_call *uploading; /* call that uses `upload` */
    struct s3_upload upload;
    uint32_t names_taken; /* consecutive renamings since the last object was uploaded */
    bool overwrites;      /* the store does not support If-None-Match */
    uint32_t check_agains;
};

struct s3_call {
    enum s3_stage stage;
    uint64_t count; /* items */
    struct s3_object own;
    bool adopts;     /* the call's items are in the writer's adopted object; `own` is not used */
    bool has_last;   /* the call has the last item of the object */
    struct buf text; /* text of the object before compression */
    char tenant[S3_TENANT_BYTES];
};

/* --- s3.c ------------------------------------------------------------------------------------- */

/* Packs `text` into the object's file. An error leaves the text. */
MUST_CHECK enum err s3_flush_text(struct s3_writer *writer, struct s3_call *call, struct why *why);
/* Called when no more items of the adopted object can be added. */
void s3_release_adopted(struct s3_writer *writer);

/* --- delivery.c ------------------------------------------------------------------------------- */

/* Functions of a writer. */
void s3_begin(struct writer *writer, struct writer_call *call, struct writer_step *ret_step);
void s3_judge(struct writer *writer, struct writer_call *call,
              const struct http_call_answer *answer, struct writer_step *ret_step);

#endif
