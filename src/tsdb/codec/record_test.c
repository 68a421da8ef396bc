/*
 * record_test.c - records of the log come back as they were written, and refused memory is an
 * error.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/head/ingest/ingest.h"

enum { MANY = SLICE_FLOATS };

/* Columns of floats, as in a slice. */
struct floats {
    uint64_t refs[MANY];
    int64_t times[MANY];
    uint64_t bits[MANY];
    int64_t starts[MANY];
    uint8_t hints[MANY];
    struct scratch scratch;
};

static struct floats *
floats_make(struct rng *r, uint32_t count, bool has_starts)
{
    struct floats *f = calloc(1, sizeof *f);
    assert_non_null(f);
    unsigned class = (unsigned)rng_below(r, RANDOM_VALUE_CLASSES);
    uint64_t v = 0;
    for (uint32_t i = 0; i < count; i++) {
        f->refs[i] = rng_next(r) >> rng_below(r, 64);
        f->times[i] = (int64_t)(rng_next(r) >> rng_below(r, 64));
        f->bits[i] = v = random_value(r, class, v);
        f->starts[i] = has_starts ? (int64_t)(rng_next(r) >> rng_below(r, 64)) : 0;
        f->hints[i] = (uint8_t)rng_below(r, 40); /* also 31 and invalid ones */
    }
    f->scratch = (struct scratch){
        .refs = f->refs,
        .times = f->times,
        .bits = f->bits,
        .starts = f->starts,
        .hints = f->hints,
        .float_count = count,
        .has_starts = has_starts,
    };
    return f;
}

static enum err
check_floats(struct bytes payload, struct floats *f, struct arena *arena)
{
    struct record_columns c;
    enum err e = record_unpack_floats(payload, arena, &c);
    if (e) return e;
    assert_int_equal(c.count, f->scratch.float_count);
    for (uint64_t i = 0; i < c.count; i++) {
        struct record_float x = record_float_at(&c, i);
        assert_int_equal(x.ref, f->refs[i]);
        assert_int_equal(x.t_ms, f->times[i]);
        assert_int_equal(x.bits, f->bits[i]);
        assert_int_equal(x.start_ms, f->starts[i]);
    }
    return OK;
}

UNIT_TEST(test_floats_come_back_bit_for_bit)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rng r = {seed};
        uint32_t count = (uint32_t)rng_below(&r, seed % 10 == 0 ? MANY + 1 : 50);
        struct floats *f = floats_make(&r, count, rng_below(&r, 2) == 0);
        struct buf to;
        struct arena arena;
        buf_init(&to, NULL, 1 << 24);
        arena_init(&arena, NULL, 0, 0);
        record_floats(&f->scratch, &to);
        assert_int_equal(buf_error(&to), OK);
        assert_true(to.size <= 64 + 41u * count); /* the size that ingest reserves */
        assert_int_equal(check_floats(buf_bytes(&to), f, &arena), OK);
        for (uint32_t cut = 1; cut <= to.size && cut < 40; cut++) {
            enum err e = check_floats(bytes_of(to.at, to.size - cut), f, &arena);
            assert_int_equal(e, ERR_CORRUPT);
        }
        buf_put_u8(&to, 0);
        assert_int_equal(check_floats(buf_bytes(&to), f, &arena), ERR_CORRUPT);
        arena_fini(&arena);
        buf_fini(&to);
        free(f);
    }
}

UNIT_TEST(test_refused_memory_is_an_error)
{
    struct rng r = {1};
    struct floats *f = floats_make(&r, 100, true);
    struct buf to;
    struct arena arena;
    buf_init(&to, NULL, 1 << 24);
    arena_init(&arena, NULL, 0, 0);
    mem_fail_nth(1, false);
    record_floats(&f->scratch, &to);
    assert_int_equal(buf_error(&to), ERR_NOMEM);
    record_floats(&f->scratch, &to);
    assert_int_equal(buf_error(&to), OK);
    mem_fail_nth(1, false);
    assert_int_equal(check_floats(buf_bytes(&to), f, &arena), ERR_NOMEM);
    mem_fail_nth(0, false);
    arena_fini(&arena);
    buf_fini(&to);
    free(f);
}

/* --- the others: written here as docs/format/wal.md says -------------------------------------- */

struct expected {
    struct arena arena;
    uint32_t seen;
    uint32_t count;
    uint64_t refs[50];
    int64_t times[50];
    int64_t starts[50];
    uint64_t bits[50];
    struct histogram histograms[50];
    struct bytes labels[50];
    struct metadata metadata[50];
};

/* Returns labels, mostly few and shared with other series; sometimes more than a mask has bits. */
static struct bytes
random_labels(struct rng *r, struct arena *arena)
{
    struct buf to;
    char name[20], value[20];
    uint32_t count = 1 + (uint32_t)rng_below(r, rng_below(r, 8) == 0 ? 2 * RECORD_MASK_BITS : 5);
    buf_init(&to, NULL, 1 << 16);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "l%03u", i * 2 + (unsigned)rng_below(r, 2));
        snprintf(value, sizeof value, "%u", (unsigned)rng_below(r, 3));
        labels_put(&to, (struct label){bytes_of_text(name), bytes_of_text(value)});
    }
    struct bytes labels = arena_copy(arena, buf_bytes(&to));
    buf_fini(&to);
    return labels;
}

static struct expected *
expected_new(struct rng *r)
{
    struct expected *x = calloc(1, sizeof *x);
    assert_non_null(x);
    arena_init(&x->arena, NULL, 0, 0);
    x->count = (uint32_t)rng_below(r, 50);
    for (uint32_t i = 0; i < x->count; i++) {
        x->refs[i] = rng_next(r) >> rng_below(r, 64);
        x->times[i] = (int64_t)rng_next(r);
        x->starts[i] = rng_below(r, 2) == 0 ? 0 : (int64_t)rng_next(r);
        x->bits[i] = rng_next(r);
        do {
            x->histograms[i] = random_histogram(
                r, &x->arena, (enum sample_kind)(SAMPLE_HISTOGRAM_INT + rng_below(r, 2)));
        } while (histogram_check(&x->histograms[i], NULL) != OK);
        x->labels[i] = random_labels(r, &x->arena);
        x->metadata[i] = (struct metadata){x->labels[i], (enum metric_type)(i % METRIC_TYPE_COUNT),
                                           bytes_of_text("help"), bytes_of(NULL, 0)};
    }
    return x;
}

static void
expected_free(struct expected *x)
{
    arena_fini(&x->arena);
    free(x);
}

static enum err
check_histogram(void *context, const struct record_histogram *h)
{
    struct expected *x = context;
    uint32_t i = x->seen++;
    assert_int_equal(h->ref, x->refs[i]);
    assert_int_equal(h->t_ms, x->times[i]);
    assert_int_equal(h->start_ms, x->starts[i]);
    assert_true(same_histogram_bits(&h->h, &x->histograms[i]));
    return OK;
}

static enum err
check_exemplar(void *context, const struct record_exemplar *e)
{
    struct expected *x = context;
    uint32_t i = x->seen++;
    assert_int_equal(e->ref, x->refs[i]);
    assert_int_equal(e->t_ms, x->times[i]);
    assert_int_equal(e->bits, x->bits[i]);
    assert_true(bytes_equal(e->labels, i % 2 == 0 ? x->labels[i] : bytes_of(NULL, 0)));
    return OK;
}

static enum err
check_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    struct expected *x = context;
    uint32_t i = x->seen++;
    assert_true(bytes_equal_text(tenant, "tenant"));
    assert_int_equal(ref, x->refs[i]);
    assert_true(bytes_equal(labels, x->labels[i]));
    return OK;
}

static enum err
check_metadata(void *context, struct bytes tenant, const struct metadata *m)
{
    struct expected *x = context;
    const struct metadata *want = &x->metadata[x->seen++];
    assert_true(bytes_equal_text(tenant, "tenant"));
    assert_true(bytes_equal(m->family, want->family));
    assert_true(bytes_equal(m->help, want->help));
    assert_true(bytes_equal(m->unit, want->unit));
    assert_int_equal(m->type, want->type);
    return OK;
}

static uint32_t
cut_labels(struct bytes labels, struct bytes *ret_fields)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    uint32_t count = 0;
    for (const uint8_t *from = c.at; labels_next(&c, &label); from = c.at)
        ret_fields[count++] = bytes_of(from, (size_t)(c.at - from));
    return count;
}

static void
put_labels(struct buf *to, struct bytes before, struct bytes labels)
{
    struct bytes old[2 * RECORD_MASK_BITS], now[2 * RECORD_MASK_BITS];
    uint32_t known = cut_labels(before, old), count = cut_labels(labels, now);
    uint64_t mask = 0;
    for (uint32_t i = 0; i < count && i < RECORD_MASK_BITS; i++)
        if (i >= known || !bytes_equal(old[i], now[i])) mask |= UINT64_C(1) << i;
    buf_put_varint(to, count);
    buf_put_varint(to, mask);
    for (uint32_t i = 0; i < count; i++)
        if (i >= RECORD_MASK_BITS || (mask >> i & 1) != 0) buf_put_bytes(to, now[i]);
}

enum record_kind { SERIES, HISTOGRAMS, EXEMPLARS, METADATA, RECORD_KINDS };

static void
put_record(enum record_kind kind, const struct expected *x, struct buf *to)
{
    uint64_t ref = 0, t = 0, start = 0;
    if (kind == SERIES || kind == METADATA) buf_put_counted(to, bytes_of_text("tenant"));
    buf_put_varint(to, x->count);
    for (uint32_t i = 0; i < x->count; i++) {
        if (kind != METADATA) buf_put_zigzag(to, (int64_t)(x->refs[i] - ref));
        ref = x->refs[i];
        if (kind == SERIES)
            put_labels(to, i > 0 ? x->labels[i - 1] : bytes_of(NULL, 0), x->labels[i]);
        if (kind == HISTOGRAMS || kind == EXEMPLARS) {
            buf_put_zigzag(to, (int64_t)((uint64_t)x->times[i] - t));
            t = (uint64_t)x->times[i];
        }
        if (kind == HISTOGRAMS) {
            buf_put_zigzag(to, (int64_t)((uint64_t)x->starts[i] - start));
            start = (uint64_t)x->starts[i];
            histogram_put(to, &x->histograms[i]);
        }
        if (kind == EXEMPLARS) {
            buf_put_le64(to, x->bits[i]);
            buf_put_counted(to, i % 2 == 0 ? x->labels[i] : bytes_of(NULL, 0));
        }
        if (kind == METADATA) {
            buf_put_counted(to, x->metadata[i].family);
            buf_put_u8(to, (uint8_t)x->metadata[i].type);
            buf_put_counted(to, x->metadata[i].help);
            buf_put_counted(to, x->metadata[i].unit);
        }
    }
}

static enum err
read_record(enum record_kind kind, struct expected *x, struct bytes payload)
{
    struct bytes tenant;
    x->seen = 0;
    switch (kind) {
    case SERIES:
        return record_each_series(payload, &tenant, check_series, x, &x->arena);
    case HISTOGRAMS:
        return record_each_histogram(payload, check_histogram, x, &x->arena);
    case EXEMPLARS:
        return record_each_exemplar(payload, check_exemplar, x);
    default:
        return record_each_metadata(payload, check_metadata, x);
    }
}

UNIT_TEST(test_the_other_records_come_back)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rng r = {seed};
        enum record_kind kind = (enum record_kind)(seed % RECORD_KINDS);
        struct expected *x = expected_new(&r);
        struct buf to;
        buf_init(&to, NULL, 1 << 24);
        put_record(kind, x, &to);
        assert_int_equal(read_record(kind, x, buf_bytes(&to)), OK);
        assert_int_equal(x->seen, x->count);
        for (uint32_t cut = 1; cut < to.size && cut < 40; cut++)
            assert_int_equal(read_record(kind, x, bytes_of(to.at, to.size - cut)), ERR_CORRUPT);
        buf_put_u8(&to, 0);
        assert_int_equal(read_record(kind, x, buf_bytes(&to)), ERR_CORRUPT);
        buf_fini(&to);
        expected_free(x);
    }
}

UNIT_TEST(test_a_ledger_comes_back_and_its_tenant_is_checked)
{
    struct ledger change = {0}, got;
    change.count[LEDGER_FLOAT][LEDGER_RECEIVED] = 500;
    change.count[LEDGER_HISTOGRAM][LEDGER_REJECTED + REJECT_TOO_OLD] = 3;
    struct buf to;
    struct bytes tenant;
    buf_init(&to, NULL, 1000);
    buf_put_counted(&to, bytes_of_text("t"));
    ledger_put(&to, &change);
    assert_int_equal(record_ledger(buf_bytes(&to), &tenant, &got), OK);
    assert_true(bytes_equal_text(tenant, "t"));
    assert_memory_equal(&change, &got, sizeof got);
    assert_int_equal(record_ledger(bytes_of(to.at, to.size - 1), &tenant, &got), ERR_CORRUPT);
    buf_put_u8(&to, 0);
    assert_int_equal(record_ledger(buf_bytes(&to), &tenant, &got), ERR_CORRUPT);
    char name[TENANT_NAME_BYTES_MAX + 1];
    memset(name, 'n', sizeof name);
    for (size_t size = 0; size <= sizeof name; size += sizeof name) {
        buf_clear(&to);
        buf_put_counted(&to, bytes_of(name, size));
        ledger_put(&to, &change);
        assert_int_equal(record_ledger(buf_bytes(&to), &tenant, &got), ERR_CORRUPT);
    }
    buf_fini(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_come_back_bit_for_bit),
        cmocka_unit_test(test_refused_memory_is_an_error),
        cmocka_unit_test(test_the_other_records_come_back),
        cmocka_unit_test(test_a_ledger_comes_back_and_its_tenant_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
