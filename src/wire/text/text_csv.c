/*
 * text_csv.c - CSV as in RFC 4180 whose first line names the columns:
 *
 *     name, __name__       metric name
 *     value                as in the JSON forms; empty: there is no sample
 *     time, timestamp      Unix milliseconds, or RFC 3339
 *     time_s               Unix seconds with a fraction
 *     labels               {job="x",instance="y"}, braces optional
 *     any other            a label of that name; empty: the series does not have it
 */
#include "base/text/time_text.h"
#include "wire/text/text_reader_private.h"

enum csv_kind { CSV_NAME, CSV_VALUE, CSV_TIME, CSV_TIME_S, CSV_LABELS, CSV_LABEL };

struct text_csv_column {
    enum csv_kind kind;
    uint32_t name_at; /* offset in column_names */
    uint32_t name_size;
};

static enum csv_kind
column_kind(struct bytes name)
{
    static const struct {
        const char *name;
        enum csv_kind kind;
    } known[] = {{"name", CSV_NAME},    {"__name__", CSV_NAME},  {"value", CSV_VALUE},
                 {"time", CSV_TIME},    {"timestamp", CSV_TIME}, {"time_s", CSV_TIME_S},
                 {"labels", CSV_LABELS}};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_equal_text(name, known[i].name)) return known[i].kind;
    return CSV_LABEL;
}

/* --- fields ----------------------------------------------------------------------------------- */

static enum err
quoted_field(struct text_reader *r, struct cursor *c, struct bytes *ret, struct why *why)
{
    const uint8_t *from = ++c->at;
    bool doubled = false;
    for (; c->at != c->end; c->at++) {
        if (*c->at != '"') continue;
        if (c->at + 1 == c->end || c->at[1] != '"') break;
        doubled = true;
        c->at++;
    }
    if (c->at == c->end) return why_set(why, ERR_INPUT, "unterminated quoted field");
    *ret = bytes_of(from, (size_t)(c->at - from));
    c->at++;
    if (c->at != c->end && *c->at != ',')
        return why_set(why, ERR_INPUT, "expected ',' after a quoted field");
    if (!doubled) return OK;
    uint8_t *text = arena_alloc(&r->arena, ret->size);
    size_t size = 0;
    if (text == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a field");
    for (size_t i = 0; i < ret->size; i++) {
        text[size++] = ret->at[i];
        if (ret->at[i] == '"') i++;
    }
    *ret = bytes_of(text, size);
    return OK;
}

/* Reads the next field and its comma. `*more`: another field follows. */
static enum err
next_field(struct text_reader *r, struct cursor *c, struct bytes *ret, bool *more, struct why *why)
{
    enum err e = OK;
    if (c->at != c->end && *c->at == '"') {
        e = quoted_field(r, c, ret, why);
    } else {
        const uint8_t *from = c->at;
        const uint8_t *comma = c->at == c->end ? NULL : memchr(from, ',', cursor_left(c));
        c->at = comma == NULL ? c->end : comma;
        *ret = bytes_of(from, (size_t)(c->at - from));
        if (ret->size > 0 && memchr(from, '"', ret->size) != NULL)
            e = why_set(why, ERR_INPUT, "quote inside an unquoted field");
    }
    *more = e == OK && c->at != c->end;
    if (*more) c->at++;
    return e;
}

/* --- the first line --------------------------------------------------------------------------- */

static enum err
put_column(struct text_reader *r, struct bytes name, unsigned *seen, struct why *why)
{
    struct text_csv_column column = {column_kind(name), (uint32_t)r->column_names.size,
                                     (uint32_t)name.size};
    if (name.size == 0) return why_set(why, ERR_INPUT, "missing column name");
    unsigned bit = column.kind == CSV_TIME_S ? 1u << CSV_TIME : 1u << column.kind;
    if (column.kind != CSV_LABEL && (*seen & bit) != 0)
        return why_set(why, ERR_INPUT, "column %.*s repeats an earlier column", SHOWN(name));
    *seen |= bit;
    buf_put_bytes(&r->column_names, name);
    buf_put(&r->columns, &column, sizeof column);
    enum err e = buf_error(&r->columns);
    if (e == OK) e = buf_error(&r->column_names);
    return e ? why_set(why, e, "first line is too long") : OK;
}

static enum err
read_columns(struct text_reader *r, struct bytes line, struct why *why)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf}; /* some spreadsheets write it first */
    struct cursor c = cursor_of(line);
    unsigned seen = 0;
    bool more = true;
    enum err e = OK;
    if (line.size >= 3 && memcmp(line.at, mark, 3) == 0) c.at += 3;
    while (more && e == OK) {
        struct bytes name;
        e = next_field(r, &c, &name, &more, why);
        if (e == OK) e = put_column(r, name, &seen, why);
        if (e == OK && r->columns.size > TEXT_CSV_COLUMNS_MAX * sizeof(struct text_csv_column))
            e = why_set(why, ERR_INPUT, "more than %d columns", TEXT_CSV_COLUMNS_MAX);
    }
    bool timed = (seen & 1u << CSV_TIME) != 0 || r->options.has_time;
    if (e == OK && ((seen & 1u << CSV_VALUE) == 0 || !timed)) {
        e = why_set(why, ERR_INPUT,
                    "the first line must name the columns, among them value and time");
    }
    if (e == OK) return OK;
    buf_clear(&r->columns);
    buf_clear(&r->column_names);
    return e;
}

bool
csv_has_columns(const struct text_reader *r)
{
    return r->columns.size > 0;
}

bool
csv_is_header(struct bytes line)
{
    bool value = false, other = false;
    struct cursor c = cursor_of(line);
    if (line.size > 0 && line.at[line.size - 1] == '\r') c.end--;
    while (c.at != c.end) {
        const uint8_t *comma = memchr(c.at, ',', cursor_left(&c));
        const uint8_t *end = comma == NULL ? c.end : comma;
        struct bytes name = {c.at, (size_t)(end - c.at)};
        if (name.size >= 2 && name.at[0] == '"' && end[-1] == '"')
            name = bytes_of(name.at + 1, name.size - 2);
        enum csv_kind kind = column_kind(name);
        value |= kind == CSV_VALUE;
        other |= kind == CSV_NAME || kind == CSV_TIME || kind == CSV_TIME_S || kind == CSV_LABELS;
        c.at = comma == NULL ? c.end : comma + 1;
    }
    return value && other;
}

/* --- rows ------------------------------------------------------------------------------------- */

struct csv_row {
    bool has_value, has_time;
    uint64_t bits;
    int64_t time_ms;
};

static struct bytes
column_name(const struct text_reader *r, const struct text_csv_column *column)
{
    return bytes_of(r->column_names.at + column->name_at, column->name_size);
}

static enum err
label_field(struct text_reader *r, struct bytes text, struct why *why)
{
    struct cursor c = cursor_of(text);
    if (text.size > 0 && text.at[0] == '{') {
        c.at++;
    } else {
        uint8_t *braced = arena_alloc(&r->arena, text.size + 1);
        if (braced == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the labels");
        if (text.size > 0) memcpy(braced, text.at, text.size);
        braced[text.size] = '}';
        c = cursor_of(bytes_of(braced, text.size + 1));
    }
    enum err e = text_label_set(r, &c, &r->labels, true, why);
    if (e == OK && c.at != c.end)
        return why_set(why, ERR_INPUT, "unexpected text after the labels");
    return e;
}

static enum err
time_field(struct text_reader *r, const struct text_csv_column *column, struct bytes text,
           struct csv_row *row, struct why *why)
{
    if (text.size == 0) return OK;
    row->has_time = true;
    if (column->kind == CSV_TIME && time_parse_ms(text, &row->time_ms)) {
        text_note_time(r, column_name(r, column), row->time_ms);
        return OK;
    }
    bool right = column->kind == CSV_TIME_S ? time_parse_seconds(text, &row->time_ms)
                                            : time_parse_rfc3339(text, &row->time_ms);
    return right ? OK : why_set(why, ERR_INPUT, "'%.*s' is not a valid time", SHOWN(text));
}

static enum err
take_field(struct text_reader *r, const struct text_csv_column *column, struct bytes text,
           struct csv_row *row, struct why *why)
{
    switch (column->kind) {
    case CSV_NAME:
        text_put_label(&r->labels, bytes_of_text("__name__"), text);
        return OK;
    case CSV_VALUE:
        row->has_value = text.size > 0;
        if (!row->has_value || number_parse_exact((const char *)text.at, text.size, &row->bits))
            return OK;
        return why_set(why, ERR_INPUT, "'%.*s' is not a valid number", SHOWN(text));
    case CSV_TIME:
    case CSV_TIME_S:
        return time_field(r, column, text, row, why);
    case CSV_LABELS:
        return label_field(r, text, why);
    case CSV_LABEL:
        break;
    }
    text_put_label(&r->labels, column_name(r, column), text);
    return OK;
}

static enum err
read_fields(struct text_reader *r, struct bytes line, struct csv_row *row, struct why *why)
{
    const struct text_csv_column *columns =
        (const struct text_csv_column *)(const void *)r->columns.at;
    size_t count = r->columns.size / sizeof *columns, i = 0;
    struct cursor c = cursor_of(line);
    bool more = true;
    for (; more; i++) {
        struct bytes text;
        enum err e = next_field(r, &c, &text, &more, why);
        if (e) return e;
        if (i == count) return why_set(why, ERR_INPUT, "expected %zu fields, got more", count);
        e = take_field(r, &columns[i], text, row, why);
        if (e) return e;
    }
    return i == count ? OK : why_set(why, ERR_INPUT, "got %zu fields for %zu columns", i, count);
}

enum err
csv_line(struct text_reader *r, struct bytes line, struct text_item *item, struct why *why)
{
    struct csv_row row = {.time_ms = r->options.time_ms};
    (void)item;
    if (!csv_has_columns(r)) return read_columns(r, line, why);
    enum err e = read_fields(r, line, &row, why);
    if (e) return e;
    if (!row.has_value) {
        buf_clear(&r->labels);
        return OK;
    }
    if (!row.has_time && !r->options.has_time)
        return why_set(why, ERR_INPUT, "row has no time; --timestamp sets one for all rows");
    text_put_sample(r, row.time_ms, row.bits);
    return OK;
}
