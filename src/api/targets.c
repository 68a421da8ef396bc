/*
 * targets.c - what a Prometheus tells that scrapes targets, evaluates rules and sends alerts.
 * Nothing of that is done here: the answers are well-formed and empty, as clients of the API expect
 * them.
 */
#include "api/internal.h"

void
targets_run(struct api *api, struct http_request *request)
{
    static const struct {
        const char *path;
        const char *data;
    } answers[] = {
        {"/api/v1/rules", "{\"groups\":[]}"},
        {"/api/v1/alerts", "{\"alerts\":[]}"},
        {"/api/v1/alertmanagers", "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}"},
        {"/api/v1/targets",
         "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"},
        {"/api/v1/targets/metadata", "[]"},
        {"/api/v1/scrape_pools", "{\"scrapePools\":[]}"},
        {"/api/v1/notifications", "[]"},
    };
    const char *path = api_path(api, request);
    unsigned i = 0;
    while (strcmp(answers[i].path, path) != 0) {
        i++; /* it is among them: see the table of routes */
    }
    struct buf text;
    struct json j;
    buf_init(&text, &api->read_budget, 4096);
    success_begin(&j, &text);
    json_put_raw(&j, bytes_of_text(answers[i].data));
    json_object_close(&j);
    struct why why = {""};
    if (buf_error(&text))
        reply_problem_of(request, FOR_QUERY, buf_error(&text), &why);
    else
        reply_json(request, 200, &text);
    buf_fini(&text);
}
