/*
 * copy_state.h - how far a copy has come: what became of each slice of its time, in a small text
 * file that is replaced as a whole.
 *
 *     firekeep copy 1
 *     from archive
 *     ...                          what was asked for: another question must not go on with it
 *     range 1700000000000 1702591999999
 *     copied 12345 678 90          samples, histograms, series
 *     slices cccc....
 *
 *     .  to be copied       c  copied      v  verified, all is there
 *     d  verified, samples are missing or different: copied once more
 *     C  copied once more   x  verified again, and still not all is there
 */
#ifndef CLI_COPY_STATE_H
#define CLI_COPY_STATE_H

#include "base/buf.h"
#include "base/err.h"

enum { SLICES_MAX = 1000000 };
#define COPY_TIME_MS_MAX ((int64_t)1 << 60) /* of a range, before and after 1970 */

struct copy_state {
    const char *path;       /* NULL: nothing is kept */
    struct bytes question;  /* lines, the last one with its end; a view */
    int64_t min_ms, max_ms; /* both inclusive */
    int64_t slice_ms;
    uint64_t samples, histograms, series;
    char *slices;
    uint32_t count;
    int64_t saved_ns;
};

/*
 * Zeroed but for path, question, range and slice_ms, which are as asked for. If the file is there,
 * the range and the rest are those of the run before. ERR_INPUT: too many slices, or the file
 * belongs to another copy; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err copy_state_load(struct copy_state *state, struct why *why);
void copy_state_fini(struct copy_state *state);
/* Writes it durably, at most once a second unless `now`. */
MUST_CHECK enum err copy_state_save(struct copy_state *state, bool now, struct why *why);

/* The times of a slice: slices begin at multiples of their length, so that days are those of UTC.
 */
void copy_state_times(const struct copy_state *state, uint32_t slice, int64_t *ret_min_ms,
                      int64_t *ret_max_ms);
/* How many are in one of these states. */
uint32_t copy_state_in(const struct copy_state *state, const char *states);

#endif
