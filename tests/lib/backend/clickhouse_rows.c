/* clickhouse_rows.c - see clickhouse_rows.h. */
#include "lib/backend/clickhouse_rows.h"

void
put_row_text(struct buf *to, const char *text)
{
    buf_put_counted(to, bytes_of_text(text));
}

void
put_row_series(struct buf *to, const char *metric, const char *labels, uint64_t count,
               int64_t first_ms, int64_t last_ms)
{
    buf_put_u8(to, 0);
    put_row_text(to, metric);
    put_row_text(to, labels);
    buf_put_le64(to, count);
    buf_put_le64(to, (uint64_t)first_ms);
    buf_put_le64(to, (uint64_t)last_ms);
}

void
put_row_numbers(struct buf *to, unsigned count, const uint64_t *numbers)
{
    buf_put_varint(to, count);
    for (unsigned i = 0; i < count; i++)
        buf_put_le64(to, numbers[i]);
}

void
put_last_series(struct buf *to)
{
    size_t at = to->size;
    put_row_series(to, "", "", 0, 0, 0);
    if (to->size > at) to->at[at] = 1;
}

void
put_last_samples(struct buf *to)
{
    static const uint8_t last[] = {1, 0, 0, 0, 0, 0, 0, 0};
    buf_put(to, last, sizeof last);
}
