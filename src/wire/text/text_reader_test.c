/* text_reader_test.c - results of each text format; and the output of text_format.h is read back
 * bit for bit. */
#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/json/sample_json.h"
#include "wire/number.h"
#include "wire/text/text_format.h"

static struct text_reader *
reader_of(enum text_format format, bool has_time)
{
    struct text_reader_options options = {
        .format = format, .has_time = has_time, .time_ms = 777, .budget = NULL};
    struct text_reader *reader;
    assert_int_equal(text_reader_new(&options, &reader), OK);
    return reader;
}

static void
print_labels(struct buf *to, const struct label *labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(to, "%s%.*s=%.*s", i == 0 ? "" : ",", (int)labels[i].name.size,
                   (const char *)labels[i].name.at, (int)labels[i].value.size,
                   (const char *)labels[i].value.at);
    }
}

/* Prints a=b,c=d|1@5,2@6 and so on; "" for nothing. */
static void
print_item(struct buf *to, const struct text_item *item)
{
    char number[NUMBER_TEXT_BYTES];
    print_labels(to, item->labels, item->label_count);
    for (uint32_t i = 0; i < item->sample_count; i++) {
        buf_put_text(to, i == 0 ? "|" : ",");
        buf_put(to, number, number_print_exact(item->bits[i], number));
        buf_printf(to, "@%" PRId64, item->times_ms[i]);
    }
    if (item->histogram != NULL) {
        buf_put_text(to, "|");
        histogram_json_put(to, item->histogram);
        buf_printf(to, "@%" PRId64, item->histogram_ms);
    }
    if (item->start_ms != 0) buf_printf(to, " since %" PRId64, item->start_ms);
    for (uint32_t i = 0; i < item->exemplar_count; i++) {
        const struct text_exemplar *e = &item->exemplars[i];
        buf_put_text(to, "#");
        print_labels(to, e->labels, e->label_count);
        buf_put_text(to, "|");
        buf_put(to, number, number_print_exact(e->bits, number));
        buf_printf(to, "@%" PRId64, e->t_ms);
    }
    if (item->has_metadata) {
        buf_printf(to, "<%.*s;%d;%.*s;%.*s>", (int)item->family.size, (const char *)item->family.at,
                   item->type, (int)item->help.size, (const char *)item->help.at,
                   (int)item->unit.size, (const char *)item->unit.at);
    }
    if (item->junk) buf_put_text(to, "junk");
    buf_put_u8(to, 0);
}

/* Reads the line from its own memory, so that a sanitizer sees reads after it. */
static enum err
read_line(struct text_reader *reader, const char *line, struct buf *to)
{
    size_t size = strlen(line);
    char *copy = malloc(size == 0 ? 1 : size);
    assert_non_null(copy);
    memcpy(copy, line, size);
    struct text_item item;
    struct why why = {""};
    enum err e = text_reader_line(reader, bytes_of(copy, size), &item, &why);
    buf_clear(to);
    if (e) {
        assert_true(why.text[0] != '\0');
        buf_printf(to, "bad: %s", why.text);
        buf_put_u8(to, 0);
    } else {
        print_item(to, &item);
    }
    free(copy);
    return e;
}

static void
check_in(struct text_reader *reader, const char *line, const char *expected)
{
    struct buf got;
    buf_init(&got, NULL, 1 << 20);
    enum err e = read_line(reader, line, &got);
    if (expected == NULL ? e != ERR_INPUT : strcmp((char *)got.at, expected) != 0)
        fail_msg("'%s' gave '%s'", line, (char *)got.at);
    buf_fini(&got);
}

static void
check(enum text_format format, const char *line, const char *expected)
{
    struct text_reader *reader = reader_of(format, false);
    check_in(reader, line, expected);
    text_reader_free(reader);
}

UNIT_TEST(test_prometheus_text_is_read)
{
    const enum text_format f = TEXT_PROMETHEUS;
    check(f, "up 1 1700000000000", "__name__=up|1@1700000000000");
    check(f, "  up\t{ } \t 1   5 \t", "__name__=up|1@5");
    check(f, "a:b{x=\"1\",y=\"2\",} +Inf -5", "__name__=a:b,x=1,y=2|+Inf@-5");
    check(f, "a{ x = \"1\" , y=\"2\" }-0 5", "__name__=a,x=1,y=2|-0@5");
    check(f, "a{x=\"C:\\\\D\\\"q\\\"\\n\\t\"} NaN 5", "__name__=a,x=C:\\D\"q\"\n\\t|NaN@5");
    check(f, "{\"my.metric\",\"l.x\"=\"}\"} 1 5", "__name__=my.metric,l.x=}|1@5");
    check(f, "{x=\"1\",\"n\"} 1 5", "x=1,__name__=n|1@5");
    check(f, "a 1.4582559e9 5\r", "__name__=a|1458255900@5");
    check(f, "", "");
    check(f, "   ", "");
    check(f, "# a comment", "");
    check(f, "#", "");
}

UNIT_TEST(test_bad_prometheus_lines_are_reported)
{
    static const char *const bad[] = {"up",
                                      "up 1 5 6",
                                      "up 1 1.5",
                                      "up one 5",
                                      "up{x=\"1\" 1 5",
                                      "up{x=1} 1 5",
                                      "up{x} 1 5",
                                      "up{=\"1\"} 1",
                                      "up{\"x\"} 1 5",
                                      "{\"a\" 1 5",
                                      "1up 1 5",
                                      "a-b 1 5",
                                      "up{x=\"1\"",
                                      "up{x=\"1",
                                      "up{x=\"1\\",
                                      "up{x=\"1\"}",
                                      "up 1",
                                      "# TYPE",
                                      "# TYPE a strange",
                                      "# HELP",
                                      "up{x=\"1\"y=\"2\"} 1 5",
                                      "up 1 99999999999999999999",
                                      "up 1 5 # {} 1"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        check(TEXT_PROMETHEUS, bad[i], NULL);
}

UNIT_TEST(test_openmetrics_is_read)
{
    const enum text_format f = TEXT_OPENMETRICS;
    check(f, "up 1 1700000000", "__name__=up|1@1700000000000");
    check(f, "up 1 1700000000.123", "__name__=up|1@1700000000123");
    check(f, "up 1 1.7e+09", "__name__=up|1@1700000000000");
    check(f, "b_bucket{le=\"1\"} 3 5 # {trace=\"x\"} 0.5 4.5",
          "__name__=b_bucket,le=1|3@5000#trace=x|0.5@4500");
    check(f, "b_bucket{le=\"1\"} 3 5 # {} 0.5", "__name__=b_bucket,le=1|3@5000#|0.5@5000");
    check(f, "up 1 5 # {x=\"1\"}", NULL);
    check(f, "up 1 5 # x", NULL);
    check(f, "up 1 NaN", NULL);
    check(f, "up 1", NULL);
}

UNIT_TEST(test_a_given_time_replaces_missing_ones)
{
    struct text_reader *r = reader_of(TEXT_OPENMETRICS, true);
    check_in(r, "up 1", "__name__=up|1@777");
    check_in(r, "up 1 # {x=\"1\"} 2", "__name__=up|1@777#x=1|2@777");
    check_in(r, "up 1 5", "__name__=up|1@5000");
    text_reader_free(r);
    r = reader_of(TEXT_NDJSON, true);
    check_in(r, "{\"name\":\"up\",\"value\":1}", "__name__=up|1@777");
    text_reader_free(r);
    r = reader_of(TEXT_CSV, true);
    check_in(r, "name,value", "");
    check_in(r, "up,1", "__name__=up|1@777");
    text_reader_free(r);
}

UNIT_TEST(test_a_family_is_returned_once_it_is_complete)
{
    struct text_reader *r = reader_of(TEXT_OPENMETRICS, false);
    struct text_item item;
    struct why why;
    check_in(r, "# TYPE a_seconds counter", "");
    check_in(r, "# UNIT a_seconds seconds", "");
    check_in(r, "# HELP a_seconds Some \\\"help\\\",\\nin two lines.", "");
    check_in(r, "a_seconds_total 1 5", "__name__=a_seconds_total|1@5000");
    check_in(r, "# HELP b", "<a_seconds;1;Some \"help\",\nin two lines.;seconds>");
    check_in(r, "# TYPE \"b.c\" gauge ", "<b;0;;>");
    check_in(r, "# TYPE b.c nothing", NULL);
    check_in(r, "# EOF", "");
    assert_int_equal(text_reader_end(r, &item, &why), OK);
    struct buf got;
    buf_init(&got, NULL, 4096);
    print_item(&got, &item);
    assert_string_equal((char *)got.at, "<b.c;2;;>");
    buf_fini(&got);
    text_reader_free(r);
}

UNIT_TEST(test_openmetrics_must_end)
{
    struct text_item item;
    struct why why = {""};
    struct text_reader *r = reader_of(TEXT_OPENMETRICS, false);
    check_in(r, "up 1 5", "__name__=up|1@5000");
    assert_int_equal(text_reader_end(r, &item, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "# EOF"));
    check_in(r, "# EOF", "");
    check_in(r, "up 1 6", NULL);
    assert_int_equal(text_reader_end(r, &item, &why), OK);
    text_reader_free(r);
}

static void
check_last(enum text_format format, const char *line, bool is_whole)
{
    struct text_reader *r = reader_of(format, true);
    struct text_item item;
    struct why why = {""};
    if (format == TEXT_CSV) check_in(r, "name,value,time,job", "");
    enum err e = text_reader_last_line(r, bytes_of_text(line), &item, &why);
    if (e != (is_whole ? OK : ERR_INPUT)) fail_msg("'%s': %d %s", line, e, why.text);
    text_reader_free(r);
}

UNIT_TEST(test_a_last_line_without_a_line_feed_is_bad_unless_its_end_shows)
{
    static const enum text_format texts[] = {TEXT_OPENMETRICS, TEXT_PROMETHEUS};
    for (unsigned i = 0; i < 2; i++) {
        check_last(texts[i], "up 1 1700000000", false);
        check_last(texts[i], "up 1", false);
        check_last(texts[i], "# HELP up Some he", false);
        check_last(texts[i], "", true);
        check_last(texts[i], " \t", true);
    }
    check_last(TEXT_OPENMETRICS, "# EOF", true);
    check_last(TEXT_OPENMETRICS, "# EO", false);
    check_last(TEXT_CSV, "up,1,1700000000000,x", false);
    check_last(TEXT_CSV, "up,1,1700000000000,\"x \"", false); /* a second quote may follow */
    check_last(TEXT_NDJSON, "{\"name\":\"up\",\"time\":5,\"value\":1}", true);
    check_last(TEXT_NDJSON, "{\"name\":\"up\",\"time\":5,\"value\":1", false);
    check_last(TEXT_JSON_LINES, "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5]}",
               true);
    check_last(TEXT_JSON_LINES, "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5]",
               false);
}

UNIT_TEST(test_json_lines_are_read)
{
    const enum text_format f = TEXT_JSON_LINES;
    check(f,
          "{\"metric\":{\"__name__\":\"up\",\"job\":\"x\"},\"values\":[1,-0,1e-7],"
          "\"timestamps\":[5,6,7]}",
          "__name__=up,job=x|1@5,-0@6,1e-07@7");
    check(f,
          " { \"timestamps\" : [ 5 ] , \"x\":{\"y\":[{},[],1,true,false,null,\"\"]},"
          "\"values\" : [ null ] , \"metric\" : { \"a\" : \"b\" } } ",
          "a=b|NaN@5");
    check(f, "{\"metric\":{\"a\":\"\\u00e9\\ud83d\\ude00\\n\\/\"},\"values\":[],\"timestamps\":[]}",
          "a=é😀\n/");
    check(f,
          "{\"metric\":{\"a\":\"b\"},\"values\":[\"Infinity\",\"-Inf\",\"NaN\",\"stale\","
          "\"NaN(0xfff8000000000abc)\"],\"timestamps\":[1,2,3,4,5.0]}",
          "a=b|+Inf@1,-Inf@2,NaN@3,stale@4,NaN(0xfff8000000000abc)@5");
    check(f,
          "{\"metric\":{\"a\":\"b\"},\"values\":[NaN,+Inf,-Inf,nan,Infinity],"
          "\"timestamps\":[1,2,3,4,5]}",
          "a=b|NaN@1,+Inf@2,-Inf@3,NaN@4,+Inf@5");
    static const char *const bad[] = {
        "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5,6]}",
        "{\"metric\":{},\"values\":[1],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"values\":[1],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":1},\"values\":[1],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[\"x\"],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[NaNa],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[+1],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[+],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1e999],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[01],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1,],\"timestamps\":[5,6]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5.5]}",
        "{\"metric\":{\"a\":\"\\ud800\"},\"values\":[1],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"\\x\"},\"values\":[1],\"timestamps\":[5]}",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5]} x",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5]",
        "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5]}}",
        "{\"metric\":{\"a\":\"b\",\"values\":[1],\"timestamps\":[5]}",
        "[]",
        "{",
        "x",
        "\"",
        "{\"",
        "{\"a\\",
        "{\"a\":\"\\u12",
        "{}"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        check(f, bad[i], NULL);
}

UNIT_TEST(test_deep_json_is_refused)
{
    char line[4096] = "{\"x\":";
    memset(line + 5, '[', 200);
    memset(line + 205, ']', 200);
    strcpy(line + 405, "}");
    check(TEXT_JSON_LINES, line, NULL);
}

UNIT_TEST(test_ndjson_rows_are_read)
{
    const enum text_format f = TEXT_NDJSON;
    check(f,
          "{\"name\":\"up\",\"time\":5,\"value\":1,\"labels\":{\"__name__\":\"up\",\"a\":\"b\"}}",
          "__name__=up,a=b|1@5");
    check(f, "{\"name\":\"up\",\"time\":5,\"value\":null,\"labels\":{\"a\":\"b\"}}",
          "a=b,__name__=up|NaN@5");
    check(f, "{\"time\":5,\"value\":\"stale\",\"labels\":{\"a\":\"b\"}}", "a=b|stale@5");
    check(f, "{\"name\":\"up\",\"time\":0,\"value\":null,\"labels\":{\"__name__\":\"up\"}}",
          "junk");
    check(f, "{\"name\":\"up\",\"time\":0,\"value\":1}", "__name__=up|1@0");
    check(f, "{\"name\":\"up\",\"time\":5}", NULL);
    check(f, "{\"name\":\"up\",\"value\":5}", NULL);
    check(f, "{\"time\":5,\"value\":5}", NULL);
    check(f, "{\"name\":\"up\",\"time\":\"5\",\"value\":5}", NULL);
    check(f, "{\"name\":\"up\",\"time\":5,\"value\":1,\"labels\":{\"__name__\":\"down\"}}", NULL);
    check(f, "{\"name\":\"up\",\"name\":\"up\",\"time\":5,\"value\":5}", NULL);
}

UNIT_TEST(test_ndjson_rows_carry_more_than_numbers)
{
    const enum text_format f = TEXT_NDJSON;
#define ROW "{\"name\":\"up\",\"time\":5,"
    check(f, ROW "\"value\":null,\"bits\":\"7ff0000000000002\"}", "__name__=up|stale@5");
    check(f, ROW "\"bits\":\"FFF0000000000000\"}", "__name__=up|-Inf@5");
    check(f, ROW "\"value\":-0.0,\"start_ms\":3}", "__name__=up|-0@5 since 3");
    check(f, "{\"name\":\"up\",\"time\":0,\"value\":null,\"bits\":\"7ff8000000000001\"}",
          "__name__=up|NaN@0");
    check(f, ROW "\"value\":null,\"labels\":{\"a\":\"b\"},\"labels_hex\":{\"63\":\"6A\"}}",
          "a=b,c=j,__name__=up|NaN@5");
    check(f,
          ROW "\"value\":1,\"exemplars\":[{\"labels\":{\"id\":\"x\"},\"value\":2,\"time\":4},"
              "{\"bits\":\"7ff0000000000002\",\"time\":3,\"value\":null,\"new\":[]}]}",
          "__name__=up|1@5#id=x|2@4#|stale@3");
    check(f, ROW "\"value\":null,\"exemplars\":[{\"value\":2,\"time\":4}]}", "__name__=up#|2@4");
    check(f, "{\"name\":\"up\",\"time\":0,\"exemplars\":[{\"value\":2,\"time\":4}]}",
          "__name__=up#|2@4");
    check(f, ROW "\"value\":null,\"exemplars\":[]}", "__name__=up|NaN@5");
    check(f, ROW "\"value\":null,\"start_ms\":2,\"histogram\":{\"count_int\":3,\"sum\":1.5}}",
          "__name__=up|{\"count_int\":3,\"sum\":1.5,\"schema\":0,\"zero_threshold\":0,"
          "\"zero_count_int\":0}@5 since 2");
    static const char *const bad[] = {
        ROW "\"value\":1,\"bits\":\"7ff0000000000002\"}",
        ROW "\"bits\":\"7ff000000000000\"}",
        ROW "\"bits\":9}",
        ROW "\"value\":1,\"histogram\":{\"count_int\":3}}",
        ROW "\"bits\":\"7ff0000000000002\",\"histogram\":{\"count_int\":3}}",
        ROW "\"exemplars\":[]}",
        ROW "\"value\":1,\"exemplars\":[{\"value\":2}]}",
        ROW "\"value\":1,\"exemplars\":[{\"time\":2}]}",
        ROW "\"value\":1,\"exemplars\":{}}",
        ROW "\"value\":1,\"labels_hex\":{\"6\":\"61\"}}",
        ROW "\"value\":1,\"labels_hex\":{\"61\":\"6x\"}}",
        ROW "\"value\":1,\"labels_hex\":[]}",
        ROW "\"value\":1,\"start_ms\":\"3\"}",
        "{\"name\":\"up\",\"histogram\":{\"count_int\":3}}"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        check(f, bad[i], NULL);
#undef ROW
}

UNIT_TEST(test_invalid_histograms_are_reported)
{
    static const char *const bad[] = {"null",
                                      "{}",
                                      "{\"sum\":1}",
                                      "{\"zero_count_int\":1}",
                                      "{\"count_int\":1.5}",
                                      "{\"count_int\":-1}",
                                      "{\"count_int\":18446744073709551616}",
                                      "{\"count_int\":1,\"count_int\":1}",
                                      "{\"count_int\":1,\"count_float\":1}",
                                      "{\"count_int\":1,\"zero_count_float\":1}",
                                      "{\"count_int\":1,\"positive_counts\":[1]}",
                                      "{\"count_float\":1,\"negative_deltas\":[]}",
                                      "{\"count_int\":1,\"sum\":\"NaN\"}",
                                      "{\"count_int\":1,\"sum\":1e999}",
                                      "{\"count_int\":1,\"schema\":2147483648}",
                                      "{\"count_int\":1,\"reset_hint\":4}",
                                      "{\"count_int\":1,\"positive_spans\":[{\"length\":-1}]}",
                                      "{\"count_int\":1,\"positive_spans\":[1]}",
                                      "{\"count_int\":1,\"positive_deltas\":[9223372036854775808]}",
                                      "{\"count_int\":1,\"custom_values\":[null]}",
                                      "{\"count_int\":1"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[256];
        snprintf(line, sizeof line, "{\"name\":\"up\",\"time\":5,\"histogram\":%s}", bad[i]);
        check(TEXT_NDJSON, line, NULL);
    }
}

UNIT_TEST(test_a_histogram_has_no_more_buckets_than_a_limit)
{
    struct text_reader *r = reader_of(TEXT_NDJSON, false);
    struct text_item item;
    struct why why;
    for (unsigned count = HISTOGRAM_BUCKETS_MAX; count <= HISTOGRAM_BUCKETS_MAX + 1; count++) {
        struct buf line;
        buf_init(&line, NULL, 1 << 20);
        buf_put_text(&line, "{\"name\":\"a\",\"time\":5,\"histogram\":{\"count_int\":0,"
                            "\"positive_deltas\":[");
        for (unsigned i = 0; i < count; i++)
            buf_put_text(&line, i == 0 ? "0" : ",0");
        buf_put_text(&line, "]}}");
        enum err e = text_reader_line(r, buf_bytes(&line), &item, &why);
        assert_int_equal(e, count > HISTOGRAM_BUCKETS_MAX ? ERR_INPUT : OK);
        if (e == OK) assert_int_equal(item.histogram->positive.bucket_count, count);
        buf_fini(&line);
    }
    text_reader_free(r);
}

UNIT_TEST(test_csv_rows_are_read)
{
    struct text_reader *r = reader_of(TEXT_CSV, false);
    check_in(r, "\xef\xbb\xbfname,\"labels\",time,value,job\r", "");
    check_in(r, "up,\"{a=\"\"b,c\"\"}\",5,1,x\r", "__name__=up,a=b,c,job=x|1@5");
    check_in(r, "up,\"a=\"\"b\"\"\",1970-01-01T00:00:01Z,stale,",
             "__name__=up,a=b,job=|stale@1000");
    check_in(r, "\"a \"\"b\"\"\",,5,-Inf,\"x\ny\"", "__name__=a \"b\",job=x\ny|-Inf@5");
    check_in(r, "up,{},5,,x", "");
    static const char *const bad[] = {
        "up,{},5,1",    "up,{},5,1,x,y", "up,{},,1,x",       "up,{},5,one,x", "up,{},x,1,x",
        "up,{a},5,1,x", "up,\"{},5,1,x", "up,\"{}\"x,5,1,x", "u\"p,{},5,1,x", "up,{}x,5,1,x"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        check_in(r, bad[i], NULL);
    text_reader_free(r);
    check(TEXT_CSV, "name,value", NULL);
    check(TEXT_CSV, "name,time", NULL);
    check(TEXT_CSV, "value,time,time_s", NULL);
    check(TEXT_CSV, "value,time,", NULL);
    r = reader_of(TEXT_CSV, false);
    check_in(r, "time_s,__name__,value", "");
    check_in(r, "1.5,up,1e3", "__name__=up|1000@1500");
    text_reader_free(r);
}

UNIT_TEST(test_skipped_lines_of_csv_still_name_the_columns)
{
    struct why why;
    struct text_reader *r = reader_of(TEXT_CSV, false);
    assert_int_equal(text_reader_skip(r, bytes_of_text("name,time,value"), &why), OK);
    assert_int_equal(text_reader_skip(r, bytes_of_text("a,1,1"), &why), OK);
    check_in(r, "b,2,2", "__name__=b|2@2");
    text_reader_free(r);
}

static void
check_early(enum text_format format, const char *header, const char *line, const char *column)
{
    struct text_reader *r = reader_of(format, false);
    struct text_item item;
    struct why why;
    if (header != NULL) check_in(r, header, "");
    assert_int_equal(text_reader_line(r, bytes_of_text(line), &item, &why), OK);
    if (column == NULL) {
        assert_null(item.early_column.at);
    } else {
        assert_true(bytes_equal_text(item.early_column, column));
        assert_int_equal(item.early_ms, 315532799999);
    }
    text_reader_free(r);
}

UNIT_TEST(test_a_time_before_1980_of_an_unknown_unit_names_its_column)
{
#define EARLY "315532799999"
    check_early(TEXT_CSV, "name,value,time", "up,1," EARLY, "time");
    check_early(TEXT_CSV, "timestamp,value,name", EARLY ",1,up", "timestamp");
    check_early(TEXT_CSV, "name,value,time", "up,1,315532800000", NULL);
    check_early(TEXT_CSV, "name,value,time", "up,," EARLY, NULL); /* not a sample */
    check_early(TEXT_CSV, "name,value,time", "up,1,1979-12-31", NULL);
    check_early(TEXT_CSV, "name,value,time_s", "up,1,5", NULL);
    check_early(TEXT_PROMETHEUS, NULL, "up 1 " EARLY, "timestamp");
    check_early(TEXT_OPENMETRICS, NULL, "up 1 5", NULL);
    check_early(TEXT_NDJSON, NULL, "{\"name\":\"up\",\"time\":" EARLY ",\"value\":1}", "time");
    check_early(TEXT_NDJSON, NULL, "{\"name\":\"up\",\"time\":0,\"value\":null}", NULL);
    check_early(TEXT_JSON_LINES, NULL,
                "{\"metric\":{\"a\":\"b\"},\"values\":[1,2],\"timestamps\":[" EARLY
                ",1700000000000]}",
                "timestamps");
#undef EARLY
}

UNIT_TEST(test_formats_are_detected)
{
    static const struct {
        const char *head;
        enum text_format format;
    } cases[] = {
        {"{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[5]}\n", TEXT_JSON_LINES},
        {"{\"timestamps\":[5],\"values\":[1],", TEXT_JSON_LINES},
        {"{\"name\":\"up\",\"time\":5,\"value\":1,\"labels\":{}}\n", TEXT_NDJSON},
        {"{\"name\":\"up\",\"time\":5,\"value\":1}{\"labels\":{\"metric\":\"\"}", TEXT_NDJSON},
        {"{\"my.metric\",a=\"b\"} 1 1700000000000\n", TEXT_PROMETHEUS},
        {"name,labels,time,value\nup,{},5,1\n", TEXT_CSV},
        {"\"time\",\"value\",\"job\"\r\n", TEXT_CSV},
        {"up 1 1700000000000\n", TEXT_PROMETHEUS},
        {"up 1 1700000000\n", TEXT_OPENMETRICS},
        {"up{a=\"b c\"} 1 1700000000.5\n", TEXT_OPENMETRICS},
        {"up{a=\"b c\"} 1\n# EOF\n", TEXT_OPENMETRICS},
        {"# HELP a b\n# UNIT a b\n", TEXT_OPENMETRICS},
        {"# HELP up x\n# TYPE up gauge\nup{a=\"b\"} 1\n", TEXT_PROMETHEUS},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum text_format format;
        assert_true(text_format_guess(bytes_of_text(cases[i].head), &format));
        if (format != cases[i].format)
            fail_msg("%s taken for %s", cases[i].head, text_format_word(format));
    }
    enum text_format format;
    assert_false(text_format_guess(bytes_of("\x10\0\0\0", 4), &format));
    assert_false(text_format_guess(bytes_of("", 0), &format));
}

/* --- round trips ------------------------------------------------------------------------------ */

static const struct label series_labels[][4] = {
    {{{(const uint8_t *)"__name__", 8}, {(const uint8_t *)"up", 2}}},
    {{{(const uint8_t *)"__name__", 8}, {(const uint8_t *)"a:b_c", 5}},
     {{(const uint8_t *)"job", 3}, {(const uint8_t *)"x,y\"z\"\\\n{}=", 11}}},
    {{{(const uint8_t *)"__name__", 8}, {(const uint8_t *)"my.metric \"q\"", 13}},
     {{(const uint8_t *)"l.x", 3}, {(const uint8_t *)"\xc3\xa9", 2}},
     {{(const uint8_t *)"z", 1}, {(const uint8_t *)"#", 1}}},
    {{{(const uint8_t *)"only", 4}, {(const uint8_t *)"labels", 6}}},
};

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

static void
labels_bytes(const struct label *labels, struct buf *to)
{
    for (unsigned i = 0; i < 4 && labels[i].name.size > 0; i++) {
        size_t n = labels[i].name.size, v = labels[i].value.size;
        buf_put_u8(to, 0x0a);
        buf_put_varint(to, 2 + varint_size(n) + n + varint_size(v) + v);
        buf_put_u8(to, 0x0a);
        buf_put_counted(to, labels[i].name);
        buf_put_u8(to, 0x12);
        buf_put_counted(to, labels[i].value);
    }
}

enum { ROUND_SAMPLES = TEXT_JSON_SAMPLES_MAX + 100 };

static void
make_samples(enum text_format format, int64_t *times, uint64_t *bits)
{
    bool one_nan = format == TEXT_OPENMETRICS || format == TEXT_PROMETHEUS;
    uint64_t seed = 42;
    for (int i = 0; i < ROUND_SAMPLES; i++) {
        times[i] = 1700000000000 + (int64_t)i * 15000 + (int64_t)(random_next(&seed) % 1000);
        bits[i] = random_next(&seed);
        if (i % 3 == 0) bits[i] = double_bits((double)(i / 7) / 10);
        if (i == 5) bits[i] = 0x8000000000000000u;
        if (i == 6) bits[i] = STALE_NAN_BITS;
        if (i == 7) bits[i] = NORMAL_NAN_BITS;
        if (i == 8) bits[i] = 0xfff0000000000000u;
        bool nan = (bits[i] & ~(1ull << 63)) > 0x7ff0000000000000u;
        if (one_nan && nan) bits[i] = NORMAL_NAN_BITS;
    }
}

struct expected {
    const struct label *labels;
    const int64_t *times;
    const uint64_t *bits;
    uint32_t at;
};

static bool
has_label(const struct text_item *item, const struct label *wanted)
{
    for (uint32_t i = 0; i < item->label_count; i++)
        if (bytes_equal(item->labels[i].name, wanted->name) &&
            bytes_equal(item->labels[i].value, wanted->value))
            return true;
    return false;
}

static void
expect_item(struct expected *x, const struct text_item *item)
{
    if (item->sample_count == 0) return;
    unsigned labels = 0, named = 0;
    for (; labels < 4 && x->labels[labels].name.size > 0; labels++)
        assert_true(has_label(item, &x->labels[labels]));
    for (uint32_t i = 0; i < item->label_count; i++)
        named += item->labels[i].value.size > 0; /* CSV has an empty name if there is none */
    assert_int_equal(named, labels);
    for (uint32_t i = 0; i < item->sample_count; i++, x->at++) {
        assert_true(x->at < ROUND_SAMPLES);
        assert_int_equal(item->times_ms[i], x->times[x->at]);
        assert_int_equal(item->bits[i], x->bits[x->at]);
    }
}

static void
read_all(enum text_format format, struct bytes text, struct expected *x)
{
    struct text_reader *r = reader_of(format, false);
    struct text_item item;
    struct why why = {""};
    struct cursor c = cursor_of(text);
    while (c.at != c.end) {
        const uint8_t *feed = memchr(c.at, '\n', cursor_left(&c));
        assert_non_null(feed);
        enum err e = text_reader_line(r, bytes_of(c.at, (size_t)(feed - c.at)), &item, &why);
        if (e) fail_msg("%s: %.*s", why.text, (int)(feed - c.at), (const char *)c.at);
        expect_item(x, &item);
        c.at = feed + 1;
    }
    assert_int_equal(text_reader_end(r, &item, &why), OK);
    text_reader_free(r);
}

static void
round_trip(enum text_format format, const struct label *labels)
{
    static int64_t times[ROUND_SAMPLES];
    static uint64_t bits[ROUND_SAMPLES];
    struct text_writer *w;
    struct buf canonical, text;
    make_samples(format, times, bits);
    buf_init(&canonical, NULL, 4096);
    buf_init(&text, NULL, 64 << 20);
    labels_bytes(labels, &canonical);
    assert_int_equal(text_writer_new(format, NULL, &w), OK);
    text_writer_begin(w, &text);
    assert_int_equal(text_writer_series(w, buf_bytes(&canonical)), OK);
    text_writer_floats(w, 1000, times, bits, &text);
    text_writer_floats(w, ROUND_SAMPLES - 1000, times + 1000, bits + 1000, &text);
    text_writer_series_end(w, &text);
    text_writer_end(w, &text);
    assert_int_equal(buf_error(&text), OK);
    assert_int_equal(text_writer_counts(w).samples, ROUND_SAMPLES);
    assert_int_equal(text_writer_counts(w).nan_altered, 0);
    enum text_format guessed;
    assert_true(
        text_format_guess(bytes_of(text.at, text.size < 4096 ? text.size : 4096), &guessed));
    assert_int_equal(guessed, format);
    struct expected x = {labels, times, bits, 0};
    read_all(format, buf_bytes(&text), &x);
    assert_int_equal(x.at, ROUND_SAMPLES);
    text_writer_free(w);
    buf_fini(&canonical);
    buf_fini(&text);
}

UNIT_TEST(test_written_samples_read_back_bit_for_bit)
{
    for (unsigned format = 0; format < TEXT_FORMAT_COUNT; format++)
        for (unsigned i = 0; i < sizeof series_labels / sizeof *series_labels; i++)
            round_trip((enum text_format)format, series_labels[i]);
}

UNIT_TEST(test_samples_that_a_format_cannot_represent_are_counted)
{
    static const int64_t times[] = {1, 2, 3};
    static const uint64_t bits[] = {STALE_NAN_BITS, 0xfff8000000000001u, NORMAL_NAN_BITS};
    struct text_writer *w;
    struct buf text;
    buf_init(&text, NULL, 4096);
    assert_int_equal(text_writer_new(TEXT_PROMETHEUS, NULL, &w), OK);
    assert_int_equal(text_writer_series(w, (struct bytes){NULL, 0}), OK);
    text_writer_floats(w, 3, times, bits, &text);
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    for (int i = 0; i < 7; i++)
        text_writer_histogram(w, i, &h, &text);
    text_writer_series_end(w, &text);
    struct text_writer_counts counts = text_writer_counts(w);
    assert_int_equal(counts.samples, 2);
    assert_int_equal(counts.stale_left_out, 1);
    assert_int_equal(counts.nan_altered, 1);
    assert_int_equal(counts.histograms_left_out, 7);
    buf_put_u8(&text, 0);
    assert_string_equal((char *)text.at, "{} NaN 2\n{} NaN 3\n");
    text_writer_free(w);
    buf_fini(&text);
}

UNIT_TEST(test_every_refused_allocation_is_an_error)
{
    static const char line[] = "{\"metric\":{\"a\":\"\\u0041\"},\"values\":[1],\"timestamps\":[5]}";
    for (uint64_t nth = 1;; nth++) {
        struct text_reader_options options = {.format = TEXT_JSON_LINES};
        struct text_reader *r = NULL;
        struct text_item item;
        struct why why;
        mem_fail_nth(nth, true);
        enum err e = text_reader_new(&options, &r);
        if (e == OK) e = text_reader_line(r, bytes_of_text(line), &item, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (fired) assert_int_equal(e, ERR_NOMEM);
        if (fired && r != NULL) {
            e = text_reader_line(r, bytes_of_text(line), &item, &why);
            assert_int_equal(e, OK); /* the next line is not harmed */
        }
        if (r != NULL) assert_int_equal(item.sample_count, 1);
        text_reader_free(r);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prometheus_text_is_read),
        cmocka_unit_test(test_bad_prometheus_lines_are_reported),
        cmocka_unit_test(test_openmetrics_is_read),
        cmocka_unit_test(test_a_given_time_replaces_missing_ones),
        cmocka_unit_test(test_a_family_is_returned_once_it_is_complete),
        cmocka_unit_test(test_openmetrics_must_end),
        cmocka_unit_test(test_a_last_line_without_a_line_feed_is_bad_unless_its_end_shows),
        cmocka_unit_test(test_json_lines_are_read),
        cmocka_unit_test(test_deep_json_is_refused),
        cmocka_unit_test(test_ndjson_rows_are_read),
        cmocka_unit_test(test_ndjson_rows_carry_more_than_numbers),
        cmocka_unit_test(test_invalid_histograms_are_reported),
        cmocka_unit_test(test_a_histogram_has_no_more_buckets_than_a_limit),
        cmocka_unit_test(test_csv_rows_are_read),
        cmocka_unit_test(test_skipped_lines_of_csv_still_name_the_columns),
        cmocka_unit_test(test_a_time_before_1980_of_an_unknown_unit_names_its_column),
        cmocka_unit_test(test_formats_are_detected),
        cmocka_unit_test(test_written_samples_read_back_bit_for_bit),
        cmocka_unit_test(test_samples_that_a_format_cannot_represent_are_counted),
        cmocka_unit_test(test_every_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
