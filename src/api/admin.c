/*
 * admin.c - what an operator asks the store to do now, behind --web.enable-admin-api. On a thread
 * of its own: each takes as long as it takes, and is answered when it is done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "api/form.h"
#include "api/internal.h"
#include "base/log.h"
#include "base/time_text.h"
#include "model/selector.h"

static void
put_counts(struct json *j, const char *key, const struct tsdb_stats *s)
{
    json_key(j, key);
    json_object_open(j);
    json_member_uint(j, "headSamples", s->head_samples);
    json_member_uint(j, "headExemplars", s->head_exemplars);
    json_member_uint(j, "parts", s->parts);
    json_member_uint(j, "partBytes", s->part_bytes);
    json_member_uint(j, "partSamples", s->part_samples);
    json_member_uint(j, "partExemplars", s->part_exemplars);
    json_object_close(j);
}

static void
reply_failed(struct http_request *request, enum err e, const struct why *why)
{
    bool bad = e == ERR_INPUT || e == ERR_LIMIT;
    unsigned status = status_of(e);
    const char *type = bad ? "bad_data" : status == 503 ? "unavailable" : "internal";
    reply_problem(request, status, type, why->text[0] == '\0' ? err_word(e) : why->text);
}

enum { ALONE_NAMED_MAX = 8, ALONE_TEXT_BYTES = 300 };

struct alone {
    struct json *json;
    uint32_t count;
};

static void
put_alone(void *context, uint64_t part, const char *reason)
{
    struct alone *a = context;
    char text[ALONE_TEXT_BYTES];
    if (a->count++ >= ALONE_NAMED_MAX) return;
    json_object_open(a->json);
    snprintf(text, sizeof text, "%016" PRIx64, part);
    json_member_text(a->json, "part", text);
    snprintf(text, sizeof text, "%.*s", ALONE_TEXT_BYTES - 1, reason);
    json_member_text(a->json, "reason", text);
    json_object_close(a->json);
}

/* Damage hinders no merge but that of its own part, which is named. */
static void
put_left_alone(struct json *j, struct api *api)
{
    struct alone a = {.json = j};
    json_key(j, "leftAlone");
    json_array_open(j);
    tsdb_left_alone(api->options.tsdb, put_alone, &a);
    json_array_close(j);
}

/* How it was before, and is now. `name` may be NULL. */
static void
reply_done(struct api *api, struct http_request *request, enum err e, const struct why *why,
           const struct tsdb_stats *before, const char *name)
{
    struct buf text;
    struct json j;
    struct tsdb_stats after;
    uint8_t room[16 * 1024];
    if (e) {
        reply_failed(request, e, why);
        return;
    }
    tsdb_stats(api->options.tsdb, &after);
    text = (struct buf){.at = room, .capacity = sizeof room, .limit = sizeof room};
    json_init(&j, &text);
    json_object_open(&j);
    json_member_text(&j, "status", "success");
    json_key(&j, "data");
    json_object_open(&j);
    if (name != NULL) json_member_text(&j, "name", name);
    put_counts(&j, "before", before);
    put_counts(&j, "after", &after);
    if (after.parts_left_alone > 0) put_left_alone(&j, api);
    json_object_close(&j);
    json_object_close(&j);
    struct http_answer answer = {
        .status = 200, .content_type = "application/json", .body = buf_bytes(&text)};
    http_reply(request, &answer);
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
    struct form form;
    enum err e = form_read(request, &api->read_budget, &form, &why);
    const char *full = form_nth(&form, "full", 0);
    enum tsdb_merge_mode mode =
        full != NULL && strcasecmp(full, "true") == 0 ? TSDB_MERGE_FULL : TSDB_MERGE_DUE;
    form_fini(&form);
    tsdb_stats(api->options.tsdb, &before);
    if (e == OK) e = api->options.merge_now(api->options.context, mode, &why);
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
clean_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct tsdb_stats before;
    tsdb_stats(api->options.tsdb, &before);
    enum err e = api->options.merge_now(api->options.context, TSDB_MERGE_CLEAN, &why);
    reply_done(api, request, e, &why, &before, NULL);
}

/* --- deleting --------------------------------------------------------------------------------- */

/* Each match[] is a deletion of its own; what the first takes the second does not count. */
static enum err
delete_all(struct api *api, const struct form *form, struct bytes tenant, int64_t min_ms,
           int64_t max_ms, struct tsdb_deletion *sum, struct why *why)
{
    const char *match;
    for (unsigned i = 0; (match = form_nth(form, "match[]", i)) != NULL; i++) {
        struct selector selector;
        struct tsdb_deletion deletion;
        enum err e = selector_parse(bytes_of_text(match), &selector, why);
        if (e == OK) {
            e = tsdb_delete(api->options.tsdb, tenant, &selector, min_ms, max_ms, &deletion, why);
        }
        if (e) return e;
        sum->series += deletion.series;
        sum->samples += deletion.samples;
    }
    return OK;
}

/* Nothing is deleted by a request that is wrong in any of its parts. */
static enum err
check_matches(const struct form *form, struct why *why)
{
    const char *match = form_nth(form, "match[]", 0);
    if (match == NULL) return why_set(why, ERR_INPUT, "no match[] parameter provided");
    for (unsigned i = 0; (match = form_nth(form, "match[]", i)) != NULL; i++) {
        struct selector selector;
        enum err e = selector_parse(bytes_of_text(match), &selector, why);
        if (e) return e;
        selector_fini(&selector);
    }
    return OK;
}

static void
reply_deleted(struct http_request *request, const struct tsdb_deletion *sum)
{
    char text[200];
    int n = snprintf(text, sizeof text,
                     "{\"status\":\"success\",\"data\":{\"series\":%" PRIu64 ",\"samples\":%" PRIu64
                     "}}",
                     sum->series, sum->samples);
    struct http_answer answer = {
        .status = 200, .content_type = "application/json", .body = bytes_of(text, (size_t)n)};
    http_reply(request, &answer);
}

static void
delete_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct bytes tenant;
    int64_t min_ms, max_ms;
    struct tsdb_deletion sum = {0, 0};
    struct form form;
    if (!tenant_of(api, request, &tenant)) return;
    enum err e = form_read(request, &api->read_budget, &form, &why);
    if (e == OK) e = check_matches(&form, &why);
    if (e == OK) e = form_time(&form, "start", INT64_MIN, &min_ms, &why);
    if (e == OK) e = form_time(&form, "end", INT64_MAX, &max_ms, &why);
    if (e == OK) e = api->options.flush_now(api->options.context, &why);
    if (e == OK) e = delete_all(api, &form, tenant, min_ms, max_ms, &sum, &why);
    form_fini(&form);
    /* Of several match[] the first may be done when another one fails. */
    if (e == OK || sum.series > 0) {
        log_info("deleted", KV("tenant", tenant), KV("series", sum.series),
                 KV("samples", sum.samples));
    }
    if (e) {
        reply_failed(request, e, &why);
    } else {
        reply_deleted(request, &sum);
    }
}

/* --- who asks --------------------------------------------------------------------------------- */

static bool
admin_is_allowed(const struct api *api, struct http_request *request)
{
    if (api->options.admin) return true;
    reply_problem(request, 503, "unavailable", "start with --web.enable-admin-api");
    return false;
}

void
admin_flush_handler(void *context, struct http_request *request)
{
    if (admin_is_allowed(context, request)) admin_later(context, request, flush_run);
}

void
admin_merge_handler(void *context, struct http_request *request)
{
    if (admin_is_allowed(context, request)) merge_later(context, request, merge_run);
}

void
admin_snapshot_handler(void *context, struct http_request *request)
{
    if (admin_is_allowed(context, request)) admin_later(context, request, snapshot_run);
}

void
admin_clean_handler(void *context, struct http_request *request)
{
    if (admin_is_allowed(context, request)) merge_later(context, request, clean_run);
}

void
admin_delete_handler(void *context, struct http_request *request)
{
    if (admin_is_allowed(context, request)) admin_later(context, request, delete_run);
}

/* --- destinations ----------------------------------------------------------------------------- */

static const char *const verbs[] = {
    [DESTINATION_PAUSE] = "pause",
    [DESTINATION_RESUME] = "resume",
    [DESTINATION_REPLAY] = "replay",
};

/* The name in .../destinations/NAME/VERB. False: that is none. */
static bool
parse_verb(const char *path, struct bytes *ret_name, enum destination_verb *ret_verb)
{
    const char *name = path + strlen("/api/v1/admin/destinations/"), *verb = strrchr(name, '/');
    if (verb == NULL) return false;
    *ret_name = bytes_of(name, (size_t)(verb - name));
    for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        *ret_verb = (enum destination_verb)i;
        if (strcmp(verb + 1, verbs[i]) == 0) return true;
    }
    return false;
}

static enum err
parse_from(struct api *api, struct http_request *request, int64_t *ret_ms, struct why *why)
{
    struct form form;
    enum err e = form_read(request, &api->read_budget, &form, why);
    const char *text = e == OK ? form_nth(&form, "from", 0) : NULL;
    if (e == OK && text == NULL) {
        e = why_set(why, ERR_INPUT, "from: the time from which samples are to be given again");
    }
    if (e == OK) {
        int64_t now_ms = env_realtime_ms(api->options.env);
        e = time_parse(bytes_of_text(text), now_ms, ret_ms, why);
        if (e) why_prefix(why, e, "from");
    }
    form_fini(&form);
    return e;
}

static void
destination_run(struct api *api, struct http_request *request)
{
    struct bytes name;
    struct destination_wish wish = {.from_ms = 0};
    struct why why = {""};
    if (!parse_verb(http_path(request), &name, &wish.verb)) {
        reply_problem(request, 404, "not_found",
                      "a destination can be asked to pause, to resume, or to replay: "
                      "/api/v1/admin/destinations/NAME/pause");
        return;
    }
    enum err e = OK;
    if (wish.verb == DESTINATION_REPLAY) e = parse_from(api, request, &wish.from_ms, &why);
    if (e == OK) e = api->options.tell_destination(api->options.context, name, &wish, &why);
    if (e == ERR_MISSING) {
        reply_problem(request, 404, "not_found", why.text);
        return;
    }
    if (e) {
        reply_failed(request, e, &why);
        return;
    }
    log_info("relay: as an operator wishes", KV("destination", name), KV("wish", verbs[wish.verb]));
    struct http_answer answer = {.status = 204};
    http_reply(request, &answer);
}

void
admin_destination_handler(void *context, struct http_request *request)
{
    if (admin_is_allowed(context, request)) run_later(context, request, destination_run);
}
