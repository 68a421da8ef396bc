/*
 * target_directory.c - the storage directory of a stopped server, opened in this process. The steps
 * that serve runs on threads are done in turn: ingest, commit, and from time to time flush. So when
 * target_write() returns OK, the samples are in the log, on disk. Reading leaves no trace in the
 * directory.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/lib/query.h"
#include "cli/lib/target/target.h"
#include "config/config.h"
#include "model/storage_layout.h"
#include "promql/promql.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"
#include "views/stack.h"

enum {
    REQUESTS_PER_LOOK = 64,
    TRIES_MAX = 100,
    TEXT_BYTES = 64 * 1024,
    TEXT_BYTES_MAX = 1 << 30,
};

#define MEMORY_BYTES_MAX ((uint64_t)2 << 30)

struct target_directory {
    struct target target;
    struct settings settings;
    struct memory memory;
    struct tsdb *tsdb;
    struct rw_request request;
    uint32_t writes;
};

static struct target_directory *
directory_of(struct target *target)
{
    return (struct target_directory *)(void *)target; /* the first member */
}

static void
directory_free(struct target *target)
{
    struct target_directory *d = directory_of(target);
    rw_request_fini(&d->request);
    tsdb_free(d->tsdb);
    mem_free(NULL, d, sizeof *d);
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
directory_commit(struct target_directory *d, struct why *why)
{
    enum err e = OK;
    while (e == OK && tsdb_commit_due(d->tsdb))
        e = tsdb_commit(d->tsdb, why);
    return e;
}

/* Flushes the head into a part. */
static enum err
flush(struct target_directory *d, struct why *why)
{
    if (!tsdb_has_frozen(d->tsdb)) tsdb_want_cut(d->tsdb);
    enum err e = directory_commit(d, why);
    if (e == OK) e = tsdb_flush(d->tsdb, why);
    if (e == OK) e = tsdb_maintain(d->tsdb, why);
    return e;
}

static enum err
ingest(struct target_directory *d, struct target_result *result, struct why *why)
{
    struct ingest_result r;
    enum err e = ERR_AGAIN;
    for (int tries = 0; e == ERR_AGAIN || e == ERR_NOMEM; tries++) {
        if (tries > 0) { /* the log or memory is full: make room */
            struct why reason = *why;
            struct tsdb_stats before, after;
            tsdb_stats(d->tsdb, &before);
            enum err flushed = flush(d, why);
            if (flushed) return flushed;
            tsdb_stats(d->tsdb, &after);
            if (before.flushes_total == after.flushes_total || tries == TRIES_MAX) {
                *why = reason;
                return e;
            }
        }
        why->text[0] = '\0';
        r = (struct ingest_result){0};
        e = tsdb_ingest(d->tsdb, target_tenant(&d->target), &d->request, &r, why);
    }
    if (e) return e;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        result->rejected.of[kind] = r.rejected[kind];
    if (r.rejected_total > 0)
        snprintf(result->text, sizeof result->text, "%.*s", (int)sizeof result->text - 1, r.text);
    e = directory_commit(d, why);
    if (e == OK && tsdb_epoch(d->tsdb, r.wait_epoch) == TSDB_EPOCH_VOID)
        e = why_set(why, ERR_IO, "cannot write to the write-ahead log");
    return e;
}

static enum err
directory_write(struct target *target, enum rw_version version, struct bytes message,
                struct bytes packed, const struct target_counts *counts,
                struct target_result *result, struct why *why)
{
    struct target_directory *d = directory_of(target);
    (void)packed;
    (void)counts;
    enum err e = rw_decode(&d->request, version, message, tsdb_hash_seed(d->tsdb), why);
    if (e == OK) e = ingest(d, result, why);
    rw_request_clear(&d->request);
    bool look = ++d->writes % REQUESTS_PER_LOOK == 0; /* checks free space and the log's segments */
    if (e == OK && look) e = tsdb_maintain(d->tsdb, why);
    if (e || (!tsdb_flush_due(d->tsdb) && !tsdb_has_frozen(d->tsdb))) return e;
    return flush(d, why);
}

static enum err
directory_finish(struct target *target, struct why *why)
{
    struct target_directory *d = directory_of(target);
    enum err e = OK;
    for (int tries = 0; e == OK && !tsdb_is_flushed(d->tsdb) && tries < TRIES_MAX; tries++)
        e = flush(d, why);
    return e;
}

static enum err
directory_delete(struct target *target, const struct bytes *selectors, uint32_t count,
                 int64_t min_ms, int64_t max_ms, uint64_t *ret_samples, struct why *why)
{
    struct target_directory *d = directory_of(target);
    struct selector *parsed = mem_new(NULL, count * sizeof *parsed);
    struct tsdb_deletion *made = mem_new(NULL, count * sizeof *made);
    uint32_t parsed_count = 0;
    enum err e = parsed == NULL || made == NULL ? why_set(why, ERR_NOMEM, "not enough memory") : OK;
    if (e == OK) e = directory_finish(target, why); /* deletion covers only parts */
    while (e == OK && parsed_count < count) {
        e = selector_parse(selectors[parsed_count], &parsed[parsed_count], why);
        parsed_count += e == OK;
    }
    if (e == OK)
        e = tsdb_delete(d->tsdb, target_tenant(target), parsed, count, min_ms, max_ms, made, why);
    for (uint32_t i = 0; e == OK && i < count; i++)
        *ret_samples += made[i].samples;
    while (parsed_count > 0)
        selector_fini(&parsed[--parsed_count]);
    mem_free(NULL, parsed, count * sizeof *parsed);
    mem_free(NULL, made, count * sizeof *made);
    return e;
}

/* --- a query ---------------------------------------------------------------------------------- */

/* A query in this process, as the server's API runs it. */
struct directory_query {
    struct target_directory *directory;
    const struct query_parameters *parameters;
    struct query_sink *sink;
    struct budget budget;
    struct query_control control;
    struct promql_tree *tree;
    struct promql_result *result;
    struct promql_plan *plan;
    int64_t ran_ns;
    struct buf text; /* JSON */
    bool limited;    /* more series exist */
    struct why *why;
};

/* Passes the text on as it is, or what it means: an answer of the API is made in both cases. */
static enum err
pass_text(struct directory_query *q)
{
    enum err e = buf_error(&q->text);
    if (e) return why_set(q->why, e, "not enough memory for the output");
    e = q->sink->ops->data != NULL ? q->sink->ops->data(q->sink, buf_bytes(&q->text), q->why)
                                   : query_answer_data(buf_bytes(&q->text), q->sink, q->why);
    buf_clear(&q->text);
    return e;
}

static enum err
pass_if_large(void *context)
{
    struct directory_query *q = context;
    return q->sink->ops->data == NULL || q->text.size < TEXT_BYTES ? OK : pass_text(q);
}

static enum err
give_result(struct directory_query *q)
{
    struct json j;
    struct promql_answer answer = {.result = q->result,
                                   .t_ms = q->parameters->first_ms,
                                   .limit = q->parameters->limit,
                                   .to = &j,
                                   .piece = pass_if_large,
                                   .context = q};
    json_init(&j, &q->text);
    json_object_open(&j);
    enum err e = promql_answer_put(&answer);
    if (e) return e;
    json_object_close(&j);
    q->limited = answer.limited;
    return pass_text(q);
}

static void
give_warning(void *context, struct bytes sentence)
{
    struct directory_query *q = context;
    q->sink->ops->note(q->sink, PROMQL_WARNING, sentence);
}

static void
give_info(void *context, struct bytes sentence)
{
    struct directory_query *q = context;
    q->sink->ops->note(q->sink, PROMQL_INFO, sentence);
}

static enum err
give_plan(struct directory_query *q)
{
    struct promql_explained x = {
        .plan = q->plan, .result = q->result, .control = &q->control, .ran_ns = q->ran_ns};
    enum err e = promql_explained_put(&x, &q->text);
    if (e) return why_set(q->why, e, "not enough memory for the plan");
    promql_explained_warnings(&x, give_warning, q);
    return pass_text(q);
}

static enum err
read_question(struct directory_query *q, struct query_failure *failure)
{
    const struct query_parameters *a = q->parameters;
    struct buf *sentence = &failure->sentence;
    uint64_t steps_max = q->directory->settings.query_max_points;
    uint64_t steps = a->step_ms == 0 ? 0 : (uint64_t)((a->last_ms - a->first_ms) / a->step_ms);
    failure->bad_question = true;
    if (steps > steps_max) {
        buf_printf(sentence,
                   "the range has more than %" PRIu64
                   " steps (query.max_points); use a longer --step",
                   steps_max);
        return ERR_INPUT;
    }
    enum err e = promql_parse(a->expression, &q->budget, NULL, &q->tree, sentence);
    if (e == OK && a->step_ms > 0 && !promql_has_range(q->tree, sentence)) e = ERR_INPUT;
    failure->bad_question = e == ERR_INPUT || e == ERR_LIMIT;
    if (e == ERR_NOMEM) why_set(q->why, e, "not enough memory for the expression");
    return e;
}

static enum err
directory_query_run(struct directory_query *q, struct query_failure *failure)
{
    const struct query_parameters *a = q->parameters;
    struct target *target = &q->directory->target;
    const struct settings *s = &q->directory->settings;
    struct promql_options options = {
        .tenant = target_tenant(target),
        .first_ms = a->first_ms,
        .last_ms = a->step_ms == 0 ? a->first_ms : a->last_ms,
        .step_ms = a->step_ms,
        .lookback_ms = a->lookback_ms == 0 ? s->query_lookback_delta_ms : a->lookback_ms,
        .subquery_step_ms = s->global_evaluation_interval_ms,
        .features = promql_features_of(s->query_features),
        .held_max = s->query_max_samples,
        .control = &q->control,
        .budget = &q->budget,
    };
    struct view *view;
    struct buf *sentence = &failure->sentence;
    struct bytes names[REPLICA_LABELS_MAX];
    struct view_stack stack = {.replicas = names,
                               .replica_count = replica_labels_of(s->query_replica_labels, names)};
    if (view_stack_tenants(target->answerer, &stack.answerer))
        return why_set(q->why, ERR_NOMEM, "not enough memory");
    enum err e = view_stack_open(&stack, &q->control, &view, q->why);
    if (e) goto out;
    if (a->mode != QUERY_RESULT) {
        e = promql_explain(q->tree, view, &options, &q->plan, sentence, q->why);
        options.plan = q->plan;
    }
    int64_t begun_ns = env_monotonic_ns(q->control.env);
    if (e == OK && a->mode != QUERY_EXPLAIN)
        e = promql_run(q->tree, view, &options, &q->result, sentence, q->why);
    q->ran_ns = env_monotonic_ns(q->control.env) - begun_ns;
    view_free(view);
out:
    stack.answerer->ops->free(stack.answerer);
    return e;
}

static enum err
directory_query(struct target *target, const struct query_parameters *parameters,
                struct query_sink *sink, struct query_failure *failure, struct why *why)
{
    struct directory_query q = {
        .directory = directory_of(target), .parameters = parameters, .sink = sink, .why = why};
    const struct settings *s = &q.directory->settings;
    struct env *env = env_real();
    budget_init(&q.budget, "query", 0, target->read_memory);
    buf_init(&q.text, NULL, TEXT_BYTES_MAX);
    q.control.env = env;
    q.control.budget = &q.budget;
    q.control.series_max = s->query_max_series;
    q.control.samples_max = s->query_max_samples_read;
    q.control.bytes_max = s->query_max_bytes;
    q.control.fetched_max = s->query_max_fetched_bytes;
    q.control.names = &limits_of_queries;
    if (parameters->timeout_ms > 0)
        q.control.deadline_ns = env_monotonic_ns(env) + parameters->timeout_ms * NS_PER_MS;
    enum err e = read_question(&q, failure);
    if (e == OK) e = directory_query_run(&q, failure);
    if (e == OK) e = q.plan != NULL ? give_plan(&q) : give_result(&q);
    if (e == OK && q.result != NULL) {
        e = promql_answer_notes(q.result, PROMQL_WARNING, q.limited, &q.budget, give_warning, &q,
                                why);
    }
    if (e == OK && q.result != NULL)
        e = promql_answer_notes(q.result, PROMQL_INFO, false, &q.budget, give_info, &q, why);
    promql_result_free(q.result);
    promql_plan_free(q.plan);
    if (q.tree != NULL) promql_free(q.tree);
    buf_fini(&q.text);
    return e;
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum err
read_settings(struct target_directory *d, struct why *why)
{
    struct settings *s = &d->settings;
    const struct target_options *o = &d->target.options;
    settings_default(s);
    enum err e = o->config_file == NULL ? OK : settings_file(s, o->config_file, why);
    if (e) return e;
    if (strlen(o->storage) >= sizeof s->storage_path)
        return why_set(why, ERR_INPUT, "--storage.path: path is too long");
    strcpy(s->storage_path, o->storage);
    e = settings_validate(s, 1, 0, why); /* the actual destinations do not matter here */
    if (e) return e;
    if (o->destination != NULL) {
        /* Sets the limits for the log of a destination, which takes everything until it is
         * delivered. */
        s->storage_mode = STORAGE_NONE;
        s->retention_time_ms = INT64_MAX;
        s->write_max_future_ms = INT64_MAX / 2;
        s->write_max_labels = UINT32_MAX;
        s->write_max_name_bytes = s->write_max_value_bytes = UINT32_MAX;
    } else if (s->storage_mode != STORAGE_LOCAL) {
        return why_set(why, ERR_INPUT, "%s: nothing is stored in %s with storage.mode=none",
                       o->config_file, o->storage);
    }
    if (o->writing && !o->existing) return OK;
    /* Reading, and commands that need samples, do not make a missing directory. */
    char path[SETTING_TEXT_BYTES + 16];
    e = storage_check_restored(env_real(), o->storage, why);
    if (e) return e;
    snprintf(path, sizeof path, "%s/" STORAGE_FORMAT, o->storage);
    if (access(path, F_OK) == 0) return OK;
    if (errno != ENOENT && errno != ENOTDIR) {
        e = err_from_errno(errno);
        return why_set(why, e, "cannot open %s: %s", path, errno_text(errno).text);
    }
    return why_set(why, ERR_INPUT, "%s is not a Firekeep storage directory", o->storage);
}

static enum err
directory_open_store(struct target_directory *d, struct why *why)
{
    const struct settings *c = &d->settings;
    uint64_t memory = c->memory_limit_bytes;
    if (memory == 0) { /* half of the machine's, which other programs need, too */
        memory = machine_memory_bytes() / 2;
        if (memory > MEMORY_BYTES_MAX) memory = MEMORY_BYTES_MAX;
    }
    memory_init(&d->memory, memory);
    struct tsdb_options options = store_options_of(c, env_real(), &d->memory);
    struct tsdb_limits limits = store_limits_of(c);
    options.wal_sync = WAL_SYNC_FSYNC; /* regardless of the configuration's wal.ack */
    options.ack_memory = false;
    /* NAME_AUTO depends on the sender; samples here have no sender. */
    if (limits.require_name == NAME_AUTO) limits.require_name = NAME_NEVER;
    options.read_only = !d->target.options.writing;
    options.rules_as_stored = true; /* regardless of the configuration, if there is one */
    /* A command ends neither the grace of rules nor the hold of deletions: the server does. */
    limits.retention_grace_ms = limits.deletion_hold_ms = INT64_MAX;
    struct tsdb_opening opening;
    enum err e = tsdb_open(&options, &limits, &d->tsdb, &opening, why);
    if (e == ERR_AGAIN && d->target.options.destination != NULL)
        return why_set(why, e, "another copy uses %s", c->storage_path);
    if (e == ERR_AGAIN) {
        return why_set(why, e, "a running server or command uses %s; stop it, or use --url",
                       c->storage_path);
    }
    if (e) return e;
    if (opening.unlocked) {
        fprintf(stderr,
                "warning: cannot lock %s/LOCK; make sure that no server uses the directory\n",
                c->storage_path);
    }
    if (opening.damage.places == 0 && opening.parts_set_aside == 0) return OK;
    snprintf(d->target.damage, sizeof d->target.damage, "%s is damaged (%s)", c->storage_path,
             opening.parts_set_aside > 0 ? opening.first_damage : opening.damage.first);
    fprintf(stderr, "warning: %s; using what can be read, see firekeep verify\n", d->target.damage);
    return OK;
}

static const struct target_ops directory_ops = {
    .write = directory_write,
    .query = directory_query,
    .delete = directory_delete,
    .finish = directory_finish,
    .free = directory_free,
};

enum err
target_directory_open(const struct target_options *options, struct target **ret_target,
                      struct why *why)
{
    struct target_directory *d = mem_new(NULL, sizeof *d);
    if (d == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    d->target.ops = &directory_ops;
    d->target.options = *options;
    d->target.name = options->storage;
    enum err e = read_settings(d, why);
    if (e == OK) e = rw_request_init(&d->request, NULL);
    if (e == OK) e = directory_open_store(d, why);
    d->target.store = d->tsdb;
    if (e == OK) d->target.answerer = tsdb_answerer(d->tsdb);
    d->target.read_memory = &d->memory.foreground;
    if (e == OK) d->request.keys = tsdb_fingerprint_keys(d->tsdb);
    if (e) {
        directory_free(&d->target);
        return e;
    }
    *ret_target = &d->target;
    return OK;
}
