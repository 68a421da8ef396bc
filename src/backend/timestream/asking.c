/*
 * asking.c - queries of Timestream, page by page.
 *
 * The client token makes a first request that is sent again the same query to Timestream. It is
 * good for five minutes, pages may be read for longer: so these have their own token only.
 *
 * Timestream wants to be asked where to send queries to, as endpoint.c says of records. Another
 * cell than ours answers 421: then the address is asked for again, once for each page.
 *
 * The service counts what a query has scanned, page after page, and bills it.
 */
#include <stdio.h>

#include "backend/timestream/reading.h"
#include "backend/timestream/timestream.h"
#include "base/hex.h"
#include "base/json.h"

enum {
    MISDIRECTED = 421,
    STATEMENT_BYTES_MAX = 262144, /* of QueryString */
    BODY_BYTES_MAX = 4 << 20,
    ANSWER_BYTES_MAX = 32 << 20, /* a page has 1 MB; as JSON more */
    SCRATCH_BYTES_MAX = 64 << 20,
    ROWS_MAX = 1000, /* of a page */
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

void
asking_init(struct timestream_asking *a, struct timestream_view *view,
            struct query_control *control)
{
    *a = (struct timestream_asking){.view = view, .control = control};
    buf_init(&a->statement, view->base.budget, BODY_BYTES_MAX);
    buf_init(&a->body, view->base.budget, BODY_BYTES_MAX);
    buf_init(&a->answer, view->base.budget, ANSWER_BYTES_MAX);
    page_init(&a->page, view->base.budget);
    arena_init(&a->scratch, view->base.budget, SCRATCH_BYTES_MAX, 0);
}

void
asking_fini(struct timestream_asking *a)
{
    asking_end(a, false);
    buf_fini(&a->statement);
    buf_fini(&a->body);
    buf_fini(&a->answer);
    page_fini(&a->page);
    arena_fini(&a->scratch);
}

/* --- requests --------------------------------------------------------------------------------- */

static bool
is_misdirected(const struct http_call_answer *answer)
{
    return answer->status == MISDIRECTED;
}

static enum err
post(struct timestream_asking *a, const char *address, const char *const *headers, struct why *why)
{
    snprintf(a->url, sizeof a->url, "%s/", address);
    struct fetch_request request = {.method = "POST",
                                    .url = a->url,
                                    .headers = headers,
                                    .body = buf_bytes(&a->body),
                                    .wanted = aws_wanted,
                                    .is_final = is_misdirected};
    if (buf_error(&a->body)) return no_memory(why);
    return fetch_open(a->view->base.session, a->control, &request, &a->fetch, why);
}

#define CONTENT_TYPE "Content-Type: application/x-amz-json-1.0"
#define TARGET(what) "X-Amz-Target: Timestream_20181101." what

static enum err
discover(struct timestream_asking *a, char address[AWS_ENDPOINT_BYTES], struct why *why)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("DescribeEndpoints"), NULL};
    struct timestream_reader *of = timestream_reader_of(a->view);
    const struct http_call_answer *answer;
    struct why wrong = {""};
    int64_t keep_ms = 0;
    buf_clear(&a->body);
    buf_clear(&a->answer);
    buf_put_text(&a->body, "{}");
    enum err e = post(a, of->service, headers, why);
    if (e == OK) e = fetch_await(a->fetch, &answer, why);
    if (e == OK) e = fetch_expect_ok(a->fetch, why);
    if (e == OK) e = fetch_read_all(a->fetch, &a->answer, why);
    if (e == OK && timestream_address_read(buf_bytes(&a->answer), address, &keep_ms, &wrong)) {
        *why = wrong;
        e = fetch_failed(a->fetch, ERR_CORRUPT, why);
    }
    asking_end(a, false);
    if (e) return e;
    lock_take(&of->lock);
    memcpy(of->address, address, AWS_ENDPOINT_BYTES);
    of->address_due_ns = env_monotonic_ns(of->options.env) + keep_ms * NS_PER_MS;
    lock_drop(&of->lock);
    return OK;
}

static enum err
find_address(struct timestream_asking *a, char address[AWS_ENDPOINT_BYTES], struct why *why)
{
    struct timestream_reader *of = timestream_reader_of(a->view);
    int64_t now_ns = env_monotonic_ns(of->options.env);
    if (of->is_fixed) {
        memcpy(address, of->service, AWS_ENDPOINT_BYTES);
        return OK;
    }
    lock_take(&of->lock);
    bool known = of->address[0] != '\0' && now_ns < of->address_due_ns;
    memcpy(address, of->address, AWS_ENDPOINT_BYTES);
    lock_drop(&of->lock);
    return known ? OK : discover(a, address, why);
}

/* That address is not to be used any more; unless another one has taken its place. */
static void
forget_address(struct timestream_reader *of, const char *url)
{
    lock_take(&of->lock);
    if (strncmp(of->address, url, strlen(of->address)) == 0) of->address[0] = '\0';
    lock_drop(&of->lock);
}

/* The first page, or that of the token. */
static enum err
send(struct timestream_asking *a, struct why *why)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("Query"), NULL};
    char address[AWS_ENDPOINT_BYTES];
    struct json json;
    enum err e = find_address(a, address, why);
    if (e) return e;
    buf_clear(&a->body);
    json_init(&json, &a->body);
    json_object_open(&json);
    json_member_bytes(&json, "QueryString", buf_bytes(&a->statement));
    json_member_int(&json, "MaxRows", ROWS_MAX);
    if (a->page.token.size > 0)
        json_member_bytes(&json, "NextToken", buf_bytes(&a->page.token));
    else
        json_member_text(&json, "ClientToken", a->client_token);
    json_object_close(&json);
    return post(a, address, headers, why);
}

enum err
asking_begin(struct timestream_asking *a, uint32_t columns, struct why *why)
{
    uint64_t random[2];
    asking_end(a, false);
    if (buf_error(&a->statement)) return no_memory(why);
    if (a->statement.size > STATEMENT_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "the query is too long for Timestream: %zu bytes",
                       a->statement.size);
    }
    enum err e = env_random(timestream_reader_of(a->view)->options.env, random, sizeof random);
    if (e) return why_set(why, e, "no random numbers");
    hex_print_word(random[0], a->client_token);
    hex_print_word(random[1], a->client_token + HEX_WORD_BYTES);
    a->client_token[2 * HEX_WORD_BYTES] = '\0';
    a->columns = columns;
    a->counted_bytes = 0;
    buf_clear(&a->page.token);
    buf_clear(&a->page.query);
    return send(a, why);
}

bool
asking_has_more(const struct timestream_asking *a)
{
    return a->fetch != NULL;
}

/* --- pages ------------------------------------------------------------------------------------ */

static enum err
count_scanned(struct timestream_asking *a, struct why *why)
{
    struct timestream_reader *of = timestream_reader_of(a->view);
    uint64_t more =
        a->page.scanned_bytes > a->counted_bytes ? a->page.scanned_bytes - a->counted_bytes : 0;
    uint64_t max = of->options.settings->max_bytes;
    a->counted_bytes += more;
    atomic_fetch_add_explicit(&of->options.counts->scanned_bytes, more, memory_order_relaxed);
    uint64_t all =
        atomic_fetch_add_explicit(&a->view->scanned_bytes, more, memory_order_relaxed) + more;
    if (max == 0 || all <= max) return OK;
    return why_set(why, ERR_LIMIT,
                   "Timestream has scanned %llu bytes for the query, more than %llu (max_bytes)",
                   (unsigned long long)all, (unsigned long long)max);
}

static enum err
receive(struct timestream_asking *a, struct why *why)
{
    const struct http_call_answer *answer;
    for (unsigned tries = 0;; tries++) {
        enum err e = fetch_await(a->fetch, &answer, why);
        if (e) return e;
        if (!is_misdirected(answer) || timestream_reader_of(a->view)->is_fixed || tries > 0) break;
        forget_address(timestream_reader_of(a->view), a->url);
        fetch_close(a->fetch);
        a->fetch = NULL;
        e = send(a, why);
        if (e) return e;
    }
    enum err e = fetch_expect_ok(a->fetch, why);
    buf_clear(&a->answer);
    return e ? e : fetch_read_all(a->fetch, &a->answer, why);
}

enum err
asking_page(struct timestream_asking *a, const struct page_sink *to, struct why *why)
{
    enum err e = receive(a, why);
    if (e == OK) {
        e = page_read(&a->page, buf_bytes(&a->answer), a->columns, &a->scratch, to, why);
        if (e == ERR_CORRUPT) e = fetch_failed(a->fetch, e, why);
    }
    fetch_close(a->fetch);
    a->fetch = NULL;
    if (e == OK) e = count_scanned(a, why);
    if (e == OK && a->page.token.size > 0) e = send(a, why);
    return e;
}

enum err
asking_all(struct timestream_asking *a, uint32_t columns, const struct page_sink *to,
           struct why *why)
{
    enum err e = asking_begin(a, columns, why);
    while (e == OK && asking_has_more(a)) {
        e = asking_page(a, to, why);
    }
    asking_end(a, e == ERR_LIMIT);
    return e;
}

/* So that nothing more is scanned and billed. Whether it worked is of no interest. */
static void
cancel_query(struct timestream_asking *a)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("CancelQuery"), NULL};
    const struct http_call_answer *answer;
    char address[AWS_ENDPOINT_BYTES];
    struct json json;
    if (find_address(a, address, NULL)) return;
    buf_clear(&a->body);
    json_init(&json, &a->body);
    json_object_open(&json);
    json_member_bytes(&json, "QueryId", buf_bytes(&a->page.query));
    json_object_close(&json);
    if (post(a, address, headers, NULL)) return;
    err_ignore(fetch_await(a->fetch, &answer, NULL), "the query may have ended");
    fetch_close(a->fetch);
    a->fetch = NULL;
}

void
asking_end(struct timestream_asking *a, bool cancel)
{
    bool is_under_way = a->fetch != NULL || a->page.token.size > 0;
    fetch_close(a->fetch);
    a->fetch = NULL;
    if (cancel && is_under_way && a->page.query.size > 0) cancel_query(a);
    buf_clear(&a->page.token);
    buf_clear(&a->page.query);
}
