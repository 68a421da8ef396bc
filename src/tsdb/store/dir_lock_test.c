/*
 * dir_lock_test.c - two servers never acknowledge samples into one directory, whatever an operator
 * does to its files.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "tsdb/store/store.h"

static const char LOCK_PATH[] = STORE_DIR "/LOCK", FORMAT_PATH[] = STORE_DIR "/FORMAT";

static void
put_file(const char *path, const char *content)
{
    struct file file;
    must(file_open(machine.env, path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, text(content), 0, NULL));
    must(file_close(&file));
}

/* Replaces a file by another one with the same content, as unpacking a backup does. */
static void
replace_by_copy(const char *path)
{
    char content[200];
    size_t size;
    must(env_read_some(machine.env, path, content, sizeof content - 1, &size, NULL));
    content[size] = '\0';
    put_file(STORE_DIR "/copy", content);
    must(env_rename(machine.env, STORE_DIR "/copy", path, NULL));
}

static void
pass_second(void)
{
    sim_env_advance_ns(machine.sim, NS_PER_S);
}

/* Opens the same directory in a second server, at the same time. */
static enum err
open_second(struct env *env)
{
    struct tsdb_options options = machine.options;
    struct tsdb_opening opening;
    struct tsdb *second = NULL;
    options.env = env;
    enum err e = tsdb_open(&options, &machine.limits, &second, &opening, &machine.why);
    tsdb_free(second);
    return e;
}

/* Checks that it refuses writes, and writes only CLOSED in the directory. */
static void
expect_stopped(enum tsdb_dir state)
{
    enum err write = state == TSDB_DIR_CLOSED ? OK : ERR_CORRUPT;
    struct tsdb_stats stats;
    uint64_t epoch = wal_durable_epoch(tsdb_wal(machine.db));
    pass_second();
    if (tsdb_commit_due(machine.db))
        assert_int_equal(tsdb_commit(machine.db, &machine.why), ERR_CORRUPT);
    else
        assert_int_equal(tsdb_look(machine.db, &machine.why), ERR_CORRUPT);
    assert_non_null(strstr(machine.why.text, "was removed or replaced"));
    assert_int_equal(wal_durable_epoch(tsdb_wal(machine.db)), epoch);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.dir, state);
    assert_true(stats.down);
    assert_string_equal(tsdb_dir_trouble(machine.db), tsdb_dir_text(state));
    assert_int_equal(send_float("a", "__name__=late", T0, 1), ERR_AGAIN);
    assert_string_equal(machine.why.text, tsdb_dir_text(state));
    assert_int_equal(tsdb_reopen(machine.db, &machine.why), ERR_CORRUPT);
    assert_int_equal(tsdb_maintain(machine.db, &machine.why), ERR_CORRUPT);
    assert_true(!tsdb_flush_due(machine.db) || write == OK);
    tsdb_want_cut(machine.db);
    assert_int_equal(tsdb_flush(machine.db, &machine.why), write);
}

UNIT_TEST(test_without_a_lock_the_second_server_is_refused_and_the_first_stops)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    must(env_unlink(machine.env, LOCK_PATH, NULL));
    assert_int_equal(open_second(machine.env), ERR_AGAIN);
    assert_non_null(strstr(machine.why.text, "in use by another process"));
    must_send_float("a", "__name__=m", T0 + 1000, 2);
    expect_stopped(TSDB_DIR_CLOSED);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

/* FORMAT may have been copied from elsewhere. */
UNIT_TEST(test_nothing_opens_or_changes_an_unfinished_restore)
{
    struct tsdb_reading_lock lock = TSDB_READING_LOCK_NONE;
    struct file_facts facts;
    must_send_float("a", "__name__=m", T0, 1);
    machine_close(&machine);
    must(env_unlink(machine.env, LOCK_PATH, NULL));
    put_file(STORE_DIR "/RESTORING", "20260101T000000.000Z");
    for (unsigned way = 0; way < 2; way++) {
        if (way > 0) must(env_unlink(machine.env, FORMAT_PATH, NULL));
        for (unsigned read_only = 0; read_only < 2; read_only++) {
            machine.options.read_only = read_only;
            assert_int_equal(machine_open(&machine), ERR_INPUT);
            assert_non_null(strstr(machine.why.text, "restore --id=20260101T000000.000Z"));
        }
        assert_int_equal(tsdb_reading_lock_take(machine.env, STORE_DIR, &lock, NULL), ERR_INPUT);
        assert_int_equal(env_facts(machine.env, LOCK_PATH, &facts, NULL), ERR_MISSING);
    }
}

UNIT_TEST(test_a_start_on_files_of_others_leaves_no_lock)
{
    struct file_facts facts;
    machine_close(&machine);
    must(env_unlink(machine.env, LOCK_PATH, NULL));
    must(env_unlink(machine.env, FORMAT_PATH, NULL));
    must(env_unlink(machine.env, STORE_DIR "/MANIFEST", NULL));
    put_file(STORE_DIR "/photo", "");
    assert_int_equal(machine_open(&machine), ERR_INPUT);
    assert_non_null(strstr(machine.why.text, "is not empty and is not a Firekeep storage"));
    assert_int_equal(env_facts(machine.env, LOCK_PATH, &facts, NULL), ERR_MISSING);
    put_file(LOCK_PATH, "");
    assert_int_equal(machine_open(&machine), ERR_INPUT);
    assert_int_equal(env_facts(machine.env, LOCK_PATH, &facts, NULL), OK);
}

/* The log is lost with LOCK or FORMAT: acknowledged samples are only in memory. */
UNIT_TEST(test_memory_is_written_to_a_part_while_lock_or_format_is_left)
{
    for (unsigned way = 0; way < 2; way++) {
        const char *path = way == 0 ? FORMAT_PATH : LOCK_PATH;
        if (way > 0) assert_int_equal(claim_setup(NULL), 0);
        must_send_float("a", "__name__=m", T0, 1);
        machine_commit(&machine);
        must(env_rename(machine.env, path, "/away", NULL));
        must(env_remove_tree(machine.env, STORE_DIR "/wal", NULL));
        must(env_mkdir(machine.env, STORE_DIR "/wal", NULL));
        pass_second();
        assert_int_equal(tsdb_maintain(machine.db, &machine.why), ERR_CORRUPT);
        assert_true(tsdb_flush_due(machine.db));
        expect_stopped(TSDB_DIR_CLOSED);
        assert_false(tsdb_flush_due(machine.db));
        must(env_rename(machine.env, "/away", path, NULL));
        machine_restart(&machine);
        expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
        machine_fini(&machine);
    }
}

/* All files are removed, but not the directories: a start needs FORMAT and is refused. */
UNIT_TEST(test_without_any_file_all_of_memory_and_the_list_of_parts_are_written)
{
    static const char *const names[] = {"LOCK", "FORMAT", "IDENTITY", "MANIFEST"};
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    must(env_rename(machine.env, FORMAT_PATH, "/format", NULL));
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64];
        must(path_join(path, sizeof path, STORE_DIR, names[i]));
        enum err e = env_unlink(machine.env, path, NULL);
        assert_true(e == OK || e == ERR_MISSING);
    }
    assert_true(open_second(machine.env) != OK);
    expect_stopped(TSDB_DIR_CLOSED);
    must(env_rename(machine.env, "/format", FORMAT_PATH, NULL));
    machine_verified_restart(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

UNIT_TEST(test_with_lock_and_format_replaced_nothing_is_written_for_good)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    must(env_rename(machine.env, LOCK_PATH, "/lock", NULL));
    pass_second();
    assert_int_equal(tsdb_maintain(machine.db, &machine.why), ERR_CORRUPT);
    assert_true(tsdb_flush_due(machine.db));
    replace_by_copy(FORMAT_PATH);
    expect_stopped(TSDB_DIR_LOST);
    must(env_rename(machine.env, "/lock", LOCK_PATH, NULL));
    assert_int_equal(tsdb_maintain(machine.db, &machine.why), ERR_CORRUPT);
    assert_int_equal(tsdb_flush(machine.db, &machine.why), ERR_CORRUPT);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

UNIT_TEST(test_a_server_stops_for_good_if_its_lock_or_format_is_replaced)
{
    for (unsigned way = 0; way < 4; way++) {
        const char *path = way % 2 ? FORMAT_PATH : LOCK_PATH;
        if (way > 0) assert_int_equal(claim_setup(NULL), 0);
        must_send_float("a", "__name__=m", T0, 1);
        machine_commit(&machine);
        if (way / 2 == 0)
            must(env_rename(machine.env, path, "/away", NULL));
        else
            replace_by_copy(path);
        expect_stopped(TSDB_DIR_CLOSED);
        if (way / 2 == 0) must(env_rename(machine.env, "/away", path, NULL));
        pass_second(); /* another server may have used it meanwhile */
        assert_int_equal(tsdb_reopen(machine.db, &machine.why), ERR_CORRUPT);
        machine_verified_restart(&machine);
        expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
        machine_fini(&machine);
    }
}

UNIT_TEST(test_a_server_stops_when_another_one_writes_its_name_into_lock)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    put_file(LOCK_PATH, ""); /* emptying the file does no harm */
    pass_second();
    must(tsdb_look(machine.db, &machine.why));
    put_file(LOCK_PATH, "77 another-boot\n");
    expect_stopped(TSDB_DIR_LOST);
}

UNIT_TEST(test_who_only_reads_is_refused_beside_a_server_whose_lock_is_gone)
{
    struct tsdb_reading_lock lock;
    must(env_unlink(machine.env, LOCK_PATH, NULL));
    assert_int_equal(tsdb_reading_lock_take(machine.env, STORE_DIR, &lock, &machine.why),
                     ERR_AGAIN);
    machine_close(&machine);
    must(tsdb_reading_lock_take(machine.env, STORE_DIR, &lock, &machine.why));
    assert_true(lock.held);
    assert_int_equal(machine_open(&machine), ERR_AGAIN);
    tsdb_reading_lock_drop(&lock);
    machine_must_open(&machine);
}

/* --- machines that share a file system but no locks ------------------------------------------- */

static unsigned sleeps;
/* number of the sleep in which another server renews IDENTITY; 0: idle */
static unsigned renews_at;

static void
sleep_beside_another(struct env *env, int64_t ns)
{
    (void)env;
    sim_env_advance_ns(machine.sim, ns);
    if (++sleeps == renews_at) replace_by_copy(STORE_DIR "/IDENTITY");
}

/* Opens the store after a kill, and returns how often that slept. */
static unsigned
restart_and_count_sleeps(unsigned renewed_in, enum err expected)
{
    const struct env_ops *ops = machine.env->ops;
    struct env_ops sleepy = *ops;
    sleepy.sleep = sleep_beside_another;
    sleeps = 0;
    renews_at = renewed_in;
    if (machine.db != NULL) {
        sim_env_kill(machine.sim);
        machine_close(&machine);
    }
    machine.env->ops = &sleepy;
    assert_int_equal(machine_open(&machine), expected);
    machine.env->ops = ops;
    return sleeps;
}

static void
set_boot(const char *boot)
{
    static const char *const dirs[] = {"/proc", "/proc/sys", "/proc/sys/kernel",
                                       "/proc/sys/kernel/random"};
    for (unsigned i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        must(env_mkdir(machine.env, dirs[i], NULL));
    put_file("/proc/sys/kernel/random/boot_id", boot);
}

UNIT_TEST(test_a_start_without_a_lock_is_refused_during_identity_renewal)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    must(env_unlink(machine.env, LOCK_PATH, NULL));
    assert_int_equal(restart_and_count_sleeps(7, ERR_AGAIN), 7);
    assert_non_null(
        strstr(machine.why.text, "in use by another process, perhaps on another machine"));
    must(env_unlink(machine.env, LOCK_PATH, NULL));
    int64_t began_ns = env_monotonic_ns(machine.env);
    assert_true(restart_and_count_sleeps(0, OK) > 7);
    assert_true(env_monotonic_ns(machine.env) - began_ns > IDENTITY_RENEW_MS * NS_PER_MS);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

UNIT_TEST(test_only_a_lock_of_another_boot_that_was_not_released_is_watched)
{
    set_boot("monday\n");
    /* the boot of the last server was unknown */
    assert_int_equal(restart_and_count_sleeps(0, OK), 0);
    assert_int_equal(restart_and_count_sleeps(0, OK), 0); /* killed in this boot */
    set_boot("tuesday\n");
    assert_true(restart_and_count_sleeps(0, OK) > 0); /* killed, or running on another machine */
    assert_int_equal(restart_and_count_sleeps(0, OK), 0);
    machine_close(&machine); /* closed in order */
    set_boot("wednesday\n");
    assert_int_equal(restart_and_count_sleeps(0, OK), 0);
}

UNIT_TEST(test_a_new_directory_and_a_snapshot_are_not_watched)
{
    must(env_remove_tree(machine.env, STORE_DIR, NULL));
    assert_int_equal(restart_and_count_sleeps(0, OK), 0);
    must(env_unlink(machine.env, LOCK_PATH, NULL));
    must(env_unlink(machine.env, STORE_DIR "/IDENTITY", NULL));
    assert_int_equal(restart_and_count_sleeps(0, OK), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_without_a_lock_the_second_server_is_refused_and_the_first_stops),
        claim(test_nothing_opens_or_changes_an_unfinished_restore),
        claim(test_a_start_on_files_of_others_leaves_no_lock),
        claim(test_memory_is_written_to_a_part_while_lock_or_format_is_left),
        claim(test_without_any_file_all_of_memory_and_the_list_of_parts_are_written),
        claim(test_with_lock_and_format_replaced_nothing_is_written_for_good),
        claim(test_a_server_stops_for_good_if_its_lock_or_format_is_replaced),
        claim(test_a_server_stops_when_another_one_writes_its_name_into_lock),
        claim(test_who_only_reads_is_refused_beside_a_server_whose_lock_is_gone),
        claim(test_a_start_without_a_lock_is_refused_during_identity_renewal),
        claim(test_only_a_lock_of_another_boot_that_was_not_released_is_watched),
        claim(test_a_new_directory_and_a_snapshot_are_not_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
