/* otlp_test.c - messages of OTLP, as JSON, and the series that they become. */
#include "lib/test.h"

#include <stdio.h>

#include "inputs/otlp/otlp.h"
#include "model/labels.h"
#include "wire/number.h"

static struct rw_request request;
static struct buf message, shown;
static struct input_outcome outcome;
static struct why why;
static struct otlp_settings settings;

static int
setup(void **state)
{
    (void)state;
    settings = otlp_settings_default;
    buf_init(&message, NULL, 1 << 20);
    buf_init(&shown, NULL, 1 << 20);
    return rw_request_init(&request, NULL);
}

static int
teardown(void **state)
{
    (void)state;
    rw_request_fini(&request);
    buf_fini(&message);
    buf_fini(&shown);
    return 0;
}

static void
show_floats(const struct rw_series *s)
{
    for (uint32_t i = 0; i < s->floats.count; i++) {
        const struct rw_float *f = &request.floats[s->floats.first + i];
        char text[NUMBER_TEXT_BYTES];
        buf_put_text(&shown, " ");
        buf_put(&shown, text, number_print_exact(f->bits, text));
        buf_printf(&shown, "@%lld", (long long)f->t_ms);
        if (f->start_ms != 0) buf_printf(&shown, "^%lld", (long long)f->start_ms);
    }
}

static void
show_buckets(const char *sign, const struct hist_buckets *b)
{
    uint32_t at = 0;
    int64_t count = 0;
    int32_t index = 0;
    for (uint32_t i = 0; i < b->span_count; i++) {
        index += b->spans[i].offset;
        for (uint32_t k = 0; k < b->spans[i].length; k++, index++) {
            count += b->deltas[at++];
            buf_printf(&shown, " %s%d:%lld", sign, index, (long long)count);
        }
    }
}

static void
show_histograms(const struct rw_series *s)
{
    for (uint32_t i = 0; i < s->histograms.count; i++) {
        const struct rw_histogram *h = &request.histograms[s->histograms.first + i];
        char text[NUMBER_TEXT_BYTES];
        buf_printf(&shown, " {schema %d count %llu zero %llu hint %d", h->h.schema,
                   (unsigned long long)h->h.count, (unsigned long long)h->h.zero_count,
                   h->h.reset_hint);
        buf_put_text(&shown, " sum ");
        buf_put(&shown, text, number_print_exact(h->h.sum_bits, text));
        show_buckets("", &h->h.positive);
        show_buckets("-", &h->h.negative);
        buf_printf(&shown, "}@%lld", (long long)h->t_ms);
        if (h->start_ms != 0) buf_printf(&shown, "^%lld", (long long)h->start_ms);
    }
}

static void
show_exemplars(const struct rw_series *s)
{
    for (uint32_t i = 0; i < s->exemplars.count; i++) {
        const struct rw_exemplar *x = &request.exemplars[s->exemplars.first + i];
        buf_put_text(&shown, " #");
        for (uint32_t k = 0; k < x->label_count; k++) {
            const struct label *l = &request.labels[x->label_first + k];
            buf_printf(&shown, "%s%.*s=%.*s", k == 0 ? "" : ",", (int)l->name.size, l->name.at,
                       (int)l->value.size, l->value.at);
        }
    }
}

/* Reads the message, and compares the lines of its series with those expected. */
static void
expect(const char *json, const char *expected)
{
    enum err e = otlp_from_json(bytes_of_text(json), &message, NULL, &why);
    if (e == OK) e = otlp_decode(&settings, buf_bytes(&message), 7, &request, &outcome, &why);
    if (e) fail_msg("%s: %s", err_word(e), why.text);
    buf_clear(&shown);
    for (uint32_t i = 0; i < request.series_count; i++) {
        const struct rw_series *s = &request.series[i];
        labels_print_selector(&shown, s->label_bytes);
        show_floats(s);
        show_histograms(s);
        show_exemplars(s);
        buf_put_text(&shown, "\n");
    }
    buf_put_u8(&shown, '\0');
    assert_string_equal((const char *)shown.at, expected);
}

#define ATTRIBUTE(key, value) "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define METRICS(resource, metrics)                                          \
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" resource        \
    "]},\"scopeMetrics\":[{\"scope\":{\"name\":\"lib\",\"version\":\"2\"}," \
    "\"schemaUrl\":\"u\",\"metrics\":[" metrics "]}]}]}"
#define T1 "\"timeUnixNano\":\"1700000000123456789\""
#define S1 "\"startTimeUnixNano\":\"1699999990000000000\""

UNIT_TEST(test_gauges_and_sums_become_samples)
{
    expect(
        METRICS(
            "",
            "{\"name\":\"a.b\",\"unit\":\"s\",\"gauge\":{\"dataPoints\":[{" T1 "," S1
            ",\"asDouble\":1.5,\"attributes\":[" ATTRIBUTE(
                "x.y",
                "1") "]}]}},"
                     "{\"name\":\"c\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,"
                     "\"dataPoints\":[{" T1 "," S1 ",\"asInt\":\"-7\"}]}},"
                     "{\"name\":\"d\",\"sum\":{\"aggregationTemporality\":2,"
                     "\"dataPoints\":[{" T1 "," S1 ",\"asInt\":3}]}}"),
        "a_b_seconds{x_y=\"1\"} 1.5@1700000000123\n"
        "c_total -7@1700000000123^1699999990000\n"
        "d 3@1700000000123\n");
    assert_int_equal(request.metadata_count, 3);
    assert_int_equal(request.metadata[0].type, METRIC_GAUGE);
    assert_int_equal(request.metadata[1].type, METRIC_COUNTER);
    assert_int_equal(outcome.points, 3);
    assert_int_equal(outcome.refused, 0);
}

UNIT_TEST(test_the_resource_makes_job_instance_and_target_info)
{
    expect(
        METRICS(ATTRIBUTE("service.name", "shop") "," ATTRIBUTE(
                    "service.namespace", "eu") "," ATTRIBUTE("service.instance.id",
                                                             "i1") "," ATTRIBUTE("host.name", "h"),
                "{\"name\":\"a\",\"gauge\":{\"dataPoints\":["
                "{\"timeUnixNano\":\"1700000000000000000\",\"asInt\":1},"
                "{\"timeUnixNano\":\"1700000200000000000\",\"asInt\":2}]}}"),
        "a{instance=\"i1\", job=\"eu/shop\"} 1@1700000000000\n"
        "a{instance=\"i1\", job=\"eu/shop\"} 2@1700000200000\n"
        "target_info{host_name=\"h\", instance=\"i1\", job=\"eu/shop\"} 1@1700000000000 "
        "1@1700000150000 1@1700000200000\n");
}

UNIT_TEST(test_attributes_of_resource_and_scope_are_promoted_if_wanted)
{
    const char *names[] = {"host.name"};
    settings.promoted = (struct text_list){names, 1};
    settings.promotes_scope = true;
    expect(METRICS(ATTRIBUTE("host.name", "h"),
                   "{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{" T1 ",\"asInt\":1}]}}"),
           "a{host_name=\"h\", otel_scope_name=\"lib\", otel_scope_schema_url=\"u\", "
           "otel_scope_version=\"2\"} 1@1700000000123\n");
}

UNIT_TEST(test_keys_that_make_one_name_join_their_values)
{
    expect(METRICS("",
                   "{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{" T1
                   ",\"asInt\":1,\"attributes\":[" ATTRIBUTE("x_y", "2") "," ATTRIBUTE(
                       "x.y", "1") "," ATTRIBUTE("__name__", "no") "," ATTRIBUTE("e", "") "]}]}}"),
           "a{x_y=\"1;2\"} 1@1700000000123\n");
}

#define POINT(attributes) "{" T1 ",\"asInt\":1,\"attributes\":[" attributes "]}"

UNIT_TEST(test_points_in_a_row_with_the_same_keys_have_their_own_values)
{
    expect(
        METRICS(ATTRIBUTE("service.name", "shop"),
                "{\"name\":\"a\",\"gauge\":{\"dataPoints\":[" POINT(ATTRIBUTE("z", "1") "," ATTRIBUTE("b.c", "2")) "," POINT(
                    ATTRIBUTE("z", "3") "," ATTRIBUTE(
                        "b.c",
                        "4")) "," POINT(ATTRIBUTE("z",
                                                  "5") "," ATTRIBUTE("b.c",
                                                                     "")) "," POINT(ATTRIBUTE("z",
                                                                                              "6") "," ATTRIBUTE("b.c", "7")) "," POINT(ATTRIBUTE("b.c", "8") "," ATTRIBUTE("z", "9")) "," POINT(ATTRIBUTE("z", "6")) "," POINT(ATTRIBUTE("job", "x") "," ATTRIBUTE("__name__", "n")) "," POINT(ATTRIBUTE("job",
                                                                                                                                                                                                                                                                                                          "y") "," ATTRIBUTE("__name__", "m")) "," POINT(ATTRIBUTE("job",
                                                                                                                                                                                                                                                                                                                                                                   "shop") "," ATTRIBUTE("__name__",
                                                                                                                                                                                                                                                                                                                                                                                         "m")) "," POINT("") "," POINT("") "]}}"),
        "a{b_c=\"2\", job=\"shop\", z=\"1\"} 1@1700000000123\n"
        "a{b_c=\"4\", job=\"shop\", z=\"3\"} 1@1700000000123\n"
        "a{job=\"shop\", z=\"5\"} 1@1700000000123\n"
        "a{b_c=\"7\", job=\"shop\", z=\"6\"} 1@1700000000123\n"
        "a{b_c=\"8\", job=\"shop\", z=\"9\"} 1@1700000000123\n"
        "a{job=\"shop\", z=\"6\"} 1@1700000000123\n"
        "a{job=\"shop\"} 1@1700000000123\n"
        "a{job=\"shop\"} 1@1700000000123\n"
        "a{job=\"shop\"} 1@1700000000123\n"
        "a{job=\"shop\"} 1@1700000000123\n"
        "a{job=\"shop\"} 1@1700000000123\n");
}

UNIT_TEST(test_values_of_attributes_become_text)
{
    expect(METRICS("",
                   "{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{" T1 ",\"asInt\":1,\"attributes\":["
                   "{\"key\":\"b\",\"value\":{\"boolValue\":true}},"
                   "{\"key\":\"d\",\"value\":{\"doubleValue\":1e-7}},"
                   "{\"key\":\"i\",\"value\":{\"intValue\":\"-5\"}},"
                   "{\"key\":\"l\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":1},"
                   "{\"stringValue\":\"<\"}]}}},"
                   "{\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":["
                   "{\"key\":\"z\",\"value\":{}},{\"key\":\"y\",\"value\":{\"intValue\":2}}]}}},"
                   "{\"key\":\"y\",\"value\":{\"bytesValue\":\"AQI=\"}}]}]}}"),
           "a{b=\"true\", d=\"1e-7\", i=\"-5\", l=\"[1,\\\"\\\\u003c\\\"]\", "
           "m=\"{\\\"y\\\":2,\\\"z\\\":null}\", y=\"AQI=\"} 1@1700000000123\n");
}

#define HISTOGRAM(more)                                                                          \
    "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T1 "," S1    \
    ",\"count\":\"6\",\"sum\":9.5,\"bucketCounts\":[\"0\",\"2\",\"4\"],\"explicitBounds\":[1,2." \
    "5]" more "}]}}"

UNIT_TEST(test_a_histogram_becomes_its_series)
{
    expect(METRICS("",
                   HISTOGRAM(",\"exemplars\":[{\"asDouble\":9,\"traceId\":\"00FF\"},"
                             "{\"asDouble\":2,\"filteredAttributes\":[" ATTRIBUTE("k", "v") "]}]")),
           "h_sum 9.5@1700000000123^1699999990000\n"
           "h_count 6@1700000000123^1699999990000\n"
           "h_bucket{le=\"1\"} 0@1700000000123^1699999990000\n"
           "h_bucket{le=\"2.5\"} 2@1700000000123^1699999990000 #k=v\n"
           "h_bucket{le=\"+Inf\"} 6@1700000000123^1699999990000 #trace_id=00ff\n");
    settings.histograms_to_nhcb = true;
    expect(METRICS("", HISTOGRAM("")),
           "h {schema -53 count 6 zero 0 hint 0 sum 9.5 1:2 2:4}@1700000000123^1699999990000\n");
}

UNIT_TEST(test_an_exponential_histogram_becomes_a_native_one)
{
    expect(METRICS("", "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,"
                       "\"dataPoints\":[{" T1 ",\"count\":10,\"sum\":1,\"scale\":9,\"zeroCount\":1,"
                       "\"positive\":{\"offset\":-1,\"bucketCounts\":[1,2,3]},"
                       "\"negative\":{\"offset\":20,\"bucketCounts\":[1,0,0,0,0,0,0,0,0,0,2]}}]}}"),
           "e {schema 8 count 10 zero 1 hint 0 sum 1 0:1 1:5 -11:1 -16:2}@1700000000123\n");
}

UNIT_TEST(test_a_summary_becomes_its_series)
{
    expect(METRICS("", "{\"name\":\"s\",\"summary\":{\"dataPoints\":[{" T1
                       ",\"count\":2,\"sum\":3,\"quantileValues\":[{\"quantile\":0.5,\"value\":1},"
                       "{\"quantile\":0.99,\"value\":2}]}]}}"),
           "s_sum 3@1700000000123\ns_count 2@1700000000123\n"
           "s{quantile=\"0.5\"} 1@1700000000123\ns{quantile=\"0.99\"} 2@1700000000123\n");
}

UNIT_TEST(test_a_point_without_recorded_value_is_stale)
{
    expect(METRICS("", "{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{" T1 ",\"flags\":1}]}},"
                       "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,"
                       "\"dataPoints\":[{" T1 ",\"flags\":1}]}}"),
           "a stale@1700000000123\n"
           "e {schema 0 count 0 zero 0 hint 0 sum stale}@1700000000123\n");
}

UNIT_TEST(test_deltas_keep_their_start_times)
{
    expect(METRICS("", "{\"name\":\"d\",\"sum\":{\"aggregationTemporality\":1,\"isMonotonic\":true,"
                       "\"dataPoints\":[{" T1 "," S1 ",\"asInt\":4}]}},"
                       "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":1,"
                       "\"dataPoints\":[{" T1 "," S1 ",\"count\":1,\"zeroCount\":1}]}}"),
           "d_total 4@1700000000123^1699999990000\n"
           "e {schema 0 count 1 zero 1 hint 1 sum 0}@1700000000123^1699999990000\n");
    assert_int_equal(request.metadata[0].type, METRIC_UNKNOWN);
}

UNIT_TEST(test_points_without_meaning_are_refused_and_named)
{
    static const struct {
        const char *metric, *reason;
    } cases[] = {
        {"{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{\"asInt\":1}]}}", "without time"},
        {"{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{" T1 "}]}}", "without value"},
        {"{\"name\":\"a\",\"sum\":{\"dataPoints\":[{" T1 ",\"asInt\":1}]}}", "temporality"},
        {"{\"name\":\"a\",\"sum\":{\"aggregationTemporality\":1,\"dataPoints\":[{" T1
         ",\"asInt\":1}]}}",
         "start time"},
        {"{\"name\":\"...\",\"gauge\":{\"dataPoints\":[{" T1 ",\"asInt\":1}]}}", "name"},
        {"{\"name\":\"a\",\"gauge\":{\"dataPoints\":[{" T1
         ",\"asInt\":1,\"attributes\":[" ATTRIBUTE("", "1") "]}]}}",
         "label name"},
        {"{\"name\":\"a\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\"dataPoints\":["
         "{" T1 ",\"scale\":-5}]}}",
         "scale"},
        {"{\"name\":\"a\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{" T1
         ",\"bucketCounts\":[1],\"explicitBounds\":[1,2]}]}}",
         "bounds"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[2000];
        snprintf(
            json, sizeof json,
            METRICS("", "%s,{\"name\":\"good\",\"gauge\":{\"dataPoints\":[{" T1 ",\"asInt\":1}]}}"),
            cases[i].metric);
        expect(json, "good 1@1700000000123\n");
        assert_int_equal(outcome.points, 2);
        assert_int_equal(outcome.refused, 1);
        if (strstr(outcome.first.text, cases[i].reason) == NULL)
            fail_msg("'%s' is not in: %s", cases[i].reason, outcome.first.text);
    }
}

UNIT_TEST(test_a_message_that_is_cut_is_refused)
{
    assert_int_equal(
        otlp_from_json(bytes_of_text(METRICS("", HISTOGRAM(""))), &message, NULL, &why), OK);
    struct bytes whole = buf_bytes(&message);
    for (size_t size = 1; size < whole.size; size++)
        assert_int_equal(
            otlp_decode(&settings, bytes_of(whole.at, size), 7, &request, &outcome, &why),
            ERR_INPUT);
    assert_int_equal(otlp_decode(&settings, bytes_of(NULL, 0), 7, &request, &outcome, &why), OK);
    assert_int_equal(request.series_count, 0);
}

UNIT_TEST(test_json_of_another_form_is_refused)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        "{\"resourceMetrics\":1}",
        "{\"resourceMetrics\":[1]}",
        METRICS("", "{\"name\":1}"),
        METRICS("", "{\"sum\":{\"aggregationTemporality\":\"x\"}}"),
        METRICS("", "{\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"18446744073709551616\"}]}}")};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(otlp_from_json(bytes_of_text(texts[i]), &message, NULL, &why), ERR_INPUT);
    expect("{\"unknown\":[{\"a\":1}],\"resourceMetrics\":null}", "");
}

UNIT_TEST(test_responses_have_the_encoding_of_the_request)
{
    buf_clear(&shown);
    otlp_response_put(&shown, true, 3, "why");
    otlp_status_put(&shown, true, 503, "busy");
    buf_put_u8(&shown, '\0');
    assert_string_equal(
        (const char *)shown.at,
        "{\"partialSuccess\":{\"rejectedDataPoints\":\"3\",\"errorMessage\":\"why\"}}"
        "{\"code\":14,\"message\":\"busy\"}");
    buf_clear(&shown);
    otlp_response_put(&shown, false, 0, "");
    assert_int_equal(shown.size, 0);
    otlp_response_put(&shown, false, 3, "why");
    otlp_status_put(&shown, false, 400, "no");
    assert_memory_equal(shown.at, "\x0a\x07\x08\x03\x12\x03why\x08\x03\x12\x02no", 15);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_gauges_and_sums_become_samples),
        WITH_RIG(test_the_resource_makes_job_instance_and_target_info),
        WITH_RIG(test_attributes_of_resource_and_scope_are_promoted_if_wanted),
        WITH_RIG(test_keys_that_make_one_name_join_their_values),
        WITH_RIG(test_points_in_a_row_with_the_same_keys_have_their_own_values),
        WITH_RIG(test_values_of_attributes_become_text),
        WITH_RIG(test_a_histogram_becomes_its_series),
        WITH_RIG(test_an_exponential_histogram_becomes_a_native_one),
        WITH_RIG(test_a_summary_becomes_its_series),
        WITH_RIG(test_a_point_without_recorded_value_is_stale),
        WITH_RIG(test_deltas_keep_their_start_times),
        WITH_RIG(test_points_without_meaning_are_refused_and_named),
        WITH_RIG(test_a_message_that_is_cut_is_refused),
        WITH_RIG(test_json_of_another_form_is_refused),
        WITH_RIG(test_responses_have_the_encoding_of_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
