/*
 * rolled_view.h - a view that downsamples the series of another view as it is read, at random
 * levels: windows of 1 h and 5 m, and raw samples where a level would save nothing. The levels of a
 * series depend on its labels and the seed alone. For tests.
 */
#ifndef LIB_VIEWS_ROLLED_VIEW_H
#define LIB_VIEWS_ROLLED_VIEW_H

#include "model/select.h"

enum { ROLLED_FINE_MS = 300000, ROLLED_COARSE_MS = 3600000 };

struct rolled_levels {
    uint64_t seed;
    int64_t coarse_until_ms; /* borders between levels are about these */
    int64_t fine_until_ms;
    bool whole;            /* borders are exact, and no raw samples lie among windows */
    bool keeps_correction; /* false: some series lose it where they have resets */
    bool stored;           /* windows are encoded and decoded, so they are as in parts */
};

/* Wraps a view, which it owns; the result supports view_select() only. */
struct view *rolled_view_new(struct view *below, const struct rolled_levels *levels);

#endif
