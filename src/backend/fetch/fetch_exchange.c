/* fetch_exchange.c - see fetch_exchange.h. */
#include "backend/fetch/fetch_exchange.h"

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
fetch_exchange_init(struct fetch_exchange *x, struct fetch_question *q, size_t body_bytes_max)
{
    *x = (struct fetch_exchange){.q = q};
    buf_init(&x->url, q->budget, URL_BYTES_MAX);
    buf_init(&x->body, q->budget, body_bytes_max);
}

void
fetch_exchange_end(struct fetch_exchange *x)
{
    fetch_close(x->fetch);
    x->fetch = NULL;
}

void
fetch_exchange_fini(struct fetch_exchange *x)
{
    fetch_exchange_end(x);
    buf_fini(&x->url);
    buf_fini(&x->body);
}

void
fetch_exchange_begin(struct fetch_exchange *x, const char *base, const char *path)
{
    fetch_exchange_end(x);
    x->base = base;
    buf_clear(&x->url);
    buf_clear(&x->body);
    http_url_begin(&x->url, base, path);
}

enum err
fetch_exchange_send(struct fetch_exchange *x, const struct fetch_request *how, struct why *why)
{
    struct fetch_request request = *how;
    assert(x->fetch == NULL); /* fetch_exchange_begin() ended the request before */
    http_url_end(&x->url, x->base);
    enum err e = err_first(buf_error(&x->url), buf_error(&x->body));
    if (e == ERR_LIMIT) return why_set(why, e, "the request is too large");
    if (e) return fetch_no_request_memory(why);
    request.method = x->body.size > 0 ? "POST" : "GET";
    request.url = (const char *)x->url.at;
    request.body = buf_bytes(&x->body);
    return fetch_open(x->q->view->session, x->q->control, &request, &x->fetch, why);
}

enum err
fetch_exchange_await(struct fetch_exchange *x, const struct http_call_answer **ret_answer,
                     struct why *why)
{
    *ret_answer = NULL;
    enum err e = fetch_await(x->fetch, ret_answer, why);
    return e ? e : fetch_expect_ok(x->fetch, why);
}

enum err
fetch_exchange_more(void *exchange, struct bytes *ret_piece, struct why *why)
{
    return fetch_read(((struct fetch_exchange *)exchange)->fetch, ret_piece, why);
}

enum err
fetch_exchange_failed(struct fetch_exchange *x, enum err e, struct why *why)
{
    return fetch_failed(x->fetch, e, why);
}
