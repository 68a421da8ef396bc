/*
 * sent_series.h - random series as a server may send them (in any order, more than once, with
 * overlapping chunks), and a naive model of the result. For tests.
 */
#ifndef LIB_BACKEND_SENT_SERIES_H
#define LIB_BACKEND_SENT_SERIES_H

#include "lib/test.h"

#include <stdio.h>

#include "backend/fetch/fetch_reader.h"
#include "lib/wire/random_labels.h"
#include "model/select.h"

enum {
    SENT_MAX = 24,         /* series that are sent */
    SENT_LABELS_MAX = 4,   /* labels of a series */
    SENT_RUNS_MAX = 6,     /* runs of samples in ascending time */
    SENT_SAMPLES_MAX = 20, /* samples of a run */
};

struct sent_run {
    int64_t times_ms[SENT_SAMPLES_MAX];
    uint64_t bits[SENT_SAMPLES_MAX];
    struct histogram *histograms; /* NULL for floats */
    uint32_t count;
};

struct sent_series {
    struct label labels[SENT_LABELS_MAX];
    uint32_t label_count;
    struct buf own;    /* canonical, as the server orders them */
    struct buf fields; /* as they are sent */
    struct buf final;  /* expected final labels */
    struct sent_run runs[SENT_RUNS_MAX];
    uint32_t run_count;
};

struct sent {
    struct rng rng;
    struct arena arena;
    struct named_text added[2];
    struct named_texts texts;
    struct sent_series series[SENT_MAX];
    uint32_t count;
    int64_t min_ms, max_ms; /* times of the question */
    bool once;              /* series differ and runs do not overlap */
    bool may_refuse;        /* a wrong result is allowed if an error follows: */
    bool is_wrong;
};

/* Makes random samples after *from_ms, which becomes the time of the last one. */
void sent_make_run(struct sent *s, struct sent_run *run, int64_t *from_ms);
/* Times are small and positive, so that many are equal. */
void sent_init(struct sent *s, uint64_t seed, bool once);
void sent_fini(struct sent *s);

/* --- reading ---------------------------------------------------------------------------------- */

/* As struct series_set_ops has them. */
struct sent_reader {
    void *of;
    enum err (*next)(void *of, struct bytes *ret_labels, struct why *why);
    enum err (*batch)(void *of, struct sample_batch *ret_batch, struct why *why);
};

/* Reads everything, or random parts of each series. */
enum err sent_check(struct sent *s, const struct sent_reader *r, bool skips, struct why *why);

#endif
