/*
 * identity.h - private to store/: the id of a storage directory, which is part of the names of
 * objects in buckets and of files elsewhere, and whether the directory is the one that was last
 * open under that id. Format: docs/format/manifest.md.
 *
 * A directory that is restored from an older copy continues at an older position of its log. With
 * the same id, names made of id and position would be used again, for other content.
 *
 * Threads: one at a time.
 */
#ifndef TSDB_STORE_IDENTITY_H
#define TSDB_STORE_IDENTITY_H

#include "sys/env.h"
#include "tsdb/tsdb.h"
#include "wal/wal.h"

enum { IDENTITY_BYTES = 16, IDENTITY_RENEW_MS = 5000 };

struct identity {
    struct env *env;
    const char *dir;
    uint8_t id[IDENTITY_BYTES];
    enum tsdb_identity finding;
    bool kept;
    uint8_t log_id[WAL_LOG_ID_BYTES];   /* all zero if there was no log */
    uint64_t end_pos;                   /* end of the log at the last renewal */
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples accepted up to `end_pos` */
    bool totals_known;
    unsigned slot;             /* slot of the witness */
    struct file_facts witness; /* properties of the witness when it was made */
    struct file_facts place;   /* properties of the directory */
    int64_t renewed_ns;
};

/* The position and totals of the log. */
struct identity_log {
    const uint8_t *id; /* WAL_LOG_ID_BYTES; NULL if there is no log so far */
    uint64_t end_pos;
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples accepted up to `end_pos` */
};

/*
 * Finds out which id the directory has, or gives it one; that is durable on return. The directory
 * is locked, and its log, which ends at `end_pos`, is recovered. `dir` outlives the identity.
 * Errors do not make it fail: see TSDB_IDENTITY_UNKEPT. `ret_reason` says what was found in
 * TSDB_IDENTITY_CHANGED and _UNKEPT. ERR_IO: there is no randomness.
 */
MUST_CHECK enum err identity_open(struct identity *identity, struct env *env, const char *dir,
                                  struct identity_log log, struct why *ret_reason);

/*
 * The log is there now: makes a copy of the directory older than the directory itself. It does
 * something at most every IDENTITY_RENEW_MS, and if the log has grown. After an error it is tried
 * again.
 */
MUST_CHECK enum err identity_renew(struct identity *identity, struct identity_log log,
                                   struct why *why);

/*
 * A log whose last commits are damaged or cut off looks like one whose last commit was broken off
 * by a crash. If the directory is the one that was last open, and its log had reached further than
 * it does now, what is missing after `from_pos` is added to `damage`, whose totals become what the
 * log had accepted. Else nothing changes: a copy may be older. `from_totals` are the samples that
 * the log had accepted at `from_pos`; NULL if not known.
 */
void identity_note_lost_end(struct env *env, const char *dir, uint64_t from_pos,
                            const uint64_t *from_totals, struct wal_damage *damage);

/* Checks the file, for verify. ERR_MISSING, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_IO. */
MUST_CHECK enum err identity_check(struct env *env, const char *dir, struct why *why);

#endif
