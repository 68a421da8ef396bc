/* api_test.c - requests to each route, and their answers. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

#define FEDERATED "text/plain; version=0.0.4; charset=utf-8"

/* --- success ---------------------------------------------------------------------------------- */

UNIT_TEST(test_each_route_answers)
{
    static const struct asked cases[] = {
        {"write 1.0", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 204, NULL, NULL},
        {"the same again is no news", HTTP_POST, "/write", NULL, NULL, WRITE_V1, 204, NULL, NULL},
        {"write 2.0 says what is written", HTTP_POST, "/receive", V2, NULL, WRITE_V2, 204, NULL,
         NULL, WRITTEN "Samples-Written: 2\n" WRITTEN "Histograms-Written: 0\n"},
        {"a quoted proto", HTTP_POST, "/api/v1/receive",
         "Content-Type: application/x-protobuf ; a=b; PROTO=\"prometheus.WriteRequest\"", NULL,
         WRITE_V1, 204, NULL, NULL},
        {"a refused exemplar beside samples", HTTP_POST, "/api/v1/write", NULL, NULL,
         WRITE_V1_BAD_EXEMPLAR, 204, NULL, NULL},
        {"a refused exemplar beside samples, 2.0", HTTP_POST, "/api/v1/write", V2, NULL,
         WRITE_V2_BAD_EXEMPLAR, 204, NULL, NULL, WRITTEN "Exemplars-Written: 0\n"},
        {"an alias", HTTP_POST, "/api/v1/push", "Content-Type:  ", NULL, WRITE_V1, 204, NULL, NULL},
        {"an alias", HTTP_POST, "/api/v1/prom/write", "Content-Encoding: SNAPPY", NULL, WRITE_V1,
         204, NULL, NULL},
        {"an alias", HTTP_POST, "/api/v1/prom/remote/write", NULL, NULL, WRITE_V1, 204, NULL, NULL},
        {"read", HTTP_POST, "/api/v1/read", NULL, NULL, READ_SAMPLES, 200, PROTO, "up",
         "Content-Encoding: snappy"},
        {"an alias", HTTP_POST, "/read", NULL, NULL, READ_SAMPLES, 200, PROTO, "up"},
        {"an alias", HTTP_POST, "/api/v1/prom/read", NULL, NULL, READ_SAMPLES, 200, PROTO, "up"},
        {"read as a stream", HTTP_POST, "/api/v1/prom/remote/read", "Content-Encoding: snappy",
         NULL, READ_STREAMED, 200,
         "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse", "up"},
        {"label names", HTTP_GET, "/api/v1/labels", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"status\":\"success\",\"data\":[\"name000\",\"name001\",\"name002\"]}"},
        {"label names, by form", HTTP_POST, "/api/v1/labels", FORM, "match%5B%5D=up&start=1", 0,
         200, JSON_TYPE, "\"name000\""},
        {"label values", HTTP_GET, "/api/v1/label/job/values", NULL, NULL, 0, 200, JSON_TYPE,
         "[\"name000\""},
        {"series", HTTP_GET, "/api/v1/series?match[]=up", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":[{\"__name__\":\"up\"}]}"},
        {"below a prefix", HTTP_GET, "/prometheus/api/v1/label/job/values", NULL, NULL, 0, 200,
         JSON_TYPE, "[\"name000\""},
        {"a page below a prefix", HTTP_GET, "/prometheus/api/v1/status/buildinfo", NULL, NULL, 0,
         200, JSON_TYPE, "\"version\":\"3.14.0\""},
        {"exemplars", HTTP_GET, "/api/v1/query_exemplars?query=rate(up[5m])", NULL, NULL, 0, 200,
         JSON_TYPE,
         "\"data\":[{\"seriesLabels\":{\"__name__\":\"up\"},\"exemplars\":[{\"labels\":{\"trace\":"
         "\"x\"},\"value\":\"0.5\",\"timestamp\":-1},{\"labels\":{\"trace\":\"x\"},\"value\":\"1."
         "5\","
         "\"timestamp\":1.050}]},{\"seriesLabels\":{\"__name__\":\"vp\"},\"exemplars\":[{"
         "\"labels\":"
         "{"
         "\"trace\":\"x\"},\"value\":\"2.5\",\"timestamp\":3.100}]}]}"},
        {"exemplars of nothing", HTTP_POST, "/api/v1/query_exemplars", FORM, "query=1", 0, 204,
         NULL, NULL},
        {"a query of vmalert", HTTP_GET, "/api/v1/query?query=default_rollup(up[10s])&time=2", NULL,
         NULL, 0, 200, JSON_TYPE, "{\"metric\":{\"__name__\":\"up\"},\"value\":[2,\"1\"]}"},
        {"a number", HTTP_GET, "/api/v1/query?query=1*2&time=5", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[5,\"2\"]}}"},
        {"a text", HTTP_POST, "/api/v1/query", FORM, "query='x'&time=5", 0, 200, JSON_TYPE,
         "\"resultType\":\"string\",\"result\":[5,\"x\"]}}"},
        {"a number at half a second", HTTP_GET, "/api/v1/query?query=-Inf&time=-1.5", NULL, NULL, 0,
         200, JSON_TYPE, "\"resultType\":\"scalar\",\"result\":[-1.5,\"-Inf\"]}}"},
        {"a form and a URL", HTTP_POST, "/api/v1/query?query=1&time=5", FORM, "query=2", 0, 200,
         JSON_TYPE, "\"result\":[5,\"2\"]}}"},
        {"a form in parts", HTTP_POST, "/api/v1/query?query=1&time=5", PARTS, "--b--", 0, 400,
         JSON_TYPE,
         "a form of type multipart/form-data is not supported: send "
         "application/x-www-form-urlencoded",
         NULL},
        {"a URL and a body that is ignored", HTTP_GET, "/api/v1/query?query=1&time=5", FORM,
         "query=2", 0, 200, JSON_TYPE, "\"result\":[5,\"1\"]}}"},
        {"a large number", HTTP_GET, "/api/v1/query?query=1e21&time=5", NULL, NULL, 0, 200,
         JSON_TYPE, "\"result\":[5,\"1000000000000000000000\"]}}"},
        {"a small number", HTTP_GET, "/api/v1/query?query=-1.5e-7&time=5", NULL, NULL, 0, 200,
         JSON_TYPE, "\"result\":[5,\"-0.00000015\"]}}"},
        {"a fill that is not a number of JSON", HTTP_POST, "/api/v1/parse_query", FORM,
         "query=a+%2B+fill(Inf)+b", 0, 200, JSON_TYPE,
         "\"fillValues\":{\"lhs\":\"+Inf\",\"rhs\":\"+Inf\"}"},
        {"a text at half a second", HTTP_GET, "/api/v1/query?query='x'&time=0.05", NULL, NULL, 0,
         200, JSON_TYPE, "\"resultType\":\"string\",\"result\":[0.05,\"x\"]}}"},
        {"a vector", HTTP_GET, "/prometheus/api/v1/query?query=vector(7)&time=-1.5", NULL, NULL, 0,
         200, JSON_TYPE,
         "\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[-1.500,\"7\"]}]}}"},
        {"a time and a duration in forms of Go", HTTP_GET,
         "/api/v1/query_range?query=time()&start=0x1p2&end=1_0.5&step=0x1p2", NULL, NULL, 0, 200,
         JSON_TYPE, "[[4,\"4\"],[8,\"8\"]]"},
        {"a range", HTTP_GET, "/api/v1/query_range?query=time()&start=0&end=2&step=1s", NULL, NULL,
         0, 200, JSON_TYPE,
         "\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0,\"0\"],[1,\"1\"],[2,"
         "\"2\"]]}]}}"},
        {"statistics of a query", HTTP_GET, "/api/v1/query?query=1&stats=all&time=0.5", NULL, NULL,
         0, 200, JSON_TYPE, "\"totalQueryableSamplesPerStep\":[[0.5,"},
        {"as many steps as are allowed", HTTP_GET,
         "/api/v1/query_range?query=1&start=0&end=11000&step=1", NULL, NULL, 0, 200, JSON_TYPE,
         "[11000,\"1\"]]}]}}"},
        {"more time than there is", HTTP_GET, "/api/v1/query?query=1&time=5&timeout=9e9", NULL,
         NULL, 0, 200, JSON_TYPE, "[5,\"1\"]}}"},
        {"a plan", HTTP_GET, "/api/v1/explain?query=sum(up)", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":{\"operator\":\"aggregation\",\"detail\":\"sum(up); folds each series into its "
         "group\",\"series\":1,"},
        {"a plan of a range", HTTP_POST, "/api/v1/explain", FORM,
         "query=up&start=0&end=2&step=1&analyze=true", 0, 200, JSON_TYPE,
         "\"detail\":\"up; 3 steps\",\"series\":1,"},
        {"an expression in lines", HTTP_POST, "/api/v1/format_query", FORM, "query=sum(up)by(job)",
         0, 200, JSON_TYPE, "{\"status\":\"success\",\"data\":\"sum by (job) (up)\"}"},
        {"a duration that has no value then", HTTP_GET, "/api/v1/query?query=x[step()]", NULL, NULL,
         0, 400, JSON_TYPE,
         "invalid parameter \\\"query\\\": 2:8: duration must be greater than 0"},
        {"a tree with a duration that is computed", HTTP_GET, "/api/v1/parse_query?query=x[1m*-2]",
         NULL, NULL, 0, 200, JSON_TYPE,
         "\"range\":0,\"rangeExpr\":{\"lhs\":{\"duration\":true,\"type\":\"numberLiteral\",\"val\":"
         "\"60\"},\"op\":\"*\",\"rhs\":{\"duration\":false,\"type\":\"numberLiteral\",\"val\":\"-"
         "2\"},"
         "\"type\":\"durationExpr\",\"wrapped\":false},"},
        {"an expression as a tree", HTTP_GET, "/api/v1/parse_query?query=1", NULL, NULL, 0, 200,
         JSON_TYPE, "{\"status\":\"success\",\"data\":{\"type\":\"numberLiteral\",\"val\":\"1\"}}"},
        {"no rules", HTTP_GET, "/api/v1/rules", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"status\":\"success\",\"data\":{\"groups\":[]}}"},
        {"no targets", HTTP_GET, "/api/v1/targets", NULL, NULL, 0, 200, JSON_TYPE,
         "\"activeTargets\":[]"},
        {"metadata", HTTP_GET, "/api/v1/metadata", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"a_total\":[{\"type\":\"counter\",\"help\":\"Help.\",\"unit\":\"bytes\"}],"
         "\"b_total\":"},
        {"metadata of one", HTTP_GET, "/api/v1/metadata?metric=b_total", NULL, NULL, 0, 200,
         JSON_TYPE, "\"data\":{\"b_total\":"},
        {"metadata of so many", HTTP_GET, "/api/v1/metadata?limit=1", NULL, NULL, 0, 200, JSON_TYPE,
         "}]}}"},
        {"metadata of none", HTTP_GET, "/api/v1/metadata?limit=0&limit_per_metric=-1", NULL, NULL,
         0, 200, JSON_TYPE, "\"data\":{}}"},
        {"metadata of any number", HTTP_GET, "/api/v1/metadata?limit=-1", NULL, NULL, 0, 200,
         JSON_TYPE, "\"b_total\":"},
        {"the build", HTTP_GET, "/api/v1/status/buildinfo", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"version\":\"3.14.0\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\","
         "\"buildDate\":\"\",\"goVersion\":\"\",\"firekeepVersion\":\"1.2.3\""},
        {"features of the API", HTTP_GET, "/api/v1/features", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"status\":\"success\",\"data\":{\"api\":{\"admin\":true,\"exclude_alerts\":true,"},
        {"features of the language", HTTP_GET, "/api/v1/features", NULL, NULL, 0, 200, JSON_TYPE,
         "\"promql_functions\":{\"abs\":true,\"absent\":true,"},
        {"operators", HTTP_GET, "/api/v1/features", NULL, NULL, 0, 200, JSON_TYPE,
         "\"@\":true,\"sum\":true,"},
        {"the last aggregation", HTTP_GET, "/api/v1/features", NULL, NULL, 0, 200, JSON_TYPE,
         "\"limit_ratio\":true},\"rules\":{"},
        {"functions of templates", HTTP_GET, "/api/v1/features", NULL, NULL, 0, 200, JSON_TYPE,
         "\"templating_functions\":{\"args\":true,\"externalURL\":true,"},
        {"the last function of templates", HTTP_GET, "/api/v1/features", NULL, NULL, 0, 200,
         JSON_TYPE, "\"value\":true},\"tsdb\":{"},
        {"the process", HTTP_GET, "/api/v1/status/runtimeinfo", NULL, NULL, 0, 200, JSON_TYPE,
         "\"serverTime\":\"2026-01-01T00:00:00Z\",\"reloadConfigSuccess\":true,"
         "\"lastConfigTime\":\"2026-01-01T00:00:00Z\",\"corruptionCount\":0,"},
        {"retention and series", HTTP_GET, "/api/v1/status/runtimeinfo", NULL, NULL, 0, 200,
         JSON_TYPE,
         "\"storageRetention\":\"10y or 500GB\",\"ready\":true,\"notReadyReason\":\"\","
         "\"timeSeriesCount\":1"},
        {"no more to replay", HTTP_GET, "/api/v1/status/walreplay", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":{\"min\":0,\"max\":0,\"current\":0}}"},
        {"its metrics", HTTP_GET, "/api/v1/status/self_metrics?metric_name_pattern=.*_head_series",
         NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":[{\"name\":\"firekeep_head_series\","
         "\"help\":\"Series with samples in the head.\",\"type\":\"GAUGE\","
         "\"metric\":[{\"gauge\":{\"value\":1}}]}]}"},
        {"flags", HTTP_GET, "/api/v1/status/flags", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"web.listen-address\":\"127.0.0.1:9201\","},
        {"the configuration", HTTP_GET, "/api/v1/status/config", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"yaml\":\"tenancy:\\n  enabled: true\\n\"}"},
        {"cardinality", HTTP_GET, "/api/v1/status/tsdb?limit=1", NULL, NULL, 0, 200, JSON_TYPE,
         "\"seriesCountByMetricName\":[{\"name\":\"up\",\"value\":1}],"
         "\"labelValueCountByLabelName\":[{\"name\":\"__name__\",\"value\":1}],"
         "\"memoryInBytesByLabelName\":[{\"name\":\"__name__\",\"value\":2}],"
         "\"seriesCountByLabelValuePair\":[{\"name\":\"__name__=up\",\"value\":1}],"},
        {"the head", HTTP_GET, "/api/v1/status/tsdb", NULL, NULL, 0, 200, JSON_TYPE,
         "\"headStats\":{\"numSeries\":1,\"numLabelPairs\":2,\"chunkCount\":1,"
         "\"minTime\":1767225600000,\"maxTime\":1767225600001,"},
        {"the configuration", HTTP_POST, "/api/v1/status/config/check", NULL, "log: {}", 0, 200,
         JSON_TYPE, "\"data\":{\"text\":\"log: {}\"}}"},
        {"no bytes yet", HTTP_GET, "/api/v1/status/tsdb/bytes", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":{\"exact\":true,\"shareRead\":1,\"bytes\":0,\"samples\":0,\"metrics\":[],"
         "\"labelNames\":[],\"labelPairs\":[]}}"},
        {"no blocks yet", HTTP_GET, "/api/v1/status/tsdb/blocks", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":{\"blocks\":[]}}"},
        {"storage", HTTP_GET, "/api/v1/status/storage", NULL, NULL, 0, 200, JSON_TYPE,
         "\"partitions\":[],\"merges\":[],\"retention\":{\"rules\":[],\"graceLeftSeconds\":0},"
         "\"downsampling\":{\"rules\":[],\"resolutions\":[]}}"},
        {"destinations", HTTP_GET, "/api/v1/status/destinations", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":[\"s3\"]"},
        {"what becomes of a series", HTTP_GET, "/api/v1/explain_write?series=up", NULL, NULL, 0,
         200, JSON_TYPE, "\"data\":\"up\""},
        {"flush", HTTP_POST, "/api/v1/admin/tsdb/flush", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":{\"before\":{\"headSamples\":2,\"headExemplars\":1,\"parts\":0"},
        {"merge", HTTP_PUT, "/api/v1/admin/tsdb/merge", NULL, NULL, 0, 200, JSON_TYPE,
         "\"after\":{"},
        {"snapshot", HTTP_POST, "/api/v1/admin/tsdb/snapshot", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":{\"name\":\"2026"},
        {"snapshots", HTTP_GET, "/api/v1/admin/tsdb/snapshots", NULL, NULL, 0, 200, JSON_TYPE,
         "\"time\":\"2026-01-01T00:00:"},
        {"deletion", HTTP_POST, "/api/v1/admin/tsdb/delete_series?match[]=down", NULL, NULL, 0, 200,
         JSON_TYPE,
         "{\"status\":\"success\",\"data\":{\"series\":0,\"samples\":0,\"windows\":0,\"ids\":[]}}"},
        {"receipts of deletions", HTTP_GET, "/api/v1/admin/tsdb/deletions", NULL, NULL, 0, 200,
         JSON_TYPE, "\"data\":[]"},
        {"an unknown deletion", HTTP_GET, "/api/v1/admin/tsdb/deletions/7", NULL, NULL, 0, 404,
         JSON_TYPE, "no deletion has the number 7"},
        {"preview of a deletion", HTTP_GET, "/api/v1/admin/tsdb/delete_series/preview?match[]=up",
         NULL, NULL, 0, 200, JSON_TYPE, "\"data\":{\"series\":1,\"samples\":2,\"partBytes\":"},
        {"cleaning", HTTP_POST, "/api/v1/admin/tsdb/clean_tombstones", NULL, NULL, 0, 200,
         JSON_TYPE, "\"before\":{"},
        {"pause", HTTP_POST, "/api/v1/admin/destinations/s3/pause", NULL, NULL, 0, 204, NULL, NULL},
        {"resume", HTTP_PUT, "/api/v1/admin/destinations/s3/resume", NULL, NULL, 0, 204, NULL,
         NULL},
        {"replay", HTTP_POST, "/api/v1/admin/destinations/s3/replay?from=2026-01-01T00:00:00Z",
         NULL, NULL, 0, 204, NULL, NULL},
        {"metrics", HTTP_GET, "/metrics", NULL, NULL, 0, 200, TEXT "; version=0.0.4",
         "firekeep_head_series 1\n"},
        {"metrics for a client of OpenMetrics, as text", HTTP_GET, "/metrics",
         "Accept: application/openmetrics-text; version=1.0.0", NULL, 0, 200,
         TEXT "; version=0.0.4", "firekeep_head_series 1\n"},
        {"metrics: reasons", HTTP_GET, "/metrics", NULL, NULL, 0, 200, TEXT,
         "firekeep_samples_received_total{tenant=\"anonymous\",kind=\"float\"} 18\n"},
        {"metrics: refused exemplars", HTTP_GET, "/metrics", NULL, NULL, 0, 200, TEXT,
         "firekeep_samples_rejected_total{tenant=\"anonymous\",kind=\"exemplar\",reason=\"bad_"
         "utf8\"} "
         "2\n"},
        {"federation", HTTP_GET, "/federate?match[]=up", NULL, NULL, 0, 200,
         FEDERATED "; escaping=underscores", "# TYPE up untyped\nup{instance=\"\"} 1 2000\n"},
        {"federation of names in UTF-8, below a prefix", HTTP_GET,
         "/prometheus/federate?match[]={a=\"\"}&match[]=up",
         "Accept: text/plain;escaping=allow-utf-8", NULL, 0, 200,
         FEDERATED "; escaping=allow-utf-8", "up{instance=\"\"} 1 2000\n"},
        {"federation for a client of OpenMetrics, as text", HTTP_GET, "/federate?match[]=up",
         "Accept: application/openmetrics-text; version=1.0.0", NULL, 0, 200, FEDERATED,
         "up{instance=\"\"} 1 2000\n"},
        {"federation of nothing", HTTP_GET, "/federate", NULL, NULL, 0, 200,
         FEDERATED "; escaping=underscores", ""},
        {"health", HTTP_GET, "/-/healthy", NULL, NULL, 0, 200, TEXT, "healthy"},
        {"health, as VictoriaMetrics is asked", HTTP_GET, "/health", NULL, NULL, 0, 200, TEXT,
         "OK"},
        {"version", HTTP_GET, "/version", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"version\":\"3.14.0\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\","
         "\"buildDate\":\"\","
         "\"goVersion\":\"\",\"firekeepVersion\":\"1.2.3\","},
        {"readiness", HTTP_GET, "/-/ready", NULL, NULL, 0, 200, TEXT, "ready"},
        {"reload", HTTP_POST, "/-/reload", NULL, NULL, 0, 200, TEXT, "reloaded\n"},
        {"the root", HTTP_GET, "/", NULL, NULL, 0, 200, TEXT, "Firekeep\n"},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_no_route_takes_another_method)
{
    static const struct {
        const char *path;
        unsigned methods;
    } cases[] = {
        {"/api/v1/write", HTTP_POST | HTTP_OPTIONS},
        {"/api/v1/read", HTTP_POST | HTTP_OPTIONS},
        {"/api/v1/labels", HTTP_GET | HTTP_POST | HTTP_OPTIONS},
        {"/api/v1/label/a/values", HTTP_GET | HTTP_OPTIONS},
        {"/api/v1/series", HTTP_GET | HTTP_POST | HTTP_OPTIONS},
        {"/api/v1/metadata", HTTP_GET | HTTP_OPTIONS},
        {"/api/v1/status/flags", HTTP_GET | HTTP_OPTIONS},
        {"/api/v1/admin/tsdb/flush", HTTP_POST | HTTP_PUT | HTTP_OPTIONS},
        {"/api/v1/admin/tsdb/delete_series", HTTP_POST | HTTP_PUT | HTTP_OPTIONS},
        {"/api/v1/admin/tsdb/delete_series/preview", HTTP_GET | HTTP_OPTIONS},
        {"/api/v1/admin/tsdb/deletions", HTTP_GET | HTTP_OPTIONS},
        {"/api/v1/admin/tsdb/deletions/1", HTTP_GET | HTTP_POST | HTTP_OPTIONS},
        {"/api/v1/admin/tsdb/snapshots", HTTP_GET | HTTP_OPTIONS},
        {"/api/v1/admin/tsdb/snapshots/x", HTTP_DELETE | HTTP_OPTIONS},
        {"/api/v1/admin/destinations/s3/pause", HTTP_POST | HTTP_PUT | HTTP_OPTIONS},
        {"/metrics", HTTP_GET},
        {"/-/healthy", HTTP_GET},
        {"/health", HTTP_GET},
        {"/version", HTTP_GET},
        {"/-/reload", HTTP_POST | HTTP_PUT},
        {"/", HTTP_GET},
        {"/api/v1/nothing", HTTP_OPTIONS},
        {"/nothing", 0},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned method = HTTP_GET; method <= HTTP_OPTIONS; method *= 2) {
            struct http_request r;
            http_double_init(&r, (enum http_method)method, cases[i].path, NULL, bytes_of("", 0));
            bool taken = api_rig_hand(rig, &r);
            if (taken != ((cases[i].methods & method) != 0)) fail_msg("%s", cases[i].path);
            api_rig_run(rig);
            buf_fini(&r.text);
        }
    }
    api_rig_free(rig);
}

/* --- look-ups and reads ----------------------------------------------------------------------- */

UNIT_TEST(test_lookups_ask_what_the_request_says)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask(rig, &(struct asked){"a limit is reported", HTTP_GET,
                                 "/api/v1/labels?limit=2&start=1&end=2.5&match[]=up&match[]=down",
                                 NULL, NULL, 0, 200, JSON_TYPE,
                                 "[\"name000\",\"name001\"],"
                                 "\"warnings\":[\"results truncated due to limit\"]}"});
    assert_int_equal(rig->asked.min_ms, 1000);
    assert_int_equal(rig->asked.max_ms, 2500);
    assert_int_equal(rig->asked.set_count, 2);
    assert_int_equal(rig->asked.hints.limit, 2);
    api_ask(rig, &(struct asked){"a limit that is just enough is not", HTTP_GET,
                                 "/api/v1/labels?limit=3", NULL, NULL, 0, 200, JSON_TYPE,
                                 "\"name002\"]}"});
    assert_int_equal(rig->asked.min_ms, INT64_MIN);
    assert_int_equal(rig->asked.max_ms, INT64_MAX);
    api_ask(rig, &(struct asked){"an escaped name", HTTP_GET, "/api/v1/label/U__a_2e_b/values",
                                 NULL, NULL, 0, 200, JSON_TYPE, "name000"});
    assert_string_equal(rig->asked_name, "a.b");
    static const char *const as_they_are[] = {"U__a_", "U__a_zz_", "U__a_d800_", "U__a_1100ff_"};
    for (unsigned i = 0; i < 4; i++) {
        char path[100];
        snprintf(path, sizeof path, "/api/v1/label/%s/values", as_they_are[i]);
        api_ask(rig, &(struct asked){"a name that is not escaped", HTTP_GET, path, NULL, NULL, 0,
                                     200, JSON_TYPE, "name000"});
        assert_string_equal(rig->asked_name, as_they_are[i]);
    }
    assert_true(rig->asked.partial);
    api_ask(rig,
            &(struct asked){"all or nothing", HTTP_GET, "/api/v1/labels?partial_response=false",
                            NULL, NULL, 0, 200, JSON_TYPE, "name000"});
    assert_false(rig->asked.partial);
    api_ask(rig, &(struct asked){"no time at all", HTTP_GET, "/api/v1/labels?start=2&end=1", NULL,
                                 NULL, 0, 200, JSON_TYPE, "\"data\":[]}"});
    rig->warning = "page 7 is damaged";
    api_ask(rig, &(struct asked){"missing data is reported", HTTP_GET, "/api/v1/labels?limit=1",
                                 NULL, NULL, 0, 200, JSON_TYPE,
                                 "\"warnings\":[\"results truncated due to limit\"]}"});
    api_ask(rig, &(struct asked){"missing data is reported", HTTP_GET, "/api/v1/labels", NULL, NULL,
                                 0, 200, JSON_TYPE, "\"warnings\":[\"page 7 is damaged\"]}"});
    char many[PAIR_TEXT_BYTES] = "/api/v1/labels?match[]=up";
    for (unsigned i = 0; i < 64; i++)
        strcat(many, "&match[]=up");
    api_ask(rig, &(struct asked){"many selectors", HTTP_GET, many, NULL, NULL, 0, 200, JSON_TYPE,
                                 "\"name000\""});
    assert_int_equal(rig->asked.set_count, 65);
    api_rig_free(rig);
}

UNIT_TEST(test_a_request_without_times_is_about_all_samples)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    struct http_request r;
    struct bytes message = write_message(RW_V1, -3600000, 1); /* before 1970 */
    api_rig_ask(rig, &r, HTTP_POST, "/api/v1/write", NULL, message);
    assert_int_equal(r.status, 204);
    buf_fini(&r.text);
    free((void *)(uintptr_t)message.at);
    machine_flush(&rig->m);
    static const struct asked requests[] = {
        {"bytes", HTTP_GET, "/api/v1/status/tsdb/bytes", NULL, NULL, 0, 200, JSON_TYPE,
         "\"samples\":2,"},
        {"preview", HTTP_GET, "/api/v1/admin/tsdb/delete_series/preview?match[]=up", NULL, NULL, 0,
         200, JSON_TYPE, "\"series\":1,\"samples\":2,"},
        {"deletion by the same selector twice", HTTP_POST,
         "/api/v1/admin/tsdb/delete_series?match[]=up&match[]=up", NULL, NULL, 0, 200, JSON_TYPE,
         "\"series\":1,\"samples\":2,\"windows\":0,\"ids\":[\"1\"]}"},
        {"receipt", HTTP_GET, "/api/v1/admin/tsdb/deletions", NULL, NULL, 0, 200, JSON_TYPE,
         "\"selector\":\"{__name__=\\\"up\\\"}\",\"series\":1,"},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        api_ask(rig, &requests[i]);
    api_rig_free(rig);
}

/* Adds samples at times before now; a staleness marker if the value is below 0. */
static void
store_series(struct rq *rq, const char *labels, int64_t now_ms, int64_t first_ago_ms,
             int64_t last_ago_ms, double value)
{
    rq_series(rq, labels);
    rq_float(rq, now_ms - first_ago_ms, double_bits(7), 0);
    rq_float(rq, now_ms - last_ago_ms, value < 0 ? STALE_NAN_BITS : double_bits(value), 0);
    rq_close(rq);
}

static void
federate_of_store(bool mixed, const char *expected)
{
    struct api_rig *rig = api_rig_new();
    struct rq rq;
    struct http_request r;
    rig->options.answerer = tsdb_answerer(rig->m.db);
    api_rig_start(rig);
    int64_t now = env_realtime_ms(rig->m.env);
    assert_int_equal(now, 1767225600000);
    rq_init(&rq, RW_V1);
    store_series(&rq, "__name__=a,x=1", now, 2000, 0, 1);
    store_series(&rq, "__name__=c,x=1", now, 400000, 300000, 2);
    store_series(&rq, "__name__=c,x=2", now, 400000, 300001, 3);
    store_series(&rq, "__name__=ended,x=1", now, 2000, 1000, -1);
    store_series(&rq, "__name__=late,x=1", now, 2000, -1, 4); /* the last one is in the future */
    if (mixed) store_series(&rq, "__name__=b,A=1", now, 2000, 1000, 5);
    if (mixed) store_series(&rq, "__name__=c,A=1", now, 2000, 1000, 6);
    struct bytes message = api_packed(&rq.out);
    api_rig_ask(rig, &r, HTTP_POST, "/api/v1/write", NULL, message);
    assert_int_equal(r.status, 204);
    buf_fini(&r.text);
    api_rig_ask(rig, &r, HTTP_GET,
                "/federate?match[]={x=\"1\"}&match[]={A=\"1\"}&match[]={x=\"2\"}", NULL,
                bytes_of("", 0));
    assert_string_equal(http_double_text(&r), expected);
    buf_fini(&r.text);
    free((void *)(uintptr_t)message.at);
    rq_fini(&rq);
    api_rig_free(rig);
}

UNIT_TEST(test_federation_sorts_latest_samples_by_name_then_labels)
{
    federate_of_store(false, "# TYPE a untyped\n"
                             "a{x=\"1\",instance=\"\"} 1 1767225600000\n"
                             "# TYPE c untyped\n"
                             "c{x=\"1\",instance=\"\"} 2 1767225300000\n"
                             "# TYPE late untyped\n"
                             "late{x=\"1\",instance=\"\"} 7 1767225598000\n");
    federate_of_store(true, "# TYPE a untyped\n"
                            "a{x=\"1\",instance=\"\"} 1 1767225600000\n"
                            "# TYPE b untyped\n"
                            "b{A=\"1\",instance=\"\"} 5 1767225599000\n"
                            "# TYPE c untyped\n"
                            "c{A=\"1\",instance=\"\"} 6 1767225599000\n"
                            "c{x=\"1\",instance=\"\"} 2 1767225300000\n"
                            "# TYPE late untyped\n"
                            "late{x=\"1\",instance=\"\"} 7 1767225598000\n");
}

UNIT_TEST(test_large_answers_are_streamed_and_cut_off_when_they_fail)
{
    struct http_request r;
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->names = 20000;
    api_rig_ask(rig, &r, HTTP_GET, "/api/v1/labels", NULL, bytes_of("", 0));
    assert_true(r.status == 200 && r.stream && r.complete);
    assert_non_null(strstr(http_double_text(&r), "\"name19999\"]}"));
    buf_fini(&r.text);
    rig->ask_error = ERR_CORRUPT;
    api_rig_ask(rig, &r, HTTP_GET, "/api/v1/labels", NULL, bytes_of("", 0));
    assert_true(r.status == 200 && r.stream && !r.complete);
    buf_fini(&r.text);
    api_rig_free(rig);
}

UNIT_TEST(test_a_read_that_fails_midway_is_not_taken_for_whole)
{
    static const struct {
        const char *headers;
        const char *fragment; /* in the stream */
        bool complete;
    } cases[] = {
        {NULL, NULL, false},
        {"X-Firekeep-Notices: errors", "the double says", true},
        {"X-Firekeep-Notices: partial", "the double says", true},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.read_frame_bytes = 1; /* each series is sent immediately */
    api_rig_start(rig);
    rig->sample_error = ERR_CORRUPT;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request r;
        struct bytes message = asked_message(READ_STREAMED);
        api_rig_ask(rig, &r, HTTP_POST, "/api/v1/read", cases[i].headers, message);
        const char *got = http_double_text(&r);
        if (r.status == 200) {
            assert_int_equal(r.complete, cases[i].complete);
            if (cases[i].fragment != NULL)
                assert_non_null(memmem(got, r.text.size, "the double says", 15));
        } else {
            assert_int_equal(r.status, 500); /* nothing had been sent */
        }
        buf_fini(&r.text);
        free((void *)(uintptr_t)message.at);
    }
    rig->sample_error = OK;
    rig->warning = "page 7 is damaged";
    api_ask(rig, &(struct asked){"omitted data is reported", HTTP_POST, "/read",
                                 "X-Firekeep-Notices: partial", NULL, READ_STREAMED, 200,
                                 "application/x-streamed", "page 7 is damaged"});
    assert_true(rig->asked.partial);
    api_rig_free(rig);
}

/* --- writes ----------------------------------------------------------------------------------- */

UNIT_TEST(test_writes_that_cannot_be_kept_now_are_to_be_repeated)
{
    static const struct asked write = {"write",
                                       HTTP_POST,
                                       "/api/v1/write",
                                       V2,
                                       NULL,
                                       WRITE_V2,
                                       503,
                                       TEXT,
                                       "\n",
                                       WRITTEN "Samples-Written: 0\n"};
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->held = "the log is full";
    api_ask(rig, &write);
    struct http_request r;
    api_rig_ask(rig, &r, HTTP_GET, "/-/ready", NULL, bytes_of("", 0));
    assert_int_equal(r.status, 503);
    assert_string_equal(http_double_text(&r), "Firekeep is not ready: the log is full.\n");
    buf_fini(&r.text);
    rig->held = NULL;
    fault_env_arm(rig->m.fe, (struct fault){FAULT_SYNC, 1, false}); /* its commit fails */
    api_ask(rig, &write);
    api_rig_free(rig);
}

/* Returns series that do not compress: the body is larger than a worker handles. */
static struct bytes
large_message(void)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    uint64_t random = 1;
    for (unsigned i = 0; i < 4000; i++) {
        char labels[240];
        size_t size = (size_t)snprintf(labels, sizeof labels, "__name__=up,i=%u_", i);
        for (; size < 200; size++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            labels[size] = (char)('A' + (random >> 32) % 58);
        }
        labels[size] = '\0';
        rq_series(&rq, labels);
        rq_float(&rq, SIM_BEGIN, i, 0);
    }
    rq_close(&rq);
    buf_put_bytes(&rq.symbols, buf_bytes(&rq.out));
    struct bytes done = api_packed(&rq.symbols);
    rq_fini(&rq);
    return done;
}

UNIT_TEST(test_large_writes_leave_their_worker)
{
    struct http_request r;
    struct bytes message = large_message();
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (unsigned late = 0; late < 2; late++) {
        http_double_init(&r, HTTP_POST, "/api/v1/write", V2, message);
        assert_true(api_rig_hand(rig, &r));
        assert_int_equal(r.status, 0);
        if (late == 1) {
            sim_env_advance_ns(rig->m.sim, 10 * NS_PER_S);
            api_tick(rig->api);
        }
        api_rig_run(rig);
        assert_int_equal(r.status, late == 1 ? 503 : 204);
        assert_non_null(strstr(r.answer_headers, late == 1 ? WRITTEN "Samples-Written: 0\n"
                                                           : WRITTEN "Samples-Written: 4000\n"));
        buf_fini(&r.text);
    }
    free((void *)(uintptr_t)message.at);
    api_rig_free(rig);
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_each_request_is_answered_once_whichever_allocation_fails)
{
    static const struct {
        enum http_method method;
        const char *target;
        const char *text;
        enum message message;
        unsigned status;
    } cases[] = {
        {HTTP_POST, "/api/v1/write", NULL, WRITE_V1, 204},
        {HTTP_POST, "/api/v1/read", NULL, READ_SAMPLES, 200},
        {HTTP_POST, "/api/v1/read", NULL, READ_STREAMED, 200},
        {HTTP_POST, "/api/v1/labels", "match[]=up", 0, 200},
        {HTTP_GET, "/api/v1/series?match[]={a=~\"b.*\"}", NULL, 0, 200},
        {HTTP_GET, "/api/v1/query?query=1-rate(up[5m])/on(a)group_left()(up)", NULL, 0, 200},
        {HTTP_POST, "/api/v1/query_range",
         "query=topk by(a)(2,up)or "
         "label_replace(up,\"b\",\"$1\",\"a\",\"(.*)\")&start=0&end=60&step=5",
         0, 200},
        {HTTP_GET, "/api/v1/explain?query=sum(rate(up[5m]))/on()up", NULL, 0, 200},
        {HTTP_POST, "/api/v1/explain", "query=max(up)*scalar(up)&analyze=true", 0, 200},
        {HTTP_GET, "/federate?match[]=up", NULL, 0, 200},
        {HTTP_GET, "/api/v1/metadata", NULL, 0, 200},
        {HTTP_GET, "/api/v1/status/storage", NULL, 0, 200},
        {HTTP_GET, "/api/v1/status/tsdb/bytes?match[]=up", NULL, 0, 200},
        {HTTP_GET, "/metrics", NULL, 0, 200},
        {HTTP_POST, "/api/v1/admin/tsdb/delete_series?match[]=down", NULL, 0, 200},
        {HTTP_GET, "/api/v1/admin/tsdb/snapshots", NULL, 0, 200},
        {HTTP_GET, "/api/v1/admin/tsdb/delete_series/preview?match[]=up", NULL, 0, 200},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool fired = true;
        for (unsigned nth = 1; fired; nth++) {
            struct http_request r;
            struct bytes message = asked_message(cases[i].message);
            const char *text = cases[i].text;
            http_double_init(&r, cases[i].method, cases[i].target, text == NULL ? NULL : FORM,
                             text == NULL ? message : bytes_of_text(text));
            assert_true(buf_reserve(&r.text, ANSWER_TEXT_BYTES / 2)); /* memory of the client */
            mem_fail_nth(nth, false);
            assert_true(api_rig_hand(rig, &r));
            api_rig_run(rig);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            bool again = r.status == 503 || r.status == 422;
            if (r.status != cases[i].status && !(fired && again))
                fail_msg("%s: %u when allocation %u failed", cases[i].target, r.status, nth);
            if (tsdb_is_down(rig->m.db)) must(tsdb_reopen(rig->m.db, &rig->m.why));
            buf_fini(&r.text);
            free((void *)(uintptr_t)message.at);
        }
    }
    api_rig_free(rig);
}

#define API_TEST(name) cmocka_unit_test_teardown(name, tell_seed)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(test_each_route_answers),
        API_TEST(test_no_route_takes_another_method),
        API_TEST(test_lookups_ask_what_the_request_says),
        API_TEST(test_a_request_without_times_is_about_all_samples),
        API_TEST(test_federation_sorts_latest_samples_by_name_then_labels),
        API_TEST(test_large_answers_are_streamed_and_cut_off_when_they_fail),
        API_TEST(test_a_read_that_fails_midway_is_not_taken_for_whole),
        API_TEST(test_writes_that_cannot_be_kept_now_are_to_be_repeated),
        API_TEST(test_large_writes_leave_their_worker),
        API_TEST(test_each_request_is_answered_once_whichever_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
