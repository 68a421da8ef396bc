/*
 * pause.h - pauses after failures in a row: 1 s, 2 s, 4 s ... 30 s or what is given instead, or as
 * long as Retry-After asks for: 10 min at most, or twice what is given (an alert that is told every
 * minute is valid for four), but at least 30 s.
 */
#ifndef NOTIFY_PAUSE_H
#define NOTIFY_PAUSE_H

#include "sys/env.h"

enum { PAUSE_MIN_MS = 1000, PAUSE_MAX_MS = 30 * 1000, PAUSE_ASKED_MAX_MS = 10 * 60 * 1000 };

/* Zeroed: there is none. */
struct pause {
    int64_t max_ms;   /* the longest, unless it is asked for; 0: PAUSE_MAX_MS */
    int64_t last_ms;  /* how long it was; 0: there was none since something went well */
    int64_t until_ns; /* on the monotonic clock; 0: there is none */
};

/* `asked_ms`: of Retry-After; 0: not said. */
static inline void
pause_begin(struct pause *p, int64_t asked_ms, int64_t now_ns)
{
    int64_t max_ms = p->max_ms > 0 && p->max_ms < PAUSE_MAX_MS ? p->max_ms : PAUSE_MAX_MS;
    if (max_ms < PAUSE_MIN_MS) max_ms = PAUSE_MIN_MS;
    p->last_ms = p->last_ms == 0 ? PAUSE_MIN_MS : 2 * p->last_ms;
    if (p->last_ms > max_ms) p->last_ms = max_ms;
    bool is_given = p->max_ms > 0 && p->max_ms < PAUSE_ASKED_MAX_MS / 2;
    int64_t asked_max_ms = is_given ? 2 * p->max_ms : PAUSE_ASKED_MAX_MS;
    if (asked_max_ms < PAUSE_MAX_MS) asked_max_ms = PAUSE_MAX_MS;
    if (asked_ms > asked_max_ms) asked_ms = asked_max_ms;
    p->until_ns = now_ns + (asked_ms < p->last_ms ? p->last_ms : asked_ms) * NS_PER_MS;
}

static inline void
pause_end(struct pause *p)
{
    *p = (struct pause){.max_ms = p->max_ms};
}

#endif
