/*
 * influxdb_reader.c - a source of type influxdb: see influxdb_private.h.
 *
 * Names and values of labels are found out of the series, except the values of one label without
 * matchers: then each value is given once.
 */
#include "backend/influxdb/influxdb_private.h"

#include "backend/common/http_common.h"
#include "model/labels.h"

/* --- requests --------------------------------------------------------------------------------- */

enum {
    READER_BODY_BYTES_MAX = 16 << 20,
    SECRET_BYTES_MAX = 128 * 1024,
    /* One record is held whole: 1000 histograms of the largest kind and what is around them. */
    RECORD_BYTES_MAX = 80 << 20,
};

static const struct influxdb_settings *
server_of(const struct influx_exchange *x)
{
    return &x->base.q->of->options.settings->u.influxdb.server;
}

void
influx_exchange_init(struct influx_exchange *x, struct fetch_question *q)
{
    fetch_exchange_init(&x->base, q, READER_BODY_BYTES_MAX);
    buf_init_secret(&x->authorization, q->budget, SECRET_BYTES_MAX);
    buf_init(&x->rest, q->budget, RECORD_BYTES_MAX);
}

void
influx_exchange_end(struct influx_exchange *x)
{
    fetch_exchange_end(&x->base);
    x->answered = x->ended = false;
    x->piece = bytes_of(NULL, 0);
    buf_clear(&x->rest);
}

void
influx_exchange_fini(struct influx_exchange *x)
{
    fetch_exchange_fini(&x->base);
    buf_fini(&x->authorization);
    buf_fini(&x->rest);
}

void
influx_exchange_begin(struct influx_exchange *x, const char *path)
{
    influx_exchange_end(x);
    fetch_exchange_begin(&x->base, server_of(x)->url, path);
}

void
influx_exchange_param(struct influx_exchange *x, const char *name, const char *value)
{
    if (value != NULL) http_url_param(&x->base.url, name, bytes_of_text(value));
}

/* Reads the token, if there is one, before each request, as all secrets are. */
static enum err
put_authorization(struct influx_exchange *x, struct why *why)
{
    const struct influxdb_settings *server = server_of(x);
    buf_wipe(&x->authorization);
    if (!secret_given(&server->token)) return OK;
    buf_put_text(&x->authorization, "Authorization: ");
    buf_put_text(&x->authorization, server->version == INFLUXDB_3 ? "Bearer " : "Token ");
    enum err e = secret_fetch(&server->token, &x->authorization, why);
    buf_put_u8(&x->authorization, 0);
    if (e == ERR_MISSING || e == ERR_LIMIT) return trouble_say(why, TROUBLE_CREDENTIALS, ERR_IO);
    return e == OK && buf_error(&x->authorization) ? fetch_no_request_memory(why) : e;
}

enum err
influx_exchange_send(struct influx_exchange *x, const char *const *headers, struct why *why)
{
    unsigned n = 0;
    enum err e = put_authorization(x, why);
    if (e) return e;
    if (x->authorization.size > 0) x->headers[n++] = (const char *)x->authorization.at;
    for (; *headers != NULL; headers++)
        x->headers[n++] = *headers;
    x->headers[n] = NULL;
    return fetch_exchange_send(&x->base, &(struct fetch_request){.headers = x->headers}, why);
}

static enum err
await_answer(struct influx_exchange *x, struct why *why)
{
    const struct http_call_answer *answer;
    enum err e = fetch_exchange_await(&x->base, &answer, why);
    if (e == OK && answer->status != 200) { /* a proxy may send 204, without a result */
        why_set(why, ERR_CORRUPT, "status %u instead of 200", answer->status);
        e = fetch_exchange_failed(&x->base, ERR_CORRUPT, why);
    }
    x->answered = e == OK;
    return e;
}

static enum err
keep(struct influx_exchange *x, struct bytes part, struct why *why)
{
    buf_put_bytes(&x->rest, part);
    enum err e = buf_error(&x->rest);
    if (e == ERR_LIMIT) { /* InfluxDB sends none so long */
        why_set(why, ERR_CORRUPT, "a record of the response has more than %d bytes",
                (int)RECORD_BYTES_MAX);
        return fetch_exchange_failed(&x->base, ERR_CORRUPT, why);
    }
    return e ? why_set(why, e, "not enough memory for the response") : OK;
}

enum err
influx_exchange_record(struct influx_exchange *x, struct bytes *ret_record, struct why *why)
{
    enum err e = x->answered ? OK : await_answer(x, why);
    buf_clear(&x->rest);
    *ret_record = bytes_of(NULL, 0);
    while (e == OK && !x->ended) {
        const uint8_t *end = x->piece.size == 0 ? NULL : memchr(x->piece.at, '\n', x->piece.size);
        if (end != NULL) {
            struct bytes part = {x->piece.at, (size_t)(end - x->piece.at)};
            x->piece.at += part.size + 1;
            x->piece.size -= part.size + 1;
            *ret_record = part;
            if (x->rest.size == 0) return OK;
            e = keep(x, part, why);
            *ret_record = buf_bytes(&x->rest);
            return e;
        }
        e = keep(x, x->piece, why);
        if (e == OK) e = fetch_read(x->base.fetch, &x->piece, why);
        x->ended = e == OK && x->piece.size == 0;
    }
    if (e || x->rest.size == 0) return e;
    why_set(why, ERR_CORRUPT, "the response ends in the middle of a record");
    return fetch_exchange_failed(&x->base, ERR_CORRUPT, why);
}

/* --- reader ----------------------------------------------------------------------------------- */

/* Finds the series of all metrics. */
static enum err
find_keys(struct influx_question *q, enum influx_grouping grouping, struct why *why)
{
    uint32_t count = 0;
    q->grouping = grouping;
    enum err e = influx_question_list(q, why);
    for (uint32_t first = 0; first < q->metric_count && e == OK; first += count)
        e = influxql_keys(q, first, &count, why);
    influx_exchange_end(&q->exchange);
    return e;
}

static enum err
find_series(struct fetch_question *base, struct why *why)
{
    return find_keys((struct influx_question *)base, GROUPED_BY_ALL, why);
}

static enum err
fetch_samples(struct fetch_question *base, const struct series_block *block, struct why *why)
{
    return influxql_samples((struct influx_question *)base, block, why);
}

/* Supported without matchers, since some of them cannot be exact conditions. */
static enum err
label_values(struct fetch_question *base, struct why *why)
{
    struct influx_question *q = (struct influx_question *)base;
    if (base->matcher_count > 0) return ERR_UNSUPPORTED;
    if (bytes_equal_text(base->name, "__name__")) return find_keys(q, GROUPED_BY_NONE, why);
    if (!influx_is_plain_label(q, base->name)) return ERR_UNSUPPORTED;
    if (!influxql_can_quote(base->name)) return ERR_UNSUPPORTED;
    return find_keys(q, GROUPED_BY_ONE, why);
}

static enum err
open_reader(struct fetch_reader *base, struct why *why)
{
    const struct influxdb_read_settings *x = &base->options.settings->u.influxdb;
    struct influx_reader *reader = (struct influx_reader *)base;
    (void)why;
    reader->telegraf = x->mapping == INFLUXDB_TELEGRAF;
    return OK;
}

enum err
influxdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                    struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct influx_reader),
        .question_bytes = sizeof(struct influx_question),
        .min_ms = -LINE_TIME_MS_MAX - 1,
        .max_ms = LINE_TIME_MS_MAX,
        .arena_bytes_max = 1 << 30,
        .scratch_bytes_max = 256 << 20,
        .text_bytes_max = 256 << 20,
        .open = open_reader,
        .init = influx_question_init,
        .fini = influx_question_fini,
        .find = find_series,
        .samples = fetch_samples,
        .values = label_values,
    };
    return fetch_reader_new(&type, options, NULL, ret_answerer, why);
}
