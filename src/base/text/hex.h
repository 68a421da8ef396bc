/*
 * hex.h - bytes and 64-bit words as hexadecimal digits, and back. Written in lower case, read in
 * both. Also percent-encoding.
 */
#ifndef BASE_TEXT_HEX_H
#define BASE_TEXT_HEX_H

#include "base/buf.h"

enum { HEX_WORD_BYTES = 16 };

/* Returns the value of a digit, or -1. */
static inline int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Prints HEX_WORD_BYTES digits, the highest first, without a NUL. Returns their number. */
static inline size_t
hex_print_word(uint64_t v, char *to)
{
    for (int i = HEX_WORD_BYTES - 1; i >= 0; i--, v >>= 4)
        to[i] = "0123456789abcdef"[v & 15];
    return HEX_WORD_BYTES;
}

/* False unless there are exactly HEX_WORD_BYTES digits. */
static inline bool
hex_parse_word(struct bytes text, uint64_t *ret_v)
{
    uint64_t v = 0;
    if (text.size != HEX_WORD_BYTES) return false;
    for (size_t i = 0; i < text.size; i++) {
        int digit = hex_digit(text.at[i]);
        if (digit < 0) return false;
        v = v << 4 | (uint64_t)digit;
    }
    *ret_v = v;
    return true;
}

/* Reads the number that a file's name begins with: exactly `digits` (1 to 16) digits in lower case.
 * Returns the rest of the name, or NULL if it begins otherwise. */
static inline const char *
hex_name_number(const char *name, unsigned digits, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < digits; i++) {
        int digit = name[i] >= 'A' && name[i] <= 'F' ? -1 : hex_digit((uint8_t)name[i]);
        if (digit < 0) return NULL; /* also at the end of the name */
        number = number << 4 | (uint64_t)digit;
    }
    *ret_number = number;
    return name + digits;
}

/* Prints two digits for each byte, and a NUL. */
static inline void
hex_print(struct bytes from, char *to)
{
    for (size_t i = 0; i < from.size; i++) {
        *to++ = "0123456789abcdef"[from.at[i] >> 4];
        *to++ = "0123456789abcdef"[from.at[i] & 15];
    }
    *to = 0;
}

static inline void
buf_put_hex(struct buf *to, struct bytes from)
{
    if (!buf_reserve(to, 2 * from.size)) return;
    for (size_t i = 0; i < from.size; i++) {
        to->at[to->size++] = (uint8_t) "0123456789abcdef"[from.at[i] >> 4];
        to->at[to->size++] = (uint8_t) "0123456789abcdef"[from.at[i] & 15];
    }
}

/* Reads digits into half as many bytes at `to`, which may be the memory of the digits. False if
 * their number is odd, or a character is not a digit. */
static inline bool
hex_parse(struct bytes text, uint8_t *to)
{
    if (text.size % 2 != 0) return false;
    for (size_t i = 0; i < text.size; i += 2) {
        int high = hex_digit(text.at[i]), low = hex_digit(text.at[i + 1]);
        if (high < 0 || low < 0) return false;
        *to++ = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Decodes the first byte of percent-encoded text, which is not empty. Returns how many characters
 * it takes, 0 for a % without two digits. */
static inline size_t
percent_step(const uint8_t *p, size_t left, uint8_t *ret)
{
    *ret = p[0];
    if (p[0] != '%') return 1;
    return left >= 3 && hex_parse(bytes_of(p + 1, 2), ret) ? 3 : 0;
}

/* Appends the bytes percent-encoded (RFC 3986, section 2), except letters, digits, "-._~" and the
 * characters of `also`. */
static inline void
buf_put_percent(struct buf *to, struct bytes from, const char *also)
{
    if (!buf_reserve(to, 3 * from.size)) return;
    for (size_t i = 0; i < from.size; i++) {
        uint8_t c = from.at[i], letter = c | 0x20;
        bool plain = (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') ||
                     (c != 0 && (strchr("-._~", c) != NULL || strchr(also, c) != NULL));
        if (plain) {
            to->at[to->size++] = c;
            continue;
        }
        to->at[to->size++] = '%';
        to->at[to->size++] = (uint8_t) "0123456789ABCDEF"[c >> 4];
        to->at[to->size++] = (uint8_t) "0123456789ABCDEF"[c & 15];
    }
}

#endif
