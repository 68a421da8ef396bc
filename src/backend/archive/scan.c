/*
 * scan.c - see scan.h.
 *
 *     listing -> objects -> spans -> ranges, AHEAD_MAX of them open -> text -> lines -> series
 *
 * A pass reads all objects once. If the result is larger than GATHER_BYTES, a pass gives its first
 * series, and the next pass the series after them: memory is bounded for every question, and a
 * question about few series needs one pass.
 *
 * If the cache knows an object, only its parts with samples of the time are read, or nothing, if
 * none of its series can match. An object that is read whole is indexed for the cache.
 *
 * Labels are judged once for each text of them (lines.c); the result is in `interned`.
 */
#include "backend/archive/scan.h"

#include "backend/common/pack.h"
#include "backend/fetch/fetch_reader.h"
#include "base/array.h"
#include "base/table.h"
#include "base/text/texts.h"

enum {
    AHEAD_MAX = 8,
    GATHER_BYTES = 40 << 20,
    SCAN_LABEL_BYTES_MAX = 1 << 20,
    SCAN_NAMES_BYTES_MAX = 64 << 20,
};

/* Labels of lines, by their number in lines.c. */
struct interned_labels {
    uint32_t series;   /* number in the gathering; GATHERING_NONE if not needed */
    uint32_t seen;     /* the last object that has these labels */
    uint32_t pairs_at; /* position of the labels in `pair_ids` */
    uint32_t pair_count;
};

/* A label, while objects are described. */
struct interned_pair {
    uint64_t pair;
    uint32_t seen;    /* the last object that has the label */
    uint32_t name_at; /* position of a metric name in `metric_names`, otherwise NO_NAME */
};
#define NO_NAME UINT32_MAX

/* A range of an object that is requested. */
struct scan_ahead {
    struct archive_object object;
    struct archive_range *range;
    uint64_t offset, size;
    bool begins; /* a span of the object begins here */
    bool ends;   /* a span ends here */
    bool is_last;
    bool is_described; /* the object is read whole, for the cache */
};

/* A part of an object to read. */
struct scan_span {
    uint64_t at, end;
};

struct archive_scan {
    struct archive_scan_options options;
    struct query_request request;
    struct archive_scope scope;
    struct archive_listing *listing;
    struct archive_unpacker *unpacker;
    struct archive_lines *lines;
    struct archive_gathering *gathering;
    bool passed; /* the pass is complete */
    struct buf from;
    struct buf labels;

    struct interned_labels *interned;
    uint32_t interned_count, interned_capacity;
    uint32_t *pair_ids; /* positions in `pairs` */
    uint32_t pair_id_count, pair_id_capacity;
    struct interned_pair *pairs;
    uint32_t pair_count, pair_capacity;
    struct table pair_table;
    struct buf metric_names; /* each with its length */
    struct about known;      /* index of the listed object */
    struct about about;      /* index of the object that is read, while `describing` */
    bool describing;
    uint32_t object_number; /* number of the object that is read */

    /* The object that is listed and not requested. */
    struct archive_object object;
    struct scan_span *spans; /* its spans */
    uint32_t span_count, span_capacity, span_next;
    bool span_begun, is_known;
    bool has_object, listed;
    struct scan_ahead ahead[AHEAD_MAX];
    uint32_t ahead_first, ahead_count;

    const struct scan_ahead *current;
    struct warnings warnings;
    uint64_t junk;
    struct why first_junk;
};

static void
tally(_Atomic uint64_t *what, uint64_t count)
{
    atomic_fetch_add_explicit(what, count, memory_order_relaxed);
}

/* --- items of lines --------------------------------------------------------------------------- */

static bool
is_selected(const struct archive_scan *s, struct bytes labels)
{
    if (s->request.set_count == 0) return true;
    const struct matcher_set *set = &s->request.sets[0];
    for (uint32_t i = 0; i < set->count; i++) {
        const struct matcher *m = set->matchers[i];
        if (!matcher_matches(m, labels_get(labels, matcher_name(m)))) return false;
    }
    return true;
}

/* Finds the position of a label in `pairs`. */
static enum err
intern_pair(struct archive_scan *s, const struct label *label, uint32_t *ret_id)
{
    uint64_t pair = about_pair(label->name, label->value);
    for (uint32_t at = TABLE_START, id; table_next(&s->pair_table, pair, &at, &id);) {
        if (s->pairs[id].pair != pair) continue;
        *ret_id = id;
        return OK;
    }
    if (!array_reserve(s->options.budget, &s->pairs, &s->pair_capacity, s->pair_count + 1) ||
        !table_reserve(&s->pair_table, s->options.budget, 1))
        return ERR_NOMEM;
    struct interned_pair added = {pair, 0, NO_NAME};
    if (bytes_equal_text(label->name, "__name__")) {
        added.name_at = (uint32_t)s->metric_names.size;
        buf_put_counted(&s->metric_names, label->value);
        if (buf_error(&s->metric_names)) return ERR_NOMEM;
    }
    table_add(&s->pair_table, pair, s->pair_count);
    *ret_id = s->pair_count;
    s->pairs[s->pair_count++] = added;
    return OK;
}

/* Notes the labels as the archive has them. */
static enum err
intern_pairs(struct archive_scan *s, const struct label *labels, uint32_t count,
             struct interned_labels *l)
{
    l->pairs_at = s->pair_id_count;
    if (s->options.cache == NULL) return OK;
    if (!array_reserve(s->options.budget, &s->pair_ids, &s->pair_id_capacity,
                       s->pair_id_count + count))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        if (labels[i].value.size == 0) continue;
        enum err e = intern_pair(s, &labels[i], &s->pair_ids[s->pair_id_count]);
        if (e) return e;
        s->pair_id_count++;
        l->pair_count++;
    }
    return OK;
}

/* Adds the labels to the index of the object. Without memory there will be no index. */
static void
describe_labels(struct archive_scan *s, struct interned_labels *l)
{
    l->seen = s->object_number;
    for (uint32_t i = 0; i < l->pair_count && s->describing; i++) {
        struct interned_pair *p = &s->pairs[s->pair_ids[l->pairs_at + i]];
        if (p->seen == s->object_number) continue;
        p->seen = s->object_number;
        s->describing = about_add_pair(&s->about, p->pair) == OK;
        if (p->name_at == NO_NAME) continue;
        struct cursor c =
            cursor_of(bytes_of(s->metric_names.at + p->name_at, s->metric_names.size - p->name_at));
        about_add_name(&s->about, cursor_counted(&c));
    }
}

static enum err
intern_labels(void *context, struct label *labels, uint32_t count, uint32_t *ret_number,
              struct why *why)
{
    struct archive_scan *s = context;
    struct interned_labels l = {.series = GATHERING_NONE};
    buf_clear(&s->labels);
    if (intern_pairs(s, labels, count, &l)) return fetch_no_memory(why);
    enum err e = final_labels_build(&s->options.external, labels, count, &s->labels, why);
    if (e == OK && is_selected(s, buf_bytes(&s->labels))) {
        e = gathering_add(s->gathering, buf_bytes(&s->labels), &l.series);
        if (e) return fetch_no_memory(why);
    }
    if (e) return e;
    if (!array_reserve(s->options.budget, &s->interned, &s->interned_capacity,
                       s->interned_count + 1))
        return fetch_no_memory(why);
    *ret_number = s->interned_count;
    s->interned[s->interned_count++] = l;
    return OK;
}

static bool
wants_sample(void *context, uint32_t number, int64_t t_ms)
{
    struct archive_scan *s = context;
    struct interned_labels *l = &s->interned[number];
    if (s->describing) {
        about_add_time(&s->about, t_ms);
        if (l->seen != s->object_number) describe_labels(s, l);
    }
    return l->series != GATHERING_NONE && t_ms >= s->request.min_ms && t_ms <= s->request.max_ms;
}

static enum err
scan_take_number(void *context, uint32_t number, int64_t t_ms, uint64_t bits, int64_t start_ms,
                 struct why *why)
{
    struct archive_scan *s = context;
    return gathering_put(s->gathering, s->interned[number].series, t_ms, bits, NULL, start_ms, why);
}

static void
forget_interned(void *context)
{
    struct archive_scan *s = context;
    s->interned_count = s->pair_id_count = s->pair_count = 0;
    table_clear(&s->pair_table);
    buf_clear(&s->metric_names);
}

/* Called when numbers of the gathering become invalid. */
static void
forget_all(void *context)
{
    struct archive_scan *s = context;
    forget_interned(s);
    archive_lines_forget(s->lines);
}

static enum err
take_junk(void *context, uint64_t line, const struct why *why)
{
    struct archive_scan *s = context;
    tally(&s->options.counts->junk_lines, 1);
    if (s->junk++ > 0) return OK;
    uint64_t before = s->current->offset;
    (void)why_set(&s->first_junk, ERR_CORRUPT, "%s: line %llu%s: %s", s->current->object.key,
                  (unsigned long long)line, before == 0 ? "" : " of a later part", why->text);
    return OK;
}

static enum err
take_histogram(void *context, uint32_t number, int64_t t_ms, const struct histogram *histogram,
               int64_t start_ms, struct why *why)
{
    struct archive_scan *s = context;
    return gathering_put(s->gathering, s->interned[number].series, t_ms, 0, histogram, start_ms,
                         why);
}

/* --- reading ahead ---------------------------------------------------------------------------- */

/* Finds the parts of a known object that have samples of the time. */
static enum err
find_spans(struct archive_scan *s, struct why *why)
{
    const struct about *known = &s->known;
    if (!about_may_have(known, s->request.set_count == 0 ? NULL : s->request.sets)) return OK;
    for (uint32_t i = 0; i < known->part_count; i++) {
        const struct about_part *p = &known->parts[i];
        uint64_t end = i + 1 < known->part_count ? p[1].offset : s->object.size;
        if (p->min_ms > s->request.max_ms || p->max_ms < s->request.min_ms) continue;
        if (s->span_count > 0 && s->spans[s->span_count - 1].end == p->offset) {
            s->spans[s->span_count - 1].end = end;
            continue;
        }
        if (!array_reserve(s->options.budget, &s->spans, &s->span_capacity, s->span_count + 1))
            return fetch_no_memory(why);
        s->spans[s->span_count++] = (struct scan_span){p->offset, end};
    }
    return OK;
}

static enum err
plan_object(struct archive_scan *s, struct why *why)
{
    struct source_counts *counts = s->options.counts;
    s->span_count = s->span_next = 0;
    s->span_begun = false;
    s->is_known = s->options.cache != NULL &&
                  archive_cache_load(s->options.cache, &s->object, s->options.budget, &s->known);
    if (s->options.cache != NULL)
        tally(s->is_known ? &counts->cache_hits : &counts->cache_misses, 1);
    if (s->is_known) {
        enum err e = find_spans(s, why);
        if (e) return e;
    } else {
        if (!array_reserve(s->options.budget, &s->spans, &s->span_capacity, 1))
            return fetch_no_memory(why);
        s->spans[s->span_count++] = (struct scan_span){0, s->object.size};
    }
    s->has_object = s->span_count > 0;
    tally(s->has_object ? &counts->objects_read : &counts->objects_skipped, 1);
    return OK;
}

/* Finds the next object with parts to read. */
static enum err
find_object(struct archive_scan *s, struct why *why)
{
    while (!s->has_object && !s->listed) {
        bool more;
        enum err e = s->options.store->ops->next(s->listing, &s->object, &more, why);
        s->listed = e == OK && !more;
        if (e == OK && more) e = plan_object(s, why);
        if (e == OK) e = query_control_check(s->request.control, why);
        if (e) return e;
    }
    return OK;
}

/* Requests the next range, if there is one. */
static enum err
look_ahead(struct archive_scan *s, struct why *why)
{
    enum err e = find_object(s, why);
    if (e || !s->has_object) return e;
    struct scan_ahead *a = &s->ahead[(s->ahead_first + s->ahead_count) % AHEAD_MAX];
    struct scan_span *span = &s->spans[s->span_next];
    uint64_t left = span->end - span->at;
    a->object = s->object;
    a->offset = span->at;
    a->size = left < ARCHIVE_RANGE_BYTES ? left : ARCHIVE_RANGE_BYTES;
    a->begins = !s->span_begun;
    a->ends = a->size == left;
    a->is_last = a->ends && s->span_next + 1 == s->span_count;
    a->is_described = !s->is_known && s->options.cache != NULL;
    e = s->options.store->ops->open(s->options.store, &s->scope, &a->object, a->offset, a->size,
                                    &a->range, why);
    if (e) return e;
    s->ahead_count++;
    span->at += a->size;
    s->span_begun = !a->ends;
    s->span_next += a->ends;
    s->has_object = !a->is_last;
    return OK;
}

static void
drop_first(struct archive_scan *s)
{
    struct scan_ahead *a = &s->ahead[s->ahead_first];
    s->options.store->ops->close(a->range);
    a->range = NULL;
    s->ahead_first = (s->ahead_first + 1) % AHEAD_MAX;
    s->ahead_count--;
}

static void
drop_ahead(struct archive_scan *s)
{
    while (s->ahead_count > 0)
        drop_first(s);
    if (s->listing != NULL) s->options.store->ops->free_listing(s->listing);
    s->listing = NULL;
}

/* --- a range ---------------------------------------------------------------------------------- */

/* Notes that a member, frame or line begins there. */
static void
describe_place(struct archive_scan *s, uint64_t at)
{
    if (s->describing && archive_lines_is_between(s->lines) && at < s->current->object.size)
        s->describing = about_cut(&s->about, at) == OK;
}

static enum err
give_text(struct archive_scan *s, struct bytes text, struct why *why)
{
    uint64_t taken = 0;
    bool between = archive_unpacker_is_between(s->unpacker, &taken);
    size_t size = text.size;
    if (s->describing && archive_unpacker_is_plain(s->unpacker)) { /* up to the last line feed */
        const uint8_t *feed = memrchr(text.at, '\n', text.size);
        size = feed == NULL ? text.size : (size_t)(feed - text.at) + 1;
    }
    enum err e = archive_lines_give(s->lines, bytes_of(text.at, size), why);
    if (e) return e;
    if (between) describe_place(s, taken - (text.size - size));
    return archive_lines_give(s->lines, bytes_of(text.at + size, text.size - size), why);
}

static enum err
read_text(struct archive_scan *s, struct why *why)
{
    for (;;) {
        struct bytes text;
        enum err e = archive_unpacker_take(s->unpacker, &text, why);
        if (e || text.size == 0) return e;
        e = give_text(s, text, why);
        if (e == OK) e = query_control_check(s->request.control, why);
        if (e) return e;
    }
}

static enum err
end_span(struct archive_scan *s, struct why *why)
{
    enum err e = archive_unpacker_end(s->unpacker, why);
    if (e == OK) e = read_text(s, why);
    if (e == OK) e = archive_lines_end(s->lines, why);
    if (e || !s->describing) return e;
    s->describing = false;
    if (about_end(&s->about) == OK)
        archive_cache_store(s->options.cache, &s->current->object, s->options.budget, &s->about);
    return OK;
}

static enum err
scan_read_range(struct archive_scan *s, struct why *why)
{
    const struct scan_ahead *a = s->current;
    if (a->begins) {
        archive_unpacker_begin(s->unpacker);
        archive_lines_begin(s->lines);
        s->describing = s->current->is_described && about_begin(&s->about) == OK;
        s->object_number++;
    }
    for (;;) {
        struct bytes piece;
        enum err e = s->options.store->ops->read(a->range, &piece, why);
        if (e) return e;
        if (piece.size == 0) return a->ends ? end_span(s, why) : OK;
        archive_unpacker_give(s->unpacker, piece);
        e = read_text(s, why);
        if (e) return e;
    }
}

/* Leaves out the rest of a damaged object, if the question allows it. */
static enum err
pass_over(struct archive_scan *s, enum err e, struct why *why)
{
    struct why said = {""};
    if (why == NULL) why = &said;
    if (e != ERR_CORRUPT) return e;
    why_prefix(why, e, "%s", s->current->object.key);
    if (!s->request.partial) return e;
    s->describing = false;
    bool ended = s->current->is_last;
    while (!ended && s->ahead_count > 1) {
        drop_first(s);
        ended = s->ahead[s->ahead_first].is_last;
    }
    if (!ended) s->has_object = false;
    return warnings_add(&s->warnings, why) ? fetch_no_memory(why) : OK;
}

/* Reads all objects once. */
static enum err
read_pass(struct archive_scan *s, struct why *why)
{
    s->listed = s->has_object = s->describing = false;
    enum err e = s->options.store->ops->list(s->options.store, &s->scope, &s->listing, why);
    while (e == OK) {
        while (e == OK && s->ahead_count < AHEAD_MAX && !(s->listed && !s->has_object))
            e = look_ahead(s, why);
        if (e || s->ahead_count == 0) break;
        s->current = &s->ahead[s->ahead_first];
        e = scan_read_range(s, why);
        if (e) e = pass_over(s, e, why);
        if (e == OK) drop_first(s);
    }
    drop_ahead(s);
    return e;
}

/* --- passes ----------------------------------------------------------------------------------- */

static enum err
begin_pass(struct archive_scan *s, struct why *why)
{
    struct gathering_options options = {.budget = s->options.budget,
                                        .bytes_max = GATHER_BYTES,
                                        .from = buf_bytes(&s->from),
                                        .names_only = s->options.names_only,
                                        .forget = forget_all,
                                        .context = s};
    forget_all(s);
    gathering_free(s->gathering);
    s->gathering = NULL;
    enum err e = gathering_new(&options, &s->gathering);
    return e ? fetch_no_memory(why) : read_pass(s, why);
}

/* Reports junk once, whatever the number of passes. */
static enum err
warn_of_junk(struct archive_scan *s, struct why *why)
{
    struct why said;
    if (s->junk == 0 || s->from.size > 0) return OK;
    (void)why_set(&said, ERR_CORRUPT, "%llu lines are not samples and were left out; the first: %s",
                  (unsigned long long)s->junk, s->first_junk.text);
    return warnings_add(&s->warnings, &said) ? fetch_no_memory(why) : OK;
}

enum err
archive_scan_next(struct archive_scan *s, struct bytes *ret_labels, struct why *why)
{
    *ret_labels = bytes_of(NULL, 0);
    for (;;) {
        enum err e = OK;
        if (!s->passed) {
            e = begin_pass(s, why);
            if (e == OK) e = warn_of_junk(s, why);
            if (e) return e;
            s->passed = true;
        }
        e = gathering_next(s->gathering, ret_labels, why);
        if (e || ret_labels->at != NULL) return e;
        struct bytes bound = gathering_bound(s->gathering);
        if (bound.size == 0) return OK;
        buf_clear(&s->from);
        buf_put_bytes(&s->from, bound);
        if (buf_error(&s->from)) return fetch_no_memory(why);
        s->passed = false;
    }
}

enum err
archive_scan_batch(struct archive_scan *s, struct sample_batch *ret_batch, struct why *why)
{
    return gathering_batch(s->gathering, ret_batch, why);
}

const char *
archive_scan_warning(struct archive_scan *s, uint32_t index)
{
    return warnings_at(&s->warnings, index);
}

/* --- the scan --------------------------------------------------------------------------------- */

enum err
archive_scan_new(const struct archive_scan_options *options, const struct query_request *r,
                 struct archive_scan **ret_scan, struct why *why)
{
    struct archive_scan *s = mem_new(options->budget, sizeof *s);
    uint64_t seed = 0;
    if (s == NULL) return fetch_no_memory(why);
    s->options = *options;
    s->request = *r;
    buf_init(&s->from, options->budget, SCAN_LABEL_BYTES_MAX);
    buf_init(&s->labels, options->budget, 16 * SCAN_LABEL_BYTES_MAX);
    warnings_init(&s->warnings, options->budget);
    about_init(&s->known, options->budget);
    about_init(&s->about, options->budget);
    buf_init(&s->metric_names, options->budget, SCAN_NAMES_BYTES_MAX);
    s->scope =
        (struct archive_scope){.budget = options->budget, .control = r->control, .hours.all = true};
    if (options->layout == ARCHIVE_HOURLY)
        hours_between(r->min_ms, r->max_ms, options->late_ms, &s->scope.hours);
    struct archive_line_sink sink = {.labels = intern_labels,
                                     .wants = wants_sample,
                                     .number = scan_take_number,
                                     .histogram = take_histogram,
                                     .forget = forget_interned,
                                     .junk = take_junk,
                                     .context = s};
    enum err e = env_random(options->env, &seed, sizeof seed);
    if (e == OK) e = archive_unpacker_new(options->budget, &s->unpacker);
    if (e == OK) e = archive_lines_new(options->budget, seed, &sink, &s->lines);
    if (e == ERR_NOMEM) (void)fetch_no_memory(why);
    if (e == OK) e = fetch_session_open(options->fetcher, options->budget, &s->scope.session, why);
    if (e)
        archive_scan_free(s);
    else
        *ret_scan = s;
    return e;
}

void
archive_scan_free(struct archive_scan *s)
{
    if (s == NULL) return;
    drop_ahead(s);
    fetch_session_close(s->scope.session);
    gathering_free(s->gathering);
    archive_lines_free(s->lines);
    archive_unpacker_free(s->unpacker);
    array_free(s->options.budget, s->interned, s->interned_capacity);
    array_free(s->options.budget, s->pair_ids, s->pair_id_capacity);
    array_free(s->options.budget, s->pairs, s->pair_capacity);
    array_free(s->options.budget, s->spans, s->span_capacity);
    table_fini(&s->pair_table, s->options.budget);
    buf_fini(&s->metric_names);
    about_fini(&s->known);
    about_fini(&s->about);
    buf_fini(&s->from);
    buf_fini(&s->labels);
    warnings_fini(&s->warnings);
    mem_free(s->options.budget, s, sizeof *s);
}
