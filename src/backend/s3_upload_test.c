/*
 * s3_upload_test.c - which requests an object takes, at the edges of its size; and which answers
 * lead on. The way through a whole upload is tried in s3_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/s3_upload.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

static struct s3_upload upload;
static struct budget memory;

static int
setup(void **state)
{
    (void)state;
    budget_init(&memory, "test", 0, NULL);
    s3_upload_init(&upload, &memory);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    s3_upload_fini(&upload);
    assert_int_equal(budget_used(&memory), 0);
    return 0;
}

static struct writer_step
take(enum writer_verdict verdict, unsigned status, const char *body, const char *etag)
{
    struct writer_step step = {.next = WRITER_DONE, .verdict = verdict};
    struct http_call_answer answer = {.status = status, .body = bytes_of_text(body)};
    snprintf(answer.wanted[S3_WANTED_ETAG], sizeof answer.wanted[0], "%s", etag);
    s3_upload_take(&upload, &answer, &step);
    return step;
}

static void
created(const char *id)
{
    char body[200];
    snprintf(
        body, sizeof body,
        "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>",
        id);
    struct writer_step step = take(VERDICT_DELIVERED, 200, body, "");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_int_equal(upload.phase, S3_UPLOAD_PART);
}

static void
test_more_than_a_part_goes_in_parts(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        uint64_t requests;
    } cases[] = {
        {1, 1},
        {S3_PART_BYTES, 1},
        {S3_PART_BYTES + 1, 4},
        {2 * (uint64_t)S3_PART_BYTES, 4},
        {2 * (uint64_t)S3_PART_BYTES + 1, 5},
        {(uint64_t)S3_PART_BYTES * S3_PARTS_MAX, S3_PARTS_MAX + 2},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        s3_upload_begin(&upload, cases[i].size);
        assert_int_equal(s3_upload_requests_left(&upload), cases[i].requests);
        uint64_t requests = 1;
        if (upload.phase == S3_UPLOAD_CREATE) created("x");
        while (upload.phase == S3_UPLOAD_PART) {
            requests++;
            assert_int_equal(s3_upload_requests_left(&upload), cases[i].requests - requests + 1);
            take(VERDICT_DELIVERED, 200, "", "\"0123456789abcdef0123456789abcdef\"");
        }
        if (upload.phase == S3_UPLOAD_COMPLETE) {
            requests++;
            take(VERDICT_DELIVERED, 200, "<CompleteMultipartUploadResult/>", "");
        } else {
            take(VERDICT_DELIVERED, 200, "", "\"e\"");
        }
        assert_int_equal(upload.phase, S3_UPLOAD_DONE);
        assert_int_equal(requests, cases[i].requests);
        assert_int_equal(s3_upload_requests_left(&upload), 0);
    }
}

static void
test_the_end_of_the_largest_upload_fits(void **state)
{
    (void)state;
    char etag[130] = "\"";
    struct s3_object object = {.file = FILE_CLOSED};
    struct s3_request request;
    memset(etag + 1, 'e', 126);
    etag[127] = '"';
    s3_upload_begin(&upload, (uint64_t)S3_PART_BYTES * S3_PARTS_MAX);
    created("x");
    for (unsigned i = 0; i < S3_PARTS_MAX; i++) {
        assert_int_equal(take(VERDICT_DELIVERED, 200, "", etag).verdict, VERDICT_DELIVERED);
    }
    must(s3_upload_request(&upload, &object, "x", &request, NULL));
    assert_string_equal(request.query, "uploadId=x");
    assert_true(request.body.size > 1000000);
    assert_non_null(
        memmem(request.body.at, request.body.size, "<PartNumber>10000</PartNumber>", 30));
}

static void
test_etags_that_could_be_markup_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "<a>", "a&b", "a b", "a\x7f", "\xc3\xa9"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        s3_upload_begin(&upload, S3_PART_BYTES + 1);
        created("x");
        struct writer_step step = take(VERDICT_DELIVERED, 200, "", bad[i]);
        assert_int_equal(step.verdict, VERDICT_RETRY);
        assert_int_equal(upload.part, 0);
    }
}

static void
test_an_upload_without_a_good_id_is_none(void **state)
{
    (void)state;
    static char long_id[1200];
    memset(long_id, 'i', S3_UPLOAD_ID_BYTES);
    static const char *const bad[] = {"", " ", "a b", "\xc3\xa9", long_id};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        static char body[2000];
        snprintf(body, sizeof body,
                 "<InitiateMultipartUploadResult><UploadId>%s</UploadId>"
                 "</InitiateMultipartUploadResult>",
                 bad[i]);
        s3_upload_begin(&upload, S3_PART_BYTES + 1);
        struct writer_step step = take(VERDICT_DELIVERED, 200, body, "");
        assert_int_equal(step.verdict, VERDICT_RETRY);
        assert_int_equal(upload.phase, S3_UPLOAD_CREATE);
        assert_string_equal(upload.id, "");
    }
}

static void
test_refusals_lead_nowhere_but_where_the_upload_is_gone(void **state)
{
    (void)state;
    s3_upload_begin(&upload, S3_PART_BYTES + 1);
    created("x");
    struct writer_step step =
        take(VERDICT_BLOCKED, 403, "<Error><Code>AccessDenied</Code></Error>", "");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_int_equal(upload.phase, S3_UPLOAD_PART);
    step = take(VERDICT_BLOCKED, 404, "<Error><Code>NoSuchUpload</Code></Error>", "");
    assert_int_equal(step.verdict, VERDICT_AGAIN);
    assert_int_equal(upload.phase, S3_UPLOAD_CREATE);
    s3_upload_begin(&upload, 10); /* of a whole object it says nothing */
    step = take(VERDICT_BLOCKED, 404, "<Error><Code>NoSuchUpload</Code></Error>", "");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_more_than_a_part_goes_in_parts),
        TEST(test_the_end_of_the_largest_upload_fits),
        TEST(test_etags_that_could_be_markup_are_refused),
        TEST(test_an_upload_without_a_good_id_is_none),
        TEST(test_refusals_lead_nowhere_but_where_the_upload_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
