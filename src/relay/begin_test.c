/*
 * begin_test.c - a destination whose state cannot be read stays closed and holds the log until an
 * operator decides where it continues; its counters then continue, too, also after the log was
 * lost.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"
#include "relay/state/directory.h"

/* Begins without a store: some samples are delivered, more are queued, and the server
 * is stopped. */
static void
begin(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    w->without_store = true;
    machine_close(&w->m);
    w->m.options.log_only = true;
    machine_must_open(&w->m);
    world_open(w);
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 300, 2);
        world_turn_until_settled(w);
        world_turn(w, 20);
    }
    w->moods = (struct moods){.retry = 100};
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 300, 2);
        world_turn(w, 10);
    }
    must(relay_close(w->relay, &w->m.why));
    w->relay = NULL;
    world_remove(w);
    w->moods = (struct moods){0};
}

static enum err
open_spoilt(struct world *w)
{
    world_options(w);
    if (w->guard == NULL) must(relay_guard_new(&w->options, NULL, &w->guard, &w->m.why));
    w->options.guard = w->guard;
    return relay_open(&w->options, &w->relay, &w->m.why);
}

/* Checks that the log keeps the records from `pos` on, whatever arrives and is delivered. */
static void
check_held(struct world *w, uint64_t pos)
{
    assert_int_equal(open_spoilt(w), ERR_CORRUPT);
    assert_non_null(strstr(w->m.why.text, "firekeep destinations reset there"));
    assert_true(relay_guard_pos(w->guard) <= pos);
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 900, 2);
        machine_flush(&w->m);
        must(tsdb_maintain(w->m.db, &w->m.why));
    }
    assert_true(w->shown.taken[ITEM_FLOAT] > 0);
    struct wal_stats stats;
    wal_stats(tsdb_wal(w->m.db), &stats);
    assert_true(stats.begin_pos <= pos);
    assert_int_equal(open_spoilt(w), ERR_CORRUPT);
}

static void
decide_from(struct world *w, struct reset reset)
{
    must(reset_put(w->m.env, "relay/there", &reset, &w->m.why));
    must(open_spoilt(w));
    assert_int_equal(reset_read(w->m.env, "relay/there", &reset, NULL), ERR_MISSING);
}

static void
decide(struct world *w, enum reset_from from)
{
    decide_from(w, (struct reset){.from = from});
}

UNIT_TEST(test_pending_items_are_held_and_resume_from_the_previous_state)
{
    struct world *w = &the_world;
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        begin(w, 1 + damaged);
        struct relay_state last = world_state(w);
        if (damaged)
            must(env_write_whole(w->m.env, "relay/there", "state", text("FKRELAY"), &w->m.why));
        else
            must(env_unlink(w->m.env, "relay/there/state", &w->m.why));
        must(env_syncdir(w->m.env, "relay/there", &w->m.why));
        check_held(w, last.cursor.pos);
        world_crash_closed(w);
        check_held(w, last.cursor.pos);
        decide(w, RESET_PREVIOUS);
        w->may_repeat = true;
        world_turn_until_settled(w);
        for (uint32_t i = 0; i < w->count; i++)
            w->sent[i].dead = false;
        world_check_account(w);
        world_fini(w);
    }
}

/* Queued samples count as taken before any of them is read again. */
UNIT_TEST(test_counters_never_decrease_after_a_reset_to_the_previous_state)
{
    struct world *w = &the_world;
    begin(w, 6);
    must(env_unlink(w->m.env, "relay/there/state", &w->m.why));
    assert_int_equal(open_spoilt(w), ERR_CORRUPT);
    decide(w, RESET_PREVIOUS);
    world_check_shown(w);
    assert_true(world_status(w).shown.fates.count[ITEM_FLOAT][FATE_OPEN] > 0);
    world_fini(w);
}

UNIT_TEST(test_from_now_on_counts_what_waits_as_dropped)
{
    struct world *w = &the_world;
    begin(w, 3);
    struct relay_state last = world_state(w);
    must(env_unlink(w->m.env, "relay/there/state", &w->m.why));
    check_held(w, last.cursor.pos);
    uint32_t before = w->count;
    w->drops = true;
    decide(w, RESET_NOW);
    world_log(w, 500, 0);
    world_turn_until_settled(w);
    struct relay_status s = world_status(w);
    const uint64_t *fates = s.fates.count[ITEM_FLOAT];
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    assert_true(fates[FATE_DROPPED + DROP_BY_OPERATOR] >= before - 3000);
    for (uint32_t i = before; i < w->count; i++)
        assert_true(w->sent[i].delivered || i % 1000 == 999);
    world_fini(w);
}

/* Returns the previous state, without its texts. */
static struct relay_state
previous(struct world *w)
{
    struct buf memory;
    struct relay_state state;
    buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
    must(relay_state_read_previous(w->m.env, "relay/there", &memory, &state, &w->m.why));
    buf_fini(&memory);
    return state;
}

/* Samples that the previous state had settled stay settled; all that the log accepted since are
 * dropped, except those that are letters already. */
UNIT_TEST(test_from_a_time_on_counts_what_waits_as_dropped)
{
    struct world *w = &the_world;
    begin(w, 6);
    must(env_unlink(w->m.env, "relay/there/state", &w->m.why));
    struct relay_state last = previous(w);
    check_held(w, last.cursor.pos);
    uint32_t before = w->count;
    w->drops = true;
    decide_from(w, (struct reset){.from = RESET_TIME, .from_ms = world_sent_ms(before)});
    world_log(w, 500, 0);
    world_turn_until_settled(w);
    for (unsigned again = 0; again < 2; again++) {
        struct relay_status s = world_status(w);
        const uint64_t *fates = s.fates.count[ITEM_FLOAT];
        uint64_t letters =
            fates[FATE_DEAD_LETTERED] - last.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
        assert_int_equal(s.taken[ITEM_FLOAT], w->count);
        assert_int_equal(fates[FATE_DROPPED + DROP_BY_OPERATOR],
                         before - last.taken[ITEM_FLOAT] - letters);
        assert_int_equal(fates_dropped(&s.fates, ITEM_FLOAT),
                         fates[FATE_DROPPED + DROP_BY_OPERATOR]);
        world_turn(w, 30);
        world_crash(w);
        world_turn_until_settled(w);
    }
    world_fini(w);
}

UNIT_TEST(test_from_now_on_counts_what_the_store_was_to_give_as_dropped)
{
    struct world *w = &the_world;
    world_init(w, 9);
    w->settings.log_budget_bytes = 16 * 1024;
    world_open(w);
    world_log(w, 300, 0);
    world_turn_until_settled(w);
    w->moods = (struct moods){.retry = 100};
    for (unsigned i = 0; i < 20; i++) {
        world_log(w, 900, 0);
        world_turn(w, 10);
        machine_flush(&w->m);
    }
    world_turn(w, 200);
    relay_wish(w->relay, true); /* saves it */
    world_turn(w, 30);
    world_remove(w);
    must(env_unlink(w->m.env, "relay/there/state", &w->m.why));
    assert_true(previous(w).fill.active);
    uint32_t before = w->count;
    w->drops = true;
    decide(w, RESET_NOW);
    w->moods = (struct moods){0};
    relay_wish(w->relay, false);
    world_log(w, 500, 0);
    world_turn_until_settled(w);
    struct relay_status s = world_status(w);
    const uint64_t *fates = s.fates.count[ITEM_FLOAT];
    uint64_t letters = fates[FATE_DEAD_LETTERED];
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
    assert_int_equal(fates[FATE_DROPPED + DROP_BY_OPERATOR], before - 300 - letters);
    assert_int_equal(fates_dropped(&s.fates, ITEM_FLOAT), before - 300 - letters);
    world_fini(w);
}

UNIT_TEST(test_without_any_state_the_oldest_there_is_can_be_given)
{
    struct world *w = &the_world;
    begin(w, 4);
    must(env_unlink(w->m.env, "relay/there/state", &w->m.why));
    must(env_unlink(w->m.env, "relay/there/state.previous", &w->m.why));
    assert_int_equal(open_spoilt(w), ERR_CORRUPT);
    struct reset reset = {.from = RESET_PREVIOUS};
    must(reset_put(w->m.env, "relay/there", &reset, &w->m.why));
    assert_int_equal(open_spoilt(w), ERR_MISSING);
    w->may_repeat = w->forgets_shown = true;
    decide(w, RESET_OLDEST);
    world_turn_until_settled(w);
    for (uint32_t i = 0; i < w->count; i++)
        assert_true(w->sent[i].delivered || w->sent[i].poison || i % 1000 == 999);
    struct relay_status s = world_status(w);
    assert_int_equal(s.taken[ITEM_FLOAT], fates_settled(&s.fates, ITEM_FLOAT));
    world_fini(w);
}

/* A dry run keeps the destination's position for the time after it. */
UNIT_TEST(test_a_dry_run_leaves_what_waits)
{
    struct world *w = &the_world;
    begin(w, 5);
    uint64_t pos = world_state(w).cursor.pos;
    w->settings.dry_run = true; /* it has its own account, and counters do not decrease */
    world_open(w);
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 900, 2);
        world_turn(w, 50);
        machine_flush(&w->m);
        must(tsdb_maintain(w->m.db, &w->m.why));
        assert_int_equal(world_status(w).state, RELAY_DRY_RUN);
        assert_true(world_status(w).memory_bytes > 0);
    }
    struct wal_stats stats;
    wal_stats(tsdb_wal(w->m.db), &stats);
    assert_true(stats.begin_pos <= pos);
    struct relay_guard *before = w->guard;
    relay_free(w->relay);
    w->settings.dry_run = false;
    must(relay_guard_new(&w->options, before, &w->guard, &w->m.why));
    relay_guard_free(before);
    world_open(w);
    world_turn_until_settled(w);
    world_check_account(w);
    world_fini(w);
}

/* --- the state of a writer -------------------------------------------------------------------- */

static char given_state[32]; /* to the writer that was made last */

static enum err
init_with_state(struct writer *w, struct why *why)
{
    struct bytes saved = w->base.options.saved;
    snprintf(given_state, sizeof given_state, "%.*s", (int)saved.size, (const char *)saved.at);
    return fake_init(w, why);
}

static void
save_state(const struct writer *w, struct buf *to)
{
    (void)w;
    buf_put_text(to, "state");
}

UNIT_TEST(test_the_state_of_a_writer_is_not_given_to_one_of_another_type)
{
    struct world *w = &the_world;
    struct writer_class class = fake_writer;
    class.init = init_with_state;
    class.save = save_state;
    world_init(w, 11);
    w->writer = &class;
    w->settings.type = DESTINATION_S3;
    for (unsigned i = 0; i < 3; i++) {
        if (i == 2) w->settings.type = DESTINATION_FILE;
        world_open(w);
        assert_string_equal(given_state, i == 1 ? "state" : "");
        world_log(w, 100, 0);
        world_turn_until_settled(w);
        sim_env_advance_ns(w->m.sim, 2 * NS_PER_S);
        world_turn(w, 20); /* it is saved */
        world_crash_closed(w);
    }
    world_fini(w);
}

/* --- the log is lost -------------------------------------------------------------------------- */

static void
turn_until_counted(struct world *w)
{
    for (unsigned i = 0; i < 1000 && world_state(w).counted[ITEM_FLOAT] < w->count; i++)
        world_turn(w, 1);
    assert_int_equal(world_state(w).counted[ITEM_FLOAT], w->count);
}

/* Delivers some samples; `waiting` more are queued, and the state is saved. */
static void
begin_with_a_store(struct world *w, uint64_t seed, uint32_t waiting)
{
    world_init(w, seed);
    world_open(w);
    world_log(w, 300, 0);
    world_turn_until_settled(w);
    machine_flush(&w->m);
    relay_wish(w->relay, true);
    world_turn(w, 2);
    world_log(w, waiting, 0);
    turn_until_counted(w);
    machine_flush(&w->m);
}

/* Removes the log while the server is down; then all goes on. */
static void
lose_the_log(struct world *w)
{
    world_remove(w);
    machine_close(&w->m);
    must(env_remove_tree(w->m.env, STORE_DIR "/wal", NULL));
    machine_must_open(&w->m);
    world_open(w);
    relay_wish(w->relay, false);
    world_turn_until_settled(w);
    assert_int_equal(w->fills, 1);
}

UNIT_TEST(test_items_after_the_saved_state_count_as_taken_if_the_log_is_lost)
{
    struct world *w = &the_world;
    begin_with_a_store(w, 10, 400);
    world_log(w, 250, 0);
    machine_flush(&w->m);
    lose_the_log(w);
    world_check_account(w); /* none of it is a repeat */
    world_fini(w);
}

UNIT_TEST(test_items_of_a_lost_log_are_dropped_for_the_reason_of_the_store)
{
    struct world *w = &the_world;
    struct selector selector;
    struct tsdb_deletion deletion;
    uint32_t deleted = 0;
    begin_with_a_store(w, 11, 400);
    for (uint32_t i = 300; i < w->count; i++)
        deleted += w->sent[i].series < 10;
    assert_true(deleted > 0);
    must(selector_parse(text("{name=~\"s[0-9]\"}"), &selector, &w->m.why));
    must(tsdb_delete(w->m.db, text("anonymous"), &selector, 1, INT64_MIN, INT64_MAX, &deletion,
                     &w->m.why));
    world_log(w, 100, 0); /* no part of the store has them */
    turn_until_counted(w);
    lose_the_log(w);
    for (unsigned again = 0; again < 2; again++) {
        struct relay_status s = world_status(w);
        const uint64_t *fates = s.fates.count[ITEM_FLOAT];
        assert_int_equal(fates[FATE_DROPPED + DROP_DELETED], deleted);
        assert_int_equal(fates[FATE_DROPPED + DROP_DAMAGED], 100);
        assert_int_equal(fates[FATE_DELIVERED], w->count - 100 - deleted);
        assert_int_equal(s.taken[ITEM_FLOAT], w->count);
        world_turn(w, 30);
        world_crash(w);
        world_turn(w, 30);
    }
    world_fini(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pending_items_are_held_and_resume_from_the_previous_state),
        cmocka_unit_test(test_counters_never_decrease_after_a_reset_to_the_previous_state),
        cmocka_unit_test(test_from_now_on_counts_what_waits_as_dropped),
        cmocka_unit_test(test_from_a_time_on_counts_what_waits_as_dropped),
        cmocka_unit_test(test_from_now_on_counts_what_the_store_was_to_give_as_dropped),
        cmocka_unit_test(test_without_any_state_the_oldest_there_is_can_be_given),
        cmocka_unit_test(test_a_dry_run_leaves_what_waits),
        cmocka_unit_test(test_the_state_of_a_writer_is_not_given_to_one_of_another_type),
        cmocka_unit_test(test_items_after_the_saved_state_count_as_taken_if_the_log_is_lost),
        cmocka_unit_test(test_items_of_a_lost_log_are_dropped_for_the_reason_of_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
