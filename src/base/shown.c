/* shown.c - see shown.h. */
#include "base/shown.h"

#include <stdio.h>

#include "base/utf8.h"

struct shown
shown_of(struct bytes text)
{
    enum { ROOM = sizeof(struct shown) - 8, PIECE_BYTES_MAX = 4 }; /* then dots, quote, end */
    struct shown s = {"'"};
    size_t used = 1, at = 0;
    while (at < text.size && used + PIECE_BYTES_MAX <= ROOM) {
        size_t size = utf8_plain(text.at + at, text.size - at);
        if (size == 0) {
            used += (size_t)snprintf(s.text + used, sizeof s.text - used, "\\x%02x", text.at[at++]);
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
        size = utf8_plain(text.at + at, text.size - at);
        if (size > 0)
            buf_put(to, text.at + at, size);
        else
            buf_printf(to, "\\x%02x", text.at[at]);
        if (size == 0) size = 1;
    }
}
