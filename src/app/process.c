/*
 * process.c - see process.h: what runs before libraries are initialized, the filter for system
 * calls, and metrics.
 *
 * Invariants of the filter:
 *  1. `allowed` has no call that is allowed with certain arguments only: a rule without arguments
 *     would win.
 *  2. It lacks seccomp(), so a filter is the last one that can be loaded.
 */
#include "app/process.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <math.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --- confinement ------------------------------------------------------------------------------ */

void
confine_memory(void)
{
    const struct rlimit none = {0, 0};
    (void)prctl(PR_SET_DUMPABLE, 0);     /* cannot fail for 0 */
    (void)setrlimit(RLIMIT_CORE, &none); /* a limit may always be lowered */
}

/* docs/decisions/020-unknown-system-calls-do-not-exist.md has the reasons for this filter. The list
 * has the calls that the server makes, those that glibc, GnuTLS, libcurl, c-ares and jemalloc make
 * in some version or on some machine, and those of ordinary programs, because credential_process
 * runs any program, in any language. It lacks what changes the machine (mounts, modules, clocks),
 * other processes (ptrace) or the kernel (bpf, keyctl, io_uring), and namespaces. Names that the
 * installed libseccomp or the processor does not have are skipped. */
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

/* --- before main() ---------------------------------------------------------------------------- */

/* Nothing is initialized here but the C library itself: only system calls are made, and sanitizers,
 * which are not initialized either, see nothing of it. The loader alone runs before this. It maps
 * 45 libraries and relocates them, which is about 70 % of the processor time from exec to main():
 * in that time SIGHUP ends the process, as it ends every program whose parent neither blocks nor
 * ignores it. */
#define BARE __attribute__((no_sanitize_address, no_sanitize_thread))

/* A descriptor that is opened as a path fails to read and to write, so that a command whose output
 * is closed still reports that. It needs no device, and "/" is always there. */
BARE static void
occupy_standard_files(void)
{
    for (int file = 0; file <= 2; file++) {
        bool is_closed = syscall(SYS_fcntl, file, F_GETFD) < 0;
        if (is_closed) syscall(SYS_openat, AT_FDCWD, "/", O_PATH, 0);
    }
}

BARE static bool
is_serve(const char *word)
{
    static const char name[] = "serve";
    for (size_t i = 0; i < sizeof name; i++)
        if (word[i] != name[i]) return false;
    return true;
}

BARE void
process_begin(int argc, char **argv, char **environment)
{
    (void)environment;
    occupy_standard_files();
    if (argc < 2 || !is_serve(argv[1])) return;
    uint64_t hangup =
        UINT64_C(1) << (SIGHUP - 1); /* the kernel's sigset_t: a bit for each signal */
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &hangup, NULL, sizeof hangup);
}

/* --- metrics ---------------------------------------------------------------------------------- */

/* /proc/self is read at each scrape, directly: these files are not storage. A metric that cannot be
 * read is left out, not shown as zero. */

enum { PROC_FILE_BYTES = 8192, SPARE_FILES = 64 };

/* Written by process_metrics_register() before the collector is known; NAN: not known. */
static double started_at_s = NAN;

/* The words of a line, by turns. */
static struct bytes
take_word(struct bytes *text)
{
    size_t from = 0;
    while (from < text->size && (text->at[from] == ' ' || text->at[from] == '\t'))
        from++;
    size_t to = from;
    while (to < text->size && text->at[to] != ' ' && text->at[to] != '\t' && text->at[to] != '\n')
        to++;
    struct bytes word = bytes_of(text->at + from, to - from);
    *text = bytes_of(text->at + to, text->size - to);
    return word;
}

static bool
parse_u64(struct bytes word, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (word.at[i] < '0' || word.at[i] > '9') return false;
        if (__builtin_mul_overflow(number, 10, &number)) return false;
        if (__builtin_add_overflow(number, (uint64_t)(word.at[i] - '0'), &number)) return false;
    }
    if (word.size == 0) return false;
    *ret_number = number;
    return true;
}

bool
process_stat_parse(struct bytes text, struct process_stat *ret_stat)
{
    /* The second field is the program's name in parentheses, and may itself hold any of them. */
    const uint8_t *name_end = text.size == 0 ? NULL : memrchr(text.at, ')', text.size);
    if (name_end == NULL) return false;
    struct process_stat stat = {0};
    const struct {
        int field; /* as proc(5) counts */
        uint64_t *to;
    } wanted[] = {{14, &stat.user_ticks},
                  {15, &stat.system_ticks},
                  {22, &stat.start_ticks},
                  {23, &stat.virtual_bytes},
                  {24, &stat.resident_pages}};
    struct bytes left = bytes_of(name_end + 1, text.size - (size_t)(name_end + 1 - text.at));
    int field = 2;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct bytes word = {0};
        for (; field < wanted[i].field; field++)
            word = take_word(&left);
        if (!parse_u64(word, wanted[i].to)) return false;
    }
    *ret_stat = stat;
    return true;
}

bool
process_status_bytes(struct bytes text, const char *name, uint64_t *ret_bytes)
{
    size_t size = strlen(name);
    while (text.size > 0) {
        const uint8_t *end = memchr(text.at, '\n', text.size);
        size_t line_size = end == NULL ? text.size : (size_t)(end - text.at);
        if (line_size > size && memcmp(text.at, name, size) == 0 && text.at[size] == ':') {
            struct bytes left = bytes_of(text.at + size + 1, line_size - size - 1);
            uint64_t kib;
            if (!parse_u64(take_word(&left), &kib)) return false;
            return bytes_equal_text(take_word(&left), "kB") &&
                   !__builtin_mul_overflow(kib, (uint64_t)1024, ret_bytes);
        }
        size_t step = end == NULL ? line_size : line_size + 1;
        text = bytes_of(text.at + step, text.size - step);
    }
    return false;
}

/* `dir`/`name` into `to`; empty if it cannot be read. */
static struct bytes
read_proc(const char *dir, const char *name, uint8_t to[PROC_FILE_BYTES])
{
    char path[256];
    int length = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (length < 0 || (size_t)length >= sizeof path) return bytes_of(NULL, 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return bytes_of(NULL, 0);
    size_t size = 0;
    while (size < PROC_FILE_BYTES) {
        ssize_t got = read(fd, to + size, PROC_FILE_BYTES - size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        size += (size_t)got;
    }
    close(fd);
    return bytes_of(to, size);
}

/* Names in `dir`/fd, less the one we open to look. */
static bool
count_fds(const char *dir, uint64_t *ret_count)
{
    char path[256];
    int length = snprintf(path, sizeof path, "%s/fd", dir);
    if (length < 0 || (size_t)length >= sizeof path) return false;
    DIR *d = opendir(path);
    if (d == NULL) return false;
    uint64_t count = 0;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (entry->d_name[0] != '.') count++;
    closedir(d);
    if (count > 0) count--;
    *ret_count = count;
    return true;
}

enum err
process_check_files(uint32_t more, struct why *why)
{
    struct rlimit limit;
    uint64_t open;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && count_fds("/proc/self", &open);
    if (!known || limit.rlim_cur >= open + more + SPARE_FILES) return OK;
    return why_set(why, ERR_LIMIT,
                   "the limit of open files is %" PRIu64 ", and at least %" PRIu64
                   " are needed: raise it (ulimit -Hn, LimitNOFILE= of systemd)",
                   (uint64_t)limit.rlim_cur, open + more + SPARE_FILES);
}

void
process_metrics_collect(struct metric_sink *sink, void *dir)
{
    uint8_t text[PROC_FILE_BYTES];
    struct process_stat stat;
    if (process_stat_parse(read_proc(dir, "stat", text), &stat)) {
        double ticks = (double)(stat.user_ticks + stat.system_ticks);
        metric_put_one(sink, "process_cpu_seconds_total", METRIC_KIND_COUNTER,
                       "Total user and system CPU time spent, in seconds.",
                       ticks / (double)sysconf(_SC_CLK_TCK));
        metric_put_one(sink, "process_virtual_memory_bytes", METRIC_KIND_GAUGE,
                       "Virtual memory size, in bytes.", (double)stat.virtual_bytes);
        metric_put_one(sink, "process_resident_memory_bytes", METRIC_KIND_GAUGE,
                       "Resident memory size, in bytes.",
                       (double)(stat.resident_pages * (uint64_t)sysconf(_SC_PAGESIZE)));
    }
    uint64_t value;
    if (process_status_bytes(read_proc(dir, "status", text), "VmHWM", &value)) {
        metric_put_one(sink, "process_resident_memory_max_bytes", METRIC_KIND_GAUGE,
                       "Maximum resident memory size since startup, in bytes.", (double)value);
    }
    if (count_fds(dir, &value)) {
        metric_put_one(sink, "process_open_fds", METRIC_KIND_GAUGE,
                       "Number of open file descriptors.", (double)value);
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        bool endless = limit.rlim_cur == RLIM_INFINITY;
        metric_put_one(sink, "process_max_fds", METRIC_KIND_GAUGE,
                       "Maximum number of open file descriptors.",
                       endless ? INFINITY : (double)limit.rlim_cur);
    }
    if (!isnan(started_at_s)) {
        metric_put_one(sink, "process_start_time_seconds", METRIC_KIND_GAUGE,
                       "Start time of the process, in seconds since the Unix epoch.", started_at_s);
    }
}

static double
seconds_of(struct timespec t)
{
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Returns the Unix time at which the process started, in seconds; NAN if it is unknown. The kernel
 * reports the start in ticks since boot. The time of the boot, which is the Unix time less the time
 * since boot, moves when the clock is slewed: computed at each scrape, it would make
 * changes(process_start_time_seconds) count restarts that did not happen. */
static double
find_start(const char *dir)
{
    uint8_t text[PROC_FILE_BYTES];
    struct process_stat stat;
    struct timespec now, since_boot;
    if (!process_stat_parse(read_proc(dir, "stat", text), &stat)) return NAN;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return NAN;
    if (clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) return NAN;
    double start = seconds_of(now) - seconds_of(since_boot) +
                   (double)stat.start_ticks / (double)sysconf(_SC_CLK_TCK);
    return round(start * 100) / 100; /* the kernel's ticks are no finer */
}

void
process_metrics_register(void)
{
    static char dir[] = "/proc/self";
    static struct metric_collector collector = {.collect = process_metrics_collect, .context = dir};
    if (isnan(started_at_s)) started_at_s = find_start(dir);
    metric_register_collector(&collector);
}
