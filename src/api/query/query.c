/*
 * query.c - /api/v1/query and /api/v1/query_range: PromQL, in Prometheus' envelope, on a query
 * thread. Small answers are sent as one, large ones as they come. /api/v1/explain takes the
 * parameters of both, and answers with the plan, or with the plan and its costs.
 *
 *   READING --begin_active()--> RUNNING --evaluated--> ANSWERING --large--> STREAMING
 *      |                           |                       |                    |
 *      +---------------------------+-----------+-----------+--------------------+
 *                                              | query_end()
 *                                              v
 *                                            ENDED
 *
 * An attempt that does not get enough memory is repeated in RUNNING, when other queries have
 * returned some.
 *
 * Invariants:
 *
 * 1. From RUNNING to query_end() a query is among the active ones (queries.c), unless it asks for a
 *    plan only.
 * 2. An attempt begins without tree, result, plan and view; its view is closed when it ends.
 * 3. In ANSWERING and STREAMING the result is there, and the plan if that is asked for; both are
 *    read there only.
 * 4. Nothing of the answer is sent before ANSWERING, and views of the request end with STREAMING.
 * 5. query_end() answers once.
 */
#include "api/routes.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/request/read_request.h"
#include "auth/gate.h"
#include "base/lock.h"
#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "model/trouble.h"
#include "promql/promql.h"
#include "wire/number.h"

enum { PIECE_BYTES = 64 * 1024 };
#define PLAN_SLOW_NS NS_PER_S /* longest time that the plan of a slow query may take */

enum query_phase {
    QUERY_READING, /* its parameters */
    QUERY_RUNNING,
    QUERY_ANSWERING, /* the answer is made, and may become a stream */
    QUERY_STREAMING, /* the answer has begun */
    QUERY_ENDED,
};

enum query_purpose {
    PURPOSE_RESULT,
    PURPOSE_PLAN,     /* /api/v1/explain */
    PURPOSE_ANALYSIS, /* the same with analyze=true: runs the plan and reports its costs */
};

enum query_stats { STATS_NONE, STATS_COST, STATS_TOTAL, STATS_EACH_STEP };

struct api_query {
    struct read_request r;
    enum query_phase phase;
    enum query_purpose purpose;
    enum query_stats stats;
    bool is_range;
    bool is_alone; /* this attempt began when no other query ran */
    struct query_limits limits;
    struct promql_options options;
    struct promql_helpers helpers;
    struct bytes view_words[REPLICA_LABELS_MAX + 1]; /* the replicas, and the fence */
    struct active_query active;
    struct promql_tree *tree;
    struct promql_result *result;
    struct promql_plan *plan;
    struct lock lock; /* LOCK_RANK_LEAF; guards r.warnings and the next while it is evaluated */
    bool lost_warning;

    uint64_t limit; /* largest number of series in the response; 0: unlimited */
    int64_t begun_ns, prepared_ns, run_ns;
    const char *error_type; /* for ERR_INPUT */
    unsigned error_status;
};

static void
query_enter(struct api_query *q, enum query_phase phase)
{
    enum query_phase from = q->phase;
    switch (phase) {
    case QUERY_READING:
        assert(!"a query begins there");
        break;
    case QUERY_RUNNING:
        assert(from == QUERY_READING);
        break;
    case QUERY_ANSWERING:
        assert(from == QUERY_RUNNING);
        assert(q->result != NULL || q->purpose == PURPOSE_PLAN); /* invariant 3 */
        assert(q->plan != NULL || q->purpose == PURPOSE_RESULT); /* invariant 3 */
        assert(q->r.view == NULL);                               /* invariant 2 */
        break;
    case QUERY_STREAMING:
        assert(from == QUERY_ANSWERING); /* invariant 4 */
        break;
    case QUERY_ENDED:
        assert(from != QUERY_ENDED); /* invariant 5 */
        break;
    }
    q->phase = phase;
}

/* Says whether the query is among the active ones: invariant 1. */
static bool
is_active(const struct api_query *q)
{
    return q->phase != QUERY_READING && q->phase != QUERY_ENDED && q->purpose != PURPOSE_PLAN;
}

/* --- parameters ------------------------------------------------------------------------------- */

static enum err
cannot_parse(struct api_query *q, const char *begin, const char *given, const char *as)
{
    buf_printf(&q->r.error, "%s: cannot parse ", begin);
    quote_text(&q->r.error, bytes_of_text(given));
    buf_put_text(&q->r.error, as);
    return ERR_INPUT;
}

/* Reads a required time. */
static enum err
read_time(struct api_query *q, const char *name, int64_t *ret_ms)
{
    char begin[64];
    const char *text = form_nth(&q->r.form, name, 0);
    if (text == NULL) text = "";
    if (form_parse_time(text, ret_ms)) return OK;
    snprintf(begin, sizeof begin, "invalid parameter \"%s\"", name);
    return cannot_parse(q, begin, text, " to a valid timestamp");
}

/* Reads a duration in seconds, or like "5m". */
static enum err
read_duration(struct api_query *q, const char *name, const char *begin, int64_t *ret_ms)
{
    const char *text = form_nth(&q->r.form, name, 0);
    uint64_t bits;
    if (text == NULL) text = "";
    if (number_parse_go(text, strlen(text), &bits)) {
        double ns = bits_double(bits) * 1e9; /* rounds like Prometheus */
        if (!(fabs(ns) < 0x1p63))
            return cannot_parse(q, begin, text, " to a valid duration. It overflows int64");
        *ret_ms = (int64_t)ns / NS_PER_MS;
        return OK;
    }
    if (time_parse_duration_api(bytes_of_text(text), ret_ms)) return OK;
    return cannot_parse(q, begin, text, " to a valid duration");
}

static enum err
read_options(struct api_query *q)
{
    struct promql_options *o = &q->options;
    int64_t timeout_ms = 0;
    enum err e = OK;
    if (form_given(&q->r.form, "timeout") != NULL) {
        e = read_duration(q, "timeout", "invalid parameter \"timeout\"", &timeout_ms);
        if (timeout_ms < 0) timeout_ms = 0; /* expires at once, as in Prometheus */
        int64_t rest_ns = q->r.control.deadline_ns - q->begun_ns;
        if (e == OK && timeout_ms < rest_ns / NS_PER_MS)
            q->r.control.deadline_ns = q->begun_ns + timeout_ms * NS_PER_MS;
    }
    if (e == OK && form_given(&q->r.form, "lookback_delta") != NULL) {
        e = read_duration(q, "lookback_delta", "error parsing lookback delta duration",
                          &o->lookback_ms);
    }
    if (o->lookback_ms <= 0) /* ignored, as in Prometheus */
        o->lookback_ms = q->limits.lookback_ms;
    const char *stats = form_given(&q->r.form, "stats");
    q->stats = stats == NULL                ? STATS_NONE
               : strcmp(stats, "cost") == 0 ? STATS_COST
               : strcmp(stats, "all") == 0  ? STATS_EACH_STEP
                                            : STATS_TOTAL;
    const char *resolution = form_given(&q->r.form, "max_source_resolution");
    o->limits_resolution = resolution != NULL && strcmp(resolution, "auto") != 0;
    if (e == OK && o->limits_resolution) {
        e = read_duration(q, "max_source_resolution", "invalid parameter \"max_source_resolution\"",
                          &o->resolution_max_ms);
    }
    if (e == OK && o->resolution_max_ms < 0)
        e = form_invalid(&q->r.error, "max_source_resolution", "a resolution must not be negative");
    /* Statistics other than the cost count all that the query would read, so they do without the
     * cache. */
    bool nocache = false;
    if (e == OK) e = form_bool(&q->r.form, "nocache", &nocache, &q->r.error);
    o->counts = q->stats > STATS_COST;
    o->cache = nocache || o->counts ? NULL : q->r.api->results;
    /* Nor are results without damaged data cached. */
    if (e == OK) e = form_bool(&q->r.form, "partial_response", &q->r.control.partial, &q->r.error);
    if (q->r.control.partial) o->cache = NULL;
    if (e == OK) e = read_request_scope(&q->r);
    memcpy(q->view_words, q->r.replicas, sizeof q->r.replicas);
    q->view_words[q->r.replica_count] = q->r.fence.word;
    o->view_words = q->view_words;
    o->view_word_count = q->r.replica_count + 1;
    return e;
}

static enum err
read_instant(struct api_query *q)
{
    q->options.first_ms = env_realtime_ms(q->r.api->options.env);
    enum err e = form_limit(&q->r.form, &q->limit, &q->r.error);
    if (e == OK) e = form_time(&q->r.form, "time", &q->options.first_ms, &q->r.error);
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

/* Refuses too many steps, like Prometheus. */
static enum err
check_points(struct api_query *q)
{
    struct promql_options *o = &q->options;
    uint64_t max = q->limits.points_max;
    uint64_t steps = ((uint64_t)o->last_ms - (uint64_t)o->first_ms) / (uint64_t)o->step_ms;
    if (steps <= max) return OK;
    buf_put_text(&q->r.error, "exceeded maximum resolution of ");
    put_with_commas(&q->r.error, max);
    buf_printf(&q->r.error,
               " points per timeseries. Try decreasing the query resolution (?step=XX): "
               "query.max_points is %" PRIu64 ", this query has %" PRIu64 " steps",
               max, steps);
    return ERR_INPUT;
}

/* Says whether a number is above 0, though it may be below a millisecond. */
static bool
is_above_zero(const char *text)
{
    uint64_t bits;
    return number_parse_go(text, strlen(text), &bits) && bits_double(bits) > 0;
}

static enum err
read_range(struct api_query *q)
{
    struct promql_options *o = &q->options;
    enum err e = form_limit(&q->r.form, &q->limit, &q->r.error);
    if (e == OK) e = read_time(q, "start", &o->first_ms);
    if (e == OK) e = read_time(q, "end", &o->last_ms);
    if (e == OK && o->last_ms < o->first_ms)
        e = form_invalid(&q->r.error, "end", "end timestamp must not be before start time");
    if (e == OK) e = read_duration(q, "step", "invalid parameter \"step\"", &o->step_ms);
    if (e == OK && o->step_ms == 0 && is_above_zero(form_nth(&q->r.form, "step", 0))) {
        e = form_invalid(&q->r.error, "step",
                         "query resolution step widths below 1ms are not accepted");
    }
    if (e == OK && o->step_ms <= 0) {
        e = form_invalid(&q->r.error, "step",
                         "zero or negative query resolution step widths are not accepted. Try a "
                         "positive integer");
    }
    if (e == OK) e = check_points(q);
    return e ? e : read_options(q);
}

/* Reads the parameters of an instant or a range query to explain. */
static enum err
read_explain(struct api_query *q)
{
    const struct form *f = &q->r.form;
    bool analyzes = false;
    enum err e = form_bool(f, "analyze", &analyzes, &q->r.error);
    if (e) return e;
    if (analyzes) q->purpose = PURPOSE_ANALYSIS;
    q->is_range = form_given(f, "start") != NULL || form_given(f, "end") != NULL ||
                  form_given(f, "step") != NULL;
    return q->is_range ? read_range(q) : read_instant(q);
}

static enum err
query_parse(struct api_query *q)
{
    const char *text = form_nth(&q->r.form, "query", 0);
    struct buf sentence;
    buf_init(&sentence, NULL, SENTENCE_BYTES_MAX);
    enum err e = promql_parse(bytes_of_text(text == NULL ? "" : text), &q->r.budget, &q->r.control,
                              &q->tree, &sentence);
    if (e == OK && q->is_range && !promql_has_range(q->tree, &sentence)) e = ERR_INPUT;
    if (e == OK && !promql_has_durations(q->tree, &q->options, &sentence)) e = ERR_INPUT;
    if (e == ERR_INPUT || e == ERR_LIMIT) {
        buf_put_text(&q->r.error, "invalid parameter \"query\": ");
        buf_put_cut(&q->r.error, buf_bytes(&sentence));
        e = ERR_INPUT;
    } else if (e == ERR_CANCELED) {
        why_set(&q->r.why, e, "%.*s", (int)sentence.size, (const char *)sentence.at);
    } else if (e) {
        why_set(&q->r.why, e, "not enough memory for the expression");
    }
    buf_fini(&sentence);
    return e;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
send_piece(struct api_query *q)
{
    enum err e = read_request_send(&q->r, QUEUE_QUERIES, "application/json");
    if (q->r.begun && q->phase != QUERY_STREAMING) query_enter(q, QUERY_STREAMING);
    return e;
}

static enum err
send_if_large(void *context)
{
    struct api_query *q = context;
    return q->r.text.size < PIECE_BYTES ? OK : send_piece(q);
}

static void
put_seconds(struct json *j, const char *name, int64_t ns)
{
    char digits[NUMBER_TEXT_BYTES];
    json_key(j, name);
    json_put_raw(j, bytes_of(digits, number_print_json(double_bits((double)ns / 1e9), digits)));
}

/* Memory also depends on what is not visible: hidden series, and tenants of others. A request
 * without a user may come from a proxy, which chooses the tenant. */
static enum plan_memory
memory_shown(const struct api_query *q)
{
    const struct user *user = gate_user(q->r.request);
    bool of_all = user == NULL ? !q->r.api->options.tenancy : user->tenants.count == 0;
    return of_all && q->r.fence.permitted.count == 0 ? PLAN_MEMORY_SHOWN : PLAN_MEMORY_HIDDEN;
}

/* Writes what the query took, for those who may know. */
static void
put_cost(struct api_query *q, uint32_t steps)
{
    struct json *j = &q->r.json;
    json_member_object(j, "cost");
    json_members(j, JSON("seriesRead", q->r.control.series_seen),
                 JSON("samplesRead", q->r.control.samples_seen),
                 JSON("bytesRead", q->r.control.bytes_seen),
                 JSON("peakSamples", promql_peak_samples(q->result)));
    if (memory_shown(q) == PLAN_MEMORY_SHOWN) {
        json_member_uint(j, "peakBytes",
                         atomic_load_explicit(&q->r.budget.peak_bytes, memory_order_relaxed));
    }
    json_members(j, JSON("steps", steps), JSON("cachedSteps", promql_cached_steps(q->result)));
    json_object_close(j);
}

static void
put_stats(struct api_query *q)
{
    struct json *j = &q->r.json;
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
    if (q->stats == STATS_COST) {
        put_cost(q, steps);
        json_object_close(j);
        return;
    }
    json_member_object(j, "samples");
    if (q->stats == STATS_EACH_STEP) {
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
    json_members(j, JSON("totalQueryableSamples", promql_samples(q->result)),
                 JSON("peakSamples", promql_peak_samples(q->result)));
    json_object_close(j);
    json_object_close(j);
}

struct query_notes {
    struct api_query *of;
    const char *key;
    bool any;
};

static void
put_note(void *context, struct bytes sentence)
{
    struct query_notes *n = context;
    if (!n->any) json_member_array(&n->of->r.json, n->key);
    n->any = true;
    json_put_bytes(&n->of->r.json, sentence);
}

/* Writes the member "warnings" or "infos", unless it is empty. */
static enum err
put_notes(struct api_query *q, enum promql_note kind, bool limited)
{
    struct query_notes n = {.of = q, .key = kind == PROMQL_WARNING ? "warnings" : "infos"};
    const char *missing;
    for (uint32_t i = 0; kind == PROMQL_WARNING; i++) {
        if ((missing = warnings_at(&q->r.warnings, i)) == NULL) break;
        put_note(&n, bytes_of_text(missing));
    }
    enum err e =
        promql_answer_notes(q->result, kind, limited, &q->r.budget, put_note, &n, &q->r.why);
    if (n.any) json_array_close(&q->r.json);
    return e;
}

static enum err
put_answer(struct api_query *q)
{
    struct promql_answer answer = {.result = q->result,
                                   .t_ms = q->options.first_ms,
                                   .limit = q->limit,
                                   .to = &q->r.json,
                                   .piece = send_if_large,
                                   .context = q};
    assert(q->phase == QUERY_ANSWERING);
    success_begin(&q->r.json, &q->r.text);
    json_object_open(&q->r.json);
    enum err e = promql_answer_put(&answer);
    if (e) return e;
    if (q->stats != STATS_NONE) put_stats(q);
    json_object_close(&q->r.json);
    e = put_notes(q, PROMQL_WARNING, answer.limited);
    if (e == OK) e = put_notes(q, PROMQL_INFO, false);
    if (e) return e;
    json_object_close(&q->r.json);
    return q->phase == QUERY_STREAMING ? send_piece(q) : buf_error(&q->r.text);
}

static enum err
put_explained(struct api_query *q)
{
    struct promql_explained x = {
        .plan = q->plan,
        .result = q->result,
        .control = &q->r.control,
        .ran_ns = q->run_ns - q->prepared_ns,
        .memory = memory_shown(q),
    };
    struct query_notes n = {.of = q, .key = "warnings"};
    struct buf data;
    assert(q->phase == QUERY_ANSWERING);
    buf_init(&data, &q->r.budget, (size_t)1 << 30);
    success_begin(&q->r.json, &q->r.text);
    enum err e = promql_explained_put(&x, &data);
    if (e == OK) json_put_raw(&q->r.json, buf_bytes(&data));
    buf_fini(&data);
    if (e) return why_set(&q->r.why, e, "not enough memory for the plan");
    promql_explained_warnings(&x, put_note, &n);
    if (n.any) json_array_close(&q->r.json);
    if (q->purpose == PURPOSE_ANALYSIS) e = put_notes(q, PROMQL_WARNING, false);
    if (q->purpose == PURPOSE_ANALYSIS && e == OK) e = put_notes(q, PROMQL_INFO, false);
    if (e) return e;
    json_object_close(&q->r.json);
    return buf_error(&q->r.text);
}

static double
mebibytes(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Describes the lack of memory, and returns memory_verdict(). */
static enum err
describe_memory(struct api_query *q)
{
    enum err e = memory_verdict(ERR_NOMEM, &q->r.budget);
    const struct budget *all = &q->r.api->read_budget;
    uint64_t own = atomic_load_explicit(&q->r.budget.lacking_bytes, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&all->limit_bytes, memory_order_relaxed);
    if (limit == 0) return e;
    why_set(&q->r.why, e,
            "not enough memory for the query: it needs %.1f MiB or more, and all queries and reads "
            "together may use %.1f MiB (memory.limit): %s",
            mebibytes(own), mebibytes(limit),
            e == ERR_LIMIT ? "use narrower matchers, a shorter time range or a longer step"
                           : "others use most of it, try again later");
    return e;
}

static void
query_reply(struct api_query *q, enum err e)
{
    bool canceled = atomic_load(&q->r.control.canceled) != NULL;
    if (e == ERR_CANCELED && !canceled) {
        /* Either the request's own timeout or query.timeout expired. */
        int64_t allowed_ms = (q->r.control.deadline_ns - q->begun_ns) / NS_PER_MS;
        bool asked = q->r.control.deadline_ns - q->begun_ns < q->limits.timeout_ns;
        why_set(&q->r.why, ERR_CANCELED,
                "query timed out after %" PRId64
                ".%03d s (%s): use narrower matchers, a shorter time range or a longer step",
                allowed_ms / 1000, (int)(allowed_ms % 1000),
                asked ? "parameter timeout" : "query.timeout");
    }
    if (e == ERR_NOMEM) e = describe_memory(q);
    if (q->phase == QUERY_STREAMING) {
        http_stream_end(q->r.request, e == OK);
    } else if (e == OK) {
        assert(q->phase == QUERY_ANSWERING); /* invariant 4 */
        reply_json(q->r.request, 200, &q->r.text);
    } else if (e == ERR_INPUT && q->r.error.size > 0) {
        reply_sentence(q->r.request, q->error_status, q->error_type, buf_bytes(&q->r.error));
    } else if (e == ERR_CANCELED && canceled) {
        reply_problem(q->r.request, 503, "canceled", why_text(&q->r.why, e));
    } else if (e == ERR_LIMIT && query_control_is_over(&q->r.control)) {
        char text[sizeof q->r.why.text + 64];
        snprintf(text, sizeof text, "%s; /api/v1/explain tells what the query needs",
                 why_text(&q->r.why, e));
        reply_problem(q->r.request, 422, "execution", text);
    } else {
        reply_problem_of(q->r.request, FOR_QUERY, e, &q->r.why);
    }
}

/* --- the query -------------------------------------------------------------------------------- */

static void
keep_warning(void *context, const char *sentence)
{
    struct api_query *q = context;
    lock_take(&q->lock);
    q->lost_warning |= read_request_warn(&q->r, sentence) != OK;
    lock_drop(&q->lock);
}

/* Sets the limits of the query. */
static void
begin_control(struct api_query *q)
{
    struct query_control *c = &q->r.control;
    q->begun_ns = env_monotonic_ns(q->r.api->options.env);
    q->limits = api_limits_now(q->r.api).query;
    c->deadline_ns = q->begun_ns + q->limits.timeout_ns;
    c->series_max = q->limits.series_max;
    c->samples_max = q->limits.samples_read_max;
    c->bytes_max = q->limits.bytes_max;
    c->fetched_max = q->limits.fetched_max;
    c->names = &limits_of_queries;
    c->shows_warnings = true;
    c->warn = keep_warning;
    c->warn_context = q;
    q->options.control = c;
    q->options.budget = &q->r.budget;
    q->options.held_max = q->limits.samples_max;
    q->helpers = query_helpers(q->r.api);
    q->options.helpers = &q->helpers;
    q->options.features = q->limits.features;
    q->options.subquery_step_ms = q->limits.subquery_step_ms;
}

/* Lists the query, unless it asks for a plan only. It is listed for longer than the request has
 * views, so its text is copied. */
static enum err
begin_active(struct api_query *q)
{
    const struct promql_options *o = &q->options;
    const char *query = form_nth(&q->r.form, "query", 0);
    struct bytes text = bytes_of_text(query == NULL ? "" : query);
    const struct user *user = gate_user(q->r.request); /* stays until the answer */
    q->active = (struct active_query){
        .tenant = o->tenant,
        .user = bytes_of_text(user == NULL ? "" : user->name),
        .text = arena_copy(&q->r.form.arena, text),
        .first_ms = o->first_ms,
        .last_ms = o->last_ms,
        .step_ms = o->step_ms,
        .begun_ns = q->begun_ns,
        .control = &q->r.control,
        .memory = memory_shown(q),
    };
    if (q->active.text.at == NULL && text.size > 0)
        return why_set(&q->r.why, ERR_NOMEM, "not enough memory for the query");
    queries_begin(q->r.api, &q->active);
    return OK;
}

static enum err
run_or_explain(struct api_query *q)
{
    enum err e = query_control_check(&q->r.control, &q->r.why);
    if (e == OK && q->purpose != PURPOSE_RESULT) {
        assert(q->plan == NULL); /* invariant 2 */
        e = promql_explain(q->tree, q->r.view, &q->options, &q->plan, &q->r.error, &q->r.why);
    }
    if (e || q->purpose == PURPOSE_PLAN) return e;
    q->options.plan = q->plan;
    assert(q->result == NULL); /* invariant 2 */
    e = promql_run(q->tree, q->r.view, &q->options, &q->result, &q->r.error, &q->r.why);
    if (e || !q->lost_warning) return e;
    return why_set(&q->r.why, ERR_NOMEM, "not enough memory for warnings about damage");
}

/* Describes what a slow query reads, for the log, by the present index, which may have changed
 * since.
 */
static void
plan_slow_one(struct api_query *q, struct buf *line)
{
    struct promql_options options = q->options;
    struct query_control control = {
        .env = q->r.control.env,
        .deadline_ns = env_monotonic_ns(q->r.control.env) + PLAN_SLOW_NS,
        .budget = &q->r.budget,
    };
    struct promql_plan *plan;
    struct buf error;
    struct why why;
    struct view *view;
    options.control = &control;
    if (q->tree == NULL || read_request_open(&q->r, &control, &view, &why)) return;
    buf_init(&error, NULL, SENTENCE_BYTES_MAX);
    if (promql_explain(q->tree, view, &options, &plan, &error, &why) == OK) {
        promql_plan_put_line(plan, line);
        promql_plan_free(plan);
    }
    buf_fini(&error);
    view_free(view);
}

/* Frees everything that an attempt has made. */
static void
forget_attempt(struct api_query *q)
{
    assert(q->r.view == NULL); /* invariant 2 */
    promql_result_free(q->result);
    promql_plan_free(q->plan);
    warnings_fini(&q->r.warnings);
    warnings_init(&q->r.warnings, &q->r.budget);
    if (q->tree != NULL) promql_free(q->tree);
    q->result = NULL;
    q->plan = NULL;
    q->options.plan = NULL;
    q->tree = NULL;
    q->lost_warning = false;
    q->r.control.lacks = false;
}

/* Waits for memory of other queries. False: it does not come. The query waits for a quarter more
 * than it was refused: a guess, which improves with each attempt. */
static bool
has_waited_for_memory(struct api_query *q)
{
    uint64_t limit = atomic_load_explicit(&q->r.api->read_budget.limit_bytes, memory_order_relaxed);
    uint64_t own = atomic_load_explicit(&q->r.budget.lacking_bytes, memory_order_relaxed);
    int64_t until_ns = q->begun_ns + q->r.api->options.query_queue_timeout_ns;
    assert(q->phase == QUERY_RUNNING);
    if (!is_active(q) || own == 0 || own > limit / 4 * 3) return false;
    forget_attempt(q);
    if (until_ns > q->r.control.deadline_ns) until_ns = q->r.control.deadline_ns;
    return queries_await_memory(q->r.api, &q->active, own + own / 4, until_ns, &q->is_alone);
}

/* A failed attempt is repeated when there is memory, and once if the view had an object that is
 * gone: a new view has others in its place. */
static bool
may_repeat(struct api_query *q, enum err e, bool *has_repeated)
{
    bool is_gone = e != ERR_NOMEM && q->r.why.trouble == TROUBLE_GONE && !*has_repeated;
    if (is_gone) forget_attempt(q);
    if (!is_gone && (e != ERR_NOMEM || !has_waited_for_memory(q))) return false;
    *has_repeated |= is_gone;
    q->r.control.series_seen = q->r.control.samples_seen = q->r.control.bytes_seen = 0;
    q->r.control.fetched_seen = q->r.control.fetches = 0;
    buf_clear(&q->r.error);
    return true;
}

/* Accounts the query before it is answered, so that a client that has the answer finds it there. */
static void
query_end(struct api_query *q, enum err e)
{
    int64_t took_ns = env_monotonic_ns(q->r.api->options.env) - q->begun_ns;
    bool ran = q->prepared_ns != 0 || e == ERR_CANCELED, is_slow = false;
    if (is_active(q) && ran)
        is_slow = queries_end(q->r.api, &q->active, e, took_ns);
    else if (is_active(q))
        queries_forget(q->r.api, &q->active);
    query_reply(q, e);
    query_enter(q, QUERY_ENDED);
    if (is_slow) {
        /* After the answer, so that the client does not wait for it. The request is gone. */
        struct buf line;
        assert(q->phase == QUERY_ENDED); /* `active` is not listed: invariant 1 */
        buf_init(&line, NULL, SENTENCE_BYTES_MAX);
        plan_slow_one(q, &line);
        queries_log_slow(&q->active, e, took_ns,
                         buf_error(&line) ? bytes_of("", 0) : buf_bytes(&line));
        buf_fini(&line);
    }
}

static enum err
query_attempt(struct api_query *q)
{
    assert(q->phase == QUERY_RUNNING);
    assert(q->tree == NULL);   /* invariant 2 */
    assert(q->r.view == NULL); /* invariant 2 */
    q->error_status = 400;
    q->error_type = "bad_data";
    enum err e = query_parse(q);
    if (e) return e;
    q->prepared_ns = env_monotonic_ns(q->r.api->options.env);
    e = read_request_open(&q->r, &q->r.control, &q->r.view, &q->r.why);
    if (e) return e;
    q->error_status = 422;
    q->error_type = "execution";
    e = run_or_explain(q);
    view_free(q->r.view); /* a slow client does not hold parts */
    q->r.view = NULL;
    q->run_ns = env_monotonic_ns(q->r.api->options.env);
    return e;
}

static enum err
query_answer(struct api_query *q)
{
    q->error_status = 400;
    q->error_type = "bad_data";
    enum err e = q->purpose != PURPOSE_RESULT ? read_explain(q)
                 : q->is_range                ? read_range(q)
                                              : read_instant(q);
    /* Listed before it is parsed: a long expression takes time, too. */
    if (e == OK && q->purpose != PURPOSE_PLAN) e = begin_active(q);
    if (e) return e;
    query_enter(q, QUERY_RUNNING);
    bool has_repeated = false;
    do {
        e = query_attempt(q);
    } while (e && may_repeat(q, e, &has_repeated));
    if (e) return e;
    query_enter(q, QUERY_ANSWERING);
    return q->purpose == PURPOSE_RESULT ? put_answer(q) : put_explained(q);
}

static void
query_handle(struct api *api, struct http_request *request, enum query_purpose purpose,
             bool is_range)
{
    struct api_query q = {.purpose = purpose, .is_range = is_range};
    read_request_begin(&q.r, api, request);
    lock_init(&q.lock, LOCK_RANK_LEAF);
    begin_control(&q);
    enum err e = read_request_arguments(&q.r);
    q.options.tenant = q.r.query.tenant;
    if (q.r.refused != 0) {
        reply_problem(request, q.r.refused, "bad_data", q.r.why.text);
    } else {
        if (e == OK) e = query_answer(&q);
        query_end(&q, e);
    }
    forget_attempt(&q);
    lock_fini(&q.lock);
    read_request_end(&q.r);
}

void
query_run(struct api *api, struct http_request *request)
{
    query_handle(api, request, PURPOSE_RESULT, false);
}

void
query_range_run(struct api *api, struct http_request *request)
{
    query_handle(api, request, PURPOSE_RESULT, true);
}

void
explain_run(struct api *api, struct http_request *request)
{
    query_handle(api, request, PURPOSE_PLAN, false);
}

/* --- /api/v1/format_query and /api/v1/parse_query --------------------------------------------- */

/* 20 KB of `a+a+...` are 49 MB in lines, each operand deeper than the one before. */
enum { ANSWER_BYTES_MAX = 4 << 20 };

static enum err
rewrite(struct api *api, struct http_request *request, const struct form *form,
        enum promql_form wanted, struct buf *to, struct buf *error)
{
    struct query_control control = {.env = NULL};
    query_control_begin(api, request, &api->read_budget, &control);
    const char *query = form_nth(form, "query", 0);
    struct bytes text = bytes_of_text(query == NULL ? "" : query);
    struct buf lines;
    struct json j;
    success_begin(&j, to);
    if (wanted == PROMQL_JSON) {
        enum err e = promql_rewrite(text, wanted, &api->read_budget, &control, to, error);
        buf_put_u8(to, '}'); /* closes the object: `j` does not know the value of "data" */
        return err_first(e, buf_error(to));
    }
    buf_init(&lines, &api->read_budget, ANSWER_BYTES_MAX);
    enum err e = promql_rewrite(text, wanted, &api->read_budget, &control, &lines, error);
    if (e == OK) {
        json_put_bytes(&j, buf_bytes(&lines));
        json_object_close(&j);
    }
    buf_fini(&lines);
    return err_first(e, buf_error(to));
}

static void
expression_run(struct api *api, struct http_request *request, enum promql_form wanted)
{
    struct form form;
    struct why why = {""};
    struct buf text, error;
    buf_init(&text, &api->read_budget, ANSWER_BYTES_MAX);
    buf_init(&error, NULL, SENTENCE_BYTES_MAX);
    buf_put_text(&error, "invalid parameter \"query\": ");
    const size_t before = error.size;
    enum err e = form_read(request, &api->read_budget, &form, &why);
    bool was_read = e == OK;
    if (was_read) e = rewrite(api, request, &form, wanted, &text, &error);
    if (e == OK) {
        reply_json(request, 200, &text);
    } else if (was_read && e == ERR_LIMIT && error.size == before) {
        reply_problem(request, 400, "bad_data", "expression is too long to be shown in this form");
    } else if (was_read && (e == ERR_INPUT || e == ERR_LIMIT)) {
        reply_sentence(request, 400, "bad_data", buf_bytes(&error));
    } else {
        if (e == ERR_NOMEM) why_set(&why, e, "not enough memory for the expression");
        if (e == ERR_CANCELED) why_set(&why, e, "%.*s", (int)error.size, (const char *)error.at);
        reply_problem_of(request, FOR_QUERY, e, &why);
    }
    form_fini(&form);
    buf_fini(&error);
    buf_fini(&text);
}

void
format_query_run(struct api *api, struct http_request *request)
{
    expression_run(api, request, PROMQL_LINES);
}

void
parse_query_run(struct api *api, struct http_request *request)
{
    expression_run(api, request, PROMQL_JSON);
}
