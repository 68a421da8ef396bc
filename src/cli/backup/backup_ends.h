/* backup_ends.h - where a backup comes from and where it is stored: a snapshot of a running server,
 * and the place that a command line names. */
#ifndef CLI_BACKUP_BACKUP_ENDS_H
#define CLI_BACKUP_BACKUP_ENDS_H

#include "backup/repository.h"
#include "base/buf.h"
#include "cli/bucket/bucket_link.h"
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

/* Holds the settings and the connections of a place as long as it is used; zeroed memory before,
 * but for `stop`. */
struct place_needs {
    const atomic_bool *stop; /* as of objects_bucket() */
    struct object_storage storage;
    struct bucket_link link;
};

/* Finds the place of `text`, which is borrowed: a directory, or the address of a bucket, as of
 * bucket_link_read(). Errors of that and of bucket_link_open(). */
MUST_CHECK enum err repository_place(const char *text, struct budget *memory,
                                     struct place_needs *needs, struct backup_place *ret_place,
                                     struct why *why);
/* After the repository was closed. */
void place_needs_fini(struct place_needs *needs);

#endif
