/*
 * examine_log.h - places in a log at rest: whether one is there, and what a destination would take
 * behind it. Nothing is written.
 *
 * Threads: one.
 */
#ifndef RELAY_OPERATE_EXAMINE_LOG_H
#define RELAY_OPERATE_EXAMINE_LOG_H

#include "backend/settings.h"
#include "relay/state/state.h"

struct examined_log;
/* `dir` is the log's. ERR_MISSING: there is no log; ERR_CORRUPT, ERR_UNSUPPORTED: it
 * makes no sense, which others say; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err examined_log_open(struct env *env, const char *dir, struct budget *memory,
                                      struct examined_log **ret_log, struct why *why);
void examined_log_free(struct examined_log *log);

enum log_place {
    LOG_PLACE_THERE,   /* a record begins or ends there, or damage does not let it be known */
    LOG_PLACE_GONE,    /* before the oldest segment */
    LOG_PLACE_AHEAD,   /* after the end */
    LOG_PLACE_NOWHERE, /* within a record, or between segments */
};
MUST_CHECK enum err examined_log_find(struct examined_log *log, uint64_t pos,
                                      enum log_place *ret_place, struct why *why);
/* Behind the last record; 0: there never was one. */
uint64_t examined_log_end(const struct examined_log *log);
/* Where the oldest segment begins; 0: there is none. */
uint64_t examined_log_begin(const struct examined_log *log);
/* How many bytes of records lie after a position, as far as they are there. */
uint64_t examined_log_bytes_from(const struct examined_log *log, uint64_t pos);

/*
 * What the log has accepted after a position, by its own totals, for any destination: all of the
 * commit that the position lies in. `count` is what it had accepted there, if that is known.
 * ERR_MISSING: it is not, and the place is gone; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err examined_log_accepted(struct examined_log *log, uint64_t pos,
                                          const struct log_count *count,
                                          uint64_t ret_accepted[LEDGER_KIND_COUNT],
                                          struct why *why);

/*
 * What a destination with these settings takes of the log from `from` on, as its relay would count
 * it; metadata is left out, as not all types take it. ERR_CORRUPT: part of the log cannot be read,
 * what can be is counted; ERR_MISSING: the place is gone; ERR_INPUT: settings that cannot be;
 * ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err examined_log_count(struct examined_log *log,
                                       const struct destination_settings *settings,
                                       const struct relay_state *state, struct relay_cursor from,
                                       uint64_t ret_count[ITEM_KIND_COUNT], struct why *why);

#endif
