/*
 * remote_labels.c - names, values and series by the Prometheus API of a server that has one.
 *
 * Which names and values there are among some series only is not asked for: old servers leave
 * matchers out of account there, and what is left cannot be filtered again. Series can.
 */
#include <stdio.h>

#include "backend/common/http_common.h"
#include "backend/remote/api_list.h"
#include "backend/remote/remote_pattern.h"
#include "backend/remote/remote_read.h"
#include "base/hex.h"
#include "model/selector.h"

enum { URL_BYTES_MAX = 64 * 1024, FORM_BYTES_MAX = 64 << 20, ANSWER_BYTES_MAX = 128 << 20 };

/* Look-ups of all times leave the bounds out, as do those beyond what a server may take. */
static const int64_t TIME_MAX_MS = INT64_C(1) << 53;

struct remote_lookup {
    struct fetch_view *view;
    const struct remote_reader *of;
    const struct query_request *request;
    struct buf url;
    struct buf form;
    struct buf tenant;
    struct buf answer;
    const char *headers[4];
    const struct text_sink *to;
};

static void
lookup_begin(struct remote_lookup *l, struct view *view, const struct query_request *request,
             const struct text_sink *to)
{
    struct fetch_view *v = (struct fetch_view *)view;
    *l = (struct remote_lookup){
        .view = v, .of = (const struct remote_reader *)v->of, .request = request, .to = to};
    buf_init(&l->url, v->budget, URL_BYTES_MAX);
    buf_init(&l->form, v->budget, FORM_BYTES_MAX);
    buf_init(&l->tenant, v->budget, REMOTE_URL_BYTES);
    buf_init(&l->answer, v->budget, ANSWER_BYTES_MAX);
}

static enum err
lookup_end(struct remote_lookup *l, enum err e)
{
    buf_fini(&l->url);
    buf_fini(&l->form);
    buf_fini(&l->tenant);
    buf_fini(&l->answer);
    return e;
}

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
put_times(struct buf *to, const struct query_request *r)
{
    put_time(to, "start", r->min_ms);
    put_time(to, "end", r->max_ms);
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

/* It will not have learnt it the next time. */
static bool
is_final(const struct http_call_answer *answer)
{
    return answer->status == 501;
}

/* POST if there is a form. */
static enum err
ask(struct remote_lookup *l, struct why *why)
{
    const struct http_call_answer *answer;
    struct fetch *fetch;
    unsigned n = 0;
    enum err e = remote_tenant_header(l->of, l->request->tenant, &l->tenant, why);
    if (e) return e;
    if (l->tenant.size > 0) l->headers[n++] = (const char *)l->tenant.at;
    if (l->form.size > 0) l->headers[n++] = "Content-Type: application/x-www-form-urlencoded";
    l->headers[n++] = REMOTE_EXHAUSTIVE;
    buf_put_u8(&l->url, 0);
    e = err_first(buf_error(&l->url), buf_error(&l->form));
    if (e) return why_set(why, e, "not enough memory for a request");
    static const char *const wanted[] = {"x-amzn-ErrorType", REMOTE_LIMITED, NULL};
    struct fetch_request request = {.method = l->form.size > 0 ? "POST" : "GET",
                                    .url = (const char *)l->url.at,
                                    .headers = l->headers,
                                    .body = buf_bytes(&l->form),
                                    .wanted = wanted,
                                    .is_final = is_final};
    e = fetch_open(l->view->session, l->request->control, &request, &fetch, why);
    if (e) return e;
    e = fetch_await(fetch, &answer, why);
    bool lacks = e == OK && (answer->status == 400 || answer->status == 404 ||
                             answer->status == 405 || answer->status == 501);
    if (lacks) e = ERR_UNSUPPORTED; /* it has no such API, or cannot read this selector */
    if (e == OK) e = fetch_expect_ok(fetch, why);
    if (e == OK) e = remote_expect_all(fetch, answer->wanted[1], why);
    if (e == OK) e = fetch_read_all(fetch, &l->answer, why);
    fetch_close(fetch);
    return e;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
take_answer(struct remote_lookup *l, enum api_list list, struct why *why)
{
    enum err e =
        api_list_read(buf_bytes(&l->answer), list, &l->of->external, l->view->budget, l->to, why);
    return e == ERR_CORRUPT ? why_prefix(why, e, "%s", (const char *)l->url.at) : e;
}

/* --- what is asked ---------------------------------------------------------------------------- */

static bool
has_api(const struct view *view)
{
    const struct answerer *of = ((const struct fetch_view *)view)->of;
    return ((const struct remote_reader *)of)->labels_base[0] != '\0';
}

enum err
remote_label_names(struct view *view, const struct query_request *r, const struct text_sink *to,
                   struct why *why)
{
    if (!has_api(view) || r->set_count > 0) return ERR_UNSUPPORTED;
    struct remote_lookup l;
    lookup_begin(&l, view, r, to);
    http_url_begin(&l.url, l.of->labels_base, "/api/v1/labels");
    put_times(&l.url, r);
    enum err e = ask(&l, why);
    return lookup_end(&l, e ? e : take_answer(&l, API_TEXTS, why));
}

/* Of a name that stands in a path as it is. */
static bool
is_plain(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t b = name.at[i];
        bool letter = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || b == '_';
        if (!letter && (i == 0 || b < '0' || b > '9')) return false;
    }
    return name.size > 0;
}

enum err
remote_label_values(struct view *view, const struct query_request *r, struct bytes name,
                    const struct text_sink *to, struct why *why)
{
    if (!has_api(view) || r->set_count > 0 || !is_plain(name)) return ERR_UNSUPPORTED;
    struct remote_lookup l;
    lookup_begin(&l, view, r, to);
    http_url_begin(&l.url, l.of->labels_base, "/api/v1/label/");
    buf_put_bytes(&l.url, name);
    buf_put_text(&l.url, "/values");
    put_times(&l.url, r);
    enum err e = ask(&l, why);
    return lookup_end(&l, e ? e : take_answer(&l, API_TEXTS, why));
}

enum err
remote_series(struct view *view, const struct query_request *r, const struct text_sink *to,
              struct why *why)
{
    if (!has_api(view) || r->set_count == 0) return ERR_UNSUPPORTED;
    struct remote_lookup l;
    lookup_begin(&l, view, r, to);
    struct buf selector;
    buf_init(&selector, l.view->budget, FORM_BYTES_MAX);
    http_url_begin(&l.url, l.of->labels_base, "/api/v1/series");
    enum err e = put_selector(&selector, &r->sets[0], l.view->budget);
    buf_put_text(&l.form, "match%5B%5D=");
    buf_put_percent(&l.form, buf_bytes(&selector), "");
    struct buf times; /* as a query: what follows its ? is the rest of a form */
    buf_init(&times, l.view->budget, URL_BYTES_MAX);
    put_times(&times, r);
    if (times.size > 0) {
        buf_put_u8(&l.form, '&');
        buf_put(&l.form, times.at + 1, times.size - 1);
    }
    e = err_first(e, buf_error(&times));
    if (e) why_set(why, e, "not enough memory for a request");
    buf_fini(&selector);
    buf_fini(&times);
    if (e == OK) e = ask(&l, why);
    return lookup_end(&l, e ? e : take_answer(&l, API_SERIES, why));
}

enum err
remote_tenant_header(const struct remote_reader *reader, struct bytes tenant, struct buf *to,
                     struct why *why)
{
    const char *name = reader->options.settings->u.remote_read.tenant_header;
    if (name == NULL) return OK;
    buf_put_text(to, name);
    buf_put_text(to, ": ");
    buf_put_bytes(to, tenant);
    buf_put_u8(to, 0);
    return buf_error(to) ? why_set(why, ERR_NOMEM, "not enough memory for a request") : OK;
}
