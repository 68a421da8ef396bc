/* report_test.c - reports as text and as JSON; control characters of foreign text do not reach
 * the terminal. */
#include "lib/test.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/lib/report.h"
#include "model/labels.h"

struct printed {
    char *text;
    size_t size;
};

static void
print(struct report *r, uint64_t rows)
{
    struct buf labels;
    buf_init(&labels, NULL, 1000);
    labels_put(&labels, (struct label){bytes_of_text("a"), bytes_of_text("x\"y\033")});
    report_section(r, "log", "The log");
    report_field(r, "bytes", "size", value_size(1536));
    report_field(r, "made", "made", value_time(-1));
    report_field(r, "ratio", "ratio", value_ratio(1, 3));
    report_field(r, "none", "none", value_ratio(1, 0));
    report_field(r, "name", "name", value_view(bytes_of_text("red \033[31m\302\233 µ")));
    report_field(r, "yes", "yes", value_bool(true));
    report_section_end(r);
    report_table(r, "rows", "Rows", "name|count|secret=|labels=series");
    for (uint64_t i = 0; i < rows; i++) {
        const struct report_value row[] = {value_text(i == 0 ? "µ" : "long one"),
                                           value_count(9 + 1000 * i), value_count(i),
                                           value_labels(buf_bytes(&labels))};
        report_row_of(r, row);
    }
    report_table_end(r, 7);
    buf_fini(&labels);
}

static struct printed
printed_as(enum report_form form, uint64_t rows)
{
    struct printed p;
    struct report *r;
    struct budget budget;
    FILE *to = open_memstream(&p.text, &p.size);
    assert_non_null(to);
    budget_init(&budget, "report", 0, NULL);
    assert_int_equal(report_new(form, to, &budget, &r, NULL), OK);
    print(r, rows);
    assert_int_equal(report_end(r, NULL), OK);
    report_free(r);
    fclose(to);
    assert_int_equal(budget_used(&budget), 0);
    return p;
}

UNIT_TEST(test_text_is_aligned_and_harmless_to_a_terminal)
{
    struct printed p = printed_as(REPORT_TEXT, 2);
    assert_string_equal(p.text, "The log\n"
                                "  size                       1.5 KiB (1536)\n"
                                "  made                       1969-12-31T23:59:59.999Z (-1)\n"
                                "  ratio                      0.333\n"
                                "  none                       -\n"
                                "  name                       red \\x1b[31m\\u009b µ\n"
                                "  yes                        yes\n"
                                "\n"
                                "Rows\n"
                                "  name      count  series\n"
                                "  µ             9  {a=\"x\\\"y\\x1b\"}\n"
                                "  long one   1009  {a=\"x\\\"y\\x1b\"}\n"
                                "  and 7 more\n");
    free(p.text);
}

UNIT_TEST(test_a_column_without_values_is_aligned_as_text)
{
    char *text;
    size_t size;
    struct report *r;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(report_new(REPORT_TEXT, to, NULL, &r, NULL), OK);
    report_table(r, "rules", NULL, "state|count|error");
    report_row(r, value_none(), value_none(), value_none());
    report_row(r, value_none(), value_count(7), value_none());
    report_table_end(r, 0);
    assert_int_equal(report_end(r, NULL), OK);
    report_free(r);
    fclose(to);
    assert_string_equal(text, "state  count  error\n"
                              "-          -  -\n"
                              "-          7  -\n");
    free(text);
}

UNIT_TEST(test_json_is_one_object_with_exact_numbers)
{
    struct printed p = printed_as(REPORT_JSON, 3);
    json_t *root = json_loadb(p.text, p.size, JSON_REJECT_DUPLICATES, NULL);
    json_t *log = json_object_get(root, "log"), *rows = json_object_get(root, "rows");
    assert_int_equal(json_integer_value(json_object_get(log, "bytes")), 1536);
    assert_int_equal(json_integer_value(json_object_get(log, "madeMs")), -1);
    assert_string_equal(json_string_value(json_object_get(log, "made")),
                        "1969-12-31T23:59:59.999Z");
    assert_true(json_is_null(json_object_get(log, "none")));
    assert_true(json_is_true(json_object_get(log, "yes")));
    assert_int_equal(json_array_size(rows), 3);
    json_t *last = json_array_get(rows, 2);
    assert_int_equal(json_integer_value(json_object_get(last, "secret")), 2);
    assert_string_equal(json_string_value(json_object_get(json_object_get(last, "labels"), "a")),
                        "x\"y\033");
    assert_int_equal(json_integer_value(json_object_get(root, "rowsLeftOut")), 7);
    json_decref(root);
    free(p.text);
}

UNIT_TEST(test_long_tables_do_not_wait_for_their_end)
{
    enum { MANY = 300000 };
    struct printed p = printed_as(REPORT_TEXT, MANY);
    uint64_t lines = 0;
    for (size_t i = 0; i < p.size; i++)
        lines += p.text[i] == '\n';
    assert_int_equal(lines, 7 + 1 + 2 + MANY + 1);
    free(p.text);
}

UNIT_TEST(test_refused_memory_shows_at_the_end)
{
    bool failed = false;
    for (uint64_t nth = 1; !failed || nth < 10; nth++) {
        char *at;
        size_t size;
        struct report *r = NULL;
        FILE *to = open_memstream(&at, &size);
        mem_fail_nth(nth, true);
        enum err e = report_new(nth % 2 == 0 ? REPORT_TEXT : REPORT_JSON, to, NULL, &r, NULL);
        if (e == OK) {
            print(r, 3);
            e = report_end(r, NULL);
        }
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        report_free(r);
        fclose(to);
        free(at);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        failed |= fired;
        assert_true(nth < 100);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_aligned_and_harmless_to_a_terminal),
        cmocka_unit_test(test_a_column_without_values_is_aligned_as_text),
        cmocka_unit_test(test_json_is_one_object_with_exact_numbers),
        cmocka_unit_test(test_long_tables_do_not_wait_for_their_end),
        cmocka_unit_test(test_refused_memory_shows_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
