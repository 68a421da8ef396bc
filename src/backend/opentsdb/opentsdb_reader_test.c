/* opentsdb_reader_test.c - the source before a server that plays what it is told: what comes of
 * good answers, of refusals, and of invalid answers. */
#include "lib/test.h"

#include "backend/reader.h"
#include "lib/http_player.h"
#include "model/labels.h"
#include "model/selector.h"

#define OK_BEGIN "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define ANSWER   OK_BEGIN "\r\n"
#define REFUSAL(status, message)                          \
    "HTTP/1.1 " status " No\r\nConnection: close\r\n\r\n" \
    "{\"error\":{\"code\":" status ",\"message\":\"" message "\"}}"

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
        .name = "test", .type = SOURCE_OPENTSDB, .timeout_ms = 5000, .max_concurrent = 4};
    rig->settings.u.opentsdb =
        (struct opentsdb_read_settings){.server.url = rig->url, .expansion_limit = 4096};
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

/* All of it between two times as text: labels and samples, a line each. */
static enum err
read_between(struct rig *rig, const char *selector, int64_t min_ms, int64_t max_ms, struct buf *to)
{
    struct selector parsed;
    struct series_set *set;
    struct bytes labels;
    assert_int_equal(selector_parse(bytes_of_text(selector), &parsed, NULL), OK);
    struct matcher_set asked = {parsed.matchers, parsed.count};
    struct query_request r = {.sets = &asked,
                              .set_count = 1,
                              .min_ms = min_ms,
                              .max_ms = max_ms,
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

#define MAX_MS 4102444800000

static void
check_read(const char *selector, unsigned count, const char *const *answers, const char *expected)
{
    struct rig rig;
    struct buf text;
    rig_start(&rig, count, answers);
    buf_init(&text, NULL, 1 << 20);
    enum err e = read_between(&rig, selector, 0, MAX_MS, &text);
    if (e) assert_string_equal(rig.why.text, "");
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    rig_stop(&rig);
}

static void
check_fails(unsigned count, const char *const *answers, enum err expected, const char *words)
{
    struct rig rig;
    struct buf text;
    rig_start(&rig, count, answers);
    buf_init(&text, NULL, 1 << 20);
    enum err e = read_between(&rig, "up", 0, MAX_MS, &text);
    if (strstr(rig.why.text, words) == NULL) assert_string_equal(rig.why.text, words);
    assert_int_equal(e, expected);
    buf_fini(&text);
    rig_stop(&rig);
}

#define SERIES(metric, tags, id, points)                                                           \
    "{\"metric\":\"" metric "\",\"tags\":{" tags "},\"aggregateTags\":[],\"tsuids\":[\"" id "\"]," \
    "\"dps\":{" points "}}"
#define ONE(points) ANSWER "[" SERIES("up", "\"job\":\"x\"", "0A", points) "]"

UNIT_TEST(test_series_come_in_label_order_and_samples_in_time_order)
{
    static const char *const answers[] = {
        ANSWER "[" SERIES("up", "\"job\":\"z\"", "0A", "\"0\":2") "," SERIES(
            "up", "\"job\":\"a_.b\",\"U__x_2e_y\":\"__\"", "0B", "\"0\":1") "]",
        ANSWER "[" SERIES("up", "\"job\":\"z\"", "0A", "\"2000\":-0.0,\"1000\":1") "," SERIES(
            "up", "\"job\":\"a_.b\",\"U__x_2e_y\":\"__\"", "0B", "\"3000\":1.5") "]"};
    check_read("up", 2, answers,
               "up{job=\"a:b\", \"x.y\"=\"_\"} 3000:3ff8000000000000\n"
               "up{job=\"z\"} 1000:3ff0000000000000 2000:8000000000000000\n");
}

UNIT_TEST(test_series_that_are_not_selected_and_points_of_other_times_are_left_out)
{
    static const char *const answers[] = {
        ANSWER "[" SERIES("up", "\"job\":\"x\"", "0A", "\"0\":1") "," SERIES("up", "\"job\":\"y\"",
                                                                             "0B", "\"0\":1") "]",
        ANSWER "[" SERIES("up", "\"job\":\"x\"", "0A", "\"4102444800001\":1,\"1000\":1") "," SERIES(
            "up", "\"job\":\"y\"", "0B", "\"1000\":1") "," SERIES("up", "", "0C", "\"1\":1") "]"};
    check_read("up{job!=\"y\"}", 2, answers, "up{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_a_name_that_the_server_does_not_know_is_left_out_of_the_next_request)
{
    static const char *const answers[] = {
        REFUSAL("400", "No such name for 'metrics': 'node_load1'"),
        ANSWER "[" SERIES("node__load1", "\"job\":\"x\"", "0A", "\"0\":1") "]",
        ANSWER "[" SERIES("node__load1", "\"job\":\"x\"", "0A", "\"1000\":1") "]"};
    check_read("node_load1", 3, answers, "node_load1{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_what_the_server_does_not_know_at_all_is_no_series)
{
    static const char *const metric[] = {REFUSAL("400", "No such name for 'metrics': 'up'")};
    static const char *const tag[] = {REFUSAL("400", "No such name for 'tagk': 'job'")};
    static const char *const value[] = {REFUSAL("400", "No such name for 'tagv': 'x'")};
    check_read("up", 1, metric, "");
    check_read("up{job=\"x\"}", 1, tag, "");
    check_read("up{job=\"x\"}", 1, value, "");
}

UNIT_TEST(test_names_that_are_not_known_are_asked_for)
{
    static const char *const answers[] = {ANSWER "[\"up\",\"upper\",\"down\"]", ONE("\"0\":1"),
                                          ONE("\"1000\":1")};
    check_read("{__name__=~\"u.\"}", 3, answers, "up{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_what_is_too_much_is_asked_for_in_halves_of_the_time)
{
    static const char *const answers[] = {
        REFUSAL("413", "Sorry"), ANSWER "[]",
        ONE("\"0\":2"),          REFUSAL("400", "Sorry, your query timed out."),
        ONE("\"1000\":1"),       ONE("\"2100000000000\":1")};
    check_read("up", 6, answers,
               "up{job=\"x\"} 1000:3ff0000000000000 2100000000000:3ff0000000000000\n");
}

/* What of the last request follows the headers. */
static const char *
body_of(const struct rig *rig)
{
    const char *end = strstr(rig->player.seen, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void
check_times(int64_t min_ms, int64_t max_ms, const char *expected)
{
    static const char *const answers[] = {ANSWER "[]"};
    struct rig rig;
    struct buf text;
    rig_start(&rig, 1, answers);
    buf_init(&text, NULL, 1000);
    assert_int_equal(read_between(&rig, "up", min_ms, max_ms, &text), OK);
    if (strncmp(body_of(&rig), expected, strlen(expected)) != 0) {
        assert_string_equal(body_of(&rig), expected);
    }
    buf_fini(&text);
    rig_stop(&rig);
}

UNIT_TEST(test_times_are_written_as_opentsdb_takes_them)
{
    check_times(1700000000123, 1700000000123, "{\"start\":1700000000123,\"end\":1700000000124,");
    check_times(INT64_MIN, INT64_MAX, "{\"start\":0,\"end\":4291718400001,");
    check_times(5, 6, "{\"start\":0,\"end\":4294968,");
    check_times(9999999001, 9999999001, "{\"start\":9999999,\"end\":10000000,");
    check_times(10000000000, 99999999999, "{\"start\":10000000000,\"end\":100000000000,");
}

UNIT_TEST(test_what_is_no_answer_is_an_error)
{
    static const struct {
        const char *answer;
        enum err e;
        const char *words;
    } cases[] = {
        {ANSWER "<html>", ERR_CORRUPT,
         "/api/query: the response cannot be read: expected an array"},
        {ANSWER "", ERR_CORRUPT, "the response ends too early"},
        {ANSWER "[{\"metric\":\"up\",", ERR_CORRUPT, "the response ends too early"},
        {OK_BEGIN "Content-Length: 1000\r\n\r\n[", ERR_AGAIN, "/api/query"},
        {"HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", ERR_IO, "status 401"},
        {REFUSAL("400", "no such luck"), ERR_IO, "no such luck"},
        {REFUSAL("400", "No such name for 'tagk': 'x'"), ERR_CORRUPT,
         "the refusal names what was not asked for"},
        {REFUSAL("400", "No such name for 'metrics': 'x'"), ERR_CORRUPT,
         "the refusal names what was not asked for"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_fails(1, &cases[i].answer, cases[i].e, cases[i].words);
    }
    static const char *const twice[] = {ONE("\"0\":1"), ANSWER "[{\"metric\":1}]"};
    check_fails(2, twice, ERR_CORRUPT, "expected a string in double quotes");
}

struct gathered {
    struct buf text;
};

static enum err
gather(void *context, struct bytes text)
{
    struct gathered *g = context;
    buf_put_bytes(&g->text, text);
    buf_put_u8(&g->text, ';');
    return OK;
}

UNIT_TEST(test_names_of_metrics_and_labels_are_those_of_suggest)
{
    static const char *const answers[] = {ANSWER "[\"node__load1\",\"sys.cpu\"]",
                                          ANSWER "[\"job\",\"U__x_2e_y\"]"};
    struct rig rig;
    struct gathered g;
    rig_start(&rig, 2, answers);
    buf_init(&g.text, NULL, 1000);
    const struct text_sink sink = {.each = gather, .context = &g};
    struct query_request r = {.max_ms = MAX_MS, .control = &rig.control};
    assert_int_equal(view_label_values(rig.view, &r, bytes_of_text("__name__"), &sink, &rig.why),
                     OK);
    assert_int_equal(view_label_names(rig.view, &r, &sink, &rig.why), OK);
    assert_non_null(strstr(rig.player.seen, "GET /api/suggest?type=tagk&max=1000001 "));
    assert_int_equal(view_label_values(rig.view, &r, bytes_of_text("job"), &sink, &rig.why),
                     ERR_UNSUPPORTED);
    buf_put_u8(&g.text, 0);
    assert_string_equal((const char *)g.text.at, "node_load1;sys.cpu;job;x.y;__name__;");
    buf_fini(&g.text);
    rig_stop(&rig);
}

UNIT_TEST(test_a_failed_allocation_fails_the_question_and_nothing_leaks)
{
    static const char *const answers[] = {REFUSAL("400", "No such name for 'tagk': 'a'"),
                                          ONE("\"0\":1"), ONE("\"1000\":1")};
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct rig rig;
        struct selector parsed;
        struct series_set *set;
        struct sample_batch batch;
        struct bytes labels = {NULL, 0};
        rig_start(&rig, 3, answers);
        assert_int_equal(selector_parse(bytes_of_text("up{a=\"\",job=~\"x|y\"}"), &parsed, NULL),
                         OK);
        struct matcher_set asked = {parsed.matchers, parsed.count};
        struct query_request r = {
            .sets = &asked, .set_count = 1, .max_ms = MAX_MS, .control = &rig.control};
        mem_fail_nth(nth, false);
        enum err e = view_select(rig.view, &r, &set, &rig.why);
        bool selected = e == OK;
        if (e == OK) e = series_set_next(set, &labels, &rig.why);
        if (e == OK && labels.at != NULL) e = series_set_batch(set, &batch, &rig.why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (selected) series_set_free(set);
        selector_fini(&parsed);
        /* A request whose memory failed may be made again. */
        if (fired && e != ERR_NOMEM) assert_true(e == OK || e == ERR_AGAIN || e == ERR_IO);
        if (!fired) assert_int_equal(e, OK);
        rig_stop(&rig);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_come_in_label_order_and_samples_in_time_order),
        cmocka_unit_test(test_series_that_are_not_selected_and_points_of_other_times_are_left_out),
        cmocka_unit_test(test_a_name_that_the_server_does_not_know_is_left_out_of_the_next_request),
        cmocka_unit_test(test_what_the_server_does_not_know_at_all_is_no_series),
        cmocka_unit_test(test_names_that_are_not_known_are_asked_for),
        cmocka_unit_test(test_what_is_too_much_is_asked_for_in_halves_of_the_time),
        cmocka_unit_test(test_times_are_written_as_opentsdb_takes_them),
        cmocka_unit_test(test_what_is_no_answer_is_an_error),
        cmocka_unit_test(test_names_of_metrics_and_labels_are_those_of_suggest),
        cmocka_unit_test(test_a_failed_allocation_fails_the_question_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
