/*
 * column.h - what one series of a vector is at each step of a query.
 */
#ifndef PROMQL_EVAL_COLUMN_H
#define PROMQL_EVAL_COLUMN_H

#include "base/mem.h"
#include "base/table.h"
#include "promql/histogram/fhist.h"

/* The times at which an expression has values. */
struct grid {
    int64_t first_ms;
    int64_t step_ms;
    uint32_t count; /* at least 1 */
    bool counts;    /* what is read for it is among the query's samples */
};

static inline int64_t
grid_time(const struct grid *g, uint32_t step)
{
    return (int64_t)((uint64_t)g->first_ms + (uint64_t)g->step_ms * step);
}

static inline bool
grid_equal(const struct grid *a, const struct grid *b)
{
    return a->first_ms == b->first_ms && a->step_ms == b->step_ms && a->count == b->count &&
           a->counts == b->counts;
}

/*
 * Where samples are looked for, so long before a time. Nothing is stored near the ends of time:
 * what lies there is brought nearer, so that it can be added to and subtracted from.
 */
static inline int64_t
time_before(int64_t t_ms, int64_t offset_ms)
{
    const int64_t far_ms = INT64_MAX / 2;
    int64_t before_ms;
    if (__builtin_sub_overflow(t_ms, offset_ms, &before_ms)) before_ms = t_ms;
    if (before_ms > far_ms) return far_ms;
    return before_ms < -far_ms ? -far_ms : before_ms;
}

/* --- bits, one for each step ------------------------------------------------------------------ */

static inline size_t
bits_words(uint32_t steps)
{
    return (steps + 63) / 64;
}

static inline bool
bits_has(const uint64_t *bits, uint32_t step)
{
    return (bits[step / 64] >> step % 64 & 1) != 0;
}

static inline void
bits_set(uint64_t *bits, uint32_t step)
{
    bits[step / 64] |= UINT64_C(1) << step % 64;
}

static inline void
bits_reset(uint64_t *bits, uint32_t step)
{
    bits[step / 64] &= ~(UINT64_C(1) << step % 64);
}

/* The first step from `step` on that is set; `steps` if none is. */
uint32_t bits_search(const uint64_t *bits, uint32_t step, uint32_t steps);
static inline uint32_t
bits_next(const uint64_t *bits, uint32_t step, uint32_t steps)
{
    bool at_once = step < steps && bits_has(bits, step);
    return at_once ? step : bits_search(bits, step, steps);
}
/* The step after the last one that is set; 0 if none is. */
uint32_t bits_end(const uint64_t *bits, uint32_t steps);
uint32_t bits_count(const uint64_t *bits, uint32_t steps);
bool bits_meet(const uint64_t *a, const uint64_t *b, uint32_t steps);
void bits_add(uint64_t *to, const uint64_t *from, uint32_t steps);

/*
 *     for (uint32_t i = bits_next(bits, 0, n); i < n; i = bits_next(bits, i + 1, n))
 */
#define bits_each(i, bits, n)           \
    uint32_t i = bits_next(bits, 0, n); \
    i < (n);                            \
    i = bits_next(bits, i + 1, n)

/* --- room ------------------------------------------------------------------------------------- */

/* Most of many series are there for a short time only. So what is kept of a series, in lists with
 * an item for each step, has room from its first step to before its last one; step i is list[i] all
 * the same. Empty: end is 0. */
struct room {
    uint32_t first, end;
};

/* From the first step that is set to the last. */
struct room room_of(const uint64_t *bits, uint32_t steps);
/* Makes it wide enough for `more`: wider than that, so that it seldom has to be, step after step.
 * False: it was, or `more` is empty. */
bool room_widen(struct room *room, struct room more, uint32_t steps);
/* A list with what is in the list `from`, if there was `before`, and zeros. NULL: no memory. */
void *room_list(struct arena *arena, struct room room, const void *from, struct room before,
                size_t item_bytes);

/* --- columns ---------------------------------------------------------------------------------- */

/* Values and histograms are looked at where it is present: of kept ones there is no more room. */
struct column {
    struct bytes labels; /* canonical */
    struct bytes source; /* of columns of series: the labels of the series */
    bool drops_name;     /* it is another metric, and loses its name at the end: delayed removal */
    bool lost_type;      /* or the unit: labels that were others may be the same now */
    double *values;
    uint64_t *present;               /* bits: it has a value or a histogram */
    const struct fhist **histograms; /* NULL where there is a value; NULL itself: nowhere is one */
    const struct fhist **room;       /* for these */
    struct room kept;                /* of those two, if it is */
};

/* Room for a value at each step; nothing is present. ERR_NOMEM. */
MUST_CHECK enum err column_init(struct column *c, struct budget *budget, uint32_t steps);
void column_fini(struct column *c, struct budget *budget, uint32_t steps);
void column_clear(struct column *c, uint32_t steps);

/* Each step is set once. */
static inline void
column_set(struct column *c, uint32_t step, double value)
{
    c->values[step] = value;
    bits_set(c->present, step);
}

/* A view. ERR_NOMEM. */
MUST_CHECK enum err column_set_histogram(struct column *c, struct budget *budget, uint32_t steps,
                                         uint32_t step, const struct fhist *h);

/* NULL: there is a value. */
static inline const struct fhist *
column_histogram(const struct column *c, uint32_t step)
{
    return c->histograms == NULL ? NULL : c->histograms[step];
}

/* Samples that an evaluation holds; a histogram is as many as Prometheus counts it. */
struct held {
    uint64_t now;
    uint64_t most;
    uint64_t max; /* 0: no limit */
};

/* Columns that are kept. */
struct columns {
    struct budget *budget;
    struct held *held;
    uint64_t samples;   /* that these are, of those held */
    struct arena arena; /* of all that they have */
    struct column *items;
    uint32_t count;
    uint32_t capacity;
};

void columns_init(struct columns *columns, struct budget *budget, struct held *held);
void columns_fini(struct columns *columns);
/* Forgets them, and keeps some memory. */
void columns_clear(struct columns *columns);
/* A copy. ERR_NOMEM. */
MUST_CHECK enum err columns_add(struct columns *columns, const struct column *c, uint32_t steps);
/* The same without values. */
MUST_CHECK enum err columns_add_bits(struct columns *columns, const struct column *c,
                                     uint32_t steps);
/* Adds what another has at steps at which `to`, one of them, has nothing. ERR_NOMEM. */
MUST_CHECK enum err columns_join(struct columns *columns, struct column *to, const struct column *c,
                                 uint32_t steps);

#endif
