/*
 * query_cache_test.c - range queries that use cached results give the same answers as those that
 * read everything, whatever happens to the store in between: samples in time and late, deletions,
 * flushes, merges, retention, a clock that jumps; for any tenants, replica labels and settings of
 * other queries; and whatever was missing in their answers.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/selector.h"
#include "promql/promql.h"
#include "views/stack.h"

enum { SERIES = 6, STEP_MS = 30000, SCRAPE_MS = 15000, ROUNDS = 500, SEEDS = 12 };

static const char *const expressions[] = {
    "m", "sum by (job) (rate(m[2m]))", "max_over_time(m[3m:1m])", "count(m offset 1m)",
    "topk(2, m)", "m @ 1767225900", "sum by (job) (m @ 1767231600)", "h",
    "histogram_quantile(0.5, sum(rate(h[2m])))", "absent(m{i=\"3\"})", "timestamp(m) - time()",
    "-{__name__=~\"m|n\"}",
    /* These are never cached. */
    "m @ end()", "m offset -1m", "m smoothed", "m + range()", "sum(max_over_time(m[1m] @ start()))",
    "max_over_time({__name__=~\"m|n\"}[15s])", /* fails if any two steps have both */
};
enum { EXPRESSIONS = sizeof expressions / sizeof *expressions };

static const char *const tenants[] = {"a", "b", "a|b"};

struct world {
    struct machine m;
    struct rng rng;
    struct answerer *tenants; /* reads all tenants */
    struct promql_cache *cache;
    int64_t now_ms;
};

/* Makes a world an hour and a half after the machine's begin. Some seeds have a short retention. */
static void
world_init(struct world *w, uint64_t seed, uint64_t cache_bytes)
{
    w->rng = (struct rng){seed};
    w->now_ms = SIM_BEGIN + 90 * MINUTE_MS;
    machine_init(&w->m, seed);
    if (seed % 4 == 0) w->m.limits.retention_ms = 20 * MINUTE_MS;
    sim_env_advance_ns(w->m.sim, (w->now_ms - SIM_BEGIN) * NS_PER_MS);
    machine_must_open(&w->m);
    must(tenants_answerer_new(tsdb_answerer(w->m.db), &w->tenants));
    must(promql_cache_new(NULL, cache_bytes, &w->cache));
}

static void
world_free(struct world *w)
{
    promql_cache_free(w->cache);
    w->tenants->ops->free(w->tenants);
    machine_fini(&w->m);
}

static struct view *
world_view(struct world *w)
{
    struct view *view;
    must(view_open(w->tenants, NULL, &view, &w->m.why));
    return view;
}

/* --- changes of the store --------------------------------------------------------------------- */

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

/* Adds samples of one time; some series have none. */
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
    enum err e = machine_send(&w->m, rng_below(&w->rng, 4) == 0 ? "b" : "a", &rq);
    assert_true(e == OK || e == ERR_AGAIN); /* ERR_AGAIN: too far ahead of the clock */
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
    must(tsdb_delete(w->m.db, text(tenants[rng_below(&w->rng, 2)]), &s, 1, from_ms,
                     from_ms + 5 * MINUTE_MS, &deletion, &w->m.why));
}

static void
merge(struct world *w)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result result;
    must(tsdb_merge(w->m.db, &options, &result, &w->m.why));
}

/* Changes the machine's clock, mostly back to the time of samples; retention follows it. */
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

/* --- queries ---------------------------------------------------------------------------------- */

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

/* Asks one view, with the cache and without. */
static void
check_with(struct world *w, const char *expression, struct promql_options options)
{
    struct promql_tree *tree;
    struct buf error, with, without;
    buf_init(&error, NULL, 1 << 20);
    buf_init(&with, NULL, 1 << 24);
    buf_init(&without, NULL, 1 << 24);
    must(promql_parse(text(expression), NULL, NULL, &tree, &error));
    struct view *view = world_view(w);
    put_answer(w, view, tree, &options, &without);
    options.cache = w->cache;
    put_answer(w, view, tree, &options, &with);
    view_free(view);
    if (!bytes_equal(buf_bytes(&with), buf_bytes(&without))) {
        print_error("%.*s: %s\nread:   %.*s\ncached: %.*s\n", (int)options.tenant.size,
                    options.tenant.at, expression, (int)without.size, without.at, (int)with.size,
                    with.at);
        fail();
    }
    promql_free(tree);
    buf_fini(&error);
    buf_fini(&with);
    buf_fini(&without);
}

/* Checks the same over this many minutes. */
static void
check(struct world *w, const char *expression, const char *tenant, int64_t minutes)
{
    int64_t ahead_ms = (int64_t)rng_below(&w->rng, 3) * STEP_MS;
    struct promql_options options = {
        .tenant = text(tenant),
        .last_ms = w->now_ms / STEP_MS * STEP_MS + ahead_ms,
        .step_ms = STEP_MS,
        .lookback_ms = rng_below(&w->rng, 4) == 0 ? MINUTE_MS : 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
        .shards = 1 + (uint32_t)rng_below(&w->rng, 2),
    };
    options.first_ms = options.last_ms - minutes * MINUTE_MS;
    check_with(w, expression, options);
}

static void
live(uint64_t seed, uint64_t cache_bytes, struct promql_cache_facts *ret)
{
    struct world w;
    world_init(&w, seed, cache_bytes);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        something_happens(&w);
        if (rng_below(&w.rng, 2) > 0) continue;
        const char *expression = expressions[(3 * seed + rng_below(&w.rng, 6)) % EXPRESSIONS];
        uint64_t tenant = rng_below(&w.rng, 4);
        check(&w, expression, tenants[tenant < 3 ? tenant : 0], 10 + (int64_t)rng_below(&w.rng, 3));
    }
    *ret = promql_cache_look(w.cache);
    world_free(&w);
}

UNIT_TEST(test_answers_are_those_without_the_cache)
{
    struct promql_cache_facts all = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct promql_cache_facts facts;
        live(seed, 16 << 20, &facts);
        assert_in_range(facts.queries, 1, ROUNDS);
        assert_int_equal(facts.evicted, 0);
        assert_in_range(facts.entries, 1, 6 * EXPRESSIONS);
        all.queries += facts.queries;
        all.hits += facts.hits;
        all.steps += facts.steps;
        all.steps_kept += facts.steps_kept;
    }
    assert_in_range(all.hits, all.queries / 5, all.queries); /* the cache is useful */
    assert_in_range(all.steps_kept, all.steps / 8, all.steps);
}

UNIT_TEST(test_a_full_cache_forgets_what_was_used_least_recently)
{
    struct promql_cache_facts facts;
    live(97, 32 << 10, &facts);
    assert_true(facts.evicted > 0);
    assert_in_range(facts.bytes, 1, 32 << 10);
    live(98, 0, &facts);
    assert_int_equal(facts.hits, 0);
    assert_int_equal(facts.entries, 0);
}

static struct promql_options
of_minutes(const struct world *w, int64_t minutes)
{
    int64_t last_ms = w->now_ms / STEP_MS * STEP_MS;
    return (struct promql_options){
        .tenant = text("a"),
        .first_ms = last_ms - minutes * MINUTE_MS,
        .last_ms = last_ms,
        .step_ms = STEP_MS,
        .lookback_ms = 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
    };
}

/* Two panels of a dashboard have the same expression. */
UNIT_TEST(test_a_short_range_leaves_a_long_one_what_it_has)
{
    enum { LONG_MINUTES = 60, SHORT_MINUTES = 5, REFRESHES = 4 };
    struct world w;
    world_init(&w, 7, 16 << 20);
    for (unsigned i = 0; i < LONG_MINUTES * MINUTE_MS / SCRAPE_MS; i++) {
        w.now_ms += SCRAPE_MS;
        sim_env_advance_ns(w.m.sim, SCRAPE_MS * NS_PER_MS);
        put_scrape(&w, w.now_ms);
    }
    check_with(&w, "sum(m)", of_minutes(&w, LONG_MINUTES));
    for (unsigned i = 0; i < REFRESHES; i++) {
        w.now_ms += STEP_MS;
        sim_env_advance_ns(w.m.sim, STEP_MS * NS_PER_MS);
        put_scrape(&w, w.now_ms);
        check_with(&w, "sum(m)", of_minutes(&w, SHORT_MINUTES));
    }
    struct promql_cache_facts before = promql_cache_look(w.cache);
    check_with(&w, "sum(m)", of_minutes(&w, LONG_MINUTES));
    struct promql_cache_facts after = promql_cache_look(w.cache);
    uint64_t steps = after.steps - before.steps;
    assert_in_range(after.steps_kept - before.steps_kept, steps * 9 / 10, steps);
    world_free(&w);
}

/* Steps after the range would fail: from then on two series match. */
UNIT_TEST(test_only_the_steps_that_are_not_kept_are_evaluated)
{
    enum { MINUTES = 40, WRONG_FROM = 25, LONGER = 5 };
    struct world w;
    world_init(&w, 7, 16 << 20);
    int64_t begin_ms = w.now_ms;
    for (unsigned i = 0; i < MINUTES; i++) {
        struct rq rq;
        w.now_ms += MINUTE_MS;
        sim_env_advance_ns(w.m.sim, MINUTE_MS * NS_PER_MS);
        rq_init(&rq, RW_V1);
        for (unsigned series = 0; series < (i < WRONG_FROM ? 1 : 2); series++) {
            rq_series(&rq, series == 0 ? "__name__=m,i=0" : "__name__=m,i=1");
            rq_float(&rq, w.now_ms, double_bits(i), 0);
        }
        must(machine_send(&w.m, "a", &rq));
        rq_fini(&rq);
        machine_commit(&w.m);
    }
    struct promql_options options = of_minutes(&w, 0);
    options.first_ms = begin_ms / STEP_MS * STEP_MS;
    options.last_ms = options.first_ms + (WRONG_FROM - LONGER) * MINUTE_MS;
    check_with(&w, "m + on() m", options);
    options.last_ms += LONGER * MINUTE_MS;
    check_with(&w, "m + on() m", options);
    assert_in_range(promql_cache_look(w.cache).steps_kept, 1, (WRONG_FROM - LONGER) * 2 + 1);
    world_free(&w);
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
    struct world w;
    struct promql_tree *tree;
    struct buf error, right;
    uint32_t answered = 0;
    buf_init(&error, NULL, 1 << 20);
    buf_init(&right, NULL, 1 << 24);
    world_init(&w, 7, 0);
    for (int i = 0; i < 40; i++)
        put_scrape(&w, w.now_ms + i * SCRAPE_MS);
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
        promql_cache_free(w.cache);
        must(promql_cache_new(NULL, 16 << 20, &w.cache));
        options.cache = w.cache;
        /* with an empty cache, then with a full one */
        for (unsigned again = 0; again < 2; again++)
            answered += ask_with_a_refusal(&w, view, tree, &options, nth, buf_bytes(&right));
        promql_cache_resize(w.cache, 0);
        assert_int_equal(promql_cache_look(w.cache).bytes, 0);
    }
    assert_in_range(answered, 10, 2 * ALLOCATIONS - 10);
    view_free(view);
    promql_free(tree);
    buf_fini(&error);
    buf_fini(&right);
    world_free(&w);
}

/* --- parameters of answers -------------------------------------------------------------------- */

/* A query. Settings that are 0 are those of of_minutes(). */
struct variant {
    const char *expression, *tenant;
    const char *replica_labels;
    struct promql_features features;
    int64_t step_ms, shift_ms, lookback_ms, subquery_step_ms;
};

static const struct variant variants[] = {
    {"m", "a", ""},
    {"m", "b", ""},
    {"m", "a|b", ""},
    {"m", "a", "i"},
    {"m", "a", "job"},
    {"m", "a", "i,job"},
    {"m", "a|b", "i"},
    {"m", "a", "", .step_ms = 2 * STEP_MS},
    {"m", "a", "", .shift_ms = 10000},
    {"m", "a", "", .lookback_ms = MINUTE_MS},
    {"m @ 1767229200", "a", ""},
    {"m @ 1767229200", "b", ""},
    {"m @ 1767229320", "a", ""},
    {"m offset 2m", "a", ""},
    {"count_over_time(m[10m:])", "a", ""},
    {"count_over_time(m[10m:])", "a", "", .subquery_step_ms = STEP_MS},
    {"label_replace(abs(m), \"x\", \"$1\", \"__name__\", \"(.*)\")", "a", ""},
    {"label_replace(abs(m), \"x\", \"$1\", \"__name__\", \"(.*)\")", "a", "",
     .features.delayed_name_removal = true},
    {"increase(s_total[10m])", "a", ""},
    {"increase(s_total[10m])", "a", "", .features.start_timestamps = true},
    {"rate(u[10m])", "a", "", .features = {true, false, true}},
    /* its note keeps it out of the cache */
    {"rate(u[10m])", "a", "", .features = {true, false, false}},
};
enum { VARIANTS = sizeof variants / sizeof *variants, NOTED = 1 };

/* Stores samples every two minutes, which differ by tenant, series and time. */
static void
put_variants(struct world *w)
{
    for (int64_t t_ms = SIM_BEGIN + 30 * MINUTE_MS; t_ms <= w->now_ms; t_ms += 2 * MINUTE_MS) {
        for (unsigned tenant = 0; tenant < 2; tenant++) {
            struct rq rq;
            rq_init(&rq, RW_V2);
            for (unsigned i = 0; i < 4; i++) {
                char labels[64];
                double minute = (double)((t_ms - SIM_BEGIN) / MINUTE_MS);
                snprintf(labels, sizeof labels, "__name__=m,i=%u,job=%c", i, "ab"[i / 2]);
                rq_series(&rq, labels);
                rq_float(&rq, t_ms, double_bits(minute + 1000 * tenant + 10000 * i), 0);
            }
            int64_t life_ms = (t_ms - SIM_BEGIN) % (6 * MINUTE_MS); /* of three samples */
            rq_series(&rq, "__name__=s_total");
            rq_float(&rq, t_ms, double_bits(7), t_ms - life_ms - MINUTE_MS);
            rq_series(&rq, "__name__=u,__type__=counter");
            rq_float(&rq, t_ms, double_bits(1), 0);
            must(machine_send(&w->m, tenants[tenant], &rq));
            rq_fini(&rq);
            machine_commit(&w->m);
        }
    }
}

static void
answer_variant(struct world *w, const struct variant *v, struct promql_cache *cache, struct buf *to)
{
    struct promql_options options = of_minutes(w, 10);
    struct bytes names[REPLICA_LABELS_MAX];
    struct promql_tree *tree;
    struct buf error;
    struct view *view = world_view(w);
    options.tenant = text(v->tenant);
    options.first_ms += v->shift_ms;
    options.features = v->features;
    options.view_words = names;
    options.view_word_count = replica_labels_of(v->replica_labels, names);
    options.cache = cache;
    if (v->step_ms > 0) options.step_ms = v->step_ms;
    if (v->lookback_ms > 0) options.lookback_ms = v->lookback_ms;
    if (v->subquery_step_ms > 0) options.subquery_step_ms = v->subquery_step_ms;
    if (options.view_word_count > 0)
        must(replicas_view_new(view, names, options.view_word_count, NULL, &view, &w->m.why));
    buf_init(&error, NULL, 1 << 20);
    buf_init(to, NULL, 1 << 24);
    must(promql_parse(text(v->expression), NULL, NULL, &tree, &error));
    put_answer(w, view, tree, &options, to);
    promql_free(tree);
    buf_fini(&error);
    view_free(view);
}

/* The same expression has another answer in each query, so a result of another one would
 * be noticed. */
UNIT_TEST(test_a_kept_result_is_for_the_same_question_only)
{
    struct world w;
    world_init(&w, 7, 16 << 20);
    struct buf right[VARIANTS];
    put_variants(&w);
    for (unsigned i = 0; i < VARIANTS; i++) {
        answer_variant(&w, &variants[i], NULL, &right[i]);
        for (unsigned k = 0; k < i; k++) {
            if (strcmp(variants[i].expression, variants[k].expression) != 0) continue;
            if (!bytes_equal(buf_bytes(&right[i]), buf_bytes(&right[k]))) continue;
            fail_msg("questions %u and %u have the same answer: %.*s", k, i, (int)right[i].size,
                     (char *)right[i].at);
        }
    }
    for (unsigned i = 0; i < 2 * VARIANTS; i++) {
        struct buf got;
        answer_variant(&w, &variants[i % VARIANTS], w.cache, &got);
        if (!bytes_equal(buf_bytes(&got), buf_bytes(&right[i % VARIANTS]))) {
            fail_msg("question %u:\nread:   %.*s\ncached: %.*s", i % VARIANTS,
                     (int)right[i % VARIANTS].size, (char *)right[i % VARIANTS].at, (int)got.size,
                     (char *)got.at);
        }
        buf_fini(&got);
    }
    struct promql_cache_facts facts = promql_cache_look(w.cache);
    assert_int_equal(facts.entries, VARIANTS - NOTED);
    assert_int_equal(facts.queries, 2 * VARIANTS);
    assert_int_equal(facts.hits, VARIANTS - NOTED);
    for (unsigned i = 0; i < VARIANTS; i++)
        buf_fini(&right[i]);
    world_free(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_answers_are_those_without_the_cache, tell_seed),
        cmocka_unit_test_teardown(test_a_short_range_leaves_a_long_one_what_it_has, tell_seed),
        cmocka_unit_test(test_only_the_steps_that_are_not_kept_are_evaluated),
        cmocka_unit_test_teardown(test_refused_memory_costs_the_query_or_what_is_kept, tell_seed),
        cmocka_unit_test(test_a_kept_result_is_for_the_same_question_only),
        cmocka_unit_test_teardown(test_a_full_cache_forgets_what_was_used_least_recently,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
