/* prices_test.c - files of prices. */
#include "cli/size/prices.h"

#include "lib/test.h"

#include <string.h>

static struct prices prices;

static enum err
read_text(const char *text, struct why *why)
{
    return prices_read(bytes_of_text(text), &prices, why);
}

UNIT_TEST(test_a_file_has_a_date_and_prices)
{
    struct why why = {""};
    assert_int_equal(read_text("# comment\n\ndate 2025-06-30\nwhat a place, USD\ndisk 0.08\n"
                               "machine large 2 8 50\nmachine small 2 2 12.5",
                               &why),
                     OK);
    assert_string_equal(prices.date, "2025-06-30");
    assert_string_equal(prices.what, "a place, USD");
    assert_true(prices.disk == 0.08);
    assert_int_equal(prices.machine_count, 2);
    assert_string_equal(prices_machine(&prices, 1, 1)->name, "small");
    assert_string_equal(prices_machine(&prices, 1, 3)->name, "large");
    assert_null(prices_machine(&prices, 3, 1));
}

UNIT_TEST(test_an_invalid_line_is_named)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"date 2025-06-30\ndisk cheap\n", "line 2 is invalid"},
        {"date 2025-06-30\ndisk -1\n", "line 2 is invalid"},
        {"date 2025-06-30\ndisk 1 2\n", "line 2 is invalid"},
        {"date today\n", "line 1 is invalid"},
        {"machine a 1 2\n", "line 1 is invalid"},
        {"machine a 1 nan 3\n", "line 1 is invalid"},
        {"moon 1\n", "line 1 is invalid"},
        {"date 2025-06-30\n", "'date' or 'disk' is missing"},
        {"", "'date' or 'disk' is missing"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {""};
        assert_int_equal(read_text(cases[i].text, &why), ERR_INPUT);
        if (strstr(why.text, cases[i].words) == NULL) fail_msg("%u: %s", i, why.text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_has_a_date_and_prices),
        cmocka_unit_test(test_an_invalid_line_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
