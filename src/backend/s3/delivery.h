/*
 * delivery.h - private to s3/: the bucket, a writer and its calls, and the upload of a full call as
 * an object.
 *
 * Threads: one, as for a writer.
 */
#ifndef BACKEND_S3_DELIVERY_H
#define BACKEND_S3_DELIVERY_H

#include "backend/aws/credentials.h"
#include "backend/common/http_common.h"
#include "backend/common/pack.h"
#include "backend/s3/object.h"

/*
 * A bucket: its address, signed requests to it, and the judging of its answers.
 *
 * The bucket's name is part of the host name, or of the path if the settings say so or the host
 * name does not work: an IP address has no subdomains, and a bucket with a dot in its name matches
 * no certificate. If an answer names another region, it is used from then on.
 *
 * Threads: one, that of the destination.
 */

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
 * With `only_new` a store that supports it refuses to overwrite an object (412); then that object
 * is compared. With `looks` it is looked for first, for stores that do not refuse.
 *
 * After other failures the upload continues where it was. Memory is that of one part.
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

/*
 * Aborts abandoned uploads in parts: a crash leaves them, they cost as much as objects,
 * and no listing of objects shows them.
 *
 *     LIST --> ABORT ... --> LIST (the next page) ... --> done
 *
 * Only uploads below the prefix whose base names begin with the instance are aborted, and one more
 * with a given key.
 */

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
