/* proto_text.c - see proto_text.h. */
#include "lib/wire/proto_text.h"

#include <assert.h>
#include <stdlib.h>

static const char *
proto_text_item(struct buf *to, const char *p)
{
    char *end;
    if (*p == '\'') {
        const char *close = strchr(p + 1, '\'');
        assert(close != NULL);
        buf_put(to, p + 1, (size_t)(close - p - 1));
        return close + 1;
    }
    if (*p == '=') {
        buf_put_varint(to, p[1] == '-' ? (uint64_t)strtoll(p + 1, &end, 10)
                                       : strtoull(p + 1, &end, 10));
        return end;
    }
    if (*p == '~') {
        buf_put_zigzag(to, strtoll(p + 1, &end, 10));
        return end;
    }
    if (*p == '#') {
        buf_put_le64(to, double_bits(strtod(p + 1, &end)));
        return end;
    }
    char hex[3] = {p[0], p[1], 0};
    buf_put_u8(to, (uint8_t)strtoul(hex, &end, 16));
    assert(end == hex + 2);
    return p + 2;
}

const char *
proto_text(struct buf *to, const char *p)
{
    while (*p != '\0' && *p != '}') {
        if (*p == ' ') {
            p++;
        } else if (*p == '{') {
            struct buf inner;
            buf_init(&inner, NULL, 64 << 20);
            p = proto_text(&inner, p + 1);
            assert(*p == '}');
            p++;
            buf_put_counted(to, buf_bytes(&inner));
            buf_fini(&inner);
        } else {
            p = proto_text_item(to, p);
        }
    }
    return p;
}
