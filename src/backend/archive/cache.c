/*
 * cache.c - see cache.h.
 *
 *     PATH/3f/a09c...(30 hex digits)               a file: the hash of archive and key
 *     PATH/3f/a09c....(16 hex digits).tmp          while it is written
 *
 * A file is written beside and renamed, without a sync: what a power loss leaves of it fails its
 * checksum. When the directory is too large, files of some subdirectories, which are as good as
 * random ones, are removed until a quarter is free. Other processes write, too, so sizes are
 * counted again now and then.
 */
#include "backend/archive/cache.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/lock.h"

enum { DIRS = 256, COUNT_AFTER = 256, NAME_BYTES = FILE_PATH_BYTES };

struct archive_cache {
    struct archive_cache_options options;
    uint64_t archive; /* its hash */

    struct lock lock;    /* LOCK_RANK_LEAF; guards the rest */
    bool busy;           /* a thread counts and removes, without the lock */
    uint64_t used_bytes; /* as far as is known */
    uint32_t stored;     /* since it was counted; COUNT_AFTER at first */
};

enum err
archive_cache_new(const struct archive_cache_options *options, struct archive_cache **ret_cache)
{
    struct archive_cache *c = mem_new(options->memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->options = *options;
    c->archive = hash_bytes(bytes_of_text(options->archive), 0);
    c->options.archive = NULL;
    lock_init(&c->lock, LOCK_RANK_LEAF);
    c->stored = COUNT_AFTER;
    *ret_cache = c;
    return OK;
}

void
archive_cache_free(struct archive_cache *c)
{
    if (c == NULL) return;
    lock_fini(&c->lock);
    mem_free(c->options.memory, c, sizeof *c);
}

/* --- files ------------------------------------------------------------------------------------ */

static void
put_paths(const struct archive_cache *c, const char *key, char dir[NAME_BYTES],
          char path[NAME_BYTES])
{
    XXH128_hash_t h = XXH3_128bits_withSeed(key, strlen(key), c->archive);
    const char *root = c->options.settings->path;
    snprintf(dir, NAME_BYTES, "%s/%02x", root, (unsigned)(h.high64 >> 56));
    snprintf(path, NAME_BYTES, "%s/%02x/%014llx%016llx", root, (unsigned)(h.high64 >> 56),
             (unsigned long long)(h.high64 & 0xffffffffffffff), (unsigned long long)h.low64);
}

static struct about_identity
identity_of(const struct archive_object *o)
{
    return (struct about_identity){bytes_of_text(o->key), bytes_of_text(o->tag), o->size};
}

bool
archive_cache_load(struct archive_cache *c, const struct archive_object *object,
                   struct budget *budget, struct about *about)
{
    char dir[NAME_BYTES], path[NAME_BYTES];
    struct about_identity identity = identity_of(object);
    struct buf file;
    put_paths(c, object->key, dir, path);
    buf_init(&file, budget, ABOUT_BYTES_MAX);
    bool found = env_read_whole(c->options.env, path, &file, NULL) == OK &&
                 about_get(about, &identity, buf_bytes(&file)) == OK;
    buf_fini(&file);
    return found;
}

static enum err
write_file(struct env *env, const char *dir, const char *path, struct bytes content)
{
    char beside[NAME_BYTES];
    uint64_t number;
    struct file file;
    enum err e = env_random(env, &number, sizeof number);
    int size = snprintf(beside, sizeof beside, "%s.%016llx.tmp", path, (unsigned long long)number);
    if (size >= (int)sizeof beside) e = ERR_LIMIT;
    if (e == OK) e = env_mkdir(env, dir, NULL);
    if (e == OK) e = file_open(env, beside, FILE_CREATE, &file, NULL);
    if (e) return e;
    e = file_write_at(&file, content, 0, NULL);
    enum err closed = file_close(&file);
    if (e == OK) e = closed;
    if (e == OK) e = env_rename(env, beside, path, NULL);
    if (e) err_ignore(env_unlink(env, beside, NULL), "it goes with the others");
    return e;
}

/* --- its size --------------------------------------------------------------------------------- */

struct walk {
    struct env *env;
    const char *dir;
    uint64_t bytes;
    uint64_t remove_bytes; /* still to be removed here */
};

static enum err
visit_file(void *context, const char *name, bool is_dir)
{
    struct walk *w = context;
    char path[NAME_BYTES];
    struct file file;
    uint64_t size = 0;
    if (is_dir || path_join(path, sizeof path, w->dir, name) != OK) return OK;
    if (file_open(w->env, path, FILE_READ, &file, NULL) != OK) return OK;
    enum err e = file_size(&file, &size, NULL);
    file_close(&file);
    if (e) return OK;
    size += 512; /* what a file costs besides */
    if (w->remove_bytes == 0) {
        w->bytes += size;
    } else if (env_unlink(w->env, path, NULL) == OK) {
        w->remove_bytes -= size < w->remove_bytes ? size : w->remove_bytes;
    } else {
        w->bytes += size;
    }
    return OK;
}

/* Counts the directory, and makes it smaller if it is too large. */
static uint64_t
count_and_remove(struct archive_cache *c)
{
    char dir[NAME_BYTES];
    struct walk w = {c->options.env, dir, 0, 0};
    uint64_t max = c->options.settings->max_bytes;
    uint8_t begin = 0;
    err_ignore(env_random(w.env, &begin, 1), "any place will do");
    for (int pass = 0; pass < 2; pass++) {
        w.remove_bytes = pass == 0 || w.bytes <= max ? 0 : w.bytes - max / 4 * 3;
        if (pass == 1 && w.remove_bytes == 0) break;
        w.bytes = 0;
        for (unsigned i = 0; i < DIRS; i++) {
            snprintf(dir, sizeof dir, "%s/%02x", c->options.settings->path, (begin + i) % DIRS);
            err_ignore(env_listdir(w.env, dir, visit_file, &w, NULL), "it may not be there");
        }
    }
    return w.bytes;
}

/* Whether there is room for so much. */
static bool
make_room(struct archive_cache *c, uint64_t size)
{
    uint64_t max = c->options.settings->max_bytes;
    if (size > max / 8) return false;
    lock_take(&c->lock);
    bool due = c->stored >= COUNT_AFTER || c->used_bytes + size > max;
    bool ours = due && !c->busy;
    c->busy |= ours;
    lock_drop(&c->lock);
    if (!due) return true;
    if (!ours) return false; /* what is lost is found out again */
    uint64_t used = count_and_remove(c);
    lock_take(&c->lock);
    c->busy = false;
    c->used_bytes = used;
    c->stored = 0;
    bool fits = used + size <= max;
    lock_drop(&c->lock);
    return fits;
}

void
archive_cache_store(struct archive_cache *c, const struct archive_object *object,
                    struct budget *budget, const struct about *about)
{
    char dir[NAME_BYTES], path[NAME_BYTES];
    struct about_identity identity = identity_of(object);
    struct buf file;
    if (object->is_young) return;
    buf_init(&file, budget, ABOUT_BYTES_MAX);
    about_put(about, &identity, &file);
    bool fits = buf_error(&file) == OK && make_room(c, file.size + 512);
    put_paths(c, object->key, dir, path);
    if (fits) {
        err_ignore(env_mkdir(c->options.env, c->options.settings->path, NULL), "seen below");
        enum err e = write_file(c->options.env, dir, path, buf_bytes(&file));
        lock_take(&c->lock);
        if (e == OK) c->used_bytes += file.size + 512;
        c->stored++;
        lock_drop(&c->lock);
    }
    buf_fini(&file);
}
