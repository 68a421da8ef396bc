/*
 * scheduler_private.h - what the files of the scheduler share: scheduler.c has which groups there
 * are, scheduler_take.c what is due, catch_up.c what a tenant with a gap has to do, left.c what is
 * known of groups that are not configured, scheduler_run.c runs jobs. Private to rules/.
 *
 * Locks: the lock of the scheduler's owner guards all but `host`, which never changes.
 * scheduler_run() holds no lock; it uses the entries of its job, which are pinned (users > 0).
 *
 * Ownership: an entry owns its group. `items` owns the configured entries, `retired` those that
 * left; an entry that waits for the state of another one owns that (`from`). A pinned entry is
 * freed by nobody: when it leaves `items`, `retired` or `from` has it.
 */
#ifndef RULES_SCHEDULER_PRIVATE_H
#define RULES_SCHEDULER_PRIVATE_H

#include "rules/group_private.h"
#include "rules/scheduler.h"

#define NEVER_NS INT64_MAX

enum scheduled_state {
    SCHEDULED_NEW,     /* configured; it may take over state from the entry before it, */
    SCHEDULED_HEIR,    /* has done so; and it may find alerts of other groups */
    SCHEDULED_UNKNOWN, /* what the store has of it is to be read */
    SCHEDULED_READY,
    SCHEDULED_RETIRED, /* not configured */
};

struct scheduled {
    struct group *group;
    struct scheduled_tenant *tenant;
    enum scheduled_state state;
    uint32_t users; /* jobs that use the group: */
    bool evaluates; /* one of them evaluates it, sends its alerts, restores or retires it, */
    bool fills;     /* one fills it */
    bool is_in_heap;
    bool is_kept;        /* while a reload is committed */
    bool is_sending;     /* it is in the list `sending` */
    bool is_refused;     /* what it recorded last was not stored */
    bool is_behind;      /* it was not configured since its cursor */
    bool keeps;          /* RETIRED: its cursor and alerts are to be kept (left.c) */
    bool is_unknown;     /* HEIR: the one before was UNKNOWN */
    bool ends_early;     /* it has other times now, and its alerts may end before the next */
    bool reads_recorded; /* it reads what recording rules write */
    uint32_t round;      /* of a fill; REPLAY_TOGETHER */
    struct scheduled *from; /* whose state it takes over once that has no users */
    struct scheduled *heir; /* the other way */
    struct scheduled *next; /* of `retired`, `rests` */
    struct scheduled *next_to_send;
    int64_t next_slot;        /* the cursor; -1: not known */
    int64_t last_slot;        /* before `next_slot` when the series of `group` were not known */
    int64_t alert_slot;       /* of the next evaluation of alerting rules */
    int64_t not_before_ns;    /* monotonic: to restore or retire */
    int64_t restore_until_ns; /* monotonic: when to give up restoring; 0: not tried */
    int64_t evaluated_ns;     /* Unix: time of the last live evaluation of alerts; 0: none */
    bool had_outage;          /* its alerts have not been evaluated since a gap */
    uint64_t changed;         /* number of the last change of its alerts; 0: all are sent */
};

struct scheduled_tenant {
    struct bytes name;
    struct scheduled_tenant *next; /* by name */
    uint32_t first, end;           /* of scheduler.items */
    uint32_t pending; /* entries that are in use and have state for others: NEW and HEIR wait */
    enum catch_up state;
    int64_t gap_from_ns; /* Unix: the oldest cursor when the gap was noticed, */
    int64_t gap_to_ns;   /* and its end: then, or when the store took writes again */
    int64_t sent_ms;     /* Unix: a sender last wrote, as far as is known; INT64_MIN: never */
    int64_t asked_ns;    /* monotonic: that was last found out */
    /* WAITS. Monotonic: since when, until when at most, when to look again. */
    int64_t since_ns, until_ns, look_ns;
    int64_t held_until_ns; /* monotonic: alerts are held at most so long; a full disk may last */
    bool is_refused;       /* the store takes no writes */
    uint64_t pauses;       /* scheduler.pauses when it began to wait */
    bool is_looking;       /* WORK_LOOK runs */
    bool is_logged;        /* the log says that it waits */
    bool awaits_senders;   /* one wrote in the minute before the gap, or since */
    /* FILLS. */
    uint32_t filling;         /* jobs that run */
    uint32_t round, at;       /* up to which of its entries jobs were given */
    int64_t pass_until_ns;    /* Unix: what the pass fills up to; 0: no pass has begun */
    int64_t pass_began_ns;    /* monotonic */
    int64_t pass_covers_ns;   /* from the oldest cursor to the end of the pass */
    bool has_filled;          /* a job of the pass was taken */
    int64_t failing_since_ns; /* monotonic: what it reads is away; 0: it is not */
};

struct due {
    int64_t at_ns;
    struct scheduled *entry;
};
/* By time; room for as many as are configured. */
struct due_heap {
    struct due *items;
    uint32_t count;
};

/* What is known of a group that is not configured, or of rules that left their group. */
struct left_rule {
    struct left_rule *next; /* of its group, in the order of the file */
    struct bytes name;      /* of the alert */
    struct label *labels;   /* of the rule, by name */
    uint32_t label_count;
    struct alerts alerts;
};
struct left_group {
    struct arena arena; /* of texts and rules */
    struct bytes tenant, file, name;
    int64_t interval_ns;
    int64_t next_ns;      /* the cursor; 0: none, as the group itself is configured */
    int64_t evaluated_ns; /* its alerts were evaluated last */
    int64_t left_ns;      /* it left the configuration */
    struct left_rule *rules;
};

struct scheduler {
    const struct rules_host *host;
    struct scheduler_limits limits;
    struct scheduled **items; /* by tenant, file, name */
    uint32_t count;
    struct scheduled_tenant *tenants;
    struct due_heap due;       /* by Unix time: READY entries that are not evaluated now */
    struct due_heap restores;  /* by monotonic time: UNKNOWN ones */
    struct scheduled *retired; /* left the configuration; by tenant, file, name */
    struct scheduled *rests;   /* their state was taken over, but for some rules */
    struct scheduled *sending; /* whose changes are in a checkpoint and are not sent */
    struct left_group **left;  /* by tenant, file, name */
    uint32_t left_count, left_capacity;
    struct table
        left_rules; /* numbers in `left`, by the hash of an alert's name; all that may be */
    bool left_is_indexed;
    bool has_checkpoint;                 /* what was before is known from one */
    bool has_started;                    /* the first commit is over */
    int64_t started_ns;                  /* Unix: then */
    int64_t idle_from_ns, idle_to_ns;    /* Unix: the last pause in which nobody asked */
    uint64_t pauses;                     /* so many of them */
    int64_t seen_ns;                     /* Unix: the last time that was asked about */
    int64_t latest_ns;                   /* Unix: the latest time ever evaluated */
    uint32_t catching_up;                /* tenants that are not LIVE; */
    int64_t catch_up_ns;                 /* monotonic: before it none of them has anything to do, */
    struct scheduled_tenant *taken_last; /* and this one had last; NULL: the first one is next */
    uint32_t filling;                    /* jobs that fill, of all tenants, */
    uint32_t restoring;                  /* and that restore */
    struct scheduled_tenant *fell_behind; /* its fill did not keep up: to be logged; NULL: none */
    uint64_t skipped_logged;

    /* Changes of alerts have numbers, from 1 on. */
    uint64_t changes, saved_changes;
    bool is_saving;
    int64_t save_after_ns; /* monotonic: not before, for a change */
    int64_t save_due_ns;   /* monotonic: at the latest */
    struct scheduler_totals totals;
};

/* --- scheduler.c --- */
void scheduled_free(struct scheduler *s, struct scheduled *e);
/* A group of that name is configured. */
bool scheduler_has(const struct scheduler *s, struct bytes tenant, struct bytes file,
                   struct bytes name);
/* A tenant that a checkpoint has. ERR_NOMEM. */
MUST_CHECK enum err scheduler_add_tenant(struct scheduler *s, struct bytes name, int64_t sent_ms);

/* --- scheduler_take.c --- */
/* Puts an entry where its state belongs, unless it is there. */
void scheduled_place(struct scheduler *s, struct scheduled *e);
/* Finds all places anew: after a reload, or when the clock was set back. */
void scheduler_place_all(struct scheduler *s);
int64_t scheduled_cursor_ns(const struct scheduled *e);
static inline int64_t
scheduled_time_ns(const struct scheduled *e, int64_t slot)
{
    return schedule_time_ns(group_schedule(e->group), slot);
}
/* The last one at or before a time; -1: there is none. */
static inline int64_t
scheduled_slot(const struct scheduled *e, int64_t at_ns)
{
    return at_ns < 0 ? -1 : schedule_slot(group_schedule(e->group), at_ns);
}
/* The first one at or after a time. */
static inline int64_t
scheduled_slot_from(const struct scheduled *e, int64_t at_ns)
{
    int64_t slot = scheduled_slot(e, at_ns);
    return slot >= 0 && scheduled_time_ns(e, slot) == at_ns ? slot : slot + 1;
}
/* A cursor that is later than this is no gap. */
int64_t scheduled_patience_ns(const struct scheduled *e);

/* --- catch_up.c --- */
/* A cursor is at `gap_from_ns`, and that is a gap; or else the series of the last evaluation are to
 * be found out. */
void catch_up_begin(struct scheduler *s, struct scheduled_tenant *t, int64_t gap_from_ns,
                    bool is_gap, int64_t monotonic_ns);
bool catch_up_take(struct scheduler *s, int64_t monotonic_ns, struct scheduler_job *job,
                   int64_t *ret_at_ns);
void catch_up_looked(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns);
void catch_up_filled(struct scheduler *s, struct scheduler_job *job, int64_t monotonic_ns);
/* Its alerts are held: see struct group_evaluation. */
bool catch_up_holds(const struct scheduled *e, int64_t monotonic_ns);

/* --- left.c --- */
/* Keeps what is known of an entry that leaves, with its cursor, or only the alerts of rules that
 * the entry that took over from it does not have. Without memory they are lost. */
void left_keep(struct scheduler *s, struct scheduled *e, bool with_cursor);
/* Gives a new entry what is known of it: cursor and alerts of the same group, and alerts of rules
 * of the same name and labels that left other groups. */
void left_give(struct scheduler *s, struct scheduled *e);
/* Forgets what left too long ago. */
void left_forget(struct scheduler *s);
void left_free_all(struct scheduler *s);
/* What a checkpoint has of all groups. ERR_NOMEM. */
MUST_CHECK enum err left_load(struct scheduler *s, struct checkpoint_reader *from,
                              int64_t cursor_max_ns);
/* Puts all into a checkpoint. */
void left_save(struct scheduler *s, struct checkpoint_writer *writer, struct buf *to);

#endif
