/* opentsdb_test.c - requests byte by byte, the points that each error refers to, and limits at
 * their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/backend/writer_rig.h"
#include "lib/test.h"

enum { BODY = 8000 };

static struct writer_rig rig;

/* --- rig -------------------------------------------------------------------------------------- */

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig, &opentsdb_writer);
    rig.settings.u.opentsdb =
        (struct opentsdb_settings){.url = "http://h:4242", .max_tags = 8, .max_body = BODY};
    rig_open(&rig);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* Adds points a, b, c ... with the labels `job` and `in_stance`, a second apart. */
static void
add_points(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char name[2] = {(char)('a' + i), 0};
        struct item item = rig_item(&rig, "__name__", name, "in_stance", "h:1", "job", "x", NULL);
        item.t_ms += 1000 * i;
        assert_int_equal(rig_must_add(&rig, &item), i);
    }
}

static void
expect_body(const struct writer_step *step, const char *expected)
{
    assert_int_equal(step->http.body.size, strlen(expected));
    assert_memory_equal(step->http.body.at, expected, step->http.body.size);
}

static void
expect_entry(uint32_t number, enum writer_verdict verdict, const char *reason, const char *says)
{
    struct writer_entry entry = rig_entry(&rig, number);
    if (entry.verdict != verdict || strcmp(entry.reason, reason) != 0)
        fail_msg("entry %u: verdict %d, %s: %s", number, entry.verdict, entry.reason, entry.answer);
    expect_in(entry.answer, says);
}

static void
expect_delivered(uint32_t number)
{
    expect_entry(number, VERDICT_DELIVERED, "", "");
}

/* --- requests --------------------------------------------------------------------------------- */

UNIT_TEST(test_a_call_is_an_array_of_points)
{
    static const char body[] = "[{\"metric\":\"a\",\"timestamp\":1700000000000,\"value\":1,"
                               "\"tags\":{\"in_stance\":\"h_.1\",\"job\":\"x\"}},"
                               "{\"metric\":\"b\",\"timestamp\":1700000001000,\"value\":1,"
                               "\"tags\":{\"in_stance\":\"h_.1\",\"job\":\"x\"}}]";
    add_points(2);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), strlen(body));
    struct writer_step step = rig_send(&rig);
    assert_string_equal(step.http.method, "POST");
    assert_string_equal(step.http.url, "http://h:4242/api/put?details");
    assert_string_equal(header_of(&step, "Content-Type"), "application/json");
    assert_null(header_of(&step, "Content-Encoding"));
    assert_null(header_of(&step, "Authorization"));
    expect_body(&step, body);
    assert_int_equal(rig_answer(&rig, 503, "").verdict, VERDICT_RETRY);
    step = rig_send(&rig);
    expect_body(&step, body);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), strlen(body));

    rig.class->call_clear(rig.writer, rig.call);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), 0);
    add_points(1);
    step = rig_send(&rig);
    expect_body(&step, "[{\"metric\":\"a\",\"timestamp\":1700000000000,\"value\":1,"
                       "\"tags\":{\"in_stance\":\"h_.1\",\"job\":\"x\"}}]");
}

UNIT_TEST(test_the_url_keeps_what_it_has)
{
    rig_close(&rig);
    rig.settings.u.opentsdb.url = "https://h/tsd/?sync&sync_timeout=5000";
    rig.settings.u.opentsdb.authorization.credentials.text = "secret";
    rig_open(&rig);
    add_points(1);
    struct writer_step step = rig_send(&rig);
    assert_string_equal(step.http.url, "https://h/tsd/api/put?details&sync&sync_timeout=5000");
    assert_string_equal(header_of(&step, "Authorization"), "Bearer secret");
    rig.settings.u.opentsdb.authorization.credentials.text = NULL;
    rig.settings.u.opentsdb.basic_auth.username = "u";
    rig.settings.u.opentsdb.basic_auth.password.text = "p";
    step = rig_send(&rig);
    assert_string_equal(header_of(&step, "Authorization"), "Basic dTpw");
    rig.settings.u.opentsdb.basic_auth.password.text = "${THERE_IS_NO_SUCH_VARIABLE}";
    step = rig_begin(&rig);
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    expect_in(step.answer, "THERE_IS_NO_SUCH_VARIABLE");
}

/* --- limits ----------------------------------------------------------------------------------- */

UNIT_TEST(test_limits_follow_max_body)
{
    static const struct {
        uint64_t max_body;
        uint32_t samples;
        uint64_t bytes;
    } cases[] = {{512, 50, 512},
                 {8000, 50, 8000},
                 {16000, 100, 16000},
                 {1 << 20, 5000, 1 << 20},
                 {1 << 30, 5000, 1 << 20}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig.settings.u.opentsdb.max_body = cases[i].max_body;
        rig_close(&rig);
        rig_open(&rig);
        struct writer_limits limits = *writer_limits_of(rig.writer);
        assert_true(limits.one_of_a_series);
        assert_false(limits.takes_metadata);
        assert_int_equal(limits.samples, cases[i].samples);
        assert_int_equal(limits.bytes, cases[i].bytes);
        assert_int_equal(limits.bytes_max, cases[i].max_body);
    }
}

UNIT_TEST(test_a_body_is_never_larger_than_allowed)
{
    static char value[BODY];
    memset(value, 'v', sizeof value - 1);
    size_t others = strlen("[{\"metric\":\"a\",\"timestamp\":1700000000000,\"value\":1,"
                           "\"tags\":{\"p\":\"\"}}]");
    /* Alone, it is one byte too long. */
    value[BODY - others + 1] = 0;
    struct item item = rig_item(&rig, "__name__", "a", "p", value, NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "max_body, 8000 bytes");
    /* It just fits. */
    value[BODY - others] = 0;
    item = rig_item(&rig, "__name__", "a", "p", value, NULL);
    rig_must_add(&rig, &item);
    struct writer_step step = rig_send(&rig);
    assert_int_equal(step.http.body.size, BODY);

    /* With another one, it is one byte too long, then it just fits. The comma replaces
     * the bracket. */
    rig.class->call_clear(rig.writer, rig.call);
    item = rig_item(&rig, "__name__", "b", "p", "", NULL);
    rig_must_add(&rig, &item);
    value[BODY - 2 * others + 2] = 0;
    item = rig_item(&rig, "__name__", "a", "p", value, NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_FULL);
    value[BODY - 2 * others + 1] = 0;
    item = rig_item(&rig, "__name__", "a", "p", value, NULL);
    assert_int_equal(rig_must_add(&rig, &item), 1);
    step = rig_send(&rig);
    assert_int_equal(step.http.body.size, BODY);
}

UNIT_TEST(test_a_point_of_two_million_bytes_is_unfit)
{
    enum { LONG = 2 * 1024 * 1024 };
    char *value = malloc(LONG);
    assert_non_null(value);
    memset(value, '_', LONG);
    value[LONG - 1] = 0;
    struct item item = rig_item(&rig, "__name__", "a", "p", value, NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "max_body");
    free(value);
    add_points(1);
}

UNIT_TEST(test_a_call_has_one_point_of_a_series)
{
    add_points(20);
    struct item item = rig_item(&rig, "__name__", "c", "in_stance", "h:1", "job", "x", NULL);
    item.t_ms = 1;
    item.series_hash = 99; /* relabelling may turn two series into one */
    assert_int_equal(rig_add(&rig, &item), WRITER_FULL);
    item = rig_item(&rig, "__name__", "c", "in_stance", "h:2", "job", "x", NULL);
    assert_int_equal(rig_must_add(&rig, &item), 20);
    rig.class->call_clear(rig.writer, rig.call);
    assert_int_equal(rig_must_add(&rig, &item), 0);
}

UNIT_TEST(test_an_item_that_opentsdb_cannot_store_is_unfit)
{
    struct item item = rig_item(&rig, "__name__", "a", "p", "q", NULL);
    item.kind = ITEM_HISTOGRAM;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "histograms");
    item.kind = ITEM_EXEMPLAR;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "exemplars");
    item.kind = ITEM_METADATA;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    item.kind = ITEM_FLOAT;
    item.bits = STALE_NAN_BITS;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "finite");
    item = rig_item(&rig, "__name__", "a", NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "external_labels");
    item = rig_item(&rig, "__name__", "a", "b", "1", "c", "1", "d", "1", "e", "1", "f", "1", "g",
                    "1", "h", "1", "i", "1", "j", "1", NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "9 labels: OpenTSDB allows at most 8 tags");
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), 0);
    add_points(1);
}

UNIT_TEST(test_nothing_is_lost_when_memory_is_short)
{
    enum { POINTS = 70 }; /* more than the first tables hold */
    unsigned refused = 0;
    rig.settings.u.opentsdb.max_body = 100000;
    for (unsigned i = 0; i < POINTS; i++) {
        char value[20];
        snprintf(value, sizeof value, "%u", i);
        struct item item = rig_item(&rig, "__name__", "a", "p", value, NULL);
        for (uint64_t nth = 1;; nth++) {
            mem_fail_nth(nth, false);
            enum writer_add added = rig_add(&rig, &item);
            mem_fail_nth(0, false);
            if (added == WRITER_ADDED) break;
            assert_int_equal(added, WRITER_NO_MEMORY);
            refused++;
        }
    }
    assert_true(refused >= 4);
    for (uint64_t nth = 1;; nth++) {
        mem_fail_nth(nth, false);
        struct writer_step step = rig_begin(&rig);
        mem_fail_nth(0, false);
        if (step.next == WRITER_SEND) {
            json_t *array =
                json_loadb((const char *)step.http.body.at, step.http.body.size, 0, NULL);
            assert_int_equal(json_array_size(array), POINTS);
            json_decref(array);
            break;
        }
        assert_int_equal(step.verdict, VERDICT_RETRY);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

/* A point as the server repeats it: tags in its own order, the value as text. */
#define POINT(name, time)                          \
    "{\"metric\":\"" name "\",\"timestamp\":" time \
    ",\"value\":\"1\",\"tags\":{\"job\":\"x\",\"in_stance\":\"h_.1\"},\"tsuid\":null}"
#define ERROR(name, time, words) "{\"error\":\"" words "\",\"datapoint\":" POINT(name, time) "}"
#define TOLD(good, bad, errors)  "{\"success\":" good ",\"failed\":" bad ",\"errors\":[" errors "]}"

#define A_UNPARSABLE ERROR("a", "1700000000000", "Unable to parse value to a number")
#define A_UNKNOWN    ERROR("a", "1700000000000", "Unknown metric")
#define A_LATE       ERROR("a", "1700000000000", "Write timedout")
#define B_THROTTLED  ERROR("b", "1.700000001E12", "Please throttle writes: too many")
#define B_UNKNOWN    ERROR("b", "1700000001000", "Unknown metric")
#define C_STORAGE    ERROR("c", "\"1700000002000\"", "Storage exception: no \\\"region\\\"")
#define C_LATE       ERROR("c", "1700000002000", "Write timedout")
#define E_UNKNOWN    ERROR("e", "1700000004000", "Unknown metric")
#define F_LATE       ERROR("f", "1700000005000", "Write timedout")
#define Z_LATE       ERROR("z", "1700000001000", "Timeout exception waiting for storage")

UNIT_TEST(test_success_is_success_in_any_words)
{
    add_points(3);
    assert_int_equal(rig_answer(&rig, 204, "").verdict, VERDICT_DELIVERED);
    assert_int_equal(rig_answer(&rig, 200, TOLD("3", "0", "")).verdict, VERDICT_DELIVERED);
    assert_int_equal(rig_answer(&rig, 200, "fine").verdict, VERDICT_DELIVERED);
    assert_int_equal(rig_answer(&rig, 200, "{}").verdict, VERDICT_DELIVERED);
}

UNIT_TEST(test_refused_points_are_found_and_the_others_delivered)
{
    add_points(6);
    static const char body[] =
        TOLD("1", "5", E_UNKNOWN "," A_UNPARSABLE "," B_THROTTLED "," C_STORAGE "," F_LATE);
    struct writer_step step = rig_answer(&rig, 400, body);
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_entry(0, VERDICT_DEAD, "refused", "Unable to parse value to a number");
    expect_entry(1, VERDICT_THROTTLED, "throttled", "Please throttle writes: too many");
    expect_entry(2, VERDICT_RETRY, "storage", "Storage exception: no \"region\"");
    expect_delivered(3);
    expect_entry(4, VERDICT_DEAD, "unknown_metric", "Unknown metric");
    expect_entry(5, VERDICT_RETRY, "timeout", "Write timedout");
    /* Only the next answer counts. */
    step = rig_answer(&rig, 400, TOLD("5", "1", ERROR("d", "1700000003000", "x")));
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_delivered(0);
    expect_entry(3, VERDICT_DEAD, "refused", "x");
    expect_delivered(5);
    step = rig_answer(&rig, 200, TOLD("5", "1", ERROR("d", "1700000003000", "")));
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_entry(3, VERDICT_DEAD, "refused", "without a reason");
}

UNIT_TEST(test_names_are_found_however_they_were_coded)
{
    struct item item = rig_item(&rig, "U__x", "1", "__name__", "job:a_b", "l.x", "h\xc3\xa9 \n",
                                "time", "\xff", NULL);
    item.t_ms = 5000; /* sent in seconds */
    rig_must_add(&rig, &item);
    item = rig_item(&rig, "__name__", "other", "p", "q", NULL);
    rig_must_add(&rig, &item);
    struct writer_step step = rig_send(&rig);
    json_t *sent = json_loadb((const char *)step.http.body.at, step.http.body.size, 0, NULL);
    json_t *refusal = json_pack("{s:i,s:i,s:[{s:O,s:s}]}", "success", 1, "failed", 1, "errors",
                                "datapoint", json_array_get(sent, 0), "error", "no");
    assert_non_null(refusal);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(sent, 0), "timestamp")), 5);
    char *text = json_dumps(refusal, JSON_ENSURE_ASCII);
    assert_int_equal(rig_answer(&rig, 400, text).verdict, VERDICT_MIXED);
    expect_entry(0, VERDICT_DEAD, "refused", "no");
    expect_delivered(1);
    free(text);
    json_decref(refusal);
    json_decref(sent);
}

UNIT_TEST(test_a_refusal_that_names_no_point_halves_the_call)
{
    static const char *const bodies[] = {
        TOLD("2", "1", ERROR("z", "1700000000000", "Unknown metric")),
        TOLD("2", "1", ERROR("a", "1700000000001", "Unknown metric")), /* another time */
        TOLD("2", "1", ERROR("a b", "1700000000000", "Unknown metric")),
        TOLD("2", "1", "{\"datapoint\":null,\"error\":\"no\"}"),
        TOLD("2", "1", "{\"datapoint\":{\"metric\":7,\"tags\":[]},\"error\":\"no\"}"),
        TOLD("2", "1",
             "{\"datapoint\":{\"metric\":\"a\",\"tags\":{\"job\":\"x\",\"in_stance\":1}},"
             "\"error\":\"no\"}"),
        TOLD("2", "1", "{}"),
        TOLD("2", "1", ""), /* without details */
        TOLD("1", "2", ERROR("a", "1700000000000", "Unknown metric")),
        "{\"success\":2,\"failed\":1}",
        "{\"success\":2,\"failed\":1,\"errors\":[{\"datapoint\":" /* cut */,
        "{\"success\":2,\"failed\":1,\"errors\":[7]}",
        "{\"success\":2,\"failed\":1,\"errors\":[]} and more",
        "no JSON",
        "",
    };
    add_points(3);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct writer_step step = rig_answer(&rig, 400, bodies[i]);
        if (step.verdict != VERDICT_SOME_DEAD) fail_msg("%s: %d", bodies[i], step.verdict);
    }
}

UNIT_TEST(test_one_point_alone_is_meant_in_any_case)
{
    add_points(1);
    struct writer_step step =
        rig_answer(&rig, 400, TOLD("0", "1", "{\"datapoint\":null,\"error\":\"Unknown metric\"}"));
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_entry(0, VERDICT_DEAD, "unknown_metric", "Unknown metric");
    step =
        rig_answer(&rig, 400, TOLD("0", "1", "{\"datapoint\":null,\"error\":\"Please throttle\"}"));
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_entry(0, VERDICT_THROTTLED, "throttled", "Please throttle");
    step = rig_answer(&rig, 400, TOLD("0", "1", ""));
    assert_int_equal(step.verdict, VERDICT_SOME_DEAD);
    expect_in(step.answer, "failed");
}

UNIT_TEST(test_a_permanent_refusal_outweighs_a_temporary_one)
{
    add_points(2);
    struct writer_step step = rig_answer(&rig, 400, TOLD("1", "2", A_UNKNOWN "," A_LATE));
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_entry(0, VERDICT_DEAD, "unknown_metric", "Unknown metric");
    expect_delivered(1);
}

UNIT_TEST(test_unlisted_timeouts_and_throttling_repeat_the_unlisted_points)
{
    add_points(3);
    static const char *const bodies[] = {
        "{\"success\":0,\"failed\":2,\"timeouts\":2,\"errors\":[]}",
        "{\"success\":1,\"failed\":0,\"timeouts\":2}",
        "{\"success\":1,\"failed\":3,\"timeouts\":2,\"errors\":[" B_UNKNOWN "]}",
        TOLD("1", "2", B_UNKNOWN "," Z_LATE),
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct writer_step step = rig_answer(&rig, 400, bodies[i]);
        if (step.verdict != VERDICT_MIXED) fail_msg("%s: %d", bodies[i], step.verdict);
        expect_entry(0, VERDICT_RETRY, "untold", "the response does not say which");
        if (i < 2)
            expect_entry(1, VERDICT_RETRY, "untold", "the response does not say which");
        else
            expect_entry(1, VERDICT_DEAD, "unknown_metric", "Unknown metric");
        expect_entry(2, VERDICT_RETRY, "untold", "the response does not say which");
    }
    /* Timeouts named by the response count. */
    static const char refusal[] =
        "{\"success\":2,\"failed\":0,\"timeouts\":1,\"errors\":[" C_LATE "]}";
    struct writer_step step = rig_answer(&rig, 400, refusal);
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_delivered(0);
    expect_delivered(1);
    expect_entry(2, VERDICT_RETRY, "timeout", "Write timedout");
    step = rig_answer(&rig, 400, TOLD("2", "1", ERROR("z", "1", "Please throttle writes")));
    assert_int_equal(step.verdict, VERDICT_MIXED);
    expect_entry(1, VERDICT_THROTTLED, "throttled", "the response does not say which");
}

UNIT_TEST(test_errors_of_the_whole_request_are_distinguished)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *reason;
        const char *says;
    } cases[] = {
        {400,
         "{\"error\":{\"code\":400,\"message\":\"Chunked request not "
         "supported.\",\"details\":\"x\","
         "\"trace\":\"net.opentsdb...\"}}",
         VERDICT_TOO_LARGE, "chunked", "max_body"},
        {400, "{\"error\":{\"code\":400,\"message\":\"Unable to parse the given JSON\"}}",
         VERDICT_SOME_DEAD, "http_400", "Unable to parse the given JSON"},
        {400, "{\"error\":{\"code\":400,\"message\":\"Please throttle writes\"}}",
         VERDICT_THROTTLED, "throttled", "Please throttle writes"},
        {400, "{\"error\":{\"message\":\"Timeout exception\"}}", VERDICT_RETRY, "timeout",
         "Timeout exception"},
        {413, "", VERDICT_TOO_LARGE, "http_413", ""},
        {401, "", VERDICT_BLOCKED, "http_401", ""},
        {404, "{\"error\":{\"code\":404,\"message\":\"Endpoint not found\"}}", VERDICT_BLOCKED,
         "http_404", "Endpoint not found"},
        {429, "", VERDICT_THROTTLED, "http_429", ""},
        {500, "{\"error\":{\"code\":500,\"message\":\"Chunked request not supported\"}}",
         VERDICT_RETRY, "http_500", ""},
        {503, TOLD("0", "3", ""), VERDICT_RETRY, "http_503", ""},
    };
    add_points(3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct writer_step step = rig_answer(&rig, cases[i].status, cases[i].body);
        if (step.verdict != cases[i].verdict || strcmp(step.reason, cases[i].reason) != 0)
            fail_msg("%u %s: %d %s", cases[i].status, cases[i].body, step.verdict, step.reason);
        expect_in(step.answer, cases[i].says);
    }
    struct http_call_answer silence = {.failure = HTTP_CALL_BROKEN, .error = "in words"};
    struct writer_step step = rig_judge(&rig, &silence);
    assert_int_equal(step.verdict, VERDICT_RETRY);
    assert_string_equal(step.reason, "connection_broken");
}

UNIT_TEST(test_an_answer_without_memory_is_waited_for)
{
    add_points(2);
    mem_fail_nth(1, false);
    struct writer_step step =
        rig_answer(&rig, 400, TOLD("1", "1", ERROR("a", "1700000000000", "with an \\\" escape")));
    mem_fail_nth(0, false);
    assert_int_equal(step.verdict, VERDICT_RETRY);
    assert_string_equal(step.reason, "no_memory");
}

/* --- checks ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_check_asks_for_the_version)
{
    char what[WRITER_ANSWER_BYTES] = "";
    struct writer_step step = {.next = WRITER_DONE};
    assert_true(rig.class->check(rig.writer, 0, NULL, &step, what));
    assert_int_equal(step.next, WRITER_SEND);
    assert_string_equal(step.http.method, "GET");
    assert_string_equal(step.http.url, "http://h:4242/api/version");
    assert_int_equal(writer_limits_of(rig.writer)->start_check, 1); /* it is made at the start */
    expect_in(what, "/api/version");
    struct http_call_answer answer = answer_of(200, "{\"version\":\"2.4.1\"}");
    assert_true(rig.class->check(rig.writer, 0, &answer, &step, what));
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    expect_in(step.answer, "2.4.1");
    static const unsigned none[] = {400, 404, 405}; /* of other servers that accept /api/put */
    for (unsigned i = 0; i < 3; i++) {
        answer = answer_of(none[i], "unexpected path");
        assert_true(rig.class->check(rig.writer, 0, &answer, &step, what));
        assert_int_equal(step.verdict, VERDICT_DELIVERED);
        assert_true(step.is_unproven);
    }
    answer = answer_of(401, "who are you");
    assert_true(rig.class->check(rig.writer, 0, &answer, &step, what));
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_false(rig.class->check(rig.writer, 2, NULL, &step, what));
}

UNIT_TEST(test_a_check_asks_with_no_points_whether_it_takes_any)
{
    char what[WRITER_ANSWER_BYTES] = "";
    struct writer_step step = {.next = WRITER_DONE};
    assert_true(rig.class->check(rig.writer, 1, NULL, &step, what));
    assert_string_equal(step.http.method, "POST");
    assert_true(bytes_equal_text(step.http.body, "[]"));
    struct http_call_answer answer = answer_of(400, "{\"error\":{\"code\":400}}");
    assert_true(rig.class->check(rig.writer, 1, &answer, &step, what));
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    expect_in(step.answer, "answered 400, so only a sample shows");
    answer = answer_of(401, "who are you");
    assert_true(rig.class->check(rig.writer, 1, &answer, &step, what));
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    expect_in(step.answer, "who are you");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_is_an_array_of_points),
        TEST(test_the_url_keeps_what_it_has),
        TEST(test_limits_follow_max_body),
        TEST(test_a_body_is_never_larger_than_allowed),
        TEST(test_a_point_of_two_million_bytes_is_unfit),
        TEST(test_a_call_has_one_point_of_a_series),
        TEST(test_an_item_that_opentsdb_cannot_store_is_unfit),
        TEST(test_nothing_is_lost_when_memory_is_short),
        TEST(test_success_is_success_in_any_words),
        TEST(test_refused_points_are_found_and_the_others_delivered),
        TEST(test_names_are_found_however_they_were_coded),
        TEST(test_a_refusal_that_names_no_point_halves_the_call),
        TEST(test_one_point_alone_is_meant_in_any_case),
        TEST(test_a_permanent_refusal_outweighs_a_temporary_one),
        TEST(test_unlisted_timeouts_and_throttling_repeat_the_unlisted_points),
        TEST(test_errors_of_the_whole_request_are_distinguished),
        TEST(test_an_answer_without_memory_is_waited_for),
        TEST(test_a_check_asks_for_the_version),
        TEST(test_a_check_asks_with_no_points_whether_it_takes_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
