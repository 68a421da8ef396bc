/*
 * targets.c - what a Prometheus tells that scrapes targets, evaluates rules and sends alerts.
 * Nothing of that is done here: the answers are well-formed and empty, as clients of the API expect
 * them, and parameters are refused as there.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "api/internal.h"
#include "api/match.h"
#include "base/quote.h"

struct question {
    struct api *api;
    struct form form;
    struct match match;
    struct query_control control;
    struct buf error;
    struct why why;
};

/* --- parameters ------------------------------------------------------------------------------- */

/* In lower case, as Prometheus reads it; NULL: it is not given. */
static enum err
get_word(struct question *q, const char *name, const char **ret_word)
{
    const char *text = form_given(&q->form, name);
    *ret_word = NULL;
    if (text == NULL) return OK;
    size_t size = strlen(text) + 1;
    char *word = arena_alloc(&q->form.arena, size);
    if (word == NULL) return why_set(&q->why, ERR_NOMEM, "not enough memory for the query");
    for (size_t i = 0; i < size; i++) {
        word[i] = (char)tolower((unsigned char)text[i]);
    }
    *ret_word = word;
    return OK;
}

static enum err
check_type(struct question *q)
{
    const char *type;
    enum err e = get_word(q, "type", &type);
    if (e || type == NULL || strcmp(type, "alert") == 0 || strcmp(type, "record") == 0) return e;
    e = form_invalid(&q->error, "type", "not supported value ");
    quote_text(&q->error, bytes_of_text(type));
    return e;
}

static enum err
check_exclude_alerts(struct question *q)
{
    static const char *const words[] = {"0", "1", "f", "t", "false", "true"};
    const char *text;
    enum err e = get_word(q, "exclude_alerts", &text);
    if (e || text == NULL) return e;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) return OK;
    }
    e = form_invalid(&q->error, "exclude_alerts",
                     "error converting exclude_alerts: strconv.ParseBool: parsing ");
    quote_text(&q->error, bytes_of_text(text));
    buf_put_text(&q->error, ": invalid syntax");
    return e;
}

/* Groups may be asked for by pages: there are none, so no token is right. */
static enum err
check_pages(struct question *q)
{
    const char *limit = form_given(&q->form, "group_limit");
    const char *token = form_given(&q->form, "group_next_token");
    int64_t count;
    if (limit == NULL && token == NULL) return OK;
    if (limit == NULL) {
        return form_invalid(&q->error, "group_next_token",
                            "group_limit needs to be present in order to paginate over the groups");
    }
    const char *wrong = form_whole(limit, 32, &count);
    if (wrong != NULL) {
        enum err e = form_invalid(&q->error, "group_limit",
                                  "group_limit needs to be a valid number: strconv.ParseInt: "
                                  "parsing ");
        quote_text(&q->error, bytes_of_text(limit));
        buf_printf(&q->error, ": %s", wrong);
        return e;
    }
    if (count <= 0) {
        return form_invalid(&q->error, "group_limit", "group_limit needs to be greater than 0");
    }
    if (token == NULL) return OK;
    enum err e = form_invalid(&q->error, "group_next_token", "invalid group_next_token '");
    buf_put_text(&q->error, token);
    buf_put_text(&q->error, "'. were rule groups changed?");
    return e;
}

static enum err
check_rules(struct question *q)
{
    enum err e =
        match_read(&q->match, &q->form, &q->api->read_budget, &q->control, &q->error, &q->why);
    if (e == OK) e = check_type(q);
    if (e == OK) e = check_exclude_alerts(q);
    return e ? e : check_pages(q);
}

static enum err
check_target_metadata(struct question *q)
{
    const char *limit = form_given(&q->form, "limit");
    const char *match = form_given(&q->form, "match_target");
    int64_t count;
    if (limit != NULL && form_whole(limit, 64, &count) != NULL) {
        buf_put_text(&q->error, "limit must be a number");
        return ERR_INPUT;
    }
    if (match == NULL) return OK;
    buf_put_text(&q->error, "invalid parameter \"match_target\": ");
    enum err e = match_add(&q->match, match, promql_parse_selector, &q->form, &q->api->read_budget,
                           &q->control, &q->error, &q->why);
    if (e == OK) buf_clear(&q->error);
    return e;
}

/* How the rules of a pool change labels: there is no pool. */
static enum err
check_relabel_steps(struct question *q)
{
    const char *pool = form_given(&q->form, "scrapePool");
    if (pool == NULL) {
        buf_put_text(&q->error, "no scrapePool parameter provided");
    } else if (form_given(&q->form, "labels") == NULL) {
        buf_put_text(&q->error, "no labels parameter provided");
    } else {
        buf_put_text(&q->error, "error retrieving scrape config: scrape pool ");
        quote_text(&q->error, bytes_of_text(pool));
        buf_put_text(&q->error, " not found");
    }
    return ERR_INPUT;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Where dropped targets are not wanted, nothing is told of their number. */
static const char *
targets_data(const struct question *q)
{
    const char *state = form_given(&q->form, "state");
    bool dropped =
        state == NULL || strcasecmp(state, "any") == 0 || strcasecmp(state, "dropped") == 0;
    return dropped ? "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"
                   : "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":null}";
}

static const struct answer {
    const char *path;
    const char *data;
    enum err (*check)(struct question *q); /* NULL: it has no parameters */
} answers[] = {
    {"/api/v1/rules", "{\"groups\":[]}", check_rules},
    {"/api/v1/alerts", "{\"alerts\":[]}"},
    {"/api/v1/alertmanagers", "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}"},
    {"/api/v1/targets", NULL}, /* by state */
    {"/api/v1/targets/metadata", "[]", check_target_metadata},
    {"/api/v1/targets/relabel_steps", "{\"steps\":[]}", check_relabel_steps},
    {"/api/v1/scrape_pools", "{\"scrapePools\":[]}"},
    {"/api/v1/notifications", "[]"},
};

static void
reply_success(struct http_request *request, const char *data)
{
    uint8_t room[512];
    struct buf text = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    struct json j;
    success_begin(&j, &text);
    json_put_raw(&j, bytes_of_text(data));
    json_object_close(&j);
    reply_json(request, 200, &text);
}

void
targets_run(struct api *api, struct http_request *request)
{
    const struct answer *a = answers;
    while (strcmp(a->path, api_path(api, request)) != 0) {
        a++; /* it is among them: see the table of routes */
    }
    struct question q = {.api = api};
    buf_init(&q.error, NULL, SENTENCE_BYTES_MAX);
    query_control_begin(api, request, &api->read_budget, &q.control);
    enum err e = form_read(request, &api->read_budget, &q.form, &q.why);
    if (e == OK && a->check != NULL) e = a->check(&q);
    if (e == OK)
        reply_success(request, a->data != NULL ? a->data : targets_data(&q));
    else if (e == ERR_INPUT && q.error.size > 0)
        reply_sentence(request, 400, "bad_data", buf_bytes(&q.error));
    else
        reply_problem_of(request, FOR_QUERY, e, &q.why);
    match_fini(&q.match);
    form_fini(&q.form);
    buf_fini(&q.error);
}

/* A stream of what will never come: with this answer clients do not ask again. */
void
notifications_live_run(struct api *api, struct http_request *request)
{
    (void)api;
    http_reply(request, &(struct http_answer){.status = 204});
}
