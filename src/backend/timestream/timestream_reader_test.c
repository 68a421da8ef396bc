/* timestream_reader_test.c - the source before a server that plays what it is told: what it asks,
 * what good pages give, and what invalid answers do. */
#include "lib/test.h"

#include "backend/reader.h"
#include "lib/http_player.h"
#include "model/labels.h"
#include "model/selector.h"

#define ANSWER "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define REFUSED(status, code, text)                  \
    "HTTP/1.1 " status " X\r\nConnection: close\r\n" \
    "\r\n{\"__type\":\"com.amazonaws.timestream.v20181101#" code "\",\"Message\":\"" text "\"}"
#define PAGE(rows, more)   ANSWER "{\"QueryId\":\"Q1\",\"Rows\":[" rows "]" more "}"
#define ROW(cells)         "{\"Data\":[" cells "]}"
#define S(text)            "{\"ScalarValue\":\"" text "\"}"
#define NONE               "{\"NullValue\":true}"
#define COLUMN(name, kind) ROW(S(name) "," S("varchar") "," S(kind))
#define MEASURES                                                                       \
    COLUMN("measure_name", "MEASURE_NAME")                                             \
    "," COLUMN("time", "TIMESTAMP") "," COLUMN(                                        \
        "measure_value::double", "MEASURE_VALUE") "," COLUMN("measure_value::varchar", \
                                                             "MEASURE_VALUE")
#define TABLE                       PAGE(COLUMN("job", "DIMENSION") "," MEASURES, "")
#define T(second)                   S("2023-11-14 22:13:" second ".000000000")
#define SERIES(measure, job, count) ROW(S(measure) "," job "," S(count) "," T("20") "," T("35"))

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
rig_start(struct rig *rig, unsigned count, const char *const *answers)
{
    memset(rig, 0, sizeof *rig);
    player_start(&rig->player, count, answers);
    snprintf(rig->url, sizeof rig->url, "%.*s", (int)strcspn(rig->player.url + 7, "/") + 7,
             rig->player.url);
    rig->settings = (struct source_settings){
        .name = "test", .type = SOURCE_TIMESTREAM, .timeout_ms = 5000, .max_concurrent = 4};
    rig->settings.u.timestream = (struct timestream_read_settings){
        .database = "metrics",
        .table = "prom",
        .query_endpoint = rig->url,
        .aws = {.region = "eu-west-1", .access_key.text = "AKID", .secret_key.text = "SECRETkey"}};
    rig->settings.http.proxy_url = "";
    rig->settings.max_bytes = 1000000;
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

static void
print_set(struct rig *rig, struct series_set *set, enum err *e, struct buf *to)
{
    struct bytes labels;
    while (*e == OK) {
        struct sample_batch batch = {.count = 0};
        *e = series_set_next(set, &labels, &rig->why);
        if (*e || labels.at == NULL) break;
        labels_print_selector(to, labels);
        do {
            *e = series_set_batch(set, &batch, &rig->why);
            for (uint32_t i = 0; *e == OK && i < batch.count; i++) {
                buf_printf(to, " %lld:", (long long)batch.times_ms[i] - 1700000000000);
                if (batch.value_bits == NULL)
                    buf_put_text(to, "h");
                else
                    buf_printf(to, "%llx", (unsigned long long)batch.value_bits[i]);
            }
        } while (*e == OK && batch.count > 0);
        buf_put_u8(to, '\n');
    }
}

/* All of it as text: labels and samples, a line each, and warnings. */
static enum err
read_all(struct rig *rig, const char *selector, struct buf *to)
{
    struct selector parsed;
    struct series_set *set;
    const char *sentence;
    assert_int_equal(selector_parse(bytes_of_text(selector), &parsed, NULL), OK);
    struct matcher_set asked = {parsed.matchers, parsed.count};
    struct query_request r = {.sets = &asked,
                              .set_count = 1,
                              .min_ms = 0,
                              .max_ms = 4102444800000,
                              .control = &rig->control};
    enum err e = view_select(rig->view, &r, &set, &rig->why);
    assert_int_equal(e, OK);
    print_set(rig, set, &e, to);
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(set, i)) != NULL; i++) {
        buf_printf(to, "warning: %s\n", sentence);
    }
    series_set_free(set);
    selector_fini(&parsed);
    buf_put_u8(to, 0);
    return e;
}

static void
expect_read(struct rig *rig, const char *selector, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    enum err e = read_all(rig, selector, &text);
    if (e) assert_string_equal(rig->why.text, "");
    assert_int_equal(e, OK);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
}

static void
expect_asked(const struct rig *rig, const char *words)
{
    if (strstr(rig->player.seen, words) == NULL) assert_string_equal(rig->player.seen, words);
}

/* --- good pages ------------------------------------------------------------------------------- */

UNIT_TEST(test_columns_then_series_then_samples_are_asked_for)
{
    static const char *const answers[] = {
        TABLE, PAGE(SERIES("up", S("x"), "2"), ""),
        PAGE(ROW(T("35") "," S("-0.0") "," NONE) "," ROW(T("20") "," S("1.5E0") "," NONE), "")};
    struct rig rig;
    rig_start(&rig, 3, answers);
    expect_read(&rig, "up", "up{job=\"x\"} 0:3ff8000000000000 15000:8000000000000000\n");
    expect_asked(&rig, "X-Amz-Target: Timestream_20181101.Query");
    expect_asked(&rig, "/eu-west-1/timestream/aws4_request");
    expect_asked(&rig,
                 "\"QueryString\":\"SELECT time, measure_value::double, measure_value::varchar "
                 "FROM \\\"metrics\\\".\\\"prom\\\" WHERE time >= from_milliseconds(1700000000000) "
                 "AND time < from_milliseconds(1700000015001) AND measure_name = 'up' AND "
                 "\\\"job\\\" = 'x'\",\"MaxRows\":1000,\"ClientToken\":\"");
    rig_stop(&rig);
}

UNIT_TEST(test_each_view_asks_for_the_columns_once)
{
    static const char *const answers[] = {TABLE,
                                          PAGE(SERIES("up", S("x"), "1"), ""),
                                          PAGE(ROW(T("20") "," S("1.0") "," NONE), ""),
                                          PAGE(SERIES("up", S("x"), "1"), ""),
                                          PAGE(ROW(T("20") "," S("2.0") "," NONE), ""),
                                          PAGE(COLUMN("late", "DIMENSION") "," MEASURES, ""),
                                          PAGE(SERIES("up", S("y"), "1"), ""),
                                          PAGE(ROW(T("20") "," S("3.0") "," NONE), "")};
    struct rig rig;
    rig_start(&rig, 8, answers);
    expect_read(&rig, "up", "up{job=\"x\"} 0:3ff0000000000000\n");
    expect_read(&rig, "up", "up{job=\"x\"} 0:4000000000000000\n");
    view_free(rig.view);
    assert_int_equal(view_open(rig.reader, &rig.control, &rig.view, NULL), OK);
    expect_read(&rig, "up", "up{late=\"y\"} 0:4008000000000000\n");
    rig_stop(&rig);
}

UNIT_TEST(test_texts_are_the_bits_of_floats_and_histograms)
{
    static const char *const answers[] = {
        TABLE, PAGE(SERIES("up", S("x"), "3"), ""),
        PAGE(ROW(T("20") "," NONE "," S("7ff0000000000002")) "," ROW(T("21") "," NONE "," S(
                 "{\\\"co"
                 "unt_"
                 "int\\\""
                 ":0,"
                 "\\\"sum"
                 "\\\":0,"
                 "\\\"sch"
                 "ema\\\""
                 ":0}")) "," ROW(T("22") "," NONE
                                         "," S("what others wrote")) "," ROW(T("23") "," NONE
                                                                                     "," NONE),
             "")};
    struct rig rig;
    rig_start(&rig, 3, answers);
    expect_read(&rig, "up",
                "up{job=\"x\"} 0:7ff0000000000002 1000:h\n"
                "warning: source test: 2 rows have no value that can be read, and were left out\n");
    rig_stop(&rig);
}

UNIT_TEST(test_pages_go_on_until_there_is_no_token)
{
    static const char *const answers[] = {
        TABLE, PAGE("", ",\"NextToken\":\"a\\\"b\""), PAGE(SERIES("up", S("x"), "1"), ""),
        PAGE("", ",\"NextToken\":\"c\""), PAGE(ROW(T("20") "," S("1.0") "," NONE), "")};
    struct rig rig;
    rig_start(&rig, 5, answers);
    expect_read(&rig, "up", "up{job=\"x\"} 0:3ff0000000000000\n");
    expect_asked(&rig, ",\"NextToken\":\"c\"}");
    assert_null(strstr(rig.player.seen, "ClientToken"));
    rig_stop(&rig);
}

UNIT_TEST(test_series_come_in_label_order_whatever_their_rows_order)
{
    static const char *const answers[] = {
        TABLE,
        PAGE(SERIES("up", S("y"), "1") "," SERIES("up", NONE, "1") "," SERIES("down", S("z"), "1"),
             ""),
        PAGE(
            ROW(T("20") "," S("3.0") "," NONE "," S("up") "," S("y")) "," ROW(T("20") "," S("2.0") "," NONE "," S(
                "up") "," NONE) "," ROW(T("20") "," S("1.0") "," NONE
                                                             "," S("down") "," S(
                                                                 "z")) "," ROW(T("20") "," S("9"
                                                                                             "."
                                                                                             "0") "," NONE
                                                                                                  "," S("down") "," S(
                                                                                                      "not asked for")),
            "")};
    struct rig rig;
    rig_start(&rig, 3, answers);
    expect_read(&rig, "{__name__=~\"up|down\"}",
                "down{job=\"z\"} 0:3ff0000000000000\n"
                "up 0:4000000000000000\n"
                "up{job=\"y\"} 0:4008000000000000\n");
    expect_asked(&rig, "SELECT time, measure_value::double, measure_value::varchar, measure_name, "
                       "\\\"job\\\" FROM");
    assert_null(strstr(rig.player.seen, " OR ")); /* they are all that are selected */
    rig_stop(&rig);
}

UNIT_TEST(test_series_that_are_not_selected_are_not_read)
{
    static const char *const answers[] = {
        TABLE, PAGE(SERIES("up", S("x"), "1") "," SERIES("up", S("xy"), "1"), ""),
        PAGE(ROW(T("20") "," S("1.0") "," NONE), "")};
    struct rig rig;
    rig_start(&rig, 3, answers);
    expect_read(&rig, "up{job=~\"[x]+\"}", "up{job=\"x\"} 0:3ff0000000000000\n");
    expect_asked(&rig, "\\\"job\\\" = 'x'");
    rig_stop(&rig);
}

UNIT_TEST(test_a_table_without_such_a_dimension_is_asked_no_more)
{
    static const char *const answers[] = {TABLE};
    struct rig rig;
    rig_start(&rig, 1, answers);
    expect_read(&rig, "up{instance=\"x\"}", "");
    rig_stop(&rig);
}

/* --- look-ups --------------------------------------------------------------------------------- */

static enum err
put_text(void *context, struct bytes text)
{
    struct buf *to = context;
    buf_put_bytes(to, text);
    buf_put_u8(to, ' ');
    return OK;
}

static void
expect_looked_up(struct rig *rig, const char *selector, const char *label, const char *expected)
{
    struct selector parsed;
    struct buf text;
    const struct text_sink sink = {.each = put_text, .context = &text};
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(
        selector_parse(bytes_of_text(selector == NULL ? "up" : selector), &parsed, NULL), OK);
    struct matcher_set asked = {parsed.matchers, parsed.count};
    struct query_request r = {.sets = selector == NULL ? NULL : &asked,
                              .set_count = selector != NULL,
                              .min_ms = 0,
                              .max_ms = 4102444800000,
                              .control = &rig->control};
    enum err e = label == NULL
                     ? view_label_names(rig->view, &r, &sink, &rig->why)
                     : view_label_values(rig->view, &r, bytes_of_text(label), &sink, &rig->why);
    if (e) assert_string_equal(rig->why.text, "");
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, expected);
    selector_fini(&parsed);
    buf_fini(&text);
}

UNIT_TEST(test_names_are_those_of_columns_with_values)
{
    static const char *const answers[] = {
        PAGE(COLUMN("job", "DIMENSION") "," COLUMN("old", "DIMENSION") "," MEASURES, ""),
        PAGE(ROW(S("U__") "," S("up") "," S("x") "," NONE), "")};
    struct rig rig;
    rig_start(&rig, 2, answers);
    expect_looked_up(&rig, NULL, NULL, "__name__ job ");
    expect_asked(&rig, "SELECT MIN(measure_name), MAX(measure_name), MAX(\\\"job\\\"), "
                       "MAX(\\\"old\\\") FROM");
    rig_stop(&rig);
}

UNIT_TEST(test_a_table_without_rows_has_no_names)
{
    static const char *const answers[] = {TABLE, PAGE(ROW(NONE "," NONE "," NONE), "")};
    struct rig rig;
    rig_start(&rig, 2, answers);
    expect_looked_up(&rig, NULL, NULL, "");
    rig_stop(&rig);
}

UNIT_TEST(test_values_are_filtered_by_what_was_not_sent)
{
    static const char *const answers[] = {
        TABLE,
        PAGE(ROW(S("up") "," S("x")) "," ROW(S("up") "," NONE) "," ROW(S("UP") "," S("y")), "")};
    struct rig rig;
    rig_start(&rig, 2, answers);
    expect_looked_up(&rig, "{__name__=~\"[u]p+\"}", "job", "x ");
    expect_asked(&rig, "SELECT DISTINCT measure_name, \\\"job\\\" FROM");
    rig_stop(&rig);
}

UNIT_TEST(test_values_of_a_label_that_no_row_has_are_not_asked_for)
{
    static const char *const answers[] = {TABLE};
    struct rig rig;
    rig_start(&rig, 1, answers);
    expect_looked_up(&rig, NULL, "instance", "");
    rig_stop(&rig);
}

/* --- invalid answers -------------------------------------------------------------------------- */

static void
check_fails(unsigned count, const char *const *answers, enum err expected, const char *words,
            enum trouble trouble)
{
    struct rig rig;
    struct buf text;
    rig_start(&rig, count, answers);
    buf_init(&text, NULL, 1 << 20);
    enum err e = read_all(&rig, "up", &text);
    if (strstr(rig.why.text, words) == NULL) assert_string_equal(rig.why.text, words);
    assert_int_equal(e, expected);
    assert_int_equal(trouble_of(&rig.why, e), trouble);
    buf_fini(&text);
    rig_stop(&rig);
}

UNIT_TEST(test_refusals_are_told)
{
    static const struct {
        const char *answer;
        enum err e;
        const char *words;
        enum trouble trouble;
    } cases[] = {
        {REFUSED("400", "ValidationException", "line 1:8: no"), ERR_IO, "line 1:8: no",
         TROUBLE_REFUSED},
        {REFUSED("403", "AccessDeniedException", "not you"), ERR_IO, "not you",
         TROUBLE_CREDENTIALS},
        {REFUSED("421", "InvalidEndpointException", "elsewhere"), ERR_AGAIN, "elsewhere",
         TROUBLE_REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_fails(1, &cases[i].answer, cases[i].e, cases[i].words, cases[i].trouble);
    }
}

UNIT_TEST(test_pages_that_are_none_are_damage)
{
    static const struct {
        const char *page;
        const char *words;
    } cases[] = {
        {ANSWER "<html>", "the response is not a page of rows"},
        {ANSWER "{\"QueryId\":\"Q\"}", "it has no rows"},
        {ANSWER "{\"Rows\":[{\"Data\":[", "the response is not a page of rows"},
        {PAGE(ROW(S("up") "," NONE), ""), "a row has too few values"},
        {PAGE(ROW(S("up") "," NONE "," NONE "," NONE "," NONE "," NONE), ""),
         "a row has too many values"},
        {PAGE("{}", ""), "a row has no values"},
        {PAGE(ROW("{\"ArrayValue\":[]}," NONE "," NONE "," NONE "," NONE), ""),
         "a value is neither a scalar nor null"},
        {PAGE(ROW(S("up") "," NONE "," S("1") "," NONE "," NONE), ""), "no time"},
        {PAGE(ROW(NONE "," NONE "," S("1") "," T("20") "," T("20")), ""), "no measure"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const answers[] = {TABLE, cases[i].page};
        check_fails(2, answers, ERR_CORRUPT, cases[i].words, TROUBLE_DAMAGED);
    }
}

UNIT_TEST(test_a_query_that_scans_too_much_is_ended_and_cancelled)
{
    static const char *const answers[] = {
        TABLE,
        PAGE("", ",\"NextToken\":\"a\",\"QueryStatus\":{\"ProgressPercentage\":1.5,"
                 "\"CumulativeBytesScanned\":1000001}"),
        ANSWER "{\"CancellationMessage\":\"done\"}"};
    struct rig rig;
    struct buf text;
    rig_start(&rig, 3, answers);
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(read_all(&rig, "up", &text), ERR_LIMIT);
    assert_string_equal(rig.why.text, "Timestream has scanned 1000001 bytes for the query, more "
                                      "than 1000000 (max_bytes)");
    assert_int_equal(atomic_load(&rig.counts.scanned_bytes), 1000001);
    assert_int_equal(trouble_of(&rig.why, ERR_LIMIT), TROUBLE_LIMIT);
    expect_asked(&rig, "X-Amz-Target: Timestream_20181101.CancelQuery");
    expect_asked(&rig, "{\"QueryId\":\"Q1\"}");
    buf_fini(&text);
    rig_stop(&rig);
}

UNIT_TEST(test_a_query_without_memory_ends_with_that_error)
{
    static const char *const answers[] = {
        TABLE, PAGE("", ",\"NextToken\":\"a\\\"b\""), PAGE(SERIES("up", S("x"), "1"), ""),
        PAGE(ROW(T("20") "," NONE "," S("{\\\"count_int\\\":0,\\\"sum\\\":0,\\\"schema\\\":0}")),
             "")};
    bool done = false;
    for (uint64_t room = 1024; !done; room += room / 4) {
        struct rig rig;
        struct buf text;
        rig_start(&rig, 4, answers);
        buf_init(&text, NULL, 1 << 20);
        rig.budget.limit_bytes = room;
        struct selector parsed;
        struct series_set *set;
        assert_int_equal(selector_parse(bytes_of_text("up"), &parsed, NULL), OK);
        struct matcher_set asked = {parsed.matchers, parsed.count};
        struct query_request r = {.sets = &asked,
                                  .set_count = 1,
                                  .min_ms = 0,
                                  .max_ms = 4102444800000,
                                  .control = &rig.control};
        enum err e = view_select(rig.view, &r, &set, &rig.why);
        bool selected = e == OK;
        if (selected) print_set(&rig, set, &e, &text);
        done = e == OK;
        buf_put_u8(&text, 0);
        assert_true(done || e == ERR_NOMEM);
        if (done) assert_string_equal((const char *)text.at, "up{job=\"x\"} 0:h\n");
        if (selected) series_set_free(set);
        selector_fini(&parsed);
        buf_fini(&text);
        rig_stop(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_then_series_then_samples_are_asked_for),
        cmocka_unit_test(test_each_view_asks_for_the_columns_once),
        cmocka_unit_test(test_texts_are_the_bits_of_floats_and_histograms),
        cmocka_unit_test(test_pages_go_on_until_there_is_no_token),
        cmocka_unit_test(test_series_come_in_label_order_whatever_their_rows_order),
        cmocka_unit_test(test_series_that_are_not_selected_are_not_read),
        cmocka_unit_test(test_a_table_without_such_a_dimension_is_asked_no_more),
        cmocka_unit_test(test_names_are_those_of_columns_with_values),
        cmocka_unit_test(test_a_table_without_rows_has_no_names),
        cmocka_unit_test(test_values_are_filtered_by_what_was_not_sent),
        cmocka_unit_test(test_values_of_a_label_that_no_row_has_are_not_asked_for),
        cmocka_unit_test(test_refusals_are_told),
        cmocka_unit_test(test_pages_that_are_none_are_damage),
        cmocka_unit_test(test_a_query_that_scans_too_much_is_ended_and_cancelled),
        cmocka_unit_test(test_a_query_without_memory_ends_with_that_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
