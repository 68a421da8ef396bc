/*
 * member.h - one member of an Alertmanager: its queue, the time of its next request, and the
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
#ifndef NOTIFY_MEMBER_H
#define NOTIFY_MEMBER_H

#include "base/log.h"
#include "base/metric.h"
#include "notify/outside/pause.h"
#include "notify/queue.h"

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

#endif
