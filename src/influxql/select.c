/*
 * select.c - see influxql_private.h: answers a SELECT.
 *
 *     sources -> columns without wildcards -> frames -> groups by tags -> rows
 * in time order without calls: a row of the result for each with calls: points
 * of each call -> windows -> rows, filled where a window has none
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/text/quote.h"
#include "influxql/influxql_private.h"
#include "sys/env.h"

enum { CALLS_MAX = 1000, WINDOWS_MAX = 10 * 1000 * 1000 };

struct group_row {
    int64_t time;
    const struct frame_series *series;
    const double *cells;
    uint32_t order; /* of the series */
};

struct selecting {
    struct influxql *q;
    const struct select *s;
    struct bounds bounds;
    struct expr *where;
    struct window_times windows;
    struct result *to;

    struct frame *frames; /* of subqueries */
    uint32_t frame_count;
    const struct measurement **measurements;
    uint32_t measurement_count;

    struct iql_column *columns; /* without wildcards */
    uint32_t column_count;
    struct expr *calls[CALLS_MAX]; /* those that are in no other call */
    uint32_t call_count;

    /* The frame whose groups are answered: its fields, then the calls. */
    struct frame frame;
    const struct measurement *measurement; /* whose frame it is; NULL: of a subquery */
    uint32_t field_count;                  /* without calls */
    struct bytes *dimensions;
    uint32_t dimension_count;
    struct group_row *rows; /* may begin a window before the bounds: for changes between windows */
    uint32_t row_count;
    int64_t from_ns; /* from where a call takes rows */
};

static int64_t
offset_ns(const struct window_times *w, int64_t t)
{
    t -= w->offset_ns;
    return w->zone == NULL ? 0
                           : zone_offset_s(w->zone, t / NS_PER_S - (t % NS_PER_S < 0)) * NS_PER_S;
}

/* A window that the offset changes in begins earlier or later by the change, if it is longer than
 * that and an hour, as in InfluxDB; else at the change. */
int64_t
window_begin(const struct window_times *w, int64_t t)
{
    if (w->interval_ns == 0) return t;
    int64_t offset = offset_ns(w, t);
    int64_t into = (t - w->offset_ns + offset) % w->interval_ns;
    int64_t begin = t - (into < 0 ? into + w->interval_ns : into);
    int64_t change = w->zone == NULL ? 0 : offset - offset_ns(w, begin);
    if (change == 0) return begin;
    if (w->interval_ns > 3600 * NS_PER_S && llabs(change) < w->interval_ns) return begin + change;
    while (t - begin > 1) {
        int64_t middle = begin + (t - begin) / 2;
        *(offset_ns(w, middle) == offset ? &t : &begin) = middle;
    }
    return t;
}

int64_t
window_end(const struct window_times *w, int64_t begin)
{
    int64_t t = begin + w->interval_ns, end = window_begin(w, t);
    while (end <= begin)
        end = window_begin(w, t += NS_PER_S * 1800);
    return end;
}

enum err
text_cell(struct influxql *q, struct bytes text, double *ret)
{
    struct texts *t = &q->texts;
    *ret = t->count;
    if (t->count > 0 && bytes_equal(t->items[t->count - 1], text)) {
        *ret = t->count - 1;
        return OK;
    }
    struct bytes *items = arena_push(q->arena, t->items, t->count, sizeof *items);
    if (items == NULL) return query_no_memory(q);
    t->items = items;
    items[t->count++] = text;
    return OK;
}

/* --- sources ---------------------------------------------------------------------------------- */

/* Makes frames of the series of a subquery: one for each name. */
static enum err
add_frames(struct selecting *x, const struct result *from)
{
    struct influxql *q = x->q;
    struct frame *f = NULL;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct result_series *r = &from->items[i];
        if (f == NULL || !bytes_equal(f->name, r->name)) {
            struct frame *frames = arena_push(q->arena, x->frames, x->frame_count, sizeof *frames);
            if (frames == NULL) return query_no_memory(q);
            x->frames = frames;
            f = &frames[x->frame_count++];
            *f = (struct frame){.name = r->name, .field_count = r->column_count};
            f->fields = arena_alloc(q->arena, (r->column_count + 1) * sizeof *f->fields);
            if (f->fields == NULL) return query_no_memory(q);
            for (uint32_t k = 0; k < r->column_count; k++)
                f->fields[k] = (struct frame_field){r->columns[k].name, r->columns[k].type};
        }
        struct frame_series *series =
            arena_push(q->arena, f->series, f->series_count, sizeof *series);
        if (series == NULL) return query_no_memory(q);
        f->series = series;
        series[f->series_count++] =
            (struct frame_series){r->tags, r->tag_count, r->times, r->cells, r->row_count};
    }
    return OK;
}

static enum err
find_sources(struct selecting *x)
{
    struct influxql *q = x->q;
    for (uint32_t i = 0; i < x->s->sources.count; i++) {
        const struct iql_source *source = &x->s->sources.items[i];
        if (source->subquery != NULL) {
            struct result inner = {NULL, 0};
            enum err e = select_run(q, source->subquery, x->bounds, &inner);
            if (e == OK) e = add_frames(x, &inner);
            if (e) return e;
            continue;
        }
        const struct measurement **found;
        uint32_t count;
        enum err e = measurements_find(q, source, q->database, &found, &count);
        for (uint32_t k = 0; k < count && e == OK; k++) {
            const struct measurement **all =
                arena_push(q->arena, x->measurements, x->measurement_count, sizeof *all);
            if (all == NULL) return query_no_memory(q);
            x->measurements = all;
            all[x->measurement_count++] = found[k];
        }
        if (e) return e;
    }
    return OK;
}

/* --- columns ---------------------------------------------------------------------------------- */

/* The names that a wildcard stands for, sorted. */
struct wild_names {
    struct wild_name {
        struct bytes name;
        bool is_tag;
        bool is_number; /* of a field */
    } * items;
    uint32_t count;
};

static int
compare_wild(const void *a, const void *b)
{
    const struct wild_name *x = a, *y = b;
    int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : x->is_tag - y->is_tag;
}

static enum err
add_wild(struct selecting *x, struct wild_names *to, struct bytes name, bool is_tag, bool is_number)
{
    for (uint32_t i = 0; i < to->count; i++)
        if (bytes_equal(to->items[i].name, name)) return OK;
    struct wild_name *items = arena_push(x->q->arena, to->items, to->count, sizeof *items);
    if (items == NULL) return query_no_memory(x->q);
    to->items = items;
    items[to->count++] = (struct wild_name){name, is_tag, is_number};
    return OK;
}

static enum err
add_frame_tags(struct selecting *x, const struct frame *f, struct wild_names *to)
{
    enum err e = OK;
    for (uint32_t i = 0; i < f->series_count; i++)
        for (uint32_t k = 0; k < f->series[i].tag_count && e == OK; k++)
            e = add_wild(x, to, f->series[i].tags[k].name, true, false);
    return e;
}

struct tag_finder {
    struct selecting *x;
    struct wild_names *to;
};

static enum err
keep_tag(void *context, struct bytes name)
{
    struct tag_finder *f = context;
    if (bytes_equal_text(name, "__name__")) return OK;
    struct bytes copy = arena_copy(f->x->q->arena, name);
    return copy.at == NULL ? query_no_memory(f->x->q) : add_wild(f->x, f->to, copy, true, false);
}

/* Finds all tags that a measurement has at any time. */
static enum err
add_tags_of(struct selecting *x, const struct measurement *m, struct wild_names *to)
{
    struct influxql *q = x->q;
    struct tag_finder finder = {x, to};
    struct text_sink sink = {.each = keep_tag, .context = &finder};
    enum err e = OK;
    for (uint32_t i = 0; i < m->field_count && e == OK; i++) {
        struct query_request request = q->request;
        struct matcher *matcher;
        e = matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), m->fields[i].metric, q->budget,
                        &matcher, q->why);
        if (e) return e;
        struct matcher_set set = {&matcher, 1};
        request.sets = &set;
        request.set_count = 1;
        e = view_label_names(q->view, &request, &sink, q->why);
        matcher_free(matcher);
    }
    return e;
}

/* Finds fields, and tags if they are wanted. */
static enum err
find_names(struct selecting *x, bool with_tags, struct wild_names *fields, struct wild_names *tags)
{
    enum err e = OK;
    for (uint32_t i = 0; i < x->measurement_count && e == OK; i++) {
        const struct measurement *m = x->measurements[i];
        for (uint32_t k = 0; k < m->field_count && e == OK; k++)
            e = add_wild(x, fields, m->fields[k].name, false, m->fields[k].type < CELL_BOOLEAN);
        if (e == OK && with_tags) e = add_tags_of(x, m, tags);
    }
    for (uint32_t i = 0; i < x->frame_count && e == OK; i++) {
        for (uint32_t k = 0; k < x->frames[i].field_count && e == OK; k++)
            e = add_wild(x, fields, x->frames[i].fields[k].name, false,
                         x->frames[i].fields[k].type < CELL_BOOLEAN);
        if (e == OK) e = add_frame_tags(x, &x->frames[i], tags);
    }
    return e;
}

static bool
is_wild(const struct expr *x)
{
    return x->kind == EXPR_WILDCARD || x->kind == EXPR_REGEX;
}

static bool
is_grouped(const struct selecting *x, struct bytes tag)
{
    for (uint32_t i = 0; i < x->s->tag_count; i++) {
        const struct expr *t = x->s->tags[i];
        if (t->kind != EXPR_NAME || bytes_equal(t->text, tag)) return true; /* as InfluxDB */
    }
    return false;
}

static enum err
push_column(struct selecting *x, struct iql_column column)
{
    struct iql_column *columns =
        arena_push(x->q->arena, x->columns, x->column_count, sizeof *columns);
    if (columns == NULL) return query_no_memory(x->q);
    x->columns = columns;
    columns[x->column_count++] = column;
    return OK;
}

static struct expr *
name_expr(struct selecting *x, struct bytes name, bool is_tag)
{
    struct expr *e = arena_new(x->q->arena, sizeof *e);
    if (e != NULL)
        *e = (struct expr){.kind = EXPR_NAME, .text = name, .cast = is_tag ? CAST_TAG : CAST_FIELD};
    return e;
}

/* Copies a call with another field. */
static struct expr *
call_with(struct selecting *x, const struct expr *call, struct expr *field)
{
    struct expr *copy = arena_new(x->q->arena, sizeof *copy);
    struct expr **items = arena_alloc(x->q->arena, call->item_count * sizeof(struct expr *));
    if (copy == NULL || items == NULL || field == NULL) return NULL;
    *copy = *call;
    copy->items = items;
    memcpy(items, call->items, call->item_count * sizeof(struct expr *));
    items[0] = field;
    return copy;
}

static struct bytes
joined(struct selecting *x, struct bytes a, const char *between, struct bytes b)
{
    size_t middle = strlen(between);
    uint8_t *to = arena_alloc(x->q->arena, a.size + middle + b.size + 1);
    if (to == NULL) return a;
    memcpy(to, a.at, a.size);
    memcpy(to + a.size, between, middle);
    if (b.size > 0) memcpy(to + a.size + middle, b.at, b.size);
    return bytes_of(to, a.size + middle + b.size);
}

/* Says whether a function takes booleans, too. */
static bool
takes_all(const struct expr *call)
{
    static const char *const names[] = {"count",    "first",   "last", "mode",
                                        "distinct", "elapsed", "max",  "min"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_equal_text(call->text, names[i])) return true;
    return false;
}

/* The call in a column whose field is a wildcard: the column itself, or nested
 * in another call. */
static enum err
expand_column(struct selecting *x, const struct iql_column *c, const struct wild_names *names)
{
    struct expr *call = c->expr->kind == EXPR_CALL ? c->expr : NULL, *inner = NULL;
    struct expr *wild = c->expr;
    if (call != NULL && call->item_count > 0) wild = call->items[0];
    if (call != NULL && wild->kind == EXPR_CALL && wild->item_count > 0) {
        inner = wild;
        wild = inner->items[0];
    }
    if (!is_wild(wild)) return push_column(x, *c);
    for (uint32_t i = 0; i < names->count; i++) {
        const struct wild_name *n = &names->items[i];
        if (call != NULL && (n->is_tag || (!n->is_number && !takes_all(call)))) continue;
        if (wild->kind == EXPR_REGEX && !matcher_matches(wild->regex, n->name)) continue;
        if (wild->cast == CAST_FIELD && n->is_tag) continue;
        if (wild->cast == CAST_TAG && !n->is_tag) continue;
        if (n->is_tag && is_grouped(x, n->name)) continue;
        struct iql_column column = {.expr = name_expr(x, n->name, n->is_tag)};
        if (call != NULL) {
            struct expr *field = column.expr;
            if (inner != NULL) field = call_with(x, inner, field);
            column.expr = call_with(x, call, field);
            column.alias = joined(x, c->alias.size > 0 ? c->alias : call->text, "_", n->name);
        }
        if (column.expr == NULL) return query_no_memory(x->q);
        enum err e = push_column(x, column);
        if (e) return e;
    }
    return OK;
}

static bool
has_wild(const struct expr *e)
{
    bool is_any = is_wild(e);
    for (uint32_t i = 0; i < e->item_count && e->kind == EXPR_CALL; i++)
        is_any |= has_wild(e->items[i]);
    return is_any;
}

static enum err
find_columns(struct selecting *x)
{
    struct wild_names names = {NULL, 0}, tags = {NULL, 0};
    bool with_wild = false, with_tags = false;
    for (uint32_t i = 0; i < x->s->column_count; i++) {
        with_wild |= has_wild(x->s->columns[i].expr);
        with_tags |= is_wild(x->s->columns[i].expr);
    }
    enum err e = with_wild ? find_names(x, with_tags, &names, &tags) : OK;
    for (uint32_t i = 0; i < tags.count && with_tags && e == OK; i++)
        e = add_wild(x, &names, tags.items[i].name, true, false);
    if (names.count > 0) qsort(names.items, names.count, sizeof *names.items, compare_wild);
    for (uint32_t i = 0; i < x->s->column_count && e == OK; i++) {
        const struct iql_column *c = &x->s->columns[i];
        bool is_time = c->expr->kind == EXPR_NAME && bytes_equal_text(c->expr->text, "time");
        if (!is_time) e = expand_column(x, c, &names);
    }
    return e;
}

/* Appends the names in an expression, with "_" between them. */
static void
name_of(struct selecting *x, const struct expr *e, struct bytes *to)
{
    if (e->kind == EXPR_NAME || e->kind == EXPR_CALL) {
        *to = to->size == 0 ? e->text : joined(x, *to, "_", e->text);
        return;
    }
    for (uint32_t i = 0; i < e->item_count; i++)
        name_of(x, e->items[i], to);
}

/* Names the columns; one of a name that is there before gets a number. */
static enum err
name_columns(struct selecting *x)
{
    struct bytes *plain = arena_alloc(x->q->arena, (x->column_count + 1) * sizeof *plain);
    if (plain == NULL) return query_no_memory(x->q);
    for (uint32_t i = 0; i < x->column_count; i++) {
        struct iql_column *c = &x->columns[i];
        char number[16];
        unsigned before = 0;
        if (c->alias.size == 0) name_of(x, c->expr, &c->alias);
        plain[i] = c->alias;
        for (uint32_t k = 0; k < i; k++)
            before += bytes_equal(plain[k], plain[i]);
        snprintf(number, sizeof number, "_%u", before);
        if (before > 0) c->alias = joined(x, c->alias, number, bytes_of(NULL, 0));
    }
    return OK;
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
check_call(struct selecting *x, const struct expr *call, bool is_inner)
{
    struct influxql *q = x->q;
    const struct iql_function *f = iql_function(call->text);
    int size = (int)(call->text.size < 60 ? call->text.size : 60);
    const char *name = (const char *)call->text.at;
    if (f == NULL) return why_set(q->why, ERR_INPUT, "undefined function %.*s()", size, name);
    unsigned least = f->arguments_min + 1u, most = f->arguments_max + 1u;
    if (call->item_count < least || call->item_count > most)
        return why_set(q->why, ERR_INPUT, "invalid number of arguments for %s, expected %u, got %u",
                       f->name, least, call->item_count);
    for (uint32_t i = 1; i < call->item_count; i++) {
        const struct expr *a = call->items[i];
        bool is_number = a->kind == EXPR_INTEGER || (a->kind == EXPR_NUMBER && !f->takes_duration);
        bool is_good = f->takes_duration ? a->kind == EXPR_DURATION && a->integer > 0 : is_number;
        if (is_good && f->kind != FUNCTION_SELECTOR && !f->takes_duration)
            is_good = a->kind == EXPR_INTEGER && a->integer > 0;
        if (!is_good)
            return why_set(q->why, ERR_INPUT, "invalid argument %u of %s", i + 1, f->name);
    }
    const struct expr *field = call->items[0];
    const struct iql_function *inner = field->kind == EXPR_CALL ? iql_function(field->text) : NULL;
    bool of_distinct = inner != NULL && bytes_equal_text(call->text, "count") &&
                       bytes_equal_text(field->text, "distinct");
    if (field->kind == EXPR_CALL && f->kind != FUNCTION_CHANGE && !of_distinct)
        return why_set(q->why, ERR_INPUT, "expected field argument in %s()", f->name);
    if (field->kind != EXPR_CALL && field->kind != EXPR_NAME && !is_wild(field))
        return why_set(q->why, ERR_INPUT, "expected field argument in %s()", f->name);
    bool in_windows = x->windows.interval_ns != 0;
    if (f->kind == FUNCTION_CHANGE && field->kind != EXPR_CALL && in_windows)
        return why_set(q->why, ERR_INPUT, "aggregate function required inside the call to %s",
                       f->name);
    if (f->kind == FUNCTION_CHANGE && field->kind == EXPR_CALL && !in_windows)
        return why_set(q->why, ERR_INPUT, "%s aggregate requires a GROUP BY interval", f->name);
    if (is_inner && f->kind == FUNCTION_MANY && !bytes_equal_text(call->text, "distinct"))
        return why_set(q->why, ERR_INPUT, "%s() cannot be nested", f->name);
    return field->kind == EXPR_CALL ? check_call(x, field, true) : OK;
}

/* Finds the calls of an expression, and counts the names outside of them. */
static enum err
find_calls(struct selecting *x, struct expr *e, uint32_t *names)
{
    if (e->kind == EXPR_NAME) ++*names;
    if (e->kind == EXPR_CALL) {
        if (x->call_count == CALLS_MAX)
            return why_set(x->q->why, ERR_LIMIT, "more than %d calls", CALLS_MAX);
        x->calls[x->call_count++] = e;
        return check_call(x, e, false);
    }
    for (uint32_t i = 0; i < e->item_count; i++) {
        enum err error = find_calls(x, e->items[i], names);
        if (error) return error;
    }
    return OK;
}

static const struct iql_function *
function_of(const struct selecting *x, uint32_t call)
{
    return iql_function(x->calls[call]->text);
}

static enum err
check_columns(struct selecting *x)
{
    struct influxql *q = x->q;
    uint32_t names = 0;
    for (uint32_t i = 0; i < x->column_count; i++) {
        enum err e = find_calls(x, x->columns[i].expr, &names);
        if (e) return e;
    }
    if (x->call_count == 0) {
        if (x->windows.interval_ns != 0)
            return why_set(q->why, ERR_INPUT, "GROUP BY requires at least one aggregate function");
        if (names == 0 && x->column_count > 0)
            return why_set(q->why, ERR_INPUT, "at least 1 non-time field must be queried");
        return OK;
    }
    const struct iql_function *first = function_of(x, 0);
    bool is_selector = first->kind == FUNCTION_SELECTOR ||
                       (first->kind == FUNCTION_MANY && first->arguments_max > 0);
    if (names > 0 && (!is_selector || x->call_count > 1))
        return why_set(q->why, ERR_INPUT,
                       x->call_count > 1 && is_selector
                           ? "mixing multiple selector functions with tags or fields is not "
                             "supported"
                           : "mixing aggregate and non-aggregate queries is not supported");
    for (uint32_t i = 0; i < x->call_count && x->call_count > 1; i++)
        if (function_of(x, i)->kind == FUNCTION_MANY)
            return why_set(q->why, ERR_INPUT,
                           "%s() cannot be combined with other functions or fields",
                           function_of(x, i)->name);
    return OK;
}

/* --- points ----------------------------------------------------------------------------------- */

static enum err
points_new(struct selecting *x, uint32_t count, struct points *ret)
{
    struct arena *arena = x->q->arena;
    *ret = (struct points){arena_alloc(arena, (count + 1) * sizeof *ret->times),
                           arena_alloc(arena, (count + 1) * sizeof *ret->values),
                           arena_alloc(arena, (count + 1) * sizeof *ret->rows), 0};
    return ret->times == NULL || ret->values == NULL || ret->rows == NULL ? query_no_memory(x->q)
                                                                          : OK;
}

/* The values of a field in the rows of the group. */
static enum err
field_points(struct selecting *x, const struct expr *field, struct points *ret)
{
    enum err e = points_new(x, x->row_count, ret);
    if (e || field->slot == SLOT_TAG) return e;
    for (uint32_t i = 0; i < x->row_count; i++) {
        double v = x->rows[i].cells[field->slot];
        if (isnan(v) || x->rows[i].time < x->from_ns) continue;
        ret->times[ret->count] = x->rows[i].time;
        ret->values[ret->count] = v;
        ret->rows[ret->count++] = i;
    }
    return OK;
}

static enum err call_points(struct selecting *x, const struct expr *call, struct points *ret);

/* Changes between windows begin with the one before the first, as in InfluxDB. */
static int64_t
first_ns(const struct selecting *x)
{
    bool has_changes = false;
    for (uint32_t c = 0; c < x->call_count; c++)
        has_changes |= function_of(x, c)->kind == FUNCTION_CHANGE &&
                       !bytes_equal_text(x->calls[c]->text, "cumulative_sum");
    if (!has_changes || x->bounds.min_ns < NO_TIME_MIN + x->windows.interval_ns)
        return x->bounds.min_ns;
    return x->bounds.min_ns - x->windows.interval_ns;
}

static enum cell_type
call_type(const struct frame *f, const struct expr *call)
{
    const struct iql_function *function = iql_function(call->text);
    if (function->type != GIVES_SAME)
        return function->type == GIVES_FLOAT ? CELL_FLOAT : CELL_INTEGER;
    const struct expr *field = call->items[0];
    if (field->kind == EXPR_CALL) return call_type(f, field);
    return field->slot == SLOT_TAG ? CELL_FLOAT : f->fields[field->slot].type;
}

/* The value at a time between two points, of which the second is `next`; a NaN outside of all. */
static double
linear(const struct points *p, uint32_t next, int64_t t, bool is_integer)
{
    if (next == 0 || next == p->count) return NAN;
    double share =
        time_between(p->times[next - 1], t) / time_between(p->times[next - 1], p->times[next]);
    double v = p->values[next - 1] + (p->values[next] - p->values[next - 1]) * share;
    return is_integer ? trunc(v) : v;
}

/* Gives the points of the windows of an aggregate with those that are filled,
 * for a function of changes. */
static enum err
fill_points(struct selecting *x, struct points *p, bool is_integer, bool is_count)
{
    const struct select *s = x->s;
    int64_t step = x->windows.interval_ns;
    if (step == 0 || p->count == 0 || s->fill == FILL_NONE || (s->fill == FILL_NULL && !is_count))
        return OK;
    int64_t first = p->times[0], last = p->times[p->count - 1];
    if (x->bounds.min_ns != NO_TIME_MIN) first = window_begin(&x->windows, x->from_ns);
    if (x->bounds.max_ns != NO_TIME_MAX) last = window_begin(&x->windows, x->bounds.max_ns);
    if (first > p->times[0]) first = p->times[0];
    if (time_between(first, last) / (double)step >= WINDOWS_MAX)
        return why_set(x->q->why, ERR_LIMIT, "more than %d windows", WINDOWS_MAX);
    struct points all;
    int64_t most = (last - first) / step + 2 + (last - first) / (28 * 86400 * NS_PER_S);
    enum err e = points_new(x, (uint32_t)most, &all); /* a change of the offset adds a window */
    for (int64_t t = first, i = 0; t <= last && all.count < most && e == OK;
         t = window_end(&x->windows, t)) {
        bool is_here = i < p->count && p->times[i] == t;
        double v = is_here ? p->values[i] : s->fill_number;
        if (!is_here && s->fill == FILL_PREVIOUS) v = i == 0 ? NAN : p->values[i - 1];
        if (!is_here && s->fill == FILL_LINEAR) v = linear(p, (uint32_t)i, t, is_integer);
        i += is_here;
        if (isnan(v)) continue;
        all.times[all.count] = t;
        all.values[all.count] = v;
        all.rows[all.count++] = 0;
    }
    *p = all;
    return e;
}

/* Runs a function for each window. */
static enum err
run_windows(struct selecting *x, const struct iql_function *f, const struct points *in,
            const double *arguments, struct points *to)
{
    enum err e = OK;
    bool keeps_times = f->kind == FUNCTION_MANY && f->arguments_max > 0;
    if (f->kind == FUNCTION_SELECTOR) keeps_times = x->windows.interval_ns == 0;
    for (uint32_t from = 0, end; from < in->count && e == OK; from = end) {
        int64_t begin = window_begin(&x->windows, in->times[from]);
        for (end = from + 1; end < in->count; end++)
            if (x->windows.interval_ns != 0 && window_begin(&x->windows, in->times[end]) != begin)
                break;
        if (x->windows.interval_ns == 0)
            begin = x->bounds.min_ns == NO_TIME_MIN ? 0 : x->bounds.min_ns;
        struct points part = {in->times + from, in->values + from, in->rows + from, end - from};
        struct point_window w = {x->q, &part, arguments, &x->windows, to};
        uint32_t before = to->count;
        e = f->run(&w);
        for (uint32_t i = before; i < to->count && !keeps_times; i++)
            to->times[i] = begin;
        if (e == OK) e = query_control_check(x->q->request.control, x->q->why);
    }
    return e;
}

static enum err
call_points(struct selecting *x, const struct expr *call, struct points *ret)
{
    const struct iql_function *f = iql_function(call->text);
    const struct expr *field = call->items[0];
    struct points in;
    double argument = 0;
    if (f->kind == FUNCTION_CHANGE) x->from_ns = first_ns(x);
    enum err e =
        field->kind == EXPR_CALL ? call_points(x, field, &in) : field_points(x, field, &in);
    if (e == OK && f->kind == FUNCTION_CHANGE && field->kind == EXPR_CALL)
        e = fill_points(x, &in, call_type(&x->frame, field) == CELL_INTEGER,
                        bytes_equal_text(field->text, "count"));
    if (e == OK) e = points_new(x, in.count, ret);
    if (e || in.count == 0) return e;
    if (call->item_count > 1)
        argument = call->items[1]->kind == EXPR_NUMBER ? call->items[1]->number
                                                       : (double)call->items[1]->integer;
    else if (bytes_equal_text(call->text, "elapsed"))
        argument = 1;
    else if (f->takes_duration)
        argument = field->kind == EXPR_CALL ? (double)x->windows.interval_ns : 1e9;
    struct point_window whole = {x->q, &in, &argument, &x->windows, ret};
    if (f->kind != FUNCTION_CHANGE && f->kind != FUNCTION_WHOLE)
        return run_windows(x, f, &in, &argument, ret);
    e = f->run(&whole);
    if (f->kind == FUNCTION_WHOLE && x->windows.interval_ns == 0)
        ret->times[0] = x->bounds.min_ns == NO_TIME_MIN ? 0 : x->bounds.min_ns;
    return e;
}

/* --- rows of the result ----------------------------------------------------------------------- */

/* True if the row has a field that the expression names. */
static bool
has_field(const struct expr *e, const struct row_of *row)
{
    if (e->kind == EXPR_NAME) return e->slot != SLOT_TAG && !isnan(row->cells[e->slot]);
    for (uint32_t i = 0; i < e->item_count; i++)
        if (has_field(e->items[i], row)) return true;
    return false;
}

static enum err
push_row(struct selecting *x, struct result_series *r, int64_t t, const struct row_of *row)
{
    struct arena *arena = x->q->arena;
    int64_t *times = arena_push(arena, r->times, r->row_count, sizeof *times);
    double *cells = arena_push(arena, r->cells, r->row_count, x->column_count * sizeof *cells);
    if (times == NULL || cells == NULL) return query_no_memory(x->q);
    r->times = times;
    r->cells = cells;
    cells += (size_t)r->row_count * x->column_count;
    bool is_any = x->call_count > 0;
    for (uint32_t i = 0; i < x->column_count && !is_any; i++)
        is_any = has_field(x->columns[i].expr, row);
    if (!is_any) return OK;
    for (uint32_t i = 0; i < x->column_count; i++) {
        const struct expr *e = x->columns[i].expr;
        if (r->columns[i].type == CELL_TEXT && e->kind == EXPR_NAME && e->slot == SLOT_TAG) {
            struct bytes tag =
                row->series == NULL ? bytes_of_text("") : tag_of(row->series, e->text);
            enum err error = OK;
            cells[i] = NAN;
            if (tag.size > 0) error = text_cell(x->q, tag, &cells[i]);
            if (error) return error;
            continue;
        }
        cells[i] = expr_value(e, row);
    }
    times[r->row_count++] = t;
    return OK;
}

static enum err
raw_rows(struct selecting *x, struct result_series *r)
{
    enum err e = OK;
    for (uint32_t i = 0; i < x->row_count && e == OK; i++) {
        const struct group_row *g = &x->rows[i];
        e = push_row(x, r, g->time, &(struct row_of){x->q, &x->frame, g->series, g->cells});
    }
    return e;
}

/* Finds the time of the next row: the first of the next points of all calls. */
static bool
next_time(const struct selecting *x, const struct points *all, const uint32_t *at, int64_t *ret)
{
    bool is_any = false;
    for (uint32_t c = 0; c < x->call_count; c++) {
        if (at[c] == all[c].count) continue;
        if (!is_any || all[c].times[at[c]] < *ret) *ret = all[c].times[at[c]];
        is_any = true;
    }
    return is_any;
}

/* The value of a call in a window without points. */
static double
filled(const struct selecting *x, uint32_t call, const struct points *p, uint32_t next, int64_t t)
{
    const struct iql_function *f = function_of(x, call);
    bool is_text = x->frame.fields[x->field_count + call].type == CELL_TEXT;
    if (f->kind == FUNCTION_CHANGE || x->windows.interval_ns == 0) return NAN;
    if (is_text && x->s->fill != FILL_PREVIOUS) return NAN;
    switch (x->s->fill) {
    case FILL_NUMBER:
        return x->s->fill_number;
    case FILL_PREVIOUS:
        return next == 0 ? NAN : p->values[next - 1];
    case FILL_LINEAR:
        return linear(p, next, t, x->frame.fields[x->field_count + call].type == CELL_INTEGER);
    case FILL_NULL:
        return p->count > 0 && bytes_equal_text(x->calls[call]->text, "count") ? 0 : NAN;
    case FILL_NONE:
        break;
    }
    return NAN;
}

/* True if each window gets a row, also one without points. */
static bool
is_filled(const struct selecting *x)
{
    if (x->windows.interval_ns == 0 || x->s->fill == FILL_NONE) return false;
    for (uint32_t c = 0; c < x->call_count; c++) {
        enum function_kind kind = function_of(x, c)->kind;
        if (kind != FUNCTION_AGGREGATE && kind != FUNCTION_SELECTOR) return false;
    }
    return true;
}

/* Joins the points of all calls by time. */
static enum err
joined_rows(struct selecting *x, const struct points *all, struct result_series *r)
{
    struct influxql *q = x->q;
    uint32_t *at = arena_new(q->arena, x->call_count * sizeof *at);
    double *cells = arena_alloc(q->arena, (x->field_count + x->call_count) * sizeof *cells);
    int64_t t = 0, step = x->windows.interval_ns, window = 0, last = 0;
    bool fills = is_filled(x);
    if (at == NULL || cells == NULL) return query_no_memory(q);
    if (!next_time(x, all, at, &t)) return OK;
    bool is_row_of_point = x->call_count == 1 && function_of(x, 0)->kind != FUNCTION_AGGREGATE;
    if (fills) {
        window = x->bounds.min_ns == NO_TIME_MIN ? t : window_begin(&x->windows, x->bounds.min_ns);
        for (uint32_t c = 0; c < x->call_count; c++)
            if (all[c].count > 0 && all[c].times[all[c].count - 1] > last)
                last = all[c].times[all[c].count - 1];
        if (x->bounds.max_ns != NO_TIME_MAX) last = window_begin(&x->windows, x->bounds.max_ns);
        if (time_between(window, last) / (double)step >= WINDOWS_MAX)
            return why_set(q->why, ERR_LIMIT, "more than %d windows", WINDOWS_MAX);
    }
    const struct group_row *from = NULL; /* of which the other columns are */
    bool is_one_row = step == 0 && x->call_count > 1;
    for (uint32_t c = 0; c < x->call_count; c++)
        is_one_row &= function_of(x, c)->kind != FUNCTION_CHANGE;
    for (;;) {
        bool is_any = next_time(x, all, at, &t);
        if (fills && window > last) return OK;
        if (!fills && !is_any) return OK;
        int64_t now = fills ? window : t;
        from = x->s->fill == FILL_PREVIOUS ? from : NULL;
        for (uint32_t i = 0; i < x->field_count; i++)
            cells[i] = x->s->fill == FILL_NUMBER && x->frame.fields[i].type != CELL_TEXT
                           ? x->s->fill_number
                           : NAN;
        for (uint32_t c = 0; c < x->call_count; c++) {
            const struct points *p = &all[c];
            bool is_here = at[c] < p->count && (is_one_row || p->times[at[c]] == now);
            if (is_here && is_row_of_point) from = &x->rows[p->rows[at[c]]];
            cells[x->field_count + c] = is_here ? p->values[at[c]] : filled(x, c, p, at[c], now);
            at[c] += is_here;
        }
        if (from != NULL && x->field_count > 0)
            memcpy(cells, from->cells, x->field_count * sizeof *cells);
        struct row_of row = {q, &x->frame, from == NULL ? NULL : from->series, cells};
        int64_t shown = is_one_row ? (x->bounds.min_ns == NO_TIME_MIN ? 0 : x->bounds.min_ns) : now;
        enum err e = push_row(x, r, shown, &row);
        if (e == OK) e = query_control_check(q->request.control, q->why);
        if (e || is_one_row) return e;
        window = fills ? window_end(&x->windows, window) : 0;
    }
}

static enum err
call_rows(struct selecting *x, struct result_series *r)
{
    struct points *all = arena_alloc(x->q->arena, x->call_count * sizeof *all);
    enum err e = all == NULL ? query_no_memory(x->q) : OK;
    for (uint32_t c = 0; c < x->call_count && e == OK; c++) {
        x->from_ns = x->bounds.min_ns;
        e = call_points(x, x->calls[c], &all[c]);
    }
    return e ? e : joined_rows(x, all, r);
}

/* --- groups ----------------------------------------------------------------------------------- */

static int
compare_rows(const void *a, const void *b)
{
    const struct group_row *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return (x->cells > y->cells) - (x->cells < y->cells);
}

/* Collects the rows of the series of a group that fit the condition and the
 * bounds. */
static enum err
collect_rows(struct selecting *x, const uint32_t *members, uint32_t count)
{
    struct frame *f = &x->frame;
    int64_t from = first_ns(x);
    size_t most = 0;
    for (uint32_t i = 0; i < count; i++)
        most += f->series[members[i]].row_count;
    if (most > UINT32_MAX / 2) return query_no_memory(x->q);
    x->rows = arena_alloc(x->q->arena, (most + 1) * sizeof *x->rows);
    x->row_count = 0;
    if (x->rows == NULL) return query_no_memory(x->q);
    for (uint32_t i = 0; i < count; i++) {
        const struct frame_series *s = &f->series[members[i]];
        for (uint32_t k = 0; k < s->row_count; k++) {
            const double *cells = &s->cells[(size_t)k * x->field_count];
            bool is_in = s->times[k] >= from && s->times[k] <= x->bounds.max_ns;
            if (!is_in || !where_holds(x->where, &(struct row_of){x->q, f, s, cells})) continue;
            x->rows[x->row_count++] = (struct group_row){s->times[k], s, cells, i};
        }
    }
    if (count > 1) qsort(x->rows, x->row_count, sizeof *x->rows, compare_rows);
    return OK;
}

static void
reverse(struct result_series *r, uint32_t width)
{
    for (uint32_t i = 0, k = r->row_count; i + 1 < k--; i++) {
        int64_t t = r->times[i];
        r->times[i] = r->times[k];
        r->times[k] = t;
        for (uint32_t c = 0; c < width; c++) {
            double v = r->cells[(size_t)i * width + c];
            r->cells[(size_t)i * width + c] = r->cells[(size_t)k * width + c];
            r->cells[(size_t)k * width + c] = v;
        }
    }
}

static void
limit_rows(const struct selecting *x, struct result_series *r)
{
    const struct limits *l = &x->s->limits;
    if (x->s->is_descending) reverse(r, x->column_count);
    uint32_t skip = l->offset < r->row_count ? (uint32_t)l->offset : r->row_count;
    r->times += skip;
    r->cells += (size_t)skip * x->column_count;
    r->row_count -= skip;
    if (l->limit != 0 && l->limit < r->row_count) r->row_count = (uint32_t)l->limit;
}

static enum err
answer_group(struct selecting *x, const uint32_t *members, uint32_t count)
{
    struct influxql *q = x->q;
    struct result_series r = {
        .name = x->frame.name, .zone = q->zone, .tag_count = x->dimension_count};
    r.tags = arena_alloc(q->arena, (r.tag_count + 1) * sizeof *r.tags);
    r.columns = arena_alloc(q->arena, (x->column_count + 1) * sizeof *r.columns);
    r.column_count = x->column_count;
    if (r.tags == NULL || r.columns == NULL) return query_no_memory(q);
    for (uint32_t i = 0; i < r.tag_count; i++)
        r.tags[i] = (struct label){x->dimensions[i],
                                   tag_of(&x->frame.series[members[0]], x->dimensions[i])};
    for (uint32_t i = 0; i < x->column_count; i++)
        r.columns[i] =
            (struct result_column){x->columns[i].alias, expr_type(x->columns[i].expr, &x->frame)};
    enum err e = query_control_check(q->request.control, q->why);
    if (e == OK) e = collect_rows(x, members, count);
    if (e == OK && x->row_count > 0) e = x->call_count == 0 ? raw_rows(x, &r) : call_rows(x, &r);
    if (e) return e;
    limit_rows(x, &r);
    if (r.row_count == 0) return OK;
    struct result_series *items = arena_push(q->arena, x->to->items, x->to->count, sizeof *items);
    if (items == NULL) return query_no_memory(q);
    x->to->items = items;
    items[x->to->count++] = r;
    return OK;
}

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static enum err
add_dimension(struct selecting *x, struct bytes name)
{
    for (uint32_t i = 0; i < x->dimension_count; i++)
        if (bytes_equal(x->dimensions[i], name)) return OK;
    struct bytes *all = arena_push(x->q->arena, x->dimensions, x->dimension_count, sizeof *all);
    if (all == NULL) return query_no_memory(x->q);
    x->dimensions = all;
    all[x->dimension_count++] = name;
    return OK;
}

/* Finds the tags by which the frame is grouped. */
static enum err
find_dimensions(struct selecting *x)
{
    struct wild_names tags = {NULL, 0};
    enum err e = OK;
    x->dimension_count = 0;
    for (uint32_t i = 0; i < x->s->tag_count && e == OK; i++) {
        const struct expr *t = x->s->tags[i];
        if (t->kind == EXPR_NAME)
            e = add_dimension(x, t->text);
        else if (tags.count == 0)
            e = x->measurement == NULL ? add_frame_tags(x, &x->frame, &tags)
                                       : add_tags_of(x, x->measurement, &tags);
        for (uint32_t k = 0; k < tags.count && e == OK && t->kind != EXPR_NAME; k++)
            if (t->kind == EXPR_WILDCARD || matcher_matches(t->regex, tags.items[k].name))
                e = add_dimension(x, tags.items[k].name);
    }
    if (x->dimension_count > 0)
        qsort(x->dimensions, x->dimension_count, sizeof *x->dimensions, compare_names);
    return e;
}

struct group_member {
    const struct selecting *x;
    uint32_t series;
};

static int
compare_members(const void *a, const void *b)
{
    const struct group_member *m = a, *n = b;
    const struct selecting *x = m->x;
    for (uint32_t i = 0; i < x->dimension_count; i++) {
        int order = bytes_compare(tag_of(&x->frame.series[m->series], x->dimensions[i]),
                                  tag_of(&x->frame.series[n->series], x->dimensions[i]));
        if (order != 0) return order;
    }
    return 0;
}

static int
compare_member_places(const void *a, const void *b)
{
    const struct group_member *m = a, *n = b;
    int order = compare_members(a, b);
    return order != 0 ? order : (m->series > n->series) - (m->series < n->series);
}

/* Answers all groups of a frame, whose names are resolved. */
static enum err
answer_frame(struct selecting *x)
{
    struct frame *f = &x->frame;
    struct group_member *all = arena_alloc(x->q->arena, (f->series_count + 1) * sizeof *all);
    uint32_t *members = arena_alloc(x->q->arena, (f->series_count + 1) * sizeof *members);
    if (all == NULL || members == NULL) return query_no_memory(x->q);
    enum err e = find_dimensions(x);
    for (uint32_t i = 0; i < f->series_count; i++)
        all[i] = (struct group_member){x, i};
    qsort(all, f->series_count, sizeof *all, compare_member_places);
    if (x->s->is_descending)
        for (uint32_t i = 0, k = f->series_count; i + 1 < k--; i++) {
            struct group_member first = all[i];
            all[i] = all[k];
            all[k] = first;
        }
    for (uint32_t i = 0, end; i < f->series_count && e == OK; i = end) {
        uint32_t count = 0;
        for (end = i; end < f->series_count && compare_members(&all[i], &all[end]) == 0; end++)
            members[count++] = all[end].series;
        e = answer_group(x, members, count);
    }
    return e;
}

/* --- frames ----------------------------------------------------------------------------------- */

/* Finds which fields of a measurement an expression needs. */
static void
need_fields(const struct measurement *m, const struct expr *e, bool *is_needed)
{
    for (uint32_t i = 0; i < m->field_count && e->kind == EXPR_NAME && e->cast != CAST_TAG; i++)
        is_needed[i] |= bytes_equal(m->fields[i].name, e->text);
    for (uint32_t i = 0; i < e->item_count; i++)
        need_fields(m, e->items[i], is_needed);
}

/* A text can be counted, or taken as it is; a cell has only its number. */
static enum err
check_texts(struct selecting *x, const struct frame *f, const struct expr *call)
{
    static const char *const takes_texts[] = {"count", "first", "last", "elapsed"};
    const struct expr *field = call->items[0];
    bool is_call = field->kind == EXPR_CALL, is_known = false;
    enum cell_type type = CELL_FLOAT;
    enum err e = is_call ? check_texts(x, f, field) : OK;
    if (is_call)
        type = call_type(f, field);
    else if (field->slot != SLOT_TAG)
        type = f->fields[field->slot].type;
    for (unsigned i = 0; i < sizeof takes_texts / sizeof *takes_texts; i++)
        is_known |= bytes_equal_text(call->text, takes_texts[i]);
    if (e || type != CELL_TEXT || is_known) return e;
    return why_set(x->q->why, ERR_INPUT, "%s() takes no texts", iql_function(call->text)->name);
}

/* Resolves the names in all expressions, and makes fields of the calls. */
static enum err
use_frame(struct selecting *x, const struct frame *f)
{
    struct frame_field *fields =
        arena_alloc(x->q->arena, (f->field_count + x->call_count + 1) * sizeof *fields);
    if (fields == NULL) return query_no_memory(x->q);
    x->frame = *f;
    x->field_count = f->field_count;
    for (uint32_t i = 0; i < x->column_count; i++)
        expr_resolve(x->columns[i].expr, f);
    if (x->where != NULL) expr_resolve(x->where, f);
    if (f->field_count > 0) memcpy(fields, f->fields, f->field_count * sizeof *fields);
    for (uint32_t c = 0; c < x->call_count; c++) {
        enum err e = check_texts(x, f, x->calls[c]);
        if (e) return e;
        fields[f->field_count + c] =
            (struct frame_field){x->calls[c]->text, call_type(f, x->calls[c])};
        x->calls[c]->slot = f->field_count + c;
    }
    x->frame.fields = fields;
    x->frame.field_count = f->field_count + x->call_count;
    return answer_frame(x);
}

static bool
has_call(const struct expr *e)
{
    bool is_any = e->kind == EXPR_CALL;
    for (uint32_t i = 0; i < e->item_count; i++)
        is_any |= has_call(e->items[i]);
    return is_any;
}

static enum err
answer_all(struct selecting *x)
{
    struct influxql *q = x->q;
    enum err e = OK;
    for (uint32_t i = 0; i < x->measurement_count && e == OK; i++) {
        const struct measurement *m = x->measurements[i];
        struct frame f;
        bool *is_needed = arena_new(q->arena, m->field_count + 1);
        if (is_needed == NULL) return query_no_memory(q);
        for (uint32_t k = 0; k < x->column_count; k++)
            need_fields(m, x->columns[k].expr, is_needed);
        if (x->where != NULL) need_fields(m, x->where, is_needed);
        struct bounds bounds = {first_ns(x), x->bounds.max_ns};
        x->measurement = m;
        e = frame_read(q, m, is_needed, x->where, bounds, &f);
        if (e == OK) e = use_frame(x, &f);
    }
    x->measurement = NULL;
    for (uint32_t i = 0; i < x->frame_count && e == OK; i++)
        e = use_frame(x, &x->frames[i]);
    return e;
}

static void
limit_series(struct selecting *x)
{
    const struct limits *l = &x->s->limits;
    uint64_t skip = l->series_offset < x->to->count ? l->series_offset : x->to->count;
    x->to->items += skip;
    x->to->count -= (uint32_t)skip;
    if (l->series_limit != 0 && l->series_limit < x->to->count)
        x->to->count = (uint32_t)l->series_limit;
}

/* Keeps the windows around the bounds within the times that there are. */
static void
limit_bounds(struct selecting *x)
{
    int64_t room = 2 * x->windows.interval_ns + 4 * 86400 * NS_PER_S;
    struct bounds *b = &x->bounds;
    if (b->min_ns != NO_TIME_MIN && b->min_ns < INT64_MIN + room) b->min_ns = INT64_MIN + room;
    if (b->max_ns > INT64_MAX - room) b->max_ns = INT64_MAX - room;
}

static enum err
answer(struct influxql *q, const struct select *s, struct bounds outer, struct result *ret)
{
    struct selecting *x = arena_new(q->arena, sizeof *x);
    const struct expr *rest;
    if (x == NULL) return query_no_memory(q);
    x->q = q;
    x->s = s;
    x->to = ret;
    x->bounds = outer;
    x->windows = (struct window_times){s->interval_ns, s->offset_ns, q->zone};
    if (s->interval_ns != 0) x->windows.offset_ns %= s->interval_ns;
    enum err e = where_split(q, s->where, &x->bounds, &rest);
    if (e == OK && s->interval_ns != 0 && x->bounds.max_ns == NO_TIME_MAX)
        x->bounds.max_ns = q->now_ms * NS_PER_MS;
    if (s->interval_ns != 0) limit_bounds(x);
    x->where = (struct expr *)(uintptr_t)rest;
    if (e == OK && x->where != NULL && has_call(x->where))
        e = why_set(q->why, ERR_INPUT, "functions are not permitted in WHERE");
    if (e == OK) e = find_sources(x);
    if (e == OK) e = find_columns(x);
    if (e == OK) e = check_columns(x);
    if (e == OK) e = name_columns(x);
    if (e == OK && x->column_count > 0) e = answer_all(x);
    if (e == OK) limit_series(x);
    return e;
}

enum err
select_run(struct influxql *q, const struct select *s, struct bounds outer, struct result *ret)
{
    const struct zone *around = q->zone;
    enum err e = OK;
    if (s->zone.size > 0)
        e = zone_read(q->request.control->env, s->zone, q->arena, &q->zone, q->why);
    if (e != OK && e != ERR_NOMEM)
        e = why_set(q->why, ERR_INPUT, "error parsing query: unable to find time zone %s",
                    shown_of(s->zone).text);
    if (e == OK) e = answer(q, s, outer, ret);
    q->zone = around;
    return e;
}
