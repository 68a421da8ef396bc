/* decimal.h - prints integers as decimal digits, fast enough for a million a second. */
#ifndef BASE_TEXT_DECIMAL_H
#define BASE_TEXT_DECIMAL_H

#include "base/buf.h"

enum { DECIMAL_BYTES = 20 }; /* enough for any 64-bit number with its sign */

/* Both return the bytes written; no NUL. */
static inline size_t
decimal_print_uint(uint64_t v, char *to)
{
    char text[DECIMAL_BYTES];
    size_t at = sizeof text;
    while (v >= 100) { /* two digits for one division */
        unsigned two = (unsigned)(v % 100);
        v /= 100;
        text[--at] = (char)('0' + two % 10);
        text[--at] = (char)('0' + two / 10);
    }
    if (v >= 10) {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    }
    text[--at] = (char)('0' + v);
    memcpy(to, text + at, sizeof text - at);
    return sizeof text - at;
}

static inline size_t
decimal_print_int(int64_t v, char *to)
{
    if (v >= 0) return decimal_print_uint((uint64_t)v, to);
    *to = '-';
    return 1 + decimal_print_uint(0 - (uint64_t)v, to + 1);
}

static inline void
buf_put_uint(struct buf *to, uint64_t v)
{
    char text[DECIMAL_BYTES];
    buf_put(to, text, decimal_print_uint(v, text));
}

static inline void
buf_put_int(struct buf *to, int64_t v)
{
    char text[DECIMAL_BYTES];
    buf_put(to, text, decimal_print_int(v, text));
}

#endif
