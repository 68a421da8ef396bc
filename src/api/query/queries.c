/*
 * queries.c - queries that run, and the costs of recent ones: status/active_queries, which can
 * cancel a query, status/top_queries, the log of slow queries, metrics.
 *
 * Invariants, guarded by api->lock:
 *
 * 1. The list of active queries has the newest first: ids descend.
 * 2. `memory_turn` is not 0 while its query waits in queries_await_memory(). Turns are unique, and
 *    the lowest is served first.
 * 3. There are at most PAST_MAX past queries, one for each text, tenant and user.
 */
#include "api/routes.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "api/request/read_request.h"
#include "auth/gate.h"
#include "base/hash/hash.h"
#include "base/log.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "model/tenant_name.h"
#include "views/stack.h"

enum {
    TEXT_SHOWN_BYTES = 4096, /* longer expressions are cut */
    TENANTS_BYTES_MAX = TENANTS_AT_ONCE_MAX * (TENANT_NAME_BYTES_MAX + 1),
    PAST_MAX = 256, /* expressions whose costs are kept */
    TOP_COUNT = 20,
};
/* Waiting queries poll: neither freed memory of reads nor a client that goes wakes them. */
#define MEMORY_LOOK_NS (50 * NS_PER_MS)

static struct metric_counter failures = {.name = "firekeep_query_failures_total",
                                         .help = "PromQL queries that failed once they ran."};
static struct metric_counter samples_read = {.name = "firekeep_query_samples_read_total",
                                             .help = "Samples read by PromQL queries."};
static struct metric_counter memory_waits = {
    .name = "firekeep_query_memory_waits_total",
    .help = "Times that a PromQL query gave up its memory, and waited for that of others to begin "
            "again."};
static struct metric_histogram latency = {
    .name = "firekeep_query_duration_seconds",
    .help = "Time from the start of a PromQL query to the end of its response, in seconds; without "
            "the time it waited for its turn.",
    METRIC_LATENCY};

void
query_metrics_register(void)
{
    metric_register_counter(&failures);
    metric_register_counter(&samples_read);
    metric_register_counter(&memory_waits);
    metric_register_histogram(&latency);
}

/* Costs of the queries of one text, tenant and user since the entry was made. */
struct past_query {
    struct buf tenant;
    struct buf user;
    struct buf text;
    uint64_t hash;
    uint64_t count;
    uint64_t failed;
    int64_t total_ns;
    int64_t most_ns;
    uint64_t samples;    /* read */
    uint64_t peak_bytes; /* largest memory of a query */
    bool hides_memory;   /* their user may not know their memory, or what was read */
    bool hides_reads;
    int64_t last_ns; /* monotonic time at which the last one ended */
};

static void
past_fini(struct past_query *p)
{
    buf_fini(&p->tenant);
    buf_fini(&p->user);
    buf_fini(&p->text);
}

static struct bytes
shown_part(struct bytes text)
{
    return utf8_cut(text, TEXT_SHOWN_BYTES);
}

/* --- accounts --------------------------------------------------------------------------------- */

/* Says whether what the query read is not shown: it depends on how much of the result was cached,
 * and samples that its user may not see make cached results invalid. */
static bool
hides_reads(const struct active_query *query)
{
    return query->control->permitted != NULL;
}

void
queries_begin(struct api *api, struct active_query *query)
{
    lock_take(&api->lock);
    assert(query->memory_turn == 0); /* invariant 2 */
    query->id = ++api->queries->count;
    query->before = NULL;
    query->next = api->queries->active;
    if (api->queries->active != NULL) {
        assert(api->queries->active->before == NULL);
        assert(api->queries->active->id < query->id); /* invariant 1 */
        api->queries->active->before = query;
    }
    api->queries->active = query;
    lock_drop(&api->lock);
}

/* Returns the entry of this text, tenant and user, or a free one, or the longest unused, which it
 * becomes. NULL: there is not enough memory. */
static struct past_query *
past_of_locked(struct api *api, const struct active_query *query)
{
    struct bytes text = shown_part(query->text);
    uint64_t hash = hash_bytes(text, hash_bytes(query->tenant, hash_bytes(query->user, 0)));
    struct past_query *oldest = NULL;
    assert(lock_is_mine(&api->lock));
    assert(api->queries->past_count <= PAST_MAX); /* invariant 3 */
    if (api->queries->past == NULL)
        api->queries->past = mem_new(NULL, PAST_MAX * sizeof *api->queries->past);
    if (api->queries->past == NULL) return NULL;
    for (uint32_t i = 0; i < api->queries->past_count; i++) {
        struct past_query *p = &api->queries->past[i];
        if (p->hash == hash && bytes_equal(buf_bytes(&p->text), text) &&
            bytes_equal(buf_bytes(&p->tenant), query->tenant) &&
            bytes_equal(buf_bytes(&p->user), query->user))
            return p;
        if (oldest == NULL || p->last_ns < oldest->last_ns) oldest = p;
    }
    struct past_query *p = oldest;
    if (api->queries->past_count < PAST_MAX)
        p = &api->queries->past[api->queries->past_count++];
    else
        past_fini(p);
    *p = (struct past_query){.hash = hash};
    buf_init(&p->tenant, NULL, TENANTS_BYTES_MAX);
    buf_init(&p->user, NULL, query->user.size + 1);
    buf_init(&p->text, NULL, TEXT_SHOWN_BYTES);
    buf_put_bytes(&p->tenant, query->tenant);
    buf_put_bytes(&p->user, query->user);
    buf_put_bytes(&p->text, text);
    return p;
}

static void
remember(struct api *api, const struct active_query *query, enum err e, int64_t took_ns)
{
    lock_take(&api->lock);
    struct past_query *p = past_of_locked(api, query);
    if (p != NULL) {
        p->count++;
        if (e) p->failed++;
        p->total_ns += took_ns;
        if (took_ns > p->most_ns) p->most_ns = took_ns;
        p->samples += query->control->samples_seen;
        if (query->peak_bytes > p->peak_bytes) p->peak_bytes = query->peak_bytes;
        p->hides_memory |= query->memory == PLAN_MEMORY_HIDDEN;
        p->hides_reads |= hides_reads(query);
        p->last_ns = query->begun_ns + took_ns;
    }
    lock_drop(&api->lock);
}

void
queries_forget(struct api *api, struct active_query *query)
{
    lock_take(&api->lock);
    struct active_query **place =
        query->before == NULL ? &api->queries->active : &query->before->next;
    assert(*place == query);         /* invariant 1 */
    assert(query->memory_turn == 0); /* invariant 2 */
    *place = query->next;
    if (query->next != NULL) {
        assert(query->next->before == query);
        query->next->before = query->before;
    }
    cond_wake_all(&api->queries->memory_cond);
    lock_drop(&api->lock);
}

/* --- memory that other queries have ----------------------------------------------------------- */

/* Memory that the query is known to need beyond what it has, and that is reserved for it. */
static uint64_t
outstanding_bytes(const struct active_query *q)
{
    uint64_t used = budget_used(q->control->budget);
    return q->needs_bytes > used ? q->needs_bytes - used : 0;
}

static bool
may_begin_again_locked(const struct api *api, const struct active_query *query, bool *ret_alone)
{
    uint64_t limit = atomic_load_explicit(&api->read_budget.limit_bytes, memory_order_relaxed);
    uint64_t taken = budget_used(&api->read_budget) + outstanding_bytes(query);
    uint32_t others = queue_load_locked(api, QUEUE_READS).running;
    assert(lock_is_mine(&api->lock));
    assert(query->memory_turn != 0); /* invariant 2 */
    for (const struct active_query *q = api->queries->active; q != NULL; q = q->next) {
        if (q == query) continue;
        if (q->memory_turn != 0) {
            assert(q->memory_turn != query->memory_turn); /* invariant 2 */
            if (q->memory_turn < query->memory_turn) return false;
            continue;
        }
        taken += outstanding_bytes(q);
        others++;
    }
    *ret_alone = others == 0;
    return others == 0 || taken <= limit;
}

bool
queries_await_memory(struct api *api, struct active_query *query, uint64_t needs_bytes,
                     int64_t until_ns, bool *alone)
{
    struct env *env = api->options.env;
    struct why why;
    bool ended = false, may_begin = false, was_alone = *alone;
    metric_inc(&memory_waits);
    lock_take(&api->lock);
    assert(query->memory_turn == 0); /* invariant 2 */
    query->needs_bytes = needs_bytes;
    query->memory_turn = ++api->queries->memory_turns;
    while (!ended && !(may_begin = may_begin_again_locked(api, query, alone))) {
        int64_t look_ns = env_monotonic_ns(env) + MEMORY_LOOK_NS;
        (void)cond_wait_until(&api->queries->memory_cond, &api->lock,
                              look_ns < until_ns ? look_ns : until_ns);
        lock_drop(&api->lock); /* query_control_check() looks at the client's socket */
        ended = env_monotonic_ns(env) >= until_ns || query_control_check(query->control, &why);
        lock_take(&api->lock);
    }
    query->memory_turn = 0;
    lock_drop(&api->lock);
    return may_begin && !(was_alone && *alone);
}

bool
queries_end(struct api *api, struct active_query *query, enum err e, int64_t took_ns)
{
    int64_t slow_ns = api_limits_now(api).query.slow_log_ns;
    query->peak_bytes =
        atomic_load_explicit(&query->control->budget->peak_bytes, memory_order_relaxed);
    queries_forget(api, query);
    metric_record(&latency, (uint64_t)took_ns);
    metric_add(&samples_read, query->control->samples_seen);
    if (e) metric_inc(&failures);
    remember(api, query, e, took_ns);
    return slow_ns != 0 && took_ns >= slow_ns;
}

void
queries_log_slow(const struct active_query *query, enum err e, int64_t took_ns, struct bytes plan)
{
    const struct query_control *control = query->control;
    log_warn("query: slow", KV("query", query->text), KV("tenant", query->tenant),
             KV("start_ms", query->first_ms), KV("end_ms", query->last_ms),
             KV("step_ms", query->step_ms), KV("took_ms", took_ns / NS_PER_MS),
             KV("series", (uint64_t)control->series_seen),
             KV("samples", (uint64_t)control->samples_seen),
             KV("bytes", (uint64_t)control->bytes_seen), KV("peak_memory_bytes", query->peak_bytes),
             KV("result", e == OK ? "ok" : err_word(e)), KV("plan", plan));
}

enum err
queries_new(struct api *api)
{
    api->queries = mem_new(NULL, sizeof *api->queries);
    if (api->queries == NULL) return ERR_NOMEM;
    cond_init(&api->queries->memory_cond);
    return OK;
}

void
queries_free(struct api *api)
{
    struct queries *all = api->queries;
    if (all == NULL) return;
    assert(all->active == NULL);
    for (uint32_t i = 0; i < all->past_count; i++)
        past_fini(&all->past[i]);
    if (all->past != NULL) mem_free(NULL, all->past, PAST_MAX * sizeof *all->past);
    cond_fini(&all->memory_cond);
    mem_free(NULL, all, sizeof *all);
}

/* --- pages ------------------------------------------------------------------------------------ */

/* The queries that a page shows. */
struct queries_wanted {
    struct bytes tenant; /* empty: all tenants' */
    struct bytes user;   /* empty: all users' */
    bool sees_all;       /* the user may see everything about them */
};

/* Finds out whose queries are wanted: a user sees its own, unless it may administer. False: the
 * request was answered. */
static bool
queries_wanted(struct api *api, struct http_request *request, struct queries_wanted *ret)
{
    const struct user *user = gate_user(request);
    bool sees_all = user == NULL || (user->permissions & PERMISSION_ADMIN) != 0;
    bool names_one = api->options.tenancy && http_header(request, "X-Scope-OrgID") != NULL;
    ret->tenant = bytes_of("", 0);
    ret->user = bytes_of_text(sees_all ? "" : user->name);
    ret->sees_all = user != NULL ? sees_all : !names_one;
    return !names_one || tenant_of(api, request, &ret->tenant);
}

static bool
is_of(struct bytes tenant, struct bytes user, const struct queries_wanted *wanted)
{
    return (wanted->tenant.size == 0 || bytes_equal(tenant, wanted->tenant)) &&
           (wanted->user.size == 0 || bytes_equal(user, wanted->user));
}

static void
put_active(struct json *j, const struct active_query *q, int64_t now_ns,
           const struct queries_wanted *wanted)
{
    bool shows_reads = wanted->sees_all || !hides_reads(q);
    json_object_open(j);
    json_members(j, JSON("id", q->id), JSON("tenant", q->tenant),
                 JSON("query", shown_part(q->text)));
    put_time(j, "start", q->first_ms);
    put_time(j, "end", q->last_ms);
    put_time(j, "step", q->step_ms);
    json_members(j, JSON("running_ms", (now_ns - q->begun_ns) / NS_PER_MS),
                 JSON("samples", shows_reads ? q->control->samples_seen : 0),
                 JSON("bytes", shows_reads ? q->control->bytes_seen : 0));
    json_object_close(j);
}

void
active_queries_run(struct api *api, struct http_request *request)
{
    struct queries_wanted wanted;
    struct json_page p;
    int64_t now_ns = env_monotonic_ns(api->options.env);
    if (!queries_wanted(api, request, &wanted)) return;
    json_page_begin(&p, api, request);
    json_array_open(p.j);
    lock_take(&api->lock);
    for (const struct active_query *q = api->queries->active; q != NULL; q = q->next)
        if (is_of(q->tenant, q->user, &wanted)) put_active(p.j, q, now_ns, &wanted);
    lock_drop(&api->lock);
    json_array_close(p.j);
    json_page_send(&p, FOR_ANYTHING, OK);
}

void
query_cancel_run(struct api *api, struct http_request *request)
{
    static const char reason[] = "query canceled: by DELETE /api/v1/status/active_queries";
    const char *number = api_path(api, request) + strlen("/api/v1/status/active_queries/");
    char *end;
    uint64_t id = strtoull(number, &end, 10);
    struct queries_wanted wanted;
    bool found = false;
    if (!queries_wanted(api, request, &wanted)) return;
    lock_take(&api->lock);
    for (const struct active_query *q = api->queries->active; q != NULL && *end == '\0';
         q = q->next) {
        if (q->id != id || !is_of(q->tenant, q->user, &wanted)) continue;
        /* Relaxed: no other data depends on it. */
        atomic_store_explicit(&q->control->canceled, reason, memory_order_relaxed);
        found = true;
    }
    lock_drop(&api->lock);
    if (!found) {
        reply_problem(request, 404, "not_found", "no query of that id is running");
        return;
    }
    log_info("query: canceled by an operator", KV("id", id));
    struct http_answer answer = {.status = 204};
    http_reply(request, &answer);
}

/* --- the most expensive ----------------------------------------------------------------------- */

enum rank { RANK_TIME, RANK_SAMPLES, RANK_MEMORY };

struct ranked_query {
    uint64_t cost;
    const struct past_query *query;
};

static int
compare_ranked(const void *a, const void *b)
{
    const struct ranked_query *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    return x->query < y->query ? -1 : x->query > y->query;
}

static uint64_t
samples_shown(const struct past_query *p, const struct queries_wanted *wanted)
{
    return p->hides_reads && !wanted->sees_all ? 0 : p->samples;
}

static uint64_t
peak_shown(const struct past_query *p, const struct queries_wanted *wanted)
{
    return p->hides_memory && !wanted->sees_all ? 0 : p->peak_bytes;
}

static void
put_past(struct json *j, const struct past_query *p, const struct queries_wanted *wanted)
{
    json_put_object(
        j, JSON("query", buf_bytes(&p->text)), JSON("tenant", buf_bytes(&p->tenant)),
        JSON("count", p->count), JSON("failed", p->failed),
        JSON("total_ms", p->total_ns / NS_PER_MS), JSON("max_ms", p->most_ns / NS_PER_MS),
        JSON("samples", samples_shown(p, wanted)), JSON("peak_bytes", peak_shown(p, wanted)));
}

static void
put_top(struct api *api, struct json *j, enum rank by, uint64_t limit,
        const struct queries_wanted *wanted)
{
    struct ranked_query list[PAST_MAX];
    uint32_t count = 0;
    lock_take(&api->lock);
    assert(api->queries->past_count <= PAST_MAX); /* invariant 3 */
    for (uint32_t i = 0; i < api->queries->past_count; i++) {
        const struct past_query *p = &api->queries->past[i];
        if (!is_of(buf_bytes(&p->tenant), buf_bytes(&p->user), wanted)) continue;
        list[count++] = (struct ranked_query){by == RANK_TIME      ? (uint64_t)p->total_ns
                                              : by == RANK_SAMPLES ? samples_shown(p, wanted)
                                                                   : peak_shown(p, wanted),
                                              p};
    }
    qsort(list, count, sizeof *list, compare_ranked);
    json_array_open(j);
    for (uint32_t i = 0; i < count && i < limit; i++)
        put_past(j, list[i].query, wanted);
    json_array_close(j);
    lock_drop(&api->lock);
}

/* Reads ?by=time|samples|memory&limit=N. */
static enum err
read_top(struct json_page *p, enum rank *ret_by, int64_t *ret_limit)
{
    static const char *const words[] = {"time", "samples", "memory"};
    const char *by = http_argument(p->request, "by"), *limit = http_argument(p->request, "limit");
    unsigned i = 0, count = sizeof words / sizeof *words;
    while (by != NULL && i < count && strcmp(by, words[i]) != 0)
        i++;
    if (i == count) return why_set(&p->why, ERR_INPUT, "by: expected time, samples or memory");
    *ret_by = (enum rank)i;
    *ret_limit = TOP_COUNT;
    if (limit == NULL || (form_whole(limit, 64, ret_limit) == NULL && *ret_limit >= 0)) return OK;
    return why_set(&p->why, ERR_INPUT, "limit: expected a whole number");
}

void
top_queries_run(struct api *api, struct http_request *request)
{
    struct queries_wanted wanted;
    struct json_page p;
    enum rank by = RANK_TIME;
    int64_t limit;
    if (!queries_wanted(api, request, &wanted)) return;
    json_page_begin(&p, api, request);
    enum err e = read_top(&p, &by, &limit);
    if (e == OK) put_top(api, p.j, by, (uint64_t)limit, &wanted);
    json_page_send(&p, FOR_ANYTHING, e);
}
