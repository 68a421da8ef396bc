/*
 * cache.h - what is known of objects, kept in a directory: a file each, which names the object and
 * the content that it is of. Form: docs/format/archive_index.md.
 *
 * What cannot be read, or is of another content, is not there: of all that can happen to the
 * directory, see sys/file_cache.h, the worst is that an object is read again.
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
    const char *archive; /* what tells this archive from others in the same directory; copied */
};
/* ERR_NOMEM. */
MUST_CHECK enum err archive_cache_new(const struct archive_cache_options *options,
                                      struct archive_cache **ret_cache);
void archive_cache_free(struct archive_cache *cache);

/* Whether it is there; then `about` is filled. */
bool archive_cache_load(struct archive_cache *cache, const struct archive_object *object,
                        struct budget *budget, struct about *about);
/* Keeps it, if that can be done. */
void archive_cache_store(struct archive_cache *cache, const struct archive_object *object,
                         struct budget *budget, const struct about *about);

#endif
