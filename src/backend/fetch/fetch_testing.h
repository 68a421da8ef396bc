/*
 * fetch_testing.h - a source of a test: its fetcher and a session, and queries in threads of their
 * own, each of which reads one answer.
 */
#ifndef BACKEND_FETCH_FETCH_TESTING_H
#define BACKEND_FETCH_FETCH_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/fetch/fetch.h"
#include "lib/http_player.h"

#define TOKEN(text)                                                                      \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"" text \
    "\",\"expires_in\":3600}"
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
static inline void
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

static inline struct fetcher_options
rig_options(struct rig *r, const struct fetch_signing *signing)
{
    return (struct fetcher_options){
        .reader = {env_real(), &r->memory, &r->settings, r->puller, &r->counts},
        .signing = signing};
}

static inline void
rig_start(struct rig *r)
{
    struct fetcher_options options = rig_options(r, NULL);
    assert_int_equal(fetcher_new(&options, &r->fetcher, &r->why), OK);
    assert_int_equal(fetch_session_open(r->fetcher, &r->query, &r->session, &r->why), OK);
}

/* Whatever happened: nothing is left. */
static inline void
rig_fini(struct rig *r)
{
    fetch_session_close(r->session);
    fetcher_free(r->fetcher);
    http_puller_free(r->puller);
    assert_int_equal(budget_used(&r->query), 0);
    assert_int_equal(budget_used(&r->memory), 0);
}

/* Of the last failure. */
static inline void
expect_trouble(const struct rig *r, enum trouble trouble)
{
    assert_string_equal(trouble_word((enum trouble)r->why.trouble), trouble_word(trouble));
}

static inline struct fetch *
open_at(struct rig *r, const char *url)
{
    struct fetch_request request = {.method = "GET", .url = url};
    struct fetch *fetch = NULL;
    enum err e = fetch_open(r->session, NULL, &request, &fetch, &r->why);
    if (e) fail_msg("%s: %s", err_word(e), r->why.text);
    return fetch;
}

/* The status; 0: `expected` is the error of waiting for it. */
static inline unsigned
await_of(struct rig *r, struct fetch *fetch, enum err expected)
{
    const struct http_call_answer *answer;
    enum err e = fetch_await(fetch, &answer, &r->why);
    if (e != expected) fail_msg("%s: %s", err_word(e), r->why.text);
    return e == OK ? answer->status : 0;
}

static inline void
expect_words(const struct rig *r, const char *words)
{
    if (strstr(r->why.text, words) == NULL) fail_msg("'%s' is not in: %s", words, r->why.text);
}

static inline void
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

static inline bool
note_look(void *context)
{
    atomic_fetch_add((atomic_uint *)context, 1);
    return false;
}

static inline bool
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

static inline void *
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

static inline void
reading_start(struct reading *x, struct rig *rig, const char *url)
{
    memset(x, 0, sizeof *x);
    x->rig = rig;
    x->url = url;
    assert_int_equal(pthread_create(&x->thread, NULL, read_one, x), 0);
}

static inline void
reading_join(struct reading *x)
{
    pthread_join(x->thread, NULL);
    if (x->result) fail_msg("%s: %s", err_word(x->result), x->why.text);
}

static inline void
await_look(struct reading *x)
{
    while (atomic_load(&x->looks) == 0) {
        sched_yield();
    }
}

static inline void
use_oauth2(struct rig *r, const struct player *tokens)
{
    r->settings.oauth2.client_id = "me";
    r->settings.oauth2.token_url = tokens->url;
    r->settings.oauth2.http.proxy_url = "";
}

#endif
