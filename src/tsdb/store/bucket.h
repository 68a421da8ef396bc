/* bucket.h - private to store/: the state of bucket.c, and what its files share. */
#ifndef TSDB_STORE_BUCKET_H
#define TSDB_STORE_BUCKET_H

#include "tsdb/store/catalog.h"
#include "tsdb/store/store.h"
#include "tsdb/tsdb_bucket.h"

/* A part in the bucket that no delta names yet. */
struct uploaded {
    uint64_t number, tag, size;
    struct object_digest digest;
    struct part_root root;
    struct buf root_bytes;
};

struct tsdb_bucket {
    struct tsdb_bucket_options options;
    struct tsdb *db;
    struct objects *objects;
    uint64_t session;
    /* Merges cross neither the position of the catalog, as readers have it, nor that of the next
     * delta. */
    uint32_t border, border_ahead;
    bool has_border, has_border_ahead;
    bool is_copy;        /* CATALOG is of another directory */
    bool is_probed;      /* the bucket was tested */
    bool is_conditional; /* the bucket obeys conditions */

    struct arena arena; /* of `base` */
    struct catalog base;
    uint64_t checksum;
    struct buf intent; /* the pending delta; empty: none */
    uint64_t intent_number;
    struct uploaded *uploaded;
    uint32_t uploaded_count;
    uint64_t described; /* live_bucket.edits that the pending delta has */
    uint64_t based;     /* number of the last base that this process has written */
    int64_t named_ns;   /* monotonic: when the last delta was made; 0: none */

    struct catalog_unnamed *unnamed;
    uint32_t unnamed_count;
    int64_t ruled_ns;  /* monotonic: when the rules of the bucket were looked at; 0: not yet */
    int64_t swept_ns;  /* monotonic: when sweep() has looked; 0: not yet */
    int64_t looked_ns; /* monotonic: when the bucket was looked at; 0: not yet */
    int64_t bucket_ms; /* clock of the bucket then; INT64_MIN: it does not say */

    struct lock lock; /* LOCK_RANK_LEAF; guards the rest; the bucket's thread reads without it */
    struct catalog_left left[DELETIONS_KEPT_MAX];
    uint32_t left_count;
    struct tsdb_bucket_stats stats;
    uint64_t state_hash; /* of the deletions and rules that the catalog has */
    bool has_versions;   /* the bucket keeps what is removed */
};

/* The last delta is there, unchanged, and there is no later one. ERR_INPUT: someone else writes. */
MUST_CHECK enum err bucket_look_at_chain(struct tsdb_bucket *bucket, struct why *why);
/* True if nothing is written into it any more. Any thread. */
bool bucket_is_stopped(struct tsdb_bucket *bucket);
/* Says what a bucket has of a deletion. Any thread. */
enum deletion_in_bucket bucket_deletion(struct tsdb_bucket *bucket, uint64_t id);
/* Writes CATALOG as it is, after `unnamed` has changed. */
MUST_CHECK enum err bucket_save(struct tsdb_bucket *bucket, struct why *why);

/* --- bucket_sweep.c --------------------------------------------------------------------------- */

/* Removes objects of parts that the catalog has not named for its grace, if it is time to. There is
 * no pending delta. Errors as of tsdb_bucket_step(). */
MUST_CHECK enum err bucket_sweep(struct tsdb_bucket *bucket, struct why *why);

#endif
