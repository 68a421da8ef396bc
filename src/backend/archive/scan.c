/*
 * scan.c - see scan.h.
 *
 *     listing -> objects -> spans -> ranges, AHEAD_MAX of them open -> text -> lines -> series
 *
 * A pass reads all objects once. If the answer is larger than GATHER_BYTES, a pass gives the first
 * of its series, and the next pass reads for those that follow: memory is bounded, whatever is
 * asked, and a question about few series is one pass.
 *
 * What labels mean for the question is found out once for each text of them (lines.h), and kept in
 * `met`.
 */
#include "backend/archive/scan.h"

#include "backend/archive/gather.h"
#include "backend/archive/lines.h"
#include "backend/archive/unpack.h"
#include "base/array.h"
#include "base/warnings.h"

enum {
    AHEAD_MAX = 8,
    GATHER_BYTES = 40 << 20,
    LABEL_BYTES_MAX = 1 << 20,
};

/* Labels of lines, by the number that lines.h knows. */
struct met {
    uint32_t series; /* of the gathering; GATHERING_NONE: not wanted */
};

/* A piece of an object, on its way. */
struct ahead {
    struct archive_object object;
    struct archive_range *range;
    uint64_t offset, size;
    bool begins; /* an object */
    bool ends;
};

struct archive_scan {
    struct archive_scan_options options;
    struct arena arena;
    struct query_request request;
    struct archive_asking asking;
    struct archive_session *session;
    struct archive_listing *listing;
    struct archive_unpacker *unpacker;
    struct archive_lines *lines;
    struct gathering *gathering;
    bool passed; /* all of a pass is read */
    struct buf from;
    struct buf labels;

    struct met *met;
    uint32_t met_count, met_capacity;

    /* What is listed and not yet asked for. */
    struct archive_object object;
    uint64_t object_at;
    bool has_object, listed;
    struct ahead ahead[AHEAD_MAX];
    uint32_t ahead_first, ahead_count;

    const struct ahead *at_hand;
    struct warnings warnings;
    uint64_t junk;
    struct why first_junk;
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

static void
tally(_Atomic uint64_t *what, uint64_t count)
{
    atomic_fetch_add_explicit(what, count, memory_order_relaxed);
}

/* --- what lines say --------------------------------------------------------------------------- */

static bool
is_asked_for(const struct archive_scan *s, struct bytes labels)
{
    if (s->request.set_count == 0) return true;
    const struct matcher_set *set = &s->request.sets[0];
    for (uint32_t i = 0; i < set->count; i++) {
        const struct matcher *m = set->matchers[i];
        if (!matcher_matches(m, labels_get(labels, matcher_name(m)))) return false;
    }
    return true;
}

static enum err
meet_labels(void *context, struct label *labels, uint32_t count, uint32_t *ret_number,
            struct why *why)
{
    struct archive_scan *s = context;
    struct met met = {GATHERING_NONE};
    buf_clear(&s->labels);
    enum err e = final_labels_build(&s->options.external, labels, count, &s->labels, why);
    if (e == OK && is_asked_for(s, buf_bytes(&s->labels))) {
        e = gathering_add(s->gathering, buf_bytes(&s->labels), &met.series);
        if (e) return no_memory(why);
    }
    if (e) return e;
    if (!array_reserve(s->options.budget, &s->met, &s->met_capacity, s->met_count + 1)) {
        return no_memory(why);
    }
    *ret_number = s->met_count;
    s->met[s->met_count++] = met;
    return OK;
}

static bool
wants_sample(void *context, uint32_t number, int64_t t_ms)
{
    const struct archive_scan *s = context;
    return number < s->met_count && s->met[number].series != GATHERING_NONE &&
           t_ms >= s->request.min_ms && t_ms <= s->request.max_ms;
}

static enum err
take_number(void *context, uint32_t number, int64_t t_ms, uint64_t bits, int64_t start_ms,
            struct why *why)
{
    struct archive_scan *s = context;
    return gathering_put(s->gathering, s->met[number].series, t_ms, bits, NULL, start_ms, why);
}

static void
forget_met(void *context)
{
    ((struct archive_scan *)context)->met_count = 0;
}

/* The gathering has other numbers from now on. */
static void
forget_all(void *context)
{
    struct archive_scan *s = context;
    s->met_count = 0;
    archive_lines_forget(s->lines);
}

static enum err
take_junk(void *context, uint64_t line, const struct why *why)
{
    struct archive_scan *s = context;
    tally(&s->options.counts->junk_lines, 1);
    if (s->junk++ > 0) return OK;
    (void)why_set(&s->first_junk, ERR_CORRUPT, "%s: line %llu: %s", s->at_hand->object.key,
                  (unsigned long long)line, why->text);
    return OK;
}

static enum err
take_histogram(void *context, uint32_t number, int64_t t_ms, const struct histogram *histogram,
               int64_t start_ms, struct why *why)
{
    struct archive_scan *s = context;
    enum err e =
        gathering_put(s->gathering, s->met[number].series, t_ms, 0, histogram, start_ms, why);
    return e == ERR_INPUT ? take_junk(s, 0, why) : e;
}

/* --- reading ahead ---------------------------------------------------------------------------- */

static enum err
begin_listing(struct archive_scan *s, struct why *why)
{
    s->listed = s->has_object = false;
    return s->options.store->ops->list(s->session, &s->asking, &s->listing, why);
}

/* The next object that is to be read. */
static enum err
find_object(struct archive_scan *s, struct why *why)
{
    bool more;
    enum err e = s->options.store->ops->next(s->listing, &s->object, &more, why);
    if (e) return e;
    s->listed = !more;
    s->has_object = more;
    s->object_at = 0;
    if (more) tally(&s->options.counts->objects_read, 1);
    return OK;
}

/* Asks for what comes next, if there is anything. */
static enum err
look_ahead(struct archive_scan *s, struct why *why)
{
    if (!s->has_object) {
        enum err e = find_object(s, why);
        if (e || !s->has_object) return e;
    }
    struct ahead *a = &s->ahead[(s->ahead_first + s->ahead_count) % AHEAD_MAX];
    uint64_t left = s->object.size - s->object_at;
    a->object = s->object;
    a->offset = s->object_at;
    a->size = left < ARCHIVE_RANGE_BYTES ? left : ARCHIVE_RANGE_BYTES;
    a->begins = s->object_at == 0;
    a->ends = a->size == left;
    enum err e = s->options.store->ops->open(s->session, &s->asking, &a->object, a->offset, a->size,
                                             &a->range, why);
    if (e) return e;
    s->ahead_count++;
    s->object_at += a->size;
    s->has_object = !a->ends;
    return OK;
}

static void
drop_first(struct archive_scan *s)
{
    struct ahead *a = &s->ahead[s->ahead_first];
    s->options.store->ops->close(a->range);
    a->range = NULL;
    s->ahead_first = (s->ahead_first + 1) % AHEAD_MAX;
    s->ahead_count--;
}

static void
drop_ahead(struct archive_scan *s)
{
    while (s->ahead_count > 0) {
        drop_first(s);
    }
    if (s->listing != NULL) s->options.store->ops->free_listing(s->listing);
    s->listing = NULL;
}

/* --- a range ---------------------------------------------------------------------------------- */

static enum err
read_text(struct archive_scan *s, struct why *why)
{
    for (;;) {
        struct bytes text;
        enum err e = archive_unpacker_take(s->unpacker, &text, why);
        if (e || text.size == 0) return e;
        e = archive_lines_give(s->lines, text, why);
        if (e == OK) e = query_control_check(s->request.control, why);
        if (e) return e;
    }
}

static enum err
end_object(struct archive_scan *s, struct why *why)
{
    enum err e = archive_unpacker_end(s->unpacker, why);
    if (e == OK) e = read_text(s, why);
    return e ? e : archive_lines_end(s->lines, why);
}

static enum err
read_range(struct archive_scan *s, struct why *why)
{
    const struct ahead *a = s->at_hand;
    if (a->begins) {
        archive_unpacker_begin(s->unpacker);
        archive_lines_begin(s->lines);
    }
    for (;;) {
        struct bytes piece;
        enum err e = s->options.store->ops->read(a->range, &piece, why);
        if (e) return e;
        if (piece.size == 0) return a->ends ? end_object(s, why) : OK;
        archive_unpacker_give(s->unpacker, piece);
        e = read_text(s, why);
        if (e) return e;
    }
}

/* Leaves out the rest of an object that is damaged, where the question allows it. */
static enum err
pass_over(struct archive_scan *s, enum err e, struct why *why)
{
    struct why said = {""};
    if (why == NULL) why = &said;
    if (e != ERR_CORRUPT) return e;
    why_prefix(why, e, "%s", s->at_hand->object.key);
    if (!s->request.partial) return e;
    bool ended = s->at_hand->ends;
    while (!ended && s->ahead_count > 1) {
        ended = s->ahead[(s->ahead_first + 1) % AHEAD_MAX].ends;
        drop_first(s);
    }
    if (!ended) s->has_object = false;
    return warnings_add(&s->warnings, why) ? no_memory(why) : OK;
}

/* All objects, once. */
static enum err
read_pass(struct archive_scan *s, struct why *why)
{
    enum err e = begin_listing(s, why);
    while (e == OK) {
        while (e == OK && s->ahead_count < AHEAD_MAX && !(s->listed && !s->has_object)) {
            e = look_ahead(s, why);
        }
        if (e || s->ahead_count == 0) break;
        s->at_hand = &s->ahead[s->ahead_first];
        e = read_range(s, why);
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
    return e ? no_memory(why) : read_pass(s, why);
}

/* Junk is told of once, whatever the number of passes. */
static enum err
tell_of_junk(struct archive_scan *s, struct why *why)
{
    struct why said;
    if (s->junk == 0 || s->from.size > 0) return OK;
    (void)why_set(&said, ERR_CORRUPT, "%llu lines are not samples and were left out; the first: %s",
                  (unsigned long long)s->junk, s->first_junk.text);
    return warnings_add(&s->warnings, &said) ? no_memory(why) : OK;
}

enum err
archive_scan_next(struct archive_scan *s, struct bytes *ret_labels, struct why *why)
{
    *ret_labels = bytes_of(NULL, 0);
    for (;;) {
        enum err e = OK;
        if (!s->passed) {
            e = begin_pass(s, why);
            if (e == OK) e = tell_of_junk(s, why);
            if (e) return e;
            s->passed = true;
        }
        e = gathering_next(s->gathering, ret_labels, why);
        if (e || ret_labels->at != NULL) return e;
        struct bytes bound = gathering_bound(s->gathering);
        if (bound.size == 0) return OK;
        buf_clear(&s->from);
        buf_put_bytes(&s->from, bound);
        if (buf_error(&s->from)) return no_memory(why);
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

/* --- all of it -------------------------------------------------------------------------------- */

/* Matchers live as long as the question; the arrays of them need not. */
static enum err
copy_request(struct archive_scan *s, const struct query_request *r)
{
    uint32_t count = r->set_count == 0 ? 0 : r->sets[0].count;
    struct matcher_set *set = arena_new(&s->arena, sizeof *set);
    struct matcher **matchers = arena_new(&s->arena, (count + 1) * sizeof *matchers);
    if (set == NULL || matchers == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        matchers[i] = r->sets[0].matchers[i];
    }
    *set = (struct matcher_set){matchers, count};
    s->request = *r;
    s->request.sets = set;
    s->request.set_count = count > 0;
    return OK;
}

enum err
archive_scan_new(const struct archive_scan_options *options, const struct query_request *r,
                 struct archive_scan **ret_scan, struct why *why)
{
    struct archive_scan *s = mem_new(options->budget, sizeof *s);
    uint64_t seed = 0;
    if (s == NULL) return no_memory(why);
    s->options = *options;
    arena_init(&s->arena, options->budget, 0, 0);
    buf_init(&s->from, options->budget, LABEL_BYTES_MAX);
    buf_init(&s->labels, options->budget, 16 * LABEL_BYTES_MAX);
    warnings_init(&s->warnings, options->budget);
    s->asking = (struct archive_asking){options->budget, r->control, {.all = true}};
    if (options->layout == ARCHIVE_HOURLY) {
        hours_between(r->min_ms, r->max_ms, options->late_ms, &s->asking.hours);
    }
    struct archive_line_sink sink = {.labels = meet_labels,
                                     .wants = wants_sample,
                                     .number = take_number,
                                     .histogram = take_histogram,
                                     .forget = forget_met,
                                     .junk = take_junk,
                                     .context = s};
    enum err e = env_random(options->env, &seed, sizeof seed);
    if (e == OK) e = copy_request(s, r);
    if (e == OK) e = archive_unpacker_new(options->budget, &s->unpacker);
    if (e == OK) e = archive_lines_new(options->budget, seed, &sink, &s->lines);
    if (e == ERR_NOMEM) (void)no_memory(why);
    if (e == OK) {
        e = options->store->ops->open_session(options->store, options->budget, &s->session, why);
    }
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
    if (s->session != NULL) s->options.store->ops->close_session(s->session);
    gathering_free(s->gathering);
    archive_lines_free(s->lines);
    archive_unpacker_free(s->unpacker);
    array_free(s->options.budget, s->met, s->met_capacity);
    buf_fini(&s->from);
    buf_fini(&s->labels);
    warnings_fini(&s->warnings);
    arena_fini(&s->arena);
    mem_free(s->options.budget, s, sizeof *s);
}
