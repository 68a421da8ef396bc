/*
 * arrivals.c - times of senders' last requests, per tenant: see struct tsdb_arrivals.
 *
 * It does not matter whether samples are accepted, so nothing is noted while they are judged one by
 * one under the head's lock. Instead a pass over the request's times, before the lock is taken,
 * looks for a recent sample and, while a range is watched, for a late one. The pass ends when it
 * has found them: nearly always at the first sample, because senders rarely lag and a range is
 * rarely watched. A backlog costs about a nanosecond per sample; judging a sample costs fifty.
 */
#include <assert.h>

#include "tsdb/head/head.h"

#define RECENT_MS (60 * 1000)

static void
arrivals_look_at(struct arrival *a, int64_t t_ms)
{
    a->is_recent |= t_ms >= a->now_ms - RECENT_MS;
    a->is_late |= t_ms >= a->late.min_ms && t_ms <= a->late.max_ms;
}

static bool
is_decided(const struct arrival *a)
{
    return a->is_recent && (a->is_late || a->late.min_ms > a->late.max_ms);
}

struct arrival
head_arrival(const struct head *head, const struct rw_request *request)
{
    struct arrival a = {
        .has_samples = request->float_count + request->histogram_count > 0,
        .now_ms = env_realtime_ms(head->env),
        .now_ns = env_monotonic_ns(head->env),
        .late = {atomic_load_explicit(&head->late_min_ms, memory_order_relaxed),
                 atomic_load_explicit(&head->late_max_ms, memory_order_relaxed)},
    };
    for (uint32_t i = 0; i < request->float_count && !is_decided(&a); i++) {
        arrivals_look_at(&a, request->floats[i].t_ms);
    }
    for (uint32_t i = 0; i < request->histogram_count && !is_decided(&a); i++) {
        arrivals_look_at(&a, request->histograms[i].t_ms);
    }
    return a;
}

void
head_note_arrival(struct head *head, struct tenant *t, const struct arrival *a)
{
    assert(lock_is_mine(&head->lock));
    if (!a->has_samples) return;
    t->arrivals.sent_ms = a->now_ms;
    if (a->is_recent) t->arrivals.recent_ns = a->now_ns;
    if (a->is_late) t->arrivals.late_ns = a->now_ns;
}

void
head_watch_arrivals(struct head *head, struct time_range late)
{
    atomic_store_explicit(&head->late_min_ms, late.min_ms, memory_order_relaxed);
    atomic_store_explicit(&head->late_max_ms, late.max_ms, memory_order_relaxed);
}

struct tsdb_arrivals
head_arrivals(struct head *head, struct bytes tenant)
{
    lock_take(&head->lock);
    const struct tenant *t = tenant_find(head, tenant);
    struct tsdb_arrivals arrivals = t == NULL ? (struct tsdb_arrivals){0} : t->arrivals;
    lock_drop(&head->lock);
    return arrivals;
}
