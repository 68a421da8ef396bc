/* lines_test.c - lines are read the same with known labels and with unknown ones; invalid lines
 * are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/backend/noted_lines.h"
#include "lib/test.h"

static struct noted_lines noted;
static struct archive_lines *lines;

static void
begin(void)
{
    noted_lines_init(&noted);
    struct archive_line_sink sink = noted_lines_sink(&noted);
    assert_int_equal(archive_lines_new(NULL, 1, &sink, &lines), OK);
}

static void
end(void)
{
    archive_lines_free(lines);
    noted_lines_fini(&noted);
}

/* Returns the notes about a text that is read in pieces. */
static const char *
read_in(const char *text, size_t piece)
{
    struct why why;
    size_t size = strlen(text);
    buf_clear(&noted.text);
    archive_lines_begin(lines);
    for (size_t at = 0; at < size; at += piece) {
        size_t more = size - at < piece ? size - at : piece;
        assert_int_equal(archive_lines_give(lines, bytes_of(text + at, more), &why), OK);
    }
    assert_int_equal(archive_lines_end(lines, &why), OK);
    buf_put_u8(&noted.text, 0);
    return (const char *)noted.text.at;
}

#define LABELS "\"labels\":{\"__name__\":\"up\",\"job\":\"x\"}}"
#define SERIES "{__name__=\"up\", job=\"x\"}"

UNIT_TEST(test_known_labels_mean_what_they_meant)
{
    static const char text[] =
        "{\"name\":\"up\",\"time\":1700000000000,\"value\":1," LABELS "\n"
        "{\"name\":\"up\",\"time\":-5,\"value\":-1.5e-3," LABELS "\n"
        "{\"name\":\"up\",\"time\":6,\"value\":null," LABELS "\n"
        "{\"name\":\"up\",\"time\":7,\"value\":null,\"bits\":\"7ff0000000000002\"," LABELS "\n"
        "{\"name\":\"up\",\"time\":8,\"value\":-0.0,\"start_ms\":3," LABELS;
    static const char said[] = SERIES
        " 1700000000000 3ff0000000000000 0\n" SERIES " -5 bf589374bc6a7efa 0\n" SERIES
        " 6 7ff8000000000001 0\n" SERIES " 7 7ff0000000000002 0\n" SERIES " 8 8000000000000000 3\n";
    begin();
    for (size_t piece = 1; piece < sizeof text; piece += 13)
        assert_string_equal(read_in(text, piece), said);
    assert_int_equal(noted.junk, 0);
    assert_int_equal(noted.series_count, 1);
    end();
}

UNIT_TEST(test_lines_written_otherwise_are_read_too)
{
    begin();
    assert_string_equal(read_in(" { \"labels\" : {\"job\":\"x\"}, \"name\":\"up\", \"value\": 2, "
                                "\"time\": 9, \"more\": [1] }\n\n",
                                100),
                        SERIES " 9 4000000000000000 0\n");
    assert_string_equal(read_in("{\"name\":\"up\",\"time\":9,\"value\":null,\"labels\":{\"job\":"
                                "\"x\"},\"bits\":\"7ff0000000000002\"}\n",
                                100),
                        SERIES " 9 7ff0000000000002 0\n");
    assert_int_equal(noted.junk, 0);
    end();
}

UNIT_TEST(test_a_tail_with_more_than_labels_is_read_each_time)
{
    static const char tail[] = "\"labels\":{\"job\":\"x\"},\"start_ms\":4}\n";
    char text[200];
    begin();
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "{\"name\":\"up\",\"time\":%d,\"value\":1,%s", i + 1, tail);
        char said[100];
        snprintf(said, sizeof said, SERIES " %d 3ff0000000000000 4\n", i + 1);
        assert_string_equal(read_in(text, 1000), said);
    }
    end();
}

UNIT_TEST(test_junk_is_counted_and_changes_nothing_else)
{
    static const char *const junk[] = {
        "x",
        "{\"name\":\"up\",\"time\":0,\"value\":null," LABELS, /* a series without samples */
        "{\"name\":\"up\",\"time\":01,\"value\":1," LABELS,
        "{\"name\":\"up\",\"time\":1,\"value\":1.," LABELS,
        "{\"name\":\"up\",\"time\":1,\"value\":1e999," LABELS,
        "{\"name\":\"down\",\"time\":1,\"value\":1," LABELS,
        "{\"name\":\"up\",\"time\":1,\"value\":1," LABELS "}",
        "{\"name\":\"up\",\"time\":1,\"value\":null,\"bits\":\"xff0000000000002\"," LABELS,
        "{\"name\":\"up\",\"value\":1," LABELS,
    };
    static const char good[] = "{\"name\":\"up\",\"time\":2,\"value\":1," LABELS;
    char text[1000];
    begin();
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        snprintf(text, sizeof text, "%s\n%s\n%s", good, junk[i], good);
        assert_string_equal(read_in(text, 1000),
                            SERIES " 2 3ff0000000000000 0\n" SERIES " 2 3ff0000000000000 0\n");
        assert_int_equal(noted.junk, i + 1);
        assert_int_equal(noted.junk_line, 2);
    }
    end();
}

UNIT_TEST(test_a_line_that_is_too_long_is_junk)
{
    size_t size = ARCHIVE_LINE_BYTES_MAX + 10;
    char *text = malloc(size + 200);
    assert_non_null(text);
    memset(text, 'x', size);
    strcpy(text + size, "\n{\"name\":\"up\",\"time\":2,\"value\":1," LABELS);
    begin();
    assert_string_equal(read_in(text, 100000), SERIES " 2 3ff0000000000000 0\n");
    assert_int_equal(noted.junk, 1);
    assert_int_equal(noted.junk_line, 1);
    end();
    free(text);
}

#define UP(time)  "{\"name\":\"up\",\"time\":" time ",\"value\":1," LABELS
#define ROW(time) SERIES " " time " 3ff0000000000000 0\n"

UNIT_TEST(test_objects_without_line_feeds_are_read)
{
    static const char text[] = UP("1") UP("2") " \t" UP("3") "\n" UP("4") UP("5") "\r\n" UP("6");
    begin();
    for (size_t piece = 1; piece <= sizeof text; piece++) { /* also with known labels */
        assert_string_equal(read_in(text, piece),
                            ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6"));
        if (piece % 2 == 0) archive_lines_forget(lines);
    }
    assert_string_equal(read_in("{\"name\":\"}{\",\"time\":1,\"value\":1}" UP("2"), 1000),
                        "{__name__=\"}{\"} 1 3ff0000000000000 0\n" ROW("2"));
    assert_int_equal(noted.junk, 0);
    end();
}

UNIT_TEST(test_objects_without_line_feeds_are_junk_one_by_one)
{
    begin();
    for (size_t piece = 1; piece < 200; piece += 9) {
        noted.junk = 0;
        assert_string_equal(read_in(UP("1") "{\"name\":\"a\"}" UP("2") "{\"name\":\"cu" UP("3")
                                        UP("4") "{\"na",
                                    piece),
                            ROW("1") ROW("2") ROW("4"));
        assert_int_equal(noted.junk, 3);
        assert_int_equal(noted.junk_line, 6);
        assert_string_equal(read_in(UP("1") "x" UP("2") "\n" UP("3"), piece), ROW("3"));
        assert_int_equal(noted.junk, 4);
    }
    end();
}

UNIT_TEST(test_an_object_without_line_feeds_that_is_too_long_is_junk)
{
    size_t size = ARCHIVE_LINE_BYTES_MAX + 10;
    char *text = malloc(size + 400);
    assert_non_null(text);
    memset(text, ' ', size);
    memcpy(text, UP("1") "{", sizeof UP("1"));
    strcpy(text + size, "}" UP("2") UP("3"));
    begin();
    assert_string_equal(read_in(text, 100000), ROW("1") ROW("2") ROW("3"));
    assert_int_equal(noted.junk, 1);
    assert_int_equal(noted.junk_line, 2);
    end();
    free(text);
}

UNIT_TEST(test_lines_survive_each_failing_allocation)
{
    static const char text[] = "{\"name\":\"up\",\"time\":2,\"value\":1," LABELS "\n"
                               "{\"name\":\"up\",\"time\":3,\"value\":1," LABELS "\n";
    struct bytes all = bytes_of_text(text);
    for (uint64_t nth = 1;; nth++) {
        struct why why;
        noted_lines_init(&noted);
        struct archive_line_sink sink = noted_lines_sink(&noted);
        lines = NULL;
        mem_fail_nth(nth, false);
        enum err e = archive_lines_new(NULL, 1, &sink, &lines);
        if (e == OK) e = archive_lines_give(lines, bytes_of(all.at, 20), &why);
        if (e == OK) e = archive_lines_give(lines, bytes_of(all.at + 20, all.size - 20), &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        end();
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_labels_mean_what_they_meant),
        cmocka_unit_test(test_lines_written_otherwise_are_read_too),
        cmocka_unit_test(test_a_tail_with_more_than_labels_is_read_each_time),
        cmocka_unit_test(test_junk_is_counted_and_changes_nothing_else),
        cmocka_unit_test(test_a_line_that_is_too_long_is_junk),
        cmocka_unit_test(test_objects_without_line_feeds_are_read),
        cmocka_unit_test(test_objects_without_line_feeds_are_junk_one_by_one),
        cmocka_unit_test(test_an_object_without_line_feeds_that_is_too_long_is_junk),
        cmocka_unit_test(test_lines_survive_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
