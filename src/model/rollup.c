/* rollup.c - joins rollups of samples. */
#include "model/rollup.h"

#include <assert.h>
#include <math.h>

int64_t
rollup_window_end(int64_t t_ms, int64_t resolution_ms)
{
    assert(resolution_ms > 0);
    int64_t past = t_ms % resolution_ms; /* since the last border; negative before 1970 */
    if (past <= 0) return t_ms - past;
    int64_t missing = resolution_ms - past;
    return t_ms > INT64_MAX - missing ? INT64_MAX : t_ms + missing;
}

struct rollup
rollup_of_sample(int64_t t_ms, uint64_t bits)
{
    struct rollup r = {.first_ms = t_ms, .last_ms = t_ms, .least = NAN, .greatest = NAN};
    if (bits == STALE_NAN_BITS) {
        r.stale_ms = t_ms;
        r.is_stale = true;
        return r;
    }
    r.count = 1;
    r.first_bits = bits;
    r.last_bits = bits;
    double value = bits_double(bits);
    if (isnan(value)) {
        r.nan_count = 1;
        return r;
    }
    r.least = value;
    r.greatest = value;
    precise_add(&r.sum, value);
    return r;
}

/* Counts a reset or a change between the last sample of one rollup and the first of the next. */
static void
join_at_border(struct rollup *to, const struct rollup *later)
{
    double before = bits_double(to->last_bits), after = bits_double(later->first_bits);
    if (after < before) {
        to->resets++;
        to->correction += before;
    }
    if (after != before && !(isnan(after) && isnan(before))) to->changes++;
}

void
rollup_join(struct rollup *to, const struct rollup *later)
{
    assert(rollup_is_valid(later)); /* invariants 1 to 3 */
    if (to->count == 0) {
        if (later->count > 0 || !to->is_stale) *to = *later;
        return;
    }
    assert(to->last_ms < later->first_ms || later->count == 0);
    if (later->count > 0) {
        join_at_border(to, later);
        to->last_ms = later->last_ms;
        to->last_bits = later->last_bits;
        to->is_stale = false;
        to->count += later->count;
        to->nan_count += later->nan_count;
        to->resets += later->resets;
        to->changes += later->changes;
        to->correction += later->correction;
        if (isnan(to->least) || later->least < to->least) to->least = later->least;
        if (isnan(to->greatest) || later->greatest > to->greatest) to->greatest = later->greatest;
        precise_add(&to->sum, later->sum.sum);
        to->sum.lost += later->sum.lost;
    }
    if (later->is_stale && !to->is_stale) {
        to->is_stale = true;
        to->stale_ms = later->stale_ms;
    }
    assert(rollup_is_valid(to)); /* invariants 1 to 3 */
}

double
rollup_sum(const struct rollup *rollup)
{
    return rollup->nan_count > 0 ? NAN : precise_value(&rollup->sum);
}

/* --- facts ------------------------------------------------------------------------------------ */

struct rollup_facts *
rollup_facts_find(struct rollup_facts *list, uint32_t count, int64_t resolution_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].resolution_ms == resolution_ms) return &list[i];
    }
    return NULL;
}

void
rollup_facts_add(struct rollup_facts *list, uint32_t *count, const struct rollup_facts *more)
{
    struct rollup_facts *to = rollup_facts_find(list, *count, more->resolution_ms);
    if (to == NULL) {
        list[(*count)++] = *more;
        return;
    }
    to->rows += more->rows;
    to->bytes += more->bytes;
    if (more->time.min_ms < to->time.min_ms) to->time.min_ms = more->time.min_ms;
    if (more->time.max_ms > to->time.max_ms) to->time.max_ms = more->time.max_ms;
}
