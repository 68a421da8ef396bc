/*
 * dir_lock.h - one process at a time may write into a storage directory. Format:
 * docs/format/manifest.md.
 *
 * Threads: taken and dropped by one; dir_lock_look() may be called from any.
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
    struct file_facts facts[DIR_LOCK_FILES]; /* a number of 0: not known */
    struct file_facts place;                 /* of the directory; the same */
    char line[DIR_LOCK_LINE_BYTES];          /* what LOCK contains; "": it could not be written */
    bool watch;                              /* another machine may be at work on the directory */
    bool taken;

    _Atomic int state; /* enum tsdb_dir; relaxed: it orders nothing */
};

void dir_lock_init(struct dir_lock *lock, struct env *env, const char *dir);

/*
 * Locks LOCK, which is made if it is missing. The directory is there. ERR_AGAIN: another process
 * holds it. ERR_IO.
 */
MUST_CHECK enum err dir_lock_take(struct dir_lock *lock, struct why *why);
/*
 * Locks FORMAT, which is there by now, and writes the line into LOCK. Where the locks may not show
 * a server on another machine this watches the directory for WATCH_MS. Until this returns OK,
 * nothing may be read that a server changes. ERR_AGAIN: another process uses the directory. ERR_IO.
 */
MUST_CHECK enum err dir_lock_complete(struct dir_lock *lock, struct why *why);

/*
 * Says whether what was taken still protects the directory. ERR_CORRUPT: it does not, or one file
 * alone does, as lock->state and `why` say; nothing may be acknowledged then.
 */
MUST_CHECK enum err dir_lock_look(struct dir_lock *lock, struct why *why);
/* As of the last look: what was acknowledged may be written into the directory. */
bool dir_lock_may_write(const struct dir_lock *lock);

/* Releases it, whatever of it was taken; a directory that is left in order is marked so. */
void dir_lock_drop(struct dir_lock *lock);

#endif
