/*
 * cache.h - the indexes of objects, in a directory: a file for each, which names the object and its
 * content. Format: docs/format/archive_index.md.
 *
 * A file that cannot be read, or belongs to other content, counts as missing: whatever happens to
 * the directory, see sys/file_cache.h, at worst an object is read again.
 *
 * Threads: any.
 */
#ifndef BACKEND_ARCHIVE_CACHE_H
#define BACKEND_ARCHIVE_CACHE_H

#include "backend/archive/about.h"
#include "backend/archive/store.h"

struct archive_cache;
struct archive_cache_options {
    struct env *env;
    struct budget *memory;
    const struct source_cache_settings *settings; /* outlives the cache */
    const char *archive; /* identifies the archive among others in the same directory; copied */
};
/* ERR_NOMEM. */
MUST_CHECK enum err archive_cache_new(const struct archive_cache_options *options,
                                      struct archive_cache **ret_cache);
void archive_cache_free(struct archive_cache *cache);

/* True if the index of the object is cached; then `about` is filled. */
bool archive_cache_load(struct archive_cache *cache, const struct archive_object *object,
                        struct budget *budget, struct about *about);
/* Stores the index of the object, if possible. */
void archive_cache_store(struct archive_cache *cache, const struct archive_object *object,
                         struct budget *budget, const struct about *about);

#endif
