/* times_test.c - decoded time columns in the cache equal those that would be decoded again. */
#include "lib/test.h"

#include <stdio.h>

#include "sys/sim.h"
#include "tsdb/part/part.h"

enum { SERIES = 600, TARGETS = 150, NUMBER = 3 };

static struct sim_env *sim;
static struct page_cache *pages;
static struct budget budget;
static struct part *part;

/* Makes series; those of a target share times. Targets have 1 to 4470 samples, more
 * than the ring. */
static void
make_part(void)
{
    static int64_t times[CODEC_SAMPLES_MAX];
    static uint64_t bits[CODEC_SAMPLES_MAX];
    struct part_writer *w;
    struct part_info info;
    assert_int_equal(sim_env_new(1, &sim), OK);
    struct env *env = sim_env_env(sim);
    assert_int_equal(env_mkdir(env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 1 << 20, &pages), OK);
    budget_init(&budget, "times", 0, NULL);
    assert_int_equal(part_writer_new(env, NULL, "/parts", NUMBER, 1, 2, &w, NULL), OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    for (uint32_t i = 0; i < SERIES; i++) {
        char text[16];
        snprintf(text, sizeof text, "v%05u", i);
        struct label label = {bytes_of_text("a"), bytes_of_text(text)};
        assert_int_equal(part_write_pair(w, label, NULL), OK);
    }
    for (uint32_t i = 0; i < SERIES; i++) {
        uint32_t target = i % TARGETS, count = 1 + 30 * target;
        for (uint32_t n = 0; n < count; n++) {
            times[n] = 1000 * target + 15 * n + (n * n % 7);
            bits[n] = n;
        }
        struct sample_batch batch = {SAMPLE_FLOAT, count, times, bits, NULL, NULL};
        assert_int_equal(part_write_series(w, &i, 1, NULL), OK);
        assert_int_equal(part_write_samples(w, &batch, NULL), OK);
    }
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(part_open(env, NULL, pages, "/parts", NUMBER, &part, NULL), OK);
}

static void
drop_part(void)
{
    part_unref(part);
    page_cache_free(pages);
    sim_env_free(sim);
    assert_int_equal(budget_used(&budget), 0);
}

static void
each_block(void (*check)(struct times_cache *cache, struct block_ref block))
{
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    struct times_cache *cache;
    arena_init(&arena, NULL, 0, 0);
    make_part();
    assert_int_equal(times_cache_new(&budget, 64 * 1024, &cache), OK);
    assert_int_equal(part_index_load(part, part_tenant_at(part, 0), &arena, &index, NULL), OK);
    assert_int_equal(row_reader_new(&index, NULL, &rows), OK);
    for (uint32_t i = 0; i < 2 * SERIES; i++) {
        const struct block_ref *blocks;
        uint32_t count, series = i < SERIES ? i : i * 7 % SERIES;
        assert_int_equal(row_read(rows, series, NULL, &blocks, &count, NULL), OK);
        assert_int_equal(count, 1);
        check(cache, blocks[0]);
    }
    row_reader_free(rows);
    times_cache_free(cache);
    arena_fini(&arena);
    drop_part();
}

static void
check_same(struct times_cache *cache, struct block_ref b)
{
    static int64_t want[CODEC_SAMPLES_MAX], got[CODEC_SAMPLES_MAX];
    assert_int_equal(block_read_times(part, &b, want, NULL), OK);
    assert_int_equal(times_cache_read(cache, part, &b, got, NULL), OK);
    assert_memory_equal(want, got, b.count * sizeof *want);
}

UNIT_TEST(test_times_from_memory_are_those_on_disk)
{
    each_block(check_same);
}

/* Checks that a row with wrong facts about a column is refused although another row had
 * right ones. */
static void
check_lies(struct times_cache *cache, struct block_ref b)
{
    static int64_t times[CODEC_SAMPLES_MAX];
    struct why why;
    assert_int_equal(times_cache_read(cache, part, &b, times, NULL), OK);
    struct block_ref lies[] = {b, b, b, b};
    lies[0].count++;
    lies[1].max_ms++;
    lies[2].min_ms--;
    lies[3].times.size--;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(times_cache_read(cache, part, &lies[i], times, &why), ERR_CORRUPT);
}

UNIT_TEST(test_a_block_that_does_not_fit_its_column_is_damage)
{
    each_block(check_lies);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_from_memory_are_those_on_disk),
        cmocka_unit_test(test_a_block_that_does_not_fit_its_column_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
