/*
 * destination_questions.c - questions of operators about one destination, with
 * --web.enable-admin-api: its dead letters, a test of it. They run on a thread of their
 * own, one after the other, because they read files or wait for other systems.
 *
 *     GET  /api/v1/admin/dead_letters/NAME
 *     POST /api/v1/admin/dead_letters/NAME?action=replay|drop
 *     POST /api/v1/admin/destination_test/NAME
 */
#include "api/status/status.h"

#include <string.h>

#include "api/answer.h"

static void
answer(struct api *api, struct http_request *request, const char *route,
       struct destination_question *q)
{
    struct json_page p;
    q->name = bytes_of_text(api_path(api, request) + strlen(route));
    q->memory = &api->page_budget;
    q->stop = &api->stopping;
    json_page_begin(&p, api, request);
    json_page_send(&p, FOR_ANYTHING,
                   api->options.ask_destination(api->options.context, q, p.j, &p.why));
}

void
dead_letters_run(struct api *api, struct http_request *request)
{
    const char *action = http_argument(request, "action");
    const char *reason = http_argument(request, "reason");
    struct destination_question q = {
        .ask = DESTINATION_LETTERS,
        .reason = reason == NULL || reason[0] == '\0' ? NULL : reason,
    };
    if (http_method(request) == HTTP_POST) {
        bool replays = action != NULL && strcmp(action, "replay") == 0;
        bool drops = action != NULL && strcmp(action, "drop") == 0;
        if (!replays && !drops) {
            reply_problem(request, 400, "bad_data", "action must be replay or drop");
            return;
        }
        if (q.reason != NULL) {
            reply_problem(request, 400, "bad_data",
                          "reason is for lists; a command applies to all dead letters");
            return;
        }
        q.ask = replays ? DESTINATION_LETTERS_REPLAY : DESTINATION_LETTERS_DROP;
    }
    answer(api, request, "/api/v1/admin/dead_letters/", &q);
}

void
destination_test_run(struct api *api, struct http_request *request)
{
    const char *write = http_argument(request, "write");
    struct destination_question q = {
        .ask = DESTINATION_TEST,
        .write = write != NULL && strcmp(write, "true") == 0,
    };
    answer(api, request, "/api/v1/admin/destination_test/", &q);
}
