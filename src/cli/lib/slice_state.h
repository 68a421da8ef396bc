/*
 * slice_state.h - the progress of a command that works in slices, of time or of something else: a
 * state for each, in a small text file that is replaced as a whole.
 *
 *     firekeep copy 1
 *     from archive
 *     ...                          the question: the state is valid only for this one
 *     range 1700000000000 1702591999999
 *     counts 12345 678 90          what the command counts
 *     slices cccc....
 *
 *     .  to be done         c  done; of copy: copied    v  verified, all is there
 *     d  of copy: verified, samples are missing or different, copied once more; of replay: what the
 *        group recorded is deleted
 *     C  copied once more   x  verified again, and still not all is there
 */
#ifndef CLI_LIB_SLICE_STATE_H
#define CLI_LIB_SLICE_STATE_H

#include "base/buf.h"
#include "base/err.h"

enum { SLICES_MAX = 1000000, SLICE_COUNTS = 3 };
#define SLICE_TIME_MS_MAX ((int64_t)1 << 60) /* for times before and after 1970 */

struct slice_state {
    const char *path;       /* NULL: the state is not saved */
    struct bytes question;  /* lines, each with its end; a view */
    int64_t min_ms, max_ms; /* both inclusive */
    int64_t slice_ms;       /* 0: `count` slices, each of the whole range */
    uint64_t counts[SLICE_COUNTS];
    char *slices;
    uint32_t count;
    int64_t saved_ns;
};

/*
 * Zeroed except for path, question, range, slice_ms and a count, which are as requested. If the
 * file exists, the range and the rest are read from it. ERR_INPUT: too many slices, or the file
 * belongs to another question; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err slice_state_load(struct slice_state *state, struct why *why);
void slice_state_fini(struct slice_state *state);
/* Writes it durably, at most once a second unless `now`. */
MUST_CHECK enum err slice_state_save(struct slice_state *state, bool now, struct why *why);

/* Returns the times of a slice: slices begin at multiples of their length, so that days are
 * those of UTC. */
void slice_state_times(const struct slice_state *state, uint32_t slice, int64_t *ret_min_ms,
                       int64_t *ret_max_ms);
/* Returns the number of slices in one of these states. */
uint32_t slice_state_in(const struct slice_state *state, const char *states);

#endif
