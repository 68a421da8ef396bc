/* api_web_test.c - paths of the routes, and what pages of other origins may do there. */
#include "auth/gate.h"
#include "lib/api/api_asked.h"
#include "lib/test.h"

UNIT_TEST(test_paths_are_below_the_prefix_that_is_set)
{
    static const struct asked cases[] = {
        {"the API", HTTP_GET, "/keep/it/api/v1/label/job/values", NULL, NULL, 0, 200, JSON_TYPE,
         "[\"name000\""},
        {"where others have it", HTTP_GET, "/keep/it/prometheus/api/v1/labels", NULL, NULL, 0, 200,
         JSON_TYPE, "[\"name000\""},
        {"a page", HTTP_GET, "/keep/it/api/v1/status/flags", NULL, NULL, 0, 200, JSON_TYPE, "{"},
        {"an alias", HTTP_POST, "/keep/it/receive", NULL, NULL, WRITE_V1, 204, NULL, NULL},
        {"a destination", HTTP_POST, "/keep/it/api/v1/admin/destinations/s3/pause", NULL, NULL, 0,
         204, NULL, NULL},
        {"no targets", HTTP_GET, "/keep/it/api/v1/targets", NULL, NULL, 0, 200, JSON_TYPE, "[]"},
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

UNIT_TEST(test_metrics_have_a_second_path_if_one_is_set)
{
    static const struct asked cases[] = {
        {"the second", HTTP_GET, "/keep/old/telemetry", NULL, NULL, 0, 200, TEXT, "firekeep_"},
        {"the first", HTTP_GET, "/keep/metrics", NULL, NULL, 0, 200, TEXT, "firekeep_"},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.route_prefix = "/keep";
    rig->options.telemetry_path = "/old/telemetry";
    api_rig_start(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

/* --- pages of other origins ------------------------------------------------------------------- */

#define ORIGIN  "Origin: https://a.example"
#define ALLOWED "Access-Control-Allow-Origin: https://a.example\n"

UNIT_TEST(test_pages_of_the_origins_that_are_set_may_read)
{
    static const struct asked cases[] = {
        {"an answer", HTTP_GET, "/api/v1/labels", ORIGIN, NULL, 0, 200, JSON_TYPE, "data",
         "Vary: Origin\n"
         "Access-Control-Allow-Headers: Accept, Authorization, Content-Type, Origin\n"
         "Access-Control-Allow-Methods: GET, POST, OPTIONS\n"
         "Access-Control-Expose-Headers: Date\n" ALLOWED},
        {"a refusal", HTTP_GET, "/api/v1/labels?limit=x", ORIGIN, NULL, 0, 400, JSON_TYPE, "limit",
         ALLOWED},
        {"a page", HTTP_GET, "/api/v1/status/buildinfo", ORIGIN, NULL, 0, 200, JSON_TYPE, "data",
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

UNIT_TEST(test_with_users_no_origin_is_allowed_unless_one_is_set)
{
    static const struct user_list none = {NULL, 0};
    for (unsigned i = 0; i < 8; i++) {
        bool is_set = i & 1, has_users = i & 2, is_user = i & 4;
        struct api_rig *rig = api_rig_new();
        struct users *users = NULL;
        struct http_request r;
        assert_int_equal(users_new(&none, NULL, NULL, &users, NULL), OK);
        struct user user = {.set = users, .name = "ann", .permissions = PERMISSIONS_ALL};
        rig->options.cors_origin = is_set ? "https://a.example" : "auto";
        rig->limits.has_users = has_users;
        api_rig_start(rig);
        http_double_init(&r, HTTP_GET, "/api/v1/labels", ORIGIN, bytes_of("", 0));
        r.sender = is_user ? &user : NULL;
        assert_true(api_rig_hand(rig, &r));
        api_rig_run(rig);
        assert_int_equal(r.status, 200);
        bool is_allowed = strstr(r.answer_headers, ALLOWED) != NULL;
        assert_int_equal(is_allowed, is_set || (!has_users && !is_user));
        assert_null(strstr(r.answer_headers, "Credentials"));
        buf_fini(&r.text);
        api_rig_free(rig);
        users_release(users);
    }
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

/* --- requests that pages of other origins make a browser send --------------------------------- */

/* Says whether a route takes bodies of all types: clients that send lines say they are forms. */
static bool
takes_forms(const char *path)
{
    static const char *const paths[] = {
        "/write",         "/api/v2/write",         "/api/v3/write_lp",
        "/influx/write",  "/influx/api/v2/write",  "/influx/api/v3/write_lp",
        "/api/put",       "/api/v1/import",        "/api/v1/import/prometheus",
        "/metrics/job/*", "/metrics/job@base64/*", "/api/v1/import/csv",
    };
    static const char prefix[] = "/prometheus";
    if (strncmp(path, prefix, sizeof prefix - 1) == 0) path += sizeof prefix - 1;
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++)
        if (strcmp(paths[i], path) == 0) return true;
    return false;
}

/* Sends a request with these headers to each route that changes something, by each method; all get
 * the status, or with 0 others than 403 and 415 for these reasons. */
static void
change_all(const char *headers, struct bytes body, unsigned status, unsigned least)
{
    static const enum http_method methods[] = {HTTP_POST, HTTP_PUT, HTTP_DELETE};
    struct api_rig *rig = api_rig_new();
    rig->options.external_url = "https://own.example/keep";
    rig->options.lifecycle = true;
    api_rig_start(rig);
    size_t count;
    const struct http_route *routes = api_routes(rig->api, &count);
    unsigned asked = 0;
    for (size_t i = 0; i < 3 * count; i++) {
        const struct http_route *route = &routes[i / 3];
        enum http_method method = methods[i % 3];
        struct http_request r;
        char path[200];
        if (!(route->methods & method) || !access_changes(route->access, method)) continue;
        if (status == 415 && takes_forms(route->path)) continue;
        snprintf(path, sizeof path, "%s", route->path);
        path[strcspn(path, "*")] = '\0';
        http_double_init(&r, method, path, headers, body);
        r.began_ns = env_monotonic_ns(rig->m.env);
        route->handler(route->context, &r);
        api_rig_run(rig);
        const char *text = http_double_text(&r);
        bool is_refused = strstr(text, "other origins") != NULL || strstr(text, "forms") != NULL;
        if (status == 0 ? is_refused : r.status != status || !is_refused)
            fail_msg("%s: %u %s", path, r.status, text);
        buf_fini(&r.text);
        asked++;
    }
    assert_true(asked >= least);
    api_rig_free(rig);
}

UNIT_TEST(test_pages_of_other_origins_change_nothing_by_any_route)
{
    enum { ROUTES = 30 };
    struct bytes none = bytes_of("", 0), body = bytes_of_text("a=b");
    change_all("Host: keep:9201\nOrigin: https://evil.example", none, 403, ROUTES);
    change_all("Host: keep:9201\nOrigin: null", none, 403, ROUTES);
    change_all("Host: keep:9201\nOrigin: http://keep:9201\nOrigin: http://x", none, 403, ROUTES);
    change_all("Host: keep:9201\n" FORM, body, 415, ROUTES);
    change_all("Host: keep:9201\n" PARTS, body, 415, ROUTES);
    change_all("Host: keep:9201\nContent-Type: text/plain", body, 415, ROUTES);
    change_all("Host: keep:9201\n" FORM, none, 0, ROUTES); /* curl -X POST -d '' */
    change_all("Host: keep:9201\nOrigin: http://keep:9201", none, 0, ROUTES);
    change_all("Host: keep:9201\nOrigin: https://own.example", none, 0, ROUTES);
}

UNIT_TEST(test_forms_may_read)
{
    static const struct asked cases[] = {
        {"a query", HTTP_POST, "/api/v1/labels", FORM "\nOrigin: https://a.example", "limit=1", 0,
         200, JSON_TYPE, "data"},
        {"names", HTTP_POST, "/api/v1/labels", FORM, "limit=1", 0, 200, JSON_TYPE, "data"},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_below_the_prefix_that_is_set),
        cmocka_unit_test(test_metrics_have_a_second_path_if_one_is_set),
        cmocka_unit_test(test_pages_of_the_origins_that_are_set_may_read),
        cmocka_unit_test(test_with_users_no_origin_is_allowed_unless_one_is_set),
        cmocka_unit_test(test_an_invalid_expression_for_origins_is_refused),
        cmocka_unit_test(test_pages_of_other_origins_change_nothing_by_any_route),
        cmocka_unit_test(test_forms_may_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
