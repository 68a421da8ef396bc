/*
 * env.h - the machine we run on: files, clock, randomness, threads, sockets of our own. Every
 * system call of Firekeep that can fail goes through a `struct env`, so that a test can make each
 * of them fail, lose what was not synced, or lie about the time.
 *
 * Three implementations:
 *   env_real()   the kernel                                    sys/env_real.c
 *   sim_env      a machine in memory that can lose its power   sys/sim.h
 *   fault_env    wraps another one and fails its n-th call     sys/fault.h
 *
 * Paths are plain text, '/'-separated. All functions may be called from any thread unless a file
 * is written by two of them.
 *
 * Errors, everywhere: ERR_MISSING (no such file), ERR_FULL (no space), ERR_IO and whatever
 * err_from_errno() says. `why` may be NULL and gets "operation path: errno text".
 */
#ifndef SYS_ENV_H
#define SYS_ENV_H

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"

struct buf;

struct env;
struct env_thread;

/* The modes of file_open(). */
enum file_mode {
    FILE_READ,    /* existing, read only */
    FILE_UPDATE,  /* existing, read and write */
    FILE_CREATE,  /* must not exist; read and write */
    FILE_REPLACE, /* created or cut to nothing; read and write */
};

enum file_kind { FILE_KIND_PLAIN, FILE_KIND_DIR, FILE_KIND_OTHER /* pipe, socket, device */ };

/* Facts that distinguish a file or directory from another one of the same name and content: a copy
 * differs in `number` and the times. Times are nanoseconds; only `modified_ns` is certainly Unix
 * time. */
struct file_facts {
    uint64_t kind;       /* enum file_kind; no bytes between fields: facts are compared whole */
    uint64_t number;     /* inode number: unique on the file system while the file exists */
    int64_t born_ns;     /* 0 if the file system does not record it */
    int64_t changed_ns;  /* change of content, names or owner; programs cannot set it */
    int64_t modified_ns; /* change of content, or set by a program */
    uint64_t size_bytes; /* size of a plain file */
};

/* The raw calls. Like those of the kernel they return >= 0 or a negative errno value, may transfer
 * less than requested and may fail with -EINTR: the functions below loop. A file is a small integer
 * that is valid only for the same env. */
struct env_ops {
    /* Does not block. -EISDIR: a directory; -ENV_NOT_A_FILE: neither a directory nor a regular
     * file. */
    int (*open)(struct env *env, const char *path, enum file_mode mode);
    int (*close)(struct env *env, int file);
    ssize_t (*pread)(struct env *env, int file, void *to, size_t size, uint64_t offset);
    ssize_t (*pwrite)(struct env *env, int file, const void *from, size_t size, uint64_t offset);
    int (*datasync)(struct env *env, int file); /* contents, and the size needed to read them */
    int (*sync)(struct env *env, int file);     /* contents and attributes */
    int (*truncate)(struct env *env, int file, uint64_t size);
    int64_t (*size)(struct env *env, int file);
    int64_t (*links)(struct env *env,
                     int file); /* number of names of the open file; 0 after the last was removed */
    int (*facts)(struct env *env, const char *path, struct file_facts *ret_facts);
    int (*direct)(struct env *env, int file); /* see file_make_direct(); 1: done, 0: not possible */
    /* OFD lock, no waiting: -EAGAIN if held. Shared if the file is only open for reading. */
    int (*lock)(struct env *env, int file);
    int (*rename)(struct env *env, const char *from, const char *to); /* replaces `to` */
    int (*link)(struct env *env, const char *from, const char *to);
    int (*unlink)(struct env *env, const char *path);
    int (*mkdir)(struct env *env, const char *path);
    int (*rmdir)(struct env *env, const char *path);
    int (*syncdir)(struct env *env, const char *path); /* makes names in it durable */
    /* Calls `each` for every name but "." and ".."; stops and returns its result if not 0. */
    int (*listdir)(struct env *env, const char *path,
                   int (*each)(void *context, const char *name, bool is_dir), void *context);
    /* Returns the free bytes and all bytes of the file system of `path`. */
    int (*space)(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total);
    int64_t (*realtime_ms)(struct env *env);  /* Unix time; may jump */
    int64_t (*monotonic_ns)(struct env *env); /* never goes back */
    void (*sleep)(struct env *env, int64_t ns);
    int (*random)(struct env *env, void *to, size_t size);
    int (*thread_start)(struct env *env, const char *name, void (*run)(void *argument),
                        void *argument, struct env_thread **ret_thread);
    void (*thread_join)(struct env *env, struct env_thread *thread);
    /* A listening TCP socket, non-blocking, close-on-exec. `port` 0 lets the kernel choose. */
    int (*listen)(struct env *env, const char *host, uint16_t port, int backlog);
    int (*shutdown)(struct env *env, int socket); /* both directions; does not close */
    /* Optional (NULL: nothing to do). Called by an env that wraps this one after it made a sync
     * fail: data that was not durable now behaves as after a failed fsync of the kernel. It can be
     * read, but no later sync makes it durable unless it is written again. */
    void (*forget_file)(struct env *env, int file);
    void (*forget_dir)(struct env *env, const char *path);
};

enum { ENV_NOT_A_FILE = EMEDIUMTYPE /* an errno value that file systems do not use */ };

struct env {
    const struct env_ops *ops;
};

/* Returns the real machine, a static instance. */
struct env *env_real(void);

/* --- files ------------------------------------------------------------------------------------ */

/* An open file, in the owner's memory; `path` is for messages. */
enum { FILE_PATH_BYTES = 256 };
struct file {
    struct env *env;
    int handle; /* -1 if closed */
    bool direct;
    char path[FILE_PATH_BYTES];
};

/* A `struct file` that is closed; file_close() on it does nothing. */
#define FILE_CLOSED ((struct file){.handle = -1})

/* ERR_LIMIT: the path does not fit into a struct file. ERR_IO also if it is not a regular file:
 * opening a pipe would block, and devices have no offsets. */
MUST_CHECK enum err file_open(struct env *env, const char *path, enum file_mode mode,
                              struct file *ret_file, struct why *why);
/* Idempotent. Returns the error of close(2); data is durable only after a sync. */
enum err file_close(struct file *file);

/* Reads exactly `size` bytes. ERR_CORRUPT: the file is shorter. */
MUST_CHECK enum err file_read_at(struct file *file, void *to, size_t size, uint64_t offset,
                                 struct why *why);
/* Reads up to `size` bytes, fewer only at the end of the file. */
MUST_CHECK enum err file_read_some(struct file *file, void *to, size_t size, uint64_t offset,
                                   size_t *ret_size, struct why *why);
/* Writes all bytes, in as many calls as needed. */
MUST_CHECK enum err file_write_at(struct file *file, struct bytes from, uint64_t offset,
                                  struct why *why);
/* Makes all following writes bypass the page cache, which would write whole pages: memory, offsets
 * and sizes must be multiples of FILE_DIRECT_BYTES, and the file is not read any more. False: the
 * device or the file system does not support it, and nothing has changed. */
enum { FILE_DIRECT_BYTES = 512 };
bool file_make_direct(struct file *file);
/* Makes written bytes durable, with the size that is needed to read them. After an error nothing
 * written since the last sync may be durable, and a repeated sync need not say so. */
MUST_CHECK enum err file_datasync(struct file *file, struct why *why);
/* Makes all of the file durable, with its attributes; as file_datasync(). */
MUST_CHECK enum err file_sync(struct file *file, struct why *why);
/* Sets the size; a larger file is filled with zeros. ERR_LIMIT: `size` exceeds a file offset. */
MUST_CHECK enum err file_truncate(struct file *file, uint64_t size, struct why *why);
MUST_CHECK enum err file_size(struct file *file, uint64_t *ret_size, struct why *why);
/* Returns the number of names of the file: 0 after it was removed or replaced. */
MUST_CHECK enum err file_links(struct file *file, uint64_t *ret_links, struct why *why);
/* Locks the file until it is closed; openers with FILE_READ share the lock. ERR_AGAIN: another
 * process holds it. */
MUST_CHECK enum err file_lock(struct file *file, struct why *why);

/* --- files by path ---------------------------------------------------------------------------- */

/* Replaces `to`, if it exists; durable after env_syncdir(). */
MUST_CHECK enum err env_rename(struct env *env, const char *from, const char *to, struct why *why);
/* Gives a file another name, which must not exist; durable after env_syncdir(). */
MUST_CHECK enum err env_link(struct env *env, const char *from, const char *to, struct why *why);
/* OK also if it does not exist. */
MUST_CHECK enum err env_unlink(struct env *env, const char *path, struct why *why);
/* OK also if the directory exists. */
MUST_CHECK enum err env_mkdir(struct env *env, const char *path, struct why *why);
/* Removes an empty directory. ERR_MISSING: it does not exist. */
MUST_CHECK enum err env_rmdir(struct env *env, const char *path, struct why *why);
/* Makes names in a directory durable: of files that were created, renamed, linked or removed. */
MUST_CHECK enum err env_syncdir(struct env *env, const char *path, struct why *why);
/* `each` may return an error to stop. */
MUST_CHECK enum err env_listdir(struct env *env, const char *path,
                                enum err (*each)(void *context, const char *name, bool is_dir),
                                void *context, struct why *why);
/* Removes a directory with its content (five levels of directories); OK also if it does not exist.
 * Until the parent is synced, a power loss may restore all or part of it; another call finishes the
 * work. */
MUST_CHECK enum err env_remove_tree(struct env *env, const char *path, struct why *why);
/* Returns the bytes that are free for this process, and all bytes, of the file system of `path`. */
MUST_CHECK enum err env_space(struct env *env, const char *path, uint64_t *ret_free,
                              uint64_t *ret_total, struct why *why);
/* Returns facts about a file or directory; links are followed. */
MUST_CHECK enum err env_facts(struct env *env, const char *path, struct file_facts *ret_facts,
                              struct why *why);

/*
 * Says whether both are facts about one inode, at two moments: the same number, and the same time
 * of birth where the file system records births. The number alone suffices while the file is open,
 * because the number of an open file is not given to another one.
 */
bool file_facts_same_file(const struct file_facts *a, const struct file_facts *b);

/*
 * A small file replaced as a whole: written beside (name.tmp), synced, renamed, directory synced.
 * At every moment, also after a power loss, `name` holds all of the old or all of the new content
 * (or is missing, if it was); after OK it is the new one for good. After an error either may be
 * found. One writer per name at a time.
 */
MUST_CHECK enum err env_write_whole(struct env *env, const char *dir, const char *name,
                                    struct bytes content, struct why *why);

/* Reads up to `size` bytes from the beginning of a file. Errors of file_open() and
 * file_read_some(). */
MUST_CHECK enum err env_read_some(struct env *env, const char *path, void *to, size_t size,
                                  size_t *ret_size, struct why *why);
/* Appends a whole file to `to`. ERR_LIMIT: it does not fit; ERR_NOMEM; errors of file_open() and
 * file_read_at(). */
MUST_CHECK enum err env_read_whole(struct env *env, const char *path, struct buf *to,
                                   struct why *why);

/* Writes "a/b" into `to`. ERR_LIMIT if it does not fit; path_in() also sets `why`. */
MUST_CHECK enum err path_join(char *to, size_t to_size, const char *a, const char *b);
MUST_CHECK enum err path_in(char *to, size_t to_size, const char *a, const char *b,
                            struct why *why);

/* --- clock, randomness, threads, sockets ------------------------------------------------------ */

/* Unix time; it may jump, also backwards. */
static inline int64_t
env_realtime_ms(struct env *env)
{
    return env->ops->realtime_ms(env);
}
/* Time since an unknown moment; it never goes back. */
static inline int64_t
env_monotonic_ns(struct env *env)
{
    return env->ops->monotonic_ns(env);
}
/* Sleeps for `ns` on the monotonic clock. Threads that others wake use a condition instead. */
static inline void
env_sleep(struct env *env, int64_t ns)
{
    env->ops->sleep(env, ns);
}
/* Fills the memory with bytes for keys and identities. */
MUST_CHECK enum err env_random(struct env *env, void *to, size_t size);

/* Starts a thread, which must be joined. top and gdb show the first 15 characters of `name`.
 * ERR_AGAIN, ERR_NOMEM; ERR_UNSUPPORTED: a machine without threads (sim.h). */
MUST_CHECK enum err env_thread_start(struct env *env, const char *name, void (*run)(void *argument),
                                     void *argument, struct env_thread **ret_thread);
/* Waits until the thread ends, and frees it. */
static inline void
env_thread_join(struct env *env, struct env_thread *thread)
{
    env->ops->thread_join(env, thread);
}

/*
 * `host` is a name or a numeric address; "" listens on every address, IPv4 and IPv6.
 * ERR_INPUT: no such host or address; ERR_AGAIN: address in use. The caller closes it with
 * close(2).
 */
MUST_CHECK enum err env_listen(struct env *env, const char *host, uint16_t port, int backlog,
                               int *ret_socket, struct why *why);
/* Ends both directions of a socket, so that threads that wait for it return; does not close it. It
 * fails only if there is nothing to shut down. */
static inline void
env_shutdown(struct env *env, int socket)
{
    (void)env->ops->shutdown(env, socket);
}

#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

/* --- memory of the machine -------------------------------------------------------------------- */

/* Returns the memory of the machine, or the lowest limit of the process's control groups, in bytes.
 */
uint64_t machine_memory_bytes(void);

/* Returns the lowest limit of the groups named by a file like /proc/self/cgroup, and of all groups
 * above them, below a directory like /sys/fs/cgroup; UINT64_MAX without a limit. */
uint64_t cgroup_memory_limit(const char *groups_file, const char *cgroup_dir);

#endif
