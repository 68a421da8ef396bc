/*
 * text_json.c - the two JSON forms, an object a line.
 *
 *     jsonl    {"metric":{NAME:TEXT,...},"values":[...],"timestamps":[MS,...]}
 *     ndjson   {"name":TEXT,"time":MS,"value":...,"labels":{NAME:TEXT,...}}
 *
 * Keys come in any order, others are stepped over. A value is a number, null (an ordinary NaN), or
 * a text: "Inf", "-Infinity", "NaN", "stale" and so on, see number_parse_exact(). So the forms
 * carry every bit of a double although JSON itself does not.
 */
#include "base/time_text.h"
#include "wire/json_scan.h"
#include "wire/text_reader_private.h"

static bool
key_is(struct bytes key, const char *name)
{
    return bytes_equal_text(key, name);
}

static uint64_t
scan_value(struct scan *s)
{
    uint64_t bits = 0;
    uint8_t c = scan_peek(s);
    if (c == 'n') {
        scan_null(s);
        return NORMAL_NAN_BITS;
    }
    if (c == '"') {
        struct bytes text = scan_text(s);
        if (s->bad == NULL && !number_parse_exact((const char *)text.at, text.size, &bits)) {
            scan_fail(s, "a value in quotes is no number");
        }
        return bits;
    }
    struct bytes digits = scan_number(s);
    if (s->bad == NULL && !number_parse((const char *)digits.at, digits.size, &bits)) {
        scan_fail(s, "a number is too large");
    }
    return bits;
}

/* Milliseconds; some writers put ".0" behind. */
static int64_t
scan_time(struct scan *s)
{
    int64_t ms = 0;
    struct bytes digits = scan_number(s);
    if (s->bad != NULL) return 0;
    while (digits.size > 2 && digits.at[digits.size - 1] == '0' &&
           memchr(digits.at, '.', digits.size) != NULL &&
           memchr(digits.at, 'e', digits.size) == NULL) {
        digits.size--;
        if (digits.at[digits.size - 1] == '.') digits.size--;
    }
    if (!time_parse_ms(digits, &ms)) scan_fail(s, "a time is no whole number of milliseconds");
    return ms;
}

static void
scan_labels(struct text_reader *r, struct scan *s)
{
    struct bytes name;
    scan_expect(s, '{');
    while (scan_key(s, &name)) {
        struct bytes value = scan_text(s);
        if (s->bad == NULL) text_put_label(&r->labels, name, value);
    }
}

static enum err
scan_verdict(const struct scan *s, struct why *why)
{
    if (s->bad == NULL) return OK;
    return why_set(why, s->error, "%s, at byte %zu", s->bad, (size_t)(s->at - s->start) + 1);
}

/* --- JSON lines ------------------------------------------------------------------------------- */

static void
scan_values(struct text_reader *r, struct scan *s)
{
    scan_expect(s, '[');
    while (scan_item(s)) {
        uint64_t bits = scan_value(s);
        if (s->bad == NULL) buf_put(&r->values, &bits, sizeof bits);
    }
}

static void
scan_times(struct text_reader *r, struct scan *s)
{
    scan_expect(s, '[');
    while (scan_item(s)) {
        int64_t ms = scan_time(s);
        if (s->bad == NULL) buf_put(&r->times, &ms, sizeof ms);
    }
}

enum json_lines_key { KEY_METRIC = 1, KEY_VALUES = 2, KEY_TIMESTAMPS = 4, KEY_ALL = 7 };

enum err
json_lines_line(struct text_reader *r, struct bytes line, struct text_item *item, struct why *why)
{
    struct scan s = scan_of(line, &r->arena);
    struct bytes key;
    unsigned seen = 0;
    (void)item;
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        unsigned which = key_is(key, "metric")       ? KEY_METRIC
                         : key_is(key, "values")     ? KEY_VALUES
                         : key_is(key, "timestamps") ? KEY_TIMESTAMPS
                                                     : 0;
        if ((seen & which) != 0) scan_fail(&s, "a key comes twice");
        seen |= which;
        if (which == KEY_METRIC)
            scan_labels(r, &s);
        else if (which == KEY_VALUES)
            scan_values(r, &s);
        else if (which == KEY_TIMESTAMPS)
            scan_times(r, &s);
        else
            scan_skip(&s);
    }
    scan_end(&s);
    enum err e = scan_verdict(&s, why);
    if (e) return e;
    if (seen != KEY_ALL) {
        return why_set(why, ERR_INPUT, "metric, values and timestamps are expected");
    }
    if (r->times.size != r->values.size) {
        return why_set(why, ERR_INPUT, "%zu values but %zu timestamps", r->values.size / 8,
                       r->times.size / 8);
    }
    if (r->labels.size == 0) return why_set(why, ERR_INPUT, "the metric has no labels");
    return OK;
}

/* --- NDJSON ----------------------------------------------------------------------------------- */

struct row {
    struct bytes name;
    int64_t time_ms;
    uint64_t bits;
    bool has_name, has_time, has_value, has_labels;
    bool null_value;
};

static void
row_field(struct text_reader *r, struct scan *s, struct bytes key, struct row *row)
{
    bool *seen = key_is(key, "name")     ? &row->has_name
                 : key_is(key, "time")   ? &row->has_time
                 : key_is(key, "value")  ? &row->has_value
                 : key_is(key, "labels") ? &row->has_labels
                                         : NULL;
    if (seen == NULL) {
        scan_skip(s);
        return;
    }
    if (*seen) scan_fail(s, "a key comes twice");
    *seen = true;
    if (seen == &row->has_name) {
        row->name = scan_text(s);
    } else if (seen == &row->has_time) {
        row->time_ms = scan_time(s);
    } else if (seen == &row->has_value) {
        row->null_value = scan_peek(s) == 'n';
        row->bits = scan_value(s);
    } else {
        scan_labels(r, s);
    }
}

/* The name goes to the labels, unless they have it. */
static enum err
row_name(struct text_reader *r, const struct row *row, struct why *why)
{
    const struct label *labels = (const struct label *)(const void *)r->labels.at;
    size_t count = r->labels.size / sizeof *labels;
    if (!row->has_name || row->name.size == 0) {
        return count > 0 ? OK : why_set(why, ERR_INPUT, "the row has neither name nor labels");
    }
    for (size_t i = 0; i < count; i++) {
        if (!bytes_equal_text(labels[i].name, "__name__")) continue;
        if (bytes_equal(labels[i].value, row->name)) return OK;
        return why_set(why, ERR_INPUT, "the name and the label __name__ differ");
    }
    text_put_label(&r->labels, bytes_of_text("__name__"), row->name);
    return OK;
}

enum err
ndjson_line(struct text_reader *r, struct bytes line, struct text_item *item, struct why *why)
{
    struct scan s = scan_of(line, &r->arena);
    struct row row = {0};
    struct bytes key;
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        row_field(r, &s, key, &row);
    }
    scan_end(&s);
    enum err e = scan_verdict(&s, why);
    if (e) return e;
    if (!row.has_value) return why_set(why, ERR_INPUT, "the row has no value");
    if (!row.has_time && !r->options.has_time) {
        return why_set(why, ERR_INPUT, "the row has no time (--timestamp gives one to all)");
    }
    if (row.has_time && row.time_ms == 0 && row.null_value) {
        item->junk = true;
        buf_clear(&r->labels);
        return OK;
    }
    e = row_name(r, &row, why);
    if (e == OK) text_put_sample(r, row.has_time ? row.time_ms : r->options.time_ms, row.bits);
    return e;
}
