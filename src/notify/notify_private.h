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
#include "base/metric.h"
#include "base/table.h"
#include "notify/discovery/discovery.h"
#include "notify/notify.h"
#include "notify/outside/outside.h"

/* --- alerts ----------------------------------------------------------------------------------- */

/*
 * An alert, shared by the queues of one Alertmanager's members: the labels that
 * identify it, after relabelling, and the JSON of its state, encoded once for all members.
 *
 * Threads: immutable except for the number of references; any may use it.
 */

enum { ENCODED_ALERT_BYTES_MAX = 1 << 20 }; /* for the JSON, and for the labels */
/*
 * An alert may wait in a queue for this long after its end or, if that is later, after its
 * encoding: a resolved alert that is sent again has its old end, and needs time of its own for
 * delivery.
 */
enum { ENCODED_ALERT_KEPT_MS = 15 * 60 * 1000 };

struct encoded_alert {
    struct budget *memory;
    _Atomic uint32_t refs; /* acquire-release: the last user frees it */
    uint32_t labels_bytes;
    uint32_t json_bytes;
    int64_t expires_ms; /* Unix: queues drop it then */
    uint64_t hash;      /* hash of the labels */
    uint8_t bytes[];    /* labels, JSON */
};

/* Values that all alerts of one call are encoded with. */
struct alert_encoding {
    struct budget *memory;
    uint64_t seed;            /* seed of hashes */
    int64_t now_ms;           /* Unix */
    const char *external_url; /* this server's, without a slash at its end; "" or a path: unknown */
};

/*
 * Given, with one reference. `labels` are those of the alert after relabelling, and replace those
 * of the notice. `scratch` is cleared and used. ERR_NOMEM; ERR_LIMIT: labels or JSON have more than
 * ENCODED_ALERT_BYTES_MAX.
 */
MUST_CHECK enum err encoded_alert_new(const struct alert_encoding *encoding, struct bytes labels,
                                      const struct alert_notice *notice, struct buf *scratch,
                                      struct encoded_alert **ret_alert);
/* NULL is fine. */
void encoded_alert_unref(struct encoded_alert *alert);

static inline struct bytes
encoded_alert_labels(const struct encoded_alert *alert)
{
    return bytes_of(alert->bytes, alert->labels_bytes);
}

static inline struct bytes
encoded_alert_json(const struct encoded_alert *alert)
{
    return bytes_of(alert->bytes + alert->labels_bytes, alert->json_bytes);
}

/* --- queues ----------------------------------------------------------------------------------- */

/*
 * The alerts for a member: each once, in its newest state, in the order of their first
 * queueing.
 *
 *      queue_put() --> waiting --- queue_take() ---> taken --- queue_drop_taken() ---> freed
 *                         ^                            |
 *                         +------ queue_put_back() ----+    unless a newer state is waiting
 *
 * Taking, dropping and putting back need no memory, so they cannot fail.
 */

struct queue_list {
    uint32_t first, last; /* slots; UINT32_MAX if the list is empty */
    uint32_t count;
};

struct queue {
    struct budget *memory;
    struct queue_slot *slots;
    uint32_t capacity;
    uint32_t used; /* slots that were used at least once */
    uint32_t free; /* the first slot that is free again */
    struct queue_list waiting;
    struct queue_list taken;
    struct table table; /* waiting alerts, by labels */
    int64_t expiry_ms;  /* no waiting alert expires before this time */
};

void queue_init(struct queue *queue, struct budget *memory);
void queue_fini(struct queue *queue);

/* Queues the newest state of an alert, which replaces an older one. The queue takes a reference of
 * its own. ERR_NOMEM: nothing changed. */
MUST_CHECK enum err queue_put(struct queue *queue, struct encoded_alert *alert);
/* Drops the oldest until at most `count_max` wait. Returns the number of dropped alerts. */
uint32_t queue_limit(struct queue *queue, uint32_t count_max);
/* Drops waiting alerts that have expired. Returns their number. */
uint32_t queue_expire(struct queue *queue, int64_t now_ms);
/* Drops all alerts, including taken ones. Returns their number. */
uint32_t queue_clear(struct queue *queue);

/*
 * Takes the oldest, at most `count_max` (at least 1) and, after the first, not more than
 * `bytes_max`; appends them to `body` as a JSON array. Alerts must be waiting, and none taken.
 * ERR_NOMEM, ERR_LIMIT: the body cannot grow; nothing changed.
 */
MUST_CHECK enum err queue_take(struct queue *queue, uint32_t count_max, size_t bytes_max,
                               struct buf *body);
/* The alert that was taken first, or NULL. A view until it is dropped or put back. */
const struct encoded_alert *queue_taken(const struct queue *queue);
void queue_drop_taken(struct queue *queue);
/* Makes taken alerts wait again, before all others, unless a newer state of them is waiting. */
void queue_put_back(struct queue *queue);

/* Asserts the invariants, which queue.c lists. O(n): for tests and debug builds. */
void queue_validate(const struct queue *queue);

/* --- members ---------------------------------------------------------------------------------- */

/*
 * One member of an Alertmanager: its queue, the time of its next request, and the
 * effects of its answers on the queue.
 *
 *      NEW --configured--> IDLE --member_take()--> SENDING --member_settle()--> IDLE
 *                             |                         |
 *                           freed <--request ends-- GONE
 *
 * member_settle(): delivered: the next request follows at once. Refused: the next one has half as
 * many alerts. Later: a pause of 1 s, 2 s ... 30 s, or as long as Retry-After says; the longest
 * pause is shorter if alerts are sent again more often.
 *
 * This module uses no clock, network or lock: times are arguments.
 *
 * Threads: all functions are called with the notifier's lock.
 */

enum {
    MEMBER_REFUSED_AT_ONCE = 64, /* refused requests in a row before each is followed by a pause */
    MEMBER_REFUSED_PAUSE_MS = 100,
    MEMBER_BODY_BYTES_MAX = 4 << 20, /* for a request with more than one alert */
};

/* The outcome of a request. */
enum member_verdict {
    MEMBER_DELIVERED,
    MEMBER_LATER,   /* failed because of network, server or settings, not because of these alerts */
    MEMBER_REFUSED, /* permanently, because one of its alerts is invalid */
    MEMBER_AGAIN,   /* to be retried at once, with new credentials; the second time, later */
};

/* The reason why an alert is dropped. */
enum member_loss {
    LOSS_QUEUE_FULL,
    LOSS_EXPIRED,
    LOSS_NO_MEMORY,
    LOSS_TOO_LARGE,
    LOSS_REFUSED,
    LOSS_COUNT
};

/* An event for the log. */
enum member_news { MEMBER_NO_NEWS, MEMBER_FAILS, MEMBER_IS_BACK, MEMBER_DROPPED_ONE };

enum member_state {
    MEMBER_NEW,     /* not in a configuration in use; its queue is empty */
    MEMBER_IDLE,    /* alerts may be queued */
    MEMBER_SENDING, /* a request is pending */
    MEMBER_GONE,    /* no longer a member; freed when its pending request ends */
};

enum member_health {
    MEMBER_WORKS,         /* nothing has failed since a delivery */
    MEMBER_FAILING,       /* the log has a line about it */
    MEMBER_FAILING_AGAIN, /* it is now reached in another way, so its next failure is news */
};

struct member {
    struct budget *memory;
    char *url;
    size_t url_bytes; /* with its NUL */
    uint64_t url_hash;
    struct queue queue;
    uint32_t queue_max;
    enum member_state state;
    enum member_health health;
    bool tried_again;         /* MEMBER_AGAIN was the last outcome since a delivery */
    uint32_t batch_max;       /* alerts of the next request; UINT32_MAX: unlimited */
    uint32_t refused;         /* consecutive refused requests */
    struct pause pause;       /* after failures; nothing is sent before its end */
    int64_t failing_since_ns; /* unless it works */

    uint64_t sent; /* number of alerts, as the next three */
    uint64_t errors;
    uint64_t dropped;
    uint64_t unlogged[LOSS_COUNT];   /* dropped alerts that are not logged so far */
    struct log_gate gate;            /* limits lines about its failures */
    bool has_failure_line;           /* the log has a line about the current failure */
    struct log_gate clock_gate;      /* limits lines about its clock */
    struct metric_histogram latency; /* has the URL as its label */
};

/* Makes a member. ERR_NOMEM. */
MUST_CHECK enum err member_new(struct budget *memory, const char *url, uint32_t queue_max,
                               struct member **ret_member);
/* NULL is fine. */
void member_free(struct member *member);

/* Counts dropped alerts; refused ones have a log line of their own. */
void member_lose(struct member *member, enum member_loss loss, uint32_t count);
/* Queues an alert. Alerts that cannot be queued, or no longer fit, are dropped and counted. */
void member_put(struct member *member, struct encoded_alert *alert);
void member_set_queue_max(struct member *member, uint32_t queue_max);
/* Ends pauses, because the member is now reached in another way. Its next failure is news. */
void member_forget_failures(struct member *member);

/* Returns the time of the next request, on the monotonic clock; INT64_MAX: there is nothing to
 * send. */
int64_t member_due_ns(const struct member *member);
/* Begins a request, and appends its body to `body`. False: all alerts have expired, or memory is
 * short, after which it pauses. */
bool member_take(struct member *member, uint32_t batch_size, int64_t now_ns, int64_t now_ms,
                 struct buf *body);
/* Ends the pending request. `wait_ms`: from Retry-After; 0 if absent. */
enum member_news member_settle(struct member *member, enum member_verdict verdict, int64_t wait_ms,
                               int64_t now_ns);

/* --- Alertmanagers ---------------------------------------------------------------------------- */

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

/* One entry of `alertmanagers`: its settings, its discoveries and its members. Configurations that
 * have it, and requests to its members, hold references. */
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

/* --- the notifier ----------------------------------------------------------------------------- */

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
