/* quote.c - Go's definition of printable characters: package unicode, IsPrint. */
#include "base/text/quote.h"

#include <stdio.h>

#include "base/text/hex.h"
#include "base/text/utf8.h"

enum { PIECE_BYTES = 8 };

/* Writes the escape of the character at `p`, which is not harmless. Returns the number of its
 * bytes. */
static size_t
escape(const uint8_t *p, size_t left, char to[PIECE_BYTES])
{
    size_t size = utf8_step(p, left);
    if (size > 1)
        snprintf(to, PIECE_BYTES, "\\u%04x", (unsigned)(utf8_get(p, size) & 0xffff));
    else
        snprintf(to, PIECE_BYTES, "\\x%02x", *p);
    return size == 0 ? 1 : size;
}

struct shown
shown_of(struct bytes text)
{
    enum { ROOM = sizeof(struct shown) - 8 }; /* leaves room for dots, quote and NUL */
    struct shown s = {"'"};
    size_t used = 1, at = 0;
    while (at < text.size && used + PIECE_BYTES - 2 <= ROOM) {
        char piece[PIECE_BYTES];
        size_t size = utf8_plain(text.at + at, text.size - at);
        if (size == 0) {
            at += escape(text.at + at, text.size - at, piece);
            used += (size_t)snprintf(s.text + used, sizeof s.text - used, "%s", piece);
            continue;
        }
        memcpy(s.text + used, text.at + at, size);
        used += size;
        at += size;
    }
    snprintf(s.text + used, sizeof s.text - used, "%s'", at < text.size ? "..." : "");
    return s;
}

void
buf_put_shown(struct buf *to, struct bytes text)
{
    for (size_t at = 0, size; at < text.size; at += size) {
        char piece[PIECE_BYTES];
        size = utf8_plain(text.at + at, text.size - at);
        if (size > 0) {
            buf_put(to, text.at + at, size);
            continue;
        }
        size = escape(text.at + at, text.size - at, piece);
        buf_put_text(to, piece);
    }
}

/* --- a caret ---------------------------------------------------------------------------------- */

enum { INDENT = 2, WIDTH_MIN = 20, PLACE_MAX = 100 * 1000 * 1000 };

/* Reads a number and the colon after it. */
static bool
read_number(struct cursor *c, size_t *ret)
{
    const uint8_t *from = c->at;
    *ret = 0;
    for (; c->at != c->end && ascii_is_digit(*c->at) && *ret < PLACE_MAX; c->at++)
        *ret = *ret * 10 + (size_t)(*c->at - '0');
    return c->at != from && c->at != c->end && *c->at++ == ':';
}

/* Lines are counted from 1. False: the text has fewer lines. */
static bool
find_line(struct bytes text, size_t number, struct bytes *ret)
{
    const uint8_t *at = text.at, *end = text.at + text.size;
    for (;; at++) {
        const uint8_t *stop = at == end ? NULL : memchr(at, '\n', (size_t)(end - at));
        if (number == 1) {
            *ret = bytes_of(at, (size_t)((stop == NULL ? end : stop) - at));
            return true;
        }
        if (stop == NULL || number == 0) return false;
        number--;
        at = stop;
    }
}

static size_t
count_characters(struct bytes text)
{
    size_t count = 0;
    for (size_t at = 0; at < text.size; count++) {
        size_t step = utf8_step(text.at + at, text.size - at);
        at += step == 0 ? 1 : step;
    }
    return count;
}

void
caret_put(struct buf *to, struct bytes text, struct bytes sentence, uint32_t width)
{
    struct cursor c = cursor_of(sentence);
    struct bytes line;
    size_t number, column; /* in bytes, from 1 */
    if (!read_number(&c, &number) || !read_number(&c, &column) || column == 0) return;
    if (!find_line(text, number, &line) || column > line.size + 1) return;
    size_t room = (width < WIDTH_MIN ? WIDTH_MIN : width) - INDENT;
    size_t all = count_characters(line);
    size_t place = count_characters(bytes_of(line.at, column - 1));
    size_t skip = all < room || place < room / 2 ? 0 : place - room / 2;
    buf_printf(to, "%*s", INDENT, "");
    /* Each character goes into one column, unprintable ones as blanks: at most `room`, from
     * `skip` on. */
    for (size_t at = 0, step, n = 0; at < line.size && n < skip + room; at += step, n++) {
        step = utf8_step(line.at + at, line.size - at);
        if (step == 0) step = 1;
        if (n < skip) continue;
        if (utf8_plain(line.at + at, line.size - at) > 0)
            buf_put(to, line.at + at, step);
        else
            buf_put_u8(to, ' ');
    }
    buf_printf(to, "\n%*s^\n", (int)(INDENT + place - skip), "");
}

/* --- string literals -------------------------------------------------------------------------- */

int32_t
rune_get(const uint8_t *p, size_t left, unsigned *ret_bytes)
{
    size_t size = utf8_step(p, left);
    *ret_bytes = size == 0 ? 1 : (unsigned)size;
    return size == 0 ? RUNE_BAD : (int32_t)utf8_get(p, size);
}

/* Beyond ASCII: separators, formats, surrogates and what is for private use, as ranges. */
bool
rune_is_printable(int32_t c)
{
    static const struct {
        int32_t first, last;
    } hidden[] = {{0x80, 0xa0},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},
                  {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x1680, 0x1680},   {0x180e, 0x180e},
                  {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},
                  {0xd800, 0xf8ff},   {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},
                  {0xfffe, 0xffff},   {0x110bd, 0x110bd}, {0x1d173, 0x1d17a}, {0x1fffe, 0x1ffff},
                  {0xe0000, 0x10ffff}};
    if (c < 0x80) return c >= ' ' && c != 0x7f;
    for (unsigned i = 0; i < sizeof hidden / sizeof *hidden && hidden[i].first <= c; i++)
        if (c <= hidden[i].last) return false;
    return true;
}

static void
put_escaped(struct buf *to, int32_t c, uint8_t quote)
{
    static const char names[] = "abtnvfr"; /* 7 to 13 */
    uint8_t text[UTF8_BYTES_MAX];
    if (c == quote || c == '\\')
        buf_printf(to, "\\%c", (char)c);
    else if (rune_is_printable(c))
        buf_put(to, text, utf8_put(text, (uint32_t)c));
    else if (c >= 7 && c <= 13)
        buf_printf(to, "\\%c", names[c - 7]);
    else if (c < 0x80)
        buf_printf(to, "\\x%02x", (unsigned)c);
    else
        buf_printf(to, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

void
quote_text(struct buf *to, struct bytes text)
{
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned bytes;
        int32_t c = rune_get(text.at + i, text.size - i, &bytes);
        if (c == RUNE_BAD && bytes == 1)
            buf_printf(to, "\\x%02x", text.at[i]);
        else
            put_escaped(to, c, '"');
        i += bytes;
    }
    buf_put_u8(to, '"');
}

void
quote_rune(struct buf *to, int32_t rune)
{
    buf_put_u8(to, '\'');
    put_escaped(to, rune == RUNE_NONE ? RUNE_BAD : rune, '\'');
    buf_put_u8(to, '\'');
}

void
quote_code_point(struct buf *to, int32_t rune)
{
    uint8_t text[UTF8_BYTES_MAX];
    int32_t c = rune == RUNE_NONE ? RUNE_BAD : rune;
    buf_printf(to, "U+%04X", (unsigned)c);
    if (!rune_is_printable(c)) return;
    buf_put_text(to, " '");
    buf_put(to, text, utf8_put(text, (uint32_t)c));
    buf_put_u8(to, '\'');
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool
take_digits(struct cursor *c, unsigned count, unsigned base, uint32_t *ret)
{
    uint32_t v = 0;
    if (cursor_left(c) < count) return false;
    for (unsigned i = 0; i < count; i++) {
        int digit = hex_digit(*c->at++);
        if (digit < 0 || (unsigned)digit >= base) return false;
        v = v * base + (unsigned)digit;
    }
    *ret = v;
    return true;
}

bool
quote_take_escape(struct cursor *c, uint8_t quote, struct buf *to)
{
    static const char names[] = "abfnrtv\\", meanings[] = "\a\b\f\n\r\t\v\\";
    uint8_t text[UTF8_BYTES_MAX];
    uint32_t v = 0;
    if (cursor_left(c) == 0) return false;
    uint8_t first = *c->at;
    if (first >= '0' && first <= '7') {
        if (!take_digits(c, 3, 8, &v) || v > 0xff) return false;
        buf_put_u8(to, (uint8_t)v);
        return true;
    }
    c->at++;
    const char *found = first == 0 ? NULL : strchr(names, first);
    if (found != NULL || first == quote) {
        buf_put_u8(to, found != NULL ? (uint8_t)meanings[found - names] : quote);
        return true;
    }
    if (first == 'x') {
        if (!take_digits(c, 2, 16, &v)) return false;
        buf_put_u8(to, (uint8_t)v);
        return true;
    }
    if ((first != 'u' && first != 'U') || !take_digits(c, first == 'u' ? 4 : 8, 16, &v))
        return false;
    if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return false;
    buf_put(to, text, utf8_put(text, v));
    return true;
}

bool
quote_read(struct bytes literal, struct buf *to)
{
    if (literal.size < 2) return false;
    uint8_t quote = literal.at[0];
    if ((quote != '"' && quote != '\'' && quote != '`') || literal.at[literal.size - 1] != quote)
        return false;
    struct cursor c = cursor_of(bytes_of(literal.at + 1, literal.size - 2));
    while (c.at != c.end) {
        uint8_t next = *c.at++;
        if (next == quote || (next == '\n' && quote != '`')) return false;
        if (next != '\\' || quote == '`')
            buf_put_u8(to, next);
        else if (!quote_take_escape(&c, quote, to))
            return false;
    }
    return buf_error(to) == OK;
}
