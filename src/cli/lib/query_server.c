/*
 * query_server.c - runs a query on a server: posts a form, and steps through an answer of the API:
 *
 *     {"status":"success","data":{"resultType":"matrix","result":[
 *         {"metric":{...},"values":[[1.5,"2"],...],"histograms":[[1.5,{...}],...]},...]},
 *      "warnings":["..."],"infos":["..."]}
 *
 * The text is in memory; no tree is built of it. Members may have any order, with two exceptions
 * that hold for all servers: resultType precedes result, and metric precedes its points.
 */
#include "cli/lib/query.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "cli/lib/client_access.h"
#include "model/labels.h"
#include "wire/json/json_scan.h"

enum { VALUE_BYTES_MAX = 16 << 20, LABELS_MAX = 4096 };

struct answer_reading {
    struct scan s; /* sticky: bad also after an error of the sink */
    struct query_sink *sink;
    struct why *why;
    enum err error;     /* of the sink, with its sentence */
    struct arena arena; /* holds the current value */
    struct buf labels;
};

/* Ends reading if the sink returned an error. */
static bool
took(struct answer_reading *r, enum err e)
{
    if (e && r->s.bad == NULL) {
        r->error = e;
        scan_fail(&r->s, "refused");
    }
    return r->s.bad == NULL;
}

/* Takes the next value as it is. Of objects and arrays only the end is found, so that they may be
 * nested in any depth. */
static struct bytes
scan_raw(struct scan *s)
{
    uint32_t depth = 0;
    bool in_string = false;
    uint8_t c = scan_peek(s);
    const uint8_t *begin = s->at;
    if (c != '{' && c != '[') {
        scan_skip(s);
        return bytes_of(begin, (size_t)(s->at - begin));
    }
    do {
        c = s->at < s->end ? *s->at++ : 0;
        if (c == 0) scan_fail(s, "the end is missing");
        if (in_string && c == '\\')
            s->at += s->at < s->end;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string)
            depth += (uint32_t)(c == '{' || c == '[') - (uint32_t)(c == '}' || c == ']');
    } while (depth > 0 && s->bad == NULL);
    return bytes_of(begin, (size_t)(s->at - begin));
}

/* Finds the next member of an object among `names`, which end at a NULL; returns their number
 * for another name. False: the object is closed, or an error. */
static bool
next_member(struct answer_reading *r, const char *const *names, unsigned *ret_which)
{
    struct bytes key;
    unsigned i = 0;
    arena_reset(&r->arena);
    if (!scan_key(&r->s, &key)) return false;
    while (names[i] != NULL && !bytes_equal_text(key, names[i]))
        i++;
    *ret_which = i;
    return true;
}

/* --- points ----------------------------------------------------------------------------------- */

static double
scan_quoted_number(struct scan *s)
{
    uint64_t bits = 0;
    struct bytes text = scan_text(s);
    if (s->bad == NULL && !number_parse((const char *)text.at, text.size, &bits))
        scan_fail(s, "expected a number in quotes");
    return bits_double(bits);
}

static int64_t
scan_seconds(struct scan *s)
{
    int64_t ms = 0;
    struct bytes digits = scan_number(s);
    if (s->bad == NULL && !time_parse_seconds(digits, &ms)) scan_fail(s, "expected a time");
    return ms;
}

/* Moves to the next item of an array, which must have one. */
static void
scan_next(struct scan *s)
{
    if (!scan_item(s)) scan_fail(s, "expected another item");
}

static void
scan_array_end(struct scan *s)
{
    if (scan_item(s)) scan_fail(s, "expected ']'");
}

/* [bounds, "lower", "upper", "count"] */
static struct fhist_bucket
scan_bucket(struct scan *s)
{
    struct fhist_bucket b = {0};
    scan_expect(s, '[');
    scan_next(s);
    struct bytes code = scan_number(s);
    char digit = s->bad == NULL && code.size == 1 ? (char)code.at[0] : 'x';
    if (digit < '0' || digit > '3') scan_fail(s, "unknown bounds of a bucket");
    b.has_lower = digit == '1' || digit == '3';
    b.has_upper = digit == '0' || digit == '3';
    scan_next(s);
    b.lower = scan_quoted_number(s);
    scan_next(s);
    b.upper = scan_quoted_number(s);
    scan_next(s);
    b.count = scan_quoted_number(s);
    scan_array_end(s);
    return b;
}

static void
scan_buckets(struct scan *s, struct query_histogram *h)
{
    struct fhist_bucket *buckets = NULL;
    scan_expect(s, '[');
    while (scan_item(s)) {
        struct fhist_bucket b = scan_bucket(s);
        struct fhist_bucket *more = arena_push(s->arena, buckets, h->bucket_count, sizeof b);
        if (more == NULL) {
            scan_fail(s, "not enough memory for a histogram");
            s->error = ERR_NOMEM;
            return;
        }
        buckets = more;
        buckets[h->bucket_count++] = b;
    }
    h->buckets = buckets;
}

static void
scan_histogram(struct scan *s, struct query_histogram *h)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key))
        if (bytes_equal_text(key, "count"))
            h->count = scan_quoted_number(s);
        else if (bytes_equal_text(key, "sum"))
            h->sum = scan_quoted_number(s);
        else if (bytes_equal_text(key, "buckets"))
            scan_buckets(s, h);
        else
            scan_skip(s);
}

/* [time, "value"], or [time, {...}] */
static void
read_point(struct answer_reading *r, bool histogram)
{
    struct query_histogram h = {0};
    struct query_point p = {.histogram = histogram ? &h : NULL};
    struct scan *s = &r->s;
    arena_reset(&r->arena);
    scan_expect(s, '[');
    scan_next(s);
    p.t_ms = scan_seconds(s);
    scan_next(s);
    if (histogram)
        scan_histogram(s, &h);
    else
        p.value = scan_quoted_number(s);
    scan_array_end(s);
    if (s->bad == NULL) (void)took(r, r->sink->ops->point(r->sink, &p, r->why));
}

/* --- series ----------------------------------------------------------------------------------- */

static void
answer_read_labels(struct answer_reading *r)
{
    static const struct labels_limits limits = {LABELS_MAX, VALUE_BYTES_MAX, VALUE_BYTES_MAX};
    struct bytes name;
    struct label *given = NULL;
    uint32_t count = 0;
    scan_expect(&r->s, '{');
    while (scan_key(&r->s, &name)) {
        struct label *more = arena_push(&r->arena, given, count, sizeof *given);
        if (more == NULL) {
            (void)took(r, why_set(r->why, ERR_NOMEM, "not enough memory for labels"));
            return;
        }
        given = more;
        given[count++] = (struct label){name, scan_text(&r->s)};
    }
    buf_clear(&r->labels);
    enum reject verdict =
        count == 0 ? REJECT_NONE : labels_build(given, count, &limits, &r->labels);
    if (buf_error(&r->labels))
        (void)took(r, why_set(r->why, ERR_NOMEM, "not enough memory for labels"));
    /* A label without a value is dropped; if all are, the series has no labels. */
    if (verdict != REJECT_NONE && verdict != REJECT_EMPTY_LABELS)
        scan_fail(&r->s, "invalid labels");
    if (r->s.bad == NULL)
        (void)took(r, r->sink->ops->series(r->sink, buf_bytes(&r->labels), r->why));
}

static void
answer_series(struct answer_reading *r)
{
    enum { METRIC, VALUE, HISTOGRAM, VALUES, HISTOGRAMS };
    static const char *const names[] = {"metric", "value",      "histogram",
                                        "values", "histograms", NULL};
    bool named = false;
    unsigned which;
    scan_expect(&r->s, '{');
    while (next_member(r, names, &which)) {
        if (which >= VALUE && which <= HISTOGRAMS && !named)
            scan_fail(&r->s, "points before their labels");
        switch (which) {
        case METRIC:
            named = true;
            answer_read_labels(r);
            break;
        case VALUE:
        case HISTOGRAM:
            read_point(r, which == HISTOGRAM);
            break;
        case VALUES:
        case HISTOGRAMS:
            scan_expect(&r->s, '[');
            while (scan_item(&r->s))
                read_point(r, which == HISTOGRAMS);
            break;
        default:
            (void)scan_raw(&r->s);
        }
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

static void
read_string(struct answer_reading *r)
{
    struct scan *s = &r->s;
    scan_expect(s, '[');
    scan_next(s);
    int64_t t_ms = scan_seconds(s);
    scan_next(s);
    struct bytes string = scan_text(s);
    scan_array_end(s);
    if (s->bad == NULL) (void)took(r, r->sink->ops->string(r->sink, t_ms, string, r->why));
}

static enum promql_type
read_type(struct answer_reading *r)
{
    struct bytes word = scan_text(&r->s);
    for (enum promql_type type = PROMQL_SCALAR; type <= PROMQL_MATRIX; type++)
        if (bytes_equal_text(word, promql_type_word(type))) return type;
    scan_fail(&r->s, "unknown resultType");
    return PROMQL_VECTOR;
}

static void
read_result(struct answer_reading *r, enum promql_type type)
{
    if (r->s.bad != NULL || !took(r, r->sink->ops->begin(r->sink, type, r->why))) return;
    if (type == PROMQL_STRING) {
        read_string(r);
    } else if (type == PROMQL_SCALAR) {
        if (took(r, r->sink->ops->series(r->sink, bytes_of("", 0), r->why))) read_point(r, false);
    } else {
        scan_expect(&r->s, '[');
        while (scan_item(&r->s))
            answer_series(r);
    }
}

static void
read_data(struct answer_reading *r)
{
    enum { TYPE, RESULT };
    static const char *const names[] = {"resultType", "result", NULL};
    bool known = false;
    enum promql_type type = PROMQL_VECTOR;
    unsigned which;
    scan_expect(&r->s, '{');
    while (next_member(r, names, &which)) {
        if (which == TYPE) {
            type = read_type(r);
            known = true;
        } else if (which == RESULT) {
            if (!known) scan_fail(&r->s, "result before resultType");
            read_result(r, type);
        } else {
            (void)scan_raw(&r->s);
        }
    }
}

static void
read_notes(struct answer_reading *r, enum promql_note kind)
{
    if (scan_peek(&r->s) == 'n') { /* null: the list is empty */
        scan_null(&r->s);
        return;
    }
    scan_expect(&r->s, '[');
    while (scan_item(&r->s)) {
        struct bytes sentence = scan_text(&r->s);
        if (r->s.bad == NULL) r->sink->ops->note(r->sink, kind, sentence);
    }
}

static void
answer_object(struct answer_reading *r)
{
    enum { DATA, WARNINGS, INFOS };
    static const char *const names[] = {"data", "warnings", "infos", NULL};
    bool any = false;
    unsigned which;
    scan_expect(&r->s, '{');
    while (next_member(r, names, &which)) {
        any |= which == DATA;
        if (which == DATA && r->sink->ops->data == NULL) {
            read_data(r);
        } else if (which == WARNINGS || which == INFOS) {
            read_notes(r, which == WARNINGS ? PROMQL_WARNING : PROMQL_INFO);
        } else {
            struct bytes value = scan_raw(&r->s);
            if (which == DATA && r->s.bad == NULL)
                (void)took(r, r->sink->ops->data(r->sink, value, r->why));
        }
    }
    scan_end(&r->s);
    if (!any) scan_fail(&r->s, "it has no data");
}

static enum err
read_with(void (*read)(struct answer_reading *r), struct bytes text, struct query_sink *sink,
          struct why *why)
{
    struct answer_reading r = {.sink = sink, .why = why};
    arena_init(&r.arena, NULL, 8 * VALUE_BYTES_MAX, 0);
    buf_init(&r.labels, NULL, 2 * VALUE_BYTES_MAX);
    r.s = scan_of(text, &r.arena);
    read(&r);
    if (r.s.bad != NULL && r.error == OK) {
        r.error = why_set(why, r.s.error == ERR_INPUT ? ERR_UNSUPPORTED : r.s.error,
                          "the response is not an answer to a query: %s at byte %zu", r.s.bad,
                          (size_t)(r.s.at - r.s.start) + 1);
    }
    arena_fini(&r.arena);
    buf_fini(&r.labels);
    return r.error;
}

enum err
query_answer_read(struct bytes text, struct query_sink *sink, struct why *why)
{
    return read_with(answer_object, text, sink, why);
}

enum err
query_answer_data(struct bytes text, struct query_sink *sink, struct why *why)
{
    return read_with(read_data, text, sink, why);
}

bool
query_answer_refusal(struct bytes body, struct buf *sentence, bool *ret_bad_data)
{
    enum { STATUS, TYPE, ERROR, COUNT };
    static const char *const names[COUNT] = {"status", "errorType", "error"};
    struct bytes key, values[COUNT] = {{NULL, 0}};
    struct arena arena;
    arena_init(&arena, NULL, VALUE_BYTES_MAX, 0);
    struct scan s = scan_of(body, &arena);
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        unsigned i = 0;
        while (i < COUNT && !bytes_equal_text(key, names[i]))
            i++;
        if (i < COUNT)
            values[i] = scan_text(&s);
        else
            scan_skip(&s);
    }
    bool found =
        s.bad == NULL && bytes_equal_text(values[STATUS], "error") && values[ERROR].size > 0;
    if (found) buf_put_bytes(sentence, values[ERROR]);
    *ret_bad_data = found && bytes_equal_text(values[TYPE], "bad_data");
    arena_fini(&arena);
    return found;
}

struct answer_sentence
query_answer_sentence(const struct http_client_answer *answer)
{
    struct answer_sentence ret = {""};
    struct buf to = {.at = (uint8_t *)ret.text, .limit = sizeof ret.text - 1};
    bool unwanted;
    to.capacity = to.limit;
    if (!query_answer_refusal(bytes_of_text(answer->text), &to, &unwanted))
        memcpy(ret.text, answer->text, sizeof ret.text);
    return ret;
}

enum {
    URL_BYTES = 1200,
    FORM_BYTES_MAX = 64 << 20,
    REFUSAL_BYTES_MAX = 1 << 20,
    ANSWER_BYTES_MAX = 1 << 30,
    QUERY_SERVER_HEADERS_MAX = 40, /* more than a target has */
    PATIENCE_MS = 30 * 1000,       /* added to the server's own timeout */
};
#define DAY_NS (86400 * NS_PER_S) /* no server may take longer (`read.timeout`) */

void
query_put_time(struct buf *form, const char *name, int64_t t_ms)
{
    char text[TIME_TEXT_BYTES];
    buf_put_text(form, name);
    buf_put(form, text, time_print_seconds(t_ms, text));
}

static void
put_duration(struct buf *form, const char *name, int64_t ms)
{
    if (ms == 0) return;
    buf_put_text(form, name);
    buf_put_int(form, ms);
    buf_put_text(form, "ms");
}

static void
put_form(struct buf *form, const struct query_parameters *parameters)
{
    buf_put_text(form, "query=");
    buf_put_percent(form, parameters->expression, "");
    if (parameters->step_ms == 0) {
        query_put_time(form, "&time=", parameters->first_ms);
    } else {
        query_put_time(form, "&start=", parameters->first_ms);
        query_put_time(form, "&end=", parameters->last_ms);
        put_duration(form, "&step=", parameters->step_ms);
    }
    put_duration(form, "&lookback_delta=", parameters->lookback_ms);
    put_duration(form, "&timeout=", parameters->timeout_ms);
    if (parameters->limit > 0) {
        buf_put_text(form, "&limit=");
        buf_put_uint(form, parameters->limit);
    }
    if (parameters->mode == QUERY_ANALYZE) buf_put_text(form, "&analyze=true");
}

/* Takes the sentence of an error answer, without the API's prefix for invalid expressions. */
static enum err
refused(const struct http_client_request *request, const struct http_client_answer *answer,
        struct query_failure *failure, struct why *why)
{
    static const char prefix[] = "invalid parameter \"query\": ";
    struct buf *sentence = &failure->sentence;
    if (!query_answer_refusal(buf_bytes(request->refusal), sentence, &failure->bad_question)) {
        return why_set(why, ERR_UNSUPPORTED, "%s: status %u: %s%s", request->url, answer->status,
                       answer->text, answer->status == 401 ? CLIENT_ADVICE : "");
    }
    size_t size = sizeof prefix - 1;
    if (sentence->size > size && memcmp(sentence->at, prefix, size) == 0) {
        memmove(sentence->at, sentence->at + size, sentence->size - size);
        sentence->size -= size;
    }
    return ERR_INPUT;
}

static enum err
query_server_ask(const struct query_server *server, struct http_client *client, struct bytes form,
                 struct buf *refusal, const char *path, struct query_sink *sink,
                 struct query_failure *failure, struct why *why)
{
    char url[URL_BYTES];
    const char *headers[QUERY_SERVER_HEADERS_MAX] = {
        "Content-Type: application/x-www-form-urlencoded", "Accept: application/json"};
    for (unsigned i = 0, n = 2; server->headers[i] != NULL && n < QUERY_SERVER_HEADERS_MAX - 1; i++)
        headers[n++] = server->headers[i];
    int n = snprintf(url, sizeof url, "%s%s", server->base, path);
    if (n >= (int)sizeof url) return why_set(why, ERR_INPUT, "--url: URL is too long");
    struct http_client_request request = {
        .url = url, .headers = headers, .body = form, .refusal = refusal};
    struct http_client_answer answer = {.status = 0};
    struct buf text;
    buf_init(&text, NULL, ANSWER_BYTES_MAX);
    enum err e = http_client_fetch(client, &request, &text, &answer, why);
    if (answer.status != 0 && answer.status / 100 != 2) {
        e = refused(&request, &answer, failure, why);
    } else if (e == OK) {
        e = query_answer_read(buf_bytes(&text), sink, why);
        if (e == ERR_UNSUPPORTED) why_prefix(why, e, "%s", url);
    }
    buf_fini(&text);
    return e;
}

enum err
query_server(const struct query_server *server, const struct query_parameters *parameters,
             struct query_sink *sink, struct query_failure *failure, struct why *why)
{
    struct http_client_options http = server->http;
    struct http_client *client = NULL;
    struct buf form, refusal;
    const char *path = parameters->mode != QUERY_RESULT ? "/api/v1/explain"
                       : parameters->step_ms == 0       ? "/api/v1/query"
                                                        : "/api/v1/query_range";
    /* A server sends nothing while it computes. */
    http.idle_timeout_ns =
        parameters->timeout_ms > 0 ? (parameters->timeout_ms + PATIENCE_MS) * NS_PER_MS : DAY_NS;
    buf_init(&form, NULL, FORM_BYTES_MAX);
    buf_init(&refusal, NULL, REFUSAL_BYTES_MAX);
    put_form(&form, parameters);
    enum err e = buf_error(&form);
    if (e) why_set(why, e, "the expression is too long");
    if (e == OK) e = http_client_new(&http, &client, why);
    if (e == OK)
        e = query_server_ask(server, client, buf_bytes(&form), &refusal, path, sink, failure, why);
    http_client_free(client);
    buf_fini(&refusal);
    buf_fini(&form);
    return e;
}
