/* A source by remote read, against servers that play what they are told: what it asks, and what it
 * makes of answers, the hostile ones above all. */
#include "lib/test.h"

#include "backend/remote/remote_read.h"
#include "lib/http_player.h"
#include "lib/random_labels.h"
#include "wire/remote/remote_read.h"
#include "wire/snappy.h"

#define STREAMED "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
#define SAMPLES  "application/x-protobuf"

enum { COUNT = 3 };
static const int64_t times[COUNT] = {1000, 2000, 3000};
static const uint64_t values[COUNT] = {7, 8, 9};

struct rig {
    struct budget memory, query;
    struct source_settings settings;
    struct source_counts counts;
    struct http_puller *puller;
    struct answerer *answerer;
    struct query_control control;
    struct view *view;
    struct query_request request;
    struct named_text external[1];
    struct player player;
    struct buf answer; /* what it plays */
    struct why why;
};

static void
rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    budget_init(&r->memory, "source", 0, NULL);
    budget_init(&r->query, "query", 0, NULL);
    r->settings.name = "test";
    r->settings.http.proxy_url = "";
    r->settings.timeout_ms = 3600 * 1000;
    r->settings.max_concurrent = 4;
    r->external[0] = (struct named_text){"dc", "one"};
    r->settings.external_labels = (struct named_texts){r->external, 1};
    r->control = (struct query_control){.env = env_real(), .budget = &r->query};
    r->request = (struct query_request){
        .tenant = bytes_of_text("team"), .min_ms = 500, .max_ms = 2500, .control = &r->control};
    buf_init(&r->answer, NULL, 1 << 20);
    assert_int_equal(http_puller_new(env_real(), "test/1", &r->puller, NULL), OK);
}

/* With `count` times the answer, at a path of Prometheus'. */
static void
rig_start(struct rig *r, unsigned count)
{
    const char *answers[ANSWERS_MAX];
    size_t sizes[ANSWERS_MAX];
    for (unsigned i = 0; i < count; i++) {
        answers[i] = (const char *)r->answer.at;
        sizes[i] = r->answer.size;
    }
    player_start_sized(&r->player, count, answers, sizes);
    strcpy(strstr(r->player.url, "/path"), "/api/v1/read");
    r->settings.u.remote_read.url = r->player.url;
    struct reader_options options = {env_real(), &r->memory, &r->settings, r->puller, &r->counts};
    assert_int_equal(remote_reader_new(&options, &r->answerer, &r->why), OK);
    assert_int_equal(view_open(r->answerer, &r->control, &r->view, &r->why), OK);
}

static void
rig_fini(struct rig *r)
{
    view_free(r->view);
    r->answerer->ops->free(r->answerer);
    http_puller_free(r->puller);
    player_stop(&r->player);
    buf_fini(&r->answer);
    assert_int_equal(budget_used(&r->query), 0);
    assert_int_equal(budget_used(&r->memory), 0);
}

static void
expect_words(const struct rig *r, const char *words)
{
    if (strstr(r->why.text, words) == NULL) fail_msg("'%s' is not in: %s", words, r->why.text);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
put_head(struct buf *to, const char *status, const char *type, size_t body)
{
    buf_clear(to);
    buf_printf(to, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status, type,
               body);
}

static void
put_answer(struct rig *r, const char *status, const char *type, struct bytes body)
{
    put_head(&r->answer, status, type, body.size);
    buf_put_bytes(&r->answer, body);
}

static enum err
write_piece(void *context, struct bytes piece, struct why *why)
{
    (void)why;
    buf_put_bytes(context, piece);
    return OK;
}

/* {a="1"} and {a="2"}, each with three samples. */
static void
make_streamed(struct buf *to, enum rr_notice notice)
{
    struct rr_sink sink = {write_piece, to};
    struct rr_stream *stream;
    assert_int_equal(rr_stream_new(&sink, 4096, CHUNK_LAYOUTS_UNITED, NULL, &stream), OK);
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
        enum err e = rr_stream_notice(stream, notice, bytes_of_text("a page\nis gone"), NULL);
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

/* Without so many bytes at its end. */
static void
put_body(struct rig *r, const char *type, size_t cut)
{
    struct buf body;
    buf_init(&body, NULL, 1 << 20);
    if (strcmp(type, SAMPLES) == 0)
        make_samples(&body);
    else
        make_streamed(&body, 0);
    put_answer(r, "200 Fine", type, bytes_of(body.at, body.size - cut));
    buf_fini(&body);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
check_series(struct series_set *set, struct bytes labels, unsigned number)
{
    struct sample_batch b;
    uint32_t got = 0;
    assert_true(bytes_equal_text(labels_get(labels, bytes_of_text("a")), number == 0 ? "1" : "2"));
    assert_true(bytes_equal_text(labels_get(labels, bytes_of_text("dc")), "one"));
    assert_int_equal(labels_count(labels), 2);
    while (series_set_batch(set, &b, NULL) == OK && b.count > 0) {
        for (uint32_t i = 0; i < b.count; i++, got++) {
            assert_int_equal(b.times_ms[i], times[got]);
            assert_int_equal(b.value_bits[i], values[got]);
        }
    }
    assert_int_equal(got, 2); /* the third is beyond the request */
}

/* All of the answer; its first warning is in *ret_warning. */
static enum err
read_all(struct rig *r, struct why *ret_warning)
{
    struct series_set *set;
    struct bytes labels = {NULL, 0};
    ret_warning->text[0] = '\0';
    r->why.text[0] = '\0';
    enum err e = view_select(r->view, &r->request, &set, &r->why);
    if (e) return e;
    for (unsigned n = 0; e == OK; n++) {
        e = series_set_next(set, &labels, &r->why);
        if (e || labels.at == NULL) break;
        check_series(set, labels, n);
    }
    const char *warning = series_set_warning(set, 0);
    if (warning != NULL) (void)why_set(ret_warning, OK, "%s", warning);
    series_set_free(set);
    if (e) assert_true(r->why.text[0] != '\0');
    return e;
}

UNIT_TEST(test_both_forms_of_answers_are_read)
{
    static const char *const types[] = {STREAMED, SAMPLES};
    for (int i = 0; i < 2; i++) {
        struct rig r;
        struct why warning;
        rig_init(&r);
        put_body(&r, types[i], 0);
        rig_start(&r, 1);
        enum err e = read_all(&r, &warning);
        if (e) fail_msg("%s", r.why.text);
        assert_string_equal(warning.text, "");
        rig_fini(&r);
    }
}

/* The message in a request that was seen. */
static void
check_request(struct rig *r, struct arena *arena, struct rr_request *ret_request, struct buf *to)
{
    const char *body = strstr(r->player.seen, "\r\n\r\n");
    const char *length = strstr(r->player.seen, "Content-Length: ");
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
    struct matcher *matchers[2];
    struct matcher_set set = {matchers, 2};
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("a"), bytes_of_text("1"), NULL, &matchers[0], NULL),
        OK);
    assert_int_equal(matcher_new(MATCH_NOT_REGEX, bytes_of_text("b"), bytes_of_text("x.*"), NULL,
                                 &matchers[1], NULL),
                     OK);
    for (int with_sets = 0; with_sets < 2; with_sets++) {
        struct rig r;
        struct arena arena;
        struct rr_request request;
        struct buf message;
        struct why warning;
        arena_init(&arena, NULL, 0, 0);
        buf_init(&message, NULL, 4096);
        rig_init(&r);
        r.settings.u.remote_read.tenant_header = "X-Scope-OrgID";
        r.request.sets = &set;
        r.request.set_count = (uint32_t)with_sets;
        put_body(&r, STREAMED, 0);
        rig_start(&r, 1);
        assert_int_equal(read_all(&r, &warning), OK);
        assert_non_null(strstr(r.player.seen, "POST /api/v1/read HTTP"));
        assert_non_null(strstr(r.player.seen, "\r\nX-Scope-OrgID: team\r\n"));
        assert_non_null(strstr(r.player.seen, "\r\nX-Prometheus-Remote-Read-Version: 0.1.0\r\n"));
        assert_non_null(strstr(r.player.seen, "\r\nX-Firekeep-Notices: errors\r\n"));
        check_request(&r, &arena, &request, &message);
        assert_int_equal(request.answer, RR_STREAMED_XOR_CHUNKS);
        const struct rr_query *q = &request.queries[0];
        assert_int_equal(q->matcher_count, with_sets ? 2 : 1);
        assert_true(bytes_equal_text(q->matchers[0].name, with_sets ? "a" : "__name__"));
        assert_true(bytes_equal_text(q->matchers[0].value, with_sets ? "1" : ".*"));
        assert_int_equal(q->matchers[q->matcher_count - 1].type, with_sets ? 3 : 2);
        rig_fini(&r);
        buf_fini(&message);
        arena_fini(&arena);
    }
    matcher_free(matchers[0]);
    matcher_free(matchers[1]);
}

/* The others are left to who asked: see views/source.c. */
UNIT_TEST(test_a_request_has_as_many_matchers_as_a_server_accepts)
{
    enum { MORE = RR_MATCHERS_MAX + 44 };
    static struct matcher *matchers[MORE];
    struct matcher_set set = {matchers, MORE};
    struct rig r;
    struct arena arena;
    struct rr_request request;
    struct buf message;
    struct why warning;
    for (int i = 0; i < MORE; i++) {
        enum err e = matcher_new(MATCH_EQUAL, bytes_of_text("a"), bytes_of_text("1"), NULL,
                                 &matchers[i], NULL);
        assert_int_equal(e, OK);
    }
    arena_init(&arena, NULL, 0, 0);
    buf_init(&message, NULL, 1 << 16);
    rig_init(&r);
    r.request.sets = &set;
    r.request.set_count = 1;
    put_body(&r, STREAMED, 0);
    rig_start(&r, 1);
    assert_int_equal(read_all(&r, &warning), OK);
    check_request(&r, &arena, &request, &message);
    assert_int_equal(request.queries[0].matcher_count, RR_MATCHERS_MAX);
    rig_fini(&r);
    buf_fini(&message);
    arena_fini(&arena);
    for (int i = 0; i < MORE; i++) {
        matcher_free(matchers[i]);
    }
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
        struct rig r;
        struct why warning;
        rig_init(&r);
        r.settings.u.remote_read.protobuf = cases[i].wanted;
        put_answer(&r, cases[i].status, cases[i].type, bytes_of(NULL, 0));
        rig_start(&r, 1);
        assert_int_equal(read_all(&r, &warning), ERR_UNSUPPORTED);
        expect_words(&r, "/api/v1/read: responds with status 20");
        rig_fini(&r);
    }
}

UNIT_TEST(test_what_the_server_left_out_is_a_warning_and_why_it_ended_an_error)
{
    static const enum rr_notice notices[] = {RR_NOTICE_LEFT_OUT, RR_NOTICE_ERROR};
    for (int i = 0; i < 2; i++) {
        struct rig r;
        struct why warning;
        struct buf body;
        buf_init(&body, NULL, 1 << 20);
        make_streamed(&body, notices[i]);
        rig_init(&r);
        put_answer(&r, "200 Fine", STREAMED, buf_bytes(&body));
        rig_start(&r, 1);
        assert_int_equal(read_all(&r, &warning), i == 0 ? OK : ERR_CORRUPT);
        assert_string_equal(warning.text, i == 0 ? "a page is gone" : "");
        if (i == 1) expect_words(&r, "/api/v1/read: a page is gone");
        rig_fini(&r);
        buf_fini(&body);
    }
}

UNIT_TEST(test_what_is_cut_or_garbage_is_damage)
{
    static const char *const types[] = {STREAMED, SAMPLES};
    for (size_t i = 0; i < 4; i++) {
        struct rig r;
        struct why warning;
        rig_init(&r);
        if (i < 2)
            put_body(&r, types[i], 3);
        else
            put_answer(&r, "200 Fine", types[i - 2], bytes_of_text("something else altogether"));
        rig_start(&r, 1);
        assert_int_equal(read_all(&r, &warning), ERR_CORRUPT);
        expect_words(&r, "/api/v1/read: ");
        assert_int_equal(trouble_of(&r.why, ERR_CORRUPT), TROUBLE_DAMAGED);
        rig_fini(&r);
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
        {"403 No", "/api/v1/read: status 403: such words", 1, ERR_IO},
        {"500 No", "/api/v1/read: status 500: such words", 3, ERR_AGAIN},
        {"500 No\r\nX-Firekeep-Error: damaged", "status 500: such words", 1, ERR_IO},
        {"500 No\r\nX-Firekeep-Error: permanent", "status 500: such words", 1, ERR_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        struct why warning;
        rig_init(&r);
        put_answer(&r, cases[i].status, "text/plain", bytes_of_text("such words"));
        rig_start(&r, cases[i].requests);
        assert_int_equal(read_all(&r, &warning), cases[i].expected);
        expect_words(&r, cases[i].words);
        assert_int_equal(atomic_load(&r.counts.requests), cases[i].requests);
        rig_fini(&r);
    }
}

UNIT_TEST(test_a_server_that_says_nothing_is_asked_again_later)
{
    struct rig r;
    struct why warning;
    rig_init(&r);
    r.settings.timeout_ms = 60;
    buf_put_u8(&r.answer, 0);
    r.answer.size = 0; /* "": it says nothing at all */
    rig_start(&r, 1);
    assert_int_equal(read_all(&r, &warning), ERR_AGAIN);
    expect_words(&r, "/api/v1/read: ");
    rig_fini(&r);
}

UNIT_TEST(test_an_answer_of_m3_that_is_limited_is_none)
{
    struct rig r;
    struct why warning;
    struct buf body;
    rig_init(&r);
    buf_init(&body, NULL, 1 << 20);
    make_samples(&body);
    put_answer(&r, "200 Fine\r\nM3-Results-Limited: max_fetch_series_limit_applied", SAMPLES,
               buf_bytes(&body));
    rig_start(&r, 1);
    assert_int_equal(read_all(&r, &warning), ERR_LIMIT);
    expect_words(&r, "left out series because of its limits: max_fetch_series_limit_applied");
    assert_int_equal(trouble_of(&r.why, ERR_LIMIT), TROUBLE_LIMIT);
    assert_non_null(strstr(r.player.seen, "M3-Limit-Require-Exhaustive: true"));
    buf_fini(&body);
    rig_fini(&r);
}

UNIT_TEST(test_a_set_outlives_its_view_and_may_be_closed_at_any_time)
{
    for (int reads = 0; reads < 3; reads++) {
        struct rig r;
        struct series_set *set;
        struct bytes labels;
        rig_init(&r);
        put_body(&r, STREAMED, 0);
        rig_start(&r, 1);
        assert_int_equal(view_select(r.view, &r.request, &set, &r.why), OK);
        view_free(r.view);
        r.view = NULL;
        for (int i = 0; i < reads; i++) {
            assert_int_equal(series_set_next(set, &labels, &r.why), OK);
        }
        series_set_free(set);
        rig_fini(&r);
    }
}

UNIT_TEST(test_each_allocation_may_fail)
{
    static const char *const types[] = {STREAMED, SAMPLES};
    for (int i = 0; i < 2; i++) {
        for (uint64_t nth = 1;; nth++) {
            struct rig r;
            rig_init(&r);
            put_body(&r, types[i], 0);
            rig_start(&r, 3);
            mem_fail_nth(nth, false);
            struct series_set *set;
            struct bytes labels = {NULL, 0};
            struct sample_batch b;
            r.why.text[0] = '\0';
            enum err e = view_select(r.view, &r.request, &set, &r.why);
            bool made = e == OK;
            while (e == OK && (e = series_set_next(set, &labels, &r.why)) == OK &&
                   labels.at != NULL) {
                while ((e = series_set_batch(set, &b, &r.why)) == OK && b.count > 0) {
                }
            }
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (made) series_set_free(set);
            if (e) assert_true(r.why.text[0] != '\0');
            if (e != OK && e != ERR_NOMEM) fail_msg("%s: %s", err_word(e), r.why.text);
            rig_fini(&r);
            if (!fired) break;
        }
    }
}

/* --- names, values and series ----------------------------------------------------------------- */

struct texts {
    char all[400]; /* each after a blank */
    char warning[100];
};

static enum err
each_text(void *context, struct bytes text)
{
    struct texts *x = context;
    size_t used = strlen(x->all);
    assert_non_null(text.at);
    snprintf(x->all + used, sizeof x->all - used, " %.*s", (int)text.size, (const char *)text.at);
    return OK;
}

static enum err
each_series(void *context, struct bytes labels)
{
    struct buf text;
    buf_init(&text, NULL, 4096);
    assert_true(labels_valid(labels));
    labels_print(&text, labels);
    enum err e = each_text(context, buf_bytes(&text));
    buf_fini(&text);
    return e;
}

static enum err
each_warning(void *context, const char *sentence)
{
    struct texts *x = context;
    snprintf(x->warning, sizeof x->warning, "%s", sentence);
    return OK;
}

enum what { NAMES, VALUES, SERIES };

static enum err
look_up(struct rig *r, enum what what, struct texts *texts)
{
    struct matcher *matcher;
    struct matcher_set set = {&matcher, 1};
    struct text_sink to = {what == SERIES ? each_series : each_text, texts, each_warning};
    *texts = (struct texts){.all = ""};
    r->why.text[0] = '\0';
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("a"), bytes_of_text("\"1"), NULL, &matcher, NULL),
        OK);
    if (what == SERIES) {
        r->request.sets = &set;
        r->request.set_count = 1;
    }
    enum err e = what == NAMES ? view_label_names(r->view, &r->request, &to, &r->why)
                 : what == VALUES
                     ? view_label_values(r->view, &r->request, bytes_of_text("job"), &to, &r->why)
                     : view_series(r->view, &r->request, &to, &r->why);
    matcher_free(matcher);
    return e;
}

UNIT_TEST(test_look_ups_are_asked_of_the_api)
{
    static const struct {
        enum what what;
        const char *body, *expected, *seen, *warning;
    } cases[] = {
        {NAMES, "{\"status\":\"success\",\"data\":[\"a\",\"\\u0062\",\"\"]}", " a b",
         "GET /api/v1/labels?start=0.500&end=2.500 HTTP", ""},
        {NAMES, "{\"status\":\"success\",\"data\":null}", "", "GET /api/v1/labels?", ""},
        {VALUES, "{\"warnings\":[\"some\\nwent\"],\"data\":[\"x\"],\"more\":{\"data\":[1]}}", " x",
         "GET /api/v1/label/job/values?start=0.500", "some went"},
        {SERIES, "{\"data\":[{\"b\":\"2\",\"a\":\"1\",\"dc\":\"x\",\"e\":\"\"},{}]}",
         " {a=\"1\", b=\"2\", dc=\"one\"} {dc=\"one\"}", "POST /api/v1/series HTTP", ""},
        {SERIES, "{\"data\":[]}", "", "match%5B%5D=%7Ba%3D%22%5C%221%22%7D&start=0.500&end=2.500",
         ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        struct texts texts;
        rig_init(&r);
        put_answer(&r, "200 Fine", "application/json", bytes_of_text(cases[i].body));
        rig_start(&r, 1);
        enum err e = look_up(&r, cases[i].what, &texts);
        if (e) fail_msg("%s: %s", cases[i].body, r.why.text);
        assert_string_equal(texts.all, cases[i].expected);
        assert_string_equal(texts.warning, cases[i].warning);
        if (strstr(r.player.seen, cases[i].seen) == NULL) fail_msg("%s", r.player.seen);
        rig_fini(&r);
    }
}

UNIT_TEST(test_a_series_without_labels_is_one)
{
    struct rig r;
    struct texts texts;
    rig_init(&r);
    r.settings.external_labels.count = 0;
    put_answer(&r, "200 Fine", "application/json", bytes_of_text("{\"data\":[{}]}"));
    rig_start(&r, 1);
    assert_int_equal(look_up(&r, SERIES, &texts), OK);
    assert_string_equal(texts.all, " {}");
    rig_fini(&r);
}

UNIT_TEST(test_look_ups_that_cannot_be_asked_are_unsupported_without_words)
{
    static const char *const statuses[] = {"404 No", "400 No", "405 No", "501 No"};
    struct texts texts;
    for (size_t i = 0; i < 4; i++) {
        for (int what = NAMES; what <= SERIES; what++) {
            struct rig r;
            rig_init(&r);
            put_answer(&r, statuses[i], "text/plain", bytes_of_text("what?"));
            rig_start(&r, 1);
            assert_int_equal(look_up(&r, (enum what)what, &texts), ERR_UNSUPPORTED);
            assert_string_equal(r.why.text, "");
            rig_fini(&r);
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
        struct rig r;
        struct texts texts;
        rig_init(&r);
        put_answer(&r, "200 Fine", "application/json", bytes_of_text(cases[i].body));
        rig_start(&r, 1);
        enum err e = look_up(&r, cases[i].what, &texts);
        if (e != ERR_CORRUPT) fail_msg("%s: %s", cases[i].body, err_word(e));
        assert_true(r.why.text[0] != '\0');
        rig_fini(&r);
    }
}

/* Nothing is asked: there is nobody to answer. */
UNIT_TEST(test_without_an_api_nothing_is_looked_up)
{
    static const char *const urls[] = {"http://127.0.0.1:1/read", "http://127.0.0.1:1/api/v1/read2",
                                       "http://127.0.0.1:1/?/api/v1/read"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        for (int what = NAMES; what <= SERIES; what++) {
            struct rig r;
            struct texts texts;
            struct reader_options options;
            rig_init(&r);
            rig_start(&r, 0);
            view_free(r.view);
            r.answerer->ops->free(r.answerer);
            r.settings.u.remote_read.url = urls[i];
            options =
                (struct reader_options){env_real(), &r.memory, &r.settings, r.puller, &r.counts};
            assert_int_equal(remote_reader_new(&options, &r.answerer, &r.why), OK);
            assert_int_equal(view_open(r.answerer, &r.control, &r.view, &r.why), OK);
            assert_int_equal(look_up(&r, (enum what)what, &texts), ERR_UNSUPPORTED);
            assert_int_equal(atomic_load(&r.counts.requests), 0);
            rig_fini(&r);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms_of_answers_are_read),
        cmocka_unit_test(test_a_request_says_what_is_wanted),
        cmocka_unit_test(test_a_request_has_as_many_matchers_as_a_server_accepts),
        cmocka_unit_test(test_answers_of_another_form_are_not_read),
        cmocka_unit_test(test_what_the_server_left_out_is_a_warning_and_why_it_ended_an_error),
        cmocka_unit_test(test_what_is_cut_or_garbage_is_damage),
        cmocka_unit_test(test_a_server_that_refuses_is_quoted),
        cmocka_unit_test(test_a_server_that_says_nothing_is_asked_again_later),
        cmocka_unit_test(test_an_answer_of_m3_that_is_limited_is_none),
        cmocka_unit_test(test_a_set_outlives_its_view_and_may_be_closed_at_any_time),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_look_ups_are_asked_of_the_api),
        cmocka_unit_test(test_a_series_without_labels_is_one),
        cmocka_unit_test(test_look_ups_that_cannot_be_asked_are_unsupported_without_words),
        cmocka_unit_test(test_a_hostile_list_is_damage),
        cmocka_unit_test(test_without_an_api_nothing_is_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
