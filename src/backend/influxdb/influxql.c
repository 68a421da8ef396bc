/*
 * influxql.c - InfluxQL over /query: InfluxDB 1, and the API for its clients of versions 2 and 3.
 *
 * A request has many statements, one for each metric; version 3 takes one. LIMIT 1 returns one row
 * of each series; the output of SHOW SERIES is escaped in a way that cannot be undone, and covers
 * all times. Responses come in chunks, each a line.
 *
 * A tag that a series lacks is '' in comparisons, and in the result of GROUP BY *, which therefore
 * has all tags of a measurement. Conditions on a series name all of them; otherwise those of a
 * series with few tags would select many others. "::tag" and "::field" distinguish a tag from a
 * field with the same name.
 *
 * In version 3 such a tag is NULL, for which no comparison holds, and regexes are another
 * library's: only conditions that a present tag has to meet are sent.
 */
#include "backend/influxdb/influxdb_private.h"

#include <stdio.h>

#include "backend/common/http_common.h"
#include "base/text/hex.h"
#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "model/labels.h"

enum {
    STATEMENTS_MAX = 256,
    QUERY_BYTES = 256 * 1024, /* approximate size of a request with many statements */
    QUERY_BYTES_MAX = 4 << 20,
};

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

static enum influxdb_version
version_of(const struct influx_question *q)
{
    return q->base.of->options.settings->u.influxdb.server.version;
}

static void
put_tag(struct buf *to, struct bytes name)
{
    influxql_put_name(to, name);
    buf_put_text(to, "::tag");
}

/* All texts that a matcher admits must be in the query; of texts that it refuses, any may be. */
static void
put_literals(struct influx_question *q, const struct matcher *m, const struct bytes *texts,
             uint32_t count)
{
    struct buf *to = &q->query;
    bool any = false, positive = fetch_is_positive(m), nulls = version_of(q) == INFLUXDB_3;
    if (nulls && !positive) return;
    for (uint32_t i = 0; positive && i < count; i++)
        if (!influxql_can_quote(texts[i]) || (nulls && texts[i].size == 0)) return;
    for (uint32_t i = 0; i < count; i++) {
        if (!influxql_can_quote(texts[i])) continue;
        buf_put_text(to, any ? positive ? " OR " : " AND " : " AND (");
        any = true;
        put_tag(to, matcher_name(m));
        buf_put_text(to, positive ? " = " : " != ");
        influxql_put_text(to, texts[i]);
    }
    if (any) buf_put_u8(to, ')');
}

/* Coded values are added, since they may match, decoded. */
static void
put_regex(struct influx_question *q, const struct matcher *m)
{
    struct buf *to = &q->query;
    bool positive = matcher_type(m) == MATCH_REGEX;
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

/* Puts the matchers as conditions, as far as InfluxQL can express them. */
static enum err
put_matchers(struct influx_question *q, struct why *why)
{
    for (uint32_t i = 0; i < q->base.matcher_count; i++) {
        const struct matcher *m = q->base.matchers[i];
        struct bytes name = matcher_name(m), *texts;
        bool known, is_regex = matcher_type(m) == MATCH_REGEX || matcher_type(m) == MATCH_NOT_REGEX;
        uint32_t count;
        if (fetch_is_of_name(m) || !influx_is_plain_label(q, name) || !influxql_can_quote(name))
            continue;
        enum err e = influx_stored_literals(q, m, &texts, &count, &known, why);
        if (e) return e;
        if (known)
            put_literals(q, m, texts, count);
        else if (is_regex && version_of(q) != INFLUXDB_3 && go_can_match(matcher_pattern(m)))
            put_regex(q, m);
    }
    return OK;
}

static bool
is_in_ns(const struct influx_question *q)
{
    return q->base.min_ms < 0; /* InfluxDB cuts times to milliseconds towards zero */
}

/* Names the database. A bucket of version 2 is one of the same name, or "database/policy". */
static void
put_place(struct influx_exchange *exchange, const struct influxdb_settings *server)
{
    const char *slash = server->version == INFLUXDB_2 ? strchr(server->bucket, '/') : NULL;
    if (slash != NULL) {
        size_t size = (size_t)(slash - server->bucket);
        http_url_param(&exchange->base.url, "db", bytes_of(server->bucket, size));
        influx_exchange_param(exchange, "rp", slash + 1);
    } else if (server->version == INFLUXDB_2) {
        influx_exchange_param(exchange, "db", server->bucket);
    } else {
        influx_exchange_param(exchange, "db", server->database);
        influx_exchange_param(exchange, "rp", server->retention_policy);
    }
}

/* Sends what is in q->query. */
static enum err
send_query(struct influx_question *q, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    const struct influxdb_settings *server = &q->base.of->options.settings->u.influxdb.server;
    struct influx_exchange *exchange = &q->exchange;
    if (buf_error(&q->query)) return fetch_no_request_memory(why);
    influx_exchange_begin(exchange, "/query");
    put_place(exchange, server);
    influx_exchange_param(exchange, "epoch", is_in_ns(q) ? "ns" : "ms");
    influx_exchange_param(exchange, "chunked", "true");
    influx_exchange_param(exchange, "chunk_size", "1000");
    buf_put_text(&exchange->base.body, "q=");
    buf_put_percent(&exchange->base.body, buf_bytes(&q->query), "");
    return influx_exchange_send(exchange, headers, why);
}

/* --- answers ---------------------------------------------------------------------------------- */

struct influxql_answer {
    struct influx_question *q;
    uint32_t statements, ended;
    uint32_t first;                 /* metric, or run, of the first statement */
    struct influxql_series *series; /* the current series */
    uint32_t hint, number;
    bool known; /* it is in the block */
    bool said;  /* the error is a sentence of the server */
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

/* An error within a response that began well. */
static enum err
take_error(void *context, struct bytes sentence, struct why *why)
{
    struct influxql_answer *a = context;
    enum err e = ERR_IO;
    if (is_there(sentence, "max-select-")) e = ERR_LIMIT;
    if (is_there(sentence, "timeout") || is_there(sentence, "max-concurrent-queries") ||
        is_there(sentence, "shutting down"))
        e = ERR_AGAIN;
    a->said = true;
    return why_set(why, e, "the server responds with %s", shown_of(sentence).text);
}

static enum err
read_answer(struct influxql_answer *a, const struct influxql_sink *sink, struct why *why)
{
    struct influx_question *q = a->q;
    struct bytes line;
    for (;;) {
        enum err e = influx_exchange_record(&q->exchange, &line, why);
        if (e) return e;
        if (line.at == NULL) break;
        arena_reset(&q->base.scratch);
        e = influxql_read_line(line, &q->base.scratch, sink, why);
        if (e == OK) e = query_control_check(q->base.control, why);
        if (a->said || e == ERR_CORRUPT) return fetch_exchange_failed(&q->exchange.base, e, why);
        if (e) return e;
    }
    influx_exchange_end(&q->exchange);
    if (a->ended >= a->statements) return OK;
    return why_set(why, ERR_CORRUPT, "%s: the response ends before the last result",
                   q->base.of->options.settings->u.influxdb.server.url);
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
    return influx_question_add(a->q, cells[0].text, bytes_of(NULL, 0), why);
}

/* A field may have several types, in different shards. */
static enum err
row_of_fields(void *context, const struct influxql_cell *cells, uint32_t count, struct why *why)
{
    struct influxql_answer *a = context;
    struct influx_question *q = a->q;
    if (count < 2 || cells[0].kind != INFLUXQL_TEXT || cells[1].kind != INFLUXQL_TEXT) return OK;
    if (bytes_equal_text(cells[1].text, "string")) return OK;
    const struct influx_metric *last = &q->metrics[q->metric_count - (q->metric_count > 0)];
    if (q->metric_count > 0 && bytes_equal(last->measurement, a->series->name) &&
        bytes_equal(last->field, cells[0].text))
        return OK;
    if (!influxql_can_quote(cells[0].text)) return OK; /* no query can name the field */
    return influx_question_add(q, a->series->name, cells[0].text, why);
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

/* In version 1 a missing database has no measurements, which is not an error; a database without
 * retention policies is an error. */
enum err
influxql_list(struct influx_question *q, struct why *why)
{
    enum err e = q->of->telegraf ? show(q, "SHOW FIELD KEYS", row_of_fields, why)
                                 : show(q, "SHOW MEASUREMENTS", row_of_measurements, why);
    if (e || q->metric_count > 0 || version_of(q) != INFLUXDB_1) return e;
    return show(q, "SHOW RETENTION POLICIES", row_of_no_interest, why);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Keeps the keys of a metric's tags: with GROUP BY * each series has all of them. */
static enum err
keep_tags(struct influx_question *q, struct influx_metric *metric,
          const struct influxql_series *series, struct why *why)
{
    if (metric->tag_count == series->tag_count) return OK;
    metric->tag_count = 0;
    metric->tags = arena_new(&q->base.arena, (series->tag_count + 1) * sizeof *metric->tags);
    if (metric->tags == NULL) return fetch_no_request_memory(why);
    for (uint32_t i = 0; i < series->tag_count; i++) {
        metric->tags[i] = arena_copy(&q->base.arena, series->tags[i].name);
        if (metric->tags[i].at == NULL && series->tags[i].name.size > 0)
            return fetch_no_request_memory(why);
        metric->tag_count++;
    }
    return OK;
}

static enum err
take_key_series(void *context, struct influxql_series *series, struct why *why)
{
    struct influxql_answer *a = context;
    if (series->statement >= a->statements)
        return why_set(why, ERR_CORRUPT, "a result belongs to no statement");
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
    for (uint32_t i = 1; i < count; i++)
        any |= is_sample(&a->q->metrics[metric], i - 1, &cells[i]);
    if (!any) return OK;
    return influx_question_take(a->q, metric, a->series->tags, a->series->tag_count, why);
}

/* Version 3 refuses requests with several statements. */
static uint32_t
statements_max(const struct influx_question *q)
{
    return version_of(q) == INFLUXDB_3 ? 1 : STATEMENTS_MAX;
}

enum err
influxql_keys(struct influx_question *q, uint32_t first, uint32_t *ret_count, struct why *why)
{
    struct influxql_answer a = {.q = q, .first = first};
    struct influxql_sink sink = {take_key_series, row_of_key, take_statement, take_error, &a};
    enum err e = OK;
    buf_clear(&q->query);
    while (e == OK && first + a.statements < q->metric_count && a.statements < statements_max(q) &&
           q->query.size < QUERY_BYTES) {
        if (a.statements > 0) buf_put_text(&q->query, "; ");
        put_select(&q->query, &q->metrics[first + a.statements++], q->base.min_ms, q->base.max_ms);
        e = put_matchers(q, why);
        if (q->grouping != GROUPED_BY_NONE) buf_put_text(&q->query, " GROUP BY ");
        if (q->grouping == GROUPED_BY_ALL) buf_put_u8(&q->query, '*');
        if (q->grouping == GROUPED_BY_ONE) influxql_put_name(&q->query, q->base.name);
        buf_put_text(&q->query, " LIMIT 1");
    }
    *ret_count = a.statements;
    if (e == OK) e = send_query(q, why);
    return e ? e : read_answer(&a, &sink, why);
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
put_key(struct influx_question *q, const struct influx_metric *metric, struct bytes tags)
{
    struct buf *to = &q->query;
    bool any = false, nulls = version_of(q) == INFLUXDB_3;
    buf_put_u8(to, '(');
    for (uint32_t i = 0; i < metric->tag_count; i++) {
        struct bytes value = labels_get(tags, metric->tags[i]);
        if (!influxql_can_quote(metric->tags[i]) || !influxql_can_quote(value)) continue;
        if (nulls && value.size == 0) continue;
        if (any) buf_put_text(to, " AND ");
        any = true;
        put_tag(to, metric->tags[i]);
        buf_put_text(to, " = ");
        influxql_put_text(to, value);
    }
    if (!any) buf_put_text(to, "time >= -9223372036854775806"); /* always true */
    buf_put_u8(to, ')');
}

static enum err
take_sample_series(void *context, struct influxql_series *series, struct why *why)
{
    struct influxql_answer *a = context;
    if (series->statement >= a->statements)
        return why_set(why, ERR_CORRUPT, "a result belongs to no statement");
    const struct influx_run *run = &a->q->runs[a->first + series->statement];
    enum err e =
        influx_run_find(a->q, run, series->tags, series->tag_count, &a->hint, &a->number, why);
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
    if (!a->known) return OK; /* the server sent another series */
    if (count < 2 || cells[0].kind != INFLUXQL_NUMBER || !time_parse_ms(cells[0].text, &t))
        return why_set(why, ERR_CORRUPT, "a row has no time");
    if (is_in_ns(a->q)) t = influx_ms_of(t);
    for (uint32_t i = 1; i < count && e == OK; i++) {
        enum influx_column column = (enum influx_column)(i - 1);
        const struct influx_metric *metric =
            &a->q->metrics[a->q->runs[a->first + a->series->statement].metric];
        if (!is_sample(metric, column, &cells[i])) continue;
        e = cells[i].kind == INFLUXQL_TEXT
                ? influx_put_text(a->q, a->number, t, column, cells[i].text, why)
                : influx_put_number(a->q, a->number, t, cells[i].text, why);
    }
    return e;
}

/* Reads the runs from `first` on that fit one request, and returns their number. */
static enum err
read_runs(struct influx_question *q, const struct series_block *block, uint32_t first,
          uint32_t *ret_count, struct why *why)
{
    struct influxql_answer a = {.q = q, .first = first};
    struct influxql_sink sink = {take_sample_series, row_of_samples, take_statement, take_error,
                                 &a};
    buf_clear(&q->query);
    while (first + a.statements < q->run_count && a.statements < statements_max(q)) {
        if (a.statements > 0) buf_put_text(&q->query, "; ");
        const struct influx_run *run = &q->runs[first + a.statements++];
        const struct influx_metric *metric = &q->metrics[run->metric];
        put_select(&q->query, metric, block->min_ms, block->max_ms);
        buf_put_text(&q->query, " AND (");
        for (uint32_t i = run->from; i < run->end; i++) {
            if (i > run->from) buf_put_text(&q->query, " OR ");
            put_key(q, metric, influx_key_tags(q, i));
        }
        buf_put_text(&q->query, ") GROUP BY *");
        if (q->query.size <= QUERY_BYTES_MAX || block->count == 1) continue;
        return why_set(why, ERR_FULL, "too many labels for a request");
    }
    *ret_count = a.statements;
    enum err e = send_query(q, why);
    return e ? e : read_answer(&a, &sink, why);
}

enum err
influxql_samples(struct influx_question *q, const struct series_block *block, struct why *why)
{
    uint32_t count = 0;
    enum err e = influx_runs_of(q, block, why);
    for (uint32_t first = 0; e == OK && first < q->run_count; first += count)
        e = read_runs(q, block, first, &count, why);
    influx_exchange_end(&q->exchange); /* the block may be given up */
    return e;
}
