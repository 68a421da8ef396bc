/* ascii.h - classifies bytes as ASCII characters, independent of the locale. */
#ifndef BASE_TEXT_ASCII_H
#define BASE_TEXT_ASCII_H

#include <stdbool.h>
#include <stdint.h>

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

#endif
