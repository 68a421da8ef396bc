/* stale_test.c - the statistics of a part about staleness markers in blocks of histograms, and
 * their absence. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "sys/sim.h"
#include "tsdb/part/part.h"

enum { ROWS = 20000, BLOCKS_MAX = 6 };

static struct sim_env *sim;
static struct env *env;
static struct page_cache *cache;

/* The counts of samples and of markers in each block; blocks of floats are not asked for. */
static struct written_row {
    uint32_t block_count;
    struct {
        bool is_float;
        bool is_unknown;
        uint32_t count;
        uint32_t markers;
    } blocks[BLOCKS_MAX];
} written[ROWS];

static int
setup(void **state)
{
    (void)state;
    assert_int_equal(sim_env_new(1, &sim), OK);
    env = sim_env_env(sim);
    assert_int_equal(env_mkdir(env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 8 << 20, &cache), OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    page_cache_free(cache);
    sim_env_free(sim);
    return 0;
}

static struct part_writer *
begin_part(uint64_t number)
{
    struct part_writer *w;
    assert_int_equal(part_writer_new(env, NULL, "/parts", number, 1, 2, &w, NULL), OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("a"), NULL), OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        char value[32];
        snprintf(value, sizeof value, "%09u", i);
        struct label label = {bytes_of_text("id"), bytes_of_text(value)};
        assert_int_equal(part_write_pair(w, label, NULL), OK);
    }
    return w;
}

static struct part *
finish_part(struct part_writer *w, uint64_t number)
{
    struct part *part;
    struct part_info info;
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(part_open(env, NULL, cache, "/parts", number, &part, NULL), OK);
    return part;
}

/* Writes blocks of a row that alternate between kinds, so that each run of samples is a block. */
static void
write_row(struct part_writer *w, uint32_t row)
{
    struct written_row *t = &written[row];
    t->block_count = row % 5 == 0 ? BLOCKS_MAX : row % 3;
    for (uint32_t i = 0; i < t->block_count; i++) {
        struct histogram histograms[4];
        int64_t times[4];
        uint64_t bits[4] = {0};
        uint32_t count = 1 + (row + i) % 4;
        struct sample_batch batch = {.kind = (enum sample_kind)((row + i) % 3), .count = count};
        t->blocks[i].is_float = batch.kind == SAMPLE_FLOAT;
        t->blocks[i].count = count;
        t->blocks[i].markers = 0;
        for (uint32_t k = 0; k < count; k++) {
            bool marker = (row * 7 + i + k) % 11 < 2;
            histograms[k] =
                (struct histogram){.kind = batch.kind, .sum_bits = marker ? STALE_NAN_BITS : k};
            times[k] = i * 10 + k;
            t->blocks[i].markers += marker && !t->blocks[i].is_float;
        }
        batch.times_ms = times;
        batch.value_bits = bits;
        batch.histograms = histograms;
        assert_int_equal(part_write_samples(w, &batch, NULL), OK);
    }
}

static struct row_reader *
read_part(struct part *part, struct part_index *index, bool wants_stale)
{
    struct row_reader *rows;
    *index = (struct part_index){.part = part, .tenant = part_tenant(part, bytes_of_text("a"))};
    assert_int_equal(row_reader_new(index, NULL, &rows), OK);
    if (wants_stale) row_reader_want_stale(rows);
    return rows;
}

static void
check_row(struct row_reader *rows, uint32_t row, bool is_known)
{
    const struct block_ref *blocks;
    const struct written_row *t = &written[row];
    uint32_t count;
    assert_int_equal(row_read(rows, row, NULL, &blocks, &count, NULL), OK);
    assert_int_equal(count, t->block_count);
    for (uint32_t i = 0; i < count; i++) {
        if (t->blocks[i].is_float) continue;
        assert_int_equal(blocks[i].count, t->blocks[i].count);
        assert_int_equal(blocks[i].has_stats, is_known && !t->blocks[i].is_unknown);
        if (!blocks[i].has_stats) continue;
        assert_int_equal(blocks[i].stats.number_count, blocks[i].count - t->blocks[i].markers);
    }
}

/* Copies all blocks as they are stored, some of them without their statistics. */
static struct part *
copy_part(struct part *part, uint64_t number, uint32_t unknown_of)
{
    struct part_index index;
    struct row_reader *rows = read_part(part, &index, true);
    struct part_writer *w = begin_part(number);
    for (uint32_t row = 0; row < ROWS; row++) {
        const struct block_ref *blocks;
        uint32_t count;
        assert_int_equal(part_write_series(w, &row, 1, NULL), OK);
        assert_int_equal(row_read(rows, row, NULL, &blocks, &count, NULL), OK);
        for (uint32_t i = 0; i < count; i++) {
            struct block_ref block = blocks[i];
            struct block_bytes bytes;
            written[row].blocks[i].is_unknown = (row + i) % unknown_of == 0;
            if (written[row].blocks[i].is_unknown && !written[row].blocks[i].is_float)
                block.has_stats = false;
            assert_int_equal(block_hold(part, &block, &bytes, NULL), OK);
            assert_int_equal(part_write_block(w, &block, &bytes, NULL), OK);
            block_release(part, &bytes);
        }
    }
    row_reader_free(rows);
    return finish_part(w, number);
}

UNIT_TEST(test_parts_count_stale_histograms_in_copied_blocks_as_well)
{
    struct part_index index;
    struct part_writer *w = begin_part(1);
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_int_equal(part_write_series(w, &row, 1, NULL), OK);
        write_row(w, row);
    }
    struct part *first = finish_part(w, 1);
    struct row_reader *rows = read_part(first, &index, true);
    for (uint32_t row = 0; row < ROWS; row++)
        check_row(rows, row, true);
    for (uint32_t i = 0; i < ROWS; i++)
        check_row(rows, (i * 7919) % ROWS, true);
    row_reader_free(rows);
    rows = read_part(first, &index, false);
    check_row(rows, 1, false);
    row_reader_free(rows);

    struct part *second = copy_part(first, 2, 3);
    rows = read_part(second, &index, true);
    for (uint32_t row = 0; row < ROWS; row++)
        check_row(rows, row, true);
    row_reader_free(rows);
    part_unref(first);
    part_unref(second);
}

/* Flips a byte of the payload of the first page of a kind. */
static void
damage_first_page(uint64_t number, enum page_kind kind)
{
    char path[64];
    uint64_t offset = 64;
    uint8_t bytes[17];
    struct file file;
    snprintf(path, sizeof path, "/parts/%016x/part", (unsigned)number);
    assert_int_equal(file_open(env, path, FILE_UPDATE, &file, NULL), OK);
    for (;;) {
        assert_int_equal(file_read_at(&file, bytes, sizeof bytes, offset, NULL), OK);
        if (load_le32(bytes) >> 28 == (unsigned)kind) break;
        offset += 16 + (load_le32(bytes) & 0x0fffffff);
    }
    bytes[16] ^= 1;
    assert_int_equal(file_write_at(&file, bytes_of(bytes, sizeof bytes), offset, NULL), OK);
    file_close(&file);
}

UNIT_TEST(test_damage_to_the_stale_markers_leaves_the_samples_readable)
{
    struct part_index index;
    struct part_writer *w = begin_part(1);
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_int_equal(part_write_series(w, &row, 1, NULL), OK);
        write_row(w, row);
    }
    part_unref(finish_part(w, 1));
    /* The first pages of this kind are those of the list of stale markers. */
    damage_first_page(1, PAGE_DIRECTORY);
    struct part *part;
    assert_int_equal(part_open(env, NULL, cache, "/parts", 1, &part, NULL), OK);
    struct row_reader *rows = read_part(part, &index, true);
    unsigned unknown = 0, known = 0, wrong = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        const struct block_ref *blocks;
        uint32_t count;
        assert_int_equal(row_read(rows, row, NULL, &blocks, &count, NULL), OK);
        assert_int_equal(count, written[row].block_count);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t numbers = written[row].blocks[i].count - written[row].blocks[i].markers;
            if (written[row].blocks[i].is_float) continue;
            unknown += !blocks[i].has_stats;
            known += blocks[i].has_stats;
            wrong += blocks[i].has_stats && blocks[i].stats.number_count != numbers;
        }
    }
    print_message("%u blocks known, %u not\n", known, unknown);
    assert_true(known > 0 && unknown > 0);
    assert_int_equal(wrong, 0);
    row_reader_free(rows);
    part_unref(part);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parts_count_stale_histograms_in_copied_blocks_as_well,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_damage_to_the_stale_markers_leaves_the_samples_readable, setup, teardown),
    };
    return cmocka_run_group_tests_name("tsdb/part/stale", tests, NULL, NULL);
}
