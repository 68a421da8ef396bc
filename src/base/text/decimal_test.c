/* decimal_test.c - digits of integers, decimal and hexadecimal, at the edges. */
#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/text/hex.h"

static void
check(uint64_t v)
{
    char text[DECIMAL_BYTES + 1], expected[32];
    text[decimal_print_uint(v, text)] = '\0';
    snprintf(expected, sizeof expected, "%" PRIu64, v);
    assert_string_equal(text, expected);
    text[decimal_print_int((int64_t)v, text)] = '\0';
    snprintf(expected, sizeof expected, "%" PRId64, (int64_t)v);
    assert_string_equal(text, expected);
}

UNIT_TEST(test_integers_have_the_digits_that_printf_gives)
{
    uint64_t power = 1;
    for (int i = 0; i < 20; i++, power *= 10) {
        check(power - 1);
        check(power);
        check(power * 7 + 3);
        check(0 - power);
    }
    check((uint64_t)INT64_MIN);
    check(INT64_MAX);
    check(UINT64_MAX);
}

UNIT_TEST(test_hex_digits_come_back)
{
    struct buf text;
    uint64_t word;
    uint8_t back[4];
    char digits[HEX_WORD_BYTES];
    buf_init(&text, NULL, 100);
    assert_int_equal(hex_print_word(0x7ff0000000000002u, digits), 16);
    assert_memory_equal(digits, "7ff0000000000002", 16);
    assert_true(hex_parse_word(bytes_of(digits, 16), &word));
    assert_true(word == 0x7ff0000000000002u);
    assert_false(hex_parse_word(bytes_of(digits, 15), &word));
    assert_false(hex_parse_word(bytes_of_text("7ff000000000000g"), &word));
    buf_put_hex(&text, bytes_of("\0\x7f\xff\xa0", 4));
    assert_true(bytes_equal_text(buf_bytes(&text), "007fffa0"));
    assert_true(hex_parse(bytes_of_text("007FffA0"), back));
    assert_memory_equal(back, "\0\x7f\xff\xa0", 4);
    assert_false(hex_parse(bytes_of_text("007"), back));
    assert_false(hex_parse(bytes_of_text("0x"), back));
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_have_the_digits_that_printf_gives),
        cmocka_unit_test(test_hex_digits_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
