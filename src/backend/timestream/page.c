/* page.c - see timestream_reader.h. */
#include "backend/timestream/timestream_reader.h"

#include "wire/json/json_scan.h"

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
    if (s->bad == NULL && value.at == NULL && !is_null) {
        scan_fail(s, "a value is neither a scalar nor null");
    }
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
