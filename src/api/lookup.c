/*
 * lookup.c - /api/v1/labels, /api/v1/label/NAME/values, /api/v1/series, /api/v1/query_exemplars, as
 * in Prometheus' API: in its envelope, on a query thread. Small answers are sent as one, large ones
 * as they come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/form.h"
#include "api/internal.h"
#include "base/utf8.h"
#include "base/warnings.h"
#include "promql/promql.h"
#include "wire/escaped_name.h"
#include "wire/number.h"

enum { PIECE_BYTES = 64 * 1024, ERROR_BYTES_MAX = 64 * 1024 };

struct lookup {
    struct api *api;
    struct http_request *request;
    struct form form;
    struct budget budget;
    struct query_control control;
    struct promql_tree **trees; /* in the form's arena */
    uint32_t tree_count;
    struct matcher_set *sets; /* of the trees; the same */
    struct query_request asked;
    struct view *view;
    struct text_sink to;
    uint64_t count;
    bool limited;
    struct warnings warnings; /* what is missing because of damage */
    struct buf series;        /* of the exemplars that are being put */
    struct buf text;
    struct json json;
    bool begun; /* the answer is a stream */
    struct why why;
};

/* --- what is asked ---------------------------------------------------------------------------- */

static enum err
no_memory(struct lookup *l)
{
    return why_set(&l->why, ERR_NOMEM, "not enough memory for the query");
}

/* The selectors of a parameter's text. */
static enum err
add_sets(struct lookup *l, const char *parameter, const char *text,
         enum err (*parse)(struct bytes text, struct budget *budget, struct promql_tree **ret_tree,
                           struct buf *error))
{
    struct buf error;
    struct arena *arena = &l->form.arena;
    struct promql_tree **trees = arena_push(arena, l->trees, l->tree_count, sizeof(void *));
    if (trees == NULL) return no_memory(l);
    l->trees = trees;
    buf_init(&error, NULL, ERROR_BYTES_MAX);
    enum err e = parse(bytes_of_text(text), &l->budget, &trees[l->tree_count], &error);
    if (e == ERR_INPUT || e == ERR_LIMIT) {
        e = why_set(&l->why, ERR_INPUT, "invalid parameter \"%s\": %.*s", parameter,
                    (int)error.size, (const char *)error.at);
    } else if (e) {
        e = no_memory(l);
    }
    buf_fini(&error);
    if (e) return e;
    uint32_t count;
    const struct matcher_set *added = promql_selectors(trees[l->tree_count++], &count);
    for (uint32_t i = 0; i < count; i++) {
        struct matcher_set *sets = arena_push(arena, l->sets, l->asked.set_count, sizeof *sets);
        if (sets == NULL) return no_memory(l);
        l->asked.sets = l->sets = sets;
        sets[l->asked.set_count++] = added[i];
    }
    return OK;
}

static enum err
read_times(struct lookup *l)
{
    enum err e = form_time(&l->form, "start", INT64_MIN, &l->asked.min_ms, &l->why);
    return e ? e : form_time(&l->form, "end", INT64_MAX, &l->asked.max_ms, &l->why);
}

static enum err
read_question(struct lookup *l)
{
    enum err e = form_read(l->request, &l->budget, &l->form, &l->why);
    const char *match;
    for (uint32_t i = 0; e == OK && (match = form_nth(&l->form, "match[]", i)) != NULL; i++) {
        e = add_sets(l, "match[]", match, promql_parse_selector);
    }
    const char *limit = e == OK ? form_nth(&l->form, "limit", 0) : NULL;
    if (limit != NULL && limit[0] != '\0') {
        char *end;
        l->asked.hints.limit = strtoull(limit, &end, 10);
        if (*end != '\0' || limit[0] < '0' || limit[0] > '9') {
            return why_set(&l->why, ERR_INPUT,
                           "invalid limit: expected a whole number of at least 0");
        }
    }
    return e ? e : read_times(l);
}

static enum err
read_exemplars_question(struct lookup *l)
{
    enum err e = form_read(l->request, &l->budget, &l->form, &l->why);
    const char *query = e == OK ? form_nth(&l->form, "query", 0) : NULL;
    if (e == OK) e = read_times(l);
    if (e == OK && l->asked.max_ms < l->asked.min_ms) {
        e = why_set(&l->why, ERR_INPUT, "end timestamp must not be before start timestamp");
    }
    return e ? e : add_sets(l, "query", query == NULL ? "" : query, promql_parse);
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
send_piece(struct lookup *l)
{
    return reply_piece(l->api, l->request, &l->control, &l->text, &l->begun, &l->why);
}

/* One more; ERR_CANCELED: as many as are wanted are there. */
static enum err
count_one(struct lookup *l)
{
    l->limited = l->asked.hints.limit != 0 && l->count == l->asked.hints.limit;
    if (l->limited) return ERR_CANCELED;
    l->count++;
    return l->text.size < PIECE_BYTES ? OK : send_piece(l);
}

static enum err
put_text(void *context, struct bytes text)
{
    struct lookup *l = context;
    enum err e = count_one(l);
    if (e == OK) json_put_bytes(&l->json, text);
    return e;
}

static enum err
put_series(void *context, struct bytes labels)
{
    struct lookup *l = context;
    enum err e = count_one(l);
    if (e == OK) labels_put_json(&l->json, labels);
    return e;
}

static void
end_series(struct lookup *l)
{
    if (l->series.size == 0) return;
    json_array_close(&l->json);
    json_object_close(&l->json);
    buf_clear(&l->series);
}

/* They come in the order of series. */
static enum err
put_exemplar(void *context, const struct exemplar *x)
{
    struct lookup *l = context;
    char value[NUMBER_TEXT_BYTES], time[32];
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
    int size = snprintf(time, sizeof time, "%s%" PRIu64 ".%03u", x->t_ms < 0 ? "-" : "",
                        (x->t_ms < 0 ? -(uint64_t)x->t_ms : (uint64_t)x->t_ms) / 1000,
                        (unsigned)((x->t_ms < 0 ? -(uint64_t)x->t_ms : (uint64_t)x->t_ms) % 1000));
    while (time[size - 1] == '0') {
        size--;
    }
    json_put_raw(&l->json, bytes_of(time, (size_t)(time[size - 1] == '.' ? size - 1 : size)));
    json_object_close(&l->json);
    enum err e = buf_error(&l->series);
    if (e) return why_set(&l->why, e, "not enough memory for the exemplars");
    return l->text.size < PIECE_BYTES ? OK : send_piece(l);
}

static enum err
keep_warning(void *context, const char *sentence)
{
    struct lookup *l = context;
    struct why place;
    snprintf(place.text, sizeof place.text, "%s", sentence);
    return warnings_add(&l->warnings, &place);
}

static void
end_answer(struct lookup *l, enum err e)
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
        reply_problem_of(l->request, FOR_QUERY, e, &l->why);
    } else {
        reply_json(l->request, 200, &l->text);
    }
}

/* --- the three -------------------------------------------------------------------------------- */

static void
run(struct api *api, struct http_request *request, enum err (*read)(struct lookup *l),
    enum err (*ask)(struct lookup *l))
{
    struct lookup *l = mem_new(&api->read_budget, sizeof *l);
    if (l == NULL) {
        reply_problem(request, status_of(FOR_QUERY, ERR_NOMEM),
                      problem_type_of(FOR_QUERY, ERR_NOMEM), "not enough memory for the query");
        return;
    }
    l->api = api;
    l->request = request;
    l->to = (struct text_sink){.warning = keep_warning, .context = l};
    l->asked.partial = true;
    budget_init(&l->budget, "query", 0, &api->read_budget);
    buf_init(&l->text, &l->budget, (size_t)1 << 30);
    buf_init(&l->series, &l->budget, (size_t)1 << 26);
    l->asked.control = &l->control;
    warnings_init(&l->warnings, &l->budget);
    query_control_begin(api, request, &l->budget, &l->control);
    unsigned refused = tenant_named(api, request, &l->asked.tenant, &l->why);
    if (refused != 0) {
        reply_problem(request, refused, "bad_data", l->why.text);
    } else {
        enum err e = read(l);
        if (e == OK) {
            success_begin(&l->json, &l->text);
            json_array_open(&l->json);
        }
        bool nothing = l->asked.min_ms > l->asked.max_ms;
        if (e == OK) e = view_open(api->options.answerer, &l->control, &l->view, &l->why);
        if (e == OK && !nothing) e = ask(l);
        view_free(l->view);
        end_answer(l, e);
    }
    for (uint32_t i = 0; i < l->tree_count; i++) {
        promql_free(l->trees[i]);
    }
    buf_fini(&l->series);
    form_fini(&l->form);
    buf_fini(&l->text);
    warnings_fini(&l->warnings);
    mem_free(&api->read_budget, l, sizeof *l);
}

static enum err
ask_names(struct lookup *l)
{
    l->to.each = put_text;
    return view_label_names(l->view, &l->asked, &l->to, &l->why);
}

static enum err
ask_series(struct lookup *l)
{
    l->to.each = put_series;
    if (l->asked.set_count == 0) {
        return why_set(&l->why, ERR_INPUT, "no match[] parameter provided");
    }
    return view_series(l->view, &l->asked, &l->to, &l->why);
}

static enum err
ask_values(struct lookup *l)
{
    static const char begin[] = "/api/v1/label/", end[] = "/values";
    struct bytes name = bytes_of_text(api_path(l->api, l->request));
    size_t around = sizeof begin - 1 + sizeof end - 1;
    uint8_t room[1024];
    struct buf plain = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    l->to.each = put_text;
    if (name.size <= around ||
        memcmp(name.at + name.size - (sizeof end - 1), end, sizeof end - 1) != 0) {
        return why_set(&l->why, ERR_INPUT, "unknown path: expected /api/v1/label/NAME/values");
    }
    name = bytes_of(name.at + sizeof begin - 1, name.size - around);
    if (escaped_name_get(&plain, name) && plain.size > 0) name = buf_bytes(&plain);
    if (!utf8_valid(name)) return why_set(&l->why, ERR_INPUT, "label name is not valid UTF-8");
    return view_label_values(l->view, &l->asked, name, &l->to, &l->why);
}

void
label_names_run(struct api *api, struct http_request *request)
{
    run(api, request, read_question, ask_names);
}

void
label_values_run(struct api *api, struct http_request *request)
{
    run(api, request, read_question, ask_values);
}

void
series_run(struct api *api, struct http_request *request)
{
    run(api, request, read_question, ask_series);
}

static enum err
ask_exemplars(struct lookup *l)
{
    if (l->asked.set_count == 0) return OK; /* without sets all would be asked for */
    enum err e = view_exemplars(l->view, &l->asked, put_exemplar, l, &l->why);
    if (e == OK) end_series(l);
    return e;
}

void
query_exemplars_run(struct api *api, struct http_request *request)
{
    run(api, request, read_exemplars_question, ask_exemplars);
}
