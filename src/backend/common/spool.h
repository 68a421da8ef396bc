/*
 * spool.h - a directory into which files grow, one at a time: what is appended is durable, a file
 * that is large or old enough gets its final name, and after a crash nothing stands in one that was
 * not confirmed.
 *
 *     NAME.tmp  -- append, append, ... -- full or old: finished -- save(), saved() --> NAME
 *
 * What save() gives is stored by the caller together with how far the log is settled. Only when
 * that is durable are finished files renamed, so that a file with its final name never changes,
 * nor is it replaced. Of files that are not ours nothing is touched.
 *
 * The state may be older than the files, if it was put back from a copy: files that hold more than
 * it knows are then kept, and what it knows goes on in others.
 *
 * Threads: one.
 */
#ifndef BACKEND_COMMON_SPOOL_H
#define BACKEND_COMMON_SPOOL_H

#include "base/buf.h"
#include "sys/env.h"

enum { SPOOL_DIR_BYTES_MAX = 200 };

struct spool;
struct spool_options {
    struct env *env;
    struct budget *memory;
    const char *instance; /* hex; begins the names of our files, with the time and a number */
    const char *suffix;   /* ".ndjson.gz" */
    uint64_t roll_bytes;
    int64_t roll_age_ms;
    struct bytes head; /* of each file; may be empty */
    struct bytes tail;
};

/*
 * `saved`: what save() gave; empty: nothing. Cuts files that grew after that to what they were
 * (unless that was confirmed later, or under another `instance`: see above), and renames those that
 * were finished. ERR_CORRUPT: `saved` makes no sense. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err spool_new(const struct spool_options *options, struct bytes saved,
                              struct spool **ret_spool, struct why *why);
/* Leaves files as they are. */
void spool_free(struct spool *spool);

/*
 * Appends to the open file of a directory, which is made if it is not there. Durable on return.
 * ERR_FULL, ERR_IO: the file is cut back to what it was; ERR_LIMIT: the path is too long, or there
 * are too many files. Files of ours there that were begun after the last save() and before a crash
 * go.
 */
MUST_CHECK enum err spool_append(struct spool *spool, const char *dir, struct bytes bytes,
                                 int64_t now_ms, struct why *why);
/* Finishes files that have their age, or, with `all`, every one. The first error. */
MUST_CHECK enum err spool_tend(struct spool *spool, int64_t now_ms, bool all, struct why *why);

void spool_save(const struct spool *spool, struct buf *to);
/* What save() gave last is durable: files that were finished then get their names, others marks
 * that say how much of them is confirmed. */
MUST_CHECK enum err spool_saved(struct spool *spool, struct why *why);

/* How many files what save() gave names that had no final name then, and what they held; 0 where it
 * makes no sense. */
void spool_saved_files(struct bytes saved, uint64_t *ret_files, uint64_t *ret_bytes);

#endif
