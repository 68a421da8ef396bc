/*
 * write_rows.c - writes the rows of a part: series, their pairs, and the places of their blocks.
 * Invariants are in write.c.
 *
 * Groups of rows are written column by column, since neighbours differ in little: values that a row
 * shares with the one before are not repeated, those that follow from the order of blocks are not
 * written at all, and those that several blocks share (their times) are written once. Repetitions
 * between groups of a page are left to zstd. So that a row can be read without all rows before, a
 * group consists of stretches: each says where in the columns it begins, and its first row is
 * written as differences to the first of the stretch before.
 */
#include <assert.h>

#include "tsdb/part/write/writer.h"

enum { WAITING_BYTES_MAX = 1024 * 1024, TIMES_SLOTS_FIRST = 256 };

struct waiting_row {
    uint32_t pair_count;
    uint32_t block_count;
};

/* --- statistics ------------------------------------------------------------------------------- */

/* The difference between the bits of v and those of k / 10^e. */
static int64_t
correction_of(double v, unsigned e, int64_t k)
{
    return (int64_t)(double_bits(v) - codec_decimal_bits(e, k));
}

static bool
is_short(int64_t correction)
{
    return correction < INT64_C(1) << 40 && correction > -(INT64_C(1) << 40);
}

/* False if the statistics are not close to decimals of this scale. */
static bool
put_scaled_stats(struct buf *columns, const struct block_ref *b)
{
    const struct codec_stats *s = &b->stats;
    unsigned e = b->scale;
    int64_t least = b->k, most, sum;
    if (!codec_scale(s->max, e, &most) || most < least || !codec_scale(s->sum, e, &sum))
        return false;
    int64_t least_off = correction_of(s->min, e, least), most_off = correction_of(s->max, e, most);
    int64_t sum_off = correction_of(s->sum, e, sum);
    if (!is_short(least_off) || !is_short(most_off) || !is_short(sum_off)) return false;
    unsigned scale = e;
    if (s->number_count < b->count) scale |= SCALE_MISSING;
    if (sum_off != 0) scale |= SCALE_SUM_OFF;
    if ((least_off | most_off) != 0) scale |= SCALE_EXTREMES_OFF;
    buf_put_u8(&columns[ROW_SCALES], (uint8_t)scale);
    buf_put_zigzag(&columns[ROW_LEASTS], least);
    uint64_t spread = (uint64_t)most - (uint64_t)least;
    uint64_t guess = part_sum_guess(least, spread, s->number_count);
    buf_put_varint(&columns[ROW_SPREADS], spread);
    buf_put_zigzag(&columns[ROW_SUMS], (int64_t)((uint64_t)sum - guess));
    if (scale & SCALE_EXTREMES_OFF) {
        buf_put_zigzag(&columns[ROW_CORRECTIONS], least_off);
        buf_put_zigzag(&columns[ROW_CORRECTIONS], most_off);
    }
    if (scale & SCALE_SUM_OFF) buf_put_zigzag(&columns[ROW_CORRECTIONS], sum_off);
    if (scale & SCALE_MISSING) buf_put_varint(&columns[ROW_MISSING], b->count - s->number_count);
    return true;
}

static bool
put_scaled_end(struct buf *columns, double v, unsigned e, int64_t least)
{
    int64_t k;
    if (!codec_scale(v, e, &k) || codec_decimal_bits(e, k) != double_bits(v)) return false;
    buf_put_varint(&columns[ROW_ENDS], (uint64_t)k - (uint64_t)least);
    return true;
}

/* Writes the statistics of a block of floats; returns their bits of the shape. */
static unsigned
put_stats(struct buf *columns, const struct block_ref *b)
{
    const struct codec_stats *s = &b->stats;
    bool scaled = b->is_constant;
    if (b->is_constant) {
        uint64_t sum = part_sum_guess(b->k, 0, s->number_count);
        int64_t sum_off = correction_of(s->sum, b->scale, (int64_t)sum);
        unsigned scale = b->scale | SCALE_CONSTANT;
        if (s->number_count < b->count) scale |= SCALE_MISSING;
        if (sum_off != 0) scale |= SCALE_SUM_OFF;
        buf_put_u8(&columns[ROW_SCALES], (uint8_t)scale);
        buf_put_zigzag(&columns[ROW_LEASTS], b->k);
        if (sum_off != 0) buf_put_zigzag(&columns[ROW_CORRECTIONS], sum_off);
        if (s->number_count < b->count) buf_put_varint(&columns[ROW_MISSING], 1);
    } else if (s->number_count == 0 && s->min == __builtin_inf() && s->max == -__builtin_inf() &&
               double_bits(s->sum) == 0 && b->k == 0) {
        buf_put_u8(&columns[ROW_SCALES], SCALE_NO_NUMBER);
    } else {
        scaled = b->scale != SCALE_NONE && put_scaled_stats(columns, b);
        if (!scaled) {
            buf_put_u8(&columns[ROW_SCALES], SCALE_RAW);
            buf_put_zigzag(&columns[ROW_LEASTS], b->k);
            buf_put_le64(&columns[ROW_RAW], double_bits(s->min));
            buf_put_le64(&columns[ROW_RAW], double_bits(s->max));
            buf_put_le64(&columns[ROW_RAW], double_bits(s->sum));
            buf_put_varint(&columns[ROW_MISSING], b->count - s->number_count);
        }
    }
    /* First, last and resets, if they do not follow from least and greatest. */
    bool climbs = double_bits(s->first) == double_bits(s->min) &&
                  double_bits(s->last) == double_bits(s->max) && s->reset_count == 0;
    if (climbs) return 0;
    struct buf *ends = &columns[ROW_ENDS];
    size_t before = ends->size;
    buf_put_varint(&columns[ROW_RESETS], s->reset_count);
    if (scaled && put_scaled_end(columns, s->first, b->scale, b->k) &&
        put_scaled_end(columns, s->last, b->scale, b->k))
        return SHAPE_ENDS;
    ends->size = before;
    buf_put_le64(ends, double_bits(s->first));
    buf_put_le64(ends, double_bits(s->last));
    return SHAPE_ENDS | SHAPE_ENDS_RAW;
}

/* --- items and time columns of a group -------------------------------------------------------- */

static void
items_end(struct row_filling *r)
{
    if (r->items == 0) return;
    buf_put_varint(&r->values_pages, r->items);
    r->items = 0;
}

/* Writes an item in a page of values: its size suffices, because it follows the one before. */
static void
put_item(struct row_filling *r, const struct page_place *place)
{
    if (place->page != r->values_page) {
        items_end(r);
        if (r->values_page_count == 0) r->first_at = place->at;
        assert(r->values_page_count == 0 || place->at == 0);
        buf_put_varint(&r->values_pages, place->page - r->values_page);
        r->values_page = place->page;
        r->values_page_count++;
    }
    r->items++;
    r->item_count++;
    r->item_end = place->at + place->size;
    buf_put_varint(&r->columns[ROW_SIZES], place->size);
}

static uint32_t
times_page_index(struct row_filling *r, uint64_t offset)
{
    const uint64_t *offsets = (const uint64_t *)(const void *)r->times_offsets.at;
    uint32_t count = (uint32_t)(r->times_offsets.size / sizeof *offsets);
    for (uint32_t i = count; i > 0; i--)
        if (offsets[i - 1] == offset) return i - 1;
    buf_put_le64(&r->times_offsets, offset);
    return count;
}

static uint32_t
rows_slot_of(const struct row_filling *r, const struct page_place *place)
{
    uint32_t at = (uint32_t)hash_mix(place->page, place->at) & (r->slot_count - 1);
    while (r->slots[at].index_plus_1 != 0 &&
           (r->slots[at].page != place->page || r->slots[at].at != place->at))
        at = (at + 1) & (r->slot_count - 1);
    return at;
}

/* Writes which of the group's time columns a block has; a new column is added. */
static enum err
put_times(struct part_writer *w, const struct block_ref *b)
{
    struct row_filling *r = &w->rows;
    if (r->slot_count == 0 || r->time_count >= r->slot_count / 2) {
        uint32_t count = r->slot_count == 0 ? TIMES_SLOTS_FIRST : 2 * r->slot_count;
        struct time_slot *old = r->slots;
        uint32_t old_count = r->slot_count;
        struct time_slot *grown = mem_new(w->budget, count * sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        r->slots = grown;
        r->slot_count = count;
        for (uint32_t i = 0; i < old_count; i++) {
            if (old[i].index_plus_1 == 0) continue;
            struct page_place place = {.page = old[i].page, .at = old[i].at};
            grown[rows_slot_of(r, &place)] = old[i];
        }
        mem_free(w->budget, old, old_count * sizeof *old);
    }
    struct time_slot *slot = &r->slots[rows_slot_of(r, &b->times)];
    if (slot->index_plus_1 == 0) {
        struct buf *to = &r->time_columns;
        uint64_t span = (uint64_t)b->max_ms - (uint64_t)b->min_ms;
        buf_put_varint(to, times_page_index(r, b->times.page));
        buf_put_zigzag(to, (int64_t)b->times.at - (int64_t)r->column_end);
        buf_put_varint(to, b->times.size);
        buf_put_varint(to, b->count);
        buf_put_zigzag(to, (int64_t)((uint64_t)b->min_ms - r->column_min));
        buf_put_zigzag(to, (int64_t)(span - r->column_span));
        r->column_end = b->times.at + b->times.size;
        r->column_min = (uint64_t)b->min_ms;
        r->column_span = span;
        *slot = (struct time_slot){b->times.page, b->times.at, ++r->time_count};
    }
    assert(r->time_count < r->slot_count); /* a free slot ends each search */
    uint32_t index = slot->index_plus_1 - 1;
    buf_put_zigzag(&r->columns[ROW_TIMES], (int64_t)index - (int64_t)r->time_index);
    r->time_index = index;
    return OK;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Writes the pairs that differ from those in `before` to `listed`; returns their mask. */
static uint64_t
put_changed(struct buf *listed, const struct buf *before, const uint32_t *pairs, uint32_t count)
{
    const uint32_t *old = (const uint32_t *)(const void *)before->at;
    uint32_t old_count = (uint32_t)(before->size / sizeof *old);
    uint64_t mask = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i < old_count) {
            if (i < ROW_MASK_BITS && pairs[i] == old[i]) continue;
            if (i < ROW_MASK_BITS) mask |= UINT64_C(1) << i;
            buf_put_zigzag(listed, (int64_t)pairs[i] - (int64_t)old[i]);
        } else {
            uint32_t last = i == 0 ? 0 : pairs[i - 1];
            buf_put_zigzag(listed, (int64_t)pairs[i] - (int64_t)last);
        }
    }
    return mask;
}

static enum err
put_pairs(struct row_filling *r, const uint32_t *pairs, uint32_t count)
{
    if (r->row_count == 0 || r->row_count % STRETCH_ROWS != 0) {
        uint64_t mask = put_changed(&r->columns[ROW_PAIRS], &r->pairs, pairs, count);
        buf_put_varint(&r->columns[ROW_PAIR_COUNTS], count);
        buf_put_varint(&r->columns[ROW_MASKS], mask);
    } else {
        struct buf *to = &r->columns[ROW_STRETCHES];
        buf_clear(&r->listed);
        uint64_t mask = put_changed(&r->listed, &r->stretch_pairs, pairs, count);
        buf_put_varint(to, count);
        buf_put_varint(to, mask);
        buf_put_bytes(to, buf_bytes(&r->listed));
        if (buf_error(&r->listed)) return buf_error(&r->listed);
    }
    buf_clear(&r->pairs);
    buf_put(&r->pairs, pairs, count * sizeof *pairs);
    if (r->row_count % STRETCH_ROWS == 0) {
        buf_clear(&r->stretch_pairs);
        buf_put(&r->stretch_pairs, pairs, count * sizeof *pairs);
    }
    return err_first(buf_error(&r->pairs), buf_error(&r->stretch_pairs));
}

/* Writes the change of the step: stretches are mostly alike. */
static void
put_advance(struct buf *to, uint64_t now, uint64_t *before, uint64_t *advance)
{
    uint64_t step = now - *before;
    buf_put_zigzag(to, (int64_t)(step - *advance));
    *advance = step;
    *before = now;
}

static enum err
put_block(struct part_writer *w, const struct block_ref *b)
{
    struct row_filling *r = &w->rows;
    unsigned shape = b->codec == CODEC_FLOAT_V1       ? SHAPE_FLOATS
                     : b->codec == CODEC_HISTOGRAM_V1 ? SHAPE_INT_HISTOGRAMS
                                                      : SHAPE_FLOAT_HISTOGRAMS;
    enum err e = put_times(w, b);
    if (e) return e;
    if (!b->is_constant) put_item(r, &b->values);
    if (block_has_third(b)) put_item(r, &b->starts);
    if (shape == SHAPE_FLOATS) shape |= put_stats(r->columns, b);
    if (b->has_starts) shape |= SHAPE_STARTS;
    for (uint32_t i = 0; b->resolution_ms > 0 && i < w->info.resolution_count; i++) {
        if (w->info.resolutions[i].resolution_ms != b->resolution_ms) continue;
        shape |= (i + 1) << SHAPE_RESOLUTION_SHIFT; /* it is one of the writer's */
        break;
    }
    assert(b->resolution_ms == 0 || shape >> SHAPE_RESOLUTION_SHIFT > 0);
    buf_put_u8(&r->columns[ROW_SHAPES], (uint8_t)shape);
    return OK;
}

static void
put_head(struct row_filling *r)
{
    struct buf *to = &r->columns[ROW_HEAD];
    const uint64_t *offsets = (const uint64_t *)(const void *)r->times_offsets.at;
    uint32_t pages = (uint32_t)(r->times_offsets.size / sizeof *offsets);
    items_end(r);
    buf_put_varint(to, r->values_page_count);
    buf_put_bytes(to, buf_bytes(&r->values_pages));
    if (r->values_page_count > 0) buf_put_varint(to, r->first_at);
    buf_put_varint(to, pages);
    for (uint32_t i = 0; i < pages; i++)
        buf_put_zigzag(to, (int64_t)(offsets[i] - (i == 0 ? 0 : offsets[i - 1])));
    buf_put_varint(to, r->time_count);
    buf_put_bytes(to, buf_bytes(&r->time_columns));
}

/* Appends the group to the page. */
static enum err
group_out(struct part_writer *w)
{
    struct row_filling *r = &w->rows;
    if (r->row_count == 0) return OK;
    put_head(r);
    struct buf *to = &w->encoded;
    buf_clear(to);
    buf_put_varint(to, r->row_count);
    for (unsigned i = 0; i + 1 < ROW_COLUMN_COUNT; i++)
        buf_put_varint(to, r->columns[i].size);
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        buf_put_bytes(to, buf_bytes(&r->columns[i]));
    enum err e = err_first(buf_error(&r->time_columns), buf_error(&r->values_pages));
    e = err_first(e, buf_error(&r->times_offsets));
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        e = err_first(e, buf_error(&r->columns[i]));
    e = err_first(e, buf_error(to));
    if (e) return e;
    buf_put_counted(&r->page.payload, buf_bytes(to));
    r->page_rows += r->row_count;
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        buf_clear(&r->columns[i]);
    buf_clear(&r->pairs);
    buf_clear(&r->stretch_pairs);
    buf_clear(&r->values_pages);
    buf_clear(&r->times_offsets);
    buf_clear(&r->time_columns);
    if (r->slot_count > 0) memset(r->slots, 0, r->slot_count * sizeof *r->slots);
    r->row_count = r->values_page_count = r->items = r->time_count = r->time_index = 0;
    r->values_page = r->column_min = r->column_span = 0;
    r->column_end = r->item_count = r->item_end = 0;
    r->stretch = r->advance = (struct row_position){0};
    return buf_error(&r->page.payload);
}

enum err
part_rows_page_out(struct part_writer *w, struct why *why)
{
    struct row_filling *r = &w->rows;
    uint64_t offset;
    enum err e = group_out(w);
    if (e || r->page_rows == 0) return e;
    e = part_filling_flush(w, &r->page, &offset, why);
    if (e) return e;
    assert(w->rows_dir.count == 0 ||
           w->rows_dir.last_number < w->rows_written - r->page_rows); /* invariant 2 */
    part_directory_add(&w->rows_dir, w->rows_written - r->page_rows, offset);
    r->page_rows = 0;
    return OK;
}

/* Turns a running page number into the offset it got. */
static void
resolve(struct page_place *place, const struct buf *offsets)
{
    assert(place->page < offsets->size / 8); /* the page is written */
    place->page = load_le64(offsets->at + place->page * 8);
}

static enum err
row_out(struct part_writer *w, const uint32_t *pairs, const struct waiting_row *row,
        struct block_ref *blocks, struct why *why)
{
    struct row_filling *r = &w->rows;
    size_t bytes = r->page.payload.size + r->time_columns.size; /* with about those of the row */
    bytes += row->pair_count + (size_t)row->block_count * 12;
    bool some = r->page_rows + r->row_count > 0;
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        bytes += r->columns[i].size;
    enum err full = some && bytes > w->page_bytes    ? part_rows_page_out(w, why)
                    : r->row_count == GROUP_ROWS_MAX ? group_out(w)
                                                     : OK;
    if (full) return full;
    if (r->row_count > 0 && r->row_count % STRETCH_ROWS == 0) {
        /* Before the first row of a stretch that is not the group's first. */
        struct buf *to = &r->columns[ROW_STRETCHES];
        for (unsigned i = ROW_PAIR_COUNTS; i < ROW_COLUMN_COUNT; i++)
            put_advance(to, r->columns[i].size, &r->stretch.bytes[i], &r->advance.bytes[i]);
        put_advance(to, r->time_index, &r->stretch.time_index, &r->advance.time_index);
        put_advance(to, r->item_count, &r->stretch.items, &r->advance.items);
        put_advance(to, r->item_end, &r->stretch.item_at, &r->advance.item_at);
    }
    enum err e = put_pairs(r, pairs, row->pair_count);
    buf_put_varint(&r->columns[ROW_BLOCK_COUNTS], row->block_count);
    for (uint32_t i = 0; i < row->block_count && e == OK; i++) {
        struct block_ref *b = &blocks[i];
        resolve(&b->times, &w->times_offsets);
        if (!b->is_constant) resolve(&b->values, &w->values_offsets);
        if (block_has_third(b)) resolve(&b->starts, &w->values_offsets);
        e = put_block(w, b);
        if (e == OK && b->codec != CODEC_FLOAT_V1)
            e = part_stale_put(w, w->rows_written, i, b, why);
    }
    r->row_count++;
    w->rows_written++;
    return e;
}

/* Writes waiting rows, up to the first with values in a page that is not written. */
static enum err
rows_out(struct part_writer *w, struct why *why)
{
    size_t at = 0;
    enum err e = OK;
    while (e == OK && at < w->waiting.size) {
        struct waiting_row row;
        size_t next = at + sizeof row;
        memcpy(&row, w->waiting.at + at, sizeof row);
        uint32_t *pairs = (uint32_t *)(void *)(w->waiting.at + next);
        next += (row.pair_count * sizeof *pairs + 7) & ~(size_t)7;
        struct block_ref *blocks = (struct block_ref *)(void *)(w->waiting.at + next);
        next += row.block_count * sizeof *blocks;
        bool is_placed = true; /* the last value decides */
        for (uint32_t i = row.block_count; i > 0; i--) {
            const struct block_ref *b = &blocks[i - 1];
            if (b->is_constant && !block_has_third(b)) continue;
            uint64_t page = block_has_third(b) ? b->starts.page : b->values.page;
            is_placed = page < w->values_offsets.size / 8;
            break;
        }
        if (!is_placed) break;
        e = row_out(w, pairs, &row, blocks, why);
        at = next;
    }
    w->waiting.size -= at;
    if (at > 0) memmove(w->waiting.at, w->waiting.at + at, w->waiting.size);
    return e;
}

enum err
part_waiting_out(struct part_writer *w, struct why *why)
{
    enum err e = part_placed_flush(w, &w->times, &w->times_offsets, why);
    if (e == OK) e = part_placed_flush(w, &w->values, &w->values_offsets, why);
    return e ? e : rows_out(w, why);
}

enum err
part_series_end(struct part_writer *w, struct why *why)
{
    if (!w->in_series) return OK;
    enum err e = part_blocks_out(w, why);
    if (e) return e;
    size_t pair_bytes = w->row_pairs.pairs.size;
    struct waiting_row row = {(uint32_t)(pair_bytes / sizeof(uint32_t)),
                              (uint32_t)(w->blocks.size / sizeof(struct block_ref))};
    buf_put(&w->waiting, &row, sizeof row);
    buf_put_bytes(&w->waiting, buf_bytes(&w->row_pairs.pairs));
    buf_put(&w->waiting, "\0\0\0\0\0\0\0", ((pair_bytes + 7) & ~(size_t)7) - pair_bytes);
    buf_put_bytes(&w->waiting, buf_bytes(&w->blocks));
    e = buf_error(&w->waiting);
    buf_clear(&w->blocks);
    w->in_series = false;
    if (e) return e;
    if (w->waiting.size <= WAITING_BYTES_MAX) return OK;
    /* Writes rows that wait, without ending the page of values if that leaves few enough. */
    e = part_placed_flush(w, &w->times, &w->times_offsets, why);
    if (e == OK) e = rows_out(w, why);
    return e == OK && w->waiting.size > WAITING_BYTES_MAX / 2 ? part_waiting_out(w, why) : e;
}

enum err
part_write_series(struct part_writer *w, const uint32_t *pairs, uint32_t pair_count,
                  struct why *why)
{
    assert(!w->finished); /* invariant 6 */
    enum err e = part_series_end(w, why);
    assert(e || w->sample_count == 0); /* invariant 4 */
    uint64_t number = w->info.series_count + w->tenant.series_count;
    if (e == OK && number >= UINT32_MAX - 1) e = ERR_LIMIT;
    if (e == OK) e = part_pairs_put(w, pairs, pair_count, why);
    if (e) return part_write_error(w, e, why);
    w->in_series = true;
    w->has_last = false;
    w->tenant.series_count++;
    return OK;
}
