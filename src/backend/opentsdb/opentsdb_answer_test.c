/* opentsdb_answer_test.c - answers of OpenTSDB: the content of good ones, and the errors of others.
 */
#include "lib/test.h"

#include "backend/opentsdb/opentsdb_reader.h"

struct received {
    struct buf text;
    enum err of_point; /* returned for each point */
};

static enum err
receive_series(void *context, const struct opentsdb_series *series, struct why *why)
{
    struct received *t = context;
    (void)why;
    buf_put_bytes(&t->text, series->metric);
    for (uint32_t i = 0; i < series->tag_count; i++) {
        buf_put_u8(&t->text, ',');
        buf_put_bytes(&t->text, series->tags[i].name);
        buf_put_u8(&t->text, '=');
        buf_put_bytes(&t->text, series->tags[i].value);
    }
    buf_put_u8(&t->text, '#');
    buf_put_bytes(&t->text, series->tsuid);
    return OK;
}

static enum err
receive_point(void *context, int64_t t_ms, uint64_t bits, struct why *why)
{
    struct received *t = context;
    buf_printf(&t->text, " %lld:%llx", (long long)t_ms, (unsigned long long)bits);
    return t->of_point ? why_set(why, t->of_point, "no more") : OK;
}

static enum err
receive_name(void *context, struct bytes name, struct why *why)
{
    struct received *t = context;
    (void)why;
    buf_put_bytes(&t->text, name);
    buf_put_u8(&t->text, ';');
    return OK;
}

static void
check(const char *answer, bool is_names, enum err of_point, enum err expected, const char *text,
      const char *words)
{
    struct received received = {.of_point = of_point};
    struct bytes whole = bytes_of_text(answer);
    struct arena scratch;
    struct why why = {""};
    const struct opentsdb_sink sink = {receive_series, receive_point, &received};
    buf_init(&received.text, NULL, 1 << 20);
    arena_init(&scratch, NULL, 1 << 20, 0);
    enum err e = is_names ? opentsdb_read_names(whole, &scratch, receive_name, &received, &why)
                          : opentsdb_read_series(whole, &scratch, &sink, &why);
    buf_put_u8(&received.text, 0);
    assert_string_equal(why.text, words);
    assert_int_equal(e, expected);
    if (text != NULL) assert_string_equal((const char *)received.text.at, text);
    arena_fini(&scratch);
    buf_fini(&received.text);
}

#define HEAD \
    "{\"metric\":\"up\",\"tags\":{\"a\":\"b\"},\"aggregateTags\":[],\"tsuids\":[\"0A\"],\"dps\":"

UNIT_TEST(test_series_and_points_are_read)
{
    check("[ " HEAD "{\"1000\":1,\"2000\":-0.0 , \"3000\":1e-7}},"
          "{\"metric\":\"\\u0061\\\"\",\"tags\":{},\"x\":{\"y\":[1,{\"z\":null}]},\"tsuids\":["
          "\"0b\"],"
          "\"dps\":{}}]\n",
          false, OK, OK,
          "up,a=b#0A 1000:3ff0000000000000 2000:8000000000000000 3000:3e7ad7f29abcaf48a\"#0b", "");
    check("[]", false, OK, OK, "", "");
}

UNIT_TEST(test_an_integer_beyond_53_bits_is_the_nearest_float)
{
    check("[" HEAD "{\"1\":9007199254740993}}]", false, OK, OK, "up,a=b#0A 1:4340000000000000", "");
}

UNIT_TEST(test_nan_is_a_value_and_null_is_skipped)
{
    check("[" HEAD "{\"1\":\"NaN\",\"2\":NaN,\"3\":null,\"4\":-Infinity}}]", false, OK, OK,
          "up,a=b#0A 1:7ff8000000000001 2:7ff8000000000001 4:fff0000000000000", "");
}

UNIT_TEST(test_a_malformed_answer_is_damage)
{
    static const struct {
        const char *answer;
        const char *words;
    } cases[] = {
        {"", "the response ends too early"},
        {"<html>", "expected an array"},
        {"{\"error\":1}", "expected an array"},
        {"[1]", "expected an object"},
        {"[" HEAD "{\"1\":1", "the response ends too early"},
        {"[" HEAD "{\"1\":1}}", "the response ends too early"},
        {"[" HEAD "{\"1\":1}}]]", "unexpected text after the value"},
        {"[" HEAD "{\"1\":1}}{", "expected ',' or ']'"},
        {"[" HEAD "{\"1\" 1}}]", "expected ':' after a key"},
        {"[" HEAD "{\"x\":1}}]", "a point has an invalid time"},
        {"[" HEAD "{\"1\":x}}]", "expected a number"},
        {"[" HEAD "{\"1\":\"x\"}}]", "a point has a value that is not a number"},
        {"[" HEAD "{\"1\":}}]", "expected a number"},
        {"[" HEAD "[[1,1]]}]", "expected an object"},
        {"[{\"dps\":{}}]", "a series has no metric or no TSUID before its points"},
        {"[{\"metric\":\"a\",\"tsuids\":[\"01\",\"02\"]}]", "a series is made of several"},
        {"[{\"metric\":\"a\",\"tsuids\":[\"x\"]}]", "a series has an invalid TSUID"},
        {"[{\"metric\":\"a\",\"tsuids\":[\"01\"],\"dps\":{},\"tags\":{}}]",
         "points come before what they belong to"},
        {"[{\"metric\":\"\\ud800x\"}]", "invalid \\u escape"},
        {"[{\"metric\":\"\\q\"}]", "unknown escape sequence"},
        {"[{\"metric\":\"\n\"}]", "control character in a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(cases[i].answer, false, OK, ERR_CORRUPT, NULL, cases[i].words);
}

UNIT_TEST(test_levels_have_a_limit)
{
    char deep[256] = "[{\"x\":";
    size_t at = strlen(deep);
    memset(deep + at, '[', 65);
    deep[at + 65] = '\0';
    check(deep, false, OK, ERR_CORRUPT, NULL, "too many nested levels");
}

UNIT_TEST(test_an_error_of_the_sink_ends_the_reading)
{
    check("[" HEAD "{\"1\":1,\"2\":2}}]", false, ERR_FULL, ERR_FULL, "up,a=b#0A 1:3ff0000000000000",
          "no more");
}

UNIT_TEST(test_names_are_read)
{
    check("[\"a\",\"b_2Ec\" ,\"\xc3\xa9\"]", true, OK, OK, "a;b_2Ec;\xc3\xa9;", "");
    check("[]", true, OK, OK, "", "");
    check("[1]", true, OK, ERR_CORRUPT, NULL, "expected a string in double quotes");
    check("[\"a\"", true, OK, ERR_CORRUPT, NULL, "the response ends too early");
}

static void
check_refusal(unsigned status, const char *body, enum opentsdb_refusal expected, const char *name)
{
    struct arena scratch;
    struct bytes said;
    arena_init(&scratch, NULL, 1 << 20, 0);
    assert_int_equal(opentsdb_refusal_of(status, bytes_of_text(body), &scratch, &said), expected);
    assert_true(bytes_equal_text(said, name));
    arena_fini(&scratch);
}

UNIT_TEST(test_refusals_are_distinguished)
{
    check_refusal(400,
                  "{\"error\":{\"code\":400,\"message\":\"No such name for 'metrics': 'up'\"}}",
                  REFUSED_UNKNOWN_METRIC, "up");
    check_refusal(400,
                  "{\"error\":{\"message\":\"No such name for 'tagk': 'it\\u0027s'\",\"trace\":\"",
                  REFUSED_UNKNOWN_TAG, "it's");
    check_refusal(404, "{\"error\":{\"message\":\"No such name for 'tagv': ''\"}}",
                  REFUSED_UNKNOWN_VALUE, "");
    check_refusal(500, "{\"error\":{\"message\":\"No such name for 'tagv': 'x'\"}}",
                  REFUSED_OTHERWISE, "");
    check_refusal(413, "", REFUSED_TOO_MUCH, "");
    check_refusal(
        400,
        "{\"error\":{\"message\":\"Sorry, you have attempted to fetch more than our limit "
        "of 1 data points.\"}}",
        REFUSED_TOO_MUCH, "");
    check_refusal(400, "{\"error\":{\"message\":\"Sorry, your query timed out.\"}}",
                  REFUSED_TOO_MUCH, "");
    check_refusal(400, "{\"error\":{\"message\":\"No such name for 'tagv': 'x\"}}",
                  REFUSED_OTHERWISE, "");
    check_refusal(400, "<html>", REFUSED_OTHERWISE, "");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_and_points_are_read),
        cmocka_unit_test(test_an_integer_beyond_53_bits_is_the_nearest_float),
        cmocka_unit_test(test_nan_is_a_value_and_null_is_skipped),
        cmocka_unit_test(test_a_malformed_answer_is_damage),
        cmocka_unit_test(test_levels_have_a_limit),
        cmocka_unit_test(test_an_error_of_the_sink_ends_the_reading),
        cmocka_unit_test(test_names_are_read),
        cmocka_unit_test(test_refusals_are_distinguished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
