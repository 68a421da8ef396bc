/* backup_ends.h - where a backup comes from and where it is stored: a snapshot of a running server,
 * and the place that a command line names. */
#ifndef CLI_BACKUP_BACKUP_ENDS_H
#define CLI_BACKUP_BACKUP_ENDS_H

#include "backup/repository.h"
#include "base/buf.h"
#include "config/lists/lists.h"
#include "sys/env.h"

/* --- a snapshot ------------------------------------------------------------------------------- */

enum { SNAPSHOT_DIR_BYTES = 200, SNAPSHOT_BYTES = 40 };

struct server_snapshot_options {
    const char *url, *http_config_file;
    const char *storage; /* where the server's directory is on this machine; NULL: where it is for
                            the server */
    const char *suffix;  /* ends the names of the caller's snapshots: those that a killed process
                            left are removed first */
    bool with_bucket;    /* parts that are only in the server's bucket are fetched into it */
    struct budget *memory;
};

/* In the owner's memory. */
struct server_snapshot {
    char name[SNAPSHOT_BYTES]; /* "": none was taken */
    char all[SNAPSHOT_DIR_BYTES];
    char dir[SNAPSHOT_DIR_BYTES];
};

/*
 * Asks the server, whose directory is on this machine, for a snapshot, after removing one that a
 * killed process left.
 *
 * ERR_UNSUPPORTED: the server refuses it, or its directory is not on this machine; `why` says what
 * to do; errors of client_access_new() and http_client_fetch().
 */
MUST_CHECK enum err server_snapshot_take(const struct server_snapshot_options *options,
                                         struct server_snapshot *ret_snapshot, struct why *why);
/* Removes the snapshot. Accepts one that was not taken. */
MUST_CHECK enum err server_snapshot_remove(struct server_snapshot *snapshot, struct why *why);

/* --- the place -------------------------------------------------------------------------------- */

/* Holds the settings and the connections of a bucket as long as its place is used; zeroed memory
 * before, but for `stop`. */
struct place_needs {
    const atomic_bool *stop; /* as of objects_bucket() */
    struct sources sources;
    struct http_puller *puller;
};

/*
 * Finds the place of `text`, which is borrowed: a directory, or s3://BUCKET/PREFIX?KEY=VALUE&...
 * Keys of a bucket are those of a source of type archive, such as region, endpoint and path_style.
 * ERR_INPUT: not the address of a bucket; errors of backup_place_dir() and backup_place_bucket().
 */
MUST_CHECK enum err repository_place(const char *text, struct budget *memory,
                                     struct place_needs *needs, struct backup_place **ret_place,
                                     struct why *why);
/* Reads the settings of the address of a bucket, as the only source of a list, for sources_free().
 * Errors as repository_place(). */
MUST_CHECK enum err repository_place_read(const char *address, struct budget *memory,
                                          struct sources *ret_sources, struct why *why);
/* Appends an address, which begins with s3://, as keys of a mapping in YAML, between `begin`, which
 * has other keys, and `end`. ERR_INPUT: not the address of a bucket; ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err bucket_address_yaml(const char *begin, const char *address, const char *end,
                                        struct buf *to, struct why *why);
/* After the place was freed. */
void place_needs_fini(struct place_needs *needs);

#endif
