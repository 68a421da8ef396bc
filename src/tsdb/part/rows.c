/*
 * rows.c - reads the rows of a part, one for each series: its pairs, and the places of its blocks.
 *
 * Four positions walk the columns of a group, each only as far as needed:
 *
 *     pairs     counts, masks, pairs: row by row
 *     counts    block counts, row by row: the blocks of the stretch that belong to the row
 *     times     by the number of the block
 *     blocks    all other columns, by the number of the block
 *
 * Each stretch of rows says where in all columns it begins, so at most a stretch is walked to reach
 * a row. If a walk reaches the end of a stretch and the next one does not begin there, the page is
 * damaged. Rows that are skipped are not checked, only the one that is read.
 *
 * Invariants while a page is held:
 *  1. The current row is row pairs_rows - 1 of the group, in the stretch of stretch_row.
 *  2. `known` says how much of the row is read. The functions for a row need KNOWN_PAIRS at least,
 *     which row_seek() leaves.
 *  3. counts_rows <= pairs_rows; times_blocks and blocks_read are at most first_block +
 *     block_count. All of them are reset when a stretch begins.
 */
#include "tsdb/part/walk.h"

#include <assert.h>
#include <inttypes.h>

/* --- staleness markers of histograms ---------------------------------------------------------- */

/*
 * Finds the blocks of histograms that have staleness markers.
 *
 * Rows have no room for statistics of histograms, so a part lists the few blocks that have markers,
 * by series and block, in pages that are read only when needed. A block that is copied from a part
 * without such a list is listed as not known. If the list is damaged, all blocks count as not
 * known.
 */

enum { NO_SERIES = UINT32_MAX };

/* Releases the page; accepts a walk that is zeroed. */
static void
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
        count > CODEC_SAMPLES_MAX)
        return part_damaged(p, w->offset, "staleness markers", why);
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

/* Sets stats.number_count of the series' blocks of histograms, if the part knows it: cheapest in
 * ascending order of series. A damaged list counts as not known. ERR_IO, ERR_NOMEM. */
static MUST_CHECK enum err
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
    for (uint32_t i = 0; i < count; i++) /* the samples are not damaged: they will be read */
        if (blocks[i].codec != CODEC_FLOAT_V1) blocks[i].has_stats = false;
    return OK;
}

/* --- statistics of floats --------------------------------------------------------------------- */

/*
 * Reads the statistics of a block of floats from the columns of its group.
 *
 * Mostly all of them are decimals of one exponent, so they are stored as integers, each as its
 * difference to a prediction from those before it (docs/format/part.md). Statistics that are not
 * needed are skipped without being computed.
 */

static double
corrected(unsigned e, int64_t k, int64_t correction)
{
    return bits_double(codec_decimal_bits(e, k) + (uint64_t)correction);
}

static bool
get_stats(struct cursor *columns, struct block_ref *b)
{
    unsigned scale = cursor_u8(&columns[ROW_SCALES]);
    b->has_stats = true;
    b->scale = SCALE_NONE;
    if (scale == SCALE_RAW) {
        struct codec_stats *s = &b->stats;
        b->k = cursor_zigzag(&columns[ROW_LEASTS]);
        s->min = bits_double(cursor_le64(&columns[ROW_RAW]));
        s->max = bits_double(cursor_le64(&columns[ROW_RAW]));
        s->sum = bits_double(cursor_le64(&columns[ROW_RAW]));
        uint64_t missing = cursor_varint(&columns[ROW_MISSING]);
        if (missing > b->count) cursor_fail(&columns[ROW_MISSING]);
        s->number_count = b->count - (uint32_t)missing;
    } else if (scale == SCALE_NO_NUMBER) {
        b->stats = (struct codec_stats){.min = __builtin_inf(), .max = -__builtin_inf()};
    } else if ((scale & SCALE_RAW) == SCALE_RAW) {
        return false;
    } else {
        struct codec_stats *s = &b->stats;
        unsigned e = scale & SCALE_EXPONENT_MASK;
        b->scale = (uint8_t)e;
        b->is_constant = scale & SCALE_CONSTANT;
        uint64_t missing = scale & SCALE_MISSING ? cursor_varint(&columns[ROW_MISSING]) : 0;
        /* In a constant only the last value can be missing: the staleness marker. */
        if (missing >= b->count || (b->is_constant && missing > 1)) return false;
        s->number_count = b->count - (uint32_t)missing;
        int64_t least_off = 0, most_off = 0;
        b->k = cursor_zigzag(&columns[ROW_LEASTS]);
        uint64_t spread = b->is_constant ? 0 : cursor_varint(&columns[ROW_SPREADS]);
        uint64_t sum = part_sum_guess(b->k, spread, s->number_count);
        if (!b->is_constant) sum += (uint64_t)cursor_zigzag(&columns[ROW_SUMS]);
        if (scale & SCALE_EXTREMES_OFF) {
            least_off = cursor_zigzag(&columns[ROW_CORRECTIONS]);
            most_off = cursor_zigzag(&columns[ROW_CORRECTIONS]);
        }
        int64_t sum_off = scale & SCALE_SUM_OFF ? cursor_zigzag(&columns[ROW_CORRECTIONS]) : 0;
        s->min = corrected(e, b->k, least_off);
        s->max = corrected(e, (int64_t)((uint64_t)b->k + spread), most_off);
        s->sum = corrected(e, (int64_t)sum, sum_off);
        return true;
    }
    return true;
}

static bool
get_ends(struct cursor *columns, unsigned shape, struct block_ref *b)
{
    struct codec_stats *s = &b->stats;
    struct cursor *c = &columns[ROW_ENDS];
    s->first = s->min;
    s->last = s->max;
    if ((shape & SHAPE_ENDS) == 0) return (shape & SHAPE_ENDS_RAW) == 0;
    uint64_t resets = cursor_varint(&columns[ROW_RESETS]);
    s->reset_count = (uint32_t)resets;
    if (shape & SHAPE_ENDS_RAW) {
        s->first = bits_double(cursor_le64(c));
        s->last = bits_double(cursor_le64(c));
    } else {
        if (b->scale == SCALE_NONE) return false;
        s->first = corrected(b->scale, (int64_t)((uint64_t)b->k + cursor_varint(c)), 0);
        s->last = corrected(b->scale, (int64_t)((uint64_t)b->k + cursor_varint(c)), 0);
    }
    return resets < b->count;
}

/* True if the block is a constant. */
static bool
skip_stats(struct cursor *c)
{
    unsigned scale = cursor_u8(&c[ROW_SCALES]);
    if (scale == SCALE_NO_NUMBER) return false;
    (void)cursor_varint(&c[ROW_LEASTS]);
    if (scale == SCALE_RAW) {
        (void)cursor_bytes(&c[ROW_RAW], 24);
        (void)cursor_varint(&c[ROW_MISSING]);
        return false;
    }
    bool constant = scale & SCALE_CONSTANT;
    if (scale & SCALE_MISSING) (void)cursor_varint(&c[ROW_MISSING]);
    if (!constant) {
        (void)cursor_varint(&c[ROW_SPREADS]);
        (void)cursor_varint(&c[ROW_SUMS]);
    }
    unsigned corrections = (scale & SCALE_SUM_OFF ? 1 : 0) + (scale & SCALE_EXTREMES_OFF ? 2 : 0);
    while (corrections-- > 0)
        (void)cursor_varint(&c[ROW_CORRECTIONS]);
    return constant;
}

static void
skip_ends(struct cursor *c, unsigned shape)
{
    if ((shape & SHAPE_ENDS) == 0) return;
    (void)cursor_varint(&c[ROW_RESETS]);
    if (shape & SHAPE_ENDS_RAW) {
        (void)cursor_bytes(&c[ROW_ENDS], 16);
    } else {
        (void)cursor_varint(&c[ROW_ENDS]);
        (void)cursor_varint(&c[ROW_ENDS]);
    }
}

/* A time column in the head of a group. */
struct time_column {
    struct page_place place;
    uint32_t count;
    int64_t min_ms;
    int64_t max_ms;
};

/* A page of values in the head of a group. */
struct values_page {
    uint64_t offset;
    uint64_t items;
};

/* The known part of the current row. */
enum row_known { KNOWN_NOTHING, KNOWN_PAIRS, KNOWN_COUNT, KNOWN_TIMES, KNOWN_BLOCKS };

struct row_reader {
    const struct part_index *index;
    struct budget *budget;
    const struct page *page;
    uint64_t offset;      /* offset of the page */
    uint32_t page_end;    /* first row of the next page */
    struct cursor groups; /* groups of the page after the current one */
    enum row_known known;

    /* The group, and its head. */
    uint32_t group_first;
    uint32_t group_rows;
    struct bytes columns[ROW_COLUMN_COUNT];
    bool head_is_read;
    struct buf time_columns; /* struct time_column */
    struct buf values_pages; /* struct values_page */
    uint64_t first_item_at;

    /* The stretch: its first row in the group, its beginning, and the length of the one before. */
    uint32_t stretch_row;
    struct cursor stretches;
    struct row_position place;
    struct row_position advance;
    struct buf stretch_pairs; /* pairs of its first row */

    /* The positions. Blocks are numbered within the stretch. */
    struct cursor c[ROW_COLUMN_COUNT];
    uint32_t pairs_rows; /* rows of the group whose pairs are read; the last is the current row */
    struct buf pairs;
    uint32_t counts_rows; /* rows of the group whose block counts are read */
    uint64_t first_block; /* first block of the last of these rows */
    uint64_t block_count;
    uint64_t times_blocks; /* blocks whose times are read */
    uint64_t time_index;   /* time index of the last one */
    uint64_t blocks_read;
    bool items_begun;
    uint64_t items; /* items of the group that are read */
    uint32_t next_values_page;
    uint64_t values_page; /* offset of the current page of values */
    uint64_t items_left;  /* items that follow in it */
    uint64_t item_at;     /* offset of the next item in it */

    struct buf blocks; /* struct block_ref, of the current row */
    struct buf labels;
    struct buf entries; /* u32: entries of the store, for the row */
    struct label_store store;
    bool wants_stale;
    struct stale_walk stale;
};

enum err
row_reader_new(const struct part_index *index, struct budget *budget, struct row_reader **ret)
{
    struct row_reader *r = mem_new(budget, sizeof *r);
    if (r == NULL) return ERR_NOMEM;
    r->index = index;
    r->budget = budget;
    struct buf *all[] = {&r->labels,       &r->entries,       &r->blocks,      &r->pairs,
                         &r->time_columns, &r->stretch_pairs, &r->values_pages};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        buf_init(all[i], budget, UINT32_MAX);
    label_store_init(&r->store, index, budget);
    *ret = r;
    return OK;
}

void
row_reader_free(struct row_reader *r)
{
    if (r == NULL) return;
    page_release(&r->index->part->source, r->page);
    stale_walk_fini(&r->stale, r->index->part);
    label_store_fini(&r->store);
    buf_fini(&r->labels);
    buf_fini(&r->entries);
    buf_fini(&r->blocks);
    buf_fini(&r->pairs);
    buf_fini(&r->stretch_pairs);
    buf_fini(&r->time_columns);
    buf_fini(&r->values_pages);
    mem_free(r->budget, r, sizeof *r);
}

static void
forget_page(struct row_reader *r)
{
    page_release(&r->index->part->source, r->page);
    r->page = NULL;
}

/* Labels that were read stay: pairs are numbered through the whole part. */
void
row_reader_move(struct row_reader *r, const struct part_index *index)
{
    assert(index->part == r->index->part);
    forget_page(r);
    r->index = r->store.index = index;
}

void
row_reader_want_stale(struct row_reader *r)
{
    r->wants_stale = true;
}

/* --- the head of a group ---------------------------------------------------------------------- */

static enum err
head_values(struct row_reader *r, struct cursor *c)
{
    uint64_t count = cursor_varint(c), offset = 0;
    if (count > cursor_left(c) / 2) return ERR_CORRUPT;
    buf_clear(&r->values_pages);
    for (uint64_t i = 0; i < count; i++) {
        offset += cursor_varint(c);
        struct values_page page = {offset, cursor_varint(c)};
        if (page.items == 0) return ERR_CORRUPT;
        buf_put(&r->values_pages, &page, sizeof page);
    }
    r->first_item_at = count > 0 ? cursor_varint(c) : 0;
    return c->bad || r->first_item_at > PAGE_BYTES_MAX ? ERR_CORRUPT : buf_error(&r->values_pages);
}

enum { TIME_COLUMN_BYTES_MIN = 6 };

static enum err
head_times(struct row_reader *r, struct cursor *c)
{
    uint64_t pages = cursor_varint(c);
    struct cursor first = *c;
    if (pages > cursor_left(c)) return ERR_CORRUPT;
    buf_clear(&r->labels); /* the offsets, for as long as the head is read */
    for (uint64_t i = 0, offset = 0; i < pages; i++) {
        offset += (uint64_t)cursor_zigzag(&first);
        buf_put_le64(&r->labels, offset);
    }
    *c = first;
    uint64_t count = cursor_varint(c), at = 0, min = 0, span = 0;
    if (count > cursor_left(c) / TIME_COLUMN_BYTES_MIN) return ERR_CORRUPT;
    buf_clear(&r->time_columns);
    for (uint64_t i = 0; i < count && buf_error(&r->labels) == OK; i++) {
        uint64_t page = cursor_varint(c);
        at += (uint64_t)cursor_zigzag(c);
        uint64_t size = cursor_varint(c), samples = cursor_varint(c);
        min += (uint64_t)cursor_zigzag(c);
        span += (uint64_t)cursor_zigzag(c);
        struct time_column t = {.count = (uint32_t)samples, .min_ms = (int64_t)min};
        t.max_ms = (int64_t)(min + span);
        if (c->bad || page >= pages || at > PAGE_BYTES_MAX || size > PAGE_BYTES_MAX ||
            samples == 0 || samples > CODEC_SAMPLES_MAX || t.max_ms < t.min_ms)
            return ERR_CORRUPT;
        uint64_t offset = load_le64(r->labels.at + page * 8);
        t.place = (struct page_place){offset, (uint32_t)at, (uint32_t)size};
        buf_put(&r->time_columns, &t, sizeof t);
        at += size;
    }
    return err_first(buf_error(&r->labels), buf_error(&r->time_columns));
}

/* --- pairs ------------------------------------------------------------------------------------ */

/* Turns the pairs in `buf` into those of a row that is written as differences to them. */
static enum err
change_pairs(const struct row_reader *r, struct buf *buf, uint64_t count, uint64_t mask,
             struct cursor *c)
{
    const struct part_tenant *t = r->index->tenant;
    uint32_t before = (uint32_t)(buf->size / sizeof(uint32_t));
    if (count > before + cursor_left(c)) return ERR_CORRUPT;
    if (count > before && !buf_reserve(buf, (count - before) * sizeof(uint32_t)))
        return buf_error(buf);
    buf->size = count * sizeof(uint32_t);
    uint32_t *pairs = (uint32_t *)(void *)buf->at;
    uint32_t last = t->first_pair;
    for (uint32_t i = 0; i < count; i++, mask >>= 1) {
        uint32_t from = i < before ? pairs[i] : last;
        if (i >= before || i >= ROW_MASK_BITS || (mask & 1) != 0)
            from += (uint32_t)cursor_zigzag(c);
        pairs[i] = last = from;
    }
    return c->bad ? ERR_CORRUPT : OK;
}

/*
 * Moves on until the pairs of `rows` rows of the group are read. Mostly each row has as many pairs
 * as the one before: then only pairs that changed are visited, with state in registers.
 */
static enum err
pairs_walk(struct row_reader *r, uint32_t rows)
{
    struct cursor counts = r->c[ROW_PAIR_COUNTS], masks = r->c[ROW_MASKS], c = r->c[ROW_PAIRS];
    enum err e = OK;
    while (r->pairs_rows < rows && e == OK) {
        uint32_t *pairs = (uint32_t *)(void *)r->pairs.at;
        uint64_t before = r->pairs.size / sizeof *pairs, count = before, mask = 0;
        uint32_t row = r->pairs_rows;
        for (bool alike = before <= ROW_MASK_BITS; alike && row < rows; row += alike) {
            count = cursor_varint(&counts);
            mask = cursor_varint(&masks);
            alike = count == before && mask >> before == 0;
            for (; alike && mask != 0; mask &= mask - 1)
                pairs[__builtin_ctzll(mask)] += (uint32_t)cursor_zigzag(&c);
        }
        r->pairs_rows = row;
        if (row == rows) break;
        if (before > ROW_MASK_BITS) {
            count = cursor_varint(&counts);
            mask = cursor_varint(&masks);
        }
        e = change_pairs(r, &r->pairs, count, mask, &c);
        r->pairs_rows++;
    }
    r->c[ROW_PAIR_COUNTS] = counts;
    r->c[ROW_MASKS] = masks;
    r->c[ROW_PAIRS] = c;
    return e;
}

static bool
pairs_make_sense(const struct row_reader *r)
{
    const struct part_tenant *t = r->index->tenant;
    const uint32_t *pairs = (const uint32_t *)(const void *)r->pairs.at;
    uint32_t count = (uint32_t)(r->pairs.size / sizeof *pairs);
    for (unsigned i = ROW_PAIR_COUNTS; i <= ROW_PAIRS; i++)
        if (r->c[i].bad) return false;
    if (count == 0) return true;
    for (uint32_t i = 1; i < count; i++)
        if (pairs[i] <= pairs[i - 1]) return false;
    return pairs[0] >= t->first_pair && pairs[count - 1] - t->first_pair < t->pair_count;
}

static enum err
copy_pairs(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    buf_put_bytes(to, buf_bytes(from));
    return buf_error(to);
}

/* --- stretches -------------------------------------------------------------------------------- */

static void
positions_begin(struct row_reader *r)
{
    for (unsigned i = ROW_PAIR_COUNTS; i < ROW_COLUMN_COUNT; i++) {
        r->c[i] = cursor_of(r->columns[i]);
        r->c[i].at += r->place.bytes[i];
    }
    r->counts_rows = r->stretch_row;
    r->first_block = r->block_count = 0;
    r->times_blocks = r->blocks_read = 0;
    r->time_index = r->place.time_index;
    r->items_begun = false;
    r->known = KNOWN_NOTHING;
}

/* Moves to the first row of the group. */
static enum err
group_restart(struct row_reader *r)
{
    r->stretch_row = 0;
    r->stretches = cursor_of(r->columns[ROW_STRETCHES]);
    r->place = r->advance = (struct row_position){0};
    positions_begin(r);
    buf_clear(&r->pairs);
    r->pairs_rows = 0;
    enum err e = pairs_walk(r, 1);
    return e ? e : copy_pairs(&r->stretch_pairs, &r->pairs);
}

static inline void
go_on(struct cursor *c, uint64_t *place, uint64_t *step)
{
    *step += (uint64_t)cursor_zigzag(c);
    *place += *step;
}

static bool
positions_are_at(const struct row_reader *r, unsigned first, unsigned end, const uint64_t *bytes)
{
    for (unsigned i = first; i < end; i++)
        if (r->c[i].at != r->columns[i].at + bytes[i]) return false;
    return true;
}

/* True if the positions that reached the end of a stretch are at `place`. */
static bool
stretch_ends_at(const struct row_reader *r, uint32_t row, const struct row_position *place)
{
    if (!positions_are_at(r, ROW_PAIR_COUNTS, ROW_BLOCK_COUNTS, place->bytes)) return false;
    if (r->counts_rows != row) return true;
    if (!positions_are_at(r, ROW_BLOCK_COUNTS, ROW_SHAPES, place->bytes)) return false;
    uint64_t end = r->first_block + r->block_count;
    if (r->times_blocks == end && (r->time_index != place->time_index ||
                                   !positions_are_at(r, ROW_TIMES, ROW_SIZES, place->bytes)))
        return false;
    if (r->blocks_read != end) return true;
    return positions_are_at(r, ROW_SHAPES, ROW_TIMES, place->bytes) &&
           positions_are_at(r, ROW_SIZES, ROW_COLUMN_COUNT, place->bytes) &&
           (end == 0 || (r->items == place->items && r->item_at == place->item_at));
}

/* At the end of a group all columns and items are used up. */
static bool
group_ends_well(const struct row_reader *r)
{
    const struct values_page *pages = (const void *)r->values_pages.at;
    struct row_position end = {.time_index = r->time_index, .item_at = r->item_at};
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        end.bytes[i] = r->columns[i].size;
    for (size_t i = 0; i < r->values_pages.size / sizeof *pages; i++)
        end.items += pages[i].items;
    return r->stretches.at == r->stretches.end && stretch_ends_at(r, r->group_rows, &end);
}

/* Moves on to the stretch that begins at `row`. */
static enum err
stretch_enter(struct row_reader *r, uint32_t row)
{
    bool at_end = r->pairs_rows == r->stretch_row + STRETCH_ROWS;
    while (r->stretch_row < row) {
        /* Reads where the next stretch begins; the positions do not move. */
        struct cursor *c = &r->stretches;
        for (unsigned i = ROW_PAIR_COUNTS; i < ROW_COLUMN_COUNT; i++) {
            go_on(c, &r->place.bytes[i], &r->advance.bytes[i]);
            if (r->place.bytes[i] > r->columns[i].size) return ERR_CORRUPT;
        }
        go_on(c, &r->place.time_index, &r->advance.time_index);
        go_on(c, &r->place.items, &r->advance.items);
        go_on(c, &r->place.item_at, &r->advance.item_at);
        r->stretch_row += STRETCH_ROWS;
        uint64_t count = cursor_varint(c), mask = cursor_varint(c);
        enum err e = c->bad ? ERR_CORRUPT : change_pairs(r, &r->stretch_pairs, count, mask, c);
        if (e) return e;
        if (at_end && !stretch_ends_at(r, r->stretch_row, &r->place)) return ERR_CORRUPT;
        at_end = false;
    }
    positions_begin(r);
    r->pairs_rows = r->stretch_row + 1;
    return copy_pairs(&r->pairs, &r->stretch_pairs);
}

/* Moves to a row of the group, and checks its pairs. */
static enum err
group_seek(struct row_reader *r, uint32_t row)
{
    enum err e = OK;
    if (row + 1 == r->pairs_rows && r->known >= KNOWN_PAIRS) return OK;
    if (row + 1 < r->pairs_rows) e = group_restart(r);
    uint32_t first = row - row % STRETCH_ROWS;
    if (e == OK && first > r->stretch_row) e = stretch_enter(r, first);
    if (e == OK) e = pairs_walk(r, row + 1);
    assert(e || r->pairs_rows == row + 1);            /* invariant 1 */
    assert(e || row - r->stretch_row < STRETCH_ROWS); /* invariant 1 */
    r->known = KNOWN_PAIRS;
    if (e == OK && !pairs_make_sense(r)) e = ERR_CORRUPT;
    return e;
}

/* --- blocks of a row -------------------------------------------------------------------------- */

/* Finds out which blocks of the stretch belong to the row. */
static enum err
count_blocks(struct row_reader *r)
{
    struct cursor *c = &r->c[ROW_BLOCK_COUNTS];
    while (r->counts_rows < r->pairs_rows) {
        r->first_block += r->block_count;
        r->block_count = cursor_varint(c);
        r->counts_rows++;
        if (r->block_count > r->columns[ROW_SHAPES].size) return ERR_CORRUPT; /* a byte each */
    }
    assert(r->counts_rows == r->pairs_rows); /* invariant 3 */
    r->known = KNOWN_COUNT;
    return c->bad ? ERR_CORRUPT : OK;
}

/* Reads the times of the row's blocks. */
static enum err
rows_read_times(struct row_reader *r)
{
    assert(r->known == KNOWN_COUNT); /* invariant 2 */
    enum err e = OK;
    if (!r->head_is_read) {
        struct cursor head = cursor_of(r->columns[ROW_HEAD]);
        e = head_values(r, &head);
        if (e == OK) e = head_times(r, &head);
        if (e == OK && (head.bad || head.at != head.end)) e = ERR_CORRUPT;
        r->head_is_read = e == OK;
    }
    if (e) return e;
    struct cursor *c = &r->c[ROW_TIMES];
    const struct time_column *all = (const void *)r->time_columns.at;
    uint64_t known = r->time_columns.size / sizeof *all;
    if (r->first_block - r->times_blocks > cursor_left(c)) return ERR_CORRUPT; /* a byte each */
    for (; r->times_blocks < r->first_block; r->times_blocks++)
        r->time_index += (uint64_t)cursor_zigzag(c);
    buf_clear(&r->blocks);
    if (r->block_count > cursor_left(c)) return ERR_CORRUPT;
    if (!buf_reserve(&r->blocks, r->block_count * sizeof(struct block_ref))) return ERR_NOMEM;
    struct block_ref *b = (struct block_ref *)(void *)r->blocks.at;
    for (uint64_t i = 0; i < r->block_count; i++, r->times_blocks++) {
        r->time_index += (uint64_t)cursor_zigzag(c);
        if (c->bad || r->time_index >= known) return ERR_CORRUPT;
        const struct time_column *t = &all[r->time_index];
        b[i] = (struct block_ref){.scale = SCALE_NONE,
                                  .count = t->count,
                                  .min_ms = t->min_ms,
                                  .max_ms = t->max_ms,
                                  .times = t->place};
    }
    r->blocks.size = r->block_count * sizeof *b;
    assert(r->times_blocks == r->first_block + r->block_count); /* invariant 3 */
    r->known = KNOWN_TIMES;
    return OK;
}

/* Finds the page of values with the first item of the stretch. */
static void
items_begin(struct row_reader *r)
{
    const struct values_page *pages = (const void *)r->values_pages.at;
    uint32_t count = (uint32_t)(r->values_pages.size / sizeof *pages), i = 0;
    uint64_t before = r->place.items;
    while (i < count && before >= pages[i].items)
        before -= pages[i++].items;
    r->items_begun = true;
    r->items = r->place.items;
    r->item_at = r->place.item_at;
    r->items_left = 0;
    r->next_values_page = i;
    if (before == 0 || i == count) return;
    r->values_page = pages[i].offset;
    r->items_left = pages[i].items - before;
    r->next_values_page++;
}

/* Gives the place of the next item in the pages of values. */
static bool
get_item(struct row_reader *r, struct page_place *ret_place)
{
    if (r->items_left == 0) {
        const struct values_page *pages = (const void *)r->values_pages.at;
        uint32_t count = (uint32_t)(r->values_pages.size / sizeof *pages);
        if (r->next_values_page == count) return false;
        r->item_at = r->next_values_page == 0 ? r->first_item_at : 0;
        r->values_page = pages[r->next_values_page].offset;
        r->items_left = pages[r->next_values_page++].items;
    }
    uint64_t size = cursor_varint(&r->c[ROW_SIZES]);
    if (size > PAGE_BYTES_MAX || r->item_at > PAGE_BYTES_MAX) return false;
    *ret_place = (struct page_place){r->values_page, (uint32_t)r->item_at, (uint32_t)size};
    r->items++;
    r->items_left--;
    r->item_at += size;
    return true;
}

static enum err
get_block(struct row_reader *r, struct block_ref *b)
{
    static const uint8_t codecs[] = {
        [SHAPE_FLOATS] = CODEC_FLOAT_V1,
        [SHAPE_INT_HISTOGRAMS] = CODEC_HISTOGRAM_V1,
        [SHAPE_FLOAT_HISTOGRAMS] = CODEC_HISTOGRAM_FLOAT_V1,
    };
    unsigned shape = cursor_u8(&r->c[ROW_SHAPES]), codec = shape & SHAPE_CODEC_MASK;
    const struct part *part = r->index->part;
    unsigned level = shape >> SHAPE_RESOLUTION_SHIFT;
    if (codec >= sizeof codecs || level > part->info.resolution_count) return ERR_CORRUPT;
    b->codec = codecs[codec];
    b->has_starts = shape & SHAPE_STARTS;
    if (level > 0) b->resolution_ms = part->info.resolutions[level - 1].resolution_ms;
    if (level > 0 && b->has_starts) return ERR_CORRUPT;
    if (codec == SHAPE_FLOATS) {
        if (!(get_stats(r->c, b) && get_ends(r->c, shape, b))) return ERR_CORRUPT;
    } else if ((shape & (SHAPE_ENDS | SHAPE_ENDS_RAW)) != 0) {
        return ERR_CORRUPT;
    }
    if (!b->is_constant && !get_item(r, &b->values)) return ERR_CORRUPT;
    if (block_has_third(b) && !get_item(r, &b->starts)) return ERR_CORRUPT;
    if (level > 0) b->has_stats = false; /* they are of the last samples */
    r->blocks_read++;
    return OK;
}

static enum err
skip_block(struct row_reader *r)
{
    struct page_place place;
    unsigned shape = cursor_u8(&r->c[ROW_SHAPES]);
    /* A constant has no values in a page. */
    bool constant = (shape & SHAPE_CODEC_MASK) == SHAPE_FLOATS && skip_stats(r->c);
    skip_ends(r->c, shape);
    if (!constant && !get_item(r, &place)) return ERR_CORRUPT;
    bool third = (shape & SHAPE_STARTS) || shape >> SHAPE_RESOLUTION_SHIFT > 0;
    if (third && !get_item(r, &place)) return ERR_CORRUPT;
    r->blocks_read++;
    return OK;
}

/* --- a row ------------------------------------------------------------------------------------ */

/* Begins a group whose number of rows was read: reads the sizes of its columns. */
static enum err
group_begin(struct row_reader *r, struct cursor c)
{
    uint64_t sizes[ROW_COLUMN_COUNT], all = 0, room = cursor_left(&c);
    for (unsigned i = 0; i + 1 < ROW_COLUMN_COUNT; i++) {
        sizes[i] = cursor_varint(&c);
        if (sizes[i] > room) cursor_fail(&c);
        all += sizes[i];
    }
    if (c.bad || all > cursor_left(&c)) return ERR_CORRUPT;
    sizes[ROW_COLUMN_COUNT - 1] = cursor_left(&c) - all;
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++)
        r->columns[i] = cursor_bytes(&c, sizes[i]);
    if (r->group_rows > sizes[ROW_BLOCK_COUNTS]) return ERR_CORRUPT; /* a byte each */
    r->head_is_read = false;
    return group_restart(r);
}

/* Sets the text of an error, after which the page is not used any more. */
static enum err
row_error(struct row_reader *r, enum err e, struct why *why)
{
    if (e == OK) return OK;
    if (e == ERR_CORRUPT) part_damaged(r->index->part, r->offset, "rows", why);
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for rows of a part");
    forget_page(r);
    return e;
}

enum err
row_seek(struct row_reader *r, uint32_t number, struct why *why)
{
    enum err e = OK;
    if (r->page == NULL || number < r->group_first || number >= r->page_end) {
        struct part *p = r->index->part;
        uint32_t first;
        forget_page(r);
        e = part_directory_find(p, &p->rows, number, &r->offset, &first, &r->page_end, why);
        if (e == OK) e = page_get(&p->source, r->offset, PAGE_ROWS, &r->page, why);
        if (e) return e;
        r->groups = (struct cursor){r->page->at, r->page->at + r->page->size, false};
        r->group_first = first;
        r->group_rows = 0;
    }
    while (e == OK && number - r->group_first >= r->group_rows) { /* moves on to its group */
        if (r->groups.at == r->groups.end) return row_error(r, ERR_CORRUPT, why);
        struct cursor group = cursor_of(cursor_counted(&r->groups));
        uint64_t rows = cursor_varint(&group);
        r->group_first += r->group_rows;
        if (r->groups.bad || group.bad || rows == 0 || rows > r->page_end - r->group_first)
            return row_error(r, ERR_CORRUPT, why);
        r->group_rows = (uint32_t)rows;
        if (number - r->group_first < rows) e = group_begin(r, group);
    }
    if (e == OK) e = group_seek(r, number - r->group_first);
    return row_error(r, e, why);
}

void
row_pairs(const struct row_reader *r, const uint32_t **ret_pairs, uint32_t *ret_count)
{
    *ret_pairs = (const uint32_t *)(const void *)r->pairs.at;
    *ret_count = (uint32_t)(r->pairs.size / sizeof(uint32_t));
}

enum err
row_blocks(struct row_reader *r, const struct block_ref **ret_blocks, uint32_t *ret_count,
           struct why *why)
{
    assert(r->page != NULL);         /* invariant 2 */
    assert(r->known >= KNOWN_PAIRS); /* invariant 2 */
    enum err e = r->known < KNOWN_COUNT ? count_blocks(r) : OK;
    if (e == OK && r->known < KNOWN_TIMES) e = rows_read_times(r);
    if (e == OK && r->known < KNOWN_BLOCKS) {
        assert(r->known == KNOWN_TIMES); /* invariant 2 */
        if (!r->items_begun) items_begin(r);
        while (r->blocks_read < r->first_block && e == OK)
            e = skip_block(r);
        struct block_ref *b = (struct block_ref *)(void *)r->blocks.at;
        for (uint64_t i = 0; i < r->block_count && e == OK; i++)
            e = get_block(r, &b[i]);
        for (unsigned i = ROW_SHAPES; i < ROW_COLUMN_COUNT && e == OK; i++)
            if (r->c[i].bad) e = ERR_CORRUPT;
        if (e == OK && r->pairs_rows == r->group_rows && !group_ends_well(r)) e = ERR_CORRUPT;
        r->known = KNOWN_BLOCKS;
        if (e == OK && r->wants_stale) {
            uint32_t number = r->group_first + r->pairs_rows - 1;
            e = stale_walk_set(&r->stale, r->index->part, number, b, (uint32_t)r->block_count, why);
            if (e) {
                forget_page(r);
                return e;
            }
        }
    }
    if (e) return row_error(r, e, why);
    *ret_blocks = (const struct block_ref *)(const void *)r->blocks.at;
    *ret_count = (uint32_t)(r->blocks.size / sizeof(struct block_ref));
    return OK;
}

enum err
row_meets(struct row_reader *r, int64_t min_ms, int64_t max_ms, bool *ret_meets, struct why *why)
{
    const struct part_info *info = part_info(r->index->part);
    assert(r->page != NULL); /* invariant 2 */
    enum err e = r->known < KNOWN_COUNT ? count_blocks(r) : OK;
    bool all = min_ms <= info->time.min_ms && info->time.max_ms <= max_ms;
    int64_t around = info->resolution_max_ms; /* a window reaches beyond the times of its row */
    if (min_ms >= INT64_MIN + around) min_ms -= around;
    if (max_ms <= INT64_MAX - around) max_ms += around;
    *ret_meets = all && r->block_count > 0;
    if (e == OK && !all && r->known < KNOWN_TIMES) e = rows_read_times(r);
    if (e) return row_error(r, e, why);
    const struct block_ref *b = (const struct block_ref *)(const void *)r->blocks.at;
    for (uint64_t i = 0; !all && !*ret_meets && i < r->block_count; i++)
        *ret_meets = b[i].max_ms >= min_ms && b[i].min_ms <= max_ms;
    return OK;
}

static enum err
rows_read_labels(struct row_reader *r, struct why *why)
{
    const uint32_t *pairs;
    uint32_t count;
    row_pairs(r, &pairs, &count);
    buf_clear(&r->labels);
    buf_clear(&r->entries);
    if (!buf_reserve(&r->entries, count * sizeof *pairs)) return buf_error(&r->entries);
    uint32_t *entries = (uint32_t *)(void *)r->entries.at;
    label_store_trim(&r->store);
    enum err e = label_store_note(&r->store, pairs, count, entries);
    if (e == OK) e = label_store_read(&r->store, why);
    return e ? e : label_store_put(&r->store, entries, count, &r->labels, why);
}

enum err
row_read(struct row_reader *r, uint32_t number, struct bytes *ret_labels,
         const struct block_ref **ret_blocks, uint32_t *ret_block_count, struct why *why)
{
    enum err e = row_seek(r, number, why);
    if (e == OK) e = row_blocks(r, ret_blocks, ret_block_count, why);
    if (e || ret_labels == NULL) return e;
    e = rows_read_labels(r, why);
    if (e == OK) *ret_labels = buf_bytes(&r->labels);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the labels of a series") : e;
}

enum err
row_find(struct row_reader *r, struct bytes labels, uint32_t *ret_number, struct why *why)
{
    uint32_t low = r->index->tenant->first_series, high = low + r->index->tenant->series_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        enum err e = row_seek(r, middle, why);
        if (e == OK) e = rows_read_labels(r, why);
        if (e) return e;
        int order = labels_compare(buf_bytes(&r->labels), labels);
        if (order == 0) {
            *ret_number = middle;
            return OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return ERR_MISSING;
}
