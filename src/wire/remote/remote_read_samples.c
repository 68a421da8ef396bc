/*
 * remote_read_samples.c - the SAMPLES answer: ReadResponse { 1: QueryResult { 1: TimeSeries } }, as
 * one snappy block.
 *
 * A snappy block is the uncompressed size and then elements, each a literal or a copy of bytes that
 * came shortly before. Elements of a block that was compressed alone never refer to bytes before
 * its beginning; so blocks without their sizes ("fragments"), concatenated after one common size,
 * are again a block. That allows compressing early and still writing a length, which must precede
 * the bytes it counts, at the end: a QueryResult's tag and length are a literal element of their
 * own among the fragments, of fixed size, which is overwritten. Its length takes five bytes,
 * whatever it is, which protobuf allows.
 *
 * A series is in `raw` until it ends: it begins with a gap as wide as the length of the previous
 * series (they are alike), and is moved by a byte or two if the gap was wrong. `raw` is compressed
 * 64 KiB at a time.
 */
#include "wire/remote/remote_read.h"

#include <assert.h>
#include <snappy-c.h>

#include "wire/proto.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

enum {
    PIECE_BYTES = 65536, /* input that snappy compresses as one piece */
    SAMPLE_BYTES_MAX = 2 + 9 + 1 + VARINT_SIZE_MAX,
    RECORD_BYTES = 2 + 9 + 1 + 6, /* a sample of current time whose value is not zero */
    BLOCK_BYTES_FIRST = 16 * 1024,
    BLOCK_BYTES_LAST = 256 * 1024,
    MESSAGE_BYTES_MAX = 64 << 20, /* ceilings that only broken callers reach */
    LENGTH_BYTES = 5,             /* of the length of a QueryResult */
};

/* QueryResult in ReadResponse and TimeSeries in QueryResult; then the fields of TimeSeries and
 * Sample. */
enum {
    TAG_LENGTH = 1 << 3 | 2,
    TAG_SAMPLE = 2 << 3 | 2,
    TAG_HISTOGRAM = 4 << 3 | 2,
    TAG_SAMPLE_VALUE = 1 << 3 | 1,
    TAG_SAMPLE_TIME = 2 << 3 | 0,
};

_Static_assert((int)PIECE_BYTES <= (int)RECORD_PACK_BYTES_MAX, "a piece is compressed at once");

struct block {
    struct block *next;
    size_t capacity;
    size_t size;
    uint8_t data[];
};

struct rr_samples {
    struct budget *budget;
    enum err failed; /* the first error: all later calls repeat it */
    bool ended;

    struct buf raw;      /* not compressed: series that have ended, and the present one */
    size_t record_bytes; /* bytes of it, roughly: samples of RECORD_BYTES with new values */
    uint64_t last_bits;
    uint8_t *packed; /* one fragment, before it is appended to the list */
    size_t packed_bytes;

    struct block *first;
    struct block *last;
    uint64_t fragment_bytes; /* size of the list */
    uint64_t raw_bytes;      /* uncompressed size of the list */

    uint8_t *query_length; /* in a block; NULL before the first query */
    uint64_t query_bytes;

    bool in_series;      /* the series has labels */
    bool series_written; /* the labels are in `raw`: the series has a sample */
    size_t series_at;    /* offset of the series' tag in `raw` */
    size_t gap;
    struct buf labels;
    struct buf message; /* a histogram */
};

enum err
rr_samples_new(struct budget *budget, struct rr_samples **ret_samples)
{
    struct rr_samples *s = mem_new(budget, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->budget = budget;
    s->gap = 2;
    buf_init(&s->labels, budget, MESSAGE_BYTES_MAX);
    buf_init(&s->raw, budget, (size_t)UINT32_MAX + PIECE_BYTES);
    buf_init(&s->message, budget, MESSAGE_BYTES_MAX);
    s->packed_bytes = snappy_max_compressed_length(PIECE_BYTES);
    s->packed = mem_alloc(budget, s->packed_bytes);
    if (s->packed == NULL) {
        rr_samples_free(s);
        return ERR_NOMEM;
    }
    *ret_samples = s;
    return OK;
}

void
rr_samples_free(struct rr_samples *s)
{
    if (s == NULL) return;
    struct block *next;
    for (struct block *b = s->first; b != NULL; b = next) {
        next = b->next;
        mem_free(s->budget, b, sizeof *b + b->capacity);
    }
    mem_free(s->budget, s->packed, s->packed_bytes);
    buf_fini(&s->raw);
    buf_fini(&s->labels);
    buf_fini(&s->message);
    mem_free(s->budget, s, sizeof *s);
}

static enum err
rr_samples_fail(struct rr_samples *s, enum err e)
{
    s->failed = e;
    return e;
}

/* --- fragments -------------------------------------------------------------------------------- */

static struct block *
add_block(struct rr_samples *s)
{
    size_t capacity = s->last == NULL ? BLOCK_BYTES_FIRST : s->last->capacity * 2;
    if (capacity > BLOCK_BYTES_LAST) capacity = BLOCK_BYTES_LAST;
    struct block *b = mem_alloc(s->budget, sizeof *b + capacity);
    if (b == NULL) return NULL;
    *b = (struct block){.capacity = capacity};
    if (s->last == NULL)
        s->first = b;
    else
        s->last->next = b;
    s->last = b;
    return b;
}

static enum err
keep_fragment(struct rr_samples *s, struct bytes fragment)
{
    s->fragment_bytes += fragment.size;
    while (fragment.size > 0) {
        struct block *b = s->last;
        if (b == NULL || b->size == b->capacity) b = add_block(s);
        if (b == NULL) return ERR_NOMEM;
        size_t some = b->capacity - b->size;
        if (some > fragment.size) some = fragment.size;
        memcpy(b->data + b->size, fragment.at, some);
        b->size += some;
        fragment.at += some;
        fragment.size -= some;
    }
    return OK;
}

/* Compresses a piece into a fragment. */
static enum err
compress(struct rr_samples *s, struct bytes raw, bool is_records)
{
    if (s->raw_bytes + raw.size > UINT32_MAX) return ERR_LIMIT;
    s->raw_bytes += raw.size;
    if (is_records)
        return keep_fragment(s, bytes_of(s->packed, record_pack(s->packed, raw, RECORD_BYTES)));
    size_t size = s->packed_bytes;
    snappy_status status =
        snappy_compress((const char *)raw.at, raw.size, (char *)s->packed, &size);
    assert(status == SNAPPY_OK);
    size_t prefix = varint_size(raw.size);
    return keep_fragment(s, bytes_of(s->packed + prefix, size - prefix));
}

/* Compresses all of `raw`. If it is mostly samples with changing values, repetition is from sample
 * to sample only and record_pack() is faster; libsnappy compresses the rest (labels, histograms,
 * repeated values). */
static enum err
spill(struct rr_samples *s)
{
    struct bytes raw = buf_bytes(&s->raw);
    bool is_records = s->record_bytes >= raw.size / 10 * 9;
    assert(!s->series_written);
    if (!buf_reserve(&s->raw, RECORD_PACK_SLACK)) return buf_error(&s->raw);
    raw.at = s->raw.at;
    enum err e = OK;
    while (raw.size > 0 && e == OK) {
        size_t some = raw.size < PIECE_BYTES ? raw.size : PIECE_BYTES;
        e = compress(s, bytes_of(raw.at, some), is_records);
        raw = bytes_of(raw.at + some, raw.size - some);
    }
    buf_clear(&s->raw);
    s->record_bytes = 0;
    return e;
}

/* --- series ----------------------------------------------------------------------------------- */

static void
rr_samples_begin_series(struct rr_samples *s)
{
    static const uint8_t head[1 + VARINT_SIZE_MAX] = {TAG_LENGTH};
    if (s->series_written) return;
    s->series_written = true;
    s->series_at = s->raw.size;
    buf_put(&s->raw, head, 1 + s->gap);
    buf_put_bytes(&s->raw, buf_bytes(&s->labels));
}

static enum err
rr_samples_end_series(struct rr_samples *s)
{
    s->in_series = false;
    if (!s->series_written) return OK;
    s->series_written = false;
    size_t bytes = s->raw.size - s->series_at - 1 - s->gap, size = varint_size(bytes);
    if (!buf_reserve(&s->raw, VARINT_SIZE_MAX)) return buf_error(&s->raw);
    uint8_t *length = s->raw.at + s->series_at + 1;
    if (size != s->gap) {
        memmove(length + size, length + s->gap, bytes);
        s->raw.size = s->raw.size - s->gap + size;
        s->gap = size;
    }
    (void)varint_put(length, bytes);
    s->query_bytes += 1 + size + bytes;
    return s->raw.size >= PIECE_BYTES ? spill(s) : OK;
}

/* --- floats ----------------------------------------------------------------------------------- */

/* varint_put() for present-day times, without a branch per byte. Stores 8 bytes. */
static inline size_t
rr_samples_put_time(uint8_t *out, uint64_t t)
{
    if (t >= (uint64_t)1 << 56) return varint_put(out, t);
    size_t size = varint_size(t);
    /* Spreads the number into 7 bits per byte: in halves, quarters, eighths. */
    t = (t & 0x000000000fffffffu) | (t & 0x00fffffff0000000u) << 4;
    t = (t & 0x00003fff00003fffu) | (t & 0x0fffc0000fffc000u) << 2;
    t = (t & 0x007f007f007f007fu) | (t & 0x3f803f803f803f80u) << 1;
    uint64_t more = 0x0080808080808080u & (((uint64_t)1 << (8 * (size - 1))) - 1);
    store_le64(out, t | more);
    return size;
}

static inline size_t
rr_samples_put_sample(uint8_t *out, int64_t t_ms, uint64_t bits)
{
    uint8_t *p = out + 2;
    if (bits != 0) {
        *p = TAG_SAMPLE_VALUE;
        store_le64(p + 1, bits);
        p += 9;
    }
    if (t_ms != 0) {
        *p = TAG_SAMPLE_TIME;
        p += 1 + rr_samples_put_time(p + 1, (uint64_t)t_ms);
    }
    out[0] = TAG_SAMPLE;
    out[1] = (uint8_t)(p - out - 2);
    return (size_t)(p - out);
}

enum err
rr_samples_floats(struct rr_samples *s, uint32_t count, const int64_t *times_ms,
                  const uint64_t *bits)
{
    if (s->failed) return s->failed;
    assert(s->in_series);
    if (count == 0) return OK;
    rr_samples_begin_series(s);
    if (!buf_reserve(&s->raw, (size_t)count * SAMPLE_BYTES_MAX))
        return rr_samples_fail(s, buf_error(&s->raw));
    uint8_t *to = s->raw.at + s->raw.size;
    for (uint32_t i = 0; i < count; i++) {
        size_t size = rr_samples_put_sample(to, times_ms[i], bits[i]);
        to += size;
        s->record_bytes += size == RECORD_BYTES && bits[i] != s->last_bits ? RECORD_BYTES : 0;
        s->last_bits = bits[i];
    }
    s->raw.size = (size_t)(to - s->raw.at);
    return OK;
}

/* --- histograms ------------------------------------------------------------------------------- */

enum err
rr_samples_histograms(struct rr_samples *s, uint32_t count, const int64_t *times_ms,
                      const struct histogram *h)
{
    if (s->failed) return s->failed;
    assert(s->in_series);
    if (count == 0) return OK;
    rr_samples_begin_series(s);
    for (uint32_t i = 0; i < count; i++) {
        buf_clear(&s->message);
        histogram_message_put(&s->message, times_ms[i], 0, &h[i]);
        enum err e = buf_error(&s->message);
        if (e) return rr_samples_fail(s, e);
        proto_put_bytes(&s->raw, TAG_HISTOGRAM, buf_bytes(&s->message));
    }
    return buf_error(&s->raw) ? rr_samples_fail(s, buf_error(&s->raw)) : OK;
}

/* --- queries, series, the end ----------------------------------------------------------------- */

static enum err
end_query(struct rr_samples *s)
{
    enum err e = rr_samples_end_series(s);
    if (e == OK) e = spill(s);
    for (unsigned i = 0; e == OK && s->query_length != NULL && i < LENGTH_BYTES; i++) {
        s->query_length[i] =
            (uint8_t)((s->query_bytes >> 7 * i & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
    }
    return e;
}

enum err
rr_samples_query(struct rr_samples *s)
{
    /* The literal's size less one is in the upper six bits of the first byte. */
    static const uint8_t mark[1 + 1 + LENGTH_BYTES] = {LENGTH_BYTES << 2, TAG_LENGTH};
    if (s->failed) return s->failed;
    assert(!s->ended);
    enum err e = end_query(s);
    if (e) return rr_samples_fail(s, e);
    bool has_room = s->last != NULL && s->last->capacity - s->last->size >= sizeof mark;
    if (!has_room && add_block(s) == NULL) return rr_samples_fail(s, ERR_NOMEM);
    s->query_length = s->last->data + s->last->size + 2;
    s->query_bytes = 0;
    s->raw_bytes += 1 + LENGTH_BYTES;
    e = keep_fragment(s, bytes_of(mark, sizeof mark));
    return e ? rr_samples_fail(s, e) : OK;
}

enum err
rr_samples_series(struct rr_samples *s, struct bytes labels)
{
    if (s->failed) return s->failed;
    assert(s->query_length != NULL);
    enum err e = rr_samples_end_series(s);
    if (e) return rr_samples_fail(s, e);
    buf_clear(&s->labels);
    buf_put_bytes(&s->labels, labels);
    if (buf_error(&s->labels)) return rr_samples_fail(s, buf_error(&s->labels));
    s->in_series = true;
    return OK;
}

enum err
rr_samples_end(struct rr_samples *s, uint64_t *ret_size)
{
    if (s->failed) return s->failed;
    enum err e = end_query(s);
    if (e == OK && s->raw_bytes > UINT32_MAX) e = ERR_LIMIT;
    if (e) return rr_samples_fail(s, e);
    s->ended = true;
    *ret_size = varint_size(s->raw_bytes) + s->fragment_bytes;
    return OK;
}

enum err
rr_samples_write(struct rr_samples *s, const struct rr_sink *sink, struct why *why)
{
    uint8_t size[VARINT_SIZE_MAX];
    if (s->failed) return s->failed;
    assert(s->ended);
    enum err e = sink->write(sink->context, bytes_of(size, varint_put(size, s->raw_bytes)), why);
    for (const struct block *b = s->first; b != NULL && e == OK; b = b->next)
        e = sink->write(sink->context, bytes_of(b->data, b->size), why);
    return e ? rr_samples_fail(s, e) : OK;
}
