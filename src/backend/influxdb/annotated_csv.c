/* annotated_csv.c - see annotated_csv.h. */
#include "backend/influxdb/annotated_csv.h"

void
csv_reading_init(struct csv_reading *r, struct budget *budget)
{
    r->column_count = r->cell_count = r->blocks = 0;
    r->named = r->is_error = false;
    arena_init(&r->texts, budget, CSV_NAMES_BYTES_MAX, 0);
}

void
csv_reading_fini(struct csv_reading *r)
{
    arena_fini(&r->texts);
}

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the response");
}

/* Reads a text between quotes, with doubled quotes and CRLF undone. *at is then after the last
 * quote. */
static enum err
unquote(const uint8_t **at, const uint8_t *end, struct arena *scratch, struct bytes *ret,
        struct why *why)
{
    const uint8_t *p = *at + 1, *plain = p;
    while (plain < end && *plain != '"' && *plain != '\r') {
        plain++;
    }
    if (plain < end && *plain == '"' && (plain + 1 == end || plain[1] != '"')) {
        *ret = bytes_of(p, (size_t)(plain - p));
        *at = plain + 1;
        return OK;
    }
    uint8_t *text = arena_alloc(scratch, (size_t)(end - p) + 1);
    size_t size = 0;
    if (text == NULL) return no_memory(why);
    for (; p < end; p++) {
        if (*p == '"') {
            if (p + 1 == end || p[1] != '"') break;
            p++;
        } else if (*p == '\r' && p + 1 < end && p[1] == '\n') {
            continue;
        }
        text[size++] = *p;
    }
    if (p == end) return why_set(why, ERR_CORRUPT, "the response cannot be read: a quote is open");
    *ret = bytes_of(text, size);
    *at = p + 1;
    return OK;
}

/* Splits a record into *ret_first, its first field, and the cells. */
static enum err
split(struct csv_reading *r, struct bytes record, struct arena *scratch, struct bytes *ret_first,
      struct why *why)
{
    const uint8_t *at = record.at, *end = record.at + record.size;
    bool first = true;
    r->cell_count = 0;
    for (;;) {
        struct bytes field;
        if (at < end && *at == '"') {
            enum err e = unquote(&at, end, scratch, &field, why);
            if (e) return e;
            if (at < end && *at != ',') {
                return why_set(why, ERR_CORRUPT,
                               "the response cannot be read: a quote ends inside of a field");
            }
        } else {
            const uint8_t *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
            const uint8_t *stop = comma == NULL ? end : comma;
            field = bytes_of(at, (size_t)(stop - at));
            at = stop;
        }
        if (first) {
            *ret_first = field;
        } else if (r->cell_count == CSV_COLUMNS_MAX) {
            return why_set(why, ERR_LIMIT, "the response has more than %d columns",
                           CSV_COLUMNS_MAX);
        } else {
            r->cells[r->cell_count++] = field;
        }
        first = false;
        if (at == end) return OK;
        at++;
    }
}

/* A block begins with the annotations, and has as many columns as the first of them. */
static enum err
begin_block(struct csv_reading *r, struct why *why)
{
    if (r->named || r->column_count == 0) {
        arena_reset(&r->texts);
        memset(r->columns, 0, r->cell_count * sizeof *r->columns);
        r->column_count = r->cell_count;
        r->named = r->is_error = false;
    }
    if (r->cell_count == r->column_count) return OK;
    return why_set(why, ERR_CORRUPT, "the response cannot be read: annotations of a table differ");
}

static enum err
keep_texts(struct csv_reading *r, size_t field, struct why *why)
{
    for (uint32_t i = 0; i < r->column_count; i++) {
        struct bytes copy = arena_copy(&r->texts, r->cells[i]);
        if (copy.at == NULL && r->cells[i].size > 0) return no_memory(why);
        memcpy((char *)&r->columns[i] + field, &copy, sizeof copy);
    }
    return OK;
}

uint32_t
csv_find_column(const struct csv_reading *r, const char *name)
{
    uint32_t i = 0;
    while (i < r->column_count && !bytes_equal_text(r->columns[i].name, name)) {
        i++;
    }
    return i;
}

static enum err
read_names(struct csv_reading *r, struct why *why)
{
    enum err e = keep_texts(r, offsetof(struct csv_column, name), why);
    if (e) return e;
    r->named = true;
    r->blocks++;
    r->is_error =
        csv_find_column(r, "error") == 0 && csv_find_column(r, "table") == r->column_count;
    return OK;
}

static enum err
read_annotation(struct csv_reading *r, struct bytes name, struct why *why)
{
    enum err e = begin_block(r, why);
    if (e) return e;
    if (bytes_equal_text(name, "#datatype")) {
        return keep_texts(r, offsetof(struct csv_column, type), why);
    }
    if (bytes_equal_text(name, "#default")) {
        return keep_texts(r, offsetof(struct csv_column, fallback), why);
    }
    return OK;
}

enum err
csv_read_record(struct csv_reading *r, struct bytes record, struct arena *scratch,
                enum csv_record *ret_what, struct why *why)
{
    struct bytes first = {NULL, 0};
    *ret_what = CSV_NOTHING;
    if (record.size > 0 && record.at[record.size - 1] == '\r') record.size--;
    if (record.size == 0) return OK;
    enum err e = split(r, record, scratch, &first, why);
    if (e) return e;
    if (first.size > 0 && first.at[0] == '#') return read_annotation(r, first, why);
    if (r->column_count == 0 || r->cell_count != r->column_count) {
        return why_set(why, ERR_CORRUPT,
                       "the response cannot be read: a row does not have the columns of its table");
    }
    if (!r->named) {
        *ret_what = CSV_NAMES;
        return read_names(r, why);
    }
    *ret_what = r->is_error ? CSV_ERROR : CSV_ROW;
    for (uint32_t i = 0; i < r->cell_count; i++) {
        if (r->cells[i].size == 0) r->cells[i] = r->columns[i].fallback;
    }
    return OK;
}
