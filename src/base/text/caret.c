/* caret.c - see caret.h. */
#include "base/text/caret.h"

#include "base/text/ascii.h"
#include "base/text/utf8.h"

enum { INDENT = 2, WIDTH_MIN = 20, PLACE_MAX = 100 * 1000 * 1000 };

/* Reads a number and the colon after it. */
static bool
read_number(struct cursor *c, size_t *ret)
{
    const uint8_t *from = c->at;
    *ret = 0;
    for (; c->at != c->end && ascii_is_digit(*c->at) && *ret < PLACE_MAX; c->at++) {
        *ret = *ret * 10 + (size_t)(*c->at - '0');
    }
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

/* Writes each character into one column, unprintable ones as blanks: at most `room`, from `skip`
 * on. */
static void
caret_put_line(struct buf *to, struct bytes line, size_t skip, size_t room)
{
    for (size_t at = 0, step, n = 0; at < line.size && n < skip + room; at += step, n++) {
        step = utf8_step(line.at + at, line.size - at);
        if (step == 0) step = 1;
        if (n < skip) continue;
        if (utf8_plain(line.at + at, line.size - at) > 0)
            buf_put(to, line.at + at, step);
        else
            buf_put_u8(to, ' ');
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
    caret_put_line(to, line, skip, room);
    buf_printf(to, "\n%*s^\n", (int)(INDENT + place - skip), "");
}
