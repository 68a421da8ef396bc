/* store.h - private to tsdb/: the store as an object. */
#ifndef TSDB_STORE_STORE_H
#define TSDB_STORE_STORE_H

#include "tsdb/codec/record.h"
#include "tsdb/head/gen.h"
#include "tsdb/part/part.h"
#include "tsdb/part/tombstone.h"
#include "tsdb/read/interleave.h"
#include "tsdb/read/stretch.h"
#include "tsdb/store/identity.h"
#include "tsdb/store/manifest.h"
#include "tsdb/tsdb.h"

enum {
    VOIDS_REMEMBERED = 64,
    BORDERS_MAX = 256,
    SLICE_FLOATS = 4096, /* at most */
    SLICE_PIECES = 2048,
    SLICE_BYTES = 4 * 1024 * 1024
};

/* The parts that are live, in the order of the log. Immutable; queries hold a reference. */
struct version {
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct budget *budget;
    struct tombstones *tombstones; /* a reference of its own */
    uint32_t part_count;
    uint32_t capacity;
    struct part *parts[];
};

enum { FAMILY_TEXT_MAX = 64 * 1024 }; /* longer names and texts are not kept */

/* What was said of a family in an epoch. */
struct family_text {
    struct family_text *older; /* as long as a view may want it */
    uint64_t epoch;
    enum metric_type type;
    struct bytes help; /* behind it, as the next */
    struct bytes unit;
};

/* Stays as long as its tenant. */
struct family {
    struct family *next;   /* in the hash table */
    struct family *before; /* the one that came before; immutable, as the next two */
    struct bytes name;
    uint64_t hash;
    struct family_text *text; /* the last; NULL: nothing is known */
};

struct tenant {
    uint32_t id;
    struct bytes name;
    uint64_t hash;
    struct ledger total;     /* committed or not */
    struct ledger change[2]; /* by epoch & 1, to be taken back if it fails */
    uint64_t change_epoch[2];
    uint64_t in_parts[LEDGER_KIND_COUNT]; /* as the live parts tell */
    struct family *newest_family;
    struct family **families; /* hash table */
    uint32_t family_capacity;
    uint32_t family_count;
};

/* A snapshot taken when a generation is cut. */
struct cut {
    uint64_t pos;
    uint64_t segment;
    uint64_t epoch;
    bool metadata;          /* families changed since the cut before */
    struct ledger *ledgers; /* by tenant id */
    uint32_t tenant_count;
    struct part *part; /* written, but the manifest with it could not be */
};

/* What the manifest says beside the list of parts. */
struct saved {
    uint64_t store_pos;
    uint64_t segment;
    uint64_t next_ref;
    uint64_t ref_floor;
    struct ledger *totals; /* by tenant id, at store_pos */
    uint32_t tenant_count;
};

/* A piece of a series that this slice takes on. */
struct piece {
    const struct rw_series *from;
    struct series *series;
    struct gen_series *samples; /* of it, in the active generation */
    struct rw_range floats;
    struct rw_range histograms;
    struct rw_range exemplars;
};

/* Columns of one slice on their way into log records. */
struct scratch {
    struct piece *pieces;
    uint64_t *refs;
    int64_t *times;
    uint64_t *bits;
    int64_t *starts;
    uint8_t *hints;
    uint32_t slice_floats; /* as many as are judged in a moment: see slice_measure() */
    bool slice_was_slow;
    uint32_t float_count;
    bool has_starts;
    struct buf series;
    uint32_t series_count;
    const struct series *series_last; /* in `series` */
    struct buf histograms;
    uint32_t histogram_count;
    uint64_t histogram_last[3];
    struct buf exemplars;
    uint32_t exemplar_count;
    uint64_t exemplar_last[2];
    struct buf metadata;
    uint32_t metadata_count;
    struct buf payload;
    struct buf labels;
    struct label *label_list;
    uint32_t label_capacity;
    struct arena arena;
};

/* See stretch.h. */
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
    struct budget head_budget;
    struct budget cache_budget;
    struct budget wal_budget;
    struct budget flush_budget;
    struct budget merge_budget;
    struct file lock_file;
    struct identity identity; /* the flushing thread's, but for the next one */
    char name_id[TSDB_NAME_ID_BYTES];
    struct wal *wal;
    struct page_cache *cache;
    uint64_t parts_set_aside; /* when it was opened */
    uint64_t hash_seed;
    struct fingerprint_keys print_keys;

    /*
     * LOCK_RANK_EDIT; guards to the next blank line. Held while a manifest is written: who changes
     * what is live must do so one after the other.
     */
    struct lock edit_lock;
    uint64_t edit;
    struct saved saved;
    struct manifest_part *aside; /* put aside, by from_pos: see edit_keep_aside() */
    uint32_t aside_count;
    struct part **uncertain; /* not live, but a manifest that failed may name them */
    uint32_t uncertain_count;
    uint64_t *removed; /* numbers of parts that the manifest names as such */
    uint32_t removed_count;

    struct lock lock;        /* LOCK_RANK_TSDB; guards to the next blank line */
    struct version *version; /* changed under the edit lock, too */
    struct border borders[BORDERS_MAX];

    struct lock head_lock; /* LOCK_RANK_HEAD; guards to the next blank line */
    struct gen *active;
    struct gen *frozen; /* also under `lock`: it is published under both */
    struct tsdb_limits limits;
    struct tenant **tenants;      /* by id */
    struct tenant **tenant_table; /* by hash of the name; open addressing, twice the capacity */
    uint32_t tenant_count;
    uint32_t tenant_capacity;
    uint64_t next_ref;
    uint64_t next_gen;
    bool cut_wanted;
    bool parts_wanted; /* somebody waits for what is in the head to be in parts */
    struct cut cut;    /* of the frozen generation */
    int64_t newest_ms;
    int64_t retention_base_ms; /* as saved, and when this process began to count */
    int64_t retention_base_ns;
    bool disk_low;
    bool series_refused; /* by a limit, since the last cut */
    bool clock_suspect;
    uint32_t metadata_life; /* moves on when families were forgotten: series ask again */
    bool metadata_changed;  /* since the last cut */
    bool metadata_due;      /* and a cut is due for it */
    uint64_t metadata_rejected[REJECT_COUNT]; /* by this process */
    struct scratch scratch;
    bool undo_due; /* a commit failed, and its samples are not yet taken back */
    struct views views;

    /* LOCK_RANK_EPOCH; guards to the next blank line. Written under the head lock, too. */
    struct lock epoch_lock;
    uint64_t durable_epoch;
    struct {
        uint64_t first, last;
    } voids[VOIDS_REMEMBERED]; /* epochs that failed, in a ring */
    uint32_t void_count;

    _Atomic uint64_t next_part;
    uint64_t opened_pos; /* where the log ended then; immutable after tsdb_open() */
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

/* --- tenants (tenant.c), under the head lock -------------------------------------------------- */

/* ERR_LIMIT: there are too many; ERR_NOMEM. */
MUST_CHECK enum err tenant_find_or_add(struct tsdb *db, struct bytes name,
                                       struct tenant **ret_tenant);
struct tenant *tenant_find(struct tsdb *db, struct bytes name);
void tenants_free(struct tsdb *db);
/* Adds to the totals, so that it can be taken back while `epoch` is not committed. */
void tenant_count(struct tenant *tenant, uint64_t epoch, const struct ledger *change);
void tenants_undo(struct tsdb *db, uint64_t durable_epoch);
/* Families changed in this epoch or later may not be in the log: they are news again. */
void families_forget(struct tsdb *db, struct tenant *tenant, uint64_t epoch);
/*
 * Remembers metadata. *ret_changed: it was news, and belongs into the log. ERR_NOMEM; ERR_LIMIT:
 * the tenant has too many families.
 */
MUST_CHECK enum err family_set(struct tsdb *db, struct tenant *tenant,
                               const struct metadata *metadata, uint64_t epoch, bool *ret_changed);

/* What a view from this epoch knows of a family; NULL: nothing. */
const struct family_text *family_text_at(const struct family *family, uint64_t epoch);

/* What log and parts hold; beyond the limit it is left out. ERR_NOMEM. */
MUST_CHECK enum err family_restore(struct tsdb *db, struct tenant *tenant,
                                   const struct metadata *metadata);

/* --- generations ------------------------------------------------------------------------------ */

/* With a registry of its own, unless one is given. */
MUST_CHECK enum err head_new_gen(struct tsdb *db, struct registry *shared, struct gen **ret_gen);
/* With nothing pending: the active generation becomes the frozen one. Under the head lock. */
MUST_CHECK enum err head_cut_locked(struct tsdb *db);
/* The series with these labels in the active generation's registry; made if it is not there. */
MUST_CHECK enum err head_series(struct tsdb *db, uint32_t tenant, struct bytes labels,
                                struct series **ret_series);

void cut_free(struct tsdb *db, struct cut *cut);

/* --- edits (edit.c): nothing else changes what is live -----------------------------------------
 */

struct store_edit {
    struct part *const *add; /* borrowed: the version takes references of its own */
    uint32_t add_count;
    struct part *const *remove; /* live ones; gone from disk once nobody reads them */
    uint32_t remove_count;
    const struct ledger *change; /* of the totals, by tenant id; modulo 2^64 */
    uint32_t change_count;
    struct tombstone *tombstone; /* gets its position here; NULL: none */
    bool flush;                  /* what is added, if anything, is the frozen generation */
};
/*
 * All or nothing, but for a failure in the last moment: then what is added stays on disk, and the
 * edit may be repeated or forgotten.
 */
MUST_CHECK enum err store_edit(struct tsdb *db, const struct store_edit *edit, struct why *why);
/* While the store is opened, when parts and tenants are there and the log is not yet replayed. */
MUST_CHECK enum err edits_begin(struct tsdb *db, const struct manifest *manifest);
void edits_end(struct tsdb *db);
/*
 * While the store is opened: if the part was put aside it stays named, so that it is taken back
 * when it comes under its name again. ERR_NOMEM.
 */
MUST_CHECK enum err edit_keep_aside(struct tsdb *db, const struct manifest_part *part);
/* Whether there is a file or directory of that name, or that cannot be told. */
bool tsdb_is_there(struct tsdb *db, const char *path);
/* NULL while the log has no segment: that there is none is no loss then. */
const uint8_t *tsdb_log_id(struct tsdb *db);
/* The manifest of what is live now into another directory, as of one without a log. Under the edit
 * lock. */
MUST_CHECK enum err edit_write_manifest(struct tsdb *db, const char *dir, struct why *why);

/* --- time (tsdb.c), under the head lock ------------------------------------------------------- */

int64_t retention_now_ms(struct tsdb *db);
/* Whether the clock is to be believed. */
void look_at_clock(struct tsdb *db);

/* --- versions (tsdb.c) ------------------------------------------------------------------------ */

/* The live one, with a reference. Under no lock above LOCK_RANK_TSDB. */
struct version *version_pin(struct tsdb *db);
void version_unref(struct version *version);
MUST_CHECK enum err version_new(struct tsdb *db, uint32_t part_count, struct version **ret);
/* The newest part that holds metadata: what it says counts. NULL: none does. */
struct part *version_metadata_part(const struct version *version);

/* --- snapshots (snapshot.c) --------------------------------------------------------------------
 */

/* Removes those that were never finished. */
void snapshots_sweep(struct tsdb *db);

/* --- sweep.c ---------------------------------------------------------------------------------- */

/* When the log and the live parts are open. */
void parts_sweep(struct tsdb *db, const struct manifest *manifest, struct tsdb_opening *opening);

/* --- views (view.c) ----------------------------------------------------------------------------
 */

/* What there is at one moment; stays as long as somebody has a reference. */
struct store_view {
    struct view view; /* first: it is handed out */
    struct tsdb *db;
    struct budget *budget;
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct version *version;
    struct gen *gens[2]; /* frozen, active; NULL: none */
    struct head_view head;
    uint64_t epoch;              /* of `head`, with its high bits */
    struct tsdb_stretch stretch; /* only parts that meet it; to_pos 0: all */
};
/* `scope`: of the head, too; or of parts alone. */
enum view_scope { VIEW_ALL, VIEW_PARTS };
MUST_CHECK enum err store_view_open(struct tsdb *db, enum view_scope scope, struct budget *budget,
                                    struct store_view **ret_view, struct why *why);
void store_view_unref(struct store_view *view);
/* ERR_AGAIN: what the view saw of the head is not known any more. Under the head lock. */
MUST_CHECK enum err store_view_check(const struct store_view *view, struct why *why);

/* Series and samples that a question would get from parts. */
MUST_CHECK enum err parts_count(struct tsdb *db, const struct query_request *request,
                                uint64_t *ret_series, uint64_t *ret_samples, struct why *why);

/* --- replay (replay.c) ------------------------------------------------------------------------ */

struct replay;
MUST_CHECK enum err replay_log(struct tsdb *db, const struct manifest *m,
                               struct tsdb_opening *ret_opening, struct why *why);

/* --- records (record.c), written; record.h reads them ----------------------------------------- */

void record_floats(struct scratch *s, struct buf *to);
/* Appends to the scratch's series, of which all are in one registry. */
enum { RECORD_MASK_BITS = 63, RECORD_SERIES_BYTES_MAX = 3 * VARINT_SIZE_MAX }; /* and its labels */
void record_series(struct scratch *s, const struct registry *registry, const struct series *series);

/* --- stretch.c -------------------------------------------------------------------------------- */

/* Where borders are, of which there are BORDERS_MAX at most; how many. */
uint32_t borders_list(struct tsdb *db, uint64_t *ret_positions);

#endif
