/*
 * scheduler.h - the rule groups of a server, and the jobs due for them.
 *
 * A group is a cursor: `next`, the number of the next evaluation of its recording rules
 * (rules/group/group.h). Alerting rules are evaluated at every time of the schedule, and have no
 * cursor. The checkpoint survives a restart: all cursors and alerts (rules/schedule/checkpoint.h).
 *
 * A tenant has a gap when the cursor of one of its groups is late by more than its interval or a
 * minute, whichever is less, and the evaluations could not run: the server was down, the machine
 * slept, the clock was set forward, or the store refused writes. Then
 *
 *                 a gap                    the backlog of the senders is complete,
 *       LIVE ---------------> WAITS ------ or rules.catch_up_wait is over -------> FILLS
 *        ^                      ^                                                   |  |
 *        |                      +----------- the store refuses writes --------------+  |
 *        +------------------------ every cursor has reached the clock -----------------+
 *
 * Recording rules are evaluated live only in LIVE; in FILLS the replay engine
 * (rules/replay/replay.h) makes the missing evaluations in bulk. Alerting rules are always
 * evaluated live. In WAITS, and in FILLS if the group reads recorded series, its alerts are held:
 * alerts that are not found stay active, and none begins to fire.
 *
 * Evaluations for which a slow one left no time, and those older than rules.catch_up, are skipped
 * and counted.
 *
 * An alert that begins or ceases to fire is sent after a checkpoint that contains it is on stable
 * storage, so that a crash does not make it fire again or be forgotten.
 *
 * A caller takes a job that is due, runs it, and reports it as done; several threads may do so. The
 * scheduler itself never waits, starts threads or reads a clock: the simulator takes the same
 * steps.
 *
 * Threads: a lock of the owner guards everything; nothing is logged or waits under it. Exceptions:
 * scheduler_prepare() and scheduler_run(). One thread at a time prepares a change and commits or
 * abandons it.
 */
#ifndef RULES_SCHEDULE_SCHEDULER_H
#define RULES_SCHEDULE_SCHEDULER_H

#include "rules/group/group.h"
#include "rules/replay/replay.h"
#include "rules/schedule/checkpoint.h"

struct scheduler;

struct scheduler_limits {
    int64_t catch_up_ns;      /* 0: gaps are not filled, and backlogs are not awaited */
    int64_t kept_ns;          /* the store refuses older samples */
    int64_t catch_up_wait_ns; /* the longest wait for the backlog of senders */
    int64_t outage_tolerance_ns;
    int64_t grace_ns;
};

/* `checkpoint` is that of the previous server; NULL: alerts and cursors are searched in the store.
 * It is open, and its records are read. Results recorded after `cursor_max_ns` (Unix) are lost:
 * later cursors are set back to it. ERR_NOMEM. `host` outlives it. */
MUST_CHECK enum err scheduler_new(const struct rules_host *host,
                                  struct checkpoint_reader *checkpoint, int64_t cursor_max_ns,
                                  struct scheduler **ret_scheduler);
/* Frees a scheduler without running jobs. Accepts NULL. */
void scheduler_free(struct scheduler *scheduler);

/* Sets the groups in two steps: the first does all that can fail, and changes nothing; it needs no
 * lock. Groups whose text did not change continue; others take over state from the group with the
 * same tenant, file and name. The texts are copied. ERR_NOMEM; ERR_INPUT: an expression cannot be
 * parsed, or there are too many groups. `now_ns` is Unix. */
struct scheduler_change;
struct scheduler_group {
    struct bytes tenant;
    const struct rule_group *text;
};
MUST_CHECK enum err scheduler_prepare(struct scheduler *scheduler,
                                      const struct scheduler_group *groups, uint32_t count,
                                      const struct group_defaults *defaults,
                                      struct scheduler_change **ret_change, struct why *why);
void scheduler_commit(struct scheduler_change *change, const struct scheduler_limits *limits,
                      int64_t now_ns);
/* Drops the change instead. Accepts NULL. */
void scheduler_abandon(struct scheduler_change *change);

/* --- work ------------------------------------------------------------------------------------- */

enum scheduler_work {
    WORK_RESTORE,    /* search the store for the state of a server without a checkpoint */
    WORK_EVALUATE,   /* evaluate a group at a time of its schedule */
    WORK_SEND,       /* send the alerts of a group whose change is now in a checkpoint */
    WORK_CHECKPOINT, /* write the checkpoint */
    WORK_LOOK,       /* check that the backlog of a tenant is complete */
    WORK_FILL,       /* make the missing evaluations of a tenant's groups up to a time */
    WORK_RETIRE,     /* mark stale the series of a group that left the configuration */
};

struct scheduled;
struct scheduled_tenant;
/* An entry of a fill, and its first evaluation; see struct replay_from. */
struct scheduled_fill {
    struct scheduled *entry;
    int64_t next_slot;
};
/* The members after `error` are for the jobs that are named; the others leave them zero. */
struct scheduler_job {
    enum scheduler_work work;
    struct scheduled *entry;         /* NULL for CHECKPOINT, LOOK and FILL */
    struct scheduled_tenant *tenant; /* for LOOK and FILL */
    struct scheduler_limits limits;
    int64_t taken_ns; /* monotonic */
    int64_t now_ns;   /* Unix time at which it was taken */
    enum err error;   /* result of scheduler_run() */

    /* EVALUATE, SEND and RETIRE. */
    struct group_evaluation how;
    int64_t slot;
    struct group_outcome outcome;
    struct kept_series ended;
    bool holds_if_refused; /* alerts are held if the store refuses writes: a gap is not known so far
                            */
    bool asks_arrivals;    /* EVALUATE sets `arrivals` */
    /* LOOK and FILL. */
    int64_t from_ms; /* start of the tenant's gap */
    /* EVALUATE, LOOK and FILL: results. */
    bool store_refuses;
    struct rules_arrivals arrivals; /* not FILL */

    /* FILL: fill these groups up to a time (Unix). */
    struct {
        struct scheduled_fill *items;
        uint32_t count;
        size_t items_bytes;
        int64_t until_ns;
        int64_t covered_ns; /* time range, from the oldest cursor on */
        int64_t slow_ns;    /* passes that cover less are short, as they have reached the clock */
        struct replay_counts counts;
        bool logs_begin, logs_end; /* log the start and end of the gap: a short gap has one pass */
        uint64_t filled;           /* evaluations of groups by earlier passes of the gap */
        int64_t began_ns;          /* monotonic start of the first pass */
        bool falls_behind;         /* the pass took longer than the time it covers */
    } fill;

    struct {
        struct time_range late;  /* of all gaps, for watch() */
        int64_t awaited_from_ms; /* senders that wrote since then are awaited */
        int64_t sent_ms;         /* time of the last known write of such a sender */
        bool is_logged;          /* the wait was logged */
    } look;

    struct {
        struct buf file;
        struct checkpoint_writer writer;
        uint64_t has_changes_to; /* number of the last change of an alert in it */
    } checkpoint;

    struct {
        bool is_last_try;
        int64_t down_ns, next_ns; /* see restore_group() */
    } restore;
};

/* Takes a job that is due at `now_ns` (Unix) and `monotonic_ns`. False: nothing is due before
 * *ret_until_ns (Unix). */
bool scheduler_take(struct scheduler *scheduler, int64_t now_ns, int64_t monotonic_ns,
                    struct scheduler_job *ret_job, int64_t *ret_until_ns);
/* Runs a job, without locks. */
void scheduler_run(struct scheduler *scheduler, struct scheduler_job *job,
                   const struct rules_terms *terms);
void scheduler_done(struct scheduler *scheduler, struct scheduler_job *job, int64_t monotonic_ns);

/* Cancels running fills when the server stops: they do not check `all_canceled` of the host. */
void scheduler_cancel_fills(struct scheduler *scheduler);
/* Writes the last checkpoint, when all jobs have ended. Errors of the host. */
MUST_CHECK enum err scheduler_save(struct scheduler *scheduler, struct why *why);

/* --- queries ---------------------------------------------------------------------------------- */

/* Calls `each` for the groups of a tenant, ordered by file and name; for all tenants if `tenant.at`
 * is NULL. `next_ns` is the cursor as Unix time. */
void scheduler_each(struct scheduler *scheduler, struct bytes tenant,
                    void (*each)(void *context, struct group *group, int64_t next_ns),
                    void *context);

enum catch_up { CATCH_UP_LIVE, CATCH_UP_WAITS, CATCH_UP_FILLS };
/* Calls `each` for the tenants that have groups. */
void scheduler_each_tenant(struct scheduler *scheduler,
                           void (*each)(void *context, struct bytes tenant, enum catch_up state),
                           void *context);

struct scheduler_totals {
    uint64_t filled;           /* evaluations of recording groups made by fills */
    uint64_t different;        /* results of fills that differ from stored ones */
    uint64_t skipped_too_old;  /* evaluations older than rules.catch_up */
    uint64_t skipped_too_slow; /* evaluations skipped because a fill could not keep up or its input
                                  could not be read */
    uint64_t checkpoints, checkpoint_bytes, checkpoint_failures;
};
void scheduler_totals(const struct scheduler *scheduler, struct scheduler_totals *ret);
/* Asserts the invariants between two jobs; for tests and debug builds. */
void scheduler_validate(const struct scheduler *scheduler);

#endif
