/*
 * file_cache.h - a directory of files that are of use and may go at any time, of a bounded size.
 *
 *     PATH/3f/a09c...(30 hex digits)               a file, by the hash of what it is known by
 *     PATH/3f/a09c....(16 hex digits).tmp          while it is written
 *
 * The directory may be damaged, deleted, full, shared with other processes, or an older copy of
 * itself. So what is read has to tell by itself, with a checksum, what it is, and that it is whole:
 * nothing here waits for a file to be durable, and two things may have one hash.
 *
 * Threads: any; a writer belongs to one.
 */
#ifndef SYS_FILE_CACHE_H
#define SYS_FILE_CACHE_H

#include "base/buf.h"
#include "sys/env.h"

struct file_cache;
struct file_cache_options {
    struct env *env;
    struct budget *memory;
    const char *path; /* outlives the cache; created with the first file, if its parent exists */
    uint64_t max_bytes;
};
/* ERR_NOMEM. */
MUST_CHECK enum err file_cache_new(const struct file_cache_options *options,
                                   struct file_cache **ret_cache);
/* NULL is fine. */
void file_cache_free(struct file_cache *cache);

/* Whether files can be written: opens one, and removes it. Errors of env_mkdir() and file_open(). */
MUST_CHECK enum err file_cache_probe(struct file_cache *cache, struct why *why);

struct file_key {
    uint64_t high, low;
};
/* `scope`: of what else in the directory this must be told. */
struct file_key file_key_of(struct bytes known_by, uint64_t scope);

/* Whether there is such a file. The file is the caller's to close. */
bool file_cache_open(struct file_cache *cache, struct file_key key, struct file *ret_file);
/* The same, all of it. */
bool file_cache_read(struct file_cache *cache, struct file_key key, struct buf *to);

/* A file that is written from its beginning to its end. */
struct file_cache_writer {
    struct file_cache *cache;
    struct file_key key;
    struct file file;
    uint64_t size;
    char beside[FILE_PATH_BYTES];
};
/* False: it cannot be written, or would be too large; then it is dropped already. */
bool file_cache_begin(struct file_cache *cache, struct file_key key,
                      struct file_cache_writer *writer);
bool file_cache_write(struct file_cache_writer *writer, struct bytes piece);
/* It stands in the place of an older one of its key, if there is room for it. */
bool file_cache_keep(struct file_cache_writer *writer);
void file_cache_drop(struct file_cache_writer *writer);

/* A file that is complete already: all of the above. */
bool file_cache_store(struct file_cache *cache, struct file_key key, struct bytes content);

#endif
