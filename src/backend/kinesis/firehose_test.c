/* firehose_test.c - items in, exact requests out: full records, gzip members, verdicts, limits at
 * their edges. */
#include "lib/test.h"
#include <zlib.h>

#include "lib/backend/stream_rig.h"

static struct stream_rig rig;

static int
setup(void **state)
{
    (void)state;
    stream_rig_init(&rig, DESTINATION_FIREHOSE);
    rig.settings.u.firehose.delivery_stream = "metrics";
    rig.settings.u.firehose.endpoint = "https://firehose.example";
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    stream_rig_fini(&rig);
    return 0;
}

static void
open_with(enum compression compression, uint64_t max_bytes)
{
    rig.settings.u.firehose.compression = compression;
    rig.settings.batch.max_bytes = max_bytes;
    stream_rig_open(&rig);
    assert_true(rig.class->need_prepare(rig.writer));
    stream_rig_prepare(&rig, NULL);
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    assert_false(rig.class->need_prepare(rig.writer));
}

static void
begin(void)
{
    stream_rig_begin(&rig);
    if (rig.step.next != WRITER_SEND) fail_msg("%s", rig.step.answer);
}

static void
add(uint64_t hash, int64_t t_ms)
{
    uint32_t entry;
    assert_int_equal(stream_rig_add(&rig, hash, t_ms, 0, &entry), WRITER_ADDED);
}

/* Adds items until the call is full; returns their number. */
static uint32_t
fill(size_t label_bytes)
{
    uint32_t entry, count = 0;
    while (stream_rig_add(&rig, count, 1, label_bytes, &entry) == WRITER_ADDED)
        count++;
    return count;
}

/* --- records ---------------------------------------------------------------------------------- */

UNIT_TEST(test_lines_are_one_record)
{
    static const char want[] =
        "{\"DeliveryStreamName\":\"metrics\",\"Records\":[{\"Data\":\"eyJuYW1lIjoidXAiLCJ0aW1lIjox"
        "LCJ2YWx1ZSI6MSwibGFiZWxzIjp7Il9fbmFtZV9fIjoidXAifX0KeyJuYW1lIjoidXAiLCJ0aW1lIjoyLCJ2YWx1"
        "ZSI6MSwibGFiZWxzIjp7Il9fbmFtZV9fIjoidXAifX0K\"}]}";
    open_with(COMPRESSION_NONE, 0);
    assert_false(writer_limits_of(rig.writer)->one_of_a_series);
    add(1, 1);
    add(2, 2);
    assert_int_equal(rig.class->units(rig.writer, rig.call), 1);
    assert_true(rig.class->bytes(rig.writer, rig.call) >= sizeof want - 1);
    begin();
    assert_true(bytes_equal_text(rig.step.http.body, want));
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), sizeof want - 1);
    assert_string_equal(rig.step.http.url, "https://firehose.example/");
    assert_string_equal(stream_rig_header(&rig, "X-Amz-Target"),
                        "Firehose_20150804.PutRecordBatch");
    assert_string_equal(stream_rig_header(&rig, "Content-Type"), "application/x-amz-json-1.1");
}

UNIT_TEST(test_a_full_record_is_just_below_a_step_of_five_kilobytes)
{
    size_t line = stream_rig_line_bytes(&rig, 1, 100);
    open_with(COMPRESSION_NONE, 0);
    uint32_t count = fill(100);
    uint64_t units = rig.class->units(rig.writer, rig.call);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 1);
    struct bytes record = stream_rig_record(&rig, 0);
    assert_int_equal(record.size, count * line);
    assert_true(5120 - record.size % 5120 < line);
    assert_int_equal(units, record.size / 5120 + 1);
    assert_true(rig.step.http.body.size <= 800 << 10);
    assert_true(rig.step.http.body.size > (800 << 10) - 8000);
    assert_int_equal(record.at[record.size - 1], '\n');
}

UNIT_TEST(test_larger_calls_have_a_record_for_each_bucket)
{
    open_with(COMPRESSION_NONE, 100 << 20);
    uint32_t count = fill(100), seen = 0;
    size_t line = stream_rig_line_bytes(&rig, 1, 100);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct bytes record = stream_rig_record(&rig, i);
        assert_true(record.size <= 1024000);
        assert_true(record.size > 1024000 - 2 * line);
        seen += (uint32_t)(record.size / line);
    }
    assert_int_equal(seen, count);
    assert_true(rig.step.http.body.size <= 4 << 20);
}

UNIT_TEST(test_lines_of_a_series_stay_in_one_record)
{
    open_with(COMPRESSION_NONE, 4 << 20);
    for (int64_t t = 0; t < 100; t++) {
        uint32_t entry;
        assert_int_equal(stream_rig_add(&rig, (uint64_t)t % 7, t, 0, &entry), WRITER_ADDED);
        assert_int_equal(entry, t % 7 % 3);
    }
    begin();
    for (uint32_t i = 0; i < 3; i++) {
        struct bytes lines = stream_rig_record(&rig, i);
        int64_t last = -1;
        while (lines.size > 0) {
            int64_t t = stream_rig_line_time(&lines);
            assert_true(t > last);
            assert_int_equal(t % 7 % 3, i);
            last = t;
        }
    }
}

UNIT_TEST(test_smaller_calls_have_smaller_records)
{
    open_with(COMPRESSION_NONE, 30000);
    (void)fill(100);
    begin();
    assert_true(rig.step.http.body.size <= 30000);
    assert_true(rig.step.http.body.size > 30000 - 8000);
    stream_rig_close(&rig);
    open_with(COMPRESSION_NONE, 1);
    assert_true(fill(100) > 10); /* the relay ends the call */
}

UNIT_TEST(test_a_line_may_be_as_long_as_a_record)
{
    uint32_t entry;
    size_t frame = stream_rig_line_bytes(&rig, 1, 1) - 1;
    open_with(COMPRESSION_NONE, 1 << 20);
    assert_int_equal(stream_rig_add(&rig, 1, 1, 1024000 - frame + 1, &entry), WRITER_UNFIT);
    assert_string_equal(rig.step.answer, "the line of 1024001 bytes is too long: a record of the "
                                         "delivery stream holds at most 1024000 bytes");
    assert_int_equal(stream_rig_add(&rig, 1, 1, 1024000 - frame, &entry), WRITER_ADDED);
    assert_int_equal(rig.class->units(rig.writer, rig.call), 200);
    assert_int_equal(stream_rig_add(&rig, 1, 1, 0, &entry), WRITER_FULL);
    begin();
    assert_int_equal(stream_rig_record(&rig, 0).size, 1024000);
}

/* --- gzip ------------------------------------------------------------------------------------- */

/* Unpacks one member, which must be all. Returns the size of its content. */
static size_t
unpack(struct bytes packed)
{
    static uint8_t text[1 << 20];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.at, .avail_in = (uInt)packed.size};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_out = text;
    z.avail_out = sizeof text;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    size_t size = sizeof text - z.avail_out;
    inflateEnd(&z);
    struct bytes lines = bytes_of(text, size);
    while (lines.size > 0)
        (void)stream_rig_line_time(&lines);
    return size;
}

UNIT_TEST(test_with_gzip_a_record_is_a_member)
{
    open_with(COMPRESSION_GZIP, 0);
    uint32_t count = fill(100);
    uint64_t raw_units = rig.class->units(rig.writer, rig.call);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 1);
    struct bytes record = stream_rig_record(&rig, 0);
    assert_int_equal(unpack(record), count * stream_rig_line_bytes(&rig, 1, 100));
    assert_int_equal(rig.class->units(rig.writer, rig.call), (record.size + 5119) / 5120);
    assert_true(raw_units > 100);
    /* The next call is expected to be as small. */
    uint64_t bytes = rig.class->bytes(rig.writer, rig.call);
    rig.class->call_clear(rig.writer, rig.call);
    assert_int_equal(fill(100), count);
    assert_true(rig.class->bytes(rig.writer, rig.call) < 2 * bytes);
    assert_true(rig.class->units(rig.writer, rig.call) < 10);
}

UNIT_TEST(test_incompressible_data_fits_a_record)
{
    struct why why;
    uint32_t entry;
    open_with(COMPRESSION_GZIP, 4 << 20);
    struct buf labels;
    buf_init(&labels, NULL, 1 << 20);
    enum writer_add added = WRITER_ADDED;
    for (uint64_t i = 0; added == WRITER_ADDED; i++) { /* text, as random as possible */
        char value[3001];
        for (unsigned k = 0; k < sizeof value - 1; k++) {
            /* neither quotes nor backslashes */
            value[k] = (char)(' ' + 3 + sim_env_random(rig.sim) % 57);
        }
        value[sizeof value - 1] = '\0';
        buf_clear(&labels);
        labels_put(&labels, (struct label){bytes_of_text("l"), bytes_of_text(value)});
        struct item item = {.kind = ITEM_FLOAT, .labels = buf_bytes(&labels), .series_hash = i};
        added = rig.class->add(rig.writer, rig.call, &item, &entry, &why);
    }
    assert_int_equal(added, WRITER_FULL);
    begin();
    assert_true(rig.step.http.body.size <= 4 << 20);
    for (uint32_t i = 0; i < stream_rig_record_count(&rig); i++)
        assert_true(stream_rig_record(&rig, i).size <= 1024000);
    buf_fini(&labels);
    rig.class->call_clear(rig.writer, rig.call);
    add(1, 1); /* a member may be larger than its content */
    begin();
    assert_true(unpack(stream_rig_record(&rig, 0)) < stream_rig_record(&rig, 0).size);
}

/* --- answers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_records_are_judged_one_by_one)
{
    struct writer_entry entry;
    open_with(COMPRESSION_NONE, 4 << 20);
    add(0, 1);
    add(1, 1);
    begin();
    stream_rig_answer(
        &rig, 200,
        "{\"FailedPutCount\":1,\"Encrypted\":false,\"RequestResponses\":[{\"ErrorCode\":"
        "\"ServiceUnavailableException\",\"ErrorMessage\":\"Slow down.\"},"
        "{\"RecordId\":\"r\"}]}");
    stream_rig_expect(&rig, VERDICT_MIXED, "ServiceUnavailableException: Slow down.");
    rig.class->entry(rig.writer, rig.call, 0, &entry);
    assert_int_equal(entry.verdict, VERDICT_THROTTLED);
    rig.class->entry(rig.writer, rig.call, 1, &entry);
    assert_int_equal(entry.verdict, VERDICT_DELIVERED);
    stream_rig_answer(&rig, 200,
                      "{\"FailedPutCount\":0,\"RequestResponses\":[{\"RecordId\":\"r\"},"
                      "{\"RecordId\":\"s\"}]}");
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    stream_rig_answer(&rig, 200, "{\"FailedPutCount\":0,\"RequestResponses\":[]}");
    stream_rig_expect(&rig, VERDICT_RETRY, "does not say which records were stored");
}

UNIT_TEST(test_refusals_of_the_whole_call_have_their_verdicts)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *part, *reason; /* NULL: any */
    } cases[] = {
        {500, "{\"__type\":\"ServiceUnavailableException\"}", VERDICT_RETRY, "Unavailable"},
        {503, "{\"__type\":\"Busy\",\"message\":\"not MSKAsSource\"}", VERDICT_RETRY, "Busy"},
        {400, "{\"__type\":\"ThrottlingException\"}", VERDICT_THROTTLED, "Throttling"},
        {400, "{\"__type\":\"ResourceNotFoundException\"}", VERDICT_BLOCKED, "NotFound"},
        {400, "{\"__type\":\"InvalidKMSResourceException\"}", VERDICT_BLOCKED, "KMS"},
        {400, "{\"__type\":\"InvalidArgumentException\",\"message\":\"it is wrong\"}",
         VERDICT_SOME_DEAD, "it is wrong"},
        {400,
         "{\"__type\":\"InvalidArgumentException\",\"message\":\"not permitted on "
         "KinesisStreamAsSource delivery stream type.\"}",
         VERDICT_BLOCKED, "KinesisStreamAsSource", "configuration"},
        {400, "{\"__type\":\"InvalidArgumentException\",\"message\":\"MSKAsSource\"}",
         VERDICT_BLOCKED, "MSKAsSource", "configuration"},
        {400, "{\"__type\":\"InvalidSourceException\"}", VERDICT_BLOCKED, "InvalidSource",
         "configuration"},
        {413, "", VERDICT_TOO_LARGE, "413"},
        {400, "{\"__type\":\"UnrecognizedClientException\"}", VERDICT_UNPREPARED, "Client"},
    };
    open_with(COMPRESSION_NONE, 0);
    add(1, 1);
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stream_rig_answer(&rig, cases[i].status, cases[i].body);
        stream_rig_expect(&rig, cases[i].verdict, cases[i].part);
        if (cases[i].reason != NULL) assert_string_equal(rig.step.reason, cases[i].reason);
    }
    assert_true(rig.class->need_prepare(rig.writer)); /* after the last */
}

UNIT_TEST(test_an_invalid_name_is_refused_when_made)
{
    static const char *const bad[] = {
        "", "a b", "arn:aws:firehose:r:1:deliverystream/x",
        "01234567890123456789012345678901234567890123456789012345678901234"};
    struct why why;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rig.settings.u.firehose.delivery_stream = bad[i];
        assert_int_equal(stream_rig_create(&rig, &why), ERR_INPUT);
        assert_non_null(strstr(why.text, "invalid delivery stream name"));
    }
}

/* --- looking whether it works ----------------------------------------------------------------- */

static bool
check(uint32_t number, unsigned status, const char *body, char what[WRITER_ANSWER_BYTES])
{
    struct http_call_answer answer = stream_rig_answer_of(status, body);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    if (!rig.class->check(rig.writer, number, NULL, &rig.step, what)) return false;
    if (rig.step.next == WRITER_SEND) {
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(rig.class->check(rig.writer, number, &answer, &rig.step, what));
    }
    return true;
}

#define DESCRIBED(status, type)                                          \
    "{\"DeliveryStreamDescription\":{\"DeliveryStreamStatus\":\"" status \
    "\",\"DeliveryStreamType\":\"" type "\",\"Destinations\":[{\"a\":[1]}]}}"

UNIT_TEST(test_checks_name_what_is_missing)
{
    char what[WRITER_ANSWER_BYTES];
    stream_rig_open(&rig);
    assert_true(check(0, 0, "", what));
    stream_rig_expect(&rig, VERDICT_DELIVERED, "the settings");
    assert_true(check(1, 200, DESCRIBED("ACTIVE", "DirectPut"), what));
    stream_rig_expect(&rig, VERDICT_DELIVERED,
                      "the delivery stream is ACTIVE and of type DirectPut");
    assert_non_null(strstr(what, "firehose:DescribeDeliveryStream"));
    assert_true(check(1, 200, DESCRIBED("CREATING", "DirectPut"), what));
    stream_rig_expect(&rig, VERDICT_RETRY, "CREATING");
    assert_true(check(1, 200, DESCRIBED("ACTIVE", "KinesisStreamAsSource"), what));
    stream_rig_expect(&rig, VERDICT_BLOCKED, "expected type DirectPut");
    assert_true(check(2, 400,
                      "{\"__type\":\"AccessDeniedException\",\"message\":\"u is not authorized to "
                      "perform: firehose:PutRecordBatch on resource: r\"}",
                      what));
    stream_rig_expect(&rig, VERDICT_BLOCKED, "permission firehose:PutRecordBatch on r is missing");
    assert_true(check(2, 400, "{\"__type\":\"ValidationException\"}", what));
    stream_rig_expect(&rig, VERDICT_DELIVERED, "access allowed");
    assert_false(check(3, 200, "", what));
}

/* --- memory ----------------------------------------------------------------------------------- */

static bool
try_all(void)
{
    uint32_t entry;
    struct why why;
    if (stream_rig_create(&rig, &why) != OK) {
        rig.writer = NULL;
        return false;
    }
    if (writer_call_new(rig.class, rig.writer, &rig.call) != OK) {
        writer_free(rig.class, rig.writer);
        rig.writer = NULL;
        return false;
    }
    stream_rig_prepare(&rig, NULL);
    bool good = rig.step.verdict == VERDICT_DELIVERED;
    rig.class->call_clear(rig.writer, rig.call);
    for (uint64_t i = 0; i < 20; i++) {
        enum writer_add added = stream_rig_add(&rig, i, 1, 0, &entry);
        assert_true(added == WRITER_ADDED || added == WRITER_NO_MEMORY);
        good &= added == WRITER_ADDED;
    }
    stream_rig_begin(&rig);
    good &= rig.step.next == WRITER_SEND;
    stream_rig_close(&rig);
    return good;
}

UNIT_TEST(test_any_allocation_may_be_refused)
{
    rig.settings.u.firehose.compression = COMPRESSION_GZIP;
    rig.settings.batch.max_bytes = 4 << 20;
    (void)stream_rig_item(&rig, 0, 1, 100); /* the test's own memory is allocated */
    for (uint64_t nth = 1;; nth++) {
        mem_fail_nth(nth, false);
        bool good = try_all();
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(budget_used(&rig.memory), 0);
        if (!fired) {
            assert_true(good);
            break;
        }
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_lines_are_one_record),
        TEST(test_a_full_record_is_just_below_a_step_of_five_kilobytes),
        TEST(test_larger_calls_have_a_record_for_each_bucket),
        TEST(test_lines_of_a_series_stay_in_one_record),
        TEST(test_smaller_calls_have_smaller_records),
        TEST(test_a_line_may_be_as_long_as_a_record),
        TEST(test_with_gzip_a_record_is_a_member),
        TEST(test_incompressible_data_fits_a_record),
        TEST(test_records_are_judged_one_by_one),
        TEST(test_refusals_of_the_whole_call_have_their_verdicts),
        TEST(test_an_invalid_name_is_refused_when_made),
        TEST(test_checks_name_what_is_missing),
        TEST(test_any_allocation_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
