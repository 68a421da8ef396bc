/*
 * fill_walk.h - a walk through what the store has of a stretch of the log, in the order that fill.h
 * describes. It can begin at any place, and say where it is.
 *
 * Threads: one.
 */
#ifndef RELAY_FILL_WALK_H
#define RELAY_FILL_WALK_H

#include "relay/fill.h"

enum {
    FILL_CHUNK_ITEMS = 2048,
    FILL_PLACE_BYTES_MAX = 16 * 1024 * 1024,
};

/* In this order, for each window and tenant; metadata once for each tenant, after all windows. */
enum fill_stage { STAGE_SAMPLES = 0, STAGE_EXEMPLARS = 1, STAGE_METADATA = 2 };

/* Where a walk is: what it gives next is at or after it. */
struct fill_at {
    bool begun;
    enum fill_stage stage;
    int64_t window_ms; /* where the window begins */
    struct buf tenant;
    struct buf labels; /* of the series, as stored; the family's name */
    int64_t t_ms;
};

struct fill_walk {
    const struct fill_options *options;
    bool met_damage;        /* something could not be read, and was not given */
    bool exemplars_damaged; /* and that was said */
    struct query_control control;

    /* fill_walk.c's own. */
    struct fill_at place;
    struct series_set *set; /* NULL: it has to be opened again */
    uint32_t warnings;      /* of the set, that were told */
    bool in_series;
    struct sample_batch batch;
    uint32_t batch_at;
    struct chunk_series series; /* the current one */
    struct arena scratch;       /* of its labels as they are handed on */
    struct buf name;            /* of the next tenant */
};

/* At the beginning. `options` outlive the walk. */
void fill_walk_init(struct fill_walk *walk, const struct fill_options *options);
void fill_walk_fini(struct fill_walk *walk);
/* Lets go of the parts that are being read; they are found again. What the store left out is
 * counted in `control` then. */
void fill_walk_rest(struct fill_walk *walk);

/* At most `count_max` items, which is FILL_CHUNK_ITEMS or less, all of one stage, tenant and kind;
 * of exemplars a few more. ERR_MISSING: there are none. After other errors go back to a place. */
MUST_CHECK enum err fill_walk_chunk(struct fill_walk *walk, struct chunk *chunk, uint32_t count_max,
                                    struct why *why);

/* Appends where the walk is. Out of memory shows in buf_error(to). */
void fill_walk_put_place(const struct fill_walk *walk, struct buf *to);
/* Appends where item `i` of a chunk is: a walk from there gives it first. */
void fill_item_put_place(const struct fill_options *options, const struct chunk *chunk, uint32_t i,
                         struct buf *to);
/* Goes to a place that was put. ERR_CORRUPT: it is none; ERR_NOMEM. */
MUST_CHECK enum err fill_walk_go_to(struct fill_walk *walk, struct bytes place);

#endif
