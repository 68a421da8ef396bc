/*
 * agenda_private.h - what the files of an agenda have in common: agenda.c has which groups there
 * are, agenda_work.c what is to be done for them, agenda_run.c does it. Private to rules/.
 *
 * Locks: the lock of the agenda's owner guards all but `host`, which never changes. agenda_run()
 * holds no lock. It uses the group of an entry that runs, whose state nobody else changes until
 * agenda_done(), and fills `made` of one that begins, at which nobody looks before it has begun.
 *
 * Ownership: an entry owns its group, and the entry `from` whose state it is going to take. An
 * entry is owned by the list `items` if it is configured, else by `retired`, or by the one that
 * takes its state; `begins` and `due` only point to those of `items`. One that runs is freed by
 * nobody: when it leaves `items`, one of the other two has it until agenda_done().
 */
#ifndef RULES_AGENDA_PRIVATE_H
#define RULES_AGENDA_PRIVATE_H

#include "rules/agenda.h"
#include "rules/group_private.h"

struct agenda_entry {
    struct group *group;
    struct agenda_entry *next; /* of those that are retired */
    struct agenda_entry *from; /* whose state it takes, once that runs no more */
    struct agenda_entry *heir; /* the one that takes its state; NULL: none */
    bool took_over;            /* it did; */
    bool lost_state;           /* or not all, for want of memory, which is to be logged */
    bool stays, is_over;       /* while a reload is committed */
    bool running;
    bool runs_live; /* while it runs: AGENDA_LIVE */
    bool ends;      /* AGENDA_RETIRE runs */
    bool begun;
    bool is_listed;         /* it is configured */
    bool is_in_due;         /* it stands in agenda.begins or agenda.due */
    bool reads_recorded;    /* it reads what recording rules write */
    bool is_behind;         /* since the start or a gap it is not known that its input is there */
    uint32_t index, tenant; /* while it is configured: its places in agenda.items and .tenants */
    int64_t owed_until_ns;  /* Unix: then the oldest evaluation that it owes is too old */
    int64_t next_slot;      /* that is evaluated live; -1: not known yet */
    struct slots made;      /* whose results are stored, of recording rules */
    struct slots settled;   /* the same, and what was missed and is not owed */
    int64_t input_slot;     /* up to here input is known to be there */
    enum input input;       /* what the last look at it has found, since the gap began */
    int64_t not_before_ns;  /* monotonic: to begin, to make up, to retire */
    int64_t begin_until_ns; /* monotonic: when to give up finding out what was before; 0: no try */
    int64_t retired_ns;     /* Unix: when it left the configuration */
    int64_t down_ns;        /* alerts are held that were active then; 0: none */
    int64_t ended_ns;       /* Unix: when the last live evaluation ended */
    /* Unix: up to here what was due is recorded, since the clock was set back; what is recorded of
     * later times was while it was ahead, without their input. 0: not known. */
    int64_t recorded_ns;
    /* Unix: the last live evaluation, at another interval, of what it took over; nothing is owed
     * from then to the first one at this interval. 0: there was none, or others came after it. */
    int64_t series_at_ns;
};

struct due {
    int64_t at_ns;
    struct agenda_entry *entry;
};
/* By time; room for as many as are listed. */
struct due_heap {
    struct due *items;
    uint32_t count;
};

/* The groups of a tenant, which stand together. */
struct agenda_tenant {
    uint32_t first, end; /* of agenda.items */
    uint32_t owing;      /* groups that owe evaluations, */
    uint32_t unbegun;    /* those that have not begun, */
    uint32_t may_owe;    /* and those of them that record */
};

struct agenda {
    const struct rules_host *host;
    int64_t gap_ended_ns; /* monotonic: the start, or when evaluations were last missed after it */
    struct agenda_limits limits;
    struct agenda_entry **items; /* by tenant, file, name */
    uint32_t count;
    /* Of each group, Unix: the oldest evaluation that is to be made up; INT64_MAX: none. They are
     * looked through for each one that is made up, and so do not stand in the entries. */
    int64_t *owes_ns;
    int64_t owed_for_ns;           /* the least age at which one of them is too old */
    int64_t shortest_ns;           /* no group has a shorter interval */
    struct agenda_tenant *tenants; /* room for as many as groups */
    uint32_t tenant_count;
    /* Of those listed that do not run: by monotonic time those that may begin, by Unix time those
     * that have begun. */
    struct due_heap begins, due;
    int64_t seen_ns; /* Unix: the latest time asked about since the clock was set back */
    struct agenda_entry *retired; /* by tenant, file, name; of one key the newest first */
    bool making_up;
    bool is_refused;     /* what was evaluated last could not be stored */
    uint32_t owing;      /* groups that owe evaluations, of all tenants */
    int64_t look_ns;     /* monotonic: before it no group is found that can make up any */
    int64_t progress_ns; /* monotonic: when something was last made up, or could not yet be */
    int64_t rest_until_ns;
    int64_t judged_ns;     /* monotonic: when `missing_then` was looked at */
    uint64_t missing_then; /* evaluations, of all groups; UINT64_MAX: not looked at yet */
    bool falls_behind;     /* what was missing did not become less, and there still is some */
    bool is_news;          /* and the log does not have it yet */
    uint64_t made_up;
};

/* NULL is fine. */
void agenda_entry_free(struct agenda *agenda, struct agenda_entry *entry);
/* Puts those that are due some time into `begins` and `due` anew, and notes what all owe. */
void agenda_fill(struct agenda *agenda, int64_t now_ns, int64_t monotonic_ns);
/* Evaluations before this one may be missing: not the last one while it runs. */
static inline int64_t
agenda_slots_end(const struct agenda_entry *e)
{
    return e->running && e->runs_live ? e->next_slot - 1 : e->next_slot;
}
/* The oldest evaluation that is to be made up. False: there is none. */
bool agenda_oldest_missing(const struct agenda *agenda, const struct agenda_entry *entry,
                           int64_t now_ns, int64_t *ret_slot);

#endif
