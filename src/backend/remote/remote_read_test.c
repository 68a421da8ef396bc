/* remote_read_test.c - a source by remote read, whose server gives scripted answers: its requests,
 * and the results of answers, hostile ones above all. */
#include "lib/test.h"

#include "lib/backend/played_source.h"
#include "lib/wire/random_labels.h"
#include "model/select.h"
#include "model/selector.h"
#include "wire/remote/remote_read.h"
#include "wire/snappy.h"

#define STREAMED "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
#define SAMPLES  "application/x-protobuf"

enum { COUNT = 3 };
static const int64_t times[COUNT] = {1000, 2000, 3000};
static const uint64_t values[COUNT] = {7, 8, 9};

/* Samples of both series of the answers: the third sample is beyond the request. */
#define WHOLE "{a=\"1\", dc=\"one\"} 1000:7 2000:8\n{a=\"2\", dc=\"one\"} 1000:7 2000:8\n"

static void
begin(struct played_source *rig)
{
    static struct named_text external = {"dc", "one"};
    played_init(rig, SOURCE_REMOTE_READ);
    rig->settings.timeout_ms = 10 * 1000; /* longer than any test takes */
    rig->settings.external_labels = (struct named_texts){&external, 1};
    rig->settings.u.remote_read.url = rig->url;
    rig->path = "/api/v1/read";
    rig->request.tenant = bytes_of_text("team");
    rig->request.min_ms = 500;
    rig->request.max_ms = 2500;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Adds an answer that announces `length` bytes of body, and returns it. */
static struct buf *
put_head(struct played_source *rig, const char *status, const char *type, size_t body)
{
    struct buf *to = played_answer(rig, "");
    buf_printf(to, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status, type,
               body);
    return to;
}

/* Adds `count` such answers of the server. */
static void
put_answers(struct played_source *rig, unsigned count, const char *status, const char *type,
            struct bytes body)
{
    for (unsigned i = 0; i < count; i++)
        buf_put_bytes(put_head(rig, status, type, body.size), body);
}

static void
put_answer(struct played_source *rig, const char *status, const char *type, struct bytes body)
{
    put_answers(rig, 1, status, type, body);
}

static enum err
write_piece(void *context, struct bytes piece, struct why *why)
{
    (void)why;
    buf_put_bytes(context, piece);
    return OK;
}

/* Makes {a="1"} and {a="2"}, each with three samples. */
static void
make_streamed(struct buf *to, enum rr_notice notice)
{
    struct rr_sink sink = {write_piece, to};
    struct rr_stream *stream;
    assert_int_equal(rr_stream_new(&sink, 4096, NULL, &stream), OK);
    assert_int_equal(rr_stream_query(stream, 0, NULL), OK);
    for (int i = 0; i < 2; i++) {
        struct buf labels;
        buf_init(&labels, NULL, 100);
        test_put_texts(&labels, "a", i == 0 ? "1" : "2");
        assert_int_equal(rr_stream_series(stream, buf_bytes(&labels), NULL), OK);
        assert_int_equal(rr_stream_floats(stream, COUNT, times, values, NULL), OK);
        buf_fini(&labels);
    }
    if (notice != 0) {
        const char *text = notice == RR_NOTICE_DOWNSAMPLED ? "1h" : "a page\nis gone";
        enum err e = rr_stream_notice(stream, notice, bytes_of_text(text), NULL);
        assert_int_equal(e, OK);
    }
    assert_int_equal(rr_stream_end(stream, NULL), OK);
    rr_stream_free(stream);
}

static void
make_samples(struct buf *to)
{
    struct rr_sink sink = {write_piece, to};
    struct rr_samples *samples;
    uint64_t size;
    assert_int_equal(rr_samples_new(NULL, &samples), OK);
    assert_int_equal(rr_samples_query(samples), OK);
    for (int i = 0; i < 2; i++) {
        struct buf labels;
        buf_init(&labels, NULL, 100);
        test_put_texts(&labels, "a", i == 0 ? "1" : "2");
        assert_int_equal(rr_samples_series(samples, buf_bytes(&labels)), OK);
        assert_int_equal(rr_samples_floats(samples, COUNT, times, values), OK);
        buf_fini(&labels);
    }
    assert_int_equal(rr_samples_end(samples, &size), OK);
    assert_int_equal(rr_samples_write(samples, &sink, NULL), OK);
    rr_samples_free(samples);
}

/* Adds `count` answers with both series, each without its last bytes. */
static void
put_bodies(struct played_source *rig, unsigned count, const char *type, size_t cut)
{
    struct buf body;
    buf_init(&body, NULL, 1 << 20);
    if (strcmp(type, SAMPLES) == 0)
        make_samples(&body);
    else
        make_streamed(&body, 0);
    put_answers(rig, count, "200 Fine", type, bytes_of(body.at, body.size - cut));
    buf_fini(&body);
}

/* --- reading ---------------------------------------------------------------------------------- */

UNIT_TEST(test_both_forms_of_answers_are_read)
{
    static const char *const types[] = {STREAMED, SAMPLES};
    for (int i = 0; i < 2; i++) {
        struct played_source rig;
        begin(&rig);
        put_bodies(&rig, 1, types[i], 0);
        played_start(&rig);
        played_expect_read(&rig, NULL, WHOLE);
        played_stop(&rig);
    }
}

UNIT_TEST(test_samples_on_both_bounds_of_the_range_are_given)
{
    static const char *const types[] = {STREAMED, SAMPLES};
    for (int i = 0; i < 2; i++) {
        struct played_source rig;
        begin(&rig);
        rig.request.min_ms = times[0];
        rig.request.max_ms = times[1];
        put_bodies(&rig, 1, types[i], 0);
        played_start(&rig);
        played_expect_read(&rig, NULL, WHOLE); /* two samples of each series */
        played_stop(&rig);
    }
}

/* Checks the message of the last request. */
static void
check_request(struct played_source *rig, struct arena *arena, struct rr_request *ret_request,
              struct buf *to)
{
    const char *body = strstr(rig->player.seen, "\r\n\r\n");
    const char *length = strstr(rig->player.seen, "Content-Length: ");
    assert_non_null(body);
    assert_non_null(length);
    struct bytes packed = bytes_of(body + 4, strtoul(length + 16, NULL, 10));
    assert_int_equal(snappy_unpack(packed, to, NULL), OK);
    assert_int_equal(rr_decode(buf_bytes(to), arena, ret_request, NULL), OK);
    assert_int_equal(ret_request->query_count, 1);
    assert_int_equal(ret_request->queries[0].min_ms, 500);
    assert_int_equal(ret_request->queries[0].max_ms, 2500);
}

UNIT_TEST(test_a_request_says_what_is_wanted)
{
    for (int with_sets = 0; with_sets < 2; with_sets++) {
        struct played_source rig;
        struct arena arena;
        struct rr_request request;
        struct buf message;
        arena_init(&arena, NULL, 0, 0);
        buf_init(&message, NULL, 4096);
        begin(&rig);
        rig.settings.u.remote_read.tenant_header = "X-Scope-OrgID";
        rig.request.partial = with_sets;
        put_bodies(&rig, 1, STREAMED, 0);
        played_start(&rig);
        played_expect_read(&rig, with_sets ? "{a=\"1\",b!~\"x.*\"}" : NULL, WHOLE);
        played_expect_asked(&rig, "POST /api/v1/read HTTP");
        played_expect_asked(&rig, "\r\nX-Scope-OrgID: team\r\n");
        played_expect_asked(&rig, "\r\nX-Prometheus-Remote-Read-Version: 0.1.0\r\n");
        played_expect_asked(&rig, with_sets ? "\r\nX-Firekeep-Notices: partial\r\n"
                                            : "\r\nX-Firekeep-Notices: errors\r\n");
        check_request(&rig, &arena, &request, &message);
        assert_int_equal(request.answer, RR_STREAMED_XOR_CHUNKS);
        const struct rr_query *q = &request.queries[0];
        assert_int_equal(q->matcher_count, with_sets ? 2 : 1);
        assert_true(bytes_equal_text(q->matchers[0].name, with_sets ? "a" : "__name__"));
        assert_true(bytes_equal_text(q->matchers[0].value, with_sets ? "1" : ".*"));
        assert_int_equal(q->matchers[q->matcher_count - 1].type, with_sets ? 3 : 2);
        played_stop(&rig);
        buf_fini(&message);
        arena_fini(&arena);
    }
}

/* The reader leaves the other matchers to its caller: see views/source.c. */
UNIT_TEST(test_a_request_has_as_many_matchers_as_a_server_accepts)
{
    enum { MORE = RR_MATCHERS_MAX + 44 };
    static struct matcher *matchers[MORE];
    struct matcher_set set = {matchers, MORE};
    struct played_source rig;
    struct arena arena;
    struct rr_request request;
    struct buf message;
    for (int i = 0; i < MORE; i++) {
        enum err e = matcher_new(MATCH_EQUAL, bytes_of_text("a"), bytes_of_text("1"), NULL,
                                 &matchers[i], NULL);
        assert_int_equal(e, OK);
    }
    arena_init(&arena, NULL, 0, 0);
    buf_init(&message, NULL, 1 << 16);
    begin(&rig);
    rig.request.sets = &set;
    rig.request.set_count = 1;
    put_bodies(&rig, 1, STREAMED, 0);
    played_start(&rig);
    played_expect_read(&rig, NULL, WHOLE);
    check_request(&rig, &arena, &request, &message);
    assert_int_equal(request.queries[0].matcher_count, RR_MATCHERS_MAX);
    played_stop(&rig);
    buf_fini(&message);
    arena_fini(&arena);
    for (int i = 0; i < MORE; i++)
        matcher_free(matchers[i]);
}

UNIT_TEST(test_answers_of_another_form_are_not_read)
{
    static const struct {
        const char *status, *type;
        enum remote_read_message wanted;
    } cases[] = {
        {"200 Fine", "text/plain", REMOTE_READ_AUTO},
        {"200 Fine", SAMPLES, REMOTE_READ_STREAMED},
        {"200 Fine", STREAMED, REMOTE_READ_SAMPLES},
        {"204 None", STREAMED, REMOTE_READ_AUTO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct played_source rig;
        begin(&rig);
        rig.settings.u.remote_read.protobuf = cases[i].wanted;
        put_answer(&rig, cases[i].status, cases[i].type, bytes_of(NULL, 0));
        played_start(&rig);
        played_expect_failure(&rig, NULL, ERR_UNSUPPORTED, "/api/v1/read: responds with status 20");
        played_stop(&rig);
    }
}

UNIT_TEST(test_an_omission_is_a_warning_and_an_aborted_stream_an_error)
{
    static const enum rr_notice notices[] = {RR_NOTICE_LEFT_OUT, RR_NOTICE_ERROR};
    for (int i = 0; i < 2; i++) {
        struct played_source rig;
        struct buf body;
        buf_init(&body, NULL, 1 << 20);
        make_streamed(&body, notices[i]);
        begin(&rig);
        put_answer(&rig, "200 Fine", STREAMED, buf_bytes(&body));
        played_start(&rig);
        if (i == 0)
            played_expect_read(&rig, NULL, WHOLE "warning: a page is gone\n");
        else
            played_expect_failure(&rig, NULL, ERR_CORRUPT, "/api/v1/read: a page is gone");
        played_stop(&rig);
        buf_fini(&body);
    }
}

UNIT_TEST(test_downsampled_samples_are_a_warning_or_noted_in_the_control)
{
    for (int i = 0; i < 2; i++) {
        struct played_source rig;
        struct query_control control = {.env = NULL};
        struct buf body;
        buf_init(&body, NULL, 1 << 20);
        make_streamed(&body, RR_NOTICE_DOWNSAMPLED);
        begin(&rig);
        put_answer(&rig, "200 Fine", STREAMED, buf_bytes(&body));
        played_start(&rig);
        rig.request.control = &control;
        rig.request.shows_warnings = i == 0;
        played_expect_read(&rig, NULL,
                           i == 1 ? WHOLE
                                  : WHOLE "warning: samples are downsampled to 1h; each is the "
                                          "last one of its window\n");
        assert_int_equal(thinned_to(&control), i == 0 ? 0 : 3600 * 1000);
        played_stop(&rig);
        buf_fini(&body);
    }
}

UNIT_TEST(test_a_truncated_or_malformed_answer_is_damage)
{
    static const char *const types[] = {STREAMED, SAMPLES};
    for (size_t i = 0; i < 4; i++) {
        struct played_source rig;
        begin(&rig);
        if (i < 2)
            put_bodies(&rig, 1, types[i], 3);
        else
            put_answer(&rig, "200 Fine", types[i - 2], bytes_of_text("something else altogether"));
        played_start(&rig);
        played_expect_failure(&rig, NULL, ERR_CORRUPT, "/api/v1/read: ");
        played_expect_trouble(&rig, TROUBLE_DAMAGED);
        played_stop(&rig);
    }
}

/* The connection ends before the announced bytes have come. */
UNIT_TEST(test_an_answer_cut_short_at_any_byte_is_an_error)
{
    static const char *const types[] = {STREAMED, SAMPLES};
    for (int i = 0; i < 2; i++) {
        struct buf body;
        buf_init(&body, NULL, 1 << 20);
        if (i == 0)
            make_streamed(&body, 0);
        else
            make_samples(&body);
        for (size_t size = 0; size < body.size; size++) {
            struct played_source rig;
            struct buf text;
            begin(&rig);
            rig.settings.timeout_ms = 50; /* less than the pause before a second try */
            buf_put(put_head(&rig, "200 Fine", types[i], body.size), body.at, size);
            played_start(&rig);
            buf_init(&text, NULL, 1 << 20);
            enum err e = played_read(&rig, NULL, &text);
            if (e == OK) fail_msg("%s: %zu of %zu bytes", types[i], size, body.size);
            buf_fini(&text);
            played_stop(&rig);
        }
        buf_fini(&body);
    }
}

UNIT_TEST(test_a_server_that_refuses_is_quoted)
{
    static const struct {
        const char *status, *words;
        unsigned requests;
        enum err expected;
    } cases[] = {
        {"400 No", "/api/v1/read: status 400: such words", 1, ERR_IO},
        {"404 No", "status 404: such words; check the path of url", 1, ERR_IO},
        {"405 No", "status 405: such words; check the path of url", 1, ERR_IO},
        {"403 No", "/api/v1/read: status 403: such words", 1, ERR_IO},
        {"500 No", "/api/v1/read: status 500: such words", 3, ERR_AGAIN},
        {"500 No\r\nX-Firekeep-Error: damaged", "status 500: such words", 1, ERR_IO},
        {"500 No\r\nX-Firekeep-Error: permanent", "status 500: such words", 1, ERR_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct played_source rig;
        begin(&rig);
        put_answers(&rig, cases[i].requests, cases[i].status, "text/plain",
                    bytes_of_text("such words"));
        played_start(&rig);
        played_expect_failure(&rig, NULL, cases[i].expected, cases[i].words);
        assert_int_equal(atomic_load(&rig.counts.requests), cases[i].requests);
        played_stop(&rig);
    }
}

UNIT_TEST(test_a_server_that_says_nothing_is_asked_again_later)
{
    struct played_source rig;
    begin(&rig);
    rig.settings.timeout_ms = 60;
    played_answer(&rig, "");
    played_start(&rig);
    played_expect_failure(&rig, NULL, ERR_AGAIN, "/api/v1/read: ");
    played_stop(&rig);
}

UNIT_TEST(test_a_limited_response_of_m3_is_an_error)
{
    struct played_source rig;
    struct buf body;
    begin(&rig);
    buf_init(&body, NULL, 1 << 20);
    make_samples(&body);
    put_answer(&rig, "200 Fine\r\nM3-Results-Limited: max_fetch_series_limit_applied", SAMPLES,
               buf_bytes(&body));
    played_start(&rig);
    played_expect_failure(&rig, NULL, ERR_LIMIT,
                          "left out series because of its limits: max_fetch_series_limit_applied");
    played_expect_trouble(&rig, TROUBLE_LIMIT);
    played_expect_asked(&rig, "M3-Limit-Require-Exhaustive: true");
    buf_fini(&body);
    played_stop(&rig);
}

UNIT_TEST(test_a_set_outlives_its_view_and_may_be_closed_at_any_time)
{
    for (int reads = 0; reads < 3; reads++) {
        struct played_source rig;
        struct series_set *set;
        struct bytes labels;
        begin(&rig);
        put_bodies(&rig, 1, STREAMED, 0);
        played_start(&rig);
        assert_int_equal(view_select(rig.view, &rig.request, &set, &rig.why), OK);
        view_free(rig.view);
        rig.view = NULL;
        for (int i = 0; i < reads; i++)
            assert_int_equal(series_set_next(set, &labels, &rig.why), OK);
        series_set_free(set);
        played_stop(&rig);
    }
}

static const char *const both_types[] = {STREAMED, SAMPLES};

static void
start_whole(struct played_source *rig, unsigned variant)
{
    begin(rig);
    put_bodies(rig, 3, both_types[variant], 0);
    played_start(rig);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    for (unsigned i = 0; i < 2; i++)
        played_fail_allocations(start_whole, i, NULL, WHOLE, 0);
}

/* --- names, values and series ----------------------------------------------------------------- */

/* The kinds of look-ups: names, values of the label job, series. */
enum what { NAMES, VALUES, SERIES };
static const char *const lookups[] = {NULL, "job", ""};
static const char *const selectors[] = {NULL, NULL, "{a=\"\\\"1\"}"};

/* Starts a server with one answer to a look-up. */
static void
start_list(struct played_source *rig, const char *status, const char *body)
{
    begin(rig);
    put_answer(rig, status, "application/json", bytes_of_text(body));
    played_start(rig);
}

/* Expects a look-up to fail. */
static void
expect_failed_lookup(struct played_source *rig, enum what what, enum err expected)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    assert_int_equal(played_look_up(rig, selectors[what], lookups[what], &text), expected);
    buf_fini(&text);
}

UNIT_TEST(test_look_ups_are_asked_of_the_api)
{
    static const struct {
        enum what what;
        const char *body, *expected, *seen;
    } cases[] = {
        {NAMES, "{\"status\":\"success\",\"data\":[\"a\",\"\\u0062\",\"\"]}", "a;b;",
         "GET /api/v1/labels?start=0.500&end=2.500 HTTP"},
        {NAMES, "{\"status\":\"success\",\"data\":null}", "", "GET /api/v1/labels?"},
        {VALUES, "{\"warnings\":[\"some\\nwent\"],\"data\":[\"x\"],\"more\":{\"data\":[1]}}",
         "warning: some went;x;", "GET /api/v1/label/job/values?start=0.500"},
        {SERIES, "{\"data\":[{\"b\":\"2\",\"a\":\"1\",\"dc\":\"x\",\"e\":\"\"},{}]}",
         "{a=\"1\", b=\"2\", dc=\"one\"};{dc=\"one\"};", "POST /api/v1/series HTTP"},
        {SERIES, "{\"data\":[]}", "", "match%5B%5D=%7Ba%3D%22%5C%221%22%7D&start=0.500&end=2.500"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct played_source rig;
        start_list(&rig, "200 Fine", cases[i].body);
        played_expect_looked_up(&rig, selectors[cases[i].what], lookups[cases[i].what],
                                cases[i].expected);
        played_expect_asked(&rig, cases[i].seen);
        played_stop(&rig);
    }
}

UNIT_TEST(test_a_series_without_labels_is_one)
{
    struct played_source rig;
    begin(&rig);
    rig.settings.external_labels.count = 0;
    put_answer(&rig, "200 Fine", "application/json", bytes_of_text("{\"data\":[{}]}"));
    played_start(&rig);
    played_expect_looked_up(&rig, selectors[SERIES], lookups[SERIES], "{};");
    played_stop(&rig);
}

UNIT_TEST(test_look_ups_that_cannot_be_asked_are_unsupported_without_words)
{
    static const char *const statuses[] = {"404 No", "400 No", "405 No", "501 No"};
    for (size_t i = 0; i < 4; i++) {
        for (int what = NAMES; what <= SERIES; what++) {
            struct played_source rig;
            start_list(&rig, statuses[i], "what?");
            expect_failed_lookup(&rig, (enum what)what, ERR_UNSUPPORTED);
            assert_string_equal(rig.why.text, "");
            played_stop(&rig);
        }
    }
}

UNIT_TEST(test_a_hostile_list_is_damage)
{
    static const struct {
        enum what what;
        const char *body;
    } cases[] = {
        {NAMES, ""},
        {NAMES, "[]"},
        {NAMES, "{}"},
        {NAMES, "{\"data\":{}}"},
        {NAMES, "{\"data\":[1]}"},
        {NAMES, "{\"data\":[[\"a\"]]}"},
        {NAMES, "{\"data\":[\"a\""},
        {NAMES, "{\"data\":[\"a\"]} x"},
        {NAMES, "{\"data\":[\"\\ud800\"]}"},
        {NAMES, "{\"data\":[],\"warnings\":[7]}"},
        {SERIES, "{\"data\":[\"a\"]}"},
        {SERIES, "{\"data\":[{\"a\":1}]}"},
        {SERIES, "{\"data\":[{\"a\":\"1\",\"a\":\"2\"}]}"},
        {SERIES, "{\"data\":[{\"\":\"1\"}]}"},
        {SERIES, "{\"data\":[{\"a\":\"\xff\"}]}"},
        {SERIES, "{\"data\":[{\"a\":{\"b\":\"c\"}}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct played_source rig;
        start_list(&rig, "200 Fine", cases[i].body);
        expect_failed_lookup(&rig, cases[i].what, ERR_CORRUPT);
        assert_true(rig.why.text[0] != '\0');
        played_stop(&rig);
    }
}

/* The source has no server. */
UNIT_TEST(test_without_an_api_nothing_is_looked_up)
{
    static const char *const urls[] = {"http://127.0.0.1:1/read", "http://127.0.0.1:1/api/v1/read2",
                                       "http://127.0.0.1:1/?/api/v1/read"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        for (int what = NAMES; what <= SERIES; what++) {
            struct played_source rig;
            begin(&rig);
            rig.settings.u.remote_read.url = urls[i];
            played_start(&rig);
            expect_failed_lookup(&rig, (enum what)what, ERR_UNSUPPORTED);
            assert_int_equal(atomic_load(&rig.counts.requests), 0);
            played_stop(&rig);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms_of_answers_are_read),
        cmocka_unit_test(test_samples_on_both_bounds_of_the_range_are_given),
        cmocka_unit_test(test_a_request_says_what_is_wanted),
        cmocka_unit_test(test_a_request_has_as_many_matchers_as_a_server_accepts),
        cmocka_unit_test(test_answers_of_another_form_are_not_read),
        cmocka_unit_test(test_an_omission_is_a_warning_and_an_aborted_stream_an_error),
        cmocka_unit_test(test_downsampled_samples_are_a_warning_or_noted_in_the_control),
        cmocka_unit_test(test_a_truncated_or_malformed_answer_is_damage),
        cmocka_unit_test(test_an_answer_cut_short_at_any_byte_is_an_error),
        cmocka_unit_test(test_a_server_that_refuses_is_quoted),
        cmocka_unit_test(test_a_server_that_says_nothing_is_asked_again_later),
        cmocka_unit_test(test_a_limited_response_of_m3_is_an_error),
        cmocka_unit_test(test_a_set_outlives_its_view_and_may_be_closed_at_any_time),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_look_ups_are_asked_of_the_api),
        cmocka_unit_test(test_a_series_without_labels_is_one),
        cmocka_unit_test(test_look_ups_that_cannot_be_asked_are_unsupported_without_words),
        cmocka_unit_test(test_a_hostile_list_is_damage),
        cmocka_unit_test(test_without_an_api_nothing_is_looked_up),
    };
    alarm(60); /* broken code may wait forever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
