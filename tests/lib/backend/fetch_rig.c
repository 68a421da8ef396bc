/* fetch_rig.c - see fetch_rig.h. */
#include "lib/backend/fetch_rig.h"

#include <sched.h>
#include <string.h>

#include "lib/test.h"

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

void
fetch_rig_init(struct fetch_rig *r, unsigned count, const char *const *answers)
{
    memset(r, 0, sizeof *r);
    budget_init(&r->memory, "source", 0, NULL);
    budget_init(&r->query, "query", 0, NULL);
    r->settings.name = "test";
    r->settings.http.proxy_url = "";
    r->settings.timeout_ms = HOUR_MS;
    r->settings.max_concurrent = 4;
    r->leaving = (struct query_control){
        .env = env_real(), .is_gone = is_gone_the_second_time, .gone_context = &r->looks};
    assert_int_equal(http_puller_new(env_real(), "test/1", &r->puller, NULL), OK);
    player_start(&r->player, count, answers);
    player_start(&r->tokens, 0, NULL);
}

void
fetch_rig_use_tokens(struct fetch_rig *r, unsigned count, const char *const *answers)
{
    player_stop(&r->tokens);
    player_start(&r->tokens, count, answers);
    r->settings.oauth2.client_id = "me";
    r->settings.oauth2.token_url = r->tokens.url;
    r->settings.oauth2.http.proxy_url = "";
}

enum err
fetch_rig_open(struct fetch_rig *r)
{
    const struct fetcher_options options = {
        .reader = {env_real(), &r->memory, &r->settings, r->puller, &r->counts},
        .signing = r->signing};
    enum err e = fetcher_new(&options, &r->fetcher, &r->why);
    return e ? e : fetch_session_open(r->fetcher, &r->query, &r->session, &r->why);
}

void
fetch_rig_start(struct fetch_rig *r)
{
    assert_int_equal(fetch_rig_open(r), OK);
}

void
fetch_rig_stop(struct fetch_rig *r)
{
    fetch_session_close(r->session);
    fetcher_free(r->fetcher);
    http_puller_free(r->puller);
    assert_int_equal(budget_used(&r->query), 0);
    assert_int_equal(budget_used(&r->memory), 0);
    player_stop(&r->player);
    player_stop(&r->tokens);
}

/* --- fetches ---------------------------------------------------------------------------------- */

struct fetch *
fetch_rig_get(struct fetch_rig *r, const char *url)
{
    const struct fetch_request request = {.method = "GET",
                                          .url = url == NULL ? r->player.url : url};
    struct fetch *fetch = NULL;
    enum err e = fetch_open(r->session, NULL, &request, &fetch, &r->why);
    if (e) fail_msg("%s: %s", err_word(e), r->why.text);
    return fetch;
}

enum err
fetch_rig_try(struct fetch_rig *r, struct fetch_session *session, struct query_control *control,
              struct fetch **ret_fetch)
{
    const struct fetch_request request = {.method = "GET", .url = NOBODY};
    return fetch_open(session, control, &request, ret_fetch, &r->why);
}

unsigned
fetch_rig_await(struct fetch_rig *r, struct fetch *fetch, enum err expected)
{
    const struct http_call_answer *answer;
    enum err e = fetch_await(fetch, &answer, &r->why);
    if (e != expected) fail_msg("%s: %s", err_word(e), r->why.text);
    return e == OK ? answer->status : 0;
}

void
fetch_rig_expect_status(struct fetch_rig *r, struct fetch *fetch, unsigned status,
                        enum err expected)
{
    assert_int_equal(fetch_rig_await(r, fetch, OK), status);
    assert_int_equal(fetch_expect_ok(fetch, &r->why), expected);
    fetch_close(fetch);
}

void
fetch_rig_expect_hello(struct fetch_rig *r, struct fetch *fetch)
{
    struct buf body;
    buf_init(&body, &r->query, 1000);
    assert_int_equal(fetch_rig_await(r, fetch, OK), 200);
    assert_int_equal(fetch_expect_ok(fetch, &r->why), OK);
    assert_int_equal(fetch_read_all(fetch, &body, &r->why), OK);
    assert_true(bytes_equal_text(buf_bytes(&body), "hello"));
    buf_fini(&body);
    fetch_close(fetch);
}

enum err
fetch_rig_read_all(struct fetch_rig *r, struct fetch *fetch, size_t room)
{
    struct buf body;
    buf_init(&body, &r->query, room);
    enum err e = fetch_read_all(fetch, &body, &r->why);
    buf_fini(&body);
    return e;
}

void
fetch_rig_expect_trouble(const struct fetch_rig *r, enum trouble trouble)
{
    assert_string_equal(trouble_word((enum trouble)r->why.trouble), trouble_word(trouble));
}

void
fetch_rig_expect_words(const struct fetch_rig *r, const char *words)
{
    if (strstr(r->why.text, words) == NULL) fail_msg("'%s' is not in: %s", words, r->why.text);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void *
read_one(void *context)
{
    struct fetch_thread *x = context;
    struct fetch_rig *r = x->rig;
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

void
fetch_thread_start(struct fetch_thread *x, struct fetch_rig *r, const char *url)
{
    memset(x, 0, sizeof *x);
    x->rig = r;
    x->url = url;
    assert_int_equal(pthread_create(&x->thread, NULL, read_one, x), 0);
}

void
fetch_thread_join(struct fetch_thread *x)
{
    pthread_join(x->thread, NULL);
    if (x->result) fail_msg("%s: %s", err_word(x->result), x->why.text);
}

void
fetch_thread_await_look(struct fetch_thread *x)
{
    while (atomic_load(&x->looks) == 0)
        sched_yield();
}
