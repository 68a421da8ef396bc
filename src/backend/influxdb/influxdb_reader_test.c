/* influxdb_reader_test.c - the source of all versions before a server that plays what it is told:
 * what good answers give, and what invalid ones do. */
#include "lib/test.h"

#include "backend/reader.h"
#include "lib/http_player.h"
#include "model/labels.h"
#include "model/selector.h"

#define OK_BEGIN "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define ANSWER   OK_BEGIN "\r\n"

struct rig {
    struct player player;
    struct source_settings settings;
    struct source_counts counts;
    struct http_puller *puller;
    struct answerer *reader;
    struct view *view;
    struct budget budget;
    struct query_control control;
    char url[64];
    struct why why;
};

static void
rig_start(struct rig *rig, enum influxdb_version version, enum influxdb_mapping mapping,
          unsigned count, const char *const *answers)
{
    memset(rig, 0, sizeof *rig);
    player_start(&rig->player, count, answers);
    snprintf(rig->url, sizeof rig->url, "%.*s", (int)strcspn(rig->player.url + 7, "/") + 7,
             rig->player.url);
    rig->settings = (struct source_settings){
        .name = "test", .type = SOURCE_INFLUXDB, .timeout_ms = 5000, .max_concurrent = 4};
    rig->settings.u.influxdb.server = (struct influxdb_settings){
        .url = rig->url, .version = version, .database = "d", .org = "o", .bucket = "b"};
    rig->settings.u.influxdb.mapping = mapping;
    rig->settings.http.proxy_url = "";
    assert_int_equal(http_puller_new(env_real(), "test/1", &rig->puller, NULL), OK);
    struct reader_options options = {.env = env_real(),
                                     .settings = &rig->settings,
                                     .puller = rig->puller,
                                     .counts = &rig->counts};
    assert_int_equal(reader_new(&options, &rig->reader, NULL), OK);
    budget_init(&rig->budget, "test", 0, NULL);
    rig->control = (struct query_control){.env = env_real(), .budget = &rig->budget};
    assert_int_equal(view_open(rig->reader, &rig->control, &rig->view, NULL), OK);
}

static void
rig_stop(struct rig *rig)
{
    view_free(rig->view);
    assert_int_equal(budget_used(&rig->budget), 0);
    rig->reader->ops->free(rig->reader);
    http_puller_free(rig->puller);
    player_stop(&rig->player);
}

/* All of it as text: labels and samples, a line each. */
static enum err
read_all(struct rig *rig, const char *selector, struct buf *to)
{
    struct selector parsed;
    struct series_set *set;
    struct bytes labels;
    assert_int_equal(selector_parse(bytes_of_text(selector), &parsed, NULL), OK);
    struct matcher_set asked = {parsed.matchers, parsed.count};
    struct query_request r = {.sets = &asked,
                              .set_count = 1,
                              .min_ms = 0,
                              .max_ms = 4102444800000,
                              .control = &rig->control};
    enum err e = view_select(rig->view, &r, &set, &rig->why);
    while (e == OK) {
        struct sample_batch batch = {.count = 0};
        e = series_set_next(set, &labels, &rig->why);
        if (e || labels.at == NULL) break;
        labels_print_selector(to, labels);
        do {
            e = series_set_batch(set, &batch, &rig->why);
            for (uint32_t i = 0; e == OK && i < batch.count; i++) {
                if (batch.value_bits == NULL)
                    buf_printf(to, " %lld:h", (long long)batch.times_ms[i]);
                else
                    buf_printf(to, " %lld:%llx", (long long)batch.times_ms[i],
                               (unsigned long long)batch.value_bits[i]);
            }
        } while (e == OK && batch.count > 0);
        buf_put_u8(to, '\n');
    }
    series_set_free(set);
    selector_fini(&parsed);
    buf_put_u8(to, 0);
    return e;
}

static void
check_read(enum influxdb_version version, enum influxdb_mapping mapping, const char *selector,
           unsigned count, const char *const *answers, const char *expected)
{
    struct rig rig;
    struct buf text;
    rig_start(&rig, version, mapping, count, answers);
    buf_init(&text, NULL, 1 << 20);
    enum err e = read_all(&rig, selector, &text);
    assert_string_equal(rig.why.text, "");
    assert_int_equal(e, OK);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    rig_stop(&rig);
}

static void
check_fails(enum influxdb_version version, unsigned count, const char *const *answers,
            enum err expected, const char *words)
{
    struct rig rig;
    struct buf text;
    rig_start(&rig, version, INFLUXDB_PROMETHEUS, count, answers);
    buf_init(&text, NULL, 1 << 20);
    enum err e = read_all(&rig, "up", &text);
    if (strstr(rig.why.text, words) == NULL) assert_string_equal(rig.why.text, words);
    assert_int_equal(e, expected);
    buf_fini(&text);
    rig_stop(&rig);
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

UNIT_TEST(test_of_two_samples_in_one_millisecond_the_first_counts)
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

UNIT_TEST(test_what_version_1_says_instead_of_rows_is_an_error)
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
        {OK_BEGIN "Content-Length: 1000\r\n\r\n{\"results\":[", ERR_AGAIN, "/query"},
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

UNIT_TEST(test_what_version_2_says_instead_of_rows_is_an_error)
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
    check_fails(INFLUXDB_2, 2, no_number, ERR_CORRUPT, "is no number");
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

UNIT_TEST(test_what_version_3_says_instead_of_rows_is_an_error)
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

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_failed_allocation_fails_the_question_and_nothing_leaks)
{
    static const char *const answers[3][3] = {
        {KEYS_1, ROWS_1("[1000,1.5,null,null]")},
        {KEYS_2, ROWS_2("double", "value", "1.5")},
        {COLUMNS_3, KEYS_3, ANSWER "{\"k\":0,\"t\":1000000000,\"v\":1.5}\n"}};
    for (unsigned version = 0; version < 3; version++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct rig rig;
            rig_start(&rig, (enum influxdb_version)(version + 1), INFLUXDB_PROMETHEUS,
                      version == 2 ? 3 : 2, answers[version]);
            struct selector parsed;
            struct series_set *set;
            struct sample_batch batch;
            struct bytes labels = {NULL, 0};
            assert_int_equal(selector_parse(bytes_of_text("up"), &parsed, NULL), OK);
            struct matcher_set asked = {parsed.matchers, parsed.count};
            struct query_request r = {
                .sets = &asked, .set_count = 1, .max_ms = 4102444800000, .control = &rig.control};
            mem_fail_nth(nth, false);
            enum err e = view_select(rig.view, &r, &set, &rig.why);
            bool selected = e == OK;
            if (e == OK) e = series_set_next(set, &labels, &rig.why);
            if (e == OK && labels.at != NULL) e = series_set_batch(set, &batch, &rig.why);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (!fired) {
                assert_int_equal(e, OK);
                assert_int_equal(batch.count, 1);
            } else if (e != OK && e != ERR_NOMEM && e != ERR_AGAIN) {
                assert_int_equal(e, ERR_NOMEM);
            }
            if (selected) series_set_free(set);
            selector_fini(&parsed);
            rig_stop(&rig);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_bits_and_histograms_of_version_1_are_read),
        cmocka_unit_test(test_of_two_samples_in_one_millisecond_the_first_counts),
        cmocka_unit_test(test_each_numeric_field_of_telegraf_is_a_metric),
        cmocka_unit_test(test_what_version_1_says_instead_of_rows_is_an_error),
        cmocka_unit_test(test_a_field_of_ours_that_cannot_be_read_is_damage),
        cmocka_unit_test(test_floats_and_bits_of_version_2_are_read),
        cmocka_unit_test(test_tags_named_as_columns_of_flux_are_labels),
        cmocka_unit_test(test_what_version_2_says_instead_of_rows_is_an_error),
        cmocka_unit_test(test_floats_and_bits_of_version_3_are_read),
        cmocka_unit_test(test_what_version_3_says_instead_of_rows_is_an_error),
        cmocka_unit_test(test_a_failed_allocation_fails_the_question_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
