/* serve_test.c - signals to `firekeep serve` before the server runs. */
#include "lib/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/process.h"
#include "cli/cli.h"

/* Starts, raises a signal after the settings were read, and returns how the start ended. */
static int
start_and_raise(int signal_number)
{
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        char name[] = "serve", file[] = "--config.file=/nowhere.yml";
        char *argv[] = {name, file, NULL};
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        char program[] = "firekeep", *words[] = {program, name, file, NULL};
        process_begin(3, words, NULL); /* runs before main() in the program */
        int status = command_serve.run(2, argv);
        raise(signal_number);
        _exit(status);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    return ended;
}

UNIT_TEST(test_a_hangup_while_settings_are_read_does_not_end_the_server)
{
    int ended = start_and_raise(SIGHUP);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), EXIT_USAGE);
}

UNIT_TEST(test_a_termination_while_settings_are_read_ends_the_server)
{
    int ended = start_and_raise(SIGTERM);
    assert_true(WIFSIGNALED(ended));
    assert_int_equal(WTERMSIG(ended), SIGTERM);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hangup_while_settings_are_read_does_not_end_the_server),
        cmocka_unit_test(test_a_termination_while_settings_are_read_ends_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
