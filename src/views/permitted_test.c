/*
 * permitted_test.c - answers with and without hidden series are the same, over random series in
 * memory.
 *
 * The store of the test answers as plainly as possible, counts all that it selects, and makes
 * guesses from averages of all its series, as the real one does. An answer is compared as a
 * transcript: labels, samples, errors with their sentences, and the counts of the control.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "model/labels.h"
#include "model/permitted.h"
#include "views/stack.h"

enum { SERIES_MAX = 60, FAMILIES = 6, NAMES = 4, SAMPLES = 5, TRANSCRIPT_BYTES = 1 << 20 };

/* --- a store in memory ------------------------------------------------------------------------ */

struct plain_series {
    uint8_t room[128];
    struct bytes labels; /* in `room` */
    int64_t times_ms[SAMPLES];
    uint64_t bits[SAMPLES];
};

/* A store, and its only view. */
struct plain_store {
    struct view view;                        /* first */
    struct plain_series *series[SERIES_MAX]; /* in label order */
    unsigned count;
    unsigned open_sets, open_views;
    bool has_metadata[FAMILIES];
};

struct plain_set {
    struct series_set set;
    const struct plain_store *store;
    struct query_control *control;
    unsigned found[SERIES_MAX], count, next;
    bool is_read;
};

static bool
is_selected(const struct query_request *r, const struct plain_series *s)
{
    bool any = r->set_count == 0;
    for (uint32_t i = 0; i < r->set_count && !any; i++)
        any = matcher_set_matches(&r->sets[i], s->labels);
    return any && s->times_ms[0] <= r->max_ms && s->times_ms[SAMPLES - 1] >= r->min_ms &&
           query_hints_want(&r->hints, s->labels) &&
           (r->hints.from_labels.size == 0 || labels_compare(s->labels, r->hints.from_labels) >= 0);
}

static enum err
plain_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct plain_set *s = (struct plain_set *)set;
    *ret_labels = bytes_of(NULL, 0);
    s->is_read = false;
    if (s->next == s->count) return OK;
    *ret_labels = s->store->series[s->found[s->next++]]->labels;
    return query_control_add_series(s->control, why);
}

static enum err
plain_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    struct plain_set *s = (struct plain_set *)set;
    const struct plain_series *x = s->store->series[s->found[s->next - 1]];
    *ret = (struct sample_batch){.count = 0};
    if (s->is_read) return OK;
    s->is_read = true;
    *ret = (struct sample_batch){.count = SAMPLES, .times_ms = x->times_ms, .value_bits = x->bits};
    enum err e = query_control_add_bytes(s->control, SAMPLES * 2, why);
    return e ? e : query_control_add_samples(s->control, SAMPLES, why);
}

static const char *
plain_warning(struct series_set *set, uint32_t index)
{
    (void)set, (void)index;
    return NULL;
}

/* A guess that depends on series which were not selected. */
static struct series_cost
leaky_guess(const struct plain_store *store, uint64_t series)
{
    return (struct series_cost){.series = series, .samples = series * store->count * 1000};
}

static struct series_cost
plain_cost(const struct series_set *set)
{
    const struct plain_set *s = (const struct plain_set *)set;
    return leaky_guess(s->store, s->count);
}

static void
plain_set_free(struct series_set *set)
{
    ((struct plain_store *)(uintptr_t)((struct plain_set *)set)->store)->open_sets--;
    free(set);
}

static enum err
plain_select(struct view *view, const struct query_request *r, struct series_set **ret,
             struct why *why)
{
    static const struct series_set_ops ops = {plain_next, plain_batch, plain_warning,
                                              plain_cost, NULL,        plain_set_free};
    struct plain_store *store = (struct plain_store *)view;
    struct plain_set *s = calloc(1, sizeof *s);
    (void)why;
    assert_non_null(s);
    s->set.ops = &ops;
    s->store = store;
    s->control = r->control;
    for (unsigned i = 0; i < store->count; i++)
        if (is_selected(r, store->series[i])) s->found[s->count++] = i;
    store->open_sets++;
    *ret = &s->set;
    return OK;
}

static enum err
plain_lookup(struct view *view, const struct query_request *r, const struct text_sink *to,
             struct why *why)
{
    const struct plain_store *store = (const struct plain_store *)view;
    uint64_t count = 0;
    enum err e = OK;
    (void)why;
    for (unsigned i = 0; i < store->count && e == OK; i++) {
        if (!is_selected(r, store->series[i])) continue;
        if (r->hints.limit > 0 && count++ > r->hints.limit) break;
        e = to->each(to->context, store->series[i]->labels);
    }
    return e;
}

static int
compare_texts(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Passes on the names of labels, or the values of one, that selected series have. */
static enum err
plain_texts(struct view *view, const struct query_request *r, struct bytes name,
            const struct text_sink *to)
{
    const struct plain_store *store = (const struct plain_store *)view;
    struct bytes texts[SERIES_MAX * 8];
    unsigned count = 0;
    for (unsigned i = 0; i < store->count; i++) {
        struct cursor c = cursor_of(store->series[i]->labels);
        struct label label;
        if (!is_selected(r, store->series[i])) continue;
        while (labels_next(&c, &label)) {
            if (name.size > 0 && !bytes_equal(label.name, name)) continue;
            texts[count++] = name.size > 0 ? label.value : label.name;
        }
    }
    qsort(texts, count, sizeof *texts, compare_texts);
    for (unsigned i = 0; i < count; i++) {
        if (i > 0 && bytes_equal(texts[i], texts[i - 1])) continue;
        enum err e = to->each(to->context, texts[i]);
        if (e) return e;
    }
    return OK;
}

static enum err
plain_look_up(struct view *view, enum lookup_kind kind, const struct query_request *r,
              struct bytes name, const struct text_sink *to, struct why *why)
{
    if (kind == LOOKUP_SERIES) return plain_lookup(view, r, to, why);
    return plain_texts(view, r, name, to);
}

static enum err
plain_exemplars(struct view *view, const struct query_request *r, const struct exemplar_sink *to,
                struct why *why)
{
    const struct plain_store *store = (const struct plain_store *)view;
    enum err e = OK;
    (void)why;
    for (unsigned i = 0; i < store->count && e == OK; i++) {
        struct exemplar x = {.series_labels = store->series[i]->labels,
                             .t_ms = store->series[i]->times_ms[0]};
        if (is_selected(r, store->series[i])) e = to->each(to->context, &x);
    }
    return e;
}

/* "m0" to "m5" have different types. */
static const enum metric_type types[FAMILIES] = {METRIC_GAUGE,   METRIC_COUNTER, METRIC_HISTOGRAM,
                                                 METRIC_SUMMARY, METRIC_INFO,    METRIC_UNKNOWN};

static enum err
plain_metadata(struct view *view, const struct query_request *r, struct bytes family,
               enum err (*each)(void *context, const struct metadata *metadata), void *context,
               struct why *why)
{
    const struct plain_store *store = (const struct plain_store *)view;
    enum err e = OK;
    (void)r, (void)why;
    for (unsigned i = 0; i < FAMILIES && e == OK; i++) {
        char name[] = {'m', (char)('0' + i), '\0'};
        struct metadata m = {
            .family = bytes_of_text(name), .type = types[i], .help = bytes_of_text("helps")};
        bool wanted = family.size == 0 || bytes_equal_text(family, name);
        if (wanted && store->has_metadata[i]) e = each(context, &m);
    }
    return e;
}

static enum err
plain_survey(struct view *view, const struct query_request *r, struct series_survey *ret,
             struct why *why)
{
    const struct plain_store *store = (const struct plain_store *)view;
    (void)why;
    *ret = (struct series_survey){.exact = true};
    for (unsigned i = 0; i < store->count; i++) {
        if (!is_selected(r, store->series[i])) continue;
        series_cost_add(&ret->cost, &(struct series_cost){1, 1, SAMPLES, SAMPLES * 2});
    }
    ret->guess = leaky_guess(store, ret->cost.series);
    return OK;
}

static void
plain_free(struct view *view)
{
    ((struct plain_store *)view)->open_views--;
}

static void
plain_store_init(struct plain_store *store)
{
    static const struct view_ops ops = {
        .select = plain_select,
        .exemplars = plain_exemplars,
        .metadata = plain_metadata,
        .look_up = plain_look_up,
        .survey = plain_survey,
        .free = plain_free,
    };
    *store = (struct plain_store){.view = {&ops}, .open_views = 1};
}

/* --- random series, matchers and questions ---------------------------------------------------- */

static const char *const endings[] = {"", "", "_total", "_bucket", "_count", "_info", "_other"};

static void
make_series(struct rng *rng, struct plain_series *s)
{
    struct buf labels;
    char metric[16];
    buf_init(&labels, NULL, sizeof s->room);
    snprintf(metric, sizeof metric, "m%u%s", (unsigned)rng_below(rng, FAMILIES),
             endings[rng_below(rng, sizeof endings / sizeof *endings)]);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(metric)});
    for (unsigned i = 0; i < NAMES; i++) {
        uint64_t value = rng_below(rng, 4);
        if (value == 3) continue;
        labels_put(&labels, (struct label){bytes_of(&"abcd"[i], 1), bytes_of(&"012"[value], 1)});
    }
    assert_int_equal(buf_error(&labels), OK);
    memcpy(s->room, labels.at, labels.size);
    s->labels = bytes_of(s->room, labels.size);
    buf_fini(&labels);
    int64_t t_ms = (int64_t)rng_below(rng, 1000);
    for (unsigned i = 0; i < SAMPLES; i++) {
        s->times_ms[i] = t_ms += 1 + (int64_t)rng_below(rng, 100);
        s->bits[i] = rng_next(rng);
    }
}

static void
store_add(struct plain_store *store, struct plain_series *s)
{
    unsigned at = store->count;
    for (unsigned i = 0; i < store->count; i++)
        if (bytes_equal(store->series[i]->labels, s->labels)) return;
    for (; at > 0 && labels_compare(store->series[at - 1]->labels, s->labels) > 0; at--)
        store->series[at] = store->series[at - 1];
    store->series[at] = s;
    store->count++;
}

static struct matcher *
make_matcher(struct rng *rng)
{
    static const char *const patterns[] = {"0", "1", "2", "", "0|1", ".+", "[01]?"};
    static const char *const metrics[] = {"m0", "m1_total", "m[0-3].*", ".+_bucket|m4.*"};
    struct matcher *m;
    bool of_metric = rng_below(rng, 5) == 0;
    enum matcher_type type = (enum matcher_type)rng_below(rng, 4);
    const char *pattern = of_metric ? metrics[rng_below(rng, 4)] : patterns[rng_below(rng, 7)];
    struct bytes name =
        of_metric ? bytes_of_text("__name__") : bytes_of(&"abcd"[rng_below(rng, NAMES)], 1);
    assert_int_equal(matcher_new(type, name, bytes_of_text(pattern), NULL, &m, NULL), OK);
    return m;
}

enum { SETS_MAX = 3, MATCHERS_MAX = 3 };

struct random_sets {
    struct matcher *matchers[SETS_MAX][MATCHERS_MAX];
    struct matcher_set sets[SETS_MAX];
    uint32_t count;
};

static void
make_sets(struct rng *rng, struct random_sets *x, uint32_t count)
{
    x->count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t matchers = 1 + (uint32_t)rng_below(rng, MATCHERS_MAX);
        x->sets[i] = (struct matcher_set){x->matchers[i], matchers};
        for (uint32_t k = 0; k < matchers; k++)
            x->matchers[i][k] = make_matcher(rng);
    }
}

static void
free_sets(struct random_sets *x)
{
    for (uint32_t i = 0; i < x->count; i++)
        for (uint32_t k = 0; k < x->sets[i].count; k++)
            matcher_free(x->matchers[i][k]);
}

/* --- transcripts ------------------------------------------------------------------------------ */

static void
put_cost(struct buf *to, const struct series_cost *c)
{
    buf_printf(to, "%d %d %d %d\n", (int)c->series, (int)c->blocks, (int)c->samples, (int)c->bytes);
}

static enum err
put_text(void *context, struct bytes text)
{
    buf_put_bytes(context, text);
    buf_put_u8(context, '\n');
    return OK;
}

static enum err
put_exemplar(void *context, const struct exemplar *x)
{
    buf_printf(context, "%d ", (int)x->t_ms);
    return put_text(context, x->series_labels);
}

static enum err
put_metadata(void *context, const struct metadata *m)
{
    buf_printf(context, "%d ", (int)m->type);
    return put_text(context, m->family);
}

static enum err
put_samples(struct buf *to, struct view *view, const struct query_request *r, struct why *why)
{
    struct series_set *set;
    struct bytes labels;
    enum err e = view_select(view, r, &set, why);
    if (e) return e;
    struct series_cost cost = series_set_cost(set);
    put_cost(to, &cost);
    while ((e = series_set_next(set, &labels, why)) == OK && labels.at != NULL) {
        struct sample_batch b;
        (void)put_text(to, labels);
        while ((e = series_set_batch(set, &b, why)) == OK && b.count > 0) {
            buf_put(to, b.times_ms, b.count * sizeof *b.times_ms);
            buf_put(to, b.value_bits, b.count * sizeof *b.value_bits);
        }
        if (e) break;
    }
    series_set_free(set);
    return e;
}

enum question_kind {
    SAMPLES_OF,
    NAMES_OF,
    VALUES_OF,
    SERIES_OF,
    EXEMPLARS_OF,
    METADATA_OF,
    METADATA_OF_ONE,
    SURVEY_OF,
    KINDS
};

static enum err
ask_kind(struct view *view, enum question_kind kind, const struct query_request *r, struct buf *to,
         struct why *why)
{
    struct text_sink texts = {.each = put_text, .context = to};
    struct exemplar_sink exemplars = {put_exemplar, to, NULL};
    struct series_survey s;
    bool known;
    enum err e;
    switch (kind) {
    case SAMPLES_OF:
        return put_samples(to, view, r, why);
    case NAMES_OF:
        return view_label_names(view, r, &texts, why);
    case VALUES_OF:
        return view_label_values(view, r, bytes_of_text("b"), &texts, why);
    case SERIES_OF:
        return view_series(view, r, &texts, why);
    case EXEMPLARS_OF:
        return view_exemplars(view, r, &exemplars, why);
    case METADATA_OF:
        return view_metadata(view, r, bytes_of_text(""), put_metadata, to, why);
    case METADATA_OF_ONE:
        return view_metadata(view, r, bytes_of_text("m2"), put_metadata, to, why);
    default:
        e = view_survey(view, r, &s, &known, why);
        if (e == OK) put_cost(to, &s.cost);
        if (e == OK) put_cost(to, &s.guess);
        return e;
    }
}

/* Asks with the limits of `limits`, and writes all that the asker learns. */
static enum err
ask(struct view *view, enum question_kind kind, const struct query_request *request,
    const struct query_control *limits, struct buf *to)
{
    struct query_control control = {.series_max = limits->series_max,
                                    .samples_max = limits->samples_max,
                                    .bytes_max = limits->bytes_max};
    struct query_request r = *request;
    struct why why = {""};
    r.control = &control;
    buf_clear(to);
    enum err e = ask_kind(view, kind, &r, to, &why);
    buf_printf(to, "%d %s %d %d %d", (int)e, why.text, (int)control.series_seen,
               (int)control.samples_seen, (int)control.bytes_seen);
    assert_int_equal(buf_error(to), OK);
    return e;
}

/* --- tests ------------------------------------------------------------------------------------ */

struct stores {
    struct plain_series visible[SERIES_MAX], hidden[2][SERIES_MAX];
    struct plain_store alone, with[2]; /* only visible series; the same with hidden ones */
};

static bool
has_name(const struct plain_store *store, const char *name)
{
    bool any = false;
    for (unsigned i = 0; i < store->count && !any; i++) {
        struct bytes of = labels_get(store->series[i]->labels, bytes_of_text("__name__"));
        any = bytes_equal_text(of, name);
    }
    return any;
}

/* The store with only visible series has metadata of their metrics. */
static void
describe(struct stores *x)
{
    static const char *const added[FAMILIES][3] = {{""},       {"_total"}, {"_bucket", "_count"},
                                                   {"_count"}, {"_info"},  {""}};
    for (unsigned i = 0; i < FAMILIES; i++) {
        for (unsigned k = 0; k < 4; k++) {
            char name[32];
            const char *ending = k == 3 ? "" : added[i][k];
            if (ending == NULL) continue;
            snprintf(name, sizeof name, "m%u%s", i, ending);
            if (has_name(&x->alone, name)) x->alone.has_metadata[i] = true;
        }
        x->with[0].has_metadata[i] = x->with[1].has_metadata[i] = true;
    }
}

static void
make_stores(struct rng *rng, struct stores *x, const struct permitted *p)
{
    plain_store_init(&x->alone);
    plain_store_init(&x->with[0]);
    plain_store_init(&x->with[1]);
    for (unsigned i = 0; i < SERIES_MAX / 2; i++) {
        struct plain_series *s = &x->visible[i];
        make_series(rng, s);
        if (!permitted_has(p, s->labels)) continue;
        store_add(&x->alone, s);
        store_add(&x->with[0], s);
        store_add(&x->with[1], s);
    }
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < SERIES_MAX / 2; i++) {
            struct plain_series *s = &x->hidden[k][i];
            make_series(rng, s);
            if (!permitted_has(p, s->labels)) store_add(&x->with[k], s);
        }
    }
    describe(x);
}

static struct query_request
make_request(struct rng *rng, const struct random_sets *sets, const struct plain_series *from)
{
    struct query_request r = {.tenant = bytes_of_text("t"),
                              .sets = sets->sets,
                              .set_count = sets->count,
                              .min_ms = INT64_MIN,
                              .max_ms = INT64_MAX};
    if (rng_below(rng, 2) == 0) r.min_ms = (int64_t)rng_below(rng, 1200);
    if (rng_below(rng, 2) == 0) r.max_ms = r.min_ms / 2 + (int64_t)rng_below(rng, 1200);
    if (rng_below(rng, 3) == 0) r.hints.limit = 1 + rng_below(rng, 5);
    if (rng_below(rng, 3) == 0) {
        r.hints.shard_count = 2;
        r.hints.shard = (uint32_t)rng_below(rng, 2);
    }
    if (rng_below(rng, 4) == 0) r.hints.from_labels = from->labels;
    return r;
}

static struct view *
restricted(struct plain_store *store, const struct permitted *p)
{
    struct view *view;
    store->open_views = 1;
    assert_int_equal(permitted_view_new(&store->view, p, NULL, &view, NULL), OK);
    return view;
}

static void
compare(struct stores *x, const struct permitted *p, const struct query_request *r,
        const struct query_control *limits)
{
    struct buf want, got, other;
    buf_init(&want, NULL, TRANSCRIPT_BYTES);
    buf_init(&got, NULL, TRANSCRIPT_BYTES);
    buf_init(&other, NULL, TRANSCRIPT_BYTES);
    for (enum question_kind kind = 0; kind < KINDS; kind++) {
        struct view *one = restricted(&x->with[0], p), *two = restricted(&x->with[1], p);
        struct view *own = restricted(&x->alone, p);
        ask(one, kind, r, limits, &got);
        ask(two, kind, r, limits, &other);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&other)));
        ask(own, kind, r, limits, &other);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&other)));
        /* Without the view a guess has its averages. */
        if (kind != SAMPLES_OF && kind != SURVEY_OF) {
            ask(&x->alone.view, kind, r, limits, &want);
            assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));
        }
        view_free(one);
        view_free(two);
        view_free(own);
    }
    buf_fini(&want);
    buf_fini(&got);
    buf_fini(&other);
}

UNIT_TEST(test_answers_are_those_of_a_store_without_hidden_series)
{
    static struct stores x;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        struct rng rng = {seed};
        struct random_sets clauses[2], own;
        struct permitted p = {.count = 1 + (uint32_t)rng_below(&rng, 2)};
        for (uint32_t i = 0; i < p.count; i++) {
            make_sets(&rng, &clauses[i], 1 + (uint32_t)rng_below(&rng, SETS_MAX));
            p.clauses[i] = (struct permitted_clause){clauses[i].sets, clauses[i].count};
        }
        make_stores(&rng, &x, &p);
        make_sets(&rng, &own, (uint32_t)rng_below(&rng, SETS_MAX + 1));
        struct query_request r = make_request(&rng, &own, &x.visible[0]);
        struct query_control limits = {.series_max = rng_below(&rng, 12),
                                       .samples_max = rng_below(&rng, 12 * SAMPLES),
                                       .bytes_max = rng_below(&rng, 24 * SAMPLES)};
        compare(&x, &p, &r, &limits);
        free_sets(&own);
        for (uint32_t i = 0; i < p.count; i++)
            free_sets(&clauses[i]);
        assert_int_equal(x.alone.open_sets + x.with[0].open_sets + x.with[1].open_sets, 0);
    }
}

UNIT_TEST(test_a_view_without_clauses_is_not_wrapped)
{
    struct plain_store store;
    struct permitted all = {.count = 0};
    struct view *view;
    plain_store_init(&store);
    assert_int_equal(permitted_view_new(&store.view, NULL, NULL, &view, NULL), OK);
    assert_ptr_equal(view, &store.view);
    assert_int_equal(permitted_view_new(&store.view, &all, NULL, &view, NULL), OK);
    assert_ptr_equal(view, &store.view);
}

UNIT_TEST(test_each_refused_allocation_is_an_error_without_an_answer)
{
    static struct stores x;
    struct rng rng = {7};
    struct random_sets clause;
    make_sets(&rng, &clause, 2);
    struct permitted p = {.clauses = {{clause.sets, clause.count}}, .count = 1};
    struct query_control limits = {.series_max = 0};
    struct query_request r = {
        .tenant = bytes_of_text("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct buf got;
    make_stores(&rng, &x, &p);
    buf_init(&got, NULL, TRANSCRIPT_BYTES);
    assert_true(buf_reserve(&got, TRANSCRIPT_BYTES / 2));
    for (enum question_kind kind = 0; kind < KINDS; kind++) {
        enum err e = ERR_NOMEM;
        for (uint64_t nth = 1; e; nth++) {
            struct view *view;
            struct why why;
            x.with[0].open_views = 1;
            x.with[0].view.held = 0;
            mem_fail_nth(nth, false);
            e = permitted_view_new(&x.with[0].view, &p, NULL, &view, &why);
            if (e == OK) {
                e = ask(view, kind, &r, &limits, &got);
                view_free(view);
            }
            mem_fail_nth(0, false);
            assert_true(e == OK || e == ERR_NOMEM);
            assert_int_equal(x.with[0].open_views, 0);
            assert_int_equal(x.with[0].open_sets, 0);
        }
    }
    buf_fini(&got);
    free_sets(&clause);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_those_of_a_store_without_hidden_series),
        cmocka_unit_test(test_a_view_without_clauses_is_not_wrapped),
        cmocka_unit_test(test_each_refused_allocation_is_an_error_without_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
