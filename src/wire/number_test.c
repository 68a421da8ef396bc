/* number_test.c - numbers as text: special values, shortest digits, reading back. */
#include "lib/test.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "wire/number.h"

static void
check_bits(uint64_t bits, const char *expected)
{
    char text[NUMBER_TEXT_BYTES + 1];
    text[number_print(bits, text)] = 0;
    assert_string_equal(text, expected);
}

static void
check_number(double value, const char *expected)
{
    check_bits(double_bits(value), expected);
}

UNIT_TEST(test_special_values_have_prometheus_names)
{
    check_number(INFINITY, "+Inf");
    check_number(-INFINITY, "-Inf");
    check_bits(0x7ff0000000000002u, "NaN"); /* a staleness marker */
    check_bits(0x7ff8000000000001u, "NaN");
    check_bits(0xfff8000000000000u, "NaN");
    check_number(0.0, "0");
    check_number(-0.0, "-0");
}

UNIT_TEST(test_minus_zero_is_not_an_integer_in_json)
{
    char text[NUMBER_TEXT_BYTES + 1];
    text[number_print_json(double_bits(-0.0), text)] = 0;
    assert_string_equal(text, "-0.0");
    text[number_print_json(double_bits(0.0), text)] = 0;
    assert_string_equal(text, "0");
    text[number_print_json(double_bits(-1e-7), text)] = 0;
    assert_string_equal(text, "-1e-07");
}

UNIT_TEST(test_ordinary_values_have_no_exponent)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {1, "1"},
        {-1, "-1"},
        {10, "10"},
        {1500, "1500"},
        {0.1, "0.1"},
        {-0.25, "-0.25"},
        {1.5, "1.5"},
        {123.456, "123.456"},
        {0.30000000000000004, "0.30000000000000004"},
        {1e-6, "0.000001"},
        {1.2345e-6, "0.0000012345"},
        {9007199254740991, "9007199254740991"},
        {9007199254740992, "9007199254740992"},
        {9007199254740993.0, "9007199254740992"},
        {1e16, "10000000000000000"},
        {1.7e18, "1700000000000000000"},
        {1e20, "100000000000000000000"},
        {123456789012345680000.0, "123456789012345680000"}, /* zeros where digits end */
        {999999999999999900000.0, "999999999999999900000"},
        {1435781451.781, "1435781451.781"},
        {4503599627370495.5, "4503599627370495.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_number(cases[i].value, cases[i].text);
}

UNIT_TEST(test_very_small_and_large_have_one_except_when_fixed)
{
    check_number(1e21, "1e+21");
    check_number(-1e21, "-1e+21");
    check_number(1.5e22, "1.5e+22");
    check_number(9.999999999999997e-7, "9.999999999999997e-07");
    check_number(1e-7, "1e-07");
    check_number(-2.5e-10, "-2.5e-10");
    check_number(2.938735877055719e-39, "2.938735877055719e-39");
    check_number(1e100, "1e+100");
}

UNIT_TEST(test_extremes_fit_the_room_promised)
{
    char text[NUMBER_TEXT_BYTES];
    static const double extremes[] = {-DBL_MAX,
                                      -DBL_MIN,
                                      -5e-324,
                                      -2.2250738585072009e-308,
                                      -1.2345678901234567e-300,
                                      -1.2345678901234567e-6};
    static const size_t sizes[] = {24, 24, 7, 23, 24, 25};
    for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++)
        assert_int_equal(number_print(double_bits(extremes[i]), text), sizes[i]);
}

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1du;
}

/* Checks that the text reads back as the same double, and would not with one digit fewer. */
static void
check_shortest(uint64_t bits)
{
    char text[NUMBER_TEXT_BYTES + 1], shorter[64];
    text[number_print(bits, text)] = 0;
    if (double_bits(strtod(text, NULL)) != bits)
        fail_msg("%016llx became %s", (unsigned long long)bits, text);
    int digits = 0, trailing_zeros = 0;
    for (const char *at = text; *at != 0 && *at != 'e'; at++) {
        if (*at < '0' || *at > '9' || (digits == 0 && *at == '0')) continue;
        digits++;
        trailing_zeros = *at == '0' ? trailing_zeros + 1 : 0;
    }
    if (strchr(text, '.') == NULL) digits -= trailing_zeros;
    assert_true(digits >= 1 && digits <= 17);
    if (digits == 1) return;
    snprintf(shorter, sizeof shorter, "%.*e", digits - 2, bits_double(bits));
    if (double_bits(strtod(shorter, NULL)) == bits) fail_msg("%s for %s", text, shorter);
}

UNIT_TEST(test_digits_are_the_shortest_that_read_back)
{
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = random_next(&seed);
        if (!isfinite(bits_double(bits))) continue;
        check_shortest(bits);
        double decimal = (double)(int64_t)(random_next(&seed) % 2000000) / 1000;
        if (decimal != 0) check_shortest(double_bits(decimal));
        double large = (double)(random_next(&seed) >> (i % 40));
        if (large != 0) check_shortest(double_bits(large));
    }
    for (int e = -1074; e < 1024; e++) {
        uint64_t power = double_bits(ldexp(1, e));
        check_shortest(power);
        check_shortest(power + 1);
        if (power > 1) check_shortest(power - 1);
    }
}

static bool
parse(const char *text, uint64_t *ret_bits)
{
    return number_parse(text, strlen(text), ret_bits);
}

static void
check_parsed(const char *text, uint64_t expected)
{
    uint64_t bits = 1;
    if (!parse(text, &bits) || bits != expected)
        fail_msg("%s gave %016llx", text, (unsigned long long)bits);
}

UNIT_TEST(test_every_double_reads_back_bit_for_bit)
{
    uint64_t seed = 88172645463325252u;
    char text[NUMBER_TEXT_BYTES];
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = random_next(&seed), back = 0;
        if (i % 8 == 0) bits |= 0x7ff0000000000000u; /* NaN with a payload, sometimes a sign */
        size_t size = number_print_exact(bits, text);
        assert_true(size <= NUMBER_TEXT_BYTES);
        if (!number_parse_exact(text, size, &back) || back != bits)
            fail_msg("%016llx became %.*s", (unsigned long long)bits, (int)size, text);
    }
    static const uint64_t special[] = {0,
                                       1,
                                       0x8000000000000000u,
                                       0x7ff0000000000000u,
                                       0xfff0000000000000u,
                                       0x7ff8000000000001u,
                                       0x7ff0000000000002u,
                                       0xfff8dead0000beefu,
                                       0x7fefffffffffffffu};
    for (unsigned i = 0; i < sizeof special / sizeof *special; i++) {
        uint64_t back = 0;
        assert_true(number_parse_exact(text, number_print_exact(special[i], text), &back));
        assert_int_equal(back, special[i]);
    }
}

UNIT_TEST(test_digits_are_rounded_as_strtod_does)
{
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 50000; i++) {
        char text[96];
        int size =
            snprintf(text, sizeof text, "%s%llu.%llue%d", i % 2 == 0 ? "-" : "",
                     (unsigned long long)(random_next(&seed) >> (i % 60)),
                     (unsigned long long)random_next(&seed), (int)(random_next(&seed) % 700) - 360);
        assert_true(size < (int)sizeof text);
        double expected = strtod(text, NULL);
        uint64_t bits;
        if (isinf(expected))
            assert_false(parse(text, &bits));
        else
            check_parsed(text, double_bits(expected));
    }
}

UNIT_TEST(test_words_and_forms_of_numbers_are_read)
{
    check_parsed("1", double_bits(1));
    check_parsed("+1", double_bits(1));
    check_parsed("-0", double_bits(-0.0));
    check_parsed("1.", double_bits(1));
    check_parsed(".5", double_bits(0.5));
    check_parsed("1E+2", double_bits(100));
    check_parsed("0000000001e-3", double_bits(0.001));
    check_parsed("NaN", 0x7ff8000000000001u);
    check_parsed("nAn", 0x7ff8000000000001u);
    check_parsed("+Inf", double_bits(INFINITY));
    check_parsed("infinity", double_bits(INFINITY));
    check_parsed("-inf", double_bits(-INFINITY));
    check_parsed("1e-400", 0);
    check_parsed("-0.0000001e-99999999999999999999", double_bits(-0.0));
    check_parsed("0e99999999999999999999", 0);
    static const char *const wrong[] = {
        "",       "+",  "-",       "+-1",   "--1",  ".",     "e5",
        "1e",     "1 ", " 1",      "1x",    "0x10", "1e400", "-nan",
        "nan(1)", "in", "infinit", "1_000", "1,5",  "NaN(",  "1e9999999999999999999"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t bits;
        if (parse(wrong[i], &bits)) fail_msg("'%s' was read", wrong[i]);
    }
    uint64_t bits;
    assert_true(number_parse_exact("stale", 5, &bits));
    assert_int_equal(bits, 0x7ff0000000000002u);
    static const char *const no_nan[] = {"NaN(0x)", "NaN(0x1)", "NaN(0x7ff0000000000000)",
                                         "NaN(0x7ff8000000000001", "NaN(0x7ff80000000000011)"};
    for (unsigned i = 0; i < sizeof no_nan / sizeof *no_nan; i++)
        assert_false(number_parse_exact(no_nan[i], strlen(no_nan[i]), &bits));
}

UNIT_TEST(test_numbers_are_read_as_go_reads_them)
{
    static const struct {
        const char *text;
        double value; /* NAN: it is not a number */
    } rows[] = {{"1.5", 1.5},      {"+Inf", INFINITY},
                {"0x1p-2", 0.25},  {"-0X1.8P+1", -3},
                {"0x.8p1", 1},     {"0xap0", 10},
                {"0x_1p4", 16},    {"0x1_0p0_1", 32},
                {"1_0", 10},       {"+1_000.2_5", 1000.25},
                {"1_0e1_0", 1e11}, {"0_1", 1},
                {"0x1p-2000", 0},  {"0x1", NAN},
                {"0x1p", NAN},     {"0x.p1", NAN},
                {"0xp1", NAN},     {"0x1p2000", NAN},
                {"_1", NAN},       {"1_", NAN},
                {"1__0", NAN},     {"1_.5", NAN},
                {"1._5", NAN},     {"1_e5", NAN},
                {"1e_5", NAN},     {"0x1_p1", NAN},
                {"0x1p_1", NAN},   {"0b1p1", NAN},
                {"-_1", NAN},      {"_0x1p1", NAN},
                {"1p4", NAN},      {"0x1p1 ", NAN},
                {" 0x1p1", NAN},   {"--0x1p1", NAN},
                {"0x-1p1", NAN},   {"In_f", NAN},
                {"", NAN},         {"_", NAN}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t bits;
        bool is_number = number_parse_go(rows[i].text, strlen(rows[i].text), &bits);
        if (is_number == isnan(rows[i].value)) fail_msg("'%s': %d", rows[i].text, is_number);
        if (is_number) assert_true(bits == double_bits(rows[i].value));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_double_reads_back_bit_for_bit),
        cmocka_unit_test(test_digits_are_rounded_as_strtod_does),
        cmocka_unit_test(test_words_and_forms_of_numbers_are_read),
        cmocka_unit_test(test_numbers_are_read_as_go_reads_them),
        cmocka_unit_test(test_special_values_have_prometheus_names),
        cmocka_unit_test(test_minus_zero_is_not_an_integer_in_json),
        cmocka_unit_test(test_ordinary_values_have_no_exponent),
        cmocka_unit_test(test_very_small_and_large_have_one_except_when_fixed),
        cmocka_unit_test(test_extremes_fit_the_room_promised),
        cmocka_unit_test(test_digits_are_the_shortest_that_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
