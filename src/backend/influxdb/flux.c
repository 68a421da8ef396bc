/*
 * flux.c - InfluxDB 2: Flux over /api/v2/query, with responses in annotated CSV.
 *
 * One request finds the series of all metrics: the tags of the first point of each. The metrics are
 * learnt from the response, so nothing is listed before.
 *
 * A column that a table lacks is null, for which all comparisons are false: a matcher that admits
 * the empty text gets a condition for the missing column. The end of a range is exclusive.
 *
 * Texts of matchers are literals in a query (quoting.h): they cannot become expressions.
 */
#include "backend/influxdb/annotated_csv.h"
#include "backend/influxdb/influxdb_reader.h"
#include "backend/influxdb/quoting.h"
#include "base/array.h"
#include "base/text/json.h"
#include "base/text/shown.h"
#include "base/text/time_text.h"
#include "model/labels.h"

enum { QUERY_BYTES_MAX = 2 << 20, NAMES_MAX = 1000 };

/* --- queries ---------------------------------------------------------------------------------- */

static void
begin_query(struct influx_question *q, int64_t min_ms, int64_t max_ms)
{
    const struct influxdb_settings *server = &q->base.of->options.settings->u.influxdb.server;
    int64_t last_ns = influx_last_ns(max_ms);
    buf_clear(&q->query);
    buf_put_text(&q->query, "from(bucket: ");
    flux_put_text(&q->query, bytes_of_text(server->bucket));
    buf_printf(&q->query, ") |> range(start: time(v: %lld), stop: time(v: %lld))",
               (long long)influx_first_ns(min_ms),
               (long long)(last_ns < INT64_MAX - 1 ? last_ns + 1 : last_ns));
}

static void
put_column(struct buf *to, struct bytes name)
{
    buf_put_text(to, "r[");
    flux_put_text(to, name);
    buf_put_u8(to, ']');
}

static void
put_equals(struct buf *to, const char *column, struct bytes text)
{
    put_column(to, bytes_of_text(column));
    buf_put_text(to, " == ");
    flux_put_text(to, text);
}

static void
put_fields(struct influx_question *q)
{
    if (q->of->telegraf) return;
    buf_put_text(&q->query, " |> filter(fn: (r) => ");
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        if (i > 0) buf_put_text(&q->query, " or ");
        put_equals(&q->query, "_field", bytes_of_text(influx_column_names[i]));
    }
    buf_put_u8(&q->query, ')');
}

/* Puts a metric name of Telegraf: a measurement with the field value, or cut at any underscore. */
static void
put_splits(struct buf *to, struct bytes name, bool *any)
{
    for (size_t i = 1; i <= name.size; i++) {
        if (i < name.size && (name.at[i] != '_' || i + 1 == name.size)) continue;
        buf_put_text(to, *any ? " or (" : "(");
        *any = true;
        put_equals(to, "_measurement", bytes_of(name.at, i));
        buf_put_text(to, " and ");
        put_equals(to, "_field",
                   i == name.size ? bytes_of_text("value")
                                  : bytes_of(name.at + i + 1, name.size - i - 1));
        buf_put_u8(to, ')');
    }
}

/* Puts a filter on the metrics, if their names are known. */
static enum err
put_names(struct influx_question *q, struct why *why)
{
    const struct bytes *names;
    uint32_t count = influx_question_names(q, &names);
    struct buf *to = &q->query;
    bool any = false;
    if (count == 0 || count > NAMES_MAX) return OK;
    for (uint32_t i = 0; i < count; i++) {
        if (!flux_can_quote(names[i])) return OK;
    }
    buf_put_text(to, " |> filter(fn: (r) => ");
    for (uint32_t i = 0; i < count; i++) {
        struct bytes texts[STORED_NAMES_MAX] = {names[i]};
        unsigned texts_count = 1;
        if (q->of->telegraf) {
            put_splits(to, names[i], &any);
            continue;
        }
        buf_clear(&q->base.text);
        if (stored_names_of(names[i], LINE_MEASUREMENT, &q->base.text, texts, &texts_count)) {
            return fetch_no_request_memory(why);
        }
        for (unsigned k = 0; k < texts_count; k++) {
            if (any) buf_put_text(to, " or ");
            any = true;
            put_equals(to, "_measurement", texts[k]);
        }
    }
    buf_put_text(to, any ? ")" : "false)"); /* a measurement cannot have an empty name */
    return OK;
}

static void
put_comparison(struct buf *to, struct bytes tag, const char *operator, struct bytes text)
{
    put_column(to, tag);
    buf_put_text(to, operator);
    flux_put_text(to, text);
}

/* All texts that a matcher admits must be in the query; of texts that it refuses, any may be. */
static void
put_literals(struct buf *to, const struct matcher *m, const struct bytes *texts, uint32_t count)
{
    struct bytes tag = matcher_name(m);
    bool any = matcher_matches_empty(m), positive = fetch_is_positive(m);
    for (uint32_t i = 0; i < count; i++) {
        if (positive && !flux_can_quote(texts[i])) return;
    }
    buf_put_text(to, " |> filter(fn: (r) => ");
    if (any) {
        buf_put_text(to, "not exists ");
        put_column(to, tag);
    }
    if (!positive) {
        buf_put_text(to, any ? " or (exists " : "(exists ");
        put_column(to, tag);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!flux_can_quote(texts[i]) || texts[i].size == 0) continue;
        if (!positive || any) buf_put_text(to, positive ? " or " : " and ");
        any = true;
        put_comparison(to, tag, positive ? " == " : " != ", texts[i]);
    }
    buf_put_text(to, positive ? ")" : "))");
}

static void
put_regex(struct influx_question *q, const struct matcher *m)
{
    struct buf *to = &q->query;
    struct bytes tag = matcher_name(m);
    buf_put_text(to, " |> filter(fn: (r) => ");
    if (matcher_matches_empty(m)) {
        buf_put_text(to, "not exists ");
        put_column(to, tag);
        buf_put_text(to, " or ");
    }
    put_column(to, tag);
    buf_put_text(to, matcher_type(m) == MATCH_REGEX ? " =~ " : " !~ ");
    go_put_regex(to, matcher_pattern(m));
    if (!q->of->telegraf) { /* a coded value may match, decoded */
        buf_put_text(to, " or ");
        put_column(to, tag);
        buf_put_text(to, " =~ /^~%/");
    }
    buf_put_u8(to, ')');
}

/* A tag that begins with _ may have the name of a column of Flux. */
static bool
is_tag_column(struct bytes name)
{
    static const char *const others[] = {"_start", "_stop",        "_time",
                                         "_value", "_measurement", "_field"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        if (bytes_equal_text(name, others[i])) return false;
    }
    return true;
}

/* Says whether a label's tag can be a column of a query. */
static bool
can_name(struct bytes name)
{
    return is_tag_column(name) && flux_can_quote(name);
}

static const struct influx_conditions conditions = {can_name, put_literals, put_regex};

static enum err
send_query(struct influx_question *q, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Accept: application/csv", NULL};
    const struct influxdb_settings *server = &q->base.of->options.settings->u.influxdb.server;
    struct influx_exchange *exchange = &q->exchange;
    if (buf_error(&q->query)) return fetch_no_request_memory(why);
    influx_exchange_begin(exchange, "/api/v2/query");
    influx_exchange_param(exchange, "org", server->org);
    struct json j;
    json_init(&j, &exchange->base.body);
    json_object_open(&j);
    json_member_bytes(&j, "query", buf_bytes(&q->query));
    json_member_text(&j, "type", "flux");
    json_member_object(&j, "dialect");
    json_member_array(&j, "annotations");
    json_put_text(&j, "datatype");
    json_put_text(&j, "group");
    json_put_text(&j, "default");
    json_array_close(&j);
    json_member_text(&j, "dateTimeFormat", "RFC3339Nano");
    json_object_close(&j);
    json_object_close(&j);
    return influx_exchange_send(exchange, headers, why);
}

/* --- answers ---------------------------------------------------------------------------------- */

struct flux_answer {
    struct influx_question *q;
    struct csv_reading *csv;
    enum err (*row)(struct flux_answer *a, bool is_new, struct why *why);
    uint32_t result, table, time, value, measurement, field; /* columns */
    struct buf current_table;                                /* number of the current table */
    uint32_t block; /* block of names of the current table */
    uint32_t metric;
    uint32_t number; /* number of the row's key, if `known` */
    bool known;
    uint32_t hint;
};

static enum err
find_columns(struct flux_answer *a, struct why *why)
{
    a->result = csv_find_column(a->csv, "result");
    a->table = csv_find_column(a->csv, "table");
    a->time = csv_find_column(a->csv, "_time");
    a->value = csv_find_column(a->csv, "_value");
    a->measurement = csv_find_column(a->csv, "_measurement");
    a->field = csv_find_column(a->csv, "_field");
    if (a->csv->is_error ||
        (a->table < a->csv->column_count && a->measurement < a->csv->column_count))
        return OK;
    return why_set(why, ERR_CORRUPT, "the response cannot be read: a table has no measurement");
}

static enum err
take_row(struct flux_answer *a, struct why *why)
{
    struct bytes table = a->csv->cells[a->table];
    bool is_new = a->block != a->csv->blocks || !bytes_equal(buf_bytes(&a->current_table), table);
    if (is_new) {
        a->block = a->csv->blocks;
        buf_clear(&a->current_table);
        buf_put_bytes(&a->current_table, table);
        if (buf_error(&a->current_table)) return fetch_no_request_memory(why);
    }
    return a->row(a, is_new, why);
}

static enum err
read_records(struct flux_answer *a, struct why *why)
{
    struct influx_question *q = a->q;
    enum csv_record what;
    struct bytes record;
    for (;;) {
        enum err e = influx_exchange_record(&q->exchange, true, &record, why);
        if (e || record.at == NULL) return e;
        arena_reset(&q->base.scratch);
        e = csv_read_record(a->csv, record, &q->base.scratch, &what, why);
        if (e == OK && what == CSV_NAMES) e = find_columns(a, why);
        if (e == OK && what == CSV_ROW) e = take_row(a, why);
        if (e == ERR_CORRUPT) return fetch_exchange_failed(&q->exchange.base, e, why);
        if (e) return e;
        if (what != CSV_ERROR) continue;
        why_set(why, ERR_IO, "the server responds with %s", shown_of(a->csv->cells[0]).text);
        return fetch_exchange_failed(&q->exchange.base, ERR_IO, why);
    }
}

static enum err
read_answer(struct flux_answer *a, struct why *why)
{
    a->csv = mem_new(a->q->base.budget, sizeof *a->csv);
    if (a->csv == NULL) return fetch_no_request_memory(why);
    csv_reading_init(a->csv, a->q->base.budget);
    buf_init(&a->current_table, a->q->base.budget, CSV_NAMES_BYTES_MAX);
    enum err e = read_records(a, why);
    csv_reading_fini(a->csv);
    mem_free(a->q->base.budget, a->csv, sizeof *a->csv);
    buf_fini(&a->current_table);
    influx_exchange_end(&a->q->exchange);
    return e;
}

static enum err
run_query(struct influx_question *q, struct flux_answer *a, struct why *why)
{
    enum err e = send_query(q, why);
    if (e == OK) e = read_answer(a, why);
    influx_exchange_end(&q->exchange);
    return e;
}

/* Reads the tags of a table from its row. */
static enum err
take_tags(struct flux_answer *a, struct label **ret_tags, uint32_t *ret_count, struct why *why)
{
    struct influx_question *q = a->q;
    struct label *tags = arena_alloc(&q->base.scratch, CSV_COLUMNS_MAX * sizeof *tags);
    uint32_t n = 0;
    if (tags == NULL) return fetch_no_request_memory(why);
    for (uint32_t i = 0; i < a->csv->column_count; i++) {
        if (i == a->result || i == a->table) continue; /* a tag may have the same name */
        if (!is_tag_column(a->csv->columns[i].name) || a->csv->cells[i].size == 0) continue;
        tags[n++] = (struct label){a->csv->columns[i].name, a->csv->cells[i]};
    }
    *ret_tags = tags;
    *ret_count = n;
    return n <= INFLUX_TAGS_MAX
               ? OK
               : why_set(why, ERR_LIMIT, "a series has more than %d tags", (int)INFLUX_TAGS_MAX);
}

static struct bytes
field_of(const struct flux_answer *a)
{
    bool one = a->q->of->telegraf && a->field < a->csv->column_count;
    return one ? a->csv->cells[a->field] : bytes_of(NULL, 0);
}

static bool
is_metric(const struct flux_answer *a, uint32_t number)
{
    const struct influx_metric *m = &a->q->metrics[number];
    return bytes_equal(m->measurement, a->csv->cells[a->measurement]) &&
           bytes_equal(m->field, field_of(a));
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Finds or adds the metric of a row; a->metric is metric_count if its name is not asked for. */
static enum err
find_metric(struct flux_answer *a, struct why *why)
{
    struct influx_question *q = a->q;
    if (a->metric < q->metric_count && is_metric(a, a->metric)) return OK;
    for (a->metric = 0; a->metric < q->metric_count; a->metric++) {
        if (is_metric(a, a->metric)) return OK;
    }
    return influx_question_add(
        q,
        &(struct influx_metric){.measurement = a->csv->cells[a->measurement], .field = field_of(a)},
        why);
}

static enum err
row_of_key(struct flux_answer *a, bool is_new, struct why *why)
{
    struct influx_question *q = a->q;
    struct label *tags;
    uint32_t count;
    bool is_text = a->value < a->csv->column_count &&
                   bytes_equal_text(a->csv->columns[a->value].type, "string");
    if (!is_new || is_text) return OK;
    enum err e = find_metric(a, why);
    if (e || a->metric >= q->metric_count) return e;
    e = take_tags(a, &tags, &count, why);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = influx_metric_add_tag(q, a->metric, tags[i].name, why);
    }
    return e ? e : influx_question_take(a->q, a->metric, tags, count, why);
}

static enum err
keys(struct influx_question *q, uint32_t first, uint32_t *ret_count, struct why *why)
{
    struct flux_answer a = {.q = q, .row = row_of_key};
    (void)first;
    begin_query(q, q->base.min_ms, q->base.max_ms);
    put_fields(q);
    enum err e = put_names(q, why);
    if (e == OK) e = influx_put_matchers(q, &conditions, why);
    buf_put_text(&q->query, " |> first() |> drop(columns: [\"_start\", \"_stop\", \"_time\"");
    if (!q->of->telegraf) buf_put_text(&q->query, ", \"_value\", \"_field\"");
    buf_put_text(&q->query, "])");
    if (e == OK) e = run_query(q, &a, why);
    *ret_count = q->metric_count;
    return e;
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
put_key(struct influx_question *q, const struct influx_metric *metric, struct bytes tags)
{
    struct buf *to = &q->query;
    buf_put_u8(to, '(');
    put_equals(to, "_measurement", metric->measurement);
    if (metric->field.size > 0) {
        buf_put_text(to, " and ");
        put_equals(to, "_field", metric->field);
    }
    for (uint32_t i = 0; i < metric->tag_count; i++) {
        struct bytes value = labels_get(tags, metric->tags[i]);
        if (!flux_can_quote(metric->tags[i]) || !flux_can_quote(value)) continue;
        buf_put_text(to, value.size == 0 ? " and not exists " : " and ");
        if (value.size == 0)
            put_column(to, metric->tags[i]);
        else
            put_comparison(to, metric->tags[i], " == ", value);
    }
    buf_put_u8(to, ')');
}

static enum err
find_key(struct flux_answer *a, struct why *why)
{
    struct influx_question *q = a->q;
    struct label *tags;
    uint32_t count;
    a->known = false;
    enum err e = take_tags(a, &tags, &count, why);
    for (uint32_t i = 0; i < q->run_count && e == OK && !a->known; i++) {
        const struct influx_run *run = &q->runs[i];
        if (!is_metric(a, run->metric)) continue;
        e = influx_run_find(q, run, tags, count, &a->hint, &a->number, why);
        a->known = e == OK && a->number < run->end;
    }
    return e;
}

static enum err
put_sample(struct flux_answer *a, enum influx_column column, int64_t t_ms, struct why *why)
{
    struct bytes type = a->csv->columns[a->value].type, value = a->csv->cells[a->value];
    if (bytes_equal_text(type, "string")) {
        if (a->q->of->telegraf) return OK;
        return influx_put_text(a->q, a->number, t_ms, column, value, why);
    }
    if (column != COLUMN_VALUE) return OK;
    if (bytes_equal_text(type, "boolean")) {
        value = bytes_of_text(bytes_equal_text(value, "true") ? "1" : "0");
    }
    return influx_put_number(a->q, a->number, t_ms, value, why);
}

static enum err
row_of_samples(struct flux_answer *a, bool is_new, struct why *why)
{
    uint32_t count = a->csv->column_count;
    int64_t t_ms;
    if (a->time == count || a->value == count || a->field == count) {
        return why_set(why, ERR_CORRUPT, "the response cannot be read: a table has no values");
    }
    enum err e = is_new ? find_key(a, why) : OK;
    if (e || !a->known) return e;
    if (a->csv->cells[a->value].size == 0) return OK; /* null */
    if (!time_parse_rfc3339(a->csv->cells[a->time], &t_ms)) {
        return why_set(why, ERR_CORRUPT, "a row has the time %s",
                       shown_of(a->csv->cells[a->time]).text);
    }
    enum influx_column column = COLUMN_VALUE;
    for (unsigned i = 0; i < COLUMN_COUNT && !a->q->of->telegraf; i++) {
        if (bytes_equal_text(a->csv->cells[a->field], influx_column_names[i])) {
            column = (enum influx_column)i;
        }
    }
    return put_sample(a, column, t_ms, why);
}

static enum err
samples(struct influx_question *q, const struct series_block *block, struct why *why)
{
    struct flux_answer a = {.q = q, .row = row_of_samples};
    enum err e = influx_runs_of(q, block, why);
    if (e) return e;
    begin_query(q, block->min_ms, block->max_ms);
    put_fields(q);
    buf_put_text(&q->query, " |> filter(fn: (r) => ");
    for (uint32_t i = block->first; i < block->first + block->count; i++) {
        if (i > block->first) buf_put_text(&q->query, " or ");
        put_key(q, &q->metrics[influx_key_metric(q, i)], influx_key_tags(q, i));
    }
    buf_put_text(&q->query, ") |> drop(columns: [\"_start\", \"_stop\"])");
    if (q->query.size > QUERY_BYTES_MAX && block->count > 1) {
        return why_set(why, ERR_FULL, "too many labels for a request");
    }
    return run_query(q, &a, why);
}

const struct influx_dialect flux_dialect = {
    .learns = true, .keys = keys, .samples = samples, .keys_max = 128};
