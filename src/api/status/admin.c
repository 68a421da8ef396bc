/*
 * admin.c - operations on the store at the request of an operator, with --web.enable-admin-api.
 * They run on a thread of their own, and are answered when they are done.
 */
#include "api/routes.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/request/read_request.h"
#include "api/status/pages.h"
#include "base/log.h"
#include "base/text/time_text.h"
#include "model/selector.h"
#include "tsdb/tsdb_bucket.h"

enum {
    ALONE_NAMED_MAX = 8,
    ALONE_TEXT_BYTES = 300,
    SNAPSHOTS_BYTES_MAX = 1024 * 1024, /* of more than ten thousand snapshots */
};

/* Names what the bucket has of a deletion, as docs/deletion.md explains. */
static const char *const in_bucket[] = {
    [BUCKET_PENDING] = "pending",
    [BUCKET_HIDES] = "hides",
    [BUCKET_DONE] = "done",
    [BUCKET_VERSIONS] = "versions",
};

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

/* Replies with statistics before and after an operation. `name` and `bucket` may be NULL. */
static void
reply_done(struct api *api, struct http_request *request, enum err e, const struct why *why,
           const struct tsdb_stats *before, const char *name, const char *bucket)
{
    struct tsdb_stats after;
    const struct {
        const char *key;
        const struct tsdb_stats *stats;
    } moments[] = {{"before", before}, {"after", &after}};
    struct json_page p;
    json_page_begin(&p, api, request);
    p.why = *why;
    tsdb_stats(api->options.tsdb, &after);
    json_object_open(p.j);
    if (name != NULL) json_member_text(p.j, "name", name);
    if (bucket != NULL) json_member_text(p.j, "bucket", bucket);
    for (unsigned i = 0; i < 2; i++) {
        const struct tsdb_stats *s = moments[i].stats;
        json_key(p.j, moments[i].key);
        json_put_object(p.j, JSON("headSamples", s->head_samples),
                        JSON("headExemplars", s->head_exemplars), JSON("parts", s->parts),
                        JSON("partBytes", s->part_bytes), JSON("partSamples", s->part_samples),
                        JSON("partExemplars", s->part_exemplars));
    }
    if (after.parts_left_alone > 0) { /* merges skip damaged parts only */
        struct alone alone = {.json = p.j};
        json_member_array(p.j, "leftAlone");
        tsdb_left_alone(api->options.tsdb, put_alone, &alone);
        json_array_close(p.j);
    }
    json_object_close(p.j);
    json_page_send(&p, FOR_ANYTHING, e);
}

void
flush_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct tsdb_stats before;
    tsdb_stats(api->options.tsdb, &before);
    enum err e = api->options.flush_now(api->options.context, &why);
    reply_done(api, request, e, &why, &before, NULL, NULL);
}

void
merge_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct tsdb_stats before;
    const char *full = http_argument(request, "full");
    enum tsdb_merge_mode mode =
        full != NULL && strcasecmp(full, "true") == 0 ? TSDB_MERGE_FULL : TSDB_MERGE_DUE;
    tsdb_stats(api->options.tsdb, &before);
    enum err e = api->options.merge_now(api->options.context, mode, &why);
    reply_done(api, request, e, &why, &before, NULL, NULL);
}

/* Takes a snapshot with all samples acknowledged before: flushes the head first. */
static void
take_snapshot(struct api *api, struct http_request *request, bool with_bucket)
{
    struct why why = {""};
    struct tsdb_stats before;
    char name[SNAPSHOT_NAME_BYTES] = "";
    const char *suffix = http_argument(request, "suffix");
    tsdb_stats(api->options.tsdb, &before);
    enum err e = suffix == NULL || tsdb_is_snapshot_suffix(suffix)
                     ? OK
                     : why_set(&why, ERR_INPUT, "suffix: expected 16 hexadecimal digits");
    if (e == OK) {
        e = tsdb_snapshot(api->options.tsdb, suffix, with_bucket, api->options.flush_now,
                          api->options.context, name, &why);
    }
    if (e == OK) log_info("snapshot created", KV("name", name));
    reply_done(api, request, e, &why, &before, name, NULL);
}

static void
snapshot_with_bucket(struct api *api, struct http_request *request)
{
    take_snapshot(api, request, true);
}

void
snapshot_run(struct api *api, struct http_request *request)
{
    const char *with_bucket = http_argument(request, "with_bucket");
    if (with_bucket != NULL && strcasecmp(with_bucket, "true") == 0)
        run_later(api, QUEUE_MERGES, request, snapshot_with_bucket, NULL); /* it may take hours */
    else
        take_snapshot(api, request, false);
}

struct snapshot_list {
    struct query_control *control;
    struct buf found; /* struct tsdb_snapshot_facts */
    struct why *why;
};

static enum err
note_snapshot(void *context, const struct tsdb_snapshot_facts *facts)
{
    struct snapshot_list *l = context;
    buf_put(&l->found, facts, sizeof *facts);
    enum err e = buf_error(&l->found);
    return e ? why_set(l->why, e, "not enough memory to list snapshots")
             : query_control_check(l->control, l->why);
}

static int
by_newest(const void *a, const void *b)
{
    return -strcmp(((const struct tsdb_snapshot_facts *)a)->name,
                   ((const struct tsdb_snapshot_facts *)b)->name);
}

/* Lists snapshots, the newest first; looks at the size of each part of each. */
void
snapshots_run(struct api *api, struct http_request *request)
{
    struct query_control control = {.env = NULL};
    struct json_page p;
    json_page_begin(&p, api, request);
    query_control_begin(api, request, &api->page_budget, &control);
    struct snapshot_list l = {.control = &control, .why = &p.why};
    buf_init(&l.found, &api->page_budget, SNAPSHOTS_BYTES_MAX);
    enum err e = tsdb_snapshots(api->options.tsdb, note_snapshot, &l, &p.why);
    size_t count = l.found.size / sizeof(struct tsdb_snapshot_facts);
    struct tsdb_snapshot_facts *found = (void *)l.found.at;
    if (count > 0) qsort(found, count, sizeof *found, by_newest);
    json_array_open(p.j);
    for (size_t i = 0; i < count; i++) {
        const struct tsdb_snapshot_facts *s = &found[i];
        char time[PAGE_TIME_BYTES];
        const char *n = s->name;
        snprintf(time, sizeof time, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", n, n + 4, n + 6, n + 9,
                 n + 11, n + 13);
        json_put_object(p.j, JSON("name", s->name), JSON("time", time), JSON("parts", s->parts),
                        JSON("bytes", s->bytes), JSON("heldBytes", s->held_bytes));
    }
    json_array_close(p.j);
    json_page_send(&p, FOR_ANYTHING, e);
    buf_fini(&l.found);
}

void
snapshot_delete_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    const char *name = api_path(api, request) + strlen("/api/v1/admin/tsdb/snapshots/");
    enum err e = tsdb_snapshot_delete(api->options.tsdb, name, &why);
    if (e) {
        reply_problem_of(request, FOR_ANYTHING, e, &why);
        return;
    }
    log_info("snapshot deleted", KV("name", name));
    http_reply(request, &(struct http_answer){.status = 204});
}

void
clean_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct tsdb_stats before;
    struct tsdb_bucket_stats bucket;
    tsdb_stats(api->options.tsdb, &before);
    enum err e = api->options.merge_now(api->options.context, TSDB_MERGE_CLEAN, &why);
    bool has_bucket = tsdb_bucket_stats(api->options.tsdb, &bucket);
    reply_done(api, request, e, &why, &before, NULL,
               !has_bucket         ? NULL
               : bucket.is_failing ? in_bucket[BUCKET_PENDING]
                                   : in_bucket[BUCKET_HIDES]);
}

/* --- deleting --------------------------------------------------------------------------------- */

/* The arguments of a deletion, or of its preview. */
struct deletion {
    struct form form;
    struct bytes tenant;
    int64_t min_ms, max_ms;
    struct selector *selectors; /* in the form's arena */
    uint32_t selector_count;
    struct tsdb_deletion made[DELETIONS_KEPT_MAX]; /* for each selector */
    struct buf error;
    struct why why;
};

/* Reads and checks all arguments. The caller has the tenant; deletion_end() follows in any case. */
static enum err
deletion_read(struct api *api, struct http_request *request, struct deletion *d)
{
    const char *match;
    struct form_walk walk = {0};
    uint32_t count = 0;
    buf_init(&d->error, NULL, SENTENCE_BYTES_MAX);
    d->min_ms = INT64_MIN;
    d->max_ms = INT64_MAX;
    enum err e = form_read(request, &api->page_budget, &d->form, &d->why);
    if (e == OK) e = form_check_query(&d->form, &d->why);
    if (e == OK && form_nth(&d->form, "match[]", 0) == NULL)
        e = why_set(&d->why, ERR_INPUT, "no match[] parameter provided");
    for (; e == OK && form_next(&d->form, "match[]", &walk) != NULL; count++) {
        if (count < DELETIONS_KEPT_MAX) continue;
        e = why_set(&d->why, ERR_LIMIT, "a request has at most %d match[]", DELETIONS_KEPT_MAX);
    }
    d->selectors = e ? NULL : arena_alloc(&d->form.arena, count * sizeof *d->selectors);
    if (e == OK && d->selectors == NULL) e = why_set(&d->why, ERR_NOMEM, "not enough memory");
    const char *texts[DELETIONS_KEPT_MAX];
    walk = (struct form_walk){0};
    while (e == OK && (match = form_next(&d->form, "match[]", &walk)) != NULL) {
        uint32_t same = 0;
        while (same < d->selector_count && strcmp(texts[same], match) != 0)
            same++;
        if (same < d->selector_count) continue; /* it would hide nothing more */
        texts[same] = match;
        e = selector_parse(bytes_of_text(match), &d->selectors[d->selector_count], &d->why);
        d->selector_count += e == OK;
    }
    if (e == OK) e = form_time(&d->form, "start", &d->min_ms, &d->error);
    if (e == OK) e = form_time(&d->form, "end", &d->max_ms, &d->error);
    if (e == OK && d->max_ms < d->min_ms)
        e = form_invalid(&d->error, "end", "end timestamp must not be before start time");
    return e;
}

/* Answers with the error, if there is one, or with the counts and, for a preview, all of it. */
static void
deletion_end(struct api *api, struct http_request *request, enum err e, struct deletion *d,
             struct tsdb_deletion counts, const struct tsdb_preview *preview)
{
    struct json_page p;
    struct tsdb_bucket_stats bucket;
    json_page_begin(&p, api, request);
    p.why = d->why;
    json_object_open(p.j);
    json_members(p.j, JSON("series", counts.series), JSON("samples", counts.samples));
    if (preview != NULL) {
        json_members(p.j, JSON("partBytes", preview->part_bytes),
                     JSON("headBytes", preview->head_bytes), JSON("exact", preview->exact));
    } else {
        json_member_uint(p.j, "windows", counts.windows);
        if (tsdb_bucket_stats(api->options.tsdb, &bucket))
            json_members(p.j, JSON("bucket", in_bucket[BUCKET_PENDING]));
        json_member_array(p.j, "ids");
        for (uint32_t i = 0; i < d->selector_count; i++) {
            char id[24];
            if (d->made[i].id == 0) continue;
            snprintf(id, sizeof id, "%" PRIu64, d->made[i].id);
            json_put_text(p.j, id);
        }
        json_array_close(p.j);
    }
    json_object_close(p.j);
    if (d->error.size > 0) {
        reply_sentence(request, 400, "bad_data", buf_bytes(&d->error));
        buf_fini(&p.text);
    } else {
        json_page_send(&p, e == ERR_LIMIT ? FOR_QUERY : FOR_ANYTHING, e);
    }
    buf_fini(&d->error);
    for (uint32_t i = 0; i < d->selector_count; i++)
        selector_fini(&d->selectors[i]);
    form_fini(&d->form);
}

void
delete_run(struct api *api, struct http_request *request)
{
    struct deletion d = {.why = {""}};
    struct tsdb_deletion sum = {0};
    if (!one_tenant_of(api, request, &d.tenant)) return;
    enum err e = deletion_read(api, request, &d);
    if (e == OK) e = api->options.flush_now(api->options.context, &d.why);
    if (e == OK) {
        e = tsdb_delete(api->options.tsdb, d.tenant, d.selectors, d.selector_count, d.min_ms,
                        d.max_ms, d.made, &d.why);
    }
    for (uint32_t i = 0; e == OK && i < d.selector_count; i++) {
        sum.series += d.made[i].series;
        sum.samples += d.made[i].samples;
        sum.windows += d.made[i].windows;
    }
    if (e == OK) {
        log_info("samples deleted on request", KV("tenant", d.tenant), KV("series", sum.series),
                 KV("samples", sum.samples), KV("windows", sum.windows),
                 KV("deletions", d.made[0].id == 0 ? 0 : d.selector_count));
    }
    deletion_end(api, request, e, &d, sum, NULL);
}

/* Asks the index for all selectors at once: a series that several select counts once. */
static enum err
preview_all(struct api *api, struct http_request *request, struct deletion *d,
            struct tsdb_preview *ret)
{
    struct query_control control = {.env = NULL};
    struct matcher_set sets[DELETIONS_KEPT_MAX];
    for (uint32_t i = 0; i < d->selector_count; i++)
        sets[i] = (struct matcher_set){d->selectors[i].matchers, d->selectors[i].count};
    query_control_begin(api, request, &api->read_budget, &control);
    const struct query_request asked = {
        .tenant = d->tenant,
        .sets = sets,
        .set_count = d->selector_count,
        .min_ms = d->min_ms,
        .max_ms = d->max_ms,
        .control = &control,
    };
    return tsdb_delete_preview(api->options.tsdb, &asked, ret, &d->why);
}

/* Answers what delete_run() would hide, by the index alone: no sample is read, nothing flushed. */
void
delete_preview_run(struct api *api, struct http_request *request)
{
    struct deletion d = {.why = {""}};
    struct tsdb_preview p = {0};
    if (!one_tenant_of(api, request, &d.tenant)) return;
    enum err e = deletion_read(api, request, &d);
    if (e == OK) e = preview_all(api, request, &d, &p);
    deletion_end(api, request, e, &d,
                 (struct tsdb_deletion){.series = p.series, .samples = p.samples}, &p);
}

/* --- destinations ----------------------------------------------------------------------------- */

static const char *const verbs[] = {
    [DESTINATION_PAUSE] = "pause",
    [DESTINATION_RESUME] = "resume",
    [DESTINATION_REPLAY] = "replay",
};

void
destination_run(struct api *api, struct http_request *request)
{
    const char *path = api_path(api, request) + strlen("/api/v1/admin/destinations/");
    const char *slash = strrchr(path, '/');
    struct destination_control control = {.from_ms = 0};
    struct why why = {""};
    unsigned verb = 0, verb_count = sizeof verbs / sizeof *verbs;
    while (slash != NULL && verb < verb_count && strcmp(slash + 1, verbs[verb]) != 0)
        verb++;
    if (slash == NULL || verb == verb_count) {
        reply_problem(request, 404, "not_found",
                      "unknown action: expected /api/v1/admin/destinations/NAME/pause, .../resume "
                      "or .../replay");
        return;
    }
    struct bytes name = bytes_of(path, (size_t)(slash - path));
    control.verb = (enum destination_verb)verb;
    enum err e = OK;
    const char *from = http_argument(request, "from");
    if (control.verb == DESTINATION_REPLAY && from == NULL) {
        e = why_set(&why, ERR_INPUT,
                    "missing parameter 'from': the time of the oldest sample to send again (RFC "
                    "3339 or Unix seconds)");
    } else if (control.verb == DESTINATION_REPLAY) {
        e = time_parse(bytes_of_text(from), env_realtime_ms(api->options.env), &control.from_ms,
                       &why);
        if (e) why_prefix(&why, e, "from");
    }
    if (e == OK) e = api->options.control_destination(api->options.context, name, &control, &why);
    if (e) {
        reply_problem_of(request, FOR_ANYTHING, e, &why);
        return;
    }
    log_info("relay: admin request accepted", KV("destination", name), KV("action", verbs[verb]));
    struct http_answer answer = {.status = 204};
    http_reply(request, &answer);
}

/*
 * Questions about one destination: its dead letters, a test of it. They run on a thread of their
 * own, one after the other, because they read files or wait for other systems.
 *
 *     GET  /api/v1/admin/dead_letters/NAME
 *     POST /api/v1/admin/dead_letters/NAME?action=replay|drop
 *     POST /api/v1/admin/destination_test/NAME
 */
static void
ask_destination(struct api *api, struct http_request *request, const char *route,
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
    struct destination_question q = {.ask = DESTINATION_LETTERS,
                                     .reason = reason == NULL || reason[0] == '\0' ? NULL : reason};
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
    ask_destination(api, request, "/api/v1/admin/dead_letters/", &q);
}

void
destination_test_run(struct api *api, struct http_request *request)
{
    const char *write = http_argument(request, "write");
    struct destination_question q = {.ask = DESTINATION_TEST,
                                     .write = write != NULL && strcmp(write, "true") == 0};
    ask_destination(api, request, "/api/v1/admin/destination_test/", &q);
}

/* --- receipts of deletions, and undoing them -------------------------------------------------- */

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
    json_members(j, JSON("id", id), JSON("state", states[r->state]));
    put_page_time(j, "time", r->made_ms);
    if (r->state == DELETION_HELD) put_page_time(j, "heldUntil", r->held_until_ms);
    if (r->state == DELETION_UNDONE) put_page_time(j, "undone", r->undone_ms);
    json_member_bytes(j, "selector", r->selector);
    if (r->range.min_ms != INT64_MIN) put_page_time(j, "start", r->range.min_ms);
    if (r->range.max_ms != INT64_MAX) put_page_time(j, "end", r->range.max_ms);
    json_members(j, JSON("series", r->series), JSON("samples", r->samples),
                 JSON("windows", r->windows), JSON("parts", r->parts),
                 JSON("partBytes", r->part_bytes), JSON("snapshots", r->snapshots));
    if (r->bucket != BUCKET_NONE) json_members(j, JSON("bucket", in_bucket[r->bucket]));
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
    json_members(j, JSON("hidden", hidden.samples), JSON("gone", left(r->selected, hidden.samples)),
                 JSON("hiddenWindows", hidden.windows),
                 JSON("goneWindows", left(r->selected_windows, hidden.windows)));
    return OK;
}

/* Answers with one, or with all if `id` is 0, the newest first. */
static void
answer_deletions(struct api *api, struct http_request *request, struct bytes tenant, uint64_t id)
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
    if (one_tenant_of(api, request, &tenant)) answer_deletions(api, request, tenant, 0);
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
    answer_deletions(api, request, tenant, id);
}
