/* part_write_rows.c - rows of a part: series, their pairs, and where their blocks are. */
#include <assert.h>

#include "tsdb/part_writer.h"

enum { WAITING_BYTES_MAX = 1024 * 1024 };

/* --- rows ------------------------------------------------------------------------------------- */

struct waiting_row {
    uint32_t pair_count;
    uint32_t block_count;
};

/* Turns a running page number into the offset it got. */
static void
resolve(struct page_place *place, const struct buf *offsets)
{
    assert(place->page < offsets->size / 8);
    place->page = load_le64(offsets->at + place->page * 8);
}

static void
put_place(struct buf *to, const struct page_place *place, uint64_t *last_page)
{
    buf_put_zigzag(to, (int64_t)(place->page - *last_page));
    buf_put_varint(to, place->at);
    buf_put_varint(to, place->size);
    *last_page = place->page;
}

static void
put_stats(struct buf *to, const struct codec_stats *stats)
{
    uint64_t min = double_bits(stats->min), max = double_bits(stats->max);
    buf_put_le64(to, min);
    buf_put_varint(to, __builtin_bswap64(max ^ min));
    buf_put_le64(to, double_bits(stats->sum));
    buf_put_varint(to, stats->number_count);
}

static void
put_block(struct part_writer *w, struct buf *to, const struct block_ref *b)
{
    buf_put_u8(to, b->codec);
    buf_put_u8(to, (uint8_t)((b->has_starts ? 1 : 0) | (b->has_stats ? 2 : 0)));
    buf_put_varint(to, b->count);
    buf_put_zigzag(to, (int64_t)((uint64_t)b->min_ms - (uint64_t)w->row_last_ms));
    buf_put_varint(to, (uint64_t)b->max_ms - (uint64_t)b->min_ms);
    w->row_last_ms = b->min_ms;
    put_place(to, &b->times, &w->row_times);
    put_place(to, &b->values, &w->row_values);
    if (b->has_starts) put_place(to, &b->starts, &w->row_values);
    if (b->has_stats) put_stats(to, &b->stats);
}

enum err
part_rows_page_out(struct part_writer *w, struct why *why)
{
    if (w->rows_in_page == 0) return OK;
    uint64_t offset;
    enum err e = part_filling_flush(w, &w->rows, &offset, why);
    if (e) return e;
    part_directory_add(&w->rows_dir, w->rows_written - w->rows_in_page, offset);
    w->rows_in_page = 0;
    w->row_last_ms = 0;
    w->row_times = w->row_values = 0;
    return OK;
}

static enum err
row_out(struct part_writer *w, const uint32_t *pairs, const struct waiting_row *row,
        struct block_ref *blocks, struct why *why)
{
    struct buf *to = &w->rows.payload;
    if (part_filling_full(&w->rows, row->pair_count * 2u + row->block_count * 40u)) {
        enum err e = part_rows_page_out(w, why);
        if (e) return e;
    }
    buf_put_varint(to, row->pair_count);
    uint32_t last = 0;
    for (uint32_t i = 0; i < row->pair_count; i++) {
        buf_put_varint(to, pairs[i] - last);
        last = pairs[i];
    }
    buf_put_varint(to, row->block_count);
    for (uint32_t i = 0; i < row->block_count; i++) {
        resolve(&blocks[i].times, &w->times_offsets);
        resolve(&blocks[i].values, &w->values_offsets);
        if (blocks[i].has_starts) resolve(&blocks[i].starts, &w->values_offsets);
        put_block(w, to, &blocks[i]);
    }
    w->rows_in_page++;
    w->rows_written++;
    return buf_error(to);
}

/* All rows that wait can go out once the pages their blocks lie in are written. */
enum err
part_waiting_out(struct part_writer *w, struct why *why)
{
    enum err e = part_placed_flush(w, &w->times, &w->times_offsets, why);
    if (e == OK) e = part_placed_flush(w, &w->values, &w->values_offsets, why);
    size_t at = 0;
    while (e == OK && at < w->waiting.size) {
        struct waiting_row row;
        memcpy(&row, w->waiting.at + at, sizeof row);
        at += sizeof row;
        uint32_t *pairs = (uint32_t *)(void *)(w->waiting.at + at);
        at += (row.pair_count * sizeof *pairs + 7) & ~(size_t)7;
        struct block_ref *blocks = (struct block_ref *)(void *)(w->waiting.at + at);
        at += row.block_count * sizeof *blocks;
        e = row_out(w, pairs, &row, blocks, why);
    }
    buf_clear(&w->waiting);
    return e;
}

/* The pairs of the row being written were put at the end of row_pairs. */
enum err
part_series_end(struct part_writer *w, struct why *why)
{
    if (!w->in_series) return OK;
    enum err e = part_blocks_out(w, why);
    if (e) return e;
    struct waiting_row row = {w->pair_count, (uint32_t)(w->blocks.size / sizeof(struct block_ref))};
    size_t pair_bytes = row.pair_count * sizeof(uint32_t);
    buf_put(&w->waiting, &row, sizeof row);
    if (pair_bytes > 0) {
        buf_put(&w->waiting, w->row_pairs.at + w->row_pairs.size - pair_bytes, pair_bytes);
    }
    buf_put(&w->waiting, "\0\0\0\0\0\0\0", ((pair_bytes + 7) & ~(size_t)7) - pair_bytes);
    buf_put_bytes(&w->waiting, buf_bytes(&w->blocks));
    buf_put_le32(&w->row_ends, (uint32_t)(w->row_pairs.size / sizeof(uint32_t)));
    e = err_first(buf_error(&w->waiting), buf_error(&w->row_ends));
    buf_clear(&w->blocks);
    w->in_series = false;
    if (e) return e;
    return w->waiting.size > WAITING_BYTES_MAX ? part_waiting_out(w, why) : OK;
}

enum err
part_write_series(struct part_writer *w, const uint32_t *pairs, uint32_t pair_count,
                  struct why *why)
{
    enum err e = part_series_end(w, why);
    uint64_t number = w->info.series_count + w->tenant.series_count;
    if (e == OK && number >= UINT32_MAX - 1) e = ERR_LIMIT;
    if (e) return part_told(w, e, why);
    buf_put(&w->row_pairs, pairs, pair_count * sizeof *pairs);
    w->pair_count = pair_count;
    w->in_series = true;
    w->has_last = false;
    w->tenant.series_count++;
    return part_told(w, buf_error(&w->row_pairs), why);
}
