/* plan_print_test.c - plans in JSON become rows, in pieces of any size; other JSON is an error. */
#include "lib/test.h"

#include <stdlib.h>

#include "cli/query/query_print.h"

static struct why why;

static enum err
print(const char *json, bool ran, char **ret_text)
{
    size_t size;
    struct query_sink *sink;
    FILE *to = open_memstream(ret_text, &size);
    assert_non_null(to);
    assert_int_equal(plan_printer_new(to, ran, &sink, &why), OK);
    for (size_t i = 0; json[i] != '\0'; i++)
        assert_int_equal(sink->ops->data(sink, bytes_of(&json[i], 1), &why), OK);
    enum err e = sink->ops->end(sink, &why);
    sink->ops->free(sink);
    fclose(to);
    return e;
}

static void
check(const char *json, bool ran, const char *expected)
{
    char *text;
    assert_int_equal(print(json, ran, &text), OK);
    assert_string_equal(text, expected);
    free(text);
}

UNIT_TEST(test_children_are_indented)
{
    check(
        "{\"operator\":\"map\",\"detail\":\"abs(a)\",\"series\":null,\"blocks\":2,\"samples\":300,"
        "\"bytes\":4096,\"children\":[{\"operator\":\"selector\",\"detail\":\"a\\u001b\","
        "\"series\":1,\"blocks\":2,\"samples\":300,\"bytes\":4096,\"exact\":true,"
        "\"children\":[]}],\"limits\":[]}",
        false,
        "operator           series  blocks  samples    bytes\n"
        "map  abs(a)             -       2      300  4.0 KiB\n"
        "  selector  a\\x1b       1       2      300  4.0 KiB\n");
}

UNIT_TEST(test_a_run_has_times_and_totals)
{
    check("{\"operator\":\"selector\",\"detail\":\"a\",\"series\":1,\"blocks\":2,\"samples\":300,"
          "\"bytes\":4096,\"ms\":1.5,\"peak_bytes\":2048,\"children\":[],\"stats\":{\"ms\":2,"
          "\"series\":1,\"result_series\":7,\"peak_samples\":9,\"peak_bytes\":999}}",
          true,
          "operator     series  blocks  samples    bytes     ms   memory\n"
          "selector  a       1       2      300  4.0 KiB  1.500  2.0 KiB\n"
          "  time in ms                 2.000\n"
          "  series in the result       7\n"
          "  samples held at most       9\n"
          "  memory at most             999 B\n");
}

UNIT_TEST(test_a_run_whose_memory_is_hidden_has_the_rest)
{
    check("{\"operator\":\"selector\",\"detail\":\"a\",\"series\":1,\"blocks\":2,\"samples\":300,"
          "\"bytes\":4096,\"ms\":1.5,\"children\":[],\"stats\":{\"ms\":2,\"series\":1,"
          "\"result_series\":7,\"peak_samples\":9}}",
          true,
          "operator     series  blocks  samples    bytes     ms  memory\n"
          "selector  a       1       2      300  4.0 KiB  1.500  -\n"
          "  time in ms                 2.000\n"
          "  series in the result       7\n"
          "  samples held at most       9\n");
}

UNIT_TEST(test_a_malformed_plan_is_an_error)
{
    static const char *const wrong[] = {"[]", "{\"children\":3}", "{\"series\":\"x\"}", "{", "3 "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *text;
        assert_int_equal(print(wrong[i], false, &text), ERR_UNSUPPORTED);
        free(text);
    }
}

UNIT_TEST(test_a_plan_of_any_depth_is_printed_or_refused)
{
    static const char open[] = "{\"operator\":\"map\",\"children\":[", close[] = "]}";
    for (unsigned depth = 500; depth <= 20000; depth += 19500) {
        struct buf json;
        char *text;
        buf_init(&json, NULL, 16 << 20);
        for (unsigned i = 0; i < depth; i++)
            buf_put_text(&json, open);
        for (unsigned i = 0; i < depth; i++)
            buf_put_text(&json, close);
        buf_put_u8(&json, '\0');
        assert_int_equal(print((const char *)json.at, false, &text),
                         depth == 500 ? OK : ERR_UNSUPPORTED);
        free(text);
        buf_fini(&json);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children_are_indented),
        cmocka_unit_test(test_a_run_has_times_and_totals),
        cmocka_unit_test(test_a_run_whose_memory_is_hidden_has_the_rest),
        cmocka_unit_test(test_a_malformed_plan_is_an_error),
        cmocka_unit_test(test_a_plan_of_any_depth_is_printed_or_refused),
    };
    return cmocka_run_group_tests_name("cli/plan_print", tests, NULL, NULL);
}
