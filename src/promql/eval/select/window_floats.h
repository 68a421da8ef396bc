/*
 * window_floats.h - private to promql/eval/: functions of windows over floats alone, for many steps
 * at a time. They give the values that the functions of window.h give for each window.
 */
#ifndef PROMQL_EVAL_SELECT_WINDOW_FLOATS_H
#define PROMQL_EVAL_SELECT_WINDOW_FLOATS_H

#include "promql/eval/column.h"
#include "promql/functions/functions.h"

/*
 * The windows of steps as indexes of the samples of a
 * series. Series that are scraped together have the same times, so the windows of one of them are
 * those of the others.
 */

enum { CUT_WINDOWS_MAX = 256, CUT_WORDS = CUT_WINDOWS_MAX / 64 + 1, CUT_SLOTS = 32 };

/* The values that windows depend on, except those that are the same for all series of a vector. */
struct cut_key {
    const int64_t *times_ms; /* times of the samples in the buffer */
    uint32_t time_count;
    uint32_t begin, end; /* window of the step before */
    uint32_t step;       /* index of the first step */
    bool at_end;         /* the series has no samples after those in the buffer */
};

/* The part of a rate that depends on times alone. */
struct cut_stretch {
    double factor; /* factor of the difference between the last and the first value */
    /* If the first value is less than the difference times this, the counter would begin at about
     * zero or below, and `factor` does not apply. */
    double near_zero;
};

/* Windows from a step on, as long as the buffer has all their samples. */
struct window_cut {
    struct cut_key key; /* owns a copy of the times; a count of 0 is never found */
    int64_t *times_ms;
    uint32_t time_capacity;

    uint32_t count;
    uint32_t begins[CUT_WINDOWS_MAX]; /* never less than the one before, nor are the ends */
    uint32_t ends[CUT_WINDOWS_MAX];
    uint32_t last_begin,
        last_end;     /* end of the last window; without windows, start of the next one */
    uint64_t samples; /* number in all windows */
    uint32_t most;    /* number in one window */
    uint64_t present[CUT_WORDS]; /* bits: windows with a result; the first one is bit step % 64 */
    struct cut_stretch stretches[CUT_WINDOWS_MAX];
};

struct cuts {
    struct budget *budget;
    struct window_cut *slots[CUT_SLOTS]; /* hash table of their keys */
    struct window_cut *long_one;         /* the last cut with too many samples for a slot */
    uint64_t bytes;
    uint32_t next_victim;
};

/* Cuts are made as they are needed; `budget` outlives them. cuts_fini() frees all. */
void cuts_init(struct cuts *cuts, struct budget *budget);
void cuts_fini(struct cuts *cuts);
/* The cut for a key, valid until the next call. If *ret_known is false the caller finds its
 * windows. NULL: no memory. */
struct window_cut *cuts_find(struct cuts *cuts, const struct cut_key *key, bool *ret_known);

struct float_windows {
    const struct window_cut *cut;
    const int64_t *times_ms;
    const double *values;
    int64_t first_end_ms; /* end of the first window, which began a range before */
    int64_t step_ms;
    int64_t range_ms;
};

struct float_windows_kind {
    uint32_t least; /* samples that a window must have; 0 if the function has no such form */
    /* Extrapolates windows of at least two samples. NULL if values are not extrapolated. */
    struct cut_stretch (*stretch)(const int64_t *times_ms, uint32_t count, int64_t end_ms,
                                  int64_t range_ms);
};
/* Returns a constant. */
const struct float_windows_kind *float_windows_kind_of(enum function_id id);
/* Puts a value for each window that has enough samples. */
void float_windows_evaluate(const struct float_windows *w, enum function_id id, double *to);

#endif
