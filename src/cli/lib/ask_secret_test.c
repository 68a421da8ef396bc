/* ask_secret_test.c - a secret that is typed on a terminal, in a process with a terminal of its
 * own. */
#include "cli/lib/terminal.h"

#include "lib/terminal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Asks, and returns the error; 100: another text than expected; 102: the terminal is not as
 * before. */
static int
ask(void *context)
{
    const char *const *expected = context;
    struct buf text;
    struct why why = {""};
    struct termios after;
    buf_init_secret(&text, NULL, 1 << 16);
    enum err e = ask_secret("Password: ", &text, &why);
    bool same = e != OK || bytes_equal(buf_bytes(&text), bytes_of_text(*expected));
    buf_fini(&text);
    if (!same) return 100;
    return tcgetattr(STDIN_FILENO, &after) == 0 && (after.c_lflag & ECHO) != 0 ? (int)e : 102;
}

/* Types it once the prompt is there: from then on the terminal shows nothing. */
static int
answer(struct terminal *t, const char *typed, const char *expected)
{
    terminal_begin(t, ask, &expected);
    terminal_await(t, "Password: ");
    terminal_type(t, typed);
    return terminal_end(t);
}

UNIT_TEST(test_the_terminal_does_not_show_what_is_typed)
{
    struct terminal t;
    assert_int_equal(answer(&t, "hush hush\n", "hush hush"), OK);
    assert_string_equal(t.screen, "Password: \r\n");
}

UNIT_TEST(test_a_typing_error_can_be_erased)
{
    struct terminal t;
    assert_int_equal(answer(&t, "husk\177h\n", "hush"), OK);
}

UNIT_TEST(test_the_end_of_input_cancels_and_restores_the_terminal)
{
    struct terminal t;
    assert_int_equal(answer(&t, "\004", ""), ERR_CANCELED);
}

UNIT_TEST(test_a_signal_ends_the_process_as_it_would_without_a_question)
{
    struct terminal t;
    signal(SIGINT, SIG_DFL); /* a program that a script runs in the background ignores it */
    assert_int_equal(answer(&t, "hu\003", ""), 1000 + SIGINT);
    assert_null(strstr(t.screen, "hu"));
}

UNIT_TEST(test_a_process_without_a_terminal_is_not_asked)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct buf text;
        struct why why = {""};
        setsid();
        buf_init_secret(&text, NULL, 100);
        enum err e = ask_secret("Password: ", &text, &why);
        _exit(strcmp(why.text, "there is no terminal to ask for it") == 0 ? (int)e : 100);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), ERR_UNSUPPORTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_terminal_does_not_show_what_is_typed),
        cmocka_unit_test(test_a_typing_error_can_be_erased),
        cmocka_unit_test(test_the_end_of_input_cancels_and_restores_the_terminal),
        cmocka_unit_test(test_a_signal_ends_the_process_as_it_would_without_a_question),
        cmocka_unit_test(test_a_process_without_a_terminal_is_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
