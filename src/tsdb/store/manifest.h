/* manifest.h - private to store/: reads and writes MANIFEST, the file that lists the live parts.
 * Format: docs/format/manifest.md. */
#ifndef TSDB_STORE_MANIFEST_H
#define TSDB_STORE_MANIFEST_H

#include "base/buf.h"
#include "sys/env.h"
#include "tsdb/merge/parts.h"
#include "tsdb/part/facts.h"

struct manifest_matcher {
    uint8_t type; /* enum matcher_type */
    struct bytes name;
    struct bytes pattern;
};

struct manifest_tombstone {
    uint64_t id;
    uint64_t pos;
    int64_t made_ms;
    struct time_range range;
    struct bytes tenant;
    struct manifest_matcher *matchers;
    uint32_t matcher_count;
};

/* A rule of retention. */
struct manifest_rule {
    struct bytes match;
    struct bytes *tenants; /* none: all tenants */
    uint32_t tenant_count;
    int64_t age_ms;
};

/* A configuration of retention. */
struct manifest_rules {
    int64_t left_ms; /* when the next one replaced it; 0: it is in force */
    int64_t kept_ms; /* retention of all samples; 0: no limit */
    struct manifest_rule *items;
    uint32_t count;
};

/* Totals of what a rule of retention has removed, or a rule of downsampling has replaced, for all
 * tenants together. */
struct manifest_done {
    struct bytes match;
    struct bytes tenants;  /* their names with commas */
    int64_t resolution_ms; /* 0: of a rule of retention */
    struct rule_done done;
};

enum rule_counts_kind { RULES_RETAIN, RULES_DOWNSAMPLE, RULE_KINDS };

struct manifest {
    uint64_t edit;
    uint64_t store_pos; /* position of the log at which replay begins */
    uint64_t next_part;
    uint64_t next_ref;
    uint64_t ref_floor; /* references in the log after store_pos are not below this */
    uint64_t segment_floor;
    int64_t newest_ms;
    int64_t retention_now_ms; /* retention_clock_ms(); INT64_MIN: the clock was not trusted */
    uint8_t log_id[16];       /* all zero before there was a log */
    struct part_entry *parts;
    uint32_t part_count;
    struct tenant_totals *tenants;
    uint32_t tenant_count;
    uint64_t last_tombstone; /* highest number ever given to a tombstone */
    struct manifest_tombstone *tombstones;
    uint32_t tombstone_count;
    uint64_t final_tombstone;      /* it and earlier ones can no longer be undone */
    struct tsdb_receipt *receipts; /* up to selected_windows; they stay after the tombstones */
    uint32_t receipt_count;
    struct manifest_rules *rules; /* newest first; none before there were rules of retention */
    uint32_t rules_count;
    struct manifest_done *done[RULE_KINDS];
    uint32_t done_count[RULE_KINDS];
    uint64_t *removed; /* numbers of parts whose directories may still exist */
    uint32_t removed_count;
    bool no_times; /* written by a version before 5; it is rewritten like that, without totals */
    bool has_receipts;     /* in the version that is read */
    bool has_rules;        /* likewise */
    bool has_remote;       /* likewise, parts that are only in the bucket */
    bool log_totals_known; /* false if an older program wrote it, or there was no log */
    uint64_t log_totals[LEDGER_KIND_COUNT]; /* samples that the log had accepted at store_pos */
    uint8_t copies_damaged;                 /* damaged copies, of two; set when read */
};

/* False: the store had no log when the manifest was written. */
bool manifest_has_log(const struct manifest *manifest);

/* Allocates arrays in `arena`. ERR_MISSING, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err manifest_read(struct env *env, const char *dir, struct arena *arena,
                                  struct manifest *ret_manifest, struct why *why);
MUST_CHECK enum err manifest_write(struct env *env, const char *dir,
                                   const struct manifest *manifest, struct budget *budget,
                                   struct why *why);

/*
 * Pieces of the payload, which the catalog of a bucket has, too. Lists that are read are allocated
 * in `arena`; writing needs none. ERR_CORRUPT; ERR_NOMEM.
 */
struct fields;
/* The number of items of a list, of which each takes at least `least` bytes; memory for them. */
MUST_CHECK enum err manifest_list_fields(const struct fields *f, struct arena *arena,
                                         uint32_t *count, void *ret_items, size_t item_bytes,
                                         size_t least);
void manifest_part_fields(const struct fields *f, struct part_entry *part); /* without its times */
/* Tenants with their totals. */
MUST_CHECK enum err manifest_tenants_fields(const struct fields *f, struct arena *arena,
                                            struct manifest *manifest);
/* Tombstones, receipts, rules of retention, and what rules have done. */
MUST_CHECK enum err manifest_state_fields(const struct fields *f, struct arena *arena,
                                          struct manifest *manifest);

/* FORMAT is the same in every directory of a version, so any copy can replace it. */
#define FORMAT_TO_DO                                                                            \
    "if the directory is an unfinished copy, copy it again; otherwise make sure that no other " \
    "server uses it, then copy FORMAT from a backup, or from any directory that this version "  \
    "created"
/* Checks by FORMAT that this program may open the directory. ERR_MISSING: it has no FORMAT;
 * ERR_UNSUPPORTED: a newer or a never released version wrote it; ERR_CORRUPT. */
MUST_CHECK enum err format_check(struct env *env, const char *dir, struct why *why);
/* Reads FORMAT, whether or not this program knows the version. ERR_MISSING, ERR_CORRUPT. */
MUST_CHECK enum err format_read(struct env *env, const char *dir, unsigned *ret_version,
                                unsigned *ret_min_reader, struct why *why);
MUST_CHECK enum err format_write(struct env *env, const char *dir, struct why *why);

#endif
