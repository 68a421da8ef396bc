/*
 * sql.c - /api/v1/sql: a statement of SQL over the series that its sender may see, on a query
 * thread. Small answers are sent as one, large ones as they come; one that fails when it has begun
 * is cut.
 */
#include "api/routes.h"

#include <stdio.h>

#include "api/request/read_request.h"
#include "auth/gate.h"
#include "sql/sql.h"

struct sql_request {
    struct read_request r; /* first member */
    struct sql *sql;
    enum sql_format format;
    struct active_query active;
    bool is_active;
};

static enum err
read_sql_form(struct sql_request *x)
{
    const char *format = form_given(&x->r.form, "format");
    x->format = SQL_JSON;
    if (format == NULL) return OK;
    for (enum sql_format f = 0; f < SQL_FORMATS; f++) {
        x->format = f;
        if (strcmp(sql_format_word(f), format) == 0) return OK;
    }
    return form_invalid(&x->r.error, "format", "expected json, jsonl, csv, parquet or arrow");
}

static void
note_sql_warning(void *context, const char *sentence)
{
    struct sql_request *x = context;
    if (read_request_warn(&x->r, sentence) != OK) x->r.text.failed = ERR_NOMEM;
}

/* Lists the statement among the active queries. */
static enum err
begin_sql(struct sql_request *x, struct bytes text, int64_t begun_ns)
{
    const struct user *user = gate_user(x->r.request);
    x->active = (struct active_query){
        .tenant = x->r.query.tenant,
        .user = bytes_of_text(user == NULL ? "" : user->name),
        .text = arena_copy(&x->r.form.arena, text),
        .begun_ns = begun_ns,
        .control = &x->r.control,
        .memory = PLAN_MEMORY_HIDDEN,
    };
    if (x->active.text.at == NULL && text.size > 0)
        return why_set(&x->r.why, ERR_NOMEM, "not enough memory for the statement");
    queries_begin(x->r.api, &x->active);
    x->is_active = true;
    return OK;
}

static enum err
prepare_sql(struct sql_request *x)
{
    struct query_control *c = &x->r.control;
    const char *text = form_given(&x->r.form, "query"), *values = form_given(&x->r.form, "params");
    struct query_limits limits = api_limits_now(x->r.api).query;
    int64_t begun_ns = env_monotonic_ns(c->env);
    enum err e = form_check_query(&x->r.form, &x->r.why);
    if (e == OK) e = read_sql_form(x);
    if (e == OK) e = read_request_scope(&x->r);
    if (e == OK) e = read_request_partial(&x->r);
    if (e) return e;
    if (text == NULL) return why_set(&x->r.why, ERR_INPUT, "missing parameter \"query\"");
    c->deadline_ns = begun_ns + limits.timeout_ns;
    c->series_max = limits.series_max;
    c->samples_max = limits.samples_read_max;
    c->bytes_max = limits.bytes_max;
    c->fetched_max = limits.fetched_max;
    c->names = &limits_of_queries;
    c->warn = note_sql_warning;
    c->warn_context = x;
    e = begin_sql(x, bytes_of_text(text), begun_ns);
    if (e == OK) e = read_request_open(&x->r, c, &x->r.view, &x->r.why);
    if (e) return e;
    const struct sql_options options = {
        .env = c->env,
        .view = x->r.view,
        .request = x->r.query,
        .budget = &x->r.budget,
        .promql = {.lookback_ms = limits.lookback_ms,
                   .subquery_step_ms = limits.subquery_step_ms,
                   .features = limits.features,
                   .held_max = limits.samples_max},
        .now_ms = env_realtime_ms(c->env),
    };
    e = sql_new(&options, bytes_of_text(text), &x->sql, &x->r.why);
    if (e == OK && values != NULL) e = sql_bind(x->sql, bytes_of_text(values), &x->r.why);
    return e;
}

static enum err
send_sql_piece(void *context)
{
    struct sql_request *x = context;
    return read_request_send(&x->r, QUEUE_QUERIES, sql_format_type(x->format));
}

/* Puts what the reader of the rows has to know. */
static void
put_sql_end(void *context, struct json *json)
{
    struct sql_request *x = context;
    int64_t thinned_ms = thinned_to(&x->r.control);
    struct why why;
    if (thinned_ms == 0 && x->r.warnings.count == 0) return;
    json_member_array(json, "warnings");
    for (uint32_t i = 0; i < x->r.warnings.count; i++)
        json_put_text(json, x->r.warnings.items[i].text);
    if (thinned_ms != 0) {
        thinned_say(thinned_ms, &why);
        json_put_text(json, why.text);
    }
    json_array_close(json);
}

/* Accounts the statement, before it is answered. */
static void
end_sql(struct sql_request *x, enum err e)
{
    int64_t took_ns = env_monotonic_ns(x->r.control.env) - x->active.begun_ns;
    if (x->is_active && queries_end(x->r.api, &x->active, e, took_ns))
        queries_log_slow(&x->active, e, took_ns, bytes_of("", 0));
}

void
sql_serve(struct api *api, struct http_request *request)
{
    struct sql_request *x = mem_new(&api->read_budget, sizeof *x);
    if (x == NULL) {
        http_reply_text(request, 503, "not enough memory for the query\n");
        return;
    }
    read_request_begin(&x->r, api, request);
    enum err e = read_request_arguments(&x->r);
    if (e == OK) e = prepare_sql(x);
    const struct sql_target target = {&x->r.text, send_sql_piece, put_sql_end, x};
    if (e == OK) e = sql_write(x->sql, x->format, &target, &x->r.why);
    sql_free(x->sql);
    if (x->r.begun && e == OK) e = send_sql_piece(x);
    end_sql(x, e);
    if (x->r.begun)
        http_stream_end(request, e == OK);
    else if (!read_request_refuse(&x->r, e == OK ? OK : memory_verdict(e, &x->r.budget)))
        http_reply(request, &(struct http_answer){.status = 200,
                                                  .content_type = sql_format_type(x->format),
                                                  .body = buf_bytes(&x->r.text)});
    read_request_end(&x->r);
    mem_free(&api->read_budget, x, sizeof *x);
}
