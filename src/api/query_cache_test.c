/*
 * Range queries that use what earlier ones found give the same answers as those that read
 * everything, whatever happens to the store in between: samples in time and late, deletions,
 * flushes, merges, retention, a clock that jumps.
 */
#include "lib/test.h"
#include "lib/tsdb_machine.h"
#include "promql/answer.h"
#include "promql/promql.h"

enum { SERIES = 6, STEP_MS = 30000, SCRAPE_MS = 15000, ROUNDS = 500, SEEDS = 12 };

static const char *const expressions[] = {
    "m", "sum by (job) (rate(m[2m]))", "max_over_time(m[3m:1m])", "count(m offset 1m)",
    "topk(2, m)", "m @ 1767225900", "h", "histogram_quantile(0.5, sum(rate(h[2m])))",
    "absent(m{i=\"3\"})", "timestamp(m) - time()", "-{__name__=~\"m|n\"}",
    /* These are never kept. */
    "m @ end()", "m offset -1m", "m smoothed", "m + range()", "sum(max_over_time(m[1m] @ start()))",
    "max_over_time({__name__=~\"m|n\"}[15s])", /* fails if any two steps have both */
};
enum { EXPRESSIONS = sizeof expressions / sizeof *expressions };

struct world {
    struct machine m;
    struct rng rng;
    struct promql_cache *cache;
    int64_t now_ms;
};

/* --- what happens ----------------------------------------------------------------------------- */

static void
put_histogram(struct world *w, struct rq *rq, int64_t t_ms)
{
    struct hist_span span = {0, 2};
    int64_t n = t_ms / SCRAPE_MS % 1000, deltas[] = {n, 3};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                          .schema = 0,
                          .sum_bits = double_bits((double)(5 * n)),
                          .count = (uint64_t)(2 * n + 3),
                          .positive = {.span_count = 1, .bucket_count = 2}};
    h.positive.spans = &span;
    h.positive.deltas = deltas;
    rq_series(rq, "__name__=h,job=a");
    rq_histogram(rq, t_ms, &h, 0);
    (void)w;
}

/* Samples of one time; some series have none. */
static void
put_scrape(struct world *w, int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (int i = 0; i < SERIES; i++) {
        char labels[64];
        if (rng_below(&w->rng, 5) == 0) continue;
        const char *name = i == 0 && rng_below(&w->rng, 60) == 0 ? "n" : "m"; /* never both */
        snprintf(labels, sizeof labels, "__name__=%s,i=%d,job=%c", name, i, "ab"[i % 2]);
        uint64_t value = double_bits((double)rng_below(&w->rng, 1000));
        rq_series(&rq, labels);
        rq_float(&rq, t_ms, rng_below(&w->rng, 20) == 0 ? STALE_NAN_BITS : value, 0);
    }
    put_histogram(w, &rq, t_ms);
    enum err e = machine_send(&w->m, "a", &rq);
    assert_true(e == OK || e == ERR_AGAIN); /* too far ahead of the clock */
    rq_fini(&rq);
    if (rng_below(&w->rng, 4) != 0) machine_commit(&w->m);
}

static int64_t
some_time(struct world *w)
{
    return w->now_ms - (int64_t)rng_below(&w->rng, 60 * MINUTE_MS);
}

static void
delete_some(struct world *w)
{
    struct selector s;
    struct tsdb_deletion deletion;
    char chosen[16];
    snprintf(chosen, sizeof chosen, "m{i=\"%u\"}", (unsigned)rng_below(&w->rng, SERIES));
    must(selector_parse(text(chosen), &s, &w->m.why));
    int64_t from_ms = some_time(w);
    must(tsdb_delete(w->m.db, text("a"), &s, from_ms, from_ms + 5 * MINUTE_MS, &deletion,
                     &w->m.why));
}

static void
merge(struct world *w)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result result;
    must(tsdb_merge(w->m.db, &options, &result, &w->m.why));
}

/* The clock of the machine, mostly back to what samples have; retention goes by it. */
static void
jump(struct world *w)
{
    static const int64_t off_ms[] = {0, 0, -DAY_MS, -MINUTE_MS, MINUTE_MS, 15 * MINUTE_MS};
    int64_t by_ms = off_ms[rng_below(&w->rng, sizeof off_ms / sizeof *off_ms)];
    sim_env_set_realtime_ms(w->m.sim, w->now_ms + by_ms);
}

static void
something_happens(struct world *w)
{
    switch (rng_below(&w->rng, 40)) {
    case 0:
        put_scrape(w, some_time(w));
        break;
    case 1:
        machine_flush(&w->m);
        break;
    case 2:
        delete_some(w);
        break;
    case 3:
        merge(w);
        break;
    case 4:
        machine_commit(&w->m);
        break;
    case 5:
        jump(w);
        break;
    default:
        w->now_ms += SCRAPE_MS;
        sim_env_advance_ns(w->m.sim, SCRAPE_MS * NS_PER_MS);
        put_scrape(w, w->now_ms);
    }
}

/* --- what is asked ---------------------------------------------------------------------------- */

static enum err
no_piece(void *context)
{
    (void)context;
    return OK;
}

static void
put_answer(struct world *w, struct view *view, const struct promql_tree *tree,
           const struct promql_options *options, struct buf *to)
{
    struct promql_result *result;
    struct buf error;
    struct json json;
    buf_init(&error, NULL, 1 << 20);
    enum err e = promql_run(tree, view, options, &result, &error, &w->m.why);
    if (e) {
        buf_put_bytes(to, buf_bytes(&error));
        buf_fini(&error);
        assert_int_equal(e, ERR_INPUT);
        return;
    }
    json_init(&json, to);
    json_object_open(&json);
    struct promql_answer answer = {.result = result, .to = &json, .piece = no_piece};
    must(promql_answer_put(&answer));
    json_object_close(&json);
    for (uint32_t n = 0; promql_note(result, PROMQL_INFO, n, to); n++) {
    }
    promql_result_free(result);
    buf_fini(&error);
}

/* One view, asked with the cache and without, about so many minutes. */
static void
check(struct world *w, const char *expression, int64_t minutes)
{
    struct promql_tree *tree;
    struct buf error, with, without;
    buf_init(&error, NULL, 1 << 20);
    buf_init(&with, NULL, 1 << 24);
    buf_init(&without, NULL, 1 << 24);
    must(promql_parse(text(expression), NULL, NULL, &tree, &error));
    int64_t ahead_ms = (int64_t)rng_below(&w->rng, 3) * STEP_MS;
    struct promql_options options = {
        .tenant = text("a"),
        .last_ms = w->now_ms / STEP_MS * STEP_MS + ahead_ms,
        .step_ms = STEP_MS,
        .lookback_ms = 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
        .shards = 1 + (uint32_t)rng_below(&w->rng, 2),
    };
    options.first_ms = options.last_ms - minutes * MINUTE_MS;
    struct view *view = machine_view(&w->m);
    put_answer(w, view, tree, &options, &without);
    options.cache = w->cache;
    put_answer(w, view, tree, &options, &with);
    view_free(view);
    if (!bytes_equal(buf_bytes(&with), buf_bytes(&without))) {
        print_error("%s\nread:   %.*s\ncached: %.*s\n", expression, (int)without.size, without.at,
                    (int)with.size, with.at);
        fail();
    }
    promql_free(tree);
    buf_fini(&error);
    buf_fini(&with);
    buf_fini(&without);
}

static void
live(uint64_t seed, uint64_t cache_bytes, struct promql_cache_facts *ret)
{
    struct world w = {.rng = {seed}, .now_ms = SIM_BEGIN + 90 * MINUTE_MS};
    machine_init(&w.m, seed);
    if (seed % 4 == 0) w.m.limits.retention_ms = 20 * MINUTE_MS;
    sim_env_advance_ns(w.m.sim, (w.now_ms - SIM_BEGIN) * NS_PER_MS);
    machine_must_open(&w.m);
    must(promql_cache_new(NULL, cache_bytes, &w.cache));
    for (uint32_t round = 0; round < ROUNDS; round++) {
        something_happens(&w);
        if (rng_below(&w.rng, 2) > 0) continue;
        const char *expression = expressions[rng_below(&w.rng, EXPRESSIONS)];
        check(&w, expression, 10 + (int64_t)rng_below(&w.rng, 3));
    }
    *ret = promql_cache_look(w.cache);
    promql_cache_free(w.cache);
    machine_fini(&w.m);
}

UNIT_TEST(test_answers_are_those_without_the_cache)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct promql_cache_facts facts;
        live(seed, 16 << 20, &facts);
        assert_in_range(facts.queries, 1, ROUNDS);
        assert_in_range(facts.hits, facts.queries / 4, facts.queries); /* it is of use */
        assert_in_range(facts.steps_kept, facts.steps / 6, facts.steps);
        assert_int_equal(facts.evicted, 0);
        assert_in_range(facts.entries, 1, 2 * EXPRESSIONS);
    }
}

UNIT_TEST(test_a_full_cache_forgets_what_was_used_least_recently)
{
    struct promql_cache_facts facts;
    live(100, 64 << 10, &facts);
    assert_true(facts.evicted > 0);
    assert_in_range(facts.bytes, 1, 64 << 10);
    live(101, 0, &facts);
    assert_int_equal(facts.hits, 0);
    assert_int_equal(facts.entries, 0);
}

/* Two panels of a dashboard with the same expression. */
UNIT_TEST(test_a_short_range_leaves_a_long_one_what_it_has)
{
    enum { LONG_MINUTES = 60, SHORT_MINUTES = 5, REFRESHES = 4 };
    struct world w = {.rng = {7}, .now_ms = SIM_BEGIN + 90 * MINUTE_MS};
    machine_init(&w.m, 7);
    sim_env_advance_ns(w.m.sim, (w.now_ms - SIM_BEGIN) * NS_PER_MS);
    machine_must_open(&w.m);
    must(promql_cache_new(NULL, 16 << 20, &w.cache));
    for (unsigned i = 0; i < LONG_MINUTES * MINUTE_MS / SCRAPE_MS; i++) {
        w.now_ms += SCRAPE_MS;
        sim_env_advance_ns(w.m.sim, SCRAPE_MS * NS_PER_MS);
        put_scrape(&w, w.now_ms);
    }
    check(&w, "sum(m)", LONG_MINUTES);
    for (unsigned i = 0; i < REFRESHES; i++) {
        w.now_ms += STEP_MS;
        sim_env_advance_ns(w.m.sim, STEP_MS * NS_PER_MS);
        put_scrape(&w, w.now_ms);
        check(&w, "sum(m)", SHORT_MINUTES);
    }
    struct promql_cache_facts before = promql_cache_look(w.cache);
    check(&w, "sum(m)", LONG_MINUTES);
    struct promql_cache_facts after = promql_cache_look(w.cache);
    uint64_t steps = after.steps - before.steps;
    assert_in_range(after.steps_kept - before.steps_kept, steps * 9 / 10, steps);
    promql_cache_free(w.cache);
    machine_fini(&w.m);
}

/* The n-th allocation is refused: the query fails, or its answer is right; nothing is left over. */
static bool
ask_with_a_refusal(struct world *w, struct view *view, const struct promql_tree *tree,
                   struct promql_options *options, uint64_t nth, struct bytes right)
{
    struct promql_result *result;
    struct buf error, got;
    struct json json;
    buf_init(&error, NULL, 1 << 20);
    buf_init(&got, NULL, 1 << 24);
    mem_fail_nth(nth, false);
    enum err e = promql_run(tree, view, options, &result, &error, &w->m.why);
    mem_fail_nth(0, false);
    if (e == OK) {
        json_init(&json, &got);
        json_object_open(&json);
        struct promql_answer answer = {.result = result, .to = &json, .piece = no_piece};
        must(promql_answer_put(&answer));
        json_object_close(&json);
        promql_result_free(result);
        assert_true(bytes_equal(buf_bytes(&got), right));
    } else {
        assert_int_equal(e, ERR_NOMEM);
    }
    buf_fini(&error);
    buf_fini(&got);
    return e == OK;
}

UNIT_TEST(test_refused_memory_costs_the_query_or_what_is_kept)
{
    enum { ALLOCATIONS = 200 };
    struct world w = {.rng = {7}, .now_ms = SIM_BEGIN + 90 * MINUTE_MS};
    struct promql_tree *tree;
    struct buf error, right;
    uint32_t answered = 0;
    buf_init(&error, NULL, 1 << 20);
    buf_init(&right, NULL, 1 << 24);
    machine_init(&w.m, 7);
    sim_env_advance_ns(w.m.sim, 90 * MINUTE_MS * NS_PER_MS);
    machine_must_open(&w.m);
    for (int i = 0; i < 40; i++) {
        put_scrape(&w, w.now_ms + i * SCRAPE_MS);
    }
    machine_commit(&w.m);
    must(promql_parse(text("sum by (job) (max_over_time(m[2m])) or h"), NULL, NULL, &tree, &error));
    struct promql_options options = {
        .tenant = text("a"),
        .first_ms = w.now_ms,
        .last_ms = w.now_ms + 10 * MINUTE_MS,
        .step_ms = STEP_MS,
        .lookback_ms = 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
    };
    struct view *view = machine_view(&w.m);
    put_answer(&w, view, tree, &options, &right);
    for (uint64_t nth = 1; nth <= ALLOCATIONS; nth++) {
        must(promql_cache_new(NULL, 16 << 20, &w.cache));
        options.cache = w.cache;
        for (unsigned again = 0; again < 2; again++) { /* with nothing kept, and with all */
            answered += ask_with_a_refusal(&w, view, tree, &options, nth, buf_bytes(&right));
        }
        promql_cache_resize(w.cache, 0);
        assert_int_equal(promql_cache_look(w.cache).bytes, 0);
        promql_cache_free(w.cache);
    }
    assert_in_range(answered, 10, 2 * ALLOCATIONS - 10);
    view_free(view);
    promql_free(tree);
    buf_fini(&error);
    buf_fini(&right);
    machine_fini(&w.m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_answers_are_those_without_the_cache, tell_seed),
        cmocka_unit_test_teardown(test_a_short_range_leaves_a_long_one_what_it_has, tell_seed),
        cmocka_unit_test_teardown(test_refused_memory_costs_the_query_or_what_is_kept, tell_seed),
        cmocka_unit_test_teardown(test_a_full_cache_forgets_what_was_used_least_recently,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
