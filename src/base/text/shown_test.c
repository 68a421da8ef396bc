/* shown_test.c - foreign text in messages. */
#include "lib/test.h"

#include "base/text/quote.h"

UNIT_TEST(test_foreign_text_in_messages_is_bounded_and_whole)
{
    char text[400];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    struct shown s = shown_of(bytes_of_text(text));
    size_t size = strlen(s.text);
    assert_in_range(size, 50, sizeof s.text - 1);
    assert_string_equal(s.text + size - 4, "...'");
    assert_int_equal((size - 5) % 2, 0); /* the cut is between characters */
    memset(text, 0x80, sizeof text - 1);
    s = shown_of(bytes_of(text, sizeof text - 1));
    assert_string_equal(s.text + strlen(s.text) - 4, "...'");
    assert_string_equal(shown_of(bytes_of("a\0b\n", 4)).text, "'a\\x00b\\x0a'");
    assert_string_equal(shown_of(bytes_of(NULL, 0)).text, "''");
    /* These are C1 controls, as in U+009B "31m", and invalid UTF-8. */
    assert_string_equal(shown_of(bytes_of_text("\xc2\x9b"
                                               "31m"))
                            .text,
                        "'\\u009b31m'");
    assert_string_equal(shown_of(bytes_of_text("\xff")).text, "'\\xff'");
}

UNIT_TEST(test_all_of_a_text_is_shown_without_harm)
{
    struct buf text;
    buf_init(&text, NULL, 1000);
    buf_put_shown(&text, bytes_of("\xc3\xa9\n\xc2\x9b \xff", 7));
    buf_put_u8(&text, '\0');
    assert_string_equal((const char *)text.at, "\xc3\xa9\\x0a\\u009b \\xff");
    buf_fini(&text);
}

/* These characters reverse a text, or have no width. */
UNIT_TEST(test_hidden_characters_are_shown)
{
    struct buf text;
    buf_init(&text, NULL, 1000);
    buf_put_shown(&text,
                  bytes_of_text("a\u202eb\u200bc\u2066d\u061ce\ufefff\u00adg\u2010h\U0001f600"));
    buf_put_u8(&text, '\0');
    assert_string_equal((const char *)text.at,
                        "a\\u202eb\\u200bc\\u2066d\\u061ce\\ufefff\\u00adg\u2010h\U0001f600");
    assert_string_equal(shown_of(bytes_of_text("a\u202eb")).text, "'a\\u202eb'");
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_text_in_messages_is_bounded_and_whole),
        cmocka_unit_test(test_all_of_a_text_is_shown_without_harm),
        cmocka_unit_test(test_hidden_characters_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
