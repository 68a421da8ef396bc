/* quoting.c - see influxdb_private.h. */
#include "backend/influxdb/influxdb_private.h"

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
        if (c == '(' && next == '?' && (i + 2 == pattern.size || pattern.at[i + 2] != ':'))
            return false;
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

/* --- stored names ----------------------------------------------------------------------------- */

/* Only texts that Firekeep would have written are decoded; other texts that look coded are not. */
enum err
stored_name_decode(struct bytes text, enum line_role role, struct buf *to)
{
    size_t before = to->size;
    if (!(text.size >= 2 && memcmp(text.at, "~%", 2) == 0)) {
        buf_put_bytes(to, text);
        return buf_error(to);
    }
    enum err e = line_text_decode(to, text);
    if (e && e != ERR_INPUT) return e;
    bool ours = e == OK;
    if (ours) {
        struct bytes name = bytes_of(to->at + before, to->size - before);
        struct buf again;
        buf_init(&again, to->budget, 4 * (size_t)LINE_KEY_BYTES_MAX + text.size);
        line_text_put(&again, name, role);
        e = buf_error(&again);
        ours = e == OK && bytes_equal(buf_bytes(&again), text);
        buf_fini(&again);
        if (e == ERR_NOMEM) return e;
    }
    if (ours) return OK;
    to->size = before;
    buf_put_bytes(to, text);
    return buf_error(to);
}

enum err
stored_names_of(struct bytes name, enum line_role role, struct buf *room,
                struct bytes ret_texts[STORED_NAMES_MAX], unsigned *ret_count)
{
    *ret_count = 0;
    if (!line_text_is_coded(name, role)) {
        ret_texts[(*ret_count)++] = name;
        return OK;
    }
    size_t from = room->size;
    struct buf plain;
    buf_init(&plain, room->budget, name.size + 1);
    enum err e = stored_name_decode(name, role, &plain);
    bool is_itself = e == OK && name.size > 0 && bytes_equal(buf_bytes(&plain), name);
    buf_fini(&plain);
    if (e) return e;
    /* Growing would move the views. */
    if (!buf_reserve(room, 3 * name.size + 2)) return buf_error(room);
    line_text_put(room, name, role);
    if (buf_error(room)) return buf_error(room);
    ret_texts[(*ret_count)++] = bytes_of(room->at + from, room->size - from);
    if (is_itself) ret_texts[(*ret_count)++] = name;
    return OK;
}
