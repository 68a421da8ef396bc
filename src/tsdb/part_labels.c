/*
 * part_labels.c - the labels of a part: names, values, postings, and the series that pass matchers.
 */
#include "tsdb/part_private.h"

/* --- names and label values ------------------------------------------------------------------- */

static enum err
read_names(struct part_index *index, struct cursor *c, struct arena *arena)
{
    uint64_t count = cursor_varint(c);
    if (c->bad || count > cursor_left(c) / 2) return ERR_CORRUPT;
    index->names = arena_alloc(arena, (count + 1) * sizeof *index->names);
    if (index->names == NULL) return ERR_NOMEM;
    uint64_t pair = index->tenant->first_pair, end = pair + index->tenant->pair_count;
    for (uint64_t i = 0; i < count; i++) {
        struct bytes name = cursor_counted(c);
        uint64_t pairs = cursor_varint(c);
        if (c->bad || pairs == 0 || pairs > end - pair) return ERR_CORRUPT;
        struct part_name *n = &index->names[i];
        *n = (struct part_name){arena_copy(arena, name), (uint32_t)pair, (uint32_t)pairs};
        if (n->name.at == NULL) return ERR_NOMEM;
        if (i > 0 && bytes_compare(n[-1].name, n->name) >= 0) return ERR_CORRUPT;
        pair += pairs;
    }
    index->name_count = (uint32_t)count;
    return pair == end ? OK : ERR_CORRUPT;
}

enum err
part_index_load(struct part *part, const struct part_tenant *tenant, struct arena *arena,
                struct part_index *ret_index, struct why *why)
{
    const struct page *page;
    struct part_index index = {.part = part, .tenant = tenant};
    enum err e = page_get(&part->source, tenant->names_page, PAGE_NAMES, &page, why);
    if (e) return e;
    struct cursor c = {page->at, page->at + page->size, false};
    (void)cursor_bytes(&c, tenant->names_at);
    e = read_names(&index, &c, arena);
    page_release(&part->source, page);
    if (e == ERR_CORRUPT) return part_damaged(part, tenant->names_page, "label names", why);
    if (e == ERR_NOMEM) why_set(why, e, "no memory for the label names of a part");
    if (e == OK) *ret_index = index;
    return e;
}

const struct part_name *
part_find_name(const struct part_index *index, struct bytes name)
{
    uint32_t low = 0, high = index->name_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = bytes_compare(index->names[middle].name, name);
        if (order == 0) return &index->names[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct part_name *
part_name_of_pair(const struct part_index *index, uint32_t pair)
{
    uint32_t low = 0, high = index->name_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct part_name *n = &index->names[middle];
        if (pair < n->first_pair)
            high = middle;
        else if (pair - n->first_pair >= n->pair_count)
            low = middle + 1;
        else
            return n;
    }
    return NULL;
}

void
value_walk_init(struct value_walk *w, struct part *part, struct budget *budget)
{
    *w = (struct value_walk){.part = part};
    buf_init(&w->value, budget, PAGE_BYTES_MAX);
}

void
value_walk_fini(struct value_walk *w)
{
    page_release(&w->part->source, w->page);
    buf_fini(&w->value);
}

static enum err
value_step(struct value_walk *w, struct why *why)
{
    uint64_t shared = cursor_varint(&w->c);
    struct bytes rest = cursor_counted(&w->c);
    if (w->c.bad || shared > w->value.size)
        return part_damaged(w->part, w->offset, "label values", why);
    w->value.size = shared;
    buf_put_bytes(&w->value, rest);
    w->next_pair++;
    if (buf_error(&w->value)) return why_set(why, buf_error(&w->value), "no memory for a label");
    return OK;
}

/* Takes the page with a pair, and looks at its end, where restarts are. */
static enum err
value_page(struct value_walk *w, uint32_t pair, struct why *why)
{
    struct part *p = w->part;
    if (w->page == NULL || pair < w->page_first || pair >= w->page_end) {
        page_release(&p->source, w->page);
        w->page = NULL;
        enum err e =
            part_directory_find(p, &p->values, pair, &w->offset, &w->page_first, &w->page_end, why);
        if (e == OK) e = page_get(&p->source, w->offset, PAGE_LABEL_VALUES, &w->page, why);
        if (e) return e;
        w->next_pair = UINT32_MAX; /* it stands nowhere in it yet */
    }
    uint32_t size = w->page->size;
    uint32_t restarts = size < 4 ? UINT32_MAX : load_le32(w->page->at + size - 4);
    if (restarts > (size - 4) / 4) return part_damaged(p, w->offset, "label values", why);
    w->restart_count = restarts;
    w->items_end = size - 4 - 4 * restarts;
    return OK;
}

/* Stands before the value of restart number `restart`. */
static enum err
value_restart(struct value_walk *w, uint32_t restart, struct why *why)
{
    if (restart >= w->restart_count) return part_damaged(w->part, w->offset, "label values", why);
    uint32_t at = load_le32(w->page->at + w->items_end + 4 * restart);
    if (at > w->items_end) return part_damaged(w->part, w->offset, "label values", why);
    w->c = (struct cursor){w->page->at + at, w->page->at + w->items_end, false};
    w->next_pair = w->page_first + restart * LABEL_RESTART;
    buf_clear(&w->value);
    return OK;
}

/* Stands before `pair`, having entered its page at the restart before it. */
static enum err
value_enter(struct value_walk *w, uint32_t pair, struct why *why)
{
    enum err e = value_page(w, pair, why);
    if (e == OK) e = value_restart(w, (pair - w->page_first) / LABEL_RESTART, why);
    while (e == OK && w->next_pair < pair) {
        e = value_step(w, why);
    }
    return e;
}

static void
value_forget(struct value_walk *w)
{
    page_release(&w->part->source, w->page);
    w->page = NULL;
}

enum err
value_walk_get(struct value_walk *w, uint32_t pair, struct why *why)
{
    enum err e = OK;
    if (w->page == NULL || pair != w->next_pair || pair >= w->page_end) {
        e = value_enter(w, pair, why);
    }
    if (e == OK) e = value_step(w, why);
    if (e) value_forget(w); /* nothing is known of the next value */
    return e;
}

enum err
value_walk_near(struct value_walk *w, uint32_t *pair, uint32_t end, struct bytes value,
                struct why *why)
{
    enum err e = value_page(w, *pair, why);
    if (e == OK && end > w->page_end) end = w->page_end;
    /* Restarts of the name behind *pair, in this page. */
    uint32_t low = e ? 0 : (*pair - w->page_first) / LABEL_RESTART + 1;
    uint32_t high = e ? 0 : (end - 1 - w->page_first) / LABEL_RESTART + 1;
    while (e == OK && low < high) {
        uint32_t middle = low + (high - low) / 2;
        e = value_restart(w, middle, why);
        if (e == OK) e = value_step(w, why);
        if (e) break;
        if (bytes_compare(buf_bytes(&w->value), value) <= 0) {
            *pair = w->page_first + middle * LABEL_RESTART;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (e) value_forget(w);
    return e;
}

/* --- postings --------------------------------------------------------------------------------- */

struct postings_walk {
    struct part *part;
    const struct part_tenant *tenant;
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t next_pair;
    uint32_t page_end;
};

/* Series, at first within the tenant, as they are added to a set. */
struct adding {
    const struct part_tenant *tenant;
    roaring_bitmap_t *into;
    uint32_t waiting;
    uint32_t batch[256];
};

static inline void
add_flush(struct adding *a)
{
    if (a->waiting > 0) roaring_bitmap_add_many(a->into, a->waiting, a->batch);
    a->waiting = 0;
}

static inline void
add_series(struct adding *a, uint64_t number)
{
    a->batch[a->waiting++] = a->tenant->first_series + (uint32_t)number;
    if (a->waiting == sizeof a->batch / sizeof a->batch[0]) add_flush(a);
}

static void
read_differences(struct cursor *c, struct adding *a)
{
    uint64_t number = 0;
    while (c->at != c->end) {
        uint64_t step = cursor_varint(c);
        if (step >= a->tenant->series_count - number) {
            cursor_fail(c);
            return;
        }
        number += step;
        add_series(a, number);
    }
}

static void
read_runs(struct cursor *c, struct adding *a)
{
    uint64_t next = 0, all = a->tenant->series_count, base = a->tenant->first_series;
    while (c->at != c->end) {
        uint64_t gap = cursor_varint(c), more = cursor_varint(c);
        if (c->bad || gap >= all - next || more >= all - next - gap) {
            cursor_fail(c);
            return;
        }
        next += gap;
        if (more < 4) {
            for (uint64_t i = 0; i <= more; i++) {
                add_series(a, next + i);
            }
        } else {
            roaring_bitmap_add_range_closed(a->into, (uint32_t)(base + next),
                                            (uint32_t)(base + next + more));
        }
        next += more + 1;
    }
}

/* The next list: read, or skipped if `into` is NULL. */
static enum err
postings_list(struct postings_walk *w, roaring_bitmap_t *into, struct why *why)
{
    struct adding adding;
    uint64_t first = cursor_varint(&w->c);
    struct cursor list = cursor_of(cursor_bytes(&w->c, first >> 1));
    if (into != NULL) {
        adding.tenant = w->tenant;
        adding.into = into;
        adding.waiting = 0;
        if (first & 1)
            read_runs(&list, &adding);
        else
            read_differences(&list, &adding);
        add_flush(&adding);
    }
    w->next_pair++;
    return w->c.bad || list.bad ? part_damaged(w->part, w->offset, "postings", why) : OK;
}

static enum err
postings_enter(struct postings_walk *w, uint32_t pair, struct why *why)
{
    struct part *p = w->part;
    page_release(&p->source, w->page);
    w->page = NULL;
    enum err e =
        part_directory_find(p, &p->postings, pair, &w->offset, &w->next_pair, &w->page_end, why);
    if (e == OK) e = page_get(&p->source, w->offset, PAGE_POSTINGS, &w->page, why);
    if (e) return e;
    w->c = (struct cursor){w->page->at, w->page->at + w->page->size, false};
    return OK;
}

static enum err
postings_add(struct postings_walk *w, uint32_t pair, roaring_bitmap_t *into, struct why *why)
{
    enum err e = OK;
    if (w->page == NULL || pair < w->next_pair || pair >= w->page_end) {
        e = postings_enter(w, pair, why);
    }
    while (e == OK && w->next_pair < pair) {
        e = postings_list(w, NULL, why);
    }
    return e ? e : postings_list(w, into, why);
}

/* --- matching --------------------------------------------------------------------------------- */

enum { VALUES_PER_CHECK = 1024 }; /* of the deadline */

struct match {
    const struct part_index *index;
    struct value_walk values;
    struct postings_walk postings;
};

/*
 * The first pair of a name whose value is not before `value`; *ret_equal: it is that value. Keys of
 * the directory lead to the page, restarts to within a few values.
 */
static enum err
find_value(struct match *m, const struct part_name *name, struct bytes value, uint32_t *ret_pair,
           bool *ret_equal, struct why *why)
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

static bool
begins_with(struct bytes text, struct bytes prefix)
{
    return text.size >= prefix.size && bytes_equal(bytes_of(text.at, prefix.size), prefix);
}

/* Adds the series of all values of `name`, among those with `prefix`, for which matching gives
 * `want`. */
static enum err
collect_scan(struct match *m, const struct part_name *name, const struct matcher *matcher,
             struct bytes prefix, bool want, roaring_bitmap_t *into, struct why *why)
{
    uint32_t pair = name->first_pair, end = name->first_pair + name->pair_count;
    bool equal;
    enum err e = prefix.size == 0 ? OK : find_value(m, name, prefix, &pair, &equal, why);
    for (; e == OK && pair < end; pair++) {
        e = value_walk_get(&m->values, pair, why);
        if (e) break;
        struct bytes value = buf_bytes(&m->values.value);
        if (!begins_with(value, prefix)) break;
        if (matcher_matches(matcher, value) == want) {
            e = postings_add(&m->postings, pair, into, why);
        }
        if (e == OK && pair % VALUES_PER_CHECK == 0 && m->index->control != NULL) {
            e = query_control_check(m->index->control, why);
        }
    }
    return e;
}

/* The same by look-ups, where the matcher's set of values is known. */
static enum err
collect_literals(struct match *m, const struct part_name *name, const struct bytes *values,
                 uint32_t count, roaring_bitmap_t *into, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pair;
        bool equal;
        enum err e = find_value(m, name, values[i], &pair, &equal, why);
        if (e == OK && equal) e = postings_add(&m->postings, pair, into, why);
        if (e) return e;
    }
    return OK;
}

/*
 * A matcher that passes the empty string excludes the series with a value it does not pass; any
 * other selects the series with a value it passes. Known values and prefixes are those of the
 * positive form: what a positive matcher selects, and a negative one excludes.
 */
static bool
uses_positive_form(const struct matcher *matcher)
{
    enum matcher_type type = matcher_type(matcher);
    bool negative = type == MATCH_NOT_EQUAL || type == MATCH_NOT_REGEX;
    return negative == matcher_matches_empty(matcher);
}

/* By a few look-ups, without running over all values. */
static bool
is_cheap(const struct match *m, const struct matcher *matcher)
{
    const struct bytes *values;
    return part_find_name(m->index, matcher_name(matcher)) == NULL ||
           (uses_positive_form(matcher) && matcher_literals(matcher, &values) > 0);
}

static enum err
match_one(struct match *m, const struct matcher *matcher, roaring_bitmap_t *result, struct why *why)
{
    const struct part_name *name = part_find_name(m->index, matcher_name(matcher));
    bool excludes = matcher_matches_empty(matcher), positive = uses_positive_form(matcher);
    roaring_bitmap_t *set = roaring_bitmap_create();
    if (set == NULL) return why_set(why, ERR_NOMEM, "no memory to match series");
    enum err e = OK;
    if (name != NULL) {
        const struct bytes *values;
        uint32_t count = matcher_literals(matcher, &values);
        struct bytes prefix = positive ? matcher_prefix(matcher) : (struct bytes){NULL, 0};
        e = positive && count > 0 ? collect_literals(m, name, values, count, set, why)
                                  : collect_scan(m, name, matcher, prefix, !excludes, set, why);
    }
    if (e == OK && excludes) roaring_bitmap_andnot_inplace(result, set);
    if (e == OK && !excludes) roaring_bitmap_and_inplace(result, set);
    roaring_bitmap_free(set);
    return e;
}

enum err
part_match(const struct part_index *index, struct matcher *const *matchers, uint32_t matcher_count,
           roaring_bitmap_t **ret_series, struct why *why)
{
    struct match m = {.index = index};
    value_walk_init(&m.values, index->part, index->part->budget);
    m.postings = (struct postings_walk){.part = index->part, .tenant = index->tenant};
    uint64_t first = index->tenant->first_series;
    roaring_bitmap_t *result =
        index->tenant->series_count == 0
            ? roaring_bitmap_create()
            : roaring_bitmap_from_range(first, first + index->tenant->series_count, 1);
    enum err e = result == NULL ? why_set(why, ERR_NOMEM, "no memory to match series") : OK;
    for (uint32_t i = 0; i < 2 * matcher_count && e == OK; i++) {
        const struct matcher *matcher = matchers[i % matcher_count];
        if (is_cheap(&m, matcher) != (i < matcher_count)) continue;
        e = match_one(&m, matcher, result, why);
        if (e == OK && roaring_bitmap_is_empty(result)) break;
    }
    value_walk_fini(&m.values);
    page_release(&index->part->source, m.postings.page);
    if (e) {
        if (result != NULL) roaring_bitmap_free(result);
        return e;
    }
    *ret_series = result;
    return OK;
}
