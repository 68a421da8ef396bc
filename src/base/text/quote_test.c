/* quote_test.c - quoted text as Go's strconv.Quote writes it, and reading it. */
#include "lib/test.h"

#include "base/text/quote.h"

static const struct {
    const char *plain;
    size_t size;
    const char *quoted;
} texts[] = {
    {"", 0, "\"\""},
    {"a b", 3, "\"a b\""},
    {"\"\\'", 3, "\"\\\"\\\\'\""},
    {"\a\b\t\n\v\f\r", 7, "\"\\a\\b\\t\\n\\v\\f\\r\""},
    {"\0\x01\x7f", 3, "\"\\x00\\x01\\x7f\""},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5\""},
    {"\xff\xc3", 2, "\"\\xff\\xc3\""},
    {"\xc2\x80\xc2\xa0\xe2\x80\x8b\xef\xbb\xbf", 10, "\"\\u0080\\u00a0\\u200b\\ufeff\""},
    {"\xf3\xa0\x80\x81", 4, "\"\\U000e0001\""},
};

UNIT_TEST(test_unprintable_characters_are_escaped_and_read_back)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf quoted, plain;
        buf_init(&quoted, NULL, 1000);
        buf_init(&plain, NULL, 1000);
        quote_text(&quoted, bytes_of(texts[i].plain, texts[i].size));
        assert_true(bytes_equal_text(buf_bytes(&quoted), texts[i].quoted));
        assert_true(quote_read(buf_bytes(&quoted), &plain));
        assert_true(bytes_equal(buf_bytes(&plain), bytes_of(texts[i].plain, texts[i].size)));
        buf_fini(&quoted);
        buf_fini(&plain);
    }
}

UNIT_TEST(test_an_invalid_literal_is_refused)
{
    static const char *const wrong[] = {"",
                                        "\"",
                                        "a",
                                        "\"a",
                                        "\"a'",
                                        "\"a\"b\"",
                                        "\"\\q\"",
                                        "\"\\x1\"",
                                        "\"\\xg0\"",
                                        "\"\\400\"",
                                        "\"\\08\"",
                                        "\"\\ud800\"",
                                        "\"\\U00110000\"",
                                        "\"\\\"",
                                        "\"a\nb\"",
                                        "'\\\"'"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct buf plain;
        buf_init(&plain, NULL, 1000);
        assert_false(quote_read(bytes_of_text(wrong[i]), &plain));
        buf_fini(&plain);
    }
}

UNIT_TEST(test_each_kind_of_quote_has_its_rules)
{
    static const struct {
        const char *literal;
        const char *plain;
    } cases[] = {{"'\\'\"'", "'\""}, {"`\\n\"'\n`", "\\n\"'\n"}, {"\"\\101\\x42\\u0043\"", "ABC"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf plain;
        buf_init(&plain, NULL, 1000);
        assert_true(quote_read(bytes_of_text(cases[i].literal), &plain));
        assert_true(bytes_equal_text(buf_bytes(&plain), cases[i].plain));
        buf_fini(&plain);
    }
}

UNIT_TEST(test_characters_are_named)
{
    static const struct {
        int32_t rune;
        const char *quoted;
        const char *point;
    } cases[] = {{'a', "'a'", "U+0061 'a'"},
                 {'\'', "'\\''", "U+0027 '''"},
                 {'\n', "'\\n'", "U+000A"},
                 {RUNE_NONE, "'\xef\xbf\xbd'", "U+FFFD '\xef\xbf\xbd'"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text;
        buf_init(&text, NULL, 1000);
        quote_rune(&text, cases[i].rune);
        assert_true(bytes_equal_text(buf_bytes(&text), cases[i].quoted));
        buf_clear(&text);
        quote_code_point(&text, cases[i].rune);
        assert_true(bytes_equal_text(buf_bytes(&text), cases[i].point));
        buf_fini(&text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unprintable_characters_are_escaped_and_read_back),
        cmocka_unit_test(test_an_invalid_literal_is_refused),
        cmocka_unit_test(test_each_kind_of_quote_has_its_rules),
        cmocka_unit_test(test_characters_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
