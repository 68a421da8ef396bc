/*
 * question.c - what a question of the source type clickhouse knows of its table, and the samples of
 * a block of series.
 *
 * What the table is, is asked for anew after FORM_AGE_NS, and after ClickHouse said that it does
 * not know it so.
 */
#include "backend/clickhouse/question.h"

#include "backend/clickhouse/label_text.h"
#include "backend/clickhouse/quoting.h"
#include "base/hash.h"
#include "model/labels.h"
#include "wire/json/histogram_json.h"

enum {
    ARENA_BYTES_MAX = 64 << 20,
    SCRATCH_BYTES_MAX = 256 << 20,
    TEXT_BYTES_MAX = 64 << 20,
    /* ClickHouse takes statements of 256 KiB, unless told otherwise. */
    KEYS_BYTES_MAX = 192 * 1024,
    NUMBERS_BYTES_MAX = 8 * SERIES_BLOCKS_SAMPLES,
};
static const int64_t FORM_AGE_NS = 60LL * NS_PER_S;

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- a question ------------------------------------------------------------------------------- */

void
clickhouse_question_init(struct clickhouse_question *q, struct fetch_view *view)
{
    struct clickhouse_reader *of = (struct clickhouse_reader *)view->of;
    *q = (struct clickhouse_question){.view = view, .of = of, .budget = view->budget};
    arena_init(&q->arena, q->budget, ARENA_BYTES_MAX, 0);
    arena_init(&q->scratch, q->budget, SCRATCH_BYTES_MAX, 0);
    buf_init(&q->text, q->budget, TEXT_BYTES_MAX);
    for (int i = 0; i < QUESTION_ARRAYS; i++) {
        buf_init(&q->arrays[i], q->budget, NUMBERS_BYTES_MAX);
    }
    clickhouse_ask_init(&q->ask, of->options.settings, view->session, NULL, q->budget);
}

void
clickhouse_question_fini(struct clickhouse_question *q)
{
    clickhouse_ask_fini(&q->ask);
    arena_fini(&q->arena);
    arena_fini(&q->scratch);
    buf_fini(&q->text);
    for (int i = 0; i < QUESTION_ARRAYS; i++) {
        buf_fini(&q->arrays[i]);
    }
    table_fini(&q->keys, q->budget);
}

/* Matchers live as long as the set; the array of them need not. */
enum err
clickhouse_question_begin(struct clickhouse_question *q, const struct query_request *r,
                          struct why *why)
{
    q->ask.control = r->control;
    q->min_ms = r->min_ms;
    q->max_ms = r->max_ms;
    if (r->set_count == 0) return OK;
    q->matcher_count = r->sets[0].count;
    q->matchers = arena_new(&q->arena, (q->matcher_count + 1) * sizeof *q->matchers);
    if (q->matchers == NULL) return no_memory(why);
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        q->matchers[i] = r->sets[0].matchers[i];
    }
    return OK;
}

enum err
clickhouse_limit(enum err e)
{
    return e == ERR_FULL ? ERR_LIMIT : e;
}

/* --- what the table is ------------------------------------------------------------------------ */

static bool
take_known(struct clickhouse_question *q)
{
    struct clickhouse_reader *of = q->of;
    int64_t now_ns = env_monotonic_ns(of->options.env);
    lock_take(&of->lock);
    bool known = of->is_asked && now_ns - of->asked_ns < FORM_AGE_NS;
    if (known) q->form = of->form;
    lock_drop(&of->lock);
    q->ask.cancels = known && q->form.table.knows[CLICKHOUSE_CANCEL] && !q->form.table.is_readonly;
    return known;
}

void
clickhouse_question_forget(struct clickhouse_question *q)
{
    struct clickhouse_reader *of = q->of;
    if (!q->ask.form_changed) return;
    lock_take(&of->lock);
    of->is_asked = false;
    lock_drop(&of->lock);
}

/* Whether FINAL is to be had of a table that stands for others. */
static enum err
try_final(struct clickhouse_question *q, struct why *why)
{
    clickhouse_ask_begin(&q->ask);
    clickhouse_sql_final(&q->ask.query, q);
    struct why refused = {""};
    enum err e = clickhouse_ask_text(&q->ask, &q->text, &refused);
    clickhouse_ask_stop(&q->ask);
    q->form.is_final = e == OK;
    if (e == OK || q->ask.code == CLICKHOUSE_ILLEGAL_FINAL) return OK;
    *why = refused;
    return clickhouse_limit(e);
}

static enum err
ask_form(struct clickhouse_question *q, struct why *why)
{
    const struct clickhouse_settings *s = &q->of->options.settings->u.clickhouse.server;
    struct clickhouse_form *f = &q->form;
    clickhouse_ask_begin(&q->ask);
    clickhouse_table_ask_put(&q->ask.query, s);
    enum err e = clickhouse_ask_text(&q->ask, &q->text, why);
    if (e == OK && clickhouse_table_read(buf_bytes(&q->text), f->names, &f->table) != OK) {
        why_set(why, ERR_CORRUPT, "the response about the table cannot be read");
        e = clickhouse_ask_failed(&q->ask, ERR_CORRUPT, why);
    }
    if (e == OK && clickhouse_form_check(f, s, why) != OK) {
        e = clickhouse_ask_failed(&q->ask, ERR_IO, why);
    }
    clickhouse_ask_stop(&q->ask);
    if (e) return clickhouse_limit(e);
    f->is_final = strstr(f->table.engine, "ReplacingMergeTree") != NULL;
    if (strcmp(f->table.engine, "Distributed") == 0) e = try_final(q, why);
    return e;
}

enum err
clickhouse_question_learn(struct clickhouse_question *q, struct why *why)
{
    struct clickhouse_reader *of = q->of;
    if (take_known(q)) return OK;
    const struct clickhouse_columns *c = &of->options.settings->u.clickhouse.columns;
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
    lock_take(&of->lock);
    of->form = q->form;
    of->is_asked = true;
    of->asked_ns = env_monotonic_ns(of->options.env);
    lock_drop(&of->lock);
    (void)take_known(q);
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

bool
clickhouse_question_selects(const struct clickhouse_question *q, const struct label *labels,
                            uint32_t count)
{
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        struct bytes value = bytes_of(NULL, 0), name = matcher_name(q->matchers[i]);
        for (uint32_t k = 0; k < count; k++) {
            if (bytes_equal(labels[k].name, name)) value = labels[k].value;
        }
        if (!matcher_matches(q->matchers[i], value)) return false;
    }
    return true;
}

/* One row; `texts` is where its metric and labels are put. */
static enum err
read_series(struct clickhouse_question *q, const struct clickhouse_series_sink *to, struct why *why)
{
    struct rows *rows = &q->ask.rows;
    struct label labels[FINAL_LABELS_MAX];
    struct clickhouse_series series = {.labels = labels};
    buf_clear(&q->text);
    if (!buf_reserve(&q->text, 1)) return no_memory(why); /* both may be empty */
    buf_put_bytes(&q->text, rows_text(rows));
    size_t metric_size = q->text.size;
    buf_put_bytes(&q->text, rows_text(rows));
    series.samples = rows_number(rows);
    series.first_ms = (int64_t)rows_number(rows);
    series.last_ms = (int64_t)rows_number(rows);
    if (rows->failed) return OK;
    if (buf_error(&q->text)) return no_memory(why);
    struct bytes all = buf_bytes(&q->text);
    series.metric = bytes_of(all.at, metric_size);
    series.text = bytes_of(all.at + metric_size, all.size - metric_size);
    arena_reset(&q->scratch);
    enum err e =
        label_text_read(series.metric, series.text, &q->scratch, labels, &series.count, why);
    if (e == ERR_CORRUPT) return clickhouse_ask_failed(&q->ask, e, why);
    return e ? e : to->each(to->context, &series, why);
}

enum err
clickhouse_question_series(struct clickhouse_question *q, enum clickhouse_subject subject,
                           struct bytes label, const struct clickhouse_series_sink *to,
                           struct why *why)
{
    if (q->min_ms > q->max_ms) return OK;
    enum err e = clickhouse_question_learn(q, why);
    if (e) return e;
    clickhouse_ask_begin(&q->ask);
    clickhouse_sql_series(&q->ask.query, q, subject, label);
    e = clickhouse_ask_rows(&q->ask, clickhouse_series_kinds, why);
    while (e == OK && rows_next(&q->ask.rows)) {
        e = read_series(q, to, why);
    }
    if (e == OK) e = clickhouse_ask_end(&q->ask, why);
    clickhouse_ask_stop(&q->ask);
    clickhouse_question_forget(q);
    return clickhouse_limit(e);
}

/* --- keys ------------------------------------------------------------------------------------- */

enum err
clickhouse_key_put(struct buf *to, struct bytes metric, struct bytes text)
{
    buf_put_counted(to, metric);
    buf_put_bytes(to, text);
    return buf_error(to);
}

/* ('metric','labels'), ... of a block. ERR_FULL: it is too long. */
static enum err
put_keys(struct clickhouse_question *q, const struct series_blocks *blocks,
         const struct series_block *block, struct why *why)
{
    buf_clear(&q->text);
    for (uint32_t i = 0; i < block->count; i++) {
        struct cursor c = cursor_of(series_blocks_key(blocks, block->first + i));
        struct bytes metric = cursor_counted(&c);
        buf_put_text(&q->text, i == 0 ? "(" : ",(");
        clickhouse_quoted_put(&q->text, '\'', metric);
        buf_put_u8(&q->text, ',');
        clickhouse_quoted_put(&q->text, '\'', bytes_of(c.at, cursor_left(&c)));
        buf_put_u8(&q->text, ')');
        if (q->text.size > KEYS_BYTES_MAX && i > 0) {
            return why_set(why, ERR_FULL, "too many series for a request");
        }
    }
    return buf_error(&q->text) ? no_memory(why) : OK;
}

static enum err
index_keys(struct clickhouse_question *q, const struct series_blocks *blocks,
           const struct series_block *block, struct why *why)
{
    table_clear(&q->keys);
    if (!table_reserve(&q->keys, q->budget, block->count)) return no_memory(why);
    for (uint32_t i = 0; i < block->count; i++) {
        table_add(&q->keys, hash_bytes(series_blocks_key(blocks, block->first + i), 0),
                  block->first + i);
    }
    q->keys_are_known = true;
    return OK;
}

/* The number of a key, which mostly is the next one; UINT32_MAX: it is not in the block. */
static enum err
find_key(struct clickhouse_question *q, const struct series_blocks *blocks,
         const struct series_block *block, struct bytes key, uint32_t next, uint32_t *ret_number,
         struct why *why)
{
    *ret_number = next;
    bool is_there = next - block->first < block->count;
    if (is_there && bytes_equal(series_blocks_key(blocks, next), key)) return OK;
    enum err e = q->keys_are_known ? OK : index_keys(q, blocks, block, why);
    *ret_number = UINT32_MAX;
    if (e) return e;
    for (uint32_t at = TABLE_START, id; table_next(&q->keys, hash_bytes(key, 0), &at, &id);) {
        if (!bytes_equal(series_blocks_key(blocks, id), key)) continue;
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

static uint64_t
bits_at(const struct clickhouse_question *q, uint32_t i)
{
    uint64_t bits = number_at(q, ARRAY_BITS, i);
    return bits != 0 ? bits : number_at(q, ARRAY_VALUES, i);
}

static enum err
put_histogram(struct clickhouse_question *q, struct series_blocks *blocks, uint32_t number,
              uint32_t i, struct bytes text, struct why *why)
{
    struct histogram histogram;
    arena_reset(&q->scratch);
    struct scan s = scan_of(text, &q->scratch);
    histogram_json_scan(&s, &histogram);
    scan_end(&s);
    if (s.bad != NULL && s.error == ERR_NOMEM) return no_memory(why);
    if (s.bad != NULL) {
        return why_set(why, ERR_CORRUPT, "a histogram of a row cannot be read: %s", s.bad);
    }
    enum err e =
        series_blocks_put_histogram(blocks, number, (int64_t)number_at(q, ARRAY_TIMES, i),
                                    &histogram, (int64_t)number_at(q, ARRAY_STARTS, i), why);
    return e == ERR_INPUT ? ERR_CORRUPT : e;
}

/* After all else of a row: of each sample the histogram, or none of any. */
static enum err
put_samples(struct clickhouse_question *q, struct series_blocks *blocks, uint32_t number,
            uint32_t count, struct why *why)
{
    struct rows *rows = &q->ask.rows;
    uint32_t histograms = rows_count(rows, SERIES_BLOCKS_SAMPLES);
    enum err e = OK;
    if (histograms > 0 && histograms != count) {
        return why_set(why, ERR_CORRUPT, "the arrays of a row differ in length");
    }
    for (uint32_t i = 0; i < count && e == OK && rows->failed == OK; i++) {
        struct bytes text = histograms > 0 ? rows_text(rows) : bytes_of(NULL, 0);
        if (rows->failed || number == UINT32_MAX) continue;
        if (text.size > 0)
            e = put_histogram(q, blocks, number, i, text, why);
        else
            e = series_blocks_put_float(blocks, number, (int64_t)number_at(q, ARRAY_TIMES, i),
                                        bits_at(q, i), (int64_t)number_at(q, ARRAY_STARTS, i), why);
    }
    return e;
}

static enum err
read_samples(struct clickhouse_question *q, struct series_blocks *blocks,
             const struct series_block *block, uint32_t *next, struct why *why)
{
    struct rows *rows = &q->ask.rows;
    uint32_t counts[QUESTION_ARRAYS], number;
    buf_clear(&q->text);
    buf_put_counted(&q->text, rows_text(rows));
    buf_put_bytes(&q->text, rows_text(rows));
    if (buf_error(&q->text)) return no_memory(why);
    for (int i = 0; i < QUESTION_ARRAYS; i++) {
        counts[i] = rows_numbers(rows, SERIES_BLOCKS_SAMPLES, &q->arrays[i]);
    }
    if (rows->failed) return OK;
    for (int i = ARRAY_VALUES; i < QUESTION_ARRAYS; i++) {
        if (counts[i] == counts[ARRAY_TIMES] || (i > ARRAY_VALUES && counts[i] == 0)) continue;
        return why_set(why, ERR_CORRUPT, "the arrays of a row differ in length");
    }
    enum err e = find_key(q, blocks, block, buf_bytes(&q->text), *next, &number, why);
    if (e) return e;
    if (number != UINT32_MAX) *next = number + 1;
    return put_samples(q, blocks, number, counts[ARRAY_TIMES], why);
}

enum err
clickhouse_question_samples(struct clickhouse_question *q, struct series_blocks *blocks,
                            const struct series_block *block, struct why *why)
{
    uint32_t next = block->first;
    bool all = q->takes_all && block->count == q->keys_count;
    enum err e = all ? OK : put_keys(q, blocks, block, why);
    if (e) return e;
    q->keys_are_known = false;
    clickhouse_ask_begin(&q->ask);
    clickhouse_sql_samples(&q->ask.query, q, all ? bytes_of(NULL, 0) : buf_bytes(&q->text),
                           block->min_ms, block->max_ms);
    e = clickhouse_ask_rows(&q->ask, clickhouse_samples_kinds, why);
    while (e == OK && rows_next(&q->ask.rows)) {
        e = read_samples(q, blocks, block, &next, why);
        if (e == ERR_CORRUPT) e = clickhouse_ask_failed(&q->ask, e, why);
    }
    if (e == OK) e = clickhouse_ask_end(&q->ask, why);
    clickhouse_ask_stop(&q->ask);
    clickhouse_question_forget(q);
    return e;
}
