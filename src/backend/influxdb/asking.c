/* asking.c - see asking.h. */
#include "backend/influxdb/asking.h"

#include "backend/common/http_common.h"

enum {
    BODY_BYTES_MAX = 16 << 20,
    SECRET_BYTES_MAX = 128 * 1024,
    /* One record is held whole: 1000 histograms of the largest kind and what is around them. */
    RECORD_BYTES_MAX = 80 << 20,
};

static const struct influxdb_settings *
server_of(const struct influx_ask *a)
{
    return &a->base.q->of->options.settings->u.influxdb.server;
}

void
influx_ask_init(struct influx_ask *a, struct fetch_question *q)
{
    fetch_ask_init(&a->base, q, BODY_BYTES_MAX);
    buf_init_secret(&a->authorization, q->budget, SECRET_BYTES_MAX);
    buf_init(&a->rest, q->budget, RECORD_BYTES_MAX);
}

void
influx_ask_end(struct influx_ask *a)
{
    fetch_ask_end(&a->base);
    a->answered = a->ended = false;
    a->piece = bytes_of(NULL, 0);
    buf_clear(&a->rest);
}

void
influx_ask_fini(struct influx_ask *a)
{
    fetch_ask_fini(&a->base);
    buf_fini(&a->authorization);
    buf_fini(&a->rest);
}

void
influx_ask_begin(struct influx_ask *a, const char *path)
{
    influx_ask_end(a);
    fetch_ask_begin(&a->base, server_of(a)->url, path);
}

void
influx_ask_param(struct influx_ask *a, const char *name, const char *value)
{
    if (value != NULL) http_url_param(&a->base.url, name, bytes_of_text(value));
}

/* Reads the token, if there is one, before each request, as all secrets are. */
static enum err
put_authorization(struct influx_ask *a, struct why *why)
{
    const struct influxdb_settings *server = server_of(a);
    buf_wipe(&a->authorization);
    if (!secret_given(&server->token)) return OK;
    buf_put_text(&a->authorization, "Authorization: ");
    buf_put_text(&a->authorization, server->version == INFLUXDB_3 ? "Bearer " : "Token ");
    enum err e = secret_fetch(&server->token, &a->authorization, why);
    buf_put_u8(&a->authorization, 0);
    if (e == ERR_MISSING || e == ERR_LIMIT) return trouble_say(why, TROUBLE_CREDENTIALS, ERR_IO);
    return e == OK && buf_error(&a->authorization) ? fetch_no_request_memory(why) : e;
}

enum err
influx_ask_send(struct influx_ask *a, const char *const *headers, struct why *why)
{
    unsigned n = 0;
    enum err e = put_authorization(a, why);
    if (e) return e;
    if (a->authorization.size > 0) a->headers[n++] = (const char *)a->authorization.at;
    for (; *headers != NULL; headers++) {
        a->headers[n++] = *headers;
    }
    a->headers[n] = NULL;
    return fetch_ask_send(&a->base, &(struct fetch_request){.headers = a->headers}, why);
}

static enum err
await_answer(struct influx_ask *a, struct why *why)
{
    const struct http_call_answer *answer;
    enum err e = fetch_ask_await(&a->base, &answer, why);
    if (e == OK && answer->status != 200) { /* a proxy may send 204, without a result */
        why_set(why, ERR_CORRUPT, "status %u instead of 200", answer->status);
        e = fetch_ask_failed(&a->base, ERR_CORRUPT, why);
    }
    a->answered = e == OK;
    return e;
}

/* The position in `text` where the record ends that it begins or continues; SIZE_MAX if it does not
 * end there. */
static size_t
find_end(struct bytes text, bool quoted, bool *in_quotes)
{
    const uint8_t *at = text.at, *end = text.at + text.size;
    while (at < end) {
        const uint8_t *feed = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *stop = feed == NULL ? end : feed;
        for (const uint8_t *q = at; quoted && q < stop; q++) {
            q = memchr(q, '"', (size_t)(stop - q));
            if (q == NULL) break;
            *in_quotes = !*in_quotes;
        }
        if (feed == NULL) break;
        if (!*in_quotes) return (size_t)(feed - text.at);
        at = feed + 1;
    }
    return SIZE_MAX;
}

static enum err
keep(struct influx_ask *a, struct bytes part, struct why *why)
{
    buf_put_bytes(&a->rest, part);
    enum err e = buf_error(&a->rest);
    if (e == ERR_LIMIT) { /* InfluxDB sends none so long */
        why_set(why, ERR_CORRUPT, "a record of the response has more than %d bytes",
                (int)RECORD_BYTES_MAX);
        return fetch_ask_failed(&a->base, ERR_CORRUPT, why);
    }
    return e ? why_set(why, e, "not enough memory for the response") : OK;
}

enum err
influx_ask_record(struct influx_ask *a, bool quoted, struct bytes *ret_record, struct why *why)
{
    bool in_quotes = false;
    enum err e = a->answered ? OK : await_answer(a, why);
    buf_clear(&a->rest);
    *ret_record = bytes_of(NULL, 0);
    while (e == OK && !a->ended) {
        size_t size = find_end(a->piece, quoted, &in_quotes);
        if (size != SIZE_MAX) {
            struct bytes part = {a->piece.at, size};
            a->piece.at += size + 1;
            a->piece.size -= size + 1;
            *ret_record = part;
            if (a->rest.size == 0) return OK;
            e = keep(a, part, why);
            *ret_record = buf_bytes(&a->rest);
            return e;
        }
        e = keep(a, a->piece, why);
        if (e == OK) e = fetch_read(a->base.fetch, &a->piece, why);
        a->ended = e == OK && a->piece.size == 0;
    }
    if (e || a->rest.size == 0) return e;
    why_set(why, ERR_CORRUPT, "the response ends in the middle of a record");
    return fetch_ask_failed(&a->base, ERR_CORRUPT, why);
}
