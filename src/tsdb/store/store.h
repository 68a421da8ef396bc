/* store.h - private to tsdb/: the store as an object. */
#ifndef TSDB_STORE_STORE_H
#define TSDB_STORE_STORE_H

#include "tsdb/head/head.h"
#include "tsdb/read/view.h"
#include "tsdb/store/dir_lock.h"
#include "tsdb/store/identity.h"
#include "tsdb/store/manifest.h"
#include "tsdb/tsdb.h"

enum { BORDERS_MAX = 256 };

/* What the manifest says beside the list of parts. */
struct saved {
    uint64_t store_pos;
    uint64_t segment;
    uint64_t next_ref;
    uint64_t ref_floor;
    bool log_totals_known;
    uint64_t log_totals[LEDGER_KIND_COUNT]; /* at store_pos */
    struct ledger *totals;                  /* by tenant id, at store_pos */
    uint32_t tenant_count;
};

/* See tsdb_border_new(). */
struct border {
    bool used;
    uint64_t pos; /* 0: nowhere */
};

struct tsdb {
    struct answerer answerer; /* first: it is handed out */
    struct env *env;
    struct tsdb_options options;
    char dir[200];
    char parts_dir[200];
    struct budget cache_budget;
    struct budget wal_budget;
    struct budget flush_budget;
    struct budget merge_budget;
    struct dir_lock lock;                  /* of a store that is written, */
    struct tsdb_reading_lock reading_lock; /* or only read */
    int64_t looked_ns;                     /* at the directory; the committing thread's */
    struct identity identity;              /* the flushing thread's, but for the next one */
    char name_id[TSDB_NAME_ID_BYTES];
    /* The flushing thread's: a sample of the future, and after which edits it was found. */
    int64_t future_ms;
    uint64_t future_edits;
    struct wal *wal;
    struct page_cache *cache;
    uint64_t parts_set_aside; /* when it was opened */

    /*
     * LOCK_RANK_EDIT; guards to the next blank line. Held while a manifest is written: who changes
     * what is live must do so one after the other.
     */
    struct lock edit_lock;
    uint64_t edit;
    struct saved saved;
    struct file_facts manifest; /* as this process wrote it last; a number of 0: not known */
    struct part **uncertain;    /* not live, but a manifest that failed may name them */
    uint32_t uncertain_count;
    uint64_t *removed; /* numbers of parts that the manifest names as such */
    uint32_t removed_count;

    struct live live;                   /* changed under the edit lock, too */
    struct border borders[BORDERS_MAX]; /* under its lock */

    struct head head;

    _Atomic uint64_t next_part;
    uint64_t replayed_pos; /* where replay began; immutable after tsdb_open(), as the next */
    uint64_t opened_pos;   /* where the log ended then */
    _Atomic uint64_t store_pos;
    _Atomic uint64_t flushes_total;
    _Atomic uint64_t flush_failures_total;
    _Atomic uint64_t undone_epochs_total;
    _Atomic uint64_t merges_total;
    _Atomic uint64_t merge_failures_total;
    _Atomic uint64_t merge_bytes_total;
    _Atomic uint32_t merge_halvings; /* of the memory that plans count on: see merging.c */
    _Atomic uint64_t free_bytes;
    _Atomic uint64_t reserve_bytes; /* of them, for more than writing */
};

/* --- edits (edit.c): nothing else changes what is live ---------------------------------------- */

struct store_edit {
    struct part *const *add; /* borrowed: the version takes references of its own */
    uint32_t add_count;
    struct part *const *remove; /* live ones; removed from disk after their last reader */
    uint32_t remove_count;
    const struct ledger *change; /* of the totals, by tenant id; modulo 2^64 */
    uint32_t change_count;
    struct tombstone *tombstone; /* gets its position here; NULL: none */
    bool flush; /* what is added, if anything, holds the frozen generation, and those before it
                   that replay has written */
};
/*
 * All or nothing, but for a failure in the last moment: then what is added stays on disk, and the
 * edit may be repeated or forgotten.
 */
MUST_CHECK enum err store_edit(struct tsdb *db, const struct store_edit *edit, struct why *why);
/* MANIFEST was written: tsdb_look_at_manifest() compares with what is there now. */
void edit_note_manifest(struct tsdb *db);
/* While the store is opened, when parts and tenants are there and the log is not yet replayed. */
MUST_CHECK enum err edits_begin(struct tsdb *db, const struct manifest *manifest);
void edits_end(struct tsdb *db);
/* Whether the list has the part. */
bool parts_have(const struct part *part, struct part *const *list, uint32_t count);
/*
 * While the store is opened: if the part was put aside it stays named, so that it is taken back
 * when it comes under its name again. ERR_NOMEM.
 */
MUST_CHECK enum err edit_keep_aside(struct tsdb *db, const struct manifest_part *part);
/* Whether there is a file or directory of that name, or that cannot be told. */
bool tsdb_is_there(struct tsdb *db, const char *path);
/* ERR_CORRUPT: the directory is not this process's own any more, see dir_lock_look(). */
MUST_CHECK enum err tsdb_look_at_dir(struct tsdb *db, struct why *why);
/* For what is acknowledged already. ERR_CORRUPT: whatever is written by path would go astray, or
 * into what another server writes. */
MUST_CHECK enum err tsdb_look_before_write(struct tsdb *db, struct why *why);
/* The manifest of what is live now into another directory, as of one without a log. Under the edit
 * lock. */
MUST_CHECK enum err edit_write_manifest(struct tsdb *db, const char *dir, struct why *why);

/* --- snapshots (snapshot.c) ------------------------------------------------------------------- */

/* Removes those that were never finished. */
void snapshots_sweep(struct tsdb *db);

/* --- sweep.c ---------------------------------------------------------------------------------- */

/* When the log and the live parts are open. */
void parts_sweep(struct tsdb *db, const struct manifest *manifest, struct tsdb_opening *opening);

/* --- tombstones.c ---------------------------------------------------------------------------- */

/* The set that a manifest tells of. ERR_CORRUPT: a matcher that none is. */
MUST_CHECK enum err tombstones_read(struct budget *budget, const struct manifest *manifest,
                                    struct tombstones **ret_set, struct why *why);
/* Fills in what the manifest says of them; texts are views of the set. */
MUST_CHECK enum err tombstones_write(const struct tombstones *set, struct arena *arena,
                                     struct manifest *manifest);

/* --- flushing (flush.c) ----------------------------------------------------------------------- */

/* Writes the frozen generation as a part, which no manifest names; given. Under no lock. */
MUST_CHECK enum err flush_write_part(struct tsdb *db, struct part **ret_part, struct why *why);
/*
 * Publishes the frozen generation, with the parts of those before it that are not live: one edit,
 * all or nothing. The parts are borrowed. Under no lock. On errors: try again.
 */
MUST_CHECK enum err flush_frozen(struct tsdb *db, struct part *const *before, uint32_t before_count,
                                 struct why *why);

/* --- replay (replay.c) ------------------------------------------------------------------------ */

/*
 * Takes from the damage that was found in the log what parts have, and adds the commits that are
 * missing at the log's end. Its totals become what the log had accepted, as far as that is known.
 */
void log_damage_note(struct env *env, const char *dir, const struct manifest *m,
                     struct wal_damage *damage);
/*
 * Reads the log into the head, from the manifest's position on. If it is too much for the head all
 * of it goes into parts, and the head is empty in the end. Under no lock, before any other thread.
 * After an error nothing of it is live.
 */
MUST_CHECK enum err replay_log(struct tsdb *db, const struct manifest *m,
                               struct tsdb_opening *ret_opening, struct why *why);

/* --- stretch.c -------------------------------------------------------------------------------- */

/* Where borders are, of which there are BORDERS_MAX at most; how many. */
uint32_t borders_list(struct tsdb *db, uint64_t *ret_positions);

#endif
