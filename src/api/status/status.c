/*
 * status.c - health, metrics, and status pages in Prometheus' JSON envelope. A page is a function
 * that writes the value of "data", and a row in `pages`. It is sent when it is complete, so it may
 * fail at any point.
 */
#include "api/routes.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "api/request/read_request.h"
#include "api/status/pages.h"
#include "base/log.h"
#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "model/usage.h"
#include "promql/promql.h"
#include "template/template.h"
#include "wire/point/influx_field.h"

#define PROMETHEUS_VERSION "3.14.0" /* the version that the API follows */

enum { PAGE_BYTES_MAX = 256 * 1024 * 1024, FAMILY_BYTES_MAX = 1 << 20 };

/* --- health ----------------------------------------------------------------------------------- */

void
healthy_run(struct api *api, struct http_request *request)
{
    (void)api;
    http_reply_text(request, 200, "Firekeep is healthy.\n");
}

/* Answers like VictoriaMetrics, or like InfluxDB where JSON is wanted. */
void
health_run(struct api *api, struct http_request *request)
{
    static const char health[] =
        "{\"name\":\"firekeep\",\"message\":\"ready for queries and "
        "writes\",\"status\":\"pass\",\"checks\":[],\"version\":\"" INFLUX_VERSION "\"}";
    const char *accept = http_header(request, "Accept");
    bool is_influx = strcmp(api_path(api, request), "/influx/health") == 0;
    if (!is_influx && (accept == NULL || strstr(accept, "application/json") == NULL)) {
        http_reply_text(request, 200, "OK");
        return;
    }
    http_reply(request, &(struct http_answer){.status = 200,
                                              .content_type = "application/json",
                                              .body = bytes_of_text(health)});
}

const char *
api_refuses_writes(struct api *api)
{
    struct tsdb_stats s;
    const char *held = api->options.holds_writes(api->options.context);
    if (held != NULL) return held;
    tsdb_stats(api->options.tsdb, &s);
    if (s.dir != TSDB_DIR_OURS) return tsdb_dir_text(s.dir);
    if (s.down) return "cannot write to the write-ahead log";
    if (s.disk_low) return "the disk is nearly full";
    if (s.wal.over_budget) return "the write-ahead log has reached wal.budget";
    return NULL;
}

bool
api_doubts_clock(struct api *api, struct why *why)
{
    struct tsdb_stats s;
    char now[TIME_TEXT_BYTES], newest[TIME_TEXT_BYTES];
    tsdb_stats(api->options.tsdb, &s);
    if (s.clock == TSDB_CLOCK_GOOD || s.clock == TSDB_CLOCK_NOT_BUCKETS) return false;
    time_print(env_realtime_ms(api->options.env), now);
    if (s.clock == TSDB_CLOCK_BEFORE_RELEASE) {
        (void)why_set(why, ERR_AGAIN,
                      "the system clock (%s) is earlier than this release of Firekeep: set the "
                      "system clock",
                      now);
        return true;
    }
    (void)why_set(
        why, ERR_AGAIN,
        "the system clock (%s) is earlier than the newest sample of a sender (%s) by "
        "more than write.max_future: set the system clock, or, if it is right, delete "
        "the samples of the future in each tenant: POST %s/api/v1/admin/tsdb/delete_series"
        "?match%%5B%%5D=%%7B__name__%%21%%3D%%22%%22%%7D&start=%" PRId64 /* curl globs [] and {} */
        " (needs web.enable_admin_api)",
        now, time_print(s.newest_ms, newest), api->options.route_prefix, s.future_ms / 1000 + 1);
    return true;
}

/* Returns NULL if the server is ready; else a text, in `why` or a constant. */
static const char *
not_ready(struct api *api, struct why *why)
{
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) return "shutting down";
    const char *refuses = api_refuses_writes(api);
    if (refuses != NULL) return refuses;
    return api_doubts_clock(api, why) ? why->text : NULL;
}

void
ready_run(struct api *api, struct http_request *request)
{
    struct why why;
    const char *reason = not_ready(api, &why);
    if (reason != NULL)
        http_reply_text(request, 503, "Firekeep is not ready: %s.\n", reason);
    else
        http_reply_text(request, 200, "Firekeep is ready.\n");
}

/* Leads browsers to the web page; others get a few paths. */
void
root_run(struct api *api, struct http_request *request)
{
    const char *accepted = http_header(request, "Accept");
    if (accepted != NULL && strstr(accepted, "text/html") != NULL) {
        /* Relative, because a proxy may have removed a prefix. */
        bool is_folder = http_path(request)[strlen(api->options.route_prefix)] == '/';
        if (is_folder)
            http_reply(request,
                       &(struct http_answer){.status = 302, .headers = {{"Location", "query"}}});
        else
            redirect_run(api, request);
        return;
    }
    http_reply_text(request, 200,
                    "Firekeep\n\n"
                    "Below %s/:\n"
                    "POST api/v1/write    remote write 1.0 and 2.0\n"
                    "POST api/v1/read     remote read\n"
                    "GET  api/v1/query    PromQL, and the other paths of the API of Prometheus\n"
                    "GET  metrics\n"
                    "GET  -/ready\n"
                    "GET  api/v1/status/buildinfo|runtimeinfo|flags|config|tsdb|storage|"
                    "destinations|sources\n",
                    api->options.route_prefix);
}

/* Redirects a request for a path above the prefix of all paths. */
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
    buf_init(&text, &api->page_budget, PAGE_BYTES_MAX);
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
        run_later(api, QUEUE_CHANGES, request, reload_now, NULL);
    else
        http_reply_text(request, 403,
                        "the lifecycle API is disabled; start with --web.enable-lifecycle\n");
}

/* --- status pages ----------------------------------------------------------------------------- */

static void
page_time(int64_t t_ms, char to[PAGE_TIME_BYTES])
{
    time_t seconds = (time_t)(t_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(to, PAGE_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void
put_page_time(struct json *j, const char *key, int64_t t_ms)
{
    char text[PAGE_TIME_BYTES];
    page_time(t_ms, text);
    json_member_text(j, key, text);
}

enum err
page_number(struct json_page *p, const char *name, int64_t *ret)
{
    const char *text = http_argument(p->request, name);
    if (text == NULL || text[0] == '\0' || form_whole(text, 64, ret) == NULL) return OK;
    return why_set(&p->why, ERR_INPUT, "%s must be a number", name);
}

/* Reports the version of the Prometheus whose API this is: Grafana and others depend on it. */
static void
put_build_info(struct json_page *p)
{
    struct json *j = p->j;
    json_members(j, JSON("version", PROMETHEUS_VERSION), JSON("revision", ""), JSON("branch", ""),
                 JSON("buildUser", ""), JSON("buildDate", ""), JSON("goVersion", ""),
                 JSON("firekeepVersion", p->api->options.version));
#ifdef __clang__
    json_member_text(j, "compiler", "clang " __clang_version__);
#else
    json_member_text(j, "compiler", "gcc " __VERSION__);
#endif
    /* Only below the prefix: clients that look for it there take the server for a Mimir, and edit
     * rules if they may. Elsewhere clients take it for a Prometheus. */
    if (p->api->options.edit_rules != NULL && api_is_prefixed(p->api, p->request)) {
        json_member_object(j, "features");
        json_member_text(j, "ruler_config_api", "true");
        json_object_close(j);
    }
}

static enum err
build_info(struct json_page *p)
{
    json_object_open(p->j);
    put_build_info(p);
    json_object_close(p->j);
    return OK;
}

/* Describes the retention: "10y", "10y or 500GB". */
struct retention {
    char time[32];
    char size[32];
};

static void
note_retention(void *to, const char *name, const char *value)
{
    struct retention *r = to;
    if (strcmp(name, "retention.time") == 0) snprintf(r->time, sizeof r->time, "%s", value);
    if (strcmp(name, "retention.size") == 0) snprintf(r->size, sizeof r->size, "%s", value);
}

/* Writes Prometheus' members first; of those about Go's runtime only processors and memory have a
 * meaning here. */
static enum err
runtime_info(struct json_page *p)
{
    char started[PAGE_TIME_BYTES], now[PAGE_TIME_BYTES], reloaded[PAGE_TIME_BYTES];
    char directory[4096] = "", host[256] = "", kept[80];
    struct api *api = p->api;
    struct tsdb_stats s;
    struct json *j = p->j;
    struct retention retention = {"", "0"};
    struct reload_state reload = api->options.reload_state(api->options.context);
    tsdb_stats(api->options.tsdb, &s);
    api->options.flags(api->options.context, note_retention, &retention);
    bool sized = strcmp(retention.size, "0") != 0;
    snprintf(kept, sizeof kept, "%s%s%s", retention.time, sized ? " or " : "",
             sized ? retention.size : "");
    page_time(api->options.started_ms, started);
    page_time(env_realtime_ms(api->options.env), now);
    page_time(reload.succeeded_ms, reloaded);
    if (getcwd(directory, sizeof directory) == NULL) directory[0] = '\0';
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    struct why why;
    const char *reason = not_ready(api, &why);
    bool is_ready = reason == NULL;
    json_put_object(j, JSON("startTime", started), JSON("CWD", directory), JSON("hostname", host),
                    JSON("serverTime", now), JSON("reloadConfigSuccess", reload.succeeded),
                    JSON("lastConfigTime", reloaded),
                    JSON("corruptionCount", s.pages_damaged + s.parts_set_aside),
                    JSON("goroutineCount", 0u), JSON("GOMAXPROCS", sysconf(_SC_NPROCESSORS_ONLN)),
                    JSON("GOMEMLIMIT", atomic_load_explicit(&api->options.memory->limit_bytes,
                                                            memory_order_relaxed)),
                    JSON("GOGC", ""), JSON("GODEBUG", ""), JSON("storageRetention", kept),
                    JSON("ready", is_ready), JSON("notReadyReason", is_ready ? "" : reason),
                    JSON("timeSeriesCount", s.head_series), JSON("tenants", s.tenants),
                    JSON("parts", s.parts), JSON("partBytes", s.part_bytes),
                    JSON("walSegments", s.wal.segment_count),
                    JSON("walBytes", s.wal.segment_bytes));
    return OK;
}

/* Reports a complete replay: the log is replayed before the server answers. */
static enum err
wal_replay(struct json_page *p)
{
    json_put_raw(p->j, bytes_of_text("{\"min\":0,\"max\":0,\"current\":0}"));
    return OK;
}

static bool
is_wanted_metric(void *pattern, const char *name)
{
    return pattern == NULL || matcher_matches(pattern, bytes_of_text(name));
}

/* Writes the metrics of the process, like /metrics. */
static enum err
self_metrics(struct json_page *p)
{
    struct matcher *wanted = NULL;
    const char *pattern = http_argument(p->request, "metric_name_pattern");
    if (pattern != NULL && pattern[0] != '\0') {
        enum err e = matcher_new(MATCH_REGEX, bytes_of_text("metric_name_pattern"),
                                 bytes_of_text(pattern), &p->api->page_budget, &wanted, &p->why);
        if (e)
            return why_prefix(&p->why, e == ERR_LIMIT ? ERR_INPUT : e,
                              "invalid parameter \"metric_name_pattern\"");
    }
    metric_collect_json(p->j, is_wanted_metric, wanted);
    matcher_free(wanted);
    return OK;
}

static void
put_flag(void *to, const char *name, const char *value)
{
    json_member_text(to, name, value);
}

static enum err
flags_page(struct json_page *p)
{
    json_object_open(p->j);
    p->api->options.flags(p->api->options.context, put_flag, p->j);
    json_object_close(p->j);
    return OK;
}

static enum err
config_page(struct json_page *p)
{
    struct buf yaml;
    buf_init(&yaml, &p->api->page_budget, PAGE_BYTES_MAX);
    p->api->options.config(p->api->options.context, &yaml);
    json_put_object(p->j, JSON("yaml", buf_bytes(&yaml)));
    enum err e = buf_error(&yaml);
    if (e) why_set(&p->why, e, "not enough memory for the configuration");
    buf_fini(&yaml);
    return e;
}

/* Checks the configuration in the body; nothing changes. */
void
config_check_run(struct api *api, struct http_request *request)
{
    struct json_page p;
    const char *encoding = http_header(request, "Content-Encoding");
    if (encoding != NULL && encoding[0] != '\0' && strcmp(encoding, "identity") != 0) {
        reply_problem(request, 415, "bad_data", "content encoding not supported");
        return;
    }
    json_page_begin(&p, api, request);
    enum err e = api->options.check_config(api->options.context, http_body(request),
                                           &api->page_budget, p.j, &p.why);
    json_page_send(&p, FOR_ANYTHING, e);
}

static enum err
list_page(struct json_page *p)
{
    p->api->options.list(p->api->options.context, p->list, p->tenant, p->j);
    return OK;
}

/* Says which limits and rules decide about a series. */
static enum err
explain_write_page(struct json_page *p)
{
    struct api *api = p->api;
    const char *series = http_argument(p->request, "series");
    const char *rules = http_argument(p->request, "rules");
    if (series == NULL) return why_set(&p->why, ERR_INPUT, "missing parameter \"series\"");
    const struct series_question question = {
        .tenant = p->tenant,
        .series = bytes_of_text(series),
        .rules = bytes_of_text(rules == NULL ? "" : rules),
        .memory = &api->page_budget,
    };
    return api->options.trace_series(api->options.context, &question, p->j, &p->why);
}

/* --- features --------------------------------------------------------------------------------- */

/* The page /api/v1/features: features of Prometheus, and whether they are enabled here. Names and
 * categories are those of Prometheus 3.14; features of scraping (ways to find targets) are left
 * out, as in a Prometheus built without them. */
struct feature {
    const char *name;
    bool on;
};

#define put_category(j, name, ...)                               \
    put_features(j, name, (const struct feature[]){__VA_ARGS__}, \
                 sizeof((const struct feature[]){__VA_ARGS__}) / sizeof(struct feature))

static void
put_features(struct json *j, const char *category, const struct feature *features, size_t count)
{
    json_member_object(j, category);
    for (size_t i = 0; i < count; i++)
        json_member_bool(j, features[i].name, features[i].on);
    json_object_close(j);
}

/* Functions of PromQL and of templates, all of which are always enabled. */
static void
put_words(struct json *j, const char *category, const char *(*word_at)(uint32_t n))
{
    const char *word;
    json_member_object(j, category);
    for (uint32_t i = 0; (word = word_at(i)) != NULL; i++)
        json_member_bool(j, word, true);
    json_object_close(j);
}

/* Writes the value of the page about features. */
static enum err
features_page(struct json_page *p)
{
    const struct api_options *options = &p->api->options;
    struct api_limits limits = api_limits_now(p->api);
    struct json *j = p->j;
    json_object_open(j);
    put_category(j, "api", {"admin", options->admin}, {"exclude_alerts", true},
                 {"label_values_match", true}, {"lifecycle", options->lifecycle},
                 {"openapi_3.1", false}, {"openapi_3.2", false}, {"otlp_write_receiver", true},
                 {"query_stats", true}, {"query_warnings", true}, {"remote_write_receiver", true},
                 {"search", options->stored}, {"search_fuzz_alg_jarowinkler", true},
                 {"search_fuzz_alg_subsequence", true}, {"time_range_labels", true},
                 {"time_range_series", true});
    put_category(j, "otlp_receiver", {"delta_conversion", false},
                 {"native_delta_ingestion", false});
    put_category(j, "prometheus", {"agent_mode", !options->stored}, {"auto_reload_config", false},
                 {"server_mode", options->stored}, {"stringlabels", false});
    put_category(
        j, "promql", {"anchored", true}, {"at_modifier", true}, {"bool", true}, {"by", true},
        {"delayed_name_removal", limits.query.features.delayed_name_removal},
        {"duration_expr", true}, {"fill", true}, {"fill_left", true}, {"fill_right", true},
        {"group_left", true}, {"group_right", true}, {"ignoring", true}, {"negative_offset", true},
        {"offset", true}, {"on", true}, {"per_query_lookback_delta", true},
        {"per_step_stats", true}, {"smoothed", true}, {"subqueries", true},
        {"type_and_unit_labels", limits.query.features.type_and_unit_labels},
        {"use_start_timestamps", limits.query.features.start_timestamps}, {"without", true});
    put_words(j, "promql_functions", promql_function_word);
    put_words(j, "promql_operators", promql_operator_word);
    put_category(j, "rules", {"concurrent_rule_eval", true}, {"keep_firing_for", true},
                 {"query_offset", true});
    put_category(j, "scrape", {"extra_scrape_metrics", false},
                 {"start_timestamp_zero_ingestion", false}, {"type_and_unit_labels", false});
    put_words(j, "templating_functions", template_function_word);
    put_category(j, "tsdb", {"delayed_compaction", false}, {"exemplar_storage", options->stored},
                 {"isolation", true}, {"native_histograms", true}, {"st_storage", true},
                 {"use_uncached_io", false}, {"xor2_encoding", false});
    put_category(j, "ui", {"ui_v2", false}, {"ui_v3", false});
    json_object_close(j);
    return OK;
}

/* --- the log ---------------------------------------------------------------------------------- */

enum { LINES_DEFAULT = 500, LINES_MAX = 10000 };

struct lines_wanted {
    int64_t since_ms;
    int64_t count; /* the newest ones */
    unsigned level;
};

static const char *const levels[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

static enum err
read_arguments_of_log(struct json_page *p, struct lines_wanted *w)
{
    const char *since = http_argument(p->request, "since");
    const char *level = http_argument(p->request, "level");
    bool has_level = level != NULL && level[0] != '\0';
    while (has_level && w->level < LOG_LEVEL_COUNT && strcmp(level, levels[w->level]) != 0)
        w->level++;
    if (w->level == LOG_LEVEL_COUNT)
        return why_set(&p->why, ERR_INPUT, "level must be debug, info, warn or error");
    enum err e = page_number(p, "limit", &w->count);
    if (e == OK && (w->count < 1 || w->count > LINES_MAX))
        e = why_set(&p->why, ERR_INPUT, "limit must be between 1 and %d", LINES_MAX);
    if (e || since == NULL || since[0] == '\0' ||
        time_parse_api(bytes_of_text(since), &w->since_ms))
        return e;
    return why_set(&p->why, ERR_INPUT, "since must be a time: RFC 3339 or Unix seconds");
}

static bool
next_wanted(const struct lines_wanted *w, struct bytes *from, struct log_kept_line *ret)
{
    while (log_kept_next(from, ret))
        if (ret->level >= w->level && ret->t_ms >= w->since_ms) return true;
    return false;
}

static enum err
log_page(struct json_page *p)
{
    struct lines_wanted w = {.since_ms = INT64_MIN, .count = LINES_DEFAULT};
    struct log_kept_line line;
    struct buf copy;
    uint64_t found = 0, most;
    enum err e = read_arguments_of_log(p, &w);
    if (e) return e;
    buf_init(&copy, &p->api->page_budget, LOG_KEPT_BYTES_MAX);
    e = why_set(&p->why, log_kept_copy(&copy), "not enough memory for the log");
    for (struct bytes at = buf_bytes(&copy); next_wanted(&w, &at, &line);)
        found++;
    most = (uint64_t)w.count;
    json_object_open(p->j);
    json_member_uint(p->j, "leftOff", found > most ? found - most : 0);
    json_member_array(p->j, "lines");
    for (struct bytes at = buf_bytes(&copy); next_wanted(&w, &at, &line); found--) {
        if (found <= most) {
            char time[TIME_TEXT_BYTES];
            json_put_object(p->j, JSON("number", line.number),
                            JSON("time", time_print(line.t_ms, time)),
                            JSON("level", levels[line.level]), JSON("line", line.text));
        }
    }
    json_array_close(p->j);
    json_object_close(p->j);
    buf_fini(&copy);
    return e;
}

/* --- use of metrics --------------------------------------------------------------------------- */

enum { METRICS_SHOWN = 1000, METRICS_SHOWN_MAX = 100000 };

/* Writes the metrics, or only the one of this name, unless it is NULL. */
static void
put_list(struct json *j, const struct usage_list *list, const char *metric, uint32_t limit)
{
    uint32_t shown = 0, left_off = 0;
    json_object_open(j);
    put_time(j, "begun", list->begun_ms);
    put_time(j, "since", list->since_ms);
    json_member_bool(j, "exact", list->since_ms == list->begun_ms);
    json_member_array(j, "metrics");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct metric_usage *m = &list->metrics[i];
        if (metric != NULL && !bytes_equal_text(m->metric, metric)) continue;
        if (shown < limit) {
            json_object_open(j);
            json_members(j, JSON("metric", m->metric), JSON("queries", m->counts[USAGE_QUERY]),
                         JSON("rules", m->counts[USAGE_RULE]),
                         JSON("lookups", m->counts[USAGE_LOOKUP]));
            put_time(j, "last", m->last_ms);
            json_object_close(j);
            shown++;
        } else {
            left_off++;
        }
    }
    json_array_close(j);
    json_member_uint(j, "leftOff", left_off);
    json_object_close(j);
}

static enum err
metric_usage_page(struct json_page *p)
{
    const char *metric = http_argument(p->request, "metric");
    int64_t limit = METRICS_SHOWN;
    if (page_number(p, "limit", &limit) || limit < 1)
        return why_set(&p->why, ERR_INPUT, "limit must be a positive number");
    if (limit > METRICS_SHOWN_MAX)
        return why_set(&p->why, ERR_INPUT, "limit must not exceed %d", METRICS_SHOWN_MAX);
    struct usage_list list;
    struct arena arena;
    arena_init(&arena, &p->api->page_budget, 0, 0);
    enum err e = usage_list(p->api->options.usage, p->tenant, &arena, &list);
    if (e == OK) put_list(p->j, &list, metric, (uint32_t)limit);
    arena_fini(&arena);
    return e ? why_set(&p->why, e, "not enough memory for the page") : OK;
}

/* --- metadata --------------------------------------------------------------------------------- */

struct metadata_page {
    struct json *j;
    uint64_t left;           /* families */
    uint64_t left_of_family; /* entries */
    uint64_t per_family;
    bool limited;
    struct buf family; /* the family whose list is open */
    bool is_open;
    struct query_control *control;
    struct why *why;
};

static void
end_family(struct metadata_page *p)
{
    if (p->is_open) json_array_close(p->j);
    p->is_open = false;
    buf_clear(&p->family);
}

static enum err
begin_family(struct metadata_page *p, struct bytes family)
{
    end_family(p);
    assert(p->family.size == 0);
    p->limited = p->left == 0;
    if (p->limited) return ERR_CANCELED;
    p->left--;
    p->left_of_family = p->per_family;
    buf_put_bytes(&p->family, family);
    json_key_bytes(p->j, family);
    json_array_open(p->j);
    p->is_open = true;
    return buf_error(&p->family);
}

/* Writes an entry. A tenant has one entry for each family; several tenants may differ. */
static enum err
put_metadata(void *context, const struct metadata *m)
{
    struct metadata_page *p = context;
    bool same = p->is_open && bytes_equal(buf_bytes(&p->family), m->family);
    enum err e = err_first(query_control_check(p->control, p->why), buf_error(p->j->to));
    if (e == OK && !same) e = begin_family(p, m->family);
    if (e || p->left_of_family == 0) return e;
    p->left_of_family--;
    json_put_object(p->j, JSON("type", metric_type_word(m->type)), JSON("help", m->help),
                    JSON("unit", m->unit));
    return OK;
}

/* Asks for the metadata of what the request permits. */
static enum err
ask_metadata(struct json_page *p, struct metadata_page *page)
{
    const char *metric = http_argument(p->request, "metric");
    struct read_request r;
    read_request_begin(&r, p->api, p->request);
    r.query.tenant = p->tenant;
    page->control = &r.control;
    page->why = &r.why;
    enum err e = read_request_fence(&r);
    if (e == ERR_INPUT) why_set(&r.why, e, "%.*s", (int)r.error.size, (const char *)r.error.at);
    if (e == OK) e = read_request_open(&r, &r.control, &r.view, &r.why);
    if (e == OK)
        e = view_metadata(r.view, &r.query, bytes_of_text(metric == NULL ? "" : metric),
                          put_metadata, page, &r.why);
    p->why = r.why;
    read_request_end(&r);
    return e == ERR_CANCELED && page->limited ? OK : e;
}

static enum err
metadata_page(struct json_page *p)
{
    struct metadata_page page = {.j = p->j, .left = UINT64_MAX, .per_family = UINT64_MAX};
    int64_t limit = -1, per_metric = -1;
    enum err e = page_number(p, "limit", &limit);
    if (e == OK) e = page_number(p, "limit_per_metric", &per_metric);
    if (e) return e;
    if (limit >= 0) page.left = (uint64_t)limit;
    if (per_metric > 0) page.per_family = (uint64_t)per_metric;
    buf_init(&page.family, &p->api->page_budget, FAMILY_BYTES_MAX);
    json_object_open(p->j);
    e = ask_metadata(p, &page);
    end_family(&page);
    json_object_close(p->j);
    buf_fini(&page.family);
    return e;
}

/* --- the pages -------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    enum err (*put)(struct json_page *page);
    /* For pages about data; NULL for pages about the process. */
    bool (*find_tenant)(const struct api *api, struct http_request *request,
                        struct bytes *ret_tenant);
    enum owner_list list;
} pages[] = {
    {"/api/v1/metadata", metadata_page, tenant_of},
    {"/api/v1/sources", list_page, tenant_of, LIST_SOURCE_NAMES},
    {"/api/v1/features", features_page},
    {"/api/v1/status/buildinfo", build_info},
    {"/api/v1/status/runtimeinfo", runtime_info},
    {"/api/v1/status/flags", flags_page},
    {"/api/v1/status/config", config_page},
    {"/api/v1/status/tsdb", tsdb_page, one_tenant_of},
    {"/api/v1/status/tsdb/blocks", tsdb_blocks_page},
    {"/api/v1/status/tsdb/bytes", tsdb_bytes_page, one_tenant_of},
    {"/api/v1/status/metric_usage", metric_usage_page, one_tenant_of},
    {"/api/v1/status/walreplay", wal_replay},
    {"/api/v1/status/self_metrics", self_metrics},
    {"/api/v1/status/storage", storage_page},
    {"/api/v1/status/destinations", list_page, NULL, LIST_DESTINATIONS},
    {"/api/v1/status/sources", list_page, NULL, LIST_SOURCES},
    {"/api/v1/explain_write", explain_write_page, one_tenant_of},
    {"/api/v1/status/log", log_page},
};

/* Answers with the members of /api/v1/status/buildinfo, without "status" and "data" around them. */
void
version_run(struct api *api, struct http_request *request)
{
    struct json_page p;
    json_page_begin(&p, api, request);
    buf_clear(&p.text);
    json_init(p.j, &p.text);
    json_object_open(p.j);
    put_build_info(&p);
    json_page_send(&p, FOR_ANYTHING, OK);
}

void
page_run(struct api *api, struct http_request *request)
{
    unsigned i = 0;
    while (strcmp(pages[i].path, api_path(api, request)) != 0) {
        i++; /* the table of routes has no others */
        assert(i < sizeof pages / sizeof *pages);
    }
    struct json_page page;
    struct bytes tenant = {NULL, 0};
    if (pages[i].find_tenant != NULL && !pages[i].find_tenant(api, request, &tenant)) return;
    json_page_begin(&page, api, request);
    page.tenant = tenant;
    page.list = pages[i].list;
    /* Pages with several tenants are queries; others show data in memory. */
    enum purpose purpose = pages[i].find_tenant == tenant_of ? FOR_QUERY : FOR_ANYTHING;
    json_page_send(&page, purpose, pages[i].put(&page));
}

/* --- targets ---------------------------------------------------------------------------------- */

/*
 * The routes about targets that a Prometheus scrapes. This server does not scrape: its answers are
 * well-formed and empty, as clients of the API expect them, and it refuses the same parameters.
 */

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
