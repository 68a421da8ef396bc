/* record_fuzz.c - reads arbitrary bytes as the payload of a log record of each type, within bounds;
 * floats that were read are written again and come back. */
#include <assert.h>
#include <stdlib.h>

#include "model/tenant_name.h"
#include "tsdb/head/ingest/ingest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COUNT_MAX = 4096 };

static struct {
    uint64_t refs[COUNT_MAX];
    int64_t times[COUNT_MAX];
    uint64_t bits[COUNT_MAX];
    int64_t starts[COUNT_MAX];
    uint8_t hints[COUNT_MAX];
    uint32_t count;
    bool has_starts;
} floats;

static void
take_float(uint32_t i, struct record_float x)
{
    floats.refs[i] = x.ref;
    floats.times[i] = x.t_ms;
    floats.bits[i] = x.bits;
    floats.starts[i] = x.start_ms;
    floats.has_starts |= x.start_ms != 0;
}

static void
check_float(uint32_t i, struct record_float x)
{
    assert(floats.refs[i] == x.ref);
    assert(floats.times[i] == x.t_ms);
    assert(floats.bits[i] == x.bits);
    assert(floats.starts[i] == x.start_ms);
}

static void
try_floats(struct bytes payload, struct arena *arena)
{
    struct record_columns c;
    floats.has_starts = false;
    if (record_unpack_floats(payload, arena, &c) != OK || c.count > COUNT_MAX) return;
    floats.count = (uint32_t)c.count;
    for (uint32_t i = 0; i < floats.count; i++)
        take_float(i, record_float_at(&c, i));
    struct scratch scratch = {
        .refs = floats.refs,
        .times = floats.times,
        .bits = floats.bits,
        .starts = floats.starts,
        .hints = floats.hints,
        .float_count = floats.count,
        .has_starts = floats.has_starts,
    };
    struct buf to;
    buf_init(&to, NULL, 1 << 22);
    record_floats(&scratch, &to);
    assert(buf_error(&to) == OK);
    enum err e = record_unpack_floats(buf_bytes(&to), arena, &c);
    assert(e == OK);
    assert(floats.count == c.count);
    for (uint32_t i = 0; i < floats.count; i++)
        check_float(i, record_float_at(&c, i));
    buf_fini(&to);
}

static enum err
each_histogram(void *context, const struct record_histogram *x)
{
    (void)context;
    enum err e = histogram_check(&x->h, NULL);
    assert(e == OK);
    return OK;
}

static enum err
each_exemplar(void *context, const struct record_exemplar *x)
{
    (void)context;
    assert(labels_valid(x->labels));
    return OK;
}

static enum err
each_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    (void)context;
    (void)ref;
    assert(tenant_name_fits(tenant));
    assert(labels.size > 0 && labels_valid(labels));
    return OK;
}

static enum err
each_metadata(void *context, struct bytes tenant, const struct metadata *m)
{
    uint64_t *sum = context;
    assert(m->type < METRIC_TYPE_COUNT);
    *sum += tenant.size + m->family.size + m->help.size + m->unit.size;
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    /* A copy has exactly the size, so that sanitizers see reads beyond it. */
    uint8_t *copy = malloc(size);
    assert(copy != NULL);
    memcpy(copy, data, size);
    struct bytes payload = bytes_of(copy + 1, size - 1), tenant;
    struct arena arena;
    struct ledger ledger;
    uint64_t sum = 0;
    arena_init(&arena, NULL, 64 << 20, 0);
    enum err e = OK;
    switch (copy[0] % 6) {
    case 0:
        try_floats(payload, &arena);
        break;
    case 1:
        e = record_each_histogram(payload, each_histogram, NULL, &arena);
        break;
    case 2:
        e = record_each_exemplar(payload, each_exemplar, NULL);
        break;
    case 3:
        e = record_each_series(payload, &tenant, each_series, NULL, &arena);
        break;
    case 4:
        e = record_each_metadata(payload, each_metadata, &sum);
        assert(sum <= size * size);
        break;
    default:
        e = record_ledger(payload, &tenant, &ledger);
        break;
    }
    assert(e == OK || e == ERR_CORRUPT || e == ERR_LIMIT);
    arena_fini(&arena);
    free(copy);
    return 0;
}
