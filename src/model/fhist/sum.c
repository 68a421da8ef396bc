/*
 * sum.c - sums of histograms, and resets between them.
 *
 * Buckets of both are brought to one layout first: the lower resolution of the two, the zero bucket
 * that holds both, the custom bounds that both have. Most histograms of a series have the same
 * buckets, whose counts are then added one by one. Else the buckets that are missing are counted,
 * those that are there are moved to the end of the array, and both are merged from the beginning.
 *
 * The invariants are those of fhist.c. The order of indexes is not asserted here, as histograms of
 * damaged parts reach these functions.
 */
#include <assert.h>
#include <math.h>

#include "base/precise.h"
#include "model/fhist/fhist.h"

/* --- buckets read at a lower resolution ------------------------------------------------------- */

struct side_reader {
    const struct fhist_side *side;
    uint32_t at;
    unsigned shift;
    int64_t index;
    double count;
};

static bool
side_next(struct side_reader *r)
{
    const struct fhist_side *s = r->side;
    if (r->at == s->count) return false;
    r->index = coarser_index(s->indexes[r->at], r->shift);
    r->count = 0;
    do {
        r->count += s->counts[r->at++];
    } while (r->at < s->count && coarser_index(s->indexes[r->at], r->shift) == r->index);
    return true;
}

/* Skips the buckets that lie in the zero bucket. */
static void
skip_zero(struct side_reader *r, int32_t schema, double threshold)
{
    struct side_reader ahead = *r;
    while (threshold > 0 && side_next(&ahead) &&
           exponential_bound(schema, ahead.index) <= threshold)
        *r = ahead;
}

/* True if both have the same buckets; new ones are rare in a series. */
static bool
same_buckets(const struct fhist_side *a, const struct fhist_side *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->indexes, b->indexes, a->count * sizeof *a->indexes) == 0);
}

/* --- a side that changes ---------------------------------------------------------------------- */

static void
put_bucket(struct fhist_side *s, uint32_t at, int64_t index, double count, double lost)
{
    s->indexes[at] = (int32_t)index;
    s->counts[at] = count;
    if (s->lost != NULL) s->lost[at] = lost;
}

/* Moves a bucket to a place before it, or leaves it. */
static void
move_bucket(struct fhist_side *s, uint32_t to, uint32_t from)
{
    if (to == from) return;
    put_bucket(s, to, s->indexes[from], s->counts[from], s->lost == NULL ? 0 : s->lost[from]);
}

static void
add_number(double *sum, double *lost, double x, bool precise)
{
    if (!precise) {
        *sum += x;
        return;
    }
    struct precise p = {*sum, *lost};
    precise_add(&p, x);
    *sum = p.sum;
    *lost = p.lost;
}

static void
add_to(struct fhist_side *s, uint32_t at, double count)
{
    bool precise = s->lost != NULL;
    add_number(&s->counts[at], precise ? &s->lost[at] : NULL, count, precise);
}

/* Copies a side, if it is precise with lost parts that are 0. */
static bool
begin_side(struct arena *arena, const struct fhist_side *from, uint32_t capacity, bool precise,
           struct fhist_side *to)
{
    *to = (struct fhist_side){.count = from->count, .capacity = capacity};
    to->indexes = arena_alloc(arena, capacity * sizeof *to->indexes);
    to->counts = arena_alloc(arena, capacity * sizeof *to->counts);
    if (precise) to->lost = arena_new(arena, capacity * sizeof *to->lost);
    if (to->indexes == NULL || to->counts == NULL || (precise && to->lost == NULL)) return false;
    if (from->count == 0) return true;
    memcpy(to->indexes, from->indexes, from->count * sizeof *to->indexes);
    memcpy(to->counts, from->counts, from->count * sizeof *to->counts);
    return true;
}

static bool
fhist_sum_make_room(struct arena *arena, struct fhist_side *s, uint32_t wanted)
{
    struct fhist_side grown;
    assert(s->count <= s->capacity); /* invariant 2 */
    if (wanted <= s->capacity) return true;
    if (!begin_side(arena, s, wanted + wanted / 2 + 4, s->lost != NULL, &grown)) return false;
    if (s->lost != NULL && s->count > 0) memcpy(grown.lost, s->lost, s->count * sizeof *s->lost);
    *s = grown;
    return true;
}

static uint32_t
count_missing(const struct fhist_side *to, struct side_reader r)
{
    uint32_t missing = 0, at = 0;
    while (side_next(&r)) {
        while (at < to->count && to->indexes[at] < r.index)
            at++;
        missing += at == to->count || to->indexes[at] != r.index;
    }
    return missing;
}

static enum err
add_side(struct arena *arena, struct fhist_side *to, struct side_reader r, double factor)
{
    if (r.shift == 0 && r.at == 0 && same_buckets(to, r.side)) {
        const double *counts = r.side->counts;
        for (uint32_t i = 0; i < to->count && to->lost == NULL; i++)
            to->counts[i] += factor * counts[i];
        for (uint32_t i = 0; i < to->count && to->lost != NULL; i++)
            add_to(to, i, factor * counts[i]);
        return OK;
    }
    uint32_t missing = count_missing(to, r), old = to->count, at = missing, put = 0;
    if (!fhist_sum_make_room(arena, to, old + missing)) return ERR_NOMEM;
    /* Moves the buckets to the end of the array, from where they are merged. */
    if (missing > 0 && old > 0) {
        memmove(to->indexes + missing, to->indexes, old * sizeof *to->indexes);
        memmove(to->counts + missing, to->counts, old * sizeof *to->counts);
        if (to->lost != NULL) memmove(to->lost + missing, to->lost, old * sizeof *to->lost);
    }
    to->count = old + missing;
    assert(to->count <= to->capacity); /* invariant 2 */
    while (side_next(&r)) {
        while (at < to->count && to->indexes[at] < r.index)
            move_bucket(to, put++, at++);
        if (at < to->count && to->indexes[at] == r.index) {
            move_bucket(to, put, at++);
            add_to(to, put++, factor * r.count);
        } else {
            put_bucket(to, put++, r.index, factor * r.count, 0);
        }
    }
    return OK; /* The remaining buckets are in their places, since none is missing any more. */
}

static void
reduce_side(struct fhist_side *s, unsigned shift)
{
    uint32_t put = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        int64_t index = coarser_index(s->indexes[i], shift);
        double lost = s->lost == NULL ? 0 : s->lost[i];
        if (put > 0 && s->indexes[put - 1] == index) {
            add_to(s, put - 1, s->counts[i]);
            if (s->lost != NULL) s->lost[put - 1] += lost;
        } else {
            put_bucket(s, put++, index, s->counts[i], lost);
        }
    }
    s->count = put;
}

static void
compact_side(struct fhist_side *s)
{
    uint32_t put = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->counts[i] == 0 && (s->lost == NULL || s->lost[i] == 0)) continue;
        move_bucket(s, put++, i);
    }
    s->count = put;
}

void
fhist_compact(struct fhist *h)
{
    compact_side(&h->positive);
    compact_side(&h->negative);
}

/* --- zero buckets ----------------------------------------------------------------------------- */

/*
 * The count of a zero bucket that reaches to *threshold. If that lies in a bucket with
 * observations, it moves to the end of that bucket. It is not less than the threshold of the
 * histogram.
 */
static double
wider_zero_count(const struct fhist *h, double *threshold)
{
    const struct fhist_side *sides[] = {&h->positive, &h->negative};
    double count;
    if (*threshold == h->zero_threshold) return h->zero_count;
again:
    count = h->zero_count;
    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < sides[k]->count; i++) {
            double lower = exponential_bound(h->schema, (int64_t)sides[k]->indexes[i] - 1);
            double upper = exponential_bound(h->schema, sides[k]->indexes[i]);
            if (lower >= *threshold) break;
            count += sides[k]->counts[i];
            if (upper <= *threshold) continue;
            if (sides[k]->counts[i] != 0) {
                *threshold = upper;
                if (k == 1) goto again; /* start again: the threshold has moved */
            }
            break;
        }
    }
    return count;
}

/* Empties the buckets that the zero bucket includes. */
static void
drop_zeroed(struct fhist *h)
{
    struct fhist_side *sides[] = {&h->positive, &h->negative};
    for (int k = 0; k < 2; k++) {
        struct fhist_side *s = sides[k];
        for (uint32_t i = 0; i < s->count; i++) {
            if (exponential_bound(h->schema, (int64_t)s->indexes[i] - 1) >= h->zero_threshold)
                break;
            s->counts[i] = 0;
            if (s->lost != NULL) s->lost[i] = 0;
        }
    }
    fhist_compact(h);
}

/* Widens the zero bucket of `to` to include that of `h`; returns the count that `h` has in it. */
static double
reconcile_zero(struct fhist *to, const struct fhist *h)
{
    double count = h->zero_count, threshold = h->zero_threshold;
    while (threshold != to->zero_threshold) {
        if (to->zero_threshold > threshold) {
            threshold = to->zero_threshold;
            count = wider_zero_count(h, &threshold);
        }
        if (threshold > to->zero_threshold) {
            double wider = threshold;
            to->zero_count = wider_zero_count(to, &wider);
            to->zero_threshold = wider;
            drop_zeroed(to);
        }
    }
    return count;
}

/* --- custom bounds ---------------------------------------------------------------------------- */

static double *
common_bounds(struct arena *arena, const struct fhist *a, const struct fhist *b,
              uint32_t *ret_count)
{
    double *common = arena_alloc(arena, (a->bound_count + 1) * sizeof *common);
    uint32_t count = 0;
    for (uint32_t i = 0, k = 0; common != NULL && i < a->bound_count && k < b->bound_count;) {
        if (a->bounds[i] == b->bounds[k]) {
            common[count++] = a->bounds[i];
            i++;
            k++;
        } else if (a->bounds[i] < b->bounds[k]) {
            i++;
        } else {
            k++;
        }
    }
    *ret_count = count;
    return common;
}

/* The index of a bucket of `h` among other bounds. */
static uint32_t
new_place(const struct fhist *h, int64_t index, const double *bounds, uint32_t count)
{
    uint32_t place = 0;
    if (index >= h->bound_count) return count;
    while (place < count && bounds[place] < h->bounds[index])
        place++;
    return place;
}

/* Adds histograms with different bounds on those that both have, without empty buckets. */
static enum err
add_reconciled(struct arena *arena, struct fhist *to, const struct fhist *h, double factor)
{
    uint32_t count;
    double *bounds = common_bounds(arena, to, h, &count);
    struct precise *sums = arena_new(arena, (count + 1) * sizeof *sums);
    struct fhist_side *side = &to->positive;
    assert(fhist_is_custom(h)); /* like `to` */
    if (bounds == NULL || sums == NULL || !fhist_sum_make_room(arena, side, count + 1))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < side->count; i++) {
        struct precise *sum = &sums[new_place(to, side->indexes[i], bounds, count)];
        precise_add(sum, side->counts[i]);
        if (side->lost != NULL) sum->lost += side->lost[i];
    }
    for (uint32_t i = 0; i < h->positive.count; i++) {
        precise_add(&sums[new_place(h, h->positive.indexes[i], bounds, count)],
                    factor * h->positive.counts[i]);
    }
    side->count = 0;
    for (uint32_t i = 0; i <= count; i++) {
        double value = side->lost == NULL ? precise_value(&sums[i]) : sums[i].sum;
        if (value == 0 && (side->lost == NULL || sums[i].lost == 0)) continue;
        put_bucket(side, side->count++, i, value, sums[i].lost);
    }
    assert(side->count <= side->capacity); /* invariant 2 */
    to->bounds = bounds;
    to->bound_count = count;
    return OK;
}

/* --- sums ------------------------------------------------------------------------------------- */

enum err
fhist_begin(struct arena *arena, const struct fhist *h, bool precise, struct fhist *ret)
{
    *ret = *h;
    ret->zero_lost = ret->count_lost = ret->sum_lost = 0;
    if (!begin_side(arena, &h->positive, h->positive.count + 4, precise, &ret->positive) ||
        !begin_side(arena, &h->negative, h->negative.count + 4, precise, &ret->negative))
        return ERR_NOMEM;
    if (h->bound_count == 0) return OK;
    double *bounds = arena_alloc(arena, h->bound_count * sizeof *bounds);
    if (bounds == NULL) return ERR_NOMEM;
    memcpy(bounds, h->bounds, h->bound_count * sizeof *bounds);
    ret->bounds = bounds;
    return OK;
}

/* The hint of a sum of two that differ: a gauge if one is, else unknown. */
static enum reset_hint
hint_of_both(enum reset_hint a, enum reset_hint b, bool *ret_collided)
{
    *ret_collided = a != RESET_UNKNOWN && b != RESET_UNKNOWN;
    if (a != RESET_GAUGE && b != RESET_GAUGE) return RESET_UNKNOWN;
    *ret_collided = false;
    return RESET_GAUGE;
}

enum err
fhist_add(struct arena *arena, struct fhist *to, const struct fhist *h, double factor,
          struct fhist_outcome *ret_outcome)
{
    bool custom = fhist_is_custom(to), precise = to->positive.lost != NULL;
    assert(precise == (to->negative.lost != NULL)); /* invariant 3 */
    *ret_outcome = (struct fhist_outcome){.incompatible = custom != fhist_is_custom(h)};
    if (ret_outcome->incompatible) return OK;
    if (to->hint != h->hint) to->hint = hint_of_both(to->hint, h->hint, &ret_outcome->collided);
    if (!custom) {
        double zero = reconcile_zero(to, h);
        add_number(&to->zero_count, &to->zero_lost, factor * zero, precise);
    }
    add_number(&to->count, &to->count_lost, factor * h->count, precise);
    add_number(&to->sum, &to->sum_lost, factor * h->sum, precise);
    if (custom && !fhist_same_bounds(to, h)) {
        ret_outcome->reconciled = true;
        return add_reconciled(arena, to, h, factor);
    }
    if (h->schema < to->schema) {
        reduce_side(&to->positive, (unsigned)(to->schema - h->schema));
        reduce_side(&to->negative, (unsigned)(to->schema - h->schema));
        to->schema = h->schema;
    }
    struct side_reader positive = {.side = &h->positive}, negative = {.side = &h->negative};
    positive.shift = negative.shift = (unsigned)(h->schema - to->schema);
    if (!custom) {
        skip_zero(&positive, to->schema, to->zero_threshold);
        skip_zero(&negative, to->schema, to->zero_threshold);
    }
    enum err e = add_side(arena, &to->positive, positive, factor);
    if (e == OK) e = add_side(arena, &to->negative, negative, factor);
#ifdef LOCK_CHECK
    if (e == OK) fhist_validate(to);
#endif
    return e;
}

bool
fhist_overflows(const struct fhist *to, const struct fhist *h)
{
    return isinf(to->count + h->count) || isinf(to->sum + h->sum) ||
           isinf(to->zero_count + h->zero_count);
}

static void
multiply_side(struct fhist_side *s, double factor)
{
    for (uint32_t i = 0; i < s->count; i++) {
        s->counts[i] *= factor;
        if (s->lost != NULL) s->lost[i] *= factor;
    }
}

void
fhist_multiply(struct fhist *h, double factor)
{
    if (!fhist_is_custom(h)) { /* custom buckets have no zero bucket, and 0 * Inf is NaN */
        h->zero_count *= factor;
        h->zero_lost *= factor;
    }
    h->count *= factor;
    h->count_lost *= factor;
    h->sum *= factor;
    h->sum_lost *= factor;
    multiply_side(&h->positive, factor);
    multiply_side(&h->negative, factor);
    if (factor < 0) h->hint = RESET_GAUGE;
}

static void
divide_side(struct fhist_side *s, double divisor)
{
    for (uint32_t i = 0; i < s->count; i++) {
        s->counts[i] /= divisor;
        if (s->lost != NULL) s->lost[i] /= divisor;
    }
}

void
fhist_divide(struct fhist *h, double divisor)
{
    if (!fhist_is_custom(h)) {
        h->zero_count /= divisor;
        h->zero_lost /= divisor;
    }
    h->count /= divisor;
    h->count_lost /= divisor;
    h->sum /= divisor;
    h->sum_lost /= divisor;
    if (divisor == 0) {
        h->positive.count = h->negative.count = 0;
        return;
    }
    divide_side(&h->positive, divisor);
    divide_side(&h->negative, divisor);
    if (divisor < 0) h->hint = RESET_GAUGE;
}

static void
settle_side(struct fhist_side *s)
{
    for (uint32_t i = 0; s->lost != NULL && i < s->count; i++) {
        s->counts[i] += s->lost[i];
        s->lost[i] = 0;
    }
}

void
fhist_settle(struct fhist *h)
{
    h->zero_count += h->zero_lost;
    h->count += h->count_lost;
    h->sum += h->sum_lost;
    h->zero_lost = h->count_lost = h->sum_lost = 0;
    settle_side(&h->positive);
    settle_side(&h->negative);
}

/* --- resets ----------------------------------------------------------------------------------- */

/* True if no bucket is missing or has fewer observations than before; for equal resolutions. */
static bool
only_grew(const struct fhist_side *now, const struct fhist_side *before)
{
    if (same_buckets(now, before)) {
        bool less = false;
        for (uint32_t i = 0; i < now->count; i++)
            less |= now->counts[i] < before->counts[i];
        return !less;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < before->count; i++, at++) {
        while (at < now->count && now->indexes[at] < before->indexes[i])
            at++;
        if (at == now->count || now->indexes[at] != before->indexes[i] ||
            now->counts[at] < before->counts[i])
            return false;
    }
    return true;
}

/* True if a bucket has fewer observations than before. */
static bool
side_was_reset(struct side_reader now, struct side_reader before)
{
    bool more = side_next(&now);
    while (side_next(&before)) {
        while (more && now.index < before.index)
            more = side_next(&now);
        double count = more && now.index == before.index ? now.count : 0;
        bool is_there = more && now.index == before.index;
        if (is_there ? count < before.count : before.count != 0) return true;
    }
    return false;
}

static double
until_bound(const struct fhist *h, uint32_t *at, double limit)
{
    const struct fhist_side *s = &h->positive;
    double sum = 0;
    for (; *at < s->count; (*at)++) {
        double upper =
            s->indexes[*at] < (int64_t)h->bound_count ? h->bounds[s->indexes[*at]] : INFINITY;
        if (upper > limit) break;
        sum += s->counts[*at];
    }
    return sum;
}

/* Compares counts between the custom bounds that both have. */
static bool
custom_was_reset(const struct fhist *h, const struct fhist *before)
{
    uint32_t at = 0, at_before = 0, i = 0, k = 0;
    while (i <= h->bound_count && k <= before->bound_count) {
        double x = i < h->bound_count ? h->bounds[i] : INFINITY;
        double y = k < before->bound_count ? before->bounds[k] : INFINITY;
        if (x == y) {
            if (until_bound(h, &at, x) < until_bound(before, &at_before, x)) return true;
        }
        i += x <= y;
        k += y <= x;
    }
    return false;
}

bool
fhist_was_reset(const struct fhist *h, const struct fhist *before)
{
    if (h->hint == RESET_NO) return false;
    if (h->count < before->count) return true;
    if (fhist_is_custom(h)) {
        if (!fhist_is_custom(before)) return true;
        if (!fhist_same_bounds(h, before)) return custom_was_reset(h, before);
    }
    if (h->schema > before->schema || h->zero_threshold < before->zero_threshold) return true;
    if (fhist_is_custom(before) != fhist_is_custom(h)) return true;
    double threshold = h->zero_threshold, zero = wider_zero_count(before, &threshold);
    if (threshold != h->zero_threshold || h->zero_count < zero) return true;
    unsigned shift = (unsigned)(before->schema - h->schema);
    struct side_reader now[] = {{.side = &h->positive}, {.side = &h->negative}};
    struct side_reader then[] = {{.side = &before->positive, .shift = shift},
                                 {.side = &before->negative, .shift = shift}};
    for (int k = 0; k < 2; k++) {
        if (shift == 0 && only_grew(now[k].side, then[k].side)) continue;
        if (!fhist_is_custom(h)) {
            skip_zero(&now[k], h->schema, h->zero_threshold);
            skip_zero(&then[k], h->schema, h->zero_threshold);
        }
        if (side_was_reset(now[k], then[k])) return true;
    }
    return false;
}

void
fhist_hint(struct fhist *h, const struct fhist *before)
{
    /* A chunk of Prometheus has histograms of one layout; nothing is known of resets before its
     * first. */
    if (h->hint != RESET_UNKNOWN || before == NULL ||
        !(before->hint != RESET_GAUGE && h->schema == before->schema &&
          h->zero_threshold == before->zero_threshold && fhist_same_bounds(h, before)))
        return;
    if (!fhist_was_reset(h, before)) h->hint = RESET_NO;
}

void
fhist_hint_reset(struct fhist *h, const struct fhist *before)
{
    if (h->hint != RESET_UNKNOWN || before == NULL) return;
    h->hint = fhist_was_reset(h, before) ? RESET_YES : RESET_NO;
}
