/*
 * clickhouse_row_reader.h - reads the rows that wire/point/clickhouse_row.h writes. For tests and
 * fuzzers, which check that they lose nothing.
 */
#ifndef LIB_WIRE_CLICKHOUSE_ROW_READER_H
#define LIB_WIRE_CLICKHOUSE_ROW_READER_H

#include "base/text/hex.h"
#include "lib/wire/random_labels.h"
#include "wire/point/clickhouse_row.h"

struct clickhouse_row {
    struct bytes metric;
    struct bytes labels; /* the text */
    int64_t t_ms;
    uint64_t value_bits;
    uint64_t bits;
    struct bytes histogram;
    int64_t start_ms;
};

/* Reads the next row, views of the message. Returns false at its end, or if the row is cut off:
 * c->bad. */
bool clickhouse_row_next(struct cursor *c, bool with_start, struct clickhouse_row *ret_row);

/*
 * Appends the canonical labels that `text` and the metric's name are. Returns false if the text is
 * not one that the encoder writes; `to` may have grown then.
 */
bool clickhouse_labels_read(struct bytes metric, struct bytes text, struct buf *to);

#endif
