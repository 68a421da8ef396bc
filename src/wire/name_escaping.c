/* name_escaping.c - see name_escaping.h. */
#include "wire/name_escaping.h"

#include "base/text/ascii.h"
#include "base/text/utf8.h"
#include "wire/escaped_name.h"

enum { REPLACEMENT = 0xfffd, ESCAPING_COUNT = ESCAPE_NOTHING + 1 };

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

/* Appends the replacement of a character that `escaping` does not allow. */
static void
put_other(struct buf *to, uint32_t c, enum name_escaping escaping)
{
    if (escaping == ESCAPE_UNDERSCORES)
        buf_put_u8(to, '_');
    else if (escaping == ESCAPE_DOTS)
        buf_put_text(to, c == '.' ? "_dot_" : "__");
    else
        buf_printf(to, "_%x_", c);
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
        if (c == '_')
            buf_put_text(to, escaping == ESCAPE_UNDERSCORES ? "_" : "__");
        else if (plain)
            buf_put_u8(to, (uint8_t)c);
        else
            put_other(to, c, escaping);
    }
}
