/*
 * fill_walk.h - a walk through what the store has of a stretch of the log, in the order that fill.h
 * describes. It can begin at any place, and gives its current one.
 *
 * Threads: one.
 */
#ifndef RELAY_FEED_FILL_WALK_H
#define RELAY_FEED_FILL_WALK_H

#include "relay/feed/fill.h"

enum {
    FILL_CHUNK_ITEMS = 2048,
    FILL_PLACE_BYTES_MAX = 16 * 1024 * 1024,
};

/* Stages of each window and tenant, in this order; metadata comes once for each tenant, after all
 * windows. */
enum fill_stage { STAGE_SAMPLES = 0, STAGE_EXEMPLARS = 1, STAGE_METADATA = 2 };

/* The place of a walk: the next item is at or after it. */
struct fill_at {
    bool begun;
    enum fill_stage stage;
    int64_t window_ms; /* start of the window */
    struct buf tenant;
    struct buf labels; /* labels of the series as stored; for metadata, the family's name */
    int64_t t_ms;
};

struct fill_walk {
    const struct fill_options *options;
    bool found_damage;      /* something could not be read, and was skipped */
    bool exemplars_damaged; /* damaged exemplars were logged */
    struct query_control control;

    /* Private to fill_walk.c. */
    struct fill_at place;
    struct series_set *set; /* NULL if it must be opened first */
    int64_t thinned_to_ms;  /* coarsest resolution of downsampled samples that was logged */
    uint32_t warnings;      /* warnings of the set that were logged */
    bool in_series;
    struct sample_batch batch;
    uint32_t batch_at;
    struct chunk_series series; /* the current one */
    struct arena scratch;       /* memory for its labels as they are sent */
    struct buf name;            /* name of the next tenant */
};

/* Begins before the first item. `options` outlive the walk. */
void fill_walk_init(struct fill_walk *walk, const struct fill_options *options);
void fill_walk_fini(struct fill_walk *walk);
/* Releases the parts that are being read; they are opened again when needed. Afterwards `control`
 * has the counts of what the store left out. */
void fill_walk_rest(struct fill_walk *walk);

/* Reads at most `count_max` items, all of one stage, tenant and kind; of exemplars of one time a
 * few more. ERR_MISSING: there are none. After other errors call fill_walk_go_to(). */
MUST_CHECK enum err fill_walk_chunk(struct fill_walk *walk, struct chunk *chunk, uint32_t count_max,
                                    struct why *why);

/* Appends the walk's place. Out of memory shows in buf_error(to). */
void fill_walk_put_place(const struct fill_walk *walk, struct buf *to);
/* Appends the place of item `i` of a chunk: a walk from there gives it first. */
void fill_item_put_place(const struct fill_options *options, const struct chunk *chunk, uint32_t i,
                         struct buf *to);
/* Goes to a place that was put. ERR_CORRUPT: it is invalid; ERR_NOMEM. */
MUST_CHECK enum err fill_walk_go_to(struct fill_walk *walk, struct bytes place);

#endif
