/*
 * relay_trouble_test.c - what becomes of a destination that cannot be served as it is.
 */
#include "relay/relay_testing.h"

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
        cmocka_unit_test_teardown(test_wrong_credentials_block_before_there_is_anything_to_send,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
