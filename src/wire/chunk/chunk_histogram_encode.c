/*
 * chunk_histogram_encode.c - encodes rows of steps as the bits of chunks: src/wire/README.md.
 *
 * Most numbers of most histograms continue as the previous ones predict and take a single bit 0. So
 * the encoder visits only rows and columns in which something changed; it counts the zeros between
 * them and writes them together with the next bits.
 */
#include "wire/chunk/chunk_histogram_private.h"

enum {
    HEADER_BYTES = 3,
    /* Header, zero threshold, schema, the two numbers of spans and the number of bounds. */
    LAYOUT_BYTES_MAX = HEADER_BYTES + 9 + 4 * VARBIT_BYTES_MAX,
    SPAN_BYTES_MAX = 2 * VARBIT_BYTES_MAX,
    ROW_BYTES_MAX = 4 * XOR_BYTES_MAX, /* bytes of a row without buckets */
    CUSTOM_SCALED_MAX = 33554430,
};

#define INLINE static inline __attribute__((always_inline))

/* Output position; `zeros` precede the next bits. Lives in registers while rows are written. */
struct emitter {
    struct bits_out out;
    uint64_t zeros;
};

INLINE enum err
reserve(struct buf *data, struct emitter *e, size_t bytes)
{
    bytes += (size_t)(e->zeros / 8) + 1 + BITS_OUT_SLACK;
    if (bytes <= data->capacity - (size_t)(e->out.at - data->at)) return OK;
    /* Reserves `bytes` after the zeros. */
    data->size = (size_t)(e->out.at - data->at);
    e->out.at = buf_reserve(data, bytes) ? data->at + data->size : NULL;
    return e->out.at == NULL ? ERR_NOMEM : OK;
}

INLINE void
put_zeros(struct emitter *e)
{
    for (; e->zeros > BITS_PUT_MAX; e->zeros -= BITS_PUT_MAX) {
        bits_put(&e->out, 0, BITS_PUT_MAX);
    }
    if (e->zeros > 0) bits_put(&e->out, 0, (unsigned)e->zeros);
    e->zeros = 0;
}

/* Puts 1..56 bits. */
INLINE void
put_bits(struct emitter *e, uint64_t v, unsigned count)
{
    if (e->zeros + count > BITS_PUT_MAX) put_zeros(e);
    bits_put(&e->out, v, (unsigned)e->zeros + count);
    e->zeros = 0;
}

/* Rare; the caller passes a copy, so that its own `out` may stay in registers. */
static __attribute__((noinline)) void
put_long(struct bits_out *out, uint64_t v)
{
    varbit_put_class(out, v, bits_of_signed(v));
}

INLINE void
put_signed(struct emitter *e, uint64_t v)
{
    if (v == 0) {
        e->zeros++;
        return;
    }
    unsigned bits = bits_of_signed(v);
    if (bits > VARBIT_SHORT_BITS) {
        put_zeros(e);
        struct bits_out out = e->out;
        put_long(&out, v);
        e->out = out;
        return;
    }
    const struct varbit_code *code = &varbit_short[bits];
    put_bits(e, code->prefix | (v & code->mask), code->bits);
}

INLINE void
put_changed(struct emitter *e, struct xor_state *window, uint64_t changed)
{
    if (changed == 0) {
        e->zeros++;
        return;
    }
    put_zeros(e);
    xor_put_changed(&e->out, window, changed);
}

/* --- layout ----------------------------------------------------------------------------------- */

/* Puts the bound in thousandths plus one as a small number if that restores the same bits. */
static void
put_custom_bound(struct bits_out *out, uint64_t bits)
{
    double scaled = bits_double(bits) * 1000;
    if (scaled >= 0 && scaled <= CUSTOM_SCALED_MAX) {
        uint64_t k = (uint64_t)(scaled + 0.5);
        if (k <= CUSTOM_SCALED_MAX && double_bits((double)k / 1000) == bits) {
            varbit_put_unsigned(out, k + 1);
            return;
        }
    }
    bits_put(out, 0, 1);
    bits_put_wide(out, bits, 64);
}

static void
put_spans(struct bits_out *out, const struct hist_buckets *b)
{
    varbit_put_unsigned(out, b->span_count);
    for (uint32_t i = 0; i < b->span_count; i++) {
        varbit_put_unsigned(out, b->spans[i].length);
        varbit_put_signed(out, (uint64_t)(int64_t)b->spans[i].offset);
    }
}

static void
put_layout(struct bits_out *out, const struct histogram *h, enum chunk_reset header)
{
    bits_put(out, 0, 16); /* count, written at the end */
    bits_put(out, header, 8);
    /* Zero and powers of two from 2^-243 to 2^10 take one byte, others nine. */
    uint64_t exponent = h->zero_threshold_bits >> 52; /* including the sign bit */
    if (h->zero_threshold_bits == 0) {
        bits_put(out, 0, 8);
    } else if ((h->zero_threshold_bits & bits_mask(52)) == 0 && exponent >= 780 &&
               exponent <= 1033) {
        bits_put(out, exponent - 779, 8);
    } else {
        bits_put(out, 255, 8);
        bits_put_wide(out, h->zero_threshold_bits, 64);
    }
    varbit_put_signed(out, (uint64_t)(int64_t)h->schema);
    put_spans(out, &h->positive);
    put_spans(out, &h->negative);
    if (h->schema != HISTOGRAM_SCHEMA_CUSTOM) return;
    varbit_put_unsigned(out, h->custom_count);
    for (uint32_t i = 0; i < h->custom_count; i++) {
        put_custom_bound(out, h->custom_bits[i]);
    }
}

/* --- the first row ---------------------------------------------------------------------------- */

static bool
is_float(const struct histogram_chunks *w)
{
    return w->layout.kind == SAMPLE_HISTOGRAM_FLOAT;
}

static uint32_t
bucket_count(const struct histogram_chunks *w)
{
    return w->layout.positive.bucket_count + w->layout.negative.bucket_count;
}

/* Adds the steps of `row` to `base`. */
static void
advance(struct histogram_chunks *w, uint32_t row)
{
    const uint64_t *steps = row_steps(w, row), *mask = row_mask(w, row);
    for (uint32_t k = 0; k < w->words; k++) {
        for (uint64_t left = mask[k]; left != 0; left &= left - 1) {
            uint32_t i = k * 64 + (uint32_t)__builtin_ctzll(left);
            bool xored = is_float(w) || i == COLUMN_SUM;
            w->base[i] = xored ? w->base[i] ^ steps[i] : w->base[i] + steps[i];
        }
    }
}

static void
put_first_side(const struct histogram_chunks *w, struct bits_out *out, uint32_t column,
               uint32_t count)
{
    for (uint32_t c = column; c < column + count; c++) {
        if (is_float(w))
            bits_put_wide(out, w->base[c], 64);
        else
            varbit_put_signed(out, w->base[c] - w->base[c - 1]);
    }
}

/* Puts the header, the layout and the numbers in `base`. */
static enum err
put_first(struct histogram_chunks *w, uint32_t row, enum chunk_reset header,
          struct bits_out *ret_out)
{
    const struct histogram *h = &w->layout;
    size_t bytes = LAYOUT_BYTES_MAX + (size_t)h->custom_count * VARBIT_BYTES_MAX +
                   ((size_t)h->positive.span_count + h->negative.span_count) * SPAN_BYTES_MAX;
    bytes += ROW_BYTES_MAX + (size_t)bucket_count(w) * XOR_BYTES_MAX;
    buf_clear(&w->data);
    if (!buf_reserve(&w->data, bytes + BITS_OUT_SLACK)) return ERR_NOMEM;
    struct bits_out out = {.at = w->data.at};
    put_layout(&out, h, header);
    varbit_put_signed(&out, (uint64_t)w->times_ms[row]);
    for (unsigned c = COLUMN_COUNT; c <= COLUMN_ZERO; c++) {
        if (is_float(w))
            bits_put_wide(&out, w->base[c], 64);
        else
            varbit_put_unsigned(&out, w->base[c]);
    }
    bits_put_wide(&out, w->base[COLUMN_SUM], 64);
    put_first_side(w, &out, COLUMN_POSITIVE, h->positive.bucket_count);
    put_first_side(w, &out, w->negative, h->negative.bucket_count);
    *ret_out = out;
    return OK;
}

/* --- the other rows --------------------------------------------------------------------------- */

/* A row and the previous one, which is empty for a chunk's second row. */
struct row_pair {
    const uint64_t *steps, *before;
    const uint64_t *mask, *mask_before;
};

/* Returns the columns of one word that a change in this row or in the previous one affects. */
INLINE uint64_t
visited_columns(const struct row_pair *row, uint32_t k, uint64_t valid, bool floats)
{
    if (floats) return row->mask[k] & valid;
    uint64_t changed = row->mask[k] | row->mask_before[k], carry = 0;
    if (k > 0) carry = (row->mask[k - 1] | row->mask_before[k - 1]) >> 63;
    return (changed | changed << 1 | carry) & valid;
}

/* Returns the difference between the step of a bucket's delta and the step that readers expect. */
INLINE uint64_t
bucket_step(const struct row_pair *row, uint32_t c)
{
    return (row->steps[c] - row->steps[c - 1]) - (row->before[c] - row->before[c - 1]);
}

INLINE void
put_buckets(const struct histogram_chunks *w, struct emitter *e, const struct row_pair *row,
            bool floats)
{
    const uint32_t negative = w->negative;
    uint32_t next = COLUMN_POSITIVE; /* first column not put */
    for (uint32_t k = 0; k < w->words; k++) {
        uint64_t visited = visited_columns(row, k, w->valid[k], floats);
        for (; visited != 0; visited &= visited - 1) {
            uint32_t c = k * 64 + (uint32_t)__builtin_ctzll(visited);
            e->zeros += c - next - (next < negative && c >= negative);
            next = c + 1;
            if (floats)
                put_changed(e, &w->windows[c], row->steps[c]);
            else
                put_signed(e, bucket_step(row, c));
        }
    }
    e->zeros += w->columns - next - (next < negative);
}

INLINE enum err
put_row(struct histogram_chunks *w, struct emitter *e, const struct row_pair *row,
        uint64_t time_step, bool floats)
{
    size_t bytes = ROW_BYTES_MAX + w->columns / 8, many = 0;
    for (uint32_t k = 0; k < w->words; k++) {
        many += visited_columns(row, k, w->valid[k], floats) != 0;
    }
    if (reserve(&w->data, e, bytes + many * 64 * XOR_BYTES_MAX)) return ERR_NOMEM;
    put_signed(e, time_step);
    for (unsigned c = COLUMN_COUNT; c <= COLUMN_ZERO; c++) {
        if (floats)
            put_changed(e, &w->windows[c], row->steps[c]);
        else
            put_signed(e, row->steps[c] - row->before[c]);
    }
    put_changed(e, &w->windows[COLUMN_SUM], row->steps[COLUMN_SUM]);
    put_buckets(w, e, row, floats);
    return OK;
}

/* After the sum of a staleness marker readers stop and expect no buckets. Only more markers can
 * follow in the chunk, so their counts may have any value: "unchanged" is the shortest. */
static enum err
put_stale(struct histogram_chunks *w, struct emitter *e, uint64_t sum_step, uint64_t time_step)
{
    if (reserve(&w->data, e, ROW_BYTES_MAX)) return ERR_NOMEM;
    put_signed(e, time_step);
    e->zeros += 2;
    put_changed(e, &w->windows[COLUMN_SUM], sum_step);
    return OK;
}

/* Returns the first row from `row` on that has to be encoded. */
static uint32_t
next_visited(const struct histogram_chunks *w, uint32_t row)
{
    for (uint32_t k = row / 64; k * 64 < w->rows; k++) {
        uint64_t left = w->visited[k];
        if (k == row / 64) left &= UINT64_MAX << row % 64;
        if (left != 0) return k * 64 + (uint32_t)__builtin_ctzll(left);
    }
    return w->rows;
}

/* Puts the rows after `from`, up to the one that begins the next chunk. */
INLINE enum err
put_rows(struct histogram_chunks *w, struct emitter *e, uint32_t from, uint32_t *ret_end,
         bool floats)
{
    const uint32_t fields = 4 + bucket_count(w);
    uint32_t row = from + 1;
    for (; row < w->rows; row++) {
        bool second = row == from + 1;
        uint32_t next = second ? row : next_visited(w, row);
        e->zeros += (uint64_t)(next - row) * fields;
        row = next;
        if (row == w->rows) break;
        bool stale = row >= w->stale_from;
        size_t size = (size_t)(e->out.at - w->data.at) + (size_t)(e->zeros / 8);
        if (w->falls[row] || (!stale && size >= w->bytes_max)) break;
        uint64_t time_step = (uint64_t)w->times_ms[row] - (uint64_t)w->times_ms[row - 1];
        if (!second) time_step -= (uint64_t)w->times_ms[row - 1] - (uint64_t)w->times_ms[row - 2];
        /* The row `from` counts as unchanged. */
        struct row_pair pair = {
            .steps = row_steps(w, row),
            .before = second ? w->zeros : row_steps(w, row - 1),
            .mask = row_mask(w, row),
            .mask_before = second ? w->zeros : row_mask(w, row - 1),
        };
        enum err err = stale ? put_stale(w, e, pair.steps[COLUMN_SUM], time_step)
                             : put_row(w, e, &pair, time_step, floats);
        if (err) return err;
    }
    *ret_end = row;
    return OK;
}

/* --- chunks ----------------------------------------------------------------------------------- */

/* Encodes the rows from `from` on that share a chunk. */
static enum err
encode_chunk(struct histogram_chunks *w, uint32_t from, uint32_t *ret_end, struct why *why)
{
    for (uint32_t c = 0; c < (is_float(w) ? w->columns : COLUMN_SUM + 1); c++) {
        w->windows[c] = (struct xor_state){.leading = XOR_NO_WINDOW};
    }
    advance(w, from);
    enum chunk_reset header = w->gauge         ? CHUNK_RESET_GAUGE
                              : w->falls[from] ? CHUNK_RESET_YES
                                               : CHUNK_RESET_UNKNOWN;
    struct emitter e = {.zeros = 0};
    enum err err = put_first(w, from, header, &e.out);
    if (err) return err;
    err =
        is_float(w) ? put_rows(w, &e, from, ret_end, true) : put_rows(w, &e, from, ret_end, false);
    if (err == OK) err = reserve(&w->data, &e, 0);
    if (err) return err;
    put_zeros(&e);
    store_be16(w->data.at, (uint16_t)(*ret_end - from));
    struct histogram_chunk chunk = {
        .type = is_float(w) ? CHUNK_FLOAT_HISTOGRAM : CHUNK_HISTOGRAM,
        .count = *ret_end - from,
        .min_ms = w->times_ms[from],
        .max_ms = w->times_ms[*ret_end - 1],
        .data = {w->data.at, (size_t)(e.out.at - w->data.at) + (e.out.fill > 0)},
    };
    return w->take(w->context, &chunk, why);
}

enum err
rows_encode(struct histogram_chunks *w, struct why *why)
{
    /* A row is visited if it or the previous row changed, or if the time step changes. */
    uint64_t carry = 0, *visited = w->visited;
    for (unsigned k = 0; k < ROW_WORDS; k++) {
        visited[k] = w->touched[k] | w->touched[k] << 1 | carry;
        carry = w->touched[k] >> 63;
    }
    const int64_t *t = w->times_ms;
    for (uint32_t row = 2; row < w->rows; row++) {
        bool regular =
            (uint64_t)t[row] - (uint64_t)t[row - 1] == (uint64_t)t[row - 1] - (uint64_t)t[row - 2];
        visited[row / 64] |= (uint64_t)!regular << row % 64;
    }
    for (uint32_t from = 0, end; from < w->rows; from = end) {
        enum err e = encode_chunk(w, from, &end, why);
        if (e) return e;
        for (uint32_t row = from + 1; row < end && end < w->rows; row++) {
            advance(w, row);
        }
    }
    memcpy(w->base, w->last, w->columns * sizeof *w->base);
    /* Restore the zeros of `steps` and `masks`. */
    for (unsigned i = 0; i < ROW_WORDS; i++) {
        for (; w->touched[i] != 0; w->touched[i] &= w->touched[i] - 1) {
            uint32_t row = i * 64 + (uint32_t)__builtin_ctzll(w->touched[i]);
            uint64_t *steps = row_steps(w, row), *mask = row_mask(w, row);
            for (uint32_t k = 0; k < w->words; k++) {
                for (; mask[k] != 0; mask[k] &= mask[k] - 1) {
                    steps[k * 64 + (uint32_t)__builtin_ctzll(mask[k])] = 0;
                }
            }
        }
    }
    w->rows = 0;
    w->stale_from = UINT32_MAX;
    return OK;
}
