/* api_errors_test.c - refusals and errors of the API: their statuses and bodies. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

/* --- refusals --------------------------------------------------------------------------------- */

UNIT_TEST(test_a_request_that_cannot_succeed_is_refused_permanently)
{
    static const struct asked cases[] = {
        {"a content type of others", HTTP_POST, "/api/v1/write", "Content-Type: application/json",
         NULL, WRITE_V1, 415, TEXT, "expected application/x-protobuf"},
        {"a content type of forms", HTTP_POST, "/api/v1/write", "Content-Type: text/plain", NULL,
         WRITE_V1, 415, TEXT, "bodies with the content types of forms are not accepted"},
        {"a proto of others", HTTP_POST, "/api/v1/write",
         "Content-Type: application/x-protobuf; proto=io.prometheus.write.v3.Request", NULL,
         WRITE_V1, 415, TEXT, "content type: "},
        {"words behind the type", HTTP_POST, "/api/v1/write",
         "Content-Type: application/x-protobuf and more", NULL, WRITE_V1, 415, TEXT,
         "content type: "},
        {"a write in gzip", HTTP_POST, "/api/v1/write", "Content-Encoding: gzip", NULL, WRITE_V1,
         415, TEXT, "unsupported content encoding: expected snappy"},
        {"a read in gzip", HTTP_POST, "/api/v1/read", "Content-Encoding: gzip", NULL, READ_SAMPLES,
         415, TEXT, "unsupported content encoding: expected snappy"},
        {"no snappy", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_NO_SNAPPY, 400, TEXT,
         "the body is not a snappy block"},
        {"no message", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_NO_MESSAGE, 400, TEXT, "\n"},
        {"no message, nothing written", HTTP_POST, "/api/v1/write", V2, NULL, WRITE_NO_MESSAGE, 400,
         TEXT, "\n", WRITTEN "Samples-Written: 0\n"},
        {"a first symbol that is not empty", HTTP_POST, "/api/v1/write", V2, NULL,
         WRITE_V2_FIRST_SYMBOL, 400, TEXT, "the first symbol must be the empty string",
         WRITTEN "Samples-Written: 0\n"},
        {"too large a write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_TOO_LARGE, 413, TEXT,
         "larger than 1048576 bytes uncompressed"},
        {"samples of tomorrow, and what of them is written", HTTP_POST, "/api/v1/write", V2, NULL,
         WRITE_FUTURE, 400, TEXT, "too_far_in_future", WRITTEN "Samples-Written: 0\n"},
        {"samples of tomorrow with an exemplar that is refused", HTTP_POST, "/api/v1/write", V2,
         NULL, WRITE_FUTURE_BAD_EXEMPLAR, 400, TEXT,
         "refused: 1 bad_utf8, 2 too_far_in_future; too_far_in_future at "},
        {"no snappy", HTTP_POST, "/api/v1/read", NULL, NULL, WRITE_NO_SNAPPY, 400, TEXT,
         "the body is not a snappy block"},
        {"no message", HTTP_POST, "/api/v1/read", NULL, NULL, WRITE_NO_MESSAGE, 400, TEXT, "\n"},
        {"too large a read", HTTP_POST, "/api/v1/read", NULL, NULL, WRITE_TOO_LARGE, 413, TEXT,
         "larger than 1048576 bytes uncompressed"},
        {"no matchers", HTTP_POST, "/api/v1/read", NULL, NULL, READ_ALL, 400, TEXT,
         "the query has no matchers"},
        {"no regular expression", HTTP_POST, "/api/v1/read", NULL, NULL, READ_BAD_PATTERN, 400,
         TEXT, "("},
        {"notices of others", HTTP_POST, "/api/v1/read", "X-Firekeep-Notices: all", NULL,
         READ_STREAMED, 400, TEXT, "expected errors or partial"},
        {"partial samples", HTTP_POST, "/api/v1/read", "X-Firekeep-Notices: partial", NULL,
         READ_SAMPLES, 400, TEXT, "STREAMED_XOR_CHUNKS"},
        {"a level of windows", HTTP_POST, "/api/v1/read?level=5m", NULL, NULL, READ_STREAMED, 400,
         TEXT, "invalid parameter \"level\": expected raw\n"},
        {"some sources", HTTP_POST, "/api/v1/read", "X-Firekeep-Sources: all", NULL, READ_STREAMED,
         400, TEXT, "invalid X-Firekeep-Sources: expected none"},
        {"no selector", HTTP_GET, "/api/v1/labels?match[]={", NULL, NULL, 0, 400, JSON_TYPE,
         "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\""},
        {"no limit", HTTP_GET, "/api/v1/labels?limit=-1&start=x", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"invalid parameter \\\"limit\\\": limit must be non-negative\"}"},
        {"no limit", HTTP_GET, "/api/v1/labels?limit=1x", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"limit\\\": strconv.Atoi: parsing \\\"1x\\\": invalid syntax\"}"},
        {"no limit", HTTP_GET, "/api/v1/labels?limit=9223372036854775808", NULL, NULL, 0, 400,
         JSON_TYPE, "parsing \\\"9223372036854775808\\\": value out of range\"}"},
        {"no time", HTTP_GET, "/api/v1/labels?start=yesterday&end=x&match[]={", NULL, NULL, 0, 400,
         JSON_TYPE,
         "\"error\":\"invalid parameter \\\"start\\\": invalid time value for 'start': cannot "
         "parse "
         "\\\"yesterday\\\" to a valid timestamp\"}"},
        {"no time", HTTP_GET, "/api/v1/series?match[]=up&end=x", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"end\\\": invalid time value for 'end'"},
        {"neither yes nor no", HTTP_GET, "/api/v1/labels?partial_response=perhaps", NULL, NULL, 0,
         400, JSON_TYPE,
         "invalid parameter \\\"partial_response\\\": strconv.ParseBool: parsing \\\"perhaps\\\": "
         "invalid syntax"},
        {"no form", HTTP_POST, "/api/v1/labels", FORM, "start=%4", 0, 400, JSON_TYPE,
         "error parsing form values: invalid URL escape \\\"%4\\\""},
        {"no name", HTTP_GET, "/api/v1/label/values", NULL, NULL, 0, 404, TEXT,
         "404 page not found"},
        {"no name", HTTP_GET, "/api/v1/label//values", NULL, NULL, 0, 404, TEXT, "404"},
        {"two names", HTTP_GET, "/api/v1/label/a/b/values", NULL, NULL, 0, 404, TEXT, "404"},
        {"a name of bytes", HTTP_GET, "/api/v1/label/\xff/values?limit=x", NULL, NULL, 0, 400,
         JSON_TYPE, "\"error\":\"invalid label name: \\\"\\\\xff\\\"\"}"},
        {"an escaped name of nothing", HTTP_GET, "/api/v1/label/U__/values", NULL, NULL, 0, 400,
         JSON_TYPE, "invalid label name: \\\"\\\""},
        {"no series", HTTP_GET, "/api/v1/series?limit=x", NULL, NULL, 0, 400, JSON_TYPE,
         "no match[] parameter provided"},
        {"an error of one of several", HTTP_GET, "/api/v1/labels?match[]={}&match[]={", NULL, NULL,
         0, 400, JSON_TYPE,
         "\"error\":\"1:2: parse error: unexpected end of input inside braces\"}"},
        {"exemplars of no expression", HTTP_GET, "/api/v1/query_exemplars?query={", NULL, NULL, 0,
         400, JSON_TYPE, "\"error\":\"1:2: parse error: unexpected end of input inside braces\"}"},
        {"no selector", HTTP_GET, "/api/v1/series?match[]=up[5m]", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"match[]\\\": 1:3: parse error: unexpected \\\"[\\\""},
        {"a selector of all", HTTP_GET, "/api/v1/series?match[]={a=\"\"}", NULL, NULL, 0, 400,
         JSON_TYPE,
         "invalid parameter \\\"match[]\\\": match[] must contain at least one non-empty matcher"},
        {"no expression", HTTP_GET, "/api/v1/query?query=sum(", NULL, NULL, 0, 400, JSON_TYPE,
         "\"bad_data\",\"error\":\"invalid parameter \\\"query\\\": 1:5: parse error: unclosed "
         "left "
         "parenthesis\"}"},
        {"no expression", HTTP_POST, "/api/v1/query_range", FORM, "start=1&end=2&step=1", 0, 400,
         JSON_TYPE, "parse error: no expression found in input"},
        {"a plan of no expression", HTTP_GET, "/api/v1/explain?query=sum(", NULL, NULL, 0, 400,
         JSON_TYPE, "invalid parameter \\\"query\\\": 1:5: parse error: unclosed left parenthesis"},
        {"a plan of too many steps", HTTP_GET, "/api/v1/explain?query=1&start=0&end=11001&step=1",
         NULL, NULL, 0, 400, JSON_TYPE,
         "exceeded maximum resolution of 11,000 points per timeseries"},
        {"a plan that is perhaps run", HTTP_GET, "/api/v1/explain?query=1&analyze=perhaps", NULL,
         NULL, 0, 400, JSON_TYPE, "strconv.ParseBool: parsing \\\"perhaps\\\": invalid syntax"},
        {"no time", HTTP_GET, "/api/v1/query?query=1&time=x", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"invalid parameter \\\"time\\\": invalid time value for 'time': cannot parse "
         "\\\"x\\\" to a valid timestamp\"}"},
        {"no start", HTTP_GET, "/api/v1/query_range?query=1&start=x&end=1&step=1", NULL, NULL, 0,
         400, JSON_TYPE,
         "\"error\":\"invalid parameter \\\"start\\\": cannot parse \\\"x\\\" to a valid "
         "timestamp\"}"},
        {"no limit", HTTP_GET, "/api/v1/query?query=1&limit=1x&time=x", NULL, NULL, 0, 400,
         JSON_TYPE,
         "\"invalid parameter \\\"limit\\\": strconv.Atoi: parsing \\\"1x\\\": invalid syntax\"}"},
        {"no look-back", HTTP_GET, "/api/v1/query?query=1&lookback_delta=x", NULL, NULL, 0, 400,
         JSON_TYPE,
         "\"error parsing lookback delta duration: cannot parse \\\"x\\\" to a valid duration\"}"},
        {"no resolution", HTTP_GET, "/api/v1/query?query=1&max_source_resolution=x", NULL, NULL, 0,
         400, JSON_TYPE,
         "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter "
         "\\\"max_source_resolution\\\": cannot parse \\\"x\\\" to a valid duration\"}"},
        {"a resolution of all", HTTP_GET, "/api/v1/query?query=1&max_source_resolution=auto", NULL,
         NULL, 0, 200, JSON_TYPE, "\"1\""},
        {"a negative resolution", HTTP_GET, "/api/v1/query?query=1&max_source_resolution=-5", NULL,
         NULL, 0, 400, JSON_TYPE, "a resolution must not be negative"},
        {"a look-back of all time", HTTP_GET, "/api/v1/query?query=up&lookback_delta=292277024y",
         NULL, NULL, 0, 400, JSON_TYPE,
         "\"error parsing lookback delta duration: cannot parse \\\"292277024y\\\" to a valid "
         "duration\""},
        {"a step out of order", HTTP_GET, "/api/v1/query_range?query=1&start=1&end=2&step=1s1h",
         NULL, NULL, 0, 400, JSON_TYPE, "cannot parse \\\"1s1h\\\" to a valid duration"},
        {"the end before the start", HTTP_GET, "/api/v1/query_range?query=1&start=2&end=1&step=1",
         NULL, NULL, 0, 400, JSON_TYPE, "end timestamp must not be before start time"},
        {"no step", HTTP_GET, "/api/v1/query_range?query=1&start=1&end=2", NULL, NULL, 0, 400,
         JSON_TYPE, "invalid parameter \\\"step\\\": cannot parse \\\"\\\" to a valid duration"},
        {"a step of nothing", HTTP_GET, "/api/v1/query_range?query=1&start=1&end=2&step=0", NULL,
         NULL, 0, 400, JSON_TYPE, "zero or negative query resolution step widths are not accepted"},
        {"another word than true or false", HTTP_GET,
         "/api/v1/query_range?query=1&start=1&end=2&step=1&nocache=perhaps", NULL, NULL, 0, 400,
         JSON_TYPE, "invalid parameter \\\"nocache\\\""},
        {"a step that is next to nothing", HTTP_GET,
         "/api/v1/query_range?query=1&start=1&end=2&step=0.0001", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"invalid parameter \\\"step\\\": query resolution step widths below 1ms are "
         "not "
         "accepted\"}"},
        {"a step back", HTTP_GET, "/api/v1/query_range?query=1&start=1&end=2&step=-0.0001", NULL,
         NULL, 0, 400, JSON_TYPE, "zero or negative query resolution step widths are not accepted"},
        {"too many steps", HTTP_GET, "/api/v1/query_range?query=1&start=0&end=11001&step=1", NULL,
         NULL, 0, 400, JSON_TYPE,
         "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
         "resolution (?step=XX): query.max_points is 11000, this query has 11001 steps"},
        {"all times there are", HTTP_GET,
         "/api/v1/query_range?query=1&start=-9e15&end=9e15&step=1ms", NULL, NULL, 0, 400, JSON_TYPE,
         "exceeded maximum resolution of 11,000 points per timeseries"},
        {"a range vector over a range", HTTP_GET,
         "/api/v1/query_range?query=up[5m]&start=1&end=2&step=1", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid expression type \\\"range vector\\\" for range query, must be Scalar or instant "
         "Vector"},
        {"no time to evaluate it", HTTP_GET, "/api/v1/query?query=up&timeout=0", NULL, NULL, 0, 503,
         JSON_TYPE,
         "\"errorType\":\"timeout\",\"error\":\"query timed out after 0.000 s (parameter timeout): "
         "use"},
        {"less time than none", HTTP_GET, "/api/v1/query?query=up&timeout=-1.5", NULL, NULL, 0, 503,
         JSON_TYPE,
         "\"errorType\":\"timeout\",\"error\":\"query timed out after 0.000 s (parameter timeout): "
         "use"},
        {"no limit", HTTP_GET, "/api/v1/query?query=1&limit=-1", NULL, NULL, 0, 400, JSON_TYPE,
         "limit must be non-negative"},
        {"an expression that cannot be evaluated", HTTP_GET,
         "/api/v1/query?query=limit_ratio(0/0,vector(1))", NULL, NULL, 0, 422, JSON_TYPE,
         "\"errorType\":\"execution\",\"error\":\"Ratio value is NaN\""},
        {"no expression", HTTP_GET, "/api/v1/query_exemplars?query=sum(", NULL, NULL, 0, 400,
         JSON_TYPE, "\"error\":\"1:5: parse error: unclosed left parenthesis\"}"},
        {"times in the wrong order", HTTP_GET, "/api/v1/query_exemplars?query=up&start=2&end=1",
         NULL, NULL, 0, 400, JSON_TYPE, "end timestamp must not be before start timestamp"},
        {"no selector to federate", HTTP_GET, "/federate?match[]=up&match[]=up{", NULL, NULL, 0,
         400, TEXT, "1:4: parse error: unexpected end of input inside braces\n"},
        {"all series", HTTP_GET, "/api/v1/series", NULL, NULL, 0, 400, JSON_TYPE,
         "no match[] parameter provided"},
        {"no limit", HTTP_GET, "/api/v1/metadata?limit=x", NULL, NULL, 0, 400, JSON_TYPE,
         "\"bad_data\",\"error\":\"limit must be a number\"}"},
        {"no limit", HTTP_GET, "/api/v1/metadata?limit_per_metric=x", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"limit_per_metric must be a number\"}"},
        {"no pattern", HTTP_GET, "/api/v1/status/self_metrics?metric_name_pattern=(", NULL, NULL, 0,
         400, JSON_TYPE, "invalid parameter \\\"metric_name_pattern\\\": "},
        {"no limit", HTTP_GET, "/api/v1/status/tsdb?limit=0", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"limit must be a positive number\"}"},
        {"no limit", HTTP_GET, "/api/v1/status/tsdb?limit=10001", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"limit must not exceed 10000\"}"},
        {"no limit", HTTP_GET, "/api/v1/status/tsdb/bytes?limit=0", NULL, NULL, 0, 400, JSON_TYPE,
         "limit must be between 1 and 10000"},
        {"two selectors", HTTP_GET, "/api/v1/status/tsdb/bytes?match[]=a&match[]=b", NULL, NULL, 0,
         400, JSON_TYPE, "only one match[] is possible here"},
        {"no selector", HTTP_GET, "/api/v1/status/tsdb/bytes?match[]={", NULL, NULL, 0, 400,
         JSON_TYPE, "\"bad_data\""},
        {"no time", HTTP_GET, "/api/v1/status/tsdb/bytes?start=x", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid time value for 'start'"},
        {"a configuration that is packed", HTTP_POST, "/api/v1/status/config/check",
         "Content-Encoding: gzip", "x", 0, 415, JSON_TYPE, "content encoding not supported"},
        {"deletion of all", HTTP_POST, "/api/v1/admin/tsdb/delete_series", NULL, NULL, 0, 400,
         JSON_TYPE, "no match[] parameter provided"},
        {"deletion by no selector", HTTP_POST,
         "/api/v1/admin/tsdb/delete_series?match[]=up&match[]={", NULL, NULL, 0, 400, JSON_TYPE,
         "\"bad_data\""},
        {"deletion at no time", HTTP_POST, "/api/v1/admin/tsdb/delete_series?match[]=up&start=x",
         NULL, NULL, 0, 400, JSON_TYPE, "invalid time value for 'start'"},
        {"deletion of a time that ends before its start", HTTP_POST,
         "/api/v1/admin/tsdb/delete_series?match[]=up&start=2&end=1", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"invalid parameter \\\"end\\\": end timestamp must not be before start "
         "time\""},
        {"deletion at a time that cannot be read", HTTP_POST,
         "/api/v1/admin/tsdb/delete_series?match[]=up&start=%zz", NULL, NULL, 0, 400, JSON_TYPE,
         "\"bad_data\",\"error\":\"error parsing form values: invalid URL escape \\\"%zz\\\"\""},
        {"preview of all", HTTP_GET, "/api/v1/admin/tsdb/delete_series/preview", NULL, NULL, 0, 400,
         JSON_TYPE, "no match[] parameter provided"},
        {"preview by no selector", HTTP_GET,
         "/api/v1/admin/tsdb/delete_series/preview?match[]=up&match[]={", NULL, NULL, 0, 400,
         JSON_TYPE, "\"bad_data\""},
        {"preview at no time", HTTP_GET,
         "/api/v1/admin/tsdb/delete_series/preview?match[]=up&end=x", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid time value for 'end'"},
        {"series of a selector that cannot be read", HTTP_GET,
         "/api/v1/series?match[]=up&match[]=%zz", NULL, NULL, 0, 400, JSON_TYPE,
         "\"error\":\"error parsing form values: invalid URL escape \\\"%zz\\\"\""},
        {"rules of a name that cannot be read", HTTP_GET, "/api/v1/rules?rule_name[]=%zz", NULL,
         NULL, 0, 400, JSON_TYPE, "invalid URL escape \\\"%zz\\\"\""},
        {"rules, of an argument that cannot be read", HTTP_GET, "/api/v1/rules?type=alert&%zz",
         NULL, NULL, 0, 400, JSON_TYPE, "invalid URL escape \\\"%zz\\\"\""},
        {"a federation that cannot be read", HTTP_GET, "/federate?match[]=up&%zz", NULL, NULL, 0,
         400, TEXT, "error parsing form values: invalid URL escape \"%zz\"\n"},
        {"an unknown verb", HTTP_POST, "/api/v1/admin/destinations/s3/stop", NULL, NULL, 0, 404,
         JSON_TYPE, "\"errorType\":\"not_found\""},
        {"no verb", HTTP_POST, "/api/v1/admin/destinations/s3", NULL, NULL, 0, 404, JSON_TYPE,
         "\"errorType\":\"not_found\""},
        {"a replay of all", HTTP_POST, "/api/v1/admin/destinations/s3/replay", NULL, NULL, 0, 400,
         JSON_TYPE, "missing parameter 'from': "},
        {"what becomes of no series", HTTP_GET, "/api/v1/explain_write", NULL, NULL, 0, 400,
         JSON_TYPE, "missing parameter \\\"series\\\""},
        {"an unknown action", HTTP_POST, "/api/v1/admin/dead_letters/s3?action=keep", NULL, NULL, 0,
         400, JSON_TYPE, "action must be replay or drop"},
        {"no action", HTTP_POST, "/api/v1/admin/dead_letters/s3", NULL, NULL, 0, 400, JSON_TYPE,
         "action must be replay or drop"},
        {"a replay from no time", HTTP_POST, "/api/v1/admin/destinations/s3/replay?from=x", NULL,
         NULL, 0, 400, JSON_TYPE, "from"},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask_all(rig, cases);
    assert_int_equal(machine_ledger(&rig->m, "anonymous").stored[LEDGER_FLOAT], 0);
    api_rig_free(rig);
}

UNIT_TEST(test_a_request_that_the_operator_did_not_allow_is_refused)
{
    static const struct asked cases[] = {
        {"flush", HTTP_POST, "/api/v1/admin/tsdb/flush", NULL, NULL, 0, 503, JSON_TYPE,
         "the admin API is disabled; start with --web.enable-admin-api"},
        {"merge", HTTP_POST, "/api/v1/admin/tsdb/merge", NULL, NULL, 0, 503, JSON_TYPE,
         "unavailable"},
        {"snapshot", HTTP_POST, "/api/v1/admin/tsdb/snapshot", NULL, NULL, 0, 503, JSON_TYPE,
         "unavailable"},
        {"snapshots", HTTP_GET, "/api/v1/admin/tsdb/snapshots", NULL, NULL, 0, 503, JSON_TYPE,
         "unavailable"},
        {"deletion of a snapshot", HTTP_DELETE, "/api/v1/admin/tsdb/snapshots/x", NULL, NULL, 0,
         503, JSON_TYPE, "unavailable"},
        {"deletion", HTTP_POST, "/api/v1/admin/tsdb/delete_series?match[]=up", NULL, NULL, 0, 503,
         JSON_TYPE, "unavailable"},
        {"cleaning", HTTP_POST, "/api/v1/admin/tsdb/clean_tombstones", NULL, NULL, 0, 503,
         JSON_TYPE, "unavailable"},
        {"pause", HTTP_POST, "/api/v1/admin/destinations/s3/pause", NULL, NULL, 0, 503, JSON_TYPE,
         "unavailable"},
        {"dead letters", HTTP_GET, "/api/v1/admin/dead_letters/s3", NULL, NULL, 0, 503, JSON_TYPE,
         "unavailable"},
        {"reload", HTTP_POST, "/-/reload", NULL, NULL, 0, 403, TEXT,
         "start with --web.enable-lifecycle"},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.admin = rig->options.lifecycle = false;
    api_rig_start(rig);
    api_ask_all(rig, cases);
    assert_string_equal(rig->controlled, "");
    api_rig_free(rig);
}

/* They end at the cut. */
UNIT_TEST(test_sentences_that_are_too_long_are_cut)
{
    static const char *const cases[][3] = {
        {"/api/v1/query", "query=1&time=", ""},
        {"/api/v1/query", "query=", "()"},
        {"/api/v1/format_query", "query=", "()"},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request r;
        struct buf body;
        buf_init(&body, NULL, 1 << 20);
        buf_put_text(&body, cases[i][1]);
        for (unsigned k = 0; k < 100000; k++)
            buf_put_u8(&body, 'a');
        buf_put_text(&body, cases[i][2]);
        api_rig_ask(rig, &r, HTTP_POST, cases[i][0], FORM, buf_bytes(&body));
        assert_int_equal(r.status, 400);
        assert_in_range(r.text.size, 100, 66000);
        assert_non_null(strstr(http_double_text(&r), "\"error\":\"invalid parameter"));
        buf_fini(&r.text);
        buf_fini(&body);
    }
    api_rig_free(rig);
}

UNIT_TEST(test_without_a_store_what_asks_it_is_not_implemented)
{
    static const struct asked cases[] = {
        {"write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 204, NULL, NULL},
        {"read", HTTP_POST, "/api/v1/read", NULL, NULL, READ_SAMPLES, 501, TEXT, "storage.mode"},
        {"names", HTTP_GET, "/api/v1/labels", NULL, NULL, 0, 501, JSON_TYPE, "storage.mode"},
        {"values", HTTP_GET, "/api/v1/label/a/values", NULL, NULL, 0, 501, JSON_TYPE,
         "storage.mode"},
        {"series", HTTP_POST, "/api/v1/series", NULL, NULL, 0, 501, JSON_TYPE, "storage.mode"},
        {"query", HTTP_GET, "/api/v1/query?query=up", NULL, NULL, 0, 501, JSON_TYPE,
         "storage.mode"},
        {"federation", HTTP_GET, "/federate?match[]=up", NULL, NULL, 0, 501, TEXT, "storage.mode"},
        {"flush", HTTP_POST, "/api/v1/admin/tsdb/flush", NULL, NULL, 0, 501, JSON_TYPE,
         "storage.mode"},
        {"merge", HTTP_POST, "/api/v1/admin/tsdb/merge", NULL, NULL, 0, 501, JSON_TYPE,
         "storage.mode"},
        {"snapshot", HTTP_POST, "/api/v1/admin/tsdb/snapshot", NULL, NULL, 0, 501, JSON_TYPE,
         "local"},
        {"snapshots", HTTP_GET, "/api/v1/admin/tsdb/snapshots", NULL, NULL, 0, 501, JSON_TYPE,
         "local"},
        {"bytes", HTTP_GET, "/api/v1/status/tsdb/bytes", NULL, NULL, 0, 501, JSON_TYPE, "local"},
        {"deletion", HTTP_POST, "/api/v1/admin/tsdb/delete_series", NULL, NULL, 0, 501, JSON_TYPE,
         "n"},
        {"clean", HTTP_PUT, "/api/v1/admin/tsdb/clean_tombstones", NULL, NULL, 0, 501, JSON_TYPE,
         "n"},
        {"pause", HTTP_POST, "/api/v1/admin/destinations/s3/pause", NULL, NULL, 0, 204, NULL, NULL},
        {"health", HTTP_GET, "/-/healthy", NULL, NULL, 0, 200, TEXT, "healthy"},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.stored = false;
    api_rig_start(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_without_store_what_sources_have_is_answered)
{
    static const struct asked cases[] = {
        {"series", HTTP_GET, "/api/v1/series?match[]=up", NULL, NULL, 0, 200, JSON_TYPE, "up"},
        {"query", HTTP_GET, "/api/v1/query?query=up", NULL, NULL, 0, 200, JSON_TYPE, "vector"},
        {"sources", HTTP_GET, "/api/v1/status/sources", NULL, NULL, 0, 200, JSON_TYPE, "[]"},
        {"merge", HTTP_POST, "/api/v1/admin/tsdb/merge", NULL, NULL, 0, 501, JSON_TYPE, "local"},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.stored = false;
    rig->has_sources = true;
    api_rig_start(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_without_store_and_destination_nothing_is_acknowledged)
{
    static const struct asked cases[] = {
        {"write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 501, TEXT, "no destination"},
        {"readiness", HTTP_GET, "/-/ready", NULL, NULL, 0, 200, TEXT, "ready"},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.stored = false;
    rig->takes_nothing = true;
    api_rig_start(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_tenants_are_named_once_and_well_where_data_are_meant)
{
    static const struct {
        const char *headers;
        unsigned status; /* 0: the same as without tenancy */
        const char *fragment;
    } names[] = {
        {NULL, 401, "missing header X-Scope-OrgID"},
        {"X-Scope-OrgID: ", 401, "missing header X-Scope-OrgID"},
        {"X-Scope-OrgID: a\nx-scope-orgid: b", 400, "header X-Scope-OrgID was sent more than once"},
        {"X-Scope-OrgID: a/b", 400, "invalid X-Scope-OrgID"},
        {"X-Scope-OrgID: ..", 400, "invalid X-Scope-OrgID"},
        {"X-Scope-OrgID: team-1!_.*'()", 0, NULL},
    };
    static const struct asked routes[] = {
        {"write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 204, TEXT, NULL},
        {"read", HTTP_POST, "/api/v1/read", NULL, NULL, READ_SAMPLES, 200, TEXT, NULL},
        {"labels", HTTP_GET, "/api/v1/labels", NULL, NULL, 0, 200, JSON_TYPE, NULL},
        {"values", HTTP_GET, "/api/v1/label/a/values", NULL, NULL, 0, 200, JSON_TYPE, NULL},
        {"series", HTTP_GET, "/api/v1/series?match[]=up", NULL, NULL, 0, 200, JSON_TYPE, NULL},
        {"federation", HTTP_GET, "/federate?match[]=up", NULL, NULL, 0, 200, TEXT, NULL},
        {"metadata", HTTP_GET, "/api/v1/metadata", NULL, NULL, 0, 200, JSON_TYPE, NULL},
        {"tsdb", HTTP_GET, "/api/v1/status/tsdb", NULL, NULL, 0, 200, JSON_TYPE, NULL},
        {"deletion", HTTP_POST, "/api/v1/admin/tsdb/delete_series?match[]=x", NULL, NULL, 0, 200,
         JSON_TYPE, NULL},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.tenancy = true;
    api_rig_start(rig);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t k = 0; k < sizeof routes / sizeof *routes; k++) {
            struct http_request r;
            struct bytes message = asked_message(routes[k].message);
            api_rig_ask(rig, &r, routes[k].method, routes[k].target, names[i].headers, message);
            bool refused = names[i].status != 0;
            assert_int_equal(r.status, refused ? names[i].status : routes[k].status);
            assert_true(!refused || strstr(http_double_text(&r), names[i].fragment) != NULL);
            assert_true(!refused || strncmp(r.content_type, routes[k].type, 10) == 0);
            buf_fini(&r.text);
            free((void *)(uintptr_t)message.at);
        }
    }
    assert_int_equal(machine_ledger(&rig->m, "team-1!_.*'()").count[0][LEDGER_RECEIVED], 2);
    api_ask(rig, &(struct asked){"pages about the process need none", HTTP_GET,
                                 "/api/v1/status/storage", NULL, NULL, 0, 200, JSON_TYPE, "log"});
    api_rig_free(rig);
}

UNIT_TEST(test_several_tenants_are_read_but_not_written)
{
    static const struct asked routes[] = {
        {"write", HTTP_POST, "/api/v1/write", "X-Scope-OrgID: a|b", NULL, WRITE_V1, 400, TEXT,
         "invalid X-Scope-OrgID: expected a tenant name"},
        {"deletion", HTTP_POST, "/api/v1/admin/tsdb/delete_series?match[]=x", "X-Scope-OrgID: a|b",
         NULL, 0, 400, JSON_TYPE, "invalid X-Scope-OrgID"},
        {"tsdb", HTTP_GET, "/api/v1/status/tsdb", "X-Scope-OrgID: a|b", NULL, 0, 400, JSON_TYPE,
         "invalid X-Scope-OrgID"},
        {"an empty name", HTTP_GET, "/api/v1/labels", "X-Scope-OrgID: a|", NULL, 0, 400, JSON_TYPE,
         "invalid X-Scope-OrgID"},
        {"read", HTTP_POST, "/api/v1/read", "X-Scope-OrgID: a|b", NULL, READ_SAMPLES, 200, PROTO,
         ""},
        {"query", HTTP_GET, "/api/v1/query?query=1", "X-Scope-OrgID: a|b", NULL, 0, 200, JSON_TYPE,
         "scalar"},
        {"names", HTTP_GET, "/api/v1/labels", "X-Scope-OrgID: a|b", NULL, 0, 200, JSON_TYPE,
         "[\"__tenant_id__\",\"a_total\""},
        {"values", HTTP_GET, "/api/v1/label/__tenant_id__/values", "X-Scope-OrgID: b|a|b", NULL, 0,
         200, JSON_TYPE, "[\"a\",\"b\"]"},
        {"one of them", HTTP_GET, "/api/v1/labels", "X-Scope-OrgID: a|a", NULL, 0, 200, JSON_TYPE,
         "[\"a_total\""},
        {"searched", HTTP_GET, "/api/v1/search/label_names?search[]=tenant", "X-Scope-OrgID: a|b",
         NULL, 0, 200, "application/x-ndjson", "{\"name\":\"__tenant_id__\"}"},
        {"metadata", HTTP_GET, "/api/v1/metadata", "X-Scope-OrgID: a|b", NULL, 0, 200, JSON_TYPE,
         "\"data\":{\"a_total\":[{"},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.tenancy = true;
    api_rig_start(rig);
    rig->metric = "a_total";
    api_ask_all(rig, routes);
    api_rig_free(rig);
}

UNIT_TEST(test_queries_say_what_is_missing_if_that_is_wanted)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->warning = "page 7 is damaged";
    api_ask(rig, &(struct asked){"as it is", HTTP_GET, "/api/v1/query?query=up", NULL, NULL, 0, 200,
                                 JSON_TYPE, "]}}"});
    assert_false(rig->asked.partial);
    api_ask(rig, &(struct asked){"without damage", HTTP_GET,
                                 "/api/v1/query?query=up&partial_response=true", NULL, NULL, 0, 200,
                                 JSON_TYPE, "},\"warnings\":[\"page 7 is damaged\"]}"});
    assert_true(rig->asked.partial);
    api_ask(rig, &(struct asked){"of a range", HTTP_POST, "/api/v1/query_range", FORM,
                                 "query=up&start=1&end=2&step=1&partial_response=1", 0, 200,
                                 JSON_TYPE, "},\"warnings\":[\"page 7 is damaged\"]}"});
    api_ask(rig,
            &(struct asked){"exemplars", HTTP_GET, "/api/v1/query_exemplars?query=up", NULL, NULL,
                            0, 200, JSON_TYPE, "],\"warnings\":[\"page 7 is damaged\"]}"});
    api_ask(rig, &(struct asked){"no word for it", HTTP_GET,
                                 "/api/v1/query?query=up&partial_response=maybe", NULL, NULL, 0,
                                 400, JSON_TYPE, "invalid parameter \\\"partial_response\\\": "});
    api_rig_free(rig);
}

#define FIELD_16_OF_2_BYTES "\x82\x01\x02"

UNIT_TEST(test_a_read_of_raw_samples_refuses_downsampled_ones)
{
    static const struct asked asked[] = {
        {"streamed", HTTP_POST, "/api/v1/read?level=raw", NULL, NULL, READ_STREAMED, 400, TEXT,
         "level=raw: samples are downsampled to 1h; each is the last one of its window\n"},
        {"as samples", HTTP_POST, "/api/v1/read?level=raw", NULL, NULL, READ_SAMPLES, 400, TEXT,
         "level=raw: samples are downsampled to 1h; each is the last one of its window\n"},
        {"with notices", HTTP_POST, "/api/v1/read", "X-Firekeep-Notices: partial", NULL,
         READ_STREAMED, 200, "application/x-streamed-protobuf", FIELD_16_OF_2_BYTES "1h"},
        {"of errors alone", HTTP_POST, "/api/v1/read", "X-Firekeep-Notices: errors", NULL,
         READ_STREAMED, 200, "application/x-streamed-protobuf", FIELD_16_OF_2_BYTES "1h"},
        {"of any level", HTTP_POST, "/api/v1/read", NULL, NULL, READ_STREAMED, 200,
         "application/x-streamed-protobuf", ""},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->thinned_to_ms = 3600000;
    api_ask_all(rig, asked);
    rig->thinned_to_ms = 0;
    api_ask(rig, &(struct asked){"raw", HTTP_POST, "/api/v1/read?level=raw", NULL, NULL,
                                 READ_STREAMED, 200, "application/x-streamed-protobuf", ""});
    api_rig_free(rig);
}

/* --- errors of others ------------------------------------------------------------------------- */

UNIT_TEST(test_errors_of_a_query_become_statuses)
{
    static const struct {
        enum err e;
        unsigned status;
        const char *type;   /* the word of Prometheus */
        unsigned read;      /* status of remote read */
        const char *header; /* header of plain refusals */
    } cases[] = {
        {ERR_INPUT, 400, "bad_data", 400, ""},
        {ERR_LIMIT, 422, "execution", 400, ""},
        {ERR_NOMEM, 503, "unavailable", 503, ""},
        {ERR_CANCELED, 503, "timeout", 503, "Retry-After: 2\n"},
        {ERR_AGAIN, 503, "unavailable", 503, "Retry-After: 2\n"},
        {ERR_FULL, 503, "unavailable", 503, "Retry-After: 2\n"},
        {ERR_CORRUPT, 500, "internal", 500, "X-Firekeep-Error: damaged\n"},
        {ERR_IO, 500, "internal", 500, "X-Firekeep-Error: permanent\n"},
        {ERR_UNSUPPORTED, 500, "internal", 500, "X-Firekeep-Error: permanent\n"},
    };
    static const struct {
        enum http_method method;
        const char *target;
        enum message message;
    } routes[] = {
        {HTTP_GET, "/api/v1/labels", 0},
        {HTTP_GET, "/api/v1/label/a/values", 0},
        {HTTP_GET, "/api/v1/series?match[]=up", 0},
        {HTTP_POST, "/api/v1/read", READ_SAMPLES},
        {HTTP_POST, "/api/v1/read", READ_STREAMED},
        {HTTP_GET, "/api/v1/metadata", 0},
        {HTTP_GET, "/federate?match[]=up", 0},
    };
    enum { PLAIN = sizeof routes / sizeof *routes - 1 };
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < 2 * sizeof routes / sizeof *routes; k++) {
            struct http_request r;
            size_t route = k / 2;
            rig->open_error = k % 2 == 0 ? cases[i].e : OK;
            rig->ask_error = k % 2 == 0 ? OK : cases[i].e;
            bool reads = routes[route].method == HTTP_POST, plain = reads || route == PLAIN;
            struct bytes message = asked_message(routes[route].message);
            api_rig_ask(rig, &r, routes[route].method, routes[route].target, NULL, message);
            assert_int_equal(r.status, reads ? cases[i].read : cases[i].status);
            assert_non_null(strstr(http_double_text(&r), "the double says"));
            assert_string_equal(r.content_type, plain ? "text/plain; charset=utf-8" : JSON_TYPE);
            if (plain)
                assert_non_null(strstr(r.answer_headers, cases[i].header));
            else
                assert_non_null(strstr(http_double_text(&r), cases[i].type));
            buf_fini(&r.text);
            free((void *)(uintptr_t)message.at);
        }
    }
    api_rig_free(rig);
}

UNIT_TEST(test_errors_of_the_owner_become_statuses)
{
    static const struct {
        enum err e;
        unsigned status;
        const char *type;
        unsigned reload;
    } cases[] = {
        {ERR_INPUT, 400, "bad_data", 400},       {ERR_LIMIT, 400, "bad_data", 400},
        {ERR_AGAIN, 503, "unavailable", 503},    {ERR_NOMEM, 503, "unavailable", 503},
        {ERR_FULL, 503, "unavailable", 503},     {ERR_CANCELED, 503, "unavailable", 503},
        {ERR_MISSING, 404, "not_found", 400},    {ERR_CORRUPT, 500, "internal", 500},
        {ERR_UNSUPPORTED, 500, "internal", 500},
    };
    static const char *const controlled[] = {
        "/api/v1/admin/tsdb/flush",
        "/api/v1/admin/tsdb/merge",
        "/api/v1/admin/tsdb/snapshot",
        "/api/v1/admin/tsdb/clean_tombstones",
        "/api/v1/admin/destinations/s3/pause",
        "/api/v1/status/config/check",
        "/api/v1/admin/destination_test/s3",
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig->owner_error = cases[i].e;
        /* without a reason, the error's own sentence is used */
        rig->owner_why = i % 2 == 0 ? "so it is" : NULL;
        const char *text = i % 2 == 0 ? "so it is" : err_word(cases[i].e);
        for (size_t k = 0; k < sizeof controlled / sizeof *controlled; k++) {
            struct asked asked = {"control", HTTP_POST,       controlled[k], NULL, NULL,
                                  0,         cases[i].status, JSON_TYPE,     text};
            api_ask(rig, &asked);
            asked.fragment = cases[i].type;
            api_ask(rig, &asked);
        }
        /* A deletion above a limit is refused like a query above one. */
        api_ask(rig,
                &(struct asked){"deletion", HTTP_POST,
                                "/api/v1/admin/tsdb/delete_series?match[]=up", NULL, NULL, 0,
                                cases[i].e == ERR_LIMIT ? 422 : cases[i].status, JSON_TYPE, text});
        api_ask(rig, &(struct asked){"reload", HTTP_POST, "/-/reload", NULL, NULL, 0,
                                     cases[i].reload, TEXT, text});
    }
    api_rig_free(rig);
}

UNIT_TEST(test_requests_to_a_destination_reach_it_unchanged)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask(rig, &(struct asked){"replay", HTTP_POST,
                                 "/api/v1/admin/destinations/a/b/replay?from=2026-01-01T00:00:01Z",
                                 NULL, NULL, 0, 204, NULL, NULL});
    assert_string_equal(rig->controlled, "a/b");
    assert_int_equal(rig->control.verb, DESTINATION_REPLAY);
    assert_int_equal(rig->control.from_ms, SIM_BEGIN + 1000);
    api_ask(rig, &(struct asked){"pause", HTTP_POST, "/api/v1/admin/destinations/a/pause", NULL,
                                 NULL, 0, 204, NULL, NULL});
    assert_int_equal(rig->control.verb, DESTINATION_PAUSE);
    static const struct {
        const char *target;
        enum tsdb_merge_mode mode;
    } merges[] = {{"/api/v1/admin/tsdb/merge?full=TRUE", TSDB_MERGE_FULL},
                  {"/api/v1/admin/tsdb/merge?full=no", TSDB_MERGE_DUE},
                  {"/api/v1/admin/tsdb/clean_tombstones", TSDB_MERGE_CLEAN}};
    for (unsigned i = 0; i < 3; i++) {
        api_ask(rig, &(struct asked){"merge", HTTP_POST, merges[i].target, NULL, NULL, 0, 200,
                                     JSON_TYPE, "success"});
        assert_int_equal(rig->merged, merges[i].mode);
    }
    api_rig_free(rig);
}

/* After the stream began, the server may free the request. */
UNIT_TEST(test_a_read_holds_on_to_nothing_of_the_request)
{
    struct http_request r;
    struct api_rig *rig = api_rig_new();
    rig->options.tenancy = true;
    api_rig_start(rig);
    struct bytes body = asked_message(READ_STREAMED);
    api_rig_ask(rig, &r, HTTP_POST, "/api/v1/read", "X-Scope-OrgID: a", body);
    assert_int_equal(r.status, 200);
    const char *tenant = (const char *)rig->asked.tenant.at;
    assert_false(tenant >= r.header_text && tenant < r.header_text + sizeof r.header_text);
    free((void *)(uintptr_t)body.at);
    buf_fini(&r.text);
    api_rig_free(rig);
}

UNIT_TEST(test_reads_are_canceled_when_the_server_shuts_down)
{
    static const struct asked cases[] = {
        {"a query", HTTP_GET, "/api/v1/query?query=up", NULL, NULL, 0, 503, JSON_TYPE,
         "\"errorType\":\"canceled\",\"error\":\"query canceled: the server is shutting down\""},
        {"a search", HTTP_GET, "/api/v1/search/metric_names?search[]=a", NULL, NULL, 0, 503,
         JSON_TYPE, "shutting down"},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_cancel_reads(rig->api);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

/* Running queries can be listed and ended while all memory of queries is used. */
UNIT_TEST(test_pages_need_no_memory_of_queries)
{
    struct http_request r;
    struct api_rig *rig = api_rig_new();
    static const struct asked cases[] = {
        {"metrics", HTTP_GET, "/metrics", NULL, NULL, 0, 200, TEXT, "firekeep_"},
        {"queries", HTTP_GET, "/api/v1/status/active_queries", NULL, NULL, 0, 200, JSON_TYPE, "[]"},
        {"flags", HTTP_GET, "/api/v1/status/flags", NULL, NULL, 0, 200, JSON_TYPE, "data"},
        {"a query", HTTP_GET, "/api/v1/query?query=1", NULL, NULL, 0, 503, JSON_TYPE, "memory"},
        {"another form", HTTP_GET, "/api/v1/format_query?query=1", NULL, NULL, 0, 503, JSON_TYPE,
         "memory"},
        {"a look-up", HTTP_GET, "/api/v1/labels", NULL, NULL, 0, 503, JSON_TYPE, "memory"},
        {"federation", HTTP_GET, "/federate?match[]=up", NULL, NULL, 0, 503, TEXT, "memory"},
    };
    struct budget all;
    budget_init(&all, "all", 64 << 20, NULL);
    rig->options.memory = &all;
    api_rig_start(rig);
    must(budget_take(&rig->api->read_budget, 56 << 20)); /* all of it is used */
    assert_int_equal(budget_take(&rig->api->read_budget, 1), ERR_NOMEM);
    api_ask_all(rig, cases);
    api_rig_ask(rig, &r, HTTP_DELETE, "/api/v1/status/active_queries/1", NULL, bytes_of("", 0));
    assert_int_equal(r.status, 404);
    buf_fini(&r.text);
    budget_give(&rig->api->read_budget, 56 << 20);
    api_rig_free(rig);
}

/* The error has the memory needed, the memory free, and advice. */
UNIT_TEST(test_a_query_without_memory_says_if_a_retry_helps)
{
    static const char range[] = "/api/v1/query_range?start=0&end=10999&step=1&query=time()";
    static const struct asked small[] = {
        {"beside large ones", HTTP_GET, range, NULL, NULL, 0, 503, JSON_TYPE,
         "and all queries and reads together may use 56.0 MiB (memory.limit): others use most of "
         "it, try again later"},
    };
    static const struct asked large[] = {
        {"a large one", HTTP_GET, "/api/v1/query?query=sum_over_time(vector(1)[100d:1s])", NULL,
         NULL, 0, 422, JSON_TYPE,
         "and all queries and reads together may use 56.0 MiB (memory.limit): use narrower "
         "matchers, a shorter "
         "time range or a longer step"},
    };
    static const char medium[] = "/api/v1/query?query=sum_over_time(vector(1)[8d:1s])";
    static const struct asked medium_alone[] = {
        {"a medium one alone", HTTP_GET, medium, NULL, NULL, 0, 200, JSON_TYPE, "691200"},
    };
    static const struct asked medium_beside[] = {
        {"a medium one beside others", HTTP_GET, medium, NULL, NULL, 0, 503, JSON_TYPE,
         "others use most of it, try again later"},
    };
    struct budget all;
    struct api_rig *rig = api_rig_new();
    budget_init(&all, "all", 64 << 20, NULL);
    rig->options.memory = &all;
    rig->options.query_queue_timeout_ns = 1;
    api_rig_start(rig);
    api_ask_all(rig, large);
    api_ask_all(rig, medium_alone);
    must(budget_take(&rig->api->read_budget, 36 << 20));
    api_ask_all(rig, medium_beside);
    budget_give(&rig->api->read_budget, 36 << 20);
    uint64_t taken = (56 << 20) - (80 << 10);
    must(budget_take(&rig->api->read_budget, taken));
    api_ask_all(rig, small);
    budget_give(&rig->api->read_budget, taken);
    api_rig_free(rig);
}

/* Asks for an expression with POST; the answer's status and a part of its text are these. */
static void
expect_of_form(struct api_rig *rig, const char *path, const struct buf *form, unsigned status,
               const char *text)
{
    struct http_request r;
    api_rig_ask(rig, &r, HTTP_POST, path, "Content-Type: application/x-www-form-urlencoded\n",
                buf_bytes(form));
    assert_int_equal(r.status, status);
    assert_non_null(strstr(http_double_text(&r), text));
    buf_fini(&r.text);
}

/* Each operand of a chain is in a line of its own, deeper than the one before. */
UNIT_TEST(test_an_expression_that_grows_by_its_form_is_refused_while_it_grows)
{
    struct budget all;
    struct buf form;
    struct api_rig *rig = api_rig_new();
    budget_init(&all, "all", 256 << 20, NULL);
    rig->options.memory = &all;
    api_rig_start(rig);
    buf_init(&form, NULL, 1 << 20);
    buf_put_text(&form, "query=a");
    for (unsigned i = 0; i < 4900; i++)
        buf_put_text(&form, "%2Ba");
    expect_of_form(rig, "/api/v1/format_query", &form, 400, "too long to be shown in this form");
    assert_true(atomic_load(&rig->api->read_budget.peak_bytes) < 16 << 20);
    buf_fini(&form);
    api_rig_free(rig);
}

UNIT_TEST(test_labels_that_grow_with_each_call_are_refused_with_what_they_need)
{
    struct budget all;
    struct buf form;
    struct api_rig *rig = api_rig_new();
    budget_init(&all, "all", (uint64_t)4 << 30, NULL);
    rig->options.memory = &all;
    api_rig_start(rig);
    buf_init(&form, NULL, 1 << 20);
    buf_put_text(&form, "query=");
    for (unsigned i = 0; i < 4; i++)
        buf_put_text(&form, "label_join(");
    buf_put_text(&form, "label_replace(vector(1),\"a\",\"");
    for (unsigned i = 0; i < 40000; i++)
        buf_put_u8(&form, 'x');
    buf_put_text(&form, "\",\"\",\"\")");
    for (unsigned i = 0; i < 4; i++)
        buf_put_text(&form, ",\"a\",\"\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\")");
    expect_of_form(rig, "/api/v1/query", &form, 422, "label_join() makes labels of 175.8 MiB");
    buf_fini(&form);
    api_rig_free(rig);
}

#define API_TEST(name) cmocka_unit_test_teardown(name, tell_seed)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(test_a_request_that_cannot_succeed_is_refused_permanently),
        API_TEST(test_a_request_that_the_operator_did_not_allow_is_refused),
        API_TEST(test_sentences_that_are_too_long_are_cut),
        API_TEST(test_without_a_store_what_asks_it_is_not_implemented),
        API_TEST(test_without_store_what_sources_have_is_answered),
        API_TEST(test_without_store_and_destination_nothing_is_acknowledged),
        API_TEST(test_tenants_are_named_once_and_well_where_data_are_meant),
        API_TEST(test_several_tenants_are_read_but_not_written),
        API_TEST(test_queries_say_what_is_missing_if_that_is_wanted),
        API_TEST(test_a_read_of_raw_samples_refuses_downsampled_ones),
        API_TEST(test_errors_of_a_query_become_statuses),
        API_TEST(test_errors_of_the_owner_become_statuses),
        API_TEST(test_a_read_holds_on_to_nothing_of_the_request),
        API_TEST(test_reads_are_canceled_when_the_server_shuts_down),
        API_TEST(test_a_query_without_memory_says_if_a_retry_helps),
        API_TEST(test_pages_need_no_memory_of_queries),
        API_TEST(test_an_expression_that_grows_by_its_form_is_refused_while_it_grows),
        API_TEST(test_labels_that_grow_with_each_call_are_refused_with_what_they_need),
        API_TEST(test_requests_to_a_destination_reach_it_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
