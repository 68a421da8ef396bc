/* question.c - what all dialects need of a question: its metrics, keys, and values. */
#include "backend/influxdb/influxdb_reader.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/hex.h"
#include "base/shown.h"
#include "model/labels.h"
#include "wire/json/histogram_json.h"

enum {
    ARENA_BYTES_MAX = 1 << 30,
    SCRATCH_BYTES_MAX = 256 << 20,
    TEXT_BYTES_MAX = 256 << 20,
    LITERALS_MAX = 1000,
    NS_OF_MS = 1000000,
};

const char *const influx_column_names[COLUMN_COUNT] = {"value", "bits", "histogram"};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* --- times ------------------------------------------------------------------------------------ */

/* InfluxDB keeps its own least and greatest for itself. */
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
influx_question_init(struct influx_question *q, struct fetch_view *view)
{
    struct influx_reader *of = (struct influx_reader *)view->of;
    *q = (struct influx_question){.view = view, .of = of, .budget = view->budget};
    arena_init(&q->arena, q->budget, ARENA_BYTES_MAX, 0);
    arena_init(&q->scratch, q->budget, SCRATCH_BYTES_MAX, 0);
    buf_init(&q->text, q->budget, TEXT_BYTES_MAX);
    buf_init(&q->query, q->budget, TEXT_BYTES_MAX);
    influx_ask_init(&q->ask, of->options.settings, view->session, NULL, q->budget);
}

void
influx_question_fini(struct influx_question *q)
{
    influx_ask_fini(&q->ask);
    array_free(q->budget, q->metrics, q->metric_capacity);
    array_free(q->budget, q->runs, q->run_capacity);
    arena_fini(&q->arena);
    arena_fini(&q->scratch);
    buf_fini(&q->text);
    buf_fini(&q->query);
}

/* Matchers live as long as the set; the array of them need not. */
enum err
influx_question_begin(struct influx_question *q, const struct query_request *r, struct why *why)
{
    q->control = q->ask.control = r->control;
    q->min_ms = r->min_ms;
    q->max_ms = r->max_ms;
    if (q->min_ms < -LINE_TIME_MS_MAX - 1) q->min_ms = -LINE_TIME_MS_MAX - 1;
    if (q->max_ms > LINE_TIME_MS_MAX) q->max_ms = LINE_TIME_MS_MAX;
    if (r->set_count == 0) return OK;
    q->matcher_count = r->sets[0].count;
    q->matchers = arena_new(&q->arena, (q->matcher_count + 1) * sizeof *q->matchers);
    if (q->matchers == NULL) return no_memory(why);
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        q->matchers[i] = r->sets[0].matchers[i];
    }
    return OK;
}

static bool
is_of_name(const struct matcher *m)
{
    return bytes_equal_text(matcher_name(m), "__name__");
}

static bool
name_matches(const struct influx_question *q, struct bytes name)
{
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        if (is_of_name(q->matchers[i]) && !matcher_matches(q->matchers[i], name)) return false;
    }
    return true;
}

uint32_t
influx_question_names(const struct influx_question *q, const struct bytes **ret_names)
{
    *ret_names = NULL;
    for (uint32_t i = 0; i < q->matcher_count; i++) {
        const struct matcher *m = q->matchers[i];
        bool positive = matcher_type(m) == MATCH_EQUAL || matcher_type(m) == MATCH_REGEX;
        if (!is_of_name(m) || !positive) continue;
        uint32_t count = matcher_literals(m, ret_names);
        if (count > 0) return count;
    }
    return 0;
}

/* measurement, or measurement_field */
static enum err
make_name(struct influx_question *q, const struct influx_metric *metric, struct why *why)
{
    buf_clear(&q->text);
    if (!q->of->telegraf) {
        enum err e = stored_name_decode(metric->measurement, LINE_MEASUREMENT, &q->text);
        return e ? no_memory(why) : OK;
    }
    buf_put_bytes(&q->text, metric->measurement);
    if (!bytes_equal_text(metric->field, "value")) {
        buf_put_u8(&q->text, '_');
        buf_put_bytes(&q->text, metric->field);
    }
    return buf_error(&q->text) ? no_memory(why) : OK;
}

enum err
influx_question_add(struct influx_question *q, const struct influx_metric *metric, struct why *why)
{
    enum err e = make_name(q, metric, why);
    if (e || !name_matches(q, buf_bytes(&q->text))) return e;
    if (!array_reserve(q->budget, &q->metrics, &q->metric_capacity, q->metric_count + 1)) {
        return no_memory(why);
    }
    struct influx_metric m = {
        .measurement = arena_copy(&q->arena, metric->measurement),
        .field = arena_copy(&q->arena, metric->field),
        .name = arena_copy(&q->arena, buf_bytes(&q->text)),
        .columns = metric->columns,
        .tag_count = metric->tag_count,
        .tags = arena_new(&q->arena, (metric->tag_count + 1) * sizeof *m.tags),
    };
    bool whole = m.tags != NULL && (m.measurement.at != NULL || m.measurement.size == 0) &&
                 (m.field.at != NULL || m.field.size == 0) &&
                 (m.name.at != NULL || m.name.size == 0);
    for (uint32_t i = 0; whole && i < m.tag_count; i++) {
        m.tags[i] = arena_copy(&q->arena, metric->tags[i]);
        whole = m.tags[i].at != NULL;
    }
    if (!whole) return no_memory(why);
    q->metrics[q->metric_count++] = m;
    return OK;
}

enum err
influx_metric_add_tag(struct influx_question *q, uint32_t metric, struct bytes tag, struct why *why)
{
    struct influx_metric *m = &q->metrics[metric];
    for (uint32_t i = 0; i < m->tag_count; i++) {
        if (bytes_equal(m->tags[i], tag)) return OK;
    }
    if (m->tag_count == m->tag_capacity) {
        uint32_t capacity = m->tag_capacity < 16 ? 16 : 2 * m->tag_capacity;
        struct bytes *tags = arena_new(&q->arena, capacity * sizeof *tags);
        if (tags == NULL) return no_memory(why);
        for (uint32_t i = 0; i < m->tag_count; i++) {
            tags[i] = m->tags[i];
        }
        m->tags = tags;
        m->tag_capacity = capacity;
    }
    struct bytes copy = arena_copy(&q->arena, tag);
    if (copy.at == NULL && tag.size > 0) return no_memory(why);
    m->tags[m->tag_count++] = copy;
    return OK;
}

static enum err
add_known(struct influx_question *q, struct bytes name, struct why *why)
{
    struct bytes texts[STORED_NAMES_MAX];
    struct buf room;
    unsigned count = 0;
    buf_init(&room, q->budget, TEXT_BYTES_MAX);
    enum err e = stored_names_of(name, LINE_MEASUREMENT, &room, texts, &count);
    if (e) no_memory(why);
    for (unsigned i = 0; i < count && e == OK; i++) {
        e = influx_question_add(q, &(struct influx_metric){.measurement = texts[i]}, why);
    }
    buf_fini(&room);
    return e;
}

enum err
influx_question_list(struct influx_question *q, struct why *why)
{
    const struct bytes *names;
    uint32_t count = influx_question_names(q, &names);
    enum err e = OK;
    if (q->min_ms > q->max_ms || q->of->dialect->learns) return OK;
    if (count == 0 || q->of->telegraf || q->of->dialect->needs_list) {
        return q->of->dialect->list(q, why);
    }
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = add_known(q, names[i], why);
    }
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
    for (uint32_t i = 0; i < count; i++) {
        if (tags[i].value.size > 0) labels_put(to, tags[i]);
    }
}

enum err
influx_key_put(struct buf *to, uint32_t metric, struct label *tags, uint32_t count)
{
    buf_put_le32(to, metric);
    put_tags(to, tags, count);
    return buf_error(to);
}

uint32_t
influx_key_metric(struct bytes key)
{
    return load_le32(key.at);
}

struct bytes
influx_key_tags(struct bytes key)
{
    return bytes_of(key.at + 4, key.size - 4);
}

enum err
influx_runs_of(struct influx_question *q, const struct series_blocks *blocks,
               const struct series_block *block, struct why *why)
{
    if (!array_reserve(q->budget, &q->runs, &q->run_capacity, block->count)) return no_memory(why);
    q->run_count = 0;
    for (uint32_t i = block->first; i < block->first + block->count; i++) {
        uint32_t metric = influx_key_metric(series_blocks_key(blocks, i));
        if (q->run_count > 0 && q->runs[q->run_count - 1].metric == metric)
            q->runs[q->run_count - 1].end = i + 1;
        else
            q->runs[q->run_count++] = (struct influx_run){metric, i, i + 1};
    }
    return OK;
}

enum err
influx_run_find(struct influx_question *q, const struct series_blocks *blocks,
                const struct influx_run *run, struct label *tags, uint32_t count, uint32_t *hint,
                uint32_t *ret_number, struct why *why)
{
    buf_clear(&q->text);
    put_tags(&q->text, tags, count);
    if (buf_error(&q->text)) return no_memory(why);
    uint32_t keys = run->end - run->from;
    *ret_number = run->end;
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t at = run->from + (*hint + i) % keys;
        if (!bytes_equal(influx_key_tags(series_blocks_key(blocks, at)), buf_bytes(&q->text))) {
            continue;
        }
        *ret_number = at;
        *hint = at - run->from + 1;
        break;
    }
    return OK;
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
    buf_init(&room, q->budget, TEXT_BYTES_MAX);
    if (!q->of->telegraf && value.size > 0) {
        e = stored_names_of(value, LINE_TAG_VALUE, &room, found, &more);
        if (e) no_memory(why);
    }
    for (unsigned i = 0; i < more && e == OK; i++) {
        texts[*count] = arena_copy(&q->arena, found[i]);
        if (texts[*count].at == NULL && found[i].size > 0) e = no_memory(why);
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
    struct bytes *texts = arena_new(&q->arena, (size_t)STORED_NAMES_MAX * count * sizeof *texts);
    enum err e = texts == NULL ? no_memory(why) : OK;
    *ret_texts = texts;
    *ret_count = 0;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = add_literal(q, values[i], texts, ret_count, why);
    }
    return e;
}

/* --- values ----------------------------------------------------------------------------------- */

enum err
influx_put_number(struct series_blocks *blocks, uint32_t number, int64_t t_ms, struct bytes digits,
                  struct why *why)
{
    uint64_t bits;
    if (!number_parse((const char *)digits.at, digits.size, &bits)) {
        return why_set(why, ERR_CORRUPT, "a field has the value %s, which is no number",
                       shown_of(digits).text);
    }
    return series_blocks_put_float(blocks, number, t_ms, bits, 0, why);
}

enum err
influx_put_text(struct influx_question *q, struct series_blocks *blocks, uint32_t number,
                int64_t t_ms, enum influx_column column, struct bytes text, struct why *why)
{
    uint64_t bits;
    if (column == COLUMN_VALUE) return OK; /* a text is no sample */
    if (column == COLUMN_BITS) {
        if (hex_parse_word(text, &bits)) {
            return series_blocks_put_float(blocks, number, t_ms, bits, 0, why);
        }
        return why_set(why, ERR_CORRUPT, "a field bits is %s, expected 16 hex digits",
                       shown_of(text).text);
    }
    struct histogram histogram;
    struct scan s = scan_of(text, &q->scratch);
    histogram_json_scan(&s, &histogram);
    scan_end(&s);
    if (s.bad != NULL && s.error == ERR_NOMEM) return no_memory(why);
    if (s.bad != NULL) {
        return why_set(why, ERR_CORRUPT, "a field histogram cannot be read: %s", s.bad);
    }
    enum err e = series_blocks_put_histogram(blocks, number, t_ms, &histogram, 0, why);
    return e == ERR_INPUT ? ERR_CORRUPT : e;
}
