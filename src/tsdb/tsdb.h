/*
 * tsdb.h - the embedded store: takes decoded remote write requests, makes them durable through the
 * log, keeps them in head and parts, and answers select().
 *
 * It starts no threads. The caller drives it with steps:
 *
 * - tsdb_ingest(), any number of threads: verdict, head, log batch; then wait for the epoch;
 * - tsdb_commit(), one thread: one write and one sync for all waiting requests;
 * - tsdb_flush(), one thread: a frozen generation becomes a part;
 * - tsdb_maintain(), the flushing thread: new and old log segments, space, the clock;
 * - the answerer, any number of threads.
 */
#ifndef TSDB_TSDB_H
#define TSDB_TSDB_H

#include "model/ledger.h"
#include "model/rollup.h"
#include "model/select.h"
#include "model/tenant_name.h"
#include "sys/env.h"
#include "tsdb/codec/record.h"
#include "tsdb/inspect/inspect.h"
#include "wal/wal.h"
#include "wire/remote/remote_write.h"

struct objects;
struct catalog;
struct tsdb_options {
    struct env *env;
    const char *dir;
    struct budget *memory;     /* parent of head and log */
    struct budget *background; /* parent of cache, flush and merge; NULL: the same as memory */
    uint64_t flush_bytes;      /* limit of a flush in background; 0: none */
    uint64_t merge_bytes;      /* limit of a merge, which leaves larger parts apart; 0: same */
    uint64_t head_bytes_max;
    uint64_t cache_bytes;
    uint64_t head_samples_max; /* a flush is due; 0: as many as replay reads quickly */
    int64_t head_age_ms_max;   /* a flush is due */
    uint64_t wal_segment_bytes;
    uint64_t wal_batch_bytes;
    uint64_t wal_budget_bytes;
    enum wal_sync wal_sync;
    bool ack_memory; /* acknowledges before a commit; only readers wait for commits */
    /* Starts a commit and waits for its end, for a short time; NULL: there are no readers while
     * tsdb_commit() is called. */
    void (*commit_now)(void *context);
    void *commit_context;
    struct lock *rules_lock; /* held while files in DIR/rules except `state` are replaced; ranks
                                below all locks here; NULL: they do not change during a snapshot */
    /* Adds to a snapshot, the directory `to`, what others keep in DIR, `from`. Called before the
     * flush, as what they keep may say that samples are recorded or delivered. NULL: nothing. */
    enum err (*snapshot_more)(void *context, const char *from, const char *to, struct why *why);
    void *snapshot_context;
    struct objects *objects; /* the bucket that has parts; borrowed; NULL: there is none */
    uint32_t tenants_max;
    uint64_t min_free_bytes;
    bool log_only;  /* parts get no samples: the head only serves readers of the log */
    bool unlogged;  /* nothing is ingested: no segment of the log is prepared */
    bool read_only; /* see tsdb_open() */
    const struct catalog *catalog; /* private to tsdb/: what there is, in place of a directory;
                                      NULL: the directory says it */
    /* The rules of retention, and retention_ms with them, are those that the directory was last
     * used with, not those of limits. */
    bool rules_as_stored;
};

/* The series that require a __name__. NAME_AUTO: those sent by remote write 2.0. */
enum name_rule { NAME_AUTO, NAME_ALWAYS, NAME_NEVER };

struct series_rule; /* model/series_rules.h */
struct series_rules;

/* A level of downsampling: rollups of windows of `resolution_ms` replace samples from the age on
 * that the rule of their series says, see model/series_rules.h. */
enum { TSDB_LEVELS_MAX = 4 };
struct tsdb_level {
    int64_t resolution_ms;
    struct series_rules *rules;
};

/* Options that a reload may change. */
struct tsdb_limits {
    struct labels_limits labels;
    int64_t retention_ms;     /* 0: no limit */
    int64_t deletion_hold_ms; /* time for which a deletion can be undone; 0: not at all */
    uint64_t retention_bytes; /* limit of all parts; the newest always stays; 0: no limit */
    /* Rules with a shorter retention for some series, see model/series_rules.h. The store takes a
     * reference; NULL: there are none. */
    struct series_rules *retention_rules;
    int64_t retention_grace_ms; /* how long rules protect samples after others have replaced them */
    uint32_t retention_rewrite_percent; /* share of a part past its rules that is worth a rewrite */
    /* Rising resolutions, each a multiple of the one before. The store takes references to the
     * rules. */
    struct tsdb_level levels[TSDB_LEVELS_MAX];
    uint32_t level_count;
    int64_t max_future_ms;
    uint64_t wal_budget_bytes;
    uint32_t tenant_series_max; /* limit per tenant in the head; 0: none. New series are refused */
    uint32_t metric_series_max; /* limit per tenant and metric name */
    enum name_rule require_name;
};

struct tsdb;

/* Says whether the directory is the one that was last open here: see tsdb_name_id(). */
enum tsdb_identity {
    TSDB_IDENTITY_SAME,
    TSDB_IDENTITY_FIRST,   /* unknown: the directory is new, or an older version used it */
    TSDB_IDENTITY_CHANGED, /* a copy, or restored from a copy: it has a new id */
    TSDB_IDENTITY_UNKEPT,  /* IDENTITY could not be read or written: the id lasts for this run only
                            */
};

enum { TSDB_NAME_ID_BYTES = 33, TSDB_REASON_BYTES = 256 };

/* Findings of tsdb_open(). */
struct tsdb_opening {
    uint64_t parts;
    uint64_t parts_set_aside; /* parts with a damaged root: renamed *.damaged, unless read_only */
    uint64_t parts_unnamed;   /* valid parts not in the manifest: renamed *.unnamed */
    bool manifest_mended;     /* one of the manifest's copies was damaged */
    uint64_t replayed_samples;
    uint64_t replayed_series; /* series in each generation, if replay made parts */
    uint64_t replayed_parts;  /* parts that hold all replayed samples; 0: the head holds them */
    struct wal_damage damage;
    char first_damage[256];
    char first_unnamed[256];
    bool unlocked; /* read_only: the file system has no locks */
    bool watched;  /* watched for servers on other machines: see store/identity.c */
    enum tsdb_identity identity;
    char identity_reason[TSDB_REASON_BYTES]; /* for CHANGED and UNKEPT */
};

/*
 * Opens or creates a storage directory and replays the log. ERR_AGAIN: another process uses it.
 * ERR_UNSUPPORTED: a newer version wrote it; nothing was changed. ERR_CORRUPT: the manifest is
 * damaged, or a part that it names is missing. ERR_INPUT: the directory cannot be created.
 *
 * With `read_only` the directory must exist, does not change and may be on read-only media; the log
 * is replayed into memory. Then only the answerer and statistics may be used: the log is down, and
 * nothing may be flushed, merged or deleted.
 */
MUST_CHECK enum err tsdb_open(const struct tsdb_options *options, const struct tsdb_limits *limits,
                              struct tsdb **ret_tsdb, struct tsdb_opening *ret_opening,
                              struct why *why);
/* Abandons uncommitted samples. No thread may be in a step or hold a series set. */
void tsdb_free(struct tsdb *tsdb);
/* Replaces the limits; they apply to the next request, flush or merge. Any thread. */
void tsdb_set_limits(struct tsdb *tsdb, const struct tsdb_limits *limits);

/* --- writing ---------------------------------------------------------------------------------- */

/* The origin of samples: senders (including imports), or rules and self-scrapes. */
enum tsdb_origin { TSDB_FROM_SENDER, TSDB_FROM_SERVER };

enum { INGEST_TEXT_BYTES = 1024 };

struct ingest_result {
    /* Answer when wal_durable_epoch() has reached this epoch; 0: at once. */
    uint64_t wait_epoch;
    uint64_t written[LEDGER_KIND_COUNT]; /* accepted, or stored before with the same value */
    uint64_t rejected[LEDGER_KIND_COUNT];
    uint64_t rejected_total;             /* all kinds, and metadata */
    uint64_t rejected_for[REJECT_COUNT]; /* all kinds, and metadata */
    uint32_t named;                      /* refused series that `text` names */
    char text[INGEST_TEXT_BYTES]; /* one line: counts by reason, the first offenders; "" if nothing
                                     was rejected */
};

/* Samples of a series that are refused. */
struct ingest_refusal {
    const struct rw_request *request;
    const struct rw_series *series;
    enum ledger_kind kind;
    enum reject reason;
    uint64_t count;
    int64_t t_ms;       /* time of one of them */
    const char *detail; /* may be "" */
};
/* Counts refused samples; the text names the first ones. */
void ingest_result_reject(struct ingest_result *result, const struct ingest_refusal *refusal);
/* Completes the text: puts the counts before the series that it names. */
void ingest_result_put_counts(struct ingest_result *result);

/* True if all samples were stored. Exemplars that are rejected for their content do not make a
 * request fail: a sender would count the whole batch as lost. Invalid references do, as the request
 * is malformed. */
static inline bool
ingest_result_is_success(const struct ingest_result *result)
{
    return result->rejected_total == result->rejected[LEDGER_EXEMPLAR] &&
           result->rejected_for[REJECT_BAD_REFERENCE] == 0;
}

/* Judges, stores and logs a request. On an error a part of it may be stored: the sender repeats all
 * of it, which is harmless. ERR_AGAIN: the log is down, lags or has reached its budget, the disk is
 * nearly full, or the clock is not trusted; ERR_NOMEM: a budget is exhausted. Both are temporary.
 * ERR_LIMIT: the head could not hold the request even if it were empty. ERR_INPUT:
 * tenant_name_check() refuses the name, there are too many tenants, or rw_series_check() is false
 * for an unchecked series; nothing is stored. */
MUST_CHECK enum err tsdb_ingest(struct tsdb *tsdb, struct bytes tenant,
                                const struct rw_request *request, struct ingest_result *ret_result,
                                struct why *why);
/* Like tsdb_ingest() for samples that the server makes itself, at times of its clock, which
 * therefore do not verify the clock: see enum tsdb_clock. */
MUST_CHECK enum err tsdb_ingest_own(struct tsdb *tsdb, struct bytes tenant,
                                    const struct rw_request *request,
                                    struct ingest_result *ret_result, struct why *why);
/* tsdb_ingest() in two steps, for threads that must not wait for the disk. tsdb_ingest_begin()
 * leaves out the samples at whose time the head has another value and a part may have a value: they
 * are neither written nor rejected so far, and the result has no text. *ret_undecided is NULL if
 * all samples are decided; else tenant and request are borrowed until it is passed to
 * tsdb_ingest_end(), which completes the result, or to tsdb_undecided_free(): then the sender has
 * to repeat the request. */
struct tsdb_undecided;
MUST_CHECK enum err tsdb_ingest_begin(struct tsdb *tsdb, struct bytes tenant,
                                      const struct rw_request *request,
                                      struct ingest_result *ret_result,
                                      struct tsdb_undecided **ret_undecided, struct why *why);
/* Reads parts until `until_ns` (monotonic) at most; a sample not found by then is a conflict. Takes
 * the undecided samples, also on an error: ERR_NOMEM, ERR_AGAIN. Any thread, under no lock. */
#define TSDB_LOOK_NS_MAX (5 * NS_PER_S) /* used by tsdb_ingest() */
MUST_CHECK enum err tsdb_ingest_end(struct tsdb_undecided *undecided, int64_t until_ns,
                                    struct ingest_result *result, struct why *why);
/* Gives the samples up: nothing was stored or counted. Accepts NULL. */
void tsdb_undecided_free(struct tsdb_undecided *undecided);
/* Parameters for decoding requests: the seed of their keys, and the keys of their fingerprints,
 * valid as long as the store. */
uint64_t tsdb_hash_seed(const struct tsdb *tsdb);
const struct fingerprint_keys *tsdb_fingerprint_keys(const struct tsdb *tsdb);

/* Appends the newest help text of a metric family; nothing if none is known. The error of `to`. Any
 * thread. */
MUST_CHECK enum err tsdb_help(struct tsdb *tsdb, struct bytes tenant, struct bytes family,
                              struct buf *to);

/* Counts in the ledger of a tenant what passed by the store: it is neither stored nor logged, and
 * forgotten at the end of the process. ERR_INPUT: too many tenants; ERR_NOMEM. Any thread. */
MUST_CHECK enum err tsdb_count_passed(struct tsdb *tsdb, struct bytes tenant,
                                      const struct ledger *change, struct why *why);

/* True if a commit has work to do. */
bool tsdb_commit_due(struct tsdb *tsdb);
/* Commits the ingested requests. On an error all epochs after wal_durable_epoch() are void and
 * were undone; the log is down: answer 503, and call tsdb_reopen() until it succeeds. */
MUST_CHECK enum err tsdb_commit(struct tsdb *tsdb, struct why *why);
/* Undoes the failed commit, and continues the log in a new segment; OK if the log is not down.
 * ERR_NOMEM: not enough memory to undo; ERR_CORRUPT: see tsdb_dir_trouble(); errors of the log. */
MUST_CHECK enum err tsdb_reopen(struct tsdb *tsdb, struct why *why);
/* Checks that the directory and the log's file still exist and belong to this process, at most once
 * per second; tsdb_commit() includes it. For the committing thread when there is nothing to commit.
 * Errors: tsdb_commit(). */
MUST_CHECK enum err tsdb_look(struct tsdb *tsdb, struct why *why);
/* For acknowledgement level `written`: syncs; call it about every second. Errors: tsdb_commit(). */
MUST_CHECK enum err tsdb_sync(struct tsdb *tsdb, struct why *why);
/* State of an epoch that a request waits for. VOID: its commit failed, or that of an earlier epoch;
 * nothing of it is stored. An epoch too old to be known is VOID: the sender repeats. */
enum tsdb_epoch { TSDB_EPOCH_PENDING, TSDB_EPOCH_DURABLE, TSDB_EPOCH_VOID };
enum tsdb_epoch tsdb_epoch(struct tsdb *tsdb, uint64_t epoch);
/* True from a failed commit until tsdb_reopen() succeeds: requests get ERR_AGAIN. Any thread. */
bool tsdb_is_down(struct tsdb *tsdb);

/* --- flushing --------------------------------------------------------------------------------- */

/* True after a crash if the log lacks samples that were committed and are in no part, because a
 * file was removed or the disk failed. A flush is then due and ends it. */
bool tsdb_log_lost(struct tsdb *tsdb);
/* True if samples, age, memory or log require a flush. */
bool tsdb_flush_due(struct tsdb *tsdb);
/* Makes the next commit cut the generation, if it is not empty and none is frozen. While the log is
 * down there are no commits; the generation is then cut before the return. */
void tsdb_want_cut(struct tsdb *tsdb);
/* True if a generation was cut and tsdb_flush() has not written it. Any thread. */
bool tsdb_has_frozen(struct tsdb *tsdb);
/* True if the head is empty and the log is not needed. */
bool tsdb_is_flushed(struct tsdb *tsdb);
/* Writes the frozen generation as a part and publishes it; OK without one. On errors: try again. */
MUST_CHECK enum err tsdb_flush(struct tsdb *tsdb, struct why *why);
/* Checks that the complete log segments which the store needs exist. ERR_IO: one was removed or
 * truncated, which is reported once; a flush is then due. The flushing thread. */
MUST_CHECK enum err tsdb_look_at_log(struct tsdb *tsdb, struct why *why);
/* Checks that MANIFEST is the file that this process wrote, and rewrites it if not. ERR_IO: it was
 * removed, replaced or truncated; `why` also says if rewriting failed, which the next call tries
 * again. The flushing thread. */
MUST_CHECK enum err tsdb_look_at_manifest(struct tsdb *tsdb, struct why *why);
/* Checks that the files of live parts exist. ERR_IO: one was removed, which is reported once per
 * part. The flushing thread. */
MUST_CHECK enum err tsdb_look_at_parts(struct tsdb *tsdb, struct why *why);
/* Prepares a log segment, releases old ones, checks free space and the clock. ERR_CORRUPT: does
 * nothing, see tsdb_dir_trouble(). */
MUST_CHECK enum err tsdb_maintain(struct tsdb *tsdb, struct why *why);

/* --- deleting --------------------------------------------------------------------------------- */

struct selector;
struct tsdb_deletion {
    uint64_t id;     /* 0: no part had samples of the tenant in that time, nothing was done */
    uint64_t series; /* series that lost samples or windows */
    uint64_t samples;
    uint64_t windows; /* of levels of downsampling */
};
enum { DELETIONS_KEPT_MAX = 256, DELETIONS_WAITING_MAX = 4096 };
/* Hides the samples in parts that the selectors select in [min_ms, max_ms] from every reader: flush
 * first. Each of them, at most DELETIONS_KEPT_MAX, makes a deletion, which counts what those before
 * it left; all are made, or none. Merges remove the samples from disk once the deletion can no
 * longer be undone. The selectors' matchers are taken, also on an error. ERR_LIMIT: more than
 * DELETIONS_KEPT_MAX deletions could be undone. ERR_AGAIN: more than DELETIONS_WAITING_MAX, or 64
 * MiB of selectors, would wait for merges. One thread at a time. */
MUST_CHECK enum err tsdb_delete(struct tsdb *tsdb, struct bytes tenant, struct selector *selectors,
                                uint32_t count, int64_t min_ms, int64_t max_ms,
                                struct tsdb_deletion *ret_deletions, struct why *why);

/* Lists the receipts of the tenant, with texts in the arena, in the order of their numbers: the
 * last DELETIONS_KEPT_MAX of all tenants, and any that can be undone. ERR_NOMEM, ERR_IO. Any
 * thread. */
MUST_CHECK enum err tsdb_deletions(struct tsdb *tsdb, struct bytes tenant, struct arena *arena,
                                   struct tsdb_receipt **ret_receipts, uint32_t *ret_count,
                                   struct why *why);
/* Counts the samples and windows that the tombstone selects in the parts to which it still applies,
 * by reading them. 0 if it no longer exists. Errors of a query. Any thread. */
MUST_CHECK enum err tsdb_deletion_hidden(struct tsdb *tsdb, uint64_t id,
                                         struct query_control *control,
                                         struct tsdb_deletion *ret_hidden, struct why *why);
/* Undoes a deletion: its samples are visible again, as if it had not been made. ERR_MISSING: the
 * tenant has no such receipt; ERR_INPUT: it was undone, or can no longer be; ERR_IO, ERR_NOMEM. Any
 * thread. */
MUST_CHECK enum err tsdb_undelete(struct tsdb *tsdb, struct bytes tenant, uint64_t id,
                                  struct why *why);

/* The series, samples and bytes that a deletion would hide. */
struct tsdb_preview {
    uint64_t series;
    uint64_t samples;    /* estimated at the borders of the time range, in whole blocks elsewhere */
    uint64_t part_bytes; /* compressed samples, without the index */
    uint64_t head_bytes;
    bool exact; /* false: some series were counted for all */
};
/* Counts by the index what a request selects in parts and in the head; its control may end it. No
 * sample is read. Errors of view_survey(). */
MUST_CHECK enum err tsdb_delete_preview(struct tsdb *tsdb, const struct query_request *request,
                                        struct tsdb_preview *ret_preview, struct why *why);

/* --- snapshots -------------------------------------------------------------------------------- */

enum { SNAPSHOT_NAME_BYTES = 40 };
/* Returns true for what may end the name of a snapshot: 16 hexadecimal digits in lower case. */
bool tsdb_is_snapshot_suffix(const char *text);
/* Makes DIR/snapshots/NAME, a storage directory of hard links to the parts and to the files of
 * DIR/rules. Any thread; writing, flushing and merging go on. `flush` waits until all acknowledged
 * samples are in parts (NULL: they are); DIR/rules/state is linked before that, so that the parts
 * contain everything that the state counts as recorded. `suffix` ends the name, by which a program
 * finds its own snapshots; NULL: it is random. Parts that are only in a bucket are named, or with
 * `with_bucket` fetched, which takes as much of the disk. `ret_name` has SNAPSHOT_NAME_BYTES.
 * ERR_AGAIN: there is one of this name, which was made in the same second; errors of `flush`, too.
 */
MUST_CHECK enum err tsdb_snapshot(struct tsdb *tsdb, const char *suffix, bool with_bucket,
                                  enum err (*flush)(void *context, struct why *why), void *context,
                                  char *ret_name, struct why *why);

struct tsdb_snapshot_facts {
    char name[SNAPSHOT_NAME_BYTES]; /* begins with its time, "20260101T000000Z" */
    uint64_t parts;
    uint64_t bytes;      /* size of its parts */
    uint64_t held_bytes; /* size of those that are not live any more: they take space because of
                            this snapshot, or of others that have them, too */
};
/* Calls `each` for every finished snapshot, in no order, until it returns an error. Any thread.
 * ERR_IO; errors of `each`. */
MUST_CHECK enum err tsdb_snapshots(struct tsdb *tsdb,
                                   enum err (*each)(void *context,
                                                    const struct tsdb_snapshot_facts *facts),
                                   void *context, struct why *why);
/* Removes a snapshot: after an error it may be gone, and the rest is removed at the next start. Any
 * thread. ERR_MISSING: there is none of this name; ERR_AGAIN: another process reads or serves it;
 * ERR_IO; ERR_CORRUPT: see tsdb_dir_trouble(). */
MUST_CHECK enum err tsdb_snapshot_delete(struct tsdb *tsdb, const char *name, struct why *why);

/* --- merging and retention: one thread, beside that which flushes ----------------------------- */

enum tsdb_merge_mode {
    TSDB_MERGE_DUE,  /* only if worth it, and parts with deletions that are hours old */
    TSDB_MERGE_FULL, /* one part per partition of time, at any cost */
    TSDB_MERGE_CLEAN /* only parts with deletions, at once */
};
struct tsdb_merge_options {
    enum tsdb_merge_mode mode;
    uint64_t up_to_pos; /* leaves out parts with samples after this position; 0: none */
    /* TSDB_MERGE_CLEAN: number of the first deletion whose hold does not end; 0: all end. */
    uint64_t held_from;
    /* May be NULL. Called regularly, may sleep; false cancels the merge. */
    bool (*go_on)(void *context);
    void *context;
};
struct tsdb_merge_result {
    uint32_t input_count; /* 0: there was nothing to do */
    uint32_t output_count;
    uint64_t input_bytes;
    uint64_t output_bytes;
    uint64_t samples; /* floats, histograms in the outputs; for expiry: removed ones */
    uint64_t exemplars;
    uint64_t bytes_too_many; /* excess of the newest part alone over retention_bytes */
};
/* Merges parts once, if that is worth it. ERR_CORRUPT: an input is damaged (or its counts are
 * wrong): it is excluded from now on, others may be merged. ERR_CANCELED: go_on returned false. */
MUST_CHECK enum err tsdb_merge(struct tsdb *tsdb, const struct tsdb_merge_options *options,
                               struct tsdb_merge_result *ret_result, struct why *why);
/* Calls `each` for every part that is excluded from merges because it is damaged, under no lock. */
void tsdb_left_alone(struct tsdb *tsdb,
                     void (*each)(void *context, uint64_t part, const char *reason), void *context);
/* Drops parts that lie wholly beyond retention, by age and by size; never the newest by size. */
MUST_CHECK enum err tsdb_expire(struct tsdb *tsdb, struct tsdb_merge_result *ret_result,
                                struct why *why);

/* Return the rules of limits, those of retention first, then those of each level. A rule of
 * retention has resolution 0. NULL after the last one. */
uint32_t tsdb_limits_rule_count(const struct tsdb_limits *limits);
const struct series_rule *tsdb_limits_rule(const struct tsdb_limits *limits, uint32_t index,
                                           int64_t *ret_resolution_ms);
/* Drops the references to all rules; then there are none. */
void tsdb_limits_drop_rules(struct tsdb_limits *limits);
/*
 * Surveys what the rules of `limits` would remove or replace if they were in force, from the index
 * alone: the stored samples that are old enough. Samples and bytes are estimated in blocks that
 * also have others; exemplars do not count. Of a rule of downsampling, series and bytes include
 * finer windows, and samples those that stay because windows would save too little. `ret_list` has
 * an element for each rule. All are zero while the clock is not trusted. Errors of a query.
 */
MUST_CHECK enum err tsdb_rules_survey(struct tsdb *tsdb, const struct tsdb_limits *limits,
                                      struct query_control *control, struct series_cost *ret_list,
                                      struct why *why);
/*
 * Surveys the configured rules and keeps the result, if that is due: after each change of the
 * rules, and about once per hour; before merges, so that it finds what they will remove and
 * replace. ret_changed: the rules have changed since the last survey. Errors of a query. One thread
 * at a time.
 */
MUST_CHECK enum err tsdb_rules_look(struct tsdb *tsdb, struct query_control *control,
                                    bool *ret_changed, struct why *why);

/* Counts of what a rule has removed or replaced since it was first configured, before restarts,
 * too, and has still to do. */
struct tsdb_rule {
    const struct series_rule *rule; /* NULL: all that are no longer configured, together */
    bool downsamples;               /* else it is a rule of retention, and has no resolution */
    int64_t resolution_ms;
    uint64_t samples;   /* that were removed, or replaced */
    uint64_t exemplars; /* that were removed */
    uint64_t series;    /* of which nothing was left in a part, counted for each part */
    uint64_t windows;   /* that were written instead of samples or of finer windows */
    uint64_t bytes; /* that were removed or saved; estimated for blocks of which some was left */
    struct series_cost left; /* found by the last survey; zero before it */
    uint64_t excluded_parts; /* whose windows are no multiple or fraction of these: the rule is not
                                applied to them */
};
struct tsdb_rules_state {
    int64_t grace_left_ms; /* how long former rules of retention still protect samples; 0: there are
                              none */
    int64_t surveyed_ms;   /* clock at the last survey of these rules; INT64_MIN: none */
};
/* Fills in the state, then calls `each` for every configured rule, in the order of
 * tsdb_limits_rule(), and for those that are no longer configured; under no lock. */
void tsdb_rules(struct tsdb *tsdb, struct tsdb_rules_state *ret_state,
                void (*each)(void *context, const struct tsdb_rule *rule), void *context);
/* Calls `each` for every resolution that parts have, the finest first; under no lock. */
void tsdb_resolutions(struct tsdb *tsdb,
                      void (*each)(void *context, const struct rollup_facts *facts), void *context);

/* --- reading ---------------------------------------------------------------------------------- */

/* Returns the store as an answerer of queries; it belongs to the store. Any thread. */
struct answerer *tsdb_answerer(struct tsdb *tsdb);

/* The log, for its readers. */
struct wal *tsdb_wal(struct tsdb *tsdb);
/* Returns the log's id, of WAL_LOG_ID_BYTES; NULL while it has no segment. Any thread. */
const uint8_t *tsdb_log_id(struct tsdb *tsdb);
/* Returns 32 hex digits and a NUL: the id with which the directory names its output elsewhere. It
 * stays as long as it is the same directory; a copy and a restored directory get another id, so
 * that a name made of the id and a log position never repeats with other content. "" if read_only.
 */
const char *tsdb_name_id(const struct tsdb *tsdb);

/* NULL, or the reason why nothing may be written below the directory: another server may be using
 * it, or its path leads to another directory. Detected within a second. The text is
 * tsdb_dir_text(). Any thread. */
const char *tsdb_dir_trouble(struct tsdb *tsdb);

/* --- watching --------------------------------------------------------------------------------- */

/* Ownership of the storage directory while the store is open. */
enum tsdb_dir {
    TSDB_DIR_OURS,
    TSDB_DIR_MOVED,  /* its path leads to another directory or nowhere; it may return */
    TSDB_DIR_CLOSED, /* LOCK or FORMAT is lost, but other servers are still refused: final */
    TSDB_DIR_LOST,   /* another server may be using it: final */
};
/* Returns a sentence that explains the state and what to do; NULL for TSDB_DIR_OURS. */
const char *tsdb_dir_text(enum tsdb_dir dir);

/* Trust in the system clock. Without it, retention is suspended, and samples too far ahead of the
 * clock get ERR_AGAIN; all others are written. */
enum tsdb_clock {
    TSDB_CLOCK_GOOD,
    TSDB_CLOCK_BEFORE_SAMPLES, /* more than max_future_ms before `newest_ms` of the statistics */
    TSDB_CLOCK_BEFORE_RELEASE, /* before this program was written */
    TSDB_CLOCK_NOT_BUCKETS, /* more than an hour from the clock of the bucket; writes are as ever */
};

/* The merge that runs; all zero if none does. */
struct tsdb_merge_now {
    uint32_t parts;
    uint32_t outputs; /* at most; one for each partition of time */
    uint32_t outputs_done;
    uint8_t level;          /* of compression, see docs/format/part.md */
    uint64_t bytes;         /* of the parts */
    uint64_t samples;       /* of the parts: floats and histograms */
    struct time_range time; /* of the samples; min > max without samples */
    int64_t since_ms;
};

struct tsdb_stats {
    struct wal_stats wal;
    uint64_t head_series;  /* series with samples in the active generation */
    uint64_t known_series; /* series whose labels are in memory */
    uint64_t head_samples; /* samples of both generations */
    uint64_t head_exemplars;
    uint64_t head_bytes;
    int64_t head_min_ms; /* sample times in both generations; min > max without samples */
    int64_t head_max_ms;
    uint64_t frozen_series;
    uint64_t parts;
    uint64_t parts_left_alone; /* parts not merged because they are damaged */
    uint64_t parts_removed;    /* parts removed by another program while the store is open */
    uint64_t parts_set_aside;  /* when the store was opened; not included in `parts` */
    uint64_t pages_damaged;    /* found by this process; each counts once, at most 1024 */
    uint64_t part_bytes;
    uint64_t part_data_bytes; /* samples and exemplars in part_bytes; the rest is index */
    uint64_t part_samples;    /* floats and histograms */
    uint64_t part_exemplars;
    uint64_t part_series; /* sum over parts: a series in two parts counts twice */
    uint64_t store_pos;
    uint64_t flushes_total;
    uint64_t flush_failures_total;
    uint64_t undone_epochs_total;
    uint64_t merges_total;
    uint64_t merge_failures_total;
    uint64_t merge_bytes_total; /* bytes written */
    struct tsdb_merge_now merge_now;
    uint64_t tombstones;
    uint64_t last_deletion; /* number of the last deletion; 0: there was none */
    uint64_t free_bytes;
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t cache_bytes;
    uint64_t tenants;
    uint64_t views; /* open views */
    uint64_t views_lost_total;
    int64_t view_oldest_ns;                   /* age of the oldest open view; 0 without one */
    uint64_t metadata_rejected[REJECT_COUNT]; /* by this process */
    int64_t newest_ms;   /* newest sample of a sender; INT64_MIN without samples */
    int64_t future_ms;   /* later samples are too far in the future */
    int64_t part_max_ms; /* newest sample in parts, of any origin; INT64_MIN without parts */
    int64_t oldest_ms;   /* oldest sample in parts; INT64_MAX without parts */
    int64_t retention_now_ms;
    bool disk_low;
    enum tsdb_dir dir; /* writes are refused unless TSDB_DIR_OURS */
    enum tsdb_clock clock;
    bool down;
};
/* Takes the locks of head, log, parts and cache one after another: numbers of different parts of
 * the store need not fit together. Any thread. */
void tsdb_stats(struct tsdb *tsdb, struct tsdb_stats *ret_stats);

/* Calls `each` for every tenant with its totals, under no lock. */
void tsdb_ledgers(struct tsdb *tsdb,
                  void (*each)(void *context, struct bytes tenant, const struct ledger *ledger),
                  void *context);

/* Times of a tenant's last requests from senders; 0 if there were none since the store was opened,
 * or for `sent_ms`, in the log. A request counts if it has floats or histograms, also if they are
 * stored already or rejected: a sender that repeats or loses samples is still sending its backlog.
 * Exemplars, metadata, malformed messages and tsdb_ingest_own() do not count, nor do requests that
 * are refused as a whole because the log is down, the disk is nearly full or the directory is lost.
 */
struct tsdb_arrivals {
    int64_t recent_ns; /* monotonic: last request with a sample newer than a minute ago */
    int64_t late_ns;   /* monotonic: last request with a sample of a watched time */
    int64_t sent_ms;   /* Unix: last request; follows the system clock when it is set back */
};
/* Sets the watched times of all tenants; none at first, and if min > max. Keeps what was noted. Any
 * thread. */
void tsdb_watch_arrivals(struct tsdb *tsdb, struct time_range late);
/* All zero for an unknown tenant. Any thread. */
struct tsdb_arrivals tsdb_arrivals(struct tsdb *tsdb, struct bytes tenant);

/* The content of a partition of time. A part in several partitions counts in its first. */
struct tsdb_partition {
    struct time_range time;
    uint64_t parts;
    uint64_t samples; /* floats and histograms */
    uint64_t exemplars;
    uint64_t data_bytes;
    uint64_t index_bytes;
    const struct rollup_facts *resolutions; /* of rollups, the finest first; a view */
    uint32_t resolution_count;
};
/* Calls `each` for every partition that has parts, in order of time. ERR_NOMEM. */
MUST_CHECK enum err
tsdb_partitions(struct tsdb *tsdb,
                void (*each)(void *context, const struct tsdb_partition *partition), void *context);

/* Calls `each` for every part, under no lock. */
void tsdb_parts(struct tsdb *tsdb, void (*each)(void *context, const struct part_info *part),
                void *context);

/* Calls `each` for the budgets of head, cache, log, flush, views and merge. */
void tsdb_budgets(struct tsdb *tsdb, void (*each)(void *context, const struct budget *budget),
                  void *context);

/* Rankings of labels in a tenant's head, for status pages. */
enum tsdb_ranking {
    TSDB_METRICS_BY_SERIES,
    TSDB_NAMES_BY_VALUES,
    TSDB_NAMES_BY_BYTES, /* sum of the value's size in each series */
    TSDB_PAIRS_BY_SERIES,
    TSDB_RANKING_COUNT
};
struct tsdb_cardinality {
    struct bytes name; /* "name=value" for a pair */
    uint64_t count;
};
struct tsdb_top {
    struct tsdb_cardinality *items[TSDB_RANKING_COUNT]; /* in the arena, in descending order */
    uint32_t counts[TSDB_RANKING_COUNT];
    uint64_t pairs;  /* number of all pairs */
    uint64_t series; /* number of all series */
};
/* Returns the `max` greatest items of each ranking. ERR_NOMEM. */
MUST_CHECK enum err tsdb_top(struct tsdb *tsdb, struct bytes tenant, struct arena *arena,
                             uint32_t max, struct tsdb_top *ret_top);

/* The stored bytes of samples in parts, by metric, label name, and label value (without those of
 * __name__). A series counts for each of its labels. */
enum tsdb_size_kind { TSDB_SIZE_METRIC, TSDB_SIZE_NAME, TSDB_SIZE_PAIR, TSDB_SIZE_KINDS };
struct tsdb_size {
    struct bytes name;
    struct bytes value; /* empty for TSDB_SIZE_NAME */
    uint64_t bytes;     /* without the index; times that series share count for each */
    uint64_t samples;   /* also deleted ones, which take space until a merge */
};
struct tsdb_sizes {
    struct tsdb_size *items[TSDB_SIZE_KINDS]; /* in the arena, the largest first */
    uint32_t counts[TSDB_SIZE_KINDS];
    uint64_t bytes; /* of all series */
    uint64_t samples;
    uint64_t rows; /* a series of two parts counts twice */
    uint64_t rows_read;
    bool exact; /* false: some rows count for several, or some texts were left out */
};
struct tsdb_sizes_options {
    uint32_t rows_max; /* rows to read, of all parts together; a few of each part are always read */
    uint32_t items_max; /* of each kind */
};
enum { TSDB_SIZES_ROWS_MAX = 128 * 1024 }; /* for requests: a few seconds at most */
/* Reads the index of all parts that meet the times of the request, which has at most one set of
 * matchers, a control and a budget. ERR_CORRUPT, ERR_IO, ERR_NOMEM; errors of the control. */
MUST_CHECK enum err tsdb_sizes(struct tsdb *tsdb, const struct query_request *request,
                               const struct tsdb_sizes_options *options, struct arena *arena,
                               struct tsdb_sizes *ret_sizes, struct why *why);

/* --- checking a directory at rest ------------------------------------------------------------- */

/* Prevents servers from using a directory that is only read, until it is dropped; other readers may
 * hold it, too. In the owner's memory. */
struct tsdb_reading_lock {
    struct file lock;
    struct file format;
    bool held; /* false on a file system without locks */
};
#define TSDB_READING_LOCK_NONE \
    ((struct tsdb_reading_lock){.lock = FILE_CLOSED, .format = FILE_CLOSED})
/* ERR_AGAIN: a server uses the directory; ERR_MISSING: not a storage directory; ERR_IO. */
MUST_CHECK enum err tsdb_reading_lock_take(struct env *env, const char *dir,
                                           struct tsdb_reading_lock *ret_lock, struct why *why);
/* Accepts TSDB_READING_LOCK_NONE. */
void tsdb_reading_lock_drop(struct tsdb_reading_lock *lock);

struct tsdb_report {
    uint64_t damaged_places;
    uint64_t pages;
    uint64_t parts;
    uint64_t remote_parts; /* those that are only in the bucket: only their roots were read */
    uint64_t log_records;
    uint64_t store_pos; /* parts cover the log up to here; 0: unknown */
    bool ledger_balances;
};
/* Verifies every checksum of log and parts and recounts the ledger. Calls `say` with a line for
 * each finding and each tenant. ERR_CORRUPT: damage or wrong counts; ERR_AGAIN: the directory is in
 * use. */
MUST_CHECK enum err tsdb_verify(struct env *env, const char *dir,
                                void (*say)(void *context, const char *line), void *context,
                                struct tsdb_report *ret_report, struct why *why);

/* --- stretches of the log: for destinations that want what the log no longer has; any thread -- */

/* A range of log positions whose samples are read from parts. A part that extends beyond it is read
 * as a whole. */
struct tsdb_stretch {
    uint64_t from_pos; /* log position */
    uint64_t to_pos;   /* at most tsdb_store_pos() */
};

/* Returns the log position up to which parts cover the log. */
uint64_t tsdb_store_pos(const struct tsdb *tsdb);

/* Returns the samples that the log had accepted there. False if parts reach further by now, or the
 * number is unknown. */
bool tsdb_store_totals(struct tsdb *tsdb, uint64_t pos, uint64_t ret_totals[LEDGER_KIND_COUNT]);

/* True if the store has no sample of these bytes of the log: when it was opened, parts did not
 * reach them, and they could not be read. */
bool tsdb_lacks(const struct tsdb *tsdb, uint64_t from_pos, uint64_t to_pos);
/* True if the store has no sample of commits that are missing after this position, where the log
 * had lost its end: when the store was opened, it read the log there. */
bool tsdb_lacks_end(const struct tsdb *tsdb, uint64_t pos);

/* Makes a flush due, so that samples in the head become readable in a part: the log does not have
 * them any more. */
void tsdb_want_parts(struct tsdb *tsdb);

/* Gives the first time from `from_ms` on at which a part of the stretch may have samples. False
 * after the last one. */
bool tsdb_stretch_next_ms(struct tsdb *tsdb, const struct tsdb_stretch *stretch, int64_t from_ms,
                          int64_t *ret_ms);
/* Appends the name of the first tenant of parts of the stretch that is greater than `after`. False
 * after the last one. */
bool tsdb_stretch_next_tenant(struct tsdb *tsdb, const struct tsdb_stretch *stretch,
                              struct bytes after, struct buf *ret_name);

/* Opens a view of the parts of a stretch alone. Requests should set `partial`: then damaged data is
 * left out with a warning. Metric families come from the head. */
MUST_CHECK enum err tsdb_stretch_view(struct tsdb *tsdb, const struct tsdb_stretch *stretch,
                                      struct query_control *control, struct view **ret_view,
                                      struct why *why);

/* A border is a log position across which parts are not merged: a reader that has reached it can
 * continue there later without reading data before it, and until then reads nothing after it. It
 * affects merges planned from now on. ERR_LIMIT: too many borders. */
MUST_CHECK enum err tsdb_border_new(struct tsdb *tsdb, uint32_t *ret_border);
/* Ends the border: merges may cross it again. */
void tsdb_border_free(struct tsdb *tsdb, uint32_t border);
void tsdb_border_set(struct tsdb *tsdb, uint32_t border, uint64_t pos); /* 0: no border */

/* Counts of all tenants' samples or exemplars that were stored and no longer are. */
struct tsdb_gone {
    uint64_t deleted;
    uint64_t expired;
    uint64_t superseded; /* superseded or duplicate ones */
    uint64_t damaged;    /* damaged ones, or lost because the log was damaged at a start */
};
/* Adds up the ledgers of all tenants, under no lock. */
void tsdb_gone(struct tsdb *tsdb, struct tsdb_gone *ret_samples, struct tsdb_gone *ret_exemplars);

#endif
