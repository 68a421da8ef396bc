/* output.h - private to sql/: the rows of a statement, in the forms of answers. */
#ifndef SQL_OUTPUT_OUTPUT_H
#define SQL_OUTPUT_OUTPUT_H

#include "sql/statement.h"

/* Write one form. Arguments and errors are those of sql_write(). */
struct sql_output {
    struct sql *sql;
    const struct sql_target *target;
    struct buf *to; /* the target's */
    int columns;
    uint64_t rows;
};

MUST_CHECK enum err sql_write_json(struct sql_output *out, struct why *why);
MUST_CHECK enum err sql_write_jsonl(struct sql_output *out, struct why *why);
MUST_CHECK enum err sql_write_csv(struct sql_output *out, struct why *why);
MUST_CHECK enum err sql_write_parquet(struct sql_output *out, struct why *why);
MUST_CHECK enum err sql_write_arrow(struct sql_output *out, struct why *why);

/* Goes to the next row; sends what is there when it is a piece. */
MUST_CHECK enum err sql_output_next(struct sql_output *out, bool *ret_row, struct why *why);
/* Appends bytes, and sends pieces. */
MUST_CHECK enum err sql_output_send(struct sql_output *out, struct bytes bytes);
/* Returns the word of a column's type: declared, or that of its value in the present row if there
 * is one. */
const char *sql_output_type(const struct sql_output *out, int column, bool has_row);
/* Returns the name of a column. */
struct bytes sql_output_name(const struct sql_output *out, int column);

#endif
