/* answers_test.c - verdicts on answers of the bucket, and requests before uploads and by checks. */
#include "lib/test.h"

#include "base/log.h"
#include "lib/backend/s3_rig.h"

#define ERROR(code) \
    "<?xml version=\"1.0\"?>\n<Error><Code>" code "</Code><Message>m</Message></Error>"

/* --- answers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_refusals_have_their_verdicts)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {503, ERROR("SlowDown"), VERDICT_THROTTLED, "throttled"},
        {500, ERROR("InternalError"), VERDICT_RETRY, "unavailable"},
        {400, ERROR("RequestTimeout"), VERDICT_RETRY, "unavailable"},
        {400, ERROR("BadDigest"), VERDICT_RETRY, "damaged"},
        {403, ERROR("AccessDenied"), VERDICT_BLOCKED, "access_denied"},
        {404, ERROR("NoSuchBucket"), VERDICT_BLOCKED, "not_found"},
        {400, ERROR("InvalidStorageClass"), VERDICT_BLOCKED, "http_400"},
        {413, "", VERDICT_BLOCKED, "http_413"},
        {400, ERROR("EntityTooLarge"), VERDICT_BLOCKED, "too_large"},
        {400, ERROR("ExpiredToken"), VERDICT_UNPREPARED, "credentials"},
        {200, "\n \n" ERROR("InternalError"), VERDICT_RETRY, "unavailable"},
        {429, "", VERDICT_THROTTLED, "http_429"},
        {502, "<html>", VERDICT_RETRY, "http_502"},
    };
    for (unsigned at_index = 0; at_index < 2; at_index++) { /* for the object, and for its index */
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct s3_rig rig;
            s3_rig_init(&rig, 1);
            s3_rig_open(&rig);
            s3_rig_prepare(&rig);
            s3_rig_must_add(&rig, 1, 0);
            s3_rig_seal_and_save(&rig);
            if (at_index) s3_rig_answer(&rig, 200, "");
            char url[400];
            snprintf(url, sizeof url, "%s", rig.step.http.url);
            s3_rig_answer(&rig, cases[i].status, cases[i].body);
            s3_rig_expect_done(&rig, cases[i].verdict, cases[i].reason);
            if (cases[i].verdict == VERDICT_UNPREPARED) {
                assert_true(s3_writer.need_prepare(rig.writer));
                s3_rig_fini(&rig);
                continue;
            }
            s3_rig_begin(&rig); /* the same again */
            s3_rig_expect_call(&rig, "PUT", url);
            s3_rig_answer(&rig, 200, "");
            if (!at_index) s3_rig_answer(&rig, 200, "");
            s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
            s3_rig_fini(&rig);
        }
    }
}

UNIT_TEST(test_success_without_an_etag_is_retried)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_answer(&rig, 200, "<html>Welcome</html>"); /* without an ETag */
    s3_rig_expect_done(&rig, VERDICT_RETRY, "odd_answer");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_silence_is_asked_again)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_seal_and_save(&rig);
    struct http_call_answer a = silence_of(HTTP_CALL_TIMEOUT, "timed out");
    s3_rig_take(&rig, &a);
    s3_rig_expect_done(&rig, VERDICT_RETRY, "timeout");
    s3_rig_begin(&rig);
    a = silence_of(HTTP_CALL_TLS, "no trust");
    s3_rig_take(&rig, &a);
    s3_rig_expect_done(&rig, VERDICT_BLOCKED, "tls");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_the_right_region_is_learnt_and_remembered)
{
    static const struct {
        unsigned status;
        const char *body;
        const char *region;   /* sent as a header */
        const char *location; /* sent as a header */
    } cases[] = {
        {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>",
         "", ""},
        {301, "<Error><Code>PermanentRedirect</Code></Error>", "us-west-2", ""},
        {307, "<Error><Code>TemporaryRedirect</Code></Error>", "",
         "https://our-metrics.s3.us-west-2.amazonaws.com/x"},
        {307, "", "", "https://our-metrics.s3-us-west-2.amazonaws.com/x"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 1);
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 1, 0);
        s3_rig_seal_and_save(&rig);
        struct http_call_answer a = answer_of(cases[i].status, cases[i].body);
        snprintf(a.wanted[2], sizeof a.wanted[2], "%s", cases[i].region);
        snprintf(a.wanted[3], sizeof a.wanted[3], "%s", cases[i].location);
        s3_rig_take(&rig, &a);
        s3_rig_expect_done(&rig, VERDICT_AGAIN, "region");
        s3_rig_begin(&rig);
        assert_int_equal(
            strncmp(rig.step.http.url, "https://our-metrics.s3.us-west-2.amazonaws.com/", 47), 0);
        expect_in(s3_rig_header(&rig, "Authorization"), "/us-west-2/s3/");
        s3_rig_take(&rig, &a); /* the same answer teaches nothing new */
        assert_int_equal(rig.step.verdict, VERDICT_BLOCKED);
        s3_rig_save(&rig);
        s3_rig_crash(&rig);
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 1, 0);
        s3_rig_begin(&rig);
        expect_in(rig.step.http.url, "us-west-2");
        /* With other settings, it is forgotten. */
        s3_rig_close(&rig);
        rig.settings.aws.region = "eu-north-1";
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 1, 0);
        s3_rig_begin(&rig);
        expect_in(rig.step.http.url, "eu-north-1");
        s3_rig_fini(&rig);
    }
}

UNIT_TEST(test_an_invalid_region_name_is_not_adopted)
{
    static const char *const names[] = {"x.example.org/", "UPPER", "eu-west-1", "-", "a b"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 1);
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 1, 0);
        s3_rig_seal_and_save(&rig);
        struct http_call_answer a = answer_of(301, "");
        snprintf(a.wanted[2], sizeof a.wanted[2], "%s", names[i]);
        s3_rig_take(&rig, &a);
        s3_rig_expect_done(&rig, VERDICT_BLOCKED, "http_301");
        s3_rig_begin(&rig);
        expect_in(rig.step.http.url, HOST);
        s3_rig_fini(&rig);
    }
}

/* --- keys, and checks ------------------------------------------------------------------------- */

UNIT_TEST(test_without_keys_nothing_is_sent)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 13);
    s3_rig_open(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_done(&rig, VERDICT_UNPREPARED, "credentials");
    s3_rig_prepare(&rig);
    s3_rig_begin(&rig);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
    s3_rig_fini(&rig);
}

/* The first request asks for uploads that a crash left over. */
UNIT_TEST(test_wrong_keys_and_a_missing_bucket_are_found_before_the_first_upload)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {403, ERROR("InvalidAccessKeyId"), VERDICT_UNPREPARED, "credentials"},
        {403, ERROR("SignatureDoesNotMatch"), VERDICT_UNPREPARED, "credentials"},
        {404, ERROR("NoSuchBucket"), VERDICT_BLOCKED, "not_found"},
        {400, ERROR("InvalidBucketName"), VERDICT_BLOCKED, "configuration"},
        /* Our keys may not list uploads, or the store does not support it. */
        {403, ERROR("AccessDenied"), VERDICT_DELIVERED, ""},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 30 + i);
        s3_rig_open(&rig);
        assert_true(s3_writer.need_prepare(rig.writer));
        rig.step = (struct writer_step){.next = WRITER_DONE};
        s3_writer.prepare(rig.writer, NULL, &rig.step);
        assert_int_equal(rig.step.next, WRITER_SEND);
        struct http_call_answer a = answer_of(cases[i].status, cases[i].body);
        rig.step = (struct writer_step){.next = WRITER_DONE};
        s3_writer.prepare(rig.writer, &a, &rig.step);
        s3_rig_expect_done(&rig, cases[i].verdict, cases[i].reason);
        bool again = cases[i].verdict != VERDICT_DELIVERED;
        assert_int_equal(s3_writer.need_prepare(rig.writer), again);
        if (cases[i].verdict == VERDICT_UNPREPARED) { /* the same keys are returned */
            rig.step = (struct writer_step){.next = WRITER_DONE};
            s3_writer.prepare(rig.writer, NULL, &rig.step);
            s3_rig_expect_done(&rig, VERDICT_BLOCKED, "credentials");
        }
        if (again) s3_rig_prepare(&rig); /* the problem is solved meanwhile */
        s3_rig_fini(&rig);
    }
}

/* Some stores do not support that list: they are asked for the bucket's objects. */
UNIT_TEST(test_wrong_keys_are_found_where_that_list_is_not_known)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
    } cases[] = {
        {403, ERROR("SignatureDoesNotMatch"), VERDICT_UNPREPARED},
        {404, ERROR("NoSuchBucket"), VERDICT_BLOCKED},
        {403, ERROR("AccessDenied"), VERDICT_DELIVERED},
        {503, "", VERDICT_DELIVERED},
        {200, "<ListBucketResult/>", VERDICT_DELIVERED},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 40 + i);
        s3_rig_open(&rig);
        rig.step = (struct writer_step){.next = WRITER_DONE};
        s3_writer.prepare(rig.writer, NULL, &rig.step);
        struct http_call_answer a = answer_of(501, ERROR("NotImplemented"));
        s3_writer.prepare(rig.writer, &a, &rig.step);
        s3_rig_expect_call(&rig, "GET", HOST "/?list-type=2&max-keys=1");
        a = answer_of(cases[i].status, cases[i].body);
        rig.step = (struct writer_step){.next = WRITER_DONE};
        s3_writer.prepare(rig.writer, &a, &rig.step);
        assert_int_equal(rig.step.next, WRITER_DONE);
        assert_int_equal(rig.step.verdict, cases[i].verdict);
        bool again = cases[i].verdict != VERDICT_DELIVERED;
        assert_int_equal(s3_writer.need_prepare(rig.writer), again);
        s3_rig_fini(&rig);
    }
}

UNIT_TEST(test_checks_say_what_is_there_and_what_is_needed)
{
    static const struct {
        unsigned status;
        enum writer_verdict verdict;
        const char *says;
    } cases[] = {
        {200, VERDICT_DELIVERED, "bucket our-metrics exists in region eu-west-1"},
        {403, VERDICT_BLOCKED, "s3:ListBucket"},
        {404, VERDICT_BLOCKED, "bucket our-metrics not found"},
    };
    struct s3_rig rig;
    char what[WRITER_ANSWER_BYTES];
    s3_rig_init(&rig, 14);
    rig.settings.u.s3.sse = S3_SSE_KMS;
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_call_answer a = answer_of(cases[i].status, "");
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(s3_writer.check(rig.writer, 1, NULL, &rig.step, what));
        s3_rig_expect_call(&rig, "HEAD", HOST "/");
        expect_in(what, "our-metrics");
        assert_true(s3_writer.check(rig.writer, 1, &a, &rig.step, what));
        assert_int_equal(rig.step.next, WRITER_DONE);
        assert_int_equal(rig.step.verdict, cases[i].verdict);
        expect_in(rig.step.answer, cases[i].says);
    }
    /* to another region, which is asked at once */
    struct http_call_answer moved = answer_of(301, "");
    snprintf(moved.wanted[2], sizeof moved.wanted[2], "us-west-2");
    assert_true(s3_writer.check(rig.writer, 1, NULL, &rig.step, what));
    assert_true(s3_writer.check(rig.writer, 1, &moved, &rig.step, what));
    s3_rig_expect_call(&rig, "HEAD", "https://our-metrics.s3.us-west-2.amazonaws.com/");
    assert_true(s3_writer.check(rig.writer, 4, NULL, &rig.step, what));
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    expect_in(rig.step.answer, "s3:PutObject");
    expect_in(rig.step.answer, "arn:aws:s3:::our-metrics/m/*");
    expect_in(rig.step.answer, "kms:GenerateDataKey");
    assert_false(s3_writer.check(rig.writer, 5, NULL, &rig.step, what));
    s3_rig_fini(&rig);
}

/* The check asks for an upload that does not exist: nothing is stored, and a missing
 * permission is named. */
UNIT_TEST(test_checks_of_permissions_store_nothing)
{
    static const char none[] = "<Error><Code>NoSuchUpload</Code><Message>m</Message></Error>";
    static const char denied[] = "<Error><Code>AccessDenied</Code><Message>m</Message></Error>";
    static const struct {
        uint32_t number;
        const char *method, *action, *query;
    } cases[] = {
        {2, "PUT", "(s3:PutObject)", "?partNumber=1&uploadId=firekeep-destinations-test"},
        {3, "DELETE", "(s3:AbortMultipartUpload)", "?uploadId=firekeep-destinations-test"},
    };
    struct s3_rig rig;
    char what[WRITER_ANSWER_BYTES];
    s3_rig_init(&rig, 15);
    s3_rig_open(&rig);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    assert_true(s3_writer.check(rig.writer, 0, NULL, &rig.step, what));
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    expect_in(what, "credentials");
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_call_answer a = answer_of(404, none);
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(s3_writer.check(rig.writer, cases[i].number, NULL, &rig.step, what));
        assert_int_equal(rig.step.next, WRITER_SEND);
        assert_string_equal(rig.step.http.method, cases[i].method);
        expect_in(rig.step.http.url, HOST "/m/firekeep-destinations-test?");
        expect_in(rig.step.http.url, cases[i].query);
        expect_in(what, cases[i].action);
        assert_true(s3_writer.check(rig.writer, cases[i].number, &a, &rig.step, what));
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        a = answer_of(403, denied);
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(s3_writer.check(rig.writer, cases[i].number, &a, &rig.step, what));
        s3_rig_expect_done(&rig, VERDICT_BLOCKED, "access_denied");
    }
    s3_rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_have_their_verdicts),
        cmocka_unit_test(test_success_without_an_etag_is_retried),
        cmocka_unit_test(test_silence_is_asked_again),
        cmocka_unit_test(test_the_right_region_is_learnt_and_remembered),
        cmocka_unit_test(test_an_invalid_region_name_is_not_adopted),
        cmocka_unit_test(test_without_keys_nothing_is_sent),
        cmocka_unit_test(test_wrong_keys_and_a_missing_bucket_are_found_before_the_first_upload),
        cmocka_unit_test(test_wrong_keys_are_found_where_that_list_is_not_known),
        cmocka_unit_test(test_checks_say_what_is_there_and_what_is_needed),
        cmocka_unit_test(test_checks_of_permissions_store_nothing),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
