/* json_tree_test.c - JSON within limits. */
#include "lib/test.h"

#include <stdlib.h>
#include <string.h>

#include "wire/json/json_tree.h"

static enum err
read_json(const char *text, uint32_t value_max, struct why *why)
{
    struct json_tree json;
    struct budget budget;
    budget_init(&budget, "test", 1 << 20, NULL);
    enum err e = json_tree_read(&budget, bytes_of_text(text), value_max, &json, why);
    assert_true((e == OK) == (json.root != NULL));
    json_tree_fini(&json);
    assert_int_equal(budget_used(&budget), 0);
    return e;
}

UNIT_TEST(test_json_is_one_object_without_repeated_names)
{
    static const struct {
        const char *text;
        enum err e;
        const char *why;
    } cases[] = {
        {"{}", OK, ""},
        {" {\"a\":[1,{\"b\":null}],\"c\":{\"a\":1}}\n", OK, ""},
        {"{\"a\":\"\\u00e9\\\"}{\",\"b\":\"[[[[[[[[[[[[[[[[[[\"}", OK, ""},
        {"[]", ERR_INPUT, "JSON is not an object"},
        {"1", ERR_INPUT, "invalid JSON at byte "},
        {"", ERR_INPUT, "invalid JSON at byte "},
        {"{", ERR_INPUT, "invalid JSON at byte "},
        {"{}{}", ERR_INPUT, "invalid JSON at byte "},
        {"]]]]", ERR_INPUT, "invalid JSON at byte "},
        {"{\"a\":1,\"a\":1}", ERR_INPUT, "a name occurs twice in a JSON object"},
        {"{\"a\":1,\"\\u0061\":1}", ERR_INPUT, "a name occurs twice in a JSON object"},
        {"{\"a\":\"\\u0000\"}", ERR_INPUT, "invalid JSON at byte "},
        {"{\"a\":\"\\ud800\"}", ERR_INPUT, "invalid JSON at byte "},
        {"{\"a\":\"\xff\"}", ERR_INPUT, "invalid JSON at byte "},
        {"{\"a\":99999999999999999999}", ERR_INPUT, "invalid JSON at byte "},
        {"{\"a\":1e999}", ERR_INPUT, "invalid JSON at byte "},
        {"{\"a\":NaN}", ERR_INPUT, "invalid JSON at byte "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {.text = ""};
        assert_int_equal(read_json(cases[i].text, 10, &why), cases[i].e);
        /* Positions are jansson's. */
        assert_int_equal(strncmp(why.text, cases[i].why, strlen(cases[i].why)), 0);
    }
}

UNIT_TEST(test_json_has_limits_of_depth_and_values)
{
    struct why why = {.text = ""};
    assert_int_equal(read_json("{\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", 100, &why), OK);
    assert_int_equal(read_json("{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", 100, &why), ERR_LIMIT);
    assert_string_equal(why.text, "JSON is nested deeper than 16");
    assert_int_equal(read_json("{\"a\":1,\"b\":2,\"c\":3}", 4, &why), OK);
    assert_int_equal(read_json("{\"a\":1,\"b\":2,\"c\":3}", 3, &why), ERR_LIMIT);
    assert_string_equal(why.text, "JSON has more than 3 values");
}

static size_t counted_bytes;

/* Memory of jansson with its size before it. */
static void *
counting_malloc(size_t size)
{
    size_t *memory = malloc(size + 2 * sizeof *memory);
    assert_non_null(memory);
    *memory = size;
    counted_bytes += size + 2 * sizeof *memory;
    return memory + 2;
}

static void
counting_free(void *at)
{
    size_t *memory = at;
    if (at == NULL) return;
    counted_bytes -= memory[-2] + 2 * sizeof *memory;
    free(memory - 2);
}

/* Texts that take the most for their size. */
UNIT_TEST(test_json_takes_no_more_than_it_is_charged_for)
{
    static const char *const pieces[] = {"{}",    "[]",   "1",        "{\"a\":{}}",
                                         "[[1]]", "\"\"", "{\"a\":1}"};
    json_set_alloc_funcs(counting_malloc, counting_free);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (unsigned in_object = 0; in_object < 2; in_object++) {
            struct json_tree json;
            struct buf text;
            struct budget budget;
            budget_init(&budget, "test", 0, NULL);
            buf_init(&text, NULL, 1 << 20);
            buf_printf(&text, "{\"x\":%s", in_object ? "{" : "[");
            for (unsigned n = 0; n < 500; n++) {
                if (in_object) buf_printf(&text, "\"%u\":", n);
                buf_printf(&text, "%s%s", pieces[i], n == 499 ? "" : ",");
            }
            buf_put_text(&text, in_object ? "}}" : "]}");
            assert_int_equal(json_tree_read(&budget, buf_bytes(&text), 10000, &json, NULL), OK);
            assert_true(counted_bytes <= budget_used(&budget));
            json_tree_fini(&json);
            assert_int_equal(counted_bytes, 0);
            buf_fini(&text);
        }
    }
    json_set_alloc_funcs(malloc, free);
}

UNIT_TEST(test_json_beyond_the_budget_is_not_read)
{
    struct json_tree json;
    struct budget budget;
    budget_init(&budget, "test", 1000, NULL);
    assert_int_equal(json_tree_read(&budget, bytes_of_text("{\"a\":[1,2,3]}"), 100, &json, NULL),
                     ERR_NOMEM);
    assert_null(json.root);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_is_one_object_without_repeated_names),
        cmocka_unit_test(test_json_has_limits_of_depth_and_values),
        cmocka_unit_test(test_json_takes_no_more_than_it_is_charged_for),
        cmocka_unit_test(test_json_beyond_the_budget_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
