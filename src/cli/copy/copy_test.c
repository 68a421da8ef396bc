/*
 * copy_test.c - copies from an archive into a storage directory, and to destinations: the samples
 * that arrive, the continuation of a copy killed in any of its phases, and the exit status.
 *
 * A killed copy leaves its progress file and the samples that it wrote: tests make both as it would
 * have left them.
 */
#include "lib/test.h"

#include <sys/stat.h>

#include "cli/cli.h"
#include "lib/cli_run.h"
#include "lib/net/http_player.h"
#include "lib/test_dir.h"
#include "lib/texts.h"
#include "sys/env.h"

static char dir[TEST_DIR_BYTES], from[96], store[96], config[96], work[96], progress[112];

/* Two slices of one day each, with samples at the first and at the last millisecond of each. */
#define LINE(time, value) \
    "{\"name\":\"up\",\"time\":" time ",\"value\":" value ",\"labels\":{\"__name__\":\"up\"}}\n"
#define FIRST_DAY  LINE("1699920000000", "1") LINE("1700006399999", "2")
#define SECOND_DAY LINE("1700006400000", "3") LINE("1700092799999", "4")
#define ANOTHER    LINE("1700050000000", "5")
#define JUNK       "what is this?\n"

static int
make_dir(void **state)
{
    (void)state;
    if (!make_test_dir(dir)) return -1;
    snprintf(from, sizeof from, "%s/from", dir);
    snprintf(store, sizeof store, "%s/store", dir);
    snprintf(config, sizeof config, "%s/config.yml", dir);
    snprintf(work, sizeof work, "%s/work", dir);
    snprintf(progress, sizeof progress, "%s/progress", work);
    return mkdir(from, 0700);
}

static int
remove_dir(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : -1;
}

/* Sets up an archive with one object. `more` are further lines of the configuration. */
static void
give(const char *lines, const char *more)
{
    char path[128], text[1000];
    snprintf(path, sizeof path, "%s/object", from);
    write_text_file(path, lines);
    snprintf(text, sizeof text, "sources: [{name: old, type: archive, path: %s, layout: flat}]\n%s",
             from, more);
    write_text_file(config, text);
}

static const struct command *const commands[] = {&command_copy, &command_export, NULL};

#define RUN(...) cli_run_child(commands, (const char *const[]){__VA_ARGS__, NULL})
#define COPY(...)                                                              \
    RUN("copy", "--config.file", config, "--work", work, "--start=1699920000", \
        "--end=1700092799.999", __VA_ARGS__)
#define COPY_TO_STORE(...) COPY("--storage.path", store, "old", "local" __VA_OPT__(, ) __VA_ARGS__)

static void
expect_status(int got, int expected)
{
    if (got != expected) fail_msg("status %d, expected %d: %s", got, expected, cli_err);
}

static void
expect_output(const char *words)
{
    if (strstr(cli_err, words) == NULL) fail_msg("'%s' is not in: %s", words, cli_err);
}

static void
expect_stored(unsigned samples)
{
    char words[64];
    expect_status(RUN("export", "--storage.path", store, "--format=csv"), EXIT_DONE);
    snprintf(words, sizeof words, "exported %u samples", samples);
    expect_output(words);
}

/* --- exit status ------------------------------------------------------------------------------ */

UNIT_TEST(test_a_copy_of_all_samples_ends_with_0_and_leaves_no_work)
{
    give(FIRST_DAY SECOND_DAY, "");
    expect_status(COPY_TO_STORE(), EXIT_DONE);
    expect_output("copied 4 samples, 0 histograms in 2 of 2 slices");
    expect_output("verified 2 of 2 slices, 4 samples: 0 missing, 0 different");
    assert_string_equal(cli_out, ""); /* there is a report only with --report */
    assert_int_not_equal(access(work, F_OK), 0);
    expect_stored(4);
    expect_status(COPY_TO_STORE("--verify-only"), EXIT_DONE);
    expect_status(COPY_TO_STORE("--no-verify"), EXIT_DONE);
    expect_output("not verified: --no-verify");
}

UNIT_TEST(test_a_report_has_a_line_for_each_series_of_a_slice)
{
    char path[112], text[2000];
    snprintf(path, sizeof path, "%s/report", dir);
    give(FIRST_DAY SECOND_DAY, "");
    expect_status(COPY_TO_STORE("--report", path), EXIT_DONE);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    const char *line = text;
    for (unsigned day = 0; day < 2; day++) {
        char wanted[100];
        snprintf(wanted, sizeof wanted, "\"from_ms\":%lld,", 1699920000000 + day * 86400000LL);
        assert_non_null(strstr(line, "{\"metric\":{\"__name__\":\"up\"},"));
        assert_non_null(strstr(line, wanted));
        assert_non_null(strstr(line, "\"samples\":[2,2],"));
        assert_non_null(strstr(line, "\"missing\":0,\"different\":0}\n"));
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
}

UNIT_TEST(test_a_copy_of_an_archive_that_is_not_read_whole_ends_with_1)
{
    give(FIRST_DAY JUNK SECOND_DAY, "");
    expect_status(COPY_TO_STORE(), EXIT_FAILED);
    expect_output("left out of old: 1 lines are not samples");
    expect_output("old was not read whole");
    expect_status(COPY_TO_STORE(), EXIT_FAILED); /* also if nothing is left to do */
    expect_status(COPY_TO_STORE("--verify-only"), EXIT_FAILED);
    expect_output("old was not read whole");
    assert_int_equal(env_remove_tree(env_real(), work, NULL), OK);
    expect_status(COPY_TO_STORE("--no-verify"), EXIT_FAILED);
    expect_output("old was not read whole");
    expect_stored(4);
}

UNIT_TEST(test_a_copy_of_samples_that_are_refused_ends_with_1)
{
    give(LINE("4102444700000", "1") LINE("4102444800000", "1"), ""); /* far in the future */
    expect_status(RUN("copy", "--config.file", config, "--work", work, "--start=4102440000",
                      "--end=4102450000", "--storage.path", store, "--no-verify", "old", "local"),
                  EXIT_FAILED);
    expect_output("2 samples were refused");
}

UNIT_TEST(test_a_copy_beside_other_values_ends_with_1)
{
    give(FIRST_DAY SECOND_DAY, "");
    expect_status(COPY_TO_STORE(), EXIT_DONE);
    give(FIRST_DAY LINE("1700006400000", "7"), "");
    expect_status(COPY_TO_STORE(), EXIT_FAILED);
    expect_output("0 missing, 1 different");
    expect_status(COPY_TO_STORE("--verify-only"), EXIT_FAILED);
    expect_output("0 missing, 1 different");
}

/* OpenTSDB cannot store NaN; no server is needed, because nothing is sent to it. */
#define OPENTSDB "destinations: [{name: tsd, type: opentsdb, url: 'http://127.0.0.1:1'"
#define NAN_LINE \
    "{\"name\":\"up\",\"time\":1700050000000,\"value\":null,\"labels\":{\"__name__\":\"up\"}}\n"

UNIT_TEST(test_a_copy_to_a_destination_that_drops_samples_ends_with_1)
{
    give(NAN_LINE, OPENTSDB ", unrepresentable: drop}]\n");
    expect_status(COPY("old", "tsd"), EXIT_FAILED);
    expect_output("delivered 0 samples to tsd; 1 dropped");
    assert_int_equal(access(work, F_OK), 0);
}

UNIT_TEST(test_a_copy_that_leaves_dead_letters_ends_with_1)
{
    give(NAN_LINE, OPENTSDB "}]\n");
    expect_status(COPY("old", "tsd"), EXIT_FAILED);
    expect_output("delivered 0 samples to tsd; 1 refused: see firekeep dead-letters list");
    assert_int_equal(access(work, F_OK), 0);
}

/* The samples stay in the directory of the copy, for its next run. */
UNIT_TEST(test_a_copy_to_a_server_that_refuses_everything_ends_with_1)
{
    static const char *const answers[] = {
        "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad",
        "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad",
        "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad"};
    struct player player;
    player_start(&player, 3, answers);
    give(ANOTHER, "");
    expect_status(COPY("--no-verify", "--retry=1s", "old", player.url), EXIT_FAILED);
    expect_output("bad");
    assert_int_equal(access(work, F_OK), 0);
    player_stop(&player);
}

UNIT_TEST(test_a_server_is_copied_to_itself_only_as_another_tenant)
{
    static const char *const answers[] = {
        "HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad"};
    struct player player;
    write_text_file(config, "{}");
    player_start(&player, 1, answers);
    expect_status(COPY("--no-verify", player.url, player.url), EXIT_USAGE);
    expect_output("FROM and TO are the same");
    expect_status(COPY("--no-verify", "--tenant=a", player.url, player.url), EXIT_USAGE);
    expect_output("FROM and TO are the same");
    expect_status(COPY("--no-verify", "--tenant=a", "--to-tenant=b", player.url, player.url),
                  EXIT_FAILED);
    expect_output("status 403: bad");
    player_stop(&player);
}

UNIT_TEST(test_a_copy_from_a_server_that_refuses_is_not_tried_again)
{
    static const char *const answers[] = {
        "HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad"};
    struct player player;
    char text[256];
    player_start(&player, 1, answers);
    snprintf(text, sizeof text, "sources: [{name: old, type: remote_read, url: '%s'}]\n",
             player.url);
    write_text_file(config, text);
    expect_status(COPY_TO_STORE("--retry=2s"), EXIT_FAILED);
    expect_output("status 403: bad");
    expect_output("run the same command again to continue\n");
    if (strstr(cli_err, "retrying") != NULL) fail_msg("%s", cli_err);
    player_stop(&player);
}

UNIT_TEST(test_a_copy_of_nothing_that_is_verified_ends_with_0)
{
    give("", "");
    expect_status(COPY_TO_STORE(), EXIT_DONE);
    expect_output("verified 2 of 2 slices, 0 samples: 0 missing, 0 different");
}

/* --- continuing ------------------------------------------------------------------------------- */

/* Leaves a work directory with slices in these states (resume.h), as after a killed copy of
 * the archive. */
static void
leave_killed(const char *states)
{
    char text[4096] = {0};
    if (access(progress, F_OK) != 0) { /* an archive with invalid lines creates it */
        give(FIRST_DAY JUNK, "");
        expect_status(COPY_TO_STORE("--no-verify"), EXIT_FAILED);
    }
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

/* Each slice is copied, copied again and verified, or verified. */
UNIT_TEST(test_a_copy_killed_in_any_phase_continues_to_the_end)
{
    static const char *const states[] = {"..", "c.", "cc", "vc", "dv",
                                         "dd", "Cd", "CC", "vC", "vv"};
    for (unsigned i = 0; i < sizeof states / sizeof *states; i++) {
        leave_killed(states[i]);
        give(FIRST_DAY SECOND_DAY, "");
        /* it writes nothing of slices that were not read */
        expect_status(COPY_TO_STORE(), EXIT_DONE);
        expect_output("verified 2 of 2 slices");
        assert_int_not_equal(access(work, F_OK), 0);
        expect_stored(4);
    }
}

/* The archive has a sample that the killed copy did not find. */
UNIT_TEST(test_a_copy_killed_before_it_verified_copies_again_what_is_missing)
{
    static const char *const states[] = {"vc", "vd"};
    for (unsigned i = 0; i < sizeof states / sizeof *states; i++) {
        leave_killed("..");
        give(FIRST_DAY SECOND_DAY, "");
        expect_status(COPY_TO_STORE(), EXIT_DONE);
        leave_killed(states[i]);
        give(FIRST_DAY SECOND_DAY ANOTHER, "");
        expect_status(COPY_TO_STORE(), EXIT_DONE);
        expect_output("copying 1 slices again, which differ");
        expect_stored(5);
        assert_int_equal(env_remove_tree(env_real(), store, NULL), OK);
    }
}

UNIT_TEST(test_a_copy_killed_before_it_verified_again_reports_what_is_missing)
{
    static const char *const states[] = {"vC", "CC", "cC"};
    for (unsigned i = 0; i < sizeof states / sizeof *states; i++) {
        leave_killed("..");
        give(FIRST_DAY SECOND_DAY, "");
        expect_status(COPY_TO_STORE(), EXIT_DONE);
        leave_killed(states[i]);
        give(FIRST_DAY SECOND_DAY ANOTHER, "");
        expect_status(COPY_TO_STORE(), EXIT_FAILED);
        expect_output("1 missing, 0 different");
        assert_int_equal(access(work, F_OK), 0);
        expect_status(COPY_TO_STORE(), EXIT_FAILED); /* the object is known by now */
        assert_int_equal(env_remove_tree(env_real(), work, NULL), OK);
        assert_int_equal(env_remove_tree(env_real(), store, NULL), OK);
    }
}

UNIT_TEST(test_a_copy_does_not_continue_another_one)
{
    char log_dir[112];
    leave_killed("c.");
    give(FIRST_DAY SECOND_DAY, "");
    expect_status(COPY_TO_STORE("--no-verify", "--select=up"), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    expect_status(COPY_TO_STORE("--no-verify", "--tenant=b"), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    expect_status(COPY_TO_STORE("--no-verify", "--to-tenant=b"), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    expect_status(COPY_TO_STORE("--no-verify", "--slice=1h"), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    expect_status(RUN("copy", "--config.file", config, "--work", work, "--start=1699920001",
                      "--end=1700092799.999", "--storage.path", store, "old", "local"),
                  EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    expect_status(RUN("copy", "--config.file", config, "--work", work, "--start=1699920000",
                      "--end=1700092799", "--storage.path", store, "old", "local"),
                  EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    expect_status(COPY("--no-verify", "old", "http://127.0.0.1:1"), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
    snprintf(log_dir, sizeof log_dir, "%s/log", work);
    assert_int_not_equal(access(log_dir, F_OK), 0); /* nothing that sends samples was opened */
    expect_status(COPY_TO_STORE("--no-verify"), EXIT_DONE);
    give(FIRST_DAY JUNK, "");
    expect_status(COPY_TO_STORE("--no-verify", "--to-tenant=b"), EXIT_FAILED);
    expect_status(COPY_TO_STORE("--no-verify", "--to-tenant=b", "--tenant=c"), EXIT_FAILED);
    expect_output("belongs to a run with other arguments");
}

int
main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_a_copy_of_all_samples_ends_with_0_and_leaves_no_work),
        IN_DIR(test_a_report_has_a_line_for_each_series_of_a_slice),
        IN_DIR(test_a_copy_of_an_archive_that_is_not_read_whole_ends_with_1),
        IN_DIR(test_a_copy_of_samples_that_are_refused_ends_with_1),
        IN_DIR(test_a_copy_beside_other_values_ends_with_1),
        IN_DIR(test_a_copy_to_a_destination_that_drops_samples_ends_with_1),
        IN_DIR(test_a_copy_that_leaves_dead_letters_ends_with_1),
        IN_DIR(test_a_copy_to_a_server_that_refuses_everything_ends_with_1),
        IN_DIR(test_a_server_is_copied_to_itself_only_as_another_tenant),
        IN_DIR(test_a_copy_from_a_server_that_refuses_is_not_tried_again),
        IN_DIR(test_a_copy_of_nothing_that_is_verified_ends_with_0),
        IN_DIR(test_a_copy_killed_in_any_phase_continues_to_the_end),
        IN_DIR(test_a_copy_killed_before_it_verified_copies_again_what_is_missing),
        IN_DIR(test_a_copy_killed_before_it_verified_again_reports_what_is_missing),
        IN_DIR(test_a_copy_does_not_continue_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
