/* api_queues_test.c - requests that wait for a thread or for memory: for how long, and in
 * which order. */
#include <pthread.h>
#include <sched.h>

#include "api/routes.h"
#include "lib/api/api_asked.h"
#include "lib/test.h"

UNIT_TEST(test_a_request_that_waits_too_long_is_refused_for_a_while)
{
    struct http_request read, page;
    struct api_rig *rig = api_rig_start(api_rig_new());
    http_double_init(&read, HTTP_GET, "/api/v1/labels", NULL, bytes_of("", 0));
    http_double_init(&page, HTTP_GET, "/metrics", NULL, bytes_of("", 0));
    assert_true(api_rig_hand(rig, &read));
    sim_env_advance_ns(rig->m.sim, 5 * NS_PER_S);
    assert_true(api_rig_hand(rig, &page));
    sim_env_advance_ns(rig->m.sim, 5 * NS_PER_S - 1);
    api_tick(rig->api);
    assert_int_equal(read.status, 0);
    sim_env_advance_ns(rig->m.sim, 1);
    api_tick(rig->api);
    assert_int_equal(read.status, 503);
    assert_non_null(strstr(http_double_text(&read),
                           "timed out waiting for other requests to finish (read.queue_timeout)"));
    assert_int_equal(page.status, 0);
    api_rig_run(rig);
    assert_int_equal(page.status, 200);
    buf_fini(&read.text);
    buf_fini(&page.text);
    api_rig_free(rig);
}

UNIT_TEST(test_a_query_that_waits_too_long_times_out)
{
    struct http_request query;
    struct api_rig *rig = api_rig_new();
    rig->options.query_queue_timeout_ns = NS_PER_S;
    api_rig_start(rig);
    http_double_init(&query, HTTP_GET, "/api/v1/query?query=1", NULL, bytes_of("", 0));
    assert_true(api_rig_hand(rig, &query));
    sim_env_advance_ns(rig->m.sim, NS_PER_S);
    api_tick(rig->api);
    assert_int_equal(query.status, 503);
    assert_non_null(strstr(http_double_text(&query), "\"errorType\":\"timeout\""));
    buf_fini(&query.text);
    api_rig_free(rig);
}

UNIT_TEST(test_tenants_take_turns)
{
    static const char *const tenants[] = {"a", "a", "a|c", "a", "b", "b|b", "c"};
    static const unsigned turns[] = {0, 4, 6, 1, 5, 2, 3};
    enum { COUNT = sizeof tenants / sizeof *tenants };
    struct http_request all[COUNT];
    struct api_rig *rig = api_rig_new();
    rig->options.tenancy = true;
    api_rig_start(rig);
    struct job_queue *q = &rig->api->queues[QUEUE_QUERIES];
    for (unsigned i = 0; i < COUNT; i++) {
        char header[32];
        snprintf(header, sizeof header, "X-Scope-OrgID: %s", tenants[i]);
        http_double_init(&all[i], HTTP_GET, "/api/v1/query?query=1", header, bytes_of("", 0));
        assert_true(api_rig_hand(rig, &all[i]));
    }
    for (unsigned turn = 0; turn < COUNT; turn++) {
        lock_take(&rig->api->lock);
        assert_true(queue_work_locked(q));
        lock_drop(&rig->api->lock);
        for (unsigned later = 0; later < COUNT; later++)
            assert_int_equal(all[turns[later]].status, later <= turn ? 200 : 0);
    }
    for (unsigned i = 0; i < COUNT; i++)
        buf_fini(&all[i].text);
    api_rig_free(rig);
}

/* A client that asks again as soon as it is answered does not overtake those that wait. */
UNIT_TEST(test_who_had_a_turn_waits_for_the_others)
{
    struct http_request backlog[2], eager[2];
    struct api_rig *rig = api_rig_new();
    rig->options.tenancy = true;
    api_rig_start(rig);
    struct job_queue *q = &rig->api->queues[QUEUE_QUERIES];
    for (unsigned i = 0; i < 2; i++) {
        http_double_init(&backlog[i], HTTP_GET, "/api/v1/query?query=1", "X-Scope-OrgID: a",
                         bytes_of("", 0));
        assert_true(api_rig_hand(rig, &backlog[i]));
    }
    for (unsigned i = 0; i < 2; i++) {
        http_double_init(&eager[i], HTTP_GET, "/api/v1/query?query=1", "X-Scope-OrgID: b",
                         bytes_of("", 0));
        assert_true(api_rig_hand(rig, &eager[i]));
        lock_take(&rig->api->lock);
        assert_true(queue_work_locked(q));
        lock_drop(&rig->api->lock);
        assert_int_equal(backlog[i].status, 200);
        assert_int_equal(eager[i].status, 0);
        lock_take(&rig->api->lock);
        assert_true(queue_work_locked(q));
        lock_drop(&rig->api->lock);
        assert_int_equal(eager[i].status, 200);
        buf_fini(&backlog[i].text);
        buf_fini(&eager[i].text);
    }
    api_rig_free(rig);
}

/* Sends as many requests with this header as one tenant may have waiting, one more, and one of
 * another tenant. */
static void
fill_places(const char *header, unsigned status)
{
    struct api_rig *rig = api_rig_new();
    rig->options.tenancy = true;
    api_rig_start(rig);
    struct http_request *all = calloc(JOBS_OF_TENANT_MAX + 2, sizeof *all);
    for (unsigned i = 0; i < JOBS_OF_TENANT_MAX + 2; i++) {
        bool other = i == JOBS_OF_TENANT_MAX + 1;
        http_double_init(&all[i], HTTP_GET, "/api/v1/query?query=1",
                         other ? "X-Scope-OrgID: b" : header, bytes_of("", 0));
        assert_true(api_rig_hand(rig, &all[i]));
        assert_int_equal(all[i].status, i == JOBS_OF_TENANT_MAX ? 503 : 0);
    }
    api_rig_run(rig);
    for (unsigned i = 0; i < JOBS_OF_TENANT_MAX + 2; i++) {
        assert_int_equal(all[i].status, i < JOBS_OF_TENANT_MAX    ? status
                                        : i == JOBS_OF_TENANT_MAX ? 503
                                                                  : 200);
        buf_fini(&all[i].text);
    }
    free(all);
    api_rig_free(rig);
}

UNIT_TEST(test_one_tenant_does_not_take_all_places)
{
    fill_places("X-Scope-OrgID: a", 200);
}

/* Requests without a tenant are refused only when their turn comes. */
UNIT_TEST(test_requests_without_a_tenant_take_no_more_places_than_one)
{
    fill_places(NULL, 401);
}

/* Threads that help a large query return when another one waits. */
UNIT_TEST(test_helpers_see_that_another_query_waits)
{
    struct http_request r;
    struct api_rig *rig = api_rig_start(api_rig_new());
    struct promql_helpers helpers = query_helpers(rig->api);
    assert_false(helpers.others_wait(helpers.context));
    http_double_init(&r, HTTP_GET, "/api/v1/query?query=1", NULL, bytes_of("", 0));
    assert_true(api_rig_hand(rig, &r));
    assert_true(helpers.others_wait(helpers.context));
    api_rig_run(rig);
    assert_false(helpers.others_wait(helpers.context));
    buf_fini(&r.text);
    api_rig_free(rig);
}

UNIT_TEST(test_queries_are_remembered_by_what_they_cost)
{
    static const char *const asked[] = {"/api/v1/query?query=up", "/api/v1/query?query=up",
                                        "/api/v1/query?query=vector(1)"};
    struct http_request r;
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (unsigned i = 0; i < sizeof asked / sizeof *asked; i++) {
        api_rig_ask(rig, &r, HTTP_GET, asked[i], NULL, bytes_of("", 0));
        assert_int_equal(r.status, 200);
        buf_fini(&r.text);
    }
    api_rig_ask(rig, &r, HTTP_GET, "/api/v1/status/top_queries?by=samples&limit=1", NULL,
                bytes_of("", 0));
    assert_non_null(strstr(http_double_text(&r), "\"data\":[{\"query\":\"up\""));
    assert_non_null(strstr(http_double_text(&r), "\"count\":2,\"failed\":0"));
    assert_null(strstr(http_double_text(&r), "vector"));
    buf_fini(&r.text);
    api_rig_ask(rig, &r, HTTP_GET, "/api/v1/status/top_queries?by=time;limit=1", NULL,
                bytes_of("", 0));
    assert_int_equal(r.status, 400);
    buf_fini(&r.text);
    api_rig_ask(rig, &r, HTTP_GET, "/api/v1/status/top_queries?by=luck", NULL, bytes_of("", 0));
    assert_int_equal(r.status, 400);
    buf_fini(&r.text);
    api_rig_ask(rig, &r, HTTP_GET, "/api/v1/status/active_queries", NULL, bytes_of("", 0));
    assert_non_null(strstr(http_double_text(&r), "\"data\":[]"));
    buf_fini(&r.text);
    api_rig_ask(rig, &r, HTTP_DELETE, "/api/v1/status/active_queries/1", NULL, bytes_of("", 0));
    assert_int_equal(r.status, 404);
    buf_fini(&r.text);
    api_rig_free(rig);
}

/* 256 queries are remembered. */
UNIT_TEST(test_the_query_that_was_not_asked_for_longest_is_forgotten)
{
    struct http_request r;
    char asked[60];
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (unsigned i = 0; i < 2 * 300; i++) {
        snprintf(asked, sizeof asked, "/api/v1/query?query=%u", i / 2);
        if (i % 2 == 1) snprintf(asked, sizeof asked, "/api/v1/query?query=up");
        sim_env_advance_ns(rig->m.sim, NS_PER_MS);
        api_rig_ask(rig, &r, HTTP_GET, asked, NULL, bytes_of("", 0));
        assert_int_equal(r.status, 200);
        buf_fini(&r.text);
    }
    api_rig_ask(rig, &r, HTTP_GET, "/api/v1/status/top_queries?limit=1000", NULL, bytes_of("", 0));
    assert_non_null(strstr(http_double_text(&r), "\"query\":\"up\""));
    assert_non_null(strstr(http_double_text(&r), "\"count\":300,"));
    assert_non_null(strstr(http_double_text(&r), "\"query\":\"299\""));
    assert_non_null(strstr(http_double_text(&r), "\"query\":\"45\""));
    assert_null(strstr(http_double_text(&r), "\"query\":\"44\""));
    buf_fini(&r.text);
    api_rig_free(rig);
}

UNIT_TEST(test_a_request_of_a_disconnected_client_is_not_run)
{
    struct http_request r;
    struct api_rig *rig = api_rig_start(api_rig_new());
    http_double_init(&r, HTTP_POST, "/api/v1/admin/destinations/s3/pause", NULL, bytes_of("", 0));
    assert_true(api_rig_hand(rig, &r));
    r.gone = true;
    api_rig_run(rig);
    assert_int_equal(r.status, 499);
    assert_string_equal(rig->controlled, "");
    buf_fini(&r.text);
    api_rig_free(rig);
}

UNIT_TEST(test_a_queue_has_an_end)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    struct http_request *all = calloc(JOBS_MAX + 1, sizeof *all);
    for (unsigned i = 0; i <= JOBS_MAX; i++) {
        all[i].method = HTTP_GET;
        strcpy(all[i].path, "/api/v1/status/flags");
        buf_init(&all[i].text, NULL, 4096);
        assert_true(api_rig_hand(rig, &all[i]));
        assert_int_equal(all[i].status, i < JOBS_MAX ? 0 : 503);
    }
    api_rig_run(rig);
    for (unsigned i = 0; i <= JOBS_MAX; i++) {
        assert_int_equal(all[i].status, i < JOBS_MAX ? 200 : 503);
        buf_fini(&all[i].text);
    }
    free(all);
    api_rig_free(rig);
}

UNIT_TEST(test_a_server_that_stops_takes_neither_writes_nor_reads)
{
    static const struct asked cases[] = {
        {"write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 503, TEXT, "shutting down"},
        {"read", HTTP_POST, "/api/v1/read", NULL, NULL, READ_SAMPLES, 503, TEXT, "shutting down"},
        {"metrics", HTTP_GET, "/metrics", NULL, NULL, 0, 200, TEXT, "firekeep_"},
    };
    struct http_request r;
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_stop(rig->api);
    api_ask_all(rig, cases);
    api_rig_ask(rig, &r, HTTP_GET, "/-/ready", NULL, bytes_of("", 0));
    assert_int_equal(r.status, 503);
    assert_string_equal(http_double_text(&r), "Firekeep is not ready: shutting down.\n");
    buf_fini(&r.text);
    api_rig_free(rig);
}

static unsigned statuses[3], opened; /* statuses of `slow`, counted whenever a view was opened */
static struct http_request slow;

static enum err
open_and_look(struct answerer *answerer, struct query_control *control, struct view **ret,
              struct why *why_open)
{
    if (opened < 3) statuses[opened] = slow.status;
    opened++;
    sim_env_advance_ns(api_rig_of_answerer(answerer)->m.sim, NS_PER_MS);
    return double_open(answerer, control, ret, why_open);
}

/* The samples read are looked up for the log in a view of their own. */
UNIT_TEST(test_who_asked_slowly_is_answered_before_it_is_logged)
{
    static const struct answerer_ops slow_ops = {.open = open_and_look};
    struct api_rig *rig = api_rig_new();
    rig->answerer.ops = &slow_ops;
    rig->limits.query.slow_log_ns = NS_PER_MS;
    api_rig_start(rig);
    http_double_init(&slow, HTTP_GET, "/api/v1/query?query=up", NULL, bytes_of("", 0));
    assert_true(api_rig_hand(rig, &slow));
    api_rig_run(rig);
    assert_int_equal(opened, 2);
    assert_int_equal(statuses[0], 0);
    assert_int_equal(statuses[1], 200);
    buf_fini(&slow.text);
    api_rig_free(rig);
}

/* --- memory that other queries have ----------------------------------------------------------- */

/* Another query, which has nearly all memory, and one that needs more than the rest. */
struct crowd {
    struct api_rig *rig;
    struct budget all, budget;
    struct query_control control;
    struct active_query other;
    uint64_t taken;
    struct http_request query;
    pthread_t thread;
};

static void *
run_crowd(void *context)
{
    api_rig_run(context);
    return NULL;
}

static void
crowd_begin(struct crowd *c)
{
    static const char range[] = "/api/v1/query_range?start=0&end=10999&step=1&query=time()";
    bool waits = false, ended = false;
    *c = (struct crowd){.rig = api_rig_new()};
    budget_init(&c->all, "all", 64 << 20, NULL);
    c->rig->options.memory = &c->all;
    api_rig_start(c->rig);
    budget_init(&c->budget, "other", 0, &c->rig->api->read_budget);
    c->taken = (56 << 20) - (80 << 10);
    must(budget_take(&c->budget, c->taken));
    c->control.budget = &c->budget;
    c->other.control = &c->control;
    queries_begin(c->rig->api, &c->other);
    http_double_init(&c->query, HTTP_GET, range, NULL, bytes_of("", 0));
    assert_true(api_rig_hand(c->rig, &c->query));
    assert_int_equal(pthread_create(&c->thread, NULL, run_crowd, c->rig), 0);
    while (!waits && !ended) {
        sched_yield();
        lock_take(&c->rig->api->lock);
        waits = c->rig->api->queries->active->memory_turn != 0;
        ended = c->rig->api->queries->count == 2 && c->rig->api->queries->active == &c->other;
        lock_drop(&c->rig->api->lock);
    }
    assert_true(waits);
}

static void
crowd_end(struct crowd *c)
{
    assert_int_equal(pthread_join(c->thread, NULL), 0);
    budget_give(&c->budget, budget_used(&c->budget));
    if (c->rig->api->queries->active != NULL) queries_forget(c->rig->api, &c->other);
    assert_int_equal(budget_used(&c->rig->api->read_budget), 0);
    buf_fini(&c->query.text);
    api_rig_free(c->rig);
}

UNIT_TEST(test_a_query_waits_for_memory_that_others_have)
{
    struct crowd c;
    crowd_begin(&c);
    assert_int_equal(budget_used(&c.rig->api->read_budget) >> 20, c.taken >> 20);
    budget_give(&c.budget, c.taken);
    queries_forget(c.rig->api, &c.other);
    crowd_end(&c);
    assert_int_equal(c.query.status, 200);
}

UNIT_TEST(test_a_query_begins_again_as_soon_as_there_is_enough_memory)
{
    struct crowd c;
    crowd_begin(&c);
    budget_give(&c.budget, 4 << 20); /* the other query goes on */
    crowd_end(&c);
    assert_int_equal(c.query.status, 200);
}

UNIT_TEST(test_a_query_waits_for_memory_as_long_as_for_its_turn)
{
    struct crowd c;
    crowd_begin(&c);
    sim_env_advance_ns(c.rig->m.sim, c.rig->options.query_queue_timeout_ns);
    crowd_end(&c);
    assert_int_equal(c.query.status, 503);
}

/* The needs of a query that begins again are known. */
UNIT_TEST(test_queries_that_wait_for_memory_begin_one_after_the_other)
{
    struct api_rig *rig = api_rig_new();
    struct budget all, small;
    struct query_control control = {.budget = &small, .env = rig->m.env};
    struct active_query first = {.control = &control}, second = first, third = first;
    bool alone = false;
    budget_init(&all, "all", 64 << 20, NULL);
    rig->options.memory = &all;
    api_rig_start(rig);
    budget_init(&small, "small", 0, &rig->api->read_budget);
    queries_begin(rig->api, &first);
    queries_begin(rig->api, &second);
    queries_begin(rig->api, &third);
    assert_true(queries_await_memory(rig->api, &first, 30 << 20, INT64_MAX, &alone));
    assert_false(alone);
    assert_false(queries_await_memory(rig->api, &second, 30 << 20, 0, &alone));
    queries_forget(rig->api, &second);
    assert_true(queries_await_memory(rig->api, &third, 20 << 20, INT64_MAX, &alone));
    assert_false(alone);
    queries_forget(rig->api, &first);
    queries_forget(rig->api, &third);
    queries_begin(rig->api, &second);
    assert_true(queries_await_memory(rig->api, &second, 100 << 20, INT64_MAX, &alone));
    assert_true(alone);
    /* Others came meanwhile; then it is alone again, and that was not enough. */
    queries_begin(rig->api, &third);
    assert_true(queries_await_memory(rig->api, &second, 10 << 20, INT64_MAX, &alone));
    queries_forget(rig->api, &third);
    alone = true;
    assert_false(queries_await_memory(rig->api, &second, 100 << 20, INT64_MAX, &alone));
    queries_forget(rig->api, &second);
    api_rig_free(rig);
}

#define API_TEST(name) cmocka_unit_test_teardown(name, tell_seed)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(test_a_request_that_waits_too_long_is_refused_for_a_while),
        API_TEST(test_a_query_that_waits_too_long_times_out),
        API_TEST(test_tenants_take_turns),
        API_TEST(test_who_had_a_turn_waits_for_the_others),
        API_TEST(test_one_tenant_does_not_take_all_places),
        API_TEST(test_requests_without_a_tenant_take_no_more_places_than_one),
        API_TEST(test_helpers_see_that_another_query_waits),
        API_TEST(test_a_query_waits_for_memory_that_others_have),
        API_TEST(test_a_query_begins_again_as_soon_as_there_is_enough_memory),
        API_TEST(test_a_query_waits_for_memory_as_long_as_for_its_turn),
        API_TEST(test_queries_that_wait_for_memory_begin_one_after_the_other),
        API_TEST(test_queries_are_remembered_by_what_they_cost),
        API_TEST(test_the_query_that_was_not_asked_for_longest_is_forgotten),
        API_TEST(test_who_asked_slowly_is_answered_before_it_is_logged),
        API_TEST(test_a_request_of_a_disconnected_client_is_not_run),
        API_TEST(test_a_queue_has_an_end),
        API_TEST(test_a_server_that_stops_takes_neither_writes_nor_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
