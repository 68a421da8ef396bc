/*
 * influxql.c - InfluxDB 1: InfluxQL over /query.
 *
 * A request has many statements, one for each metric. Keys are asked for with LIMIT 1, which is one
 * of each series: what SHOW SERIES gives is escaped in a way that cannot be undone, and of all
 * times. Answers come in chunks, each a line.
 *
 * A tag that a series lacks is '' in comparisons, and in the answer of GROUP BY *, which so tells
 * all tags of a measurement: the samples of some series are asked for with all of them, or those of
 * a series with fewer tags would bring those of all others. "::tag" and "::field" keep the two
 * apart where they have the same name.
 */
#include <stdio.h>

#include "backend/influxdb/influxdb_reader.h"
#include "backend/influxdb/influxql_answer.h"
#include "backend/influxdb/quoting.h"
#include "base/hex.h"
#include "base/shown.h"
#include "base/time_text.h"
#include "model/labels.h"

enum {
    STATEMENTS_MAX = 256,
    QUERY_BYTES = 256 * 1024, /* about; then there is another request */
    QUERY_BYTES_MAX = 4 << 20,
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

/* --- queries ---------------------------------------------------------------------------------- */

static void
put_columns(struct buf *to, const struct influx_metric *metric)
{
    if (metric->field.size > 0) {
        influxql_put_name(to, metric->field);
        buf_put_text(to, "::field");
        return;
    }
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        if (i > 0) buf_put_u8(to, ',');
        influxql_put_name(to, bytes_of_text(influx_column_names[i]));
        buf_put_text(to, "::field");
    }
}

static void
put_select(struct buf *to, const struct influx_metric *metric, int64_t min_ms, int64_t max_ms)
{
    buf_put_text(to, "SELECT ");
    put_columns(to, metric);
    buf_put_text(to, " FROM ");
    if (influxql_can_quote(metric->measurement))
        influxql_put_name(to, metric->measurement);
    else
        influxql_put_exact_regex(to, metric->measurement);
    buf_printf(to, " WHERE time >= %lld AND time <= %lld", (long long)influx_first_ns(min_ms),
               (long long)influx_last_ns(max_ms));
}

static void
put_tag(struct buf *to, struct bytes name)
{
    influxql_put_name(to, name);
    buf_put_text(to, "::tag");
}

/* Of texts that are admitted all must be asked for; of those that are refused, any may be. */
static void
put_literals(struct buf *to, struct bytes tag, bool positive, const struct bytes *texts,
             uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (influxql_can_quote(texts[i])) continue;
        if (positive) return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!influxql_can_quote(texts[i])) continue;
        buf_put_text(to, any ? positive ? " OR " : " AND " : " AND (");
        any = true;
        put_tag(to, tag);
        buf_put_text(to, positive ? " = " : " != ");
        influxql_put_text(to, texts[i]);
    }
    if (any) buf_put_u8(to, ')');
}

/* What is coded may match, decoded: it is asked for besides. */
static void
put_regex(struct influx_question *q, const struct matcher *m)
{
    struct buf *to = &q->query;
    bool positive = matcher_type(m) == MATCH_REGEX;
    if (!go_can_match(matcher_pattern(m))) return;
    buf_put_text(to, " AND (");
    put_tag(to, matcher_name(m));
    buf_put_text(to, positive ? " =~ " : " !~ ");
    go_put_regex(to, matcher_pattern(m));
    if (!q->of->telegraf) {
        buf_put_text(to, " OR ");
        put_tag(to, matcher_name(m));
        buf_put_text(to, " =~ /^~%/");
    }
    buf_put_u8(to, ')');
}

/* What of the matchers can be asked for. */
static enum err
put_matchers(struct influx_question *q, struct why *why)
{
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        const struct matcher *m = q->matchers[i];
        struct bytes name = matcher_name(m), *texts;
        uint32_t count;
        bool known, positive = matcher_type(m) == MATCH_EQUAL || matcher_type(m) == MATCH_REGEX;
        if (bytes_equal_text(name, "__name__") || !influx_is_plain_label(q, name) ||
            !influxql_can_quote(name)) {
            continue;
        }
        enum err e = influx_stored_literals(q, m, &texts, &count, &known, why);
        if (e) return e;
        if (known)
            put_literals(&q->query, name, positive, texts, count);
        else if (matcher_type(m) == MATCH_REGEX || matcher_type(m) == MATCH_NOT_REGEX)
            put_regex(q, m);
    }
    return OK;
}

static bool
is_in_ns(const struct influx_question *q)
{
    return q->min_ms < 0; /* it cuts times to milliseconds towards zero */
}

/* Sends what is in q->query. */
static enum err
send_query(struct influx_question *q, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    const struct influxdb_settings *server = &q->of->options.settings->u.influxdb.server;
    struct influx_ask *ask = &q->ask;
    if (buf_error(&q->query)) return no_memory(why);
    influx_ask_begin(ask, "/query");
    influx_ask_param(ask, "db", server->database);
    influx_ask_param(ask, "rp", server->retention_policy);
    influx_ask_param(ask, "epoch", is_in_ns(q) ? "ns" : "ms");
    influx_ask_param(ask, "chunked", "true");
    influx_ask_param(ask, "chunk_size", "1000");
    buf_put_text(&ask->body, "q=");
    buf_put_percent(&ask->body, buf_bytes(&q->query), "");
    return influx_ask_send(ask, headers, why);
}

/* --- answers ---------------------------------------------------------------------------------- */

struct influxql_answer {
    struct influx_question *q;
    uint32_t statements, ended;
    const struct influx_key_sink *keys; /* what the next ones are for: */
    struct series_blocks *blocks;
    uint32_t first;                 /* metric of the first statement */
    struct influxql_series *series; /* at hand */
    uint32_t hint, number;
    bool known; /* it is a key of the block */
    bool said;  /* the error is what the server says */
};

static enum err
take_statement(void *context, uint32_t statement, bool more, struct why *why)
{
    struct influxql_answer *a = context;
    if (!more) a->ended++;
    if (statement < a->statements) return OK;
    return why_set(why, ERR_CORRUPT, "a result belongs to no statement");
}

static bool
is_there(struct bytes text, const char *what)
{
    return text.size > 0 && memmem(text.at, text.size, what, strlen(what)) != NULL;
}

/* An error inside of an answer that began well. */
static enum err
take_error(void *context, struct bytes sentence, struct why *why)
{
    struct influxql_answer *a = context;
    enum err e = ERR_IO;
    if (is_there(sentence, "max-select-")) e = ERR_LIMIT;
    if (is_there(sentence, "timeout") || is_there(sentence, "max-concurrent-queries") ||
        is_there(sentence, "shutting down")) {
        e = ERR_AGAIN;
    }
    a->said = true;
    return why_set(why, e, "the server responds with %s", shown_of(sentence).text);
}

static enum err
read_answer(struct influxql_answer *a, const struct influxql_sink *sink, struct why *why)
{
    struct influx_question *q = a->q;
    struct bytes line;
    for (;;) {
        enum err e = influx_ask_record(&q->ask, false, &line, why);
        if (e) return e;
        if (line.at == NULL) break;
        arena_reset(&q->scratch);
        e = influxql_read_line(line, &q->scratch, sink, why);
        if (e == OK) e = query_control_check(q->control, why);
        if (a->said || e == ERR_CORRUPT) return influx_ask_failed(&q->ask, e, why);
        if (e) return e;
    }
    influx_ask_end(&q->ask);
    if (a->ended >= a->statements) return OK;
    return why_set(why, ERR_CORRUPT, "%s: the response ends before the last result",
                   q->of->options.settings->u.influxdb.server.url);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static enum err
take_listed(void *context, struct influxql_series *series, struct why *why)
{
    struct influxql_answer *a = context;
    (void)why;
    a->series = series;
    return OK;
}

static enum err
row_of_measurements(void *context, const struct influxql_cell *cells, uint32_t count,
                    struct why *why)
{
    struct influxql_answer *a = context;
    if (count < 1 || cells[0].kind != INFLUXQL_TEXT) return OK;
    return influx_question_add(a->q, &(struct influx_metric){.measurement = cells[0].text}, why);
}

/* Of one field there may be several types, in different shards. */
static enum err
row_of_fields(void *context, const struct influxql_cell *cells, uint32_t count, struct why *why)
{
    struct influxql_answer *a = context;
    struct influx_question *q = a->q;
    if (count < 2 || cells[0].kind != INFLUXQL_TEXT || cells[1].kind != INFLUXQL_TEXT) return OK;
    if (bytes_equal_text(cells[1].text, "string")) return OK;
    struct influx_metric metric = {.measurement = a->series->name, .field = cells[0].text};
    const struct influx_metric *last = &q->metrics[q->metric_count - (q->metric_count > 0)];
    if (q->metric_count > 0 && bytes_equal(last->measurement, metric.measurement) &&
        bytes_equal(last->field, metric.field)) {
        return OK;
    }
    if (!influxql_can_quote(metric.field)) return OK; /* it cannot be asked for */
    return influx_question_add(q, &metric, why);
}

static enum err
row_of_no_interest(void *context, const struct influxql_cell *cells, uint32_t count,
                   struct why *why)
{
    (void)context, (void)cells, (void)count, (void)why;
    return OK;
}

static enum err
show(struct influx_question *q, const char *statement,
     enum err (*row)(void *, const struct influxql_cell *, uint32_t, struct why *), struct why *why)
{
    struct influxql_answer a = {.q = q, .statements = 1};
    struct influxql_sink sink = {take_listed, row, take_statement, take_error, &a};
    buf_clear(&q->query);
    buf_put_text(&q->query, statement);
    enum err e = send_query(q, why);
    return e ? e : read_answer(&a, &sink, why);
}

/* A database that does not exist has no measurements either, which is no error; to have no
 * retention policies is one. */
static enum err
list(struct influx_question *q, struct why *why)
{
    enum err e = q->of->telegraf ? show(q, "SHOW FIELD KEYS", row_of_fields, why)
                                 : show(q, "SHOW MEASUREMENTS", row_of_measurements, why);
    if (e || q->metric_count > 0) return e;
    return show(q, "SHOW RETENTION POLICIES", row_of_no_interest, why);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* The keys of all its tags: of GROUP BY * each series has them. */
static enum err
keep_tags(struct influx_question *q, struct influx_metric *metric,
          const struct influxql_series *series, struct why *why)
{
    if (metric->tag_count == series->tag_count) return OK;
    metric->tag_count = 0;
    metric->tags = arena_new(&q->arena, (series->tag_count + 1) * sizeof *metric->tags);
    if (metric->tags == NULL) return no_memory(why);
    for (uint32_t i = 0; i < series->tag_count; i++) {
        metric->tags[i] = arena_copy(&q->arena, series->tags[i].name);
        if (metric->tags[i].at == NULL && series->tags[i].name.size > 0) return no_memory(why);
        metric->tag_count++;
    }
    return OK;
}

static enum err
take_key_series(void *context, struct influxql_series *series, struct why *why)
{
    struct influxql_answer *a = context;
    if (series->statement >= a->statements) {
        return why_set(why, ERR_CORRUPT, "a result belongs to no statement");
    }
    a->series = series;
    return keep_tags(a->q, &a->q->metrics[a->first + series->statement], series, why);
}

static bool
is_sample(const struct influx_metric *metric, uint32_t column, const struct influxql_cell *cell)
{
    if (cell->kind == INFLUXQL_TEXT) return metric->field.size == 0 && column > COLUMN_VALUE;
    return cell->kind != INFLUXQL_NULL && column == COLUMN_VALUE;
}

static enum err
row_of_key(void *context, const struct influxql_cell *cells, uint32_t count, struct why *why)
{
    struct influxql_answer *a = context;
    uint32_t metric = a->first + a->series->statement;
    bool any = false;
    for (uint32_t i = 1; i < count; i++) {
        any |= is_sample(&a->q->metrics[metric], i - 1, &cells[i]);
    }
    if (!any) return OK;
    return a->keys->series(a->keys->context, metric, a->series->tags, a->series->tag_count, why);
}

static enum err
keys(struct influx_question *q, uint32_t first, enum influx_grouping grouping, struct bytes label,
     const struct influx_key_sink *to, uint32_t *ret_count, struct why *why)
{
    struct influxql_answer a = {.q = q, .keys = to, .first = first};
    struct influxql_sink sink = {take_key_series, row_of_key, take_statement, take_error, &a};
    enum err e = OK;
    buf_clear(&q->query);
    while (e == OK && first + a.statements < q->metric_count && a.statements < STATEMENTS_MAX &&
           q->query.size < QUERY_BYTES) {
        if (a.statements > 0) buf_put_text(&q->query, "; ");
        put_select(&q->query, &q->metrics[first + a.statements++], q->min_ms, q->max_ms);
        e = put_matchers(q, why);
        if (grouping != GROUPED_BY_NONE) buf_put_text(&q->query, " GROUP BY ");
        if (grouping == GROUPED_BY_ALL) buf_put_u8(&q->query, '*');
        if (grouping == GROUPED_BY_ONE) influxql_put_name(&q->query, label);
        buf_put_text(&q->query, " LIMIT 1");
    }
    *ret_count = a.statements;
    if (e == OK) e = send_query(q, why);
    return e ? e : read_answer(&a, &sink, why);
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
put_key(struct buf *to, const struct influx_metric *metric, struct bytes tags)
{
    bool any = false;
    buf_put_u8(to, '(');
    for (uint32_t i = 0; i < metric->tag_count; i++) {
        struct bytes value = labels_get(tags, metric->tags[i]);
        if (!influxql_can_quote(metric->tags[i]) || !influxql_can_quote(value)) continue;
        if (any) buf_put_text(to, " AND ");
        any = true;
        put_tag(to, metric->tags[i]);
        buf_put_text(to, " = ");
        influxql_put_text(to, value);
    }
    if (!any) buf_put_text(to, "time >= -9223372036854775806"); /* always so */
    buf_put_u8(to, ')');
}

static void
put_run(struct influx_question *q, const struct series_blocks *blocks,
        const struct series_block *block, const struct influx_run *run)
{
    const struct influx_metric *metric = &q->metrics[run->metric];
    put_select(&q->query, metric, block->min_ms, block->max_ms);
    buf_put_text(&q->query, " AND (");
    for (uint32_t i = run->from; i < run->end; i++) {
        if (i > run->from) buf_put_text(&q->query, " OR ");
        put_key(&q->query, metric, influx_key_tags(series_blocks_key(blocks, i)));
    }
    buf_put_text(&q->query, ") GROUP BY *");
}

static enum err
take_sample_series(void *context, struct influxql_series *series, struct why *why)
{
    struct influxql_answer *a = context;
    if (series->statement >= a->statements) {
        return why_set(why, ERR_CORRUPT, "a result belongs to no statement");
    }
    const struct influx_run *run = &a->q->runs[series->statement];
    enum err e = influx_run_find(a->q, a->blocks, run, series->tags, series->tag_count, &a->hint,
                                 &a->number, why);
    a->series = series;
    a->known = e == OK && a->number < run->end;
    return e;
}

static enum err
row_of_samples(void *context, const struct influxql_cell *cells, uint32_t count, struct why *why)
{
    struct influxql_answer *a = context;
    int64_t t;
    enum err e = OK;
    if (!a->known) return OK; /* more than was asked for */
    if (count < 2 || cells[0].kind != INFLUXQL_NUMBER || !time_parse_ms(cells[0].text, &t)) {
        return why_set(why, ERR_CORRUPT, "a row has no time");
    }
    if (is_in_ns(a->q)) t = influx_ms_of(t);
    for (uint32_t i = 1; i < count && e == OK; i++) {
        enum influx_column column = (enum influx_column)(i - 1);
        const struct influx_metric *metric =
            &a->q->metrics[a->q->runs[a->series->statement].metric];
        if (!is_sample(metric, column, &cells[i])) continue;
        e = cells[i].kind == INFLUXQL_TEXT
                ? influx_put_text(a->q, a->blocks, a->number, t, column, cells[i].text, why)
                : influx_put_number(a->blocks, a->number, t, cells[i].text, why);
    }
    return e;
}

static enum err
samples(struct influx_question *q, struct series_blocks *blocks, const struct series_block *block,
        struct why *why)
{
    struct influxql_answer a = {.q = q, .blocks = blocks};
    struct influxql_sink sink = {take_sample_series, row_of_samples, take_statement, take_error,
                                 &a};
    enum err e = influx_runs_of(q, blocks, block, why);
    if (e) return e;
    buf_clear(&q->query);
    for (; a.statements < q->run_count; a.statements++) {
        if (a.statements > 0) buf_put_text(&q->query, "; ");
        put_run(q, blocks, block, &q->runs[a.statements]);
        if (q->query.size <= QUERY_BYTES_MAX || block->count == 1) continue;
        return why_set(why, ERR_FULL, "too many labels for a request");
    }
    e = send_query(q, why);
    if (e == OK) e = read_answer(&a, &sink, why);
    influx_ask_end(&q->ask); /* a block may be given up */
    return e;
}

const struct influx_dialect influxql_dialect = {.list = list,
                                                .keys = keys,
                                                .samples = samples,
                                                .keys_max = 256,
                                                .can_group_by = influxql_can_quote};
