/*
 * lists.c - the tables series, metrics, label_values and exemplars, and the function promql().
 *
 * `series` and `promql` make a row when it is asked for. The others get all rows by a sink of the
 * view, and keep them, as cells one after the other.
 */
#include "sql/tables/tables.h"

#include "base/text/time_text.h"
#include "model/labels.h"
#include "promql/promql.h"

enum { STEPS_MAX = 11000 };

static void
keep_cell(struct sql_cursor *c, struct cell cell)
{
    buf_put_u8(&c->kept, (uint8_t)cell.kind);
    if (cell.kind == CELL_TEXT)
        buf_put_counted(&c->kept, cell.text);
    else if (cell.kind != CELL_NULL)
        buf_put(&c->kept, &cell.integer, sizeof cell.integer);
}

/* Takes the next row that was kept. */
static enum err
next_kept(struct sql_cursor *c, struct why *why)
{
    struct cursor left = cursor_of(bytes_of(c->kept.at + c->kept_at, c->kept.size - c->kept_at));
    (void)why;
    c->is_end = cursor_left(&left) == 0;
    for (int i = 0; i < c->table->definition->count && !c->is_end; i++) {
        struct cell *cell = &c->cells[i];
        *cell = (struct cell){.kind = (enum cell_kind)cursor_u8(&left)};
        if (cell->kind == CELL_TEXT)
            cell->text = cursor_bytes(&left, cursor_varint(&left));
        else if (cell->kind != CELL_NULL)
            cell->integer = (int64_t)cursor_le64(&left);
    }
    c->kept_at = c->kept.size - cursor_left(&left);
    return OK;
}

/* Asks only for the series that the matchers find. */
static void
use_matchers(struct sql_cursor *c)
{
    c->request.sets = &c->matchers;
    c->request.set_count = c->matchers.count > 0;
}

/* --- series ------------------------------------------------------------------------------------
 */

static enum err
begin_series(struct sql_cursor *c, sqlite3_value **arguments, struct why *why)
{
    (void)arguments;
    use_matchers(c);
    c->request.kind = SELECT_LABELS;
    return view_select(c->sql->options.view, &c->request, &c->set, why);
}

static enum err
next_series(struct sql_cursor *c, struct why *why)
{
    struct bytes labels;
    enum err e = query_control_check(c->request.control, why);
    if (e == OK) e = series_set_next(c->set, &labels, why);
    c->is_end = e == OK && labels.at == NULL;
    return e || c->is_end ? e : sql_set_series_cells(c, 0, 1, 2, labels);
}

/* --- metrics and label_values ------------------------------------------------------------------
 */

static enum err
keep_metadata(void *context, const struct metadata *m)
{
    struct sql_cursor *c = context;
    keep_cell(c, text_cell_of(bytes_of_text(metric_type_word(m->type))));
    keep_cell(c, text_cell_of(m->help));
    keep_cell(c, text_cell_of(m->unit));
    return buf_error(&c->kept);
}

/* Keeps a metric with its metadata, which may be those of a family that it is a part of. */
static enum err
keep_metric(void *context, struct bytes name)
{
    static const char *const suffixes[] = {"", "_bucket", "_count", "_sum", "_total"};
    struct sql_cursor *c = context;
    enum err e = OK;
    keep_cell(c, text_cell_of(name));
    size_t before = c->kept.size;
    for (unsigned i = 0; i < 5 && e == OK && c->kept.size == before; i++) {
        size_t size = strlen(suffixes[i]);
        if (name.size > size && memcmp(name.at + name.size - size, suffixes[i], size) == 0)
            e = view_metadata(c->sql->options.view, &c->request,
                              bytes_of(name.at, name.size - size), keep_metadata, c, &c->sql->why);
    }
    for (unsigned i = 0; i < 3 && c->kept.size == before + i; i++)
        keep_cell(c, (struct cell){CELL_NULL});
    return e ? e : buf_error(&c->kept);
}

static enum err
begin_metrics(struct sql_cursor *c, sqlite3_value **arguments, struct why *why)
{
    const struct text_sink sink = {keep_metric, c, NULL};
    (void)arguments;
    use_matchers(c);
    return view_label_values(c->sql->options.view, &c->request, bytes_of_text("__name__"), &sink,
                             why);
}

static enum err
keep_value(void *context, struct bytes value)
{
    struct sql_cursor *c = context;
    keep_cell(c, text_cell_of(c->name));
    keep_cell(c, text_cell_of(value));
    return buf_error(&c->kept);
}

static enum err
keep_values_of(void *context, struct bytes name)
{
    struct sql_cursor *c = context;
    const struct text_sink sink = {keep_value, c, NULL};
    c->name = name;
    return view_label_values(c->sql->options.view, &c->request, name, &sink, &c->sql->why);
}

static enum err
begin_values(struct sql_cursor *c, sqlite3_value **arguments, struct why *why)
{
    const struct text_sink sink = {keep_values_of, c, NULL};
    (void)arguments;
    return view_label_names(c->sql->options.view, &c->request, &sink, why);
}

/* --- exemplars ---------------------------------------------------------------------------------
 */

static enum err
keep_exemplar(void *context, const struct exemplar *exemplar)
{
    struct sql_cursor *c = context;
    struct json json;
    enum err e = sql_set_series_cells(c, 2, 3, 4, exemplar->series_labels);
    keep_cell(c, integer_cell(exemplar->t_ms));
    keep_cell(c, real_cell(exemplar->value_bits));
    for (unsigned i = 2; i < 5; i++)
        keep_cell(c, c->cells[i]);
    buf_clear(&c->json);
    json_init(&json, &c->json);
    labels_put_json(&json, exemplar->labels);
    keep_cell(c, text_cell_of(buf_bytes(&c->json)));
    keep_cell(c, (struct cell){CELL_NULL}); /* the selector */
    return e ? e : err_first(buf_error(&c->json), buf_error(&c->kept));
}

static enum err
begin_exemplars(struct sql_cursor *c, sqlite3_value **arguments, struct why *why)
{
    const struct exemplar_sink sink = {keep_exemplar, c, NULL};
    (void)arguments;
    use_matchers(c);
    return view_exemplars(c->sql->options.view, &c->request, &sink, why);
}

/* --- promql() ----------------------------------------------------------------------------------
 */

static enum err
begin_promql(struct sql_cursor *c, sqlite3_value **arguments, struct why *why)
{
    const struct sql_options *o = &c->sql->options;
    struct promql_options options = o->promql;
    struct buf error;
    struct bytes text = sql_text(arguments[0]), step = sql_text(arguments[3]);
    bool are_times = sqlite3_value_numeric_type(arguments[1]) == SQLITE_INTEGER &&
                     sqlite3_value_numeric_type(arguments[2]) == SQLITE_INTEGER;
    options.first_ms = sqlite3_value_int64(arguments[1]);
    options.last_ms = sqlite3_value_int64(arguments[2]);
    if (step.at == NULL)
        options.step_ms = sqlite3_value_int64(arguments[3]);
    else if (!time_parse_duration(step, &options.step_ms))
        options.step_ms = 0;
    if (text.at == NULL || !are_times || options.step_ms <= 0 || options.last_ms < options.first_ms)
        return why_set(why, ERR_INPUT, "expected promql('EXPRESSION', START, END, '1m')");
    if (((uint64_t)options.last_ms - (uint64_t)options.first_ms) / (uint64_t)options.step_ms >=
        STEPS_MAX)
        return why_set(why, ERR_LIMIT, "promql() has more than %d steps", STEPS_MAX);
    options.tenant = o->request.tenant;
    options.control = o->request.control;
    options.budget = o->budget;
    buf_init(&error, o->budget, 1 << 16);
    enum err e = promql_parse(text, o->budget, o->request.control, &c->tree, &error);
    if (e == OK && !promql_has_range(c->tree, &error)) e = ERR_INPUT;
    if (e == OK) e = promql_run(c->tree, o->view, &options, &c->result, &error, why);
    if (e == ERR_INPUT && error.size > 0)
        (void)why_set(why, e, "promql(): %.*s", (int)error.size, (const char *)error.at);
    buf_fini(&error);
    return e;
}

static enum err
next_promql(struct sql_cursor *c, struct why *why)
{
    struct promql_point point;
    struct bytes labels;
    bool is_begun = c->cells[2].kind != CELL_NULL;
    (void)why;
    while (!is_begun || !promql_next_point(c->result, c->has_histograms, &point)) {
        if (is_begun && !c->has_histograms) {
            c->has_histograms = true;
            continue;
        }
        c->has_histograms = false;
        c->is_end = !promql_next_series(c->result, &labels);
        enum err e = c->is_end ? OK : sql_set_series_cells(c, 2, 3, 4, labels);
        if (e || c->is_end) return e;
        is_begun = true;
    }
    c->cells[0] = integer_cell(point.t_ms);
    c->cells[1] =
        point.histogram != NULL ? (struct cell){CELL_NULL} : real_cell(double_bits(point.value));
    return OK;
}

const struct table_definition sql_list_definitions[] = {
    {"series",
     "series TEXT, metric TEXT, labels TEXT, selector HIDDEN",
     "series",
     {COLUMN_SERIES, COLUMN_METRIC, COLUMN_OTHER, COLUMN_SELECTOR},
     4,
     1e5,
     begin_series,
     next_series},
    {"metrics",
     "metric TEXT, type TEXT, help TEXT, unit TEXT",
     "metric",
     {COLUMN_METRIC},
     4,
     1e3,
     begin_metrics,
     next_kept},
    {"label_values",
     "name TEXT, value TEXT",
     "name, value",
     {COLUMN_OTHER},
     2,
     1e4,
     begin_values,
     next_kept},
    {"exemplars",
     "time TIMESTAMP_INT, value REAL, series TEXT, metric TEXT, labels TEXT, exemplar_labels TEXT, "
     "selector HIDDEN",
     "series, time, value, exemplar_labels",
     {COLUMN_TIME, COLUMN_OTHER, COLUMN_SERIES, COLUMN_METRIC, [6] = COLUMN_SELECTOR},
     7,
     1e4,
     begin_exemplars,
     next_kept},
    {"promql",
     "time TIMESTAMP_INT, value REAL, series TEXT, metric TEXT, labels TEXT, expression HIDDEN, "
     "start HIDDEN, \"end\" HIDDEN, step HIDDEN",
     "series, time",
     {[5] = COLUMN_ARGUMENT, COLUMN_ARGUMENT, COLUMN_ARGUMENT, COLUMN_ARGUMENT},
     9,
     1e4,
     begin_promql,
     next_promql},
};
_Static_assert(sizeof sql_list_definitions / sizeof *sql_list_definitions == LIST_DEFINITIONS,
               "tables.h says how many there are");
