/*
 * admin.c - what an operator asks the store to do now, behind --web.enable-admin-api. On a thread
 * of its own: each takes as long as it takes, and is answered when it is done.
 */
#include <inttypes.h>
#include <strings.h>

#include "api/internal.h"
#include "base/json.h"
#include "base/log.h"

static void
key_uint(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    json_put_uint(j, value);
}

static void
put_counts(struct json *j, const char *key, const struct tsdb_stats *s)
{
    json_key(j, key);
    json_object_open(j);
    key_uint(j, "headSamples", s->head_samples + s->head_exemplars);
    key_uint(j, "parts", s->parts);
    key_uint(j, "partBytes", s->part_bytes);
    key_uint(j, "partSamples", s->part_samples);
    json_object_close(j);
}

/* Prometheus' envelope, also for what goes wrong. */
static void
reply_done(struct api *api, struct http_request *request, enum err e, const struct why *why,
           const struct tsdb_stats *before, const char *name)
{
    struct buf text;
    struct json j;
    struct tsdb_stats after;
    buf_init(&text, &api->read_budget, 64 * 1024);
    json_init(&j, &text);
    json_object_open(&j);
    json_key(&j, "status");
    json_put_text(&j, e == OK ? "success" : "error");
    if (e == OK) {
        tsdb_stats(api->options.tsdb, &after);
        json_key(&j, "data");
        json_object_open(&j);
        if (name != NULL) {
            json_key(&j, "name");
            json_put_text(&j, name);
        }
        put_counts(&j, "before", before);
        put_counts(&j, "after", &after);
        json_object_close(&j);
    } else {
        json_key(&j, "errorType");
        json_put_text(&j, status_of(e) == 503 ? "unavailable" : "internal");
        json_key(&j, "error");
        json_put_text(&j, why->text[0] == '\0' ? err_word(e) : why->text);
    }
    json_object_close(&j);
    struct http_answer answer = {.status = e == OK ? 200 : status_of(e),
                                 .content_type = "application/json",
                                 .body = buf_bytes(&text)};
    if (buf_error(&text)) answer.status = 503;
    http_reply(request, &answer);
    buf_fini(&text);
}

static void
flush_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct tsdb_stats before;
    tsdb_stats(api->options.tsdb, &before);
    enum err e = api->options.flush_now(api->options.context, &why);
    reply_done(api, request, e, &why, &before, NULL);
}

static void
merge_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct tsdb_stats before;
    const char *full = http_argument(request, "full");
    tsdb_stats(api->options.tsdb, &before);
    enum err e = api->options.merge_now(api->options.context,
                                        full != NULL && strcasecmp(full, "true") == 0, &why);
    reply_done(api, request, e, &why, &before, NULL);
}

/* What is acknowledged before is in it: the head goes into a part first. */
static void
snapshot_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct tsdb_stats before;
    char name[SNAPSHOT_NAME_BYTES] = "";
    tsdb_stats(api->options.tsdb, &before);
    enum err e = api->options.flush_now(api->options.context, &why);
    if (e == OK) e = tsdb_snapshot(api->options.tsdb, name, &why);
    if (e == OK) log_info("snapshot made", KV("name", name));
    reply_done(api, request, e, &why, &before, name);
}

static void
admin_handler(struct api *api, struct http_request *request,
              void (*run)(struct api *api, struct http_request *request))
{
    if (!api->options.admin) {
        struct http_answer answer = {
            .status = 503,
            .content_type = "application/json",
            .body = bytes_of_text("{\"status\":\"error\",\"errorType\":\"unavailable\","
                                  "\"error\":\"start with --web.enable-admin-api\"}"),
        };
        http_reply(request, &answer);
        return;
    }
    admin_later(api, request, run);
}

void
admin_flush_handler(void *context, struct http_request *request)
{
    admin_handler(context, request, flush_run);
}

void
admin_merge_handler(void *context, struct http_request *request)
{
    admin_handler(context, request, merge_run);
}

void
admin_snapshot_handler(void *context, struct http_request *request)
{
    admin_handler(context, request, snapshot_run);
}
