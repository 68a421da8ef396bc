/* judge_test.c - refusals in the words of AWS, and the verdict on each. */
#include "lib/test.h"

#include "lib/backend/aws_rig.h"

struct refusal {
    unsigned status;
    const char *body;
    enum writer_verdict verdict;
    const char *reason;
    const char *says;
};

#define NOT_AUTHORIZED(action, resource)                                           \
    "User: arn:aws:iam::111122223333:user/m is not authorized to perform: " action \
    " on resource: " resource " because no identity-based policy allows the " action " action"

static const struct refusal json_refusals[] = {
    {400,
     "{\"__type\":\"ProvisionedThroughputExceededException\",\"message\":\"Rate exceeded for shard "
     "shardId-000000000000 in stream m under account 111122223333.\"}",
     VERDICT_THROTTLED, "throttled", "ProvisionedThroughputExceededException: Rate exceeded for"},
    {400, "{\"__type\":\"com.amazon.coral.availability#ThrottlingException\"}", VERDICT_THROTTLED,
     "throttled", "ThrottlingException"},
    {400, "{\"__type\":\"LimitExceededException\",\"message\":\"x\"}", VERDICT_THROTTLED,
     "throttled", "LimitExceededException: x"},
    {400, "{\"__type\":\"KMSThrottlingException\"}", VERDICT_THROTTLED, "throttled", ""},
    {400, "{\"__type\":\"TooManyRequestsException\"}", VERDICT_THROTTLED, "throttled", ""},
    {429, "", VERDICT_THROTTLED, "http_429", "HTTP status 429"},
    {500, "{\"__type\":\"InternalFailure\"}", VERDICT_RETRY, "unavailable", "InternalFailure"},
    {500, "{\"__type\":\"InternalServerException\",\"Message\":\"y\"}", VERDICT_RETRY,
     "unavailable", "InternalServerException: y"},
    {503, "{\"__type\":\"ServiceUnavailableException\",\"message\":\"Slow down.\"}", VERDICT_RETRY,
     "unavailable", "Slow down."},
    {400, "{\"__type\":\"RequestTimeoutException\"}", VERDICT_RETRY, "unavailable", ""},
    {503, "<html>\r\n<head>", VERDICT_RETRY, "http_503", "HTTP status 503: <html>"},
    {502, "", VERDICT_RETRY, "http_502", "HTTP status 502"},
    {400,
     "{\"__type\":\"ExpiredTokenException\",\"message\":\"The security token included in the "
     "request is expired\"}",
     VERDICT_UNPREPARED, "credentials", "is expired"},
    {400, "{\"__type\":\"UnrecognizedClientException\"}", VERDICT_UNPREPARED, "credentials", ""},
    {403, "{\"__type\":\"InvalidClientTokenId\"}", VERDICT_UNPREPARED, "credentials", ""},
    {400,
     "{\"__type\":\"InvalidSignatureException\",\"message\":\"The request signature we calculated "
     "does not match the signature you provided.\\n\\nThe Canonical String for this request should "
     "have been\\n'POST\\nx-amz-security-token:SECRET'\"}",
     VERDICT_UNPREPARED, "credentials", "you provided."},
    {400,
     "{\"__type\":\"AccessDeniedException\",\"Message\":\"" NOT_AUTHORIZED(
         "kinesis:PutRecords", "arn:aws:kinesis:eu-west-1:111122223333:stream/m") "\"}",
     VERDICT_BLOCKED, "access_denied",
     "permission kinesis:PutRecords on arn:aws:kinesis:eu-west-1:111122223333:stream/m is missing"},
    {400,
     "{\"__type\":\"AccessDeniedException\",\"Message\":\"User: x is not authorized to perform: "
     "timestream:DescribeEndpoints\"}",
     VERDICT_BLOCKED, "access_denied", "permission timestream:DescribeEndpoints is missing"},
    {400, "{\"__type\":\"KMSAccessDeniedException\",\"message\":\"no\"}", VERDICT_BLOCKED,
     "access_denied", "KMSAccessDeniedException: no"},
    {400,
     "{\"__type\":\"ResourceNotFoundException\",\"message\":\"Stream m under account 111122223333 "
     "not found.\"}",
     VERDICT_BLOCKED, "not_found", "not found."},
    {402, "{\"__type\":\"ServiceQuotaExceededException\"}", VERDICT_BLOCKED, "quota", ""},
    {403, "Forbidden by a proxy", VERDICT_BLOCKED, "http_403", "status 403: Forbidden by a proxy"},
    {301, "", VERDICT_BLOCKED, "http_301", "HTTP status 301"},
    {405, "<html>not here</html>", VERDICT_BLOCKED, "http_405", "HTTP status 405"},
    {400, "{\"__type\":\"com.amazonaws.x#ValidationException\",\"message\":\"1 validation error\"}",
     VERDICT_DEAD, "http_400", "ValidationException: 1 validation error"},
    {419,
     "{\"__type\":\"com.amazonaws.timestream.v20181101#RejectedRecordsException\","
     "\"RejectedRecords\":[{\"RecordIndex\":0}],\"message\":\"z\"}",
     VERDICT_DEAD, "http_419", "RejectedRecordsException: z"},
    {413, "", VERDICT_TOO_LARGE, "http_413", ""},
    {400, "{\"message\":\"cut off", VERDICT_BLOCKED, "http_400", "HTTP status 400"},
    {400, "<html>Welcome</html>", VERDICT_BLOCKED, "http_400", "HTTP status 400"},
    {400, "{\"__type\":\"Unheard\"}", VERDICT_DEAD, "http_400", "Unheard"},
    {400, "{\"__type\":\"ThrottlingException\",\"message\":\"cut off", VERDICT_THROTTLED,
     "throttled", ""},
    {400, "{\"__type\":7,\"code\":\"SlowDown\",\"message\":{}}", VERDICT_THROTTLED, "throttled",
     "SlowDown"},
};

#define S3(code, more) \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" code "</Code>" more "</Error>"
#define STS(code, message)                                                                   \
    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n"       \
    "    <Type>Sender</Type>\n    <Code>" code "</Code>\n    <Message>" message "</Message>" \
    "\n  </Error>\n  <RequestId>1</RequestId>\n</ErrorResponse>\n"

static const struct refusal xml_refusals[] = {
    {503, S3("SlowDown", "<Message>Please reduce your request rate.</Message>"), VERDICT_THROTTLED,
     "throttled", "SlowDown: Please reduce your request rate."},
    {500, S3("InternalError", ""), VERDICT_RETRY, "unavailable", "InternalError"},
    {200, S3("InternalError", ""), VERDICT_RETRY, "unavailable", "InternalError"},
    {200, S3("SomethingElse", ""), VERDICT_RETRY, "http_200", "SomethingElse"},
    {400, S3("RequestTimeout", ""), VERDICT_RETRY, "unavailable", ""},
    {400, S3("BadDigest", ""), VERDICT_RETRY, "damaged", ""},
    {404, S3("NoSuchBucket", "<BucketName>b</BucketName>"), VERDICT_BLOCKED, "not_found", ""},
    {403, S3("AccessDenied", "<Message>Access Denied</Message>"), VERDICT_BLOCKED, "access_denied",
     "AccessDenied: Access Denied"},
    {403,
     S3("SignatureDoesNotMatch", "<Message>The request signature we calculated</Message>"
                                 "<StringToSign>SECRET</StringToSign>"),
     VERDICT_UNPREPARED, "credentials", "The request signature we calculated"},
    {403, S3("InvalidAccessKeyId", "<AWSAccessKeyId>SECRET</AWSAccessKeyId>"), VERDICT_UNPREPARED,
     "credentials", "InvalidAccessKeyId"},
    {400, S3("ExpiredToken", ""), VERDICT_UNPREPARED, "credentials", ""},
    {400, S3("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"), VERDICT_BLOCKED,
     "region", ""},
    {301, S3("PermanentRedirect", ""), VERDICT_BLOCKED, "region", ""},
    {400, S3("EntityTooLarge", ""), VERDICT_TOO_LARGE, "too_large", ""},
    {400, S3("InvalidArgument", ""), VERDICT_DEAD, "http_400", "InvalidArgument"},
    {404, "", VERDICT_BLOCKED, "http_404", "HTTP status 404"},
    {403, STS("AccessDenied", NOT_AUTHORIZED("sts:AssumeRole", "arn:aws:iam::111122223333:role/r")),
     VERDICT_BLOCKED, "access_denied",
     "permission sts:AssumeRole on arn:aws:iam::111122223333:role/r is missing"},
    {403, STS("InvalidClientTokenId", "The security token included in the request is invalid."),
     VERDICT_UNPREPARED, "credentials", "is invalid."},
    {400, STS("ExpiredTokenException", "Token expired: x"), VERDICT_UNPREPARED, "credentials", ""},
    {400, STS("IDPCommunicationError", ""), VERDICT_RETRY, "unavailable", ""},
    {400, STS("InvalidIdentityToken", ""), VERDICT_BLOCKED, "access_denied", ""},
    {400, STS("Throttling", "Rate exceeded"), VERDICT_THROTTLED, "throttled", "Rate exceeded"},
};

static struct aws_rig rig;
static struct aws_clock clock_;

static int
setup(void **state)
{
    (void)state;
    aws_rig_init(&rig);
    aws_clock_init(&clock_, rig.setup.env);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    aws_rig_fini(&rig);
    return 0;
}

static void
expect_step(const struct refusal *r, const struct writer_step *step)
{
    bool same = step->next == WRITER_DONE && step->verdict == r->verdict &&
                strcmp(step->reason, r->reason) == 0 && strstr(step->answer, r->says) != NULL;
    if (!same) {
        fail_msg("%u %s: verdict %d, reason %s, answer %s", r->status, r->body, step->verdict,
                 step->reason, step->answer);
    }
    expect_no_secret(step->answer);
}

UNIT_TEST(test_refusals_of_json_services_are_distinguished)
{
    for (size_t i = 0; i < sizeof json_refusals / sizeof *json_refusals; i++) {
        const struct refusal *r = &json_refusals[i];
        struct http_call_answer answer = answer_of(r->status, r->body);
        struct writer_step step;
        aws_json_judge(&clock_, &answer, &step);
        expect_step(r, &step);
        assert_int_equal(step.wait_ms, 0);
    }
}

UNIT_TEST(test_refusals_in_xml_are_distinguished)
{
    for (size_t i = 0; i < sizeof xml_refusals / sizeof *xml_refusals; i++) {
        const struct refusal *r = &xml_refusals[i];
        struct http_call_answer answer = answer_of(r->status, r->body);
        struct writer_step step;
        aws_xml_judge(&clock_, &answer, &step);
        expect_step(r, &step);
    }
}

UNIT_TEST(test_the_header_names_the_error_where_the_body_does_not)
{
    struct http_call_answer answer = answer_of(400, "{\"message\":\"slow\"}");
    struct writer_step step;
    strcpy(answer.wanted[AWS_WANTED_ERROR_TYPE],
           "ThrottlingException:http://internal.amazon.com/coral/com.amazon.coral.availability/");
    answer.retry_after_ns = 3 * NS_PER_S;
    aws_json_judge(&clock_, &answer, &step);
    assert_int_equal(step.verdict, VERDICT_THROTTLED);
    assert_string_equal(step.answer, "ThrottlingException: slow");
    assert_int_equal(step.wait_ms, 3000);
    answer.body = bytes_of_text("{\"__type\":\"a#ValidationException\"}");
    aws_json_judge(&clock_, &answer, &step);
    assert_int_equal(step.verdict, VERDICT_DEAD);
}

UNIT_TEST(test_success_is_left_to_the_caller)
{
    static const char *const bodies[] = {"", "{\"FailedRecordCount\":1}", "{\"__type\":\"x\"}",
                                         "<ListBucketResult><Error><Code>x</Code></Error>"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct http_call_answer answer = answer_of(200, bodies[i]);
        struct writer_step step;
        aws_json_judge(&clock_, &answer, &step);
        assert_int_equal(step.verdict, VERDICT_DELIVERED);
        assert_string_equal(step.reason, "");
        aws_xml_judge(&clock_, &answer, &step);
        assert_int_equal(step.verdict, VERDICT_DELIVERED);
    }
}

UNIT_TEST(test_silence_is_retried_unless_the_configuration_is_at_fault)
{
    static const struct {
        enum http_call_failure failure;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {HTTP_CALL_BAD_URL, VERDICT_BLOCKED, "bad_url"},
        {HTTP_CALL_RESOLVE, VERDICT_RETRY, "resolve"},
        {HTTP_CALL_CONNECT, VERDICT_RETRY, "connect"},
        {HTTP_CALL_PROXY, VERDICT_BLOCKED, "proxy"},
        {HTTP_CALL_TLS, VERDICT_BLOCKED, "tls"},
        {HTTP_CALL_TIMEOUT, VERDICT_RETRY, "timeout"},
        {HTTP_CALL_BROKEN, VERDICT_RETRY, "connection_broken"},
        {HTTP_CALL_NO_MEMORY, VERDICT_RETRY, "no_memory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_call_answer answer = silence_of(cases[i].failure, "in words");
        struct writer_step step;
        aws_json_judge(&clock_, &answer, &step);
        assert_int_equal(step.verdict, cases[i].verdict);
        assert_string_equal(step.reason, cases[i].reason);
        assert_string_equal(step.answer, "in words");
    }
}

UNIT_TEST(test_a_clock_that_is_wrong_is_corrected_by_the_answers_date)
{
    static const char *const bodies[] = {
        "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired: "
        "20260101T000000Z is now earlier than 20260101T005500Z (20260101T010000Z - 5 min.)\"}",
        "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature not yet current: "
        "20260101T000000Z is still later than 20251231T230500Z (20251231T230000Z + 5 min.)\"}",
        "{\"__type\":\"RequestExpired\"}",
        "{\"__type\":\"RequestTimeTooSkewed\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct http_call_answer answer = answer_of(403, bodies[i]);
        struct writer_step step;
        answer.date_s = RIG_START_S + (i == 1 ? -3600 : 3600);
        aws_clock_init(&clock_, rig.setup.env);
        assert_int_equal(aws_clock_now_s(&clock_), RIG_START_S);
        aws_json_judge(&clock_, &answer, &step);
        assert_int_equal(step.verdict, VERDICT_AGAIN);
        assert_string_equal(step.reason, "clock");
        assert_int_equal(aws_clock_now_s(&clock_), answer.date_s);
        /* The clock is right now, so it is not the reason. */
        aws_json_judge(&clock_, &answer, &step);
        assert_int_equal(step.verdict, VERDICT_RETRY);
    }
    struct http_call_answer answer = answer_of(403, S3("RequestTimeTooSkewed", ""));
    struct writer_step step;
    aws_clock_init(&clock_, rig.setup.env);
    aws_xml_judge(&clock_, &answer, &step); /* without a date */
    assert_int_equal(step.verdict, VERDICT_RETRY);
    assert_int_equal(aws_clock_now_s(&clock_), RIG_START_S);
}

UNIT_TEST(test_a_clock_is_not_corrected_for_ever)
{
    struct http_call_answer answer = answer_of(403, "{\"__type\":\"RequestExpired\"}");
    struct http_call_answer good = answer_of(200, "{}");
    struct writer_step step;
    for (int i = 1; i <= 10; i++) {
        answer.date_s = RIG_START_S + i * 1000;
        aws_json_judge(&clock_, &answer, &step);
        assert_int_equal(step.verdict, i <= 3 ? VERDICT_AGAIN : VERDICT_RETRY);
        assert_int_equal(aws_clock_now_s(&clock_), answer.date_s);
    }
    aws_json_judge(&clock_, &good, &step);
    answer.date_s = RIG_START_S;
    aws_json_judge(&clock_, &answer, &step);
    assert_int_equal(step.verdict, VERDICT_AGAIN);
}

UNIT_TEST(test_text_that_may_be_a_token_is_masked)
{
    char body[2000], token[300];
    memset(token, 'A', sizeof token - 1);
    memcpy(token, "SECRET", 6);
    token[sizeof token - 1] = '\0';
    snprintf(body, sizeof body,
             "{\"__type\":\"InvalidSignatureException\",\"message\":\"we had %s and "
             "x-amz-security-token:%s in\\tit \\u00e4\"}",
             token, token);
    struct http_call_answer answer = answer_of(400, body);
    struct writer_step step;
    aws_json_judge(&clock_, &answer, &step);
    assert_string_equal(step.answer, "InvalidSignatureException: we had ... and ... in it ??");
    snprintf(body, sizeof body, "%s", token);
    answer = answer_of(500, body);
    aws_json_judge(&clock_, &answer, &step);
    assert_string_equal(step.answer, "HTTP status 500: ...");
}

UNIT_TEST(test_s3_names_the_right_region)
{
    struct http_call_answer answer = answer_of(
        400, S3("AuthorizationHeaderMalformed", "<Message>m</Message><Region>eu-west-1</Region>"));
    struct aws_error error;
    aws_xml_error(&answer, &error);
    assert_string_equal(error.code, "AuthorizationHeaderMalformed");
    assert_string_equal(error.message, "m");
    assert_string_equal(error.region, "eu-west-1");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_refusals_of_json_services_are_distinguished),
        TEST(test_refusals_in_xml_are_distinguished),
        TEST(test_the_header_names_the_error_where_the_body_does_not),
        TEST(test_success_is_left_to_the_caller),
        TEST(test_silence_is_retried_unless_the_configuration_is_at_fault),
        TEST(test_a_clock_that_is_wrong_is_corrected_by_the_answers_date),
        TEST(test_a_clock_is_not_corrected_for_ever),
        TEST(test_text_that_may_be_a_token_is_masked),
        TEST(test_s3_names_the_right_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
