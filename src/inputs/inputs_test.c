/* inputs_test.c - texts, CSV, protobuf families, points of OpenTSDB and lines of Graphite, and the
 * series that they become. */
#include "lib/test.h"

#include <stdio.h>

#include "inputs/graphite/graphite.h"
#include "inputs/opentsdb/opentsdb.h"
#include "inputs/text/text.h"
#include "model/labels.h"
#include "wire/number.h"
#include "wire/proto.h"
#include "wire/remote/remote_write_fill.h"

enum { NOW_MS = 1700000009 };

static struct rw_request request;
static struct buf shown;
static struct input_outcome outcome;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    buf_init(&shown, NULL, 1 << 20);
    return rw_request_init(&request, NULL);
}

static int
teardown(void **state)
{
    (void)state;
    rw_request_fini(&request);
    buf_fini(&shown);
    return 0;
}

static void
expect_shown(enum err e, const char *expected)
{
    if (e) fail_msg("%s: %s", err_word(e), why.text);
    buf_clear(&shown);
    for (uint32_t i = 0; i < request.series_count; i++) {
        const struct rw_series *s = &request.series[i];
        labels_print_selector(&shown, s->label_bytes);
        for (uint32_t k = 0; k < s->floats.count; k++) {
            const struct rw_float *f = &request.floats[s->floats.first + k];
            char number[NUMBER_TEXT_BYTES];
            buf_put_text(&shown, " ");
            buf_put(&shown, number, number_print_exact(f->bits, number));
            buf_printf(&shown, "@%lld", (long long)f->t_ms);
        }
        buf_put_u8(&shown, '\n');
    }
    buf_put_u8(&shown, '\0');
    assert_string_equal((const char *)shown.at, expected);
}

static enum err
decode_text(enum text_format format, const char *text)
{
    struct text_input input = {.format = format, .time_ms = NOW_MS};
    return text_decode(&input, bytes_of_text(text), 7, &request, &outcome, &why);
}

static void
expect_refused(uint64_t refused, uint64_t line, const char *sentence)
{
    assert_int_equal(outcome.refused, refused);
    if (line > 0) assert_int_equal(outcome.line, line);
    assert_string_equal(outcome.first.text, sentence);
}

/* --- texts ------------------------------------------------------------------------------------ */

UNIT_TEST(test_texts_of_prometheus_keep_metadata_exemplars_and_times)
{
    expect_shown(decode_text(TEXT_PROMETHEUS, "# HELP a Some\\nhelp\n# TYPE a counter\n"
                                              "a{z=\"1\",b=\"\"} 1\nb 2 5"),
                 "a{z=\"1\"} 1@1700000009\nb 2@5\n");
    assert_int_equal(request.metadata_count, 1);
    assert_true(bytes_equal_text(request.metadata[0].help, "Some\nhelp"));
    expect_shown(decode_text(TEXT_OPENMETRICS, "a_total 1 1.5 # {id=\"x\"} 0.5\n# EOF\n"),
                 "a_total 1@1500\n");
    assert_int_equal(request.exemplar_count, 1);
    assert_true(bytes_equal_text(request.labels[0].value, "x"));
}

UNIT_TEST(test_lines_of_json_have_many_samples)
{
    expect_shown(decode_text(TEXT_JSON_LINES,
                             "{\"metric\":{\"__name__\":\"a\",\"b\":\"c\"},\"values\":[1,null,2.5],"
                             "\"timestamps\":[1,2,3]}\n"),
                 "a{b=\"c\"} 1@1 NaN@2 2.5@3\n");
    assert_int_equal(outcome.points, 3);
}

UNIT_TEST(test_a_bad_line_is_numbered_and_those_beside_it_are_taken)
{
    expect_shown(decode_text(TEXT_PROMETHEUS, "a 1\nb x\n\nc{d=\"1\",d=\"2\"} 1\ne 5\n"),
                 "a 1@1700000009\ne 5@1700000009\n");
    assert_int_equal(outcome.points, 4);
    expect_refused(2, 2, "line 2: 'x' is not a valid number");
}

/* --- CSV -------------------------------------------------------------------------------------- */

UNIT_TEST(test_columns_of_csv_are_metrics_labels_and_times)
{
    enum err e = csv_decode("2:metric:ask,3:metric:bid,1:label:ticker,4:time:unix_s", NOW_MS,
                            bytes_of_text("G\"OOG,1.23,4.56,100\r\n\"a,\"\"b\",,7,1.5\nx,1,2\n"), 7,
                            &request, &outcome, &why);
    expect_shown(e, "ask{ticker=\"G\\\"OOG\"} 1.23@100000\nbid{ticker=\"G\\\"OOG\"} 4.56@100000\n"
                    "bid{ticker=\"a,\\\"b\"} 7@1500\n");
    assert_int_equal(outcome.points, 4);
    expect_refused(1, 3, "line 3: column 4 is missing");
}

UNIT_TEST(test_an_error_of_a_request_is_not_one_of_the_next)
{
    rw_request_fini(&request);
    assert_int_equal(rw_request_init(&request, NULL), OK);
    mem_fail_nth(1, false);
    assert_int_equal(csv_decode("1:metric:a", 0, bytes_of_text("1"), 7, &request, &outcome, &why),
                     ERR_NOMEM);
    mem_fail_nth(0, false);
    assert_int_equal(OK,
                     csv_decode("1:metric:a", 0, bytes_of_text("1"), 7, &request, &outcome, &why));
}

UNIT_TEST(test_a_wrong_format_of_csv_is_refused)
{
    static const char *const wrong[] = {"",
                                        "x",
                                        "0:metric:a",
                                        "1:metric:",
                                        "1:time:custom:x,2:metric:a",
                                        "1:label:a",
                                        "1:metric:a,1:label:b",
                                        "9999:metric:a"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(csv_decode(wrong[i], 0, bytes_of_text("1,2"), 7, &request, &outcome, &why),
                         ERR_INPUT);
}

/* --- families --------------------------------------------------------------------------------- */

static void
put_part(struct buf *to, uint32_t field, struct buf *part)
{
    proto_put_bytes(to, PROTO_TAG(field, PROTO_BYTES), buf_bytes(part));
    buf_clear(part);
}

UNIT_TEST(test_families_become_their_text)
{
    struct buf part, metric, family, message, text;
    buf_init(&part, NULL, 1000);
    buf_init(&metric, NULL, 1000);
    buf_init(&family, NULL, 1000);
    buf_init(&message, NULL, 1000);
    buf_init(&text, NULL, 10000);
    proto_put_bytes(&part, PROTO_TAG(1, PROTO_BYTES), bytes_of_text("l"));
    proto_put_bytes(&part, PROTO_TAG(2, PROTO_BYTES), bytes_of_text("v\"\n"));
    put_part(&metric, 1, &part);
    proto_put_varint(&part, PROTO_TAG(1, PROTO_VARINT), 3);
    proto_put_fixed64(&part, PROTO_TAG(2, PROTO_FIXED64), double_bits(1.5));
    struct buf bucket;
    buf_init(&bucket, NULL, 100);
    proto_put_varint(&bucket, PROTO_TAG(1, PROTO_VARINT), 2);
    proto_put_fixed64(&bucket, PROTO_TAG(2, PROTO_FIXED64), double_bits(0.5));
    put_part(&part, 3, &bucket);
    put_part(&metric, 7, &part);
    proto_put_bytes(&family, PROTO_TAG(1, PROTO_BYTES), bytes_of_text("h"));
    proto_put_bytes(&family, PROTO_TAG(2, PROTO_BYTES), bytes_of_text("a \"b\"\\\n"));
    proto_put_varint(&family, PROTO_TAG(3, PROTO_VARINT), 4);
    put_part(&family, 4, &metric);
    buf_put_u8(&message, (uint8_t)family.size);
    buf_put_bytes(&message, buf_bytes(&family));
    assert_int_equal(OK, families_put_text(buf_bytes(&message), &text, &why));
    buf_put_u8(&text, '\0');
    assert_string_equal(
        (const char *)text.at,
        "# TYPE \"h\" histogram\n# HELP \"h\" a \"b\"\\\\\\n\n"
        "{\"h_bucket\",\"l\"=\"v\\\"\\n\",le=\"0.5\"} 2\n"
        "{\"h_bucket\",\"l\"=\"v\\\"\\n\",le=\"+Inf\"} 3\n"
        "{\"h_sum\",\"l\"=\"v\\\"\\n\",} 1.5\n{\"h_count\",\"l\"=\"v\\\"\\n\",} 3\n");
    expect_shown(decode_text(TEXT_PROMETHEUS, (const char *)text.at),
                 "h_bucket{l=\"v\\\"\\n\", le=\"0.5\"} 2@1700000009\n"
                 "h_bucket{l=\"v\\\"\\n\", le=\"+Inf\"} 3@1700000009\n"
                 "h_sum{l=\"v\\\"\\n\"} 1.5@1700000009\nh_count{l=\"v\\\"\\n\"} 3@1700000009\n");
    assert_true(bytes_equal_text(request.metadata[0].help, "a \"b\"\\\n"));
    message.size--;
    assert_int_equal(families_put_text(buf_bytes(&message), &text, &why), ERR_INPUT);
    buf_fini(&bucket);
    buf_fini(&text);
    buf_fini(&message);
    buf_fini(&family);
    buf_fini(&metric);
    buf_fini(&part);
}

/* --- OpenTSDB --------------------------------------------------------------------------------- */

static enum err
decode_points(const char *text, struct json *errors)
{
    return opentsdb_decode(bytes_of_text(text), NULL, 7, &request, errors, &outcome, &why);
}

UNIT_TEST(test_points_have_seconds_or_milliseconds_and_numbers_or_their_texts)
{
    expect_shown(decode_points("{\"metric\":\"sys.cpu\",\"timestamp\":1346846400,\"value\":18,"
                               "\"tags\":{\"host\":\"web01\",\"a\":1}}",
                               NULL),
                 "{\"sys.cpu\", a=\"1\", host=\"web01\"} 18@1346846400000\n");
    expect_shown(
        decode_points("[{\"metric\":\"m\",\"timestamp\":\"1346846400500\",\"value\":\"1.5\"},"
                      "{\"timestamp\":1346846400.25,\"metric\":\"n\",\"value\":2,\"x\":[]}]",
                      NULL),
        "m 1.5@1346846400500\nn 2@1346846400250\n");
}

UNIT_TEST(test_bad_points_are_named_and_those_beside_them_are_taken)
{
    struct buf text;
    struct json errors;
    buf_init(&text, NULL, 10000);
    json_init(&errors, &text);
    json_array_open(&errors);
    expect_shown(
        decode_points("[{\"metric\":\"m\",\"timestamp\":1,\"value\":\"NaN\"},7,"
                      "{\"metric\":\"m\",\"timestamp\":1,\"value\":1,\"tags\":{\"a\":\"\"}},"
                      "{\"metric\":\"m\",\"timestamp\":1,\"value\":2}]",
                      &errors),
        "m 2@1000\n");
    json_array_close(&errors);
    expect_refused(3, 0, "Unable to parse value to a number");
    buf_put_u8(&text, '\0');
    assert_string_equal(
        (const char *)text.at,
        "[{\"datapoint\":{\"metric\":\"m\",\"timestamp\":1,\"value\":\"NaN\"},\"error\":\"Unable "
        "to "
        "parse value to a number\"},{\"datapoint\":7,\"error\":\"expected an object\"},"
        "{\"datapoint\":{\"metric\":\"m\",\"timestamp\":1,\"value\":1,\"tags\":{\"a\":\"\"}},"
        "\"error\":"
        "\"a tag has no name or no value\"}]");
    buf_fini(&text);
    assert_int_equal(decode_points("[{\"metric\":\"m\"", NULL), ERR_INPUT);
    assert_int_equal(decode_points("[] x", NULL), ERR_INPUT);
}

static enum err
fill_put(const char *line)
{
    rw_fill_begin(&request, 7, 1000);
    enum err e = opentsdb_line_fill(&request, bytes_of_text(line), &why);
    rw_fill_end(&request);
    return e;
}

UNIT_TEST(test_lines_put_points)
{
    expect_shown(fill_put("put sys.cpu 1346846400  -1.5e3 host=a dc=b=c"),
                 "{\"sys.cpu\", dc=\"b=c\", host=\"a\"} -1500@1346846400000\n");
    assert_int_equal(fill_put("put m 1 x a=b"), ERR_INPUT);
    assert_string_equal(why.text, "put: illegal argument: Unable to parse value to a number");
    assert_int_equal(fill_put("put m 1 2 a"), ERR_INPUT);
    assert_int_equal(fill_put("diediedie"), ERR_INPUT);
    assert_string_equal(why.text, "unknown command: diediedie");
}

/* --- Graphite --------------------------------------------------------------------------------- */

static void
expect_graphite(const char *const *templates, uint32_t count, const char *line,
                const char *expected)
{
    struct graphite_templates *all = NULL;
    if (count > 0)
        assert_int_equal(OK, graphite_templates_new(templates, count, "_", NULL, &all, &why));
    rw_fill_begin(&request, 7, 1000);
    enum err e = graphite_line_fill(all, NOW_MS, &request, bytes_of_text(line), &why);
    rw_fill_end(&request);
    if (expected != NULL)
        expect_shown(e, expected);
    else
        assert_int_equal(e, ERR_INPUT);
    graphite_templates_free(all);
}

UNIT_TEST(test_lines_of_graphite_have_paths_and_tags)
{
    expect_graphite(NULL, 0, "a.b-c.d 1.5 100", "{\"a.b-c.d\"} 1.5@100000\n");
    expect_graphite(NULL, 0, "a;z=1;b=x.y 2", "a{b=\"x.y\", z=\"1\"} 2@1700000009\n");
    expect_graphite(NULL, 0, "a  2   -1", "a 2@1700000009\n");
    expect_graphite(NULL, 0, "a\t2\t1.5", "a 2@1500\n");
    expect_graphite(NULL, 0, "a\t2 1.5", "a 2@1500\n");
    static const char *const bad[] = {"",       "a",     "a b",    "a 1 x",  "a 1 2 3",
                                      ";b=c 1", "a;b 1", "a;=c 1", "a\x01 1"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_graphite(NULL, 0, bad[i], NULL);
}

UNIT_TEST(test_templates_make_labels_of_parts)
{
    static const char *const templates[] = {
        "*.cpu.* host.measurement.core.measurement.field region=us,dc=1",
        "servers.* .host.measurement*",
        "servers.*.disk .host.measurement.device.field*",
        "measurement.measurement.env",
    };
    expect_graphite(templates, 4, "web.cpu.0.load.idle 1 1",
                    "cpu_load_idle{core=\"0\", dc=\"1\", host=\"web\", region=\"us\"} 1@1000\n");
    expect_graphite(templates, 4, "servers.a.mem.free 1 1", "mem_free{host=\"a\"} 1@1000\n");
    expect_graphite(templates, 4, "servers.a.disk.sda.read.bytes 1 1",
                    "disk_read_bytes{device=\"sda\", host=\"a\"} 1@1000\n");
    expect_graphite(templates, 4, "x.y.z.w;env=q 1 1", "x_y{env=\"q\"} 1@1000\n");
}

UNIT_TEST(test_a_wrong_template_is_refused)
{
    static const char *const wrong[] = {"",           "host.region", "a b c d",
                                        "* host a=b", "m. x=",       "measurement a=,b=c"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct graphite_templates *all;
        assert_int_equal(graphite_templates_new(&wrong[i], 1, "_", NULL, &all, &why), ERR_INPUT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_of_prometheus_keep_metadata_exemplars_and_times),
        cmocka_unit_test(test_lines_of_json_have_many_samples),
        cmocka_unit_test(test_a_bad_line_is_numbered_and_those_beside_it_are_taken),
        cmocka_unit_test(test_columns_of_csv_are_metrics_labels_and_times),
        cmocka_unit_test(test_an_error_of_a_request_is_not_one_of_the_next),
        cmocka_unit_test(test_a_wrong_format_of_csv_is_refused),
        cmocka_unit_test(test_families_become_their_text),
        cmocka_unit_test(test_points_have_seconds_or_milliseconds_and_numbers_or_their_texts),
        cmocka_unit_test(test_bad_points_are_named_and_those_beside_them_are_taken),
        cmocka_unit_test(test_lines_put_points),
        cmocka_unit_test(test_lines_of_graphite_have_paths_and_tags),
        cmocka_unit_test(test_templates_make_labels_of_parts),
        cmocka_unit_test(test_a_wrong_template_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
