/*
 * notify_private.h - a notifier and its parts. notifier.c has its life and its steps, reload.c
 * makes and replaces configurations, send.c puts alerts into queues, request.c sends them to
 * members, show.c prints its state.
 *
 * A struct notify_config is the configuration of one time. Only the members that are found change;
 * a reload replaces all of it. A thread that works with a configuration holds a reference.
 *
 * Invariants, guarded by the lock:
 *
 * 1. A member is in the members of one Alertmanager, of the current configuration once it is not
 *    NEW; or it is GONE, and only its request has it.
 * 2. A member that is SENDING or GONE has one request in the notifier's list.
 * 3. `retired` has room for all Alertmanagers of the current configuration.
 */
#ifndef NOTIFY_NOTIFY_PRIVATE_H
#define NOTIFY_NOTIFY_PRIVATE_H

#include "base/lock.h"
#include "base/log.h"
#include "notify/alertmanager.h"

enum {
    NOTIFY_LOG_AGAIN_S = 10,      /* delay before a line of the same kind */
    NOTIFY_CLOCKS_AGAIN_S = 3600, /* the same for lines about the clock of a member */
    NOTIFY_CLOCKS_APART_S = 60,   /* smallest logged difference: 1/4 of an alert's validity */
    NOTIFY_LOOK_S = 10, /* time to find members before the log reports that they are missing */
    NOTIFY_ANSWER_BYTES_MAX = 16 * 1024,
};

struct notify_config {
    /* Immutable. */
    struct budget *memory;
    struct shared_alerting *shared;
    struct relabel *alert_relabel; /* applied to alerts for all Alertmanagers; may be NULL */
    struct label *external;        /* views of external_text */
    uint32_t external_count;
    struct buf external_text;
    struct notifier_limits limits;
    struct alertmanager **items;
    uint32_t count;

    _Atomic uint32_t refs; /* acquire-release */
};
void config_unref(struct notify_config *config);

/* A request to a member. */
struct request {
    struct outside_call call;
    struct request *next; /* in the notifier's list */
    struct notifier *notifier;
    struct alertmanager *of;
    struct member *member;
    struct buf body;
    uint32_t generation; /* number of the credentials that it was sent with */
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

    /* Only for the thread that steps. */
    struct request *requests; /* pending */
    bool did_something;       /* in this step */
    int64_t dropped_look_ns;  /* when to look for dropped alerts again */
    struct log_gate refused_gate;
    struct log_gate memory_gate;

    struct lock lock; /* LOCK_RANK_NOTIFY; guards the rest, and members of all Alertmanagers */
    struct notify_config *config;
    /* Alertmanagers that have left the configuration; the thread that steps has to stop them. */
    struct alertmanager **retired;
    uint32_t retired_count;
    uint32_t retired_capacity;
    uint64_t dropped_gone; /* alerts that former members dropped */
};

/* Returns the current configuration, with a reference. */
struct notify_config *notifier_config(struct notifier *notifier);
/* Replaces `members` by `found`: members whose URL is known stay the same objects, the others
 * end. The caller frees `found`. */
void notifier_replace_members_locked(struct notifier *notifier, struct members *members,
                                     struct members *found);

/* Sends due alerts to members of one Alertmanager. Returns when the next are due. */
int64_t requests_begin(struct notifier *notifier, struct notify_config *config,
                       struct alertmanager *of);
/* Cancels requests to members that are gone; `all`: all requests. */
void requests_give_up(struct notifier *notifier, bool all);

#endif
