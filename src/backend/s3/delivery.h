/*
 * delivery.h - private to s3/: a writer and its calls, and the upload of a full call as an object.
 *
 * Threads: one, as for a writer.
 */
#ifndef BACKEND_S3_DELIVERY_H
#define BACKEND_S3_DELIVERY_H

#include "backend/common/pack.h"
#include "backend/s3/index.h"
#include "backend/s3/sweep.h"
#include "backend/s3/upload.h"

enum { S3_SEEN_SLOTS = 4096, S3_TENANT_BYTES = 256, S3_LOOKED_SLOTS = 256 };

/* Stages of a call. */
enum s3_stage {
    S3_FILLING,
    S3_RENAMED,
    S3_SEALED,
    S3_UPLOADING,
    S3_INDEX_LOOKING,
    S3_INDEXING,
    S3_DELIVERED
};

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
    uint64_t void_seal;  /* number of an object that a crash may have left in an index */

    struct s3_object adopted; /* object from before a restart; its number is 0 if there is none */
    bool adopted_arrived;
    uint32_t adopters; /* calls that count its items */

    struct s3_call *noted;     /* call with an object that is sealed, but not delivered */
    struct s3_call *uploading; /* call that uses `upload` */
    struct s3_upload upload;
    uint32_t names_taken; /* consecutive renamings since the last object was uploaded */

    char index_dir[S3_STORE_DIR_BYTES];
    struct s3_index index; /* index of the directory used last */
    struct buf index_text;
    char index_key[S3_KEY_BYTES_MAX + S3_BASE_BYTES];
    uint64_t looked[S3_LOOKED_SLOTS]; /* hashes of the keys of some indexes that were looked for */
    uint64_t index_put;               /* hash of the key of the index written last */
    uint64_t index_unseen; /* the same for an index that may exist but cannot be read; 0: none */
    bool index_only_new;   /* the current request must fail if an index exists */

    struct s3_sweep sweep;
    char sweep_key[S3_KEY_BYTES_MAX + 1]; /* key of an upload that may remain under another id */
    bool sweep_due;
    bool sweeping;
    bool looking;     /* a request that tests the keys is pending */
    int64_t sweep_ms; /* earliest time; Unix */
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
    struct s3_names names;
    uint64_t seen[S3_SEEN_SLOTS]; /* hashes of series whose names are noted */
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
/* Writes the text of the current index, which is that of the object's hour, to the local file. */
MUST_CHECK enum err s3_store_index(struct s3_writer *writer, const struct s3_object *object,
                                   struct why *why);

#endif
