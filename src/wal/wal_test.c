/*
 * wal_test.c - committed records are found again, in segments that decode alone; segments are made
 * and removed within the budget; a commit is one write and one sync.
 */
#include "lib/test.h"
#include "lib/wal_rig.h"

static struct wal_stats
stats_of(struct wal_rig *rig)
{
    struct wal_stats s;
    wal_stats(rig->wal, &s);
    return s;
}

/* --- round trips ------------------------------------------------------------------------------ */

UNIT_TEST(test_records_of_every_type_and_size_come_back_as_they_were)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 1);
    must(wal_rig_open(&rig));
    bool seen[WAL_TYPE_LAST + 1][2][2] = {0}; /* indexes: type, compression requested, large */
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t id = rig.next_id;
        seen[id_type(id)][id_compress(id)][id_size(id) >= 256] = true;
        must(wal_rig_put(&rig));
        if (wal_rig_random(&rig, 4) == 0) must(wal_rig_commit(&rig));
    }
    must(wal_rig_commit(&rig));
    for (unsigned type = WAL_FLOATS; type <= WAL_LEDGER; type++)
        for (unsigned i = 0; i < 4; i++)
            assert_true(seen[type][i / 2][i % 2]);
    wal_rig_restart(&rig);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

struct one {
    struct bytes payload;
    unsigned count;
};

static enum err
is_the_one(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    struct one *one = context;
    assert_int_equal(record->type, WAL_METADATA);
    assert_true(bytes_equal(record->payload, one->payload));
    one->count++;
    return OK;
}

UNIT_TEST(test_a_record_may_be_empty_or_as_large_as_allowed_but_no_larger)
{
    uint8_t *large = calloc(1, WAL_RECORD_BYTES_MAX + 1);
    assert_non_null(large);
    for (size_t i = 0; i < WAL_RECORD_BYTES_MAX; i++)
        large[i] = (uint8_t)(hash_mix(3, i / 8) >> (8 * (i % 8)));
    struct one ones[] = {{{NULL, 0}, 0}, {{large, WAL_RECORD_BYTES_MAX}, 0}};
    for (unsigned i = 0; i < 4; i++) {
        struct wal_rig rig;
        struct wal_damage damage;
        struct one *one = &ones[i / 2];
        one->count = 0;
        wal_rig_init(&rig, i);
        must(wal_rig_open(&rig));
        struct bytes too_large = {large, WAL_RECORD_BYTES_MAX + 1};
        assert_int_equal(wal_put(rig.wal, WAL_METADATA, too_large, i % 2), ERR_LIMIT);
        must(wal_put(rig.wal, WAL_METADATA, one->payload, i % 2));
        assert_true(wal_take(rig.wal));
        must(wal_commit(rig.wal, NULL));
        wal_rig_close(&rig);
        must(wal_open(&rig.options, &rig.wal, NULL));
        must(wal_recover(rig.wal, 0, is_the_one, one, &damage, NULL));
        assert_int_equal(one->count, 1);
        wal_rig_fini(&rig);
    }
    free(large);
}

UNIT_TEST(test_compression_is_used_only_where_it_pays)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 2);
    must(wal_rig_open(&rig));
    uint8_t noise[4096], zeros[4096] = {0};
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)wal_rig_random(&rig, 256);
    uint64_t before = stats_of(&rig).commit_bytes_total;
    must(wal_put(rig.wal, WAL_METADATA, bytes_of(noise, sizeof noise), true));
    must(wal_rig_commit(&rig));
    uint64_t noisy = stats_of(&rig).commit_bytes_total - before;
    must(wal_put(rig.wal, WAL_METADATA, bytes_of(zeros, sizeof zeros), true));
    must(wal_rig_commit(&rig));
    uint64_t dull = stats_of(&rig).commit_bytes_total - before - noisy;
    assert_true(noisy >= COMMIT_RECORD_BYTES + record_size(sizeof noise));
    assert_true(noisy < COMMIT_RECORD_BYTES + record_size(sizeof noise) + 2 * FILE_DIRECT_BYTES);
    assert_int_equal(dull, FILE_DIRECT_BYTES);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_batch_without_records_is_not_committed)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 3);
    must(wal_rig_open(&rig));
    assert_false(wal_take(rig.wal));
    must(wal_reserve(rig.wal, 1000, NULL));
    assert_false(wal_take(rig.wal));
    assert_int_equal(stats_of(&rig).segment_count, 0);
    wal_rig_put_many(&rig, 3);
    wal_rig_restart(&rig); /* uncommitted records are lost */
    assert_int_equal(rig.commit_count, 0);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_the_batch_is_filled_while_another_one_is_on_its_way)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 4);
    must(wal_rig_open(&rig));
    for (unsigned i = 0; i < 100; i++) {
        struct wal_filling before = wal_filling(rig.wal);
        wal_rig_put_many(&rig, 3);
        struct model_commit *c = wal_rig_take(&rig);
        struct wal_filling after = wal_filling(rig.wal);
        assert_int_equal(after.epoch, before.epoch + 1);
        wal_rig_put_many(&rig, 2);
        assert_int_equal(wal_durable_epoch(rig.wal), before.epoch - 1);
        must(wal_commit(rig.wal, NULL));
        assert_int_equal(wal_durable_epoch(rig.wal), before.epoch);
        c->fate = FATE_COMMITTED;
        c->end_pos = wal_end(rig.wal);
        must(wal_rig_commit(&rig));
    }
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

/* --- segments --------------------------------------------------------------------------------- */

/* Reading may begin at any commit's end: find_record() saw each series in the same segment. */
UNIT_TEST(test_every_segment_decodes_alone_from_any_commit_on)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 5);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 150);
    assert_true(stats_of(&rig).segment_count >= 3);
    wal_rig_close(&rig);
    for (uint32_t i = 0; i < rig.commit_count; i++) {
        rig.store_pos = rig.commits[i].end_pos;
        must(wal_rig_open(&rig));
        wal_rig_close(&rig);
    }
    wal_rig_fini(&rig);
}

UNIT_TEST(test_positions_rise_and_are_never_given_twice_across_restarts)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 6);
    uint64_t highest = 0, highest_number = 0;
    for (unsigned life = 0; life < 30; life++) {
        must(wal_rig_open(&rig));
        for (unsigned i = 0; i < life % 4; i++) {
            uint64_t number = wal_filling(rig.wal).segment;
            assert_true(number >= highest_number && (i > 0 || number > highest_number));
            highest_number = number;
            wal_rig_put_many(&rig, 5);
            must(wal_rig_commit(&rig));
            uint64_t begin = wal_last_segment(rig.wal)->base_pos;
            assert_true(wal_end(rig.wal) > highest);
            assert_true(i > 0 || begin >= highest);
            assert_int_equal(wal_end(rig.wal) % 8, 0);
            highest = wal_end(rig.wal);
        }
        wal_rig_put_many(&rig, 2);
        if (life % 3 == 0)
            wal_rig_power_loss(&rig);
        else if (life % 3 == 1)
            wal_rig_kill(&rig);
        else
            wal_rig_close(&rig);
    }
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_new_log_begins_behind_what_the_store_remembers)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 7);
    rig.options.floor_pos = 123456789;
    rig.options.floor_number = 77;
    must(wal_rig_open(&rig));
    assert_int_equal(wal_filling(rig.wal).segment, 78);
    wal_rig_fill(&rig, 3);
    assert_true(rig.commits[0].end_pos > 123456789);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_the_log_keeps_its_id)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 8);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 2);
    uint8_t id[WAL_LOG_ID_BYTES];
    memcpy(id, wal_log_id(rig.wal), sizeof id);
    wal_rig_restart(&rig);
    assert_memory_equal(wal_log_id(rig.wal), id, sizeof id);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_no_sector_is_written_by_two_commits)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 12);
    must(wal_rig_open(&rig));
    for (unsigned i = 0; i < 200; i++) {
        wal_rig_fill(&rig, 1);
        const struct segment *s = wal_last_segment(rig.wal);
        assert_int_equal(segment_offset(s, wal_end(rig.wal)) % FILE_DIRECT_BYTES, 0);
    }
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_prepared_file_is_written_without_growing)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 9);
    must(wal_rig_open(&rig));
    must(wal_prepare(rig.wal, NULL));
    assert_true(wal_rig_file_exists(&rig, "/wal/prepared-0.tmp"));
    wal_rig_fill(&rig, 1);
    assert_false(wal_rig_file_exists(&rig, "/wal/prepared-0.tmp"));
    uint64_t used = sim_env_used_bytes(rig.sim);
    while (stats_of(&rig).end_pos - stats_of(&rig).begin_pos < SMALL_SEGMENT * 3 / 4)
        wal_rig_fill(&rig, 1);
    assert_int_equal(sim_env_used_bytes(rig.sim), used);
    assert_int_equal(stats_of(&rig).segment_bytes, SMALL_SEGMENT + SEGMENT_HEADER_BYTES);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

/* A log that needs four files at its busiest and one at rest: only the first four are zeroed. */
UNIT_TEST(test_files_of_busy_times_are_kept_for_the_next)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 13);
    must(wal_rig_open(&rig));
    for (unsigned cycle = 0; cycle < 8; cycle++) {
        uint64_t files = stats_of(&rig).segment_bytes;
        while (stats_of(&rig).segment_count < 4) {
            must(wal_prepare(rig.wal, NULL));
            wal_rig_fill(&rig, 1);
            /* The log has no more files; commits that do not fit let one grow. */
            if (cycle > 0) assert_true(stats_of(&rig).segment_bytes - files < SMALL_SEGMENT);
        }
        rig.store_pos = wal_end(rig.wal);
        must(wal_trim(rig.wal, rig.store_pos, NULL));
        assert_int_equal(stats_of(&rig).segment_count, 1);
        assert_true(wal_rig_file_exists(&rig, "/wal/prepared-2.tmp"));
    }
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_where_room_is_short_spare_files_go_first)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 14);
    must(wal_rig_open(&rig));
    while (stats_of(&rig).segment_count < 4) {
        must(wal_prepare(rig.wal, NULL));
        wal_rig_fill(&rig, 1);
    }
    uint64_t first = rig.store_pos = wal_end(rig.wal);
    must(wal_trim(rig.wal, rig.store_pos, NULL));
    assert_true(wal_rig_file_exists(&rig, "/wal/prepared-2.tmp"));
    struct wal_reader *reader;
    must(wal_reader_open(rig.wal, "reader", first, &reader, NULL));
    uint64_t file = SMALL_SEGMENT + SEGMENT_HEADER_BYTES;
    wal_set_budget(rig.wal, 3 * file);
    must(wal_trim(rig.wal, rig.store_pos, NULL));
    assert_false(wal_rig_file_exists(&rig, "/wal/prepared-1.tmp"));
    assert_true(wal_rig_file_exists(&rig, "/wal/prepared-0.tmp"));
    assert_true(stats_of(&rig).segment_bytes - 2 * file < file / 4);
    assert_int_equal(stats_of(&rig).readers_behind, 0);
    wal_reader_close(reader);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

/* Zeros would be a second write of everything that the log writes. */
UNIT_TEST(test_segments_given_up_are_recycled_without_zeroing)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 10);
    must(wal_rig_open(&rig));
    must(wal_prepare(rig.wal, NULL));
    uint64_t old_life = 0;
    for (unsigned i = 0; i < 400; i++) {
        wal_rig_fill(&rig, 1);
        rig.store_pos = wal_end(rig.wal);
        uint64_t calls = fault_env_calls(rig.fe, FAULT_SHORT);
        must(wal_trim(rig.wal, rig.store_pos, NULL));
        assert_int_equal(fault_env_calls(rig.fe, FAULT_SHORT), calls); /* no byte was written */
        if (stats_of(&rig).segments_recycled_total > 2) old_life++;
        if (i % 10 == 9) {
            struct wal *wal = rig.wal;
            rig.wal = NULL;
            must(wal_rig_open(&rig)); /* the files are read again: nothing old is in them */
            wal_rig_close(&rig);
            rig.wal = wal;
            rig.defined_in = 0;
        }
        if (i == 20) must(wal_prepare(rig.wal, NULL));
    }
    assert_true(old_life > 20);
    assert_true(stats_of(&rig).segment_bytes <= 3 * (SMALL_SEGMENT + SEGMENT_HEADER_BYTES));
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_commit_larger_than_a_segment_is_a_segment)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 11);
    rig.options.batch_bytes_max = 1024 * 1024;
    must(wal_rig_open(&rig));
    wal_rig_put_many(&rig, 400);
    must(wal_rig_commit(&rig));
    assert_true(wal_end(rig.wal) > 2 * SMALL_SEGMENT);
    assert_int_equal(stats_of(&rig).segment_count, 1);
    wal_rig_fill(&rig, 2);
    assert_int_equal(stats_of(&rig).segment_count, 2);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_a_full_batch_takes_no_more_until_it_is_taken)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 12);
    rig.options.batch_bytes_max = 8 * 1024;
    must(wal_rig_open(&rig));
    enum err e = OK;
    while (e == OK)
        e = wal_rig_put(&rig);
    assert_int_equal(e, ERR_AGAIN);
    assert_non_null(strstr(rig.why.text, "cannot keep up"));
    uint8_t kib[1024] = {0};
    for (e = OK; e == OK;)
        e = wal_put(rig.wal, WAL_LEDGER, bytes_of(kib, sizeof kib), false);
    assert_int_equal(e, ERR_AGAIN);
    assert_int_equal(wal_reserve(rig.wal, SIZE_MAX / 2, NULL), ERR_LIMIT);
    assert_true(wal_take(rig.wal));
    must(wal_commit(rig.wal, NULL));
    must(wal_reserve(rig.wal, 100 * 1024, NULL)); /* a batch alone may be larger */
    wal_rig_fini(&rig);
}

/* --- commits ---------------------------------------------------------------------------------- */

UNIT_TEST(test_a_commit_is_two_looks_one_write_and_one_sync)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 13);
    rig.options.segment_bytes = 16 * 1024 * 1024;
    must(wal_rig_open(&rig));
    must(wal_prepare(rig.wal, NULL));
    wal_rig_fill(&rig, 2); /* the second one also looks at the path */
    for (unsigned i = 0; i < 50; i++) {
        wal_rig_put_many(&rig, 20);
        uint64_t all = fault_env_calls(rig.fe, FAULT_EIO);
        uint64_t writes = fault_env_calls(rig.fe, FAULT_TORN);
        uint64_t syncs = fault_env_calls(rig.fe, FAULT_SYNC);
        must(wal_rig_commit(&rig));
        assert_int_equal(fault_env_calls(rig.fe, FAULT_TORN) - writes, 1);
        assert_int_equal(fault_env_calls(rig.fe, FAULT_SYNC) - syncs, 1);
        assert_int_equal(fault_env_calls(rig.fe, FAULT_EIO) - all, 4);
    }
    wal_rig_fini(&rig);
}

UNIT_TEST(test_running_totals_go_on_across_restarts_trims_and_empty_segments)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 14);
    must(wal_rig_open(&rig));
    for (unsigned i = 0; i < 12; i++) {
        wal_rig_fill(&rig, 25);
        rig.store_pos = wal_end(rig.wal);
        must(wal_trim(rig.wal, rig.store_pos, NULL));
        if (i % 3 == 1) {
            fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
            wal_rig_put_many(&rig, 2);
            assert_int_equal(wal_rig_commit(&rig), ERR_IO);
            must(wal_rig_reopen(&rig)); /* a segment without a commit */
        }
        if (i % 2 == 1) wal_rig_restart(&rig);
        lock_take(&rig.wal->lock);
        assert_int_equal(rig.wal->totals[LEDGER_FLOAT], wal_rig_floats(&rig));
        lock_drop(&rig.wal->lock);
    }
    wal_rig_fini(&rig);
}

/* --- acknowledged when written ---------------------------------------------------------------- */

UNIT_TEST(test_written_commits_survive_a_kill_and_synced_ones_a_power_loss)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct wal_rig rig;
        wal_rig_init(&rig, seed);
        rig.options.sync = WAL_SYNC_WRITTEN;
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 5);
        uint64_t syncs = fault_env_calls(rig.fe, FAULT_SYNC);
        wal_rig_fill(&rig, 2);
        assert_int_equal(fault_env_calls(rig.fe, FAULT_SYNC), syncs);
        wal_rig_kill(&rig);
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 5);
        must(wal_sync(rig.wal, NULL));
        uint32_t synced = rig.commit_count;
        wal_rig_fill(&rig, 8);
        wal_rig_power_loss(&rig);
        /* A part of the commits after the sync, from the first on, may be found. */
        for (uint32_t i = synced; i < rig.commit_count; i++)
            rig.commits[i].fate = FATE_UNCERTAIN;
        must(wal_rig_open(&rig));
        bool ended = false;
        for (uint32_t i = synced; i < rig.commit_count; i++) {
            if (rig.commits[i].fate == FATE_VOID) ended = true;
            assert_true(!ended || rig.commits[i].fate == FATE_VOID);
        }
        wal_rig_fill(&rig, 3);
        wal_rig_restart(&rig);
        wal_rig_fini(&rig);
    }
}

/* A reader may have seen them, and remembers their position. */
UNIT_TEST(test_positions_of_commits_lost_with_the_power_are_not_reused)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct wal_rig rig;
        wal_rig_init(&rig, seed);
        rig.options.sync = WAL_SYNC_WRITTEN;
        must(wal_rig_open(&rig));
        if (seed % 2) must(wal_prepare(rig.wal, NULL));
        wal_rig_fill(&rig, 1 + (uint32_t)seed);
        uint64_t seen = wal_end(rig.wal);
        wal_rig_power_loss(&rig);
        rig.commit_count = 0; /* none was acknowledged */
        struct findings f;
        must(wal_rig_open_finding(&rig, &f));
        findings_fini(&f);
        wal_rig_put_many(&rig, 1);
        must(wal_rig_commit(&rig));
        if (rig.wal->list.count > 1) assert_true(wal_last_segment(rig.wal)->base_pos >= seen);
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_rotation_syncs_what_was_only_written)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 15);
    rig.options.sync = WAL_SYNC_WRITTEN;
    must(wal_rig_open(&rig));
    while (stats_of(&rig).segment_count < 3)
        wal_rig_fill(&rig, 1);
    uint32_t last = rig.commit_count - 1; /* the only one in the newest segment */
    wal_rig_power_loss(&rig);
    rig.commits[last].fate = FATE_UNCERTAIN;
    must(wal_rig_open(&rig));
    wal_rig_fini(&rig);
}

/* --- room ------------------------------------------------------------------------------------- */

UNIT_TEST(test_trim_gives_up_only_what_lies_before_the_store)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 16);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 200);
    uint64_t segments = stats_of(&rig).segment_count;
    assert_true(segments > 4);
    must(wal_trim(rig.wal, 0, NULL));
    assert_int_equal(stats_of(&rig).segment_count, segments);
    for (uint32_t i = 0; i < rig.commit_count; i += 7) {
        rig.store_pos = rig.commits[i].end_pos;
        must(wal_trim(rig.wal, rig.store_pos, NULL));
        struct wal_stats s = stats_of(&rig);
        assert_true(s.begin_pos <= rig.store_pos);
        assert_true(s.segment_count == 1 || rig.wal->list.items[0].end_pos > rig.store_pos);
        if (i % 5 == 0) wal_rig_restart(&rig);
    }
    must(wal_trim(rig.wal, UINT64_MAX, NULL));
    assert_int_equal(stats_of(&rig).segment_count, 1); /* the newest stays */
    wal_rig_fini(&rig);
}

UNIT_TEST(test_above_its_budget_the_log_refuses_until_the_store_catches_up)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 17);
    rig.options.budget_bytes = 4 * SMALL_SEGMENT;
    must(wal_rig_open(&rig));
    enum err e = OK;
    while (e == OK) {
        e = wal_rig_put(&rig);
        if (e == OK) must(wal_rig_commit(&rig));
        must(wal_trim(rig.wal, 0, NULL));
    }
    assert_int_equal(e, ERR_AGAIN);
    assert_non_null(strstr(rig.why.text, "budget"));
    struct wal_stats s = stats_of(&rig);
    assert_true(s.over_budget);
    assert_true(s.segment_bytes > 4 * SMALL_SEGMENT && s.segment_bytes < 6 * SMALL_SEGMENT);
    assert_int_equal(wal_rig_put(&rig), ERR_AGAIN);
    rig.store_pos = rig.commits[rig.commit_count / 2].end_pos;
    must(wal_trim(rig.wal, rig.store_pos, NULL));
    assert_false(stats_of(&rig).over_budget);
    wal_rig_fill(&rig, 3);
    wal_set_budget(rig.wal, 1); /* below the minimum: the newest segment is always allowed */
    assert_int_equal(wal_rig_put(&rig), ERR_AGAIN);
    rig.store_pos = wal_end(rig.wal);
    must(wal_trim(rig.wal, rig.store_pos, NULL));
    wal_rig_fill(&rig, 1);
    wal_set_budget(rig.wal, 0);
    wal_rig_fill(&rig, 100);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_the_budget_leaves_readers_behind_but_never_the_store)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 18);
    rig.options.budget_bytes = 5 * (SMALL_SEGMENT + SEGMENT_HEADER_BYTES);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 1);
    struct wal_reader *slow;
    must(wal_reader_open(rig.wal, "slow", 0, &slow, NULL));
    uint64_t peak = 0;
    while (stats_of(&rig).readers_behind == 0) {
        peak = stats_of(&rig).segment_bytes;
        wal_rig_fill(&rig, 1);
        must(wal_prepare(rig.wal, NULL));
        rig.store_pos = wal_end(rig.wal);
        must(wal_trim(rig.wal, rig.store_pos, NULL));
        struct wal_stats s = stats_of(&rig);
        assert_false(s.over_budget);
        assert_true(s.segment_bytes <= rig.options.budget_bytes);
    }
    assert_true(peak >= 4 * SMALL_SEGMENT);
    struct wal_record record;
    assert_int_equal(wal_reader_next(slow, &record, NULL), ERR_MISSING);
    assert_int_equal(wal_reader_next(slow, &record, NULL), ERR_MISSING);
    wal_reader_close(slow);
    assert_int_equal(stats_of(&rig).readers, 0);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

UNIT_TEST(test_options_that_cannot_be_are_refused)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 19);
    char dir[300];
    memset(dir, 'x', sizeof dir);
    dir[299] = 0;
    struct wal_options o = rig.options;
    o.dir = dir;
    assert_int_equal(wal_open(&o, &rig.wal, &rig.why), ERR_LIMIT);
    o = rig.options;
    o.segment_bytes = 100;
    assert_int_equal(wal_open(&o, &rig.wal, &rig.why), ERR_INPUT);
    o.segment_bytes = UINT64_MAX;
    assert_int_equal(wal_open(&o, &rig.wal, &rig.why), ERR_INPUT);
    rig.wal = NULL;
    wal_rig_fini(&rig);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, wal_print_seed)
    const struct CMUnitTest tests[] = {
        claim(test_records_of_every_type_and_size_come_back_as_they_were),
        claim(test_a_record_may_be_empty_or_as_large_as_allowed_but_no_larger),
        claim(test_compression_is_used_only_where_it_pays),
        claim(test_a_batch_without_records_is_not_committed),
        claim(test_the_batch_is_filled_while_another_one_is_on_its_way),
        claim(test_every_segment_decodes_alone_from_any_commit_on),
        claim(test_positions_rise_and_are_never_given_twice_across_restarts),
        claim(test_a_new_log_begins_behind_what_the_store_remembers),
        claim(test_the_log_keeps_its_id),
        claim(test_no_sector_is_written_by_two_commits),
        claim(test_a_prepared_file_is_written_without_growing),
        claim(test_files_of_busy_times_are_kept_for_the_next),
        claim(test_where_room_is_short_spare_files_go_first),
        claim(test_segments_given_up_are_recycled_without_zeroing),
        claim(test_a_commit_larger_than_a_segment_is_a_segment),
        claim(test_a_full_batch_takes_no_more_until_it_is_taken),
        claim(test_a_commit_is_two_looks_one_write_and_one_sync),
        claim(test_running_totals_go_on_across_restarts_trims_and_empty_segments),
        claim(test_written_commits_survive_a_kill_and_synced_ones_a_power_loss),
        claim(test_positions_of_commits_lost_with_the_power_are_not_reused),
        claim(test_rotation_syncs_what_was_only_written),
        claim(test_trim_gives_up_only_what_lies_before_the_store),
        claim(test_above_its_budget_the_log_refuses_until_the_store_catches_up),
        claim(test_the_budget_leaves_readers_behind_but_never_the_store),
        claim(test_options_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
