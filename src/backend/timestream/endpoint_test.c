/*
 * endpoint_test.c - endpoints of requests, with played answers: discovery, its duration, 421, and
 * configured addresses.
 */
#include "lib/test.h"

#include "lib/backend/timestream_rig.h"

#define SERVICE        "https://ingest.timestream.eu-west-1.amazonaws.com/"
#define ENDPOINTS(...) "{\"Endpoints\":[{\"Address\":\"" __VA_ARGS__ "}]}"
#define CELL           ENDPOINTS("cell1.example\",\"CachePeriodInMinutes\":10")
#define OTHER_CELL     ENDPOINTS("cell2.example\",\"CachePeriodInMinutes\":10")

static struct timestream_rig rig;
static struct timestream_client *client;
static struct timestream_ticket ticket;

static int
setup(void **state)
{
    (void)state;
    timestream_rig_init(&rig);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    timestream_client_free(client);
    client = NULL;
    timestream_rig_fini(&rig);
    return 0;
}

static void
open_client(void)
{
    struct why why = {""};
    if (timestream_client_new(&rig.options, &client, &why) != OK) fail_msg("%s", why.text);
}

static void
prepare(void)
{
    rig.step = (struct writer_step){.next = WRITER_DONE};
    timestream_client_prepare(client, NULL, &rig.step);
}

static void
prepare_answer(unsigned status, const char *body)
{
    struct http_call_answer answer = answer_of(status, body);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    timestream_client_prepare(client, &answer, &rig.step);
}

static void
begin(void)
{
    rig.step = (struct writer_step){.next = WRITER_DONE};
    timestream_client_begin(client, "WriteRecords", bytes_of_text("{x}"), &ticket, &rig.step);
}

static void
judge(unsigned status, const char *body)
{
    struct http_call_answer answer = answer_of(status, body);
    timestream_client_judge(client, &answer, &ticket, &rig.step);
}

static void
discover(const char *answer)
{
    prepare();
    timestream_rig_expect_call(&rig, SERVICE, "DescribeEndpoints", "{}");
    prepare_answer(200, answer);
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "requests go to");
}

UNIT_TEST(test_requests_go_to_the_cell_that_is_named)
{
    open_client();
    assert_true(timestream_client_due(client));
    begin();
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "endpoint",
                               "the endpoint address is not known");
    discover(CELL);
    assert_false(timestream_client_due(client));
    begin();
    timestream_rig_expect_call(&rig, "https://cell1.example/", "WriteRecords", "{x}");
    assert_string_equal(timestream_rig_header(&rig, "Host"), "cell1.example");
    assert_int_equal(rig.step.http.target->timeout_ms, 30000);
    prepare(); /* nothing is due */
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
}

UNIT_TEST(test_an_address_is_kept_for_its_time_and_asked_for_again)
{
    open_client();
    discover(CELL);
    timestream_rig_advance(&rig, 599);
    assert_false(timestream_client_due(client));
    timestream_rig_advance(&rig, 1);
    assert_true(timestream_client_due(client));
    discover(OTHER_CELL);
    begin();
    timestream_rig_expect_call(&rig, "https://cell2.example/", "WriteRecords", "{x}");
}

UNIT_TEST(test_an_address_that_works_is_used_while_no_other_can_be_had)
{
    open_client();
    discover(CELL);
    timestream_rig_advance(&rig, 600);
    prepare();
    prepare_answer(500, "{\"__type\":\"InternalServerException\"}");
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "",
                               "using the current one: InternalServerException");
    assert_false(timestream_client_due(client));
    begin();
    timestream_rig_expect_call(&rig, "https://cell1.example/", "WriteRecords", "{x}");
    timestream_rig_advance(&rig, 60);
    assert_true(timestream_client_due(client));
    discover(OTHER_CELL);
}

UNIT_TEST(test_another_cell_is_asked_for_after_421)
{
    open_client();
    discover(CELL);
    begin();
    judge(421, "{\"__type\":\"InvalidEndpointException\",\"message\":\"not here\"}");
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "endpoint", "not here");
    assert_true(timestream_client_due(client));
    struct timestream_ticket old = ticket;
    prepare();
    prepare_answer(503, "");
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "http_503",
                               "503"); /* the old address is not usable */
    assert_true(timestream_client_due(client));
    discover(OTHER_CELL);
    ticket = old; /* a call to the old address */
    judge(421, "");
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "endpoint", "421");
    assert_false(timestream_client_due(client));
}

UNIT_TEST(test_discovery_that_fails_says_why)
{
    open_client();
    prepare();
    prepare_answer(403,
                   "{\"__type\":\"AccessDeniedException\",\"Message\":\"User: u is not authorized "
                   "to perform: timestream:DescribeEndpoints\"}");
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "access_denied",
                               "timestream:DescribeEndpoints is missing");
    prepare();
    prepare_answer(200, "{\"Endpoints\":[]}");
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "endpoint", "has no address");
    prepare();
    struct http_call_answer silence = silence_of(HTTP_CALL_RESOLVE, "no such host");
    timestream_client_prepare(client, &silence, &rig.step);
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "resolve", "no such host");
    assert_true(timestream_client_due(client));
}

UNIT_TEST(test_a_wrong_clock_is_set_right_during_discovery)
{
    open_client();
    prepare();
    struct http_call_answer answer =
        answer_of(403, "{\"__type\":\"RequestTimeTooSkewed\",\"message\":\"x\"}");
    answer.date_s = RIG_START_S + 86400;
    timestream_client_prepare(client, &answer, &rig.step);
    timestream_rig_expect_call(&rig, SERVICE, "DescribeEndpoints", "{}");
    expect_in(timestream_rig_header(&rig, "X-Amz-Date"), "20260102T");
    prepare_answer(200, CELL);
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "cell1");
}

UNIT_TEST(test_keys_that_are_refused_are_fetched_again)
{
    open_client();
    discover(CELL);
    begin();
    judge(403, "{\"__type\":\"ExpiredTokenException\",\"message\":\"x\"}");
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "credentials", "ExpiredToken");
    assert_true(timestream_client_due(client));
    begin();
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "credentials",
                               "credentials are not available");
    prepare(); /* the settings are the same */
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "credentials",
                               "still returns the keys that the service refused");
    prepare();
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    assert_false(timestream_client_due(client));
}

UNIT_TEST(test_keys_refused_by_discovery_are_fetched_again)
{
    open_client();
    prepare();
    prepare_answer(403, "{\"__type\":\"UnrecognizedClientException\",\"message\":\"x\"}");
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "credentials", "UnrecognizedClient");
    prepare();
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "credentials",
                               "still returns the keys that the service refused");
    discover(CELL);
}

UNIT_TEST(test_without_keys_nothing_is_sent)
{
    rig.settings.aws.secret_key.text = "";
    open_client();
    prepare();
    assert_int_equal(rig.step.next, WRITER_DONE);
    assert_int_equal(rig.step.verdict, VERDICT_BLOCKED);
    assert_true(timestream_client_due(client));
}

static void
expect_fixed(const char *url, const char *host)
{
    open_client();
    assert_true(timestream_client_due(client));
    prepare();
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "credentials from the settings");
    assert_false(timestream_client_due(client));
    begin();
    timestream_rig_expect_call(&rig, url, "WriteRecords", "{x}");
    assert_string_equal(timestream_rig_header(&rig, "Host"), host);
    judge(421, "");
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "endpoint", "421");
    assert_false(timestream_client_due(client));
    timestream_rig_advance(&rig, 100LL * 86400);
    assert_false(timestream_client_due(client));
}

UNIT_TEST(test_an_address_of_the_settings_is_used_as_written)
{
    rig.settings.u.timestream.write_endpoint = "http://localhost:8086/base/";
    expect_fixed("http://localhost:8086/base/", "localhost:8086");
}

UNIT_TEST(test_an_address_of_the_environment_is_used_as_written)
{
    setenv("AWS_ENDPOINT_URL_TIMESTREAM_WRITE", "http://vpce.example", 1);
    expect_fixed("http://vpce.example/", "vpce.example");
}

UNIT_TEST(test_own_headers_are_sent_and_signed)
{
    struct named_secret headers[] = {{"X-Team", {.text = "a"}}};
    rig.settings.http.headers = (struct named_secrets){headers, 1};
    open_client();
    discover(CELL);
    begin();
    assert_string_equal(timestream_rig_header(&rig, "X-Team"), "a");
    expect_in(timestream_rig_header(&rig, "Authorization"), "x-team");
    headers[0].value = (struct secret){.file = "/nowhere/at/all"};
    begin();
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "configuration", "X-Team");
}

UNIT_TEST(test_settings_that_cannot_be_are_refused)
{
    struct why why = {""};
    rig.settings.aws.region = "a b";
    assert_int_equal(timestream_client_new(&rig.options, &client, &why), ERR_INPUT);
    expect_in(why.text, "region");
    rig.settings.aws.region = "eu-west-1";
    rig.settings.u.timestream.write_endpoint = "ftp://x";
    assert_int_equal(timestream_client_new(&rig.options, &client, &why), ERR_INPUT);
    rig.settings.u.timestream.write_endpoint = NULL;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        mem_fail_nth(nth, false);
        assert_int_equal(timestream_client_new(&rig.options, &client, &why), ERR_NOMEM);
        mem_fail_nth(0, false);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests_go_to_the_cell_that_is_named),
        TEST(test_an_address_is_kept_for_its_time_and_asked_for_again),
        TEST(test_an_address_that_works_is_used_while_no_other_can_be_had),
        TEST(test_another_cell_is_asked_for_after_421),
        TEST(test_discovery_that_fails_says_why),
        TEST(test_a_wrong_clock_is_set_right_during_discovery),
        TEST(test_keys_that_are_refused_are_fetched_again),
        TEST(test_keys_refused_by_discovery_are_fetched_again),
        TEST(test_without_keys_nothing_is_sent),
        TEST(test_an_address_of_the_settings_is_used_as_written),
        TEST(test_an_address_of_the_environment_is_used_as_written),
        TEST(test_own_headers_are_sent_and_signed),
        TEST(test_settings_that_cannot_be_are_refused),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
