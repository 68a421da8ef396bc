/* escape.c - see escape.h. */
#include "template/escape.h"

#include "base/text/hex.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"

void
tmpl_escape_html(struct bytes text, struct buf *to)
{
    static const struct {
        char from;
        const char *to;
    } words[] = {{'\0', UTF8_REPLACEMENT}, {'"', "&#34;"}, {'\'', "&#39;"},
                 {'&', "&amp;"},           {'<', "&lt;"},  {'>', "&gt;"}};
    enum { WORDS = sizeof words / sizeof *words };
    for (size_t i = 0; i < text.size && buf_error(to) == OK; i++) {
        unsigned k = 0;
        while (k < WORDS && text.at[i] != words[k].from) {
            k++;
        }
        if (k < WORDS)
            buf_put_text(to, words[k].to);
        else
            buf_put_u8(to, text.at[i]);
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
    for (size_t i = 0; i < text.size && buf_error(to) == OK; i++) {
        if (text.at[i] == ' ')
            buf_put_u8(to, '+');
        else
            buf_put_percent(to, bytes_of(text.at + i, 1), "");
    }
}
