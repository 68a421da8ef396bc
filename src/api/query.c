/*
 * query.c - /api/v1/query and /api/v1/query_range: PromQL, in Prometheus' envelope, on a query
 * thread. Small answers are sent as one, large ones as they come. /api/v1/explain takes the
 * parameters of both, and answers with the plan, or with what the plan took.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"
#include "base/quote.h"
#include "base/time_text.h"
#include "promql/answer.h"
#include "promql/explained.h"
#include "views/partial.h"
#include "wire/number.h"

enum {
    PIECE_BYTES = 64 * 1024,
};
#define PLAN_SLOW_NS NS_PER_S /* so long may the plan of a slow query be looked for */

struct query {
    struct api *api;
    struct http_request *request;
    bool is_range;
    bool explains; /* the plan is the answer, */
    bool analyzes; /* of a run */
    struct form form;
    struct budget budget;
    struct query_control control;
    struct query_limits limits;
    struct promql_options options;
    struct promql_helpers helpers;
    struct replica_choice replicas;
    struct active_query active;
    bool is_active;
    struct promql_tree *tree;
    struct promql_result *result;
    struct promql_plan *plan;
    struct view *view;
    bool partial;                /* damage costs what is damaged, and becomes warnings: */
    struct partial_view without; /* of it: what it lacks is told */
    uint64_t limit;              /* of series; 0: none */
    bool stats;                  /* are wanted, */
    bool step_stats;             /* those of each step, too */
    bool alone;                  /* this attempt began when no other query ran */
    int64_t begun_ns, prepared_ns, run_ns;
    struct buf text;
    struct json json;
    bool begun; /* the answer is a stream */
    struct buf error;
    const char *error_type; /* of ERR_INPUT */
    unsigned error_status;
    struct why why;
};

/* --- what is asked ---------------------------------------------------------------------------- */

static enum err
cannot_parse(struct query *q, const char *begin, const char *given, const char *as)
{
    buf_printf(&q->error, "%s: cannot parse ", begin);
    quote_text(&q->error, bytes_of_text(given));
    buf_put_text(&q->error, as);
    return ERR_INPUT;
}

/* It has to be given. */
static enum err
read_time(struct query *q, const char *name, int64_t *ret_ms)
{
    char begin[64];
    const char *text = form_nth(&q->form, name, 0);
    if (text == NULL) text = "";
    if (time_parse_api(bytes_of_text(text), ret_ms)) return OK;
    snprintf(begin, sizeof begin, "invalid parameter \"%s\"", name);
    return cannot_parse(q, begin, text, " to a valid timestamp");
}

/* Seconds, or "5m". */
static enum err
read_duration(struct query *q, const char *name, const char *begin, int64_t *ret_ms)
{
    const char *text = form_nth(&q->form, name, 0);
    uint64_t bits;
    if (text == NULL) text = "";
    if (number_parse(text, strlen(text), &bits)) {
        double ns = bits_double(bits) * 1e9; /* as there, whose rounding shows */
        if (!(fabs(ns) < 0x1p63)) {
            return cannot_parse(q, begin, text, " to a valid duration. It overflows int64");
        }
        *ret_ms = (int64_t)ns / NS_PER_MS;
        return OK;
    }
    if (time_parse_duration_api(bytes_of_text(text), ret_ms)) return OK;
    return cannot_parse(q, begin, text, " to a valid duration");
}

static enum err
read_options(struct query *q)
{
    struct promql_options *o = &q->options;
    int64_t timeout_ms = 0;
    enum err e = OK;
    if (form_given(&q->form, "timeout") != NULL) {
        e = read_duration(q, "timeout", "invalid parameter \"timeout\"", &timeout_ms);
        if (timeout_ms < 0) timeout_ms = 0; /* it is over at once, as in Prometheus */
        int64_t rest_ns = q->control.deadline_ns - q->begun_ns;
        if (e == OK && timeout_ms < rest_ns / NS_PER_MS) {
            q->control.deadline_ns = q->begun_ns + timeout_ms * NS_PER_MS;
        }
    }
    if (e == OK && form_given(&q->form, "lookback_delta") != NULL) {
        e = read_duration(q, "lookback_delta", "error parsing lookback delta duration",
                          &o->lookback_ms);
    }
    if (o->lookback_ms <= 0) { /* as Prometheus: not given, then */
        o->lookback_ms = q->limits.lookback_ms;
    }
    const char *stats = form_given(&q->form, "stats");
    q->stats = stats != NULL;
    q->step_stats = q->stats && strcmp(stats, "all") == 0;
    /* Statistics are of all that the query reads. */
    bool goes_around = false;
    if (e == OK) e = form_bool(&q->form, "nocache", &goes_around, &q->error);
    o->cache = goes_around || q->stats ? NULL : q->api->results;
    o->counts = q->stats;
    if (e == OK) e = form_bool(&q->form, "partial_response", &q->partial, &q->error);
    if (e == OK) {
        e = replica_choice_read(q->api, &q->form, &q->form.arena, &q->replicas, &q->error, &q->why);
    }
    o->view_words = q->replicas.names;
    o->view_word_count = q->replicas.count;
    return e;
}

static enum err
read_instant(struct query *q)
{
    q->options.first_ms = env_realtime_ms(q->api->options.env);
    enum err e = form_limit(&q->form, &q->limit, &q->error);
    if (e == OK) e = form_time(&q->form, "time", &q->options.first_ms, &q->error);
    q->options.last_ms = q->options.first_ms;
    return e ? e : read_options(q);
}

static void
put_with_commas(struct buf *to, uint64_t number)
{
    if (number < 1000) {
        buf_printf(to, "%" PRIu64, number);
        return;
    }
    put_with_commas(to, number / 1000);
    buf_printf(to, ",%03" PRIu64, number % 1000);
}

/* Prometheus refuses more steps, too. */
static enum err
check_points(struct query *q)
{
    struct promql_options *o = &q->options;
    uint64_t max = q->limits.points_max;
    uint64_t steps = ((uint64_t)o->last_ms - (uint64_t)o->first_ms) / (uint64_t)o->step_ms;
    if (steps <= max) return OK;
    buf_put_text(&q->error, "exceeded maximum resolution of ");
    put_with_commas(&q->error, max);
    buf_printf(&q->error,
               " points per timeseries. Try decreasing the query resolution (?step=XX): "
               "query.max_points is %" PRIu64 ", this query has %" PRIu64 " steps",
               max, steps);
    return ERR_INPUT;
}

/* Of a number: what is below a millisecond has become 0. */
static bool
is_above_zero(const char *text)
{
    uint64_t bits;
    return number_parse(text, strlen(text), &bits) && bits_double(bits) > 0;
}

static enum err
read_range(struct query *q)
{
    struct promql_options *o = &q->options;
    enum err e = form_limit(&q->form, &q->limit, &q->error);
    if (e == OK) e = read_time(q, "start", &o->first_ms);
    if (e == OK) e = read_time(q, "end", &o->last_ms);
    if (e == OK && o->last_ms < o->first_ms) {
        e = form_invalid(&q->error, "end", "end timestamp must not be before start time");
    }
    if (e == OK) e = read_duration(q, "step", "invalid parameter \"step\"", &o->step_ms);
    if (e == OK && o->step_ms == 0 && is_above_zero(form_nth(&q->form, "step", 0))) {
        e = form_invalid(&q->error, "step",
                         "query resolution step widths below 1ms are not accepted");
    }
    if (e == OK && o->step_ms <= 0) {
        e = form_invalid(&q->error, "step",
                         "zero or negative query resolution step widths are not accepted. Try a "
                         "positive integer");
    }
    if (e == OK) e = check_points(q);
    return e ? e : read_options(q);
}

/* Of explain: which of both it is about. */
static enum err
read_explain(struct query *q)
{
    const struct form *f = &q->form;
    enum err e = form_bool(f, "analyze", &q->analyzes, &q->error);
    if (e) return e;
    q->is_range = form_given(f, "start") != NULL || form_given(f, "end") != NULL ||
                  form_given(f, "step") != NULL;
    return q->is_range ? read_range(q) : read_instant(q);
}

static enum err
parse(struct query *q)
{
    const char *text = form_nth(&q->form, "query", 0);
    struct buf sentence;
    buf_init(&sentence, NULL, SENTENCE_BYTES_MAX);
    enum err e = promql_parse(bytes_of_text(text == NULL ? "" : text), &q->budget, &q->control,
                              &q->tree, &sentence);
    if (e == OK && q->is_range && !promql_has_range(q->tree, &sentence)) e = ERR_INPUT;
    if (e == OK && !promql_has_durations(q->tree, &q->options, &sentence)) e = ERR_INPUT;
    if (e == ERR_INPUT || e == ERR_LIMIT) {
        buf_put_text(&q->error, "invalid parameter \"query\": ");
        buf_put_cut(&q->error, buf_bytes(&sentence));
        e = ERR_INPUT;
    } else if (e == ERR_CANCELED) {
        why_set(&q->why, e, "%.*s", (int)sentence.size, (const char *)sentence.at);
    } else if (e) {
        why_set(&q->why, e, "not enough memory for the expression");
    }
    buf_fini(&sentence);
    return e;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
send_piece(struct query *q)
{
    return reply_piece(q->api, QUEUE_QUERIES, q->request, &q->control, &q->text, &q->begun,
                       &q->why);
}

static enum err
send_if_large(void *context)
{
    struct query *q = context;
    return q->text.size < PIECE_BYTES ? OK : send_piece(q);
}

static void
put_seconds(struct json *j, const char *name, int64_t ns)
{
    char digits[NUMBER_TEXT_BYTES];
    json_key(j, name);
    json_put_raw(j, bytes_of(digits, number_print_json(double_bits((double)ns / 1e9), digits)));
}

static void
put_stats(struct query *q)
{
    struct json *j = &q->json;
    uint32_t steps;
    const uint64_t *each = promql_step_samples(q->result, &steps);
    json_member_object(j, "stats");
    json_member_object(j, "timings");
    put_seconds(j, "evalTotalTime", q->run_ns - q->begun_ns);
    put_seconds(j, "resultSortTime", 0);
    put_seconds(j, "queryPreparationTime", q->prepared_ns - q->begun_ns);
    put_seconds(j, "innerEvalTime", q->run_ns - q->prepared_ns);
    put_seconds(j, "execQueueTime", 0);
    put_seconds(j, "execTotalTime", q->run_ns - q->begun_ns);
    json_object_close(j);
    json_member_object(j, "samples");
    if (q->step_stats) {
        json_member_array(j, "totalQueryableSamplesPerStep");
        for (uint32_t i = 0; i < steps; i++) {
            char time[PROMQL_TIME_BYTES];
            int64_t t_ms = (int64_t)((uint64_t)q->options.first_ms +
                                     (uint64_t)i * (uint64_t)q->options.step_ms);
            json_array_open(j);
            json_put_raw(j, bytes_of(time, promql_print_short_time(t_ms, time)));
            json_put_uint(j, each[i]);
            json_array_close(j);
        }
        json_array_close(j);
    }
    json_member_uint(j, "totalQueryableSamples", promql_samples(q->result));
    json_member_uint(j, "peakSamples", promql_peak_samples(q->result));
    json_object_close(j);
    json_object_close(j);
}

struct notes {
    struct query *of;
    const char *key;
    bool any;
};

static void
put_note(void *context, struct bytes sentence)
{
    struct notes *n = context;
    if (!n->any) json_member_array(&n->of->json, n->key);
    n->any = true;
    json_put_bytes(&n->of->json, sentence);
}

/* The member "warnings" or "infos"; it is left out when empty. */
static enum err
put_notes(struct query *q, enum promql_note kind, bool limited)
{
    struct notes n = {.of = q, .key = kind == PROMQL_WARNING ? "warnings" : "infos"};
    const char *missing = kind == PROMQL_WARNING ? partial_view_warning(&q->without, 0) : NULL;
    for (uint32_t i = 1; missing != NULL; i++) {
        put_note(&n, bytes_of_text(missing));
        missing = partial_view_warning(&q->without, i);
    }
    enum err e = promql_answer_notes(q->result, kind, limited, &q->budget, put_note, &n, &q->why);
    if (n.any) json_array_close(&q->json);
    return e;
}

static enum err
put_answer(struct query *q)
{
    struct promql_answer answer = {.result = q->result,
                                   .t_ms = q->options.first_ms,
                                   .limit = q->limit,
                                   .to = &q->json,
                                   .piece = send_if_large,
                                   .context = q};
    success_begin(&q->json, &q->text);
    json_object_open(&q->json);
    enum err e = promql_answer_put(&answer);
    if (e) return e;
    if (q->stats) put_stats(q);
    json_object_close(&q->json);
    e = put_notes(q, PROMQL_WARNING, answer.limited);
    if (e == OK) e = put_notes(q, PROMQL_INFO, false);
    if (e) return e;
    json_object_close(&q->json);
    return q->begun ? send_piece(q) : buf_error(&q->text);
}

static enum err
put_explained(struct query *q)
{
    struct promql_explained x = {
        .plan = q->plan,
        .result = q->result,
        .control = &q->control,
        .ran_ns = q->run_ns - q->prepared_ns,
    };
    struct notes n = {.of = q, .key = "warnings"};
    struct buf data;
    buf_init(&data, &q->budget, (size_t)1 << 30);
    success_begin(&q->json, &q->text);
    enum err e = promql_explained_put(&x, &data);
    if (e == OK) json_put_raw(&q->json, buf_bytes(&data));
    buf_fini(&data);
    if (e) return why_set(&q->why, e, "not enough memory for the plan");
    promql_explained_warnings(&x, put_note, &n);
    if (n.any) json_array_close(&q->json);
    if (q->analyzes) e = put_notes(q, PROMQL_WARNING, false);
    if (q->analyzes && e == OK) e = put_notes(q, PROMQL_INFO, false);
    if (e) return e;
    json_object_close(&q->json);
    return buf_error(&q->text);
}

/* Which time was over. */
static void
tell_timeout(struct query *q)
{
    int64_t allowed_ms = (q->control.deadline_ns - q->begun_ns) / NS_PER_MS;
    bool asked = q->control.deadline_ns - q->begun_ns < q->limits.timeout_ns;
    why_set(&q->why, ERR_CANCELED,
            "query timed out after %" PRId64 ".%03d s (%s): use narrower matchers, a shorter time "
            "range or a longer step",
            allowed_ms / 1000, (int)(allowed_ms % 1000),
            asked ? "parameter timeout" : "query.timeout");
}

static double
mebibytes(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* False: the query itself took little, and may be answered when others have ended. */
static bool
tell_memory(struct query *q)
{
    const struct budget *all = &q->api->read_budget;
    uint64_t own = atomic_load_explicit(&q->budget.lacking_bytes, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&all->limit_bytes, memory_order_relaxed);
    if (limit == 0) return true;
    bool is_large = own > limit / 4;
    why_set(&q->why, ERR_NOMEM,
            "not enough memory for the query: it needs %.1f MiB or more, and all queries and "
            "reads together may use %.1f MiB (memory.limit): %s",
            mebibytes(own), mebibytes(limit),
            is_large ? "use narrower matchers, a shorter time range or a longer step"
                     : "others use most of it, try again later");
    return is_large;
}

static void
end_answer(struct query *q, enum err e)
{
    bool canceled = atomic_load(&q->control.canceled) != NULL;
    if (e == ERR_CANCELED && !canceled) tell_timeout(q);
    if (q->begun) {
        http_stream_end(q->request, e == OK);
    } else if (e == OK) {
        reply_json(q->request, 200, &q->text);
    } else if (e == ERR_INPUT && q->error.size > 0) {
        reply_sentence(q->request, q->error_status, q->error_type, buf_bytes(&q->error));
    } else if (e == ERR_CANCELED && canceled) {
        reply_problem(q->request, 503, "canceled", why_text(&q->why, e));
    } else if (e == ERR_NOMEM && !tell_memory(q)) {
        reply_problem(q->request, 503, "unavailable", why_text(&q->why, e));
    } else if (e == ERR_LIMIT && query_control_is_over(&q->control)) {
        char text[sizeof q->why.text + 64];
        snprintf(text, sizeof text, "%s; /api/v1/explain tells what the query needs",
                 why_text(&q->why, e));
        reply_problem(q->request, 422, "execution", text);
    } else {
        reply_problem_of(q->request, FOR_QUERY, e, &q->why);
    }
}

/* --- the query -------------------------------------------------------------------------------- */

/* What it may cost. */
static void
begin_control(struct query *q)
{
    struct query_control *c = &q->control;
    q->limits = api_limits_now(q->api).query;
    query_control_begin(q->api, q->request, &q->budget, c);
    c->deadline_ns = q->begun_ns + q->limits.timeout_ns;
    c->series_max = q->limits.series_max;
    c->samples_max = q->limits.samples_read_max;
    c->bytes_max = q->limits.bytes_max;
    c->names = &limits_of_queries;
    q->options.control = c;
    q->options.budget = &q->budget;
    q->options.held_max = q->limits.samples_max;
    q->helpers = query_helpers(q->api);
    q->options.helpers = &q->helpers;
    q->options.features = q->limits.features;
    q->options.subquery_step_ms = q->limits.subquery_step_ms;
}

/* Views of the request end when the answer begins; the query is listed for longer. */
static enum err
begin_active(struct query *q)
{
    const struct promql_options *o = &q->options;
    const char *query = form_nth(&q->form, "query", 0);
    struct bytes text = bytes_of_text(query == NULL ? "" : query);
    q->active = (struct active_query){
        .tenant = o->tenant,
        .text = arena_copy(&q->form.arena, text),
        .first_ms = o->first_ms,
        .last_ms = o->last_ms,
        .step_ms = o->step_ms,
        .begun_ns = q->begun_ns,
        .control = &q->control,
    };
    if (q->active.text.at == NULL && text.size > 0) {
        return why_set(&q->why, ERR_NOMEM, "not enough memory for the query");
    }
    queries_begin(q->api, &q->active);
    q->is_active = true;
    return OK;
}

static enum err
evaluate(struct query *q)
{
    partial_view_init(&q->without, q->view, q->partial, &q->budget);
    enum err e = promql_run(q->tree, &q->without.view, &q->options, &q->result, &q->error, &q->why);
    return e ? e : partial_view_check(&q->without, &q->why);
}

static enum err
run_or_explain(struct query *q)
{
    enum err e = query_control_check(&q->control, &q->why);
    if (e == OK && q->explains) {
        e = promql_explain(q->tree, q->view, &q->options, &q->plan, &q->error, &q->why);
    }
    if (e || (q->explains && !q->analyzes)) return e;
    q->options.plan = q->plan;
    return evaluate(q);
}

/* What a slow query reads, for the log: by the index of now, which may have changed a little. */
static void
plan_slow_one(struct query *q, struct buf *line)
{
    struct promql_options options = q->options;
    struct query_control control = {
        .env = q->control.env,
        .deadline_ns = env_monotonic_ns(q->control.env) + PLAN_SLOW_NS,
        .budget = &q->budget,
    };
    struct promql_plan *plan;
    struct buf error;
    struct why why;
    struct view *view;
    options.control = &control;
    if (q->tree == NULL || replica_choice_open(q->api, &q->replicas, &control, &view, &why)) return;
    buf_init(&error, NULL, SENTENCE_BYTES_MAX);
    if (promql_explain(q->tree, view, &options, &plan, &error, &why) == OK) {
        promql_plan_put_line(plan, line);
        promql_plan_free(plan);
    }
    buf_fini(&error);
    view_free(view);
}

/* Once it is answered: what the log costs is nothing that the client waits for. Nothing of the
 * request is there any more. */
static void
log_slow(struct query *q, enum err e, int64_t took_ns)
{
    struct buf line;
    buf_init(&line, NULL, SENTENCE_BYTES_MAX);
    plan_slow_one(q, &line);
    queries_log_slow(&q->active, e, took_ns, buf_error(&line) ? bytes_of("", 0) : buf_bytes(&line));
    buf_fini(&line);
}

/* Of an attempt. */
static void
forget_attempt(struct query *q)
{
    promql_result_free(q->result);
    promql_plan_free(q->plan);
    partial_view_fini(&q->without);
    if (q->tree != NULL) promql_free(q->tree);
    q->result = NULL;
    q->plan = NULL;
    q->options.plan = NULL;
    q->tree = NULL;
    q->without = (struct partial_view){.below = NULL};
}

/* True: there is memory now, which others had. It needs a quarter more than what was refused: a
 * guess, each attempt makes a better one. */
static bool
has_waited_for_memory(struct query *q)
{
    uint64_t limit = atomic_load_explicit(&q->api->read_budget.limit_bytes, memory_order_relaxed);
    uint64_t own = atomic_load_explicit(&q->budget.lacking_bytes, memory_order_relaxed);
    int64_t until_ns = q->begun_ns + q->api->options.query_queue_timeout_ns;
    if (!q->is_active || own == 0 || own > limit / 4 * 3) return false;
    forget_attempt(q);
    if (until_ns > q->control.deadline_ns) until_ns = q->control.deadline_ns;
    if (!queries_await_memory(q->api, &q->active, own + own / 4, until_ns, &q->alone)) {
        return false;
    }
    q->control.series_seen = q->control.samples_seen = q->control.bytes_seen = 0;
    buf_clear(&q->error);
    return true;
}

/* In the books before it is answered: whoever has the answer finds the query there. */
static void
end(struct query *q, enum err e)
{
    int64_t took_ns = env_monotonic_ns(q->api->options.env) - q->begun_ns;
    bool ran = q->prepared_ns != 0 || e == ERR_CANCELED, is_slow = false;
    if (q->is_active && ran)
        is_slow = queries_end(q->api, &q->active, e, took_ns);
    else if (q->is_active)
        queries_forget(q->api, &q->active);
    end_answer(q, e);
    if (is_slow) log_slow(q, e, took_ns);
}

static enum err
attempt(struct query *q)
{
    q->error_status = 400;
    q->error_type = "bad_data";
    enum err e = parse(q);
    if (e) return e;
    q->prepared_ns = env_monotonic_ns(q->api->options.env);
    e = replica_choice_open(q->api, &q->replicas, &q->control, &q->view, &q->why);
    if (e) return e;
    q->error_status = 422;
    q->error_type = "execution";
    e = run_or_explain(q);
    view_free(q->view); /* a client that is slow holds no parts */
    q->run_ns = env_monotonic_ns(q->api->options.env);
    return e;
}

static enum err
answer(struct query *q)
{
    q->error_status = 400;
    q->error_type = "bad_data";
    enum err e = q->explains ? read_explain(q) : q->is_range ? read_range(q) : read_instant(q);
    /* Reading a long expression takes time, too. */
    if (e == OK && (!q->explains || q->analyzes)) e = begin_active(q);
    if (e) return e;
    do {
        e = attempt(q);
    } while (e == ERR_NOMEM && has_waited_for_memory(q));
    if (e) return e;
    return q->explains ? put_explained(q) : put_answer(q);
}

enum asked { ASKED_INSTANT, ASKED_RANGE, ASKED_EXPLAIN };

static void
run(struct api *api, struct http_request *request, enum asked asked)
{
    struct query *q = mem_new(&api->read_budget, sizeof *q);
    if (q == NULL) {
        reply_problem(request, status_of(FOR_QUERY, ERR_NOMEM),
                      problem_type_of(FOR_QUERY, ERR_NOMEM), "not enough memory for the query");
        return;
    }
    q->api = api;
    q->request = request;
    q->is_range = asked == ASKED_RANGE;
    q->explains = asked == ASKED_EXPLAIN;
    q->begun_ns = env_monotonic_ns(api->options.env);
    budget_init(&q->budget, "query", 0, &api->read_budget);
    buf_init(&q->text, &q->budget, (size_t)1 << 30);
    buf_init(&q->error, NULL, SENTENCE_BYTES_MAX);
    begin_control(q);
    unsigned refused;
    enum err e =
        read_asked(api, request, &q->budget, &q->form, &q->options.tenant, &refused, &q->why);
    if (refused != 0) {
        reply_problem(request, refused, "bad_data", q->why.text);
    } else {
        if (e == OK) e = answer(q);
        end(q, e);
    }
    forget_attempt(q);
    form_fini(&q->form);
    buf_fini(&q->error);
    buf_fini(&q->text);
    mem_free(&api->read_budget, q, sizeof *q);
}

void
query_run(struct api *api, struct http_request *request)
{
    run(api, request, ASKED_INSTANT);
}

void
query_range_run(struct api *api, struct http_request *request)
{
    run(api, request, ASKED_RANGE);
}

void
explain_run(struct api *api, struct http_request *request)
{
    run(api, request, ASKED_EXPLAIN);
}
