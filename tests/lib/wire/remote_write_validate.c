/* remote_write_validate.c - see remote_write_validate.h. */
#include "lib/wire/remote_write_validate.h"

#include <assert.h>

#include "wire/remote/remote_write.h"

static void
validate_range(struct rw_range range, uint32_t *next, uint32_t count)
{
    assert(range.first == *next);
    assert(range.count <= count - range.first);
    *next += range.count;
}

static void
validate_histogram(const struct rw_histogram *rh)
{
    const struct histogram *h = &rh->h;
    const struct hist_buckets *signs[2] = {&h->negative, &h->positive};
    assert(h->kind == SAMPLE_HISTOGRAM_INT || h->kind == SAMPLE_HISTOGRAM_FLOAT);
    assert(h->custom_count <= HISTOGRAM_BUCKETS_MAX);
    assert(h->custom_count == 0 || h->custom_bits != NULL);
    for (unsigned i = 0; i < 2; i++) {
        const struct hist_buckets *b = signs[i];
        assert(b->span_count <= HISTOGRAM_BUCKETS_MAX);
        assert(b->bucket_count <= HISTOGRAM_BUCKETS_MAX);
        assert(b->span_count == 0 || b->spans != NULL);
        if (h->kind == SAMPLE_HISTOGRAM_INT) {
            assert(b->counts == NULL);
            assert(b->bucket_count == 0 || b->deltas != NULL);
        } else {
            assert(b->deltas == NULL);
            assert(b->bucket_count == 0 || b->counts != NULL);
        }
    }
}

static void
validate_series(const struct rw_request *r, const struct rw_series *s)
{
    assert(r->version == RW_V2 || (s->refs.count == 0 && !s->bad_reference && !s->has_metadata));
    assert(r->version == RW_V1 || s->label_bytes.size == 0);
    assert(!s->bad_reference || s->refs.count == 0);
    assert(s->has_metadata || (s->type == METRIC_UNKNOWN && !s->bad_metadata));
    assert((unsigned)s->type < METRIC_TYPE_COUNT);
    assert(s->refs.count % 2 == 0);
    for (uint32_t i = 0; i < s->refs.count; i++)
        assert(r->refs[s->refs.first + i] < r->symbol_count);
    struct rw_label_walk walk = rw_labels(r, s);
    struct label label;
    while (rw_label_next(&walk, &label)) {
        assert(label.name.size == 0 || label.name.at != NULL);
        assert(label.value.size == 0 || label.value.at != NULL);
    }
    assert(!walk.bytes.bad && walk.bytes.at == walk.bytes.end);
}

void
rw_request_validate(const struct rw_request *request)
{
    uint32_t floats = 0, histograms = 0, exemplars = 0, refs = 0, labels = 0;
    for (uint32_t i = 0; i < request->series_count; i++) {
        const struct rw_series *s = &request->series[i];
        validate_range(s->floats, &floats, request->float_count);
        validate_range(s->histograms, &histograms, request->histogram_count);
        validate_range(s->exemplars, &exemplars, request->exemplar_count);
        validate_range(s->refs, &refs, request->memory->arrays[RW_REFS].count);
        validate_series(request, s);
    }
    assert(floats == request->float_count);
    assert(histograms == request->histogram_count);
    assert(exemplars == request->exemplar_count);
    assert(refs == request->memory->arrays[RW_REFS].count);
    for (uint32_t i = 0; i < request->histogram_count; i++)
        validate_histogram(&request->histograms[i]);
    for (uint32_t i = 0; i < request->exemplar_count; i++) {
        const struct rw_exemplar *x = &request->exemplars[i];
        validate_range((struct rw_range){x->label_first, x->label_count}, &labels,
                       request->memory->arrays[RW_LABELS].count);
        assert(!x->bad_reference || x->label_count == 0);
    }
    for (uint32_t i = 0; i < request->metadata_count; i++)
        assert((unsigned)request->metadata[i].type < METRIC_TYPE_COUNT);
}

void
rw_request_validate_overwritten(struct rw_request *request)
{
    static const char team_a[] = "\x0a\x09\x0a\x04team\x12\x01"
                                 "a";
    uint32_t changed = 0, count = request->series_count;
    enum err e = rw_overwrite_labels(request, bytes_of_text(team_a), &changed, NULL);
    assert(e == OK || e == ERR_NOMEM || e == ERR_LIMIT);
    assert(changed <= count);
    assert(request->series_count == (e == OK ? count : 0));
    for (uint32_t i = 0; i < request->series_count; i++) {
        struct rw_label_walk walk = rw_labels(request, &request->series[i]);
        uint32_t found = 0;
        for (struct label label; rw_label_next(&walk, &label);) {
            if (!bytes_equal_text(label.name, "team")) continue;
            assert(bytes_equal_text(label.value, "a"));
            found++;
        }
        assert(found == !request->series[i].bad_reference);
    }
}
