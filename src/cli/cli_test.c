/* cli_test.c - choice of commands, help, and wrong usage. */
#include "lib/test.h"

#include "base/version.h"
#include "cli/cli.h"
#include "config/config.h"
#include "lib/cli_run.h"
#include "lib/texts.h"
#include <fcntl.h>

/* Arguments of the fake command in the last run. */
static int fake_argc;
static char fake_last_word[64];

static int
run_fake(int argc, char **argv)
{
    fake_argc = argc;
    snprintf(fake_last_word, sizeof fake_last_word, "%s", argv[argc - 1]);
    printf("fake ran\n");
    return 7;
}

static const struct command fake = {"fake", "[flags]", "do nothing", run_fake,
                                    .details = settings_help};
static const struct command *const commands[] = {&command_check, &command_version, &fake, NULL};

static int
run_to(int out_fd, const char *const *words)
{
    fake_argc = 0;
    return cli_run_into(out_fd, commands, words);
}

#define RUN(...) run_to(cli_memory_file(), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

UNIT_TEST(test_no_command_prints_the_overview_and_is_wrong_usage)
{
    assert_int_equal(RUN(), EXIT_USAGE);
    assert_string_equal(cli_out, "");
    assert_non_null(strstr(cli_err, "usage: firekeep CMD"));
}

UNIT_TEST(test_help_lists_every_command)
{
    static const char *const words[] = {"--help", "-h", "help"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(RUN(words[i]), EXIT_DONE);
        assert_string_equal(cli_err, "");
        for (const struct command *const *c = commands; *c != NULL; c++) {
            char line[100];
            snprintf(line, sizeof line, "\n  %-10s  %s\n", (*c)->name, (*c)->help);
            assert_non_null(strstr(cli_out, line));
        }
    }
    assert_int_equal(RUN("help", "help"), EXIT_DONE);
    assert_int_equal(RUN("help", "--help"), EXIT_DONE);
    assert_int_equal(RUN("help", "check", "now"), EXIT_USAGE);
}

UNIT_TEST(test_help_of_a_command_comes_by_either_way_and_does_not_run_it)
{
    static const char *const start = "usage: firekeep fake [flags]\n\ndo nothing\n\n";
    assert_int_equal(RUN("help", "fake"), EXIT_DONE);
    assert_memory_equal(cli_out, start, strlen(start));
    assert_non_null(strstr(cli_out, "--web.listen-address=ADDRESS,...\n"));
    static char first[sizeof cli_out];
    memcpy(first, cli_out, sizeof cli_out);
    assert_int_equal(RUN("fake", "--help"), EXIT_DONE);
    assert_string_equal(cli_out, first);
    assert_int_equal(RUN("fake", "--log.level=info", "-h"), EXIT_DONE);
    assert_string_equal(cli_out, first);
    assert_int_equal(fake_argc, 0);
    assert_int_equal(RUN("version", "--help"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "usage: firekeep version [flags]\n\nprint the versions"));
    assert_non_null(strstr(cli_out, "--check-storage=DIRECTORY\n"));
}

UNIT_TEST(test_command_gets_its_words_and_gives_the_exit_code)
{
    assert_int_equal(RUN("fake", "--a", "b"), 7);
    assert_int_equal(fake_argc, 3);
    assert_string_equal(fake_last_word, "b");
    assert_string_equal(cli_out, "fake ran\n");
    assert_int_equal(RUN("fake"), 7);
    assert_string_equal(fake_last_word, "fake");
}

UNIT_TEST(test_unknown_command_is_wrong_usage_with_a_suggestion)
{
    assert_int_equal(RUN("chekc"), EXIT_USAGE);
    assert_string_equal(cli_err, "firekeep: unknown command 'chekc'; did you mean 'check'?\n"
                                 "Try 'firekeep help'.\n");
    assert_int_equal(RUN("help", "vresion"), EXIT_USAGE);
    assert_string_equal(cli_err, "firekeep: unknown command 'vresion'; did you mean 'version'?\n"
                                 "Try 'firekeep help'.\n");
    assert_int_equal(RUN("--storage.path=x"), EXIT_USAGE);
    assert_string_equal(cli_err, "firekeep: unknown command '--storage.path=x'\n"
                                 "Try 'firekeep help'.\n");
    assert_int_equal(RUN(""), EXIT_USAGE);
    assert_string_equal(cli_out, "");
}

UNIT_TEST(test_removed_command_is_wrong_usage_that_names_the_replacement)
{
    assert_int_equal(RUN("migrate", "prometheus.yml"), EXIT_USAGE);
    assert_memory_equal(cli_err, "firekeep: the command 'migrate' was removed: docs/migrate.md",
                        strlen("firekeep: the command 'migrate' was removed: docs/migrate.md"));
    assert_int_equal(RUN("help", "migrate"), EXIT_USAGE);
    assert_non_null(strstr(cli_err, "was removed"));
}

UNIT_TEST(test_version_names_itself_and_its_libraries)
{
    static const char *const words[] = {"version", "--version"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(RUN(words[i]), EXIT_DONE);
        static const char start[] = "firekeep " FIREKEEP_VERSION " (";
        assert_memory_equal(cli_out, start, strlen(start));
        assert_non_null(strstr(cli_out, "gnutls "));
        assert_non_null(strstr(cli_out, "libyaml "));
        assert_string_equal(cli_out + strlen(cli_out) - 2, ")\n");
        assert_null(strstr(cli_out, "(null)"));
    }
    assert_int_equal(RUN("version", "x"), EXIT_USAGE);
    assert_string_equal(cli_err, "firekeep version: unexpected argument 'x'\n"
                                 "Try 'firekeep help version'.\n");
}

UNIT_TEST(test_output_that_cannot_be_written_is_a_failure)
{
    int full = open("/dev/full", O_RDWR);
    if (full < 0) skip();
    assert_int_equal(run_to(full, (const char *const[]){"version", NULL}), EXIT_FAILED);
    assert_string_equal(cli_err,
                        "firekeep: cannot write to standard output: No space left on device\n");
}

UNIT_TEST(test_check_accepts_valid_files_and_refuses_invalid_ones)
{
    char dir[] = "/tmp/firekeep-check-XXXXXX", path[64], expected[200];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f.yml", dir);
    write_text_file(path, "log:\n  level: debug\n");
    assert_int_equal(RUN("check", path), EXIT_DONE);
    snprintf(expected, sizeof expected, "%s: ok\n", path);
    assert_string_equal(cli_out, expected);
    assert_string_equal(cli_err, "");

    write_text_file(path, "log:\n  levle: debug\n");
    assert_int_equal(RUN("check", path), EXIT_FAILED);
    snprintf(expected, sizeof expected,
             "%s:2:3: unknown key 'levle' in 'log'; did you mean 'level'?\n", path);
    assert_string_equal(cli_err, expected);
    assert_string_equal(cli_out, "");

    write_text_file(path, "wal: {segment_bytes: 1GiB, budget: 1GiB}\n");
    assert_int_equal(RUN("check", path), EXIT_FAILED);
    snprintf(expected, sizeof expected,
             "%s: wal.budget (1GiB) must be at least twice wal.segment-bytes (1GiB)\n", path);
    assert_string_equal(cli_err, expected);

    write_text_file(path, "sources:\n- {name: a, type: opentsdb, url: 'http://h:1',\n"
                          "   cache: {path: /c}}\n");
    assert_int_equal(RUN("check", path), EXIT_DONE);
    assert_non_null(strstr(cli_err, "a key has no effect"));
    assert_non_null(strstr(cli_err, "line=3 key=cache"));

    write_text_file(path, "destinations:\n- {name: a, type: file, path: /a}\n");
    assert_int_equal(RUN("check", path), EXIT_DONE);
    snprintf(expected, sizeof expected, "%s: ok, 1 destination\n", path);
    assert_string_equal(cli_out, expected);

    write_text_file(path, "destinations:\n"
                          "- {name: a, type: file, path: /a}\n"
                          "- {name: b, type: file, path: /b}\n"
                          "storage: {mode: none}\n");
    assert_int_equal(RUN("check", path), EXIT_DONE);
    snprintf(expected, sizeof expected, "%s: ok, 2 destinations\n", path);
    assert_string_equal(cli_out, expected);

    write_text_file(path, "sources:\n"
                          "- {name: a, type: remote_read, url: 'http://h/api/v1/read'}\n"
                          "storage: {mode: none}\n");
    assert_int_equal(RUN("check", path), EXIT_DONE);
    snprintf(expected, sizeof expected, "%s: ok, 1 source\n", path);
    assert_string_equal(cli_out, expected);

    write_text_file(path,
                    "sources:\n"
                    "- {name: a, type: remote_read, url: 'http://localhost:9201/api/v1/read'}\n");
    assert_int_equal(RUN("check", path), EXIT_FAILED);
    snprintf(expected, sizeof expected,
             "%s: source a (line 2): url is an address of this server (web.listen-address); a "
             "server cannot "
             "read from itself\n",
             path);
    assert_string_equal(cli_err, expected);

    write_text_file(path, "destinations:\n- {name: a, type: file}\n");
    assert_int_equal(RUN("check", path), EXIT_FAILED);
    snprintf(expected, sizeof expected,
             "%s:2:3: type file requires 'path', directory of the files; `${tenant}` stands for "
             "the tenant\n",
             path);
    assert_string_equal(cli_err, expected);

    unlink(path);
    assert_int_equal(RUN("check", path), EXIT_FAILED);
    snprintf(expected, sizeof expected, "cannot open %s: No such file or directory\n", path);
    assert_string_equal(cli_err, expected);
    rmdir(dir);

    assert_int_equal(RUN("check"), EXIT_USAGE);
    assert_int_equal(RUN("check", "a", "b"), EXIT_USAGE);
}

UNIT_TEST(test_help_without_memory_is_a_failure)
{
    mem_fail_nth(1, false);
    int code = RUN("help", "fake");
    bool fired = mem_fail_fired();
    mem_fail_nth(0, false);
    assert_true(fired);
    assert_int_equal(code, EXIT_FAILED);
    assert_string_equal(cli_err, "firekeep: cannot print help: out_of_memory\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_command_prints_the_overview_and_is_wrong_usage),
        cmocka_unit_test(test_help_lists_every_command),
        cmocka_unit_test(test_help_of_a_command_comes_by_either_way_and_does_not_run_it),
        cmocka_unit_test(test_command_gets_its_words_and_gives_the_exit_code),
        cmocka_unit_test(test_unknown_command_is_wrong_usage_with_a_suggestion),
        cmocka_unit_test(test_removed_command_is_wrong_usage_that_names_the_replacement),
        cmocka_unit_test(test_version_names_itself_and_its_libraries),
        cmocka_unit_test(test_output_that_cannot_be_written_is_a_failure),
        cmocka_unit_test(test_check_accepts_valid_files_and_refuses_invalid_ones),
        cmocka_unit_test(test_help_without_memory_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
