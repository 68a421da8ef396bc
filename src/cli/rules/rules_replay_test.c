/*
 * rules_replay_test.c - rules replay on a storage directory, as a command: each evaluation is made
 * once, also after it was killed; its exit status.
 *
 * A killed replay leaves its progress file and the samples that it wrote: tests make both as it
 * would have left them.
 */
#include "lib/test.h"

#include <sys/stat.h>

#include "cli/commands.h"
#include "lib/cli_run.h"
#include "lib/test_dir.h"
#include "lib/texts.h"
#include "sys/env.h"

static char dir[TEST_DIR_BYTES], store[96], file[96], rules[96], config[96], progress[96];

static const struct command *const commands[] = {&command_import, &command_export, &command_rules,
                                                 NULL};

#define RUN(...) cli_run_child(commands, (const char *const[]){__VA_ARGS__, NULL})

static void
expect_status(int got, int expected)
{
    if (got != expected) fail_msg("status %d, expected %d: %s%s", got, expected, cli_out, cli_err);
}

static void
expect_output(const char *words)
{
    if (strstr(cli_err, words) == NULL && strstr(cli_out, words) == NULL) {
        fail_msg("'%s' is not in: %s%s", words, cli_out, cli_err);
    }
}

#define GROUP(expression) \
    "groups: [{name: g, interval: 1m, rules: [{record: r, expr: '" expression "'}]}]\n"

/* Makes two slices of ten minutes, with a sample each minute, and some before. */
static int
begin(void **state)
{
    char text[4096];
    size_t size = 0;
    (void)state;
    if (!make_test_dir(dir)) return -1;
    snprintf(store, sizeof store, "%s/store", dir);
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(rules, sizeof rules, "%s/rules.yml", dir);
    snprintf(config, sizeof config, "%s/config.yml", dir);
    snprintf(progress, sizeof progress, "%s/progress", dir);
    for (long long t = 1699999200 - 300; t < 1699999200 + 1200; t += 60) {
        size += (size_t)snprintf(text + size, sizeof text - size, "up 1 %lld000\n", t);
    }
    write_text_file(file, text);
    write_text_file(rules, GROUP("up + 1"));
    snprintf(text, sizeof text, "rule_files: ['%s']\n", rules);
    write_text_file(config, text);
    expect_status(RUN("import", "--storage.path", store, "--format=prometheus", file), EXIT_DONE);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : -1;
}

#define REPLAY_FROM(start, ...)                                                                \
    RUN("rules", "replay", "--storage.path", store, "--config.file", config, "--start=" start, \
        "--end=1700000399.999", "--slice=10m" __VA_OPT__(, ) __VA_ARGS__)
#define REPLAY(...) REPLAY_FROM("1699999200", __VA_ARGS__)

static void
expect_recorded(unsigned samples)
{
    char words[64];
    expect_status(RUN("export", "--storage.path", store, "--match=r", "--format=csv"), EXIT_DONE);
    snprintf(words, sizeof words, "exported %u samples", samples);
    expect_output(words);
}

UNIT_TEST(test_each_evaluation_of_the_range_is_made_once)
{
    expect_status(REPLAY(), EXIT_DONE);
    expect_recorded(20);
    expect_status(REPLAY(), EXIT_DONE);
    expect_recorded(20);
}

UNIT_TEST(test_a_result_that_differs_from_what_is_stored_ends_with_1)
{
    expect_status(REPLAY(), EXIT_DONE);
    write_text_file(rules, GROUP("up + 2"));
    expect_status(REPLAY(), EXIT_FAILED);
    expect_recorded(20);
    expect_status(REPLAY("--overwrite"), EXIT_DONE);
    expect_status(REPLAY(), EXIT_DONE);
    expect_recorded(20);
}

UNIT_TEST(test_a_rule_that_fails_ends_with_1)
{
    write_text_file(
        rules,
        GROUP("up * on () group_left () (up or label_replace(up, \"x\", \"y\", \"\", \"\"))"));
    expect_status(REPLAY(), EXIT_FAILED);
    expect_output("found duplicate series");
    write_text_file(rules, GROUP("up +"));
    expect_status(REPLAY(), EXIT_FAILED);
    expect_status(RUN("rules", "replay", "--storage.path", store, "--config.file", config),
                  EXIT_USAGE);
}

/* Leaves a progress file with the slices in these states (slice_state.h). */
static void
leave_killed(const char *states, const char *overwrite)
{
    char text[4096] = {0};
    if (access(progress, F_OK) != 0) {
        expect_status(REPLAY("--resume", progress, overwrite), EXIT_DONE);
    }
    if (access(progress, F_OK) != 0) return;
    FILE *f = fopen(progress, "r+");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    char *at = strstr(text, "\nslices ");
    assert_non_null(at);
    assert_int_equal(strlen(at), strlen("\nslices ") + 2 + 1);
    memcpy(at + strlen("\nslices "), states, 2);
    rewind(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

/* A finished slice is not evaluated again. */
UNIT_TEST(test_a_replay_killed_in_any_slice_continues_after_it)
{
    static const struct {
        const char *states;
        unsigned samples; /* samples written if none are stored */
    } cases[] = {{"..", 20}, {"c.", 10}, {".c", 10}, {"cc", 0}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        leave_killed(cases[i].states, NULL);
        assert_int_equal(env_remove_tree(env_real(), store, NULL), OK);
        expect_status(RUN("import", "--storage.path", store, "--format=prometheus", file),
                      EXIT_DONE);
        expect_status(REPLAY("--resume", progress), EXIT_DONE);
        expect_recorded(cases[i].samples);
    }
}

/* A resumed run does not delete results that were recorded after its deletion. */
UNIT_TEST(test_a_replay_killed_after_it_deleted_does_not_delete_again)
{
    leave_killed("dd", "--overwrite");
    expect_recorded(20);
    expect_status(REPLAY("--resume", progress, "--overwrite"), EXIT_DONE);
    expect_recorded(20);
    leave_killed("cd", "--overwrite");
    write_text_file(file, "r 7 1699999500000\n");
    expect_status(RUN("import", "--storage.path", store, "--format=prometheus", file), EXIT_DONE);
    expect_status(REPLAY("--resume", progress, "--overwrite"), EXIT_DONE);
    expect_recorded(21);
}

UNIT_TEST(test_a_replay_does_not_continue_another_one)
{
    leave_killed("c.", NULL);
    expect_status(REPLAY_FROM("1699999201", "--resume", progress), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    expect_status(REPLAY("--resume", progress, "--overwrite"), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    write_text_file(rules, GROUP("up + 3"));
    expect_status(REPLAY("--resume", progress), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
}

UNIT_TEST(test_a_replay_that_fails_after_it_began_says_how_to_continue)
{
    char beside[200];
    snprintf(beside, sizeof beside, "%s.tmp", progress);
    assert_int_equal(mkdir(beside, 0700), 0); /* the progress cannot be saved */
    expect_status(REPLAY("--resume", progress), EXIT_FAILED);
    expect_output("run the same command again to continue");
    expect_status(REPLAY("--resume", progress, "--overwrite"), EXIT_FAILED);
    assert_null(strstr(cli_err, "run the same command again")); /* nothing is deleted */
}

int
main(void)
{
#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        IN_STORE(test_each_evaluation_of_the_range_is_made_once),
        IN_STORE(test_a_result_that_differs_from_what_is_stored_ends_with_1),
        IN_STORE(test_a_rule_that_fails_ends_with_1),
        IN_STORE(test_a_replay_killed_in_any_slice_continues_after_it),
        IN_STORE(test_a_replay_killed_after_it_deleted_does_not_delete_again),
        IN_STORE(test_a_replay_does_not_continue_another_one),
        IN_STORE(test_a_replay_that_fails_after_it_began_says_how_to_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
