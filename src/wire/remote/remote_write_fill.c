/* remote_write_fill.c - see remote_write_fill.h. */
#include "wire/remote/remote_write_fill.h"

#include "wire/proto.h"
#include "wire/remote/remote_write_memory.h"

void
rw_fill_begin(struct rw_request *request, uint64_t seed, size_t message_bytes)
{
    struct rw_memory *m = request->memory;
    rw_request_clear(request);
    request->version = RW_V1;
    request->seed = seed;
    m->refused = OK;
    m->limit_bytes = RW_KEEP_BYTES + (uint64_t)RW_AMPLIFICATION_MAX * message_bytes;
    m->arena.limit_bytes = m->limit_bytes;
}

void *
rw_fill_alloc(struct rw_request *request, size_t size_bytes)
{
    return rw_arena_alloc(request->memory, size_bytes);
}

struct bytes
rw_fill_text(struct rw_request *request, struct bytes text)
{
    uint8_t *to = rw_arena_alloc(request->memory, text.size + 1);
    if (to != NULL && text.size > 0) memcpy(to, text.at, text.size);
    return bytes_of(to, text.size);
}

enum err
rw_fill_error(const struct rw_request *request)
{
    return request->memory->refused;
}

/* --- labels ----------------------------------------------------------------------------------- */

static uint8_t *
put_size(uint8_t *to, size_t v)
{
    for (; v >= 0x80; v >>= 7)
        *to++ = (uint8_t)(v | 0x80);
    *to++ = (uint8_t)v;
    return to;
}

static uint8_t *
put_text(uint8_t *to, uint32_t field, struct bytes text)
{
    *to++ = (uint8_t)PROTO_TAG(field, PROTO_BYTES);
    to = put_size(to, text.size);
    memcpy(to, text.at, text.size);
    return to + text.size;
}

static size_t
label_size(const struct label *label)
{
    return 2 + varint_size(label->name.size) + label->name.size + varint_size(label->value.size) +
           label->value.size;
}

/* Encodes labels; `at` is NULL on an error. */
static struct bytes
put_labels(struct rw_memory *m, const struct label *labels, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t inner = label_size(&labels[i]);
        size += 1 + varint_size(inner) + inner;
    }
    uint8_t *const begin = rw_arena_alloc(m, size + 1);
    uint8_t *to = begin;
    for (uint32_t i = 0; i < count && begin != NULL; i++) {
        *to++ = (uint8_t)PROTO_TAG(1, PROTO_BYTES);
        to = put_size(to, label_size(&labels[i]));
        to = put_text(to, 1, labels[i].name);
        to = put_text(to, 2, labels[i].value);
    }
    return bytes_of(begin, size);
}

static enum err
begin_series(struct rw_request *request, struct bytes label_bytes)
{
    struct rw_memory *m = request->memory;
    struct rw_series *series =
        label_bytes.at == NULL ? NULL : rw_push(m, RW_SERIES, sizeof *series);
    if (series == NULL) return m->refused;
    *series = (struct rw_series){
        .label_bytes = label_bytes,
        .floats = {m->arrays[RW_FLOATS].count, 0},
        .histograms = {m->arrays[RW_HISTOGRAMS].count, 0},
        .exemplars = {m->arrays[RW_EXEMPLARS].count, 0},
    };
    if (request->keys != NULL)
        series->print = fingerprint_of(&request->keys->texts, series->label_bytes);
    return OK;
}

enum err
rw_fill_series(struct rw_request *request, const struct label *labels, uint32_t count)
{
    return begin_series(request, put_labels(request->memory, labels, count));
}

enum err
rw_fill_labels(struct rw_request *request, const struct label *labels, uint32_t count,
               struct rw_fill_labels *ret)
{
    uint32_t before = 0;
    while (before < count && bytes_compare(labels[before].name, bytes_of_text("__name__")) < 0)
        before++;
    ret->before = put_labels(request->memory, labels, before);
    ret->after = put_labels(request->memory, labels + before, count - before);
    return ret->before.at == NULL || ret->after.at == NULL ? request->memory->refused : OK;
}

enum err
rw_fill_named_series(struct rw_request *request, const struct rw_fill_labels *labels,
                     struct bytes name)
{
    const struct label label = {bytes_of_text("__name__"), name};
    size_t inner = label_size(&label);
    size_t size = labels->before.size + 1 + varint_size(inner) + inner + labels->after.size;
    uint8_t *const begin = rw_arena_alloc(request->memory, size), *to = begin;
    if (begin == NULL) return request->memory->refused;
    memcpy(to, labels->before.at, labels->before.size);
    to += labels->before.size;
    *to++ = (uint8_t)PROTO_TAG(1, PROTO_BYTES);
    to = put_size(to, inner);
    to = put_text(to, 1, label.name);
    to = put_text(to, 2, label.value);
    memcpy(to, labels->after.at, labels->after.size);
    return begin_series(request, bytes_of(begin, size));
}

/* --- samples ---------------------------------------------------------------------------------- */

static struct rw_series *
last_series(const struct rw_memory *m)
{
    const struct rw_array *array = &m->arrays[RW_SERIES];
    return (struct rw_series *)array->at + array->count - 1;
}

enum err
rw_fill_float(struct rw_request *request, int64_t t_ms, uint64_t bits, int64_t start_ms)
{
    struct rw_memory *m = request->memory;
    struct rw_float *f = rw_push(m, RW_FLOATS, sizeof *f);
    if (f == NULL) return m->refused;
    *f = (struct rw_float){t_ms, bits, start_ms};
    last_series(m)->floats.count++;
    return OK;
}

enum err
rw_fill_histogram(struct rw_request *request, int64_t t_ms, int64_t start_ms,
                  const struct histogram *histogram)
{
    struct rw_memory *m = request->memory;
    struct rw_histogram *h = rw_push(m, RW_HISTOGRAMS, sizeof *h);
    if (h == NULL) return m->refused;
    *h = (struct rw_histogram){.t_ms = t_ms, .start_ms = start_ms, .h = *histogram};
    last_series(m)->histograms.count++;
    return OK;
}

enum err
rw_fill_exemplar(struct rw_request *request, int64_t t_ms, uint64_t bits,
                 const struct label *labels, uint32_t count)
{
    struct rw_memory *m = request->memory;
    struct rw_exemplar *x = rw_push(m, RW_EXEMPLARS, sizeof *x);
    if (x == NULL) return m->refused;
    *x = (struct rw_exemplar){.t_ms = t_ms,
                              .bits = bits,
                              .label_first = m->arrays[RW_LABELS].count,
                              .label_count = count};
    for (uint32_t i = 0; i < count; i++) {
        struct label *to = rw_push(m, RW_LABELS, sizeof *to);
        if (to == NULL) return m->refused;
        *to = labels[i];
    }
    last_series(m)->exemplars.count++;
    return OK;
}

enum err
rw_fill_metadata(struct rw_request *request, const struct rw_metadata *metadata)
{
    struct rw_metadata *to = rw_push(request->memory, RW_METADATA, sizeof *to);
    if (to == NULL) return request->memory->refused;
    *to = *metadata;
    return OK;
}

void
rw_fill_end(struct rw_request *request)
{
    rw_publish(request);
}
