/* confine_test.c - limits of a process: what it cannot do, and what it can do as before. */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/process.h"

/* Runs a check in a child, because there is no way back. */
static void
check_in_child(bool (*check)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(check() ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Makes a system call that has no effect if it is allowed. */
static bool
is_refused(long number, long a, long b)
{
    return syscall(number, a, b, 0, 0, 0) == -1 && errno == ENOSYS;
}

static bool
dumps_nothing(void)
{
    struct rlimit limit;
    confine_memory();
    bool is_known = getrlimit(RLIMIT_CORE, &limit) == 0;
    return is_known && limit.rlim_cur == 0 && limit.rlim_max == 0 && prctl(PR_GET_DUMPABLE) == 0;
}

UNIT_TEST(test_a_process_without_core_dumps_cannot_be_traced)
{
    check_in_child(dumps_nothing);
}

static bool
refuses(void)
{
    if (confine_calls(NULL) != OK) return false;
    bool fine = is_refused(SYS_mount, 0, 0) && is_refused(SYS_umount2, 0, 0) &&
                is_refused(SYS_pivot_root, 0, 0) && is_refused(SYS_keyctl, KEYCTL_INVALIDATE, 0) &&
                is_refused(SYS_add_key, 0, 0) && is_refused(SYS_bpf, -1, 0) &&
                is_refused(SYS_perf_event_open, 0, 0) && is_refused(SYS_userfaultfd, -1, 0) &&
                is_refused(SYS_init_module, 0, 0) && is_refused(SYS_kexec_load, 0, 0) &&
                is_refused(SYS_process_vm_readv, 0, 0) && is_refused(SYS_clock_settime, -1, 0) &&
                is_refused(SYS_personality, 0xffffffff, 0) &&
                is_refused(SYS_io_uring_setup, 0, 0) && is_refused(SYS_unshare, 0, 0) &&
                is_refused(SYS_setns, -1, 0);
#ifndef __SANITIZE_ADDRESS__
    fine &= is_refused(SYS_ptrace, -1, 0);
#endif
    return fine;
}

UNIT_TEST(test_calls_that_change_machine_or_other_processes_are_refused)
{
    check_in_child(refuses);
}

static bool
refuses_by_argument(void)
{
    if (confine_calls(NULL) != OK) return false;
    bool fine = is_refused(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0) &&
                is_refused(SYS_clone, CLONE_NEWNS | SIGCHLD, 0) && is_refused(SYS_clone3, 0, 0);
    fine &= socket(AF_ALG, SOCK_SEQPACKET, 0) == -1 && errno == ENOSYS;
    fine &= socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) == -1 && errno == ENOSYS;
    fine &= socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == ENOSYS;
    return fine;
}

UNIT_TEST(test_namespaces_and_other_families_of_sockets_are_refused)
{
    check_in_child(refuses_by_argument);
}

static bool
refuses_unknown(void)
{
    return confine_calls(NULL) == OK && is_refused(9999, 0, 0);
}

UNIT_TEST(test_an_unknown_call_fails_as_on_an_older_kernel)
{
    check_in_child(refuses_unknown);
}

static void *
try_keyctl(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return is_refused(SYS_keyctl, KEYCTL_INVALIDATE, 0) ? gate : NULL;
}

static bool
confines_threads(void)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t before, after;
    void *first = NULL, *second = NULL;
    pthread_mutex_lock(&gate);
    if (pthread_create(&before, NULL, try_keyctl, &gate) != 0) return false;
    bool fine = confine_calls(NULL) == OK;
    pthread_mutex_unlock(&gate);
    fine &= pthread_create(&after, NULL, try_keyctl, &gate) == 0;
    if (!fine) return false;
    pthread_join(before, &first);
    pthread_join(after, &second);
    return first == &gate && second == &gate;
}

UNIT_TEST(test_all_threads_are_limited)
{
    check_in_child(confines_threads);
}

/* Runs a command, which must succeed. */
static bool
runs(const char *command)
{
    extern char **environ;
    char *words[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};
    pid_t child;
    int status;
    if (posix_spawnp(&child, words[0], NULL, NULL, words, environ) != 0) return false;
    return waitpid(child, &status, 0) == child && status == 0;
}

static bool
runs_programs(void)
{
    if (confine_calls(NULL) != OK) return false;
    return runs("d=$(mktemp -d) && echo x >$d/a && mv $d/a $d/b && chmod 600 $d/b && ls -l $d | "
                "grep -q b && cat <$d/b >/dev/null && rm -r $d") &&
           !runs("exit 1");
}

UNIT_TEST(test_programs_run_as_before)
{
    check_in_child(runs_programs);
}

static bool
resolves_names(void)
{
    struct addrinfo *found = NULL;
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    if (confine_calls(NULL) != OK) return false;
    bool fine = getaddrinfo("localhost", "80", &wanted, &found) == 0 && found != NULL;
    if (!fine) return false;
    int connection = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fine = connection >= 0 && close(connection) == 0;
    freeaddrinfo(found);
    return fine;
}

UNIT_TEST(test_names_are_resolved_as_before)
{
    check_in_child(resolves_names);
}

static bool
fails_twice(void)
{
    struct why why = {""};
    if (confine_calls(&why) != OK || why.text[0] != '\0') return false;
    return confine_calls(&why) == ERR_UNSUPPORTED &&
           strstr(why.text, "cannot load a filter for system calls: ") == why.text;
}

UNIT_TEST(test_a_filter_that_cannot_be_loaded_is_an_error)
{
    check_in_child(fails_twice);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_process_without_core_dumps_cannot_be_traced),
        cmocka_unit_test(test_calls_that_change_machine_or_other_processes_are_refused),
        cmocka_unit_test(test_namespaces_and_other_families_of_sockets_are_refused),
        cmocka_unit_test(test_an_unknown_call_fails_as_on_an_older_kernel),
        cmocka_unit_test(test_all_threads_are_limited),
        cmocka_unit_test(test_programs_run_as_before),
        cmocka_unit_test(test_names_are_resolved_as_before),
        cmocka_unit_test(test_a_filter_that_cannot_be_loaded_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
