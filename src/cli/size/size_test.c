/* size_test.c - `firekeep size`: what it prints, and what it refuses. */
#include "cli/commands.h"

#include "lib/cli_run.h"
#include "lib/test_dir.h"
#include "lib/texts.h"
#include "sys/env.h"

static const struct command *const commands[] = {&command_size, NULL};
static char dir[TEST_DIR_BYTES], file[96];

static int
run_words(const char *const *words)
{
    return cli_run_into(cli_memory_file(), commands, words);
}
#define RUN(...) run_words((const char *const[]){"size", __VA_ARGS__, NULL})

static void
expect_words(const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strstr(cli_out, *words) == NULL) fail_msg("'%s' is not in: %s", *words, cli_out);
    }
}
#define EXPECT(...) expect_words((const char *const[]){__VA_ARGS__, NULL})

UNIT_TEST(test_a_load_is_printed_as_text_and_as_json)
{
    assert_int_equal(RUN("--series=100000", "--retention=1d"), EXIT_DONE);
    EXPECT("samples kept               576000000", "largest resident size      110.6 MiB");
    assert_int_equal(RUN("--series=100000", "--interval=30s", "--retention=1d", "--format=json"),
                     EXIT_DONE);
    EXPECT("\"samplesKept\":288000000", "\"secondsPerMillionSamples\":0.4492");
    assert_null(strstr(cli_out, "costs"));
}

UNIT_TEST(test_churn_makes_series_and_late_samples_take_time)
{
    assert_int_equal(RUN("--series=1000", "--retention=100h", "--churn=2.5%"), EXIT_DONE);
    EXPECT("series kept                3500");
    assert_int_equal(RUN("--series=1000", "--late", "10", "--format=json"), EXIT_DONE);
    EXPECT("\"secondsPerMillionSamples\":1.2492");
}

UNIT_TEST(test_costs_are_those_of_the_file)
{
    assert_true(make_test_dir(dir));
    snprintf(file, sizeof file, "%s/prices", dir);
    write_text_file(file, "date 2020-02-29\nwhat here\ndisk 2\nmachine tiny 1 1 5\n");
    char flag[128];
    snprintf(flag, sizeof flag, "--prices=%s", file);
    assert_int_equal(RUN("--series=1000", flag), EXIT_DONE);
    EXPECT("as of                      2020-02-29", "machine                    tiny");
    assert_int_equal(RUN("--series=10000000", flag), EXIT_DONE);
    assert_null(strstr(cli_out, "tiny"));
    write_text_file(file, "disk 2\n");
    assert_int_equal(RUN("--series=1000", flag), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "'date' or 'disk' is missing"));
    assert_int_equal(env_remove_tree(env_real(), dir, NULL), OK);
    assert_int_equal(RUN("--series=1000", flag), EXIT_FAILED);
}

UNIT_TEST(test_impossible_loads_are_refused)
{
    static const char *const cases[][2] = {
        {"--churn=1", "--series: expected a number from 1"},
        {"--series=10000000001", "--series: expected a number from 1"},
        {"--interval=0s", "--interval: must be above 0"},
        {"--retention=1s", "--retention: must be at least --interval"},
        {"--churn=-1", "--churn: expected a percentage"},
        {"--churn=nan", "--churn: expected a percentage"},
        {"--churn=5%h", "--churn: expected a percentage"},
        {"--late=101%", "--late: must be at most 100"},
        {"word", "unexpected argument 'word'"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(i < 2 ? RUN(cases[i][0]) : RUN("--series=1", cases[i][0]), EXIT_USAGE);
        if (strstr(cli_err, cases[i][1]) == NULL) fail_msg("%s: %s", cases[i][0], cli_err);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_load_is_printed_as_text_and_as_json),
        cmocka_unit_test(test_churn_makes_series_and_late_samples_take_time),
        cmocka_unit_test(test_costs_are_those_of_the_file),
        cmocka_unit_test(test_impossible_loads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
