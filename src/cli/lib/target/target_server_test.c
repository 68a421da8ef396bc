/* target_server_test.c - requests to a server, and what their answers mean, against a server that
 * plays scripted answers. */
#include "cli/lib/target/target.h"

#include "cli/lib/query.h"
#include "lib/net/http_player.h"
#include "model/select.h"

#define EMPTY(status)    "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"
#define WRITTEN(kind, n) "X-Prometheus-Remote-Write-" kind "-Written: " n "\r\n"
#define NO_ROUTE_PREFIX  "; --url must end with the server's web.route_prefix"
#define JSON_ERROR       "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"no such time\"}"
#define ERROR_OF_API     "HTTP/1.1 422 No\r\nContent-Length: 64\r\n\r\n" JSON_ERROR
#define DELETED(content) "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" content

static struct player player;
static struct target *target;
static char url[100];
static struct why why;

/* Opens a server's root, or that URL with a path. */
static void
open_target(const char *tenant, const char *path, unsigned count, const char *const *answers)
{
    player_start(&player, count, answers);
    snprintf(url, sizeof url, "%.*s%s", (int)(strrchr(player.url, '/') - player.url), player.url,
             path);
    const struct target_options options = {.url = url, .tenant = tenant};
    assert_int_equal(target_open(&options, &target, &why), OK);
    assert_string_equal(target->name, url);
}

static void
close_target(void)
{
    player_stop(&player);
    target_free(target);
}

static enum err
write_to(enum rw_version version, struct target_result *ret_result)
{
    static const struct target_counts counts = {{4, 2, 3}};
    *ret_result = (struct target_result){.too_large = false};
    return target_write(target, version, bytes_of_text("message"), bytes_of(NULL, 0), &counts,
                        ret_result, &why);
}

/* The last request has this first line and header; a NULL for "not there". */
static void
check_seen(const char *line, const char *header, const char *missing)
{
    assert_int_equal(strncmp(player.seen, line, strlen(line)), 0);
    if (header != NULL && strstr(player.seen, header) == NULL) fail_msg("%s", player.seen);
    if (missing != NULL) assert_null(strstr(player.seen, missing));
}

/* --- requests --------------------------------------------------------------------------------- */

static void
check_requests(const char *tenant, const char *header, const char *missing)
{
    static const char *const answers[] = {
        EMPTY("204 OK"),
        EMPTY("404 Not Found"),
        EMPTY("404 Not Found"),
        DELETED("{\"status\":\"success\",\"samples\":7}"),
    };
    struct target_result result;
    struct bytes selector = bytes_of_text("up{a=\"b\"}");
    struct query_parameters asked = {.expression = bytes_of_text("up")};
    struct query_failure failure = {.bad_question = false};
    struct query_sink sink = {.ops = NULL}; /* not called */
    struct buf answer;
    uint64_t samples;
    unsigned status;
    open_target(tenant, "", 4, answers);
    assert_int_equal(write_to(RW_V1, &result), OK);
    check_seen("POST /api/v1/write HTTP/1.1\r\n", header, missing);
    buf_init(&answer, NULL, 1000);
    buf_init(&failure.sentence, NULL, 1000);
    assert_int_equal(target_fetch(target, "/api/v1/rules?type=alert", &answer, &status, &why), OK);
    assert_int_equal(status, 404);
    check_seen("GET /api/v1/rules?type=alert HTTP/1.1\r\n", header, missing);
    assert_int_not_equal(target_query(target, &asked, &sink, &failure, &why), OK);
    check_seen("POST /api/v1/query HTTP/1.1\r\n", header, missing);
    assert_int_equal(target_delete(target, &selector, 1, 1000, 2500, &samples, &why), OK);
    assert_int_equal(samples, 7);
    check_seen("POST /api/v1/admin/tsdb/delete_series?start=1&end=2.5&match%5B%5D="
               "up%7Ba%3D%22b%22%7D HTTP/1.1\r\n",
               header, missing);
    assert_non_null(strstr(player.seen, "\r\nContent-Length: 0\r\n"));
    buf_fini(&failure.sentence);
    buf_fini(&answer);
    close_target();
}

UNIT_TEST(test_each_request_names_the_tenant)
{
    check_requests("team-1", "\r\nX-Scope-OrgID: team-1\r\n", NULL);
    check_requests(NULL, NULL, "X-Scope-OrgID");
}

UNIT_TEST(test_a_read_names_the_tenant)
{
    static const char *const answers[] = {EMPTY("404 Not Found")};
    struct matcher *matcher;
    open_target("team-1", "", 1, answers);
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("a"), bytes_of_text("b"), NULL, &matcher, &why), OK);
    const struct selector selector = {.matchers = {matcher}, .count = 1};
    assert_int_not_equal(target_read(target, &selector, 0, 1000, NULL, &why), OK);
    check_seen("POST /api/v1/read HTTP/1.1\r\n", "\r\nX-Scope-OrgID: team-1\r\n", NULL);
    matcher_free(matcher);
    close_target();
}

/* A rule is compared with the samples of the server's store, not with those of its sources. */
UNIT_TEST(test_a_read_of_stored_samples_leaves_out_sources)
{
    static const char *const answers[] = {EMPTY("404 Not Found"), EMPTY("404 Not Found")};
    const struct matcher_set all = {.count = 0};
    open_target(NULL, "", 2, answers);
    for (int stored = 0; stored < 2; stored++) {
        const struct query_request request = {
            .sets = &all, .set_count = 1, .max_ms = 1000, .stored = stored, .partial = !stored};
        struct view *view;
        struct series_set *set;
        assert_int_equal(view_open(target->answerer, NULL, &view, &why), OK);
        assert_int_not_equal(view_select(view, &request, &set, &why), OK);
        view_free(view);
        check_seen("POST /api/v1/read HTTP/1.1\r\n",
                   stored ? "\r\nX-Firekeep-Sources: none\r\n" : NULL,
                   stored ? NULL : "X-Firekeep-Sources");
        check_seen("", stored ? "X-Firekeep-Notices: errors" : "X-Firekeep-Notices: partial", NULL);
    }
    close_target();
}

UNIT_TEST(test_a_write_says_its_version_and_goes_to_the_page_that_is_given)
{
    static const char *const answers[] = {
        EMPTY("204 OK"), "HTTP/1.1 204 OK\r\n" WRITTEN("Samples", "4") WRITTEN("Histograms", "2")
                             WRITTEN("Exemplars", "3") "\r\n"};
    struct target_result result;
    open_target(NULL, "/there/api/v1/push", 2, answers);
    assert_int_equal(write_to(RW_V1, &result), OK);
    check_seen("POST /there/api/v1/push HTTP/1.1\r\n",
               "\r\nContent-Type: application/x-protobuf\r\n", NULL);
    check_seen("", "\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n", NULL);
    check_seen("", "\r\nContent-Encoding: snappy\r\n", NULL);
    if (write_to(RW_V2, &result)) fail_msg("%s", why.text);
    assert_string_equal(result.text, "");
    check_seen("POST /there/api/v1/push HTTP/1.1\r\n",
               "\r\nContent-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n",
               NULL);
    check_seen("", "\r\nX-Prometheus-Remote-Write-Version: 2.0.0\r\n", NULL);
    close_target();
}

UNIT_TEST(test_a_query_is_sent_with_all_that_is_asked)
{
    static const char *const answers[] = {EMPTY("404 Not Found"), EMPTY("404 Not Found")};
    struct query_parameters asked = {.expression = bytes_of_text("a{b=\"c\"}"), .first_ms = 1500};
    struct query_failure failure = {.bad_question = false};
    struct query_sink sink = {.ops = NULL}; /* not called */
    buf_init(&failure.sentence, NULL, 1000);
    open_target(NULL, "/prefix/", 2, answers);
    assert_int_not_equal(target_query(target, &asked, &sink, &failure, &why), OK);
    check_seen("POST /prefix/api/v1/query HTTP/1.1\r\n",
               "\r\n\r\nquery=a%7Bb%3D%22c%22%7D&time=1.5", "&limit");
    asked.last_ms = 3000;
    asked.step_ms = 500;
    asked.lookback_ms = 60000;
    asked.timeout_ms = 7000;
    asked.limit = 12;
    assert_int_not_equal(target_query(target, &asked, &sink, &failure, &why), OK);
    check_seen("POST /prefix/api/v1/query_range HTTP/1.1\r\n",
               "\r\n\r\nquery=a%7Bb%3D%22c%22%7D&start=1.5&end=3&step=500ms"
               "&lookback_delta=60000ms&timeout=7000ms&limit=12",
               NULL);
    buf_fini(&failure.sentence);
    close_target();
}

/* --- answers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_the_answer_to_a_write_says_what_is_stored)
{
    static const struct {
        const char *answer;
        uint64_t rejected[LEDGER_KIND_COUNT];
        const char *text;
        bool too_large;
    } cases[] = {
        {EMPTY("200 OK"), {0, 0, 0}, "", false},
        {"HTTP/1.1 200 OK\r\n" WRITTEN("Exemplars", "1") "Content-Length: 0\r\n\r\n",
         {0, 0, 2},
         "2 exemplars; the server's log has the reasons",
         false},
        {"HTTP/1.1 200 OK\r\n" WRITTEN("Samples", "3") "Content-Length: 0\r\n\r\n",
         {1, 0, 0},
         "the server did not store all of it",
         false},
        {"HTTP/1.1 400 Bad\r\n" WRITTEN("Samples", "1") WRITTEN("Histograms", "2")
             WRITTEN("Exemplars", "9") "Content-Length: 8\r\n\r\nconflict",
         {3, 0, 0},
         "conflict",
         false},
        {"HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad", {4, 2, 3}, "bad", false},
        {"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig", {4, 2, 3}, "big", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct target_result result;
        open_target(NULL, "", 1, &cases[i].answer);
        assert_int_equal(write_to(RW_V1, &result), OK);
        assert_memory_equal(result.rejected.of, cases[i].rejected, sizeof cases[i].rejected);
        assert_string_equal(result.text, cases[i].text);
        assert_int_equal(result.too_large, cases[i].too_large);
        close_target();
    }
}

UNIT_TEST(test_a_refusal_names_the_url_the_status_and_what_to_do)
{
    static const struct {
        const char *answer;
        enum rw_version version;
        const char *text; /* after the URL */
    } cases[] = {
        {EMPTY("404 Not Found"), RW_V1, ": status 404: no explanation" NO_ROUTE_PREFIX},
        {"HTTP/1.1 401 No\r\nContent-Length: 28\r\n\r\nmissing header X-Scope-OrgID", RW_V1,
         ": status 401: missing header X-Scope-OrgID; use --tenant"},
        {"HTTP/1.1 401 No\r\nContent-Length: 4\r\n\r\nwho?", RW_V1,
         ": status 401: who?; use --http.config.file, or a URL with a user"},
        {ERROR_OF_API, RW_V1, ": status 422: no such time"},
        {EMPTY("204 OK"), RW_V2, " does not support remote write 2.0; use --protocol=1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[300];
        struct target_result result;
        open_target(NULL, "", 1, &cases[i].answer);
        assert_int_equal(write_to(cases[i].version, &result), ERR_INPUT);
        snprintf(wanted, sizeof wanted, "%s/api/v1/write%s", url, cases[i].text);
        assert_string_equal(why.text, wanted);
        close_target();
    }
}

UNIT_TEST(test_each_request_has_the_credentials_and_no_error_shows_them)
{
    static const char header[] = "\r\nAuthorization: Basic bWU6aHVzaA==\r\n"; /* me:hush */
    static const char *const answers[] = {EMPTY("404 Not Found"), EMPTY("404 Not Found"),
                                          EMPTY("404 Not Found"), EMPTY("404 Not Found")};
    struct target_result result;
    struct bytes selector = bytes_of_text("up");
    struct query_parameters asked = {.expression = bytes_of_text("up")};
    struct query_failure failure = {.bad_question = false};
    struct query_sink sink = {.ops = NULL}; /* not called */
    uint64_t samples;
    struct matcher *matcher;
    char with_user[120];
    player_start(&player, 4, answers);
    char *host = strstr(player.url, "://") + 3;
    snprintf(with_user, sizeof with_user, "http://me:hush@%.*s", (int)strcspn(host, "/"), host);
    struct target_options options = {.url = with_user, .tenant = "team-1"};
    assert_int_equal(target_settle(&options, &why), OK);
    assert_null(strstr(options.plain_url, "hush"));
    assert_int_equal(target_open(&options, &target, &why), OK);
    assert_string_equal(target->name, options.plain_url);
    assert_int_equal(write_to(RW_V1, &result), ERR_INPUT);
    assert_null(strstr(why.text, "hush"));
    check_seen("POST /api/v1/write ", header, NULL);
    check_seen("POST /api/v1/write ", "\r\nX-Scope-OrgID: team-1\r\n", NULL);
    buf_init(&failure.sentence, NULL, 1000);
    assert_int_not_equal(target_query(target, &asked, &sink, &failure, &why), OK);
    check_seen("POST /api/v1/query ", header, NULL);
    buf_fini(&failure.sentence);
    assert_int_not_equal(target_delete(target, &selector, 1, 0, 1, &samples, &why), OK);
    check_seen("POST /api/v1/admin/tsdb/delete_series?", header, NULL);
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("a"), bytes_of_text("b"), NULL, &matcher, &why), OK);
    const struct selector read = {.matchers = {matcher}, .count = 1};
    assert_int_not_equal(target_read(target, &read, 0, 1000, NULL, &why), OK);
    assert_null(strstr(why.text, "hush"));
    check_seen("POST /api/v1/read ", header, NULL);
    matcher_free(matcher);
    close_target();
}

UNIT_TEST(test_an_invalid_url_is_refused_and_a_client_file_requires_a_url)
{
    struct target_options options = {.url = "host:9201"};
    assert_int_equal(target_open(&options, &target, &why), ERR_INPUT);
    assert_string_equal(why.text,
                        "--url: expected a URL, http://, https:// or unix:PATH, got 'host:9201'; "
                        "did you mean http://host:9201?");
    options = (struct target_options){.storage = "/nowhere", .http_config_file = "/nowhere"};
    assert_int_equal(target_open(&options, &target, &why), ERR_INPUT);
    assert_string_equal(why.text, "--http.config.file requires --url");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_request_names_the_tenant),
        cmocka_unit_test(test_a_read_names_the_tenant),
        cmocka_unit_test(test_a_read_of_stored_samples_leaves_out_sources),
        cmocka_unit_test(test_a_query_is_sent_with_all_that_is_asked),
        cmocka_unit_test(test_a_write_says_its_version_and_goes_to_the_page_that_is_given),
        cmocka_unit_test(test_the_answer_to_a_write_says_what_is_stored),
        cmocka_unit_test(test_a_refusal_names_the_url_the_status_and_what_to_do),
        cmocka_unit_test(test_each_request_has_the_credentials_and_no_error_shows_them),
        cmocka_unit_test(test_an_invalid_url_is_refused_and_a_client_file_requires_a_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
