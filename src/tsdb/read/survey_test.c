/* survey_test.c - surveys predict what a query reads. */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/selector.h"

enum { FEW = 40, MANY = 5000, MANY_AT_ONCE = 500 };

#define T0 (SIM_BEGIN - 600 * MINUTE_MS)

static struct machine m;

static int
setup(void **state)
{
    (void)state;
    machine_init(&m, 1);
    machine_must_open(&m);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    machine_fini(&m);
    return 0;
}

/* Sends `count` samples of each of some series, 15 s apart. */
static void
send(unsigned first_series, unsigned series, int64_t t_ms, unsigned count)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (unsigned s = first_series; s < first_series + series; s++) {
        char labels[64];
        snprintf(labels, sizeof labels, "__name__=m,s=%05u", s);
        rq_series(&rq, labels);
        for (unsigned i = 0; i < count; i++)
            rq_float(&rq, t_ms + i * 15000, double_bits(s * 0.25 + i), 0);
    }
    must(machine_send(&m, "a", &rq));
    rq_fini(&rq);
    machine_commit(&m);
}

/* A query, its survey, and the cost of reading all of it. */
struct asked {
    struct question q;
    struct series_survey survey;
    struct series_cost spent;
};

static void
ask(struct asked *x, int64_t min_ms, int64_t max_ms)
{
    const struct matcher_text all[] = {{MATCH_EQUAL, "__name__", "m"}};
    struct bytes labels = bytes_of("", 0);
    struct series_set *set;
    bool known;
    question_init(&x->q, "a", all, 1, min_ms, max_ms);
    struct view *view = machine_view(&m);
    must(view_survey(view, &x->q.request, &x->survey, &known, &m.why));
    assert_true(known);
    must(view_select(view, &x->q.request, &set, &m.why));
    while (labels.at != NULL) {
        must(series_set_next(set, &labels, &m.why));
        struct sample_batch b = {.count = labels.at != NULL};
        while (b.count > 0)
            must(series_set_batch(set, &b, &m.why));
    }
    assert_true(series_set_spent(set, &x->spent));
    series_set_free(set);
    view_free(view);
    question_fini(&x->q);
}

static void
send_few(void)
{
    send(0, FEW, T0, 400);
    machine_flush(&m);
    send(FEW / 2, FEW, T0 + 110 * MINUTE_MS, 300); /* half of the series are new */
}

UNIT_TEST(test_a_survey_of_few_series_counts_what_is_read)
{
    struct asked x;
    send_few();
    ask(&x, T0, T0 + 600 * MINUTE_MS);
    assert_true(x.survey.exact);
    assert_int_equal(x.survey.cost.series, FEW + FEW / 2);
    assert_int_equal(x.survey.cost.samples, FEW * 700);
    assert_memory_equal(&x.survey.cost, &x.spent, sizeof x.spent);
    assert_true(x.spent.bytes > 0);
    assert_true(x.spent.blocks >= 2 * FEW);
}

UNIT_TEST(test_samples_of_blocks_that_reach_out_of_the_time_are_shared_out)
{
    struct asked x;
    send_few();
    ask(&x, T0 + 25 * MINUTE_MS, T0 + 75 * MINUTE_MS); /* half of a hundred minutes */
    assert_true(x.survey.exact);
    assert_int_equal(x.survey.cost.series, x.spent.series);
    assert_int_equal(x.survey.cost.blocks, x.spent.blocks);
    assert_int_equal(x.survey.cost.bytes, x.spent.bytes);
    assert_in_range(x.survey.cost.samples, x.spent.samples * 98 / 100, x.spent.samples * 102 / 100);
}

UNIT_TEST(test_a_survey_reads_nothing)
{
    struct query_control control = {.env = m.env, .series_max = 1, .bytes_max = 1};
    struct query_request request = {.tenant = bytes_of_text("a"),
                                    .min_ms = INT64_MIN,
                                    .max_ms = INT64_MAX,
                                    .control = &control};
    struct series_survey survey;
    bool known;
    send_few();
    struct view *view = machine_view(&m);
    must(view_survey(view, &request, &survey, &known, &m.why));
    view_free(view);
    assert_int_equal(survey.cost.series, FEW + FEW / 2);
    assert_int_equal(control.series_seen, 0);
    assert_int_equal(control.samples_seen, 0);
    assert_int_equal(control.bytes_seen, 0);
}

/* Half of the series are only in a part, and half in the head as well. */
UNIT_TEST(test_a_sample_of_many_series_estimates_all)
{
    struct asked x;
    for (unsigned s = 0; s < MANY; s += MANY_AT_ONCE)
        send(s, MANY_AT_ONCE, T0, 10);
    machine_flush(&m);
    for (unsigned s = 0; s < MANY / 2; s += MANY_AT_ONCE)
        send(s, MANY_AT_ONCE, T0 + 10 * MINUTE_MS, 6);
    ask(&x, T0, T0 + 600 * MINUTE_MS);
    assert_false(x.survey.exact);
    assert_int_equal(x.survey.cost.series, MANY);
    assert_int_equal(x.survey.cost.blocks, x.spent.blocks);
    assert_int_equal(x.survey.cost.samples, x.spent.samples);
    assert_in_range(x.survey.cost.bytes, x.spent.bytes * 8 / 10, x.spent.bytes * 12 / 10);
    ask(&x, T0 + 9 * MINUTE_MS, T0 + 600 * MINUTE_MS); /* the part ends before */
    assert_int_equal(x.survey.cost.series, MANY / 2);
    assert_int_equal(x.survey.cost.samples, x.spent.samples);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_survey_of_few_series_counts_what_is_read, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_samples_of_blocks_that_reach_out_of_the_time_are_shared_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_survey_reads_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sample_of_many_series_estimates_all, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("tsdb/survey", tests, NULL, NULL);
}
