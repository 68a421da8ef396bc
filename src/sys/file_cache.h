/*
 * file_cache.h - a directory of cached files, of a bounded size. Files may disappear at any time.
 *
 *     PATH/3f/a09c...(30 hex digits)               a file, by the hash of its key
 *     PATH/3f/a09c....(16 hex digits).tmp          while it is written
 *
 * The directory may be damaged, deleted, full, shared with other processes, or an older copy of
 * itself. So the content of a file must prove, with a checksum, what it is and that it is complete:
 * nothing here waits for a file to be durable, and two keys may have one hash.
 *
 * Threads: any.
 */
#ifndef SYS_FILE_CACHE_H
#define SYS_FILE_CACHE_H

#include "base/buf.h"
#include "sys/env.h"

struct file_cache;
struct file_cache_options {
    struct env *env;
    struct budget *memory;
    const char *path; /* outlives the cache; the directory is created with the first file, if its
                         parent exists */
    uint64_t max_bytes;
};
/* ERR_NOMEM. */
MUST_CHECK enum err file_cache_new(const struct file_cache_options *options,
                                   struct file_cache **ret_cache);
/* Accepts NULL. */
void file_cache_free(struct file_cache *cache);

/* Checks that files can be written: creates one and removes it. Errors of env_mkdir() and
 * file_open(). */
MUST_CHECK enum err file_cache_probe(struct file_cache *cache, struct why *why);

struct file_key {
    uint64_t high, low;
};
/* `scope` separates files of different users of the directory. */
struct file_key file_key_of(struct bytes known_by, uint64_t scope);

/* Reads all of the file of a key. False if there is none. */
bool file_cache_read(struct file_cache *cache, struct file_key key, struct buf *to);

/* Stores a file, in place of an older one of its key. False: it cannot be written, or is too large.
 */
bool file_cache_store(struct file_cache *cache, struct file_key key, struct bytes content);

#endif
