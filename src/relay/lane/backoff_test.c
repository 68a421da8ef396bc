/* backoff_test.c - pauses grow to their limit, and pauses that the destination
 * requests are kept. */
#include "lib/test.h"

#include "relay/lane/pace.h"
#include "sys/sim.h"

static const struct retry_settings RETRY = {.min_backoff_ms = 100, .max_backoff_ms = 10000};

static struct {
    struct sim_env *sim;
    struct env *env;
    struct backoff backoff;
} t;

static int
begin(void **state)
{
    (void)state;
    t.backoff = (struct backoff){0};
    if (sim_env_new(1, &t.sim) != OK) return 1;
    t.env = sim_env_env(t.sim);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    sim_env_free(t.sim);
    return 0;
}

/* Returns the pause after one more failure, and waits until it is over. */
static int64_t
fail_ms(int64_t retry_after_ms)
{
    int64_t now_ns = env_monotonic_ns(t.env);
    backoff_failed(&t.backoff, t.env, &RETRY, retry_after_ms);
    int64_t wait_ns = t.backoff.next_ns - now_ns;
    sim_env_advance_ns(t.sim, wait_ns);
    return wait_ns / NS_PER_MS;
}

UNIT_TEST(test_pauses_grow_by_half_up_to_their_limit)
{
    double most = 100;
    for (unsigned i = 0; i < 20; i++) {
        int64_t wait_ms = fail_ms(0);
        assert_in_range(wait_ms, (int64_t)(0.74 * most), (int64_t)most + 10);
        most = most * 1.5 < 10000 ? most * 1.5 : 10000;
    }
    backoff_ended(&t.backoff);
    assert_in_range(fail_ms(0), 74, 100);
}

UNIT_TEST(test_pauses_of_a_millisecond_grow_too)
{
    static const struct retry_settings short_ones = {.min_backoff_ms = 1, .max_backoff_ms = 50};
    for (unsigned i = 0; i < 20; i++) {
        backoff_failed(&t.backoff, t.env, &short_ones, 0);
        sim_env_advance_ns(t.sim, 50 * NS_PER_MS);
    }
    assert_int_equal(t.backoff.wait_ms, 50);
}

UNIT_TEST(test_failures_during_a_pause_are_one)
{
    for (unsigned i = 0; i < 20; i++)
        backoff_failed(&t.backoff, t.env, &RETRY, 0);
    assert_int_equal(t.backoff.wait_ms, 100);
}

UNIT_TEST(test_a_pause_is_as_long_as_asked_but_five_minutes_at_most)
{
    assert_int_equal(fail_ms(7000), 7000);
    assert_int_equal(fail_ms(24LL * 3600 * 1000), 5 * 60 * 1000);
    backoff_failed(&t.backoff, t.env, &RETRY, 7000);
    backoff_failed(&t.backoff, t.env, &RETRY, 0); /* does not shorten a pause */
    backoff_ended(&t.backoff);
    int64_t left_ns = t.backoff.next_ns - env_monotonic_ns(t.env);
    assert_int_equal(left_ns, 7000 * NS_PER_MS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pauses_grow_by_half_up_to_their_limit, begin, end),
        cmocka_unit_test_setup_teardown(test_pauses_of_a_millisecond_grow_too, begin, end),
        cmocka_unit_test_setup_teardown(test_failures_during_a_pause_are_one, begin, end),
        cmocka_unit_test_setup_teardown(test_a_pause_is_as_long_as_asked_but_five_minutes_at_most,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
