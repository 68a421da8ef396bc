/*
 * upload_test.c - requests that uploads need at the edges of sizes, and answers that let them
 * continue. s3_test.c tests whole uploads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/s3/delivery.h"
#include "lib/test.h"
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

static void
begin_as(uint64_t size, struct s3_upload_how how)
{
    struct s3_object object = {.file = FILE_CLOSED, .size = size, .digest = {0xab, 0xcd}};
    s3_upload_begin(&upload, &object, how);
}

static void
begin(uint64_t size)
{
    begin_as(size, (struct s3_upload_how){.only_new = true});
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

UNIT_TEST(test_more_than_a_part_goes_in_parts)
{
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
        begin(cases[i].size);
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

UNIT_TEST(test_the_end_of_the_largest_upload_fits)
{
    char etag[130] = "\"";
    struct s3_object object = {.file = FILE_CLOSED};
    struct s3_request request;
    memset(etag + 1, 'e', 126);
    etag[127] = '"';
    begin((uint64_t)S3_PART_BYTES * S3_PARTS_MAX);
    created("x");
    for (unsigned i = 0; i < S3_PARTS_MAX; i++)
        assert_int_equal(take(VERDICT_DELIVERED, 200, "", etag).verdict, VERDICT_DELIVERED);
    must(s3_upload_request(&upload, &object, "x", &request, NULL));
    assert_string_equal(request.query, "uploadId=x");
    assert_true(request.body.size > 1000000);
    assert_non_null(
        memmem(request.body.at, request.body.size, "<PartNumber>10000</PartNumber>", 30));
}

UNIT_TEST(test_etags_that_could_be_markup_are_refused)
{
    static const char *const bad[] = {"", "<a>", "a&b", "a b", "a\x7f", "\xc3\xa9"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(S3_PART_BYTES + 1);
        created("x");
        struct writer_step step = take(VERDICT_DELIVERED, 200, "", bad[i]);
        assert_int_equal(step.verdict, VERDICT_RETRY);
        assert_int_equal(upload.part, 0);
    }
}

UNIT_TEST(test_an_upload_without_a_valid_id_is_refused)
{
    static char long_id[1200];
    memset(long_id, 'i', S3_UPLOAD_ID_BYTES);
    static const char *const bad[] = {"", " ", "a b", "\xc3\xa9", long_id};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        static char body[2000];
        snprintf(body, sizeof body,
                 "<InitiateMultipartUploadResult><UploadId>%s</UploadId>"
                 "</InitiateMultipartUploadResult>",
                 bad[i]);
        begin(S3_PART_BYTES + 1);
        struct writer_step step = take(VERDICT_DELIVERED, 200, body, "");
        assert_int_equal(step.verdict, VERDICT_RETRY);
        assert_int_equal(upload.phase, S3_UPLOAD_CREATE);
        assert_string_equal(upload.id, "");
    }
}

UNIT_TEST(test_refusals_lead_nowhere_but_where_the_upload_is_gone)
{
    begin(S3_PART_BYTES + 1);
    created("x");
    struct writer_step step =
        take(VERDICT_BLOCKED, 403, "<Error><Code>AccessDenied</Code></Error>", "");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_int_equal(upload.phase, S3_UPLOAD_PART);
    step = take(VERDICT_BLOCKED, 404, "<Error><Code>NoSuchUpload</Code></Error>", "");
    assert_int_equal(step.verdict, VERDICT_AGAIN);
    assert_int_equal(upload.phase, S3_UPLOAD_CREATE);
    begin(10); /* it has no meaning for a whole object */
    step = take(VERDICT_BLOCKED, 404, "<Error><Code>NoSuchUpload</Code></Error>", "");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
}

/* --- names that are taken --------------------------------------------------------------------- */

#define DIGEST "abcd0000000000000000000000000000"

/* Answers a HEAD. */
static struct writer_step
looked(unsigned status, const char *length, const char *etag, const char *digest)
{
    enum writer_verdict verdict = status < 300 ? VERDICT_DELIVERED : VERDICT_BLOCKED;
    if (status >= 500) verdict = VERDICT_RETRY;
    struct writer_step step = {.next = WRITER_DONE, .verdict = verdict};
    struct http_call_answer answer = {.status = status};
    snprintf(answer.wanted[S3_WANTED_LENGTH], sizeof answer.wanted[0], "%s", length);
    snprintf(answer.wanted[S3_WANTED_ETAG], sizeof answer.wanted[0], "%s", etag);
    snprintf(answer.wanted[S3_WANTED_DIGEST], sizeof answer.wanted[0], "%s", digest);
    s3_upload_take(&upload, &answer, &step);
    return step;
}

static const struct s3_upload_how LOOKS = {.looks = true, .only_new = true};

UNIT_TEST(test_a_stored_object_is_ours_if_size_and_checksum_match)
{
    static const struct {
        const char *length, *etag, *digest;
        enum s3_upload_phase phase;
    } cases[] = {
        {"10", "\"" DIGEST "\"", DIGEST, S3_UPLOAD_DONE},
        {"10", "\"opaque\"", DIGEST, S3_UPLOAD_DONE},
        {"10", "\"" DIGEST "\"", "", S3_UPLOAD_DONE},
        {"10", DIGEST, "", S3_UPLOAD_DONE},
        {"11", "\"" DIGEST "\"", DIGEST, S3_UPLOAD_TAKEN},
        {"", "\"" DIGEST "\"", DIGEST, S3_UPLOAD_DONE},
        {"", "\"opaque\"", "", S3_UPLOAD_TAKEN},
        {"10", "\"" DIGEST "\"", "abce0000000000000000000000000000", S3_UPLOAD_TAKEN},
        {"10", "\"opaque\"", "", S3_UPLOAD_TAKEN},
        {"10", "\"" DIGEST "-2\"", "", S3_UPLOAD_TAKEN},
        {"10", "\"abcd\"", "", S3_UPLOAD_TAKEN},
        {"10", "", "", S3_UPLOAD_TAKEN}, /* unless another answer shows that it exists */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool named = cases[i].etag[0] != 0 || cases[i].digest[0] != 0;
        begin_as(10, LOOKS);
        assert_int_equal(upload.phase, S3_UPLOAD_LOOK);
        assert_int_equal(s3_upload_requests_left(&upload), 1);
        struct writer_step step = looked(200, cases[i].length, cases[i].etag, cases[i].digest);
        assert_int_equal(step.verdict, named ? VERDICT_DELIVERED : VERDICT_RETRY);
        assert_int_equal(upload.phase, named ? cases[i].phase : S3_UPLOAD_LOOK);
        begin(10); /* now the store refuses the upload as a repetition */
        step = take(VERDICT_BLOCKED, 412, "<Error><Code>PreconditionFailed</Code></Error>", "");
        assert_int_equal(step.verdict, VERDICT_DELIVERED);
        assert_int_equal(upload.phase, S3_UPLOAD_COMPARE);
        assert_true(upload.refused);
        step = looked(200, cases[i].length, cases[i].etag, cases[i].digest);
        assert_int_equal(upload.phase, cases[i].phase);
        assert_false(upload.unseen);
    }
}

UNIT_TEST(test_where_nothing_can_be_seen_nothing_is_overwritten)
{
    for (unsigned status = 400; status <= 404; status++) {
        begin_as(10, LOOKS);
        assert_int_equal(looked(status, "", "", "").verdict, VERDICT_DELIVERED);
        assert_int_equal(upload.phase, S3_UPLOAD_PUT); /* with the condition */
        assert_true(upload.how.only_new);
        take(VERDICT_BLOCKED, 412, "", "");
        struct writer_step step = looked(status, "", "", "");
        if (status == 404) { /* it existed a moment ago */
            assert_int_equal(step.verdict, VERDICT_RETRY);
            assert_int_equal(upload.phase, S3_UPLOAD_PUT);
        } else {
            assert_int_equal(upload.phase, S3_UPLOAD_TAKEN);
            assert_true(upload.unseen);
        }
    }
    begin_as(10, LOOKS);
    assert_int_equal(looked(503, "", "", "").verdict, VERDICT_RETRY);
    assert_int_equal(upload.phase, S3_UPLOAD_LOOK);
}

UNIT_TEST(test_a_store_that_does_not_know_the_condition_is_asked_without_it)
{
    struct s3_object object = {.file = FILE_CLOSED};
    struct s3_request request;
    begin(10);
    struct writer_step step = take(VERDICT_RETRY, 501, "", "");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_int_equal(upload.phase, S3_UPLOAD_PUT);
    assert_false(upload.how.only_new);
    step = take(VERDICT_RETRY, 501, "", ""); /* the answer has another reason */
    assert_int_equal(step.verdict, VERDICT_RETRY);
    begin(S3_PART_BYTES + 1);
    created("x");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    must(s3_upload_request(&upload, &object, "x", &request, NULL));
    assert_true(request.only_new);
    take(VERDICT_RETRY, 501, "", "");
    must(s3_upload_request(&upload, &object, "x", &request, NULL));
    assert_false(request.only_new);
    assert_string_equal(request.query, "uploadId=x");
    take(VERDICT_DELIVERED, 200, "<CompleteMultipartUploadResult/>", "");
    assert_int_equal(upload.phase, S3_UPLOAD_DONE);
}

UNIT_TEST(test_an_upload_in_parts_is_given_up_when_its_name_is_taken)
{
    begin(S3_PART_BYTES + 1);
    created("x");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    assert_false(upload.leftover);
    take(VERDICT_BLOCKED, 412, "", "");
    assert_int_equal(upload.phase, S3_UPLOAD_COMPARE);
    assert_true(upload.leftover);
    assert_string_equal(upload.id, ""); /* no upload has to be kept */
    looked(200, "8388609", "\"" DIGEST "-2\"", "");
    assert_int_equal(upload.phase, S3_UPLOAD_DONE);
    begin(S3_PART_BYTES + 1);
    created("x");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    struct writer_step step = take(VERDICT_RETRY, 409, "", "");
    assert_int_equal(step.verdict, VERDICT_RETRY);
    assert_string_equal(step.reason, "conflict");
    assert_int_equal(upload.phase, S3_UPLOAD_CREATE);
    assert_true(upload.leftover);
    /* The server sent the status before it knew the result. */
    created("x");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    take(VERDICT_DELIVERED, 200, "", "\"e\"");
    take(VERDICT_RETRY, 200, "<Error><Code>PreconditionFailed</Code></Error>", "");
    assert_int_equal(upload.phase, S3_UPLOAD_COMPARE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_more_than_a_part_goes_in_parts),
        TEST(test_the_end_of_the_largest_upload_fits),
        TEST(test_etags_that_could_be_markup_are_refused),
        TEST(test_an_upload_without_a_valid_id_is_refused),
        TEST(test_refusals_lead_nowhere_but_where_the_upload_is_gone),
        TEST(test_a_stored_object_is_ours_if_size_and_checksum_match),
        TEST(test_where_nothing_can_be_seen_nothing_is_overwritten),
        TEST(test_a_store_that_does_not_know_the_condition_is_asked_without_it),
        TEST(test_an_upload_in_parts_is_given_up_when_its_name_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
