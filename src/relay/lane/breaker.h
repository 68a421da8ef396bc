/*
 * obstacle.h - whether a destination is blocked or refusing, and the logging of its failures.
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
    GOOD_PROBES = 20, /* accepted probes that end OBSTACLE_REFUSING */
};

enum obstacle_state { OBSTACLE_NONE, OBSTACLE_BLOCKED, OBSTACLE_REFUSING };

struct obstacle {
    struct env *env;
    const char *name; /* the destination's */
    enum obstacle_state state;
    bool failing;     /* the last attempt failed */
    int64_t probe_ns; /* monotonic time of the next probe; only used in another state than NONE */

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
void obstacle_init(struct obstacle *obstacle, struct env *env, const char *name);

/* An operation failed, or was refused. Logs at most one failure each minute. */
void obstacle_failed(struct obstacle *obstacle, const char *what, const char *reason,
                     const char *text);
/* Nothing can be delivered: until that changes, single items are sent as probes. */
void obstacle_blocked(struct obstacle *obstacle, const char *reason, const char *text);
/* The destination judged samples. `reason` and `answer` are those of a refusal; NULL if it refused
 * none. */
void obstacle_judged(struct obstacle *obstacle, uint32_t judged, uint32_t refused,
                     const char *reason, const char *answer);
/* A call of `samples` samples was refused as a whole and must not be sent again. */
void obstacle_call_refused(struct obstacle *obstacle, uint32_t samples, const char *reason,
                           const char *answer);
/* Part of a call was accepted, and the call must not be sent again. */
void obstacle_part_taken(struct obstacle *obstacle);
/* A call was accepted, or those of its samples that were not refused. */
void obstacle_taken(struct obstacle *obstacle);
/* A preparation that had failed succeeded. */
void obstacle_prepared(struct obstacle *obstacle);
/* An operator resumed delivery: forgets the state and all refusals. */
void obstacle_mended(struct obstacle *obstacle);

/* True if a request may be sent now. In another state than OBSTACLE_NONE it is a probe of one item,
 * and the next one is due PROBE_MS later. */
bool obstacle_may_probe(struct obstacle *obstacle, int64_t now_ns);

#endif
