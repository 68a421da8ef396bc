/* influxdb_reader_test.c - a source of type influxdb of each version, whose server gives scripted
 * answers, good and invalid ones. */
#include "lib/test.h"

#include "lib/backend/played_source.h"

#define ANSWER PLAYED_ANSWER

enum { NO_SECOND_TRY_MS = 50 }; /* a timeout that is less than the pause before a second try */

static void
start(struct played_source *rig, enum influxdb_version version, enum influxdb_mapping mapping,
      unsigned count, const char *const *answers)
{
    played_init(rig, SOURCE_INFLUXDB);
    rig->settings.u.influxdb.server = (struct influxdb_settings){
        .url = rig->url, .version = version, .database = "d", .bucket = "b/p"};
    rig->settings.u.influxdb.mapping = mapping;
    played_answers(rig, count, answers);
    played_start(rig);
}

static void
check_read(enum influxdb_version version, enum influxdb_mapping mapping, const char *selector,
           unsigned count, const char *const *answers, const char *expected)
{
    struct played_source rig;
    start(&rig, version, mapping, count, answers);
    played_expect_read(&rig, selector, expected);
    played_stop(&rig);
}

static void
check_fails(enum influxdb_version version, unsigned count, const char *const *answers,
            enum err expected, const char *words)
{
    struct played_source rig;
    start(&rig, version, INFLUXDB_PROMETHEUS, count, answers);
    if (expected == ERR_AGAIN) rig.settings.timeout_ms = NO_SECOND_TRY_MS;
    played_expect_failure(&rig, "up", expected, words);
    played_stop(&rig);
}

/* --- answers ---------------------------------------------------------------------------------- */

#define KEYS_1                                                                                 \
    ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"up\",\"tags\":{\"job\":" \
           "\"x\",\"b\":\"\"},\"columns\":[\"time\",\"value\",\"bits\",\"histogram\"],"        \
           "\"values\":[[1,1,null,null]]}]}]}\n"
#define ROWS_1(rows)                                                                           \
    ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"up\",\"tags\":{\"job\":" \
           "\"x\",\"b\":\"\"},\"columns\":[\"time\",\"value\",\"bits\",\"histogram\"],"        \
           "\"values\":[" rows "]}]}]}\n"

UNIT_TEST(test_floats_bits_and_histograms_are_read)
{
    static const char *const answers[] = {
        KEYS_1,
        ROWS_1("[1000,1.5,null,null],[2000,-0,null,null],[3000,null,\"7ff0000000000002\",null],"
               "[4000,null,null,\"{\\\"count_int\\\":0,\\\"sum\\\":0,\\\"schema\\\":0}\"]")};
    check_read(INFLUXDB_1, INFLUXDB_PROMETHEUS, "up", 2, answers,
               "up{job=\"x\"} 1000:3ff8000000000000 2000:8000000000000000 3000:7ff0000000000002 "
               "4000:h\n");
}

UNIT_TEST(test_the_first_of_two_samples_in_one_millisecond_counts)
{
    static const char *const answers[] = {KEYS_1, ROWS_1("[1000,1,null,null],[1000,2,null,null]")};
    check_read(INFLUXDB_1, INFLUXDB_PROMETHEUS, "up", 2, answers,
               "up{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_each_numeric_field_of_telegraf_is_a_metric)
{
    static const char *const answers[] = {
        ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"mem\",\"columns\":["
               "\"fieldKey\",\"fieldType\"],\"values\":[[\"ok\",\"boolean\"],[\"s\",\"string\"],"
               "[7,\"float\"],[\"x\",null],"
               "[\"used\",\"integer\"]]}]}]}\n",
        ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"mem\",\"tags\":{\"h\":"
               "\"~%25\"},\"columns\":[\"time\",\"ok\"],\"values\":[[1,true]]}]}]}\n"
               "{\"results\":[{\"statement_id\":1,\"series\":[{\"name\":\"mem\",\"tags\":{\"h\":"
               "\"~%25\"},\"columns\":[\"time\",\"used\"],\"values\":[[1,5]]}]}]}\n",
        ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"mem\",\"tags\":{\"h\":"
               "\"~%25\"},\"columns\":[\"time\",\"ok\"],\"values\":[[1,true],[2,false]]}]}]}\n"
               "{\"results\":[{\"statement_id\":1,\"series\":[{\"name\":\"mem\",\"tags\":{\"h\":"
               "\"~%25\"},\"columns\":[\"time\",\"used\"],\"values\":[[1,5]]}]}]}\n"};
    check_read(INFLUXDB_1, INFLUXDB_TELEGRAF, "{__name__=~\"mem.*\"}", 3, answers,
               "mem_ok{h=\"~%25\"} 1:3ff0000000000000 2:0\n"
               "mem_used{h=\"~%25\"} 1:4014000000000000\n");
}

UNIT_TEST(test_an_answer_without_rows_is_an_error)
{
    static const struct {
        const char *answer;
        enum err e;
        const char *words;
    } cases[] = {
        {ANSWER "{\"results\":[{\"statement_id\":0,\"error\":\"database not found: d\"}]}\n",
         ERR_IO, "the server responds with 'database not found: d'"},
        {ANSWER "{\"results\":[{\"statement_id\":0,\"error\":\"max-select-series limit\"}]}\n",
         ERR_LIMIT, "max-select-series"},
        {ANSWER "{\"error\":\"timeout\"}\n", ERR_AGAIN, "timeout"},
        {ANSWER "{\"results\":[{\"statement_id\":0,\"partial\":true}]}\n", ERR_CORRUPT,
         "the response ends before the last result"},
        {ANSWER "", ERR_CORRUPT, "the response ends before the last result"},
        {ANSWER "{\"results\":[{\"statement_id\":0,\"ser", ERR_CORRUPT,
         "the response ends in the middle of a record"},
        {ANSWER "<html>\n", ERR_CORRUPT, "the response cannot be read"},
        {ANSWER "{\"results\":[{\"statement_id\":9}]}\n", ERR_CORRUPT, "belongs to no statement"},
        {PLAYED_OK "Content-Length: 1000\r\n\r\n{\"results\":[", ERR_AGAIN, "/query"},
        {"HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", ERR_IO, "status 401"},
        {"HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad", ERR_IO, "bad"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_fails(INFLUXDB_1, 1, &cases[i].answer, cases[i].e, cases[i].words);
}

UNIT_TEST(test_a_field_of_ours_that_cannot_be_read_is_damage)
{
    static const char *const bits[] = {KEYS_1, ROWS_1("[1000,null,\"7ff\",null]")};
    static const char *const histogram[] = {KEYS_1, ROWS_1("[1000,null,null,\"{\"]")};
    static const char *const no_time[] = {KEYS_1, ROWS_1("[null,1,null,null]")};
    check_fails(INFLUXDB_1, 2, bits, ERR_CORRUPT, "expected 16 hex digits");
    check_fails(INFLUXDB_1, 2, histogram, ERR_CORRUPT, "a histogram cannot be read");
    check_fails(INFLUXDB_1, 2, no_time, ERR_CORRUPT, "a row has no time");
}

/* --- versions --------------------------------------------------------------------------------- */

#define NOTHING ANSWER "{\"results\":[{\"statement_id\":0}]}\n"

/* A bucket of version 2 is a database and a retention policy, if its name has a slash. */
UNIT_TEST(test_each_version_is_asked_by_its_database)
{
    static const char *const places[] = {"", "/query?db=d&epoch", "/query?db=b&rp=p&epoch",
                                         "/query?db=d&epoch"};
    static const char *const answers[] = {NOTHING};
    for (unsigned version = INFLUXDB_1; version <= INFLUXDB_3; version++) {
        struct played_source rig;
        start(&rig, (enum influxdb_version)version, INFLUXDB_PROMETHEUS, 1, answers);
        played_expect_read(&rig, "up", "");
        played_expect_asked(&rig, places[version]);
        played_stop(&rig);
    }
}

#define KEYS_OF(name)                                                                          \
    ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"" name "\",\"columns\":" \
           "[\"time\",\"value\",\"bits\",\"histogram\"],\"values\":[[1,1,null,null]]}]}]}\n"
#define ROWS_OF(name, value)                                                                   \
    ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"" name "\",\"columns\":" \
           "[\"time\",\"value\",\"bits\",\"histogram\"],\"values\":[[1000," value              \
           ",null,null]]}]}]}\n"

UNIT_TEST(test_version_3_is_asked_one_statement_at_a_time)
{
    static const char *const answers[] = {KEYS_OF("a"), KEYS_OF("b"), ROWS_OF("a", "1"),
                                          ROWS_OF("b", "2")};
    check_read(INFLUXDB_3, INFLUXDB_PROMETHEUS, "{__name__=~\"a|b\"}", 4, answers,
               "a 1000:3ff0000000000000\nb 1000:4000000000000000\n");
}

/* --- bounds, and answers that are cut short --------------------------------------------------- */

/* Checks that the last of `count` requests for one second contains the words. */
static void
check_asked(enum influxdb_version version, unsigned count, const char *const *answers,
            const char *words)
{
    struct played_source rig;
    struct buf text;
    start(&rig, version, INFLUXDB_PROMETHEUS, count, answers);
    rig.request.min_ms = 1000;
    rig.request.max_ms = 2000;
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(played_read(&rig, "up", &text), OK);
    played_expect_asked(&rig, words);
    buf_fini(&text);
    played_stop(&rig);
}

/* A sample of a later nanosecond of the last millisecond is in the range. */
UNIT_TEST(test_the_range_is_asked_for_to_its_last_nanosecond)
{
    static const char *const first[] = {KEYS_1, ROWS_1("[1000,1,null,null],[2000,1,null,null]")};
    for (unsigned rows = 0; rows < 2; rows++) { /* series first, then their samples */
        const char *const none[] = {
            rows ? first[0] : ANSWER "{\"results\":[{\"statement_id\":0}]}\n", first[1]};
        check_asked(INFLUXDB_1, 1 + rows, none,
                    "time%20%3E%3D%201000000000%20AND%20time%20%3C%3D%202000999999");
    }
}

/* Removes the escapes of addresses and JSON from a request, in place. */
static void
decode(char *text)
{
    char *to = text;
    for (; *text != 0; text++) {
        char digits[3] = {0};
        if (*text == '\\') continue;
        if (*text == '%' && text[1] != 0) {
            memcpy(digits, text + 1, 2);
            *to++ = (char)strtol(digits, NULL, 16);
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = 0;
}

/* A missing label is "", so a matcher that admits "" must not be sent. */
UNIT_TEST(test_matchers_are_sent_so_that_missing_labels_stay)
{
    static const struct {
        enum influxdb_version version;
        const char *selector, *words;
    } sent[] = {
        {INFLUXDB_1, "up{job=\"x\"}", " AND (\"job\"::tag = 'x')"},
        {INFLUXDB_1, "up{job!=\"x\"}", " AND (\"job\"::tag != 'x')"},
        {INFLUXDB_1, "up{job=~\"x|y\"}", " AND (\"job\"::tag = 'x' OR \"job\"::tag = 'y')"},
        {INFLUXDB_1, "up{job!~\"x|y\"}", " AND (\"job\"::tag != 'x' AND \"job\"::tag != 'y')"},
        {INFLUXDB_1, "up{job=\"\"}", " AND (\"job\"::tag = '')"},
        {INFLUXDB_1, "up{job=~\"x.*\"}", " AND (\"job\"::tag =~ /"},
        {INFLUXDB_1, "up{job!~\"x.*\"}", " AND (\"job\"::tag !~ /"},
        {INFLUXDB_2, "up{job!=\"x\"}", " AND (\"job\"::tag != 'x')"},
        {INFLUXDB_3, "up{job=\"x\"}", " AND (\"job\"::tag = 'x') GROUP BY"},
        /* A missing tag of version 3 is NULL, for which no comparison holds. */
        {INFLUXDB_3, "up{job!=\"x\"}", "00999999 GROUP BY"},
        {INFLUXDB_3, "up{job=~\"x|\"}", "00999999 GROUP BY"},
        {INFLUXDB_3, "up{job=\"\"}", "00999999 GROUP BY"},
        {INFLUXDB_3, "up{job=~\"x.*\"}", "00999999 GROUP BY"},
    };
    static const char *const none[] = {NOTHING};
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        struct played_source rig;
        start(&rig, sent[i].version, INFLUXDB_PROMETHEUS, 1, none);
        played_expect_read(&rig, sent[i].selector, "");
        decode(rig.player.seen);
        if (strstr(rig.player.seen, sent[i].words) == NULL) {
            fail_msg("%s of version %d: '%s' is not in: %s", sent[i].selector, (int)sent[i].version,
                     sent[i].words, rig.player.seen);
        }
        played_stop(&rig);
    }
}

UNIT_TEST(test_samples_on_both_bounds_of_the_range_are_given)
{
    static const char *const answers[] = {KEYS_1, ROWS_1("[1000,1,null,null],[2000,1,null,null]")};
    struct played_source rig;
    start(&rig, INFLUXDB_1, INFLUXDB_PROMETHEUS, 2, answers);
    rig.request.min_ms = 1000;
    rig.request.max_ms = 2000;
    played_expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff0000000000000 2000:3ff0000000000000\n");
    played_stop(&rig);
}

static const char *const whole_answers[] = {KEYS_1, ROWS_1("[1000,1.5,null,null]")};

/* Writes an answer that announces a whole body and has `cut` bytes of it. */
static const char *
cut_short(const char *answer, size_t cut, struct buf *to)
{
    const char *body = strstr(answer, "\r\n\r\n") + 4;
    buf_clear(to);
    buf_printf(to, PLAYED_OK "Content-Length: %zu\r\n\r\n%.*s", strlen(body), (int)cut, body);
    buf_put_u8(to, 0);
    return (const char *)to->at;
}

UNIT_TEST(test_an_answer_cut_short_at_any_byte_is_an_error)
{
    struct buf answer;
    buf_init(&answer, NULL, 1 << 20);
    for (unsigned step = 0; step < 2; step++) {
        const char *answers[] = {whole_answers[0], whole_answers[1]};
        size_t size = strlen(strstr(whole_answers[step], "\r\n\r\n") + 4);
        for (size_t cut = 0; cut < size; cut++) {
            struct played_source rig;
            struct buf text;
            answers[step] = cut_short(whole_answers[step], cut, &answer);
            start(&rig, INFLUXDB_1, INFLUXDB_PROMETHEUS, step + 1, answers);
            rig.settings.timeout_ms = NO_SECOND_TRY_MS;
            buf_init(&text, NULL, 1 << 20);
            enum err e = played_read(&rig, "up", &text);
            if (e == OK) fail_msg("%s", answers[step]);
            buf_fini(&text);
            played_stop(&rig);
        }
    }
    buf_fini(&answer);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void
start_version(struct played_source *rig, unsigned version)
{
    start(rig, (enum influxdb_version)version, INFLUXDB_PROMETHEUS, 2, whole_answers);
}

UNIT_TEST(test_a_failed_allocation_fails_the_question_and_nothing_leaks)
{
    for (unsigned version = INFLUXDB_1; version <= INFLUXDB_3; version++) {
        played_fail_allocations(start_version, version, "up",
                                "up{job=\"x\"} 1000:3ff8000000000000\n", 1u << ERR_AGAIN);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_bits_and_histograms_are_read),
        cmocka_unit_test(test_the_first_of_two_samples_in_one_millisecond_counts),
        cmocka_unit_test(test_each_numeric_field_of_telegraf_is_a_metric),
        cmocka_unit_test(test_an_answer_without_rows_is_an_error),
        cmocka_unit_test(test_a_field_of_ours_that_cannot_be_read_is_damage),
        cmocka_unit_test(test_each_version_is_asked_by_its_database),
        cmocka_unit_test(test_version_3_is_asked_one_statement_at_a_time),
        cmocka_unit_test(test_the_range_is_asked_for_to_its_last_nanosecond),
        cmocka_unit_test(test_matchers_are_sent_so_that_missing_labels_stay),
        cmocka_unit_test(test_samples_on_both_bounds_of_the_range_are_given),
        cmocka_unit_test(test_an_answer_cut_short_at_any_byte_is_an_error),
        cmocka_unit_test(test_a_failed_allocation_fails_the_question_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
