/* levels_test.c - what is read where a series has rollups and samples of the same time. */
#include "lib/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sys/sim.h"
#include "tsdb/part/part.h"
#include "tsdb/read/interleave.h"

enum { MINUTE_MS = 60 * 1000, FINE_MS = 5 * MINUTE_MS, COARSE_MS = 60 * MINUTE_MS, BLOCKS_MAX = 8 };

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct page_cache *cache;
    struct part *parts[BLOCKS_MAX];
    struct arena arena;
    uint32_t part_count;
    struct query_control control;
    struct interleave interleave;
};

static void
rig_open(struct rig *g)
{
    *g = (struct rig){.part_count = 0};
    assert_int_equal(sim_env_new(1, &g->sim), OK);
    g->env = sim_env_env(g->sim);
    assert_int_equal(env_mkdir(g->env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 1 << 20, &g->cache), OK);
    arena_init(&g->arena, NULL, 0, 0);
    g->control.env = g->env;
    interleave_init(&g->interleave, NULL, &g->control);
    interleave_reset(&g->interleave, INT64_MIN, INT64_MAX, false);
}

static void
rig_close(struct rig *g)
{
    interleave_fini(&g->interleave);
    for (uint32_t i = 0; i < g->part_count; i++)
        part_unref(g->parts[i]);
    arena_fini(&g->arena);
    page_cache_free(g->cache);
    sim_env_free(g->sim);
}

/* Adds a block to the series: the values 0, 1, ... from a minute on, one per minute, as samples or,
 * with a resolution, as rollups. Each is a part, which came after the ones before. */
static struct interleave_item *
add(struct rig *g, int64_t from, uint32_t count, double value, int64_t resolution_ms)
{
    static struct rollup rollups[BLOCK_ROLLUPS_MAX];
    struct part_writer *w;
    struct part_info info;
    struct part_index *index = arena_new(&g->arena, sizeof *index);
    struct row_reader *rows;
    const struct block_ref *blocks;
    uint32_t pair = 0, block_count, n = 0, number = g->part_count + 1;
    struct label label = {bytes_of_text("a"), bytes_of_text("b")};
    assert_int_equal(part_writer_new(g->env, NULL, "/parts", number, number, number + 1, &w, NULL),
                     OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    assert_int_equal(part_write_pair(w, label, NULL), OK);
    assert_int_equal(part_write_series(w, &pair, 1, NULL), OK);
    for (uint32_t i = 0; i < count; i++) {
        int64_t t_ms = (from + i) * MINUTE_MS;
        uint64_t bits = double_bits(value + i);
        struct sample_batch one = {SAMPLE_FLOAT, 1, &t_ms, &bits, NULL, NULL};
        struct rollup r = rollup_of_sample(t_ms, bits);
        if (resolution_ms == 0) {
            assert_int_equal(part_write_samples(w, &one, NULL), OK);
            continue;
        }
        bool begins = n == 0 || t_ms > rollup_window_end(rollups[n - 1].last_ms, resolution_ms);
        if (begins) rollups[n++] = (struct rollup){.count = 0};
        rollup_join(&rollups[n - 1], &r);
    }
    if (n > 0) assert_int_equal(part_write_rollups(w, rollups, n, resolution_ms, NULL), OK);
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    struct part **part = &g->parts[g->part_count++];
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", number, part, NULL), OK);
    assert_int_equal(part_index_load(*part, part_tenant_at(*part, 0), &g->arena, index, NULL), OK);
    assert_int_equal(row_reader_new(index, NULL, &rows), OK);
    assert_int_equal(row_read(rows, 0, NULL, &blocks, &block_count, NULL), OK);
    assert_int_equal(block_count, 1);
    struct block_ref *copy = arena_new(&g->arena, sizeof *copy);
    *copy = blocks[0];
    row_reader_free(rows);
    struct interleave_item *item = interleave_add(&g->interleave);
    struct time_range span = block_span(copy);
    item->type = resolution_ms > 0 ? PIECE_ROLLUPS : PIECE_BLOCK;
    item->kind = SAMPLE_FLOAT;
    item->min_ms = span.min_ms;
    item->max_ms = span.max_ms;
    item->order = number;
    item->count = copy->count;
    item->block.part = *part;
    item->block.ref = copy;
    return item;
}

/* The same for histograms of one sample each minute, whose counts are the values; the marker is a
 * minute after the last. */
static void
add_histograms(struct rig *g, int64_t from, uint32_t count, bool stale, int64_t resolution_ms)
{
    static struct histogram_rollup rollups[64];
    struct part_writer *w;
    struct part_info info;
    struct part_index *index = arena_new(&g->arena, sizeof *index);
    struct row_reader *rows;
    const struct block_ref *blocks;
    uint32_t pair = 0, block_count, n = 0, number = g->part_count + 1;
    struct label label = {bytes_of_text("a"), bytes_of_text("b")};
    assert_int_equal(part_writer_new(g->env, NULL, "/parts", number, number, number + 1, &w, NULL),
                     OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    assert_int_equal(part_write_pair(w, label, NULL), OK);
    assert_int_equal(part_write_series(w, &pair, 1, NULL), OK);
    for (uint32_t i = 0; i < count + stale; i++) {
        int64_t t_ms = (from + i) * MINUTE_MS;
        struct histogram h = {
            .kind = SAMPLE_HISTOGRAM_INT, .count = i, .zero_count = i, .sum_bits = double_bits(i)};
        struct histogram_rollup r;
        if (i == count) h = (struct histogram){.kind = h.kind, .sum_bits = STALE_NAN_BITS};
        struct sample_batch one = {.kind = h.kind, .count = 1, .times_ms = &t_ms, .histograms = &h};
        if (resolution_ms == 0) {
            assert_int_equal(part_write_samples(w, &one, NULL), OK);
            continue;
        }
        assert_int_equal(histogram_rollup_of_sample(&g->arena, t_ms, &h, &r), OK);
        bool begins = n == 0 || t_ms > rollup_window_end(rollups[n - 1].last_ms, resolution_ms);
        if (begins) rollups[n++] = (struct histogram_rollup){.count = 0};
        assert_int_equal(histogram_rollup_join(&g->arena, &rollups[n - 1], &r), OK);
    }
    assert_int_equal(part_write_histogram_rollups(w, rollups, n, resolution_ms, NULL), OK);
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    struct part **part = &g->parts[g->part_count++];
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", number, part, NULL), OK);
    assert_int_equal(part_index_load(*part, part_tenant_at(*part, 0), &g->arena, index, NULL), OK);
    assert_int_equal(row_reader_new(index, NULL, &rows), OK);
    assert_int_equal(row_read(rows, 0, NULL, &blocks, &block_count, NULL), OK);
    assert_int_equal(block_count, 1 + stale);
    struct block_ref *copies = arena_new(&g->arena, block_count * sizeof *copies);
    memcpy(copies, blocks, block_count * sizeof *copies);
    row_reader_free(rows);
    for (uint32_t i = 0; i < block_count; i++) {
        struct interleave_item *item = interleave_add(&g->interleave);
        struct time_range span = block_span(&copies[i]);
        item->type = resolution_ms > 0 ? PIECE_ROLLUPS : PIECE_BLOCK;
        item->kind = SAMPLE_HISTOGRAM_INT;
        item->min_ms = span.min_ms;
        item->max_ms = span.max_ms;
        item->order = number;
        item->count = copies[i].count;
        item->block.part = *part;
        item->block.ref = &copies[i];
    }
}

__attribute__((format(printf, 2, 3))) static void
put_text(char *text, const char *format, ...)
{
    va_list args;
    size_t size = strlen(text);
    va_start(args, format);
    vsnprintf(text + size, 4096 - size, format, args);
    va_end(args);
}

/* Expects as expect() does, with "h" after histograms, and "stale" for their markers. */
static void
expect_histograms(struct rig *g, bool rollups, const char *expected)
{
    static char text[4096];
    struct sample_batch b;
    text[0] = '\0';
    g->interleave.rollups = rollups;
    interleave_begin(&g->interleave);
    for (;;) {
        assert_int_equal(interleave_next(&g->interleave, &b, NULL), OK);
        if (b.count == 0) break;
        for (uint32_t i = 0; i < b.count; i++) {
            const struct histogram_rollup *r = &b.histogram_rollups[i];
            if (b.rollups != NULL) {
                put_text(text, "%um:%u ", (unsigned)(b.resolution_ms / MINUTE_MS),
                         b.rollups[i].count);
            } else if (b.histogram_rollups != NULL) {
                put_text(text, "%um:%u:%lldh%s ", (unsigned)(b.resolution_ms / MINUTE_MS), r->count,
                         (long long)(r->last_ms / MINUTE_MS), r->is_stale ? ":stale" : "");
            } else if (b.kind == SAMPLE_FLOAT) {
                put_text(text, "%lld=%g ", (long long)(b.times_ms[i] / MINUTE_MS),
                         bits_double(b.value_bits[i]));
            } else if (b.histograms[i].sum_bits == STALE_NAN_BITS) {
                put_text(text, "%lld=stale ", (long long)(b.times_ms[i] / MINUTE_MS));
            } else {
                put_text(text, "%lld=%uh ", (long long)(b.times_ms[i] / MINUTE_MS),
                         (unsigned)b.histograms[i].count);
            }
        }
    }
    assert_string_equal(text, expected);
}

/* Expects "5m:COUNT:LASTMINUTE " for rollups and "MINUTE=VALUE " for samples. */
static void
expect(struct rig *g, bool rollups, const char *expected)
{
    static char text[4096];
    size_t size = 0;
    struct sample_batch b;
    text[0] = '\0';
    g->interleave.rollups = rollups ? ROLLUP_WHOLE : ROLLUP_NONE;
    interleave_begin(&g->interleave);
    for (;;) {
        assert_int_equal(interleave_next(&g->interleave, &b, NULL), OK);
        if (b.count == 0) break;
        for (uint32_t i = 0; i < b.count; i++) {
            if (b.rollups == NULL) {
                size += (size_t)snprintf(text + size, sizeof text - size, "%lld=%g ",
                                         (long long)(b.times_ms[i] / MINUTE_MS),
                                         bits_double(b.value_bits[i]));
                continue;
            }
            size += (size_t)snprintf(text + size, sizeof text - size, "%lldm:%u:%lld ",
                                     (long long)(b.resolution_ms / MINUTE_MS), b.rollups[i].count,
                                     (long long)(b.rollups[i].last_ms / MINUTE_MS));
        }
    }
    assert_string_equal(text, expected);
}

UNIT_TEST(test_samples_and_levels_join_without_a_seam)
{
    struct rig g;
    rig_open(&g);
    add(&g, 1, 120, 0, COARSE_MS);
    add(&g, 121, 10, 0, FINE_MS);
    add(&g, 131, 3, 7, 0);
    expect(&g, true, "60m:60:60 60m:60:120 5m:5:125 5m:5:130 131=7 132=8 133=9 ");
    assert_int_equal(atomic_load(&g.control.thinned_to_ms), 0);
    rig_close(&g);
}

UNIT_TEST(test_plain_readers_get_last_samples_and_their_resolution)
{
    struct rig g;
    rig_open(&g);
    add(&g, 1, 60, 0, COARSE_MS);
    add(&g, 61, 10, 100, FINE_MS);
    add(&g, 71, 2, 7, 0);
    expect(&g, false, "60=59 65=104 70=109 71=7 72=8 ");
    assert_int_equal(atomic_load(&g.control.thinned_to_ms), COARSE_MS);
    rig_close(&g);
}

UNIT_TEST(test_last_samples_outside_of_the_range_are_not_given)
{
    struct rig g;
    rig_open(&g);
    interleave_reset(&g.interleave, 7 * MINUTE_MS, 12 * MINUTE_MS, false);
    add(&g, 1, 20, 0, FINE_MS);
    expect(&g, false, "10=9 ");
    rig_close(&g);
}

UNIT_TEST(test_windows_that_overlap_the_range_are_whole)
{
    struct rig g;
    rig_open(&g);
    interleave_reset(&g.interleave, 7 * MINUTE_MS, 12 * MINUTE_MS, false);
    add(&g, 1, 20, 0, FINE_MS);
    expect(&g, true, "5m:5:10 5m:5:15 ");
    rig_close(&g);
}

UNIT_TEST(test_samples_between_those_of_a_window_lose)
{
    struct rig g;
    rig_open(&g);
    add(&g, 2, 1, 50, 0);
    add(&g, 1, 5, 0, FINE_MS);
    add(&g, 3, 1, 60, 0);
    expect(&g, true, "5m:5:5 ");
    assert_int_equal(g.interleave.by_window_count[LEDGER_FLOAT], 2);
    assert_int_equal(g.interleave.superseded_count[LEDGER_FLOAT], 0);
    assert_int_equal(g.interleave.joined_count[LEDGER_FLOAT], 0);
    rig_close(&g);
}

UNIT_TEST(test_samples_before_and_after_those_of_a_window_are_joined)
{
    struct rig g;
    rig_open(&g);
    add(&g, 2, 2, 0, FINE_MS);
    add(&g, 1, 1, 50, 0);
    add(&g, 4, 3, 60, 0);
    expect(&g, true, "5m:5:5 6=62 ");
    assert_int_equal(g.interleave.by_window_count[LEDGER_FLOAT], 0);
    assert_int_equal(g.interleave.joined_count[LEDGER_FLOAT], 3);
    rig_close(&g);
}

UNIT_TEST(test_windows_before_a_joined_one_are_shown_alone)
{
    struct rig g;
    rig_open(&g);
    add(&g, 1, 14, 0, FINE_MS);
    add(&g, 15, 1, 50, 0);
    expect(&g, true, "5m:5:5 5m:5:10 5m:5:15 ");
    assert_int_equal(g.interleave.joined_count[LEDGER_FLOAT], 1);
    interleave_reset(&g.interleave, INT64_MIN, INT64_MAX, false);
    add(&g, 1, 13, 60, FINE_MS);
    add(&g, 14, 7, 90, FINE_MS);
    expect(&g, true, "5m:5:5 5m:5:10 5m:5:15 5m:5:20 ");
    rig_close(&g);
}

UNIT_TEST(test_a_coarse_window_wins_over_fine_ones)
{
    struct rig g;
    rig_open(&g);
    add(&g, 1, 60, 0, FINE_MS);
    add(&g, 1, 60, 0, COARSE_MS);
    expect(&g, true, "60m:60:60 ");
    rig_close(&g);
}

UNIT_TEST(test_halves_of_a_window_are_joined)
{
    struct rig g;
    rig_open(&g);
    add(&g, 1, 30, 0, COARSE_MS);
    add(&g, 31, 30, 0, COARSE_MS);
    add(&g, 61, 3, 0, FINE_MS);
    add(&g, 64, 2, 0, FINE_MS);
    expect(&g, true, "60m:60:60 5m:5:65 ");
    rig_close(&g);
}

UNIT_TEST(test_of_equal_windows_the_earliest_arrival_wins)
{
    struct rig g;
    rig_open(&g);
    add(&g, 1, 5, 10, FINE_MS);
    add(&g, 2, 3, 20, FINE_MS);
    expect(&g, false, "5=14 ");
    rig_close(&g);
}

UNIT_TEST(test_a_window_that_is_deleted_in_part_is_hidden)
{
    struct rig g;
    const struct time_range hidden = {7 * MINUTE_MS, 8 * MINUTE_MS};
    rig_open(&g);
    struct interleave_item *item = add(&g, 1, 15, 0, FINE_MS);
    item->hidden = &hidden;
    item->hidden_count = 1;
    expect(&g, true, "5m:5:5 5m:5:15 ");
    assert_int_equal(g.interleave.deleted_count[LEDGER_FLOAT], 0);
    rig_close(&g);
}

UNIT_TEST(test_windows_of_histograms_are_shown_with_their_markers)
{
    struct rig g;
    rig_open(&g);
    add_histograms(&g, 1, 7, true, FINE_MS);
    add_histograms(&g, 11, 2, false, 0);
    expect_histograms(&g, true, "5m:5:5h 5m:2:7h:stale 11=0h 12=1h ");
    assert_int_equal(atomic_load(&g.control.thinned_to_ms), 0);
    rig_close(&g);
}

UNIT_TEST(test_plain_readers_get_last_histograms_of_windows)
{
    struct rig g;
    rig_open(&g);
    add_histograms(&g, 1, 7, true, FINE_MS);
    add_histograms(&g, 11, 2, false, 0);
    expect_histograms(&g, false, "5=4h 7=6h 8=stale 11=0h 12=1h ");
    assert_int_equal(atomic_load(&g.control.thinned_to_ms), FINE_MS);
    rig_close(&g);
}

UNIT_TEST(test_histograms_join_windows_of_histograms_not_of_floats)
{
    struct rig g;
    rig_open(&g);
    add(&g, 1, 3, 0, FINE_MS);
    add_histograms(&g, 4, 3, false, 0);
    add_histograms(&g, 11, 2, false, FINE_MS);
    add(&g, 13, 1, 7, 0);
    add_histograms(&g, 14, 2, false, 0);
    expect_histograms(&g, true, "5m:3 6=2h 5m:4:15h ");
    assert_int_equal(g.interleave.joined_count[LEDGER_HISTOGRAM], 2);
    assert_int_equal(g.interleave.missed_count[LEDGER_HISTOGRAM], 2);
    assert_int_equal(g.interleave.missed_count[LEDGER_FLOAT], 1);
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_and_levels_join_without_a_seam),
        cmocka_unit_test(test_plain_readers_get_last_samples_and_their_resolution),
        cmocka_unit_test(test_last_samples_outside_of_the_range_are_not_given),
        cmocka_unit_test(test_windows_that_overlap_the_range_are_whole),
        cmocka_unit_test(test_samples_between_those_of_a_window_lose),
        cmocka_unit_test(test_samples_before_and_after_those_of_a_window_are_joined),
        cmocka_unit_test(test_windows_before_a_joined_one_are_shown_alone),
        cmocka_unit_test(test_a_coarse_window_wins_over_fine_ones),
        cmocka_unit_test(test_halves_of_a_window_are_joined),
        cmocka_unit_test(test_of_equal_windows_the_earliest_arrival_wins),
        cmocka_unit_test(test_a_window_that_is_deleted_in_part_is_hidden),
        cmocka_unit_test(test_windows_of_histograms_are_shown_with_their_markers),
        cmocka_unit_test(test_plain_readers_get_last_histograms_of_windows),
        cmocka_unit_test(test_histograms_join_windows_of_histograms_not_of_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
