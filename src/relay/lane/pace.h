/*
 * pace.h - limits what a destination is sent, and decides when: the size and number of its calls,
 * their rate, pauses after failures, and the circuit breaker.
 *
 * Threads: one; advice_on(): any.
 */
#ifndef RELAY_LANE_PACE_H
#define RELAY_LANE_PACE_H

#include "backend/writer.h"
#include "relay/relay.h"

/* Advice for operators about a failure with this reason, which the writer names: a sentence without
 * a full stop; "" if nothing is known about it. */
const char *advice_on(const char *reason);

/* Counts of the requests that were sent to a destination since the relay was opened, and of their
 * contents. The relay owns them; only lane/ changes them. */
struct sent {
    uint64_t calls;
    uint64_t bytes;
    uint64_t units;
    uint64_t resent_samples;
    struct relay_dry dry; /* without since_ms and for_ms */
};

/* --- size and number of calls, by settings and type ------------------------------------------- */

enum { LANES_MAX = 64 };

struct call_bounds {
    uint32_t samples;
    uint64_t bytes;
    int64_t age_ms; /* age of its first sample */
    uint32_t lanes; /* 1 to LANES_MAX */
};

struct call_bounds call_bounds_of(const struct writer_limits *limits,
                                  const struct destination_settings *settings);
/* Reduces the number of lanes, and then the size of calls, to what fits into this memory; 0 if it
 * is unlimited. */
void call_bounds_fit(struct call_bounds *bounds, uint64_t memory_bytes);

/* --- rates of samples and bytes sent, and of samples read from the store ---------------------- */

/* Fills up within a second. A call is charged after it was sent and may leave a negative balance:
 * the next call waits until the balance is no longer negative. */
struct token_bucket {
    uint64_t rate; /* tokens per second, and upper limit of `tokens`; 0 if unlimited */
    double tokens;
};

struct rates {
    struct token_bucket samples;
    struct token_bucket bytes;
    struct token_bucket filled; /* samples read from the store */
    int64_t at_ns;              /* monotonic time of the last refill */
};

void rates_init(struct rates *rates, const struct destination_settings *settings, int64_t now_ns);
/* Refills the buckets; true if a call may be sent now. `filling`: it was read from the store. */
bool rates_allow(struct rates *rates, bool filling, int64_t now_ns);
/* Charges a call that was sent. */
void rates_note_sent(struct rates *rates, bool filling, uint32_t samples, uint64_t bytes);

/* --- pauses ----------------------------------------------------------------------------------- */

/* The pause before a failed request is tried again, for one lane or a whole destination. Zeroed
 * memory is the state before any failure. */
struct backoff {
    int64_t next_ns; /* monotonic time of the next try */
    int64_t wait_ms; /* the pause after the last failure; 0 if the last try succeeded */
};

/*
 * A try failed. The first pause is `min_backoff`, each later one half as long again up to
 * `max_backoff`, all of them up to a quarter shorter at random. The pause is at least
 * `retry_after_ms` (0: the destination asks for none), of which at most five minutes count.
 */
void backoff_failed(struct backoff *backoff, struct env *env, const struct retry_settings *retry,
                    int64_t retry_after_ms);
/* A try succeeded: the next pause is the shortest again. A pause that has begun still applies. */
void backoff_ended(struct backoff *backoff);

/* --- number of calls at a time ---------------------------------------------------------------- */

/*
 * Limits how many calls a destination is sent at a time, and when: fewer if it throttles some, one
 * while it may not work.
 *
 * A second that had enough answers is judged by the share s of them that were throttled:
 *
 *     allowed = allowed * (1 - s) + 1, at most all that there may be, at least 1
 *
 * So a call that is throttled now and then costs nothing but its own repetition, a destination that
 * throttles half of all calls is sent two at a time, and one that throttles everything is sent one.
 * Few answers are gathered for up to ten seconds and count as at least ten, so that one of two is
 * not taken for half of many. Without answers nothing changes.
 *
 * A destination may not work at first, and after a call that failed for a reason that all calls
 * share (no connection, 5xx, 429, credentials).
 *
 *     MAY NOT WORK -- throttle_works() --> WORKS
 *                  <-- throttle_failed(), throttle_doubt() --
 *
 * Invariants:
 * 1. While the destination may not work, a call is admitted only if none is pending: it probes for
 *    all lanes. Any lane may send it, so a lane that has nothing to send holds up no other.
 * 2. A call is admitted only after the pause that follows the last failure, which is as long as the
 *    destination asked for (Retry-After), whichever lane it answered.
 * 3. At least one call is admitted once that pause is over and none is pending: `allowed` is from 1
 *    to `most`.
 */
struct throttle {
    double allowed;       /* calls at a time, while the destination works */
    double answers;       /* calls answered since `began_ns` */
    double throttled;     /* the sum of their throttled shares */
    int64_t began_ns;     /* monotonic time at which counting began */
    uint32_t most;        /* upper limit of `allowed` */
    bool works;           /* a call was answered, and none has failed since */
    struct backoff pause; /* the pause after a failure, shared by all lanes */
};

/* Allows `most` (at least 1) calls once the destination works, which is unknown at first. */
void throttle_init(struct throttle *throttle, uint32_t most, int64_t now_ns);
/* A call was answered; the share of it that was throttled is from 0 to 1. */
void throttle_answered(struct throttle *throttle, int64_t now_ns, double share);
/* A call failed without a verdict on its samples; `retry_after_ms` as for backoff_failed(). */
void throttle_failed(struct throttle *throttle, struct env *env, const struct retry_settings *retry,
                     int64_t retry_after_ms);
/* A call was refused for a reason that all calls share; the caller decides when to retry. */
void throttle_doubt(struct throttle *throttle);
/* A call was answered with a verdict on its samples. */
void throttle_works(struct throttle *throttle);
/* Calls that may be pending at a time: 1 to `most`. */
uint32_t throttle_allows(const struct throttle *throttle);
/* True if another call may be sent now, while `pending` are. */
bool throttle_admits(const struct throttle *throttle, uint32_t pending, int64_t now_ns);

/* --- circuit breaker -------------------------------------------------------------------------- */

enum {
    REFUSALS_WINDOW = 10000, /* samples judged last */
    REFUSALS_MAX = 5000,     /* refused samples among these at most */
    REFUSALS_SLOTS = 20,     /* slots that count the window */
    CALLS_REFUSED_MAX = 5,   /* calls refused as a whole, with REFUSALS_WINDOW samples in them */
    PROBE_MS = 10 * 1000,
    GOOD_PROBES = 20, /* accepted probes that end BREAKER_REFUSING */
};

/* Closed as in an electric circuit: calls are sent. The others are its open states. */
enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_BLOCKED,  /* calls fail until the destination, or its settings, are repaired */
    BREAKER_REFUSING, /* most samples are refused permanently */
};

/* Counts refused samples and failures, logs them, and stops delivery, except for probes of one
 * item, while the destination accepts nothing. */
struct breaker {
    struct env *env;
    const char *name; /* name of the destination */
    enum breaker_state state;
    bool failing;      /* the last attempt failed */
    bool is_doubted;   /* the check was answered as by a server that refuses everything */
    bool is_proven;    /* it accepted something, or an operator resumed it */
    bool senders_wait; /* refusals are answers to senders, and may be most: never REFUSING */
    int64_t probe_ns;  /* monotonic time of the next probe; not used while closed */

    uint32_t good_probes;
    uint32_t refusals[REFUSALS_SLOTS];
    uint32_t judged[REFUSALS_SLOTS];
    uint32_t refusal_slot;
    uint32_t calls_refused;   /* calls refused as a whole, in a row */
    uint64_t samples_refused; /* samples in these */

    char error[RELAY_TEXT_BYTES]; /* the last failure; "" after a delivery */
    int64_t error_ms;             /* Unix time of the last failure */
    int64_t logged_ns;            /* monotonic time at which a failure was logged last */
    int64_t delivered_ms;         /* Unix time of the last delivery; 0 before the first */
    uint64_t failed_total;
};

/* `env` and `name` outlive it. */
void breaker_init(struct breaker *breaker, struct env *env, const char *name);

/* An operation failed, or was refused. Logs at most one failure each minute. */
void breaker_failed(struct breaker *breaker, const char *what, const char *reason,
                    const char *text);
/* Nothing can be delivered: opens the breaker. */
void breaker_blocked(struct breaker *breaker, const char *reason, const char *text);
/* The destination judged samples. `reason` and `answer` are those of a refusal; NULL if it refused
 * none. */
void breaker_judged(struct breaker *breaker, uint32_t judged, uint32_t refused, const char *reason,
                    const char *answer);
/* A call of `samples` samples was refused as a whole and must not be sent again. */
void breaker_call_refused(struct breaker *breaker, uint32_t samples, const char *reason,
                          const char *answer);
/* Part of a call was accepted, and the call must not be sent again. */
void breaker_part_accepted(struct breaker *breaker);
/* A call was accepted, or those of its samples that were not refused. */
void breaker_accepted(struct breaker *breaker);
/* The check was answered as by a server that refuses everything. */
void breaker_doubt(struct breaker *breaker);
/* True if a refusal may say nothing about the samples: none was accepted since breaker_doubt(). */
static inline bool
breaker_doubts(const struct breaker *breaker)
{
    return breaker->is_doubted && !breaker->is_proven && !breaker->senders_wait;
}
/* A sample was refused while breaker_doubts(): only probes are sent until one is accepted. */
void breaker_unproven(struct breaker *breaker, const char *reason, const char *answer);
/* A preparation that had failed succeeded. */
void breaker_prepared(struct breaker *breaker);
/* An operator resumed delivery: closes the breaker and forgets all refusals. */
void breaker_reset(struct breaker *breaker);

/* True if a request may be sent now. Unless the breaker is closed it is a probe of one item, and
 * the next one is due PROBE_MS later. */
bool breaker_may_send(struct breaker *breaker, int64_t now_ns);

#endif
