/*
 * hchunk.c - writes chunks of the head: see gen.h for the tokens.
 *
 * A sample is compressed on arrival, with what its chunk remembers of the sample before; nothing is
 * read back for that. A token is built apart and copied whole, so a refused allocation changes
 * nothing. Buffers grow by a quarter: a generation holds a million of them, each mostly full.
 *
 * Invariants of an open chunk that is not empty:
 *  1. size_bytes <= capacity_bytes; the bytes decode to exactly `count` samples of one kind.
 *  2. Times ascend strictly; last_ms is that of the last sample.
 *  3. Only the last pending_now samples can be of epoch `tag`, and only the pending_before before
 *     them of tag - 1; all others are older.
 *  4. A chunk of histograms has `extra` with last_histogram, which has the layout of all of them.
 * A sealed chunk is a copy of an open one, and stays as it is but for hchunk_cut_sealed().
 */
#include "tsdb/codec/codec.h"
#include "tsdb/head/gen.h"

#include <assert.h>

enum {
    TOKEN_TIME = 0xF8,
    TOKEN_START = 0xF9,
    TOKEN_SAME = 0xFD,
    TOKEN_BITS = 0xFE,
    TOKEN_SCALE = 0xFF,
    EXPONENT_BITS = 31, /* k is the bits in the order of doubles */
};

/* Returns the words of one side: deltas or count bits, which have the same width. */
static inline uint64_t *
bucket_words(const struct hist_buckets *b)
{
    const void *words = b->deltas != NULL ? (const void *)b->deltas : (const void *)b->counts;
    return (uint64_t *)(uintptr_t)words;
}

/*
 * Reads chunks of the head, finds samples in them, and takes samples back. Decoding trusts the
 * bytes: they never left the process.
 *
 * A chunk can be read from its beginning only. Its readers (struct float_reader for tokens, struct
 * chunk_rows for histograms) have the state that the writer had at the same sample. Taking samples
 * back uses that: it reads up to the last sample that stays, and the reader's state becomes the
 * writer's. It takes no memory except for an open chunk of histograms, so that a commit can be
 * undone with an exhausted budget. The bytes of a sealed chunk stay as they are, since queries may
 * be reading them without a lock; only its count changes.
 *
 * Looking for a time takes no memory, either: times of histograms are read while their buckets are
 * skipped, and only the histogram that is found and wanted is built, by adding the rows up to it.
 */

/* --- tokens that are read --------------------------------------------------------------------- */

static uint64_t
bits_of_ordered(int64_t ordered)
{
    return (uint64_t)ordered ^ ((uint64_t)(ordered >> 63) >> 1);
}

static const uint8_t *
get_z(const uint8_t *p, uint64_t *ret_z)
{
    uint8_t t = *p++;
    if (t < 0x80) {
        *ret_z = t - 0x40u + 1;
    } else if (t < 0xC0) {
        *ret_z = (uint64_t)(t & 0x3f) << 8 | p[0];
        p += 1;
    } else if (t < 0xE0) {
        *ret_z = (uint64_t)(t & 0x1f) << 16 | load_le16(p);
        p += 2;
    } else if (t < 0xF0) {
        *ret_z = (uint64_t)(t & 0x0f) << 24 | p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16;
        p += 3;
    } else {
        unsigned n = t - 0xF0u + 4;
        uint64_t z = 0;
        for (unsigned i = 0; i < n; i++)
            z |= (uint64_t)p[i] << (8 * i);
        *ret_z = z;
        p += n;
    }
    return p;
}

static const uint8_t *
get_varint(const uint8_t *p, uint64_t *ret_v)
{
    uint64_t v = 0;
    unsigned shift = 0;
    uint8_t b;
    do {
        b = *p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while (b >= 0x80);
    *ret_v = v;
    return p;
}

static const uint8_t *
get_word(const uint8_t *p, uint64_t before, bool integer, uint64_t *ret_now)
{
    uint64_t v;
    p = get_varint(p, &v);
    *ret_now = integer ? before + (uint64_t)unzigzag(v) : before ^ __builtin_bswap64(v);
    return p;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct float_reader {
    const uint8_t *at;
    int64_t t_ms;
    int64_t step_ms;
    int64_t start_ms;
    uint64_t bits;
    int64_t k;
    unsigned exponent;
    unsigned run_left;
    bool special; /* the last value was written as its bits */
    bool saw_start;
};

static void
hchunk_read_value(struct float_reader *r)
{
    uint8_t t = *r->at;
    if (t == TOKEN_SAME) {
        r->at++;
        return;
    }
    if (t == TOKEN_SCALE) {
        r->exponent = r->at[1];
        r->at += 2;
        r->k = 0;
        t = *r->at;
    }
    if (t == TOKEN_BITS) {
        r->bits = load_le64(r->at + 1);
        r->at += 9;
        r->k = 0;
        r->special = true;
        return;
    }
    uint64_t z;
    r->special = false;
    r->at = get_z(r->at, &z);
    r->k = (int64_t)((uint64_t)r->k + (uint64_t)unzigzag(z));
    r->bits = r->exponent == EXPONENT_BITS ? bits_of_ordered(r->k)
                                           : codec_decimal_bits(r->exponent, r->k);
}

static void
read_sample(struct float_reader *r)
{
    if (r->run_left > 0) {
        r->run_left--;
    } else if (*r->at < 0x40) {
        r->run_left = *r->at++;
    } else {
        uint64_t v;
        if (*r->at == TOKEN_TIME) {
            r->at = get_varint(r->at + 1, &v);
            r->step_ms = (int64_t)((uint64_t)r->step_ms + (uint64_t)unzigzag(v));
        }
        if (*r->at == TOKEN_START) {
            r->at = get_varint(r->at + 1, &v);
            r->start_ms = (int64_t)((uint64_t)r->start_ms + (uint64_t)unzigzag(v));
            r->saw_start = true;
        }
        hchunk_read_value(r);
    }
    r->t_ms = (int64_t)((uint64_t)r->t_ms + (uint64_t)r->step_ms);
}

static struct float_reader
float_reader_of(struct bytes bytes)
{
    struct float_reader r = {.at = bytes.at};
    uint64_t v;
    r.at = get_varint(r.at, &v);
    r.t_ms = unzigzag(v);
    return r;
}

/* The arrays of a further histogram of the same layout: spans and bounds are shared. */
static enum err
row_arrays(const struct hist_buckets *like, struct arena *arena, struct hist_buckets *to)
{
    *to = *like;
    if (like->bucket_count == 0) return OK;
    uint64_t *words = arena_alloc(arena, like->bucket_count * 8u);
    if (words == NULL) return ERR_NOMEM;
    if (like->deltas != NULL)
        to->deltas = (const int64_t *)words;
    else
        to->counts = words;
    return OK;
}

static const uint8_t *
read_buckets(const uint8_t *p, const struct hist_buckets *before, bool integer,
             struct hist_buckets *to)
{
    uint64_t *words = bucket_words(to);
    const uint64_t *last = bucket_words(before);
    for (uint32_t i = 0; i < to->bucket_count; i++)
        p = get_word(p, last[i], integer, &words[i]);
    return p;
}

/* Reads the words of a row, differences to `before`, into `h`, which may be `before` itself. */
static const uint8_t *
read_words(const uint8_t *at, const struct histogram *before, struct histogram *h)
{
    bool integer = before->kind == SAMPLE_HISTOGRAM_INT;
    h->reset_hint = (enum reset_hint) * at++;
    at = get_word(at, before->count, integer, &h->count);
    at = get_word(at, before->zero_count, integer, &h->zero_count);
    at = get_word(at, before->sum_bits, false, &h->sum_bits);
    at = read_buckets(at, &before->positive, integer, &h->positive);
    return read_buckets(at, &before->negative, integer, &h->negative);
}

/* Steps through rows: times first, then the words, read or skipped. */
struct chunk_rows {
    const uint8_t *at;
    int64_t t_ms;
    int64_t step_ms;
    int64_t start_ms;
};

static void
row_times(struct chunk_rows *w)
{
    uint64_t v;
    w->at = get_varint(w->at, &v);
    w->step_ms = (int64_t)((uint64_t)w->step_ms + (uint64_t)unzigzag(v));
    w->t_ms = (int64_t)((uint64_t)w->t_ms + (uint64_t)w->step_ms);
    w->at = get_varint(w->at, &v);
    w->start_ms = (int64_t)((uint64_t)w->start_ms + (uint64_t)unzigzag(v));
}

static void
row_skip(struct chunk_rows *w, uint32_t words)
{
    const uint8_t *p = w->at + 1; /* the hint */
    while (words > 0)
        words -= *p++ < 0x80;
    w->at = p;
}

/* Reads the first histogram, and begins a walk at the rows after it. */
static enum err
read_first(struct bytes bytes, struct arena *arena, struct histogram *h,
           struct chunk_rows *ret_walk)
{
    struct cursor c = cursor_of(bytes);
    struct chunk_rows w = {.t_ms = cursor_zigzag(&c)};
    w.start_ms = cursor_zigzag(&c);
    enum err e = histogram_get(&c, arena, h);
    if (e) return ERR_NOMEM; /* the bytes are our own, so only memory can be missing */
    w.at = c.at;
    *ret_walk = w;
    return OK;
}

/* Begins a walk at the rows without reading the first histogram. */
static struct chunk_rows
walk_rows(const struct hchunk_view *view)
{
    struct cursor c = cursor_of(view->bytes);
    struct chunk_rows w = {.t_ms = cursor_zigzag(&c)};
    w.start_ms = cursor_zigzag(&c);
    w.at = view->bytes.at + view->rows_at;
    return w;
}

enum err
hchunk_unpack(enum sample_kind kind, struct bytes bytes, uint32_t count, struct arena *arena,
              int64_t *ret_times_ms, int64_t *ret_starts_ms, uint64_t *ret_bits,
              struct histogram *ret_histograms, bool *ret_has_starts)
{
    assert(count <= HCHUNK_SAMPLES_MAX);
    *ret_has_starts = false;
    if (count == 0) return OK;
    if (kind != SAMPLE_FLOAT) {
        struct chunk_rows w;
        enum err e = read_first(bytes, arena, &ret_histograms[0], &w);
        if (e) return e;
        *ret_has_starts = false;
        for (uint32_t i = 0;; i++) {
            ret_times_ms[i] = w.t_ms;
            ret_starts_ms[i] = w.start_ms;
            *ret_has_starts |= w.start_ms != 0;
            if (i + 1 == count) return OK;
            ret_histograms[i + 1] = ret_histograms[i];
            e = row_arrays(&ret_histograms[i].positive, arena, &ret_histograms[i + 1].positive);
            if (e == OK)
                e = row_arrays(&ret_histograms[i].negative, arena, &ret_histograms[i + 1].negative);
            if (e) return e;
            row_times(&w);
            w.at = read_words(w.at, &ret_histograms[i], &ret_histograms[i + 1]);
        }
    }
    struct float_reader r = float_reader_of(bytes);
    for (uint32_t i = 0; i < count; i++) {
        read_sample(&r);
        ret_times_ms[i] = r.t_ms;
        ret_bits[i] = r.bits;
        ret_starts_ms[i] = r.start_ms;
    }
    *ret_has_starts = r.saw_start;
    return OK;
}

/* --- finding ---------------------------------------------------------------------------------- */

int64_t
hchunk_first_ms(const struct hchunk_open *o)
{
    uint64_t v;
    get_varint(o->bytes, &v);
    return unzigzag(v);
}

uint64_t
hchunk_last_bits(const struct hchunk_open *o)
{
    if (o->special) return o->last;
    return o->exponent == EXPONENT_BITS ? bits_of_ordered((int64_t)o->last)
                                        : codec_decimal_bits(o->exponent, (int64_t)o->last);
}

struct hchunk_view
hchunk_open_view(const struct hchunk_open *o)
{
    return (struct hchunk_view){.kind = (enum sample_kind)o->kind,
                                .count = o->count,
                                .rows_at = o->extra == NULL ? 0 : o->extra->rows_at,
                                .row_words = o->extra == NULL ? 0 : o->extra->row_words,
                                .bytes = bytes_of(o->bytes, o->size_bytes)};
}

struct hchunk_view
hchunk_sealed_view(const struct hchunk *c)
{
    return (struct hchunk_view){(enum sample_kind)c->kind, c->count, c->rows_at, c->row_words,
                                bytes_of(c->bytes, c->size_bytes)};
}

/* Builds the histogram at `index` by adding one row after another to the first. */
static enum err
histogram_at(struct bytes bytes, uint32_t index, struct arena *arena, struct histogram *h,
             struct chunk_rows *ret_walk)
{
    enum err e = read_first(bytes, arena, h, ret_walk);
    for (uint32_t i = 0; i < index && e == OK; i++) {
        row_times(ret_walk);
        ret_walk->at = read_words(ret_walk->at, h, h);
    }
    return e;
}

enum err
hchunk_find(const struct hchunk_view *view, int64_t t_ms, struct arena *scratch,
            uint32_t *ret_index, uint64_t *ret_bits, struct histogram *ret_histogram)
{
    uint32_t i = 0;
    *ret_index = view->count;
    if (view->kind == SAMPLE_FLOAT) {
        struct float_reader r = float_reader_of(view->bytes);
        for (; i < view->count; i++) {
            read_sample(&r);
            if (r.t_ms >= t_ms) break;
        }
        if (i == view->count || r.t_ms != t_ms) return OK;
        *ret_bits = r.bits;
        *ret_index = i;
        return OK;
    }
    struct chunk_rows walk = walk_rows(view);
    for (; i < view->count; i++) {
        if (i > 0) row_times(&walk);
        if (walk.t_ms >= t_ms) break;
        if (i > 0) row_skip(&walk, view->row_words);
    }
    if (i == view->count || walk.t_ms != t_ms) return OK;
    *ret_index = i;
    return ret_histogram == NULL ? OK : histogram_at(view->bytes, i, scratch, ret_histogram, &walk);
}

/* --- taking back ------------------------------------------------------------------------------ */

static void
copy_words(struct hist_buckets *to, const struct hist_buckets *from)
{
    if (from->bucket_count == 0) return;
    memcpy(bucket_words(to), bucket_words(from), from->bucket_count * sizeof(uint64_t));
}

enum err
hchunk_cut_open(struct hchunk_open *o, uint32_t keep, uint32_t epoch, struct arena *scratch)
{
    assert(keep > 0 && keep < o->count);
    uint32_t size_before = o->size_bytes;
    int64_t last_before_ms = o->last_ms;
    if (o->kind == SAMPLE_FLOAT) {
        /* The reader after the last sample kept has the state that the writer had there. */
        struct float_reader r = float_reader_of(bytes_of(o->bytes, o->size_bytes));
        const uint8_t *token = r.at;
        for (uint32_t i = 0; i < keep; i++) {
            if (r.run_left == 0) token = r.at;
            read_sample(&r);
        }
        o->size_bytes = (uint32_t)(r.at - o->bytes);
        o->run_open = *token < 0x40;
        if (o->run_open) o->bytes[o->size_bytes - 1] -= (uint8_t)r.run_left;
        o->last_ms = r.t_ms;
        o->step_ms = (uint32_t)r.step_ms;
        if (o->extra != NULL) o->extra->start_ms = r.start_ms;
        o->special = r.special;
        o->last = r.special ? r.bits : (uint64_t)r.k;
        o->exponent = (uint8_t)r.exponent;
    } else {
        struct histogram h;
        struct chunk_rows w;
        enum err e = histogram_at(bytes_of(o->bytes, o->size_bytes), keep - 1, scratch, &h, &w);
        if (e) return e;
        struct histogram *last = o->extra->last_histogram;
        copy_words(&last->positive, &h.positive);
        copy_words(&last->negative, &h.negative);
        last->reset_hint = h.reset_hint;
        last->count = h.count;
        last->zero_count = h.zero_count;
        last->sum_bits = h.sum_bits;
        o->size_bytes = (uint32_t)(w.at - o->bytes);
        o->last_ms = w.t_ms;
        o->step_ms = (uint32_t)w.step_ms;
        o->extra->start_ms = w.start_ms;
    }
    assert(o->size_bytes <= size_before); /* invariant 1 */
    assert(o->last_ms < last_before_ms);  /* invariant 2 */
    o->count = (uint8_t)keep;
    o->tag = epoch;
    o->pending_now = (uint8_t)keep;
    o->pending_before = 0;
    return OK;
}

static int64_t
time_at(const struct hchunk_view *view, uint32_t index)
{
    if (view->kind == SAMPLE_FLOAT) {
        struct float_reader r = float_reader_of(view->bytes);
        for (uint32_t i = 0; i <= index; i++)
            read_sample(&r);
        return r.t_ms;
    }
    struct chunk_rows w = walk_rows(view);
    for (uint32_t i = 0; i < index; i++) {
        row_times(&w);
        row_skip(&w, view->row_words);
    }
    return w.t_ms;
}

/* The bytes stay, with more samples than `count`, because readers may be reading them. */
void
hchunk_cut_sealed(struct hchunk *c, uint32_t keep, uint32_t epoch)
{
    assert(keep > 0 && keep < c->count);
    struct hchunk_view view = hchunk_sealed_view(c);
    int64_t max_ms = time_at(&view, keep - 1);
    assert(max_ms < c->max_ms);  /* invariant 2 */
    assert(max_ms >= c->min_ms); /* invariant 2 */
    c->max_ms = max_ms;
    c->count = (uint8_t)keep;
    c->tag = epoch;
    c->pending_now = (uint8_t)keep;
    c->pending_before = 0;
}

enum { FIRST_CAPACITY = 16 };

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
            open->kind == kind && t_ms > open->last_ms &&
            (uint64_t)t_ms - (uint64_t)open->last_ms <= UINT32_MAX);
}

/* --- tokens that are written ------------------------------------------------------------------ */

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
        for (unsigned i = 0; i < n; i++)
            *p++ = (uint8_t)(z >> (8 * i));
    }
    return p;
}

/* --- writing ---------------------------------------------------------------------------------- */

static size_t
grown_capacity(const struct hchunk_open *o, size_t more)
{
    size_t capacity = o->capacity_bytes + o->capacity_bytes / 4;
    if (capacity < FIRST_CAPACITY) capacity = FIRST_CAPACITY;
    if (capacity < o->size_bytes + more) capacity = o->size_bytes + more;
    return gmem_piece_bytes(capacity);
}

static enum err
open_grow(struct hchunk_open *o, struct gmem *gmem, size_t more)
{
    if (o->capacity_bytes - o->size_bytes >= more) return OK;
    size_t capacity = grown_capacity(o, more);
    uint8_t *bytes = gmem_grow(gmem, o->bytes, o->capacity_bytes, o->size_bytes, capacity);
    if (bytes == NULL) return ERR_NOMEM;
    o->bytes = bytes;
    o->capacity_bytes = (uint32_t)capacity;
    return OK;
}

static enum err
extra_get(struct hchunk_open *o, struct gmem *gmem)
{
    if (o->extra != NULL) return OK;
    o->extra = gmem_alloc(gmem, sizeof *o->extra);
    if (o->extra == NULL) return ERR_NOMEM;
    *o->extra = (struct hchunk_extra){0};
    return OK;
}

static int64_t
start_of(const struct hchunk_open *o)
{
    return o->extra == NULL ? 0 : o->extra->start_ms;
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
    o->last_ms = t_ms;
    o->step_ms = 0;
    o->last = 0;
    o->exponent = 0;
    o->run_open = o->special = false;
}

/* The bytes that a sample adds to a chunk, and the chunk's last value after it. */
struct float_token {
    uint8_t bytes[HCHUNK_FLOAT_BYTES_MAX];
    uint8_t size;
    uint8_t exponent;
    bool special;
    uint64_t last;
};

static uint8_t *
put_special(struct float_token *token, uint8_t *p, uint64_t bits)
{
    *p++ = TOKEN_BITS;
    store_le64(p, bits);
    token->special = true;
    token->last = bits;
    return p + 8;
}

/* Finds exponent and k of a value; without a k, the bits in the order of doubles. False if the
 * value is special. */
static bool
scale_value(uint64_t bits, unsigned hint, unsigned *ret_exponent, uint64_t *ret_k)
{
    int64_t k;
    if (hint != EXPONENT_BITS) {
        if ((bits & 0x7ff0000000000000u) == 0x7ff0000000000000u || bits == 0x8000000000000000u)
            return false;
        if (codec_decimal(bits, hint, ret_exponent, &k)) {
            *ret_k = (uint64_t)k;
            return true;
        }
    }
    *ret_exponent = EXPONENT_BITS;
    *ret_k = (uint64_t)((int64_t)(bits ^ ((uint64_t)((int64_t)bits >> 63) >> 1)));
    return true;
}

/*
 * Chooses how to write a value. True if it equals the one before; nothing was written. After a
 * special value k is 0, and a difference of 0 has no token: such a value is special itself.
 */
static bool
hchunk_put_value(const struct hchunk_open *o, struct float_token *token, uint8_t **p, uint64_t bits)
{
    token->exponent = o->exponent;
    token->special = o->special;
    token->last = o->last;
    if (o->special && o->last == bits) return true;
    unsigned e;
    uint64_t k;
    if (!scale_value(bits, o->exponent, &e, &k)) {
        *p = put_special(token, *p, bits);
        return false;
    }
    bool rescaled = e != o->exponent;
    uint64_t before = rescaled || o->special ? 0 : o->last;
    if (k == before) {
        if (!rescaled && !o->special) return true;
        *p = put_special(token, *p, bits);
        return false;
    }
    if (rescaled) {
        *(*p)++ = TOKEN_SCALE;
        *(*p)++ = (uint8_t)e;
    }
    *p = put_z(*p, zigzag((int64_t)(k - before)));
    token->exponent = (uint8_t)e;
    token->special = false;
    token->last = k;
    return false;
}

static enum err
put_token(struct hchunk_open *o, struct gmem *gmem, const struct float_token *token)
{
    if (o->capacity_bytes - o->size_bytes >= sizeof token->bytes) {
        memcpy(o->bytes + o->size_bytes, token->bytes, sizeof token->bytes); /* all: faster */
    } else {
        enum err e = open_grow(o, gmem, token->size);
        if (e) return e;
        memcpy(o->bytes + o->size_bytes, token->bytes, token->size);
    }
    o->size_bytes += token->size;
    o->exponent = token->exponent;
    o->special = token->special;
    o->last = token->last;
    return OK;
}

static enum err
hchunk_put_sample(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms, uint64_t bits,
                  int64_t start_ms)
{
    struct float_token token;
    uint8_t *p = token.bytes;
    int64_t step = (int64_t)((uint64_t)t_ms - (uint64_t)o->last_ms);
    if (o->count == 0) p += varint_put(p, zigzag(t_ms));
    uint8_t *first = p;
    if (step != (int64_t)o->step_ms) {
        *p++ = TOKEN_TIME;
        p += varint_put(p, zigzag(step - (int64_t)o->step_ms));
    }
    if (start_ms != start_of(o)) {
        *p++ = TOKEN_START;
        p += varint_put(p, zigzag((int64_t)((uint64_t)start_ms - (uint64_t)start_of(o))));
    }
    bool prefixed = p != first;
    bool same = hchunk_put_value(o, &token, &p, bits);
    bool run = same && !prefixed;
    if (run && o->run_open && o->bytes[o->size_bytes - 1] < 0x3F) {
        o->bytes[o->size_bytes - 1]++;
    } else {
        if (same) *p++ = prefixed ? TOKEN_SAME : 0;
        token.size = (uint8_t)(p - token.bytes);
        enum err e = start_ms == start_of(o) ? OK : extra_get(o, gmem);
        if (e == OK) e = put_token(o, gmem, &token);
        if (e) return e;
        o->run_open = run;
    }
    if (start_ms != start_of(o)) o->extra->start_ms = start_ms;
    o->step_ms = (uint32_t)step;
    o->last_ms = t_ms;
    return OK;
}

enum err
hchunk_put_float(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms, uint64_t bits,
                 int64_t start_ms, uint32_t epoch)
{
    assert(hchunk_takes(o, SAMPLE_FLOAT, t_ms));
    int64_t before_ms = o->last_ms;
    if (o->count == 0) open_begin(o, SAMPLE_FLOAT, t_ms);
    enum err e = hchunk_put_sample(o, gmem, t_ms, bits, start_ms);
    if (e) {
        o->last_ms = before_ms;
        return e;
    }
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

size_t
hchunk_histogram_bytes(const struct histogram *h)
{
    return sizeof *h +
           sizeof(struct hist_span) * (h->positive.span_count + h->negative.span_count) +
           8 * ((size_t)h->positive.bucket_count + h->negative.bucket_count + h->custom_count);
}

size_t
hchunk_histogram_reserve(const struct hchunk_open *open, const struct histogram *h)
{
    return gmem_piece_bytes(sizeof(struct hchunk) + open->size_bytes) +
           grown_capacity(open, 32 + histogram_put_max(h) + row_max(h)) +
           gmem_piece_bytes(sizeof(struct hchunk_extra)) +
           gmem_piece_bytes(hchunk_histogram_bytes(h));
}

struct histogram *
hchunk_keep_histogram(struct gmem *gmem, const struct histogram *h)
{
    struct histogram *copy = gmem_alloc(gmem, hchunk_histogram_bytes(h));
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
        *arrays[i].to = NULL; /* the copy keeps no pointer of the caller */
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

enum err
hchunk_put_histogram(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms,
                     const struct histogram *h, int64_t start_ms, uint32_t epoch)
{
    assert(hchunk_takes(o, h->kind, t_ms));
    enum err e;
    if (o->count == 0) {
        e = open_grow(o, gmem, 32 + histogram_put_max(h));
        if (e == OK) e = extra_get(o, gmem);
        if (e) return e;
        struct histogram *keep = hchunk_keep_histogram(gmem, h);
        if (keep == NULL) return ERR_NOMEM;
        open_begin(o, h->kind, t_ms);
        uint8_t *p = o->bytes;
        p += varint_put(p, zigzag(t_ms));
        p += varint_put(p, zigzag(start_ms));
        struct buf to = {.at = p, .capacity = o->capacity_bytes - (size_t)(p - o->bytes)};
        to.limit = to.capacity;
        histogram_put(&to, h);
        assert(buf_error(&to) == OK && to.at == p);
        o->size_bytes = (uint32_t)((size_t)(p - o->bytes) + to.size);
        *o->extra = (struct hchunk_extra){
            .start_ms = start_ms,
            .last_histogram = keep,
            .hist_bytes = (uint32_t)hchunk_histogram_bytes(h),
            .rows_at = o->size_bytes,
            .row_words = 3 + h->positive.bucket_count + h->negative.bucket_count,
        };
    } else {
        assert(o->extra != NULL); /* invariant 4 */
        if (!histogram_same_layout(o->extra->last_histogram, h)) return ERR_AGAIN;
        e = open_grow(o, gmem, row_max(h));
        if (e) return e;
        /* Writes the difference to `last`, and makes `last` equal to `h`. */
        struct histogram *last = o->extra->last_histogram;
        bool integer = h->kind == SAMPLE_HISTOGRAM_INT;
        uint8_t *p = o->bytes + o->size_bytes;
        int64_t step = (int64_t)((uint64_t)t_ms - (uint64_t)o->last_ms);
        p += varint_put(p, zigzag(step - (int64_t)o->step_ms));
        p += varint_put(p, zigzag((int64_t)((uint64_t)start_ms - (uint64_t)o->extra->start_ms)));
        *p++ = (uint8_t)h->reset_hint;
        p = put_word(p, h->count, last->count, integer);
        p = put_word(p, h->zero_count, last->zero_count, integer);
        p = put_word(p, h->sum_bits, last->sum_bits, false);
        p = put_buckets(p, &h->positive, &last->positive, integer);
        p = put_buckets(p, &h->negative, &last->negative, integer);
        o->size_bytes = (uint32_t)(p - o->bytes);
        assert(o->size_bytes <= o->capacity_bytes); /* invariant 1 */
        last->reset_hint = h->reset_hint;
        last->count = h->count;
        last->zero_count = h->zero_count;
        last->sum_bits = h->sum_bits;
        o->step_ms = (uint32_t)step;
        o->last_ms = t_ms;
        o->extra->start_ms = start_ms;
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
    if (o->extra != NULL) {
        gmem_free(gmem, o->extra->last_histogram, o->extra->hist_bytes);
        gmem_free(gmem, o->extra, sizeof *o->extra);
    }
    *o = (struct hchunk_open){.last_ms = o->last_ms};
}

enum err
hchunk_seal_copy(const struct hchunk_open *o, struct gmem *gmem, struct hchunk **ret_chunk)
{
    assert(o->count > 0);
    assert(o->size_bytes <= o->capacity_bytes);             /* invariant 1 */
    assert(o->pending_now + o->pending_before <= o->count); /* invariant 3 */
    struct hchunk *c = gmem_alloc(gmem, sizeof *c + o->size_bytes);
    if (c == NULL) return ERR_NOMEM;
    *c = (struct hchunk){
        .min_ms = hchunk_first_ms(o),
        .max_ms = o->last_ms,
        .size_bytes = o->size_bytes,
        .tag = o->tag,
        .kind = o->kind,
        .count = o->count,
        .pending_now = o->pending_now,
        .pending_before = o->pending_before,
    };
    assert(c->min_ms <= c->max_ms); /* invariant 2 */
    if (o->extra != NULL) {
        c->rows_at = o->extra->rows_at;
        c->row_words = o->extra->row_words;
    }
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
