/* begin_test.c - the start of the process: closed standard files, and blocked signals. */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/process.h"

/* Calls process_begin() in a process where some of the files 0 to 2 are closed. Says whether they
 * are open afterwards, and only SIGHUP is blocked. */
static bool
begins_well(const char *command, unsigned closed, bool blocks)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *words[] = {(char[]){"firekeep"}, (char *)(uintptr_t)command, NULL};
        sigset_t before, after;
        char byte;
        sigprocmask(SIG_SETMASK, NULL, &before);
        for (int file = 0; file < 3; file++)
            if ((closed >> file & 1) != 0) close(file);
        process_begin(command == NULL ? 1 : 2, words, NULL);
        bool fine = open("/", O_RDONLY) > 2;
        for (int file = 0; file < 3; file++) {
            if ((closed >> file & 1) == 0) continue;
            fine &= write(file, "x", 1) == -1 && errno == EBADF;
            fine &= read(file, &byte, 1) == -1 && errno == EBADF;
        }
        sigprocmask(SIG_SETMASK, NULL, &after);
        if (blocks) sigaddset(&before, SIGHUP);
        for (int number = 1; number < NSIG; number++)
            fine &= sigismember(&before, number) == sigismember(&after, number);
        _exit(fine ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

UNIT_TEST(test_a_standard_file_that_is_closed_is_never_another_file)
{
    for (unsigned closed = 0; closed < 8; closed++)
        assert_true(begins_well("import", closed, false));
}

UNIT_TEST(test_only_the_server_begins_with_hangups_blocked)
{
    assert_true(begins_well("serve", 0, true));
    assert_true(begins_well("serve", 7, true));
    assert_true(begins_well("server", 0, false));
    assert_true(begins_well("serv", 0, false));
    assert_true(begins_well("", 0, false));
    assert_true(begins_well(NULL, 0, false));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_standard_file_that_is_closed_is_never_another_file),
        cmocka_unit_test(test_only_the_server_begins_with_hangups_blocked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
