/*
 * text_exposition.c - OpenMetrics 1.0 and Prometheus text 0.0.4, and the label sets of both.
 *
 *     name{label="value",...} value [time] [# {label="value"} value [time]]
 *     {"name in UTF-8",label="value"} value [time]
 *     # HELP name text     # TYPE name type     # UNIT name unit     # EOF
 *
 * Lines are read as in Prometheus, slightly more tolerant about blanks, because a file is worth
 * importing. An escape that neither form defines is kept, backslash included. The metadata of a
 * family is returned when the next family begins, with the item of that line.
 */
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "wire/text/text_reader_private.h"

static bool
exposition_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static void
skip_blanks(struct cursor *c)
{
    while (c->at != c->end && exposition_is_blank(*c->at))
        c->at++;
}

/* Reads a name without quotes; empty if the text does not begin with a name. */
static struct bytes
plain_name(struct cursor *c, bool colon)
{
    const uint8_t *from = c->at;
    if (c->at != c->end && ascii_is_digit(*c->at)) return bytes_of(from, 0);
    while (c->at != c->end && (ascii_is_word(*c->at) || (*c->at == ':' && colon)))
        c->at++;
    return bytes_of(from, (size_t)(c->at - from));
}

/* Reads up to the next blank. */
static struct bytes
word(struct cursor *c)
{
    skip_blanks(c);
    const uint8_t *from = c->at;
    while (c->at != c->end && !exposition_is_blank(*c->at))
        c->at++;
    return bytes_of(from, (size_t)(c->at - from));
}

/* --- label sets ------------------------------------------------------------------------------- */

/* Replaces \\, \" and
 *  while copying. */
static size_t
unescape(uint8_t *to, struct bytes raw)
{
    uint8_t *start = to;
    for (size_t i = 0; i < raw.size; i++) {
        uint8_t c = raw.at[i], next = i + 1 < raw.size ? raw.at[i + 1] : 0;
        if (c == '\\' && (next == '\\' || next == '"' || next == 'n')) {
            c = next == 'n' ? '\n' : next;
            i++;
        }
        *to++ = c;
    }
    return (size_t)(to - start);
}

/* Called at a double quote: returns the text after it and steps past the closing one. */
static enum err
quoted(struct text_reader *r, struct cursor *c, struct bytes *ret, struct why *why)
{
    const uint8_t *from = ++c->at;
    bool escapes = false;
    while (c->at != c->end && *c->at != '"') {
        if (*c->at == '\\' && c->at + 1 != c->end) {
            escapes = true;
            c->at++;
        }
        c->at++;
    }
    if (c->at == c->end) return why_set(why, ERR_INPUT, "unterminated quoted string");
    struct bytes raw = {from, (size_t)(c->at - from)};
    c->at++;
    *ret = raw;
    if (!escapes) return OK;
    uint8_t *text = arena_alloc(&r->arena, raw.size);
    if (text == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a string");
    *ret = bytes_of(text, unescape(text, raw));
    return OK;
}

static enum err
label_value(struct text_reader *r, struct cursor *c, struct buf *labels, struct bytes name,
            struct why *why)
{
    struct bytes value;
    c->at++; /* the equals sign */
    skip_blanks(c);
    if (c->at == c->end || *c->at != '"') {
        return why_set(why, ERR_INPUT, "expected double quotes around the value of label %.*s",
                       SHOWN(name));
    }
    enum err e = quoted(r, c, &value, why);
    if (e == OK) text_put_label(labels, name, value);
    return e;
}

static enum err
label_pair(struct text_reader *r, struct cursor *c, struct buf *labels, bool name_too,
           struct why *why)
{
    bool in_quotes = *c->at == '"';
    struct bytes name = {NULL, 0};
    enum err e = OK;
    if (in_quotes)
        e = quoted(r, c, &name, why);
    else
        name = plain_name(c, false);
    if (e) return e;
    if (name.size == 0) return why_set(why, ERR_INPUT, "expected a label name");
    skip_blanks(c);
    if (c->at != c->end && *c->at == '=') return label_value(r, c, labels, name, why);
    if (!in_quotes || !name_too)
        return why_set(why, ERR_INPUT, "expected '=' after label %.*s", SHOWN(name));
    text_put_label(labels, bytes_of_text("__name__"), name);
    return OK;
}

enum err
text_label_set(struct text_reader *r, struct cursor *c, struct buf *labels, bool name_too,
               struct why *why)
{
    for (;;) {
        skip_blanks(c);
        if (c->at == c->end) break;
        if (*c->at == '}') {
            c->at++;
            return OK;
        }
        enum err e = label_pair(r, c, labels, name_too, why);
        if (e) return e;
        skip_blanks(c);
        if (c->at == c->end) break;
        if (*c->at == ',')
            c->at++;
        else if (*c->at != '}')
            return why_set(why, ERR_INPUT, "expected ',' or '}' after a label");
    }
    return why_set(why, ERR_INPUT, "missing '}' after the labels");
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
exposition_value_of(struct cursor *c, uint64_t *ret_bits, struct why *why)
{
    struct bytes text = word(c);
    if (text.size == 0) return why_set(why, ERR_INPUT, "missing value");
    if (number_parse((const char *)text.at, text.size, ret_bits)) return OK;
    return why_set(why, ERR_INPUT, "'%.*s' is not a valid number", SHOWN(text));
}

static enum err
time_of(struct text_reader *r, struct bytes text, int64_t *ret_ms, struct why *why)
{
    bool seconds = r->options.format == TEXT_OPENMETRICS;
    if (seconds ? time_parse_seconds(text, ret_ms) : time_parse_ms(text, ret_ms)) {
        if (!seconds) text_note_time(r, bytes_of_text("timestamp"), *ret_ms);
        return OK;
    }
    return why_set(why, ERR_INPUT, "'%.*s' is not a valid time in Unix %s", SHOWN(text),
                   seconds ? "seconds" : "milliseconds");
}

/* Called after the mark: {labels} value [time]. */
static enum err
exemplar(struct text_reader *r, struct cursor *c, int64_t t_ms, struct why *why)
{
    uint64_t bits;
    skip_blanks(c);
    if (c->at == c->end || *c->at != '{')
        return why_set(why, ERR_INPUT, "expected '{' before the labels");
    c->at++;
    enum err e = text_label_set(r, c, &r->exemplar_labels, false, why);
    if (e == OK) e = exposition_value_of(c, &bits, why);
    if (e) return why_prefix(why, e, "exemplar");
    struct bytes time = word(c);
    if (time.size > 0) e = time_of(r, time, &t_ms, why);
    if (e) return why_prefix(why, e, "exemplar");
    text_put_exemplar(r, (uint32_t)(r->exemplar_labels.size / sizeof(struct label)), t_ms, bits);
    return OK;
}

/* Called after name and labels. */
static enum err
sample(struct text_reader *r, struct cursor *c, struct why *why)
{
    uint64_t bits;
    int64_t t_ms = r->options.time_ms;
    enum err e = exposition_value_of(c, &bits, why);
    if (e) return e;
    skip_blanks(c);
    bool marks = r->options.format == TEXT_OPENMETRICS;
    if (c->at != c->end && !(marks && *c->at == '#')) {
        e = time_of(r, word(c), &t_ms, why);
        if (e) return e;
    } else if (!r->options.has_time) {
        return why_set(why, ERR_INPUT, "sample has no time; --timestamp sets one for all samples");
    }
    skip_blanks(c);
    if (marks && c->at != c->end && *c->at == '#') {
        c->at++;
        e = exemplar(r, c, t_ms, why);
        if (e) return e;
    }
    skip_blanks(c);
    if (c->at != c->end) return why_set(why, ERR_INPUT, "unexpected text after the sample");
    text_put_sample(r, t_ms, bits);
    return OK;
}

static enum err
sample_line(struct text_reader *r, struct cursor *c, struct why *why)
{
    struct bytes name = plain_name(c, true);
    if (name.size > 0) text_put_label(&r->labels, bytes_of_text("__name__"), name);
    skip_blanks(c);
    bool braces = c->at != c->end && *c->at == '{';
    if (name.size == 0 && !braces) return why_set(why, ERR_INPUT, "expected a metric name");
    if (braces) {
        c->at++;
        enum err e = text_label_set(r, c, &r->labels, name.size == 0, why);
        if (e) return e;
    } else if (c->at != c->end && !exposition_is_blank(c->at[-1])) {
        return why_set(why, ERR_INPUT, "'%.*s' is not a valid metric name",
                       SHOWN(bytes_of(name.at, name.size + 1)));
    }
    return sample(r, c, why);
}

/* --- metadata --------------------------------------------------------------------------------- */

/* Returns the complete family with the item of this line. */
static void
hand_out_family(struct text_reader *r, struct text_item *item)
{
    if (!r->has_family) return;
    buf_put_bytes(&r->done_family, buf_bytes(&r->family));
    buf_put_bytes(&r->done_help, buf_bytes(&r->help));
    buf_put_bytes(&r->done_unit, buf_bytes(&r->unit));
    *item = (struct text_item){.has_metadata = true,
                               .family = buf_bytes(&r->done_family),
                               .type = r->type,
                               .help = buf_bytes(&r->done_help),
                               .unit = buf_bytes(&r->done_unit)};
    r->has_family = false;
}

static enum err
metric_type(struct bytes text, enum metric_type *ret_type, struct why *why)
{
    static const struct {
        const char *word;
        enum metric_type type;
    } types[] = {
        {"unknown", METRIC_UNKNOWN},     {"untyped", METRIC_UNKNOWN},
        {"counter", METRIC_COUNTER},     {"gauge", METRIC_GAUGE},
        {"histogram", METRIC_HISTOGRAM}, {"gaugehistogram", METRIC_GAUGE_HISTOGRAM},
        {"summary", METRIC_SUMMARY},     {"info", METRIC_INFO},
        {"stateset", METRIC_STATESET},
    };
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        if (!bytes_equal_text(text, types[i].word)) continue;
        *ret_type = types[i].type;
        return OK;
    }
    return why_set(why, ERR_INPUT, "'%.*s' is not a valid metric type", SHOWN(text));
}

/* Called after "# HELP", "# TYPE" or "# UNIT". */
static enum err
metadata_line(struct text_reader *r, struct bytes what, struct cursor *c, struct text_item *item,
              struct why *why)
{
    struct bytes name;
    enum metric_type type = METRIC_UNKNOWN;
    enum err e = OK;
    skip_blanks(c);
    if (c->at != c->end && *c->at == '"')
        e = quoted(r, c, &name, why);
    else
        name = word(c);
    if (e) return e;
    if (name.size == 0)
        return why_set(why, ERR_INPUT, "missing metric name after # %.*s", SHOWN(what));
    skip_blanks(c);
    struct bytes rest = {c->at, cursor_left(c)};
    if (what.at[0] == 'T') {
        while (rest.size > 0 && exposition_is_blank(rest.at[rest.size - 1]))
            rest.size--;
        e = metric_type(rest, &type, why);
        if (e) return e;
    }
    if (!r->has_family || !bytes_equal(buf_bytes(&r->family), name)) {
        hand_out_family(r, item);
        buf_clear(&r->family);
        buf_clear(&r->help);
        buf_clear(&r->unit);
        buf_put_bytes(&r->family, name);
        r->type = METRIC_UNKNOWN;
        r->has_family = true;
    }
    if (what.at[0] == 'T') r->type = type;
    if (what.at[0] == 'U') {
        buf_clear(&r->unit);
        buf_put_bytes(&r->unit, rest);
    }
    if (what.at[0] == 'H') {
        buf_clear(&r->help);
        if (buf_reserve(&r->help, rest.size + 1)) r->help.size = unescape(r->help.at, rest);
    }
    return OK;
}

enum err
exposition_line(struct text_reader *r, struct bytes line, struct text_item *item, struct why *why)
{
    struct cursor c = cursor_of(line);
    if (r->ended) return why_set(why, ERR_INPUT, "unexpected text after # EOF");
    skip_blanks(&c);
    if (c.at == c.end) return OK;
    if (*c.at != '#') return sample_line(r, &c, why);
    c.at++;
    bool open = r->options.format == TEXT_OPENMETRICS;
    struct bytes what = word(&c);
    if (bytes_equal_text(what, "HELP") || bytes_equal_text(what, "TYPE") ||
        (open && bytes_equal_text(what, "UNIT")))
        return metadata_line(r, what, &c, item, why);
    if (open && bytes_equal_text(what, "EOF")) r->ended = true;
    return OK;
}

enum err
exposition_end(struct text_reader *r, struct text_item *item, struct why *why)
{
    hand_out_family(r, item);
    if (r->options.format != TEXT_OPENMETRICS || r->ended) return OK;
    return why_set(why, ERR_INPUT, "missing # EOF at the end: the file may be truncated");
}
