/*
 * influx.c - see influx.h.
 *
 *     line = measurement {"," tag "=" value} " " field "=" number {"," ...} [" " time] LF
 *
 * A backslash before a comma, a space or an equals sign makes it a part of the text; every other
 * one is itself. A text of a field is in quotes, may hold line feeds, and is refused. Most lines
 * have the measurement and the fields of the line before, and find their metrics without a look at
 * the table of all.
 */
#include "inputs/influx/influx.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "base/text/quote.h"
#include "sys/env.h"
#include "wire/number.h"

enum {
    TAGS_MAX = 256,
    ROW_MAX = 256,       /* fields of a line whose metrics are remembered for the next */
    METRICS_FIRST = 256, /* a power of two */
    TEXT_BYTES_MAX = 1 << 20,
};
#define EXACT_MAX (INT64_C(1) << 53)

/* A metric that the request has named. */
struct line_metric {
    uint64_t hash;
    struct bytes measurement, field; /* as in the text */
    struct bytes name;
    enum influx_type type;
    struct bytes refusal; /* why its points are refused; empty if they are not */
    uint64_t claimed_by;  /* the line whose type it has until one is taken; 0: its type is fixed */
};

struct value {
    struct line_metric *metric;
    uint64_t bits;
};

struct line_decoder {
    const struct influx_lines *lines;
    struct rw_request *to;
    struct input_outcome *outcome;
    uint64_t seed;
    struct buf text; /* scratch */
    struct why why;

    struct line_metric **metrics; /* a hash table */
    uint32_t capacity, count;

    /* The line being read. */
    uint64_t number;
    struct bytes measurement;
    struct label tags[TAGS_MAX];
    uint32_t tag_count;
    const uint8_t *end;
    struct value *values;
    uint32_t field_count, value_count, value_capacity;
    uint64_t bad_values;
    struct why bad; /* why the first of them was refused */

    /* The metrics of the line before. */
    struct bytes row_measurement;
    struct line_metric *row[ROW_MAX];
    uint32_t row_count;
};

/* --- names ------------------------------------------------------------------------------------ */

/* Removes the backslashes before commas, blanks and `equals`; a text without one stays where it is.
 * `at` is NULL on an error. */
static struct bytes
unescape(struct line_decoder *d, struct bytes text, uint8_t equals)
{
    if (text.size == 0 || memchr(text.at, '\\', text.size) == NULL) return text;
    uint8_t *to = rw_fill_alloc(d->to, text.size);
    size_t size = 0;
    if (to == NULL) return bytes_of(NULL, 0);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t next = i + 1 < text.size ? text.at[i + 1] : 0;
        if (text.at[i] == '\\' && (next == ',' || next == ' ' || (next != 0 && next == equals)))
            i++;
        to[size++] = text.at[i];
    }
    return bytes_of(to, size);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static bool
is_of(const struct line_metric *m, struct bytes measurement, struct bytes field)
{
    return bytes_equal(m->field, field) && bytes_equal(m->measurement, measurement);
}

static enum err
grow_table(struct line_decoder *d)
{
    uint32_t capacity = d->capacity == 0 ? METRICS_FIRST : 2 * d->capacity;
    struct line_metric **metrics = rw_fill_alloc(d->to, capacity * sizeof *metrics);
    if (metrics == NULL) return rw_fill_error(d->to);
    memset(metrics, 0, capacity * sizeof *metrics);
    for (uint32_t i = 0; i < d->capacity; i++) {
        if (d->metrics[i] == NULL) continue;
        uint32_t at = (uint32_t)d->metrics[i]->hash & (capacity - 1);
        while (metrics[at] != NULL)
            at = (at + 1) & (capacity - 1);
        metrics[at] = d->metrics[i];
    }
    d->metrics = metrics;
    d->capacity = capacity;
    return OK;
}

/* Copies what was put into the scratch since `from`. */
static enum err
keep_text(struct line_decoder *d, size_t from, struct bytes *ret)
{
    if (buf_error(&d->text)) return buf_error(&d->text);
    *ret = rw_fill_text(d->to, bytes_of(d->text.at + from, d->text.size - from));
    return ret->at == NULL ? rw_fill_error(d->to) : OK;
}

/* Names a new metric in the metadata, when a line of it is taken. */
static enum err
claim_metric(struct line_decoder *d, struct line_metric *m)
{
    struct bytes help;
    const struct influx_field field = {.type = m->type,
                                       .name = unescape(d, m->field, '='),
                                       .measurement = unescape(d, m->measurement, 0),
                                       .database = d->lines->database};
    if (field.name.at == NULL || field.measurement.at == NULL) return rw_fill_error(d->to);
    buf_clear(&d->text);
    influx_help_put(&d->text, &field);
    enum err e = keep_text(d, 0, &help);
    if (e) return e;
    m->claimed_by = 0;
    d->to->claims_metadata = true;
    return rw_fill_metadata(
        d->to, &(struct rw_metadata){.type = METRIC_UNKNOWN, .family = m->name, .help = help});
}

/* Compares the field with what is known of its metric. */
static enum err
judge_metric(struct line_decoder *d, struct line_metric *m, const struct influx_field *field)
{
    struct influx_field known;
    struct bytes help;
    struct buf texts;
    buf_clear(&d->text);
    enum err e = d->lines->find_help(d->lines->context, m->name, &d->text);
    if (e == OK) e = keep_text(d, 0, &help);
    if (e) return e;
    if (help.size == 0) {
        m->claimed_by = d->number;
        return OK;
    }
    buf_init(&texts, NULL, help.size + 1);
    bool is_field = influx_help_read(help, &texts, &known);
    bool is_same = is_field && bytes_equal(known.name, field->name) &&
                   bytes_equal(known.measurement, field->measurement) &&
                   bytes_equal(known.database, field->database);
    if (is_same) m->type = known.type;
    buf_fini(&texts);
    if (is_same) return OK;
    buf_clear(&d->text);
    buf_printf(&d->text, "the metric %s is already known as ", shown_of(m->name).text);
    buf_put_shown(&d->text, bytes_of(help.at, help.size < 200 ? help.size : 200));
    return keep_text(d, 0, &m->refusal);
}

/* Returns the place of a field in the table, or where it can be added. */
static struct line_metric **
slot_of(struct line_decoder *d, uint64_t hash, struct bytes measurement, struct bytes field)
{
    for (uint32_t at = (uint32_t)hash;; at++) {
        struct line_metric **slot = &d->metrics[at & (d->capacity - 1)];
        if (*slot == NULL || ((*slot)->hash == hash && is_of(*slot, measurement, field)))
            return slot;
    }
}

/* Adds the name of a new metric to the table, as a field without a name; refuses the metric if
 * another field has made it. */
static enum err
add_name(struct line_decoder *d, struct line_metric *m)
{
    uint64_t hash = hash_bytes(m->name, d->seed);
    struct line_metric **slot = slot_of(d, hash, m->name, bytes_of(NULL, 0));
    if (*slot != NULL) {
        m->refusal = bytes_of_text("another field of the request makes the same metric");
        return OK;
    }
    *slot = rw_fill_alloc(d->to, sizeof **slot);
    if (*slot == NULL) return rw_fill_error(d->to);
    **slot = (struct line_metric){.hash = hash, .measurement = m->name};
    d->count++;
    return OK;
}

static enum err
add_metric(struct line_decoder *d, struct bytes measurement, struct bytes field,
           enum influx_type type, uint64_t hash, struct line_metric **ret)
{
    if (2 * (d->count + 2) >= d->capacity) {
        enum err e = grow_table(d);
        if (e) return e;
    }
    struct line_metric *m = rw_fill_alloc(d->to, sizeof *m);
    if (m == NULL) return rw_fill_error(d->to);
    *m = (struct line_metric){
        .hash = hash, .measurement = measurement, .field = field, .type = type};
    struct influx_field whole = {.type = type,
                                 .name = unescape(d, field, '='),
                                 .measurement = unescape(d, measurement, 0),
                                 .database = d->lines->database};
    if (whole.name.at == NULL || whole.measurement.at == NULL) return rw_fill_error(d->to);
    buf_clear(&d->text);
    influx_metric_put(&d->text, &whole);
    enum err e = keep_text(d, 0, &m->name);
    if (e == OK && bytes_equal_text(whole.name, "time"))
        m->refusal = bytes_of_text("the name time is not permitted");
    else if (e == OK)
        e = judge_metric(d, m, &whole);
    if (e) return e;
    *slot_of(d, hash, measurement, field) = m;
    d->count++;
    *ret = m;
    return m->claimed_by == 0 ? OK : add_name(d, m);
}

static enum err
find_metric(struct line_decoder *d, struct bytes field, enum influx_type type,
            struct line_metric **ret)
{
    uint32_t place = d->field_count++;
    if (place < d->row_count && bytes_equal(d->row[place]->field, field)) {
        *ret = d->row[place];
        return OK;
    }
    uint64_t hash = hash_mix(hash_bytes(d->measurement, d->seed), hash_bytes(field, d->seed));
    struct line_metric *m = d->capacity == 0 ? NULL : *slot_of(d, hash, d->measurement, field);
    if (m == NULL) {
        enum err e = add_metric(d, d->measurement, field, type, hash, &m);
        if (e) return e;
    }
    if (place < ROW_MAX) {
        d->row[place] = m;
        if (place >= d->row_count) d->row_count = place + 1;
    }
    *ret = m;
    return OK;
}

/* --- the parts of a line ---------------------------------------------------------------------- */

/* The size of what ends before one of two bytes without a backslash before it, or at `end`. */
static size_t
part_size(const uint8_t *at, const uint8_t *end, uint8_t one, uint8_t other)
{
    const uint8_t *p = at;
    while (p < end && ((*p != one && *p != other) || (p > at && p[-1] == '\\')))
        p++;
    return (size_t)(p - at);
}

/* The end of a text in quotes, after its last quote; NULL if it has none. */
static const uint8_t *
quoted_end(const uint8_t *p, const uint8_t *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\') p++;
    return p < end ? p + 1 : NULL;
}

/* Sets why a line is malformed. */
static enum err
malformed(struct line_decoder *d, const char *sentence)
{
    return why_set(&d->why, ERR_INPUT, "%s", sentence);
}

/* Notes why a value is refused, of a line whose others are taken. */
PRINTF_LIKE(3, 4)
static void
refuse_value(struct line_decoder *d, struct bytes field, const char *format, ...)
{
    char sentence[sizeof d->bad.text];
    va_list arguments;
    if (d->bad_values++ > 0) return;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    (void)why_set(&d->bad, ERR_INPUT, "input field %s on measurement %s: %s", shown_of(field).text,
                  shown_of(d->measurement).text, sentence);
}

/* Reads the tags up to the blank before the fields. A tag `__name__` that repeats the measurement,
 * as Prometheus' own writer has it, is none. */
static enum err
read_tags(struct line_decoder *d, const uint8_t **at)
{
    const uint8_t *p = *at, *const end = d->end;
    d->tag_count = 0;
    while (p < end && *p == ',') {
        struct label tag;
        p++;
        tag.name = bytes_of(p, part_size(p, end, '=', ' '));
        p += tag.name.size;
        if (p == end || *p != '=') return malformed(d, "missing tag value");
        if (tag.name.size == 0) return malformed(d, "missing tag key");
        p++;
        tag.value = bytes_of(p, part_size(p, end, ',', ' '));
        p += tag.value.size;
        if (tag.value.size == 0) return malformed(d, "missing tag value");
        tag.name = unescape(d, tag.name, '=');
        tag.value = unescape(d, tag.value, '=');
        if (tag.name.at == NULL || tag.value.at == NULL) return rw_fill_error(d->to);
        if (bytes_equal_text(tag.name, "__name__")) {
            if (!bytes_equal(tag.value, d->measurement))
                return malformed(d, "the tag __name__ is not the measurement");
            continue;
        }
        if (d->tag_count == TAGS_MAX) return malformed(d, "more than 256 tags");
        d->tags[d->tag_count++] = tag;
    }
    *at = p;
    return input_sort_labels(d->tags, &d->tag_count) ? OK : malformed(d, "duplicate tags");
}

/* Reads digits that end with `i` or `u`. */
static enum err
read_integer(struct line_decoder *d, struct bytes field, struct bytes digits, bool is_signed,
             uint64_t *ret_bits, bool *ret_taken)
{
    bool is_negative = is_signed && digits.size > 0 && digits.at[0] == '-';
    uint64_t v = 0, most = is_signed ? (uint64_t)INT64_MAX + is_negative : UINT64_MAX;
    if (digits.size == is_negative) return malformed(d, "invalid number");
    for (size_t i = is_negative; i < digits.size; i++) {
        unsigned digit = digits.at[i] - (unsigned)'0';
        if (digit > 9) return malformed(d, "invalid number");
        if (v > (most - digit) / 10) return malformed(d, "unable to parse integer: out of range");
        v = 10 * v + digit;
    }
    double number = (double)v;
    *ret_taken = v <= EXACT_MAX || (number < 0x1p64 && (uint64_t)number == v);
    *ret_bits = double_bits(is_negative ? -number : number);
    if (is_negative && v == 0) *ret_bits = 0;
    if (!*ret_taken)
        refuse_value(d, field, "the integer %s is beyond 2^53, and no float has its value",
                     shown_of(digits).text);
    return OK;
}

static bool
read_boolean(struct bytes text, uint64_t *ret_bits)
{
    static const char *const words[2][5] = {{"f", "F", "false", "False", "FALSE"},
                                            {"t", "T", "true", "True", "TRUE"}};
    for (unsigned is_true = 0; is_true < 2; is_true++)
        for (unsigned i = 0; i < 5; i++)
            if (bytes_equal_text(text, words[is_true][i])) {
                *ret_bits = double_bits(is_true);
                return true;
            }
    return false;
}

/* Reads a number or a boolean. *ret_taken is false if the value alone is refused. */
static enum err
read_value(struct line_decoder *d, struct bytes field, struct bytes text,
           enum influx_type *ret_type, uint64_t *ret_bits, bool *ret_taken)
{
    *ret_taken = true;
    if (text.size == 0) return malformed(d, "missing field value");
    uint8_t last = text.at[text.size - 1];
    if (last == 'i' || last == 'u') {
        *ret_type = last == 'i' ? INFLUX_INTEGER : INFLUX_UNSIGNED;
        return read_integer(d, field, bytes_of(text.at, text.size - 1), last == 'i', ret_bits,
                            ret_taken);
    }
    *ret_type = INFLUX_FLOAT;
    uint8_t first = text.at[text.at[0] == '-' && text.size > 1];
    bool is_number = (first >= '0' && first <= '9') || first == '.' || first == '+';
    if (is_number && number_parse((const char *)text.at, text.size, ret_bits)) return OK;
    if (is_number) return malformed(d, "invalid number");
    *ret_type = INFLUX_BOOLEAN;
    return read_boolean(text, ret_bits) ? OK : malformed(d, "invalid boolean");
}

static enum err
add_value(struct line_decoder *d, struct bytes field, enum influx_type type, uint64_t bits)
{
    struct line_metric *m;
    enum err e = find_metric(d, field, type, &m);
    if (e) return e;
    if (m->claimed_by != 0 && m->claimed_by != d->number) { /* no line of it was taken yet */
        m->claimed_by = d->number;
        m->type = type;
    }
    if (d->value_count == d->value_capacity) {
        uint32_t capacity = d->value_capacity == 0 ? 64 : 2 * d->value_capacity;
        struct value *values = rw_fill_alloc(d->to, capacity * sizeof *values);
        if (values == NULL) return rw_fill_error(d->to);
        if (d->value_count > 0) memcpy(values, d->values, d->value_count * sizeof *values);
        d->values = values;
        d->value_capacity = capacity;
    }
    if (m->refusal.size == 0 && m->type == type) {
        d->values[d->value_count++] = (struct value){m, bits};
        return OK;
    }
    if (m->refusal.size > 0) {
        refuse_value(d, field, "%.*s", (int)m->refusal.size, (const char *)m->refusal.at);
    } else {
        refuse_value(d, field, "field type conflict: it is type %s, already exists as type %s",
                     influx_type_name(type), influx_type_name(m->type));
    }
    return OK;
}

/* Moves the end of the line behind a text that has line feeds. */
static void
find_end(struct line_decoder *d, const uint8_t *from, const uint8_t *end)
{
    const uint8_t *feed = memchr(from, '\n', (size_t)(end - from));
    d->end = feed == NULL ? end : feed;
}

/* Reads the fields up to the blank before the time, or the end of the line. */
static enum err
read_fields(struct line_decoder *d, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    for (;; p++) {
        struct bytes field = bytes_of(p, part_size(p, d->end, '=', '='));
        enum influx_type type = INFLUX_FLOAT;
        uint64_t bits = 0;
        bool is_taken;
        p += field.size;
        if (p == d->end) return malformed(d, "missing field value");
        if (field.size == 0) return malformed(d, "missing field key");
        const uint8_t *from = ++p;
        if (p < d->end && *p == '"') {
            p = quoted_end(p, end);
            if (p == NULL) return malformed(d, "unbalanced quotes");
            if (p > d->end) find_end(d, p, end);
            refuse_value(d, field, "texts are not stored");
        } else {
            while (p < d->end && *p != ',' && *p != ' ' && *p != '\r')
                p++;
            struct bytes text = bytes_of(from, (size_t)(p - from));
            enum err e = read_value(d, field, text, &type, &bits, &is_taken);
            if (e == OK && is_taken) e = add_value(d, field, type, bits);
            if (e) return e;
        }
        if (p == d->end || *p != ',') break;
    }
    *at = p;
    return OK;
}

/* Reads the time. */
static enum err
read_time(struct line_decoder *d, struct bytes text, int64_t *ret_ms)
{
    bool is_negative = text.size > 0 && text.at[0] == '-';
    int64_t unit_ns = d->lines->unit_ns, t = 0;
    if (text.size == 0) {
        *ret_ms = d->lines->now_ms;
        return OK;
    }
    if (text.size == is_negative) return malformed(d, "bad timestamp");
    for (size_t i = is_negative; i < text.size; i++) {
        int digit = text.at[i] - '0';
        if (digit < 0 || digit > 9) return malformed(d, "bad timestamp");
        if (__builtin_mul_overflow(t, 10, &t) || __builtin_add_overflow(t, digit, &t))
            return malformed(d, "time outside range");
    }
    if (is_negative) t = -t;
    int64_t size = t < 0 ? -t : t;
    if (unit_ns == 0)
        unit_ns = size < 5000000000                  ? NS_PER_S
                  : size < 5000000000000             ? NS_PER_MS
                  : size < INT64_C(5000000000000000) ? 1000
                                                     : 1;
    if (unit_ns >= NS_PER_MS) {
        if (__builtin_mul_overflow(t, unit_ns / NS_PER_MS, ret_ms))
            return malformed(d, "time outside range");
        return OK;
    }
    int64_t per_ms = NS_PER_MS / unit_ns;
    *ret_ms = t / per_ms - (t % per_ms < 0);
    return OK;
}

/* --- lines ------------------------------------------------------------------------------------ */

static enum err
put_line(struct line_decoder *d, int64_t t_ms)
{
    struct rw_fill_labels labels;
    enum err e = rw_fill_labels(d->to, d->tags, d->tag_count, &labels);
    for (uint32_t i = 0; e == OK && i < d->value_count; i++) {
        if (d->values[i].metric->claimed_by != 0) e = claim_metric(d, d->values[i].metric);
        if (e == OK) e = rw_fill_named_series(d->to, &labels, d->values[i].metric->name);
        if (e == OK) e = rw_fill_float(d->to, t_ms, d->values[i].bits, 0);
    }
    return e;
}

/* Reads the line from `p` to d->end, which may move behind a text with line feeds. ERR_INPUT: it is
 * malformed. */
static enum err
read_line(struct line_decoder *d, const uint8_t *p, const uint8_t *end)
{
    int64_t t_ms = 0;
    d->value_count = d->field_count = 0;
    d->bad_values = 0;
    d->measurement = bytes_of(p, part_size(p, d->end, ',', ' '));
    if (!bytes_equal(d->measurement, d->row_measurement)) d->row_count = 0;
    d->row_measurement = d->measurement;
    p += d->measurement.size;
    if (d->measurement.size == 0) return malformed(d, "missing measurement");
    enum err e = read_tags(d, &p);
    if (e) return e;
    while (p < d->end && *p == ' ')
        p++;
    if (p == d->end) return malformed(d, "missing fields");
    e = read_fields(d, &p, end);
    if (e) return e;
    while (p < d->end && *p == ' ')
        p++;
    const uint8_t *from = p;
    while (p < d->end && *p != ' ' && *p != '\r')
        p++;
    e = read_time(d, bytes_of(from, (size_t)(p - from)), &t_ms);
    while (p < d->end && (*p == ' ' || *p == '\r'))
        p++;
    if (e == OK && p < d->end) e = malformed(d, "bad timestamp");
    return e ? e : put_line(d, t_ms);
}

/* Counts the refused points of a line. */
static void
count_line(struct line_decoder *d, enum err e, struct bytes line)
{
    struct input_outcome *o = d->outcome;
    uint64_t refused = e ? 1 : d->bad_values;
    struct shown shown = shown_of(line);
    o->points += e ? 1 : d->value_count + d->bad_values;
    if (refused > 0 && o->refused == 0) {
        o->line = d->number;
        memcpy(o->line_text, shown.text, sizeof o->line_text);
        if (e) (void)why_set(&d->bad, e, "unable to parse %s: %s", shown.text, d->why.text);
    }
    if (refused > 0) input_refuse(o, refused, &d->bad);
}

static enum err
read_lines(struct line_decoder *d, struct bytes text)
{
    const uint8_t *p = text.at, *const end = text.at + text.size;
    enum err e = OK;
    for (d->number = 1; p < end && e == OK; p = d->end + 1, d->number++) {
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
            p++;
        find_end(d, p, end);
        if (p == d->end || *p == '#') continue;
        e = read_line(d, p, end);
        if (e != OK && e != ERR_INPUT) break;
        if (e || d->bad_values > 0)
            count_line(d, e, bytes_of(p, (size_t)(d->end - p)));
        else
            d->outcome->points += d->value_count;
        e = OK;
    }
    return e;
}

enum err
influx_decode(const struct influx_lines *lines, struct bytes text, uint64_t seed,
              struct rw_request *to, struct input_outcome *ret, struct why *why)
{
    *ret = (struct input_outcome){0};
    rw_fill_begin(to, seed, text.size);
    struct line_decoder *d = rw_fill_alloc(to, sizeof *d);
    enum err e = d == NULL ? rw_fill_error(to) : OK;
    if (e == OK) {
        memset(d, 0, sizeof *d);
        d->lines = lines;
        d->to = to;
        d->outcome = ret;
        d->seed = seed;
        buf_init(&d->text, NULL, TEXT_BYTES_MAX);
        if (text.size > 0) e = read_lines(d, text);
        buf_fini(&d->text);
    }
    return input_end(to, e, why);
}
