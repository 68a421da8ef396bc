/* rollups_test.c - blocks of rollups come back from their bytes, and damaged bytes are refused. */
#include "tsdb/codec/rollups.h"

#include "lib/test.h"

#include <math.h>
#include <stdlib.h>

#include "lib/random.h"

enum { SAMPLES = 3000, WINDOWS = SAMPLES };

struct rig {
    struct codec_scratch *scratch;
    struct buf first_times, out;
    int64_t resolution_ms;
    uint32_t count;
    struct rollup rollups[WINDOWS];
    uint32_t row_count;
    int64_t times_ms[2 * WINDOWS];
    uint64_t bits[2 * WINDOWS];
    struct rollup back[2 * WINDOWS];
};

static struct rig g;

static void
rig_open(int64_t resolution_ms)
{
    assert_int_equal(codec_scratch_new(NULL, &g.scratch), OK);
    buf_init(&g.first_times, NULL, 1 << 20);
    buf_init(&g.out, NULL, 1 << 20);
    g.resolution_ms = resolution_ms;
    g.count = 0;
}

static void
rig_close(void)
{
    codec_scratch_free(g.scratch);
    buf_fini(&g.first_times);
    buf_fini(&g.out);
}

/* Adds a sample to its window. */
static void
add_sample(int64_t t_ms, uint64_t bits)
{
    struct rollup sample = rollup_of_sample(t_ms, bits);
    struct rollup *r = g.count > 0 ? &g.rollups[g.count - 1] : NULL;
    int64_t end = rollup_window_end(t_ms, g.resolution_ms);
    if (r != NULL &&
        rollup_window_end(r->count > 0 ? r->last_ms : r->stale_ms, g.resolution_ms) == end)
        rollup_join(r, &sample);
    else
        g.rollups[g.count++] = sample;
}

static void
add_double(int64_t t_ms, double v)
{
    add_sample(t_ms, double_bits(v));
}

/* Joins each `factor` windows that follow each other: a level made of the level. */
static void
coarsen(int64_t factor)
{
    uint32_t count = 0;
    int64_t end = 0;
    g.resolution_ms *= factor;
    for (uint32_t i = 0; i < g.count; i++) {
        struct rollup *r = &g.rollups[i];
        int64_t own = rollup_window_end(r->count > 0 ? r->last_ms : r->stale_ms, g.resolution_ms);
        if (count > 0 && own == end)
            rollup_join(&g.rollups[count - 1], r);
        else
            g.rollups[count++] = *r;
        end = own;
    }
    g.count = count;
}

static void
encode(void)
{
    buf_clear(&g.first_times);
    buf_clear(&g.out);
    g.row_count = rollup_rows(g.rollups, g.count, g.times_ms, g.bits);
    codec_rollups_encode_times(g.scratch, g.rollups, g.count, g.resolution_ms, &g.first_times);
    codec_rollups_encode(g.scratch, g.rollups, g.count, &g.out);
    assert_int_equal(buf_error(&g.first_times), OK);
    assert_int_equal(buf_error(&g.out), OK);
    assert_true(buf_reserve(&g.first_times, CODEC_SLACK));
    assert_true(buf_reserve(&g.out, CODEC_SLACK));
}

static enum err
decode_both(struct bytes first_times, struct bytes rest, uint32_t *ret_count)
{
    return codec_rollups_decode(first_times, rest, g.resolution_ms, ROLLUP_WHOLE, g.times_ms,
                                g.bits, g.row_count, g.back, ret_count);
}

static enum err
decode(uint32_t *ret_count)
{
    return decode_both(buf_bytes(&g.first_times), buf_bytes(&g.out), ret_count);
}

static void
assert_same_double(double a, double b)
{
    assert_int_equal(double_bits(a), double_bits(b));
}

/* Sums of n values may differ by the rounding of n values. */
static void
assert_near(double a, double b, double n, const struct rollup *r)
{
    double bound = 0x1p-52 * n * fmax(fabs(r->least), fabs(r->greatest));
    if (double_bits(a) == double_bits(b) || (isnan(a) && isnan(b))) return;
    assert_true(fabs(a - b) <= bound);
}

static void
assert_same(const struct rollup *a, const struct rollup *b, bool lost)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->is_stale, b->is_stale);
    if (a->is_stale) assert_int_equal(a->stale_ms, b->stale_ms);
    if (a->count == 0) return;
    assert_int_equal(a->first_ms, b->first_ms);
    assert_int_equal(a->last_ms, b->last_ms);
    assert_int_equal(a->nan_count, b->nan_count);
    assert_int_equal(a->resets, b->resets);
    assert_int_equal(a->changes, b->changes);
    assert_int_equal(a->first_bits, b->first_bits);
    assert_int_equal(a->last_bits, b->last_bits);
    if (a->nan_count < a->count) {
        assert_same_double(a->least, b->least);
        assert_same_double(a->greatest, b->greatest);
    } else {
        assert_true(isnan(b->least) && isnan(b->greatest));
    }
    assert_near(precise_value(&a->sum), precise_value(&b->sum), a->count, a);
    if (lost && a->resets > 0)
        assert_true(isnan(b->correction));
    else
        assert_near(a->correction, b->correction, a->resets, a);
}

/* True for what is no counter: it falls by more than eight more often than in half of the windows
 * and a quarter of all changes. Also if no correction is known. */
static bool
corrections_are_lost(void)
{
    uint32_t falls = 0, changes = 0, known = 0;
    for (uint32_t i = 0; i < g.count; i++) {
        const struct rollup *r = &g.rollups[i];
        if (r->count == 0) continue;
        falls += r->resets;
        changes += r->changes;
        known += r->resets > 0 && !isnan(r->correction);
    }
    return known == 0 || falls > 8 + g.count / 2 + changes / 4;
}

/* Decodes rollups as far as they are used, and compares these numbers with whole ones. */
static void
check_used(enum rollup_use use)
{
    static struct rollup used[2 * WINDOWS];
    uint32_t count = 0;
    assert_int_equal(codec_rollups_decode(buf_bytes(&g.first_times), buf_bytes(&g.out),
                                          g.resolution_ms, use, g.times_ms, g.bits, g.row_count,
                                          used, &count),
                     OK);
    assert_int_equal(count, g.count);
    for (uint32_t i = 0; i < count; i++) {
        const struct rollup *a = &g.back[i], *b = &used[i];
        assert_true(rollup_is_valid(b));
        assert_int_equal(rollup_begin_ms(a), rollup_begin_ms(b));
        assert_int_equal(rollup_end_ms(a), rollup_end_ms(b));
        assert_int_equal(a->is_stale, b->is_stale);
        assert_int_equal(a->count, b->count);
        if (a->count == 0) continue;
        assert_int_equal(a->last_ms, b->last_ms);
        assert_int_equal(a->nan_count, b->nan_count);
        assert_int_equal(a->last_bits, b->last_bits);
        if (use >= ROLLUP_ENDS) assert_int_equal(a->first_bits, b->first_bits);
        if (use >= ROLLUP_EXTREMES) {
            assert_int_equal(a->resets, b->resets);
            assert_int_equal(a->changes, b->changes);
            assert_same_double(a->least, b->least);
            assert_same_double(a->greatest, b->greatest);
        }
        if (use >= ROLLUP_CORRECTION) assert_same_double(a->correction, b->correction);
    }
}

static void
check_comes_back(void)
{
    encode();
    uint32_t count = 0;
    assert_int_equal(decode(&count), OK);
    assert_int_equal(count, g.count);
    bool lost = corrections_are_lost();
    for (uint32_t i = 0; i < count; i++)
        assert_same(&g.rollups[i], &g.back[i], lost);
    for (unsigned use = ROLLUP_COUNTS; use < ROLLUP_WHOLE; use++)
        check_used((enum rollup_use)use);
}

/* Changes samples of a series to specials and markers, and drops stretches of it. */
static void
add_random_series(struct rng *rng)
{
    static int64_t times_ms[SAMPLES];
    static uint64_t bits[SAMPLES];
    uint32_t count = random_series(rng, 1 + (uint32_t)rng_below(rng, SAMPLES), times_ms, bits);
    unsigned regular = (unsigned)rng_below(rng, 4);
    unsigned strange = rng_below(rng, 3) == 0 ? 20 : 100000, gap = rng_below(rng, 2) ? 200 : 100000;
    static const double strange_values[] = {0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, -1e300};
    unsigned skip = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (regular == 0) times_ms[i] = 1600000000000 + (int64_t)i * 15000;
        if (regular == 1) times_ms[i] = 1600000000123 + (int64_t)i * 60000;
        if (rng_below(rng, strange) == 0) bits[i] = double_bits(strange_values[rng_below(rng, 7)]);
        if (rng_below(rng, strange) == 0) bits[i] = STALE_NAN_BITS;
        if (rng_below(rng, gap) == 0) skip = 1 + (unsigned)rng_below(rng, 60);
        if (skip > 0) {
            skip--;
            continue;
        }
        add_sample(times_ms[i], bits[i]);
    }
}

UNIT_TEST(test_rollups_come_back)
{
    static const int64_t resolutions_ms[] = {300000, 3600000, 60000, 1, 7777};
    for (uint64_t seed = 0; seed < 1500; seed++) {
        struct rng rng = {seed};
        rig_open(resolutions_ms[rng_below(&rng, 5)]);
        add_random_series(&rng);
        if (rng_below(&rng, 3) == 0) coarsen(12);
        if (g.count > 0) check_comes_back();
        rig_close();
    }
}

/* Adds a counter of whole numbers, once every 15 s, which resets at some samples. */
static void
add_counter(uint32_t count, uint32_t reset_each)
{
    struct rng rng = {7};
    double v = 1e6;
    for (uint32_t i = 0; i < count; i++) {
        v = i % reset_each == reset_each - 1 ? 3 : v + (double)rng_below(&rng, 100);
        add_double(1600000000000 + (int64_t)i * 15000, v);
    }
}

UNIT_TEST(test_a_constant_costs_its_form_only)
{
    rig_open(300000);
    for (uint32_t i = 0; i < 2000; i++)
        add_double(1600000215000 + (int64_t)i * 15000, 0.1);
    check_comes_back();
    assert_true(g.first_times.size <= 2);
    assert_true(g.out.size <= 5);
    rig_close();
}

UNIT_TEST(test_a_marker_alone_takes_no_byte)
{
    rig_open(300000);
    add_sample(1000, STALE_NAN_BITS);
    check_comes_back();
    assert_int_equal(g.first_times.size, 0);
    assert_int_equal(g.out.size, 0);
    rig_close();
}

UNIT_TEST(test_corrections_of_counters_are_kept_however_often_they_restart)
{
    static const uint32_t restart_each[] = {1999, 211, 60, 20, 11, 5, 4};
    for (unsigned i = 0; i < sizeof restart_each / sizeof *restart_each; i++) {
        for (unsigned coarse = 0; coarse < 2; coarse++) {
            rig_open(300000);
            add_counter(2000, restart_each[i]);
            if (coarse) coarsen(12);
            check_comes_back();
            for (uint32_t k = 0; k < g.count; k++)
                assert_false(isnan(g.back[k].correction));
            rig_close();
        }
    }
}

UNIT_TEST(test_corrections_of_gauges_are_dropped)
{
    struct rng rng = {7};
    rig_open(300000);
    for (uint32_t i = 0; i < 2000; i++)
        add_double(1600000000000 + (int64_t)i * 15000, (double)rng_below(&rng, 100));
    check_comes_back();
    for (uint32_t i = 0; i < g.count; i++)
        assert_true(isnan(g.back[i].correction));
    rig_close();
}

/* A counter that rises once between restarts cannot be told from a gauge otherwise. */
UNIT_TEST(test_corrections_of_one_reset_a_window_are_kept_in_any_case)
{
    for (uint32_t per_window = 1; per_window <= 2; per_window++) {
        uint32_t life = 20 / per_window;
        rig_open(300000);
        for (uint32_t i = 1; i <= 2000; i++) {
            bool is_new = (i + 4) % life < 4;
            add_double(1600000200000 + (int64_t)i * 15000, is_new ? 0 : 1 + (i + 4) / life);
        }
        assert_int_equal(g.count, 100);
        assert_int_equal(g.rollups[50].resets, per_window);
        check_comes_back();
        assert_int_equal(isnan(g.back[50].correction), per_window == 2);
        rig_close();
    }
}

UNIT_TEST(test_a_correction_that_was_lost_stays_lost)
{
    rig_open(300000);
    add_counter(2000, 211);
    for (uint32_t i = 0; i < g.count; i += 2)
        if (g.rollups[i].resets > 0) g.rollups[i].correction = NAN;
    check_comes_back();
    rig_close();
}

/* Bytes of a writer that dropped corrections of counters which restart in many windows. */
UNIT_TEST(test_a_block_that_was_written_without_corrections_stays_as_it_is)
{
    static const uint8_t rest[] = {0x00, 0x00, 0x00, 0xf4, 0x40, 0x01, 0x24, 0x33, 0x05, 0x18, 0x2c,
                                   0x00, 0x00, 0x04, 0x04, 0xd9, 0xdf, 0xdd, 0x03, 0x05, 0x00, 0x0a,
                                   0x00, 0x0c, 0x91, 0x3b, 0x17, 0xfc, 0x00, 0x05, 0x94, 0x01, 0x0a,
                                   0x98, 0xad, 0xc8, 0x0d, 0x54, 0xf0, 0x01, 0x04, 0x0b, 0x29, 0xca,
                                   0x68, 0x98, 0xc6, 0xb8, 0xd4, 0x21, 0x9e, 0x00};
    uint32_t count;
    rig_open(300000);
    for (uint32_t i = 0; i < 120; i++)
        add_double(1600000000000 + (int64_t)i * 15000, i % 11 * i);
    check_comes_back();
    assert_false(corrections_are_lost());
    buf_clear(&g.out);
    buf_put(&g.out, rest, sizeof rest);
    assert_true(buf_reserve(&g.out, CODEC_SLACK));
    assert_int_equal(decode(&count), OK);
    assert_int_equal(count, g.count);
    for (uint32_t i = 0; i < count; i++) {
        assert_same(&g.rollups[i], &g.back[i], true);
        g.rollups[i] = g.back[i];
    }
    encode();
    assert_int_equal(g.out.size, sizeof rest);
    assert_memory_equal(g.out.at, rest, sizeof rest);
    rig_close();
}

/* Cuts one of the two encodings. An interval alone says that all samples are regular. */
static void
check_truncated(const struct buf *cut)
{
    uint32_t count;
    size_t interval_bytes = 2;
    for (size_t size = 0; size <= cut->size + 1; size++) {
        uint8_t *copy = malloc(size + CODEC_SLACK);
        assert_non_null(copy);
        memcpy(copy, cut->at, size < cut->size + 1 ? size + CODEC_SLACK : size);
        struct bytes all[] = {buf_bytes(&g.first_times), buf_bytes(&g.out)};
        all[cut == &g.out] = bytes_of(copy, size);
        bool is_whole = size == cut->size || (cut == &g.first_times && size == interval_bytes);
        if (!is_whole) assert_int_equal(decode_both(all[0], all[1], &count), ERR_CORRUPT);
        free(copy);
    }
}

UNIT_TEST(test_a_truncated_encoding_is_refused)
{
    rig_open(300000);
    add_counter(1000, 97);
    add_double(1600000000000 + 999 * 15000 + 1, 5);
    add_sample(1600000000000 + 1000 * 15000, NORMAL_NAN_BITS);
    add_sample(1600000000000 + 1001 * 15000, double_bits(-INFINITY));
    add_sample(1600000000000 + 1010 * 15000, STALE_NAN_BITS);
    check_comes_back();
    check_truncated(&g.first_times);
    check_truncated(&g.out);
    rig_close();
}

static void
check_changed_bits(struct buf *changed)
{
    for (size_t bit = 0; bit < 8 * changed->size; bit++) {
        uint32_t count;
        changed->at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum err e = decode(&count);
        assert_true(e == OK || e == ERR_CORRUPT);
        for (uint32_t i = 0; i < count && e == OK; i++) {
            assert_true(rollup_is_valid(&g.back[i]));
            int64_t end = rollup_window_end(g.back[i].last_ms, g.resolution_ms);
            assert_int_equal(rollup_window_end(g.back[i].first_ms, g.resolution_ms), end);
        }
        changed->at[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

UNIT_TEST(test_changed_bits_never_yield_invalid_rollups)
{
    rig_open(300000);
    add_counter(1000, 97);
    add_double(1600000000000 + 999 * 15000 + 1, 5);
    encode();
    check_changed_bits(&g.first_times);
    check_changed_bits(&g.out);
    rig_close();
}

UNIT_TEST(test_rows_that_are_not_windows_are_refused)
{
    rig_open(300000);
    add_double(1000, 1);
    add_double(301000, 2);
    add_sample(302000, STALE_NAN_BITS);
    encode();
    uint32_t count;
    assert_int_equal(decode(&count), OK);
    g.times_ms[1] = 2000; /* the window of the first */
    assert_int_equal(decode(&count), ERR_CORRUPT);
    g.times_ms[1] = 999; /* before the first */
    assert_int_equal(decode(&count), ERR_CORRUPT);
    g.times_ms[1] = 301000;
    g.bits[1] = STALE_NAN_BITS; /* two markers in a window */
    assert_int_equal(decode(&count), ERR_CORRUPT);
    g.row_count = 0;
    assert_int_equal(decode(&count), ERR_CORRUPT);
    rig_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rollups_come_back),
        cmocka_unit_test(test_a_constant_costs_its_form_only),
        cmocka_unit_test(test_a_marker_alone_takes_no_byte),
        cmocka_unit_test(test_corrections_of_counters_are_kept_however_often_they_restart),
        cmocka_unit_test(test_corrections_of_gauges_are_dropped),
        cmocka_unit_test(test_corrections_of_one_reset_a_window_are_kept_in_any_case),
        cmocka_unit_test(test_a_correction_that_was_lost_stays_lost),
        cmocka_unit_test(test_a_block_that_was_written_without_corrections_stays_as_it_is),
        cmocka_unit_test(test_a_truncated_encoding_is_refused),
        cmocka_unit_test(test_changed_bits_never_yield_invalid_rollups),
        cmocka_unit_test(test_rows_that_are_not_windows_are_refused),
    };
    return cmocka_run_group_tests_name("tsdb/codec/rollups", tests, NULL, NULL);
}
