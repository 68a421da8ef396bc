/*
 * env.c - the part of env.h that is the same for every machine: loops over partial transfers and
 * interrupted calls, errors with a sentence, and the few operations made of several calls.
 *
 * Every raw call may return -EINTR, and is then made again; close() alone is not, because the
 * descriptor is gone either way and another thread may already have its number.
 */
#include "sys/env.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

enum { PATH_BYTES_MAX = 1024, REMOVE_LEVELS = 5 };

/* The result of a raw call that is evaluated until it is not interrupted. */
#define UNINTERRUPTED(call)          \
    __extension__({                  \
        __typeof__(call) result_;    \
        do {                         \
            result_ = (call);        \
        } while (result_ == -EINTR); \
        result_;                     \
    })

static struct errno_text
error_text(int64_t errno_value)
{
    if (errno_value == ENV_NOT_A_FILE) return (struct errno_text){"it is not a regular file"};
    return errno_text((int)errno_value);
}

/* `result` is a negative errno value. */
static enum err
fail(struct why *why, int64_t result, const char *operation, const char *path)
{
    assert(result < 0);
    return why_set(why, err_from_errno((int)-result), "cannot %s %s: %s", operation, path,
                   error_text(-result).text);
}

static enum err
checked(struct why *why, int64_t result, const char *operation, const char *path)
{
    return result < 0 ? fail(why, result, operation, path) : OK;
}

/* --- files ------------------------------------------------------------------------------------ */

enum err
file_open(struct env *env, const char *path, enum file_mode mode, struct file *ret_file,
          struct why *why)
{
    struct file file = {.env = env};
    size_t size = strlen(path);
    if (size >= sizeof file.path) {
        return why_set(why, ERR_LIMIT, "cannot open %s: path is longer than %zu bytes", path,
                       sizeof file.path - 1);
    }
    memcpy(file.path, path, size + 1);
    file.handle = UNINTERRUPTED(env->ops->open(env, path, mode));
    if (file.handle < 0) {
        bool creates = mode == FILE_CREATE || mode == FILE_REPLACE;
        return fail(why, file.handle, creates ? "create" : "open", path);
    }
    *ret_file = file;
    return OK;
}

enum err
file_close(struct file *file)
{
    if (file->env == NULL || file->handle < 0) return OK;
    int result = file->env->ops->close(file->env, file->handle);
    file->handle = -1;
    return result == -EINTR ? OK : err_from_errno(-result);
}

/* True if the kernel's signed offsets can name all of the range. */
static bool
range_fits(uint64_t offset, size_t size)
{
    return offset <= INT64_MAX && size <= INT64_MAX - offset;
}

enum err
file_read_some(struct file *file, void *to, size_t size, uint64_t offset, size_t *ret_size,
               struct why *why)
{
    uint8_t *at = to;
    size_t done = 0;
    /* No file is that long: the read is beyond the end. */
    if (!range_fits(offset, size)) size = 0;
    while (done < size) {
        ssize_t got = UNINTERRUPTED(
            file->env->ops->pread(file->env, file->handle, at + done, size - done, offset + done));
        if (got < 0) return fail(why, got, "read", file->path);
        if (got == 0) break;
        done += (size_t)got;
    }
    *ret_size = done;
    return OK;
}

enum err
file_read_at(struct file *file, void *to, size_t size, uint64_t offset, struct why *why)
{
    size_t got;
    enum err e = file_read_some(file, to, size, offset, &got, why);
    if (e) return e;
    if (got == size) return OK;
    return why_set(why, ERR_CORRUPT, "cannot read %s: got %zu of %zu bytes at offset %llu",
                   file->path, got, size, (unsigned long long)offset);
}

enum err
file_write_at(struct file *file, struct bytes from, uint64_t offset, struct why *why)
{
    if (!range_fits(offset, from.size)) {
        return why_set(why, ERR_LIMIT, "cannot write %s: offset %llu is out of range", file->path,
                       (unsigned long long)offset);
    }
    size_t done = 0;
    while (done < from.size) {
        ssize_t put = UNINTERRUPTED(file->env->ops->pwrite(file->env, file->handle, from.at + done,
                                                           from.size - done, offset + done));
        if (put == 0) put = -EIO; /* no progress is an error, and must not loop */
        if (put < 0) return fail(why, put, "write", file->path);
        done += (size_t)put;
        if (!file->direct || done == from.size) continue;
        if (put < FILE_DIRECT_BYTES) return fail(why, -EIO, "write", file->path);
        done -= done % FILE_DIRECT_BYTES; /* a partial sector is written again */
    }
    return OK;
}

bool
file_make_direct(struct file *file)
{
    file->direct = file->env->ops->direct(file->env, file->handle) == 1;
    return file->direct;
}

enum err
file_datasync(struct file *file, struct why *why)
{
    return checked(why, UNINTERRUPTED(file->env->ops->datasync(file->env, file->handle)),
                   "fdatasync", file->path);
}

enum err
file_sync(struct file *file, struct why *why)
{
    return checked(why, UNINTERRUPTED(file->env->ops->sync(file->env, file->handle)), "fsync",
                   file->path);
}

enum err
file_truncate(struct file *file, uint64_t size, struct why *why)
{
    if (!range_fits(size, 0)) {
        return why_set(why, ERR_LIMIT, "cannot truncate %s: size %llu is out of range", file->path,
                       (unsigned long long)size);
    }
    return checked(why, UNINTERRUPTED(file->env->ops->truncate(file->env, file->handle, size)),
                   "truncate", file->path);
}

enum err
file_size(struct file *file, uint64_t *ret_size, struct why *why)
{
    int64_t result = UNINTERRUPTED(file->env->ops->size(file->env, file->handle));
    if (result < 0) return fail(why, result, "stat", file->path);
    *ret_size = (uint64_t)result;
    return OK;
}

enum err
file_links(struct file *file, uint64_t *ret_links, struct why *why)
{
    int64_t result = UNINTERRUPTED(file->env->ops->links(file->env, file->handle));
    if (result < 0) return fail(why, result, "stat", file->path);
    *ret_links = (uint64_t)result;
    return OK;
}

enum err
file_lock(struct file *file, struct why *why)
{
    int result = UNINTERRUPTED(file->env->ops->lock(file->env, file->handle));
    if (result == -EAGAIN) {
        return why_set(why, ERR_AGAIN, "cannot lock %s: another process holds the lock",
                       file->path);
    }
    return checked(why, result, "lock", file->path);
}

/* --- files by path ---------------------------------------------------------------------------- */

static enum err
fail_pair(struct why *why, int result, const char *operation, const char *from, const char *to)
{
    enum err e = fail(why, result, operation, to);
    if (why == NULL) return e;
    return why_set(why, e, "cannot %s %s to %s: %s", operation, from, to, error_text(-result).text);
}

enum err
env_rename(struct env *env, const char *from, const char *to, struct why *why)
{
    int result = UNINTERRUPTED(env->ops->rename(env, from, to));
    return result < 0 ? fail_pair(why, result, "rename", from, to) : OK;
}

enum err
env_link(struct env *env, const char *from, const char *to, struct why *why)
{
    int result = UNINTERRUPTED(env->ops->link(env, from, to));
    return result < 0 ? fail_pair(why, result, "link", from, to) : OK;
}

enum err
env_unlink(struct env *env, const char *path, struct why *why)
{
    int result = UNINTERRUPTED(env->ops->unlink(env, path));
    if (result == -ENOENT) return OK;
    return checked(why, result, "remove", path);
}

enum err
env_mkdir(struct env *env, const char *path, struct why *why)
{
    int result = UNINTERRUPTED(env->ops->mkdir(env, path));
    if (result == -EEXIST) { /* fine if it is a directory */
        struct file_facts facts;
        int found = UNINTERRUPTED(env->ops->facts(env, path, &facts));
        if (found >= 0 && facts.kind == FILE_KIND_DIR) return OK;
        if (found >= 0) result = -ENOTDIR;
        if (found == -ENOENT) {
            return why_set(why, ERR_IO,
                           "cannot create directory %s: it is a symbolic link, and its target is "
                           "missing; create or mount the target",
                           path);
        }
        if (found < 0) result = found;
    }
    return checked(why, result, "create directory", path);
}

enum err
env_rmdir(struct env *env, const char *path, struct why *why)
{
    return checked(why, UNINTERRUPTED(env->ops->rmdir(env, path)), "remove directory", path);
}

enum err
env_syncdir(struct env *env, const char *path, struct why *why)
{
    return checked(why, UNINTERRUPTED(env->ops->syncdir(env, path)), "fsync directory", path);
}

struct listing {
    enum err (*each)(void *context, const char *name, bool is_dir);
    void *context;
};

static int
listing_each(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    return (int)listing->each(listing->context, name, is_dir);
}

enum err
env_listdir(struct env *env, const char *path,
            enum err (*each)(void *context, const char *name, bool is_dir), void *context,
            struct why *why)
{
    struct listing listing = {each, context};
    int result = UNINTERRUPTED(env->ops->listdir(env, path, listing_each, &listing));
    if (result > 0) return (enum err)result; /* the error of `each`, which has set `why` */
    return checked(why, result, "list directory", path);
}

struct removal {
    struct env *env;
    const char *path;
    struct why *why;
    uint64_t removed_count;
    unsigned levels; /* levels of directories below */
};

static enum err remove_level(struct env *env, const char *path, unsigned levels, struct why *why);

static enum err
remove_each(void *context, const char *name, bool is_dir)
{
    struct removal *removal = context;
    char path[PATH_BYTES_MAX];
    enum err e = path_join(path, sizeof path, removal->path, name);
    if (e)
        return why_set(removal->why, e, "cannot remove %s/%s: path is too long", removal->path,
                       name);
    if (!is_dir)
        e = env_unlink(removal->env, path, removal->why);
    else if (removal->levels > 0)
        e = remove_level(removal->env, path, removal->levels - 1, removal->why);
    else
        e = env_rmdir(removal->env, path, removal->why);
    if (e == OK) removal->removed_count++;
    return e;
}

/* Some file systems skip names when others are removed while listing: so as long as there is
 * progress, a directory that is not empty is listed again. */
static enum err
remove_level(struct env *env, const char *path, unsigned levels, struct why *why)
{
    struct removal removal = {env, path, why, 0, levels};
    for (;;) {
        removal.removed_count = 0;
        enum err e = env_listdir(env, path, remove_each, &removal, why);
        if (e == ERR_MISSING) return OK;
        if (e) return e;
        int result = UNINTERRUPTED(env->ops->rmdir(env, path));
        if (result == -ENOENT) return OK;
        if (result == -ENOTEMPTY && removal.removed_count > 0) continue;
        return checked(why, result, "remove directory", path);
    }
}

enum err
env_remove_tree(struct env *env, const char *path, struct why *why)
{
    return remove_level(env, path, REMOVE_LEVELS, why);
}

enum err
env_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total,
          struct why *why)
{
    uint64_t free_bytes, total_bytes;
    int result = UNINTERRUPTED(env->ops->space(env, path, &free_bytes, &total_bytes));
    if (result < 0) return fail(why, result, "statvfs", path);
    *ret_free = free_bytes;
    *ret_total = total_bytes;
    return OK;
}

enum err
env_facts(struct env *env, const char *path, struct file_facts *ret_facts, struct why *why)
{
    struct file_facts facts;
    int result = UNINTERRUPTED(env->ops->facts(env, path, &facts));
    if (result < 0) return fail(why, result, "stat", path);
    *ret_facts = facts;
    return OK;
}

bool
file_facts_same_file(const struct file_facts *a, const struct file_facts *b)
{
    bool unborn = a->born_ns == 0 || b->born_ns == 0;
    return a->number == b->number && (unborn || a->born_ns == b->born_ns);
}

enum err
env_read_some(struct env *env, const char *path, void *to, size_t size, size_t *ret_size,
              struct why *why)
{
    struct file file;
    enum err e = file_open(env, path, FILE_READ, &file, why);
    if (e) return e;
    e = file_read_some(&file, to, size, 0, ret_size, why);
    err_ignore(file_close(&file), "only read");
    return e;
}

enum err
env_read_whole(struct env *env, const char *path, struct buf *to, struct why *why)
{
    struct file file;
    uint64_t size = 0;
    enum err e = file_open(env, path, FILE_READ, &file, why);
    if (e) return e;
    e = file_size(&file, &size, why);
    if (e == OK && !buf_reserve(to, (size_t)size))
        e = why_set(why, buf_error(to), "cannot read %s: %s", path, err_word(buf_error(to)));
    if (e == OK && size > 0) e = file_read_at(&file, to->at + to->size, (size_t)size, 0, why);
    if (e == OK) to->size += (size_t)size;
    err_ignore(file_close(&file), "only read");
    return e;
}

enum err
env_write_whole(struct env *env, const char *dir, const char *name, struct bytes content,
                struct why *why)
{
    struct file file = FILE_CLOSED;
    char path[sizeof file.path], beside[sizeof file.path];
    bool created = false;
    enum err e = path_join(path, sizeof path, dir, name);
    if (e == OK && (size_t)snprintf(beside, sizeof beside, "%s.tmp", path) >= sizeof beside)
        e = ERR_LIMIT;
    if (e) {
        why_set(why, e, "cannot write %s/%s: path is too long", dir, name);
        goto out;
    }
    e = file_open(env, beside, FILE_REPLACE, &file, why);
    if (e) goto out;
    created = true;
    e = file_write_at(&file, content, 0, why);
    if (e) goto out;
    e = file_sync(&file, why);
    if (e) goto out;
    e = file_close(&file);
    if (e) {
        why_set(why, e, "cannot close %s: %s", beside, err_word(e));
        goto out;
    }
    e = env_rename(env, beside, path, why);
    if (e) goto out;
    created = false;
    e = env_syncdir(env, dir, why);
out:
    err_ignore(file_close(&file), "only open after an earlier error, and not needed any more");
    if (created) err_ignore(env_unlink(env, beside, NULL), "the next attempt replaces it");
    return e;
}

enum err
path_join(char *to, size_t to_size, const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    const char *slash = a_size == 0 || a[a_size - 1] == '/' ? "" : "/";
    size_t need = a_size + strlen(slash) + b_size + 1;
    if (need > to_size) return ERR_LIMIT;
    snprintf(to, to_size, "%s%s%s", a, slash, b);
    return OK;
}

enum err
path_in(char *to, size_t to_size, const char *a, const char *b, struct why *why)
{
    enum err e = path_join(to, to_size, a, b);
    return e ? why_set(why, e, "%.200s/%.200s: path is too long", a, b) : OK;
}

/* --- clock, randomness, threads, sockets ------------------------------------------------------ */

enum err
env_random(struct env *env, void *to, size_t size)
{
    int result = UNINTERRUPTED(env->ops->random(env, to, size));
    return result < 0 ? err_from_errno(-result) : OK;
}

enum err
env_thread_start(struct env *env, const char *name, void (*run)(void *argument), void *argument,
                 struct env_thread **ret_thread)
{
    int result = env->ops->thread_start(env, name, run, argument, ret_thread);
    if (result == -ENOSYS) return ERR_UNSUPPORTED;
    return result < 0 ? err_from_errno(-result) : OK;
}

static enum err
listen_error(int errno_value)
{
    switch (errno_value) {
    case EADDRINUSE:
        return ERR_AGAIN;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EINVAL:
        return ERR_INPUT;
    case ENOSYS:
        return ERR_UNSUPPORTED;
    default:
        return err_from_errno(errno_value);
    }
}

enum err
env_listen(struct env *env, const char *host, uint16_t port, int backlog, int *ret_socket,
           struct why *why)
{
    int result = UNINTERRUPTED(env->ops->listen(env, host, port, backlog));
    if (result < 0) {
        return why_set(why, listen_error(-result), "cannot listen on %s port %u: %s",
                       host[0] == '\0' ? "any address" : host, (unsigned)port,
                       error_text(-result).text);
    }
    *ret_socket = result;
    return OK;
}
