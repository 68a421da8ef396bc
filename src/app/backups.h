/*
 * backups.h - a thread that backs the server up at intervals, as `firekeep backup` does from
 * outside, and removes backups that the settings do not keep. The interval counts from the newest
 * backup in the repository, so a restart changes nothing.
 *
 * Threads: that of the owner; backups_set() also the one that reloads.
 */
#ifndef APP_BACKUPS_H
#define APP_BACKUPS_H

#include "config/config.h"
#include "tsdb/tsdb.h"

struct backups;
struct backups_options {
    struct env *env;
    struct budget *memory;
    struct tsdb *tsdb;
    const char *storage_path;
    enum err (*flush)(void *context, struct why *why); /* flushes the head, and waits for it */
    void *context;
};

/* Begins without backups. ERR_NOMEM; ERR_AGAIN: the thread cannot be started. */
MUST_CHECK enum err backups_start(const struct backups_options *options,
                                  struct backups **ret_backups, struct why *why);
void backups_set(struct backups *backups, const struct settings *settings);
/* Gives up the running backup. Accepts NULL. */
void backups_stop(struct backups *backups);
void backups_free(struct backups *backups);

#endif
