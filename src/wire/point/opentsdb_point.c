/* opentsdb_point.c - a point is written straight into the buffer, which is cut back if OpenTSDB has
 * no form for the point. */
#include "wire/point/opentsdb_point.h"

#include "base/buf.h"
#include "base/text/hex.h"
#include "wire/escaped_name.h"
#include "wire/number.h"
#include "wire/shape.h"

/* OpenTSDB reads 13 digits as milliseconds and at most 10 as seconds; other numbers are invalid. */
#define MS_MIN INT64_C(1000000000000)
#define MS_MAX INT64_C(9999999999999)

/* --- names and values ------------------------------------------------------------------------- */

/* Bytes that are written unchanged. */
#define TEN(first)                                                                   \
    [first] = 1, [first + 1] = 1, [first + 2] = 1, [first + 3] = 1, [first + 4] = 1, \
    [first + 5] = 1, [first + 6] = 1, [first + 7] = 1, [first + 8] = 1, [first + 9] = 1

static const uint8_t plain[256] = {['-'] = 1, ['.'] = 1, ['/'] = 1, TEN('0'),  TEN('A'),
                                   TEN('K'),  ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1,
                                   ['Y'] = 1, ['Z'] = 1, TEN('a'),  TEN('k'),  ['u'] = 1,
                                   ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1};

static void
put_byte(struct buf *to, uint8_t c)
{
    static const char digits[] = "0123456789ABCDEF";
    char text[3] = {'_', '_', 0};
    size_t size = 2;
    if (c == ':') {
        text[1] = '.';
    } else if (c != '_') {
        text[1] = digits[c >> 4];
        text[2] = digits[c & 15];
        size = 3;
    }
    buf_put(to, text, size);
}

void
opentsdb_value_put(struct buf *to, struct bytes text)
{
    for (size_t at = 0; at < text.size; at++) {
        size_t from = at;
        while (at < text.size && plain[text.at[at]] != 0)
            at++;
        buf_put(to, text.at + from, at - from);
        if (at < text.size) put_byte(to, text.at[at]);
    }
}

void
opentsdb_tag_put(struct buf *to, struct bytes name)
{
    if (name_is_plain(name, false) && !name_looks_escaped(name))
        buf_put_bytes(to, name);
    else
        escaped_name_put(to, name);
}

/* Reads the code after an underscore; -1 if invalid. */
static int
get_byte(struct cursor *c)
{
    if (c->at == c->end) return -1;
    uint8_t first = *c->at++;
    if (first == '_') return '_';
    if (first == '.') return ':';
    int high = first >= 'a' ? -1 : hex_digit(first);
    if (high < 0) return -1;
    int low = c->at == c->end || *c->at >= 'a' ? -1 : hex_digit(*c->at);
    if (low < 0) return high;
    c->at++;
    return high << 4 | low;
}

enum err
opentsdb_value_get(struct buf *to, struct bytes text)
{
    size_t before = to->size;
    struct cursor c = cursor_of(text);
    bool right = true;
    while (right && c.at != c.end) {
        uint8_t byte = *c.at++;
        int escaped = byte == '_' ? get_byte(&c) : byte;
        right = escaped >= 0 && (byte == '_' || plain[byte] != 0);
        if (right) buf_put_u8(to, (uint8_t)escaped);
    }
    enum err e = right ? buf_error(to) : ERR_INPUT;
    if (e) to->size = before;
    return e;
}

enum err
opentsdb_tag_get(struct buf *to, struct bytes name)
{
    size_t before = to->size;
    if (!escaped_name_get(to, name)) buf_put_bytes(to, name);
    if (buf_error(to)) to->size = before;
    return buf_error(to);
}

/* --- points ----------------------------------------------------------------------------------- */

/* Puts all labels but the name. */
static enum err
put_tags(struct buf *to, struct bytes labels, uint32_t max_tags, struct why *why)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    uint32_t count = 0;
    while (labels_next(&c, &label)) {
        if (bytes_equal_text(label.name, "__name__")) continue;
        buf_put_text(to, count == 0 ? "{\"" : ",\"");
        opentsdb_tag_put(to, label.name);
        buf_put_text(to, "\":\"");
        opentsdb_value_put(to, label.value);
        buf_put_u8(to, '"');
        count++;
    }
    if (count == 0) {
        return why_set(why, ERR_INPUT,
                       "series has no labels: OpenTSDB requires at least one; set external_labels");
    }
    if (count > max_tags) {
        return why_set(why, ERR_INPUT, "series has %u labels: OpenTSDB allows at most %u tags",
                       count, max_tags);
    }
    buf_put_text(to, "}}");
    return OK;
}

static enum err
put_point(struct buf *to, const struct labelled_sample *sample, uint32_t max_tags, struct why *why)
{
    struct bytes name = labels_get(sample->labels, bytes_of_text("__name__"));
    if (name.size == 0) return why_set(why, ERR_INPUT, "series has no metric name");
    /* A low estimate of the size. */
    if (!buf_reserve(to, sample->labels.size - sample->labels.size / 8)) return buf_error(to);
    buf_put_text(to, "{\"metric\":\"");
    opentsdb_value_put(to, name);
    buf_put_text(to, "\",\"timestamp\":");
    bool whole = sample->t_ms % 1000 == 0;
    if (sample->t_ms < 1000 || sample->t_ms > MS_MAX || (sample->t_ms < MS_MIN && !whole))
        return why_set(why, ERR_INPUT, "time is outside the range of OpenTSDB");
    buf_put_int(to, sample->t_ms < MS_MIN ? sample->t_ms / 1000 : sample->t_ms);
    buf_put_text(to, ",\"value\":");
    char text[NUMBER_TEXT_BYTES + 2];
    if ((sample->bits >> 52 & 0x7ff) == 0x7ff)
        return why_set(why, ERR_INPUT, "value is not finite: OpenTSDB stores only finite values");
    size_t size = number_print_json(sample->bits, text);
    bool digits_only = memchr(text, '.', size) == NULL && memchr(text, 'e', size) == NULL;
    double value = bits_double(sample->bits);
    if (digits_only && (value >= 0x1p53 || value <= -0x1p53)) {
        memcpy(text + size, ".0", 2); /* without it OpenTSDB reads a 64-bit integer */
        size += 2;
    }
    buf_put(to, text, size);
    buf_put_text(to, ",\"tags\":");
    enum err e = put_tags(to, sample->labels, max_tags, why);
    return e ? e : buf_error(to);
}

enum err
opentsdb_point_put(struct buf *to, const struct labelled_sample *sample, uint32_t max_tags,
                   struct why *why)
{
    size_t before = to->size;
    enum err e = put_point(to, sample, max_tags, why);
    if (e) to->size = before;
    return e;
}
