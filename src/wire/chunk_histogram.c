/*
 * chunk_histogram.c - the writer of HISTOGRAM and FLOAT_HISTOGRAM chunks.
 *
 * The first histogram of a chunk gives it a layout (schema, zero threshold, spans, custom bounds)
 * and all others must have the same; a new bucket therefore begins a new chunk. (Prometheus'
 * own appender widens the chunk's layout instead, by rewriting it. A reader cannot tell.)
 *
 * Readers take every histogram of a chunk but the first for "no counter reset since the one
 * before", whatever hint it had when it was written; so the writer compares, and a reset begins a
 * chunk whose header says so. The rule, first match wins:
 *
 *     histogram to be put                     chunk        header of the new chunk
 *     hint YES                                new          reset
 *     staleness marker                        same
 *     gauge after counter, or the other way   new          gauge, or unknown
 *     follows a staleness marker              new          gauge, or unknown
 *     count fell                              new          reset
 *     schema or zero threshold changed        new          gauge, or unknown
 *     custom bounds changed                   new          reset
 *     zero count or any bucket fell           new          reset
 *     spans changed                           new          gauge, or no reset
 *     else                                    same
 *
 * Gauges fall as they like: for them the lines that end in "reset" are skipped or say "gauge".
 */
#include "wire/chunk_writer.h"

enum {
    /* Header, zero threshold, schema, the two numbers of spans and that of bounds. */
    LAYOUT_BYTES_MAX = CHUNK_HISTOGRAM_HEADER_BYTES + 9 + 4 * VARBIT_BYTES_MAX,
    /* Time, count, zero count, sum. */
    SAMPLE_BYTES_MAX = 4 * XOR_BYTES_MAX,
    CUSTOM_SCALED_MAX = 33554430,
};

static uint64_t
layout_buckets(const struct histogram *h)
{
    return (uint64_t)h->positive.bucket_count + h->negative.bucket_count;
}

/* The states of the negative buckets stand behind the positive ones; there may be none at all. */
static union bucket_state *
negative_states(const struct chunk_histogram_state *s, const struct histogram *h)
{
    return s->buckets == NULL ? NULL : s->buckets + h->positive.bucket_count;
}

static bool
is_gauge(const struct histogram *h)
{
    return h->reset_hint == RESET_GAUGE;
}

/* --- did anything fall? ----------------------------------------------------------------------- */

/* A count of either kind, to be compared only with its own kind. NaN falls to nothing. */
static bool
count_fell(enum sample_kind kind, uint64_t before, uint64_t now)
{
    if (kind == SAMPLE_HISTOGRAM_INT) return now < before;
    return bits_double(now) < bits_double(before);
}

/* Steps through the buckets of one sign with their indexes (plus one) and absolute counts. */
struct bucket_walk {
    enum sample_kind kind;
    const struct hist_buckets *shape;
    const union bucket_state *states; /* or NULL: the counts are in `shape` */
    uint32_t span;                    /* the next one */
    uint32_t span_left;               /* buckets of the current one */
    uint32_t at;
    int64_t index;
    uint64_t count; /* integers: signed, a malformed histogram may go below zero */
};

static bool
bucket_next(struct bucket_walk *w)
{
    while (w->span_left == 0) {
        if (w->span == w->shape->span_count) return false;
        w->index += w->shape->spans[w->span].offset;
        w->span_left = w->shape->spans[w->span].length;
        w->span++;
    }
    if (w->kind == SAMPLE_HISTOGRAM_INT) {
        w->count +=
            w->states != NULL ? w->states[w->at].dod.before : (uint64_t)w->shape->deltas[w->at];
    } else {
        w->count = w->states != NULL ? w->states[w->at].xored.before : w->shape->counts[w->at];
    }
    w->span_left--;
    w->at++;
    w->index++;
    return true;
}

static bool
bucket_is_empty(const struct bucket_walk *w)
{
    return w->kind == SAMPLE_HISTOGRAM_INT ? w->count == 0 : bits_double(w->count) == 0;
}

static bool
bucket_fell(const struct bucket_walk *before, const struct bucket_walk *now)
{
    if (before->kind == SAMPLE_HISTOGRAM_INT) return (int64_t)now->count < (int64_t)before->count;
    return bits_double(now->count) < bits_double(before->count);
}

/* A bucket that held something and now holds less, or is gone. */
static bool
buckets_fell(enum sample_kind kind, const struct hist_buckets *old,
             const union bucket_state *old_states, const struct hist_buckets *new)
{
    struct bucket_walk before = {.kind = kind, .shape = old, .states = old_states};
    struct bucket_walk now = {.kind = kind, .shape = new};
    bool has_now = bucket_next(&now);
    while (bucket_next(&before)) {
        while (has_now && now.index < before.index) {
            has_now = bucket_next(&now);
        }
        if (has_now && now.index == before.index) {
            if (bucket_fell(&before, &now)) return true;
        } else if (!bucket_is_empty(&before)) {
            return true;
        }
    }
    return false;
}

static uint64_t
state_value(enum sample_kind kind, const union bucket_state *state)
{
    return kind == SAMPLE_HISTOGRAM_INT ? state->dod.before : state->xored.before;
}

static bool
same_custom(const struct histogram *a, const struct histogram *b)
{
    return a->custom_count == b->custom_count &&
           (a->custom_count == 0 ||
            memcmp(a->custom_bits, b->custom_bits, a->custom_count * sizeof *a->custom_bits) == 0);
}

/* The table above. True: append to this chunk; else the header of the next. */
static bool
fits(const struct chunk_histogram_state *s, const struct histogram *h, enum chunk_reset *ret_next)
{
    *ret_next = CHUNK_RESET_YES;
    if (h->reset_hint == RESET_YES) return false;
    if (h->sum_bits == STALE_NAN_BITS) return true;

    bool gauge = is_gauge(h);
    *ret_next = gauge ? CHUNK_RESET_GAUGE : CHUNK_RESET_UNKNOWN;
    if (gauge != (s->header == CHUNK_RESET_GAUGE) || s->stale) return false;
    if (gauge) return histogram_same_layout(&s->layout, h);

    const struct histogram *old = &s->layout;
    *ret_next = CHUNK_RESET_YES;
    if (count_fell(h->kind, state_value(h->kind, &s->count), h->count)) return false;
    *ret_next = CHUNK_RESET_UNKNOWN;
    if (old->schema != h->schema || old->zero_threshold_bits != h->zero_threshold_bits) {
        return false;
    }
    *ret_next = CHUNK_RESET_YES;
    if (!same_custom(old, h)) return false;
    if (count_fell(h->kind, state_value(h->kind, &s->zero_count), h->zero_count)) return false;
    if (buckets_fell(h->kind, &old->positive, s->buckets, &h->positive) ||
        buckets_fell(h->kind, &old->negative, negative_states(s, old), &h->negative)) {
        return false;
    }
    *ret_next = CHUNK_RESET_NO;
    return histogram_same_layout(old, h);
}

/* --- the first histogram: layout -------------------------------------------------------------- */

/* The array, moved or not, with room for `count`; NULL if refused or nothing is needed yet. */
static void *
grown(struct budget *budget, void *array, size_t *bytes, uint64_t count, size_t item_bytes)
{
    if (count <= *bytes / item_bytes) return array;
    void *memory = mem_resize(budget, array, *bytes, (size_t)count * item_bytes);
    if (memory != NULL) *bytes = (size_t)count * item_bytes;
    return memory;
}

static bool
grow_arrays(struct chunk_writer *writer, const struct histogram *h)
{
    struct chunk_histogram_state *s = &writer->histogram;
    uint64_t span_count = (uint64_t)h->positive.span_count + h->negative.span_count;
    struct hist_span *spans =
        grown(writer->budget, s->spans, &s->spans_bytes, span_count, sizeof *s->spans);
    if (spans != NULL) s->spans = spans;
    uint64_t *custom =
        grown(writer->budget, s->custom, &s->custom_bytes, h->custom_count, sizeof *s->custom);
    if (custom != NULL) s->custom = custom;
    union bucket_state *buckets =
        grown(writer->budget, s->buckets, &s->buckets_bytes, layout_buckets(h), sizeof *s->buckets);
    if (buckets != NULL) s->buckets = buckets;
    return (spans != NULL || span_count == 0) && (custom != NULL || h->custom_count == 0) &&
           (buckets != NULL || layout_buckets(h) == 0);
}

static void
copy_side(struct hist_buckets *to, const struct hist_buckets *from, struct hist_span *spans)
{
    if (from->span_count > 0) memcpy(spans, from->spans, from->span_count * sizeof *spans);
    *to = (struct hist_buckets){
        .spans = spans, .span_count = from->span_count, .bucket_count = from->bucket_count};
}

static bool
keep_layout(struct chunk_writer *writer, const struct histogram *h)
{
    struct chunk_histogram_state *s = &writer->histogram;
    if (!grow_arrays(writer, h)) return false;
    s->layout = (struct histogram){.kind = h->kind,
                                   .schema = h->schema,
                                   .zero_threshold_bits = h->zero_threshold_bits,
                                   .custom_bits = s->custom,
                                   .custom_count = h->custom_count};
    copy_side(&s->layout.positive, &h->positive, s->spans);
    copy_side(&s->layout.negative, &h->negative,
              s->spans == NULL ? NULL : s->spans + h->positive.span_count);
    if (h->custom_count > 0) {
        memcpy(s->custom, h->custom_bits, h->custom_count * sizeof *s->custom);
    }
    return true;
}

/* One byte for nothing and for powers of two from 2^-243 to 2^10, else nine. */
static void
put_zero_threshold(struct bits_out *out, uint64_t bits)
{
    uint64_t exponent = bits >> 52; /* with the sign above it */
    if (bits == 0) {
        bits_put(out, 0, 8);
    } else if ((bits & bits_mask(52)) == 0 && exponent >= 780 && exponent <= 1033) {
        bits_put(out, exponent - 779, 8);
    } else {
        bits_put(out, 255, 8);
        bits_put_wide(out, bits, 64);
    }
}

/* Thousandths as a small number plus one, if that gives back the very same bits. */
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
    bits_put(out, 0, 16); /* the count, known at the end */
    bits_put(out, header, 8);
    put_zero_threshold(out, h->zero_threshold_bits);
    varbit_put_signed(out, (uint64_t)(int64_t)h->schema);
    put_spans(out, &h->positive);
    put_spans(out, &h->negative);
    if (h->schema != HISTOGRAM_SCHEMA_CUSTOM) return;
    varbit_put_unsigned(out, h->custom_count);
    for (uint32_t i = 0; i < h->custom_count; i++) {
        put_custom_bound(out, h->custom_bits[i]);
    }
}

/* --- counts ----------------------------------------------------------------------------------- */

static inline void
put_dod(struct bits_out *out, struct dod_state *s, uint64_t v)
{
    uint64_t delta = v - s->before;
    varbit_put_signed(out, delta - s->delta);
    *s = (struct dod_state){v, delta};
}

static void
put_first_side(struct bits_out *out, enum sample_kind kind, const struct hist_buckets *b,
               union bucket_state *states)
{
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        if (kind == SAMPLE_HISTOGRAM_INT) {
            states[i].dod = (struct dod_state){(uint64_t)b->deltas[i], 0};
            varbit_put_signed(out, (uint64_t)b->deltas[i]);
        } else {
            states[i].xored = (struct xor_state){b->counts[i], XOR_NO_WINDOW, 0};
            bits_put_wide(out, b->counts[i], 64);
        }
    }
}

static void
put_first(struct chunk_writer *writer, struct bits_out *out, int64_t t_ms,
          const struct histogram *h)
{
    struct chunk_histogram_state *s = &writer->histogram;
    writer->time = (struct dod_state){(uint64_t)t_ms, 0};
    s->sum = (struct xor_state){h->sum_bits, XOR_NO_WINDOW, 0};
    varbit_put_signed(out, (uint64_t)t_ms);
    if (h->kind == SAMPLE_HISTOGRAM_INT) {
        s->count.dod = (struct dod_state){h->count, 0};
        s->zero_count.dod = (struct dod_state){h->zero_count, 0};
        varbit_put_unsigned(out, h->count);
        varbit_put_unsigned(out, h->zero_count);
    } else {
        s->count.xored = (struct xor_state){h->count, XOR_NO_WINDOW, 0};
        s->zero_count.xored = (struct xor_state){h->zero_count, XOR_NO_WINDOW, 0};
        bits_put_wide(out, h->count, 64);
        bits_put_wide(out, h->zero_count, 64);
    }
    bits_put_wide(out, h->sum_bits, 64);
    put_first_side(out, h->kind, &h->positive, s->buckets);
    put_first_side(out, h->kind, &h->negative, negative_states(s, h));
}

static void
put_next_side(struct bits_out *out, enum sample_kind kind, const struct hist_buckets *b,
              union bucket_state *states)
{
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        if (kind == SAMPLE_HISTOGRAM_INT) {
            put_dod(out, &states[i].dod, (uint64_t)b->deltas[i]);
        } else {
            xor_put(out, &states[i].xored, b->counts[i]);
        }
    }
}

/*
 * After a staleness marker's sum readers stop and expect no buckets; only further markers may
 * follow in the chunk (see fits()), so its counts may be anything: "as before" is the shortest.
 */
static void
put_next(struct chunk_writer *writer, struct bits_out *out, int64_t t_ms, const struct histogram *h)
{
    struct chunk_histogram_state *s = &writer->histogram;
    put_dod(out, &writer->time, (uint64_t)t_ms);
    if (h->sum_bits == STALE_NAN_BITS) {
        bits_put(out, 0, 1);
        bits_put(out, 0, 1);
        xor_put(out, &s->sum, h->sum_bits);
        return;
    }
    if (h->kind == SAMPLE_HISTOGRAM_INT) {
        put_dod(out, &s->count.dod, h->count);
        put_dod(out, &s->zero_count.dod, h->zero_count);
    } else {
        xor_put(out, &s->count.xored, h->count);
        xor_put(out, &s->zero_count.xored, h->zero_count);
    }
    xor_put(out, &s->sum, h->sum_bits);
    put_next_side(out, h->kind, &h->positive, s->buckets);
    put_next_side(out, h->kind, &h->negative, negative_states(s, h));
}

/* --- both ------------------------------------------------------------------------------------- */

static bool
spans_match(const struct hist_buckets *b)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->span_count; i++) {
        total += b->spans[i].length;
    }
    return total == b->bucket_count;
}

static enum chunk_reset
first_header(const struct chunk_histogram_state *s, int64_t t_ms, const struct histogram *h)
{
    if (is_gauge(h)) return CHUNK_RESET_GAUGE;
    if (h->reset_hint == RESET_YES) return CHUNK_RESET_YES;
    if (s->has_next && s->next_ms == t_ms) return s->next_header;
    return h->reset_hint == RESET_NO ? CHUNK_RESET_NO : CHUNK_RESET_UNKNOWN;
}

enum err
chunk_put_histogram(struct chunk_writer *writer, int64_t t_ms, const struct histogram *given)
{
    struct chunk_histogram_state *s = &writer->histogram;
    enum chunk_type type =
        given->kind == SAMPLE_HISTOGRAM_INT ? CHUNK_HISTOGRAM : CHUNK_FLOAT_HISTOGRAM;
    assert(writer->type == type);
    if (writer->count == CHUNK_SAMPLES_MAX) return ERR_LIMIT;
    bool stale = given->sum_bits == STALE_NAN_BITS;
    bool first = writer->count == 0;
    struct histogram h = *given;
    if (stale) {
        h = (struct histogram){
            .kind = given->kind, .reset_hint = given->reset_hint, .sum_bits = given->sum_bits};
    }
    if (!spans_match(&h.positive) || !spans_match(&h.negative)) return ERR_INPUT;
    enum chunk_reset next;
    if (!first && !fits(s, &h, &next)) {
        s->has_next = true;
        s->next_header = next;
        s->next_ms = t_ms;
        return ERR_AGAIN;
    }

    size_t bytes = SAMPLE_BYTES_MAX + (size_t)layout_buckets(&h) * XOR_BYTES_MAX;
    if (first) {
        bytes += LAYOUT_BYTES_MAX + (size_t)h.custom_count * VARBIT_BYTES_MAX +
                 ((size_t)h.positive.span_count + h.negative.span_count) * 2 * VARBIT_BYTES_MAX;
        if (!keep_layout(writer, &h)) return ERR_NOMEM;
    }
    enum err e = chunk_reserve(writer, bytes);
    if (e) return e;
    struct bits_out out = chunk_bits_begin(writer);
    if (first) {
        s->header = first_header(s, t_ms, &h);
        s->has_next = false;
        put_layout(&out, &h, s->header);
        put_first(writer, &out, t_ms, &h);
    } else {
        put_next(writer, &out, t_ms, &h);
    }
    s->stale = stale;
    writer->count++;
    chunk_bits_done(writer, &out);
    return OK;
}

void
chunk_histogram_fini(struct chunk_writer *writer)
{
    struct chunk_histogram_state *s = &writer->histogram;
    mem_free(writer->budget, s->spans, s->spans_bytes);
    mem_free(writer->budget, s->custom, s->custom_bytes);
    mem_free(writer->budget, s->buckets, s->buckets_bytes);
}
