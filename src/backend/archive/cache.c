/*
 * cache.c - see scan.h. The files: sys/file_cache.h, by the hash of archive and key.
 */
#include "backend/archive/scan.h"

#include "base/hash/hash.h"
#include "sys/file_cache.h"

struct archive_cache {
    struct budget *memory;
    struct file_cache *files;
    uint64_t archive; /* hash of the archive */
};

enum err
archive_cache_new(const struct archive_cache_options *options, struct archive_cache **ret_cache)
{
    struct archive_cache *c = mem_new(options->memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->memory = options->memory;
    c->archive = hash_bytes(bytes_of_text(options->archive), 0);
    struct file_cache_options files = {options->env, options->memory, options->settings->path,
                                       options->settings->max_bytes};
    enum err e = file_cache_new(&files, &c->files);
    if (e)
        archive_cache_free(c);
    else
        *ret_cache = c;
    return e;
}

void
archive_cache_free(struct archive_cache *c)
{
    if (c == NULL) return;
    file_cache_free(c->files);
    mem_free(c->memory, c, sizeof *c);
}

static struct about_identity
identity_of(const struct archive_object *o)
{
    return (struct about_identity){bytes_of_text(o->key), bytes_of_text(o->tag), o->size};
}

static struct file_key
key_of(const struct archive_cache *c, const struct archive_object *o)
{
    return file_key_of(bytes_of_text(o->key), c->archive);
}

bool
archive_cache_load(struct archive_cache *c, const struct archive_object *object,
                   struct budget *budget, struct about *about)
{
    struct about_identity identity = identity_of(object);
    struct buf file;
    buf_init(&file, budget, ABOUT_BYTES_MAX);
    bool found = file_cache_read(c->files, key_of(c, object), &file) &&
                 about_get(about, &identity, buf_bytes(&file)) == OK;
    buf_fini(&file);
    return found;
}

void
archive_cache_store(struct archive_cache *c, const struct archive_object *object,
                    struct budget *budget, const struct about *about)
{
    struct about_identity identity = identity_of(object);
    struct buf file;
    if (object->is_young) return;
    buf_init(&file, budget, ABOUT_BYTES_MAX);
    about_put(about, &identity, &file);
    if (buf_error(&file) == OK) {
        bool kept = file_cache_store(c->files, key_of(c, object), buf_bytes(&file));
        (void)kept; /* a lost file is made again */
    }
    buf_fini(&file);
}
