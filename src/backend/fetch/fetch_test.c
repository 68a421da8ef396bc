/* Requests of sources: turns, repeats, credentials and limits, against servers that play what they
 * are told. Words of errors are looked at where people depend on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/fetch/fetch.h"
#include "net/http_player_testing.h"

#define FINE "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX-Tone: high\r\n\r\nhello"
#define BUSY "HTTP/1.1 503 Busy\r\nContent-Length: 8\r\n\r\nso busy!"

enum { HOUR_MS = 3600 * 1000, SILENT_MS = 60 };

static const char silence[] = "";

struct rig {
    struct budget memory, query;
    struct source_settings settings;
    struct source_counts counts;
    struct http_puller *puller;
    struct fetcher *fetcher;
    struct fetch_session *session;
    struct why why;
};

/* With settings that a test may change before rig_start(). */
static void
rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    budget_init(&r->memory, "source", 0, NULL);
    budget_init(&r->query, "query", 0, NULL);
    r->settings.name = "test";
    r->settings.http.proxy_url = "";
    r->settings.timeout_ms = HOUR_MS;
    r->settings.max_concurrent = 4;
    assert_int_equal(http_puller_new(env_real(), "test/1", &r->puller, NULL), OK);
}

static struct fetcher_options
rig_options(struct rig *r, const struct fetch_signing *signing)
{
    return (struct fetcher_options){
        .reader = {env_real(), &r->memory, &r->settings, r->puller, &r->counts},
        .signing = signing};
}

static void
rig_start(struct rig *r)
{
    struct fetcher_options options = rig_options(r, NULL);
    assert_int_equal(fetcher_new(&options, &r->fetcher, &r->why), OK);
    assert_int_equal(fetch_session_open(r->fetcher, &r->query, &r->session, &r->why), OK);
}

/* Whatever happened: nothing is left. */
static void
rig_fini(struct rig *r)
{
    fetch_session_close(r->session);
    fetcher_free(r->fetcher);
    http_puller_free(r->puller);
    assert_int_equal(budget_used(&r->query), 0);
    assert_int_equal(budget_used(&r->memory), 0);
}

static uint64_t
troubles(const struct rig *r, enum source_trouble trouble)
{
    uint64_t all = 0;
    for (int i = 0; i < TROUBLE_COUNT; i++) {
        all += atomic_load(&r->counts.errors[i]);
    }
    assert_int_equal(all, atomic_load(&r->counts.errors[trouble])); /* and of no other kind */
    return all;
}

static struct fetch *
open_at(struct rig *r, const char *url)
{
    struct fetch_request request = {.method = "GET", .url = url};
    struct fetch *fetch = NULL;
    enum err e = fetch_open(r->session, NULL, &request, &fetch, &r->why);
    if (e) fail_msg("%s: %s", err_word(e), r->why.text);
    return fetch;
}

/* The status; 0: `expected` is the error of waiting for it. */
static unsigned
await_of(struct rig *r, struct fetch *fetch, enum err expected)
{
    const struct http_call_answer *answer;
    enum err e = fetch_await(fetch, &answer, &r->why);
    if (e != expected) fail_msg("%s: %s", err_word(e), r->why.text);
    return e == OK ? answer->status : 0;
}

static void
expect_words(const struct rig *r, const char *words)
{
    if (strstr(r->why.text, words) == NULL) fail_msg("'%s' is not in: %s", words, r->why.text);
}

static void
expect_hello(struct rig *r, struct fetch *fetch)
{
    struct buf body;
    buf_init(&body, &r->query, 1000);
    assert_int_equal(await_of(r, fetch, OK), 200);
    assert_int_equal(fetch_expect_ok(fetch, &r->why), OK);
    assert_int_equal(fetch_read_all(fetch, &body, &r->why), OK);
    assert_true(bytes_equal_text(buf_bytes(&body), "hello"));
    buf_fini(&body);
}

/* --- a request -------------------------------------------------------------------------------- */

static void
test_a_request_is_sent_as_it_is_and_its_answer_read_to_the_end(void **state)
{
    (void)state;
    static const char *const wanted[] = {"X-None", "X-Tone", NULL};
    static const char *const headers[] = {"X-One: 1 and 2", "X-Two:two", NULL};
    struct named_secret configured[] = {{"X-Three", {.text = "3"}}};
    const char *answer = FINE;
    struct player p;
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    r.settings.http.headers = (struct named_secrets){configured, 1};
    r.settings.authorization.credentials.text = "secret";
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch_request request = {.method = "POST",
                                    .url = p.url,
                                    .headers = headers,
                                    .body = bytes_of_text("question"),
                                    .wanted = wanted};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    const struct http_call_answer *a;
    assert_int_equal(fetch_await(fetch, &a, &r.why), OK);
    assert_string_equal(a->wanted[0], "");
    assert_string_equal(a->wanted[1], "high");
    expect_hello(&r, fetch); /* waiting once more changes nothing */
    fetch_close(fetch);
    player_stop(&p);
    static const char *const seen[] = {"POST /path HTTP",    "\r\nX-One: 1 and 2\r\n",
                                       "\r\nX-Two: two\r\n", "\r\nX-Three: 3\r\n",
                                       "Bearer secret\r\n",  "\r\n\r\nquestion"};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        assert_non_null(strstr(p.seen, seen[i]));
    }
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    assert_int_equal(atomic_load(&r.counts.bytes), 5);
    assert_int_equal(troubles(&r, TROUBLE_SERVER), 0);
    rig_fini(&r);
}

static void
test_a_header_that_cannot_be_sent_is_an_error_with_words(void **state)
{
    (void)state;
    struct named_secret configured[] = {{"X-Three", {.text = "3\n"}}};
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    r.settings.http.headers = (struct named_secrets){configured, 1};
    rig_start(&r);
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    memset(&r.why, 'x', sizeof r.why); /* of something else */
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), ERR_IO);
    assert_string_equal(r.why.text, "cannot send a request with these headers");
    configured[0].value = (struct secret){.file = "/does/not/exist"};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), ERR_IO);
    expect_words(&r, "X-Three");
    expect_words(&r, "/does/not/exist");
    assert_int_equal(troubles(&r, TROUBLE_CREDENTIALS), 2);
    rig_fini(&r);
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool
note_look(void *context)
{
    atomic_fetch_add((atomic_uint *)context, 1);
    return false;
}

static bool
is_gone_the_second_time(void *context)
{
    return atomic_fetch_add((atomic_uint *)context, 1) >= 1;
}

/* A query of its own in a thread of its own, which reads one answer. */
struct reading {
    struct rig *rig;
    const char *url;
    pthread_t thread;
    atomic_uint looks; /* while it waited */
    atomic_bool had_turn;
    enum err result;
    struct why why;
};

static void *
read_one(void *context)
{
    struct reading *x = context;
    struct rig *r = x->rig;
    struct query_control control = {
        .env = env_real(), .is_gone = note_look, .gone_context = &x->looks};
    struct fetch_request request = {.method = "GET", .url = x->url};
    struct fetch_session *session;
    struct fetch *fetch = NULL;
    const struct http_call_answer *answer;
    x->result = fetch_session_open(r->fetcher, &r->query, &session, &x->why);
    if (x->result) return NULL;
    x->result = fetch_open(session, &control, &request, &fetch, &x->why);
    if (x->result == OK) {
        atomic_store(&x->had_turn, true);
        x->result = fetch_await(fetch, &answer, &x->why);
    }
    if (x->result == OK) x->result = fetch_expect_ok(fetch, &x->why);
    fetch_close(fetch);
    fetch_session_close(session);
    return NULL;
}

static void
reading_start(struct reading *x, struct rig *rig, const char *url)
{
    memset(x, 0, sizeof *x);
    x->rig = rig;
    x->url = url;
    assert_int_equal(pthread_create(&x->thread, NULL, read_one, x), 0);
}

static void
reading_join(struct reading *x)
{
    pthread_join(x->thread, NULL);
    if (x->result) fail_msg("%s: %s", err_word(x->result), x->why.text);
}

static void
await_look(struct reading *x)
{
    while (atomic_load(&x->looks) == 0) {
        sched_yield();
    }
}

static void
test_who_waits_for_a_turn_gets_it_before_those_who_come_later(void **state)
{
    (void)state;
    const char *answers[] = {FINE, FINE};
    struct player p;
    struct rig r;
    struct reading second;
    rig_init(&r);
    r.settings.max_concurrent = 1;
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch *first = open_at(&r, "http://127.0.0.1:1/");
    reading_start(&second, &r, p.url);
    await_look(&second);
    assert_false(atomic_load(&second.had_turn));
    fetch_close(first);
    struct fetch *third = open_at(&r, p.url);
    assert_true(atomic_load(&second.had_turn));
    expect_hello(&r, third);
    fetch_close(third);
    reading_join(&second);
    assert_int_equal(troubles(&r, TROUBLE_LIMIT), 0);
    rig_fini(&r);
    player_stop(&p);
}

static void
test_so_many_queries_read_at_a_time_and_the_next_is_refused_in_the_end(void **state)
{
    (void)state;
    struct rig r;
    struct fetch_session *sessions[3];
    struct fetch *fetches[3];
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_concurrent = 2;
    r.settings.timeout_ms = SILENT_MS;
    rig_start(&r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fetch_session_open(r.fetcher, NULL, &sessions[i], &r.why), OK);
        enum err e = fetch_open(sessions[i], NULL, &request, &fetches[i], &r.why);
        assert_int_equal(e, i < 2 ? OK : ERR_AGAIN);
    }
    assert_string_equal(r.why.text, "2 other queries are reading (max_concurrent)");
    assert_int_equal(troubles(&r, TROUBLE_LIMIT), 1);
    fetch_close(fetches[0]);
    assert_int_equal(fetch_open(sessions[2], NULL, &request, &fetches[2], &r.why), OK);
    fetch_close(fetches[1]);
    fetch_close(fetches[2]);
    for (int i = 0; i < 3; i++) {
        fetch_session_close(sessions[i]);
    }
    rig_fini(&r);
}

static void
test_a_query_that_reads_may_open_more(void **state)
{
    (void)state;
    struct rig r;
    struct fetch *fetches[3];
    struct fetch_session *other;
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_concurrent = 1;
    r.settings.timeout_ms = SILENT_MS;
    rig_start(&r);
    assert_int_equal(fetch_session_open(r.fetcher, NULL, &other, &r.why), OK);
    for (int i = 0; i < 3; i++) {
        fetches[i] = open_at(&r, "http://127.0.0.1:1/");
    }
    for (int i = 0; i < 3; i++) {
        struct fetch *fetch;
        assert_int_equal(fetch_open(other, NULL, &request, &fetch, &r.why), ERR_AGAIN);
        fetch_close(fetches[i]);
    }
    assert_int_equal(fetch_open(other, NULL, &request, &fetches[0], &r.why), OK);
    fetch_close(fetches[0]);
    fetch_session_close(other);
    rig_fini(&r);
}

static void
test_a_query_that_waits_for_its_turn_can_be_canceled(void **state)
{
    (void)state;
    struct rig r;
    struct fetch_session *other;
    struct fetch *fetch;
    atomic_uint looks = 0;
    struct query_control control = {
        .env = env_real(), .is_gone = is_gone_the_second_time, .gone_context = &looks};
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_concurrent = 1;
    rig_start(&r);
    struct fetch *first = open_at(&r, "http://127.0.0.1:1/");
    assert_int_equal(fetch_session_open(r.fetcher, NULL, &other, &r.why), OK);
    assert_int_equal(fetch_open(other, &control, &request, &fetch, &r.why), ERR_CANCELED);
    fetch_close(first);
    assert_int_equal(fetch_open(other, NULL, &request, &fetch, &r.why), OK); /* no place is lost */
    fetch_close(fetch);
    fetch_session_close(other);
    rig_fini(&r);
}

static void
test_requests_are_spread_over_a_second_and_refused_where_that_takes_too_long(void **state)
{
    (void)state;
    struct rig r;
    struct fetch *fetches[5];
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    rig_init(&r);
    r.settings.max_rate_requests = 20;
    rig_start(&r);
    int64_t begun_ns = env_monotonic_ns(env_real());
    for (int i = 0; i < 5; i++) {
        fetches[i] = open_at(&r, "http://127.0.0.1:1/");
    }
    assert_true(env_monotonic_ns(env_real()) - begun_ns >= 4 * NS_PER_S / 20);
    for (int i = 0; i < 5; i++) {
        fetch_close(fetches[i]);
    }
    r.settings.max_rate_requests = 1;
    fetches[0] = open_at(&r, "http://127.0.0.1:1/");
    fetch_close(fetches[0]);
    r.settings.timeout_ms = 1;
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetches[0], &r.why), ERR_AGAIN);
    expect_words(&r, "max_rate");
    assert_int_equal(troubles(&r, TROUBLE_LIMIT), 1);
    rig_fini(&r);
}

/* --- repeats ---------------------------------------------------------------------------------- */

static void
test_what_is_throttled_is_asked_again_when_the_server_says(void **state)
{
    (void)state;
    const char *answers[] = {"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
                             FINE};
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    int64_t begun_ns = env_monotonic_ns(env_real());
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    assert_true(env_monotonic_ns(env_real()) - begun_ns >= NS_PER_S);
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 1);
    assert_int_equal(atomic_load(&r.counts.requests), 2);
    assert_int_equal(troubles(&r, TROUBLE_THROTTLED), 0);
    rig_fini(&r);
}

static void
test_what_is_throttled_beyond_the_timeout_is_not_asked_again(void **state)
{
    (void)state;
    const char *answer = "HTTP/1.1 429 Slow\r\nRetry-After: 3700\r\nContent-Length: 4\r\n\r\nslow";
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 429);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_AGAIN);
    expect_words(&r, "status 429: slow");
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(troubles(&r, TROUBLE_THROTTLED), 1);
    rig_fini(&r);
}

static void
test_a_query_that_waits_to_ask_again_can_be_canceled(void **state)
{
    (void)state;
    const char *answer = "HTTP/1.1 429 Slow\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n";
    atomic_uint looks = 0;
    struct query_control control = {
        .env = env_real(), .is_gone = is_gone_the_second_time, .gone_context = &looks};
    struct player p;
    struct rig r;
    struct fetch *fetch;
    const struct http_call_answer *a;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch_request request = {.method = "GET", .url = p.url};
    assert_int_equal(fetch_open(r.session, &control, &request, &fetch, &r.why), OK);
    assert_int_equal(fetch_await(fetch, &a, &r.why), ERR_CANCELED);
    fetch_close(fetch);
    player_stop(&p);
    rig_fini(&r);
}

static void
test_a_server_that_fails_is_asked_three_times_and_quoted(void **state)
{
    (void)state;
    const char *answers[] = {BUSY, BUSY, BUSY};
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 3, answers);
    strcat(p.url, "?secret=1");
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 503);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_AGAIN);
    expect_words(&r, "/path: status 503: so busy!");
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    assert_int_equal(troubles(&r, TROUBLE_SERVER), 1);
    rig_fini(&r);
}

static bool
always_final(const struct http_call_answer *answer)
{
    assert_true(answer->status >= 500);
    return true;
}

static void
test_an_answer_that_is_final_is_not_asked_for_again(void **state)
{
    (void)state;
    const char *answers[] = {BUSY, "HTTP/1.1 422 No\r\nContent-Length: 3\r\n\r\nno!"};
    struct player p;
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch_request request = {.method = "GET", .url = p.url, .is_final = always_final};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    assert_int_equal(await_of(&r, fetch, OK), 503);
    fetch_close(fetch);
    assert_int_equal(troubles(&r, TROUBLE_SERVER), 1);
    fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 422);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_IO);
    expect_words(&r, "status 422: no!");
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    assert_int_equal(atomic_load(&r.counts.errors[TROUBLE_REFUSED]), 1);
    rig_fini(&r);
}

static void
judge_by_words(const struct http_call_answer *answer, struct writer_step *step)
{
    assert_true(answer->status >= 400);
    step->verdict = bytes_equal_text(answer->body, "forbids") ? VERDICT_BLOCKED : VERDICT_DEAD;
}

static void
test_what_an_answer_says_beside_its_status_may_count_more(void **state)
{
    (void)state;
    const char *answers[] = {"HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\nforbids",
                             "HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\nrefuses"};
    static const enum source_trouble expected[] = {TROUBLE_CREDENTIALS, TROUBLE_REFUSED};
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch_request request = {.method = "GET", .url = p.url, .judge = judge_by_words};
    for (int i = 0; i < 2; i++) {
        struct fetch *fetch;
        assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
        assert_int_equal(await_of(&r, fetch, OK), 500);
        assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_IO);
        fetch_close(fetch);
        assert_int_equal(atomic_load(&r.counts.errors[expected[i]]), 1);
    }
    player_stop(&p);
    assert_int_equal(atomic_load(&r.counts.repeats), 0);
    rig_fini(&r);
}

static void
test_without_a_connection_it_is_tried_three_times(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    struct fetch *fetch = open_at(&r, "http://127.0.0.1:1/a?b");
    await_of(&r, fetch, ERR_AGAIN);
    expect_words(&r, "http://127.0.0.1:1/a: ");
    fetch_close(fetch);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    assert_int_equal(troubles(&r, TROUBLE_CONNECT), 1);
    fetch = open_at(&r, "http://[::1/");
    await_of(&r, fetch, ERR_IO);
    fetch_close(fetch);
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    rig_fini(&r);
}

/* --- tokens and signatures -------------------------------------------------------------------- */

#define TOKEN(text)                                                                      \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"" text \
    "\",\"expires_in\":3600}"
#define UNKNOWN "HTTP/1.1 401 Who\r\nContent-Length: 4\r\n\r\nwho?"

static void
use_oauth2(struct rig *r, const struct player *tokens)
{
    r->settings.oauth2.client_id = "me";
    r->settings.oauth2.token_url = tokens->url;
    r->settings.oauth2.http.proxy_url = "";
}

static void
test_a_token_that_is_refused_is_fetched_anew_once(void **state)
{
    (void)state;
    const char *tokens[] = {TOKEN("one"), TOKEN("two"), TOKEN("three")};
    const char *answers[] = {UNKNOWN, FINE, UNKNOWN, UNKNOWN};
    struct player p, token_player;
    struct rig r;
    player_start(&p, 4, answers);
    player_start(&token_player, 3, tokens);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    assert_non_null(strstr(p.seen, "\r\nAuthorization: Bearer two\r\n"));
    assert_int_equal(troubles(&r, TROUBLE_CREDENTIALS), 0);
    fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 401);
    assert_int_equal(fetch_expect_ok(fetch, &r.why), ERR_IO);
    expect_words(&r, "status 401: who?");
    fetch_close(fetch);
    assert_non_null(strstr(p.seen, "\r\nAuthorization: Bearer three\r\n"));
    assert_int_equal(atomic_load(&r.counts.repeats), 2);
    assert_int_equal(troubles(&r, TROUBLE_CREDENTIALS), 1);
    rig_fini(&r);
    player_stop(&p);
    player_stop(&token_player);
}

static void
test_a_refusal_of_an_old_token_costs_no_new_one(void **state)
{
    (void)state;
    const char *tokens[] = {TOKEN("one"), TOKEN("two")}; /* who asks for a third waits for ever */
    const char *answers[] = {UNKNOWN, FINE};
    struct player players[2], token_player;
    struct fetch *fetches[2];
    struct rig r;
    player_start(&token_player, 2, tokens);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    for (int i = 0; i < 2; i++) {
        player_start(&players[i], 2, answers);
        fetches[i] = open_at(&r, players[i].url);
    }
    for (int i = 0; i < 2; i++) {
        expect_hello(&r, fetches[i]);
        fetch_close(fetches[i]);
        assert_non_null(strstr(players[i].seen, "Bearer two\r\n"));
    }
    rig_fini(&r);
    for (int i = 0; i < 2; i++) {
        player_stop(&players[i]);
    }
    player_stop(&token_player);
}

static void
test_threads_that_find_a_token_due_fetch_it_once(void **state)
{
    (void)state;
    const char *token = TOKEN("one");
    const char *answer = FINE;
    struct player players[3], token_player;
    struct reading readings[3];
    struct rig r;
    player_start(&token_player, 1, &token);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    for (int i = 0; i < 3; i++) {
        player_start(&players[i], 1, &answer);
        reading_start(&readings[i], &r, players[i].url);
    }
    for (int i = 0; i < 3; i++) {
        reading_join(&readings[i]);
        assert_non_null(strstr(players[i].seen, "Bearer one\r\n"));
        player_stop(&players[i]);
    }
    rig_fini(&r);
    player_stop(&token_player);
}

/* One of them refused, one fetching, at any time. */
static void
test_threads_may_be_refused_while_others_fetch_a_token(void **state)
{
    (void)state;
    const char *tokens[] = {TOKEN("1"), TOKEN("2"), TOKEN("3"), TOKEN("4"),
                            TOKEN("5"), TOKEN("6"), TOKEN("7"), TOKEN("8")};
    const char *answers[] = {UNKNOWN, FINE};
    struct player players[4], token_player;
    struct reading readings[4];
    struct rig r;
    player_start(&token_player, 8, tokens);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    for (int i = 0; i < 4; i++) {
        player_start(&players[i], 2, answers);
        reading_start(&readings[i], &r, players[i].url);
    }
    for (int i = 0; i < 4; i++) {
        reading_join(&readings[i]);
        player_stop(&players[i]);
    }
    rig_fini(&r);
    player_stop(&token_player);
}

static void
test_a_token_that_lasts_no_time_is_used_nevertheless(void **state)
{
    (void)state;
    const char *token = "HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"one\",\"expires_in\":1e-9}";
    const char *answer = FINE;
    struct player p, token_player;
    struct rig r;
    player_start(&token_player, 1, &token);
    player_start(&p, 1, &answer);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    rig_fini(&r);
    player_stop(&p);
    player_stop(&token_player);
}

static void
test_a_token_that_does_not_come_whole_may_come_later(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum err expected;
    } cases[] = {
        {NULL, ERR_AGAIN},
        {"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"access_token\":\"one\"", ERR_AGAIN},
        {BUSY, ERR_AGAIN},
        {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", ERR_IO},
        {"HTTP/1.1 200 OK\r\n\r\n{}", ERR_IO},
        {"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"o\\u0000e\"}", ERR_IO},
        {silence, ERR_AGAIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct player token_player;
        struct rig r;
        struct fetch *fetch;
        struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
        player_start(&token_player, 1, &cases[i].answer);
        rig_init(&r);
        use_oauth2(&r, &token_player);
        if (cases[i].answer == silence) r.settings.timeout_ms = SILENT_MS;
        rig_start(&r);
        enum err e = fetch_open(r.session, NULL, &request, &fetch, &r.why);
        if (e != cases[i].expected) fail_msg("%zu: %s: %s", i, err_word(e), r.why.text);
        assert_true(r.why.text[0] != '\0');
        assert_int_equal(troubles(&r, TROUBLE_CREDENTIALS), e == ERR_IO ? 1 : 0);
        rig_fini(&r);
        player_stop(&token_player);
    }
}

static void
test_a_query_that_waits_for_a_token_can_be_canceled(void **state)
{
    (void)state;
    const char *none = silence;
    atomic_uint looks = 0;
    struct query_control control = {
        .env = env_real(), .is_gone = is_gone_the_second_time, .gone_context = &looks};
    struct player token_player;
    struct rig r;
    struct fetch *fetch;
    struct fetch_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    player_start(&token_player, 1, &none);
    rig_init(&r);
    use_oauth2(&r, &token_player);
    rig_start(&r);
    assert_int_equal(fetch_open(r.session, &control, &request, &fetch, &r.why), ERR_CANCELED);
    rig_fini(&r);
    player_stop(&token_player);
}

static void
test_requests_to_aws_are_signed(void **state)
{
    (void)state;
    static const char *const headers[] = {"Content-Type: text/plain", NULL};
    const char *answer = FINE;
    const struct aws_settings aws = {
        .region = "eu-west-1", .access_key.text = "AKID", .secret_key.text = "SECRET"};
    const struct fetch_signing signing = {&aws, "aps", false};
    struct player p;
    struct rig r;
    struct fetch *fetch;
    rig_init(&r);
    struct fetcher_options options = rig_options(&r, &signing);
    assert_int_equal(fetcher_new(&options, &r.fetcher, &r.why), OK);
    assert_int_equal(fetch_session_open(r.fetcher, &r.query, &r.session, &r.why), OK);
    player_start(&p, 1, &answer);
    strcat(p.url, "?b=2&a=1");
    struct fetch_request request = {
        .method = "POST", .url = p.url, .headers = headers, .body = bytes_of_text("question")};
    assert_int_equal(fetch_open(r.session, NULL, &request, &fetch, &r.why), OK);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    assert_non_null(strstr(p.seen, "POST /path?b=2&a=1 HTTP"));
    assert_non_null(strstr(p.seen, "\r\n\r\nquestion"));
    assert_non_null(strstr(p.seen, "\r\nX-Amz-Date: "));
    assert_non_null(strstr(p.seen, "Authorization: AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_non_null(strstr(p.seen, "/eu-west-1/aps/aws4_request, SignedHeaders=content-type;host"));
    rig_fini(&r);
    player_stop(&p);
}

static void
test_without_a_region_nothing_is_signed(void **state)
{
    (void)state;
    const struct aws_settings aws = {
        .region = "not a region", .access_key.text = "AKID", .secret_key.text = "SECRET"};
    const struct fetch_signing signing = {&aws, "aps", false};
    struct rig r;
    rig_init(&r);
    struct fetcher_options options = rig_options(&r, &signing);
    assert_int_equal(fetcher_new(&options, &r.fetcher, &r.why), ERR_INPUT);
    rig_fini(&r);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static void
test_a_query_reads_no_more_than_it_may(void **state)
{
    (void)state;
    const char *answers[] = {FINE, FINE};
    struct player p;
    struct rig r;
    struct bytes piece;
    struct buf body;
    rig_init(&r);
    r.settings.max_bytes = 9;
    rig_start(&r);
    player_start(&p, 2, answers);
    struct fetch *fetch = open_at(&r, p.url);
    expect_hello(&r, fetch);
    fetch_close(fetch);
    fetch = open_at(&r, p.url); /* it is the query's limit, whatever it asks */
    assert_int_equal(await_of(&r, fetch, OK), 200);
    buf_init(&body, &r.query, 100);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_LIMIT);
    buf_fini(&body);
    expect_words(&r, "more than 9 bytes (max_bytes)");
    assert_int_equal(fetch_read(fetch, &piece, &r.why), ERR_LIMIT);
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(troubles(&r, TROUBLE_LIMIT), 2);
    rig_fini(&r);
}

static void
test_a_body_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    const char *answer = FINE;
    struct player p;
    struct rig r;
    struct buf body;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 200);
    buf_init(&body, &r.query, 4);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_LIMIT);
    expect_words(&r, "/path: the response is too large");
    buf_fini(&body);
    fetch_close(fetch);
    player_stop(&p);
    rig_fini(&r);
}

/* Before the answer, and within it. */
static void
test_a_server_that_falls_silent_is_given_up(void **state)
{
    (void)state;
    const char *answers[] = {silence, "HTTP/1.1 200 Fine\r\nContent-Length: 900\r\n\r\naaa"};
    struct player p;
    struct rig r;
    struct buf body;
    rig_init(&r);
    r.settings.timeout_ms = SILENT_MS;
    rig_start(&r);
    player_start(&p, 2, answers);
    atomic_store(&p.holds, true);
    struct fetch *fetch = open_at(&r, p.url);
    await_of(&r, fetch, ERR_AGAIN);
    expect_words(&r, "/path: no data for 0.06 s");
    fetch_close(fetch);
    assert_int_equal(troubles(&r, TROUBLE_TIMEOUT), 1);
    fetch = open_at(&r, p.url);
    r.settings.timeout_ms = HOUR_MS; /* of the next wait */
    assert_int_equal(await_of(&r, fetch, OK), 200);
    r.settings.timeout_ms = SILENT_MS;
    buf_init(&body, &r.query, 1000);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_AGAIN);
    expect_words(&r, "/path: no data for 0.06 s");
    buf_fini(&body);
    fetch_close(fetch);
    assert_int_equal(troubles(&r, TROUBLE_TIMEOUT), 2);
    rig_fini(&r);
    player_stop(&p);
}

static void
test_a_body_that_breaks_off_may_come_whole_later(void **state)
{
    (void)state;
    /* More than a pull holds: it cannot have broken off before the answer is looked at. */
    enum { SIZE = 4 * HTTP_PULL_WINDOW_BYTES };
    char *large = malloc(SIZE + 100);
    assert_non_null(large);
    int head = sprintf(large, "HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n", SIZE + 1);
    memset(large + head, 'a', SIZE);
    large[head + SIZE] = '\0';
    const char *answer = large;
    struct player p;
    struct rig r;
    struct buf body;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    assert_int_equal(await_of(&r, fetch, OK), 200);
    buf_init(&body, &r.query, SIZE);
    assert_int_equal(fetch_read_all(fetch, &body, &r.why), ERR_AGAIN);
    buf_fini(&body);
    expect_words(&r, "/path: ");
    fetch_close(fetch);
    player_stop(&p);
    assert_int_equal(troubles(&r, TROUBLE_BROKEN), 1);
    rig_fini(&r);
    free(large);
}

/* Before it is answered, and with more to come; rig_fini() looks for what is left. */
static void
test_what_is_closed_in_the_middle_leaves_nothing(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    char *large = malloc(SIZE + 100);
    assert_non_null(large);
    int head = sprintf(large, "HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n", SIZE);
    memset(large + head, 'a', SIZE);
    large[head + SIZE] = '\0';
    const char *answers[] = {large, large};
    struct player p;
    struct rig r;
    struct bytes piece;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 2, answers);
    fetch_close(open_at(&r, "http://127.0.0.1:1/"));
    for (int i = 0; i < 2; i++) {
        struct fetch *fetch = open_at(&r, p.url);
        assert_int_equal(await_of(&r, fetch, OK), 200);
        if (i == 1) assert_int_equal(fetch_read(fetch, &piece, &r.why), OK);
        fetch_close(fetch);
    }
    rig_fini(&r);
    player_stop(&p);
    free(large);
}

static void
test_what_is_damaged_is_counted_and_named(void **state)
{
    (void)state;
    const char *answer = FINE;
    struct player p;
    struct rig r;
    rig_init(&r);
    rig_start(&r);
    player_start(&p, 1, &answer);
    struct fetch *fetch = open_at(&r, p.url);
    (void)why_set(&r.why, ERR_CORRUPT, "odd");
    assert_int_equal(fetch_damaged(fetch, &r.why), ERR_CORRUPT);
    expect_words(&r, "/path: odd");
    assert_int_equal(troubles(&r, TROUBLE_DAMAGED), 1);
    fetch_close(fetch);
    rig_fini(&r);
    player_stop(&p);
}

/* --- memory ----------------------------------------------------------------------------------- */

static enum err
ask_all(struct rig *r, const struct player *p)
{
    static const char *const headers[] = {"X-One: 1", NULL};
    struct fetcher_options options = rig_options(r, NULL);
    struct fetch_request request = {.method = "POST", .url = p->url, .headers = headers};
    struct fetch *fetch = NULL;
    const struct http_call_answer *answer;
    struct buf body;
    enum err e = fetcher_new(&options, &r->fetcher, &r->why);
    if (e) return e;
    e = fetch_session_open(r->fetcher, &r->query, &r->session, &r->why);
    if (e) return e;
    e = fetch_open(r->session, NULL, &request, &fetch, &r->why);
    if (e == OK) e = fetch_await(fetch, &answer, &r->why);
    if (e == OK) e = fetch_expect_ok(fetch, &r->why);
    buf_init(&body, &r->query, 1000);
    if (e == OK) e = fetch_read_all(fetch, &body, &r->why);
    buf_fini(&body);
    fetch_close(fetch);
    return e;
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    const char *token = TOKEN("one"), *answers[] = {FINE, FINE, FINE};
    for (uint64_t nth = 1;; nth++) {
        struct player p, token_player;
        struct rig r;
        player_start(&p, 3, answers);
        player_start(&token_player, 1, &token);
        rig_init(&r);
        use_oauth2(&r, &token_player);
        mem_fail_nth(nth, false);
        enum err e = ask_all(&r, &p);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (e != OK && e != ERR_NOMEM && e != ERR_AGAIN) {
            fail_msg("%llu: %s: %s", (unsigned long long)nth, err_word(e), r.why.text);
        }
        if (e) assert_true(r.why.text[0] != '\0');
        rig_fini(&r);
        player_stop(&p);
        player_stop(&token_player);
        if (fired) continue;
        assert_int_equal(e, OK);
        return;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_sent_as_it_is_and_its_answer_read_to_the_end),
        cmocka_unit_test(test_a_header_that_cannot_be_sent_is_an_error_with_words),
        cmocka_unit_test(test_who_waits_for_a_turn_gets_it_before_those_who_come_later),
        cmocka_unit_test(test_so_many_queries_read_at_a_time_and_the_next_is_refused_in_the_end),
        cmocka_unit_test(test_a_query_that_reads_may_open_more),
        cmocka_unit_test(test_a_query_that_waits_for_its_turn_can_be_canceled),
        cmocka_unit_test(
            test_requests_are_spread_over_a_second_and_refused_where_that_takes_too_long),
        cmocka_unit_test(test_what_is_throttled_is_asked_again_when_the_server_says),
        cmocka_unit_test(test_what_is_throttled_beyond_the_timeout_is_not_asked_again),
        cmocka_unit_test(test_a_query_that_waits_to_ask_again_can_be_canceled),
        cmocka_unit_test(test_a_server_that_fails_is_asked_three_times_and_quoted),
        cmocka_unit_test(test_an_answer_that_is_final_is_not_asked_for_again),
        cmocka_unit_test(test_what_an_answer_says_beside_its_status_may_count_more),
        cmocka_unit_test(test_without_a_connection_it_is_tried_three_times),
        cmocka_unit_test(test_a_token_that_is_refused_is_fetched_anew_once),
        cmocka_unit_test(test_a_refusal_of_an_old_token_costs_no_new_one),
        cmocka_unit_test(test_threads_that_find_a_token_due_fetch_it_once),
        cmocka_unit_test(test_threads_may_be_refused_while_others_fetch_a_token),
        cmocka_unit_test(test_a_token_that_lasts_no_time_is_used_nevertheless),
        cmocka_unit_test(test_a_token_that_does_not_come_whole_may_come_later),
        cmocka_unit_test(test_a_query_that_waits_for_a_token_can_be_canceled),
        cmocka_unit_test(test_requests_to_aws_are_signed),
        cmocka_unit_test(test_without_a_region_nothing_is_signed),
        cmocka_unit_test(test_a_query_reads_no_more_than_it_may),
        cmocka_unit_test(test_a_body_that_does_not_fit_is_refused),
        cmocka_unit_test(test_a_server_that_falls_silent_is_given_up),
        cmocka_unit_test(test_a_body_that_breaks_off_may_come_whole_later),
        cmocka_unit_test(test_what_is_closed_in_the_middle_leaves_nothing),
        cmocka_unit_test(test_what_is_damaged_is_counted_and_named),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
