/* hours_test.c - hours of a range of time, and their names. */
#include "lib/test.h"

#include "backend/archive/store.h"

static bool
has(const struct hours *h, const char *name)
{
    return hours_have_name(h, bytes_of_text(name));
}

static bool
may_be_in(const struct hours *h, const char *dir)
{
    return hours_may_be_in(h, bytes_of_text(dir));
}

UNIT_TEST(test_names_of_the_hours_around_count)
{
    struct hours h;
    /* 2023-12-31T22:30 to 23:30, and two hours around. */
    hours_between(1704061800000, 1704065400000, 7200000, &h);
    assert_string_equal(h.first, "2023/12/31/20/");
    assert_string_equal(h.last, "2024/01/01/01/");
    assert_true(has(&h, "2023/12/31/20/a"));
    assert_true(has(&h, "2024/01/01/01/a/b"));
    assert_false(has(&h, "2023/12/31/19/a"));
    assert_false(has(&h, "2024/01/01/02/a"));
    assert_false(has(&h, "2023/12/31/20/"));
    assert_false(has(&h, "2023-12-31/20/a"));
    assert_false(has(&h, "a"));
    assert_true(may_be_in(&h, "2023"));
    assert_true(may_be_in(&h, "2024/01/01/00"));
    assert_true(may_be_in(&h, "2024/01/01/00/deeper"));
    assert_false(may_be_in(&h, "2024/02"));
    assert_false(may_be_in(&h, "2022"));
    assert_false(may_be_in(&h, "lost+found"));
}

/* These names sort between the first hour and the last one. */
UNIT_TEST(test_names_that_do_not_begin_with_an_hour_do_not_count)
{
    struct hours h;
    hours_between(1704061800000, 1704065400000, 7200000, &h);
    assert_false(has(&h, "2023/12/31/2x/a"));
    assert_false(has(&h, "2024/01/01-00/a"));
    assert_false(has(&h, "2024/01/0a/00/a"));
    assert_false(has(&h, "2023x12/31/23/a"));
    assert_false(may_be_in(&h, "2023/12/31/2x"));
    assert_false(may_be_in(&h, "2023x"));
}

UNIT_TEST(test_all_times_are_all_years)
{
    struct hours h;
    hours_between(INT64_MIN, INT64_MAX, 7200000, &h);
    assert_true(has(&h, "0000/01/01/00/a"));
    assert_true(has(&h, "9999/12/31/23/a"));
    assert_false(has(&h, "flat"));
}

UNIT_TEST(test_any_name_counts_in_a_flat_archive)
{
    struct hours h = {.all = true};
    assert_true(has(&h, "a"));
    assert_true(may_be_in(&h, "b"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_the_hours_around_count),
        cmocka_unit_test(test_names_that_do_not_begin_with_an_hour_do_not_count),
        cmocka_unit_test(test_all_times_are_all_years),
        cmocka_unit_test(test_any_name_counts_in_a_flat_archive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
