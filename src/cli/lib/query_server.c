/* query_server.c - runs a query on a server: posts a form, and parses the answer. */
#include <stdio.h>

#include "base/buf.h"
#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "cli/lib/client_access.h"
#include "cli/lib/query_answer.h"
#include "cli/lib/query_source.h"

enum {
    URL_BYTES = 1200,
    FORM_BYTES_MAX = 64 << 20,
    REFUSAL_BYTES_MAX = 1 << 20,
    ANSWER_BYTES_MAX = 1 << 30,
    HEADERS_MAX = 40,        /* more than a target has */
    PATIENCE_MS = 30 * 1000, /* added to the server's own timeout */
};
#define DAY_NS (86400 * NS_PER_S) /* no server may take longer (`read.timeout`) */

void
query_put_time(struct buf *form, const char *name, int64_t t_ms)
{
    char text[TIME_TEXT_BYTES];
    buf_put_text(form, name);
    buf_put(form, text, time_print_seconds(t_ms, text));
}

static void
put_duration(struct buf *form, const char *name, int64_t ms)
{
    if (ms == 0) return;
    buf_put_text(form, name);
    buf_put_int(form, ms);
    buf_put_text(form, "ms");
}

static void
put_form(struct buf *form, const struct query_parameters *parameters)
{
    buf_put_text(form, "query=");
    buf_put_percent(form, parameters->expression, "");
    if (parameters->step_ms == 0) {
        query_put_time(form, "&time=", parameters->first_ms);
    } else {
        query_put_time(form, "&start=", parameters->first_ms);
        query_put_time(form, "&end=", parameters->last_ms);
        put_duration(form, "&step=", parameters->step_ms);
    }
    put_duration(form, "&lookback_delta=", parameters->lookback_ms);
    put_duration(form, "&timeout=", parameters->timeout_ms);
    if (parameters->limit > 0) {
        buf_put_text(form, "&limit=");
        buf_put_uint(form, parameters->limit);
    }
    if (parameters->mode == QUERY_ANALYZE) buf_put_text(form, "&analyze=true");
}

/* Takes the sentence of an error answer, without the API's prefix for invalid expressions. */
static enum err
refused(const struct http_client_request *request, const struct http_client_answer *answer,
        struct query_failure *failure, struct why *why)
{
    static const char prefix[] = "invalid parameter \"query\": ";
    struct buf *sentence = &failure->sentence;
    if (!query_answer_refusal(buf_bytes(request->refusal), sentence, &failure->bad_question)) {
        return why_set(why, ERR_UNSUPPORTED, "%s: status %u: %s%s", request->url, answer->status,
                       answer->text, answer->status == 401 ? CLIENT_ADVICE : "");
    }
    size_t size = sizeof prefix - 1;
    if (sentence->size > size && memcmp(sentence->at, prefix, size) == 0) {
        memmove(sentence->at, sentence->at + size, sentence->size - size);
        sentence->size -= size;
    }
    return ERR_INPUT;
}

static enum err
query_server_ask(const struct query_server *server, struct http_client *client, struct bytes form,
                 struct buf *refusal, const char *path, struct query_sink *sink,
                 struct query_failure *failure, struct why *why)
{
    char url[URL_BYTES];
    const char *headers[HEADERS_MAX] = {"Content-Type: application/x-www-form-urlencoded",
                                        "Accept: application/json"};
    for (unsigned i = 0, n = 2; server->headers[i] != NULL && n < HEADERS_MAX - 1; i++) {
        headers[n++] = server->headers[i];
    }
    int n = snprintf(url, sizeof url, "%s%s", server->base, path);
    if (n >= (int)sizeof url) return why_set(why, ERR_INPUT, "--url: URL is too long");
    struct http_client_request request = {
        .url = url, .headers = headers, .body = form, .refusal = refusal};
    struct http_client_answer answer = {.status = 0};
    struct buf text;
    buf_init(&text, NULL, ANSWER_BYTES_MAX);
    enum err e = http_client_fetch(client, &request, &text, &answer, why);
    if (answer.status != 0 && answer.status / 100 != 2) {
        e = refused(&request, &answer, failure, why);
    } else if (e == OK) {
        e = query_answer_read(buf_bytes(&text), sink, why);
        if (e == ERR_UNSUPPORTED) why_prefix(why, e, "%s", url);
    }
    buf_fini(&text);
    return e;
}

static const char *
query_path(const struct query_parameters *parameters)
{
    if (parameters->mode != QUERY_RESULT) return "/api/v1/explain";
    return parameters->step_ms == 0 ? "/api/v1/query" : "/api/v1/query_range";
}

enum err
query_server(const struct query_server *server, const struct query_parameters *parameters,
             struct query_sink *sink, struct query_failure *failure, struct why *why)
{
    struct http_client_options http = server->http;
    struct http_client *client = NULL;
    struct buf form, refusal;
    /* A server sends nothing while it computes. */
    http.idle_timeout_ns =
        parameters->timeout_ms > 0 ? (parameters->timeout_ms + PATIENCE_MS) * NS_PER_MS : DAY_NS;
    buf_init(&form, NULL, FORM_BYTES_MAX);
    buf_init(&refusal, NULL, REFUSAL_BYTES_MAX);
    put_form(&form, parameters);
    enum err e = buf_error(&form);
    if (e) why_set(why, e, "the expression is too long");
    if (e == OK) e = http_client_new(&http, &client, why);
    if (e == OK) {
        e = query_server_ask(server, client, buf_bytes(&form), &refusal, query_path(parameters),
                             sink, failure, why);
    }
    http_client_free(client);
    buf_fini(&refusal);
    buf_fini(&form);
    return e;
}
