/*
 * inspect.h - describes files on disk, and where their bytes go. Public, like tsdb.h.
 *
 * Nothing is changed or locked, so it works beside a server that flushes, merges and recycles. A
 * file that is removed meanwhile becomes a remark, and so does damage; the rest is still described.
 *
 * Memory is bounded by MANIFEST and by the largest page. All that a result points to lasts until
 * its _fini().
 */
#ifndef TSDB_INSPECT_INSPECT_H
#define TSDB_INSPECT_INSPECT_H

#include "sys/env.h"
#include "tsdb/part/facts.h"
#include "wal/wal.h"

enum { INSPECT_REMARKS_MAX = 100 };

struct inspect_options {
    struct env *env;
    struct budget *memory; /* outlives the result */
    int64_t now_ms;        /* decides which partitions are days */
    /* Reports the bytes that were read, and the bytes that will be. May be NULL. */
    void (*progress)(void *context, uint64_t done, uint64_t all);
    void *context;
};

/* --- meaning of a path ------------------------------------------------------------------------ */

enum inspect_kind { INSPECT_DIRECTORY, INSPECT_PART, INSPECT_SEGMENT };

struct inspect_target {
    enum inspect_kind kind;
    char dir[256];   /* the storage, `parts` or `wal` directory */
    char name[64];   /* name of the part's directory in `dir` */
    uint64_t number; /* number of the part or segment */
};

/* Finds out what a path is: DIR, DIR/parts/NNNN, DIR/parts/NNNN/part or DIR/wal/NNNN.wal.
 * ERR_MISSING: none of these, or not found. ERR_LIMIT: too long. */
MUST_CHECK enum err inspect_path(struct env *env, const char *path,
                                 struct inspect_target *ret_target, struct why *why);

/* --- remarks ---------------------------------------------------------------------------------- */

struct inspect_remark {
    bool damage; /* else a file that was removed meanwhile, or a limit that was reached */
    const char *text;
};

/* Each damaged place is remarked once. */
struct inspect_remarks {
    uint64_t damage_count; /* includes those left out */
    uint64_t left_out;
    uint32_t count;
    struct inspect_remark items[INSPECT_REMARKS_MAX];
    uint64_t recent[INSPECT_REMARKS_MAX]; /* ring of hashes of the damaged places counted last */
};

/* --- a part ----------------------------------------------------------------------------------- */

enum { INSPECT_PAGE_KINDS = 11 };
/* Returns "times", "values", ...; NULL for a number without a kind. */
const char *inspect_page_word(unsigned kind);

struct inspect_pages {
    uint64_t count;
    uint64_t header_bytes;
    uint64_t stored_bytes; /* payload */
    uint64_t raw_bytes;    /* payload, unpacked */
};

struct inspect_part {
    struct arena arena;
    struct inspect_remarks remarks;
    uint64_t file_bytes;
    uint64_t end_bytes;        /* header and footer */
    uint64_t unreadable_bytes; /* in no page with a whole header; these bytes, the pages and
                                  end_bytes add up to the file */
    struct inspect_pages pages[INSPECT_PAGE_KINDS];

    bool root_whole; /* false: all fields below are zero */
    struct part_info facts;
    uint32_t tenants;
};

/* Describes a part; damage becomes remarks. ERR_MISSING: not found, or removed meanwhile.
 * ERR_UNSUPPORTED: written by a newer version. ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err inspect_part(const struct inspect_options *options,
                                 const struct inspect_target *target, struct inspect_part *ret_part,
                                 struct why *why);
void inspect_part_fini(struct inspect_part *part);

/* --- a log segment ---------------------------------------------------------------------------- */

/* Return static words for a type of record, and for the state of a segment. */
const char *inspect_record_word(unsigned type);
const char *inspect_segment_word(enum wal_segment_state state);
/* Describes in a few words what follows the last record. */
const char *inspect_end_word(enum wal_segment_end end);

struct inspect_records {
    uint64_t count;
    uint64_t record_bytes;  /* with headers and padding */
    uint64_t payload_bytes; /* as stored */
    uint64_t raw_bytes;     /* unpacked */
    uint64_t packed;        /* records that are compressed */
    uint64_t items;         /* samples, exemplars, series, families, increments */
};

struct inspect_segment {
    struct arena arena;
    struct inspect_remarks remarks;
    struct wal_inspection log;
    uint64_t header_bytes;
    uint64_t rest_bytes; /* after the end; records, header, damage and rest add up to the file */
    struct inspect_records types[WAL_TYPE_LAST + 1]; /* [0]: unknown types, which may be skipped */
    uint64_t commits;
    uint64_t commit_bytes_p50; /* to within 3 % */
    uint64_t commit_bytes_max;
    uint64_t commit_records_max;
    int64_t first_commit_ms;
    int64_t last_commit_ms;
    struct time_range samples; /* times of samples and exemplars; min above max if there are none */
    uint64_t accepted[LEDGER_KIND_COUNT];
};

/* Describes a segment; damage becomes remarks. ERR_MISSING: not found, or removed meanwhile.
 * ERR_UNSUPPORTED: written by a newer version. ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err inspect_segment(const struct inspect_options *options,
                                    const struct inspect_target *target,
                                    struct inspect_segment *ret_segment, struct why *why);
void inspect_segment_fini(struct inspect_segment *segment);

/* --- a directory ------------------------------------------------------------------------------ */

struct inspect_live_part {
    struct part_info facts;
    uint64_t applied;    /* the last tombstone it was written under */
    uint64_t meta_bytes; /* size of meta.json */
    bool unreadable;     /* only number and positions are known */
    bool remote;         /* it is only in the bucket */
};

struct inspect_partition {
    struct time_range time;
    bool several; /* parts that span several partitions, or are empty */
    uint64_t parts;
    uint64_t samples[LEDGER_KIND_COUNT];
    uint64_t data_bytes;
    uint64_t index_bytes;
};

/* Returns "not final" for DELETION_HELD, as holds may have ended after MANIFEST was written. */
const char *inspect_receipt_word(enum deletion_state state);

/* Counts of a rule for all tenants together; without a match, of all rules that share them. */
struct inspect_rule {
    struct bytes match;
    struct bytes tenants;  /* their names with commas */
    int64_t resolution_ms; /* of a rule of downsampling; 0: it is one of retention */
    uint64_t samples;      /* removed or replaced */
    uint64_t exemplars;    /* removed */
    uint64_t series;       /* removed from a part, counted for each part */
    uint64_t windows;      /* written */
    uint64_t bytes;        /* removed or saved */
};

struct inspect_snapshot {
    const char *name;
    bool finished;
    uint32_t parts;
    uint64_t bytes; /* size of its parts, which are hard links and may share their disk space */
};

struct inspect_file {
    const char *path; /* relative to the directory */
    uint64_t bytes;   /* size; for a directory the sum of the files directly in it */
};

struct inspect_dir {
    struct arena arena;
    struct inspect_remarks remarks;
    unsigned version; /* 0: FORMAT cannot be read */
    unsigned min_reader;
    bool manifest_whole; /* false: parts, tenants and tombstones are not known */
    bool has_log;
    uint64_t edit;
    uint64_t store_pos; /* parts cover the log up to here */
    int64_t newest_ms;
    int64_t retention_now_ms;

    struct inspect_live_part *parts;
    uint32_t part_count;
    struct inspect_partition *partitions;
    uint32_t partition_count;
    struct tenant_totals *tenants; /* at the position that parts cover */
    uint32_t tenant_count;
    struct tsdb_receipt *tombstones; /* without counts and state */
    uint32_t tombstone_count;
    struct tsdb_receipt *receipts; /* up to `state` */
    uint32_t receipt_count;
    struct inspect_rule *rules; /* those that have removed or replaced something */
    uint32_t rule_count;
    struct wal_segment_info *segments; /* segments of the log, then others */
    uint32_t segment_count;
    uint64_t log_end_pos; /* position after the last commit */
    struct inspect_snapshot *snapshots;
    uint32_t snapshot_count;
    struct inspect_file
        *others; /* files not in the manifest: left over, set aside, or being written */
    uint32_t other_count;

    uint64_t series; /* summed over parts */
    uint64_t samples[LEDGER_KIND_COUNT];
    uint64_t data_bytes;
    uint64_t index_bytes;
    uint64_t meta_bytes;
    uint64_t log_bytes;   /* all files in wal/ */
    uint64_t rules_bytes; /* all files in rules/ and pushed/ */
    uint64_t small_bytes; /* FORMAT, LOCK, MANIFEST */
    uint64_t other_bytes;
};

/* Describes a storage directory. ERR_MISSING: there is no storage. ERR_UNSUPPORTED: written by a
 * newer version. */
MUST_CHECK enum err inspect_dir(const struct inspect_options *options, const char *dir,
                                struct inspect_dir *ret_dir, struct why *why);
void inspect_dir_fini(struct inspect_dir *dir);
/* Adds a remark about a file that only the caller can read. ERR_NOMEM. */
MUST_CHECK enum err inspect_dir_remark(struct inspect_dir *dir, bool is_damage, const char *text);

#endif
