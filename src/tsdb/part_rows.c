/*
 * part_rows.c - the rows of a part, one for each series, and the blocks they name.
 */
#include <assert.h>
#include <inttypes.h>

#include "model/labels.h"
#include "tsdb/codec_histogram.h"
#include "tsdb/part_private.h"

/* --- rows ------------------------------------------------------------------------------------- */

enum { MEMO_SLOTS = 256, MEMO_STEP = 32, MEMO_BYTES_MAX = 512 };

/* A label recently decoded: rows next to each other share most of theirs. */
struct memo {
    uint32_t pair_plus_1;
    uint32_t size;
    uint32_t capacity;
    uint8_t *field;
};

/* What the head of a group says: the times of blocks, and where their values are. */
struct time_column {
    struct page_place place;
    uint32_t count;
    int64_t min_ms;
    int64_t max_ms;
};

struct values_page {
    uint64_t offset;
    uint64_t items;
};

struct row_reader {
    const struct part_index *index;
    struct budget *budget;
    const struct page *page;
    uint64_t offset; /* of the page */
    uint32_t next_number;
    uint32_t page_end;  /* first row of the next page */
    uint32_t group_end; /* behind the rows of the group at hand */

    /* Where it stands in each column of the group. */
    struct cursor columns[ROW_COLUMN_COUNT];
    struct buf time_columns; /* struct time_column */
    uint32_t time_index;     /* of the block before */
    struct buf values_pages; /* struct values_page */
    uint32_t next_values_page;
    uint64_t values_page; /* offset of the one at hand, */
    uint64_t items_left;  /* items in it that follow, */
    uint64_t item_at;     /* and where the next one is */

    struct buf labels;
    struct buf blocks; /* struct block_ref */
    struct buf pairs;
    struct buf field;
    struct value_walk values;
    struct memo memo[MEMO_SLOTS];
};

enum err
row_reader_new(const struct part_index *index, struct budget *budget, struct row_reader **ret)
{
    struct row_reader *r = mem_new(budget, sizeof *r);
    if (r == NULL) return ERR_NOMEM;
    r->index = index;
    r->budget = budget;
    buf_init(&r->labels, budget, PAGE_BYTES_MAX);
    buf_init(&r->blocks, budget, PAGE_BYTES_MAX);
    buf_init(&r->pairs, budget, PAGE_BYTES_MAX);
    buf_init(&r->field, budget, PAGE_BYTES_MAX);
    buf_init(&r->time_columns, budget, UINT32_MAX);
    buf_init(&r->values_pages, budget, UINT32_MAX);
    value_walk_init(&r->values, index->part, budget);
    *ret = r;
    return OK;
}

void
row_reader_free(struct row_reader *r)
{
    if (r == NULL) return;
    page_release(&r->index->part->source, r->page);
    value_walk_fini(&r->values);
    buf_fini(&r->labels);
    buf_fini(&r->blocks);
    buf_fini(&r->pairs);
    buf_fini(&r->field);
    buf_fini(&r->time_columns);
    buf_fini(&r->values_pages);
    for (unsigned i = 0; i < MEMO_SLOTS; i++) {
        mem_free(r->budget, r->memo[i].field, r->memo[i].capacity);
    }
    mem_free(r->budget, r, sizeof *r);
}

/* The label of a pair in r->field. */
static enum err
field_get(struct row_reader *r, uint32_t pair, struct why *why)
{
    const struct part_name *name = part_name_of_pair(r->index, pair);
    if (name == NULL) return part_damaged(r->index->part, r->offset, "rows", why);
    enum err e = value_walk_get(&r->values, pair, why);
    if (e) return e;
    buf_clear(&r->field);
    labels_put(&r->field, (struct label){name->name, buf_bytes(&r->values.value)});
    return buf_error(&r->field);
}

static enum err
memo_fill(struct row_reader *r, struct memo *m, uint32_t pair)
{
    m->pair_plus_1 = 0;
    if (m->capacity < r->field.size) {
        uint32_t capacity = (uint32_t)(r->field.size + MEMO_STEP);
        uint8_t *grown = mem_resize(r->budget, m->field, m->capacity, capacity);
        if (grown == NULL) return ERR_NOMEM;
        m->field = grown;
        m->capacity = capacity;
    }
    memcpy(m->field, r->field.at, r->field.size);
    m->size = (uint32_t)r->field.size;
    m->pair_plus_1 = pair + 1;
    return OK;
}

static enum err
put_pair(struct row_reader *r, uint32_t pair, struct why *why)
{
    struct memo *m = &r->memo[pair % MEMO_SLOTS];
    if (m->pair_plus_1 == pair + 1) {
        buf_put(&r->labels, m->field, m->size);
        return buf_error(&r->labels);
    }
    enum err e = field_get(r, pair, why);
    if (e == OK && r->field.size <= MEMO_BYTES_MAX) e = memo_fill(r, m, pair);
    if (e) return e;
    buf_put_bytes(&r->labels, buf_bytes(&r->field));
    return buf_error(&r->labels);
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
    r->next_values_page = 0;
    r->items_left = 0;
    r->item_at = count > 0 ? cursor_varint(c) : 0;
    return c->bad || r->item_at > PAGE_BYTES_MAX ? ERR_CORRUPT : buf_error(&r->values_pages);
}

enum { TIME_COLUMN_BYTES_MIN = 6 };

static enum err
head_times(struct row_reader *r, struct cursor *c)
{
    uint64_t pages = cursor_varint(c);
    struct cursor first = *c;
    if (pages > cursor_left(c)) return ERR_CORRUPT;
    buf_clear(&r->field); /* the offsets, for as long as the head is read */
    for (uint64_t i = 0, offset = 0; i < pages; i++) {
        offset += (uint64_t)cursor_zigzag(&first);
        buf_put_le64(&r->field, offset);
    }
    *c = first;
    uint64_t count = cursor_varint(c), at = 0, min = 0, span = 0;
    if (count > cursor_left(c) / TIME_COLUMN_BYTES_MIN) return ERR_CORRUPT;
    buf_clear(&r->time_columns);
    for (uint64_t i = 0; i < count && buf_error(&r->field) == OK; i++) {
        uint64_t page = cursor_varint(c);
        at += (uint64_t)cursor_zigzag(c);
        uint64_t size = cursor_varint(c), samples = cursor_varint(c);
        min += (uint64_t)cursor_zigzag(c);
        span += (uint64_t)cursor_zigzag(c);
        struct time_column t = {.count = (uint32_t)samples, .min_ms = (int64_t)min};
        t.max_ms = (int64_t)(min + span);
        if (c->bad || page >= pages || at > PAGE_BYTES_MAX || size > PAGE_BYTES_MAX ||
            samples == 0 || samples > CODEC_SAMPLES_MAX || t.max_ms < t.min_ms) {
            return ERR_CORRUPT;
        }
        uint64_t offset = load_le64(r->field.at + page * 8);
        t.place = (struct page_place){offset, (uint32_t)at, (uint32_t)size};
        buf_put(&r->time_columns, &t, sizeof t);
        at += size;
    }
    return err_first(buf_error(&r->field), buf_error(&r->time_columns));
}

/* The columns of a group whose number of rows was read. */
static enum err
group_begin(struct row_reader *r, struct cursor c, uint64_t rows)
{
    uint64_t sizes[ROW_COLUMN_COUNT], all = 0, room = cursor_left(&c);
    for (unsigned i = 0; i + 1 < ROW_COLUMN_COUNT; i++) {
        sizes[i] = cursor_varint(&c);
        if (sizes[i] > room) cursor_fail(&c);
        all += sizes[i];
    }
    if (c.bad || all > cursor_left(&c)) return ERR_CORRUPT;
    sizes[ROW_COLUMN_COUNT - 1] = cursor_left(&c) - all;
    for (unsigned i = 0; i < ROW_COLUMN_COUNT; i++) {
        r->columns[i] = cursor_of(cursor_bytes(&c, sizes[i]));
    }
    if (rows > cursor_left(&r->columns[ROW_PAIR_COUNTS])) return ERR_CORRUPT; /* a byte each */
    r->group_end = r->next_number + (uint32_t)rows;
    r->time_index = 0;
    buf_clear(&r->pairs);
    enum err e = head_values(r, &r->columns[ROW_HEAD]);
    return e ? e : head_times(r, &r->columns[ROW_HEAD]);
}

/* Stands at the first row of the group that has `number`. */
static enum err
find_group(struct row_reader *r, uint32_t number)
{
    struct cursor page = {r->page->at, r->page->at + r->page->size, false};
    while (page.at != page.end) {
        struct cursor group = cursor_of(cursor_counted(&page));
        uint64_t rows = cursor_varint(&group);
        if (page.bad || group.bad || rows == 0 || rows > r->page_end - r->next_number) break;
        if (number - r->next_number < rows) return group_begin(r, group, rows);
        r->next_number += (uint32_t)rows;
    }
    return ERR_CORRUPT;
}

/* --- blocks of a row -------------------------------------------------------------------------- */

/* The next item in the pages of values. */
static bool
get_item(struct row_reader *r, struct page_place *ret_place)
{
    if (r->items_left == 0) {
        const struct values_page *pages = (const void *)r->values_pages.at;
        uint32_t count = (uint32_t)(r->values_pages.size / sizeof *pages);
        if (r->next_values_page == count) return false;
        if (r->next_values_page > 0) r->item_at = 0;
        r->values_page = pages[r->next_values_page].offset;
        r->items_left = pages[r->next_values_page++].items;
    }
    uint64_t size = cursor_varint(&r->columns[ROW_SIZES]);
    if (size > PAGE_BYTES_MAX || r->item_at > PAGE_BYTES_MAX) return false;
    *ret_place = (struct page_place){r->values_page, (uint32_t)r->item_at, (uint32_t)size};
    r->items_left--;
    r->item_at += size;
    return true;
}

static double
corrected(unsigned e, int64_t k, int64_t correction)
{
    return bits_double(codec_decimal_bits(e, k) + (uint64_t)correction);
}

static void
get_raw_stats(struct cursor *columns, struct block_ref *b)
{
    struct codec_stats *s = &b->stats;
    b->k = cursor_zigzag(&columns[ROW_LEASTS]);
    s->min = bits_double(cursor_le64(&columns[ROW_RAW]));
    s->max = bits_double(cursor_le64(&columns[ROW_RAW]));
    s->sum = bits_double(cursor_le64(&columns[ROW_RAW]));
    uint64_t missing = cursor_varint(&columns[ROW_MISSING]);
    if (missing > b->count) cursor_fail(&columns[ROW_MISSING]);
    s->number_count = b->count - (uint32_t)missing;
}

static bool
get_scaled_stats(struct cursor *columns, unsigned scale, struct block_ref *b)
{
    struct codec_stats *s = &b->stats;
    unsigned e = scale & SCALE_EXPONENT_MASK;
    b->scale = (uint8_t)e;
    b->is_constant = scale & SCALE_CONSTANT;
    uint64_t missing = scale & SCALE_MISSING ? cursor_varint(&columns[ROW_MISSING]) : 0;
    /* Of a constant only the last may be missing: the staleness marker. */
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

static bool
get_stats(struct cursor *columns, struct block_ref *b)
{
    unsigned scale = cursor_u8(&columns[ROW_SCALES]);
    b->has_stats = true;
    b->scale = SCALE_NONE;
    if (scale == SCALE_RAW) {
        get_raw_stats(columns, b);
    } else if (scale == SCALE_NO_NUMBER) {
        b->stats = (struct codec_stats){__builtin_inf(), -__builtin_inf(), 0, 0};
    } else if ((scale & SCALE_RAW) == SCALE_RAW) {
        return false;
    } else {
        return get_scaled_stats(columns, scale, b);
    }
    return true;
}

static bool
get_times(struct row_reader *r, struct block_ref *b)
{
    const struct time_column *all = (const void *)r->time_columns.at;
    uint64_t index = r->time_index + (uint64_t)cursor_zigzag(&r->columns[ROW_TIMES]);
    if (index >= r->time_columns.size / sizeof *all) return false;
    const struct time_column *t = &all[index];
    r->time_index = (uint32_t)index;
    b->count = t->count;
    b->min_ms = t->min_ms;
    b->max_ms = t->max_ms;
    b->times = t->place;
    return true;
}

static enum err
get_block(struct row_reader *r)
{
    static const uint8_t codecs[] = {
        [SHAPE_FLOATS] = CODEC_FLOAT_V1,
        [SHAPE_INT_HISTOGRAMS] = CODEC_HISTOGRAM_V1,
        [SHAPE_FLOAT_HISTOGRAMS] = CODEC_HISTOGRAM_FLOAT_V1,
    };
    struct block_ref b = {.scale = SCALE_NONE};
    unsigned shape = cursor_u8(&r->columns[ROW_SHAPES]), codec = shape & SHAPE_CODEC_MASK;
    if (codec >= sizeof codecs || (shape & ~(SHAPE_CODEC_MASK | SHAPE_STARTS)) != 0 ||
        !get_times(r, &b)) {
        return ERR_CORRUPT;
    }
    b.codec = codecs[codec];
    b.has_starts = shape & SHAPE_STARTS;
    if (codec == SHAPE_FLOATS && !get_stats(r->columns, &b)) return ERR_CORRUPT;
    if (!b.is_constant && !get_item(r, &b.values)) return ERR_CORRUPT;
    if (b.has_starts && !get_item(r, &b.starts)) return ERR_CORRUPT;
    buf_put(&r->blocks, &b, sizeof b);
    return buf_error(&r->blocks);
}

/* --- a row ------------------------------------------------------------------------------------ */

/* Turns the pairs of the row before into those of this one. */
static enum err
get_pairs(struct row_reader *r)
{
    const struct part_tenant *t = r->index->tenant;
    struct cursor *c = &r->columns[ROW_PAIRS];
    uint64_t count = cursor_varint(&r->columns[ROW_PAIR_COUNTS]);
    uint64_t mask = cursor_varint(&r->columns[ROW_MASKS]);
    uint32_t before = (uint32_t)(r->pairs.size / sizeof(uint32_t));
    if (count > before + cursor_left(c)) return ERR_CORRUPT;
    if (count > before && !buf_reserve(&r->pairs, (count - before) * sizeof(uint32_t))) {
        return buf_error(&r->pairs);
    }
    r->pairs.size = count * sizeof(uint32_t);
    uint32_t *pairs = (uint32_t *)(void *)r->pairs.at;
    uint32_t last = 0;
    for (uint32_t i = 0; i < count; i++, mask >>= 1) {
        uint32_t pair = 0;
        if (i < before) pair = pairs[i];
        if (i >= before || i >= ROW_MASK_BITS || (mask & 1) != 0) {
            uint64_t from = i < before ? pair - t->first_pair : i == 0 ? 0 : last - t->first_pair;
            from += (uint64_t)cursor_zigzag(c);
            if (from >= t->pair_count) return ERR_CORRUPT;
            pair = t->first_pair + (uint32_t)from;
        }
        if (i > 0 && pair <= last) return ERR_CORRUPT;
        pairs[i] = last = pair;
    }
    return c->bad ? ERR_CORRUPT : OK;
}

static enum err
get_row(struct row_reader *r)
{
    buf_clear(&r->blocks);
    enum err e = get_pairs(r);
    if (e) return e;
    uint64_t blocks = cursor_varint(&r->columns[ROW_BLOCK_COUNTS]);
    if (blocks > cursor_left(&r->columns[ROW_SHAPES])) return ERR_CORRUPT;
    for (uint64_t i = 0; i < blocks && e == OK; i++) {
        e = get_block(r);
    }
    r->next_number++;
    for (unsigned i = 0; i < ROW_COLUMN_COUNT && e == OK; i++) {
        const struct cursor *c = &r->columns[i];
        if (c->bad || (r->next_number == r->group_end && c->at != c->end)) e = ERR_CORRUPT;
    }
    return e;
}

static enum err
row_enter(struct row_reader *r, uint32_t number, struct why *why)
{
    struct part *p = r->index->part;
    page_release(&p->source, r->page);
    r->page = NULL;
    enum err e =
        part_directory_find(p, &p->rows, number, &r->offset, &r->next_number, &r->page_end, why);
    if (e == OK) e = page_get(&p->source, r->offset, PAGE_ROWS, &r->page, why);
    if (e) return e;
    e = find_group(r, number);
    if (e == ERR_CORRUPT) return part_damaged(p, r->offset, "rows", why);
    return e ? why_set(why, e, "no memory for rows of a part") : OK;
}

enum err
row_read(struct row_reader *r, uint32_t number, struct bytes *ret_labels,
         const struct block_ref **ret_blocks, uint32_t *ret_block_count, struct why *why)
{
    enum err e = OK;
    if (r->page == NULL || number < r->next_number || number >= r->group_end) {
        e = row_enter(r, number, why);
    }
    while (e == OK && r->next_number <= number) {
        e = get_row(r);
        if (e == ERR_CORRUPT) e = part_damaged(r->index->part, r->offset, "rows", why);
        if (e == ERR_NOMEM) why_set(why, e, "no memory for a row of a part");
    }
    if (e) {
        page_release(&r->index->part->source, r->page);
        r->page = NULL;
        return e;
    }
    buf_clear(&r->labels);
    for (size_t i = 0; i < r->pairs.size && ret_labels != NULL; i += 4) {
        e = put_pair(r, load_le32(r->pairs.at + i), why);
        if (e == ERR_NOMEM) why_set(why, e, "no memory for the labels of a series");
        if (e) return e;
    }
    if (ret_labels != NULL) *ret_labels = buf_bytes(&r->labels);
    *ret_blocks = (const struct block_ref *)(const void *)r->blocks.at;
    *ret_block_count = (uint32_t)(r->blocks.size / sizeof(struct block_ref));
    return OK;
}

void
row_pairs(const struct row_reader *r, const uint32_t **ret_pairs, uint32_t *ret_count)
{
    *ret_pairs = (const uint32_t *)(const void *)r->pairs.at;
    *ret_count = (uint32_t)(r->pairs.size / sizeof(uint32_t));
}

/* Labels stay at hand: pairs are numbered through the whole part. */
void
row_reader_move(struct row_reader *r, const struct part_index *index)
{
    assert(index->part == r->index->part);
    page_release(&index->part->source, r->page);
    r->page = NULL;
    r->index = index;
}

/* --- blocks ----------------------------------------------------------------------------------- */

enum sample_kind
block_kind(const struct block_ref *block)
{
    return block->codec == CODEC_FLOAT_V1       ? SAMPLE_FLOAT
           : block->codec == CODEC_HISTOGRAM_V1 ? SAMPLE_HISTOGRAM_INT
                                                : SAMPLE_HISTOGRAM_FLOAT;
}

static enum err
bad_place(struct part *p, const struct page_place *place, struct why *why)
{
    return why_set(why, ERR_CORRUPT,
                   "%s: page at %" PRIu64 " is damaged: an item in it makes no sense",
                   p->source.file.path, place->page);
}

static enum err
place_get(struct part *p, const struct page_place *place, enum page_kind kind,
          const struct page **ret_page, struct bytes *ret_bytes, struct why *why)
{
    const struct page *page;
    enum err e = page_get(&p->source, place->page, kind, &page, why);
    if (e) return e;
    if (place->at > page->size || place->size > page->size - place->at) {
        page_release(&p->source, page);
        return bad_place(p, place, why);
    }
    *ret_page = page;
    *ret_bytes = bytes_of(page->at + place->at, place->size);
    return OK;
}

enum err
block_read_times(struct part *p, const struct block_ref *b, int64_t *ret_times, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    enum err e = place_get(p, &b->times, PAGE_TIMES, &page, &bytes, why);
    if (e) return e;
    e = codec_times_decode(bytes, b->count, ret_times);
    page_release(&p->source, page);
    if (e == OK && (ret_times[0] != b->min_ms || ret_times[b->count - 1] != b->max_ms)) {
        e = ERR_CORRUPT;
    }
    for (uint32_t i = 1; i < b->count && e == OK; i++) {
        if (ret_times[i] <= ret_times[i - 1]) e = ERR_CORRUPT;
    }
    return e == ERR_CORRUPT ? bad_place(p, &b->times, why) : e;
}

static enum err
read_values(struct part *p, const struct block_ref *b, uint64_t *ret_bits,
            struct histogram *ret_histograms, struct arena *arena, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    if (b->is_constant) {
        bool stale = b->stats.number_count < b->count;
        codec_constant_fill(b->scale, b->k, stale, b->count, ret_bits);
        return OK;
    }
    enum err e = place_get(p, &b->values, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    if (b->codec == CODEC_FLOAT_V1) {
        e = codec_float_decode_from(bytes, b->k, b->count, ret_bits);
    } else {
        e = codec_histogram_decode(bytes, b->count, arena, ret_histograms);
        if (e == OK && ret_histograms[0].kind != block_kind(b)) e = ERR_CORRUPT;
    }
    page_release(&p->source, page);
    if (e == ERR_LIMIT || e == ERR_NOMEM)
        return why_set(why, ERR_NOMEM, "no memory for histograms");
    return e == ERR_CORRUPT ? bad_place(p, &b->values, why) : e;
}

enum err
block_read(struct part *part, const struct block_ref *b, int64_t *ret_times, uint64_t *ret_bits,
           int64_t *ret_starts, struct histogram *ret_histograms, struct arena *arena,
           struct why *why)
{
    enum err e = block_read_times(part, b, ret_times, why);
    return e ? e : block_read_values(part, b, ret_bits, ret_starts, ret_histograms, arena, why);
}

enum err
block_read_values(struct part *part, const struct block_ref *b, uint64_t *ret_bits,
                  int64_t *ret_starts, struct histogram *ret_histograms, struct arena *arena,
                  struct why *why)
{
    enum err e = read_values(part, b, ret_bits, ret_histograms, arena, why);
    if (e || !b->has_starts) return e;
    const struct page *page;
    struct bytes bytes;
    e = place_get(part, &b->starts, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    struct cursor c = cursor_of(bytes);
    e = codec_int_decode(&c, b->count, ret_starts);
    if (e == OK && c.at != c.end) e = ERR_CORRUPT;
    page_release(&part->source, page);
    return e == ERR_CORRUPT ? bad_place(part, &b->starts, why) : e;
}

enum err
block_hold(struct part *part, const struct block_ref *b, struct block_bytes *ret_bytes,
           struct why *why)
{
    struct block_bytes x = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, NULL, NULL}};
    enum err e = place_get(part, &b->times, PAGE_TIMES, &x.pages[0], &x.times, why);
    if (e == OK && !b->is_constant) {
        e = place_get(part, &b->values, PAGE_VALUES, &x.pages[1], &x.values, why);
    }
    if (e == OK && b->has_starts) {
        e = place_get(part, &b->starts, PAGE_VALUES, &x.pages[2], &x.starts, why);
    }
    if (e) {
        block_release(part, &x);
        return e;
    }
    *ret_bytes = x;
    return OK;
}

void
block_release(struct part *part, const struct block_bytes *bytes)
{
    for (unsigned i = 0; i < 3; i++) {
        page_release(&part->source, bytes->pages[i]);
    }
}
