/* caret_test.c - the caret is below the position that the sentence names. */
#include "lib/test.h"

#include "base/text/quote.h"

static void
check(const char *text, const char *sentence, uint32_t width, const char *expected)
{
    struct buf to;
    buf_init(&to, NULL, 10000);
    caret_put(&to, bytes_of_text(text), bytes_of_text(sentence), width);
    buf_put_u8(&to, '\0');
    assert_string_equal((const char *)to.at, expected);
    buf_fini(&to);
}

UNIT_TEST(test_the_caret_is_below_the_position)
{
    check("up{", "1:4: parse error", 80, "  up{\n     ^\n");
    check("up{", "1:1: parse error", 80, "  up{\n  ^\n");
    check("a\n bb\nc", "2:3: parse error", 80, "   bb\n    ^\n");
    check("a\n", "2:1: parse error", 80, "  \n  ^\n");
}

UNIT_TEST(test_characters_count_not_bytes)
{
    check("{\"\xc3\xa9\xc3\xa9\"}}", "1:9: x", 80, "  {\"\xc3\xa9\xc3\xa9\"}}\n        ^\n");
    check("a\tb\033\xffz", "1:6: x", 80, "  a b  z\n       ^\n");
}

UNIT_TEST(test_a_long_line_is_cut_around_the_place)
{
    check("0123456789abcdefghijklmnopqrstuvwxyz", "1:1: x", 20, "  0123456789abcdefgh\n  ^\n");
    check("0123456789abcdefghijklmnopqrstuvwxyz", "1:21: x", 20,
          "  bcdefghijklmnopqrs\n           ^\n");
    check("0123456789abcdefghijklmnopqrstuvwxyz", "1:37: x", 20, "  rstuvwxyz\n           ^\n");
}

UNIT_TEST(test_a_sentence_without_a_place_gets_none)
{
    static const char *const sentences[] = {"",
                                            "1:",
                                            "1:4",
                                            "x:1: y",
                                            "1:x: y",
                                            "0:1: y",
                                            "1:0: y",
                                            "2:1: y",
                                            "1:5: y",
                                            "99999999999999999999:1: y",
                                            "1:99999999999999999999: y"};
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++)
        check("up{", sentences[i], 80, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_caret_is_below_the_position),
        cmocka_unit_test(test_characters_count_not_bytes),
        cmocka_unit_test(test_a_long_line_is_cut_around_the_place),
        cmocka_unit_test(test_a_sentence_without_a_place_gets_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
