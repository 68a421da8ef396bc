/*
 * window_cuts.h - private to promql/eval/: where the windows of steps lie among the samples of a
 * series. Series that are scraped together have the same times, so what was found for one of them
 * is found again for the others.
 */
#ifndef PROMQL_EVAL_WINDOW_CUTS_H
#define PROMQL_EVAL_WINDOW_CUTS_H

#include "promql/eval/column.h"

enum { CUT_WINDOWS_MAX = 256, CUT_WORDS = CUT_WINDOWS_MAX / 64 + 1, CUT_SLOTS = 32 };

/* What windows depend on; the rest is the same for all of a vector. */
struct cut_key {
    const int64_t *times_ms; /* of what is in the buffer */
    uint32_t time_count;
    uint32_t begin, end; /* of the window before */
    uint32_t step;       /* of the first one */
    bool at_end;         /* of the series: there are no more samples */
};

/* What of a rate depends on times alone. */
struct stretch {
    double factor; /* of what the last value is more than the first */
    /* Not so where the first is less than so many times that: the counter would begin below zero,
     * or nearly so. */
    double near_zero;
};

/* Windows from a step on, as far as the buffer has all their samples. */
struct window_cut {
    struct cut_key key; /* its times are its own; no times: it is not found again */
    int64_t *times_ms;
    uint32_t time_capacity;

    uint32_t count;
    uint32_t begins[CUT_WINDOWS_MAX]; /* never less than the one before, as the ends */
    uint32_t ends[CUT_WINDOWS_MAX];
    uint32_t last_begin, last_end; /* of the last window; without any: where the next one begins */
    uint64_t samples;              /* in all windows */
    uint32_t most;                 /* in one */
    uint64_t present[CUT_WORDS];   /* bits: those that have a result; the first is step % 64 */
    struct stretch stretches[CUT_WINDOWS_MAX];
};

struct cuts {
    struct budget *budget;
    struct window_cut *slots[CUT_SLOTS]; /* by a hash of what they depend on */
    struct window_cut *long_one;         /* of so many samples that it is not kept */
    uint64_t bytes;
    uint32_t next_victim;
};

void cuts_init(struct cuts *cuts, struct budget *budget);
void cuts_fini(struct cuts *cuts);
/* The cut for these times, until the next call. *ret_known false: its windows are yet to be found.
 * NULL: no memory. */
struct window_cut *cuts_find(struct cuts *cuts, const struct cut_key *key, bool *ret_known);

#endif
