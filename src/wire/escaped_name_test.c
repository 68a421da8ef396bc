/* escaped_name_test.c - Prometheus' own examples of escaped names; and any bytes come back. */
#include "lib/test.h"

#include "base/text/utf8.h"
#include "lib/wire/random_labels.h"
#include "wire/escaped_name.h"

static void
check_both_ways(const char *name, const char *escaped)
{
    struct buf to;
    buf_init(&to, NULL, 1000);
    escaped_name_put(&to, bytes_of_text(name));
    assert_true(bytes_equal_text(buf_bytes(&to), escaped));
    buf_clear(&to);
    assert_true(escaped_name_get(&to, bytes_of_text(escaped)));
    assert_true(bytes_equal_text(buf_bytes(&to), name));
    buf_fini(&to);
}

UNIT_TEST(test_names_are_escaped_as_prometheus_does)
{
    check_both_ways("", "U__");
    check_both_ways("my.metric", "U__my_2e_metric");
    check_both_ways("a_b", "U__a__b");
    check_both_ways("1a2", "U___31_a2");
    check_both_ways("U__x", "U__U____x");
    check_both_ways("\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5", "U___e9__20ac__1f525_");
    check_both_ways("a:b", "U__a_3a_b");
    check_both_ways("a\xff\xc3", "U__a_1100ff__1100c3_");
}

UNIT_TEST(test_a_name_that_is_not_escaped_is_unchanged)
{
    static const char *const others[] = {"",          "up",          "U_x",          "u__x",
                                         "U__a_",     "U__a_2",      "U__a_2e",      "U__a_x_",
                                         "U___d800_", "U___110100_", "U___0000041_", "U___2e-"};
    struct buf to;
    buf_init(&to, NULL, 1000);
    buf_put_u8(&to, 'x');
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        if (escaped_name_get(&to, bytes_of_text(others[i]))) fail_msg("%s", others[i]);
        assert_int_equal(to.size, 1);
    }
    assert_true(escaped_name_get(&to, bytes_of_text("U__a:b_2E_")));
    assert_true(bytes_equal_text(buf_bytes(&to), "xa:b."));
    buf_fini(&to);
}

UNIT_TEST(test_any_bytes_come_back)
{
    struct rng r = {3};
    struct buf escaped, back;
    buf_init(&escaped, NULL, 10000);
    buf_init(&back, NULL, 10000);
    for (int i = 0; i < 50000; i++) {
        struct random_text memory;
        struct bytes name = random_text(&r, (enum random_class)(i % RANDOM_CLASS_COUNT), &memory);
        buf_clear(&escaped);
        buf_clear(&back);
        escaped_name_put(&escaped, name);
        assert_true(name_is_plain(buf_bytes(&escaped), false));
        assert_true(escaped_name_get(&back, buf_bytes(&escaped)));
        assert_true(bytes_equal(buf_bytes(&back), name));
    }
    buf_fini(&escaped);
    buf_fini(&back);
}

UNIT_TEST(test_plain_names)
{
    assert_true(name_is_plain(bytes_of_text("_aZ09"), false));
    assert_true(name_is_plain(bytes_of_text("a:b"), true));
    static const char *const others[] = {"", "0a", "a-b", "a:b", "\xc3\xa9", "a b"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(name_is_plain(bytes_of_text(others[i]), false));
}

UNIT_TEST(test_each_character_has_its_number)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t bytes[UTF8_BYTES_MAX];
        if (c >= 0xd800 && c < 0xe000) continue;
        size_t size = utf8_put(bytes, c);
        if (utf8_step(bytes, size) != size || utf8_get(bytes, size) != c) fail_msg("%x", c);
    }
}

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

UNIT_TEST(test_names_for_scrapers_are_those_of_prometheus)
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
        cmocka_unit_test(test_a_name_that_is_not_escaped_is_unchanged),
        cmocka_unit_test(test_any_bytes_come_back),
        cmocka_unit_test(test_plain_names),
        cmocka_unit_test(test_each_character_has_its_number),
        cmocka_unit_test(test_names_for_scrapers_are_those_of_prometheus),
        cmocka_unit_test(test_words_are_those_of_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
