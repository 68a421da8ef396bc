/*
 * scheduler.h - the rule groups of a server, and what is due for each of them.
 *
 * A group is a cursor: `next`, the number of the evaluation of its recording rules that comes next
 * (rules/group/schedule.h). Alerting rules are evaluated at every time of the schedule, and have no
 * cursor. What survives a restart is the checkpoint: all cursors and alerts
 * (rules/schedule/checkpoint.h).
 *
 * A tenant has a gap when the cursor of one of its groups is late by more than its interval or a
 * minute, whichever is less, and the evaluations could not run: the server was down, the machine
 * slept, the clock was set forward, or the store refused what was written. Then
 *
 *                 a gap                    the backlog of the senders is there,
 *       LIVE ---------------> WAITS ------ or rules.catch_up_wait is over -------> FILLS
 *        ^                      ^                                                   |  |
 *        |                      +----------- the store refuses what is written -----+  |
 *        +------------------------ every cursor is at the clock -----------------------+
 *
 * Recording rules are evaluated live only in LIVE; in FILLS the replay engine
 * (rules/replay/replay.h) evaluates what is missing, in bulk. Alerting rules are always evaluated
 * live. In WAITS, and in FILLS if the group reads recorded series, its alerts are held: what is not
 * found stays active, and nothing begins to fire.
 *
 * Evaluations that a slow one left no time for, and those that are older than rules.catch_up, are
 * skipped and counted.
 *
 * An alert that begins or ceases to fire is sent after a checkpoint that has it is on stable
 * storage, so that a crash does not make it fire again or be forgotten.
 *
 * A caller takes what is due, runs it, and says that it is done; several threads may do so. Nothing
 * here waits, starts threads or reads a clock by itself: the simulator takes the same steps.
 *
 * Threads: all is guarded by a lock of the owner's, under which nothing is logged or waits, but for
 * scheduler_prepare() and scheduler_run(). One at a time prepares a change and commits or abandons
 * it.
 */
#ifndef RULES_SCHEDULE_SCHEDULER_H
#define RULES_SCHEDULE_SCHEDULER_H

#include "rules/group/group.h"
#include "rules/replay/replay.h"
#include "rules/schedule/checkpoint.h"

struct scheduler;

struct scheduler_limits {
    int64_t catch_up_ns;      /* 0: gaps are not filled, and no backlog is awaited */
    int64_t kept_ns;          /* the store refuses older samples */
    int64_t catch_up_wait_ns; /* the backlog of senders is awaited for at most so long */
    int64_t outage_tolerance_ns;
    int64_t grace_ns;
};

/*
 * `checkpoint` is what a server before left; NULL: nothing, so that alerts and cursors are looked
 * for in the store. It is open, and its records are read. What was recorded after `cursor_max_ns`
 * (Unix) is lost: later cursors go back to it. ERR_NOMEM. `host` outlives it.
 */
MUST_CHECK enum err scheduler_new(const struct rules_host *host,
                                  struct checkpoint_reader *checkpoint, int64_t cursor_max_ns,
                                  struct scheduler **ret_scheduler);
/* Frees a scheduler without running jobs. Accepts NULL. */
void scheduler_free(struct scheduler *scheduler);

/*
 * Makes it these groups, in two steps: the first makes all that can fail, and changes nothing; it
 * needs no lock. Groups whose text did not change go on as they are; others take over state from
 * the one of the same tenant, file and name. The texts are copied. ERR_NOMEM; ERR_INPUT: an
 * expression cannot be parsed, or there are too many groups. `now_ns` is Unix.
 */
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
    WORK_RESTORE,    /* find out from the store what a server without a checkpoint left */
    WORK_EVALUATE,   /* evaluate a group at a time of its schedule */
    WORK_SEND,       /* send the alerts of a group whose change is in a checkpoint now */
    WORK_CHECKPOINT, /* write the checkpoint */
    WORK_LOOK,       /* look whether the backlog of a tenant has come */
    WORK_FILL,       /* evaluate what groups of a tenant miss up to a time */
    WORK_RETIRE,     /* mark stale what a group wrote that left the configuration */
};

struct scheduled;
struct scheduled_tenant;
/* An entry of a fill, and the first evaluation to be made; see struct replay_from. */
struct scheduled_fill {
    struct scheduled *entry;
    int64_t next_slot;
};
struct scheduler_job {
    enum scheduler_work work;
    struct scheduled *entry;         /* NULL for CHECKPOINT, LOOK and FILL */
    struct scheduled_tenant *tenant; /* of LOOK and FILL */
    struct scheduler_limits limits;
    int64_t taken_ns; /* monotonic */
    int64_t now_ns;   /* Unix, when it was taken */
    enum err error;   /* of scheduler_run() */

    /* Of EVALUATE, SEND and RETIRE. */
    struct group_evaluation how;
    int64_t slot;
    struct group_outcome outcome;
    struct kept_series ended;
    bool holds_if_refused; /* alerts are held if the store refuses writes: no gap is known so far */

    /* FILL: these groups, up to a time (Unix). */
    struct scheduled_fill *fills;
    uint32_t fill_count;
    size_t fills_bytes;
    int64_t until_ns;
    int64_t covered_ns; /* from the oldest cursor on */
    int64_t slow_ns;    /* a pass that covers less is short because it is at the clock */
    struct replay_counts counts;
    bool logs_begin, logs_end; /* of the gap */
    uint64_t filled;           /* evaluations of groups by earlier passes of the gap */
    int64_t fill_began_ns;     /* monotonic, the first of these */
    bool falls_behind;         /* the pass took longer than the time it covers */
    bool store_refuses;        /* also of LOOK and EVALUATE */

    /* LOOK: the range of times of all gaps, for watch(). */
    struct time_range late;
    int64_t from_ms;                /* begin of the tenant's gap */
    int64_t awaited_from_ms;        /* senders that wrote since then are awaited, */
    int64_t sent_ms;                /* and one last did then, as far as was known */
    bool is_logged;                 /* the log says that it waits */
    struct rules_arrivals arrivals; /* also of EVALUATE with asks_arrivals */
    bool asks_arrivals;

    /* CHECKPOINT: the file, and the number of the last change of an alert that it has. */
    struct buf file;
    struct checkpoint_writer writer;
    uint64_t has_changes_to;

    /* RESTORE: see restore_group(). */
    bool is_last_try;
    int64_t down_ns, next_ns;
};

/*
 * Takes a job that is due at `now_ns` (Unix) and `monotonic_ns`. False: none is, nor will be before
 * *ret_until_ns (Unix).
 */
bool scheduler_take(struct scheduler *scheduler, int64_t now_ns, int64_t monotonic_ns,
                    struct scheduler_job *ret_job, int64_t *ret_until_ns);
/* Runs a job, without locks. */
void scheduler_run(struct scheduler *scheduler, struct scheduler_job *job,
                   const struct rules_terms *terms);
void scheduler_done(struct scheduler *scheduler, struct scheduler_job *job, int64_t monotonic_ns);

/* Cancels running fills when the server stops: they do not look at `all_canceled` of the host. */
void scheduler_cancel_fills(struct scheduler *scheduler);
/* Writes the last checkpoint, when no job runs any more. Errors of the host. */
MUST_CHECK enum err scheduler_save(struct scheduler *scheduler, struct why *why);

/* --- looking ---------------------------------------------------------------------------------- */

/* Calls `each` for the groups of a tenant, ordered by file and name; `tenant.at` NULL: of all.
 * `next_ns` is the cursor as Unix time. */
void scheduler_each(struct scheduler *scheduler, struct bytes tenant,
                    void (*each)(void *context, struct group *group, int64_t next_ns),
                    void *context);

enum catch_up { CATCH_UP_LIVE, CATCH_UP_WAITS, CATCH_UP_FILLS };
/* Calls `each` for the tenants that have groups. */
void scheduler_each_tenant(struct scheduler *scheduler,
                           void (*each)(void *context, struct bytes tenant, enum catch_up state),
                           void *context);

struct scheduler_totals {
    uint64_t filled;           /* evaluations of recording groups that were made by fills */
    uint64_t different;        /* results of fills that differ from what is stored */
    uint64_t skipped_too_old;  /* evaluations that were older than rules.catch_up */
    uint64_t skipped_too_slow; /* evaluations skipped because a fill could not keep up or its input
                                  could not be read */
    uint64_t checkpoints, checkpoint_bytes, checkpoint_failures;
};
void scheduler_totals(const struct scheduler *scheduler, struct scheduler_totals *ret);
/* Asserts the invariants between two jobs; for tests and debug builds. */
void scheduler_validate(const struct scheduler *scheduler);

#endif
