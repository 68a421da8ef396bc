#include "model/select.h"

#include <inttypes.h>

#include "sys/env.h"

#define GONE_ASKED_NS (5 * NS_PER_MS) /* a look at a socket costs as much as a batch of samples */
static const char CLIENT_GONE[] = "the query was canceled: its client has gone";

static bool
is_gone(struct query_control *control, int64_t now_ns)
{
    if (control->is_gone == NULL) return false;
    /* Relaxed: it only says whose turn it is. */
    int64_t asked_ns = atomic_load_explicit(&control->gone_asked_ns, memory_order_relaxed);
    if (now_ns - asked_ns < GONE_ASKED_NS) return false;
    bool mine = atomic_compare_exchange_strong_explicit(&control->gone_asked_ns, &asked_ns, now_ns,
                                                        memory_order_relaxed, memory_order_relaxed);
    return mine && control->is_gone(control->gone_context);
}

enum err
query_control_check(struct query_control *control, struct why *why)
{
    /* Relaxed: the flag carries nothing but itself, and a batch later is soon enough. */
    if (atomic_load_explicit(&control->canceled, memory_order_relaxed)) {
        return why_set(why, ERR_CANCELED, CLIENT_GONE);
    }
    if (control->deadline_ns == 0 && control->is_gone == NULL) return OK;
    int64_t now_ns = env_monotonic_ns(control->env);
    if (is_gone(control, now_ns)) {
        atomic_store_explicit(&control->canceled, true, memory_order_relaxed);
        return why_set(why, ERR_CANCELED, CLIENT_GONE);
    }
    if (control->deadline_ns == 0 || now_ns < control->deadline_ns) return OK;
    return why_set(why, ERR_CANCELED, "the query timed out");
}

static enum err
add_to(_Atomic uint64_t *seen, uint64_t count, uint64_t max, const char *what, struct why *why)
{
    /* Relaxed: they order nothing, and a thread that is late by a batch does no harm. */
    uint64_t before = atomic_fetch_add_explicit(seen, count, memory_order_relaxed);
    if (max == 0 || before + count <= max) return OK;
    return why_set(why, ERR_LIMIT, "the query %s (%" PRIu64 ")", what, max);
}

enum err
query_control_add_series(struct query_control *control, struct why *why)
{
    if (control == NULL) return OK;
    return add_to(&control->series_seen, 1, control->series_max, "selects more series than it may",
                  why);
}

enum err
query_control_add_samples(struct query_control *control, uint64_t count, struct why *why)
{
    if (control == NULL) return OK;
    return add_to(&control->samples_seen, count, control->samples_max,
                  "reads more samples than it may", why);
}

enum err
query_control_add_bytes(struct query_control *control, uint64_t count, struct why *why)
{
    if (control == NULL) return OK;
    return add_to(&control->bytes_seen, count, control->bytes_max, "reads more bytes than it may",
                  why);
}
