/* tsdb_streamed.c - see tsdb_streamed.h. */
#include "lib/tsdb/tsdb_streamed.h"

static uint64_t
mixed(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 29;
}

static uint64_t
mixed_side(uint64_t sum, const struct histogram *h, const struct hist_buckets *side)
{
    struct bucket_steps steps = {.h = h, .side = side};
    while (bucket_steps_next(&steps)) {
        if (steps.count == 0) continue; /* empty ones may be missing */
        sum = mixed(mixed(sum, (uint64_t)steps.index), steps.count);
    }
    return mixed(sum, 1);
}

static uint64_t
mixed_histogram(const struct histogram *h)
{
    if (h->sum_bits == STALE_NAN_BITS) return h->kind;
    uint64_t sum = mixed(h->kind, (uint64_t)h->schema);
    sum = mixed(sum, h->reset_hint == RESET_GAUGE);
    sum = mixed(mixed(sum, h->zero_threshold_bits), h->sum_bits);
    sum = mixed(mixed(sum, h->count), h->zero_count);
    for (uint32_t i = 0; i < h->custom_count; i++)
        sum = mixed(sum, h->custom_bits[i]);
    return mixed_side(mixed_side(sum, h, &h->positive), h, &h->negative);
}

static void
streamed_add(struct streamed *x, int64_t t_ms, uint64_t what)
{
    buf_put_le64(&x->samples, x->labels_hash);
    buf_put_le64(&x->samples, (uint64_t)t_ms);
    buf_put_le64(&x->samples, what);
}

static uint64_t
hash_of_labels(struct bytes labels)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < labels.size; i++)
        sum = mixed(sum, labels.at[i]);
    return sum;
}

/* --- answers ---------------------------------------------------------------------------------- */

void
streamed_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct streamed *x = context;
    x->labels_hash = hash_of_labels(labels);
    streamed_add(x, b->times_ms[i],
                 b->kind == SAMPLE_FLOAT ? b->value_bits[i] : mixed_histogram(&b->histograms[i]));
}

/* --- through the frames ----------------------------------------------------------------------- */

/* Checks a piece: its samples lie in the requested range, as nothing is cut here. */
static void
streamed_piece(struct streamed *x, const struct rr_piece *p)
{
    struct rr_decoded d = {.count = 0};
    if (p->kind == RR_PIECE_SERIES) x->labels_hash = hash_of_labels(p->labels);
    if (p->kind == RR_PIECE_CHUNK)
        must(rr_decode_chunk(x->decoder, p->type, p->chunk, INT64_MIN, INT64_MAX, &d, NULL));
    for (uint32_t i = 0; i < d.count; i++) {
        streamed_add(x, d.times_ms[i],
                     d.histograms == NULL ? d.bits[i] : mixed_histogram(&d.histograms[i]));
    }
}

static enum err
streamed_take(void *context, struct bytes given, struct why *why)
{
    struct streamed *x = context;
    enum err e = OK;
    for (size_t at = 0; at < given.size && e == OK;) {
        size_t some = given.size - at < 100000 ? given.size - at : 100000;
        struct rr_piece piece;
        e = rr_client_give(x->client, bytes_of(given.at + at, some), why);
        at += some;
        do {
            if (e == OK) e = rr_client_next(x->client, &piece, why);
            if (e == OK) streamed_piece(x, &piece);
        } while (e == OK && piece.kind != RR_PIECE_NONE);
    }
    return e;
}

static enum err
stream_batch(struct rr_stream *stream, const struct sample_batch *b, struct why *why)
{
    if (b->kind == SAMPLE_FLOAT)
        return rr_stream_floats(stream, b->count, b->times_ms, b->value_bits, why);
    if (b->chunks.size > 0) return rr_stream_chunks(stream, b->chunks, why);
    if (b->columns == NULL)
        return rr_stream_histograms(stream, b->count, b->times_ms, b->histograms, why);
    return rr_stream_columns(stream, b->columns, b->first_row, b->count, b->times_ms, why);
}

static enum err
stream_set(struct rr_stream *stream, struct series_set *set, struct why *why)
{
    for (;;) {
        struct bytes labels;
        enum err e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) return e;
        must(rr_stream_series(stream, labels, why));
        for (struct sample_batch b = {.count = 1}; b.count > 0;) {
            e = series_set_batch(set, &b, why);
            if (e) return e;
            if (b.count > 0) must(stream_batch(stream, &b, why));
        }
    }
}

enum err
read_streamed(struct answerer *a, const struct query_request *request, struct streamed *x)
{
    struct series_set *set;
    struct why why = {""};
    struct rr_stream *stream;
    struct query_request wanted = *request;
    const struct rr_sink sink = {streamed_take, x};
    wanted.kind = SELECT_CHUNKS;
    enum err e = answerer_select(a, &wanted, &set, &why);
    if (e) return e;
    must(rr_client_new(NULL, &x->client));
    must(rr_decoder_new(NULL, &x->decoder));
    must(rr_stream_new(&sink, RR_FRAME_BYTES, NULL, &stream));
    must(rr_stream_query(stream, 0, &why));
    e = stream_set(stream, set, &why);
    if (e == OK) must(rr_stream_end(stream, &why));
    if (e == OK) must(rr_client_end(x->client, &why));
    rr_stream_free(stream);
    rr_client_free(x->client);
    rr_decoder_free(x->decoder);
    series_set_free(set);
    return e;
}

struct two_readers {
    struct streamed *right;
    each_sample *each;
    void *context;
};

static void
two_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct two_readers *two = context;
    streamed_saw(two->right, labels, b, i);
    if (two->each != NULL) two->each(two->context, labels, b, i);
}

enum err
select_streamed(struct machine *m, const struct question *q, each_sample *each, void *context,
                struct series_set **ret_set)
{
    struct answerer *a = tsdb_answerer(m->db);
    struct streamed right = {0}, streamed = {0};
    struct two_readers two = {&right, each, context};
    buf_init(&right.samples, NULL, 1 << 30);
    buf_init(&streamed.samples, NULL, 1 << 30);
    *ret_set = NULL;
    enum err e = answerer_select(a, &q->request, ret_set, &m->why);
    if (e == OK) e = set_walk(*ret_set, &q->request, two_saw, &two, &m->why);
    for (unsigned i = 0; i < 2; i++) {
        buf_clear(&streamed.samples);
        assert_int_equal(read_streamed(a, &q->request, &streamed), e);
        if (e) continue;
        assert_int_equal(streamed.samples.size, right.samples.size);
        assert_true(bytes_equal(buf_bytes(&streamed.samples), buf_bytes(&right.samples)));
    }
    buf_fini(&right.samples);
    buf_fini(&streamed.samples);
    return e;
}

void
check_streamed(struct machine *m, const struct question *q)
{
    struct series_set *set;
    err_ignore(select_streamed(m, q, NULL, NULL, &set), "the answer in chunks has the same error");
    series_set_free(set);
}
