/* facts.h - private to tsdb/: the facts of parts and deletions that its public headers show. */
#ifndef TSDB_PART_FACTS_H
#define TSDB_PART_FACTS_H

#include "model/ledger.h"
#include "model/rollup.h"
#include "model/sample.h"

enum { PART_RESOLUTIONS_MAX = 7 }; /* resolutions of rollups in one part */

struct part_info {
    uint64_t number;
    uint64_t from_pos; /* log position */
    uint64_t to_pos;
    struct time_range time; /* of its samples; min above max if it is empty */
    uint64_t series_count;
    uint64_t pair_count;
    uint64_t block_count;
    uint64_t sample_count[LEDGER_KIND_COUNT]; /* without rollups */
    uint64_t rollup_rows;                     /* samples that stand for rollups */
    uint64_t histogram_rollup_rows;           /* those of histograms */
    int64_t resolution_max_ms; /* coarsest resolution of its rollups; 0 without rollups */
    struct rollup_facts resolutions[PART_RESOLUTIONS_MAX]; /* of its rollups, in any order */
    uint32_t resolution_count;
    uint64_t file_bytes;
    uint64_t data_bytes; /* size of pages of samples and exemplars within file_bytes */
    uint8_t level;       /* level of zstd */
};

/* A part as MANIFEST lists it. */
struct part_entry {
    uint64_t number;
    uint64_t from_pos;
    uint64_t to_pos;
    uint64_t applied;       /* number of the last tombstone applied when the part was written */
    struct time_range time; /* of its samples; INT64_MIN to INT64_MAX if not known */
    bool remote;            /* its file is only in the bucket */
};

/* The root page of a part, and what its footer says: enough to open it without its file. */
struct part_root {
    uint64_t version; /* of the footer */
    uint64_t data_bytes;
    struct bytes payload;
};

enum deletion_state {
    DELETION_HELD,  /* it can be undone */
    DELETION_FINAL, /* merges remove what it hides */
    DELETION_DONE,  /* no part has samples that it hides, nor has the bucket */
    DELETION_UNDONE,
};
enum deletion_in_bucket {
    BUCKET_NONE,    /* there is no bucket */
    BUCKET_PENDING, /* its catalog does not have the deletion yet */
    BUCKET_HIDES,   /* it has, and objects may still have the samples */
    BUCKET_DONE,    /* no object has them */
    BUCKET_VERSIONS /* nor that; but the bucket keeps versions of what was removed */
};
/* The receipt of a deletion. MANIFEST does not have the members from `state` on. */
struct tsdb_receipt {
    uint64_t id; /* of its tombstone */
    uint64_t pos;
    int64_t made_ms;
    int64_t undone_ms; /* INT64_MIN: it was not undone */
    struct time_range range;
    struct bytes tenant;
    struct bytes selector; /* may be cut */
    uint64_t series;       /* series that it hid when it was made */
    uint64_t samples;
    uint64_t windows;
    uint64_t selected;         /* samples, including those that other deletions had hidden */
    uint64_t selected_windows; /* likewise */
    enum deletion_state state;
    int64_t held_until_ms; /* for DELETION_HELD */
    uint64_t parts;        /* live parts that can have some of them */
    uint64_t part_bytes;   /* size of these parts */
    uint64_t snapshots;    /* snapshots with such parts */
    enum deletion_in_bucket bucket;
};

/* The ledger of a tenant at one position of the log. */
struct tenant_totals {
    struct bytes name;
    struct ledger totals;
};

#endif
