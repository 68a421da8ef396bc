/*
 * api.c - the table of routes, and the life of an api.
 *
 *      HTTP worker -> dispatch() -> run                          never waits
 *                         |
 *                         +-> a queue -> its threads -> run      queues.c
 */
#include "api/api.h"

#include <assert.h>
#include <stdio.h>

#include "api/handler.h"
#include "api/request/read_request.h"
#include "api/routes.h"
#include "auth/gate.h"
#include "auth/origin.h"
#include "views/stack.h"

/* Conditions of a route. */
enum {
    STORED = 1 /* needs a store: with storage.mode=none nothing is kept */,
    ADMIN = 2 /* needs the admin API */,
    READABLE = 4 /* needs a store or a source */,
    RULER = 8 /* exists if the ruler API is on */,
    FENCED = 16 /* answers with permitted series only, or with nothing about series */,
    OWN = 32 /* answers with what the user itself has asked */,
    UNTYPED = 64 /* takes bodies of all content types, also of forms: clients send lines so */,
    ASKED = 128 /* has the argument q in its URL: another route has the path without it */,
};

/* dispatch() answers OPTIONS for all paths of the API, even if they do not exist. */
static void
no_run(struct api *api, struct http_request *request)
{
    (void)api, (void)request;
    assert(!"OPTIONS only");
}

static const struct route {
    const char *path;
    unsigned methods;
    enum route_access access; /* a row without one does not compile */
    enum queue_name queue;
    void (*run)(struct api *api, struct http_request *request);
    unsigned needs;
} route_table[] = {
    {"/api/v1/write", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/write", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/api/v2/write", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/api/v3/write_lp", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/influx/write", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/influx/api/v2/write", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/influx/api/v3/write_lp", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/api/v1/import", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/api/v1/import/prometheus", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/api/v1/import/csv", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/api/put", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run, UNTYPED},
    {"/metrics/job/*", HTTP_POST | HTTP_PUT | HTTP_DELETE, ACCESS_WRITE, QUEUE_WRITES, write_run,
     UNTYPED},
    {"/metrics/job@base64/*", HTTP_POST | HTTP_PUT | HTTP_DELETE, ACCESS_WRITE, QUEUE_WRITES,
     write_run, UNTYPED},
    {"/receive", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/api/v1/receive", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/api/v1/push", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/api/v1/prom/write", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/api/v1/prom/remote/write", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/api/v1/otlp/v1/metrics", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/v1/metrics", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/otlp/v1/metrics", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/opentelemetry/v1/metrics", HTTP_POST, ACCESS_WRITE, QUEUE_NONE, write_run},
    {"/api/v1/read", HTTP_POST, ACCESS_READ, QUEUE_NONE, read_run, READABLE | FENCED},
    {"/read", HTTP_POST, ACCESS_READ, QUEUE_NONE, read_run, READABLE | FENCED},
    {"/api/v1/prom/read", HTTP_POST, ACCESS_READ, QUEUE_NONE, read_run, READABLE | FENCED},
    {"/api/v1/prom/remote/read", HTTP_POST, ACCESS_READ, QUEUE_NONE, read_run, READABLE | FENCED},
    {"/api/v1/labels", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS, label_names_run,
     READABLE | FENCED},
    {"/api/v1/label/*", HTTP_GET, ACCESS_READ, QUEUE_READS, label_values_run, READABLE | FENCED},
    {"/api/v1/series", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS, series_run,
     READABLE | FENCED},
    {"/api/v1/search/metric_names", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS,
     search_metric_names_run, READABLE | FENCED},
    {"/api/v1/search/label_names", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS,
     search_label_names_run, READABLE | FENCED},
    {"/api/v1/search/label_values", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS,
     search_label_values_run, READABLE | FENCED},
    {"/api/v1/query", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_QUERIES, query_run,
     READABLE | FENCED},
    {"/api/v1/query_range", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_QUERIES, query_range_run,
     READABLE | FENCED},
    {"/api/v1/explain", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_QUERIES, explain_run,
     READABLE | FENCED},
    {"/api/v1/sql", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_QUERIES, sql_serve, READABLE | FENCED},
    {"/api/v1/status/active_queries", HTTP_GET, ACCESS_READ, QUEUE_PAGES, active_queries_run, OWN},
    {"/api/v1/status/active_queries/*", HTTP_DELETE, ACCESS_READ, QUEUE_PAGES, query_cancel_run,
     OWN},
    {"/api/v1/status/top_queries", HTTP_GET, ACCESS_READ, QUEUE_PAGES, top_queries_run, OWN},
    {"/api/v1/status/metric_usage", HTTP_GET, ACCESS_READ, QUEUE_READS, page_run},
    {"/api/v1/query_exemplars", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS, query_exemplars_run,
     READABLE | FENCED},
    {"/api/v1/format_query", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS, format_query_run,
     FENCED},
    {"/api/v1/parse_query", HTTP_GET | HTTP_POST, ACCESS_READ, QUEUE_READS, parse_query_run,
     FENCED},
    {"/api/v1/rules", HTTP_GET, ACCESS_READ, QUEUE_PAGES, rules_run, FENCED},
    {"/api/v1/alerts", HTTP_GET, ACCESS_READ, QUEUE_PAGES, alerts_run, FENCED},
    {"/api/v1/alertmanagers", HTTP_GET, ACCESS_READ, QUEUE_PAGES, alertmanagers_run, FENCED},
    {"/api/v1/targets", HTTP_GET, ACCESS_READ, QUEUE_NONE, targets_run, FENCED},
    {"/api/v1/targets/metadata", HTTP_GET, ACCESS_READ, QUEUE_PAGES, targets_run, FENCED},
    {"/api/v1/targets/relabel_steps", HTTP_GET, ACCESS_READ, QUEUE_NONE, targets_run, FENCED},
    {"/api/v1/scrape_pools", HTTP_GET, ACCESS_READ, QUEUE_NONE, targets_run, FENCED},
    {"/api/v1/notifications", HTTP_GET, ACCESS_READ, QUEUE_NONE, targets_run, FENCED},
    {"/api/v1/notifications/live", HTTP_GET, ACCESS_READ, QUEUE_NONE, notifications_live_run,
     FENCED},
    {"/api/v1/metadata", HTTP_GET, ACCESS_READ, QUEUE_READS, page_run, FENCED},
    {"/api/v1/sources", HTTP_GET, ACCESS_READ, QUEUE_PAGES, page_run, FENCED},
    {"/api/v1/session", HTTP_GET | HTTP_POST | HTTP_DELETE, ACCESS_KNOWN, QUEUE_NONE, session_run},
    {"/api/v1/features", HTTP_GET, ACCESS_KNOWN, QUEUE_PAGES, page_run},
    {"/api/v1/status/buildinfo", HTTP_GET, ACCESS_KNOWN, QUEUE_PAGES, page_run},
    {"/api/v1/status/runtimeinfo", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/status/flags", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/status/config", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/status/config/check", HTTP_POST, ACCESS_ADMIN, QUEUE_CHANGES, config_check_run},
    {"/api/v1/status/tsdb", HTTP_GET, ACCESS_PROCESS, QUEUE_READS, page_run},
    {"/api/v1/status/tsdb/blocks", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/status/tsdb/bytes", HTTP_GET, ACCESS_PROCESS, QUEUE_READS, page_run, STORED},
    {"/api/v1/status/walreplay", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/status/self_metrics", HTTP_GET, ACCESS_METRICS, QUEUE_PAGES, page_run},
    {"/api/v1/status/storage", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/status/destinations", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/status/sources", HTTP_GET, ACCESS_PROCESS, QUEUE_PAGES, page_run},
    {"/api/v1/explain_write", HTTP_GET, ACCESS_PROCESS, QUEUE_READS, page_run},
    {"/api/v1/status/log", HTTP_GET, ACCESS_ADMIN, QUEUE_PAGES, page_run},
    {"/api/v1/admin/tsdb/flush", HTTP_POST | HTTP_PUT, ACCESS_ADMIN, QUEUE_ADMIN, flush_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/merge", HTTP_POST | HTTP_PUT, ACCESS_ADMIN, QUEUE_MERGES, merge_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/snapshot", HTTP_POST | HTTP_PUT, ACCESS_ADMIN, QUEUE_ADMIN, snapshot_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/snapshots", HTTP_GET, ACCESS_ADMIN, QUEUE_READS, snapshots_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/snapshots/*", HTTP_DELETE, ACCESS_ADMIN, QUEUE_ADMIN, snapshot_delete_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/delete_series", HTTP_POST | HTTP_PUT, ACCESS_ADMIN, QUEUE_ADMIN,
     delete_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/delete_series/preview", HTTP_GET, ACCESS_ADMIN, QUEUE_READS,
     delete_preview_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/deletions", HTTP_GET, ACCESS_ADMIN, QUEUE_READS, deletions_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/deletions/*", HTTP_GET | HTTP_POST, ACCESS_ADMIN, QUEUE_ADMIN,
     deletion_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/plan", HTTP_POST, ACCESS_ADMIN, QUEUE_READS, plan_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/clean_tombstones", HTTP_POST | HTTP_PUT, ACCESS_ADMIN, QUEUE_MERGES,
     clean_run, STORED | ADMIN},
    {"/api/v1/admin/destinations/*", HTTP_POST | HTTP_PUT, ACCESS_ADMIN, QUEUE_PAGES,
     destination_run, ADMIN},
    {"/api/v1/admin/dead_letters/*", HTTP_GET | HTTP_POST, ACCESS_ADMIN, QUEUE_DESTINATIONS,
     dead_letters_run, ADMIN},
    {"/api/v1/admin/destination_test/*", HTTP_POST, ACCESS_ADMIN, QUEUE_DESTINATIONS,
     destination_test_run, ADMIN},
    {"/config/v1/rules", HTTP_GET, ACCESS_RULES, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/config/v1/rules/*", HTTP_GET | HTTP_POST | HTTP_DELETE, ACCESS_RULES, QUEUE_CHANGES,
     ruler_api_run, RULER},
    {"/prometheus/config/v1/rules", HTTP_GET, ACCESS_RULES, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/prometheus/config/v1/rules/*", HTTP_GET | HTTP_POST | HTTP_DELETE, ACCESS_RULES,
     QUEUE_CHANGES, ruler_api_run, RULER},
    {"/api/prom/rules", HTTP_GET, ACCESS_RULES, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/api/prom/rules/*", HTTP_GET | HTTP_POST | HTTP_DELETE, ACCESS_RULES, QUEUE_CHANGES,
     ruler_api_run, RULER},
    {"/federate", HTTP_GET, ACCESS_READ, QUEUE_READS, federate_run, READABLE | FENCED},
    {"/prometheus/federate", HTTP_GET, ACCESS_READ, QUEUE_READS, federate_run, READABLE | FENCED},
    {"/api/v1/*", HTTP_OPTIONS, ACCESS_KNOWN, QUEUE_NONE, no_run},
    {"/metrics", HTTP_GET, ACCESS_METRICS, QUEUE_PAGES, metrics_run},
    {"/-/healthy", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, healthy_run},
    {"/health", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, health_run},
    {"/version", HTTP_GET, ACCESS_KNOWN, QUEUE_PAGES, version_run},
    {"/-/ready", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, ready_run},
    {"/-/reload", HTTP_POST | HTTP_PUT, ACCESS_ADMIN, QUEUE_NONE, reload_run},
    {"/query", HTTP_GET, ACCESS_EITHER, QUEUE_QUERIES, influxql_serve, READABLE | FENCED | ASKED},
    {"/query", HTTP_POST, ACCESS_EITHER, QUEUE_QUERIES, influxql_serve, READABLE | FENCED},
    {"/influx/query", HTTP_GET | HTTP_POST, ACCESS_EITHER, QUEUE_QUERIES, influxql_serve,
     READABLE | FENCED},
    {"/ping", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, ping_run},
    {"/influx/ping", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, ping_run},
    {"/influx/health", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, health_run},
    {"/query", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/graph", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/alerts", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/rules", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/status", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/tsdb-status", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/tenants", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/queries", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/config", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/flags", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/keep", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/destinations", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/sources", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/targets", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/service-discovery", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/alertmanager-discovery", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/discovered-alertmanagers", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/explore", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/dashboards", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/tools", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, document_run},
    {"/assets/*", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, asset_run},
    {"/", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, root_run},
};

/* The API is also served below this prefix, where Cortex and Mimir have it. */
static const char api_prefix[] = "/prometheus", api_begin[] = "/api/v1/";

/* The context of dispatch(). */
struct route_of_api {
    struct api *api;
    const struct route *route;
    bool is_json; /* answers in Prometheus' envelope, and allows pages of other origins */
};

enum {
    TABLE_COUNT = sizeof route_table / sizeof route_table[0],
    ROUTE_COUNT = 2 * TABLE_COUNT + 3, /* at most */
};

bool
api_is_prefixed(const struct api *api, const struct http_request *request)
{
    const char *path = http_path(request) + strlen(api->options.route_prefix);
    size_t size = sizeof api_prefix - 1;
    return strncmp(path, api_prefix, size) == 0 &&
           strncmp(path + size, api_begin, sizeof api_begin - 1) == 0;
}

const char *
api_path(const struct api *api, const struct http_request *request)
{
    const char *path = http_path(request) + strlen(api->options.route_prefix);
    return api_is_prefixed(api, request) ? path + sizeof api_prefix - 1 : path;
}

/* --- pages of other origins ------------------------------------------------------------------- */

static bool
is_origin_allowed(struct api *api, const struct http_request *request, const char *origin)
{
    if (strchr(origin, '\t') != NULL) return false; /* is not sent in answers */
    if (api->origins != NULL) return matcher_matches(api->origins, bytes_of_text(origin));
    return gate_user(request) == NULL && !api_limits_now(api).has_users;
}

/* Repeats the origin if it is allowed, like Prometheus. Never sends
 * Access-Control-Allow-Credentials: browsers do not show pages what they received with a user's
 * password. */
static void
allow_origin(struct api *api, struct http_request *request)
{
    const char *origin = http_header(request, "Origin");
    http_answer_also(request, "Vary", "Origin");
    if (origin == NULL || origin[0] == '\0') return;
    http_answer_also(request, "Access-Control-Allow-Headers",
                     api->options.tenancy
                         ? "Accept, Authorization, Content-Type, Origin, X-Scope-OrgID"
                         : "Accept, Authorization, Content-Type, Origin");
    http_answer_also(request, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    http_answer_also(request, "Access-Control-Expose-Headers", "Date");
    if (is_origin_allowed(api, request, origin))
        http_answer_also(request, "Access-Control-Allow-Origin", origin);
}

/* --- life ------------------------------------------------------------------------------------- */

static void
refuse(struct http_request *request, bool is_json, unsigned status, const char *type,
       const char *text)
{
    if (is_json)
        reply_problem(request, status, type, text);
    else
        http_reply_text(request, status, "%s\n", text);
}

static void
refuse_in_json(struct api *api, struct http_request *request, enum err e, const struct why *why)
{
    (void)api;
    reply_problem_of(request, FOR_QUERY, e, why);
}

/* Says whether a request is restricted to some series and its route cannot restrict the answer.
 * Senders of samples may have an extra_label that means something else to other systems. */
static bool
lacks_fence(const struct route *route, const struct http_request *request)
{
    bool shows_none = route->access == ACCESS_WRITE || route->access == ACCESS_KNOWN ||
                      route->access == ACCESS_OPEN;
    if (shows_none || (route->needs & FENCED)) return false;
    return fence_of_url(request) || (!(route->needs & OWN) && fence_of_user(request));
}

/* Refuses a request that changes something if a page of another site may have made a browser send
 * it: the browser adds passwords and certificates of its user. False: it is not refused. */
static bool
refused_as_foreign(const struct route_of_api *r, struct http_request *request)
{
    const char *host = http_header(request, "Host");
    bool has_form = http_body(request).size > 0 && !(r->route->needs & UNTYPED) &&
                    origin_type_is_form(http_header(request, "Content-Type"));
    if (!access_changes(r->route->access, http_method(request))) return false;
    if (http_header_count(request, "Origin") > 1 ||
        origin_is_foreign(http_header(request, "Origin"), host, r->api->options.external_url)) {
        refuse(request, r->is_json, 403, "forbidden",
               "pages of other origins are not permitted to change anything; web.external_url is "
               "the origin of pages behind a proxy");
        return true;
    }
    if (!has_form) return false;
    refuse(request, r->is_json, 415, "bad_data",
           "bodies with the content types of forms are not accepted here; send parameters in the "
           "URL, and another body with its own Content-Type");
    return true;
}

/* Handles a request: checks the conditions of its route, then runs it or queues it. */
static void
dispatch(void *context, struct http_request *request)
{
    const struct route_of_api *r = context;
    const struct api_options *o = &r->api->options;
    if (r->is_json) allow_origin(r->api, request);
    if (http_method(request) == HTTP_OPTIONS) {
        http_reply(request, &(struct http_answer){.status = 204});
    } else if (refused_as_foreign(r, request)) {
        return;
    } else if (lacks_fence(r->route, request)) {
        refuse(request, r->is_json, 403, "forbidden",
               "the response cannot be restricted to the series that the request may see "
               "(read_matchers, extra_filters[], extra_label)");
    } else if ((r->route->needs & STORED) && !o->stored) {
        refuse(request, r->is_json, 501, "unavailable",
               "no samples are stored without storage.mode=local");
    } else if ((r->route->needs & READABLE) && !o->stored && !o->can_read(o->context)) {
        refuse(request, r->is_json, 501, "unavailable",
               "no samples are stored without storage.mode=local, and there are no sources");
    } else if ((r->route->needs & ADMIN) && !o->admin) {
        reply_problem(request, 503, "unavailable",
                      "the admin API is disabled; start with --web.enable-admin-api");
    } else if (r->route->queue == QUEUE_NONE) {
        r->route->run(r->api, request);
    } else {
        run_later(r->api, r->route->queue, request, r->route->run,
                  r->is_json ? refuse_in_json : NULL);
    }
}

/* Adds a route. Its path is `prefix`, `between` and the route's own. */
static enum err
route_add(struct api *api, const struct route *route, const char *prefix, const char *between)
{
    struct route_of_api *context = arena_new(&api->route_memory, sizeof *context);
    size_t size = strlen(prefix) + strlen(between) + strlen(route->path) + 1;
    char *path = arena_alloc(&api->route_memory, size);
    if (context == NULL || path == NULL) return ERR_NOMEM;
    snprintf(path, size, "%s%s%s", prefix, between, route->path);
    bool of_api = strncmp(route->path, api_begin, sizeof api_begin - 1) == 0;
    *context = (struct route_of_api){
        .api = api,
        .route = route,
        .is_json = of_api && route->run != write_run && route->run != read_run,
    };
    assert(api->route_count < ROUTE_COUNT);
    api->routes[api->route_count++] = (struct http_route){
        .path = path,
        .argument = route->needs & ASKED ? "q" : NULL,
        .methods = route->methods | (of_api ? HTTP_OPTIONS : 0),
        .handler = dispatch,
        .encodings = "*", /* handlers judge it, and explain more in their answers */
        .context = context,
        .errors_in_json = context->is_json,
        .access = route->access,
    };
    return OK;
}

/* Adds a second path of /metrics. ERR_INPUT: the path is that of another route. */
static enum err
telemetry_add(struct api *api, struct why *why)
{
    const char *prefix = api->options.route_prefix, *path = api->options.telemetry_path;
    if (path == NULL || path[0] == '\0' || strcmp(path, "/metrics") == 0) return OK;
    struct route *route = arena_new(&api->route_memory, sizeof *route);
    if (route == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        if (strcmp(route_table[i].path, path) == 0)
            return why_set(why, ERR_INPUT, "--web.telemetry-path: %s is another page", path);
        if (strcmp(route_table[i].path, "/metrics") == 0) *route = route_table[i];
    }
    route->path = path;
    return why_set(why, route_add(api, route, prefix, ""), "not enough memory to start");
}

static enum err
routes_make(struct api *api)
{
    static const struct route redirect = {"/", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, redirect_run};
    static const struct route root = {"", HTTP_GET, ACCESS_OPEN, QUEUE_NONE, root_run};
    const char *prefix = api->options.route_prefix;
    api->routes = mem_new(NULL, ROUTE_COUNT * sizeof *api->routes);
    enum err e = api->routes == NULL ? ERR_NOMEM : OK;
    for (unsigned i = 0; i < TABLE_COUNT && e == OK; i++) {
        if ((route_table[i].needs & RULER) && api->options.edit_rules == NULL) continue;
        bool of_api = strncmp(route_table[i].path, api_begin, sizeof api_begin - 1) == 0;
        e = route_add(api, &route_table[i], prefix, "");
        if (e == OK && of_api) e = route_add(api, &route_table[i], prefix, api_prefix);
    }
    if (e || prefix[0] == '\0') return e;
    e = route_add(api, &root, prefix, "");
    return e ? e : route_add(api, &redirect, "", "");
}

static uint64_t
memory_bytes(const struct budget *memory)
{
    return memory == NULL ? 0 : atomic_load_explicit(&memory->limit_bytes, memory_order_relaxed);
}

enum err
api_new(const struct api_options *options, const struct api_limits *limits, struct api **ret_api,
        struct why *why)
{
    struct api *api = mem_new(NULL, sizeof *api);
    if (api == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    api->options = *options;
    if (options->tenancy && view_stack_tenants(options->answerer, &api->of_tenants)) {
        mem_free(NULL, api, sizeof *api);
        return why_set(why, ERR_NOMEM, "not enough memory to start");
    }
    if (options->tenancy) api->options.answerer = api->of_tenants;
    lock_init(&api->lock, LOCK_RANK_API);
    budget_init(&api->write_budget, "write", 0, options->memory);
    /* All queries, look-ups and remote reads together leave memory to writes and pages. */
    uint64_t read_bytes_max = memory_bytes(options->memory) / 8 * 7; /* 0: unlimited */
    budget_init(&api->read_budget, "read", read_bytes_max, options->memory);
    budget_init(&api->page_budget, "pages", 0, options->memory);
    arena_init(&api->route_memory, NULL, 0, 0);
    enum err e = promql_cache_new(options->memory, 0, &api->results);
    if (e == OK) e = queues_new(api);
    if (e == OK) e = queries_new(api);
    if (e == OK) e = writes_new(api);
    if (e) {
        api_free(api);
        return why_set(why, e, "not enough memory to start");
    }
    api_set_limits(api, limits);
    if (strcmp(options->cors_origin, "auto") != 0) {
        e = matcher_new(MATCH_REGEX, bytes_of_text("origin"), bytes_of_text(options->cors_origin),
                        NULL, &api->origins, why);
    }
    if (e == OK) e = why_set(why, routes_make(api), "not enough memory to start");
    if (e == OK) e = telemetry_add(api, why);
    if (e == OK) e = why_set(why, queues_start(api), "cannot start the query threads");
    if (e) {
        api_free(api);
        return e;
    }
    api->collector = (struct metric_collector){.collect = store_metrics, .context = api};
    metric_register_collector(&api->collector);
    write_metrics_register();
    read_metrics_register();
    query_metrics_register();
    *ret_api = api;
    return OK;
}

void
api_free(struct api *api)
{
    if (api == NULL) return;
    metric_unregister(&api->collector.link);
    queues_stop(api);
    writes_free(api);
    queries_free(api);
    queues_free(api);
    promql_cache_free(api->results);
    mem_free(NULL, api->routes, ROUTE_COUNT * sizeof *api->routes);
    arena_fini(&api->route_memory);
    matcher_free(api->origins);
    lock_fini(&api->lock);
    if (api->of_tenants != NULL) api->of_tenants->ops->free(api->of_tenants);
    mem_free(NULL, api, sizeof *api);
}

void
api_set_limits(struct api *api, const struct api_limits *limits)
{
    lock_take(&api->lock);
    api->limits = *limits;
    lock_drop(&api->lock);
    /* A limit of memory leaves at most a sixteenth to the cache of results; writes and queries need
     * the rest. */
    uint64_t share = memory_bytes(api->options.memory) / 16, wanted = limits->query.cache_bytes;
    promql_cache_resize(api->results, share > 0 && share < wanted ? share : wanted);
}

const struct http_route *
api_routes(const struct api *api, size_t *ret_count)
{
    *ret_count = api->route_count;
    return api->routes;
}

void
api_set_server(struct api *api, struct http_server *server)
{
    atomic_store_explicit(&api->server, server, memory_order_release);
}

void
api_stop(struct api *api)
{
    atomic_store_explicit(&api->stopping, true, memory_order_relaxed);
}

void
api_cancel_reads(struct api *api)
{
    static const char reason[] = "query canceled: the server is shutting down";
    atomic_store_explicit(&api->reads_canceled, reason, memory_order_relaxed);
}
