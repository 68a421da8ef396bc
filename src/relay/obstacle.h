/*
 * obstacle.h - whether a destination is blocked or refusing, and the logging of its failures.
 *
 * Threads: one.
 */
#ifndef RELAY_OBSTACLE_H
#define RELAY_OBSTACLE_H

#include "relay/relay.h"

enum {
    REFUSALS_WINDOW = 10000, /* samples judged last, of which */
    REFUSALS_MAX = 5000,     /* so many refused are too many */
    REFUSALS_SLOTS = 20,
    CALLS_REFUSED_MAX = 5, /* in a row, of REFUSALS_WINDOW samples: where they are not looked for */
    PROBE_MS = 10 * 1000,
    GOOD_PROBES = 20, /* taken one after the other by who refused most */
};

enum obstacle_state { OBSTACLE_NONE, OBSTACLE_BLOCKED, OBSTACLE_REFUSING };

struct obstacle {
    struct env *env;
    const char *name; /* the destination's */
    enum obstacle_state state;
    bool failing;     /* the last thing tried did not work */
    int64_t probe_ns; /* when to try again */

    uint32_t good_probes;
    uint32_t refusals[REFUSALS_SLOTS];
    uint32_t judged[REFUSALS_SLOTS];
    uint32_t refusal_slot;
    uint32_t calls_refused;   /* in a row, as a whole, and */
    uint64_t samples_refused; /* in them */

    char error[RELAY_TEXT_BYTES]; /* the last failure, until something is delivered; "" */
    int64_t error_ms;             /* Unix time of it */
    int64_t logged_ns;            /* when a failure was logged last */
    int64_t delivered_ms;         /* Unix time of the last success; 0: none yet */
    uint64_t failed_total;
};

/* `env` and `name` outlive it. */
void obstacle_init(struct obstacle *obstacle, struct env *env, const char *name);

/* Something failed, or was refused; logged the first time and then now and then. */
void obstacle_failed(struct obstacle *obstacle, const char *what, const char *reason,
                     const char *text);
/* Nothing can be delivered; single items try whether that has changed. */
void obstacle_blocked(struct obstacle *obstacle, const char *reason, const char *text);
/* Samples that the destination judged. `reason` and `answer` are those of a refusal; NULL where
 * there is none. */
void obstacle_judged(struct obstacle *obstacle, uint32_t judged, uint32_t refused,
                     const char *reason, const char *answer);
/* A call was refused that is not to be sent again; of so many samples, of which none was taken as
 * far as is known. */
void obstacle_call_refused(struct obstacle *obstacle, uint32_t samples, const char *reason,
                           const char *answer);
/* Some of such a call were taken. */
void obstacle_part_taken(struct obstacle *obstacle);
/* A call was, or what it had of samples that were not refused. */
void obstacle_taken(struct obstacle *obstacle);
/* A preparation that had failed succeeded. */
void obstacle_prepared(struct obstacle *obstacle);
/* An operator says go on, and so has mended something. */
void obstacle_mended(struct obstacle *obstacle);

/* Whether something may be sent now: with something in the way, one item, and it is this one. */
bool obstacle_may_probe(struct obstacle *obstacle, int64_t now_ns);

#endif
