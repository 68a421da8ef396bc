/* statement.h - private to sql/: a statement, and how its tables and functions are registered. */
#ifndef SQL_STATEMENT_H
#define SQL_STATEMENT_H

#include <sqlite3.h>

#include "sql/sql.h"

struct sql {
    struct sql_options options;
    struct arena arena; /* of what lives as long as the statement */
    sqlite3 *db;
    sqlite3_stmt *statement;
    bool is_declaring;                /* our own CREATE VIRTUAL TABLE runs */
    bool lists_metrics, lists_tables; /* the statement reads the schema tables */
    uint64_t steps;                   /* since the control was looked at */
    enum err failed;                  /* the first error of a table, whose sentence is `why` */
    struct why why;
};

/* Makes the next row. */
MUST_CHECK enum err sql_step(struct sql *sql, bool *ret_row, struct why *why);

/* Notes the error of a table, and passes its sentence to SQLite. Returns the code for SQLite. */
int sql_fail(struct sql *sql, sqlite3_vtab *table, enum err e);
/* Declares the columns of a table that is being connected. */
int sql_declare(struct sql *sql, const char *text);
/* For functions. */
void sql_fail_function(sqlite3_context *context, const char *sentence);

/* Makes the text that a value has; NULL and other types give {NULL, 0}. A view of the value. */
static inline struct bytes
sql_text(sqlite3_value *value)
{
    if (sqlite3_value_type(value) != SQLITE_TEXT) return bytes_of(NULL, 0);
    const uint8_t *at = sqlite3_value_text(value);
    return bytes_of(at, (size_t)sqlite3_value_bytes(value));
}

static inline void
sql_result_text(sqlite3_context *context, struct bytes text)
{
    sqlite3_result_text64(context, (const char *)text.at, text.size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* --- tables/ ---------------------------------------------------------------------------------- */

/* Registers the tables. Returns the code of SQLite. */
int sql_add_tables(struct sql *sql);
/* Says whether a statement may read a table of the schema `main`. */
bool sql_is_table(const char *name);
/* The n-th name of them; NULL after the last. */
const char *sql_table_name(unsigned n);

/* --- functions/ ------------------------------------------------------------------------------- */

int sql_add_functions(struct sql *sql);
int sql_add_aggregates(struct sql *sql);
#define SQL_FUNCTION_FLAGS (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS)
/* Says whether a statement may call a function. */
bool sql_is_function(const char *name);

/* Compiles a pattern that is to be found anywhere in a text. Errors of matcher_new(). */
MUST_CHECK enum err sql_find_new(enum matcher_type type, struct bytes name, struct bytes pattern,
                                 struct budget *budget, struct matcher **ret, struct why *why);

#endif
