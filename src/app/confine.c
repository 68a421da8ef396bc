/*
 * confine.c - see confine.h. docs/decisions/020-unknown-system-calls-do-not-exist.md has the
 * reasons for this filter.
 *
 * The list has the calls that the server makes, those that glibc, GnuTLS, libcurl, c-ares and
 * jemalloc make in some version or on some machine, and those of ordinary programs, because
 * credential_process runs any program, in any language. It lacks what changes the machine (mounts,
 * modules, clocks), other processes (ptrace) or the kernel (bpf, keyctl, io_uring), and namespaces.
 * Names that the installed libseccomp or the processor does not have are skipped.
 *
 * Invariants:
 *  1. `allowed` has no call that is allowed with certain arguments only: a rule without arguments
 *     would win.
 *  2. It lacks seccomp(), so a filter is the last one that can be loaded.
 */
#include "app/confine.h"

#include <assert.h>
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

void
confine_memory(void)
{
    const struct rlimit none = {0, 0};
    (void)prctl(PR_SET_DUMPABLE, 0);     /* cannot fail for 0 */
    (void)setrlimit(RLIMIT_CORE, &none); /* a limit may always be lowered */
}

static const char *const allowed[] = {
    /* Descriptors. */
    "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "fcntl", "flock", "ioctl",
    "lseek", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2",
    "read", "readv", "sendfile", "splice", "tee", "vmsplice", "write", "writev",
    /* Files. */
    "access", "chdir", "chmod", "chown", "creat", "faccessat", "faccessat2", "fadvise64",
    "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fdatasync",
    "fgetxattr", "flistxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd",
    "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1",
    "inotify_rm_watch", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lstat",
    "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2", "readahead",
    "readlink", "readlinkat", "rename", "renameat", "renameat2", "rmdir", "stat", "statfs", "statx",
    "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "truncate", "umask", "unlink",
    "unlinkat", "utime", "utimensat", "utimes",
    /* Memory. */
    "brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall",
    "mmap", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "process_madvise",
    /* Threads. */
    "arch_prctl", "clone3", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
    "get_robust_list", "getcpu", "gettid", "rseq", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_yield",
    "set_robust_list", "set_thread_area", "set_tid_address",
    /* Processes. */
    "capget", "execve", "execveat", "exit", "exit_group", "fork", "getegid", "geteuid", "getgid",
    "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresuid",
    "getrlimit", "getrusage", "getsid", "getuid", "ioprio_get", "kill", "pidfd_open",
    "pidfd_send_signal", "prctl", "prlimit64", "setfsgid", "setfsuid", "setgid", "setgroups",
    "setpgid", "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit",
    "setsid", "setuid", "sysinfo", "times", "uname", "vfork", "wait4", "waitid",
    /* Signals. */
    "alarm", "getitimer", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_tgsigqueueinfo", "setitimer", "sigaltstack", "signalfd", "signalfd4", "tgkill", "tkill",
    "uretprobe",
    /* Time. */
    "clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
    "timerfd_create", "timerfd_gettime", "timerfd_settime",
    /* Waiting for descriptors. */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd", "eventfd2", "poll", "ppoll", "pselect6", "select",
    /* The network. */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    "socketpair",
    /* Randomness. */
    "getrandom",
#ifdef __SANITIZE_ADDRESS__
    "ptrace", /* by LeakSanitizer, when the process ends */
#endif
};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6};

#define NAMESPACES                                                                                \
    (CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER | \
     CLONE_NEWUTS)

/* These functions return 0 or a negative errno value, as libseccomp does. */

static int
allow_all(scmp_filter_ctx filter)
{
    int failed = 0;
    for (size_t i = 0; failed == 0 && i < sizeof allowed / sizeof *allowed; i++) {
        int call = seccomp_syscall_resolve_name(allowed[i]);
        assert(call != SCMP_SYS(socket) && call != SCMP_SYS(clone)); /* invariant 1 */
        assert(call != SCMP_SYS(seccomp));                           /* invariant 2 */
        if (call != __NR_SCMP_ERROR) failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    }
    for (size_t i = 0; failed == 0 && i < sizeof families / sizeof *families; i++) {
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    }
    if (failed == 0) { /* glibc asks for the addresses of the machine */
        failed =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE));
    }
    if (failed != 0) return failed;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));
}

/* The flags of clone3() are in memory, where a filter cannot read them; without it glibc uses
 * clone(). It is refused by a filter of its own, because every start of a thread tries it, which
 * should not be audited. */
static int
refuse_clone3(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* Kernels before 5.16 slow down processes with filters, as they might run code of others. This one
 * does not (CTL_SSB). */
static int
load_filter(uint32_t otherwise, bool is_audited, int (*add_rules)(scmp_filter_ctx filter))
{
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (filter == NULL) return -ENOMEM;
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, is_audited); /* if the kernel can */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* threads that run already */
    if (failed == 0)
        failed = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (failed == 0) failed = add_rules(filter);
    if (failed == 0) failed = seccomp_load(filter);
    seccomp_release(filter);
    assert(failed <= 0);
    return failed;
}

/* The last filter refuses seccomp(), too. */
enum err
confine_calls(struct why *why)
{
    int failed = load_filter(SCMP_ACT_ALLOW, false, refuse_clone3);
    if (failed == 0) failed = load_filter(SCMP_ACT_ERRNO(ENOSYS), true, allow_all);
    if (failed == 0) return OK;
    return why_set(why, failed == -ENOMEM ? ERR_NOMEM : ERR_UNSUPPORTED,
                   "cannot load a filter for system calls: %s", strerrordesc_np(-failed));
}
