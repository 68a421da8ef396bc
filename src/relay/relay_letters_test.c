/*
 * relay_letters_test.c - relays whose files of dead letters are damaged while they are stopped or
 * running: the account counts lost letters once, and everything else goes on.
 */
#include "lib/test.h"

#include <inttypes.h>

#include "base/log.h"
#include "lib/relay/relay_rig.h"
#include "relay/operate/reset.h"

static const char FILE_PATH[] = "relay/there/dead-letters/00000001.letters";

static enum err
count_letter(void *context, const struct dead_letter *letter, enum dead_letter_state state)
{
    (void)letter;
    (void)state;
    ++*(uint64_t *)context;
    return OK;
}

static uint64_t
letters_on_disk(struct world *w, struct dead_letters_report *ret_report)
{
    uint64_t letters = 0;
    memset(ret_report, 0, sizeof *ret_report);
    enum err e = dead_letters_each(w->m.env, "relay/there", NULL, count_letter, &letters,
                                   ret_report, &w->m.why);
    assert_true(e == OK || e == ERR_MISSING);
    return letters;
}

static uint64_t
fate_of(struct world *w, unsigned fate)
{
    return world_status(w).fates.count[ITEM_FLOAT][fate];
}

static uint64_t
file_bytes(struct world *w)
{
    struct file file;
    uint64_t size;
    must(file_open(w->m.env, FILE_PATH, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    return size;
}

static void
close_relay(struct world *w)
{
    relay_stop(w->relay);
    while (!relay_is_idle(w->relay)) {
        world_turn(w, 1);
    }
    must(relay_close(w->relay, &w->m.why));
    w->relay = NULL;
}

/* Makes letters in several batches. */
static void
make_letters(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    for (unsigned i = 0; i < 5; i++) {
        world_log(w, 400, 5);
        world_turn_until_settled(w);
        world_turn(w, 30);
    }
    world_check_account(w);
}

/* Checks that the account agrees with the disk, and that it includes all samples taken. */
static void
check_letters(struct world *w, uint64_t dead, uint64_t lost)
{
    struct dead_letters_report report;
    world_turn(w, 60);
    struct relay_status s = world_status(w);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], dead - lost);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED], lost);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    assert_int_equal(letters_on_disk(w, &report), dead - lost);
    assert_int_equal(report.lost + report.back, 0);
}

UNIT_TEST(test_letters_lost_while_it_was_away_are_counted_once)
{
    struct world *w = &the_world;
    struct dead_letters_report report;
    for (uint64_t seed = 1; seed < 40; seed++) {
        make_letters(w, seed);
        uint64_t dead = fate_of(w, FATE_DEAD_LETTERED), size = file_bytes(w);
        close_relay(w);
        if (seed % 4 == 0) must(env_unlink(w->m.env, FILE_PATH, NULL));
        if (seed % 4 == 0) must(env_syncdir(w->m.env, "relay/there/dead-letters", NULL));
        if (seed % 4 != 0) must(sim_env_damage(w->m.sim, FILE_PATH, size * seed / 40));
        uint64_t lost = dead - letters_on_disk(w, &report);
        assert_int_equal(report.lost, lost);
        assert_true(lost > 0);
        uint64_t errors = log_count(LOG_ERROR);
        world_open(w);
        assert_int_equal(fate_of(w, FATE_DEAD_LETTERED), dead - lost);
        assert_true(log_count(LOG_ERROR) > errors);
        check_letters(w, dead, lost);
        errors = log_count(LOG_ERROR);
        world_crash(w);
        check_letters(w, dead, lost);
        assert_int_equal(log_count(LOG_ERROR), errors);
        world_fini(w);
    }
}

/* Losses found before a crash and not saved are found again. */
UNIT_TEST(test_letters_lost_are_counted_once_though_the_power_goes_at_once)
{
    struct world *w = &the_world;
    for (uint32_t steps = 0; steps < 8; steps++) {
        make_letters(w, 50 + steps);
        uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
        close_relay(w);
        must(sim_env_damage(w->m.sim, FILE_PATH, file_bytes(w) / 2));
        world_open(w);
        world_turn(w, steps);
        world_crash(w);
        check_letters(w, dead, 1);
        world_fini(w);
    }
}

UNIT_TEST(test_letters_lost_in_operation_are_counted_when_they_are_asked_for)
{
    struct world *w = &the_world;
    uint64_t asked;
    for (unsigned how = 0; how < 2; how++) {
        make_letters(w, 60 + how);
        uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
        must(dead_letters_request(w->m.env, "relay/there", NULL,
                                  how ? DEAD_LETTERS_DROP : DEAD_LETTERS_REPLAY, NULL, &asked, NULL,
                                  &w->m.why));
        assert_int_equal(asked, dead);
        must(sim_env_damage(w->m.sim, FILE_PATH, file_bytes(w) / 2));
        uint64_t errors = log_count(LOG_ERROR);
        for (uint32_t i = 0; i < w->count; i++) { /* the destination accepts them now */
            w->sent[i].poison = false;
            w->sent[i].dead = w->sent[i].delivered = true;
        }
        world_turn(w, 100);
        world_turn_until_settled(w);
        world_turn(w, 60);
        assert_int_equal(fate_of(w, FATE_DROPPED + DROP_DAMAGED), 1);
        uint64_t away = fate_of(w, how ? FATE_DROPPED + DROP_BY_OPERATOR : FATE_DELIVERED);
        uint64_t before = how ? 0 : w->count - dead, kept = fate_of(w, FATE_DEAD_LETTERED);
        assert_int_equal(away, before + dead - 1 - kept);
        assert_in_range(kept, 0, 2); /* items without a form still have none */
        assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
        assert_true(log_count(LOG_ERROR) > errors);
        world_crash(w);
        world_turn(w, 60);
        assert_int_equal(fate_of(w, FATE_DROPPED + DROP_DAMAGED), 1);
        assert_int_equal(fate_of(w, FATE_DEAD_LETTERED), kept);
        assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count);
        world_fini(w);
    }
}

/* Decisions about letters, and deliveries, are in their files before they are in the state: they
 * are counted whatever fails between, and after a power loss. */
static bool
decide_and_fail(uint64_t nth, unsigned how)
{
    struct world *w = &the_world;
    struct dead_letters_report report;
    uint64_t asked;
    make_letters(w, 80);
    uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
    enum dead_letters_wish wish = how == 0 ? DEAD_LETTERS_DROP : DEAD_LETTERS_REPLAY;
    for (uint32_t i = 0; i < w->count; i++) {
        w->sent[i].poison = false;
        w->sent[i].dead = w->sent[i].delivered = true;
    }
    if (how == 2) {
        close_relay(w);
        w->settings.dead_letters_max_bytes = 0;
        world_open(w);
    } else {
        must(dead_letters_request(w->m.env, "relay/there", NULL, wish, NULL, &asked, NULL,
                                  &w->m.why));
    }
    fault_env_arm(w->m.fe, (struct fault){FAULT_EIO, nth, true});
    world_turn(w, 100);
    bool fired = fault_env_fired(w->m.fe);
    fault_env_disarm(w->m.fe);
    world_crash(w);
    world_turn(w, 60);
    world_turn_until_settled(w);
    world_turn(w, 60);
    struct relay_status s = world_status(w);
    const uint64_t *fates = s.fates.count[ITEM_FLOAT];
    assert_int_equal(s.difference[ITEM_FLOAT], 0);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    assert_int_equal(fates[FATE_DEAD_LETTERED], letters_on_disk(w, &report));
    assert_int_equal(fates[FATE_DROPPED + DROP_DAMAGED], 0);
    if (how == 0) assert_int_equal(fates[FATE_DROPPED + DROP_BY_OPERATOR], dead);
    if (how == 1)
        assert_in_range(fates[FATE_DEAD_LETTERED], 0, 2); /* items that it cannot express */
    if (how == 2) assert_int_equal(fates[FATE_DROPPED + DROP_DEAD_LETTERS_FULL], dead);
    world_fini(w);
    return fired;
}

UNIT_TEST(test_a_decision_is_counted_even_if_no_state_was_written)
{
    for (unsigned how = 0; how < 3; how++) {
        uint64_t nth = 1;
        while (decide_and_fail(nth, how)) {
            nth++;
        }
        assert_true(nth > 20);
    }
}

/* After an operator's reset, letters are those in the files. */
UNIT_TEST(test_letters_are_counted_after_a_reset)
{
    struct world *w = &the_world;
    struct dead_letters_report report;
    uint64_t asked;
    static const enum reset_from froms[] = {RESET_PREVIOUS, RESET_NOW, RESET_OLDEST};
    for (unsigned i = 0; i < 6; i++) {
        make_letters(w, 85 + i);
        uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
        relay_wish(w->relay, true);
        world_turn(w, 30);
        must(dead_letters_request(w->m.env, "relay/there", NULL,
                                  i % 2 == 0 ? DEAD_LETTERS_REPLAY : DEAD_LETTERS_DROP, "bad",
                                  &asked, NULL, &w->m.why));
        world_turn(w, 40);
        close_relay(w);
        struct reset reset = {.from = froms[i / 2]};
        must(sim_env_damage(w->m.sim, "relay/there/state", 40));
        must(reset_put(w->m.env, "relay/there", &reset, NULL));
        world_open(w);
        relay_wish(w->relay, true);
        world_turn(w, 40);
        struct relay_status s = world_status(w);
        assert_int_equal(s.difference[ITEM_FLOAT], 0);
        uint64_t there = letters_on_disk(w, &report);
        assert_int_equal(report.lost + report.back + report.damaged, 0);
        if (froms[i / 2] != RESET_OLDEST) { /* its items are read again */
            assert_int_equal(there, i % 2 == 0 ? dead : dead - asked);
            assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED],
                             i % 2 == 0 ? dead - asked : there);
        }
        world_crash(w);
        world_turn(w, 40);
        assert_int_equal(world_status(w).difference[ITEM_FLOAT], 0);
        world_fini(w);
    }
}

/* Files in which every letter is gone are removed, without any other event. */
UNIT_TEST(test_files_of_letters_that_are_gone_go)
{
    struct world *w = &the_world;
    struct file file;
    uint64_t asked;
    make_letters(w, 90);
    must(dead_letters_request(w->m.env, "relay/there", NULL, DEAD_LETTERS_DROP, NULL, &asked, NULL,
                              &w->m.why));
    world_turn(w, 100);
    assert_int_equal(file_open(w->m.env, FILE_PATH, FILE_READ, &file, NULL), ERR_MISSING);
    world_fini(w);
}

/* The previous state does not matter: letters are neither lost nor back. */
UNIT_TEST(test_the_account_begins_with_the_letters_there_are_when_it_is_reset)
{
    struct world *w = &the_world;
    struct reset reset = {.from = RESET_NOW};
    for (unsigned drop = 0; drop < 2; drop++) {
        uint64_t asked;
        make_letters(w, 93);
        uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
        relay_wish(w->relay, true); /* saves it: then the previous state has all of them */
        world_turn(w, 60);
        if (drop) {
            must(dead_letters_request(w->m.env, "relay/there", NULL, DEAD_LETTERS_DROP, NULL,
                                      &asked, NULL, &w->m.why));
        }
        for (unsigned i = 0;
             i < 100 && drop && world_state(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED] > 0;
             i++) {
            world_turn(w, 1);
        }
        world_remove(w);
        w->forgets_shown = true;
        must(sim_env_damage(w->m.sim, "relay/there/state", 40));
        must(reset_put(w->m.env, "relay/there", &reset, NULL));
        uint64_t errors = log_count(LOG_ERROR);
        world_open(w);
        world_turn(w, 40);
        assert_int_equal(log_count(LOG_ERROR), errors);
        assert_int_equal(fate_of(w, FATE_DEAD_LETTERED), drop ? 0 : dead);
        assert_int_equal(fate_of(w, FATE_DROPPED + DROP_DAMAGED), 0);
        assert_int_equal(world_status(w).shown.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], dead);
        world_fini(w);
    }
}

static void
take_copy(struct world *w, struct buf *ret_copy)
{
    struct file file;
    uint64_t size = file_bytes(w);
    buf_init(ret_copy, NULL, 1 << 24);
    uint8_t *at = malloc(size);
    must(file_open(w->m.env, FILE_PATH, FILE_READ, &file, NULL));
    must(file_read_at(&file, at, size, 0, NULL));
    must(file_close(&file));
    buf_put_bytes(ret_copy, bytes_of(at, size));
    must(buf_error(ret_copy));
    free(at);
}

UNIT_TEST(test_letters_that_are_back_are_taken_once_more)
{
    struct world *w = &the_world;
    struct buf copy;
    struct file file;
    uint64_t asked;
    make_letters(w, 92);
    uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
    take_copy(w, &copy);
    must(dead_letters_request(w->m.env, "relay/there", NULL, DEAD_LETTERS_DROP, NULL, &asked, NULL,
                              &w->m.why));
    assert_int_equal(asked, dead);
    world_turn(w, 100);
    close_relay(w);
    must(file_open(w->m.env, FILE_PATH, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, buf_bytes(&copy), 0, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
    must(env_syncdir(w->m.env, "relay/there/dead-letters", NULL));
    world_open(w);
    for (unsigned again = 0; again < 2; again++) {
        world_turn(w, 60);
        assert_int_equal(fate_of(w, FATE_DEAD_LETTERED), dead);
        assert_int_equal(fate_of(w, FATE_DROPPED + DROP_BY_OPERATOR), dead);
        assert_int_equal(world_status(w).taken[ITEM_FLOAT], w->count + dead);
        world_crash(w);
    }
    buf_fini(&copy);
    world_fini(w);
}

/* Letters of items after the cursor stop being letters once the store sends these items. */
UNIT_TEST(test_letters_taken_back_when_the_log_is_left_are_not_lost)
{
    struct world *w = &the_world;
    uint64_t taken_back = 0;
    for (uint64_t seed = 100; seed < 110; seed++) {
        uint64_t before = 0;
        world_init(w, seed);
        w->limits.one_of_a_series = true;
        w->may_repeat = true;
        w->settings.log_budget_bytes = 16 * 1024;
        w->moods = (struct moods){.retry = 70, .mixed = 30};
        world_open(w);
        for (unsigned i = 0; i < 2000 && w->fills == 0; i++) {
            if (i % 20 == 0) world_log(w, 500, 10);
            if (i % 60 == 59) machine_flush(&w->m);
            before = fate_of(w, FATE_DEAD_LETTERED);
            world_turn(w, 1);
        }
        assert_int_equal(w->fills, 1);
        taken_back += before > fate_of(w, FATE_DEAD_LETTERED);
        uint64_t errors = log_count(LOG_ERROR);
        world_crash(w);
        assert_int_equal(log_count(LOG_ERROR), errors);
        w->moods = (struct moods){0};
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
    assert_true(taken_back > 0);
}

/* Losses are in the next state, without any other event. */
UNIT_TEST(test_the_count_of_lost_letters_is_durable_at_once)
{
    struct world *w = &the_world;
    make_letters(w, 91);
    uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
    relay_wish(w->relay, true);
    world_turn(w, 30);
    close_relay(w);
    must(sim_env_damage(w->m.sim, FILE_PATH, file_bytes(w) / 2));
    world_open(w);
    world_turn(w, 3);
    uint64_t errors = log_count(LOG_ERROR);
    world_crash(w);
    assert_int_equal(log_count(LOG_ERROR), errors);
    assert_int_equal(fate_of(w, FATE_DEAD_LETTERED), dead - 1);
    world_fini(w);
}

/* Returns the number of letters that were dropped because their files were full. */
static uint64_t
dropped_of(struct world *w)
{
    return fate_of(w, FATE_DROPPED + DROP_DEAD_LETTERS_FULL);
}

/* The clock is ahead for a while, across a start with other settings, and then right again. */
UNIT_TEST(test_a_clock_that_jumps_ahead_makes_no_letter_old)
{
    struct world *w = &the_world;
    const int64_t day_ms = 24 * 3600 * 1000;
    make_letters(w, 91);
    close_relay(w);
    w->settings.dead_letters_max_age_ms = day_ms;
    w->options.epoch_ms = env_realtime_ms(w->m.env);
    w->options.epoch_ns = env_monotonic_ns(w->m.env);
    world_open(w);
    uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
    assert_true(dead > 0);
    sim_env_set_realtime_ms(w->m.sim, env_realtime_ms(w->m.env) + 10 * day_ms);
    world_turn(w, 3000);
    assert_int_equal(dropped_of(w), 0);
    close_relay(w);
    world_open(w);
    world_turn(w, 3000);
    assert_int_equal(dropped_of(w), 0);
    sim_env_set_realtime_ms(w->m.sim, env_realtime_ms(w->m.env) - 20 * day_ms);
    world_turn(w, 3000);
    assert_int_equal(dropped_of(w), 0);
    assert_int_equal(fate_of(w, FATE_DEAD_LETTERED), dead);
    sim_env_set_realtime_ms(w->m.sim, env_realtime_ms(w->m.env) + 10 * day_ms);
    sim_env_advance_ns(w->m.sim, 3 * day_ms * NS_PER_MS);
    world_turn(w, 3000);
    assert_int_equal(dropped_of(w), dead);
    world_fini(w);
}

UNIT_TEST(test_letters_stay_though_the_log_is_gone)
{
    struct world *w = &the_world;
    struct dead_letters_report report;
    world_init(w, 70);
    w->refusal |= REFUSAL_OF_CALL;
    w->without_store = true;
    w->drops = true;
    w->settings.on_full = ON_FULL_DROP_OLDEST;
    machine_close(&w->m);
    w->m.options.log_only = true;
    w->m.options.wal_budget_bytes = w->m.limits.wal_budget_bytes = 4 * WAL_SEGMENT_BYTES_MIN;
    machine_must_open(&w->m);
    world_open(w);
    world_log(w, 900, 10);
    world_turn_until_settled(w);
    world_turn(w, 60);
    uint64_t dead = fate_of(w, FATE_DEAD_LETTERED);
    assert_true(dead > 50);
    close_relay(w);
    world_remove(w); /* no destination keeps the log */
    for (unsigned i = 0; i < 60; i++) {
        world_log(w, 900, 0);
        must(tsdb_maintain(w->m.db, &w->m.why));
        machine_flush(&w->m);
    }
    world_open(w);
    world_turn_until_settled(w);
    world_turn(w, 60);
    assert_true(letters_on_disk(w, &report) >= dead);
    assert_int_equal(letters_on_disk(w, &report), fate_of(w, FATE_DEAD_LETTERED));
    world_fini(w);
}

/* --- counters while the cursor stays ---------------------------------------------------------- */

/* Runs long enough for the state to be saved. */
static void
run_for_seconds(struct world *w, int64_t seconds)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < seconds * NS_PER_S) {
        world_turn(w, 1);
    }
}

/* Checks the shown counters; items that left a term count as taken once more. */
static void
check_shown_as_it_is(struct world *w)
{
    struct relay_status s = world_status(w);
    struct relay_state saved = world_state(w);
    const uint64_t *shown = s.shown.fates.count[ITEM_FLOAT], *is = s.fates.count[ITEM_FLOAT];
    for (unsigned fate = FATE_DELIVERED; fate < FATE_COUNT; fate++) {
        uint64_t beside = saved.beside.count[ITEM_FLOAT][fate];
        if (!fate_is_term(fate) || shown[fate] == is[fate] + beside) continue;
        fail_msg("fate %u: %" PRIu64 " shown, %" PRIu64 " and %" PRIu64 " beside", fate,
                 shown[fate], is[fate], beside);
    }
    assert_int_equal(shown[FATE_OPEN], is[FATE_OPEN]);
}

UNIT_TEST(test_items_settled_after_a_blocked_cursor_are_shown)
{
    struct world *w = &the_world;
    uint64_t dead = 0, delivered = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        world_init(w, 700 + seed);
        w->holds_first = true;
        w->refusal = seed % 2 == 0 ? REFUSAL_OF_CALL : REFUSAL_BY_ENTRY;
        w->limits.one_of_a_series = w->refusal == REFUSAL_BY_ENTRY;
        w->settings.batch.max_age_ms = 100;
        w->settings.retry.max_backoff_ms = 300;
        world_open(w);
        world_log(w, 3000, 10);
        w->sent[0].poison = false;
        run_for_seconds(w, 5);
        struct relay_status s = world_status(w);
        dead += s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
        delivered += s.fates.count[ITEM_FLOAT][FATE_DELIVERED];
        check_shown_as_it_is(w);
        for (unsigned i = 0; i < seed % 4; i++) {
            world_crash(w); /* no counter decreases */
            world_check_shown(w);
            run_for_seconds(w, 1 + i);
        }
        run_for_seconds(w, 5);
        check_shown_as_it_is(w);
        w->holds_first = false;
        world_turn_until_settled(w);
        world_check_account(w);
        check_shown_as_it_is(w);
        world_fini(w);
    }
    /* The sum is checked, since a world whose calls have one sample of a series has few dead
     * letters or none. */
    assert_true(dead > 100);
    assert_true(delivered > 1000);
}

UNIT_TEST(test_items_that_come_during_a_pause_are_shown_within_a_second)
{
    struct world *w = &the_world;
    for (uint32_t i = 0; i < 20; i++) {
        world_init(w, 760 + i);
        w->settings.paused = true;
        world_open(w);
        world_turn(w, 10 + i); /* at some time within the second */
        world_log(w, 100, 0);
        run_for_seconds(w, 1);
        world_turn(w, 2); /* it checks ten times a second */
        assert_int_equal(world_status(w).shown.taken[ITEM_FLOAT], 100);
        check_shown_as_it_is(w);
        world_fini(w);
    }
}

UNIT_TEST(test_letters_removed_for_space_after_a_resting_cursor_are_shown)
{
    struct world *w = &the_world;
    for (unsigned crashes = 0; crashes < 3; crashes++) {
        world_init(w, 730 + crashes);
        w->refusal = REFUSAL_OF_CALL | REFUSAL_SAYS_ALL;
        w->holds_first = true;
        w->settings.batch.max_age_ms = 100;
        w->settings.retry.max_backoff_ms = 300;
        w->settings.dead_letters_max_bytes = 32 * 1024;
        world_open(w);
        world_log(w, 3000, 40);
        w->sent[0].poison = false;
        for (unsigned i = 0; i < crashes; i++) {
            run_for_seconds(w, 4);
            world_crash(w);
            world_check_shown(w);
        }
        run_for_seconds(w, 5);
        struct relay_status s = world_status(w);
        assert_true(s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DEAD_LETTERS_FULL] > 100);
        assert_true(s.shown.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED] < 20000);
        check_shown_as_it_is(w);
        w->holds_first = false;
        world_turn_until_settled(w);
        run_for_seconds(w, 2);
        check_shown_as_it_is(w);
        world_fini(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_items_settled_after_a_blocked_cursor_are_shown, tell_seed),
        cmocka_unit_test_teardown(test_items_that_come_during_a_pause_are_shown_within_a_second,
                                  tell_seed),
        cmocka_unit_test_teardown(test_letters_removed_for_space_after_a_resting_cursor_are_shown,
                                  tell_seed),
        cmocka_unit_test_teardown(test_letters_lost_while_it_was_away_are_counted_once, tell_seed),
        cmocka_unit_test_teardown(test_letters_lost_are_counted_once_though_the_power_goes_at_once,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_letters_lost_in_operation_are_counted_when_they_are_asked_for, tell_seed),
        cmocka_unit_test_teardown(test_a_decision_is_counted_even_if_no_state_was_written,
                                  tell_seed),
        cmocka_unit_test_teardown(test_letters_are_counted_after_a_reset, tell_seed),
        cmocka_unit_test_teardown(test_files_of_letters_that_are_gone_go, tell_seed),
        cmocka_unit_test_teardown(test_the_count_of_lost_letters_is_durable_at_once, tell_seed),
        cmocka_unit_test_teardown(test_a_clock_that_jumps_ahead_makes_no_letter_old, tell_seed),
        cmocka_unit_test_teardown(test_letters_stay_though_the_log_is_gone, tell_seed),
        cmocka_unit_test_teardown(test_letters_that_are_back_are_taken_once_more, tell_seed),
        cmocka_unit_test_teardown(test_letters_taken_back_when_the_log_is_left_are_not_lost,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_the_account_begins_with_the_letters_there_are_when_it_is_reset, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
