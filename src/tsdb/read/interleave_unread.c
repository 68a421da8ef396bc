/*
 * interleave_unread.c - items that interleave_next() returns without decoding them; see
 * interleave.h.
 *
 * A block that overlaps no other item, is wholly in the range and has no deletions may be answered
 * by its statistics. Histograms of such a block may be returned as columns, and a run of them as
 * chunks that were made before (a bundle). A bundle that overlaps another item is split into its
 * blocks; columns of a block are then read again as samples.
 */
#include "tsdb/read/interleave_private.h"

#include <assert.h>

#include "tsdb/part/bundle.h"
#include "tsdb/part/part.h"

/* The next item, if it is of this type and overlaps no other. */
static const struct interleave_item *
lone_item(const struct interleave *m, enum piece_type type)
{
    if (m->active != NULL || m->next_item == m->item_count) return NULL;
    const struct interleave_item *item = &m->items[m->next_item];
    bool lone = m->next_item + 1 == m->item_count || item[1].min_ms > item->max_ms;
    return lone && item->type == type ? item : NULL;
}

/*
 * Fills a summary from the statistics of a block, if they have what is wanted. They do not have the
 * sign of a zero, unless all values are one, or the least is the first of them.
 */
static bool
summarize(const struct block_ref *b, unsigned wanted, struct sample_summary *ret)
{
    const struct codec_stats *s = &b->stats;
    bool climbs = s->reset_count == 0;
    if (!block_has_numbers(b)) return false;
    if (b->codec != CODEC_FLOAT_V1 && wanted != SUMMARY_COUNT) return false;
    *ret = (struct sample_summary){.min_ms = b->min_ms, .max_ms = b->max_ms};
    if (wanted & SUMMARY_EXTREMES) {
        if (!b->is_constant && (s->max == 0 || (s->min == 0 && !climbs))) return false;
        ret->least = s->min;
        ret->greatest = s->max;
    }
    if (wanted & SUMMARY_ENDS) {
        if (!climbs) return false;
        ret->first = s->first;
        ret->last = s->last;
    }
    return true;
}

bool
interleave_show_summary(struct interleave *m, struct sample_batch *ret)
{
    const struct interleave_item *item = lone_item(m, PIECE_BLOCK);
    if (item == NULL || item->hidden_count > 0) return false;
    if (item->min_ms < m->min_ms || item->max_ms > m->max_ms) return false;
    if (item->min_ms < m->expired_before_ms) return false;
    if (!query_windows_keep(&m->windows, item->min_ms, item->max_ms)) return false;
    if (!summarize(item->block.ref, m->summaries, &m->summary)) return false;
    *ret = (struct sample_batch){
        .kind = (enum sample_kind)item->kind, .count = item->count, .summary = &m->summary};
    m->next_item++;
    return true;
}

/* False if the bundle cannot be made: reading block by block will return the error. */
bool
interleave_show_bundle(struct interleave *m, struct sample_batch *ret)
{
    const struct interleave_item *item = lone_item(m, PIECE_BUNDLE);
    if (item == NULL) return false;
    if (m->bundles == NULL && bundles_new(m->budget, &m->bundles)) return false;
    struct bytes chunks;
    if (bundles_get(m->bundles, item->block.part, item->block.row, item->block.ref, &chunks)) {
        bundles_free(m->bundles);
        m->bundles = NULL;
        return false;
    }
    *ret = (struct sample_batch){
        .kind = (enum sample_kind)item->kind, .count = item->count, .chunks = chunks};
    m->next_item++;
    return true;
}

/* Replaces the next item, a bundle that overlaps another item, by its blocks. */
enum err
interleave_split_bundle(struct interleave *m)
{
    const struct interleave_item bundle = m->items[m->next_item];
    assert(bundle.type == PIECE_BUNDLE);
    const struct block_ref *b = bundle.block.ref;
    uint32_t count = m->item_count;
    while (m->item_count < count + b->bundled - 1) {
        if (interleave_add(m) != NULL) continue;
        m->item_count = count;
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < b->bundled; i++) {
        struct interleave_item *item = &m->items[i == 0 ? m->next_item : count + i - 1];
        *item = bundle;
        item->type = PIECE_BLOCK;
        item->min_ms = b[i].min_ms;
        item->max_ms = b[i].max_ms;
        item->count = b[i].count;
        item->block.ref = &b[i];
    }
    interleave_sort(m->items + m->next_item, m->item_count - m->next_item);
    return OK;
}
