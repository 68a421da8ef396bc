/* store_options_test.c - the distribution of memory. */
#include "config/config.h"
#include "lib/test.h"

#define MIB UINT64_C(1048576)

static void
check_shares(uint64_t bytes)
{
    struct memory m;
    struct settings settings;
    memory_init(&m, bytes);
    settings_default(&settings);
    struct tsdb_options o = store_options_of(&settings, NULL, &m);
    assert_ptr_equal(o.background, &m.process);
    assert_ptr_equal(o.memory, &m.foreground);
    assert_int_equal(m.process.limit_bytes, bytes);
    uint64_t kept = o.flush_bytes + o.merge_bytes + o.cache_bytes;
    assert_true(m.foreground.limit_bytes > 0);
    assert_true(m.foreground.limit_bytes + kept <= bytes);
    assert_true(o.head_bytes_max <= m.foreground.limit_bytes / 6 * 5);
    assert_true(o.head_bytes_max <= bytes / 2);
}

UNIT_TEST(test_shares_add_up_to_what_there_is)
{
    for (uint64_t bytes = 1; bytes < UINT64_C(1) << 50; bytes += 1 + bytes / 7)
        check_shares(bytes);
}

/* The rule applies from the least memory that can be set. */
UNIT_TEST(test_a_flush_and_a_merge_of_small_parts_have_their_least)
{
    for (uint64_t bytes = 64 * MIB; bytes < UINT64_C(1) << 50; bytes += bytes / 9) {
        struct memory m;
        memory_init(&m, bytes);
        assert_true(m.flush_bytes >= 5 * MIB + m.head_bytes / 4);
        assert_true(m.merge_bytes >= 12 * MIB);
        assert_true(m.head_bytes >= 24 * MIB);
    }
}

UNIT_TEST(test_with_much_memory_the_head_may_have_nearly_half)
{
    struct memory m;
    memory_init(&m, 1024 * MIB);
    assert_in_range(m.head_bytes / MIB, 490, 512);
    assert_int_equal(m.cache_bytes, 128 * MIB);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_add_up_to_what_there_is),
        cmocka_unit_test(test_a_flush_and_a_merge_of_small_parts_have_their_least),
        cmocka_unit_test(test_with_much_memory_the_head_may_have_nearly_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
