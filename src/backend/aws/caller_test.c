/* caller_test.c - requests of calls, missing keys and headers, and reading of answers. */
#include "lib/test.h"

#include "backend/aws/aws.h"
#include "lib/backend/stream_rig.h"

static struct stream_rig rig;
static struct aws_caller *caller;
static struct why why;
static uint32_t keys;
static const struct aws_service service = {"kinesis", "kinesis", "KINESIS"};

static int
setup(void **state)
{
    (void)state;
    stream_rig_init(&rig, DESTINATION_KINESIS);
    caller = NULL;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    aws_caller_free(caller);
    assert_int_equal(budget_used(&rig.memory), 0);
    stream_rig_fini(&rig);
    return 0;
}

static enum err
new_caller(const char *endpoint)
{
    const struct writer_options writer = {
        .env = sim_env_env(rig.sim), .memory = &rig.memory, .settings = &rig.settings};
    const struct aws_caller_options options = {&writer, &service, endpoint, "Kinesis_20131202",
                                               "application/x-amz-json-1.1"};
    return aws_caller_new(&options, &caller, &why);
}

static void
prepare(void)
{
    assert_true(aws_caller_is_due(caller));
    aws_caller_prepare(caller, NULL, &rig.step);
    stream_rig_expect(&rig, VERDICT_DELIVERED, "the settings");
    assert_false(aws_caller_is_due(caller));
}

static void
call(void)
{
    aws_caller_call(caller, NULL, "PutRecords", bytes_of_text("{}"), &keys, &rig.step);
}

UNIT_TEST(test_a_call_is_signed_and_says_what_it_is)
{
    struct named_secret headers[] = {{"X-Team", {.text = "metrics"}}};
    rig.settings.http.headers = (struct named_secrets){headers, 1};
    assert_int_equal(new_caller("https://kinesis.example/"), OK);
    prepare();
    call();
    assert_int_equal(rig.step.next, WRITER_SEND);
    assert_string_equal(rig.step.http.method, "POST");
    assert_string_equal(rig.step.http.url, "https://kinesis.example/");
    assert_string_equal(stream_rig_header(&rig, "Host"), "kinesis.example");
    assert_string_equal(stream_rig_header(&rig, "Content-Type"), "application/x-amz-json-1.1");
    assert_string_equal(stream_rig_header(&rig, "X-Amz-Target"), "Kinesis_20131202.PutRecords");
    assert_string_equal(stream_rig_header(&rig, "X-Team"), "metrics");
    assert_string_equal(stream_rig_header(&rig, "X-Amz-Date"), "20260101T000000Z");
    const char *authorization = stream_rig_header(&rig, "Authorization");
    assert_non_null(strstr(authorization, "Credential=AKID/20260101/eu-west-1/kinesis/"));
    assert_non_null(strstr(authorization, "SignedHeaders=content-type;host;x-amz-date;"
                                          "x-amz-target;x-team"));
    assert_int_equal(rig.step.http.target->timeout_ms, 1000);
    assert_true(bytes_equal_text(rig.step.http.body, "{}"));
}

UNIT_TEST(test_without_credentials_it_is_not_prepared)
{
    assert_int_equal(new_caller("https://kinesis.example"), OK);
    call();
    stream_rig_expect(&rig, VERDICT_UNPREPARED, "credentials are not available");
}

UNIT_TEST(test_refused_keys_are_fetched_again)
{
    struct http_call_answer answer =
        stream_rig_answer_of(400, "{\"__type\":\"ExpiredTokenException\",\"message\":\"m\"}");
    assert_int_equal(new_caller("https://kinesis.example"), OK);
    prepare();
    call();
    aws_caller_judge(caller, keys, &answer, &rig.step);
    stream_rig_expect(&rig, VERDICT_UNPREPARED, "ExpiredTokenException");
    assert_true(aws_caller_is_due(caller));
}

UNIT_TEST(test_a_header_that_cannot_be_had_blocks)
{
    struct named_secret headers[] = {{"X-Team", {.file = "/nowhere/at/all"}}};
    rig.settings.http.headers = (struct named_secrets){headers, 1};
    assert_int_equal(new_caller("https://kinesis.example"), OK);
    prepare();
    call();
    stream_rig_expect(&rig, VERDICT_BLOCKED, "X-Team");
}

UNIT_TEST(test_an_invalid_region_or_endpoint_is_refused_when_made)
{
    assert_int_equal(new_caller("kinesis"), ERR_INPUT);
    rig.settings.aws.region = "EU";
    assert_int_equal(new_caller("https://kinesis.example"), ERR_INPUT);
}

static void
expect_found(const char *answer, const char *want)
{
    char text[8];
    aws_answer_find(bytes_of_text(answer), "a", "b", text, sizeof text);
    assert_string_equal(text, want);
}

UNIT_TEST(test_texts_and_numbers_are_found_in_answers)
{
    expect_found("{\"a\":{\"b\":\"x\"}}", "x");
    expect_found("{\"z\":[{}],\"a\":{\"c\":{\"b\":\"y\"},\"b\":12}}", "12");
    expect_found("{\"a\":{\"b\":\"more than fits\"}}", "more th");
    expect_found("{\"a\":{\"b\":null}}", "");
    expect_found("{\"b\":\"x\"}", "");
    expect_found("{\"a\":\"x\"}", "");
    expect_found("", "");
}

UNIT_TEST(test_a_name_has_letters_digits_and_what_is_said)
{
    assert_true(aws_is_name("aZ0_.-", "_.-", 6));
    assert_false(aws_is_name("aZ0_.-", "_.-", 5));
    assert_false(aws_is_name("aZ0_.-", "_.", 6));
    assert_false(aws_is_name("", "_", 6));
    assert_false(aws_is_name("a\"", "_", 6));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_is_signed_and_says_what_it_is),
        TEST(test_without_credentials_it_is_not_prepared),
        TEST(test_refused_keys_are_fetched_again),
        TEST(test_a_header_that_cannot_be_had_blocks),
        TEST(test_an_invalid_region_or_endpoint_is_refused_when_made),
        TEST(test_texts_and_numbers_are_found_in_answers),
        TEST(test_a_name_has_letters_digits_and_what_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
