/*
 * table.c - see tables.h: SQLite's module of all tables.
 *
 *     conditions -> plan_table() -> filter_table() -> question (push.c) -> begin(), next() -> cells
 *
 * No table has rowids, which SQLite would use to find rows twice: each has a key.
 */
#include "sql/tables/tables.h"

#include "model/labels.h"
#include "promql/promql.h"

enum { COLUMNS_TEXT_BYTES_MAX = 16 << 20 };

/* --- connecting --------------------------------------------------------------------------------
 */

static const struct table_definition *
find_definition(const char *name)
{
    if (strcmp(name, sql_samples_definition.name) == 0 || strcmp(name, "metric") == 0)
        return &sql_samples_definition;
    if (strcmp(name, sql_bins_definition.name) == 0) return &sql_bins_definition;
    for (unsigned i = 0; i < LIST_DEFINITIONS; i++)
        if (strcmp(name, sql_list_definitions[i].name) == 0) return &sql_list_definitions[i];
    return NULL;
}

/* Says whether a name is that of a column before: names of SQL are equal in both cases. */
static bool
is_taken(const struct sql_table *t, struct bytes name, uint32_t before)
{
    static const char *const own[] = {"time",   "metric", "value",     "nan",        "labels",
                                      "series", "kind",   "histogram", "start_time", "selector"};
    for (unsigned i = 0; i < sizeof own / sizeof *own; i++)
        if (strlen(own[i]) == name.size &&
            sqlite3_strnicmp(own[i], (const char *)name.at, (int)name.size) == 0)
            return true;
    for (uint32_t i = 0; i < before; i++)
        if (t->labels[i].size == name.size &&
            sqlite3_strnicmp((const char *)t->labels[i].at, (const char *)name.at,
                             (int)name.size) == 0)
            return true;
    return false;
}

static int
declare_table(struct sql_table *t)
{
    sqlite3_str *text = sqlite3_str_new(NULL);
    sqlite3_str_appendf(text, "CREATE TABLE x(%s", t->definition->columns);
    for (uint32_t i = 0; i < t->label_count; i++) {
        char *name = sqlite3_mprintf("%.*s", (int)t->labels[i].size, (const char *)t->labels[i].at);
        sqlite3_str_appendf(text, ", \"%s%w\" TEXT", is_taken(t, t->labels[i], i) ? "label:" : "",
                            name);
        sqlite3_free(name);
    }
    sqlite3_str_appendf(text, ", PRIMARY KEY(%s)) WITHOUT ROWID", t->definition->key);
    char *whole = sqlite3_str_finish(text);
    int code = whole == NULL ? SQLITE_NOMEM : sql_declare(t->sql, whole);
    sqlite3_free(whole);
    return code;
}

static int
connect_table(sqlite3 *db, void *context, int argc, const char *const *argv, sqlite3_vtab **ret,
              char **ret_error)
{
    struct sql *sql = context;
    struct sql_table *t = sqlite3_malloc(sizeof *t);
    enum err e = OK;
    (void)db, (void)argc;
    if (t == NULL) return SQLITE_NOMEM;
    *t = (struct sql_table){.sql = sql, .definition = find_definition(argv[0])};
    if (strcmp(argv[0], "metric") == 0) {
        t->metric = arena_copy(&sql->arena, bytes_of_text(argv[2]));
        e = t->metric.at == NULL ? ERR_NOMEM : sql_find_label_columns(t);
    }
    int code = e ? SQLITE_ERROR : declare_table(t);
    if (e) {
        sql->failed = e;
        *ret_error = sqlite3_mprintf("%s", why_text(&sql->why, e));
    }
    if (code == SQLITE_OK)
        *ret = &t->base;
    else
        sqlite3_free(t);
    return code;
}

/* As connect_table(); that it is another function keeps the module from being a table itself. */
static int
create_metric(sqlite3 *db, void *context, int argc, const char *const *argv, sqlite3_vtab **ret,
              char **ret_error)
{
    return connect_table(db, context, argc, argv, ret, ret_error);
}

static int
disconnect_table(sqlite3_vtab *base)
{
    sqlite3_free(base);
    return SQLITE_OK;
}

/* --- planning ----------------------------------------------------------------------------------
 */

static enum column_kind
kind_of_order(const struct sql_table *t, int column)
{
    return column < 0 || column >= t->definition->count ? COLUMN_LABEL
                                                        : t->definition->kinds[column];
}

/* Says whether the rows come in the order that is asked for: with a series given they are in the
 * order of time; for groups it is enough that those of a series come together. */
static bool
is_in_order(const struct sql_table *t, sqlite3_index_info *info, const struct pushdown *plan)
{
    bool is_one = false, has_series = false, is_known = true;
    int distinct = sqlite3_vtab_distinct(info);
    for (int i = 0; i < plan->count; i++)
        is_one |= plan->terms[i].kind == COLUMN_SERIES;
    if (info->nOrderBy == 1 && kind_of_order(t, info->aOrderBy[0].iColumn) == COLUMN_TIME)
        return is_one && !info->aOrderBy[0].desc;
    for (int i = 0; i < info->nOrderBy; i++) {
        enum column_kind kind = kind_of_order(t, info->aOrderBy[i].iColumn);
        has_series |= kind == COLUMN_SERIES;
        is_known &= kind == COLUMN_SERIES || kind == COLUMN_METRIC || kind == COLUMN_LABEL;
    }
    return has_series && is_known && (distinct == 1 || distinct == 2);
}

static bool
is_list(const struct table_definition *d)
{
    return d != &sql_samples_definition && d != &sql_bins_definition;
}

static int
plan_table(sqlite3_vtab *base, sqlite3_index_info *info)
{
    struct sql_table *t = (struct sql_table *)base;
    struct pushdown plan;
    int code = sql_push_conditions(t, info, &plan);
    if (code != SQLITE_OK) return code;
    struct pushdown *plans = arena_push(&t->sql->arena, t->plans, t->plan_count, sizeof *plans);
    if (plans == NULL) return SQLITE_NOMEM;
    t->plans = plans;
    plans[t->plan_count] = plan;
    info->idxNum = (int)t->plan_count++;
    info->orderByConsumed =
        !is_list(t->definition) && info->nOrderBy > 0 && is_in_order(t, info, &plan);
    return SQLITE_OK;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static size_t
cells_bytes(const struct sql_table *t)
{
    return ((size_t)t->definition->count + t->label_count) * sizeof(struct cell);
}

static int
open_table(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
    struct sql_table *t = (struct sql_table *)base;
    struct budget *budget = t->sql->options.budget;
    struct sql_cursor *c = mem_new(budget, sizeof *c);
    struct cell *cells = mem_new(budget, cells_bytes(t));
    if (c == NULL || cells == NULL) {
        mem_free(budget, c, sizeof *c);
        mem_free(budget, cells, cells_bytes(t));
        return SQLITE_NOMEM;
    }
    c->table = t;
    c->sql = t->sql;
    c->cells = cells;
    buf_init(&c->json, budget, COLUMNS_TEXT_BYTES_MAX);
    buf_init(&c->text, budget, COLUMNS_TEXT_BYTES_MAX);
    buf_init(&c->histogram, budget, COLUMNS_TEXT_BYTES_MAX);
    buf_init(&c->kept, budget, (size_t)1 << 31);
    *ret = &c->base;
    return SQLITE_OK;
}

/* Ends what was begun. ERR_CORRUPT: rows are missing, and the control takes no warnings. */
static enum err
end_rows(struct sql_cursor *c)
{
    struct query_control *control = c->sql->options.request.control;
    enum err e = OK;
    if (c->set != NULL && control != NULL && control->warn != NULL)
        query_control_warn(control, c->set);
    else if (c->set != NULL && c->is_end)
        e = series_set_is_whole(c->set, &c->sql->why);
    series_set_free(c->set);
    promql_result_free(c->result);
    promql_free(c->tree);
    sql_question_fini(&c->question);
    c->set = NULL;
    c->result = NULL;
    c->tree = NULL;
    return e;
}

static int
close_table(sqlite3_vtab_cursor *base)
{
    struct sql_cursor *c = (struct sql_cursor *)base;
    struct budget *budget = c->sql->options.budget;
    err_ignore(end_rows(c), "the rows that were asked for came");
    buf_fini(&c->json);
    buf_fini(&c->text);
    buf_fini(&c->histogram);
    buf_fini(&c->kept);
    mem_free(budget, c->cells, cells_bytes(c->table));
    mem_free(budget, c, sizeof *c);
    return SQLITE_OK;
}

static int
next_row(sqlite3_vtab_cursor *base)
{
    struct sql_cursor *c = (struct sql_cursor *)base;
    enum err e = c->table->definition->next(c, &c->sql->why);
    if (e == OK && c->is_end) e = end_rows(c);
    return sql_fail(c->sql, base->pVtab, e);
}

static int
filter_table(sqlite3_vtab_cursor *base, int number, const char *text, int argc,
             sqlite3_value **argv)
{
    struct sql_cursor *c = (struct sql_cursor *)base;
    struct sql *sql = c->sql;
    (void)text;
    err_ignore(end_rows(c), "the rows that were asked for came");
    memset(c->cells, 0, cells_bytes(c->table));
    buf_clear(&c->kept);
    c->kept_at = 0;
    c->batch.count = c->at = 0;
    c->is_done = false;
    sqlite3_value *arguments[ARGUMENTS_MAX] = {NULL};
    c->plan = &c->table->plans[number];
    for (unsigned i = 0; i < ARGUMENTS_MAX && argc > 0; i++)
        arguments[i] = argv[c->plan->arguments[i]];
    enum err e = query_control_check(sql->options.request.control, &sql->why);
    if (e == OK) e = sql_question_make(sql, c->plan, argv, &c->question, &sql->why);
    c->is_end = c->question.is_empty;
    c->matchers = (struct matcher_set){c->question.matchers, c->question.count};
    c->request = sql->options.request;
    c->request.min_ms = c->question.min_ms;
    c->request.max_ms = c->question.max_ms;
    if (e == OK && !c->is_end) e = c->table->definition->begin(c, arguments, &sql->why);
    if (e || c->is_end) return sql_fail(sql, base->pVtab, e);
    return next_row(base);
}

static int
is_table_end(sqlite3_vtab_cursor *base)
{
    return ((struct sql_cursor *)base)->is_end;
}

static int
put_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    const struct cell *cell = &((struct sql_cursor *)base)->cells[column];
    if (cell->kind == CELL_INTEGER) sqlite3_result_int64(context, cell->integer);
    if (cell->kind == CELL_REAL) sqlite3_result_double(context, cell->real);
    if (cell->kind == CELL_TEXT) sql_result_text(context, cell->text);
    return SQLITE_OK;
}

static int
no_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
    (void)base;
    *ret = 0;
    return SQLITE_OK;
}

enum err
sql_set_series_cells(struct sql_cursor *c, int series, int metric, int labels,
                     struct bytes canonical)
{
    struct json json;
    buf_clear(&c->json);
    buf_clear(&c->text);
    json_init(&json, &c->json);
    labels_put_json(&json, canonical);
    labels_print_selector(&c->text, canonical);
    struct bytes name = labels_get(canonical, bytes_of_text("__name__"));
    c->cells[series] = text_cell_of(buf_bytes(&c->text));
    c->cells[metric] = text_cell_of(name.size == 0 ? bytes_of(NULL, 0) : name);
    c->cells[labels] = text_cell_of(buf_bytes(&c->json));
    return err_first(buf_error(&c->json), buf_error(&c->text));
}

/* --- registering -------------------------------------------------------------------------------
 */

const char *
sql_table_name(unsigned n)
{
    if (n == 0) return sql_samples_definition.name;
    if (n == 1) return sql_bins_definition.name;
    return n < LIST_DEFINITIONS + 2 ? sql_list_definitions[n - 2].name : NULL;
}

bool
sql_is_table(const char *name)
{
    const char *own;
    for (unsigned i = 0; (own = sql_table_name(i)) != NULL; i++)
        if (sqlite3_stricmp(own, name) == 0) return true;
    return strcmp(name, "json_each") == 0 || strcmp(name, "json_tree") == 0;
}

int
sql_add_tables(struct sql *sql)
{
#define MODULE(CREATE)                                                                           \
    {                                                                                            \
        .iVersion = 3, .xCreate = (CREATE), .xConnect = connect_table, .xBestIndex = plan_table, \
        .xDisconnect = disconnect_table, .xDestroy = disconnect_table, .xOpen = open_table,      \
        .xClose = close_table, .xFilter = filter_table, .xNext = next_row, .xEof = is_table_end, \
        .xColumn = put_column, .xRowid = no_rowid                                                \
    }
    static const sqlite3_module module = MODULE(connect_table), metric = MODULE(create_metric);
#undef MODULE
    const char *name;
    int code = sqlite3_create_module_v2(sql->db, "metric", &metric, sql, NULL);
    for (unsigned i = 0; code == SQLITE_OK && (name = sql_table_name(i)) != NULL; i++)
        code = sqlite3_create_module_v2(sql->db, name, &module, sql, NULL);
    return code;
}
