/*
 * wal_fault_test.c - every call of the machine and every allocation may fail: acknowledged records
 * stay, others are void, and the log recovers.
 */
#include "lib/test.h"
#include "lib/wal_rig.h"

/*
 * Uses all of a log's functions. Failed calls are repeated, as the program does, except opening,
 * which is fatal there. Returns false if it failed.
 */
static bool
live(struct wal_rig *rig, unsigned steps)
{
    if (rig->wal == NULL && wal_rig_open(rig) != OK) return false;
    for (unsigned i = 0; i < steps; i++) {
        if (wal_is_down(rig->wal)) {
            assert_int_equal(wal_put(rig->wal, WAL_LEDGER, bytes_of("x", 1), false), ERR_AGAIN);
            assert_int_equal(wal_reserve(rig->wal, 8, NULL), ERR_AGAIN);
            assert_false(wal_take(rig->wal));
            if (wal_rig_reopen(rig) != OK) continue;
        }
        enum err e = OK;
        for (unsigned k = 0; e == OK && k < 1 + i % 7; k++)
            e = wal_rig_put(rig);
        uint64_t durable = wal_durable_epoch(rig->wal), end = wal_end(rig->wal);
        uint64_t epoch = wal_filling(rig->wal).epoch;
        bool something = rig->next_id > rig->batch_first_id;
        e = wal_rig_commit(rig);
        assert_int_equal(wal_is_down(rig->wal), e != OK);
        if (e != OK) {
            assert_int_equal(wal_durable_epoch(rig->wal), durable);
            assert_int_equal(wal_end(rig->wal), end);
        } else if (something) {
            assert_int_equal(wal_durable_epoch(rig->wal), epoch);
        }
        if (i % 5 == 2) err_ignore(wal_prepare(rig->wal, NULL), "tried again");
        if (i % 6 == 5) {
            if (wal_end(rig->wal) > rig->store_pos && rig->commit_count > 20) rig->store_pos = end;
            err_ignore(wal_trim(rig->wal, rig->store_pos, NULL), "tried again");
        }
    }
    return true;
}

/* Cuts the power or kills; then a healthy life must find everything. */
static void
end_well(struct wal_rig *rig, bool power)
{
    if (power) sim_env_power_loss(rig->sim);
    if (!power) sim_env_kill(rig->sim);
    wal_rig_close(rig);
    fault_env_arm(rig->fe, (struct fault){FAULT_EIO, 0, false});
    enum err e = wal_rig_open(rig);
    if (e) fail_msg("%s", rig->why.text);
    assert_true(live(rig, 12));
    uint32_t committed = 0;
    for (uint32_t i = 0; i < rig->commit_count; i++)
        committed += rig->commits[i].fate == FATE_COMMITTED;
    assert_true(committed > 0);
    wal_rig_power_loss(rig);
    must(wal_rig_open(rig));
}

static bool
run_with_fault(uint64_t seed, struct fault fault, bool power)
{
    struct wal_rig rig;
    wal_rig_init(&rig, seed);
    fault_env_arm(rig.fe, fault);
    live(&rig, 50);
    bool fired = fault_env_fired(rig.fe);
    /* Faults that only make calls repeat have no effect. */
    if (fault.kind == FAULT_EINTR || fault.kind == FAULT_SHORT)
        for (uint32_t i = 0; i < rig.commit_count; i++)
            assert_int_equal(rig.commits[i].fate, FATE_COMMITTED);
    end_well(&rig, power);
    wal_rig_fini(&rig);
    return fired;
}

static void
try_all_sites(bool forever)
{
    for (enum fault_kind kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        uint64_t nth = 1;
        while (run_with_fault(400 + nth % 5, (struct fault){kind, nth, forever}, nth % 3 > 0))
            nth++;
        assert_true(nth > 40);
    }
}

UNIT_TEST(test_any_one_call_may_fail_once_in_any_way)
{
    try_all_sites(false);
}

UNIT_TEST(test_any_call_may_fail_from_then_on_in_any_way)
{
    try_all_sites(true);
}

UNIT_TEST(test_any_allocation_may_fail)
{
    for (unsigned forever = 0; forever < 2; forever++) {
        for (uint64_t nth = 1;; nth++) {
            struct wal_rig rig;
            wal_rig_init(&rig, 410);
            mem_fail_nth(nth, forever);
            live(&rig, 40);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            end_well(&rig, nth % 2);
            wal_rig_fini(&rig);
            if (!fired) break;
        }
    }
}

UNIT_TEST(test_memory_is_taken_from_the_budget_and_given_back)
{
    struct budget budget;
    budget_init(&budget, "wal", 0, NULL);
    struct wal_rig rig;
    wal_rig_init(&rig, 411);
    rig.options.memory = &budget;
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 100);
    assert_true(budget_used(&budget) > 0);
    assert_true(budget_used(&budget) < 1024 * 1024);
    wal_rig_restart(&rig);
    wal_rig_close(&rig);
    assert_int_equal(budget_used(&budget), 0);
    atomic_store(&budget.limit_bytes, 50 * 1024);
    assert_int_equal(wal_rig_open(&rig), ERR_NOMEM);
    assert_int_equal(budget_used(&budget), 0);
    wal_rig_fini(&rig);
}

/* --- failed syncs ----------------------------------------------------------------------------- */

UNIT_TEST(test_a_failed_commit_is_void_although_its_bytes_are_there)
{
    for (unsigned end = 0; end < 3; end++) {
        struct wal_rig rig;
        wal_rig_init(&rig, 420 + end);
        must(wal_rig_open(&rig));
        must(wal_prepare(rig.wal, NULL));
        wal_rig_fill(&rig, 4);
        uint64_t number = wal_last_segment(rig.wal)->number;
        wal_rig_put_many(&rig, 8);
        fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
        assert_int_equal(wal_rig_commit(&rig), ERR_IO);
        size_t size;
        uint8_t *at = wal_rig_read_file(&rig, segment_file(number), &size);
        uint64_t behind = segment_offset(wal_last_segment(rig.wal), wal_end(rig.wal));
        assert_int_not_equal(load_le64(at + behind), 0); /* it was written, and can be read */
        free(at);
        must(wal_rig_reopen(&rig));
        assert_true(wal_filling(rig.wal).segment > number);
        if (end == 1) wal_rig_fill(&rig, 3);
        if (end == 2) sim_env_power_loss(rig.sim);
        wal_rig_close(&rig);
        must(wal_rig_open(&rig)); /* check_findings(): it is void */
        assert_int_equal(rig.commits[4].fate, FATE_VOID);
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_the_batch_filled_during_a_failed_commit_is_void_too)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 423);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 2);
    wal_rig_put_many(&rig, 2);
    wal_rig_take(&rig);
    wal_rig_put_many(&rig, 3);
    must(wal_reserve(rig.wal, wal_put_bytes(100), NULL));
    fault_env_arm(rig.fe, (struct fault){FAULT_TORN, 1, false});
    assert_int_equal(wal_commit(rig.wal, NULL), ERR_IO);
    /* Reserved records can still be added, so that no request must be undone half-way. */
    uint8_t payload[100] = {0};
    must(wal_put(rig.wal, WAL_LEDGER, bytes_of(payload, sizeof payload), false));
    assert_int_equal(wal_put(rig.wal, WAL_LEDGER, bytes_of(payload, 100), false), ERR_AGAIN);
    assert_false(wal_take(rig.wal));
    uint64_t epoch = wal_filling(rig.wal).epoch;
    const struct wal_batch *filled = &rig.wal->batches[rig.wal->filling];
    uint64_t given = filled->start_pos + filled->bytes.size;
    wal_rig_forget_batch(&rig);
    must(wal_rig_reopen(&rig));
    assert_true(wal_filling(rig.wal).epoch > epoch);
    assert_true(wal_last_segment(rig.wal)->base_pos >= given); /* positions of void records, too */
    wal_rig_fill(&rig, 2);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_segments_begun_in_vain_do_not_break_the_chain)
{
    for (uint32_t before = 0; before < 3; before++) {
        struct wal_rig rig;
        wal_rig_init(&rig, 425 + before);
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, before);
        for (unsigned i = 0; i < 3; i++) {
            wal_rig_put_many(&rig, 2);
            if (i == 2) must(wal_prepare(rig.wal, NULL));
            fault_env_arm(rig.fe, (struct fault){FAULT_TORN, before == 0 && i == 0 ? 2 : 1, false});
            assert_int_equal(wal_rig_commit(&rig), ERR_IO);
            must(wal_rig_reopen(&rig));
        }
        wal_rig_fill(&rig, 2);
        struct wal_reader *reader;
        struct wal_record record;
        enum err e = OK;
        uint32_t count = 0;
        must(wal_reader_open(rig.wal, "reader", 0, &reader, NULL));
        while ((e = wal_reader_next(reader, &record, &rig.why)) == OK)
            count += record.type != WAL_SERIES;
        assert_int_equal(e, ERR_AGAIN);
        assert_true(count > before);
        wal_reader_close(reader);
        wal_rig_restart(&rig);
        wal_rig_power_loss(&rig);
        must(wal_rig_open(&rig));
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_reopening_may_fail_again_and_again_and_leaves_no_files)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct wal_rig rig;
        uint32_t before, after;
        wal_rig_init(&rig, 424);
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 3);
        if (nth % 2) must(wal_prepare(rig.wal, NULL));
        wal_rig_put_many(&rig, 1);
        fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
        assert_int_equal(wal_rig_commit(&rig), ERR_IO);
        dir_sum(&rig, &before);
        for (unsigned i = 0; i < 20; i++) {
            fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, false});
            if (wal_rig_reopen(&rig) == OK) break;
            assert_true(wal_is_down(rig.wal));
        }
        fault_env_disarm(rig.fe);
        if (wal_is_down(rig.wal)) {
            dir_sum(&rig, &after);
            assert_true(after <= before);
            must(wal_rig_reopen(&rig));
        }
        wal_rig_fill(&rig, 2);
        wal_rig_restart(&rig);
        wal_rig_fini(&rig);
    }
}

/* Acknowledged when written: a failed sync leaves these commits to the kernel, and they are
 * written again. */
UNIT_TEST(test_written_commits_behind_a_failed_sync_are_written_again)
{
    for (uint64_t seed = 430; seed < 450; seed++) {
        struct wal_rig rig;
        wal_rig_init(&rig, seed);
        rig.options.sync = WAL_SYNC_WRITTEN;
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 4);
        must(wal_sync(rig.wal, NULL));
        wal_rig_fill(&rig, 4);
        fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
        assert_int_equal(wal_sync(rig.wal, &rig.why), ERR_IO);
        assert_true(wal_is_down(rig.wal));
        must(wal_sync(rig.wal, NULL)); /* fails while the log is down */
        must(wal_rig_reopen(&rig));
        wal_rig_power_loss(&rig);
        must(wal_rig_open(&rig)); /* all eight */
        wal_rig_fini(&rig);
    }
}

/* The device fails for longer than one call: the commits are written again when it works. */
UNIT_TEST(test_written_commits_are_written_again_after_attempts_that_failed)
{
    for (uint64_t seed = 470; seed < 490; seed++) {
        struct wal_rig rig;
        wal_rig_init(&rig, seed);
        rig.options.sync = WAL_SYNC_WRITTEN;
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 4);
        must(wal_sync(rig.wal, NULL));
        wal_rig_fill(&rig, 4);
        fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, true});
        assert_int_equal(wal_sync(rig.wal, &rig.why), ERR_IO);
        assert_int_equal(wal_reopen(rig.wal, &rig.why), ERR_IO);
        assert_int_equal(wal_reopen(rig.wal, &rig.why), ERR_IO);
        fault_env_disarm(rig.fe);
        must(wal_rig_reopen(&rig));
        assert_int_equal(wal_lost_pos(rig.wal), 0);
        wal_rig_power_loss(&rig);
        must(wal_rig_open(&rig)); /* all eight */
        wal_rig_fini(&rig);
    }
}

/* The new segment is where the device works: the caller must store the lost commits elsewhere. */
UNIT_TEST(test_written_commits_that_the_device_refuses_again_are_lost_to_the_log)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 491);
    rig.options.sync = WAL_SYNC_WRITTEN;
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 4);
    uint64_t end = wal_end(rig.wal);
    fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
    assert_int_equal(wal_sync(rig.wal, &rig.why), ERR_IO);
    fault_env_arm(rig.fe, (struct fault){FAULT_TORN, 1, false});
    must(wal_rig_reopen(&rig));
    assert_true(fault_env_fired(rig.fe));
    assert_int_equal(wal_lost_pos(rig.wal), end);
    wal_rig_fill(&rig, 2);
    assert_int_equal(wal_lost_pos(rig.wal), end);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_batch_taken_before_a_sync_failed_is_not_written)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 451);
    rig.options.sync = WAL_SYNC_WRITTEN;
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 2);
    wal_rig_put_many(&rig, 2);
    wal_rig_take(&rig);
    fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
    assert_int_equal(wal_sync(rig.wal, NULL), ERR_IO);
    uint64_t writes = fault_env_calls(rig.fe, FAULT_TORN);
    assert_int_equal(wal_commit(rig.wal, &rig.why), ERR_IO);
    assert_int_equal(fault_env_calls(rig.fe, FAULT_TORN), writes);
    wal_rig_forget_batch(&rig);
    must(wal_rig_reopen(&rig));
    wal_rig_fill(&rig, 2);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

/* --- a full device ---------------------------------------------------------------------------- */

UNIT_TEST(test_a_full_device_stops_the_log_until_there_is_room_again)
{
    for (unsigned prepared = 0; prepared < 2; prepared++) {
        struct wal_rig rig;
        wal_rig_init(&rig, 460);
        must(wal_rig_open(&rig));
        if (prepared) must(wal_prepare(rig.wal, NULL));
        wal_rig_fill(&rig, 1);
        sim_env_set_capacity(rig.sim, sim_env_used_bytes(rig.sim) + 20 * 1024);
        enum err e = OK;
        while (e == OK) {
            wal_rig_put_many(&rig, 4);
            e = wal_rig_commit(&rig);
        }
        assert_int_equal(e, ERR_FULL);
        for (unsigned i = 0; i < 5; i++) {
            e = wal_is_down(rig.wal) ? wal_rig_reopen(&rig) : OK;
            if (e == OK) { /* the tail was cut off: a little more fits */
                wal_rig_put_many(&rig, 40);
                e = wal_rig_commit(&rig);
            }
            assert_int_equal(e, ERR_FULL);
            /* does nothing while the log is down */
            assert_int_equal(wal_prepare(rig.wal, NULL), OK);
        }
        wal_rig_close(&rig);
        enum err opened = wal_rig_open(&rig); /* opening needs no space */
        assert_int_equal(opened, OK);
        sim_env_set_capacity(rig.sim, UINT64_C(1) << 30);
        wal_rig_fill(&rig, 30);
        wal_rig_restart(&rig);
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_preparing_on_a_full_device_leaves_nothing_behind)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 461);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 3);
    uint64_t used = sim_env_used_bytes(rig.sim);
    sim_env_set_capacity(rig.sim, used + 30 * 1024);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wal_prepare(rig.wal, &rig.why), ERR_FULL);
        assert_int_equal(sim_env_used_bytes(rig.sim), used);
    }
    sim_env_set_capacity(rig.sim, UINT64_C(1) << 30);
    must(wal_prepare(rig.wal, NULL));
    wal_rig_fill(&rig, 50);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_segment_that_could_not_be_removed_is_removed_next_time)
{
    for (unsigned recycle = 0; recycle < 2; recycle++) {
        struct wal_rig rig;
        struct wal_stats before, after;
        wal_rig_init(&rig, 462);
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 120);
        if (!recycle) {
            must(wal_prepare(rig.wal, NULL));
            wal_set_budget(rig.wal,
                           1); /* the prepared segment is the last that the budget admits */
        }
        rig.store_pos = wal_end(rig.wal);
        wal_stats(rig.wal, &before);
        uint64_t oldest = rig.wal->list.items[0].number;
        for (unsigned i = 0; i < 3; i++) {
            fault_env_arm(rig.fe, (struct fault){FAULT_EIO, 1, false});
            assert_int_equal(wal_trim(rig.wal, rig.store_pos, NULL), ERR_IO);
            wal_stats(rig.wal, &after);
            assert_int_equal(after.segment_count, before.segment_count);
            assert_int_equal(after.segment_bytes, before.segment_bytes);
            assert_true(wal_rig_file_exists(&rig, segment_file(oldest)));
        }
        fault_env_disarm(rig.fe);
        /* another program may do it */
        must(env_unlink(rig.env, segment_file(oldest), NULL));
        must(wal_trim(rig.wal, rig.store_pos, NULL));
        wal_stats(rig.wal, &after);
        assert_int_equal(after.segment_count, 1);
        assert_int_equal(after.segments_recycled_total, recycle * PREPARED_MAX);
        wal_set_budget(rig.wal, 0);
        wal_rig_fill(&rig, 80);
        wal_rig_restart(&rig);
        wal_rig_fini(&rig);
    }
}

/* EIO is not damage: nothing may be cut off because of it. */
UNIT_TEST(test_recovery_fails_on_unreadable_devices_and_succeeds_later)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 463);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 60);
    wal_rig_close(&rig);
    uint64_t nth = 1;
    for (;; nth++) {
        fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, false});
        enum err e = wal_rig_open(&rig);
        if (!fault_env_fired(rig.fe)) break;
        if (e == OK) wal_rig_close(&rig); /* files to remove may remain */
        if (e != OK) assert_int_equal(e, ERR_IO);
    }
    assert_true(nth > 15);
    wal_rig_fini(&rig);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, wal_print_seed)
    const struct CMUnitTest tests[] = {
        claim(test_any_one_call_may_fail_once_in_any_way),
        claim(test_any_call_may_fail_from_then_on_in_any_way),
        claim(test_any_allocation_may_fail),
        claim(test_memory_is_taken_from_the_budget_and_given_back),
        claim(test_a_failed_commit_is_void_although_its_bytes_are_there),
        claim(test_the_batch_filled_during_a_failed_commit_is_void_too),
        claim(test_segments_begun_in_vain_do_not_break_the_chain),
        claim(test_reopening_may_fail_again_and_again_and_leaves_no_files),
        claim(test_written_commits_behind_a_failed_sync_are_written_again),
        claim(test_written_commits_are_written_again_after_attempts_that_failed),
        claim(test_written_commits_that_the_device_refuses_again_are_lost_to_the_log),
        claim(test_a_batch_taken_before_a_sync_failed_is_not_written),
        claim(test_a_full_device_stops_the_log_until_there_is_room_again),
        claim(test_preparing_on_a_full_device_leaves_nothing_behind),
        claim(test_a_segment_that_could_not_be_removed_is_removed_next_time),
        claim(test_recovery_fails_on_unreadable_devices_and_succeeds_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
