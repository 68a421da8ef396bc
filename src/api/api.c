/*
 * api.c - the table of routes, and the threads that requests are handed to.
 *
 *      HTTP worker -> dispatch() -> run                          what never waits
 *                         |
 *                         +-> a queue -> its threads -> run      what reads, computes or waits
 *                                |
 *                                +-> refused                     too many wait, or for too long
 */
#include "api/internal.h"

#include <assert.h>
#include <stdio.h>

#include "model/tenant_name.h"

/* What a route needs besides its method. */
enum {
    STORED = 1 /* a store: with storage.mode=none nothing is kept */,
    ADMIN = 2 /* permission */
};

static const struct route {
    const char *path;
    unsigned methods;
    enum queue_name queue;
    void (*run)(struct api *api, struct http_request *request);
    unsigned needs;
} route_table[] = {
    {"/api/v1/write", HTTP_POST, QUEUE_NONE, write_run},
    {"/write", HTTP_POST, QUEUE_NONE, write_run},
    {"/receive", HTTP_POST, QUEUE_NONE, write_run},
    {"/api/v1/receive", HTTP_POST, QUEUE_NONE, write_run},
    {"/api/v1/push", HTTP_POST, QUEUE_NONE, write_run},
    {"/api/v1/prom/write", HTTP_POST, QUEUE_NONE, write_run},
    {"/api/v1/prom/remote/write", HTTP_POST, QUEUE_NONE, write_run},
    {"/api/v1/read", HTTP_POST, QUEUE_NONE, read_run, STORED},
    {"/read", HTTP_POST, QUEUE_NONE, read_run, STORED},
    {"/api/v1/prom/read", HTTP_POST, QUEUE_NONE, read_run, STORED},
    {"/api/v1/prom/remote/read", HTTP_POST, QUEUE_NONE, read_run, STORED},
    {"/api/v1/labels", HTTP_GET | HTTP_POST, QUEUE_READS, label_names_run, STORED},
    {"/api/v1/label/*", HTTP_GET, QUEUE_READS, label_values_run, STORED},
    {"/api/v1/series", HTTP_GET | HTTP_POST, QUEUE_READS, series_run, STORED},
    {"/api/v1/query", HTTP_GET | HTTP_POST, QUEUE_READS, query_run, STORED},
    {"/api/v1/query_range", HTTP_GET | HTTP_POST, QUEUE_READS, query_range_run, STORED},
    {"/api/v1/query_exemplars", HTTP_GET | HTTP_POST, QUEUE_READS, query_exemplars_run, STORED},
    {"/api/v1/format_query", HTTP_GET | HTTP_POST, QUEUE_READS, format_query_run},
    {"/api/v1/parse_query", HTTP_GET | HTTP_POST, QUEUE_READS, parse_query_run},
    {"/api/v1/rules", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/alerts", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/alertmanagers", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/targets", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/targets/metadata", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/scrape_pools", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/notifications", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/metadata", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/buildinfo", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/runtimeinfo", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/flags", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/config", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/tsdb", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/storage", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/destinations", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/remembered", HTTP_GET, QUEUE_READS, page_run}, /* it reads files */
    {"/api/v1/admin/tsdb/flush", HTTP_POST | HTTP_PUT, QUEUE_ADMIN, flush_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/merge", HTTP_POST | HTTP_PUT, QUEUE_MERGES, merge_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/snapshot", HTTP_POST | HTTP_PUT, QUEUE_ADMIN, snapshot_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/delete_series", HTTP_POST | HTTP_PUT, QUEUE_ADMIN, delete_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/clean_tombstones", HTTP_POST | HTTP_PUT, QUEUE_MERGES, clean_run,
     STORED | ADMIN},
    {"/api/v1/admin/destinations/*", HTTP_POST | HTTP_PUT, QUEUE_PAGES, destination_run, ADMIN},
    {"/federate", HTTP_GET, QUEUE_READS, federate_run, STORED},
    {"/prometheus/federate", HTTP_GET, QUEUE_READS, federate_run, STORED},
    {"/metrics", HTTP_GET, QUEUE_PAGES, metrics_run},
    {"/-/healthy", HTTP_GET, QUEUE_NONE, healthy_run},
    {"/-/ready", HTTP_GET, QUEUE_NONE, ready_run},
    {"/-/reload", HTTP_POST | HTTP_PUT, QUEUE_NONE, reload_run},
    {"/", HTTP_GET, QUEUE_NONE, root_run},
};

/* The API is also there below this, where Cortex and Mimir have it. */
static const char api_prefix[] = "/prometheus", api_begin[] = "/api/v1/";

enum {
    TABLE_COUNT = sizeof route_table / sizeof route_table[0],
    ROUTE_COUNT = 2 * TABLE_COUNT, /* at most */
    PREFIXED_BYTES = 96,
};

const char *
api_path(const struct http_request *request)
{
    const char *path = http_path(request);
    size_t size = sizeof api_prefix - 1;
    bool prefixed = strncmp(path, api_prefix, size) == 0 &&
                    strncmp(path + size, api_begin, sizeof api_begin - 1) == 0;
    return prefixed ? path + size : path;
}

/* --- tenants ---------------------------------------------------------------------------------- */

unsigned
tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
             struct why *why)
{
    if (!api->options.tenancy) {
        *ret_tenant = bytes_of_text("anonymous");
        return 0;
    }
    const char *name = http_header(request, "X-Scope-OrgID");
    if (name == NULL || name[0] == '\0') {
        why_set(why, ERR_INPUT, "missing header X-Scope-OrgID");
        return 401;
    }
    if (http_header_count(request, "X-Scope-OrgID") > 1) {
        /* Behind a proxy that adds one, the first would be the client's own. */
        why_set(why, ERR_INPUT, "header X-Scope-OrgID was sent more than once");
        return 400;
    }
    enum err e = tenant_name_check(bytes_of_text(name), why);
    if (e) {
        why_prefix(why, e, "invalid X-Scope-OrgID");
        return 400;
    }
    *ret_tenant = bytes_of_text(name);
    return 0;
}

bool
tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant)
{
    struct why why;
    unsigned refused = tenant_named(api, request, ret_tenant, &why);
    if (refused != 0) http_reply_text(request, refused, "%s\n", why.text);
    return refused == 0;
}

/* --- threads --------------------------------------------------------------------------------- */

static void
job_refuse(struct api *api, struct job *job, const char *text)
{
    struct why why;
    why_set(&why, ERR_AGAIN, "%s", text);
    if (job->refused != NULL)
        job->refused(api, job->request, &why);
    else
        reply_error(job->request, FOR_ANYTHING, ERR_AGAIN, &why);
}

void
run_later(struct api *api, enum queue_name name, struct http_request *request,
          void (*run)(struct api *api, struct http_request *request),
          void (*refused)(struct api *api, struct http_request *request, const struct why *why))
{
    struct job_queue *q = &api->queues[name];
    struct job made = {
        .request = request,
        .run = run,
        .refused = refused,
        .deadline_ns = env_monotonic_ns(api->options.env) + api->options.read_queue_timeout_ns,
    };
    struct job *job = mem_new(NULL, sizeof *job);
    if (job != NULL) {
        *job = made;
        lock_take(&api->lock);
        bool room = q->waiting < JOBS_MAX && !api->threads_stop;
        if (room) {
            if (q->last != NULL)
                q->last->next = job;
            else
                q->first = job;
            q->last = job;
            q->waiting++;
            cond_wake_one(&q->cond);
        }
        lock_drop(&api->lock);
        if (room) return;
        mem_free(NULL, job, sizeof *job);
    }
    job_refuse(api, &made, "too many requests are waiting");
}

static struct job *
job_take_locked(struct job_queue *q)
{
    struct job *job = q->first;
    if (job == NULL) return NULL;
    q->first = job->next;
    if (q->first == NULL) q->last = NULL;
    q->waiting--;
    job->next = NULL;
    return job;
}

bool
queue_work_locked(struct job_queue *q)
{
    struct api *api = q->api;
    struct job *job = job_take_locked(q);
    if (job == NULL) return false;
    q->running++;
    lock_drop(&api->lock);
    if (!q->of_gone_too && http_gone(job->request)) {
        http_reply_text(job->request, 499, "the client closed the connection\n");
    } else {
        job->run(api, job->request);
    }
    mem_free(NULL, job, sizeof *job);
    lock_take(&api->lock);
    q->running--;
    return true;
}

static void
queue_thread(void *queue)
{
    struct job_queue *q = queue;
    struct api *api = q->api;
    lock_take(&api->lock);
    for (;;) {
        if (queue_work_locked(q)) continue;
        if (api->threads_stop) break;
        cond_wait(&q->cond, &api->lock);
    }
    lock_drop(&api->lock);
}

static bool
is_client_gone(void *request)
{
    return http_gone(request);
}

void
query_control_begin(struct api *api, struct http_request *request, struct budget *budget,
                    struct query_control *ret)
{
    struct env *env = api->options.env;
    int64_t timeout_ns = atomic_load_explicit(&api->read_timeout_ns, memory_order_relaxed);
    ret->env = env;
    ret->budget = budget;
    ret->deadline_ns = env_monotonic_ns(env) + timeout_ns;
    ret->is_gone = is_client_gone;
    ret->gone_context = request;
    ret->series_max = atomic_load_explicit(&api->read_series_max, memory_order_relaxed);
    ret->bytes_max = atomic_load_explicit(&api->read_bytes_max, memory_order_relaxed);
}

void
limit_stream(struct api *api, struct http_request *request, const struct query_control *control)
{
    http_stream_limit(request, control->deadline_ns, &api->queues[QUEUE_READS].waiting);
}

/* One each, but for reads. */
static const char *const thread_names[QUEUE_COUNT] = {
    [QUEUE_READS] = "query",     [QUEUE_PAGES] = "pages", [QUEUE_WRITES] = "writes",
    [QUEUE_REPEATS] = "repeats", [QUEUE_ADMIN] = "admin", [QUEUE_MERGES] = "merges",
};

static enum err
threads_start(struct api *api)
{
    api->threads_max = api->options.read_concurrency + QUEUE_COUNT - 1;
    api->threads = mem_new(NULL, api->threads_max * sizeof *api->threads);
    if (api->threads == NULL) return ERR_NOMEM;
    for (unsigned q = 0; q < QUEUE_COUNT; q++) {
        uint32_t count = q == QUEUE_READS ? api->options.read_concurrency : 1;
        for (uint32_t i = 0; i < count; i++) {
            enum err e = env_thread_start(api->options.env, thread_names[q], queue_thread,
                                          &api->queues[q], &api->threads[api->thread_count]);
            if (e) return e;
            api->thread_count++;
        }
    }
    return OK;
}

void
api_tick(struct api *api)
{
    int64_t now = env_monotonic_ns(api->options.env);
    struct job *late = NULL, **tail = &late;
    lock_take(&api->lock);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        struct job_queue *q = &api->queues[i];
        while (q->first != NULL && q->first->deadline_ns <= now) {
            *tail = job_take_locked(q);
            tail = &(*tail)->next;
        }
    }
    lock_drop(&api->lock);
    for (struct job *job = late; job != NULL; job = late) {
        late = job->next;
        job_refuse(api, job, "timed out waiting for other requests to finish");
        mem_free(NULL, job, sizeof *job);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* Between the server and what a route runs. */
static void
dispatch(void *context, struct http_request *request)
{
    const struct route_of_api *r = context;
    if ((r->route->needs & STORED) && !r->api->options.stored) {
        http_reply_text(request, 501, "no samples are stored with storage.mode=none\n");
    } else if ((r->route->needs & ADMIN) && !r->api->options.admin) {
        reply_problem(request, 503, "unavailable",
                      "the admin API is disabled; start with --web.enable-admin-api");
    } else if (r->route->queue == QUEUE_NONE) {
        r->route->run(r->api, request);
    } else {
        run_later(r->api, r->route->queue, request, r->route->run, NULL);
    }
}

static void
route_add(struct api *api, const struct route *route, struct route_of_api *context,
          const char *path)
{
    api->routes[api->route_count++] = (struct http_route){
        .path = path,
        .methods = route->methods,
        .handler = dispatch,
        .encodings = "*", /* judged by what runs, whose answers say more */
        .context = context,
    };
}

static enum err
routes_make(struct api *api)
{
    api->routes = mem_new(NULL, ROUTE_COUNT * sizeof *api->routes);
    api->route_contexts = mem_new(NULL, TABLE_COUNT * sizeof *api->route_contexts);
    api->route_paths = mem_new(NULL, TABLE_COUNT * PREFIXED_BYTES);
    if (api->routes == NULL || api->route_contexts == NULL || api->route_paths == NULL) {
        return ERR_NOMEM;
    }
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        const char *path = route_table[i].path;
        char *prefixed = api->route_paths + (size_t)i * PREFIXED_BYTES;
        api->route_contexts[i] = (struct route_of_api){api, &route_table[i]};
        route_add(api, &route_table[i], &api->route_contexts[i], path);
        if (strncmp(path, api_begin, sizeof api_begin - 1) != 0) continue;
        int size = snprintf(prefixed, PREFIXED_BYTES, "%s%s", api_prefix, path);
        assert(size < PREFIXED_BYTES);
        route_add(api, &route_table[i], &api->route_contexts[i], prefixed);
    }
    return OK;
}

enum err
api_new(const struct api_options *options, const struct api_limits *limits, struct api **ret_api,
        struct why *why)
{
    struct api *api = mem_new(NULL, sizeof *api);
    if (api == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    api->options = *options;
    lock_init(&api->lock, LOCK_RANK_API);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_init(&api->queues[i].cond);
        api->queues[i].api = api;
    }
    api->queues[QUEUE_REPEATS].of_gone_too = true;
    budget_init(&api->write_budget, "write", 0, options->memory);
    budget_init(&api->read_budget, "read", 0, options->memory);
    api_set_limits(api, limits);
    enum err e = routes_make(api);
    if (e == OK) e = threads_start(api);
    if (e) {
        api_free(api);
        return why_set(why, e, "cannot start the query threads");
    }
    api->collector = (struct metric_collector){.collect = store_metrics, .context = api};
    metric_register_collector(&api->collector);
    write_metrics_register();
    read_metrics_register();
    *ret_api = api;
    return OK;
}

void
api_free(struct api *api)
{
    if (api == NULL) return;
    metric_unregister(&api->collector.link);
    lock_take(&api->lock);
    api->threads_stop = true;
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_wake_all(&api->queues[i].cond);
    }
    lock_drop(&api->lock);
    for (uint32_t i = 0; i < api->thread_count; i++) {
        env_thread_join(api->options.env, api->threads[i]);
    }
    assert(api->waiting_first == NULL && api->doubtful == NULL);
    write_memories_free(api);
    mem_free(NULL, api->threads, api->threads_max * sizeof *api->threads);
    mem_free(NULL, api->routes, ROUTE_COUNT * sizeof *api->routes);
    mem_free(NULL, api->route_contexts, TABLE_COUNT * sizeof *api->route_contexts);
    mem_free(NULL, api->route_paths, TABLE_COUNT * PREFIXED_BYTES);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_fini(&api->queues[i].cond);
    }
    lock_fini(&api->lock);
    mem_free(NULL, api, sizeof *api);
}

void
api_set_limits(struct api *api, const struct api_limits *limits)
{
    atomic_store_explicit(&api->read_samples_max, limits->read_samples_max, memory_order_relaxed);
    atomic_store_explicit(&api->read_series_max, limits->read_series_max, memory_order_relaxed);
    atomic_store_explicit(&api->read_bytes_max, limits->read_bytes_max, memory_order_relaxed);
    atomic_store_explicit(&api->read_timeout_ns, limits->read_timeout_ns, memory_order_relaxed);
    atomic_store_explicit(&api->query_lookback_ms, limits->query_lookback_ms, memory_order_relaxed);
    atomic_store_explicit(&api->query_points_max, limits->query_points_max, memory_order_relaxed);
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
