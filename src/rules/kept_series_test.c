#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "rules/kept_series.h"

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

static void
test_what_was_not_added_for_want_of_memory_is_added_when_there_is_some(void **state)
{
    (void)state;
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_not_added_for_want_of_memory_is_added_when_there_is_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
