/* asking.c - see asking.h. That the server does not know a name, or that an answer would be too
 * large, is an answer to go on with and counts as no failure. */
#include "backend/opentsdb/asking.h"

#include "backend/common/http_common.h"
#include "base/shown.h"

enum {
    URL_BYTES_MAX = 256 * 1024,
    BODY_BYTES_MAX = 16 << 20,
    UNKNOWN_BYTES_MAX = 64 * 1024,
    SCRATCH_BYTES_MAX = 64 << 20,
    REFUSAL_BYTES_MAX = 1 << 20,
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

void
opentsdb_ask_init(struct opentsdb_ask *a, const struct source_settings *settings,
                  struct fetch_session *session, struct query_control *control,
                  struct budget *budget)
{
    *a = (struct opentsdb_ask){.settings = settings, .session = session, .control = control};
    buf_init(&a->url, budget, URL_BYTES_MAX);
    buf_init(&a->body, budget, BODY_BYTES_MAX);
    buf_init(&a->unknown, budget, UNKNOWN_BYTES_MAX);
    json_pieces_init(&a->pieces, budget);
    arena_init(&a->scratch, budget, SCRATCH_BYTES_MAX, 0);
}

static void
stop(struct opentsdb_ask *a)
{
    fetch_close(a->fetch);
    a->fetch = NULL;
}

void
opentsdb_ask_fini(struct opentsdb_ask *a)
{
    stop(a);
    buf_fini(&a->url);
    buf_fini(&a->body);
    buf_fini(&a->unknown);
    json_pieces_fini(&a->pieces);
    arena_fini(&a->scratch);
}

void
opentsdb_ask_begin(struct opentsdb_ask *a, const char *path)
{
    stop(a);
    buf_clear(&a->url);
    buf_clear(&a->body);
    http_url_begin(&a->url, a->settings->u.opentsdb.server.url, path);
}

void
opentsdb_ask_param(struct opentsdb_ask *a, const char *name, struct bytes value)
{
    http_url_param(&a->url, name, value);
}

static enum opentsdb_refusal
refusal_of(const struct http_call_answer *answer, struct arena *scratch, struct bytes *ret_name)
{
    return opentsdb_refusal_of(answer->status, answer->body, scratch, ret_name);
}

/* See fetch_request.judge: such an answer is what was asked for. */
static void
judge(const struct http_call_answer *answer, struct writer_step *step)
{
    struct arena scratch;
    struct bytes name;
    arena_init(&scratch, NULL, REFUSAL_BYTES_MAX, 0);
    if (refusal_of(answer, &scratch, &name) != REFUSED_OTHERWISE) {
        step->verdict = VERDICT_DELIVERED;
    }
    arena_fini(&scratch);
}

/* What an answer without series is. */
static enum err
take_refusal(struct opentsdb_ask *a, const struct http_call_answer *answer, struct why *why)
{
    struct bytes name;
    arena_reset(&a->scratch);
    a->refusal = refusal_of(answer, &a->scratch, &name);
    if (a->refusal == REFUSED_TOO_MUCH) {
        why_set(why, ERR_FULL,
                "the server refuses to read so much at once, even of a single hour: ask for fewer "
                "series, or raise tsd.query.limits.* or tsd.query.timeout there");
        return why_prefix(why, ERR_FULL, "%s", a->settings->u.opentsdb.server.url);
    }
    buf_clear(&a->unknown);
    buf_put_bytes(&a->unknown, name);
    if (buf_error(&a->unknown)) return no_memory(why);
    return why_set(why, ERR_MISSING, "the server does not know %s", shown_of(name).text);
}

static enum err
send(struct opentsdb_ask *a, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/json; charset=UTF-8", NULL};
    const struct http_call_answer *answer;
    http_url_end(&a->url, a->settings->u.opentsdb.server.url);
    enum err e = err_first(buf_error(&a->url), buf_error(&a->body));
    if (e == ERR_LIMIT) return why_set(why, e, "the request is too large");
    if (e) return no_memory(why);
    struct fetch_request request = {.method = a->body.size > 0 ? "POST" : "GET",
                                    .url = (const char *)a->url.at,
                                    .headers = headers,
                                    .body = buf_bytes(&a->body),
                                    .judge = judge};
    e = fetch_open(a->session, a->control, &request, &a->fetch, why);
    if (e == OK) e = fetch_await(a->fetch, &answer, why);
    if (e == OK) e = fetch_expect_ok(a->fetch, why);
    if (e == OK && answer->status / 100 != 2) e = take_refusal(a, answer, why);
    if (e) stop(a);
    return e;
}

static enum err
more(void *context, struct bytes *ret_piece, struct why *why)
{
    struct opentsdb_ask *a = context;
    enum err e = query_control_check(a->control, why);
    return e ? e : fetch_read(a->fetch, ret_piece, why);
}

/* `e`: of reading the answer. */
static enum err
end(struct opentsdb_ask *a, enum err e, struct why *why)
{
    if (e == ERR_CORRUPT) {
        why_prefix(why, e, "the response cannot be read");
        e = fetch_failed(a->fetch, e, why);
    }
    stop(a);
    return e;
}

enum err
opentsdb_ask_series(struct opentsdb_ask *a, const struct opentsdb_sink *to, struct why *why)
{
    enum err e = send(a, why);
    if (e) return e;
    json_pieces_begin(&a->pieces, more, a);
    return end(a, opentsdb_read_series(&a->pieces, &a->scratch, to, why), why);
}

enum err
opentsdb_ask_names(struct opentsdb_ask *a,
                   enum err (*name)(void *context, struct bytes name, struct why *why),
                   void *context, struct why *why)
{
    enum err e = send(a, why);
    if (e) return e;
    json_pieces_begin(&a->pieces, more, a);
    return end(a, opentsdb_read_names(&a->pieces, name, context, why), why);
}
