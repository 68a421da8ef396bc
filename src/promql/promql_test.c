/*
 * promql_test.c - results of expressions over series in the notation of promql/testseries/, with a
 * value each minute from 0 on; a staleness marker after a histogram is that of a histogram.
 *
 * Each expression is evaluated with the product's settings and with those of Prometheus' own tests,
 * over batches of few and of many samples, at once and in shards: the text of the result is the
 * same.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/labels.h"
#include "promql/promql.h"
#include "promql/testseries/notation.h"
#include "wire/number.h"

enum { MINUTE_MS = 60000, SERIES_MAX = 16, VALUES_MAX = 200, TEXT_BYTES_MAX = 1 << 20 };

/* --- series ----------------------------------------------------------------------------------- */

struct given_value {
    int64_t t_ms;
    uint64_t bits;
    struct histogram histogram;
    bool is_histogram;
};

struct given_series {
    struct buf labels;
    struct given_value values[VALUES_MAX];
    uint32_t count;
};

struct given {
    struct view view; /* first */
    struct arena arena;
    struct given_series series[SERIES_MAX];
    uint32_t count;
    uint32_t batch_max; /* samples in a batch */
};

struct given_set {
    struct series_set set; /* first */
    const struct given *of;
    struct query_request request;
    struct matcher *matchers[16];
    uint32_t matcher_count;
    uint32_t next;  /* next series */
    uint32_t place; /* position of the next value */
    int64_t times_ms[VALUES_MAX];
    uint64_t bits[VALUES_MAX];
    struct histogram histograms[VALUES_MAX];
};

static bool
is_selected(const struct given_set *s, struct bytes labels)
{
    for (uint32_t i = 0; i < s->matcher_count; i++) {
        struct bytes value = labels_get(labels, matcher_name(s->matchers[i]));
        if (!matcher_matches(s->matchers[i], value)) return false;
    }
    return query_hints_want(&s->request.hints, labels);
}

static bool
is_in_range(const struct given_set *s, const struct given_value *v)
{
    return v->t_ms >= s->request.min_ms && v->t_ms <= s->request.max_ms;
}

static enum err
given_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    (void)why;
    *ret_labels = bytes_of(NULL, 0);
    s->place = 0;
    while (s->next < s->of->count && ret_labels->at == NULL) {
        const struct given_series *x = &s->of->series[s->next++];
        bool any = false;
        for (uint32_t i = 0; i < x->count; i++)
            any |= is_in_range(s, &x->values[i]);
        if (any && is_selected(s, buf_bytes(&x->labels))) *ret_labels = buf_bytes(&x->labels);
    }
    return OK;
}

static enum err
given_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    const struct given_series *x = &s->of->series[s->next - 1];
    uint32_t n = 0;
    (void)why;
    *ret = (struct sample_batch){.kind = SAMPLE_FLOAT};
    for (; s->place < x->count && n < s->of->batch_max; s->place++) {
        const struct given_value *v = &x->values[s->place];
        if (!is_in_range(s, v)) continue;
        enum sample_kind kind = v->is_histogram ? v->histogram.kind : SAMPLE_FLOAT;
        if (n > 0 && kind != ret->kind) break;
        ret->kind = kind;
        s->times_ms[n] = v->t_ms;
        s->bits[n] = v->bits;
        s->histograms[n++] = v->histogram;
    }
    ret->count = n;
    ret->times_ms = s->times_ms;
    if (ret->kind == SAMPLE_FLOAT)
        ret->value_bits = s->bits;
    else
        ret->histograms = s->histograms;
    return OK;
}

static const char *
given_warning(struct series_set *set, uint32_t index)
{
    (void)set, (void)index;
    return NULL;
}

static void
given_set_free(struct series_set *set)
{
    free(set);
}

static enum err
given_select(struct view *view, const struct query_request *request, struct series_set **ret,
             struct why *why)
{
    static const struct series_set_ops ops = {
        .next = given_next, .batch = given_batch, .warning = given_warning, .free = given_set_free};
    struct given_set *s = calloc(1, sizeof *s);
    (void)why;
    assert_non_null(s);
    s->set.ops = &ops;
    s->of = (const struct given *)view;
    s->request = *request;
    assert_int_equal(request->set_count, 1);
    s->matcher_count = request->sets[0].count;
    assert_in_range(s->matcher_count, 0, 16);
    for (uint32_t i = 0; i < s->matcher_count; i++)
        s->matchers[i] = request->sets[0].matchers[i];
    *ret = &s->set;
    return OK;
}

static void
add_value(struct given *g, struct given_series *s, int64_t t_ms, const struct notation_value *value)
{
    struct given_value v = {.t_ms = t_ms, .bits = value->bits};
    bool follows = s->count > 0 && s->values[s->count - 1].is_histogram;
    assert_true(s->count < VALUES_MAX);
    if (value->kind == NOTATION_HISTOGRAM) {
        v.is_histogram = true;
        assert_int_equal(fhist_stored(&g->arena, value->histogram, &v.histogram), OK);
    } else if (value->bits == STALE_NAN_BITS && follows) {
        v.is_histogram = true;
        v.histogram = (struct histogram){.kind = SAMPLE_HISTOGRAM_FLOAT, .sum_bits = value->bits};
    }
    s->values[s->count++] = v;
}

static void
add_series(struct given *g, struct bytes line)
{
    struct notation notation;
    struct buf error;
    struct given_series *s = &g->series[g->count++];
    assert_true(g->count <= SERIES_MAX);
    buf_init(&error, NULL, TEXT_BYTES_MAX);
    buf_init(&s->labels, NULL, TEXT_BYTES_MAX);
    if (notation_parse(line, 1, &g->arena, &notation, &error))
        fail_msg("%.*s", (int)error.size, (const char *)error.at);
    for (uint32_t i = 0; i < notation.metric.count; i++)
        labels_put(&s->labels, notation.metric.labels[i]);
    struct notation_walk w = notation_begin(&notation, &g->arena);
    bool more = true;
    for (int64_t t_ms = 0; more; t_ms += MINUTE_MS) {
        struct notation_value value;
        assert_int_equal(notation_next(&w, &value, &more), OK);
        if (more && value.kind != NOTATION_NONE) add_value(g, s, t_ms, &value);
    }
    buf_fini(&error);
}

static int
compare_given(const void *a, const void *b)
{
    const struct given_series *x = a, *y = b;
    return labels_compare(buf_bytes(&x->labels), buf_bytes(&y->labels));
}

/* Parses lines of series. */
static struct given *
given_new(const char *load)
{
    static const struct view_ops ops = {.select = given_select};
    struct given *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->view.ops = &ops;
    arena_init(&g->arena, NULL, 0, 0);
    for (size_t size; *load != '\0'; load += size + (load[size] == '\n')) {
        size = strcspn(load, "\n");
        add_series(g, bytes_of(load, size));
    }
    qsort(g->series, g->count, sizeof *g->series, compare_given);
    return g;
}

static void
given_free(struct given *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        buf_fini(&g->series[i].labels);
    arena_fini(&g->arena);
    free(g);
}

/* --- results as text -------------------------------------------------------------------------- */

struct asked_expression {
    const char *text;
    struct promql_options options;
};

static void
put_point(struct buf *to, const struct promql_point *p)
{
    char number[NUMBER_TEXT_BYTES];
    if (p->histogram != NULL)
        notation_put_histogram(p->histogram, to);
    else
        buf_put(to, number, number_print(double_bits(p->value), number));
}

/* Appends one value for each minute of the query, and `_` for missing ones. Samples of a range
 * selector begin at 0. */
static void
put_points(struct buf *to, const struct asked_expression *x, struct promql_result *result)
{
    struct promql_point points[VALUES_MAX] = {{0}};
    bool is_there[VALUES_MAX] = {false};
    bool is_matrix = promql_result_type(result) == PROMQL_MATRIX && x->options.step_ms == 0;
    int64_t first_ms = is_matrix ? 0 : x->options.first_ms;
    uint32_t last = 0;
    for (unsigned histograms = 0; histograms < 2; histograms++) {
        struct promql_point p;
        while (promql_next_point(result, histograms, &p)) {
            uint32_t i = (uint32_t)((p.t_ms - first_ms) / MINUTE_MS);
            assert_in_range(i, 0, VALUES_MAX - 1);
            assert_false(is_there[i]);
            points[i] = p;
            is_there[i] = true;
            if (i > last) last = i;
        }
    }
    for (uint32_t i = 0; i <= last; i++) {
        buf_put_u8(to, ' ');
        if (is_there[i])
            put_point(to, &points[i]);
        else
            buf_put_u8(to, '_');
    }
    buf_put_u8(to, '\n');
}

static void
put_result(struct buf *to, const struct asked_expression *x, struct promql_result *result)
{
    struct bytes labels;
    while (promql_next_series(result, &labels)) {
        labels_print_selector(to, labels);
        put_points(to, x, result);
    }
    for (unsigned kind = PROMQL_WARNING; kind <= PROMQL_INFO; kind++) {
        for (uint32_t n = 0; n < promql_note_count(result, kind); n++) {
            promql_note(result, kind, n, to);
            buf_put_u8(to, '\n');
        }
    }
}

/* Returns the result, or the error; given, ends in NUL. */
static struct buf
evaluate(struct given *g, const struct asked_expression *x)
{
    struct promql_tree *tree;
    struct promql_result *result;
    struct buf text, error;
    struct why why;
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    buf_init(&error, NULL, TEXT_BYTES_MAX);
    assert_int_equal(promql_parse(bytes_of_text(x->text), NULL, NULL, &tree, &error), OK);
    enum err e = promql_run(tree, &g->view, &x->options, &result, &error, &why);
    assert_true(e == OK || e == ERR_INPUT);
    if (e == OK) {
        put_result(&text, x, result);
        promql_result_free(result);
    } else {
        buf_put_text(&text, "error: ");
        buf_put_bytes(&text, buf_bytes(&error));
        buf_put_u8(&text, '\n');
    }
    buf_put_u8(&text, 0);
    assert_int_equal(buf_error(&text), OK);
    promql_free(tree);
    buf_fini(&error);
    return text;
}

static struct promql_options
options_at(int64_t first_minute, int64_t last_minute)
{
    return (struct promql_options){
        .first_ms = first_minute * MINUTE_MS,
        .last_ms = last_minute * MINUTE_MS,
        .step_ms = last_minute > first_minute ? MINUTE_MS : 0,
        .lookback_ms = 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
    };
}

/* Evaluates an expression in all ways, at one time if the minutes are the same, else each minute.
 */
static void
expect(const char *load, const char *expression, int64_t first_minute, int64_t last_minute,
       const char *expected)
{
    static const struct promql_features features[] = {
        {.delayed_name_removal = false},
        {.delayed_name_removal = true, .start_timestamps = true},
    };
    static const uint32_t batches[] = {VALUES_MAX, 1, 3}, shards[] = {1, 3};
    struct given *g = given_new(load);
    for (unsigned i = 0; i < 2 * 3 * 2; i++) {
        struct asked_expression x = {expression, options_at(first_minute, last_minute)};
        x.options.features = features[i % 2];
        x.options.shards = shards[i / 2 % 2];
        g->batch_max = batches[i / 4];
        struct buf text = evaluate(g, &x);
        if (strcmp((const char *)text.at, expected) != 0) {
            fail_msg("%s: features %u, shards %u, batches of %u:\n%sexpected:\n%s", expression,
                     i % 2, (unsigned)x.options.shards, (unsigned)g->batch_max, (char *)text.at,
                     expected);
        }
        buf_fini(&text);
    }
    given_free(g);
}

/* --- staleness markers of histograms ---------------------------------------------------------- */

#define H(n) "{{count:" #n " sum:" #n " buckets:[" #n "]}}"

UNIT_TEST(test_a_stale_histogram_ends_its_series_in_a_vector)
{
    expect("h " H(4) " stale _ " H(6), "h", 0, 3, "h " H(4) " _ _ " H(6) "\n");
    expect("h " H(4) " stale", "h", 2, 2, "");
    expect("h " H(4) " 1 stale", "h", 0, 2, "h " H(4) " 1\n");
    expect("h 1 " H(4) " stale", "count(h)", 0, 2, "{} 1 1\n");
    expect("h " H(4) " stale", "timestamp(h)", 0, 2, "{} 0\n");
    expect("h " H(4) " stale", "absent(h)", 0, 2, "{} _ 1 1\n");
}

UNIT_TEST(test_a_stale_histogram_is_not_among_the_samples_of_a_range)
{
    expect("h " H(4) " stale " H(6), "h[5m]", 3, 3, "h " H(4) " _ " H(6) "\n");
    expect("h 1 " H(4) " stale 2", "h[5m]", 3, 3, "h 1 " H(4) " _ 2\n");
}

UNIT_TEST(test_a_stale_histogram_does_not_count_in_functions_of_ranges)
{
    const char *load = "h " H(4) " stale " H(6) " stale";
    expect(load, "count_over_time(h[5m])", 0, 3, "{} 1 1 2 2\n");
    expect(load, "present_over_time(h[1m])", 0, 3, "{} 1 _ 1\n");
    expect(load, "last_over_time(h[5m])", 0, 3, "h " H(4) " " H(4) " " H(6) " " H(6) "\n");
    expect(load, "histogram_sum(sum_over_time(h[5m]))", 0, 3, "{} 4 4 10 10\n");
    expect(load, "changes(h[5m])", 0, 3, "{} 0 0 1 1\n");
    expect(load, "histogram_count(increase(h[3m]))", 3, 3, "");
    expect(load, "histogram_count(delta(h[4m]))", 3, 3,
           "{} 4\nPromQL warning: this native histogram metric is not a gauge: \"h\" (1:23)\n");
}

/* --- binary operators ------------------------------------------------------------------------- */

UNIT_TEST(test_results_with_equal_labels_are_refused_before_they_are_counted)
{
    const char *load = "l{a=\"1\",x=\"p\"} 1\nl{a=\"1\",x=\"q\"} 2\nr{a=\"1\",x=\"z\"} 3";
    expect(load, "count(l * on (a) group_left (x) r)", 0, 0,
           "error: multiple matches for labels: grouping labels must ensure unique matches\n");
    expect(load, "count(r * on (a) group_right (x) l)", 0, 0,
           "error: multiple matches for labels: grouping labels must ensure unique matches\n");
    expect(load, "count(l * on (a) r)", 0, 0,
           "error: multiple matches for labels: many-to-one matching must be explicit "
           "(group_left/group_right)\n");
    expect(load, "count(l * on (a) group_left r)", 0, 0, "{} 2\n");
}

UNIT_TEST(test_results_with_equal_labels_may_have_steps_of_their_own)
{
    expect("l{a=\"1\",x=\"p\"} 1 stale\nl{a=\"1\",x=\"q\"} _ 2\nr{a=\"1\",x=\"z\"} 3 3",
           "l * on (a) group_left (x) r", 0, 1, "{a=\"1\", x=\"z\"} 3 6\n");
}

UNIT_TEST(test_duplicates_matter_only_where_the_other_side_has_a_value)
{
    const char *load = "l{a=\"1\"} 1 stale _ 4\nr{a=\"1\",x=\"1\"} 1 2 3 stale\n"
                       "r{a=\"1\",x=\"2\"} _ 2 stale 5";
    expect(load, "l + on (a) r", 0, 3, "{a=\"1\"} 2 _ _ 9\n");
    expect(load, "r + on (a) l", 0, 3, "{a=\"1\"} 2 _ _ 9\n");
    expect("l{a=\"1\"} 1 1\nr{a=\"1\",x=\"1\"} 1 2\nr{a=\"1\",x=\"2\"} _ 2", "l + on (a) r", 0, 1,
           "error: found duplicate series for the match group {a=\"1\"} on the right hand-side of "
           "the operation: [{__name__=\"r\", a=\"1\", x=\"1\"}, {__name__=\"r\", a=\"1\", "
           "x=\"2\"}];many-to-many matching not allowed: matching labels must be unique on one "
           "side\n");
}

UNIT_TEST(test_included_labels_that_the_one_side_lacks_are_removed)
{
    const char *load = "l{a=\"1\",x=\"p\",z=\"k\"} 2\nr{a=\"1\",y=\"q\"} 3";
    expect(load, "l * on (a) group_left (x, y) r", 0, 0, "{a=\"1\", y=\"q\", z=\"k\"} 6\n");
    expect(load, "l * on (a) group_left (x, y, w) r", 0, 0, "{a=\"1\", y=\"q\", z=\"k\"} 6\n");
    expect(load, "r * on (a) group_right (y, x) l", 0, 0, "{a=\"1\", y=\"q\", z=\"k\"} 6\n");
}

/* --- aggregations ----------------------------------------------------------------------------- */

UNIT_TEST(test_results_are_in_label_order_unless_the_expression_sorts)
{
    const char *load = "x{a=\"1\",b=\"z\"} 1 1\nx{a=\"2\",b=\"y\"} 2 2\nx{a=\"3\",b=\"w\"} 3 3";
    const char *sorted = "{b=\"w\"} 3\n{b=\"y\"} 2\n{b=\"z\"} 1\n";
    expect(load, "sum by (b) (x)", 0, 0, sorted);
    expect(load, "sort_desc(sum by (b) (x))", 0, 0, sorted);
    expect(load, "sort(sum by (b) (x))", 0, 0, "{b=\"z\"} 1\n{b=\"y\"} 2\n{b=\"w\"} 3\n");
    expect(load, "sort(sum by (b) (x))", 0, 1,
           "{b=\"w\"} 3 3\n{b=\"y\"} 2 2\n{b=\"z\"} 1 1\nPromQL warning: sort is ineffective for "
           "range queries since results are always ordered by labels (1:1)\n");
}

UNIT_TEST(test_limitk_keeps_the_wanted_number_at_each_step)
{
    expect("m{a=\"1\"} 1 stale 1\nm{a=\"2\"} 2 2 stale\nm{a=\"3\"} 3 3 3", "limitk(1, m)", 0, 2,
           "m{a=\"1\"} 1 _ 1\nm{a=\"2\"} _ 2\n");
    expect("m{a=\"1\"} 1 stale 1\nm{a=\"2\"} 2 2 stale\nm{a=\"3\"} 3 3 3", "limitk(2, m)", 0, 2,
           "m{a=\"1\"} 1 _ 1\nm{a=\"2\"} 2 2\nm{a=\"3\"} _ 3 3\n");
    expect("m{a=\"1\"} 1\nm{a=\"2\"} 2", "limitk(0, m)", 0, 0, "");
    expect("m{a=\"1\"} 1\nm{a=\"2\"} 2", "limitk(2, m)", 0, 0, "m{a=\"1\"} 1\nm{a=\"2\"} 2\n");
}

/* Steps are folded 64 at a time where all have a value. */
UNIT_TEST(test_aggregations_of_many_steps_are_those_of_each_step)
{
    char load[2000] = "m{a=\"1\"} 0+1x129\nm{a=\"2\"} 129-1x129";
    expect(load, "sum_over_time(sum(m)[130m:1m])", 129, 129, "{} 16770\n");
    expect(load, "sum_over_time(avg(m)[130m:1m])", 129, 129, "{} 8385\n");
    for (unsigned nan_first = 0; nan_first < 2; nan_first++) {
        strcpy(load, "m{a=\"1\"} 0+1x129\nm{a=\"2\"} 129-1x129\n");
        strcat(load, nan_first ? "m{a=\"0\"}" : "m{a=\"3\"}");
        for (unsigned i = 0; i < 130; i++)
            strcat(load, " NaN");
        expect(load, "sum_over_time(max(m)[130m:1m])", 129, 129, "{} 12610\n");
        expect(load, "sum_over_time(min(m)[130m:1m])", 129, 129, "{} 4160\n");
        expect(load, "sum_over_time(count(m)[130m:1m])", 129, 129, "{} 390\n");
    }
}

/* --- windows ---------------------------------------------------------------------------------- */

UNIT_TEST(test_a_window_begins_after_its_first_instant)
{
    expect("m 1x9", "count_over_time(m[2m])", 0, 3, "{} 1 2 2 2\n");
    expect("m 1x9", "count_over_time(m[2m] offset 1m)", 1, 1, "{} 1\n");
    expect("m 1 2 3 4", "sum_over_time(m[1m])", 0, 3, "{} 1 2 3 4\n");
    expect("m 1 2 3 4", "m[2m]", 3, 3, "m _ _ 3 4\n");
    expect("m 1 2 3 4", "max_over_time(m[2m:1m])", 0, 3, "{} 1 2 3 4\n");
    expect("m 1 _ _ _ _ 6", "m", 4, 5, "m 1 6\n");
    expect("m 1 _ _ _ _ _", "m", 4, 5, "m 1\n");
}

UNIT_TEST(test_an_increase_reaches_half_a_distance_beyond_samples_that_end_early)
{
    expect("m_total 0 1 2 3 _ _", "increase(m_total[5m])", 5, 5, "{} 3.5\n");
    expect("m_total 0 1 2 3 _ _", "delta(m_total[5m])", 5, 5, "{} 3.5\n");
    expect("m_total 0 1 2 3 _ _", "rate(m_total[5m]) * 300", 5, 5, "{} 3.5\n");
    expect("m_total _ _ _ 3 4 5", "delta(m_total[5m])", 5, 5, "{} 2.5\n");
}

UNIT_TEST(test_a_reset_at_the_second_sample_of_a_window_counts)
{
    expect("m_total 5 1 2 4", "increase(m_total[2m])", 1, 3, "{} 2 2 4\n");
    expect("m_total 5 1 2 4", "increase(m_total[3m])", 2, 3, "{} 3 4\n");
    expect("m_total 5 1 2 4", "irate(m_total[2m]) * 60", 1, 3, "{} 1 1 2\n");
    expect("m_total 5 1 2 4", "delta(m_total[2m])", 1, 3, "{} -8 2 4\n");
}

UNIT_TEST(test_changes_and_resets_leave_with_their_samples)
{
    expect("m 1 2 2 1 3 3", "changes(m[3m])", 0, 5, "{} 0 1 1 1 2 1\n");
    expect("m 1 2 2 1 3 3", "resets(m[3m])", 0, 5, "{} 0 0 0 1 1 0\n");
    expect("m 1 2 2 1 3 3", "resets(m[2m])", 0, 5, "{} 0 0 0 1 0 0\n");
    expect("m NaN NaN 1 NaN", "changes(m[2m])", 0, 3, "{} 0 0 1 1\n");
}

UNIT_TEST(test_any_value_replaces_nan_among_extremes)
{
    expect("m NaN 3 1 NaN 2", "max_over_time(m[2m])", 0, 4, "{} NaN 3 3 1 2\n");
    expect("m NaN 3 1 NaN 2", "min_over_time(m[2m])", 0, 4, "{} NaN 3 1 1 2\n");
    expect("m NaN 3 1 NaN 2", "min_over_time(m[9m])", 0, 4, "{} NaN 3 1 1 1\n");
    expect("m NaN 3 1 NaN 2", "max_over_time(m[9m])", 0, 4, "{} NaN 3 3 3 3\n");
}

UNIT_TEST(test_smoothed_histograms_lie_between_those_that_are_stored)
{
    expect("h " H(4) " _ " H(8), "h smoothed", 0, 2, "h " H(4) " " H(6) " " H(8) "\n");
    expect("h " H(8) " _ " H(2), "h smoothed", 0, 2, "h " H(8) " " H(1) " " H(2) "\n");
    expect("h " H(4) " _ " H(8), "histogram_count(increase(h[1m] smoothed))", 1, 2, "{} 2 2\n");
    expect("h " H(8) " _ " H(2), "histogram_count(increase(h[1m] smoothed))", 1, 2, "{} 1 1\n");
    expect("m 4 _ 8", "m smoothed", 0, 2, "m 4 6 8\n");
    expect("m_total 8 _ 2", "increase(m_total[1m] smoothed)", 1, 2, "{} 1 1\n");
}

UNIT_TEST(test_lines_are_fitted_by_least_squares)
{
    expect("m 0 5 0 5 10", "round(deriv(m[5m]) * 60, 0.001)", 4, 4, "{} 2\n");
    expect("m 0 5 0 5 10", "round(predict_linear(m[5m], 60), 0.001)", 4, 4, "{} 10\n");
    expect("m 7x4", "predict_linear(m[5m], 60)", 4, 4, "{} 7\n");
}

/* --- quantiles -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_quantile_between_buckets_is_the_bound_of_the_lower_one)
{
    expect("b_bucket{le=\"1\"} 5\nb_bucket{le=\"2\"} 5\nb_bucket{le=\"4\"} 10\n"
           "b_bucket{le=\"+Inf\"} 10",
           "histogram_quantile(0.5, b_bucket)", 0, 0, "{} 1\n");
    expect("h {{schema:0 count:4 sum:5 buckets:[1 0 3]}}", "histogram_quantile(0.25, h)", 0, 0,
           "{} 1\n");
    expect("h {{schema:0 count:4 sum:5 buckets:[2 0 2]}}", "histogram_quantile(0.5, h)", 0, 0,
           "{} 2\n");
    expect("h {{schema:0 count:4 sum:5 buckets:[3 0 1]}}", "histogram_quantile(0.75, h)", 0, 0,
           "{} 2\n");
}

/* --- notes and limits ------------------------------------------------------------------------- */

UNIT_TEST(test_notes_of_all_shards_are_given)
{
    expect("m{a=\"1\"} 1 2\nm{a=\"2\"} 1 2\nm{a=\"3\"} 1 2\nm{a=\"4\"} 1 2\nm{a=\"5\"} 1 2",
           "sum(rate(m[2m])) * 60", 1, 1,
           "{} 5\nPromQL info: metric might not be a counter, name does not end in "
           "_total/_sum/_count/_bucket: \"m\" (1:10)\n");
}

/* Each shard counts its own samples. */
UNIT_TEST(test_samples_of_all_shards_are_counted)
{
    struct given *g = given_new("m{a=\"1\"} 1x9\nm{a=\"2\"} 1x9\nm{a=\"3\"} 1x9\nm{a=\"4\"} 1x9");
    struct promql_tree *tree;
    struct buf error;
    buf_init(&error, NULL, TEXT_BYTES_MAX);
    g->batch_max = VALUES_MAX;
    assert_int_equal(promql_parse(bytes_of_text("sum(m)"), NULL, NULL, &tree, &error), OK);
    for (uint32_t shards = 1; shards <= 4; shards++) {
        struct promql_options options = options_at(0, 9);
        struct promql_result *result;
        struct why why;
        uint32_t steps;
        options.shards = shards;
        options.counts = true;
        assert_int_equal(promql_run(tree, &g->view, &options, &result, &error, &why), OK);
        assert_int_equal(promql_samples(result), 40);
        const uint64_t *each = promql_step_samples(result, &steps);
        assert_int_equal(steps, 10);
        for (uint32_t i = 0; i < steps; i++)
            assert_int_equal(each[i], 4);
        promql_result_free(result);
    }
    promql_free(tree);
    buf_fini(&error);
    given_free(g);
}

/* While it is folded, a group has a sum and its correction for each step; the result has a copy. */
UNIT_TEST(test_memory_of_groups_is_that_of_the_query)
{
    enum { GROUPS = 4, STEPS = 99 * 60 + 1 };
    struct given *g =
        given_new("m{a=\"1\"} 1x99\nm{a=\"2\"} 1x99\nm{a=\"3\"} 1x99\nm{a=\"4\"} 1x99");
    struct promql_options options = options_at(0, 99);
    struct promql_tree *tree;
    struct promql_result *result;
    struct budget budget;
    struct buf error;
    struct why why;
    buf_init(&error, NULL, TEXT_BYTES_MAX);
    budget_init(&budget, "query", 0, NULL);
    g->batch_max = VALUES_MAX;
    options.step_ms = 1000;
    options.budget = &budget;
    assert_int_equal(promql_parse(bytes_of_text("sum by (a) (m)"), NULL, NULL, &tree, &error), OK);
    assert_int_equal(promql_run(tree, &g->view, &options, &result, &error, &why), OK);
    assert_true(atomic_load(&budget.peak_bytes) >= 3 * GROUPS * STEPS * sizeof(double));
    promql_result_free(result);
    assert_int_equal(budget_used(&budget), 0);
    promql_free(tree);
    buf_fini(&error);
    given_free(g);
}

UNIT_TEST(test_exactly_the_maximum_of_samples_is_allowed)
{
    static const struct {
        const char *expression;
        int64_t last_minute;
        uint64_t most;
    } cases[] = {
        {"m", 0, 3},
        {"m", 9, 30},
        {"m[5m]", 9, 15},
        {"m[5m]", 4, 15},
        {"sum_over_time(m[5m])", 9, 30},
    };
    struct given *g = given_new("m{a=\"1\"} 1x9\nm{a=\"2\"} 1x9\nm{a=\"3\"} 1x9");
    g->batch_max = VALUES_MAX;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned less = 0; less < 2; less++) {
            bool is_matrix = strcmp(cases[i].expression, "m[5m]") == 0;
            struct asked_expression x = {
                cases[i].expression,
                options_at(is_matrix ? cases[i].last_minute : 0, cases[i].last_minute)};
            x.options.held_max = cases[i].most - less;
            struct buf text = evaluate(g, &x);
            bool refused = strstr((const char *)text.at, "(query.max_samples)") != NULL;
            if (refused != less) {
                fail_msg("%s: %u of %u: %s", x.text, (unsigned)x.options.held_max,
                         (unsigned)cases[i].most, (char *)text.at);
            }
            buf_fini(&text);
        }
    }
    given_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stale_histogram_ends_its_series_in_a_vector),
        cmocka_unit_test(test_a_stale_histogram_is_not_among_the_samples_of_a_range),
        cmocka_unit_test(test_a_stale_histogram_does_not_count_in_functions_of_ranges),
        cmocka_unit_test(test_results_with_equal_labels_are_refused_before_they_are_counted),
        cmocka_unit_test(test_results_with_equal_labels_may_have_steps_of_their_own),
        cmocka_unit_test(test_duplicates_matter_only_where_the_other_side_has_a_value),
        cmocka_unit_test(test_included_labels_that_the_one_side_lacks_are_removed),
        cmocka_unit_test(test_results_are_in_label_order_unless_the_expression_sorts),
        cmocka_unit_test(test_limitk_keeps_the_wanted_number_at_each_step),
        cmocka_unit_test(test_aggregations_of_many_steps_are_those_of_each_step),
        cmocka_unit_test(test_a_window_begins_after_its_first_instant),
        cmocka_unit_test(test_an_increase_reaches_half_a_distance_beyond_samples_that_end_early),
        cmocka_unit_test(test_a_reset_at_the_second_sample_of_a_window_counts),
        cmocka_unit_test(test_changes_and_resets_leave_with_their_samples),
        cmocka_unit_test(test_any_value_replaces_nan_among_extremes),
        cmocka_unit_test(test_smoothed_histograms_lie_between_those_that_are_stored),
        cmocka_unit_test(test_lines_are_fitted_by_least_squares),
        cmocka_unit_test(test_a_quantile_between_buckets_is_the_bound_of_the_lower_one),
        cmocka_unit_test(test_notes_of_all_shards_are_given),
        cmocka_unit_test(test_samples_of_all_shards_are_counted),
        cmocka_unit_test(test_memory_of_groups_is_that_of_the_query),
        cmocka_unit_test(test_exactly_the_maximum_of_samples_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
