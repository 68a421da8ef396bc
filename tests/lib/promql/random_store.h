/*
 * random_store.h - a view of series of every kind, made from choices: gaps, staleness markers, NaN
 * and Inf, resets, start timestamps, histograms whose buckets change, times at both ends of time.
 * For tests and fuzzers.
 */
#ifndef LIB_PROMQL_RANDOM_STORE_H
#define LIB_PROMQL_RANDOM_STORE_H

#include <stdlib.h>

#include "lib/promql/random_expression.h"
#include "lib/random.h"
#include "model/histogram.h"
#include "model/select.h"

enum { STORE_SERIES_MAX = 24, STORE_SAMPLES_MAX = 48 };
#define STORE_BASE_MS 1600000000000

/* A sample; kinds may alternate within a series. */
struct stored_sample {
    int64_t t_ms;
    int64_t start_ms;
    enum sample_kind kind;
    uint64_t bits;
    struct histogram histogram;
};

struct stored_series {
    struct buf labels;
    struct stored_sample *samples;
    uint32_t count;
};

struct random_store {
    struct view view; /* first */
    struct arena arena;
    struct stored_series series[STORE_SERIES_MAX]; /* in the order of labels */
    uint32_t count;
};

/* Makes the series from the choices. `ops` has random_store_select(). */
void random_store_init(struct random_store *s, struct choices *c, const struct view_ops *ops);
void random_store_fini(struct random_store *s);

/* Selects series, for the ops of a view that is a struct random_store. */
enum err random_store_select(struct view *view, const struct query_request *request,
                             struct series_set **ret_set, struct why *why);

#endif
