/* replicas_test.c - replicas read as one, over random series in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/labels.h"
#include "query/replica_merge.h"
#include "query/replicas_private.h"
#include "wire/random_test.h"

enum { SERIES_MAX = 400, LABELS_BYTES = 200, SAMPLES = 40, BATCH_MAX = 16 };

/* --- a view of what it was given -------------------------------------------------------------- */

struct given_series {
    uint8_t room[LABELS_BYTES];
    struct bytes labels; /* in `room` */
    struct bytes rest;   /* without those of the replica; in the rig's arena, as the next */
    struct bytes dropped;
    uint32_t count;
    int64_t times_ms[SAMPLES];
    uint64_t bits[SAMPLES];
};

struct given {
    struct view view;                        /* first */
    struct given_series *series[SERIES_MAX]; /* in label order */
    unsigned count, sets, most_sets, selects;
    struct rng rng;
    const char *warning; /* of every answer; NULL: none */
    enum err error;      /* of the answer number `fails`, counted from 0 */
    unsigned fails;
    bool has_late; /* a series is there only for questions after the first, */
    unsigned late; /* this */
    bool freed;
};

struct given_set {
    struct series_set set; /* first */
    struct given *of;
    const struct given_series *found[SERIES_MAX];
    unsigned count, next;
    uint32_t sample;
    bool labels_only;
    struct query_control *control;
    struct series_cost spent;
    int64_t times_ms[BATCH_MAX];
    uint64_t bits[BATCH_MAX];
    uint8_t labels[LABELS_BYTES];
};

static bool
is_selected(struct bytes labels, const struct query_request *r)
{
    for (uint32_t i = 0; i < r->set_count; i++) {
        uint32_t k = 0;
        while (k < r->sets[i].count &&
               matcher_matches(r->sets[i].matchers[k],
                               labels_get(labels, matcher_name(r->sets[i].matchers[k])))) {
            k++;
        }
        if (k == r->sets[i].count) return true;
    }
    return r->set_count == 0;
}

static bool
is_hinted_at(struct bytes labels, const struct query_hints *h)
{
    return query_hints_want(h, labels) &&
           (h->from_labels.size == 0 || labels_compare(labels, h->from_labels) >= 0);
}

static enum err
given_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    enum err e = query_control_check(s->control, why);
    if (e) return e;
    *ret_labels = bytes_of(NULL, 0);
    s->sample = 0;
    if (s->next == s->count) return OK;
    const struct given_series *x = s->found[s->next++];
    memset(s->labels, 0x55, sizeof s->labels); /* the view of them ends with the next call */
    memcpy(s->labels, x->labels.at, x->labels.size);
    *ret_labels = bytes_of(s->labels, x->labels.size);
    s->spent.series++;
    return query_control_add_series(s->control, why);
}

static enum err
given_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    const struct given_series *x = s->found[s->next - 1];
    uint32_t n = 0, most = 1 + (uint32_t)rng_below(&s->of->rng, BATCH_MAX);
    assert_false(s->labels_only);
    for (; n < most && s->sample < x->count; n++, s->sample++) {
        s->times_ms[n] = x->times_ms[s->sample];
        s->bits[n] = x->bits[s->sample];
    }
    *ret = (struct sample_batch){.count = n, .times_ms = s->times_ms, .value_bits = s->bits};
    s->spent.samples += n;
    enum err e = query_control_add_bytes(s->control, 2 * n, why);
    return e ? e : query_control_add_samples(s->control, n, why);
}

static const char *
given_warning(struct series_set *set, uint32_t index)
{
    return index == 0 ? ((struct given_set *)set)->of->warning : NULL;
}

static struct series_cost
given_spent(const struct series_set *set)
{
    return ((const struct given_set *)set)->spent;
}

static void
given_set_free(struct series_set *set)
{
    ((struct given_set *)set)->of->sets--;
    free(set);
}

static enum err
given_select(struct view *view, const struct query_request *r, struct series_set **ret,
             struct why *why)
{
    static const struct series_set_ops ops = {.next = given_next,
                                              .batch = given_batch,
                                              .warning = given_warning,
                                              .spent = given_spent,
                                              .free = given_set_free};
    struct given *g = (struct given *)view;
    assert_false(g->freed);
    assert_true(bytes_equal_text(r->tenant, "t"));
    bool first = g->selects == 0;
    if (g->error && g->selects++ >= g->fails) return why_set(why, g->error, "as told");
    g->selects += g->error == OK;
    struct given_set *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->set.ops = &ops;
    s->of = g;
    s->control = r->control;
    s->labels_only = r->hints.labels_only;
    for (unsigned i = 0; i < g->count; i++) {
        if (g->has_late && i == g->late && first) continue;
        struct bytes labels = g->series[i]->labels;
        if (!is_selected(labels, r) || !is_hinted_at(labels, &r->hints)) continue;
        s->found[s->count++] = g->series[i];
    }
    if (++g->sets > g->most_sets) g->most_sets = g->sets;
    *ret = &s->set;
    return OK;
}

static enum err
given_texts(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct given *g = (struct given *)view;
    enum err e = why_set(why, g->error, "as told");
    for (unsigned i = 0; i < g->count && e == OK; i++) {
        if (is_selected(g->series[i]->labels, r)) e = to->each(to->context, g->series[i]->labels);
    }
    if (e == OK && g->warning != NULL) e = to->warning(to->context, g->warning);
    return e;
}

/* One letter each; at most so many. */
static enum err
given_names(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct given *g = (struct given *)view;
    enum err e = why_set(why, g->error, "as told");
    uint64_t count = 0;
    for (uint8_t name = 'a'; name <= 'z' && e == OK; name++) {
        bool any = false;
        for (unsigned i = 0; i < g->count && !any; i++) {
            any = is_selected(g->series[i]->labels, r) &&
                  labels_get(g->series[i]->labels, bytes_of(&name, 1)).size > 0;
        }
        if (!any) continue;
        if (r->hints.limit > 0 && count++ > r->hints.limit) break;
        e = to->each(to->context, bytes_of(&name, 1));
    }
    return e;
}

static enum err
given_values(struct view *view, const struct query_request *r, struct bytes name,
             const struct text_sink *to, struct why *why)
{
    (void)view, (void)r, (void)why;
    return to->each(to->context, name); /* which was asked about */
}

static enum err
given_exemplars(struct view *view, const struct query_request *r, const struct exemplar_sink *to,
                struct why *why)
{
    struct given *g = (struct given *)view;
    enum err e = why_set(why, g->error, "as told");
    for (unsigned i = 0; i < g->count && e == OK; i++) {
        struct exemplar x = {.series_labels = g->series[i]->labels, .t_ms = 7};
        if (is_selected(g->series[i]->labels, r)) e = to->each(to->context, &x);
    }
    return e;
}

static enum err
given_metadata(struct view *view, const struct query_request *r, struct bytes family,
               enum err (*each)(void *context, const struct metadata *m), void *context,
               struct why *why)
{
    struct metadata m = {.family = family};
    (void)view, (void)r, (void)why;
    return each(context, &m);
}

static struct view_mark
given_mark(const struct view *view)
{
    (void)view;
    return (struct view_mark){3, 4};
}

static int64_t
given_same_before(const struct view *view, struct bytes tenant, const struct view_mark *mark)
{
    (void)view, (void)tenant;
    return (int64_t)mark->epoch;
}

static enum err
given_survey(struct view *view, const struct query_request *r, struct series_survey *ret,
             struct why *why)
{
    (void)r, (void)why;
    *ret = (struct series_survey){.cost.series = ((struct given *)view)->count, .exact = true};
    return OK;
}

static bool
given_concerns(const struct view *view, const struct query_request *r)
{
    (void)view;
    return r->min_ms > 5;
}

static void
given_free(struct view *view)
{
    ((struct given *)view)->freed = true;
}

static const struct view_ops given_ops = {
    .select = given_select,
    .exemplars = given_exemplars,
    .metadata = given_metadata,
    .label_names = given_names,
    .label_values = given_values,
    .series = given_texts,
    .free = given_free,
};

static const struct view_ops ops_of_a_moment = {
    .select = given_select,
    .exemplars = given_exemplars,
    .metadata = given_metadata,
    .label_names = given_names,
    .label_values = given_values,
    .series = given_texts,
    .mark = given_mark,
    .same_before = given_same_before,
    .survey = given_survey,
    .concerns = given_concerns,
    .free = given_free,
};

/* --- the rig ---------------------------------------------------------------------------------- */

struct rig {
    struct given given;
    struct given_series all[SERIES_MAX];
    struct bytes names[4]; /* of the replica labels */
    uint32_t name_count;
    struct view *view;
    struct arena arena;
    struct budget budget;
};

static int
compare_given(const void *a, const void *b)
{
    return labels_compare((*(struct given_series *const *)a)->labels,
                          (*(struct given_series *const *)b)->labels);
}

/* The plain way. */
static struct bytes
labels_with(struct rig *g, struct bytes labels, bool of_replica)
{
    struct buf to;
    struct cursor c = cursor_of(labels);
    buf_init(&to, NULL, LABELS_BYTES);
    for (struct label label; labels_next(&c, &label);) {
        bool is_one = false;
        for (uint32_t i = 0; i < g->name_count; i++) {
            is_one |= bytes_equal(label.name, g->names[i]);
        }
        if (is_one == of_replica) labels_put(&to, label);
    }
    struct bytes copy = arena_copy(&g->arena, buf_bytes(&to));
    buf_fini(&to);
    return copy;
}

static void
rig_begin(struct rig *g, uint64_t seed)
{
    memset(g, 0, sizeof *g);
    g->given.view.ops = &given_ops;
    g->given.rng.state = seed;
    arena_init(&g->arena, NULL, 0, 0);
    budget_init(&g->budget, "query", 0, NULL);
}

/* False: the series is there already. */
static bool
rig_add(struct rig *g, struct bytes labels)
{
    struct given *of = &g->given;
    for (unsigned i = 0; i < of->count; i++) {
        if (bytes_equal(of->series[i]->labels, labels)) return false;
    }
    struct given_series *s = &g->all[of->count];
    assert_true(of->count < SERIES_MAX && labels.size <= LABELS_BYTES);
    if (labels.size > 0) memcpy(s->room, labels.at, labels.size);
    s->labels = bytes_of(s->room, labels.size);
    of->series[of->count++] = s;
    s->count = (uint32_t)rng_below(&of->rng, SAMPLES);
    int64_t t_ms = (int64_t)rng_below(&of->rng, 20);
    for (uint32_t i = 0; i < s->count; i++) {
        s->times_ms[i] = t_ms;
        s->bits[i] = rng_below(&of->rng, 20) == 0 ? STALE_NAN_BITS
                                                  : double_bits((double)rng_below(&of->rng, 100));
        t_ms += rng_below(&of->rng, 10) == 0 ? 50 : 10;
    }
    return true;
}

static void
rig_open(struct rig *g)
{
    struct given *of = &g->given;
    if (of->count > 0) qsort(of->series, of->count, sizeof(void *), compare_given);
    for (unsigned i = 0; i < of->count; i++) {
        of->series[i]->rest = labels_with(g, of->series[i]->labels, false);
        of->series[i]->dropped = labels_with(g, of->series[i]->labels, true);
    }
    assert_int_equal(
        replicas_view_new(&of->view, g->names, g->name_count, &g->budget, &g->view, NULL), OK);
}

static void
rig_end(struct rig *g)
{
    view_free(g->view);
    assert_true(g->given.freed);
    assert_int_equal(g->given.sets, 0);
    assert_int_equal(budget_used(&g->budget), 0);
    arena_fini(&g->arena);
}

/* Few names and values, so that many are the beginning of others. */
static void
rig_random(struct rig *g, uint64_t seed, unsigned series, uint64_t values)
{
    static const char *const names = "abcdefg";
    rig_begin(g, seed);
    struct rng *rng = &g->given.rng;
    g->name_count = 1 + (uint32_t)rng_below(rng, 3);
    for (uint32_t i = 0; i < g->name_count; i++) { /* one may be there twice, or in no series */
        g->names[i] = bytes_of(&"abcdefgz"[rng_below(rng, 8)], 1);
    }
    for (unsigned i = 0; i < series; i++) {
        struct buf labels;
        buf_init(&labels, NULL, LABELS_BYTES);
        for (unsigned k = 0; k < 7; k++) {
            char value[8];
            if (rng_below(rng, 3) == 0) continue;
            snprintf(value, sizeof value, "%u", (unsigned)rng_below(rng, values));
            labels_put(&labels, (struct label){bytes_of(&names[k], 1), bytes_of_text(value)});
        }
        (void)rig_add(g, buf_bytes(&labels));
        buf_fini(&labels);
    }
    rig_open(g);
}

/* --- what is right ---------------------------------------------------------------------------- */

static int
compare_wanted(const void *a, const void *b)
{
    const struct given_series *x = *(struct given_series *const *)a;
    const struct given_series *y = *(struct given_series *const *)b;
    int order = labels_compare(x->rest, y->rest);
    return order != 0 ? order : labels_compare(x->dropped, y->dropped);
}

/* What is asked for, in the order of the answer. */
static unsigned
find_wanted(const struct rig *g, const struct query_request *r, struct given_series **wanted)
{
    unsigned count = 0;
    for (unsigned i = 0; i < g->given.count; i++) {
        struct given_series *s = g->given.series[i];
        if (is_selected(s->labels, r) && is_hinted_at(s->rest, &r->hints)) wanted[count++] = s;
    }
    if (count > 0) qsort(wanted, count, sizeof *wanted, compare_wanted);
    return count;
}

static enum err
all_at_once(void *from, struct sample_batch *ret, struct why *why)
{
    struct given_series **at = from;
    (void)why;
    *ret = (struct sample_batch){.count = 0};
    if (*at == NULL) return OK;
    *ret = (struct sample_batch){
        .count = (*at)->count, .times_ms = (*at)->times_ms, .value_bits = (*at)->bits};
    *at = NULL;
    return OK;
}

struct samples {
    uint32_t count;
    int64_t times_ms[8 * SAMPLES];
    uint64_t bits[8 * SAMPLES];
};

static void
add_batch(struct samples *to, const struct sample_batch *b)
{
    assert_true(to->count + b->count <= 8 * SAMPLES);
    memcpy(to->times_ms + to->count, b->times_ms, b->count * sizeof(int64_t));
    memcpy(to->bits + to->count, b->value_bits, b->count * sizeof(uint64_t));
    to->count += b->count;
}

/* replica_merge_test.c has the rules. */
static void
merge_plainly(struct given_series **replicas, unsigned count, const struct query_request *r,
              struct samples *ret)
{
    struct given_series *left[SERIES_MAX];
    struct replica_merge m;
    struct sample_batch b = {.count = 1};
    ret->count = 0;
    replica_merge_init(&m, all_at_once, r, NULL);
    for (unsigned i = 0; i < count; i++) {
        left[i] = replicas[i];
        assert_int_equal(replica_merge_add(&m, &left[i]), OK);
    }
    while (b.count > 0) {
        assert_int_equal(replica_merge_batch(&m, &b, NULL), OK);
        if (b.count > 0) add_batch(ret, &b);
    }
    replica_merge_fini(&m);
}

static void
check_samples(struct series_set *set, struct given_series **replicas, unsigned count,
              const struct query_request *r)
{
    static struct samples want, got;
    struct sample_batch b = {.count = 1};
    merge_plainly(replicas, count, r, &want);
    got.count = 0;
    while (b.count > 0) {
        assert_int_equal(series_set_batch(set, &b, NULL), OK);
        if (b.count > 0) add_batch(&got, &b);
    }
    assert_int_equal(got.count, want.count);
    assert_memory_equal(got.times_ms, want.times_ms, got.count * sizeof(int64_t));
    assert_memory_equal(got.bits, want.bits, got.count * sizeof(uint64_t));
}

static void
check_select(struct rig *g, const struct query_request *r)
{
    struct given_series *wanted[SERIES_MAX];
    struct series_set *set;
    struct bytes labels;
    struct why why;
    unsigned count = find_wanted(g, r, wanted), same;
    assert_int_equal(view_select(g->view, r, &set, &why), OK);
    for (unsigned i = 0; i < count; i += same) {
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        assert_non_null(labels.at);
        assert_true(bytes_equal(labels, wanted[i]->rest));
        for (same = 1; i + same < count; same++) {
            if (!bytes_equal(wanted[i + same]->rest, wanted[i]->rest)) break;
        }
        bool drains = !r->hints.labels_only && rng_below(&g->given.rng, 4) > 0;
        if (drains) check_samples(set, &wanted[i], same, r);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(series_set_next(set, &labels, &why), OK);

        assert_null(labels.at);
    }
    series_set_free(set);
}

/* --- series with samples ---------------------------------------------------------------------- */

static struct query_request
request_for(struct rig *g)
{
    return (struct query_request){
        .tenant = bytes_of_text("t"), .max_ms = 2000, .budget = &g->budget};
}

static struct matcher *
random_matcher(struct rng *rng)
{
    static const char *const patterns[] = {"", "0", "1", "0|1", ".+", "[01]?"};
    struct matcher *m;
    assert_int_equal(matcher_new((enum matcher_type)rng_below(rng, 4),
                                 bytes_of(&"abcdefg"[rng_below(rng, 7)], 1),
                                 bytes_of_text(patterns[rng_below(rng, 6)]), NULL, &m, NULL),
                     OK);
    return m;
}

static void
test_series_of_replicas_are_one_in_label_order(void **state)
{
    static struct rig g;
    struct bytes not_counted = bytes_of_text("f");
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        rig_random(&g, seed, (unsigned)(seed % 120), 1 + seed % 3);
        struct rng rng = {seed};
        struct query_request r = request_for(&g);
        struct matcher *matchers[4];
        if (seed % 2 == 0) g.given.view.ops = &ops_of_a_moment;
        struct matcher_set sets[2];
        for (unsigned i = 0; i < 4; i++) {
            matchers[i] = random_matcher(&rng);
        }
        r.sets = sets;
        r.set_count = (uint32_t)rng_below(&rng, 3);
        sets[0] = (struct matcher_set){matchers, (uint32_t)rng_below(&rng, 3)};
        sets[1] = (struct matcher_set){matchers + 2, 1 + (uint32_t)rng_below(&rng, 2)};
        r.hints.shard_count = rng_below(&rng, 4) == 0 ? 3 : 0;
        r.hints.shard = (uint32_t)rng_below(&rng, 3);
        if (rng_below(&rng, 4) == 0) { /* as of another view of this kind above */
            r.hints.shard_without = &not_counted;
            r.hints.shard_without_count = 1;
        }
        r.hints.labels_only = rng_below(&rng, 8) == 0;
        r.hints.times_only = rng_below(&rng, 8) == 0;
        r.hints.summaries = SUMMARY_COUNT; /* none come here */
        r.chunks = true;
        if (g.given.count > 0 && rng_below(&rng, 4) == 0) {
            r.hints.from_labels = g.given.series[rng_below(&rng, g.given.count)]->rest;
        }
        check_select(&g, &r);
        for (unsigned i = 0; i < 4; i++) {
            matcher_free(matchers[i]);
        }
        rig_end(&g);
    }
}

/* Of the labels of two series, with those of the replica and without. */
static void
check_order(const struct given_series *a, const struct given_series *b)
{
    int with = labels_compare(a->labels, b->labels), without = labels_compare(a->rest, b->rest);
    if ((with < 0) == (without < 0)) return;
    if (without > 0) {
        check_order(b, a);
        return;
    }
    /* `a` is the beginning of `b`, and a label of the replica comes after what `b` has next. */
    assert_true(a->rest.size < b->rest.size);
    assert_true(a->rest.size == 0 || memcmp(a->rest.at, b->rest.at, a->rest.size) == 0);
    struct cursor c = cursor_of(bytes_of(b->rest.at + a->rest.size, b->rest.size - a->rest.size));
    struct cursor dropped = cursor_of(a->dropped);
    struct label next, label, last = {bytes_of(NULL, 0), bytes_of(NULL, 0)};
    assert_true(labels_next(&c, &next));
    while (labels_next(&dropped, &label)) {
        last = label;
    }
    assert_true(bytes_compare(last.name, next.name) > 0);
}

static void
test_the_order_of_a_combination_changes_only_where_one_series_is_the_beginning_of_another(
    void **state)
{
    static struct rig g;
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        rig_random(&g, seed, 100, 1 + seed % 3);
        for (unsigned i = 0; i < g.given.count; i++) {
            for (unsigned k = 0; k < g.given.count; k++) {
                const struct given_series *a = g.given.series[i], *b = g.given.series[k];
                if (i != k && bytes_equal(a->dropped, b->dropped)) check_order(a, b);
            }
        }
        rig_end(&g);
    }
}

static void
put_series(struct rig *g, const char *const *pairs)
{
    struct buf labels;
    buf_init(&labels, NULL, LABELS_BYTES);
    for (; *pairs != NULL; pairs += 2) {
        labels_put(&labels, (struct label){bytes_of_text(pairs[0]), bytes_of_text(pairs[1])});
    }
    assert_true(rig_add(g, buf_bytes(&labels)));
    buf_fini(&labels);
}
#define PUT_SERIES(rig, ...) put_series(rig, (const char *const[]){__VA_ARGS__, NULL})

static void
test_as_many_sets_are_read_as_there_are_replicas(void **state)
{
    static struct rig g;
    (void)state;
    rig_begin(&g, 1);
    g.names[g.name_count++] = bytes_of_text("__replica__");
    for (unsigned i = 0; i < 50; i++) {
        char job[8];
        snprintf(job, sizeof job, "%u", i);
        PUT_SERIES(&g, "__name__", "up", "__replica__", "a", "job", job);
        if (i % 7 != 0) PUT_SERIES(&g, "__name__", "up", "__replica__", "b", "job", job);
    }
    rig_open(&g);
    struct query_request r = request_for(&g);
    check_select(&g, &r);
    assert_int_equal(g.given.most_sets, 2);
    assert_int_equal(g.given.selects, 3); /* which there are, and each replica */
    rig_end(&g);
}

static void
test_what_has_no_replica_labels_is_asked_as_it_was(void **state)
{
    static struct rig g;
    (void)state;
    rig_begin(&g, 1);
    g.names[g.name_count++] = bytes_of_text("replica");
    PUT_SERIES(&g, "job", "x");
    PUT_SERIES(&g, "job", "x", "to", "y");
    rig_open(&g);
    struct query_request r = request_for(&g);
    struct series_set *set;
    for (unsigned i = 0; i < 2; i++) {
        g.given.view.ops = i == 0 ? &given_ops : &ops_of_a_moment;
        assert_int_equal(view_select(g.view, &r, &set, NULL), OK);
        assert_int_equal(set->ops->next == given_next, i); /* else there may be more by now */
        series_set_free(set);
        check_select(&g, &r);
    }
    rig_end(&g);
    rig_begin(&g, 1);
    g.names[0] = bytes_of_text("");
    g.name_count = 1;
    rig_open(&g);
    assert_ptr_equal(g.view, &g.given.view); /* nothing is asked for */
    rig_end(&g);
}

/* With its replica label it comes after the place. */
static void
test_a_series_before_the_place_that_is_asked_for_is_left_out(void **state)
{
    static struct rig g;
    (void)state;
    rig_begin(&g, 1);
    g.given.view.ops = &ops_of_a_moment;
    g.names[g.name_count++] = bytes_of_text("r");
    PUT_SERIES(&g, "a", "1", "r", "1");
    PUT_SERIES(&g, "a", "1", "c", "1");
    rig_open(&g);
    struct query_request r = request_for(&g);
    r.hints.from_labels = g.given.series[0]->rest;
    assert_true(labels_get(r.hints.from_labels, bytes_of_text("c")).size > 0);
    check_select(&g, &r);
    rig_end(&g);
}

static void
test_many_combinations_are_read_series_by_series(void **state)
{
    static struct rig g;
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        rig_begin(&g, seed);
        g.names[g.name_count++] = bytes_of_text("b");
        g.names[g.name_count++] = bytes_of_text("q");
        for (unsigned i = 0; i < SERIES_MAX; i++) {
            char replica[8], shop[8];
            snprintf(replica, sizeof replica, "%u", i / 3);
            snprintf(shop, sizeof shop, "%u", i / 6);
            if (i % 3 == 0)
                PUT_SERIES(&g, "a", "x", "b", replica, "shop", shop);
            else if (i % 3 == 1)
                PUT_SERIES(&g, "a", "x", "b", replica, "c", shop);
            else if (i % 9 == 2)
                PUT_SERIES(&g, "a", "y", "b", replica);
        }
        rig_open(&g);
        struct query_request r = request_for(&g);
        check_select(&g, &r);
        rig_end(&g);
    }
}

/* --- errors, memory, limits, warnings --------------------------------------------------------- */

/* Drains all; how it ended. */
static enum err
drain(struct rig *g, const struct query_request *r, unsigned *ret_series, struct why *why)
{
    struct series_set *set;
    struct bytes labels;
    struct sample_batch b;
    *ret_series = 0;
    enum err e = view_select(g->view, r, &set, why);
    if (e) return e;
    for (;;) {
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        ++*ret_series;
        do {
            e = series_set_batch(set, &b, why);
        } while (e == OK && b.count > 0);
        if (e) break;
    }
    series_set_free(set);
    return e;
}

static void
put_shops(struct rig *g, unsigned replicas)
{
    g->names[g->name_count++] = bytes_of_text("replica");
    for (unsigned i = 0; i < replicas; i++) {
        char replica[8], shop[8];
        snprintf(replica, sizeof replica, "%u", i);
        snprintf(shop, sizeof shop, "%u", i / 2);
        PUT_SERIES(g, "job", shop, "replica", replica);
        if (i % 4 == 0) PUT_SERIES(g, "job", shop, "of", "x", "replica", replica);
    }
    rig_open(g);
}

static void
test_what_finds_no_memory_is_an_error(void **state)
{
    static struct rig g;
    (void)state;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) { /* of the second, many */
        for (uint64_t nth = 1;; nth++) {
            unsigned series;
            struct why why;
            rig_begin(&g, 1);
            put_shops(&g, replicas);
            struct query_request r = request_for(&g);
            mem_fail_nth(nth, false);
            enum err e = drain(&g, &r, &series, &why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_true(e == OK || e == ERR_NOMEM);
            rig_end(&g);
            if (fired) continue; /* a matcher that is not made may be done without */
            assert_int_equal(e, OK);
            assert_int_equal(series, replicas / 2 + replicas / 4);
            break;
        }
    }
}

static void
test_an_error_below_is_that_of_the_answer(void **state)
{
    static struct rig g;
    (void)state;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) {
        for (unsigned fails = 0;; fails++) {
            unsigned series;
            struct why why;
            rig_begin(&g, 1);
            g.given.error = ERR_CORRUPT;
            g.given.fails = fails;
            put_shops(&g, replicas);
            struct query_request r = request_for(&g);
            enum err e = drain(&g, &r, &series, &why);
            bool failed = g.given.selects > fails;
            rig_end(&g);
            assert_int_equal(e, failed ? ERR_CORRUPT : OK);
            if (!failed) break;
            assert_string_equal(why.text, "as told");
        }
    }
}

static void
test_a_query_that_is_canceled_ends_and_says_why(void **state)
{
    static struct rig g;
    struct query_control control = {.names = &limits_of_queries};
    struct series_set *set;
    struct bytes labels;
    struct why why;
    (void)state;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) {
        rig_begin(&g, 1);
        put_shops(&g, replicas);
        struct query_request r = request_for(&g);
        r.control = &control;
        control.canceled = NULL;
        assert_int_equal(view_select(g.view, &r, &set, &why), OK);
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        control.canceled = "somebody had enough";
        assert_int_equal(series_set_next(set, &labels, &why), ERR_CANCELED);
        assert_string_equal(why.text, "somebody had enough");
        series_set_free(set);
        assert_int_equal(view_select(g.view, &r, &set, &why), ERR_CANCELED);
        assert_string_equal(why.text, "somebody had enough");
        rig_end(&g);
    }
}

static void
test_each_series_and_sample_counts_once(void **state)
{
    static struct rig g;
    unsigned series;
    struct why why;
    (void)state;
    for (unsigned replicas = 4; replicas <= 80; replicas += 76) {
        struct query_control control = {.names = &limits_of_queries};
        struct series_set *set;
        struct series_cost spent;
        rig_begin(&g, 1);
        put_shops(&g, replicas);
        struct query_request r = request_for(&g);
        r.control = &control;
        control.series_max = g.given.count;
        assert_int_equal(drain(&g, &r, &series, &why), OK);
        assert_int_equal(control.series_seen, g.given.count);
        assert_int_equal(control.bytes_seen, 2 * control.samples_seen);
        uint64_t samples = control.samples_seen;
        control.series_seen = control.samples_seen = control.bytes_seen = 0;
        control.series_max--;
        assert_int_equal(drain(&g, &r, &series, &why), ERR_LIMIT);
        control.series_max = 0;
        control.series_seen = control.samples_seen = control.bytes_seen = 0;
        control.samples_max = samples - 1;
        assert_int_equal(drain(&g, &r, &series, &why), ERR_LIMIT);
        assert_non_null(strstr(why.text, "query.max_samples_read"));
        control.samples_max = 0;
        control.samples_seen = control.bytes_seen = 0;
        assert_int_equal(view_select(g.view, &r, &set, &why), OK);
        do {
            struct bytes labels;
            assert_int_equal(series_set_next(set, &labels, &why), OK);
            series = labels.at != NULL;
        } while (series > 0);
        assert_true(series_set_spent(set, &spent));
        assert_int_equal(spent.series, g.given.count);
        series_set_free(set);
        rig_end(&g);
    }
}

static void
test_a_place_that_is_damaged_is_named_once(void **state)
{
    static struct rig g;
    struct bytes labels;
    struct why why;
    (void)state;
    for (unsigned replicas = 0; replicas <= 80; replicas += 40) { /* no series, two ways */
        struct series_set *set;
        rig_begin(&g, 1);
        g.given.warning = "half of it is gone";
        put_shops(&g, replicas);
        struct query_request r = request_for(&g);
        assert_int_equal(view_select(g.view, &r, &set, &why), OK);
        do {
            assert_int_equal(series_set_next(set, &labels, &why), OK);
        } while (labels.at != NULL);
        assert_string_equal(series_set_warning(set, 0), "half of it is gone");
        assert_null(series_set_warning(set, 1));
        series_set_free(set);
        rig_end(&g);
    }
}

/* The view below is not of one moment. */
static void
test_series_that_come_while_others_are_read_are_left_out(void **state)
{
    static struct rig g;
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct given_series *late, *wanted[SERIES_MAX];
        unsigned series, want = 0;
        struct why why;
        rig_random(&g, seed, 60, 2);
        g.given.has_late = true;
        g.given.late = (unsigned)seed % g.given.count;
        struct query_request r = request_for(&g);
        unsigned count = find_wanted(&g, &r, wanted);
        late = g.given.series[g.given.late];
        for (unsigned i = 0; i < count; i++) {
            bool said =
                i > 0 && wanted[i - 1] != late && bytes_equal(wanted[i - 1]->rest, wanted[i]->rest);
            if (i > 1 && wanted[i - 1] == late) {
                said = bytes_equal(wanted[i - 2]->rest, wanted[i]->rest);
            }
            want += wanted[i] != late && !said;
        }
        assert_int_equal(drain(&g, &r, &series, &why), OK);
        assert_int_equal(series, want);
        rig_end(&g);
    }
}

static void
test_sets_go_on_when_the_view_is_given_back(void **state)
{
    static struct rig g;
    struct series_set *set;
    struct bytes labels;
    (void)state;
    rig_begin(&g, 1);
    put_shops(&g, 80);
    struct query_request r = request_for(&g);
    assert_int_equal(view_select(g.view, &r, &set, NULL), OK);
    view_free(g.view);
    assert_int_equal(series_set_next(set, &labels, NULL), OK);
    assert_non_null(labels.at);
    assert_false(g.given.freed);
    series_set_free(set);
    assert_true(g.given.freed);
    assert_int_equal(budget_used(&g.budget), 0);
    arena_fini(&g.arena);
}

/* --- labels, exemplars, the rest -------------------------------------------------------------- */

struct texts {
    struct rig *of;
    unsigned count, warnings;
    struct bytes items[SERIES_MAX];
};

static enum err
keep_text(void *context, struct bytes text)
{
    struct texts *t = context;
    t->items[t->count++] = arena_copy(&t->of->arena, text);
    return OK;
}

static enum err
count_warning(void *context, const char *sentence)
{
    assert_string_equal(sentence, "half of it is gone");
    ((struct texts *)context)->warnings++;
    return OK;
}

static enum err
keep_exemplar(void *context, const struct exemplar *x)
{
    return keep_text(context, x->series_labels);
}

static void
check_texts(const struct texts *got, struct given_series **wanted, unsigned count)
{
    unsigned at = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i > 0 && bytes_equal(wanted[i - 1]->rest, wanted[i]->rest)) continue;
        if (at == got->count) break;
        assert_true(bytes_equal(got->items[at++], wanted[i]->rest));
    }
    assert_int_equal(at, got->count);
}

static void
test_sets_of_labels_and_exemplars_come_once_in_order(void **state)
{
    static struct rig g;
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct given_series *wanted[SERIES_MAX];
        struct texts got = {.of = &g}, few = {.of = &g}, exemplars = {.of = &g};
        struct text_sink to = {keep_text, &got, count_warning};
        struct exemplar_sink exemplars_to = {keep_exemplar, &exemplars, count_warning};
        rig_random(&g, seed, 60, 2);
        g.given.warning = "half of it is gone";
        struct query_request r = request_for(&g);
        unsigned count = find_wanted(&g, &r, wanted);
        assert_int_equal(view_series(g.view, &r, &to, NULL), OK);
        assert_int_equal(got.warnings, 1);
        check_texts(&got, wanted, count);
        assert_int_equal(view_exemplars(g.view, &r, &exemplars_to, NULL), OK);
        check_texts(&exemplars, wanted, count);
        assert_int_equal(exemplars.count, got.count);
        r.hints.limit = 3;
        to.context = &few;
        assert_int_equal(view_series(g.view, &r, &to, NULL), OK);
        check_texts(&few, wanted, count);
        assert_int_equal(few.count, got.count < 4 ? got.count : 4);
        rig_end(&g);
    }
}

static void
test_replica_labels_have_no_names_and_no_values(void **state)
{
    static struct rig g;
    struct texts got = {.of = &g};
    struct text_sink to = {keep_text, &got, count_warning};
    (void)state;
    rig_begin(&g, 1);
    g.names[g.name_count++] = bytes_of_text("b");
    g.names[g.name_count++] = bytes_of_text("a");
    g.names[g.name_count++] = bytes_of_text("a");
    PUT_SERIES(&g, "a", "1", "b", "1", "c", "1", "d", "1");
    rig_open(&g);
    struct query_request r = request_for(&g);
    r.hints.limit = 1;
    assert_int_equal(view_label_names(g.view, &r, &to, NULL), OK);
    assert_int_equal(got.count, 2);
    assert_true(bytes_equal_text(got.items[0], "c"));
    assert_true(bytes_equal_text(got.items[1], "d"));
    got.count = 0;
    assert_int_equal(view_label_values(g.view, &r, bytes_of_text("a"), &to, NULL), OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(view_label_values(g.view, &r, bytes_of_text("c"), &to, NULL), OK);
    assert_int_equal(got.count, 1);
    rig_end(&g);
}

static void
test_what_the_view_below_can_tell_is_told(void **state)
{
    static struct rig g;
    struct view_mark mark;
    struct series_survey s;
    bool known;
    (void)state;
    rig_random(&g, 1, 10, 2);
    struct query_request r = request_for(&g);
    assert_false(view_has_mark(g.view, &mark));
    assert_true(view_concerns(g.view, &r));
    assert_int_equal(view_survey(g.view, &r, &s, &known, NULL), OK);
    assert_false(known);
    rig_end(&g);
    rig_begin(&g, 1);
    g.given.view.ops = &ops_of_a_moment;
    put_shops(&g, 2);
    assert_true(view_has_mark(g.view, &mark));
    assert_int_equal(mark.edits, 4);
    mark.epoch = 5 * REPLICA_AHEAD_MS; /* it is told as the time */
    assert_int_equal(view_same_before(g.view, r.tenant, &mark), 4 * REPLICA_AHEAD_MS);
    mark.epoch = INT64_MAX;
    assert_int_equal(view_same_before(g.view, r.tenant, &mark), INT64_MAX);
    mark.epoch = (uint64_t)INT64_MIN;
    assert_int_equal(view_same_before(g.view, r.tenant, &mark), INT64_MIN);
    assert_false(view_concerns(g.view, &r));
    assert_int_equal(view_survey(g.view, &r, &s, &known, NULL), OK);
    assert_true(known);
    assert_int_equal(s.cost.series, g.given.count);
    assert_false(s.exact);
    rig_end(&g);
}

static void
test_names_are_between_commas(void **state)
{
    struct bytes names[REPLICA_LABELS_MAX];
    (void)state;
    assert_int_equal(replica_labels_of("", names), 0);
    assert_int_equal(replica_labels_of("one", names), 1);
    assert_true(bytes_equal_text(names[0], "one"));
    assert_int_equal(replica_labels_of("a,bc", names), 2);
    assert_true(bytes_equal_text(names[1], "bc"));
    assert_int_equal(replica_labels_of("1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h", names),
                     REPLICA_LABELS_MAX);
}

static void
test_a_view_without_memory_or_with_too_many_names_frees_the_one_below(void **state)
{
    static struct rig g;
    struct bytes names[REPLICA_LABELS_MAX + 1];
    char text[REPLICA_LABELS_MAX + 1];
    struct why why;
    (void)state;
    for (uint32_t i = 0; i <= REPLICA_LABELS_MAX; i++) {
        text[i] = (char)('a' + i);
        names[i] = bytes_of(&text[i], 1);
    }
    for (uint64_t nth = 0; nth <= 2; nth++) {
        rig_begin(&g, 1);
        mem_fail_nth(nth, false);
        enum err e = replicas_view_new(&g.given.view, names, nth == 0 ? REPLICA_LABELS_MAX + 1 : 1,
                                       &g.budget, &g.view, &why);
        mem_fail_nth(0, false);
        assert_int_equal(e, nth == 0 ? ERR_INPUT : ERR_NOMEM);
        assert_true(g.given.freed);
        assert_int_equal(budget_used(&g.budget), 0);
        arena_fini(&g.arena);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_of_replicas_are_one_in_label_order),
        cmocka_unit_test(
            test_the_order_of_a_combination_changes_only_where_one_series_is_the_beginning_of_another),
        cmocka_unit_test(test_as_many_sets_are_read_as_there_are_replicas),
        cmocka_unit_test(test_what_has_no_replica_labels_is_asked_as_it_was),
        cmocka_unit_test(test_a_series_before_the_place_that_is_asked_for_is_left_out),
        cmocka_unit_test(test_many_combinations_are_read_series_by_series),
        cmocka_unit_test(test_what_finds_no_memory_is_an_error),
        cmocka_unit_test(test_an_error_below_is_that_of_the_answer),
        cmocka_unit_test(test_a_query_that_is_canceled_ends_and_says_why),
        cmocka_unit_test(test_each_series_and_sample_counts_once),
        cmocka_unit_test(test_a_place_that_is_damaged_is_named_once),
        cmocka_unit_test(test_series_that_come_while_others_are_read_are_left_out),
        cmocka_unit_test(test_sets_go_on_when_the_view_is_given_back),
        cmocka_unit_test(test_sets_of_labels_and_exemplars_come_once_in_order),
        cmocka_unit_test(test_replica_labels_have_no_names_and_no_values),
        cmocka_unit_test(test_what_the_view_below_can_tell_is_told),
        cmocka_unit_test(test_names_are_between_commas),
        cmocka_unit_test(test_a_view_without_memory_or_with_too_many_names_frees_the_one_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
