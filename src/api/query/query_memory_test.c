/*
 * query_memory_test.c - if any allocation of a query fails, it ends with an error that says so,
 * frees all its memory, and the next one is answered as before. The store has a head and parts;
 * there are queries with each kind of operator, read in turn and in shards.
 */
#include "lib/test.h"
#include <math.h>

#include "lib/random.h"
#include "lib/tsdb/tsdb_machine.h"
#include "promql/promql.h"

enum { SAMPLES = 40, STEP_MS = 15000 };
#define FIRST_MS (SIM_BEGIN - SAMPLES * STEP_MS)

static const char *const queries[] = {
    "\"a string\"",
    "time() + scalar(m{i=\"1\"}) * max_of(pi(), step())",
    "m",
    "m[1m]",
    "h[1m]",
    "rate(requests_total[2m])[5m:30s]",
    "{__name__=~\"m|h\", i!=\"7\"} offset 30s",
    "max_over_time((m or h)[5m:30s]) or sort(m)",
    "m smoothed",
    "h smoothed",
    "m @ end()",
    "m / (m + m) or rate(m[1m]) * rate(m[1m])",
    "sum by (i) (h @ end()) + sum by (i) (h @ end())",
    "m{i=\"1\"} and on (i) count by (i) (h)",
    "rate(requests_total[2m])",
    "rate({__name__=~\"requests_total|m\"}[2m])",
    "rate(h[2m])",
    "rate(h_started[10s])",
    "rate(h_started[2m])",
    "increase(requests_total[2m] smoothed)",
    "increase(h[2m] anchored)",
    "delta(h[2m])",
    "avg_over_time(h[2m])",
    "quantile_over_time(0.9, m[2m])",
    "mad_over_time(m[2m])",
    "last_over_time({i=\"1\"}[2m])",
    "absent_over_time(none{a=\"b\"}[2m])",
    "double_exponential_smoothing(m[2m], 0.5, 0.5)",
    "max_over_time(sum by (i) (rate(requests_total[1m]))[3m:20s])",
    "sum_over_time(h[2m:20s])",
    "-clamp(round(m, 0.1), 1, 100)",
    "timestamp(m) - hour(m)",
    "absent(none{a=\"b\"})",
    "vector(1) or m",
    "sort_desc(m)",
    "sort_by_label(m, \"i\")",
    "label_replace(m, \"x\", \"<$1>\", \"i\", \"(.*)\")",
    "label_join(m, \"x\", \"-\", \"i\", \"job\")",
    "histogram_quantile(0.9, h)",
    "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[2m])))",
    "histogram_quantiles(h, \"q\", 0.5, 0.9)",
    "histogram_fraction(0, 1, h)",
    "histogram_stddev(h) + histogram_avg(h)",
    "info(m)",
    "info(m, {version=~\".+\"})",
    "sum(m)",
    "sum by (job) (h)",
    "avg without (i) (h)",
    "stddev by (job) ({__name__=~\"m|h\"})",
    "topk by (job) (2, m)",
    "limitk(2, h)",
    "limit_ratio(0.5, m)",
    "quantile(scalar(m{i=\"2\"}), m)",
    "count_values(\"v\", m)",
    "count_values(\"v\", h)",
    "m + on (i) group_left (job) requests_total",
    "h * 2 + h",
    "h == h",
    "m > bool 3",
    "m + on (i) fill (0) requests_total{i!=\"1\"}",
    "m and on (i) requests_total unless h",
    "h </ 1",
};

/* --- the store -------------------------------------------------------------------------------- */

static void
put_floats(struct rq *rq, const char *labels, uint32_t from, uint32_t until, double each)
{
    rq_series(rq, labels);
    for (uint32_t i = from; i < until; i++) {
        uint64_t bits = i == SAMPLES / 3 ? STALE_NAN_BITS : double_bits(each * i);
        rq_float(rq, FIRST_MS + i * STEP_MS, bits, 0);
    }
}

static void
put_histograms(struct rq *rq, const char *labels, uint32_t seed, uint32_t from, uint32_t until,
               bool started)
{
    struct arena arena;
    struct rng rng = {seed};
    arena_init(&arena, NULL, 0, 0);
    struct histogram h = random_histogram(&rng, &arena, SAMPLE_HISTOGRAM_INT);
    rq_series(rq, labels);
    for (uint32_t i = 0; i < until; i++) {
        int64_t t_ms = FIRST_MS + i * STEP_MS;
        if (i >= from) rq_histogram(rq, t_ms, &h, started ? t_ms - 5000 : 0);
        h = random_grown(&rng, &arena, &h);
    }
    arena_fini(&arena);
}

static void
put_samples(struct machine *m, uint32_t from, uint32_t until)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    for (uint32_t i = 0; i < 4; i++) {
        char labels[128];
        snprintf(labels, sizeof labels, "__name__=m,i=%u,instance=a,job=x", i);
        put_floats(&rq, labels, from, until, i);
        snprintf(labels, sizeof labels, "__name__=requests_total,i=%u,job=x", i);
        put_floats(&rq, labels, from, until, 10 + i);
        snprintf(labels, sizeof labels, "__name__=latency_bucket,le=%s",
                 (const char *[]){"0.1", "1", "5", "+Inf"}[i]);
        put_floats(&rq, labels, from, until, 1 + i);
        snprintf(labels, sizeof labels, "__name__=h,i=%u,job=%s", i, i % 2 == 0 ? "x" : "y");
        put_histograms(&rq, labels, i == 3 ? 2 : i, from, until, false);
    }
    put_histograms(&rq, "__name__=h_started", 4, from, until, true);
    put_floats(&rq, "__name__=target_info,instance=a,job=x,version=2", from, until, 1);
    must(machine_send(m, "a", &rq));
    machine_commit(m);
    rq_fini(&rq);
}

static void
fill(struct machine *m)
{
    machine_init(m, 1);
    machine_must_open(m);
    put_samples(m, 0, SAMPLES / 2);
    machine_flush(m);
    put_samples(m, SAMPLES / 2, SAMPLES);
}

/* --- a query ---------------------------------------------------------------------------------- */

struct asked {
    struct machine *m;
    const char *query;
    uint32_t shards;
    int64_t step_ms;
    struct budget budget;
    struct why why;
};

static enum err
no_piece(void *context)
{
    (void)context;
    return OK;
}

static void
put_note(void *context, struct bytes sentence)
{
    struct json *json = context;
    json_put_bytes(json, sentence);
}

static enum err
put_answer(struct asked *a, struct promql_result *result, struct buf *to)
{
    struct json json;
    struct promql_answer answer = {
        .result = result, .t_ms = FIRST_MS, .to = &json, .piece = no_piece};
    json_init(&json, to);
    json_object_open(&json);
    enum err e = promql_answer_put(&answer);
    json_member_array(&json, "notes");
    for (unsigned kind = PROMQL_WARNING; kind <= PROMQL_INFO && e == OK; kind++) {
        e = promql_answer_notes(result, (enum promql_note)kind, false, &a->budget, put_note, &json,
                                &a->why);
    }
    if (e) return e;
    json_array_close(&json);
    json_object_close(&json);
    return buf_error(to) ? why_set(&a->why, ERR_NOMEM, "not enough memory for the answer") : OK;
}

/* Evaluates as the server does: api/query/query.c. */
static enum err
ask(struct asked *a, struct buf *to)
{
    struct promql_tree *tree = NULL;
    struct promql_result *result = NULL;
    struct view *view = NULL;
    struct buf error;
    struct query_control control = {.budget = &a->budget};
    bool is_range = a->step_ms > 0;
    struct promql_options options = {
        .tenant = text("a"),
        .first_ms = FIRST_MS + (is_range ? SAMPLES / 2 : SAMPLES - 1) * STEP_MS,
        .last_ms = FIRST_MS + (SAMPLES - 1) * STEP_MS,
        .step_ms = a->step_ms,
        .lookback_ms = 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
        .features.start_timestamps = strstr(a->query, "_started") != NULL,
        .shards = a->shards,
        .control = &control,
        .budget = &a->budget,
    };
    a->why.text[0] = '\0';
    buf_init(&error, NULL, 1 << 20);
    enum err e = promql_parse(text(a->query), &a->budget, NULL, &tree, &error);
    if (e == ERR_NOMEM) why_set(&a->why, e, "not enough memory for the expression");
    if (e == OK) e = view_open(tsdb_answerer(a->m->db), &control, &view, &a->why);
    if (e == OK && !(is_range && !promql_has_range(tree, &error))) {
        e = promql_run(tree, view, &options, &result, &error, &a->why);
        if (e == OK) e = put_answer(a, result, to);
    }
    if (e == ERR_INPUT) fail_msg("%s: %.*s", a->query, (int)error.size, error.at);
    promql_result_free(result);
    view_free(view);
    promql_free(tree);
    buf_fini(&error);
    return e;
}

/* Asks with the n-th allocation failing; 0: none. Returns false if there are fewer. */
static bool
ask_without_memory(struct asked *a, uint64_t nth, const struct buf *expected)
{
    struct buf answer;
    buf_init(&answer, &a->budget, 16 << 20);
    mem_fail_nth(nth, false);
    enum err e = ask(a, &answer);
    bool fired = mem_fail_fired();
    mem_fail_nth(0, false);
    /* A query that can do without the memory gives the same answer. */
    if (e == OK && !bytes_equal(buf_bytes(&answer), buf_bytes(expected))) {
        fail_msg("%s: allocation %llu fails: %.*s", a->query, (unsigned long long)nth,
                 (int)answer.size, answer.at);
    }
    if (e != OK && (e != ERR_NOMEM || !fired)) {
        fail_msg("%s: allocation %llu fails: %s: %s", a->query, (unsigned long long)nth,
                 err_word(e), a->why.text);
    }
    if (e != OK && strstr(a->why.text, "memory") == NULL) {
        fail_msg("%s: allocation %llu fails: says \"%s\"", a->query, (unsigned long long)nth,
                 a->why.text);
    }
    buf_fini(&answer);
    assert_int_equal(budget_used(&a->budget), 0);
    return fired;
}

static uint64_t
try_each_allocation(struct asked *a)
{
    struct buf expected;
    uint64_t nth = 1;
    budget_init(&a->budget, "query", 0, NULL);
    buf_init(&expected, NULL, 16 << 20);
    must(ask(a, &expected));
    while (ask_without_memory(a, nth, &expected)) {
        ask_without_memory(a, 0, &expected);
        nth++;
    }
    buf_fini(&expected);
    return nth - 1;
}

UNIT_TEST(test_a_query_survives_the_failure_of_any_of_its_allocations)
{
    struct machine m;
    uint64_t tried = 0;
    fill(&m);
    for (unsigned i = 0; i < sizeof queries / sizeof *queries; i++) {
        for (unsigned form = 0; form < 4; form++) {
            struct asked a = {.m = &m,
                              .query = queries[i],
                              .shards = form < 2 ? 0 : 3,
                              .step_ms = form % 2 == 0 ? 0 : 2 * STEP_MS};
            tried += try_each_allocation(&a);
        }
    }
    print_message("%llu allocations tried\n", (unsigned long long)tried);
    machine_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_query_survives_the_failure_of_any_of_its_allocations,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
