/*
 * column.h - the values of one series of a vector at each step of a query.
 */
#ifndef PROMQL_EVAL_COLUMN_H
#define PROMQL_EVAL_COLUMN_H

#include "base/mem.h"
#include "base/table.h"
#include "model/fhist/fhist.h"

/* The times at which an expression has values. */
struct grid {
    int64_t first_ms;
    int64_t step_ms;
    uint32_t count; /* at least 1 */
    bool counts;    /* samples read for them are counted as the query's */
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
 * The time that lies `offset_ms` before another one. The result is clamped to half the range of
 * int64_t, so that ranges can be added to it and subtracted; nothing is stored outside of that.
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

/* Returns the first step from `step` on that is set; `steps` if none is set. */
uint32_t bits_search(const uint64_t *bits, uint32_t step, uint32_t steps);
static inline uint32_t
bits_next(const uint64_t *bits, uint32_t step, uint32_t steps)
{
    bool at_once = step < steps && bits_has(bits, step);
    return at_once ? step : bits_search(bits, step, steps);
}
/* Returns the step after the last one that is set; 0 if none is set. */
uint32_t bits_end(const uint64_t *bits, uint32_t steps);
/* Returns how many bits are set. */
uint32_t bits_count(const uint64_t *bits, uint32_t steps);
/* True if a bit is set in both. */
bool bits_meet(const uint64_t *a, const uint64_t *b, uint32_t steps);
/* Sets the bits in `to` that are set in `from`. */
void bits_add(uint64_t *to, const uint64_t *from, uint32_t steps);

/*
 *     for (uint32_t i = bits_next(bits, 0, n); i < n; i = bits_next(bits, i + 1, n))
 */
#define bits_each(i, bits, n)           \
    uint32_t i = bits_next(bits, 0, n); \
    i < (n);                            \
    i = bits_next(bits, i + 1, n)

/* --- room ------------------------------------------------------------------------------------- */

/* Most series of many exist for a short time only, so lists that are kept for a series have items
 * only for the steps in [first, end); step i is still list[i]. `end` is 0 without items. */
struct step_room {
    uint32_t first, end;
};

/* The steps from the first one that is set to the last. */
struct step_room room_of(const uint64_t *bits, uint32_t steps);
/* Widens a room to include `more`, and by a spare part, so that adding step after step widens it
 * seldom. False if nothing changed: it includes `more`, or `more` is empty. */
bool room_widen(struct step_room *room, struct step_room more, uint32_t steps);
/* A new list for `room`, with the items of the list `from`, which has room `before`; other items
 * are zero. NULL: no memory. */
void *room_list(struct arena *arena, struct step_room room, const void *from,
                struct step_room before, size_t item_bytes);

/* --- columns ---------------------------------------------------------------------------------- */

/* Values and histograms are defined where `present` is set; kept columns have no memory for other
 * steps. */
struct column {
    struct bytes labels; /* canonical */
    struct bytes source; /* labels of the series, for a column made of one series */
    bool drops_name; /* the labels lose __name__ at the end of the evaluation: delayed removal */
    bool lost_type;  /* __type__ or __unit__ was dropped: different series may have the same labels
                        now */
    double *values;
    uint64_t *present; /* bits: steps with a value or a histogram */
    const struct fhist *
        *histograms;           /* NULL items: there is a value; NULL: no step has a histogram */
    const struct fhist **room; /* memory for the histograms of a filled column */
    struct step_room kept;     /* room of `values` and `histograms` of a kept column */
};

/* Allocates values for all steps, none of them present. ERR_NOMEM. */
MUST_CHECK enum err column_init(struct column *c, struct budget *budget, uint32_t steps);
/* Frees what column_init() allocated; `budget` and `steps` are the same. */
void column_fini(struct column *c, struct budget *budget, uint32_t steps);
/* Makes all steps absent, and keeps the memory. */
void column_clear(struct column *c, uint32_t steps);

/* Sets a step that is not set. */
static inline void
column_set(struct column *c, uint32_t step, double value)
{
    c->values[step] = value;
    bits_set(c->present, step);
}

/* Sets a step to a view of a histogram. ERR_NOMEM. */
MUST_CHECK enum err column_set_histogram(struct column *c, struct budget *budget, uint32_t steps,
                                         uint32_t step, const struct fhist *h);

/* NULL: the step has a value. */
static inline const struct fhist *
column_histogram(const struct column *c, uint32_t step)
{
    return c->histograms == NULL ? NULL : c->histograms[step];
}

/* Samples in memory; a histogram counts as many as in Prometheus. */
struct held_samples {
    uint64_t now;
    uint64_t most;
    uint64_t max; /* 0: no limit */
};

/* Columns that are kept, with all their memory. */
struct columns {
    struct budget *budget;
    struct held_samples *held;
    uint64_t samples;   /* part of held->now */
    struct arena arena; /* memory of labels, values and histograms */
    struct column *items;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* the columns by their labels, if each was indexed */
};

/* Samples of the columns count in `held`, which outlives them. columns_fini() takes them off. */
void columns_init(struct columns *columns, struct budget *budget, struct held_samples *held);
void columns_fini(struct columns *columns);
/* Removes all columns, and keeps some memory. */
void columns_clear(struct columns *columns);
/* Adds a copy. ERR_NOMEM. */
MUST_CHECK enum err columns_add(struct columns *columns, const struct column *c, uint32_t steps);
/* Adds a copy with labels and bits alone. */
MUST_CHECK enum err columns_add_bits(struct columns *columns, const struct column *c,
                                     uint32_t steps);
/* Adds the values of another column to `to`, one of the columns, at steps that `to` does not have.
 * ERR_NOMEM. */
MUST_CHECK enum err columns_join(struct columns *columns, struct column *to, const struct column *c,
                                 uint32_t steps);
/* Lets columns_find() find the column that was added last. ERR_NOMEM. */
MUST_CHECK enum err columns_index(struct columns *columns);
/* NULL if no column with these labels was indexed. */
struct column *columns_find(const struct columns *columns, struct bytes labels);
/* Asserts the invariants of column.c, in O(steps): for tests and debug builds. */
void column_validate(const struct column *c, uint32_t steps);

#endif
