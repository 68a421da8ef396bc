/*
 * relay_test.c - whatever a destination answers, and whenever the power fails, each sample arrives
 * at least once, in the order of its series, or is a dead letter, and the account is right.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_logged_samples_arrive_once_and_in_order)
{
    struct world *w = &the_world;
    world_init(w, 1);
    world_log(w, 100, 0);
    w->from = 100;
    world_open(w);
    for (unsigned i = 0; i < 50; i++) {
        world_log(w, 300, 0);
        world_turn(w, 3);
    }
    world_turn_until_settled(w);
    world_check_account(w);
    assert_int_equal(w->repeated, 0);
    for (uint32_t i = 0; i < 100; i++)
        assert_false(w->sent[i].delivered);
    world_fini(w);
}

UNIT_TEST(test_a_batch_is_sent_when_it_has_its_age)
{
    struct world *w = &the_world;
    world_init(w, 2);
    world_open(w);
    world_log(w, 1, 0);
    world_turn(w, 1);
    int64_t began_ns = env_monotonic_ns(w->m.env);
    world_turn_until_settled(w);
    int64_t took_ms = (env_monotonic_ns(w->m.env) - began_ns) / NS_PER_MS;
    assert_in_range(took_ms, 4900, 6500);
    assert_int_equal(w->calls, 1);
    world_fini(w);
}

UNIT_TEST(test_calls_that_need_no_network_are_not_waited_for)
{
    struct world *w = &the_world;
    world_init(w, 6);
    world_open(w);
    world_log(w, 30000, 0);
    int64_t began_ns = env_monotonic_ns(w->m.env);
    world_turn_until_settled(w);
    int64_t took_ms = (env_monotonic_ns(w->m.env) - began_ns) / NS_PER_MS;
    assert_true(w->calls > 100);
    assert_in_range(took_ms, 0, 6500); /* the last call is sent when it is old enough */
    world_fini(w);
}

UNIT_TEST(test_when_nothing_more_will_come_the_last_call_does_not_wait)
{
    struct world *w = &the_world;
    world_init(w, 45);
    w->settings.batch.max_age_ms = 3600 * 1000;
    w->settings.batch.max_samples = 1000;
    world_open(w);
    world_log(w, 20500, 0);
    relay_drain(w->relay);
    int64_t began_ns = env_monotonic_ns(w->m.env);
    world_turn_until_settled(w);
    assert_in_range((env_monotonic_ns(w->m.env) - began_ns) / NS_PER_MS, 0, 60000);
    assert_in_range(w->calls, 21, 35); /* the calls before it are full */
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_samples_that_are_still_unsent_do_not_use_the_rate)
{
    struct world *w = &the_world;
    world_init(w, 44);
    w->saves_first = true;
    w->settings.max_rate_samples = 1000;
    world_open(w);
    world_log(w, 20000, 0);
    int64_t began_ns = env_monotonic_ns(w->m.env);
    world_turn_until_settled(w);
    int64_t took_ms = (env_monotonic_ns(w->m.env) - began_ns) / NS_PER_MS;
    assert_in_range(took_ms, 18000, 30000); /* the last call is sent when it is old enough */
    world_fini(w);
}

UNIT_TEST(test_unnamed_refused_samples_are_isolated)
{
    struct world *w = &the_world;
    world_init(w, 3);
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 500, 1);
        world_turn(w, 10);
    }
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_a_call_that_is_too_large_is_halved_and_the_next_are_smaller)
{
    struct world *w = &the_world;
    world_init(w, 4);
    w->bytes_max = 2500;
    world_open(w);
    world_log(w, 3000, 0);
    world_turn_until_settled(w);
    world_check_account(w);
    uint32_t calls = w->calls;
    world_log(w, 1000, 0);
    world_turn_until_settled(w);
    assert_true(w->calls - calls < 150); /* at most 25 per call: none of them useless */
    world_fini(w);
}

UNIT_TEST(test_a_call_holds_one_sample_of_a_series_where_records_fail_singly)
{
    struct world *w = &the_world;
    world_init(w, 5);
    w->limits.one_of_a_series = true;
    w->moods = (struct moods){.mixed = 60};
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 200, 3);
        world_turn(w, 5);
    }
    world_turn_until_settled(w); /* world_arrive() checks the order */
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_whatever_happens_everything_arrives)
{
    struct world *w = &the_world;
    for (uint64_t seed = 10; seed < 40; seed++) {
        world_init(w, seed);
        w->moods = (struct moods){.retry = 10, .throttle = 5, .again = 5, .blocked = 2};
        w->refusal = seed % 2 == 0 ? REFUSAL_OF_CALL : REFUSAL_BY_ENTRY;
        w->limits.one_of_a_series = w->refusal == REFUSAL_BY_ENTRY;
        if (w->limits.one_of_a_series) w->moods.mixed = 30;
        w->settings.concurrency = (uint32_t)(1 + seed % 5);
        world_open(w);
        for (unsigned i = 0; i < 60; i++) {
            world_log(w, (uint32_t)rng_below(&w->rng, 300), 2);
            world_turn(w, (uint32_t)rng_below(&w->rng, 20));
            if (world_happens(w, 10)) world_crash(w);
            must(tsdb_maintain(w->m.db, &w->m.why));
        }
        w->moods = (struct moods){0};
        world_turn_until_settled(w);
        world_check_account(w);
        must(relay_close(w->relay, &w->m.why));
        w->relay = NULL;
        world_open(w); /* settled items stay settled */
        uint32_t calls = w->calls;
        world_turn(w, 100);
        assert_int_equal(w->calls, calls);
        for (uint32_t i = 0; i < w->count; i++)
            w->sent[i].dead = false;
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_a_paused_destination_takes_nothing_and_goes_on)
{
    struct world *w = &the_world;
    world_init(w, 6);
    world_open(w);
    relay_wish(w->relay, true);
    world_turn(w, 2);
    world_log(w, 1000, 0);
    world_turn(w, 200);
    assert_int_equal(w->calls, 0);
    assert_int_equal(world_status(w).state, RELAY_PAUSED);
    world_turn(w, 20);
    world_crash(w); /* remembered */
    world_turn(w, 100);
    assert_int_equal(w->calls, 0);
    relay_wish(w->relay, false);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_a_pause_is_remembered_if_the_server_stops_at_once)
{
    struct world *w = &the_world;
    world_init(w, 6);
    world_open(w);
    world_turn(w, 2);
    relay_wish(w->relay, true);
    must(relay_close(w->relay, &w->m.why));
    w->relay = NULL;
    world_open(w);
    world_log(w, 1000, 0);
    world_turn(w, 200);
    assert_int_equal(w->calls, 0);
    assert_int_equal(world_status(w).state, RELAY_PAUSED);
    relay_wish(w->relay, false);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_a_blocked_destination_is_probed_with_single_samples)
{
    struct world *w = &the_world;
    world_init(w, 7);
    w->moods.blocked = 100;
    world_open(w);
    world_log(w, 2000, 0);
    world_turn(w, 50);
    assert_int_equal(world_status(w).state, RELAY_BLOCKED);
    uint32_t calls = w->calls;
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < 60 * NS_PER_S)
        world_turn(w, 1);
    assert_in_range(w->calls - calls, 4, 7); /* every ten seconds, fifteen at most */
    w->moods.blocked = 0;
    world_turn_until_settled(w);
    assert_int_equal(world_status(w).state, RELAY_RUNNING);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_credentials_that_are_refused_again_and_again_block)
{
    struct world *w = &the_world;
    world_init(w, 45);
    w->settings.retry.give_up_after_ms = 30 * 1000;
    w->moods.unprepared = 100;
    world_open(w);
    world_log(w, 900, 0);
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < 120 * NS_PER_S)
        world_turn(w, 1);
    assert_int_equal(world_status(w).state, RELAY_BLOCKED);
    w->moods.unprepared = 0;
    world_turn_until_settled(w);
    world_check_account(w); /* none of them is a letter */
    world_fini(w);
}

UNIT_TEST(test_a_destination_that_refuses_most_is_left_alone)
{
    struct world *w = &the_world;
    world_init(w, 8);
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 1000, 100);
        world_turn(w, 40);
    }
    world_turn(w, 200);
    struct relay_status s = world_status(w);
    assert_int_equal(s.state, RELAY_REFUSING);
    assert_string_equal(s.error, "bad: ");
    /* Items that were pending when half of them had become letters are included. */
    assert_in_range(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 5000, 6500);
    w->drops = true; /* letters are samples that it would accept now */
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison = false;
    relay_wish(w->relay, false);
    world_turn_until_settled(w);
    s = world_status(w);
    assert_int_equal(s.state, RELAY_RUNNING);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

UNIT_TEST(test_who_refused_most_is_found_mended_though_some_are_refused_still)
{
    struct world *w = &the_world;
    world_init(w, 42);
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 1000, 100);
        world_turn(w, 40);
    }
    world_turn(w, 200);
    assert_int_equal(world_status(w).state, RELAY_REFUSING);
    w->drops = true; /* letters are samples that it would accept now */
    for (uint32_t i = 0; i < w->count; i++)
        if (rng_below(&w->rng, 50) > 0) w->sent[i].poison = false;
    for (unsigned i = 0; i < 200 && world_status(w).state == RELAY_REFUSING; i++) {
        int64_t began_ns = env_monotonic_ns(w->m.env);
        while (env_monotonic_ns(w->m.env) - began_ns < 60 * NS_PER_S)
            world_turn(w, 1);
    }
    assert_int_equal(world_status(w).state, RELAY_RUNNING);
    world_turn_until_settled(w);
    assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

UNIT_TEST(test_less_than_half_refused_is_put_up_with_however_large_calls_are)
{
    struct world *w = &the_world;
    world_init(w, 46);
    w->settings.batch.max_samples = CALL_MAX;
    w->settings.concurrency = 1;
    w->drops = true; /* calls have many samples of a series, without an order */
    world_open(w);
    for (unsigned i = 0; i < 30; i++)
        world_log(w, 1000, 40);
    for (unsigned i = 0; i < 20000 && (i < 10 || !world_is_settled(w)); i++) {
        world_turn(w, 1);
        assert_int_not_equal(world_status(w).state, RELAY_REFUSING);
    }
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_dead_letters_are_sent_again_on_request)
{
    struct world *w = &the_world;
    uint64_t letters;
    world_init(w, 9);
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    world_log(w, 990, 5);
    world_turn_until_settled(w);
    world_check_account(w);
    uint64_t dead = world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
    assert_true(dead > 20);
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison = false;
    letters = world_decide(w, LETTERS_REPLAY);
    assert_int_equal(letters, dead);
    world_log(w, 9, 100); /* newly refused items stay letters */
    world_turn(w, 40);
    world_crash(w); /* during it, before it, or after it */
    world_turn_until_settled(w);
    world_turn(w, 200);
    struct relay_status s = world_status(w);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DELIVERED], 990);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 9);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_OPEN], 0);
    for (uint32_t i = 0; i < 990; i++)
        assert_true(w->sent[i].delivered);
    letters = world_decide(w, LETTERS_DROP);
    assert_int_equal(letters, 9);
    world_turn(w, 40);
    s = world_status(w);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 0);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_BY_OPERATOR], 9);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

static enum err
count_kept(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    (void)letter;
    (void)line;
    (void)again;
    ++*(uint64_t *)context;
    return OK;
}

static uint64_t
letters_on_disk(struct world *w)
{
    uint64_t letters = 0;
    enum err e =
        dead_letters_each(w->m.env, "relay/there", NULL, count_kept, &letters, NULL, &w->m.why);
    assert_true(e == OK || e == ERR_MISSING);
    return letters;
}

/* Checks that the account agrees with the files. */
static void
check_letters(struct world *w)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    relay_wish(w->relay, true); /* until everything is written */
    while (env_monotonic_ns(w->m.env) - began_ns < 3 * NS_PER_S)
        world_turn(w, 1);
    relay_wish(w->relay, false);
    /* Lines are of items before the cursor; those after it are read again after a restart. */
    assert_int_equal(world_state(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED],
                     letters_on_disk(w));
    assert_in_range(world_status(w).taken[ITEM_FLOAT], 0, w->count);
}

/* One lane is blocked and the others go on: letters exist after the saved cursor. */
UNIT_TEST(test_letters_after_the_cursor_count_once_whatever_their_fate)
{
    struct world *w = &the_world;
    for (uint64_t seed = 50; seed < 80; seed++) {
        world_init(w, seed);
        w->refusal |= REFUSAL_OF_CALL;
        world_open(w);
        for (unsigned i = 0; i < 12; i++) {
            world_log(w, 300, 10);
            w->moods = (struct moods){.retry = (unsigned)rng_below(&w->rng, 80)};
            world_turn(w, (uint32_t)rng_below(&w->rng, 60));
            check_letters(w);
            if (world_happens(w, 30)) world_decide(w, LETTERS_DROP);
            if (world_happens(w, 30)) world_decide(w, LETTERS_REPLAY);
            world_turn(w, (uint32_t)rng_below(&w->rng, 30));
            if (world_happens(w, 30)) world_crash(w);
            check_letters(w);
        }
        w->moods = (struct moods){0};
        world_turn_until_settled(w);
        check_letters(w);
        struct relay_status s = world_status(w);
        assert_int_equal(s.taken[ITEM_FLOAT], w->count);
        world_fini(w);
    }
}

/* Returns the number of samples delivered within this time. */
static uint64_t
delivered_within(struct world *w, int64_t ns)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    uint64_t before = world_status(w).fates.count[ITEM_FLOAT][FATE_DELIVERED];
    while (env_monotonic_ns(w->m.env) - began_ns < ns)
        world_turn(w, 1);
    return world_status(w).fates.count[ITEM_FLOAT][FATE_DELIVERED] - before;
}

UNIT_TEST(test_no_more_is_sent_in_a_second_than_wanted)
{
    struct world *w = &the_world;
    for (unsigned by_bytes = 0; by_bytes < 2; by_bytes++) {
        world_init(w, 30 + by_bytes);
        w->settings.max_rate_samples = by_bytes ? 0 : 1000;
        w->settings.max_rate_bytes = by_bytes ? 100 * 1000 : 0; /* a sample counts 100 */
        world_open(w);
        for (unsigned i = 0; i < 40; i++)
            world_log(w, 1000, 0);
        delivered_within(w, 2 * NS_PER_S); /* the saved allowance */
        uint64_t delivered = delivered_within(w, 20 * NS_PER_S);
        assert_in_range(delivered, 19000, 21000);
        w->settings.max_rate_samples = w->settings.max_rate_bytes = 0;
        world_crash(w); /* with other settings */
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_who_asks_to_wait_is_left_alone_for_some_minutes_at_most)
{
    static const struct {
        int64_t asks_ms;
        uint32_t least, most; /* calls of a lane within an hour */
    } cases[] = {{60 * 1000, 58, 62}, {24LL * 3600 * 1000, 11, 14}};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2; i++) {
        world_init(w, 33 + i);
        w->settings.concurrency = 1;
        w->moods.throttle = 100;
        w->asks_ms = cases[i].asks_ms;
        world_open(w);
        world_log(w, 100, 0);
        delivered_within(w, 3600 * NS_PER_S);
        assert_in_range(w->calls, cases[i].least, cases[i].most);
        w->moods.throttle = 0;
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_samples_that_fail_for_too_long_become_letters_if_configured)
{
    struct world *w = &the_world;
    world_init(w, 32);
    w->settings.retry.give_up_after_ms = 60 * 1000;
    w->settings.batch.max_samples = 20000;
    w->moods.throttle = 100; /* not stored, for certain */
    world_open(w);
    world_log(w, 500, 0);
    delivered_within(w, 55 * NS_PER_S);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 0);
    delivered_within(w, 40 * NS_PER_S);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 500);
    for (unsigned i = 0; i < 12; i++) /* more than would count as too many refusals */
        world_log(w, 1000, 0);
    delivered_within(w, 1800 * NS_PER_S);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 12500);
    assert_int_equal(world_status(w).state, RELAY_RETRYING);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_OPEN], 0);
    world_turn(w, 30);
    must(dead_letters_each(w->m.env, "relay/there", NULL, world_note_dead, w, NULL, &w->m.why));
    w->moods.throttle = 0;
    world_log(w, 400, 0); /* and it goes on */
    world_turn_until_settled(w);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DELIVERED], 400);
    world_fini(w);
}

UNIT_TEST(test_with_one_lane_letters_wait_for_the_call_under_way)
{
    struct world *w = &the_world;
    uint64_t letters;
    world_init(w, 41);
    w->limits.one_lane = true;
    w->drops = true; /* letters have no order */
    world_open(w);
    world_log(w, 990, 30);
    world_turn_until_settled(w);
    world_check_account(w);
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison = false;
    letters = world_decide(w, LETTERS_REPLAY);
    assert_true(letters > 200);
    w->moods.retry = 70;
    for (unsigned i = 0; i < 40; i++) { /* fake_begin() checks whose calls run */
        world_log(w, 200, 0);
        world_turn(w, 10);
    }
    w->moods.retry = 0;
    world_turn_until_settled(w);
    world_turn(w, 200);
    struct relay_status s = world_status(w);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_OPEN], 0);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

UNIT_TEST(test_any_number_of_samples_that_fail_too_long_become_letters)
{
    struct world *w = &the_world;
    /* With the last two seeds, calls became ever smaller: of one or two samples, for a
     * minute each. */
    static const uint64_t seeds[] = {42, 500042, 600042};
    for (unsigned k = 0; k < sizeof seeds / sizeof *seeds; k++) {
        world_init(w, seeds[k]);
        w->settings.retry.give_up_after_ms = 60 * 1000;
        w->moods.retry = 100;
        w->refusal |= REFUSAL_OF_CALL;
        world_open(w);
        for (unsigned i = 0; i < 60; i++)
            world_log(w, 200, 100); /* so that a lost answer has no effect */
        world_turn_until_settled(w);
        struct relay_status s = world_status(w);
        assert_int_equal(s.state, RELAY_RETRYING);
        assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], w->count);
        /* 60 of 200 or more samples, each tried several times by lanes that probe in turn */
        assert_in_range(w->calls, 180, 1200);
        world_fini(w);
    }
}

UNIT_TEST(test_a_call_of_which_parts_fail_is_one_failure)
{
    struct world *w = &the_world;
    world_init(w, 43);
    w->limits.one_of_a_series = true;
    w->moods.mixed = 100;
    w->settings.concurrency = 1;
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 200, 0);
        world_turn(w, 5);
    }
    world_turn_until_settled(w);
    struct relay_status s = world_status(w);
    assert_true(w->calls_mixed > 20);
    assert_int_equal(s.calls_failed_total, w->calls_mixed);
    world_fini(w);
}

UNIT_TEST(test_a_call_of_runs_survives_every_allocation_that_fails)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 300; nth++) {
        world_init(w, nth);
        w->refusal |= REFUSAL_OF_CALL;
        w->limits.one_lane = w->joins = true;
        world_open(w);
        for (unsigned i = 0; i < 4; i++) /* calls of 200 end inside a record */
            world_log(w, 330, nth % 4 == 0);
        mem_fail_nth(nth, true);
        world_turn(w, 6);
        mem_fail_nth(0, false);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_a_refused_call_survives_every_allocation_that_fails)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 300; nth++) {
        world_init(w, nth);
        w->refusal |= REFUSAL_OF_CALL;
        world_open(w);
        world_log(w, 330, 5);
        mem_fail_nth(nth, true);
        world_turn(w, 6);
        mem_fail_nth(0, false);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_letters_that_arrived_are_letters_until_that_is_saved)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 100; nth++) {
        world_init(w, 9);
        w->refusal |= REFUSAL_OF_CALL;
        w->writes_files = true;
        world_open(w);
        world_log(w, 990, 5);
        world_turn_until_settled(w);
        world_check_account(w);
        for (uint32_t i = 0; i < w->count; i++)
            w->sent[i].poison = w->sent[i].dead = false;
        world_decide(w, LETTERS_REPLAY);
        mem_fail_nth(nth, true); /* the state cannot be written, and then the power fails */
        world_turn(w, 200);
        mem_fail_nth(0, false);
        world_crash(w);
        world_turn(w, 300);
        for (uint32_t i = 0; i < w->count; i++)
            w->sent[i].dead = false;
        enum err e =
            dead_letters_each(w->m.env, "relay/there", NULL, world_note_dead, w, NULL, &w->m.why);
        assert_true(e == OK || e == ERR_MISSING);
        for (uint32_t i = 0; i < w->count; i++)
            if (!w->sent[i].delivered && !w->sent[i].dead)
                fail_msg("%u: sample %u", (unsigned)nth, i);
        world_fini(w);
    }
}

UNIT_TEST(test_every_allocation_may_fail)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 400; nth += 1 + nth / 40) {
        world_init(w, nth);
        w->refusal |= REFUSAL_OF_CALL;
        world_open(w);
        world_log(w, 300, 3);
        mem_fail_nth(nth, false);
        world_turn(w, 30);
        mem_fail_nth(0, false);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_logged_samples_arrive_once_and_in_order, tell_seed),
        cmocka_unit_test_teardown(test_a_batch_is_sent_when_it_has_its_age, tell_seed),
        cmocka_unit_test_teardown(test_calls_that_need_no_network_are_not_waited_for, tell_seed),
        cmocka_unit_test_teardown(test_when_nothing_more_will_come_the_last_call_does_not_wait,
                                  tell_seed),
        cmocka_unit_test_teardown(test_samples_that_are_still_unsent_do_not_use_the_rate,
                                  tell_seed),
        cmocka_unit_test_teardown(test_unnamed_refused_samples_are_isolated, tell_seed),
        cmocka_unit_test_teardown(test_a_call_that_is_too_large_is_halved_and_the_next_are_smaller,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_a_call_holds_one_sample_of_a_series_where_records_fail_singly, tell_seed),
        cmocka_unit_test_teardown(test_whatever_happens_everything_arrives, tell_seed),
        cmocka_unit_test_teardown(test_a_paused_destination_takes_nothing_and_goes_on, tell_seed),
        cmocka_unit_test_teardown(test_a_pause_is_remembered_if_the_server_stops_at_once,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_blocked_destination_is_probed_with_single_samples,
                                  tell_seed),
        cmocka_unit_test_teardown(test_credentials_that_are_refused_again_and_again_block,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_destination_that_refuses_most_is_left_alone, tell_seed),
        cmocka_unit_test_teardown(
            test_who_refused_most_is_found_mended_though_some_are_refused_still, tell_seed),
        cmocka_unit_test_teardown(
            test_less_than_half_refused_is_put_up_with_however_large_calls_are, tell_seed),
        cmocka_unit_test_teardown(test_dead_letters_are_sent_again_on_request, tell_seed),
        cmocka_unit_test_teardown(test_letters_after_the_cursor_count_once_whatever_their_fate,
                                  tell_seed),
        cmocka_unit_test_teardown(test_no_more_is_sent_in_a_second_than_wanted, tell_seed),
        cmocka_unit_test_teardown(test_who_asks_to_wait_is_left_alone_for_some_minutes_at_most,
                                  tell_seed),
        cmocka_unit_test_teardown(test_samples_that_fail_for_too_long_become_letters_if_configured,
                                  tell_seed),
        cmocka_unit_test_teardown(test_with_one_lane_letters_wait_for_the_call_under_way,
                                  tell_seed),
        cmocka_unit_test_teardown(test_any_number_of_samples_that_fail_too_long_become_letters,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_call_of_which_parts_fail_is_one_failure, tell_seed),
        cmocka_unit_test_teardown(test_a_call_of_runs_survives_every_allocation_that_fails,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_refused_call_survives_every_allocation_that_fails,
                                  tell_seed),
        cmocka_unit_test_teardown(test_letters_that_arrived_are_letters_until_that_is_saved,
                                  tell_seed),
        cmocka_unit_test_teardown(test_every_allocation_may_fail, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
