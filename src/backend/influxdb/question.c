/* question.c - metrics, keys and values of a question. */
#include "backend/influxdb/influxdb_private.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/text/hex.h"
#include "base/text/quote.h"
#include "model/labels.h"

enum {
    TEXT_BYTES_MAX = 256 << 20,
    NAMES_BYTES_MAX = 64 << 20,
    LITERALS_MAX = 1000,
    NS_OF_MS = 1000000,
};

const char *const influx_column_names[COLUMN_COUNT] = {"value", "bits", "histogram"};

/* --- times ------------------------------------------------------------------------------------ */

/* InfluxDB reserves the least and the greatest time. */
static const int64_t FIRST_NS = INT64_MIN + 2, LAST_NS = INT64_MAX - 1;

int64_t
influx_first_ns(int64_t min_ms)
{
    return min_ms <= FIRST_NS / NS_OF_MS ? FIRST_NS : min_ms * NS_OF_MS;
}

int64_t
influx_last_ns(int64_t max_ms)
{
    return max_ms >= LAST_NS / NS_OF_MS ? LAST_NS : max_ms * NS_OF_MS + (NS_OF_MS - 1);
}

int64_t
influx_ms_of(int64_t t_ns)
{
    int64_t ms = t_ns / NS_OF_MS;
    return t_ns % NS_OF_MS < 0 ? ms - 1 : ms;
}

/* --- a question ------------------------------------------------------------------------------- */

void
influx_question_init(struct fetch_question *base)
{
    struct influx_question *q = (struct influx_question *)base;
    q->of = (struct influx_reader *)base->of;
    base->keys_max = INFLUXQL_KEYS_MAX;
    buf_init(&q->query, base->budget, TEXT_BYTES_MAX);
    buf_init(&q->key, base->budget, NAMES_BYTES_MAX);
    buf_init(&q->names, base->budget, NAMES_BYTES_MAX);
    influx_exchange_init(&q->exchange, base);
}

void
influx_question_fini(struct fetch_question *base)
{
    struct influx_question *q = (struct influx_question *)base;
    influx_exchange_fini(&q->exchange);
    array_free(base->budget, q->metrics, q->metric_capacity);
    array_free(base->budget, q->runs, q->run_capacity);
    buf_fini(&q->query);
    buf_fini(&q->key);
    buf_fini(&q->names);
}

/* Gets the names that a matcher on the name admits; returns 0 if they are not known. */
static uint32_t
known_names(const struct influx_question *q, const struct bytes **ret_names)
{
    *ret_names = NULL;
    for (uint32_t i = 0; i < q->base.matcher_count; i++) {
        const struct matcher *m = q->base.matchers[i];
        if (!fetch_is_of_name(m) || !fetch_is_positive(m)) continue;
        uint32_t count = matcher_literals(m, ret_names);
        if (count > 0) return count;
    }
    return 0;
}

/* measurement, or measurement_field */
static enum err
make_name(struct influx_question *q, struct bytes measurement, struct bytes field, struct why *why)
{
    buf_clear(&q->base.text);
    if (!q->of->telegraf) {
        enum err e = stored_name_decode(measurement, LINE_MEASUREMENT, &q->base.text);
        return e ? fetch_no_memory(why) : OK;
    }
    buf_put_bytes(&q->base.text, measurement);
    if (!bytes_equal_text(field, "value")) {
        buf_put_u8(&q->base.text, '_');
        buf_put_bytes(&q->base.text, field);
    }
    return buf_error(&q->base.text) ? fetch_no_memory(why) : OK;
}

enum err
influx_question_add(struct influx_question *q, struct bytes measurement, struct bytes field,
                    struct why *why)
{
    enum err e = make_name(q, measurement, field, why);
    if (e || !fetch_question_selects_name(&q->base, buf_bytes(&q->base.text))) return e;
    if (!array_reserve(q->base.budget, &q->metrics, &q->metric_capacity, q->metric_count + 1))
        return fetch_no_memory(why);
    struct influx_metric m = {
        .measurement = arena_copy(&q->base.arena, measurement),
        .field = arena_copy(&q->base.arena, field),
        .name = arena_copy(&q->base.arena, buf_bytes(&q->base.text)),
    };
    if ((m.measurement.at == NULL && m.measurement.size > 0) ||
        (m.field.at == NULL && m.field.size > 0) || (m.name.at == NULL && m.name.size > 0))
        return fetch_no_memory(why);
    q->metrics[q->metric_count++] = m;
    return OK;
}

static enum err
add_known(struct influx_question *q, struct bytes name, struct why *why)
{
    struct bytes texts[STORED_NAMES_MAX];
    struct buf room;
    unsigned count = 0;
    buf_init(&room, q->base.budget, TEXT_BYTES_MAX);
    enum err e = stored_names_of(name, LINE_MEASUREMENT, &room, texts, &count);
    if (e) fetch_no_memory(why);
    for (unsigned i = 0; i < count && e == OK; i++)
        e = influx_question_add(q, texts[i], bytes_of(NULL, 0), why);
    buf_fini(&room);
    return e;
}

enum err
influx_question_list(struct influx_question *q, struct why *why)
{
    const struct bytes *names;
    uint32_t count = known_names(q, &names);
    enum err e = OK;
    if (count == 0 || q->of->telegraf) return influxql_list(q, why);
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = add_known(q, names[i], why);
    return e;
}

/* --- keys ------------------------------------------------------------------------------------- */

static int
compare_tags(const void *a, const void *b)
{
    return bytes_compare(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static void
put_tags(struct buf *to, struct label *tags, uint32_t count)
{
    qsort(tags, count, sizeof *tags, compare_tags);
    for (uint32_t i = 0; i < count; i++)
        if (tags[i].value.size > 0) labels_put(to, tags[i]);
}

struct bytes
influx_key_tags(const struct influx_question *q, uint32_t number)
{
    struct bytes key = series_blocks_key(q->base.blocks, number);
    return bytes_of(key.at + 4, key.size - 4);
}

enum err
influx_runs_of(struct influx_question *q, const struct series_block *block, struct why *why)
{
    if (!array_reserve(q->base.budget, &q->runs, &q->run_capacity, block->count))
        return fetch_no_memory(why);
    q->run_count = 0;
    for (uint32_t i = block->first; i < block->first + block->count; i++) {
        uint32_t metric = load_le32(series_blocks_key(q->base.blocks, i).at);
        if (q->run_count > 0 && q->runs[q->run_count - 1].metric == metric)
            q->runs[q->run_count - 1].end = i + 1;
        else
            q->runs[q->run_count++] = (struct influx_run){metric, i, i + 1};
    }
    return OK;
}

enum err
influx_run_find(struct influx_question *q, const struct influx_run *run, struct label *tags,
                uint32_t count, uint32_t *hint, uint32_t *ret_number, struct why *why)
{
    buf_clear(&q->base.text);
    put_tags(&q->base.text, tags, count);
    if (buf_error(&q->base.text)) return fetch_no_memory(why);
    uint32_t keys = run->end - run->from;
    *ret_number = run->end;
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t at = run->from + (*hint + i) % keys;
        if (!bytes_equal(influx_key_tags(q, at), buf_bytes(&q->base.text))) continue;
        *ret_number = at;
        *hint = at - run->from + 1;
        break;
    }
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

/* Decodes a stored name or value into q->names, which has room for it. */
static enum err
decode(struct influx_question *q, enum line_role role, struct bytes *text)
{
    size_t from = q->names.size;
    if (q->of->telegraf) return OK;
    enum err e = stored_name_decode(*text, role, &q->names);
    *text = bytes_of(q->names.at + from, q->names.size - from);
    return e;
}

/* Makes the labels of a series from its tags. */
static enum err
make_labels(struct influx_question *q, uint32_t metric, const struct label *tags, uint32_t count,
            struct fetch_series *series, struct why *why)
{
    size_t most = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        most += tags[i].name.size + tags[i].value.size;
    buf_clear(&q->names);
    if (!buf_reserve(&q->names, most)) return fetch_no_memory(why); /* growing would move views */
    series->labels[n++] = (struct label){bytes_of_text("__name__"), q->metrics[metric].name};
    for (uint32_t i = 0; i < count; i++) {
        struct label label = tags[i];
        if (label.value.size == 0 || bytes_equal_text(label.name, "__name__")) continue;
        if (n == FINAL_LABELS_MAX)
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        if (decode(q, LINE_TAG_KEY, &label.name) || decode(q, LINE_TAG_VALUE, &label.value))
            return fetch_no_memory(why);
        series->labels[n++] = label;
    }
    series->count = n;
    return OK;
}

/* Gives the value of the label that series are grouped by. */
static enum err
give_value(struct influx_question *q, struct bytes value, struct why *why)
{
    buf_clear(&q->names);
    if (value.size == 0) return OK;
    if (decode(q, LINE_TAG_VALUE, &value)) return fetch_no_memory(why);
    return q->base.to->each(q->base.to->context, value);
}

enum err
influx_question_take(struct influx_question *q, uint32_t metric, struct label *tags, uint32_t count,
                     struct why *why)
{
    struct label labels[FINAL_LABELS_MAX];
    if (q->grouping == GROUPED_BY_NONE) {
        struct bytes name = q->metrics[metric].name;
        return name.size == 0 ? OK : q->base.to->each(q->base.to->context, name);
    }
    if (q->grouping == GROUPED_BY_ONE) return count == 0 ? OK : give_value(q, tags[0].value, why);
    struct fetch_series series = {.labels = labels,
                                  .samples = FETCH_UNKNOWN,
                                  .first_ms = q->base.min_ms,
                                  .last_ms = q->base.max_ms};
    enum err e = make_labels(q, metric, tags, count, &series, why);
    if (e) return e;
    buf_clear(&q->key);
    buf_put_le32(&q->key, metric);
    put_tags(&q->key, tags, count);
    series.key = buf_bytes(&q->key);
    return buf_error(&q->key) ? fetch_no_memory(why) : fetch_question_take(&q->base, &series, why);
}

/* --- matchers --------------------------------------------------------------------------------- */

bool
influx_is_plain_label(const struct influx_question *q, struct bytes name)
{
    return q->of->telegraf || !line_text_is_coded(name, LINE_TAG_KEY);
}

static enum err
add_literal(struct influx_question *q, struct bytes value, struct bytes *texts, uint32_t *count,
            struct why *why)
{
    struct bytes found[STORED_NAMES_MAX] = {value};
    unsigned more = 1;
    struct buf room;
    enum err e = OK;
    buf_init(&room, q->base.budget, TEXT_BYTES_MAX);
    if (!q->of->telegraf && value.size > 0) {
        e = stored_names_of(value, LINE_TAG_VALUE, &room, found, &more);
        if (e) fetch_no_memory(why);
    }
    for (unsigned i = 0; i < more && e == OK; i++) {
        texts[*count] = arena_copy(&q->base.arena, found[i]);
        if (texts[*count].at == NULL && found[i].size > 0) e = fetch_no_memory(why);
        (*count)++;
    }
    buf_fini(&room);
    return e;
}

enum err
influx_stored_literals(struct influx_question *q, const struct matcher *m, struct bytes **ret_texts,
                       uint32_t *ret_count, bool *ret_known, struct why *why)
{
    const struct bytes *values;
    uint32_t count = matcher_literals(m, &values);
    *ret_known = count > 0 && count <= LITERALS_MAX;
    if (!*ret_known) return OK;
    struct bytes *texts =
        arena_new(&q->base.arena, (size_t)STORED_NAMES_MAX * count * sizeof *texts);
    enum err e = texts == NULL ? fetch_no_memory(why) : OK;
    *ret_texts = texts;
    *ret_count = 0;
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = add_literal(q, values[i], texts, ret_count, why);
    return e;
}

/* --- values ----------------------------------------------------------------------------------- */

enum err
influx_put_number(struct influx_question *q, uint32_t number, int64_t t_ms, struct bytes digits,
                  struct why *why)
{
    uint64_t bits;
    if (!number_parse((const char *)digits.at, digits.size, &bits)) {
        return why_set(why, ERR_CORRUPT, "a field has the value %s, which is not a number",
                       shown_of(digits).text);
    }
    return series_blocks_put_float(q->base.blocks, number, t_ms, bits, 0, why);
}

enum err
influx_put_text(struct influx_question *q, uint32_t number, int64_t t_ms, enum influx_column column,
                struct bytes text, struct why *why)
{
    uint64_t bits;
    if (column == COLUMN_VALUE) return OK; /* a text is not a sample */
    if (column == COLUMN_BITS) {
        if (hex_parse_word(text, &bits))
            return series_blocks_put_float(q->base.blocks, number, t_ms, bits, 0, why);
        return why_set(why, ERR_CORRUPT, "a field bits is %s, expected 16 hex digits",
                       shown_of(text).text);
    }
    return fetch_question_put_histogram(&q->base, number, t_ms, 0, text, why);
}
