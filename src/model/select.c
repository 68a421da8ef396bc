/*
 * select.c - limits and the end of a query, sets of matchers, parts of batches, shards, the order
 * of exemplars, and windows that a summary may replace.
 */
#include "model/select.h"

#include <inttypes.h>

#include "base/hash/hash.h"
#include "base/text/time_text.h"
#include "model/labels.h"
#include "sys/env.h"

#define GONE_CHECK_NS (5 * NS_PER_MS) /* a look at a socket costs as much as a batch of samples */
static const char CLIENT_GONE[] = "query canceled: the client disconnected";

static bool
is_gone(struct query_control *control, int64_t now_ns)
{
    if (control->is_gone == NULL) return false;
    /* Relaxed: it only decides which thread asks. */
    int64_t checked_ns = atomic_load_explicit(&control->gone_checked_ns, memory_order_relaxed);
    if (now_ns - checked_ns < GONE_CHECK_NS) return false;
    bool mine = atomic_compare_exchange_strong_explicit(
        &control->gone_checked_ns, &checked_ns, now_ns, memory_order_relaxed, memory_order_relaxed);
    return mine && control->is_gone(control->gone_context);
}

enum err
query_control_check(struct query_control *control, struct why *why)
{
    if (control == NULL) return OK;
    /* Relaxed: no other data depends on the flag, and one batch later is soon enough. */
    const char *canceled = atomic_load_explicit(&control->canceled, memory_order_relaxed);
    if (canceled == NULL && control->all_canceled != NULL) {
        canceled = atomic_load_explicit(control->all_canceled, memory_order_relaxed);
        if (canceled != NULL)
            atomic_store_explicit(&control->canceled, canceled, memory_order_relaxed);
    }
    if (canceled != NULL) return why_set(why, ERR_CANCELED, "%s", canceled);
    if (control->deadline_ns == 0 && control->is_gone == NULL) return OK;
    int64_t now_ns = env_monotonic_ns(control->env);
    if (is_gone(control, now_ns)) {
        atomic_store_explicit(&control->canceled, CLIENT_GONE, memory_order_relaxed);
        return why_set(why, ERR_CANCELED, CLIENT_GONE);
    }
    if (control->deadline_ns == 0 || now_ns < control->deadline_ns) return OK;
    return why_set(why, ERR_CANCELED, "query timed out");
}

struct series_cost
series_cost_guess(uint64_t series, int64_t min_ms, int64_t max_ms)
{
    const uint64_t interval_ms = 15000, samples_max = 10000;
    uint64_t each = 0;
    if (min_ms <= max_ms) each = ((uint64_t)max_ms - (uint64_t)min_ms) / interval_ms + 1;
    if (each > samples_max) each = samples_max;
    return (struct series_cost){.series = series, .samples = series * each};
}

struct series_cost
series_set_cost(const struct series_set *set)
{
    struct series_cost cost = {.series = 0};
    if (set->ops->cost == NULL) return cost;
    cost = set->ops->cost(set);
    return set->is_guessed ? series_cost_guess(cost.series, set->min_ms, set->max_ms) : cost;
}

const struct limit_names limits_of_reads = {"read.max_series", "read.max_samples",
                                            "read.max_bytes"};
const struct limit_names limits_of_queries = {"query.max_series", "query.max_samples_read",
                                              "query.max_bytes"};

/* Rises with the value; -0 is below 0, and NaNs are at both ends. */
static uint64_t
value_rank(uint64_t bits)
{
    const uint64_t sign = UINT64_C(1) << 63;
    return (bits & sign) != 0 ? ~bits : bits | sign;
}

int
exemplar_compare(const struct exemplar *a, const struct exemplar *b)
{
    if (a->t_ms != b->t_ms) return a->t_ms < b->t_ms ? -1 : 1;
    uint64_t left = value_rank(a->value_bits), right = value_rank(b->value_bits);
    if (left != right) return left < right ? -1 : 1;
    return bytes_compare(a->labels, b->labels);
}

/* `name` is that of the limit's setting, or NULL. */
static enum err
add_to(_Atomic uint64_t *seen, uint64_t count, uint64_t max, const char *what, const char *name,
       struct why *why)
{
    /* Relaxed: they order nothing, and a thread that is late by a batch does no harm. */
    uint64_t before = atomic_fetch_add_explicit(seen, count, memory_order_relaxed);
    if (max == 0 || before + count <= max) return OK;
    bool named = name != NULL;
    return why_set(why, ERR_LIMIT,
                   "query reads more than %" PRIu64
                   " %s%s%s%s: use narrower matchers or a shorter time range",
                   max, what, named ? " (" : "", named ? name : "", named ? ")" : "");
}

enum err
query_control_add_series(struct query_control *c, struct why *why)
{
    if (c == NULL) return OK;
    return add_to(&c->series_seen, 1, c->series_max, "series",
                  c->names == NULL ? NULL : c->names->series, why);
}

enum err
query_control_add_samples(struct query_control *c, uint64_t count, struct why *why)
{
    if (c == NULL) return OK;
    return add_to(&c->samples_seen, count, c->samples_max, "samples",
                  c->names == NULL ? NULL : c->names->samples, why);
}

enum err
query_control_add_bytes(struct query_control *c, uint64_t count, struct why *why)
{
    if (c == NULL) return OK;
    return add_to(&c->bytes_seen, count, c->bytes_max, "bytes of samples",
                  c->names == NULL ? NULL : c->names->bytes, why);
}

enum err
query_control_add_fetched(struct query_control *c, uint32_t requests, uint64_t bytes,
                          struct why *why)
{
    if (c == NULL) return OK;
    atomic_fetch_add_explicit(&c->fetches, requests, memory_order_relaxed);
    return add_to(&c->fetched_seen, bytes, c->fetched_max, "bytes from buckets",
                  c->names == NULL ? NULL : "query.max_fetched_bytes", why);
}

static bool
is_over(const _Atomic uint64_t *seen, uint64_t max)
{
    return max > 0 && atomic_load_explicit(seen, memory_order_relaxed) > max;
}

bool
query_control_is_over(const struct query_control *control)
{
    return is_over(&control->series_seen, control->series_max) ||
           is_over(&control->samples_seen, control->samples_max) ||
           is_over(&control->bytes_seen, control->bytes_max) ||
           is_over(&control->fetched_seen, control->fetched_max);
}

void
query_control_warn(struct query_control *control, struct series_set *set)
{
    const char *sentence;
    if (control == NULL || control->warn == NULL || set == NULL) return;
    for (uint32_t i = 0; (sentence = series_set_warning(set, i)) != NULL; i++) {
        atomic_store_explicit(&control->lacks, true, memory_order_relaxed);
        control->warn(control->warn_context, sentence);
    }
}

bool
matcher_set_matches(const struct matcher_set *set, struct bytes labels)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct matcher *m = set->matchers[i];
        if (!matcher_matches(m, labels_get(labels, matcher_name(m)))) return false;
    }
    return true;
}

/* True if a value that `one` requires does not match `other`. */
static bool
requires_other_value(const struct matcher_set *one, const struct matcher_set *other)
{
    for (uint32_t i = 0; i < one->count; i++) {
        const struct matcher *equal = one->matchers[i];
        if (matcher_type(equal) != MATCH_EQUAL) continue;
        for (uint32_t k = 0; k < other->count; k++) {
            const struct matcher *m = other->matchers[k];
            if (bytes_equal(matcher_name(m), matcher_name(equal)) &&
                !matcher_matches(m, matcher_pattern(equal)))
                return true;
        }
    }
    return false;
}

bool
matcher_sets_exclude(const struct matcher_set *one, const struct matcher_set *other)
{
    return requires_other_value(one, other) || requires_other_value(other, one);
}

struct sample_batch
sample_batch_part(const struct sample_batch *b, uint32_t from, uint32_t count)
{
    struct sample_batch part = *b;
    part.count = count;
    if (part.rollups != NULL) part.rollups += from;
    if (part.histogram_rollups != NULL) part.histogram_rollups += from;
    if (part.times_ms != NULL) part.times_ms += from;
    if (part.value_bits != NULL) part.value_bits += from;
    if (part.histograms != NULL) part.histograms += from;
    if (part.columns != NULL) part.first_row += from;
    if (part.starts_ms != NULL) part.starts_ms += from;
    return part;
}

uint32_t
shard_of_labels(struct bytes labels, uint32_t shard_count)
{
    return shard_count < 2 ? 0 : (uint32_t)(hash_bytes(labels, 0) % shard_count);
}

uint32_t
query_hints_shard(const struct query_hints *hints, struct bytes labels)
{
    struct hash_pieces h;
    struct cursor c = cursor_of(labels);
    const uint8_t *from = c.at, *at = c.at;
    bool whole = true;
    struct label label;
    if (hints->shard_count < 2) return 0;
    for (; hints->shard_without_count > 0 && labels_next(&c, &label); at = c.at) {
        uint32_t i = 0;
        while (i < hints->shard_without_count && !bytes_equal(hints->shard_without[i], label.name))
            i++;
        if (i == hints->shard_without_count) continue;
        if (whole) hash_begin(&h, 0);
        whole = false;
        hash_add(&h, bytes_of(from, (size_t)(at - from)));
        from = c.at;
    }
    if (whole) return shard_of_labels(labels, hints->shard_count);
    hash_add(&h, bytes_of(from, labels.size - (size_t)(from - labels.at)));
    return (uint32_t)(hash_end(&h) % hints->shard_count);
}

enum err
query_hints_keep_shard(const struct query_hints *hints, struct arena *arena,
                       struct query_hints *ret)
{
    uint32_t count = hints->shard_without_count;
    *ret = (struct query_hints){.shard = hints->shard, .shard_count = hints->shard_count};
    if (hints->shard_count < 2 || count == 0) return OK;
    struct bytes *names = arena_alloc(arena, count * sizeof *names);
    if (names == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        names[i] = arena_copy(arena, hints->shard_without[i]);
        if (names[i].at == NULL) return ERR_NOMEM;
    }
    ret->shard_without = names;
    ret->shard_without_count = count;
    return OK;
}

/* True if one of from, from + step, ... up to last is in [min, max). */
static bool
has_edge(__int128 from, __int128 last, int64_t step, int64_t min, int64_t max)
{
    __int128 edge = from;
    if (edge < min && step > 0) edge += ((min - edge + step - 1) / step) * step;
    return edge >= min && edge < max && edge <= last;
}

bool
query_windows_keep(const struct query_windows *w, int64_t min_ms, int64_t max_ms)
{
    int64_t last_ms = w->step_ms > 0 ? w->last_ms : w->first_ms;
    return !has_edge(w->first_ms, last_ms, w->step_ms, min_ms, max_ms) &&
           !has_edge((__int128)w->first_ms - w->range_ms, (__int128)last_ms - w->range_ms,
                     w->step_ms, min_ms, max_ms);
}

/* --- downsampled samples; relaxed: the resolution orders nothing ------------------------------ */

void
thinned_say(int64_t resolution_ms, struct why *ret)
{
    char text[TIME_TEXT_BYTES];
    why_set(ret, OK, "samples are downsampled to %s; each is the last one of its window",
            time_print_duration(resolution_ms, text));
}

void
thinned_note(struct query_control *control, int64_t resolution_ms)
{
    int64_t most_ms = thinned_to(control);
    while (resolution_ms > most_ms &&
           !atomic_compare_exchange_weak_explicit(&control->thinned_to_ms, &most_ms, resolution_ms,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void
thinned_pass(const struct query_control *from, struct query_control *to)
{
    thinned_note(to, thinned_to(from));
    if (atomic_load_explicit(&from->lacks_late, memory_order_relaxed))
        atomic_store_explicit(&to->lacks_late, true, memory_order_relaxed);
}
