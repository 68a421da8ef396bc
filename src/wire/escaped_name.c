/* escaped_name.c - a byte that is not part of a character is written as a number above Unicode. */
#include "wire/escaped_name.h"

#include <stdio.h>

#include "base/text/hex.h"
#include "base/text/utf8.h"

enum {
    NO_CHARACTER = 0x110000,
    DIGITS_MAX = 6,
    REPLACEMENT = 0xfffd,
    ESCAPING_COUNT = ESCAPE_NOTHING + 1
};

bool
name_is_plain(struct bytes name, bool colon)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        bool right = i > 0 ? ascii_is_word(c) : ascii_is_letter(c) || c == '_';
        if (!right && !(c == ':' && colon)) return false;
    }
    return name.size > 0;
}

bool
name_looks_escaped(struct bytes name)
{
    return name.size >= 3 && memcmp(name.at, "U__", 3) == 0;
}

void
escaped_name_put(struct buf *to, struct bytes name)
{
    buf_put_text(to, "U__");
    for (size_t i = 0, step; i < name.size; i += step) {
        uint8_t c = name.at[i];
        step = 1;
        if (ascii_is_letter(c) || (ascii_is_digit(c) && i > 0)) {
            buf_put_u8(to, c);
        } else if (c == '_') {
            buf_put_text(to, "__");
        } else {
            char text[16];
            step = utf8_step(name.at + i, name.size - i);
            uint32_t number = step > 0 ? utf8_get(name.at + i, step) : (uint32_t)NO_CHARACTER + c;
            if (step == 0) step = 1;
            buf_put(to, text, (size_t)snprintf(text, sizeof text, "_%x_", number));
        }
    }
}

/* Reads the digits after an underscore and the underscore that ends them. False: they are not
 * there. */
static bool
get_number(struct cursor *c, uint32_t *ret_number)
{
    uint32_t number = 0, digits = 0;
    while (c->at != c->end && digits < DIGITS_MAX && hex_digit(*c->at) >= 0) {
        number = number << 4 | (uint32_t)hex_digit(*c->at++);
        digits++;
    }
    if (digits == 0 || cursor_u8(c) != '_') return false;
    *ret_number = number;
    return number < NO_CHARACTER + 0x100 && !(number >= 0xd800 && number < 0xe000);
}

bool
escaped_name_get(struct buf *to, struct bytes text)
{
    size_t before = to->size;
    if (!name_looks_escaped(text)) return false;
    struct cursor c = cursor_of(bytes_of(text.at + 3, text.size - 3));
    bool right = true;
    while (right && c.at != c.end) {
        uint8_t byte = *c.at++, bytes[UTF8_BYTES_MAX];
        uint32_t number = 0;
        if (byte != '_') {
            buf_put_u8(to, byte);
        } else if (c.at != c.end && *c.at == '_') {
            buf_put_u8(to, *c.at++);
        } else {
            right = get_number(&c, &number);
            if (right && number >= NO_CHARACTER)
                buf_put_u8(to, (uint8_t)number);
            else if (right)
                buf_put(to, bytes, utf8_put(bytes, number));
        }
    }
    right = right && buf_error(to) == OK;
    if (!right) to->size = before;
    return right;
}

/* --- names for scrapers ----------------------------------------------------------------------- */

static const char *const words[ESCAPING_COUNT] = {
    [ESCAPE_UNDERSCORES] = "underscores",
    [ESCAPE_DOTS] = "dots",
    [ESCAPE_VALUES] = "values",
    [ESCAPE_NOTHING] = "allow-utf-8",
};

const char *
name_escaping_word(enum name_escaping escaping)
{
    return words[escaping];
}

bool
name_escaping_parse(struct bytes word, enum name_escaping *ret)
{
    for (unsigned i = 0; i < ESCAPING_COUNT; i++) {
        if (!bytes_equal_text(word, words[i])) continue;
        *ret = (enum name_escaping)i;
        return true;
    }
    return false;
}

void
name_escape(struct buf *to, struct bytes name, enum name_escaping escaping)
{
    if (escaping == ESCAPE_NOTHING || name_is_plain(name, true)) {
        buf_put_bytes(to, name);
        return;
    }
    if (escaping == ESCAPE_VALUES) buf_put_text(to, "U__");
    for (size_t at = 0, step; at < name.size; at += step) {
        step = utf8_step(name.at + at, name.size - at);
        uint32_t c = step > 0 ? utf8_get(name.at + at, step) : REPLACEMENT;
        if (step == 0) step = 1;
        bool plain = c < 0x80 && (ascii_is_letter((uint8_t)c) || c == ':' ||
                                  (at > 0 && ascii_is_digit((uint8_t)c)));
        if (plain)
            buf_put_u8(to, (uint8_t)c);
        else if (escaping == ESCAPE_UNDERSCORES)
            buf_put_u8(to, '_');
        else if (c == '_')
            buf_put_text(to, "__");
        else if (escaping == ESCAPE_DOTS)
            buf_put_text(to, c == '.' ? "_dot_" : "__");
        else
            buf_printf(to, "_%x_", c);
    }
}
