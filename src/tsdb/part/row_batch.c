/*
 * row_batch.c - rows of a part one after another, read ahead by the batch so that their labels
 * are read from pages of values together.
 *
 * A batch is rows with their pairs, and with their blocks if these are wanted. Labels are read for
 * as many rows as memory allows: mostly for all of the batch. Damage, or missing memory, is
 * returned when the row comes that it concerns.
 *
 * Invariants:
 *  1. at <= labels_end <= the number of rows in `known`: labels are read for rows before
 *     labels_end, rows before `at` were given.
 *  2. Ends of pairs and blocks ascend from row to row.
 *  3. Not more than range.rows_max rows are given.
 */
#include <assert.h>
#include <roaring/roaring.h>

#include "tsdb/part/remote.h"
#include "tsdb/part/walk.h"

enum {
    ROWS_FIRST = 16, /* rows of the first batch: callers that need few rows do not pay for many */
    ROWS_MAX = 2048,
    ROWS_GROWTH = 4,
    BLOCK_BYTES_MANY = 256 * 1024, /* a larger batch ends */
    PAIR_BYTES_MANY = 256 * 1024,
    BUNDLE_SAMPLES_MAX = 4096, /* a single block may have more */
    BUNDLE_BLOCKS_MAX = 1024,
};

struct batch_row {
    uint32_t number;
    uint32_t pairs_end; /* end of its pairs in `pairs` */
    uint32_t blocks_end;
};

struct row_batch {
    struct row_reader *rows;
    struct budget *budget;
    struct label_store store;
    struct row_range range;
    roaring_uint32_iterator_t next;
    uint32_t rows_max; /* rows of the next batch */
    uint32_t rows_left;

    struct buf known;   /* struct batch_row */
    struct buf pairs;   /* u32 */
    struct buf entries; /* u32: entries of the store for these pairs */
    struct buf blocks;
    uint32_t at;         /* the row to be given next */
    uint32_t labels_end; /* after the last row whose labels are read */
    uint32_t failed_number;
    enum err failed; /* error that ended the batch */
    struct why failed_why;
    struct buf labels;
};

enum err
row_batch_new(const struct part_index *index, const roaring_bitmap_t *series,
              const struct row_range *range, struct budget *budget, struct row_batch **ret_batch)
{
    struct row_batch *b = mem_new(budget, sizeof *b);
    enum err e = b == NULL ? ERR_NOMEM : row_reader_new(index, budget, &b->rows);
    if (e) {
        mem_free(budget, b, sizeof *b);
        return e;
    }
    b->budget = budget;
    label_store_init(&b->store, index, budget);
    b->range = *range;
    if (range->with_stale) row_reader_want_stale(b->rows);
    b->rows_max = part_is_remote(index->part) ? ROWS_MAX : ROWS_FIRST;
    b->rows_left = range->rows_max == 0 ? UINT32_MAX : range->rows_max;
    roaring_init_iterator(series, &b->next);
    buf_init(&b->known, budget, UINT32_MAX);
    buf_init(&b->pairs, budget, UINT32_MAX);
    buf_init(&b->entries, budget, UINT32_MAX);
    buf_init(&b->blocks, budget, UINT32_MAX);
    buf_init(&b->labels, budget, PAGE_BYTES_MAX);
    *ret_batch = b;
    return OK;
}

void
row_batch_free(struct row_batch *b)
{
    if (b == NULL) return;
    row_reader_free(b->rows);
    label_store_fini(&b->store);
    buf_fini(&b->known);
    buf_fini(&b->pairs);
    buf_fini(&b->entries);
    buf_fini(&b->blocks);
    buf_fini(&b->labels);
    mem_free(b->budget, b, sizeof *b);
}

/* --- rows ------------------------------------------------------------------------------------- */

/* The number of blocks that make a bundle with the first one, which may be bundled. */
static uint32_t
bundle_end(const struct block_ref *blocks, uint32_t count)
{
    uint32_t i = 1, samples = blocks[0].count;
    while (i < count && i < BUNDLE_BLOCKS_MAX && blocks[i].codec == blocks[0].codec &&
           blocks[i].resolution_ms == 0 && samples + blocks[i].count <= BUNDLE_SAMPLES_MAX)
        samples += blocks[i++].count;
    return i;
}

static enum err
add_blocks(struct row_batch *b, struct why *why)
{
    const struct block_ref *blocks;
    uint32_t count;
    enum err e = row_blocks(b->rows, &blocks, &count, why);
    for (uint32_t i = 0, end; i < count && e == OK; i = end) {
        bool bundles = b->range.with_bundles &&
                       (block_kind(&blocks[i]) != SAMPLE_FLOAT && blocks[i].resolution_ms == 0);
        end = bundles ? i + bundle_end(blocks + i, count - i) : i + 1;
        bool whole =
            blocks[i].min_ms >= b->range.min_ms && blocks[end - 1].max_ms <= b->range.max_ms;
        for (uint32_t k = i; k < end; k++) {
            struct time_range span = block_span(&blocks[k]);
            if (span.max_ms < b->range.min_ms || span.min_ms > b->range.max_ms) continue;
            struct block_ref block = blocks[k];
            block.number = k;
            block.bundled = bundles && whole && k == i ? (uint16_t)(end - i) : 0;
            buf_put(&b->blocks, &block, sizeof block);
        }
        e = buf_error(&b->blocks);
    }
    return e;
}

static enum err
add_row(struct row_batch *b, uint32_t number, struct why *why)
{
    bool meets;
    const uint32_t *pairs;
    uint32_t count;
    enum err e = row_seek(b->rows, number, why);
    if (e == OK) e = row_meets(b->rows, b->range.min_ms, b->range.max_ms, &meets, why);
    if (e || !meets) return e;
    size_t blocks_before = b->blocks.size;
    if (b->range.with_blocks) e = add_blocks(b, why);
    /* If the times in the part's root are wrong, the row may have no block in the range. */
    if (e || (b->range.with_blocks && b->blocks.size == blocks_before)) return e;
    row_pairs(b->rows, &pairs, &count);
    buf_put(&b->pairs, pairs, count * sizeof *pairs);
    if (buf_error(&b->pairs)) return buf_error(&b->pairs);
    struct batch_row row = {number, (uint32_t)(b->pairs.size / sizeof *pairs),
                            (uint32_t)(b->blocks.size / sizeof(struct block_ref))};
    buf_put(&b->known, &row, sizeof row);
    return buf_error(&b->known);
}

/* --- labels ----------------------------------------------------------------------------------- */

static const struct batch_row *
row_at(const struct row_batch *b, uint32_t index)
{
    return (const struct batch_row *)(const void *)b->known.at + index;
}

static uint32_t
pairs_begin(const struct row_batch *b, uint32_t index)
{
    return index == 0 ? 0 : row_at(b, index - 1)->pairs_end;
}

/* Most pairs of a row are those of the row before. */
static enum err
note_labels(struct row_batch *b, uint32_t from, uint32_t to)
{
    const uint32_t *pairs = (const uint32_t *)(const void *)b->pairs.at;
    uint32_t *entries = (uint32_t *)(void *)b->entries.at;
    uint32_t begin = pairs_begin(b, from), before = begin, before_count = 0;
    for (uint32_t i = from; i < to; i++) {
        uint32_t end = row_at(b, i)->pairs_end;
        for (uint32_t p = begin; p < end; p++) {
            uint32_t at = p - begin;
            if (at < before_count && pairs[before + at] == pairs[p]) {
                entries[p] = entries[before + at];
                continue;
            }
            enum err e = label_store_note(&b->store, pairs + p, 1, entries + p);
            if (e) return e;
        }
        before = begin;
        before_count = end - begin;
        begin = end;
    }
    return OK;
}

/* Reads labels of as many rows as possible, from the next on: fewer after an error, down to one. */
static enum err
take_labels(struct row_batch *b, struct why *why)
{
    uint32_t count = (uint32_t)(b->known.size / sizeof(struct batch_row)) - b->at;
    buf_clear(&b->entries);
    if (!buf_reserve(&b->entries, b->pairs.size))
        return why_set(why, ERR_NOMEM, "not enough memory for the labels of series");
    for (;; count = (count + 1) / 2) {
        label_store_trim(&b->store);
        enum err e = note_labels(b, b->at, b->at + count);
        if (e) why_set(why, e, "not enough memory for the labels of series");
        if (e == OK) e = label_store_read(&b->store, why);
        if (e == OK) b->labels_end = b->at + count;
        if (e == OK || count == 1) return e;
        label_store_forget(&b->store);
    }
}

bool
row_batch_pass(struct row_batch *b)
{
    struct part *part = b->store.index->part;
    uint64_t offset;
    uint32_t first, next;
    if (b->at < b->known.size / sizeof(struct batch_row)) { /* the labels of this row are damaged */
        b->labels_end = ++b->at;
        label_store_forget(&b->store); /* so that they are not read again */
        return true;
    }
    enum err e =
        part_directory_find(part, &part->rows, b->failed_number, &offset, &first, &next, NULL);
    if (e) return false;
    b->failed = OK;
    (void)roaring_move_uint32_iterator_equalorlarger(&b->next, next);
    return true;
}

static bool
is_used_up(const struct row_batch *b)
{
    return b->at == b->known.size / sizeof(struct batch_row);
}

/* Reads the next rows. */
static void
fill_batch(struct row_batch *b)
{
    /* A row that fails may leave pairs and blocks; `known` does not name them. */
    buf_clear(&b->known);
    buf_clear(&b->pairs);
    buf_clear(&b->blocks);
    b->at = b->labels_end = 0;
    uint32_t rows_max = b->rows_max < b->rows_left ? b->rows_max : b->rows_left;
    size_t most = rows_max * sizeof(struct batch_row);
    while (b->next.has_value && b->failed == OK && b->known.size < most &&
           b->blocks.size < BLOCK_BYTES_MANY && b->pairs.size < PAIR_BYTES_MANY) {
        uint32_t number = b->next.current_value;
        b->failed_why.text[0] = '\0';
        b->failed_number = number;
        b->failed = add_row(b, number, &b->failed_why);
        roaring_advance_uint32_iterator(&b->next);
    }
    assert(b->known.size / sizeof(struct batch_row) <= b->rows_left); /* invariant 3 */
    b->rows_left -= (uint32_t)(b->known.size / sizeof(struct batch_row));
    if (b->failed == ERR_LIMIT) b->failed = ERR_NOMEM;
    if (b->failed == ERR_NOMEM && b->failed_why.text[0] == '\0')
        why_set(&b->failed_why, ERR_NOMEM, "not enough memory for rows of a part");
    b->rows_max = b->rows_max * ROWS_GROWTH > ROWS_MAX ? ROWS_MAX : b->rows_max * ROWS_GROWTH;
}

void
part_want_index(struct part *part, struct wanted_chunks *wanted)
{
    remote_want_tail(wanted, &part->source);
}

void
row_batch_want_rows(struct row_batch *b, struct wanted_chunks *wanted)
{
    struct part *part = b->store.index->part;
    roaring_uint32_iterator_t it = b->next;
    uint64_t offset;
    uint32_t first, next;
    for (uint32_t rows = 0; it.has_value && rows < b->rows_max; rows++) {
        if (part_directory_find(part, &part->rows, it.current_value, &offset, &first, &next, NULL))
            break;
        remote_want_page(wanted, &part->source, offset);
        if (!roaring_move_uint32_iterator_equalorlarger(&it, next)) break;
    }
}

void
row_batch_want_blocks(struct row_batch *b, struct wanted_chunks *wanted)
{
    struct page_source *s = &b->store.index->part->source;
    if (is_used_up(b) && b->failed == OK) fill_batch(b);
    uint32_t count = (uint32_t)(b->known.size / sizeof(struct batch_row));
    uint32_t end = count == 0 ? 0 : row_at(b, count - 1)->blocks_end;
    const struct block_ref *blocks = (const struct block_ref *)(const void *)b->blocks.at;
    for (uint32_t i = 0; i < end; i++) {
        remote_want_page(wanted, s, blocks[i].times.page);
        if (!blocks[i].is_constant) remote_want_page(wanted, s, blocks[i].values.page);
        if (block_has_third(&blocks[i])) remote_want_page(wanted, s, blocks[i].starts.page);
    }
}

/* Reads the next rows of a part in a bucket, whose pages are fetched before. */
static void
fill_remote_batch(struct row_batch *b)
{
    struct wanted_chunks wanted = {.budget = b->budget};
    row_batch_want_rows(b, &wanted);
    remote_fetch_wanted(&wanted);
    row_batch_want_blocks(b, &wanted);
    remote_fetch_wanted(&wanted);
}

enum err
row_batch_next(struct row_batch *b, struct row_of_batch *ret_row, struct why *why)
{
    if (is_used_up(b) && b->failed == OK) {
        if (part_is_remote(b->store.index->part))
            fill_remote_batch(b);
        else
            fill_batch(b);
    }
    if (b->at == b->known.size / sizeof(struct batch_row)) {
        *ret_row = (struct row_of_batch){.labels = {NULL, 0}};
        if (b->failed && why != NULL) *why = b->failed_why;
        return b->failed;
    }
    enum err e = b->at < b->labels_end ? OK : take_labels(b, why);
    if (e) return e;
    assert(b->at < b->labels_end);                                     /* invariant 1 */
    assert(b->labels_end <= b->known.size / sizeof(struct batch_row)); /* invariant 1 */
    const struct batch_row *row = row_at(b, b->at);
    uint32_t first = pairs_begin(b, b->at), first_block = b->at == 0 ? 0 : row[-1].blocks_end;
    assert(row->blocks_end >= first_block); /* invariant 2 */
    struct row_of_batch given = {row->number, .block_count = row->blocks_end - first_block};
    if (given.block_count > 0)
        given.blocks = (const struct block_ref *)(const void *)b->blocks.at + first_block;
    buf_clear(&b->labels);
    if (row->pairs_end > first) {
        const uint32_t *entries = (const uint32_t *)(const void *)b->entries.at + first;
        e = label_store_put(&b->store, entries, row->pairs_end - first, &b->labels, why);
        if (e) return e;
    }
    given.labels = buf_bytes(&b->labels);
    if (given.labels.at == NULL) given.labels.at = (const uint8_t *)""; /* NULL is the end */
    *ret_row = given;
    b->at++;
    return OK;
}
