/*
 * live.h - private to tsdb/: the parts and tombstones that are live now. Only edits of the manifest
 * (store/edit.c) change them.
 *
 * Threads: any. Versions are immutable; readers hold a reference.
 */
#ifndef TSDB_PART_LIVE_H
#define TSDB_PART_LIVE_H

#include "base/lock.h"
#include "tsdb/part/part.h"
#include "tsdb/part/tombstone.h"

/* One state of the store: parts, in the order of the log, and tombstones. */
struct version {
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct budget *budget;
    struct tombstones *tombstones; /* holds a reference */
    uint32_t part_count;
    uint32_t capacity;
    struct part *parts[]; /* holds a reference to each */
};

struct live {
    struct lock lock; /* LOCK_RANK_TSDB; guards the version */
    struct version *version;

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
