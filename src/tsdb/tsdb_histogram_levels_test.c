/*
 * tsdb_histogram_levels_test.c - levels of downsampling of native histograms: rollups and samples
 * that are read from a store, joined by hour, are the rollups of the samples that were sent, also
 * where floats and histograms alternate, whatever was flushed, merged and restarted in between.
 */
#include "lib/test.h"

#include <math.h>

#include "lib/tsdb/tsdb_claim.h"
#include "model/histogram.h"
#include "model/series_rules.h"

enum { SERIES = 3, HOURS = 24 * 8, STEP_MS = 15000, STEPS = 24 };
#define FINE_MS   (5 * MINUTE_MS)
#define COARSE_MS (60 * MINUTE_MS)

/* Joined samples of both kinds of an hour. */
struct hour {
    struct rollup floats;
    struct histogram_rollup histograms;
};

struct world {
    struct machine m;
    struct rng r;
    struct arena arena;
    struct histogram last[SERIES];
    bool is_float[SERIES];
    struct hour sent[SERIES][HOURS];
    struct hour read[SERIES][HOURS];
    uint64_t fine_count, coarse_count; /* windows of histograms that were read */
    struct series_rules *rules[2];
    int64_t begin_ms;
    int64_t now_ms;
};

static uint32_t
hour_of(const struct world *w, int64_t t_ms)
{
    int64_t hour = (rollup_window_end(t_ms, COARSE_MS) - w->begin_ms) / COARSE_MS;
    assert_true(hour >= 0 && hour < HOURS);
    return (uint32_t)hour;
}

static struct histogram
valid_histogram(struct world *w, enum sample_kind kind)
{
    struct histogram h;
    do {
        h = random_histogram(&w->r, &w->arena, kind);
    } while (histogram_check(&h, NULL));
    h.sum_bits = 0;
    return h;
}

/* Series 0 is a counter of one layout, series 1 has any successors, series 2 alternates. */
static struct histogram
next_histogram(struct world *w, uint32_t series)
{
    const struct histogram *before = &w->last[series];
    enum sample_kind kind = series == 1 ? SAMPLE_HISTOGRAM_FLOAT : SAMPLE_HISTOGRAM_INT;
    if (series == 1 && rng_below(&w->r, 300) == 0) kind = SAMPLE_HISTOGRAM_INT;
    if (before->kind != kind || rng_below(&w->r, 400) == 0) return valid_histogram(w, kind);
    bool any = series == 1 && rng_below(&w->r, 10) == 0;
    struct histogram h = any ? random_next_histogram(&w->r, &w->arena, before)
                             : random_grown(&w->r, &w->arena, before);
    if (h.sum_bits != STALE_NAN_BITS) h.sum_bits = double_bits((double)rng_below(&w->r, 100));
    return histogram_check(&h, NULL) ? valid_histogram(w, kind) : h;
}

static void
join_histogram(struct world *w, struct hour *to, struct histogram_rollup *one)
{
    assert_int_equal(histogram_rollup_join(&w->arena, &to->histograms, one), OK);
}

static void
send_sample(struct world *w, struct rq *rq, uint32_t series, int64_t t_ms)
{
    struct hour *hour = &w->sent[series][hour_of(w, t_ms)];
    if (series == 2 && rng_below(&w->r, 300) == 0) w->is_float[series] ^= true;
    if (w->is_float[series]) {
        uint64_t bits = double_bits((double)rng_below(&w->r, 1000));
        struct rollup one = rollup_of_sample(t_ms, bits);
        rollup_join(&hour->floats, &one);
        rq_float(rq, t_ms, bits, 0);
        return;
    }
    struct histogram_rollup one;
    struct histogram h = w->last[series].sum_bits == STALE_NAN_BITS
                             ? valid_histogram(w, w->last[series].kind)
                             : next_histogram(w, series);
    w->last[series] = h;
    assert_int_equal(histogram_rollup_of_sample(&w->arena, t_ms, &h, &one), OK);
    join_histogram(w, hour, &one);
    rq_histogram(rq, t_ms, &h, 0);
}

static void
send_until(struct world *w, int64_t until_ms)
{
    sim_env_advance_ns(w->m.sim, (until_ms - w->now_ms) * NS_PER_MS);
    for (uint32_t s = 0; s < SERIES; s++) {
        char labels[40];
        struct rq rq;
        if (rng_below(&w->r, 8) == 0) continue; /* a gap */
        snprintf(labels, sizeof labels, "__name__=m,n=%u", s);
        rq_init(&rq, RW_V1);
        rq_series(&rq, labels);
        for (int64_t t = w->now_ms + STEP_MS; t <= until_ms; t += STEP_MS)
            if (rng_below(&w->r, 40) > 0) send_sample(w, &rq, s, t);
        must(machine_send(&w->m, "a", &rq));
        rq_fini(&rq);
    }
    machine_commit(&w->m);
    w->now_ms = until_ms;
}

static void
merge(struct world *w, enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r;
    machine_flush(&w->m);
    do {
        must(tsdb_merge(w->m.db, &options, &r, &w->m.why));
    } while (r.input_count > 0);
}

static void
crash_in_merge(struct world *w)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    machine_flush(&w->m);
    fault_env_arm(w->m.fe, (struct fault){FAULT_EIO, 1 + rng_below(&w->r, 60), true});
    err_ignore(tsdb_merge(w->m.db, &options, &r, &w->m.why), "the power may fail in it");
    fault_env_disarm(w->m.fe);
    sim_env_power_loss(w->m.sim);
    machine_close(&w->m);
    machine_must_open(&w->m);
}

static void
read_sample(struct world *w, uint32_t series, const struct sample_batch *b, uint32_t i)
{
    struct histogram_rollup h;
    const struct rollup times = sample_batch_has_windows(b) ? sample_batch_window(b, i)
                                                            : rollup_of_sample(b->times_ms[i], 0);
    struct hour *hour = &w->read[series][hour_of(w, rollup_end_ms(&times))];
    if (b->rollups == NULL && b->kind == SAMPLE_FLOAT) {
        struct rollup one = rollup_of_sample(b->times_ms[i], b->value_bits[i]);
        rollup_join(&hour->floats, &one);
    } else if (b->rollups != NULL) {
        rollup_join(&hour->floats, &b->rollups[i]);
    } else if (b->histogram_rollups != NULL) {
        assert_int_equal(histogram_rollup_copy(&w->arena, &b->histogram_rollups[i], &h), OK);
        w->fine_count += b->resolution_ms == FINE_MS;
        w->coarse_count += b->resolution_ms == COARSE_MS;
        join_histogram(w, hour, &h);
    } else {
        assert_int_equal(
            histogram_rollup_of_sample(&w->arena, b->times_ms[i], &b->histograms[i], &h), OK);
        join_histogram(w, hour, &h);
    }
}

static void
read_hours(struct world *w)
{
    struct question q;
    struct series_set *set;
    struct bytes labels;
    struct sample_batch b;
    memset(w->read, 0, sizeof w->read);
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.hints.rollups = ROLLUP_WHOLE;
    must(answerer_select(tsdb_answerer(w->m.db), &q.request, &set, &w->m.why));
    while (series_set_next(set, &labels, &w->m.why) == OK && labels.at != NULL) {
        uint32_t series = (uint32_t)(labels_get(labels, text("n")).at[0] - '0');
        do {
            must(series_set_batch(set, &b, &w->m.why));
            for (uint32_t i = 0; i < b.count; i++)
                read_sample(w, series, &b, i);
        } while (b.count > 0);
    }
    series_set_free(set);
    question_fini(&q);
}

static void
expect_near(double got, double want)
{
    if (isnan(want) || isinf(want)) return;
    assert_true(fabs(got - want) <= 1e-9 * (1 + fabs(want)));
}

static void
expect_histograms(struct histogram_rollup *got, struct histogram_rollup *want)
{
    assert_int_equal(got->count, want->count);
    assert_int_equal(got->is_stale, want->is_stale);
    if (want->is_stale) assert_int_equal(got->stale_ms, want->stale_ms);
    if (want->count == 0) return;
    assert_int_equal(got->first_ms, want->first_ms);
    assert_int_equal(got->last_ms, want->last_ms);
    assert_true(histogram_equal(&got->first, &want->first));
    assert_true(histogram_equal(&got->last, &want->last));
    assert_int_equal(got->changes, want->changes);
    assert_int_equal(got->resets, want->resets);
    assert_int_equal(got->layout_changes, want->layout_changes);
    assert_int_equal(got->gauge_count, want->gauge_count);
    assert_int_equal(got->custom_count, want->custom_count);
    assert_int_equal(got->second_is_reset, want->second_is_reset);
    assert_int_equal(got->sum != NULL, want->sum != NULL);
    if (want->sum == NULL) return;
    fhist_settle(got->sum);
    fhist_settle(want->sum);
    expect_near(got->sum->count, want->sum->count);
    expect_near(got->sum->sum, want->sum->sum);
    if (got->correction == NULL || want->correction == NULL) return;
    fhist_settle(got->correction);
    fhist_settle(want->correction);
    expect_near(got->correction->count, want->correction->count);
}

static void
compare_hours(struct world *w)
{
    read_hours(w);
    for (uint32_t s = 0; s < SERIES; s++) {
        for (uint32_t hour = 0; hour < HOURS; hour++) {
            struct hour *got = &w->read[s][hour], *want = &w->sent[s][hour];
            assert_int_equal(got->floats.count, want->floats.count);
            assert_int_equal(got->floats.last_bits, want->floats.last_bits);
            expect_histograms(&got->histograms, &want->histograms);
        }
    }
}

static void
run_random(uint64_t seed)
{
    static struct world w;
    const struct series_rule fine = {"{}", NULL, 0, 3 * COARSE_MS};
    const struct series_rule coarse = {"{n!=\"0\"}", NULL, 0, 12 * COARSE_MS};
    uint64_t fine_count = 0, coarse_count = 0;
    memset(&w, 0, sizeof w);
    w.r.state = seed;
    arena_init(&w.arena, NULL, 0, 0);
    machine_init(&w.m, seed);
    must(series_rules_new(&fine, 1, NULL, &w.rules[0], &w.m.why));
    must(series_rules_new(&coarse, 1, NULL, &w.rules[1], &w.m.why));
    w.m.limits.levels[0] = (struct tsdb_level){FINE_MS, w.rules[0]};
    w.m.limits.levels[1] = (struct tsdb_level){COARSE_MS, w.rules[1]};
    w.m.limits.level_count = 2;
    machine_must_open(&w.m);
    w.begin_ms = w.now_ms = SIM_BEGIN;
    for (uint32_t s = 0; s < SERIES; s++)
        w.last[s] = valid_histogram(&w, SAMPLE_HISTOGRAM_INT);
    for (uint32_t i = 0; i < STEPS; i++) {
        send_until(&w, w.now_ms + STEP_MS * (int64_t)(1 + rng_below(&w.r, 1200)));
        uint64_t dice = rng_below(&w.r, 6);
        if (dice < 2) merge(&w, dice == 0 ? TSDB_MERGE_DUE : TSDB_MERGE_FULL);
        if (dice == 2) crash_in_merge(&w);
        if (dice == 3) machine_verified_restart(&w.m);
        if (dice == 4) machine_flush(&w.m);
        compare_hours(&w);
        machine_ledger(&w.m, "a");
        fine_count += w.fine_count;
        coarse_count += w.coarse_count;
    }
    merge(&w, TSDB_MERGE_FULL);
    compare_hours(&w);
    struct ledger l = machine_ledger(&w.m, "a");
    assert_true(fine_count > 0 && coarse_count > 0);
    assert_true(l.count[LEDGER_HISTOGRAM][LEDGER_DOWNSAMPLED] > 0);
    machine_verified_restart(&w.m);
    w.m.limits.level_count = 0;
    tsdb_set_limits(w.m.db, &w.m.limits);
    for (uint32_t k = 0; k < 2; k++)
        series_rules_unref(w.rules[k]);
    machine_fini(&w.m);
    arena_fini(&w.arena);
}

UNIT_TEST(test_rollups_of_histograms_are_those_of_what_was_sent)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_random(seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rollups_of_histograms_are_those_of_what_was_sent, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
