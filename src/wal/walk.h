/*
 * walk.h - private to wal/: one walk over a segment, with events, for all that read a whole one:
 * recovery, verification and inspection.
 *
 * A commit is whole, or broken; a broken commit was durable once, or never.
 *
 *      whole?   --yes-->  commit(), record() for each of its records; on to the next commit
 *        | no
 *      broken()
 *        |
 *      durable? --no-->   it is the torn tail: the walk ends before it
 *        | yes
 *      gap(), record() for bytes and records up to the next commit record; on to that
 *
 * Invariant: positions rise from event to event, but for broken(), which announces its gaps.
 */
#ifndef WAL_WALK_H
#define WAL_WALK_H

#include "wal/segment.h"

struct broken_commit {
    uint64_t pos;
    uint64_t bad_pos;            /* first place in it that cannot be read */
    const struct commit *commit; /* NULL if its own record cannot be read */
    bool durable;                /* by the next segment's header, or a later commit record */
    uint64_t next_pos;           /* position of the next commit record, or the end of the segment */
    uint64_t last_pos;           /* after the last whole record found after bad_pos */
    const char *reason;          /* ends with the call */
};

/* Callbacks, each of which may be NULL; their errors end the walk and are returned. */
struct segment_visitor {
    /* For each whole commit, before its records. */
    enum err (*commit)(void *context, uint64_t pos, const struct commit *commit);
    /* For every record, commit records and padding included. `commit` is NULL if its record cannot
     * be read. `salvaged`: the commit is broken. */
    enum err (*record)(void *context, const struct raw_record *raw, const struct commit *commit,
                       bool salvaged);
    enum err (*broken)(void *context, const struct broken_commit *broken);
    /* For bytes of a broken, durable commit that are not whole records. */
    enum err (*gap)(void *context, uint64_t from, uint64_t to, const char *reason);
    void *context;
};

/*
 * Walks the segment that the reader has open. *ret_end_pos is set in any case: the position after
 * the last commit, whole or durable. Errors of the callbacks; ERR_UNSUPPORTED, ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err segment_walk(struct segment_reader *reader,
                                 const struct segment_visitor *visitor, uint64_t *ret_end_pos,
                                 struct why *why);

/* Converts a record to the form that callers get, without its payload. */
struct wal_record segment_record(const struct segment_reader *reader, const struct raw_record *raw,
                                 const struct commit *commit, bool salvaged);

#endif
