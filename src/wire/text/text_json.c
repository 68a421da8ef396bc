/*
 * text_json.c - the two JSON forms, one object per line.
 *
 *     jsonl    {"metric":{NAME:TEXT,...},"values":[...],"timestamps":[MS,...]}
 *     ndjson   {"name":TEXT,"time":MS,"value":...,"labels":{NAME:TEXT,...}}, see sample_json.h
 *
 * Keys come in any order, unknown ones are skipped. A value is a number, null (an ordinary NaN), or
 * a text: "Inf", "-Infinity", "NaN", "stale" and so on, see number_parse_exact(); in NDJSON "bits"
 * may accompany the null. Words without quotes are read, too. So the forms carry every bit of a
 * double although JSON itself does not.
 */
#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "wire/json/sample_json.h"
#include "wire/text/text_reader_private.h"

static const char TWICE[] = "duplicate key";

static bool
key_is(struct bytes key, const char *name)
{
    return bytes_equal_text(key, name);
}

/* Takes a word with its sign, as +Inf, which is no JSON: vmctl writes it. */
static struct bytes
scan_bare_word(struct scan *s)
{
    const uint8_t *from = s->at++;
    while (s->at != s->end && ascii_is_letter(*s->at))
        s->at++;
    return bytes_of(from, (size_t)(s->at - from));
}

static uint64_t
scan_value(struct scan *s)
{
    uint64_t bits = 0;
    uint8_t c = scan_peek(s), next = s->end - s->at > 1 ? s->at[1] : 0;
    bool is_signed = c == '-' || c == '+';
    if (c == 'n' && next == 'u') {
        scan_null(s);
        return NORMAL_NAN_BITS;
    }
    if (c != '"' && !ascii_is_letter(is_signed ? next : c)) return scan_double(s);
    struct bytes text = c == '"' ? scan_text(s) : scan_bare_word(s);
    if (s->bad == NULL && !number_parse_exact((const char *)text.at, text.size, &bits))
        scan_fail(s, "value is not a valid number");
    return bits;
}

/* Milliseconds; some writers append ".0". */
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
    if (!time_parse_ms(digits, &ms)) scan_fail(s, "time is not an integer number of milliseconds");
    return ms;
}

static void
scan_labels(struct scan *s, struct buf *labels)
{
    struct bytes name;
    scan_expect(s, '{');
    while (scan_key(s, &name)) {
        struct bytes value = scan_text(s);
        if (s->bad == NULL) text_put_label(labels, name, value);
    }
}

static enum err
scan_verdict(const struct scan *s, struct why *why)
{
    if (s->bad == NULL) return OK;
    return why_set(why, s->error, "%s at byte %zu", s->bad, (size_t)(s->at - s->start) + 1);
}

/* --- JSON lines ------------------------------------------------------------------------------- */

enum json_lines_key { LINE_METRIC, LINE_VALUES, LINE_TIMESTAMPS, LINE_KEY_COUNT };

enum err
json_lines_line(struct text_reader *r, struct bytes line, struct text_item *item, struct why *why)
{
    static const struct bytes keys[LINE_KEY_COUNT] = {SCAN_NAME("metric"), SCAN_NAME("values"),
                                                      SCAN_NAME("timestamps")};
    struct scan s = scan_of(line, &r->arena);
    struct bytes key;
    unsigned seen = 0;
    (void)item;
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        switch ((enum json_lines_key)scan_which(&s, key, keys, LINE_KEY_COUNT, &seen, TWICE)) {
        case LINE_METRIC:
            scan_labels(&s, &r->labels);
            break;
        case LINE_VALUES:
            scan_expect(&s, '[');
            while (scan_item(&s)) {
                uint64_t bits = scan_value(&s);
                if (s.bad == NULL) buf_put(&r->values, &bits, sizeof bits);
            }
            break;
        case LINE_TIMESTAMPS:
            scan_expect(&s, '[');
            while (scan_item(&s)) {
                int64_t ms = scan_time(&s);
                if (s.bad != NULL) break;
                text_note_time(r, key, ms);
                buf_put(&r->times, &ms, sizeof ms);
            }
            break;
        case LINE_KEY_COUNT:
            scan_skip(&s);
        }
    }
    scan_end(&s);
    enum err e = scan_verdict(&s, why);
    if (e) return e;
    if (seen != (1u << LINE_KEY_COUNT) - 1)
        return why_set(why, ERR_INPUT, "expected metric, values and timestamps");
    if (r->times.size != r->values.size) {
        return why_set(why, ERR_INPUT, "%zu values but %zu timestamps", r->values.size / 8,
                       r->times.size / 8);
    }
    if (r->labels.size == 0) return why_set(why, ERR_INPUT, "metric has no labels");
    return OK;
}

/* --- NDJSON ----------------------------------------------------------------------------------- */

enum row_key {
    ROW_NAME,
    ROW_TIME,
    ROW_VALUE,
    ROW_BITS,
    ROW_START,
    ROW_HISTOGRAM,
    ROW_EXEMPLARS,
    ROW_LABELS,
    ROW_LABELS_HEX,
    ROW_KEY_COUNT
};

struct row {
    unsigned seen; /* a bit per key */
    bool null_value;
    struct bytes name;
    int64_t time_ms;
    int64_t start_ms;
    uint64_t value_bits;
    uint64_t bits;
};

static bool
row_has(const struct row *row, enum row_key key)
{
    return (row->seen & 1u << key) != 0;
}

static uint64_t
scan_bits(struct scan *s)
{
    uint64_t bits = 0;
    struct bytes text = scan_text(s);
    if (s->bad == NULL && !hex_parse_word(text, &bits))
        scan_fail(s, "expected 16 hex digits in bits");
    return bits;
}

static struct bytes
bytes_of_hex(struct scan *s, struct bytes text)
{
    uint8_t *at = scan_alloc(s, text.size / 2 + 1, "not enough memory for a label");
    if (at == NULL) return (struct bytes){NULL, 0};
    if (!hex_parse(text, at)) scan_fail(s, "expected hex digits in a label name or value");
    return bytes_of(at, text.size / 2);
}

static void
scan_labels_hex(struct scan *s, struct buf *labels)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        struct bytes name = bytes_of_hex(s, key);
        struct bytes value = bytes_of_hex(s, scan_text(s));
        if (s->bad == NULL) text_put_label(labels, name, value);
    }
}

static void
scan_exemplar(struct text_reader *r, struct scan *s)
{
    size_t before = r->exemplar_labels.size;
    bool has_value = false, has_time = false;
    uint64_t bits = 0;
    int64_t t_ms = 0;
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (key_is(key, "labels")) {
            scan_labels(s, &r->exemplar_labels);
        } else if (key_is(key, "labels_hex")) {
            scan_labels_hex(s, &r->exemplar_labels);
        } else if (key_is(key, "value")) {
            uint64_t value = scan_value(s);
            bits = has_value ? bits : value; /* the bits have precedence even if they come first */
            has_value = true;
        } else if (key_is(key, "bits")) {
            bits = scan_bits(s);
            has_value = true;
        } else if (key_is(key, "time")) {
            t_ms = scan_time(s);
            has_time = true;
        } else {
            scan_skip(s);
        }
    }
    if (!has_value || !has_time) scan_fail(s, "exemplar has no value or no time");
    if (s->bad != NULL) return;
    size_t labels = (r->exemplar_labels.size - before) / sizeof(struct label);
    text_put_exemplar(r, (uint32_t)labels, t_ms, bits);
}

static void
row_field(struct text_reader *r, struct scan *s, struct bytes key, struct row *row)
{
    static const struct bytes keys[ROW_KEY_COUNT] = {
        SCAN_NAME("name"),      SCAN_NAME("time"),     SCAN_NAME("value"),
        SCAN_NAME("bits"),      SCAN_NAME("start_ms"), SCAN_NAME("histogram"),
        SCAN_NAME("exemplars"), SCAN_NAME("labels"),   SCAN_NAME("labels_hex")};
    switch ((enum row_key)scan_which(s, key, keys, ROW_KEY_COUNT, &row->seen, TWICE)) {
    case ROW_NAME:
        row->name = scan_text(s);
        break;
    case ROW_TIME:
        row->time_ms = scan_time(s);
        text_note_time(r, key, row->time_ms);
        break;
    case ROW_VALUE:
        row->null_value = scan_peek(s) == 'n';
        row->value_bits = scan_value(s);
        break;
    case ROW_BITS:
        row->bits = scan_bits(s);
        break;
    case ROW_START:
        row->start_ms = scan_time(s);
        break;
    case ROW_HISTOGRAM:
        histogram_json_scan(s, &r->histogram);
        break;
    case ROW_EXEMPLARS:
        scan_expect(s, '[');
        while (scan_item(s))
            scan_exemplar(r, s);
        break;
    case ROW_LABELS:
        scan_labels(s, &r->labels);
        break;
    case ROW_LABELS_HEX:
        scan_labels_hex(s, &r->labels);
        break;
    case ROW_KEY_COUNT:
        scan_skip(s);
    }
}

/* Decides whether the row has a sample, and of which kind. */
static enum err
row_value(struct text_reader *r, const struct row *row, struct text_item *item, struct why *why)
{
    bool number = row_has(row, ROW_VALUE) && !row->null_value, bits = row_has(row, ROW_BITS),
         histogram = row_has(row, ROW_HISTOGRAM), exemplars = r->exemplars.size > 0;
    bool timed = row_has(row, ROW_TIME);
    if (!row_has(row, ROW_VALUE) && !bits && !histogram && !exemplars)
        return why_set(why, ERR_INPUT, "row has no value");
    if (number + bits + histogram > 1)
        return why_set(why, ERR_INPUT, "row has more than one value");
    if (!timed && !r->options.has_time)
        return why_set(why, ERR_INPUT, "row has no time; --timestamp sets one for all rows");
    if (!number && !bits && !histogram) {
        if (exemplars) return OK;
        item->junk = timed && row->time_ms == 0;
        if (item->junk) return OK;
    }
    int64_t t_ms = timed ? row->time_ms : r->options.time_ms;
    item->start_ms = row->start_ms;
    if (histogram) {
        item->histogram = &r->histogram;
        item->histogram_ms = t_ms;
    } else {
        text_put_sample(r, t_ms, bits ? row->bits : row->value_bits);
    }
    return OK;
}

enum err
ndjson_line(struct text_reader *r, struct bytes line, struct text_item *item, struct why *why)
{
    struct scan s = scan_of(line, &r->arena);
    struct row row = {0};
    struct bytes key;
    scan_expect(&s, '{');
    while (scan_key(&s, &key))
        row_field(r, &s, key, &row);
    scan_end(&s);
    enum err e = scan_verdict(&s, why);
    if (e == OK) e = row_value(r, &row, item, why);
    if (e) return e;
    if (item->junk) {
        buf_clear(&r->labels);
        return OK;
    }
    /* Adds the name to the labels unless they have it. */
    const struct label *labels = (const struct label *)(const void *)r->labels.at;
    size_t count = r->labels.size / sizeof *labels;
    if (row.name.size == 0)
        return count > 0 ? OK : why_set(why, ERR_INPUT, "row has neither name nor labels");
    for (size_t i = 0; i < count; i++) {
        if (!bytes_equal_text(labels[i].name, "__name__")) continue;
        if (bytes_equal(labels[i].value, row.name)) return OK;
        return why_set(why, ERR_INPUT, "name and label __name__ differ");
    }
    text_put_label(&r->labels, bytes_of_text("__name__"), row.name);
    return OK;
}
