/* backup_test.c - backups of directories at rest, and which of them are kept. */
#include "lib/test.h"

#include <glob.h>

#include "backup/backup.h"
#include "cli/cli.h"
#include "lib/cli_dir.h"
#include "lib/cli_run.h"
#include "lib/texts.h"
#include "sys/env.h"

static char backups[96], restored[96];

static int
make_dir(void **state)
{
    if (cli_dir_make(state) != 0) return -1;
    snprintf(backups, sizeof backups, "%s/backups", cli_dir);
    snprintf(restored, sizeof restored, "%s/restored", cli_dir);
    return 0;
}

static const struct command *const commands[] = {&command_backup,  &command_import, &command_query,
                                                 &command_restore, &command_verify, NULL};

#define RUN(...) cli_run_child(commands, (const char *const[]){__VA_ARGS__, NULL})

static void
import(const char *text)
{
    write_text_file(cli_file, text);
    cli_expect(RUN("import", "--storage.path", cli_store, "--format=prometheus", cli_file),
               EXIT_DONE, "imported 1 sample");
}

static void
back_up(const char *words)
{
    cli_expect(RUN("backup", "--storage.path", cli_store, "--create", backups), EXIT_DONE, words);
}

#define QUERY "query", "--storage.path", restored, "--time=1700000000"

UNIT_TEST(test_a_restored_directory_answers_as_before)
{
    import("up{a=\"b\"} 7 1700000000000\n");
    back_up("new files");
    import("up{a=\"b\"} 8 1700000000001\n");
    back_up("parts not read again       2");
    cli_expect(RUN("restore", backups, restored), EXIT_DONE, "files");
    cli_expect(RUN("verify", restored), EXIT_DONE, ": ok (2 parts,");
    cli_expect(RUN(QUERY, "up"), EXIT_DONE, "7");
    cli_expect(RUN("restore", backups, restored), EXIT_FAILED, "is not empty");
    snprintf(restored, sizeof restored, "%s/./backups/new", cli_dir);
    cli_expect(RUN("restore", backups, restored), EXIT_FAILED, "is in the directory of backups");
}

/* Returns a number of the JSON that the last command printed. */
static uint64_t
figure(const char *name)
{
    char key[40];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(cli_out, key);
    if (at == NULL) fail_msg("no %s in %s", name, cli_out);
    return strtoull(at + strlen(key), NULL, 10);
}

UNIT_TEST(test_reports_of_a_backup_and_of_its_restore_agree)
{
    import("up{a=\"b\"} 7 1700000000000\n");
    cli_expect(RUN("backup", "--storage.path", cli_store, "--create", "--format=json", backups),
               EXIT_DONE, "\"id\":");
    uint64_t files = figure("files"), bytes = figure("bytes");
    assert_in_range(figure("newObjects"), 1, files);
    assert_in_range(figure("newBytes"), figure("newObjects"), bytes);
    assert_int_equal(figure("unchanged"), 0);
    cli_expect(RUN("restore", "--format=json", backups, restored), EXIT_DONE, "\"id\":");
    assert_int_equal(figure("files"), files);
    assert_int_equal(figure("bytes"), bytes);
}

UNIT_TEST(test_damage_ends_with_1_and_names_the_file)
{
    glob_t found;
    char pattern[128];
    import("up{a=\"b\"} 7 1700000000000\n");
    back_up("files");
    cli_expect(RUN("backup", "verify", backups), EXIT_DONE, ": ok (");
    snprintf(pattern, sizeof pattern, "%s/objects/*/*", backups);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(truncate(found.gl_pathv[0], 1), 0);
    globfree(&found);
    cli_expect(RUN("backup", "verify", backups), EXIT_FAILED, "is damaged");
    cli_expect(RUN("backup", "verify", backups), EXIT_FAILED, "Z: 1 of ");
    cli_expect(RUN("restore", backups, restored), EXIT_FAILED, "is damaged");
}

UNIT_TEST(test_a_directory_that_was_not_made_for_backups_is_refused)
{
    import("up{a=\"b\"} 7 1700000000000\n");
    cli_expect(RUN("backup", "--storage.path", cli_store, backups), EXIT_FAILED,
               "--create makes one");
    cli_expect(RUN("backup", "--storage.path", cli_store, "--create", cli_dir), EXIT_FAILED,
               "is not empty");
    cli_expect(RUN("backup", "list", cli_store), EXIT_FAILED, "is not a directory of backups");
    cli_expect(RUN("backup", "--storage.path", cli_dir, "--create", backups), EXIT_FAILED, "not a");
    cli_expect(RUN("restore", "--id=20260101T000000.000Z", backups, restored), EXIT_FAILED,
               "there is no backup");
    cli_expect(RUN("restore", "--id=../../x", backups, restored), EXIT_FAILED,
               "there is no backup");
}

UNIT_TEST(test_backups_inside_the_storage_directory_are_refused)
{
    char inside[128];
    import("up{a=\"b\"} 7 1700000000000\n");
    snprintf(inside, sizeof inside, "%s/backups", cli_store);
    cli_expect(RUN("backup", "--storage.path", cli_store, "--create", inside), EXIT_FAILED,
               "move it out of the storage directory");
}

/* Cut to its beginning, it would be the prefix of other backups. */
UNIT_TEST(test_a_prefix_of_a_bucket_that_is_too_long_is_refused)
{
    char address[900] = "s3://bucket/";
    size_t size = strlen(address);
    memset(address + size, 'p', 800);
    address[size + 800] = '\0';
    cli_expect(RUN("backup", "list", address), EXIT_FAILED, "the prefix has more than 766 bytes");
}

UNIT_TEST(test_a_prefix_of_a_bucket_that_leaves_it_is_refused)
{
    cli_expect(RUN("backup", "list", "s3://bucket/a/../b"), EXIT_FAILED, "the names '.' and '..'");
    cli_expect(RUN("backup", "list", "s3://bucket/.."), EXIT_FAILED, "the names '.' and '..'");
}

UNIT_TEST(test_wrong_words_end_with_2)
{
    cli_expect(RUN("backup"), EXIT_USAGE, "expected one DIR");
    cli_expect(RUN("backup", "--create", ""), EXIT_USAGE, "expected one DIR");
    cli_expect(RUN("backup", "list"), EXIT_USAGE, "expected one DIR");
    cli_expect(RUN("backup", "list", ""), EXIT_USAGE, "expected one DIR");
    cli_expect(RUN("restore", backups, ""), EXIT_USAGE, "expected DIR and TO");
    cli_expect(RUN("backup", "prune", backups), EXIT_USAGE, "prune requires --keep");
    cli_expect(RUN("backup", "list", "--keep=1", backups), EXIT_USAGE, "only valid with prune");
    cli_expect(RUN("backup", "verify", "--url=http://x", backups), EXIT_USAGE, "not valid with");
    cli_expect(RUN("backup", "--id=x", backups), EXIT_USAGE, "only valid with verify");
    cli_expect(RUN("backup", "--concurrency=65", backups), EXIT_USAGE, "at most 64");
    cli_expect(RUN("restore", backups), EXIT_USAGE, "expected DIR and TO");
}

UNIT_TEST(test_pruning_removes_what_no_flag_keeps)
{
    import("up{a=\"b\"} 7 1700000000000\n");
    back_up("files");
    back_up("files");
    back_up("files");
    cli_expect(RUN("backup", "prune", "--keep=2", "--dry-run", backups), EXIT_DONE,
               "1 backup would be removed, 2 kept\n");
    cli_expect(RUN("backup", "prune", "--keep=1", backups), EXIT_DONE,
               "2 backups removed, 1 kept; ");
    cli_expect(RUN("backup", "verify", backups), EXIT_DONE, ": ok (");
    cli_expect(RUN("restore", backups, restored), EXIT_DONE, "files");
}

/* --- policies --------------------------------------------------------------------------------- */

static void
expect_kept(const struct kept_policy *policy, const char *expected)
{
    static const struct backup_id ids[] = {
        {"20251130T010000.000Z"}, {"20251231T235959.999Z"}, {"20260101T000000.000Z"},
        {"20260104T100000.000Z"}, {"20260105T000000.000Z"}, {"20260105T120000.000Z"},
        {"20260106T000000.000Z"},
    };
    enum { COUNT = sizeof ids / sizeof *ids };
    bool keep[COUNT];
    char got[COUNT + 1] = "";
    kept_choose(policy, ids, COUNT, keep);
    for (size_t i = 0; i < COUNT; i++)
        got[i] = keep[i] ? 'k' : '-';
    assert_string_equal(got, expected);
}

UNIT_TEST(test_the_newest_of_each_period_in_utc_is_kept)
{
    expect_kept(&(struct kept_policy){.newest = 2}, "-----kk");
    expect_kept(&(struct kept_policy){.newest = 99}, "kkkkkkk");
    expect_kept(&(struct kept_policy){.daily = 3}, "---k-kk");
    expect_kept(&(struct kept_policy){.weekly = 2}, "---k--k"); /* 2026-01-05 is a Monday */
    expect_kept(&(struct kept_policy){.monthly = 3}, "kk----k");
    expect_kept(&(struct kept_policy){.newest = 1, .daily = 2, .monthly = 2}, "-k---kk");
}

int
main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, cli_dir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_a_restored_directory_answers_as_before),
        IN_DIR(test_reports_of_a_backup_and_of_its_restore_agree),
        IN_DIR(test_damage_ends_with_1_and_names_the_file),
        IN_DIR(test_a_directory_that_was_not_made_for_backups_is_refused),
        IN_DIR(test_backups_inside_the_storage_directory_are_refused),
        IN_DIR(test_a_prefix_of_a_bucket_that_leaves_it_is_refused),
        IN_DIR(test_a_prefix_of_a_bucket_that_is_too_long_is_refused),
        IN_DIR(test_wrong_words_end_with_2),
        IN_DIR(test_pruning_removes_what_no_flag_keeps),
        cmocka_unit_test(test_the_newest_of_each_period_in_utc_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
