/*
 * hchunk_test.c - chunks of the head return the samples that were added, as far as their epochs are
 * durable.
 */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/head/gen.h"

enum { MAX = HCHUNK_SAMPLES_MAX };

/* The content of a chunk. */
struct model {
    uint64_t seed;
    enum sample_kind kind;
    uint32_t count;
    int64_t times[MAX];
    int64_t starts[MAX];
    uint64_t bits[MAX];
    struct histogram histograms[MAX];
    uint32_t epochs[MAX];
    struct arena arena;
};

static struct model *
model_new(uint64_t seed, enum sample_kind kind)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->seed = seed;
    m->kind = kind;
    arena_init(&m->arena, NULL, 0, 0);
    return m;
}

static void
model_free(struct model *m)
{
    arena_fini(&m->arena);
    free(m);
}

static struct histogram
random_valid(struct rng *r, struct arena *arena, enum sample_kind kind)
{
    struct histogram h;
    do {
        h = random_histogram(r, arena, kind);
    } while (histogram_check(&h, NULL) != OK);
    h.reset_hint = (enum reset_hint)rng_below(r, 4);
    return h;
}

/* Returns a histogram with the layout of the one before, if there is one. */
static struct histogram
random_of_layout(struct rng *r, struct model *m)
{
    if (m->count == 0) return random_valid(r, &m->arena, m->kind);
    const struct histogram *last = &m->histograms[m->count - 1];
    struct histogram h = random_grown(r, &m->arena, last);
    if (rng_below(r, 5) == 0) h.reset_hint = (enum reset_hint)rng_below(r, 4);
    if (histogram_check(&h, NULL) != OK) h = *last;
    return h;
}

static int64_t
random_start(struct rng *r, int64_t before)
{
    switch (rng_below(r, 12)) {
    case 0:
        return 0;
    case 1:
        return (int64_t)rng_next(r);
    case 2:
        return before + 1000;
    default:
        return before;
    }
}

static enum err
put(struct hchunk_open *o, struct gmem *g, const struct model *m, uint32_t i)
{
    return m->kind == SAMPLE_FLOAT
               ? hchunk_put_float(o, g, m->times[i], m->bits[i], m->starts[i], m->epochs[i])
               : hchunk_put_histogram(o, g, m->times[i], &m->histograms[i], m->starts[i],
                                      m->epochs[i]);
}

/* Fills the model with up to `count` samples of one class. */
static void
model_fill(struct model *m, struct rng *r, uint32_t count)
{
    unsigned value_class = (unsigned)rng_below(r, RANDOM_VALUE_CLASSES);
    unsigned time_class = (unsigned)rng_below(r, RANDOM_TIME_CLASSES);
    bool starts = rng_below(r, 3) == 0;
    int64_t t = random_first_time(r, time_class), start = 0;
    uint64_t v = 0;
    uint32_t epoch = (uint32_t)rng_below(r, 3);
    for (uint32_t i = 0; i < count; i++) {
        m->times[i] = t;
        m->starts[i] = start = starts ? random_start(r, start) : 0;
        m->bits[i] = v = random_value(r, value_class, v);
        if (m->kind != SAMPLE_FLOAT) m->histograms[i] = random_of_layout(r, m);
        m->epochs[i] = epoch += rng_below(r, 30) == 0;
        m->count++;
        if (!random_next_time(r, time_class, &t)) return;
    }
}

static uint32_t
put_all(struct hchunk_open *o, struct gmem *g, const struct model *m)
{
    uint32_t i = 0;
    for (; i < m->count && hchunk_takes(o, m->kind, m->times[i]); i++)
        assert_int_equal(put(o, g, m, i), OK);
    return i;
}

static void
check_samples(const struct model *m, struct bytes bytes, uint32_t count)
{
    static struct {
        bool has_starts;
        int64_t times_ms[HCHUNK_SAMPLES_MAX];
        int64_t starts_ms[HCHUNK_SAMPLES_MAX];
        uint64_t bits[HCHUNK_SAMPLES_MAX];
        struct histogram histograms[HCHUNK_SAMPLES_MAX];
    } got;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(hchunk_unpack(m->kind, bytes, count, &arena, got.times_ms, got.starts_ms,
                                   got.bits, got.histograms, &got.has_starts),
                     OK);
    bool starts = false;
    for (uint32_t i = 0; i < count; i++) {
        bool same = m->kind == SAMPLE_FLOAT
                        ? got.bits[i] == m->bits[i]
                        : same_histogram_bits(&m->histograms[i], &got.histograms[i]) &&
                              got.histograms[i].reset_hint == m->histograms[i].reset_hint;
        if (!same || got.times_ms[i] != m->times[i] || got.starts_ms[i] != m->starts[i])
            fail_msg("seed %u: sample %u of %u", (unsigned)m->seed, i, count);
        starts |= m->starts[i] != 0;
    }
    if (starts) assert_true(got.has_starts);
    arena_fini(&arena);
}

UNIT_TEST(test_a_chunk_gives_back_what_was_put)
{
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct rng r = {seed};
        struct model *m = model_new(seed, (enum sample_kind)(seed % 8 == 0 ? 1 + seed / 8 % 2 : 0));
        model_fill(m, &r, 1 + (uint32_t)rng_below(&r, MAX));
        struct gmem g;
        gmem_init(&g, NULL);
        struct hchunk_open o = {0};
        uint32_t n = put_all(&o, &g, m);
        assert_int_equal(hchunk_first_ms(&o), m->times[0]);
        assert_int_equal(o.last_ms, m->times[n - 1]);
        check_samples(m, bytes_of(o.bytes, o.size_bytes), n);
        check_samples(m, bytes_of(o.bytes, o.size_bytes), (uint32_t)rng_below(&r, n + 1));
        struct hchunk *c;
        assert_int_equal(hchunk_seal(&o, &g, &c), OK);
        assert_int_equal(o.count, 0);
        assert_null(o.bytes);
        assert_int_equal(c->min_ms, m->times[0]);
        assert_int_equal(c->max_ms, m->times[n - 1]);
        check_samples(m, bytes_of(c->bytes, c->size_bytes), n);
        gmem_fini(&g);
        model_free(m);
    }
}

UNIT_TEST(test_a_chunk_finds_each_sample_and_no_other)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rng r = {seed};
        struct model *m = model_new(seed, (enum sample_kind)(seed % 3));
        model_fill(m, &r, 1 + (uint32_t)rng_below(&r, MAX));
        struct gmem g;
        gmem_init(&g, NULL);
        struct hchunk_open o = {0};
        m->count = put_all(&o, &g, m);
        struct hchunk_view view = hchunk_open_view(&o);
        struct arena arena;
        arena_init(&arena, NULL, 0, 0);
        for (uint32_t i = 0; i < m->count; i++) {
            uint32_t at;
            uint64_t bits = 0;
            struct histogram h = {0};
            arena_reset(&arena);
            assert_int_equal(hchunk_find(&view, m->times[i], &arena, &at, &bits, &h), OK);
            assert_int_equal(at, i);
            if (m->kind == SAMPLE_FLOAT)
                assert_int_equal(bits, m->bits[i]);
            else
                assert_true(same_histogram_bits(&h, &m->histograms[i]));
            int64_t beside = m->times[i] + 1;
            if (m->times[i] == INT64_MAX || (i + 1 < m->count && m->times[i + 1] == beside))
                continue;
            assert_int_equal(hchunk_find(&view, beside, &arena, &at, &bits, &h), OK);
            assert_int_equal(at, m->count);
        }
        arena_fini(&arena);
        gmem_fini(&g);
        model_free(m);
    }
}

/* After samples are taken back, others follow as if the first had never been added. */
UNIT_TEST(test_samples_taken_back_leave_no_trace)
{
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct rng r = {seed};
        struct model *m = model_new(seed, (enum sample_kind)(seed % 6 < 4 ? 0 : seed % 6 - 3));
        struct model *after = model_new(seed, m->kind);
        model_fill(m, &r, 2 + (uint32_t)rng_below(&r, MAX - 1));
        struct gmem g;
        gmem_init(&g, NULL);
        struct hchunk_open o = {0}, straight = {0};
        m->count = put_all(&o, &g, m);
        uint32_t keep = 1 + (uint32_t)rng_below(&r, m->count);
        if (keep < m->count) {
            uint64_t used = g.total_bytes;
            assert_int_equal(hchunk_cut_open(&o, keep, 9, &m->arena), OK);
            assert_int_equal(g.total_bytes, used);
            assert_int_equal(hchunk_visible(o.count, o.tag, o.pending_now, o.pending_before, 9),
                             keep);
        }
        for (uint32_t i = 0; i < keep; i++)
            assert_int_equal(put(&straight, &g, m, i), OK);
        /* The samples that follow are other ones. */
        memcpy(after->times, m->times, sizeof m->times);
        memcpy(after->bits, m->bits, sizeof m->bits);
        memcpy(after->starts, m->starts, sizeof m->starts);
        memcpy(after->histograms, m->histograms, sizeof m->histograms);
        after->count = keep;
        for (; after->count < m->count; after->count++) {
            uint32_t i = after->count;
            after->epochs[i] = 10;
            if (rng_below(&r, 2) == 0) after->bits[i] = random_value(&r, 10, after->bits[i - 1]);
            if (m->kind != SAMPLE_FLOAT) after->histograms[i] = random_of_layout(&r, after);
            assert_int_equal(put(&o, &g, after, i), OK);
            assert_int_equal(put(&straight, &g, after, i), OK);
        }
        assert_int_equal(o.size_bytes, straight.size_bytes);
        assert_memory_equal(o.bytes, straight.bytes, o.size_bytes);
        check_samples(after, bytes_of(o.bytes, o.size_bytes), after->count);

        struct hchunk *c;
        assert_int_equal(hchunk_seal(&o, &g, &c), OK);
        keep = 1 + (uint32_t)rng_below(&r, after->count);
        if (keep < after->count) {
            hchunk_cut_sealed(c, keep, 11);
            assert_int_equal(c->count, keep);
            assert_int_equal(c->max_ms, after->times[keep - 1]);
            check_samples(after, bytes_of(c->bytes, c->size_bytes), keep);
        }
        gmem_fini(&g);
        model_free(m);
        model_free(after);
    }
}

UNIT_TEST(test_only_durable_samples_are_visible)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rng r = {seed};
        struct gmem g;
        gmem_init(&g, NULL);
        struct hchunk_open o = {0};
        uint32_t epochs[MAX], durable = 100 + (uint32_t)rng_below(&r, 2), count = 0;
        if (seed % 2 == 0) durable = UINT32_MAX - 2; /* epochs may wrap */
        while (count < MAX) {
            /* At most two epochs are pending. */
            epochs[count] = durable + (uint32_t)rng_below(&r, 3);
            if (count > 0 && (int32_t)(epochs[count] - epochs[count - 1]) < 0)
                epochs[count] = epochs[count - 1];
            assert_int_equal(hchunk_put_float(&o, &g, count, count, 0, epochs[count]), OK);
            count++;
            if (rng_below(&r, 10) == 0) durable = epochs[count - 1];
            for (uint32_t d = 0; d < 3; d++) {
                uint32_t seen = 0;
                while (seen < count && (int32_t)(epochs[seen] - (durable + d)) <= 0)
                    seen++;
                assert_int_equal(
                    hchunk_visible(o.count, o.tag, o.pending_now, o.pending_before, durable + d),
                    seen);
            }
            for (uint32_t i = 0; i < count; i++) {
                uint32_t told = hchunk_epoch(i, o.count, o.tag, o.pending_now, o.pending_before);
                if ((int32_t)(epochs[i] - durable) > 0) assert_int_equal(told, epochs[i]);
                if ((int32_t)(epochs[i] - durable) <= 0 && told != 0)
                    assert_true((int32_t)(told - durable) <= 0);
            }
        }
        gmem_fini(&g);
    }
}

UNIT_TEST(test_a_value_that_stays_takes_no_more_bytes)
{
    static const double values[] = {0, 5, 0.25};
    for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
        struct gmem g;
        gmem_init(&g, NULL);
        struct hchunk_open o = {0};
        for (uint32_t i = 0; i < MAX; i++) {
            uint64_t bits = double_bits(values[v]);
            assert_int_equal(hchunk_put_float(&o, &g, 15000 * (int64_t)i, bits, 0, 1), OK);
        }
        assert_in_range(o.size_bytes, 1, 13);
        gmem_fini(&g);
    }
}

UNIT_TEST(test_a_chunk_takes_only_what_comes_behind)
{
    struct gmem g;
    gmem_init(&g, NULL);
    struct hchunk_open o = {0};
    assert_true(hchunk_takes(&o, SAMPLE_HISTOGRAM_INT, INT64_MIN));
    assert_int_equal(hchunk_put_float(&o, &g, 10, 0, 0, 1), OK);
    assert_false(hchunk_takes(&o, SAMPLE_FLOAT, 10));
    assert_false(hchunk_takes(&o, SAMPLE_FLOAT, 9));
    assert_false(hchunk_takes(&o, SAMPLE_HISTOGRAM_INT, 11));
    assert_true(hchunk_takes(&o, SAMPLE_FLOAT, 11));
    hchunk_drop(&o, &g);

    struct model *m = model_new(5, SAMPLE_HISTOGRAM_INT);
    struct rng r = {5};
    struct histogram h = random_valid(&r, &m->arena, SAMPLE_HISTOGRAM_INT), other = h;
    other.schema = h.schema == 0 ? 1 : 0;
    h.custom_count = other.custom_count = 0;
    assert_int_equal(hchunk_put_histogram(&o, &g, 1, &h, 0, 1), OK);
    struct hchunk_open before = o;
    assert_int_equal(hchunk_put_histogram(&o, &g, 2, &other, 0, 1), ERR_AGAIN);
    assert_memory_equal(&before, &o, sizeof o);
    gmem_fini(&g);
    model_free(m);
}

UNIT_TEST(test_histograms_of_many_buckets_fill_a_chunk_early)
{
    enum { BUCKETS = 60000 };
    static int64_t deltas[BUCKETS];
    struct hist_span span = {0, BUCKETS};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    h.positive = (struct hist_buckets){&span, 1, BUCKETS, deltas, NULL};
    struct gmem g;
    gmem_init(&g, NULL);
    struct hchunk_open o = {0};
    assert_int_equal(hchunk_put_histogram(&o, &g, 1, &h, 0, 1), OK);
    assert_false(hchunk_takes(&o, SAMPLE_HISTOGRAM_INT, 2));
    gmem_fini(&g);
}

/* Reserved memory is enough for the largest sample; without it nothing changes. */
UNIT_TEST(test_a_sample_that_finds_no_memory_changes_nothing)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rng r = {seed};
        struct model *m = model_new(seed, (enum sample_kind)(seed % 3));
        model_fill(m, &r, MAX);
        struct gmem g;
        gmem_init(&g, NULL);
        struct hchunk_open o = {0};
        for (uint32_t i = 0; i < m->count && hchunk_takes(&o, m->kind, m->times[i]); i++) {
            struct hchunk_open before = o;
            mem_fail_nth(1, true);
            enum err e = put(&o, &g, m, i);
            mem_fail_nth(0, false);
            if (e == OK) continue;
            assert_int_equal(e, ERR_NOMEM);
            assert_int_equal(o.count, before.count);
            assert_int_equal(o.size_bytes, before.size_bytes);
            if (o.count > 0) check_samples(m, bytes_of(o.bytes, o.size_bytes), o.count);
            size_t need = m->kind == SAMPLE_FLOAT ? hchunk_float_reserve(&o)
                                                  : hchunk_histogram_reserve(&o, &m->histograms[i]);
            assert_int_equal(gmem_reserve(&g, need), OK);
            mem_fail_nth(1, true);
            e = put(&o, &g, m, i);
            mem_fail_nth(0, false);
            assert_int_equal(e, OK);
        }
        check_samples(m, bytes_of(o.bytes, o.size_bytes), o.count);
        gmem_fini(&g);
        model_free(m);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chunk_gives_back_what_was_put),
        cmocka_unit_test(test_a_chunk_finds_each_sample_and_no_other),
        cmocka_unit_test(test_samples_taken_back_leave_no_trace),
        cmocka_unit_test(test_only_durable_samples_are_visible),
        cmocka_unit_test(test_a_value_that_stays_takes_no_more_bytes),
        cmocka_unit_test(test_a_chunk_takes_only_what_comes_behind),
        cmocka_unit_test(test_histograms_of_many_buckets_fill_a_chunk_early),
        cmocka_unit_test(test_a_sample_that_finds_no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
