/* fetch_ask.c - requests of a question, one after another: see fetch_reader.h. */
#include <assert.h>

#include "backend/common/http_common.h"
#include "backend/fetch/fetch_reader.h"

enum { URL_BYTES_MAX = 256 * 1024 };

enum err
fetch_no_request_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

void
fetch_ask_init(struct fetch_ask *a, struct fetch_question *q, size_t body_bytes_max)
{
    *a = (struct fetch_ask){.q = q};
    buf_init(&a->url, q->budget, URL_BYTES_MAX);
    buf_init(&a->body, q->budget, body_bytes_max);
}

void
fetch_ask_end(struct fetch_ask *a)
{
    fetch_close(a->fetch);
    a->fetch = NULL;
}

void
fetch_ask_fini(struct fetch_ask *a)
{
    fetch_ask_end(a);
    buf_fini(&a->url);
    buf_fini(&a->body);
}

void
fetch_ask_begin(struct fetch_ask *a, const char *base, const char *path)
{
    fetch_ask_end(a);
    a->base = base;
    buf_clear(&a->url);
    buf_clear(&a->body);
    http_url_begin(&a->url, base, path);
}

enum err
fetch_ask_send(struct fetch_ask *a, const struct fetch_request *how, struct why *why)
{
    struct fetch_request request = *how;
    assert(a->fetch == NULL); /* fetch_ask_begin() ended the request before */
    http_url_end(&a->url, a->base);
    enum err e = err_first(buf_error(&a->url), buf_error(&a->body));
    if (e == ERR_LIMIT) return why_set(why, e, "the request is too large");
    if (e) return fetch_no_request_memory(why);
    request.method = a->body.size > 0 ? "POST" : "GET";
    request.url = (const char *)a->url.at;
    request.body = buf_bytes(&a->body);
    return fetch_open(a->q->view->session, a->q->control, &request, &a->fetch, why);
}

enum err
fetch_ask_await(struct fetch_ask *a, const struct http_call_answer **ret_answer, struct why *why)
{
    *ret_answer = NULL;
    enum err e = fetch_await(a->fetch, ret_answer, why);
    return e ? e : fetch_expect_ok(a->fetch, why);
}

enum err
fetch_ask_more(void *ask, struct bytes *ret_piece, struct why *why)
{
    return fetch_read(((struct fetch_ask *)ask)->fetch, ret_piece, why);
}

enum err
fetch_ask_failed(struct fetch_ask *a, enum err e, struct why *why)
{
    return fetch_failed(a->fetch, e, why);
}
