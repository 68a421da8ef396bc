/*
 * oracle_stream.c - the STREAMED_XOR_CHUNKS answer: frames, checksums and messages are taken apart
 * here with protobuf-c; the chunks in them are read with wire/chunk/chunk.h, whose encoding real
 * servers check.
 */
#include <stdlib.h>

#include "base/hash/crc32c.h"
#include "cmp.pb-c.h"
#include "model/histogram.h"
#include "oracle_private.h"
#include "wire/chunk/chunk.h"

/* The series being put together: consecutive frames with equal labels. */
struct gathering {
    struct oracle_set *set;
    struct oracle_range range;
    struct arena arena;
    Cmp__TimeSeries series;
    size_t sample_capacity;
    size_t histogram_capacity;
    int64_t min_ms, max_ms; /* range of the current chunk */
    bool outside;           /* a sample lies outside the range of its chunk */
};

static void *
grow(void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity) return items;
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    return oracle_must(realloc(items, *capacity * item_size));
}

static void *
keep(struct gathering *g, size_t size)
{
    return oracle_must(arena_new(&g->arena, size));
}

static Cmp__BucketSpan **
spans_of(struct gathering *g, const struct hist_buckets *b)
{
    Cmp__BucketSpan **list = keep(g, (b->span_count + 1u) * sizeof *list);
    for (uint32_t i = 0; i < b->span_count; i++) {
        list[i] = keep(g, sizeof **list);
        cmp__bucket_span__init(list[i]);
        list[i]->offset = b->spans[i].offset;
        list[i]->length = b->spans[i].length;
    }
    return list;
}

/* Copies the words of a side, as the requested 64-bit type. */
static void *
words_of(struct gathering *g, const void *from, uint32_t count)
{
    uint64_t *to = keep(g, (count + 1u) * sizeof *to);
    if (count > 0) memcpy(to, from, count * sizeof *to);
    return to;
}

static void
fill_sides(struct gathering *g, Cmp__Histogram *to, const struct histogram *h)
{
    to->n_positive_spans = h->positive.span_count;
    to->positive_spans = spans_of(g, &h->positive);
    to->n_negative_spans = h->negative.span_count;
    to->negative_spans = spans_of(g, &h->negative);
    if (h->kind == SAMPLE_HISTOGRAM_INT) {
        to->n_positive_deltas = h->positive.bucket_count;
        to->positive_deltas = words_of(g, h->positive.deltas, h->positive.bucket_count);
        to->n_negative_deltas = h->negative.bucket_count;
        to->negative_deltas = words_of(g, h->negative.deltas, h->negative.bucket_count);
    } else {
        to->n_positive_counts = h->positive.bucket_count;
        to->positive_counts = words_of(g, h->positive.counts, h->positive.bucket_count);
        to->n_negative_counts = h->negative.bucket_count;
        to->negative_counts = words_of(g, h->negative.counts, h->negative.bucket_count);
    }
    to->n_custom_values = h->custom_count;
    to->custom_values = words_of(g, h->custom_bits, h->custom_count);
}

static Cmp__Histogram *
histogram_of(struct gathering *g, int64_t t_ms, const struct histogram *h)
{
    Cmp__Histogram *to = keep(g, sizeof *to);
    cmp__histogram__init(to);
    bool integer = h->kind == SAMPLE_HISTOGRAM_INT;
    to->count_case = integer ? CMP__HISTOGRAM__COUNT_COUNT_INT : CMP__HISTOGRAM__COUNT_COUNT_FLOAT;
    to->zero_count_case = integer ? CMP__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT
                                  : CMP__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT;
    if (integer) {
        to->count_int = h->count;
        to->zero_count_int = h->zero_count;
    } else {
        to->count_float = bits_double(h->count);
        to->zero_count_float = bits_double(h->zero_count);
    }
    to->sum = bits_double(h->sum_bits);
    to->schema = h->schema;
    to->zero_threshold = bits_double(h->zero_threshold_bits);
    to->reset_hint = (int32_t)h->reset_hint;
    to->timestamp = t_ms;
    fill_sides(g, to, h);
    return to;
}

static enum err
take_sample(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct gathering *g = context;
    Cmp__TimeSeries *ts = &g->series;
    if (t_ms < g->min_ms || t_ms > g->max_ms) g->outside = true;
    if (h != NULL) {
        ts->histograms =
            grow(ts->histograms, ts->n_histograms, &g->histogram_capacity, sizeof *ts->histograms);
        ts->histograms[ts->n_histograms++] = histogram_of(g, t_ms, h);
        return OK;
    }
    Cmp__Sample *sample = keep(g, sizeof *sample);
    cmp__sample__init(sample);
    sample->value = bits;
    sample->timestamp = t_ms;
    ts->samples = grow(ts->samples, ts->n_samples, &g->sample_capacity, sizeof *ts->samples);
    ts->samples[ts->n_samples++] = sample;
    return OK;
}

/* Adds the gathered samples as a series of the answer. */
static void
series_done(struct gathering *g)
{
    if (g->series.n_labels > 0 || g->series.n_samples > 0 || g->series.n_histograms > 0)
        oracle_add_answered_series(g->set, g->range, &g->series);
    g->series.n_labels = g->series.n_samples = g->series.n_histograms = 0;
    arena_reset(&g->arena);
}

static bool
same_binary(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
    return bytes_equal(bytes_of(a->data, a->len), bytes_of(b->data, b->len));
}

static bool
same_labels(const Cmp__TimeSeries *ts, const Cmp__ChunkedSeries *cs)
{
    if (ts->n_labels != cs->n_labels) return false;
    for (size_t i = 0; i < cs->n_labels; i++)
        if (!same_binary(&ts->labels[i]->name, &cs->labels[i]->name) ||
            !same_binary(&ts->labels[i]->value, &cs->labels[i]->value))
            return false;
    return true;
}

static ProtobufCBinaryData
keep_binary(struct gathering *g, const ProtobufCBinaryData *from)
{
    ProtobufCBinaryData to = {from->len, keep(g, from->len + 1)};
    if (from->len > 0) memcpy(to.data, from->data, from->len);
    return to;
}

static void
series_begin(struct gathering *g, const Cmp__ChunkedSeries *cs)
{
    g->series.n_labels = cs->n_labels;
    g->series.labels = keep(g, (cs->n_labels + 1) * sizeof *g->series.labels);
    for (size_t i = 0; i < cs->n_labels; i++) {
        Cmp__Label *label = keep(g, sizeof *label);
        cmp__label__init(label);
        label->name = keep_binary(g, &cs->labels[i]->name);
        label->value = keep_binary(g, &cs->labels[i]->value);
        g->series.labels[i] = label;
    }
}

static enum err
take_chunks(struct gathering *g, const Cmp__ChunkedSeries *cs, struct why *why)
{
    struct arena scratch;
    arena_init(&scratch, NULL, 0, 0);
    enum err e = OK;
    for (size_t i = 0; i < cs->n_chunks && e == OK; i++) {
        const Cmp__Chunk *c = cs->chunks[i];
        g->min_ms = c->min_time_ms;
        g->max_ms = c->max_time_ms;
        arena_reset(&scratch);
        e = chunk_read((enum chunk_type)c->type, bytes_of(c->data.data, c->data.len), &scratch,
                       take_sample, g);
        if (e) why_set(why, ERR_INPUT, "a chunk of type %d cannot be read", (int)c->type);
    }
    arena_fini(&scratch);
    return e ? ERR_INPUT : OK;
}

static enum err
take_frame(struct gathering *g, struct bytes payload, struct why *why)
{
    struct arena arena;
    ProtobufCAllocator allocator = oracle_allocator(&arena);
    Cmp__ChunkedReadResponse *frame =
        cmp__chunked_read_response__unpack(&allocator, payload.size, payload.at);
    enum err e = frame == NULL ? why_set(why, ERR_INPUT, "a frame is no ChunkedReadResponse") : OK;
    for (size_t i = 0; e == OK && i < frame->n_chunked_series; i++) {
        const Cmp__ChunkedSeries *cs = frame->chunked_series[i];
        if (!same_labels(&g->series, cs)) {
            series_done(g);
            series_begin(g, cs);
        }
        e = take_chunks(g, cs, why);
    }
    arena_fini(&arena);
    return e;
}

enum err
oracle_add_stream(struct oracle_set *set, struct oracle_range range, struct bytes body,
                  struct why *why)
{
    struct gathering g = {.set = set, .range = range};
    arena_init(&g.arena, NULL, 0, 0);
    cmp__time_series__init(&g.series);
    struct cursor c = cursor_of(body);
    enum err e = OK;
    set->answers++;
    while (e == OK && cursor_left(&c) > 0) {
        uint64_t size = cursor_varint(&c);
        struct bytes sum = cursor_bytes(&c, 4);
        struct bytes payload = cursor_bytes(&c, size);
        if (c.bad)
            e = why_set(why, ERR_INPUT, "the stream ends within a frame");
        else if (crc32c(0, payload) != load_be32(sum.at))
            e = why_set(why, ERR_INPUT, "a frame's checksum is wrong");
        else
            e = take_frame(&g, payload, why);
    }
    series_done(&g);
    if (e == OK && g.outside)
        e = why_set(why, ERR_INPUT, "a sample lies outside the times of its chunk");
    free(g.series.samples);
    free(g.series.histograms);
    arena_fini(&g.arena);
    return e;
}
