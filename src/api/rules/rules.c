/*
 * rules.c - /api/v1/rules, /api/v1/alerts and /api/v1/alertmanagers: parameters and answers like
 * those of Prometheus; the owner of the rules writes groups and alerts.
 */
#include "api/rules/rules.h"

#include <ctype.h>
#include <stdio.h>

#include "api/answer.h"
#include "api/request/fence.h"
#include "api/request/form.h"
#include "api/request/match.h"
#include "base/array.h"
#include "base/text/quote.h"

enum { ANSWER_BYTES_MAX = 256 << 20 };

struct rules_request {
    struct api *api;
    struct form form;
    struct match match;
    struct fence fence;
    struct query_control control;
    struct rules_question question;
    struct buf text;
    struct json json;
    struct buf error;
    struct why why;
};

/* --- parameters ------------------------------------------------------------------------------- */

/* Reads an argument in lower case, like Prometheus; NULL if it is absent. */
static enum err
get_word(struct rules_request *a, const char *name, const char **ret_word)
{
    const char *text = form_given(&a->form, name);
    *ret_word = NULL;
    if (text == NULL) return OK;
    size_t size = strlen(text) + 1;
    char *word = arena_alloc(&a->form.arena, size);
    if (word == NULL) return why_set(&a->why, ERR_NOMEM, "not enough memory for the query");
    for (size_t i = 0; i < size; i++) {
        word[i] = (char)tolower((unsigned char)text[i]);
    }
    *ret_word = word;
    return OK;
}

static enum err
read_type(struct rules_request *a)
{
    const char *type;
    struct group_question *q = &a->question.of_group;
    enum err e = get_word(a, "type", &type);
    q->alerting = type == NULL || strcmp(type, "alert") == 0;
    q->recording = type == NULL || strcmp(type, "record") == 0;
    if (e || q->alerting || q->recording) return e;
    e = form_invalid(&a->error, "type", "not supported value ");
    quote_text(&a->error, bytes_of_text(type));
    return e;
}

static enum err
read_exclude_alerts(struct rules_request *a)
{
    static const char *const words[] = {"0", "1", "f", "t", "false", "true"};
    const char *text;
    enum err e = get_word(a, "exclude_alerts", &text);
    if (e || text == NULL) return e;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        a->question.of_group.without_alerts = i % 2 == 1;
        if (strcmp(text, words[i]) == 0) return OK;
    }
    e = form_invalid(&a->error, "exclude_alerts",
                     "error converting exclude_alerts: strconv.ParseBool: parsing ");
    quote_text(&a->error, bytes_of_text(text));
    buf_put_text(&a->error, ": invalid syntax");
    return e;
}

/* Reads the parameters of pages of groups. */
static enum err
read_pages(struct rules_request *a)
{
    const char *limit = form_given(&a->form, "group_limit");
    const char *token = form_given(&a->form, "group_next_token");
    int64_t count;
    if (limit == NULL && token == NULL) return OK;
    if (limit == NULL) {
        return form_invalid(&a->error, "group_next_token",
                            "group_limit needs to be present in order to paginate over the groups");
    }
    const char *wrong = form_whole(limit, 32, &count);
    if (wrong != NULL) {
        enum err e = form_invalid(&a->error, "group_limit",
                                  "group_limit needs to be a valid number: strconv.ParseInt: "
                                  "parsing ");
        quote_text(&a->error, bytes_of_text(limit));
        buf_printf(&a->error, ": %s", wrong);
        return e;
    }
    if (count <= 0) {
        return form_invalid(&a->error, "group_limit", "group_limit needs to be greater than 0");
    }
    a->question.group_limit = (uint64_t)count;
    if (token != NULL) a->question.next_token = bytes_of_text(token);
    return OK;
}

static enum err
read_list(struct rules_request *a, const char *name, struct text_list *to)
{
    struct form_walk walk = {0};
    const char *text;
    while ((text = form_next(&a->form, name, &walk)) != NULL) {
        const char **items = arena_push(&a->form.arena, to->items, to->count, sizeof *items);
        if (items == NULL) return why_set(&a->why, ERR_NOMEM, "not enough memory for the query");
        items[to->count++] = text;
        to->items = items;
    }
    return OK;
}

static enum err
read_question(struct rules_request *a)
{
    struct group_question *q = &a->question.of_group;
    enum err e = form_check_query(&a->form, &a->why);
    if (e) return e;
    e = match_read(&a->match, &a->form, &a->api->read_budget, &a->control, &a->error, &a->why);
    q->sets = a->match.sets;
    q->set_count = a->match.set_count;
    if (e == OK) e = read_type(a);
    if (e == OK) e = read_exclude_alerts(a);
    if (e == OK) e = read_pages(a);
    if (e == OK) e = read_list(a, "rule_name[]", &q->names);
    if (e == OK) e = read_list(a, "rule_group[]", &a->question.groups);
    return e ? e : read_list(a, "file[]", &a->question.files);
}

/* --- answers ---------------------------------------------------------------------------------- */

static enum err
put_rules(struct rules_request *a)
{
    const struct api_options *o = &a->api->options;
    enum err e = read_question(a);
    if (e) return e;
    success_begin(&a->json, &a->text);
    json_object_open(&a->json);
    if (o->rules != NULL) {
        e = o->rules(o->context, &a->question, &a->json);
    } else {
        if (a->question.next_token.size > 0) e = ERR_MISSING;
        json_member_array(&a->json, "groups");
        json_array_close(&a->json);
    }
    if (e == ERR_MISSING) {
        e = form_invalid(&a->error, "group_next_token", "invalid group_next_token '");
        buf_put_bytes(&a->error, a->question.next_token);
        buf_put_text(&a->error, "'. were rule groups changed?");
    }
    json_object_close(&a->json);
    return e;
}

/* Reads which series and alerts the request may see. */
static enum err
read_fence(struct rules_request *a)
{
    enum err e =
        fence_read(&a->fence, &a->form, &a->api->read_budget, &a->control, &a->error, &a->why);
    if (e == OK && a->fence.permitted.count > 0)
        a->question.of_group.permitted = &a->fence.permitted;
    return e;
}

static enum err
put_alerts(struct rules_request *a)
{
    const struct api_options *o = &a->api->options;
    success_begin(&a->json, &a->text);
    json_object_open(&a->json);
    json_member_array(&a->json, "alerts");
    if (o->alerts != NULL) {
        o->alerts(o->context, a->question.tenant, a->question.of_group.permitted, &a->json);
    }
    json_array_close(&a->json);
    json_object_close(&a->json);
    return OK;
}

static enum err
put_alertmanagers(struct rules_request *a)
{
    const struct api_options *o = &a->api->options;
    success_begin(&a->json, &a->text);
    json_object_open(&a->json);
    if (o->alertmanagers != NULL) {
        o->alertmanagers(o->context, &a->json);
    } else {
        json_member_array(&a->json, "activeAlertmanagers");
        json_array_close(&a->json);
        json_member_array(&a->json, "droppedAlertmanagers");
        json_array_close(&a->json);
    }
    json_object_close(&a->json);
    return OK;
}

static void
rules_answer(struct api *api, struct http_request *request, bool of_tenant,
             enum err (*put)(struct rules_request *a))
{
    struct rules_request a = {.api = api};
    if (of_tenant && !one_tenant_of(api, request, &a.question.tenant)) return;
    buf_init(&a.error, NULL, SENTENCE_BYTES_MAX);
    buf_init(&a.text, &api->page_budget, ANSWER_BYTES_MAX);
    query_control_begin(api, request, &api->read_budget, &a.control);
    enum err e = form_read(request, &api->read_budget, &a.form, &a.why);
    if (e == OK) e = read_fence(&a);
    if (e == OK) e = put(&a);
    if (e == OK) json_object_close(&a.json);
    if (e == OK && buf_error(&a.text)) {
        e = why_set(&a.why, buf_error(&a.text), "not enough memory for the answer");
    }
    if (e == OK)
        reply_json(request, 200, &a.text);
    else if (e == ERR_INPUT && a.error.size > 0)
        reply_sentence(request, 400, "bad_data", buf_bytes(&a.error));
    else
        reply_problem_of(request, FOR_QUERY, e, &a.why);
    match_fini(&a.match);
    fence_fini(&a.fence);
    form_fini(&a.form);
    buf_fini(&a.text);
    buf_fini(&a.error);
}

void
rules_run(struct api *api, struct http_request *request)
{
    rules_answer(api, request, true, put_rules);
}

void
alerts_run(struct api *api, struct http_request *request)
{
    rules_answer(api, request, true, put_alerts);
}

/* Answers for all tenants: Alertmanagers are settings of the server. */
void
alertmanagers_run(struct api *api, struct http_request *request)
{
    rules_answer(api, request, false, put_alertmanagers);
}
