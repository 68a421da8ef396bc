/* rollups_test.c - blocks of rollups are read as they were written, as rows and as rollups, and
 * copied without being decoded. */
#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>

#include "sys/sim.h"
#include "tsdb/part/format.h"
#include "tsdb/part/part.h"

enum { NUMBER = 7, COPY = 8, MINUTE_MS = 60 * 1000, R_MS = 5 * MINUTE_MS, WINDOWS = 300 };

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct page_cache *cache;
    struct rollup rollups[WINDOWS];
    uint32_t rows;
};

/* A series that goes stale in each seventh window; the eighth of ten has only the marker. */
static void
make_rollups(struct rig *g)
{
    for (uint32_t w = 0; w < WINDOWS; w++) {
        struct rollup *r = &g->rollups[w];
        *r = (struct rollup){0};
        for (uint32_t i = 1; i <= 20; i++) {
            int64_t t_ms = (int64_t)w * R_MS + i * 15 * 1000;
            bool only_marker = w % 10 == 8;
            struct rollup one = rollup_of_sample(t_ms, double_bits((w * 20 + i) % 97));
            if (only_marker && i < 20) continue;
            if (only_marker || (w % 7 == 3 && i == 20))
                one = rollup_of_sample(t_ms, STALE_NAN_BITS);
            rollup_join(r, &one);
        }
        g->rows += (r->count > 0) + r->is_stale;
    }
}

/* Begins the first of some series, each of which has a pair of its own. */
static struct part_writer *
begin_some(struct rig *g, uint64_t number, uint32_t series)
{
    static const char *const values[] = {"b", "c", "d"};
    struct part_writer *w;
    assert_int_equal(part_writer_new(g->env, NULL, "/parts", number, 1, 2, &w, NULL), OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    for (uint32_t i = 0; i < series; i++) {
        struct label label = {bytes_of_text("a"), bytes_of_text(values[i])};
        assert_int_equal(part_write_pair(w, label, NULL), OK);
    }
    assert_int_equal(part_write_series(w, &(uint32_t){0}, 1, NULL), OK);
    return w;
}

static struct part_writer *
begin(struct rig *g, uint64_t number)
{
    return begin_some(g, number, 1);
}

static struct part *
finish(struct rig *g, struct part_writer *w, uint64_t number)
{
    struct part_info info;
    struct part *part;
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", number, &part, NULL), OK);
    assert_memory_equal(part_info(part), &info, sizeof info);
    return part;
}

static void
rig_open(struct rig *g)
{
    *g = (struct rig){.rows = 0};
    assert_int_equal(sim_env_new(1, &g->sim), OK);
    g->env = sim_env_env(g->sim);
    assert_int_equal(env_mkdir(g->env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 1 << 20, &g->cache), OK);
    make_rollups(g);
}

static void
rig_close(struct rig *g)
{
    page_cache_free(g->cache);
    sim_env_free(g->sim);
}

/* Writes samples, rollups of an hour and rollups of five minutes, in the order of time. */
static struct part *
write_all(struct rig *g)
{
    struct rollup hour = rollup_of_sample(-50 * MINUTE_MS, double_bits(3));
    int64_t early_ms = -100 * MINUTE_MS, late_ms = (int64_t)(WINDOWS + 5) * R_MS;
    uint64_t bits = double_bits(5);
    struct sample_batch early = {SAMPLE_FLOAT, 1, &early_ms, &bits, NULL, NULL};
    struct sample_batch late = {SAMPLE_FLOAT, 1, &late_ms, &bits, NULL, NULL};
    struct part_writer *w = begin(g, NUMBER);
    assert_int_equal(part_write_samples(w, &early, NULL), OK);
    assert_int_equal(part_write_rollups(w, &hour, 1, 12 * R_MS, NULL), OK);
    assert_int_equal(part_write_rollups(w, g->rollups, WINDOWS, R_MS, NULL), OK);
    assert_int_equal(part_write_samples(w, &late, NULL), OK);
    return finish(g, w, NUMBER);
}

static void
expect_rollup(const struct rollup *got, const struct rollup *want)
{
    assert_int_equal(got->count, want->count);
    assert_int_equal(got->is_stale, want->is_stale);
    if (want->is_stale) assert_int_equal(got->stale_ms, want->stale_ms);
    if (want->count == 0) return;
    assert_int_equal(got->first_ms, want->first_ms);
    assert_int_equal(got->last_ms, want->last_ms);
    assert_int_equal(got->first_bits, want->first_bits);
    assert_int_equal(got->last_bits, want->last_bits);
    assert_int_equal(got->resets, want->resets);
    assert_int_equal(got->changes, want->changes);
    assert_int_equal(double_bits(got->least), double_bits(want->least));
    assert_int_equal(double_bits(got->greatest), double_bits(want->greatest));
    assert_int_equal(double_bits(rollup_sum(got)), double_bits(rollup_sum(want)));
}

static void
read_blocks(struct part *part, const struct block_ref **ret_blocks, uint32_t count,
            struct row_reader **ret_rows, struct part_index *index, struct arena *arena)
{
    uint32_t found;
    arena_init(arena, NULL, 0, 0);
    assert_int_equal(part_index_load(part, part_tenant_at(part, 0), arena, index, NULL), OK);
    assert_int_equal(row_reader_new(index, NULL, ret_rows), OK);
    assert_int_equal(row_read(*ret_rows, 0, NULL, ret_blocks, &found, NULL), OK);
    assert_int_equal(found, count);
}

static void
expect_all(struct rig *g, struct part *part)
{
    static int64_t times[CODEC_SAMPLES_MAX];
    static uint64_t bits[CODEC_SAMPLES_MAX];
    static int64_t row_times[CODEC_SAMPLES_MAX];
    static uint64_t row_bits[CODEC_SAMPLES_MAX];
    static struct rollup got[CODEC_SAMPLES_MAX];
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    const struct block_ref *b;
    uint32_t count, n = 0;
    read_blocks(part, &b, 4, &rows, &index, &arena);
    assert_int_equal(b[0].resolution_ms, 0);
    assert_int_equal(b[1].resolution_ms, 12 * R_MS);
    assert_int_equal(b[2].resolution_ms, R_MS);
    assert_int_equal(b[3].resolution_ms, 0);
    assert_false(b[2].has_stats);
    assert_int_equal(block_read_rollups(part, &b[2], ROLLUP_WHOLE, times, bits, got, &count, NULL),
                     OK);
    assert_int_equal(count, WINDOWS);
    for (uint32_t i = 0; i < WINDOWS; i++)
        expect_rollup(&got[i], &g->rollups[i]);
    assert_int_equal(block_read(part, &b[2], row_times, row_bits, NULL, NULL, &arena, NULL), OK);
    assert_int_equal(b[2].count, g->rows);
    assert_memory_equal(row_times, times, g->rows * sizeof *times);
    assert_memory_equal(row_bits, bits, g->rows * sizeof *bits);
    for (uint32_t i = 0; i < WINDOWS; i++) {
        if (g->rollups[i].count > 0) {
            assert_int_equal(row_times[n], g->rollups[i].last_ms);
            assert_int_equal(row_bits[n++], g->rollups[i].last_bits);
        }
        if (g->rollups[i].is_stale) assert_int_equal(row_times[n++], g->rollups[i].stale_ms);
    }
    row_reader_free(rows);
    arena_fini(&arena);
}

UNIT_TEST(test_rollups_are_read_as_they_were_written)
{
    struct rig g;
    rig_open(&g);
    struct part *part = write_all(&g);
    expect_all(&g, part);
    part_unref(part);
    rig_close(&g);
}

UNIT_TEST(test_rollups_are_not_counted_as_samples)
{
    struct rig g;
    rig_open(&g);
    struct part *part = write_all(&g);
    const struct part_info *info = part_info(part);
    assert_int_equal(info->sample_count[LEDGER_FLOAT], 2);
    assert_int_equal(info->rollup_rows, g.rows + 1);
    assert_int_equal(info->histogram_rollup_rows, 0);
    assert_int_equal(part_tenant_at(part, 0)->rollup_rows, g.rows + 1);
    assert_int_equal(info->resolution_max_ms, 12 * R_MS);
    part_unref(part);
    rig_close(&g);
}

UNIT_TEST(test_a_part_knows_rows_bytes_and_times_of_each_resolution)
{
    struct rig g;
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    const struct block_ref *b;
    rig_open(&g);
    struct part *part = write_all(&g);
    const struct part_info *info = part_info(part);
    read_blocks(part, &b, 4, &rows, &index, &arena);
    assert_int_equal(info->resolution_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct rollup_facts *r = &info->resolutions[i];
        const struct block_ref *block = &b[1 + i];
        assert_int_equal(r->resolution_ms, block->resolution_ms);
        assert_int_equal(r->rows, block->count);
        assert_int_equal(r->bytes, block_bytes_stored(block));
        assert_int_equal(r->time.min_ms, block_span(block).min_ms);
        assert_int_equal(r->time.max_ms, block_span(block).max_ms);
    }
    row_reader_free(rows);
    arena_fini(&arena);
    part_unref(part);
    rig_close(&g);
}

UNIT_TEST(test_blocks_of_rollups_are_copied_as_they_are)
{
    struct rig g;
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    const struct block_ref *b;
    rig_open(&g);
    struct part *part = write_all(&g);
    struct part_writer *w = begin(&g, COPY);
    read_blocks(part, &b, 4, &rows, &index, &arena);
    for (uint32_t i = 0; i < 4; i++) {
        struct block_bytes bytes;
        assert_int_equal(block_hold(part, &b[i], &bytes, NULL), OK);
        assert_int_equal(part_write_block(w, &b[i], &bytes, NULL), OK);
        block_release(part, &bytes);
    }
    struct part *copy = finish(&g, w, COPY);
    expect_all(&g, copy);
    assert_memory_equal(part_info(copy)->resolutions, part_info(part)->resolutions,
                        sizeof part_info(part)->resolutions);
    row_reader_free(rows);
    arena_fini(&arena);
    part_unref(copy);
    part_unref(part);
    rig_close(&g);
}

/* The versions in header and footer. */
static void
expect_version(struct rig *g, struct part *part, unsigned version, unsigned min_reader)
{
    char path[64];
    uint8_t end[PART_END_BYTES];
    struct file file;
    snprintf(path, sizeof path, "/parts/%016" PRIx64 "/part", part_info(part)->number);
    assert_int_equal(file_open(g->env, path, FILE_READ, &file, NULL), OK);
    uint64_t at = part_info(part)->file_bytes - sizeof end;
    assert_int_equal(file_read_at(&file, end, sizeof end, at, NULL), OK);
    file_close(&file);
    assert_int_equal(load_le16(end + 8), version);
    assert_int_equal(load_le16(end + 10), min_reader);
}

UNIT_TEST(test_only_a_part_with_rollups_needs_a_newer_reader)
{
    struct rig g;
    int64_t t_ms = 1;
    uint64_t bits = 1;
    struct sample_batch batch = {SAMPLE_FLOAT, 1, &t_ms, &bits, NULL, NULL};
    rig_open(&g);
    struct part *part = write_all(&g);
    struct part_writer *w = begin(&g, COPY);
    assert_int_equal(part_write_samples(w, &batch, NULL), OK);
    struct part *plain = finish(&g, w, COPY);
    expect_version(&g, part, 3, 3);
    expect_version(&g, plain, 2, 1);
    part_unref(plain);
    part_unref(part);
    rig_close(&g);
}

/* Writes a series of three windows, whose first samples are later by some time. */
static void
write_later(struct part_writer *w, uint32_t series, int64_t later_ms)
{
    struct rollup rollups[3];
    for (uint32_t i = 0; i < 3; i++) {
        int64_t begin_ms = (int64_t)i * R_MS;
        struct rollup last = rollup_of_sample(begin_ms + R_MS, double_bits(series + i));
        rollups[i] = rollup_of_sample(begin_ms + MINUTE_MS + later_ms, double_bits(series));
        rollup_join(&rollups[i], &last);
    }
    if (series > 0) assert_int_equal(part_write_series(w, &series, 1, NULL), OK);
    assert_int_equal(part_write_rollups(w, rollups, 3, R_MS, NULL), OK);
}

UNIT_TEST(test_rollups_share_a_column_if_first_and_last_times_are_equal)
{
    struct rig g;
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    const struct block_ref *b;
    struct page_place places[3];
    rig_open(&g);
    struct part_writer *w = begin_some(&g, NUMBER, 3);
    write_later(w, 0, 0);
    write_later(w, 1, 0);
    write_later(w, 2, 1);
    struct part *part = finish(&g, w, NUMBER);
    read_blocks(part, &b, 1, &rows, &index, &arena);
    places[0] = b->times;
    for (uint32_t i = 1; i < 3; i++) {
        uint32_t found;
        assert_int_equal(row_read(rows, i, NULL, &b, &found, NULL), OK);
        places[i] = b->times;
    }
    assert_memory_equal(&places[0], &places[1], sizeof places[0]);
    assert_memory_not_equal(&places[0], &places[2], sizeof places[0]);
    row_reader_free(rows);
    arena_fini(&arena);
    part_unref(part);
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rollups_are_read_as_they_were_written),
        cmocka_unit_test(test_rollups_are_not_counted_as_samples),
        cmocka_unit_test(test_a_part_knows_rows_bytes_and_times_of_each_resolution),
        cmocka_unit_test(test_blocks_of_rollups_are_copied_as_they_are),
        cmocka_unit_test(test_rollups_share_a_column_if_first_and_last_times_are_equal),
        cmocka_unit_test(test_only_a_part_with_rollups_needs_a_newer_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
