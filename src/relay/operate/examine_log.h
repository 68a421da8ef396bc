/*
 * examine_log.h - looks up positions in a log that no server has open, and counts the items after
 * one that a destination would take. Writes nothing.
 *
 * Threads: one.
 */
#ifndef RELAY_OPERATE_EXAMINE_LOG_H
#define RELAY_OPERATE_EXAMINE_LOG_H

#include "backend/settings.h"
#include "relay/state/state.h"

struct examined_log;
/* `dir` is the directory of the log. ERR_MISSING: there is no log; ERR_CORRUPT, ERR_UNSUPPORTED: it
 * cannot be read, which the check of the log reports; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err examined_log_open(struct env *env, const char *dir, struct budget *memory,
                                      struct examined_log **ret_log, struct why *why);
void examined_log_free(struct examined_log *log);

enum log_place {
    LOG_PLACE_THERE,   /* a record begins or ends there, or may, as the log is damaged there */
    LOG_PLACE_GONE,    /* before the oldest segment */
    LOG_PLACE_AHEAD,   /* after the end */
    LOG_PLACE_NOWHERE, /* within a record, or between segments */
};
/* Finds what is at a position of the log. Errors as wal_inspect(). */
MUST_CHECK enum err examined_log_find(struct examined_log *log, uint64_t pos,
                                      enum log_place *ret_place, struct why *why);
/* The position after the last record; 0 if nothing was ever written. */
uint64_t examined_log_end(const struct examined_log *log);
/* The position at which the oldest segment begins; 0 if there is no segment. */
uint64_t examined_log_begin(const struct examined_log *log);
/* Bytes of the records after a position, as far as the log still has them. */
uint64_t examined_log_bytes_from(const struct examined_log *log, uint64_t pos);

/*
 * Gives the number of items that the log has accepted after a position, by its own totals, for any
 * destination; the commit that contains the position counts as a whole. `count` is the number that
 * it had accepted at the position, if known. ERR_MISSING: it is unknown, and the log no longer has
 * the position; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err examined_log_accepted(struct examined_log *log, uint64_t pos,
                                          const struct log_count *count,
                                          uint64_t ret_accepted[LEDGER_KIND_COUNT],
                                          struct why *why);

/*
 * Counts the items from `from` on that a destination with these settings takes, as its relay would;
 * without metadata, which only some types take. ERR_CORRUPT: part of the log cannot be read, the
 * rest is counted; ERR_MISSING: the log no longer has the position; ERR_INPUT: invalid settings;
 * ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err examined_log_count(struct examined_log *log,
                                       const struct destination_settings *settings,
                                       const struct relay_state *state, struct relay_cursor from,
                                       uint64_t ret_count[ITEM_KIND_COUNT], struct why *why);

#endif
