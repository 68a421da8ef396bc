/* tables_test.c - tables that are described, when, and the effect of each answer. */
#include "lib/test.h"

#include "base/log.h"
#include "lib/backend/timestream_rig.h"

#define DESCRIBED(hours)                                                                          \
    "{\"Table\":{\"TableStatus\":\"ACTIVE\",\"RetentionProperties\":{"                            \
    "\"MemoryStoreRetentionPeriodInHours\":" #hours ",\"MagneticStoreRetentionPeriodInDays\":9}," \
    "\"MagneticStoreWriteProperties\":{\"EnableMagneticStoreWrites\":false}}}"
#define REFUSED(code) "{\"__type\":\"" code "\",\"message\":\"words\"}"
#define URL           "http://here/"

static const int64_t HOUR_MS = 3600 * 1000;

static struct timestream_rig rig;
static struct timestream_client *client;
static struct timestream_tables *tables;

static int
setup(void **state)
{
    (void)state;
    struct why why = {""};
    timestream_rig_init(&rig);
    rig.settings.u.timestream.write_endpoint = "http://here";
    if (timestream_client_new(&rig.options, &client, &why) != OK) fail_msg("%s", why.text);
    timestream_client_prepare(client, NULL, &rig.step);
    assert_int_equal(timestream_tables_new(&rig.options, client, &tables), OK);
    log_to_fd(-1);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    log_to_fd(2);
    timestream_tables_free(tables);
    timestream_client_free(client);
    timestream_rig_fini(&rig);
    return 0;
}

static int64_t
oldest(const char *database, const char *table)
{
    int64_t oldest_ms = 7;
    assert_int_equal(timestream_tables_oldest(tables, database, table, &oldest_ms), OK);
    return oldest_ms;
}

static void
expect_hours(const char *table, int64_t hours)
{
    assert_int_equal(oldest("d", table), env_realtime_ms(rig.options.env) - hours * HOUR_MS);
}

static void
expect_question(const char *table)
{
    char body[100];
    snprintf(body, sizeof body, "{\"DatabaseName\":\"d\",\"TableName\":\"%s\"}", table);
    timestream_rig_expect_call(&rig, URL, "DescribeTable", body);
}

static void
ask(void)
{
    rig.step = (struct writer_step){.next = WRITER_DONE};
    timestream_tables_prepare(tables, NULL, &rig.step);
}

static void
take(struct http_call_answer answer)
{
    rig.step = (struct writer_step){.next = WRITER_DONE};
    timestream_tables_prepare(tables, &answer, &rig.step);
}

/* Learns the state of the table `t` from an answer. */
static void
learn(unsigned status, const char *body)
{
    oldest("d", "t");
    ask();
    expect_question("t");
    take(answer_of(status, body));
}

UNIT_TEST(test_a_table_is_asked_once_it_is_met_and_again_after_an_hour)
{
    assert_false(timestream_tables_due(tables));
    assert_int_equal(oldest("d", "t"), INT64_MIN);
    assert_true(timestream_tables_due(tables));
    learn(200, DESCRIBED(6));
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    assert_false(timestream_tables_due(tables));
    expect_hours("t", 6);
    timestream_rig_advance(&rig, 3599);
    expect_hours("t", 6); /* the bound moves with time */
    assert_false(timestream_tables_due(tables));
    timestream_rig_advance(&rig, 1);
    expect_hours("t", 6); /* until more is known */
    assert_true(timestream_tables_due(tables));
    learn(200, DESCRIBED(12));
    expect_hours("t", 12);
    timestream_rig_advance(&rig, 4000); /* an unused table is not asked about */
    assert_false(timestream_tables_due(tables));
}

UNIT_TEST(test_all_tables_that_were_met_are_asked_one_after_another)
{
    char name[20];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "t%u", i);
        assert_int_equal(oldest("d", name), INT64_MIN);
        assert_int_equal(oldest("d", name), INT64_MIN);
    }
    ask();
    for (unsigned i = 0; i < 20; i++) {
        char body[400];
        snprintf(name, sizeof name, "t%u", i);
        snprintf(body, sizeof body,
                 "{\"Table\":{\"RetentionProperties\":{"
                 "\"MemoryStoreRetentionPeriodInHours\":%u}}}",
                 i + 1);
        expect_question(name);
        assert_true(timestream_tables_due(tables));
        take(answer_of(200, body));
    }
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    assert_false(timestream_tables_due(tables));
    for (unsigned i = 20; i-- > 0;) {
        snprintf(name, sizeof name, "t%u", i);
        expect_hours(name, i + 1);
    }
    assert_int_equal(oldest("e", "t1"), INT64_MIN); /* another database, another table */
    assert_true(timestream_tables_due(tables));
}

UNIT_TEST(test_without_the_permission_everything_is_taken_and_that_is_said_once)
{
    uint64_t warnings = log_count(LOG_WARN);
    learn(403, REFUSED("AccessDeniedException"));
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    assert_int_equal(oldest("d", "t"), INT64_MIN);
    assert_false(timestream_tables_due(tables));
    assert_int_equal(log_count(LOG_WARN), warnings + 1);
    timestream_rig_advance(&rig, 3600); /* the permission may have been granted */
    learn(403, REFUSED("AccessDeniedException"));
    assert_int_equal(log_count(LOG_WARN), warnings + 1);
    timestream_rig_advance(&rig, 3600);
    learn(200, DESCRIBED(6));
    expect_hours("t", 6);
}

UNIT_TEST(test_who_knows_no_such_question_takes_everything)
{
    static const struct {
        unsigned status;
        const char *body;
    } answers[] = {
        {404, REFUSED("UnknownOperationException")},
        {400, REFUSED("ValidationException")},
        {404, "not found"},
        {403, "forbidden"},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        learn(answers[i].status, answers[i].body);
        timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
        assert_int_equal(oldest("d", "t"), INT64_MIN);
        assert_false(timestream_tables_due(tables));
        timestream_rig_advance(&rig, 3600);
    }
    learn(200, "{\"Table\":{}}"); /* or does not state its retention */
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    assert_int_equal(oldest("d", "t"), INT64_MIN);
}

UNIT_TEST(test_a_table_that_is_missing_blocks_and_is_named)
{
    learn(404, REFUSED("ResourceNotFoundException"));
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "not_found", "table t of database d: ");
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "not_found", "words");
    assert_true(timestream_tables_due(tables));
    learn(200, DESCRIBED(6));
    expect_hours("t", 6);
}

UNIT_TEST(test_a_temporary_failure_is_retried)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *reason;
    } answers[] = {
        {429, REFUSED("ThrottlingException"), VERDICT_THROTTLED, "throttled"},
        {500, REFUSED("InternalServerException"), VERDICT_RETRY, "unavailable"},
        {421, REFUSED("InvalidEndpointException"), VERDICT_RETRY, "endpoint"},
        {200, "{}", VERDICT_RETRY, "answer"},
        {200, "<html>", VERDICT_RETRY, "answer"},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        learn(answers[i].status, answers[i].body);
        timestream_rig_expect_done(&rig, answers[i].verdict, answers[i].reason, "");
        assert_true(timestream_tables_due(tables));
    }
    ask();
    take(silence_of(HTTP_CALL_TIMEOUT, "too late"));
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "timeout", "too late");
    ask();
    take(silence_of(HTTP_CALL_TLS, "whose is this"));
    timestream_rig_expect_done(&rig, VERDICT_BLOCKED, "tls", "whose is this");
    struct http_call_answer cut = answer_of(200, DESCRIBED(6));
    cut.body_cut = true;
    ask();
    take(cut);
    timestream_rig_expect_done(&rig, VERDICT_RETRY, "answer", "");
    assert_true(timestream_tables_due(tables));
    learn(403, REFUSED("ExpiredTokenException"));
    timestream_rig_expect_done(&rig, VERDICT_UNPREPARED, "credentials", "");
    assert_true(timestream_client_due(client));
}

UNIT_TEST(test_known_retention_is_used_while_it_cannot_be_refreshed)
{
    learn(200, DESCRIBED(6));
    timestream_rig_advance(&rig, 3600);
    learn(500, REFUSED("InternalServerException"));
    timestream_rig_expect_done(&rig, VERDICT_DELIVERED, "", "");
    expect_hours("t", 6);
    assert_false(timestream_tables_due(tables));
    timestream_rig_advance(&rig, 60);
    expect_hours("t", 6);
    assert_true(timestream_tables_due(tables));
}

UNIT_TEST(test_with_a_wrong_clock_that_of_aws_counts)
{
    int64_t right_ms = env_realtime_ms(rig.options.env) + 900 * 1000;
    struct http_call_answer late = answer_of(400, REFUSED("RequestExpired"));
    late.date_s = right_ms / 1000;
    oldest("d", "t");
    ask();
    take(late);
    expect_question("t");
    take(answer_of(200, DESCRIBED(6)));
    assert_int_equal(oldest("d", "t"), right_ms - 6 * HOUR_MS);
}

UNIT_TEST(test_without_memory_it_is_said_and_works_later)
{
    for (uint64_t nth = 1;; nth++) {
        int64_t oldest_ms;
        mem_fail_nth(nth, false);
        enum err e = timestream_tables_oldest(tables, "d", "t", &oldest_ms);
        if (e == OK) ask();
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) break;
        if (e == OK)
            assert_int_equal(rig.step.verdict, VERDICT_RETRY);
        else
            assert_int_equal(e, ERR_NOMEM);
    }
    expect_question("t");
    take(answer_of(200, DESCRIBED(6)));
    expect_hours("t", 6);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_table_is_asked_once_it_is_met_and_again_after_an_hour),
        TEST(test_all_tables_that_were_met_are_asked_one_after_another),
        TEST(test_without_the_permission_everything_is_taken_and_that_is_said_once),
        TEST(test_who_knows_no_such_question_takes_everything),
        TEST(test_a_table_that_is_missing_blocks_and_is_named),
        TEST(test_a_temporary_failure_is_retried),
        TEST(test_known_retention_is_used_while_it_cannot_be_refreshed),
        TEST(test_with_a_wrong_clock_that_of_aws_counts),
        TEST(test_without_memory_it_is_said_and_works_later),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
