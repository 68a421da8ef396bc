/*
 * window_floats.c - see window.h.
 *
 * Windows overlap: what is known of one is used for the next one if no rounding depends on it.
 * Samples are in the order of steps, so each is looked at once where that is possible.
 */

#include "base/hash/hash.h"
#include "base/precise.h"
#include "promql/eval/select/window.h"

#include <assert.h>
#include <math.h>

/*
 * A hash of a key names the one slot in which its cut may be: a cut replaces the one that was
 * there. When the cuts take too much memory, slots are emptied in turn.
 *
 * Invariants:
 *
 *  1. `bytes` is the memory of all cuts.
 *  2. A cut in a slot has its own copy of the times of its key.
 *  3. Any two cuts fit into BYTES_MAX: emptying the other slots makes enough room for one.
 */

enum { TIMES_MAX = 8192, BYTES_MAX = 1 << 20 };

_Static_assert(2 * (sizeof(struct window_cut) + TIMES_MAX * sizeof(int64_t)) <= BYTES_MAX,
               "invariant 3: two cuts of the greatest size fit");

void
cuts_init(struct cuts *cuts, struct budget *budget)
{
    *cuts = (struct cuts){.budget = budget};
}

static void
drop(struct cuts *cuts, struct window_cut **cut)
{
    if (*cut == NULL) return;
    size_t bytes = (*cut)->time_capacity * sizeof *(*cut)->times_ms;
    mem_free(cuts->budget, (*cut)->times_ms, bytes);
    mem_free(cuts->budget, *cut, sizeof **cut);
    assert(cuts->bytes >= bytes + sizeof **cut); /* invariant 1 */
    cuts->bytes -= bytes + sizeof **cut;
    *cut = NULL;
}

void
cuts_fini(struct cuts *cuts)
{
    for (uint32_t i = 0; i < CUT_SLOTS; i++)
        drop(cuts, &cuts->slots[i]);
    drop(cuts, &cuts->long_one);
    assert(cuts->bytes == 0); /* invariant 1 */
}

static uint32_t
window_cuts_slot_of(const struct cut_key *key)
{
    const int64_t *times_ms = key->times_ms;
    uint32_t n = key->time_count;
    const int64_t some[] = {times_ms[0], times_ms[n / 2], times_ms[n - 1],
                            n,           key->begin,      key->step};
    return (uint32_t)(hash_bytes(bytes_of(some, sizeof some), key->at_end) % CUT_SLOTS);
}

static bool
is_same(const struct cut_key *a, const struct cut_key *b)
{
    return a->time_count == b->time_count && a->step == b->step && a->begin == b->begin &&
           a->end == b->end && a->at_end == b->at_end &&
           memcmp(a->times_ms, b->times_ms, a->time_count * sizeof *a->times_ms) == 0;
}

/* The cut of a slot, with memory for `times` times. NULL: no memory. */
static struct window_cut *
prepared(struct cuts *cuts, struct window_cut **slot, uint32_t times)
{
    if (*slot != NULL && (*slot)->time_capacity < times) drop(cuts, slot);
    if (*slot != NULL) return *slot;
    struct window_cut *cut = mem_alloc(cuts->budget, sizeof *cut);
    if (cut == NULL) return NULL;
    cut->time_capacity = times;
    cut->times_ms = times == 0 ? NULL : mem_alloc(cuts->budget, times * sizeof *cut->times_ms);
    cuts->bytes += sizeof *cut + times * sizeof *cut->times_ms;
    *slot = cut;
    if (times > 0 && cut->times_ms == NULL) {
        cut->time_capacity = 0;
        cuts->bytes -= times * sizeof *cut->times_ms;
        drop(cuts, slot);
    }
    return *slot;
}

struct window_cut *
cuts_find(struct cuts *cuts, const struct cut_key *key, bool *ret_known)
{
    uint32_t n = key->time_count;
    bool is_kept = n > 0 && n <= TIMES_MAX;
    struct window_cut **slot = is_kept ? &cuts->slots[window_cuts_slot_of(key)] : &cuts->long_one;
    *ret_known = is_kept && *slot != NULL && is_same(&(*slot)->key, key);
    if (*ret_known) return *slot;
    struct window_cut *cut = prepared(cuts, slot, is_kept ? n : 0);
    if (cut == NULL) return NULL;
    while (cuts->bytes > BYTES_MAX) {
        struct window_cut **victim = &cuts->slots[cuts->next_victim++ % CUT_SLOTS];
        if (victim != slot) drop(cuts, victim);
    }
    assert(!is_kept || cut->time_capacity >= n); /* invariant 2 */
    cut->key = *key;
    cut->key.times_ms = cut->times_ms;
    if (is_kept) memcpy(cut->times_ms, key->times_ms, n * sizeof *cut->times_ms);
    return cut;
}

/* --- rate, increase, delta -------------------------------------------------------------------- */

static double
window_floats_corrected(const double *values, uint32_t begin, uint32_t end)
{
    double more = values[end - 1] - values[begin];
    for (uint32_t i = begin + 1; i < end; i++)
        if (values[i] < values[i - 1]) more += values[i - 1];
    return more;
}

static struct stretch_times
stretch_times_of(const int64_t *times_ms, uint32_t count, int64_t end_ms, int64_t range_ms)
{
    return (struct stretch_times){
        .to_start = (double)(times_ms[0] - (end_ms - range_ms)) / 1000,
        .to_end = (double)(end_ms - times_ms[count - 1]) / 1000,
        .sampled = (double)(times_ms[count - 1] - times_ms[0]) / 1000,
        .count = count,
    };
}

static bool
falls(const double *v, uint32_t begin, uint32_t end)
{
    unsigned any = 0;
    for (uint32_t i = begin + 1; i < end; i++)
        any |= v[i] < v[i - 1];
    return any != 0;
}

/* The increase of counters in each window, with what was lost in resets. */
static void
corrected_windows(const struct float_windows *w, double *to)
{
    const struct window_cut *cut = w->cut;
    const double *v = w->values;
    uint32_t looked_at = cut->begins[0] + 1,
             fell = 0; /* index of the last sample less than the one before it */
    for (uint32_t i = 0; i < cut->count; i++) {
        uint32_t begin = cut->begins[i], end = cut->ends[i];
        for (; looked_at < end; looked_at++)
            if (v[looked_at] < v[looked_at - 1]) fell = looked_at;
        if (begin < end)
            to[i] = fell > begin ? window_floats_corrected(v, begin, end) : v[end - 1] - v[begin];
    }
}

static inline void
rates(const struct float_windows *w, enum rate_kind kind, double *to)
{
    const struct window_cut *cut = w->cut;
    const double *v = w->values;
    bool is_counter = kind != RATE_DELTA;
    assert(cut->count > 0);
    bool fell = is_counter && falls(v, cut->begins[0], cut->ends[cut->count - 1]);
    if (fell) corrected_windows(w, to);
    for (uint32_t i = 0; i < cut->count; i++) {
        uint32_t begin = cut->begins[i], end = cut->ends[i];
        if (begin == end) continue;
        double more = fell ? to[i] : v[end - 1] - v[begin], factor = cut->stretches[i].factor;
        if (is_counter && v[begin] < cut->stretches[i].near_zero * more) {
            struct stretch_times t = stretch_times_of(
                w->times_ms + begin, end - begin, w->first_end_ms + i * w->step_ms, w->range_ms);
            factor = stretch_factor(&t, v[begin], more, true);
            if (kind == RATE_RATE) factor /= (double)w->range_ms / 1000;
        }
        to[i] = more * factor;
    }
}

static struct cut_stretch
stretch(const int64_t *times_ms, uint32_t count, int64_t end_ms, int64_t range_ms)
{
    struct stretch_times t = stretch_times_of(times_ms, count, end_ms, range_ms);
    double near_zero = stretch_to_start(&t) / t.sampled;
    return (struct cut_stretch){stretch_factor(&t, 0, 0, false), near_zero + near_zero * 1e-9};
}

static struct cut_stretch
stretch_rate(const int64_t *times_ms, uint32_t count, int64_t end_ms, int64_t range_ms)
{
    struct cut_stretch s = stretch(times_ms, count, end_ms, range_ms);
    s.factor /= (double)range_ms / 1000;
    return s;
}

/* --- over time -------------------------------------------------------------------------------- */

/* The best value of a window is compared with the samples that the next one adds, unless it has
 * left. */
static inline void
extremes(const struct float_windows *w, bool greatest, double *to)
{
    const double *v = w->values;
    uint32_t best = 0, looked_at = 0;
    for (uint32_t i = 0; i < w->cut->count; i++) {
        uint32_t begin = w->cut->begins[i], end = w->cut->ends[i];
        if (begin == end) continue;
        if (i == 0 || best < begin || looked_at <= begin) {
            best = begin;
            looked_at = begin + 1;
        }
        for (; looked_at < end; looked_at++) {
            bool better = greatest ? v[looked_at] > v[best] : v[looked_at] < v[best];
            if (better || isnan(v[best])) best = looked_at;
        }
        to[i] = v[best];
    }
}

/* --- changes, resets -------------------------------------------------------------------------- */

static inline bool
is_event(const double *v, uint32_t i, bool resets)
{
    if (resets) return v[i] < v[i - 1];
    return v[i] != v[i - 1] && !(isnan(v[i]) && isnan(v[i - 1]));
}

/* Counts events from the second sample of a window on: adds those of new samples, and subtracts
 * those of samples that leave. */
static inline void
count_events(const struct float_windows *w, bool resets, double *to)
{
    assert(w->cut->count > 0);
    uint32_t from = w->cut->begins[0] + 1, until = from, events = 0;
    for (uint32_t i = 0; i < w->cut->count; i++) {
        uint32_t begin = w->cut->begins[i], end = w->cut->ends[i];
        if (begin == end) continue;
        if (until <= begin) {
            from = until = begin + 1;
            events = 0;
        }
        for (; until < end; until++)
            events += is_event(w->values, until, resets);
        for (; from <= begin; from++)
            events -= is_event(w->values, from, resets);
        to[i] = events;
    }
}

/* --- all functions ---------------------------------------------------------------------------- */

void
float_windows_evaluate(const struct float_windows *w, enum function_id id, double *to)
{
    const struct window_cut *cut = w->cut;
    const double *v = w->values;
    switch (id) {
    case FUNCTION_RATE:
        rates(w, RATE_RATE, to);
        return;
    case FUNCTION_INCREASE:
        rates(w, RATE_INCREASE, to);
        return;
    case FUNCTION_DELTA:
        rates(w, RATE_DELTA, to);
        return;
    case FUNCTION_MIN_OVER_TIME:
        extremes(w, false, to);
        return;
    case FUNCTION_MAX_OVER_TIME:
        extremes(w, true, to);
        return;
    case FUNCTION_CHANGES:
        count_events(w, false, to);
        return;
    case FUNCTION_RESETS:
        count_events(w, true, to);
        return;
    default:
        break;
    }
    for (uint32_t i = 0; i < cut->count; i++) {
        uint32_t begin = cut->begins[i], end = cut->ends[i], last = end - 1;
        struct precise p = {0, 0};
        if (begin == end) continue;
        switch (id) {
        case FUNCTION_IRATE:
        case FUNCTION_IDELTA:
            if (begin == last) continue;
            to[i] = v[last] - v[last - 1];
            if (id == FUNCTION_IDELTA) break;
            if (v[last] < v[last - 1]) to[i] = v[last];
            to[i] /= (double)(w->times_ms[last] - w->times_ms[last - 1]) / 1000;
            break;
        case FUNCTION_COUNT_OVER_TIME:
            to[i] = end - begin;
            break;
        case FUNCTION_PRESENT_OVER_TIME:
            to[i] = 1;
            break;
        case FUNCTION_FIRST_OVER_TIME:
            to[i] = v[begin];
            break;
        case FUNCTION_LAST_OVER_TIME:
            to[i] = v[last];
            break;
        case FUNCTION_SUM_OVER_TIME:
            for (uint32_t k = begin; k < end; k++)
                precise_add(&p, v[k]);
            to[i] = precise_value(&p);
            break;
        default:
            to[i] = mean_of(v + begin, end - begin);
            break;
        }
    }
}

const struct float_windows_kind *
float_windows_kind_of(enum function_id id)
{
    static const struct float_windows_kind kinds[FUNCTION_COUNT] = {
        [FUNCTION_RATE] = {2, stretch_rate},
        [FUNCTION_INCREASE] = {2, stretch},
        [FUNCTION_DELTA] = {2, stretch},
        [FUNCTION_IRATE] = {2, NULL},
        [FUNCTION_IDELTA] = {2, NULL},
        [FUNCTION_COUNT_OVER_TIME] = {1, NULL},
        [FUNCTION_PRESENT_OVER_TIME] = {1, NULL},
        [FUNCTION_FIRST_OVER_TIME] = {1, NULL},
        [FUNCTION_LAST_OVER_TIME] = {1, NULL},
        [FUNCTION_SUM_OVER_TIME] = {1, NULL},
        [FUNCTION_AVG_OVER_TIME] = {1, NULL},
        [FUNCTION_MIN_OVER_TIME] = {1, NULL},
        [FUNCTION_MAX_OVER_TIME] = {1, NULL},
        [FUNCTION_CHANGES] = {1, NULL},
        [FUNCTION_RESETS] = {1, NULL},
    };
    return &kinds[id];
}
