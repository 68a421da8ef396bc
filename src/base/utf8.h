/*
 * utf8.h - one step through UTF-8 text (RFC 3629: no surrogates, nothing above U+10FFFF, shortest
 * forms only).
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/bytes.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static inline bool
utf8_is_tail(uint8_t b)
{
    return (b & 0xc0) == 0x80;
}

/* The bytes of the character at `p`, of which `left` >= 1 may be read; 0 if there is none. */
static inline size_t
utf8_step(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || lead > 0xf4) return 0;
    if (left < 2 || !utf8_is_tail(p[1])) return 0;
    if (lead < 0xe0) return 2;
    if (lead == 0xe0 && p[1] < 0xa0) return 0; /* could be shorter */
    if (lead == 0xed && p[1] > 0x9f) return 0; /* a surrogate */
    if (left < 3 || !utf8_is_tail(p[2])) return 0;
    if (lead < 0xf0) return 3;
    if (lead == 0xf0 && p[1] < 0x90) return 0; /* could be shorter */
    if (lead == 0xf4 && p[1] > 0x8f) return 0; /* above U+10FFFF */
    if (left < 4 || !utf8_is_tail(p[3])) return 0;
    return 4;
}

#endif
