/* query_store.c - runs a query over a store in this process, as the server's API does. */
#include <inttypes.h>

#include "cli/lib/query_answer.h"
#include "cli/lib/query_source.h"
#include "promql/promql.h"
#include "sys/env.h"
#include "views/stack.h"

enum { TEXT_BYTES = 64 * 1024, TEXT_BYTES_MAX = 1 << 30 };

struct directory_query {
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

/* --- the result ------------------------------------------------------------------------------- */

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
query_give(struct directory_query *q)
{
    enum err e = q->plan != NULL ? give_plan(q) : give_result(q);
    if (q->result == NULL) return e;
    if (e == OK) {
        e = promql_answer_notes(q->result, PROMQL_WARNING, q->limited, &q->budget, give_warning, q,
                                q->why);
    }
    return e ? e
             : promql_answer_notes(q->result, PROMQL_INFO, false, &q->budget, give_info, q, q->why);
}

/* --- the query -------------------------------------------------------------------------------- */

static enum err
read_question(const struct query_store *store, struct directory_query *q,
              struct query_failure *failure)
{
    const struct query_parameters *a = q->parameters;
    struct buf *sentence = &failure->sentence;
    uint64_t steps = a->step_ms == 0 ? 0 : (uint64_t)((a->last_ms - a->first_ms) / a->step_ms);
    failure->bad_question = true;
    if (steps > store->points_max) {
        buf_printf(sentence,
                   "the range has more than %" PRIu64
                   " steps (query.max_points); use a longer --step",
                   store->points_max);
        return ERR_INPUT;
    }
    enum err e = promql_parse(a->expression, &q->budget, NULL, &q->tree, sentence);
    if (e == OK && a->step_ms > 0 && !promql_has_range(q->tree, sentence)) e = ERR_INPUT;
    failure->bad_question = e == ERR_INPUT || e == ERR_LIMIT;
    if (e == ERR_NOMEM) why_set(q->why, e, "not enough memory for the expression");
    return e;
}

static enum err
query_store_run(const struct query_store *store, struct directory_query *q,
                struct query_failure *failure)
{
    const struct query_parameters *a = q->parameters;
    struct promql_options options = {
        .tenant = store->tenant,
        .first_ms = a->first_ms,
        .last_ms = a->step_ms == 0 ? a->first_ms : a->last_ms,
        .step_ms = a->step_ms,
        .lookback_ms = a->lookback_ms == 0 ? store->lookback_ms : a->lookback_ms,
        .subquery_step_ms = store->subquery_step_ms,
        .features = store->features,
        .held_max = store->samples_max,
        .control = &q->control,
        .budget = &q->budget,
    };
    struct view *view;
    struct buf *sentence = &failure->sentence;
    struct bytes names[REPLICA_LABELS_MAX];
    struct view_stack stack = {.answerer = store->answerer,
                               .replicas = names,
                               .replica_count = replica_labels_of(store->replica_labels, names)};
    enum err e = view_stack_open(&stack, &q->control, &view, q->why);
    if (e) return e;
    if (a->mode != QUERY_RESULT) {
        e = promql_explain(q->tree, view, &options, &q->plan, sentence, q->why);
        options.plan = q->plan;
    }
    int64_t begun_ns = env_monotonic_ns(q->control.env);
    if (e == OK && a->mode != QUERY_EXPLAIN) {
        e = promql_run(q->tree, view, &options, &q->result, sentence, q->why);
    }
    q->ran_ns = env_monotonic_ns(q->control.env) - begun_ns;
    view_free(view);
    return e;
}

enum err
query_store(const struct query_store *store, const struct query_parameters *parameters,
            struct query_sink *sink, struct query_failure *failure, struct why *why)
{
    struct directory_query q = {.parameters = parameters, .sink = sink, .why = why};
    struct env *env = env_real();
    budget_init(&q.budget, "query", 0, store->memory);
    buf_init(&q.text, NULL, TEXT_BYTES_MAX);
    q.control.env = env;
    q.control.budget = &q.budget;
    q.control.series_max = store->series_max;
    q.control.samples_max = store->samples_read_max;
    q.control.bytes_max = store->bytes_max;
    q.control.names = &limits_of_queries;
    if (parameters->timeout_ms > 0) {
        q.control.deadline_ns = env_monotonic_ns(env) + parameters->timeout_ms * NS_PER_MS;
    }
    enum err e = read_question(store, &q, failure);
    if (e == OK) e = query_store_run(store, &q, failure);
    if (e == OK) e = query_give(&q);
    promql_result_free(q.result);
    promql_plan_free(q.plan);
    if (q.tree != NULL) promql_free(q.tree);
    buf_fini(&q.text);
    return e;
}
