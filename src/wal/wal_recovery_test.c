/*
 * wal_recovery_test.c - results and costs of recovery after power losses and kills at every moment,
 * and its refusals.
 */
#include "lib/test.h"
#include "lib/wal_rig.h"

/* --- losing power ----------------------------------------------------------------------------- */

/* Commits some records; a log that is down is reopened as the program does. */
static enum err
step_commit(struct wal_rig *rig)
{
    uint32_t count = 1 + (uint32_t)wal_rig_random(rig, 12);
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < count; i++)
        e = wal_rig_put(rig);
    return e ? e : wal_rig_commit(rig);
}

static enum err
step_trim(struct wal_rig *rig)
{
    uint64_t pos = rig->store_pos;
    for (uint32_t i = 0; i < rig->commit_count; i++) {
        struct model_commit *c = &rig->commits[i];
        if (c->fate == FATE_COMMITTED && c->end_pos > pos && wal_rig_random(rig, 3))
            pos = c->end_pos;
        if (pos > rig->store_pos && wal_rig_random(rig, 4) == 0) break;
    }
    rig->store_pos = pos;
    return wal_trim(rig->wal, pos, &rig->why);
}

/* Lets one commit fail, and reopens the log. */
static enum err
step_fail(struct wal_rig *rig)
{
    static const enum fault_kind kinds[] = {FAULT_SYNC, FAULT_TORN, FAULT_ENOSPC};
    if (fault_env_fired(rig->fe)) return ERR_IO;
    struct fault_env *inner;
    must(fault_env_new(rig->env, &inner));
    /* The machine under the log fails through a second layer, so that the outer one goes
     * on counting. */
    fault_env_arm(inner, (struct fault){kinds[wal_rig_random(rig, 3)], 1, false});
    rig->wal->env = rig->wal->file.env = fault_env_env(inner);
    enum err e = step_commit(rig);
    rig->wal->env = rig->wal->file.env = rig->env;
    fault_env_free(inner);
    return wal_is_down(rig->wal) && !fault_env_fired(rig->fe) ? wal_rig_reopen(rig) : e;
}

static enum err
step_restart(struct wal_rig *rig)
{
    wal_rig_close(rig);
    return wal_rig_open(rig);
}

static enum err
scenario(struct wal_rig *rig, unsigned steps)
{
    enum err e = rig->wal == NULL ? wal_rig_open(rig) : OK;
    for (unsigned i = 0; e == OK && i < steps; i++) {
        uint64_t what = wal_rig_random(rig, 100);
        if (what < 60)
            e = step_commit(rig);
        else if (what < 75)
            e = wal_prepare(rig->wal, &rig->why);
        else if (what < 90)
            e = step_trim(rig);
        else if (what < 95)
            e = step_fail(rig);
        else
            e = step_restart(rig);
    }
    return e;
}

/* Starts again, perhaps not at the first attempt, and lives on. */
static void
live_on(struct wal_rig *rig)
{
    if (wal_rig_random(rig, 2) == 0) {
        uint64_t nth = 1 + wal_rig_random(rig, 30);
        fault_env_arm(rig->fe, (struct fault){FAULT_EIO, nth, true});
        if (wal_rig_open(rig) == OK) wal_rig_close(rig);
        sim_env_power_loss(rig->sim);
    }
    fault_env_arm(rig->fe, (struct fault){FAULT_EIO, 0, false}); /* disarmed, and not fired */
    must(wal_rig_open(rig));
    must(scenario(rig, 5));
    sim_env_power_loss(rig->sim);
    wal_rig_close(rig);
    must(wal_rig_open(rig));
}

/* Runs until a call; its number is the only difference from a complete run. */
static bool
run_until_call(uint64_t seed, uint64_t nth, unsigned steps, bool kill)
{
    struct wal_rig rig;
    wal_rig_init(&rig, seed);
    fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, true});
    enum err e = scenario(&rig, steps);
    bool fired = fault_env_fired(rig.fe);
    if (e && !fired) fail_msg("%s", rig.why.text);
    if (kill) {
        wal_rig_kill(&rig);
    } else {
        sim_env_power_loss(rig.sim);
        wal_rig_close(&rig);
    }
    live_on(&rig);
    wal_rig_fini(&rig);
    return fired;
}

UNIT_TEST(test_power_loss_at_any_call_loses_and_invents_nothing)
{
    for (uint64_t seed = 100; seed < 104; seed++) {
        uint64_t nth = 1;
        while (run_until_call(seed, nth, 80, false))
            nth++;
        assert_true(nth > 200);
    }
}

UNIT_TEST(test_kill_at_any_call_loses_and_invents_nothing)
{
    for (uint64_t seed = 200; seed < 202; seed++) {
        for (uint64_t nth = 1; run_until_call(seed, nth, 60, true); nth++) {
        }
    }
}

/* Records found after a kill are returned to queries: the next power loss must not lose them. */
UNIT_TEST(test_records_that_recovery_found_survive_the_next_power_loss)
{
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct wal_rig rig;
        wal_rig_init(&rig, seed);
        must(wal_rig_open(&rig));
        if (seed % 2) must(wal_prepare(rig.wal, NULL));
        wal_rig_fill(&rig, (uint32_t)(seed % 5));
        wal_rig_put_many(&rig, 20);
        /* The sync of a commit fails, or of a new segment, or of its name. */
        fault_env_arm(rig.fe, (struct fault){FAULT_SYNC, 1, false});
        assert_int_equal(wal_rig_commit(&rig), ERR_IO);
        wal_rig_kill(&rig);
        must(wal_rig_open(&rig));
        kept += rig.commit_count > 0 && rig.commits[rig.commit_count - 1].fate == FATE_COMMITTED;
        wal_rig_power_loss(&rig);
        must(wal_rig_open(&rig));
        wal_rig_fill(&rig, 2);
        wal_rig_restart(&rig);
        wal_rig_fini(&rig);
    }
    assert_true(kept > 50);
}

/* Records of the file's previous use follow the first commits of the new one, undamaged. */
UNIT_TEST(test_records_of_a_files_older_life_are_never_taken_for_new_ones)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct wal_rig rig;
        wal_rig_init(&rig, seed);
        must(wal_rig_open(&rig));
        must(wal_prepare(rig.wal, NULL));
        while (rig.wal->stats.segments_recycled_total == 0) {
            wal_rig_fill(&rig, 1);
            rig.store_pos = wal_end(rig.wal);
            must(wal_trim(rig.wal, rig.store_pos, NULL));
        }
        while (rig.wal->prepared.count > 0)
            wal_rig_fill(&rig, 1); /* until the recycled file is used */
        wal_rig_fill(&rig, (uint32_t)wal_rig_random(&rig, 4));
        size_t size;
        uint8_t *at =
            wal_rig_read_file(&rig, segment_file(wal_last_segment(rig.wal)->number), &size);
        uint64_t used = segment_offset(wal_last_segment(rig.wal), wal_end(rig.wal));
        bool stale = false;
        for (size_t i = (size_t)used; i < size; i++)
            stale |= at[i] != 0;
        free(at);
        assert_true(stale);
        if (seed % 2) {
            wal_rig_put_many(&rig, 10);
            fault_env_arm(rig.fe, (struct fault){FAULT_EIO, 1 + wal_rig_random(&rig, 3), true});
            enum err e = wal_rig_commit(&rig);
            assert_true(e == OK || fault_env_fired(rig.fe));
        }
        sim_env_power_loss(rig.sim);
        wal_rig_close(&rig);
        fault_env_disarm(rig.fe);
        must(wal_rig_open(&rig));
        wal_rig_fini(&rig);
    }
}

/* --- versions --------------------------------------------------------------------------------- */

UNIT_TEST(test_a_newer_log_is_refused_and_not_touched)
{
    for (unsigned copy = 0; copy < 2; copy++) {
        for (uint32_t index = 0; index < 5; index += 2) {
            struct wal_rig rig;
            struct segment newer;
            wal_rig_make_long_log(&rig, 320 + index, index, &newer);
            size_t size;
            uint8_t *at = wal_rig_read_file(&rig, segment_file(newer.number), &size);
            uint8_t *header = at + copy * SEGMENT_COPY_OFFSET;
            store_le16(header + 8, 7);
            store_le16(header + 10, 3);
            memset(header + 100, 0x5a, 50); /* its meaning is unknown here */
            store_le64(header + 504, hash_bytes(bytes_of(header, 504), newer.number));
            wal_rig_write_file(&rig, segment_file(newer.number), at, size);
            free(at);
            wal_rig_write_file(&rig, "/wal/left.tmp", "x", 1);
            uint64_t before = dir_sum(&rig, NULL);
            assert_int_equal(wal_open(&rig.options, &rig.wal, &rig.why), ERR_UNSUPPORTED);
            assert_non_null(strstr(rig.why.text, "version 7"));
            assert_non_null(strstr(rig.why.text, "version 1"));
            struct wal_damage damage;
            assert_int_equal(wal_verify(rig.env, "/wal", 0, false, NULL, NULL, &damage, NULL),
                             ERR_UNSUPPORTED);
            assert_int_equal(dir_sum(&rig, NULL), before);
            rig.wal = NULL;
            wal_rig_fini(&rig);
        }
    }
}

/* Corrects the checks of the record of type 99 at the end of the log, with other flags. */
static void
reseal_last(struct wal_rig *rig, uint64_t number, uint64_t seed, uint64_t pos, uint64_t base,
            uint8_t flags)
{
    uint8_t record[RECORD_HEADER_BYTES + 40];
    memset(record, 0x11, sizeof record);
    record_seal(record, 40, 99, RECORD_VERSION, flags, seed, pos);
    wal_rig_patch_file(rig, segment_file(number), record, sizeof record,
                       pos - base + SEGMENT_HEADER_BYTES);
}

UNIT_TEST(test_unknown_records_are_skipped_only_if_their_flag_says_so)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 330);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 2);
    uint8_t payload[40] = {0};
    uint64_t before_it = wal_end(rig.wal);
    must(wal_put(rig.wal, (enum wal_type)99, bytes_of(payload, sizeof payload), false));
    assert_true(wal_take(rig.wal));
    must(wal_commit(rig.wal, NULL));
    struct segment s = *wal_last_segment(rig.wal);
    uint64_t pos = before_it + COMMIT_RECORD_BYTES;
    wal_rig_write_file(&rig, "/wal/left.tmp", "x", 1);
    wal_rig_close(&rig);

    uint64_t before = dir_sum(&rig, NULL);
    assert_int_equal(wal_rig_open(&rig), ERR_UNSUPPORTED);
    assert_non_null(strstr(rig.why.text, "type 99"));
    assert_int_equal(dir_sum(&rig, NULL), before);

    reseal_last(&rig, s.number, s.seed, pos, s.base_pos, FLAG_SKIPPABLE);
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 2);
    wal_rig_restart(&rig);
    wal_rig_fini(&rig);
}

static enum err
note_skippable(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    if (record->type == WAL_OWN) *(bool *)context = record->skippable;
    return OK;
}

UNIT_TEST(test_older_programs_may_skip_the_mark_of_own_samples)
{
    struct wal_rig rig;
    struct wal_damage damage;
    bool skippable = false;
    wal_rig_init(&rig, 331);
    must(wal_rig_open(&rig));
    must(wal_put(rig.wal, WAL_OWN, bytes_of(NULL, 0), false));
    wal_rig_fill(&rig, 2);
    wal_rig_close(&rig);
    must(wal_verify(rig.env, "/wal", 0, false, note_skippable, &skippable, &damage, NULL));
    assert_true(skippable);
    wal_rig_fini(&rig);
}

static enum err
note_version(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    if (record->type == WAL_LEDGER) *(unsigned *)context = record->version;
    return OK;
}

UNIT_TEST(test_only_known_versions_of_a_type_are_read)
{
    static const struct {
        enum wal_type type;
        uint8_t version;
        bool known;
    } cases[] = {{WAL_LEDGER, 1, true},   {WAL_LEDGER, 2, true},  {WAL_LEDGER, 3, false},
                 {WAL_LEDGER, 0, false},  {WAL_FLOATS, 2, false}, {WAL_SERIES, 2, false},
                 {WAL_METADATA, 2, false}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wal_rig rig;
        uint8_t payload[40] = {0};
        struct wal_damage damage;
        unsigned version = 0;
        wal_rig_init(&rig, 340 + i);
        must(wal_rig_open(&rig));
        must(wal_put_version(rig.wal, cases[i].type, cases[i].version,
                             bytes_of(payload, sizeof payload), false));
        assert_true(wal_take(rig.wal));
        must(wal_commit(rig.wal, NULL));
        wal_rig_close(&rig);
        enum err e = wal_verify(rig.env, "/wal", 0, false, note_version, &version, &damage, NULL);
        assert_int_equal(e, cases[i].known ? OK : ERR_UNSUPPORTED);
        if (cases[i].known) assert_int_equal(version, cases[i].version);
        wal_rig_fini(&rig);
    }
}

UNIT_TEST(test_segments_of_two_logs_are_not_mixed)
{
    struct wal_rig rig, other;
    struct segment a, b;
    wal_rig_make_long_log(&other, 331, 4, &b);
    size_t size;
    uint8_t *at = wal_rig_read_file(&other, segment_file(b.number), &size);
    wal_rig_fini(&other);
    wal_rig_make_long_log(&rig, 332, 2, &a);
    wal_rig_write_file(&rig, segment_file(b.number + 5), at, size);
    free(at);
    /* a header of another number: from a previous use */
    must(wal_open(&rig.options, &rig.wal, NULL));
    wal_rig_close(&rig);
    at = wal_rig_read_file(&rig, segment_file(a.number), &size);
    at[48] ^= 1; /* the log's id */
    store_le64(at + 504, hash_bytes(bytes_of(at, 504), a.number));
    wal_rig_write_file(&rig, segment_file(a.number), at, size);
    free(at);
    uint64_t before = dir_sum(&rig, NULL);
    assert_int_equal(wal_rig_open(&rig), ERR_CORRUPT);
    assert_non_null(strstr(rig.why.text, "different logs"));
    assert_int_equal(dir_sum(&rig, NULL), before);
    wal_rig_fini(&rig);
}

/* --- verify, and the cost of it all ----------------------------------------------------------- */

UNIT_TEST(test_verify_changes_nothing_and_says_what_recovery_would)
{
    struct wal_rig rig;
    struct segment s;
    wal_rig_make_long_log(&rig, 340, 1, &s);
    uint64_t before = dir_sum(&rig, NULL);
    struct seen healthy = wal_rig_verify(&rig);
    assert_int_equal(healthy.damage.places, 0);
    check_findings(&rig, &healthy.f);
    findings_fini(&healthy.f);
    assert_int_equal(dir_sum(&rig, NULL), before);

    must(sim_env_damage(rig.sim, segment_file(s.number), SEGMENT_HEADER_BYTES + 5000));
    before = dir_sum(&rig, NULL);
    struct wal_damage damage;
    must(wal_verify(rig.env, "/wal", 0, false, NULL, NULL, &damage, NULL));
    assert_int_equal(damage.places, 1);
    assert_int_equal(dir_sum(&rig, NULL), before);
    struct findings f;
    must(wal_rig_open_finding(&rig, &f));
    findings_fini(&f);
    assert_memory_equal(&damage, &rig.damage, sizeof damage);
    assert_int_equal(wal_verify(rig.env, "/none", 0, false, NULL, NULL, &damage, NULL),
                     ERR_MISSING);
    wal_rig_fini(&rig);
}

static enum err
stop_reading(void *context, const struct wal_record *record, struct why *why)
{
    (void)record;
    unsigned *left = context;
    return --*left == 0 ? why_set(why, ERR_CANCELED, "enough") : OK;
}

UNIT_TEST(test_an_error_of_the_receiver_ends_recovery_and_does_no_harm)
{
    struct wal_rig rig;
    struct segment s;
    wal_rig_make_long_log(&rig, 341, 1, &s);
    uint64_t before = dir_sum(&rig, NULL);
    for (unsigned n = 1; n < 100; n += 13) {
        unsigned left = n;
        struct wal_damage damage;
        must(wal_open(&rig.options, &rig.wal, NULL));
        enum err e = wal_recover(rig.wal, 0, stop_reading, &left, &damage, &rig.why);
        assert_int_equal(e, ERR_CANCELED);
        assert_string_equal(rig.why.text, "enough");
        wal_rig_close(&rig);
    }
    assert_int_equal(dir_sum(&rig, NULL), before);
    must(wal_rig_open(&rig));
    wal_rig_fini(&rig);
}

UNIT_TEST(test_segments_before_the_wanted_position_are_not_read)
{
    struct wal_rig rig;
    wal_rig_init(&rig, 342);
    must(wal_rig_open(&rig));
    while (rig.wal->list.count < 30)
        wal_rig_fill(&rig, 5);
    wal_rig_close(&rig);
    rig.store_pos = rig.commits[rig.commit_count - 1].end_pos;
    uint64_t reads = fault_env_calls(rig.fe, FAULT_SHORT);
    must(wal_rig_open(&rig));
    reads = fault_env_calls(rig.fe, FAULT_SHORT) - reads;
    assert_true(reads < 30 + 10); /* the header of each, and the whole newest one */
    wal_rig_fini(&rig);
}

/*
 * Payloads that look like headers of large records at every position do not make the search slow.
 * Such a record is read whole before its checksum is computed, so the number of calls measures the
 * work.
 */
UNIT_TEST(test_the_search_after_damage_reads_little_for_any_content)
{
    enum { FILE_BYTES = 64 * 1024 * 1024, CALLS_MAX = 1500 }; /* for 8 million positions */
    struct wal_rig rig;
    wal_rig_init(&rig, 343);
    rig.options.segment_bytes = FILE_BYTES - SEGMENT_HEADER_BYTES;
    must(wal_rig_open(&rig));
    wal_rig_fill(&rig, 3);
    uint64_t number = wal_last_segment(rig.wal)->number;
    uint64_t used = segment_offset(wal_last_segment(rig.wal), wal_end(rig.wal));
    wal_rig_close(&rig);
    uint64_t *at = malloc(FILE_BYTES);
    assert_non_null(at);
    for (unsigned what = 0; what < 3; what++) {
        for (size_t i = 0; i < (FILE_BYTES - used) / 8; i++) {
            uint64_t like_a_header = 0x0001000000000000 * (i & 0xffff) | 0x010002800000;
            at[i] = what == 0 ? 0 : what == 1 ? like_a_header : wal_rig_random(&rig, UINT64_MAX);
        }
        wal_rig_patch_file(&rig, segment_file(number), at, (FILE_BYTES - used) / 8 * 8, used);
        fault_env_arm(rig.fe, (struct fault){FAULT_EIO, CALLS_MAX, true});
        must(wal_rig_open(&rig));
        fault_env_disarm(rig.fe);
        wal_rig_close(&rig);
    }
    free(at);
    wal_rig_fini(&rig);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, wal_print_seed)
    const struct CMUnitTest tests[] = {
        claim(test_power_loss_at_any_call_loses_and_invents_nothing),
        claim(test_kill_at_any_call_loses_and_invents_nothing),
        claim(test_records_that_recovery_found_survive_the_next_power_loss),
        claim(test_records_of_a_files_older_life_are_never_taken_for_new_ones),
        claim(test_a_newer_log_is_refused_and_not_touched),
        claim(test_unknown_records_are_skipped_only_if_their_flag_says_so),
        claim(test_older_programs_may_skip_the_mark_of_own_samples),
        claim(test_only_known_versions_of_a_type_are_read),
        claim(test_segments_of_two_logs_are_not_mixed),
        claim(test_verify_changes_nothing_and_says_what_recovery_would),
        claim(test_an_error_of_the_receiver_ends_recovery_and_does_no_harm),
        claim(test_segments_before_the_wanted_position_are_not_read),
        claim(test_the_search_after_damage_reads_little_for_any_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
