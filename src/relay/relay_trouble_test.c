/*
 * relay_trouble_test.c - what becomes of a destination that cannot be served as it is.
 */
#include "relay/relay_testing.h"

static int64_t
ms_until_settled(struct world *w)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    turn_until_settled(w);
    return (env_monotonic_ns(w->m.env) - began_ns) / NS_PER_MS;
}

/* One call of so many samples, the first of which is refused. */
static void
log_one_bad(struct world *w, uint32_t samples)
{
    w->settings.batch.max_samples = samples;
    w->settings.batch.max_age_ms = 1;
    w->settings.concurrency = 1;
    relay_must_open(w);
    log_some(w, samples, 0);
    w->sent[0].poison = true;
}

/* --- pauses ----------------------------------------------------------------------------------- */

static void
test_a_refusal_ends_a_row_of_failures(void **state)
{
    (void)state;
    struct world *w = &the_world;
    int64_t most_ms = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        world_init(w, 100 + seed);
        w->names_nobody = true;
        w->fails_each = 2;
        log_one_bad(w, 500);
        int64_t took_ms = ms_until_settled(w);
        if (took_ms > most_ms) most_ms = took_ms;
        check_account(w);
        world_fini(w);
    }
    print_message("one of 500 is found within %.1f s while each second call fails\n",
                  (double)most_ms / 1000);
    assert_in_range(most_ms, 1, 3000); /* a tenth of a second for each call, and no more */
}

static void
test_what_is_judged_now_and_then_is_not_given_up(void **state)
{
    (void)state;
    struct world *w = &the_world;
    world_init(w, 200);
    w->names_nobody = true;
    w->settings.retry.give_up_after_ms = 2000;
    w->fails_each = 2;
    log_one_bad(w, 500);
    turn_until_settled(w);
    assert_int_equal(status_of(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 1);
    check_account(w);
    world_fini(w);
}

/* --- credentials ------------------------------------------------------------------------------ */

static void
run_for(struct world *w, int64_t seconds)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < seconds * NS_PER_S) {
        turn(w, 1);
    }
}

static void
test_wrong_credentials_block_before_there_is_anything_to_send(void **state)
{
    (void)state;
    static const enum writer_verdict verdicts[] = {VERDICT_BLOCKED, VERDICT_UNPREPARED};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2; i++) {
        world_init(w, 550 + i);
        w->needs_keys = true;
        w->keys_verdict = verdicts[i];
        relay_must_open(w);
        run_for(w, 5);
        assert_int_equal(status_of(w).state, RELAY_BLOCKED);
        assert_string_equal(status_of(w).error, "keys: it said keys");
        w->keys_verdict = VERDICT_DELIVERED;
        run_for(w, 11);
        assert_int_equal(status_of(w).state, RELAY_RUNNING); /* though nothing was sent */
        assert_string_equal(status_of(w).error, "");
        assert_int_equal(w->calls, 0);
        log_some(w, 100, 0);
        turn_until_settled(w);
        check_account(w);
        world_fini(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_refusal_ends_a_row_of_failures, tell_seed),
        cmocka_unit_test_teardown(test_what_is_judged_now_and_then_is_not_given_up, tell_seed),
        cmocka_unit_test_teardown(test_wrong_credentials_block_before_there_is_anything_to_send,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
