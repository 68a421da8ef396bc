/* containers_test.c - array.h, arena_push() and table.h compared with
 * simple models. */
#include "lib/test.h"

#include "base/array.h"
#include "base/table.h"

UNIT_TEST(test_an_array_grows_keeps_its_items_and_gives_all_memory_back)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    struct list {
        uint32_t *items;
        uint16_t count, capacity;
    } list = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(array_reserve(&budget, &list.items, &list.capacity, list.count + 1u));
        list.items[list.count++] = i * 7;
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(list.items[i], i * 7);
    assert_int_equal(budget_used(&budget), list.capacity * sizeof *list.items);
    array_free(&budget, list.items, list.capacity);
    assert_int_equal(budget_used(&budget), 0);
}

UNIT_TEST(test_an_array_that_cannot_grow_stays_as_it_is)
{
    struct budget budget;
    budget_init(&budget, "test", 16 * sizeof(uint64_t), NULL);
    uint64_t *items = NULL;
    uint32_t capacity = 0;
    assert_true(array_reserve(&budget, &items, &capacity, 16u));
    items[15] = 1;
    uint64_t *before = items;
    assert_false(array_reserve(&budget, &items, &capacity, 17u));
    assert_ptr_equal(items, before);
    assert_int_equal(capacity, 16);
    assert_int_equal(items[15], 1);
    array_free(&budget, items, capacity);
}

UNIT_TEST(test_an_array_is_never_longer_than_its_count_can_say)
{
    assert_int_equal(array_capacity(200, 201, 1, UINT8_MAX), UINT8_MAX);
    assert_int_equal(array_capacity(UINT8_MAX, 256, 1, UINT8_MAX), 0);
    assert_int_equal(array_capacity(0, SIZE_MAX / 8, 16, SIZE_MAX), 0);
    assert_int_equal(array_capacity(0, 0, 16, SIZE_MAX), ARRAY_ITEMS_FIRST);
    assert_int_equal(array_capacity(16, 100, 16, SIZE_MAX), 128);
}

UNIT_TEST(test_a_search_finds_the_first_that_is_past_or_the_end)
{
    int values[50];
    for (uint32_t count = 0; count < 50; count++) {
        for (uint32_t i = 0; i < count; i++)
            values[i] = (int)(i / 3) * 2;
        for (int wanted = -1; wanted < 40; wanted++) {
            uint32_t expected = 0;
            while (expected < count && values[expected] < wanted)
                expected++;
            assert_int_equal(search_first(i, 0u, count, values[i] >= wanted), expected);
        }
    }
    assert_true(search_first(i, (uint64_t)3, UINT64_MAX, i >= UINT64_MAX - 1) == UINT64_MAX - 1);
}

/* Any of 64 ids are in the table under one of 8 hashes: many share a slot's home. */
UNIT_TEST(test_a_table_has_what_was_added_and_not_removed_whatever_shares_a_hash)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    struct table t = {0};
    bool there[64] = {false};
    uint32_t random = 12345, count = 0;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t id = random >> 26;
        uint64_t hash = (id % 8) * 0x100000005; /* homes 0, 5, 10, ...; the same low halves */
        if (!there[id]) {
            assert_true(table_reserve(&t, &budget, 1));
            table_add(&t, hash, id);
        } else {
            table_remove(&t, hash, id);
        }
        there[id] = !there[id];
        count += there[id] ? 1 : UINT32_MAX;
        assert_int_equal(t.count, count);
        uint32_t found = 0;
        for (uint32_t at = TABLE_START, other; table_next(&t, hash, &at, &other);) {
            assert_true(there[other]);
            found++;
        }
        uint32_t expected = 0;
        for (uint32_t i = id % 8; i < 64; i += 8)
            expected += there[i];
        assert_int_equal(found, expected);
    }
    table_clear(&t);
    for (uint32_t at = TABLE_START, id; table_next(&t, 0, &at, &id);)
        fail();
    table_fini(&t, &budget);
    assert_int_equal(budget_used(&budget), 0);
}

UNIT_TEST(test_a_table_without_memory_stays_as_it_is)
{
    struct budget budget;
    budget_init(&budget, "test", 16 * sizeof(struct table_slot), NULL);
    struct table t = {0};
    assert_true(table_reserve(&t, &budget, 12));
    for (uint32_t id = 0; id < 12; id++)
        table_add(&t, id, id);
    assert_false(table_reserve(&t, &budget, 1));
    uint32_t at = TABLE_START, id;
    assert_true(table_next(&t, 11, &at, &id));
    assert_int_equal(id, 11);
    assert_false(table_reserve(&t, NULL, UINT32_MAX));
    table_fini(&t, &budget);
}

UNIT_TEST(test_an_array_in_an_arena_keeps_its_items_and_is_whole_after_a_refusal)
{
    struct arena arena;
    uint32_t *items = NULL, count = 0;
    arena_init(&arena, NULL, 64 * 1024, 0);
    for (uint32_t *grown;; items[count] = count * 7, count++) {
        grown = arena_push(&arena, items, count, sizeof *items);
        if (grown == NULL) break;
        items = grown;
    }
    assert_in_range(count, 1024, 16 * 1024);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(items[i], i * 7);
    arena_fini(&arena);
}

UNIT_TEST(test_a_heap_gives_what_goes_before_all_others)
{
    enum { MANY = 200 };
    uint32_t heap[MANY], random = 1;
    for (uint32_t size = 1; size <= MANY; size++) {
        uint32_t counts[64] = {0}, last = 0;
        for (uint32_t i = 0; i < size; i++) {
            random = random * 1664525 + 1013904223;
            counts[random >> 26]++;
            heap_up(heap, i, random >> 26, *a < *b);
        }
        for (uint32_t left = size; left > 0;) {
            assert_true(heap[0] >= last);
            last = heap[0];
            counts[last]--;
            left--;
            heap_down(heap, left, 0, heap[left], *a < *b);
        }
        for (uint32_t i = 0; i < 64; i++)
            assert_int_equal(counts[i], 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_array_grows_keeps_its_items_and_gives_all_memory_back),
        cmocka_unit_test(test_an_array_that_cannot_grow_stays_as_it_is),
        cmocka_unit_test(test_an_array_is_never_longer_than_its_count_can_say),
        cmocka_unit_test(test_an_array_in_an_arena_keeps_its_items_and_is_whole_after_a_refusal),
        cmocka_unit_test(test_a_heap_gives_what_goes_before_all_others),
        cmocka_unit_test(test_a_search_finds_the_first_that_is_past_or_the_end),
        cmocka_unit_test(test_a_table_has_what_was_added_and_not_removed_whatever_shares_a_hash),
        cmocka_unit_test(test_a_table_without_memory_stays_as_it_is),
    };
    return cmocka_run_group_tests_name("base/containers", tests, NULL, NULL);
}
