/* survey_levels_test.c - a survey of levels predicts what a merge makes of the samples. */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/series_rules.h"

enum { SERIES = 20, DAYS = 3 };

#define HOUR_MS (60 * MINUTE_MS)

/* Merges partition by partition. */
static void
merge_all(struct machine *m)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result result;
    do {
        must(tsdb_merge(m->db, &options, &result, &m->why));
    } while (result.input_count > 0);
}

/* Adds a histogram whose buckets have grown. */
static void
add_histogram(struct rq *rq, struct rng *r, int64_t t_ms, int64_t counts[4])
{
    static const struct hist_span spans[] = {{0, 4}};
    int64_t deltas[4];
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .positive = {.spans = spans, .span_count = 1, .deltas = deltas, .bucket_count = 4}};
    for (unsigned i = 0; i < 4; i++) {
        counts[i] += (int64_t)rng_below(r, 100);
        deltas[i] = counts[i] - (i == 0 ? 0 : counts[i - 1]);
        h.count += (uint64_t)counts[i];
    }
    h.sum_bits = double_bits((double)h.count / 8);
    rq_histogram(rq, t_ms, &h, 0);
}

/* Sends samples of some days, with a step, of counters; then a merge. */
static void
begin(struct machine *m, int64_t step_ms, bool histograms)
{
    struct rng r = {5};
    machine_init(m, 1);
    machine_must_open(m);
    for (unsigned s = 0; s < SERIES; s++) {
        char labels[64];
        struct rq rq;
        double value = 0;
        int64_t counts[4] = {0};
        rq_init(&rq, RW_V1);
        snprintf(labels, sizeof labels, "__name__=m,s=%05u", s);
        rq_series(&rq, labels);
        for (int64_t t = SIM_BEGIN - DAYS * DAY_MS; t < SIM_BEGIN; t += step_ms) {
            value += (double)rng_below(&r, 100);
            if (histograms)
                add_histogram(&rq, &r, t, counts);
            else
                rq_float(&rq, t, double_bits(value), 0);
        }
        must(machine_send(m, "a", &rq));
        rq_fini(&rq);
    }
    machine_commit(m);
    machine_flush(m);
    merge_all(m);
}

static void
level(struct machine *m, struct tsdb_level *to, int64_t resolution_ms, int64_t age_ms)
{
    const struct series_rule rule = {"{s!=\"00000\"}", NULL, 0, age_ms};
    to->resolution_ms = resolution_ms;
    must(series_rules_new(&rule, 1, NULL, &to->rules, &m->why));
}

static void
assert_near(uint64_t a, uint64_t b, double share)
{
    double difference = (double)a - (double)b;
    if (difference < 0) difference = -difference;
    if (difference > share * (double)b) {
        fail_msg("%llu is not near %llu", (unsigned long long)a, (unsigned long long)b);
    }
}

static void
predict(bool histograms)
{
    static struct machine m;
    enum ledger_kind kind = histograms ? LEDGER_HISTOGRAM : LEDGER_FLOAT;
    /* Blocks of histograms have fewer samples, so more places are at the end of a day. */
    double share = histograms ? 0.1 : 0.05;
    uint64_t few = (SERIES - 1) * HOUR_MS / 15000 * (histograms ? 2 : 1);
    struct tsdb_level levels[2];
    struct tsdb_level_survey s[2];
    begin(&m, 15000, histograms);
    /* The last windows of a day are old enough, too. */
    level(&m, &levels[0], 5 * MINUTE_MS, 24 * HOUR_MS - 20 * MINUTE_MS);
    level(&m, &levels[1], HOUR_MS, 48 * HOUR_MS - 20 * MINUTE_MS);
    must(tsdb_downsampling_survey(m.db, levels, 2, NULL, s, &m.why));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(s[i].series, SERIES - 1);
        /* Those that begin the next day are too few to be worth it. */
        assert_true(s[i].kept_samples < few);
        assert_near(s[i].samples, (SERIES - 1) * DAY_MS / 15000, share);
        assert_near(s[i].windows, (SERIES - 1) * (uint64_t)(DAY_MS / levels[i].resolution_ms), 0.2);
    }
    assert_true(s[0].bytes_after > s[1].bytes_after && s[0].bytes_after < s[0].bytes / 2);
    memcpy(m.limits.levels, levels, sizeof levels);
    m.limits.level_count = 2;
    tsdb_set_limits(m.db, &m.limits);
    merge_all(&m);
    struct ledger l = machine_ledger(&m, "a");
    assert_near(s[0].samples + s[1].samples, l.count[kind][LEDGER_DOWNSAMPLED], share);

    /* Samples that levels have replaced are not replaced again. The window that ends with a day has
     * its last sample in the next part, and is left. */
    must(tsdb_downsampling_survey(m.db, levels, 2, NULL, s, &m.why));
    assert_true(s[0].samples + s[1].samples < (SERIES - 1) * HOUR_MS / 15000);
    assert_true(s[1].windows < 2 * SERIES);
    m.limits.level_count = 0;
    tsdb_set_limits(m.db, &m.limits);
    series_rules_unref(levels[0].rules);
    series_rules_unref(levels[1].rules);
    machine_fini(&m);
}

UNIT_TEST(test_a_survey_predicts_what_a_merge_replaces)
{
    predict(false);
}

UNIT_TEST(test_a_survey_predicts_what_a_merge_replaces_of_histograms)
{
    predict(true);
}

UNIT_TEST(test_samples_stay_where_windows_would_save_less_than_half)
{
    static struct machine m;
    struct tsdb_level fine, coarse;
    struct tsdb_level_survey s;
    begin(&m, 60000, false);
    level(&m, &fine, 2 * MINUTE_MS, 24 * HOUR_MS);
    level(&m, &coarse, HOUR_MS, 24 * HOUR_MS);
    must(tsdb_downsampling_survey(m.db, &fine, 1, NULL, &s, &m.why));
    assert_int_equal(s.samples + s.windows + s.bytes + s.bytes_after, 0);
    assert_near(s.kept_samples, (SERIES - 1) * 2 * DAY_MS / 60000, 0.05);
    must(tsdb_downsampling_survey(m.db, &coarse, 1, NULL, &s, &m.why));
    assert_int_equal(s.kept_samples, 0);
    assert_true(s.samples > 0 && s.bytes_after < s.bytes / 2);
    series_rules_unref(fine.rules);
    series_rules_unref(coarse.rules);
    machine_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_survey_predicts_what_a_merge_replaces),
        cmocka_unit_test(test_a_survey_predicts_what_a_merge_replaces_of_histograms),
        cmocka_unit_test(test_samples_stay_where_windows_would_save_less_than_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
