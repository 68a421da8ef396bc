/*
 * object_bucket.h - a bucket of Amazon S3, or of a store with its API: writes, reads, lists and
 * removes whole objects, one request after the other. Requests are signed and repeated as those of
 * a source (fetch.h).
 *
 * Threads: any; each call waits for its responses.
 */
#ifndef BACKEND_ARCHIVE_OBJECT_BUCKET_H
#define BACKEND_ARCHIVE_OBJECT_BUCKET_H

#include <stdatomic.h>

#include "backend/reader.h"

struct object_bucket;
/* `options->settings` are those of an archive in a bucket; its prefix begins all keys. Once `stop`
 * is true, which may be NULL, requests end with ERR_CANCELED. Sends nothing. ERR_NOMEM; ERR_INPUT,
 * ERR_MISSING: incomplete settings. */
MUST_CHECK enum err object_bucket_new(const struct reader_options *options, const atomic_bool *stop,
                                      struct object_bucket **ret_bucket, struct why *why);
/* Accepts NULL. */
void object_bucket_free(struct object_bucket *bucket);

/*
 * Errors of all requests: ERR_AGAIN: the store does not answer or is busy; ERR_IO: it refuses, and
 * will again; ERR_NOMEM. `key` is the part after the prefix.
 */

/* Writes an object, or replaces it. */
MUST_CHECK enum err object_bucket_put(struct object_bucket *bucket, const char *key,
                                      struct bytes content, struct why *why);
/* ERR_MISSING: there is no such object. */
MUST_CHECK enum err object_bucket_size(struct object_bucket *bucket, const char *key,
                                       uint64_t *ret_size, struct why *why);
/* Gives the content to `take` in pieces, whose error ends the reading and is returned. A response
 * that breaks off is continued. ERR_MISSING: there is no such object. */
MUST_CHECK enum err object_bucket_get(struct object_bucket *bucket, const char *key,
                                      enum err (*take)(void *context, struct bytes piece),
                                      void *context, struct why *why);
/* An object that is missing counts as removed. */
MUST_CHECK enum err object_bucket_remove(struct object_bucket *bucket, const char *key,
                                         struct why *why);

struct found_object {
    const char *key; /* after the prefix of the bucket */
    uint64_t size;
    const char *modified; /* time in UTC, as ISO 8601 */
};
/* Calls `each` for the objects whose keys begin with `begin`, in the order of their keys, until its
 * error, which is returned. */
MUST_CHECK enum err object_bucket_list(struct object_bucket *bucket, const char *begin,
                                       enum err (*each)(void *context,
                                                        const struct found_object *object),
                                       void *context, struct why *why);

#endif
