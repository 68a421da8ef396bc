/*
 * tsdb_sweep_test.c - missing parts, and directories that no manifest names: data that may belong
 * to another store is never removed.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"

#define PART_1 STORE_DIR "/parts/0000000000000001"
#define PART_2 STORE_DIR "/parts/0000000000000002"
#define PART_3 STORE_DIR "/parts/0000000000000003"
#define PART_4 STORE_DIR "/parts/0000000000000004"

static bool
there(const char *path)
{
    struct file file;
    enum err e = file_open(machine.env, path, FILE_READ, &file, NULL);
    if (e == OK) must(file_close(&file));
    return e != ERR_MISSING;
}

static void
flush_one(double value)
{
    must(send_float("a", "__name__=m", T0 + (int64_t)value, value));
    machine_commit(&machine);
    machine_flush(&machine);
}

static void
expect_both(void)
{
    char lines[100];
    snprintf(lines, sizeof lines, "{__name__=\"m\"} %lld 1\n{__name__=\"m\"} %lld 2\n",
             (long long)T0 + 1, (long long)T0 + 2);
    expect_all(&machine, "a", lines);
}

UNIT_TEST(test_a_store_with_a_missing_part_opens_only_when_it_is_back)
{
    flush_one(1);
    flush_one(2);
    machine_close(&machine);
    must(env_rename(machine.env, PART_1, STORE_DIR "/elsewhere", NULL));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(machine_open(&machine), ERR_CORRUPT);
        assert_non_null(strstr(machine.why.text, PART_1));
        assert_true(there(PART_2));
    }
    must(env_rename(machine.env, STORE_DIR "/elsewhere", PART_1, NULL));
    must(env_rename(machine.env, PART_1 "/part", STORE_DIR "/elsewhere", NULL));
    assert_int_equal(machine_open(&machine), ERR_CORRUPT);
    must(env_rename(machine.env, STORE_DIR "/elsewhere", PART_1 "/part", NULL));
    machine_must_open(&machine);
    assert_int_equal(machine.opening.parts_unnamed, 0);
    expect_both();
}

UNIT_TEST(test_a_part_said_to_be_lost_is_counted_as_damaged_and_forgotten)
{
    flush_one(1);
    flush_one(2);
    machine_close(&machine);
    must(env_remove_tree(machine.env, PART_1, NULL));
    must(env_mkdir(machine.env, PART_1 ".lost", NULL));
    machine_must_open(&machine);
    assert_int_equal(machine.opening.parts_set_aside, 1);
    assert_int_equal(machine_ledger(&machine, "a").count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
    machine_restart(&machine);
    flush_one(3);
    machine_verified_restart(&machine);
    assert_int_equal(machine.opening.parts_set_aside, 0);
    assert_false(there(PART_1 ".lost"));
}

/* Deletes all samples of a tenant, whose parts have no others, without writing parts. */
static void
delete_all(const char *tenant)
{
    struct selector all;
    struct tsdb_deletion deletion;
    struct tsdb_merge_options clean = {.mode = TSDB_MERGE_CLEAN};
    struct tsdb_merge_result r = {.input_count = 1};
    must(selector_parse(text("{__name__=~\".+\"}"), &all, NULL));
    must(tsdb_delete(machine.db, text(tenant), &all, 1, INT64_MIN, INT64_MAX, &deletion,
                     &machine.why));
    while (r.input_count > 0)
        must(tsdb_merge(machine.db, &clean, &r, &machine.why));
}

static void
save_part_1(void)
{
    must(env_mkdir(machine.env, STORE_DIR "/saved", NULL));
    must(env_link(machine.env, PART_1 "/part", STORE_DIR "/saved/part", NULL));
}

static void
put_part_1_back_and_open(void)
{
    machine_close(&machine);
    assert_false(there(PART_1));
    must(env_rename(machine.env, STORE_DIR "/saved", PART_1, NULL));
    machine_must_open(&machine);
}

/* Makes the state after SIGKILL at the end of a merge of parts 1 to 3: part 4 is there, and not
 * listed. */
static void
kill_at_the_end_of_a_merge(void)
{
    static const char *const dirs[] = {PART_1, PART_2, PART_3};
    static const char *const saved[] = {STORE_DIR "/saved1", STORE_DIR "/saved2",
                                        STORE_DIR "/saved3"};
    struct tsdb_merge_options full = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    char path[100], copy[100];
    flush_one(1);
    flush_one(2);
    flush_one(3);
    for (unsigned i = 0; i < 3; i++) {
        must(env_mkdir(machine.env, saved[i], NULL));
        must(path_join(path, sizeof path, dirs[i], "part"));
        must(path_join(copy, sizeof copy, saved[i], "part"));
        must(env_link(machine.env, path, copy, NULL));
    }
    must(env_link(machine.env, STORE_DIR "/MANIFEST", STORE_DIR "/saved1/MANIFEST", NULL));
    must(tsdb_merge(machine.db, &full, &r, &machine.why));
    assert_int_equal(r.output_count, 1);
    machine_close(&machine);
    must(env_rename(machine.env, STORE_DIR "/saved1/MANIFEST", STORE_DIR "/MANIFEST", NULL));
    for (unsigned i = 0; i < 3; i++)
        must(env_rename(machine.env, saved[i], dirs[i], NULL));
    assert_true(there(PART_4 "/part"));
}

static void
find_unnamed(void *context, const char *line)
{
    *(bool *)context |= strstr(line, "unnamed: " PART_4 ".unnamed: ") != NULL;
}

UNIT_TEST(test_the_output_of_a_killed_merge_is_removed)
{
    kill_at_the_end_of_a_merge();
    machine_must_open(&machine);
    assert_int_equal(machine.opening.parts_unnamed, 0);
    assert_false(there(PART_4));
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 3);
}

/* It has the only copy of the samples of the damaged part. */
UNIT_TEST(test_the_output_of_a_killed_merge_of_a_damaged_part_is_kept)
{
    kill_at_the_end_of_a_merge();
    must(sim_env_damage(machine.sim, PART_2 "/part", 20)); /* the header */
    machine_must_open(&machine);
    assert_int_equal(machine.opening.parts_set_aside, 1);
    assert_int_equal(machine.opening.parts_unnamed, 1);
    assert_true(there(PART_4 ".unnamed/part"));
    machine_close(&machine);
    bool named = false;
    struct tsdb_report report;
    assert_int_equal(
        tsdb_verify(machine.env, STORE_DIR, find_unnamed, &named, &report, &machine.why),
        ERR_CORRUPT);
    assert_true(named);
}

/* The part is from another time of this store, copied into parts/ by hand. */
UNIT_TEST(test_an_unnamed_complete_part_is_renamed_and_not_removed)
{
    flush_one(1);
    flush_one(2);
    save_part_1();
    delete_all("a");
    flush_one(3);
    put_part_1_back_and_open();
    assert_int_equal(machine.opening.parts_unnamed, 1);
    assert_non_null(strstr(machine.opening.first_unnamed, PART_1 ".unnamed"));
    assert_true(there(PART_1 ".unnamed/part"));
}

/* The state is that after a crash between the manifest's change and the removal of
 * the directory. */
UNIT_TEST(test_a_part_that_was_just_removed_is_not_taken_for_somebodys)
{
    flush_one(1);
    save_part_1();
    delete_all("a");
    put_part_1_back_and_open();
    assert_int_equal(machine.opening.parts_unnamed, 0);
    assert_false(there(PART_1));
    assert_false(there(PART_1 ".unnamed"));
    expect_all(&machine, "a", "");
}

/* The edit after the one that removes the part no longer names it, so its directory must be gone
 * for good then. */
UNIT_TEST(test_a_removed_part_that_a_power_loss_brings_back_is_removed)
{
    for (unsigned seed = 1; seed <= 40; seed++) {
        machine_fini(&machine);
        machine_init(&machine, seed);
        machine_must_open(&machine);
        flush_one(1);
        must_send_float("b", "__name__=m", T0, 2);
        machine_flush(&machine);
        delete_all("a");
        delete_all("b"); /* its first edit removes no part, and syncs no directory of one */
        sim_env_power_loss(machine.sim);
        machine_restart(&machine);
        assert_int_equal(machine.opening.parts_unnamed, 0);
        assert_false(there(PART_1));
    }
}

UNIT_TEST(test_a_directory_not_named_like_a_part_is_left)
{
    static const char *const names[] = {STORE_DIR "/parts/somebodys-backup",
                                        STORE_DIR "/parts/000000000000000A",
                                        STORE_DIR "/parts/somebodys-backup.lost"};
    flush_one(1);
    machine_close(&machine);
    for (unsigned i = 0; i < 3; i++)
        must(env_mkdir(machine.env, names[i], NULL));
    machine_must_open(&machine);
    for (unsigned i = 0; i < 3; i++)
        assert_true(there(names[i]));
}

UNIT_TEST(test_a_new_file_system_counts_as_empty_and_a_used_one_does_not)
{
    machine_close(&machine);
    machine.options.dir = "volume";
    must(env_mkdir(machine.env, "volume", NULL));
    must(env_mkdir(machine.env, "volume/somebodys", NULL));
    assert_int_equal(machine_open(&machine), ERR_INPUT);
    must(env_rename(machine.env, "volume/somebodys", "volume/lost+found", NULL));
    machine_must_open(&machine);
    flush_one(1);
    assert_true(there("volume/lost+found"));
    machine_restart(&machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_a_store_with_a_missing_part_opens_only_when_it_is_back),
        claim(test_a_part_said_to_be_lost_is_counted_as_damaged_and_forgotten),
        claim(test_the_output_of_a_killed_merge_is_removed),
        claim(test_the_output_of_a_killed_merge_of_a_damaged_part_is_kept),
        claim(test_an_unnamed_complete_part_is_renamed_and_not_removed),
        claim(test_a_part_that_was_just_removed_is_not_taken_for_somebodys),
        claim(test_a_removed_part_that_a_power_loss_brings_back_is_removed),
        claim(test_a_directory_not_named_like_a_part_is_left),
        claim(test_a_new_file_system_counts_as_empty_and_a_used_one_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
