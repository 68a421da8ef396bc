/* deletions.c - receipts of deletions, and undoing them, with --web.enable-admin-api. */
#include "api/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/status/pages.h"
#include "base/log.h"

static const char PATH[] = "/api/v1/admin/tsdb/deletions/";

static const char *const states[] = {
    [DELETION_HELD] = "held",
    [DELETION_FINAL] = "final",
    [DELETION_DONE] = "done",
    [DELETION_UNDONE] = "undone",
};

/* The members of a receipt; the object stays open. */
static void
put_receipt(struct json *j, const struct tsdb_receipt *r)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, r->id);
    json_object_open(j);
    json_member_text(j, "id", id);
    json_member_text(j, "state", states[r->state]);
    put_page_time(j, "time", r->made_ms);
    if (r->state == DELETION_HELD) put_page_time(j, "heldUntil", r->held_until_ms);
    if (r->state == DELETION_UNDONE) put_page_time(j, "undone", r->undone_ms);
    json_member_bytes(j, "selector", r->selector);
    if (r->range.min_ms != INT64_MIN) put_page_time(j, "start", r->range.min_ms);
    if (r->range.max_ms != INT64_MAX) put_page_time(j, "end", r->range.max_ms);
    json_member_uint(j, "series", r->series);
    json_member_uint(j, "samples", r->samples);
    json_member_uint(j, "windows", r->windows);
    json_member_uint(j, "parts", r->parts);
    json_member_uint(j, "partBytes", r->part_bytes);
    json_member_uint(j, "snapshots", r->snapshots);
}

static uint64_t
left(uint64_t all, uint64_t hidden)
{
    return all > hidden ? all - hidden : 0;
}

/* Reads the samples that one deletion hides, and puts how many are hidden, and how many are gone.
 */
static enum err
put_counts(struct json_page *p, const struct tsdb_receipt *r)
{
    struct json *j = p->j;
    struct query_control control = {.env = NULL};
    struct tsdb_deletion hidden;
    if (r->state == DELETION_UNDONE) return OK;
    query_control_begin(p->api, p->request, &p->api->read_budget, &control);
    enum err e = tsdb_deletion_hidden(p->api->options.tsdb, r->id, &control, &hidden, &p->why);
    if (e) return e;
    json_member_uint(j, "hidden", hidden.samples);
    json_member_uint(j, "gone", left(r->selected, hidden.samples));
    json_member_uint(j, "hiddenWindows", hidden.windows);
    json_member_uint(j, "goneWindows", left(r->selected_windows, hidden.windows));
    return OK;
}

/* Answers with one, or with all if `id` is 0, the newest first. */
static void
answer(struct api *api, struct http_request *request, struct bytes tenant, uint64_t id)
{
    struct json_page p;
    struct arena arena;
    struct tsdb_receipt *list;
    uint32_t count = 0;
    json_page_begin(&p, api, request);
    arena_init(&arena, &api->page_budget, 0, 0);
    enum err e = tsdb_deletions(api->options.tsdb, tenant, &arena, &list, &count, &p.why);
    if (id == 0) json_array_open(p.j);
    bool found = id == 0;
    while (e == OK && count-- > 0) {
        const struct tsdb_receipt *r = &list[count];
        if (id != 0 && r->id != id) continue;
        found = true;
        put_receipt(p.j, r);
        if (id != 0) e = put_counts(&p, r);
        json_object_close(p.j);
    }
    if (id == 0) json_array_close(p.j);
    if (e == OK && !found)
        e = why_set(&p.why, ERR_MISSING, "no deletion has the number %" PRIu64, id);
    json_page_send(&p, FOR_ANYTHING, e);
    arena_fini(&arena);
}

void
deletions_run(struct api *api, struct http_request *request)
{
    struct bytes tenant;
    if (one_tenant_of(api, request, &tenant)) answer(api, request, tenant, 0);
}

/* Reads ID or ID/undo after the prefix. */
static bool
parse_path(const char *path, uint64_t *ret_id, bool *ret_undo)
{
    char *end;
    if (path[0] < '1' || path[0] > '9') return false;
    *ret_id = strtoull(path, &end, 10);
    *ret_undo = strcmp(end, "/undo") == 0;
    return *ret_undo || *end == '\0';
}

void
deletion_run(struct api *api, struct http_request *request)
{
    struct bytes tenant;
    struct why why = {""};
    uint64_t id;
    bool undo;
    if (!one_tenant_of(api, request, &tenant)) return;
    bool fits = parse_path(api_path(api, request) + strlen(PATH), &id, &undo);
    if (!fits || undo != (http_method(request) == HTTP_POST)) {
        reply_problem(request, 404, "not_found",
                      "unknown action: expected GET /api/v1/admin/tsdb/deletions/ID or POST "
                      ".../ID/undo");
        return;
    }
    if (undo) {
        enum err e = tsdb_undelete(api->options.tsdb, tenant, id, &why);
        if (e) {
            reply_problem_of(request, FOR_ANYTHING, e, &why);
            return;
        }
        log_info("deletion undone on request", KV("tenant", tenant), KV("id", id));
    }
    answer(api, request, tenant, id);
}
