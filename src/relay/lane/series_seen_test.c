/* series_seen_test.c - a set of series has the added ones, and no others, until it is cleared. */
#include "lib/test.h"

#include "base/hash/hash.h"
#include "relay/lane/lane.h"

static struct budget memory;

static uint64_t
hash_of(uint32_t number)
{
    return hash_mix(1, number) & ~UINT64_C(1);
}

static void
add(struct table *seen, uint64_t hash)
{
    assert_true(table_reserve(seen, &memory, 1));
    series_seen_add(seen, hash);
}

UNIT_TEST(test_only_added_series_are_present_until_cleared)
{
    struct table seen = {.slots = NULL};
    budget_init(&memory, "test", 0, NULL);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            assert_false(series_seen_has(&seen, hash_of(i)));
            add(&seen, hash_of(i));
            assert_true(series_seen_has(&seen, hash_of(i)));
            assert_true(series_seen_has(&seen, hash_of(i / 2)));
        }
        table_clear(&seen);
    }
    table_fini(&seen, &memory);
    assert_int_equal(budget_used(&memory), 0);
}

UNIT_TEST(test_a_hash_of_nothing_is_a_series_too)
{
    struct table seen = {.slots = NULL};
    budget_init(&memory, "test", 0, NULL);
    assert_false(series_seen_has(&seen, 0));
    add(&seen, 0);
    assert_true(series_seen_has(&seen, 0));
    table_fini(&seen, &memory);
}

UNIT_TEST(test_without_memory_what_is_known_stays)
{
    struct table seen = {.slots = NULL};
    budget_init(&memory, "test", 4096, NULL); /* a table of 512 */
    uint32_t count = 0;
    while (table_reserve(&seen, &memory, 1))
        series_seen_add(&seen, hash_of(count++));
    assert_in_range(count, 1, 256);
    for (uint32_t i = 0; i < count; i++)
        assert_true(series_seen_has(&seen, hash_of(i)));
    table_fini(&seen, &memory);
    assert_int_equal(budget_used(&memory), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_added_series_are_present_until_cleared),
        cmocka_unit_test(test_a_hash_of_nothing_is_a_series_too),
        cmocka_unit_test(test_without_memory_what_is_known_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
