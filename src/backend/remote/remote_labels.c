/* remote_labels.c - names, values and series by the Prometheus API of a server that has one. *
 * Names and values are not requested with matchers: old servers ignore matchers there, and the
 * result cannot be filtered. Series can be filtered. */
#include "backend/remote/remote_private.h"

#include <stdio.h>

#include "backend/common/http_common.h"
#include "base/text/hex.h"
#include "model/selector.h"
#include "wire/escaped_name.h"
#include "wire/json/json_scan.h"

/* --- responses -------------------------------------------------------------------------------- */

/* A response may be large: each item is given as it is read. */

enum { ARENA_BYTES_MAX = 1 << 30, LABELS_LABEL_BYTES_MAX = 1 << 30 };

struct api_list_reading {
    const struct external_labels *external;
    const struct text_sink *to;
    struct arena arena; /* has the texts whose escapes were replaced */
    struct buf labels;
    struct scan scan;
};

void
api_sentence(struct bytes text, struct why *ret)
{
    size_t size = text.size < sizeof ret->text ? text.size : sizeof ret->text - 1;
    (void)why_set(ret, ERR_CORRUPT, "%.*s", (int)size, size == 0 ? "" : (const char *)text.at);
    for (char *p = ret->text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = ' ';
}

static enum err
take_text(struct api_list_reading *r)
{
    struct bytes text = scan_text(&r->scan);
    return r->scan.bad == NULL && text.size > 0 ? r->to->each(r->to->context, text) : OK;
}

/* Gives a warning of the server, for example that data is missing. */
static enum err
take_warning(struct api_list_reading *r)
{
    struct why sentence;
    struct bytes text = scan_text(&r->scan);
    if (r->scan.bad != NULL || text.size == 0 || r->to->warning == NULL) return OK;
    api_sentence(text, &sentence);
    return r->to->warning(r->to->context, sentence.text);
}

static enum err
take_series(struct api_list_reading *r, struct why *why)
{
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count = 0;
    scan_expect(&r->scan, '{');
    for (struct bytes name; scan_key(&r->scan, &name);) {
        if (count == FINAL_LABELS_MAX)
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        labels[count++] = (struct label){name, scan_text(&r->scan)};
    }
    if (r->scan.bad != NULL) return OK;
    buf_clear(&r->labels);
    enum err e = final_labels_build(r->external, labels, count, &r->labels, why);
    if (e) return e;
    struct bytes made = r->labels.size > 0 ? buf_bytes(&r->labels) : bytes_of("", 0);
    return r->to->each(r->to->context, made);
}

/* Reads the items of the current array. */
static enum err
take_items(struct api_list_reading *r, bool is_data, enum api_list list, struct why *why)
{
    enum err e = OK;
    scan_expect(&r->scan, '[');
    while (e == OK && scan_item(&r->scan)) {
        if (!is_data)
            e = take_warning(r);
        else
            e = list == API_TEXTS ? take_text(r) : take_series(r, why);
        arena_reset(&r->arena); /* texts of this item are not used after this */
    }
    return e;
}

static enum err
read_answer(struct api_list_reading *r, enum api_list list, struct why *why)
{
    struct scan *s = &r->scan;
    bool any = false;
    enum err e = OK;
    scan_expect(s, '{');
    for (struct bytes key; e == OK && scan_key(s, &key);) {
        bool is_data = bytes_equal_text(key, "data"), is_warnings = false;
        if (!is_data) is_warnings = bytes_equal_text(key, "warnings");
        any |= is_data &&
               (scan_peek(s) == 'n' || scan_peek(s) == '['); /* null counts as an empty list */
        if ((is_data || is_warnings) && scan_peek(s) == '[')
            e = take_items(r, is_data, list, why);
        else
            scan_skip(s);
    }
    if (e) return e;
    scan_end(s);
    if (s->bad != NULL && s->error == ERR_NOMEM)
        return why_set(why, ERR_NOMEM, "not enough memory for the response");
    if (s->bad == NULL && any) return OK;
    return why_set(why, ERR_CORRUPT, "the response cannot be read: %s",
                   s->bad == NULL ? "it has no data" : s->bad);
}

enum err
api_list_read(struct bytes answer, enum api_list list, const struct external_labels *external,
              struct budget *budget, const struct text_sink *to, struct why *why)
{
    struct api_list_reading r = {.external = external, .to = to};
    arena_init(&r.arena, budget, ARENA_BYTES_MAX, 0);
    buf_init(&r.labels, budget, LABELS_LABEL_BYTES_MAX);
    r.scan = scan_of(answer, &r.arena);
    enum err e = read_answer(&r, list, why);
    buf_fini(&r.labels);
    arena_fini(&r.arena);
    return e;
}

/* --- requests --------------------------------------------------------------------------------- */

enum { TIMES_BYTES_MAX = 1024, FORM_BYTES_MAX = 64 << 20 };

/* Look-ups of all times have no bounds, nor have bounds that a server may refuse. */
static const int64_t TIME_MAX_MS = INT64_C(1) << 53;

/* --- the request ------------------------------------------------------------------------------ */

static void
put_time(struct buf *to, const char *name, int64_t t_ms)
{
    char text[48];
    if (t_ms <= -TIME_MAX_MS || t_ms >= TIME_MAX_MS) return;
    uint64_t distance_ms = t_ms < 0 ? 0 - (uint64_t)t_ms : (uint64_t)t_ms;
    snprintf(text, sizeof text, "%s%llu.%03u", t_ms < 0 ? "-" : "",
             (unsigned long long)(distance_ms / 1000), (unsigned)(distance_ms % 1000));
    http_url_param(to, name, bytes_of_text(text));
}

static void
put_times(struct buf *to, const struct remote_question *q)
{
    put_time(to, "start", q->base.min_ms);
    put_time(to, "end", q->base.max_ms);
}

static enum err
put_selector(struct buf *to, const struct matcher_set *set, struct budget *budget)
{
    static const char *const operators[] = {"=", "!=", "=~", "!~"};
    struct arena patterns;
    bool fits = true;
    arena_init(&patterns, budget, 0, 0);
    buf_put_u8(to, '{');
    for (uint32_t i = 0; i < set->count && fits; i++) {
        const struct matcher *m = set->matchers[i];
        const struct label label = {matcher_name(m), remote_pattern(m, &patterns)};
        fits = label.value.at != NULL;
        if (i > 0) buf_put_u8(to, ',');
        label_print(to, &label, operators[matcher_type(m)]);
    }
    buf_put_u8(to, '}');
    arena_fini(&patterns);
    return fits ? buf_error(to) : ERR_NOMEM;
}

/* A repeated request gets the same response. */
static bool
labels_is_final(const struct http_call_answer *answer)
{
    return answer->status == 501;
}

/* Sends the request that was begun, reads the response, and gives its items. */
static enum err
look_up(struct remote_question *q, enum api_list list, struct why *why)
{
    static const char *const wanted[] = {"x-amzn-ErrorType", REMOTE_LIMITED, NULL};
    const struct fetch_request how = {
        .headers = q->headers, .wanted = wanted, .is_final = labels_is_final};
    const struct http_call_answer *answer;
    struct fetch_exchange *exchange = &q->exchange;
    unsigned n = 0;
    if (exchange->body.size > 0)
        q->headers[n++] = "Content-Type: application/x-www-form-urlencoded";
    q->headers[n++] = REMOTE_EXHAUSTIVE;
    enum err e = remote_tenant_header(q, &n, why);
    if (e == OK) e = fetch_exchange_send(exchange, &how, why);
    if (e == OK) e = fetch_await(exchange->fetch, &answer, why);
    /* The server has no such API, or cannot read the selector. */
    if (e == OK && (answer->status == 400 || answer->status == 404 || answer->status == 405 ||
                    answer->status == 501))
        return ERR_UNSUPPORTED;
    if (e == OK) e = fetch_expect_ok(exchange->fetch, why);
    if (e == OK) e = remote_expect_all(exchange->fetch, answer->wanted[1], why);
    if (e == OK) e = fetch_read_all(exchange->fetch, &q->answer, why);
    fetch_exchange_end(exchange);
    if (e) return e;
    e = api_list_read(buf_bytes(&q->answer), list, &q->base.of->external, q->base.budget,
                      q->base.to, why);
    return e == ERR_CORRUPT ? why_prefix(why, e, "%s", (const char *)exchange->url.at) : e;
}

/* --- look-ups --------------------------------------------------------------------------------- */

/* Begins a request to the API. False: there is no API. */
static bool
labels_begin(struct remote_question *q, const char *path)
{
    const char *base = ((const struct remote_reader *)q->base.of)->labels_base;
    fetch_exchange_begin(&q->exchange, base, path);
    return base[0] != '\0';
}

enum err
remote_label_names(struct fetch_question *base, struct why *why)
{
    struct remote_question *q = (struct remote_question *)base;
    if (base->matcher_count > 0 || !labels_begin(q, "/api/v1/labels")) return ERR_UNSUPPORTED;
    put_times(&q->exchange.url, q);
    return look_up(q, API_TEXTS, why);
}

enum err
remote_label_values(struct fetch_question *base, struct why *why)
{
    struct remote_question *q = (struct remote_question *)base;
    bool in_path = name_is_plain(base->name, false); /* without escapes */
    if (base->matcher_count > 0 || !in_path || !labels_begin(q, "/api/v1/label/"))
        return ERR_UNSUPPORTED;
    buf_put_bytes(&q->exchange.url, base->name);
    buf_put_text(&q->exchange.url, "/values");
    put_times(&q->exchange.url, q);
    return look_up(q, API_TEXTS, why);
}

enum err
remote_series(struct fetch_question *base, struct why *why)
{
    struct remote_question *q = (struct remote_question *)base;
    struct buf selector, times;
    if (base->matcher_count == 0 || !labels_begin(q, "/api/v1/series")) return ERR_UNSUPPORTED;
    buf_init(&selector, base->budget, FORM_BYTES_MAX);
    buf_init(&times, base->budget, TIMES_BYTES_MAX);
    enum err e = put_selector(&selector, &base->matcher_set, base->budget);
    buf_put_text(&q->exchange.body, "match%5B%5D=");
    buf_put_percent(&q->exchange.body, buf_bytes(&selector), "");
    put_times(&times, q); /* puts "?start=...": a form has the part after the ? */
    if (times.size > 0) {
        buf_put_u8(&q->exchange.body, '&');
        buf_put(&q->exchange.body, times.at + 1, times.size - 1);
    }
    e = err_first(e, buf_error(&times));
    if (e) why_set(why, e, "not enough memory for a request");
    buf_fini(&selector);
    buf_fini(&times);
    return e ? e : look_up(q, API_SERIES, why);
}

enum err
remote_tenant_header(struct remote_question *q, unsigned *count, struct why *why)
{
    const char *name = q->base.of->options.settings->u.remote_read.tenant_header;
    if (name == NULL) return OK;
    buf_put_text(&q->tenant, name);
    buf_put_text(&q->tenant, ": ");
    buf_put_bytes(&q->tenant, q->base.request.tenant);
    buf_put_u8(&q->tenant, 0);
    q->headers[(*count)++] = (const char *)q->tenant.at;
    return buf_error(&q->tenant) ? fetch_no_request_memory(why) : OK;
}
