/*
 * sql.h - SQL over samples: a statement of SQLite, whose tables are views of an answerer
 * (docs/sql.md). One statement may read, and nothing else.
 *
 * A statement has a database of its own, in memory, without content: tables are declared when the
 * statement names them, and rows are made when it asks for them.
 *
 * Threads: a statement belongs to one. Memory: all that SQLite takes for a statement is charged to
 * its budget.
 */
#ifndef SQL_SQL_H
#define SQL_SQL_H

#include "base/text/json.h"
#include "model/select.h"
#include "promql/promql.h"

struct sql_options {
    struct env *env;
    struct view *view;            /* outlives the statement */
    struct query_request request; /* has the tenant and the control; of all times */
    struct budget *budget;
    struct promql_options promql; /* for promql(): look-back, features and so on */
    int64_t now_ms;
};

struct sql; /* a statement */

/* Prepares the statement in `text`. ERR_INPUT: it is malformed, reads what it may not, or is more
 * than one; ERR_LIMIT, ERR_NOMEM; errors of the view. */
MUST_CHECK enum err sql_new(const struct sql_options *options, struct bytes text, struct sql **ret,
                            struct why *why);
/* NULL is fine. */
void sql_free(struct sql *sql);

/* Binds parameters: a JSON array of the values of ?1, ?2..., or an object with those of :NAME,
 * $NAME and @NAME. ERR_INPUT: it is neither, or names a parameter that the statement has not;
 * ERR_NOMEM. */
MUST_CHECK enum err sql_bind(struct sql *sql, struct bytes json, struct why *why);

enum sql_format {
    SQL_JSON,  /* {"columns": [...], "rows": [[...], ...], ...} */
    SQL_JSONL, /* an object for each row, and one for the end */
    SQL_CSV,   /* RFC 4180 */
    SQL_PARQUET,
    SQL_ARROW, /* a stream of Apache Arrow */
    SQL_FORMATS
};
/* "json", ...; NULL for SQL_FORMATS. And its media type. */
const char *sql_format_word(enum sql_format format);
const char *sql_format_type(enum sql_format format);

/* Runs the statement, and appends its rows to `to`. Calls `send` each time that it has a piece of
 * some 64 KiB, which may send and clear it; and `put_end` in the object at the end of JSON, for
 * more members. Errors as of sql_new(), and of `send`. */
struct sql_target {
    struct buf *to;
    enum err (*send)(void *context);
    void (*put_end)(void *context, struct json *json);
    void *context;
};
MUST_CHECK enum err sql_write(struct sql *sql, enum sql_format format,
                              const struct sql_target *target, struct why *why);

#endif
