/*
 * breaker.h - the circuit breaker of a destination: counts refused samples and failures, logs them,
 * and stops delivery, except for probes of one item, while the destination accepts nothing.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_BREAKER_H
#define RELAY_LANE_BREAKER_H

#include "relay/relay.h"

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
/* True if a refusal may say nothing about the samples: nothing was accepted since breaker_doubt().
 */
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
