/* replicas_test.c - replicas of a Prometheus are read as one if a request or the setting
 * names their label. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

/* Writes a counter that both replicas scrape each second, one a little later, with an exemplar. */
static void
write_replicas(struct api_rig *rig)
{
    static const char *const series[] = {"__name__=up,job=x,replica=a",
                                         "__name__=up,job=x,replica=b"};
    for (unsigned replica = 0; replica < 2; replica++) {
        struct rq rq;
        rq_init(&rq, RW_V1);
        rq_series(&rq, series[replica]);
        for (unsigned i = 0; i < 20; i++) {
            double value = i * 10 + replica;
            rq_float(&rq, SIM_BEGIN - 20000 + i * 1000 + replica * 300, double_bits(value), 0);
        }
        rq_exemplar(&rq, SIM_BEGIN - 1000, double_bits(1), "trace=1");
        must(machine_send(&rig->m, "anonymous", &rq));
        rq_fini(&rq);
        machine_commit(&rig->m);
    }
}

static struct api_rig *
begin(const char *replica_labels)
{
    struct api_rig *rig = api_rig_new();
    rig->options.answerer = tsdb_answerer(rig->m.db);
    snprintf(rig->limits.query.replica_labels, REPLICA_NAMES_BYTES, "%s", replica_labels);
    rig->limits.query.cache_bytes = 1 << 20;
    api_rig_start(rig);
    write_replicas(rig);
    return rig;
}

#define QUERY   "/api/v1/query?query=up"
#define ONE     "\"result\":[{\"metric\":{\"__name__\":\"up\",\"job\":\"x\"},\"value\":["
#define OF_A    "{\"__name__\":\"up\",\"job\":\"x\",\"replica\":\"a\"}"
#define OF_B    "{\"__name__\":\"up\",\"job\":\"x\",\"replica\":\"b\"}"
#define OF_BOTH "{\"__name__\":\"up\",\"job\":\"x\"}"
#define OF_JOBS "{\"__name__\":\"up\",\"replica\":\"a\"}"
#define DATA(x) "\"data\":" x "}"

UNIT_TEST(test_without_the_setting_nothing_is_deduplicated)
{
    static const struct asked cases[] = {
        {"a query", HTTP_GET, QUERY, NULL, NULL, 0, 200, JSON_TYPE, OF_A},
        {"the other", HTTP_GET, QUERY, NULL, NULL, 0, 200, JSON_TYPE, OF_B},
        {"although it could be", HTTP_GET, QUERY "&dedup=true", NULL, NULL, 0, 200, JSON_TYPE,
         OF_B},
        {"labels in the request", HTTP_GET, QUERY "&replicaLabels[]=replica", NULL, NULL, 0, 200,
         JSON_TYPE, ONE},
        {"and others", HTTP_GET, QUERY "&replicaLabels[]=x&replicaLabels[]=replica", NULL, NULL, 0,
         200, JSON_TYPE, ONE},
        {"in a form", HTTP_POST, "/api/v1/query", FORM, "query=up&replicaLabels%5B%5D=replica", 0,
         200, JSON_TYPE, ONE},
        {"but it is not to be", HTTP_GET, QUERY "&dedup=0&replicaLabels[]=replica", NULL, NULL, 0,
         200, JSON_TYPE, OF_B},
    };
    struct api_rig *rig = begin("");
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_all_that_reads_follows_the_setting_unless_the_request_says_other)
{
    static const struct asked cases[] = {
        {"a query", HTTP_GET, QUERY, NULL, NULL, 0, 200, JSON_TYPE, ONE},
        {"not", HTTP_GET, QUERY "&dedup=false", NULL, NULL, 0, 200, JSON_TYPE, OF_B},
        {"no labels", HTTP_GET, QUERY "&replicaLabels[]=", NULL, NULL, 0, 200, JSON_TYPE, OF_B},
        {"another label", HTTP_GET, QUERY "&replicaLabels[]=job", NULL, NULL, 0, 200, JSON_TYPE,
         OF_JOBS},
        {"one replica", HTTP_GET, "/api/v1/query?query=up{replica=\"b\"}", NULL, NULL, 0, 200,
         JSON_TYPE, OF_BOTH},
        {"its value", HTTP_GET, "/api/v1/query?query=up{replica=\"b\"}", NULL, NULL, 0, 200,
         JSON_TYPE, "\"191\""},
        {"a plan", HTTP_GET, "/api/v1/explain?query=up&analyze=true", NULL, NULL, 0, 200, JSON_TYPE,
         "\"result_series\":1,"},
        {"series", HTTP_GET, "/api/v1/series?match[]=up", NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[" OF_BOTH "]")},
        {"all series", HTTP_GET, "/api/v1/series?match[]=up&dedup=F", NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[" OF_A "," OF_B "]")},
        {"names", HTTP_GET, "/api/v1/labels", NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[\"__name__\",\"job\"]")},
        {"all names", HTTP_GET, "/api/v1/labels?dedup=f", NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[\"__name__\",\"job\",\"replica\"]")},
        {"values", HTTP_GET, "/api/v1/label/replica/values", NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[]")},
        {"all values", HTTP_GET, "/api/v1/label/replica/values?dedup=false", NULL, NULL, 0, 200,
         JSON_TYPE, DATA("[\"a\",\"b\"]")},
        {"other values", HTTP_GET, "/api/v1/label/job/values", NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[\"x\"]")},
        {"exemplars", HTTP_GET, "/api/v1/query_exemplars?query=up", NULL, NULL, 0, 200, JSON_TYPE,
         DATA("[{\"seriesLabels\":" OF_BOTH ",\"exemplars\":[{\"labels\":{\"trace\":\"1\"},"
              "\"value\":\"1\",\"timestamp\":1767225599}]}]")},
        {"all exemplars", HTTP_GET, "/api/v1/query_exemplars?query=up&dedup=false", NULL, NULL, 0,
         200, JSON_TYPE, "\"seriesLabels\":" OF_B},
        {"found names", HTTP_GET, "/api/v1/search/label_names?search[]=repl", NULL, NULL, 0, 200,
         "application/x-ndjson", "{\"status\":\"success\",\"has_more\":false}"},
        {"federation", HTTP_GET, "/federate?match[]=up", NULL, NULL, 0, 200, TEXT,
         "up{job=\"x\",instance=\"\"} 190 1767225599000\n"},
        {"all of it", HTTP_GET, "/federate?match[]=up&dedup=false", NULL, NULL, 0, 200, TEXT,
         "up{job=\"x\",replica=\"b\",instance=\"\"} 191 "},
    };
    struct api_rig *rig = begin("other,replica");
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

/* Returns a request for all of `up`, until now. */
static struct bytes
read_all_message(void)
{
    struct buf matcher, query, message;
    buf_init(&matcher, NULL, 1000);
    buf_init(&query, NULL, 1000);
    buf_init(&message, NULL, 1000);
    rq_number(&query, 2, (uint64_t)SIM_BEGIN);
    rq_field(&matcher, 2, text("__name__"));
    rq_field(&matcher, 3, text("up"));
    rq_field(&query, 3, buf_bytes(&matcher));
    rq_field(&message, 1, buf_bytes(&query));
    struct bytes done = api_packed(&message);
    buf_fini(&matcher);
    buf_fini(&query);
    buf_fini(&message);
    return done;
}

/* Says whether `wanted` is in the unpacked answer. */
static bool
read_has(struct api_rig *rig, const char *target, const char *headers, const char *wanted)
{
    struct http_request r;
    struct buf plain;
    struct why why;
    struct bytes message = read_all_message();
    api_rig_ask(rig, &r, HTTP_POST, target, headers, message);
    assert_int_equal(r.status, 200);
    buf_init(&plain, NULL, 1 << 20);
    must(snappy_unpack(buf_bytes(&r.text), &plain, &why));
    bool has = memmem(plain.at, plain.size, wanted, strlen(wanted)) != NULL;
    assert_non_null(memmem(plain.at, plain.size, "job", 3));
    buf_fini(&plain);
    buf_fini(&r.text);
    free((void *)(uintptr_t)message.at);
    return has;
}

UNIT_TEST(test_remote_reads_follow_the_setting_but_copies_are_of_all)
{
    struct api_rig *rig = begin("replica");
    assert_false(read_has(rig, "/api/v1/read", NULL, "replica"));
    assert_true(read_has(rig, "/api/v1/read?dedup=false", NULL, "replica"));
    assert_true(read_has(rig, "/api/v1/read?replicaLabels[]=other", NULL, "replica"));
    assert_true(read_has(rig, "/api/v1/read", "X-Firekeep-Notices: errors", "replica"));
    assert_false(read_has(rig, "/api/v1/read?dedup=1", "X-Firekeep-Notices: errors", "replica"));
    static const struct asked refused = {
        "no word for it",
        HTTP_POST,
        "/api/v1/read?dedup=2",
        NULL,
        NULL,
        READ_SAMPLES,
        400,
        TEXT,
        "invalid parameter \"dedup\": strconv.ParseBool: parsing \"2\": invalid syntax\n"};
    api_ask(rig, &refused);
    api_rig_free(rig);
}

UNIT_TEST(test_wrong_words_are_refused)
{
    static const struct asked cases[] = {
        {"neither yes nor no", HTTP_GET, QUERY "&dedup=maybe", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"dedup\\\": strconv.ParseBool: parsing \\\"maybe\\\": invalid "
         "syntax"},
        {"the same of series", HTTP_GET, "/api/v1/series?match[]=up&dedup=maybe", NULL, NULL, 0,
         400, JSON_TYPE, "invalid parameter \\\"dedup\\\": "},
        {"of federation", HTTP_GET, "/federate?match[]=up&dedup=maybe", NULL, NULL, 0, 400, TEXT,
         "invalid parameter \"dedup\": "},
        {"of a search", HTTP_GET, "/api/v1/search/label_names?dedup=maybe", NULL, NULL, 0, 400,
         JSON_TYPE, "invalid parameter \\\"dedup\\\": "},
        {"no label name", HTTP_GET, QUERY "&replicaLabels[]=\xff", NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"replicaLabels[]\\\": invalid label name: \\\"\\\\xff\\\""},
        {"many", HTTP_GET,
         QUERY "&replicaLabels[]=1&replicaLabels[]=2&replicaLabels[]=3&replicaLabels[]=4"
               "&replicaLabels[]=5&replicaLabels[]=6&replicaLabels[]=7&replicaLabels[]=8"
               "&replicaLabels[]=9&replicaLabels[]=10&replicaLabels[]=11&replicaLabels[]=12"
               "&replicaLabels[]=13&replicaLabels[]=14&replicaLabels[]=15&replicaLabels[]=16"
               "&replicaLabels[]=16&replicaLabels[]=17",
         NULL, NULL, 0, 400, JSON_TYPE,
         "invalid parameter \\\"replicaLabels[]\\\": at most 16 are allowed"},
    };
    struct api_rig *rig = begin("");
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

#define RANGE "/api/v1/query_range?query=up&step=1&start=%lld&end=%lld"

UNIT_TEST(test_results_that_are_kept_are_of_the_same_replica_labels)
{
    struct api_rig *rig = begin("replica");
    char one[200], all[200];
    long long now_s = SIM_BEGIN / 1000;
    snprintf(one, sizeof one, RANGE, now_s - 15, now_s - 2);
    snprintf(all, sizeof all, RANGE "&dedup=false", now_s - 15, now_s - 2);
    struct asked of_one = {"one", HTTP_GET,  one,
                           NULL,  NULL,      0,
                           200,   JSON_TYPE, "\"result\":[{\"metric\":" OF_BOTH ",\"values\""};
    struct asked of_all = {"all", HTTP_GET, all, NULL, NULL, 0, 200, JSON_TYPE, OF_B};
    for (unsigned i = 0; i < 3; i++) {
        api_ask(rig, &of_one);
        api_ask(rig, &of_all);
    }
    struct promql_cache_facts facts = promql_cache_look(rig->api->results);
    assert_int_equal(facts.queries, 6);
    assert_int_equal(facts.entries, 2);
    assert_int_equal(facts.hits, 4);
    rig->limits.query.replica_labels[0] = '\0';
    api_set_limits(rig->api, &rig->limits);
    struct asked as_set = {"as it is set now", HTTP_GET, one, NULL, NULL, 0, 200, JSON_TYPE, OF_B};
    api_ask(rig, &as_set);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_the_setting_nothing_is_deduplicated),
        cmocka_unit_test(test_all_that_reads_follows_the_setting_unless_the_request_says_other),
        cmocka_unit_test(test_remote_reads_follow_the_setting_but_copies_are_of_all),
        cmocka_unit_test(test_wrong_words_are_refused),
        cmocka_unit_test(test_results_that_are_kept_are_of_the_same_replica_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
