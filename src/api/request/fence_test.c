/*
 * fence_test.c - extra_filters[], extra_label and the user's read_matchers on each route that
 * reads.
 *
 * Two servers whose data differ only in hidden series give the same answers, byte for byte.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/request/read_request.h"
#include "lib/api/api_asked.h"
#include "views/stack.h"

/* --- a server --------------------------------------------------------------------------------- */

static struct answerer *store; /* below the answerer of the test */

/* Opens a view like that of the process, which has a store and no sources. */
static enum err
fenced_open(struct answerer *answerer, struct query_control *control, struct view **ret,
            struct why *why)
{
    struct view *view;
    (void)answerer;
    enum err e = view_open(store, control, &view, why);
    return e ? e : view_stack_merge(view, NULL, 0, control, ret, why);
}

static void
fenced_range(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    (void)answerer;
    store->ops->range(store, ret_min_ms, ret_max_ms);
}

static const struct answerer_ops fenced_ops = {.open = fenced_open, .range = fenced_range};
static struct answerer fenced;

static struct api_rig *
begin(const char *replica_labels)
{
    struct api_rig *rig = api_rig_new();
    store = tsdb_answerer(rig->m.db);
    fenced = *store;
    fenced.ops = &fenced_ops;
    fenced.restricts = true;
    rig->options.answerer = &fenced;
    rig->limits.query.cache_bytes = 1 << 20;
    snprintf(rig->limits.query.replica_labels, REPLICA_NAMES_BYTES, "%s", replica_labels);
    return api_rig_start(rig);
}

/* Writes a series with a sample in each of the last twenty seconds. */
static void
write_series(struct api_rig *rig, const char *labels, double first)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    for (unsigned i = 0; i < 20; i++)
        rq_float(&rq, SIM_BEGIN - 20000 + i * 1000, double_bits(first + i), 0);
    rq_exemplar(&rq, SIM_BEGIN - 1000, double_bits(first), "trace=1");
    rq_close(&rq);
    must(machine_send(&rig->m, "anonymous", &rq));
    rq_fini(&rq);
    machine_commit(&rig->m);
}

static void
write_metadata(struct api_rig *rig, enum metric_type type, const char *family)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_metadata(&rq, type, family, "helps", "");
    must(machine_send(&rig->m, "anonymous", &rq));
    rq_fini(&rq);
    machine_commit(&rig->m);
}

static void
write_visible(struct api_rig *rig)
{
    write_series(rig, "__name__=up,job=x,team=a", 100);
    write_series(rig, "__name__=up,job=y,team=a", 200);
    write_series(rig, "__name__=requests_total,team=a", 300);
    write_metadata(rig, METRIC_GAUGE, "up");
    write_metadata(rig, METRIC_COUNTER, "requests");
}

static void
write_hidden(struct api_rig *rig)
{
    write_series(rig, "__name__=up,job=x,secret=s,team=b", 700);
    write_series(rig, "__name__=up,Above=1", 800);
    write_series(rig, "__name__=hidden_total,team=b", 900);
    write_series(rig, "__name__=requests_total,team=c", 900);
    write_metadata(rig, METRIC_COUNTER, "hidden_total");
}

#define FENCE   "extra_label=team=a"
#define ONE     "{\"__name__\":\"up\",\"job\":\"x\",\"team\":\"a\"}"
#define TWO     "{\"__name__\":\"up\",\"job\":\"y\",\"team\":\"a\"}"
#define THREE   "{\"__name__\":\"requests_total\",\"team\":\"a\"}"
#define DATA(x) "\"data\":" x "}"
#define FAR     "start=0&end=2000000000"

/* --- noninterference -------------------------------------------------------------------------- */

/* Each route that reads, and what an asker may try. */
static const char *const targets[] = {
    "/api/v1/query?query=up",
    "/api/v1/query?query={__name__=~\".+\"}",
    "/api/v1/query?query={team!=\"a\"}",
    "/api/v1/query?query=up{team=\"b\"}",
    "/api/v1/query?query=up{team=~\"a|b\"} or hidden_total",
    "/api/v1/query?query=count({__name__!=\"\"})",
    "/api/v1/query?query=absent(hidden_total)",
    "/api/v1/query?query=rate(requests_total[20s])&stats=all",
    "/api/v1/query?query=topk(1,up)",
    "/api/v1/query?query=label_replace(up,\"team\",\"b\",\"\",\"\")",
    "/api/v1/query?query=count_over_time({team=\"b\"}[1h:1s])",
    "/api/v1/query?query=up&limit=1",
    "/api/v1/query?query=scalar(up)",
    "/api/v1/query?query=up * on(job) up",
    "/api/v1/query_range?query=up&step=1&start=1767225580&end=1767225600",
    "/api/v1/query_range?query=sum(up)&step=5&start=1767225580&end=1767225600",
    "/api/v1/query_range?query={team=\"b\"}&step=5&start=1767225580&end=1767225600",
    "/api/v1/explain?query=up",
    "/api/v1/explain?query=sum(rate(requests_total[5m]))",
    "/api/v1/explain?query={team=\"b\"}",
    "/api/v1/labels?x",
    "/api/v1/labels?limit=2",
    "/api/v1/labels?match[]=up",
    "/api/v1/labels?match[]={team=\"b\"}",
    "/api/v1/labels?" FAR,
    "/api/v1/label/team/values?x",
    "/api/v1/label/team/values?match[]=hidden_total",
    "/api/v1/label/secret/values?" FAR,
    "/api/v1/label/__name__/values?limit=1",
    "/api/v1/series?match[]=up",
    "/api/v1/series?match[]={team=~\".*\",__name__=~\".+\"}&limit=2",
    "/api/v1/series?match[]=hidden_total&match[]=requests_total",
    "/api/v1/query_exemplars?query=up&" FAR,
    "/api/v1/query_exemplars?query={team=\"b\"}&" FAR,
    "/api/v1/search/metric_names?include_metadata=true",
    "/api/v1/search/metric_names?search[]=hidden&case_sensitive=false",
    "/api/v1/search/metric_names?limit=1&sort_by=alpha",
    "/api/v1/search/label_names?x",
    "/api/v1/search/label_values?label=team",
    "/api/v1/metadata?x",
    "/api/v1/metadata?limit=1",
    "/api/v1/metadata?metric=hidden_total",
    "/api/v1/metadata?metric=requests",
    "/federate?match[]={__name__=~\".+\"}",
    "/federate?match[]=hidden_total&match[]=up",
    "/api/v1/status/tsdb?x",
    "/api/v1/rules?x",
};

static const char *const fences[] = {
    FENCE,
    "extra_filters[]={team=\"a\"}",
    "extra_filters={team=\"a\",job=\"x\"}&extra_filters[]={team=\"a\",job!=\"x\"}",
    "extra_filters[]={team=\"a\",job=\"x\" or team=\"a\",job!=\"x\"}",
    "extra_filters[]={team=~\"a|b\"}&" FENCE,
    "extra_filters[]={job=\"x\"}&" FENCE,
};

static void
answer_to(struct api_rig *rig, const char *target, const char *fence, struct http_request *r)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s&%s", target, fence);
    store = tsdb_answerer(rig->m.db);
    api_rig_ask(rig, r, HTTP_GET, whole, NULL, bytes_of(NULL, 0));
}

/* Asks both servers the same. */
static void
compare_answers(struct api_rig *without, struct api_rig *with, const char *target,
                const char *fence)
{
    struct http_request a, b;
    answer_to(without, target, fence, &a);
    answer_to(with, target, fence, &b);
    bool same = a.status == b.status && bytes_equal(buf_bytes(&a.text), buf_bytes(&b.text)) &&
                strcmp(a.answer_headers, b.answer_headers) == 0;
    if (!same) {
        fail_msg("%s&%s\n%u %s\n%u %s", target, fence, a.status, http_double_text(&a), b.status,
                 http_double_text(&b));
    }
    assert_null(strstr(http_double_text(&b), "secret"));
    buf_fini(&a.text);
    buf_fini(&b.text);
}

/* Returns a request to read all series until now. */
static struct bytes
read_all_message(bool streamed)
{
    struct buf matcher, query, message;
    buf_init(&matcher, NULL, 1000);
    buf_init(&query, NULL, 1000);
    buf_init(&message, NULL, 1000);
    rq_number(&query, 2, (uint64_t)SIM_BEGIN);
    rq_number(&matcher, 1, MATCH_REGEX);
    rq_field(&matcher, 2, text("__name__"));
    rq_field(&matcher, 3, text(".+"));
    rq_field(&query, 3, buf_bytes(&matcher));
    rq_field(&message, 1, buf_bytes(&query));
    if (streamed) rq_number(&message, 2, 1);
    struct bytes done = api_packed(&message);
    buf_fini(&matcher);
    buf_fini(&query);
    buf_fini(&message);
    return done;
}

static void
compare_reads(struct api_rig *without, struct api_rig *with, bool streamed)
{
    struct http_request a, b;
    struct bytes message = read_all_message(streamed);
    store = tsdb_answerer(without->m.db);
    api_rig_ask(without, &a, HTTP_POST, "/api/v1/read?" FENCE, NULL, message);
    store = tsdb_answerer(with->m.db);
    api_rig_ask(with, &b, HTTP_POST, "/api/v1/read?" FENCE, NULL, message);
    assert_int_equal(a.status, 200);
    assert_int_equal(b.status, 200);
    assert_true(a.text.size > 50);
    assert_true(bytes_equal(buf_bytes(&a.text), buf_bytes(&b.text)));
    buf_fini(&a.text);
    buf_fini(&b.text);
    free((void *)(uintptr_t)message.at);
}

static void
compare_servers(struct api_rig *without, struct api_rig *with)
{
    for (unsigned f = 0; f < sizeof fences / sizeof *fences; f++) {
        for (unsigned i = 0; i < sizeof targets / sizeof *targets; i++)
            for (unsigned again = 0; again < 2; again++)
                compare_answers(without, with, targets[i], fences[f]);
    }
    compare_reads(without, with, false);
    compare_reads(without, with, true);
}

UNIT_TEST(test_hidden_series_change_no_answer_of_any_route)
{
    for (unsigned limited = 0; limited < 2; limited++) {
        struct api_rig *without = begin(""), *with = begin("");
        struct api_rig *both[] = {without, with};
        write_hidden(with);
        for (unsigned i = 0; i < 2; i++) {
            struct api_limits *l = &both[i]->limits;
            write_visible(both[i]);
            /* As many as are visible. */
            if (limited) l->read_series_max = l->query.series_max = 3;
            if (limited) l->query.samples_read_max = 60;
            api_set_limits(both[i]->api, l);
        }
        compare_servers(without, with);
        machine_flush(&without->m);
        machine_flush(&with->m);
        compare_servers(without, with);
        api_rig_free(with);
        api_rig_free(without);
    }
}

/* --- each route ------------------------------------------------------------------------------- */

UNIT_TEST(test_each_route_that_reads_is_restricted)
{
    static const struct asked cases[] = {
        {"a query", HTTP_GET, "/api/v1/query?query=count(up)&" FENCE, NULL, NULL, 0, 200, JSON_TYPE,
         "\"2\""},
        {"in a form", HTTP_POST, "/api/v1/query", FORM, "query=count(up)&extra_label=team%3Da", 0,
         200, JSON_TYPE, "\"2\""},
        {"alternatives", HTTP_GET,
         "/api/v1/query?query=count(up)&extra_filters[]={team=\"a\",job=\"x\"}&"
         "extra_filters[]={team=\"b\"}",
         NULL, NULL, 0, 200, JSON_TYPE, "\"2\""},
        {"alternatives in a selector", HTTP_GET,
         "/api/v1/query?query=count(up)&extra_filters[]={team=\"a\",job=\"x\" or team=\"b\"}", NULL,
         NULL, 0, 200, JSON_TYPE, "\"2\""},
        {"with a label", HTTP_GET,
         "/api/v1/query?query=count(up)&extra_filters[]={job=\"x\"}&extra_filters[]={job=\"y\"}&"
         "extra_label=team=b",
         NULL, NULL, 0, 200, JSON_TYPE, "\"1\""},
        {"several labels", HTTP_GET, "/api/v1/query?query=count(up)&extra_label=job=x&" FENCE, NULL,
         NULL, 0, 200, JSON_TYPE, "\"1\""},
        {"no label", HTTP_GET, "/api/v1/query?query=up&extra_label=team=", NULL, NULL, 0, 200,
         JSON_TYPE, "\"Above\":\"1\""},
        {"a form does not widen a URL", HTTP_POST, "/api/v1/query?" FENCE, FORM,
         "query=count(up)&extra_filters%5B%5D=%7Bteam%3D~%22.*%22%7D", 0, 200, JSON_TYPE, "\"2\""},
        {"nor replaces a label", HTTP_POST, "/api/v1/query?" FENCE, FORM,
         "query=up&extra_label=team%3Db", 0, 200, JSON_TYPE, "\"result\":[]"},
        {"series", HTTP_GET, "/api/v1/series?match[]=up&" FENCE, NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[" ONE "," TWO "]")},
        {"series in a form", HTTP_POST, "/api/v1/series", FORM,
         "match%5B%5D=up&extra_label=job%3Dy", 0, 200, JSON_TYPE, DATA("[" TWO "]")},
        {"names", HTTP_GET, "/api/v1/labels?" FENCE, NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[\"__name__\",\"job\",\"team\"]")},
        {"values", HTTP_GET, "/api/v1/label/team/values?" FENCE, NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[\"a\"]")},
        {"exemplars", HTTP_GET, "/api/v1/query_exemplars?query=requests_total&" FENCE, NULL, NULL,
         0, 200, JSON_TYPE,
         DATA("[{\"seriesLabels\":" THREE ",\"exemplars\":[{\"labels\":"
              "{\"trace\":\"1\"},\"value\":\"300\",\"timestamp\":1767225599}]}]")},
        {"a search", HTTP_GET, "/api/v1/search/metric_names?search[]=hidden&" FENCE, NULL, NULL, 0,
         200, "application/x-ndjson", "{\"status\":\"success\",\"has_more\":false}"},
        {"metadata", HTTP_GET, "/api/v1/metadata?" FENCE, NULL, NULL, 0, 200, JSON_TYPE,
         DATA("{\"requests\":[{\"type\":\"counter\",\"help\":\"helps\",\"unit\":\"\"}],"
              "\"up\":[{\"type\":\"gauge\",\"help\":\"helps\",\"unit\":\"\"}]}")},
        {"federation", HTTP_GET, "/federate?match[]=requests_total&" FENCE, NULL, NULL, 0, 200,
         TEXT, "requests_total{team=\"a\",instance=\"\"} 319 1767225599000\n"},
        {"a plan", HTTP_GET, "/api/v1/explain?query=up&analyze=true&" FENCE, NULL, NULL, 0, 200,
         JSON_TYPE, "\"result_series\":2,"},
        {"no data", HTTP_GET, "/api/v1/format_query?query=up&" FENCE, NULL, NULL, 0, 200, JSON_TYPE,
         DATA("\"up\"")},
        {"statistics of all series", HTTP_GET, "/api/v1/status/tsdb?" FENCE, NULL, NULL, 0, 403,
         JSON_TYPE, "the response cannot be restricted to the series"},
        {"metrics of the process", HTTP_GET, "/metrics?" FENCE, NULL, NULL, 0, 403, TEXT,
         "the response cannot be restricted to the series"},
        {"a deletion", HTTP_POST, "/api/v1/admin/tsdb/delete_series?match[]=up&" FENCE, NULL, NULL,
         0, 403, JSON_TYPE, "the response cannot be restricted to the series"},
        {"what the server is", HTTP_GET, "/api/v1/status/buildinfo?" FENCE, NULL, NULL, 0, 200,
         JSON_TYPE, "\"version\""},
    };
    struct api_rig *rig = begin("");
    write_hidden(rig);
    write_visible(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_malformed_restrictions_are_refused)
{
    static const struct asked cases[] = {
        {"no selector", HTTP_GET, "/api/v1/query?query=up&extra_filters[]={", NULL, NULL, 0, 400,
         JSON_TYPE, "invalid parameter \\\"extra_filters[]\\\": 1:2: parse error"},
        {"an empty one", HTTP_GET, "/api/v1/labels?extra_filters=", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"extra_filters\\\": "},
        {"all series", HTTP_GET, "/api/v1/series?match[]=up&extra_filters[]={}", NULL, NULL, 0, 400,
         JSON_TYPE,
         "invalid parameter \\\"extra_filters[]\\\": it must contain at least one matcher"},
        {"an alternative that is empty", HTTP_GET, "/api/v1/labels?extra_filters={a=\"b\" or}",
         NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"extra_filters\\\": 1:10: parse error"},
        {"an expression", HTTP_GET, "/api/v1/search/label_names?extra_filters[]=up%2B1", NULL, NULL,
         0, 400, JSON_TYPE, "invalid parameter \\\"extra_filters[]\\\": "},
        {"no name", HTTP_GET, "/federate?match[]=up&extra_label==a", NULL, NULL, 0, 400, TEXT,
         "invalid parameter \"extra_label\": expected name=value, got \"=a\"\n"},
        {"no value", HTTP_GET, "/api/v1/metadata?extra_label=team", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"extra_label\\\": expected name=value, got \\\"team\\\""},
        {"no text", HTTP_GET, "/api/v1/query_exemplars?query=up&extra_label=team=\xff", NULL, NULL,
         0, 400, JSON_TYPE, "invalid parameter \\\"extra_label\\\": "},
        {"in a form", HTTP_POST, "/api/v1/query_range", FORM,
         "query=up&start=1&end=2&step=1&extra_label=a", 0, 400, JSON_TYPE,
         "invalid parameter \\\"extra_label\\\": expected name=value"},
        {"an invalid escape", HTTP_GET, "/api/v1/query?query=up&extra_label=team=%zz", NULL, NULL,
         0, 400, JSON_TYPE, "malformed parameter extra_...: invalid URL escape \\\"%zz\\\""},
        {"another one", HTTP_GET, "/api/v1/query?query=count(up)&x=%zz&" FENCE, NULL, NULL, 0, 200,
         JSON_TYPE, "\"2\""},
        {"of a remote read", HTTP_POST, "/api/v1/read?extra_filters[]=1", NULL, NULL, READ_SAMPLES,
         400, TEXT, "invalid parameter \"extra_filters[]\": "},
    };
    struct api_rig *rig = begin("");
    write_visible(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_a_hidden_replica_does_not_win)
{
    static const struct asked cases[] = {
        {"both", HTTP_GET, "/api/v1/query?query=up", NULL, NULL, 0, 200, JSON_TYPE, "\"119\""},
        {"one", HTTP_GET, "/api/v1/query?query=up&extra_label=replica=b", NULL, NULL, 0, 200,
         JSON_TYPE,
         "\"result\":[{\"metric\":{\"__name__\":\"up\"},\"value\":[1767225600,\"219\"]}]"},
    };
    struct api_rig *rig = begin("replica");
    write_series(rig, "__name__=up,replica=a", 100);
    write_series(rig, "__name__=up,replica=b", 200);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_cached_results_are_of_the_same_restriction)
{
#define RANGE "/api/v1/query_range?query=count(up)&step=1&start=1767225585&end=1767225598"
    static const struct asked cases[] = {
        {"all", HTTP_GET, RANGE, NULL, NULL, 0, 200, JSON_TYPE, "\"4\""},
        {"two", HTTP_GET, RANGE "&" FENCE, NULL, NULL, 0, 200, JSON_TYPE, "\"2\""},
        {"one", HTTP_GET, RANGE "&extra_label=team=b", NULL, NULL, 0, 200, JSON_TYPE, "\"1\""},
        {"the same", HTTP_GET, RANGE "&extra_filters[]={team=\"b\"}", NULL, NULL, 0, 200, JSON_TYPE,
         "\"1\""},
    };
    struct api_rig *rig = begin("");
    write_hidden(rig);
    write_visible(rig);
    for (unsigned i = 0; i < 3; i++)
        api_ask_all(rig, cases);
    struct promql_cache_facts facts = promql_cache_look(rig->api->results);
    assert_int_equal(facts.entries, 3);
    assert_int_equal(facts.hits, 9);
    api_rig_free(rig);
}

UNIT_TEST(test_an_answerer_that_cannot_restrict_is_not_asked)
{
    static const struct asked cases[] = {
        {"a query", HTTP_GET, "/api/v1/query?query=up&" FENCE, NULL, NULL, 0, 500, JSON_TYPE,
         "cannot restrict answers to permitted series"},
        {"names", HTTP_GET, "/api/v1/labels?" FENCE, NULL, NULL, 0, 500, JSON_TYPE,
         "cannot restrict answers to permitted series"},
    };
    struct api_rig *rig = begin("");
    fenced.restricts = false;
    write_visible(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

/* --- users ------------------------------------------------------------------------------------ */

/* Asks as a user, and checks the answer. */
static void
ask_as(struct api_rig *rig, const struct user *user, const char *target, unsigned status,
       const char *fragment)
{
    struct http_request r;
    const union {
        const struct user *from;
        void *to;
    } sender = {.from = user};
    http_double_init(&r, HTTP_GET, target, NULL, bytes_of(NULL, 0));
    r.sender = sender.to;
    assert_true(api_rig_hand(rig, &r));
    api_rig_run(rig);
    if (r.status != status || strstr(http_double_text(&r), fragment) == NULL)
        fail_msg("%s: %u %s", target, r.status, http_double_text(&r));
    buf_fini(&r.text);
}

UNIT_TEST(test_a_user_sees_series_that_a_read_matcher_selects)
{
    const char *const matchers[] = {"{team=\"a\",job=\"x\"}", "{team!~\"a|b\"}"};
    const char *items[2] = {matchers[0], matchers[1]};
    struct user_settings settings[] = {
        {.name = "alice", .permissions = PERMISSION_READ, .read_matchers = {items, 2}},
        {.name = "bob", .permissions = PERMISSION_READ},
    };
    struct user_list list = {settings, 2};
    struct users *users;
    struct why why;
    must(users_new(&list, NULL, NULL, &users, &why));
    const struct user *alice = users_by_name(users, bytes_of_text("alice"));
    const struct user *bob = users_by_name(users, bytes_of_text("bob"));
    struct api_rig *rig = begin("");
    write_hidden(rig);
    write_visible(rig);
    ask_as(rig, bob, "/api/v1/query?query=count(up)", 200, "\"4\"");
    ask_as(rig, alice, "/api/v1/query?query=count(up)", 200, "\"2\"");
    ask_as(rig, alice, "/api/v1/query?query=count(up)&extra_label=team=a", 200, "\"1\"");
    ask_as(rig, alice, "/api/v1/query?query=up&extra_label=team=b", 200, "\"result\":[]");
    ask_as(rig, alice, "/api/v1/label/team/values", 200, DATA("[\"a\",\"c\"]"));
    ask_as(rig, alice, "/api/v1/status/tsdb", 403, "cannot be restricted");
    ask_as(rig, bob, "/api/v1/status/tsdb", 200, "\"success\"");
    ask_as(rig, alice, "/api/v1/status/top_queries", 200, "\"query\":\"up\",");
    ask_as(rig, bob, "/api/v1/status/top_queries", 200,
           "\"data\":[{\"query\":\"count(up)\",\"tenant\":\"anonymous\",\"count\":1,");
    ask_as(rig, alice, "/api/v1/status/active_queries", 200, DATA("[]"));
    ask_as(rig, alice, "/api/v1/status/top_queries?extra_label=team=a", 403, "cannot");
    users_release(users);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hidden_series_change_no_answer_of_any_route),
        cmocka_unit_test(test_each_route_that_reads_is_restricted),
        cmocka_unit_test(test_malformed_restrictions_are_refused),
        cmocka_unit_test(test_a_hidden_replica_does_not_win),
        cmocka_unit_test(test_cached_results_are_of_the_same_restriction),
        cmocka_unit_test(test_an_answerer_that_cannot_restrict_is_not_asked),
        cmocka_unit_test(test_a_user_sees_series_that_a_read_matcher_selects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
