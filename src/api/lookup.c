/*
 * lookup.c - /api/v1/labels, /api/v1/label/NAME/values, /api/v1/series, as in Prometheus' API: in
 * its envelope, on a query thread. Small answers are sent as one, large ones as they come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/form.h"
#include "api/internal.h"
#include "base/utf8.h"
#include "base/warnings.h"
#include "model/selector.h"
#include "wire/escaped_name.h"

enum { PIECE_BYTES = 64 * 1024, SETS_MAX = 64 };

struct lookup {
    struct api *api;
    struct http_request *request;
    struct form form;
    struct budget budget;
    struct query_control control;
    struct selector *selectors;
    struct matcher_set sets[SETS_MAX];
    struct query_request asked;
    struct view *view;
    struct text_sink to;
    uint64_t count;
    bool limited;
    struct warnings warnings; /* what is missing because of damage */
    struct buf text;
    struct json json;
    bool begun; /* the answer is a stream */
    struct why why;
};

/* --- what is asked ---------------------------------------------------------------------------- */

static enum err
read_question(struct lookup *l)
{
    enum err e = form_read(l->request, &l->budget, &l->form, &l->why);
    if (e) return e;
    l->selectors = arena_alloc(&l->form.arena, SETS_MAX * sizeof *l->selectors);
    if (l->selectors == NULL) return ERR_NOMEM;
    const char *match;
    for (uint32_t i = 0; (match = form_nth(&l->form, "match[]", i)) != NULL; i++) {
        if (i == SETS_MAX) {
            return why_set(&l->why, ERR_INPUT,
                           "too many match[] parameters: at most %d are allowed", SETS_MAX);
        }
        e = selector_parse(bytes_of_text(match), &l->selectors[i], &l->why);
        if (e) return e;
        l->sets[i] = (struct matcher_set){l->selectors[i].matchers, l->selectors[i].count};
        l->asked.set_count++;
    }
    const char *limit = form_nth(&l->form, "limit", 0);
    if (limit != NULL && limit[0] != '\0') {
        char *end;
        l->asked.hints.limit = strtoull(limit, &end, 10);
        if (*end != '\0' || limit[0] < '0' || limit[0] > '9') {
            return why_set(&l->why, ERR_INPUT,
                           "invalid limit: expected a whole number of at least 0");
        }
    }
    e = form_time(&l->form, "start", INT64_MIN, &l->asked.min_ms, &l->why);
    if (e == OK) e = form_time(&l->form, "end", INT64_MAX, &l->asked.max_ms, &l->why);
    l->asked.sets = l->sets;
    l->asked.control = &l->control;
    return e;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
send_piece(struct lookup *l)
{
    enum err e = buf_error(&l->text);
    if (e == OK && !l->begun) {
        struct http_answer answer = {.status = 200, .content_type = "application/json"};
        e = http_stream_begin(l->request, &answer, UINT64_MAX, &l->why);
        l->begun = e == OK;
        if (e == OK) limit_stream(l->api, l->request, &l->control);
    }
    if (e == OK) e = http_stream_write(l->request, buf_bytes(&l->text), &l->why);
    buf_clear(&l->text);
    return e;
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
run(struct api *api, struct http_request *request, enum err (*ask)(struct lookup *l))
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
    warnings_init(&l->warnings, &l->budget);
    query_control_begin(api, request, &l->budget, &l->control);
    unsigned refused = tenant_named(api, request, &l->asked.tenant, &l->why);
    if (refused != 0) {
        reply_problem(request, refused, "bad_data", l->why.text);
    } else {
        enum err e = read_question(l);
        if (e == OK) {
            success_begin(&l->json, &l->text);
            json_array_open(&l->json);
        }
        bool nothing = l->asked.min_ms > l->asked.max_ms;
        if (e == OK) e = view_open(api->options.answerer, &l->control, &l->view, &l->why);
        if (e == OK && !nothing) e = ask(l);
        view_free(l->view);
        uint32_t sets = l->asked.set_count;
        struct selector *selectors = l->selectors;
        end_answer(l, e);
        for (uint32_t i = 0; i < sets; i++) {
            selector_fini(&selectors[i]);
        }
    }
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
    struct bytes name = bytes_of_text(http_path(l->request));
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
    run(api, request, ask_names);
}

void
label_values_run(struct api *api, struct http_request *request)
{
    run(api, request, ask_values);
}

void
series_run(struct api *api, struct http_request *request)
{
    run(api, request, ask_series);
}
