/* level_histograms.c - see levels_private.h. */
#include "tsdb/merge/levels_private.h"

#include <assert.h>

#include "tsdb/codec/histogram_rollups.h"

uint64_t
level_histograms_memory(void)
{
    /* Blocks of an arena double, so it may exceed its limit by as much, and by an item. A rollup
     * takes about as much as four samples of its window, and the work of encoding twice that. */
    enum { ITEM_BYTES = 64 * 1024, ROLLER_ARENAS = 4, ARENAS = 8 };
    uint64_t limits = CHUNK_BYTES + 2 * CHUNK_BYTES + 2 * CHUNK_BYTES + PENDING_BYTES +
                      ROLLER_ARENAS * HISTOGRAM_ROLLER_BYTES;
    return sizeof(struct level_histograms) + 2 * limits + ARENAS * ITEM_BYTES;
}

enum err
level_histograms_new(struct budget *budget, struct level_histograms **ret)
{
    struct level_histograms *h = mem_new(budget, sizeof *h);
    *ret = h;
    if (h == NULL) return ERR_NOMEM;
    arena_init(&h->samples_arena, budget, 0, 0);
    arena_init(&h->windows_arena, budget, 0, 0);
    arena_init(&h->pending_arena, budget, 0, 0);
    arena_init(&h->encoding_arena, budget, 0, 0);
    histogram_roller_init(&h->roller, budget);
    histogram_roller_init(&h->open, budget);
    return OK;
}

void
level_histograms_free(struct budget *budget, struct level_histograms *h)
{
    if (h == NULL) return;
    arena_fini(&h->samples_arena);
    arena_fini(&h->windows_arena);
    arena_fini(&h->pending_arena);
    arena_fini(&h->encoding_arena);
    histogram_roller_fini(&h->roller);
    histogram_roller_fini(&h->open);
    mem_free(budget, h, sizeof *h);
}

enum err
level_histograms_set(struct level_histograms *h, uint32_t at, const struct histogram *sample)
{
    assert(at < CHUNK_HISTOGRAMS);
    return histogram_copy(sample, &h->samples_arena, &h->samples[at]) ? ERR_NOMEM : OK;
}

enum err
level_histograms_roll_up(struct level_histograms *h, const int64_t *times_ms, uint32_t from,
                         uint32_t until, uint32_t window)
{
    enum err e = OK;
    if (window == 0) arena_restart(&h->windows_arena);
    histogram_roller_clear(&h->roller);
    for (uint32_t i = from; i < until && e == OK; i++) {
        e = histogram_roller_add(&h->roller, times_ms[i], &h->samples[i]);
    }
    if (e) return e;
    return histogram_rollup_copy(&h->windows_arena, &h->roller.rollup, &h->windows[window]);
}

enum err
level_histograms_encode(struct level_histograms *h, struct codec_scratch *scratch, uint32_t count,
                        int64_t resolution_ms, int64_t *times_ms, struct buf *out)
{
    arena_restart(&h->encoding_arena);
    return codec_histogram_rollups_encode_blocks(scratch, &h->encoding_arena, h->windows, count,
                                                 resolution_ms, times_ms, out);
}
