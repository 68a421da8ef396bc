/*
 * stale.c - finds the blocks of histograms that have staleness markers.
 *
 * Rows have no room for statistics of histograms, so a part lists the few blocks that have markers,
 * by series and block, in pages that are read only when needed. A block that is copied from a part
 * without such a list is listed as not known. If the list is damaged, all blocks count as not
 * known.
 */
#include "tsdb/part/walk.h"

enum { NO_SERIES = UINT32_MAX };

void
stale_walk_fini(struct stale_walk *w, struct part *part)
{
    page_release(&part->source, w->page);
    *w = (struct stale_walk){0};
}

/* Moves to the next entry. The series of a page are differences that begin at 0. */
static enum err
stale_step(struct stale_walk *w, struct part *p, struct why *why)
{
    while (w->c.at == w->c.end) {
        page_release(&p->source, w->page);
        w->page = NULL;
        w->series = w->next_page == w->table->count ? NO_SERIES : 0;
        if (w->series == NO_SERIES) return OK;
        w->offset = w->table->offsets[w->next_page++];
        enum err e = page_get(&p->source, w->offset, PAGE_DIRECTORY, &w->page, why);
        if (e) return e;
        w->c = (struct cursor){w->page->at, w->page->at + w->page->size, false};
    }
    uint64_t series = w->series + cursor_varint(&w->c);
    uint64_t block = cursor_varint(&w->c), count = cursor_varint(&w->c);
    if (w->c.bad || series >= p->info.series_count || block >= UINT32_MAX ||
        count > CODEC_SAMPLES_MAX) {
        return part_damaged(p, w->offset, "staleness markers", why);
    }
    w->series = (uint32_t)series;
    w->block = (uint32_t)block;
    w->count = (uint32_t)count;
    return OK;
}

/* Moves to the first entry of `series` or a later one. */
static enum err
seek(struct stale_walk *w, struct part *p, uint32_t series, struct why *why)
{
    enum err e = OK;
    if (w->table == NULL || w->series > series) {
        stale_walk_fini(w, p);
        e = part_directory_table(p, &p->stale, &w->table, why);
        if (e) return e;
        /* The last page that begins before the series may hold some of it. */
        w->next_page = series == 0 ? 0 : part_pages_until(w->table, series - 1);
        w->next_page -= w->next_page > 0;
        e = stale_step(w, p, why);
    }
    while (e == OK && w->series < series)
        e = stale_step(w, p, why);
    return e;
}

enum err
stale_walk_set(struct stale_walk *w, struct part *p, uint32_t series, struct block_ref *blocks,
               uint32_t count, struct why *why)
{
    bool some = false;
    for (uint32_t i = 0; i < count; i++) {
        if (blocks[i].codec == CODEC_FLOAT_V1) continue;
        blocks[i].has_stats = some = p->knows_stale;
        blocks[i].stats.number_count = blocks[i].count;
    }
    if (!some || p->stale.page == 0) return OK;
    enum err e = seek(w, p, series, why);
    for (; e == OK && w->series == series; e = stale_step(w, p, why)) {
        struct block_ref *b = w->block < count ? &blocks[w->block] : NULL;
        if (b == NULL || b->codec == CODEC_FLOAT_V1 || w->count > b->count) {
            e = part_damaged(p, w->offset, "staleness markers", why);
            break;
        }
        b->has_stats = w->count > 0;
        b->stats.number_count = b->count - w->count;
    }
    if (e) stale_walk_fini(w, p);
    if (e != ERR_CORRUPT) return e;
    for (uint32_t i = 0; i < count; i++) { /* the samples are not damaged: they will be read */
        if (blocks[i].codec != CODEC_FLOAT_V1) blocks[i].has_stats = false;
    }
    return OK;
}
