/* timestream_answer_test.c - refused records, addresses and tables, in answers as Timestream sends
 * them and in invalid ones. */
#include "lib/test.h"
#include <stdio.h>

#include "backend/timestream/timestream.h"

/* --- refused records -------------------------------------------------------------------------- */

static struct timestream_rejections rejections;

static enum err
read_list(const char *list, uint32_t count)
{
    char body[8192];
    snprintf(body, sizeof body,
             "{\"__type\":\"com.amazonaws.timestream.v20181101#RejectedRecordsException\","
             "\"Message\":\"One or more records have been rejected.\",\"RejectedRecords\":%s}",
             list);
    return timestream_rejections_read(&rejections, bytes_of_text(body), count);
}

static void
expect_rejection(uint32_t index, const char *reason, const char *words)
{
    assert_non_null(rejections.of[index].reason);
    assert_string_equal(rejections.of[index].reason, reason);
    struct bytes text =
        bytes_of(rejections.texts.at + rejections.of[index].from, rejections.of[index].size);
    if (!bytes_equal_text(text, words))
        fail_msg("'%.*s' instead of '%s'", (int)text.size, (const char *)text.at, words);
}

UNIT_TEST(test_refused_records_are_those_that_are_named)
{
    timestream_rejections_init(&rejections, NULL);
    assert_int_equal(read_list("[{\"RecordIndex\":2,\"Reason\":\"Out\\nof the time range.\"},"
                               "{\"RecordIndex\":0,\"Reason\":\"Why\",\"ExistingVersion\":5},"
                               "{\"RecordIndex\":2,\"Reason\":\"Again\"},{\"RecordIndex\":4}]",
                               5),
                     OK);
    expect_rejection(0, "conflict", "Why (existing version 5)");
    expect_rejection(2, "outside_table_retention", "Out of the time range.");
    expect_rejection(4, "rejected", "refused without a reason");
    assert_null(rejections.of[1].reason);
    assert_null(rejections.of[3].reason);
    assert_int_equal(read_list("[{\"RecordIndex\":1,\"Reason\":\"x\"}]", 5), OK);
    assert_null(rejections.of[0].reason); /* left from the answer before */
    expect_rejection(1, "rejected", "x");
    timestream_rejections_fini(&rejections);
}

UNIT_TEST(test_reasons_become_words)
{
    static const struct {
        const char *said;
        const char *reason;
    } cases[] = {
        {"The record timestamp is outside the time range [a, b) of the data ingestion window.",
         "outside_table_retention"},
        {"Timestamps lie outside the retention of the Memory Store", "outside_table_retention"},
        {"Records with the same dimensions, timestamps and measure names but other values",
         "conflict"},
        {"The record version 1 is lower than 2", "conflict"},
        {"Duplicate data", "conflict"},
        {"The measure's value type does not match", "type"},
        {"Too many dimensions: the maximum is 128", "limits"},
        {"It exceeds the limit", "limits"},
        {"No", "rejected"},
    };
    timestream_rejections_init(&rejections, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char list[300];
        snprintf(list, sizeof list, "[{\"RecordIndex\":0,\"Reason\":\"%s\"}]", cases[i].said);
        assert_int_equal(read_list(list, 1), OK);
        expect_rejection(0, cases[i].reason, cases[i].said);
    }
    timestream_rejections_fini(&rejections);
}

UNIT_TEST(test_an_invalid_list_names_no_record)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "null",
        "[{}]",
        "[5]",
        "[{\"RecordIndex\":-1}]",
        "[{\"RecordIndex\":5}]",
        "[{\"RecordIndex\":1e0}]",
        "[{\"RecordIndex\":\"1\"}]",
        "[{\"RecordIndex\":1},{\"RecordIndex\":4294967297}]",
        "[{\"RecordIndex\":1}",
        "[{\"RecordIndex\":99999999999999999999}]",
    };
    timestream_rejections_init(&rejections, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_list(bad[i], 5), ERR_INPUT);
    assert_int_equal(timestream_rejections_read(&rejections, bytes_of(NULL, 0), 5), ERR_INPUT);
    timestream_rejections_fini(&rejections);
}

UNIT_TEST(test_long_reasons_of_all_records_fit)
{
    struct buf body;
    buf_init(&body, NULL, 1 << 20);
    timestream_rejections_init(&rejections, NULL);
    buf_put_text(&body, "{\"RejectedRecords\":[");
    for (unsigned i = 0; i < TIMESTREAM_RECORDS_MAX; i++) {
        buf_printf(&body,
                   "%s{\"RecordIndex\":%u,\"ExistingVersion\":9223372036854775807,"
                   "\"Reason\":\"%02000d\"}",
                   i == 0 ? "" : ",", i, 7);
    }
    buf_put_text(&body, "]}");
    assert_int_equal(
        timestream_rejections_read(&rejections, buf_bytes(&body), TIMESTREAM_RECORDS_MAX), OK);
    for (unsigned i = 0; i < TIMESTREAM_RECORDS_MAX; i++) {
        assert_string_equal(rejections.of[i].reason, "conflict");
        assert_true(rejections.of[i].size < WRITER_ANSWER_BYTES);
    }
    timestream_rejections_fini(&rejections);
    buf_fini(&body);
}

UNIT_TEST(test_without_memory_for_words_it_is_said)
{
    timestream_rejections_init(&rejections, NULL);
    mem_fail_nth(1, false);
    enum err e = read_list("[{\"RecordIndex\":1}]", 5);
    mem_fail_nth(0, false);
    assert_int_equal(e, ERR_NOMEM);
    timestream_rejections_fini(&rejections);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void
expect_address(const char *body, const char *want, int64_t want_minutes)
{
    char endpoint[AWS_ENDPOINT_BYTES];
    int64_t keep_ms;
    struct why why = {""};
    assert_int_equal(timestream_address_read(bytes_of_text(body), endpoint, &keep_ms, &why), OK);
    assert_string_equal(endpoint, want);
    assert_int_equal(keep_ms, want_minutes * 60000);
}

UNIT_TEST(test_the_first_usable_address_is_taken)
{
    expect_address(
        "{\"Endpoints\":[{\"Address\":\"ingest-cell1.timestream.us-east-1.amazonaws.com\","
        "\"CachePeriodInMinutes\":1440}]}",
        "https://ingest-cell1.timestream.us-east-1.amazonaws.com", 1440);
    expect_address("{\"Endpoints\":[{\"Address\":\"a/b\",\"CachePeriodInMinutes\":1},"
                   "{\"Address\":\"[::1]:8443\",\"CachePeriodInMinutes\":2},{\"Address\":\"c\"}]}",
                   "https://[::1]:8443", 2);
    expect_address("{\"Endpoints\":[{\"Address\":\"a\"}]}", "https://a", 1);
    expect_address("{\"Endpoints\":[{\"Address\":\"a\",\"CachePeriodInMinutes\":-5}]}", "https://a",
                   1);
    expect_address("{\"Endpoints\":[{\"Address\":\"a\",\"CachePeriodInMinutes\":99999999999}]}",
                   "https://a", 7 * 24 * 60);
}

UNIT_TEST(test_an_invalid_address_is_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"Endpoints\":[]}",
        "{\"Endpoints\":[{}]}",
        "{\"Endpoints\":[{\"Address\":5}]}",
        "{\"Endpoints\":[{\"Address\":\"\"}]}",
        "{\"Endpoints\":[{\"Address\":\"user@host\"}]}",
        "{\"Endpoints\":[{\"Address\":\"http://host\"}]}",
        "{\"Endpoints\":[{\"Address\":\"host?q\"}]}",
        "{\"Endpoints\":[{\"Address\":\"a b\"}]}",
        "{\"Endpoints\":[{\"Address\":\"a\\r\\nb\"}]}",
    };
    char endpoint[AWS_ENDPOINT_BYTES] = "before", body[2 * AWS_ENDPOINT_BYTES];
    int64_t keep_ms = 7;
    struct why why;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.text[0] = '\0';
        assert_int_equal(timestream_address_read(bytes_of_text(bad[i]), endpoint, &keep_ms, &why),
                         ERR_INPUT);
        assert_true(why.text[0] != '\0');
    }
    snprintf(body, sizeof body, "{\"Endpoints\":[{\"Address\":\"%0*d\"}]}", AWS_ENDPOINT_BYTES, 0);
    assert_int_equal(timestream_address_read(bytes_of_text(body), endpoint, &keep_ms, &why),
                     ERR_INPUT);
    assert_string_equal(endpoint, "before");
    assert_int_equal(keep_ms, 7);
}

/* --- tables ----------------------------------------------------------------------------------- */

static void
expect_table(const char *body, bool want_active, const char *want)
{
    struct timestream_table table;
    assert_int_equal(timestream_table_read(bytes_of_text(body), &table), OK);
    assert_string_equal(table.text, want);
    assert_int_equal(table.is_active, want_active);
}

UNIT_TEST(test_a_sentence_names_the_table)
{
    expect_table(
        "{\"Table\":{\"TableStatus\":\"ACTIVE\",\"RetentionProperties\":{"
        "\"MemoryStoreRetentionPeriodInHours\":6,"
        "\"MagneticStoreRetentionPeriodInDays\":73000},"
        "\"MagneticStoreWriteProperties\":{\"EnableMagneticStoreWrites\":true}}}",
        true,
        "ACTIVE; accepts samples of the last 6 hours (memory store); older samples are accepted "
        "too "
        "(magnetic store writes are enabled); keeps samples for 73000 days (magnetic store)");
    expect_table(
        "{\"Table\":{\"TableStatus\":\"DELETING\",\"RetentionProperties\":{"
        "\"MemoryStoreRetentionPeriodInHours\":12,"
        "\"MagneticStoreRetentionPeriodInDays\":30}}}",
        false,
        "DELETING; accepts samples of the last 12 hours (memory store); older samples are "
        "refused (magnetic store writes are disabled); keeps samples for 30 days (magnetic store)");
    struct timestream_table table;
    assert_int_equal(timestream_table_read(bytes_of_text("{}"), &table), ERR_INPUT);
    assert_int_equal(timestream_table_read(bytes_of_text("{\"Table\":[]}"), &table), ERR_INPUT);
    assert_int_equal(timestream_table_read(bytes_of_text("x"), &table), ERR_INPUT);
}

UNIT_TEST(test_a_table_takes_what_its_stores_do)
{
    static const struct {
        const char *memory, *magnetic, *writes;
        int64_t hours; /* 0: not known */
    } cases[] = {
        {"6", "30", "false", 6},  {"6", "30", "true", 30 * 24}, {"800", "30", "true", 800},
        {"6", "null", "true", 0}, {"6", "null", "false", 6},    {"null", "30", "false", 0},
        {"0", "30", "false", 0},  {"-1", "30", "true", 0},      {"\"6\"", "30", "true", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[300];
        struct timestream_table table;
        snprintf(body, sizeof body,
                 "{\"Table\":{\"RetentionProperties\":{\"MemoryStoreRetentionPeriodInHours\":%s,"
                 "\"MagneticStoreRetentionPeriodInDays\":%s},\"MagneticStoreWriteProperties\":{"
                 "\"EnableMagneticStoreWrites\":%s}}}",
                 cases[i].memory, cases[i].magnetic, cases[i].writes);
        assert_int_equal(timestream_table_read(bytes_of_text(body), &table), OK);
        int64_t want_ms = cases[i].hours == 0 ? INT64_MAX : cases[i].hours * 3600000;
        assert_int_equal(table.takes_ms, want_ms);
    }
    struct timestream_table table;
    assert_int_equal(timestream_table_read(bytes_of_text("{\"Table\":{\"RetentionProperties\":{"
                                                         "\"MemoryStoreRetentionPeriodInHours\":"
                                                         "9223372036854775807}}}"),
                                           &table),
                     OK);
    assert_int_equal(table.takes_ms, INT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_records_are_those_that_are_named),
        cmocka_unit_test(test_reasons_become_words),
        cmocka_unit_test(test_an_invalid_list_names_no_record),
        cmocka_unit_test(test_long_reasons_of_all_records_fit),
        cmocka_unit_test(test_without_memory_for_words_it_is_said),
        cmocka_unit_test(test_the_first_usable_address_is_taken),
        cmocka_unit_test(test_an_invalid_address_is_refused),
        cmocka_unit_test(test_a_sentence_names_the_table),
        cmocka_unit_test(test_a_table_takes_what_its_stores_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
