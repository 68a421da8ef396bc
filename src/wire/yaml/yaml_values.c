/* yaml_values.c - see yaml_values.h. */
#include "wire/yaml/yaml_values.h"

#include "base/text/time_text.h"
#include "base/text/utf8.h"

enum err
reader_text(struct config_reader *r, const char *name, struct arena *arena, const char **ret)
{
    if (r->event.type != YAML_SCALAR_EVENT) return reader_expected(r, name, "text");
    struct bytes text = reader_is_null(r) ? bytes_of(NULL, 0) : reader_scalar(r);
    if (text.size > 0 && memchr(text.at, 0, text.size) != NULL) {
        return reader_complain(r, "%s: must not contain NUL characters", name);
    }
    char *copy = arena_alloc(arena, text.size + 1);
    if (copy == NULL) return reader_no_memory(r);
    if (text.size > 0) memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    *ret = copy;
    return OK;
}

enum err
reader_duration(struct config_reader *r, const char *name, int64_t *ret_ms)
{
    if (r->event.type == YAML_SCALAR_EVENT) {
        if (bytes_equal_text(reader_scalar(r), "0")) { /* the only duration without a unit */
            *ret_ms = 0;
            return OK;
        }
        if (time_parse_duration_api(reader_scalar(r), ret_ms)) return OK;
    }
    return reader_expected(r, name, "a duration such as 90s or 1h30m");
}

void
yaml_put_quoted(struct buf *to, const char *text)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
    buf_put_u8(to, '"');
    while (p != end) {
        size_t size = utf8_step(p, (size_t)(end - p));
        uint32_t c = size == 1   ? p[0]
                     : size == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                     : size == 3 ? (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)
                                 : ' ';
        if (size == 0) size = 1;
        /* Characters that YAML does not read unchanged: control characters, line ends of Unicode,
         * U+FEFF. */
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
            c >= 0xfffe) {
            buf_printf(to, "\\u%04x", c);
        } else {
            if (*p == '"' || *p == '\\') buf_put_u8(to, '\\');
            buf_put(to, p, size);
        }
        p += size;
    }
    buf_put_u8(to, '"');
}
