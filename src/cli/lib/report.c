/*
 * report.c - see report.h. A table's cells are kept until its end, or a limit, because they decide
 * the widths of its columns; numbers are right-aligned, the last column is not padded.
 */
#include "cli/lib/report.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/text/json.h"
#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "model/labels.h"
#include "wire/number.h"

enum {
    OUT_BYTES = 64 * 1024,
    CELLS_BYTES = 4 * 1024 * 1024, /* above this, the rows so far are printed */
    BUF_BYTES_MAX = 64 * 1024 * 1024,
    FIELD_WIDTH = 26,
};

const char *const report_forms[] = {[REPORT_TEXT] = "text", [REPORT_JSON] = "json", NULL};

struct report {
    enum report_form form;
    FILE *to;
    struct budget *budget;
    bool begun; /* in text: something was printed above */
    struct buf out;
    struct json json;
    enum err failed;

    /* The current table. */
    struct report_column {
        struct bytes key;
        struct bytes title; /* empty in a table of text: it is not shown */
        uint32_t width;
        enum { SIDE_OPEN, SIDE_LEFT, SIDE_RIGHT } side; /* open: only gaps so far */
    } columns[REPORT_COLUMNS_MAX];
    uint32_t column_count;
    uint32_t last; /* last column that is shown in text */
    const char *key;
    const char *title;
    struct buf cells; /* one after another, each with its length */
    struct buf cell;
    bool head_printed;
};

static void
report_flush(struct report *r)
{
    r->failed = err_first(r->failed, buf_error(&r->out));
    if (r->out.size > 0) fwrite(r->out.at, 1, r->out.size, r->to);
    buf_clear(&r->out);
}

static void
flush_if_full(struct report *r)
{
    if (r->out.size >= OUT_BYTES) report_flush(r);
}

struct report_value
value_json(const json_t *object, const char *key, enum value_kind kind)
{
    const json_t *x = json_object_get(object, key);
    struct bytes text = {(const uint8_t *)json_string_value(x), json_string_length(x)};
    double number = json_number_value(x);
    int64_t ms;
    if (kind == VALUE_TEXT) return text.size == 0 ? value_none() : value_view(text);
    if (kind == VALUE_TIME)
        return text.size > 0 && time_parse_rfc3339(text, &ms) ? value_time(ms) : value_none();
    if (!json_is_number(x) || number < 0 || number >= 0x1p63) return value_none();
    uint64_t count = json_is_integer(x) ? (uint64_t)json_integer_value(x) : (uint64_t)number;
    return (struct report_value){.kind = kind, .count = count, .number = number};
}

enum err
report_new(int form, FILE *to, struct budget *budget, struct report **ret_report, struct why *why)
{
    struct report *r = mem_new(budget, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the report");
    r->form = form == REPORT_JSON ? REPORT_JSON : REPORT_TEXT;
    r->to = to;
    r->budget = budget;
    buf_init(&r->out, budget, BUF_BYTES_MAX);
    buf_init(&r->cells, budget, BUF_BYTES_MAX);
    buf_init(&r->cell, budget, BUF_BYTES_MAX);
    json_init(&r->json, &r->out);
    if (form == REPORT_JSON) json_object_open(&r->json);
    *ret_report = r;
    return OK;
}

enum err
report_end(struct report *r, struct why *why)
{
    if (r->form == REPORT_JSON) {
        json_object_close(&r->json);
        buf_put_u8(&r->out, '\n');
    }
    report_flush(r);
    if (r->failed == OK) return OK;
    return why_set(why, r->failed, "the report is incomplete: not enough memory");
}

void
report_free(struct report *r)
{
    if (r == NULL) return;
    buf_fini(&r->out);
    buf_fini(&r->cells);
    buf_fini(&r->cell);
    mem_free(r->budget, r, sizeof *r);
}

/* --- values as text --------------------------------------------------------------------------- */

static void
put_size(struct buf *to, uint64_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)size;
    unsigned unit = 0;
    while (value >= 999.95 && unit < 6) {
        value /= 1024;
        unit++;
    }
    buf_printf(to, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

static void
report_put_value(struct buf *to, const struct report_value *v)
{
    char time[TIME_TEXT_BYTES], number[NUMBER_TEXT_BYTES];
    switch (v->kind) {
    case VALUE_NONE:
        buf_put_text(to, "-");
        break;
    case VALUE_COUNT:
        buf_printf(to, "%" PRIu64, v->count);
        break;
    case VALUE_SIZE:
        put_size(to, v->count);
        break;
    case VALUE_NUMBER:
        buf_printf(to, v->number < 100 ? "%.3f" : "%.1f", v->number);
        break;
    case VALUE_FLOAT:
        buf_put(to, number, number_print(double_bits(v->number), number));
        break;
    case VALUE_TIME:
        buf_put_text(to, time_print((int64_t)v->count, time));
        break;
    case VALUE_TEXT:
        buf_put_shown(to, v->text); /* names are foreign text */
        break;
    case VALUE_LABELS:
        labels_print(to, v->text);
        break;
    case VALUE_BOOL:
        buf_put_text(to, v->count ? "yes" : "no");
        break;
    }
}

/* Counts characters, assuming that a terminal shows each in one column. */
static uint32_t
text_width(struct bytes text)
{
    uint32_t width = 0;
    for (size_t i = 0; i < text.size; i++)
        width += (text.at[i] & 0xc0) != 0x80;
    return width;
}

/* --- values as JSON --------------------------------------------------------------------------- */

static void
json_member(struct json *j, struct bytes key, const struct report_value *v)
{
    char text[TIME_TEXT_BYTES + 40];
    int n;
    json_key_bytes(j, key);
    switch (v->kind) {
    case VALUE_NONE:
        json_put_null(j);
        break;
    case VALUE_COUNT:
    case VALUE_SIZE:
        json_put_uint(j, v->count);
        break;
    case VALUE_NUMBER:
        n = snprintf(text, sizeof text, "%.6g", v->number);
        if (isfinite(v->number))
            json_put_raw(j, bytes_of(text, (size_t)n));
        else
            json_put_null(j);
        break;
    case VALUE_FLOAT: /* JSON has neither Inf nor NaN */
        json_put_bytes(j, bytes_of(text, number_print(double_bits(v->number), text)));
        break;
    case VALUE_TIME:
        json_put_text(j, time_print((int64_t)v->count, text));
        snprintf(text, sizeof text, "%.*sMs", (int)key.size, (const char *)key.at);
        json_member_int(j, text, (int64_t)v->count);
        break;
    case VALUE_TEXT:
        json_put_bytes(j, v->text);
        break;
    case VALUE_LABELS:
        labels_put_json(j, v->text);
        break;
    case VALUE_BOOL:
        json_put_bool(j, v->count != 0);
        break;
    }
}

/* --- sections and fields ---------------------------------------------------------------------- */

static void
put_title(struct report *r, const char *title)
{
    if (title == NULL) return;
    buf_printf(&r->out, "%s%s\n", r->begun ? "\n" : "", title);
    r->begun = true;
}

void
report_section(struct report *r, const char *key, const char *title)
{
    if (r->form == REPORT_TEXT) {
        put_title(r, title);
        return;
    }
    json_member_object(&r->json, key);
}

void
report_section_end(struct report *r)
{
    if (r->form == REPORT_JSON) json_object_close(&r->json);
    flush_if_full(r);
}

void
report_field(struct report *r, const char *key, const char *title, struct report_value value)
{
    if (r->form == REPORT_JSON) {
        json_member(&r->json, bytes_of_text(key), &value);
        return;
    }
    buf_printf(&r->out, "  %-*s ", FIELD_WIDTH, title);
    report_put_value(&r->out, &value);
    if (value.kind == VALUE_SIZE && value.count >= 1000) /* followed by the exact number */
        buf_printf(&r->out, " (%" PRIu64 ")", value.count);
    if (value.kind == VALUE_TIME) buf_printf(&r->out, " (%" PRId64 ")", (int64_t)value.count);
    buf_put_u8(&r->out, '\n');
}

/* --- tables ----------------------------------------------------------------------------------- */

void
report_table(struct report *r, const char *key, const char *title, const char *columns)
{
    r->column_count = 0;
    r->key = key;
    r->title = title;
    r->head_printed = false;
    buf_clear(&r->cells);
    for (bool more = true; more;) {
        assert(r->column_count < REPORT_COLUMNS_MAX);
        struct report_column *c = &r->columns[r->column_count];
        size_t size = strcspn(columns, "|"), key_size = strcspn(columns, "=|");
        c->key = c->title = bytes_of(columns, key_size);
        if (key_size < size) c->title = bytes_of(columns + key_size + 1, size - key_size - 1);
        c->width = text_width(c->title);
        c->side = SIDE_OPEN;
        if (c->width > 0) r->last = r->column_count;
        r->column_count++;
        more = columns[size] == '|';
        columns += size + more;
    }
    if (r->form == REPORT_JSON) json_member_array(&r->json, key);
}

static void
put_cell(struct report *r, uint32_t column, struct bytes text)
{
    const struct report_column *c = &r->columns[column];
    uint32_t width = text_width(text), pad = width < c->width ? c->width - width : 0;
    if (column > 0 || r->title != NULL) buf_put_text(&r->out, "  ");
    if (c->side == SIDE_RIGHT) buf_printf(&r->out, "%*s", (int)pad, "");
    buf_put_bytes(&r->out, text);
    if (c->side != SIDE_RIGHT && column != r->last) buf_printf(&r->out, "%*s", (int)pad, "");
}

static void
print_head(struct report *r)
{
    if (r->head_printed) return;
    r->head_printed = true;
    put_title(r, r->title);
    for (uint32_t i = 0; i < r->column_count; i++)
        if (r->columns[i].title.size > 0) put_cell(r, i, r->columns[i].title);
    buf_put_u8(&r->out, '\n');
}

static void
print_rows(struct report *r)
{
    struct cursor c = cursor_of(buf_bytes(&r->cells));
    r->failed = err_first(r->failed, buf_error(&r->cells));
    if (c.at == c.end) return;
    print_head(r);
    while (c.at != c.end) {
        for (uint32_t i = 0; i < r->column_count; i++)
            if (r->columns[i].title.size > 0) put_cell(r, i, cursor_counted(&c));
        buf_put_u8(&r->out, '\n');
        flush_if_full(r);
    }
    buf_clear(&r->cells);
}

/* Keeps a row of text until the widths of its columns are known. */
static void
row_wait(struct report *r, const struct report_value *values)
{
    for (uint32_t i = 0; i < r->column_count; i++) {
        struct report_column *c = &r->columns[i];
        if (c->title.size == 0) continue;
        buf_clear(&r->cell);
        report_put_value(&r->cell, &values[i]);
        r->failed = err_first(r->failed, buf_error(&r->cell));
        uint32_t width = text_width(buf_bytes(&r->cell));
        if (width > c->width) c->width = width;
        enum value_kind kind = values[i].kind;
        if (kind == VALUE_TEXT || kind == VALUE_LABELS || kind == VALUE_TIME)
            c->side = SIDE_LEFT;
        else if (kind != VALUE_NONE && c->side == SIDE_OPEN)
            c->side = SIDE_RIGHT;
        buf_put_counted(&r->cells, buf_bytes(&r->cell));
    }
    if (r->cells.size >= CELLS_BYTES) print_rows(r);
}

void
report_row_of(struct report *r, const struct report_value *values)
{
    if (r->form == REPORT_TEXT) {
        row_wait(r, values);
        return;
    }
    json_object_open(&r->json);
    for (uint32_t i = 0; i < r->column_count; i++)
        json_member(&r->json, r->columns[i].key, &values[i]);
    json_object_close(&r->json);
    flush_if_full(r);
}

void
report_table_end(struct report *r, uint64_t left_out)
{
    if (r->form == REPORT_JSON) {
        char more[80];
        snprintf(more, sizeof more, "%.60sLeftOut", r->key);
        json_array_close(&r->json);
        json_member_uint(&r->json, more, left_out);
        return;
    }
    print_rows(r);
    if (left_out > 0) {
        print_head(r);
        buf_printf(&r->out, "  and %" PRIu64 " more\n", left_out);
    }
    flush_if_full(r);
}
