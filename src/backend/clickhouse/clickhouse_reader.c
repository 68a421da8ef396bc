/*
 * clickhouse_reader.c - a source of type clickhouse: see clickhouse_reader.h.
 *
 * One statement for all samples, in order, was measured against blocks of series: for 10 million
 * samples on 18.16 it takes 7.8 s, 1.4 GB of the server's memory and 1 GB of response, as each row
 * repeats its labels; blocks take 5 s, some MB, and 160 MB.
 *
 * The properties of the table are read again after FORM_AGE_NS, and after ClickHouse responded that
 * it does not know the table so.
 */
#include "backend/clickhouse/clickhouse_reader.h"

#include "backend/clickhouse/clickhouse.h"
#include "backend/common/http_common.h"
#include "base/hash/hash.h"
#include "model/labels.h"

/* --- requests --------------------------------------------------------------------------------- */

enum { READER_QUERY_BYTES_MAX = 16 << 20 };

static void
reader_put_setting(struct clickhouse_exchange *x, enum clickhouse_setting setting,
                   const char *value)
{
    http_url_param(&x->base.url, clickhouse_setting_word(setting), bytes_of_text(value));
}

/* Ends the statement before. If settings are sent, ClickHouse stops when the connection is closed,
 * and omits no rows without an error. */
static void
clickhouse_exchange_begin(struct clickhouse_exchange *x)
{
    const struct source_settings *settings = x->base.q->of->options.settings;
    fetch_exchange_begin(&x->base, settings->u.clickhouse.server.url, "/");
    if (x->table == NULL) return;
    if (x->table->knows[CLICKHOUSE_CANCEL]) reader_put_setting(x, CLICKHOUSE_CANCEL, "1");
    for (enum clickhouse_setting i = 0; i < CLICKHOUSE_SETTINGS; i++)
        if (x->table->omits[i]) reader_put_setting(x, i, clickhouse_setting_whole(i));
}

/* --- the request ------------------------------------------------------------------------------ */

/* A repeated request gets the same response, except for errors that pass. */
static void
judge(const struct http_call_answer *answer, struct writer_step *step)
{
    if (clickhouse_answer_code(answer) == 0) return;
    (void)clickhouse_judge(answer, step);
    switch (step->verdict) {
    case VERDICT_RETRY:
    case VERDICT_BLOCKED:
        break;
    case VERDICT_THROTTLED:
        if (clickhouse_is_too_much(answer)) step->verdict = VERDICT_DEAD;
        break;
    default:
        step->verdict = VERDICT_DEAD;
        break;
    }
}

/* The error of a refusal, which is `e` unless its code says more. */
static enum err
refusal(struct clickhouse_exchange *x, const struct http_call_answer *answer, enum err e)
{
    struct writer_step step = {.next = WRITER_DONE};
    enum clickhouse_meaning meaning = clickhouse_judge(answer, &step);
    x->code = clickhouse_answer_code(answer);
    x->form_changed = meaning == CLICKHOUSE_UNKNOWN_FORM;
    return clickhouse_is_too_much(answer) ? ERR_FULL : e;
}

/* Sends the statement and waits until its response begins. */
static enum err
send(struct clickhouse_exchange *x, struct why *why)
{
    static const char *const headers[] = {"Content-Type: text/plain; charset=utf-8", NULL};
    static const struct fetch_request how = {
        .headers = headers, .wanted = clickhouse_wanted_headers, .judge = judge};
    const struct http_call_answer *answer;
    x->form_changed = false;
    x->code = 0;
    if (buf_error(&x->base.body) == ERR_LIMIT)
        return why_set(why, ERR_LIMIT, "the query is too large");
    enum err e = fetch_exchange_send(&x->base, &how, why);
    if (e) return e;
    e = fetch_exchange_await(&x->base, &answer, why);
    return e && answer != NULL ? refusal(x, answer, e) : e;
}

/* Sends the statement and waits until its response begins; its rows are of these kinds
 * (clickhouse_reader.h). */
static MUST_CHECK enum err
clickhouse_exchange_rows(struct clickhouse_exchange *x, const char *kinds, struct why *why)
{
    enum err e = send(x, why);
    if (e)
        fetch_exchange_end(&x->base);
    else
        rows_begin(&x->rows, kinds, fetch_exchange_more, &x->base);
    return e;
}

/* Does the same for a response that has no rows: reads all of it. */
static MUST_CHECK enum err
clickhouse_exchange_text(struct clickhouse_exchange *x, struct buf *to, struct why *why)
{
    buf_clear(to);
    enum err e = send(x, why);
    return e ? e : fetch_read_all(x->base.fetch, to, why);
}

/* --- end of a statement ----------------------------------------------------------------------- */

/* Puts the address before `why` and ends the request. Returns `e`. */
static enum err
clickhouse_exchange_failed(struct clickhouse_exchange *x, enum err e, struct why *why)
{
    e = fetch_exchange_failed(&x->base, e, why);
    fetch_exchange_end(&x->base);
    return e;
}

/* A response without its last row ends with an error of ClickHouse, or is damaged. */
static enum err
late_error(struct clickhouse_exchange *x, struct why *why)
{
    rows_drain(&x->rows);
    struct http_call_answer answer = {.failure = HTTP_CALL_ANSWERED,
                                      .status = 200,
                                      .wanted = {""},
                                      .body = bytes_of(x->rows.tail, x->rows.tail_size)};
    struct bytes text = clickhouse_late_exception(answer.body);
    if (text.size == 0) {
        *why = x->rows.why;
        return clickhouse_exchange_failed(x, ERR_CORRUPT, why);
    }
    struct writer_step step = {.next = WRITER_DONE};
    answer.body = text;
    (void)clickhouse_judge(&answer, &step);
    bool passes = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    enum err e = passes ? ERR_AGAIN : ERR_IO;
    why_set(why, e, "the response ends with an error: %s", step.answer);
    e = fetch_exchange_failed(&x->base, e, why);
    e = refusal(x, &answer, e);
    fetch_exchange_end(&x->base);
    return e;
}

/* Ends the request after rows_next() was false: OK if that was after the last row. */
static MUST_CHECK enum err
clickhouse_exchange_end(struct clickhouse_exchange *x, struct why *why)
{
    enum err e = x->rows.failed;
    if (e == ERR_CORRUPT) return late_error(x, why);
    if (e) *why = x->rows.why;
    fetch_exchange_end(&x->base);
    return e;
}

/* --- reader ----------------------------------------------------------------------------------- */

enum {
    /* ClickHouse accepts statements of 256 KiB by default. */
    KEYS_BYTES_MAX = 192 * 1024,
    NUMBERS_BYTES_MAX = 8 * SERIES_BLOCKS_SAMPLES,
};
static const int64_t FORM_AGE_NS = 60LL * NS_PER_S;

/* --- a question ------------------------------------------------------------------------------- */

static void
question_init(struct fetch_question *base)
{
    struct clickhouse_question *q = (struct clickhouse_question *)base;
    for (int i = 0; i < QUESTION_ARRAYS; i++)
        buf_init(&q->arrays[i], base->budget, NUMBERS_BYTES_MAX);
    fetch_exchange_init(&q->exchange.base, base, READER_QUERY_BYTES_MAX);
    rows_init(&q->exchange.rows, base->budget);
}

static void
question_fini(struct fetch_question *base)
{
    struct clickhouse_question *q = (struct clickhouse_question *)base;
    fetch_exchange_fini(&q->exchange.base);
    rows_fini(&q->exchange.rows);
    for (int i = 0; i < QUESTION_ARRAYS; i++)
        buf_fini(&q->arrays[i]);
    table_fini(&q->keys, base->budget);
}

/* --- properties of the table ------------------------------------------------------------------ */

static struct clickhouse_reader *
reader_of(const struct clickhouse_question *q)
{
    return (struct clickhouse_reader *)q->base.of;
}

static bool
take_known(struct clickhouse_question *q)
{
    struct clickhouse_reader *of = reader_of(q);
    int64_t now_ns = env_monotonic_ns(of->base.options.env);
    lock_take(&of->base.lock);
    bool known = of->is_described && now_ns - of->described_ns < FORM_AGE_NS;
    if (known) q->form = of->form;
    lock_drop(&of->base.lock);
    q->exchange.table = known && !q->form.table.is_readonly ? &q->form.table : NULL;
    return known;
}

/* Forgets the properties of the table after a response that contradicts them. */
static void
forget_form(struct clickhouse_question *q)
{
    struct clickhouse_reader *of = reader_of(q);
    if (!q->exchange.form_changed) return;
    lock_take(&of->base.lock);
    of->is_described = false;
    lock_drop(&of->base.lock);
}

/* Finds out whether a table of the engine Distributed supports FINAL. */
static enum err
try_final(struct clickhouse_question *q, struct why *why)
{
    clickhouse_exchange_begin(&q->exchange);
    clickhouse_sql_final(&q->exchange.base.body, q);
    struct why refused = {""};
    enum err e = clickhouse_exchange_text(&q->exchange, &q->base.text, &refused);
    fetch_exchange_end(&q->exchange.base);
    q->form.is_final = e == OK;
    if (e == OK || q->exchange.code == CLICKHOUSE_ILLEGAL_FINAL) return OK;
    *why = refused;
    return e;
}

static enum err
ask_form(struct clickhouse_question *q, struct why *why)
{
    const struct clickhouse_settings *s = &q->base.of->options.settings->u.clickhouse.server;
    struct clickhouse_form *f = &q->form;
    clickhouse_exchange_begin(&q->exchange);
    clickhouse_table_ask_put(&q->exchange.base.body, s);
    enum err e = clickhouse_exchange_text(&q->exchange, &q->base.text, why);
    if (e == OK && clickhouse_table_read(buf_bytes(&q->base.text), f->names, &f->table) != OK) {
        why_set(why, ERR_CORRUPT, "the response about the table cannot be read");
        e = clickhouse_exchange_failed(&q->exchange, ERR_CORRUPT, why);
    }
    if (e == OK && clickhouse_form_check(f, s, why) != OK)
        e = clickhouse_exchange_failed(&q->exchange, ERR_IO, why);
    fetch_exchange_end(&q->exchange.base);
    if (e) return e;
    f->is_final = strstr(f->table.engine, "ReplacingMergeTree") != NULL;
    if (strcmp(f->table.engine, "Distributed") == 0) e = try_final(q, why);
    return e;
}

static enum err
reader_learn(struct clickhouse_question *q, struct why *why)
{
    struct clickhouse_reader *of = reader_of(q);
    if (take_known(q)) return OK;
    const struct clickhouse_columns *c = &of->base.options.settings->u.clickhouse.columns;
    const char *const given[CLICKHOUSE_COLUMNS] = {
        [COLUMN_METRIC] = c->metric,
        [COLUMN_LABELS] = c->labels,
        [COLUMN_TIME] = c->time,
        [COLUMN_VALUE] = c->value,
        [COLUMN_BITS] = c->bits,
        [COLUMN_HISTOGRAM] = c->histogram,
        [COLUMN_START_TIME] = c->start_time,
    };
    q->form = (struct clickhouse_form){.is_foreign = false};
    for (int i = 0; i < CLICKHOUSE_COLUMNS; i++) {
        const char *ours = clickhouse_column_names[i];
        bool is_ours = given[i] == NULL || strcmp(given[i], ours) == 0;
        q->form.names[i] = is_ours ? ours : given[i];
        q->form.is_foreign |= !is_ours;
    }
    enum err e = ask_form(q, why);
    if (e) return e;
    lock_take(&of->base.lock);
    of->form = q->form;
    of->is_described = true;
    of->described_ns = env_monotonic_ns(of->base.options.env);
    lock_drop(&of->base.lock);
    (void)take_known(q);
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

/* Metric and labels of a row as the key of its series: the metric counted, then the labels. */
static enum err
read_key(struct clickhouse_question *q)
{
    struct buf *text = &q->base.text;
    buf_clear(text);
    buf_put_counted(text, rows_text(&q->exchange.rows));
    buf_put_bytes(text, rows_text(&q->exchange.rows));
    return buf_error(text);
}

static enum err
read_series(struct clickhouse_question *q, struct why *why)
{
    struct rows *rows = &q->exchange.rows;
    struct label labels[FINAL_LABELS_MAX];
    if (read_key(q)) return fetch_no_memory(why);
    struct fetch_series series = {.labels = labels, .key = buf_bytes(&q->base.text)};
    series.samples = rows_number(rows);
    series.first_ms = (int64_t)rows_number(rows);
    series.last_ms = (int64_t)rows_number(rows);
    if (rows->failed) return OK;
    struct cursor c = cursor_of(series.key);
    struct bytes metric = cursor_counted(&c);
    arena_reset(&q->base.scratch);
    enum err e = label_text_read(metric, bytes_of(c.at, cursor_left(&c)), &q->base.scratch, labels,
                                 &series.count, why);
    if (e == ERR_CORRUPT) return clickhouse_exchange_failed(&q->exchange, e, why);
    return e ? e : fetch_question_take(&q->base, &series, why);
}

/* The rows that a question needs. Look-ups without matchers need not distinguish series. */
static enum clickhouse_subject
subject_of(const struct clickhouse_question *q, bool is_metric)
{
    bool about_metric = true;
    for (uint32_t i = 0; i < q->base.matcher_count; i++)
        about_metric &= fetch_is_of_name(q->base.matchers[i]);
    if (q->base.purpose == FETCH_SAMPLES || q->base.purpose == FETCH_SERIES) return SUBJECT_SERIES;
    if (is_metric && about_metric) return SUBJECT_METRICS;
    return q->base.matcher_count == 0 ? SUBJECT_LABELS : SUBJECT_SERIES;
}

static enum err
find_series(struct fetch_question *base, struct why *why)
{
    struct clickhouse_question *q = (struct clickhouse_question *)base;
    bool is_metric = bytes_equal_text(base->name, "__name__");
    enum err e = reader_learn(q, why);
    if (e) return e;
    clickhouse_exchange_begin(&q->exchange);
    clickhouse_sql_series(&q->exchange.base.body, q, subject_of(q, is_metric),
                          is_metric ? bytes_of(NULL, 0) : base->name);
    e = clickhouse_exchange_rows(&q->exchange, clickhouse_series_kinds, why);
    while (e == OK && rows_next(&q->exchange.rows))
        e = read_series(q, why);
    if (e == OK) e = clickhouse_exchange_end(&q->exchange, why);
    fetch_exchange_end(&q->exchange.base);
    forget_form(q);
    return e;
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Puts ('metric','labels'), ... of a block. ERR_FULL: it is too long. */
static enum err
put_keys(struct clickhouse_question *q, const struct series_block *block, struct why *why)
{
    buf_clear(&q->base.text);
    for (uint32_t i = 0; i < block->count; i++) {
        struct cursor c = cursor_of(series_blocks_key(q->base.blocks, block->first + i));
        struct bytes metric = cursor_counted(&c);
        buf_put_text(&q->base.text, i == 0 ? "(" : ",(");
        clickhouse_quoted_put(&q->base.text, '\'', metric);
        buf_put_u8(&q->base.text, ',');
        clickhouse_quoted_put(&q->base.text, '\'', bytes_of(c.at, cursor_left(&c)));
        buf_put_u8(&q->base.text, ')');
        if (q->base.text.size > KEYS_BYTES_MAX && i > 0)
            return why_set(why, ERR_FULL, "too many series for a request");
    }
    return buf_error(&q->base.text) ? fetch_no_memory(why) : OK;
}

static enum err
index_keys(struct clickhouse_question *q, const struct series_block *block, struct why *why)
{
    table_clear(&q->keys);
    if (!table_reserve(&q->keys, q->base.budget, block->count)) return fetch_no_memory(why);
    for (uint32_t i = 0; i < block->count; i++) {
        table_add(&q->keys, hash_bytes(series_blocks_key(q->base.blocks, block->first + i), 0),
                  block->first + i);
    }
    q->keys_are_known = true;
    return OK;
}

/* The number of a key, which mostly is `next`; UINT32_MAX if it is not in the block. */
static enum err
find_key(struct clickhouse_question *q, const struct series_block *block, struct bytes key,
         uint32_t next, uint32_t *ret_number, struct why *why)
{
    *ret_number = next;
    bool is_there = next - block->first < block->count;
    if (is_there && bytes_equal(series_blocks_key(q->base.blocks, next), key)) return OK;
    enum err e = q->keys_are_known ? OK : index_keys(q, block, why);
    *ret_number = UINT32_MAX;
    if (e) return e;
    for (uint32_t at = TABLE_START, id; table_next(&q->keys, hash_bytes(key, 0), &at, &id);) {
        if (!bytes_equal(series_blocks_key(q->base.blocks, id), key)) continue;
        *ret_number = id;
        break;
    }
    return OK;
}

/* --- samples ---------------------------------------------------------------------------------- */

static uint64_t
number_at(const struct clickhouse_question *q, int array, uint32_t i)
{
    const struct buf *b = &q->arrays[array];
    return b->size == 0 ? 0 : load_le64(b->at + (size_t)i * 8);
}

/* Reads the last column, a histogram for each sample or an empty array, and puts the samples. */
static enum err
put_samples(struct clickhouse_question *q, uint32_t number, uint32_t count, struct why *why)
{
    struct rows *rows = &q->exchange.rows;
    uint32_t histograms = rows_count(rows, SERIES_BLOCKS_SAMPLES);
    enum err e = OK;
    if (histograms > 0 && histograms != count)
        return why_set(why, ERR_CORRUPT, "the arrays of a row differ in length");
    for (uint32_t i = 0; i < count && e == OK && rows->failed == OK; i++) {
        struct bytes text = histograms > 0 ? rows_text(rows) : bytes_of(NULL, 0);
        if (rows->failed || number == UINT32_MAX) continue;
        if (text.size > 0) {
            arena_reset(&q->base.scratch);
            e = fetch_question_put_histogram(&q->base, number,
                                             (int64_t)number_at(q, ARRAY_TIMES, i),
                                             (int64_t)number_at(q, ARRAY_STARTS, i), text, why);
            continue;
        }
        uint64_t bits = number_at(q, ARRAY_BITS, i);
        if (bits == 0) bits = number_at(q, ARRAY_VALUES, i);
        e = series_blocks_put_float(q->base.blocks, number, (int64_t)number_at(q, ARRAY_TIMES, i),
                                    bits, (int64_t)number_at(q, ARRAY_STARTS, i), why);
    }
    return e;
}

static enum err
read_samples(struct clickhouse_question *q, const struct series_block *block, uint32_t *next,
             struct why *why)
{
    struct rows *rows = &q->exchange.rows;
    uint32_t counts[QUESTION_ARRAYS], number;
    if (read_key(q)) return fetch_no_memory(why);
    for (int i = 0; i < QUESTION_ARRAYS; i++)
        counts[i] = rows_numbers(rows, SERIES_BLOCKS_SAMPLES, &q->arrays[i]);
    if (rows->failed) return OK;
    for (int i = ARRAY_VALUES; i < QUESTION_ARRAYS; i++) {
        if (counts[i] == counts[ARRAY_TIMES] || (i > ARRAY_VALUES && counts[i] == 0)) continue;
        return why_set(why, ERR_CORRUPT, "the arrays of a row differ in length");
    }
    enum err e = find_key(q, block, buf_bytes(&q->base.text), *next, &number, why);
    if (e) return e;
    if (number != UINT32_MAX) *next = number + 1;
    return put_samples(q, number, counts[ARRAY_TIMES], why);
}

static enum err
fetch_samples(struct fetch_question *base, const struct series_block *block, struct why *why)
{
    struct clickhouse_question *q = (struct clickhouse_question *)base;
    uint32_t next = block->first;
    bool all = base->takes_all && block->count == base->series_count;
    enum err e = all ? OK : put_keys(q, block, why);
    if (e) return e;
    q->keys_are_known = false;
    clickhouse_exchange_begin(&q->exchange);
    clickhouse_sql_samples(&q->exchange.base.body, q,
                           all ? bytes_of(NULL, 0) : buf_bytes(&base->text), block->min_ms,
                           block->max_ms);
    e = clickhouse_exchange_rows(&q->exchange, clickhouse_samples_kinds, why);
    while (e == OK && rows_next(&q->exchange.rows)) {
        e = read_samples(q, block, &next, why);
        if (e == ERR_CORRUPT) e = clickhouse_exchange_failed(&q->exchange, e, why);
    }
    if (e == OK) e = clickhouse_exchange_end(&q->exchange, why);
    fetch_exchange_end(&q->exchange.base);
    forget_form(q);
    return e;
}

enum err
clickhouse_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                      struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct clickhouse_reader),
        .question_bytes = sizeof(struct clickhouse_question),
        .min_ms = INT64_MIN,
        .max_ms = INT64_MAX,
        .arena_bytes_max = 64 << 20,
        .scratch_bytes_max = 256 << 20,
        .text_bytes_max = 64 << 20,
        .init = question_init,
        .fini = question_fini,
        .find = find_series,
        .samples = fetch_samples,
        .names = find_series,
        .values = find_series,
    };
    return fetch_reader_new(&type, options, NULL, ret_answerer, why);
}
