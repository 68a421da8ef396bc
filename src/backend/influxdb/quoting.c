/* quoting.c - see influxdb_reader.h. */
#include "backend/influxdb/influxdb_reader.h"

#include "base/text/utf8.h"

enum { PATTERN_BYTES_MAX = 4096 };

static bool
has_byte(struct bytes text, uint8_t byte)
{
    return text.size > 0 && memchr(text.at, byte, text.size) != NULL;
}

/* Returns false for invalid UTF-8, and for U+FFFD, by which responses replace it. */
static bool
is_whole(struct bytes text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    return utf8_valid(text) &&
           (text.size == 0 || memmem(text.at, text.size, replacement, 3) == NULL);
}

/* --- InfluxQL --------------------------------------------------------------------------------- */

bool
influxql_can_quote(struct bytes text)
{
    return is_whole(text) && !has_byte(text, 0) && !has_byte(text, '\r');
}

static void
put_escaped(struct buf *to, struct bytes text, char quote)
{
    buf_put_u8(to, (uint8_t)quote);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == '\n') {
            buf_put_text(to, "\\n");
            continue;
        }
        if (c == '\\' || c == (uint8_t)quote) buf_put_u8(to, '\\');
        buf_put_u8(to, c);
    }
    buf_put_u8(to, (uint8_t)quote);
}

void
influxql_put_name(struct buf *to, struct bytes name)
{
    put_escaped(to, name, '"');
}

void
influxql_put_text(struct buf *to, struct bytes text)
{
    put_escaped(to, text, '\'');
}

void
influxql_put_exact_regex(struct buf *to, struct bytes text)
{
    buf_put_text(to, "/^");
    for (size_t i = 0, step; i < text.size; i += step) {
        step = utf8_step(text.at + i, text.size - i);
        uint32_t c = step == 0 ? 0xfffd : utf8_get(text.at + i, step); /* so does Go */
        if (step == 0) step = 1;
        buf_printf(to, "\\x{%x}", c);
    }
    buf_put_text(to, "$/");
}

/* --- regexes ---------------------------------------------------------------------------------- */

bool
go_can_match(struct bytes pattern)
{
    if (pattern.size > PATTERN_BYTES_MAX || !is_whole(pattern)) return false;
    for (size_t i = 0; i < pattern.size; i++) {
        uint8_t c = pattern.at[i], next = i + 1 < pattern.size ? pattern.at[i + 1] : 0;
        if (c < ' ' || c == 0x7f) return false;
        if (c == '(' && next == '?' && (i + 2 == pattern.size || pattern.at[i + 2] != ':')) {
            return false;
        }
        if (c != '\\') continue;
        if (next == 'p' || next == 'P' || next == 'Q' || next == 'E' || next == 'C') return false;
        i++;
    }
    return true;
}

/* Between slashes \/ is a slash; every other backslash stays as it is. */
void
go_put_regex(struct buf *to, struct bytes pattern)
{
    buf_put_text(to, "/^(?s:");
    for (size_t i = 0; i < pattern.size; i++) {
        uint8_t c = pattern.at[i];
        if (c == '\\' && i + 1 < pattern.size) {
            buf_put_u8(to, '\\');
            buf_put_u8(to, pattern.at[++i]);
            continue;
        }
        if (c == '/') buf_put_u8(to, '\\');
        buf_put_u8(to, c);
    }
    buf_put_text(to, ")$/");
}
