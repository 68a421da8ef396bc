/* clickhouse_rows.h - writes rows in the form of ClickHouse's responses. For tests. */
#ifndef LIB_BACKEND_CLICKHOUSE_ROWS_H
#define LIB_BACKEND_CLICKHOUSE_ROWS_H

#include "base/buf.h"

void put_row_text(struct buf *to, const char *text);
void put_row_series(struct buf *to, const char *metric, const char *labels, uint64_t count,
                    int64_t first_ms, int64_t last_ms);
void put_row_numbers(struct buf *to, unsigned count, const uint64_t *numbers);
/* Puts the row that ends a response about series. */
void put_last_series(struct buf *to);
/* Puts the row that ends a response about samples. */
void put_last_samples(struct buf *to);

#endif
