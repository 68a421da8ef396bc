/*
 * replicas_select.c - the series of replicas in label order, without the labels that name them.
 *
 * Without these labels the order differs, and all series of one replica may come between a series
 * and that of the next replica, if the label comes early. To keep memory small, the view below is
 * asked several times, once for each ascent that the first pass found (replicas_scan.c): a strand.
 * Its series have one value of each replica label, by which they are selected, and come in the
 * order of the answer; so strands are merged as they are read, with one batch of each. If a
 * combination has two ascents, each of its strands skips the series of the other.
 *
 * If there are too many strands, the labels of all series are held, and each series is selected
 * when its turn comes.
 *
 * A view that is not of one moment may have more series when samples are read: series that the
 * first pass did not find are left out.
 *
 * Invariants, beside those of replicas_private.h:
 *
 * 5. The present series has at least one strand that is READ, and `merge` has exactly those.
 * 6. Matchers live until drop_strands(): sets use them.
 */
#include <assert.h>

#include "base/array.h"
#include "model/labels.h"
#include "model/thinned.h"
#include "views/replica_merge.h"
#include "views/replicas_private.h"

/* One of the sets that are merged. */
struct strand {
    struct series_set *set;
    const struct combination *combination; /* NULL for a strand of one series */
    uint32_t ascent;
    uint32_t next;     /* index among the combination's series, after its own */
    struct buf labels; /* labels of its series */
    enum {
        STRAND_UNREAD,  /* its first series is to be read */
        STRAND_WAITING, /* its series is a later one of the answer */
        STRAND_READ,    /* its series is the present one of the answer */
        STRAND_ENDED,
    } state;
};

struct replicas_set {
    struct series_set set; /* first: callers get it */
    struct replicas_view *view;
    struct budget *budget;
    struct replicas_control control;
    struct replicas_scan scan;
    struct query_request request; /* template of requests below */
    struct strand *strands;
    uint32_t strand_count, strand_capacity;
    struct matcher **matchers; /* matchers of the strands' requests: invariant 6 */
    uint32_t matcher_count, matcher_capacity;
    size_t next_key;            /* index in scan.keys */
    struct replica_merge merge; /* merge of the current series */
    struct series_cost ended;   /* spent by sets that were freed */
    uint64_t series_seen;       /* series that were not skipped */
};

/* --- accounting ------------------------------------------------------------------------------- */

/* Passes the counts of reads on to the question's control. `e`: result of a call below. */
static enum err
account(struct replicas_set *s, enum err e, struct why *why)
{
    struct query_control *below = &s->control.below, *above = s->control.above;
    if (above == NULL) return e;
    thinned_pass(below, above);
    uint64_t bytes = atomic_exchange_explicit(&below->bytes_seen, 0, memory_order_relaxed);
    uint64_t samples = atomic_exchange_explicit(&below->samples_seen, 0, memory_order_relaxed);
    if (e) return replicas_control_result(&s->control, e, why);
    if (bytes > 0) e = query_control_add_bytes(above, bytes, why);
    return e || samples == 0 ? e : query_control_add_samples(above, samples, why);
}

/* Counts a series that is not skipped. */
static enum err
account_series(struct replicas_set *s, struct why *why)
{
    s->series_seen++;
    return query_control_add_series(s->control.above, why);
}

/* --- end of sets ------------------------------------------------------------------------------ */

static void
strand_fini(struct replicas_set *s, struct strand *st)
{
    struct series_cost spent;
    if (st->set != NULL && series_set_spent(st->set, &spent)) series_cost_add(&s->ended, &spent);
    series_set_free(st->set);
    buf_fini(&st->labels);
}

static void
drop_strands(struct replicas_set *s)
{
    while (s->strand_count > 0) {
        strand_fini(s, &s->strands[--s->strand_count]);
    }
    while (s->matcher_count > 0) {
        matcher_free(s->matchers[--s->matcher_count]);
    }
}

static enum err
end_strands(struct replicas_set *s, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = s->strand_count; i > 0 && e == OK; i--) {
        e = replicas_take_warnings(&s->scan, s->strands[i - 1].set, why);
    }
    drop_strands(s);
    return e;
}

/* --- strands ---------------------------------------------------------------------------------- */

/* Reads a strand's next series; they are in the order of the answer. */
static enum err
strand_advance(struct replicas_set *s, struct strand *st, struct why *why)
{
    const struct combination *c = st->combination;
    uint32_t ascent = STRANDS_MAX;
    assert(c != NULL);
    assert(st->ascent < c->ascent_count); /* invariant 4 */
    assert(st->next <= c->series_count);
    st->state = STRAND_WAITING;
    while (ascent != st->ascent) {
        struct bytes labels;
        enum err e = account(s, series_set_next(st->set, &labels, why), why);
        if (e) return e;
        if (labels.at == NULL) {
            st->state = STRAND_ENDED;
            return OK;
        }
        uint32_t at = combination_find(c, st->next, labels, &ascent);
        if (at == c->series_count) continue;
        st->next = at + 1;
        if (ascent == st->ascent) replicas_split(s->view, labels, &st->labels, &s->scan.dropped);
    }
    if (buf_error(&st->labels) || buf_error(&s->scan.dropped)) return replicas_no_memory(why);
    return account_series(s, why);
}

/* Finds the next series, the least of those of all strands. */
static enum err
next_of_strands(struct replicas_set *s, struct bytes *ret_labels, struct why *why)
{
    const struct strand *least = NULL;
    for (uint32_t i = 0; i < s->strand_count; i++) {
        struct strand *st = &s->strands[i];
        bool is_past = st->state == STRAND_READ || st->state == STRAND_UNREAD;
        enum err e = is_past ? strand_advance(s, st, why) : OK;
        if (e) return e;
        if (st->state == STRAND_ENDED) continue;
        if (least == NULL || labels_compare(buf_bytes(&st->labels), buf_bytes(&least->labels)) < 0)
            least = st;
    }
    if (least == NULL) return end_strands(s, why);
    *ret_labels = buf_bytes(&least->labels);
    for (uint32_t i = 0; i < s->strand_count; i++) {
        struct strand *st = &s->strands[i];
        if (st->state != STRAND_WAITING) continue;
        if (!bytes_equal(buf_bytes(&st->labels), *ret_labels)) continue;
        st->state = STRAND_READ;
        if (replica_merge_add(&s->merge, st)) return replicas_no_memory(why);
    }
    assert(least->state == STRAND_READ); /* invariant 5 */
    assert(s->merge.count > 0);          /* invariant 5 */
    return OK;
}

/* --- series one by one ------------------------------------------------------------------------ */

/* Adds a matcher of a label. The matchers may select other series, too. */
static enum err
put_matcher(struct replicas_set *s, const struct label *label, struct matcher **matchers,
            uint32_t *count, struct why *why)
{
    struct matcher *m;
    if (!array_reserve(s->budget, &s->matchers, &s->matcher_capacity, s->matcher_count + 1)) {
        return replicas_no_memory(why);
    }
    enum err e = matcher_new(MATCH_EQUAL, label->name, label->value, s->budget, &m, why);
    if (e == ERR_INPUT || e == ERR_LIMIT) return OK; /* the other matchers suffice */
    if (e) return e;
    s->matchers[s->matcher_count++] = m;
    matchers[(*count)++] = m;
    return OK;
}

static enum err
put_matchers(struct replicas_set *s, const struct replica_key *key, struct matcher **matchers,
             uint32_t *count, struct why *why)
{
    struct cursor c = cursor_of(key->rest);
    enum err e = OK;
    for (struct label label; e == OK && labels_next(&c, &label);) {
        e = put_matcher(s, &label, matchers, count, why);
    }
    for (uint32_t i = 0; i < s->view->name_count && e == OK; i++) {
        struct bytes name = s->view->names[i];
        struct label label = {name, labels_get(key->dropped, name)};
        e = put_matcher(s, &label, matchers, count, why);
    }
    return e;
}

/* Finds the series among those that were selected. Only damage can hide it, with a warning. */
static enum err
find_key(struct replicas_set *s, struct strand *st, const struct replica_key *key, struct why *why)
{
    for (;;) {
        struct bytes labels;
        enum err e = account(s, series_set_next(st->set, &labels, why), why);
        if (e || labels.at == NULL) return e;
        replicas_split(s->view, labels, &s->scan.rest, &s->scan.dropped);
        if (buf_error(&s->scan.rest) || buf_error(&s->scan.dropped)) return replicas_no_memory(why);
        bool is_it = bytes_equal(buf_bytes(&s->scan.rest), key->rest) &&
                     bytes_equal(buf_bytes(&s->scan.dropped), key->dropped);
        if (!is_it) continue;
        st->state = STRAND_READ;
        return account_series(s, why);
    }
}

static enum err
open_key(struct replicas_set *s, const struct replica_key *key, struct why *why)
{
    size_t room = (labels_count(key->rest) + s->view->name_count) * sizeof(struct matcher *);
    struct matcher **matchers = mem_new(s->budget, room);
    uint32_t count = 0;
    if (matchers == NULL ||
        !array_reserve(s->budget, &s->strands, &s->strand_capacity, s->strand_count + 1)) {
        mem_free(s->budget, matchers, room);
        return replicas_no_memory(why);
    }
    struct strand *st = &s->strands[s->strand_count];
    *st = (struct strand){.set = NULL};
    enum err e = put_matchers(s, key, matchers, &count, why);
    struct matcher_set set = {matchers, count};
    struct query_request request = s->request;
    request.sets = &set;
    request.set_count = 1;
    if (e == OK) e = account(s, view_select(s->view->inner, &request, &st->set, why), why);
    if (e == OK) s->strand_count++;
    mem_free(s->budget, matchers, room);
    return e ? e : find_key(s, st, key, why);
}

static enum err
next_of_keys(struct replicas_set *s, struct bytes *ret_labels, struct why *why)
{
    const struct replicas_scan *scan = &s->scan;
    while (s->merge.count == 0 && s->next_key < scan->key_count) {
        enum err e = end_strands(s, why);
        *ret_labels = scan->keys[s->next_key].rest;
        while (e == OK && s->next_key < scan->key_count &&
               bytes_equal(scan->keys[s->next_key].rest, *ret_labels)) {
            e = open_key(s, &scan->keys[s->next_key++], why);
        }
        if (e) return e;
        for (uint32_t i = 0; i < s->strand_count; i++) {
            struct strand *st = &s->strands[i];
            if (st->state != STRAND_READ) continue;
            if (replica_merge_add(&s->merge, st)) return replicas_no_memory(why);
        }
    }
    if (s->merge.count > 0) return OK;
    *ret_labels = bytes_of(NULL, 0);
    return end_strands(s, why);
}

/* --- the set ---------------------------------------------------------------------------------- */

static enum err
replicas_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct replicas_set *s = (struct replicas_set *)set;
    *ret_labels = bytes_of(NULL, 0);
    replica_merge_clear(&s->merge);
    enum err e =
        s->scan.is_wide ? next_of_keys(s, ret_labels, why) : next_of_strands(s, ret_labels, why);
    bool unnamed = s->merge.count > 0 && ret_labels->size == 0; /* a series without labels */
    if (unnamed) *ret_labels = bytes_of("", 0);
    return e;
}

static enum err
strand_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(((struct strand *)from)->set, ret_batch, why);
}

static enum err
replicas_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct replicas_set *s = (struct replicas_set *)set;
    return account(s, replica_merge_batch(&s->merge, ret_batch, why), why);
}

static const char *
replicas_set_warning(struct series_set *set, uint32_t index)
{
    struct replicas_set *s = (struct replicas_set *)set;
    const char *sentence;
    for (uint32_t k = 0; (sentence = warnings_at(&s->scan.warnings, k)) != NULL; k++) {
        if (index-- == 0) return sentence;
    }
    for (uint32_t i = 0; i < s->strand_count; i++) {
        for (uint32_t k = 0; (sentence = series_set_warning(s->strands[i].set, k)) != NULL; k++) {
            if (index-- == 0) return sentence;
        }
    }
    return NULL;
}

/* Estimates samples by the largest replica, since mostly one replica is read. */
static struct series_cost
replicas_set_cost(const struct series_set *set)
{
    const struct replicas_set *s = (const struct replicas_set *)set;
    struct series_cost all = {.series = s->scan.key_count};
    for (uint32_t i = 0; i < s->strand_count; i++) {
        struct series_cost one = series_set_cost(s->strands[i].set);
        all.series += one.series;
        if (one.samples > all.samples) all.samples = one.samples;
        if (one.blocks > all.blocks) all.blocks = one.blocks;
        if (one.bytes > all.bytes) all.bytes = one.bytes;
        if (one.rollups > all.rollups) all.rollups = one.rollups;
    }
    return all;
}

static struct series_cost
replicas_set_spent(const struct series_set *set)
{
    const struct replicas_set *s = (const struct replicas_set *)set;
    struct series_cost all = s->ended, one;
    for (uint32_t i = 0; i < s->strand_count; i++) {
        if (series_set_spent(s->strands[i].set, &one)) series_cost_add(&all, &one);
    }
    all.series = s->series_seen;
    return all;
}

static void
replicas_set_free(struct series_set *set)
{
    struct replicas_set *s = (struct replicas_set *)set;
    drop_strands(s);
    array_free(s->budget, s->strands, s->strand_capacity);
    array_free(s->budget, s->matchers, s->matcher_capacity);
    replica_merge_fini(&s->merge);
    replicas_scan_fini(&s->scan);
    replicas_view_unref(s->view);
    mem_free(s->budget, s, sizeof *s);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Copies the request's sets into `arena`, each with these matchers, too. */
static enum err
extend_sets(const struct query_request *request, struct matcher **more, uint32_t more_count,
            struct arena *arena, struct matcher_set **ret)
{
    uint32_t count = request->set_count == 0 ? 1 : request->set_count;
    struct matcher_set *sets = arena_new(arena, count * sizeof *sets);
    if (sets == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        struct matcher_set from = request->set_count == 0 ? sets[i] : request->sets[i];
        struct matcher **all = arena_alloc(arena, (from.count + more_count) * sizeof *all);
        if (all == NULL) return ERR_NOMEM;
        if (from.count > 0) memcpy(all, from.matchers, from.count * sizeof *all);
        memcpy(all + from.count, more, more_count * sizeof *all);
        sets[i] = (struct matcher_set){all, from.count + more_count};
    }
    *ret = sets;
    return OK;
}

static enum err
open_strand(struct replicas_set *s, const struct combination *c, uint32_t ascent,
            const struct query_request *request, struct why *why)
{
    if (!array_reserve(s->budget, &s->strands, &s->strand_capacity, s->strand_count + 1)) {
        return replicas_no_memory(why);
    }
    struct strand *st = &s->strands[s->strand_count];
    *st = (struct strand){.combination = c, .ascent = ascent};
    buf_init(&st->labels, s->budget, REPLICAS_LABEL_BYTES_MAX);
    enum err e = account(s, view_select(s->view->inner, request, &st->set, why), why);
    s->strand_count += e == OK;
    return e;
}

static enum err
open_combination(struct replicas_set *s, const struct combination *c, struct why *why)
{
    struct matcher *more[REPLICA_LABELS_MAX];
    struct matcher_set *sets = NULL;
    struct arena arena;
    uint32_t count = 0;
    enum err e = OK;
    bool alone = s->scan.combination_count == 1; /* matchers would select all */
    arena_init(&arena, s->budget, 0, 0);
    for (uint32_t i = 0; i < s->view->name_count && e == OK && !alone; i++) {
        struct label label = {s->view->names[i], labels_get(c->dropped, s->view->names[i])};
        e = put_matcher(s, &label, more, &count, why);
    }
    struct query_request request = s->request;
    if (e == OK && count > 0) {
        e = extend_sets(&s->request, more, count, &arena, &sets);
        if (e) e = replicas_no_memory(why);
        request.sets = sets;
        request.set_count = request.set_count == 0 ? 1 : request.set_count;
    }
    for (uint32_t i = 0; i < c->ascent_count && e == OK; i++) {
        e = open_strand(s, c, i, &request, why);
    }
    arena_fini(&arena);
    return e;
}

/* Makes the template of requests below, where labels differ. If there is only one strand, its
 * series are those of the answer, sample by sample. */
static void
set_request(struct replicas_set *s, const struct query_request *request)
{
    s->request = s->scan.request;
    s->request.control = replicas_control_below(&s->control);
    s->request.hints.labels_only = request->hints.labels_only;
    if (s->scan.is_wide || s->scan.strand_count != 1) return;
    s->request.chunks = request->chunks;
    s->request.hints.summaries = request->hints.summaries;
}

/* Makes the view below select the same shard, by passing the labels that do not count. */
static void
set_shard_below(const struct replicas_view *v, struct query_hints *h)
{
    if (h->shard_without_count > 0) h->shard_count = 0;
    h->shard_without = v->names;
    h->shard_without_count = v->name_count;
}

static enum err
scan_begin(struct replicas_scan *scan, const struct query_request *request, struct why *why)
{
    struct query_request *r = &scan->request;
    *r = *request;
    r->chunks = false;
    r->hints.limit = 0;
    r->hints.summaries = 0;
    r->hints.from_labels = bytes_of(NULL, 0);
    set_shard_below(scan->view, &r->hints);
    scan->shard = request->hints;
    scan->from_labels = request->hints.from_labels;
    enum err e = replicas_scan_run(scan, why);
    /* Copies values that are used after the call. */
    bool lost = query_hints_keep_shard(&request->hints, &scan->arena, &scan->shard) != OK;
    r->tenant = arena_copy(&scan->arena, request->tenant);
    scan->from_labels = arena_copy(&scan->arena, request->hints.from_labels);
    lost |= r->tenant.at == NULL || scan->from_labels.at == NULL;
    return e == OK && lost ? replicas_no_memory(why) : e;
}

/* Says whether no series has a replica label: the first pass has seen all of them, if the view is
 * of one moment, as views with marks are. */
static bool
is_as_below(const struct replicas_scan *scan, const struct query_request *request)
{
    struct view_mark mark;
    if (!view_has_mark(scan->view->inner, &mark)) return false;
    bool of_all = request->hints.shard_count < 2 || scan->request.hints.shard_count > 1;
    return of_all && request->hints.from_labels.size == 0 && !scan->is_wide &&
           scan->strand_count == 1 && scan->combinations[0].dropped.size == 0;
}

static enum err
select_as_below(const struct replicas_view *view, const struct query_request *request,
                struct series_set **ret_set, struct why *why)
{
    struct query_request below = *request;
    set_shard_below(view, &below.hints);
    return view_select(view->inner, &below, ret_set, why);
}

enum err
replicas_select(struct replicas_view *view, const struct query_request *request,
                struct series_set **ret_set, struct why *why)
{
    static const struct series_set_ops ops = {.next = replicas_set_next,
                                              .batch = replicas_set_batch,
                                              .warning = replicas_set_warning,
                                              .cost = replicas_set_cost,
                                              .spent = replicas_set_spent,
                                              .free = replicas_set_free};
    struct budget *budget = replicas_budget(view, request);
    struct replicas_set *s = mem_new(budget, sizeof *s);
    if (s == NULL) return replicas_no_memory(why);
    s->set.ops = &ops;
    s->view = view;
    /* Relaxed: the caller has a reference, so that it cannot be the first. */
    uint32_t before = atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    assert(before > 0); /* invariant 2 */
    s->budget = s->scan.budget = budget;
    s->scan.view = view;
    replicas_control_begin(&s->control, request->control, false);
    replica_merge_init(&s->merge, strand_batch, request, budget);
    enum err e = scan_begin(&s->scan, request, why);
    bool as_below = e == OK && is_as_below(&s->scan, request);
    set_request(s, request);
    for (uint32_t i = 0; i < s->scan.combination_count && e == OK && !as_below; i++) {
        e = open_combination(s, &s->scan.combinations[i], why);
    }
    if (e == OK && !as_below) {
        *ret_set = &s->set;
        return OK;
    }
    replicas_set_free(&s->set);
    return e ? e : select_as_below(view, request, ret_set, why);
}
