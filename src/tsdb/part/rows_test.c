/* rows_test.c - rows are read one at a time, in any order and only in part, and by the batch. */
#include "base/hash/hash.h"

#include <roaring/roaring.h>

#include "lib/test.h"
#include "lib/tsdb/random_part.h"
#include "model/labels.h"
#include "sys/sim.h"
#include "tsdb/part/walk.h"

enum { NUMBER = 3, WHOLE_CACHE = 8 << 20 };

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct budget budget;
    struct page_cache *cache;
    struct part *part;
    struct arena arena;
    struct part_index index; /* index of the current tenant */
};

static void
rig_open(struct rig *g, uint64_t cache_bytes)
{
    assert_int_equal(sim_env_new(1, &g->sim), OK);
    g->env = sim_env_env(g->sim);
    assert_int_equal(env_mkdir(g->env, "/parts", NULL), OK);
    budget_init(&g->budget, "rows", 0, NULL);
    assert_int_equal(page_cache_new(NULL, cache_bytes, &g->cache), OK);
    arena_init(&g->arena, NULL, 0, 0);
    g->part = NULL;
}

static void
rig_close(struct rig *g)
{
    part_unref(g->part);
    arena_fini(&g->arena);
    page_cache_free(g->cache);
    assert_int_equal(budget_used(&g->budget), 0);
    sim_env_free(g->sim);
}

static void
open_part(struct rig *g)
{
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", NUMBER, &g->part, NULL), OK);
}

static const struct part_tenant *
take_tenant(struct rig *g, uint32_t at)
{
    const struct part_tenant *t = part_tenant_at(g->part, at);
    assert_int_equal(part_index_load(g->part, t, &g->arena, &g->index, NULL), OK);
    return t;
}

/* --- one by one ------------------------------------------------------------------------------- */

/* The content of a row, however it is read. */
struct row {
    uint64_t labels;
    uint64_t blocks;
    uint32_t block_count;
    int64_t min_ms;
    int64_t max_ms;
};

static uint64_t
hash_place(uint64_t h, const struct page_place *p)
{
    return hash_mix(hash_mix(hash_mix(h, p->page), p->at), p->size);
}

static uint64_t
hash_blocks(const struct block_ref *b, uint32_t count)
{
    uint64_t h = count;
    for (uint32_t i = 0; i < count; i++, b++) {
        h = hash_mix(h, (uint64_t)b->codec << 16 | (uint64_t)b->scale << 8 | b->is_constant);
        h = hash_mix(hash_mix(h, b->count), (uint64_t)b->k);
        h = hash_mix(hash_mix(h, (uint64_t)b->min_ms), (uint64_t)b->max_ms);
        h = hash_place(h, &b->times);
        if (!b->is_constant) h = hash_place(h, &b->values);
        if (b->has_starts) h = hash_place(h, &b->starts);
        if (!b->has_stats) continue;
        h = hash_mix(hash_mix(h, double_bits(b->stats.min)), double_bits(b->stats.max));
        h = hash_mix(hash_mix(h, double_bits(b->stats.sum)), b->stats.number_count);
    }
    return h;
}

static struct row
row_of(struct bytes labels, const struct block_ref *blocks, uint32_t count)
{
    struct row row = {hash_bytes(labels, 1), hash_blocks(blocks, count), count, 0, 0};
    if (count > 0) {
        row.min_ms = blocks[0].min_ms;
        row.max_ms = blocks[count - 1].max_ms;
    }
    return row;
}

/* Returns all rows of the tenant, in order; given. */
static struct row *
read_in_order(struct rig *g, const struct part_tenant *t)
{
    struct row_reader *rows;
    struct row *all = test_malloc((t->series_count + 1) * sizeof *all);
    assert_int_equal(row_reader_new(&g->index, &g->budget, &rows), OK);
    for (uint32_t i = 0; i < t->series_count; i++) {
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t count;
        struct why why = {""};
        enum err e = row_read(rows, t->first_series + i, &labels, &blocks, &count, &why);
        if (e) fail_msg("row %u: %s", i, why.text);
        assert_true(labels_valid(labels));
        all[i] = row_of(labels, blocks, count);
    }
    row_reader_free(rows);
    return all;
}

/* Checks a random part of a row. */
static void
check_some_of(struct row_reader *rows, uint32_t number, const struct row *want, struct rng *r)
{
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count;
    bool meets;
    assert_int_equal(row_seek(rows, number, NULL), OK);
    if (rng_below(r, 2) == 0) {
        assert_int_equal(row_meets(rows, INT64_MIN, INT64_MAX, &meets, NULL), OK);
        assert_int_equal(meets, want->block_count > 0);
    }
    if (rng_below(r, 2) == 0 && want->block_count > 0) {
        assert_int_equal(row_meets(rows, want->max_ms, want->max_ms, &meets, NULL), OK);
        assert_true(meets);
        int64_t before = want->min_ms == INT64_MIN ? INT64_MIN : want->min_ms - 1;
        assert_int_equal(row_meets(rows, INT64_MIN, before, &meets, NULL), OK);
        assert_int_equal(meets, before == want->min_ms);
    }
    if (rng_below(r, 2) == 0) {
        assert_int_equal(row_blocks(rows, &blocks, &count, NULL), OK);
        assert_int_equal(hash_blocks(blocks, count), want->blocks);
    }
    if (rng_below(r, 3) != 0) return;
    assert_int_equal(row_read(rows, number, &labels, &blocks, &count, NULL), OK);
    struct row row = row_of(labels, blocks, count);
    assert_int_equal(row.labels, want->labels);
    assert_int_equal(row.blocks, want->blocks);
}

UNIT_TEST(test_any_row_is_what_it_is_when_all_are_read_in_order)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig g;
        struct content c;
        struct part_info info;
        struct row_reader *rows;
        struct rng r = {seed};
        rig_open(&g, WHOLE_CACHE);
        content_make(&c, seed, (struct content_size){2, 4000, seed % 3 == 0 ? 30 : 3, 300});
        assert_int_equal(
            content_write(&c, g.env, NULL, "/parts", NUMBER, (int)(seed % 2) * 3, &info, NULL), OK);
        open_part(&g);
        for (uint32_t i = 0; i < part_tenant_count(g.part); i++) {
            const struct part_tenant *t = take_tenant(&g, i);
            struct row *want = read_in_order(&g, t);
            assert_int_equal(row_reader_new(&g.index, &g.budget, &rows), OK);
            for (unsigned n = 0; n < 6000 && t->series_count > 0; n++) {
                static uint32_t at;
                /* The row is mostly near the one before, else anywhere. */
                at = rng_below(&r, 8) == 0 ? (uint32_t)rng_below(&r, t->series_count)
                                           : at + (uint32_t)rng_below(&r, 40);
                at %= t->series_count;
                check_some_of(rows, t->first_series + at, &want[at], &r);
            }
            row_reader_free(rows);
            test_free(want);
        }
        content_free(&c);
        rig_close(&g);
    }
}

/* Checks labels that no series has: shorter and longer ones than those of a series. */
static void
check_finds_no_other(struct row_reader *rows, struct bytes labels)
{
    uint32_t number;
    struct buf other;
    buf_init(&other, NULL, 1 << 20);
    buf_put_bytes(&other, labels);
    struct label more = {bytes_of_text("\xff\xff"), bytes_of_text("x")};
    labels_put(&other, more);
    assert_int_equal(buf_error(&other), OK);
    assert_int_equal(row_find(rows, buf_bytes(&other), &number, NULL), ERR_MISSING);
    assert_int_equal(row_find(rows, bytes_of(NULL, 0), &number, NULL), ERR_MISSING);
    buf_fini(&other);
}

UNIT_TEST(test_a_row_is_found_by_its_labels)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct rng r = {5};
    rig_open(&g, WHOLE_CACHE);
    content_make(&c, 5, (struct content_size){3, 3000, 3, 300});
    assert_int_equal(content_write(&c, g.env, NULL, "/parts", NUMBER, 3, &info, NULL), OK);
    open_part(&g);
    for (uint32_t i = 0; i < part_tenant_count(g.part); i++) {
        const struct part_tenant *t = take_tenant(&g, i);
        struct row_reader *rows, *finder;
        assert_int_equal(row_reader_new(&g.index, &g.budget, &rows), OK);
        assert_int_equal(row_reader_new(&g.index, &g.budget, &finder), OK);
        for (unsigned n = 0; n < 500 && t->series_count > 0; n++) {
            uint32_t number = t->first_series + (uint32_t)rng_below(&r, t->series_count), found;
            struct bytes labels;
            const struct block_ref *blocks, *same;
            uint32_t count, same_count;
            assert_int_equal(row_read(rows, number, &labels, &blocks, &count, NULL), OK);
            assert_int_equal(row_find(finder, labels, &found, NULL), OK);
            assert_int_equal(found, number);
            assert_int_equal(row_blocks(finder, &same, &same_count, NULL), OK);
            assert_int_equal(hash_blocks(same, same_count), hash_blocks(blocks, count));
            check_finds_no_other(finder, labels);
        }
        row_reader_free(rows);
        row_reader_free(finder);
    }
    content_free(&c);
    rig_close(&g);
}

/* --- by the batch ----------------------------------------------------------------------------- */

static void
check_batch(struct rig *g, const struct part_tenant *t, const roaring_bitmap_t *set,
            const struct row_range *range)
{
    struct row_batch *batch;
    struct row_reader *rows;
    struct row_of_batch got;
    roaring_uint32_iterator_t it;
    assert_int_equal(row_batch_new(&g->index, set, range, &g->budget, &batch), OK);
    assert_int_equal(row_reader_new(&g->index, &g->budget, &rows), OK);
    roaring_init_iterator(set, &it);
    for (; it.has_value; roaring_advance_uint32_iterator(&it)) {
        static struct block_ref met[1 << 16];
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t count, met_count = 0, number = it.current_value;
        assert_true(number - t->first_series < t->series_count);
        assert_int_equal(row_read(rows, number, &labels, &blocks, &count, NULL), OK);
        for (uint32_t i = 0; i < count; i++) {
            if (blocks[i].max_ms < range->min_ms || blocks[i].min_ms > range->max_ms) continue;
            met[met_count++] = blocks[i];
        }
        if (met_count == 0) continue;
        assert_int_equal(row_batch_next(batch, &got, NULL), OK);
        assert_int_equal(got.number, number);
        assert_true(bytes_equal(got.labels, labels));
        assert_int_equal(got.block_count, range->with_blocks ? met_count : 0);
        assert_int_equal(hash_blocks(got.blocks, got.block_count),
                         hash_blocks(met, got.block_count));
    }
    assert_int_equal(row_batch_next(batch, &got, NULL), OK);
    assert_null(got.labels.at);
    row_reader_free(rows);
    row_batch_free(batch);
}

UNIT_TEST(test_a_batch_gives_the_rows_that_reach_into_the_time)
{
    for (uint64_t seed = 11; seed <= 14; seed++) {
        struct rig g;
        struct content c;
        struct part_info info;
        struct rng r = {seed};
        rig_open(&g, WHOLE_CACHE);
        content_make(&c, seed, (struct content_size){2, 5000, 20, 2000});
        assert_int_equal(content_write(&c, g.env, NULL, "/parts", NUMBER, 1, &info, NULL), OK);
        open_part(&g);
        for (uint32_t i = 0; i < part_tenant_count(g.part); i++) {
            const struct part_tenant *t = take_tenant(&g, i);
            roaring_bitmap_t *set = roaring_bitmap_create();
            for (uint32_t s = 0; s < t->series_count; s++)
                if (rng_below(&r, seed) < 8) roaring_bitmap_add(set, t->first_series + s);
            uint64_t span = (uint64_t)info.time.max_ms - (uint64_t)info.time.min_ms;
            int64_t middle = (int64_t)((uint64_t)info.time.min_ms + span / 2);
            const struct row_range ranges[] = {{info.time.min_ms, info.time.max_ms, true},
                                               {info.time.min_ms, info.time.max_ms, false},
                                               {middle, info.time.max_ms, true},
                                               {info.time.min_ms, middle - 1, false}};
            for (unsigned k = 0; k < 4; k++)
                check_batch(&g, t, set, &ranges[k]);
            roaring_bitmap_free(set);
        }
        content_free(&c);
        rig_close(&g);
    }
}

/* --- labels in another order than series ------------------------------------------------------ */

enum { SERIES = 8000, PRIME = 4999 };

/* Writes series with the number i in label "a", and another scattered number in "z". */
static void
write_scattered(struct rig *g)
{
    struct part_writer *w;
    struct part_info info;
    char text[64];
    assert_int_equal(part_writer_new(g->env, NULL, "/parts", NUMBER, 1, 2, &w, NULL), OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    for (uint32_t i = 0; i < 2 * SERIES; i++) {
        snprintf(text, sizeof text, "%08u-some-text-behind-it", i % SERIES);
        struct label label = {bytes_of_text(i < SERIES ? "a" : "z"), bytes_of_text(text)};
        assert_int_equal(part_write_pair(w, label, NULL), OK);
    }
    for (uint32_t i = 0; i < SERIES; i++) {
        uint32_t pairs[] = {i, SERIES + (uint32_t)((uint64_t)i * PRIME % SERIES)};
        int64_t t_ms = 1000;
        uint64_t bits = double_bits(i);
        struct sample_batch batch = {SAMPLE_FLOAT, 1, &t_ms, &bits, NULL, NULL};
        assert_int_equal(part_write_series(w, pairs, 2, NULL), OK);
        assert_int_equal(part_write_samples(w, &batch, NULL), OK);
    }
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
}

static void
check_scattered(uint32_t number, struct bytes labels)
{
    char a[64], z[64];
    struct label label;
    struct cursor c = cursor_of(labels);
    snprintf(a, sizeof a, "%08u-some-text-behind-it", number);
    snprintf(z, sizeof z, "%08u-some-text-behind-it",
             (uint32_t)((uint64_t)number * PRIME % SERIES));
    assert_true(labels_next(&c, &label));
    assert_true(bytes_equal_text(label.value, a));
    assert_true(labels_next(&c, &label));
    assert_true(bytes_equal_text(label.value, z));
    assert_false(labels_next(&c, &label));
}

UNIT_TEST(test_labels_in_any_order_unpack_their_pages_once_a_batch)
{
    enum { SMALL_CACHE = 64 * 1024, BATCHES_MAX = 9 };
    struct rig g;
    struct row_batch *batch;
    struct row_of_batch row;
    struct page_cache_stats stats;
    struct row_range range = {0, 2000, false};
    rig_open(&g, SMALL_CACHE);
    write_scattered(&g);
    open_part(&g);
    (void)take_tenant(&g, 0);
    uint32_t pages = 0;
    for (uint32_t pair = 0, next; pair < 2 * SERIES; pair = next, pages++) {
        uint64_t offset;
        uint32_t first;
        assert_int_equal(
            part_directory_find(g.part, &g.part->values, pair, &offset, &first, &next, NULL), OK);
    }
    assert_true(pages * PAGE_BYTES_SOON > 2 * SMALL_CACHE);
    roaring_bitmap_t *set = roaring_bitmap_from_range(0, SERIES, 1);
    page_cache_stats(g.cache, &stats);
    uint64_t before = stats.misses;
    assert_int_equal(row_batch_new(&g.index, set, &range, &g.budget, &batch), OK);
    for (uint32_t i = 0; i < SERIES; i++) {
        assert_int_equal(row_batch_next(batch, &row, NULL), OK);
        assert_int_equal(row.number, i);
        check_scattered(i, row.labels);
    }
    assert_true(budget_used(&g.budget) < 1024 * 1024);
    row_batch_free(batch);
    page_cache_stats(g.cache, &stats);
    uint64_t unpacked = stats.misses - before;
    if (unpacked > BATCHES_MAX * (uint64_t)pages)
        fail_msg("%u pages of values, unpacked %u", pages, (unsigned)unpacked);
    roaring_bitmap_free(set);
    rig_close(&g);
}

/* With less and less memory, a batch has fewer labels at once and the same rows; in the end it
 * is refused. */
UNIT_TEST(test_a_batch_makes_do_with_little_memory)
{
    struct rig g;
    uint32_t complete = 0, refused = 0;
    rig_open(&g, WHOLE_CACHE);
    write_scattered(&g);
    open_part(&g);
    (void)take_tenant(&g, 0);
    roaring_bitmap_t *set = roaring_bitmap_from_range(0, SERIES, 1);
    for (uint64_t limit = 1024 * 1024; limit > 2048; limit -= limit / 8) {
        struct budget little;
        struct row_batch *batch = NULL;
        struct row_range range = {0, 2000, true};
        struct row_of_batch row;
        struct why why = {""};
        budget_init(&little, "little", limit, NULL);
        enum err e = row_batch_new(&g.index, set, &range, &little, &batch);
        if (e == OK) e = row_batch_next(batch, &row, &why);
        for (uint32_t i = 0; e == OK && row.labels.at != NULL; i++) {
            assert_int_equal(row.number, i);
            check_scattered(i, row.labels);
            e = row_batch_next(batch, &row, &why);
        }
        assert_true(e == OK || e == ERR_NOMEM);
        if (batch != NULL && e != OK) assert_int_not_equal(why.text[0], 0);
        complete += e == OK;
        refused += e != OK;
        row_batch_free(batch);
        assert_int_equal(budget_used(&little), 0);
    }
    assert_true(complete > 3);
    assert_true(refused > 3);
    roaring_bitmap_free(set);
    rig_close(&g);
}

/* Any allocation may fail: rows have their labels, or there is an error. */
UNIT_TEST(test_no_row_of_a_batch_comes_without_its_labels_for_want_of_memory)
{
    struct rig g;
    rig_open(&g, WHOLE_CACHE);
    write_scattered(&g);
    open_part(&g);
    (void)take_tenant(&g, 0);
    roaring_bitmap_t *set = roaring_bitmap_from_range(0, SERIES, 1);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct row_batch *batch = NULL;
        struct row_range range = {0, 2000, true};
        struct row_of_batch row;
        mem_fail_nth(nth, false);
        enum err e = row_batch_new(&g.index, set, &range, &g.budget, &batch);
        if (e == OK) e = row_batch_next(batch, &row, NULL);
        for (uint32_t i = 0; e == OK && row.labels.at != NULL; i++) {
            assert_int_equal(row.number, i);
            check_scattered(i, row.labels);
            e = row_batch_next(batch, &row, NULL);
        }
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_true(e == OK || (e == ERR_NOMEM && fired));
        row_batch_free(batch);
    }
    roaring_bitmap_free(set);
    rig_close(&g);
}

/* --- damage with valid checksums -------------------------------------------------------------- */

/* After an error a reader reads what a new one reads. */
static void
check_after_error(struct rig *g, struct row_reader *rows, uint32_t number)
{
    struct row_reader *fresh;
    struct row row[2] = {{0}};
    enum err e[2];
    assert_int_equal(row_reader_new(&g->index, &g->budget, &fresh), OK);
    for (int i = 0; i < 2; i++) {
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t count;
        e[i] = row_read(i == 0 ? rows : fresh, number, &labels, &blocks, &count, NULL);
        if (e[i] == OK) row[i] = row_of(labels, blocks, count);
    }
    assert_int_equal(e[0], e[1]);
    assert_int_equal(row[0].labels, row[1].labels);
    assert_int_equal(row[0].blocks, row[1].blocks);
    row_reader_free(fresh);
}

/* Reads everything, in order and not; what is damaged has words. */
static bool
rows_are_told_of(struct rig *g, const struct part_tenant *t, struct rng *r)
{
    struct row_reader *rows;
    bool damaged = false;
    assert_int_equal(row_reader_new(&g->index, &g->budget, &rows), OK);
    for (uint32_t i = 0; i < t->series_count; i++) {
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t count, at = i < t->series_count / 2 ? i : (uint32_t)rng_below(r, t->series_count);
        bool meets;
        struct why why = {""};
        enum err e = row_seek(rows, t->first_series + at, &why);
        if (e == OK && at % 3 == 0) e = row_meets(rows, 0, 1, &meets, &why);
        if (e == OK && at % 3 != 2)
            e = row_read(rows, t->first_series + at, &labels, &blocks, &count, &why);
        assert_true(e == OK || e == ERR_CORRUPT || e == ERR_NOMEM);
        if (e == ERR_CORRUPT) assert_non_null(strstr(why.text, "0000000000000003"));
        damaged |= e != OK;
        if (e) check_after_error(g, rows, t->first_series + at);
        if (e) i += t->series_count / 16;
    }
    row_reader_free(rows);
    return damaged;
}

static void
flip_in_page(uint8_t *file, uint64_t offset, struct rng *r)
{
    uint8_t *header = file + offset;
    uint32_t size = load_le32(header) & ((1u << 28) - 1);
    unsigned flips = 1 + (unsigned)rng_below(r, 3);
    while (flips-- > 0)
        header[PAGE_HEADER_BYTES + rng_below(r, size)] ^= (uint8_t)(1 + rng_below(r, 255));
    uint64_t seed = hash_mix(hash_mix(NUMBER, offset), load_le64(header));
    struct bytes payload = bytes_of(header + PAGE_HEADER_BYTES, size);
    store_le32(header + 12, (uint32_t)hash_bytes(payload, seed));
}

UNIT_TEST(test_inconsistent_rows_are_reported)
{
    enum { TURNS = 400 };
    struct rig g;
    struct content c;
    struct part_info info;
    struct rng r = {77};
    struct file file;
    uint64_t size, offset;
    uint32_t told = 0, first, next;
    rig_open(&g, WHOLE_CACHE);
    content_make(&c, 6, (struct content_size){1, 6000, 3, 1000});
    assert_int_equal(content_write(&c, g.env, NULL, "/parts", NUMBER, 0, &info, NULL), OK);
    assert_true(c.tenants[0].series_count > 3 * STRETCH_ROWS);
    const char *path = "/parts/0000000000000003/part";
    assert_int_equal(file_open(g.env, path, FILE_READ, &file, NULL), OK);
    assert_int_equal(file_size(&file, &size, NULL), OK);
    uint8_t *whole = test_malloc(size), *copy = test_malloc(size);
    assert_int_equal(file_read_at(&file, whole, size, 0, NULL), OK);
    file_close(&file);
    open_part(&g);
    assert_int_equal(part_directory_find(g.part, &g.part->rows, 0, &offset, &first, &next, NULL),
                     OK);
    part_unref(g.part);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        memcpy(copy, whole, size);
        flip_in_page(copy, offset, &r);
        assert_int_equal(
            env_write_whole(g.env, "/parts/0000000000000003", "part", bytes_of(copy, size), NULL),
            OK);
        open_part(&g);
        told += rows_are_told_of(&g, take_tenant(&g, 0), &r);
        part_unref(g.part);
        g.part = NULL;
    }
    assert_true(told > TURNS / 4); /* the others are other numbers that are valid */
    test_free(whole);
    test_free(copy);
    content_free(&c);
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_row_is_what_it_is_when_all_are_read_in_order),
        cmocka_unit_test(test_a_row_is_found_by_its_labels),
        cmocka_unit_test(test_a_batch_gives_the_rows_that_reach_into_the_time),
        cmocka_unit_test(test_labels_in_any_order_unpack_their_pages_once_a_batch),
        cmocka_unit_test(test_a_batch_makes_do_with_little_memory),
        cmocka_unit_test(test_no_row_of_a_batch_comes_without_its_labels_for_want_of_memory),
        cmocka_unit_test(test_inconsistent_rows_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
