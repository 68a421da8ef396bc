/*
 * status.c - what the server says of itself: health, metrics, status pages in Prometheus' JSON
 * envelope. A page is a function that puts the value of "data", and a row in `pages`. It is sent
 * when it is whole, so it may fail at any point.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "promql/promql.h"

#define PROMETHEUS_VERSION "3.14.0" /* the one that is measured up to */

enum { PAGE_BYTES_MAX = 256 * 1024 * 1024, TOP_COUNT = 10, TOP_COUNT_MAX = 10000 };

/* --- health ----------------------------------------------------------------------------------- */

void
healthy_run(struct api *api, struct http_request *request)
{
    (void)api;
    http_reply_text(request, 200, "Firekeep is healthy.\n");
}

const char *
api_refuses_writes(struct api *api)
{
    struct tsdb_stats s;
    const char *held = api->options.holds_writes(api->options.context);
    if (held != NULL) return held;
    tsdb_stats(api->options.tsdb, &s);
    if (s.down) return "cannot write to the write-ahead log";
    if (s.disk_low) return "the disk is nearly full";
    if (s.dir_moved)
        return "the storage directory was moved or replaced: put it back, or stop the server";
    if (s.wal.over_budget) return "the write-ahead log has reached wal.budget";
    if (s.clock_suspect) return "the system clock is earlier than the newest sample";
    return NULL;
}

static const char *
not_ready(struct api *api)
{
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) return "shutting down";
    return api_refuses_writes(api);
}

void
ready_run(struct api *api, struct http_request *request)
{
    const char *reason = not_ready(api);
    if (reason != NULL)
        http_reply_text(request, 503, "Firekeep is not ready: %s.\n", reason);
    else
        http_reply_text(request, 200, "Firekeep is ready.\n");
}

void
root_run(struct api *api, struct http_request *request)
{
    http_reply_text(request, 200,
                    "Firekeep %s\n\n"
                    "Below %s/:\n"
                    "POST api/v1/write    remote write 1.0 and 2.0\n"
                    "POST api/v1/read     remote read\n"
                    "GET  api/v1/query    PromQL, and the other paths of the API of Prometheus\n"
                    "GET  metrics\n"
                    "GET  -/ready\n"
                    "GET  api/v1/status/buildinfo|runtimeinfo|flags|config|tsdb|storage|"
                    "destinations|remembered\n",
                    api->options.version, api->options.route_prefix);
}

/* Everything is below a prefix, and somebody asks for what is above it. */
void
redirect_run(struct api *api, struct http_request *request)
{
    char location[512];
    snprintf(location, sizeof location, "%s/", api->options.route_prefix);
    struct http_answer answer = {.status = 302, .headers = {{"Location", location}}};
    http_reply(request, &answer);
}

/* --- metrics ---------------------------------------------------------------------------------- */

void
metrics_run(struct api *api, struct http_request *request)
{
    struct buf text;
    buf_init(&text, &api->read_budget, PAGE_BYTES_MAX);
    metric_collect(&text);
    if (buf_error(&text)) {
        struct why why;
        why_set(&why, ERR_NOMEM, "not enough memory for the metrics");
        reply_error(request, FOR_ANYTHING, ERR_NOMEM, &why);
    } else {
        struct http_answer answer = {
            .status = 200, .content_type = METRIC_CONTENT_TYPE, .body = buf_bytes(&text)};
        http_reply(request, &answer);
    }
    buf_fini(&text);
}

/* --- reload ----------------------------------------------------------------------------------- */

static void
reload_now(struct api *api, struct http_request *request)
{
    struct why why = {""};
    enum err e = api->options.reload(api->options.context, &why);
    if (e)
        reply_error(request, FOR_ANYTHING, e == ERR_MISSING ? ERR_INPUT : e, &why);
    else
        http_reply_text(request, 200, "reloaded\n");
}

void
reload_run(struct api *api, struct http_request *request)
{
    if (api->options.lifecycle)
        run_later(api, QUEUE_PAGES, request, reload_now, NULL);
    else
        http_reply_text(request, 403,
                        "the lifecycle API is disabled; start with --web.enable-lifecycle\n");
}

/* --- status pages ----------------------------------------------------------------------------- */

/* A page puts one value, the "data" of the answer. */
struct status_page {
    struct api *api;
    struct http_request *request;
    struct bytes tenant; /* of pages about data */
    struct json *j;
    struct why why;
};

/* Grafana and others go by the version of the Prometheus whose API this is. */
static enum err
build_info(struct status_page *p)
{
    struct json *j = p->j;
    json_object_open(j);
    json_member_text(j, "version", PROMETHEUS_VERSION);
    json_member_text(j, "revision", "");
    json_member_text(j, "branch", "");
    json_member_text(j, "buildUser", "");
    json_member_text(j, "buildDate", "");
    json_member_text(j, "goVersion", "");
    json_member_text(j, "firekeepVersion", p->api->options.version);
#ifdef __clang__
    json_member_text(j, "compiler", "clang " __clang_version__);
#else
    json_member_text(j, "compiler", "gcc " __VERSION__);
#endif
    json_object_close(j);
    return OK;
}

static enum err
features_page(struct status_page *p)
{
    struct api_limits limits = api_limits_now(p->api);
    features_put(&p->api->options, &limits.query.features, p->j);
    return OK;
}

static void
time_text(int64_t t_ms, char *to, size_t size)
{
    time_t seconds = (time_t)(t_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(to, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static enum err
runtime_info(struct status_page *p)
{
    char started[40], now[40];
    struct tsdb_stats s;
    struct json *j = p->j;
    tsdb_stats(p->api->options.tsdb, &s);
    time_text(p->api->options.started_ms, started, sizeof started);
    time_text(env_realtime_ms(p->api->options.env), now, sizeof now);
    const char *reason = not_ready(p->api);
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
    return OK;
}

static void
put_flag(void *to, const char *name, const char *value)
{
    json_member_text(to, name, value);
}

static enum err
flags_page(struct status_page *p)
{
    json_object_open(p->j);
    p->api->options.flags(p->api->options.context, put_flag, p->j);
    json_object_close(p->j);
    return OK;
}

static enum err
config_page(struct status_page *p)
{
    struct buf yaml;
    buf_init(&yaml, &p->api->read_budget, 1024 * 1024);
    p->api->options.config(p->api->options.context, &yaml);
    json_object_open(p->j);
    json_member_bytes(p->j, "yaml", buf_bytes(&yaml));
    json_object_close(p->j);
    buf_fini(&yaml);
    return OK;
}

static enum err
destinations_page(struct status_page *p)
{
    p->api->options.destinations(p->api->options.context, p->j);
    return OK;
}

static enum err
remembered_page(struct status_page *p)
{
    struct api *api = p->api;
    return api->options.remembered(api->options.context, &api->read_budget, p->j, &p->why);
}

static void
put_top(struct json *j, const char *key, const struct tsdb_cardinality *items, uint32_t count)
{
    json_member_array(j, key);
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
tsdb_page(struct status_page *p)
{
    struct tsdb *tsdb = p->api->options.tsdb;
    struct json *j = p->j;
    struct tsdb_stats s;
    struct arena arena;
    int64_t wanted;
    uint32_t metric_count = 0, name_count = 0;
    if (!whole_argument(p->request, "limit", TOP_COUNT, &wanted) || wanted < 1) {
        return why_set(&p->why, ERR_INPUT, "invalid limit: expected a whole number of at least 1");
    }
    uint32_t limit = wanted > TOP_COUNT_MAX ? TOP_COUNT_MAX : (uint32_t)wanted;
    tsdb_stats(tsdb, &s);
    arena_init(&arena, &p->api->read_budget, 0, 0);
    struct tsdb_cardinality *metrics = arena_new(&arena, limit * sizeof *metrics);
    struct tsdb_cardinality *names = arena_new(&arena, limit * sizeof *names);
    if (metrics != NULL && names != NULL &&
        tsdb_top(tsdb, p->tenant, &arena, limit, metrics, &metric_count, names, &name_count)) {
        metric_count = name_count = 0;
    }
    json_object_open(j);
    json_member_object(j, "headStats");
    json_member_uint(j, "numSeries", s.head_series);
    json_member_uint(j, "numKnownSeries", s.known_series);
    json_member_uint(j, "numSamples", s.head_samples);
    json_member_uint(j, "numExemplars", s.head_exemplars);
    json_member_uint(j, "bytes", s.head_bytes);
    json_member_int(j, "maxTime", s.newest_ms == INT64_MIN ? 0 : s.newest_ms);
    json_object_close(j);
    json_member_object(j, "partStats");
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

/* --- storage ---------------------------------------------------------------------------------- */

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
storage_page(struct status_page *p)
{
    struct json *j = p->j;
    struct tsdb_stats s;
    tsdb_stats(p->api->options.tsdb, &s);
    json_object_open(j);
    json_member_object(j, "log");
    json_member_uint(j, "bytes", s.wal.segment_bytes);
    json_member_uint(j, "segments", s.wal.segment_count);
    json_object_close(j);
    json_member_object(j, "head");
    json_member_uint(j, "bytes", s.head_bytes);
    json_member_uint(j, "samples", s.head_samples);
    json_member_uint(j, "exemplars", s.head_exemplars);
    json_member_uint(j, "series", s.head_series);
    json_object_close(j);
    json_member_object(j, "parts");
    json_member_uint(j, "parts", s.parts);
    json_member_uint(j, "samples", s.part_samples);
    json_member_uint(j, "exemplars", s.part_exemplars);
    json_member_uint(j, "bytes", s.part_bytes);
    json_member_uint(j, "dataBytes", s.part_data_bytes);
    json_member_uint(j, "indexBytes", s.part_bytes - s.part_data_bytes);
    json_object_close(j);
    json_member_array(j, "partitions");
    enum err e = tsdb_partitions(p->api->options.tsdb, put_partition, j);
    json_array_close(j);
    json_object_close(j);
    return e ? why_set(&p->why, e, "not enough memory for the page") : OK;
}

/* --- metadata --------------------------------------------------------------------------------- */

struct metadata_page {
    struct json *j;
    uint64_t left;
    bool limited;
};

static enum err
put_metadata(void *context, const struct metadata *m)
{
    struct metadata_page *p = context;
    p->limited = p->left == 0;
    if (p->limited) return ERR_CANCELED;
    p->left--;
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
metadata_page(struct status_page *p)
{
    const char *metric = http_argument(p->request, "metric");
    struct metadata_page page = {.j = p->j, .left = UINT64_MAX};
    int64_t limit;
    if (!whole_argument(p->request, "limit", 0, &limit)) {
        return why_set(&p->why, ERR_INPUT, "invalid limit: expected a whole number");
    }
    if (limit > 0) page.left = (uint64_t)limit;
    struct query_request asked = {.tenant = p->tenant};
    struct view *view = NULL;
    json_object_open(p->j);
    enum err e = view_open(p->api->options.answerer, NULL, &view, &p->why);
    if (e == OK) {
        e = view_metadata(view, &asked, bytes_of_text(metric == NULL ? "" : metric), put_metadata,
                          &page, &p->why);
    }
    view_free(view);
    json_object_close(p->j);
    return e == ERR_CANCELED && page.limited ? OK : e;
}

/* --- the pages -------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    enum err (*put)(struct status_page *page);
    bool of_tenant; /* about data; those about the process need no tenant */
} pages[] = {
    {"/api/v1/metadata", metadata_page, true},
    {"/api/v1/features", features_page},
    {"/api/v1/status/buildinfo", build_info},
    {"/api/v1/status/runtimeinfo", runtime_info},
    {"/api/v1/status/flags", flags_page},
    {"/api/v1/status/config", config_page},
    {"/api/v1/status/tsdb", tsdb_page, true},
    {"/api/v1/status/storage", storage_page},
    {"/api/v1/status/destinations", destinations_page},
    {"/api/v1/status/remembered", remembered_page},
};

void
page_run(struct api *api, struct http_request *request)
{
    unsigned i = 0;
    while (strcmp(pages[i].path, api_path(api, request)) != 0) {
        i++; /* it is among them: see the table of routes */
        assert(i < sizeof pages / sizeof *pages);
    }
    struct json j;
    struct status_page page = {.api = api, .request = request, .j = &j};
    if (pages[i].of_tenant && !tenant_of(api, request, &page.tenant)) return;
    struct buf text;
    buf_init(&text, &api->read_budget, PAGE_BYTES_MAX);
    success_begin(&j, &text);
    enum err e = pages[i].put(&page);
    if (e == OK) json_object_close(&j); /* a page that failed may lie there without a value */
    if (e == OK && buf_error(&text)) {
        e = why_set(&page.why, buf_error(&text), "not enough memory for the page");
    }
    if (e == ERR_INPUT)
        reply_problem_of(request, FOR_ANYTHING, e, &page.why);
    else if (e)
        reply_error(request, FOR_ANYTHING, e, &page.why);
    else
        reply_json(request, 200, &text);
    buf_fini(&text);
}
