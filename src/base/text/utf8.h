/*
 * utf8.h - classifies ASCII characters, independent of the locale, and steps through UTF-8 text
 * (RFC 3629: no surrogates, nothing above U+10FFFF, shortest forms only).
 */
#ifndef BASE_TEXT_UTF8_H
#define BASE_TEXT_UTF8_H

#include "base/bytes.h"

static inline bool
ascii_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline bool
ascii_is_letter(uint8_t c)
{
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'z';
}

/* Letters, digits, underscore. */
static inline bool
ascii_is_word(uint8_t c)
{
    return ascii_is_letter(c) || ascii_is_digit(c) || c == '_';
}

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static inline bool
utf8_is_tail(uint8_t b)
{
    return (b & 0xc0) == 0x80;
}

/* Returns the number of bytes of the character at `p`, of which `left` >= 1 may be read; 0 if it is
 * not a character. */
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

enum { UTF8_BYTES_MAX = 4 };

/* Writes the character of that number, at most 0x10ffff and not a surrogate; `to` has room for
 * UTF8_BYTES_MAX. Returns the number of bytes. */
static inline size_t
utf8_put(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* Returns the beginning of a text: at most so many bytes, in whole characters. */
static inline struct bytes
utf8_cut(struct bytes text, size_t size_max)
{
    size_t size = text.size < size_max ? text.size : size_max;
    while (size > 0 && size < text.size && utf8_is_tail(text.at[size]))
        size--;
    return bytes_of(text.at, size);
}

/* Returns the number of the character of `size` bytes that utf8_step() found. */
static inline uint32_t
utf8_get(const uint8_t *p, size_t size)
{
    if (size == 1) return p[0];
    uint32_t c = p[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

/* True for invisible characters that change how others are shown: they reverse the direction of
 * text, join or split words and lines. All are below U+10000. */
static inline bool
utf8_is_hidden(uint32_t c)
{
    static const struct {
        uint16_t first, last;
    } hidden[] = {{0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200f},
                  {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}};
    for (unsigned i = 0; i < sizeof hidden / sizeof *hidden && hidden[i].first <= c; i++)
        if (c <= hidden[i].last) return true;
    return false;
}

/* Returns the number of bytes of the character at `p` if it is harmless on a terminal. 0 for
 * control characters, also those of C1 (U+0080 to U+009F), which terminals obey, for hidden ones,
 * and for bytes that are not UTF-8. */
static inline size_t
utf8_plain(const uint8_t *p, size_t left)
{
    size_t size = utf8_step(p, left);
    uint32_t c = size == 0 ? 0 : utf8_get(p, size);
    return c < ' ' || (c >= 0x7f && c < 0xa0) || utf8_is_hidden(c) ? 0 : size;
}

/* Words overlap at the end, so that there is no loop over single bytes. */
static inline bool
utf8_is_ascii(struct bytes text)
{
    const uint64_t highs = 0x8080808080808080u;
    if (text.size >= 8) {
        const uint8_t *last = text.at + text.size - 8;
        uint64_t seen = load_le64(last);
        for (const uint8_t *at = text.at; at < last; at += 8)
            seen |= load_le64(at);
        return (seen & highs) == 0;
    }
    if (text.size >= 4)
        return ((load_le32(text.at) | load_le32(text.at + text.size - 4)) & (uint32_t)highs) == 0;
    uint8_t seen = 0;
    for (size_t i = 0; i < text.size; i++)
        seen |= text.at[i];
    return seen < 0x80;
}

/* True if all of it is UTF-8. */
static inline bool
utf8_valid(struct bytes text)
{
    if (utf8_is_ascii(text)) return true;
    const uint8_t *at = text.at;
    size_t left = text.size;
    while (left > 0) {
        while (left >= 8 && (load_le64(at) & 0x8080808080808080u) == 0) {
            at += 8;
            left -= 8;
        }
        if (left == 0) break;
        size_t step = utf8_step(at, left);
        if (step == 0) return false;
        at += step;
        left -= step;
    }
    return true;
}

#endif
