/* relay_give_up_test.c - retry.give_up_after: samples that are given up, and those
 * that never are. */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"

static uint64_t
dead_letters_of(struct world *w)
{
    return world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
}

/* The destination requests a pause of ten seconds after each call. */
UNIT_TEST(test_samples_are_given_up_once_they_failed_for_the_time_that_is_set)
{
    enum { PAUSE_MS = 10 * 1000 };
    for (unsigned pauses = 1; pauses <= 3; pauses++) {
        struct world *w = &the_world;
        world_init(w, 820 + pauses);
        w->settings.concurrency = 1;
        w->settings.batch = (struct batch_settings){.max_samples = 100, .max_age_ms = 1};
        w->settings.retry.give_up_after_ms = pauses * PAUSE_MS;
        w->moods.throttle = 100;
        w->asks_ms = PAUSE_MS;
        world_open(w);
        world_log(w, 100, 0);
        for (unsigned i = 0; i < 20000 && dead_letters_of(w) == 0; i++)
            world_turn(w, 1);
        assert_int_equal(dead_letters_of(w), 100);
        assert_int_equal(w->calls, pauses + 1); /* the last one at the end of the time */
        world_fini(w);
    }
}

/* The destination refuses most samples, so it is broken, and its other responses are
 * not trusted. */
UNIT_TEST(test_nothing_is_given_up_while_most_samples_are_refused)
{
    struct world *w = &the_world;
    world_init(w, 830);
    w->settings.retry.give_up_after_ms = 30 * 1000;
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 1000, 100);
        world_turn(w, 40);
    }
    world_turn(w, 200);
    assert_int_equal(world_status(w).state, RELAY_REFUSING);
    w->moods.throttle = 100;
    uint64_t refused = dead_letters_of(w);
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < 300 * NS_PER_S)
        world_turn(w, 1);
    assert_int_equal(dead_letters_of(w), refused);
    assert_true(world_status(w).fates.count[ITEM_FLOAT][FATE_OPEN] > 0);
    world_fini(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            test_samples_are_given_up_once_they_failed_for_the_time_that_is_set, tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_given_up_while_most_samples_are_refused,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
