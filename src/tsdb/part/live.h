/*
 * live.h - private to tsdb/: the parts that are live now, and deletions of their samples. Only
 * edits of the manifest (store/edit.c) change them.
 *
 * Threads: any. Versions are immutable; readers hold a reference.
 */
#ifndef TSDB_PART_LIVE_H
#define TSDB_PART_LIVE_H

#include "base/lock.h"
#include "model/selector.h"
#include "tsdb/part/part.h"

/* --- deletions -------------------------------------------------------------------------------- */

/*
 * A tombstone hides the samples and exemplars of some series in a range of time from every reader,
 * if they arrived before its position in the log. Merges leave out the samples it hides; when no
 * part can hold any of them, it is removed.
 *
 * Sets are immutable and shared: each version of the parts holds one.
 */

struct tombstone {
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct budget *budget;
    uint64_t id;  /* rises; never reused */
    uint64_t pos; /* samples before this position of the log are hidden */
    int64_t made_ms;
    struct time_range range;
    struct bytes tenant;
    uint32_t matcher_count;
    struct matcher *matchers[];
};

/* A range of time that is deleted from some series of a part. */
struct part_deletion {
    const roaring_bitmap_t *series; /* numbers in the part */
    struct time_range range;
};

struct tombstones {
    _Atomic uint32_t references;
    struct budget *budget;
    uint64_t last_id; /* the highest id ever given */
    uint32_t count;
    struct tombstone *items[];
};

/* `matchers` are taken. ERR_NOMEM. */
MUST_CHECK enum err tombstone_new(struct budget *budget, uint64_t id, struct bytes tenant,
                                  struct matcher *const *matchers, uint32_t matcher_count,
                                  struct time_range range, int64_t made_ms,
                                  struct tombstone **ret_tombstone);
void tombstone_unref(struct tombstone *tombstone);

/* Makes a set of the tombstones of `from` for which `keep` is true (NULL: all), and of those added,
 * in the order of their numbers. ERR_NOMEM. */
MUST_CHECK enum err tombstones_new(struct budget *budget, const struct tombstones *from,
                                   bool (*keep)(void *context, const struct tombstone *tombstone),
                                   void *context, struct tombstone *const *added,
                                   uint32_t added_count, struct tombstones **ret_set);
/* Makes a set of `items`, which are taken. ERR_NOMEM. */
MUST_CHECK enum err tombstones_of(struct budget *budget, uint64_t last_id,
                                  struct tombstone *const *items, uint32_t count,
                                  struct tombstones **ret_set);
void tombstones_unref(struct tombstones *set);

/* The tombstone of that number; NULL if the set has none. */
struct tombstone *tombstones_find(const struct tombstones *set, uint64_t id);

/* True if the part may hold samples that the tombstone hides, by the root of the part. */
bool tombstone_concerns(const struct tombstone *tombstone, const struct part *part);
/*
 * Lists the deletions in a part, of one tenant or, if tenant.at is NULL, of all: the array is in
 * `arena`, bitmaps are in the part. Pages of its index are read the first time. ERR_CORRUPT,
 * ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err tombstones_of_part(const struct tombstones *set, struct part *part,
                                       struct bytes tenant, struct arena *arena,
                                       struct part_deletion **ret_deletions, uint32_t *ret_count,
                                       struct why *why);

/* True if a sample of the series at this time is deleted. */
bool deletions_hide(const struct part_deletion *list, uint32_t count, uint32_t series,
                    int64_t t_ms);

/* --- versions --------------------------------------------------------------------------------- */

/* One state of the store: parts, in the order of the log, and tombstones. */
struct version {
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct budget *budget;
    struct tombstones *tombstones; /* holds a reference */
    uint32_t part_count;
    uint32_t capacity;
    struct part *parts[]; /* holds a reference to each */
};

/* Says which deletions and rules in force the catalog of a bucket has. */
struct live_bucket {
    uint64_t session;      /* of this process in the catalog; 0: it has not opened it */
    uint64_t number;       /* of the first delta that has all that `named` counts */
    uint64_t edits, named; /* changes of them, and those that the catalog has */
};

struct live {
    struct lock lock; /* LOCK_RANK_TSDB; guards the version, and the next */
    struct version *version;
    struct live_bucket bucket;
    _Atomic uint64_t named_deletion; /* number of the last deletion that the bucket's catalog had */

    /* Parts that could not be opened, and may return at another start, by from_pos. Immutable once
     * the store is open. */
    struct part_entry *aside;
    uint32_t aside_count;
};

/* The current version; given (version_unref). Under no lock above LOCK_RANK_TSDB. */
struct version *live_pin(struct live *live);

/* Makes a version for the caller to fill with `part_count` parts and tombstones. ERR_NOMEM. */
MUST_CHECK enum err version_new(struct budget *budget, uint32_t part_count,
                                struct version **ret_version);
void version_ref(struct version *version);
/* NULL is fine. The last reference may remove the files of dropped parts. */
void version_unref(struct version *version);
/* Asserts the invariants of live.c; O(parts). */
void version_validate(const struct version *version);
/* Returns the newest part that holds metadata, which replaces that of all others. NULL if none has
 * any. */
struct part *version_metadata_part(const struct version *version);

#endif
