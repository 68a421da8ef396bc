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

struct row_reader {
    const struct part_index *index;
    struct budget *budget;
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t next_number;
    uint32_t page_end;
    int64_t last_ms;
    uint64_t last_times;
    uint64_t last_values;
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

static struct page_place
get_place(struct cursor *c, uint64_t *last_page)
{
    struct page_place place;
    place.page = *last_page + (uint64_t)cursor_zigzag(c);
    uint64_t at = cursor_varint(c), size = cursor_varint(c);
    if (at > PAGE_BYTES_MAX || size > PAGE_BYTES_MAX) cursor_fail(c);
    place.at = (uint32_t)at;
    place.size = (uint32_t)size;
    *last_page = place.page;
    return place;
}

static struct codec_stats
get_stats(struct cursor *c)
{
    uint64_t min = cursor_le64(c);
    uint64_t max = min ^ __builtin_bswap64(cursor_varint(c));
    uint64_t sum = cursor_le64(c);
    uint64_t count = cursor_varint(c);
    if (count > CODEC_SAMPLES_MAX) cursor_fail(c);
    return (struct codec_stats){bits_double(min), bits_double(max), bits_double(sum),
                                (uint32_t)count};
}

static enum err
get_block(struct row_reader *r)
{
    struct cursor *c = &r->c;
    struct block_ref b = {.codec = cursor_u8(c)};
    uint8_t flags = cursor_u8(c);
    uint64_t count = cursor_varint(c);
    b.min_ms = (int64_t)((uint64_t)r->last_ms + (uint64_t)cursor_zigzag(c));
    uint64_t span = cursor_varint(c);
    b.max_ms = (int64_t)((uint64_t)b.min_ms + span);
    r->last_ms = b.min_ms;
    b.times = get_place(c, &r->last_times);
    b.values = get_place(c, &r->last_values);
    b.has_starts = flags & 1;
    b.has_stats = flags & 2;
    if (b.has_starts) b.starts = get_place(c, &r->last_values);
    if (b.has_stats) b.stats = get_stats(c);
    b.count = (uint32_t)count;
    bool known = b.codec == CODEC_FLOAT_V1 || b.codec == CODEC_HISTOGRAM_V1 ||
                 b.codec == CODEC_HISTOGRAM_FLOAT_V1;
    if (c->bad || flags > 3 || count == 0 || (b.has_stats && b.stats.number_count > count) ||
        count > CODEC_SAMPLES_MAX || !known || b.max_ms < b.min_ms) {
        return ERR_CORRUPT;
    }
    buf_put(&r->blocks, &b, sizeof b);
    return buf_error(&r->blocks);
}

static enum err
get_pairs(struct row_reader *r)
{
    const struct part_tenant *t = r->index->tenant;
    uint64_t count = cursor_varint(&r->c), pair = 0;
    if (count > cursor_left(&r->c)) return ERR_CORRUPT;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t step = cursor_varint(&r->c);
        if (r->c.bad || step >= t->pair_count - pair || (i > 0 && step == 0)) return ERR_CORRUPT;
        pair += step;
        buf_put_le32(&r->pairs, t->first_pair + (uint32_t)pair);
    }
    return buf_error(&r->pairs);
}

static enum err
get_row(struct row_reader *r)
{
    buf_clear(&r->pairs);
    buf_clear(&r->blocks);
    enum err e = get_pairs(r);
    if (e) return e;
    uint64_t blocks = cursor_varint(&r->c);
    if (blocks > cursor_left(&r->c)) return ERR_CORRUPT;
    for (uint64_t i = 0; i < blocks && e == OK; i++) {
        e = get_block(r);
    }
    r->next_number++;
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
    r->c = (struct cursor){r->page->at, r->page->at + r->page->size, false};
    r->last_ms = 0;
    r->last_times = r->last_values = 0;
    return OK;
}

enum err
row_read(struct row_reader *r, uint32_t number, struct bytes *ret_labels,
         const struct block_ref **ret_blocks, uint32_t *ret_block_count, struct why *why)
{
    enum err e = OK;
    if (r->page == NULL || number < r->next_number || number >= r->page_end) {
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
    enum err e = place_get(p, &b->values, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    if (b->codec == CODEC_FLOAT_V1) {
        e = codec_float_decode(bytes, b->count, ret_bits);
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
    if (e == OK) e = read_values(part, b, ret_bits, ret_histograms, arena, why);
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
    if (e == OK) e = place_get(part, &b->values, PAGE_VALUES, &x.pages[1], &x.values, why);
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
