/*
 * remote_read_samples.c - the SAMPLES answer: ReadResponse { 1: QueryResult { 1: TimeSeries } }, as
 * one snappy block.
 *
 * A snappy block is the uncompressed size and then elements, each a literal or a copy of bytes that
 * came shortly before. Elements of a block that was compressed alone never refer to bytes before
 * its beginning; so blocks without their sizes ("fragments"), concatenated after one common size,
 * are again a block. That allows compressing early and still inserting a length, which must precede
 * the bytes it counts, at the end: as a literal element of its own, a "mark".
 *
 *     stage (raw, 64 KiB) --compress--> fragments, a list of blocks of memory
 *                                       marks: "before byte `at` of the fragments insert a length"
 *
 * Marks cost a cut in the compression, so the lengths of series that fit the stage are put there
 * instead: a series begins with a gap as wide as the length of the previous series (they are
 * alike), and is moved by a byte or two if the gap was wrong. A series gets a mark only when the
 * stage overflows within the series and the series fills more than half of it.
 *
 * Both kinds of length, of a QueryResult and of a TimeSeries, have the same tag.
 */
#include "wire/remote/remote_read.h"

#include <assert.h>
#include <snappy-c.h>

#include "wire/record_pack.h"
#include "wire/remote/histogram_message.h"

enum {
    STAGE_BYTES = 65536, /* input that snappy compresses as one piece */
    STAGE_SLACK = 32,    /* kept free for gaps that are too narrow, stores of 8 bytes, ... */
    SAMPLE_BYTES_MAX = 2 + 9 + 1 + VARINT_SIZE_MAX,
    RECORD_BYTES = 2 + 9 + 1 + 6, /* a sample of current time whose value is not zero */
    BLOCK_BYTES_FIRST = 16 * 1024,
    BLOCK_BYTES_LAST = 256 * 1024,
    LABELS_BYTES_MAX = 64 << 20, /* ceilings that only broken callers reach */
    MESSAGE_BYTES_MAX = 64 << 20,
    MARKS_BYTES_MAX = 256 << 20,
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

_Static_assert(STAGE_SLACK >= 3 + RECORD_PACK_SLACK, "... and reads behind a literal");
_Static_assert((int)STAGE_BYTES <= (int)RECORD_PACK_BYTES_MAX, "a stage is one piece");

struct block {
    struct block *next;
    size_t capacity;
    size_t size;
    uint8_t data[];
};

struct samples_mark {
    uint64_t at;
    uint64_t length;
};

struct rr_samples {
    struct budget *budget;
    enum err failed; /* the first error: all later calls repeat it */
    bool ended;

    uint8_t *stage;
    size_t staged;
    size_t record_bytes; /* bytes of the stage, roughly: samples of RECORD_BYTES with new values */
    uint64_t last_bits;
    uint8_t *packed; /* one fragment, before it is appended to the list */
    size_t packed_bytes;

    struct block *first;
    struct block *last;
    uint64_t fragment_bytes; /* size of the list */
    uint64_t raw_bytes;      /* uncompressed size of the list */
    struct buf marks;        /* struct samples_mark, ascending */

    bool in_query;
    size_t query_mark;
    uint64_t query_bytes;

    bool in_series;      /* the series has labels */
    bool series_written; /* the labels are in the stage: the series has a sample */
    bool series_marked;  /* the series' length has a mark, else a gap in the stage */
    size_t series_at;    /* offset of the series' tag in the stage, if it has no mark */
    size_t series_mark;
    size_t gap;
    uint64_t series_bytes;
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
    buf_init(&s->marks, budget, MARKS_BYTES_MAX);
    buf_init(&s->labels, budget, LABELS_BYTES_MAX);
    buf_init(&s->message, budget, MESSAGE_BYTES_MAX);
    s->packed_bytes = snappy_max_compressed_length(STAGE_BYTES);
    s->stage = mem_alloc(budget, STAGE_BYTES);
    s->packed = mem_alloc(budget, s->packed_bytes);
    if (s->stage == NULL || s->packed == NULL) {
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
    mem_free(s->budget, s->stage, STAGE_BYTES);
    mem_free(s->budget, s->packed, s->packed_bytes);
    buf_fini(&s->marks);
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

/* --- fragments and marks ---------------------------------------------------------------------- */

static struct block *
add_block(struct rr_samples *s)
{
    size_t capacity = s->last == NULL ? BLOCK_BYTES_FIRST : s->last->capacity * 2;
    if (capacity > BLOCK_BYTES_LAST) capacity = BLOCK_BYTES_LAST;
    struct block *b = mem_alloc(s->budget, sizeof *b + capacity);
    if (b == NULL) return NULL;
    *b = (struct block){.capacity = capacity};
    if (s->last == NULL) {
        s->first = b;
    } else {
        s->last->next = b;
    }
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

/* Compresses `raw`, a part of the stage, into a fragment. If it is mostly samples with changing
 * values, repetition is from sample to sample only and record_pack() is faster; libsnappy
 * compresses the rest (labels, histograms, repeated values). */
static enum err
compress(struct rr_samples *s, struct bytes raw)
{
    if (raw.size == 0) return OK;
    if (s->raw_bytes + raw.size > UINT32_MAX) return ERR_LIMIT;
    s->raw_bytes += raw.size;
    if (s->record_bytes >= raw.size / 10 * 9) {
        return keep_fragment(s, bytes_of(s->packed, record_pack(s->packed, raw, RECORD_BYTES)));
    }
    size_t size = s->packed_bytes;
    snappy_status status =
        snappy_compress((const char *)raw.at, raw.size, (char *)s->packed, &size);
    assert(status == SNAPPY_OK);
    size_t prefix = varint_size(raw.size);
    return keep_fragment(s, bytes_of(s->packed + prefix, size - prefix));
}

/* Adds a mark here, whose length is set later. */
static enum err
add_mark(struct rr_samples *s, size_t *ret_index)
{
    struct samples_mark mark = {.at = s->fragment_bytes};
    size_t index = s->marks.size / sizeof mark;
    buf_put(&s->marks, &mark, sizeof mark);
    if (buf_error(&s->marks)) return buf_error(&s->marks);
    *ret_index = index;
    return OK;
}

static struct samples_mark *
mark_at(const struct rr_samples *s, size_t index)
{
    void *marks = s->marks.at;
    return (struct samples_mark *)marks + index;
}

/* --- the stage -------------------------------------------------------------------------------- */

/* Frees at least half of the stage. */
static enum err
spill(struct rr_samples *s)
{
    bool has_gap = s->series_written && !s->series_marked;
    size_t closed = has_gap ? s->series_at : s->staged;
    enum err e = compress(s, bytes_of(s->stage, closed));
    if (e) return e;
    size_t open = s->staged - closed;
    s->record_bytes = open < s->record_bytes ? open : s->record_bytes;
    s->staged = 0;
    s->series_at = 0;
    if (open > STAGE_BYTES / 2) {
        s->series_marked = true;
        e = add_mark(s, &s->series_mark);
        if (e) return e;
        return compress(s, bytes_of(s->stage + closed + 1 + s->gap, open - 1 - s->gap));
    }
    memmove(s->stage, s->stage + closed, open);
    s->staged = open;
    return OK;
}

/* Makes room for `size` bytes, at most half a stage. */
static inline enum err
need_room(struct rr_samples *s, size_t size)
{
    return s->staged + size <= STAGE_BYTES - STAGE_SLACK ? OK : spill(s);
}

static enum err
put_stage(struct rr_samples *s, struct bytes b)
{
    s->series_bytes += b.size;
    while (b.size > 0) {
        enum err e = need_room(s, 1);
        if (e) return e;
        size_t some = STAGE_BYTES - STAGE_SLACK - s->staged;
        if (some > b.size) some = b.size;
        memcpy(s->stage + s->staged, b.at, some);
        s->staged += some;
        b.at += some;
        b.size -= some;
    }
    return OK;
}

static enum err
rr_samples_begin_series(struct rr_samples *s)
{
    if (s->series_written) return OK;
    enum err e = need_room(s, 1 + VARINT_SIZE_MAX);
    if (e) return e;
    s->series_written = true;
    s->series_marked = false;
    s->series_at = s->staged;
    s->series_bytes = 0;
    s->stage[s->staged] = TAG_LENGTH;
    s->staged += 1 + s->gap;
    return put_stage(s, buf_bytes(&s->labels));
}

static void
rr_samples_end_series(struct rr_samples *s)
{
    s->in_series = false;
    if (!s->series_written) return;
    s->series_written = false;
    /* Includes the tag and the length. */
    s->query_bytes += 1 + varint_size(s->series_bytes) + s->series_bytes;
    if (s->series_marked) {
        mark_at(s, s->series_mark)->length = s->series_bytes;
        return;
    }
    uint8_t *length = s->stage + s->series_at + 1;
    size_t size = varint_size(s->series_bytes);
    if (size != s->gap) {
        memmove(length + size, length + s->gap, (size_t)s->series_bytes);
        s->staged = s->staged - s->gap + size;
        s->gap = size;
    }
    (void)varint_put(length, s->series_bytes);
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
    enum err e = rr_samples_begin_series(s);
    if (e) return rr_samples_fail(s, e);
    for (uint32_t i = 0; i < count; i++) {
        e = need_room(s, SAMPLE_BYTES_MAX);
        if (e) return rr_samples_fail(s, e);
        size_t size = rr_samples_put_sample(s->stage + s->staged, times_ms[i], bits[i]);
        s->staged += size;
        s->series_bytes += size;
        s->record_bytes += size == RECORD_BYTES && bits[i] != s->last_bits ? RECORD_BYTES : 0;
        s->last_bits = bits[i];
    }
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
    enum err e = rr_samples_begin_series(s);
    if (e) return rr_samples_fail(s, e);
    for (uint32_t i = 0; i < count; i++) {
        buf_clear(&s->message);
        histogram_message_put(&s->message, times_ms[i], 0, &h[i]);
        e = buf_error(&s->message);
        if (e) return rr_samples_fail(s, e);
        uint8_t head[1 + VARINT_SIZE_MAX] = {TAG_HISTOGRAM};
        size_t head_size = 1 + varint_put(head + 1, s->message.size);
        e = put_stage(s, bytes_of(head, head_size));
        if (e) return rr_samples_fail(s, e);
        e = put_stage(s, buf_bytes(&s->message));
        if (e) return rr_samples_fail(s, e);
    }
    return OK;
}

/* --- queries, series, the end ----------------------------------------------------------------- */

static enum err
end_query(struct rr_samples *s)
{
    rr_samples_end_series(s);
    enum err e = spill(s);
    if (e) return e;
    if (s->in_query) mark_at(s, s->query_mark)->length = s->query_bytes;
    s->in_query = false;
    return OK;
}

enum err
rr_samples_query(struct rr_samples *s)
{
    if (s->failed) return s->failed;
    assert(!s->ended);
    enum err e = end_query(s);
    if (e) return rr_samples_fail(s, e);
    e = add_mark(s, &s->query_mark);
    if (e) return rr_samples_fail(s, e);
    s->in_query = true;
    s->query_bytes = 0;
    return OK;
}

enum err
rr_samples_series(struct rr_samples *s, struct bytes labels)
{
    if (s->failed) return s->failed;
    assert(s->in_query);
    rr_samples_end_series(s);
    buf_clear(&s->labels);
    buf_put_bytes(&s->labels, labels);
    if (buf_error(&s->labels)) return rr_samples_fail(s, buf_error(&s->labels));
    s->in_series = true;
    return OK;
}

/* Returns the uncompressed size of the block, lengths included. */
static uint64_t
raw_size(const struct rr_samples *s)
{
    uint64_t size = s->raw_bytes;
    for (size_t i = 0; i < s->marks.size / sizeof(struct samples_mark); i++) {
        size += 1 + varint_size(mark_at(s, i)->length);
    }
    return size;
}

/* Writes the whole block in order: its size, then fragments and marks. */
static enum err
write_pieces(const struct rr_samples *s, const struct rr_sink *sink, struct why *why)
{
    uint8_t small[2 + VARINT_SIZE_MAX];
    size_t small_size = varint_put(small, raw_size(s));
    enum err e = sink->write(sink->context, bytes_of(small, small_size), why);
    uint64_t block_at = 0;
    const struct block *b = s->first;
    size_t used = 0; /* bytes of the block written */
    size_t mark_count = s->marks.size / sizeof(struct samples_mark);
    for (size_t i = 0; i <= mark_count && e == OK; i++) {
        uint64_t until = i < mark_count ? mark_at(s, i)->at : s->fragment_bytes;
        while (e == OK && block_at + used < until) {
            uint64_t left = until - block_at - used;
            size_t some = left < b->size - used ? (size_t)left : b->size - used;
            e = sink->write(sink->context, bytes_of(b->data + used, some), why);
            used += some;
            if (used < b->size) continue;
            block_at += b->size;
            b = b->next;
            used = 0;
        }
        if (e != OK || i == mark_count) break;
        /* A literal element: its size less one in the upper six bits of the first byte. */
        size_t size = 1 + varint_put(small + 2, mark_at(s, i)->length);
        small[0] = (uint8_t)((size - 1) << 2);
        small[1] = TAG_LENGTH;
        e = sink->write(sink->context, bytes_of(small, 1 + size), why);
    }
    return e;
}

enum err
rr_samples_end(struct rr_samples *s, uint64_t *ret_size)
{
    if (s->failed) return s->failed;
    enum err e = end_query(s);
    if (e) return rr_samples_fail(s, e);
    uint64_t raw = raw_size(s);
    if (raw > UINT32_MAX) return rr_samples_fail(s, ERR_LIMIT);
    s->ended = true;
    size_t mark_count = s->marks.size / sizeof(struct samples_mark);
    *ret_size = varint_size(raw) + s->fragment_bytes + (raw - s->raw_bytes) + mark_count;
    return OK;
}

enum err
rr_samples_write(struct rr_samples *s, const struct rr_sink *sink, struct why *why)
{
    if (s->failed) return s->failed;
    assert(s->ended);
    enum err e = write_pieces(s, sink, why);
    return e ? rr_samples_fail(s, e) : OK;
}
