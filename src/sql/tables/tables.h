/* tables.h - private to sql/tables/: what the virtual tables share. */
#ifndef SQL_TABLES_TABLES_H
#define SQL_TABLES_TABLES_H

#include "sql/statement.h"

struct sql_table;
struct sql_cursor;

/* --- table.c: a module of SQLite for all tables ------------------------------------------------
 */

enum cell_kind { CELL_NULL, CELL_INTEGER, CELL_REAL, CELL_TEXT };

/* A value of a row; texts are views that end with the next row. */
struct cell {
    enum cell_kind kind;
    union {
        int64_t integer;
        double real;
    };
    struct bytes text;
};

/* The kinds of columns, by the conditions that the view can answer. */
enum column_kind {
    COLUMN_OTHER, /* they are SQLite's alone */
    COLUMN_TIME,
    COLUMN_METRIC,
    COLUMN_SERIES,
    COLUMN_SELECTOR, /* the hidden argument: a selector of PromQL */
    COLUMN_ARGUMENT, /* hidden, and needed */
    COLUMN_LABEL,
};

enum { DECLARED_COLUMNS_MAX = 16 };

struct table_definition {
    const char *name, *columns, *key; /* as CREATE TABLE has them */
    enum column_kind kinds[DECLARED_COLUMNS_MAX];
    int count;   /* of these columns; those of labels follow */
    double rows; /* a guess, without conditions */
    /* Begins with the question that the conditions make, and the arguments in their order. */
    enum err (*begin)(struct sql_cursor *c, sqlite3_value **arguments, struct why *why);
    /* Sets the cells of the next row, or is_end. */
    enum err (*next)(struct sql_cursor *c, struct why *why);
};

struct sql_table {
    sqlite3_vtab base; /* first member */
    struct sql *sql;
    const struct table_definition *definition;
    struct bytes metric;  /* of a table of the schema `metric` */
    struct bytes *labels; /* names of those that are columns, sorted */
    uint32_t label_count;
    bool has_series;
    struct pushdown *plans;
    uint32_t plan_count;
};

/* Conditions with their values. */
struct question {
    int64_t min_ms, max_ms;
    struct matcher *matchers[300];
    uint32_t count;
    bool is_empty; /* no row can fit */
};

struct sql_cursor {
    sqlite3_vtab_cursor base; /* first member */
    struct sql_table *table;
    struct sql *sql;
    struct question question;
    struct matcher_set matchers;
    const struct pushdown *plan;
    struct query_request request; /* with what the conditions make */
    struct cell *cells;
    bool is_end;
    struct series_set *set;
    struct buf json, text; /* of the labels of the series, and its selector */

    struct sample_batch batch; /* samples, and bins */
    uint32_t at;
    int64_t step_ms;
    bool is_done; /* with the series */
    struct buf histogram;

    struct buf kept; /* rows that a sink gave, as cells one after the other */
    size_t kept_at;
    struct bytes name; /* of the label whose values are being kept */

    struct promql_tree *tree; /* promql() */
    struct promql_result *result;
    bool has_histograms; /* the points with histograms of a series come after the others */
};

static inline struct cell
text_cell_of(struct bytes text)
{
    return (struct cell){.kind = text.at == NULL ? CELL_NULL : CELL_TEXT, .text = text};
}

static inline struct cell
integer_cell(int64_t integer)
{
    return (struct cell){.kind = CELL_INTEGER, .integer = integer};
}

/* NaN is NULL. */
static inline struct cell
real_cell(uint64_t bits)
{
    double real = bits_double(bits);
    return (struct cell){.kind = real == real ? CELL_REAL : CELL_NULL, .real = real};
}

/* Sets the cells of these columns for a series. */
MUST_CHECK enum err sql_set_series_cells(struct sql_cursor *c, int series, int metric, int labels,
                                         struct bytes canonical);

/* --- push.c: conditions as times and matchers --------------------------------------------------
 */

enum { PUSHED_MAX = 32, ARGUMENTS_MAX = 4 };

/* A condition that is pushed down: argument number `i` of xFilter is its value. */
struct pushed_term {
    uint8_t op; /* SQLITE_INDEX_CONSTRAINT_* */
    bool is_in; /* the value is a list */
    enum column_kind kind;
    struct bytes label; /* of COLUMN_METRIC and COLUMN_LABEL */
};

struct pushdown {
    struct pushed_term terms[PUSHED_MAX];
    int count;
    int arguments[ARGUMENTS_MAX]; /* which terms these are */
    uint64_t used;                /* columns that the statement reads, by bits */
};

/* Chooses conditions, and describes them for EXPLAIN QUERY PLAN. Returns the code of SQLite. */
MUST_CHECK int sql_push_conditions(const struct sql_table *table, sqlite3_index_info *info,
                                   struct pushdown *ret);

/* Makes a question of the values. ERR_INPUT: a time is compared with a text, or a selector is
 * malformed; ERR_NOMEM, ERR_LIMIT. sql_question_fini() is required in any case. */
MUST_CHECK enum err sql_question_make(struct sql *sql, const struct pushdown *pushed,
                                      sqlite3_value **values, struct question *ret,
                                      struct why *why);
void sql_question_fini(struct question *question);

/* --- samples.c, bins.c, lists.c -----------------------------------------------------------------
 */

extern const struct table_definition sql_samples_definition, sql_bins_definition,
    sql_list_definitions[];
enum { LIST_DEFINITIONS = 5 };

/* Finds the labels that are columns of a metric's table. ERR_MISSING: there is no such metric. */
MUST_CHECK enum err sql_find_label_columns(struct sql_table *table);

#endif
