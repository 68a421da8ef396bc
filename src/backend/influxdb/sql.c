/*
 * sql.c - InfluxDB 3: SQL over /api/v3/query_sql, with responses as lines of JSON.
 *
 * A table has a column for each tag and field, and a query that names a missing column fails: so
 * all columns of the tables of a question are listed first. A tag that a series lacks is NULL, for
 * which all comparisons are false, and has a condition of its own.
 *
 * Results have short names: t0, t1, ... for the tags of a series; for a sample k, the number of its
 * key, which a CASE over its tags finds, and t, v, b and h. The server's regexes differ from RE2,
 * so regexes are left to the filter of the base.
 */
#include <stdio.h>

#include "backend/influxdb/influxdb_reader.h"
#include "backend/influxdb/quoting.h"
#include "backend/influxdb/sql_answer.h"
#include "base/text/json.h"
#include "model/labels.h"

enum { QUERY_BYTES_MAX = 512 * 1024, COLUMNS_MAX = 2048, NAMES_MAX = 1000 };

/* --- requests and answers --------------------------------------------------------------------- */

static enum err
send_query(struct influx_question *q, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct influxdb_settings *server = &q->base.of->options.settings->u.influxdb.server;
    if (buf_error(&q->query)) return fetch_no_request_memory(why);
    influx_exchange_begin(&q->exchange, "/api/v3/query_sql");
    struct json j;
    json_init(&j, &q->exchange.base.body);
    json_object_open(&j);
    json_member_text(&j, "db", server->database);
    json_member_bytes(&j, "q", buf_bytes(&q->query));
    json_member_text(&j, "format", "jsonl");
    json_object_close(&j);
    return influx_exchange_send(&q->exchange, headers, why);
}

struct influx_sql_answer {
    struct influx_question *q;
    enum err (*row)(struct influx_sql_answer *a, struct scan *s, struct why *why);
    /* The table whose columns are read: */
    struct influx_metric table;
    struct bytes tags[COLUMNS_MAX];
    struct bytes fields[COLUMNS_MAX]; /* fields of numbers */
    uint32_t field_count;
    struct arena names;
    /* For keys and samples: */
    uint32_t metric;
    const struct influx_run *run;
};

static enum err
read_answer(struct influx_sql_answer *a, struct why *why)
{
    struct influx_question *q = a->q;
    struct bytes line;
    for (;;) {
        enum err e = influx_exchange_record(&q->exchange, false, &line, why);
        if (e || line.at == NULL) return e;
        if (line.size == 0) continue;
        arena_reset(&q->base.scratch);
        struct scan s = scan_of(line, &q->base.scratch);
        e = a->row(a, &s, why);
        if (e == OK) scan_end(&s);
        if (e == OK && s.bad != NULL) {
            e = s.error == ERR_NOMEM
                    ? fetch_no_request_memory(why)
                    : why_set(why, ERR_CORRUPT, "the response cannot be read: %s", s.bad);
        }
        if (e == ERR_CORRUPT) return fetch_exchange_failed(&q->exchange.base, e, why);
        if (e) return e;
    }
}

static enum err
run_query(struct influx_sql_answer *a, struct why *why)
{
    enum err e = send_query(a->q, why);
    if (e == OK) e = read_answer(a, why);
    influx_exchange_end(&a->q->exchange);
    return e;
}

/* --- metrics ---------------------------------------------------------------------------------- */

/* Adds the metrics of a table whose columns are all known. */
static enum err
end_table(struct influx_sql_answer *a, struct why *why)
{
    struct influx_question *q = a->q;
    enum err e = OK;
    a->table.tags = a->tags;
    if (a->table.measurement.at == NULL) return OK;
    if (!q->of->telegraf) {
        if (a->table.columns != 0) e = influx_question_add(q, &a->table, why);
    } else {
        for (uint32_t i = 0; i < a->field_count && e == OK; i++) {
            struct influx_metric one = a->table;
            one.field = a->fields[i];
            e = influx_question_add(q, &one, why);
        }
    }
    a->table = (struct influx_metric){.columns = 0};
    a->field_count = 0;
    arena_reset(&a->names);
    return e;
}

static bool
begins(struct bytes text, const char *begin)
{
    size_t size = strlen(begin);
    return text.size >= size && memcmp(text.at, begin, size) == 0;
}

static bool
is_number(struct bytes type)
{
    return begins(type, "Float") || begins(type, "Int") || begins(type, "UInt") ||
           begins(type, "Boolean");
}

static enum err
take_column(struct influx_sql_answer *a, struct bytes name, struct bytes type, struct why *why)
{
    struct bytes copy = arena_copy(&a->names, name);
    if (copy.at == NULL && name.size > 0) return fetch_no_request_memory(why);
    if (!sql_can_quote(name)) return OK; /* no query can name the column */
    if (a->table.tag_count == COLUMNS_MAX || a->field_count == COLUMNS_MAX) {
        return why_set(why, ERR_LIMIT, "a table has more than %d columns", COLUMNS_MAX);
    }
    if (begins(type, "Dictionary(")) {
        a->tags[a->table.tag_count++] = copy;
        return OK;
    }
    if (is_number(type)) a->fields[a->field_count++] = copy;
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        bool fits =
            i == COLUMN_VALUE ? is_number(type) : begins(type, "Utf8") || begins(type, "LargeUtf8");
        if (fits && bytes_equal_text(name, influx_column_names[i])) a->table.columns |= 1u << i;
    }
    return OK;
}

static enum err
row_of_columns(struct influx_sql_answer *a, struct scan *s, struct why *why)
{
    struct sql_column row;
    sql_read_column(s, &row);
    if (s->bad != NULL) return OK;
    if (row.table.at == NULL || row.name.at == NULL || row.type.at == NULL) {
        return why_set(why, ERR_CORRUPT, "the response cannot be read: a column has no name");
    }
    if (a->table.measurement.at == NULL || !bytes_equal(a->table.measurement, row.table)) {
        enum err e = end_table(a, why);
        if (e) return e;
        a->table.measurement = arena_copy(&a->names, row.table);
        if (a->table.measurement.at == NULL) return fetch_no_request_memory(why);
    }
    return take_column(a, row.name, row.type, why);
}

/* Puts a condition on tables, if the names are known. A metric name of Telegraf may be cut
 * anywhere. */
static enum err
put_tables(struct influx_question *q, struct why *why)
{
    const struct bytes *names;
    uint32_t count = influx_question_names(q, &names);
    struct buf *to = &q->query;
    if (q->of->telegraf || count == 0 || count > NAMES_MAX) return OK;
    for (uint32_t i = 0; i < count; i++) {
        if (!sql_can_quote(names[i])) return OK;
    }
    buf_put_text(to, " AND table_name IN (");
    for (uint32_t i = 0; i < count; i++) {
        struct bytes texts[STORED_NAMES_MAX];
        unsigned text_count = 0;
        buf_clear(&q->base.text);
        if (stored_names_of(names[i], LINE_MEASUREMENT, &q->base.text, texts, &text_count)) {
            return fetch_no_request_memory(why);
        }
        for (unsigned k = 0; k < text_count; k++) {
            if (i + k > 0) buf_put_text(to, ", ");
            sql_put_text(to, texts[k]);
        }
    }
    buf_put_u8(to, ')');
    return OK;
}

static enum err
list(struct influx_question *q, struct why *why)
{
    struct influx_sql_answer *a = mem_new(q->base.budget, sizeof *a);
    if (a == NULL) return fetch_no_request_memory(why);
    a->q = q;
    a->row = row_of_columns;
    arena_init(&a->names, q->base.budget, 64 << 20, 0);
    buf_clear(&q->query);
    buf_put_text(&q->query, "SELECT table_name, column_name, data_type FROM "
                            "information_schema.columns WHERE table_schema = 'iox'");
    enum err e = put_tables(q, why);
    buf_put_text(&q->query, " ORDER BY table_name, column_name");
    if (e == OK) e = run_query(a, why);
    if (e == OK) e = end_table(a, why);
    arena_fini(&a->names);
    mem_free(q->base.budget, a, sizeof *a);
    return e;
}

/* --- conditions ------------------------------------------------------------------------------- */

static void
put_from(struct buf *to, const struct influx_metric *metric, int64_t min_ms, int64_t max_ms)
{
    buf_put_text(to, " FROM ");
    sql_put_name(to, metric->measurement);
    buf_printf(to, " WHERE time >= to_timestamp_nanos(%lld) AND time <= to_timestamp_nanos(%lld)",
               (long long)influx_first_ns(min_ms), (long long)influx_last_ns(max_ms));
}

static void
put_value_names(struct buf *to, const struct influx_metric *metric)
{
    bool any = false;
    buf_put_text(to, " AND (");
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        bool one = metric->field.size > 0;
        if (one ? i > 0 : (metric->columns & 1u << i) == 0) continue;
        if (any) buf_put_text(to, " OR ");
        any = true;
        sql_put_name(to, one ? metric->field : bytes_of_text(influx_column_names[i]));
        buf_put_text(to, " IS NOT NULL");
    }
    buf_put_u8(to, ')');
}

static bool
has_tag(const struct influx_metric *metric, struct bytes name)
{
    for (uint32_t i = 0; i < metric->tag_count; i++) {
        if (bytes_equal(metric->tags[i], name)) return true;
    }
    return false;
}

static void
put_literals(struct buf *to, const struct matcher *m, bool positive, const struct bytes *texts,
             uint32_t count)
{
    struct bytes tag = matcher_name(m);
    bool any = matcher_matches_empty(m);
    for (uint32_t i = 0; i < count; i++) {
        if (!sql_can_quote(texts[i])) return;
    }
    buf_put_text(to, " AND (");
    if (any) {
        sql_put_name(to, tag);
        buf_put_text(to, " IS NULL OR ");
    }
    sql_put_name(to, tag);
    buf_put_text(to, positive ? " IN (" : " NOT IN (");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) buf_put_text(to, ", ");
        sql_put_text(to, texts[i]);
    }
    buf_put_text(to, "))");
}

/* *ret_none is true if a matcher requires a tag that the table does not have. */
static enum err
put_matchers(struct influx_question *q, const struct influx_metric *metric, bool *ret_none,
             struct why *why)
{
    *ret_none = false;
    for (uint32_t i = 0; i < q->base.matcher_count; i++) {
        const struct matcher *m = q->base.matchers[i];
        struct bytes name = matcher_name(m), *texts;
        uint32_t count;
        bool known, positive = fetch_is_positive(m);
        if (fetch_is_of_name(m) || !influx_is_plain_label(q, name)) continue;
        if (!sql_can_quote(name)) continue;
        if (!has_tag(metric, name)) {
            *ret_none |= !matcher_matches_empty(m);
            continue;
        }
        enum err e = influx_stored_literals(q, m, &texts, &count, &known, why);
        if (e) return e;
        if (known) put_literals(&q->query, m, positive, texts, count);
    }
    return OK;
}

/* --- keys ------------------------------------------------------------------------------------- */

static enum err
row_of_key(struct influx_sql_answer *a, struct scan *s, struct why *why)
{
    const struct influx_metric *metric = &a->q->metrics[a->metric];
    size_t room = metric->tag_count + 1;
    struct sql_tag *found = arena_new(&a->q->base.scratch, room * sizeof *found);
    struct label *tags = arena_new(&a->q->base.scratch, room * sizeof *tags);
    if (found == NULL || tags == NULL) return fetch_no_request_memory(why);
    uint32_t count = sql_read_tags(s, metric->tag_count, found);
    for (uint32_t i = 0; i < count; i++) {
        tags[i] = (struct label){metric->tags[found[i].number], found[i].value};
    }
    if (s->bad != NULL) return OK;
    return influx_question_take(a->q, a->metric, tags, count, why);
}

/* Puts the tags that series are grouped by: all, one, or none. */
static void
put_tags(struct influx_question *q, const struct influx_metric *metric)
{
    bool any = false;
    for (uint32_t i = 0; i < metric->tag_count; i++) {
        bool wanted = q->grouping == GROUPED_BY_ALL ||
                      (q->grouping == GROUPED_BY_ONE && bytes_equal(metric->tags[i], q->base.name));
        if (!wanted) continue;
        buf_put_text(&q->query, any ? ", " : "");
        any = true;
        sql_put_name(&q->query, metric->tags[i]);
        buf_printf(&q->query, " AS t%u", i);
    }
    if (!any) buf_put_text(&q->query, "1 AS x");
}

static enum err
keys(struct influx_question *q, uint32_t first, uint32_t *ret_count, struct why *why)
{
    struct influx_sql_answer *a;
    const struct influx_metric *metric = &q->metrics[first];
    bool none;
    *ret_count = 1;
    buf_clear(&q->query);
    buf_put_text(&q->query, "SELECT DISTINCT ");
    put_tags(q, metric);
    put_from(&q->query, metric, q->base.min_ms, q->base.max_ms);
    put_value_names(&q->query, metric);
    enum err e = put_matchers(q, metric, &none, why);
    if (e || none) return e;
    a = mem_new(q->base.budget, sizeof *a);
    if (a == NULL) return fetch_no_request_memory(why);
    a->q = q;
    a->row = row_of_key;
    a->metric = first;
    e = run_query(a, why);
    mem_free(q->base.budget, a, sizeof *a);
    return e;
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
put_key(struct buf *to, const struct influx_metric *metric, struct bytes tags)
{
    bool any = false;
    for (uint32_t i = 0; i < metric->tag_count; i++) {
        struct bytes value = labels_get(tags, metric->tags[i]);
        if (any) buf_put_text(to, " AND ");
        any = true;
        sql_put_name(to, metric->tags[i]);
        if (value.size == 0)
            buf_put_text(to, " IS NULL");
        else if (sql_can_quote(value)) {
            buf_put_text(to, " = ");
            sql_put_text(to, value);
        } else {
            buf_put_text(to, " <> "); /* matches no row: JSON cannot have this value */
            sql_put_name(to, metric->tags[i]);
        }
    }
    if (!any) buf_put_text(to, "TRUE");
}

static void
put_run(struct influx_question *q, const struct series_block *block, const struct influx_run *run)
{
    static const char *const shorts[COLUMN_COUNT] = {"v", "b", "h"};
    const struct influx_metric *metric = &q->metrics[run->metric];
    struct buf *to = &q->query;
    buf_clear(to);
    buf_put_text(to, "SELECT CASE");
    for (uint32_t i = run->from; i < run->end; i++) {
        buf_put_text(to, " WHEN ");
        put_key(to, metric, influx_key_tags(q, i));
        buf_printf(to, " THEN %u", i - run->from);
    }
    buf_put_text(to, " END AS k, CAST(time AS BIGINT) AS t");
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        bool one = metric->field.size > 0;
        if (one ? i > 0 : (metric->columns & 1u << i) == 0) continue;
        buf_put_text(to, ", ");
        sql_put_name(to, one ? metric->field : bytes_of_text(influx_column_names[i]));
        buf_printf(to, " AS %s", shorts[i]);
    }
    put_from(to, metric, block->min_ms, block->max_ms);
    put_value_names(to, metric);
    buf_put_text(to, " AND (");
    for (uint32_t i = run->from; i < run->end; i++) {
        buf_put_text(to, i > run->from ? " OR (" : "(");
        put_key(to, metric, influx_key_tags(q, i));
        buf_put_u8(to, ')');
    }
    buf_put_text(to, ") ORDER BY k, t");
}

static enum err
put_row(struct influx_sql_answer *a, uint32_t number, int64_t t_ms,
        const struct bytes cells[COLUMN_COUNT], struct why *why)
{
    enum err e = OK;
    if (cells[COLUMN_VALUE].at != NULL) {
        e = influx_put_number(a->q, number, t_ms, cells[COLUMN_VALUE], why);
    }
    for (unsigned i = COLUMN_BITS; i < COLUMN_COUNT && e == OK; i++) {
        if (cells[i].at == NULL) continue;
        e = influx_put_text(a->q, number, t_ms, (enum influx_column)i, cells[i], why);
    }
    return e;
}

static enum err
row_of_samples(struct influx_sql_answer *a, struct scan *s, struct why *why)
{
    struct sql_sample row;
    sql_read_sample(s, &row);
    if (s->bad != NULL) return OK;
    if (!row.whole || row.key < 0 || row.key >= a->run->end - a->run->from) {
        return why_set(why, ERR_CORRUPT,
                       "the response cannot be read: a row has no time, or is of no series");
    }
    return put_row(a, a->run->from + (uint32_t)row.key, influx_ms_of(row.t_ns), row.cells, why);
}

static enum err
samples(struct influx_question *q, const struct series_block *block, struct why *why)
{
    struct influx_sql_answer *a = mem_new(q->base.budget, sizeof *a);
    if (a == NULL) return fetch_no_request_memory(why);
    a->q = q;
    a->row = row_of_samples;
    enum err e = influx_runs_of(q, block, why);
    for (uint32_t i = 0; i < q->run_count && e == OK; i++) {
        a->run = &q->runs[i];
        put_run(q, block, a->run);
        if (q->query.size > QUERY_BYTES_MAX && block->count > 1)
            e = why_set(why, ERR_FULL, "too many labels for a request");
        else
            e = run_query(a, why);
    }
    mem_free(q->base.budget, a, sizeof *a);
    return e;
}

const struct influx_dialect sql_dialect = {.needs_list = true,
                                           .list = list,
                                           .keys = keys,
                                           .samples = samples,
                                           .keys_max = 64,
                                           .can_group_by = sql_can_quote};
