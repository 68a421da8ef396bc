/*
 * throttle.h - how many calls a destination is sent at a time, by how many of them it throttles.
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
 * Threads: one.
 */
#ifndef RELAY_THROTTLE_H
#define RELAY_THROTTLE_H

#include <stdint.h>

struct throttle {
    double allowed;
    double answers; /* since `began_ns` */
    double throttled;
    int64_t began_ns;
    uint32_t most;
};

/* All of `most` (at least 1) are allowed. */
void throttle_init(struct throttle *throttle, uint32_t most, int64_t now_ns);
/* A call was answered; `share` of it, 0 to 1, was throttled. */
void throttle_answered(struct throttle *throttle, int64_t now_ns, double share);
/* Calls that may be under way: 1 to `most`. */
uint32_t throttle_allows(const struct throttle *throttle);

#endif
