/* exit_status_test.c - the exit status of commands that read a storage directory that is whole,
 * damaged, or missing. */
#include "lib/test.h"

#include <sys/stat.h>

#include "cli/cli.h"
#include "lib/cli_dir.h"
#include "lib/cli_run.h"
#include "lib/texts.h"
#include "sys/env.h"

static const struct command *const commands[] = {
    &command_import,   &command_query,   &command_verify,    &command_inspect,
    &command_export,   &command_sources, &command_deletions, &command_plan,
    &command_undelete, &command_health,  &command_backup,    NULL};

#define RUN(...) cli_run_child(commands, (const char *const[]){__VA_ARGS__, NULL})

static void
make_store(void)
{
    write_text_file(cli_file, "up{a=\"b\"} 7 1700000000000\n");
    cli_expect(RUN("import", "--storage.path", cli_store, "--format=prometheus", cli_file),
               EXIT_DONE, "imported 1 sample");
}

enum { IN_HEADER = 16, IN_FIRST_PAGE = 64 + 16 };

#define QUERY "query", "--storage.path", cli_store, "--time=1700000000"

UNIT_TEST(test_commands_that_read_a_whole_directory_end_with_0)
{
    make_store();
    cli_expect(RUN(QUERY, "up"), EXIT_DONE, "7");
    cli_expect(RUN(QUERY, "down"), EXIT_DONE, "the result is empty");
    cli_expect(RUN("verify", cli_store), EXIT_DONE, ": ok (1 part,");
    cli_expect(RUN("inspect", cli_store), EXIT_DONE, "");
}

UNIT_TEST(test_a_query_of_a_directory_gives_json_and_its_plan)
{
    make_store();
    cli_expect(RUN(QUERY, "--format=json", "up"), EXIT_DONE, "\"value\":[1700000000,\"7\"]");
    cli_expect(RUN(QUERY, "--format=json", "--explain", "up"), EXIT_DONE,
               "\"operator\":\"selector\"");
    cli_expect(RUN(QUERY, "--analyze", "up"), EXIT_DONE, "selector");
}

UNIT_TEST(test_commands_that_read_damage_end_with_1)
{
    make_store();
    cli_damage_part(IN_FIRST_PAGE);
    cli_expect(RUN(QUERY, "up"), EXIT_FAILED, "damaged");
    cli_expect(RUN("verify", cli_store), EXIT_FAILED, "damaged");
}

/* A remark that lacks memory does not hide the damage. */
UNIT_TEST(test_inspect_ends_with_1_for_damage_whatever_memory_is_lacking)
{
    char path[128];
    make_store();
    snprintf(path, sizeof path, "%s/rules", cli_store);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/rules/state", cli_store);
    write_text_file(path, "junk");
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        const char *const words[] = {"inspect", cli_store, NULL};
        mem_fail_nth(nth, false);
        int status = cli_run_into(cli_memory_file(), commands, words);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        cli_expect(status, EXIT_FAILED, "");
    }
    cli_expect(EXIT_FAILED, EXIT_FAILED, "1 place is damaged");
}

UNIT_TEST(test_commands_that_leave_out_a_part_end_with_1)
{
    make_store();
    cli_damage_part(IN_HEADER);
    cli_expect(RUN(QUERY, "up"), EXIT_FAILED, "the result may be incomplete");
    cli_expect(RUN("export", "--storage.path", cli_store), EXIT_FAILED, "the output is incomplete");
    cli_expect(RUN("export", "--storage.path", cli_store, "--partial"), EXIT_FAILED,
               "the output is incomplete");
    cli_expect(RUN("verify", cli_store), EXIT_FAILED, "damaged");
}

UNIT_TEST(test_commands_that_find_no_directory_end_with_1)
{
    cli_expect(RUN("verify", cli_store), EXIT_FAILED, cli_store);
    cli_expect(RUN("inspect", cli_store), EXIT_FAILED, cli_store);
    assert_int_not_equal(access(cli_store, F_OK), 0);
}

UNIT_TEST(test_wrong_words_end_with_2)
{
    make_store();
    cli_expect(RUN(QUERY, "up{"), EXIT_USAGE, "parse error");
    cli_expect(RUN(QUERY, ""), EXIT_USAGE,
               "firekeep query: 1:1: parse error: no expression found in input\n   \n  ^\n");
    cli_expect(RUN(QUERY), EXIT_USAGE, "expected one EXPR");
    cli_expect(RUN("verify"), EXIT_USAGE, "expected one DIR");
    cli_expect(RUN("inspect"), EXIT_USAGE, "");
    cli_expect(RUN("sources", "test", "x"), EXIT_USAGE, "--config.file is required");
    cli_expect(RUN("deletions", "1", "2"), EXIT_USAGE, "expected at most one ID");
    cli_expect(RUN("deletions", "007"), EXIT_USAGE, "'007' is not the number of a deletion");
    cli_expect(RUN("plan"), EXIT_USAGE, "expected one FILE");
    cli_expect(RUN("plan", "--url=http://h", "--storage.path=d", "f"), EXIT_USAGE,
               "exclude each other");
    cli_expect(RUN("plan", "/nowhere/f.yml"), EXIT_FAILED, "cannot open");
    cli_expect(RUN("undelete"), EXIT_USAGE, "expected one ID");
    cli_expect(RUN("health", "--url=h:1"), EXIT_USAGE, "--url: expected a URL");
    cli_expect(RUN("deletions", "--url=h:1"), EXIT_USAGE, "--url: expected a URL");
    cli_expect(RUN("undelete", "--url=h:1", "1"), EXIT_USAGE, "--url: expected a URL");
    cli_expect(RUN("plan", "--url=h:1", "f"), EXIT_USAGE, "--url: expected a URL");
    cli_expect(RUN("backup", "--url=h:1", cli_store), EXIT_USAGE, "--url: expected a URL");
    cli_expect(RUN("undelete", "--tenant=a|b", "1"), EXIT_USAGE, "--tenant");
}

UNIT_TEST(test_an_invalid_url_of_the_environment_is_named)
{
    assert_int_equal(setenv("FIREKEEP_URL", "h:1", 1), 0);
    cli_expect(RUN("health"), EXIT_USAGE, "FIREKEEP_URL: expected a URL");
    cli_expect(RUN("deletions"), EXIT_USAGE, "FIREKEEP_URL: expected a URL");
    cli_expect(RUN("plan", "f"), EXIT_USAGE, "FIREKEEP_URL: expected a URL");
    cli_expect(RUN("backup", cli_store), EXIT_USAGE, "FIREKEEP_URL: expected a URL");
    assert_int_equal(unsetenv("FIREKEEP_URL"), 0);
}

UNIT_TEST(test_a_range_of_more_steps_than_allowed_ends_with_2)
{
#define RANGE(end) \
    "query", "--storage.path", cli_store, "--start=1700000000", "--end=" end, "--step=1s", "up"
    make_store();
    cli_expect(RUN(RANGE("1700011000")), EXIT_DONE, "");
    cli_expect(RUN(RANGE("1700011001")), EXIT_USAGE,
               "the range has more than 11000 steps (query.max_points); use a longer --step");
}

UNIT_TEST(test_an_expression_without_a_result_ends_with_1)
{
    make_store();
    cli_expect(RUN(QUERY, "up + on () group_left vector(1) + on () (up or vector(1))"), EXIT_FAILED,
               "found duplicate series");
}

UNIT_TEST(test_a_source_that_cannot_be_read_ends_with_1)
{
    char config[104], text[300];
    snprintf(config, sizeof config, "%s.yml", cli_file);
    snprintf(text, sizeof text, "sources: [{name: old, type: archive, path: %s, layout: flat}]\n",
             cli_store);
    write_text_file(cli_file, text);
    assert_int_equal(rename(cli_file, config), 0);
    cli_expect(RUN("sources", "test", "old", "--config.file", config), EXIT_FAILED, cli_store);
    cli_expect(RUN("sources", "test", "new", "--config.file", config), EXIT_FAILED,
               "source 'new' not found");
    make_store();
    assert_int_equal(env_remove_tree(env_real(), cli_store, NULL), OK);
    assert_int_equal(env_mkdir(env_real(), cli_store, NULL), OK);
    cli_expect(RUN("sources", "test", "old", "--config.file", config), EXIT_DONE, "old: ok");
}

int
main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, cli_dir_make, cli_dir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_commands_that_read_a_whole_directory_end_with_0),
        IN_DIR(test_a_query_of_a_directory_gives_json_and_its_plan),
        IN_DIR(test_commands_that_read_damage_end_with_1),
        IN_DIR(test_inspect_ends_with_1_for_damage_whatever_memory_is_lacking),
        IN_DIR(test_commands_that_leave_out_a_part_end_with_1),
        IN_DIR(test_commands_that_find_no_directory_end_with_1),
        IN_DIR(test_wrong_words_end_with_2),
        IN_DIR(test_an_invalid_url_of_the_environment_is_named),
        IN_DIR(test_a_range_of_more_steps_than_allowed_ends_with_2),
        IN_DIR(test_an_expression_without_a_result_ends_with_1),
        IN_DIR(test_a_source_that_cannot_be_read_ends_with_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
