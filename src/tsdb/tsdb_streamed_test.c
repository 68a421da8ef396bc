/*
 * tsdb_streamed_test.c - histograms read as chunks equal those read as samples: from the head,
 * parts, both, overlapping, partly deleted; and chunks are cached.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_streamed.h"
#include "model/selector.h"

static struct machine m;

static int
teardown(void **state)
{
    if (machine_seed >= 0) machine_fini(&m);
    return tell_seed(state);
}

#define T0 (SIM_BEGIN - 2 * DAY_MS)

enum { SERIES = 4, STEP_MS = 15000 };

/* A series under construction. */
struct source {
    struct arena arena;
    struct histogram last;
    int64_t t_ms;
    bool has_last;
};

static void
check_range(int64_t min_ms, int64_t max_ms)
{
    struct question q;
    question_init(&q, "a", every_series, 1, min_ms, max_ms);
    check_streamed(&m, &q);
    question_fini(&q);
}

static void
check_ranges(struct rng *r, int64_t end_ms)
{
    check_range(INT64_MIN / 2, INT64_MAX / 2);
    for (unsigned i = 0; i < 4; i++) {
        int64_t from_ms = T0 + (int64_t)rng_below(r, (uint64_t)(end_ms - T0));
        check_range(from_ms, from_ms + (int64_t)rng_below(r, (uint64_t)(end_ms - T0)));
    }
}

static struct histogram
next_histogram(struct rng *r, struct source *s, enum sample_kind kind)
{
    for (;;) {
        bool goes_on = s->has_last && s->last.kind == kind;
        struct histogram h = goes_on ? random_next_histogram(r, &s->arena, &s->last)
                                     : random_histogram(r, &s->arena, kind);
        if (goes_on && h.reset_hint != RESET_YES) h.reset_hint = s->last.reset_hint;
        if (histogram_check(&h, NULL)) continue;
        s->last = h;
        s->has_last = true;
        return h;
    }
}

/* Sends this many samples of each series: histograms, sometimes floats; some are
 * repeated, some late. */
static void
send_some(struct rng *r, struct source *sources, uint32_t count)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    for (uint32_t x = 0; x < SERIES; x++) {
        struct source *s = &sources[x];
        char labels[60];
        snprintf(labels, sizeof labels, "__name__=latency,x=%u", x);
        rq_series(&rq, labels);
        if (rng_below(r, 8) == 0) {
            rq_float(&rq, s->t_ms, rng_next(r), 0);
            s->t_ms += STEP_MS;
        }
        enum sample_kind kind =
            x % 2 == 0 || rng_below(r, 6) == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
        for (uint32_t i = 0; i < count; i++, s->t_ms += STEP_MS) {
            struct histogram h = next_histogram(r, s, kind);
            bool skip = rng_below(r, 50) == 0;
            if (!skip) rq_histogram(&rq, s->t_ms, &h, rng_below(r, 30) == 0 ? T0 : 0);
            if (rng_below(r, 40) == 0 && s->t_ms > T0 + 90 * STEP_MS)
                rq_histogram(&rq, s->t_ms - 7 * (int64_t)rng_below(r, 1000) * 1000, &h, 0);
        }
    }
    must(machine_send(&m, "a", &rq));
    rq_fini(&rq);
    machine_commit(&m);
}

static void
delete_some(struct rng *r, int64_t end_ms)
{
    struct selector selector;
    struct tsdb_deletion d;
    int64_t from_ms = T0 + (int64_t)rng_below(r, (uint64_t)(end_ms - T0));
    must(selector_parse(text("latency{x=~'1|2'}"), &selector, &m.why));
    must(tsdb_delete(m.db, text("a"), &selector, 1, from_ms, from_ms + 20 * STEP_MS, &d, &m.why));
}

static void
merge_all(void)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    do {
        must(tsdb_merge(m.db, &options, &r, &m.why));
    } while (r.input_count > 0);
}

static void
live(uint64_t seed)
{
    struct rng r = {seed};
    struct source sources[SERIES];
    machine_init(&m, seed);
    if (seed % 3 == 0) m.options.cache_bytes = 16 << 10; /* hardly anything stays cached */
    machine_must_open(&m);
    for (uint32_t x = 0; x < SERIES; x++) {
        sources[x] = (struct source){.t_ms = T0};
        arena_init(&sources[x].arena, NULL, 0, 0);
    }
    for (unsigned step = 0; step < 8; step++) {
        send_some(&r, sources, 1 + (uint32_t)rng_below(&r, 150));
        int64_t end_ms = sources[0].t_ms;
        unsigned dice = (unsigned)rng_below(&r, 6);
        if (dice < 3) machine_flush(&m);
        if (dice == 3) delete_some(&r, end_ms);
        if (dice == 4) merge_all();
        if (dice == 5) machine_restart(&m);
        check_ranges(&r, end_ms);
    }
    machine_flush(&m);
    merge_all();
    check_ranges(&r, sources[0].t_ms);
    for (uint32_t x = 0; x < SERIES; x++)
        arena_fini(&sources[x].arena);
    machine_fini(&m);
}

UNIT_TEST(test_histograms_are_streamed_as_they_are_read)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        live(seed);
}

/* --- cached chunks ---------------------------------------------------------------------------- */

static void
send_steady(uint32_t count)
{
    static const struct hist_span span = {-3, 8};
    struct rng r = {4};
    struct rq rq;
    int64_t deltas[8] = {5, 0, 0, 0, 0, 0, 0, 0};
    rq_init(&rq, RW_V2);
    rq_series(&rq, "__name__=latency");
    for (uint32_t i = 0; i < count; i++) {
        deltas[0] += (int64_t)rng_below(&r, 4); /* the sum of all buckets */
        struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                              .schema = 2,
                              .count = 8 * (uint64_t)deltas[0],
                              .sum_bits = double_bits((double)deltas[0] / 8),
                              .positive = {&span, 1, 8, deltas, NULL}};
        rq_histogram(&rq, T0 + STEP_MS * (int64_t)i, &h, 0);
    }
    must(machine_send(&m, "a", &rq));
    rq_fini(&rq);
    machine_commit(&m);
    machine_flush(&m);
}

static uint64_t
cached_bytes(void)
{
    struct tsdb_stats stats;
    tsdb_stats(m.db, &stats);
    return stats.cache_bytes;
}

UNIT_TEST(test_chunks_made_once_are_kept_in_the_cache)
{
    machine_init(&m, 1);
    machine_must_open(&m);
    send_steady(3000);
    struct question q;
    struct streamed x = {0};
    buf_init(&x.samples, NULL, 1 << 30);
    question_init(&q, "a", every_series, 1, T0, T0 + DAY_MS);
    must(machine_select(&m, &q, streamed_saw, &x));
    uint64_t pages_bytes = cached_bytes();
    must(read_streamed(tsdb_answerer(m.db), &q.request, &x));
    uint64_t with_chunks = cached_bytes();
    assert_true(with_chunks > pages_bytes + 3000);
    must(read_streamed(tsdb_answerer(m.db), &q.request, &x));
    assert_int_equal(cached_bytes(), with_chunks);
    q.request.min_ms++; /* a part of the bundle: it cannot be used, and nothing else is cached */
    must(read_streamed(tsdb_answerer(m.db), &q.request, &x));
    assert_int_equal(cached_bytes(), with_chunks);
    question_fini(&q);
    buf_fini(&x.samples);
    machine_fini(&m);
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_any_failed_allocation_is_an_error_and_leaks_nothing)
{
    machine_init(&m, 1);
    machine_must_open(&m);
    send_steady(500);
    struct question q;
    struct budget budget;
    struct query_control control = {.env = m.env, .budget = &budget};
    budget_init(&budget, "query", 0, NULL);
    question_init(&q, "a", every_series, 1, T0, T0 + DAY_MS);
    q.request.control = &control;
    q.request.kind = SELECT_CHUNKS;
    struct answerer *a = tsdb_answerer(m.db);
    bool fired = true;
    unsigned refused = 0;
    for (unsigned nth = 1; fired; nth++) {
        struct series_set *set = NULL;
        struct bytes labels;
        struct sample_batch b = {.count = 1};
        uint64_t seen = 0;
        mem_fail_nth(nth, nth % 2 == 0);
        enum err e = answerer_select(a, &q.request, &set, &m.why);
        if (e == OK) e = series_set_next(set, &labels, &m.why);
        while (e == OK && b.count > 0) {
            e = series_set_batch(set, &b, &m.why);
            if (e == OK) seen += b.count;
        }
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        series_set_free(set);
        assert_int_equal(budget_used(&budget), 0);
        /* The answer has samples where chunks cannot be made. */
        assert_true(e == ERR_NOMEM || (e == OK && seen == 500));
        refused += e != OK;
    }
    assert_true(refused > 5);
    question_fini(&q);
    machine_fini(&m);
}

int
main(void)
{
#define claim(name) cmocka_unit_test_setup_teardown(name, NULL, teardown)
    const struct CMUnitTest tests[] = {
        claim(test_histograms_are_streamed_as_they_are_read),
        claim(test_chunks_made_once_are_kept_in_the_cache),
        claim(test_any_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
