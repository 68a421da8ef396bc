/*
 * live.h - private to tsdb/: which parts and tombstones are live now. What is live changes by edits
 * of the manifest (store/edit.c) alone.
 *
 * Threads: any. Versions are immutable; who reads one holds a reference.
 */
#ifndef TSDB_PART_LIVE_H
#define TSDB_PART_LIVE_H

#include "base/lock.h"
#include "tsdb/part/part.h"
#include "tsdb/part/tombstone.h"

/* The parts that are live, in the order of the log. */
struct version {
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct budget *budget;
    struct tombstones *tombstones; /* a reference of its own */
    uint32_t part_count;
    uint32_t capacity;
    struct part *parts[];
};

/* A part that could not be opened, and may come back at another start. */
struct part_aside {
    uint64_t number;
    uint64_t from_pos;
    uint64_t to_pos;
    uint64_t applied;       /* the last tombstone it was written under */
    struct time_range time; /* of its samples; from INT64_MIN to INT64_MAX: not known */
};

struct live {
    struct lock lock; /* LOCK_RANK_TSDB; guards the version */
    struct version *version;

    /* By from_pos. Immutable once the store is open. */
    struct part_aside *aside;
    uint32_t aside_count;
};

/* With a reference. Under no lock above LOCK_RANK_TSDB. */
struct version *live_pin(struct live *live);

/* With room for so many parts, none in it, and no tombstones. ERR_NOMEM. */
MUST_CHECK enum err version_new(struct budget *budget, uint32_t part_count,
                                struct version **ret_version);
void version_ref(struct version *version);
void version_unref(struct version *version);
/* The newest part that holds metadata: what it says counts. NULL: none does. */
struct part *version_metadata_part(const struct version *version);

#endif
