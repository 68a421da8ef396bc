/*
 * histogram.c - blocks of histograms. Format: docs/format/codec.md.
 *
 * A bucket over time is a counter like any other, so integer histograms are written as columns of
 * absolute counts (differences between neighbouring buckets, the form on the wire, would change
 * twice per observation). The total count is normally the sum of zero bucket and buckets, so its
 * column is the difference to that sum: two bytes. Everything is mod 2^64: exact even for counts
 * that make no sense.
 */
#include "tsdb/codec/codec.h"

#include <assert.h>

#include "model/histogram.h"
#include "tsdb/codec/codec_private.h"

enum {
    FLAG_FLOAT = 1,
    FLAG_ONE_HINT = 2,
    HINT_SHIFT = 2, /* shift of the hint that all have */
    FLAGS_MASK = 15,

    COLUMN_BYTES_MIN = 1,
    SPAN_BYTES_MIN = 2,
};

bool
codec_histogram_fits(const struct histogram *h, uint32_t count)
{
    if (count == 0 || count > CODEC_SAMPLES_MAX) return false;
    if (h->positive.bucket_count > HISTOGRAM_BUCKETS_MAX) return false;
    if (h->negative.bucket_count > HISTOGRAM_BUCKETS_MAX) return false;
    if (h->positive.span_count > HISTOGRAM_BUCKETS_MAX) return false;
    if (h->negative.span_count > HISTOGRAM_BUCKETS_MAX) return false;
    if (h->custom_count > HISTOGRAM_BUCKETS_MAX) return false;
    uint64_t buckets = (uint64_t)h->positive.bucket_count + h->negative.bucket_count;
    return buckets * count <= CODEC_HISTOGRAM_CELLS_MAX;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
put_spans(struct buf *out, const struct hist_buckets *side)
{
    uint64_t buckets = 0;
    buf_put_varint(out, side->span_count);
    for (uint32_t i = 0; i < side->span_count; i++) {
        buf_put_zigzag(out, side->spans[i].offset);
        buf_put_varint(out, side->spans[i].length);
        buckets += side->spans[i].length;
    }
    assert(buckets == side->bucket_count);
}

/* `column` is scratch->column, `total` scratch->k: writing integers touches neither. */
static void
put_integer_side(struct codec_scratch *scratch, const struct histogram *h, uint32_t count,
                 size_t side_offset, struct buf *out)
{
    uint64_t *column = (uint64_t *)scratch->column, *total = (uint64_t *)scratch->k;
    memset(column, 0, count * sizeof *column);
    const struct hist_buckets *first = (const void *)((const char *)h + side_offset);
    for (uint32_t bucket = 0; bucket < first->bucket_count; bucket++) {
        for (uint32_t i = 0; i < count; i++) {
            const struct hist_buckets *side = (const void *)((const char *)&h[i] + side_offset);
            column[i] += (uint64_t)side->deltas[bucket];
            total[i] += column[i];
        }
        codec_int_encode(scratch, scratch->column, count, out);
    }
}

static void
put_float_side(struct codec_scratch *scratch, const struct histogram *h, uint32_t count,
               size_t side_offset, struct buf *out)
{
    uint64_t *column = (uint64_t *)scratch->column;
    const struct hist_buckets *first = (const void *)((const char *)h + side_offset);
    for (uint32_t bucket = 0; bucket < first->bucket_count; bucket++) {
        for (uint32_t i = 0; i < count; i++) {
            const struct hist_buckets *side = (const void *)((const char *)&h[i] + side_offset);
            column[i] = side->counts[bucket];
        }
        codec_float_encode(scratch, column, count, out);
    }
}

void
codec_histogram_encode(struct codec_scratch *scratch, const struct histogram *h, uint32_t count,
                       struct buf *out)
{
    assert(codec_histogram_fits(h, count));
    size_t size_before = out->size;
    bool is_float = h->kind == SAMPLE_HISTOGRAM_FLOAT;
    bool same_hint = true;
    for (uint32_t i = 1; i < count; i++)
        same_hint &= h[i].reset_hint == h[0].reset_hint;
    unsigned flags = is_float ? FLAG_FLOAT : 0;
    if (same_hint) flags |= FLAG_ONE_HINT | (unsigned)h->reset_hint << HINT_SHIFT;
    buf_put_u8(out, (uint8_t)flags);
    buf_put_zigzag(out, h->schema);
    codec_float_encode(scratch, &h->zero_threshold_bits, 1, out);
    put_spans(out, &h->positive);
    put_spans(out, &h->negative);
    /* A float column longer than a block: in pieces. */
    buf_put_varint(out, h->custom_count);
    for (uint32_t at = 0; at < h->custom_count; at += CODEC_SAMPLES_MAX) {
        uint32_t piece =
            h->custom_count - at < CODEC_SAMPLES_MAX ? h->custom_count - at : CODEC_SAMPLES_MAX;
        codec_float_encode(scratch, h->custom_bits + at, piece, out);
    }
    if (!same_hint) {
        for (uint32_t i = 0; i < count; i++)
            scratch->column[i] = h[i].reset_hint;
        codec_int_encode(scratch, scratch->column, count, out);
    }
    for (uint32_t i = 0; i < count; i++) {
        assert(i == 0 || histogram_same_layout(h, &h[i]));
        scratch->column[i] = (int64_t)h[i].sum_bits;
    }
    codec_float_encode(scratch, (const uint64_t *)scratch->column, count, out);
    if (is_float) {
        uint64_t *column = (uint64_t *)scratch->column;
        for (uint32_t i = 0; i < count; i++)
            column[i] = h[i].zero_count;
        codec_float_encode(scratch, column, count, out);
        put_float_side(scratch, h, count, offsetof(struct histogram, positive), out);
        put_float_side(scratch, h, count, offsetof(struct histogram, negative), out);
        for (uint32_t i = 0; i < count; i++)
            column[i] = h[i].count;
        codec_float_encode(scratch, column, count, out);
    } else {
        uint64_t *total = (uint64_t *)scratch->k;
        for (uint32_t i = 0; i < count; i++)
            total[i] = h[i].zero_count;
        codec_int_encode(scratch, scratch->k, count, out);
        put_integer_side(scratch, h, count, offsetof(struct histogram, positive), out);
        put_integer_side(scratch, h, count, offsetof(struct histogram, negative), out);
        for (uint32_t i = 0; i < count; i++)
            total[i] = h[i].count - total[i];
        codec_int_encode(scratch, scratch->k, count, out);
    }
    if (buf_error(out)) out->size = size_before;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A block being read. */
struct histogram_reading {
    struct cursor cursor;
    uint32_t count;
    struct arena *arena;
    struct histogram *histograms;
    uint64_t *column; /* `count` items each */
    uint64_t *previous;
    uint64_t *total;
};

/* Allocates `count` items; NULL if `count` is 0. */
static enum err
histogram_alloc(struct arena *arena, uint64_t count, size_t item_bytes, void **ret_memory)
{
    *ret_memory = NULL;
    if (count == 0) return OK;
    *ret_memory = arena_alloc(arena, count * item_bytes);
    return *ret_memory == NULL ? ERR_LIMIT : OK;
}

static enum err
read_spans(struct cursor *cursor, struct arena *arena, struct hist_buckets *ret_side)
{
    uint64_t span_count = cursor_varint(cursor);
    if (span_count > HISTOGRAM_BUCKETS_MAX) return ERR_CORRUPT;
    if (span_count > cursor_left(cursor) / SPAN_BYTES_MIN) return ERR_CORRUPT;
    void *memory;
    enum err e = histogram_alloc(arena, span_count, sizeof(struct hist_span), &memory);
    if (e) return e;
    struct hist_span *spans = memory;
    uint64_t buckets = 0;
    for (uint64_t i = 0; i < span_count; i++) {
        int64_t offset = cursor_zigzag(cursor);
        uint64_t length = cursor_varint(cursor);
        if (offset < INT32_MIN || offset > INT32_MAX) return ERR_CORRUPT;
        if (length > HISTOGRAM_BUCKETS_MAX) return ERR_CORRUPT;
        buckets += length;
        if (buckets > HISTOGRAM_BUCKETS_MAX) return ERR_CORRUPT;
        spans[i] = (struct hist_span){(int32_t)offset, (uint32_t)length};
    }
    *ret_side = (struct hist_buckets){
        .spans = spans, .span_count = (uint32_t)span_count, .bucket_count = (uint32_t)buckets};
    return cursor->bad ? ERR_CORRUPT : OK;
}

/* The first histogram gets the layout. */
static enum err
read_layout(struct histogram_reading *reading, struct histogram *h)
{
    struct cursor *cursor = &reading->cursor;
    int64_t schema = cursor_zigzag(cursor);
    if (schema < INT32_MIN || schema > INT32_MAX) return ERR_CORRUPT;
    h->schema = (int32_t)schema;
    enum err e = codec_float_read(cursor, 0, 1, &h->zero_threshold_bits);
    if (e) return e;
    e = read_spans(cursor, reading->arena, &h->positive);
    if (e) return e;
    e = read_spans(cursor, reading->arena, &h->negative);
    if (e) return e;
    uint64_t count = cursor_varint(cursor);
    if (cursor->bad || count > HISTOGRAM_BUCKETS_MAX) return ERR_CORRUPT;
    void *memory;
    e = histogram_alloc(reading->arena, count, sizeof(uint64_t), &memory);
    uint64_t *bounds = memory;
    for (uint64_t at = 0; at < count && e == OK; at += CODEC_SAMPLES_MAX) {
        uint64_t piece = count - at < CODEC_SAMPLES_MAX ? count - at : CODEC_SAMPLES_MAX;
        e = codec_float_read(cursor, 0, (uint32_t)piece, bounds + at);
    }
    if (e) return e;
    h->custom_bits = bounds;
    h->custom_count = (uint32_t)count;
    /* Arithmetic on histograms relies on ascending indexes and finite thresholds. */
    return histogram_check_layout(h, NULL) ? ERR_CORRUPT : OK;
}

/* Reads the buckets of one sign: columns become rows, absolute counts become deltas. */
static enum err
read_integer_side(struct histogram_reading *reading, uint32_t bucket_count, uint64_t *cells)
{
    memset(reading->previous, 0, reading->count * sizeof *reading->previous);
    for (uint32_t bucket = 0; bucket < bucket_count; bucket++) {
        uint64_t *column = reading->column;
        enum err e = codec_int_decode(&reading->cursor, reading->count, (int64_t *)column);
        if (e) return e;
        for (uint32_t i = 0; i < reading->count; i++) {
            cells[(size_t)i * bucket_count + bucket] = column[i] - reading->previous[i];
            reading->total[i] += column[i];
        }
        reading->column = reading->previous;
        reading->previous = column;
    }
    return OK;
}

static enum err
read_float_side(struct histogram_reading *reading, uint32_t bucket_count, uint64_t *cells)
{
    for (uint32_t bucket = 0; bucket < bucket_count; bucket++) {
        enum err e = codec_float_read(&reading->cursor, 0, reading->count, reading->column);
        if (e) return e;
        for (uint32_t i = 0; i < reading->count; i++)
            cells[(size_t)i * bucket_count + bucket] = reading->column[i];
    }
    return OK;
}

static enum err
read_side(struct histogram_reading *reading, bool is_float, uint32_t bucket_count,
          uint64_t **ret_cells)
{
    void *cells;
    enum err e = histogram_alloc(reading->arena, (uint64_t)bucket_count * reading->count,
                                 sizeof(uint64_t), &cells);
    if (e) return e;
    *ret_cells = cells;
    return is_float ? read_float_side(reading, bucket_count, cells)
                    : read_integer_side(reading, bucket_count, cells);
}

static enum err
read_count_column(struct histogram_reading *reading, bool is_float)
{
    if (is_float) return codec_float_read(&reading->cursor, 0, reading->count, reading->column);
    return codec_int_decode(&reading->cursor, reading->count, (int64_t *)reading->column);
}

/* Reads zero bucket, buckets of both signs, and the count, which is last because it needs their
 * sum. */
static enum err
read_counts(struct histogram_reading *reading, bool is_float)
{
    struct histogram *h = reading->histograms;
    enum err e = read_count_column(reading, is_float);
    if (e) return e;
    for (uint32_t i = 0; i < reading->count; i++) {
        h[i].zero_count = reading->column[i];
        reading->total[i] = is_float ? 0 : reading->column[i];
    }
    uint64_t *positive, *negative;
    uint32_t positive_count = h->positive.bucket_count, negative_count = h->negative.bucket_count;
    e = read_side(reading, is_float, positive_count, &positive);
    if (e) return e;
    e = read_side(reading, is_float, negative_count, &negative);
    if (e) return e;
    e = read_count_column(reading, is_float);
    if (e) return e;
    for (uint32_t i = 0; i < reading->count; i++) {
        h[i].count = reading->column[i] + reading->total[i];
        const uint64_t *up = positive_count > 0 ? positive + (size_t)i * positive_count : NULL;
        const uint64_t *down = negative_count > 0 ? negative + (size_t)i * negative_count : NULL;
        h[i].positive.counts = is_float ? up : NULL;
        h[i].negative.counts = is_float ? down : NULL;
        h[i].positive.deltas = is_float ? NULL : (const int64_t *)up;
        h[i].negative.deltas = is_float ? NULL : (const int64_t *)down;
    }
    return OK;
}

static enum err
read_columns(struct histogram_reading *reading, unsigned flags)
{
    struct histogram *h = reading->histograms;
    void *memory;
    enum err e =
        histogram_alloc(reading->arena, 3 * (uint64_t)reading->count, sizeof(uint64_t), &memory);
    if (e) return e;
    reading->column = memory;
    reading->previous = reading->column + reading->count;
    reading->total = reading->previous + reading->count;
    for (uint32_t i = 1; i < reading->count; i++)
        h[i] = h[0];
    unsigned one = flags >> HINT_SHIFT;
    if ((flags & FLAG_ONE_HINT) == 0) {
        if (one != 0) return ERR_CORRUPT;
        e = codec_int_decode(&reading->cursor, reading->count, (int64_t *)reading->column);
        if (e) return e;
    }
    for (uint32_t i = 0; i < reading->count; i++) {
        uint64_t hint = flags & FLAG_ONE_HINT ? one : reading->column[i];
        if (hint > RESET_GAUGE) return ERR_CORRUPT;
        reading->histograms[i].reset_hint = (enum reset_hint)hint;
    }
    if (e) return e;
    e = codec_float_read(&reading->cursor, 0, reading->count, reading->column);
    if (e) return e;
    for (uint32_t i = 0; i < reading->count; i++)
        h[i].sum_bits = reading->column[i];
    return read_counts(reading, (flags & FLAG_FLOAT) != 0);
}

/* Reads everything before the columns; `first` gets the layout. */
static enum err
read_begin(struct histogram_reading *reading, struct histogram *first, unsigned *ret_flags)
{
    unsigned flags = cursor_u8(&reading->cursor);
    if (flags > FLAGS_MASK) return ERR_CORRUPT;
    *first = (struct histogram){.kind = flags & FLAG_FLOAT ? SAMPLE_HISTOGRAM_FLOAT
                                                           : SAMPLE_HISTOGRAM_INT};
    enum err e = read_layout(reading, first);
    if (e) return e;
    /* Every column follows, so the remaining bytes bound the allocations. */
    uint64_t columns = (uint64_t)first->positive.bucket_count + first->negative.bucket_count;
    if (columns * COLUMN_BYTES_MIN > cursor_left(&reading->cursor)) return ERR_CORRUPT;
    *ret_flags = flags;
    return codec_histogram_fits(first, reading->count) ? OK : ERR_CORRUPT;
}

enum err
codec_histogram_decode(struct bytes encoded, uint32_t count, struct arena *arena,
                       struct histogram *ret_histograms)
{
    if (count == 0 || count > CODEC_SAMPLES_MAX) return ERR_CORRUPT;
    struct histogram_reading reading = {
        .cursor = cursor_of(encoded), .count = count, .arena = arena, .histograms = ret_histograms};
    unsigned flags;
    enum err e = read_begin(&reading, ret_histograms, &flags);
    if (e == OK) e = read_columns(&reading, flags);
    if (e == OK && cursor_left(&reading.cursor) > 0) e = ERR_CORRUPT;
    return e;
}

/* --- reading by columns ----------------------------------------------------------------------- */

/* The changes of the columns, one after another. */
struct pool {
    uint16_t *rows;
    uint64_t *steps;
    uint64_t *bits; /* a column of doubles */
};

static enum err
read_float_column(struct histogram_reading *reading, struct pool *pool,
                  struct codec_changes *changes)
{
    uint64_t *bits = pool->bits;
    enum err e = codec_float_read(&reading->cursor, 0, reading->count, bits);
    if (e) return e;
    uint32_t n = 0;
    for (uint32_t i = 1; i < reading->count; i++) {
        uint64_t changed = bits[i] ^ bits[i - 1];
        changes->rows[n] = (uint16_t)i;
        changes->steps[n] = changed;
        n += changed != 0;
    }
    changes->first = bits[0];
    changes->count = n;
    return OK;
}

static enum err
read_column(struct histogram_reading *reading, struct pool *pool, bool is_float,
            struct hist_column *ret)
{
    struct codec_changes changes = {.rows = pool->rows, .steps = pool->steps};
    enum err e = is_float ? read_float_column(reading, pool, &changes)
                          : codec_int_changes(&reading->cursor, reading->count, &changes);
    if (e) return e;
    *ret = (struct hist_column){changes.first, changes.count, pool->rows, pool->steps};
    pool->rows += changes.count;
    pool->steps += changes.count;
    return OK;
}

static enum err
read_hint_column(struct histogram_reading *reading, unsigned flags, struct hist_columns *columns)
{
    columns->hint = (enum reset_hint)(flags >> HINT_SHIFT);
    columns->hints = NULL;
    if (flags & FLAG_ONE_HINT) return OK;
    if (columns->hint != 0) return ERR_CORRUPT;
    int64_t *column = (int64_t *)reading->column;
    enum err e = codec_int_decode(&reading->cursor, reading->count, column);
    if (e) return e;
    uint8_t *hints = arena_alloc(reading->arena, reading->count);
    if (hints == NULL) return ERR_LIMIT;
    for (uint32_t i = 0; i < reading->count; i++) {
        if ((uint64_t)column[i] > RESET_GAUGE) return ERR_CORRUPT;
        hints[i] = (uint8_t)column[i];
    }
    columns->hints = hints;
    return OK;
}

enum err
codec_histogram_columns(struct bytes encoded, uint32_t count, struct arena *arena,
                        struct hist_columns *ret_columns)
{
    if (count == 0 || count > CODEC_SAMPLES_MAX) return ERR_CORRUPT;
    struct histogram_reading reading = {
        .cursor = cursor_of(encoded), .count = count, .arena = arena};
    struct hist_columns columns = {.row_count = count};
    struct pool pool;
    unsigned flags;
    enum err e = read_begin(&reading, &columns.layout, &flags);
    if (e) return e;
    uint32_t buckets = columns.layout.positive.bucket_count + columns.layout.negative.bucket_count;
    struct hist_column *to = arena_alloc(arena, (buckets + 1) * sizeof *to);
    if (to == NULL) return ERR_LIMIT;
    void *rows, *steps, *bits;
    uint64_t cells = ((uint64_t)buckets + 3) * reading.count;
    e = histogram_alloc(reading.arena, cells, sizeof *pool.rows, &rows);
    if (e == OK) e = histogram_alloc(reading.arena, cells, sizeof *pool.steps, &steps);
    if (e == OK) e = histogram_alloc(reading.arena, reading.count, sizeof *pool.bits, &bits);
    if (e == OK) pool = (struct pool){rows, steps, bits}; /* sum, zero count, count */
    if (e) return e;
    bool is_float = (flags & FLAG_FLOAT) != 0;
    reading.column = pool.bits;
    e = read_hint_column(&reading, flags, &columns);
    if (e == OK) e = read_column(&reading, &pool, true, &columns.sum);
    if (e == OK) e = read_column(&reading, &pool, is_float, &columns.zero_count);
    for (uint32_t i = 0; i < buckets && e == OK; i++)
        e = read_column(&reading, &pool, is_float, &to[i]);
    columns.buckets = to;
    if (e == OK) e = read_column(&reading, &pool, is_float, &columns.count);
    if (e == OK && cursor_left(&reading.cursor) > 0) e = ERR_CORRUPT;
    *ret_columns = columns;
    return e;
}
