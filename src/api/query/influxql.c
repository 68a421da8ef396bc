/* influxql.c - /query of InfluxDB 1: statements of InfluxQL, whose results are in one object, or
 * with `chunked` in one for each so many rows; and what its clients ask besides. */
#include "api/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "api/request/read_request.h"
#include "influxql/influxql.h"

enum { INFLUXQL_PIECE_BYTES = 64 * 1024, CHUNK_ROWS = 10000 };
#define VERSION "X-Influxdb-Version"

struct influxql_request {
    struct read_request r; /* first member */
    struct arena arena;    /* of results */
    struct statements statements;
    struct influxql query;
    struct result_form form;
    struct buf pretty;
    uint64_t chunk_rows; /* 0: not chunked */
    bool is_pretty;
    const char *type;
};

/* --- parameters ------------------------------------------------------------------------------- */

static enum err
read_form(struct influxql_request *x)
{
    static const struct {
        const char *word;
        int64_t ns;
    } units[] = {{"ns", 1},         {"n", 1},        {"u", 1000},          {"us", 1000},
                 {"ms", NS_PER_MS}, {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}};
    const struct form *form = &x->r.form;
    const char *epoch = form_given(form, "epoch"), *size = form_given(form, "chunk_size");
    const char *accept = http_header(x->r.request, "Accept");
    bool is_chunked = false;
    int64_t rows = CHUNK_ROWS;
    enum err e = form_bool(form, "pretty", &x->is_pretty, &x->r.error);
    if (e == OK) e = form_bool(form, "chunked", &is_chunked, &x->r.error);
    if (e) return e;
    for (unsigned i = 0; epoch != NULL && i < sizeof units / sizeof *units; i++)
        if (strcmp(epoch, units[i].word) == 0) x->form.unit_ns = units[i].ns;
    if (epoch != NULL && x->form.unit_ns == 0) x->form.unit_ns = 1; /* as InfluxDB */
    if (size != NULL && (form_whole(size, 64, &rows) != NULL || rows <= 0)) rows = CHUNK_ROWS;
    if (is_chunked) x->chunk_rows = (uint64_t)rows;
    x->form.is_csv = accept != NULL && (strncasecmp(accept, "application/csv", 15) == 0 ||
                                        strncasecmp(accept, "text/csv", 8) == 0);
    x->type = x->form.is_csv ? "text/csv" : "application/json";
    return OK;
}

static void
note_warning(void *context, const char *sentence)
{
    struct influxql_request *x = context;
    if (read_request_warn(&x->r, sentence) != OK) x->r.text.failed = ERR_NOMEM;
}

static enum err
begin_influxql(struct influxql_request *x)
{
    struct query_control *c = &x->r.control;
    const char *text = form_given(&x->r.form, "q"), *db = form_given(&x->r.form, "db");
    struct query_limits limits = api_limits_now(x->r.api).query;
    enum err e = read_form(x);
    if (e == OK) e = read_request_scope(&x->r);
    if (e) return e;
    if (text == NULL) return why_set(&x->r.why, ERR_INPUT, "missing required parameter \"q\"");
    c->deadline_ns = env_monotonic_ns(c->env) + limits.timeout_ns;
    c->series_max = limits.series_max;
    c->samples_max = limits.samples_read_max;
    c->bytes_max = limits.bytes_max;
    c->fetched_max = limits.fetched_max;
    c->names = &limits_of_queries;
    c->warn = note_warning;
    c->warn_context = x;
    e = influxql_parse(bytes_of_text(text), &x->arena, &x->r.budget, &x->statements, &x->r.why);
    if (e == ERR_LIMIT) e = ERR_INPUT; /* 400, as InfluxDB has it */
    if (e == OK) e = read_request_open(&x->r, c, &x->r.view, &x->r.why);
    x->query = (struct influxql){
        .view = x->r.view,
        .request = x->r.query,
        .arena = &x->arena,
        .budget = &x->r.budget,
        .now_ms = env_realtime_ms(c->env),
        .database = bytes_of_text(db == NULL ? "" : db),
        .why = &x->r.why,
    };
    return e;
}

/* Says whether the user may make the statement. */
static bool
is_permitted(const struct influxql_request *x, const struct statement *s)
{
    const struct gate_sessions *sessions = &x->r.api->options.sessions;
    struct gate_rights rights = sessions->rights(sessions->gate, x->r.request);
    unsigned needed = s->kind == STATEMENT_CREATE_DATABASE ? PERMISSION_WRITE : PERMISSION_READ;
    return (rights.permissions & needed) != 0;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum err
send_piece_of(struct influxql_request *x)
{
    if (x->r.text.size < INFLUXQL_PIECE_BYTES) return OK;
    return read_request_send(&x->r, QUEUE_QUERIES, x->type);
}

/* Breaks a JSON text into lines. */
static void
put_pretty(struct buf *to, struct bytes text)
{
    bool is_text = false;
    unsigned depth = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool opens = !is_text && (c == '{' || c == '['),
             closes = !is_text && (c == '}' || c == ']');
        if (closes) buf_printf(to, "\n%*s", (int)(4 * --depth), "");
        buf_put_u8(to, c);
        if (c == '"') is_text = !is_text; /* those after a backslash are put with it, below */
        if (is_text && c == '\\' && i + 1 < text.size) buf_put_u8(to, text.at[++i]);
        if (opens) depth++;
        if (opens || (!is_text && c == ',')) buf_printf(to, "\n%*s", (int)(4 * depth), "");
        if (!is_text && c == ':') buf_put_u8(to, ' ');
    }
}

/* Begins the object of a statement. */
static void
put_begin(struct influxql_request *x, uint32_t statement)
{
    if (x->form.is_csv) return;
    if (x->chunk_rows != 0) buf_put_text(&x->r.text, "{\"results\":[");
    buf_printf(&x->r.text, "{\"statement_id\":%u", statement);
}

static void
put_end(struct influxql_request *x, bool is_partial)
{
    if (x->form.is_csv) return;
    buf_put_text(&x->r.text, is_partial ? ",\"partial\":true}" : "}");
    if (x->chunk_rows != 0) buf_put_text(&x->r.text, "]}\n");
}

static void
put_member(struct influxql_request *x, const char *key, struct bytes value)
{
    struct json j;
    buf_printf(&x->r.text, ",\"%s\":", key);
    json_init(&j, &x->r.text);
    json_put_bytes(&j, value);
}

/* Puts what the caller of a complete result has to know. */
static void
put_messages(struct influxql_request *x)
{
    struct query_control *c = &x->r.control;
    int64_t step_ms = atomic_load_explicit(&c->thinned_to_ms, memory_order_relaxed);
    if (x->form.is_csv || (step_ms == 0 && x->r.warnings.count == 0)) return;
    struct json j;
    buf_put_text(&x->r.text, ",\"messages\":");
    json_init(&j, &x->r.text);
    json_array_open(&j);
    for (uint32_t i = 0; i < x->r.warnings.count; i++)
        json_put_object(&j, JSON("level", "warning"), JSON("text", x->r.warnings.items[i].text));
    if (step_ms != 0) {
        char text[128];
        snprintf(text, sizeof text,
                 "samples are downsampled: of each window of %" PRId64 " s the last one is read",
                 step_ms / 1000);
        json_put_object(&j, JSON("level", "warning"), JSON("text", text));
    }
    json_array_close(&j);
}

/* Puts the result of a statement; with chunks, an object for each. */
static enum err
put_result(struct influxql_request *x, uint32_t statement, const struct result *result)
{
    enum err e = OK;
    bool is_open = false;
    for (uint32_t i = 0; i < result->count && e == OK; i++) {
        const struct result_series *s = &result->items[i];
        uint64_t step = x->chunk_rows != 0 ? x->chunk_rows : s->row_count;
        for (uint64_t from = 0; from < s->row_count && e == OK; from += step) {
            uint64_t count = s->row_count - from < step ? s->row_count - from : step;
            bool is_cut = from + count < s->row_count;
            if (!is_open) put_begin(x, statement);
            if (!x->form.is_csv) buf_put_text(&x->r.text, is_open ? "," : ",\"series\":[");
            is_open = x->chunk_rows == 0;
            result_series_put(&x->r.text, s, &x->query.texts, &x->form, (uint32_t)from,
                              (uint32_t)count, is_cut);
            if (is_open) {
                if (!x->is_pretty) e = send_piece_of(x);
                continue;
            }
            bool is_last = !is_cut && i + 1 == result->count;
            if (!x->form.is_csv) buf_put_text(&x->r.text, "]");
            if (is_last) put_messages(x);
            put_end(x, !is_last);
            e = send_piece_of(x);
        }
    }
    if (x->chunk_rows != 0 && result->count > 0) return e;
    if (!is_open) put_begin(x, statement);
    if (is_open && !x->form.is_csv) buf_put_text(&x->r.text, "]");
    put_messages(x);
    put_end(x, false);
    return e;
}

/* Answers all statements; after one that fails the others are not executed. */
static enum err
answer_statements(struct influxql_request *x)
{
    bool failed = false;
    enum err e = OK;
    if (x->chunk_rows == 0 && !x->form.is_csv) buf_put_text(&x->r.text, "{\"results\":[");
    for (uint32_t i = 0; i < x->statements.count && e == OK; i++) {
        const struct statement *s = &x->statements.items[i];
        struct result result = {NULL, 0};
        enum err one = OK;
        if (i > 0 && x->chunk_rows == 0 && !x->form.is_csv) buf_put_text(&x->r.text, ",");
        if (failed)
            one = why_set(&x->r.why, ERR_INPUT, "not executed");
        else if (!is_permitted(x, s))
            one = why_set(&x->r.why, ERR_INPUT, "the user is not permitted to do this");
        else
            one = influxql_run(&x->query, s, &result);
        if (one == OK) {
            e = put_result(x, i, &result);
        } else if (one == ERR_INPUT || one == ERR_UNSUPPORTED || one == ERR_LIMIT) {
            failed = true;
            put_begin(x, i);
            if (x->form.is_csv)
                buf_printf(&x->r.text, "error\n%s\n", x->r.why.text);
            else
                put_member(x, "error", bytes_of_text(x->r.why.text));
            put_end(x, false);
        } else {
            e = one;
        }
    }
    if (x->chunk_rows == 0 && !x->form.is_csv) buf_put_text(&x->r.text, "]}\n");
    return e ? e : buf_error(&x->r.text);
}

static void
reply_influx_error(struct influxql_request *x, enum err e)
{
    struct json j;
    unsigned status = x->r.refused != 0 ? x->r.refused : status_of(FOR_QUERY, e);
    struct bytes text = x->r.error.size > 0 && e == ERR_INPUT
                            ? buf_bytes(&x->r.error)
                            : bytes_of_text(why_text(&x->r.why, e));
    if (e == ERR_UNSUPPORTED) status = 400;
    buf_clear(&x->r.text);
    json_init(&j, &x->r.text);
    json_put_object(&j, JSON("error", text));
    struct http_answer answer = {.status = status,
                                 .content_type = "application/json",
                                 .body = buf_bytes(&x->r.text),
                                 .headers = {{VERSION, INFLUX_VERSION}}};
    if (status == 503)
        answer.headers[1] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    http_reply(x->r.request, &answer);
}

void
influxql_serve(struct api *api, struct http_request *request)
{
    struct influxql_request *x = mem_new(&api->read_budget, sizeof *x);
    if (x == NULL) {
        http_reply_text(request, 503, "not enough memory for the query\n");
        return;
    }
    read_request_begin(&x->r, api, request);
    arena_init(&x->arena, &x->r.budget, 0, 0);
    buf_init(&x->pretty, &x->r.budget, (size_t)1 << 30);
    enum err e = read_request_arguments(&x->r);
    if (e == OK) e = begin_influxql(x);
    if (e == OK) e = answer_statements(x);
    if (x->r.begun) {
        if (e == OK) e = read_request_send(&x->r, QUEUE_QUERIES, x->type);
        http_stream_end(request, e == OK);
    } else if (e) {
        reply_influx_error(x, memory_verdict(e, &x->r.budget));
    } else {
        bool is_pretty = x->is_pretty && !x->form.is_csv && x->chunk_rows == 0;
        if (is_pretty) put_pretty(&x->pretty, buf_bytes(&x->r.text));
        http_reply(request,
                   &(struct http_answer){.status = 200,
                                         .content_type = x->type,
                                         .body = buf_bytes(is_pretty ? &x->pretty : &x->r.text),
                                         .headers = {{VERSION, INFLUX_VERSION}}});
    }
    buf_fini(&x->pretty);
    statements_free(&x->statements);
    arena_fini(&x->arena);
    read_request_end(&x->r);
    mem_free(&api->read_budget, x, sizeof *x);
}

void
ping_run(struct api *api, struct http_request *request)
{
    (void)api;
    http_reply(request, &(struct http_answer){
                            .status = 204,
                            .headers = {{VERSION, INFLUX_VERSION}, {"X-Influxdb-Build", "OSS"}}});
}
