/*
 * tsdb.h - the embedded store: takes decoded remote write requests, makes them durable through the
 * log, keeps them in head and parts, and answers select().
 *
 * It starts no threads. The caller drives it with steps:
 *
 * - tsdb_ingest(), any number of threads: verdict, head, log batch; then wait for the epoch;
 * - tsdb_commit(), one thread: one write and one sync for all that wait;
 * - tsdb_flush(), one thread: a frozen generation becomes a part;
 * - tsdb_maintain(), the flushing thread: log segments ahead and behind, space, the clock;
 * - the answerer, any number of threads.
 */
#ifndef TSDB_TSDB_H
#define TSDB_TSDB_H

#include "model/ledger.h"
#include "model/select.h"
#include "model/tenant_name.h"
#include "sys/env.h"
#include "tsdb/codec/record.h"
#include "tsdb/inspect/inspect.h"
#include "wal/wal.h"
#include "wire/remote/remote_write.h"

struct tsdb_options {
    struct env *env;
    const char *dir;
    struct budget *memory;     /* parent of head and log */
    struct budget *background; /* of cache, flush, merge: what requests cannot take; NULL: same */
    uint64_t flush_bytes;      /* what a flush can have there; 0: as much as it likes */
    uint64_t merge_bytes;      /* what a merge can: parts that need more stay apart; 0: the same */
    uint64_t head_bytes_max;
    uint64_t cache_bytes;
    uint64_t head_samples_max; /* a flush is due; 0: as many as are replayed in a moment */
    int64_t head_age_ms_max;   /* a flush is due */
    uint64_t wal_segment_bytes;
    uint64_t wal_batch_bytes;
    uint64_t wal_budget_bytes;
    enum wal_sync wal_sync;
    bool ack_memory; /* nobody waits for commits but readers: */
    /* Has a commit begun and waits for its end, but not for long; NULL: tsdb_commit() is called
     * only where nobody reads meanwhile. */
    void (*commit_now)(void *context);
    void *commit_context;
    struct lock *rules_lock; /* under which files in DIR/rules but `state` are replaced, of a rank
                                below all here; NULL: they are not while snapshots are made */
    uint32_t tenants_max;
    uint64_t min_free_bytes;
    bool log_only;  /* nothing goes into parts: what leaves the head was for readers of the log */
    bool read_only; /* see tsdb_open() */
};

/* Of which series a __name__ is demanded. Auto: of those sent by remote write 2.0. */
enum name_rule { NAME_AUTO, NAME_ALWAYS, NAME_NEVER };

/* What a reload may change. */
struct tsdb_limits {
    struct labels_limits labels;
    int64_t retention_ms;
    uint64_t retention_bytes; /* of all parts, of which the newest always stays; 0: no limit */
    int64_t max_future_ms;
    uint64_t wal_budget_bytes;
    uint32_t tenant_series_max; /* of each tenant in the head; 0: no limit. New ones are refused */
    uint32_t metric_series_max; /* of those, with one name */
    enum name_rule require_name;
};

struct tsdb;

/* Whether the directory is the one that was last open here: see tsdb_name_id(). */
enum tsdb_identity {
    TSDB_IDENTITY_SAME,
    TSDB_IDENTITY_FIRST,   /* not known: it is new, or of a version that did not remember */
    TSDB_IDENTITY_CHANGED, /* a copy, or put back from one: it has a new id */
    TSDB_IDENTITY_UNKEPT,  /* what tells it could not be read or written: an id of this run only */
};

enum { TSDB_NAME_ID_BYTES = 33, TSDB_REASON_BYTES = 256 };

/* What was found when the store was opened. */
struct tsdb_opening {
    uint64_t parts;
    uint64_t parts_set_aside; /* root damaged: renamed *.damaged, unless the store is only read */
    uint64_t parts_unnamed;   /* whole, and not in the manifest: renamed *.unnamed */
    bool manifest_mended;     /* one of its copies was damaged */
    uint64_t replayed_samples;
    uint64_t replayed_series; /* in each generation, if replay made parts */
    uint64_t replayed_parts;  /* that hold all of it; 0: the head does */
    struct wal_damage damage;
    char first_damage[256];
    char first_unnamed[256];
    bool unlocked; /* read_only: there was no lock to be had */
    bool watched;  /* for servers on other machines: see store/dir_lock.c */
    enum tsdb_identity identity;
    char identity_reason[TSDB_REASON_BYTES]; /* of CHANGED and UNKEPT */
};

/*
 * Opens or makes a storage directory and replays the log. ERR_AGAIN: another process uses it.
 * ERR_UNSUPPORTED: a newer version wrote it; nothing was touched. ERR_CORRUPT: the manifest is
 * damaged, or a part that it names is missing. ERR_INPUT: the directory cannot be made.
 *
 * With `read_only` nothing in the directory changes, which must be one already and may lie on media
 * that cannot be written; the log is replayed into memory. Then only the answerer may be used, and
 * what watches: the log is down, nothing may be flushed, merged or deleted.
 */
MUST_CHECK enum err tsdb_open(const struct tsdb_options *options, const struct tsdb_limits *limits,
                              struct tsdb **ret_tsdb, struct tsdb_opening *ret_opening,
                              struct why *why);
/* Abandons what is not committed. No thread may be in a step or hold a series set. */
void tsdb_free(struct tsdb *tsdb);
void tsdb_set_limits(struct tsdb *tsdb, const struct tsdb_limits *limits);

/* --- writing ---------------------------------------------------------------------------------- */

/* Where samples come from: from senders (imports, too), or from rules and self-scrapes. */
enum tsdb_origin { TSDB_FROM_SENDER, TSDB_FROM_SERVER };

enum { INGEST_TEXT_BYTES = 1024 };

struct ingest_result {
    /* Answer when tsdb_durable_epoch() has reached this; 0: at once. */
    uint64_t wait_epoch;
    uint64_t written[LEDGER_KIND_COUNT]; /* accepted, or there already with the same value */
    uint64_t rejected[LEDGER_KIND_COUNT];
    uint64_t rejected_total;             /* of all kinds, and metadata */
    uint64_t rejected_for[REJECT_COUNT]; /* all kinds, and metadata */
    char text[INGEST_TEXT_BYTES]; /* one line: counts by reason, the first offenders; "" if none */
};

/*
 * True if all samples were stored. Refused exemplars change nothing of that: a sender takes a
 * refusal for one of the whole batch, and counts samples as lost that are stored.
 */
static inline bool
ingest_result_is_success(const struct ingest_result *result)
{
    return result->rejected_total == result->rejected[LEDGER_EXEMPLAR];
}

/*
 * Judges, stores and logs a request. On an error part of it may be stored: the sender repeats all
 * of it, which is harmless. ERR_AGAIN: the log is down, behind or at its budget, the disk is nearly
 * full, or the clock is not to be trusted; ERR_NOMEM: a budget is exhausted. Both are temporary.
 * ERR_LIMIT: the head could not hold it if it were empty. ERR_INPUT: tenant_name_check() refuses
 * the name, there are too many tenants, or rw_series_check() is not true of an unchecked series;
 * nothing is stored.
 */
MUST_CHECK enum err tsdb_ingest(struct tsdb *tsdb, struct bytes tenant,
                                const struct rw_request *request, struct ingest_result *ret_result,
                                struct why *why);
/* The same of samples that the server makes itself, at times of its clock: these are no evidence
 * about the clock, see enum tsdb_clock. */
MUST_CHECK enum err tsdb_ingest_own(struct tsdb *tsdb, struct bytes tenant,
                                    const struct rw_request *request,
                                    struct ingest_result *ret_result, struct why *why);
/*
 * The same in two steps, for threads that must not wait for the disk. tsdb_ingest_begin() does all
 * but for samples at whose time the head has another value and which a part may hold: these are
 * neither written nor rejected yet, and the result has no text. *ret_doubts is NULL if there are
 * none; else tenant and request are borrowed until it is given to tsdb_ingest_end(), which
 * completes the result, or to tsdb_doubts_free(): then the sender is to repeat the request.
 */
struct tsdb_doubts;
MUST_CHECK enum err tsdb_ingest_begin(struct tsdb *tsdb, struct bytes tenant,
                                      const struct rw_request *request,
                                      struct ingest_result *ret_result,
                                      struct tsdb_doubts **ret_doubts, struct why *why);
/*
 * Reads parts, until `until_ns` (monotonic) at most: what is not found by then is a conflict. Takes
 * the doubts, on an error too: ERR_NOMEM, ERR_AGAIN. Any thread, under no lock.
 */
#define TSDB_LOOK_NS_MAX (5 * NS_PER_S) /* what tsdb_ingest() takes */
MUST_CHECK enum err tsdb_ingest_end(struct tsdb_doubts *doubts, int64_t until_ns,
                                    struct ingest_result *result, struct why *why);
void tsdb_doubts_free(struct tsdb_doubts *doubts);
/* What requests are to be decoded with: the seed of their keys, and the keys of their fingerprints,
 * which live as long as the store. */
uint64_t tsdb_hash_seed(const struct tsdb *tsdb);
const struct fingerprint_keys *tsdb_fingerprint_keys(const struct tsdb *tsdb);

/* True if a commit has something to do. */
bool tsdb_commit_due(struct tsdb *tsdb);
/*
 * Commits what has been ingested. On an error all epochs beyond tsdb_durable_epoch() are void and
 * were taken back; the log is down: answer 503, and call tsdb_reopen() until it succeeds.
 */
MUST_CHECK enum err tsdb_commit(struct tsdb *tsdb, struct why *why);
MUST_CHECK enum err tsdb_reopen(struct tsdb *tsdb, struct why *why);
/*
 * Looks whether the directory and the file of the log are still there and this process's own, at
 * most once a second; tsdb_commit() does so itself. For the committing thread when it has nothing
 * to commit. Errors: tsdb_commit().
 */
MUST_CHECK enum err tsdb_look(struct tsdb *tsdb, struct why *why);
/* For acknowledgement level `written`: syncs; call it about each second. Errors: tsdb_commit(). */
MUST_CHECK enum err tsdb_sync(struct tsdb *tsdb, struct why *why);
uint64_t tsdb_durable_epoch(struct tsdb *tsdb);
/*
 * What became of an epoch that a request waits for. VOID: its commit failed, or that of the epoch
 * before; nothing of it is stored. An epoch of long ago of which nothing is known any more is VOID:
 * the sender repeats.
 */
enum tsdb_epoch { TSDB_EPOCH_PENDING, TSDB_EPOCH_DURABLE, TSDB_EPOCH_VOID };
enum tsdb_epoch tsdb_epoch(struct tsdb *tsdb, uint64_t epoch);
bool tsdb_is_down(struct tsdb *tsdb);

/* --- flushing --------------------------------------------------------------------------------- */

/* A start after a crash may not find in the log all that is committed and in no part, because a
 * file was removed or the disk failed. A flush is due then, and ends it. */
bool tsdb_log_lost(struct tsdb *tsdb);
/* Samples, age, memory or log say that the head should be written out. */
bool tsdb_flush_due(struct tsdb *tsdb);
/* Asks the next commit to cut the generation, if there is anything in it and none is frozen. While
 * the log is down there is no next commit, and it is cut on return. */
void tsdb_want_cut(struct tsdb *tsdb);
bool tsdb_has_frozen(struct tsdb *tsdb);
/* Nothing is in the head, and nothing of the log is needed. */
bool tsdb_is_flushed(struct tsdb *tsdb);
/* Writes the frozen generation as a part and publishes it. OK if there is none. On errors: try
 * again. */
MUST_CHECK enum err tsdb_flush(struct tsdb *tsdb, struct why *why);
/*
 * Looks whether the complete segments of the log that the store still needs are there. ERR_IO: one
 * was removed or truncated, which is reported once; a flush is due then. The flushing thread.
 */
MUST_CHECK enum err tsdb_look_at_log(struct tsdb *tsdb, struct why *why);
/*
 * Looks whether MANIFEST is the file that this process wrote, and writes it again if not. ERR_IO:
 * it was removed, replaced or truncated; `why` also says if it could not be written again, which
 * the next call tries. The flushing thread.
 */
MUST_CHECK enum err tsdb_look_at_manifest(struct tsdb *tsdb, struct why *why);
/* Looks whether the files of live parts are there. ERR_IO: one was removed, which is reported once
 * of each part. The flushing thread. */
MUST_CHECK enum err tsdb_look_at_parts(struct tsdb *tsdb, struct why *why);
/* Prepares a log segment, gives up old ones, looks at free space and the clock. ERR_CORRUPT: does
 * nothing, see tsdb_dir_trouble(). */
MUST_CHECK enum err tsdb_maintain(struct tsdb *tsdb, struct why *why);

/* --- deleting --------------------------------------------------------------------------------- */

struct selector;
struct tsdb_deletion {
    uint64_t series; /* from which samples went */
    uint64_t samples;
};
/*
 * Hides what the selector selects in [min_ms, max_ms] from every reader, as far as it lies in
 * parts: flush first. Merges take it from disk. The selector's matchers are taken, on an error too.
 * One thread at a time.
 */
MUST_CHECK enum err tsdb_delete(struct tsdb *tsdb, struct bytes tenant, struct selector *selector,
                                int64_t min_ms, int64_t max_ms, struct tsdb_deletion *ret_deletion,
                                struct why *why);

/* --- snapshots -------------------------------------------------------------------------------- */

enum { SNAPSHOT_NAME_BYTES = 40 };
/*
 * Makes DIR/snapshots/NAME, a storage directory of hard links to the parts and to the files of
 * DIR/rules. Any thread; writing, flushing and merging go on. `flush` waits until all that was
 * acknowledged is in parts (NULL: it is); DIR/rules/state is linked before it is called, so that
 * the parts have all that the state says is recorded. `ret_name` has SNAPSHOT_NAME_BYTES. Errors of
 * `flush`, too.
 */
MUST_CHECK enum err tsdb_snapshot(struct tsdb *tsdb,
                                  enum err (*flush)(void *context, struct why *why), void *context,
                                  char *ret_name, struct why *why);

/* --- merging and retention: one thread, beside that which flushes ----------------------------- */

enum tsdb_merge_mode {
    TSDB_MERGE_DUE,  /* what is worth it, and parts of which something was deleted hours ago */
    TSDB_MERGE_FULL, /* one part for each partition of time, whatever it costs */
    TSDB_MERGE_CLEAN /* parts of which something was deleted, at once */
};
struct tsdb_merge_options {
    enum tsdb_merge_mode mode;
    uint64_t up_to_pos; /* parts that hold what came after it are left out; 0: none are */
    /* May be NULL. Asked now and then, may sleep; false: what was begun is given up. */
    bool (*go_on)(void *context);
    void *context;
};
struct tsdb_merge_result {
    uint32_t input_count; /* 0: nothing was to be done */
    uint32_t output_count;
    uint64_t input_bytes;
    uint64_t output_bytes;
    uint64_t samples; /* floats, histograms in the outputs; of what expired: those gone */
    uint64_t exemplars;
    uint64_t bytes_too_many; /* by which the newest part alone is beyond retention_bytes */
};
/*
 * Merges parts once, if that is worth it. ERR_CORRUPT: an input is damaged (or does not add up):
 * it is left alone from now on, others may be merged. ERR_CANCELED: told to stop.
 */
MUST_CHECK enum err tsdb_merge(struct tsdb *tsdb, const struct tsdb_merge_options *options,
                               struct tsdb_merge_result *ret_result, struct why *why);
/* Calls `each` for every part that is not merged because it is damaged, under no lock. */
void tsdb_left_alone(struct tsdb *tsdb,
                     void (*each)(void *context, uint64_t part, const char *reason), void *context);
/* Drops parts that are wholly beyond retention, by age and by size; never the newest by size. */
MUST_CHECK enum err tsdb_expire(struct tsdb *tsdb, struct tsdb_merge_result *ret_result,
                                struct why *why);

/* --- reading ---------------------------------------------------------------------------------- */

struct answerer *tsdb_answerer(struct tsdb *tsdb);

/* The log, for who follows it. */
struct wal *tsdb_wal(struct tsdb *tsdb);
/* Its id, of WAL_LOG_ID_BYTES; NULL while it has no segment. Any thread. */
const uint8_t *tsdb_log_id(struct tsdb *tsdb);
/*
 * 32 hex digits and a NUL, under which the directory gives names to what it hands on. They stay as
 * long as it is the same directory; a copy, and one that was put back from a copy, has others: so
 * that names made of them and of positions of the log never come again for other content. "" of one
 * that is only read.
 */
const char *tsdb_name_id(const struct tsdb *tsdb);

/*
 * NULL, or why nothing new may be written below the directory: another server may be at work in it,
 * or its path leads to another one. Known a second after it happens. The text is tsdb_dir_text().
 * Any thread.
 */
const char *tsdb_dir_trouble(struct tsdb *tsdb);

/* --- watching --------------------------------------------------------------------------------- */

/* Whose the storage directory is, while the store is open. */
enum tsdb_dir {
    TSDB_DIR_OURS,
    TSDB_DIR_MOVED,  /* its path leads to another directory, or to none; it may be put back */
    TSDB_DIR_CLOSED, /* LOCK or FORMAT is lost, but other servers are refused yet: final */
    TSDB_DIR_LOST,   /* another server may be at work in it: final */
};
/* A sentence that says what the state means and what to do; NULL for TSDB_DIR_OURS. */
const char *tsdb_dir_text(enum tsdb_dir dir);

/* Belief in the system clock. Without it, retention is suspended, and samples that are too
 * far ahead of it get ERR_AGAIN; all others are written. */
enum tsdb_clock {
    TSDB_CLOCK_GOOD,
    TSDB_CLOCK_BEFORE_SAMPLES, /* by more than max_future_ms before `newest_ms` of the statistics */
    TSDB_CLOCK_BEFORE_RELEASE, /* before this program was written */
};

struct tsdb_stats {
    struct wal_stats wal;
    uint64_t head_series;  /* with samples in the active generation */
    uint64_t known_series; /* whose labels are there */
    uint64_t head_samples; /* of both generations */
    uint64_t head_exemplars;
    uint64_t head_bytes;
    int64_t head_min_ms; /* of samples in either generation; none: min > max */
    int64_t head_max_ms;
    uint64_t frozen_series;
    uint64_t parts;
    uint64_t parts_left_alone; /* of those: not merged, because they are damaged */
    uint64_t parts_removed;    /* of those: by somebody else, while the store is open */
    uint64_t parts_set_aside;  /* when the store was opened, and not among those */
    uint64_t pages_damaged;    /* found by this process; each once, and at most 1024 */
    uint64_t part_bytes;
    uint64_t part_data_bytes; /* of those: samples and exemplars; the rest is index */
    uint64_t part_samples;    /* floats and histograms */
    uint64_t part_exemplars;
    uint64_t part_series; /* part by part: one that is in two parts counts twice */
    uint64_t store_pos;
    uint64_t flushes_total;
    uint64_t flush_failures_total;
    uint64_t undone_epochs_total;
    uint64_t merges_total;
    uint64_t merge_failures_total;
    uint64_t merge_bytes_total; /* written */
    uint64_t tombstones;
    uint64_t free_bytes;
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t cache_bytes;
    uint64_t tenants;
    uint64_t views; /* that are open */
    uint64_t views_lost_total;
    int64_t view_oldest_ns; /* how long the first of them has been; 0: there is none */
    uint64_t metadata_rejected[REJECT_COUNT]; /* by this process */
    int64_t newest_ms;                        /* of samples from senders; INT64_MIN: none */
    int64_t future_ms;                        /* samples after it are too far in the future */
    int64_t part_max_ms;                      /* of parts, from wherever; INT64_MIN: none */
    int64_t oldest_ms;                        /* of parts; INT64_MAX: none */
    int64_t retention_now_ms;
    bool disk_low;
    enum tsdb_dir dir; /* other than TSDB_DIR_OURS: writes are refused */
    enum tsdb_clock clock;
    bool down;
};
void tsdb_stats(struct tsdb *tsdb, struct tsdb_stats *ret_stats);

/* Calls `each` for every tenant with its totals, under no lock. */
void tsdb_ledgers(struct tsdb *tsdb,
                  void (*each)(void *context, struct bytes tenant, const struct ledger *ledger),
                  void *context);

/*
 * When the last requests of senders came, of one tenant; 0: none came since the store was opened,
 * or for `sent_ms`, since the log begins.
 * A request counts if it has floats or histograms, also if they are stored already or are refused:
 * a sender that repeats or loses samples still sends its backlog. Exemplars and metadata do not
 * count, nor do malformed messages and what tsdb_ingest_own() writes. Requests that are not judged
 * do not either: none are while the log is down, the disk is nearly full or the directory is lost.
 */
struct tsdb_arrivals {
    int64_t recent_ns; /* monotonic: with a sample at most a minute old, or ahead of the clock */
    int64_t late_ns;   /* monotonic: with a sample of a time that was watched then */
    int64_t sent_ms;   /* Unix: with any sample; follows the system clock when that is set back */
};
/* The times that are watched from now on, for all tenants; none are at first, and if min > max.
 * What was noted stays. Any thread. */
void tsdb_watch_arrivals(struct tsdb *tsdb, struct time_range late);
/* All zero for an unknown tenant. Any thread. */
struct tsdb_arrivals tsdb_arrivals(struct tsdb *tsdb, struct bytes tenant);

/* What lies in a partition of time. A part in several counts in the one where it begins. */
struct tsdb_partition {
    struct time_range time;
    uint64_t parts;
    uint64_t samples; /* floats and histograms */
    uint64_t exemplars;
    uint64_t data_bytes;
    uint64_t index_bytes;
};
/* Calls `each` for every partition that has parts, in order of time. ERR_NOMEM. */
MUST_CHECK enum err
tsdb_partitions(struct tsdb *tsdb,
                void (*each)(void *context, const struct tsdb_partition *partition), void *context);

struct tsdb_part {
    uint64_t number;
    struct time_range time; /* of its samples; none: min > max */
    uint64_t series;
    uint64_t blocks;
    uint64_t floats;
    uint64_t histograms;
};
/* Calls `each` for every part, under no lock. */
void tsdb_parts(struct tsdb *tsdb, void (*each)(void *context, const struct tsdb_part *part),
                void *context);

/* Calls `each` for the budgets of head, cache, log, flush, views and merge. */
void tsdb_budgets(struct tsdb *tsdb, void (*each)(void *context, const struct budget *budget),
                  void *context);

/* Of labels in the head of a tenant, for status pages. */
enum tsdb_ranking {
    TSDB_METRICS_BY_SERIES,
    TSDB_NAMES_BY_VALUES,
    TSDB_NAMES_BY_BYTES, /* of the value in each series */
    TSDB_PAIRS_BY_SERIES,
    TSDB_RANKING_COUNT
};
struct tsdb_cardinality {
    struct bytes name; /* of a pair: "name=value" */
    uint64_t count;
};
struct tsdb_top {
    struct tsdb_cardinality *items[TSDB_RANKING_COUNT]; /* in the arena, the biggest first */
    uint32_t counts[TSDB_RANKING_COUNT];
    uint64_t pairs; /* there are in all */
};
/* The biggest `max` of each. ERR_NOMEM. */
MUST_CHECK enum err tsdb_top(struct tsdb *tsdb, struct bytes tenant, struct arena *arena,
                             uint32_t max, struct tsdb_top *ret_top);

/* --- checking a directory at rest ------------------------------------------------------------- */

/*
 * Keeps servers off a directory that is only read, until it is dropped; others may read it, too.
 * In the owner's memory.
 */
struct tsdb_reading_lock {
    struct file lock;
    struct file format;
    bool held; /* false: a file system without locks */
};
#define TSDB_READING_LOCK_NONE \
    ((struct tsdb_reading_lock){.lock = FILE_CLOSED, .format = FILE_CLOSED})
/* ERR_AGAIN: a server is at work on it; ERR_MISSING: it is no storage directory; ERR_IO. */
MUST_CHECK enum err tsdb_reading_lock_take(struct env *env, const char *dir,
                                           struct tsdb_reading_lock *ret_lock, struct why *why);
/* Also of TSDB_READING_LOCK_NONE. */
void tsdb_reading_lock_drop(struct tsdb_reading_lock *lock);

struct tsdb_report {
    uint64_t damaged_places;
    uint64_t pages;
    uint64_t parts;
    uint64_t log_records;
    bool ledger_balances;
};
/*
 * Walks every checksum of log and parts and recounts the ledger. Calls `say` with a line for each
 * finding and each tenant. ERR_CORRUPT: something is damaged or does not add up; ERR_AGAIN: the
 * directory is in use.
 */
MUST_CHECK enum err tsdb_verify(struct env *env, const char *dir,
                                void (*say)(void *context, const char *line), void *context,
                                struct tsdb_report *ret_report, struct why *why);

/* --- stretches of the log: for destinations that want what the log no longer has; any thread -- */

/* What came in a stretch is asked of the parts. One that reaches beyond it is read as a whole. */
struct tsdb_stretch {
    uint64_t from_pos; /* of the log */
    uint64_t to_pos;   /* at most tsdb_store_pos() */
};

/* Parts cover the log up to here. */
uint64_t tsdb_store_pos(const struct tsdb *tsdb);

/* From here up to there the log was read when the store was opened: what was damaged of it then is
 * missing. Parts had what stood before. */
uint64_t tsdb_replayed_pos(const struct tsdb *tsdb);
uint64_t tsdb_opened_pos(const struct tsdb *tsdb);

/* Makes what is in the head due to become a part: a reader cannot have it from the log. */
void tsdb_want_parts(struct tsdb *tsdb);

/* The first time from `from_ms` on at which a part of the stretch may have samples. False: there is
 * none. */
bool tsdb_stretch_next_ms(struct tsdb *tsdb, const struct tsdb_stretch *stretch, int64_t from_ms,
                          int64_t *ret_ms);
/* The first tenant of parts of the stretch whose name is greater than this one; its name is
 * appended. False: there is none. */
bool tsdb_stretch_next_tenant(struct tsdb *tsdb, const struct tsdb_stretch *stretch,
                              struct bytes after, struct buf *ret_name);

/* A view of the parts of a stretch alone. What it is asked should be asked with `partial`: then
 * what is damaged is left out, and a warning. Its families are those of the head. */
MUST_CHECK enum err tsdb_stretch_view(struct tsdb *tsdb, const struct tsdb_stretch *stretch,
                                      struct query_control *control, struct view **ret_view,
                                      struct why *why);

/*
 * A border is a position of the log across which parts are not merged: so who has come to it can
 * go on from there later without reading what lies before, and reads nothing that lies after. It
 * means something to merges that are planned from now on. ERR_LIMIT: there are too many.
 */
MUST_CHECK enum err tsdb_border_new(struct tsdb *tsdb, uint32_t *ret_border);
void tsdb_border_free(struct tsdb *tsdb, uint32_t border);
void tsdb_border_set(struct tsdb *tsdb, uint32_t border, uint64_t pos); /* 0: nowhere */

/* What was stored once and is no more, of all tenants. */
struct tsdb_gone {
    uint64_t deleted;
    uint64_t expired;
    uint64_t superseded; /* or duplicates */
    uint64_t damaged; /* or never in a part, as the log was damaged when it was read at a start */
};
void tsdb_gone(struct tsdb *tsdb, struct tsdb_gone *ret_samples, struct tsdb_gone *ret_exemplars);

#endif
