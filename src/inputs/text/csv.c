/* csv.c - see text.h: VictoriaMetrics' CSV, whose columns the URL names. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/time_text.h"
#include "inputs/text/text.h"
#include "wire/number.h"

enum { CSV_COLUMNS_MAX = 256 };

enum csv_column_kind { CSV_NOTHING, CSV_METRIC, CSV_LABEL, CSV_S, CSV_MS, CSV_NS, CSV_RFC3339 };

struct csv_reading {
    struct csv_column {
        enum csv_column_kind kind;
        struct bytes name; /* of the metric or the label */
    } columns[CSV_COLUMNS_MAX];
    unsigned count;
    struct rw_request *to;
    int64_t now_ms;
    uint64_t samples; /* of the line */
    struct why why;
};

/* Takes a piece before `end` off a text that ends in NUL. */
static struct bytes
take_piece(const char **at, const char *end)
{
    size_t size = strcspn(*at, end);
    struct bytes piece = bytes_of(*at, size);
    *at += size;
    if (**at != '\0' && **at == end[0]) ++*at;
    return piece;
}

static enum err
read_columns(struct csv_reading *r, const char *text, struct why *why)
{
    static const struct {
        const char *word;
        enum csv_column_kind kind;
    } times[] = {
        {"unix_s", CSV_S}, {"unix_ms", CSV_MS}, {"unix_ns", CSV_NS}, {"rfc3339", CSV_RFC3339}};
    bool has_metric = false;
    while (*text != '\0') {
        struct bytes place = take_piece(&text, ":,"), type = take_piece(&text, ":,"),
                     name = take_piece(&text, ",");
        char *end;
        unsigned long number = strtoul((const char *)place.at, &end, 10);
        struct csv_column column = {CSV_NOTHING, name};
        if ((const uint8_t *)end != place.at + place.size || number < 1 || number > CSV_COLUMNS_MAX)
            return why_set(why, ERR_INPUT, "format: a column begins with its number, 1 to %d",
                           CSV_COLUMNS_MAX);
        if (bytes_equal_text(type, "metric")) column.kind = CSV_METRIC;
        if (bytes_equal_text(type, "label")) column.kind = CSV_LABEL;
        for (unsigned i = 0; i < sizeof times / sizeof *times; i++)
            if (bytes_equal_text(type, "time") && bytes_equal_text(name, times[i].word))
                column.kind = times[i].kind;
        if (column.kind == CSV_NOTHING || name.size == 0)
            return why_set(why, ERR_INPUT,
                           "format: column %lu must be metric:NAME, label:NAME or time:UNIT with "
                           "unix_s, unix_ms, unix_ns or rfc3339",
                           number);
        if (r->columns[number - 1].kind != CSV_NOTHING)
            return why_set(why, ERR_INPUT, "format: column %lu is named twice", number);
        has_metric |= column.kind == CSV_METRIC;
        r->columns[number - 1] = column;
        if (number > r->count) r->count = (unsigned)number;
    }
    return has_metric ? OK : why_set(why, ERR_INPUT, "format: no column is a metric");
}

/* Takes the next field. `at` is NULL if its quotes are not closed, or without memory. */
static struct bytes
take_field(struct csv_reading *r, struct cursor *c)
{
    const uint8_t *from = c->at;
    if (c->at == c->end || *c->at != '"') {
        while (c->at != c->end && *c->at != ',')
            c->at++;
        return bytes_of(from, (size_t)(c->at - from));
    }
    size_t doubled = 0, size = 0;
    for (from = ++c->at; c->at != c->end; c->at++) {
        if (*c->at != '"') continue;
        if (c->at + 1 == c->end || c->at[1] != '"') break;
        doubled++;
        c->at++;
    }
    if (c->at == c->end) return bytes_of(NULL, 0);
    struct bytes field = bytes_of(from, (size_t)(c->at++ - from));
    if (doubled == 0) return field;
    uint8_t *text = rw_fill_alloc(r->to, field.size - doubled);
    if (text == NULL) return bytes_of(NULL, 0);
    for (size_t i = 0; i < field.size; i++) {
        text[size++] = field.at[i];
        i += field.at[i] == '"';
    }
    return bytes_of(text, size);
}

static bool
read_csv_time(enum csv_column_kind kind, struct bytes text, int64_t *ret_ms)
{
    if (kind == CSV_RFC3339) return time_parse_rfc3339(text, ret_ms);
    if (kind == CSV_S) return time_parse_seconds(text, ret_ms);
    if (!time_parse_ms(text, ret_ms)) return false;
    if (kind == CSV_NS) *ret_ms = *ret_ms / 1000000 - (*ret_ms % 1000000 < 0);
    return true;
}

static enum err
bad_field(struct csv_reading *r, unsigned column, const char *sentence)
{
    return why_set(&r->why, ERR_INPUT, "column %u %s", column + 1, sentence);
}

static enum err
read_csv_line(struct csv_reading *r, struct bytes line)
{
    struct label labels[CSV_COLUMNS_MAX + 1], all[CSV_COLUMNS_MAX + 1];
    struct bytes values[CSV_COLUMNS_MAX];
    struct cursor c = cursor_of(line);
    uint32_t count = 0;
    int64_t t_ms = r->now_ms;
    for (unsigned i = 0; i < r->count; i++) {
        const struct csv_column *column = &r->columns[i];
        bool is_time = column->kind > CSV_LABEL;
        values[i] = take_field(r, &c);
        if (values[i].at == NULL && values[i].size == 0 && rw_fill_error(r->to))
            return rw_fill_error(r->to);
        if (values[i].at == NULL) return bad_field(r, i, "has no closing quote");
        if (column->kind == CSV_LABEL) labels[count++] = (struct label){column->name, values[i]};
        if (is_time && !read_csv_time(column->kind, values[i], &t_ms))
            return bad_field(r, i, "is not such a time");
        if (c.at == c.end && i + 1 < r->count) return bad_field(r, i + 1, "is missing");
        if (c.at != c.end && *c.at++ != ',') return bad_field(r, i, "has text after its quotes");
    }
    for (unsigned i = 0; i < r->count; i++) {
        uint32_t all_count = count + 1;
        uint64_t bits;
        if (r->columns[i].kind != CSV_METRIC || values[i].size == 0) continue;
        if (!number_parse((const char *)values[i].at, values[i].size, &bits))
            return bad_field(r, i, "is not a number");
        memcpy(all, labels, count * sizeof *all);
        all[count] = (struct label){bytes_of_text("__name__"), r->columns[i].name};
        if (!input_sort_labels(all, &all_count)) return bad_field(r, i, "has a label twice");
        enum err e = rw_fill_series(r->to, all, all_count);
        if (e == OK) e = rw_fill_float(r->to, t_ms, bits, 0);
        if (e) return e;
        r->samples++;
    }
    return OK;
}

static enum err
read_csv(struct csv_reading *r, struct bytes text, struct input_outcome *ret)
{
    for (uint64_t number = 1; text.size > 0; number++) {
        const uint8_t *feed = memchr(text.at, '\n', text.size);
        size_t size = feed == NULL ? text.size : (size_t)(feed - text.at), step = feed != NULL;
        struct bytes line = bytes_of(text.at, size);
        text = bytes_of(text.at + size + step, text.size - size - step);
        if (line.size > 0 && line.at[line.size - 1] == '\r') line.size--;
        r->samples = 0;
        enum err e = line.size > 0 ? read_csv_line(r, line) : OK;
        if (e != OK && e != ERR_INPUT) return e;
        ret->points += r->samples + (e != OK);
        if (e == OK) continue;
        (void)why_prefix(&r->why, e, "line %" PRIu64, number);
        if (ret->refused == 0) ret->line = number;
        input_refuse(ret, 1, &r->why);
    }
    return OK;
}

enum err
csv_decode(const char *columns, int64_t now_ms, struct bytes text, uint64_t seed,
           struct rw_request *to, struct input_outcome *ret, struct why *why)
{
    *ret = (struct input_outcome){0};
    rw_fill_begin(to, seed, 8 * text.size); /* two bytes may be a sample */
    struct csv_reading *r = rw_fill_alloc(to, sizeof *r);
    enum err e = rw_fill_error(to);
    if (e == OK) {
        memset(r, 0, sizeof *r);
        r->to = to;
        r->now_ms = now_ms;
        e = read_columns(r, columns, why);
    }
    if (e == OK) e = read_csv(r, text, ret);
    return input_end(to, e, why);
}
