/*
 * scheduler_private.h - shared by the files of the scheduler: scheduler.c has the groups and
 * reloads, retired.c the groups that are not configured, scheduler_take.c takes due jobs,
 * catch_up.c closes gaps, scheduler_run.c runs jobs. Private to rules/.
 *
 * Locks: the lock of the scheduler's owner guards all but `host`, which never changes.
 * scheduler_run() holds no lock; it uses the groups of its job, whose entries are in use.
 *
 * Ownership: an entry owns its group. `items` owns the configured entries, the tenants own the
 * retired ones. An entry in use is never freed.
 */
#ifndef RULES_SCHEDULE_SCHEDULER_PRIVATE_H
#define RULES_SCHEDULE_SCHEDULER_PRIVATE_H

#include "rules/group/group.h"
#include "rules/schedule/scheduler.h"

#define NEVER_NS INT64_MAX

enum scheduled_state {
    SCHEDULED_NEW,   /* configured; gets its state when no retired entry of the tenant is in use */
    SCHEDULED_READY, /* configured */
    SCHEDULED_RETIRED, /* not configured, or an earlier text of a configured group */
};

enum scheduled_place {
    SCHEDULED_RESTS,
    SCHEDULED_IN_HEAP, /* in scheduler.due */
    SCHEDULED_RUNS,    /* a job evaluates the group, sends its alerts, restores or retires it */
};

/* The flags are independent of each other. */
struct scheduled {
    struct group *group;
    struct scheduled_tenant *tenant;
    struct scheduled *next; /* next one of the tenant's `retired` */
    enum scheduled_state state;
    enum scheduled_place place;
    bool fills;      /* a job that fills gaps uses the group, also while it is evaluated */
    bool is_unknown; /* its state must be restored from the store first */
    bool is_behind;  /* it was not configured for some time after its cursor */
    bool sends;      /* its alerts are to be sent, because a change is saved or they end early */
    bool reads_recorded;  /* it reads results of recording rules */
    bool had_outage;      /* its alerts have not been evaluated since a gap */
    int64_t next_slot;    /* the cursor; -1: unknown */
    int64_t alert_slot;   /* slot of the next evaluation of alerting rules */
    int64_t recorded_ns;  /* Unix: time of the last evaluation of recording rules, if known; 0 */
    int64_t refused_ns;   /* Unix: the first evaluation whose results were not stored; 0: none was
                             refused */
    int64_t evaluated_ns; /* Unix: time of the last live evaluation of alerts; 0: never */
    uint64_t changed;     /* number of the last change of its alerts; 0 once saved */
    int64_t restore_ns;   /* Unix: when to try to restore it (again) */
    int64_t restore_until_ns; /* monotonic: when to give up restoring; 0: not tried */

    /* For RETIRED entries. */
    int64_t left_ns;   /* Unix: when it left the configuration */
    int64_t last_slot; /* its series of this evaluation are to be found; -1: they are known */
    int64_t mark_ns;   /* monotonic: when its series are marked stale; NEVER_NS: done */
};

static inline bool
scheduled_is_used(const struct scheduled *e)
{
    return e->place == SCHEDULED_RUNS || e->fills;
}

struct scheduled_tenant {
    struct bytes name;
    struct scheduled_tenant *next; /* next tenant, by name */
    uint32_t first, end;           /* its range of scheduler.items */
    struct scheduled *retired;     /* by file and name; the latest first among equal ones */
    int64_t sent_ms;               /* Unix: a sender's last known write; INT64_MIN: never */
    int64_t sent_read_ns;          /* monotonic: when sent_ms was updated */

    enum catch_up state;
    enum { TENANT_RESTS, TENANT_LOOKS, TENANT_FILLS } runs; /* WORK_LOOK or WORK_FILL runs */
    int64_t look_ns;                                        /* monotonic: no job before */
    int64_t gap_from_ns; /* Unix: the oldest cursor when the gap was noticed, */
    int64_t gap_to_ns;   /* and its end: then, or when the store took writes again */
    /* WAITS. Monotonic: begin, and latest end. */
    int64_t since_ns, until_ns;
    int64_t held_until_ns; /* monotonic: limit for holding alerts; a full disk may last */
    bool has_gap;          /* all alerts are held; else those that read recorded series */
    bool is_held_again;    /* the limit was extended, once, after the store accepted writes again */
    uint64_t pauses;       /* number of the last pause after which it awaited its senders */
    bool is_refused;       /* the store refuses writes */
    bool is_logged;        /* the wait was logged */
    bool awaits_senders;   /* one wrote in the minute before the gap, or later */
    /* FILLS. */
    enum { FILL_SILENT, FILL_BEGUN, FILL_ENDED } fill_logged; /* logged state of the gap */
    uint64_t filled;              /* evaluations of groups, in this gap */
    int64_t fill_began_ns;        /* monotonic */
    _Atomic(const char *) cancel; /* reason for ending the running pass; NULL: it continues */
    int64_t failing_since_ns;     /* monotonic: start of failures of a source; 0: no failure */
};

struct due {
    int64_t at_ns;
    struct scheduled *entry;
};
/* Ordered by time; room for all configured entries. */
struct due_heap {
    struct due *items;
    uint32_t count;
};

struct scheduler {
    const struct rules_host *host;
    struct scheduler_limits limits;
    struct scheduled **items; /* sorted by tenant, file, name */
    uint32_t count;
    struct scheduled_tenant *tenants;
    struct due_heap due; /* ordered by Unix time */
    bool has_checkpoint; /* a checkpoint had the state of the previous server */
    bool has_started;    /* the first commit is over */
    uint32_t unknown;    /* entries to be restored */
    uint32_t unmarked;   /* retired entries whose series have to be marked stale */
    int64_t started_ns;  /* Unix: the first commit */
    int64_t idle_from_ns,
        idle_to_ns;  /* Unix: end of the last pause: no job was requested, or the server was down */
    uint64_t pauses; /* number of them */
    int64_t seen_ns; /* Unix: time of the last request for a job */
    int64_t latest_ns;                   /* Unix: the latest time ever evaluated */
    uint32_t catching_up;                /* tenants that are not LIVE */
    int64_t catch_up_ns;                 /* monotonic: none of them has a job before */
    struct scheduled_tenant *taken_last; /* the one that had a job last; NULL: none had */
    struct time_range late;              /* union of all gaps since catching_up was 0 */
    uint32_t filling;                    /* jobs that fill, of all tenants */

    /* Changes of alerts have numbers, from 1 on. */
    uint64_t changes, saved_changes;
    bool is_saving;
    int64_t saving_since_ns; /* monotonic */
    int64_t save_after_ns;   /* monotonic: no earlier, for a change */
    int64_t save_due_ns;     /* monotonic: no later */
    struct scheduler_totals totals;
};

/* --- scheduler.c ------------------------------------------------------------------------------ */

void scheduled_free(struct scheduler *s, struct scheduled *e);
/* Compares by file and name. */
int scheduled_compare(const struct scheduled *a, const struct scheduled *b);
/* Puts the state of all groups into a checkpoint. */
void scheduler_put_all(struct scheduler *s, struct checkpoint_writer *writer, struct buf *to);

/* --- scheduler_take.c ------------------------------------------------------------------------- */

/* Puts an entry into the heap if it has a due time, unless it is there. */
void scheduled_place(struct scheduler *s, struct scheduled *e);
/* Recomputes all places: after a reload, or when the clock was set back. */
void scheduler_place_all(struct scheduler *s);
/* Returns the cursor as Unix time; 0: unknown. */
int64_t scheduled_cursor_ns(const struct scheduled *e);
/* Returns the time of the last evaluation of recording rules before the cursor. */
int64_t scheduled_recorded_ns(const struct scheduled *e);
static inline int64_t
scheduled_time_ns(const struct scheduled *e, int64_t slot)
{
    return schedule_time_ns(&e->group->schedule, slot);
}
/* Returns the last slot at or before a time; -1 before slot 0. */
static inline int64_t
scheduled_slot(const struct scheduled *e, int64_t at_ns)
{
    return at_ns < 0 ? -1 : schedule_slot(&e->group->schedule, at_ns);
}
/* Returns the first slot at or after a time. */
static inline int64_t
scheduled_slot_from(const struct scheduled *e, int64_t at_ns)
{
    int64_t slot = scheduled_slot(e, at_ns);
    return slot >= 0 && scheduled_time_ns(e, slot) == at_ns ? slot : slot + 1;
}
/* Returns how late a cursor may be without being a gap. */
int64_t scheduled_patience_ns(const struct scheduled *e);

/* --- catch_up.c ------------------------------------------------------------------------------- */

/* Reasons why a tenant catches up from a time on. */
enum catch_up_reason {
    CATCH_UP_SERIES, /* the series of the last evaluation are unknown, or the group was not
                        configured for some time */
    CATCH_UP_PAUSE,  /* evaluations were due while nothing could run: their input comes later */
    CATCH_UP_GAP,    /* a gap: alerts are held, too */
};
void catch_up_begin(struct scheduler *s, struct scheduled_tenant *t, int64_t from_ns,
                    enum catch_up_reason reason, int64_t monotonic_ns);
bool catch_up_take(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job,
                   int64_t *ret_at_ns);
void catch_up_looked(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns);
void catch_up_filled(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns);
/* Says whether its alerts are held: see struct group_evaluation. */
bool catch_up_holds(const struct scheduled *e, int64_t monotonic_ns);

/* --- retired.c -------------------------------------------------------------------------------- */

/* Retires an entry. `link`: a place in the tenant's list at or before its own; is moved there. */
void retired_add(struct scheduler *s, struct scheduled ***link, struct scheduled *e);
/* Gives the new entries of a tenant their state, unless a retired one is in use. */
void retired_give(struct scheduler *s, struct scheduled_tenant *t);
/* Takes a job that marks the series of a retired entry stale. */
bool retired_take(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job);
/* Forgets entries that left too long ago, or have no state worth keeping. */
void retired_forget(struct scheduler *s, bool all);

#endif
