/* exit_status_test.c - the exit status of commands that read a storage directory that is whole,
 * damaged, or missing. */
#include "lib/test.h"

#include <glob.h>

#include "cli/commands.h"
#include "lib/cli_run.h"
#include "lib/test_dir.h"
#include "lib/texts.h"
#include "sys/env.h"

static char dir[TEST_DIR_BYTES], store[96], file[96];

static int
make_dir(void **state)
{
    (void)state;
    if (!make_test_dir(dir)) return -1;
    snprintf(store, sizeof store, "%s/store", dir);
    snprintf(file, sizeof file, "%s/file", dir);
    return 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : -1;
}

static const struct command *const commands[] = {&command_import,
                                                 &command_query,
                                                 &command_verify,
                                                 &command_inspect,
                                                 &command_export,
                                                 &command_sources,
                                                 NULL};

#define RUN(...) cli_run_child(commands, (const char *const[]){__VA_ARGS__, NULL})

static void
expect_status(int got, int expected, const char *words)
{
    if (got != expected) fail_msg("status %d, expected %d: %s", got, expected, cli_err);
    if (strstr(cli_err, words) == NULL && strstr(cli_out, words) == NULL) {
        fail_msg("'%s' is not in: %s%s", words, cli_out, cli_err);
    }
}

static void
write_text(const char *text)
{
    write_text_file(file, text);
}

static void
make_store(void)
{
    write_text("up{a=\"b\"} 7 1700000000000\n");
    expect_status(RUN("import", "--storage.path", store, "--format=prometheus", file), EXIT_DONE,
                  "imported 1 sample");
}

enum { IN_HEADER = 16, IN_FIRST_PAGE = 64 + 16 };

/* Changes one byte of the only part. */
static void
damage_part(long offset)
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/parts/*/part", store);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    FILE *f = fopen(found.gl_pathv[0], "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_true(byte != EOF);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    fputc(byte ^ 0x55, f);
    fclose(f);
    globfree(&found);
}

#define QUERY "query", "--storage.path", store, "--time=1700000000"

UNIT_TEST(test_commands_that_read_a_whole_directory_end_with_0)
{
    make_store();
    expect_status(RUN(QUERY, "up"), EXIT_DONE, "7");
    expect_status(RUN(QUERY, "down"), EXIT_DONE, "the result is empty");
    expect_status(RUN("verify", store), EXIT_DONE, ": ok (1 part,");
    expect_status(RUN("inspect", store), EXIT_DONE, "");
}

UNIT_TEST(test_commands_that_read_damage_end_with_1)
{
    make_store();
    damage_part(IN_FIRST_PAGE);
    expect_status(RUN(QUERY, "up"), EXIT_FAILED, "damaged");
    expect_status(RUN("verify", store), EXIT_FAILED, "damaged");
}

UNIT_TEST(test_commands_that_leave_out_a_part_end_with_1)
{
    make_store();
    damage_part(IN_HEADER);
    expect_status(RUN(QUERY, "up"), EXIT_FAILED, "the result may be incomplete");
    expect_status(RUN("export", "--storage.path", store), EXIT_FAILED, "the output is incomplete");
    expect_status(RUN("export", "--storage.path", store, "--partial"), EXIT_FAILED,
                  "the output is incomplete");
    expect_status(RUN("verify", store), EXIT_FAILED, "damaged");
}

UNIT_TEST(test_commands_that_find_no_directory_end_with_1)
{
    expect_status(RUN("verify", store), EXIT_FAILED, store);
    expect_status(RUN("inspect", store), EXIT_FAILED, store);
    assert_int_not_equal(access(store, F_OK), 0);
}

UNIT_TEST(test_wrong_words_end_with_2)
{
    make_store();
    expect_status(RUN(QUERY, "up{"), EXIT_USAGE, "parse error");
    expect_status(RUN(QUERY), EXIT_USAGE, "expected one EXPR");
    expect_status(RUN("verify"), EXIT_USAGE, "expected one DIR");
    expect_status(RUN("inspect"), EXIT_USAGE, "");
    expect_status(RUN("sources", "test", "x"), EXIT_USAGE, "--config.file is required");
}

UNIT_TEST(test_a_range_of_more_steps_than_allowed_ends_with_2)
{
#define RANGE(end) \
    "query", "--storage.path", store, "--start=1700000000", "--end=" end, "--step=1s", "up"
    make_store();
    expect_status(RUN(RANGE("1700011000")), EXIT_DONE, "");
    expect_status(RUN(RANGE("1700011001")), EXIT_USAGE,
                  "the range has more than 11000 steps (query.max_points); use a longer --step");
}

UNIT_TEST(test_an_expression_without_a_result_ends_with_1)
{
    make_store();
    expect_status(RUN(QUERY, "up + on () group_left vector(1) + on () (up or vector(1))"),
                  EXIT_FAILED, "found duplicate series");
}

UNIT_TEST(test_a_source_that_cannot_be_read_ends_with_1)
{
    char config[104], text[300];
    snprintf(config, sizeof config, "%s.yml", file);
    snprintf(text, sizeof text, "sources: [{name: old, type: archive, path: %s, layout: flat}]\n",
             store);
    write_text(text);
    assert_int_equal(rename(file, config), 0);
    expect_status(RUN("sources", "test", "old", "--config.file", config), EXIT_FAILED, store);
    expect_status(RUN("sources", "test", "new", "--config.file", config), EXIT_FAILED,
                  "source 'new' not found");
    make_store();
    assert_int_equal(env_remove_tree(env_real(), store, NULL), OK);
    assert_int_equal(env_mkdir(env_real(), store, NULL), OK);
    expect_status(RUN("sources", "test", "old", "--config.file", config), EXIT_DONE, "old: ok");
}

int
main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_commands_that_read_a_whole_directory_end_with_0),
        IN_DIR(test_commands_that_read_damage_end_with_1),
        IN_DIR(test_commands_that_leave_out_a_part_end_with_1),
        IN_DIR(test_commands_that_find_no_directory_end_with_1),
        IN_DIR(test_wrong_words_end_with_2),
        IN_DIR(test_a_range_of_more_steps_than_allowed_ends_with_2),
        IN_DIR(test_an_expression_without_a_result_ends_with_1),
        IN_DIR(test_a_source_that_cannot_be_read_ends_with_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
