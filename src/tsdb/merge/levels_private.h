/*
 * levels_private.h - private to levels.c: histograms that a level may replace, and their rollups.
 */
#ifndef TSDB_MERGE_LEVELS_PRIVATE_H
#define TSDB_MERGE_LEVELS_PRIVATE_H

#include "model/histogram_roller.h"
#include "tsdb/codec/codec.h"

enum {
    SAMPLES_MIN = 4,        /* samples for each window, on average, that may be worth it */
    CHUNK_HISTOGRAMS = 512, /* they are large: fewer than of floats */
    CHUNK_BYTES = 256 * 1024,
    PENDING_HISTOGRAMS = 512,
    PENDING_BYTES = 1024 * 1024,
};

/* Histograms of the chunk, and rollups of histograms. */
struct level_histograms {
    struct arena samples_arena;
    struct arena windows_arena;
    struct arena pending_arena;
    struct arena encoding_arena;
    struct histogram_roller roller; /* of a window of the chunk */
    struct histogram_roller open;   /* a window that becomes a rollup, whatever it takes */
    struct histogram samples[CHUNK_HISTOGRAMS];
    struct histogram_rollup windows[CHUNK_HISTOGRAMS / SAMPLES_MIN];
    struct histogram_rollup pending[PENDING_HISTOGRAMS];
};

/* Frees an arena, whose blocks begin small again. */
static inline void
arena_restart(struct arena *arena)
{
    struct budget *budget = arena->budget;
    arena_fini(arena);
    arena_init(arena, budget, 0, 0);
}
/* Forgets all samples. */
static inline void
level_histograms_clear(struct level_histograms *h)
{
    arena_restart(&h->samples_arena);
}
/* The memory of the samples. */
static inline uint64_t
level_histograms_bytes(const struct level_histograms *h)
{
    return h->samples_arena.used_bytes;
}

#endif
