/* rollup.c - joins rollups of samples, and of native histograms. */
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
        /* A reset or a change between the last sample of one and the first of the next. */
        double before = bits_double(to->last_bits), after = bits_double(later->first_bits);
        if (after < before) {
            to->resets++;
            to->correction += before;
        }
        if (after != before && !(isnan(after) && isnan(before))) to->changes++;
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
    for (uint32_t i = 0; i < count; i++)
        if (list[i].resolution_ms == resolution_ms) return &list[i];
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

/* --- native histograms ------------------------------------------------------------------------ */

/* Returns the histogram for computations. NULL without memory. */
static struct fhist *
computable(struct arena *arena, const struct histogram *h)
{
    void *memory = arena_alloc(arena, fhist_bytes_of(h));
    return memory == NULL ? NULL : fhist_of(memory, h);
}

/* Returns a copy to which others can be added, without what rounding has lost. NULL without memory.
 */
static struct fhist *
changeable_copy(struct arena *arena, const struct fhist *h)
{
    struct fhist *copy = arena_alloc(arena, sizeof *copy);
    return copy != NULL && fhist_begin(arena, h, true, copy) == OK ? copy : NULL;
}

static bool
is_gauge(const struct histogram *h)
{
    return h->reset_hint == RESET_GAUGE;
}

enum err
histogram_rollup_of_sample(struct arena *arena, int64_t t_ms, const struct histogram *h,
                           struct histogram_rollup *ret)
{
    struct histogram_rollup r = {.first_ms = t_ms, .last_ms = t_ms};
    if (h->sum_bits == STALE_NAN_BITS) {
        r.is_stale = true;
        r.stale_ms = t_ms;
        r.first.kind = r.last.kind = h->kind;
        *ret = r;
        return OK;
    }
    r.count = 1;
    r.gauge_count = is_gauge(h);
    r.custom_count = h->schema == HISTOGRAM_SCHEMA_CUSTOM;
    if (histogram_copy(h, arena, &r.first)) return ERR_NOMEM;
    r.last = r.first;
    struct fhist *counts = computable(arena, h);
    r.sum = counts == NULL ? NULL : changeable_copy(arena, counts);
    if (r.sum == NULL) return ERR_NOMEM;
    *ret = r;
    return OK;
}

/* Adds to a sum that may be missing; `h` loses what rounding lost. False without memory. */
static bool
add_to_sum(struct arena *arena, struct fhist **sum, struct fhist *h, bool *ret_incompatible)
{
    *ret_incompatible = false;
    if (*sum == NULL) {
        *sum = changeable_copy(arena, h);
        return *sum != NULL;
    }
    struct fhist_outcome outcome;
    fhist_settle(h);
    if (fhist_add(arena, *sum, h, 1, &outcome)) return false;
    *ret_incompatible = outcome.incompatible;
    return true;
}

static bool
add_correction(struct arena *arena, struct histogram_rollup *to, struct fhist *h)
{
    bool incompatible;
    if (to->correction_lost) return true;
    if (!add_to_sum(arena, &to->correction, h, &incompatible)) return false;
    if (incompatible) to->correction_lost = true;
    return true;
}

/* Compares the last sample of one rollup with the first of the next. False without memory. */
static bool
join_at_border(struct arena *arena, struct histogram_rollup *to,
               const struct histogram_rollup *later)
{
    struct fhist *before = computable(arena, &to->last), *after = computable(arena, &later->first);
    if (before == NULL || after == NULL) return false;
    const struct histogram *a = &to->last, *b = &later->first;
    to->layout_changes +=
        a->kind != b->kind || a->schema != b->schema || is_gauge(a) != is_gauge(b) ||
        a->zero_threshold_bits != b->zero_threshold_bits || !histogram_same_custom(a, b);
    to->changes += !fhist_equal(before, after);
    if (!fhist_was_reset(after, before)) return true;
    to->resets++;
    if (to->count > 1) return add_correction(arena, to, before);
    to->second_is_reset = true;
    return true;
}

/* Adds what the later samples lost in resets; their first one is no longer the first. */
static bool
join_corrections(struct arena *arena, struct histogram_rollup *to, struct histogram_rollup *later)
{
    if (later->second_is_reset) {
        struct fhist *first = computable(arena, &later->first);
        if (first == NULL || !add_correction(arena, to, first)) return false;
    }
    if (later->correction != NULL && !add_correction(arena, to, later->correction)) return false;
    to->correction_lost |= later->correction_lost;
    if (to->correction_lost) to->correction = NULL;
    return true;
}

static bool
join_sums(struct arena *arena, struct histogram_rollup *to, struct histogram_rollup *later)
{
    bool incompatible = later->sum == NULL;
    if (to->sum == NULL) return true;
    if (!incompatible && !add_to_sum(arena, &to->sum, later->sum, &incompatible)) return false;
    if (incompatible) to->sum = NULL;
    return true;
}

enum err
histogram_rollup_join(struct arena *arena, struct histogram_rollup *to,
                      struct histogram_rollup *later)
{
    assert(histogram_rollup_is_valid(later)); /* invariants 1 to 5 */
    if (to->count == 0) {
        if (later->count > 0 || !to->is_stale) *to = *later;
        return OK;
    }
    assert(to->last_ms < later->first_ms || later->count == 0);
    if (later->count > 0) {
        if (!join_at_border(arena, to, later) || !join_corrections(arena, to, later) ||
            !join_sums(arena, to, later))
            return ERR_NOMEM;
        to->last_ms = later->last_ms;
        to->last = later->last;
        to->is_stale = false;
        to->count += later->count;
        to->changes += later->changes;
        to->resets += later->resets;
        to->layout_changes += later->layout_changes;
        to->gauge_count += later->gauge_count;
        to->custom_count += later->custom_count;
    }
    if (later->is_stale && !to->is_stale) {
        to->is_stale = true;
        to->stale_ms = later->stale_ms;
    }
    assert(histogram_rollup_is_valid(to)); /* invariants 1 to 5 */
    return OK;
}

enum err
histogram_rollup_copy(struct arena *arena, const struct histogram_rollup *from,
                      struct histogram_rollup *ret)
{
    *ret = *from;
    if (from->count == 0) return OK;
    if (histogram_copy(&from->first, arena, &ret->first)) return ERR_NOMEM;
    if (histogram_copy(&from->last, arena, &ret->last)) return ERR_NOMEM;
    if (from->sum != NULL) {
        fhist_settle(from->sum);
        ret->sum = changeable_copy(arena, from->sum);
    }
    if (from->correction != NULL) {
        fhist_settle(from->correction);
        ret->correction = changeable_copy(arena, from->correction);
    }
    bool has_all = (ret->sum == NULL) == (from->sum == NULL) &&
                   (ret->correction == NULL) == (from->correction == NULL);
    return has_all ? OK : ERR_NOMEM;
}

bool
histogram_rollup_is_valid(const struct histogram_rollup *r)
{
    if (r->count == 0) return r->is_stale;
    bool has_sum = r->custom_count == 0 || r->custom_count == r->count;
    uint32_t corrected = r->resets - (r->second_is_reset ? 1 : 0);
    return r->first_ms <= r->last_ms && (!r->is_stale || r->last_ms < r->stale_ms) &&
           r->resets <= r->changes && r->changes < r->count && r->layout_changes < r->count &&
           r->gauge_count <= r->count && r->custom_count <= r->count &&
           (r->sum != NULL) == has_sum && corrected <= r->resets &&
           (r->correction != NULL) == (corrected > 0 && !r->correction_lost);
}

/* --- many histograms -------------------------------------------------------------------------- */

/* Frees the arena, whose blocks begin small again. */
static void
arena_restart(struct arena *arena)
{
    struct budget *budget = arena->budget;
    arena_fini(arena);
    arena_init(arena, budget, 0, 0);
}

void
histogram_roller_init(struct histogram_roller *roller, struct budget *budget)
{
    *roller = (struct histogram_roller){.current = 0};
    for (unsigned i = 0; i < 2; i++)
        arena_init(&roller->arenas[i], budget, 0, 0);
}

void
histogram_roller_fini(struct histogram_roller *roller)
{
    for (unsigned i = 0; i < 2; i++)
        arena_fini(&roller->arenas[i]);
}

void
histogram_roller_clear(struct histogram_roller *roller)
{
    roller->rollup = (struct histogram_rollup){.count = 0};
    for (unsigned i = 0; i < 2; i++)
        arena_restart(&roller->arenas[i]);
}

/* Copies the rollup to the other arena if much was left behind in this one. */
static enum err
drop_rest(struct histogram_roller *r)
{
    struct arena *from = &r->arenas[r->current], *to = &r->arenas[1 - r->current];
    struct histogram_rollup kept;
    if (from->used_bytes < HISTOGRAM_ROLLER_BYTES) return OK;
    if (histogram_rollup_copy(to, &r->rollup, &kept)) return ERR_NOMEM;
    r->rollup = kept;
    r->current = 1 - r->current;
    arena_restart(from);
    return OK;
}

enum err
histogram_roller_add(struct histogram_roller *r, int64_t t_ms, const struct histogram *h)
{
    struct arena *arena = &r->arenas[r->current];
    struct histogram_rollup one;
    enum err e = histogram_rollup_of_sample(arena, t_ms, h, &one);
    if (e == OK) e = histogram_rollup_join(arena, &r->rollup, &one);
    return e ? e : drop_rest(r);
}

enum err
histogram_roller_add_rollup(struct histogram_roller *r, const struct histogram_rollup *later)
{
    struct arena *arena = &r->arenas[r->current];
    struct histogram_rollup copy;
    enum err e = histogram_rollup_copy(arena, later, &copy);
    if (e == OK) e = histogram_rollup_join(arena, &r->rollup, &copy);
    return e ? e : drop_rest(r);
}
