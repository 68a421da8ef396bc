/*
 * member.h - one member of an Alertmanager: its queue, when it may be asked next, and what its
 * answers mean for what is queued.
 *
 *                    member_take()                       member_settle()
 *      [waits] -------------------> [request under way] --- told ----> [waits]
 *         ^  until its pause ends                       \-- refused -> [waits], for half as many
 *         |                                             \-- later ---> [pauses]
 *         +------------ 1 s, 2 s ... 30 s, or as Retry-After says --------+
 *
 * The longest pause is less where alerts are sent again sooner.
 *
 * Nothing here knows a clock, a network or a lock: times are given, and all is decided by what was
 * settled before.
 *
 * Threads: whoever holds the notifier's lock.
 */
#ifndef NOTIFY_MEMBER_H
#define NOTIFY_MEMBER_H

#include "base/log.h"
#include "base/metric.h"
#include "notify/pause.h"
#include "notify/queue.h"

enum {
    MEMBER_REFUSED_AT_ONCE = 64, /* requests in a row, until there is a pause after each */
    MEMBER_REFUSED_PAUSE_MS = 100,
    MEMBER_BODY_BYTES_MAX = 4 << 20, /* of a request with more than one alert */
};

/* What has become of a request. */
enum member_verdict {
    MEMBER_TOLD,
    MEMBER_LATER,   /* the network, the server, or what is configured: not these alerts */
    MEMBER_REFUSED, /* for good, as one of its alerts is invalid */
    MEMBER_AGAIN,   /* at once: something was learnt; if that comes twice in a row, later */
};

/* Why an alert is given up. */
enum member_loss {
    LOSS_QUEUE_FULL,
    LOSS_EXPIRED,
    LOSS_NO_MEMORY,
    LOSS_TOO_LARGE,
    LOSS_REFUSED,
    LOSS_COUNT
};

/* What is worth a line in the log. */
enum member_news { MEMBER_NO_NEWS, MEMBER_FAILS, MEMBER_IS_BACK, MEMBER_DROPPED_ONE };

struct member {
    struct budget *memory;
    char *url;
    size_t url_bytes; /* with its NUL */
    uint64_t url_hash;
    struct queue queue;
    uint32_t queue_max;
    bool is_known;            /* alerts may have been queued for it */
    bool is_sending;          /* a request is under way */
    bool is_gone;             /* no longer a member: whoever ends its request frees it */
    bool is_failing;          /* nothing was told since a request failed */
    bool tried_again;         /* at once, since something was told */
    bool fails_anew;          /* the next failure is news although it `is_failing` */
    uint32_t batch_max;       /* alerts of the next request; UINT32_MAX: as many as there may be */
    uint32_t refused;         /* requests in a row */
    struct pause pause;       /* after failures; and nothing is sent before its end */
    int64_t failing_since_ns; /* while `is_failing` */

    uint64_t sent; /* alerts */
    uint64_t errors;
    uint64_t dropped;
    uint64_t untold[LOSS_COUNT];     /* of these, what the log does not have yet */
    struct log_gate gate;            /* of lines about its failures */
    bool is_told_of;                 /* the log has a line of the one at hand */
    struct log_gate clock_gate;      /* of lines about its clock */
    struct metric_histogram latency; /* has the URL as its label */
};

/* ERR_NOMEM. */
MUST_CHECK enum err member_new(struct budget *memory, const char *url, uint32_t queue_max,
                               struct member **ret_member);
/* NULL is fine. */
void member_free(struct member *member);

/* Counts alerts that it is not told; those that are refused have a line of their own. */
void member_lose(struct member *member, enum member_loss loss, uint32_t count);
/* What cannot be queued is dropped, and counted, as is what no longer fits. */
void member_put(struct member *member, struct encoded_alert *alert);
void member_set_queue_max(struct member *member, uint32_t queue_max);
/* It is to be asked at once, whatever was before: it is reached in another way now. If it fails
 * nevertheless, that is news. */
void member_forget_failures(struct member *member);

/* When it is to be asked, on the monotonic clock; INT64_MAX: there is nothing to do. */
int64_t member_due_ns(const struct member *member);
/*
 * Begins a request, whose body is appended to `body`. False: nothing is left that is to be told, or
 * there is no memory, which ends in a pause.
 */
bool member_take(struct member *member, uint32_t batch_size, int64_t now_ns, int64_t now_ms,
                 struct buf *body);
/* Ends it. `wait_ms`: what Retry-After asked for; 0: nothing. */
enum member_news member_settle(struct member *member, enum member_verdict verdict, int64_t wait_ms,
                               int64_t now_ns);

#endif
