/*
 * record.c - the payloads of the log's records, read one by one; head/ingest/ingest_append.c writes
 * them. Format: docs/format/wal.md. Read bytes passed a checksum, and are checked all the same.
 */
#include "tsdb/codec/record.h"

#include <inttypes.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "model/tenant_name.h"
#include "tsdb/codec/codec.h"

/* --- floats ----------------------------------------------------------------------------------- */

/* A record ends after the fields of its version. */
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
    /* Reference, time, exponent and value take at least one byte each. */
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

/* --- other records ---------------------------------------------------------------------------- */

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

/* The labels of the current series: each as in the record, and all of them one after another. */
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

/* --- a record of any kind --------------------------------------------------------------------- */

static enum err
visit_histogram(void *context, const struct record_histogram *h)
{
    const struct record_visitor *v = context;
    return v->sample(v->context, h->ref, h->t_ms, LEDGER_HISTOGRAM);
}

static enum err
visit_exemplar(void *context, const struct record_exemplar *x)
{
    const struct record_visitor *v = context;
    return v->sample(v->context, x->ref, x->t_ms, LEDGER_EXEMPLAR);
}

enum err
record_walk(const struct wal_record *record, struct record_visitor *v, struct arena *scratch,
            struct why *why)
{
    struct bytes payload = record->payload;
    enum err e = OK;
    arena_reset(scratch);
    if (record->type == WAL_SERIES && v->series != NULL)
        e = record_each_series(payload, NULL, v->series, v->context, scratch);
    else if (record->type == WAL_FLOATS && v->sample != NULL) {
        struct record_columns c;
        e = record_unpack_floats(payload, scratch, &c);
        for (uint64_t i = 0; e == OK && i < c.count; i++)
            e = v->sample(v->context, c.refs[i], (int64_t)c.times[i], LEDGER_FLOAT);
    } else if (record->type == WAL_HISTOGRAMS && v->sample != NULL)
        e = record_each_histogram(payload, visit_histogram, v, scratch);
    else if (record->type == WAL_EXEMPLARS && v->sample != NULL)
        e = record_each_exemplar(payload, visit_exemplar, v);
    else if (record->type == WAL_METADATA && v->family != NULL)
        e = record_each_metadata(payload, v->family, v->context);
    else if (record->type == WAL_LEDGER && v->ledger != NULL) {
        struct bytes tenant;
        struct ledger change;
        e = record_ledger(payload, &tenant, &change);
        if (e == OK) e = v->ledger(v->context, tenant, &change);
    }
    return e == ERR_CORRUPT ? record_damaged(record, why) : e;
}

enum err
record_damaged(const struct wal_record *record, struct why *why)
{
    return why_set(why, ERR_CORRUPT,
                   "log record at position %" PRIu64 " has a valid checksum but cannot be decoded",
                   record->pos);
}

/* --- references ------------------------------------------------------------------------------- */

uint32_t *
record_ref_find(const struct record_refs *r, uint64_t ref)
{
    for (uint32_t at = TABLE_START, i; table_next(&r->table, hash_mix(ref, 0), &at, &i);)
        if (r->items[i].ref == ref) return &r->items[i].value;
    return NULL;
}

uint32_t *
record_ref_add(struct record_refs *r, uint64_t ref)
{
    if (!table_reserve(&r->table, r->budget, 1) ||
        !array_reserve(r->budget, &r->items, &r->capacity, r->count + 1))
        return NULL;
    table_add(&r->table, hash_mix(ref, 0), r->count);
    r->items[r->count] = (struct record_ref){.ref = ref};
    return &r->items[r->count++].value;
}

void
record_refs_fini(struct record_refs *r)
{
    array_free(r->budget, r->items, r->capacity);
    table_fini(&r->table, r->budget);
}
