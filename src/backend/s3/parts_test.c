/* parts_test.c - large objects are uploaded in parts, and uploads left over by a crash
 * are aborted. */
#include "lib/test.h"

#include "base/log.h"
#include "lib/backend/s3_rig.h"

/* --- parts ------------------------------------------------------------------------------------ */

static void
answer_created(struct s3_rig *rig, int number)
{
    char body[200];
    snprintf(body, sizeof body,
             "<InitiateMultipartUploadResult><UploadId>id/%d</UploadId>"
             "</InitiateMultipartUploadResult>",
             number);
    s3_rig_answer(rig, 200, body);
}

/* Adds an object of a little more than two parts. */
static void
add_large(struct s3_rig *rig)
{
    for (uint32_t i = 0; s3_writer.bytes(rig->writer, rig->call) < 17 * MIB; i++)
        s3_rig_must_add(rig, 1000 + i, 0);
}

static void
expect_part(struct s3_rig *rig, unsigned number, int upload)
{
    char want[64];
    snprintf(want, sizeof want, "?partNumber=%u&uploadId=id%%2F%d", number, upload);
    assert_int_equal(rig->step.next, WRITER_SEND);
    assert_string_equal(rig->step.http.method, "PUT");
    expect_in(rig->step.http.url, want);
    assert_int_equal(strlen(s3_rig_header(rig, "Content-MD5")), 24);
    assert_string_equal(s3_rig_header(rig, "x-amz-storage-class"), "");
    if (number < 3) assert_int_equal(rig->step.http.body.size, 8 * MIB);
}

UNIT_TEST(test_a_large_object_goes_in_parts)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.storage_class = "GLACIER_IR";
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    add_large(&rig);
    uint64_t size = s3_writer.bytes(rig.writer, rig.call);
    s3_rig_seal_and_save(&rig);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 6);
    assert_string_equal(rig.step.http.method, "POST");
    expect_in(rig.step.http.url, ".ndjson?uploads=");
    assert_string_equal(s3_rig_header(&rig, "x-amz-storage-class"), "GLACIER_IR");
    assert_string_equal(s3_rig_header(&rig, "Content-Type"), "application/x-ndjson");
    assert_true(budget_used(&rig.memory) < 12 * MIB);

    s3_rig_answer(&rig, 200, "<InitiateMultipartUploadResult/>"); /* without an id */
    s3_rig_expect_done(&rig, VERDICT_RETRY, "odd_answer");
    s3_rig_begin(&rig);
    answer_created(&rig, 1);
    expect_part(&rig, 1, 1);
    assert_true(budget_used(&rig.memory) < 12 * MIB);
    s3_rig_answer_etag(&rig, "\"e1\"");
    expect_part(&rig, 2, 1);
    s3_rig_answer(&rig, 503,
                  "<Error><Code>SlowDown</Code></Error>"); /* it continues at the same part */
    s3_rig_expect_done(&rig, VERDICT_THROTTLED, "throttled");
    s3_rig_begin(&rig);
    expect_part(&rig, 2, 1);
    s3_rig_answer_etag(&rig, "");
    s3_rig_expect_done(&rig, VERDICT_RETRY, "odd_answer");
    s3_rig_begin(&rig);
    s3_rig_answer_etag(&rig, "<e2>");
    s3_rig_expect_done(&rig, VERDICT_RETRY, "odd_answer");
    s3_rig_begin(&rig);
    expect_part(&rig, 2, 1);
    s3_rig_answer_etag(&rig, "\"e2\"");
    expect_part(&rig, 3, 1);
    assert_int_equal(rig.step.http.body.size, size - 16 * MIB);
    s3_rig_answer_etag(&rig, "\"e3\"");
    assert_string_equal(rig.step.http.method, "POST");
    expect_in(rig.step.http.url, ".ndjson?uploadId=id%2F1");
    s3_rig_expect_body(&rig, "<CompleteMultipartUpload>"
                             "<Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part>"
                             "<Part><PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part>"
                             "<Part><PartNumber>3</PartNumber><ETag>\"e3\"</ETag></Part>"
                             "</CompleteMultipartUpload>");
    s3_rig_answer(&rig, 200,
                  "\n\n <?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>");
    s3_rig_expect_done(&rig, VERDICT_RETRY, "unavailable");
    s3_rig_begin(&rig);
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_done(&rig, VERDICT_RETRY, "odd_answer");
    s3_rig_begin(&rig);
    expect_in(rig.step.http.url, ".ndjson?uploadId=id%2F1");
    s3_rig_answer(&rig, 200,
                  " <CompleteMultipartUploadResult><ETag>x</ETag>"
                  "</CompleteMultipartUploadResult>");
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
    assert_true(budget_used(&rig.memory) < 4 * MIB);
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_a_lost_upload_is_restarted)
{
    static const char *const codes[] = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"};
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        for (unsigned parts = 0; parts <= 3; parts++) {
            struct s3_rig rig;
            char body[100];
            snprintf(body, sizeof body, "<Error><Code>%s</Code></Error>", codes[i]);
            s3_rig_init(&rig, 1);
            s3_rig_open(&rig);
            s3_rig_prepare(&rig);
            add_large(&rig);
            s3_rig_seal_and_save(&rig);
            answer_created(&rig, 1);
            for (unsigned k = 0; k < parts; k++)
                s3_rig_answer_etag(&rig, "\"e\"");
            s3_rig_answer(&rig, 404, body);
            s3_rig_expect_done(&rig, VERDICT_AGAIN, "upload_lost");
            s3_rig_begin(&rig);
            expect_in(rig.step.http.url, "?uploads=");
            answer_created(&rig, 2);
            expect_part(&rig, 1, 2);
            s3_rig_fini(&rig);
        }
    }
}

/* --- uploads left over ------------------------------------------------------------------------ */

static void
prepare_answer(struct s3_rig *rig, unsigned status, const char *body)
{
    struct http_call_answer a = answer_of(status, body);
    assert_int_equal(rig->step.next, WRITER_SEND);
    rig->step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig->writer, &a, &rig->step);
}

UNIT_TEST(test_uploads_that_a_crash_left_are_aborted)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 11);
    s3_rig_open(&rig);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig.writer, NULL, &rig.step);
    s3_rig_expect_call(&rig, "GET", HOST "/?uploads=&max-uploads=200&prefix=m%2F");
    prepare_answer(
        &rig, 200,
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>k&amp;1</NextKeyMarker><NextUploadIdMarker>i/1</NextUploadIdMarker>"
        "<Upload><Key>m/2026/01/01/05/" INSTANCE "-1-2.ndjson</Key>"
        "<UploadId>a/1</UploadId></Upload>"
        "<Upload><Key>m/2026/01/01/05/fedcba-1-2.ndjson</Key><UploadId>b</UploadId></Upload>"
        "<Upload><Key>" INSTANCE "-3-4.ndjson</Key><UploadId>c</UploadId></Upload>"
        "</ListMultipartUploadsResult>");
    s3_rig_expect_call(&rig, "DELETE",
                       HOST "/m/2026/01/01/05/" INSTANCE "-1-2.ndjson?uploadId=a%2F1");
    prepare_answer(&rig, 204, "");
    s3_rig_expect_call(&rig, "DELETE", HOST "/" INSTANCE "-3-4.ndjson?uploadId=c");
    prepare_answer(&rig, 404, "<Error><Code>NoSuchUpload</Code></Error>");
    s3_rig_expect_call(&rig, "GET",
                       HOST
                       "/?uploads=&max-uploads=200&prefix=m%2F&key-marker=k%261&upload-id-marker="
                       "i%2F1");
    prepare_answer(&rig, 200, NO_UPLOADS);
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    assert_false(s3_writer.need_prepare(rig.writer));
    s3_rig_fini(&rig);
}

UNIT_TEST(test_without_leave_to_look_for_uploads_all_goes_on)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 11);
    s3_rig_open(&rig);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig.writer, NULL, &rig.step);
    prepare_answer(&rig, 403, "<Error><Code>AccessDenied</Code></Error>");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    assert_false(s3_writer.need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, 7200 * NS_PER_S);
    assert_false(s3_writer.need_prepare(rig.writer));
    s3_rig_close(&rig);
    s3_rig_open(&rig); /* temporary errors are retried */
    rig.step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig.writer, NULL, &rig.step);
    prepare_answer(&rig, 501, "<Error><Code>NotImplemented</Code></Error>");
    s3_rig_expect_call(&rig, "GET", HOST "/?list-type=2&max-keys=1"); /* checks the keys */
    prepare_answer(&rig, 200, "<ListBucketResult/>");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    assert_false(s3_writer.need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, 3700 * NS_PER_S);
    assert_true(s3_writer.need_prepare(rig.writer));
    s3_rig_fini(&rig);
}

UNIT_TEST(test_an_upload_that_is_given_up_is_aborted_later)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 12);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    add_large(&rig);
    s3_rig_seal_and_save(&rig);
    answer_created(&rig, 1);
    s3_rig_answer(&rig, 503, "");
    s3_writer.call_clear(rig.writer, rig.call); /* give_up_after */
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 1);
    s3_rig_save(&rig);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
    sim_env_advance_ns(rig.sim, 3700 * NS_PER_S);
    assert_true(s3_writer.need_prepare(rig.writer));
    s3_rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_object_goes_in_parts),
        cmocka_unit_test(test_a_lost_upload_is_restarted),
        cmocka_unit_test(test_uploads_that_a_crash_left_are_aborted),
        cmocka_unit_test(test_without_leave_to_look_for_uploads_all_goes_on),
        cmocka_unit_test(test_an_upload_that_is_given_up_is_aborted_later),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
