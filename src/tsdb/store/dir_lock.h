/*
 * dir_lock.h - lets one process at a time write into a storage directory. Format:
 * docs/format/manifest.md.
 *
 * Threads: one takes and drops it; any may call dir_lock_look().
 */
#ifndef TSDB_STORE_DIR_LOCK_H
#define TSDB_STORE_DIR_LOCK_H

#include "sys/env.h"
#include "tsdb/tsdb.h"

enum { DIR_LOCK_FILES = 2, DIR_LOCK_LINE_BYTES = 80 };

/* In the owner's memory; zeroed by dir_lock_init(). */
struct dir_lock {
    /* Immutable once taken. */
    struct env *env;
    const char *dir; /* borrowed for as long as the lock lives */
    struct file files[DIR_LOCK_FILES];
    struct file_facts facts[DIR_LOCK_FILES]; /* number 0: unknown */
    struct file_facts place;                 /* facts of the directory; number 0: unknown */
    char line[DIR_LOCK_LINE_BYTES];          /* content of LOCK; "" if it could not be written */
    bool watch;                              /* another machine may be using the directory */
    bool taken;
    bool made_file; /* LOCK was missing */

    _Atomic int state; /* enum tsdb_dir; relaxed: it orders nothing */
};

/* Allocates nothing; `dir` is borrowed until dir_lock_drop(). */
void dir_lock_init(struct dir_lock *lock, struct env *env, const char *dir);

/* Locks LOCK, which is created if missing. The directory exists. ERR_AGAIN: another process holds
 * it. ERR_INPUT: it is not completely restored. ERR_IO. */
MUST_CHECK enum err dir_lock_take(struct dir_lock *lock, struct why *why);
/* Locks FORMAT, which exists by now, and writes the line into LOCK. If the locks may not show a
 * server on another machine this watches the directory for WATCH_MS. Until this returns OK, nothing
 * may be read that a server changes. ERR_AGAIN: another process uses the directory. ERR_IO. */
MUST_CHECK enum err dir_lock_complete(struct dir_lock *lock, struct why *why);

/* Checks that the locked files still protect the directory. ERR_CORRUPT: neither does, or only one,
 * see lock->state and `why`; nothing may be acknowledged then. */
MUST_CHECK enum err dir_lock_look(struct dir_lock *lock, struct why *why);
/* True if, at the last look, acknowledged samples could be written into the directory. */
bool dir_lock_may_write(const struct dir_lock *lock);

/* Releases the lock; a directory in a valid state is marked so. Of a lock taken in part, LOCK is
 * removed if it was missing. */
void dir_lock_drop(struct dir_lock *lock);

#endif
