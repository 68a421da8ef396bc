/*
 * samples.c - the table `samples`, and one for each metric in the schema `metric`, with a column
 * for each of its labels.
 *
 * Rows come series by series, in the order of labels, each in the order of time. Nothing of them is
 * kept: a cursor holds a batch, and the texts of its series.
 */
#include "sql/tables/tables.h"

#include "model/labels.h"
#include "wire/json/sample_json.h"

enum { LABEL_COLUMNS_MAX = 500 };

enum sample_column {
    SAMPLE_TIME,
    SAMPLE_METRIC,
    SAMPLE_VALUE,
    SAMPLE_NAN,
    SAMPLE_LABELS,
    SAMPLE_SERIES,
    SAMPLE_KIND,
    SAMPLE_HISTOGRAM,
    SAMPLE_START_TIME,
    SAMPLE_SELECTOR, /* hidden: the argument of samples('up{job="x"}') */
    SAMPLE_COLUMNS,
};

/* --- the columns of a metric -------------------------------------------------------------------
 */

static enum err
keep_label_name(void *context, struct bytes name)
{
    struct sql_table *t = context;
    struct arena *arena = &t->sql->arena;
    struct bytes *labels = arena_push(arena, t->labels, t->label_count, sizeof *labels);
    struct bytes copy = arena_copy(arena, name);
    if (labels == NULL || copy.at == NULL) return ERR_NOMEM;
    t->labels = labels;
    labels[t->label_count] = copy;
    t->label_count += !bytes_equal_text(name, "__name__");
    t->has_series = true;
    return OK;
}

enum err
sql_find_label_columns(struct sql_table *t)
{
    struct sql *sql = t->sql;
    struct matcher *matcher;
    struct query_request request = sql->options.request;
    const struct text_sink sink = {keep_label_name, t, NULL};
    enum err e = matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), t->metric, sql->options.budget,
                             &matcher, &sql->why);
    if (e) return e == ERR_INPUT ? ERR_MISSING : e; /* no name of a metric */
    const struct matcher_set set = {&matcher, 1};
    request.sets = &set;
    request.set_count = 1;
    request.hints.limit = LABEL_COLUMNS_MAX + 2;
    request.partial = true;
    e = view_label_names(sql->options.view, &request, &sink, &sql->why);
    matcher_free(matcher);
    if (t->label_count > LABEL_COLUMNS_MAX) t->label_count = 0; /* `labels` has them */
    return e || t->has_series ? e : why_set(&sql->why, ERR_MISSING, "no such metric");
}

/* --- rows --------------------------------------------------------------------------------------
 */

static enum err
begin_samples(struct sql_cursor *c, sqlite3_value **arguments, struct why *why)
{
    struct question *q = &c->question;
    (void)arguments;
    if (c->table->metric.size > 0) {
        enum err e = matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), c->table->metric,
                                 c->sql->options.budget, &q->matchers[q->count], why);
        if (e) return e;
        c->matchers.count = ++q->count;
    }
    c->request.sets = &c->matchers;
    c->request.set_count = q->count > 0;
    c->request.hints.rollups = ROLLUP_NONE;
    return view_select(c->sql->options.view, &c->request, &c->set, why);
}

/* Sets the cells of the series; labels and columns are both sorted by name. */
static enum err
set_labels(struct sql_cursor *c, struct bytes canonical)
{
    const struct sql_table *t = c->table;
    struct cell *cells = &c->cells[t->definition->count];
    struct cursor labels = cursor_of(canonical);
    struct label label;
    uint32_t i = 0;
    memset(cells, 0, t->label_count * sizeof *cells);
    while (labels_next(&labels, &label)) {
        while (i < t->label_count && bytes_compare(t->labels[i], label.name) < 0)
            i++;
        if (i < t->label_count && bytes_equal(t->labels[i], label.name))
            cells[i] = text_cell_of(label.value);
    }
    return sql_set_series_cells(c, SAMPLE_SERIES, SAMPLE_METRIC, SAMPLE_LABELS, canonical);
}

/* Sets the cells of a sample of the batch. */
static enum err
set_sample(struct sql_cursor *c, uint32_t i)
{
    const struct sample_batch *b = &c->batch;
    struct cell *cells = c->cells;
    bool is_float = b->kind == SAMPLE_FLOAT;
    uint64_t bits = is_float ? b->value_bits[i] : b->histograms[i].sum_bits;
    cells[SAMPLE_TIME] = integer_cell(b->times_ms[i]);
    cells[SAMPLE_VALUE] = is_float ? real_cell(bits) : (struct cell){CELL_NULL};
    cells[SAMPLE_NAN] = (struct cell){CELL_NULL};
    if (bits == STALE_NAN_BITS)
        cells[SAMPLE_NAN] = text_cell_of(bytes_of_text("stale"));
    else if (is_float && cells[SAMPLE_VALUE].kind == CELL_NULL)
        cells[SAMPLE_NAN] = text_cell_of(bytes_of_text("NaN"));
    cells[SAMPLE_KIND] = text_cell_of(bytes_of_text(is_float ? "float" : "histogram"));
    cells[SAMPLE_START_TIME] = b->starts_ms != NULL && b->starts_ms[i] != 0
                                   ? integer_cell(b->starts_ms[i])
                                   : (struct cell){CELL_NULL};
    cells[SAMPLE_HISTOGRAM] = (struct cell){CELL_NULL};
    if (is_float || bits == STALE_NAN_BITS) return OK;
    buf_clear(&c->histogram);
    histogram_json_put(&c->histogram, &b->histograms[i]);
    cells[SAMPLE_HISTOGRAM] = text_cell_of(buf_bytes(&c->histogram));
    return buf_error(&c->histogram);
}

/* Goes to the next sample: of the batch, of the series, or of the next series that has one. */
static enum err
next_sample(struct sql_cursor *c, struct why *why)
{
    struct bytes labels;
    if (c->at < c->batch.count) return set_sample(c, c->at++);
    bool is_begun = c->cells[SAMPLE_SERIES].kind != CELL_NULL;
    enum err e = query_control_check(c->request.control, why);
    if (e == OK && is_begun) e = series_set_batch(c->set, &c->batch, why);
    while (e == OK && (!is_begun || c->batch.count == 0)) {
        e = series_set_next(c->set, &labels, why);
        c->is_end = e == OK && labels.at == NULL;
        if (e || c->is_end) return e;
        e = set_labels(c, labels);
        if (e == OK) e = series_set_batch(c->set, &c->batch, why);
        is_begun = true;
    }
    c->at = 1;
    return e ? e : set_sample(c, 0);
}

const struct table_definition sql_samples_definition = {
    "samples",
    "time TIMESTAMP_INT, metric TEXT, value REAL, nan TEXT, labels TEXT, series TEXT, kind TEXT, "
    "histogram TEXT, start_time TIMESTAMP_INT, selector HIDDEN",
    "series, time",
    {COLUMN_TIME,
     COLUMN_METRIC, [SAMPLE_SERIES] = COLUMN_SERIES, [SAMPLE_SELECTOR] = COLUMN_SELECTOR},
    SAMPLE_COLUMNS,
    1e7,
    begin_samples,
    next_sample,
};
