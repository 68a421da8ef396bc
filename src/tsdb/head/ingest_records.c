/*
 * ingest_records.c - the columns of a slice, and the payloads of the log's records that are written
 * from them. Format: docs/format/wal.md.
 */
#include "base/array.h"
#include "tsdb/codec/codec.h"
#include "tsdb/head/ingest.h"

enum { SCRATCH_BUFS = 6, COLUMN_BYTES = SLICE_FLOATS * (4 * 8 + 1) };

static void
scratch_bufs(struct scratch *s, struct buf *ret[SCRATCH_BUFS])
{
    struct buf *all[SCRATCH_BUFS] = {&s->series,   &s->histograms, &s->exemplars,
                                     &s->metadata, &s->payload,    &s->labels};
    memcpy(ret, all, sizeof all);
}

void
scratch_free(struct budget *budget, struct scratch *s)
{
    if (s == NULL) return;
    struct buf *bufs[SCRATCH_BUFS];
    scratch_bufs(s, bufs);
    for (unsigned i = 0; i < SCRATCH_BUFS; i++)
        buf_fini(bufs[i]);
    mem_free(budget, s->pieces, SLICE_PIECES * sizeof *s->pieces);
    mem_free(budget, s->refs, COLUMN_BYTES);
    array_free(budget, s->label_list, s->label_capacity);
    arena_fini(&s->arena);
    mem_free(budget, s, sizeof *s);
}

enum err
scratch_new(struct budget *budget, struct scratch **ret_scratch)
{
    struct scratch *s = mem_new(budget, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    struct buf *bufs[SCRATCH_BUFS];
    scratch_bufs(s, bufs);
    for (unsigned i = 0; i < SCRATCH_BUFS; i++)
        buf_init(bufs[i], budget, 256 * 1024 * 1024);
    arena_init(&s->arena, budget, 0, 256 * 1024);
    s->slice_floats = SLICE_FLOATS;
    s->pieces = mem_alloc(budget, SLICE_PIECES * sizeof *s->pieces);
    s->refs = mem_alloc(budget, COLUMN_BYTES);
    if (s->pieces == NULL || s->refs == NULL) {
        scratch_free(budget, s);
        return ERR_NOMEM;
    }
    s->bits = s->refs + SLICE_FLOATS;
    s->times = (int64_t *)(s->bits + SLICE_FLOATS);
    s->starts = s->times + SLICE_FLOATS;
    s->hints = (uint8_t *)(s->starts + SLICE_FLOATS);
    *ret_scratch = s;
    return OK;
}

/* --- records ---------------------------------------------------------------------------------- */

void
record_floats(struct scratch *s, struct buf *to)
{
    uint32_t n = s->float_count;
    buf_clear(to);
    if (!buf_reserve(to, 16 + n * (size_t)(3 * VARINT_SIZE_MAX + 1 + VARINT_SIZE_MAX))) return;
    uint8_t *p = to->at;
    p += varint_put(p, n);
    *p++ = s->has_starts;
    uint64_t last = 0;
    for (uint32_t i = 0; i < n; i++) {
        p += varint_put(p, zigzag((int64_t)(s->refs[i] - last)));
        last = s->refs[i];
    }
    last = 0;
    for (uint32_t i = 0; i < n; i++) {
        p += varint_put(p, zigzag((int64_t)((uint64_t)s->times[i] - last)));
        last = (uint64_t)s->times[i];
    }
    uint8_t *exponents = p, *values = p + n;
    for (uint32_t i = 0; i < n; i++) {
        unsigned e;
        int64_t k;
        unsigned hint = s->hints[i] <= RECORD_EXPONENT_MAX ? s->hints[i] : 0;
        if (codec_decimal(s->bits[i], hint, &e, &k)) {
            exponents[i] = (uint8_t)e;
            values += varint_put(values, zigzag(k));
        } else {
            exponents[i] = RECORD_EXPONENT_RAW;
            store_le64(values, s->bits[i]);
            values += 8;
        }
    }
    p = values;
    last = 0;
    for (uint32_t i = 0; i < n && s->has_starts; i++) {
        p += varint_put(p, zigzag((int64_t)((uint64_t)s->starts[i] - last)));
        last = (uint64_t)s->starts[i];
    }
    to->size = (size_t)(p - to->at);
}

/* --- series ----------------------------------------------------------------------------------- */

/* Mostly it has the labels of the one before but for one or two. */
void
record_series(struct scratch *s, const struct registry *registry, const struct series *series)
{
    static const struct series_pairs NONE;
    const struct series_pairs *now = series->pairs, *last = &NONE;
    uint64_t last_ref = 0, mask = 0;
    if (s->series_last != NULL) {
        last = s->series_last->pairs;
        last_ref = series_ref(registry, s->series_last);
    }
    for (uint32_t i = 0; i < now->count && i < RECORD_MASK_BITS; i++) {
        if (i >= last->count || now->ids[i] != last->ids[i]) mask |= UINT64_C(1) << i;
    }
    buf_put_zigzag(&s->series, (int64_t)(series_ref(registry, series) - last_ref));
    buf_put_varint(&s->series, now->count);
    buf_put_varint(&s->series, mask);
    for (uint32_t i = 0; i < now->count; i++) {
        if (i < RECORD_MASK_BITS && (mask >> i & 1) == 0) continue;
        const struct pair *p = registry_pair(registry, now->ids[i]);
        buf_put(&s->series, p->field, p->field_size);
    }
    s->series_last = series;
    s->series_count++;
}
