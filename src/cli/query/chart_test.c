/* chart_test.c - content of charts, which stay within their area for any result. */
#include "lib/test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "cli/query/query_print.h"
#include "model/labels.h"
#include "wire/shape.h"

static struct why why;

struct drawing {
    struct query_sink *sink;
    FILE *to;
    char *text;
    size_t size;
};

static void
begin(struct drawing *d, struct chart_options options)
{
    d->to = open_memstream(&d->text, &d->size);
    assert_non_null(d->to);
    options.to = d->to;
    assert_int_equal(chart_new(&options, &d->sink, &why), OK);
    assert_int_equal(d->sink->ops->begin(d->sink, PROMQL_MATRIX, &why), OK);
}

static void
put_series(struct drawing *d, const char *value)
{
    struct buf labels;
    buf_init(&labels, NULL, 100000);
    labels_put(&labels, (struct label){bytes_of_text("a"), bytes_of_text(value)});
    assert_int_equal(d->sink->ops->series(d->sink, buf_bytes(&labels), &why), OK);
    buf_fini(&labels);
}

static void
put_point(struct drawing *d, int64_t t_ms, double value)
{
    struct query_point p = {.t_ms = t_ms, .value = value};
    assert_int_equal(d->sink->ops->point(d->sink, &p, &why), OK);
}

static void
end(struct drawing *d)
{
    assert_int_equal(d->sink->ops->end(d->sink, &why), OK);
    d->sink->ops->free(d->sink);
    fclose(d->to);
}

static void
check(struct drawing *d, const char *expected)
{
    end(d);
    assert_string_equal(d->text, expected);
    free(d->text);
}

/* Ten minutes, one step per minute. */
static const struct chart_options ten_minutes = {.width = 60,
                                                 .height = 13,
                                                 .is_range = true,
                                                 .first_ms = 1700000040000,
                                                 .last_ms = 1700000640000,
                                                 .gap_ms = 60000};

static int64_t
minute(int i)
{
    return ten_minutes.first_ms + i * (int64_t)60000;
}

UNIT_TEST(test_lines_join_points_between_labels_of_the_scale)
{
    struct drawing d;
    begin(&d, ten_minutes);
    put_series(&d, "x");
    for (int i = 0; i <= 10; i++)
        put_point(&d, minute(i), i * 1000);
    check(&d, "      1e+04+                                               *\n"
              "           |                                          ******\n"
              "           |                                 **********\n"
              "       6250+                            ******\n"
              "           |                        *****\n"
              "           |                   ******\n"
              "       2500+         ***********\n"
              "           |     *****\n"
              "          0+******\n"
              "           +------------------------------------------------\n"
              "2023-11-14T22:14:00.000Z to 2023-11-14T22:24:00.000Z\n"
              "* {a=\"x\"}\n");
}

UNIT_TEST(test_marks_distinguish_series_and_gaps_stay_open)
{
    struct drawing d;
    begin(&d, ten_minutes);
    put_series(&d, "x");
    put_point(&d, minute(0), 0.25);
    put_point(&d, minute(1), 0.25);
    put_point(&d, minute(2), NAN);
    put_point(&d, minute(3), 0.25);
    put_point(&d, minute(6), 0.25);
    put_point(&d, minute(7), 0.25);
    put_series(&d, "y");
    put_point(&d, minute(5), -INFINITY);
    put_point(&d, minute(9), 0.5);
    put_point(&d, minute(10), INFINITY);
    check(&d, "        0.5+                                          +\n"
              "           |\n"
              "           |\n"
              "     0.3929+\n"
              "           |\n"
              "           |\n"
              "     0.2857+\n"
              "       0.25+******        *             ******\n"
              "           +------------------------------------------------\n"
              "2023-11-14T22:14:00.000Z to 2023-11-14T22:24:00.000Z\n"
              "* {a=\"x\"}\n"
              "+ {a=\"y\"}\n");
}

UNIT_TEST(test_equal_values_lie_in_the_middle)
{
    struct drawing d;
    begin(&d, ten_minutes);
    put_series(&d, "x");
    put_point(&d, minute(0), 1e9);
    put_point(&d, minute(10), 1e9);
    check(&d, "    1.5e+09+\n"
              "           |\n"
              "           |\n"
              "  1.125e+09+\n"
              "           |*                                              *\n"
              "           |\n"
              "    7.5e+08+\n"
              "           |\n"
              "      5e+08+\n"
              "           +------------------------------------------------\n"
              "2023-11-14T22:14:00.000Z to 2023-11-14T22:24:00.000Z\n"
              "* {a=\"x\"}\n");
}

static void
check_room(const struct drawing *d, uint32_t width, uint32_t height)
{
    uint32_t lines = 0, characters = 0;
    for (size_t i = 0; i < d->size; i++) {
        if (d->text[i] == '\n') {
            lines++;
            characters = 0;
        } else if ((d->text[i] & 0xc0) != 0x80) {
            characters++;
        }
        assert_true(characters <= width);
    }
    assert_true(lines < height); /* one line is for the prompt */
}

/* The results have numbers of every size and times of every distance. */
UNIT_TEST(test_whatever_comes_stays_within_its_room)
{
    static const double values[] = {0,    -0.0, 1,        DBL_MAX, -DBL_MAX, DBL_MIN,  0x1p-1074,
                                    1e-9, 1e21, INFINITY, NAN,     1e15,     1e15 + 1, -INFINITY};
    static const int64_t times[] = {
        0, 1, 999, 60000, 86400000, 1700000000000, -5e15, INT64_MIN, INT64_MAX, 253402300800000};
    enum { VALUES = sizeof values / sizeof *values, TIMES = sizeof times / sizeof *times };
    srand(1);
    for (int i = 0; i < 3000; i++) {
        struct chart_options options = {.width = 60 + (uint32_t)rand() % 80,
                                        .height = 13 + (uint32_t)rand() % 50,
                                        .gap_ms = rand() % 2 == 0 ? 0 : INT64_MAX};
        struct drawing d;
        options.first_ms = times[rand() % TIMES];
        options.last_ms = times[rand() % TIMES];
        if (options.first_ms > options.last_ms) options.last_ms = options.first_ms;
        options.is_range = true;
        begin(&d, options);
        for (int series = rand() % 14; series > 0; series--) {
            put_series(&d,
                       "\xc3\xa9 a name that is longer than the line has room for, however wide");
            for (int p = rand() % 8; p > 0; p--)
                put_point(&d, times[rand() % TIMES], values[rand() % VALUES]);
        }
        end(&d);
        check_room(&d, options.width, options.height);
        free(d.text);
    }
}

UNIT_TEST(test_the_legend_shows_hidden_characters)
{
    struct drawing d;
    begin(&d, ten_minutes);
    put_series(&d, "x\u202ey\u200bz\033");
    put_point(&d, ten_minutes.first_ms, 1);
    end(&d);
    assert_non_null(strstr(d.text, "* {a=\"x\\u202ey\\u200bz\\x1b\"}\n"));
    free(d.text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_join_points_between_labels_of_the_scale),
        cmocka_unit_test(test_marks_distinguish_series_and_gaps_stay_open),
        cmocka_unit_test(test_equal_values_lie_in_the_middle),
        cmocka_unit_test(test_the_legend_shows_hidden_characters),
        cmocka_unit_test(test_whatever_comes_stays_within_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
