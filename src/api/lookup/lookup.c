/*
 * lookup.c - /api/v1/labels, /api/v1/label/NAME/values, /api/v1/series, /api/v1/query_exemplars, as
 * in Prometheus' API: in its envelope, on a query thread. Small answers are sent as one, large ones
 * as they come.
 */
#include "api/routes.h"

#include <assert.h>

#include "api/answer.h"
#include "api/request/read_request.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "model/usage.h"
#include "promql/promql.h"
#include "wire/escaped_name.h"
#include "wire/number.h"

enum { PIECE_BYTES = 64 * 1024, NAME_BYTES_MAX = 24 * 1024 };

struct label_lookup {
    struct read_request r; /* first member */
    struct bytes name;     /* the label whose values are requested; in the form's arena */
    struct text_sink to;
    uint64_t count;
    bool limited;
    struct buf series; /* labels of the series whose exemplars are being put */
};

/* --- parameters ------------------------------------------------------------------------------- */

static enum err
read_times(struct label_lookup *l)
{
    enum err e = form_time(&l->r.form, "start", &l->r.query.min_ms, &l->r.error);
    return e ? e : form_time(&l->r.form, "end", &l->r.query.max_ms, &l->r.error);
}

static enum err
read_common(struct label_lookup *l)
{
    enum err e = form_limit(&l->r.form, &l->r.query.hints.limit, &l->r.error);
    if (e == OK) e = read_times(l);
    return e ? e : read_request_partial(&l->r);
}

static enum err
read_question(struct label_lookup *l)
{
    enum err e = read_common(l);
    return e ? e : read_request_matches(&l->r);
}

static enum err
read_series_question(struct label_lookup *l)
{
    static const char begin[] = "invalid parameter \"match[]\": ";
    enum err e = form_check_query(&l->r.form, &l->r.why);
    if (e) return e;
    if (form_nth(&l->r.form, "match[]", 0) == NULL) {
        buf_put_text(&l->r.error, "no match[] parameter provided");
        return ERR_INPUT;
    }
    e = read_common(l);
    if (e) return e;
    buf_put_text(&l->r.error, begin); /* Prometheus has it for series, not for names and values */
    e = read_request_matches(&l->r);
    if (e == OK) buf_clear(&l->r.error);
    return e;
}

/* Reads the label's name, which may be escaped, and the common parameters. */
static enum err
read_values_question(struct label_lookup *l)
{
    static const char begin[] = "/api/v1/label/", end[] = "/values";
    struct bytes name = bytes_of_text(api_path(l->r.api, l->r.request));
    struct buf plain;
    assert(name.size > sizeof begin + sizeof end - 2); /* label_values_run() checks the path */
    name = bytes_of(name.at + sizeof begin - 1, name.size - (sizeof begin + sizeof end - 2));
    buf_init(&plain, &l->r.budget, NAME_BYTES_MAX);
    if (escaped_name_get(&plain, name) && utf8_valid(buf_bytes(&plain))) name = buf_bytes(&plain);
    l->name = arena_copy(&l->r.form.arena, name);
    buf_fini(&plain);
    if (l->name.at == NULL) return why_set(&l->r.why, ERR_NOMEM, "not enough memory for the query");
    if (l->name.size > 0 && utf8_valid(l->name)) return read_question(l);
    buf_put_text(&l->r.error, "invalid label name: ");
    quote_text(&l->r.error, l->name);
    return ERR_INPUT;
}

static enum err
read_exemplars_question(struct label_lookup *l)
{
    enum err e = read_times(l);
    if (e == OK) e = read_request_partial(&l->r);
    if (e) return e;
    if (l->r.query.max_ms < l->r.query.min_ms) {
        buf_put_text(&l->r.error, "end timestamp must not be before start timestamp");
        return ERR_INPUT;
    }
    const char *query = form_nth(&l->r.form, "query", 0);
    return read_request_match(&l->r, &l->r.match, query == NULL ? "" : query, promql_parse);
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
send_if_large(struct label_lookup *l)
{
    if (l->r.text.size < PIECE_BYTES) return OK;
    return read_request_send(&l->r, QUEUE_READS, "application/json");
}

/* Counts a result. ERR_CANCELED: the limit is reached. */
static enum err
count_one(struct label_lookup *l)
{
    l->limited = l->r.query.hints.limit != 0 && l->count == l->r.query.hints.limit;
    if (l->limited) return ERR_CANCELED;
    l->count++;
    return send_if_large(l);
}

static enum err
put_text(void *context, struct bytes text)
{
    struct label_lookup *l = context;
    enum err e = count_one(l);
    if (e == OK) json_put_bytes(&l->r.json, text);
    return e;
}

static enum err
put_series(void *context, struct bytes labels)
{
    struct label_lookup *l = context;
    enum err e = count_one(l);
    if (e == OK) labels_put_json(&l->r.json, labels);
    return e;
}

static void
end_series(struct label_lookup *l)
{
    if (l->series.size == 0) return;
    json_array_close(&l->r.json);
    json_object_close(&l->r.json);
    buf_clear(&l->series);
}

/* Writes an exemplar. They come in the order of series. */
static enum err
put_exemplar(void *context, const struct exemplar *x)
{
    struct label_lookup *l = context;
    char value[NUMBER_TEXT_BYTES], time[PROMQL_TIME_BYTES];
    if (!bytes_equal(x->series_labels, buf_bytes(&l->series))) {
        end_series(l);
        buf_put_bytes(&l->series, x->series_labels);
        json_object_open(&l->r.json);
        json_key(&l->r.json, "seriesLabels");
        labels_put_json(&l->r.json, x->series_labels);
        json_member_array(&l->r.json, "exemplars");
    }
    json_object_open(&l->r.json);
    json_key(&l->r.json, "labels");
    labels_put_json(&l->r.json, x->labels);
    json_member_bytes(&l->r.json, "value", bytes_of(value, number_print(x->value_bits, value)));
    json_key(&l->r.json, "timestamp");
    json_put_raw(&l->r.json, bytes_of(time, promql_print_time(x->t_ms, time)));
    json_object_close(&l->r.json);
    enum err e = buf_error(&l->series);
    return e ? why_set(&l->r.why, e, "not enough memory for the exemplars") : send_if_large(l);
}

static void
lookup_end(struct label_lookup *l, enum err e)
{
    if (e == ERR_CANCELED && l->limited) e = OK;
    if (e == OK) {
        json_array_close(&l->r.json);
        const char *sentence = warnings_at(&l->r.warnings, 0);
        bool warned = l->limited || sentence != NULL;
        if (warned) json_member_array(&l->r.json, "warnings");
        if (l->limited) json_put_text(&l->r.json, "results truncated due to limit");
        for (uint32_t i = 1; sentence != NULL; i++) {
            json_put_text(&l->r.json, sentence);
            sentence = warnings_at(&l->r.warnings, i);
        }
        if (warned) json_array_close(&l->r.json);
        json_object_close(&l->r.json);
        e = l->r.begun ? read_request_send(&l->r, QUEUE_READS, NULL) : buf_error(&l->r.text);
    }
    if (l->r.begun) {
        http_stream_end(l->r.request, e == OK);
    } else if (e) {
        reply_problem_of(l->r.request, FOR_QUERY, memory_verdict(e, &l->r.budget), &l->r.why);
    } else {
        reply_json(l->r.request, 200, &l->r.text);
    }
}

/* --- the kinds of look-ups -------------------------------------------------------------------- */

static void
lookup_answer(struct label_lookup *l, enum err (*ask)(struct label_lookup *l))
{
    success_begin(&l->r.json, &l->r.text);
    json_array_open(&l->r.json);
    bool nothing = l->r.query.min_ms > l->r.query.max_ms;
    enum err e = read_request_open(&l->r, &l->r.control, &l->r.view, &l->r.why);
    l->r.control.usage_kind = USAGE_LOOKUP;
    if (e == OK && !nothing) {
        usage_note(&l->r.query);
        e = ask(l);
    }
    view_free(l->r.view); /* a slow client does not hold parts */
    l->r.view = NULL;
    lookup_end(l, e);
}

struct lookup_route {
    enum err (*read)(struct label_lookup *l);
    enum err (*ask)(struct label_lookup *l);
    bool of_selectors; /* without selectors the answer is 204 */
};

static void
lookup_run(struct api *api, struct http_request *request, const struct lookup_route *route)
{
    struct label_lookup l = {.to = {.warning = read_request_warn, .context = &l}};
    read_request_begin(&l.r, api, request);
    buf_init(&l.series, &l.r.budget, (size_t)1 << 26);
    enum err e = read_request_arguments(&l.r);
    if (e == OK) e = route->read(&l);
    if (e == OK) e = read_request_scope(&l.r);
    if (read_request_refuse(&l.r, e)) {
        /* it is answered */
    } else if (route->of_selectors && l.r.query.set_count == 0) {
        http_reply(request, &(struct http_answer){.status = 204});
    } else {
        lookup_answer(&l, route->ask);
    }
    buf_fini(&l.series);
    read_request_end(&l.r);
}

static enum err
ask_names(struct label_lookup *l)
{
    l->to.each = put_text;
    return view_label_names(l->r.view, &l->r.query, &l->to, &l->r.why);
}

static enum err
ask_series(struct label_lookup *l)
{
    l->to.each = put_series;
    return view_series(l->r.view, &l->r.query, &l->to, &l->r.why);
}

static enum err
ask_values(struct label_lookup *l)
{
    l->to.each = put_text;
    return view_label_values(l->r.view, &l->r.query, l->name, &l->to, &l->r.why);
}

static enum err
ask_exemplars(struct label_lookup *l)
{
    struct exemplar_sink to = {put_exemplar, l, read_request_warn};
    enum err e = view_exemplars(l->r.view, &l->r.query, &to, &l->r.why);
    if (e == OK) end_series(l);
    return e;
}

void
label_names_run(struct api *api, struct http_request *request)
{
    lookup_run(api, request, &(struct lookup_route){read_question, ask_names});
}

void
label_values_run(struct api *api, struct http_request *request)
{
    static const char end[] = "/values";
    const char *name = api_path(api, request) + strlen("/api/v1/label/");
    const char *slash = strchr(name, '/');
    if (slash == name || slash == NULL || strcmp(slash, end) != 0)
        http_reply_text(request, 404, "404 page not found\n");
    else
        lookup_run(api, request, &(struct lookup_route){read_values_question, ask_values});
}

void
series_run(struct api *api, struct http_request *request)
{
    lookup_run(api, request, &(struct lookup_route){read_series_question, ask_series});
}

void
query_exemplars_run(struct api *api, struct http_request *request)
{
    lookup_run(api, request, &(struct lookup_route){read_exemplars_question, ask_exemplars, true});
}
