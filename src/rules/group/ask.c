/* ask.c - runs the queries of rules: their expressions, and `query` in templates. */
#include "rules/group/evaluate.h"

#include "model/select.h"
#include "sys/env.h"
#include "wire/number.h"

#define LOOK_NS_MIN (60 * NS_PER_S) /* shorter limits are meant for queries */

enum { SUBQUERY_STEP_MS = 60 * 1000 };

void
ask_control(const struct evaluating *ev, struct budget *budget, struct query_control *control)
{
    const struct rules_terms *terms = ev->terms;
    *control = (struct query_control){
        .env = ev->host->env,
        .deadline_ns =
            terms->timeout_ns == 0 ? 0 : env_monotonic_ns(ev->host->env) + terms->timeout_ns,
        .all_canceled = ev->host->all_canceled,
        .budget = budget,
        .series_max = terms->series_max,
        .samples_max = terms->samples_read_max,
        .bytes_max = terms->bytes_max,
        .fetched_max = terms->fetched_max,
        .names = &limits_of_queries,
        .warn = terms->warn,
        .warn_context = terms->open_context,
        .usage = terms->usage,
        .usage_kind = USAGE_RULE,
    };
}

void
look_control(const struct evaluating *ev, struct budget *budget, struct query_control *control)
{
    int64_t least_ns = env_monotonic_ns(ev->host->env) + LOOK_NS_MIN;
    ask_control(ev, budget, control);
    control->series_max = control->samples_max = control->bytes_max = control->fetched_max = 0;
    if (control->deadline_ns != 0 && control->deadline_ns < least_ns)
        control->deadline_ns = least_ns;
}

enum err
ask(const struct evaluating *ev, const struct promql_tree *tree, const struct ask_times *times,
    struct rule_answer *a, struct buf *error, struct why *why)
{
    budget_init(&a->budget, "rule", 0, ev->host->memory);
    ask_control(ev, &a->budget, &a->control);
    struct promql_options options = {
        .tenant = ev->g->tenant,
        .first_ms = times->first_ms,
        .last_ms = times->last_ms,
        .step_ms = times->step_ms,
        .lookback_ms = ev->terms->lookback_ms,
        .subquery_step_ms =
            ev->terms->subquery_step_ms > 0 ? ev->terms->subquery_step_ms : SUBQUERY_STEP_MS,
        .features = ev->terms->features,
        .helpers = ev->host->helpers,
        .held_max = ev->terms->held_max,
        .control = &a->control,
        .budget = &a->budget,
    };
    a->result = NULL;
    if (times->step_ms > 0 && !promql_has_range(tree, error)) return ERR_INPUT;
    if (!promql_has_durations(tree, &options, error)) return ERR_INPUT;
    enum err e = promql_run(tree, ev->view, &options, &a->result, error, why);
    if (e || times->step_ms > 0) return e;
    enum promql_type type = promql_result_type(a->result);
    if (type == PROMQL_VECTOR || type == PROMQL_SCALAR) return OK; /* a scalar is one sample */
    buf_put_text(error, "rule result is not a vector or scalar");
    return ERR_INPUT;
}

void
rule_answer_end(struct rule_answer *a)
{
    promql_result_free(a->result);
}

bool
rule_answer_is_approximate(const struct rule_answer *a, struct why *ret)
{
    struct buf info;
    bool is_told = thinned_to(&a->control) > 0;
    if (is_told) thinned_say(thinned_to(&a->control), ret);
    buf_init(&info, NULL, RULE_ERROR_BYTES_MAX);
    for (uint32_t i = 0; !is_told && promql_note(a->result, PROMQL_INFO, i, &info); i++) {
        buf_put_u8(&info, '\0');
        is_told = buf_error(&info) == OK && strstr((const char *)info.at, THINNED_WORDS) != NULL;
        if (is_told) why_set(ret, OK, "%s", (const char *)info.at);
        buf_clear(&info);
    }
    buf_fini(&info);
    return is_told;
}

bool
ask_failed(const struct evaluating *ev, enum err e, const struct buf *error)
{
    const _Atomic(const char *) *all_canceled = ev->host->all_canceled;
    bool ends = all_canceled != NULL && atomic_load(all_canceled) != NULL;
    bool is_late = e == ERR_CANCELED && ev->terms->timeout_ns > 0 && !ends;
    return e == ERR_LIMIT || (e == ERR_INPUT && error->size > 0) || is_late;
}

/* Gives the one point of the current series. */
bool
rule_answer_point(struct promql_result *result, struct promql_point *ret)
{
    return promql_next_point(result, false, ret) || promql_next_point(result, true, ret);
}

/* --- `query` in templates --------------------------------------------------------------------- */

static enum err
give_samples(struct promql_result *result, enum err (*each)(void *, const struct template_sample *),
             void *to)
{
    struct template_sample sample;
    struct promql_point point;
    enum err e = OK;
    while (e == OK && promql_next_series(result, &sample.labels)) {
        if (!rule_answer_point(result, &point)) continue;
        sample.value = double_bits(point.value);
        sample.histogram = point.histogram;
        e = each(to, &sample);
    }
    return e;
}

enum err
ask_for_template(const struct evaluating *ev, struct bytes expression,
                 enum err (*each)(void *, const struct template_sample *), void *to,
                 struct why *why)
{
    struct promql_tree *tree = NULL;
    struct rule_answer a = {.result = NULL};
    struct ask_times times = {.first_ms = ev->t_ms, .last_ms = ev->t_ms};
    struct buf error;
    buf_init(&error, ev->host->memory, RULE_ERROR_BYTES_MAX);
    enum err e = promql_parse(expression, ev->host->memory, NULL, &tree, &error);
    if (e == OK) e = ask(ev, tree, &times, &a, &error, why);
    if (e == OK) e = give_samples(a.result, each, to);
    if (e && error.size > 0) {
        e = why_set(why, e == ERR_LIMIT ? ERR_INPUT : e, "%.*s", (int)error.size,
                    (const char *)error.at);
    }
    rule_answer_end(&a);
    promql_free(tree);
    buf_fini(&error);
    return e;
}
