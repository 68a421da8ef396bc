/* expression.c - /api/v1/format_query and /api/v1/parse_query: an expression in another form. */
#include "api/routes.h"

#include "api/answer.h"
#include "api/request/form.h"
#include "promql/promql.h"

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
