/*
 * rules_replay_test.c - rules replay on a storage directory, as a command: each evaluation is made
 * once, also after it was killed; its exit status.
 *
 * A killed replay leaves its progress file and the samples that it wrote: tests make both as it
 * would have left them.
 */
#include "lib/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/cli.h"
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
    if (strstr(cli_err, words) == NULL && strstr(cli_out, words) == NULL)
        fail_msg("'%s' is not in: %s%s", words, cli_out, cli_err);
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
    for (long long t = 1699999200 - 300; t < 1699999200 + 1200; t += 60)
        size += (size_t)snprintf(text + size, sizeof text - size, "up 1 %lld000\n", t);
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

/* Leaves a progress file with the slices in these states (resume.h). */
static void
leave_killed(const char *states, const char *overwrite)
{
    char text[4096] = {0};
    if (access(progress, F_OK) != 0)
        expect_status(REPLAY("--resume", progress, overwrite), EXIT_DONE);
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

/* --- overwriting ------------------------------------------------------------------------------ */

#define BOTH(expression)                                                                \
    "groups:\n"                                                                         \
    "- {name: g, interval: 1m, rules: [{record: r, expr: '" expression "'},\n"          \
    "   {record: s, expr: '" expression "', labels: {a: b}}]}\n"                        \
    "- {name: itself, interval: 1m, rules: [{record: n, expr: 'last_over_time(n[90s]) " \
    "+ " expression " or up'}]}\n"

static struct env_ops dying_ops, real_ops;
static int calls_left; /* that change a file, before the process is killed */

static void
call(void)
{
    if (calls_left-- == 0) raise(SIGKILL);
}

static ssize_t
dying_pwrite(struct env *env, int fd, const void *from, size_t size, uint64_t offset)
{
    call();
    return real_ops.pwrite(env, fd, from, size, offset);
}

static int
dying_datasync(struct env *env, int fd)
{
    call();
    return real_ops.datasync(env, fd);
}

static int
dying_rename(struct env *env, const char *from, const char *to)
{
    call();
    return real_ops.rename(env, from, to);
}

static int
dying_unlink(struct env *env, const char *path)
{
    call();
    return real_ops.unlink(env, path);
}

/* Overwrites in a process that is killed before such a call. */
static int
overwrite_until(int calls, const char *resume_flag, const char *resume)
{
    struct env *env = env_real();
    const struct env_ops *ops = env->ops;
    dying_ops = real_ops = *ops;
    dying_ops.pwrite = dying_pwrite;
    dying_ops.datasync = dying_datasync;
    dying_ops.rename = dying_rename;
    dying_ops.unlink = dying_unlink;
    calls_left = calls;
    env->ops = &dying_ops;
    int status = REPLAY("--overwrite", resume_flag, resume);
    env->ops = ops;
    return status;
}

static void
in_dir(const char *line)
{
    char all[400];
    snprintf(all, sizeof all, "cd %s && %s", dir, line);
    assert_int_equal(system(all), 0);
}

struct recorded_text {
    char of_g[8192], of_itself[8192];
};

static void
take_recorded(struct recorded_text *to)
{
    memset(to, 0, sizeof *to); /* they are compared as a whole */
    expect_status(RUN("export", "--storage.path", store, "--match={__name__=~\"r|s\"}",
                      "--format=prometheus"),
                  EXIT_DONE);
    snprintf(to->of_g, sizeof to->of_g, "%s", cli_out);
    expect_status(RUN("export", "--storage.path", store, "--match=n", "--format=prometheus"),
                  EXIT_DONE);
    snprintf(to->of_itself, sizeof to->of_itself, "%s", cli_out);
}

static void
import_late_series(void)
{
    char text[4096];
    size_t size = 0;
    for (long long t = 1699999200; t < 1699999200 + 1200; t += 60)
        size += (size_t)snprintf(text + size, sizeof text - size, "up{of=\"late\"} 5 %lld000\n", t);
    write_text_file(file, text);
    expect_status(RUN("import", "--storage.path", store, "--format=prometheus", file), EXIT_DONE);
}

/* Until the new results of a group are stored, either the old ones are, or a durable file has the
 * new ones; of a group that reads its own results, another evaluation makes them. Samples that
 * arrive after the kill are in the new results, unless it is said that these are kept. */
UNIT_TEST(test_an_overwriting_replay_killed_anywhere_is_continued)
{
    static struct recorded_text before, after, after_late, got;
    static const struct {
        const char *flag, *resume;
        bool has_late;
        int step;
    } cases[] = {{"--resume", progress, false, 1}, {NULL, NULL, false, 10}, {NULL, NULL, true, 1}};
    unsigned kept = 0;
    assert_int_equal(chdir(dir), 0);
    in_dir("cp -a store samples");
    write_text_file(rules, BOTH("up + 2"));
    expect_status(REPLAY(), EXIT_DONE);
    take_recorded(&after);
    in_dir("rm -r store && cp -a samples store");
    import_late_series();
    expect_status(REPLAY(), EXIT_DONE);
    take_recorded(&after_late);
    in_dir("rm -r store && mv samples store");
    write_text_file(rules, BOTH("up"));
    expect_status(REPLAY(), EXIT_DONE);
    take_recorded(&before);
    in_dir("mv store old");
    write_text_file(rules, BOTH("up + 2"));
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = -1, calls = 0;
        for (; status != EXIT_DONE; calls += cases[i].step) {
            const struct recorded_text *expected = &after;
            in_dir("rm -rf store progress* firekeep-replay* && cp -a old store");
            status = overwrite_until(calls, cases[i].flag, cases[i].resume);
            take_recorded(&got);
            if (strlen(got.of_g) != strlen(after.of_g)) /* some of the slice are missing */
                in_dir("ls progress.0 firekeep-replay*.0 2>/dev/null | grep -q .");
            if (status != EXIT_DONE) {
                assert_int_equal(status, 128 + SIGKILL);
                if (cases[i].has_late) import_late_series();
                expect_status(REPLAY("--overwrite", cases[i].flag, cases[i].resume), EXIT_DONE);
                if (cases[i].has_late) expected = &after_late;
                if (cases[i].has_late && strstr(cli_err, "if samples arrived since")) {
                    kept++;
                    expected = NULL;
                }
                take_recorded(&got);
            }
            if (expected != NULL && memcmp(&got, expected, sizeof got) != 0)
                fail_msg("case %u, call %d: %s%s", i, calls, got.of_g, got.of_itself);
            in_dir("! ls progress.0 firekeep-replay* 2>/dev/null");
        }
        assert_true(calls > 20);
    }
    assert_true(kept > 5);
    assert_int_equal(chdir("/"), 0);
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
        IN_STORE(test_an_overwriting_replay_killed_anywhere_is_continued),
        IN_STORE(test_a_replay_does_not_continue_another_one),
        IN_STORE(test_a_replay_that_fails_after_it_began_says_how_to_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
