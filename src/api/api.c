/* api.c - routes, tenants, errors, and the query threads. */
#include "api/internal.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

static const struct {
    const char *path;
    unsigned methods;
    void (*handler)(void *context, struct http_request *request);
    bool stored; /* asks for what is stored */
} route_table[] = {
    {"/api/v1/write", HTTP_POST, write_handler},
    {"/write", HTTP_POST, write_handler},
    {"/receive", HTTP_POST, write_handler},
    {"/api/v1/receive", HTTP_POST, write_handler},
    {"/api/v1/push", HTTP_POST, write_handler},
    {"/api/v1/prom/write", HTTP_POST, write_handler},
    {"/api/v1/prom/remote/write", HTTP_POST, write_handler},
    {"/api/v1/read", HTTP_POST, read_handler, true},
    {"/read", HTTP_POST, read_handler, true},
    {"/api/v1/prom/read", HTTP_POST, read_handler, true},
    {"/api/v1/prom/remote/read", HTTP_POST, read_handler, true},
    {"/api/v1/labels", HTTP_GET | HTTP_POST, label_names_handler, true},
    {"/api/v1/label/*", HTTP_GET, label_values_handler, true},
    {"/api/v1/series", HTTP_GET | HTTP_POST, series_handler, true},
    {"/api/v1/metadata", HTTP_GET, status_handler},
    {"/api/v1/status/buildinfo", HTTP_GET, status_handler},
    {"/api/v1/status/runtimeinfo", HTTP_GET, status_handler},
    {"/api/v1/status/flags", HTTP_GET, status_handler},
    {"/api/v1/status/config", HTTP_GET, status_handler},
    {"/api/v1/status/tsdb", HTTP_GET, status_handler},
    {"/api/v1/status/storage", HTTP_GET, status_handler},
    {"/api/v1/status/destinations", HTTP_GET, status_handler},
    {"/api/v1/status/remembered", HTTP_GET, remembered_handler},
    {"/api/v1/admin/tsdb/flush", HTTP_POST | HTTP_PUT, admin_flush_handler, true},
    {"/api/v1/admin/tsdb/merge", HTTP_POST | HTTP_PUT, admin_merge_handler, true},
    {"/api/v1/admin/tsdb/snapshot", HTTP_POST | HTTP_PUT, admin_snapshot_handler, true},
    {"/api/v1/admin/tsdb/delete_series", HTTP_POST | HTTP_PUT, admin_delete_handler, true},
    {"/api/v1/admin/tsdb/clean_tombstones", HTTP_POST | HTTP_PUT, admin_clean_handler, true},
    {"/api/v1/admin/destinations/*", HTTP_POST | HTTP_PUT, admin_destination_handler},
    {"/metrics", HTTP_GET, metrics_handler},
    {"/-/healthy", HTTP_GET, healthy_handler},
    {"/-/ready", HTTP_GET, ready_handler},
    {"/-/reload", HTTP_POST | HTTP_PUT, reload_handler},
    {"/", HTTP_GET, root_handler},
};

enum { ROUTE_COUNT = sizeof route_table / sizeof route_table[0] };

/* --- errors ----------------------------------------------------------------------------------- */

/*
 * Somebody's data hangs on this table: a sender drops what gets 4xx and repeats what gets 5xx.
 */
unsigned
status_of(enum err e)
{
    static const unsigned status[ERR_COUNT] = {
        [OK] = 204,        [ERR_INPUT] = 400,       [ERR_LIMIT] = 400,    [ERR_AGAIN] = 503,
        [ERR_NOMEM] = 503, [ERR_FULL] = 503,        [ERR_MISSING] = 404,  [ERR_CORRUPT] = 500,
        [ERR_IO] = 500,    [ERR_UNSUPPORTED] = 500, [ERR_CANCELED] = 503,
    };
    assert((unsigned)e < ERR_COUNT);
    return status[e];
}

void
reply_error(struct http_request *request, enum err e, const struct why *why)
{
    char retry[16];
    char text[sizeof why->text + 2];
    snprintf(retry, sizeof retry, "%d", RETRY_AFTER_S);
    int n = snprintf(text, sizeof text, "%s\n", why->text[0] == '\0' ? err_word(e) : why->text);
    struct http_answer answer = {
        .status = status_of(e),
        .content_type = "text/plain; charset=utf-8",
        .body = bytes_of(text, (size_t)n),
    };
    if (e == ERR_CORRUPT) { /* no other answer will come: whoever repeats what fails need not */
        answer.headers[0] = (struct http_answer_header){"X-Firekeep-Error", "damaged"};
    }
    if (answer.status == 503) {
        answer.headers[0] = (struct http_answer_header){"Retry-After", retry};
    }
    http_reply(request, &answer);
}

/* --- tenants ---------------------------------------------------------------------------------- */

static bool
tenant_is_valid(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > TENANT_NAME_BYTES_MAX || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        return false;
    }
    for (const char *p = name; *p != '\0'; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        bool digit = *p >= '0' && *p <= '9';
        if (!letter && !digit && strchr("!-_.*'()", *p) == NULL) return false;
    }
    return true;
}

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
        why_set(why, ERR_INPUT, "the header X-Scope-OrgID is missing");
        return 401;
    }
    if (http_header_count(request, "X-Scope-OrgID") > 1) {
        /* Behind a proxy that adds one, the first would be the client's own. */
        why_set(why, ERR_INPUT, "X-Scope-OrgID was sent more than once");
        return 400;
    }
    if (!tenant_is_valid(name)) {
        why_set(why, ERR_INPUT,
                "X-Scope-OrgID: at most %d letters, digits and ! - _ . * ' ( ) name a tenant",
                TENANT_NAME_BYTES_MAX);
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

/* --- query threads ---------------------------------------------------------------------------- */

static void
refuse(struct api *api, struct http_request *request, const struct why *why)
{
    (void)api;
    reply_error(request, ERR_AGAIN, why);
}

static void
jobs_refuse(struct api *api, struct job *list, const char *text)
{
    while (list != NULL) {
        struct job *next = list->next;
        struct why why;
        why_set(&why, ERR_AGAIN, "%s", text);
        list->refuse(api, list->request, &why);
        mem_free(NULL, list, sizeof *list);
        list = next;
    }
}

static void
queue_put(struct api *api, enum queue_name name, struct http_request *request,
          void (*run)(struct api *api, struct http_request *request),
          void (*refused)(struct api *api, struct http_request *request, const struct why *why))
{
    struct job_queue *q = &api->queues[name];
    struct job *job = mem_new(NULL, sizeof *job);
    struct why why;
    if (job != NULL) {
        job->request = request;
        job->run = run;
        job->refuse = refused;
        job->deadline_ns = env_monotonic_ns(api->options.env) + api->options.read_queue_timeout_ns;
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
    refused(api, request, (why_set(&why, ERR_AGAIN, "too many requests wait"), &why));
}

void
read_later(struct api *api, struct http_request *request,
           void (*run)(struct api *api, struct http_request *request))
{
    queue_put(api, QUEUE_READS, request, run, refuse);
}

void
run_later(struct api *api, struct http_request *request,
          void (*run)(struct api *api, struct http_request *request))
{
    queue_put(api, QUEUE_PAGES, request, run, refuse);
}

void
admin_later(struct api *api, struct http_request *request,
            void (*run)(struct api *api, struct http_request *request))
{
    queue_put(api, QUEUE_ADMIN, request, run, refuse);
}

void
merge_later(struct api *api, struct http_request *request,
            void (*run)(struct api *api, struct http_request *request))
{
    queue_put(api, QUEUE_MERGES, request, run, refuse);
}

void
write_later(struct api *api, struct http_request *request,
            void (*run)(struct api *api, struct http_request *request),
            void (*refused)(struct api *api, struct http_request *request, const struct why *why))
{
    queue_put(api, QUEUE_WRITES, request, run, refused);
}

void
repeats_later(struct api *api, struct http_request *request,
              void (*run)(struct api *api, struct http_request *request),
              void (*refused)(struct api *api, struct http_request *request, const struct why *why))
{
    queue_put(api, QUEUE_REPEATS, request, run, refused);
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

static void
work_on(struct api *api, struct job_queue *q)
{
    lock_take(&api->lock);
    for (;;) {
        struct job *job = job_take_locked(q);
        if (job == NULL) {
            if (api->threads_stop) break;
            cond_wait(&q->cond, &api->lock);
            continue;
        }
        q->running++;
        lock_drop(&api->lock);
        if (!q->of_gone_too && http_gone(job->request)) {
            http_reply_text(job->request, 499, "the client is gone\n");
        } else {
            job->run(api, job->request);
        }
        mem_free(NULL, job, sizeof *job);
        lock_take(&api->lock);
        q->running--;
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
    ret->bytes_max = atomic_load_explicit(&api->read_bytes_max, memory_order_relaxed);
}

static void
query_thread(void *context)
{
    struct api *api = context;
    work_on(api, &api->queues[QUEUE_READS]);
}

static void
pages_thread(void *context)
{
    struct api *api = context;
    work_on(api, &api->queues[QUEUE_PAGES]);
}

static void
writes_thread(void *context)
{
    struct api *api = context;
    work_on(api, &api->queues[QUEUE_WRITES]);
}

static void
repeats_thread(void *context)
{
    struct api *api = context;
    work_on(api, &api->queues[QUEUE_REPEATS]);
}

static void
admin_thread(void *context)
{
    struct api *api = context;
    work_on(api, &api->queues[QUEUE_ADMIN]);
}

static void
merges_thread(void *context)
{
    struct api *api = context;
    work_on(api, &api->queues[QUEUE_MERGES]);
}

/* One each, beside those for reads. */
static const struct {
    const char *name;
    void (*run)(void *context);
} single_threads[] = {{"pages", pages_thread},
                      {"writes", writes_thread},
                      {"repeats", repeats_thread},
                      {"admin", admin_thread},
                      {"merges", merges_thread}};

enum { SINGLE_COUNT = sizeof single_threads / sizeof single_threads[0] };

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
    jobs_refuse(api, late, "no place among the running requests became free in time");
}

/* --- life ------------------------------------------------------------------------------------- */

static void
nothing_stored_handler(void *context, struct http_request *request)
{
    (void)context;
    http_reply_text(request, 501, "storage.mode=none: nothing is stored here\n");
}

static enum err
routes_make(struct api *api)
{
    api->routes = mem_new(NULL, ROUTE_COUNT * sizeof *api->routes);
    if (api->routes == NULL) return ERR_NOMEM;
    for (unsigned i = 0; i < ROUTE_COUNT; i++) {
        api->routes[i] = (struct http_route){
            .path = route_table[i].path,
            .methods = route_table[i].methods,
            .handler = route_table[i].stored && !api->options.stored ? nothing_stored_handler
                                                                     : route_table[i].handler,
            .encodings = "*", /* judged by the handler, whose answers say more */
            .context = api,
        };
    }
    api->route_count = ROUTE_COUNT;
    return OK;
}

static enum err
threads_start(struct api *api)
{
    uint32_t reads = api->options.read_concurrency;
    api->threads = mem_new(NULL, (reads + SINGLE_COUNT) * sizeof *api->threads);
    if (api->threads == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < reads + SINGLE_COUNT; i++) {
        const char *name = i < reads ? "query" : single_threads[i - reads].name;
        void (*run)(void *context) = i < reads ? query_thread : single_threads[i - reads].run;
        enum err e = env_thread_start(api->options.env, name, run, api, &api->threads[i]);
        if (e) return e;
        api->thread_count++;
    }
    return OK;
}

enum err
api_new(const struct api_options *options, const struct api_limits *limits, struct api **ret_api,
        struct why *why)
{
    struct api *api = mem_new(NULL, sizeof *api);
    if (api == NULL) return why_set(why, ERR_NOMEM, "no memory to start");
    api->options = *options;
    lock_init(&api->lock, LOCK_RANK_API);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_init(&api->queues[i].cond);
    }
    api->queues[QUEUE_REPEATS].of_gone_too = true;
    budget_init(&api->write_budget, "write", 0, options->memory);
    budget_init(&api->read_budget, "read", 0, options->memory);
    api_set_limits(api, limits);
    enum err e = routes_make(api);
    if (e == OK) e = threads_start(api);
    if (e) {
        api_free(api);
        return why_set(why, e, "the query threads could not be started");
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
    writers_free(api);
    mem_free(NULL, api->threads,
             (api->options.read_concurrency + SINGLE_COUNT) * sizeof *api->threads);
    mem_free(NULL, api->routes, ROUTE_COUNT * sizeof *api->routes);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_fini(&api->queues[i].cond);
    };
    lock_fini(&api->lock);
    mem_free(NULL, api, sizeof *api);
}

void
api_set_limits(struct api *api, const struct api_limits *limits)
{
    atomic_store_explicit(&api->read_samples_max, limits->read_samples_max, memory_order_relaxed);
    atomic_store_explicit(&api->read_bytes_max, limits->read_bytes_max, memory_order_relaxed);
    atomic_store_explicit(&api->read_timeout_ns, limits->read_timeout_ns, memory_order_relaxed);
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
