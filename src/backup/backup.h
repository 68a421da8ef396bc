/*
 * backup.h - stores a storage directory in a repository, verifies what is stored there, and
 * restores it.
 *
 * Threads: one calls; files are read and written on `threads` threads.
 */
#ifndef BACKUP_BACKUP_H
#define BACKUP_BACKUP_H

#include "backup/repository.h"

enum { BACKUP_THREADS = 4, BACKUP_THREADS_MAX = 64 };

/* Figures of what was done; some of it also after an error. */
struct backup_report {
    uint64_t files, bytes;           /* of the backup */
    uint64_t new_objects, new_bytes; /* that no earlier backup had */
    uint64_t unchanged;              /* files that were not read, because they are parts of an
                                        earlier backup */
};

/*
 * Stores the files of a directory that does not change: a snapshot, or the directory of a stopped
 * server. Left out are LOCK, snapshots, and unfinished files. A part that the newest earlier backup
 * has, with the same name, size and time, is not read again.
 *
 * ERR_MISSING: not a storage directory; ERR_INPUT: a file has a name that a record cannot hold, or
 * a repository is in the directory; errors of backup_put(). After an error there is no backup of
 * this id.
 */
MUST_CHECK enum err backup_store(struct backup_repository *repository, const char *dir,
                                 const char *id, uint32_t threads, struct backup_report *ret_report,
                                 struct why *why);

/* Reads the objects of a backup; `found` gets a sentence for each that is damaged or missing, on
 * any thread, and perhaps on several at once. `ret_wrong` is their number. */
MUST_CHECK enum err backup_verify(struct backup_repository *repository, const char *id,
                                  uint32_t threads,
                                  void (*found)(void *context, const char *sentence), void *context,
                                  struct backup_report *ret_report, uint64_t *ret_wrong,
                                  struct why *why);

/*
 * Restores a backup into a directory that is missing or empty, or that an unfinished restore of the
 * same backup left. FORMAT is written last: until then, no server starts on the directory.
 *
 * ERR_INPUT: the directory holds something else; errors of backup_record_read(), backup_get().
 */
MUST_CHECK enum err backup_restore(struct backup_repository *repository, const char *id,
                                   const char *dir, uint32_t threads,
                                   struct backup_report *ret_report, struct why *why);

#endif
