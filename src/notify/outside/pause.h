/*
 * pause.h - pauses after consecutive failures: 1 s, 2 s, 4 s ... max_ms (30 s by default), or as
 * long as Retry-After requests, limited to 10 min, or to twice max_ms, but at least to 30 s. An
 * alert that is sent every minute is valid for four.
 */
#ifndef NOTIFY_OUTSIDE_PAUSE_H
#define NOTIFY_OUTSIDE_PAUSE_H

#include "sys/env.h"

enum { PAUSE_MIN_MS = 1000, PAUSE_MAX_MS = 30 * 1000, RETRY_AFTER_MAX_MS = 10 * 60 * 1000 };

/* Zeroed: no pause. */
struct pause {
    int64_t max_ms;   /* longest pause, unless Retry-After requests more; 0: PAUSE_MAX_MS */
    int64_t last_ms;  /* length of the last pause; 0: none since the last success */
    int64_t until_ns; /* monotonic time of its end; 0: no pause */
};

/* `retry_after_ms`: from Retry-After; 0 if it was absent. */
static inline void
pause_begin(struct pause *p, int64_t retry_after_ms, int64_t now_ns)
{
    int64_t max_ms = p->max_ms > 0 && p->max_ms < PAUSE_MAX_MS ? p->max_ms : PAUSE_MAX_MS;
    if (max_ms < PAUSE_MIN_MS) max_ms = PAUSE_MIN_MS;
    p->last_ms = p->last_ms == 0 ? PAUSE_MIN_MS : 2 * p->last_ms;
    if (p->last_ms > max_ms) p->last_ms = max_ms;
    bool is_given = p->max_ms > 0 && p->max_ms < RETRY_AFTER_MAX_MS / 2;
    int64_t retry_after_max_ms = is_given ? 2 * p->max_ms : RETRY_AFTER_MAX_MS;
    if (retry_after_max_ms < PAUSE_MAX_MS) retry_after_max_ms = PAUSE_MAX_MS;
    if (retry_after_ms > retry_after_max_ms) retry_after_ms = retry_after_max_ms;
    p->until_ns = now_ns + (retry_after_ms < p->last_ms ? p->last_ms : retry_after_ms) * NS_PER_MS;
}

static inline void
pause_end(struct pause *p)
{
    *p = (struct pause){.max_ms = p->max_ms};
}

#endif
