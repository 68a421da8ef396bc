/*
 * queues.c - the queues and threads of requests.
 *
 *      run_later() -> a queue -> its threads -> run
 *                        |
 *                        +-> refused         too many wait, or for too long
 *
 * The invariants of a queue are those of struct job_queue, in handler.h. Beside them:
 *
 * 4. A query is in `helps` as long as it wants more threads; it leaves when it has as many as it
 *    asked for, or is dismissed. `running` counts the threads that help it.
 */

#include <assert.h>

#include "api/handler.h"
#include "views/stack.h"

struct queue_threads {
    struct job_queue queues[QUEUE_COUNT]; /* guarded by api->lock, as are the next three */
    struct promql_help *helps;            /* queries that want more threads */
    struct cond help_cond;                /* a thread has stopped helping */
    bool stop;

    struct env_thread **items;
    uint32_t count, capacity;
};

/* --- jobs ------------------------------------------------------------------------------------- */

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

/* Tenants take turns: a job is put after the last job of its tenant and after one of each other
 * tenant, even if its tenant had the last turn. False: too many jobs of this tenant, or of all
 * tenants, wait. */
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
    while (*place != NULL && (*place)->round <= job->round)
        place = &(*place)->next;
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
        bool room = !api->threads->stop && job_add_locked(q, job);
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
    if (!q->runs_abandoned && http_gone(job->request))
        http_reply_text(job->request, 499, "the client closed the connection\n");
    else
        job->run(api, job->request);
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
        help->next = api->threads->helps;
        api->threads->helps = help;
    }
    cond_wake_one(&api->queues[QUEUE_QUERIES].cond);
    lock_drop(&api->lock);
}

static void
help_dismiss(void *context, struct promql_help *help)
{
    struct api *api = context;
    lock_take(&api->lock);
    for (struct promql_help **place = &api->threads->helps; *place != NULL;
         place = &(*place)->next) {
        if (*place != help) continue;
        *place = help->next;
        break;
    }
    help->wanted = 0;
    while (help->running > 0)
        cond_wait(&api->threads->help_cond, &api->lock);
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
    struct promql_help *help = api->threads->helps;
    assert(lock_is_mine(&api->lock));
    if (help == NULL) return false;
    assert(help->wanted > 0); /* invariant 4 */
    if (--help->wanted == 0) api->threads->helps = help->next;
    help->running++;
    lock_drop(&api->lock);
    help->work(help);
    lock_take(&api->lock);
    assert(help->running > 0); /* invariant 4 */
    if (--help->running == 0) cond_wake_all(&api->threads->help_cond);
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
        if (api->threads->stop) break;
        cond_wait(&q->cond, &api->lock);
    }
    lock_drop(&api->lock);
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
    [QUEUE_MERGES] = "merges", [QUEUE_CHANGES] = "changes", [QUEUE_DESTINATIONS] = "destinations",
};

enum err
queues_new(struct api *api)
{
    struct queue_threads *t = mem_new(NULL, sizeof *t);
    if (t == NULL) return ERR_NOMEM;
    for (unsigned i = 0; i < QUEUE_COUNT; i++) {
        cond_init(&t->queues[i].cond);
        t->queues[i].api = api;
    }
    t->queues[QUEUE_REPEATS].runs_abandoned = true;
    cond_init(&t->help_cond);
    api->threads = t;
    api->queues = t->queues;
    return OK;
}

enum err
queues_start(struct api *api)
{
    const struct api_options *o = &api->options;
    struct queue_threads *t = api->threads;
    t->capacity = o->read_concurrency + o->query_concurrency + QUEUE_COUNT - 2;
    t->items = mem_new(NULL, t->capacity * sizeof *t->items);
    if (t->items == NULL) return ERR_NOMEM;
    for (unsigned q = 0; q < QUEUE_COUNT; q++) {
        uint32_t count = q == QUEUE_READS     ? o->read_concurrency
                         : q == QUEUE_QUERIES ? o->query_concurrency
                                              : 1;
        for (uint32_t i = 0; i < count; i++) {
            enum err e = env_thread_start(o->env, thread_names[q], queue_thread, &t->queues[q],
                                          &t->items[t->count]);
            if (e) return e;
            t->count++;
        }
    }
    return OK;
}

void
queues_stop(struct api *api)
{
    struct queue_threads *t = api->threads;
    if (t == NULL) return;
    lock_take(&api->lock);
    t->stop = true;
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        cond_wake_all(&t->queues[i].cond);
    lock_drop(&api->lock);
    for (uint32_t i = 0; i < t->count; i++)
        env_thread_join(api->options.env, t->items[i]);
    t->count = 0;
    assert(t->helps == NULL); /* invariant 4 */
}

void
queues_free(struct api *api)
{
    struct queue_threads *t = api->threads;
    if (t == NULL) return;
    mem_free(NULL, t->items, t->capacity * sizeof *t->items);
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        cond_fini(&t->queues[i].cond);
    cond_fini(&t->help_cond);
    mem_free(NULL, t, sizeof *t);
}

struct queue_load
queue_load_locked(const struct api *api, enum queue_name queue)
{
    const struct job_queue *q = &api->queues[queue];
    assert(lock_is_mine(&api->lock));
    return (struct queue_load){.waiting = q->waiting, .running = q->running};
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
