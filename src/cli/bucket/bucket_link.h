/* bucket_link.h - the bucket that a configuration or a command line names. */
#ifndef CLI_BUCKET_BUCKET_PLACE_H
#define CLI_BUCKET_BUCKET_PLACE_H

#include "backend/source.h"
#include "config/lists/lists.h"
#include "model/objects.h"
#include "net/http_pull.h"

/* In the owner's memory; zeroed, there is none. */
struct bucket_link {
    struct http_puller *puller; /* NULL: a directory */
    struct source_counts counts;
    struct objects *objects;
};

/* Opens the bucket of these settings, which outlive it; sends nothing. Once `stop` is true, which
 * may be NULL, its requests end with ERR_CANCELED. Errors of objects_bucket() and
 * objects_folder(). bucket_link_close() is required, also after an error. */
MUST_CHECK enum err bucket_link_open(struct env *env, const struct object_storage *storage,
                                     struct budget *memory, const atomic_bool *stop,
                                     struct bucket_link *ret_place, struct why *why);
void bucket_link_close(struct bucket_link *place);

#define BUCKET_SCHEME "s3://"

/* Reads the address of a bucket, a directory or s3://BUCKET/PREFIX?KEY=VALUE&..., of which the keys
 * are those of `object_storage`. For object_storage_free(). ERR_INPUT, ERR_NOMEM. */
MUST_CHECK enum err bucket_link_read(const char *address, struct budget *memory,
                                     struct object_storage *ret_storage, struct why *why);

#endif
