/*
 * influxdb.c - destination type `influxdb`: InfluxDB 1, 2 and 3, by line protocol.
 *
 * A call collects lines; when it is first sent they are compressed, and the compressed bytes take
 * their place, so that a call never holds both. The size of a call is always that of its lines: the
 * ceiling that the relay lowers after a refusal must have one unit.
 *
 * Version 3 is written to by the path of version 2, which all its editions have, unlike its own.
 *
 * Sending a line twice changes nothing: InfluxDB keeps one value for each series, field and time.
 */
#include "backend/influxdb/influxdb_private.h"

#include <stdio.h>
#include <string.h>

#include "backend/common/http_common.h"
#include "backend/common/pack.h"
#include "wire/json/json_tree.h"
#include "wire/point/line_protocol.h"

enum {
    SAMPLES = 5000,
    BODY_BYTES = 512 * 1024,
    BODY_BYTES_MAX = 8 * 1024 * 1024, /* limit of the lines in a request; version 3 accepts 10 MB */
    INFLUXDB_TEXT_BYTES_MAX = BODY_BYTES_MAX + 1024 * 1024, /* with a last line of up to 1 MiB */
    LANES = 4,
    ANSWER_BYTES = 64 * 1024,
    URL_BYTES_MAX = 64 * 1024,
};

struct influxdb_writer {
    struct writer_base base;
    const struct influxdb_settings *settings;
    struct http_calls_target target;
    struct http_headers headers;
    struct packer *packer;
    struct buf packed; /* output of the packer, before it replaces a call's lines */
    struct buf url;    /* URL of writes, with a NUL at its end, as the next */
    struct buf ping_url;
};

struct influxdb_call {
    struct buf text; /* lines; compressed once `packed` */
    bool packed;
    uint32_t lines;
    uint64_t lines_bytes;
};

/* --- URL of writes ---------------------------------------------------------------------------- */

static void
put_param(struct buf *url, const char *name, const char *value)
{
    if (value != NULL) http_url_param(url, name, bytes_of_text(value));
}

static void
make_url(const struct influxdb_settings *s, struct buf *to)
{
    switch (s->version) {
    case INFLUXDB_1:
        http_url_begin(to, s->url, "/write");
        put_param(to, "db", s->database);
        put_param(to, "rp", s->retention_policy);
        put_param(to, "precision", "ms");
        break;
    case INFLUXDB_2:
        http_url_begin(to, s->url, "/api/v2/write");
        put_param(to, "org", s->org);
        put_param(to, "bucket", s->bucket);
        put_param(to, "precision", "ms");
        break;
    default:
        http_url_begin(to, s->url, "/api/v2/write");
        put_param(to, "bucket", s->database);
        put_param(to, "precision", "ms");
        break;
    }
    http_url_end(to, s->url);
}

/* --- the writer ------------------------------------------------------------------------------- */

static void
influxdb_fini(struct writer *writer)
{
    struct influxdb_writer *w = (struct influxdb_writer *)writer;
    packer_free(w->packer);
    http_headers_fini(&w->headers);
    buf_fini(&w->packed);
    buf_fini(&w->url);
    buf_fini(&w->ping_url);
}

static enum err
influxdb_init(struct writer *writer, struct why *why)
{
    struct influxdb_writer *w = (struct influxdb_writer *)writer;
    const struct writer_options *options = &w->base.options;
    w->base.limits = (struct writer_limits){
        .start_check = 2,
        .concurrency = LANES,
        .samples = SAMPLES,
        .bytes = BODY_BYTES,
        .samples_max = UINT32_MAX,
        .bytes_max = BODY_BYTES_MAX,
        .mapped = WRITER_MAPPED_FLOAT | WRITER_MAPPED_HISTOGRAM,
    };
    w->settings = &options->settings->u.influxdb;
    http_headers_init(&w->headers, options->memory);
    http_target_init(&w->target, &options->settings->http, options->settings->timeout_ms);
    buf_init(&w->packed, options->memory, 2 * INFLUXDB_TEXT_BYTES_MAX);
    buf_init(&w->url, options->memory, URL_BYTES_MAX);
    buf_init(&w->ping_url, options->memory, URL_BYTES_MAX);
    make_url(w->settings, &w->url);
    http_url_begin(&w->ping_url, w->settings->url, "/ping");
    http_url_end(&w->ping_url, w->settings->url);
    enum err e = err_first(buf_error(&w->url), buf_error(&w->ping_url));
    if (e == ERR_LIMIT)
        return why_set(why, ERR_INPUT,
                       "url is too long with the names of database, bucket or organization in it");
    return e ? e : packer_new(COMPRESSION_GZIP, &w->packer);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
influxdb_call_init(struct writer *writer, struct writer_call *call)
{
    struct influxdb_writer *w = (struct influxdb_writer *)writer;
    struct influxdb_call *c = (struct influxdb_call *)call;
    buf_init(&c->text, w->base.options.memory, INFLUXDB_TEXT_BYTES_MAX);
    return OK;
}

static void
influxdb_call_fini(struct writer *writer, struct writer_call *call)
{
    (void)writer;
    buf_fini(&((struct influxdb_call *)call)->text);
}

static void
influxdb_call_clear(struct writer *writer, struct writer_call *call)
{
    struct influxdb_call *c = (struct influxdb_call *)call;
    (void)writer;
    buf_clear(&c->text);
    c->packed = false;
    c->lines = 0;
    c->lines_bytes = 0;
}

static enum writer_add
influxdb_add(struct writer *writer, struct writer_call *call, const struct item *item,
             uint32_t *ret_entry, struct why *why)
{
    struct influxdb_call *c = (struct influxdb_call *)call;
    (void)writer;
    *ret_entry = 0;
    if (item->kind == ITEM_EXEMPLAR) return writer_unfit(why, "InfluxDB cannot store exemplars");
    if (item->kind == ITEM_METADATA) return writer_unfit(why, "InfluxDB cannot store metadata");
    if (c->lines > 0 && c->text.size >= BODY_BYTES_MAX) return WRITER_FULL;
    struct labelled_sample sample = item_sample(item);
    size_t before = c->text.size;
    enum err e = line_protocol_put(&c->text, &sample, why);
    bool full = e == OK && c->lines > 0 && c->text.size > BODY_BYTES_MAX;
    if (e || full) {
        c->text.size = before;
        c->text.failed = OK;
    }
    if (e == ERR_INPUT) return WRITER_UNFIT;
    if (e == ERR_LIMIT && c->lines == 0)
        return writer_unfit(why, "metric name and labels are too long");
    if (e == ERR_LIMIT || full) return WRITER_FULL;
    if (e) return WRITER_NO_MEMORY;
    c->lines++;
    c->lines_bytes = c->text.size;
    return WRITER_ADDED;
}

static uint64_t
influxdb_bytes(const struct writer *writer, const struct writer_call *call)
{
    const struct influxdb_call *c = (const struct influxdb_call *)call;
    (void)writer;
    return c->lines_bytes;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
pack_call(struct influxdb_writer *w, struct influxdb_call *c)
{
    if (c->packed) return OK;
    enum err e = pack_in_place(w->packer, &c->text, &w->packed);
    c->packed = e == OK;
    return e;
}

static bool
influxdb_maps(struct writer *writer, enum writer_mapped role, struct bytes text)
{
    (void)writer;
    return line_text_is_coded(text, role == WRITER_MAPPED_METRIC       ? LINE_MEASUREMENT
                                    : role == WRITER_MAPPED_LABEL_NAME ? LINE_TAG_KEY
                                                                       : LINE_TAG_VALUE);
}

static void
send_request(struct influxdb_writer *w, const char *method, const struct buf *url,
             struct bytes body, struct writer_step *step)
{
    const struct influxdb_settings *s = w->settings;
    const struct authorization_settings token = {
        .type = s->version == INFLUXDB_3 ? "Bearer" : "Token", .credentials = s->token};
    const struct http_plain request = {
        .settings = &w->base.options.settings->http,
        .target = &w->target,
        .method = method,
        .url = (const char *)url->at,
        .content_type = "text/plain; charset=utf-8",
        .content_encoding = body.size > 0 ? "gzip" : NULL,
        .basic_auth = &s->basic_auth,
        .authorization = &token,
        .body = body,
        .answer_bytes_max = ANSWER_BYTES,
    };
    http_send_plain(&w->headers, &request, step);
}

static void
influxdb_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct influxdb_writer *w = (struct influxdb_writer *)writer;
    struct influxdb_call *c = (struct influxdb_call *)call;
    if (pack_call(w, c) != OK) {
        step_no_memory(step, "a request");
        return;
    }
    send_request(w, "POST", &w->url, buf_bytes(&c->text), step);
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool
begins(const struct http_call_answer *answer, const char *text)
{
    size_t size = strlen(text);
    return answer->body.size >= size && memcmp(answer->body.at, text, size) == 0;
}

/* Version 1 responds with 404 or 500. Only the start is searched: names and labels may follow. */
static bool
is_missing(const struct http_call_answer *answer)
{
    return begins(answer, "{\"error\":\"database not found") ||
           begins(answer, "{\"error\":\"retention policy not found");
}

/* Some points are refused. If these are all, as when a call is older than the retention, they need
 * not be tried one by one; but a limit of series refuses more points than needed, and the rest of a
 * limit shows only when they are tried. */
static void
judge_refusal(const struct influxdb_call *c, const struct http_call_answer *answer,
              struct writer_step *step)
{
    struct influxdb_refusal refusal;
    if (answer->body_cut) return;
    influxdb_answer_read(answer->body, &refusal);
    if (refusal.passes)
        step->verdict = VERDICT_RETRY;
    else if (refusal.dropped >= c->lines && !refusal.by_series)
        step->verdict = VERDICT_DEAD;
}

static void
influxdb_judge(struct writer *writer, struct writer_call *call,
               const struct http_call_answer *answer, struct writer_step *step)
{
    struct influxdb_call *c = (struct influxdb_call *)call;
    (void)writer;
    http_judge(answer, step);
    if (step->verdict == VERDICT_DELIVERED && answer->body.size > 0)
        step->verdict = VERDICT_RETRY; /* a successful write has status 204 and no body */
    if (answer->failure != HTTP_CALL_ANSWERED || step->verdict == VERDICT_DELIVERED) return;
    if (is_missing(answer))
        step->verdict = VERDICT_BLOCKED;
    else if (answer->status == 503 && step->wait_ms > 0)
        step->verdict = VERDICT_THROTTLED; /* the server is up and asks for less */
    else if (step->verdict == VERDICT_SOME_DEAD)
        judge_refusal(c, answer, step);
}

/* --- permission check ------------------------------------------------------------------------- */

/* A write of nothing. Versions that require a line respond with 400 after they have checked token
 * and database. */
static void
check_write(struct influxdb_writer *w, const struct http_call_answer *answer,
            struct writer_step *step)
{
    struct bytes nothing = {NULL, 0};
    if (answer == NULL) {
        send_request(w, "POST", &w->url, nothing, step);
        return;
    }
    http_judge(answer, step);
    if (is_missing(answer)) step->verdict = VERDICT_BLOCKED;
    bool lacks_lines = answer->failure == HTTP_CALL_ANSWERED && answer->status == 400;
    if (lacks_lines && step->verdict == VERDICT_SOME_DEAD) step_unproven(step);
}

static bool
influxdb_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
               struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    struct influxdb_writer *w = (struct influxdb_writer *)writer;
    static const struct bytes nothing = {NULL, 0};
    if (number > 1) return false;
    snprintf(what, WRITER_ANSWER_BYTES, "%s",
             number == 0 ? "response from /ping" : "an empty write");
    if (number == 1)
        check_write(w, answer, ret_step);
    else if (answer != NULL)
        http_judge(answer, ret_step);
    else
        send_request(w, "GET", &w->ping_url, nothing, ret_step);
    return true;
}

const struct writer_class influxdb_writer = {
    .type = DESTINATION_INFLUXDB,
    .writer_bytes = sizeof(struct influxdb_writer),
    .call_bytes = sizeof(struct influxdb_call),
    .init = influxdb_init,
    .fini = influxdb_fini,
    .call_init = influxdb_call_init,
    .call_fini = influxdb_call_fini,
    .call_clear = influxdb_call_clear,
    .add = influxdb_add,
    .bytes = influxdb_bytes,
    .maps = influxdb_maps,
    .begin = influxdb_begin,
    .judge = influxdb_judge,
    .check = influxdb_check,
};

/* --- refusals --------------------------------------------------------------------------------- */

static bool
says(struct bytes text, const char *words)
{
    return memmem(text.at, text.size, words, strlen(words)) != NULL;
}

/* The text after the first `before`; false if there is none. */
static bool
find_after(struct bytes text, const char *before, struct bytes *ret_rest)
{
    size_t size = strlen(before);
    const uint8_t *at = memmem(text.at, text.size, before, size);
    if (at == NULL) return false;
    at += size;
    *ret_rest = bytes_of(at, (size_t)(text.at + text.size - at));
    return true;
}

/* The last number counts: labels may come before it. */
static uint64_t
read_dropped(struct bytes text)
{
    uint64_t count = 0;
    bool found = false;
    while (find_after(text, "dropped=", &text))
        found = true;
    if (!found || text.size == 0) return 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return 0;
        if (count <= UINT32_MAX) count = 10 * count + (uint64_t)(text.at[i] - '0');
    }
    return count;
}

static void
take_text(struct influxdb_refusal *refusal, struct bytes text)
{
    /* not shown: searched for in responses */
    static const char partial[] = "partial write: ", shard[] = "partial write: shard ";
    struct bytes rest;
    if (text.size == 0 || !find_after(text, partial, &rest)) return;
    refusal->dropped = read_dropped(rest);
    refusal->by_series = says(rest, "max-series-per-database");
    refusal->passes = says(text, shard) && says(rest, " is pending deletion");
}

void
influxdb_answer_read(struct bytes body, struct influxdb_refusal *ret_refusal)
{
    *ret_refusal = (struct influxdb_refusal){.dropped = 0};
    json_t *root = json_loadb(body.at == NULL ? "" : (const char *)body.at, body.size, 0, NULL);
    take_text(ret_refusal, json_tree_text(json_object_get(root, "error")));
    take_text(ret_refusal, json_tree_text(json_object_get(root, "message")));
    json_decref(root);
}
