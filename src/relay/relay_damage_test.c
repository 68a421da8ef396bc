/*
 * relay_damage_test.c - damaged records of the log: the store has their samples, and without a
 * store they are counted.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"

/* Delivers some samples, queues more, and damages some of their records. */
static uint32_t
begin(struct world *w, enum wal_type type, unsigned records)
{
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    for (unsigned i = 0; i < 5; i++) {
        world_log(w, 300, 2);
        world_turn_until_settled(w);
    }
    world_turn(w, 20);
    uint64_t pos = wal_end(tsdb_wal(w->m.db));
    w->moods = (struct moods){.retry = 100};
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 400, 0);
        world_turn(w, 1);
    }
    uint32_t lost = world_spoil_log(w, pos, type, records);
    assert_true(type != WAL_FLOATS || lost > 0);
    return lost;
}

static void
go_on(struct world *w)
{
    w->moods = (struct moods){0};
    for (unsigned i = 0; i < 3000 && (i < 100 || !world_is_settled(w)); i++) {
        if (i == 20) world_log(w, 400, 0);
        world_turn(w, 1);
        if (tsdb_flush_due(w->m.db)) machine_flush(&w->m);
    }
    assert_true(world_is_settled(w));
    world_turn(w, 30);
}

UNIT_TEST(test_without_a_store_what_cannot_be_read_is_counted)
{
    struct world *w = &the_world;
    for (unsigned records = 1; records <= 4; records++) {
        world_init(w, records);
        w->without_store = true;
        machine_close(&w->m);
        w->m.options.log_only = true;
        machine_must_open(&w->m);
        uint32_t lost = begin(w, WAL_FLOATS, records);
        world_crash(w);
        w->drops = true;
        go_on(w);
        for (unsigned again = 0; again < 2; again++) { /* counted once */
            struct relay_status s = world_status(w);
            const uint64_t *fates = s.fates.count[ITEM_FLOAT];
            assert_int_equal(fates[FATE_DROPPED + DROP_DAMAGED], lost);
            assert_int_equal(s.taken[ITEM_FLOAT], w->count);
            assert_int_equal(fates_settled(&s.fates, ITEM_FLOAT), w->count);
            world_crash(w);
            world_turn_until_settled(w);
        }
        world_fini(w);
    }
}

UNIT_TEST(test_the_store_gives_what_the_log_has_no_more)
{
    struct world *w = &the_world;
    for (unsigned seed = 1; seed <= 6; seed++) {
        world_init(w, seed);
        w->may_repeat = true;
        if (seed == 1) { /* reading was before it, and does not begin again */
            world_open(w);
            w->refusal |= REFUSAL_OF_CALL;
            world_log(w, 300, 2);
            world_turn_until_settled(w);
            w->settings.paused = true;
            must(relay_close(w->relay, &w->m.why));
            w->relay = NULL;
            world_remove(w);
            world_open(w);
            uint64_t pos = wal_end(tsdb_wal(w->m.db));
            world_log(w, 900, 0);
            world_log(w, 900, 0);
            world_spoil_log(w, pos, WAL_FLOATS, 1);
            relay_wish(w->relay, false);
        } else {
            begin(w, WAL_FLOATS, seed);
            world_turn(w, 30); /* all queued samples were counted before the damage */
            machine_flush(&w->m);
            world_crash(w);
        }
        go_on(w);
        world_check_account(w);
        assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED], 0);
        world_fini(w);
    }
}

UNIT_TEST(test_the_store_gives_what_was_refused_and_the_log_has_no_more)
{
    struct world *w = &the_world;
    for (unsigned seed = 0; seed < 6; seed++) {
        world_init(w, 20 + seed);
        w->refusal = REFUSAL_OF_CALL | REFUSAL_SAYS_ALL;
        w->may_repeat = true;
        if (seed % 2 == 1) w->refusal |= REFUSAL_FINAL;
        w->settings.batch.max_age_ms = 1;
        w->moods = (struct moods){.retry = 100};
        world_open(w);
        world_turn(w, 20);
        uint64_t pos = wal_end(tsdb_wal(w->m.db));
        world_log(w, 400, 100);
        world_turn(w, 20);
        world_spoil_log(w, pos, WAL_FLOATS, 1);
        if (seed >= 4) { /* refused and not noted, before the store has it */
            w->moods = (struct moods){0};
            world_turn(w, 5);
            assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 0);
        }
        for (uint32_t i = 0; i < w->count; i++)
            w->sent[i].refused = false; /* sent again, from the store, in other calls */
        w->refusal &= ~(unsigned)REFUSAL_FINAL;
        go_on(w);
        world_check_account(w);
        assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED], 0);
        world_fini(w);
    }
}

/* After a restart, the head lacks the samples that the log lost. */
UNIT_TEST(test_samples_missing_from_log_and_store_are_counted)
{
    struct world *w = &the_world;
    for (unsigned records = 1; records <= 4; records++) {
        world_init(w, 10 + records);
        uint32_t lost = begin(w, WAL_FLOATS, records);
        world_crash(w);
        w->drops = true;
        go_on(w);
        struct relay_status s = world_status(w);
        const uint64_t *fates = s.fates.count[ITEM_FLOAT];
        assert_int_equal(fates[FATE_DROPPED + DROP_DAMAGED], lost);
        assert_int_equal(s.taken[ITEM_FLOAT], w->count);
        assert_int_equal(fates_settled(&s.fates, ITEM_FLOAT), w->count);
        world_fini(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_store_what_cannot_be_read_is_counted),
        cmocka_unit_test(test_the_store_gives_what_the_log_has_no_more),
        cmocka_unit_test(test_the_store_gives_what_was_refused_and_the_log_has_no_more),
        cmocka_unit_test(test_samples_missing_from_log_and_store_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
