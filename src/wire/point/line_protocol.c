/*
 * line_protocol.c - one look at each byte says whether a text can be written unchanged, which is
 * nearly always so.
 *
 * Backslashes are special because a tag may contain them but cannot escape them. Before a comma,
 * which is itself escaped, InfluxDB 1 takes two backslashes for a pair when it looks for the end of
 * the value, and not when it reads the value; later versions differ. No version reads backslashes
 * at the end of a value correctly.
 */
#include "wire/point/line_protocol.h"

#include "base/buf.h"
#include "base/text/hex.h"
#include "base/text/utf8.h"
#include "wire/json/sample_json.h"
#include "wire/number.h"
#include "wire/shape.h"

enum {
    ESCAPED = 1,   /* gets a backslash before it */
    BACKSLASH = 2, /* depends on the next byte */
    WIDE = 4,      /* part of a longer character, if valid UTF-8 */
    CODED = 8,     /* the text must be coded */
    PERCENT = 16,  /* matters in coded texts */
};

#define CONTROLS  CODED, CODED, CODED, CODED, CODED, CODED, CODED, CODED
#define WIDES_4   WIDE, WIDE, WIDE, WIDE
#define WIDES_16  WIDES_4, WIDES_4, WIDES_4, WIDES_4
#define WIDES_128 WIDES_16, WIDES_16, WIDES_16, WIDES_16, WIDES_16, WIDES_16, WIDES_16, WIDES_16

static const uint8_t classes[256] = {CONTROLS,        CONTROLS,        CONTROLS,
                                     CONTROLS,        [' '] = ESCAPED, ['%'] = PERCENT,
                                     [','] = ESCAPED, ['='] = ESCAPED, ['\\'] = BACKSLASH,
                                     [127] = CODED,   WIDES_128};

static bool
has_bad_backslash(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] != '\\') continue;
        if (i + 1 == text.size) return true;
        if ((classes[text.at[i + 1]] & (ESCAPED | BACKSLASH)) != 0) return true;
    }
    return false;
}

/* True for a text that has another meaning in this role. */
static bool
is_reserved(struct bytes text, enum line_role role)
{
    static const char *const keys[] = {"time", "value", "bits", "histogram"};
    if (text.size >= 2 && memcmp(text.at, "~%", 2) == 0) return true;
    if (role == LINE_TAG_VALUE) return false;
    if (text.size == 0) return true;
    if (role == LINE_MEASUREMENT) return text.at[0] == '_' || text.at[0] == '#';
    if (text.at[0] == '_') return !bytes_equal_text(text, "__name__");
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (bytes_equal_text(text, keys[i])) return true;
    return false;
}

static void
put_coded(struct buf *to, struct bytes text)
{
    static const char digits[] = "0123456789ABCDEF";
    buf_put_text(to, "~%");
    for (size_t i = 0; i < text.size;) {
        uint8_t c = text.at[i];
        size_t step = utf8_step(text.at + i, text.size - i);
        if (step > 0 && (classes[c] & ~WIDE) == 0) {
            buf_put(to, text.at + i, step);
            i += step;
        } else {
            char hex[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_put(to, hex, sizeof hex);
            i++;
        }
    }
}

/* Returns the union of the classes of all bytes. */
static uint8_t
line_look_at(struct bytes text)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < text.size; i++)
        seen |= classes[text.at[i]];
    return seen;
}

static bool
must_be_coded(struct bytes text, uint8_t seen, enum line_role role)
{
    return (seen & CODED) != 0 || is_reserved(text, role) ||
           ((seen & BACKSLASH) != 0 && has_bad_backslash(text)) ||
           ((seen & WIDE) != 0 && !utf8_valid(text)) ||
           (role == LINE_MEASUREMENT && (seen & ESCAPED) != 0 &&
            memchr(text.at, '=', text.size) != NULL);
}

bool
line_text_is_coded(struct bytes text, enum line_role role)
{
    return must_be_coded(text, line_look_at(text), role);
}

void
line_text_put(struct buf *to, struct bytes text, enum line_role role)
{
    if (must_be_coded(text, line_look_at(text), role))
        put_coded(to, text);
    else
        buf_put_bytes(to, text);
}

static void
line_put_text(struct buf *to, struct bytes text, enum line_role role)
{
    uint8_t seen = line_look_at(text);
    if (must_be_coded(text, seen, role))
        put_coded(to, text);
    else if ((seen & ESCAPED) == 0)
        buf_put_bytes(to, text);
    else
        for (size_t i = 0; i < text.size; i++) {
            if ((classes[text.at[i]] & ESCAPED) != 0) buf_put_u8(to, '\\');
            buf_put_u8(to, text.at[i]);
        }
}

/* --- lines ----------------------------------------------------------------------------------- */

static enum err
line_put_line(struct buf *to, const struct labelled_sample *sample, struct why *why)
{
    size_t from = to->size;
    if (sample->t_ms > LINE_TIME_MS_MAX || sample->t_ms < -LINE_TIME_MS_MAX)
        return why_set(why, ERR_INPUT, "time is outside the range of InfluxDB");
    /* A low estimate of the size. */
    if (!buf_reserve(to, sample->labels.size - sample->labels.size / 2)) return buf_error(to);
    /* Measurement and tags. */
    struct label label;
    struct cursor c = cursor_of(sample->labels);
    line_put_text(to, labels_get(sample->labels, bytes_of_text("__name__")), LINE_MEASUREMENT);
    while (labels_next(&c, &label)) {
        buf_put_u8(to, ',');
        line_put_text(to, label.name, LINE_TAG_KEY);
        buf_put_u8(to, '=');
        line_put_text(to, label.value, LINE_TAG_VALUE);
    }
    if (to->size - from + strlen(" histogram") > LINE_KEY_BYTES_MAX) {
        return why_set(why, ERR_INPUT, "name and labels take %zu bytes: InfluxDB allows at most %d",
                       to->size - from, LINE_KEY_BYTES_MAX);
    }
    /* The field. */
    char text[NUMBER_TEXT_BYTES];
    if (sample->histogram != NULL) {
        buf_put_text(to, " histogram=\"");
        size_t size = histogram_json_put_escaped(to, sample->histogram);
        buf_put_u8(to, '"');
        if (buf_error(to) == OK && size > LINE_TEXT_BYTES_MAX) {
            return why_set(
                why, ERR_INPUT,
                "histogram takes %zu bytes: InfluxDB allows at most %d in a string field", size,
                LINE_TEXT_BYTES_MAX);
        }
    } else if ((sample->bits >> 52 & 0x7ff) != 0x7ff) {
        buf_put_text(to, " value=");
        buf_put(to, text, number_print_json(sample->bits, text));
    } else {
        buf_put_text(to, " bits=\"");
        buf_put(to, text, hex_print_word(sample->bits, text));
        buf_put_u8(to, '"');
    }
    buf_put_u8(to, ' ');
    buf_put_int(to, sample->t_ms);
    buf_put_u8(to, '\n');
    return buf_error(to);
}

enum err
line_protocol_put(struct buf *to, const struct labelled_sample *sample, struct why *why)
{
    size_t before = to->size;
    enum err e = line_put_line(to, sample, why);
    if (e) to->size = before;
    return e;
}

/* --- and back --------------------------------------------------------------------------------- */

enum err
line_text_decode(struct buf *to, struct bytes text)
{
    size_t before = to->size;
    bool coded = text.size >= 2 && memcmp(text.at, "~%", 2) == 0;
    if (!coded) {
        buf_put_bytes(to, text);
        return buf_error(to);
    }
    for (size_t i = 2, step; i < text.size; i += step) {
        uint8_t c;
        step = percent_step(text.at + i, text.size - i, &c);
        if (step == 0) {
            to->size = before;
            return ERR_INPUT;
        }
        buf_put_u8(to, c);
    }
    if (buf_error(to)) to->size = before;
    return buf_error(to);
}
