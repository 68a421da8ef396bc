/* time_text_test.c - times and durations as text. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text/time_text.h"

static int64_t
must_parse(const char *text)
{
    int64_t ms = 0;
    struct why why = {""};
    if (time_parse(bytes_of_text(text), 1700000000000, &ms, &why)) fail_msg("%s", why.text);
    return ms;
}

UNIT_TEST(test_seconds_are_exact_to_the_millisecond)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0", 0},
        {"1700000000", 1700000000000},
        {"1700000000.123", 1700000000123},
        {"1700000000.1234", 1700000000123},
        {"1700000000.1235", 1700000000124},
        {"1700000000.9999", 1700000001000},
        {"1.520879607789e+09", 1520879607789},
        {"-0.001", -1},
        {"-3982.045", -3982045},
        {"1e-9", 0},
        {"0.00049", 0},
        {"0.0005", 1},
        {"9223372036854775.807", INT64_MAX},
        {"+5", 5000},
        {".5", 500},
        {"1700000000.12300000000000000000000000000", 1700000000123},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -7;
        if (!time_parse_seconds(bytes_of_text(cases[i].text), &ms) || ms != cases[i].ms)
            fail_msg("%s gave %lld", cases[i].text, (long long)ms);
    }
    static const char *const wrong[] = {
        "", "-", ".", "1e", "1x", "NaN", "Inf", "1e30", "9223372036854775.808", "1.2.3", " 1"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t ms;
        if (time_parse_seconds(bytes_of_text(wrong[i]), &ms)) fail_msg("'%s'", wrong[i]);
    }
}

UNIT_TEST(test_printed_seconds_read_back)
{
    static const int64_t times[] = {
        0, 1, -1, 10, 100, 1000, -999, 1700000000123, INT64_MAX, INT64_MIN + 1};
    for (unsigned i = 0; i < sizeof times / sizeof *times; i++) {
        char text[TIME_TEXT_BYTES];
        int64_t back;
        size_t size = time_print_seconds(times[i], text);
        assert_true(time_parse_seconds(bytes_of(text, size), &back));
        assert_int_equal(back, times[i]);
    }
}

UNIT_TEST(test_dates_agree_with_the_c_library)
{
    for (int64_t day = -719528; day < 2932896; day += 37) {
        char expected[64], got[TIME_TEXT_BYTES];
        int64_t ms = day * 86400000 + (day & 0xfff) * 20011, back;
        time_t seconds = (time_t)((ms - ((ms % 1000) + 1000) % 1000) / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(((ms % 1000) + 1000) % 1000));
        assert_string_equal(time_print(ms, got), expected);
        assert_true(time_parse_rfc3339(bytes_of_text(got), &back));
        assert_int_equal(back, ms);
    }
}

UNIT_TEST(test_months_begin_where_the_c_library_says)
{
    for (int64_t day = -719528; day < 2932896; day += 13) {
        int64_t ms = day * 86400000 + (day % 3) * 40000001;
        int months = (int)(day % 40);
        time_t seconds = (time_t)((ms - ((ms % 1000) + 1000) % 1000) / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        struct tm first = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + months, .tm_mday = 1};
        assert_int_equal(time_month_begin(ms, months), (int64_t)timegm(&first) * 1000);
    }
}

/* Prometheus 3 gave the expected values. */
UNIT_TEST(test_half_milliseconds_are_rounded_as_by_prometheus)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1726616971.4915", 1726616971491},
        {"1655845211.5405", 1655845211540},
        {"1562039827.9315", 1562039827931},
        {"1795500570.0005", 1795500570000},
        {"1795500570.0015", 1795500570001},
        {"1700000000.1235", 1700000000124},
        {"1726616971.9995", 1726616972000},
        {"-1726616971.4915", -1726616971491},
        {"-1.5", -1500},
        {"0.0005", 1},
        {"-0.0005", -1},
        {"1e-4", 0},
        {"1.7266169714915e9", 1726616971491},
        {"9223372036854775.8070", INT64_MAX},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 7;
        assert_true(time_parse_api(bytes_of_text(cases[i].text), &ms));
        if (ms != cases[i].ms) fail_msg("%s gave %lld", cases[i].text, (long long)ms);
        assert_int_equal(must_parse(cases[i].text), cases[i].ms);
    }
}

UNIT_TEST(test_the_api_takes_what_prometheus_takes_and_no_more)
{
    static const struct {
        const char *text;
        int64_t ms;
    } taken[] = {
        {"0", 0},
        {"-1.5", -1500},
        {"1.7e9", 1700000000000},
        {"9223372036854775.807", INT64_MAX},
        {"9223372036854775.808", INT64_MAX},
        {"-9223372036854775.808", INT64_MIN},
        {"1e300", INT64_MAX},
        {"-1e300", INT64_MIN},
        {"Inf", INT64_MAX},
        {"+infinity", INT64_MAX},
        {"-INF", INT64_MIN},
        {"-292273086-05-16T16:47:06Z", INT64_MIN},
        {"292277025-08-18T07:12:54.999999999Z", INT64_MAX},
        {"2023-11-14T22:13:20Z", 1700000000000},
        {"2023-11-14T22:13:20.1234+01:00", 1699996400123},
    };
    static const char *const refused[] = {
        "",
        "now",
        "now-1d",
        "2026-11-20",
        "1d",
        "2026-11-20 00:00:00Z",
        "in",
        "2026-11-20t00:00:00Z",
        "infinit",
        "2026-11-20T00:00:00z",
        "infinityy",
        "2026-11-20T00:00:00",
        "--Inf",
        "292277025-08-18T07:12:54Z",
        "+-Inf",
        "-292273086-05-16T16:47:05Z",
        "NaN",
        "2026-02-30T00:00:00Z",
        "Inf ",
        " 1",
        "2026-11-20T",
        "+",
    };
    for (unsigned i = 0; i < sizeof taken / sizeof *taken; i++) {
        int64_t ms = 1;
        bool is = time_parse_api(bytes_of_text(taken[i].text), &ms);
        if (!is || ms != taken[i].ms) fail_msg("%s: %lld", taken[i].text, (long long)ms);
    }
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        int64_t ms;
        if (time_parse_api(bytes_of_text(refused[i]), &ms)) fail_msg("'%s' is taken", refused[i]);
    }
}

UNIT_TEST(test_the_command_line_takes_dates_seconds_and_now)
{
    assert_int_equal(must_parse("now"), 1700000000000);
    assert_int_equal(must_parse("now-1h30m"), 1700000000000 - 5400000);
    assert_int_equal(must_parse("now+250ms"), 1700000000250);
    assert_int_equal(must_parse("1700000000.5"), 1700000000500);
    assert_int_equal(must_parse("2023-11-14T22:13:20Z"), 1700000000000);
    assert_int_equal(must_parse("2023-11-14T23:13:20.75+01:00"), 1700000000750);
    assert_int_equal(must_parse("2023-11-14 22:13:20z"), 1700000000000);
    assert_int_equal(must_parse("1970-01-02"), 86400000);
    static const char *const wrong[] = {"",
                                        "yesterday",
                                        "now-",
                                        "now-1",
                                        "now*1d",
                                        "now-1dd",
                                        "now-99999999999y",
                                        "2023-02-29",
                                        "2023-13-01",
                                        "2023-11-14T22:13:20",
                                        "2023-11-14T24:00:00Z",
                                        "2023-11-14T22:13:20.Z",
                                        "2023-11-14T22:13:20Zx"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t ms = 5;
        struct why why = {""};
        if (time_parse(bytes_of_text(wrong[i]), 0, &ms, &why) != ERR_INPUT)
            fail_msg("'%s' was read", wrong[i]);
        assert_int_equal(ms, 5);
        assert_true(why.text[0] != '\0');
    }
}

UNIT_TEST(test_durations_are_printed_as_prometheus_does_and_read_back)
{
    static const struct {
        int64_t ms;
        const char *text;
    } durations[] = {{0, "0s"},
                     {1, "1ms"},
                     {1001, "1s1ms"},
                     {90000, "1m30s"},
                     {90500, "1m30s500ms"},
                     {3600000, "1h"},
                     {86400000, "1d"},
                     {604800000, "1w"},
                     {691200000, "8d"},
                     {31536000000, "1y"},
                     {INT64_MAX, "106751991167d7h12m55s807ms"}};
    for (unsigned i = 0; i < sizeof durations / sizeof *durations; i++) {
        char text[TIME_TEXT_BYTES];
        int64_t ms;
        assert_string_equal(time_print_duration(durations[i].ms, text), durations[i].text);
        assert_true(time_parse_duration(bytes_of_text(text), &ms));
        assert_int_equal(ms, durations[i].ms);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seconds_are_exact_to_the_millisecond),
        cmocka_unit_test(test_printed_seconds_read_back),
        cmocka_unit_test(test_dates_agree_with_the_c_library),
        cmocka_unit_test(test_months_begin_where_the_c_library_says),
        cmocka_unit_test(test_half_milliseconds_are_rounded_as_by_prometheus),
        cmocka_unit_test(test_the_api_takes_what_prometheus_takes_and_no_more),
        cmocka_unit_test(test_the_command_line_takes_dates_seconds_and_now),
        cmocka_unit_test(test_durations_are_printed_as_prometheus_does_and_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
