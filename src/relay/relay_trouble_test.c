/*
 * relay_trouble_test.c - speed and number of calls to a destination that throttles, fails or
 * refuses some samples, in simulated time; refused samples are found exactly.
 */
#include "lib/test.h"

#include <inttypes.h>

#include "lib/relay/relay_rig.h"

static int64_t
ms_until_settled(struct world *w)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    world_turn_until_settled(w);
    return (env_monotonic_ns(w->m.env) - began_ns) / NS_PER_MS;
}

static void
run_for(struct world *w, int64_t seconds)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < seconds * NS_PER_S)
        world_turn(w, 1);
}

/* Logs one call of this many samples, the first of which is refused. */
static void
log_one_bad(struct world *w, uint32_t samples)
{
    w->settings.batch.max_samples = samples;
    w->settings.batch.max_age_ms = 1;
    w->settings.concurrency = 1;
    world_open(w);
    world_log(w, samples, 0);
    w->sent[0].poison = true;
}

/* --- pauses ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_refusal_ends_a_row_of_failures)
{
    struct world *w = &the_world;
    int64_t most_ms = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        world_init(w, 100 + seed);
        w->refusal |= REFUSAL_OF_CALL;
        w->fails_each = 2;
        log_one_bad(w, 500);
        int64_t took_ms = ms_until_settled(w);
        if (took_ms > most_ms) most_ms = took_ms;
        world_check_account(w);
        world_fini(w);
    }
    print_message("one of 500 is found within %.1f s while each second call fails\n",
                  (double)most_ms / 1000);
    assert_in_range(most_ms, 1, 3000); /* at most a tenth of a second for each call */
}

UNIT_TEST(test_samples_that_are_judged_now_and_then_are_not_given_up)
{
    struct world *w = &the_world;
    world_init(w, 200);
    w->refusal |= REFUSAL_OF_CALL;
    w->settings.retry.give_up_after_ms = 2000;
    w->fails_each = 2;
    log_one_bad(w, 500);
    world_turn_until_settled(w);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 1);
    world_check_account(w);
    world_fini(w);
}

/* --- one lane probes for all ------------------------------------------------------------------ */

/* Fills eight lanes, each of which has a call to send. */
static void
fill_eight_lanes(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    w->settings.concurrency = 8;
    w->settings.batch = (struct batch_settings){.max_samples = 20, .max_age_ms = 1};
    world_open(w);
    world_log(w, 600, 0);
}

UNIT_TEST(test_while_a_destination_fails_one_lane_probes_for_all)
{
    static const struct {
        struct moods moods;
        uint32_t most; /* calls in the first minute */
    } cases[] = {
        {{.retry = 100}, 18},      /* 13 until the pause is ten seconds, and 4 more */
        {{.throttle = 100}, 18},   /* 429 */
        {{.blocked = 100}, 7},     /* 401: one every ten seconds */
        {{.unprepared = 100}, 12}, /* the same, after five at once */
    };
    struct world *w = &the_world;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        fill_eight_lanes(w, 800 + i);
        w->moods = cases[i].moods;
        run_for(w, 60);
        print_message("%u calls in a minute\n", w->calls);
        assert_in_range(w->calls, 6, cases[i].most);
        w->moods = (struct moods){0};
        run_for(w, 11); /* one of them succeeds, and all go on */
        assert_true(world_is_settled(w));
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_a_lane_whose_call_fails_for_good_does_not_hold_up_others)
{
    struct world *w = &the_world;
    fill_eight_lanes(w, 810);
    w->holds_first = true;
    run_for(w, 5);
    uint64_t open = world_status(w).fates.count[ITEM_FLOAT][FATE_OPEN];
    assert_in_range(open, 1, 600 / 4); /* the calls of its lane */
    w->holds_first = false;
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_a_lane_that_is_asked_to_wait_waits_for_all)
{
    struct world *w = &the_world;
    fill_eight_lanes(w, 811);
    w->moods.throttle = 100;
    w->asks_ms = 30 * 1000;
    run_for(w, 29);
    assert_int_equal(w->calls, 1);
    run_for(w, 3);
    assert_int_equal(w->calls, 2);
    w->moods.throttle = 0;
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_parts_that_are_throttled_by_themselves_do_not_wait_for_each_other)
{
    struct world *w = &the_world;
    fill_eight_lanes(w, 812);
    w->limits.throttles_parts = true;
    relay_free(w->relay);
    world_open(w);
    w->moods.throttle = 100;
    w->asks_ms = 30 * 1000;
    run_for(w, 29);
    assert_in_range(w->calls, 7, 8); /* one call of each lane that has series */
    w->moods.throttle = 0;
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_a_failing_destination_can_be_paused_restarted_and_mended)
{
    struct world *w = &the_world;
    fill_eight_lanes(w, 813);
    w->moods.retry = 100;
    run_for(w, 5);
    relay_wish(w->relay, true);
    run_for(w, 1);
    uint32_t calls = w->calls;
    run_for(w, 60);
    assert_int_equal(w->calls, calls); /* paused */
    relay_wish(w->relay, false);
    run_for(w, 30);
    assert_in_range(w->calls - calls, 1, 12);
    world_crash(w);
    calls = w->calls;
    run_for(w, 1);
    assert_in_range(w->calls - calls, 1, 6); /* one lane also if nothing is known */
    w->moods.retry = 0;
    run_for(w, 11);
    assert_true(world_is_settled(w));
    world_check_account(w);
    world_fini(w);
}

/* --- refused samples -------------------------------------------------------------------------- */

static uint32_t
calls_for_one_bad(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    log_one_bad(w, 600);
    world_turn_until_settled(w);
    world_check_account(w);
    uint32_t calls = w->calls;
    world_fini(w);
    return calls;
}

UNIT_TEST(test_one_of_six_hundred_takes_two_calls_a_halving_at_most)
{
    uint32_t sum = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        uint32_t calls = calls_for_one_bad(&the_world, 300 + seed);
        assert_in_range(calls, 5, 22);
        sum += calls;
    }
    print_message("%.1f calls to find one of 600\n", sum / 10.0);
}

/* Isolates the refused samples in one call of 4096. */
static void
isolate_some(struct world *w, uint64_t seed, unsigned fails_percent, uint32_t first, uint32_t each)
{
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    w->moods.retry = fails_percent;
    w->settings.batch = (struct batch_settings){.max_samples = 4096, .max_age_ms = 1};
    w->settings.concurrency = 1;
    world_open(w);
    world_log(w, 4096, 0);
    for (uint32_t i = first; i < w->count; i += each)
        w->sent[i].poison = true;
}

UNIT_TEST(test_refused_samples_of_4096_are_found_although_half_of_calls_fail)
{
    static const struct {
        const char *where;
        uint32_t first, each, answered_max;
        int64_t most_ms;
    } cases[] = {
        {"the first", 0, 4096, 40, 20000},   {"the middle one", 2048, 4096, 40, 20000},
        {"the last", 4095, 4096, 40, 20000}, {"five", 100, 900, 120, 60000},
        {"all", 0, 1, 8192, 6000000},
    };
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        unsigned at = i / 2, fails = i % 2 * 50;
        uint32_t most = 0;
        int64_t most_ms = 0;
        for (uint64_t seed = 0; seed < (at == 4 ? 1 : 20); seed++) {
            isolate_some(w, 700 + seed, fails, cases[at].first, cases[at].each);
            int64_t took_ms = ms_until_settled(w);
            uint32_t answered = w->calls - w->calls_failed;
            if (answered > most) most = answered;
            if (took_ms > most_ms) most_ms = took_ms;
            world_check_account(w);
            world_fini(w);
        }
        print_message("%s of 4096, %u %% of all calls fail: %u answers, %.1f s at most\n",
                      cases[at].where, fails, most, (double)most_ms / 1000);
        assert_in_range(most, 1, cases[at].answered_max);
        assert_in_range(most_ms, 0, cases[at].most_ms);
    }
}

static void
poison_series(struct world *w, uint32_t from, uint32_t series)
{
    for (uint32_t i = from; i < w->count; i++)
        w->sent[i].poison = w->sent[i].series == series;
}

UNIT_TEST(test_a_series_that_was_refused_lately_is_sent_apart)
{
    struct world *w = &the_world;
    world_init(w, 400);
    w->refusal = REFUSAL_OF_CALL | REFUSAL_SAYS_ALL;
    w->settings.batch.max_samples = 300;
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        uint32_t from = w->count;
        world_log(w, 900, 0);
        poison_series(w, from, 11);
        if (i == 1) w->calls = 0; /* it is known by now */
        world_turn_until_settled(w);
    }
    print_message("%u calls of a known bad series, of 900 samples each\n", w->calls);
    assert_in_range(w->calls, 19 * 4,
                    19 * 10); /* three lanes: a call or two each, and two of one */
    world_log(w, 900, 0);     /* the destination accepts them now */
    world_turn_until_settled(w);
    world_log(w, 900, 0);
    uint32_t calls = w->calls;
    world_turn_until_settled(w);
    assert_in_range(w->calls - calls, 1, 9); /* and it is not sent separately any more */
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_series_of_a_metric_that_is_refused_are_sent_apart)
{
    struct world *w = &the_world;
    world_init(w, 401);
    w->refusal = REFUSAL_OF_CALL | REFUSAL_SAYS_ALL;
    w->settings.batch.max_samples = 300;
    w->settings.batch.max_age_ms = 100;
    world_open(w);
    for (unsigned i = 0; i < 20; i++) {
        uint32_t from = w->count;
        world_log(w, 900, 0);
        for (; from < w->count; from++)
            w->sent[from].poison = world_metric_of(w->sent[from].series) == 3;
        world_turn_until_settled(w);
    }
    world_check_account(w);
    print_message("%u calls, a seventh of 18000 samples is refused\n", w->calls);
    assert_in_range(w->calls, 20 * 3, 20 * 3 * 4);
    world_fini(w);
}

UNIT_TEST(test_series_that_are_refused_are_known_after_the_first_calls)
{
    struct world *w = &the_world;
    world_init(w, 402);
    w->refusal = REFUSAL_OF_CALL | REFUSAL_SAYS_ALL;
    w->settings.batch.max_samples = 600;
    w->settings.batch.max_age_ms = 100;
    world_open(w);
    for (unsigned i = 0; i < 20; i++)
        world_log(w, 1000, 0);
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison = w->sent[i].series % 9 == 3;
    world_turn_until_settled(w);
    uint64_t refused = world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
    print_message("%u calls, %" PRIu64 " of 20000 samples are refused\n", w->calls, refused);
    /* 34 of accepted samples, 34 of samples known to be refused */
    assert_in_range(w->calls, 70, 115);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_exactly_the_refused_samples_are_found_for_any_answer)
{
    struct world *w = &the_world;
    for (uint64_t seed = 0; seed < 60; seed++) {
        world_init(w, 500 + seed);
        w->refusal |= REFUSAL_OF_CALL;
        if (seed % 5 < 2) w->refusal |= REFUSAL_SAYS_ALL;
        w->moods = (struct moods){.retry = 20, .throttle = 10, .again = 5, .too_large = 5};
        w->settings.concurrency = (uint32_t)(1 + seed % 8);
        w->settings.batch.max_samples = (uint32_t)(20 + seed * 10);
        world_open(w);
        for (unsigned i = 0; i < 20; i++) {
            uint32_t from = w->count;
            world_log(w, 1 + (uint32_t)rng_below(&w->rng, 300), seed % 4 == 0 ? 25 : 2);
            uint32_t bad = (uint32_t)rng_below(&w->rng, 2 * SERIES);
            for (; from < w->count && seed % 4 == 1; from++)
                w->sent[from].poison |= w->sent[from].series == bad;
            world_turn(w, (uint32_t)rng_below(&w->rng, 60));
            if (world_happens(w, 10)) world_crash(w);
        }
        w->moods = (struct moods){0};
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_every_allocation_may_fail_while_refused_ones_are_looked_for)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 600; nth += 1 + nth / 30) {
        world_init(w, nth);
        w->refusal |= REFUSAL_OF_CALL;
        world_open(w);
        world_log(w, 400, 10);
        world_turn(w, 3);
        mem_fail_nth(nth, nth % 3 == 0);
        world_turn(w, 30);
        mem_fail_nth(0, false);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

/* --- refused as a whole ----------------------------------------------------------------------- */

static uint64_t
dead_of(struct world *w)
{
    return world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
}

/* Logs this many samples, in requests of a thousand. */
static void
log_many(struct world *w, uint32_t samples, unsigned poison_percent)
{
    for (uint32_t i = 0; i < samples; i += 1000)
        world_log(w, 1000, poison_percent);
}

UNIT_TEST(test_all_other_samples_arrive_if_refused_calls_are_taken_in_part)
{
    struct world *w = &the_world;
    world_init(w, 560);
    w->refusal = REFUSAL_OF_CALL | REFUSAL_FINAL | REFUSAL_COUNTED;
    world_open(w);
    log_many(w, 40000, 11);
    do {
        world_turn(w, 1);
        assert_int_not_equal(world_status(w).state, RELAY_REFUSING);
    } while (!world_is_settled(w));
    assert_in_range(w->calls, 200, 210); /* 200 samples each, once each */
    assert_true(dead_of(w) > 39000);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_a_destination_that_refuses_every_call_keeps_what_was_not_sent)
{
    struct world *w = &the_world;
    world_init(w, 561);
    w->refusal = REFUSAL_OF_CALL | REFUSAL_FINAL;
    world_open(w);
    log_many(w, 30000, 100);
    run_for(w, 15);
    assert_int_equal(world_status(w).state, RELAY_REFUSING);
    assert_in_range(dead_of(w), 10000, 11000);
    uint64_t dead = dead_of(w);
    run_for(w, 60);
    assert_in_range(dead_of(w), dead + 4, dead + 8); /* one sample every ten seconds */
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].poison &= w->sent[i].refused; /* the destination accepts it now */
    run_for(w, 11);
    assert_int_equal(world_status(w).state, RELAY_RUNNING);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_whatever_fails_a_refused_call_is_not_sent_again)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 400; nth += 1 + nth / 30) {
        world_init(w, 1000 + nth);
        w->refusal = REFUSAL_OF_CALL | REFUSAL_FINAL;
        if (nth % 2 == 0) w->refusal |= REFUSAL_COUNTED;
        w->moods = (struct moods){.retry = 10, .throttle = 5};
        w->settings.concurrency = (uint32_t)(1 + nth % 4);
        w->settings.batch = (struct batch_settings){.max_age_ms = 1, .max_samples = 20};
        world_open(w);
        world_log(w, 400, 2);
        world_turn(w, 1);
        mem_fail_nth(nth, nth % 3 == 0);
        world_turn(w, 30);
        mem_fail_nth(0, false);
        w->moods = (struct moods){0};
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

/* --- credentials ------------------------------------------------------------------------------ */

UNIT_TEST(test_wrong_credentials_block_before_there_is_anything_to_send)
{
    static const enum writer_verdict verdicts[] = {VERDICT_BLOCKED, VERDICT_UNPREPARED};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2; i++) {
        world_init(w, 550 + i);
        w->needs_keys = true;
        w->keys_verdict = verdicts[i];
        world_open(w);
        run_for(w, 5);
        assert_int_equal(world_status(w).state, RELAY_BLOCKED);
        assert_string_equal(world_status(w).error, "keys: it said keys");
        w->keys_verdict = VERDICT_DELIVERED;
        run_for(w, 11);
        assert_int_equal(world_status(w).state, RELAY_RUNNING); /* although nothing was sent */
        assert_string_equal(world_status(w).error, "");
        assert_int_equal(w->calls, 0);
        world_log(w, 100, 0);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_refused_credentials_block_at_the_start_though_nothing_is_queued)
{
    static const enum writer_verdict verdicts[] = {VERDICT_BLOCKED, VERDICT_UNPREPARED};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2; i++) {
        world_init(w, 570 + i);
        w->limits.start_check = 1;
        w->check_verdict = verdicts[i];
        world_open(w);
        run_for(w, 61);
        assert_int_equal(world_status(w).state, RELAY_BLOCKED);
        assert_string_equal(world_status(w).error, "http_401: it said http_401");
        assert_in_range(w->checks, 6, 12); /* one every ten seconds, and five at once */
        w->check_verdict = VERDICT_DELIVERED;
        run_for(w, 11);
        assert_int_equal(world_status(w).state, RELAY_RUNNING);
        assert_string_equal(world_status(w).error, "");
        uint32_t checks = w->checks;
        run_for(w, 60);
        assert_int_equal(w->checks, checks);
        world_log(w, 100, 0);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_a_check_that_fails_holds_up_no_samples)
{
    static const enum writer_verdict verdicts[] = {VERDICT_BLOCKED, VERDICT_RETRY,
                                                   VERDICT_UNPREPARED, VERDICT_AGAIN};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 4; i++) {
        world_init(w, 580 + i);
        w->limits.start_check = 1;
        w->check_verdict = verdicts[i];
        world_open(w);
        run_for(w, 20);
        assert_int_equal(world_status(w).state, i % 2 == 0 ? RELAY_BLOCKED : RELAY_RETRYING);
        world_log(w, 100, 0);
        run_for(w, 16); /* the probe of a blocked destination */
        assert_true(world_is_settled(w));
        assert_int_equal(world_status(w).state, RELAY_RUNNING);
        uint32_t checks = w->checks;
        run_for(w, 60);
        assert_int_equal(w->checks, checks); /* the samples' responses say more */
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_samples_continue_the_pauses_that_a_failing_check_began)
{
    static const enum writer_verdict verdicts[] = {VERDICT_RETRY, VERDICT_THROTTLED};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2; i++) {
        world_init(w, 585 + i);
        w->limits.start_check = 1;
        w->check_verdict = verdicts[i];
        w->moods.retry = 100;
        world_open(w);
        run_for(w, 10);
        assert_in_range(w->checks, 8, 12); /* 0.1 s, 0.15 s, 0.23 s, ... */
        world_log(w, 100, 0);
        run_for(w, 20);
        assert_in_range(w->calls, 1, 5); /* from 0.1 s again they would be eleven */
        w->moods.retry = 0;
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_a_refusal_before_anything_was_accepted_is_applied_after_a_check)
{
    static const unsigned refusals[] = {REFUSAL_OF_CALL, REFUSAL_OF_CALL | REFUSAL_SAYS_ALL,
                                        REFUSAL_OF_CALL | REFUSAL_FINAL,
                                        REFUSAL_OF_CALL /* and the call is too large */};
    static const enum writer_verdict verdicts[] = {VERDICT_RETRY, VERDICT_BLOCKED};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 8; i++) {
        world_init(w, 680 + i);
        w->limits.start_check = 1;
        w->check_verdict = verdicts[i / 4];
        w->refusal = refusals[i % 4];
        w->bytes_max = i % 4 == 3 ? 99 : 0;
        world_open(w);
        world_log(w, 200, 100);
        run_for(w, 60);
        assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 0);
        assert_in_range(w->checks, 2, 20);
        w->check_verdict = VERDICT_DELIVERED;
        w->bytes_max = 0;
        world_turn_until_settled(w);
        world_check_account(w);
        assert_int_equal(w->letters, 200);
        world_fini(w);
    }
}

/* Opens a destination that answers the check as one that refuses everything. */
static void
open_unproven(struct world *w, uint64_t seed, unsigned refusal)
{
    world_init(w, seed);
    w->limits.start_check = 1;
    w->check_is_unproven = true;
    w->refusal = refusal;
    w->settings.batch.max_samples = 50;
    world_open(w);
}

UNIT_TEST(test_a_destination_that_refuses_the_check_and_every_sample_keeps_all)
{
    static const unsigned refusals[] = {REFUSAL_OF_CALL, REFUSAL_OF_CALL | REFUSAL_FINAL};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 4; i++) {
        open_unproven(w, 690 + i, refusals[i % 2]);
        world_log(w, 200, 100);
        run_for(w, 60);
        uint32_t calls = w->calls;
        run_for(w, 60);
        assert_in_range(w->calls - calls, 5, 7); /* one every ten seconds */
        assert_int_equal(world_status(w).state, RELAY_REFUSING);
        assert_string_equal(world_status(w).error, "bad: it said bad");
        assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 0);
        if (i < 2) { /* it is mended */
            for (uint32_t k = 0; k < w->count; k++)
                w->sent[k].poison = false;
            run_for(w, 15);
            assert_int_equal(world_status(w).state, RELAY_RUNNING);
        } else {
            relay_wish(w->relay, false); /* an operator resumes it */
            run_for(w, 15);
        }
        assert_true(world_is_settled(w));
        assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED],
                         i < 2 ? 0 : 200);
        world_fini(w);
    }
}

UNIT_TEST(test_a_destination_that_refuses_the_check_and_some_samples_works)
{
    struct world *w = &the_world;
    for (uint32_t bad = 1; bad <= 10; bad++) {
        open_unproven(w, 700 + bad, REFUSAL_OF_CALL);
        world_log(w, 200, 0);
        for (uint32_t i = 0; i < w->count; i++)
            w->sent[i].poison = w->sent[i].series % 11 < bad;
        run_for(w, 180); /* the search for one that is accepted makes a call every ten seconds */
        assert_true(world_is_settled(w));
        assert_int_equal(world_status(w).state, RELAY_RUNNING);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_nothing_is_checked_where_samples_wait_or_nothing_may_be_sent)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 3; i++) {
        world_init(w, 590 + i);
        world_open(w);
        if (i == 0) world_log(w, 1000, 0);
        if (i == 1) relay_wish(w->relay, true);
        if (i == 1) world_turn(w, 30);
        relay_free(w->relay);
        w->limits.start_check = 1;
        w->settings.dry_run = i == 2;
        world_open(w);
        run_for(w, 10);
        assert_int_equal(w->checks, 0);
        w->settings.dry_run = false;
        world_fini(w);
    }
}

/* --- throttling ------------------------------------------------------------------------------- */

static void
log_for(struct world *w, int64_t seconds)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < seconds * NS_PER_S && w->count < SAMPLES_MAX) {
        world_log(w, 50, 0);
        world_turn(w, 4);
    }
}

UNIT_TEST(test_few_throttled_calls_do_not_lessen_how_many_there_may_be)
{
    struct world *w = &the_world;
    world_init(w, 600);
    w->limits.throttles_parts = true;
    w->settings.concurrency = 16;
    w->settings.batch.max_samples = 5;
    w->moods.throttle = 2;
    world_open(w);
    for (unsigned i = 0; i < 30; i++) {
        log_for(w, 1);
        assert_in_range(world_status(w).lanes, 14, 16);
    }
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_throttling_everything_leaves_one_call_at_a_time_and_ends_soon)
{
    struct world *w = &the_world;
    world_init(w, 601);
    w->limits.throttles_parts = true;
    w->settings.concurrency = 16;
    w->settings.batch.max_samples = 5;
    w->settings.retry.max_backoff_ms = 1000;
    w->moods.throttle = 100;
    world_open(w);
    log_for(w, 5);
    assert_int_equal(world_status(w).lanes, 1);
    w->moods.throttle = 0;
    log_for(w, 20);
    assert_int_equal(world_status(w).lanes, 16);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_refusal_ends_a_row_of_failures, tell_seed),
        cmocka_unit_test_teardown(test_samples_that_are_judged_now_and_then_are_not_given_up,
                                  tell_seed),
        cmocka_unit_test_teardown(test_while_a_destination_fails_one_lane_probes_for_all,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_lane_whose_call_fails_for_good_does_not_hold_up_others,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_lane_that_is_asked_to_wait_waits_for_all, tell_seed),
        cmocka_unit_test_teardown(
            test_parts_that_are_throttled_by_themselves_do_not_wait_for_each_other, tell_seed),
        cmocka_unit_test_teardown(test_a_failing_destination_can_be_paused_restarted_and_mended,
                                  tell_seed),
        cmocka_unit_test_teardown(test_one_of_six_hundred_takes_two_calls_a_halving_at_most,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_refused_samples_of_4096_are_found_although_half_of_calls_fail, tell_seed),
        cmocka_unit_test_teardown(test_a_series_that_was_refused_lately_is_sent_apart, tell_seed),
        cmocka_unit_test_teardown(test_series_of_a_metric_that_is_refused_are_sent_apart,
                                  tell_seed),
        cmocka_unit_test_teardown(test_series_that_are_refused_are_known_after_the_first_calls,
                                  tell_seed),
        cmocka_unit_test_teardown(test_exactly_the_refused_samples_are_found_for_any_answer,
                                  tell_seed),
        cmocka_unit_test_teardown(test_every_allocation_may_fail_while_refused_ones_are_looked_for,
                                  tell_seed),
        cmocka_unit_test_teardown(test_all_other_samples_arrive_if_refused_calls_are_taken_in_part,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_a_destination_that_refuses_every_call_keeps_what_was_not_sent, tell_seed),
        cmocka_unit_test_teardown(test_whatever_fails_a_refused_call_is_not_sent_again, tell_seed),
        cmocka_unit_test_teardown(test_wrong_credentials_block_before_there_is_anything_to_send,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_refused_credentials_block_at_the_start_though_nothing_is_queued, tell_seed),
        cmocka_unit_test_teardown(test_a_check_that_fails_holds_up_no_samples, tell_seed),
        cmocka_unit_test_teardown(test_samples_continue_the_pauses_that_a_failing_check_began,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_a_refusal_before_anything_was_accepted_is_applied_after_a_check, tell_seed),
        cmocka_unit_test_teardown(
            test_a_destination_that_refuses_the_check_and_every_sample_keeps_all, tell_seed),
        cmocka_unit_test_teardown(test_a_destination_that_refuses_the_check_and_some_samples_works,
                                  tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_checked_where_samples_wait_or_nothing_may_be_sent,
                                  tell_seed),
        cmocka_unit_test_teardown(test_few_throttled_calls_do_not_lessen_how_many_there_may_be,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_throttling_everything_leaves_one_call_at_a_time_and_ends_soon, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
