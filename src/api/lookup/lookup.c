/*
 * lookup.c - /api/v1/labels, /api/v1/label/NAME/values, /api/v1/series, /api/v1/query_exemplars, as
 * in Prometheus' API: in its envelope, on a query thread. Small answers are sent as one, large ones
 * as they come.
 */
#include "api/lookup/lookup.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/answer.h"
#include "api/request/form.h"
#include "api/request/match.h"
#include "api/request/replica_choice.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "base/warnings.h"
#include "model/usage.h"
#include "promql/answer.h"
#include "wire/escaped_name.h"
#include "wire/number.h"

enum { PIECE_BYTES = 64 * 1024, NAME_BYTES_MAX = 24 * 1024 };

struct label_lookup {
    struct api *api;
    struct http_request *request;
    struct form form;
    struct budget budget;
    struct query_control control;
    struct match match;
    struct bytes name; /* the label whose values are requested; in the form's arena */
    struct query_request query;
    struct replica_choice replicas;
    struct fence fence;
    struct view *view;
    struct text_sink to;
    uint64_t count;
    bool limited;
    struct warnings warnings; /* about data missing because of damage */
    struct buf series;        /* labels of the series whose exemplars are being put */
    struct buf text;
    struct json json;
    bool begun;       /* the answer is a stream */
    struct buf error; /* for ERR_INPUT */
    struct why why;
};

/* --- parameters ------------------------------------------------------------------------------- */

static enum err
read_times(struct label_lookup *l)
{
    enum err e = form_time(&l->form, "start", &l->query.min_ms, &l->error);
    return e ? e : form_time(&l->form, "end", &l->query.max_ms, &l->error);
}

/* Reads limit, times, the source, and whether damaged data may be left out, which is the default.
 */
static enum err
read_common(struct label_lookup *l)
{
    l->query.partial = true;
    enum err e = form_limit(&l->form, &l->query.hints.limit, &l->error);
    if (e == OK) e = read_times(l);
    if (e == OK) e = form_bool(&l->form, "partial_response", &l->query.partial, &l->error);
    l->query.shows_warnings = l->query.partial;
    l->control.source = form_nth(&l->form, "source", 0);
    return e;
}

static void
take_match(struct label_lookup *l)
{
    l->query.sets = l->match.sets;
    l->query.set_count = l->match.set_count;
}

static enum err
read_match(struct label_lookup *l)
{
    enum err e = match_read(&l->match, &l->form, &l->budget, &l->control, &l->error, &l->why);
    take_match(l);
    return e;
}

static enum err
read_question(struct label_lookup *l)
{
    enum err e = read_common(l);
    return e ? e : read_match(l);
}

static enum err
read_series_question(struct label_lookup *l)
{
    static const char begin[] = "invalid parameter \"match[]\": ";
    enum err e = form_check_query(&l->form, &l->why);
    if (e) return e;
    if (form_nth(&l->form, "match[]", 0) == NULL) {
        buf_put_text(&l->error, "no match[] parameter provided");
        return ERR_INPUT;
    }
    e = read_common(l);
    if (e) return e;
    buf_put_text(&l->error, begin); /* Prometheus has it for series, not for names and values */
    e = read_match(l);
    if (e == OK) buf_clear(&l->error);
    return e;
}

/* Reads the label's name, which may be escaped, and the common parameters. */
static enum err
read_values_question(struct label_lookup *l)
{
    static const char begin[] = "/api/v1/label/", end[] = "/values";
    struct bytes name = bytes_of_text(api_path(l->api, l->request));
    struct buf plain;
    assert(name.size > sizeof begin + sizeof end - 2); /* label_values_run() checks the path */
    name = bytes_of(name.at + sizeof begin - 1, name.size - (sizeof begin + sizeof end - 2));
    buf_init(&plain, &l->budget, NAME_BYTES_MAX);
    if (escaped_name_get(&plain, name) && utf8_valid(buf_bytes(&plain))) name = buf_bytes(&plain);
    l->name = arena_copy(&l->form.arena, name);
    buf_fini(&plain);
    if (l->name.at == NULL) return why_set(&l->why, ERR_NOMEM, "not enough memory for the query");
    if (l->name.size > 0 && utf8_valid(l->name)) return read_question(l);
    buf_put_text(&l->error, "invalid label name: ");
    quote_text(&l->error, l->name);
    return ERR_INPUT;
}

static enum err
read_exemplars_question(struct label_lookup *l)
{
    enum err e = read_times(l);
    l->query.partial = true;
    if (e == OK) e = form_bool(&l->form, "partial_response", &l->query.partial, &l->error);
    l->query.shows_warnings = l->query.partial;
    if (e) return e;
    if (l->query.max_ms < l->query.min_ms) {
        buf_put_text(&l->error, "end timestamp must not be before start timestamp");
        return ERR_INPUT;
    }
    const char *query = form_nth(&l->form, "query", 0);
    e = match_add(&l->match, query == NULL ? "" : query, promql_parse, &l->form, &l->budget,
                  &l->control, &l->error, &l->why);
    take_match(l);
    return e;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
send_piece(struct label_lookup *l)
{
    return reply_piece(l->api, QUEUE_READS, l->request, &l->control, &l->text, &l->begun, &l->why);
}

/* Counts a result. ERR_CANCELED: the limit is reached. */
static enum err
count_one(struct label_lookup *l)
{
    l->limited = l->query.hints.limit != 0 && l->count == l->query.hints.limit;
    if (l->limited) return ERR_CANCELED;
    l->count++;
    return l->text.size < PIECE_BYTES ? OK : send_piece(l);
}

static enum err
put_text(void *context, struct bytes text)
{
    struct label_lookup *l = context;
    enum err e = count_one(l);
    if (e == OK) json_put_bytes(&l->json, text);
    return e;
}

static enum err
put_series(void *context, struct bytes labels)
{
    struct label_lookup *l = context;
    enum err e = count_one(l);
    if (e == OK) labels_put_json(&l->json, labels);
    return e;
}

static void
end_series(struct label_lookup *l)
{
    if (l->series.size == 0) return;
    json_array_close(&l->json);
    json_object_close(&l->json);
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
        json_object_open(&l->json);
        json_key(&l->json, "seriesLabels");
        labels_put_json(&l->json, x->series_labels);
        json_member_array(&l->json, "exemplars");
    }
    json_object_open(&l->json);
    json_key(&l->json, "labels");
    labels_put_json(&l->json, x->labels);
    json_member_bytes(&l->json, "value", bytes_of(value, number_print(x->value_bits, value)));
    json_key(&l->json, "timestamp");
    json_put_raw(&l->json, bytes_of(time, promql_print_time(x->t_ms, time)));
    json_object_close(&l->json);
    enum err e = buf_error(&l->series);
    if (e) return why_set(&l->why, e, "not enough memory for the exemplars");
    return l->text.size < PIECE_BYTES ? OK : send_piece(l);
}

static enum err
keep_warning(void *context, const char *sentence)
{
    struct label_lookup *l = context;
    struct why place;
    snprintf(place.text, sizeof place.text, "%s", sentence);
    return warnings_add(&l->warnings, &place);
}

static void
lookup_end(struct label_lookup *l, enum err e)
{
    if (e == ERR_CANCELED && l->limited) e = OK;
    if (e == OK) {
        json_array_close(&l->json);
        const char *sentence = warnings_at(&l->warnings, 0);
        bool warned = l->limited || sentence != NULL;
        if (warned) json_member_array(&l->json, "warnings");
        if (l->limited) json_put_text(&l->json, "results truncated due to limit");
        for (uint32_t i = 1; sentence != NULL; i++) {
            json_put_text(&l->json, sentence);
            sentence = warnings_at(&l->warnings, i);
        }
        if (warned) json_array_close(&l->json);
        json_object_close(&l->json);
        e = l->begun ? send_piece(l) : buf_error(&l->text);
    }
    if (l->begun) {
        http_stream_end(l->request, e == OK);
    } else if (e) {
        reply_problem_of(l->request, FOR_QUERY, memory_verdict(e, &l->budget), &l->why);
    } else {
        reply_json(l->request, 200, &l->text);
    }
}

/* --- the kinds of look-ups -------------------------------------------------------------------- */

static void
lookup_answer(struct label_lookup *l, enum err (*ask)(struct label_lookup *l))
{
    success_begin(&l->json, &l->text);
    json_array_open(&l->json);
    bool nothing = l->query.min_ms > l->query.max_ms;
    enum err e =
        replica_choice_open(l->api, &l->replicas, &l->fence, &l->control, &l->view, &l->why);
    l->control.usage_kind = USAGE_LOOKUP;
    if (e == OK && !nothing) {
        usage_note(&l->query);
        e = ask(l);
    }
    view_free(l->view);
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
    struct label_lookup *l = mem_new(&api->read_budget, sizeof *l);
    if (l == NULL) {
        reply_problem_of(request, FOR_QUERY, ERR_NOMEM,
                         &(struct why){"not enough memory for the query"});
        return;
    }
    l->api = api;
    l->request = request;
    l->to = (struct text_sink){.warning = keep_warning, .context = l};
    l->query.min_ms = INT64_MIN;
    l->query.max_ms = INT64_MAX;
    budget_init(&l->budget, "query", 0, &api->read_budget);
    buf_init(&l->text, &l->budget, (size_t)1 << 30);
    buf_init(&l->series, &l->budget, (size_t)1 << 26);
    buf_init(&l->error, NULL, SENTENCE_BYTES_MAX);
    l->query.control = &l->control;
    warnings_init(&l->warnings, &l->budget);
    query_control_begin(api, request, &l->budget, &l->control);
    unsigned refused;
    enum err e =
        read_arguments(api, request, &l->budget, &l->form, &l->query.tenant, &refused, &l->why);
    if (e == OK && refused == 0) e = route->read(l);
    if (e == OK && refused == 0) {
        e = replica_choice_read(api, &l->form, &l->form.arena, &l->replicas, &l->error, &l->why);
    }
    if (e == OK && refused == 0) {
        e = fence_read(&l->fence, &l->form, &l->budget, &l->control, &l->error, &l->why);
    }
    if (!reply_refusal(request, refused, e, &l->error, &l->why)) {
        if (route->of_selectors && l->query.set_count == 0)
            http_reply(request, &(struct http_answer){.status = 204});
        else
            lookup_answer(l, route->ask);
    }
    match_fini(&l->match);
    fence_fini(&l->fence);
    buf_fini(&l->series);
    form_fini(&l->form);
    buf_fini(&l->text);
    buf_fini(&l->error);
    warnings_fini(&l->warnings);
    mem_free(&api->read_budget, l, sizeof *l);
}

static enum err
ask_names(struct label_lookup *l)
{
    l->to.each = put_text;
    return view_label_names(l->view, &l->query, &l->to, &l->why);
}

static enum err
ask_series(struct label_lookup *l)
{
    l->to.each = put_series;
    return view_series(l->view, &l->query, &l->to, &l->why);
}

static enum err
ask_values(struct label_lookup *l)
{
    l->to.each = put_text;
    return view_label_values(l->view, &l->query, l->name, &l->to, &l->why);
}

static enum err
ask_exemplars(struct label_lookup *l)
{
    struct exemplar_sink to = {put_exemplar, l, keep_warning};
    enum err e = view_exemplars(l->view, &l->query, &to, &l->why);
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
