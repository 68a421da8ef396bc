/* process_test.c - runs real programs: their output, their ends, and that they end. */
#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/aws/keys.h"

static struct buf output;
static struct why why;

static enum err
run_for(const char *command, int64_t limit_ms)
{
    struct aws_process *p;
    bool has_ended = false;
    buf_clear(&output);
    why.text[0] = '\0';
    enum err e = aws_process_start(env_real(), NULL, bytes_of_text(command), limit_ms, &p, &why);
    if (e) return e;
    while (e == OK && !has_ended)
        e = aws_process_poll(p, limit_ms, &output, &has_ended, &why);
    aws_process_free(p);
    return e;
}

static void
expect_output(const char *command, const char *want)
{
    enum err e = run_for(command, 30000);
    if (e != OK) fail_msg("%s: %s", command, why.text);
    if (!bytes_equal_text(buf_bytes(&output), want))
        fail_msg("%s: '%.*s'", command, (int)output.size, (const char *)output.at);
}

static int
setup(void **state)
{
    (void)state;
    buf_init(&output, NULL, AWS_PROCESS_OUTPUT_BYTES_MAX + 1);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    buf_fini(&output);
    return 0;
}

UNIT_TEST(test_words_are_split_as_a_shell_does)
{
    expect_output("printf '<%s>' a b", "<a><b>");
    expect_output("  printf\t'<%s>'   a  ", "<a>");
    expect_output("printf <%s> 'a b' \"c d\" e\\ f ''", "<a b><c d><e f><>");
    expect_output("printf <%s> a'b'\"c\"d", "<abcd>");
    expect_output("printf <%s> \"a\\\"b\\\\c\\d\\$\" 'e\\f'", "<a\"b\\c\\d$><e\\f>");
    expect_output("printf <%s> $HOME `x` * ; | # ~", "<$HOME><`x`><*><;><|><#><~>");
    expect_output("printf <%s> a\\", "<a\\>");
}

UNIT_TEST(test_an_invalid_command_is_refused)
{
    char text[AWS_PROCESS_COMMAND_BYTES_MAX + 2];
    assert_int_equal(run_for("", 1000), ERR_INPUT);
    assert_int_equal(run_for(" \t", 1000), ERR_INPUT);
    assert_int_equal(run_for("''", 1000), ERR_INPUT);
    assert_int_equal(run_for("x 'y", 1000), ERR_INPUT);
    assert_int_equal(run_for("x \"y", 1000), ERR_INPUT);
    assert_int_equal(run_for("x \"y\\\"", 1000), ERR_INPUT);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(run_for(text, 1000), ERR_LIMIT);
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        text[i] = ' ';
    assert_int_equal(run_for(text + 2, 1000), ERR_LIMIT);
    assert_int_equal(run_for("/no/such/program x", 1000), ERR_MISSING);
    assert_non_null(strstr(why.text, "cannot start /no/such/program"));
}

UNIT_TEST(test_a_program_that_fails_is_named_by_its_end)
{
    assert_int_equal(run_for("sh -c 'echo SECRET; echo SECRET >&2; exit 3'", 30000), ERR_AGAIN);
    assert_string_equal(why.text, "the command exited with status 3");
    assert_int_equal(run_for("sh -c 'kill -9 $$'", 30000), ERR_AGAIN);
    assert_string_equal(why.text, "the command was killed by signal 9");
}

UNIT_TEST(test_a_program_that_does_not_end_is_ended_with_its_children)
{
    assert_int_equal(run_for("sh -c 'sleep 600 & sleep 600; echo no'", 50), ERR_AGAIN);
    assert_string_equal(why.text, "the command timed out");
    assert_int_equal(run_for("sh -c 'exec >&-; sleep 600'", 50), ERR_AGAIN);
    assert_string_equal(why.text, "the command did not exit in time");
}

UNIT_TEST(test_output_has_an_end)
{
    assert_int_equal(run_for("sh -c 'exec cat /dev/zero'", 30000), ERR_LIMIT);
    buf_clear(&output);
    char command[100];
    snprintf(command, sizeof command, "head -c %d /dev/zero", AWS_PROCESS_OUTPUT_BYTES_MAX);
    assert_int_equal(run_for(command, 30000), OK);
    assert_int_equal(output.size, AWS_PROCESS_OUTPUT_BYTES_MAX);
}

UNIT_TEST(test_it_has_no_input_and_none_of_our_files)
{
    expect_output("cat", "");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    char command[100];
    snprintf(command, sizeof command, "sh -c 'test ! -e /proc/self/fd/%d && echo none'", fd);
    expect_output(command, "none\n");
    close(fd);
    setenv("AWS_PROCESS_TEST", "given", 1);
    expect_output("sh -c 'printf %s \"$AWS_PROCESS_TEST\"'", "given");
}

UNIT_TEST(test_a_program_that_still_runs_is_not_waited_for)
{
    char dir[] = "/tmp/process_test.XXXXXX", path[64], command[80];
    struct aws_process *p;
    bool has_ended = true;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/fifo", dir);
    snprintf(command, sizeof command, "cat %s", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(aws_process_start(env_real(), NULL, bytes_of_text(command), 30000, &p, &why),
                     OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(aws_process_poll(p, 0, &output, &has_ended, &why), OK);
        assert_false(has_ended);
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* opens when the program reads */
    assert_int_equal(write(fd, "said", 4), 4);
    while (output.size < 4)
        assert_int_equal(aws_process_poll(p, 1, &output, &has_ended, &why), OK);
    assert_false(has_ended);
    close(fd);
    while (!has_ended)
        assert_int_equal(aws_process_poll(p, 1000, &output, &has_ended, &why), OK);
    assert_true(bytes_equal_text(buf_bytes(&output), "said"));
    aws_process_free(p);
    unlink(path);
    rmdir(dir);
}

UNIT_TEST(test_a_program_that_is_given_up_is_ended)
{
    struct aws_process *p;
    bool has_ended = true;
    assert_int_equal(
        aws_process_start(env_real(), NULL, bytes_of_text("sleep 600"), 600000, &p, &why), OK);
    assert_int_equal(aws_process_poll(p, 0, &output, &has_ended, &why), OK);
    assert_false(has_ended);
    aws_process_free(p);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_words_are_split_as_a_shell_does),
        TEST(test_an_invalid_command_is_refused),
        TEST(test_a_program_that_fails_is_named_by_its_end),
        TEST(test_a_program_that_does_not_end_is_ended_with_its_children),
        TEST(test_output_has_an_end),
        TEST(test_it_has_no_input_and_none_of_our_files),
        TEST(test_a_program_that_still_runs_is_not_waited_for),
        TEST(test_a_program_that_is_given_up_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
