/* server_snapshot.h - takes a snapshot of a running server whose storage directory is on this
 * machine, and removes it. */
#ifndef CLI_BACKUP_SERVER_SNAPSHOT_H
#define CLI_BACKUP_SERVER_SNAPSHOT_H

#include "base/buf.h"
#include "sys/env.h"

enum { SNAPSHOT_DIR_BYTES = 200, SNAPSHOT_BYTES = 40 };

struct server_snapshot_options {
    const char *url, *http_config_file;
    const char *storage; /* where the server's directory is on this machine; NULL: where it is for
                            the server */
    const char *suffix;  /* ends the names of the caller's snapshots: those that a killed process
                            left are removed first */
    struct budget *memory;
};

/* In the owner's memory. */
struct server_snapshot {
    char name[SNAPSHOT_BYTES]; /* "": none was taken */
    char all[SNAPSHOT_DIR_BYTES];
    char dir[SNAPSHOT_DIR_BYTES];
};

/*
 * Asks the server for a snapshot, after removing one that a killed process left.
 *
 * ERR_UNSUPPORTED: the server refuses it, or its directory is not on this machine; `why` says what
 * to do; errors of client_access_new() and http_client_fetch().
 */
MUST_CHECK enum err server_snapshot_take(const struct server_snapshot_options *options,
                                         struct server_snapshot *ret_snapshot, struct why *why);
/* Removes the snapshot. Accepts one that was not taken. */
MUST_CHECK enum err server_snapshot_remove(struct server_snapshot *snapshot, struct why *why);

#endif
