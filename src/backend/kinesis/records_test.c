/* records_test.c - lines to records, records to a body, answers to verdicts; every limit
 * at its edge. */
#include "lib/test.h"

#include "backend/kinesis/kinesis.h"
#include "lib/backend/stream_rig.h"

static struct stream_rig rig; /* makes the items */
static struct aws_call the_call;
static struct writer_call *call = (struct writer_call *)&the_call;
static struct aws_records *records; /* the records under test */
static struct buf body;
static struct aws_record_limits limits;
static struct writer_step step;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    stream_rig_init(&rig, DESTINATION_FIREHOSE);
    limits = (struct aws_record_limits){
        .lines = UINT32_MAX,
        .record_bytes_max = 2000,
        .record_bytes = 1000,
        .head_bytes = 3,
        .entry_bytes = 40,
        .call_bytes_max = 10000,
        .what = "a record of the test",
    };
    return 0;
}

static void
open_records(void)
{
    assert_int_equal(aws_call_init(&the_call, &rig.memory, &limits), OK);
    records = &((struct aws_call *)call)->records;
    aws_records_body_init(&body, &rig.memory, &limits);
}

static int
teardown(void **state)
{
    (void)state;
    aws_call_fini(NULL, call);
    buf_fini(&body);
    assert_int_equal(budget_used(&rig.memory), 0);
    stream_rig_fini(&rig);
    return 0;
}

static enum writer_add
add(uint64_t group, int64_t t_ms, size_t label_bytes, uint32_t *ret_record)
{
    struct item item = stream_rig_item(&rig, group, t_ms, label_bytes);
    return aws_records_add(records, group, &item, ret_record, &why);
}

/* Returns the size of the label with which a line has this many bytes. */
static size_t
label_of_line(size_t bytes)
{
    return bytes - (stream_rig_line_bytes(&rig, 1, 1) - 1);
}

static void
make_body(void)
{
    struct buf scratch;
    struct bytes data;
    buf_init(&scratch, NULL, 100000);
    assert_int_equal(aws_records_begin(records, &body, bytes_of_text("[")), OK);
    for (uint32_t i = 0; i < records->count; i++) {
        assert_int_equal(aws_records_data(records, i, &scratch, &data), OK);
        aws_records_put(records, &body, i, data, bytes_of_text(i % 2 == 0 ? "" : "key"));
    }
    assert_int_equal(aws_records_end(records, &body), OK);
    buf_fini(&scratch);
}

UNIT_TEST(test_lines_of_a_group_are_one_record_in_their_order)
{
    static const uint64_t groups[] = {7, 1u << 31, 7, 7, 1u << 31, 7};
    uint32_t number;
    struct buf scratch;
    struct bytes data;
    open_records();
    buf_init(&scratch, NULL, 100000);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(add(groups[i], i, 3, &number), WRITER_ADDED);
        assert_int_equal(number, groups[i] == 7 ? 0 : 1);
    }
    assert_int_equal(records->count, 2);
    for (uint32_t record = 0; record < 2; record++) {
        assert_int_equal(aws_records_data(records, record, &scratch, &data), OK);
        for (uint32_t i = 0; i < 6; i++)
            if (groups[i] == groups[record]) assert_int_equal(stream_rig_line_time(&data), i);
        assert_int_equal(data.size, 0);
    }
    buf_fini(&scratch);
}

UNIT_TEST(test_a_body_is_what_its_records_say)
{
    uint32_t number;
    open_records();
    assert_int_equal(add(0, 1, 0, &number), WRITER_ADDED);
    assert_int_equal(add(1, 2, 0, &number), WRITER_ADDED);
    uint64_t most = aws_records_bytes(records);
    make_body();
    assert_true(bytes_equal_text(
        aws_records_body(records),
        "[{\"Data\":\"eyJuYW1lIjoidXAiLCJ0aW1lIjoxLCJ2YWx1ZSI6MSwibGFiZWxzIjp7Il9fbmFtZV9fIjoidX"
        "AifX0K\"},{\"Data\":\"eyJuYW1lIjoidXAiLCJ0aW1lIjoyLCJ2YWx1ZSI6MSwibGFiZWxzIjp7Il9fbmFtZV"
        "9fIjoidXAifX0K\",\"PartitionKey\":\"key\"}]}"));
    assert_true(aws_records_body(records).size <= most);
    assert_int_equal(aws_records_bytes(records), aws_records_body(records).size);
    aws_call_clear(NULL, call);
    assert_int_equal(aws_records_bytes(records), 3);
    assert_int_equal(add(0, 1, 0, &number), WRITER_ADDED);
}

UNIT_TEST(test_a_record_is_full_at_its_limit)
{
    uint32_t number;
    limits.frame_bytes = 16;
    limits.line_frame_bytes = 4;
    open_records();
    assert_int_equal(add(5, 1, label_of_line(500), &number), WRITER_ADDED);
    assert_int_equal(add(5, 1, label_of_line(477), &number),
                     WRITER_FULL); /* 16 + 504 + 481 bytes are more than 1000 */
    assert_int_equal(records->line_count, 1);
    assert_int_equal(add(5, 1, label_of_line(476), &number), WRITER_ADDED);
    assert_int_equal(records->records[0].bytes, 1000);
    assert_int_equal(add(5, 1, 0, &number), WRITER_FULL);
    assert_int_equal(add(6, 1, 0, &number), WRITER_ADDED); /* another record has room */
}

UNIT_TEST(test_a_line_may_be_as_long_as_the_longest_record)
{
    uint32_t number;
    limits.frame_bytes = 16;
    limits.line_frame_bytes = 4;
    open_records();
    assert_int_equal(add(5, 1, label_of_line(1981), &number), WRITER_UNFIT);
    assert_string_equal(
        why.text,
        "the line of 1981 bytes is too long: a record of the test holds at most 1980 bytes");
    assert_int_equal(records->count, 0);
    assert_int_equal(add(5, 1, label_of_line(1980), &number), WRITER_ADDED);
    assert_int_equal(add(5, 1, 0, &number), WRITER_FULL);
    /* it does not fit into any record */
    assert_int_equal(add(6, 1, label_of_line(1981), &number), WRITER_FULL);
    aws_call_clear(NULL, call);
    assert_int_equal(add(5, 1, 1 << 20, &number), WRITER_UNFIT); /* longer than any record */
    assert_int_equal(add(5, 1, 0, &number), WRITER_ADDED);
    assert_int_equal(add(6, 1, 1 << 20, &number), WRITER_FULL);
}

UNIT_TEST(test_a_record_takes_so_many_lines)
{
    uint32_t number;
    limits.lines = 3;
    open_records();
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(add(5, i, 0, &number), WRITER_ADDED);
    assert_int_equal(add(5, 3, 0, &number), WRITER_FULL);
    assert_int_equal(add(6, 3, 0, &number), WRITER_ADDED);
    assert_int_equal(number, 1);
}

UNIT_TEST(test_a_call_takes_so_many_records)
{
    uint32_t number;
    limits.call_bytes_max = 1 << 20;
    open_records();
    for (uint64_t i = 0; i < AWS_RECORDS_MAX; i++) {
        assert_int_equal(add(i * 64, 1, 0, &number), WRITER_ADDED);
        assert_int_equal(number, i);
    }
    assert_int_equal(add(1, 1, 0, &number), WRITER_FULL);
    assert_int_equal(add(64, 2, 0, &number), WRITER_ADDED); /* into an existing record */
    assert_int_equal(number, 1);
    make_body();
    assert_true(aws_records_body(records).size <= limits.call_bytes_max);
}

UNIT_TEST(test_a_call_is_full_at_its_limit)
{
    uint32_t number;
    /* Two records of 300 bytes, 400 in base64. */
    limits.call_bytes_max = 3 + 2 * (40 + 400);
    limits.record_bytes_max = limits.record_bytes = 600;
    open_records();
    assert_int_equal(add(1, 1, label_of_line(300), &number), WRITER_ADDED);
    assert_int_equal(add(2, 1, label_of_line(301), &number), WRITER_FULL);
    assert_int_equal(add(2, 1, label_of_line(300), &number), WRITER_ADDED);
    assert_int_equal(aws_records_bytes(records), limits.call_bytes_max);
    assert_int_equal(add(1, 1, 0, &number), WRITER_FULL);
    assert_int_equal(add(3, 1, 0, &number), WRITER_FULL);
    make_body();
    assert_true(aws_records_body(records).size <= limits.call_bytes_max);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
open_three(void)
{
    uint32_t number;
    open_records();
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(add(i, 1, 0, &number), WRITER_ADDED);
    make_body();
}

static enum err
read_text(const char *text)
{
    struct http_call_answer answer = stream_rig_answer_of(200, text);
    return aws_records_read(records, "Records", &answer);
}

static enum writer_verdict
verdict_of(char letter)
{
    return letter == 'D'   ? VERDICT_DELIVERED
           : letter == 'T' ? VERDICT_THROTTLED
           : letter == 'M' ? VERDICT_MIXED
                           : VERDICT_RETRY;
}

/* Checks verdicts; `want` has the first letters of the verdict on the call, and on each record. */
static void
expect_verdicts(const char *text, const char *want)
{
    if (read_text(text) != OK) fail_msg("%s", text);
    aws_records_judge(records, &step);
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, verdict_of(want[0]));
    for (uint32_t i = 0; i < 3; i++) {
        struct writer_entry entry;
        aws_call_entry(NULL, call, i, &entry);
        enum writer_verdict verdict = verdict_of(want[1 + i]);
        assert_int_equal(entry.verdict, verdict);
        assert_int_equal(entry.reason[0] == '\0', verdict == VERDICT_DELIVERED);
        assert_int_equal(entry.answer[0] == '\0', verdict == VERDICT_DELIVERED);
    }
}

#define STORED  "{\"SequenceNumber\":\"1\",\"ShardId\":\"s\"}"
#define STORED2 "{\"RecordId\":\"1\",\"ErrorCode\":null}"
#define THROTTLED \
    "{\"ErrorCode\":\"ProvisionedThroughputExceededException\",\"ErrorMessage\":\"slow\"}"
#define FAILED "{\"ErrorCode\":\"InternalFailure\",\"ErrorMessage\":\"broken\"}"

UNIT_TEST(test_each_record_has_its_verdict)
{
    open_three();
    expect_verdicts("{\"Records\":[" STORED "," STORED2 "," STORED "]}", "DDDD");
    assert_string_equal(step.answer, "");
    expect_verdicts("{\"Records\":[" STORED "," THROTTLED "," FAILED "],\"FailedRecordCount\":2}",
                    "MDTR");
    assert_string_equal(step.reason, "throttled");
    assert_string_equal(step.answer, "ProvisionedThroughputExceededException: slow");
    expect_verdicts("{\"Records\":[" FAILED "," STORED "," STORED "]}", "MRDD");
    assert_string_equal(step.reason, "unavailable");
    /* None was stored: the body stays, and the verdict on the call is that of the failures. */
    expect_verdicts("{\"Records\":[" FAILED "," THROTTLED "," FAILED "]}", "TRTR");
    expect_verdicts("{\"Records\":[" FAILED "," FAILED "," FAILED "]}", "RRRR");
    assert_string_equal(step.answer, "InternalFailure: broken");
    expect_verdicts("{\"Records\":[{\"ErrorCode\":\"ServiceUnavailableException\"},"
                    "{\"ErrorCode\":\"NeverHeardOf\"},{}]}",
                    "TTRR");
    assert_string_equal(step.answer, "ServiceUnavailableException");
    expect_verdicts("{\"Records\":[{}," STORED "," STORED "]}", "MRDD");
    assert_string_equal(step.answer, "the response does not mention the record");
}

UNIT_TEST(test_a_long_message_is_shortened)
{
    struct buf text;
    open_three();
    buf_init(&text, NULL, 100000);
    buf_put_text(&text, "{\"Records\":[{\"ErrorMessage\":\"");
    for (int i = 0; i < 20000; i++)
        buf_put_text(&text, "\\n");
    buf_put_text(&text, "x\",\"ErrorCode\":\"");
    for (int i = 0; i < 20000; i++)
        buf_put_text(&text, "y");
    buf_put_text(&text, "\"}," STORED "," STORED "]}");
    buf_put_u8(&text, 0);
    assert_int_equal(read_text((const char *)text.at), OK);
    aws_records_judge(records, &step);
    assert_int_equal(step.verdict, VERDICT_MIXED);
    assert_true(strlen(step.answer) < 450);
    buf_fini(&text);
}

UNIT_TEST(test_an_answer_on_other_records_says_nothing)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"Records\":null}",
        "{\"Records\":[]}",
        "{\"Records\":[" STORED "," STORED "]}",
        "{\"Records\":[" STORED "," STORED "," STORED "," STORED "]}",
        "{\"Records\":[" STORED "," STORED "," STORED "]",
        "{\"Records\":[" STORED "," STORED "," STORED "]} x",
        "{\"Records\":[" STORED "," STORED ",1]}",
        "{\"RequestResponses\":[" STORED "," STORED "," STORED "]}",
    };
    open_three();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read_text(bad[i]) != ERR_INPUT) fail_msg("%s", bad[i]);
    struct http_call_answer answer =
        stream_rig_answer_of(200, "{\"Records\":[" STORED "," STORED "," STORED "]}");
    answer.body_cut = true;
    assert_int_equal(aws_records_read(records, "Records", &answer), ERR_INPUT);
}

/* --- memory ----------------------------------------------------------------------------------- */

static bool
try_all(void)
{
    struct buf scratch;
    struct bytes data;
    uint32_t number;
    bool good = true;
    for (uint64_t i = 0; i < 300 && good; i++)
        good = add(i % 7, (int64_t)i, 20, &number) == WRITER_ADDED;
    uint32_t lines = records->line_count;
    buf_init(&scratch, &rig.memory, 100000);
    enum err e = aws_records_begin(records, &body, bytes_of_text("["));
    for (uint32_t i = 0; i < records->count && e == OK; i++) {
        e = aws_records_data(records, i, &scratch, &data);
        if (e == OK) aws_records_put(records, &body, i, data, bytes_of_text("key"));
    }
    if (e == OK) e = aws_records_end(records, &body);
    buf_fini(&scratch);
    if (e) assert_int_equal(records->line_count, lines); /* it can be begun again */
    return good && e == OK;
}

UNIT_TEST(test_any_allocation_may_be_refused)
{
    limits.record_bytes_max = limits.record_bytes = 20000;
    limits.call_bytes_max = 100000;
    open_records();
    (void)stream_rig_item(&rig, 0, 1, 100); /* the test's own memory is allocated */
    for (uint64_t nth = 1;; nth++) {
        aws_call_fini(NULL, call);
        buf_fini(&body);
        assert_int_equal(aws_call_init(&the_call, &rig.memory, &limits), OK);
        records = &((struct aws_call *)call)->records;
        mem_fail_nth(nth, false);
        bool good = try_all();
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
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
        TEST(test_lines_of_a_group_are_one_record_in_their_order),
        TEST(test_a_body_is_what_its_records_say),
        TEST(test_a_record_is_full_at_its_limit),
        TEST(test_a_line_may_be_as_long_as_the_longest_record),
        TEST(test_a_record_takes_so_many_lines),
        TEST(test_a_call_takes_so_many_records),
        TEST(test_a_call_is_full_at_its_limit),
        TEST(test_each_record_has_its_verdict),
        TEST(test_a_long_message_is_shortened),
        TEST(test_an_answer_on_other_records_says_nothing),
        TEST(test_any_allocation_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
