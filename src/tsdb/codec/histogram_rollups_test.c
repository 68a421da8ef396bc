/* histogram_rollups_test.c - blocks of rollups of histograms come back from their bytes, and
 * damaged bytes are refused. */
#include "tsdb/codec/rollups.h"

#include "lib/test.h"

#include <math.h>
#include <stdlib.h>

#include "lib/random.h"
#include "model/histogram.h"
#include "model/rollup.h"
#include "tsdb/codec/codec.h"

enum { WINDOWS = 128, RESOLUTION_MS = 300000, STEP_MS = 15000 };

struct rig {
    struct codec_scratch *scratch;
    struct arena arena;
    struct buf first_times, out;
    uint32_t count;
    struct histogram_rollup rollups[WINDOWS];
    uint32_t row_count;
    int64_t times_ms[2 * WINDOWS];
    struct histogram rows[2 * WINDOWS];
    struct histogram_rollup back[2 * WINDOWS];
};

static struct rig g;

static void
rig_open(void)
{
    assert_int_equal(codec_scratch_new(NULL, &g.scratch), OK);
    arena_init(&g.arena, NULL, 64 << 20, 1 << 20);
    buf_init(&g.first_times, NULL, 1 << 20);
    buf_init(&g.out, NULL, 8 << 20);
    g.count = 0;
}

static void
rig_close(void)
{
    codec_scratch_free(g.scratch);
    arena_fini(&g.arena);
    buf_fini(&g.first_times);
    buf_fini(&g.out);
}

/* Adds a sample to its window. False if there is no room, or if it begins another layout. */
static bool
add_sample(int64_t t_ms, const struct histogram *h)
{
    struct histogram_rollup sample;
    assert_int_equal(histogram_rollup_of_sample(&g.arena, t_ms, h, &sample), OK);
    struct histogram_rollup *r = g.count > 0 ? &g.rollups[g.count - 1] : NULL;
    int64_t end = rollup_window_end(t_ms, RESOLUTION_MS);
    int64_t last_ms = r == NULL ? 0 : r->count > 0 ? r->last_ms : r->stale_ms;
    if (r != NULL && rollup_window_end(last_ms, RESOLUTION_MS) == end) {
        assert_int_equal(histogram_rollup_join(&g.arena, r, &sample), OK);
        return true;
    }
    if (g.count == WINDOWS) return false;
    g.rollups[g.count++] = sample;
    return true;
}

/* Cuts the rollups where the layout of the last samples changes. */
static void
cut_to_one_layout(void)
{
    const struct histogram *layout = NULL;
    for (uint32_t i = 0; i < g.count; i++) {
        if (g.rollups[i].count == 0) continue;
        if (layout != NULL && !histogram_same_layout(layout, &g.rollups[i].last)) {
            g.count = i;
            return;
        }
        layout = &g.rollups[i].last;
    }
}

static void
encode(void)
{
    buf_clear(&g.first_times);
    buf_clear(&g.out);
    g.row_count = histogram_rollup_rows(g.rollups, g.count, g.times_ms, g.rows);
    assert_int_equal(codec_histogram_rollups_encode_times(g.scratch, &g.arena, g.rollups, g.count,
                                                          RESOLUTION_MS, &g.first_times),
                     OK);
    assert_int_equal(
        codec_histogram_rollups_encode(g.scratch, &g.arena, g.rollups, g.count, &g.out), OK);
    assert_int_equal(buf_error(&g.first_times), OK);
    assert_int_equal(buf_error(&g.out), OK);
    assert_true(buf_reserve(&g.first_times, CODEC_SLACK));
    assert_true(buf_reserve(&g.out, CODEC_SLACK));
}

static enum err
decode_in(struct arena *arena, struct bytes first_times, struct bytes rest, uint32_t *ret_count)
{
    return codec_histogram_rollups_decode(first_times, rest, RESOLUTION_MS, g.times_ms, g.rows,
                                          g.row_count, arena, g.back, ret_count);
}

static enum err
decode(uint32_t *ret_count)
{
    return decode_in(&g.arena, buf_bytes(&g.first_times), buf_bytes(&g.out), ret_count);
}

/* Compares numbers bit for bit, and buckets without those that are empty. */
static void
assert_same_fhist(const struct fhist *a, const struct fhist *b)
{
    struct fhist x, y;
    assert_int_equal(a == NULL, b == NULL);
    if (a == NULL) return;
    assert_int_equal(fhist_begin(&g.arena, a, true, &x), OK);
    assert_int_equal(fhist_begin(&g.arena, b, true, &y), OK);
    fhist_compact(&x);
    fhist_compact(&y);
    assert_true(fhist_equal(&x, &y));
    assert_int_equal(x.hint, y.hint);
}

/* True for what is no counter, as for floats. */
static bool
corrections_are_lost(void)
{
    uint32_t falls = 0, changes = 0, sampled = 0;
    for (uint32_t i = 0; i < g.count; i++) {
        const struct histogram_rollup *r = &g.rollups[i];
        if (r->count == 0) continue;
        sampled++;
        falls += r->resets;
        changes += r->changes;
    }
    return falls > 8 + sampled / 2 + changes / 4;
}

static void
assert_same(const struct histogram_rollup *a, const struct histogram_rollup *b, bool lost)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->is_stale, b->is_stale);
    if (a->is_stale) assert_int_equal(a->stale_ms, b->stale_ms);
    if (a->count == 0) return;
    assert_int_equal(a->first_ms, b->first_ms);
    assert_int_equal(a->last_ms, b->last_ms);
    assert_int_equal(a->changes, b->changes);
    assert_int_equal(a->resets, b->resets);
    assert_int_equal(a->layout_changes, b->layout_changes);
    assert_int_equal(a->gauge_count, b->gauge_count);
    assert_int_equal(a->custom_count, b->custom_count);
    assert_int_equal(a->second_is_reset, b->second_is_reset);
    assert_true(same_histogram_all(&a->first, &b->first));
    assert_int_equal(a->first.reset_hint, b->first.reset_hint);
    assert_true(same_histogram_all(&a->last, &b->last));
    assert_same_fhist(a->sum, b->sum);
    if ((!lost && a->gauge_count == 0) || a->correction == NULL) {
        assert_int_equal(a->correction_lost, b->correction_lost);
        assert_same_fhist(a->correction, b->correction);
    } else {
        assert_true(b->correction_lost && b->correction == NULL);
    }
}

static void
check_comes_back(void)
{
    bool lost = corrections_are_lost();
    encode();
    uint32_t count = 0;
    assert_int_equal(decode(&count), OK);
    assert_int_equal(count, g.count);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(histogram_rollup_is_valid(&g.back[i]));
        assert_same(&g.rollups[i], &g.back[i], lost);
    }
}

static struct histogram
valid_histogram(struct rng *rng, enum sample_kind kind)
{
    struct histogram h;
    do {
        h = random_histogram(rng, &g.arena, kind);
    } while (histogram_check(&h, NULL));
    return h;
}

/* Adds samples with resets, markers, gaps and new layouts: more of them, the less calm it is. */
static void
add_random_series(struct rng *rng)
{
    enum sample_kind kind = rng_below(rng, 2) ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    uint64_t strange_one_in = rng_below(rng, 2) == 0 ? 30 : 400;
    bool gauges = rng_below(rng, 4) == 0;
    struct histogram h = valid_histogram(rng, kind);
    int64_t t_ms = (int64_t)rng_below(rng, 1 << 30);
    uint32_t samples = 1 + (uint32_t)rng_below(rng, 300);
    for (uint32_t i = 0; i < samples; i++) {
        if (gauges) h.reset_hint = RESET_GAUGE;
        if (!add_sample(t_ms, &h)) break;
        struct histogram next;
        do {
            bool strange = rng_below(rng, strange_one_in) == 0;
            next = strange ? random_next_histogram(rng, &g.arena, &h)
                           : random_grown(rng, &g.arena, &h);
        } while (histogram_check(&next, NULL));
        if (h.sum_bits == STALE_NAN_BITS) next = valid_histogram(rng, kind);
        h = next;
        t_ms += rng_below(rng, 100) == 0 ? (int64_t)rng_below(rng, 4000000) + 1 : STEP_MS;
    }
    cut_to_one_layout();
}

UNIT_TEST(test_rollups_of_histograms_come_back)
{
    for (uint64_t seed = 0; seed < 800; seed++) {
        struct rng rng = {seed};
        rig_open();
        add_random_series(&rng);
        if (g.count > 0) check_comes_back();
        rig_close();
    }
}

/* Adds a counter without anything strange. */
static void
add_counter(struct rng *rng, uint32_t samples)
{
    struct histogram h = valid_histogram(rng, SAMPLE_HISTOGRAM_INT);
    h.zero_threshold_bits = 0; /* no bucket is within the zero bucket */
    for (uint32_t i = 1; i <= samples; i++) {
        h.sum_bits = double_bits((double)i);
        assert_true(add_sample((int64_t)i * STEP_MS, &h));
        h = random_grown(rng, &g.arena, &h);
    }
}

UNIT_TEST(test_a_counter_has_no_single_histograms)
{
    struct rng rng = {5};
    rig_open();
    add_counter(&rng, 2000);
    check_comes_back();
    struct buf plain;
    buf_init(&plain, NULL, 8 << 20);
    codec_histogram_encode(g.scratch, g.rows, g.row_count, &plain);
    assert_true(g.out.size < 3 * plain.size);
    buf_fini(&plain);
    rig_close();
}

/* Adds histograms that grow, and begin again every so often; kept says what is expected. */
static void
check_restarts(enum sample_kind kind, uint32_t each, bool gauges, bool kept)
{
    struct rng rng = {5};
    rig_open();
    struct histogram begin = valid_histogram(&rng, kind), h = begin;
    for (uint32_t i = 0; i < 1000; i++) {
        if (i % each == 0) h = begin;
        h.sum_bits = double_bits((double)i);
        if (gauges) h.reset_hint = RESET_GAUGE;
        assert_true(add_sample((int64_t)i * STEP_MS, &h));
        h = random_grown(&rng, &g.arena, &h);
    }
    check_comes_back();
    uint32_t lost = 0, had = 0;
    for (uint32_t i = 0; i < g.count; i++) {
        had += g.rollups[i].correction != NULL;
        lost += g.back[i].correction_lost;
    }
    assert_true(had > 0);
    assert_int_equal(lost, kept ? 0 : had);
    rig_close();
}

UNIT_TEST(test_corrections_of_histograms_are_kept_unless_they_are_gauges)
{
    static const uint32_t restart_each[] = {500, 60, 20, 11, 5};
    for (unsigned kind = SAMPLE_HISTOGRAM_INT; kind <= SAMPLE_HISTOGRAM_FLOAT; kind++) {
        for (unsigned i = 0; i < sizeof restart_each / sizeof *restart_each; i++) {
            check_restarts((enum sample_kind)kind, restart_each[i], false, true);
            check_restarts((enum sample_kind)kind, restart_each[i], true, false);
        }
        check_restarts((enum sample_kind)kind, 2, false, false); /* half of the changes */
    }
}

UNIT_TEST(test_a_correction_of_histograms_that_was_lost_stays_lost)
{
    struct rng rng = {5};
    rig_open();
    struct histogram begin = valid_histogram(&rng, SAMPLE_HISTOGRAM_INT), h = begin;
    for (uint32_t i = 0; i < 1000; i++) {
        if (i % 11 == 0) h = begin;
        assert_true(add_sample((int64_t)i * STEP_MS, &h));
        h = random_grown(&rng, &g.arena, &h);
    }
    for (uint32_t i = 0; i < g.count; i += 2) {
        g.rollups[i].correction_lost |= g.rollups[i].correction != NULL;
        g.rollups[i].correction = NULL;
    }
    check_comes_back();
    rig_close();
}

UNIT_TEST(test_markers_of_histograms_alone_take_no_byte)
{
    rig_open();
    struct histogram marker = stale_histogram(SAMPLE_HISTOGRAM_INT);
    assert_true(add_sample(1000, &marker));
    check_comes_back();
    assert_int_equal(g.first_times.size, 0);
    assert_int_equal(g.out.size, 0);
    rig_close();
}

UNIT_TEST(test_truncated_rollups_of_histograms_are_refused)
{
    struct rng rng = {17};
    rig_open();
    add_random_series(&rng);
    encode();
    assert_true(g.out.size > 100);
    for (size_t size = 0; size < g.out.size; size++) {
        uint32_t count;
        uint8_t *copy = malloc(size + CODEC_SLACK);
        assert_non_null(copy);
        memcpy(copy, g.out.at, size + CODEC_SLACK);
        enum err e = decode_in(&g.arena, buf_bytes(&g.first_times), bytes_of(copy, size), &count);
        assert_int_equal(e, ERR_CORRUPT);
        free(copy);
    }
    rig_close();
}

static void
check_changed_bits(struct buf *changed)
{
    for (size_t bit = 0; bit < 8 * changed->size; bit++) {
        struct arena own;
        uint32_t count = 0;
        arena_init(&own, NULL, 8 << 20, 1 << 20);
        changed->at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum err e = decode_in(&own, buf_bytes(&g.first_times), buf_bytes(&g.out), &count);
        assert_true(e == OK || e == ERR_CORRUPT || e == ERR_LIMIT);
        for (uint32_t i = 0; i < count && e == OK; i++) {
            assert_true(histogram_rollup_is_valid(&g.back[i]));
            if (i > 0) assert_int_equal(histogram_rollup_join(&own, &g.back[0], &g.back[i]), OK);
        }
        changed->at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        arena_fini(&own);
    }
}

UNIT_TEST(test_changed_bits_never_yield_invalid_histogram_rollups)
{
    struct rng rng = {17};
    rig_open();
    add_random_series(&rng);
    encode();
    check_changed_bits(&g.first_times);
    check_changed_bits(&g.out);
    rig_close();
}

UNIT_TEST(test_rows_of_two_layouts_are_refused)
{
    struct rng rng = {5};
    rig_open();
    add_counter(&rng, 60);
    encode();
    uint32_t count;
    assert_int_equal(decode(&count), OK);
    g.rows[1].schema++;
    assert_int_equal(decode(&count), ERR_CORRUPT);
    rig_close();
}

UNIT_TEST(test_without_memory_no_rollup_is_encoded)
{
    struct rng rng = {5};
    struct arena small;
    rig_open();
    arena_init(&small, NULL, 256, 128);
    add_counter(&rng, 60);
    assert_int_equal(codec_histogram_rollups_encode_times(g.scratch, &small, g.rollups, g.count,
                                                          RESOLUTION_MS, &g.first_times),
                     ERR_NOMEM);
    assert_int_equal(codec_histogram_rollups_encode(g.scratch, &small, g.rollups, g.count, &g.out),
                     ERR_NOMEM);
    assert_int_equal(g.first_times.size, 0);
    assert_int_equal(g.out.size, 0);
    arena_fini(&small);
    rig_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rollups_of_histograms_come_back),
        cmocka_unit_test(test_a_counter_has_no_single_histograms),
        cmocka_unit_test(test_corrections_of_histograms_are_kept_unless_they_are_gauges),
        cmocka_unit_test(test_a_correction_of_histograms_that_was_lost_stays_lost),
        cmocka_unit_test(test_markers_of_histograms_alone_take_no_byte),
        cmocka_unit_test(test_truncated_rollups_of_histograms_are_refused),
        cmocka_unit_test(test_changed_bits_never_yield_invalid_histogram_rollups),
        cmocka_unit_test(test_rows_of_two_layouts_are_refused),
        cmocka_unit_test(test_without_memory_no_rollup_is_encoded),
    };
    return cmocka_run_group_tests_name("tsdb/codec/histogram_rollups", tests, NULL, NULL);
}
