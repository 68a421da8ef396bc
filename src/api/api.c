/*
 * api.c - the table of routes, and the queues and threads of requests.
 *
 *      HTTP worker -> dispatch() -> run                          never waits
 *                         |
 *                         +-> a queue -> its threads -> run      reads, computes or waits
 *                                |
 *                                +-> refused                     too many wait, or for too long
 *
 * The invariants of a queue are those of struct job_queue, in handler.h. Beside them:
 *
 * 4. A query is in api->helps as long as it wants more threads; it leaves when it has as many as it
 *    asked for, or is dismissed. `running` counts the threads that help it.
 */
#include "api/handler.h"
#include "api/request/form.h"

#include <assert.h>
#include <stdio.h>

#include "model/tenant_name.h"
#include "views/stack.h"
#include "views/tenants.h"

/* Conditions of a route. */
enum {
    STORED = 1 /* needs a store: with storage.mode=none nothing is kept */,
    ADMIN = 2 /* needs the admin API */,
    READABLE = 4 /* needs a store or a source */,
    RULER = 8 /* exists if the ruler API is on */
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
    {"/api/v1/read", HTTP_POST, QUEUE_NONE, read_run, READABLE},
    {"/read", HTTP_POST, QUEUE_NONE, read_run, READABLE},
    {"/api/v1/prom/read", HTTP_POST, QUEUE_NONE, read_run, READABLE},
    {"/api/v1/prom/remote/read", HTTP_POST, QUEUE_NONE, read_run, READABLE},
    {"/api/v1/labels", HTTP_GET | HTTP_POST, QUEUE_READS, label_names_run, READABLE},
    {"/api/v1/label/*", HTTP_GET, QUEUE_READS, label_values_run, READABLE},
    {"/api/v1/series", HTTP_GET | HTTP_POST, QUEUE_READS, series_run, READABLE},
    {"/api/v1/search/metric_names", HTTP_GET | HTTP_POST, QUEUE_READS, search_metric_names_run,
     READABLE},
    {"/api/v1/search/label_names", HTTP_GET | HTTP_POST, QUEUE_READS, search_label_names_run,
     READABLE},
    {"/api/v1/search/label_values", HTTP_GET | HTTP_POST, QUEUE_READS, search_label_values_run,
     READABLE},
    {"/api/v1/query", HTTP_GET | HTTP_POST, QUEUE_QUERIES, query_run, READABLE},
    {"/api/v1/query_range", HTTP_GET | HTTP_POST, QUEUE_QUERIES, query_range_run, READABLE},
    {"/api/v1/explain", HTTP_GET | HTTP_POST, QUEUE_QUERIES, explain_run, READABLE},
    {"/api/v1/status/active_queries", HTTP_GET, QUEUE_PAGES, active_queries_run},
    {"/api/v1/status/active_queries/*", HTTP_DELETE, QUEUE_PAGES, query_cancel_run},
    {"/api/v1/status/top_queries", HTTP_GET, QUEUE_PAGES, top_queries_run},
    {"/api/v1/query_exemplars", HTTP_GET | HTTP_POST, QUEUE_READS, query_exemplars_run, READABLE},
    {"/api/v1/format_query", HTTP_GET | HTTP_POST, QUEUE_READS, format_query_run},
    {"/api/v1/parse_query", HTTP_GET | HTTP_POST, QUEUE_READS, parse_query_run},
    {"/api/v1/rules", HTTP_GET, QUEUE_PAGES, rules_run},
    {"/api/v1/alerts", HTTP_GET, QUEUE_PAGES, alerts_run},
    {"/api/v1/alertmanagers", HTTP_GET, QUEUE_PAGES, alertmanagers_run},
    {"/api/v1/targets", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/targets/metadata", HTTP_GET, QUEUE_PAGES, targets_run},
    {"/api/v1/targets/relabel_steps", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/scrape_pools", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/notifications", HTTP_GET, QUEUE_NONE, targets_run},
    {"/api/v1/notifications/live", HTTP_GET, QUEUE_NONE, notifications_live_run},
    {"/api/v1/metadata", HTTP_GET, QUEUE_READS, page_run},
    {"/api/v1/features", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/buildinfo", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/runtimeinfo", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/flags", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/config", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/tsdb", HTTP_GET, QUEUE_READS, page_run},
    {"/api/v1/status/tsdb/blocks", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/walreplay", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/self_metrics", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/storage", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/destinations", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/sources", HTTP_GET, QUEUE_PAGES, page_run},
    {"/api/v1/status/remembered", HTTP_GET, QUEUE_READS, page_run}, /* reads files */
    {"/api/v1/admin/tsdb/flush", HTTP_POST | HTTP_PUT, QUEUE_ADMIN, flush_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/merge", HTTP_POST | HTTP_PUT, QUEUE_MERGES, merge_run, STORED | ADMIN},
    {"/api/v1/admin/tsdb/snapshot", HTTP_POST | HTTP_PUT, QUEUE_ADMIN, snapshot_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/delete_series", HTTP_POST | HTTP_PUT, QUEUE_ADMIN, delete_run,
     STORED | ADMIN},
    {"/api/v1/admin/tsdb/clean_tombstones", HTTP_POST | HTTP_PUT, QUEUE_MERGES, clean_run,
     STORED | ADMIN},
    {"/api/v1/admin/destinations/*", HTTP_POST | HTTP_PUT, QUEUE_PAGES, destination_run, ADMIN},
    {"/config/v1/rules", HTTP_GET, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/config/v1/rules/*", HTTP_GET | HTTP_POST | HTTP_DELETE, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/prometheus/config/v1/rules", HTTP_GET, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/prometheus/config/v1/rules/*", HTTP_GET | HTTP_POST | HTTP_DELETE, QUEUE_CHANGES,
     ruler_api_run, RULER},
    {"/api/prom/rules", HTTP_GET, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/api/prom/rules/*", HTTP_GET | HTTP_POST | HTTP_DELETE, QUEUE_CHANGES, ruler_api_run, RULER},
    {"/federate", HTTP_GET, QUEUE_READS, federate_run, READABLE},
    {"/prometheus/federate", HTTP_GET, QUEUE_READS, federate_run, READABLE},
    {"/api/v1/*", HTTP_OPTIONS, QUEUE_NONE, no_run},
    {"/metrics", HTTP_GET, QUEUE_PAGES, metrics_run},
    {"/-/healthy", HTTP_GET, QUEUE_NONE, healthy_run},
    {"/health", HTTP_GET, QUEUE_NONE, health_run},
    {"/version", HTTP_GET, QUEUE_PAGES, version_run},
    {"/-/ready", HTTP_GET, QUEUE_NONE, ready_run},
    {"/-/reload", HTTP_POST | HTTP_PUT, QUEUE_NONE, reload_run},
    {"/", HTTP_GET, QUEUE_NONE, root_run},
};

/* The API is also served below this prefix, where Cortex and Mimir have it. */
static const char api_prefix[] = "/prometheus", api_begin[] = "/api/v1/";

enum {
    TABLE_COUNT = sizeof route_table / sizeof route_table[0],
    ROUTE_COUNT = 2 * TABLE_COUNT + 2, /* at most */
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

/* Repeats the origin if it is allowed, like Prometheus. */
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
    bool fine = strchr(origin, '\t') == NULL; /* is not sent in answers */
    if (fine && matcher_matches(api->origins, bytes_of_text(origin))) {
        http_answer_also(request, "Access-Control-Allow-Origin", origin);
    }
}

/* --- tenants ---------------------------------------------------------------------------------- */

static unsigned
name_tenant(const struct api *api, struct http_request *request,
            enum err (*check)(struct bytes name, struct why *why), struct bytes *ret_tenant,
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
        /* If a proxy adds the header, the first is the client's own. */
        why_set(why, ERR_INPUT, "header X-Scope-OrgID was sent more than once");
        return 400;
    }
    enum err e = check(bytes_of_text(name), why);
    if (e) {
        why_prefix(why, e, "invalid X-Scope-OrgID");
        return 400;
    }
    *ret_tenant = bytes_of_text(name);
    return 0;
}

unsigned
tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
             struct why *why)
{
    return name_tenant(api, request, tenants_check, ret_tenant, why);
}

enum err
read_asked(const struct api *api, struct http_request *request, struct budget *budget,
           struct form *ret_form, struct bytes *ret_tenant, unsigned *ret_refused, struct why *why)
{
    *ret_form = (struct form){.request = request};
    *ret_refused = tenant_named(api, request, ret_tenant, why);
    if (*ret_refused != 0) return OK;
    enum err e = form_read(request, budget, ret_form, why);
    if (e) return e;
    *ret_tenant = arena_copy(&ret_form->arena, *ret_tenant);
    return ret_tenant->at == NULL ? why_set(why, ERR_NOMEM, "not enough memory for the query") : OK;
}

unsigned
one_tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
                 struct why *why)
{
    return name_tenant(api, request, tenant_name_check, ret_tenant, why);
}

static bool
is_named(struct http_request *request, unsigned refused, const struct why *why)
{
    if (refused != 0) reply_problem(request, refused, "bad_data", why->text);
    return refused == 0;
}

bool
tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant)
{
    struct why why;
    return is_named(request, tenant_named(api, request, ret_tenant, &why), &why);
}

bool
one_tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant)
{
    struct why why;
    return is_named(request, one_tenant_named(api, request, ret_tenant, &why), &why);
}

/* --- threads --------------------------------------------------------------------------------- */

static void
job_refuse(struct api *api, struct job *job, enum err e, const char *text)
{
    struct why why;
    why_set(&why, e, "%s", text);
    if (job->refused != NULL)
        job->refused(api, job->request, e, &why);
    else
        reply_error(job->request, FOR_ANYTHING, e, &why);
}

static void
refuse_in_json(struct api *api, struct http_request *request, enum err e, const struct why *why)
{
    (void)api;
    reply_problem_of(request, FOR_QUERY, e, why);
}

/* Asserts the invariants of a queue. O(n): in debug builds only. */
static void
queue_validate_locked(const struct job_queue *q)
{
#ifdef LOCK_CHECK
    uint32_t count = 0;
    for (const struct job *j = q->first; j != NULL; j = j->next, count++) {
        assert(j->next == NULL || j->round <= j->next->round); /* invariant 1 */
        assert(j->round >= q->round);                          /* invariant 2 */
        assert(&q->api->queues[j->queue] == q);
    }
    assert(count == q->waiting); /* invariant 3 */
#else
    (void)q;
#endif
}

/*
 * Tenants take turns: a job is put after the last job of its tenant and after one of each other
 * tenant, even if its tenant had the last turn. False: too many jobs of this tenant, or of all
 * tenants, wait.
 */
static bool
job_add_locked(struct job_queue *q, struct job *job)
{
    struct job **place = &q->first;
    uint32_t of_tenant = 0;
    assert(lock_is_mine(&q->api->lock));
    assert(q->waiting <= JOBS_MAX); /* invariant 3 */
    job->round = q->round + 1;
    for (struct job *j = q->first; j != NULL; j = j->next) {
        if (!bytes_equal(j->tenant, job->tenant)) continue;
        of_tenant++;
        job->round = j->round + 1;
    }
    if (q->waiting == JOBS_MAX) return false;
    if (job->in_turns && of_tenant == JOBS_OF_TENANT_MAX) return false;
    while (*place != NULL && (*place)->round <= job->round) {
        place = &(*place)->next;
    }
    assert(*place == NULL || (*place)->round > job->round); /* invariant 1 */
    assert(job->round > q->round);                          /* invariant 2 */
    job->next = *place;
    *place = job;
    q->waiting++;
    queue_validate_locked(q);
    return true;
}

void
run_later(struct api *api, enum queue_name name, struct http_request *request,
          void (*run)(struct api *api, struct http_request *request),
          void (*refused)(struct api *api, struct http_request *request, enum err e,
                          const struct why *why))
{
    assert(name < QUEUE_COUNT);
    struct job_queue *q = &api->queues[name];
    int64_t timeout_ns = name == QUEUE_QUERIES ? api->options.query_queue_timeout_ns
                                               : api->options.read_queue_timeout_ns;
    bool in_turns = api->options.tenancy && (name == QUEUE_QUERIES || name == QUEUE_READS);
    const char *tenant = in_turns ? http_header(request, "X-Scope-OrgID") : NULL;
    struct job made = {
        .request = request,
        .run = run,
        .refused = refused,
        .deadline_ns = env_monotonic_ns(api->options.env) + timeout_ns,
        .queue = name,
        .tenant = tenant == NULL ? bytes_of("", 0) : tenants_first(bytes_of_text(tenant)),
        .in_turns = in_turns,
    };
    struct job *job = mem_new(NULL, sizeof *job);
    if (job != NULL) {
        *job = made;
        lock_take(&api->lock);
        bool room = !api->threads_stop && job_add_locked(q, job);
        if (room) cond_wake_one(&q->cond);
        lock_drop(&api->lock);
        if (room) return;
        mem_free(NULL, job, sizeof *job);
    }
    job_refuse(api, &made, ERR_AGAIN, "too many requests are waiting");
}

static struct job *
job_take_locked(struct job_queue *q)
{
    struct job *job = q->first;
    assert(lock_is_mine(&q->api->lock));
    assert((job == NULL) == (q->waiting == 0)); /* invariant 3 */
    if (job == NULL) return NULL;
    assert(job->round >= q->round); /* invariant 2 */
    assert(job->queue == (enum queue_name)(q - q->api->queues));
    q->first = job->next;
    q->waiting--;
    q->round = job->round;
    queue_validate_locked(q);
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
    if (!q->runs_abandoned && http_gone(job->request)) {
        http_reply_text(job->request, 499, "the client closed the connection\n");
    } else {
        job->run(api, job->request);
    }
    mem_free(NULL, job, sizeof *job);
    lock_take(&api->lock);
    assert(q->running > 0); /* invariant 3 */
    q->running--;
    return true;
}

/* --- query threads that help others ----------------------------------------------------------- */

static void
help_ask(void *context, struct promql_help *help)
{
    struct api *api = context;
    lock_take(&api->lock);
    if (help->wanted++ == 0) {
        help->next = api->helps;
        api->helps = help;
    }
    cond_wake_one(&api->queues[QUEUE_QUERIES].cond);
    lock_drop(&api->lock);
}

static void
help_dismiss(void *context, struct promql_help *help)
{
    struct api *api = context;
    lock_take(&api->lock);
    for (struct promql_help **place = &api->helps; *place != NULL; place = &(*place)->next) {
        if (*place != help) continue;
        *place = help->next;
        break;
    }
    help->wanted = 0;
    while (help->running > 0) {
        cond_wait(&api->help_cond, &api->lock);
    }
    lock_drop(&api->lock);
}

static bool
others_wait(void *context)
{
    struct api *api = context;
    return atomic_load_explicit(&api->queues[QUEUE_QUERIES].waiting, memory_order_relaxed) > 0;
}

struct promql_helpers
query_helpers(struct api *api)
{
    return (struct promql_helpers){help_ask, help_dismiss, others_wait, api};
}

/* Helps a query. False: none wants help. */
static bool
help_locked(struct api *api)
{
    struct promql_help *help = api->helps;
    assert(lock_is_mine(&api->lock));
    if (help == NULL) return false;
    assert(help->wanted > 0); /* invariant 4 */
    if (--help->wanted == 0) api->helps = help->next;
    help->running++;
    lock_drop(&api->lock);
    help->work(help);
    lock_take(&api->lock);
    assert(help->running > 0); /* invariant 4 */
    if (--help->running == 0) cond_wake_all(&api->help_cond);
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
        if (q == &api->queues[QUEUE_QUERIES] && help_locked(api)) continue;
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
    struct api_limits limits = api_limits_now(api);
    ret->env = env;
    ret->budget = budget;
    ret->deadline_ns = env_monotonic_ns(env) + limits.read_timeout_ns;
    ret->is_gone = is_client_gone;
    ret->gone_context = request;
    ret->all_canceled = &api->reads_canceled;
    ret->series_max = limits.read_series_max;
    ret->bytes_max = limits.read_bytes_max;
    ret->names = &limits_of_reads;
}

void
limit_stream(struct api *api, enum queue_name queue, struct http_request *request,
             const struct query_control *control)
{
    http_stream_limit(request, control->deadline_ns, &api->queues[queue].waiting);
}

/* Each queue has one thread, but reads and queries have several. */
static const char *const thread_names[QUEUE_COUNT] = {
    [QUEUE_READS] = "read",    [QUEUE_QUERIES] = "query",   [QUEUE_PAGES] = "pages",
    [QUEUE_WRITES] = "writes", [QUEUE_REPEATS] = "repeats", [QUEUE_ADMIN] = "admin",
    [QUEUE_MERGES] = "merges", [QUEUE_CHANGES] = "changes",
};

static enum err
threads_start(struct api *api)
{
    const struct api_options *o = &api->options;
    api->threads_max = o->read_concurrency + o->query_concurrency + QUEUE_COUNT - 2;
    api->threads = mem_new(NULL, api->threads_max * sizeof *api->threads);
    if (api->threads == NULL) return ERR_NOMEM;
    for (unsigned q = 0; q < QUEUE_COUNT; q++) {
        uint32_t count = q == QUEUE_READS     ? o->read_concurrency
                         : q == QUEUE_QUERIES ? o->query_concurrency
                                              : 1;
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
    struct job *late = NULL;
    lock_take(&api->lock);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        struct job **place = &api->queues[i].first;
        while (*place != NULL) {
            struct job *job = *place;
            if (job->deadline_ns > now) {
                place = &job->next;
                continue;
            }
            *place = job->next;
            assert(api->queues[i].waiting > 0); /* invariant 3 */
            api->queues[i].waiting--;
            job->next = late;
            late = job;
        }
    }
    lock_drop(&api->lock);
    for (struct job *job = late; job != NULL; job = late) {
        late = job->next;
        job_refuse(api, job, ERR_CANCELED,
                   job->queue == QUEUE_QUERIES
                       ? "timed out waiting for other requests to finish (query.queue_timeout)"
                       : "timed out waiting for other requests to finish (read.queue_timeout)");
        mem_free(NULL, job, sizeof *job);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void
refuse_unstored(struct http_request *request, bool is_json, const char *text)
{
    if (is_json)
        reply_problem(request, 501, "unavailable", text);
    else
        http_reply_text(request, 501, "%s\n", text);
}

static bool
can_read(const struct api *api)
{
    return api->options.stored || api->options.can_read(api->options.context);
}

/* Handles a request: checks the conditions of its route, then runs it or queues it. */
static void
dispatch(void *context, struct http_request *request)
{
    const struct route_of_api *r = context;
    if (r->is_json) allow_origin(r->api, request);
    if (http_method(request) == HTTP_OPTIONS) {
        http_reply(request, &(struct http_answer){.status = 204});
    } else if ((r->route->needs & STORED) && !r->api->options.stored) {
        refuse_unstored(request, r->is_json, "no samples are stored with storage.mode=none");
    } else if ((r->route->needs & READABLE) && !can_read(r->api)) {
        refuse_unstored(request, r->is_json,
                        "no samples are stored with storage.mode=none, and there are no sources");
    } else if ((r->route->needs & ADMIN) && !r->api->options.admin) {
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
        .methods = route->methods | (of_api ? HTTP_OPTIONS : 0),
        .handler = dispatch,
        .encodings = "*", /* handlers judge it, and explain more in their answers */
        .context = context,
        .errors_in_json = context->is_json,
    };
    return OK;
}

static enum err
routes_make(struct api *api)
{
    static const struct route redirect = {"/", HTTP_GET, QUEUE_NONE, redirect_run};
    static const struct route root = {"", HTTP_GET, QUEUE_NONE, root_run};
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

/* Limits the cache of results where memory is small, to leave room for writes and queries. */
static uint64_t
cache_bytes_max(const struct budget *memory, const struct api_limits *limits)
{
    uint64_t share = memory_bytes(memory) / 16, wanted = limits->query.cache_bytes;
    return share > 0 && share < wanted ? share : wanted;
}

/* Limits all queries, look-ups and remote reads together, to leave memory to writes and pages. 0:
 * unlimited. */
static uint64_t
reads_bytes_max(const struct budget *memory)
{
    return memory_bytes(memory) / 8 * 7;
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
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_init(&api->queues[i].cond);
        api->queues[i].api = api;
    }
    api->queues[QUEUE_REPEATS].runs_abandoned = true;
    cond_init(&api->help_cond);
    cond_init(&api->memory_cond);
    budget_init(&api->write_budget, "write", 0, options->memory);
    budget_init(&api->read_budget, "read", reads_bytes_max(options->memory), options->memory);
    budget_init(&api->page_budget, "pages", 0, options->memory);
    arena_init(&api->route_memory, NULL, 0, 0);
    enum err e = promql_cache_new(options->memory, 0, &api->results);
    if (e) {
        api_free(api);
        return why_set(why, e, "not enough memory to start");
    }
    api_set_limits(api, limits);
    e = matcher_new(MATCH_REGEX, bytes_of_text("origin"), bytes_of_text(options->cors_origin), NULL,
                    &api->origins, why);
    if (e == OK) e = why_set(why, routes_make(api), "not enough memory to start");
    if (e == OK) e = why_set(why, threads_start(api), "cannot start the query threads");
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
    lock_take(&api->lock);
    api->threads_stop = true;
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_wake_all(&api->queues[i].cond);
    }
    lock_drop(&api->lock);
    for (uint32_t i = 0; i < api->thread_count; i++) {
        env_thread_join(api->options.env, api->threads[i]);
    }
    assert(api->committing_first == NULL); /* all requests are answered, as api.h requires */
    assert(api->committing_count == 0);
    assert(api->doubtful == NULL);
    assert(api->doubtful_count == 0);
    assert(api->active == NULL);
    assert(api->helps == NULL); /* invariant 4 */
    write_memories_free(api);
    queries_free(api);
    promql_cache_free(api->results);
    mem_free(NULL, api->threads, api->threads_max * sizeof *api->threads);
    mem_free(NULL, api->routes, ROUTE_COUNT * sizeof *api->routes);
    arena_fini(&api->route_memory);
    matcher_free(api->origins);
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_fini(&api->queues[i].cond);
    }
    cond_fini(&api->help_cond);
    cond_fini(&api->memory_cond);
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
    promql_cache_resize(api->results, cache_bytes_max(api->options.memory, limits));
}

struct api_limits
api_limits_now(struct api *api)
{
    lock_take(&api->lock);
    struct api_limits limits = api->limits;
    lock_drop(&api->lock);
    return limits;
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
