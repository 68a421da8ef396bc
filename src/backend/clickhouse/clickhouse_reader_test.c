/* clickhouse_reader_test.c - the source before a server that plays what it is told: what it asks,
 * what good answers give, and what invalid ones do. */
#include "lib/test.h"

#include "backend/clickhouse/rows_testing.h"
#include "backend/clickhouse/testing.h"
#include "backend/reader.h"
#include "lib/http_player.h"
#include "model/labels.h"
#include "model/selector.h"

#define ANSWER                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define FORM                  ANSWER TESTING_OLD
#define REFUSED(status, text) "HTTP/1.1 " status " X\r\nConnection: close\r\n\r\n" text

enum { ROOM = 1 << 20 };

struct rig {
    struct player player;
    struct source_settings settings;
    struct source_counts counts;
    struct http_puller *puller;
    struct answerer *reader;
    struct view *view;
    struct budget budget;
    struct query_control control;
    struct buf answers[ANSWERS_MAX];
    unsigned count;
    char url[64];
    struct why why;
};

/* --- answers ---------------------------------------------------------------------------------- */

static void
rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        buf_init(&rig->answers[i], NULL, ROOM);
    }
}

static struct buf *
answer(struct rig *rig, const char *text)
{
    struct buf *to = &rig->answers[rig->count++];
    buf_put_text(to, text);
    return to;
}

/* One series of two samples. */
static void
answer_series(struct rig *rig)
{
    struct buf *to = answer(rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 2, 1000, 2000);
    put_last_series(to);
}

static void
put_samples(struct buf *to, const char *metric, const char *labels)
{
    static const uint64_t times[] = {1000, 2000}, values[] = {0x3ff8000000000000, 0};
    buf_put_u8(to, 0);
    put_row_text(to, metric);
    put_row_text(to, labels);
    put_row_numbers(to, 2, times);
    put_row_numbers(to, 2, values);
    put_row_numbers(to, 0, NULL);
    put_row_numbers(to, 0, NULL);
    buf_put_varint(to, 0);
}

static void
answer_samples(struct rig *rig)
{
    struct buf *to = answer(rig, ANSWER);
    put_samples(to, "up", "{\"job\":\"x\"}");
    put_last_samples(to);
}

/* --- the rig ---------------------------------------------------------------------------------- */

static void
rig_start(struct rig *rig)
{
    const char *texts[ANSWERS_MAX];
    size_t sizes[ANSWERS_MAX];
    for (unsigned i = 0; i < rig->count; i++) {
        texts[i] = (const char *)rig->answers[i].at;
        sizes[i] = rig->answers[i].size;
    }
    player_start_sized(&rig->player, rig->count, texts, sizes);
    snprintf(rig->url, sizeof rig->url, "%.*s", (int)strcspn(rig->player.url + 7, "/") + 7,
             rig->player.url);
    rig->settings.name = "test";
    rig->settings.type = SOURCE_CLICKHOUSE;
    rig->settings.timeout_ms = 5000;
    rig->settings.max_concurrent = 4;
    rig->settings.u.clickhouse.server =
        (struct clickhouse_settings){.url = rig->url, .database = "d", .table = "t`x"};
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
    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        buf_fini(&rig->answers[i]);
    }
}

static void
print_batch(struct buf *to, const struct sample_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        buf_printf(to, " %lld:", (long long)b->times_ms[i]);
        if (b->value_bits == NULL)
            buf_put_text(to, "h");
        else
            buf_printf(to, "%llx", (unsigned long long)b->value_bits[i]);
        if (b->starts_ms != NULL && b->starts_ms[i] != 0) {
            buf_printf(to, "@%lld", (long long)b->starts_ms[i]);
        }
    }
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
    bool selected = e == OK;
    while (e == OK) {
        struct sample_batch batch = {.count = 0};
        e = series_set_next(set, &labels, &rig->why);
        if (e || labels.at == NULL) break;
        labels_print_selector(to, labels);
        do {
            e = series_set_batch(set, &batch, &rig->why);
            if (e == OK) print_batch(to, &batch);
        } while (e == OK && batch.count > 0);
        buf_put_u8(to, '\n');
    }
    if (selected) series_set_free(set);
    selector_fini(&parsed);
    buf_put_u8(to, 0);
    return e;
}

static void
expect_read(struct rig *rig, const char *selector, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, ROOM);
    enum err e = read_all(rig, selector, &text);
    if (e) assert_string_equal(rig->why.text, "");
    assert_int_equal(e, OK);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
}

static void
expect_failure(struct rig *rig, enum err expected, const char *words, enum trouble trouble)
{
    struct buf text;
    buf_init(&text, NULL, ROOM);
    enum err e = read_all(rig, "up", &text);
    if (strstr(rig->why.text, words) == NULL) assert_string_equal(rig->why.text, words);
    assert_int_equal(e, expected);
    assert_int_equal(trouble_of(&rig->why, e), trouble);
    buf_fini(&text);
}

static void
expect_asked(const struct rig *rig, const char *words)
{
    if (strstr(rig->player.seen, words) == NULL) assert_string_equal(rig->player.seen, words);
}

/* --- good answers ----------------------------------------------------------------------------- */

UNIT_TEST(test_series_are_asked_for_then_their_samples)
{
    struct rig rig;
    rig_init(&rig);
    answer(&rig, FORM);
    answer_series(&rig);
    answer_samples(&rig);
    rig_start(&rig);
    expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    expect_asked(&rig, "FROM `d`.`t\\`x` FINAL WHERE `metric` = 'up' AND `time` >= 1000 AND "
                       "`time` <= 2000 GROUP BY");
    rig_stop(&rig);
}

UNIT_TEST(test_bits_starts_and_histograms_are_read)
{
    static const uint64_t times[] = {1900, 1000, 1500}, values[] = {0, 0x7ff8000000000001, 0},
                          bits[] = {0, 0x7ff0000000000002, 0}, starts[] = {0, 0, 7};
    struct rig rig;
    rig_init(&rig);
    answer(&rig, FORM);
    answer_series(&rig);
    struct buf *to = answer(&rig, ANSWER);
    put_samples(to, "up", "{\"job\":\"not asked for\"}");
    buf_put_u8(to, 0);
    put_row_text(to, "up");
    put_row_text(to, "{\"job\":\"x\"}");
    put_row_numbers(to, 3, times);
    put_row_numbers(to, 3, values);
    put_row_numbers(to, 3, bits);
    put_row_numbers(to, 3, starts);
    buf_put_varint(to, 3);
    put_row_text(to, "{\"count_int\":0}");
    put_row_text(to, "");
    put_row_text(to, "");
    put_last_samples(to);
    rig_start(&rig);
    expect_read(&rig, "up", "up{job=\"x\"} 1000:7ff0000000000002 1500:0@7 1900:h\n");
    rig_stop(&rig);
}

/* Who has readonly = 1 may send no setting. */
UNIT_TEST(test_a_server_that_can_is_told_to_stop_when_nobody_reads)
{
#define CANCEL "[\"setting\",\"cancel_http_readonly_queries_on_client_close\",\"0\",\"\"]"
    static const char *const forms[] = {
        ANSWER TESTING_NEW,
        ANSWER TESTING_ANSWER(
            "26.7.2.1",
            "," CANCEL
            ",[\"setting\",\"readonly\",\"1\",\"\"]" TESTING_ENGINE TESTING_COLUMNS("String"),
            10),
    };
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_init(&rig);
        answer(&rig, forms[i]);
        answer_series(&rig);
        answer_samples(&rig);
        rig_start(&rig);
        expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
        expect_asked(&rig, i == 0 ? "POST /?cancel_http_readonly_queries_on_client_close=1 HTTP"
                                  : "POST / HTTP");
        rig_stop(&rig);
    }
}

UNIT_TEST(test_series_that_are_not_selected_are_left_out)
{
    struct rig rig;
    rig_init(&rig);
    answer(&rig, FORM);
    struct buf *to = answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 2, 1000, 2000);
    put_row_series(to, "up", "{\"job\":\"y\"}", 2, 1000, 2000);
    put_last_series(to);
    answer_samples(&rig);
    rig_start(&rig);
    expect_read(&rig, "up{job=~\"[x]\"}", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    expect_asked(&rig, "(`metric`, `labels`) IN (('up','{\"job\":\"x\"}'))");
    rig_stop(&rig);
}

UNIT_TEST(test_a_table_of_others_needs_but_four_columns)
{
    struct rig rig;
    rig_init(&rig);
    answer(&rig, ANSWER TESTING_ANSWER("18.16.1",
                                       ",[\"table\",\"MergeTree\",\"at\",\"\"]"
                                       ",[\"column\",\"name\",\"String\",\"\"]"
                                       ",[\"column\",\"tags\",\"String\",\"\"]"
                                       ",[\"column\",\"at\",\"DateTime\",\"\"]"
                                       ",[\"column\",\"v\",\"Float32\",\"\"]",
                                       6));
    answer_series(&rig);
    answer_samples(&rig);
    rig.settings.u.clickhouse.columns =
        (struct clickhouse_columns){.metric = "name", .labels = "tags", .time = "at", .value = "v"};
    rig_start(&rig);
    expect_read(&rig, "up{job=\"x\"}", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    expect_asked(&rig,
                 "groupArray(524289)(toInt64(toUInt32(`at`)) * 1000) AS fk_t, "
                 "groupArray(524289)(toFloat64(`v`)) AS fk_v, emptyArrayUInt64() AS fk_b, "
                 "emptyArrayInt64() AS fk_s, emptyArrayString() AS fk_h FROM `d`.`t\\`x` WHERE "
                 "`name` = 'up' AND toInt64(toUInt32(`at`)) * 1000 >= 1000 AND `at` >= "
                 "toDateTime(1) AND");
    rig_stop(&rig);
}

UNIT_TEST(test_too_much_for_the_server_is_asked_for_in_parts)
{
    struct rig rig;
    rig_init(&rig);
    answer(&rig, FORM);
    struct buf *to = answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 2, 1000, 2000);
    put_row_series(to, "up", "{\"job\":\"y\"}", 2, 1000, 2000);
    put_last_series(to);
    answer(&rig, REFUSED("500", "Code: 241, e.displayText() = DB::Exception: Memory limit (for "
                                "query) exceeded, e.what() = DB::Exception\n"));
    answer_samples(&rig);
    to = answer(&rig, ANSWER);
    put_samples(to, "up", "{\"job\":\"y\"}");
    put_last_samples(to);
    rig_start(&rig);
    expect_read(&rig, "up",
                "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n"
                "up{job=\"y\"} 1000:3ff8000000000000 2000:0\n");
    rig_stop(&rig);
}

/* --- look-ups --------------------------------------------------------------------------------- */

static enum err
put_line(void *context, struct bytes text)
{
    buf_put_bytes(context, text);
    buf_put_u8(context, '\n');
    return OK;
}

UNIT_TEST(test_names_and_values_are_looked_up)
{
    struct rig rig;
    struct buf text;
    rig_init(&rig);
    answer(&rig, FORM);
    struct buf *to = answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\",\"site\":\"theirs\"}", 0, 0, 0);
    put_row_series(to, "", "{\"job\":\"y\",\"a\":\"b\"}", 0, 0, 0);
    put_last_series(to);
    to = answer(&rig, ANSWER);
    put_row_series(to, "up", "", 0, 0, 0);
    put_row_series(to, "", "", 0, 0, 0);
    put_last_series(to);
    to = answer(&rig, ANSWER);
    put_row_series(to, "up", "{\"job\":\"x\"}", 0, 0, 0);
    put_row_series(to, "up", "{}", 0, 0, 0);
    put_last_series(to);
    struct named_text site = {"site", "ours"};
    rig.settings.external_labels = (struct named_texts){&site, 1};
    rig_start(&rig);
    buf_init(&text, NULL, ROOM);
    struct text_sink sink = {.each = put_line, .context = &text};
    struct query_request r = {.max_ms = 10, .control = &rig.control};
    assert_int_equal(view_label_names(rig.view, &r, &sink, &rig.why), OK);
    expect_asked(&rig, "GROUP BY fk_l UNION ALL");
    assert_int_equal(view_label_values(rig.view, &r, bytes_of_text("__name__"), &sink, &rig.why),
                     OK);
    expect_asked(&rig, "GROUP BY fk_m UNION ALL");
    assert_int_equal(view_label_values(rig.view, &r, bytes_of_text("job"), &sink, &rig.why), OK);
    expect_asked(&rig, "AND (position(`labels`, '{\"job\":') = 1 OR position(`labels`, "
                       "',\"job\":') > 0) GROUP BY fk_l");
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, "__name__\njob\na\nup\nx\n");
    buf_fini(&text);
    rig_stop(&rig);
}

/* --- invalid answers -------------------------------------------------------------------------- */

UNIT_TEST(test_what_is_said_instead_of_rows_is_an_error)
{
    static const struct {
        const char *answer;
        enum err expected;
        const char *words;
        enum trouble trouble;
    } cases[] = {
        {REFUSED("401", "Code: 193, e.displayText() = DB::Exception: Wrong password for user u, "
                        "e.what() = DB::Exception"),
         ERR_IO, "Wrong password", TROUBLE_CREDENTIALS},
        {REFUSED("500", "Code: 497. DB::Exception: u: Not enough privileges. (ACCESS_DENIED)"),
         ERR_IO, "Not enough privileges", TROUBLE_CREDENTIALS},
        {REFUSED("500", "Code: 164, e.displayText() = DB::Exception: readonly, e.what() = x"),
         ERR_IO, "readonly", TROUBLE_CREDENTIALS},
        {REFUSED("404", "Code: 47, e.displayText() = DB::Exception: Unknown identifier: labels"),
         ERR_IO, "Unknown identifier", TROUBLE_REFUSED},
        {REFUSED("500", "Code: 62, e.displayText() = DB::Exception: Syntax error"), ERR_IO,
         "Syntax error", TROUBLE_REFUSED},
        {REFUSED("404", "no such page"), ERR_IO, "status 404: no such page", TROUBLE_REFUSED},
        {ANSWER "<html>hello</html>", ERR_CORRUPT, "not in the format RowBinary", TROUBLE_DAMAGED},
        {ANSWER "Code: 241, e.displayText() = DB::Exception: Memory limit (total) exceeded, "
                "e.what() = DB::Exception\n",
         ERR_AGAIN, "the response ends with an error: Code: 241", TROUBLE_SERVER},
        {ANSWER "Code: 395. DB::Exception: thrown. (FUNCTION_THROW_IF)\n", ERR_IO,
         "the response ends with an error: Code: 395", TROUBLE_REFUSED},
        {ANSWER, ERR_CORRUPT, "ends before its last row", TROUBLE_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned step = 0; step < 2; step++) {
            struct rig rig;
            rig_init(&rig);
            answer(&rig, FORM);
            if (step == 1) answer_series(&rig);
            answer(&rig, cases[i].answer);
            rig_start(&rig);
            expect_failure(&rig, cases[i].expected, cases[i].words, cases[i].trouble);
            rig_stop(&rig);
        }
    }
}

UNIT_TEST(test_an_error_after_good_rows_is_an_error)
{
    for (unsigned cut = 0; cut < 3; cut++) {
        struct rig rig;
        rig_init(&rig);
        answer(&rig, FORM);
        answer_series(&rig);
        struct buf *to = answer(&rig, ANSWER);
        put_samples(to, "up", "{\"job\":\"x\"}");
        to->size -= cut * 9; /* it may stand within a row, too */
        buf_put_text(to, "Code: 159, e.displayText() = DB::Exception: Timeout exceeded, e.what()");
        rig_start(&rig);
        expect_failure(&rig, ERR_AGAIN, "Timeout exceeded", TROUBLE_SERVER);
        rig_stop(&rig);
    }
}

UNIT_TEST(test_rows_that_cannot_be_right_are_damage)
{
    static const uint64_t one[] = {1000};
    for (unsigned kind = 0; kind < 3; kind++) {
        struct rig rig;
        rig_init(&rig);
        answer(&rig, FORM);
        if (kind > 0) answer_series(&rig);
        struct buf *to = answer(&rig, ANSWER);
        if (kind == 0) {
            put_row_series(to, "up", "job=x", 1, 0, 0);
        } else {
            buf_put_u8(to, 0);
            put_row_text(to, "up");
            put_row_text(to, "{\"job\":\"x\"}");
            put_row_numbers(to, 1, one);
            put_row_numbers(to, kind == 1 ? 0 : 1, one);
            put_row_numbers(to, 0, NULL);
            put_row_numbers(to, 0, NULL);
            buf_put_varint(to, kind == 1 ? 0 : 1);
            if (kind == 2) put_row_text(to, "{count}");
        }
        rig_start(&rig);
        expect_failure(&rig, ERR_CORRUPT,
                       kind == 0   ? "labels of a row cannot be read"
                       : kind == 1 ? "differ in length"
                                   : "a histogram of a row cannot be read",
                       TROUBLE_DAMAGED);
        rig_stop(&rig);
    }
}

UNIT_TEST(test_a_table_that_cannot_be_read_is_named)
{
    static const struct {
        const char *answer, *words;
    } cases[] = {
        {ANSWER TESTING_NO_TABLE, "table d.t`x does not exist, or the user may not see it"},
        {ANSWER TESTING_ANSWER("18.16.1", TESTING_ENGINE, 2), "has no column metric"},
        {ANSWER TESTING_ANSWER("18.16.1", TESTING_ENGINE ",[\"column\",\"metric\",\"UInt8\",\"\"]",
                               3),
         "column metric of table d.t`x has type UInt8, expected String"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_init(&rig);
        answer(&rig, cases[i].answer);
        rig_start(&rig);
        expect_failure(&rig, ERR_IO, cases[i].words, TROUBLE_REFUSED);
        rig_stop(&rig);
    }
}

UNIT_TEST(test_after_an_answer_that_contradicts_it_the_table_is_asked_for_again)
{
    struct rig rig;
    rig_init(&rig);
    answer(&rig, FORM);
    answer(&rig, REFUSED("404", "Code: 47, e.displayText() = DB::Exception: Unknown identifier"));
    answer(&rig, ANSWER TESTING_OLD_SHORT);
    answer_series(&rig);
    answer_samples(&rig);
    rig_start(&rig);
    expect_failure(&rig, ERR_IO, "Unknown identifier", TROUBLE_REFUSED);
    rig.why.text[0] = '\0';
    expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff8000000000000 2000:0\n");
    expect_asked(&rig, "emptyArrayInt64() AS fk_s");
    rig_stop(&rig);
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_failed_allocation_fails_the_question_and_nothing_leaks)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct rig rig;
        rig_init(&rig);
        answer(&rig, FORM);
        answer_series(&rig);
        answer_samples(&rig);
        rig_start(&rig);
        struct selector parsed;
        assert_int_equal(selector_parse(bytes_of_text("up"), &parsed, NULL), OK);
        struct matcher_set asked = {parsed.matchers, parsed.count};
        struct query_request r = {
            .sets = &asked, .set_count = 1, .max_ms = 4102444800000, .control = &rig.control};
        struct series_set *set;
        struct sample_batch batch = {.count = 0};
        struct bytes labels = {NULL, 0};
        mem_fail_nth(nth, false);
        enum err e = view_select(rig.view, &r, &set, &rig.why);
        bool selected = e == OK;
        if (e == OK) e = series_set_next(set, &labels, &rig.why);
        if (e == OK && labels.at != NULL) e = series_set_batch(set, &batch, &rig.why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) {
            assert_int_equal(e, OK);
            assert_int_equal(batch.count, 2);
        } else if (e != OK && e != ERR_AGAIN) {
            assert_int_equal(e, ERR_NOMEM);
        }
        if (selected) series_set_free(set);
        selector_fini(&parsed);
        rig_stop(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_are_asked_for_then_their_samples),
        cmocka_unit_test(test_bits_starts_and_histograms_are_read),
        cmocka_unit_test(test_a_server_that_can_is_told_to_stop_when_nobody_reads),
        cmocka_unit_test(test_series_that_are_not_selected_are_left_out),
        cmocka_unit_test(test_a_table_of_others_needs_but_four_columns),
        cmocka_unit_test(test_too_much_for_the_server_is_asked_for_in_parts),
        cmocka_unit_test(test_names_and_values_are_looked_up),
        cmocka_unit_test(test_what_is_said_instead_of_rows_is_an_error),
        cmocka_unit_test(test_an_error_after_good_rows_is_an_error),
        cmocka_unit_test(test_rows_that_cannot_be_right_are_damage),
        cmocka_unit_test(test_a_table_that_cannot_be_read_is_named),
        cmocka_unit_test(test_after_an_answer_that_contradicts_it_the_table_is_asked_for_again),
        cmocka_unit_test(test_a_failed_allocation_fails_the_question_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
