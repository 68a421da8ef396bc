/* quoting.c - see table.h. */
#include "backend/clickhouse/table.h"

/* All other bytes are written as they are, also line feeds and invalid UTF-8. NUL is written as \0,
 * since some versions take it for the end of the statement. */
void
clickhouse_escaped_put(struct buf *to, char quote, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == (uint8_t)quote || c == '\\' || c == 0) buf_put_u8(to, '\\');
        buf_put_u8(to, c == 0 ? '0' : c);
    }
}

void
clickhouse_quoted_put(struct buf *to, char quote, struct bytes text)
{
    buf_put_u8(to, (uint8_t)quote);
    clickhouse_escaped_put(to, quote, text);
    buf_put_u8(to, (uint8_t)quote);
}
