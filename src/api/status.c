/*
 * status.c - what the server says of itself: health, metrics, status pages in Prometheus' JSON
 * envelope.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"

enum { PAGE_BYTES_MAX = 256 * 1024 * 1024, TOP_COUNT = 10, TOP_COUNT_MAX = 10000 };

/* --- health ----------------------------------------------------------------------------------- */

void
healthy_handler(void *context, struct http_request *request)
{
    (void)context;
    http_reply_text(request, 200, "Firekeep is healthy.\n");
}

const char *
api_refuses_writes(struct api *api)
{
    struct tsdb_stats s;
    const char *held = api->options.holds_writes(api->options.context);
    if (held != NULL) return held;
    tsdb_stats(api->options.tsdb, &s);
    if (s.down) return "the write-ahead log cannot be written";
    if (s.disk_low) return "the disk is nearly full";
    if (s.wal.over_budget) return "the write-ahead log has reached its budget";
    if (s.clock_suspect) return "the system clock is before the newest sample";
    return NULL;
}

static const char *
not_ready(struct api *api)
{
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) return "shutting down";
    return api_refuses_writes(api);
}

void
ready_handler(void *context, struct http_request *request)
{
    const char *reason = not_ready(context);
    if (reason != NULL)
        http_reply_text(request, 503, "Firekeep is not ready: %s.\n", reason);
    else
        http_reply_text(request, 200, "Firekeep is ready.\n");
}

void
root_handler(void *context, struct http_request *request)
{
    struct api *api = context;
    http_reply_text(request, 200,
                    "Firekeep %s\n\n"
                    "POST /api/v1/write    remote write 1.0 and 2.0\n"
                    "POST /api/v1/read     remote read\n"
                    "GET  /metrics\n"
                    "GET  /-/ready\n"
                    "GET  /api/v1/status/buildinfo|runtimeinfo|flags|config|tsdb|storage|"
                    "destinations|remembered\n",
                    api->options.version);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void
metrics_run(struct api *api, struct http_request *request)
{
    struct buf text;
    buf_init(&text, &api->read_budget, PAGE_BYTES_MAX);
    metric_collect(&text);
    if (buf_error(&text)) {
        struct why why;
        why_set(&why, ERR_NOMEM, "no memory for the metrics");
        reply_error(request, ERR_NOMEM, &why);
    } else {
        struct http_answer answer = {
            .status = 200, .content_type = METRIC_CONTENT_TYPE, .body = buf_bytes(&text)};
        http_reply(request, &answer);
    }
    buf_fini(&text);
}

void
metrics_handler(void *context, struct http_request *request)
{
    run_later(context, request, metrics_run);
}

/* --- reload ----------------------------------------------------------------------------------- */

static void
reload_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    enum err e = api->options.reload(api->options.context, &why);
    if (e)
        reply_error(request, e == ERR_MISSING ? ERR_INPUT : e, &why);
    else
        http_reply_text(request, 200, "reloaded\n");
}

void
reload_handler(void *context, struct http_request *request)
{
    struct api *api = context;
    if (!api->options.lifecycle) {
        http_reply_text(request, 403, "start with --web.enable-lifecycle to reload by request\n");
        return;
    }
    run_later(api, request, reload_run);
}

/* --- status pages ----------------------------------------------------------------------------- */

void
reply_problem(struct http_request *request, unsigned status, const char *type, const char *text)
{
    uint8_t room[8192];
    struct buf body = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    struct json j;
    json_init(&j, &body);
    json_object_open(&j);
    json_member_text(&j, "status", "error");
    json_member_text(&j, "errorType", type);
    json_member_text(&j, "error", text);
    json_object_close(&j);
    struct http_answer answer = {
        .status = status, .content_type = "application/json", .body = buf_bytes(&body)};
    http_reply(request, &answer);
}

static void
build_info(struct api *api, struct json *j)
{
    json_object_open(j);
    json_member_text(j, "application", "Firekeep");
    json_member_text(j, "version", api->options.version);
    json_member_text(j, "revision", "");
    json_member_text(j, "branch", "");
    json_member_text(j, "buildUser", "");
    json_member_text(j, "buildDate", "");
#ifdef __clang__
    json_member_text(j, "compiler", "clang " __clang_version__);
#else
    json_member_text(j, "compiler", "gcc " __VERSION__);
#endif
    json_member_text(j, "goVersion", "");
    json_object_close(j);
}

static void
time_text(int64_t t_ms, char *to, size_t size)
{
    time_t seconds = (time_t)(t_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(to, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void
runtime_info(struct api *api, struct json *j)
{
    char started[40], now[40];
    struct tsdb_stats s;
    tsdb_stats(api->options.tsdb, &s);
    time_text(api->options.started_ms, started, sizeof started);
    time_text(env_realtime_ms(api->options.env), now, sizeof now);
    const char *reason = not_ready(api);
    json_object_open(j);
    json_member_text(j, "startTime", started);
    json_member_text(j, "serverTime", now);
    json_member_bool(j, "ready", reason == NULL);
    json_member_text(j, "notReadyReason", reason == NULL ? "" : reason);
    json_member_uint(j, "timeSeriesCount", s.head_series);
    json_member_uint(j, "tenants", s.tenants);
    json_member_uint(j, "parts", s.parts);
    json_member_uint(j, "partBytes", s.part_bytes);
    json_member_uint(j, "walSegments", s.wal.segment_count);
    json_member_uint(j, "walBytes", s.wal.segment_bytes);
    json_object_close(j);
}

static void
put_flag(void *to, const char *name, const char *value)
{
    json_member_text(to, name, value);
}

static void
flags_page(struct api *api, struct json *j)
{
    json_object_open(j);
    api->options.flags(api->options.context, put_flag, j);
    json_object_close(j);
}

static void
config_page(struct api *api, struct json *j)
{
    struct buf yaml;
    buf_init(&yaml, &api->read_budget, 1024 * 1024);
    api->options.config(api->options.context, &yaml);
    json_object_open(j);
    json_member_bytes(j, "yaml", buf_bytes(&yaml));
    json_object_close(j);
    buf_fini(&yaml);
}

static void
put_top(struct json *j, const char *key, const struct tsdb_cardinality *items, uint32_t count)
{
    json_key(j, key);
    json_array_open(j);
    for (uint32_t i = 0; i < count; i++) {
        json_object_open(j);
        json_member_bytes(j, "name", items[i].name);
        json_member_uint(j, "value", items[i].count);
        json_object_close(j);
    }
    json_array_close(j);
}

/* False: it is there, and is no whole number. */
static bool
whole_argument(struct http_request *request, const char *name, int64_t fallback, int64_t *ret)
{
    const char *text = http_argument(request, name);
    char *end;
    *ret = fallback;
    if (text == NULL || text[0] == '\0') return true;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    bool digit = text[0] == '-' || (text[0] >= '0' && text[0] <= '9');
    return digit && *end == '\0' && errno == 0;
}

static enum err
tsdb_page(struct api *api, struct http_request *request, struct bytes tenant, struct json *j,
          struct why *why)
{
    struct tsdb_stats s;
    struct arena arena;
    int64_t wanted;
    uint32_t metric_count = 0, name_count = 0;
    if (!whole_argument(request, "limit", TOP_COUNT, &wanted) || wanted < 1) {
        return why_set(why, ERR_INPUT, "limit must be a positive number");
    }
    uint32_t limit = wanted > TOP_COUNT_MAX ? TOP_COUNT_MAX : (uint32_t)wanted;
    tsdb_stats(api->options.tsdb, &s);
    arena_init(&arena, &api->read_budget, 0, 0);
    struct tsdb_cardinality *metrics = arena_new(&arena, limit * sizeof *metrics);
    struct tsdb_cardinality *names = arena_new(&arena, limit * sizeof *names);
    if (metrics != NULL && names != NULL &&
        tsdb_top(api->options.tsdb, tenant, &arena, limit, metrics, &metric_count, names,
                 &name_count) != OK) {
        metric_count = name_count = 0;
    }
    json_object_open(j);
    json_key(j, "headStats");
    json_object_open(j);
    json_member_uint(j, "numSeries", s.head_series);
    json_member_uint(j, "numKnownSeries", s.known_series);
    json_member_uint(j, "numSamples", s.head_samples);
    json_member_uint(j, "numExemplars", s.head_exemplars);
    json_member_uint(j, "bytes", s.head_bytes);
    json_member_int(j, "maxTime", s.newest_ms == INT64_MIN ? 0 : s.newest_ms);
    json_object_close(j);
    json_key(j, "partStats");
    json_object_open(j);
    json_member_uint(j, "numParts", s.parts);
    json_member_uint(j, "numSeriesOfAllParts", s.part_series);
    json_member_uint(j, "numSamples", s.part_samples);
    json_member_uint(j, "numExemplars", s.part_exemplars);
    json_member_uint(j, "bytes", s.part_bytes);
    json_member_int(j, "minTime", s.oldest_ms == INT64_MAX ? 0 : s.oldest_ms);
    json_object_close(j);
    put_top(j, "seriesCountByMetricName", metrics, metric_count);
    put_top(j, "labelValueCountByLabelName", names, name_count);
    json_object_close(j);
    arena_fini(&arena);
    return OK;
}

/* --- storage ------------------------------------------------------------------------------------
 */

static void
put_partition(void *context, const struct tsdb_partition *p)
{
    struct json *j = context;
    char from[40], to[40];
    time_text(p->time.min_ms, from, sizeof from);
    time_text(p->time.max_ms, to, sizeof to);
    json_object_open(j);
    json_member_text(j, "from", from);
    json_member_text(j, "to", to);
    json_member_uint(j, "parts", p->parts);
    json_member_uint(j, "samples", p->samples);
    json_member_uint(j, "exemplars", p->exemplars);
    json_member_uint(j, "bytes", p->data_bytes + p->index_bytes);
    json_member_uint(j, "dataBytes", p->data_bytes);
    json_member_uint(j, "indexBytes", p->index_bytes);
    json_object_close(j);
}

static enum err
storage_page(struct api *api, struct json *j, struct why *why)
{
    struct tsdb_stats s;
    tsdb_stats(api->options.tsdb, &s);
    json_object_open(j);
    json_key(j, "log");
    json_object_open(j);
    json_member_uint(j, "bytes", s.wal.segment_bytes);
    json_member_uint(j, "segments", s.wal.segment_count);
    json_object_close(j);
    json_key(j, "head");
    json_object_open(j);
    json_member_uint(j, "bytes", s.head_bytes);
    json_member_uint(j, "samples", s.head_samples);
    json_member_uint(j, "exemplars", s.head_exemplars);
    json_member_uint(j, "series", s.head_series);
    json_object_close(j);
    json_key(j, "parts");
    json_object_open(j);
    json_member_uint(j, "parts", s.parts);
    json_member_uint(j, "samples", s.part_samples);
    json_member_uint(j, "exemplars", s.part_exemplars);
    json_member_uint(j, "bytes", s.part_bytes);
    json_member_uint(j, "dataBytes", s.part_data_bytes);
    json_member_uint(j, "indexBytes", s.part_bytes - s.part_data_bytes);
    json_object_close(j);
    json_key(j, "partitions");
    json_array_open(j);
    enum err e = tsdb_partitions(api->options.tsdb, put_partition, j);
    json_array_close(j);
    json_object_close(j);
    return e ? why_set(why, e, "no memory for the page") : OK;
}

/* --- metadata --------------------------------------------------------------------------------- */

struct metadata_page {
    struct json *j;
    uint64_t left;
};

static enum err
put_metadata(void *context, const struct metadata *m)
{
    struct metadata_page *p = context;
    if (p->left-- == 0) {
        p->left = 0;
        return ERR_CANCELED;
    }
    json_key_bytes(p->j, m->family);
    json_array_open(p->j);
    json_object_open(p->j);
    json_member_text(p->j, "type", metric_type_word(m->type));
    json_member_bytes(p->j, "help", m->help);
    json_member_bytes(p->j, "unit", m->unit);
    json_object_close(p->j);
    json_array_close(p->j);
    return OK;
}

static enum err
metadata_page(struct api *api, struct http_request *request, struct bytes tenant, struct json *j,
              struct why *why)
{
    const char *metric = http_argument(request, "metric");
    struct metadata_page page = {j, UINT64_MAX};
    int64_t limit;
    if (!whole_argument(request, "limit", 0, &limit)) {
        return why_set(why, ERR_INPUT, "limit must be a number");
    }
    if (limit > 0) page.left = (uint64_t)limit;
    struct query_request asked = {.tenant = tenant};
    struct view *view = NULL;
    json_object_open(j);
    enum err e = view_open(api->options.answerer, NULL, &view, why);
    if (e == OK) {
        e = view_metadata(view, &asked, bytes_of_text(metric == NULL ? "" : metric), put_metadata,
                          &page, why);
    }
    view_free(view);
    json_object_close(j);
    return e == ERR_CANCELED ? OK : e;
}

static enum err
page_of(struct api *api, struct http_request *request, struct bytes tenant, struct json *j,
        struct why *why)
{
    const char *path = http_path(request);
    if (strcmp(path, "/api/v1/status/buildinfo") == 0)
        build_info(api, j);
    else if (strcmp(path, "/api/v1/status/runtimeinfo") == 0)
        runtime_info(api, j);
    else if (strcmp(path, "/api/v1/status/flags") == 0)
        flags_page(api, j);
    else if (strcmp(path, "/api/v1/status/config") == 0)
        config_page(api, j);
    else if (strcmp(path, "/api/v1/status/tsdb") == 0)
        return tsdb_page(api, request, tenant, j, why);
    else if (strcmp(path, "/api/v1/status/storage") == 0)
        return storage_page(api, j, why);
    else if (strcmp(path, "/api/v1/status/destinations") == 0)
        api->options.destinations(api->options.context, j);
    else if (strcmp(path, "/api/v1/status/remembered") == 0)
        return api->options.remembered(api->options.context, &api->read_budget, j, why);
    else
        return metadata_page(api, request, tenant, j, why);
    return OK;
}

/* Pages about the process need no tenant; those about data do. */
static bool
needs_tenant(const char *path)
{
    return strcmp(path, "/api/v1/status/tsdb") == 0 || strcmp(path, "/api/v1/metadata") == 0;
}

static void
status_run(struct api *api, struct http_request *request)
{
    struct why why = {""};
    struct bytes tenant = {NULL, 0};
    if (needs_tenant(http_path(request)) && !tenant_of(api, request, &tenant)) return;
    struct buf text;
    struct json j;
    buf_init(&text, &api->read_budget, PAGE_BYTES_MAX);
    json_init(&j, &text);
    json_object_open(&j);
    json_member_text(&j, "status", "success");
    json_key(&j, "data");
    enum err e = page_of(api, request, tenant, &j, &why);
    if (e == OK) json_object_close(&j); /* a page that failed may lie there without a value */
    if (e == OK && buf_error(&text)) {
        e = why_set(&why, buf_error(&text), "no memory for the page");
    }
    if (e == ERR_INPUT) {
        reply_problem(request, 400, "bad_data", why.text);
    } else if (e) {
        reply_error(request, e, &why);
    } else {
        struct http_answer answer = {
            .status = 200, .content_type = "application/json", .body = buf_bytes(&text)};
        http_reply(request, &answer);
    }
    buf_fini(&text);
}

void
status_handler(void *context, struct http_request *request)
{
    run_later(context, request, status_run);
}

/* It reads files. */
void
remembered_handler(void *context, struct http_request *request)
{
    read_later(context, request, status_run);
}
