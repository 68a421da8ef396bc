/*
 * timestream_exchange.c - queries of Timestream, page by page.
 *
 * The client token makes a repeated first request the same query for Timestream. It is valid for
 * five minutes, and pages may be read for longer: so requests for pages have only the token of the
 * page.
 *
 * DescribeEndpoints gives the address for queries, as in endpoint.c for records. A wrong cell
 * responds with 421: then the address is requested again, once for each page.
 *
 * The service counts the bytes that a query has scanned, page after page, and bills them.
 */
#include <stdio.h>

#include "backend/timestream/timestream.h"
#include "backend/timestream/timestream_reader.h"
#include "base/text/hex.h"
#include "base/text/json.h"

enum {
    MISDIRECTED = 421,
    STATEMENT_BYTES_MAX = 262144, /* service's limit of QueryString */
    BODY_BYTES_MAX = 4 << 20,
    ANSWER_BYTES_MAX = 32 << 20, /* a page has 1 MB, and more as JSON */
    SCRATCH_BYTES_MAX = 64 << 20,
    ROWS_MAX = 1000, /* rows in a page */
};

static struct timestream_reader *
reader_of(const struct timestream_exchange *x)
{
    return (struct timestream_reader *)x->base.q->of;
}

void
timestream_exchange_init(struct timestream_exchange *x, struct timestream_question *q)
{
    struct budget *budget = q->base.budget;
    *x = (struct timestream_exchange){.columns = 0};
    fetch_exchange_init(&x->base, &q->base, BODY_BYTES_MAX);
    buf_init(&x->statement, budget, BODY_BYTES_MAX);
    buf_init(&x->answer, budget, ANSWER_BYTES_MAX);
    page_init(&x->page, budget);
    arena_init(&x->scratch, budget, SCRATCH_BYTES_MAX, 0);
}

void
timestream_exchange_fini(struct timestream_exchange *x)
{
    timestream_exchange_end(x, false);
    fetch_exchange_fini(&x->base);
    buf_fini(&x->statement);
    buf_fini(&x->answer);
    page_fini(&x->page);
    arena_fini(&x->scratch);
}

/* --- requests --------------------------------------------------------------------------------- */

static bool
is_misdirected(const struct http_call_answer *answer)
{
    return answer->status == MISDIRECTED;
}

/* Sends the request that was begun. */
static enum err
post(struct timestream_exchange *x, const char *const *headers, struct why *why)
{
    const struct fetch_request how = {
        .headers = headers, .wanted = aws_wanted, .is_final = is_misdirected};
    return fetch_exchange_send(&x->base, &how, why);
}

#define CONTENT_TYPE "Content-Type: application/x-amz-json-1.0"
#define TARGET(what) "X-Amz-Target: Timestream_20181101." what

static enum err
discover(struct timestream_exchange *x, char address[AWS_ENDPOINT_BYTES], struct why *why)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("DescribeEndpoints"), NULL};
    struct timestream_reader *of = reader_of(x);
    const struct http_call_answer *answer;
    struct why wrong = {""};
    int64_t keep_ms = 0;
    fetch_exchange_begin(&x->base, of->service, "/");
    buf_put_text(&x->base.body, "{}");
    buf_clear(&x->answer);
    enum err e = post(x, headers, why);
    if (e == OK) e = fetch_exchange_await(&x->base, &answer, why);
    if (e == OK) e = fetch_read_all(x->base.fetch, &x->answer, why);
    if (e == OK && timestream_address_read(buf_bytes(&x->answer), address, &keep_ms, &wrong)) {
        *why = wrong;
        e = fetch_exchange_failed(&x->base, ERR_CORRUPT, why);
    }
    timestream_exchange_end(x, false);
    if (e) return e;
    lock_take(&of->base.lock);
    memcpy(of->address, address, AWS_ENDPOINT_BYTES);
    of->address_due_ns = env_monotonic_ns(of->base.options.env) + keep_ms * NS_PER_MS;
    lock_drop(&of->base.lock);
    return OK;
}

static enum err
find_address(struct timestream_exchange *x, char address[AWS_ENDPOINT_BYTES], struct why *why)
{
    struct timestream_reader *of = reader_of(x);
    int64_t now_ns = env_monotonic_ns(of->base.options.env);
    if (of->is_fixed) {
        memcpy(address, of->service, AWS_ENDPOINT_BYTES);
        return OK;
    }
    lock_take(&of->base.lock);
    bool known = of->address[0] != '\0' && now_ns < of->address_due_ns;
    memcpy(address, of->address, AWS_ENDPOINT_BYTES);
    lock_drop(&of->base.lock);
    return known ? OK : discover(x, address, why);
}

/* Forgets the address of a URL, unless another address has replaced it. */
static void
forget_address(struct timestream_reader *of, const char *url)
{
    lock_take(&of->base.lock);
    if (strncmp(of->address, url, strlen(of->address)) == 0) of->address[0] = '\0';
    lock_drop(&of->base.lock);
}

/* Requests the first page, or the page of the token. */
static enum err
send(struct timestream_exchange *x, struct why *why)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("Query"), NULL};
    char address[AWS_ENDPOINT_BYTES];
    struct json json;
    enum err e = find_address(x, address, why);
    if (e) return e;
    fetch_exchange_begin(&x->base, address, "/");
    json_init(&json, &x->base.body);
    json_object_open(&json);
    json_member_bytes(&json, "QueryString", buf_bytes(&x->statement));
    json_member_int(&json, "MaxRows", ROWS_MAX);
    if (x->page.token.size > 0)
        json_member_bytes(&json, "NextToken", buf_bytes(&x->page.token));
    else
        json_member_text(&json, "ClientToken", x->client_token);
    json_object_close(&json);
    return post(x, headers, why);
}

enum err
timestream_exchange_begin(struct timestream_exchange *x, uint32_t columns, struct why *why)
{
    uint64_t random[2];
    timestream_exchange_end(x, false);
    if (buf_error(&x->statement)) return fetch_no_request_memory(why);
    if (x->statement.size > STATEMENT_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "the query is too long for Timestream: %zu bytes",
                       x->statement.size);
    }
    enum err e = env_random(reader_of(x)->base.options.env, random, sizeof random);
    if (e) return why_set(why, e, "no random numbers");
    hex_print_word(random[0], x->client_token);
    hex_print_word(random[1], x->client_token + HEX_WORD_BYTES);
    x->client_token[2 * HEX_WORD_BYTES] = '\0';
    x->columns = columns;
    x->counted_bytes = 0;
    buf_clear(&x->page.token);
    buf_clear(&x->page.query);
    return send(x, why);
}

bool
timestream_exchange_has_more(const struct timestream_exchange *x)
{
    return x->base.fetch != NULL;
}

/* --- pages ------------------------------------------------------------------------------------ */

static enum err
count_scanned(struct timestream_exchange *x, struct why *why)
{
    struct timestream_reader *of = reader_of(x);
    uint64_t more =
        x->page.scanned_bytes > x->counted_bytes ? x->page.scanned_bytes - x->counted_bytes : 0;
    uint64_t max = of->base.options.settings->max_bytes;
    x->counted_bytes += more;
    atomic_fetch_add_explicit(&of->base.options.counts->scanned_bytes, more, memory_order_relaxed);
    uint64_t all =
        atomic_fetch_add_explicit(&x->base.q->view->scanned_bytes, more, memory_order_relaxed) +
        more;
    if (max == 0 || all <= max) return OK;
    return why_set(why, ERR_LIMIT,
                   "Timestream has scanned %llu bytes for the query, more than %llu (max_bytes)",
                   (unsigned long long)all, (unsigned long long)max);
}

static enum err
receive(struct timestream_exchange *x, struct why *why)
{
    const struct http_call_answer *answer;
    for (unsigned tries = 0;; tries++) {
        enum err e = fetch_await(x->base.fetch, &answer, why);
        if (e) return e;
        if (!is_misdirected(answer) || reader_of(x)->is_fixed || tries > 0) break;
        forget_address(reader_of(x), (const char *)x->base.url.at);
        e = send(x, why);
        if (e) return e;
    }
    enum err e = fetch_expect_ok(x->base.fetch, why);
    buf_clear(&x->answer);
    return e ? e : fetch_read_all(x->base.fetch, &x->answer, why);
}

enum err
timestream_exchange_page(struct timestream_exchange *x, const struct page_sink *to, struct why *why)
{
    enum err e = receive(x, why);
    if (e == OK) {
        e = page_read(&x->page, buf_bytes(&x->answer), x->columns, &x->scratch, to, why);
        if (e == ERR_CORRUPT) e = fetch_exchange_failed(&x->base, e, why);
    }
    fetch_exchange_end(&x->base);
    if (e == OK) e = count_scanned(x, why);
    if (e == OK && x->page.token.size > 0) e = send(x, why);
    return e;
}

enum err
timestream_exchange_all(struct timestream_exchange *x, uint32_t columns, const struct page_sink *to,
                        struct why *why)
{
    enum err e = timestream_exchange_begin(x, columns, why);
    while (e == OK && timestream_exchange_has_more(x)) {
        e = timestream_exchange_page(x, to, why);
    }
    timestream_exchange_end(x, e == ERR_LIMIT);
    return e;
}

/* Cancels the query, so that nothing more is scanned and billed. Errors are ignored. */
static void
cancel_query(struct timestream_exchange *x)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("CancelQuery"), NULL};
    const struct http_call_answer *answer;
    char address[AWS_ENDPOINT_BYTES];
    struct json json;
    if (find_address(x, address, NULL)) return;
    fetch_exchange_begin(&x->base, address, "/");
    json_init(&json, &x->base.body);
    json_object_open(&json);
    json_member_bytes(&json, "QueryId", buf_bytes(&x->page.query));
    json_object_close(&json);
    if (post(x, headers, NULL)) return;
    err_ignore(fetch_await(x->base.fetch, &answer, NULL), "the query may have ended");
    fetch_exchange_end(&x->base);
}

void
timestream_exchange_end(struct timestream_exchange *x, bool cancel)
{
    bool is_pending = x->base.fetch != NULL || x->page.token.size > 0;
    fetch_exchange_end(&x->base);
    if (cancel && is_pending && x->page.query.size > 0) cancel_query(x);
    buf_clear(&x->page.token);
    buf_clear(&x->page.query);
}
