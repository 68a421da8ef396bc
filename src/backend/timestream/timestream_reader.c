/*
 * timestream_reader.c - a source of type timestream: see timestream_reader.h.
 *
 * The query for series returns one row for each, which costs a scan of its own; but then queries
 * for samples leave out the columns that all series of a block have in common, and blocks fit.
 *
 * The samples of a block are read by several queries at once, each for a piece of time, since pages
 * of one query come one after another.
 */
#include "backend/timestream/timestream_reader.h"

#include <stdio.h>

#include "backend/timestream/timestream.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "base/text/hex.h"
#include "base/text/json.h"
#include "wire/number.h"

/* --- queries ---------------------------------------------------------------------------------- */

/*
 * The client token makes a repeated first request the same query for Timestream. It is valid for
 * five minutes, and pages may be read for longer: so requests for pages have only the token of the
 * page.
 *
 * DescribeEndpoints gives the address for queries, as in endpoint.c for records. A wrong cell
 * responds with 421: then the address is requested again, once for each page.
 *
 * The service counts the bytes that a query has scanned, page after page, and bills them.
 */
enum {
    MISDIRECTED = 421,
    STATEMENT_BYTES_MAX = 262144, /* service's limit of QueryString */
    BODY_BYTES_MAX = 4 << 20,
    ANSWER_BYTES_MAX = 32 << 20, /* a page has 1 MB, and more as JSON */
    SCRATCH_BYTES_MAX = 64 << 20,
    ROWS_MAX = 1000, /* rows in a page */
};

/* One query, and its response page by page. */
struct timestream_exchange {
    struct fetch_exchange base; /* first; open while there is another page to be read */
    struct buf statement;
    uint32_t columns; /* number of columns of its rows */
    char client_token[33];
    struct buf answer;
    struct timestream_page page;
    struct arena scratch;   /* lives as long as a page */
    uint64_t counted_bytes; /* scanned bytes that are counted */
};

static struct timestream_reader *
reader_of(const struct fetch_question *q)
{
    return (struct timestream_reader *)q->of;
}

static void
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

static void
timestream_exchange_fini(struct timestream_exchange *x)
{
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
    struct timestream_reader *of = reader_of(x->base.q);
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
    fetch_exchange_end(&x->base);
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
    struct timestream_reader *of = reader_of(x->base.q);
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

/* Sends the statement; waits only for the address. */
static MUST_CHECK enum err
timestream_exchange_begin(struct timestream_exchange *x, uint32_t columns, struct why *why)
{
    uint64_t random[2];
    fetch_exchange_end(&x->base);
    if (buf_error(&x->statement)) return fetch_no_request_memory(why);
    if (x->statement.size > STATEMENT_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "the query is too long for Timestream: %zu bytes",
                       x->statement.size);
    }
    enum err e = env_random(reader_of(x->base.q)->base.options.env, random, sizeof random);
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

/* True if there is another page to read. */
static bool
timestream_exchange_has_more(const struct timestream_exchange *x)
{
    return x->base.fetch != NULL;
}

/* --- pages ------------------------------------------------------------------------------------ */

static enum err
count_scanned(struct timestream_exchange *x, struct why *why)
{
    struct timestream_reader *of = reader_of(x->base.q);
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
        if (!is_misdirected(answer) || reader_of(x->base.q)->is_fixed || tries > 0) break;
        /* Forgets the address of a URL, unless another address has replaced it. */
        struct timestream_reader *of = reader_of(x->base.q);
        lock_take(&of->base.lock);
        if (strncmp(of->address, ((const char *)x->base.url.at), strlen(of->address)) == 0)
            of->address[0] = '\0';
        lock_drop(&of->base.lock);
        e = send(x, why);
        if (e) return e;
    }
    enum err e = fetch_expect_ok(x->base.fetch, why);
    buf_clear(&x->answer);
    return e ? e : fetch_read_all(x->base.fetch, &x->answer, why);
}

/* Reads the next page, and requests the page after it. Errors of fetch.h and timestream_reader.h;
 * ERR_LIMIT: the query scans more than max_bytes. */
static MUST_CHECK enum err
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

/* Cancels the query, unless it has ended, so that nothing more is scanned and billed. Errors are
 * ignored. */
static void
timestream_exchange_cancel(struct timestream_exchange *x)
{
    static const char *const headers[] = {CONTENT_TYPE, TARGET("CancelQuery"), NULL};
    const struct http_call_answer *answer;
    char address[AWS_ENDPOINT_BYTES];
    struct json json;
    bool is_pending = x->base.fetch != NULL || x->page.token.size > 0;
    fetch_exchange_end(&x->base);
    if (!is_pending || x->page.query.size == 0) return;
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

/* Sends the statement and reads all pages, one after another. */
static MUST_CHECK enum err
timestream_exchange_all(struct timestream_exchange *x, uint32_t columns, const struct page_sink *to,
                        struct why *why)
{
    enum err e = timestream_exchange_begin(x, columns, why);
    while (e == OK && timestream_exchange_has_more(x))
        e = timestream_exchange_page(x, to, why);
    if (e == ERR_LIMIT) timestream_exchange_cancel(x);
    fetch_exchange_end(&x->base);
    return e;
}

/* --- reader ----------------------------------------------------------------------------------- */

enum {
    KEY_BYTES_MAX = 1 << 20,
    SELECTED_BYTES_MAX = 200 * 1024, /* share of selected series in a statement of 256 KiB */
    SELECTED_MAX = 1000,             /* Trino refuses expressions of too many terms */
    PIECES = 4,
    PIECE_SAMPLES = 4000, /* fewer are not worth a query of their own */
    SERIES_AROUND = 4,    /* columns of a series' row besides dimensions */
    SAMPLE_AROUND = 3,
};
/* The last time of Timestream: nanoseconds in 64 bits. */
#define TIME_MS_MAX 9223372036854

static enum err
reader_take_column(void *context, const struct bytes *cells, struct why *why)
{
    struct buf *to = context;
    columns_put(to, cells);
    return buf_error(to) ? fetch_no_memory(why) : OK;
}

static enum err
describe(struct timestream_question *q, struct buf *to, struct why *why)
{
    struct timestream_reader *of = reader_of(&q->base);
    const struct page_sink sink = {reader_take_column, to};
    struct timestream_exchange a;
    timestream_exchange_init(&a, q);
    statement_describe(&a.statement, &of->base.options.settings->u.timestream);
    int64_t queried_ns = env_monotonic_ns(of->base.options.env);
    enum err e = timestream_exchange_all(&a, DESCRIBE_COLUMNS, &sink, why);
    timestream_exchange_fini(&a);
    if (e) return e;
    lock_take(&of->base.lock);
    buf_clear(&of->columns);
    buf_put_bytes(&of->columns, buf_bytes(to));
    if (buf_error(&of->columns)) buf_clear(&of->columns);
    of->columns_queried_ns = queried_ns;
    lock_drop(&of->base.lock);
    return OK;
}

/* Finds out which columns there are, once per view: a new column would be a label that is missing
 * in the result, of rows of any time. */
static enum err
learn(struct timestream_question *q, struct why *why)
{
    struct timestream_reader *of = reader_of(&q->base);
    struct buf kept;
    buf_init(&kept, q->base.budget, KEY_BYTES_MAX);
    lock_take(&of->base.lock);
    bool known = of->columns.size > 0 && of->columns_queried_ns >= q->base.view->opened_ns;
    if (known) buf_put_bytes(&kept, buf_bytes(&of->columns));
    lock_drop(&of->base.lock);
    enum err e = buf_error(&kept) ? fetch_no_memory(why) : OK;
    if (e == OK && !known) e = describe(q, &kept, why);
    if (e == OK) {
        e = columns_take(&q->columns, buf_bytes(&kept), &of->base.options.settings->u.timestream,
                         &q->base.arena, why);
    }
    buf_fini(&kept);
    return e;
}

static uint64_t
count_of(struct bytes text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < text.size && text.at[i] >= '0' && text.at[i] <= '9'; i++)
        if (count < UINT64_MAX / 20) count = count * 10 + (uint64_t)(text.at[i] - '0');
    return count;
}

/* The key of a series: its number of samples, the measure, and each dimension that it has, by its
 * number. */
static enum err
put_key(struct timestream_question *q, uint64_t samples, struct bytes measure,
        const struct bytes *values, struct why *why)
{
    struct buf *to = &q->key;
    buf_clear(to);
    buf_put_le64(to, samples);
    buf_put_counted(to, measure);
    for (uint32_t i = 0; i < q->columns.count; i++) {
        if (values[i].at == NULL) continue;
        buf_put_varint(to, i);
        buf_put_counted(to, values[i]);
    }
    return buf_error(to) ? fetch_no_memory(why) : OK;
}

/* Takes a row of statement_series(). */
static enum err
take_series(void *context, const struct bytes *cells, struct why *why)
{
    struct timestream_question *q = context;
    const struct bytes measure = cells[0], *values = cells + 1, *after = values + q->columns.count;
    struct label labels[FINAL_LABELS_MAX];
    struct fetch_series s = {.labels = labels, .samples = count_of(after[0])};
    if (!timestream_time_read(after[1], &s.first_ms) ||
        !timestream_time_read(after[2], &s.last_ms) || measure.at == NULL)
        return why_set(why, ERR_CORRUPT, "a row about a series has no time or no measure");
    arena_reset(&q->base.scratch);
    enum err e =
        columns_labels(&q->columns, measure, values, &q->base.scratch, labels, &s.count, why);
    if (e == OK) e = put_key(q, s.samples, measure, values, why);
    s.key = buf_bytes(&q->key);
    return e ? e : fetch_question_take(&q->base, &s, why);
}

static enum err
find_series(struct fetch_question *base, struct why *why)
{
    struct timestream_question *q = (struct timestream_question *)base;
    const struct page_sink sink = {take_series, q};
    struct timestream_exchange a;
    enum err e = learn(q, why);
    if (e || !statement_may_select(q)) return e;
    timestream_exchange_init(&a, q);
    statement_series(&a.statement, q);
    e = timestream_exchange_all(&a, q->columns.count + SERIES_AROUND, &sink, why);
    timestream_exchange_fini(&a);
    return e;
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Reads a key; *ret_samples is the number of its samples. */
static void
get_key(struct bytes text, const struct timestream_columns *c, struct timestream_key *ret,
        uint64_t *ret_samples)
{
    struct cursor at = cursor_of(text);
    *ret_samples = cursor_le64(&at);
    ret->measure = cursor_counted(&at);
    memset(ret->values, 0, c->count * sizeof *ret->values);
    while (cursor_left(&at) > 0) {
        uint64_t i = cursor_varint(&at);
        struct bytes value = cursor_counted(&at);
        if (i < c->count) ret->values[i] = value.at == NULL ? bytes_of("", 0) : value;
    }
}

static bool
same_value(struct bytes a, struct bytes b)
{
    return (a.at == NULL) == (b.at == NULL) && bytes_equal(a, b);
}

static uint64_t
hash_value(uint64_t hash, struct bytes value)
{
    return hash_mix(hash, value.at == NULL ? 1 : hash_bytes(value, 2));
}

/* The hash of the varying columns. */
static uint64_t
hash_key(const struct timestream_question *q, const struct timestream_key *key)
{
    uint64_t hash = q->varying.measure ? hash_value(0, key->measure) : 0;
    for (uint32_t i = 0; i < q->varying.count; i++)
        hash = hash_value(hash, key->values[q->varying.dimensions[i]]);
    return hash;
}

static struct bytes
key_at(const struct timestream_question *q, uint32_t number)
{
    return series_blocks_key(q->base.blocks, number);
}

/* Finds the columns in which the keys of a block differ; *ret_samples is their number of samples.
 */
static void
compare_keys(struct timestream_question *q, uint64_t *ret_samples)
{
    const struct series_block *block = q->block;
    const struct timestream_columns *c = &q->columns;
    bool differs[TIMESTREAM_COLUMNS_MAX] = {false};
    uint64_t samples;
    get_key(key_at(q, block->first), c, &q->one, ret_samples);
    q->varying = (struct timestream_varying){.measure = false};
    for (uint32_t k = 1; k < block->count; k++) {
        get_key(key_at(q, block->first + k), c, &q->other, &samples);
        *ret_samples += samples;
        q->varying.measure |= !bytes_equal(q->one.measure, q->other.measure);
        for (uint32_t i = 0; i < c->count; i++)
            differs[i] |= !same_value(q->one.values[i], q->other.values[i]);
    }
    for (uint32_t i = 0; i < c->count; i++)
        if (differs[i]) q->varying.dimensions[q->varying.count++] = i;
}

static enum err
index_keys(struct timestream_question *q, struct why *why)
{
    const struct series_block *block = q->block;
    uint64_t samples;
    table_clear(&q->numbers);
    if (!table_reserve(&q->numbers, q->base.budget, block->count)) return fetch_no_memory(why);
    for (uint32_t k = 0; k < block->count; k++) {
        get_key(key_at(q, block->first + k), &q->columns, &q->other, &samples);
        table_add(&q->numbers, hash_key(q, &q->other), block->first + k);
    }
    return OK;
}

/* The series of a row, whose cells are the varying columns; UINT32_MAX if it is not in the block.
 */
static uint32_t
find_key(struct timestream_question *q, const struct bytes *cells)
{
    const struct timestream_varying *varying = &q->varying;
    const struct bytes *values = cells + varying->measure;
    uint64_t hash = varying->measure ? hash_value(0, cells[0]) : 0, samples;
    for (uint32_t i = 0; i < varying->count; i++)
        hash = hash_value(hash, values[i]);
    for (uint32_t at = TABLE_START, id; table_next(&q->numbers, hash, &at, &id);) {
        get_key(key_at(q, id), &q->columns, &q->other, &samples);
        bool same = !varying->measure || bytes_equal(q->other.measure, cells[0]);
        for (uint32_t i = 0; i < varying->count && same; i++)
            same = same_value(q->other.values[varying->dimensions[i]], values[i]);
        if (same) return id;
    }
    return UINT32_MAX;
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
put_value(struct timestream_question *q, uint32_t number, int64_t t_ms, struct bytes number_text,
          struct bytes text, struct why *why)
{
    uint64_t bits;
    if (number_text.at != NULL) {
        bool fine = number_parse((const char *)number_text.at, number_text.size, &bits);
        if (fine) return series_blocks_put_float(q->base.blocks, number, t_ms, bits, 0, why);
    } else if (text.size > 0 && text.at[0] == '{') {
        arena_reset(&q->base.scratch);
        enum err e = fetch_question_put_histogram(&q->base, number, t_ms, 0, text, why);
        if (e != ERR_CORRUPT) return e;
    } else if (hex_parse_word(text, &bits)) {
        return series_blocks_put_float(q->base.blocks, number, t_ms, bits, 0, why);
    }
    q->junk++;
    return OK;
}

static enum err
take_sample(void *context, const struct bytes *cells, struct why *why)
{
    struct timestream_question *q = context;
    int64_t t_ms;
    if (!timestream_time_read(cells[0], &t_ms))
        return why_set(why, ERR_CORRUPT, "a row has no time");
    uint32_t number = find_key(q, cells + SAMPLE_AROUND);
    return number == UINT32_MAX ? OK : put_value(q, number, t_ms, cells[1], cells[2], why);
}

/* Puts the condition that selects the series of the block; nothing if they are all that the
 * matchers select. */
static enum err
put_selected(struct timestream_question *q, struct buf *to, struct why *why)
{
    const struct series_block *block = q->block;
    bool all = block->count == q->base.series_count && q->base.takes_all && block->count > 1;
    uint64_t samples;
    if (all || (q->varying.count == 0 && !q->varying.measure)) return OK;
    for (uint32_t k = 0; k < block->count; k++) {
        get_key(key_at(q, block->first + k), &q->columns, &q->other, &samples);
        statement_selected_put(to, q, &q->other, &q->varying);
        if ((to->size > SELECTED_BYTES_MAX || k >= SELECTED_MAX) && k > 0)
            return why_set(why, ERR_FULL, "too many series for a request");
    }
    return buf_error(to) ? fetch_no_memory(why) : OK;
}

/* Reads all pages of all pieces. The next page of a piece is requested before the others are read.
 */
static enum err
read_pieces(struct timestream_question *q, struct timestream_exchange *pieces, uint32_t count,
            struct why *why)
{
    const struct page_sink sink = {take_sample, q};
    enum err e = OK;
    for (bool more = true; more && e == OK;) {
        more = false;
        for (uint32_t i = 0; i < count && e == OK; i++) {
            if (!timestream_exchange_has_more(&pieces[i])) continue;
            e = timestream_exchange_page(&pieces[i], &sink, why);
            more = true;
        }
    }
    return e;
}

static enum err
fetch_pieces(struct timestream_question *q, struct bytes selected, uint64_t samples,
             struct why *why)
{
    const struct series_block *block = q->block;
    struct timestream_exchange pieces[PIECES];
    uint64_t span = (uint64_t)block->max_ms - (uint64_t)block->min_ms + 1;
    uint32_t count =
        samples / PIECE_SAMPLES >= PIECES ? PIECES : (uint32_t)(samples / PIECE_SAMPLES) + 1;
    if (count > span) count = 1;
    uint32_t columns = SAMPLE_AROUND + q->varying.measure + q->varying.count;
    enum err e = OK;
    for (uint32_t i = 0; i < count; i++) {
        timestream_exchange_init(&pieces[i], q);
        int64_t from = block->min_ms + (int64_t)(span / count * i);
        int64_t to =
            i + 1 == count ? block->max_ms : block->min_ms + (int64_t)(span / count * (i + 1)) - 1;
        if (e) continue;
        statement_samples(&pieces[i].statement, q, &q->one, &q->varying, selected, from, to);
        e = timestream_exchange_begin(&pieces[i], columns, why);
    }
    if (e == OK) e = read_pieces(q, pieces, count, why);
    for (uint32_t i = 0; i < count; i++) {
        if (e == ERR_LIMIT) timestream_exchange_cancel(&pieces[i]);
        timestream_exchange_fini(&pieces[i]);
    }
    return e;
}

static enum err
fetch_samples(struct fetch_question *base, const struct series_block *block, struct why *why)
{
    struct timestream_question *q = (struct timestream_question *)base;
    struct buf selected;
    uint64_t samples;
    q->block = block;
    compare_keys(q, &samples);
    buf_init(&selected, base->budget, SELECTED_BYTES_MAX + KEY_BYTES_MAX);
    enum err e = put_selected(q, &selected, why);
    if (e == OK) e = index_keys(q, why);
    if (e == OK) e = fetch_pieces(q, buf_bytes(&selected), samples, why);
    buf_fini(&selected);
    return e;
}

static const char *
find_warning(struct fetch_question *base, uint32_t index)
{
    struct timestream_question *q = (struct timestream_question *)base;
    if (index > 0 || q->junk == 0) return NULL;
    (void)why_set(&q->warning, ERR_CORRUPT,
                  "source %s: %llu rows have no value that can be read, and were left out",
                  base->of->answerer.name, (unsigned long long)q->junk);
    return q->warning.text;
}

/* --- look-ups --------------------------------------------------------------------------------- */

/* Takes the row of statement_filled(). */
static enum err
take_names(void *context, const struct bytes *cells, struct why *why)
{
    struct timestream_question *q = context;
    struct label labels[FINAL_LABELS_MAX];
    struct fetch_series s = {.labels = labels};
    struct bytes measure = cells[0];
    if (measure.at == NULL) return OK; /* there are no rows */
    if (bytes_equal_text(measure, "U__")) measure = cells[1];
    arena_reset(&q->base.scratch);
    enum err e =
        columns_labels(&q->columns, measure, cells + 2, &q->base.scratch, labels, &s.count, why);
    return e ? e : fetch_question_take(&q->base, &s, why);
}

/* Supported unless dimensions have shortened names, which only rows have in full. */
static enum err
label_names(struct fetch_question *base, struct why *why)
{
    struct timestream_question *q = (struct timestream_question *)base;
    const struct page_sink sink = {take_names, q};
    struct timestream_exchange a;
    if (base->matcher_count > 0) return ERR_UNSUPPORTED;
    enum err e = learn(q, why);
    for (uint32_t i = 0; i < q->columns.count && e == OK; i++)
        if (q->columns.dimensions[i].is_keeper) e = ERR_UNSUPPORTED;
    if (e) return e;
    timestream_exchange_init(&a, q);
    statement_filled(&a.statement, q);
    e = timestream_exchange_all(&a, q->columns.count + 2, &sink, why);
    timestream_exchange_fini(&a);
    return e;
}

/* Adds the value that a row of statement_distinct() has. */
static enum err
take_value(void *context, const struct bytes *cells, struct why *why)
{
    struct timestream_question *q = context;
    struct label labels[FINAL_LABELS_MAX];
    struct fetch_series s = {.labels = labels};
    struct bytes values[TIMESTREAM_COLUMNS_MAX];
    uint32_t at = 0;
    struct bytes measure = q->wanted.measure ? cells[at++] : bytes_of("U__", 3);
    if (measure.at == NULL) return why_set(why, ERR_CORRUPT, "a row has no measure");
    for (uint32_t i = 0; i < q->columns.count; i++)
        values[i] = q->wanted.dimensions[i] ? cells[at++] : bytes_of(NULL, 0);
    arena_reset(&q->base.scratch);
    enum err e =
        columns_labels(&q->columns, measure, values, &q->base.scratch, labels, &s.count, why);
    return e ? e : fetch_question_take(&q->base, &s, why);
}

static enum err
label_values(struct fetch_question *base, struct why *why)
{
    struct timestream_question *q = (struct timestream_question *)base;
    const struct page_sink sink = {take_value, q};
    struct timestream_exchange a;
    enum err e = learn(q, why);
    if (e || !statement_may_select(q)) return e;
    uint32_t columns = statement_wanted(q, base->name, &q->wanted);
    if (columns == 0) return OK;
    timestream_exchange_init(&a, q);
    statement_distinct(&a.statement, q, &q->wanted);
    e = timestream_exchange_all(&a, columns, &sink, why);
    timestream_exchange_fini(&a);
    return e;
}

/* --- the reader ------------------------------------------------------------------------------- */

static void
question_init(struct fetch_question *base)
{
    buf_init(&((struct timestream_question *)base)->key, base->budget, KEY_BYTES_MAX);
}

static void
question_fini(struct fetch_question *base)
{
    struct timestream_question *q = (struct timestream_question *)base;
    table_fini(&q->numbers, base->budget);
    buf_fini(&q->key);
}

static void
close_reader(struct fetch_reader *base)
{
    buf_fini(&((struct timestream_reader *)base)->columns);
}

static enum err
open_reader(struct fetch_reader *base, struct why *why)
{
    static const struct aws_service service = {"timestream", "query.timestream",
                                               "TIMESTREAM_QUERY"};
    struct timestream_reader *reader = (struct timestream_reader *)base;
    const struct timestream_read_settings *x = &base->options.settings->u.timestream;
    struct aws_setup setup = {base->options.env, base->options.memory, &x->aws,
                              &aws_variables_real};
    char region[AWS_REGION_BYTES];
    buf_init(&reader->columns, base->options.memory, KEY_BYTES_MAX);
    reader->is_fixed = x->query_endpoint != NULL ||
                       aws_variable(&setup, "AWS_ENDPOINT_URL_TIMESTREAM_QUERY") != NULL ||
                       aws_variable(&setup, "AWS_ENDPOINT_URL") != NULL;
    enum err e = aws_region(&setup, region, why);
    return e ? e : aws_endpoint(&setup, &service, x->query_endpoint, region, reader->service, why);
}

enum err
timestream_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                      struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct timestream_reader),
        .question_bytes = sizeof(struct timestream_question),
        .max_ms = TIME_MS_MAX - 1,
        .arena_bytes_max = 64 << 20,
        .scratch_bytes_max = 64 << 20,
        .open = open_reader,
        .close = close_reader,
        .init = question_init,
        .fini = question_fini,
        .find = find_series,
        .samples = fetch_samples,
        .warning = find_warning,
        .names = label_names,
        .values = label_values,
    };
    const struct fetch_signing signing = {.aws = &options->settings->u.timestream.aws,
                                          .service = "timestream"};
    return fetch_reader_new(&type, options, &signing, ret_answerer, why);
}
