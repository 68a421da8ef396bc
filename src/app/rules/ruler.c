/*
 * ruler.c - see ruler.h.
 *
 *      idle --- a group is due: another thread is woken to watch the clock ---> evaluates
 *      |  ^                                                                         |
 *      |  +-------------------------------- done -----------------------------------+
 *      +-- one of the idle watches the clock, for the next group that is due
 *      +-- rules that may run together: the idle help
 *
 * Invariants, under the lock:
 *  1. `idle` threads sleep; one of them at most until watched_until_ns, the others until they are
 *     woken.
 *  2. `helpers` is the sum of `workers` of all struct together; one with workers is not freed.
 *  3. The terms in force have one user, and another one for each job that runs.
 *  4. Threads start only before the stop, and each is joined once.
 *
 * Invariants of a page of groups:
 *  5. Only a page with a limit is full, and it has as many groups as the limit says.
 *  6. A page with a token for the next one is full.
 *
 * Invariants of the choice of groups:
 *  7. Candidates are in the order of tenant, file and name; of equal ones, that of a file is first.
 *  8. Each candidate is chosen or hidden.
 */
#include "app/rules/ruler.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/log.h"
#include "base/text/hex.h"
#include "views/stack.h"

/* --- the choice of groups --------------------------------------------------------------------- */

struct candidate_group {
    struct scheduler_group group;
    bool is_stored;
};

static int
compare_names(const struct scheduler_group *a, const struct scheduler_group *b)
{
    int order = bytes_compare(a->tenant, b->tenant);
    if (order == 0) order = strcmp(a->text->file, b->text->file);
    return order != 0 ? order : strcmp(a->text->name, b->text->name);
}

static int
compare_candidates(const void *a, const void *b)
{
    const struct candidate_group *x = a, *y = b;
    int order = compare_names(&x->group, &y->group);
    return order != 0 ? order : (int)x->is_stored - (int)y->is_stored;
}

static struct bytes
tenant_of(const struct rule_set_tenant *t)
{
    return bytes_of_text(t->tenant[0] == '\0' ? "anonymous" : t->tenant);
}

static uint32_t
count_groups(const struct rule_set_tenant *tenants, uint32_t tenant_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tenant_count; i++)
        count += tenants[i].group_count;
    return count;
}

static void
add_candidates(const struct rule_set_tenant *tenants, uint32_t tenant_count, bool is_stored,
               struct candidate_group **next)
{
    for (uint32_t i = 0; i < tenant_count; i++) {
        const struct rule_set_tenant *t = &tenants[i];
        for (uint32_t k = 0; k < t->group_count; k++)
            *(*next)++ = (struct candidate_group){{tenant_of(t), &t->groups[k]}, is_stored};
    }
}

static void
choose(const struct candidate_group *candidates, uint32_t count, struct ruler_groups *to)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct candidate_group *x = &candidates[i];
        assert(i == 0 || compare_candidates(&candidates[i - 1], x) <= 0); /* invariant 7 */
        bool is_again = to->count > 0 && compare_names(&to->items[to->count - 1], &x->group) == 0;
        if (!x->is_stored || !is_again)
            to->items[to->count++] = x->group;
        else if (to->hidden_count++ == 0)
            to->hidden = x->group.text;
    }
    assert(to->count + to->hidden_count == count);          /* invariant 8 */
    assert((to->hidden != NULL) == (to->hidden_count > 0)); /* invariant 8 */
}

enum err
ruler_groups_choose(const struct rule_set *set, const struct stored_groups *stored,
                    struct budget *memory, struct ruler_groups *ret)
{
    struct ruler_groups to = {NULL};
    uint32_t count = count_groups(set->tenants, set->tenant_count) +
                     count_groups(stored->tenants, stored->tenant_count);
    size_t bytes = (count + 1) * sizeof(struct candidate_group);
    struct candidate_group *candidates = mem_alloc(memory, bytes), *next = candidates;
    enum err e = ERR_NOMEM;
    if (candidates != NULL && array_reserve(memory, &to.items, &to.capacity, count + 1)) {
        add_candidates(set->tenants, set->tenant_count, false, &next);
        add_candidates(stored->tenants, stored->tenant_count, true, &next);
        qsort(candidates, count, sizeof *candidates, compare_candidates);
        choose(candidates, count, &to);
        *ret = to;
        e = OK;
    }
    mem_free(memory, candidates, bytes);
    return e;
}

void
ruler_groups_fini(struct ruler_groups *groups, struct budget *memory)
{
    array_free(memory, groups->items, groups->capacity);
    *groups = (struct ruler_groups){NULL};
}

bool
ruler_groups_has(const struct rule_set *set, struct bytes tenant, const char *file,
                 const char *name)
{
    for (uint32_t i = 0; i < set->tenant_count; i++) {
        const struct rule_set_tenant *t = &set->tenants[i];
        if (!bytes_equal(tenant_of(t), tenant)) continue;
        for (uint32_t k = 0; k < t->group_count; k++) {
            const struct rule_group *g = &t->groups[k];
            if (strcmp(g->name, name) == 0 && strcmp(g->file, file) == 0) return true;
        }
    }
    return false;
}

#define LACK_LOG_AGAIN_NS \
    (60 * NS_PER_S) /* between log lines about samples that rules cannot read */

enum { THREADS_MAX = 32, THREADS_FIRST = 2 };

/* Settings that evaluations use, of one configuration. */
struct terms_in_force {
    struct rules_terms terms;
    struct ruler *ruler;
    uint32_t users; /* guarded by ruler.lock */
    uint32_t helpers_max;
    struct arena arena; /* has the labels and texts of `terms` */
    struct bytes replicas[REPLICA_LABELS_MAX];
    uint32_t replica_count;
};

/* Rules that are evaluated together. */
struct together {
    struct together *next;
    void (*work)(void *of, uint32_t i);
    void *of;
    uint32_t count;
    _Atomic uint32_t begun; /* relaxed: ruler.lock publishes `of` and the results */
    uint32_t workers;       /* guarded by ruler.lock */
    struct cond done;
};

struct ruler {
    struct ruler_options options;
    char storage_path[SETTING_TEXT_BYTES];
    struct rules_host host;
    struct budget budget;
    _Atomic(const char *) canceled;
    struct metric_collector collector;

    /* The thread that reloads owns these; one reloads at a time. */
    struct rule_set set; /* groups of rule files, as read last */
    struct scheduler_limits limits;
    bool lost_checkpoint; /* the checkpoint could not be read at the start */

    struct lock lock; /* LOCK_RANK_RULER; guards to the next blank line */
    struct cond cond; /* a job may be due, or the ruler stops */
    struct scheduler *scheduler;
    struct terms_in_force *terms;
    struct together *togethers;
    uint32_t helpers; /* threads that help with rules of other threads' jobs */
    bool runs, stops;
    int64_t watched_until_ns; /* monotonic: one idle thread sleeps until then; INT64_MAX: none
                                 watches the clock */
    uint32_t idle;
    uint32_t thread_count;
    struct env_thread *threads[THREADS_MAX];
};

/* --- the host --------------------------------------------------------------------------------- */

static enum err
write_samples(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
              struct why *why)
{
    struct ruler *r = context;
    return own_write(r->options.writes, tenant, message, ret, why);
}

static enum err
settle(void *context, uint64_t ticket, struct why *why)
{
    struct ruler *r = context;
    return own_settle(r->options.writes, ticket, why);
}

static void
send_notices(void *context, const struct alert_notice *notices, uint32_t count)
{
    struct ruler *r = context;
    notifier_send(r->options.notifier, notices, count);
}

static enum err
save_checkpoint(void *context, struct bytes file, struct why *why)
{
    struct ruler *r = context;
    enum err e = own_sync(r->options.writes, why);
    return e ? e : checkpoint_replace(r->options.env, r->storage_path, file, why);
}

_Static_assert((int)CHECKPOINT_LOG_ID_BYTES == (int)WAL_LOG_ID_BYTES,
               "docs/format/rules_state.md: id of the write-ahead log");

static const uint8_t *
log_id(void *context)
{
    struct ruler *r = context;
    return tsdb_log_id(r->options.tsdb);
}

static const char *
refuses(void *context)
{
    struct ruler *r = context;
    return own_refuses(r->options.writes);
}

static void
arrivals(void *context, struct bytes tenant, struct rules_arrivals *ret)
{
    struct ruler *r = context;
    struct tsdb_arrivals a = tsdb_arrivals(r->options.tsdb, tenant);
    *ret = (struct rules_arrivals){a.recent_ns, a.late_ns, a.sent_ms};
}

static void
watch(void *context, struct time_range late)
{
    struct ruler *r = context;
    tsdb_watch_arrivals(r->options.tsdb, late);
}

/* --- together --------------------------------------------------------------------------------- */

/* Works on items until none is left. They are taken without the lock, which would take longer than
 * most rules. */
static void
work_on(struct together *t)
{
    uint32_t i;
    while ((i = atomic_fetch_add_explicit(&t->begun, 1, memory_order_relaxed)) < t->count)
        t->work(t->of, i);
}

static void
work_together(void *context, uint32_t count, void (*work)(void *of, uint32_t i), void *of)
{
    struct ruler *r = context;
    struct together t = {.work = work, .of = of, .count = count};
    assert(count > 0);
    cond_init(&t.done);
    lock_take(&r->lock);
    t.next = r->togethers;
    r->togethers = &t;
    /* Wakes as many idle threads as may help and find work. */
    uint32_t wanted =
        r->terms->helpers_max > r->helpers + 1 ? r->terms->helpers_max - r->helpers - 1 : 0;
    if (wanted > count - 1) wanted = count - 1;
    if (wanted > r->idle) wanted = r->idle;
    for (uint32_t i = 0; i < wanted; i++)
        cond_wake_one(&r->cond);
    lock_drop(&r->lock);
    work_on(&t);
    lock_take(&r->lock);
    struct together **link = &r->togethers;
    while (*link != &t) {
        assert(*link != NULL); /* invariant 2 */
        link = &(*link)->next;
    }
    *link = t.next;
    while (t.workers > 0)
        cond_wait(&t.done, &r->lock);
    assert(t.begun >= t.count && t.workers == 0); /* invariant 2 */
    lock_drop(&r->lock);
    cond_fini(&t.done);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void evaluate_loop(void *context);

/* Starts one more thread if all are busy. A failure is no error while one thread runs. */
static void
add_thread_locked(struct ruler *r)
{
    assert(lock_is_mine(&r->lock));
    assert(r->idle <= r->thread_count); /* invariant 1 */
    if (r->idle > 0 || r->thread_count == THREADS_MAX || r->stops) return;
    enum err e =
        env_thread_start(r->options.env, "rules", evaluate_loop, r, &r->threads[r->thread_count]);
    if (e == OK) r->thread_count++;
}

/* Makes another thread watch the clock, before this one does long work. */
static void
hand_on_watch_locked(struct ruler *r)
{
    add_thread_locked(r);
    if (r->idle > 0) cond_wake_one(&r->cond);
}

/* Helps with rules that run together. Returns true if it did. */
static bool
helped_locked(struct ruler *r)
{
    struct together *t = r->togethers;
    while (t != NULL && atomic_load_explicit(&t->begun, memory_order_relaxed) >= t->count)
        t = t->next;
    if (t == NULL || r->helpers + 1 >= r->terms->helpers_max) return false;
    r->helpers++;
    t->workers++;
    hand_on_watch_locked(r);
    lock_drop(&r->lock);
    work_on(t);
    lock_take(&r->lock);
    assert(t->workers > 0 && r->helpers >= t->workers); /* invariant 2 */
    t->workers--;
    r->helpers--;
    if (t->workers == 0) cond_wake_all(&t->done);
    return true;
}

static void
terms_put_locked(struct ruler *r, struct terms_in_force *terms)
{
    assert(terms == NULL || terms->users > 0); /* invariant 3 */
    if (terms == NULL || --terms->users > 0) return;
    assert(terms != r->terms || r->thread_count == 0); /* invariant 3 */
    arena_fini(&terms->arena);
    mem_free(&r->budget, terms, sizeof *terms);
}

/* Rests until a job may be due. One thread watches the clock for all; a thread that knows of an
 * earlier time watches it, too. At most a second, because the clock may be set. */
static void
rest_locked(struct ruler *r, int64_t until_ns, int64_t now_ns)
{
    int64_t wait_ns = NS_PER_S, wake_ns;
    if (until_ns - now_ns < wait_ns) wait_ns = until_ns - now_ns;
    wake_ns = env_monotonic_ns(r->options.env) + wait_ns;
    r->idle++;
    if (until_ns == INT64_MAX || r->watched_until_ns <= wake_ns) {
        cond_wait(&r->cond, &r->lock);
    } else {
        r->watched_until_ns = wake_ns;
        cond_wait_until(&r->cond, &r->lock, wake_ns);
        if (r->watched_until_ns == wake_ns) r->watched_until_ns = INT64_MAX;
    }
    assert(r->idle > 0); /* invariant 1 */
    r->idle--;
}

static void
evaluate_loop(void *context)
{
    struct ruler *r = context;
    struct env *env = r->options.env;
    struct scheduler_job job;
    lock_take(&r->lock);
    while (!r->stops) {
        int64_t until_ns = INT64_MAX, now_ns = env_realtime_ms(env) * NS_PER_MS;
        if (scheduler_take(r->scheduler, now_ns, env_monotonic_ns(env), &job, &until_ns)) {
            struct terms_in_force *terms = r->terms;
            assert(terms->users > 0); /* invariant 3 */
            terms->users++;
            hand_on_watch_locked(r);
            lock_drop(&r->lock);
            scheduler_run(r->scheduler, &job, &terms->terms);
            lock_take(&r->lock);
            scheduler_done(r->scheduler, &job, env_monotonic_ns(r->options.env));
            terms_put_locked(r, terms);
        } else if (!helped_locked(r)) {
            rest_locked(r, until_ns, now_ns);
        }
    }
    lock_drop(&r->lock);
}

void
ruler_run(struct ruler *r)
{
    lock_take(&r->lock);
    assert(!r->runs && r->thread_count == 0 && r->terms != NULL); /* invariants 3 and 4 */
    r->runs = true;
    while (r->thread_count < THREADS_FIRST) {
        uint32_t before = r->thread_count;
        add_thread_locked(r);
        if (r->thread_count == before) break;
    }
    lock_drop(&r->lock);
}

void
ruler_stop(struct ruler *r)
{
    if (r == NULL) return;
    atomic_store(&r->canceled, "the server is stopping");
    lock_take(&r->lock);
    r->stops = true;
    if (r->scheduler != NULL) scheduler_cancel_fills(r->scheduler);
    cond_wake_all(&r->cond);
    lock_drop(&r->lock);
}

void
ruler_join(struct ruler *r)
{
    if (r == NULL) return;
    ruler_stop(r);
    for (uint32_t i = 0; i < r->thread_count; i++)
        env_thread_join(r->options.env, r->threads[i]);
    assert(r->idle == 0 && r->helpers == 0 && r->togethers == NULL); /* invariants 1 and 2 */
    r->thread_count = 0;
    if (!r->runs) return;
    r->runs = false;
    struct why why = {""};
    enum err e = scheduler_save(r->scheduler, &why);
    if (e)
        log_error("the last checkpoint of rules failed, the next start repeats what it lacks",
                  KV("error", why_text(&why, e)));
}

/* --- groups that are shown -------------------------------------------------------------------- */

void
ruler_each(struct ruler *r, struct bytes tenant,
           void (*each)(void *context, struct group *group, int64_t next_ns), void *context)
{
    lock_take(&r->lock);
    scheduler_each(r->scheduler, tenant, each, context);
    lock_drop(&r->lock);
}

/* --- /api/v1/rules ---------------------------------------------------------------------------- */

enum { TOKEN_BYTES = 20 };

struct rules_printing {
    const struct rules_question *question;
    struct json *to;
    bool found;   /* the group that the request's token identifies was printed */
    bool is_full; /* there are more groups than the page may have */
    uint64_t count;
    char token[2 * TOKEN_BYTES + 1]; /* token of the first group that is not on the page */
};

/* As Prometheus makes it, by which a page begins where the last one ended. False: no memory. */
static bool
token_of(const struct rule_group *text, char to[2 * TOKEN_BYTES + 1])
{
    uint8_t hash[TOKEN_BYTES];
    struct buf key;
    buf_init(&key, NULL, RULE_FILE_BYTES_MAX);
    buf_printf(&key, "%s;%s", text->file, text->name);
    bool made =
        buf_error(&key) == OK && gnutls_hash_fast(GNUTLS_DIG_SHA1, key.at, key.size, hash) == 0;
    buf_fini(&key);
    if (made) hex_print(bytes_of(hash, sizeof hash), to);
    return made;
}

static bool
is_named(const struct text_list *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0) return true;
    return names->count == 0;
}

static void
print_group(void *context, struct group *group, int64_t next_ns)
{
    (void)next_ns;
    struct rules_printing *p = context;
    const struct rules_question *q = p->question;
    const struct rule_group *text = &group->text;
    char token[2 * TOKEN_BYTES + 1];
    assert(!p->is_full || p->count == q->group_limit); /* invariant 5 */
    if (p->is_full) return;
    if (!p->found) {
        if (!token_of(text, token) || !bytes_equal_text(q->next_token, token)) return;
        /* May the sender know that the group exists? Anyone can compute a token. */
        const struct group_question any = {.alerting = true, .permitted = q->of_group.permitted};
        if (any.permitted != NULL && !group_answers(group, &any)) return;
        p->found = true;
    }
    if (!is_named(&q->groups, text->name) || !is_named(&q->files, text->file)) return;
    if (q->group_limit > 0 && p->count == q->group_limit) {
        p->is_full = group_answers(group, &q->of_group) && token_of(text, p->token);
        return;
    }
    p->count += group_print(group, &q->of_group, p->to);
}

enum err
ruler_print(struct ruler *r, const struct rules_question *question, struct json *to)
{
    struct rules_printing p = {.question = question, .to = to};
    p.found = question->group_limit == 0 || question->next_token.size == 0;
    json_member_array(to, "groups");
    ruler_each(r, question->tenant, print_group, &p);
    json_array_close(to);
    assert(p.is_full == (p.token[0] != '\0')); /* invariant 6 */
    if (p.is_full) json_member_text(to, "groupNextToken", p.token);
    return p.found ? OK : ERR_MISSING;
}

struct alerts_printing {
    const struct permitted *permitted;
    struct json *to;
};

static void
print_alerts(void *context, struct group *group, int64_t next_ns)
{
    const struct alerts_printing *p = context;
    (void)next_ns;
    group_print_alerts(group, p->permitted, p->to);
}

void
ruler_print_alerts(struct ruler *r, struct bytes tenant, const struct permitted *permitted,
                   struct json *to)
{
    struct alerts_printing p = {permitted, to};
    ruler_each(r, tenant, print_alerts, &p);
}

/* --- /metrics --------------------------------------------------------------------------------- */

struct collecting {
    struct metric_sink *sink;
    unsigned shown; /* index of the family */
    struct group_facts facts;
    uint64_t rules;
    int64_t next_ns;
};

/* Metrics of a group. The member is an int64_t in nanoseconds, shown in seconds, or a uint64_t. */
#define OF_GROUP(is_ns, member, name, help, kind)   \
    {                                               \
        is_ns, offsetof(struct collecting, member), \
        {                                           \
            name, help, kind                        \
        }                                           \
    }
static const struct {
    bool is_ns;
    size_t offset; /* in struct collecting */
    struct metric_family family;
} families[] = {
    OF_GROUP(false, facts.evaluations, "firekeep_rule_evaluations_total",
             "Live evaluations of rules, one for each rule of a group.", METRIC_KIND_COUNTER),
    OF_GROUP(false, facts.failures, "firekeep_rule_evaluation_failures_total",
             "Live evaluations of rules that failed, or whose results were not stored, one for "
             "each rule of a group.",
             METRIC_KIND_COUNTER),
    OF_GROUP(true, facts.interval_ns, "firekeep_rule_group_interval_seconds",
             "Interval of a rule group, in seconds.", METRIC_KIND_GAUGE),
    OF_GROUP(false, facts.iterations, "firekeep_rule_group_iterations_total",
             "Scheduled evaluations of a rule group that were made at their time.",
             METRIC_KIND_COUNTER),
    OF_GROUP(false, facts.missed, "firekeep_rule_group_iterations_missed_total",
             "Evaluations of a rule group that were missed, for example because the one before "
             "took too long.",
             METRIC_KIND_COUNTER),
    OF_GROUP(true, facts.evaluated_for_ns, "firekeep_rule_group_last_duration_seconds",
             "Duration of the last evaluation of a rule group, in seconds.", METRIC_KIND_GAUGE),
    OF_GROUP(false, facts.samples, "firekeep_rule_group_last_evaluation_samples",
             "Samples that came of the last evaluation of a rule group.", METRIC_KIND_GAUGE),
    OF_GROUP(true, facts.evaluated_at_ns, "firekeep_rule_group_last_evaluation_timestamp_seconds",
             "Unix time of the last evaluation of a rule group, in seconds.", METRIC_KIND_GAUGE),
    OF_GROUP(true, facts.rules_took_ns, "firekeep_rule_group_last_rule_duration_sum_seconds",
             "Duration of the last evaluations of all rules of a group together, in seconds.",
             METRIC_KIND_GAUGE),
    OF_GROUP(true, facts.restored_for_ns, "firekeep_rule_group_last_restore_duration_seconds",
             "Duration of the last restoring of alerts of a rule group, in seconds.",
             METRIC_KIND_GAUGE),
    OF_GROUP(true, next_ns, "firekeep_rule_group_next_timestamp_seconds",
             "Unix time of the next evaluation of the recording rules of a group, or of its "
             "alerting rules if it has no others, in seconds.",
             METRIC_KIND_GAUGE),
    OF_GROUP(false, rules, "firekeep_rule_group_rules", "Rules of a group.", METRIC_KIND_GAUGE),
};
enum { FAMILIES = sizeof families / sizeof *families };

static const struct metric_family catch_up_family = {
    "firekeep_rule_catch_up",
    "State of the recording rules of a tenant: 1 for the one that it is in. live: evaluations are "
    "made at their times; waits: some were missed, and samples that senders have kept are awaited; "
    "fills: what was missed is evaluated.",
    METRIC_KIND_GAUGE};
static const struct metric_family skipped_family = {
    "firekeep_rule_evaluations_skipped_total",
    "Missed evaluations of rule groups that are not made, one for all rules of a group: too_old: "
    "older than rules.catch_up; too_slow: evaluating them took longer than the time they covered, "
    "or what they read was away.",
    METRIC_KIND_COUNTER};
static const struct metric_family checkpoint_families[] = {
    {"firekeep_rule_checkpoints_total", "Checkpoints of rules that were written.",
     METRIC_KIND_COUNTER},
    {"firekeep_rule_checkpoint_written_bytes_total", "Bytes of checkpoints of rules.",
     METRIC_KIND_COUNTER},
    {"firekeep_rule_checkpoint_failures_total", "Checkpoints of rules that could not be written.",
     METRIC_KIND_COUNTER},
    {"firekeep_rule_checkpoint_unreadable",
     "1 if the checkpoint of rules could not be read at the start.", METRIC_KIND_GAUGE}};

static void
collect_group(void *context, struct group *group, int64_t next_ns)
{
    struct collecting *c = context;
    struct buf key;
    group_facts(group, &c->facts);
    c->rules = c->facts.rules;
    c->next_ns = next_ns;
    buf_init(&key, NULL, RULE_FILE_BYTES_MAX);
    buf_printf(&key, "%s;%s", c->facts.file, c->facts.name);
    const struct metric_pair pairs[2] = {{"rule_group", buf_bytes(&key)},
                                         {"tenant", group->tenant}};
    /* With tenancy the same file may be that of several tenants. */
    size_t count = bytes_equal_text(group->tenant, "anonymous") ? 1 : 2;
    const struct metric_family *family = &families[c->shown].family;
    const void *at = (const char *)c + families[c->shown].offset;
    if (buf_error(&key) == OK && families[c->shown].is_ns)
        metric_put_double(c->sink, family, pairs, count, (double)*(const int64_t *)at / 1e9);
    else if (buf_error(&key) == OK)
        metric_put_u64(c->sink, family, pairs, count, *(const uint64_t *)at);
    buf_fini(&key);
}

static void
collect_catch_up(void *context, struct bytes tenant, enum catch_up state)
{
    static const char *const words[] = {"live", "waits", "fills"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        struct metric_pair pairs[] = {{"tenant", tenant}, {"state", bytes_of_text(words[i])}};
        metric_put_u64(context, &catch_up_family, pairs, 2, i == (unsigned)state);
    }
}

static void
collect(struct metric_sink *sink, void *ruler)
{
    struct ruler *r = ruler;
    struct scheduler_totals t;
    struct metric_pair reason = {"reason", bytes_of_text("too_old")};
    /* One family at a time, so that its series come one after the other. */
    for (unsigned shown = 0; shown < FAMILIES; shown++) {
        struct collecting c = {.sink = sink, .shown = shown};
        ruler_each(r, (struct bytes){NULL, 0}, collect_group, &c);
    }
    lock_take(&r->lock);
    scheduler_each_tenant(r->scheduler, collect_catch_up, sink);
    scheduler_totals(r->scheduler, &t);
    lock_drop(&r->lock);
    metric_put_u64(sink, &skipped_family, &reason, 1, t.skipped_too_old);
    reason.value = bytes_of_text("too_slow");
    metric_put_u64(sink, &skipped_family, &reason, 1, t.skipped_too_slow);
    metric_put_one(
        sink, "firekeep_rule_evaluations_filled_total", METRIC_KIND_COUNTER,
        "Missed evaluations of rule groups that were made later, one for all rules of a group.",
        (double)t.filled);
    metric_put_one(sink, "firekeep_rule_results_different_total", METRIC_KIND_COUNTER,
                   "Results of missed evaluations that were not stored, because another value is.",
                   (double)t.different);
    const uint64_t values[] = {t.checkpoints, t.checkpoint_bytes, t.checkpoint_failures,
                               r->lost_checkpoint};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        metric_put_u64(sink, &checkpoint_families[i], NULL, 0, values[i]);
    metric_put_budget(sink, &r->budget);
}

/* --- beginning and end ------------------------------------------------------------------------ */

/* Fills take at most half of the threads and of the processors, so that queries go on beside them.
 */
static uint32_t
fills_max(void)
{
    long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return half < 1 ? 1 : half > THREADS_MAX / 2 ? THREADS_MAX / 2 : (uint32_t)half;
}

/* If the log is another one, results after the last part are lost with the old log. In a restored
 * snapshot all results are in parts. While nothing has been written, there is no log, and no result
 * that could be lost. */
static int64_t
recorded_until(struct ruler *r, const struct checkpoint_head *head)
{
    static const uint8_t none[CHECKPOINT_LOG_ID_BYTES];
    struct tsdb_stats stats;
    const uint8_t *log_id = tsdb_log_id(r->options.tsdb);
    bool same = log_id != NULL && memcmp(head->log_id, log_id, sizeof head->log_id) == 0;
    bool was_empty = memcmp(head->log_id, none, sizeof none) == 0;
    tsdb_stats(r->options.tsdb, &stats);
    if (same || (was_empty && stats.part_max_ms < 0)) return INT64_MAX;
    return stats.part_max_ms < 0 ? 0 : stats.part_max_ms * NS_PER_MS;
}

static enum err
begin_scheduler(struct ruler *r, struct why *why)
{
    struct checkpoint_reader checkpoint;
    const char *path = r->storage_path;
    enum err read = checkpoint_read(r->options.env, path, &r->budget, &checkpoint, why);
    bool found = read == OK;
    if (read == ERR_NOMEM) return read;
    if (!found && read != ERR_MISSING) {
        r->lost_checkpoint = true;
        log_error("the checkpoint of rules cannot be read, alerts are restored from samples and "
                  "missed evaluations are not made",
                  KV("error", why_text(why, read)));
        enum err e = checkpoint_put_aside(r->options.env, path, why);
        if (e) return e;
    }
    enum err e = scheduler_new(&r->host, found ? &checkpoint : NULL,
                               found ? recorded_until(r, &checkpoint.head) : 0, &r->scheduler);
    checkpoint_fini(&checkpoint);
    return e ? why_set(why, e, "not enough memory to start") : OK;
}

enum err
ruler_new(const struct ruler_options *options, struct ruler **ret_ruler, struct why *why)
{
    struct ruler *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    r->options = *options;
    snprintf(r->storage_path, sizeof r->storage_path, "%s", options->storage_path);
    budget_init(&r->budget, "rules", options->memory_bytes, options->memory);
    r->watched_until_ns = INT64_MAX;
    lock_init(&r->lock, LOCK_RANK_RULER);
    cond_init(&r->cond);
    r->host = (struct rules_host){
        .env = options->env,
        .memory = &r->budget,
        .seed = options->seed,
        .all_canceled = &r->canceled,
        .write = write_samples,
        .settle = settle,
        .send = send_notices,
        .together = work_together,
        .save = save_checkpoint,
        .refuses = refuses,
        .arrivals = arrivals,
        .watch = watch,
        .log_id = log_id,
        .fills_max = fills_max(),
        .context = r,
    };
    r->collector = (struct metric_collector){.collect = collect, .context = r};
    group_register_metrics();
    metric_register_collector(&r->collector);
    enum err e = begin_scheduler(r, why);
    if (e)
        ruler_free(r);
    else
        *ret_ruler = r;
    return e;
}

void
ruler_free(struct ruler *r)
{
    if (r == NULL) return;
    ruler_join(r);
    metric_unregister(&r->collector.link);
    scheduler_free(r->scheduler);
    terms_put_locked(r, r->terms); /* no thread is left */
    rule_set_free(&r->set);
    cond_fini(&r->cond);
    lock_fini(&r->lock);
    mem_free(NULL, r, sizeof *r);
}

/* --- reload ----------------------------------------------------------------------------------- */

struct ruler_change {
    struct ruler *ruler;
    bool has_set; /* else files are not read, and the set and the terms stay */
    struct rule_set set;
    struct ruler_groups groups;
    struct scheduler_change *scheduler;
    struct scheduler_limits limits;
    struct terms_in_force *terms;
};

/* Logs that samples could not be read: results of rules have no place for a warning. */
static void
log_lack(void *context, const char *sentence)
{
    static struct log_gate gate;
    uint64_t held_back;
    const struct terms_in_force *t = context;
    int64_t now_ns = env_monotonic_ns(t->ruler->options.env);
    if (!log_often(&gate, now_ns, LACK_LOG_AGAIN_NS, &held_back)) return;
    log_warn("rules are evaluated without samples that are damaged", KV("warning", sentence),
             KV("more_held_back", held_back));
}

static enum err
open_view(void *context, struct query_control *control, struct view **ret_view, struct why *why)
{
    const struct terms_in_force *t = context;
    struct view_stack stack = {.answerer = t->ruler->options.answerer,
                               .replicas = t->replicas,
                               .replica_count = t->replica_count};
    return view_stack_open(&stack, control, ret_view, why);
}

static bool
fill_labels(struct terms_in_force *t, const struct named_texts *from)
{
    struct named_texts kept;
    struct label *labels = arena_alloc(&t->arena, (from->count + 1) * sizeof *labels);
    if (labels == NULL || !named_texts_copy(&t->arena, from, &kept)) return false;
    for (uint32_t i = 0; i < kept.count; i++) {
        labels[i] =
            (struct label){bytes_of_text(kept.items[i].name), bytes_of_text(kept.items[i].value)};
    }
    t->terms.external_labels = labels;
    t->terms.external_count = kept.count;
    return true;
}

static bool
fill_terms(struct terms_in_force *t, const struct settings *s, const struct rule_settings *rules)
{
    const char *replicas;
    if (!text_copy(&t->arena, s->query_replica_labels, &replicas) ||
        !fill_labels(t, &rules->external_labels))
        return false;
    t->replica_count = replica_labels_of(replicas, t->replicas);
    t->helpers_max = s->rules_max_concurrent_evals;
    struct rules_terms *terms = &t->terms;
    terms->open = open_view;
    terms->open_context = t;
    terms->warn = log_lack;
    terms->usage = t->ruler->options.usage;
    terms->resend_ns = s->rules_resend_delay_ms * NS_PER_MS;
    terms->external_url = bytes_of_text(t->ruler->options.external_url);
    terms->timeout_ns = s->query_timeout_ms * NS_PER_MS;
    terms->lookback_ms = s->query_lookback_delta_ms;
    terms->subquery_step_ms = s->global_evaluation_interval_ms;
    terms->held_max = s->query_max_samples;
    terms->series_max = s->query_max_series;
    terms->samples_read_max = s->query_max_samples_read;
    terms->bytes_max = s->query_max_bytes;
    terms->fetched_max = s->query_max_fetched_bytes;
    terms->features = promql_features_of(s->query_features);
    return true;
}

static enum err
prepare_terms(struct ruler_change *c, const struct settings *s, const struct rule_settings *rules,
              struct why *why)
{
    struct ruler *r = c->ruler;
    c->terms = mem_new(&r->budget, sizeof *c->terms);
    if (c->terms == NULL) return why_set(why, ERR_NOMEM, "not enough memory for rules");
    c->terms->ruler = r;
    c->terms->users = 1;
    arena_init(&c->terms->arena, &r->budget, (uint64_t)16 << 20, 0);
    if (!fill_terms(c->terms, s, rules))
        return why_set(why, ERR_NOMEM, "not enough memory for rules");
    bool expires = s->storage_mode == STORAGE_LOCAL; /* destinations keep what they are sent */
    c->limits = (struct scheduler_limits){
        .kept_ns = expires ? s->retention_time_ms * NS_PER_MS : INT64_MAX,
        .catch_up_ns = s->rules_catch_up_ms * NS_PER_MS,
        .catch_up_wait_ns = s->rules_catch_up_wait_ms * NS_PER_MS,
        .outage_tolerance_ns = s->rules_outage_tolerance_ms * NS_PER_MS,
        .grace_ns = s->rules_grace_period_ms * NS_PER_MS,
    };
    return OK;
}

static enum err
prepare_groups(struct ruler_change *c, const struct settings *s, const struct stored_groups *stored,
               struct why *why)
{
    struct ruler *r = c->ruler;
    struct group_defaults defaults = {s->global_evaluation_interval_ms,
                                      s->global_rule_query_offset_ms};
    const struct rule_set *set = c->has_set ? &c->set : &r->set;
    enum err e = ruler_groups_choose(set, stored, &r->budget, &c->groups);
    if (e) return why_set(why, e, "not enough memory for rules");
    return scheduler_prepare(r->scheduler, c->groups.items, c->groups.count, &defaults,
                             &c->scheduler, why);
}

static void
change_free(struct ruler_change *c)
{
    struct budget *budget = &c->ruler->budget;
    ruler_groups_fini(&c->groups, budget);
    rule_set_free(&c->set);
    mem_free(budget, c, sizeof *c);
}

void
ruler_abandon(struct ruler_change *c)
{
    if (c == NULL) return;
    scheduler_abandon(c->scheduler);
    terms_put_locked(c->ruler, c->terms); /* the change is their only user */
    change_free(c);
}

enum err
ruler_prepare(struct ruler *r, const struct settings *settings, const struct rule_settings *rules,
              const struct stored_groups *stored, struct ruler_change **ret_change, struct why *why)
{
    struct ruler_change *c = mem_new(&r->budget, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "not enough memory for rules");
    c->ruler = r;
    c->limits = r->limits;
    c->has_set = rules != NULL;
    struct rule_set_options options = {.env = r->options.env, .budget = &r->budget};
    enum err e = c->has_set ? rule_set_read(rules, &options, &c->set, why) : OK;
    if (e == OK) e = prepare_groups(c, settings, stored, why);
    if (e == OK && c->has_set) e = prepare_terms(c, settings, rules, why);
    if (e)
        ruler_abandon(c);
    else
        *ret_change = c;
    return e;
}

bool
ruler_has_file_group(const struct ruler *r, struct bytes tenant, const char *file, const char *name)
{
    return ruler_groups_has(&r->set, tenant, file, name);
}

/* Logs patterns without files, and stored groups that files hide. */
static void
log_reading(const struct ruler_change *c)
{
    for (uint32_t i = 0; i < c->set.unmatched_count; i++) {
        const struct unmatched_pattern *u = &c->set.unmatched[i];
        if (u->is_wild)
            log_warn("no rule file matches a pattern", KV("pattern", u->pattern),
                     KV("tenant", u->tenant));
        else
            log_warn("a rule file does not exist", KV("file", u->pattern), KV("tenant", u->tenant));
    }
    const struct rule_group *hidden = c->groups.hidden;
    if (hidden != NULL) {
        log_warn("stored groups of rules are not evaluated, rule files have groups of their names",
                 KV("groups", c->groups.hidden_count), KV("namespace", hidden->file),
                 KV("group", hidden->name));
    }
}

void
ruler_commit(struct ruler_change *c)
{
    struct ruler *r = c->ruler;
    if (c->has_set) {
        log_reading(c);
        struct rule_set before = r->set;
        r->set = c->set;
        c->set = before;
    }
    r->limits = c->limits;
    lock_take(&r->lock);
    scheduler_commit(c->scheduler, &c->limits, env_realtime_ms(r->options.env) * NS_PER_MS);
    if (c->terms != NULL) {
        struct terms_in_force *before = r->terms;
        r->terms = c->terms;
        terms_put_locked(r, before);
    }
    cond_wake_all(&r->cond);
    lock_drop(&r->lock);
    change_free(c);
}
