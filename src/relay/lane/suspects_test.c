/* suspects_test.c - suspects are found until they are forgotten, or many others were added. */
#include "lib/test.h"

#include "base/hash/hash.h"
#include "relay/lane/suspects.h"

static struct budget memory;

static uint64_t
key(uint32_t number)
{
    return hash_mix(7, number) & ~UINT64_C(1);
}

UNIT_TEST(test_a_suspect_is_present_until_it_is_forgotten)
{
    struct suspects s = {.slots = NULL};
    budget_init(&memory, "test", 0, NULL);
    assert_false(suspects_has(&s, key(1)));
    suspects_forget(&s, key(1));
    for (uint32_t i = 0; i < 1000; i++) {
        suspects_add(&s, &memory, key(i));
        suspects_add(&s, &memory, key(i));
        assert_int_equal(s.count, i + 1);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(suspects_has(&s, key(i)));
        assert_false(suspects_has(&s, key(1000 + i)));
    }
    assert_int_equal(s.forgot_count, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        suspects_forget(&s, key(i));
        assert_false(suspects_has(&s, key(i)));
        assert_int_equal(s.forgot_count, i + 1);
    }
    assert_int_equal(s.count, 0);
    suspects_fini(&s, &memory);
    assert_int_equal(budget_used(&memory), 0);
}

UNIT_TEST(test_it_never_grows_and_the_last_is_there)
{
    struct suspects s = {.slots = NULL};
    uint64_t used = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        suspects_add(&s, &memory, key(i));
        assert_true(suspects_has(&s, key(i)));
        if (i == 0) used = budget_used(&memory);
    }
    assert_int_equal(budget_used(&memory), used);
    assert_int_equal(s.count + s.forgot_count, 100000);
    suspects_fini(&s, &memory);
}

UNIT_TEST(test_without_memory_nothing_is_remembered)
{
    struct suspects s = {.slots = NULL};
    mem_fail_nth(1, false);
    suspects_add(&s, &memory, key(1));
    mem_fail_nth(0, false);
    assert_false(suspects_has(&s, key(1)));
    suspects_fini(&s, &memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_suspect_is_present_until_it_is_forgotten),
        cmocka_unit_test(test_it_never_grows_and_the_last_is_there),
        cmocka_unit_test(test_without_memory_nothing_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
