/* write_test.c - parts with many series, written with little memory. */
#include "lib/test.h"

#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "tsdb/part/part.h"

enum { PARITIES = 3, HOSTS = 100, LABELS = 4, WIDE_PAIRS = 70, WIDE_ROWS = 300 };

struct bench {
    struct sim_env *sim;
    struct fault_env *fault;
    struct env *env;
    struct budget budget;
    struct page_cache *cache;
};

static void
bench_init(struct bench *b)
{
    *b = (struct bench){0};
    assert_int_equal(sim_env_new(1, &b->sim), OK);
    assert_int_equal(fault_env_new(sim_env_env(b->sim), &b->fault), OK);
    b->env = fault_env_env(b->fault);
    assert_int_equal(env_mkdir(b->env, "/parts", NULL), OK);
    budget_init(&b->budget, "parts", 0, NULL);
    assert_int_equal(page_cache_new(NULL, 8 << 20, &b->cache), OK);
}

static void
bench_fini(struct bench *b)
{
    assert_int_equal(budget_used(&b->budget), 0);
    page_cache_free(b->cache);
    fault_env_free(b->fault);
    sim_env_free(b->sim);
}

static void
put_pairs(struct part_writer *w, const char *name, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char value[32];
        snprintf(value, sizeof value, "value-%09u", i);
        struct label label = {bytes_of_text(name), bytes_of_text(value)};
        assert_int_equal(part_write_pair(w, label, NULL), OK);
    }
}

/* Returns the host of a series: neighbours have different ones, without an order. */
static uint32_t
host_of(uint32_t row)
{
    return (uint32_t)(hash_mix(1, row) % HOSTS);
}

static uint32_t
third_of(uint32_t row)
{
    return (uint32_t)(hash_mix(2, row) % PARITIES);
}

/*
 * Writes series of one name, each with its own id, a host, and one of three values, which makes
 * lists with more runs than the least memory holds. Some have no host, so columns move.
 */
static void
write_many(struct part_writer *w, uint32_t rows)
{
    put_pairs(w, "__name__", 1);
    put_pairs(w, "a_id", rows);
    put_pairs(w, "b_host", HOSTS);
    put_pairs(w, "c_third", PARITIES);
    for (uint32_t row = 0; row < rows; row++) {
        uint32_t pairs[LABELS] = {0, 1 + row}, count = 2;
        if (row % 1000 != 0) pairs[count++] = 1 + rows + host_of(row);
        pairs[count++] = 1 + rows + HOSTS + third_of(row);
        assert_int_equal(part_write_series(w, pairs, count, NULL), OK);
    }
}

/* Writes series with more labels than a mask has bits, some of which change. */
static void
write_wide(struct part_writer *w)
{
    for (uint32_t i = 0; i < WIDE_PAIRS; i++) {
        char name[32];
        snprintf(name, sizeof name, "label_%03u", i);
        put_pairs(w, name, WIDE_ROWS);
    }
    for (uint32_t row = 0; row < WIDE_ROWS; row++) {
        uint32_t pairs[WIDE_PAIRS];
        for (uint32_t i = 0; i < WIDE_PAIRS; i++)
            pairs[i] = i * WIDE_ROWS + (i == 0 ? row : row / (1 + i % 7));
        assert_int_equal(part_write_series(w, pairs, WIDE_PAIRS - row % 20, NULL), OK);
    }
}

/* Writes two tenants; returns the budget's peak. */
static uint64_t
write_part(struct bench *b, uint64_t number, uint32_t rows, size_t memory)
{
    struct part_writer *w;
    struct part_info info;
    atomic_store(&b->budget.peak_bytes, 0);
    assert_int_equal(part_writer_new(b->env, &b->budget, "/parts", number, 1, 2, &w, NULL), OK);
    part_writer_set_memory(w, memory);
    assert_int_equal(part_write_tenant(w, bytes_of_text("a"), NULL), OK);
    write_many(w, rows);
    assert_int_equal(part_write_tenant(w, bytes_of_text("b"), NULL), OK);
    write_wide(w);
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(info.series_count, rows + WIDE_ROWS);
    return atomic_load(&b->budget.peak_bytes);
}

static struct part *
open_part(struct bench *b, uint64_t number)
{
    struct part *part;
    struct why why = {""};
    enum err e = part_open(b->env, &b->budget, b->cache, "/parts", number, &part, &why);
    if (e) fail_msg("%s", why.text);
    return part;
}

/* Returns the series with a label, from the postings. */
static roaring_bitmap_t *
match(struct part *part, const char *tenant, const char *name, const char *value)
{
    struct arena arena;
    struct part_index index;
    struct matcher *m;
    roaring_bitmap_t *set;
    arena_init(&arena, NULL, 0, 0);
    const struct part_tenant *t = part_tenant(part, bytes_of_text(tenant));
    assert_int_equal(part_index_load(part, t, &arena, &index, NULL), OK);
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text(name), bytes_of_text(value), NULL, &m, NULL), OK);
    assert_int_equal(part_match(&index, &m, 1, &set, NULL), OK);
    matcher_free(m);
    arena_fini(&arena);
    return set;
}

static void
check_many(struct part *part, uint32_t rows)
{
    for (uint32_t third = 0; third < PARITIES; third++) {
        char value[32];
        snprintf(value, sizeof value, "value-%09u", third);
        roaring_bitmap_t *set = match(part, "a", "c_third", value);
        uint64_t count = 0;
        for (uint32_t row = 0; row < rows; row++) {
            if (third_of(row) != third) continue;
            count++;
            assert_true(roaring_bitmap_contains(set, row));
        }
        assert_int_equal(roaring_bitmap_get_cardinality(set), count);
        roaring_bitmap_free(set);
    }
    for (uint32_t row = 1; row < rows; row += rows / 50) {
        char value[32];
        snprintf(value, sizeof value, "value-%09u", host_of(row));
        roaring_bitmap_t *set = match(part, "a", "b_host", value);
        assert_int_equal(roaring_bitmap_contains(set, row), row % 1000 != 0);
        roaring_bitmap_free(set);
        snprintf(value, sizeof value, "value-%09u", row);
        set = match(part, "a", "a_id", value);
        assert_int_equal(roaring_bitmap_get_cardinality(set), 1);
        assert_true(roaring_bitmap_contains(set, row));
        roaring_bitmap_free(set);
    }
    roaring_bitmap_t *all = match(part, "a", "__name__", "value-000000000");
    assert_int_equal(roaring_bitmap_get_cardinality(all), rows);
    roaring_bitmap_free(all);
}

static void
check_wide(struct part *part)
{
    uint32_t first = part_tenant(part, bytes_of_text("b"))->first_series;
    for (uint32_t i = 0; i < WIDE_PAIRS; i++) {
        char name[32];
        snprintf(name, sizeof name, "label_%03u", i);
        roaring_bitmap_t *set = match(part, "b", name, "value-000000010");
        uint64_t count = 0;
        for (uint32_t row = 0; row < WIDE_ROWS; row++) {
            bool has = i < WIDE_PAIRS - row % 20 && (i == 0 ? row : row / (1 + i % 7)) == 10;
            assert_int_equal(roaring_bitmap_contains(set, first + row), has);
            count += has;
        }
        assert_int_equal(roaring_bitmap_get_cardinality(set), count);
        roaring_bitmap_free(set);
    }
}

static uint8_t *
read_whole(struct bench *b, const char *path, uint64_t *ret_size)
{
    struct file file;
    assert_int_equal(file_open(b->env, path, FILE_READ, &file, NULL), OK);
    assert_int_equal(file_size(&file, ret_size, NULL), OK);
    uint8_t *bytes = malloc(*ret_size);
    assert_int_equal(file_read_at(&file, bytes, *ret_size, 0, NULL), OK);
    file_close(&file);
    return bytes;
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_postings_are_those_of_the_rows_in_the_least_memory)
{
    /* A third of the series has two runs in nine rows, more than 98,304: what 3/4 of 1 MiB hold. */
    enum { ROWS = 460 * 1000 };
    struct bench b;
    bench_init(&b);
    uint64_t peak = write_part(&b, 1, ROWS, 0);
    struct part *part = open_part(&b, 1);
    check_many(part, ROWS);
    check_wide(part);
    part_unref(part);
    print_message("%u series: at most %u KiB\n", ROWS, (unsigned)(peak / 1024));
    bench_fini(&b);
}

UNIT_TEST(test_memory_makes_no_difference_to_the_file)
{
    enum { ROWS = 300 * 1000 };
    struct bench b;
    uint8_t *bytes[2];
    uint64_t sizes[2];
    for (unsigned i = 0; i < 2; i++) {
        bench_init(&b);
        write_part(&b, 1, ROWS, i == 0 ? 0 : 256 << 20);
        bytes[i] = read_whole(&b, "/parts/0000000000000001/part", &sizes[i]);
        bench_fini(&b);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
}

/* The memory that grows with the number of series is less than two bytes for each. */
UNIT_TEST(test_a_writer_takes_little_more_memory_for_more_series)
{
    struct bench b;
    bench_init(&b);
    uint64_t few = write_part(&b, 1, 200 * 1000, 0), many = write_part(&b, 2, 600 * 1000, 0);
    print_message("200000 series: %u KiB, 600000: %u KiB\n", (unsigned)(few / 1024),
                  (unsigned)(many / 1024));
    assert_true(many < few + 2 * 400 * 1000);
    bench_fini(&b);
}

static int
each_name(void *context, const char *name, bool is_dir)
{
    (void)name;
    (void)is_dir;
    ++*(unsigned *)context;
    return 0;
}

UNIT_TEST(test_no_file_stays_beside_the_part)
{
    struct bench b;
    unsigned count = 0;
    bench_init(&b);
    write_part(&b, 1, 300 * 1000, 0);
    assert_int_equal(b.env->ops->listdir(b.env, "/parts/0000000000000001", each_name, &count), 0);
    assert_int_equal(count, 2); /* part, meta.json */
    bench_fini(&b);
}

/* Rows need much memory: some are written before all of them have been added. */
enum { NAMES = 60, VALUES = 200, ROWS = 5800 };

static enum err
write_noise(struct part_writer *w, struct why *why)
{
    enum err e = part_write_tenant(w, bytes_of_text("a"), why);
    for (uint32_t i = 0; i < NAMES * VALUES && e == OK; i++) {
        char name[32], value[32];
        snprintf(name, sizeof name, "label_%03u", i / VALUES);
        snprintf(value, sizeof value, "value-%03u", i % VALUES);
        struct label label = {bytes_of_text(name), bytes_of_text(value)};
        e = part_write_pair(w, label, why);
    }
    for (uint32_t row = 0; row < ROWS && e == OK; row++) {
        uint32_t pairs[NAMES];
        for (uint32_t i = 0; i < NAMES; i++) {
            uint64_t value = i == 0 ? row * VALUES / ROWS : hash_mix(row, i) % VALUES;
            pairs[i] = i * VALUES + (uint32_t)value;
        }
        e = part_write_series(w, pairs, NAMES, why);
    }
    return e;
}

/* Writes with a failure armed: it is reported, and no file is left over. */
static void
write_failing(struct bench *b, bool fired(const struct bench *b), enum err want)
{
    struct part_writer *w = NULL;
    struct part_info info;
    struct why why = {""};
    enum err e = part_writer_new(b->env, &b->budget, "/parts", 1, 1, 2, &w, &why);
    if (e == OK) part_writer_set_memory(w, 0);
    if (e == OK) e = write_noise(w, &why);
    if (e == OK) e = part_writer_finish(w, &info, &why);
    part_writer_free(w);
    assert_int_equal(budget_used(&b->budget), 0);
    if (e == OK) return;
    assert_int_equal(e, want);
    assert_true(fired(b));
    assert_string_not_equal(why.text, "");
}

static bool
device_failed(const struct bench *b)
{
    return fault_env_fired(b->fault);
}

static bool
memory_failed(const struct bench *b)
{
    (void)b;
    return mem_fail_fired();
}

UNIT_TEST(test_a_device_failure_is_reported)
{
    struct bench b;
    bench_init(&b);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        fault_env_arm(b.fault, (struct fault){FAULT_EIO, nth, false});
        write_failing(&b, device_failed, ERR_IO);
        fired = fault_env_fired(b.fault);
        fault_env_disarm(b.fault);
        assert_int_equal(env_remove_tree(b.env, "/parts/0000000000000001", NULL), OK);
    }
    bench_fini(&b);
}

UNIT_TEST(test_a_failed_allocation_is_reported)
{
    struct bench b;
    bench_init(&b);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth += 3) { /* three times as many take long */
        mem_fail_nth(nth, true);
        write_failing(&b, memory_failed, ERR_NOMEM);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(env_remove_tree(b.env, "/parts/0000000000000001", NULL), OK);
    }
    bench_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postings_are_those_of_the_rows_in_the_least_memory),
        cmocka_unit_test(test_memory_makes_no_difference_to_the_file),
        cmocka_unit_test(test_a_writer_takes_little_more_memory_for_more_series),
        cmocka_unit_test(test_no_file_stays_beside_the_part),
        cmocka_unit_test(test_a_device_failure_is_reported),
        cmocka_unit_test(test_a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
