/* influxdb_test.c - requests byte by byte, verdicts on answers, and limits at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "lib/backend/writer_rig.h"
#include "lib/test.h"

static struct writer_rig rig;

/* --- rig -------------------------------------------------------------------------------------- */

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig, &influxdb_writer);
    rig.settings.u.influxdb =
        (struct influxdb_settings){.url = "http://h:8086", .version = INFLUXDB_1, .database = "d"};
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void
add_up(void)
{
    struct item item = rig_item(&rig, "__name__", "up", "job", "x", NULL);
    assert_int_equal(rig_must_add(&rig, &item), 0);
}

/* Returns the decompressed body; the caller frees it. */
static char *
unpacked(struct bytes body)
{
    enum { ROOM = 10 * 1024 * 1024 };
    char *text = malloc(ROOM);
    assert_non_null(text);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)body.at,
                  .avail_in = (uInt)body.size,
                  .next_out = (Bytef *)text,
                  .avail_out = ROOM - 1};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    text[z.total_out] = 0;
    inflateEnd(&z);
    return text;
}

static void
expect_lines(const struct writer_step *step, const char *lines)
{
    char *text = unpacked(step->http.body);
    assert_string_equal(text, lines);
    free(text);
}

/* --- requests --------------------------------------------------------------------------------- */

UNIT_TEST(test_a_call_is_its_lines_compressed)
{
    rig_open(&rig);
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3, .sum_bits = STALE_NAN_BITS};
    struct item item = rig_item(&rig, "__name__", "up", "job", "a b", NULL);
    rig_must_add(&rig, &item);
    item.bits = STALE_NAN_BITS;
    item.t_ms++;
    rig_must_add(&rig, &item);
    item = rig_item(&rig, "__name__", "lag", NULL);
    item.kind = ITEM_HISTOGRAM;
    item.histogram = &h;
    rig_must_add(&rig, &item);
    struct writer_step step = rig_send(&rig);
    assert_string_equal(step.http.method, "POST");
    assert_string_equal(step.http.url, "http://h:8086/write?db=d&precision=ms");
    assert_string_equal(header_of(&step, "Content-Encoding"), "gzip");
    assert_string_equal(header_of(&step, "Content-Type"), "text/plain; charset=utf-8");
    assert_null(header_of(&step, "Authorization"));
    assert_true(step.http.answer_bytes_max > 0);
    expect_lines(&step, "up,__name__=up,job=a\\ b value=1 1700000000000\n"
                        "up,__name__=up,job=a\\ b bits=\"7ff0000000000002\" 1700000000001\n"
                        "lag,__name__=lag histogram=\"{\\\"count_int\\\":3,\\\"sum\\\":"
                        "\\\"7ff0000000000002\\\",\\\"schema\\\":0,\\\"zero_threshold\\\":0,"
                        "\\\"zero_count_int\\\":0}\" 1700000000000\n");
}

UNIT_TEST(test_a_call_can_be_sent_again_and_used_again)
{
    static const char line[] = "up,__name__=up,job=x value=1 1700000000000\n";
    rig_open(&rig);
    add_up();
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), strlen(line));
    struct writer_step step = rig_send(&rig);
    expect_lines(&step, line);
    step = rig_answer(&rig, 503, "");
    assert_int_equal(step.verdict, VERDICT_RETRY);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), strlen(line));
    step = rig_send(&rig);
    expect_lines(&step, line);
    rig.class->call_clear(rig.writer, rig.call);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), 0);
    add_up();
    step = rig_send(&rig);
    expect_lines(&step, line);
}

static void
expect_url(const struct influxdb_settings *settings, const char *url)
{
    rig.settings.u.influxdb = *settings;
    rig_open(&rig);
    add_up();
    struct writer_step step = rig_send(&rig);
    assert_string_equal(step.http.url, url);
    rig_close(&rig);
}

UNIT_TEST(test_urls_are_those_of_the_version)
{
    expect_url(&(struct influxdb_settings){.url = "http://h",
                                           .version = INFLUXDB_1,
                                           .database = "a b&c=\xc3\xa9",
                                           .retention_policy = "one week/~.-_"},
               "http://h/write?db=a%20b%26c%3D%C3%A9&rp=one%20week%2F~.-_&precision=ms");
    expect_url(&(struct influxdb_settings){.url = "https://h/influx//?consistency=all",
                                           .version = INFLUXDB_1,
                                           .database = "d"},
               "https://h/influx/write?db=d&precision=ms&consistency=all");
    expect_url(
        &(struct influxdb_settings){
            .url = "http://h:8086/", .version = INFLUXDB_2, .org = "ours?", .bucket = "b/1"},
        "http://h:8086/api/v2/write?org=ours%3F&bucket=b%2F1&precision=ms");
    expect_url(
        &(struct influxdb_settings){.url = "http://h?x=y", .version = INFLUXDB_3, .database = "d"},
        "http://h/api/v2/write?bucket=d&precision=ms&x=y");
    rig_open(&rig);
}

UNIT_TEST(test_a_url_beyond_all_bounds_is_refused)
{
    enum { LONG = 100 * 1000 };
    char *name = malloc(LONG);
    assert_non_null(name);
    memset(name, 'x', LONG);
    name[LONG - 1] = 0;
    rig.settings.u.influxdb.database = name;
    struct writer_options options = {.env = sim_env_env(rig.sim), .settings = &rig.settings};
    assert_int_equal(writer_new(&influxdb_writer, &options, &rig.writer, &rig.why), ERR_INPUT);
    expect_in(rig.why.text, "too long");
    free(name);
    rig.settings.u.influxdb.database = "d";
    rig_open(&rig);
}

static void
expect_authorization(const struct influxdb_settings *settings, const char *expected)
{
    rig.settings.u.influxdb = *settings;
    rig_open(&rig);
    add_up();
    struct writer_step step = rig_send(&rig);
    assert_string_equal(header_of(&step, "Authorization"), expected);
    rig_close(&rig);
}

UNIT_TEST(test_requests_to_each_version_have_credentials)
{
    struct influxdb_settings s = {.url = "http://h", .database = "d", .org = "o", .bucket = "b"};
    s.version = INFLUXDB_1;
    s.basic_auth.username = "u";
    s.basic_auth.password.text = "p";
    expect_authorization(&s, "Basic dTpw");
    s.basic_auth = (struct basic_auth_settings){0};
    s.token.text = "secret";
    s.version = INFLUXDB_2;
    expect_authorization(&s, "Token secret");
    s.version = INFLUXDB_3;
    expect_authorization(&s, "Bearer secret");
    s.token.text = NULL;
    s.token.file = "/does/not/exist";
    rig.settings.u.influxdb = s;
    rig_open(&rig);
    add_up();
    struct writer_step step = rig_begin(&rig);
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "configuration");
    expect_in(step.answer, "/does/not/exist");
}

/* --- answers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_each_answer_leads_somewhere)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {204, "", VERDICT_DELIVERED, "http_204"},
        {200, "", VERDICT_DELIVERED, "http_200"},
        {200, "{\"error\":\"timeout\"}", VERDICT_RETRY, "http_200"},
        {200, "<html>Welcome</html>", VERDICT_BLOCKED, "web_page"},
        {400, "{\"error\":\"unable to parse 'up': missing fields\"}", VERDICT_SOME_DEAD,
         "http_400"},
        {400,
         "{\"error\":\"partial write: field type conflict: input field \\\"value\\\" on "
         "measurement \\\"up\\\" is type float, already exists as type integer dropped=1\"}",
         VERDICT_SOME_DEAD, "http_400"},
        {400, "{\"error\":\"partial write: points beyond retention policy dropped=2\"}\n",
         VERDICT_DEAD, "http_400"},
        {422,
         "{\"code\":\"unprocessable entity\",\"message\":\"failure writing points to database: "
         "partial write: points beyond retention policy dropped=2\"}",
         VERDICT_DEAD, "http_422"},
        /* The count is not at the end, or not the last one, or not a number. */
        {400, "{\"error\":\"partial write: m dropped=2 for database: d\"}", VERDICT_SOME_DEAD,
         NULL},
        {400, "{\"error\":\"partial write: tag value=\\\"dropped=2\\\" dropped=1\"}",
         VERDICT_SOME_DEAD, NULL},
        {400, "{\"error\":\"partial write: dropped=\"}", VERDICT_SOME_DEAD, NULL},
        {400, "{\"error\":\"partial write: dropped=2", VERDICT_SOME_DEAD, NULL},
        {400, "{\"error\":\"dropped=2\"}", VERDICT_SOME_DEAD, NULL},
        {400, "{\"error\":\"precision\"}", VERDICT_SOME_DEAD, NULL},
        {422, "", VERDICT_SOME_DEAD, "http_422"},
        {401, "{\"code\":\"unauthorized\"}", VERDICT_BLOCKED, "http_401"},
        {403, "", VERDICT_BLOCKED, "http_403"},
        {404, "{\"error\":\"database not found: \\\"d\\\"\"}", VERDICT_BLOCKED, "http_404"},
        {500, "{\"error\":\"retention policy not found: x\"}", VERDICT_BLOCKED, "http_500"},
        {500, "{\"error\":\"x: retention policy not found: x\"}", VERDICT_RETRY, "http_500"},
        {413, "", VERDICT_TOO_LARGE, "http_413"},
        {429, "", VERDICT_THROTTLED, "http_429"},
        {503, "", VERDICT_RETRY, "http_503"},
        {500, "{\"error\":\"timeout\"}", VERDICT_RETRY, "http_500"},
        {302, "", VERDICT_BLOCKED, "http_302"},
    };
    rig_open(&rig);
    add_up();
    add_up();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct writer_step step = rig_answer(&rig, cases[i].status, cases[i].body);
        if (step.verdict != cases[i].verdict)
            fail_msg("%u %s: verdict %d", cases[i].status, cases[i].body, step.verdict);
        if (cases[i].reason != NULL) assert_string_equal(step.reason, cases[i].reason);
    }
}

UNIT_TEST(test_a_cut_answer_says_nothing_of_all)
{
    rig_open(&rig);
    add_up();
    struct http_call_answer answer = answer_of(400, "{\"error\":\"partial write: x dropped=1\"}");
    answer.body_cut = true;
    assert_int_equal(rig_judge(&rig, &answer).verdict, VERDICT_SOME_DEAD);
    answer.body_cut = false;
    assert_int_equal(rig_judge(&rig, &answer).verdict, VERDICT_DEAD);
}

UNIT_TEST(test_the_server_says_how_long_to_wait)
{
    rig_open(&rig);
    add_up();
    struct http_call_answer answer = answer_of(429, "");
    answer.retry_after_ns = 7 * NS_PER_S;
    struct writer_step step = rig_judge(&rig, &answer);
    assert_int_equal(step.verdict, VERDICT_THROTTLED);
    assert_int_equal(step.wait_ms, 7000);
    answer.status = 503;
    step = rig_judge(&rig, &answer);
    assert_int_equal(step.verdict, VERDICT_THROTTLED);
    assert_int_equal(step.wait_ms, 7000);
}

UNIT_TEST(test_silence_is_retried)
{
    rig_open(&rig);
    add_up();
    struct http_call_answer answer = {.failure = HTTP_CALL_TIMEOUT, .error = "in words"};
    struct writer_step step = rig_judge(&rig, &answer);
    assert_int_equal(step.verdict, VERDICT_RETRY);
    assert_string_equal(step.answer, "in words");
    answer.failure = HTTP_CALL_TLS;
    assert_int_equal(rig_judge(&rig, &answer).verdict, VERDICT_BLOCKED);
}

/* --- limits ----------------------------------------------------------------------------------- */

UNIT_TEST(test_an_item_that_influxdb_cannot_store_is_unfit)
{
    enum { LONG = 20 * 1024 * 1024 };
    rig_open(&rig);
    struct item item = rig_item(&rig, "__name__", "up", NULL);
    item.kind = ITEM_EXEMPLAR;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "exemplars");
    item.kind = ITEM_METADATA;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    item.kind = ITEM_FLOAT;
    item.t_ms = INT64_MAX;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "outside the range of InfluxDB");

    char *large = malloc(LONG);
    assert_non_null(large);
    memset(large, '\n', LONG - 1);
    large[LONG - 1] = 0;
    item = rig_item(&rig, "__name__", "up", "p", large, NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT); /* larger than any call */
    expect_in(rig.why.text, "too long");
    large[70000] = 0;
    item = rig_item(&rig, "__name__", "up", "p", large, NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "65535");
    free(large);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), 0);
    add_up();
    struct writer_step step = rig_send(&rig);
    expect_lines(&step, "up,__name__=up,job=x value=1 1700000000000\n");
}

UNIT_TEST(test_a_call_takes_no_more_than_its_bytes)
{
    static char value[20001];
    memset(value, 'v', sizeof value - 1);
    rig_open(&rig);
    struct writer_limits limits = *writer_limits_of(rig.writer);
    assert_false(limits.one_of_a_series);
    assert_false(limits.takes_metadata);
    assert_true(limits.concurrency * limits.bytes <= 2 * 1024 * 1024);
    assert_true(limits.bytes <= limits.bytes_max);
    struct item item = rig_item(&rig, "__name__", "up", "p", value, NULL);
    uint64_t before = 0, size = 0;
    while (rig_add(&rig, &item) == WRITER_ADDED) {
        before = size;
        size = rig.class->bytes(rig.writer, rig.call);
        assert_true(size <= limits.bytes_max);
    }
    assert_int_equal(rig_add(&rig, &item), WRITER_FULL);
    uint64_t line = size - before;
    assert_true(size + line > limits.bytes_max);
    /* One that just fits. */
    size_t short_by = (size_t)(line - (limits.bytes_max - size));
    assert_true(short_by < sizeof value - 1);
    value[sizeof value - 1 - short_by] = 0;
    item = rig_item(&rig, "__name__", "up", "p", value, NULL);
    rig_must_add(&rig, &item);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), limits.bytes_max);
    item = rig_item(&rig, "__name__", "a", NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_FULL);
    struct writer_step step = rig_send(&rig);
    char *text = unpacked(step.http.body);
    assert_int_equal(strlen(text), limits.bytes_max);
    free(text);
    rig.class->call_clear(rig.writer, rig.call);
    rig_must_add(&rig, &item);
}

UNIT_TEST(test_nothing_is_lost_when_memory_is_short)
{
    rig_open(&rig);
    unsigned refused = 0, added = 0;
    while (added < 100) {
        struct item item = rig_item(&rig, "__name__", "up", "job", "x", NULL);
        mem_fail_nth(1, false); /* the first allocation fails */
        enum writer_add what = rig_add(&rig, &item);
        mem_fail_nth(0, false);
        if (what == WRITER_NO_MEMORY) {
            refused++;
            assert_int_equal(rig_add(&rig, &item), WRITER_ADDED);
        }
        added++;
    }
    assert_true(refused > 0);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call),
                     100 * strlen("up,__name__=up,job=x "
                                  "value=1 1700000000000\n"));
    for (uint64_t nth = 1;; nth++) {
        mem_fail_nth(nth, false);
        struct writer_step step = rig_begin(&rig);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (step.next == WRITER_SEND) {
            assert_false(fired);
            char *text = unpacked(step.http.body);
            assert_int_equal(strlen(text), rig.class->bytes(rig.writer, rig.call));
            free(text);
            break;
        }
        assert_int_equal(step.verdict, VERDICT_RETRY);
        assert_string_equal(step.reason, "no_memory");
    }
}

/* --- checks ----------------------------------------------------------------------------------- */

static struct writer_step
check(uint32_t number, const struct http_call_answer *answer)
{
    char what[WRITER_ANSWER_BYTES] = "";
    struct writer_step step = {.next = WRITER_DONE};
    assert_true(rig.class->check(rig.writer, number, answer, &step, what));
    assert_true(what[0] != 0);
    return step;
}

static enum writer_verdict
checked(uint32_t number, unsigned status, const char *body)
{
    struct http_call_answer answer = answer_of(status, body);
    struct writer_step step = check(number, &answer);
    assert_int_equal(step.next, WRITER_DONE);
    return step.verdict;
}

UNIT_TEST(test_a_check_pings_and_writes_nothing)
{
    char what[WRITER_ANSWER_BYTES];
    struct writer_step step;
    rig_open(&rig);
    step = check(0, NULL);
    assert_int_equal(step.next, WRITER_SEND);
    assert_string_equal(step.http.method, "GET");
    assert_string_equal(step.http.url, "http://h:8086/ping");
    assert_int_equal(checked(0, 204, ""), VERDICT_DELIVERED);
    assert_int_equal(checked(0, 503, ""), VERDICT_RETRY);
    step = check(1, NULL);
    assert_string_equal(step.http.method, "POST");
    assert_string_equal(step.http.url, "http://h:8086/write?db=d&precision=ms");
    assert_int_equal(step.http.body.size, 0);
    assert_null(header_of(&step, "Content-Encoding"));
    assert_int_equal(checked(1, 204, ""), VERDICT_DELIVERED);
    struct http_call_answer refuses = answer_of(400, "{\"message\":\"writing requires points\"}");
    step = check(1, &refuses);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_true(step.is_unproven);
    expect_in(step.answer,
              "whether writes are accepted: {\"message\":\"writing requires points\"}");
    assert_int_equal(checked(1, 401, ""), VERDICT_BLOCKED);
    assert_int_equal(checked(1, 404, ""), VERDICT_BLOCKED);
    assert_int_equal(checked(1, 500, "{\"error\":\"retention policy not found: x\"}"),
                     VERDICT_BLOCKED);
    assert_false(rig.class->check(rig.writer, 2, NULL, &step, what));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_is_its_lines_compressed),
        TEST(test_a_call_can_be_sent_again_and_used_again),
        TEST(test_urls_are_those_of_the_version),
        TEST(test_a_url_beyond_all_bounds_is_refused),
        TEST(test_requests_to_each_version_have_credentials),
        TEST(test_each_answer_leads_somewhere),
        TEST(test_a_cut_answer_says_nothing_of_all),
        TEST(test_the_server_says_how_long_to_wait),
        TEST(test_silence_is_retried),
        TEST(test_an_item_that_influxdb_cannot_store_is_unfit),
        TEST(test_a_call_takes_no_more_than_its_bytes),
        TEST(test_nothing_is_lost_when_memory_is_short),
        TEST(test_a_check_pings_and_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
