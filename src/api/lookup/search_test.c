/* search_test.c - searches for names: the questions to the store, and the order and lines of
 * the answers. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

#define NDJSON "application/x-ndjson; charset=utf-8"
#define NAMES  "/api/v1/search/label_names"
#define END    "{\"status\":\"success\",\"has_more\":false}\n"
#define MORE   "{\"status\":\"success\",\"has_more\":true}\n"

static void
expect(struct api_rig *rig, const char *target, const char *expected)
{
    struct http_request r;
    api_rig_ask(rig, &r, HTTP_GET, target, NULL, bytes_of("", 0));
    const char *got = http_double_text(&r);
    if (r.status != 200 || strcmp(got, expected) != 0) fail_msg("%s: %u %s", target, r.status, got);
    assert_string_equal(r.content_type, NDJSON);
    assert_true(r.stream && r.complete);
    buf_fini(&r.text);
}

UNIT_TEST(test_names_come_in_batches_and_a_last_line)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    expect(rig, NAMES,
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"},{\"name\":\"name002\"}]}"
           "\n" END);
    expect(rig, NAMES "?batch_size=2",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"}]}\n"
           "{\"results\":[{\"name\":\"name002\"}]}\n" END);
    expect(rig, NAMES "?batch_size=3",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"},{\"name\":\"name002\"}]}"
           "\n" END);
    expect(rig, NAMES "?limit=2",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"}]}\n" MORE);
    assert_int_equal(rig->asked.hints.limit, 2);
    expect(rig, NAMES "?limit=3&search[]=name",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"},{\"name\":\"name002\"}]}"
           "\n" END);
    assert_int_equal(rig->asked.hints.limit, 0);
    expect(rig, NAMES "?search[]=nothing", "{\"results\":[]}\n" END);
    expect(rig, NAMES "?start=2&end=2",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"},"
           "{\"name\":\"name002\"}]}\n" END);
    api_rig_free(rig);
}

UNIT_TEST(test_names_are_chosen_by_what_is_searched_for)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->names = 200;
    expect(rig, NAMES "?search[]=e117&search[]=name01&limit=3",
           "{\"results\":[{\"name\":\"name010\"},{\"name\":\"name011\"},{\"name\":\"name012\"}]}"
           "\n" MORE);
    expect(rig, NAMES "?search[]=E117&search[]=NAME119&case_sensitive=false",
           "{\"results\":[{\"name\":\"name117\"},{\"name\":\"name119\"}]}\n" END);
    expect(rig, NAMES "?search[]=E117", "{\"results\":[]}\n" END);
    expect(rig, NAMES "?search[]=name117x&case_sensitive=false", "{\"results\":[]}\n" END);
    expect(rig, NAMES "?search[]=117&sort_by=alpha&sort_dir=asc",
           "{\"results\":[{\"name\":\"name117\"}]}\n" END);
    api_rig_free(rig);
}

UNIT_TEST(test_search_asks_what_the_request_says)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->names = 1;
    expect(rig, "/api/v1/search/metric_names", "{\"results\":[{\"name\":\"name000\"}]}\n" END);
    assert_string_equal(rig->asked_name, "__name__");
    assert_int_equal(rig->asked.max_ms, SIM_BEGIN);
    assert_int_equal(rig->asked.min_ms, SIM_BEGIN - 3600 * 1000);
    expect(rig, "/api/v1/search/label_values?label=job&start=1&end=2.5&match[]=up&match[]=down",
           "{\"results\":[{\"value\":\"name000\"}]}\n" END);
    assert_string_equal(rig->asked_name, "job");
    assert_int_equal(rig->asked.min_ms, 1000);
    assert_int_equal(rig->asked.max_ms, 2500);
    assert_int_equal(rig->asked.set_count, 2);
    rig->metric = "a_total";
    expect(rig, "/api/v1/search/metric_names?include_metadata=1",
           "{\"results\":[{\"name\":\"a_total\",\"type\":\"counter\",\"help\":\"Help.\","
           "\"unit\":\"bytes\"}]}\n" END);
    api_ask(rig, &(struct asked){"as a form", HTTP_POST, "/prometheus/api/v1/search/label_values",
                                 FORM, "label=job&limit=1", 0, 200, NDJSON, "\"a_total\""});
    api_rig_free(rig);
}

#define UNSUPPORTED(what)                                                                    \
    BAD("invalid " what " is not supported: a search finds names that contain search[], in " \
        "ascending order")
#define BAD(text) "\"errorType\":\"bad_data\",\"error\":\"" text "\"}"

UNIT_TEST(test_wrong_searches_are_refused)
{
    static const struct {
        const char *parameters, *error;
    } cases[] = {
        {"start=2&end=1&match[]={", BAD("end timestamp must not be before start timestamp")},
        {"start=x&end=y", BAD("invalid time value for 'start': cannot parse \\\"x\\\" to a valid "
                              "timestamp")},
        {"end=y&match[]={", BAD("invalid time value for 'end': cannot parse \\\"y\\\" to a valid "
                                "timestamp")},
        {"match[]={&limit=x", BAD("1:2: parse error: unexpected end of input inside braces")},
        {"case_sensitive=maybe", BAD("invalid case_sensitive \\\"maybe\\\": must be boolean")},
        {"fuzz_alg=subsequence", UNSUPPORTED("fuzz_alg \\\"subsequence\\\"")},
        {"fuzz_threshold=0", UNSUPPORTED("fuzz_threshold \\\"0\\\"")},
        {"include_score=true", UNSUPPORTED("include_score \\\"true\\\"")},
        {"sort_by=score&search[]=a", UNSUPPORTED("sort_by \\\"score\\\"")},
        {"sort_by=alpha&sort_dir=dsc", UNSUPPORTED("sort_dir \\\"dsc\\\"")},
        {"limit=10001", BAD("limit 10001 exceeds the configured maximum (10000, see "
                            "--web.search-max-limit)")},
        {"batch_size=x&limit=1", BAD("invalid batch_size \\\"x\\\": must be non-negative "
                                     "integer")},
        {"limit=-1", BAD("invalid limit \\\"-1\\\": must be non-negative integer")},
        {"batch_size=x", BAD("invalid batch_size \\\"x\\\": must be non-negative integer")},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[200];
        snprintf(target, sizeof target, NAMES "?%s", cases[i].parameters);
        api_ask(rig, &(struct asked){cases[i].parameters, HTTP_GET, target, NULL, NULL, 0, 400,
                                     JSON_TYPE, cases[i].error});
    }
    api_ask(rig, &(struct asked){"no label", HTTP_GET, "/api/v1/search/label_values?sort_by=alpha",
                                 NULL, NULL, 0, 400, JSON_TYPE,
                                 BAD("missing required parameter \\\"label\\\"")});
    api_ask(rig, &(struct asked){"no answer", HTTP_GET,
                                 "/api/v1/search/metric_names?include_metadata=x&sort_by=alpha",
                                 NULL, NULL, 0, 400, JSON_TYPE,
                                 BAD("invalid include_metadata \\\"x\\\": must be boolean")});
    api_rig_free(rig);
}

UNIT_TEST(test_at_most_32_terms_are_searched_for)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    char target[512] = NAMES "?limit=1";
    for (unsigned i = 0; i < 32; i++)
        strcat(target, "&search[]=n");
    expect(rig, target, "{\"results\":[{\"name\":\"name000\"}]}\n" MORE);
    strcat(target, "&search[]=");
    api_ask(rig, &(struct asked){"too many", HTTP_GET, target, NULL, NULL, 0, 400, JSON_TYPE,
                                 BAD("too many search[] terms: got 33, maximum is 32")});
    api_rig_free(rig);
}

UNIT_TEST(test_empty_terms_do_not_count)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    expect(rig, NAMES "?search[]=&search[]=2", "{\"results\":[{\"name\":\"name002\"}]}\n" END);
    api_rig_free(rig);
}

UNIT_TEST(test_the_most_that_may_be_asked_for_is_configured)
{
    struct api_rig *rig = api_rig_new();
    rig->limits.search_results_max = 2;
    api_rig_start(rig);
    expect(rig, NAMES, "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"}]}\n" MORE);
    api_ask(rig, &(struct asked){"more", HTTP_GET, NAMES "?limit=3", NULL, NULL, 0, 400, JSON_TYPE,
                                 BAD("limit 3 exceeds the configured maximum (2, see "
                                     "--web.search-max-limit)")});
    api_rig_free(rig);
    rig = api_rig_new();
    rig->limits.search_results_max = 0;
    api_rig_start(rig);
    expect(rig, NAMES "?limit=9223372036854775807",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"},{\"name\":\"name002\"}]}"
           "\n" END);
    api_rig_free(rig);
}

UNIT_TEST(test_an_error_is_sent_before_the_stream_or_in_its_last_line)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->ask_error = ERR_CORRUPT;
    api_ask(rig,
            &(struct asked){"before", HTTP_GET, NAMES, NULL, NULL, 0, 500, JSON_TYPE,
                            "\"errorType\":\"internal\",\"error\":\"the double says corrupt\"}"});
    expect(rig, NAMES "?batch_size=2",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"}]}\n"
           "{\"status\":\"error\",\"errorType\":\"internal\",\"error\":\"the double says "
           "corrupt\"}\n");
    rig->ask_error = ERR_CANCELED; /* the time is over, also for the rest of the answer */
    expect(rig, NAMES "?batch_size=2",
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"}]}\n"
           "{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"the double says "
           "canceled\"}\n");
    rig->ask_error = OK;
    rig->open_error = ERR_AGAIN;
    api_ask(rig, &(struct asked){"no view", HTTP_GET, NAMES, NULL, NULL, 0, 503, JSON_TYPE,
                                 "unavailable"});
    api_rig_free(rig);
}

UNIT_TEST(test_a_missing_page_is_a_warning)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    rig->names = 2;
    rig->warning = "page 7 is damaged";
    expect(rig, NAMES,
           "{\"results\":[{\"name\":\"name000\"},{\"name\":\"name001\"}],"
           "\"warnings\":[\"page 7 is damaged\"]}\n" END);
    expect(rig, NAMES "?batch_size=1",
           "{\"results\":[{\"name\":\"name000\"}]}\n{\"results\":[{\"name\":\"name001\"}]}\n"
           "{\"status\":\"success\",\"has_more\":false,\"warnings\":[\"page 7 is damaged\"]}\n");
    expect(rig, NAMES "?partial_response=false&limit=1",
           "{\"results\":[{\"name\":\"name000\"}]}\n" MORE);
    assert_false(rig->asked.partial);
    api_rig_free(rig);
}

UNIT_TEST(test_a_search_survives_any_failing_allocation)
{
    static const char *const targets[] = {
        NAMES "?search[]=name&limit=2&batch_size=1&match[]=up&case_sensitive=f",
        "/api/v1/search/label_values?label=a&search[]=NAM&case_sensitive=f"};
    for (unsigned i = 0; i < 2; i++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct api_rig *rig = api_rig_start(api_rig_new());
            struct http_request r;
            rig->names = 40;
            http_double_init(&r, HTTP_GET, targets[i], NULL, bytes_of("", 0));
            assert_true(api_rig_hand(rig, &r));
            mem_fail_nth(nth, false);
            api_rig_run(rig);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_not_equal(r.status, 0);
            if (!fired) assert_int_equal(r.status, 200);
            assert_true(!r.stream || r.ended);
            buf_fini(&r.text);
            api_rig_free(rig);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_come_in_batches_and_a_last_line),
        cmocka_unit_test(test_names_are_chosen_by_what_is_searched_for),
        cmocka_unit_test(test_search_asks_what_the_request_says),
        cmocka_unit_test(test_wrong_searches_are_refused),
        cmocka_unit_test(test_at_most_32_terms_are_searched_for),
        cmocka_unit_test(test_empty_terms_do_not_count),
        cmocka_unit_test(test_the_most_that_may_be_asked_for_is_configured),
        cmocka_unit_test(test_an_error_is_sent_before_the_stream_or_in_its_last_line),
        cmocka_unit_test(test_a_missing_page_is_a_warning),
        cmocka_unit_test(test_a_search_survives_any_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
