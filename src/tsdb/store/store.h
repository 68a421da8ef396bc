/* store.h - private to tsdb/: struct tsdb, and functions that the files of this folder share. */
#ifndef TSDB_STORE_STORE_H
#define TSDB_STORE_STORE_H

#include "model/series_rules.h"
#include "sys/env.h"
#include "tsdb/head/head.h"
#include "tsdb/merge/parts.h"
#include "tsdb/part/remote.h"
#include "tsdb/read/view.h"
#include "tsdb/store/manifest.h"
#include "tsdb/tsdb.h"
#include "wal/wal.h"

/* --- identity.c ------------------------------------------------------------------------------- */

/*
 * The id of a storage directory, which is part of the names of objects in buckets and of files
 * elsewhere, and whether the directory is the one that was last open under that id. Format:
 * docs/format/manifest.md.
 *
 * A directory that is restored from an older copy continues at an older position of its log. With
 * the same id, names made of id and position would be used again, for other content.
 *
 * Threads: one at a time.
 */

enum { IDENTITY_BYTES = 16, IDENTITY_RENEW_MS = 5000 };

struct identity {
    struct env *env;
    const char *dir;
    uint8_t id[IDENTITY_BYTES];
    enum tsdb_identity finding;
    bool kept;
    uint8_t log_id[WAL_LOG_ID_BYTES];   /* all zero if there was no log */
    uint64_t end_pos;                   /* end of the log at the last renewal */
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples accepted up to `end_pos` */
    bool totals_known;
    unsigned slot;             /* slot of the witness */
    struct file_facts witness; /* properties of the witness when it was made */
    struct file_facts place;   /* properties of the directory */
    int64_t renewed_ns;
};

/* The position and totals of the log. */
struct identity_log {
    const uint8_t *id; /* WAL_LOG_ID_BYTES; NULL if there is no log so far */
    uint64_t end_pos;
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples accepted up to `end_pos` */
};

/*
 * Finds out which id the directory has, or gives it one; that is durable on return. The directory
 * is locked, and its log, which ends at `end_pos`, is recovered. `dir` outlives the identity.
 * Errors do not make it fail: see TSDB_IDENTITY_UNKEPT. `ret_reason` says what was found in
 * TSDB_IDENTITY_CHANGED and _UNKEPT. ERR_IO: there is no randomness.
 */
MUST_CHECK enum err identity_open(struct identity *identity, struct env *env, const char *dir,
                                  struct identity_log log, struct why *ret_reason);

/*
 * The log is there now: makes a copy of the directory older than the directory itself. It does
 * something at most every IDENTITY_RENEW_MS, and if the log has grown. After an error it is tried
 * again.
 */
MUST_CHECK enum err identity_renew(struct identity *identity, struct identity_log log,
                                   struct why *why);

/*
 * A log whose last commits are damaged or cut off looks like one whose last commit was broken off
 * by a crash. If the directory is the one that was last open, and its log had reached further than
 * it does now, what is missing after `from_pos` is added to `damage`, whose totals become what the
 * log had accepted. Else nothing changes: a copy may be older. `from_totals` are the samples that
 * the log had accepted at `from_pos`; NULL if not known.
 */
void identity_note_lost_end(struct env *env, const char *dir, uint64_t from_pos,
                            const uint64_t *from_totals, struct wal_damage *damage);

/* Checks the file, for verify. ERR_MISSING, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_IO. */
MUST_CHECK enum err identity_check(struct env *env, const char *dir, struct why *why);

/* --- identity.c: the lock of a directory ------------------------------------------------------ */

/*
 * Lets one process at a time write into a storage directory. Format: docs/format/manifest.md.
 *
 * Threads: one takes and drops it; any may call dir_lock_look().
 */
enum { DIR_LOCK_FILES = 2, DIR_LOCK_LINE_BYTES = 80 };

/* In the owner's memory; zeroed by dir_lock_init(). */
struct dir_lock {
    /* Immutable once taken. */
    struct env *env;
    const char *dir; /* borrowed for as long as the lock lives */
    struct file files[DIR_LOCK_FILES];
    struct file_facts facts[DIR_LOCK_FILES]; /* number 0: unknown */
    struct file_facts place;                 /* facts of the directory; number 0: unknown */
    char line[DIR_LOCK_LINE_BYTES];          /* content of LOCK; "" if it could not be written */
    bool watch;                              /* another machine may be using the directory */
    bool taken;
    bool made_file; /* LOCK was missing */

    _Atomic int state; /* enum tsdb_dir; relaxed: it orders nothing */
};

/* Allocates nothing; `dir` is borrowed until dir_lock_drop(). */
void dir_lock_init(struct dir_lock *lock, struct env *env, const char *dir);

/* Locks LOCK, which is created if missing. The directory exists. ERR_AGAIN: another process holds
 * it. ERR_INPUT: it is not completely restored. ERR_IO. */
MUST_CHECK enum err dir_lock_take(struct dir_lock *lock, struct why *why);
/* Locks FORMAT, which exists by now, and writes the line into LOCK. If the locks may not show a
 * server on another machine this watches the directory for WATCH_MS. Until this returns OK, nothing
 * may be read that a server changes. ERR_AGAIN: another process uses the directory. ERR_IO. */
MUST_CHECK enum err dir_lock_complete(struct dir_lock *lock, struct why *why);

/* Checks that the locked files still protect the directory. ERR_CORRUPT: neither does, or only one,
 * see lock->state and `why`; nothing may be acknowledged then. */
MUST_CHECK enum err dir_lock_look(struct dir_lock *lock, struct why *why);
/* True if, at the last look, acknowledged samples could be written into the directory. */
bool dir_lock_may_write(const struct dir_lock *lock);

/* Releases the lock; a directory in a valid state is marked so. Of a lock taken in part, LOCK is
 * removed if it was missing. */
void dir_lock_drop(struct dir_lock *lock);

/* --- the store -------------------------------------------------------------------------------- */

enum { BORDERS_MAX = 256 };

/* The contents of the manifest besides the list of parts. */
struct saved {
    uint64_t store_pos;
    uint64_t segment;
    uint64_t next_ref;
    uint64_t ref_floor;
    bool log_totals_known;
    uint64_t log_totals[LEDGER_KIND_COUNT]; /* totals of the log at store_pos */
    struct ledger *totals;                  /* totals at store_pos, by tenant id */
    uint32_t tenant_count;
};

/* The receipt of a deletion, with its texts. */
struct receipt {
    struct tsdb_receipt facts;
    size_t bytes;
};

/* Counts of the samples that a rule of retention has removed, or one of downsampling has replaced,
 * for all tenants together: see rules.c. */
struct rule_count {
    struct bytes match;
    struct bytes tenants;  /* their names with commas */
    int64_t resolution_ms; /* of a rule of downsampling */
    size_t bytes;
    struct rule_done done, next; /* next: after the edit that is written */
};
enum { RULE_COUNTS_MAX = 2 * SERIES_RULES_MAX };
struct rule_counts {
    struct rule_count **items;
    uint32_t count;
    uint32_t capacity;
};

/* The last survey of rules. */
struct rules_seen {
    uint64_t configured;      /* number of the rules */
    struct series_cost *list; /* by rule; NULL: there was no survey, or there are no rules */
    uint32_t count;
    int64_t at_ms;
    int64_t again_ns;
};

/* See tsdb_border_new(). */
struct border {
    bool used;
    uint64_t pos; /* 0 if it is not set */
};

struct tsdb {
    struct answerer answerer; /* first member, so that it converts to the store */
    struct env *env;
    struct tsdb_options options;
    char dir[200];
    char parts_dir[200];
    struct budget cache_budget;
    struct budget wal_budget;
    struct budget flush_budget;
    struct budget merge_budget;
    struct dir_lock lock;                  /* for a store that is written */
    struct tsdb_reading_lock reading_lock; /* for a store that is only read */
    int64_t looked_ns;                /* monotonic time of the last check; committing thread only */
    struct identity identity;         /* flushing thread only */
    char name_id[TSDB_NAME_ID_BYTES]; /* immutable after tsdb_open() */
    /* Flushing thread only: time of a sample in the future, and head.edits when it was found. */
    int64_t future_ms;
    uint64_t future_edits;
    struct wal *wal;
    struct page_cache *cache;
    struct remote_store remote; /* the bucket that has the parts that are remote */
    uint64_t parts_set_aside;   /* parts set aside by tsdb_open() */

    /* LOCK_RANK_EDIT; guards to the next blank line. Held while a manifest is written, so that
     * edits happen one after another. */
    struct lock edit_lock;
    uint64_t edit;
    struct saved saved;
    struct file_facts manifest; /* facts of the file as last written; number 0 if unknown */
    struct part **uncertain;    /* parts that are not live and that a failed manifest may name */
    uint32_t uncertain_count;
    struct receipts {
        struct receipt *items[DELETIONS_KEPT_MAX]; /* by number */
        uint32_t count;
        uint64_t final_id; /* deletions up to this one can no longer be undone; never decreases */
    } receipts;
    struct rule_counts rule_counts[RULE_KINDS];
    uint64_t *removed; /* numbers of parts that the manifest lists as removed */
    uint32_t removed_count;

    struct tsdb_bucket *bucket; /* guarded by live.lock; NULL: there is none */
    struct live live;           /* changed while both the edit lock and live.lock are held */
    struct border borders[BORDERS_MAX]; /* guarded by live.lock */
    struct tsdb_merge_now merge_now;    /* guarded by live.lock */
    struct rules_seen rules_seen;       /* guarded by live.lock; tsdb_rules_look() changes it */
    /* Merging thread only: monotonic; merges leave parts in the bucket as they are until then. */
    int64_t remote_rest_ns;
    /* Merging thread only: the rules for which all parts were looked at, and when to look again. */
    uint64_t rules_looked;
    int64_t rules_look_ns;
    /* Merging thread only: the same for the levels. */
    uint64_t levels_looked;
    int64_t levels_look_ns;

    struct head head;

    _Atomic uint64_t next_part;
    uint64_t replayed_pos; /* position at which replay began; immutable after tsdb_open() */
    uint64_t opened_pos;   /* end of the log after the replay; immutable after tsdb_open() */
    struct wal_gaps gaps;  /* parts of the log that the replay could not read; likewise immutable */
    _Atomic uint64_t store_pos;
    /* head.lock guards these: the log's totals at store_pos. */
    bool stored_known;
    uint64_t stored_totals[LEDGER_KIND_COUNT];
    _Atomic uint64_t flushes_total;
    _Atomic uint64_t flush_failures_total;
    _Atomic uint64_t undone_epochs_total;
    _Atomic uint64_t merges_total;
    _Atomic uint64_t merge_failures_total;
    _Atomic uint64_t merge_bytes_total;
    _Atomic uint32_t merge_halvings; /* times that the memory for plans was halved: merging.c */
    _Atomic uint64_t free_bytes;
    _Atomic uint64_t reserve_bytes; /* free bytes that merges must leave */
};

/* --- edits (edit.c): nothing else changes what is live ---------------------------------------- */

struct store_edit {
    struct part *const *add; /* borrowed: the version takes references of its own */
    uint32_t add_count;
    struct part *const *remove; /* live parts; removed from disk after their last reader */
    uint32_t remove_count;
    const struct ledger *change; /* changes of the totals, by tenant id; modulo 2^64 */
    uint32_t change_count;
    /* New tombstones of one tenant and range, whose positions the edit may move, and the receipts
     * of them, which are taken if the edit succeeds. */
    struct tombstone *const *tombstones;
    struct receipt *const *receipts;
    uint32_t deletion_count;
    uint64_t undo;                         /* number of the tombstone that is removed; 0: none */
    const struct series_rules *rules;      /* by which samples were removed; NULL: none */
    const struct rule_done *removed;       /* by each of them */
    const struct part_merge_level *levels; /* and what each of their rules has replaced */
    uint32_t level_count;
    bool flush; /* the added parts hold the frozen generation, and earlier generations that replay
                   has written */
};
/*
 * Makes an edit live as a whole, or not at all. If writing the manifest fails, added parts stay on
 * disk, since it may name them; the edit may be repeated or dropped.
 */
MUST_CHECK enum err store_edit(struct tsdb *db, const struct store_edit *edit, struct why *why);
/* The same, under the edit lock. */
MUST_CHECK enum err store_edit_locked(struct tsdb *db, const struct store_edit *edit,
                                      struct why *why);
/* Remembers the file MANIFEST after it was written, for tsdb_look_at_manifest(). */
void edit_note_manifest(struct tsdb *db);
/* Prepares for edits in tsdb_open(), after parts and tenants were read and before the replay. */
MUST_CHECK enum err edits_begin(struct tsdb *db, const struct manifest *manifest);
void edits_end(struct tsdb *db);
/* Sorts the parts by their positions in the log. */
void parts_sort(struct version *version);
/* True if the list contains the part. */
bool parts_have(const struct part *part, struct part *const *list, uint32_t count);
/* In tsdb_open(): keeps a part that was set aside in the manifest, so that it is used again when it
 * has its name back. ERR_NOMEM. */
MUST_CHECK enum err edit_keep_aside(struct tsdb *db, const struct part_entry *part);
/* Fills in what MANIFEST says now, with lists in `arena` and texts that live under the edit lock.
 * Under the edit lock. ERR_NOMEM. */
MUST_CHECK enum err edit_fill_manifest(struct tsdb *db, struct arena *arena,
                                       struct manifest *ret_manifest);
/* Writes a manifest of the live parts into another directory, which has no log; `all_here`: it gets
 * those in a bucket, too. Under the edit lock. */
MUST_CHECK enum err edit_write_manifest(struct tsdb *db, const char *dir, bool all_here,
                                        struct why *why);

/* --- the directory (store.c) ------------------------------------------------------------------ */

/* True if the file or directory exists, or cannot be examined. */
bool tsdb_is_there(struct tsdb *db, const char *path);
/* Checks that the paths still lead to the locked directory; call before writing acknowledged
 * samples. ERR_CORRUPT: they lead to another directory, or to one that another server writes. */
MUST_CHECK enum err tsdb_look_before_write(struct tsdb *db, struct why *why);
/* Finds out how much space of the disk is free. Any thread. */
void store_look_at_space(struct tsdb *db);

/* --- snapshots (snapshot.c) ------------------------------------------------------------------- */

/* Removes unfinished snapshots. */
void snapshots_sweep(struct tsdb *db);

/* --- tombstones.c ----------------------------------------------------------------------------- */

/* Reads the tombstones of a manifest. ERR_CORRUPT: a matcher is invalid; ERR_NOMEM. */
MUST_CHECK enum err tombstones_read(struct budget *budget, const struct manifest *manifest,
                                    struct tombstones **ret_set, struct why *why);
/* Fills in the tombstones of a manifest; texts are views of the set. ERR_NOMEM. */
MUST_CHECK enum err tombstones_write(const struct tombstones *set, struct arena *arena,
                                     struct manifest *manifest);

/* Reads the receipts of a manifest. ERR_NOMEM, ERR_CORRUPT. */
MUST_CHECK enum err receipts_read(struct tsdb *db, const struct manifest *manifest,
                                  struct why *why);
/* Fills in the receipts of a manifest, after the edit (may be NULL). Under the edit lock.
 * ERR_NOMEM. */
MUST_CHECK enum err receipts_write(struct tsdb *db, const struct store_edit *edit,
                                   struct arena *arena, struct manifest *manifest);
/* Changes the receipts as the edit says. Under the edit lock. */
void receipts_change(struct tsdb *db, const struct store_edit *edit);
void receipts_free(struct tsdb *db);
/* Ends the hold of deletions that merges may apply from now on, and of all up to a number. Returns
 * the number of the last of these. */
uint64_t deletions_settle(struct tsdb *db, uint64_t up_to);

/* --- rules.c ---------------------------------------------------------------------------------- */

/* Reads the rules of retention that were in force, and what each rule has removed. ERR_NOMEM,
 * ERR_CORRUPT. */
MUST_CHECK enum err rules_read(struct tsdb *db, const struct manifest *manifest, struct why *why);
/* Only the rules that were in force, over which there are none yet. Under the head's lock, or
 * before there are readers. */
MUST_CHECK enum err rules_read_in_force(struct tsdb *db, const struct manifest *manifest,
                                        struct why *why);
/* Fills in a manifest's rules, after the edit (may be NULL). Under the edit lock. ERR_NOMEM. */
MUST_CHECK enum err rules_write(struct tsdb *db, const struct store_edit *edit, struct arena *arena,
                                struct manifest *manifest);
/* Takes over the counts of the edit that was written. Under the edit lock. */
void rules_counted(struct tsdb *db);
void rules_free(struct tsdb *db);

/* Returns a number that no other levels of this process have; 0 for none. */
uint64_t levels_number(const struct tsdb_limits *limits);
/* Adds up the rollups of parts by resolution, the finest first. ERR_NOMEM. */
MUST_CHECK enum err resolutions_of(struct part *const *parts, uint32_t count, struct arena *arena,
                                   struct rollup_facts **ret_list, uint32_t *ret_count);

/* --- flushing (flush.c) ----------------------------------------------------------------------- */

/* Writes the frozen generation as a part that is in no manifest; given. Under no lock. */
MUST_CHECK enum err flush_write_part(struct tsdb *db, struct part **ret_part, struct why *why);
/* Publishes the frozen generation, with the parts of earlier generations that are not live, in one
 * edit. The parts are borrowed. Under no lock. After an error try again. */
MUST_CHECK enum err flush_frozen(struct tsdb *db, struct part *const *before, uint32_t before_count,
                                 struct why *why);

/* --- replay (log_replay.c) -------------------------------------------------------------------- */

/* Subtracts samples that parts hold from the damage found in the log, and adds commits that are
 * missing at its end. The totals become those that the log had accepted, as far as known. */
void log_damage_note(struct env *env, const char *dir, const struct manifest *m,
                     struct wal_damage *damage);
/* Reads the log into the head, from the manifest's position on. If it is too large for the head,
 * all of it is written to parts, and the head is empty at the end. Under no lock, before other
 * threads start. After an error none of it is live. */
MUST_CHECK enum err replay_log(struct tsdb *db, const struct manifest *m,
                               struct tsdb_opening *ret_opening, struct why *why);

#endif
