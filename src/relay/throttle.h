/*
 * throttle.h - how many calls a destination is sent at a time, and when: fewer if it throttles
 * some, one if it does not work.
 *
 * A second that had enough answers is judged by the share s of them that were throttled:
 *
 *     allowed = allowed * (1 - s) + 1, at most all that there may be, at least 1
 *
 * So a call that is throttled now and then costs nothing but its own repetition, a destination that
 * throttles half of all calls is sent two at a time, and one that throttles everything is sent one.
 * Where answers are few they are gathered for up to ten seconds, and count as ten at least, lest
 * one of two be taken for half of many. Where there are none, nothing changes.
 *
 * Besides, a destination works, or may not: at first, and after a call that failed for a reason
 * that all calls share (no connection, 5xx, 429, credentials).
 *
 *     MAY NOT WORK -- throttle_works() --> WORKS
 *                  <-- throttle_failed(), throttle_doubt() --
 *
 * 1. While it may not work, a call is admitted only if none is under way: it probes for all lanes.
 *    Any lane may send it, so no lane has to be waited for that has nothing to send.
 * 2. No call is admitted before the pause after the last failure is over, which is as long as the
 *    destination asked (Retry-After), whichever lane it answered.
 * 3. At least one call is admitted once that pause is over and none is under way.
 *
 * Threads: one.
 */
#ifndef RELAY_THROTTLE_H
#define RELAY_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/backoff.h"

struct throttle {
    double allowed;
    double answers; /* since `began_ns` */
    double throttled;
    int64_t began_ns;
    uint32_t most;
    bool works;           /* a call was answered, and none has failed since */
    struct backoff pause; /* of the destination */
};

/* All of `most` (at least 1) are allowed once the destination works, which is not known. */
void throttle_init(struct throttle *throttle, uint32_t most, int64_t now_ns);
/* A call was answered; `share` of it, 0 to 1, was throttled. */
void throttle_answered(struct throttle *throttle, int64_t now_ns, double share);
/* A call failed and said nothing of its samples; `asked_ms` as for backoff_failed(). */
void throttle_failed(struct throttle *throttle, struct env *env, const struct retry_settings *retry,
                     int64_t asked_ms);
/* A call was refused for a reason that others share, and something else decides when to retry. */
void throttle_doubt(struct throttle *throttle);
/* A call was answered with what became of its samples. */
void throttle_works(struct throttle *throttle);
/* Calls that may be under way: 1 to `most`. */
uint32_t throttle_allows(const struct throttle *throttle);
/* True if another call may be sent now, beside those under way. */
bool throttle_admits(const struct throttle *throttle, uint32_t under_way, int64_t now_ns);

#endif
