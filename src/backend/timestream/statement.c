/*
 * statement.c - SQL of Timestream, which is much like Trino's.
 *
 * A matcher becomes a condition if it selects the same rows there, or more: the result is filtered
 * again. Literals are compared. A regex must be positive, and mean the same in each dialect: Java's
 * `$` also matches before a line feed at the end, so that a negated regex would lose such values. A
 * dimension that a row lacks is null there, and the empty text here.
 *
 * Texts with a NUL are not sent; nor are matchers for which the statement has no room.
 *
 * Source: "Query language reference" of Amazon Timestream.
 */
#include "backend/timestream/timestream_reader.h"

#include <stdio.h>

#include "wire/point/timestream_record.h"

enum {
    LITERALS_MAX = 1000,
    PATTERN_BYTES_MAX = 16 * 1024,
    STATEMENT_NAME_BYTES_MAX = 64 * 1024,
    MATCHERS_BYTES_MAX = 160 * 1024, /* matchers' share of a statement, which has 256 KiB at most */
};

static void
quoted_put(struct buf *to, char quote, struct bytes text)
{
    buf_put_u8(to, (uint8_t)quote);
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == (uint8_t)quote) buf_put_u8(to, (uint8_t)quote);
        buf_put_u8(to, text.at[i]);
    }
    buf_put_u8(to, (uint8_t)quote);
}

static void
identifier_put(struct buf *to, struct bytes name)
{
    quoted_put(to, '"', name);
}

static void
text_put(struct buf *to, struct bytes text)
{
    quoted_put(to, '\'', text);
}

static void
table_put(struct buf *to, const struct timestream_read_settings *settings)
{
    identifier_put(to, bytes_of_text(settings->database));
    buf_put_u8(to, '.');
    identifier_put(to, bytes_of_text(settings->table));
}

void
statement_describe(struct buf *to, const struct timestream_read_settings *settings)
{
    buf_put_text(to, "DESCRIBE ");
    table_put(to, settings);
}

/* --- matchers --------------------------------------------------------------------------------- */

/* The documentation does not say how Timestream treats a NUL. */
static bool
is_sendable(struct bytes text)
{
    return text.size == 0 || memchr(text.at, 0, text.size) == NULL;
}

static bool
are_sendable(const struct bytes *texts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!is_sendable(texts[i])) return false;
    return true;
}

/* True if RE2, Java and similar dialects agree about an anchored regex, except for a line feed at
 * the end: letters, digits, blanks and other characters without a meaning, dots, groups,
 * alternatives, plain repetition, and punctuation after a backslash. */
static bool
is_common_regex(struct bytes pattern)
{
    static const char plain[] = " _:/@%=,;~<>!\"#&'`-", punctuation[] = ".*+?|()[]{}^$\\-/";
    if (pattern.size == 0 || pattern.size > PATTERN_BYTES_MAX || !is_sendable(pattern))
        return false;
    bool repeats = false; /* the piece before is a repetition */
    for (size_t i = 0; i < pattern.size; i++) {
        uint8_t c = pattern.at[i];
        bool is_letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
        bool is_repetition = c == '*' || c == '+' || c == '?';
        if (c == '\\') {
            if (++i == pattern.size) return false;
            if (strchr(punctuation, pattern.at[i]) == NULL) return false;
        } else if (c == '(') {
            if (i + 1 < pattern.size && pattern.at[i + 1] == '?') {
                if (i + 2 >= pattern.size || pattern.at[i + 2] != ':') return false;
                i += 2;
            }
        } else if (is_repetition) {
            if (repeats) return false;
        } else if (!is_letter && c != '.' && c != '|' && c != ')' && strchr(plain, c) == NULL) {
            return false;
        }
        repeats = c != '\\' && is_repetition;
    }
    return true;
}

/* The columns of a label. */
struct label_columns {
    const struct dimension *one; /* the only dimension that can have the label */
    bool any;                    /* a dimension has the label, or may have it in some rows */
};

static struct label_columns
find_columns(const struct timestream_columns *columns, struct bytes label)
{
    struct label_columns found = {NULL, false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < columns->count; i++) {
        if (!dimension_may_have(&columns->dimensions[i], label)) continue;
        found.any = true;
        found.one = count++ == 0 ? &columns->dimensions[i] : NULL;
    }
    if (found.one != NULL && found.one->keeper != UINT32_MAX) found.one = NULL;
    return found;
}

bool
statement_may_select(const struct timestream_question *q)
{
    if (q->base.min_ms > q->base.max_ms) return false;
    for (uint32_t i = 0; i < q->base.matcher_count; i++) {
        const struct matcher *m = q->base.matchers[i];
        if (fetch_is_of_name(m) || matcher_matches_empty(m)) continue;
        if (!find_columns(&q->columns, matcher_name(m)).any) return false;
    }
    return true;
}

/* Puts the stored forms of a name: mapped, with its colons, and as it is, for tables of other
 * writers. */
static void
names_put(struct buf *to, const struct timestream_columns *columns, struct bytes name)
{
    struct buf stored[2];
    struct bytes forms[3] = {name};
    uint32_t count = name.size > 0;
    for (int i = 0; i < 2; i++) {
        buf_init(&stored[i], to->budget, STATEMENT_NAME_BYTES_MAX);
        if (columns->is_raw) continue;
        timestream_measure_name_put(&stored[i], name, i == 1);
        if (buf_error(&stored[i])) to->failed = buf_error(&stored[i]);
        bool is_new = true;
        for (uint32_t k = 0; k < count; k++)
            is_new &= !bytes_equal(forms[k], buf_bytes(&stored[i]));
        if (is_new) forms[count++] = buf_bytes(&stored[i]);
    }
    if (count == 0) forms[count++] = bytes_of("", 0);
    for (uint32_t k = 0; k < count; k++) {
        if (k > 0) buf_put_text(to, ", ");
        text_put(to, forms[k]);
    }
    buf_fini(&stored[0]);
    buf_fini(&stored[1]);
}

static void
regex_put(struct buf *to, const char *column, struct bytes pattern)
{
    struct buf whole;
    buf_init(&whole, to->budget, PATTERN_BYTES_MAX + 16);
    /* A dot matches any character here, also a line feed. */
    if (memchr(pattern.at, '.', pattern.size) != NULL) buf_put_text(&whole, "(?s)");
    buf_put_text(&whole, "^(?:");
    buf_put_bytes(&whole, pattern);
    buf_put_text(&whole, ")$");
    if (buf_error(&whole)) to->failed = buf_error(&whole);
    buf_printf(to, "REGEXP_LIKE(%s, ", column);
    text_put(to, buf_bytes(&whole));
    buf_put_u8(to, ')');
    buf_fini(&whole);
}

static void
name_matcher_put(struct buf *to, const struct timestream_question *q, const struct matcher *m)
{
    const struct bytes *values;
    uint32_t count = matcher_literals(m, &values);
    if (!fetch_is_positive(m)) return;
    if (count > 0 && count <= LITERALS_MAX && are_sendable(values, count)) {
        buf_put_text(to, " AND measure_name IN (");
        for (uint32_t i = 0; i < count; i++) {
            if (i > 0) buf_put_text(to, ", ");
            names_put(to, &q->columns, values[i]);
        }
        buf_put_u8(to, ')');
    } else if (count == 0 && matcher_type(m) == MATCH_REGEX &&
               is_common_regex(matcher_pattern(m)) && !matcher_matches_empty(m)) {
        buf_put_text(to, " AND (");
        regex_put(to, "measure_name", matcher_pattern(m));
        /* A mapped name may represent any name. */
        if (!q->columns.is_raw)
            buf_put_text(to, " OR measure_name LIKE 'U__%' OR measure_name LIKE 'H__%'");
        buf_put_u8(to, ')');
    }
}

/* Puts a column, with the empty text for rows that have no value. */
static void
column_put(struct buf *to, const struct dimension *d, bool with_empty)
{
    if (with_empty) buf_put_text(to, "COALESCE(");
    identifier_put(to, d->column);
    if (with_empty) buf_put_text(to, ", '')");
}

static void
literals_put(struct buf *to, const struct dimension *d, const struct matcher *m,
             const struct bytes *values, uint32_t count)
{
    bool positive = fetch_is_positive(m), with_empty = matcher_matches_empty(m);
    buf_put_text(to, " AND ");
    column_put(to, d, with_empty);
    if (count == 1) {
        buf_put_text(to, positive ? " = " : " <> ");
        text_put(to, values[0]);
        return;
    }
    buf_put_text(to, positive ? " IN (" : " NOT IN (");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) buf_put_text(to, ", ");
        text_put(to, values[i]);
    }
    buf_put_u8(to, ')');
}

static void
matcher_put(struct buf *to, const struct timestream_question *q, const struct matcher *m)
{
    const struct dimension *d = find_columns(&q->columns, matcher_name(m)).one;
    const struct bytes *values;
    uint32_t count = matcher_literals(m, &values);
    if (fetch_is_of_name(m)) {
        name_matcher_put(to, q, m);
        return;
    }
    if (d == NULL) return;
    if (count > 0 && count <= LITERALS_MAX && are_sendable(values, count)) {
        literals_put(to, d, m, values, count);
        return;
    }
    if (count > 0 || matcher_type(m) != MATCH_REGEX || !is_common_regex(matcher_pattern(m))) return;
    struct buf column;
    buf_init(&column, to->budget, STATEMENT_NAME_BYTES_MAX);
    column_put(&column, d, matcher_matches_empty(m));
    buf_put_u8(&column, 0);
    if (buf_error(&column)) {
        to->failed = buf_error(&column);
    } else {
        buf_put_text(to, " AND ");
        regex_put(to, (const char *)column.at, matcher_pattern(m));
    }
    buf_fini(&column);
}

/* --- statements ------------------------------------------------------------------------------- */

static void
from_put(struct buf *to, const struct timestream_question *q, int64_t min_ms, int64_t max_ms)
{
    buf_put_text(to, " FROM ");
    table_put(to, &q->base.of->options.settings->u.timestream);
    /* Times are finer than milliseconds: the whole last millisecond belongs to the range. */
    buf_printf(to, " WHERE time >= from_milliseconds(%lld) AND time < from_milliseconds(%lld)",
               (long long)min_ms, (long long)max_ms + 1);
}

/* Puts as many matchers as there is room for. */
static void
matchers_put(struct buf *to, const struct timestream_question *q)
{
    struct buf text;
    size_t used = 0;
    buf_init(&text, q->base.budget, MATCHERS_BYTES_MAX);
    for (uint32_t i = 0; i < q->base.matcher_count; i++) {
        buf_clear(&text);
        matcher_put(&text, q, q->base.matchers[i]);
        if (buf_error(&text) == ERR_NOMEM) to->failed = ERR_NOMEM;
        if (buf_error(&text) || used + text.size > MATCHERS_BYTES_MAX) continue;
        used += text.size;
        buf_put_bytes(to, buf_bytes(&text));
    }
    buf_fini(&text);
}

static void
columns_list_put(struct buf *to, const struct timestream_question *q,
                 const struct timestream_wanted *wanted)
{
    const char *before = "";
    if (wanted->measure) {
        buf_put_text(to, "measure_name");
        before = ", ";
    }
    for (uint32_t i = 0; i < q->columns.count; i++) {
        if (!wanted->dimensions[i]) continue;
        buf_put_text(to, before);
        identifier_put(to, q->columns.dimensions[i].column);
        before = ", ";
    }
}

void
statement_series(struct buf *to, const struct timestream_question *q)
{
    struct timestream_wanted all = {.measure = true};
    memset(all.dimensions, true, q->columns.count * sizeof *all.dimensions);
    buf_put_text(to, "SELECT ");
    columns_list_put(to, q, &all);
    buf_put_text(to, ", COUNT(*), MIN(time), MAX(time)");
    from_put(to, q, q->base.min_ms, q->base.max_ms);
    matchers_put(to, q);
    buf_put_text(to, " GROUP BY ");
    columns_list_put(to, q, &all);
}

uint32_t
statement_wanted(const struct timestream_question *q, struct bytes label,
                 struct timestream_wanted *ret)
{
    bool named = bytes_equal_text(label, "__name__");
    uint32_t count = 0;
    if (!named && !find_columns(&q->columns, label).any) return 0;
    for (uint32_t k = 0; k < q->base.matcher_count; k++)
        named |= fetch_is_of_name(q->base.matchers[k]);
    ret->measure = named;
    for (uint32_t i = 0; i < q->columns.count; i++) {
        const struct dimension *d = &q->columns.dimensions[i];
        bool wanted = d->is_keeper || dimension_may_have(d, label);
        for (uint32_t k = 0; k < q->base.matcher_count && !wanted; k++)
            wanted = dimension_may_have(d, matcher_name(q->base.matchers[k]));
        ret->dimensions[i] = wanted;
        count += wanted;
    }
    return count + named;
}

void
statement_distinct(struct buf *to, const struct timestream_question *q,
                   const struct timestream_wanted *wanted)
{
    buf_put_text(to, "SELECT DISTINCT ");
    columns_list_put(to, q, wanted);
    from_put(to, q, q->base.min_ms, q->base.max_ms);
    matchers_put(to, q);
}

void
statement_filled(struct buf *to, const struct timestream_question *q)
{
    buf_put_text(to, "SELECT MIN(measure_name), MAX(measure_name)");
    for (uint32_t i = 0; i < q->columns.count; i++) {
        buf_put_text(to, ", MAX(");
        identifier_put(to, q->columns.dimensions[i].column);
        buf_put_u8(to, ')');
    }
    from_put(to, q, q->base.min_ms, q->base.max_ms);
}

static void
value_is_put(struct buf *to, struct bytes column, struct bytes value)
{
    identifier_put(to, column);
    if (value.at == NULL) {
        buf_put_text(to, " IS NULL");
        return;
    }
    buf_put_text(to, " = ");
    text_put(to, value);
}

static bool
varies(const struct timestream_varying *varying, uint32_t dimension)
{
    for (uint32_t i = 0; i < varying->count; i++)
        if (varying->dimensions[i] == dimension) return true;
    return false;
}

void
statement_samples(struct buf *to, const struct timestream_question *q,
                  const struct timestream_key *one, const struct timestream_varying *varying,
                  struct bytes selected, int64_t min_ms, int64_t max_ms)
{
    buf_put_text(to, "SELECT time, ");
    buf_put_text(to, q->columns.has_double ? "measure_value::double, " : "NULL, ");
    buf_put_text(to, q->columns.has_varchar ? "measure_value::varchar" : "NULL");
    if (varying->measure) buf_put_text(to, ", measure_name");
    for (uint32_t i = 0; i < varying->count; i++) {
        buf_put_text(to, ", ");
        identifier_put(to, q->columns.dimensions[varying->dimensions[i]].column);
    }
    from_put(to, q, min_ms, max_ms);
    if (!varying->measure) {
        buf_put_text(to, " AND measure_name = ");
        text_put(to, one->measure);
    }
    for (uint32_t i = 0; i < q->columns.count; i++) {
        if (varies(varying, i)) continue;
        buf_put_text(to, " AND ");
        value_is_put(to, q->columns.dimensions[i].column, one->values[i]);
    }
    if (selected.size == 0) return;
    buf_put_text(to, " AND (");
    buf_put_bytes(to, selected);
    buf_put_u8(to, ')');
}

void
statement_selected_put(struct buf *to, const struct timestream_question *q,
                       const struct timestream_key *key, const struct timestream_varying *varying)
{
    buf_put_text(to, to->size == 0 ? "(" : " OR (");
    if (varying->measure) {
        buf_put_text(to, "measure_name = ");
        text_put(to, key->measure);
    }
    for (uint32_t i = 0; i < varying->count; i++) {
        uint32_t d = varying->dimensions[i];
        if (i > 0 || varying->measure) buf_put_text(to, " AND ");
        value_is_put(to, q->columns.dimensions[d].column, key->values[d]);
    }
    buf_put_u8(to, ')');
}
