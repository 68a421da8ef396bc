/* influxql_answer.c - see influxdb_private.h. */
#include "backend/influxdb/influxdb_private.h"

#include "base/text/utf8.h"

struct influxql_reading {
    struct scan scan;
    const struct influxql_sink *to;
    struct influxql_series *series;
    struct why *why;
    enum err error; /* error that the sink returned */
};

static bool
goes_on(const struct influxql_reading *r)
{
    return r->error == OK && r->scan.bad == NULL;
}

static bool
scan_bool(struct scan *s)
{
    bool is_true = scan_peek(s) == 't';
    scan_skip(s);
    return is_true;
}

/* A number of 32 bits. */
static uint32_t
scan_small(struct scan *s)
{
    uint32_t v = 0;
    struct bytes digits = scan_number(s);
    for (size_t i = 0; i < digits.size && s->bad == NULL; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9' || v > 100000000) {
            scan_fail(s, "statement_id is not a number of a statement");
            return 0;
        }
        v = v * 10 + (uint32_t)(digits.at[i] - '0');
    }
    return v;
}

static void
read_tags(struct influxql_reading *r)
{
    struct scan *s = &r->scan;
    scan_expect(s, '{');
    for (struct bytes key; scan_key(s, &key);) {
        if (r->series->tag_count == INFLUXQL_TAGS_MAX) {
            scan_fail(s, "a series has more than 1024 tags");
            return;
        }
        r->series->tags[r->series->tag_count++] = (struct label){key, scan_text(s)};
    }
}

static void
read_columns(struct influxql_reading *r)
{
    struct scan *s = &r->scan;
    scan_expect(s, '[');
    while (scan_item(s)) {
        (void)scan_text(s);
        if (r->series->column_count == INFLUXQL_COLUMNS_MAX)
            scan_fail(s, "there are more columns than were asked for");
        r->series->column_count++;
    }
}

static struct influxql_cell
read_cell(struct scan *s)
{
    switch (scan_peek(s)) {
    case 'n':
        scan_null(s);
        return (struct influxql_cell){INFLUXQL_NULL, {NULL, 0}};
    case '"':
        return (struct influxql_cell){INFLUXQL_TEXT, scan_text(s)};
    case 't':
    case 'f':
        return (struct influxql_cell){INFLUXQL_BOOL, bytes_of_text(scan_bool(s) ? "1" : "0")};
    default:
        return (struct influxql_cell){INFLUXQL_NUMBER, scan_number(s)};
    }
}

static void
read_values(struct influxql_reading *r)
{
    struct scan *s = &r->scan;
    struct influxql_cell cells[INFLUXQL_COLUMNS_MAX];
    scan_expect(s, '[');
    while (goes_on(r) && scan_item(s)) {
        uint32_t count = 0;
        scan_expect(s, '[');
        while (scan_item(s)) {
            if (count == r->series->column_count) {
                scan_fail(s, "a row has more values than there are columns");
                return;
            }
            cells[count++] = read_cell(s);
        }
        if (s->bad == NULL && count < r->series->column_count)
            scan_fail(s, "a row has fewer values than there are columns");
        if (s->bad == NULL) r->error = r->to->row(r->to->context, cells, count, r->why);
    }
}

static void
read_series(struct influxql_reading *r)
{
    struct scan *s = &r->scan;
    bool begun = false;
    r->series->name = bytes_of(NULL, 0);
    r->series->tag_count = r->series->column_count = 0;
    scan_expect(s, '{');
    for (struct bytes key; goes_on(r) && scan_key(s, &key);) {
        bool known = bytes_equal_text(key, "name") || bytes_equal_text(key, "tags") ||
                     bytes_equal_text(key, "columns");
        if (known && begun) {
            scan_fail(s, "values come before what they are");
        } else if (bytes_equal_text(key, "name")) {
            r->series->name = scan_text(s);
        } else if (bytes_equal_text(key, "tags")) {
            read_tags(r);
        } else if (bytes_equal_text(key, "columns")) {
            read_columns(r);
        } else if (bytes_equal_text(key, "values")) {
            begun = true;
            r->error = r->to->series(r->to->context, r->series, r->why);
            if (r->error == OK) read_values(r);
        } else {
            scan_skip(s);
        }
    }
}

static void
read_error(struct influxql_reading *r)
{
    struct bytes sentence = scan_text(&r->scan);
    if (r->scan.bad == NULL) r->error = r->to->error(r->to->context, sentence, r->why);
}

static void
read_result(struct influxql_reading *r)
{
    struct scan *s = &r->scan;
    bool more = false, begun = false;
    r->series->statement = 0;
    scan_expect(s, '{');
    for (struct bytes key; goes_on(r) && scan_key(s, &key);) {
        if (bytes_equal_text(key, "statement_id")) {
            if (begun) scan_fail(s, "statement_id comes after its series");
            r->series->statement = scan_small(s);
        } else if (bytes_equal_text(key, "partial")) {
            more = scan_bool(s);
        } else if (bytes_equal_text(key, "error")) {
            read_error(r);
        } else if (bytes_equal_text(key, "series")) {
            begun = true;
            scan_expect(s, '[');
            while (goes_on(r) && scan_item(s))
                read_series(r);
        } else {
            scan_skip(s);
        }
    }
    if (!goes_on(r)) return;
    r->error = r->to->statement(r->to->context, r->series->statement, more, r->why);
}

enum err
influxql_read_line(struct bytes line, struct arena *scratch, const struct influxql_sink *to,
                   struct why *why)
{
    struct influxql_reading r = {.scan = scan_of(line, scratch), .to = to, .why = why};
    struct scan *s = &r.scan;
    r.series = arena_alloc(scratch, sizeof *r.series);
    if (r.series == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the response");
    scan_expect(s, '{');
    for (struct bytes key; goes_on(&r) && scan_key(s, &key);) {
        if (bytes_equal_text(key, "error")) {
            read_error(&r);
        } else if (bytes_equal_text(key, "results")) {
            scan_expect(s, '[');
            while (goes_on(&r) && scan_item(s))
                read_result(&r);
        } else {
            scan_skip(s);
        }
    }
    if (r.error) return r.error;
    scan_end(s);
    if (s->bad == NULL) return OK;
    if (s->error == ERR_NOMEM) return why_set(why, ERR_NOMEM, "not enough memory for the response");
    return why_set(why, ERR_CORRUPT, "the response cannot be read: %s", s->bad);
}
