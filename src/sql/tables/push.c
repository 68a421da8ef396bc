/*
 * push.c - see tables.h: conditions of a statement that the view can answer.
 *
 * Each of them only keeps rows away that SQLite would drop: it looks at all conditions again, but
 * those on time and the selector, which are exact here. A missing label is NULL in SQL, so that no
 * comparison finds it; for a matcher it is the empty text, which no value of a label is.
 */
#include "sql/tables/tables.h"

#include <math.h>
#include <stdio.h>

#include "model/selector.h"

enum { ALTERNATIVES_BYTES_MAX = 64 * 1024 };

/* --- choosing ----------------------------------------------------------------------------------
 */

/* The conditions that columns of a kind can be asked for, by bits of the kind. */
static const struct {
    int op;
    unsigned kinds;
    const char *word;
} operators[] = {
#define KIND(k) (1u << COLUMN_##k)
    {SQLITE_INDEX_CONSTRAINT_EQ,
     KIND(TIME) | KIND(METRIC) | KIND(SERIES) | KIND(SELECTOR) | KIND(ARGUMENT) | KIND(LABEL),
     "=?"},
    {SQLITE_INDEX_CONSTRAINT_GT, KIND(TIME), ">?"},
    {SQLITE_INDEX_CONSTRAINT_GE, KIND(TIME), ">=?"},
    {SQLITE_INDEX_CONSTRAINT_LT, KIND(TIME), "<?"},
    {SQLITE_INDEX_CONSTRAINT_LE, KIND(TIME), "<=?"},
    {SQLITE_INDEX_CONSTRAINT_LIKE, KIND(METRIC) | KIND(LABEL), " LIKE ?"},
    {SQLITE_INDEX_CONSTRAINT_GLOB, KIND(METRIC) | KIND(LABEL), " GLOB ?"},
    {SQLITE_INDEX_CONSTRAINT_REGEXP, KIND(METRIC) | KIND(LABEL), " REGEXP ?"},
    {SQLITE_INDEX_CONSTRAINT_ISNULL, KIND(METRIC) | KIND(LABEL), " IS NULL"},
    {SQLITE_INDEX_CONSTRAINT_ISNOTNULL, KIND(METRIC) | KIND(LABEL), " IS NOT NULL"},
#undef KIND
};

/* Returns what an operator is called if a column of the kind can be asked for it, or NULL. */
static const char *
operator_word(int op, enum column_kind kind)
{
    for (unsigned i = 0; i < sizeof operators / sizeof *operators; i++)
        if (operators[i].op == op) return operators[i].kinds >> kind & 1 ? operators[i].word : NULL;
    return NULL;
}

/* Appends a condition to the description. */
static int
describe(sqlite3_index_info *info, const struct pushed_term *term, const char *word)
{
    static const char *const words[] = {"", "time", "metric", "series", "selector", "argument"};
    struct bytes name = term->kind == COLUMN_LABEL ? term->label : bytes_of_text(words[term->kind]);
    char *text = sqlite3_mprintf("%s%s%.*s%s", info->idxStr == NULL ? "" : info->idxStr,
                                 info->idxStr == NULL ? "" : " AND ", (int)name.size,
                                 (const char *)name.at, term->is_in ? " IN (...)" : word);
    if (text == NULL) return SQLITE_NOMEM;
    if (info->needToFreeIdxStr) sqlite3_free(info->idxStr);
    info->idxStr = text;
    info->needToFreeIdxStr = 1;
    return SQLITE_OK;
}

int
sql_push_conditions(const struct sql_table *table, sqlite3_index_info *info, struct pushdown *ret)
{
    const struct table_definition *d = table->definition;
    double rows = d->rows;
    int needed = 0, given = 0;
    *ret = (struct pushdown){.used = info->colUsed};
    for (int i = 0; i < d->count; i++)
        needed += d->kinds[i] == COLUMN_ARGUMENT;
    for (int i = 0; i < info->nConstraint; i++) {
        const struct sqlite3_index_constraint *c = &info->aConstraint[i];
        struct pushed_term term = {.op = c->op, .kind = COLUMN_LABEL};
        if (c->iColumn < 0) continue;
        if (c->iColumn < d->count)
            term.kind = d->kinds[c->iColumn];
        else
            term.label = table->labels[c->iColumn - d->count];
        bool is_argument = term.kind == COLUMN_SELECTOR || term.kind == COLUMN_ARGUMENT;
        bool is_label = term.kind == COLUMN_METRIC || term.kind == COLUMN_LABEL;
        const char *word = operator_word(c->op, term.kind);
        if (is_argument && !c->usable) return SQLITE_CONSTRAINT;
        if (word == NULL || !c->usable || ret->count == PUSHED_MAX) continue;
        /* Comparisons of texts by another collation are left to SQLite. */
        if ((is_label || term.kind == COLUMN_SERIES) &&
            sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
            continue;
        if (term.kind == COLUMN_METRIC) term.label = bytes_of_text("__name__");
        /* Lists of values of other columns are asked for one by one. */
        if (is_label && c->op == SQLITE_INDEX_CONSTRAINT_EQ)
            term.is_in = sqlite3_vtab_in(info, i, 1);
        if (term.kind == COLUMN_ARGUMENT) {
            int place = 0;
            for (int k = 0; k < c->iColumn; k++)
                place += d->kinds[k] == COLUMN_ARGUMENT;
            if (given >> place & 1) continue; /* it is given twice */
            given |= 1 << place;
            ret->arguments[place] = ret->count;
        }
        ret->terms[ret->count++] = term;
        info->aConstraintUsage[i].argvIndex = ret->count;
        info->aConstraintUsage[i].omit = term.kind == COLUMN_TIME || is_argument;
        rows *= term.kind == COLUMN_SERIES            ? 1e-4
                : c->op == SQLITE_INDEX_CONSTRAINT_EQ ? 0.05
                                                      : 0.3;
        int code = describe(info, &term, word);
        if (code != SQLITE_OK) return code;
    }
    if (given != (1 << needed) - 1) return SQLITE_CONSTRAINT;
    info->estimatedRows = rows < 1 ? 1 : (sqlite3_int64)rows;
    info->estimatedCost = 1000 + rows;
    return SQLITE_OK;
}

/* --- times -------------------------------------------------------------------------------------
 */

/* Narrows the times to the integers for which the comparison with `d` holds. */
static void
bound_by_double(struct question *q, int op, double d)
{
    bool is_low = op == SQLITE_INDEX_CONSTRAINT_GT || op == SQLITE_INDEX_CONSTRAINT_GE;
    bool is_high = op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE;
    double low = op == SQLITE_INDEX_CONSTRAINT_GT ? floor(d) + 1 : ceil(d);
    double high = op == SQLITE_INDEX_CONSTRAINT_LT ? ceil(d) - 1 : floor(d);
    if (!is_high && low >= 0x1p63)
        q->is_empty = true;
    else if (!is_high && low > (double)INT64_MIN && (int64_t)low > q->min_ms)
        q->min_ms = (int64_t)low;
    if (!is_low && high < -0x1p63)
        q->is_empty = true;
    else if (!is_low && high < 0x1p63 && (int64_t)high < q->max_ms)
        q->max_ms = (int64_t)high;
}

static void
bound_by_int(struct question *q, int op, int64_t t)
{
    bool is_low = op == SQLITE_INDEX_CONSTRAINT_GT || op == SQLITE_INDEX_CONSTRAINT_GE;
    bool is_high = op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE;
    int64_t low = t, high = t;
    if (op == SQLITE_INDEX_CONSTRAINT_GT && __builtin_add_overflow(t, 1, &low)) q->is_empty = true;
    if (op == SQLITE_INDEX_CONSTRAINT_LT && __builtin_sub_overflow(t, 1, &high)) q->is_empty = true;
    if (!is_high && low > q->min_ms) q->min_ms = low;
    if (!is_low && high < q->max_ms) q->max_ms = high;
}

static enum err
bound_time(struct question *q, int op, sqlite3_value *value, struct why *why)
{
    switch (sqlite3_value_numeric_type(value)) {
    case SQLITE_INTEGER:
        bound_by_int(q, op, sqlite3_value_int64(value));
        return OK;
    case SQLITE_FLOAT:
        bound_by_double(q, op, sqlite3_value_double(value));
        return OK;
    case SQLITE_NULL:
        q->is_empty = true;
        return OK;
    default:
        return why_set(why, ERR_INPUT,
                       "a time is compared with a text: write ts('2024-02-29 12:00') or "
                       "ago('1h'), which are milliseconds");
    }
}

/* --- labels ------------------------------------------------------------------------------------
 */

/* Appends the text as a regular expression that matches only it. */
static void
put_quoted(struct buf *to, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '_' || c >= 0x80;
        if (c == '\0') {
            buf_put_text(to, "\\x00");
        } else {
            if (!is_plain) buf_put_u8(to, '\\');
            buf_put_u8(to, c);
        }
    }
}

/* Adds a matcher. One that cannot be made of this text, or is too large, is left to SQLite. */
static enum err
add_matcher(struct sql *sql, struct question *q, enum matcher_type type, struct bytes label,
            struct bytes pattern)
{
    struct why why;
    enum err e =
        matcher_new(type, label, pattern, sql->options.budget, &q->matchers[q->count], &why);
    if (e == OK) q->count++;
    return e == ERR_NOMEM ? e : OK;
}

/* Makes a pattern of the texts in a list. NULL of the list is found by nothing. */
static enum err
put_alternatives(sqlite3_value *list, struct buf *to, bool *ret_whole, bool *ret_any)
{
    sqlite3_value *value;
    *ret_whole = true;
    *ret_any = false;
    int code = sqlite3_vtab_in_first(list, &value);
    for (; code == SQLITE_OK; code = sqlite3_vtab_in_next(list, &value)) {
        int type = sqlite3_value_type(value);
        if (type == SQLITE_NULL) continue;
        struct bytes text = sql_text(value);
        if (type != SQLITE_TEXT) *ret_whole = false;
        if (*ret_any) buf_put_u8(to, '|');
        put_quoted(to, text);
        *ret_any = true;
    }
    if (buf_error(to) == ERR_LIMIT) *ret_whole = false;
    return code == SQLITE_DONE && buf_error(to) != ERR_NOMEM ? OK : ERR_NOMEM;
}

/* Puts what a pattern of LIKE or GLOB begins with, before the first wildcard. */
static void
put_prefix(struct buf *to, struct bytes pattern, const char *wildcards)
{
    size_t size = 0;
    while (size < pattern.size && strchr(wildcards, pattern.at[size]) == NULL)
        size++;
    put_quoted(to, bytes_of(pattern.at, size));
    if (size > 0) buf_put_text(to, ".*");
}

static enum err
push_label(struct sql *sql, struct question *q, const struct pushed_term *term,
           sqlite3_value *value)
{
    struct buf pattern;
    enum matcher_type type = MATCH_REGEX;
    bool is_pushed = true, is_any = true;
    struct bytes text = sql_text(value);
    enum err e = OK;
    buf_init(&pattern, sql->options.budget, ALTERNATIVES_BYTES_MAX);
    if (term->op == SQLITE_INDEX_CONSTRAINT_ISNULL) {
        type = MATCH_EQUAL;
    } else if (term->op == SQLITE_INDEX_CONSTRAINT_ISNOTNULL) {
        type = MATCH_NOT_EQUAL;
    } else if (term->is_in) {
        e = put_alternatives(value, &pattern, &is_pushed, &is_any);
        if (!is_any) q->is_empty = true;
    } else if (sqlite3_value_type(value) == SQLITE_NULL) {
        q->is_empty = true;
    } else if (sqlite3_value_type(value) != SQLITE_TEXT) {
        is_pushed = false; /* 5 = '5': SQLite's to decide */
    } else if (term->op == SQLITE_INDEX_CONSTRAINT_EQ) {
        type = MATCH_EQUAL;
        buf_put_bytes(&pattern, text);
        if (text.size == 0) q->is_empty = true;
    } else if (term->op == SQLITE_INDEX_CONSTRAINT_LIKE) {
        buf_put_text(&pattern, "(?i)"); /* folds more than LIKE */
        put_prefix(&pattern, text, "%_");
        is_pushed = pattern.size > 4;
    } else if (term->op == SQLITE_INDEX_CONSTRAINT_GLOB) {
        put_prefix(&pattern, text, "*?[");
        is_pushed = pattern.size > 0;
    } else if (q->count < sizeof q->matchers / sizeof *q->matchers) {
        struct why why;
        e = sql_find_new(MATCH_REGEX, term->label, text, sql->options.budget,
                         &q->matchers[q->count], &why);
        if (e == OK) q->count++;
        if (e != ERR_NOMEM) e = OK; /* the function says what is wrong */
        is_pushed = false;
    }
    if (e == OK && is_pushed && !q->is_empty && buf_error(&pattern) == OK)
        e = add_matcher(sql, q, type, term->label, buf_bytes(&pattern));
    if (buf_error(&pattern) == ERR_NOMEM) e = ERR_NOMEM;
    buf_fini(&pattern);
    return e;
}

/* Adds the matchers of a selector. */
static enum err
push_selector(struct question *q, sqlite3_value *value, struct why *why)
{
    struct selector selector;
    struct bytes text = sql_text(value);
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        q->is_empty = true;
        return OK;
    }
    if (text.at == NULL) return why_set(why, ERR_INPUT, "a selector is a text: 'up{job=\"x\"}'");
    enum err e = selector_parse_any(text, &selector, why);
    if (e) return e;
    if (selector.count > sizeof q->matchers / sizeof *q->matchers - q->count) {
        selector_fini(&selector);
        return why_set(why, ERR_LIMIT, "the statement has too many conditions on labels");
    }
    memcpy(&q->matchers[q->count], selector.matchers, selector.count * sizeof *selector.matchers);
    q->count += selector.count;
    return OK;
}

/* Adds the matchers of all labels of a series, whose text is its selector. No other text is that of
 * a series, nor is another value. */
static enum err
push_series(struct question *q, sqlite3_value *value, struct why *why)
{
    if (sqlite3_value_type(value) == SQLITE_TEXT) {
        enum err e = push_selector(q, value, why);
        if (e != ERR_INPUT) return e;
    }
    q->is_empty = true;
    return OK;
}

enum err
sql_question_make(struct sql *sql, const struct pushdown *pushed, sqlite3_value **values,
                  struct question *ret, struct why *why)
{
    *ret = (struct question){.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    enum err e = OK;
    for (int i = 0; i < pushed->count && e == OK && !ret->is_empty; i++) {
        const struct pushed_term *term = &pushed->terms[i];
        if (term->kind == COLUMN_TIME)
            e = bound_time(ret, term->op, values[i], why);
        else if (term->kind == COLUMN_LABEL || term->kind == COLUMN_METRIC)
            e = push_label(sql, ret, term, values[i]);
        else if (term->kind == COLUMN_SELECTOR)
            e = push_selector(ret, values[i], why);
        else if (term->kind == COLUMN_SERIES)
            e = push_series(ret, values[i], why);
    }
    if (ret->min_ms > ret->max_ms) ret->is_empty = true;
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the statement") : e;
}

void
sql_question_fini(struct question *q)
{
    for (uint32_t i = 0; i < q->count; i++)
        matcher_free(q->matchers[i]);
    q->count = 0;
}
