/*
 * hchunk_read.c - reads chunks of the head, finds samples in them, and takes samples back. Decoding
 * trusts the bytes: they never left the process. Invariants are in hchunk.c.
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
#include <assert.h>

#include "tsdb/codec/codec.h"
#include "tsdb/head/hchunk_private.h"

/* --- tokens ----------------------------------------------------------------------------------- */

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
        for (unsigned i = 0; i < n; i++) {
            z |= (uint64_t)p[i] << (8 * i);
        }
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
    if (like->deltas != NULL) {
        to->deltas = (const int64_t *)words;
    } else {
        to->counts = words;
    }
    return OK;
}

static const uint8_t *
read_buckets(const uint8_t *p, const struct hist_buckets *before, bool integer,
             struct hist_buckets *to)
{
    uint64_t *words = bucket_words(to);
    const uint64_t *last = bucket_words(before);
    for (uint32_t i = 0; i < to->bucket_count; i++) {
        p = get_word(p, last[i], integer, &words[i]);
    }
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
    while (words > 0) {
        words -= *p++ < 0x80;
    }
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

static uint32_t
find_float(const struct hchunk_view *view, int64_t t_ms, uint64_t *ret_bits)
{
    struct float_reader r = float_reader_of(view->bytes);
    for (uint32_t i = 0; i < view->count; i++) {
        read_sample(&r);
        if (r.t_ms < t_ms) continue;
        if (r.t_ms > t_ms) break;
        *ret_bits = r.bits;
        return i;
    }
    return view->count;
}

static uint32_t
find_row(const struct hchunk_view *view, int64_t t_ms)
{
    struct chunk_rows w = walk_rows(view);
    for (uint32_t i = 0; i < view->count; i++) {
        if (i > 0) row_times(&w);
        if (w.t_ms == t_ms) return i;
        if (w.t_ms > t_ms) break;
        if (i > 0) row_skip(&w, view->row_words);
    }
    return view->count;
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
    if (view->kind == SAMPLE_FLOAT) {
        *ret_index = find_float(view, t_ms, ret_bits);
        return OK;
    }
    struct chunk_rows walk;
    uint32_t index = find_row(view, t_ms);
    enum err e = OK;
    if (index < view->count && ret_histogram != NULL) {
        e = histogram_at(view->bytes, index, scratch, ret_histogram, &walk);
    }
    if (e == OK) *ret_index = index;
    return e;
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
        for (uint32_t i = 0; i <= index; i++) {
            read_sample(&r);
        }
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
