/*
 * head.h - private to tsdb/: the samples of all tenants that are not in parts. They are in
 * generations: one that is appended to, and at most one that is being written to a part. The head
 * also knows the tenants, their ledgers, and which epochs are durable or void.
 *
 * Threads: any, under the lock named; the frozen generation no longer changes.
 */
#ifndef TSDB_HEAD_HEAD_H
#define TSDB_HEAD_HEAD_H

#include "base/lock.h"
#include "model/ledger.h"
#include "model/series_rules.h"
#include "tsdb/codec/record.h"
#include "tsdb/head/gen.h"
#include "tsdb/part/live.h"
#include "tsdb/tsdb.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The configured rules of retention, and those that they
 * replaced, which protect samples until their grace is over.
 *
 *      change --> former (a series is kept for the longest time that one of them says)
 *                   |
 *                   +--- grace over, or configured again ---> forgotten
 *
 * Lock: that of the head.
 */

/* The retention that a configuration says. */
struct rules_configured {
    struct series_rules *rules; /* NULL: none */
    int64_t kept_ms;            /* all samples are expired at this age; 0: never */
};

struct rules_former {
    struct rules_configured was;
    int64_t left_ms; /* when it was replaced, by the clock */
    int64_t seen_ns; /* when this process began to count its grace, monotonic */
};

/* Zeroed, there are no rules. */
struct rules_in_force {
    struct rules_configured now;
    struct rules_former former[SERIES_RULES_FORMER_MAX]; /* newest first */
    uint32_t former_count;
    struct series_rules *all; /* of `now` and `former`; NULL: they hide nothing */
    int64_t kept_ms;          /* the longest of `now` and `former`; 0: all is kept */
};

/* Sets what is configured, with nothing former. */
void rules_in_force_begin(struct rules_in_force *rules, const struct rules_configured *first);
/* Adds a former configuration that is older than the others; takes a reference. The owner calls
 * rules_in_force_combine() afterwards. */
void rules_in_force_add_former(struct rules_in_force *rules, const struct rules_former *former);
/* Computes `all` and `kept_ms`. Without memory nothing is hidden until the next change. */
void rules_in_force_combine(struct rules_in_force *rules);

/*
 * Remembers from which times on samples changed, for caches of
 * answers.
 *
 * A change has a number, which rises, and a time: samples before that time are unchanged. Only
 * changes that are earlier in time than all later ones are kept. If there are too many, two
 * neighbours become one, with the earlier time and the later number: then more counts as changed
 * than did, mostly among changes that are long ago.
 */

enum { CHANGES_KEPT = 64 };

struct changes {
    uint32_t count;
    struct {
        uint64_t number;
        int64_t from_ms;
    } items[CHANGES_KEPT]; /* ascending in both */
};

/* `number` is not less than any added before. */
void changes_add(struct changes *changes, uint64_t number, int64_t from_ms);
/* Returns the earliest time of the changes with a greater number; INT64_MAX without any. */
int64_t changes_after(const struct changes *changes, uint64_t number);

enum { VOIDS_REMEMBERED = 64 };

enum { FAMILY_TEXT_MAX = 64 * 1024 }; /* longer names and texts are not kept */

/* The metadata of a family as an epoch set it. Help and unit follow it in memory. */
struct family_text {
    struct family_text *older; /* kept while a view may read it */
    uint64_t epoch;
    enum metric_type type;
    struct bytes help;
    struct bytes unit;
};

/* A metric family. It lives as long as its tenant. */
struct family {
    struct family *before; /* the family added before this one; immutable, like the name */
    struct bytes name;
    struct family_text *text; /* the newest; NULL if nothing is known */
};

struct tenant {
    uint32_t id;
    struct bytes name;
    struct ledger total;                  /* includes uncommitted epochs */
    struct ledger change[2];              /* the share of epoch e at e & 1, subtracted if e fails */
    uint64_t change_epoch[2];             /* the epoch of each change; 0 if it was taken back */
    uint64_t in_parts[LEDGER_KIND_COUNT]; /* sums over the live parts */
    struct changes written; /* changes by requests, by epoch, including uncommitted ones */
    struct changes edited;  /* changes by deletions and expiry, by head->edits */
    struct tsdb_arrivals arrivals;
    struct family *newest_family;
    struct family **families;
    uint32_t family_capacity;
    uint32_t family_count;
    struct table family_table; /* by hash of the name: indexes of `families` */
};

/* The state of log and ledgers at the moment when a generation was cut. */
struct cut {
    uint64_t pos;
    uint64_t segment;
    uint64_t epoch;
    uint64_t log_totals[LEDGER_KIND_COUNT]; /* accepted before `pos` */
    bool metadata;                          /* families changed since the previous cut */
    struct ledger *ledgers;                 /* by tenant id */
    uint32_t tenant_count;
    struct part *part; /* the part, if it was written but the manifest that names it was not */
};

struct scratch; /* ingest.h */

/* State of the head after a failed commit. */
enum head_outage {
    HEAD_NO_OUTAGE,  /* requests can be stored, or will be as soon as the log is reopened */
    HEAD_UNDO_DUE,   /* the log is down; samples of a failed commit are still in the head */
    HEAD_IS_SETTLED, /* the log is down, stays down, and nothing in the head is pending */
};

struct head {
    struct env *env;
    const struct tsdb_options *options;
    struct wal *wal;
    struct live *live; /* the parts, which are searched for samples that conflict with the head */
    struct budget budget;
    struct budget *cut_budget; /* pays for `cut.ledgers` */
    uint64_t hash_seed;
    struct fingerprint_keys print_keys;

    /* Sample times in [min, max] are late, see tsdb_watch_arrivals(). Relaxed: a request that
     * arrives while they change may be compared with one old and one new bound. */
    _Atomic int64_t late_min_ms;
    _Atomic int64_t late_max_ms;

    struct lock lock; /* LOCK_RANK_HEAD; guards to the next blank line */
    struct gen *active;
    struct gen *frozen; /* NULL, or being flushed; changes under the lock of `live`, too */
    struct tsdb_limits limits;
    struct tenant **tenants; /* by id */
    uint32_t tenant_count;
    uint32_t tenant_capacity;
    struct table tenant_table; /* by hash of the name: ids */
    uint64_t next_ref;
    uint64_t next_gen;
    bool cut_wanted;
    bool parts_wanted;           /* a caller waits until the samples of the head are in parts */
    struct cut cut;              /* made for the frozen generation; zero without one */
    int64_t newest_ms;           /* newest sample of a sender; INT64_MIN if none is known */
    int64_t own_newest_ms;       /* newest sample of the server itself, and of the parts it found */
    bool own_counts;             /* samples of the server count beside those of senders */
    int64_t begun_ms;            /* the clock when this process opened the store */
    int64_t begun_ns;            /* the same moment, monotonic */
    int64_t retention_base_ms;   /* time of retention at that moment: saved, or, in a new directory,
                                  * the clock; INT64_MIN until the clock is trusted */
    struct rules_in_force rules; /* `limits` has no rules, and the longest retention of these */
    bool disk_low;
    enum tsdb_dir dir;
    bool series_refused; /* a limit refused a new series since the last cut */
    enum tsdb_clock clock;
    bool differs_from_buckets; /* the clock, by more than an hour */
    uint32_t metadata_life; /* rises when families are forgotten, so that series send them again */
    bool metadata_changed;  /* since the last cut */
    bool metadata_due;      /* a cut is due for changed metadata */
    uint64_t metadata_rejected[REJECT_COUNT]; /* refused since the process started */
    struct scratch *scratch;
    enum head_outage outage;
    struct views views;
    uint64_t edits; /* number of edits of the live parts that may change answers */

    /* LOCK_RANK_EPOCH; guards to the next blank line. Writers hold the head lock, too. */
    struct lock epoch_lock;
    uint64_t durable_epoch;
    struct {
        uint64_t first, last;
    } voids[VOIDS_REMEMBERED]; /* ranges of epochs that failed, a ring */
    uint32_t void_count;       /* ranges ever noted */
};

/* --- one head (head.c) ------------------------------------------------------------------------ */

/* Makes the locks. All other members are the caller's to set; the head has no generation. */
void head_init(struct head *head);
/* Allocates the memory that appending needs. ERR_NOMEM. */
MUST_CHECK enum err head_begin(struct head *head);
/* Drops both generations, with samples that are in no part. */
void head_fini(struct head *head);
/* Asserts the invariants of head.c and of both generations; O(n). For tests and debug builds. */
void head_validate(const struct head *head);

/* --- time (head.c), under the head lock ------------------------------------------------------- */

/* Returns the age of this process, in the store. */
int64_t head_lived_ms(const struct head *head);
/* Returns the clock, but never later than the time of retention at the beginning of this process
 * plus its age, so that a clock that jumps ahead deletes nothing. The next process begins with it:
 * samples do not count, or retention would stop for good in an import that begins years ago. */
int64_t retention_clock_ms(const struct head *head);
/* Returns the time that retention counts back from: that, or the newest sample if it is earlier.
 * In the first process of a directory, samples that the server wrote itself count only if there
 * are no others. */
int64_t retention_now_ms(struct head *head);
/* Replaces the limits. Rules of retention that they replace protect samples for the grace. True if
 * the rules changed. */
bool head_set_limits(struct head *head, const struct tsdb_limits *limits);
/* Returns a reference to the rules of retention, and the time from which their ages count back:
 * it advances in steps of RETENTION_STEP_MS, so that answers can be reused between two of them.
 * NULL if there are no rules, or the clock is not trusted. */
enum { RETENTION_STEP_MS = 10 * 60 * 1000 };
struct series_rules *retention_rules(struct head *head, int64_t *ret_now_ms);
/* The time alone; INT64_MIN while the clock is not trusted. */
int64_t retention_rules_now_ms(struct head *head);
/* Forgets former rules whose grace is over; true if there were any. */
bool retention_settle(struct head *head);
/* Returns the rest of the grace of former rules, at most; 0 without former rules. */
int64_t retention_grace_left_ms(const struct head *head);
/*
 * Sets head->clock, and the base of retention if there is none. Samples of senders are evidence
 * against a clock that is far before them. Samples that the server wrote itself, results of rules
 * and its own metrics, are not: they are as wrong as the clock was when they were written.
 */
void look_at_clock(struct head *head);
/* Notes the time of a sample that was stored or found in the log. */
void head_note_time(struct head *head, enum tsdb_origin origin, int64_t t_ms);

/* --- epochs (head.c) -------------------------------------------------------------------------- */

/* Returns the newest epoch that readers see. Under the head lock. */
uint64_t head_visible_epoch(const struct head *head);
/* Takes over the log's durable epoch. Under the head lock. */
void head_epoch_moved(struct head *head);
/* Undoes all epochs after the durable one: HEAD_IS_SETTLED. Without memory for that, HEAD_UNDO_DUE:
 * the samples are undone before the log is reopened; until then readers do not see them, and
 * nothing is stored or cut. Under the head lock, with the log down. */
void head_undo(struct head *head);
/* Contract: tsdb_epoch() in tsdb.h. */
enum tsdb_epoch head_epoch_state(struct head *head, uint64_t epoch);

/* --- generations (head.c), under the head lock ------------------------------------------------ */

/* Makes a generation that uses the registry `shared`, or a new one if that is NULL. ERR_NOMEM. */
MUST_CHECK enum err head_new_gen(struct head *head, struct registry *shared, struct gen **ret_gen);
/* True if the active generation takes so much memory that it must become a part. */
bool head_is_large(const struct head *head);
/* True if the active generation alone takes all memory of the head. */
bool head_is_full(const struct head *head);
/*
 * The active generation becomes the frozen one, which covers the log up to `pos` (the log's end, or
 * the position that replay has reached), and a new one becomes active. Nothing is pending, and no
 * generation is frozen. ERR_NOMEM: nothing changed.
 */
MUST_CHECK enum err head_cut_locked(struct head *head, uint64_t pos);
/* Finds the series with these labels in the active generation's registry, or adds it. ERR_NOMEM. */
MUST_CHECK enum err head_series(struct head *head, uint32_t tenant, struct bytes labels,
                                struct series **ret_series);

/* Drops what a cut noted for the generation, and clears it. */
void cut_free(struct head *head, struct cut *cut);

/* --- tenants (tenant.c), under the head lock -------------------------------------------------- */

/* ERR_LIMIT: too many tenants; ERR_CORRUPT: the name is empty or too long; ERR_NOMEM. */
MUST_CHECK enum err tenant_find_or_add(struct head *head, struct bytes name,
                                       struct tenant **ret_tenant);
/* NULL if no tenant has this name. */
struct tenant *tenant_find(struct head *head, struct bytes name);
/* Frees all tenants and their metadata. */
void tenants_free(struct head *head);
/* Adds to the totals, and keeps it as the change of `epoch` for tenants_undo(). */
void tenant_count(struct tenant *tenant, uint64_t epoch, const struct ledger *change);
/* Takes the changes of epochs after the durable one off the totals. */
void tenants_undo(struct head *head, uint64_t durable_epoch);
/* Forgets metadata of this epoch and later ones, which may not be in the log. */
void families_forget(struct head *head, struct tenant *tenant, uint64_t epoch);
/*
 * Remembers metadata. *ret_changed: it differs from what was known and has to be logged. ERR_NOMEM;
 * ERR_LIMIT: the tenant has too many families.
 */
MUST_CHECK enum err family_set(struct head *head, struct tenant *tenant,
                               const struct metadata *metadata, uint64_t epoch, bool *ret_changed);

/* Returns the newest text of a family; NULL without one. */
const struct family_text *family_newest(const struct head *head, const struct tenant *tenant,
                                        struct bytes name);
/* Returns the newest text of this epoch or an earlier one; NULL without one. */
const struct family_text *family_text_at(const struct family *family, uint64_t epoch);

/* Takes over metadata found in the log or a part, unless the tenant has too many families.
 * ERR_NOMEM. */
MUST_CHECK enum err family_restore(struct head *head, struct tenant *tenant,
                                   const struct metadata *metadata);

/* --- arrivals (tenant.c) ---------------------------------------------------------------------- */

/* Time of a request, and whether it has recent or late samples. */
struct arrival {
    int64_t now_ms;         /* Unix */
    int64_t now_ns;         /* monotonic */
    struct time_range late; /* as set with tsdb_watch_arrivals() */
    bool has_samples;       /* floats or histograms */
    bool is_recent;         /* at least one sample is recent */
    bool is_late;           /* at least one sample is late */
};
/* Examines a request; takes no lock. */
struct arrival head_arrival(const struct head *head, const struct rw_request *request);
/* Notes a request of a sender. Under the head lock. */
void head_note_arrival(struct head *head, struct tenant *tenant, const struct arrival *arrival);

/* --- requests (ingest.c) ---------------------------------------------------------------------- */

/* Contracts: tsdb_ingest_begin() and tsdb_ingest() in tsdb.h. */
MUST_CHECK enum err head_ingest_begin(struct head *head, enum tsdb_origin origin,
                                      struct bytes tenant, const struct rw_request *request,
                                      struct ingest_result *ret_result,
                                      struct tsdb_undecided **ret_undecided, struct why *why);
MUST_CHECK enum err head_ingest(struct head *head, enum tsdb_origin origin, struct bytes tenant,
                                const struct rw_request *request, struct ingest_result *ret_result,
                                struct why *why);

#endif
