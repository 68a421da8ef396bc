/* json_objects_test.c - objects are found however they are joined, cut and divided into pieces. */
#include "lib/test.h"

#include <stdio.h>

#include "base/buf.h"
#include "wire/json/json_scan.h"

/* Appends the records of a text that is read in pieces, each after a |. */
static void
cut(const char *text, size_t piece, struct buf *to)
{
    struct json_objects objects = {0};
    bool begins = true;
    buf_clear(to);
    for (size_t at = 0, size = strlen(text); at < size;) {
        size_t left = size - at < piece ? size - at : piece;
        size_t end = json_objects_end(&objects, bytes_of(text + at, left));
        assert_true(end <= left);
        if (begins) buf_put_u8(to, '|');
        buf_put(to, text + at, end);
        begins = end < left;
        at += end + (begins && text[at + end] == '\n');
        if (begins) assert_int_equal(objects.last, 0);
    }
    buf_put_u8(to, 0);
}

static void
check(const char *text, const char *records)
{
    struct buf got;
    buf_init(&got, NULL, 1 << 20);
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        cut(text, piece, &got);
        assert_string_equal((char *)got.at, records);
    }
    buf_fini(&got);
}

UNIT_TEST(test_objects_end_at_line_feeds_and_before_objects)
{
    check("{}\n{}\n", "|{}|{}");
    check("{}\r\n\n{}", "|{}\r||{}");
    check("{\"a\":1}{\"b\":2}{\"c\":3}", "|{\"a\":1}|{\"b\":2}|{\"c\":3}");
    check("{\"a\":{\"b\":[{},{}]}} \t\r{}\n", "|{\"a\":{\"b\":[{},{}]}} \t\r|{}");
    check("[{},{}]\n", "|[{},{}]");
    check("text\nmore", "|text|more");
}

UNIT_TEST(test_braces_in_strings_end_nothing)
{
    check("{\"a\":\"}{\",\"}{\":\"\"}{\"b\":[\"}\",\"{\"]}",
          "|{\"a\":\"}{\",\"}{\":\"\"}|{\"b\":[\"}\",\"{\"]}");
    check("{\"a\":\"\\\"}{\"}{\"b\":\"\\\\\"}{}", "|{\"a\":\"\\\"}{\"}|{\"b\":\"\\\\\"}|{}");
}

/* An object that is cut anywhere loses only itself and the one after it. */
UNIT_TEST(test_a_cut_object_costs_at_most_the_one_after_it)
{
    static const char object[] =
        "{\"na\\\"me\":\"u{p\",\"time\":[1,{\"a\":\"\\\\\"}],\"labels\":{\"x\":\"}\"}}";
    char text[400], end[200];
    struct buf got;
    buf_init(&got, NULL, 1 << 20);
    for (size_t size = 1; size < sizeof object - 1; size++) {
        snprintf(text, sizeof text, "%.*s%s%s%s", (int)size, object, object, object, object);
        snprintf(end, sizeof end, "|%s|%s", object, object);
        cut(text, sizeof text, &got);
        size_t wanted = strlen(end) + 1;
        if (got.size < wanted || memcmp(got.at + got.size - wanted, end, wanted) != 0)
            fail_msg("%s", (char *)got.at);
    }
    buf_fini(&got);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_end_at_line_feeds_and_before_objects),
        cmocka_unit_test(test_braces_in_strings_end_nothing),
        cmocka_unit_test(test_a_cut_object_costs_at_most_the_one_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
