/*
 * env_real.c - the kernel. Thin: each call turns -1 and errno into a negative value, and the loops
 * are in env.c. Everything is opened close-on-exec.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/env.h"

/* There is one machine, so no call looks at `env`. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* The owner may write, the group may read: operators of the group can make backups. */
enum { FILE_PERMISSIONS = 0640, DIRECTORY_PERMISSIONS = 0750 };

static int
result_of(int result)
{
    return result < 0 ? -errno : result;
}

/* --- files ------------------------------------------------------------------------------------ */

/* O_NONBLOCK opens a pipe without waiting for its other end. For regular files it only means not to
 * wait for a lease of a file server, so it is dropped for them. */
static int
real_open(struct env *env, const char *path, enum file_mode mode)
{
    static const int flags[] = {
        [FILE_READ] = O_RDONLY,
        [FILE_UPDATE] = O_RDWR,
        [FILE_CREATE] = O_RDWR | O_CREAT | O_EXCL,
        [FILE_REPLACE] = O_RDWR | O_CREAT | O_TRUNC,
    };
    int how = flags[mode] | O_CLOEXEC | O_NOCTTY;
    int file = open(path, how | O_NONBLOCK, FILE_PERMISSIONS);
    if (file < 0 && errno == EWOULDBLOCK) file = open(path, how, FILE_PERMISSIONS);
    if (file < 0)
        return errno == ENXIO || errno == ENODEV ? -ENV_NOT_A_FILE : -errno; /* a socket */
    struct stat st;
    int result = fstat(file, &st) < 0  ? -errno
                 : S_ISREG(st.st_mode) ? file
                 : S_ISDIR(st.st_mode) ? -EISDIR
                                       : -ENV_NOT_A_FILE;
    if (result < 0) close(file);
    return result;
}

static int
real_close(struct env *env, int file)
{
    return result_of(close(file));
}

static ssize_t
real_pread(struct env *env, int file, void *to, size_t size, uint64_t offset)
{
    ssize_t got = pread(file, to, size, (off_t)offset);
    return got < 0 ? -errno : got;
}

static ssize_t
real_pwrite(struct env *env, int file, const void *from, size_t size, uint64_t offset)
{
    ssize_t put = pwrite(file, from, size, (off_t)offset);
    return put < 0 ? -errno : put;
}

/* Only for sectors of FILE_DIRECT_BYTES: for larger ones the page cache is better. */
static int
real_direct(struct env *env, int file)
{
    struct statx it = {0};
    int flags = fcntl(file, F_GETFL);
    if (flags < 0 || statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &it) != 0) return 0;
    bool fits = it.stx_dio_offset_align > 0 && it.stx_dio_offset_align <= FILE_DIRECT_BYTES &&
                it.stx_dio_mem_align <= FILE_DIRECT_BYTES;
    if ((it.stx_mask & STATX_DIOALIGN) == 0 || !fits) return 0;
    return fcntl(file, F_SETFL, flags | O_DIRECT) == 0;
}

static int
real_datasync(struct env *env, int file)
{
    return result_of(fdatasync(file));
}

static int
real_sync(struct env *env, int file)
{
    return result_of(fsync(file));
}

static int
real_truncate(struct env *env, int file, uint64_t size)
{
    return result_of(ftruncate(file, (off_t)size));
}

static int64_t
real_size(struct env *env, int file)
{
    struct stat st;
    return fstat(file, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int64_t
real_links(struct env *env, int file)
{
    struct stat st;
    return fstat(file, &st) < 0 ? -errno : (int64_t)st.st_nlink;
}

/* A lock of the open file description: unlike the older kind it is not lost when another descriptor
 * of the same file is closed. */
static int
real_lock(struct env *env, int file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = result_of(fcntl(file, F_OFD_SETLK, &lock));
    if (result == -EBADF) { /* not open for writing */
        lock.l_type = F_RDLCK;
        result = result_of(fcntl(file, F_OFD_SETLK, &lock));
    }
    return result == -EACCES ? -EAGAIN : result;
}

/* --- files by path ---------------------------------------------------------------------------- */

static int
real_rename(struct env *env, const char *from, const char *to)
{
    return result_of(renameat(AT_FDCWD, from, AT_FDCWD, to));
}

static int
real_link(struct env *env, const char *from, const char *to)
{
    return result_of(linkat(AT_FDCWD, from, AT_FDCWD, to, 0));
}

static int
real_unlink(struct env *env, const char *path)
{
    return result_of(unlink(path));
}

static int
real_mkdir(struct env *env, const char *path)
{
    return result_of(mkdir(path, DIRECTORY_PERMISSIONS));
}

static int
real_rmdir(struct env *env, const char *path)
{
    int result = result_of(rmdir(path));
    return result == -EEXIST ? -ENOTEMPTY : result; /* POSIX allows both */
}

static int
real_syncdir(struct env *env, const char *path)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return -errno;
    int result = result_of(fsync(dir));
    close(dir);
    /* File systems that cannot sync a directory (FUSE, SMB) return this. */
    return result == -EINVAL ? 0 : result;
}

/* A symbolic link does not count as a directory, wherever it points: trees are removed according to
 * this answer. */
static int
entry_is_dir(DIR *dir, const struct dirent *entry, bool *ret_is_dir)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN) {
        *ret_is_dir = entry->d_type == DT_DIR;
        return 0;
    }
    if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    *ret_is_dir = S_ISDIR(st.st_mode);
    return 0;
}

static int
list_entries(DIR *dir, int (*each)(void *context, const char *name, bool is_dir), void *context)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        /* After an interruption the listing goes on: `each` has been called. */
        if (entry == NULL && errno == EINTR) continue;
        if (entry == NULL) return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        bool is_dir = false;
        int result = entry_is_dir(dir, entry, &is_dir);
        if (result == -ENOENT) continue; /* removed since it was listed */
        if (result == 0) result = each(context, entry->d_name, is_dir);
        if (result != 0) return result;
    }
}

static int
real_listdir(struct env *env, const char *path,
             int (*each)(void *context, const char *name, bool is_dir), void *context)
{
    DIR *dir = opendir(path); /* close-on-exec in glibc */
    if (dir == NULL) return -errno;
    int result = list_entries(dir, each, context);
    closedir(dir);
    return result;
}

static int
real_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct statvfs st;
    if (statvfs(path, &st) < 0) return -errno;
    *ret_free = (uint64_t)st.f_bavail * st.f_frsize; /* without the reserve of root */
    *ret_total = (uint64_t)st.f_blocks * st.f_frsize;
    return 0;
}

static int64_t
ns_of(const struct statx_timestamp *t)
{
    return (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec;
}

static int
real_facts(struct env *env, const char *path, struct file_facts *ret_facts)
{
    struct statx it = {0};
    unsigned mask = STATX_TYPE | STATX_INO | STATX_BTIME | STATX_CTIME | STATX_MTIME | STATX_SIZE;
    if (statx(AT_FDCWD, path, 0, mask, &it) < 0) return -errno;
    bool has_birth = (it.stx_mask & STATX_BTIME) != 0;
    *ret_facts = (struct file_facts){
        .kind = S_ISREG(it.stx_mode)   ? FILE_KIND_PLAIN
                : S_ISDIR(it.stx_mode) ? FILE_KIND_DIR
                                       : FILE_KIND_OTHER,
        .number = it.stx_ino,
        .born_ns = has_birth ? ns_of(&it.stx_btime) : 0,
        .changed_ns = ns_of(&it.stx_ctime),
        .modified_ns = ns_of(&it.stx_mtime),
        .size_bytes = S_ISREG(it.stx_mode) ? it.stx_size : 0,
    };
    return 0;
}

/* --- clock, randomness, threads --------------------------------------------------------------- */

static int64_t
real_realtime_ms(struct env *env)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

static int64_t
real_monotonic_ns(struct env *env)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void
real_sleep(struct env *env, int64_t ns)
{
    struct timespec left = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

static int
real_random(struct env *env, void *to, size_t size)
{
    uint8_t *at = to;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

struct env_thread {
    pthread_t thread;
    void (*run)(void *argument);
    void *argument;
    char name[16];
};

static void *
thread_main(void *context)
{
    struct env_thread *thread = context;
    pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->argument);
    return NULL;
}

static int
real_thread_start(struct env *env, const char *name, void (*run)(void *argument), void *argument,
                  struct env_thread **ret_thread)
{
    struct env_thread *thread = mem_new(NULL, sizeof *thread);
    if (thread == NULL) return -ENOMEM;
    thread->run = run;
    thread->argument = argument;
    snprintf(thread->name, sizeof thread->name, "%s", name);
    int failed = pthread_create(&thread->thread, NULL, thread_main, thread);
    if (failed) {
        mem_free(NULL, thread, sizeof *thread);
        return -failed;
    }
    *ret_thread = thread;
    return 0;
}

static void
real_thread_join(struct env *env, struct env_thread *thread)
{
    int failed = pthread_join(thread->thread, NULL);
    assert(failed == 0);
    mem_free(NULL, thread, sizeof *thread);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static int
listen_at(const struct addrinfo *at, int backlog)
{
    int s = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (s < 0) return -errno;
    int on = 1, off = 0;
    int result = result_of(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    if (result == 0 && at->ai_family == AF_INET6)
        result = result_of(setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off));
    if (result == 0) result = result_of(bind(s, at->ai_addr, at->ai_addrlen));
    if (result == 0) result = result_of(listen(s, backlog));
    if (result == 0) return s;
    close(s);
    return result;
}

/* Listens on the first address that works; if none does, returns the error of the first. */
static int
listen_on(const char *host, uint16_t port, int family, int backlog)
{
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host[0] == '\0' ? NULL : host, service, &hints, &found);
    if (failed) {
        return failed == EAI_SYSTEM   ? -errno
               : failed == EAI_MEMORY ? -ENOMEM
               : failed == EAI_AGAIN  ? -EAGAIN
                                      : -EADDRNOTAVAIL;
    }
    int result = -EADDRNOTAVAIL;
    for (const struct addrinfo *at = found; at != NULL && result < 0; at = at->ai_next) {
        int one = listen_at(at, backlog);
        if (one >= 0 || at == found) result = one;
    }
    freeaddrinfo(found);
    return result;
}

static int
real_listen(struct env *env, const char *host, uint16_t port, int backlog)
{
    if (host[0] != '\0') return listen_on(host, port, AF_UNSPEC, backlog);
    /* An IPv6 socket also accepts IPv4; a machine without IPv6 needs one of IPv4. */
    int result = listen_on(host, port, AF_INET6, backlog);
    if (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL)
        result = listen_on(host, port, AF_INET, backlog);
    return result;
}

static int
real_shutdown(struct env *env, int socket)
{
    return result_of(shutdown(socket, SHUT_RDWR));
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Limits of control groups, both versions. A line of /proc/self/cgroup is NUMBER:CONTROLLERS:PATH;
 * version 2 names no controllers. In a container the path may be that of the host, which is not
 * there: then the directory itself is the group. */

enum { ENV_REAL_PATH_BYTES = 4096 };

static uint64_t
read_limit(const char *dir, const char *path, const char *name)
{
    char file[2 * ENV_REAL_PATH_BYTES];
    uint64_t bytes = UINT64_MAX;
    int size = snprintf(file, sizeof file, "%s%s/%s", dir, path, name);
    FILE *f = size < 0 || (size_t)size >= sizeof file ? NULL : fopen(file, "re");
    if (f == NULL) return bytes;
    /* "max" is not a number. */
    if (fscanf(f, "%" SCNu64, &bytes) != 1 || bytes == 0) bytes = UINT64_MAX;
    fclose(f);
    return bytes;
}

/* Returns the lowest limit of a group and of those above it. `path` is modified. */
static uint64_t
least_limit(const char *dir, char *path, const char *name)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t limit = read_limit(dir, path, name);
        if (limit < least) least = limit;
        char *slash = strrchr(path, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

uint64_t
cgroup_memory_limit(const char *groups_file, const char *cgroup_dir)
{
    char line[ENV_REAL_PATH_BYTES];
    uint64_t least = UINT64_MAX;
    FILE *f = fopen(groups_file, "re");
    if (f == NULL) return least;
    while (fgets(line, sizeof line, f) != NULL) {
        char dir[ENV_REAL_PATH_BYTES], *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL) continue;
        *controllers++ = '\0';
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        const char *memory = strstr(controllers, "memory");
        bool named = memory != NULL && (memory == controllers || memory[-1] == ',') &&
                     (memory[6] == '\0' || memory[6] == ',');
        bool is_v2 = controllers[0] == '\0';
        if (!is_v2 && !named) continue;
        snprintf(dir, sizeof dir, "%s%s", cgroup_dir, is_v2 ? "" : "/memory");
        uint64_t limit = least_limit(dir, path, is_v2 ? "memory.max" : "memory.limit_in_bytes");
        if (limit < least) least = limit;
    }
    fclose(f);
    return least;
}

uint64_t
machine_memory_bytes(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = cgroup_memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    return limit < machine ? limit : machine;
}

/* --- the table -------------------------------------------------------------------------------- */

struct env *
env_real(void)
{
    static const struct env_ops ops = {
        .open = real_open,
        .close = real_close,
        .pread = real_pread,
        .pwrite = real_pwrite,
        .direct = real_direct,
        .datasync = real_datasync,
        .sync = real_sync,
        .truncate = real_truncate,
        .size = real_size,
        .links = real_links,
        .lock = real_lock,
        .rename = real_rename,
        .link = real_link,
        .unlink = real_unlink,
        .mkdir = real_mkdir,
        .rmdir = real_rmdir,
        .syncdir = real_syncdir,
        .listdir = real_listdir,
        .space = real_space,
        .facts = real_facts,
        .realtime_ms = real_realtime_ms,
        .monotonic_ns = real_monotonic_ns,
        .sleep = real_sleep,
        .random = real_random,
        .thread_start = real_thread_start,
        .thread_join = real_thread_join,
        .listen = real_listen,
        .shutdown = real_shutdown,
    };
    static struct env env = {&ops};
    return &env;
}
