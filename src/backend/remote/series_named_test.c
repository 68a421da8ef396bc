/* series_named_test.c - finds the series, and no others, that messages of stores name in
 * any notation. */
#include "lib/test.h"

#include "backend/remote/series_named.h"
#include "model/labels.h"

static struct series_named named;

static bool
has(const char *name, const char *job)
{
    struct buf labels, scratch;
    buf_init(&labels, NULL, 1024);
    buf_init(&scratch, NULL, 1024);
    if (name != NULL)
        labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    labels_put(&labels, (struct label){bytes_of_text("job"), bytes_of_text(job)});
    labels_put(&labels, (struct label){bytes_of_text("x"), bytes_of_text("1")});
    bool found = series_named_has(&named, buf_bytes(&labels), &scratch);
    buf_fini(&labels);
    buf_fini(&scratch);
    return found;
}

static void
read(const char *text)
{
    series_named_read(&named, bytes_of_text(text));
}

UNIT_TEST(test_all_labels_in_braces_are_a_series)
{
    read("out of order sample for series {__name__=\"up\", job=\"a\", x=\"1\"}\n"
         "duplicate sample for timestamp 5 for series {__name__=\"up\", job=\"c d\", x=\"1\"}\n");
    assert_int_equal(named.count, 2);
    assert_true(has("up", "a"));
    assert_true(has("up", "c d"));
    assert_false(has("up", "b"));
    assert_false(has("down", "a"));
    assert_false(has("up", "cd"));
}

UNIT_TEST(test_a_name_may_precede_the_braces)
{
    read("the sample is too old, from series 'up{job=\"a\",x=\"1\"}'. More text {");
    assert_true(has("up", "a"));
    assert_false(has("upper", "a"));
    assert_false(has(NULL, "a"));
    read("series {job=\"a\", x=\"1\"}");
    assert_true(has(NULL, "a"));
    assert_false(has("up", "a"));
}

UNIT_TEST(test_quotes_and_braces_in_a_value_do_not_end_the_series)
{
    read("{__name__=\"up\", job=\"}\\\" {\", x=\"1\"} and {__name__=\"up\", job=\"b\", x=\"1\"}");
    assert_int_equal(named.count, 2);
    assert_true(has("up", "}\" {"));
    assert_true(has("up", "b"));
}

UNIT_TEST(test_a_text_without_labels_names_no_series)
{
    static const char *const texts[] = {"", "out of order sample\n", "}", "{", "a{b", "{\"", "{}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        read(texts[i]);
        assert_false(has("up", "a"));
    }
}

UNIT_TEST(test_no_more_are_kept_than_there_is_room_for)
{
    char text[2 * SERIES_NAMED_MAX + 100];
    for (size_t i = 0; i + 2 < sizeof text; i += 2) {
        text[i] = '{';
        text[i + 1] = '}';
    }
    series_named_read(&named, bytes_of(text, sizeof text - 2));
    assert_int_equal(named.count, SERIES_NAMED_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_labels_in_braces_are_a_series),
        cmocka_unit_test(test_a_name_may_precede_the_braces),
        cmocka_unit_test(test_quotes_and_braces_in_a_value_do_not_end_the_series),
        cmocka_unit_test(test_a_text_without_labels_names_no_series),
        cmocka_unit_test(test_no_more_are_kept_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
