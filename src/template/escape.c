/* escape.c - see escape.h. */
#include "template/escape.h"

#include "base/ascii.h"
#include "base/quote.h"
#include "base/utf8.h"

void
tmpl_escape_html(struct bytes text, struct buf *to)
{
    for (size_t i = 0; i < text.size && buf_error(to) == OK; i++) {
        switch (text.at[i]) {
        case 0:
            buf_put_text(to, UTF8_REPLACEMENT);
            break;
        case '"':
            buf_put_text(to, "&#34;");
            break;
        case '\'':
            buf_put_text(to, "&#39;");
            break;
        case '&':
            buf_put_text(to, "&amp;");
            break;
        case '<':
            buf_put_text(to, "&lt;");
            break;
        case '>':
            buf_put_text(to, "&gt;");
            break;
        default:
            buf_put_u8(to, text.at[i]);
        }
    }
}

void
tmpl_escape_js(struct bytes text, struct buf *to)
{
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned bytes;
        int32_t c = rune_get(text.at + i, text.size - i, &bytes);
        if (c == '\\' || c == '\'' || c == '"') {
            buf_put_u8(to, '\\');
            buf_put_u8(to, (uint8_t)c);
        } else if (c < ' ' || (c < 0x80 && strchr("<>&=", (int)c) != NULL) ||
                   (c >= 0x80 && !rune_is_printable(c))) {
            buf_printf(to, "\\u%04X", (unsigned)c);
        } else {
            buf_put(to, text.at + i, bytes);
        }
        i += bytes;
    }
}

void
tmpl_escape_query(struct bytes text, struct buf *to)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size && buf_error(to) == OK; i++) {
        uint8_t c = text.at[i];
        if (ascii_is_word(c) || c == '-' || c == '.' || c == '~') {
            buf_put_u8(to, c);
        } else if (c == ' ') {
            buf_put_u8(to, '+');
        } else {
            buf_put_u8(to, '%');
            buf_put_u8(to, (uint8_t)digits[c >> 4]);
            buf_put_u8(to, (uint8_t)digits[c & 15]);
        }
    }
}
