/*
 * alertmanager.h - one entry of `alertmanagers`: its settings, its discoveries and its members.
 *
 * Lifetime: configurations that have it, and requests to its members, hold references.
 */
#ifndef NOTIFY_ALERTMANAGER_H
#define NOTIFY_ALERTMANAGER_H

#include "notify/discovery/discovery.h"
#include "notify/member.h"
#include "notify/outside/access.h"

enum { MEMBERS_MAX = 1000 }; /* per Alertmanager */

/* The settings of all Alertmanagers of a configuration. */
struct shared_alerting {
    _Atomic uint32_t refs; /* acquire-release */
    struct alerting alerting;
};

/* Members, and dropped targets. */
struct members {
    struct budget *memory;
    struct member **items;
    uint32_t count;
    uint32_t capacity;
    struct buf dropped; /* URLs of targets that relabelling dropped, each with a NUL */
    uint32_t dropped_count;
};
/* Frees members that are left in it, too. */
void members_fini(struct members *members);

struct alertmanager {
    /* Immutable. */
    struct budget *memory;
    struct shared_alerting *shared;
    const struct alertmanager_settings *settings;
    struct relabel *relabel;       /* applied to targets; may be NULL */
    struct relabel *alert_relabel; /* applied to alerts; may be NULL */
    char *path;                    /* __alerts_path__ */
    size_t path_bytes;

    _Atomic uint32_t refs; /* acquire-release */

    /* For the thread that makes it, then for the thread that steps the notifier. */
    uint32_t line; /* in the current configuration */
    struct access *access;
    struct discovery **discoveries;
    uint32_t discovery_count;
    uint32_t discovery_capacity;

    uint32_t left_out, invalid; /* targets, at the last alertmanager_find() */
    uint64_t invalid_hash;

    int64_t empty_since_ns; /* monotonic time since which there are alerts but no members; 0: there
                               are members, or no alerts */
    bool has_empty_line;    /* the log has a line about it */

    /* Guarded by the notifier's lock, once it is in the current configuration. */
    struct members members;
    uint64_t unaddressed; /* alerts that came while it had no members */
};

/*
 * Given, with one reference; has the members of its static_configs. `settings` is an item of
 * `shared`. ERR_NOMEM, ERR_INPUT.
 */
MUST_CHECK enum err alertmanager_new(const struct outside_context *options,
                                     struct shared_alerting *shared,
                                     const struct alertmanager_settings *settings,
                                     uint32_t queue_max, struct alertmanager **ret_alertmanager,
                                     struct why *why);
struct alertmanager *alertmanager_ref(struct alertmanager *alertmanager);
/* NULL is fine. Before the last reference is dropped it must be stopped, unless it was never
 * stepped. */
void alertmanager_unref(struct alertmanager *alertmanager);

/* Steps its discoveries. Returns when to step again, on the monotonic clock. */
int64_t alertmanager_step(struct alertmanager *alertmanager);
/* Returns true if a discovery has found other targets since alertmanager_find(). */
bool alertmanager_has_changed(const struct alertmanager *alertmanager);
/* Gives up pending requests of its discoveries and of its access. */
void alertmanager_stop(struct alertmanager *alertmanager);

/* Makes NEW members of the targets of all discoveries. ERR_NOMEM. */
MUST_CHECK enum err alertmanager_find(struct alertmanager *alertmanager, uint32_t queue_max,
                                      struct members *ret_members);

void shared_alerting_unref(struct shared_alerting *shared);

#endif
