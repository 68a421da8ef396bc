/*
 * head.h - private to tsdb/: what is not in parts yet, of all tenants; its generations, one that is
 * appended to and perhaps one that is being written out; and what is known of epochs.
 *
 * Threads: any, under the lock named; the generation that is frozen changes no more.
 */
#ifndef TSDB_HEAD_HEAD_H
#define TSDB_HEAD_HEAD_H

#include "base/lock.h"
#include "model/ledger.h"
#include "tsdb/codec/record.h"
#include "tsdb/head/changes.h"
#include "tsdb/head/gen.h"
#include "tsdb/part/live.h"
#include "tsdb/tsdb.h"

enum { VOIDS_REMEMBERED = 64 };

enum { FAMILY_TEXT_MAX = 64 * 1024 }; /* longer names and texts are not kept */

/* What was said of a family in an epoch. */
struct family_text {
    struct family_text *older; /* as long as a view may want it */
    uint64_t epoch;
    enum metric_type type;
    struct bytes help; /* after it, as the next */
    struct bytes unit;
};

/* Stays as long as its tenant. */
struct family {
    struct family *before; /* the one that came before; immutable, as the name */
    struct bytes name;
    struct family_text *text; /* the last; NULL: nothing is known */
};

struct tenant {
    uint32_t id;
    struct bytes name;
    struct ledger total;     /* committed or not */
    struct ledger change[2]; /* by epoch & 1, to be taken back if it fails */
    uint64_t change_epoch[2];
    uint64_t in_parts[LEDGER_KIND_COUNT]; /* as the live parts tell */
    struct changes written;               /* by epochs, committed or not */
    struct changes edited;                /* deleted or gone; by head->edits */
    struct tsdb_arrivals arrivals;
    struct family *newest_family;
    struct family **families;
    uint32_t family_capacity;
    uint32_t family_count;
    struct table family_table; /* by hash of the name, places in `families` */
};

/* A snapshot taken when a generation is cut. */
struct cut {
    uint64_t pos;
    uint64_t segment;
    uint64_t epoch;
    uint64_t log_totals[LEDGER_KIND_COUNT]; /* accepted before the position */
    bool metadata;                          /* families changed since the cut before */
    struct ledger *ledgers;                 /* by tenant id */
    uint32_t tenant_count;
    struct part *part; /* written, but the manifest with it could not be */
};

struct scratch; /* ingest.h */

struct head {
    struct env *env;
    const struct tsdb_options *options;
    struct wal *wal;
    struct live *live; /* parts, to be asked whether they have a sample already */
    struct budget budget;
    struct budget *cut_budget; /* of what a cut remembers */
    uint64_t hash_seed;
    struct fingerprint_keys print_keys;

    /* Sample times in [min, max] are late, see tsdb_watch_arrivals(). Relaxed: a request that comes
     * while they change may be judged by one old and one new bound. */
    _Atomic int64_t late_min_ms;
    _Atomic int64_t late_max_ms;

    struct lock lock; /* LOCK_RANK_HEAD; guards to the next blank line */
    struct gen *active;
    struct gen *frozen; /* also under the lock of `live`: it is published under both */
    struct tsdb_limits limits;
    struct tenant **tenants; /* by id */
    uint32_t tenant_count;
    uint32_t tenant_capacity;
    struct table tenant_table; /* by hash of the name: ids */
    uint64_t next_ref;
    uint64_t next_gen;
    bool cut_wanted;
    bool parts_wanted;         /* a caller waits for what is in the head to be in parts */
    struct cut cut;            /* of the frozen generation */
    int64_t newest_ms;         /* of samples from senders; INT64_MIN: none is known */
    int64_t own_newest_ms;     /* of samples of the server, and of the parts that it found */
    int64_t retention_base_ms; /* as saved, and when this process began to count */
    int64_t retention_base_ns;
    bool disk_low;
    enum tsdb_dir dir;
    bool series_refused; /* by a limit, since the last cut */
    enum tsdb_clock clock;
    uint32_t metadata_life; /* moves on when families were forgotten: series ask again */
    bool metadata_changed;  /* since the last cut */
    bool metadata_due;      /* and a cut is due for it */
    uint64_t metadata_rejected[REJECT_COUNT]; /* by this process */
    struct scratch *scratch;
    bool undo_due; /* a commit failed, and its samples are not yet taken back */
    bool settled;  /* the log is down, stays so, and nothing in the head is pending */
    struct views views;
    uint64_t edits; /* of what is live, that change answers */

    /* LOCK_RANK_EPOCH; guards to the next blank line. Written under the head lock, too. */
    struct lock epoch_lock;
    uint64_t durable_epoch;
    struct {
        uint64_t first, last;
    } voids[VOIDS_REMEMBERED]; /* epochs that failed, in a ring */
    uint32_t void_count;
};

/* --- one head (head.c) ------------------------------------------------------------------------ */

/* What is not set here is zero, and to be set. With the locks, and without generations. */
void head_init(struct head *head);
/* What appending needs. ERR_NOMEM. */
MUST_CHECK enum err head_begin(struct head *head);
void head_fini(struct head *head);

/* --- time (head.c), under the head lock ------------------------------------------------------- */

/*
 * Retention's now: the lesser of the clock and the newest sample, and never further past the saved
 * value than this process has lived. A clock that jumps ahead deletes nothing. Without a saved
 * value, samples that the server wrote itself count only where no others are.
 */
int64_t retention_now_ms(struct head *head);
/*
 * Sets head->clock. Samples of senders are evidence against a clock that is far before them.
 * Samples that the server wrote itself, results of rules and its own metrics, are none: they are as
 * wrong as the clock was when they were written.
 */
void look_at_clock(struct head *head);
/* A sample is stored, or found in the log. */
void head_note_time(struct head *head, enum tsdb_origin origin, int64_t t_ms);

/* --- epochs (head.c) -------------------------------------------------------------------------- */

/* What is of this epoch or an earlier one is to be seen. Under the head lock. */
uint64_t head_visible_epoch(const struct head *head);
/* The log is durable up to another epoch. Under the head lock. */
void head_epoch_moved(struct head *head);
/*
 * Everything beyond the last committed epoch never happened. Without memory the samples are taken
 * back when the log is: until then nobody may write or cut, and readers do not see them. Under the
 * head lock.
 */
void head_undo(struct head *head);
enum tsdb_epoch head_epoch_state(struct head *head, uint64_t epoch);

/* --- generations (head.c), under the head lock ------------------------------------------------ */

/* With a registry of its own, unless one is given. */
MUST_CHECK enum err head_new_gen(struct head *head, struct registry *shared, struct gen **ret_gen);
/* True if the active generation takes so much memory that it must become a part. */
bool head_is_large(const struct head *head);
/* True if the active generation alone takes all memory of the head. */
bool head_is_full(const struct head *head);
/*
 * With nothing pending: the active generation becomes the frozen one, which covers the log up to
 * `pos`: the log's end, or where replay has come to. ERR_NOMEM: nothing changed.
 */
MUST_CHECK enum err head_cut_locked(struct head *head, uint64_t pos);
/* The series with these labels in the active generation's registry; made if it is not there. */
MUST_CHECK enum err head_series(struct head *head, uint32_t tenant, struct bytes labels,
                                struct series **ret_series);

void cut_free(struct head *head, struct cut *cut);

/* --- tenants (tenant.c), under the head lock -------------------------------------------------- */

/* ERR_LIMIT: there are too many; ERR_CORRUPT: a size that no name has; ERR_NOMEM. */
MUST_CHECK enum err tenant_find_or_add(struct head *head, struct bytes name,
                                       struct tenant **ret_tenant);
struct tenant *tenant_find(struct head *head, struct bytes name);
void tenants_free(struct head *head);
/* Adds to the totals, so that it can be taken back while `epoch` is not committed. */
void tenant_count(struct tenant *tenant, uint64_t epoch, const struct ledger *change);
void tenants_undo(struct head *head, uint64_t durable_epoch);
/* Families changed in this epoch or later may not be in the log: they are news again. */
void families_forget(struct head *head, struct tenant *tenant, uint64_t epoch);
/*
 * Remembers metadata. *ret_changed: it was news, and belongs into the log. ERR_NOMEM; ERR_LIMIT:
 * the tenant has too many families.
 */
MUST_CHECK enum err family_set(struct head *head, struct tenant *tenant,
                               const struct metadata *metadata, uint64_t epoch, bool *ret_changed);

/* What a view from this epoch knows of a family; NULL: nothing. */
const struct family_text *family_text_at(const struct family *family, uint64_t epoch);

/* What log and parts hold; beyond the limit it is left out. ERR_NOMEM. */
MUST_CHECK enum err family_restore(struct head *head, struct tenant *tenant,
                                   const struct metadata *metadata);

/* --- arrivals (arrivals.c) -------------------------------------------------------------------- */

/* The time at which a request came, and what the times of its samples say. */
struct arrival {
    int64_t now_ms;         /* Unix */
    int64_t now_ns;         /* monotonic */
    struct time_range late; /* as set with tsdb_watch_arrivals() */
    bool has_samples;       /* floats or histograms */
    bool is_recent;         /* at least one sample is */
    bool is_late;           /* at least one sample is */
};
/* Under no lock. */
struct arrival head_arrival(const struct head *head, const struct rw_request *request);
/* Notes a request of a sender. Under the head lock. */
void head_note_arrival(struct head *head, struct tenant *tenant, const struct arrival *arrival);
/* As tsdb_watch_arrivals() and tsdb_arrivals() say. */
void head_watch_arrivals(struct head *head, struct time_range late);
struct tsdb_arrivals head_arrivals(struct head *head, struct bytes tenant);

/* --- requests (ingest.c) ---------------------------------------------------------------------- */

/* As tsdb_ingest_begin() and its like say. */
MUST_CHECK enum err head_ingest_begin(struct head *head, enum tsdb_origin origin,
                                      struct bytes tenant, const struct rw_request *request,
                                      struct ingest_result *ret_result,
                                      struct tsdb_doubts **ret_doubts, struct why *why);
MUST_CHECK enum err head_ingest(struct head *head, enum tsdb_origin origin, struct bytes tenant,
                                const struct rw_request *request, struct ingest_result *ret_result,
                                struct why *why);

#endif
