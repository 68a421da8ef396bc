/*
 * backup.h - stores a storage directory in a repository, verifies what is stored there, restores
 * it, and removes what a policy does not keep.
 *
 * Threads: one calls; files are read and written on `threads` threads, at most BACKUP_THREADS_MAX.
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
 * a repository is in the directory; errors of reading and writing it. After an error there is no
 * backup of this id.
 */
MUST_CHECK enum err backup_store(struct backup_repository *repository, const char *dir,
                                 const char *id, uint32_t threads, struct backup_report *ret_report,
                                 struct why *why);

/* Verifies one backup after another. In the owner's memory: the first two are set, the rest is
 * zero. */
struct backup_verifier {
    /* Gets a sentence for each object that is damaged or missing, on any thread, and perhaps on
     * several at once. */
    void (*found)(void *context, const char *sentence);
    void *context;
    struct backup_digest *whole; /* objects that are whole, sorted: they are not read again */
    size_t whole_count, whole_capacity;
};
void backup_verifier_fini(struct backup_verifier *verifier, struct budget *memory);

/* Reads the objects of a backup. `ret_wrong` is the number of files of which the object is damaged
 * or missing. */
MUST_CHECK enum err backup_verify(struct backup_repository *repository, const char *id,
                                  uint32_t threads, struct backup_verifier *verifier,
                                  struct backup_report *ret_report, uint64_t *ret_wrong,
                                  struct why *why);

/*
 * Restores a backup into a directory that is missing or empty, or that an unfinished restore of the
 * same backup left: its files are compared with the record. Until all is restored, the directory
 * has RESTORING, and nothing opens it.
 *
 * ERR_INPUT: the directory holds something else, or a server has used it since; ERR_AGAIN: another
 * process restores into it; errors of backup_record_read(), backup_get().
 */
MUST_CHECK enum err backup_restore(struct backup_repository *repository, const char *id,
                                   const char *dir, uint32_t threads,
                                   struct backup_report *ret_report, struct why *why);

/* The newest backup of each of the last days, weeks (from Monday) and months that have one, in UTC;
 * and the newest ones of all. What any of them keeps is kept. */
struct kept_policy {
    uint64_t newest, daily, weekly, monthly;
};

/* Sets ret_keep[i] for each of the ids, which are sorted, the oldest first. */
void kept_choose(const struct kept_policy *policy, const struct backup_id *ids, size_t count,
                 bool *ret_keep);

/*
 * Removes the backups that the policy does not keep, and the objects that only they had, or only
 * says which. `removed` is called for each of them. ret_kept: number of the others. Errors as
 * backup_record_remove(), backup_prune_objects().
 */
MUST_CHECK enum err kept_prune(struct backup_repository *repository,
                               const struct kept_policy *policy, bool dry_run,
                               void (*removed)(void *context, const char *id), void *context,
                               size_t *ret_kept, struct backup_pruned *ret_pruned, struct why *why);

#endif
