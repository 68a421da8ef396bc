/* histogram_levels_test.c - a merge keeps rollups of histograms, and joins histograms with them. */
#include "lib/test.h"

#include "sys/sim.h"
#include "tsdb/merge/parts.h"

enum { MINUTE_MS = 60 * 1000, R_MS = 5 * MINUTE_MS, WINDOWS = 4, OUTPUT = 3 };

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct page_cache *cache;
    struct arena arena;
    struct part *parts[2];
};

static struct histogram
histogram_at(int64_t minute)
{
    uint64_t count = (uint64_t)minute;
    return (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                              .count = count,
                              .zero_count = count,
                              .sum_bits = double_bits((double)minute)};
}

static struct part_writer *
begin(struct rig *g, uint64_t number)
{
    struct part_writer *w;
    uint32_t pair = 0;
    struct label label = {bytes_of_text("a"), bytes_of_text("b")};
    assert_int_equal(part_writer_new(g->env, NULL, "/parts", number, number, number + 1, &w, NULL),
                     OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    assert_int_equal(part_write_pair(w, label, NULL), OK);
    assert_int_equal(part_write_series(w, &pair, 1, NULL), OK);
    return w;
}

static struct part *
finish(struct rig *g, struct part_writer *w, uint64_t number)
{
    struct part_info info;
    struct part *part;
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", number, &part, NULL), OK);
    return part;
}

/* Four windows, the last of which lacks its last minute. */
static void
write_rollups(struct rig *g)
{
    struct histogram_rollup rollups[WINDOWS], one;
    struct part_writer *w = begin(g, 1);
    for (int64_t minute = 1; minute < WINDOWS * 5; minute++) {
        struct histogram h = histogram_at(minute);
        struct histogram_rollup *r = &rollups[(minute - 1) / 5];
        if (minute % 5 == 1) *r = (struct histogram_rollup){.count = 0};
        assert_int_equal(histogram_rollup_of_sample(&g->arena, minute * MINUTE_MS, &h, &one), OK);
        assert_int_equal(histogram_rollup_join(&g->arena, r, &one), OK);
    }
    assert_int_equal(part_write_histogram_rollups(w, rollups, WINDOWS, R_MS, NULL), OK);
    g->parts[0] = finish(g, w, 1);
}

/* The last minute of the fourth window, and one after it. */
static void
write_samples(struct rig *g)
{
    struct part_writer *w = begin(g, 2);
    for (int64_t minute = WINDOWS * 5; minute <= WINDOWS * 5 + 1; minute++) {
        struct histogram h = histogram_at(minute);
        int64_t t_ms = minute * MINUTE_MS;
        struct sample_batch batch = {
            .kind = h.kind, .count = 1, .times_ms = &t_ms, .histograms = &h};
        assert_int_equal(part_write_samples(w, &batch, NULL), OK);
    }
    g->parts[1] = finish(g, w, 2);
}

static struct part *
merge(struct rig *g, struct part_merge_counts *ret_counts)
{
    struct part_merge_input inputs[] = {{.part = g->parts[0]}, {.part = g->parts[1]}};
    struct part_merge_options options = {
        .env = g->env,
        .parts_dir = "/parts",
        .inputs = inputs,
        .input_count = 2,
        .window = {INT64_MIN, INT64_MAX},
        .expired_before_ms = INT64_MIN,
        .number = OUTPUT,
    };
    struct part_merge *m;
    struct part_info info;
    const struct part_merge_counts *counts;
    struct part *part;
    uint32_t count, bad;
    bool done = false;
    assert_int_equal(part_merge_new(&options, &m, NULL), OK);
    while (!done)
        assert_int_equal(part_merge_step(m, 1000, &done, &bad, NULL), OK);
    assert_int_equal(part_merge_finish(m, &info, &counts, &count, NULL), OK);
    assert_int_equal(count, 1);
    *ret_counts = counts[0];
    part_merge_free(m);
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", OUTPUT, &part, NULL), OK);
    return part;
}

static void
expect_windows(struct rig *g, struct part *part)
{
    static int64_t times[16];
    static struct histogram_rollup got[16];
    struct part_index index;
    struct row_reader *rows;
    const struct block_ref *b;
    uint32_t blocks, count;
    assert_int_equal(part_index_load(part, part_tenant_at(part, 0), &g->arena, &index, NULL), OK);
    assert_int_equal(row_reader_new(&index, NULL, &rows), OK);
    assert_int_equal(row_read(rows, 0, NULL, &b, &blocks, NULL), OK);
    assert_int_equal(blocks, 2);
    assert_int_equal(b[0].resolution_ms, R_MS);
    assert_int_equal(block_read_histogram_rollups(part, &b[0], times, &g->arena, got, &count, NULL),
                     OK);
    assert_int_equal(count, WINDOWS);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(got[i].count, 5);
        assert_int_equal(got[i].last_ms, (int64_t)(i + 1) * R_MS);
        assert_int_equal(got[i].last.count, (i + 1) * 5);
    }
    assert_int_equal(b[1].resolution_ms, 0);
    assert_int_equal(b[1].count, 1);
    row_reader_free(rows);
}

UNIT_TEST(test_a_merge_keeps_rollups_of_histograms_and_joins_others)
{
    struct rig g = {.sim = NULL};
    struct part_merge_counts counts;
    assert_int_equal(sim_env_new(1, &g.sim), OK);
    g.env = sim_env_env(g.sim);
    arena_init(&g.arena, NULL, 0, 0);
    assert_int_equal(env_mkdir(g.env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 1 << 20, &g.cache), OK);
    write_rollups(&g);
    write_samples(&g);
    struct part *merged = merge(&g, &counts);
    assert_int_equal(counts.downsampled[LEDGER_HISTOGRAM], 1);
    assert_int_equal(counts.written[LEDGER_HISTOGRAM], 1);
    assert_int_equal(counts.downsampled[LEDGER_FLOAT], 0);
    assert_int_equal(part_info(merged)->rollup_rows, WINDOWS);
    expect_windows(&g, merged);
    part_unref(merged);
    part_unref(g.parts[0]);
    part_unref(g.parts[1]);
    arena_fini(&g.arena);
    page_cache_free(g.cache);
    sim_env_free(g.sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_merge_keeps_rollups_of_histograms_and_joins_others),
    };
    return cmocka_run_group_tests_name("tsdb/merge/histogram_levels", tests, NULL, NULL);
}
