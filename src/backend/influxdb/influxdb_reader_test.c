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
        .url = rig->url, .version = version, .database = "d", .org = "o", .bucket = "b"};
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

/* --- version 1 -------------------------------------------------------------------------------- */

#define KEYS_1                                                                                 \
    ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"up\",\"tags\":{\"job\":" \
           "\"x\",\"b\":\"\"},\"columns\":[\"time\",\"value\",\"bits\",\"histogram\"],"        \
           "\"values\":[[1,1,null,null]]}]}]}\n"
#define ROWS_1(rows)                                                                           \
    ANSWER "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"up\",\"tags\":{\"job\":" \
           "\"x\",\"b\":\"\"},\"columns\":[\"time\",\"value\",\"bits\",\"histogram\"],"        \
           "\"values\":[" rows "]}]}]}\n"

UNIT_TEST(test_floats_bits_and_histograms_of_version_1_are_read)
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

UNIT_TEST(test_an_answer_of_version_1_without_rows_is_an_error)
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_fails(INFLUXDB_1, 1, &cases[i].answer, cases[i].e, cases[i].words);
    }
}

UNIT_TEST(test_a_field_of_ours_that_cannot_be_read_is_damage)
{
    static const char *const bits[] = {KEYS_1, ROWS_1("[1000,null,\"7ff\",null]")};
    static const char *const histogram[] = {KEYS_1, ROWS_1("[1000,null,null,\"{\"]")};
    static const char *const no_time[] = {KEYS_1, ROWS_1("[null,1,null,null]")};
    check_fails(INFLUXDB_1, 2, bits, ERR_CORRUPT, "expected 16 hex digits");
    check_fails(INFLUXDB_1, 2, histogram, ERR_CORRUPT, "a field histogram cannot be read");
    check_fails(INFLUXDB_1, 2, no_time, ERR_CORRUPT, "a row has no time");
}

/* --- version 2 -------------------------------------------------------------------------------- */

#define KEYS_2                                                                       \
    ANSWER "#datatype,string,long,string,string\r\n#group,false,false,true,true\r\n" \
           "#default,_result,,,\r\n,result,table,_measurement,job\r\n,,0,up,x\r\n\r\n"
#define ROWS_2(type, field, value)                                                       \
    ANSWER "#datatype,string,long,dateTime:RFC3339," type ",string,string,string\r\n"    \
           "#group,false,false,false,false,true,true,true\r\n#default,_result,,,,,,\r\n" \
           ",result,table,_time,_value,_field,_measurement,job\r\n"                      \
           ",,0,1970-01-01T00:00:01.0009Z," value "," field ",up,x\r\n\r\n"

UNIT_TEST(test_floats_and_bits_of_version_2_are_read)
{
    static const char *const floats[] = {KEYS_2, ROWS_2("double", "value", "1.5")};
    static const char *const bits[] = {KEYS_2, ROWS_2("string", "bits", "7ff0000000000002")};
    check_read(INFLUXDB_2, INFLUXDB_PROMETHEUS, "up", 2, floats,
               "up{job=\"x\"} 1000:3ff8000000000000\n");
    check_read(INFLUXDB_2, INFLUXDB_PROMETHEUS, "up", 2, bits,
               "up{job=\"x\"} 1000:7ff0000000000002\n");
}

UNIT_TEST(test_tags_named_as_columns_of_flux_are_labels)
{
    static const char *const answers[] = {
        ANSWER "#datatype,string,long,string,string,string\r\n#default,_result,,,,\r\n"
               ",result,table,_measurement,result,table\r\n,,0,up,success,t\r\n\r\n",
        ANSWER "#datatype,string,long,dateTime:RFC3339,double,string,string,string,string\r\n"
               "#default,_result,,,,,,,\r\n"
               ",result,table,_time,_value,_field,_measurement,result,table\r\n"
               ",,0,1970-01-01T00:00:01Z,1,value,up,success,t\r\n\r\n"};
    check_read(INFLUXDB_2, INFLUXDB_PROMETHEUS, "up{result=\"success\",table!=\"\"}", 2, answers,
               "up{result=\"success\", table=\"t\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_an_answer_of_version_2_without_rows_is_an_error)
{
    static const struct {
        const char *answer;
        enum err e;
        const char *words;
    } cases[] = {
        {ANSWER "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n"
                ",it broke,897\r\n",
         ERR_IO, "the server responds with 'it broke'"},
        {ANSWER "{}\r\n", ERR_CORRUPT, "a row does not have the columns of its table"},
        {ANSWER "#datatype,string\r\n#group,true,true\r\n", ERR_CORRUPT, "annotations of a table"},
        {ANSWER "#datatype,\"string\r\n", ERR_CORRUPT, "the response ends in the middle"},
        {ANSWER "#datatype,string,long\r\n#group,,\r\n#default,,\r\n,result,table\r\n", ERR_CORRUPT,
         "a table has no measurement"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_fails(INFLUXDB_2, 1, &cases[i].answer, cases[i].e, cases[i].words);
    }
    static const char *const no_number[] = {KEYS_2, ROWS_2("double", "value", "x")};
    static const char *const no_time[] = {
        KEYS_2,
        ANSWER "#datatype,a,b,c,d,e,f,g\r\n#group,,,,,,,\r\n#default,,,,,,,\r\n"
               ",result,table,_time,_value,_field,_measurement,job\r\n,,0,x,1,value,up,x\r\n"};
    check_fails(INFLUXDB_2, 2, no_number, ERR_CORRUPT, "is not a number");
    check_fails(INFLUXDB_2, 2, no_time, ERR_CORRUPT, "a row has the time 'x'");
}

/* --- version 3 -------------------------------------------------------------------------------- */

#define COLUMN_3(name, type) \
    "{\"table_name\":\"up\",\"column_name\":\"" name "\",\"data_type\":\"" type "\"}\n"
#define COLUMNS_3                                                              \
    ANSWER COLUMN_3("bits", "Utf8") COLUMN_3("job", "Dictionary(Int32, Utf8)") \
        COLUMN_3("time", "Timestamp(Nanosecond, None)") COLUMN_3("value", "Float64")
#define KEYS_3 ANSWER "{\"t0\":\"x\"}\n"

UNIT_TEST(test_floats_and_bits_of_version_3_are_read)
{
    static const char *const answers[] = {
        COLUMNS_3, KEYS_3,
        ANSWER "{\"k\":0,\"t\":1000999999,\"v\":-0.0}\n"
               "{\"k\":0,\"t\":2000000000,\"v\":null,\"b\":\"7ff0000000000002\"}\n"};
    check_read(INFLUXDB_3, INFLUXDB_PROMETHEUS, "up", 3, answers,
               "up{job=\"x\"} 1000:8000000000000000 2000:7ff0000000000002\n");
}

UNIT_TEST(test_an_answer_of_version_3_without_rows_is_an_error)
{
    static const char *const no_json[] = {ANSWER "table not found\n"};
    static const char *const no_name[] = {ANSWER "{\"table_name\":\"up\"}\n"};
    static const char *const no_key[] = {COLUMNS_3, KEYS_3, ANSWER "{\"k\":7,\"t\":1,\"v\":1}\n"};
    static const char *const no_time[] = {COLUMNS_3, KEYS_3, ANSWER "{\"k\":0,\"v\":1}\n"};
    check_fails(INFLUXDB_3, 1, no_json, ERR_CORRUPT, "the response cannot be read");
    check_fails(INFLUXDB_3, 1, no_name, ERR_CORRUPT, "a column has no name");
    check_fails(INFLUXDB_3, 3, no_key, ERR_CORRUPT, "is of no series");
    check_fails(INFLUXDB_3, 3, no_time, ERR_CORRUPT, "a row has no time");
}

/* A metric of Telegraf is a measurement and a field: any underscore may be between them. */
UNIT_TEST(test_version_2_is_asked_for_each_split_of_a_name_of_telegraf)
{
    static const char *const answers[] = {ANSWER "\r\n"};
    static const char asked[] =
        "(r[\\\"_measurement\\\"] == \\\"a\\\" and r[\\\"_field\\\"] == \\\"b_c\\\") or "
        "(r[\\\"_measurement\\\"] == \\\"a_b\\\" and r[\\\"_field\\\"] == \\\"c\\\") or "
        "(r[\\\"_measurement\\\"] == \\\"a_b_c\\\" and r[\\\"_field\\\"] == \\\"value\\\"))";
    struct played_source rig;
    start(&rig, INFLUXDB_2, INFLUXDB_TELEGRAF, 1, answers);
    played_expect_read(&rig, "a_b_c", "");
    played_expect_asked(&rig, asked);
    played_stop(&rig);
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

#define ROWS_ON_BOUNDS_3                          \
    ANSWER "{\"k\":0,\"t\":1000000000,\"v\":1}\n" \
           "{\"k\":0,\"t\":2000999999,\"v\":1}\n"

/* A sample of a later nanosecond of the last millisecond is in the range. */
UNIT_TEST(test_the_range_is_asked_for_to_its_last_nanosecond)
{
    static const char *const first[] = {KEYS_1, ROWS_1("[1000,1,null,null],[2000,1,null,null]")};
    static const char *const second[] = {KEYS_2, ROWS_2("double", "value", "1")};
    static const char *const third[] = {COLUMNS_3, KEYS_3, ROWS_ON_BOUNDS_3};
    for (unsigned rows = 0; rows < 2; rows++) { /* series first, then their samples */
        const char *const none[] = {
            rows ? first[0] : ANSWER "{\"results\":[{\"statement_id\":0}]}\n", first[1]};
        check_asked(INFLUXDB_1, 1 + rows, none,
                    "time%20%3E%3D%201000000000%20AND%20time%20%3C%3D%202000999999");
    }
    const char *const no_keys[] = {ANSWER "\r\n"};
    check_asked(INFLUXDB_2, 1, no_keys,
                "range(start: time(v: 1000000000), stop: time(v: 2001000000))");
    check_asked(INFLUXDB_2, 2, second,
                "range(start: time(v: 1000000000), stop: time(v: 2001000000))");
    const char *const no_series[] = {COLUMNS_3, ANSWER};
    const char *times = "time >= to_timestamp_nanos(1000000000) AND time <= "
                        "to_timestamp_nanos(2000999999)";
    check_asked(INFLUXDB_3, 2, no_series, times);
    check_asked(INFLUXDB_3, 3, third, times);
}

/* The name of a series is that of its table: a tag with this name is read, and no label. No literal
 * can have the value, so no row is compared with it, and the statement stays valid. */
UNIT_TEST(test_a_tag_of_version_3_that_is_not_utf8_is_compared_with_itself)
{
    static const char *const answers[] = {ANSWER COLUMN_3("__name__", "Dictionary(Int32, Utf8)")
                                              COLUMN_3("value", "Float64"),
                                          ANSWER "{\"t0\":\"\xff\"}\n", ANSWER};
    struct played_source rig;
    start(&rig, INFLUXDB_3, INFLUXDB_PROMETHEUS, 3, answers);
    played_expect_read(&rig, "up", "up\n");
    played_expect_asked(&rig, "WHEN \\\"__name__\\\" <> \\\"__name__\\\" THEN 0");
    played_stop(&rig);
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
        {INFLUXDB_2, "up{job=\"x\"}", " r[\"job\"] == \"x\")"},
        {INFLUXDB_2, "up{job!=\"x\"}",
         " not exists r[\"job\"] or (exists r[\"job\"] and r[\"job\"] != \"x\")"},
        {INFLUXDB_2, "up{job=~\".*\"}", "not exists r[\"job\"] or "},
        {INFLUXDB_2, "up{job=\"\"}", "not exists r[\"job\"]"},
        {INFLUXDB_3, "up{job=\"x\"}", "\"job\" IN ('x')"},
        {INFLUXDB_3, "up{job!=\"x\"}", "(\"job\" IS NULL OR \"job\" NOT IN ('x'))"},
        {INFLUXDB_3, "up{job=~\"x|y\"}", "\"job\" IN ('x', 'y')"},
        {INFLUXDB_3, "up{job!~\"x|y\"}", "(\"job\" IS NULL OR \"job\" NOT IN ('x', 'y'))"},
        {INFLUXDB_3, "up{job=\"\"}", "(\"job\" IS NULL OR \"job\" IN (''))"},
    };
    static const char *const none[3][2] = {
        {ANSWER "{\"results\":[{\"statement_id\":0}]}\n"}, {ANSWER "\r\n"}, {COLUMNS_3, ANSWER}};
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        struct played_source rig;
        unsigned count = sent[i].version == INFLUXDB_3 ? 2 : 1;
        start(&rig, sent[i].version, INFLUXDB_PROMETHEUS, count, none[sent[i].version - 1]);
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
    static const char *const answers[3][3] = {
        {KEYS_1, ROWS_1("[1000,1,null,null],[2000,1,null,null]")},
        {KEYS_2,
         ANSWER "#datatype,string,long,dateTime:RFC3339,double,string,string,string\r\n"
                "#group,false,false,false,false,true,true,true\r\n#default,_result,,,,,,\r\n"
                ",result,table,_time,_value,_field,_measurement,job\r\n"
                ",,0,1970-01-01T00:00:01Z,1,value,up,x\r\n"
                ",,0,1970-01-01T00:00:02.000999999Z,1,value,up,x\r\n\r\n"},
        {COLUMNS_3, KEYS_3, ROWS_ON_BOUNDS_3}};
    for (unsigned version = 0; version < 3; version++) {
        struct played_source rig;
        start(&rig, (enum influxdb_version)(version + 1), INFLUXDB_PROMETHEUS, version == 2 ? 3 : 2,
              answers[version]);
        rig.request.min_ms = 1000;
        rig.request.max_ms = 2000;
        played_expect_read(&rig, "up",
                           "up{job=\"x\"} 1000:3ff0000000000000 2000:3ff0000000000000\n");
        played_stop(&rig);
    }
}

static const char *const whole_answers[3][3] = {
    {KEYS_1, ROWS_1("[1000,1.5,null,null]")},
    {KEYS_2, ROWS_2("double", "value", "1.5")},
    {COLUMNS_3, KEYS_3, ANSWER "{\"k\":0,\"t\":1000000000,\"v\":1.5}\n"}};

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
    for (unsigned version = 0; version < 3; version++) {
        for (unsigned step = 0; step < 3 && whole_answers[version][step] != NULL; step++) {
            const char *const *whole = whole_answers[version];
            const char *answers[] = {whole[0], whole[1], whole[2]};
            size_t size = strlen(strstr(whole[step], "\r\n\r\n") + 4);
            for (size_t cut = 0; cut < size; cut++) {
                struct played_source rig;
                struct buf text;
                answers[step] = cut_short(whole[step], cut, &answer);
                start(&rig, (enum influxdb_version)(version + 1), INFLUXDB_PROMETHEUS, step + 1,
                      answers);
                rig.settings.timeout_ms = NO_SECOND_TRY_MS;
                buf_init(&text, NULL, 1 << 20);
                enum err e = played_read(&rig, "up", &text);
                if (e == OK) fail_msg("version %u: %s", version + 1, answers[step]);
                buf_fini(&text);
                played_stop(&rig);
            }
        }
    }
    buf_fini(&answer);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void
start_version(struct played_source *rig, unsigned version)
{
    start(rig, (enum influxdb_version)(version + 1), INFLUXDB_PROMETHEUS, version == 2 ? 3 : 2,
          whole_answers[version]);
}

UNIT_TEST(test_a_failed_allocation_fails_the_question_and_nothing_leaks)
{
    for (unsigned version = 0; version < 3; version++) {
        played_fail_allocations(start_version, version, "up",
                                "up{job=\"x\"} 1000:3ff8000000000000\n", 1u << ERR_AGAIN);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_bits_and_histograms_of_version_1_are_read),
        cmocka_unit_test(test_the_first_of_two_samples_in_one_millisecond_counts),
        cmocka_unit_test(test_each_numeric_field_of_telegraf_is_a_metric),
        cmocka_unit_test(test_version_2_is_asked_for_each_split_of_a_name_of_telegraf),
        cmocka_unit_test(test_an_answer_of_version_1_without_rows_is_an_error),
        cmocka_unit_test(test_a_field_of_ours_that_cannot_be_read_is_damage),
        cmocka_unit_test(test_floats_and_bits_of_version_2_are_read),
        cmocka_unit_test(test_tags_named_as_columns_of_flux_are_labels),
        cmocka_unit_test(test_an_answer_of_version_2_without_rows_is_an_error),
        cmocka_unit_test(test_floats_and_bits_of_version_3_are_read),
        cmocka_unit_test(test_an_answer_of_version_3_without_rows_is_an_error),
        cmocka_unit_test(test_the_range_is_asked_for_to_its_last_nanosecond),
        cmocka_unit_test(test_a_tag_of_version_3_that_is_not_utf8_is_compared_with_itself),
        cmocka_unit_test(test_matchers_are_sent_so_that_missing_labels_stay),
        cmocka_unit_test(test_samples_on_both_bounds_of_the_range_are_given),
        cmocka_unit_test(test_an_answer_cut_short_at_any_byte_is_an_error),
        cmocka_unit_test(test_a_failed_allocation_fails_the_question_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
