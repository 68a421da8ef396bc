/* opentsdb_reader_test.c - a source of type opentsdb, whose server gives scripted answers: good
 * ones, refusals, and invalid ones. */
#include "lib/test.h"

#include <stdio.h>

#include "lib/backend/played_source.h"

#define REFUSAL(status, message)                          \
    "HTTP/1.1 " status " No\r\nConnection: close\r\n\r\n" \
    "{\"error\":{\"code\":" status ",\"message\":\"" message "\"}}"

static void
start(struct played_source *rig, unsigned count, const char *const *answers)
{
    played_init(rig, SOURCE_OPENTSDB);
    rig->settings.u.opentsdb =
        (struct opentsdb_read_settings){.server.url = rig->url, .expansion_limit = 4096};
    played_answers(rig, count, answers);
    played_start(rig);
}

static void
check_read(const char *selector, unsigned count, const char *const *answers, const char *expected)
{
    struct played_source rig;
    start(&rig, count, answers);
    played_expect_read(&rig, selector, expected);
    played_stop(&rig);
}

static void
check_fails(unsigned count, const char *const *answers, enum err expected, const char *words)
{
    struct played_source rig;
    start(&rig, count, answers);
    if (expected == ERR_AGAIN) rig.settings.timeout_ms = 50; /* too short for a second attempt */
    played_expect_failure(&rig, "up", expected, words);
    played_stop(&rig);
}

#define SERIES(metric, tags, id, points)                                                           \
    "{\"metric\":\"" metric "\",\"tags\":{" tags "},\"aggregateTags\":[],\"tsuids\":[\"" id "\"]," \
    "\"dps\":{" points "}}"
#define ONE(points) PLAYED_ANSWER "[" SERIES("up", "\"job\":\"x\"", "0A", points) "]"

UNIT_TEST(test_series_come_in_label_order_and_samples_in_time_order)
{
    static const char *const answers[] = {
        PLAYED_ANSWER "[" SERIES("up", "\"job\":\"z\"", "0A", "\"0\":2") "," SERIES(
            "up", "\"job\":\"a_.b\",\"U__x_2e_y\":\"__\"", "0B", "\"0\":1") "]",
        PLAYED_ANSWER
        "[" SERIES("up", "\"job\":\"z\"", "0A", "\"2000\":-0.0,\"1000\":1") "," SERIES(
            "up", "\"job\":\"a_.b\",\"U__x_2e_y\":\"__\"", "0B", "\"3000\":1.5") "]"};
    check_read("up", 2, answers,
               "up{job=\"a:b\", \"x.y\"=\"_\"} 3000:3ff8000000000000\n"
               "up{job=\"z\"} 1000:3ff0000000000000 2000:8000000000000000\n");
}

UNIT_TEST(test_other_series_and_points_of_other_times_are_left_out)
{
    static const char *const answers[] = {
        PLAYED_ANSWER "[" SERIES("up", "\"job\":\"x\"", "0A",
                                 "\"0\":1") "," SERIES("up", "\"job\":\"y\"", "0B", "\"0\":1") "]",
        PLAYED_ANSWER
        "[" SERIES("up", "\"job\":\"x\"", "0A", "\"4102444800001\":1,\"1000\":1") "," SERIES(
            "up", "\"job\":\"y\"", "0B", "\"1000\":1") "," SERIES("up", "", "0C", "\"1\":1") "]"};
    check_read("up{job!=\"y\"}", 2, answers, "up{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_an_unknown_name_is_left_out_of_the_next_request)
{
    static const char *const answers[] = {
        REFUSAL("400", "No such name for 'metrics': 'node_load1'"),
        PLAYED_ANSWER "[" SERIES("node__load1", "\"job\":\"x\"", "0A", "\"0\":1") "]",
        PLAYED_ANSWER "[" SERIES("node__load1", "\"job\":\"x\"", "0A", "\"1000\":1") "]"};
    check_read("node_load1", 3, answers, "node_load1{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_unknown_names_select_no_series)
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
    static const char *const answers[] = {PLAYED_ANSWER "[\"up\",\"upper\",\"down\"]",
                                          ONE("\"0\":1"), ONE("\"1000\":1")};
    check_read("{__name__=~\"u.\"}", 3, answers, "up{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_names_are_asked_for_by_the_prefix_of_a_matcher)
{
    static const char *const answers[] = {PLAYED_ANSWER "[]"};
    struct played_source rig;
    start(&rig, 1, answers);
    played_expect_read(&rig, "{__name__=~\"upp.*\"}", "");
    played_expect_asked(&rig, "GET /api/suggest?type=metrics&q=upp&max=1000001 ");
    played_stop(&rig);
}

UNIT_TEST(test_a_refused_time_is_read_in_halves)
{
    static const char *const answers[] = {
        REFUSAL("413", "Sorry"), PLAYED_ANSWER "[]",
        ONE("\"0\":2"),          REFUSAL("400", "Sorry, your query timed out."),
        ONE("\"1000\":1"),       ONE("\"2100000000000\":1")};
    check_read("up", 6, answers,
               "up{job=\"x\"} 1000:3ff0000000000000 2100000000000:3ff0000000000000\n");
}

static void
check_times(int64_t min_ms, int64_t max_ms, const char *expected)
{
    static const char *const answers[] = {PLAYED_ANSWER "[]"};
    struct played_source rig;
    char body[200];
    start(&rig, 1, answers);
    rig.request.min_ms = min_ms;
    rig.request.max_ms = max_ms;
    played_expect_read(&rig, "up", "");
    snprintf(body, sizeof body, "\r\n\r\n%s", expected);
    played_expect_asked(&rig, body);
    played_stop(&rig);
}

UNIT_TEST(test_times_are_written_as_opentsdb_takes_them)
{
    check_times(1700000000123, 1700000000123, "{\"start\":1700000000123,\"end\":1700000000124,");
    check_times(INT64_MIN, INT64_MAX, "{\"start\":0,\"end\":4291718400001,");
    check_times(5, 6, "{\"start\":0,\"end\":4294968,");
    check_times(9999999001, 9999999001, "{\"start\":9999999,\"end\":10000000,");
    check_times(10000000000, 99999999999, "{\"start\":10000000000,\"end\":100000000000,");
}

/* A missing tag is "", so a matcher that admits "" must not be sent. */
UNIT_TEST(test_matchers_are_sent_so_that_missing_tags_stay)
{
#define FILTER(type, filter) \
    "[{\"type\":\"" type "\",\"tagk\":\"job\",\"filter\":\"" filter "\",\"groupBy\":false}]"
    static const char *const answers[] = {PLAYED_ANSWER "[]"};
    static const struct {
        const char *selector, *filters; /* NULL if there are none */
    } sent[] = {
        {"up{job=\"x\"}", FILTER("literal_or", "x")},
        {"up{job=~\"x|y\"}", FILTER("literal_or", "x|y")},
        {"up{job=~\"x.*\"}", FILTER("regexp", "^(?:x.*)$")},
        {"up{job=~\"x[1-9]+\"}", FILTER("wildcard", "x*")},
        {"up{job=\"\"}", FILTER("not_key", "")},
        {"up{job!=\"\"}", FILTER("wildcard", "*")},
        {"up{job!=\"x\"}", NULL},
        {"up{job!~\"x|y\"}", NULL},
        {"up{job!~\"|x\"}", FILTER("wildcard", "*")},
        {"up{job=~\"|x\"}", NULL},
        {"up{job=~\"x*\"}", NULL},
    };
#undef FILTER
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        struct played_source rig;
        start(&rig, 1, answers);
        played_expect_read(&rig, sent[i].selector, "");
        const char *body = strstr(rig.player.seen, "\r\n\r\n");
        assert_non_null(body);
        const char *filters = strstr(body, "\"filters\":"), *expected = sent[i].filters;
        if (expected == NULL)
            assert_null(filters);
        else if (filters == NULL || strstr(filters, expected) == NULL)
            fail_msg("%s: '%s' is not in: %s", sent[i].selector, expected, body);
        played_stop(&rig);
    }
}

UNIT_TEST(test_names_that_are_not_admitted_are_not_asked_for)
{
    static const char *const answers[] = {PLAYED_ANSWER "[\"up\",\"down\"]", ONE("\"0\":1"),
                                          ONE("\"1000\":1")};
    check_read("{job=\"x\",__name__!=\"down\"}", 3, answers,
               "up{job=\"x\"} 1000:3ff0000000000000\n");
    check_read("{job=\"x\",__name__!~\"down|other\"}", 3, answers,
               "up{job=\"x\"} 1000:3ff0000000000000\n");
}

UNIT_TEST(test_invalid_responses_are_errors)
{
    static const struct {
        const char *answer;
        enum err e;
        const char *words;
    } cases[] = {
        {PLAYED_ANSWER "<html>", ERR_CORRUPT,
         "/api/query: the response cannot be read: expected an array"},
        {PLAYED_ANSWER "", ERR_CORRUPT, "the response cannot be read"},
        {PLAYED_ANSWER "[{\"metric\":\"up\",", ERR_CORRUPT, "the response cannot be read"},
        {PLAYED_OK "Content-Length: 1000\r\n\r\n[", ERR_AGAIN, "/api/query"},
        {"HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", ERR_IO, "status 401"},
        {REFUSAL("400", "no such luck"), ERR_IO, "no such luck"},
        {REFUSAL("400", "No such name for 'tagk': 'x'"), ERR_CORRUPT,
         "the refusal names what was not asked for"},
        {REFUSAL("400", "No such name for 'metrics': 'x'"), ERR_CORRUPT,
         "the refusal names what was not asked for"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_fails(1, &cases[i].answer, cases[i].e, cases[i].words);
    static const char *const twice[] = {ONE("\"0\":1"), PLAYED_ANSWER "[{\"metric\":1}]"};
    check_fails(2, twice, ERR_CORRUPT, "expected a string in double quotes");
}

UNIT_TEST(test_samples_on_both_bounds_of_the_range_are_given)
{
    static const char *const answers[] = {
        ONE("\"0\":4"), ONE("\"9999999999\":1,\"10000000000\":2,\"10000000500\":3,"
                            "\"10000000501\":4")};
    struct played_source rig;
    start(&rig, 2, answers);
    rig.request.min_ms = 10000000000;
    rig.request.max_ms = 10000000500;
    played_expect_read(&rig, "up",
                       "up{job=\"x\"} 10000000000:4000000000000000 10000000500:4008000000000000\n");
    played_stop(&rig);
}

/* The connection ends as it does after a whole answer. */
UNIT_TEST(test_an_answer_cut_short_at_any_byte_is_an_error)
{
    static const char *const whole[] = {ONE("\"0\":1"), ONE("\"1000\":1,\"2000\":1.5")};
    char cut[sizeof ONE("\"1000\":1,\"2000\":1.5")];
    for (unsigned step = 0; step < 2; step++) {
        for (size_t size = sizeof PLAYED_ANSWER - 1; size < strlen(whole[step]); size++) {
            const char *answers[] = {whole[0], cut};
            snprintf(cut, sizeof cut, "%.*s", (int)size, whole[step]);
            answers[step] = cut;
            check_fails(step + 1, answers, ERR_CORRUPT, "the response cannot be read");
        }
    }
}

UNIT_TEST(test_names_of_metrics_and_labels_are_those_of_suggest)
{
    static const char *const answers[] = {PLAYED_ANSWER "[\"node__load1\",\"sys.cpu\"]",
                                          PLAYED_ANSWER "[\"job\",\"U__x_2e_y\"]"};
    struct played_source rig;
    struct buf text;
    start(&rig, 2, answers);
    buf_init(&text, NULL, 1000);
    played_expect_looked_up(&rig, NULL, "__name__", "node_load1;sys.cpu;");
    played_expect_looked_up(&rig, NULL, NULL, "job;x.y;__name__;");
    played_expect_asked(&rig, "GET /api/suggest?type=tagk&max=1000001 ");
    assert_int_equal(played_look_up(&rig, NULL, "job", &text), ERR_UNSUPPORTED);
    buf_fini(&text);
    played_stop(&rig);
}

static void
start_unknown(struct played_source *rig, unsigned variant)
{
    static const char *const answers[] = {REFUSAL("400", "No such name for 'tagk': 'a'"),
                                          ONE("\"0\":1"), ONE("\"1000\":1")};
    (void)variant;
    start(rig, 3, answers);
}

/* A refusal that cannot be read for want of memory is an error of the server. */
UNIT_TEST(test_a_failed_allocation_fails_the_question_and_nothing_leaks)
{
    played_fail_allocations(start_unknown, 0, "up{a=\"\",job=~\"x|y\"}",
                            "up{job=\"x\"} 1000:3ff0000000000000\n",
                            1u << ERR_AGAIN | 1u << ERR_IO);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_come_in_label_order_and_samples_in_time_order),
        cmocka_unit_test(test_other_series_and_points_of_other_times_are_left_out),
        cmocka_unit_test(test_an_unknown_name_is_left_out_of_the_next_request),
        cmocka_unit_test(test_unknown_names_select_no_series),
        cmocka_unit_test(test_names_that_are_not_known_are_asked_for),
        cmocka_unit_test(test_names_are_asked_for_by_the_prefix_of_a_matcher),
        cmocka_unit_test(test_a_refused_time_is_read_in_halves),
        cmocka_unit_test(test_times_are_written_as_opentsdb_takes_them),
        cmocka_unit_test(test_matchers_are_sent_so_that_missing_tags_stay),
        cmocka_unit_test(test_names_that_are_not_admitted_are_not_asked_for),
        cmocka_unit_test(test_invalid_responses_are_errors),
        cmocka_unit_test(test_samples_on_both_bounds_of_the_range_are_given),
        cmocka_unit_test(test_an_answer_cut_short_at_any_byte_is_an_error),
        cmocka_unit_test(test_names_of_metrics_and_labels_are_those_of_suggest),
        cmocka_unit_test(test_a_failed_allocation_fails_the_question_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
