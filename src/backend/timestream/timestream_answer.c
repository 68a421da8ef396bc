/* timestream_answer.c - responses of Timestream. Their size is bounded by the call's
 * answer_bytes_max, numbers and texts in them by the code that uses them. */
#include "backend/timestream/timestream_reader.h"

#include <stdio.h>

#include "backend/common/http_common.h"
#include "backend/timestream/timestream.h"
#include "wire/json/json_scan.h"
#include "wire/json/json_tree.h"

/* --- pages ------------------------------------------------------------------------------------ */

void
page_init(struct timestream_page *p, struct budget *budget)
{
    *p = (struct timestream_page){.scanned_bytes = 0};
    buf_init(&p->token, budget, PAGE_TOKEN_BYTES_MAX);
    buf_init(&p->query, budget, PAGE_TOKEN_BYTES_MAX);
}

void
page_fini(struct timestream_page *p)
{
    buf_fini(&p->token);
    buf_fini(&p->query);
}

static struct bytes
read_scalar(struct scan *s)
{
    struct bytes value = scan_text(s);
    return value.at == NULL ? bytes_of("", 0) : value;
}

/* Reads {"ScalarValue":"1.5"} or {"NullValue":true}, the bulk of a page. */
static struct bytes
read_datum(struct scan *s)
{
    static const struct bytes null = SCAN_NAME("{\"NullValue\":true}"),
                              scalar = SCAN_NAME("{\"ScalarValue\":");
    struct bytes key, value = {NULL, 0};
    bool is_null = false;
    if (scan_takes(s, null)) return value;
    if (scan_takes(s, scalar))
        value = read_scalar(s);
    else
        scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (bytes_equal_text(key, "ScalarValue")) {
            value = read_scalar(s);
        } else {
            is_null |= bytes_equal_text(key, "NullValue");
            scan_skip(s);
        }
    }
    if (s->bad == NULL && value.at == NULL && !is_null)
        scan_fail(s, "a value is neither a scalar nor null");
    return value;
}

static void
read_data(struct scan *s, struct bytes *cells, uint32_t columns)
{
    uint32_t count = 0;
    scan_expect(s, '[');
    while (scan_item(s)) {
        if (count == columns) {
            scan_fail(s, "a row has too many values");
            return;
        }
        cells[count++] = read_datum(s);
    }
    if (s->bad == NULL && count < columns) scan_fail(s, "a row has too few values");
}

static enum err
read_rows(struct scan *s, uint32_t columns, const struct page_sink *to, struct why *why)
{
    struct bytes key, cells[PAGE_COLUMNS_MAX];
    enum err e = OK;
    scan_expect(s, '[');
    while (e == OK && scan_item(s)) {
        bool has_data = false;
        arena_reset(s->arena); /* texts of earlier rows are not needed */
        scan_expect(s, '{');
        while (scan_key(s, &key)) {
            bool is_data = bytes_equal_text(key, "Data");
            if (is_data)
                read_data(s, cells, columns);
            else
                scan_skip(s);
            has_data |= is_data;
        }
        if (s->bad == NULL && !has_data) scan_fail(s, "a row has no values");
        if (s->bad == NULL) e = to->row(to->context, cells, why);
    }
    return e;
}

static void
keep_text(struct scan *s, struct buf *to)
{
    buf_clear(to);
    if (scan_peek(s) == 'n') {
        scan_null(s);
        return;
    }
    buf_put_bytes(to, scan_text(s));
    if (buf_error(to)) scan_fail(s, "a token is too long");
    if (buf_error(to) == ERR_NOMEM) s->error = ERR_NOMEM;
}

static void
read_status(struct scan *s, struct timestream_page *p)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (!bytes_equal_text(key, "CumulativeBytesScanned")) {
            scan_skip(s);
            continue;
        }
        struct bytes digits = scan_number(s);
        p->scanned_bytes = 0;
        for (size_t i = 0; i < digits.size && digits.at[i] >= '0' && digits.at[i] <= '9'; i++) {
            if (p->scanned_bytes > UINT64_MAX / 10 - 1) break;
            p->scanned_bytes = p->scanned_bytes * 10 + (uint64_t)(digits.at[i] - '0');
        }
    }
}

enum err
page_read(struct timestream_page *p, struct bytes body, uint32_t columns, struct arena *scratch,
          const struct page_sink *to, struct why *why)
{
    struct bytes key;
    arena_reset(scratch);
    struct scan s = scan_of(body, scratch);
    bool has_rows = false;
    enum err e = columns <= PAGE_COLUMNS_MAX ? OK : ERR_LIMIT;
    if (e) return why_set(why, e, "the table has more than %d columns", PAGE_COLUMNS_MAX);
    buf_clear(&p->token);
    buf_clear(&p->query);
    p->scanned_bytes = 0;
    scan_expect(&s, '{');
    while (e == OK && scan_key(&s, &key)) {
        if (bytes_equal_text(key, "Rows")) {
            has_rows = true;
            e = read_rows(&s, columns, to, why);
        } else if (bytes_equal_text(key, "NextToken")) {
            keep_text(&s, &p->token);
        } else if (bytes_equal_text(key, "QueryId")) {
            keep_text(&s, &p->query);
        } else if (bytes_equal_text(key, "QueryStatus") && scan_peek(&s) == '{') {
            read_status(&s, p);
        } else {
            scan_skip(&s);
        }
    }
    if (e) return e;
    scan_end(&s);
    if (s.bad == NULL && !has_rows) scan_fail(&s, "it has no rows");
    if (s.bad == NULL) return OK;
    if (s.error == ERR_NOMEM) return why_set(why, ERR_NOMEM, "not enough memory for a response");
    return why_set(why, ERR_CORRUPT, "the response is not a page of rows: %s", s.bad);
}

/* --- answers ---------------------------------------------------------------------------------- */

enum {
    WORDS_BYTES_MAX = 300, /* text of a record's refusal in messages */
    ANSWER_TEXTS_BYTES_MAX = TIMESTREAM_RECORDS_MAX * WRITER_ANSWER_BYTES,
    KEEP_MINUTES_MAX = 7 * 24 * 60,
};
static const int64_t MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS;
static const char CONFLICT[] = "conflict";

static json_t *
load(struct bytes body)
{
    return json_loadb(body.at == NULL ? "" : (const char *)body.at, body.size, 0, NULL);
}

bool
timestream_is_answer(struct bytes body)
{
    json_t *root = load(body);
    bool is_answer = json_is_object(root);
    json_decref(root);
    return is_answer;
}

/* --- refused records -------------------------------------------------------------------------- */

void
timestream_rejections_init(struct timestream_rejections *r, struct budget *memory)
{
    *r = (struct timestream_rejections){.of[0].reason = NULL};
    buf_init(&r->texts, memory, ANSWER_TEXTS_BYTES_MAX);
}

void
timestream_rejections_fini(struct timestream_rejections *r)
{
    buf_fini(&r->texts);
}

/* A reason word for Timestream's sentence. Its sentences are documented in general terms only, so
 * single words decide; the first line that has one of them counts. */
static const char *
reason_of(const char *words, bool has_version)
{
    static const struct {
        const char *reason;
        const char *marks[4];
    } rules[] = {
        /* not shown: searched for in responses */
        {"type", {"type"}},
        {CONFLICT, {"same dimensions", "duplicate", "existing", "record version"}},
        {"outside_table_retention",
         {"retention", "time range", "ingestion window", "memory store"}},
        {"limits", {"limit", "exceed", "maximum", "too many"}},
    };
    if (has_version) return CONFLICT;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        for (size_t k = 0; k < 4 && rules[i].marks[k] != NULL; k++)
            if (strcasestr(words, rules[i].marks[k]) != NULL) return rules[i].reason;
    }
    return "rejected";
}

/* Takes a rejection. False if its record is not in the request. */
static bool
take_rejection(struct timestream_rejections *r, const json_t *json, uint32_t count)
{
    const json_t *index_json = json_object_get(json, "RecordIndex");
    json_int_t version = json_integer_value(json_object_get(json, "ExistingVersion"));
    json_int_t index = json_integer_value(index_json);
    if (!json_is_integer(index_json) || index < 0 || index >= count) return false;
    if (r->of[index].reason != NULL) return true; /* the first reason counts */
    struct writer_step words = {.answer = ""};
    struct bytes text = json_tree_text(json_object_get(json, "Reason"));
    if (text.size > WORDS_BYTES_MAX) text.size = WORDS_BYTES_MAX;
    step_answer(&words, text);
    r->of[index].reason = reason_of(words.answer, version > 0);
    r->of[index].from = (uint32_t)r->texts.size;
    buf_put_text(&r->texts, words.answer[0] == '\0' ? "refused without a reason" : words.answer);
    if (version > 0) buf_printf(&r->texts, " (existing version %lld)", (long long)version);
    r->of[index].size = (uint32_t)r->texts.size - r->of[index].from;
    return true;
}

enum err
timestream_rejections_read(struct timestream_rejections *r, struct bytes body, uint32_t count)
{
    memset(r->of, 0, sizeof r->of);
    buf_clear(&r->texts);
    json_t *root = load(body);
    const json_t *list = json_object_get(root, "RejectedRecords");
    size_t size = json_array_size(list);
    bool usable = size > 0;
    for (size_t i = 0; i < size && usable; i++)
        usable = take_rejection(r, json_array_get(list, i), count);
    json_decref(root);
    return usable ? buf_error(&r->texts) : ERR_INPUT;
}

/* --- addresses -------------------------------------------------------------------------------- */

static bool
answer_take_address(const json_t *json, char *to)
{
    struct bytes address = json_tree_text(json_object_get(json, "Address"));
    static const char scheme[] = "https://";
    struct aws_url url;
    if (address.size == 0 || address.size >= AWS_ENDPOINT_BYTES - sizeof scheme) return false;
    snprintf(to, AWS_ENDPOINT_BYTES, "%s%.*s", scheme, (int)address.size, (const char *)address.at);
    return strlen(to) == sizeof scheme - 1 + address.size && aws_url_split(to, &url) &&
           url.path.size == 0;
}

enum err
timestream_address_read(struct bytes body, char ret_endpoint[AWS_ENDPOINT_BYTES],
                        int64_t *ret_keep_ms, struct why *why)
{
    char endpoint[AWS_ENDPOINT_BYTES];
    json_t *root = load(body);
    const json_t *list = json_object_get(root, "Endpoints");
    json_int_t minutes = 0;
    bool found = false;
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        const json_t *json = json_array_get(list, i);
        found = answer_take_address(json, endpoint);
        minutes = json_integer_value(json_object_get(json, "CachePeriodInMinutes"));
    }
    json_decref(root);
    if (!found) return why_set(why, ERR_INPUT, "the response to DescribeEndpoints has no address");
    if (minutes < 1) minutes = 1;
    if (minutes > KEEP_MINUTES_MAX) minutes = KEEP_MINUTES_MAX;
    memcpy(ret_endpoint, endpoint, sizeof endpoint);
    *ret_keep_ms = minutes * MINUTE_MS;
    return OK;
}

/* --- tables ----------------------------------------------------------------------------------- */

/* A duration in whole hours or days; 0 if missing. */
static int64_t
span_ms(const json_t *json, int64_t unit_ms)
{
    json_int_t units = json_integer_value(json);
    if (units <= 0) return 0;
    return units > INT64_MAX / unit_ms ? INT64_MAX : units * unit_ms;
}

enum err
timestream_table_read(struct bytes body, struct timestream_table *ret_table)
{
    json_t *root = load(body);
    const json_t *table = json_object_get(root, "Table");
    const json_t *retention = json_object_get(table, "RetentionProperties");
    const json_t *magnetic = json_object_get(table, "MagneticStoreWriteProperties");
    const json_t *hours = json_object_get(retention, "MemoryStoreRetentionPeriodInHours");
    const json_t *days = json_object_get(retention, "MagneticStoreRetentionPeriodInDays");
    bool late = json_is_true(json_object_get(magnetic, "EnableMagneticStoreWrites"));
    struct writer_step status = {.answer = ""};
    step_answer(&status, json_tree_text(json_object_get(table, "TableStatus")));
    bool known = json_is_object(table);
    if (known) {
        ret_table->is_active = status.answer[0] == '\0' || strcmp(status.answer, "ACTIVE") == 0;
        /* Samples older than the memory store keeps go to the magnetic store, if it may be written.
         */
        int64_t memory_ms = span_ms(hours, HOUR_MS), magnetic_ms = span_ms(days, DAY_MS);
        bool is_known = memory_ms > 0 && (magnetic_ms > 0 || !late);
        ret_table->takes_ms = late && magnetic_ms > memory_ms ? magnetic_ms : memory_ms;
        if (!is_known) ret_table->takes_ms = INT64_MAX;
        snprintf(ret_table->text, sizeof ret_table->text,
                 "%.40s; accepts samples of the last %lld hours (memory store); older samples are "
                 "%s; keeps samples for %lld days (magnetic store)",
                 status.answer[0] == '\0' ? "unknown status" : status.answer,
                 (long long)json_integer_value(hours),
                 late ? "accepted too (magnetic store writes are enabled)"
                      : "refused (magnetic store writes are disabled)",
                 (long long)json_integer_value(days));
    }
    json_decref(root);
    return known ? OK : ERR_INPUT;
}
