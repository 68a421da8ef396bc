/* name_escaping_test.c - names escaped as by Prometheus 3.5.3. */
#include "lib/test.h"

#include "wire/name_escaping.h"

static void
check(const char *name, enum name_escaping escaping, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 1000);
    name_escape(&text, bytes_of_text(name), escaping);
    buf_put_u8(&text, '\0');
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
}

UNIT_TEST(test_names_are_escaped_as_prometheus_does)
{
    static const struct {
        const char *name, *underscores, *dots, *values;
    } cases[] = {
        {"up", "up", "up", "up"},
        {"a:b_1", "a:b_1", "a:b_1", "a:b_1"},
        {"U__a", "U__a", "U__a", "U__a"},
        {"my.metric_x", "my_metric_x", "my_dot_metric__x", "U__my_2e_metric__x"},
        {"a b", "a_b", "a__b", "U__a_20_b"},
        {"1.2", "__2", "___dot_2", "U___31__2e_2"},
        {"1abc", "_abc", "__abc", "U___31_abc"},
        {"_.", "__", "___dot_", "U_____2e_"},
        {":a.", ":a_", ":a_dot_", "U__:a_2e_"},
        {"a-b:c", "a_b:c", "a__b:c", "U__a_2d_b:c"},
        {"x..y", "x__y", "x_dot__dot_y", "U__x_2e__2e_y"},
        {"U__a.", "U__a_", "U____a_dot_", "U__U____a_2e_"},
        {"\xc3\xa9.x", "__x", "___dot_x", "U___e9__2e_x"},
        {"\xe6\x97\xa5\xe6\x9c\xac", "__", "____", "U___65e5__672c_"},
        {"\xf0\x9f\x98\x80", "_", "__", "U___1f600_"},
        {"a\xff", "a_", "a__", "U__a_fffd_"},
        {"", "", "", "U__"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(cases[i].name, ESCAPE_UNDERSCORES, cases[i].underscores);
        check(cases[i].name, ESCAPE_DOTS, cases[i].dots);
        check(cases[i].name, ESCAPE_VALUES, cases[i].values);
        check(cases[i].name, ESCAPE_NOTHING, cases[i].name);
    }
}

UNIT_TEST(test_words_are_those_of_accept)
{
    for (enum name_escaping e = ESCAPE_UNDERSCORES; e <= ESCAPE_NOTHING; e++) {
        enum name_escaping read;
        assert_true(name_escaping_parse(bytes_of_text(name_escaping_word(e)), &read));
        assert_int_equal(read, e);
    }
    enum name_escaping unchanged = ESCAPE_DOTS;
    assert_false(name_escaping_parse(bytes_of_text("Dots"), &unchanged));
    assert_false(name_escaping_parse(bytes_of_text(""), &unchanged));
    assert_int_equal(unchanged, ESCAPE_DOTS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_escaped_as_prometheus_does),
        cmocka_unit_test(test_words_are_those_of_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
