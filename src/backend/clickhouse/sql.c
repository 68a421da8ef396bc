/*
 * sql.c - the statements that read a table, and the check that it can be read. They use only
 * functions of 18.16, and no settings, so that a user with readonly = 1 can send them.
 *
 * UNION ALL puts its parts in any order, so ORDER BY puts the row that ends the response, whose
 * first column is 1, last. Names of results begin with fk_, so that they are not those of columns.
 *
 * A matcher becomes a condition if ClickHouse would select the same rows: it compares texts as
 * bytes. The text of labels that Firekeep wrote is canonical (wire/point/clickhouse_row.h). It has
 *
 *     {"job":"x"      at the front, or       ,"job":"x"       anywhere
 *
 * exactly if the label job is x, for names of letters, digits and _: a quote after a brace or comma
 * opens a name, or closes a text and is followed by `,`, `:` or `}`; within texts quotes have a
 * backslash before them. Other names, regexes that are not lists of texts, and labels that others
 * wrote are filtered by the reader; a regex becomes a condition on the prefix of its values.
 */
#include "backend/clickhouse/clickhouse_reader.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "backend/clickhouse/clickhouse.h"
#include "base/text/json.h"

enum { LITERALS_MAX = 200, LITERALS_BYTES_MAX = 32 * 1024, SQL_TEXT_BYTES_MAX = 1 << 20 };

const char clickhouse_series_kinds[] = "ttnnn";
const char clickhouse_samples_kinds[] = "ttNNNNT";

/* --- columns ---------------------------------------------------------------------------------- */

static bool
has(const struct clickhouse_form *f, enum clickhouse_column column)
{
    return f->table.columns[column].type[0] != '\0';
}

static void
put_name(struct buf *to, const struct clickhouse_form *f, enum clickhouse_column column)
{
    clickhouse_quoted_put(to, '`', bytes_of_text(f->names[column]));
}

/* True if a type is one of those listed, each with a blank before and after it; with
 * LowCardinality() around it or not. */
static bool
is_among(const char *type, const char *list)
{
    static const char wrapper[] = "LowCardinality(";
    char wanted[CLICKHOUSE_NAME_BYTES + 2];
    size_t skip = strncmp(type, wrapper, sizeof wrapper - 1) == 0 ? sizeof wrapper - 1 : 0;
    snprintf(wanted, sizeof wanted, " %.*s ", (int)strcspn(type + skip, "()"), type + skip);
    return strstr(list, wanted) != NULL;
}

static const char integers[] = " Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 ";

static bool
is_date_time(const struct clickhouse_form *f)
{
    return is_among(f->table.columns[COLUMN_TIME].type, " DateTime ");
}

/* The time in milliseconds. */
static void
put_time(struct buf *to, const struct clickhouse_form *f)
{
    bool plain = strcmp(f->table.columns[COLUMN_TIME].type, "Int64") == 0;
    if (!plain) buf_put_text(to, is_date_time(f) ? "toInt64(toUInt32(" : "toInt64(");
    put_name(to, f, COLUMN_TIME);
    if (!plain) buf_put_text(to, is_date_time(f) ? ")) * 1000" : ")");
}

enum err
clickhouse_form_check(const struct clickhouse_form *f, const struct clickhouse_settings *s,
                      struct why *why)
{
    static const struct {
        const char *types;
        const char *expected;
    } wanted[CLICKHOUSE_COLUMNS] = {
        [COLUMN_METRIC] = {" String ", "String"},
        [COLUMN_LABELS] = {" String ", "String"},
        [COLUMN_TIME] = {" Int64 UInt64 Int32 UInt32 DateTime ", "Int64 or DateTime"},
        [COLUMN_VALUE] = {NULL, "Float64"},
        [COLUMN_BITS] = {" UInt64 ", "UInt64"},
        [COLUMN_HISTOGRAM] = {" String ", "String"},
        [COLUMN_START_TIME] = {" Int64 ", "Int64"},
    };
    char name[CLICKHOUSE_NAME_BYTES];
    clickhouse_table_name(s, name);
    if (!f->table.found)
        return why_set(why, ERR_INPUT, "table %s does not exist, or the user may not see it", name);
    for (int i = 0; i < CLICKHOUSE_COLUMNS; i++) {
        const char *type = f->table.columns[i].type;
        bool is_renamed = strcmp(f->names[i], clickhouse_column_names[i]) != 0;
        bool needed = i <= COLUMN_VALUE || is_renamed;
        if (type[0] == '\0' && needed) {
            return why_set(why, ERR_INPUT,
                           "table %s has no column %s: name the column with columns.%s", name,
                           f->names[i], clickhouse_column_names[i]);
        }
        bool fits = wanted[i].types != NULL
                        ? is_among(type, wanted[i].types)
                        : is_among(type, " Float64 Float32 ") || is_among(type, integers);
        if (type[0] == '\0' || fits) continue;
        return why_set(why, ERR_INPUT, "column %s of table %s has type %s, expected %s",
                       f->names[i], name, type, wanted[i].expected);
    }
    for (enum clickhouse_setting i = 0; f->table.is_readonly && i < CLICKHOUSE_SETTINGS; i++) {
        if (!f->table.omits[i]) continue;
        return why_set(why, ERR_INPUT,
                       "responses may lack rows without an error: set %s to %s in the profile of "
                       "the user, or let it send settings with readonly 2",
                       clickhouse_setting_word(i), clickhouse_setting_whole(i));
    }
    return OK;
}

/* --- conditions ------------------------------------------------------------------------------- */

static void
put_and(struct buf *to, bool *begun)
{
    buf_put_text(to, *begun ? " AND " : " WHERE ");
    *begun = true;
}

/* Conditions on the time; for a DateTime also in a form that its index supports. */
static void
put_times(struct buf *to, const struct clickhouse_form *f, int64_t min_ms, int64_t max_ms,
          bool *begun)
{
    for (int last = 0; last < 2; last++) {
        int64_t ms = last ? max_ms : min_ms;
        if (ms == (last ? INT64_MAX : INT64_MIN)) continue;
        put_and(to, begun);
        put_time(to, f);
        buf_printf(to, last ? " <= %" PRId64 : " >= %" PRId64, ms);
        if (!is_date_time(f)) continue;
        put_and(to, begun);
        put_name(to, f, COLUMN_TIME);
        buf_put_text(to, last ? " <= " : " >= ");
        /* Seconds within the range of DateTime. */
        int64_t s = ms / 1000;
        if (ms < 0 || s > UINT32_MAX) s = ms < 0 ? 0 : UINT32_MAX;
        if (!last && ms > 0 && ms % 1000 != 0 && s < UINT32_MAX) s++;
        buf_printf(to, "toDateTime(%" PRId64 ")", s);
    }
}

static bool
is_plain_name(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        bool good = isalpha(name.at[i]) || name.at[i] == '_' || (i > 0 && isdigit(name.at[i]));
        if (!good || name.at[i] > 0x7f) return false;
    }
    return name.size > 0;
}

/* A condition that a label's text begins with `value`, or equals it if `whole`; any text if `value`
 * is NULL. */
static void
put_label(struct buf *to, const struct clickhouse_form *f, struct bytes name,
          const struct bytes *value, bool whole)
{
    struct buf text;
    buf_init(&text, to->budget, SQL_TEXT_BYTES_MAX);
    buf_put_u8(&text, '{');
    json_print_bytes(&text, name);
    buf_put_text(&text, ":");
    if (value != NULL) {
        json_print_bytes(&text, *value);
        if (!whole && text.size > 0) text.size--; /* the quote */
    }
    if (buf_error(&text)) to->failed = buf_error(&text);
    for (int i = 0; i < 2 && to->failed == OK; i++) {
        text.at[0] = i == 0 ? '{' : ',';
        buf_put_text(to, i == 0 ? "(position(" : " OR position(");
        put_name(to, f, COLUMN_LABELS);
        buf_put_text(to, ", ");
        clickhouse_quoted_put(to, '\'', buf_bytes(&text));
        buf_put_text(to, i == 0 ? ") = 1" : ") > 0)");
    }
    buf_fini(&text);
}

static size_t
size_of_all(const struct bytes *values, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += values[i].size;
    return size;
}

/* Puts the first text that is greater than all with this prefix; false if there is none. */
static bool
put_end_of_prefix(struct buf *to, struct bytes prefix)
{
    uint8_t text[256];
    size_t size = prefix.size < sizeof text ? prefix.size : sizeof text;
    memcpy(text, prefix.at, size);
    while (size > 0 && text[size - 1] == 0xff)
        size--;
    if (size == 0) return false;
    text[size - 1]++;
    clickhouse_quoted_put(to, '\'', bytes_of(text, size));
    return true;
}

static void
put_prefix(struct buf *to, const struct clickhouse_form *f, struct bytes name, struct bytes prefix,
           bool *begun)
{
    if (!bytes_equal_text(name, "__name__")) {
        put_and(to, begun);
        put_label(to, f, name, prefix.size == 0 ? NULL : &prefix, false);
        return;
    }
    if (prefix.size == 0) return;
    put_and(to, begun);
    put_name(to, f, COLUMN_METRIC);
    buf_put_text(to, " >= ");
    clickhouse_quoted_put(to, '\'', prefix);
    size_t before = to->size;
    buf_put_text(to, " AND ");
    put_name(to, f, COLUMN_METRIC);
    buf_put_text(to, " < ");
    if (!put_end_of_prefix(to, prefix)) to->size = before;
}

static void
put_matcher(struct buf *to, const struct clickhouse_form *f, const struct matcher *m, bool *begun)
{
    struct bytes name = matcher_name(m);
    bool is_metric = bytes_equal_text(name, "__name__");
    bool negative = matcher_type(m) == MATCH_NOT_EQUAL || matcher_type(m) == MATCH_NOT_REGEX;
    const struct bytes *values;
    uint32_t count = matcher_literals(m, &values);
    if (!is_metric && (f->is_foreign || !is_plain_name(name))) return;
    bool few =
        count > 0 && count <= LITERALS_MAX && size_of_all(values, count) <= LITERALS_BYTES_MAX;
    if (!few) { /* matching series have the label, and its value begins so */
        if (!negative && !matcher_matches_empty(m))
            put_prefix(to, f, name, matcher_prefix(m), begun);
        return;
    }
    put_and(to, begun);
    if (negative) buf_put_text(to, "NOT ");
    if (negative && is_metric) buf_put_u8(to, '(');
    if (is_metric) {
        put_name(to, f, COLUMN_METRIC);
        for (uint32_t i = 0; i < count; i++) {
            buf_put_text(to, count == 1 ? " = " : i == 0 ? " IN (" : ", ");
            clickhouse_quoted_put(to, '\'', values[i]);
        }
        if (count > 1) buf_put_u8(to, ')');
    } else {
        buf_put_u8(to, '('); /* an empty value means that the label is absent */
        for (uint32_t i = 0; i < count; i++) {
            if (i > 0) buf_put_text(to, " OR ");
            if (values[i].size == 0) buf_put_text(to, "NOT ");
            put_label(to, f, name, values[i].size == 0 ? NULL : &values[i], true);
        }
        buf_put_u8(to, ')');
    }
    if (negative && is_metric) buf_put_u8(to, ')');
}

static void
put_matchers(struct buf *to, const struct clickhouse_question *q, bool *begun)
{
    for (uint32_t i = 0; i < q->base.matcher_count; i++)
        put_matcher(to, &q->form, q->base.matchers[i], begun);
}

/* --- statements ------------------------------------------------------------------------------- */

static void
put_from(struct buf *to, const struct clickhouse_question *q)
{
    const struct clickhouse_settings *s = &q->base.of->options.settings->u.clickhouse.server;
    buf_put_text(to, " FROM ");
    clickhouse_quoted_put(to, '`', bytes_of_text(s->database));
    buf_put_u8(to, '.');
    clickhouse_quoted_put(to, '`', bytes_of_text(s->table));
}

void
clickhouse_sql_series(struct buf *to, const struct clickhouse_question *q,
                      enum clickhouse_subject subject, struct bytes label)
{
    const struct clickhouse_form *f = &q->form;
    bool begun = false;
    buf_put_text(to, "SELECT fk_z, fk_m, fk_l, fk_n, fk_lo, fk_hi FROM (SELECT 0 AS fk_z, ");
    if (subject == SUBJECT_LABELS) buf_put_text(to, "max(");
    put_name(to, f, COLUMN_METRIC);
    buf_put_text(to, subject == SUBJECT_LABELS ? ") AS fk_m, " : " AS fk_m, ");
    if (subject == SUBJECT_METRICS)
        buf_put_text(to, "''");
    else
        put_name(to, f, COLUMN_LABELS);
    buf_put_text(to, " AS fk_l, ");
    if (subject == SUBJECT_SERIES) {
        buf_put_text(to, "count() AS fk_n, min(");
        put_time(to, f);
        buf_put_text(to, ") AS fk_lo, max(");
        put_time(to, f);
        buf_put_text(to, ") AS fk_hi");
    } else {
        buf_put_text(to, "toUInt64(0) AS fk_n, toInt64(0) AS fk_lo, toInt64(0) AS fk_hi");
    }
    put_from(to, q);
    put_times(to, f, q->base.min_ms, q->base.max_ms, &begun);
    put_matchers(to, q, &begun);
    if (label.size > 0 && !f->is_foreign && is_plain_name(label)) {
        put_and(to, &begun);
        put_label(to, f, label, NULL, false);
    }
    buf_put_text(to, subject == SUBJECT_SERIES    ? " GROUP BY fk_m, fk_l"
                     : subject == SUBJECT_METRICS ? " GROUP BY fk_m"
                                                  : " GROUP BY fk_l");
    buf_put_text(to, " UNION ALL SELECT 1 AS fk_z, '' AS fk_m, '' AS fk_l, toUInt64(0) AS fk_n,"
                     " toInt64(0) AS fk_lo, toInt64(0) AS fk_hi) ORDER BY fk_z FORMAT RowBinary");
}

/* Puts an array column. Arrays that would have only zeros are empty; no array is longer than a
 * block. */
static void
put_array(struct buf *to, const struct clickhouse_form *f, enum clickhouse_column column,
          const char *says_nothing, const char *empty, const char *as)
{
    if (has(f, column) && says_nothing != NULL) {
        buf_printf(to, "if(max(%s(", says_nothing);
        put_name(to, f, column);
        buf_printf(to, ")) = 0, %s, ", empty);
    }
    if (has(f, column)) {
        buf_printf(to, "groupArray(%d)(", SERIES_BLOCKS_SAMPLES + 1);
        bool plain =
            column != COLUMN_VALUE || strcmp(f->table.columns[column].type, "Float64") == 0;
        if (!plain) buf_put_text(to, "toFloat64(");
        if (column == COLUMN_TIME)
            put_time(to, f);
        else
            put_name(to, f, column);
        if (!plain) buf_put_text(to, ")");
        buf_put_text(to, says_nothing != NULL ? "))" : ")");
    } else {
        buf_put_text(to, empty);
    }
    buf_printf(to, " AS %s", as);
}

void
clickhouse_sql_samples(struct buf *to, const struct clickhouse_question *q, struct bytes keys,
                       int64_t min_ms, int64_t max_ms)
{
    const struct clickhouse_form *f = &q->form;
    bool begun = false;
    buf_put_text(to, "SELECT fk_z, fk_m, fk_l, fk_t, fk_v, fk_b, fk_s, fk_h FROM (SELECT 0 AS "
                     "fk_z, ");
    put_name(to, f, COLUMN_METRIC);
    buf_put_text(to, " AS fk_m, ");
    put_name(to, f, COLUMN_LABELS);
    buf_put_text(to, " AS fk_l, ");
    put_array(to, f, COLUMN_TIME, NULL, "", "fk_t, ");
    put_array(to, f, COLUMN_VALUE, NULL, "", "fk_v, ");
    put_array(to, f, COLUMN_BITS, "0 != ", "emptyArrayUInt64()", "fk_b, ");
    put_array(to, f, COLUMN_START_TIME, "0 != ", "emptyArrayInt64()", "fk_s, ");
    put_array(to, f, COLUMN_HISTOGRAM, "notEmpty", "emptyArrayString()", "fk_h");
    put_from(to, q);
    if (f->is_final) buf_put_text(to, " FINAL");
    if (keys.at != NULL) {
        put_and(to, &begun);
        buf_put_u8(to, '(');
        put_name(to, f, COLUMN_METRIC);
        buf_put_text(to, ", ");
        put_name(to, f, COLUMN_LABELS);
        buf_put_text(to, ") IN (");
        buf_put_bytes(to, keys);
        buf_put_u8(to, ')');
    } else {
        put_matchers(to, q, &begun);
    }
    put_times(to, f, min_ms, max_ms, &begun);
    buf_put_text(to, " GROUP BY fk_m, fk_l UNION ALL SELECT 1 AS fk_z, '' AS fk_m, '' AS fk_l,"
                     " emptyArrayInt64() AS fk_t, emptyArrayFloat64() AS fk_v,"
                     " emptyArrayUInt64() AS fk_b, emptyArrayInt64() AS fk_s,"
                     " emptyArrayString() AS fk_h)"
                     /* label order, of texts without the brace that closes them */
                     " ORDER BY fk_z, fk_m, substring(fk_l, 1, length(fk_l) - 1)"
                     " FORMAT RowBinary");
}

void
clickhouse_sql_final(struct buf *to, const struct clickhouse_question *q)
{
    bool begun = false;
    buf_put_text(to, "SELECT 1");
    put_from(to, q);
    buf_put_text(to, " FINAL");
    put_and(to, &begun);
    put_name(to, &q->form, COLUMN_METRIC);
    buf_put_text(to, " = '' AND ");
    put_name(to, &q->form, COLUMN_LABELS);
    buf_put_text(to, " = '' LIMIT 1 FORMAT RowBinary");
}
