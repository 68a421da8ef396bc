/*
 * notify_private.h - a notifier and its parts. notifier.c has its life and its steps, plan.c what
 * is configured, send.c the way of an alert into queues, request.c that from a queue to a member,
 * show.c what is shown of it.
 *
 * A plan is what is configured at a time. It does not change, but for the members that are found,
 * and is replaced as a whole; whoever works with it holds a reference.
 */
#ifndef NOTIFY_NOTIFY_PRIVATE_H
#define NOTIFY_NOTIFY_PRIVATE_H

#include "base/lock.h"
#include "base/log.h"
#include "notify/alertmanager.h"

enum {
    NOTIFY_LOG_AGAIN_S = 10,      /* a line of one kind comes again after this */
    NOTIFY_CLOCKS_AGAIN_S = 3600, /* a line about the clock of a member */
    NOTIFY_CLOCKS_APART_S = 60,   /* less is no line: a minute of the four that an alert is valid */
    NOTIFY_LOOK_S = 10, /* first looks for members have this long before they are missed */
    NOTIFY_ANSWER_BYTES_MAX = 16 * 1024,
};

struct plan {
    /* Immutable. */
    struct budget *memory;
    struct shared_alerting *shared;
    struct relabel *alert_relabel; /* of alerts to any of them; NULL: none */
    struct label *external;        /* views of the next one */
    uint32_t external_count;
    struct buf external_text;
    struct notifier_limits limits;
    struct alertmanager **items;
    uint32_t count;

    _Atomic uint32_t refs; /* acquire-release */
};
void plan_unref(struct plan *plan);

/* A request to a member. */
struct request {
    struct outside_call call;
    struct request *next; /* of the notifier's list */
    struct notifier *notifier;
    struct alertmanager *of;
    struct member *member;
    struct buf body;
    uint32_t generation; /* of the token or keys it is sent with */
    int64_t began_ns;
    int64_t began_s; /* Unix */
    bool was_sent;
};

struct notifier {
    /* Immutable. */
    struct env *env;
    struct budget *memory;
    struct outside *outside;
    char *external_url; /* without a slash at its end */
    size_t external_url_bytes;
    uint64_t seed;

    /* Of the thread that steps. */
    struct request *requests; /* under way */
    bool did_something;       /* in this step */
    int64_t dropped_look_ns;  /* when to look again what was dropped */
    struct log_gate refused_gate;
    struct log_gate memory_gate;

    struct lock lock; /* LOCK_RANK_NOTIFY; guards the rest, and members of all Alertmanagers */
    struct plan *plan;
    /* No longer in the plan; the thread that steps has to stop them. */
    struct alertmanager **retired;
    uint32_t retired_count;
    uint32_t retired_capacity;
    uint64_t dropped_gone; /* alerts that members dropped that are no more */
};

/* The plan in force, with a reference. */
struct plan *notifier_plan(struct notifier *notifier);
/* Puts `found` in the place of `members`: those whose URL is known go on, with their past, and the
 * others end. What is left in `found` is of no use. */
void notifier_replace_members_locked(struct notifier *notifier, struct members *members,
                                     struct members *found);

/* Sends what is queued and due to members of one Alertmanager. Returns when the next is due. */
int64_t requests_begin(struct notifier *notifier, struct plan *plan, struct alertmanager *of);
/* Gives up those to members that are gone; `all`: every one. */
void requests_give_up(struct notifier *notifier, bool all);

#endif
