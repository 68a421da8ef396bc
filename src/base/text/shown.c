/* shown.c - see shown.h. */
#include "base/text/shown.h"

#include <stdio.h>

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
