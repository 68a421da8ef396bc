/* size_model_test.c - the prediction beside what was measured (docs/BENCHMARKS.md). */
#include "cli/size/size_model.h"

#include "lib/test.h"

#define MIB 1048576.0

/* A load of bench/, and the medians of its results; several if several machines measured it. 0: not
 * measured. */
struct measured {
    const char *scenario;
    struct size_load load;
    double bytes_per_sample, rss_mib, cpu_s_per_million[2];
};

static const struct measured results[] = {
    {"a day, 17,400 series", {17400, 15, 86400, 0.05, 0.02}, 0.465, 92, {0.628}},
    {"100,000 known series", {100000, 15, 15000, 0, 0}, 0.471, 112, {0.427, 0.411}},
    {"1,000,000 known series", {1e6, 15, 101 * 15, 0, 0}, 0.532, 300, {0.528}},
    {"1,000,000 active series, 12 scrapes", {1e6, 15, 12 * 15, 0, 0}, 0, 238, {0}},
};
enum { RESULTS = sizeof results / sizeof *results };

static void
expect_near(const char *scenario, const char *what, double predicted, double measured)
{
    if (measured == 0) return;
    if (predicted < 0.75 * measured || predicted > 1.25 * measured) {
        fail_msg("%s: %s: predicted %.3f, measured %.3f", scenario, what, predicted, measured);
    }
}

UNIT_TEST(test_measured_loads_are_predicted_within_a_quarter)
{
    for (unsigned i = 0; i < RESULTS; i++) {
        const struct measured *m = &results[i];
        struct size_prediction p;
        size_predict(&m->load, &p);
        expect_near(m->scenario, "bytes per sample", p.parts_bytes / p.samples_kept,
                    m->bytes_per_sample);
        expect_near(m->scenario, "peak RSS, MiB", p.rss_bytes / MIB, m->rss_mib);
        for (unsigned k = 0; k < 2; k++) {
            expect_near(m->scenario, "CPU s per million samples", p.cpu_s_per_million_samples,
                        m->cpu_s_per_million[k]);
        }
    }
}

UNIT_TEST(test_a_year_has_rows_for_each_month_and_a_merge_of_one)
{
    struct size_load load = {100000, 15, 365 * 86400.0, 0, 0};
    struct size_prediction year, churned;
    size_predict(&load, &year);
    load.churn = 0.05;
    size_predict(&load, &churned);
    assert_true(year.samples_kept == 100000 / 15.0 * 365 * 86400);
    assert_true(year.series_kept == 100000);
    /* 45 days and 10.5 months of 8 bytes per row, beside 97 GB of data */
    assert_int_equal((int64_t)(year.parts_bytes - 0.462 * year.samples_kept) / 1000000, 44);
    assert_int_equal((int64_t)(year.parts_bytes / year.merge_bytes + 0.5), 12);
    assert_true(churned.series_kept == 100000 + 100000 * 0.05 * 24 * 365);
    assert_true(churned.parts_bytes > year.parts_bytes && churned.rss_bytes > year.rss_bytes &&
                churned.cores > year.cores);
}

UNIT_TEST(test_a_slow_load_is_flushed_by_age)
{
    struct size_load load = {1000, 60, 30 * 86400.0, 0, 0};
    struct size_prediction p;
    size_predict(&load, &p);
    assert_int_equal((int64_t)p.head_samples, 1000 * 120);
    load.series = 1e6;
    size_predict(&load, &p);
    assert_int_equal((int64_t)p.head_samples, 20000000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured_loads_are_predicted_within_a_quarter),
        cmocka_unit_test(test_a_year_has_rows_for_each_month_and_a_merge_of_one),
        cmocka_unit_test(test_a_slow_load_is_flushed_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
