/*
 * file_cache.c - see file_cache.h.
 *
 * A file is written beside and renamed, without a sync: a file that a power loss has damaged fails
 * its checksum. When the directory is too large, files of some subdirectories, which are as good as
 * random ones, are removed until a quarter is free. Other processes write, too, so sizes are
 * counted again now and then.
 */
#include "sys/file_cache.h"

#include <stdio.h>

#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/log.h"

enum {
    DIRS = 256,
    COUNT_AFTER = 256,
    FILE_COST_BYTES = 512, /* space of a file besides its content */
    SHARE_MAX = 8,         /* one file may take one of so many parts of the cache */
    PATH_BYTES = FILE_PATH_BYTES,
};

struct file_cache {
    struct file_cache_options options;

    struct lock lock;    /* LOCK_RANK_LEAF; guards the rest */
    bool busy;           /* a thread counts and removes files, without the lock */
    uint64_t used_bytes; /* as far as known */
    uint32_t stored;     /* files stored since the last count; COUNT_AFTER at first */
    bool is_failing;     /* the last file could not be written, which was logged */
};

enum err
file_cache_new(const struct file_cache_options *options, struct file_cache **ret_cache)
{
    struct file_cache *c = mem_new(options->memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->options = *options;
    lock_init(&c->lock, LOCK_RANK_LEAF);
    c->stored = COUNT_AFTER;
    *ret_cache = c;
    return OK;
}

void
file_cache_free(struct file_cache *c)
{
    if (c == NULL) return;
    lock_fini(&c->lock);
    mem_free(c->options.memory, c, sizeof *c);
}

struct file_key
file_key_of(struct bytes known_by, uint64_t scope)
{
    const void *at = known_by.at == NULL ? "" : (const void *)known_by.at;
    XXH128_hash_t h = XXH3_128bits_withSeed(at, known_by.size, scope);
    return (struct file_key){h.high64, h.low64};
}

/* Builds the paths of a key. False if they are too long. */
static bool
put_paths(const struct file_cache *c, struct file_key key, char dir[PATH_BYTES],
          char path[PATH_BYTES])
{
    const char *root = c->options.path;
    int size =
        snprintf(path, PATH_BYTES, "%s/%02x/%014llx%016llx", root, (unsigned)(key.high >> 56),
                 (unsigned long long)(key.high & 0xffffffffffffff), (unsigned long long)key.low);
    snprintf(dir, PATH_BYTES, "%s/%02x", root, (unsigned)(key.high >> 56));
    return size < PATH_BYTES;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool
file_cache_read(struct file_cache *c, struct file_key key, struct buf *to)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    return put_paths(c, key, dir, path) && env_read_whole(c->options.env, path, to, NULL) == OK;
}

/* --- size of the cache ------------------------------------------------------------------------ */

struct cache_walk {
    struct env *env;
    const char *dir;
    uint64_t bytes;
    uint64_t remove_bytes; /* bytes to remove in this subdirectory */
};

static enum err
visit_file(void *context, const char *name, bool is_dir)
{
    struct cache_walk *w = context;
    char path[PATH_BYTES];
    struct file file;
    uint64_t size = 0;
    if (is_dir || path_join(path, sizeof path, w->dir, name) != OK) return OK;
    if (file_open(w->env, path, FILE_READ, &file, NULL) != OK) return OK;
    enum err e = file_size(&file, &size, NULL);
    file_close(&file);
    if (e) return OK;
    size += FILE_COST_BYTES;
    if (w->remove_bytes == 0)
        w->bytes += size;
    else if (env_unlink(w->env, path, NULL) == OK)
        w->remove_bytes -= size < w->remove_bytes ? size : w->remove_bytes;
    else
        w->bytes += size;
    return OK;
}

/* Counts the directory, and removes files if it is too large. */
static uint64_t
count_and_remove(struct file_cache *c)
{
    char dir[PATH_BYTES];
    struct cache_walk w = {c->options.env, dir, 0, 0};
    uint64_t max = c->options.max_bytes;
    uint8_t begin = 0;
    err_ignore(env_random(w.env, &begin, 1), "any place will do");
    for (int pass = 0; pass < 2; pass++) {
        w.remove_bytes = pass == 0 || w.bytes <= max ? 0 : w.bytes - max / 4 * 3;
        if (pass == 1 && w.remove_bytes == 0) break;
        w.bytes = 0;
        for (unsigned i = 0; i < DIRS; i++) {
            snprintf(dir, sizeof dir, "%s/%02x", c->options.path, (begin + i) % DIRS);
            err_ignore(env_listdir(w.env, dir, visit_file, &w, NULL), "it may not be there");
        }
    }
    return w.bytes;
}

/* Makes room for a file. False if there is none. */
static bool
make_room(struct file_cache *c, uint64_t size)
{
    uint64_t max = c->options.max_bytes;
    lock_take(&c->lock);
    bool due = c->stored >= COUNT_AFTER || c->used_bytes + size > max;
    bool ours = due && !c->busy;
    c->busy |= ours;
    lock_drop(&c->lock);
    if (!due) return true;
    if (!ours) return false; /* the count is corrected later */
    uint64_t used = count_and_remove(c);
    lock_take(&c->lock);
    c->busy = false;
    c->used_bytes = used;
    c->stored = 0;
    bool fits = used + size <= max;
    lock_drop(&c->lock);
    return fits;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Logs a failure once, until a file can be written again. */
static void
note_result(struct file_cache *c, enum err e, const struct why *why)
{
    lock_take(&c->lock);
    bool is_new = e != OK && !c->is_failing;
    c->is_failing = e != OK;
    lock_drop(&c->lock);
    if (!is_new) return;
    log_warn("cannot write to the cache: what it would hold is fetched again each time",
             KV("path", c->options.path), KV("error", why_text(why, e)));
}

/* Creates a temporary file beside that of the key, and the directories to it. */
static enum err
open_beside(struct file_cache *c, struct file_key key, struct file *file, char path[PATH_BYTES],
            struct why *why)
{
    char dir[PATH_BYTES], beside[PATH_BYTES];
    struct env *env = c->options.env;
    uint64_t number;
    enum err e = env_random(env, &number, sizeof number);
    if (e) return why_set(why, e, "no random numbers");
    int size = -1;
    if (put_paths(c, key, dir, path))
        size = snprintf(beside, sizeof beside, "%s.%016llx.tmp", path, (unsigned long long)number);
    if (size < 0 || size >= (int)sizeof beside) return why_set(why, ERR_LIMIT, "path too long");
    err_ignore(env_mkdir(env, c->options.path, NULL), "seen below");
    e = env_mkdir(env, dir, why);
    return e ? e : file_open(env, beside, FILE_CREATE, file, why);
}

static void
drop_file(struct file_cache *c, struct file *file)
{
    err_ignore(file_close(file), "it is not wanted");
    err_ignore(env_unlink(c->options.env, file->path, NULL), "it goes with the others");
}

enum err
file_cache_probe(struct file_cache *c, struct why *why)
{
    char path[PATH_BYTES];
    struct file file;
    enum err e = open_beside(c, file_key_of(bytes_of_text("probe"), 0), &file, path, why);
    if (e == OK) drop_file(c, &file);
    return e;
}

bool
file_cache_store(struct file_cache *c, struct file_key key, struct bytes content)
{
    char path[PATH_BYTES];
    struct file file;
    struct why why = {""};
    uint64_t size = content.size + FILE_COST_BYTES;
    if (size > c->options.max_bytes / SHARE_MAX || !make_room(c, size)) return false;
    enum err e = open_beside(c, key, &file, path, &why);
    if (e == OK) {
        e = file_write_at(&file, content, 0, &why);
        enum err closed = file_close(&file);
        if (e == OK) e = closed;
        if (e == OK) e = env_rename(c->options.env, file.path, path, &why);
        if (e) drop_file(c, &file);
    }
    note_result(c, e, &why);
    if (e) return false;
    lock_take(&c->lock);
    c->used_bytes += size;
    c->stored++;
    lock_drop(&c->lock);
    return true;
}
