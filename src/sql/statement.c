/*
 * statement.c - see sql.h.
 *
 *     text -> prepare -> "no such table: metric.up" -> declare it -> prepare -> ... -> step, step
 *
 * SQLite is initialised by the first statement. Its memory is charged to the budget of the
 * statement that the thread works for, which each block names: a block may be freed by another one.
 *
 * SQLite's authorizer decides what a statement may do: it selects, reads the tables here and
 * in the schema `metric`, and calls the functions of a list (functions/). What it may cost is
 * bounded by its budget, by SQLite's limits, and by the control of the query, which the tables ask
 * for rows and the progress handler for steps.
 */
#include "sql/statement.h"

#include <assert.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text/quote.h"

enum {
    STATEMENT_BYTES_MAX = 1 << 20,
    VALUE_BYTES_MAX = 1 << 20,
    DECLARED_MAX = 64, /* tables that a statement may join */
    LISTED_MAX = 2000, /* metrics that the schema table shows */
    STEPS_EACH = 1000,
};

/* --- memory ----------------------------------------------------------------------------------- */

static _Thread_local struct budget *statement_budget;

struct sql_block {
    struct budget *budget;
    size_t size; /* without this */
};
_Static_assert(sizeof(struct sql_block) == 16, "what SQLite gets is aligned to 8");

static void *
block_alloc(int size)
{
    struct sql_block *block = mem_alloc(statement_budget, sizeof *block + (size_t)size);
    if (block == NULL) return NULL;
    *block = (struct sql_block){statement_budget, (size_t)size};
    return block + 1;
}

static void
block_free(void *memory)
{
    struct sql_block *block = memory;
    if (block-- != NULL) mem_free(block->budget, block, sizeof *block + block->size);
}

static void *
block_resize(void *memory, int size)
{
    struct sql_block *block = (struct sql_block *)memory - 1;
    block =
        mem_resize(block->budget, block, sizeof *block + block->size, sizeof *block + (size_t)size);
    if (block == NULL) return NULL;
    block->size = (size_t)size;
    return block + 1;
}

static int
block_size(void *memory)
{
    return (int)((struct sql_block *)memory)[-1].size;
}

static int
round_size(int size)
{
    return (size + 7) & ~7;
}

static int
no_start(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void
no_stop(void *context)
{
    (void)context;
}

static int initialised;

static void
initialise(void)
{
    static const sqlite3_mem_methods methods = {block_alloc, block_free, block_resize, block_size,
                                                round_size,  no_start,   no_stop,      NULL};
    initialised = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    if (initialised == SQLITE_OK) initialised = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (initialised == SQLITE_OK) initialised = sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    if (initialised == SQLITE_OK) initialised = sqlite3_initialize();
}

/* SQLite works between these two for the statement. */
static struct budget *
statement_enter(struct sql *sql)
{
    struct budget *before = statement_budget;
    statement_budget = sql->options.budget;
    return before;
}

static void
statement_leave(struct budget *before)
{
    statement_budget = before;
}

/* --- errors ----------------------------------------------------------------------------------- */

int
sql_fail(struct sql *sql, sqlite3_vtab *table, enum err e)
{
    if (e == OK) return SQLITE_OK;
    if (sql->failed == OK) sql->failed = e;
    if (e == ERR_NOMEM) return SQLITE_NOMEM;
    sqlite3_free(table->zErrMsg);
    table->zErrMsg = sqlite3_mprintf("%s", why_text(&sql->why, e));
    return SQLITE_ERROR;
}

void
sql_fail_function(sqlite3_context *context, const char *sentence)
{
    sqlite3_result_error(context, sentence, -1);
}

/* Makes an error of a code of SQLite. */
static enum err
statement_error(struct sql *sql, int code, struct why *why)
{
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return OK;
    if (sql->failed != OK) {
        *why = sql->why;
        return sql->failed;
    }
    if (code == SQLITE_NOMEM) return why_set(why, ERR_NOMEM, "not enough memory for the statement");
    enum err e = code == SQLITE_TOOBIG ? ERR_LIMIT : ERR_INPUT;
    return why_set(why, e, "%s", sqlite3_errmsg(sql->db));
}

/* --- what a statement may do ------------------------------------------------------------------ */

static bool
is_schema_table(const char *name)
{
    return strcmp(name, "sqlite_master") == 0 || strcmp(name, "sqlite_schema") == 0;
}

static int
authorize(void *context, int action, const char *one, const char *two, const char *schema,
          const char *inner)
{
    struct sql *sql = context;
    (void)inner;
    if (sql->is_declaring) return SQLITE_OK;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_FUNCTION:
        return two != NULL && sql_is_function(two) ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_READ:
        if (schema != NULL && is_schema_table(one)) {
            bool is_metric = strcmp(schema, "metric") == 0;
            if (is_metric)
                sql->lists_metrics = true;
            else
                sql->lists_tables = true;
            return SQLITE_OK;
        }
        if (schema != NULL && strcmp(schema, "metric") == 0) return SQLITE_OK;
        /* count(*) reads no column, and has the table as the statement names it. All there are,
         * but for those of pragmas, are ours: the others were dropped. */
        if (schema == NULL && two[0] == '\0')
            return sqlite3_strnicmp(one, "pragma_", 7) == 0 ? SQLITE_DENY : SQLITE_OK;
        return sql_is_table(one) ? SQLITE_OK : SQLITE_DENY;
    default:
        return SQLITE_DENY;
    }
}

/* Looks at the control from time to time. */
static int
progress(void *context)
{
    struct sql *sql = context;
    if (sql->failed != OK) return 1;
    sql->failed = query_control_check(sql->options.request.control, &sql->why);
    return sql->failed != OK;
}

static void
set_limits(sqlite3 *db)
{
    static const struct {
        int id, most;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX},
        {SQLITE_LIMIT_SQL_LENGTH, STATEMENT_BYTES_MAX},
        {SQLITE_LIMIT_COLUMN, 1000},
        {SQLITE_LIMIT_EXPR_DEPTH, 200},
        {SQLITE_LIMIT_COMPOUND_SELECT, 100},
        {SQLITE_LIMIT_VDBE_OP, 100000},
        {SQLITE_LIMIT_FUNCTION_ARG, 100},
        {SQLITE_LIMIT_ATTACHED, 1},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 1000},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++)
        sqlite3_limit(db, limits[i].id, limits[i].most);
}

/* --- tables that a statement names ------------------------------------------------------------ */

/* Declares a table: a metric, or one of the schema `main` for the schema table to show. */
static int
declare(struct sql *sql, const char *schema, struct bytes name, const char *module)
{
    char *text = sqlite3_mprintf("CREATE VIRTUAL TABLE IF NOT EXISTS %s.\"%.*w\" USING %s", schema,
                                 (int)name.size, (const char *)name.at, module);
    if (text == NULL) return SQLITE_NOMEM;
    sql->is_declaring = true;
    int code = sqlite3_exec(sql->db, text, NULL, NULL, NULL);
    sql->is_declaring = false;
    sqlite3_free(text);
    return code;
}

int
sql_declare(struct sql *sql, const char *text)
{
    bool before = sql->is_declaring; /* our CREATE VIRTUAL TABLE may run */
    sql->is_declaring = true;
    int code = sqlite3_declare_vtab(sql->db, text);
    sql->is_declaring = before;
    return code;
}

/* Finds the name in "no such table: metric.NAME", and copies it. */
static bool
find_missing(struct sql *sql, struct bytes *ret)
{
    static const char begin[] = "no such table: ", schema[] = "metric.";
    const char *text = sqlite3_errmsg(sql->db);
    if (strncmp(text, begin, sizeof begin - 1) != 0) return false;
    text += sizeof begin - 1;
    if (strncmp(text, schema, sizeof schema - 1) == 0) text += sizeof schema - 1;
    *ret = arena_copy(&sql->arena, bytes_of_text(text));
    return ret->at != NULL && ret->size > 0;
}

static enum err
declare_listed(void *context, struct bytes name)
{
    struct sql *sql = context;
    int code = declare(sql, "metric", name, "metric");
    return statement_error(sql, code, &sql->why);
}

/* Declares what the schema tables are to show. */
static enum err
declare_all(struct sql *sql, struct why *why)
{
    struct query_request request = sql->options.request;
    const struct text_sink sink = {declare_listed, sql, NULL};
    enum err e = OK;
    for (unsigned i = 0; sql->lists_tables && e == OK && sql_table_name(i) != NULL; i++) {
        const char *name = sql_table_name(i);
        e = statement_error(sql, declare(sql, "main", bytes_of_text(name), name), why);
    }
    if (e || !sql->lists_metrics) return e;
    request.hints.limit = LISTED_MAX;
    e = view_label_values(sql->options.view, &request, bytes_of_text("__name__"), &sink, why);
    if (e && sql->why.text[0] != '\0') *why = sql->why;
    return e;
}

static int
prepare_once(struct sql *sql, struct bytes text, const char **ret_tail)
{
    sqlite3_finalize(sql->statement);
    sql->statement = NULL;
    sql->failed = OK;
    sql->why.text[0] = '\0';
    return sqlite3_prepare_v3(sql->db, (const char *)text.at, (int)text.size, 0, &sql->statement,
                              ret_tail);
}

static enum err
prepare(struct sql *sql, struct bytes text, struct why *why)
{
    const char *tail;
    sqlite3_stmt *more = NULL;
    struct bytes missing, before = {NULL, 0};
    int code = prepare_once(sql, text, &tail);
    for (unsigned i = 0; i < DECLARED_MAX && code == SQLITE_ERROR; i++) {
        bool is_missing = find_missing(sql, &missing);
        if (!is_missing || bytes_equal(missing, before)) break;
        before = missing;
        code = declare(sql, "metric", missing, "metric");
        if (code != SQLITE_OK && sql->failed != OK && sql->failed != ERR_MISSING) break;
        code = prepare_once(sql, text, &tail);
    }
    if (code == SQLITE_OK && (sql->lists_metrics || sql->lists_tables)) {
        enum err e = declare_all(sql, why);
        if (e) return e;
        code = prepare_once(sql, text, &tail);
    }
    if (code == SQLITE_AUTH)
        return why_set(why, ERR_INPUT,
                       "%s: a statement may only read, with functions of docs/sql.md",
                       sqlite3_errmsg(sql->db));
    if (code != SQLITE_OK) return statement_error(sql, code, why);
    if (sql->statement == NULL) return why_set(why, ERR_INPUT, "the statement is empty");
    if (!sqlite3_stmt_readonly(sql->statement) || sqlite3_column_count(sql->statement) == 0)
        return why_set(why, ERR_INPUT, "the statement is not a SELECT");
    size_t rest = text.size - (size_t)(tail - (const char *)text.at);
    code = sqlite3_prepare_v3(sql->db, tail, (int)rest, 0, &more, NULL);
    bool is_one = code == SQLITE_OK && more == NULL;
    sqlite3_finalize(more);
    return is_one ? OK : why_set(why, ERR_INPUT, "expected one statement, got more");
}

/* --- life ------------------------------------------------------------------------------------- */

static int
open_database(struct sql *sql)
{
    static const char *const kept[] = {"json_each", "json_tree", NULL};
    int code = sqlite3_open_v2(":memory:", &sql->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                   SQLITE_OPEN_PRIVATECACHE,
                               NULL);
    if (code != SQLITE_OK) return code;
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL); /* "x" is a name, never a text */
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    code = sqlite3_drop_modules(sql->db, (const char **)(uintptr_t)kept);
    if (code == SQLITE_OK)
        code = sqlite3_exec(sql->db, "PRAGMA temp_store=memory; ATTACH ':memory:' AS metric", NULL,
                            NULL, NULL);
    set_limits(sql->db);
    if (code == SQLITE_OK) code = sql_add_tables(sql);
    if (code == SQLITE_OK) code = sql_add_functions(sql);
    if (code == SQLITE_OK) code = sqlite3_set_authorizer(sql->db, authorize, sql);
    sqlite3_progress_handler(sql->db, STEPS_EACH, progress, sql);
    return code;
}

enum err
sql_new(const struct sql_options *options, struct bytes text, struct sql **ret, struct why *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);
    if (initialised != SQLITE_OK) return why_set(why, ERR_NOMEM, "SQLite cannot be initialised");
    if (text.size > STATEMENT_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "a statement has at most 1 MiB");
    if (memchr(text.at, '\0', text.size) != NULL)
        return why_set(why, ERR_INPUT, "a statement is a text without NUL");
    struct sql *sql = mem_new(options->budget, sizeof *sql);
    if (sql == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the statement");
    sql->options = *options;
    arena_init(&sql->arena, options->budget, 0, 0);
    struct budget *before = statement_enter(sql);
    int code = open_database(sql);
    enum err e = code == SQLITE_NOMEM && sql->db == NULL
                     ? why_set(why, ERR_NOMEM, "not enough memory for the statement")
                     : statement_error(sql, code, why);
    if (e == OK) e = prepare(sql, text, why);
    statement_leave(before);
    if (e) {
        sql_free(sql);
        return e;
    }
    *ret = sql;
    return OK;
}

void
sql_free(struct sql *sql)
{
    if (sql == NULL) return;
    struct budget *before = statement_enter(sql);
    sqlite3_finalize(sql->statement);
    int code = sqlite3_close(sql->db);
    assert(code == SQLITE_OK); /* nothing else of the database is open */
    statement_leave(before);
    arena_fini(&sql->arena);
    mem_free(sql->options.budget, sql, sizeof *sql);
}

/* --- parameters ------------------------------------------------------------------------------- */

static int
bind_value(sqlite3_stmt *statement, int place, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return sqlite3_bind_text64(statement, place, json_string_value(value),
                                   json_string_length(value), SQLITE_TRANSIENT, SQLITE_UTF8);
    case JSON_INTEGER:
        return sqlite3_bind_int64(statement, place, json_integer_value(value));
    case JSON_REAL:
        return sqlite3_bind_double(statement, place, json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return sqlite3_bind_int(statement, place, json_is_true(value));
    case JSON_NULL:
        return sqlite3_bind_null(statement, place);
    default:
        return SQLITE_MISMATCH;
    }
}

static enum err
bind_all(struct sql *sql, json_t *root, struct why *why)
{
    int count = sqlite3_bind_parameter_count(sql->statement), code = SQLITE_OK;
    const char *key;
    json_t *value;
    size_t i;
    char name[256];
    json_array_foreach(root, i, value)
    {
        if ((int)i >= count)
            return why_set(why, ERR_INPUT, "the statement has %d parameters, got %zu values", count,
                           json_array_size(root));
        if (code == SQLITE_OK) code = bind_value(sql->statement, (int)i + 1, value);
    }
    json_object_foreach(root, key, value)
    {
        static const char signs[] = ":$@";
        int place = 0;
        for (unsigned k = 0; k < 3 && place == 0; k++) {
            int size = snprintf(name, sizeof name, "%c%s", signs[k], key);
            if (size < (int)sizeof name) place = sqlite3_bind_parameter_index(sql->statement, name);
        }
        if (place == 0)
            return why_set(why, ERR_INPUT, "the statement has no parameter %s",
                           shown_of(bytes_of_text(key)).text);
        if (code == SQLITE_OK) code = bind_value(sql->statement, place, value);
    }
    if (code == SQLITE_MISMATCH)
        return why_set(why, ERR_INPUT,
                       "a parameter is neither a text, a number, a boolean nor null");
    return statement_error(sql, code, why);
}

enum err
sql_bind(struct sql *sql, struct bytes json, struct why *why)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)json.at, json.size, JSON_REJECT_DUPLICATES, &error);
    struct budget *before = statement_enter(sql);
    enum err e = json_is_array(root) || json_is_object(root)
                     ? bind_all(sql, root, why)
                     : why_set(why, ERR_INPUT, "parameters are not a JSON array or object%s%s",
                               root == NULL ? ": " : "", root == NULL ? error.text : "");
    statement_leave(before);
    json_decref(root);
    return e;
}

/* --- rows ------------------------------------------------------------------------------------- */

enum err
sql_step(struct sql *sql, bool *ret_row, struct why *why)
{
    struct budget *before = statement_enter(sql);
    int code = sqlite3_step(sql->statement);
    statement_leave(before);
    *ret_row = code == SQLITE_ROW;
    return statement_error(sql, code, why);
}
