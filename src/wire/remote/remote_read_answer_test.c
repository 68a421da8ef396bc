/*
 * remote_read_answer_test.c - both forms of the answer, read back with protobuf-c and libsnappy and
 * compared with the input.
 */
#include "lib/test.h"

#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/crc32c.h"
#include "lib/random.h"
#include "remote_read.pb-c.h"
#include "wire/chunk/chunk.h"
#include "wire/remote/remote_read.h"

/* --- content of answers ----------------------------------------------------------------------- */

struct item {
    int64_t t_ms;
    bool is_histogram;
    uint64_t bits;
    struct histogram h;
};

struct series {
    struct bytes labels;
    struct item *items;
    uint32_t item_count;
};

struct query {
    struct series *series;
    uint32_t series_count;
};

struct model {
    struct query *queries;
    uint32_t query_count;
};

static void
put_label(struct buf *to, const char *name, struct bytes value)
{
    size_t name_size = strlen(name);
    buf_put_u8(to, 0x0a);
    buf_put_varint(to, 1 + varint_size(name_size) + name_size + 1 + varint_size(value.size) +
                           value.size);
    buf_put_u8(to, 0x0a);
    buf_put_counted(to, bytes_of_text(name));
    buf_put_u8(to, 0x12);
    buf_put_counted(to, value);
}

/* Makes labels that no other series has; sometimes one value of `huge` bytes. */
static struct bytes
make_labels(struct arena *arena, uint32_t number, size_t huge)
{
    struct buf labels;
    buf_init(&labels, NULL, 64 << 20);
    char text[24];
    snprintf(text, sizeof text, "%08u", number);
    put_label(&labels, "__name__", bytes_of_text("node_cpu_seconds_total"));
    put_label(&labels, "instance", bytes_of_text(text));
    if (huge > 0) {
        uint8_t *value = malloc(huge);
        assert_non_null(value);
        struct rng r = {number};
        for (size_t i = 0; i < huge; i++)
            value[i] = (uint8_t)('a' + rng_below(&r, 26));
        put_label(&labels, "label", bytes_of(value, huge));
        free(value);
    }
    put_label(&labels, "mode", bytes_of_text("idle"));
    assert_int_equal(buf_error(&labels), OK);
    struct bytes copy = arena_copy(arena, buf_bytes(&labels));
    buf_fini(&labels);
    return copy;
}

/* Makes runs of floats and of histograms of both kinds, of any class. */
static void
make_series(struct rng *r, struct arena *arena, struct series *s, uint32_t item_max)
{
    uint32_t want = 1 + (uint32_t)rng_below(r, item_max);
    s->items = arena_new(arena, want * sizeof *s->items);
    unsigned time_class = (unsigned)rng_below(r, RANDOM_TIME_CLASSES);
    unsigned value_class = (unsigned)rng_below(r, RANDOM_VALUE_CLASSES);
    bool mixed = rng_below(r, 3) == 0;
    unsigned kind = mixed && rng_below(r, 2) == 0 ? 1 + (unsigned)rng_below(r, 2) : 0;
    int64_t t = random_first_time(r, time_class);
    const struct item *before = NULL;
    do {
        struct item *item = &s->items[s->item_count++];
        item->t_ms = t;
        item->is_histogram = kind != 0;
        bool goes_on = before != NULL && before->is_histogram == item->is_histogram &&
                       (kind == 0 || before->h.kind == (enum sample_kind)kind);
        if (kind == 0)
            item->bits = random_value(r, value_class, goes_on ? before->bits : 0);
        else if (goes_on)
            item->h = random_next_histogram(r, arena, &before->h);
        else
            item->h = random_histogram(r, arena, (enum sample_kind)kind);
        before = item;
        if (mixed && rng_below(r, 30) == 0) kind = (unsigned)rng_below(r, 3);
    } while (s->item_count < want && random_next_time(r, time_class, &t));
}

static struct model
random_model(struct rng *r, struct arena *arena)
{
    struct model m = {.query_count = (uint32_t)rng_below(r, 4)};
    m.queries = arena_new(arena, (m.query_count + 1) * sizeof *m.queries);
    uint32_t number = 0;
    for (uint32_t q = 0; q < m.query_count; q++) {
        struct query *query = &m.queries[q];
        query->series_count = (uint32_t)rng_below(r, 7);
        query->series = arena_new(arena, (query->series_count + 1) * sizeof *query->series);
        for (uint32_t i = 0; i < query->series_count; i++) {
            static const size_t sizes[] = {0, 0, 0, 0, 0, 100, 20000, 70000};
            query->series[i].labels = make_labels(arena, number++, sizes[rng_below(r, 8)]);
            if (rng_below(r, 10) > 0) make_series(r, arena, &query->series[i], 500);
        }
    }
    return m;
}

/* --- feeding it ------------------------------------------------------------------------------- */

/* One of the two writers. */
struct writer {
    struct rr_stream *stream;
    struct rr_samples *samples;
    /* histograms are written unchanged, as tests of failing allocations must not make chunks */
    bool plain;
    struct why why;
};

static enum err
gather_chunk(void *context, const struct histogram_chunk *c, struct why *why)
{
    (void)why;
    rr_chunk_put(context, c->type, c->min_ms, c->max_ms, c->data);
    return buf_error(context);
}

/* Writes histograms unchanged, by columns, or as chunks made elsewhere. */
static enum err
stream_histograms(struct writer *w, struct rng *r, uint32_t count, const int64_t *times_ms,
                  const struct histogram *h)
{
    struct histogram_chunks *chunks;
    struct arena arena;
    struct buf made;
    bool alike = true;
    for (uint32_t i = 1; i < count; i++)
        alike = alike && histogram_same_layout(&h[0], &h[i]);
    unsigned how = w->plain ? 0 : (unsigned)rng_below(r, 3);
    if (how == 0 || (how == 1 && !alike))
        return rr_stream_histograms(w->stream, count, times_ms, h, &w->why);
    arena_init(&arena, NULL, 0, 0);
    buf_init(&made, NULL, 64 << 20);
    enum err e;
    if (how == 1) {
        struct hist_columns columns = columns_of(&arena, h, count);
        e = rr_stream_columns(w->stream, &columns, 0, count, times_ms, &w->why);
    } else {
        size_t bytes_max = 1 + rng_below(r, 10000);
        e = histogram_chunks_new(NULL, bytes_max, gather_chunk, &made, &chunks);
        if (e == OK) e = histogram_chunks_put(chunks, count, times_ms, h, &w->why);
        if (e == OK) e = histogram_chunks_end(chunks, &w->why);
        if (e == OK) e = rr_stream_chunks(w->stream, buf_bytes(&made), &w->why);
        histogram_chunks_free(chunks);
    }
    buf_fini(&made);
    arena_fini(&arena);
    return e;
}

static enum err
feed_batch(struct writer *w, struct rng *r, const struct item *items, uint32_t count)
{
    int64_t times_ms[64];
    uint64_t bits[64];
    struct histogram histograms[64];
    for (uint32_t i = 0; i < count; i++) {
        times_ms[i] = items[i].t_ms;
        bits[i] = items[i].bits;
        histograms[i] = items[i].h;
    }
    if (items[0].is_histogram) {
        return w->stream != NULL ? stream_histograms(w, r, count, times_ms, histograms)
                                 : rr_samples_histograms(w->samples, count, times_ms, histograms);
    }
    return w->stream != NULL ? rr_stream_floats(w->stream, count, times_ms, bits, &w->why)
                             : rr_samples_floats(w->samples, count, times_ms, bits);
}

static enum err
feed_series(struct writer *w, struct rng *r, const struct series *s)
{
    enum err e = w->stream != NULL ? rr_stream_series(w->stream, s->labels, &w->why)
                                   : rr_samples_series(w->samples, s->labels);
    for (uint32_t at = 0; at < s->item_count && e == OK;) {
        uint32_t most = 1 + (uint32_t)rng_below(r, 64);
        uint32_t count = 1;
        while (count < most && at + count < s->item_count &&
               s->items[at + count].is_histogram == s->items[at].is_histogram)
            count++;
        e = feed_batch(w, r, s->items + at, count);
        at += count;
    }
    return e;
}

static enum err
feed(struct writer *w, struct rng *r, const struct model *m)
{
    for (uint32_t q = 0; q < m->query_count; q++) {
        enum err e = w->stream != NULL ? rr_stream_query(w->stream, q, &w->why)
                                       : rr_samples_query(w->samples);
        for (uint32_t i = 0; i < m->queries[q].series_count && e == OK; i++)
            e = feed_series(w, r, &m->queries[q].series[i]);
        if (e) return e;
    }
    return w->stream != NULL ? rr_stream_end(w->stream, &w->why) : OK;
}

/* --- receiving -------------------------------------------------------------------------------- */

/* A receiver that collects everything; or counts and forgets; or fails at the n-th piece. */
struct receiver {
    struct buf all;
    bool forget;
    uint64_t size;
    unsigned pieces;
    unsigned fail_at; /* 0: never */
};

static enum err
receive(void *context, struct bytes piece, struct why *why)
{
    struct receiver *r = context;
    r->pieces++;
    if (r->fail_at != 0 && r->pieces >= r->fail_at)
        return why_set(why, ERR_CANCELED, "the client is gone");
    r->size += piece.size;
    if (!r->forget) buf_put_bytes(&r->all, piece);
    return buf_error(&r->all);
}

struct fixture {
    struct budget budget;
    struct arena arena;  /* the model */
    struct arena parsed; /* the result of reading */
    struct arena chunks;
    struct receiver receiver;
    struct rr_sink sink;
    struct writer writer;
    uint64_t seed; /* seed of the current loop; printed if the test fails in it */
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    budget_init(&f->budget, "test", 0, NULL);
    arena_init(&f->arena, NULL, 0, 0);
    arena_init(&f->parsed, NULL, 0, 0);
    arena_init(&f->chunks, NULL, 0, 0);
    buf_init(&f->receiver.all, NULL, 1u << 30);
    f->sink = (struct rr_sink){receive, &f->receiver};
    *state = f;
    return 0;
}

static void
drop_writer(struct fixture *f)
{
    rr_stream_free(f->writer.stream);
    rr_samples_free(f->writer.samples);
    f->writer = (struct writer){.plain = f->writer.plain};
    buf_clear(&f->receiver.all);
    f->receiver.size = f->receiver.pieces = f->receiver.fail_at = 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    if (f->seed != 0) print_error("failed with seed %llu\n", (unsigned long long)f->seed);
    drop_writer(f);
    buf_fini(&f->receiver.all);
    arena_fini(&f->arena);
    arena_fini(&f->parsed);
    arena_fini(&f->chunks);
    int leaked = budget_used(&f->budget) != 0;
    free(f);
    return leaked;
}

static void
new_stream(struct fixture *f, size_t frame_bytes)
{
    drop_writer(f);
    assert_int_equal(rr_stream_new(&f->sink, frame_bytes, &f->budget, &f->writer.stream), OK);
}

static void
new_samples(struct fixture *f)
{
    drop_writer(f);
    assert_int_equal(rr_samples_new(&f->budget, &f->writer.samples), OK);
}

/* --- reading STREAMED_XOR_CHUNKS back --------------------------------------------------------- */

static bool
same_labels(size_t count, Rrtest__Label **labels, struct bytes canonical)
{
    struct buf again;
    buf_init(&again, NULL, 64 << 20);
    for (size_t i = 0; i < count; i++) {
        char name[64];
        assert_true(labels[i]->name.len < sizeof name);
        memcpy(name, labels[i]->name.data, labels[i]->name.len);
        name[labels[i]->name.len] = '\0';
        put_label(&again, name, bytes_of(labels[i]->value.data, labels[i]->value.len));
    }
    bool same = bytes_equal(buf_bytes(&again), canonical);
    buf_fini(&again);
    return same;
}

/* The position of the reader in the model. */
struct checker {
    struct fixture *f;
    const struct model *model;
    size_t frame_bytes; /* 0: not checked */
    uint32_t query;
    uint32_t series;
    uint32_t item;
    const struct series *now;
    const Rrtest__Chunk *chunk;
    uint32_t chunk_items;
};

/* Moves to the series of the next frame: stays at the current one while it has samples, or takes
 * the next that has some. */
static void
find_series(struct checker *c, uint64_t query_index)
{
    if (c->now != NULL && c->item < c->now->item_count) return;
    if (c->now != NULL) c->series++;
    c->now = NULL;
    for (; c->query < c->model->query_count; c->query++, c->series = 0) {
        const struct query *q = &c->model->queries[c->query];
        for (; c->series < q->series_count; c->series++) {
            if (q->series[c->series].item_count == 0) continue;
            c->now = &q->series[c->series];
            c->item = 0;
            assert_int_equal(c->query, query_index);
            return;
        }
    }
}

static enum err
check_sample(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct checker *c = context;
    if (c->item == c->now->item_count) return ERR_LIMIT;
    const struct item *item = &c->now->items[c->item++];
    c->chunk_items++;
    assert_int_equal(t_ms, item->t_ms);
    assert_true(t_ms >= c->chunk->min_time_ms && t_ms <= c->chunk->max_time_ms);
    assert_int_equal(h != NULL, item->is_histogram);
    if (h == NULL) {
        assert_int_equal(bits, item->bits);
        return OK;
    }
    assert_true(same_histogram_bits(&item->h, h));
    if (h->sum_bits == STALE_NAN_BITS) return OK;
    assert_int_equal(item->h.reset_hint == RESET_GAUGE, h->reset_hint == RESET_GAUGE);
    if (item->h.reset_hint == RESET_YES) assert_int_equal(h->reset_hint, RESET_YES);
    return OK;
}

static void
check_frame(struct checker *c, struct bytes payload)
{
    Rrtest__ChunkedReadResponse *frame =
        rrtest__chunked_read_response__unpack(NULL, payload.size, payload.at);
    assert_non_null(frame);
    assert_int_equal(frame->n_chunked_series, 1);
    const Rrtest__ChunkedSeries *series = frame->chunked_series[0];
    find_series(c, (uint64_t)frame->query_index);
    assert_non_null(c->now);
    assert_int_equal(frame->query_index, c->query);
    assert_true(same_labels(series->n_labels, series->labels, c->now->labels));
    assert_true(series->n_chunks > 0);
    for (size_t i = 0; i < series->n_chunks; i++) {
        c->chunk = series->chunks[i];
        c->chunk_items = 0;
        arena_reset(&c->f->chunks);
        int64_t first_ms = c->now->items[c->item].t_ms;
        assert_int_equal(chunk_read((enum chunk_type)c->chunk->type,
                                    bytes_of(c->chunk->data.data, c->chunk->data.len),
                                    &c->f->chunks, check_sample, c),
                         OK);
        assert_true(c->chunk_items >= 1 && c->chunk_items <= HISTOGRAM_CHUNK_SAMPLES);
        assert_int_equal(c->chunk->min_time_ms, first_ms);
        assert_int_equal(c->chunk->max_time_ms, c->now->items[c->item - 1].t_ms);
    }
    if (c->frame_bytes != 0 && series->n_chunks > 1) assert_true(payload.size <= c->frame_bytes);
    rrtest__chunked_read_response__free_unpacked(frame, NULL);
}

static unsigned
check_stream(struct fixture *f, const struct model *m, size_t frame_bytes)
{
    struct checker c = {.f = f, .model = m, .frame_bytes = frame_bytes};
    struct cursor in = cursor_of(buf_bytes(&f->receiver.all));
    unsigned frames = 0;
    while (cursor_left(&in) > 0) {
        uint64_t size = cursor_varint(&in);
        struct bytes crc = cursor_bytes(&in, 4);
        struct bytes payload = cursor_bytes(&in, size);
        assert_false(in.bad);
        assert_int_equal(load_be32(crc.at), crc32c(0, payload));
        check_frame(&c, payload);
        frames++;
    }
    find_series(&c, 0);
    assert_null(c.now); /* all was read */
    return frames;
}

static void
test_streamed_answer_is_what_went_in(void **state)
{
    struct fixture *f = *state;
    static const size_t frame_sizes[] = {100, 2000, 30000, RR_FRAME_BYTES};
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rng r = {f->seed = seed};
        arena_reset(&f->arena);
        struct model m = random_model(&r, &f->arena);
        size_t frame_bytes = frame_sizes[seed % 4];
        new_stream(f, frame_bytes);
        assert_int_equal(feed(&f->writer, &r, &m), OK);
        (void)check_stream(f, &m, frame_bytes);
    }
    f->seed = 0;
}

static void
test_frame_has_the_documented_bytes(void **state)
{
    struct fixture *f = *state;
    new_stream(f, RR_FRAME_BYTES);
    const int64_t t = 5;
    const uint64_t v = double_bits(1);
    const uint8_t labels[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 'b'};
    assert_int_equal(rr_stream_query(f->writer.stream, 3, NULL), OK);
    assert_int_equal(rr_stream_series(f->writer.stream, bytes_of(labels, 8), NULL), OK);
    assert_int_equal(rr_stream_floats(f->writer.stream, 1, &t, &v, NULL), OK);
    assert_int_equal(rr_stream_end(f->writer.stream, NULL), OK);
    const uint8_t expected[] = {33,                                      /* length */
                                0,    0,    0,    0,                     /* its sum, below */
                                0x0a, 29,                                /* one series */
                                0x0a, 6,    0x0a, 1, 'a',  0x12, 1, 'b', /* its label */
                                0x12, 19,                                /* one chunk */
                                0x08, 5,    0x10, 5, 0x18, 1,            /* from, to, XOR */
                                0x22, 11,   0,    1, 10,                 /* one sample at 5 */
                                0x3f, 0xf0, 0,    0, 0,    0,    0, 0,   /* 1.0 */
                                0x10, 3};                                /* query index */
    assert_int_equal(f->receiver.all.size, sizeof expected);
    assert_memory_equal(f->receiver.all.at, expected, 1);
    assert_memory_equal(f->receiver.all.at + 5, expected + 5, sizeof expected - 5);
    assert_int_equal(load_be32(f->receiver.all.at + 1), crc32c(0, bytes_of(expected + 5, 33)));
}

/* --- reading SAMPLES back --------------------------------------------------------------------- */

static struct bytes
uncompress(struct fixture *f)
{
    const char *at = (const char *)f->receiver.all.at;
    size_t size = 0;
    assert_int_equal(snappy_validate_compressed_buffer(at, f->receiver.all.size), SNAPPY_OK);
    assert_int_equal(snappy_uncompressed_length(at, f->receiver.all.size, &size), SNAPPY_OK);
    arena_reset(&f->parsed);
    char *to = arena_alloc(&f->parsed, size + 1);
    assert_non_null(to);
    assert_int_equal(snappy_uncompress(at, f->receiver.all.size, to, &size), SNAPPY_OK);
    return bytes_of(to, size);
}

static struct hist_buckets
parsed_side(struct arena *arena, size_t span_count, Rrtest__BucketSpan **spans, size_t delta_count,
            const int64_t *deltas, size_t count_count, const double *counts)
{
    struct hist_span *to = arena_new(arena, (span_count + 1) * sizeof *to);
    for (size_t i = 0; i < span_count; i++)
        to[i] = (struct hist_span){spans[i]->offset, spans[i]->length};
    assert_true(delta_count == 0 || count_count == 0);
    return (struct hist_buckets){.spans = to,
                                 .span_count = (uint32_t)span_count,
                                 .bucket_count = (uint32_t)(delta_count + count_count),
                                 .deltas = deltas,
                                 .counts = (const void *)counts};
}

static void
check_histogram(struct arena *arena, const Rrtest__Histogram *in, const struct item *item)
{
    bool is_int = in->count_case == RRTEST__HISTOGRAM__COUNT_COUNT_INT;
    assert_true(is_int || in->count_case == RRTEST__HISTOGRAM__COUNT_COUNT_FLOAT);
    assert_int_equal(in->zero_count_case, is_int ? RRTEST__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT
                                                 : RRTEST__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT);
    struct histogram h = {.kind = is_int ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT,
                          .reset_hint = (enum reset_hint)in->reset_hint,
                          .schema = in->schema,
                          .zero_threshold_bits = double_bits(in->zero_threshold),
                          .sum_bits = double_bits(in->sum),
                          .count = is_int ? in->count_int : double_bits(in->count_float),
                          .zero_count =
                              is_int ? in->zero_count_int : double_bits(in->zero_count_float),
                          .positive = parsed_side(arena, in->n_positive_spans, in->positive_spans,
                                                  in->n_positive_deltas, in->positive_deltas,
                                                  in->n_positive_counts, in->positive_counts),
                          .negative = parsed_side(arena, in->n_negative_spans, in->negative_spans,
                                                  in->n_negative_deltas, in->negative_deltas,
                                                  in->n_negative_counts, in->negative_counts),
                          .custom_bits = (const void *)in->custom_values,
                          .custom_count = (uint32_t)in->n_custom_values};
    assert_int_equal(in->timestamp, item->t_ms);
    assert_true(item->is_histogram);
    assert_int_equal(h.reset_hint, item->h.reset_hint);
    assert_true(same_histogram_bits(&item->h, &h));
}

static void
check_series(struct arena *arena, const Rrtest__TimeSeries *in, const struct series *s)
{
    assert_true(same_labels(in->n_labels, in->labels, s->labels));
    size_t floats = 0;
    size_t histograms = 0;
    for (uint32_t i = 0; i < s->item_count; i++) {
        const struct item *item = &s->items[i];
        if (item->is_histogram) {
            assert_true(histograms < in->n_histograms);
            check_histogram(arena, in->histograms[histograms++], item);
        } else {
            assert_true(floats < in->n_samples);
            assert_int_equal(in->samples[floats]->timestamp, item->t_ms);
            assert_int_equal(double_bits(in->samples[floats++]->value), item->bits);
        }
    }
    assert_int_equal(floats, in->n_samples);
    assert_int_equal(histograms, in->n_histograms);
}

static void
check_samples(struct fixture *f, const struct model *m)
{
    struct bytes raw = uncompress(f);
    Rrtest__ReadResponse *answer = rrtest__read_response__unpack(NULL, raw.size, raw.at);
    assert_non_null(answer);
    assert_int_equal(answer->n_results, m->query_count);
    for (uint32_t q = 0; q < m->query_count; q++) {
        const Rrtest__QueryResult *result = answer->results[q];
        size_t at = 0;
        for (uint32_t i = 0; i < m->queries[q].series_count; i++) {
            if (m->queries[q].series[i].item_count == 0) continue;
            assert_true(at < result->n_timeseries);
            check_series(&f->parsed, result->timeseries[at++], &m->queries[q].series[i]);
        }
        assert_int_equal(at, result->n_timeseries);
    }
    rrtest__read_response__free_unpacked(answer, NULL);
}

/* Ends an answer, all of which was written as announced. */
static void
end_samples(struct fixture *f)
{
    uint64_t size = 0;
    assert_int_equal(rr_samples_end(f->writer.samples, &size), OK);
    assert_int_equal(rr_samples_write(f->writer.samples, &f->sink, NULL), OK);
    assert_int_equal(f->receiver.size, size);
}

static void
test_samples_answer_is_what_went_in(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rng r = {f->seed = seed};
        arena_reset(&f->arena);
        struct model m = random_model(&r, &f->arena);
        new_samples(f);
        assert_int_equal(feed(&f->writer, &r, &m), OK);
        end_samples(f);
        check_samples(f, &m);
    }
    f->seed = 0;
}

static void
test_samples_answer_has_the_documented_bytes(void **state)
{
    struct fixture *f = *state;
    new_samples(f);
    const int64_t times_ms[] = {0, -1};
    const uint64_t bits[] = {0x8000000000000000u, 0};
    const uint8_t labels[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 1, 'b'};
    assert_int_equal(rr_samples_query(f->writer.samples), OK);
    assert_int_equal(rr_samples_series(f->writer.samples, bytes_of(labels, 8)), OK);
    assert_int_equal(rr_samples_floats(f->writer.samples, 2, times_ms, bits), OK);
    assert_int_equal(rr_samples_query(f->writer.samples), OK);
    end_samples(f);
    const uint8_t
        expected[] = {0x0a, 0x80 | 34, 0x80, 0x80, 0x80, 0, /* first result */
                      0x0a, 32,                             /* its series */
                      0x0a, 6,         0x0a, 1,    'a',  0x12, 1,    'b',  0x12, 9,
                      0x09, 0,         0,    0,    0,    0,    0,    0,    0x80, 0x12,
                      11,   0x10,      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                      0xff, 0x01,      0x0a, 0x80, 0x80, 0x80, 0x80, 0}; /* second result */
    struct bytes raw = uncompress(f);
    assert_true(bytes_equal(raw, bytes_of(expected, sizeof expected)));
}

static void
test_no_query_and_empty_queries_have_their_answers(void **state)
{
    struct fixture *f = *state;
    struct query queries[3] = {0};
    for (uint32_t count = 0; count <= 3; count++) {
        struct model m = {queries, count};
        struct rng r = {1};
        new_samples(f);
        assert_int_equal(feed(&f->writer, &r, &m), OK);
        end_samples(f);
        check_samples(f, &m);
        new_stream(f, RR_FRAME_BYTES);
        assert_int_equal(feed(&f->writer, &r, &m), OK);
        assert_int_equal(f->receiver.size, 0);
    }
}

/* --- large things ----------------------------------------------------------------------------- */

/* Labels of a megabyte, and a histogram with as many buckets as one may have, in both forms. */
static void
test_one_huge_label_set_and_one_huge_histogram_pass(void **state)
{
    struct fixture *f = *state;
    struct rng r = {11};
    const struct hist_span span = {0, HISTOGRAM_BUCKETS_MAX};
    uint64_t *counts = arena_new(&f->arena, HISTOGRAM_BUCKETS_MAX * sizeof *counts);
    int64_t *deltas = arena_new(&f->arena, HISTOGRAM_BUCKETS_MAX * sizeof *deltas);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS_MAX; i++) {
        counts[i] = rng_next(&r) & 0x7fefffffffffffffu;
        deltas[i] = (int64_t)rng_next(&r);
    }
    struct item items[4] = {{.t_ms = 1, .bits = 1}, {.t_ms = 2, .is_histogram = true}};
    items[1].h = (struct histogram){.kind = SAMPLE_HISTOGRAM_FLOAT,
                                    .reset_hint = RESET_GAUGE,
                                    .positive = {&span, 1, HISTOGRAM_BUCKETS_MAX, NULL, counts},
                                    .negative = {&span, 1, HISTOGRAM_BUCKETS_MAX, NULL, counts}};
    items[2] = items[1];
    items[2].t_ms = 3;
    items[2].h.kind = SAMPLE_HISTOGRAM_INT;
    items[2].h.positive = (struct hist_buckets){&span, 1, HISTOGRAM_BUCKETS_MAX, deltas, NULL};
    items[2].h.negative = items[2].h.positive;
    items[3] = items[2];
    items[3].t_ms = 4;
    struct series series[3] = {{make_labels(&f->arena, 1, 0), items, 1},
                               {make_labels(&f->arena, 2, 1 << 20), items, 4},
                               {make_labels(&f->arena, 3, 0), items, 1}};
    struct query query = {series, 3};
    struct model m = {&query, 1};
    new_samples(f);
    assert_int_equal(feed(&f->writer, &r, &m), OK);
    end_samples(f);
    check_samples(f, &m);
    new_stream(f, RR_FRAME_BYTES);
    assert_int_equal(feed(&f->writer, &r, &m), OK);
    (void)check_stream(f, &m, 0);
}

/* The series just fit into a piece that is compressed at once, or just do not. */
static void
test_series_of_any_size_near_a_fragment_pass(void **state)
{
    struct fixture *f = *state;
    struct item items[2] = {{.t_ms = 1700000000000, .bits = 1}, {.t_ms = 1700000000001, .bits = 2}};
    for (size_t size = 65300; size < 65560; size++) {
        arena_reset(&f->arena);
        struct series series[3] = {{make_labels(&f->arena, 1, size), items, 1},
                                   {make_labels(&f->arena, 2, 0), items, 2},
                                   {make_labels(&f->arena, 3, 65360 - size % 64), items, 2}};
        struct query query = {series, 3};
        struct model m = {&query, 1};
        struct rng r = {1};
        new_samples(f);
        assert_int_equal(feed(&f->writer, &r, &m), OK);
        end_samples(f);
        check_samples(f, &m);
    }
}

enum { MILLION = 1000000, BATCH = 1000 };

/* Writes a million samples of counters, in `series_count` series. */
static void
feed_million(struct writer *w, uint32_t series_count)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    int64_t times_ms[BATCH];
    uint64_t bits[BATCH];
    struct rng r = {5};
    enum err e =
        w->stream != NULL ? rr_stream_query(w->stream, 0, NULL) : rr_samples_query(w->samples);
    assert_int_equal(e, OK);
    for (uint32_t s = 0; s < series_count; s++) {
        struct bytes labels = make_labels(&arena, s, 0);
        int64_t t = 1700000000000;
        double v = 0;
        e = w->stream != NULL ? rr_stream_series(w->stream, labels, NULL)
                              : rr_samples_series(w->samples, labels);
        assert_int_equal(e, OK);
        for (uint32_t at = 0; at < MILLION / series_count; at += BATCH) {
            for (uint32_t i = 0; i < BATCH; i++) {
                times_ms[i] = t += 15000;
                bits[i] = double_bits(v += (double)rng_below(&r, 100) / 8);
            }
            e = w->stream != NULL ? rr_stream_floats(w->stream, BATCH, times_ms, bits, NULL)
                                  : rr_samples_floats(w->samples, BATCH, times_ms, bits);
            assert_int_equal(e, OK);
        }
    }
    arena_fini(&arena);
}

static uint64_t
peak(struct fixture *f)
{
    return atomic_load_explicit(&f->budget.peak_bytes, memory_order_relaxed);
}

static void
test_streaming_a_million_samples_takes_the_memory_of_two_frames(void **state)
{
    struct fixture *f = *state;
    for (uint32_t series_count = 1; series_count <= 1000; series_count *= 1000) {
        budget_init(&f->budget, "test", 0, NULL);
        new_stream(f, RR_FRAME_BYTES);
        f->receiver.forget = false;
        feed_million(&f->writer, series_count);
        assert_int_equal(rr_stream_end(f->writer.stream, NULL), OK);
        struct cursor in = cursor_of(buf_bytes(&f->receiver.all));
        unsigned frames = 0;
        for (; cursor_left(&in) > 0; frames++) {
            uint64_t size = cursor_varint(&in);
            (void)cursor_bytes(&in, 4 + size);
            assert_false(in.bad);
            assert_true(size <= RR_FRAME_BYTES);
            if (series_count == 1 && cursor_left(&in) > 0)
                assert_true(size > RR_FRAME_BYTES - 4096); /* filled */
        }
        assert_true(frames >= series_count);
        assert_true(peak(f) <= 2 * RR_FRAME_BYTES + RR_FRAME_BYTES / 4);
        drop_writer(f);
    }
}

static void
test_samples_of_a_million_samples_take_a_fraction_of_the_answer(void **state)
{
    struct fixture *f = *state;
    for (uint32_t series_count = 1; series_count <= 1000; series_count *= 1000) {
        budget_init(&f->budget, "test", 0, NULL);
        new_samples(f);
        feed_million(&f->writer, series_count);
        end_samples(f);
        struct bytes raw = uncompress(f);
        assert_true(raw.size > 18 * MILLION);
        size_t series_bytes = series_count == 1 ? 2 * raw.size : 0; /* uncompressed, as it grows */
        assert_true(peak(f) < f->receiver.size + series_bytes + (1 << 20));
        assert_true(f->receiver.size < raw.size * 3 / 4);
        drop_writer(f);
    }
}

static void
test_samples_beyond_the_budget_are_refused_and_everything_given_back(void **state)
{
    struct fixture *f = *state;
    struct budget small;
    budget_init(&small, "small", 1 << 20, NULL);
    struct rr_samples *samples = NULL;
    assert_int_equal(rr_samples_new(&small, &samples), OK);
    assert_int_equal(rr_samples_query(samples), OK);
    assert_int_equal(rr_samples_series(samples, make_labels(&f->arena, 1, 0)), OK);
    enum err e = OK;
    struct rng r = {1};
    for (int64_t t = 1; t < MILLION && e == OK; t++) {
        uint64_t v = rng_next(&r);
        e = rr_samples_floats(samples, 1, &t, &v);
    }
    assert_int_equal(e, ERR_NOMEM);
    uint64_t size;
    assert_int_equal(rr_samples_query(samples), ERR_NOMEM);
    assert_int_equal(rr_samples_end(samples, &size), ERR_NOMEM);
    rr_samples_free(samples);
    assert_int_equal(budget_used(&small), 0);
}

/* --- failures --------------------------------------------------------------------------------- */

static enum err
answer(struct fixture *f, bool streamed, const struct model *m)
{
    struct rng r = {2};
    uint64_t size;
    enum err e = streamed ? rr_stream_new(&f->sink, 4000, &f->budget, &f->writer.stream)
                          : rr_samples_new(&f->budget, &f->writer.samples);
    if (e) return e;
    e = feed(&f->writer, &r, m);
    if (e || streamed) return e;
    e = rr_samples_end(f->writer.samples, &size);
    if (e) return e;
    return rr_samples_write(f->writer.samples, &f->sink, &f->writer.why);
}

static struct model
busy_model(struct fixture *f)
{
    for (uint64_t seed = 40;; seed++) {
        struct rng r = {seed};
        arena_reset(&f->arena);
        struct model m = random_model(&r, &f->arena);
        if (m.query_count == 3 && m.queries[0].series_count > 3) return m;
    }
}

static void
test_any_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    struct fixture *f = *state;
    struct model m = busy_model(f);
    f->receiver.forget = true;
    f->writer.plain = true;
    for (unsigned streamed = 0; streamed <= 1; streamed++) {
        for (unsigned nth = 1;; nth++) {
            mem_fail_nth(nth, nth % 2 == 0);
            enum err e = answer(f, streamed != 0, &m);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            drop_writer(f);
            assert_int_equal(e, fired ? ERR_NOMEM : OK);
            assert_int_equal(budget_used(&f->budget), 0);
            if (!fired) break;
            assert_true(nth < 10000);
        }
    }
}

static void
test_error_of_the_sink_ends_the_answer(void **state)
{
    struct fixture *f = *state;
    struct model m = busy_model(f);
    for (unsigned streamed = 0; streamed <= 1; streamed++) {
        for (unsigned nth = 1;; nth++) {
            f->receiver.fail_at = nth;
            enum err e = answer(f, streamed != 0, &m);
            unsigned pieces = f->receiver.pieces;
            if (e) {
                assert_int_equal(e, ERR_CANCELED);
                assert_int_equal(pieces, nth);
                assert_string_equal(f->writer.why.text, "the client is gone");
            }
            /* Nothing is sent after a gap. */
            if (e && streamed) {
                assert_int_equal(rr_stream_query(f->writer.stream, 9, NULL), ERR_CANCELED);
                assert_int_equal(rr_stream_end(f->writer.stream, NULL), ERR_CANCELED);
            } else if (e) {
                assert_int_equal(rr_samples_write(f->writer.samples, &f->sink, NULL), ERR_CANCELED);
            }
            assert_int_equal(f->receiver.pieces, pieces);
            drop_writer(f);
            if (e == OK) break;
            assert_true(nth < 10000);
        }
    }
}

static void
test_histogram_whose_spans_lie_fails_the_stream_with_a_sentence(void **state)
{
    struct fixture *f = *state;
    new_stream(f, RR_FRAME_BYTES);
    const struct hist_span span = {0, 2};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .positive = {&span, 1, 0, NULL, NULL}};
    int64_t t = 1;
    struct why why = {""};
    assert_int_equal(rr_stream_query(f->writer.stream, 0, NULL), OK);
    assert_int_equal(rr_stream_series(f->writer.stream, bytes_of(NULL, 0), NULL), OK);
    assert_int_equal(rr_stream_histograms(f->writer.stream, 1, &t, &h, &why), ERR_INPUT);
    assert_true(why.text[0] != '\0');
}

int
main(void)
{
#define ANSWER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ANSWER_TEST(test_frame_has_the_documented_bytes),
        ANSWER_TEST(test_streamed_answer_is_what_went_in),
        ANSWER_TEST(test_samples_answer_has_the_documented_bytes),
        ANSWER_TEST(test_samples_answer_is_what_went_in),
        ANSWER_TEST(test_no_query_and_empty_queries_have_their_answers),
        ANSWER_TEST(test_one_huge_label_set_and_one_huge_histogram_pass),
        ANSWER_TEST(test_series_of_any_size_near_a_fragment_pass),
        ANSWER_TEST(test_streaming_a_million_samples_takes_the_memory_of_two_frames),
        ANSWER_TEST(test_samples_of_a_million_samples_take_a_fraction_of_the_answer),
        ANSWER_TEST(test_samples_beyond_the_budget_are_refused_and_everything_given_back),
        ANSWER_TEST(test_any_failed_allocation_is_an_error_and_leaks_nothing),
        ANSWER_TEST(test_error_of_the_sink_ends_the_answer),
        ANSWER_TEST(test_histogram_whose_spans_lie_fails_the_stream_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
