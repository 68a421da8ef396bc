/*
 * rules.c - /api/v1/rules, /api/v1/alerts and /api/v1/alertmanagers: parameters and answers like
 * those of Prometheus; the owner of the rules writes groups and alerts.
 */
#include "api/routes.h"

#include <ctype.h>
#include <stdio.h>

#include "api/request/read_request.h"
#include "base/array.h"
#include "base/text/quote.h"

enum { RULES_ANSWER_BYTES_MAX = 256 << 20 };

struct rules_request {
    struct read_request r;
    struct rules_question question;
};

/* --- parameters ------------------------------------------------------------------------------- */

/* Reads an argument in lower case, like Prometheus; NULL if it is absent. */
static enum err
get_word(struct rules_request *a, const char *name, const char **ret_word)
{
    const char *text = form_given(&a->r.form, name);
    *ret_word = NULL;
    if (text == NULL) return OK;
    size_t size = strlen(text) + 1;
    char *word = arena_alloc(&a->r.form.arena, size);
    if (word == NULL) return why_set(&a->r.why, ERR_NOMEM, "not enough memory for the query");
    for (size_t i = 0; i < size; i++)
        word[i] = (char)tolower((unsigned char)text[i]);
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
    e = form_invalid(&a->r.error, "type", "not supported value ");
    quote_text(&a->r.error, bytes_of_text(type));
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
    e = form_invalid(&a->r.error, "exclude_alerts",
                     "error converting exclude_alerts: strconv.ParseBool: parsing ");
    quote_text(&a->r.error, bytes_of_text(text));
    buf_put_text(&a->r.error, ": invalid syntax");
    return e;
}

/* Reads the parameters of pages of groups. */
static enum err
read_pages(struct rules_request *a)
{
    const char *limit = form_given(&a->r.form, "group_limit");
    const char *token = form_given(&a->r.form, "group_next_token");
    int64_t count;
    if (limit == NULL && token == NULL) return OK;
    if (limit == NULL) {
        return form_invalid(&a->r.error, "group_next_token",
                            "group_limit needs to be present in order to paginate over the groups");
    }
    const char *wrong = form_whole(limit, 32, &count);
    if (wrong != NULL) {
        enum err e = form_invalid(&a->r.error, "group_limit",
                                  "group_limit needs to be a valid number: strconv.ParseInt: "
                                  "parsing ");
        quote_text(&a->r.error, bytes_of_text(limit));
        buf_printf(&a->r.error, ": %s", wrong);
        return e;
    }
    if (count <= 0)
        return form_invalid(&a->r.error, "group_limit", "group_limit needs to be greater than 0");
    a->question.group_limit = (uint64_t)count;
    if (token != NULL) a->question.next_token = bytes_of_text(token);
    return OK;
}

static enum err
read_list(struct rules_request *a, const char *name, struct text_list *to)
{
    struct form_walk walk = {0};
    const char *text;
    while ((text = form_next(&a->r.form, name, &walk)) != NULL) {
        const char **items = arena_push(&a->r.form.arena, to->items, to->count, sizeof *items);
        if (items == NULL) return why_set(&a->r.why, ERR_NOMEM, "not enough memory for the query");
        items[to->count++] = text;
        to->items = items;
    }
    return OK;
}

static enum err
read_question(struct rules_request *a)
{
    struct group_question *q = &a->question.of_group;
    enum err e = form_check_query(&a->r.form, &a->r.why);
    if (e) return e;
    e = read_request_matches(&a->r);
    q->sets = a->r.match.sets;
    q->set_count = a->r.match.set_count;
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
    const struct api_options *o = &a->r.api->options;
    enum err e = read_question(a);
    if (e) return e;
    success_begin(&a->r.json, &a->r.text);
    json_object_open(&a->r.json);
    e = o->rules(o->context, &a->question, &a->r.json);
    if (e == ERR_MISSING) {
        e = form_invalid(&a->r.error, "group_next_token", "invalid group_next_token '");
        buf_put_bytes(&a->r.error, a->question.next_token);
        buf_put_text(&a->r.error, "'. were rule groups changed?");
    }
    json_object_close(&a->r.json);
    return e;
}

static enum err
put_alerts(struct rules_request *a)
{
    const struct api_options *o = &a->r.api->options;
    success_begin(&a->r.json, &a->r.text);
    json_object_open(&a->r.json);
    json_member_array(&a->r.json, "alerts");
    o->alerts(o->context, a->question.tenant, a->question.of_group.permitted, &a->r.json);
    json_array_close(&a->r.json);
    json_object_close(&a->r.json);
    return OK;
}

static enum err
put_alertmanagers(struct rules_request *a)
{
    const struct api_options *o = &a->r.api->options;
    success_begin(&a->r.json, &a->r.text);
    json_object_open(&a->r.json);
    o->list(o->context, LIST_ALERTMANAGERS, a->question.tenant, &a->r.json);
    json_object_close(&a->r.json);
    return OK;
}

static void
rules_answer(struct api *api, struct http_request *request, bool of_tenant,
             enum err (*put)(struct rules_request *a))
{
    struct rules_request a = {.question = {.group_limit = 0}};
    struct read_request *r = &a.r;
    if (of_tenant && !one_tenant_of(api, request, &a.question.tenant)) return;
    read_request_begin(r, api, request);
    buf_init(&r->text, &api->page_budget, RULES_ANSWER_BYTES_MAX);
    enum err e = form_read(request, &r->budget, &r->form, &r->why);
    if (e == OK) e = read_request_fence(r);
    if (r->fence.permitted.count > 0) a.question.of_group.permitted = &r->fence.permitted;
    if (e == OK) e = put(&a);
    if (e == OK) json_object_close(&r->json);
    if (e == OK) e = why_set(&r->why, buf_error(&r->text), "not enough memory for the answer");
    if (!read_request_refuse(r, e)) reply_json(request, 200, &r->text);
    read_request_end(r);
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
