/* test_rules_test.c - `firekeep test rules`: exit status, order of what it prints, --run. */
#include "lib/test.h"

#include "cli/cli.h"
#include "lib/cli_run.h"
#include "lib/test_dir.h"
#include "lib/texts.h"
#include "sys/env.h"

static char dir[TEST_DIR_BYTES], file[96];

static int
make_dir(void **state)
{
    (void)state;
    if (!make_test_dir(dir)) return -1;
    snprintf(file, sizeof file, "%s/tests.yml", dir);
    return 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : -1;
}

static const struct command *const commands[] = {&command_test, NULL};

#define RUN(...) cli_run_joined(commands, (const char *const[]){"test", "rules", __VA_ARGS__, NULL})

/* Writes a file of two tests: "good" passes; "bad" and a test without a name expect another value.
 */
static void
write_tests(void)
{
#define TEST_OF(value)                                                        \
    "  input_series: [{series: x, values: '1 2 3'}]\n"                        \
    "  promql_expr_test: [{expr: x, eval_time: 2m, exp_samples: [{labels: x," \
    " value: " value "}]}]\n"
    write_text_file(file,
                    "evaluation_interval: 1m\ntests:\n"
                    "- name: good\n" TEST_OF("3") "- name: bad\n" TEST_OF("4") "-\n" TEST_OF("5"));
}

static void
expect_printed(const char *words)
{
    if (strstr(cli_out, words) == NULL) fail_msg("'%s' is not in: %s", words, cli_out);
}

UNIT_TEST(test_tests_that_pass_end_with_0)
{
    char expected[200];
    write_tests();
    assert_int_equal(RUN("--run=good", file), EXIT_DONE);
    snprintf(expected, sizeof expected, "Unit Testing:  %s\n  SUCCESS\n\n", file);
    assert_string_equal(cli_out, expected);
}

UNIT_TEST(test_the_rules_of_the_files_that_are_named_are_evaluated)
{
    char rules[128];
    snprintf(rules, sizeof rules, "%s/rules.yml", dir);
    write_text_file(rules, "groups: [{name: g, rules: [{record: y, expr: x + 1}]}]\n");
    write_text_file(file, "rule_files: ['*les.yml']\n"
                          "evaluation_interval: 1m\n"
                          "tests:\n"
                          "- input_series: [{series: x, values: '1 2 3'}]\n"
                          "  promql_expr_test: [{expr: y, eval_time: 2m, exp_samples: [{labels: y,"
                          " value: 4}]}]\n");
    assert_int_equal(RUN(file), EXIT_DONE);
    write_text_file(rules, "groups: [{name: g, rules: [{record: y, expr: x +}]}]\n");
    assert_int_equal(RUN(file), EXIT_FAILED);
    expect_printed("invalid expression");
}

UNIT_TEST(test_failures_are_printed_after_the_name_of_their_file)
{
    char begin[200];
    write_tests();
    assert_int_equal(RUN(file), EXIT_FAILED);
    int size = snprintf(begin, sizeof begin, "Unit Testing:  %s\n  FAILED:\n", file);
    if (strncmp(cli_out, begin, (size_t)size) != 0) fail_msg("printed: %s", cli_out);
    expect_printed("exp: {__name__=\"x\"} 4E+00\n");
    const char *first = strstr(cli_out, "exp:"), *second = first ? strstr(first + 4, "exp:") : NULL;
    assert_non_null(second);
    assert_null(strstr(second + 4, "exp:"));
    assert_non_null(strstr(cli_out, "\n\n")); /* after the first failure, before the second */
    assert_true(strstr(cli_out, "\n\n") < second);
}

UNIT_TEST(test_a_name_that_any_run_matches_is_run)
{
    write_tests();
    assert_int_equal(RUN("--run=nobody", "--run=ba.", file), EXIT_FAILED);
    expect_printed("exp: {__name__=\"x\"} 4E+00\n");
    assert_int_equal(RUN("--run=nobody", "--run=goo", file), EXIT_DONE);
    assert_int_equal(RUN("--run=(", file), EXIT_USAGE);
    expect_printed("--run");
}

UNIT_TEST(test_wrong_words_end_with_2)
{
    write_tests();
    assert_int_equal(RUN("--run=good"), EXIT_USAGE);
    expect_printed("missing FILE");
    assert_int_equal(RUN("--query.features=none-such", file), EXIT_USAGE);
    expect_printed("none-such");
    assert_int_equal(cli_run_joined(commands, (const char *const[]){"test", NULL}), EXIT_USAGE);
    expect_printed("expected 'rules'");
}

UNIT_TEST(test_a_file_that_is_missing_ends_with_1)
{
    write_tests();
    assert_int_equal(RUN("/nowhere/tests.yml", "--run=good", file), EXIT_FAILED);
    expect_printed("/nowhere/tests.yml");
    expect_printed("  SUCCESS\n"); /* of the other file */
}

int
main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_tests_that_pass_end_with_0),
        IN_DIR(test_the_rules_of_the_files_that_are_named_are_evaluated),
        IN_DIR(test_failures_are_printed_after_the_name_of_their_file),
        IN_DIR(test_a_name_that_any_run_matches_is_run),
        IN_DIR(test_wrong_words_end_with_2),
        IN_DIR(test_a_file_that_is_missing_ends_with_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
