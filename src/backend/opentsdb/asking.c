/* asking.c - see asking.h. A response that says that the server does not know a name, or that the
 * result would be too large, is used and counts as no failure. */
#include "backend/opentsdb/asking.h"

#include "backend/common/http_common.h"
#include "base/text/shown.h"

enum {
    BODY_BYTES_MAX = 16 << 20,
    UNKNOWN_BYTES_MAX = 64 * 1024,
    REFUSAL_BYTES_MAX = 1 << 20,
};

static const char *
url_of(const struct opentsdb_ask *a)
{
    return a->base.q->of->options.settings->u.opentsdb.server.url;
}

void
opentsdb_ask_init(struct opentsdb_ask *a, struct fetch_question *q)
{
    fetch_ask_init(&a->base, q, BODY_BYTES_MAX);
    buf_init(&a->unknown, q->budget, UNKNOWN_BYTES_MAX);
    json_pieces_init(&a->pieces, q->budget);
}

void
opentsdb_ask_fini(struct opentsdb_ask *a)
{
    fetch_ask_fini(&a->base);
    buf_fini(&a->unknown);
    json_pieces_fini(&a->pieces);
}

void
opentsdb_ask_begin(struct opentsdb_ask *a, const char *path)
{
    fetch_ask_begin(&a->base, url_of(a), path);
}

static enum opentsdb_refusal
refusal_of(const struct http_call_answer *answer, struct arena *scratch, struct bytes *ret_name)
{
    return opentsdb_refusal_of(answer->status, answer->body, scratch, ret_name);
}

/* See fetch_request.judge: such a response is used. */
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

/* The meaning of a response without series. */
static enum err
take_refusal(struct opentsdb_ask *a, const struct http_call_answer *answer, struct why *why)
{
    struct arena *scratch = &a->base.q->scratch;
    struct bytes name;
    arena_reset(scratch);
    a->refusal = refusal_of(answer, scratch, &name);
    if (a->refusal == REFUSED_TOO_MUCH) {
        why_set(why, ERR_FULL,
                "the server refuses to read so much at once, even of a single hour: ask for fewer "
                "series, or raise tsd.query.limits.* or tsd.query.timeout there");
        return why_prefix(why, ERR_FULL, "%s", url_of(a));
    }
    buf_clear(&a->unknown);
    buf_put_bytes(&a->unknown, name);
    if (buf_error(&a->unknown)) return fetch_no_request_memory(why);
    return why_set(why, ERR_MISSING, "the server does not know %s", shown_of(name).text);
}

static enum err
send(struct opentsdb_ask *a, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/json; charset=UTF-8", NULL};
    static const struct fetch_request how = {.headers = headers, .judge = judge};
    const struct http_call_answer *answer;
    enum err e = fetch_ask_send(&a->base, &how, why);
    if (e == OK) e = fetch_ask_await(&a->base, &answer, why);
    if (e == OK && answer->status / 100 != 2) e = take_refusal(a, answer, why);
    if (e) fetch_ask_end(&a->base);
    json_pieces_begin(&a->pieces, fetch_ask_more, &a->base);
    return e;
}

/* `e`: the error of reading the response. */
static enum err
end(struct opentsdb_ask *a, enum err e, struct why *why)
{
    if (e == ERR_CORRUPT) {
        why_prefix(why, e, "the response cannot be read");
        e = fetch_ask_failed(&a->base, e, why);
    }
    fetch_ask_end(&a->base);
    return e;
}

enum err
opentsdb_ask_series(struct opentsdb_ask *a, const struct opentsdb_sink *to, struct why *why)
{
    enum err e = send(a, why);
    if (e) return e;
    return end(a, opentsdb_read_series(&a->pieces, &a->base.q->scratch, to, why), why);
}

enum err
opentsdb_ask_names(struct opentsdb_ask *a,
                   enum err (*name)(void *context, struct bytes name, struct why *why),
                   void *context, struct why *why)
{
    enum err e = send(a, why);
    return e ? e : end(a, opentsdb_read_names(&a->pieces, name, context, why), why);
}
