/* kept_series_test.c - sets of series that a rule wrote last. */
#include "lib/test.h"

#include <stdio.h>

#include "rules/group/kept_series.h"

static enum err
add(struct kept_series *kept, unsigned number)
{
    char text[40];
    bool is_new;
    snprintf(text, sizeof text, "a series with the number %u", number);
    enum err e = kept_series_add(kept, bytes_of_text(text), &is_new);
    if (e == OK) assert_true(is_new);
    return e;
}

UNIT_TEST(test_an_addition_that_failed_for_memory_succeeds_later)
{
    unsigned refused = 0;
    struct kept_series kept;
    kept_series_init(&kept, NULL, 1);
    for (unsigned i = 0; i < 200; i++) {
        enum err e = ERR_NOMEM;
        for (unsigned nth = 1; e != OK; nth++) { /* each allocation that this one needs */
            assert_int_equal(kept.count, i);
            assert_in_range(nth, 1, 8);
            mem_fail_nth(nth, false);
            e = add(&kept, i);
            mem_fail_nth(0, false);
            refused += e != OK;
        }
    }
    assert_true(refused > 3);
    assert_int_equal(kept.count, 200);
    kept_series_fini(&kept);
}

/* Makes a set of some of `kept` and as many others, and checks the marks. */
static void
check_marks(const struct kept_series *kept, unsigned first, unsigned end)
{
    struct kept_series others;
    bool which[200] = {[7] = true};
    assert_int_equal(kept->count, 200);
    kept_series_init(&others, NULL, 1);
    for (unsigned i = first; i < end; i++)
        assert_int_equal(add(&others, i), OK);
    kept_series_mark(kept, &others, which);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(which[i], i == 7 || (i >= first && i < end));
    kept_series_fini(&others);
}

UNIT_TEST(test_series_of_both_of_two_sets_are_marked_whichever_is_larger)
{
    struct kept_series kept;
    kept_series_init(&kept, NULL, 1);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(add(&kept, i), OK);
    check_marks(&kept, 0, 0);
    check_marks(&kept, 190, 210);
    check_marks(&kept, 150, 1000);
    kept_series_fini(&kept);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_addition_that_failed_for_memory_succeeds_later),
        cmocka_unit_test(test_series_of_both_of_two_sets_are_marked_whichever_is_larger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
