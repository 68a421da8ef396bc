/*
 * asking.c - queries of Timestream, page by page.
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
reader_of(const struct timestream_asking *a)
{
    return (struct timestream_reader *)a->base.q->of;
}

void
asking_init(struct timestream_asking *a, struct timestream_question *q)
{
    struct budget *budget = q->base.budget;
    *a = (struct timestream_asking){.columns = 0};
    fetch_ask_init(&a->base, &q->base, BODY_BYTES_MAX);
    buf_init(&a->statement, budget, BODY_BYTES_MAX);
    buf_init(&a->answer, budget, ANSWER_BYTES_MAX);
    page_init(&a->page, budget);
    arena_init(&a->scratch, budget, SCRATCH_BYTES_MAX, 0);
}

void
asking_fini(struct timestream_asking *a)
{
    asking_end(a, false);
    fetch_ask_fini(&a->base);
    buf_fini(&a->statement);
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

/* Sends the request that was begun. */
static enum err
post(struct timestream_asking *a, const char *const *headers, struct why *why)
{
    const struct fetch_request how = {
        .headers = headers, .wanted = aws_wanted, .is_final = is_misdirected};
    return fetch_ask_send(&a->base, &how, why);
}

#define CONTENT_TYPE "Content-Type: application/x-amz-json-1.0"
#define TARGET(what) "X-Amz-Target: Timestream_20181101." what

static enum err
discover(struct timestream_asking *a, char address[AWS_ENDPOINT_BYTES], struct why *why)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("DescribeEndpoints"), NULL};
    struct timestream_reader *of = reader_of(a);
    const struct http_call_answer *answer;
    struct why wrong = {""};
    int64_t keep_ms = 0;
    fetch_ask_begin(&a->base, of->service, "/");
    buf_put_text(&a->base.body, "{}");
    buf_clear(&a->answer);
    enum err e = post(a, headers, why);
    if (e == OK) e = fetch_ask_await(&a->base, &answer, why);
    if (e == OK) e = fetch_read_all(a->base.fetch, &a->answer, why);
    if (e == OK && timestream_address_read(buf_bytes(&a->answer), address, &keep_ms, &wrong)) {
        *why = wrong;
        e = fetch_ask_failed(&a->base, ERR_CORRUPT, why);
    }
    asking_end(a, false);
    if (e) return e;
    lock_take(&of->base.lock);
    memcpy(of->address, address, AWS_ENDPOINT_BYTES);
    of->address_due_ns = env_monotonic_ns(of->base.options.env) + keep_ms * NS_PER_MS;
    lock_drop(&of->base.lock);
    return OK;
}

static enum err
find_address(struct timestream_asking *a, char address[AWS_ENDPOINT_BYTES], struct why *why)
{
    struct timestream_reader *of = reader_of(a);
    int64_t now_ns = env_monotonic_ns(of->base.options.env);
    if (of->is_fixed) {
        memcpy(address, of->service, AWS_ENDPOINT_BYTES);
        return OK;
    }
    lock_take(&of->base.lock);
    bool known = of->address[0] != '\0' && now_ns < of->address_due_ns;
    memcpy(address, of->address, AWS_ENDPOINT_BYTES);
    lock_drop(&of->base.lock);
    return known ? OK : discover(a, address, why);
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
send(struct timestream_asking *a, struct why *why)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("Query"), NULL};
    char address[AWS_ENDPOINT_BYTES];
    struct json json;
    enum err e = find_address(a, address, why);
    if (e) return e;
    fetch_ask_begin(&a->base, address, "/");
    json_init(&json, &a->base.body);
    json_object_open(&json);
    json_member_bytes(&json, "QueryString", buf_bytes(&a->statement));
    json_member_int(&json, "MaxRows", ROWS_MAX);
    if (a->page.token.size > 0)
        json_member_bytes(&json, "NextToken", buf_bytes(&a->page.token));
    else
        json_member_text(&json, "ClientToken", a->client_token);
    json_object_close(&json);
    return post(a, headers, why);
}

enum err
asking_begin(struct timestream_asking *a, uint32_t columns, struct why *why)
{
    uint64_t random[2];
    asking_end(a, false);
    if (buf_error(&a->statement)) return fetch_no_request_memory(why);
    if (a->statement.size > STATEMENT_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "the query is too long for Timestream: %zu bytes",
                       a->statement.size);
    }
    enum err e = env_random(reader_of(a)->base.options.env, random, sizeof random);
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
    return a->base.fetch != NULL;
}

/* --- pages ------------------------------------------------------------------------------------ */

static enum err
count_scanned(struct timestream_asking *a, struct why *why)
{
    struct timestream_reader *of = reader_of(a);
    uint64_t more =
        a->page.scanned_bytes > a->counted_bytes ? a->page.scanned_bytes - a->counted_bytes : 0;
    uint64_t max = of->base.options.settings->max_bytes;
    a->counted_bytes += more;
    atomic_fetch_add_explicit(&of->base.options.counts->scanned_bytes, more, memory_order_relaxed);
    uint64_t all =
        atomic_fetch_add_explicit(&a->base.q->view->scanned_bytes, more, memory_order_relaxed) +
        more;
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
        enum err e = fetch_await(a->base.fetch, &answer, why);
        if (e) return e;
        if (!is_misdirected(answer) || reader_of(a)->is_fixed || tries > 0) break;
        forget_address(reader_of(a), (const char *)a->base.url.at);
        e = send(a, why);
        if (e) return e;
    }
    enum err e = fetch_expect_ok(a->base.fetch, why);
    buf_clear(&a->answer);
    return e ? e : fetch_read_all(a->base.fetch, &a->answer, why);
}

enum err
asking_page(struct timestream_asking *a, const struct page_sink *to, struct why *why)
{
    enum err e = receive(a, why);
    if (e == OK) {
        e = page_read(&a->page, buf_bytes(&a->answer), a->columns, &a->scratch, to, why);
        if (e == ERR_CORRUPT) e = fetch_ask_failed(&a->base, e, why);
    }
    fetch_ask_end(&a->base);
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

/* Cancels the query, so that nothing more is scanned and billed. Errors are ignored. */
static void
cancel_query(struct timestream_asking *a)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("CancelQuery"), NULL};
    const struct http_call_answer *answer;
    char address[AWS_ENDPOINT_BYTES];
    struct json json;
    if (find_address(a, address, NULL)) return;
    fetch_ask_begin(&a->base, address, "/");
    json_init(&json, &a->base.body);
    json_object_open(&json);
    json_member_bytes(&json, "QueryId", buf_bytes(&a->page.query));
    json_object_close(&json);
    if (post(a, headers, NULL)) return;
    err_ignore(fetch_await(a->base.fetch, &answer, NULL), "the query may have ended");
    fetch_ask_end(&a->base);
}

void
asking_end(struct timestream_asking *a, bool cancel)
{
    bool is_pending = a->base.fetch != NULL || a->page.token.size > 0;
    fetch_ask_end(&a->base);
    if (cancel && is_pending && a->page.query.size > 0) cancel_query(a);
    buf_clear(&a->page.token);
    buf_clear(&a->page.query);
}
