/* exchange.c - see exchange.h. A response that says that the server does not know a name, or that
 * the result would be too large, is used and counts as no failure. */
#include "backend/opentsdb/exchange.h"

#include "backend/common/http_common.h"
#include "base/text/shown.h"

enum {
    BODY_BYTES_MAX = 16 << 20,
    UNKNOWN_BYTES_MAX = 64 * 1024,
    REFUSAL_BYTES_MAX = 1 << 20,
};

static const char *
url_of(const struct opentsdb_exchange *x)
{
    return x->base.q->of->options.settings->u.opentsdb.server.url;
}

void
opentsdb_exchange_init(struct opentsdb_exchange *x, struct fetch_question *q)
{
    fetch_exchange_init(&x->base, q, BODY_BYTES_MAX);
    buf_init(&x->unknown, q->budget, UNKNOWN_BYTES_MAX);
    json_pieces_init(&x->pieces, q->budget);
}

void
opentsdb_exchange_fini(struct opentsdb_exchange *x)
{
    fetch_exchange_fini(&x->base);
    buf_fini(&x->unknown);
    json_pieces_fini(&x->pieces);
}

void
opentsdb_exchange_begin(struct opentsdb_exchange *x, const char *path)
{
    fetch_exchange_begin(&x->base, url_of(x), path);
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
take_refusal(struct opentsdb_exchange *x, const struct http_call_answer *answer, struct why *why)
{
    struct arena *scratch = &x->base.q->scratch;
    struct bytes name;
    arena_reset(scratch);
    x->refusal = refusal_of(answer, scratch, &name);
    if (x->refusal == REFUSED_TOO_MUCH) {
        why_set(why, ERR_FULL,
                "the server refuses to read so much at once, even of a single hour: ask for fewer "
                "series, or raise tsd.query.limits.* or tsd.query.timeout there");
        return why_prefix(why, ERR_FULL, "%s", url_of(x));
    }
    buf_clear(&x->unknown);
    buf_put_bytes(&x->unknown, name);
    if (buf_error(&x->unknown)) return fetch_no_request_memory(why);
    return why_set(why, ERR_MISSING, "the server does not know %s", shown_of(name).text);
}

static enum err
send(struct opentsdb_exchange *x, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/json; charset=UTF-8", NULL};
    static const struct fetch_request how = {.headers = headers, .judge = judge};
    const struct http_call_answer *answer;
    enum err e = fetch_exchange_send(&x->base, &how, why);
    if (e == OK) e = fetch_exchange_await(&x->base, &answer, why);
    if (e == OK && answer->status / 100 != 2) e = take_refusal(x, answer, why);
    if (e) fetch_exchange_end(&x->base);
    json_pieces_begin(&x->pieces, fetch_exchange_more, &x->base);
    return e;
}

/* `e`: the error of reading the response. */
static enum err
end(struct opentsdb_exchange *x, enum err e, struct why *why)
{
    if (e == ERR_CORRUPT) {
        why_prefix(why, e, "the response cannot be read");
        e = fetch_exchange_failed(&x->base, e, why);
    }
    fetch_exchange_end(&x->base);
    return e;
}

enum err
opentsdb_exchange_series(struct opentsdb_exchange *x, const struct opentsdb_sink *to,
                         struct why *why)
{
    enum err e = send(x, why);
    if (e) return e;
    return end(x, opentsdb_read_series(&x->pieces, &x->base.q->scratch, to, why), why);
}

enum err
opentsdb_exchange_names(struct opentsdb_exchange *x,
                        enum err (*name)(void *context, struct bytes name, struct why *why),
                        void *context, struct why *why)
{
    enum err e = send(x, why);
    return e ? e : end(x, opentsdb_read_names(&x->pieces, name, context, why), why);
}
