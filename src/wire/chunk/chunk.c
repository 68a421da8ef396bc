/*
 * chunk.c - the writer of XOR chunks, and the reader of all three encodings:
 * src/wire/README.md.
 *
 * struct bits_out writes bits into a plain byte buffer. It lives in registers while samples are put
 * and in the writer between calls, so the buffer may move when it grows.
 */
#include "wire/chunk/chunk.h"

#include <assert.h>

#include "wire/chunk/chunk_bits.h"

enum {
    CHUNK_HEADER_BYTES = 2,
    CHUNK_BYTES_MAX = 64 << 20, /* larger than any sensible frame: the chunk is full */
    /* A sample takes up to 68 bits of time and 77 of value, a first sample 10 + 8 bytes. */
    XOR_SAMPLE_BYTES_MAX = 19,
};

struct chunk_writer {
    struct budget *budget;
    uint32_t count;
    struct buf data; /* whole bytes; the unfinished byte follows them */
    uint64_t held;   /* state of the struct bits_out between two calls */
    unsigned fill;
    struct dod_state time;
    struct xor_state value;
};

enum err
chunk_writer_new(struct budget *budget, struct chunk_writer **ret_writer)
{
    struct chunk_writer *writer = mem_new(budget, sizeof *writer);
    if (writer == NULL) return ERR_NOMEM;
    writer->budget = budget;
    buf_init(&writer->data, budget, CHUNK_BYTES_MAX);
    chunk_begin(writer);
    *ret_writer = writer;
    return OK;
}

void
chunk_writer_free(struct chunk_writer *writer)
{
    if (writer == NULL) return;
    buf_fini(&writer->data);
    mem_free(writer->budget, writer, sizeof *writer);
}

void
chunk_begin(struct chunk_writer *writer)
{
    writer->count = 0;
    buf_clear(&writer->data);
    writer->held = 0;
    writer->fill = 0;
    writer->time = (struct dod_state){0};
    writer->value = (struct xor_state){.leading = XOR_NO_WINDOW};
}

uint32_t
chunk_count(const struct chunk_writer *writer)
{
    return writer->count;
}

size_t
chunk_size(const struct chunk_writer *writer)
{
    return writer->data.size + (writer->fill > 0 ? 1 : 0);
}

/* Without always_inline `out` stays in memory for the whole chunk: a third more instructions per
 * float. */
static inline __attribute__((always_inline)) void
put_varint(struct bits_out *out, uint64_t v)
{
    uint8_t varint[VARINT_SIZE_MAX];
    size_t size = varint_put(varint, v);
    for (size_t i = 0; i < size; i++)
        bits_put(out, varint[i], 8);
}

static inline void
xor_put_dod(struct bits_out *out, uint64_t dod)
{
    if (dod == 0) {
        bits_put(out, 0, 1);
        return;
    }
    unsigned bits = bits_of_signed(dod);
    if (bits <= 14) {
        bits_put(out, (uint64_t)2 << 14 | (dod & bits_mask(14)), 16);
    } else if (bits <= 17) {
        bits_put(out, (uint64_t)6 << 17 | (dod & bits_mask(17)), 20);
    } else if (bits <= 20) {
        bits_put(out, (uint64_t)14 << 20 | (dod & bits_mask(20)), 24);
    } else {
        bits_put(out, 15, 4);
        bits_put_wide(out, dod, 64);
    }
}

enum err
chunk_put_floats(struct chunk_writer *writer, uint32_t count, const int64_t *times_ms,
                 const uint64_t *bits)
{
    if (count > CHUNK_SAMPLES_MAX - writer->count) return ERR_LIMIT;
    size_t bytes = (size_t)count * XOR_SAMPLE_BYTES_MAX + CHUNK_HEADER_BYTES + BITS_OUT_SLACK;
    if (!buf_reserve(&writer->data, bytes)) {
        enum err e = buf_error(&writer->data);
        writer->data.failed = OK; /* no bytes were lost */
        return e;
    }
    struct bits_out out = {writer->data.at + writer->data.size, writer->held, writer->fill};

    uint32_t i = 0;
    struct dod_state time = writer->time;
    struct xor_state value = writer->value;
    for (; i < count && writer->count + i < 2; i++) {
        uint64_t t = (uint64_t)times_ms[i];
        if (writer->count + i == 0) {
            bits_put(&out, 0, 16); /* count, written at the end */
            put_varint(&out, zigzag(times_ms[i]));
            bits_put_wide(&out, bits[i], 64);
            value.before = bits[i];
        } else {
            time.delta = t - time.before;
            put_varint(&out, time.delta);
            xor_put(&out, &value, bits[i]);
        }
        time.before = t;
    }
    for (; i < count; i++) {
        uint64_t delta = (uint64_t)times_ms[i] - time.before;
        xor_put_dod(&out, delta - time.delta);
        xor_put(&out, &value, bits[i]);
        time.before = (uint64_t)times_ms[i];
        time.delta = delta;
    }
    writer->time = time;
    writer->value = value;
    writer->count += count;
    writer->data.size = (size_t)(out.at - writer->data.at);
    writer->held = out.held;
    writer->fill = out.fill;
    return OK;
}

struct bytes
chunk_end(struct chunk_writer *writer)
{
    assert(writer->count > 0);
    store_be16(writer->data.at, (uint16_t)writer->count);
    return (struct bytes){writer->data.at, chunk_size(writer)};
}

/* --- reading ---------------------------------------------------------------------------------- */

/*
 * The input is not trusted. The numbers that a chunk announces (spans, bounds, buckets) are
 * compared with the remaining bits before memory is taken, since each item costs at least one bit;
 * so the arena never holds more than a small multiple of the chunk, and the work is linear in its
 * size.
 */

typedef enum err each_function(void *context, int64_t t_ms, uint64_t bits,
                               const struct histogram *h);

/* --- XOR -------------------------------------------------------------------------------------- */

static uint64_t
xor_get_dod(struct bits_in *in)
{
    static const uint8_t widths[] = {0, 14, 17, 20, 64};
    unsigned ones = bits_get_ones(in, 4);
    if (ones == 0) return 0;
    return bits_extend(bits_get_wide(in, widths[ones]), widths[ones]);
}

static enum err
read_xor(struct bits_in *in, uint32_t count, each_function *each, void *context)
{
    uint64_t t = 0;
    uint64_t delta = 0;
    struct xor_state value = {.leading = XOR_NO_WINDOW};
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0) {
            t = (uint64_t)unzigzag(bits_get_varint(in));
            value.before = bits_get_wide(in, 64);
        } else {
            if (i == 1)
                delta = bits_get_varint(in);
            else
                delta += xor_get_dod(in);
            t += delta;
            (void)xor_get(in, &value);
        }
        if (in->bad) return ERR_CORRUPT;
        enum err e = each(context, (int64_t)t, value.before, NULL);
        if (e) return e;
    }
    return OK;
}

/* --- histograms: layout ----------------------------------------------------------------------- */

/* State of a count in an integer (dod) or a float histogram (xored). */
union bucket_state {
    struct dod_state dod;
    struct xor_state xored;
};

/* The histogram being read; each sample overwrites its arrays. */
struct histogram_in {
    struct bits_in in;
    struct arena *arena;
    struct histogram h;
    struct dod_state time;
    union bucket_state count;
    union bucket_state zero_count;
    struct xor_state sum;
    union bucket_state *buckets; /* positive, then negative */
    int64_t *deltas;             /* views of h; integer histograms */
    uint64_t *counts;            /* float histograms */
};

/* Returns zeroed items; not NULL for an empty array, for which the arena may return NULL. */
static void *
new_array(struct arena *arena, uint64_t count, size_t item_bytes)
{
    return arena_new(arena, ((size_t)count + 1) * item_bytes);
}

/* Reads a number of items that take at least `bits_each` bits each; bad if they cannot follow. */
static uint32_t
get_count(struct bits_in *in, unsigned bits_each)
{
    uint64_t count = varbit_get_unsigned(in);
    if (count > HISTOGRAM_BUCKETS_MAX || count * bits_each > bits_left(in)) {
        in->bad = true;
        return 0;
    }
    return (uint32_t)count;
}

static enum err
get_spans(struct histogram_in *r, struct hist_buckets *to)
{
    to->span_count = get_count(&r->in, 2);
    struct hist_span *spans = new_array(r->arena, to->span_count, sizeof *spans);
    if (spans == NULL) return ERR_NOMEM;
    uint64_t total = 0;
    for (uint32_t i = 0; i < to->span_count; i++) {
        uint64_t length = varbit_get_unsigned(&r->in);
        int64_t offset = (int64_t)varbit_get_signed(&r->in);
        if (length > HISTOGRAM_BUCKETS_MAX || offset != (int32_t)offset) return ERR_CORRUPT;
        total += length;
        spans[i] = (struct hist_span){(int32_t)offset, (uint32_t)length};
    }
    if (r->in.bad || total > HISTOGRAM_BUCKETS_MAX) return ERR_CORRUPT;
    to->spans = spans;
    to->bucket_count = (uint32_t)total;
    return OK;
}

static enum err
get_layout(struct histogram_in *r)
{
    uint64_t b = bits_get(&r->in, 8);
    if (b == 255)
        r->h.zero_threshold_bits = bits_get_wide(&r->in, 64);
    else
        r->h.zero_threshold_bits = b == 0 ? 0 : (b + 779) << 52;
    int64_t schema = (int64_t)varbit_get_signed(&r->in);
    if (schema != (int32_t)schema) return ERR_CORRUPT;
    r->h.schema = (int32_t)schema;
    enum err e = get_spans(r, &r->h.positive);
    if (e) return e;
    e = get_spans(r, &r->h.negative);
    if (e) return e;
    if (r->h.schema == HISTOGRAM_SCHEMA_CUSTOM) {
        r->h.custom_count = get_count(&r->in, 5);
        uint64_t *custom = new_array(r->arena, r->h.custom_count, sizeof *custom);
        if (custom == NULL) return ERR_NOMEM;
        for (uint32_t i = 0; i < r->h.custom_count; i++) {
            uint64_t scaled = varbit_get_unsigned(&r->in);
            custom[i] =
                scaled == 0 ? bits_get_wide(&r->in, 64) : double_bits((double)(scaled - 1) / 1000);
        }
        r->h.custom_bits = custom;
        e = r->in.bad ? ERR_CORRUPT : OK;
        if (e) return e;
    }
    uint32_t positive = r->h.positive.bucket_count;
    uint64_t total = (uint64_t)positive + r->h.negative.bucket_count;
    if (total > bits_left(&r->in)) return ERR_CORRUPT;
    r->buckets = new_array(r->arena, total, sizeof *r->buckets);
    /* Both views are of 64-bit words, and a histogram uses only one of them. */
    void *values = new_array(r->arena, total, sizeof *r->counts);
    if (r->buckets == NULL || values == NULL) return ERR_NOMEM;
    if (r->h.kind == SAMPLE_HISTOGRAM_INT) {
        r->deltas = values;
        r->h.positive.deltas = r->deltas;
        r->h.negative.deltas = r->deltas + positive;
    } else {
        r->counts = values;
        r->h.positive.counts = r->counts;
        r->h.negative.counts = r->counts + positive;
    }
    return OK;
}

/* --- histograms: samples ---------------------------------------------------------------------- */

static uint64_t
get_dod(struct bits_in *in, struct dod_state *s)
{
    s->delta += varbit_get_signed(in);
    s->before += s->delta;
    return s->before;
}

static void
get_first(struct histogram_in *r)
{
    struct bits_in *in = &r->in;
    uint32_t total = r->h.positive.bucket_count + r->h.negative.bucket_count;
    r->time.before = varbit_get_signed(in);
    if (r->h.kind == SAMPLE_HISTOGRAM_INT) {
        r->h.count = r->count.dod.before = varbit_get_unsigned(in);
        r->h.zero_count = r->zero_count.dod.before = varbit_get_unsigned(in);
    } else {
        r->count.xored = (struct xor_state){bits_get_wide(in, 64), XOR_NO_WINDOW, 0};
        r->zero_count.xored = (struct xor_state){bits_get_wide(in, 64), XOR_NO_WINDOW, 0};
        r->h.count = r->count.xored.before;
        r->h.zero_count = r->zero_count.xored.before;
    }
    r->sum = (struct xor_state){bits_get_wide(in, 64), XOR_NO_WINDOW, 0};
    for (uint32_t i = 0; i < total; i++) {
        if (r->h.kind == SAMPLE_HISTOGRAM_INT) {
            r->buckets[i].dod.before = varbit_get_signed(in);
            r->deltas[i] = (int64_t)r->buckets[i].dod.before;
        } else {
            r->buckets[i].xored = (struct xor_state){bits_get_wide(in, 64), XOR_NO_WINDOW, 0};
            r->counts[i] = r->buckets[i].xored.before;
        }
    }
}

static void
get_next(struct histogram_in *r)
{
    struct bits_in *in = &r->in;
    uint32_t total = r->h.positive.bucket_count + r->h.negative.bucket_count;
    (void)get_dod(in, &r->time);
    if (r->h.kind == SAMPLE_HISTOGRAM_INT) {
        r->h.count = get_dod(in, &r->count.dod);
        r->h.zero_count = get_dod(in, &r->zero_count.dod);
    } else {
        r->h.count = xor_get(in, &r->count.xored);
        r->h.zero_count = xor_get(in, &r->zero_count.xored);
    }
    if (xor_get(in, &r->sum) == STALE_NAN_BITS) return;
    for (uint32_t i = 0; i < total; i++)
        if (r->h.kind == SAMPLE_HISTOGRAM_INT)
            r->deltas[i] = (int64_t)get_dod(in, &r->buckets[i].dod);
        else
            r->counts[i] = xor_get(in, &r->buckets[i].xored);
}

static enum reset_hint
hint_of(uint8_t header, uint32_t index)
{
    if ((header & CHUNK_RESET_GAUGE) == CHUNK_RESET_GAUGE) return RESET_GAUGE;
    if (index > 0) return RESET_NO;
    return (header & CHUNK_RESET_GAUGE) == CHUNK_RESET_YES ? RESET_YES : RESET_UNKNOWN;
}

static enum err
read_histograms(struct bits_in in, enum sample_kind kind, uint32_t count, struct arena *arena,
                each_function *each, void *context)
{
    struct histogram_in r = {.in = in, .arena = arena, .h.kind = kind};
    uint8_t header = (uint8_t)bits_get(&r.in, 8);
    if (r.in.bad) return ERR_CORRUPT;
    if (count == 0) return OK;
    enum err e = get_layout(&r);
    if (e) return e;
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0)
            get_first(&r);
        else
            get_next(&r);
        if (r.in.bad) return ERR_CORRUPT;
        r.h.sum_bits = r.sum.before;
        r.h.reset_hint = hint_of(header, i);
        struct histogram stale = {.kind = kind, .sum_bits = STALE_NAN_BITS};
        bool is_stale = r.h.sum_bits == STALE_NAN_BITS;
        e = each(context, (int64_t)r.time.before, 0, is_stale ? &stale : &r.h);
        if (e) return e;
    }
    return OK;
}

enum err
chunk_read(enum chunk_type type, struct bytes data, struct arena *arena, each_function *each,
           void *context)
{
    struct bits_in in = bits_in_of(data);
    uint32_t count = (uint32_t)bits_get(&in, 16);
    if (in.bad) return ERR_CORRUPT;
    switch (type) {
    case CHUNK_XOR:
        return read_xor(&in, count, each, context);
    case CHUNK_HISTOGRAM:
        return read_histograms(in, SAMPLE_HISTOGRAM_INT, count, arena, each, context);
    case CHUNK_FLOAT_HISTOGRAM:
        return read_histograms(in, SAMPLE_HISTOGRAM_FLOAT, count, arena, each, context);
    default:
        return ERR_CORRUPT;
    }
}
