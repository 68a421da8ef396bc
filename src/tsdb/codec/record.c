/*
 * record.c - the payloads of the log's records, read one by one; head/ingest_append.c writes them.
 * Format: docs/format/wal.md. Read bytes passed a checksum, and are checked all the same.
 */
#include "tsdb/codec/record.h"

#include <inttypes.h>

#include "model/tenant_name.h"
#include "tsdb/codec/codec.h"

/* --- floats ----------------------------------------------------------------------------------- */

/* A record holds what its version says, and nothing behind it. */
static enum err
record_end(const struct cursor *c)
{
    return c->bad || c->at != c->end ? ERR_CORRUPT : OK;
}

static enum err
read_deltas(struct cursor *c, uint64_t *to, uint64_t count)
{
    uint64_t last = 0;
    for (uint64_t i = 0; i < count; i++) {
        last += (uint64_t)cursor_zigzag(c);
        to[i] = last;
    }
    return c->bad ? ERR_CORRUPT : OK;
}

static enum err
read_values(struct cursor *c, uint64_t *to, uint64_t count)
{
    struct bytes exponents = cursor_bytes(c, count);
    for (uint64_t i = 0; i < count && !c->bad; i++) {
        uint8_t e = exponents.at[i];
        if (e == RECORD_EXPONENT_RAW)
            to[i] = cursor_le64(c);
        else if (e <= RECORD_EXPONENT_MAX)
            to[i] = codec_decimal_bits(e, cursor_zigzag(c));
        else
            return ERR_CORRUPT;
    }
    return c->bad ? ERR_CORRUPT : OK;
}

enum err
record_unpack_floats(struct bytes payload, struct arena *scratch, struct record_columns *ret)
{
    struct cursor c = cursor_of(payload);
    uint64_t n = cursor_varint(&c);
    bool has_starts = cursor_u8(&c) != 0;
    /* Reference, time, exponent and value take a byte each at least. */
    if (c.bad || n > cursor_left(&c) / 4) return ERR_CORRUPT;
    uint64_t *words = arena_alloc(scratch, (4 * n + 1) * sizeof *words);
    if (words == NULL) return ERR_NOMEM;
    uint64_t *refs = words, *times = words + n, *bits = words + 2 * n, *starts = words + 3 * n;
    enum err e = read_deltas(&c, refs, n);
    if (e == OK) e = read_deltas(&c, times, n);
    if (e == OK) e = read_values(&c, bits, n);
    if (e == OK && has_starts) e = read_deltas(&c, starts, n);
    if (e == OK) e = record_end(&c);
    *ret = (struct record_columns){n, refs, times, has_starts ? starts : NULL, bits};
    return e;
}

enum err
record_each_float(struct bytes payload,
                  enum err (*each)(void *context, const struct record_float *sample), void *context,
                  struct arena *scratch)
{
    struct record_columns columns;
    enum err e = record_unpack_floats(payload, scratch, &columns);
    for (uint64_t i = 0; e == OK && i < columns.count; i++) {
        struct record_float sample = record_float_at(&columns, i);
        e = each(context, &sample);
    }
    return e;
}

/* --- the others ------------------------------------------------------------------------------- */

enum err
record_each_histogram(struct bytes payload,
                      enum err (*each)(void *context, const struct record_histogram *sample),
                      void *context, struct arena *scratch)
{
    struct cursor c = cursor_of(payload);
    uint64_t n = cursor_varint(&c), ref = 0, t = 0, start = 0;
    for (uint64_t i = 0; i < n; i++) {
        ref += (uint64_t)cursor_zigzag(&c);
        t += (uint64_t)cursor_zigzag(&c);
        start += (uint64_t)cursor_zigzag(&c);
        if (c.bad) return ERR_CORRUPT;
        struct record_histogram sample = {ref, (int64_t)t, (int64_t)start, {0}};
        enum err e = histogram_get(&c, scratch, &sample.h);
        if (e == OK) e = each(context, &sample);
        if (e) return e;
    }
    return record_end(&c);
}

enum err
record_each_exemplar(struct bytes payload,
                     enum err (*each)(void *context, const struct record_exemplar *x),
                     void *context)
{
    struct cursor c = cursor_of(payload);
    uint64_t n = cursor_varint(&c), ref = 0, t = 0;
    for (uint64_t i = 0; i < n; i++) {
        ref += (uint64_t)cursor_zigzag(&c);
        t += (uint64_t)cursor_zigzag(&c);
        struct record_exemplar x = {.ref = ref, .t_ms = (int64_t)t};
        x.bits = cursor_le64(&c);
        x.labels = cursor_counted(&c);
        if (c.bad || !labels_valid(x.labels)) return ERR_CORRUPT;
        enum err e = each(context, &x);
        if (e) return e;
    }
    return record_end(&c);
}

/* The labels of the series at hand, each as it stands in the record, and all of them in a row. */
struct record_labels {
    struct bytes fields[RECORD_MASK_BITS];
    uint64_t count;
    uint8_t *at;
    size_t size;
    size_t capacity;
};

static enum err
labels_add(struct record_labels *l, struct bytes field, struct arena *scratch)
{
    if (field.size > l->capacity - l->size) {
        size_t capacity = 2 * (l->size + field.size) + 1024;
        uint8_t *grown = arena_alloc(scratch, capacity);
        if (grown == NULL) return ERR_NOMEM;
        if (l->size > 0) memcpy(grown, l->at, l->size);
        l->at = grown;
        l->capacity = capacity;
    }
    if (field.size > 0) memcpy(l->at + l->size, field.at, field.size);
    l->size += field.size;
    return OK;
}

/* Turns the labels of the series before into those of the next one. */
static enum err
labels_change(struct record_labels *l, struct cursor *c, struct arena *scratch)
{
    uint64_t count = cursor_varint(c), mask = cursor_varint(c), before = l->count;
    l->size = 0;
    enum err e = c->bad || count == 0 ? ERR_CORRUPT : OK;
    for (uint64_t i = 0; i < count && e == OK; i++) {
        bool is_kept = i < RECORD_MASK_BITS && (mask >> i & 1) == 0;
        struct bytes field;
        struct label label;
        if (is_kept) {
            if (i >= before) return ERR_CORRUPT;
            field = l->fields[i];
        } else {
            const uint8_t *from = c->at;
            if (!labels_next(c, &label)) return ERR_CORRUPT;
            field = bytes_of(from, (size_t)(c->at - from));
            if (i < RECORD_MASK_BITS) l->fields[i] = field;
        }
        e = labels_add(l, field, scratch);
    }
    l->count = count;
    return e;
}

enum err
record_each_series(struct bytes payload, struct bytes *ret_tenant,
                   enum err (*each)(void *context, struct bytes tenant, uint64_t ref,
                                    struct bytes labels),
                   void *context, struct arena *scratch)
{
    struct cursor c = cursor_of(payload);
    struct bytes tenant = cursor_counted(&c);
    uint64_t n = cursor_varint(&c), ref = 0;
    struct record_labels l = {.count = 0};
    if (!tenant_name_fits(tenant)) return ERR_CORRUPT;
    for (uint64_t i = 0; i < n; i++) {
        ref += (uint64_t)cursor_zigzag(&c);
        enum err e = labels_change(&l, &c, scratch);
        if (e == OK && !labels_valid(bytes_of(l.at, l.size))) e = ERR_CORRUPT;
        if (e == OK) e = each(context, tenant, ref, bytes_of(l.at, l.size));
        if (e) return e;
    }
    if (ret_tenant != NULL) *ret_tenant = tenant;
    return record_end(&c);
}

enum err
record_each_metadata(struct bytes payload,
                     enum err (*each)(void *context, struct bytes tenant,
                                      const struct metadata *metadata),
                     void *context)
{
    struct cursor c = cursor_of(payload);
    struct bytes tenant = cursor_counted(&c);
    uint64_t n = cursor_varint(&c);
    if (!tenant_name_fits(tenant)) return ERR_CORRUPT;
    for (uint64_t i = 0; i < n; i++) {
        struct metadata m = {.family = cursor_counted(&c)};
        m.type = (enum metric_type)cursor_u8(&c);
        m.help = cursor_counted(&c);
        m.unit = cursor_counted(&c);
        if (c.bad || m.type >= METRIC_TYPE_COUNT) return ERR_CORRUPT;
        enum err e = each(context, tenant, &m);
        if (e) return e;
    }
    return record_end(&c);
}

struct each_time {
    enum err (*each)(void *context, uint64_t ref, int64_t t_ms, enum ledger_kind kind);
    void *context;
};

static enum err
float_time(void *context, const struct record_float *f)
{
    const struct each_time *x = context;
    return x->each(x->context, f->ref, f->t_ms, LEDGER_FLOAT);
}

static enum err
histogram_time(void *context, const struct record_histogram *h)
{
    const struct each_time *x = context;
    return x->each(x->context, h->ref, h->t_ms, LEDGER_HISTOGRAM);
}

static enum err
exemplar_time(void *context, const struct record_exemplar *e)
{
    const struct each_time *x = context;
    return x->each(x->context, e->ref, e->t_ms, LEDGER_EXEMPLAR);
}

enum err
record_each_time(uint8_t type, struct bytes payload,
                 enum err (*each)(void *context, uint64_t ref, int64_t t_ms, enum ledger_kind kind),
                 void *context, struct arena *scratch)
{
    struct each_time x = {each, context};
    if (type == WAL_FLOATS) return record_each_float(payload, float_time, &x, scratch);
    if (type == WAL_HISTOGRAMS) return record_each_histogram(payload, histogram_time, &x, scratch);
    return type == WAL_EXEMPLARS ? record_each_exemplar(payload, exemplar_time, &x) : OK;
}

enum err
record_ledger(struct bytes payload, struct bytes *ret_tenant, struct ledger *ret_change)
{
    struct cursor c = cursor_of(payload);
    struct bytes tenant = cursor_counted(&c);
    memset(ret_change, 0, sizeof *ret_change);
    if (!tenant_name_fits(tenant)) return ERR_CORRUPT;
    *ret_tenant = tenant;
    enum err e = ledger_get(&c, ret_change);
    return e ? e : record_end(&c);
}

enum err
record_damaged(const struct wal_record *record, struct why *why)
{
    return why_set(why, ERR_CORRUPT,
                   "log record at position %" PRIu64 " has a valid checksum but cannot be decoded",
                   record->pos);
}
