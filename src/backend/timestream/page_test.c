/* page_test.c - values of rows, as services write them, and in other valid JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/timestream/timestream_reader.h"
#include "lib/test.h"

struct taken {
    char text[256];
    unsigned rows;
};

static enum err
take_row(void *context, const struct bytes *cells, struct why *why)
{
    struct taken *taken = context;
    (void)why;
    taken->rows++;
    for (int i = 0; i < 2; i++) {
        size_t used = strlen(taken->text);
        const char *at = cells[i].at == NULL ? "(null)" : (const char *)cells[i].at;
        int size = cells[i].at == NULL ? 6 : (int)cells[i].size;
        snprintf(taken->text + used, sizeof taken->text - used, "%.*s;", size, at);
    }
    return OK;
}

/* Reads a page of one row, whose second value is "z". */
static enum err
read_value(const char *value, struct taken *taken)
{
    char text[512];
    struct timestream_page page;
    struct arena scratch;
    struct why why;
    const struct page_sink sink = {take_row, taken};
    snprintf(text, sizeof text, "{\"Rows\":[{\"Data\":[%s,{\"ScalarValue\":\"z\"}]}]}", value);
    *taken = (struct taken){.rows = 0};
    page_init(&page, NULL);
    arena_init(&scratch, NULL, 1 << 20, 0);
    enum err e = page_read(&page, bytes_of_text(text), 2, &scratch, &sink, &why);
    arena_fini(&scratch);
    page_fini(&page);
    return e;
}

UNIT_TEST(test_a_value_is_the_same_however_it_is_written)
{
    static const struct {
        const char *value, *taken;
    } rows[] = {
        {"{\"ScalarValue\":\"a\"}", "a;z;"},
        {" {\"ScalarValue\":\"a\"} ", "a;z;"},
        {"{ \"ScalarValue\" : \"a\" }", "a;z;"},
        {"{\"ScalarValue\": \"a\"}", "a;z;"},
        {"{\"ScalarValue\":\"a\" ,\"More\":[{}]}", "a;z;"},
        {"{\"More\":{\"ScalarValue\":\"b\"},\"ScalarValue\":\"a\"}", "a;z;"},
        {"{\"ScalarValue\":\"\"}", ";z;"},
        {"{\"ScalarValue\":\"\\u0041\\\"}\"}", "A\"};z;"},
        {"{\"NullValue\":true}", "(null);z;"},
        {"{\"NullValue\": true }", "(null);z;"},
        {"{\"NullValue\":true,\"More\":1}", "(null);z;"},
    };
    struct taken taken;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_value(rows[i].value, &taken), OK);
        assert_string_equal(taken.text, rows[i].taken);
    }
}

UNIT_TEST(test_a_malformed_value_is_damage)
{
    static const char *const values[] = {
        "{}",
        "{\"ScalarValue\":}",
        "{\"ScalarValue\":1}",
        "{\"ScalarValue\":null}",
        "{\"ScalarValue\":\"a\",}",
        "{\"ScalarValue\":\"a\"",
        "{\"ScalarValue\":\"a\"]",
        "{\"NullValue\":tru}",
        "{\"NullValue\":true",
        "{\"NullValue\":true}}",
        "{\"More\":1}",
        "\"a\"",
    };
    struct taken taken;
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        assert_int_equal(read_value(values[i], &taken), ERR_CORRUPT);
        assert_int_equal(taken.rows, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_is_the_same_however_it_is_written),
        cmocka_unit_test(test_a_malformed_value_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
