/* changes_test.c - the range of changes since a number includes all of them, and is exact where
 * little was added. */
#include "lib/test.h"

#include "lib/random.h"
#include "tsdb/head/head.h"

enum { ROUNDS = 2000, MOST = 300 };

static struct rng rng = {1};

static int64_t
least_after(const int64_t *times, uint32_t count, uint64_t number)
{
    int64_t least = INT64_MAX;
    for (uint32_t i = (uint32_t)number; i < count; i++)
        if (times[i] < least) least = times[i];
    return least;
}

/* Checks the ranges; change i has the number i + 1. */
static void
check(const struct changes *c, const int64_t *times, uint32_t count)
{
    for (uint64_t number = 0; number <= count; number++) {
        int64_t told = changes_after(c, number), least = least_after(times, count, number);
        assert_true(told <= least);
        assert_int_equal(told == INT64_MAX, number == count);
        if (count <= CHANGES_KEPT) assert_int_equal(told, least);
    }
}

UNIT_TEST(test_nothing_that_changed_is_taken_to_be_the_same)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct changes c = {0};
        int64_t times[MOST];
        uint32_t count = 1 + (uint32_t)(rng_next(&rng) % MOST),
                 late = (uint32_t)(rng_next(&rng) % 40);
        for (uint32_t i = 0; i < count; i++) {
            times[i] = 1000 * (int64_t)i - (int64_t)(rng_next(&rng) % (1000 * (late + 1)));
            changes_add(&c, i + 1, times[i]);
        }
        check(&c, times, count);
    }
}

UNIT_TEST(test_a_number_has_the_least_of_its_times)
{
    struct changes c = {0};
    changes_add(&c, 1, 50);
    changes_add(&c, 2, 100);
    changes_add(&c, 2, 200);
    changes_add(&c, 2, 70);
    assert_int_equal(changes_after(&c, 0), 50);
    assert_int_equal(changes_after(&c, 1), 70);
    assert_int_equal(changes_after(&c, 2), INT64_MAX);
    changes_add(&c, 3, INT64_MIN);
    assert_int_equal(changes_after(&c, 0), INT64_MIN);
    assert_int_equal(c.count, 1);
}

UNIT_TEST(test_newer_changes_have_a_finer_resolution)
{
    struct changes c = {0};
    const int64_t count = 100000;
    for (int64_t i = 1; i <= count; i++)
        changes_add(&c, (uint64_t)i, 15 * i);
    for (int64_t i = 0; i < count; i++) {
        int64_t told = changes_after(&c, (uint64_t)i), age = 15 * (count - i);
        assert_true(told <= 15 * (i + 1) && told >= 15 * (i + 1) - age / 2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_that_changed_is_taken_to_be_the_same),
        cmocka_unit_test(test_a_number_has_the_least_of_its_times),
        cmocka_unit_test(test_newer_changes_have_a_finer_resolution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
