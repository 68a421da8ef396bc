/*
 * agenda.h - all groups of a server, and what is to be done for which of them next:
 *
 *      begin      once, before anything else: what is known of the time before
 *      live       its time has come
 *      make up    an evaluation of the past was missed; one at a time, the oldest first
 *      retire     it is configured no more: what it wrote is marked stale after two intervals, when
 *                 all others have begun
 *
 * A caller takes what is due, runs it, and says that it is done; several threads may do so. Nothing
 * here waits or knows a clock: the simulator takes the same steps.
 *
 * Of recording rules, what was not stored at its time is made up, as long as it is not older than
 * `catch_up_ns` and something newer than that was stored: a group that is new owes nothing. While
 * the input of a group is not there, those that become due are owed, too: they are made in their
 * order, each when its input is there. A group that reads what rules record is made up only when
 * nothing older is missing anywhere, and is evaluated live again when nothing is missing any more.
 * Others are as soon as their input has come, while what they owe is made up: else a server that
 * cannot make up as fast as evaluations become due would never record live again. Alerts are
 * evaluated at once; until their input is there, those that were active stay so.
 *
 * What was missed only because the evaluation before took too long is not made up, and neither is
 * what the store would refuse as too old.
 *
 * Threads: all is guarded by a lock of the owner's, under which nothing is logged or waits, but for
 * agenda_prepare() and agenda_run(). One at a time prepares a change and commits or abandons it.
 */
#ifndef RULES_AGENDA_H
#define RULES_AGENDA_H

#include "rules/group.h"

struct agenda;

struct agenda_limits {
    int64_t catch_up_ns;      /* 0: nothing is made up */
    int64_t kept_ns;          /* samples that are older are refused */
    int64_t catch_up_wait_ns; /* so long after a gap the input of what is made up is awaited */
    int64_t outage_tolerance_ns;
    int64_t grace_ns;
};

/* ERR_NOMEM. `host` outlives it; `started_ns` is monotonic. */
MUST_CHECK enum err agenda_new(const struct rules_host *host, int64_t started_ns,
                               struct agenda **ret_agenda);
/* Nothing runs. NULL is fine. */
void agenda_free(struct agenda *agenda);

/*
 * Makes it these groups, in two steps: the first makes all that can fail, and changes nothing.
 * Groups whose text did not change go on as they are; of others, state passes to the one of the
 * same tenant, file and name. The texts are copied.   The first needs no lock. ERR_NOMEM;
 * ERR_INPUT: an expression cannot be parsed, or there are too many groups.   `now_ns` is Unix.
 */
struct agenda_change;
struct agenda_group {
    struct bytes tenant;
    const struct rule_group *text;
};
MUST_CHECK enum err agenda_prepare(struct agenda *agenda, const struct agenda_group *groups,
                                   uint32_t count, const struct group_defaults *defaults,
                                   struct agenda_change **ret_change, struct why *why);
void agenda_commit(struct agenda_change *change, const struct agenda_limits *limits,
                   int64_t now_ns);
/* Instead. NULL is fine. */
void agenda_abandon(struct agenda_change *change);

/* --- work ------------------------------------------------------------------------------------- */

enum agenda_work { AGENDA_BEGIN, AGENDA_LIVE, AGENDA_MAKE_UP, AGENDA_RETIRE };

struct agenda_entry;
struct group *agenda_entry_group(const struct agenda_entry *entry);
struct agenda_job {
    enum agenda_work work;
    struct agenda_entry *entry;
    int64_t slot;
    struct group_evaluation how;
    struct agenda_limits limits;
    int64_t taken_ns; /* monotonic */
    int64_t now_ns;   /* Unix: when it was taken */
    bool took_over;   /* AGENDA_BEGIN: state is there, of a group that it replaces, */
    bool is_last_try; /* or else it begins without what cannot be read now */
    bool lost_state;  /* for want of memory, just now */
    bool fell_behind; /* the agenda, just now, by so many evaluations that are */
    uint64_t missing;
    /* The evaluations before and, AGENDA_MAKE_UP, after it that were made, if none in between is
     * owed. */
    bool has_before, has_next;
    int64_t before_slot, next_slot;
    bool has_series; /* what the evaluation before recorded, at another interval, is known */
    /* AGENDA_MAKE_UP: Unix, until when input came as it was due; the last one whose time has come,
     * and whether its input is known to be there. */
    int64_t gap_ns, last_slot;
    bool input_is_there;
    bool is_refused;  /* the same: the store may still refuse results */
    bool others_wait; /* the same: input of other groups of the tenant is not there yet */
    /* Filled by agenda_run(). */
    struct group_outcome outcome;
    enum err error;
    bool waits;         /* AGENDA_MAKE_UP: the input is not there yet, and nothing was done; */
    bool is_unknown;    /* there never was any */
    int64_t input_slot; /* AGENDA_MAKE_UP: up to here it is; */
    bool store_refuses; /* AGENDA_MAKE_UP: also what it has already; */
    bool is_current;    /* all of it up to now, or it is not awaited any longer */
    int64_t down_ns;    /* AGENDA_BEGIN: when alerts were last active before; 0: none were */
};

/*
 * What is due at `now_ns` (Unix) and `monotonic_ns`. False: nothing is, and will not be before
 * *ret_until_ns (Unix).
 */
bool agenda_take(struct agenda *agenda, int64_t now_ns, int64_t monotonic_ns,
                 struct agenda_job *ret_job, int64_t *ret_until_ns);
/* Under no lock. */
void agenda_run(struct agenda *agenda, struct agenda_job *job, const struct rules_terms *terms);
void agenda_done(struct agenda *agenda, struct agenda_job *job, int64_t monotonic_ns);

/* --- looking ---------------------------------------------------------------------------------- */

/* Calls `each` for the groups of a tenant, ordered by file and name; `tenant.at` NULL: of all. */
void agenda_each(struct agenda *agenda, struct bytes tenant,
                 void (*each)(void *context, struct group *group), void *context);

/* The same of all, with what each owes. */
struct agenda_owed {
    uint64_t missing;  /* evaluations that are to be made up */
    int64_t oldest_ns; /* of these, Unix; 0: there is none */
};
void agenda_each_owed(struct agenda *agenda, int64_t now_ns,
                      void (*each)(void *context, struct group *group, struct agenda_owed owed),
                      void *context);
/* Evaluations that were made up since the start. */
uint64_t agenda_made_up(const struct agenda *agenda);

#endif
