/*
 * delivery.h - private to s3/: a writer and its calls, and how a call that is full becomes an
 * object in the bucket.
 *
 * Threads: one, as a writer.
 */
#ifndef BACKEND_S3_DELIVERY_H
#define BACKEND_S3_DELIVERY_H

#include "backend/common/pack.h"
#include "backend/s3/index.h"
#include "backend/s3/sweep.h"
#include "backend/s3/upload.h"

enum { S3_SEEN_SLOTS = 4096, S3_TENANT_BYTES = 256, S3_LOOKED_SLOTS = 256 };

/* Of a call. */
enum s3_stage { FILLING, RENAMED, SEALED, UPLOADING, INDEX_LOOKING, INDEXING, DELIVERED };

struct s3_writer {
    struct writer_base base;
    char instance[S3_INSTANCE_BYTES]; /* what names begin with */
    const struct s3_settings *s3;
    struct s3_bucket bucket;
    struct s3_store *store;
    struct packer *packer;
    struct buf packed;
    double ratio;        /* packed to plain, as of the last piece */
    bool by_tenant;      /* an object is of one tenant */
    uint64_t content;    /* hash of the settings that shape what is in objects */
    uint64_t offered;    /* the furthest record of which an item was offered */
    uint64_t seal_count; /* objects sealed, counted across restarts */
    uint64_t void_seal;  /* the number of one that a crash may have left in an index */

    struct s3_object adopted; /* of before a restart; its number is 0 if there is none */
    bool adopted_arrived;
    uint32_t adopters; /* calls that count its items */

    struct s3_call *noted;     /* its object is sealed, and not yet delivered */
    struct s3_call *uploading; /* whose `upload` is */
    struct s3_upload upload;
    uint32_t names_taken; /* in a row, since an object came into the bucket */

    char index_dir[S3_STORE_DIR_BYTES];
    struct s3_index index; /* of the directory that was needed last */
    struct buf index_text;
    char index_key[S3_KEY_BYTES_MAX + S3_BASE_BYTES];
    uint64_t
        looked[S3_LOOKED_SLOTS]; /* hashes of keys of indexes that were looked at; a few of them */
    uint64_t index_put;          /* of the one that was written last */
    uint64_t index_unseen;       /* of one that may be there, and cannot be read; 0: none */
    bool index_only_new;         /* the request at hand is to fail if there is one */

    struct s3_sweep sweep;
    char sweep_key[S3_KEY_BYTES_MAX + 1]; /* of an upload that may be left under another id */
    bool sweep_due;
    bool sweeping;
    bool looking;     /* whether our keys are good is being asked */
    int64_t sweep_ms; /* not before; Unix */
    uint32_t check_agains;
};

struct s3_call {
    enum s3_stage stage;
    uint64_t count; /* items */
    struct s3_object own;
    bool adopts;     /* its items are in the writer's adopted object, `own` is not used */
    bool has_last;   /* the last of them, too */
    struct buf text; /* not yet packed */
    char tenant[S3_TENANT_BYTES];
    struct s3_names names;
    uint64_t seen[S3_SEEN_SLOTS]; /* hashes of series whose names are noted */
};

/* --- s3.c ------------------------------------------------------------------------------------- */

/* Packs the lines at hand into the object's file. On an error they are still there. */
MUST_CHECK enum err s3_flush_text(struct s3_writer *writer, struct s3_call *call, struct why *why);
/* No item of the adopted object comes any more. */
void s3_release_adopted(struct s3_writer *writer);

/* --- delivery.c ------------------------------------------------------------------------------- */

/* As a writer's functions of these names. */
void s3_begin(struct writer *writer, struct writer_call *call, struct writer_step *ret_step);
void s3_judge(struct writer *writer, struct writer_call *call,
              const struct http_call_answer *answer, struct writer_step *ret_step);
/* Writes the text of the index at hand, that of the object's hour, to the local file. */
MUST_CHECK enum err s3_store_index(struct s3_writer *writer, const struct s3_object *object,
                                   struct why *why);

#endif
