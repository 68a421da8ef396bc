/*
 * tsdb_bucket.h - parts in a bucket, and the catalog that names them (docs/format/catalog.md).
 * Public, like tsdb.h. What is acknowledged and not yet in the bucket is in the storage directory
 * only.
 */
#ifndef TSDB_TSDB_BUCKET_H
#define TSDB_TSDB_BUCKET_H

#include "model/objects.h"
#include "tsdb/tsdb.h"

/* --- the writer: one thread, beside all others of the store ----------------------------------- */

struct tsdb_bucket;
struct tsdb_bucket_options {
    struct tsdb *tsdb;
    struct objects *objects; /* borrowed */
    struct budget *memory;
    int64_t upload_after_ms; /* a part is uploaded when it is as old */
    int64_t keep_ms;         /* older parts are removed from the directory; 0: none */
    uint64_t keep_bytes;     /* and the oldest while all are larger; 0: no limit */
    int64_t grace_ms;        /* how long objects stay after the catalog has dropped them */
    bool single_writer;      /* the bucket may ignore conditions: no other server writes there */
};
/* Reads what the directory knows of its bucket. If parts are only there, it is looked whether it is
 * that bucket, unless it does not answer. ERR_CORRUPT: the file CATALOG is damaged; ERR_INPUT: it
 * is another bucket; ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err tsdb_bucket_open(const struct tsdb_bucket_options *options,
                                     struct tsdb_bucket **ret_bucket, struct why *why);
/* Accepts NULL. */
void tsdb_bucket_free(struct tsdb_bucket *bucket);

enum tsdb_bucket_did {
    TSDB_BUCKET_NOTHING,  /* nothing is due */
    TSDB_BUCKET_OPENED,   /* the catalog says that this process writes */
    TSDB_BUCKET_UPLOADED, /* a part */
    TSDB_BUCKET_NAMED,    /* the catalog has a further delta */
    TSDB_BUCKET_REMOVED,  /* a part is only in the bucket now */
};
/*
 * Does the next piece of work. ERR_INPUT: nothing is written into the bucket any more, because its
 * catalog has what this directory did not write, or the directory is a copy, or the bucket ignores
 * conditions; other errors: try again later.
 */
MUST_CHECK enum err tsdb_bucket_step(struct tsdb_bucket *bucket, enum tsdb_bucket_did *ret_did,
                                     struct why *why);
/* True if a deletion or a change of rules waits for the next step. Any thread. */
bool tsdb_bucket_is_due(struct tsdb_bucket *bucket);
/* True if the parts that the catalog names have no deleted samples. Any thread. */
bool tsdb_bucket_is_clean(struct tsdb_bucket *bucket);

struct tsdb_bucket_stats {
    uint64_t number;       /* of the newest delta; 0: none */
    uint64_t complete_pos; /* all samples before this position of the log are in the bucket */
    int64_t complete_ms;   /* the newest of them; INT64_MIN: none */
    uint64_t behind_bytes; /* of the log after that position */
    uint64_t parts;
    uint64_t bytes;
    uint64_t remote_parts;   /* those that are only there */
    uint64_t requests_total; /* of queries and merges */
    uint64_t read_bytes_total;
    uint64_t uploads_total;
    uint64_t upload_bytes_total;
    uint64_t unnamed;     /* objects of parts that are no longer named, and not removed yet */
    uint64_t swept_total; /* objects that were removed */
    int64_t clock_off_ms; /* of our clock from the bucket's, beyond an hour: retention, levels and
                           * the removal of objects rest; 0: less */
    bool is_failing; /* the last step has failed */
    bool is_stopped; /* see tsdb_bucket_step() */
};
/* False, with zeros: the store has no bucket. Any thread. */
bool tsdb_bucket_stats(struct tsdb *tsdb, struct tsdb_bucket_stats *ret_stats);

/* --- readers: what a writer has in the bucket; any thread ----------------------------------------
 */

struct tsdb_bucket_reader;
struct tsdb_bucket_reader_options {
    struct env *env;
    struct objects *objects; /* borrowed; only read */
    struct budget *memory;
    uint64_t cache_bytes; /* of pages in memory */
};
/* Sends nothing. ERR_NOMEM. */
MUST_CHECK enum err tsdb_bucket_reader_new(const struct tsdb_bucket_reader_options *options,
                                           struct tsdb_bucket_reader **ret_reader, struct why *why);
/* All its views are freed. Accepts NULL. */
void tsdb_bucket_reader_free(struct tsdb_bucket_reader *reader);
/* Opens a view of the newest catalog as it was a second ago at most, or, with `is_now`, as it is,
 * and says which one that is. ERR_IO: there is no catalog; ERR_CORRUPT: it is damaged; errors of
 * objects; ERR_NOMEM. */
MUST_CHECK enum err tsdb_bucket_reader_view(struct tsdb_bucket_reader *reader, bool is_now,
                                            struct query_control *control, struct view **ret_view,
                                            struct bucket_mark *ret_mark, struct why *why);
/* Returns how long objects stay after the catalog has dropped them; 0: it was not read so far. */
int64_t tsdb_bucket_reader_grace_ms(struct tsdb_bucket_reader *reader);

/* --- what commands do, without a server; any thread ------------------------------------------- */

struct tsdb_bucket_part {
    const char *key;
    uint64_t number;
    struct time_range time;
    uint64_t size;
};

/* The newest state of a catalog. */
struct tsdb_bucket_summary {
    uint64_t number;       /* of the newest delta */
    int64_t made_ms;       /* by the clock of the writer */
    uint64_t complete_pos; /* all samples before this position of the log are in the bucket */
    int64_t complete_ms;   /* the newest of them; INT64_MIN: none */
    uint64_t known_pos;    /* end of the log, as the writer knew it */
    uint64_t parts, bytes;
    uint64_t tenants;
    uint64_t samples; /* floats and histograms */
    uint64_t beyond;  /* samples that were only on the disk of the writer */
    uint64_t deletions;
};
/* Calls `each`, which may be NULL, with all parts by number; `number` 0: there is no catalog.
 * ERR_CORRUPT: the catalog is damaged; errors of objects. */
MUST_CHECK enum err
tsdb_bucket_read(struct objects *objects, struct budget *memory,
                 void (*each)(void *context, const struct tsdb_bucket_part *part), void *context,
                 struct tsdb_bucket_summary *ret_summary, struct why *why);

struct tsdb_bucket_verdict {
    uint64_t parts;
    uint64_t bad;      /* parts that are missing or differ */
    uint64_t archived; /* parts that must be restored by the bucket before they can be read */
    uint64_t unnamed;  /* objects of parts that the catalog does not name */
    uint64_t unnamed_bytes;
};
/* Looks at each part that the catalog names, and calls `say` with each finding. Content is read if
 * the bucket keeps no checksums, or with `read_all`. ERR_CORRUPT also for bad parts. */
MUST_CHECK enum err tsdb_bucket_verify(struct objects *objects, struct budget *memory,
                                       bool read_all, void (*say)(void *context, const char *line),
                                       void *context, struct tsdb_bucket_verdict *ret_verdict,
                                       struct why *why);

/* Makes a storage directory of what a bucket has, and becomes its writer: the writer of before
 * stops when it notices. `dir` is empty or missing. What the bucket lacks counts as damaged.
 * ERR_INPUT: the directory is not empty, or there is no catalog; ERR_CORRUPT: the catalog or a part
 * is damaged; errors of objects and of writing, after which the directory cannot be used. */
MUST_CHECK enum err tsdb_bucket_adopt(struct env *env, struct objects *objects, const char *dir,
                                      struct budget *memory,
                                      struct tsdb_bucket_summary *ret_summary, struct why *why);

/* Lets the server of a directory, which was stopped, go on with the bucket, although the directory
 * is a copy, or another process has opened the bucket and changed nothing. ERR_INPUT: the bucket
 * has what the directory lacks; ERR_AGAIN: the directory is in use. */
MUST_CHECK enum err tsdb_bucket_take(struct env *env, struct objects *objects, const char *dir,
                                     struct budget *memory, uint64_t *ret_number, struct why *why);

#endif
