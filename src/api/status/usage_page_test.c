/* usage_page_test.c - the page about the use of metrics, over requests that use them. */
#include "lib/api/api_rig.h"

/* Asks, and checks the status and a part of the answer. */
static void
ask(struct api_rig *rig, const char *path, unsigned status, const char *part)
{
    struct http_request r;
    api_rig_ask(rig, &r, HTTP_GET, path, NULL, bytes_of("", 0));
    if (r.status != status || strstr(http_double_text(&r), part) == NULL)
        fail_msg("%s: %u %s", path, r.status, http_double_text(&r));
    buf_fini(&r.text);
}

UNIT_TEST(test_requests_count_as_queries_or_lookups_unless_they_ask_not_to)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    ask(rig, "/api/v1/status/metric_usage", 200, "\"exact\":true,\"metrics\":[],\"leftOff\":0}");
    ask(rig, "/api/v1/query?query=up", 200, "success");
    ask(rig, "/api/v1/query?query=up*up", 200, "success");
    ask(rig, "/api/v1/query?query=up&count_usage=false", 200, "success");
    ask(rig, "/api/v1/query?query=up&count_usage=x", 400, "count_usage");
    ask(rig, "/api/v1/explain?query=up", 200, "success");
    ask(rig, "/api/v1/series?match[]=up", 200, "success");
    ask(rig, "/api/v1/labels?match[]=other", 200, "success");
    ask(rig, "/api/v1/labels?match[]={job=\"node\"}", 200, "success");
    ask(rig, "/api/v1/status/metric_usage", 200,
        "{\"metric\":\"up\",\"queries\":2,\"rules\":0,\"lookups\":1,\"last\":");
    ask(rig, "/api/v1/status/metric_usage", 200,
        "{\"metric\":\"other\",\"queries\":0,\"rules\":0,\"lookups\":1,\"last\":");
    api_rig_free(rig);
}

/* The store has one series, of `up`. */
UNIT_TEST(test_selectors_without_a_name_count_the_names_of_their_series)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    static const char *const questions[] = {
        "/api/v1/query?query={job=\"node\"}", "/api/v1/query?query={job=\"node\"}[5m]",
        "/api/v1/query?query=rate({job=\"node\"}[5m])", "/federate?match[]={job=\"node\"}"};
    for (unsigned i = 0; i < sizeof questions / sizeof *questions; i++) {
        char part[64];
        ask(rig, questions[i], 200, "");
        snprintf(part, sizeof part, "{\"metric\":\"up\",\"queries\":%u,\"rules\":0,", i + 1);
        ask(rig, "/api/v1/status/metric_usage", 200, part);
    }
    api_rig_free(rig);
}

UNIT_TEST(test_the_page_of_usage_lists_the_most_used_or_one_metric)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    ask(rig, "/api/v1/query?query=a", 200, "success");
    ask(rig, "/api/v1/query?query=b", 200, "success");
    ask(rig, "/api/v1/query?query=b", 200, "success");
    ask(rig, "/api/v1/status/metric_usage?limit=1", 200, "\"metrics\":[{\"metric\":\"b\"");
    ask(rig, "/api/v1/status/metric_usage?limit=1", 200, "}],\"leftOff\":1}");
    ask(rig, "/api/v1/status/metric_usage?metric=a", 200, "\"metrics\":[{\"metric\":\"a\"");
    ask(rig, "/api/v1/status/metric_usage?metric=c", 200, "\"metrics\":[],\"leftOff\":0}");
    ask(rig, "/api/v1/status/metric_usage?limit=0", 400, "limit must be a positive number");
    ask(rig, "/api/v1/status/metric_usage?limit=100001", 400, "limit must not exceed 100000");
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_count_as_queries_or_lookups_unless_they_ask_not_to),
        cmocka_unit_test(test_selectors_without_a_name_count_the_names_of_their_series),
        cmocka_unit_test(test_the_page_of_usage_lists_the_most_used_or_one_metric),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
