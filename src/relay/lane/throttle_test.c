/* throttle_test.c - the number of allowed calls follows the share of calls that are throttled. */
#include "lib/test.h"

#include "relay/lane/pace.h"
#include "sys/sim.h"

static int64_t now_ns;

static void
begin(struct throttle *t, uint32_t most)
{
    throttle_init(t, most, now_ns);
    throttle_works(t);
}

/* Makes this many calls each second, evenly, of which each `nth` is throttled (0: none). */
static void
answer(struct throttle *t, unsigned seconds, unsigned calls, unsigned nth)
{
    static unsigned count;
    for (unsigned i = 0; i < seconds * calls; i++) {
        now_ns += NS_PER_S / calls;
        throttle_answered(t, now_ns, nth > 0 && ++count % nth == 0);
    }
}

UNIT_TEST(test_everything_is_allowed_as_long_as_nothing_is_throttled)
{
    struct throttle t;
    begin(&t, 16);
    assert_int_equal(throttle_allows(&t), 16);
    answer(&t, 60, 300, 0);
    assert_int_equal(throttle_allows(&t), 16);
}

UNIT_TEST(test_some_throttled_calls_now_and_then_cost_nothing)
{
    static const unsigned nths[] = {200, 50, 20}; /* 0.5, 2, 5 percent */
    for (unsigned i = 0; i < 3; i++) {
        struct throttle t;
        begin(&t, 16);
        for (unsigned second = 0; second < 60; second++) {
            answer(&t, 1, 300, nths[i]);
            assert_in_range(throttle_allows(&t), 15, 16);
        }
    }
}

UNIT_TEST(test_fewer_are_allowed_as_more_are_throttled)
{
    static const struct {
        unsigned nth, least, most;
    } cases[] = {{10, 9, 11}, {5, 4, 6}, {2, 1, 3}, {1, 1, 1}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct throttle t;
        begin(&t, 64);
        answer(&t, 120, 100, cases[i].nth);
        assert_in_range(throttle_allows(&t), cases[i].least, cases[i].most);
    }
}

UNIT_TEST(test_one_more_is_allowed_each_second_once_it_is_over)
{
    struct throttle t;
    begin(&t, 16);
    answer(&t, 10, 100, 1);
    assert_int_equal(throttle_allows(&t), 1);
    answer(&t, 5, 100, 0);
    assert_in_range(throttle_allows(&t), 5, 6);
    answer(&t, 12, 100, 0);
    assert_int_equal(throttle_allows(&t), 16);
}

UNIT_TEST(test_one_throttled_call_hardly_lowers_the_concurrency)
{
    struct throttle t;
    begin(&t, 16);
    throttle_answered(&t, now_ns += NS_PER_S, 1);
    for (unsigned i = 0; i < 30; i++) {
        throttle_answered(&t, now_ns += 5 * NS_PER_S, 0);
        assert_in_range(throttle_allows(&t), 15, 16);
    }
}

UNIT_TEST(test_parts_of_calls_count_as_parts)
{
    struct throttle t;
    begin(&t, 16);
    for (unsigned i = 0; i < 6000; i++)
        throttle_answered(&t, now_ns += NS_PER_S / 100, 0.2);
    assert_in_range(throttle_allows(&t), 4, 6);
}

UNIT_TEST(test_nothing_is_learnt_without_answers)
{
    struct throttle t;
    begin(&t, 16);
    answer(&t, 10, 100, 1);
    now_ns += 3600 * NS_PER_S;
    assert_int_equal(throttle_allows(&t), 1);
    throttle_answered(&t, now_ns, 0);
    assert_int_equal(throttle_allows(&t), 1);
}

UNIT_TEST(test_a_destination_that_may_not_work_is_sent_one_call_at_a_time)
{
    static const struct retry_settings retry = {.min_backoff_ms = 100, .max_backoff_ms = 10000};
    struct sim_env *sim;
    assert_int_equal(sim_env_new(1, &sim), OK);
    struct env *env = sim_env_env(sim);
    struct throttle t;
    throttle_init(&t, 4, env_monotonic_ns(env));
    assert_true(throttle_admits(&t, 0, env_monotonic_ns(env)));
    assert_false(throttle_admits(&t, 1, env_monotonic_ns(env))); /* it probes */
    throttle_works(&t);
    assert_true(throttle_admits(&t, 3, env_monotonic_ns(env)));
    assert_false(throttle_admits(&t, 4, env_monotonic_ns(env)));
    throttle_failed(&t, env, &retry, 0);
    assert_false(throttle_admits(&t, 0, env_monotonic_ns(env)));
    sim_env_advance_ns(sim, 100 * NS_PER_MS);
    assert_true(throttle_admits(&t, 0, env_monotonic_ns(env)));
    assert_false(throttle_admits(&t, 1, env_monotonic_ns(env)));
    throttle_works(&t);
    throttle_doubt(&t);
    assert_true(throttle_admits(&t, 0, env_monotonic_ns(env)));
    assert_false(throttle_admits(&t, 1, env_monotonic_ns(env)));
    sim_env_free(sim);
}

UNIT_TEST(test_a_pause_that_was_asked_for_lasts_though_another_call_succeeds)
{
    static const struct retry_settings retry = {.min_backoff_ms = 100, .max_backoff_ms = 10000};
    struct sim_env *sim;
    assert_int_equal(sim_env_new(1, &sim), OK);
    struct env *env = sim_env_env(sim);
    struct throttle t;
    throttle_init(&t, 4, env_monotonic_ns(env));
    throttle_failed(&t, env, &retry, 7000);
    throttle_works(&t); /* the call was pending */
    sim_env_advance_ns(sim, 6999 * NS_PER_MS);
    assert_false(throttle_admits(&t, 0, env_monotonic_ns(env)));
    sim_env_advance_ns(sim, NS_PER_MS);
    assert_true(throttle_admits(&t, 3, env_monotonic_ns(env)));
    sim_env_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_allowed_as_long_as_nothing_is_throttled),
        cmocka_unit_test(test_some_throttled_calls_now_and_then_cost_nothing),
        cmocka_unit_test(test_fewer_are_allowed_as_more_are_throttled),
        cmocka_unit_test(test_one_more_is_allowed_each_second_once_it_is_over),
        cmocka_unit_test(test_one_throttled_call_hardly_lowers_the_concurrency),
        cmocka_unit_test(test_parts_of_calls_count_as_parts),
        cmocka_unit_test(test_nothing_is_learnt_without_answers),
        cmocka_unit_test(test_a_destination_that_may_not_work_is_sent_one_call_at_a_time),
        cmocka_unit_test(test_a_pause_that_was_asked_for_lasts_though_another_call_succeeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
