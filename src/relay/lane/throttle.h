/*
 * throttle.h - limits how many calls a destination is sent at a time, and when: fewer if it
 * throttles some, one while it may not work.
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
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_THROTTLE_H
#define RELAY_LANE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/lane/backoff.h"

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

#endif
