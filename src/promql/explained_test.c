/* explained_test.c - explain before and after a run: operators, and the samples they read. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/labels.h"
#include "promql/promql.h"

enum { SERIES = 10, SAMPLES = 40, STEP_MS = 15000 };

/* An answerer with a number of series for each selector, each with a number of samples. */
struct source {
    struct view view; /* first */
    uint32_t selected;
    uint32_t surveyed;
    int64_t min_ms, max_ms; /* times of the last request */
    uint64_t guess;         /* guessed count of samples */
    bool unknown;           /* it has no index */
};
struct source_set {
    struct series_set set; /* first */
    struct source *of;
    struct query_control *control;
    uint32_t shard, shard_count;
    uint32_t next;
    bool given; /* samples of the current series were given */
    struct buf labels;
    struct series_cost spent;
};

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct source_set *s = (struct source_set *)set;
    (void)why;
    for (; s->next < SERIES; s->next++) {
        char text[8];
        snprintf(text, sizeof text, "%02u", s->next);
        buf_clear(&s->labels);
        labels_put(&s->labels, (struct label){bytes_of_text("__name__"), bytes_of_text("m_total")});
        labels_put(&s->labels, (struct label){bytes_of_text("s"), bytes_of_text(text)});
        if (shard_of_labels(buf_bytes(&s->labels), s->shard_count) == s->shard) break;
    }
    *ret_labels = s->next++ < SERIES ? buf_bytes(&s->labels) : bytes_of(NULL, 0);
    s->given = false;
    if (ret_labels->at == NULL) return OK;
    s->spent.series++;
    return query_control_add_series(s->control, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    static int64_t times[SAMPLES];
    static uint64_t bits[SAMPLES];
    struct source_set *s = (struct source_set *)set;
    for (int64_t i = 0; i < SAMPLES; i++) {
        times[i] = i * STEP_MS;
        bits[i] = double_bits((double)i);
    }
    *ret = (struct sample_batch){.kind = SAMPLE_FLOAT, .times_ms = times, .value_bits = bits};
    if (s->given) return OK;
    s->given = true;
    ret->count = SAMPLES;
    s->spent.blocks++;
    s->spent.samples += SAMPLES;
    s->spent.bytes += 100;
    return query_control_add_samples(s->control, SAMPLES, why);
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    (void)set, (void)index;
    return NULL;
}

static struct series_cost
set_cost(const struct series_set *set)
{
    return (struct series_cost){.series = SERIES,
                                .samples = ((const struct source_set *)set)->of->guess};
}

static struct series_cost
set_spent(const struct series_set *set)
{
    return ((const struct source_set *)set)->spent;
}

static void
set_free(struct series_set *set)
{
    buf_fini(&((struct source_set *)set)->labels);
    free(set);
}

static enum err
source_select(struct view *view, const struct query_request *request, struct series_set **ret,
              struct why *why)
{
    static const struct series_set_ops ops = {set_next, set_batch, set_warning,
                                              set_cost, set_spent, set_free};
    struct source *of = (struct source *)view;
    struct source_set *s = calloc(1, sizeof *s);
    (void)why;
    of->selected++;
    *s = (struct source_set){.set.ops = &ops,
                             .of = of,
                             .control = request->control,
                             .shard = request->hints.shard,
                             .shard_count = request->hints.shard_count};
    buf_init(&s->labels, NULL, 1000);
    *ret = &s->set;
    return OK;
}

static enum err
source_survey(struct view *view, const struct query_request *request, struct series_survey *ret,
              struct why *why)
{
    struct source *of = (struct source *)view;
    (void)why;
    of->surveyed++;
    of->min_ms = request->min_ms;
    of->max_ms = request->max_ms;
    *ret = (struct series_survey){
        .cost = {SERIES, SERIES, SERIES * SAMPLES, SERIES * UINT64_C(100)},
        .exact = true,
        .guess = {.series = SERIES, .samples = of->guess},
    };
    return OK;
}

static struct source
source_new(bool unknown)
{
    static const struct view_ops known_ops = {.select = source_select, .survey = source_survey},
                                 unknown_ops = {.select = source_select};
    return (struct source){.view.ops = unknown ? &unknown_ops : &known_ops};
}

/* --- queries ---------------------------------------------------------------------------------- */

/* Asks for a helper, and gets no thread. */
static void
ask_nobody(void *context, struct promql_help *help)
{
    (void)context, (void)help;
}

struct asked {
    struct source source;
    struct query_control control;
    struct budget budget;
    int64_t step_ms; /* 0: one time */
    bool run;
    bool has_helpers;
    enum plan_memory memory;
    struct buf json;
    struct buf warnings;
    struct buf error;
};

static void
asked_init(struct asked *x)
{
    *x = (struct asked){.source = source_new(false), .control.names = &limits_of_queries};
    budget_init(&x->budget, "query", 0, NULL);
    x->control.budget = &x->budget;
    buf_init(&x->json, NULL, 1 << 20);
    buf_init(&x->warnings, NULL, 1 << 20);
    buf_init(&x->error, NULL, 1 << 20);
}

static void
asked_fini(struct asked *x)
{
    buf_fini(&x->json);
    buf_fini(&x->warnings);
    buf_fini(&x->error);
    assert_int_equal(budget_used(&x->budget), 0);
}

static void
add_warning(void *context, struct bytes sentence)
{
    buf_put_bytes(context, sentence);
    buf_put_u8(context, '\n');
}

static enum err
explain(struct asked *x, const char *text)
{
    struct promql_helpers helpers = {.ask = ask_nobody, .dismiss = ask_nobody};
    struct promql_options options = {.tenant = bytes_of_text("a"),
                                     .first_ms = 300000,
                                     .last_ms = 300000 + 9 * x->step_ms,
                                     .step_ms = x->step_ms,
                                     .lookback_ms = 300000,
                                     .subquery_step_ms = 60000,
                                     .helpers = x->has_helpers ? &helpers : NULL,
                                     .control = &x->control,
                                     .budget = &x->budget};
    struct promql_tree *tree = NULL;
    struct promql_explained e = {.control = &x->control, .memory = x->memory};
    struct promql_plan *plan = NULL;
    struct promql_result *result = NULL;
    struct why why = {""};
    enum err error = promql_parse(bytes_of_text(text), &x->budget, NULL, &tree, &x->error);
    if (error == OK)
        error = promql_explain(tree, &x->source.view, &options, &plan, &x->error, &why);
    options.plan = plan;
    if (error == OK && x->run)
        error = promql_run(tree, &x->source.view, &options, &result, &x->error, &why);
    e.plan = plan;
    e.result = result;
    if (error == OK) error = promql_explained_put(&e, &x->json);
    if (error == OK) promql_explained_warnings(&e, add_warning, &x->warnings);
    promql_result_free(result);
    promql_plan_free(plan);
    if (tree != NULL) promql_free(tree);
    return error;
}

/* Puts the plan as a table: "operator | detail | series blocks samples bytes", indented by
 * depth. */
static void
put_rows(const char **at, unsigned depth, struct buf *to)
{
    static const char *const keys[] = {
        "\"operator\":", "\"detail\":", "\"series\":", "\"blocks\":", "\"samples\":", "\"bytes\":"};
    for (unsigned i = 0; i < 2 * depth; i++)
        buf_put_u8(to, ' ');
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = strstr(*at, keys[i]);
        assert_non_null(value);
        value += strlen(keys[i]);
        size_t size = value[0] == '"' ? 1 : strcspn(value, ",");
        while (value[0] == '"' && value[size] != '"')
            size += 1 + (value[size] == '\\');
        if (i > 0) buf_put_text(to, i < 3 ? " | " : " ");
        bool quoted = value[0] == '"';
        buf_put(to, value + quoted, size - quoted);
        *at = value + size;
    }
    buf_put_u8(to, '\n');
    *at = strstr(*at, "\"children\":[") + strlen("\"children\":[");
    for (bool is_first = true; **at != ']'; is_first = false) {
        if (!is_first) assert_int_equal(*(*at)++, ',');
        assert_int_equal(**at, '{');
        put_rows(at, depth + 1, to);
    }
    *at += 2; /* the end of the array and of the object */
}

/* Compares what explain prints, or, with x->run, what it prints after a run. */
static void
expect(struct asked *x, const char *text, const char *rows)
{
    struct buf got;
    buf_init(&got, NULL, 1 << 20);
    buf_clear(&x->json);
    assert_int_equal(explain(x, text), OK);
    buf_put_u8(&x->json, '\0');
    const char *at = (const char *)x->json.at;
    put_rows(&at, 0, &got);
    buf_put_u8(&got, '\0');
    assert_string_equal((const char *)got.at, rows);
    buf_fini(&got);
}

/* --- plans ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_plan_has_each_operator_and_what_it_reads)
{
    struct asked x;
    asked_init(&x);
    expect(&x, "m_total{s=~\"0.\"} offset 1m",
           "selector | m_total{s=~\\\"0.\\\"} offset 1m | 10 10 400 1000\n");
    expect(&x, "sum by (s)(rate(m_total[1m]))",
           "aggregation | sum by (s) (rate(m_total[1m])); folds each series into its group | "
           "10 10 400 1000\n"
           "  range function | rate(m_total[1m]) | 10 10 400 1000\n");
    expect(&x, "topk(3, m_total) / on (s) group_left count(m_total)",
           "binary operator | topk(3, m_total) / on (s) group_left () count(m_total); holds the "
           "series of the right | 10 20 800 2000\n"
           "  aggregation | topk(3, m_total); holds the best of each step | 10 10 400 1000\n"
           "    selector | m_total | 10 10 400 1000\n"
           "  aggregation | count(m_total); folds each series into its group | 1 10 400 1000\n"
           "    selector | m_total | 10 10 400 1000\n");
    expect(
        &x, "-abs(m_total) or vector(time())",
        "set operator | -abs(m_total) or vector(time()); holds where the left has something | 11 "
        "10 400 1000\n"
        "  map | -abs(m_total) | 10 10 400 1000\n"
        "    map | abs(m_total) | 10 10 400 1000\n"
        "      selector | m_total | 10 10 400 1000\n"
        "  map | vector(time()) | 1 0 0 0\n"
        "    scalar | time() | 0 0 0 0\n");
    expect(&x, "absent_over_time(m_total[5m])",
           "absent | absent_over_time(m_total[5m]) | 1 10 400 1000\n");
    expect(&x, "m_total[5m]", "range selector | m_total[5m] | 10 10 400 1000\n");
    expect(&x, "\"x\"", "string | \\\"x\\\" | 0 0 0 0\n");
    expect(&x, "2 * 3", "scalar | 2 * 3 | 0 0 0 0\n");
    asked_fini(&x);
}

UNIT_TEST(test_the_number_of_series_is_bounded_by_what_makes_them)
{
    static const struct {
        const char *text, *series; /* m_total has 10 */
    } rows[] = {
        {"sum(m_total)", "1"},
        {"sum by () (m_total)", "1"},
        {"sum by (s) (m_total)", "10"},
        {"sum without () (m_total)", "10"},
        {"sum without (s) (m_total)", "10"},
        {"quantile(0.5, m_total)", "1"},
        {"quantile without (s) (0.5, m_total)", "10"},
        {"group by (s) (m_total)", "10"},
        {"count_values(\"v\", m_total)", "null"},
        {"count_values without (s) (\"v\", m_total)", "null"},
        {"topk(3, m_total)", "10"}, /* at different steps, others may be the best */
        {"bottomk by (s) (3, m_total)", "10"},
        {"limitk(3, m_total)", "10"},
        {"limit_ratio(0.5, m_total)", "10"},
        {"histogram_quantile(0.5, m_total)", "10"},
        {"histogram_quantiles(m_total, \"q\", 0.5)", "10"},
        {"histogram_quantiles(m_total, \"q\", 0.5, 0.9, 0.99)", "30"},
        {"histogram_fraction(0, 1, m_total)", "10"},
        {"m_total or sum(m_total)", "11"},
        {"m_total and sum(m_total)", "10"},
        {"sum(m_total) unless m_total", "1"},
        {"m_total / on () sum(m_total)", "1"},
        {"m_total / on () group_left () sum(m_total)", "10"},
        {"sum(m_total) / on () group_right () m_total", "10"},
        {"m_total / on () group_left (a) sum(m_total)", "null"},
        {"m_total / fill (0) sum(m_total)", "11"},
        {"info(m_total)", "null"},
        {"absent(m_total)", "1"},
        {"vector(1)", "1"},
        {"scalar(m_total)", "0"},
        {"sort(m_total)", "10"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct asked x;
        asked_init(&x);
        assert_int_equal(explain(&x, rows[i].text), OK);
        buf_put_u8(&x.json, '\0');
        const char *series = strstr((const char *)x.json.at, "\"series\":") + 9;
        size_t size = strcspn(series, ",");
        if (size != strlen(rows[i].series) || memcmp(series, rows[i].series, size) != 0)
            fail_msg("%s: %.*s series", rows[i].text, (int)size, series);
        asked_fini(&x);
    }
}

UNIT_TEST(test_matchers_of_other_operands_are_shown_at_their_selector)
{
    struct asked x;
    asked_init(&x);
    expect(
        &x, "m_total{s=\"1\"} and on (s) last_over_time(m_total[5m])",
        "set operator | m_total{s=\\\"1\\\"} and on (s) last_over_time(m_total[5m]); holds where "
        "the right has something | 10 20 800 2000\n"
        "  selector | m_total{s=\\\"1\\\"} | 10 10 400 1000\n"
        "  range function | last_over_time(m_total[5m]); only where s=\\\"1\\\" | 10 10 400 "
        "1000\n");
    expect(
        &x, "m_total / count by (a, s) (m_total{a=~\"b|c\",s=\"1\"})",
        "binary operator | m_total / count by (a, s) (m_total{a=~\\\"b|c\\\",s=\\\"1\\\"}); holds "
        "the series of the right | 10 20 800 2000\n"
        "  selector | m_total; only where a=~\\\"b|c\\\", s=\\\"1\\\" | 10 10 400 1000\n"
        "  aggregation | count by (a, s) (m_total{a=~\\\"b|c\\\",s=\\\"1\\\"}); folds each series "
        "into its group | 10 10 400 1000\n"
        "    selector | m_total{a=~\\\"b|c\\\",s=\\\"1\\\"} | 10 10 400 1000\n");
    expect(&x, "m_total{s=\"1\"} and on (s) (m_total and on (s) m_total{a!=\"\"})",
           "set operator | m_total{s=\\\"1\\\"} and on (s) (m_total and on (s) "
           "m_total{a!=\\\"\\\"}); holds where the right has something | 10 30 1200 3000\n"
           "  selector | m_total{s=\\\"1\\\"} | 10 10 400 1000\n"
           "  set operator | m_total and on (s) m_total{a!=\\\"\\\"}; holds where the right has "
           "something | 10 20 800 2000\n"
           "    selector | m_total; only where s=\\\"1\\\" | 10 10 400 1000\n"
           "    selector | m_total{a!=\\\"\\\"}; only where s=\\\"1\\\" | 10 10 400 1000\n");
    expect(&x, "m_total and on (s) m_total{s=\"1\"}",
           "set operator | m_total and on (s) m_total{s=\\\"1\\\"}; holds where the right has "
           "something | 10 20 800 2000\n"
           "  selector | m_total; only where s=\\\"1\\\" | 10 10 400 1000\n"
           "  selector | m_total{s=\\\"1\\\"} | 10 10 400 1000\n");
    expect(&x, "m_total{s=\"1\"} and on (s) (m_total or on (s) m_total{a!=\"\"})",
           "set operator | m_total{s=\\\"1\\\"} and on (s) (m_total or on (s) "
           "m_total{a!=\\\"\\\"}); holds where the right has something | 10 30 1200 3000\n"
           "  selector | m_total{s=\\\"1\\\"} | 10 10 400 1000\n"
           "  set operator | m_total or on (s) m_total{a!=\\\"\\\"}; holds where the left has "
           "something | 20 20 800 2000\n"
           "    selector | m_total; only where s=\\\"1\\\" | 10 10 400 1000\n"
           "    selector | m_total{a!=\\\"\\\"}; only where s=\\\"1\\\" | 10 10 400 1000\n");
    /* Evaluating it would add a note about the other series. */
    expect(&x, "m_total{s=\"1\"} and rate(m_total[5m])",
           "set operator | m_total{s=\\\"1\\\"} and rate(m_total[5m]); holds where the right has "
           "something | 10 20 800 2000\n"
           "  selector | m_total{s=\\\"1\\\"} | 10 10 400 1000\n"
           "  range function | rate(m_total[5m]) | 10 10 400 1000\n");
    asked_fini(&x);
}

UNIT_TEST(test_steps_and_times_are_those_that_are_read)
{
    struct asked x;
    asked_init(&x);
    x.step_ms = 60000;
    expect(&x, "m_total", "selector | m_total; 10 steps | 10 10 400 1000\n");
    assert_int_equal(x.source.min_ms, 0);
    assert_int_equal(x.source.max_ms, 840000);
    expect(&x, "m_total @ 1000 offset 100s",
           "selector | m_total @ 1000.000 offset 1m40s; evaluated once for all steps | 10 10 400 "
           "1000\n");
    assert_int_equal(x.source.min_ms, 600000);
    assert_int_equal(x.source.max_ms, 900000);
    expect(&x, "max_over_time(sum(rate(m_total[1m]))[5m:1m])",
           "range function | max_over_time(sum(rate(m_total[1m]))[5m:1m]); 10 steps | 1 10 400 "
           "1000\n"
           "  subquery | sum(rate(m_total[1m]))[5m:1m]; 14 steps | 1 10 400 1000\n"
           "    aggregation | sum(rate(m_total[1m])); folds each series into its group | 1 10 400 "
           "1000\n"
           "      range function | rate(m_total[1m]); 14 steps | 10 10 400 1000\n");
    assert_int_equal(x.source.min_ms, 1); /* the first step is at one minute */
    assert_int_equal(x.source.max_ms, 840000);
    asked_fini(&x);
}

UNIT_TEST(test_a_repeated_expression_is_planned_and_read_once)
{
    struct asked x;
    asked_init(&x);
    static const char rows[] =
        "binary operator | sum(m_total) / sum(m_total); holds the series of the right | 1 10 400 "
        "1000\n"
        "  aggregation | sum(m_total); folds each series into its group | 1 10 400 1000\n"
        "    selector | m_total | 10 10 400 1000\n"
        "  aggregation | sum(m_total); evaluated where it stands first | 1 0 0 0\n";
    expect(&x, "sum(m_total) / sum(m_total)", rows);
    /* A part at other steps, or that is read in another way, is not the same. */
    expect(&x, "m_total - count(m_total)",
           "binary operator | m_total - count(m_total); holds the series of the right | 1 20 800 "
           "2000\n"
           "  selector | m_total | 10 10 400 1000\n"
           "  aggregation | count(m_total); folds each series into its group | 1 10 400 1000\n"
           "    selector | m_total | 10 10 400 1000\n");
    x.run = true;
    expect(&x, "sum(m_total) / sum(m_total)", rows);
    asked_fini(&x);
}

UNIT_TEST(test_a_part_is_read_once_where_only_its_presence_matters)
{
    static const char *const texts[] = {
        "sum(rate(m_total[5m])) / count(rate(m_total[5m]))",
        "count(rate(m_total[5m])) / sum(rate(m_total[5m]))",
        "sum(m_total) unless absent(sum(m_total))",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct asked x;
        asked_init(&x);
        x.run = true;
        assert_int_equal(explain(&x, texts[i]), OK);
        assert_int_equal(x.source.selected, 1);
        asked_fini(&x);
    }
}

UNIT_TEST(test_memory_is_printed_unless_it_is_hidden)
{
    for (unsigned i = 0; i < 2; i++) {
        struct asked x;
        asked_init(&x);
        x.run = true;
        x.memory = i == 0 ? PLAN_MEMORY_SHOWN : PLAN_MEMORY_HIDDEN;
        assert_int_equal(explain(&x, "sum(m_total)"), OK);
        buf_put_u8(&x.json, '\0');
        bool any = strstr((const char *)x.json.at, "\"peak_bytes\":") != NULL;
        assert_int_equal(any, x.memory == PLAN_MEMORY_SHOWN);
        assert_non_null(strstr((const char *)x.json.at, "\"peak_samples\":"));
        asked_fini(&x);
    }
}

UNIT_TEST(test_a_long_expression_is_cut_between_characters)
{
    struct asked x;
    struct buf text, rows;
    buf_init(&text, NULL, 1 << 16);
    buf_init(&rows, NULL, 1 << 16);
    asked_init(&x);
    buf_put_text(&text, "m_total{aa!=\"");
    buf_put_text(&rows, "selector | m_total{aa!=\\\"");
    for (unsigned i = 0; i < 1100; i++) {
        buf_put_text(&text, "\u00e4");
        if (i < 1017) buf_put_text(&rows, "\u00e4"); /* 2047 bytes: another does not fit */
    }
    buf_put(&text, "\"}", 3);
    buf_put(&rows, "... | 10 10 400 1000\n", 22);
    expect(&x, (const char *)text.at, (const char *)rows.at);
    buf_fini(&text);
    buf_fini(&rows);
    asked_fini(&x);
}

UNIT_TEST(test_a_plan_reads_and_runs_nothing)
{
    static const char *const texts[] = {
        "sum(m_total) * scalar(max(m_total))",
        "topk(scalar(sum(m_total)), m_total)",
        "info(m_total)",
        "max_over_time(m_total[30d:1ms] @ 1e9)",
        "timestamp(m_total) > bool 3",
        "m_total @ start()",
    };
    struct asked x;
    asked_init(&x);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        x.source.surveyed = 0;
        buf_clear(&x.error);
        enum err e = explain(&x, texts[i]);
        assert_int_equal(e, i == 3 ? ERR_INPUT : OK); /* a run gives the same error */
        assert_true(x.source.surveyed > 0 || e);
        assert_int_equal(x.source.selected, 0);
        assert_true(atomic_load(&x.budget.peak_bytes) < 64 * 1024);
    }
    asked_fini(&x);
}

UNIT_TEST(test_an_estimate_that_is_unknown_is_null)
{
    struct asked x;
    asked_init(&x);
    expect(&x, "count_values(\"v\", m_total)",
           "aggregation | count_values(\\\"v\\\", m_total); folds each value into its group | null "
           "10 400 1000\n"
           "  selector | m_total | 10 10 400 1000\n");
    expect(&x, "info(m_total)",
           "info | info(m_total); reads info metrics for the series of its argument | null null "
           "null null\n"
           "  selector | m_total | 10 10 400 1000\n");
    x.source = source_new(true);
    expect(&x, "abs(m_total)",
           "map | abs(m_total) | null null null null\n"
           "  selector | m_total | null null null null\n");
    asked_fini(&x);
}

UNIT_TEST(test_shards_are_those_of_a_run)
{
    struct asked x;
    asked_init(&x);
    x.source.guess = 20 * 1000 * 1000;
    x.has_helpers = true;
    for (x.run = false;; x.run = true) {
        expect(&x, "rate(m_total[1m])",
               "range function | rate(m_total[1m]); 4 shards | 10 10 400 1000\n");
        if (x.run) break;
    }
    asked_fini(&x);
}

UNIT_TEST(test_limits_that_a_query_would_exceed_are_warned_of)
{
    struct asked x;
    asked_init(&x);
    x.control.series_max = 15;
    x.control.samples_max = 1000;
    assert_int_equal(explain(&x, "m_total + (m_total offset 1s)"), OK);
    buf_put_u8(&x.json, '\0');
    buf_put_u8(&x.warnings, '\0');
    assert_non_null(strstr((const char *)x.json.at,
                           "\"limits\":[{\"name\":\"query.max_series\",\"limit\":15,\"needs\":20},"
                           "{\"name\":\"query.max_samples_read\",\"limit\":1000,\"needs\":800}]}"));
    assert_string_equal((const char *)x.warnings.at,
                        "the query would be refused: it reads 20 series, and query.max_series is "
                        "15; use narrower matchers or a shorter time range\n");
    x.run = true;
    assert_int_equal(explain(&x, "m_total + (m_total offset 1s)"), ERR_LIMIT);
    asked_fini(&x);
}

/* --- runs ------------------------------------------------------------------------------------- */

static const char *const expressions[] = {
    "sum by (s) (rate(m_total[1m])) / on (s) m_total",
    "topk(2, m_total) or quantile(0.5, m_total)",
    "max_over_time(sum(rate(m_total[1m]))[5m:1m]) * scalar(max(m_total))",
    "label_replace(m_total, \"a\", \"$1\", \"s\", \"(.*)\") unless sort(absent(m_total))",
    "histogram_quantile(scalar(m_total{s=\"1\"}), m_total)",
    "count_values(\"v\", limit_ratio(0.5, -m_total)) + bottomk(1, clamp(m_total, 1, 2))",
    "info(m_total)",
    "timestamp(m_total) and on () last_over_time(m_total[5m] @ 100)",
    "m_total[5m]",
    "m_total[5m:1m]",
    "scalar(sum(m_total)) + time()",
    "m_total / (m_total + sort(m_total)) or rate(m_total[1m]) + rate(m_total[1m])",
    "sum(m_total @ 100) + sum(m_total @ 100) * on () group_right () m_total",
    "limitk(1, m_total) + quantile(2, m_total) * on () quantile(2, m_total)",
    "\"text\"",
};
enum { EXPRESSION_COUNT = sizeof expressions / sizeof expressions[0] };

UNIT_TEST(test_a_run_gives_back_what_each_operator_took)
{
    for (size_t i = 0; i < EXPRESSION_COUNT; i++) {
        struct asked x;
        asked_init(&x);
        x.run = true;
        x.has_helpers = i % 2 == 1;
        x.source.guess = 20 * 1000 * 1000;
        assert_int_equal(explain(&x, expressions[i]), OK);
        buf_put_u8(&x.json, '\0');
        assert_non_null(strstr((const char *)x.json.at, "\"stats\":{\"ms\":"));
        asked_fini(&x);
    }
}

UNIT_TEST(test_a_run_reports_the_samples_that_it_read_and_returned)
{
    struct asked x;
    asked_init(&x);
    x.run = true;
    expect(&x, "count(m_total > 18) + sum(m_total{s=\"1\"})",
           "binary operator | count(m_total > 18) + sum(m_total{s=\\\"1\\\"}); holds the series of "
           "the right | 1 20 800 2000\n"
           "  aggregation | count(m_total > 18); folds each series into its group | 1 10 400 "
           "1000\n"
           "    binary operator | m_total > 18 | 10 10 400 1000\n"
           "      selector | m_total | 10 10 400 1000\n"
           "      number | 18 | 0 0 0 0\n"
           "  aggregation | sum(m_total{s=\\\"1\\\"}); folds each series into its group | 1 10 400 "
           "1000\n"
           "    selector | m_total{s=\\\"1\\\"} | 10 10 400 1000\n");
    expect(&x, "m_total[5m:1m]",
           "subquery | m_total[5m:1m]; 5 steps | 10 10 400 1000\n"
           "  selector | m_total; 5 steps | 10 10 400 1000\n");
    expect(&x, "absent_over_time(m_total[5m])",
           "absent | absent_over_time(m_total[5m]) | 0 10 400 1000\n");
    asked_fini(&x);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    for (size_t i = 0; i < 2 * EXPRESSION_COUNT; i++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct asked x;
            asked_init(&x);
            x.run = i % 2 == 1;
            mem_fail_nth(nth, false);
            enum err e = explain(&x, expressions[i / 2]);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (!fired) assert_int_equal(e, OK);
            if (fired && e) assert_int_equal(e, ERR_NOMEM);
            asked_fini(&x);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plan_has_each_operator_and_what_it_reads),
        cmocka_unit_test(test_the_number_of_series_is_bounded_by_what_makes_them),
        cmocka_unit_test(test_matchers_of_other_operands_are_shown_at_their_selector),
        cmocka_unit_test(test_steps_and_times_are_those_that_are_read),
        cmocka_unit_test(test_a_repeated_expression_is_planned_and_read_once),
        cmocka_unit_test(test_a_part_is_read_once_where_only_its_presence_matters),
        cmocka_unit_test(test_memory_is_printed_unless_it_is_hidden),
        cmocka_unit_test(test_a_long_expression_is_cut_between_characters),
        cmocka_unit_test(test_a_plan_reads_and_runs_nothing),
        cmocka_unit_test(test_an_estimate_that_is_unknown_is_null),
        cmocka_unit_test(test_shards_are_those_of_a_run),
        cmocka_unit_test(test_limits_that_a_query_would_exceed_are_warned_of),
        cmocka_unit_test(test_a_run_gives_back_what_each_operator_took),
        cmocka_unit_test(test_a_run_reports_the_samples_that_it_read_and_returned),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("promql/explained", tests, NULL, NULL);
}
