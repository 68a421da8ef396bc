/* kinesis_test.c - items in, exact requests out, every verdict from played answers, shards listed
 * and changed. */
#include "lib/test.h"

#include "backend/kinesis/kinesis.h"
#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "lib/backend/stream_rig.h"
#include "lib/wire/kpl_reader.h"

#define MIDDLE "170141183460469231731687303715884105728"
#define BELOW  "170141183460469231731687303715884105727"
#define LAST   "340282366920938463463374607431768211455"
#define SHARD(id, first, last)                                               \
    "{\"ShardId\":\"" id "\",\"HashKeyRange\":{\"StartingHashKey\":\"" first \
    "\",\"EndingHashKey\":\"" last                                           \
    "\"},\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"1\"}}"
#define ONE_SHARD  "{\"Shards\":[" SHARD("s-0", "0", LAST) "]}"
#define TWO_SHARDS "{\"Shards\":[" SHARD("s-1", "0", BELOW) "," SHARD("s-2", MIDDLE, LAST) "]}"

static struct stream_rig rig;

static int
setup(void **state)
{
    (void)state;
    stream_rig_init(&rig, DESTINATION_KINESIS);
    rig.settings.u.kinesis.stream = "metrics";
    rig.settings.u.kinesis.endpoint = "https://kinesis.example";
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    stream_rig_fini(&rig);
    return 0;
}

/* Opens the writer with credentials and, if they are needed, shards. */
static void
open_with(enum kinesis_format format, const char *shards)
{
    rig.settings.u.kinesis.format = format;
    stream_rig_open(&rig);
    assert_true(rig.class->need_prepare(rig.writer));
    stream_rig_prepare(&rig, NULL);
    if (format != KINESIS_NDJSON) {
        assert_int_equal(rig.step.next, WRITER_SEND);
        stream_rig_prepare(&rig, shards);
    }
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    assert_false(rig.class->need_prepare(rig.writer));
}

static void
add(uint64_t hash, int64_t t_ms)
{
    uint32_t entry;
    assert_int_equal(stream_rig_add(&rig, hash, t_ms, 0, &entry), WRITER_ADDED);
}

static void
clear(void)
{
    rig.class->call_clear(rig.writer, rig.call);
}

static void
begin(void)
{
    stream_rig_begin(&rig);
    if (rig.step.next != WRITER_SEND) fail_msg("%s", rig.step.answer);
}

static enum writer_verdict
entry_verdict(uint32_t entry)
{
    struct writer_entry it;
    rig.class->entry(rig.writer, rig.call, entry, &it);
    return it.verdict;
}

/* --- ndjson ----------------------------------------------------------------------------------- */

UNIT_TEST(test_ndjson_is_a_line_a_record_under_the_hash_of_its_series)
{
    static const char want[] =
        "{\"StreamName\":\"metrics\",\"Records\":[{\"Data\":\"eyJuYW1lIjoidXAiLCJ0aW1lIjoxLCJ2YWx1"
        "ZSI6MSwibGFiZWxzIjp7Il9fbmFtZV9fIjoidXAifX0K\",\"PartitionKey\":\"00000000000000ab\"},"
        "{\"Data\":\"eyJuYW1lIjoidXAiLCJ0aW1lIjoyLCJ2YWx1ZSI6MSwibGFiZWxzIjp7Il9fbmFtZV9fIjoidXAi"
        "fX0K\",\"PartitionKey\":\"fedcba9876543210\"}]}";
    uint32_t entry;
    open_with(KINESIS_NDJSON, NULL);
    assert_true(writer_limits_of(rig.writer)->one_of_a_series);
    assert_int_equal(stream_rig_add(&rig, 0xab, 1, 0, &entry), WRITER_ADDED);
    assert_int_equal(entry, 0);
    assert_int_equal(stream_rig_add(&rig, 0xfedcba9876543210, 2, 0, &entry), WRITER_ADDED);
    assert_int_equal(entry, 1);
    assert_int_equal(rig.class->units(rig.writer, rig.call), 2);
    uint64_t most = rig.class->bytes(rig.writer, rig.call);
    begin();
    assert_true(bytes_equal_text(rig.step.http.body, want));
    assert_true(most >= sizeof want - 1);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), sizeof want - 1);
    assert_string_equal(rig.step.http.url, "https://kinesis.example/");
    assert_string_equal(stream_rig_header(&rig, "X-Amz-Target"), "Kinesis_20131202.PutRecords");
    assert_int_equal(rig.step.http.answer_bytes_max, AWS_RECORDS_ANSWER_BYTES_MAX);
}

UNIT_TEST(test_a_call_begun_again_is_the_same)
{
    open_with(KINESIS_NDJSON, NULL);
    add(1, 1);
    begin();
    size_t size = rig.step.http.body.size;
    stream_rig_answer(&rig, 500, "{\"__type\":\"InternalFailure\"}");
    stream_rig_expect(&rig, VERDICT_RETRY, "InternalFailure");
    begin();
    assert_int_equal(rig.step.http.body.size, size);
    assert_int_equal(stream_rig_record_count(&rig), 1);
}

UNIT_TEST(test_a_call_has_five_hundred_records_at_most)
{
    uint32_t entry;
    open_with(KINESIS_NDJSON, NULL);
    for (uint64_t i = 0; i < 500; i++)
        add(i, 1);
    assert_int_equal(stream_rig_add(&rig, 500, 1, 0, &entry), WRITER_FULL);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 500);
    struct writer_limits limits = *writer_limits_of(rig.writer);
    assert_int_equal(limits.samples, 500);
    assert_int_equal(limits.samples_max, 500);
}

UNIT_TEST(test_a_second_sample_of_a_series_waits_for_the_next_call)
{
    uint32_t entry;
    open_with(KINESIS_NDJSON, NULL);
    add(1, 1);
    assert_int_equal(stream_rig_add(&rig, 1, 2, 0, &entry), WRITER_FULL);
}

UNIT_TEST(test_an_arn_names_a_stream_and_invalid_names_are_refused)
{
    static const char *const bad[] = {"",
                                      "a b",
                                      "a/b",
                                      "a\"b",
                                      "\xc3\xa4",
                                      "arn:\"",
                                      "01234567890123456789012345678901234567890123456789"
                                      "01234567890123456789012345678901234567890123456789"
                                      "01234567890123456789012345678"};
    struct why why;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rig.settings.u.kinesis.stream = bad[i];
        assert_int_equal(stream_rig_create(&rig, &why), ERR_INPUT);
        assert_non_null(strstr(why.text, "invalid stream name"));
    }
    assert_int_equal(budget_used(&rig.memory), 0);
    rig.settings.u.kinesis.stream = "arn:aws:kinesis:eu-west-1:111122223333:stream/metrics";
    open_with(KINESIS_NDJSON, NULL);
    add(1, 1);
    begin();
    assert_string_equal(json_string_value(json_object_get(rig.body, "StreamARN")),
                        rig.settings.u.kinesis.stream);
    assert_null(json_object_get(rig.body, "StreamName"));
}

/* --- limits ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_record_has_a_mebibyte_with_its_key_at_most)
{
    uint32_t entry;
    size_t frame = stream_rig_line_bytes(&rig, 1, 1) - 1, largest = (1 << 20) - 16;
    open_with(KINESIS_NDJSON, NULL);
    assert_int_equal(stream_rig_add(&rig, 1, 1, largest - frame + 1, &entry), WRITER_UNFIT);
    assert_string_equal(rig.step.answer, "the line of 1048561 bytes is too long: a record of the "
                                         "stream holds at most 1048560 bytes");
    assert_int_equal(stream_rig_add(&rig, 1, 1, largest - frame, &entry), WRITER_ADDED);
    assert_int_equal(rig.class->units(rig.writer, rig.call), 41);
    begin();
    assert_int_equal(stream_rig_record(&rig, 0).size, largest);
}

static size_t
largest_body(void)
{
    uint32_t entry;
    enum writer_add added = WRITER_ADDED;
    for (uint64_t i = 0; i < 500 && added == WRITER_ADDED; i++)
        added = stream_rig_add(&rig, i, 1, 100000, &entry);
    assert_int_equal(added, WRITER_FULL);
    begin();
    assert_true(rig.step.http.body.size <= rig.class->bytes(rig.writer, rig.call));
    return rig.step.http.body.size;
}

UNIT_TEST(test_a_call_has_five_mebibytes_unless_more_is_asked_for)
{
    open_with(KINESIS_NDJSON, NULL);
    size_t size = largest_body();
    assert_true(size <= 5 << 20);
    assert_true(size > (5 << 20) - 135000);
    assert_int_equal(writer_limits_of(rig.writer)->bytes, 800 << 10);
    stream_rig_close(&rig);
    rig.settings.batch.max_bytes = 7 << 20;
    open_with(KINESIS_NDJSON, NULL);
    size = largest_body();
    assert_true(size <= 7 << 20);
    assert_true(size > (7 << 20) - 135000);
    stream_rig_close(&rig);
    rig.settings.batch.max_bytes = 100 << 20;
    open_with(KINESIS_NDJSON, NULL);
    size = largest_body();
    assert_true(size <= 10 << 20);
    assert_true(size > (10 << 20) - 135000);
}

/* --- packed ----------------------------------------------------------------------------------- */

UNIT_TEST(test_packed_has_a_record_for_each_bucket)
{
    uint32_t entry;
    open_with(KINESIS_PACKED, TWO_SHARDS);
    assert_false(writer_limits_of(rig.writer)->one_of_a_series);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(stream_rig_add(&rig, 1000 + i % 16, (int64_t)i, 0, &entry), WRITER_ADDED);
        assert_int_equal(entry, i % 8);
    }
    assert_int_equal(rig.class->units(rig.writer, rig.call), 8);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 8);
    for (uint32_t i = 0; i < 8; i++) {
        char key[8];
        struct bytes lines = stream_rig_record(&rig, i);
        int64_t next = i;
        snprintf(key, sizeof key, "%u", (1000 + i) % 8);
        assert_string_equal(stream_rig_record_key(&rig, i), key);
        for (; lines.size > 0; next += 8)
            assert_int_equal(stream_rig_line_time(&lines), next);
        assert_true(next >= 100);
    }
}

UNIT_TEST(test_the_number_of_buckets_is_remembered)
{
    open_with(KINESIS_PACKED, TWO_SHARDS);
    rig.class->save(rig.writer, &rig.saved);
    stream_rig_close(&rig);
    stream_rig_open(&rig);
    add(7, 1);
    add(15, 2);
    add(3, 3);
    stream_rig_prepare(&rig, NULL);
    /* the shards are listed again: they may have changed */
    assert_int_equal(rig.step.next, WRITER_SEND);
    struct http_call_answer denied = stream_rig_answer_of(
        400, "{\"__type\":\"AccessDeniedException\",\"message\":\"User: u is not authorized to "
             "perform: kinesis:ListShards on resource: arn:x\"}");
    rig.class->prepare(rig.writer, &denied, &rig.step);
    /* delivery does not need the list */
    stream_rig_expect(&rig, VERDICT_DELIVERED, "kinesis:ListShards");
    assert_false(rig.class->need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, 60 * NS_PER_S);
    assert_true(rig.class->need_prepare(rig.writer));
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 2);
    assert_string_equal(stream_rig_record_key(&rig, 0), "7");
    assert_string_equal(stream_rig_record_key(&rig, 1), "3");
}

UNIT_TEST(test_a_damaged_memory_is_learnt_again)
{
    static const struct {
        const char *at;
        size_t size;
    } bad[] = {{"\1", 1}, {"\2\10", 2}, {"\1\0", 2}, {"\1\xff\xff\xff\x7f", 5}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_clear(&rig.saved);
        buf_put(&rig.saved, bad[i].at, bad[i].size);
        rig.settings.u.kinesis.format = KINESIS_PACKED;
        stream_rig_open(&rig);
        buf_clear(&rig.saved);
        rig.class->save(rig.writer, &rig.saved);
        assert_int_equal(rig.saved.size, 0);
        stream_rig_close(&rig);
    }
}

UNIT_TEST(test_without_shards_nothing_is_sent_for_the_first_time)
{
    rig.settings.u.kinesis.format = KINESIS_PACKED;
    stream_rig_open(&rig);
    stream_rig_prepare(&rig, NULL);
    struct http_call_answer denied = stream_rig_answer_of(
        400, "{\"__type\":\"AccessDeniedException\",\"message\":\"User: u is not authorized to "
             "perform: kinesis:ListShards on resource: arn:x\"}");
    rig.class->prepare(rig.writer, &denied, &rig.step);
    stream_rig_expect(&rig, VERDICT_BLOCKED, "permission kinesis:ListShards on arn:x is missing");
    assert_true(rig.class->need_prepare(rig.writer));
    stream_rig_prepare(&rig, NULL);
    stream_rig_prepare(&rig, "{\"Shards\":[]}");
    stream_rig_expect(&rig, VERDICT_RETRY, "do not cover all hash keys");
    stream_rig_prepare(&rig, NULL);
    stream_rig_prepare(&rig, "{}");
    stream_rig_expect(&rig, VERDICT_RETRY, "cannot read the list of shards");
}

UNIT_TEST(test_a_call_begun_before_the_shards_are_known_is_rebuilt)
{
    rig.settings.u.kinesis.format = KINESIS_PACKED;
    stream_rig_open(&rig);
    add(1, 1);
    add(5, 1); /* four buckets of the same */
    stream_rig_prepare(&rig, NULL);
    stream_rig_prepare(&rig, TWO_SHARDS);
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    stream_rig_begin(&rig);
    stream_rig_expect(&rig, VERDICT_REBUILD, "shards");
    clear();
    add(1, 1);
    add(5, 1);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 2);
}

UNIT_TEST(test_shards_are_listed_page_by_page_and_again_later)
{
    rig.settings.u.kinesis.format = KINESIS_PACKED;
    stream_rig_open(&rig);
    stream_rig_prepare(&rig, NULL);
    assert_string_equal(stream_rig_header(&rig, "X-Amz-Target"), "Kinesis_20131202.ListShards");
    assert_true(bytes_equal_text(
        rig.step.http.body, "{\"StreamName\":\"metrics\",\"ShardFilter\":{\"Type\":\"AT_LATEST\"},"
                            "\"MaxResults\":1000}"));
    stream_rig_prepare(&rig,
                       "{\"NextToken\":\"a\\\"b\",\"Shards\":[" SHARD("s-1", "0", BELOW) "]}");
    assert_int_equal(rig.step.next, WRITER_SEND);
    assert_true(
        bytes_equal_text(rig.step.http.body, "{\"NextToken\":\"a\\\"b\",\"MaxResults\":1000}"));
    stream_rig_prepare(&rig, "{\"Shards\":[" SHARD("s-2", MIDDLE, LAST) "]}");
    stream_rig_expect(&rig, VERDICT_DELIVERED, "2 shards");
    sim_env_advance_ns(rig.sim, 299 * NS_PER_S);
    assert_false(rig.class->need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, NS_PER_S);
    assert_true(rig.class->need_prepare(rig.writer));
}

UNIT_TEST(test_a_call_keeps_the_buckets_that_it_began_with)
{
    open_with(KINESIS_PACKED, ONE_SHARD);
    add(7, 1);
    sim_env_advance_ns(rig.sim, 300 * NS_PER_S);
    stream_rig_prepare(&rig, NULL);
    stream_rig_prepare(&rig, TWO_SHARDS);
    add(7, 2);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 1);
    assert_string_equal(stream_rig_record_key(&rig, 0), "3");
    clear();
    add(7, 3);
    begin();
    assert_string_equal(stream_rig_record_key(&rig, 0), "7");
}

/* --- kpl -------------------------------------------------------------------------------------- */

/* Reads an aggregate whose keys are all on one side of the middle. Returns its lines. */
static uint32_t
read_aggregate(struct bytes record, bool *ret_high)
{
    struct arena arena;
    struct kpl_reader reader;
    struct bytes key, data;
    struct why why;
    uint32_t count = 0;
    arena_init(&arena, NULL, 1 << 20, 0);
    assert_int_equal(kpl_reader_init(&reader, record, &arena, &why), OK);
    while (kpl_reader_next(&reader, &key, &data)) {
        /* These MD5 begin with: of 0001 25bb..., of 0002 fcd0..., of 0003 7cd8..., of
         * 0004 95b0... */
        assert_int_equal(key.size, 4);
        bool high = key.at[3] == '2' || key.at[3] == '4';
        if (count++ > 0) assert_int_equal(high, *ret_high);
        *ret_high = high;
        (void)stream_rig_line_time(&data);
        assert_int_equal(data.size, 0);
    }
    assert_false(reader.message.bad);
    arena_fini(&arena);
    return count;
}

UNIT_TEST(test_kpl_gathers_lines_by_the_shards_of_their_keys)
{
    bool high[2];
    open_with(KINESIS_KPL, TWO_SHARDS);
    for (uint64_t i = 0; i < 40; i++)
        add(1 + i % 4, (int64_t)i);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 2);
    assert_string_equal(stream_rig_record_key(&rig, 0), "0001");
    assert_string_equal(stream_rig_record_key(&rig, 1), "0002");
    assert_int_equal(read_aggregate(stream_rig_record(&rig, 0), &high[0]), 20);
    assert_int_equal(read_aggregate(stream_rig_record(&rig, 1), &high[1]), 20);
    assert_false(high[0]);
    assert_true(high[1]);
}

UNIT_TEST(test_kpl_frames_a_single_line_too)
{
    bool high;
    open_with(KINESIS_KPL, ONE_SHARD);
    add(1, 1);
    begin();
    assert_int_equal(read_aggregate(stream_rig_record(&rig, 0), &high), 1);
}

UNIT_TEST(test_kpl_has_five_hundred_lines_a_record_and_a_mebibyte)
{
    uint32_t entry;
    open_with(KINESIS_KPL, ONE_SHARD);
    for (uint64_t i = 0; i < 500; i++)
        add(i, 1);
    assert_int_equal(stream_rig_add(&rig, 500, 1, 0, &entry), WRITER_FULL);
    clear();
    size_t frame = stream_rig_line_bytes(&rig, 1, 1) - 1;
    size_t largest = (1 << 20) - 16 - 20 - 17;
    assert_int_equal(stream_rig_add(&rig, 1, 1, largest - frame + 1, &entry), WRITER_UNFIT);
    assert_int_equal(stream_rig_add(&rig, 1, 1, largest - frame, &entry), WRITER_ADDED);
    assert_int_equal(stream_rig_add(&rig, 1, 1, 0, &entry), WRITER_FULL);
    begin();
    assert_true(stream_rig_record(&rig, 0).size <= (1 << 20) - 16);
    clear();
    enum writer_add added = WRITER_ADDED; /* many keys and lines */
    for (uint64_t i = 0; added == WRITER_ADDED; i++)
        added = stream_rig_add(&rig, i, 1, 3000 + i, &entry);
    assert_int_equal(added, WRITER_FULL);
    begin();
    assert_true(stream_rig_record(&rig, 0).size <= (1 << 20) - 16);
    assert_true(stream_rig_record(&rig, 0).size > (1 << 20) - 16 - 8000);
}

UNIT_TEST(test_kpl_records_are_rebuilt_when_the_shards_change)
{
    uint32_t entry;
    rig.settings.u.kinesis.format = KINESIS_KPL;
    stream_rig_open(&rig);
    add(1, 1); /* shards are not known */
    add(2, 1);
    stream_rig_prepare(&rig, NULL);
    stream_rig_prepare(&rig, TWO_SHARDS);
    assert_int_equal(stream_rig_add(&rig, 3, 1, 0, &entry), WRITER_FULL);
    stream_rig_begin(&rig);
    stream_rig_expect(&rig, VERDICT_REBUILD, "shards");
    clear();
    add(1, 1);
    add(4, 1);
    begin();
    assert_int_equal(stream_rig_record_count(&rig), 2);
}

#define STORED(shard) "{\"SequenceNumber\":\"1\",\"ShardId\":\"" shard "\"}"

UNIT_TEST(test_kpl_in_a_new_shard_is_sent_again_by_the_new_list)
{
    open_with(KINESIS_KPL, ONE_SHARD);
    add(1, 1);
    add(2, 1);
    begin();
    stream_rig_answer(&rig, 200, "{\"FailedRecordCount\":0,\"Records\":[" STORED("s-0") "]}");
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    assert_false(rig.class->need_prepare(rig.writer));
    begin();
    stream_rig_answer(&rig, 200, "{\"FailedRecordCount\":0,\"Records\":[" STORED("s-1") "]}");
    stream_rig_expect(&rig, VERDICT_RETRY, "shards have changed");
    assert_int_equal(entry_verdict(0), VERDICT_RETRY);
    assert_true(rig.class->need_prepare(rig.writer));
    stream_rig_prepare(&rig, NULL);
    /* this time delivery needs the list */
    struct http_call_answer failed = stream_rig_answer_of(500, "{}");
    rig.class->prepare(rig.writer, &failed, &rig.step);
    stream_rig_expect(&rig, VERDICT_RETRY, "");
    stream_rig_prepare(&rig, NULL);
    stream_rig_prepare(&rig, TWO_SHARDS);
    stream_rig_begin(&rig);
    stream_rig_expect(&rig, VERDICT_REBUILD, "shards");
}

UNIT_TEST(test_kpl_of_one_line_is_in_the_right_shard_in_any_case)
{
    open_with(KINESIS_KPL, ONE_SHARD);
    add(1, 1);
    begin();
    stream_rig_answer(&rig, 200, "{\"FailedRecordCount\":0,\"Records\":[" STORED("s-1") "]}");
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    assert_true(rig.class->need_prepare(rig.writer)); /* the list is old */
}

UNIT_TEST(test_kpl_with_strange_answers_comes_to_an_end)
{
    open_with(KINESIS_KPL, TWO_SHARDS);
    add(1, 1);
    add(3, 1);
    begin();
    stream_rig_answer(&rig, 200,
                      "{\"Records\":[" STORED("s-2") "]}"); /* a known shard, and another new one */
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    stream_rig_answer(&rig, 200, "{\"Records\":[{\"SequenceNumber\":\"1\"}]}");
    stream_rig_expect(&rig, VERDICT_DELIVERED, "");
    assert_false(rig.class->need_prepare(rig.writer));
}

/* --- answers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_records_are_judged_one_by_one)
{
    open_with(KINESIS_NDJSON, NULL);
    add(1, 1);
    add(2, 1);
    add(3, 1);
    begin();
    stream_rig_answer(
        &rig, 200,
        "{\"FailedRecordCount\":2,\"Records\":[{\"ErrorCode\":\"InternalFailure\","
        "\"ErrorMessage\":\"Internal service failure.\"}," STORED(
            "s") ","
                 "{\"ErrorCode\":\"ProvisionedThroughputExceededException\",\"ErrorMessage\":"
                 "\"Rate exceeded for shard s in stream metrics under account 1.\"}]}");
    stream_rig_expect(&rig, VERDICT_MIXED, "InternalFailure: Internal service failure.");
    assert_int_equal(entry_verdict(0), VERDICT_RETRY);
    assert_int_equal(entry_verdict(1), VERDICT_DELIVERED);
    assert_int_equal(entry_verdict(2), VERDICT_THROTTLED);
    stream_rig_answer(&rig, 200, "{\"FailedRecordCount\":0,\"Records\":[" STORED("s") "]}");
    stream_rig_expect(&rig, VERDICT_RETRY, "does not say which records were stored");
}

UNIT_TEST(test_refusals_of_the_whole_call_have_their_verdicts)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *part;
    } cases[] = {
        {400, "{\"__type\":\"ProvisionedThroughputExceededException\"}", VERDICT_THROTTLED, "Pro"},
        {400, "{\"__type\":\"LimitExceededException\"}", VERDICT_THROTTLED, "Limit"},
        {400, "{\"__type\":\"KMSThrottlingException\"}", VERDICT_THROTTLED, "KMS"},
        {400, "{\"__type\":\"ResourceInUseException\"}", VERDICT_RETRY, "InUse"},
        {503, "", VERDICT_RETRY, "503"},
        {400, "{\"__type\":\"ResourceNotFoundException\",\"message\":\"no metrics\"}",
         VERDICT_BLOCKED, "no metrics"},
        {400,
         "{\"__type\":\"AccessDeniedException\",\"message\":\"User: u is not authorized to "
         "perform: kinesis:PutRecords on resource: arn:x\"}",
         VERDICT_BLOCKED, "permission kinesis:PutRecords on arn:x is missing"},
        {400, "{\"__type\":\"KMSDisabledException\"}", VERDICT_BLOCKED, "KMS"},
        {400, "{\"__type\":\"InvalidArgumentException\",\"message\":\"it is wrong\"}",
         VERDICT_SOME_DEAD, "it is wrong"},
        {413, "", VERDICT_TOO_LARGE, "413"},
        {400, "{\"__type\":\"ExpiredTokenException\"}", VERDICT_UNPREPARED, "Expired"},
    };
    open_with(KINESIS_NDJSON, NULL);
    add(1, 1);
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stream_rig_answer(&rig, cases[i].status, cases[i].body);
        stream_rig_expect(&rig, cases[i].verdict, cases[i].part);
    }
    assert_true(rig.class->need_prepare(rig.writer)); /* the last response asks for it */
    struct http_call_answer silence = {.failure = HTTP_CALL_TIMEOUT, .error = "too slow"};
    rig.class->judge(rig.writer, rig.call, &silence, &rig.step);
    stream_rig_expect(&rig, VERDICT_RETRY, "too slow");
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

UNIT_TEST(test_checks_name_what_is_missing)
{
    char what[WRITER_ANSWER_BYTES];
    rig.settings.u.kinesis.format = KINESIS_KPL;
    stream_rig_open(&rig);
    assert_true(check(1, 200, "", what));
    stream_rig_expect(&rig, VERDICT_UNPREPARED, "credentials are not available");
    assert_true(check(0, 0, "", what));
    stream_rig_expect(&rig, VERDICT_DELIVERED, "the settings");
    assert_true(check(1, 200,
                      "{\"StreamDescriptionSummary\":{\"StreamStatus\":\"ACTIVE\","
                      "\"OpenShardCount\":2}}",
                      what));
    stream_rig_expect(&rig, VERDICT_DELIVERED, "the stream is ACTIVE and has 2 shards");
    assert_non_null(strstr(what, "kinesis:DescribeStreamSummary"));
    assert_true(
        check(1, 200, "{\"StreamDescriptionSummary\":{\"StreamStatus\":\"CREATING\"}}", what));
    stream_rig_expect(&rig, VERDICT_RETRY, "CREATING");
    assert_true(check(1, 400, "{\"__type\":\"ResourceNotFoundException\"}", what));
    stream_rig_expect(&rig, VERDICT_BLOCKED, "ResourceNotFound");
    assert_true(check(2, 200, TWO_SHARDS, what));
    stream_rig_expect(&rig, VERDICT_DELIVERED, "2 shards");
    const char denied[] = "{\"__type\":\"AccessDeniedException\",\"message\":\"u is not authorized "
                          "to perform: kinesis:X on resource: r\"}";
    assert_true(check(2, 400, denied, what)); /* although shards are known */
    stream_rig_expect(&rig, VERDICT_BLOCKED, "permission kinesis:X on r is missing");
    assert_true(check(3, 400, denied, what));
    stream_rig_expect(&rig, VERDICT_BLOCKED, "permission kinesis:X on r is missing");
    assert_true(check(3, 400, "{\"__type\":\"ValidationException\"}", what));
    stream_rig_expect(&rig, VERDICT_DELIVERED, "access allowed");
    assert_non_null(strstr(what, "kinesis:PutRecords"));
    assert_true(check(3, 503, "", what));
    stream_rig_expect(&rig, VERDICT_RETRY, "503");
    assert_false(check(4, 200, "", what));
    stream_rig_close(&rig);
    rig.settings.u.kinesis.format = KINESIS_NDJSON; /* does not need shards */
    stream_rig_open(&rig);
    assert_true(check(2, 200, "", what));
    assert_non_null(strstr(what, "kinesis:PutRecords"));
    assert_false(check(3, 200, "", what));
}

/* --- memory ----------------------------------------------------------------------------------- */

static bool
try_all(void)
{
    uint32_t entry;
    struct why why;
    bool good = stream_rig_create(&rig, &why) == OK;
    if (!good) {
        rig.writer = NULL;
        return false;
    }
    if (writer_call_new(rig.class, rig.writer, &rig.call) != OK) {
        writer_free(rig.class, rig.writer);
        rig.writer = NULL;
        return false;
    }
    stream_rig_prepare(&rig, NULL);
    good = rig.step.next == WRITER_SEND;
    if (good) stream_rig_prepare(&rig, TWO_SHARDS);
    good &= rig.step.verdict == VERDICT_DELIVERED;
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
    rig.settings.u.kinesis.format = KINESIS_KPL;
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
        TEST(test_ndjson_is_a_line_a_record_under_the_hash_of_its_series),
        TEST(test_a_call_begun_again_is_the_same),
        TEST(test_a_call_has_five_hundred_records_at_most),
        TEST(test_a_second_sample_of_a_series_waits_for_the_next_call),
        TEST(test_an_arn_names_a_stream_and_invalid_names_are_refused),
        TEST(test_a_record_has_a_mebibyte_with_its_key_at_most),
        TEST(test_a_call_has_five_mebibytes_unless_more_is_asked_for),
        TEST(test_packed_has_a_record_for_each_bucket),
        TEST(test_the_number_of_buckets_is_remembered),
        TEST(test_a_damaged_memory_is_learnt_again),
        TEST(test_without_shards_nothing_is_sent_for_the_first_time),
        TEST(test_a_call_begun_before_the_shards_are_known_is_rebuilt),
        TEST(test_shards_are_listed_page_by_page_and_again_later),
        TEST(test_a_call_keeps_the_buckets_that_it_began_with),
        TEST(test_kpl_gathers_lines_by_the_shards_of_their_keys),
        TEST(test_kpl_frames_a_single_line_too),
        TEST(test_kpl_has_five_hundred_lines_a_record_and_a_mebibyte),
        TEST(test_kpl_records_are_rebuilt_when_the_shards_change),
        TEST(test_kpl_in_a_new_shard_is_sent_again_by_the_new_list),
        TEST(test_kpl_of_one_line_is_in_the_right_shard_in_any_case),
        TEST(test_kpl_with_strange_answers_comes_to_an_end),
        TEST(test_records_are_judged_one_by_one),
        TEST(test_refusals_of_the_whole_call_have_their_verdicts),
        TEST(test_checks_name_what_is_missing),
        TEST(test_any_allocation_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
