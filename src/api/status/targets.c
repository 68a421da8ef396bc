/*
 * targets.c - the routes about targets that a Prometheus scrapes. This server does not scrape: its
 * answers are well-formed and empty, as clients of the API expect them, and it refuses the same
 * parameters.
 */
#include "api/routes.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

#include "api/request/read_request.h"
#include "base/text/quote.h"

/* --- parameters ------------------------------------------------------------------------------- */

static enum err
check_target_metadata(struct read_request *q)
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
    enum err e = read_request_match(q, &q->match, match, promql_parse_selector);
    if (e == OK) buf_clear(&q->error);
    return e;
}

/* Refuses a request for the relabelling of a pool, since there are no pools. */
static enum err
check_relabel_steps(struct read_request *q)
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

static const struct targets_answer {
    const char *path;
    const char *data;
    enum err (*check)(struct read_request *q); /* NULL: the route has no parameters */
} answers[] = {
    {"/api/v1/targets", NULL}, /* depends on the state */
    {"/api/v1/targets/metadata", "[]", check_target_metadata},
    {"/api/v1/targets/relabel_steps", "{\"steps\":[]}", check_relabel_steps},
    {"/api/v1/scrape_pools", "{\"scrapePools\":[]}"},
    {"/api/v1/notifications", "[]"},
};

void
targets_run(struct api *api, struct http_request *request)
{
    const struct targets_answer *a = answers;
    while (strcmp(a->path, api_path(api, request)) != 0) {
        a++; /* the table of routes has no others */
        assert(a < answers + sizeof answers / sizeof *answers);
    }
    struct read_request r;
    read_request_begin(&r, api, request);
    enum err e = form_read(request, &r.budget, &r.form, &r.why);
    if (e == OK && a->check != NULL) e = a->check(&r);
    if (!read_request_refuse(&r, e)) {
        /* The answer has counts of dropped targets only if these are wanted. */
        const char *data = a->data, *state = form_given(&r.form, "state");
        bool is_dropped =
            state == NULL || strcasecmp(state, "any") == 0 || strcasecmp(state, "dropped") == 0;
        if (data == NULL)
            data =
                is_dropped
                    ? "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"
                    : "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":null}";
        uint8_t room[512];
        struct buf text = {.at = room, .capacity = sizeof room, .limit = sizeof room};
        struct json j;
        success_begin(&j, &text);
        json_put_raw(&j, bytes_of_text(data));
        json_object_close(&j);
        reply_json(request, 200, &text);
    }
    read_request_end(&r);
}

/* Answers that there are no notifications, after which clients do not ask again. */
void
notifications_live_run(struct api *api, struct http_request *request)
{
    (void)api;
    http_reply(request, &(struct http_answer){.status = 204});
}
