/* breaker_test.c - when refused calls open the breaker, and what closes it. */
#include "lib/test.h"

#include "relay/lane/pace.h"

static void
refuse(struct breaker *b, unsigned calls, uint32_t samples)
{
    for (unsigned i = 0; i < calls; i++)
        breaker_call_refused(b, samples, "bad", "no");
}

UNIT_TEST(test_refused_calls_open_it_if_they_have_enough_samples)
{
    struct breaker b;
    breaker_init(&b, env_real(), "d");
    refuse(&b, CALLS_REFUSED_MAX - 1, REFUSALS_WINDOW);
    assert_int_equal(b.state, BREAKER_CLOSED);
    refuse(&b, 1, 1);
    assert_int_equal(b.state, BREAKER_REFUSING);
    breaker_init(&b, env_real(), "d");
    refuse(&b, 3 * CALLS_REFUSED_MAX, REFUSALS_WINDOW / (3 * CALLS_REFUSED_MAX));
    assert_int_equal(b.state, BREAKER_CLOSED);
}

UNIT_TEST(test_an_accepted_call_forgets_refused_calls_and_their_samples)
{
    struct breaker b;
    breaker_init(&b, env_real(), "d");
    refuse(&b, CALLS_REFUSED_MAX - 1, REFUSALS_WINDOW);
    breaker_accepted(&b);
    refuse(&b, CALLS_REFUSED_MAX, 1); /* enough calls, with few samples */
    assert_int_equal(b.state, BREAKER_CLOSED);
    breaker_part_accepted(&b);
    refuse(&b, 1, REFUSALS_WINDOW); /* enough samples, in one call */
    assert_int_equal(b.state, BREAKER_CLOSED);
    refuse(&b, CALLS_REFUSED_MAX - 1, 1);
    assert_int_equal(b.state, BREAKER_REFUSING);
    breaker_accepted(&b); /* not all calls are refused, as was assumed */
    assert_int_equal(b.state, BREAKER_CLOSED);
}

UNIT_TEST(test_refusals_that_are_answers_to_senders_do_not_open_it)
{
    struct breaker b;
    breaker_init(&b, env_real(), "d");
    b.senders_wait = true;
    refuse(&b, 2 * CALLS_REFUSED_MAX, REFUSALS_WINDOW);
    breaker_judged(&b, REFUSALS_WINDOW, REFUSALS_WINDOW, "bad", "no");
    assert_int_equal(b.state, BREAKER_CLOSED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_calls_open_it_if_they_have_enough_samples),
        cmocka_unit_test(test_an_accepted_call_forgets_refused_calls_and_their_samples),
        cmocka_unit_test(test_refusals_that_are_answers_to_senders_do_not_open_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
