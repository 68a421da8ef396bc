/* repository_place.h - finds the place of backups that a command line names: a directory, or
 * s3://BUCKET/PREFIX?KEY=VALUE&... */
#ifndef CLI_BACKUP_REPOSITORY_PLACE_H
#define CLI_BACKUP_REPOSITORY_PLACE_H

#include "backup/place.h"
#include "config/lists/lists.h"

/* Holds the settings and the connections of a bucket as long as its place is used; zeroed memory
 * before, but for `stop`. */
struct place_needs {
    const atomic_bool *stop; /* as of object_bucket_new() */
    struct sources sources;
    struct http_puller *puller;
};

/*
 * `text` is borrowed. Keys of a bucket are those of a source of type archive, such as region,
 * endpoint and path_style. ERR_INPUT: not the address of a bucket; errors of backup_place_dir() and
 * backup_place_bucket().
 */
MUST_CHECK enum err repository_place(const char *text, struct budget *memory,
                                     struct place_needs *needs, struct backup_place **ret_place,
                                     struct why *why);
/* Reads the settings of the address of a bucket, as the only source of a list, for sources_free().
 * Errors as repository_place(). */
MUST_CHECK enum err repository_place_read(const char *address, struct budget *memory,
                                          struct sources *ret_sources, struct why *why);
/* After the place was freed. */
void place_needs_fini(struct place_needs *needs);

#endif
