/*
 * ingest_reserve.c - what a slice of a request may need at most, and getting it.
 *
 * A slice is either refused here, when nothing has happened yet, or done whole.
 */
#include "tsdb/head/ingest.h"

static size_t
buckets_of(const struct histogram *h)
{
    return (size_t)h->positive.bucket_count + h->negative.bucket_count + h->custom_count +
           h->positive.span_count + h->negative.span_count;
}

static size_t
rw_histogram_bytes(const struct rw_histogram *h)
{
    return 256 + 32 * (size_t)(h->h.positive.span_count + h->h.negative.span_count) +
           24 * (size_t)(h->h.positive.bucket_count + h->h.negative.bucket_count +
                         h->h.custom_count);
}

static size_t
exemplar_bytes(const struct ingest *in, const struct rw_exemplar *x)
{
    size_t bytes = 64;
    for (uint32_t i = 0; i < x->label_count; i++) {
        const struct label *l = &in->request->labels[x->label_first + i];
        bytes += l->name.size + l->value.size + 24;
    }
    return bytes;
}

struct ingest_piece
ingest_take_piece(struct ingest *in, struct ingest_place *at, struct need *need)
{
    const struct rw_series *from = &in->request->series[at->series];
    struct ingest_piece p = {.from = from};
    uint32_t floats_left = in->s->slice_floats - need->floats;
    /* Nearly all: a few floats, and nothing of it was taken before. */
    if (from->histograms.count == 0 && from->exemplars.count == 0 && at->at_float == 0 &&
        from->floats.count <= floats_left) {
        p.floats = from->floats;
        need->floats += p.floats.count;
        at->series++;
        return p;
    }
    p.floats.first = from->floats.first + at->at_float;
    p.floats.count = from->floats.count - at->at_float;
    if (p.floats.count > floats_left) p.floats.count = floats_left;
    need->floats += p.floats.count;
    at->at_float += p.floats.count;
    p.histograms.first = from->histograms.first + at->at_histogram;
    while (at->at_histogram < from->histograms.count && need->histogram_bytes < SLICE_BYTES) {
        const struct rw_histogram *h =
            &in->request->histograms[from->histograms.first + at->at_histogram++];
        need->histogram_bytes += rw_histogram_bytes(h);
        if (need->largest_histogram == NULL ||
            buckets_of(&h->h) > buckets_of(need->largest_histogram)) {
            need->largest_histogram = &h->h;
        }
        p.histograms.count++;
    }
    p.exemplars.first = from->exemplars.first + at->at_exemplar;
    while (at->at_exemplar < from->exemplars.count && need->exemplar_bytes < SLICE_BYTES) {
        need->exemplar_bytes +=
            exemplar_bytes(in, &in->request->exemplars[from->exemplars.first + at->at_exemplar++]);
        p.exemplars.count++;
    }
    if (at->at_float == from->floats.count && at->at_histogram == from->histograms.count &&
        at->at_exemplar == from->exemplars.count) {
        *at = (struct ingest_place){.series = at->series + 1};
    }
    return p;
}

void
ingest_need_series(const struct ingest *in, const struct ingest_piece *p, struct need *need)
{
    if (p->series->defined_in != (uint32_t)in->log.segment) {
        need->series_bytes +=
            RECORD_SERIES_BYTES_MAX + series_labels_size(in->gen->registry, p->series);
    }
    /* A request may name a series twice: so nothing is concluded from how the series looks now. */
    struct sample_value v = {SAMPLE_FLOAT, 0, NULL};
    need->head_bytes +=
        gen_append_reserve(p->samples, &v, p->floats.count + p->histograms.count) +
        p->floats.count * (size_t)(6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk));
    for (uint32_t i = 0; i < p->histograms.count; i++) {
        const struct rw_histogram *h = &in->request->histograms[p->histograms.first + i];
        need->head_bytes += 6 * rw_histogram_bytes(h) + 4096;
    }
}

enum err
ingest_reserve(struct ingest *in, const struct need *need)
{
    struct scratch *s = in->s;
    struct head *head = in->head;
    if (!buf_reserve(&s->histograms, need->histogram_bytes) ||
        !buf_reserve(&s->exemplars, need->exemplar_bytes) ||
        !buf_reserve(&s->series, need->series_bytes) ||
        !buf_reserve(&s->payload, 4096 + need->floats * 41u + need->histogram_bytes +
                                      need->exemplar_bytes + need->series_bytes +
                                      s->metadata.size)) {
        return why_set(in->why, ERR_NOMEM, "not enough memory for the request");
    }
    arena_reset(&s->arena);
    size_t scratch = 8 + gen_presence_reserve(in->gen, need->largest_histogram);
    if (arena_alloc(&s->arena, scratch) == NULL) {
        return why_set(in->why, ERR_NOMEM, "not enough memory for the request");
    }
    enum err e = gmem_reserve(&in->gen->gmem, need->head_bytes);
    if (e) return why_set(in->why, e, "the head has reached its memory budget");
    size_t log_bytes =
        wal_put_bytes(need->series_bytes + 256) + wal_put_bytes(need->floats * 41u + 64) +
        wal_put_bytes(need->histogram_bytes + 16) + wal_put_bytes(need->exemplar_bytes + 16) +
        wal_put_bytes(s->metadata.size + 256) + wal_put_bytes(4096);
    return wal_reserve(head->wal, log_bytes, in->why);
}
