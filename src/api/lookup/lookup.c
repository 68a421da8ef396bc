/*
 * lookup.c - /api/v1/labels, /api/v1/label/NAME/values, /api/v1/series, /api/v1/query_exemplars, as
 * in Prometheus' API: in its envelope, on a query thread. Small answers are sent as one, large ones
 * as they come. And searches of names.
 */
#include "api/routes.h"

#include <assert.h>
#include <inttypes.h>

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
    if (l->r.begun)
        http_stream_end(l->r.request, e == OK);
    else if (e)
        reply_problem_of(l->r.request, FOR_QUERY, memory_verdict(e, &l->r.budget), &l->r.why);
    else
        reply_json(l->r.request, 200, &l->r.text);
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

/* --- searches --------------------------------------------------------------------------------- */

/*
 * /api/v1/search/metric_names, label_names and label_values: names that contain a text, in
 * ascending order, as lines of JSON.
 *
 *     {"results":[{"name":"up"},...]}              at most batch_size results; the first line comes
 *                                                  always; for label_values {"value":"node"}
 *     {"status":"success","has_more":false}        the last line, or a line with an error
 *
 * The store returns names in ascending order, and they are sent as they come. The scores and orders
 * of Prometheus' search are refused.
 *
 * Invariant 1: at most `limit` results are written, and at most `batch_size` of them to a line.
 */

enum {
    LIMIT = 100, /* default of `limit` and `batch_size` */
    BATCH_MAX = 10000,
    TERMS_MAX = 32, /* as in Prometheus */
};

struct name_search {
    struct read_request r;        /* first member */
    const char *terms[TERMS_MAX]; /* views of the form; empty ones are left out */
    uint32_t term_count;          /* 0: all names are accepted */
    bool any_case;                /* of ASCII letters */
    bool with_metadata;
    bool described;     /* the present metric has its metadata */
    struct bytes label; /* the label whose values are searched; empty: names of labels are */
    const char *key;    /* member of a result that has the name */
    uint64_t limit;
    uint64_t batch_size;
    uint64_t given;    /* results written */
    uint64_t in_batch; /* results in the open batch */
    bool batch_open;
    bool first_batch_done;
    bool has_more;
    uint32_t warnings_put;
};

/* --- parameters of searches ------------------------------------------------------------------- */

/* Reads a time. Its error names the parameter itself. */
static enum err
read_time(struct name_search *s, const char *name, int64_t *ret_ms)
{
    const char *text = form_given(&s->r.form, name);
    if (text == NULL || form_parse_time(text, ret_ms)) return OK;
    buf_printf(&s->r.error, "invalid time value for '%s': cannot parse ", name);
    quote_text(&s->r.error, bytes_of_text(text));
    buf_put_text(&s->r.error, " to a valid timestamp");
    return ERR_INPUT;
}

/* Writes the error `invalid NAME "text": must be ...`. */
static enum err
refuse(struct name_search *s, const char *name, const char *text, const char *must)
{
    buf_printf(&s->r.error, "invalid %s ", name);
    quote_text(&s->r.error, bytes_of_text(text));
    buf_printf(&s->r.error, "%s", must);
    return ERR_INPUT;
}

static enum err
read_flag(struct name_search *s, const char *name, bool *ret)
{
    struct buf unwanted;
    buf_init(&unwanted, NULL, SENTENCE_BYTES_MAX);
    enum err e = form_bool(&s->r.form, name, ret, &unwanted);
    buf_fini(&unwanted);
    return e ? refuse(s, name, form_given(&s->r.form, name), ": must be boolean") : OK;
}

static enum err
read_count(struct name_search *s, const char *name, uint64_t *ret)
{
    int64_t count = 0;
    const char *text = form_given(&s->r.form, name);
    if (text == NULL) return OK;
    if (form_whole(text, 64, &count) != NULL || count < 0)
        return refuse(s, name, text, ": must be non-negative integer");
    if (count > 0) *ret = (uint64_t)count;
    return OK;
}

/* Refuses what Prometheus' search has and this one has not. */
static enum err
refuse_scores(struct name_search *s)
{
    static const struct {
        const char *name, *only; /* the value that means what is done anyway; NULL: none does */
    } parameters[] = {{"fuzz_alg", NULL},
                      {"fuzz_threshold", NULL},
                      {"include_score", NULL},
                      {"sort_by", "alpha"},
                      {"sort_dir", "asc"}};
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        const char *text = form_given(&s->r.form, parameters[i].name), *only = parameters[i].only;
        if (text == NULL || (only != NULL && strcmp(text, only) == 0)) continue;
        return refuse(s, parameters[i].name, text,
                      " is not supported: a search finds names that contain search[], in "
                      "ascending order");
    }
    return OK;
}

static enum err
read_terms(struct name_search *s)
{
    bool exact_case = true;
    uint32_t given = 0;
    struct form_walk walk = {0};
    for (const char *text; (text = form_next(&s->r.form, "search[]", &walk)) != NULL; given++)
        if (given < TERMS_MAX && text[0] != '\0') s->terms[s->term_count++] = text;
    if (given > TERMS_MAX) {
        buf_printf(&s->r.error, "too many search[] terms: got %" PRIu32 ", maximum is %d", given,
                   TERMS_MAX);
        return ERR_INPUT;
    }
    enum err e = read_flag(s, "case_sensitive", &exact_case);
    s->any_case = !exact_case;
    return e;
}

static enum err
read_limit(struct name_search *s)
{
    uint64_t max = api_limits_now(s->r.api).search_results_max;
    s->limit = max > 0 && max < LIMIT ? max : LIMIT;
    enum err e = read_count(s, "limit", &s->limit);
    if (e || max == 0 || s->limit <= max) return e;
    buf_printf(&s->r.error,
               "limit %" PRIu64 " exceeds the configured maximum (%" PRIu64
               ", see --web.search-max-limit)",
               s->limit, max);
    return ERR_INPUT;
}

/* Reads the parameters in the order in which Prometheus checks them. */
static enum err
search_read_common(struct name_search *s)
{
    s->batch_size = LIMIT;
    s->key = "name";
    s->r.query.max_ms = env_realtime_ms(s->r.api->options.env);
    s->r.query.min_ms = s->r.query.max_ms - 3600 * 1000;
    enum err e = read_time(s, "start", &s->r.query.min_ms);
    if (e == OK) e = read_time(s, "end", &s->r.query.max_ms);
    if (e == OK && s->r.query.max_ms < s->r.query.min_ms) {
        buf_put_text(&s->r.error, "end timestamp must not be before start timestamp");
        e = ERR_INPUT;
    }
    if (e == OK) e = read_request_matches(&s->r);
    if (e == OK) e = read_terms(s);
    if (e == OK) e = refuse_scores(s);
    if (e == OK) e = read_limit(s);
    if (e == OK) e = read_count(s, "batch_size", &s->batch_size);
    if (e == OK) e = read_request_partial(&s->r);
    if (e == OK) e = read_request_scope(&s->r);
    if (s->batch_size > BATCH_MAX) s->batch_size = BATCH_MAX;
    /* If all names are accepted in their order, the store need not return more. */
    if (s->term_count == 0) s->r.query.hints.limit = s->limit;
    return e;
}

static enum err
read_metric_names(struct name_search *s)
{
    enum err e = search_read_common(s);
    if (e == OK) e = read_flag(s, "include_metadata", &s->with_metadata);
    s->label = bytes_of_text("__name__");
    return e;
}

static enum err
read_label_values(struct name_search *s)
{
    enum err e = search_read_common(s);
    const char *label = form_given(&s->r.form, "label");
    if (e == OK && label == NULL) {
        buf_put_text(&s->r.error, "missing required parameter \"label\"");
        e = ERR_INPUT;
    }
    if (label != NULL) s->label = bytes_of_text(label);
    s->key = "value";
    return e;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void
begin_line(struct name_search *s)
{
    json_init(&s->r.json, &s->r.text);
    json_object_open(&s->r.json);
}

static void
end_line(struct name_search *s)
{
    json_object_close(&s->r.json);
    buf_put_u8(&s->r.text, '\n');
}

static enum err
send_lines(struct name_search *s)
{
    enum err e = read_request_send(&s->r, QUEUE_READS, "application/x-ndjson; charset=utf-8");
    if (e != ERR_NOMEM) return e;
    return why_set(&s->r.why, ERR_NOMEM, "not enough memory for the search");
}

static void
put_warnings(struct name_search *s)
{
    const char *sentence = warnings_at(&s->r.warnings, 0);
    if (sentence == NULL) return;
    json_member_array(&s->r.json, "warnings");
    for (s->warnings_put = 0; sentence != NULL;) {
        json_put_text(&s->r.json, sentence);
        sentence = warnings_at(&s->r.warnings, ++s->warnings_put);
    }
    json_array_close(&s->r.json);
}

static enum err
end_batch(struct name_search *s)
{
    assert(s->batch_open);
    assert(s->in_batch <= s->batch_size); /* invariant 1 */
    json_array_close(&s->r.json);
    if (!s->first_batch_done) put_warnings(s);
    end_line(s);
    s->batch_open = false;
    s->first_batch_done = true;
    s->in_batch = 0;
    return send_lines(s);
}

static void
begin_batch(struct name_search *s)
{
    if (s->batch_open) return;
    begin_line(s);
    json_member_array(&s->r.json, "results");
    s->batch_open = true;
}

static enum err
put_metadata(void *context, const struct metadata *m)
{
    struct name_search *s = context;
    if (s->described) return OK; /* another tenant has described it */
    s->described = true;
    json_member_text(&s->r.json, "type", metric_type_word(m->type));
    if (m->help.size > 0) json_member_bytes(&s->r.json, "help", m->help);
    if (m->unit.size > 0) json_member_bytes(&s->r.json, "unit", m->unit);
    return OK;
}

static enum err
put_result(struct name_search *s, struct bytes name)
{
    enum err e = OK;
    assert(s->given < s->limit); /* invariant 1 */
    begin_batch(s);
    json_object_open(&s->r.json);
    json_member_bytes(&s->r.json, s->key, name);
    if (s->with_metadata) {
        struct query_request query = {.tenant = s->r.query.tenant, .control = &s->r.control};
        s->described = false;
        e = view_metadata(s->r.view, &query, name, put_metadata, s, &s->r.why);
    }
    if (e) return e;
    json_object_close(&s->r.json);
    s->given++;
    return ++s->in_batch < s->batch_size ? OK : end_batch(s);
}

/* --- the search ------------------------------------------------------------------------------- */

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

static bool
contains(const struct name_search *s, struct bytes name, const char *term)
{
    size_t size = strlen(term);
    if (!s->any_case) return memmem(name.at, name.size, term, size) != NULL;
    for (size_t at = 0; at + size <= name.size; at++) {
        size_t same = 0;
        while (same < size && lower(name.at[at + same]) == lower((uint8_t)term[same]))
            same++;
        if (same == size) return true;
    }
    return false;
}

static enum err
search_look(void *context, struct bytes name)
{
    struct name_search *s = context;
    bool accepted = s->term_count == 0;
    enum err e = query_control_check(&s->r.control, &s->r.why);
    for (uint32_t i = 0; i < s->term_count && !accepted; i++)
        accepted = contains(s, name, s->terms[i]);
    if (e || !accepted) return e;
    s->has_more = s->given == s->limit;
    return s->has_more ? ERR_CANCELED : put_result(s, name);
}

static enum err
search_ask(struct name_search *s)
{
    struct text_sink to = {.each = search_look, .context = s, .warning = read_request_warn};
    enum err e = read_request_open(&s->r, &s->r.control, &s->r.view, &s->r.why);
    if (e) return e;
    s->r.control.usage_kind = USAGE_LOOKUP;
    usage_note(&s->r.query);
    if (s->label.size > 0)
        e = view_label_values(s->r.view, &s->r.query, s->label, &to, &s->r.why);
    else
        e = view_label_names(s->r.view, &s->r.query, &to, &s->r.why);
    return e == ERR_CANCELED && s->has_more ? OK : e;
}

static void
search_end(struct name_search *s, enum err e)
{
    if (e == OK) {
        if (s->batch_open || !s->first_batch_done) {
            begin_batch(s);
            e = end_batch(s);
        }
        begin_line(s);
        json_members(&s->r.json, JSON("status", "success"), JSON("has_more", s->has_more));
        if (warnings_at(&s->r.warnings, s->warnings_put) != NULL) put_warnings(s);
        end_line(s);
        if (e == OK) e = send_lines(s);
    } else if (s->r.begun) {
        /* Drops the batch that is incomplete. */
        buf_clear(&s->r.text);
        begin_line(s);
        json_members(&s->r.json, JSON("status", "error"),
                     JSON("errorType", problem_type_of(FOR_QUERY, e)),
                     JSON("error", why_text(&s->r.why, e)));
        end_line(s);
        /* Without a check of the deadline, which the line may report. */
        e = err_first(buf_error(&s->r.text),
                      http_stream_write(s->r.request, buf_bytes(&s->r.text), &s->r.why));
    }
    if (s->r.begun)
        http_stream_end(s->r.request, e == OK);
    else
        reply_problem_of(s->r.request, FOR_QUERY, memory_verdict(e, &s->r.budget), &s->r.why);
}

static void
search_run(struct api *api, struct http_request *request, enum err (*read)(struct name_search *s))
{
    struct name_search s = {.given = 0};
    read_request_begin(&s.r, api, request);
    enum err e = read_request_arguments(&s.r);
    if (e == OK) e = read(&s);
    if (!read_request_refuse(&s.r, e)) search_end(&s, search_ask(&s));
    read_request_end(&s.r);
}

void
search_metric_names_run(struct api *api, struct http_request *request)
{
    search_run(api, request, read_metric_names);
}

void
search_label_names_run(struct api *api, struct http_request *request)
{
    search_run(api, request, search_read_common);
}

void
search_label_values_run(struct api *api, struct http_request *request)
{
    search_run(api, request, read_label_values);
}
