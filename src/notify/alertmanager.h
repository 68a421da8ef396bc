/*
 * alertmanager.h - one entry of `alertmanagers`: what is configured of it, how its members are
 * found, and who they are.
 *
 * Lifetime: as long as one of the plans it stands in, or a request to one of its members.
 */
#ifndef NOTIFY_ALERTMANAGER_H
#define NOTIFY_ALERTMANAGER_H

#include "notify/access.h"
#include "notify/discovery.h"
#include "notify/member.h"

enum { MEMBERS_MAX = 1000 }; /* of one Alertmanager */

/* The settings of all, and how many use them. */
struct shared_alerting {
    _Atomic uint32_t refs; /* acquire-release */
    struct alerting alerting;
};

/* Members, and the targets that are none. */
struct members {
    struct budget *memory;
    struct member **items;
    uint32_t count;
    uint32_t capacity;
    struct buf dropped; /* the URLs of those that relabelling dropped, each with a NUL */
    uint32_t dropped_count;
};
/* Of alertmanager_find(). Those that are left in it are freed, too. */
void members_fini(struct members *members);

struct alertmanager {
    /* Immutable. */
    struct budget *memory;
    struct shared_alerting *shared;
    const struct alertmanager_settings *settings;
    struct relabel *relabel; /* of targets; NULL: none, as the next one */
    struct relabel *alert_relabel;
    char *path; /* __alerts_path__ */
    size_t path_bytes;

    _Atomic uint32_t refs; /* acquire-release */

    /* Whose thread it is: of who makes it, then of who steps the notifier. */
    uint32_t line; /* of the configuration that is in force */
    struct access *access;
    struct discovery **discoveries;
    uint32_t discovery_count;
    uint32_t discovery_capacity;

    uint32_t left_out, invalid; /* targets, when members were looked for last */
    uint64_t invalid_hash;

    int64_t empty_since_ns; /* monotonic: no members, and alerts for them; 0: else */
    bool is_told_empty;     /* the log has a line of it */

    /* The notifier's lock guards the rest, once others know it. */
    struct members members;
    uint64_t unaddressed; /* alerts that came while it has no members */
};

/*
 * Given, with one reference; has the members that need not be looked for. The settings are those of
 * an item of `shared`. ERR_NOMEM, ERR_INPUT.
 */
MUST_CHECK enum err alertmanager_new(const struct discovery_options *options,
                                     struct shared_alerting *shared,
                                     const struct alertmanager_settings *settings,
                                     uint32_t queue_max, struct alertmanager **ret_alertmanager,
                                     struct why *why);
struct alertmanager *alertmanager_ref(struct alertmanager *alertmanager);
/* NULL is fine. It is stopped before the last one, unless it was never stepped. */
void alertmanager_unref(struct alertmanager *alertmanager);

/* Does what is due. Returns when it wants to be called again, on the monotonic clock. */
int64_t alertmanager_step(struct alertmanager *alertmanager);
/* Whether a discovery has found something else since alertmanager_find(). */
bool alertmanager_has_changed(const struct alertmanager *alertmanager);
/* Nothing of it is under way any more. */
void alertmanager_stop(struct alertmanager *alertmanager);

/* Makes members, without a past, of what all discoveries have found. ERR_NOMEM. */
MUST_CHECK enum err alertmanager_find(struct alertmanager *alertmanager, uint32_t queue_max,
                                      struct members *ret_members);

void shared_alerting_unref(struct shared_alerting *shared);

#endif
