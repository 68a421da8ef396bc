/* columns.h - private to sql/output/: rows of a statement as columns, a batch at a time. */
#ifndef SQL_OUTPUT_COLUMNS_H
#define SQL_OUTPUT_COLUMNS_H

#include "sql/output/output.h"

enum { BATCH_ROWS_MAX = 128 * 1024, BATCH_BYTES_MAX = 16 << 20 };

enum sql_type {
    TYPE_UNKNOWN, /* only NULL until now */
    TYPE_INTEGER,
    TYPE_TIMESTAMP, /* milliseconds, UTC */
    TYPE_REAL,
    TYPE_TEXT,
    TYPE_BLOB,
};

struct sql_column {
    struct bytes name;
    enum sql_type type;
    struct buf valid;   /* a bit for each row, from the lowest: it is not NULL */
    struct buf values;  /* numbers: 8 bytes for each row; else the bytes of all */
    struct buf offsets; /* of texts and blobs: 32 bits for the beginning of each, and the end */
    uint32_t null_count;
};

struct sql_batch {
    struct sql_column *columns;
    int count;
    uint32_t rows;
    bool has_types; /* a batch was read: types stay */
};

/* Rows of one batch have the types of the first: a column of integers and reals is one of reals,
 * one without values is of texts. Takes memory of the statement. ERR_NOMEM. */
MUST_CHECK enum err sql_batch_init(struct sql_batch *batch, struct sql_output *out);
void sql_batch_fini(struct sql_batch *batch, struct sql_output *out);
/* Reads rows until the batch is full or the last one; *ret_end. ERR_INPUT: a value is not of its
 * column's type; errors of sql_output_next(). */
MUST_CHECK enum err sql_batch_read(struct sql_batch *batch, struct sql_output *out, bool *ret_end,
                                   struct why *why);

static inline bool
sql_column_has(const struct sql_column *column, uint32_t row)
{
    return (column->valid.at[row / 8] >> row % 8 & 1) != 0;
}

/* Returns a text or a blob. */
static inline struct bytes
sql_column_bytes(const struct sql_column *column, uint32_t row)
{
    uint32_t at[2];
    memcpy(at, column->offsets.at + (size_t)row * 4, sizeof at);
    return bytes_of(column->values.at + at[0], at[1] - at[0]);
}

#endif
