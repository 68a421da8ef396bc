/* api_web_test.c - paths of the routes, and origins whose pages may read from them. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

UNIT_TEST(test_paths_are_below_the_prefix_that_is_set)
{
    static const struct asked cases[] = {
        {"the API", HTTP_GET, "/keep/it/api/v1/label/job/values", NULL, NULL, 0, 200, JSON,
         "[\"name000\""},
        {"where others have it", HTTP_GET, "/keep/it/prometheus/api/v1/labels", NULL, NULL, 0, 200,
         JSON, "[\"name000\""},
        {"a page", HTTP_GET, "/keep/it/api/v1/status/flags", NULL, NULL, 0, 200, JSON, "{"},
        {"an alias", HTTP_POST, "/keep/it/receive", NULL, NULL, WRITE_V1, 204, NULL, NULL},
        {"a destination", HTTP_POST, "/keep/it/api/v1/admin/destinations/s3/pause", NULL, NULL, 0,
         204, NULL, NULL},
        {"no targets", HTTP_GET, "/keep/it/api/v1/targets", NULL, NULL, 0, 200, JSON, "[]"},
        {"health", HTTP_GET, "/keep/it/-/healthy", NULL, NULL, 0, 200, TEXT, "healthy"},
        {"the root", HTTP_GET, "/keep/it", NULL, NULL, 0, 200, TEXT, "Below /keep/it/:\n"},
        {"the root", HTTP_GET, "/keep/it/", NULL, NULL, 0, 200, TEXT, "Below /keep/it/:\n"},
        {"above it", HTTP_GET, "/", NULL, NULL, 0, 302, NULL, NULL, "Location: /keep/it/\n"},
    };
    static const char *const unknown[] = {"/api/v1/labels", "/prometheus/api/v1/labels", "/metrics",
                                          "/keep/it/prometheus/metrics", "/-/ready"};
    struct api_rig *rig = api_rig_new();
    rig->options.route_prefix = "/keep/it";
    api_rig_start(rig);
    api_ask_all(rig, cases);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct http_request r;
        http_double_init(&r, HTTP_GET, unknown[i], NULL, bytes_of("", 0));
        if (api_rig_hand(rig, &r)) fail_msg("%s", unknown[i]);
        buf_fini(&r.text);
    }
    api_rig_free(rig);
}

/* --- pages of other origins ------------------------------------------------------------------- */

#define ORIGIN  "Origin: https://a.example"
#define ALLOWED "Access-Control-Allow-Origin: https://a.example\n"

UNIT_TEST(test_pages_of_the_origins_that_are_set_may_read)
{
    static const struct asked cases[] = {
        {"an answer", HTTP_GET, "/api/v1/labels", ORIGIN, NULL, 0, 200, JSON, "data",
         "Vary: Origin\n"
         "Access-Control-Allow-Headers: Accept, Authorization, Content-Type, Origin\n"
         "Access-Control-Allow-Methods: GET, POST, OPTIONS\n"
         "Access-Control-Expose-Headers: Date\n" ALLOWED},
        {"a refusal", HTTP_GET, "/api/v1/labels?limit=x", ORIGIN, NULL, 0, 400, JSON, "limit",
         ALLOWED},
        {"a page", HTTP_GET, "/api/v1/status/buildinfo", ORIGIN, NULL, 0, 200, JSON, "data",
         ALLOWED},
        {"a preflight", HTTP_OPTIONS, "/api/v1/query", ORIGIN, NULL, 0, 204, NULL, NULL, ALLOWED},
        {"one of nothing", HTTP_OPTIONS, "/api/v1/nothing", ORIGIN, NULL, 0, 204, NULL, NULL,
         ALLOWED},
        {"of no origin", HTTP_OPTIONS, "/api/v1/query", NULL, NULL, 0, 204, NULL, NULL,
         "Vary: Origin\n"},
    };
    static const struct {
        const char *path, *headers;
    } not_allowed[] = {
        {"/api/v1/labels", "Origin: https://a.example.org"},
        {"/api/v1/labels", "Origin: https://a.example\thttps://b.example"},
        {"/api/v1/labels", NULL},
        {"/metrics", ORIGIN},
        {"/-/ready", ORIGIN},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.cors_origin = "https://(a|b).example";
    api_rig_start(rig);
    api_ask_all(rig, cases);
    for (size_t i = 0; i < sizeof not_allowed / sizeof *not_allowed; i++) {
        struct http_request r;
        api_rig_ask(rig, &r, HTTP_GET, not_allowed[i].path, not_allowed[i].headers,
                    bytes_of("", 0));
        assert_int_equal(r.status, 200);
        assert_null(strstr(r.answer_headers, "Allow-Origin"));
        buf_fini(&r.text);
    }
    api_rig_free(rig);
}

UNIT_TEST(test_an_invalid_expression_for_origins_is_refused)
{
    struct why why = {""};
    struct api_rig *rig = api_rig_new();
    rig->options.cors_origin = "(";
    assert_int_equal(api_new(&rig->options, &rig->limits, &rig->api, &why), ERR_INPUT);
    assert_string_not_equal(why.text, "");
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_below_the_prefix_that_is_set),
        cmocka_unit_test(test_pages_of_the_origins_that_are_set_may_read),
        cmocka_unit_test(test_an_invalid_expression_for_origins_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
