/*
 * chunk_histogram.c - the writer of HISTOGRAM and FLOAT_HISTOGRAM chunks: decides which histograms
 * share a chunk, and encodes them: src/wire/README.md.
 *
 *     histograms -> rows of steps, gathered -> bits of a chunk -> taker
 *
 * The histograms of a chunk have one layout (schema, zero threshold, spans, custom bounds).
 * Prometheus' own appender widens the layout for a new bucket, and rewrites the chunk; here a chunk
 * begins, so that spans come back as they were. Stores have blocks of one layout, too.
 *
 * Readers assume "no counter reset since the previous histogram" for every histogram of a chunk but
 * the first, whatever hint it had when it was written; so the writer compares, and a reset begins a
 * chunk whose header says so. The rule, first match wins:
 *
 *     histogram to be put                     chunk        header of the new chunk
 *     hint YES                                new          reset
 *     staleness marker                        same
 *     gauge after counter, or vice versa      new          gauge, or unknown
 *     follows a staleness marker              new          gauge, or unknown
 *     layout changed                          new          gauge, or unknown
 *     a count or bucket of a counter fell     new          reset
 *     else                                    same
 *
 * A row holds the changes since the previous row. Columns bring these steps with them, and the
 * writer looks only at numbers that change.
 *
 * Most numbers of most histograms continue as the previous ones predict and take a single bit 0. So
 * the encoder visits only rows and columns in which something changed; it counts the zeros between
 * them and writes them together with the next bits.
 */
#include "wire/chunk/chunk.h"
#include "wire/chunk/chunk_bits.h"

/* The columns of a chunk, in its order. A column that is always 0 precedes the buckets of each
 * sign, so that each bucket has a predecessor. */
enum { COLUMN_COUNT, COLUMN_ZERO, COLUMN_SUM, COLUMN_BEFORE_POSITIVE, COLUMN_POSITIVE };

enum { ROW_WORDS = HISTOGRAM_CHUNK_SAMPLES / 64 };
_Static_assert(HISTOGRAM_CHUNK_SAMPLES % 64 == 0, "rows are the bits of words");

/* A growing array. */
struct layout_room {
    void *at;
    size_t size_bytes;
};

/* The rows of the chunk being gathered, as steps from row to row. `steps` and `masks` are zero
 * after the last row, and `steps` where the bit in the row's mask is 0. */
struct histogram_chunks {
    struct budget *budget;
    size_t bytes_max;
    take_histogram_chunk *take;
    void *context;

    struct histogram layout;   /* layout of all rows; has no counts */
    struct arena memory;       /* of the arrays of `layout` and of those below */
    uint32_t columns, words;   /* size of a row, and of its mask */
    uint32_t negative;         /* column of the first negative bucket */
    uint64_t *valid;           /* mask of the columns that are buckets */
    uint64_t *zeros;           /* a row of zeros */
    uint64_t *base, *last;     /* absolute numbers before row 0 (while encoding: before the chunk's
                                  second row), and in the last row */
    struct xor_state *windows; /* for floats, in the chunk being encoded */
    bool gauge;

    uint32_t rows_max;
    uint32_t rows;
    uint32_t stale_from; /* first row of the staleness markers at the end */
    bool goes_on;        /* `last` is the row before the next one */
    int64_t times_ms[HISTOGRAM_CHUNK_SAMPLES];
    /* A number is less than in the previous row, or the hint says that the counter was reset. */
    uint8_t falls[HISTOGRAM_CHUNK_SAMPLES];
    uint64_t touched[ROW_WORDS]; /* one bit per row: its mask is not 0, or it is stale */
    uint64_t visited[ROW_WORDS]; /* while encoding: rows to visit */

    struct layout_room steps, masks; /* uint64_t, row after row */
    uint64_t *now;                   /* in `numbers`: the next histogram, absolute, by column */
    struct layout_room numbers;
    struct layout_room reached; /* while columns are put: steps done, a uint32_t per column */
    struct buf data;
};

static inline uint64_t *
row_steps(const struct histogram_chunks *w, uint32_t row)
{
    return (uint64_t *)w->steps.at + (size_t)row * w->columns;
}

static inline uint64_t *
row_mask(const struct histogram_chunks *w, uint32_t row)
{
    return (uint64_t *)w->masks.at + (size_t)row * w->words;
}

/* --- bits ------------------------------------------------------------------------------------- */

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
    for (; e->zeros > BITS_PUT_MAX; e->zeros -= BITS_PUT_MAX)
        bits_put(&e->out, 0, BITS_PUT_MAX);
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
    for (uint32_t i = 0; i < h->custom_count; i++)
        put_custom_bound(out, h->custom_bits[i]);
}

/* --- the first row ---------------------------------------------------------------------------- */

static bool
has_floats(const struct histogram_chunks *w)
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
            bool xored = has_floats(w) || i == COLUMN_SUM;
            w->base[i] = xored ? w->base[i] ^ steps[i] : w->base[i] + steps[i];
        }
    }
}

static void
put_first_side(const struct histogram_chunks *w, struct bits_out *out, uint32_t column,
               uint32_t count)
{
    for (uint32_t c = column; c < column + count; c++)
        if (has_floats(w))
            bits_put_wide(out, w->base[c], 64);
        else
            varbit_put_signed(out, w->base[c] - w->base[c - 1]);
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
    for (unsigned c = COLUMN_COUNT; c <= COLUMN_ZERO; c++)
        if (has_floats(w))
            bits_put_wide(&out, w->base[c], 64);
        else
            varbit_put_unsigned(&out, w->base[c]);
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
    for (uint32_t k = 0; k < w->words; k++)
        many += visited_columns(row, k, w->valid[k], floats) != 0;
    if (reserve(&w->data, e, bytes + many * 64 * XOR_BYTES_MAX)) return ERR_NOMEM;
    put_signed(e, time_step);
    for (unsigned c = COLUMN_COUNT; c <= COLUMN_ZERO; c++)
        if (floats)
            put_changed(e, &w->windows[c], row->steps[c]);
        else
            put_signed(e, row->steps[c] - row->before[c]);
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
    for (uint32_t c = 0; c < (has_floats(w) ? w->columns : COLUMN_SUM + 1); c++)
        w->windows[c] = (struct xor_state){.leading = XOR_NO_WINDOW};
    advance(w, from);
    enum chunk_reset header = w->gauge         ? CHUNK_RESET_GAUGE
                              : w->falls[from] ? CHUNK_RESET_YES
                                               : CHUNK_RESET_UNKNOWN;
    struct emitter e = {.zeros = 0};
    enum err err = put_first(w, from, header, &e.out);
    if (err) return err;
    err = has_floats(w) ? put_rows(w, &e, from, ret_end, true)
                        : put_rows(w, &e, from, ret_end, false);
    if (err == OK) err = reserve(&w->data, &e, 0);
    if (err) return err;
    put_zeros(&e);
    store_be16(w->data.at, (uint16_t)(*ret_end - from));
    struct histogram_chunk chunk = {
        .type = has_floats(w) ? CHUNK_FLOAT_HISTOGRAM : CHUNK_HISTOGRAM,
        .count = *ret_end - from,
        .min_ms = w->times_ms[from],
        .max_ms = w->times_ms[*ret_end - 1],
        .data = {w->data.at, (size_t)(e.out.at - w->data.at) + (e.out.fill > 0)},
    };
    return w->take(w->context, &chunk, why);
}

/* Passes all rows on as chunks and forgets them; `base` becomes `last`. */
static enum err
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
        for (uint32_t row = from + 1; row < end && end < w->rows; row++)
            advance(w, row);
    }
    memcpy(w->base, w->last, w->columns * sizeof *w->base);
    /* Restore the zeros of `steps` and `masks`. */
    for (unsigned i = 0; i < ROW_WORDS; i++) {
        for (; w->touched[i] != 0; w->touched[i] &= w->touched[i] - 1) {
            uint32_t row = i * 64 + (uint32_t)__builtin_ctzll(w->touched[i]);
            uint64_t *steps = row_steps(w, row), *mask = row_mask(w, row);
            for (uint32_t k = 0; k < w->words; k++)
                for (; mask[k] != 0; mask[k] &= mask[k] - 1)
                    steps[k * 64 + (uint32_t)__builtin_ctzll(mask[k])] = 0;
        }
    }
    w->rows = 0;
    w->stale_from = UINT32_MAX;
    return OK;
}

/* --- memory ----------------------------------------------------------------------------------- */

enum { STEPS_MANY = 64 * 1024 /* steps of all rows: 512 KiB */ };

/* Makes room for `count` items. Keeps the contents; new bytes are zero. */
static enum err
room_for(struct histogram_chunks *w, struct layout_room *room, uint64_t count, size_t item_bytes)
{
    size_t size_bytes = (size_t)count * item_bytes;
    if (size_bytes <= room->size_bytes) return OK;
    uint8_t *memory = mem_resize(w->budget, room->at, room->size_bytes, size_bytes);
    if (memory == NULL) return ERR_NOMEM;
    memset(memory + room->size_bytes, 0, size_bytes - room->size_bytes);
    *room = (struct layout_room){memory, size_bytes};
    return OK;
}

enum err
histogram_chunks_new(struct budget *budget, size_t bytes_max, take_histogram_chunk *take,
                     void *context, struct histogram_chunks **ret_chunks)
{
    struct histogram_chunks *w = mem_new(budget, sizeof *w);
    if (w == NULL) return ERR_NOMEM;
    w->budget = budget;
    w->bytes_max = bytes_max;
    w->take = take;
    w->context = context;
    w->stale_from = UINT32_MAX;
    arena_init(&w->memory, budget, 0, 0);
    buf_init(&w->data, budget, SIZE_MAX);
    *ret_chunks = w;
    return OK;
}

void
histogram_chunks_free(struct histogram_chunks *w)
{
    if (w == NULL) return;
    struct layout_room *rooms[] = {&w->steps, &w->masks, &w->numbers, &w->reached};
    for (unsigned i = 0; i < sizeof rooms / sizeof *rooms; i++)
        mem_free(w->budget, rooms[i]->at, rooms[i]->size_bytes);
    arena_fini(&w->memory);
    buf_fini(&w->data);
    mem_free(w->budget, w, sizeof *w);
}

enum err
histogram_chunks_end(struct histogram_chunks *w, struct why *why)
{
    enum err e = w->rows > 0 ? rows_encode(w, why) : OK;
    w->goes_on = false;
    return e;
}

static uint32_t
column_count(const struct histogram *h)
{
    return COLUMN_POSITIVE + h->positive.bucket_count + 1 + h->negative.bucket_count;
}

/* --- did anything fall? ----------------------------------------------------------------------- */

/* count_fell() is true if a count or zero count decreased, bucket_fell() if a bucket did. NaN is
 * never a decrease. Integer buckets are signed, since those of malformed histograms may be
 * negative. */
static inline bool
count_fell(bool is_float, uint64_t before, uint64_t now)
{
    return is_float ? bits_double(now) < bits_double(before) : now < before;
}

static inline bool
bucket_fell(bool is_float, uint64_t before, uint64_t now)
{
    return is_float ? bits_double(now) < bits_double(before) : (int64_t)now < (int64_t)before;
}

static bool
anything_fell(const struct histogram_chunks *w)
{
    bool is_float = w->layout.kind == SAMPLE_HISTOGRAM_FLOAT;
    bool fell = count_fell(is_float, w->last[COLUMN_COUNT], w->now[COLUMN_COUNT]) ||
                count_fell(is_float, w->last[COLUMN_ZERO], w->now[COLUMN_ZERO]);
    for (uint32_t c = COLUMN_POSITIVE; c < w->columns; c++)
        fell |= bucket_fell(is_float, w->last[c], w->now[c]);
    return fell;
}

/* --- a row ------------------------------------------------------------------------------------ */

enum verdict {
    FITS,
    FITS_FALLS, /* has the layout, but a counter reset begins a chunk */
    NEW_LAYOUT, /* begins a chunk and a layout */
};

/* Applies the table above to the histogram in `now`. */
static enum verdict
chunk_judge(const struct histogram_chunks *w, const struct histogram *h, enum reset_hint hint)
{
    bool gauge = hint == RESET_GAUGE;
    if (!w->goes_on || h->kind != w->layout.kind || hint == RESET_YES) return NEW_LAYOUT;
    if (w->now[COLUMN_SUM] == STALE_NAN_BITS) return w->rows > 0 ? FITS : NEW_LAYOUT;
    if (gauge != w->gauge || w->last[COLUMN_SUM] == STALE_NAN_BITS) return NEW_LAYOUT;
    if (!histogram_same_layout(&w->layout, h)) return NEW_LAYOUT;
    return !gauge && anything_fell(w) ? FITS_FALLS : FITS;
}

/* Takes over the layout of `h`. There are no rows. */
static enum err
layout_begin(struct histogram_chunks *w, const struct histogram *h)
{
    w->columns = column_count(h);
    w->negative = w->columns - h->negative.bucket_count;
    w->words = (w->columns + 63) / 64;
    uint32_t rows = STEPS_MANY / w->columns;
    w->rows_max = rows == 0 ? 1 : rows < HISTOGRAM_CHUNK_SAMPLES ? rows : HISTOGRAM_CHUNK_SAMPLES;
    enum err e = room_for(w, &w->steps, (uint64_t)w->rows_max * w->columns, sizeof(uint64_t));
    if (e == OK) e = room_for(w, &w->masks, (uint64_t)w->rows_max * w->words, sizeof(uint64_t));
    if (e) return e;
    arena_reset(&w->memory);
    w->valid = arena_new(&w->memory, w->words * sizeof *w->valid);
    w->zeros = arena_new(&w->memory, w->columns * sizeof *w->zeros);
    w->base = arena_new(&w->memory, w->columns * sizeof *w->base);
    w->last = arena_new(&w->memory, w->columns * sizeof *w->last);
    w->windows = arena_new(&w->memory, w->columns * sizeof *w->windows);
    const struct histogram bare = {
        .kind = h->kind,
        .schema = h->schema,
        .zero_threshold_bits = h->zero_threshold_bits,
        .positive = {h->positive.spans, h->positive.span_count, h->positive.bucket_count, NULL,
                     NULL},
        .negative = {h->negative.spans, h->negative.span_count, h->negative.bucket_count, NULL,
                     NULL},
        .custom_bits = h->custom_bits,
        .custom_count = h->custom_count,
    };
    if (w->valid == NULL || w->zeros == NULL || w->base == NULL || w->last == NULL ||
        w->windows == NULL || histogram_copy(&bare, &w->memory, &w->layout) != OK)
        return ERR_NOMEM;
    for (uint32_t c = COLUMN_POSITIVE; c < w->columns; c++)
        if (c != w->negative - 1) w->valid[c / 64] |= (uint64_t)1 << c % 64;
    return OK;
}

static inline void
set_number(struct histogram_chunks *w, uint32_t row, uint32_t column, uint64_t now)
{
    uint64_t before = w->last[column];
    if (now == before) return;
    bool xored = w->layout.kind == SAMPLE_HISTOGRAM_FLOAT || column == COLUMN_SUM;
    w->touched[row / 64] |= (uint64_t)1 << row % 64;
    row_steps(w, row)[column] = xored ? now ^ before : now - before;
    row_mask(w, row)[column / 64] |= (uint64_t)1 << column % 64;
    w->last[column] = now;
}

static enum err
room_for_now(struct histogram_chunks *w, const struct histogram *h)
{
    enum err e = room_for(w, &w->numbers, (uint64_t)column_count(h) + 1, sizeof *w->now);
    w->now = w->numbers.at;
    return e;
}

/* Appends `now` as the next row. */
static enum err
put_now(struct histogram_chunks *w, const struct histogram *h, enum reset_hint hint, int64_t t_ms,
        struct why *why)
{
    bool is_stale = w->now[COLUMN_SUM] == STALE_NAN_BITS;
    enum err e = w->rows > 0 && w->rows == w->rows_max ? rows_encode(w, why) : OK;
    if (e) return e;
    enum verdict verdict = chunk_judge(w, h, hint);
    if (verdict == NEW_LAYOUT) {
        const struct histogram nothing = {.kind = h->kind};
        if (w->rows > 0) e = rows_encode(w, why);
        w->goes_on = false;
        if (e == OK) e = layout_begin(w, is_stale ? &nothing : h);
        if (e) return e;
        w->goes_on = true;
        w->gauge = hint == RESET_GAUGE;
    }
    uint32_t row = w->rows++;
    w->times_ms[row] = t_ms;
    w->falls[row] = verdict == FITS_FALLS || hint == RESET_YES;
    if (is_stale) {
        set_number(w, row, COLUMN_SUM, STALE_NAN_BITS);
        if (w->stale_from > row) w->stale_from = row;
        w->touched[row / 64] |= (uint64_t)1 << row % 64;
        return OK;
    }
    for (uint32_t c = 0; c < w->columns; c++)
        set_number(w, row, c, w->now[c]);
    return OK;
}

static void
now_side(const struct hist_buckets *b, bool is_float, uint64_t *now)
{
    uint64_t count = 0;
    now[-1] = 0;
    for (uint32_t i = 0; i < b->bucket_count; i++)
        now[i] = is_float ? b->counts[i] : (count += (uint64_t)b->deltas[i]);
}

static bool
spans_match(const struct hist_buckets *b)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->span_count; i++)
        total += b->spans[i].length;
    return total == b->bucket_count;
}

enum err
histogram_chunks_put(struct histogram_chunks *w, uint32_t count, const int64_t *times_ms,
                     const struct histogram *h, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!spans_match(&h[i].positive) || !spans_match(&h[i].negative))
            return why_set(why, ERR_INPUT, "histogram spans and buckets do not match");
        enum err e = room_for_now(w, &h[i]);
        if (e) return e;
        bool is_float = h[i].kind == SAMPLE_HISTOGRAM_FLOAT;
        w->now[COLUMN_COUNT] = h[i].count;
        w->now[COLUMN_ZERO] = h[i].zero_count;
        w->now[COLUMN_SUM] = h[i].sum_bits;
        now_side(&h[i].positive, is_float, w->now + COLUMN_POSITIVE);
        now_side(&h[i].negative, is_float,
                 w->now + COLUMN_POSITIVE + h[i].positive.bucket_count + 1);
        e = put_now(w, &h[i], h[i].reset_hint, times_ms[i], why);
        if (e) return e;
    }
    return OK;
}

/* --- columns ---------------------------------------------------------------------------------- */

/* Columns being put, row by row or many rows at once. */
struct columns_in {
    const struct hist_columns *columns;
    const int64_t *times_ms; /* times_ms[0] is the time of row `from` */
    uint32_t from, end;
    uint32_t row; /* next row */
    uint32_t buckets;
    uint64_t *rest; /* in `now`, after the columns: the count, less the buckets of an integer one */
    bool is_float;
    uint32_t *reached; /* steps before `row`: sum, count, zero count, buckets */
};

enum { REACHED_SUM, REACHED_COUNT, REACHED_ZERO, REACHED_BUCKETS };

/* Returns the number in `row`; *reached counts the steps up to it. */
static uint64_t
column_at(const struct hist_column *column, bool xored, uint32_t row, uint64_t number,
          uint32_t *reached)
{
    uint32_t i = *reached;
    for (; i < column->step_count && column->rows[i] <= row; i++)
        number = xored ? number ^ column->steps[i] : number + column->steps[i];
    *reached = i;
    return number;
}

static uint32_t
bucket_column(const struct columns_in *in, uint32_t i)
{
    return COLUMN_POSITIVE + i + (i >= in->columns->layout.positive.bucket_count);
}

static enum reset_hint
hint_at(const struct hist_columns *columns, uint32_t row)
{
    return columns->hints == NULL ? columns->hint : (enum reset_hint)columns->hints[row];
}

/* Puts the next row as a histogram: updates `now` from the previous row. */
static enum err
put_whole_row(struct histogram_chunks *w, struct columns_in *in, struct why *why)
{
    const struct hist_columns *c = in->columns;
    uint32_t row = in->row++;
    bool is_float = in->is_float;
    uint64_t *now = w->now, *rest = in->rest, total = 0;
    now[COLUMN_SUM] = column_at(&c->sum, true, row, now[COLUMN_SUM], &in->reached[REACHED_SUM]);
    now[COLUMN_ZERO] =
        column_at(&c->zero_count, is_float, row, now[COLUMN_ZERO], &in->reached[REACHED_ZERO]);
    for (uint32_t i = 0; i < in->buckets; i++) {
        uint64_t *bucket = &now[bucket_column(in, i)];
        *bucket =
            column_at(&c->buckets[i], is_float, row, *bucket, &in->reached[REACHED_BUCKETS + i]);
        total += *bucket;
    }
    *rest = column_at(&c->count, is_float, row, *rest, &in->reached[REACHED_COUNT]);
    now[COLUMN_COUNT] = is_float ? *rest : *rest + now[COLUMN_ZERO] + total;
    return put_now(w, &c->layout, hint_at(c, row), in->times_ms[row - in->from], why);
}

/* Returns the first row from the next one on that put_whole_row() must put. */
static uint32_t
next_whole_row(const struct histogram_chunks *w, const struct columns_in *in)
{
    const struct hist_columns *c = in->columns;
    uint64_t sum = w->last[COLUMN_SUM];
    if (sum == STALE_NAN_BITS || hint_at(c, in->row) == RESET_YES) return in->row;
    uint32_t end = in->end;
    for (uint32_t i = in->reached[REACHED_SUM]; i < c->sum.step_count; i++) {
        sum ^= c->sum.steps[i];
        if (sum == STALE_NAN_BITS && c->sum.rows[i] < end) end = c->sum.rows[i];
        if (c->sum.rows[i] >= end) break;
    }
    for (uint32_t row = in->row; c->hints != NULL && row < end; row++) {
        bool alike = c->hints[row] != RESET_YES && (c->hints[row] == RESET_GAUGE) == w->gauge;
        if (!alike) end = row;
    }
    return end;
}

enum meaning { A_BUCKET, A_COUNT, A_SUM };

/* Adds the steps of the next `count` rows. */
static inline __attribute__((always_inline)) void
run_column(struct histogram_chunks *w, const struct columns_in *in, uint32_t count,
           const struct hist_column *from, uint32_t *reached, uint32_t column, enum meaning meaning,
           bool is_float)
{
    const uint32_t columns = w->columns, words = w->words, first = in->row, end = first + count;
    uint64_t *steps = row_steps(w, w->rows), *masks = row_mask(w, w->rows);
    uint8_t *falls = w->falls + w->rows;
    uint64_t number = w->last[column];
    uint32_t i = *reached;
    for (; i < from->step_count && from->rows[i] < end; i++) {
        uint32_t row = from->rows[i] - first;
        uint64_t step = from->steps[i];
        uint64_t next = is_float || meaning == A_SUM ? number ^ step : number + step;
        uint32_t of_chunk = w->rows + row;
        w->touched[of_chunk / 64] |= (uint64_t)1 << of_chunk % 64;
        steps[(size_t)row * columns + column] = step;
        masks[(size_t)row * words + column / 64] |= (uint64_t)1 << column % 64;
        if (!is_float && meaning != A_SUM) {
            steps[(size_t)row * columns + COLUMN_COUNT] += step;
            masks[(size_t)row * words] |= (uint64_t)1 << COLUMN_COUNT;
        }
        if (meaning == A_BUCKET) falls[row] |= bucket_fell(is_float, number, next);
        if (meaning == A_COUNT) falls[row] |= count_fell(is_float, number, next);
        number = next;
    }
    w->last[column] = number;
    *reached = i;
}

/* Adds the steps of the counts' excess over the sum of their buckets, then notes counts that fell.
 */
static void
run_integer_count(struct histogram_chunks *w, struct columns_in *in, uint32_t count)
{
    const struct hist_column *from = &in->columns->count;
    uint32_t i = in->reached[REACHED_COUNT];
    for (; i < from->step_count && from->rows[i] < in->row + count; i++) {
        uint32_t row = w->rows + from->rows[i] - in->row;
        w->touched[row / 64] |= (uint64_t)1 << row % 64;
        row_steps(w, row)[COLUMN_COUNT] += from->steps[i];
        row_mask(w, row)[0] |= (uint64_t)1 << COLUMN_COUNT;
        *in->rest += from->steps[i];
    }
    in->reached[REACHED_COUNT] = i;
    uint64_t number = w->last[COLUMN_COUNT];
    for (uint32_t row = w->rows; row < w->rows + count; row++) {
        uint64_t next = number + row_steps(w, row)[COLUMN_COUNT];
        w->falls[row] |= next < number;
        number = next;
    }
    w->last[COLUMN_COUNT] = number;
}

static inline __attribute__((always_inline)) void
run_rows_of(struct histogram_chunks *w, struct columns_in *in, uint32_t count, bool is_float)
{
    const struct hist_columns *c = in->columns;
    uint32_t *reached = in->reached;
    memset(w->falls + w->rows, 0, count);
    run_column(w, in, count, &c->sum, &reached[REACHED_SUM], COLUMN_SUM, A_SUM, is_float);
    run_column(w, in, count, &c->zero_count, &reached[REACHED_ZERO], COLUMN_ZERO, A_COUNT,
               is_float);
    for (uint32_t i = 0; i < in->buckets; i++) {
        if (reached[REACHED_BUCKETS + i] == c->buckets[i].step_count) continue;
        run_column(w, in, count, &c->buckets[i], &reached[REACHED_BUCKETS + i],
                   bucket_column(in, i), A_BUCKET, is_float);
    }
    if (is_float)
        run_column(w, in, count, &c->count, &reached[REACHED_COUNT], COLUMN_COUNT, A_COUNT, true);
    else
        run_integer_count(w, in, count);
    if (w->gauge) memset(w->falls + w->rows, 0, count);
}

static enum err
columns_in_begin(struct histogram_chunks *w, struct columns_in *in)
{
    const struct hist_columns *c = in->columns;
    enum err e = room_for_now(w, &c->layout);
    if (e == OK)
        e = room_for(w, &w->reached, (uint64_t)in->buckets + REACHED_BUCKETS, sizeof *in->reached);
    if (e) return e;
    uint32_t columns = column_count(&c->layout);
    in->reached = w->reached.at;
    memset(in->reached, 0, (in->buckets + REACHED_BUCKETS) * sizeof *in->reached);
    memset(w->now, 0, columns * sizeof *w->now);
    w->now[COLUMN_SUM] = c->sum.first;
    w->now[COLUMN_ZERO] = c->zero_count.first;
    for (uint32_t i = 0; i < in->buckets; i++)
        w->now[bucket_column(in, i)] = c->buckets[i].first;
    in->rest = &w->now[columns];
    *in->rest = c->count.first;
    return OK;
}

enum err
histogram_chunks_put_columns(struct histogram_chunks *w, const struct hist_columns *columns,
                             uint32_t from, uint32_t count, const int64_t *times_ms,
                             struct why *why)
{
    struct columns_in in = {
        .columns = columns,
        .times_ms = times_ms,
        .from = from,
        .end = from + count,
        .row = from,
        .buckets = columns->layout.positive.bucket_count + columns->layout.negative.bucket_count,
        .is_float = columns->layout.kind == SAMPLE_HISTOGRAM_FLOAT,
    };
    enum err e = columns_in_begin(w, &in);
    while (e == OK && in.row < in.end) {
        e = put_whole_row(w, &in, why);
        uint32_t whole = e == OK && in.row < in.end ? next_whole_row(w, &in) : in.row;
        bool ran = in.row < whole;
        while (e == OK && in.row < whole) {
            if (w->rows == w->rows_max) e = rows_encode(w, why);
            if (e) break;
            uint32_t room = w->rows_max - w->rows;
            /* Puts as many of the following rows as there is room for. */
            uint32_t rows = whole - in.row < room ? whole - in.row : room;
            if (in.is_float)
                run_rows_of(w, &in, rows, true);
            else
                run_rows_of(w, &in, rows, false);
            memcpy(w->times_ms + w->rows, in.times_ms + (in.row - in.from),
                   rows * sizeof *w->times_ms);
            w->rows += rows;
            in.row += rows;
        }
        if (ran) {
            /* `now` must hold the numbers of the previous row. */
            memcpy(w->now, w->last, w->columns * sizeof *w->now);
            if (in.is_float) *in.rest = w->last[COLUMN_COUNT];
        }
    }
    return e;
}
