/*
 * timestream_test.c - the writer: items in, requests out, and the verdict on each answer, with
 * played answers. batch_test.c tests the records.
 */
#include "lib/test.h"

#include "base/log.h"
#include "lib/backend/timestream_rig.h"
#include "lib/wire/random_labels.h"

static const struct writer_class *const class = &timestream_writer;
#define must(call) assert_int_equal((call), OK)

static struct timestream_rig rig;
static struct writer *writer;
static struct writer_call *call;
static struct buf labels;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    timestream_rig_init(&rig);
    rig.settings.u.timestream.write_endpoint = "http://here";
    buf_init(&labels, NULL, 1 << 20);
    return 0;
}

static void
close_writer(void)
{
    if (call != NULL) writer_call_free(class, writer, call);
    writer_free(class, writer);
    call = NULL;
    writer = NULL;
}

static int
teardown(void **state)
{
    (void)state;
    close_writer();
    buf_fini(&labels);
    timestream_rig_fini(&rig);
    return 0;
}

static void
prepare(void)
{
    rig.step = (struct writer_step){.next = WRITER_DONE};
    class->prepare(writer, NULL, &rig.step);
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    assert_false(class->need_prepare(writer));
}

static void
open_writer(void)
{
    why.text[0] = '\0';
    if (writer_new(class, &rig.options, &writer, &why) != OK) fail_msg("%s", why.text);
    assert_int_equal(writer_call_new(class, writer, &call), OK);
    class->call_clear(writer, call);
    assert_true(class->need_prepare(writer));
    prepare();
}

/* --- items ------------------------------------------------------------------------------------ */

/* Returns an item with the labels env and job. */
static struct item
item_of(const char *env, const char *job, int64_t t_ms)
{
    buf_clear(&labels);
    test_put_texts(&labels, "__name__", "up");
    if (env[0] != '\0') test_put_texts(&labels, "env", env);
    test_put_texts(&labels, "job", job);
    return (struct item){.kind = ITEM_FLOAT,
                         .tenant = bytes_of_text("team-a"),
                         .labels = buf_bytes(&labels),
                         .t_ms = t_ms,
                         .bits = double_bits(0.5)};
}

static enum writer_add
add_item(const struct item *item, uint32_t *ret_entry)
{
    why.text[0] = '\0';
    return class->add(writer, call, item, ret_entry, &why);
}

static enum writer_add
add(const char *env, const char *job)
{
    uint32_t entry;
    struct item item = item_of(env, job, 1000);
    return add_item(&item, &entry);
}

static void
begin(void)
{
    rig.step = (struct writer_step){.next = WRITER_DONE};
    class->begin(writer, call, &rig.step);
}

static void
answer(unsigned status, const char *body)
{
    struct http_call_answer a = answer_of(status, body);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    class->judge(writer, call, &a, &rig.step);
}

/* Sends a call of three records. */
static void
send_three(void)
{
    open_writer();
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t entry = 77;
        struct item item = item_of("a", "x", 1000 + i);
        assert_int_equal(add_item(&item, &entry), WRITER_ADDED);
        assert_int_equal(entry, i);
    }
    begin();
    assert_int_equal(rig.step.next, WRITER_SEND);
}

#define RECORD(time)                                                         \
    "{\"MeasureName\":\"up\",\"MeasureValue\":\"0.5\",\"MeasureValueType\":" \
    "\"DOUBLE\",\"Dimensions\":[],\"Time\":\"" time "\"}"
#define BODY(database, table, env, records)                                       \
    "{\"DatabaseName\":\"" database "\",\"TableName\":\"" table                   \
    "\",\"CommonAttributes\":{\"Dimensions\":[{\"Name\":\"env\",\"Value\":\"" env \
    "\"},{\"Name\":\"job\",\"Value\":\"x\"}],\"TimeUnit\":\"MILLISECONDS\"},"     \
    "\"Records\":[" records "]}"

/* --- requests --------------------------------------------------------------------------------- */

UNIT_TEST(test_a_call_is_one_signed_request)
{
    send_three();
    timestream_rig_expect_call(
        &rig, "http://here/", "WriteRecords",
        BODY("metrics", "prom", "a", RECORD("1000") "," RECORD("1001") "," RECORD("1002")));
    assert_int_equal(rig.step.http.answer_bytes_max, 256 << 10);
    assert_int_equal(class->bytes(writer, call), rig.step.http.body.size);
    assert_int_equal(class->units(writer, call), 1);
    answer(200, "{\"RecordsIngested\":{\"Total\":3,\"MemoryStore\":3,\"MagneticStore\":0}}");
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
}

UNIT_TEST(test_status_200_without_a_valid_body_is_not_a_success)
{
    send_three();
    answer(200, "");
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "damaged", "without a Timestream response");
    answer(200, "<html>");
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "damaged", "without a Timestream response");
    answer(200, "{\"RecordsIngested\":{\"Total\":3,");
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "damaged", "without a Timestream response");
    answer(200, "{}");
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
}

UNIT_TEST(test_a_call_sent_again_has_the_same_body_and_another_signature)
{
    send_three();
    struct bytes first = rig.step.http.body;
    char date[40];
    snprintf(date, sizeof date, "%s", timestream_rig_header(&rig, "X-Amz-Date"));
    answer(500, "{\"__type\":\"InternalServerException\"}");
    timestream_rig_advance(&rig, 5);
    begin();
    assert_ptr_equal(rig.step.http.body.at, first.at);
    assert_int_equal(rig.step.http.body.size, first.size);
    assert_string_not_equal(timestream_rig_header(&rig, "X-Amz-Date"), date);
}

UNIT_TEST(test_a_call_that_was_cleared_is_another_one)
{
    send_three();
    class->call_clear(writer, call);
    assert_int_equal(class->bytes(writer, call), 0);
    uint32_t entry = 77;
    struct item item = item_of("b", "x", 5);
    assert_int_equal(add_item(&item, &entry), WRITER_ADDED);
    assert_int_equal(entry, 0);
    begin();
    timestream_rig_expect_call(&rig, "http://here/", "WriteRecords",
                               BODY("metrics", "prom", "b", RECORD("5")));
}

UNIT_TEST(test_limits_are_those_of_the_service)
{
    open_writer();
    struct writer_limits limits = *writer_limits_of(writer);
    assert_true(limits.one_of_a_series);
    assert_false(limits.takes_metadata);
    assert_int_equal(limits.samples_max, 100);
    assert_int_equal(limits.concurrency, 16);
    assert_string_equal(limits.unit, "write_kib");
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(add("a", "x"), WRITER_ADDED);
    assert_int_equal(add("a", "x"), WRITER_FULL);
}

UNIT_TEST(test_an_exemplar_is_unfit)
{
    uint32_t entry;
    open_writer();
    struct item item = item_of("a", "x", 1000);
    item.kind = ITEM_EXEMPLAR;
    assert_int_equal(add_item(&item, &entry), WRITER_UNFIT);
    expect_in(why.text, "exemplars");
}

/* --- tables ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_call_is_of_one_table)
{
    rig.settings.u.timestream.database = "${tenant}";
    rig.settings.u.timestream.table = "t_${env}.${job}";
    open_writer();
    assert_int_equal(add("a", "x"), WRITER_ADDED);
    assert_int_equal(add("a", "x"), WRITER_ADDED);
    assert_int_equal(add("b", "x"), WRITER_FULL);
    struct item item = item_of("a", "x", 1000);
    uint32_t entry;
    item.tenant = bytes_of_text("team-b");
    assert_int_equal(add_item(&item, &entry), WRITER_FULL);
    begin();
    timestream_rig_expect_call(&rig, "http://here/", "WriteRecords",
                               BODY("team-a", "t_a.x", "a", RECORD("1000") "," RECORD("1000")));
    class->call_clear(writer, call);
    assert_int_equal(add("b", "x"), WRITER_ADDED);
    begin();
    timestream_rig_expect_call(&rig, "http://here/", "WriteRecords",
                               BODY("team-a", "t_b.x", "b", RECORD("1000")));
}

UNIT_TEST(test_a_series_that_gives_no_table_is_unfit)
{
    char longest[TIMESTREAM_NAME_BYTES_MAX + 1] = "";
    memset(longest, 'n', sizeof longest - 1);
    rig.settings.u.timestream.table = "${env}";
    open_writer();
    assert_int_equal(add("", "x"), WRITER_UNFIT);
    expect_in(why.text, "no label for ${env}");
    assert_int_equal(add("a b", "x"), WRITER_UNFIT);
    expect_in(why.text, "'${env}' does not make a valid");
    assert_int_equal(add("a\"", "x"), WRITER_UNFIT);
    assert_int_equal(add("\xc3\xa9", "x"), WRITER_UNFIT);
    assert_int_equal(add(longest, "x"), WRITER_ADDED);
    class->call_clear(writer, call);
    char beyond[sizeof longest + 1];
    snprintf(beyond, sizeof beyond, "%sn", longest);
    assert_int_equal(add(beyond, "x"), WRITER_UNFIT);
    struct item item = item_of("a", "x", 1);
    uint32_t entry;
    buf_clear(&labels);
    test_put_label(&labels, bytes_of_text("env"), bytes_of("a\0b", 3));
    item.labels = buf_bytes(&labels);
    assert_int_equal(add_item(&item, &entry), WRITER_UNFIT);
    assert_int_equal(add("a", "x"), WRITER_ADDED);
}

UNIT_TEST(test_names_that_no_table_has_are_refused_at_once)
{
    rig.settings.u.timestream.table = "a b";
    assert_int_equal(writer_new(class, &rig.options, &writer, &why), ERR_INPUT);
    expect_in(why.text, "'a b'");
    rig.settings.u.timestream.table = "a";
    rig.settings.u.timestream.database = "";
    assert_int_equal(writer_new(class, &rig.options, &writer, &why), ERR_INPUT);
    assert_int_equal(budget_used(&rig.memory), 0);
}

/* --- samples from the store ------------------------------------------------------------------- */

#define TAKES_AN_HOUR \
    "{\"Table\":{\"RetentionProperties\":{\"MemoryStoreRetentionPeriodInHours\":1}}}"

static enum writer_add
add_filled(const char *env, int64_t age_ms)
{
    uint32_t entry;
    struct item item = item_of(env, "x", env_realtime_ms(rig.options.env) - age_ms);
    item.pos = FILL_BIT | 5;
    return add_item(&item, &entry);
}

static void
prepare_answer(unsigned status, const char *body)
{
    struct http_call_answer a = answer_of(status, body);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    class->prepare(writer, &a, &rig.step);
}

static void
begin_prepare(void)
{
    rig.step = (struct writer_step){.next = WRITER_DONE};
    class->prepare(writer, NULL, &rig.step);
}

static const int64_t HOUR_MS = 3600 * 1000;

UNIT_TEST(test_of_the_store_only_what_the_table_takes_is_sent)
{
    open_writer();
    assert_int_equal(add_filled("a", HOUR_MS + 1), WRITER_ADDED); /* the bound is not known */
    assert_int_equal(add_filled("a", HOUR_MS), WRITER_ADDED);
    assert_true(class->need_prepare(writer));
    begin_prepare();
    timestream_rig_expect_call(&rig, "http://here/", "DescribeTable",
                               "{\"DatabaseName\":\"metrics\",\"TableName\":\"prom\"}");
    prepare_answer(200, TAKES_AN_HOUR);
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    assert_false(class->need_prepare(writer));
    begin();
    timestream_rig_expect_done(&rig, VERDICT_REBUILD, "outside_table_retention", "too old for");
    class->call_clear(writer, call);
    assert_int_equal(add_filled("a", HOUR_MS + 1), WRITER_TOO_OLD);
    assert_int_equal(class->bytes(writer, call), 0);
    assert_int_equal(add_filled("a", HOUR_MS), WRITER_ADDED);
    timestream_rig_advance(&rig, 1); /* while it waited */
    begin();
    timestream_rig_expect_done(&rig, VERDICT_REBUILD, "outside_table_retention", "too old for");
}

UNIT_TEST(test_records_that_may_have_arrived_are_sent_again)
{
    open_writer();
    assert_int_equal(add_filled("a", HOUR_MS - 1000), WRITER_ADDED);
    begin_prepare();
    prepare_answer(200, TAKES_AN_HOUR);
    begin();
    assert_int_equal(rig.step.next, WRITER_SEND);
    struct http_call_answer silence = silence_of(HTTP_CALL_TIMEOUT, "too late");
    class->judge(writer, call, &silence, &rig.step);
    timestream_rig_advance(&rig, 2);
    begin();
    assert_int_equal(rig.step.next, WRITER_SEND);
    class->call_clear(writer, call);
    assert_int_equal(add_filled("a", HOUR_MS + 1000), WRITER_TOO_OLD);
}

UNIT_TEST(test_of_the_log_everything_is_sent_and_no_table_is_asked)
{
    uint32_t entry;
    open_writer();
    struct item item = item_of("a", "x", 5);
    assert_int_equal(add_item(&item, &entry), WRITER_ADDED);
    assert_false(class->need_prepare(writer));
    begin();
    assert_int_equal(rig.step.next, WRITER_SEND);
    class->call_clear(writer, call);
    assert_int_equal(add_filled("a", 5), WRITER_ADDED);
    begin_prepare();
    prepare_answer(200, TAKES_AN_HOUR);
    class->call_clear(writer, call);
    assert_int_equal(add_item(&item, &entry), WRITER_ADDED);
    begin();
    assert_int_equal(rig.step.next, WRITER_SEND);
}

UNIT_TEST(test_each_table_of_a_template_is_asked)
{
    rig.settings.u.timestream.table = "t_${env}";
    open_writer();
    assert_int_equal(add_filled("a", 2 * HOUR_MS), WRITER_ADDED);
    assert_int_equal(add_filled("b", 2 * HOUR_MS), WRITER_FULL);
    begin_prepare();
    timestream_rig_expect_call(&rig, "http://here/", "DescribeTable",
                               "{\"DatabaseName\":\"metrics\",\"TableName\":\"t_a\"}");
    log_to_fd(-1);
    prepare_answer(403, "{\"__type\":\"AccessDeniedException\"}");
    log_to_fd(2);
    timestream_rig_expect_call(&rig, "http://here/", "DescribeTable",
                               "{\"DatabaseName\":\"metrics\",\"TableName\":\"t_b\"}");
    prepare_answer(200, TAKES_AN_HOUR);
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    begin();
    assert_int_equal(rig.step.next, WRITER_SEND);
    class->call_clear(writer, call);
    assert_int_equal(add_filled("b", 2 * HOUR_MS), WRITER_TOO_OLD);
    assert_int_equal(add_filled("a", 2 * HOUR_MS), WRITER_ADDED);
    assert_int_equal(add_filled("b", 2 * HOUR_MS), WRITER_TOO_OLD); /* whatever the call contains */
    assert_int_equal(add_filled("b", 0), WRITER_FULL);
}

UNIT_TEST(test_credentials_come_before_tables)
{
    open_writer();
    assert_int_equal(add_filled("a", 5), WRITER_ADDED);
    begin_prepare();
    prepare_answer(403, "{\"__type\":\"ExpiredTokenException\"}");
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "credentials", "");
    assert_true(class->need_prepare(writer));
    begin_prepare(); /* the tables are the same: that is reported, and none is asked about */
    assert_int_equal(rig.step.next, WRITER_DONE);
    assert_int_not_equal(rig.step.verdict, VERDICT_DELIVERED);
}

/* --- verdicts --------------------------------------------------------------------------------- */

static void
expect_entry(uint32_t entry, enum writer_verdict verdict, const char *reason, const char *says)
{
    struct writer_entry e;
    class->entry(writer, call, entry, &e);
    assert_int_equal(e.verdict, verdict);
    assert_string_equal(e.reason, reason);
    assert_string_equal(e.answer, says);
}

#define REJECTED(list)                                                             \
    "{\"__type\":\"com.amazonaws.timestream.v20181101#RejectedRecordsException\"," \
    "\"Message\":\"One or more records have been rejected.\",\"RejectedRecords\":" list "}"

UNIT_TEST(test_refused_records_are_dead_and_the_others_delivered)
{
    send_three();
    answer(419, REJECTED("[{\"RecordIndex\":1,\"Reason\":\"other value\",\"ExistingVersion\":1}]"));
    timestream_rig_expect_done(&rig, VERDICT_MIXED, "rejected", "RejectedRecordsException");
    expect_entry(0, VERDICT_DELIVERED, "", "");
    expect_entry(1, VERDICT_DEAD, "conflict", "other value (existing version 1)");
    expect_entry(2, VERDICT_DELIVERED, "", "");
    begin(); /* the code counts, whatever the status */
    answer(400, REJECTED("[{\"RecordIndex\":0,\"Reason\":\"the type of the measure\"}]"));
    timestream_rig_expect_done(&rig, VERDICT_MIXED, "rejected", "RejectedRecordsException");
    expect_entry(0, VERDICT_DEAD, "type", "the type of the measure");
    expect_entry(1, VERDICT_DELIVERED, "", "");
}

UNIT_TEST(test_refusals_that_name_no_record_are_found_by_halving)
{
    send_three();
    answer(419, REJECTED("[{\"RecordIndex\":3,\"Reason\":\"no such one\"}]"));
    timestream_rig_expect_done(&rig, VERDICT_SOME_DEAD, "rejected", "");
    answer(419, "");
    timestream_rig_expect_done(&rig, VERDICT_SOME_DEAD, "rejected", "419");
    struct http_call_answer cut = answer_of(419, REJECTED("[{\"RecordIndex\":1}]"));
    cut.body_cut = true;
    class->judge(writer, call, &cut, &rig.step);
    timestream_rig_expect_done(&rig, VERDICT_SOME_DEAD, "rejected", "");
    answer(400, "{\"__type\":\"ValidationException\",\"message\":\"a dimension is wrong\"}");
    timestream_rig_expect_done(&rig, VERDICT_SOME_DEAD, "validation", "a dimension is wrong");
    answer(418, "x"); /* not a message of the service */
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "http_418", "x");
}

UNIT_TEST(test_without_memory_for_refusals_the_call_is_sent_again)
{
    send_three();
    mem_fail_nth(1, true);
    for (uint64_t nth = 1; nth < 20; nth++) { /* whatever the first allocations are for */
        mem_fail_nth(nth, true);
        answer(419, REJECTED("[{\"RecordIndex\":1,\"Reason\":\"x\"}]"));
        mem_fail_nth(0, false);
        if (rig.step.verdict == VERDICT_MIXED) break;
        assert_true(rig.step.verdict == VERDICT_RETRY || rig.step.verdict == VERDICT_SOME_DEAD);
    }
    assert_int_equal(rig.step.verdict, VERDICT_MIXED);
}

UNIT_TEST(test_every_other_answer_has_its_verdict)
{
    static const struct {
        unsigned status;
        const char *type;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {429, "ThrottlingException", VERDICT_THROTTLED, "throttled"},
        {400, "ThrottlingException", VERDICT_THROTTLED, "throttled"},
        {500, "InternalServerException", VERDICT_RETRY, "unavailable"},
        {503, "", VERDICT_RETRY, "http_503"},
        {421, "InvalidEndpointException", VERDICT_RETRY, "endpoint"},
        {402, "ServiceQuotaExceededException", VERDICT_BLOCKED, "quota"},
        {403, "AccessDeniedException", VERDICT_BLOCKED, "access_denied"},
        {404, "ResourceNotFoundException", VERDICT_BLOCKED, "not_found"},
        {413, "", VERDICT_TOO_LARGE, "http_413"},
        {301, "", VERDICT_BLOCKED, "http_301"},
        {403, "ExpiredTokenException", VERDICT_UNPREPARED, "credentials"},
    };
    send_three();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"__type\":\"%s\",\"message\":\"words\"}", cases[i].type);
        answer(cases[i].status, body);
        timestream_rig_expect_done(&rig, cases[i].verdict, cases[i].reason, "");
    }
    assert_true(class->need_prepare(writer)); /* the last one is about our keys */
    answer(404, "{\"__type\":\"ResourceNotFoundException\",\"message\":\"words\"}");
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "not_found",
                               "table prom of database metrics: Resource");
    struct http_call_answer silence = silence_of(HTTP_CALL_TIMEOUT, "too late");
    class->judge(writer, call, &silence, &rig.step);
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "timeout", "too late");
}

UNIT_TEST(test_a_call_waits_for_what_is_to_be_prepared)
{
    send_three();
    answer(403, "{\"__type\":\"ExpiredTokenException\"}");
    begin();
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "credentials", "");
}

UNIT_TEST(test_without_memory_for_a_body_the_call_is_sent_again)
{
    open_writer();
    assert_int_equal(add("a", "x"), WRITER_ADDED);
    mem_fail_nth(1, false);
    begin();
    mem_fail_nth(0, false);
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "no_memory", "not enough memory");
    begin();
    timestream_rig_expect_call(&rig, "http://here/", "WriteRecords",
                               BODY("metrics", "prom", "a", RECORD("1000")));
}

/* --- versions --------------------------------------------------------------------------------- */

static void
expect_version(const char *want)
{
    assert_int_equal(add("a", "x"), WRITER_ADDED);
    begin();
    char body[1000];
    snprintf(body, sizeof body, "%.*s", (int)rig.step.http.body.size,
             (const char *)rig.step.http.body.at);
    if (want == NULL)
        assert_null(strstr(body, "Version"));
    else
        expect_in(body, want);
}

UNIT_TEST(test_overwriting_sends_one_version_and_remembers_it)
{
    struct buf saved;
    buf_init(&saved, NULL, 100);
    rig.settings.u.timestream.overwrite = true;
    open_writer();
    class->save(writer, &saved);
    must(class->saved(writer, NULL));
    expect_version("\"Version\":1767225600000}");
    close_writer();
    timestream_rig_advance(&rig, 1000);
    rig.options.saved = buf_bytes(&saved);
    open_writer();
    expect_version("\"Version\":1767225600000}");
    close_writer();
    rig.options.saved.size--; /* damaged */
    open_writer();
    must(class->saved(writer, NULL));
    expect_version("\"Version\":1767226600000}");
    close_writer();
    rig.settings.u.timestream.overwrite = false;
    rig.options.saved = buf_bytes(&saved);
    open_writer();
    expect_version(NULL);
    buf_clear(&saved);
    class->save(writer, &saved);
    assert_int_equal(saved.size, 0);
    buf_fini(&saved);
}

UNIT_TEST(test_each_fill_has_a_version_above_all_before_and_keeps_it)
{
    struct buf saved;
    buf_init(&saved, NULL, 100);
    rig.settings.u.timestream.overwrite = true;
    open_writer();
    class->save(writer, &saved);
    close_writer();
    rig.options.saved = buf_bytes(&saved);
    for (rig.options.fills = 1; rig.options.fills < 4; rig.options.fills++) {
        for (unsigned restarts = 0; restarts < 2; restarts++) {
            char want[60];
            snprintf(want, sizeof want, "\"Version\":%llu}", 1767225600000ULL + rig.options.fills);
            timestream_rig_advance(&rig, 100);
            open_writer();
            expect_version(want);
            buf_clear(&saved);
            class->save(writer, &saved);
            rig.options.saved = buf_bytes(&saved);
            close_writer();
        }
    }
    buf_fini(&saved);
}

UNIT_TEST(test_nothing_is_sent_under_a_version_that_is_not_durable)
{
    rig.settings.u.timestream.overwrite = true;
    open_writer();
    assert_int_equal(add("a", "x"), WRITER_ADDED);
    begin();
    assert_int_equal(rig.step.next, WRITER_SAVE);
    begin();
    assert_int_equal(rig.step.next, WRITER_SAVE);
    must(class->saved(writer, NULL));
    begin();
    assert_int_equal(rig.step.next, WRITER_SEND);
}

/* --- checks ----------------------------------------------------------------------------------- */

static void
check(const struct http_call_answer *a)
{
    char what[WRITER_ANSWER_BYTES];
    rig.step = (struct writer_step){.next = WRITER_DONE};
    assert_true(class->check(writer, 0, a, &rig.step, what));
    assert_string_equal(what, "table prom of database metrics (timestream:DescribeTable)");
}

static void
check_answer(unsigned status, const char *body)
{
    struct http_call_answer a = answer_of(status, body);
    check(&a);
}

UNIT_TEST(test_the_check_describes_the_table)
{
    char what[WRITER_ANSWER_BYTES];
    open_writer();
    check(NULL);
    timestream_rig_expect_call(&rig, "http://here/", "DescribeTable",
                               "{\"DatabaseName\":\"metrics\",\"TableName\":\"prom\"}");
    check_answer(200, "{\"Table\":{\"TableStatus\":\"ACTIVE\"}}");
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "",
                               "ACTIVE; accepts samples of the last 0 hours");
    check_answer(200, "{\"Table\":{\"TableStatus\":\"DELETING\"}}");
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "not_active", "DELETING");
    check_answer(200, "{}");
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "answer", "does not describe a table");
    check_answer(404, "{\"__type\":\"ResourceNotFoundException\",\"message\":\"no table\"}");
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "not_found", "no table");
    check_answer(403, "{\"__type\":\"AccessDeniedException\",\"message\":\"not you\"}");
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "",
                               "the optional permission timestream:DescribeTable is missing");
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "not you");
    assert_false(class->check(writer, 2, NULL, &rig.step, what));
    close_writer();
    rig.settings.u.timestream.table = "${env}";
    open_writer();
    assert_true(class->check(writer, 0, NULL, &rig.step, what));
    assert_non_null(strstr(what, "credentials"));
    assert_false(class->check(writer, 1, NULL, &rig.step, what));
}

UNIT_TEST(test_a_check_asks_with_no_records_whether_writing_is_allowed)
{
    char what[WRITER_ANSWER_BYTES];
    open_writer();
    rig.step = (struct writer_step){.next = WRITER_DONE};
    assert_true(class->check(writer, 1, NULL, &rig.step, what));
    timestream_rig_expect_call(
        &rig, "http://here/", "WriteRecords",
        "{\"DatabaseName\":\"metrics\",\"TableName\":\"prom\",\"Records\":[]}");
    assert_non_null(strstr(what, "(timestream:WriteRecords)"));
    struct http_call_answer a = answer_of(400, "{\"__type\":\"ValidationException\"}");
    assert_true(class->check(writer, 1, &a, &rig.step, what));
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "access allowed");
    a = answer_of(400, "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}");
    assert_true(class->check(writer, 1, &a, &rig.step, what));
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "access_denied", "no");
    close_writer();
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_without_memory_there_is_no_writer)
{
    for (uint64_t nth = 1;; nth++) {
        mem_fail_nth(nth, false);
        enum err e = writer_new(class, &rig.options, &writer, &why);
        if (e == OK) e = writer_call_new(class, writer, &call);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) break;
        assert_int_equal(e, ERR_NOMEM);
        close_writer();
        assert_int_equal(budget_used(&rig.memory), 0);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_is_one_signed_request),
        TEST(test_status_200_without_a_valid_body_is_not_a_success),
        TEST(test_a_call_sent_again_has_the_same_body_and_another_signature),
        TEST(test_a_call_that_was_cleared_is_another_one),
        TEST(test_limits_are_those_of_the_service),
        TEST(test_an_exemplar_is_unfit),
        TEST(test_a_call_is_of_one_table),
        TEST(test_a_series_that_gives_no_table_is_unfit),
        TEST(test_names_that_no_table_has_are_refused_at_once),
        TEST(test_of_the_store_only_what_the_table_takes_is_sent),
        TEST(test_records_that_may_have_arrived_are_sent_again),
        TEST(test_of_the_log_everything_is_sent_and_no_table_is_asked),
        TEST(test_each_table_of_a_template_is_asked),
        TEST(test_credentials_come_before_tables),
        TEST(test_refused_records_are_dead_and_the_others_delivered),
        TEST(test_refusals_that_name_no_record_are_found_by_halving),
        TEST(test_without_memory_for_refusals_the_call_is_sent_again),
        TEST(test_every_other_answer_has_its_verdict),
        TEST(test_a_call_waits_for_what_is_to_be_prepared),
        TEST(test_without_memory_for_a_body_the_call_is_sent_again),
        TEST(test_overwriting_sends_one_version_and_remembers_it),
        TEST(test_each_fill_has_a_version_above_all_before_and_keeps_it),
        TEST(test_nothing_is_sent_under_a_version_that_is_not_durable),
        TEST(test_the_check_describes_the_table),
        TEST(test_a_check_asks_with_no_records_whether_writing_is_allowed),
        TEST(test_without_memory_there_is_no_writer),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
