/*
 * match.c - selects the series of a part that pass matchers. Each matcher removes series from those
 * that the matchers before have left, the cheap ones first:
 *
 *     literals, alternations    look-ups of values, and their lists
 *     prefixes                  the values that have the prefix, and their lists
 *     others                    all values of the label; or, if few series are left, their values
 */
#include "tsdb/part/walk.h"

#include <assert.h>
#include <roaring/roaring.h>

/* --- postings --------------------------------------------------------------------------------- */

/*
 * Gathers the series of one pair, or of many, as a set, within the window of series
 * that other matchers have left. Long lists come in segments, so that those outside of the window
 * are skipped.
 *
 * One list, and a few, go straight into a compressed bitmap. Many lists of a few series each touch
 * it all over, which costs more than reading them: once enough series have come to be worth
 * clearing plain bits for the window, series go there.
 *
 * Invariants: numbers that are added are within the window. The set is the union of `set`, `bits`
 * and `batch`.
 */

enum {
    LISTS_FEW = 4,
    BITS_WORTH = 256, /* clearing as many bits costs as much as adding a series to the bitmap */
};

void
postings_begin(struct postings_walk *w, const struct part_index *index, uint32_t from, uint32_t to)
{
    *w = (struct postings_walk){
        .part = index->part,
        .tenant = index->tenant,
        .from = from - index->tenant->first_series,
        .to = to - index->tenant->first_series,
        .list_max = UINT32_MAX,
        .set = roaring_bitmap_create(),
    };
}

static size_t
bits_bytes(const struct postings_walk *w)
{
    return ((size_t)(w->to - w->from) / 64 + 1) * sizeof(uint64_t);
}

void
postings_end(struct postings_walk *w)
{
    page_release(&w->part->source, w->page);
    if (w->set != NULL) roaring_bitmap_free(w->set);
    if (w->bits != NULL) mem_free(w->part->budget, w->bits, bits_bytes(w));
}

/* --- the set ---------------------------------------------------------------------------------- */

static inline void
batch_out(struct postings_walk *w)
{
    if (w->batch_count > 0) roaring_bitmap_add_many(w->set, w->batch_count, w->batch);
    w->batch_count = 0;
}

/* Within the window. */
static inline void
add_one(struct postings_walk *w, uint32_t number)
{
    w->added_count++;
    if (w->bits != NULL) {
        uint32_t at = number - w->from;
        w->bits[at / 64] |= UINT64_C(1) << at % 64;
        return;
    }
    w->batch[w->batch_count++] = w->tenant->first_series + number;
    if (w->batch_count == sizeof w->batch / sizeof w->batch[0]) batch_out(w);
}

/* Within the window; runs stay runs. */
static void
add_run(struct postings_walk *w, uint32_t first, uint32_t last)
{
    enum { RUN_SHORT = 8 };
    assert(first <= last);
    assert(last <= w->to);
    if (last - first < RUN_SHORT) {
        for (uint32_t i = first; i <= last; i++)
            add_one(w, i);
        return;
    }
    batch_out(w);
    uint32_t base = w->tenant->first_series;
    roaring_bitmap_add_range_closed(w->set, base + first, base + last);
}

roaring_bitmap_t *
postings_set(struct postings_walk *w)
{
    if (w->bits != NULL) {
        /* The bits follow in order: full words as runs. */
        size_t words = bits_bytes(w) / sizeof *w->bits;
        uint64_t *bits = w->bits;
        w->bits = NULL; /* later series go into the bitmap */
        for (size_t i = 0; i < words; i++) {
            uint32_t first = w->from + (uint32_t)i * 64;
            if (bits[i] == UINT64_MAX) {
                size_t end = i;
                while (end + 1 < words && bits[end + 1] == UINT64_MAX)
                    end++;
                add_run(w, first, w->from + (uint32_t)end * 64 + 63);
                i = end;
                continue;
            }
            for (uint64_t left = bits[i]; left != 0; left &= left - 1)
                add_one(w, first + (uint32_t)__builtin_ctzll(left));
        }
        mem_free(w->part->budget, bits, words * sizeof *bits);
    }
    batch_out(w);
    return w->set;
}

/* --- lists ------------------------------------------------------------------------------------ */

/* True if the number of the current list is wanted. */
static bool
postings_is_wanted(struct postings_walk *w, uint32_t number)
{
    if (w->among != NULL && !roaring_bitmap_contains(w->among, w->tenant->first_series + number))
        return false;
    w->list_ended = w->list_left == 0;
    w->list_left -= !w->list_ended;
    return !w->list_ended;
}

static void
read_differences(struct postings_walk *w, struct cursor *c, uint64_t number)
{
    uint64_t all = w->tenant->series_count;
    while (c->at != c->end && !w->list_ended) {
        uint64_t step = cursor_varint(c);
        if (c->bad || step >= all - number) {
            cursor_fail(c);
            return;
        }
        number += step;
        if (number > w->to) return;
        if (number >= w->from && postings_is_wanted(w, (uint32_t)number))
            add_one(w, (uint32_t)number);
    }
}

static void
read_runs(struct postings_walk *w, struct cursor *c, uint64_t next)
{
    uint64_t all = w->tenant->series_count;
    while (c->at != c->end && !w->list_ended) {
        uint64_t gap = cursor_varint(c), more = cursor_varint(c);
        if (c->bad || gap >= all - next || more >= all - next - gap) {
            cursor_fail(c);
            return;
        }
        uint64_t first = next + gap, last = first + more;
        next = last + 1;
        if (first > w->to) return;
        if (last < w->from) continue;
        if (first < w->from) first = w->from;
        if (last > w->to) last = w->to;
        bool all_wanted = w->among == NULL && w->list_max == UINT32_MAX;
        if (all_wanted) add_run(w, (uint32_t)first, (uint32_t)last);
        for (uint64_t i = first; i <= last && !all_wanted && !w->list_ended; i++)
            if (postings_is_wanted(w, (uint32_t)i)) add_one(w, (uint32_t)i);
    }
}

static void
read_segment(struct postings_walk *w, struct cursor *c, enum list_form form, uint64_t first)
{
    if (form == LIST_RUNS)
        read_runs(w, c, first);
    else
        read_differences(w, c, first);
}

/* A segment ends before the next one begins, so the next one decides whether it is read. */
static void
read_segments(struct postings_walk *w, struct cursor *c, enum list_form form)
{
    struct cursor before = {NULL, NULL, false};
    uint64_t first = 0, before_first = 0;
    while (c->at != c->end && first <= w->to && !w->list_ended) {
        uint64_t step = cursor_varint(c);
        struct bytes bytes = cursor_counted(c);
        if (c->bad || step >= w->tenant->series_count - first) {
            cursor_fail(c);
            return;
        }
        first += step;
        if (first > w->from) read_segment(w, &before, form, before_first);
        if (before.bad) cursor_fail(c);
        before = cursor_of(bytes);
        before_first = first;
    }
    if (before_first <= w->to && !w->list_ended) read_segment(w, &before, form, before_first);
    if (before.bad) cursor_fail(c);
}

/* Reads or skips the next list. */
static enum err
next_list(struct postings_walk *w, bool wanted, struct why *why)
{
    uint64_t head = cursor_varint(&w->c);
    struct cursor list = cursor_of(cursor_bytes(&w->c, head >> LIST_SIZE_SHIFT));
    if (wanted) {
        uint32_t worth = (w->to - w->from) / BITS_WORTH;
        if (w->bits == NULL && w->list_count > LISTS_FEW && w->added_count >= worth) {
            batch_out(w);
            w->bits = mem_new(w->part->budget, bits_bytes(w));
            if (w->bits == NULL)
                return why_set(why, ERR_NOMEM, "not enough memory to match series");
        }
        enum list_form form = (head & 1) != 0 ? LIST_RUNS : LIST_DIFFERENCES;
        w->list_count++;
        w->list_left = w->list_max;
        w->list_ended = false;
        if (head & LIST_SEGMENTS)
            read_segments(w, &list, form);
        else
            read_segment(w, &list, form, 0);
        w->cut |= w->list_ended;
    }
    w->next_pair++;
    return w->c.bad || list.bad ? part_damaged(w->part, w->offset, "postings", why) : OK;
}

enum err
postings_add(struct postings_walk *w, uint32_t pair, struct why *why)
{
    enum err e = OK;
    if (w->page == NULL || pair < w->next_pair || pair >= w->page_end) {
        struct part *p = w->part;
        page_release(&p->source, w->page);
        w->page = NULL;
        e = part_directory_find(p, &p->postings, pair, &w->offset, &w->next_pair, &w->page_end,
                                why);
        if (e == OK) e = page_get(&p->source, w->offset, PAGE_POSTINGS, &w->page, why);
        if (e == OK) w->c = (struct cursor){w->page->at, w->page->at + w->page->size, false};
    }
    while (e == OK && w->next_pair < pair)
        e = next_list(w, false, why);
    return e ? e : next_list(w, true, why);
}

/* --- matching --------------------------------------------------------------------------------- */

enum {
    VALUES_PER_CHECK = 1024, /* values between two checks of the deadline */
    LOOK_UPS_PER_CHECK = 64,
    NS_PER_CHECK = 2 * 1000 * 1000, /* the longest matching between two checks */
};

struct part_matching {
    const struct part_index *index;
    struct value_walk values;
    struct postings_walk postings; /* walk of the current matcher */
};

/*
 * Finds the first pair of a name whose value is not before `value`; *ret_equal if it is `value`.
 * Keys of the directory lead to the page, restarts to within a few values.
 */
static enum err
find_value(struct part_matching *m, const struct part_name *name, struct bytes value,
           uint32_t *ret_pair, bool *ret_equal, struct why *why)
{
    uint32_t pair, end = name->first_pair + name->pair_count;
    struct part *p = m->index->part;
    enum err e = part_directory_search(p, &p->values, name->first_pair, end, value, &pair, why);
    if (e == OK) e = value_walk_near(&m->values, &pair, end, value, why);
    int order = -1;
    while (e == OK && pair < end && order < 0) {
        e = value_walk_get(&m->values, pair, why);
        if (e) break;
        order = bytes_compare(buf_bytes(&m->values.value), value);
        pair += order < 0;
        if (order < 0 && pair == m->values.page_end) break; /* the next page begins above it */
    }
    *ret_pair = pair;
    *ret_equal = order == 0;
    return e;
}

/* Adds the series of all values of `name`, among those with `prefix`, for which matching gives
 * `want`. */
static enum err
collect_scan(struct part_matching *m, const struct part_name *name, const struct matcher *matcher,
             struct bytes prefix, bool want, struct why *why)
{
    uint32_t pair = name->first_pair, end = name->first_pair + name->pair_count;
    bool equal;
    uint64_t work = 0;
    enum err e = prefix.size == 0 ? OK : find_value(m, name, prefix, &pair, &equal, why);
    for (; e == OK && pair < end; pair++) {
        e = value_walk_get(&m->values, pair, why);
        if (e) break;
        struct bytes value = buf_bytes(&m->values.value);
        if (value.size < prefix.size || !bytes_equal(bytes_of(value.at, prefix.size), prefix))
            break;
        if (matcher_matches(matcher, value) == want) e = postings_add(&m->postings, pair, why);
        work += matcher_work(matcher, value);
        if (e == OK && (pair % VALUES_PER_CHECK == 0 || work >= NS_PER_CHECK)) {
            e = query_control_check(m->index->control, why);
            work = 0;
        }
    }
    return e;
}

/* collect_scan() by look-ups, for a matcher whose set of values is known. */
static enum err
collect_literals(struct part_matching *m, const struct part_name *name, const struct bytes *values,
                 uint32_t count, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pair;
        bool equal;
        enum err e = find_value(m, name, values[i], &pair, &equal, why);
        if (e == OK && equal) e = postings_add(&m->postings, pair, why);
        if (e == OK && i % LOOK_UPS_PER_CHECK == 0) e = query_control_check(m->index->control, why);
        if (e) return e;
    }
    return OK;
}

/*
 * A matcher that passes the empty string excludes the series with a value it does not pass; any
 * other selects the series with a value it passes. Known values and prefixes are those of the
 * positive form: texts that a positive matcher selects and a negative one excludes.
 */
static bool
uses_positive_form(const struct matcher *matcher)
{
    enum matcher_type type = matcher_type(matcher);
    bool negative = type == MATCH_NOT_EQUAL || type == MATCH_NOT_REGEX;
    return negative == matcher_matches_empty(matcher);
}

/* True if a few look-ups suffice, without a scan of all values. */
static bool
is_cheap(const struct part_matching *m, const struct matcher *matcher)
{
    const struct bytes *values;
    return part_find_name(m->index, matcher_name(matcher)) == NULL ||
           (uses_positive_form(matcher) && matcher_literals(matcher, &values) > 0);
}

/* --- remaining series, one by one ------------------------------------------------------------- */

/*
 * Reading the series that are left costs some rows of each stretch they are in; scanning values
 * costs the text and the list of each. Costs are in hundredths of microseconds, as measured.
 */
static bool
rows_are_cheaper(const struct part_name *name, const roaring_bitmap_t *result)
{
    enum { STRETCH_COST = 40, ROW_COST = 9, VALUE_COST = 10 };
    uint64_t count = roaring_bitmap_get_cardinality(result);
    uint64_t span = (uint64_t)roaring_bitmap_maximum(result) - roaring_bitmap_minimum(result);
    uint64_t stretches = span / STRETCH_ROWS + 1;
    if (stretches > count) stretches = count;
    uint64_t scan = (uint64_t)name->pair_count * VALUE_COST;
    return stretches * STRETCH_COST + count * ROW_COST < scan;
}

/* True if the series that was read last passes. */
static enum err
row_passes(struct part_matching *m, const struct part_name *name, const struct matcher *matcher,
           const struct row_reader *rows, bool *ret_passes, struct why *why)
{
    const uint32_t *pairs;
    uint32_t count, i = 0;
    row_pairs(rows, &pairs, &count);
    while (i < count && pairs[i] < name->first_pair)
        i++;
    if (i == count || pairs[i] - name->first_pair >= name->pair_count) {
        *ret_passes = matcher_matches_empty(matcher);
        return OK;
    }
    enum err e = value_walk_get(&m->values, pairs[i], why);
    if (e == OK) *ret_passes = matcher_matches(matcher, buf_bytes(&m->values.value));
    return e;
}

static enum err
match_by_rows(struct part_matching *m, const struct part_name *name, const struct matcher *matcher,
              roaring_bitmap_t *result, struct why *why)
{
    struct row_reader *rows;
    roaring_bitmap_t *kept = roaring_bitmap_create();
    enum err e = kept == NULL ? ERR_NOMEM : row_reader_new(m->index, m->index->part->budget, &rows);
    if (e) {
        if (kept != NULL) roaring_bitmap_free(kept);
        return why_set(why, e, "not enough memory to match series");
    }
    roaring_uint32_iterator_t left;
    roaring_init_iterator(result, &left);
    for (uint32_t n = 1; left.has_value && e == OK; n++) {
        uint32_t series = left.current_value;
        bool passes = false;
        e = row_seek(rows, series, why);
        if (e == OK) e = row_passes(m, name, matcher, rows, &passes, why);
        if (e == OK && passes) roaring_bitmap_add(kept, series);
        if (e == OK && n % VALUES_PER_CHECK == 0) e = query_control_check(m->index->control, why);
        roaring_advance_uint32_iterator(&left);
    }
    if (e == OK) roaring_bitmap_and_inplace(result, kept);
    roaring_bitmap_free(kept);
    row_reader_free(rows);
    return e;
}

static enum err
match_one(struct part_matching *m, const struct matcher *matcher, roaring_bitmap_t *result,
          struct why *why)
{
    const struct part_name *name = part_find_name(m->index, matcher_name(matcher));
    if (name != NULL && !is_cheap(m, matcher) && rows_are_cheaper(name, result))
        return match_by_rows(m, name, matcher, result, why);
    bool excludes = matcher_matches_empty(matcher), positive = uses_positive_form(matcher);
    postings_begin(&m->postings, m->index, roaring_bitmap_minimum(result),
                   roaring_bitmap_maximum(result));
    enum err e =
        m->postings.set == NULL ? why_set(why, ERR_NOMEM, "not enough memory to match series") : OK;
    if (e == OK && name != NULL) {
        const struct bytes *values;
        uint32_t count = matcher_literals(matcher, &values);
        struct bytes prefix = positive ? matcher_prefix(matcher) : (struct bytes){NULL, 0};
        e = positive && count > 0 ? collect_literals(m, name, values, count, why)
                                  : collect_scan(m, name, matcher, prefix, !excludes, why);
    }
    if (e == OK && excludes) roaring_bitmap_andnot_inplace(result, postings_set(&m->postings));
    if (e == OK && !excludes) roaring_bitmap_and_inplace(result, postings_set(&m->postings));
    postings_end(&m->postings);
    return e;
}

enum err
part_match(const struct part_index *index, struct matcher *const *matchers, uint32_t matcher_count,
           roaring_bitmap_t **ret_series, struct why *why)
{
    struct part_matching m = {.index = index};
    uint64_t first = index->tenant->first_series;
    roaring_bitmap_t *result =
        index->tenant->series_count == 0
            ? roaring_bitmap_create()
            : roaring_bitmap_from_range(first, first + index->tenant->series_count, 1);
    if (result == NULL) return why_set(why, ERR_NOMEM, "not enough memory to match series");
    value_walk_init(&m.values, index->part, index->part->budget);
    enum err e = OK;
    for (uint32_t i = 0; i < 2 * matcher_count && e == OK; i++) {
        const struct matcher *matcher = matchers[i % matcher_count];
        if (roaring_bitmap_is_empty(result)) break;
        if (is_cheap(&m, matcher) == (i < matcher_count)) e = match_one(&m, matcher, result, why);
    }
    value_walk_fini(&m.values);
    if (e) {
        roaring_bitmap_free(result);
        return e;
    }
    *ret_series = result;
    return OK;
}
