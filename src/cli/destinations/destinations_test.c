/* destinations_test.c - the command destinations: its arguments, and errors about them. */
#include "lib/test.h"
#include <fcntl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"

enum { WORDS_MAX = 8 };

static char config[64];
static char said[4096]; /* output on both streams */

static int
begin(void **state)
{
    (void)state;
    snprintf(config, sizeof config, "/tmp/firekeep-destinations-XXXXXX");
    int fd = mkstemp(config);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
    if (to == NULL) return 1;
    fprintf(to, "destinations:\n  - {name: lines, type: file, path: /tmp}\n");
    return fclose(to);
}

static int
end(void **state)
{
    (void)state;
    return unlink(config);
}

/* Runs the words up to NULL; "CONFIG" is replaced by the flag with the file. */
static int
run(const char *const *words)
{
    static const struct command *const commands[] = {&command_destinations, NULL};
    char *argv[WORDS_MAX + 3] = {strdup("firekeep"), strdup("destinations")}, *owned[WORDS_MAX + 3];
    char flag[100];
    int argc = 2, fd = memfd_create("said", MFD_CLOEXEC);
    snprintf(flag, sizeof flag, "--config.file=%s", config);
    for (; *words != NULL; words++)
        argv[argc++] = strdup(strcmp(*words, "CONFIG") == 0 ? flag : *words);
    memcpy(owned, argv, sizeof owned); /* the command reorders its arguments */
    fflush(stdout);
    fflush(stderr);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    int code = cli_run(commands, argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    ssize_t size = pread(fd, said, sizeof said - 1, 0);
    said[size > 0 ? size : 0] = '\0';
    close(fd);
    for (int i = 0; i < argc; i++)
        free(owned[i]);
    return code;
}

UNIT_TEST(test_wrong_use_is_reported)
{
    static const struct {
        const char *words[WORDS_MAX];
        const char *says;
    } cases[] = {
        {{NULL}, "expected test or reset"},
        {{"show", "lines", "CONFIG", NULL}, "expected test or reset"},
        {{"plan", "lines", "CONFIG", NULL}, "plan was removed: dry_run: true"},
        {{"plan", "lines", "--shards=2", NULL}, "--shards was removed"},
        {{"test", "CONFIG", NULL}, "the name of one destination"},
        {{"test", "a", "b", "CONFIG", NULL}, "the name of one destination"},
        {{"test", "lines", NULL}, "--config.file is required"},
        {{"test", "lines", "CONFIG", "--from=now", NULL}, "are only valid with reset"},
        {{"test", "lines", "CONFIG", "--storage.path=x", NULL}, "are only valid with reset"},
        {{"test", "lines", "CONFIG", "--format=csv", NULL}, "text or json"},
        {{"reset", "lines", "--storage.path=x", "--frm=now", NULL}, "did you mean '--from'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(run(cases[i].words), EXIT_USAGE);
        if (strstr(said, cases[i].says) == NULL) fail_msg("case %zu: %s", i, said);
    }
}

UNIT_TEST(test_a_missing_destination_or_file_is_a_failure)
{
    assert_int_equal(run((const char *[]){"test", "line", "CONFIG", NULL}), EXIT_FAILED);
    assert_non_null(strstr(said, "destination 'line' not found; did you mean 'lines'?"));
    assert_int_equal(run((const char *[]){"test", "zzzzzz", "CONFIG", NULL}), EXIT_FAILED);
    assert_null(strstr(said, "did you mean"));
    assert_int_equal(run((const char *[]){"test", "x", "--config.file=/none", NULL}), EXIT_FAILED);
    assert_non_null(strstr(said, "/none"));
    assert_int_equal(
        run((const char *[]){"reset", "lines", "--storage.path=/none", "--from=now", NULL}),
        EXIT_FAILED);
    assert_non_null(strstr(said, "/none/relay/lines: destination not found"));
    char loop[] = "/tmp/destinations-test-XXXXXX", flag[80];
    assert_non_null(mkdtemp(loop));
    assert_int_equal(rmdir(loop), 0);
    assert_int_equal(symlink(loop, loop), 0);
    snprintf(flag, sizeof flag, "--storage.path=%s", loop);
    assert_int_equal(run((const char *[]){"reset", "lines", flag, "--from=now", NULL}),
                     EXIT_FAILED);
    assert_non_null(strstr(said, "/RESTORING: Too many levels of symbolic links"));
    unlink(loop);
}

UNIT_TEST(test_success_is_printed_as_text_and_as_json)
{
    assert_int_equal(run((const char *[]){"test", "lines", "CONFIG", NULL}), EXIT_DONE);
    assert_non_null(strstr(said, "ok      directory /tmp: exists"));
    assert_non_null(strstr(said, "lines: ok; nothing was written (use --write to send a sample)"));
    assert_int_equal(run((const char *[]){"test", "lines", "CONFIG", "--format=json", NULL}),
                     EXIT_DONE);
    assert_non_null(strstr(said, "{\"name\":\"lines\",\"type\":\"file\",\"findings\":[{"));
    assert_non_null(strstr(said, "\"ok\":true}"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_use_is_reported),
        cmocka_unit_test(test_a_missing_destination_or_file_is_a_failure),
        cmocka_unit_test(test_success_is_printed_as_text_and_as_json),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
