/*
 * relay_fill_test.c - a destination that begins in the past, or was stopped for too long, reads the
 * samples that the log no longer has from the store and then follows the log: no sample is missing,
 * each series stays in order, and the account has the fate of each sample.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"

enum { BUDGET_BYTES = 16 * 1024 };

/* Lets time pass while no call succeeds. */
static void
stand_still(struct world *w, uint32_t requests, uint32_t samples)
{
    struct moods before = w->moods;
    w->moods = (struct moods){.retry = 100};
    for (uint32_t i = 0; i < requests; i++) {
        world_log(w, samples, 1);
        world_turn(w, 3);
        if (i % 3 == 2) machine_flush(&w->m);
        must(tsdb_maintain(w->m.db, &w->m.why));
    }
    w->moods = before;
}

UNIT_TEST(test_who_begins_at_the_beginning_is_given_the_store_and_then_the_log)
{
    struct world *w = &the_world;
    world_init(w, 1);
    w->refusal |= REFUSAL_OF_CALL;
    w->settings.start = START_BEGINNING;
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 700, 1);
        machine_flush(&w->m);
    }
    world_log(w, 500, 1); /* only in the log */
    world_open(w);
    /* it shows this before its first step */
    assert_int_equal(world_status(w).state, RELAY_FILLING);
    world_log(w, 500, 1);
    world_turn_until_settled(w);
    world_check_account(w);
    assert_int_equal(w->repeated, 0);
    assert_int_equal(world_status(w).repeats_total, 0);
    world_fini(w);
}

UNIT_TEST(test_samples_too_old_for_the_destination_are_dropped_and_counted)
{
    struct world *w = &the_world;
    for (uint64_t seed = 20; seed < 30; seed++) {
        world_init(w, seed);
        w->settings.start = START_BEGINNING;
        w->refusal = seed % 2 == 0 ? REFUSAL_OF_CALL : REFUSAL_BY_ENTRY;
        w->limits.one_of_a_series = w->refusal == REFUSAL_BY_ENTRY;
        w->takes_from = (uint32_t)(300 * (seed - 20)); /* from none of them to almost all */
        for (unsigned i = 0; i < 3; i++) {
            world_log(w, 1000, 1);
            machine_flush(&w->m);
        }
        world_log(w, 500, 1); /* only in the log */
        w->moods = (struct moods){.retry = 20, .throttle = 5, .again = 5};
        if (w->limits.one_of_a_series) w->moods.mixed = 30;
        world_open(w);
        world_turn(w, 30);
        w->has_learnt &= seed % 3 > 0; /* it may forget what it learnt */
        world_crash(w);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

static enum err
count_letter(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    (void)letter;
    (void)line;
    assert_false(again);
    ++*(uint64_t *)context;
    return OK;
}

UNIT_TEST(test_a_letter_that_is_too_old_after_a_crash_is_removed)
{
    struct world *w = &the_world;
    uint64_t counted_less = 0;
    for (uint64_t seed = 40; seed < 50; seed++) {
        world_init(w, seed);
        w->settings.start = START_BEGINNING;
        w->limits.one_of_a_series = true;
        world_log(w, 1000, 10);
        world_log(w, 1000, 10);
        machine_flush(&w->m);
        w->moods = (struct moods){.retry = 70, .mixed = 30};
        world_open(w);
        world_turn(w, 40);
        uint64_t dead = world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], letters = 0;
        w->takes_from = w->count;
        w->has_learnt = true;
        w->moods = (struct moods){0};
        world_crash(w);
        world_turn_until_settled(w);
        world_turn(w, 30);
        enum err e = dead_letters_each(w->m.env, "relay/there", NULL, count_letter, &letters, NULL,
                                       &w->m.why);
        assert_true(e == OK || e == ERR_MISSING);
        struct relay_status s = world_status(w);
        assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], letters);
        assert_int_equal(s.taken[ITEM_FLOAT], w->count);
        assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_OPEN], 0);
        counted_less += letters < dead;
        world_fini(w);
    }
    assert_true(counted_less > 0);
}

UNIT_TEST(test_calls_with_one_sample_of_a_series_are_made_of_many_series)
{
    struct world *w = &the_world;
    world_init(w, 10);
    w->limits.one_of_a_series = true;
    w->settings.start = START_BEGINNING;
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 1000, 0);
        machine_flush(&w->m);
    }
    world_open(w);
    world_turn_until_settled(w);
    world_check_account(w);
    assert_true(w->calls < w->count / 3); /* a call per chunk of each series would be more */
    world_fini(w);
}

UNIT_TEST(test_the_store_is_given_no_faster_than_wanted_and_the_log_as_it_comes)
{
    struct world *w = &the_world;
    world_init(w, 12);
    w->settings.start = START_BEGINNING;
    w->settings.fill_rate_samples = 500;
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 900, 0);
        machine_flush(&w->m);
    }
    world_open(w);
    int64_t began_ns = env_monotonic_ns(w->m.env);
    world_turn_until_settled(w);
    int64_t took_s = (env_monotonic_ns(w->m.env) - began_ns) / NS_PER_S;
    assert_in_range(took_s, 32, 42); /* 18,000 samples at 500 per second */
    began_ns = env_monotonic_ns(w->m.env);
    for (unsigned i = 0; i < 10; i++)
        world_log(w, 900, 0);
    world_turn_until_settled(w);
    took_s = (env_monotonic_ns(w->m.env) - began_ns) / NS_PER_S;
    assert_in_range(took_s, 0, 8);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_who_begins_now_is_given_all_since_it_was_named)
{
    struct world *w = &the_world;
    world_init(w, 9);
    w->refusal |= REFUSAL_OF_CALL;
    world_log(w, 700, 1);
    w->from = w->count;
    world_options(w);
    must(relay_guard_new(&w->options, NULL, &w->guard, &w->m.why));
    for (unsigned i = 0; i < 10; i++) { /* the directory cannot be opened for a while */
        world_log(w, 700, 1);
        machine_flush(&w->m);
        must(tsdb_maintain(w->m.db, &w->m.why));
    }
    struct relay_guard *before = w->guard; /* its settings were corrected */
    must(relay_guard_new(&w->options, before, &w->guard, &w->m.why));
    relay_guard_free(before);
    world_open(w);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_who_begins_at_a_time_is_given_what_is_not_older)
{
    struct world *w = &the_world;
    world_init(w, 2);
    w->refusal |= REFUSAL_OF_CALL;
    w->settings.start = START_TIME;
    w->settings.start_ms = world_sent_ms(30000);
    for (unsigned i = 0; i < 40; i++) {
        world_log(w, 1000, 1);
        if (i % 4 == 3 && i < 30) machine_flush(&w->m);
    }
    w->from = 30000;
    world_open(w);
    world_turn_until_settled(w);
    world_check_account(w);
    for (uint32_t i = 0; i < w->from; i++)
        assert_false(w->sent[i].delivered);
    world_fini(w);
}

UNIT_TEST(test_who_stood_still_for_too_long_is_given_the_rest_from_the_store)
{
    struct world *w = &the_world;
    world_init(w, 3);
    w->refusal |= REFUSAL_OF_CALL;
    w->may_repeat = true; /* the part with the last arrived sample */
    w->settings.log_budget_bytes = BUDGET_BYTES;
    w->m.limits.wal_budget_bytes = 8 * WAL_SEGMENT_BYTES_MIN;
    tsdb_set_limits(w->m.db, &w->m.limits);
    world_open(w);
    world_log(w, 300, 1);
    world_turn_until_settled(w);
    uint32_t delivered = w->count;
    stand_still(w, 60, 900);
    world_turn(w, 100);
    struct wal_stats log;
    wal_stats(tsdb_wal(w->m.db), &log);
    assert_true(log.begin_pos >= 2 * BUDGET_BYTES); /* it does not hold the log back */
    assert_int_equal(log.readers_behind, 0);
    struct relay_status s = world_status(w);
    /* it knows the exact number of queued samples */
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    uint32_t settled = 0; /* at most: what arrived, and what is refused */
    for (uint32_t i = 0; i < w->count; i++)
        settled += w->sent[i].delivered || w->sent[i].poison || i % 1000 == 999;
    assert_in_range(s.fates.count[ITEM_FLOAT][FATE_OPEN], w->count - settled, w->count - delivered);
    world_turn_until_settled(w);
    world_check_account(w);
    assert_true(world_status(w).repeats_total <= delivered);
    world_fini(w);
}

/* Queued samples cannot be counted if the log has no room for them; they arrive all the same. */
UNIT_TEST(test_everything_is_sent_if_the_log_is_gone_before_it_is_counted)
{
    struct world *w = &the_world;
    for (uint64_t seed = 60; seed < 68; seed++) {
        world_init(w, seed);
        w->refusal |= REFUSAL_OF_CALL;
        w->settings.log_budget_bytes = BUDGET_BYTES;
        w->m.limits.wal_budget_bytes = 4 * WAL_SEGMENT_BYTES_MIN;
        tsdb_set_limits(w->m.db, &w->m.limits);
        world_open(w);
        stand_still(w, 20, 900);
        for (uint32_t i = 0; i < 60 * 3; i++) {
            world_log(w, 100, 0); /* faster than they are counted */
            machine_flush(&w->m);
            must(tsdb_maintain(w->m.db, &w->m.why));
        }
        struct wal_stats log;
        wal_stats(tsdb_wal(w->m.db), &log);
        assert_true(log.readers_behind > 0);
        if (seed % 2 == 0) world_crash(w);
        world_turn_until_settled(w);
        for (uint32_t i = 0; i < w->count; i++) {
            bool refused = w->sent[i].poison || i % 1000 == 999;
            assert_true(refused || w->sent[i].delivered);
        }
        world_fini(w);
    }
}

UNIT_TEST(test_repeats_that_were_not_delivered_do_not_lessen_what_was)
{
    struct world *w = &the_world;
    world_init(w, 3);
    w->refusal |= REFUSAL_OF_CALL;
    w->settings.log_budget_bytes = BUDGET_BYTES;
    w->m.limits.wal_budget_bytes = 8 * WAL_SEGMENT_BYTES_MIN;
    tsdb_set_limits(w->m.db, &w->m.limits);
    world_open(w);
    world_log(w, 300, 100); /* all of them refused */
    world_turn_until_settled(w);
    stand_still(w, 60, 900);
    machine_flush(&w->m);
    w->takes_from = SAMPLES_MAX; /* it accepts no sample of the store */
    world_turn_until_settled(w);
    world_turn(w, 30);
    struct relay_status s = world_status(w);
    assert_true(s.repeats_total > 0);
    assert_in_range(s.fates.count[ITEM_FLOAT][FATE_DELIVERED], 0, w->count);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

UNIT_TEST(test_it_waits_while_it_is_paused_too)
{
    struct world *w = &the_world;
    world_init(w, 4);
    w->refusal |= REFUSAL_OF_CALL;
    w->may_repeat = true; /* the last part, when it leaves the log again */
    w->settings.log_budget_bytes = BUDGET_BYTES;
    world_open(w);
    relay_wish(w->relay, true);
    world_turn(w, 2);
    stand_still(w, 60, 300);
    world_turn(w, 50);
    assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
    assert_int_equal(w->calls, 0);
    world_crash(w);
    world_turn(w, 50);
    assert_int_equal(w->calls, 0);
    assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
    relay_wish(w->relay, false);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

UNIT_TEST(test_samples_deleted_in_the_meantime_are_dropped_and_counted)
{
    struct world *w = &the_world;
    world_init(w, 5);
    w->refusal |= REFUSAL_OF_CALL;
    w->settings.log_budget_bytes = BUDGET_BYTES;
    world_open(w);
    stand_still(w, 60, 300);
    machine_flush(&w->m);
    world_turn(w, 50);
    struct selector selector;
    struct tsdb_deletion deleted;
    must(selector_parse(text("{name=\"s7\"}"), &selector, &w->m.why));
    must(tsdb_delete(w->m.db, text("anonymous"), &selector, 1, INT64_MIN, INT64_MAX, &deleted,
                     &w->m.why));
    assert_true(deleted.samples > 200);
    struct tsdb_merge_options merge = {.mode = TSDB_MERGE_CLEAN};
    struct tsdb_merge_result merged = {.input_count = 1};
    while (merged.input_count > 0)
        must(tsdb_merge(w->m.db, &merge, &merged, &w->m.why));
    for (uint32_t i = 0; i < w->count; i++)
        w->sent[i].dead |= w->sent[i].series == 7;
    world_turn_until_settled(w);
    struct relay_status s = world_status(w);
    uint64_t there = 0, missing = 0, unfit = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        there += w->sent[i].delivered;
        missing += w->sent[i].series == 7 && !w->sent[i].delivered;
        unfit += w->sent[i].poison || i % 1000 == 999;
    }
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DELIVERED], there);
    uint64_t dropped = s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DELETED];
    assert_true(dropped > deleted.samples / 2); /* the log had the others */
    assert_in_range(dropped, missing - unfit, missing);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

UNIT_TEST(test_a_replay_sends_stored_samples_from_a_time_on)
{
    struct world *w = &the_world;
    world_init(w, 8);
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 500, 0);
        world_turn(w, 50);
        if (i < 8) machine_flush(&w->m);
    }
    world_turn_until_settled(w);
    world_turn(w, 20);
    assert_int_equal(w->fills, 0);
    must(relay_replay(w->relay, world_sent_ms(2000), &w->m.why));
    world_turn(w, 5);
    assert_int_equal(world_status(w).state, RELAY_FILLING);
    assert_int_equal(relay_replay(w->relay, 0, &w->m.why), ERR_AGAIN);
    assert_int_equal(w->fills, 1); /* the writer knows, also after a restart, */
    world_crash(w);
    assert_int_equal(w->fills, 1);
    world_log(w, 500, 0);
    world_turn_until_settled(w);
    for (uint32_t i = 0; i < w->count; i++) {
        bool again = i >= 2000 && i < 5000, unfit = i % 1000 == 999;
        assert_true(unfit || (again ? w->sent[i].times >= 2 : w->sent[i].times == 1));
    }
    /* 4999 is a letter; it is read from the log again and becomes another one. */
    assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count + 3000);
    world_turn(w, 30);
    uint64_t letters = 0;
    must(dead_letters_each(w->m.env, "relay/there", NULL, count_letter, &letters, NULL, &w->m.why));
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], letters);
    assert_int_equal(w->fills, 1); /* and when it follows the log again */
    machine_flush(&w->m);
    world_turn_until_settled(w);
    world_turn(w, 20);
    must(relay_replay(w->relay, world_sent_ms(2000), &w->m.why));
    world_turn(w, 5);
    assert_int_equal(w->fills, 2);
    world_fini(w);
}

UNIT_TEST(test_a_replay_that_could_not_begin_begins_later)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 40; nth++) {
        world_init(w, nth);
        world_open(w);
        world_log(w, 300, 0);
        world_turn_until_settled(w);
        machine_flush(&w->m);
        world_turn(w, 50);
        must(relay_replay(w->relay, world_sent_ms(0), &w->m.why));
        mem_fail_nth(nth, true);
        world_turn(w, 3);
        mem_fail_nth(0, false);
        world_turn(w, 50);
        assert_int_equal(w->fills, 1);
        world_turn_until_settled(w);
        world_fini(w);
    }
}

/* A call with one of the first samples hangs until something polls. */
enum { HANGS_BELOW = 500 };
static bool hangs;

static void
hanging_begin(struct writer *writer, struct writer_call *c, struct writer_step *step)
{
    static const struct http_calls_target target = {.proxy_url = "", .connect_timeout_ms = 1000};
    if (!hangs || c->numbers[0] >= HANGS_BELOW) {
        fake_begin(writer, c, step);
        return;
    }
    step->next = WRITER_SEND;
    step->http = (struct http_call){
        .target = &target, .method = "POST", .url = "http://127.0.0.1:1/", .answer_bytes_max = 1};
}

static void
hanging_judge(struct writer *writer, struct writer_call *c, const struct http_call_answer *answer,
              struct writer_step *step)
{
    (void)writer;
    (void)c;
    (void)answer;
    fake_say(step, VERDICT_RETRY, "unavailable");
}

UNIT_TEST(test_the_log_is_followed_again_when_no_request_is_pending)
{
    struct world *w = &the_world;
    struct writer_class hanging = fake_writer;
    hanging.begin = hanging_begin;
    hanging.judge = hanging_judge;
    world_init(w, 10);
    w->refusal |= REFUSAL_OF_CALL;
    w->writer = &hanging;
    world_open(w);
    world_log(w, HANGS_BELOW, 5);
    world_turn_until_settled(w);
    for (unsigned i = 0; i < 5; i++) {
        world_log(w, 500, 0);
        world_turn_until_settled(w);
        machine_flush(&w->m);
    }
    world_turn(w, 50);
    world_decide(w, LETTERS_REPLAY);
    sim_env_advance_ns(w->m.sim, 2 * NS_PER_S);
    world_turn(w, 1); /* letters are in their lane, whose call must become old enough */
    must(relay_replay(w->relay, world_sent_ms(HANGS_BELOW), &w->m.why));
    hangs = true;
    world_turn(w, 2000);
    assert_false(relay_is_idle(w->relay));
    assert_int_equal(world_status(w).state, RELAY_FILLING);
    hangs = false;
    for (unsigned i = 0; i < 1000 && !relay_is_idle(w->relay); i++) {
        relay_wait(w->relay, 10);
        world_turn(w, 1);
    }
    world_turn(w, 50);
    assert_true(world_status(w).state != RELAY_FILLING);
    world_turn_until_settled(w);
    world_fini(w);
}

static void
flush_some(struct world *w)
{
    w->on_saved = NULL;
    world_log(w, 100, 0);
    machine_flush(&w->m);
}

UNIT_TEST(test_samples_stored_while_a_replay_begins_arrive)
{
    struct world *w = &the_world;
    world_init(w, 9);
    world_open(w);
    world_log(w, 300, 0);
    world_turn_until_settled(w);
    machine_flush(&w->m);
    world_turn(w, 50);
    must(relay_replay(w->relay, world_sent_ms(SAMPLES_MAX), &w->m.why));
    w->on_saved = flush_some;
    world_turn(w, 5);
    assert_null(w->on_saved);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

/* Begins on a machine that keeps only the log. */
static void
begin_without_store(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    w->without_store = true;
    w->settings.log_budget_bytes = BUDGET_BYTES;
    machine_close(&w->m);
    w->m.options.log_only = true;
    w->m.options.wal_budget_bytes = w->m.limits.wal_budget_bytes = 4 * WAL_SEGMENT_BYTES_MIN;
    machine_must_open(&w->m);
    world_open(w);
}

UNIT_TEST(test_without_a_store_queued_samples_stay_and_writes_must_wait)
{
    struct world *w = &the_world;
    begin_without_store(w, 6);
    assert_false(world_status(w).full);
    stand_still(w, 20, 900);
    world_turn(w, 50);
    assert_true(world_status(w).full);
    assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
    world_crash(w);
    must(tsdb_maintain(w->m.db, &w->m.why));
    world_turn_until_settled(w);
    world_turn(w, 2);
    assert_false(world_status(w).full);
    world_check_account(w);
    machine_flush(&w->m);
    struct ledger ledger = machine_ledger(&w->m, "anonymous");
    assert_int_equal(ledger.count[LEDGER_FLOAT][LEDGER_PASSED_ON], w->count);
    assert_int_equal(ledger.pending[LEDGER_FLOAT], 0);
    world_remove(w);
    machine_verified_restart(&w->m);
    world_fini(w);
}

UNIT_TEST(test_without_a_store_the_oldest_are_dropped_if_that_is_wanted)
{
    struct world *w = &the_world;
    begin_without_store(w, 7);
    w->settings.on_full = ON_FULL_DROP_OLDEST;
    w->drops = true;
    stand_still(w, 60, 900);
    world_turn(w, 50);
    assert_false(world_status(w).full);
    world_turn_until_settled(w);
    struct relay_status s = world_status(w);
    uint64_t there = 0;
    for (uint32_t i = 0; i < w->count; i++)
        there += w->sent[i].delivered;
    const uint64_t *fates = s.fates.count[ITEM_FLOAT];
    assert_true(fates[FATE_DROPPED + DROP_LOG_BUDGET] > w->count / 2);
    /* Some arrived, but the answer was lost. */
    assert_in_range(fates[FATE_DELIVERED], there / 2, there);
    assert_int_equal(fates[FATE_DELIVERED] + fates[FATE_DEAD_LETTERED] +
                         fates[FATE_DROPPED + DROP_LOG_BUDGET],
                     w->count);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    assert_true(w->sent[w->count - 2].delivered || w->sent[w->count - 2].poison);
    struct wal_stats log;
    wal_stats(tsdb_wal(w->m.db), &log);
    assert_true(log.segment_count <= 4);
    world_fini(w);
}

UNIT_TEST(test_without_a_store_who_is_paused_drops_the_oldest_too)
{
    struct world *w = &the_world;
    begin_without_store(w, 7);
    w->settings.on_full = ON_FULL_DROP_OLDEST;
    w->drops = true;
    relay_wish(w->relay, true);
    world_turn(w, 2);
    stand_still(w, 60, 900);
    world_turn(w, 50);
    struct relay_status s = world_status(w);
    assert_int_equal(s.state, RELAY_PAUSED);
    assert_false(s.full);
    assert_true(s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_LOG_BUDGET] > w->count / 2);
    assert_int_equal(w->calls, 0);
    assert_true(s.behind_ms > 0);
    struct wal_stats log;
    wal_stats(tsdb_wal(w->m.db), &log);
    assert_true(log.segment_count <= 4);
    relay_wish(w->relay, false);
    world_turn_until_settled(w);
    assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
    world_fini(w);
}

/* Merges parts now and then, so that they extend beyond the missing samples. */
static void
merge_some(struct world *w)
{
    struct tsdb_merge_options merge = {.mode =
                                           world_happens(w, 30) ? TSDB_MERGE_FULL : TSDB_MERGE_DUE};
    struct tsdb_merge_result merged;
    must(tsdb_merge(w->m.db, &merge, &merged, &w->m.why));
}

UNIT_TEST(test_whatever_happens_while_the_store_is_read_everything_arrives)
{
    struct world *w = &the_world;
    for (uint64_t seed = 100; seed < 130; seed++) {
        world_init(w, seed);
        w->settings.start = seed % 3 == 0 ? START_BEGINNING : START_NOW;
        w->settings.log_budget_bytes = BUDGET_BYTES;
        w->m.limits.wal_budget_bytes = 32 * WAL_SEGMENT_BYTES_MIN;
        tsdb_set_limits(w->m.db, &w->m.limits);
        w->may_repeat = true;
        w->refusal = seed % 2 == 0 ? REFUSAL_OF_CALL : REFUSAL_BY_ENTRY;
        w->limits.one_of_a_series = w->refusal == REFUSAL_BY_ENTRY;
        w->settings.concurrency = (uint32_t)(1 + seed % 5);
        world_open(w);
        for (unsigned i = 0; i < 120; i++) {
            bool dead = rng_below(&w->rng, 100) < 70;
            w->moods = (struct moods){.retry = dead ? 100 : 10, .throttle = 5, .again = 5};
            if (w->limits.one_of_a_series) w->moods.mixed = 30;
            world_log(w, (uint32_t)rng_below(&w->rng, 500), 2);
            world_turn(w, (uint32_t)rng_below(&w->rng, 20));
            if (world_happens(w, 8)) world_crash(w);
            if (world_happens(w, 30)) machine_flush(&w->m);
            if (world_happens(w, 10)) merge_some(w);
            must(tsdb_maintain(w->m.db, &w->m.why));
        }
        w->moods = (struct moods){0};
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

UNIT_TEST(test_every_allocation_may_fail_while_the_store_is_read)
{
    struct world *w = &the_world;
    for (uint64_t nth = 1; nth < 600; nth += 1 + nth / 30) {
        world_init(w, nth);
        w->settings.start = START_BEGINNING;
        w->refusal |= REFUSAL_OF_CALL;
        world_log(w, 900, 3);
        machine_flush(&w->m);
        world_open(w);
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
        cmocka_unit_test_teardown(
            test_who_begins_at_the_beginning_is_given_the_store_and_then_the_log, tell_seed),
        cmocka_unit_test_teardown(test_samples_too_old_for_the_destination_are_dropped_and_counted,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_letter_that_is_too_old_after_a_crash_is_removed,
                                  tell_seed),
        cmocka_unit_test_teardown(test_calls_with_one_sample_of_a_series_are_made_of_many_series,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_the_store_is_given_no_faster_than_wanted_and_the_log_as_it_comes, tell_seed),
        cmocka_unit_test_teardown(test_who_begins_now_is_given_all_since_it_was_named, tell_seed),
        cmocka_unit_test_teardown(test_who_begins_at_a_time_is_given_what_is_not_older, tell_seed),
        cmocka_unit_test_teardown(
            test_who_stood_still_for_too_long_is_given_the_rest_from_the_store, tell_seed),
        cmocka_unit_test_teardown(test_everything_is_sent_if_the_log_is_gone_before_it_is_counted,
                                  tell_seed),
        cmocka_unit_test_teardown(test_repeats_that_were_not_delivered_do_not_lessen_what_was,
                                  tell_seed),
        cmocka_unit_test_teardown(test_it_waits_while_it_is_paused_too, tell_seed),
        cmocka_unit_test_teardown(test_samples_deleted_in_the_meantime_are_dropped_and_counted,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_replay_sends_stored_samples_from_a_time_on, tell_seed),
        cmocka_unit_test_teardown(test_a_replay_that_could_not_begin_begins_later, tell_seed),
        cmocka_unit_test_teardown(test_samples_stored_while_a_replay_begins_arrive, tell_seed),
        cmocka_unit_test_teardown(test_the_log_is_followed_again_when_no_request_is_pending,
                                  tell_seed),
        cmocka_unit_test_teardown(test_without_a_store_queued_samples_stay_and_writes_must_wait,
                                  tell_seed),
        cmocka_unit_test_teardown(test_without_a_store_the_oldest_are_dropped_if_that_is_wanted,
                                  tell_seed),
        cmocka_unit_test_teardown(test_without_a_store_who_is_paused_drops_the_oldest_too,
                                  tell_seed),
        cmocka_unit_test_teardown(test_whatever_happens_while_the_store_is_read_everything_arrives,
                                  tell_seed),
        cmocka_unit_test_teardown(test_every_allocation_may_fail_while_the_store_is_read,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
