/*
 * spool.h - a directory of growing files, one at a time: appended bytes are durable, a file that is
 * large or old enough gets its final name, and after a crash files have only confirmed bytes.
 *
 *     NAME.tmp  -- append, append, ... -- full or old: finished -- save(), saved() --> NAME
 *
 * The caller stores the result of save() together with its position in the log. Finished files are
 * renamed only when that is durable, so that a file with its final name never changes, and is never
 * replaced. Files of other owners are not touched.
 *
 * The state may be older than the files, if it was restored from a copy: files with more than it
 * knows are then kept, and the bytes that it knows are continued in new files.
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
    const char *instance; /* hex; names of files begin with it, followed by the time and a number */
    const char *suffix;   /* ".ndjson.gz" */
    uint64_t roll_bytes;
    int64_t roll_age_ms;
    struct bytes head; /* written at the beginning of each file; may be empty */
    struct bytes tail;
};

/*
 * `saved`: the last durable result of save(); empty: nothing. Cuts files that have grown since
 * (unless that was confirmed later, or they have another `instance`: see above), and renames
 * finished ones. ERR_CORRUPT: `saved` is invalid. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err spool_new(const struct spool_options *options, struct bytes saved,
                              struct spool **ret_spool, struct why *why);
/* Leaves files unchanged. */
void spool_free(struct spool *spool);

/*
 * Appends to the open file of a directory, which is made if missing. Durable on return. ERR_FULL,
 * ERR_IO: the file is cut back to its former size; ERR_LIMIT: the path is too long, or there are
 * too many files. Removes this instance's files there that were begun after the last save() and
 * before a crash.
 */
MUST_CHECK enum err spool_append(struct spool *spool, const char *dir, struct bytes bytes,
                                 int64_t now_ms, struct why *why);
/* Finishes files that have reached their age, or, with `all`, every one. Returns the first
 * error. */
MUST_CHECK enum err spool_tend(struct spool *spool, int64_t now_ms, bool all, struct why *why);

/* Appends the files and their confirmed sizes, for the writer's save(). */
void spool_save(const struct spool *spool, struct buf *to);
/* Called when the last result of save() is durable: finished files get their final names, others
 * get marks with their confirmed sizes. */
MUST_CHECK enum err spool_saved(struct spool *spool, struct why *why);

#endif
