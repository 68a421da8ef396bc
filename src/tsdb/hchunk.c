/* hchunk.c - writes chunks of the head: see hchunk.h for the tokens. */

#include <assert.h>

#include "tsdb/codec.h"
#include "tsdb/hchunk_private.h"

enum { FIRST_CAPACITY = 32 };

uint32_t
hchunk_visible(uint32_t count, uint32_t tag, uint32_t now, uint32_t before, uint32_t durable_epoch)
{
    int32_t ahead = (int32_t)(tag - durable_epoch);
    if (ahead <= 0) return count;
    return ahead == 1 ? count - now : count - now - before;
}

uint32_t
hchunk_epoch(uint32_t index, uint32_t count, uint32_t tag, uint32_t now, uint32_t before)
{
    if (index >= count - now) return tag;
    return index >= count - now - before ? tag - 1 : 0;
}

bool
hchunk_takes(const struct hchunk_open *open, enum sample_kind kind, int64_t t_ms)
{
    return open->count == 0 ||
           (open->count < HCHUNK_SAMPLES_MAX && open->size_bytes < HCHUNK_BYTES_FULL &&
            open->kind == kind && t_ms > open->last_ms);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static bool
is_finite_bits(uint64_t bits)
{
    return (bits & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

static uint8_t *
put_z(uint8_t *p, uint64_t z)
{
    assert(z > 0);
    if (z <= 64) {
        *p++ = (uint8_t)(0x40 + z - 1);
    } else if (z < 1u << 14) {
        *p++ = (uint8_t)(0x80 | z >> 8);
        *p++ = (uint8_t)z;
    } else if (z < 1u << 21) {
        *p++ = (uint8_t)(0xC0 | z >> 16);
        store_le16(p, (uint16_t)z);
        p += 2;
    } else if (z < 1u << 28) {
        *p++ = (uint8_t)(0xE0 | z >> 24);
        *p++ = (uint8_t)z;
        *p++ = (uint8_t)(z >> 8);
        *p++ = (uint8_t)(z >> 16);
    } else {
        unsigned n = (unsigned)(71 - __builtin_clzll(z)) / 8;
        if (n < 4) n = 4;
        *p++ = (uint8_t)(0xF0 + n - 4);
        for (unsigned i = 0; i < n; i++) {
            *p++ = (uint8_t)(z >> (8 * i));
        }
    }
    return p;
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
open_grow(struct hchunk_open *o, struct gmem *gmem, size_t more)
{
    if (o->capacity_bytes - o->size_bytes >= more) return OK;
    size_t capacity = o->capacity_bytes + o->capacity_bytes / 2;
    if (capacity < FIRST_CAPACITY) capacity = FIRST_CAPACITY;
    if (capacity < o->size_bytes + more) capacity = o->size_bytes + more;
    capacity = gmem_piece_bytes(capacity);
    uint8_t *bytes = gmem_grow(gmem, o->bytes, o->capacity_bytes, o->size_bytes, capacity);
    if (bytes == NULL) return ERR_NOMEM;
    o->bytes = bytes;
    o->capacity_bytes = (uint32_t)capacity;
    return OK;
}

static size_t
grow_reserve(const struct hchunk_open *o, size_t more)
{
    size_t room = o->capacity_bytes + o->capacity_bytes / 2;
    if (room < o->size_bytes + more) room = o->size_bytes + more;
    return gmem_piece_bytes(room < FIRST_CAPACITY ? FIRST_CAPACITY : room);
}

size_t
hchunk_float_reserve(const struct hchunk_open *open)
{
    size_t seal = gmem_piece_bytes(sizeof(struct hchunk) + open->size_bytes);
    return seal + grow_reserve(open, HCHUNK_FLOAT_BYTES_MAX);
}

static void
note_pending(struct hchunk_open *o, uint32_t epoch)
{
    if (o->tag == epoch) {
        o->pending_now++;
        return;
    }
    o->pending_before = o->tag + 1 == epoch ? o->pending_now : 0;
    o->pending_now = 1;
    o->tag = epoch;
}

static void
open_begin(struct hchunk_open *o, enum sample_kind kind, int64_t t_ms)
{
    o->kind = (uint8_t)kind;
    o->first_ms = o->last_ms = t_ms;
    o->step_ms = 0;
    o->start_ms = 0;
    o->last_bits = 0;
    o->last_k = 0;
    o->exponent = 0;
    o->run_open = false;
    o->size_bytes = (uint32_t)varint_put(o->bytes, zigzag(t_ms));
}

/* Chooses how to write a value that is not the last one again; updates the scale. */
static uint8_t *
put_value(struct hchunk_open *o, uint8_t *p, uint64_t bits)
{
    if (o->exponent == EXPONENT_BITS) {
        int64_t k = ordered_of_bits(bits);
        p = put_z(p, zigzag((int64_t)((uint64_t)k - (uint64_t)o->last_k)));
        o->last_k = k;
        return p;
    }
    unsigned e;
    int64_t k;
    if (!is_finite_bits(bits) || bits == 0x8000000000000000u) {
        *p++ = TOKEN_BITS;
        store_le64(p, bits);
        return p + 8;
    }
    if (!codec_decimal(bits, o->exponent, &e, &k)) {
        e = EXPONENT_BITS;
        k = ordered_of_bits(bits);
    }
    if (e != o->exponent) {
        *p++ = TOKEN_SCALE;
        *p++ = (uint8_t)e;
        o->exponent = (uint8_t)e;
        o->last_k = 0;
    }
    uint64_t z = zigzag((int64_t)((uint64_t)k - (uint64_t)o->last_k));
    o->last_k = k;
    if (z == 0) { /* after a special value: k is the one before it */
        *p++ = TOKEN_BITS;
        store_le64(p, bits);
        return p + 8;
    }
    return put_z(p, z);
}

static void
put_sample(struct hchunk_open *o, int64_t t_ms, uint64_t bits, int64_t start_ms)
{
    uint8_t *p = o->bytes + o->size_bytes;
    int64_t step = (int64_t)((uint64_t)t_ms - (uint64_t)o->last_ms);
    int64_t turn = (int64_t)((uint64_t)step - (uint64_t)o->step_ms);
    bool same_value = bits == o->last_bits; /* the first after 0 */
    bool prefixed = turn != 0 || start_ms != o->start_ms;
    if (!prefixed && same_value) {
        if (o->run_open && p[-1] < 0x3F) {
            p[-1]++;
        } else {
            *p++ = 0;
            o->run_open = true;
        }
    } else {
        if (turn != 0) {
            *p++ = TOKEN_TIME;
            p += varint_put(p, zigzag(turn));
        }
        if (start_ms != o->start_ms) {
            *p++ = TOKEN_START;
            p += varint_put(p, zigzag((int64_t)((uint64_t)start_ms - (uint64_t)o->start_ms)));
        }
        if (same_value) {
            *p++ = TOKEN_SAME;
        } else {
            p = put_value(o, p, bits);
        }
        o->run_open = false;
    }
    o->size_bytes = (uint32_t)(p - o->bytes);
    assert(o->size_bytes <= o->capacity_bytes);
    o->step_ms = step;
    o->last_ms = t_ms;
    o->last_bits = bits;
    o->start_ms = start_ms;
}

enum err
hchunk_put_float(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms, uint64_t bits,
                 int64_t start_ms, uint32_t epoch)
{
    assert(hchunk_takes(o, SAMPLE_FLOAT, t_ms));
    enum err e = open_grow(o, gmem, HCHUNK_FLOAT_BYTES_MAX);
    if (e) return e;
    if (o->count == 0) open_begin(o, SAMPLE_FLOAT, t_ms);
    put_sample(o, t_ms, bits, start_ms);
    o->count++;
    note_pending(o, epoch);
    return OK;
}

/* --- histograms ------------------------------------------------------------------------------- */

static size_t
histogram_put_max(const struct histogram *h)
{
    return 128 + 20 * (size_t)(h->positive.span_count + h->negative.span_count) +
           10 * (size_t)(h->positive.bucket_count + h->negative.bucket_count) +
           10 * (size_t)h->custom_count;
}

static size_t
row_max(const struct histogram *h)
{
    return 64 + 10 * (size_t)(h->positive.bucket_count + h->negative.bucket_count);
}

static size_t
histogram_memory(const struct histogram *h)
{
    return sizeof *h +
           sizeof(struct hist_span) * (h->positive.span_count + h->negative.span_count) +
           8 * ((size_t)h->positive.bucket_count + h->negative.bucket_count + h->custom_count);
}

size_t
hchunk_histogram_reserve(const struct hchunk_open *open, const struct histogram *h)
{
    size_t seal = gmem_piece_bytes(sizeof(struct hchunk) + open->size_bytes);
    return seal + grow_reserve(open, 32 + histogram_put_max(h) + row_max(h)) +
           gmem_piece_bytes(histogram_memory(h));
}

/* A copy with its arrays behind it, in one piece. */
static struct histogram *
histogram_keep(struct gmem *gmem, const struct histogram *h)
{
    struct histogram *copy = gmem_alloc(gmem, histogram_memory(h));
    if (copy == NULL) return NULL;
    *copy = *h;
    uint8_t *at = (uint8_t *)(copy + 1);
    struct {
        const void *from;
        size_t size;
        const void **to;
    } arrays[] = {
        {h->positive.spans, h->positive.span_count * sizeof(struct hist_span),
         (const void **)&copy->positive.spans},
        {h->negative.spans, h->negative.span_count * sizeof(struct hist_span),
         (const void **)&copy->negative.spans},
        {h->positive.deltas, h->positive.deltas == NULL ? 0 : h->positive.bucket_count * 8u,
         (const void **)&copy->positive.deltas},
        {h->negative.deltas, h->negative.deltas == NULL ? 0 : h->negative.bucket_count * 8u,
         (const void **)&copy->negative.deltas},
        {h->positive.counts, h->positive.counts == NULL ? 0 : h->positive.bucket_count * 8u,
         (const void **)&copy->positive.counts},
        {h->negative.counts, h->negative.counts == NULL ? 0 : h->negative.bucket_count * 8u,
         (const void **)&copy->negative.counts},
        {h->custom_bits, h->custom_count * 8u, (const void **)&copy->custom_bits},
    };
    for (unsigned i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i].to = NULL; /* nothing of the caller's is kept */
        if (arrays[i].size == 0) continue;
        memcpy(at, arrays[i].from, arrays[i].size);
        *arrays[i].to = at;
        at += arrays[i].size;
    }
    return copy;
}

static uint8_t *
put_word(uint8_t *p, uint64_t now, uint64_t before, bool integer)
{
    return p + varint_put(p, integer ? zigzag((int64_t)(now - before))
                                     : __builtin_bswap64(now ^ before));
}

static uint8_t *
put_buckets(uint8_t *p, const struct hist_buckets *now, struct hist_buckets *last, bool integer)
{
    const uint64_t *words = bucket_words(now);
    uint64_t *before = bucket_words(last);
    for (uint32_t i = 0; i < now->bucket_count; i++) {
        p = put_word(p, words[i], before[i], integer);
        before[i] = words[i];
    }
    return p;
}

/* Writes the difference to `last`, and makes `last` equal to `h`. */
static void
put_row(struct hchunk_open *o, int64_t t_ms, const struct histogram *h, int64_t start_ms)
{
    struct histogram *last = o->last_histogram;
    bool integer = h->kind == SAMPLE_HISTOGRAM_INT;
    uint8_t *p = o->bytes + o->size_bytes;
    int64_t step = (int64_t)((uint64_t)t_ms - (uint64_t)o->last_ms);
    p += varint_put(p, zigzag((int64_t)((uint64_t)step - (uint64_t)o->step_ms)));
    p += varint_put(p, zigzag((int64_t)((uint64_t)start_ms - (uint64_t)o->start_ms)));
    *p++ = (uint8_t)h->reset_hint;
    p = put_word(p, h->count, last->count, integer);
    p = put_word(p, h->zero_count, last->zero_count, integer);
    p = put_word(p, h->sum_bits, last->sum_bits, false);
    p = put_buckets(p, &h->positive, &last->positive, integer);
    p = put_buckets(p, &h->negative, &last->negative, integer);
    o->size_bytes = (uint32_t)(p - o->bytes);
    assert(o->size_bytes <= o->capacity_bytes);
    last->reset_hint = h->reset_hint;
    last->count = h->count;
    last->zero_count = h->zero_count;
    last->sum_bits = h->sum_bits;
    o->step_ms = step;
    o->last_ms = t_ms;
    o->start_ms = start_ms;
}

static enum err
put_first_histogram(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms,
                    const struct histogram *h, int64_t start_ms)
{
    enum err e = open_grow(o, gmem, 32 + histogram_put_max(h));
    if (e) return e;
    struct histogram *keep = histogram_keep(gmem, h);
    if (keep == NULL) return ERR_NOMEM;
    o->last_histogram = keep;
    o->hist_bytes = (uint32_t)histogram_memory(h);
    open_begin(o, h->kind, t_ms);
    uint8_t *p = o->bytes + o->size_bytes;
    p += varint_put(p, zigzag(start_ms));
    o->start_ms = start_ms;
    struct buf to = {.at = p, .capacity = o->capacity_bytes - (size_t)(p - o->bytes)};
    to.limit = to.capacity;
    histogram_put(&to, h);
    assert(buf_error(&to) == OK && to.at == p);
    o->size_bytes = (uint32_t)((size_t)(p - o->bytes) + to.size);
    o->rows_at = o->size_bytes;
    o->row_words = 3 + h->positive.bucket_count + h->negative.bucket_count;
    return OK;
}

enum err
hchunk_put_histogram(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms,
                     const struct histogram *h, int64_t start_ms, uint32_t epoch)
{
    assert(hchunk_takes(o, h->kind, t_ms));
    enum err e;
    if (o->count == 0) {
        e = put_first_histogram(o, gmem, t_ms, h, start_ms);
        if (e) return e;
    } else {
        if (!histogram_same_layout(o->last_histogram, h)) return ERR_AGAIN;
        e = open_grow(o, gmem, row_max(h));
        if (e) return e;
        put_row(o, t_ms, h, start_ms);
    }
    o->count++;
    note_pending(o, epoch);
    return OK;
}

/* --- finishing -------------------------------------------------------------------------------- */

void
hchunk_drop(struct hchunk_open *o, struct gmem *gmem)
{
    gmem_free(gmem, o->bytes, o->capacity_bytes);
    gmem_free(gmem, o->last_histogram, o->hist_bytes);
    *o = (struct hchunk_open){0};
}

enum err
hchunk_seal_copy(const struct hchunk_open *o, struct gmem *gmem, struct hchunk **ret_chunk)
{
    assert(o->count > 0);
    struct hchunk *c = gmem_alloc(gmem, sizeof *c + o->size_bytes);
    if (c == NULL) return ERR_NOMEM;
    *c = (struct hchunk){
        .min_ms = o->first_ms,
        .max_ms = o->last_ms,
        .size_bytes = o->size_bytes,
        .tag = o->tag,
        .rows_at = o->rows_at,
        .row_words = o->row_words,
        .kind = o->kind,
        .count = o->count,
        .pending_now = o->pending_now,
        .pending_before = o->pending_before,
    };
    memcpy(c->bytes, o->bytes, o->size_bytes);
    *ret_chunk = c;
    return OK;
}

enum err
hchunk_seal(struct hchunk_open *o, struct gmem *gmem, struct hchunk **ret_chunk)
{
    enum err e = hchunk_seal_copy(o, gmem, ret_chunk);
    if (e == OK) hchunk_drop(o, gmem);
    return e;
}
