/*
 * question.c - see opentsdb_reader.h.
 *
 * Only /api/query finds the series of a time, and returns all of a result at once. So the first
 * query is for the number of points in the whole time (downsample 0all-count), one number for each
 * series, which determines the blocks. Queries for samples name a series by its TSUID, which is
 * exact and short. If all samples fit into one block, the queries have the filters instead: a few
 * requests, however many series there are.
 *
 * A request has many sub-queries, and fails as a whole if one of them has a name that the server
 * does not know: the name is remembered, and the request is sent again without it.
 *
 * If the server refuses a query as too large, it is split into smaller pieces of time. OpenTSDB
 * stores a series by the hour and reads whole hours.
 */
#include "backend/opentsdb/opentsdb_reader.h"

#include <stdio.h>

#include "backend/common/http_common.h"
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/json.h"
#include "base/text/quote.h"
#include "model/labels.h"

/* --- requests and responses ------------------------------------------------------------------- */

/* A response that says that the server does not know a name, or that the result would be too large,
 * is used and counts as no failure. */

enum {
    BODY_BYTES_MAX = 16 << 20,
    UNKNOWN_BYTES_MAX = 64 * 1024,
    REFUSAL_BYTES_MAX = 1 << 20,
    /* A block of samples has about 16 MiB; more only if its series were counted wrongly. */
    ANSWER_BYTES_MAX = 256 << 20,
};

static const char *
url_of(const struct opentsdb_exchange *x)
{
    return x->base.q->of->options.settings->u.opentsdb.server.url;
}

/* Ends the request before. */
static void
opentsdb_exchange_begin(struct opentsdb_exchange *x, const char *path)
{
    fetch_exchange_begin(&x->base, url_of(x), path);
}

static enum opentsdb_refusal
question_refusal_of(const struct http_call_answer *answer, struct arena *scratch,
                    struct bytes *ret_name)
{
    return opentsdb_refusal_of(answer->status, answer->body, scratch, ret_name);
}

/* See fetch_request.judge: such a response is used. */
static void
judge(const struct http_call_answer *answer, struct writer_step *step)
{
    struct arena scratch;
    struct bytes name;
    arena_init(&scratch, NULL, REFUSAL_BYTES_MAX, 0);
    if (question_refusal_of(answer, &scratch, &name) != REFUSED_OTHERWISE)
        step->verdict = VERDICT_DELIVERED;
    arena_fini(&scratch);
}

/* The meaning of a response without series. */
static enum err
take_refusal(struct opentsdb_exchange *x, const struct http_call_answer *answer, struct why *why)
{
    struct arena *scratch = &x->base.q->scratch;
    struct bytes name;
    arena_reset(scratch);
    x->refusal = question_refusal_of(answer, scratch, &name);
    if (x->refusal == REFUSED_TOO_MUCH) {
        why_set(why, ERR_FULL,
                "the server refuses to read so much at once, even of a single hour: ask for fewer "
                "series, or raise tsd.query.limits.* or tsd.query.timeout there");
        return why_prefix(why, ERR_FULL, "%s", url_of(x));
    }
    buf_clear(&x->unknown);
    buf_put_bytes(&x->unknown, name);
    if (buf_error(&x->unknown)) return fetch_no_request_memory(why);
    return why_set(why, ERR_MISSING, "the server does not know %s", shown_of(name).text);
}

static enum err
send(struct opentsdb_exchange *x, struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/json; charset=UTF-8", NULL};
    static const struct fetch_request how = {.headers = headers, .judge = judge};
    const struct http_call_answer *answer;
    enum err e = fetch_exchange_send(&x->base, &how, why);
    if (e == OK) e = fetch_exchange_await(&x->base, &answer, why);
    if (e == OK && answer->status / 100 != 2) e = take_refusal(x, answer, why);
    buf_clear(&x->answer);
    if (e == OK) e = fetch_read_all(x->base.fetch, &x->answer, why);
    if (buf_error(&x->answer) == ERR_LIMIT) e = ERR_FULL;
    if (e) fetch_exchange_end(&x->base);
    return e;
}

/* `e`: the error of reading the response. */
static enum err
end(struct opentsdb_exchange *x, enum err e, struct why *why)
{
    if (e == ERR_CORRUPT) {
        why_prefix(why, e, "the response cannot be read");
        e = fetch_exchange_failed(&x->base, e, why);
    }
    fetch_exchange_end(&x->base);
    return e;
}

/*
 * Sends the request and reads the whole response; nothing is open afterwards. ERR_MISSING: the
 * server does not know a name in it, see above; ERR_FULL: the response is larger than the server
 * permits, or the sink returned it; errors of fetch.h and of the sink.
 */
static MUST_CHECK enum err
opentsdb_exchange_series(struct opentsdb_exchange *x, const struct opentsdb_sink *to,
                         struct why *why)
{
    enum err e = send(x, why);
    if (e) return e;
    return end(x, opentsdb_read_series(buf_bytes(&x->answer), &x->base.q->scratch, to, why), why);
}

static MUST_CHECK enum err
opentsdb_exchange_names(struct opentsdb_exchange *x,
                        enum err (*name)(void *context, struct bytes name, struct why *why),
                        void *context, struct why *why)
{
    enum err e = send(x, why);
    if (e) return e;
    e = opentsdb_read_names(buf_bytes(&x->answer), &x->base.q->scratch, name, context, why);
    return end(x, e, why);
}

enum {
    QUESTION_TEXT_BYTES_MAX = 16 << 20,
    FOUND_BYTES_MAX = 1 << 30,
    NAMES_MAX = 1000000,
    SUB_QUERIES_MAX = 64,
    LITERAL_NAMES_MAX = 8, /* more are searched for among all names */
    HOUR_MS = 3600 * 1000,
};

/* A number of up to 10 digits is read as seconds; later also milliseconds below 2^32. */
static const int64_t TEN_DIGITS = 10000000000, SECONDS_MIN = 4294968;

static const struct opentsdb_read_settings *
settings_of(const struct opentsdb_question *q)
{
    return &q->base.of->options.settings->u.opentsdb;
}

/* --- a question ------------------------------------------------------------------------------- */

static void
opentsdb_question_init(struct fetch_question *base)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    buf_init(&q->tsuids, base->budget, FOUND_BYTES_MAX);
    buf_init(&q->labels, base->budget, FOUND_BYTES_MAX);
    buf_init(&q->filters, base->budget, QUESTION_TEXT_BYTES_MAX);
    buf_init(&q->room, base->budget, QUESTION_TEXT_BYTES_MAX);
    fetch_exchange_init(&q->exchange.base, base, BODY_BYTES_MAX);
    buf_init(&q->exchange.unknown, base->budget, UNKNOWN_BYTES_MAX);
    buf_init(&q->exchange.answer, base->budget, ANSWER_BYTES_MAX);
}

static void
opentsdb_question_fini(struct fetch_question *base)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    fetch_exchange_fini(&q->exchange.base);
    buf_fini(&q->exchange.unknown);
    buf_fini(&q->exchange.answer);
    array_free(base->budget, q->metrics, q->metric_capacity);
    array_free(base->budget, q->unknown, q->unknown_capacity);
    array_free(base->budget, q->found, q->found_capacity);
    table_fini(&q->by_tsuid, base->budget);
    buf_fini(&q->tsuids);
    buf_fini(&q->labels);
    buf_fini(&q->filters);
    buf_fini(&q->room);
}

/* Appends the label name of a tag, by the source's escaping. ERR_NOMEM. */
static enum err
opentsdb_label_name_get(const struct opentsdb_question *q, struct buf *to, struct bytes tag)
{
    if (settings_of(q)->escaping == OPENTSDB_ESCAPING_AUTO) return stored_tag_get(to, tag);
    buf_put_bytes(to, tag);
    return buf_error(to);
}

/* --- metrics ---------------------------------------------------------------------------------- */

/* Adds a metric, unless the matchers refuse its name. */
static enum err
add_metric(void *context, struct bytes stored, struct why *why)
{
    struct opentsdb_question *q = context;
    buf_clear(&q->base.text);
    if (stored_value_get(&q->base.text, stored) != OK) return fetch_no_memory(why);
    if (stored.size == 0 || !fetch_question_selects_name(&q->base, buf_bytes(&q->base.text)))
        return OK;
    if (!array_reserve(q->base.budget, &q->metrics, &q->metric_capacity, q->metric_count + 1))
        return fetch_no_memory(why);
    struct bytes copy = arena_copy(&q->base.arena, stored);
    if (copy.at == NULL) return fetch_no_memory(why);
    q->metrics[q->metric_count++] = (struct opentsdb_metric){.stored = copy};
    return OK;
}

struct names {
    enum err (*name)(void *context, struct bytes name, struct why *why);
    void *context;
    uint32_t count;
};

static enum err
count_name(void *context, struct bytes name, struct why *why)
{
    struct names *n = context;
    if (++n->count > NAMES_MAX) {
        return why_set(why, ERR_LIMIT, "the server has more than %d names of one kind",
                       (int)NAMES_MAX);
    }
    return n->name(n->context, name, why);
}

/* Gives the names of metrics, or of tags, as they are stored, with this prefix; each once. */
static enum err
opentsdb_question_names(struct opentsdb_question *q, const char *type, struct bytes prefix,
                        enum err (*name)(void *context, struct bytes name, struct why *why),
                        void *context, struct why *why)
{
    struct names n = {name, context, 0};
    char max[16];
    opentsdb_exchange_begin(&q->exchange, "/api/suggest");
    http_url_param(&q->exchange.base.url, "type", bytes_of_text(type));
    if (prefix.size > 0) http_url_param(&q->exchange.base.url, "q", prefix);
    snprintf(max, sizeof max, "%d", (int)NAMES_MAX + 1);
    http_url_param(&q->exchange.base.url, "max", bytes_of_text(max));
    return opentsdb_exchange_names(&q->exchange, count_name, &n, why);
}

/* Lists the metrics that the matchers on the name admit. */
static enum err
list_metrics(struct opentsdb_question *q, struct why *why)
{
    struct bytes prefix = {NULL, 0};
    for (uint32_t i = 0; i < q->base.matcher_count; i++) {
        const struct matcher *m = q->base.matchers[i];
        const struct bytes *names;
        if (!fetch_is_of_name(m) || !fetch_is_positive(m)) continue;
        uint32_t count = matcher_literals(m, &names);
        for (uint32_t k = 0; k < count && count <= LITERAL_NAMES_MAX; k++) {
            struct bytes forms[STORED_FORMS_MAX];
            unsigned form_count;
            enum err e = stored_value_forms(names[k], &q->room, forms, &form_count);
            if (e) return fetch_no_memory(why);
            for (unsigned f = 0; f < form_count; f++) {
                e = add_metric(q, forms[f], why);
                if (e) return e;
            }
        }
        if (count > 0 && count <= LITERAL_NAMES_MAX) return OK;
        struct bytes begin = matcher_prefix(m);
        if (prefix.size == 0) prefix = bytes_of(begin.at, stored_plain_size(begin));
    }
    return opentsdb_question_names(q, "metrics", prefix, add_metric, q, why);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
put_time(struct buf *to, const char *key, int64_t t_ms, bool is_end)
{
    buf_printf(to, "\"%s\":", key);
    if (t_ms >= TEN_DIGITS) {
        buf_printf(to, "%lld,", (long long)t_ms);
        return;
    }
    int64_t t_s = t_ms / 1000 + (is_end && t_ms % 1000 != 0);
    if (t_s < SECONDS_MIN) t_s = is_end ? SECONDS_MIN : 0;
    buf_printf(to, "%lld,", (long long)t_s);
}

/* The end is one millisecond later: the server refuses two equal times. */
static void
begin_body(struct opentsdb_question *q, int64_t min_ms, int64_t max_ms)
{
    opentsdb_exchange_begin(&q->exchange, "/api/query");
    buf_put_u8(&q->exchange.base.body, '{');
    put_time(&q->exchange.base.body, "start", min_ms, false);
    put_time(&q->exchange.base.body, "end", max_ms + 1, true);
    buf_put_text(&q->exchange.base.body,
                 "\"msResolution\":true,\"showTSUIDs\":true,\"noAnnotations\":true,"
                 "\"queries\":[");
}

enum { BODY_END_BYTES = 2 };

static void
end_body(struct opentsdb_question *q)
{
    buf_put_text(&q->exchange.base.body, "]}");
}

/* --- names unknown to the server -------------------------------------------------------------- */

static bool
learn_unknown_metric(struct opentsdb_question *q, struct bytes name)
{
    for (uint32_t i = 0; i < q->metric_count; i++) {
        struct opentsdb_metric *metric = &q->metrics[i];
        if (metric->is_unknown || !bytes_equal(metric->stored, name)) continue;
        metric->is_unknown = true;
        return true;
    }
    return false;
}

static bool
has_matcher_on(const struct opentsdb_question *q, struct bytes name)
{
    for (uint32_t i = 0; i < q->base.matcher_count; i++)
        if (bytes_equal(matcher_name(q->base.matchers[i]), name)) return true;
    return false;
}

/* Remembers the name that the server does not know. ERR_CORRUPT: the request did not have it, so
 * that the next request would be the same. */
static enum err
learn_unknown(struct opentsdb_question *q, struct why *why)
{
    struct bytes name = buf_bytes(&q->exchange.unknown);
    enum opentsdb_refusal what = q->exchange.refusal;
    if (what == REFUSED_UNKNOWN_METRIC && learn_unknown_metric(q, name)) return OK;
    bool is_new = !opentsdb_is_unknown(q, what, name);
    if (what == REFUSED_UNKNOWN_METRIC ||
        (what == REFUSED_UNKNOWN_TAG && !has_matcher_on(q, name)) ||
        (what == REFUSED_UNKNOWN_VALUE && q->unknown_values > OPENTSDB_UNKNOWN_VALUES_MAX))
        is_new = false;
    if (!is_new) {
        return why_prefix(why, ERR_CORRUPT, "%s: the refusal names what was not asked for",
                          settings_of(q)->server.url);
    }
    struct bytes copy = arena_copy(&q->base.arena, name);
    if (!array_reserve(q->base.budget, &q->unknown, &q->unknown_capacity, q->unknown_count + 1) ||
        (copy.at == NULL && name.size > 0))
        return fetch_no_memory(why);
    q->unknown[q->unknown_count++] = (struct opentsdb_unknown){what, copy};
    q->unknown_values += what == REFUSED_UNKNOWN_VALUE;
    return OK;
}

/* --- all metrics ------------------------------------------------------------------------------ */

/* Makes a request for as many metrics from `first` on as have room. *ret_next is the metric after
 * them; *ret_any is true if the request has any. */
static void
put_request(struct opentsdb_question *q, uint32_t first, int64_t min_ms, int64_t max_ms,
            bool counts, uint32_t *ret_next, bool *ret_any)
{
    struct buf *body = &q->exchange.base.body;
    uint32_t next = first, count = 0;
    begin_body(q, min_ms, max_ms);
    for (; next < q->metric_count && count < SUB_QUERIES_MAX; next++) {
        size_t before = body->size;
        if (q->metrics[next].is_unknown) continue;
        if (count > 0) buf_put_u8(body, ',');
        struct buf *to = &q->exchange.base.body;
        buf_put_text(to, "{\"aggregator\":\"none\",\"metric\":");
        json_print_bytes(to, q->metrics[next].stored);
        if (counts) buf_put_text(to, ",\"downsample\":\"0all-count\"");
        if (q->filters.size > 0) {
            buf_put_text(to, ",\"filters\":[");
            buf_put_bytes(to, buf_bytes(&q->filters));
            buf_put_u8(to, ']');
        }
        buf_put_u8(to, '}');
        if (count > 0 && body->size > OPENTSDB_BODY_BYTES - BODY_END_BYTES) {
            body->size = before;
            break;
        }
        count++;
    }
    end_body(q);
    *ret_next = next;
    *ret_any = count > 0;
}

/* Queries all metrics with the filters: their points, or with `counts` the number of points of each
 * series. */
static enum err
ask_metrics(struct opentsdb_question *q, int64_t min_ms, int64_t max_ms, bool counts,
            const struct opentsdb_sink *to, struct why *why)
{
    uint32_t first = 0;
    while (first < q->metric_count) {
        uint32_t next;
        bool none, any;
        buf_clear(&q->filters);
        enum err e = opentsdb_filters_put(q, &q->filters, &none, why);
        if (e || none) return e;
        put_request(q, first, min_ms, max_ms, counts, &next, &any);
        e = any ? opentsdb_exchange_series(&q->exchange, to, why) : OK;
        if (e == OK)
            first = next;
        else if (e == ERR_MISSING)
            e = learn_unknown(q, why);
        if (e) return e;
    }
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

static struct bytes
tsuid_of(const struct opentsdb_question *q, const struct opentsdb_found *found)
{
    return bytes_of(q->tsuids.at + found->tsuid_at, found->tsuid_size);
}

/* The position of a series in `found`; UINT32_MAX if it is not there. */
static uint32_t
find_tsuid(const struct opentsdb_question *q, struct bytes tsuid)
{
    for (uint32_t at = TABLE_START, id; table_next(&q->by_tsuid, hash_bytes(tsuid, 0), &at, &id);)
        if (bytes_equal(tsuid_of(q, &q->found[id]), tsuid)) return id;
    return UINT32_MAX;
}

/* Makes the labels of a series; texts are in q->base.text, which does not move meanwhile. */
static enum err
read_labels(struct opentsdb_question *q, const struct opentsdb_series *series, struct label *labels,
            uint32_t *ret_count, struct why *why)
{
    size_t most = series->metric.size;
    uint32_t n = 0;
    for (uint32_t i = 0; i < series->tag_count; i++)
        most += series->tags[i].name.size + series->tags[i].value.size;
    buf_clear(&q->base.text);
    if (!buf_reserve(&q->base.text, most + 1))
        return fetch_no_memory(why); /* decoded texts are not longer */
    enum err e = stored_value_get(&q->base.text, series->metric);
    labels[n++] = (struct label){bytes_of_text("__name__"), buf_bytes(&q->base.text)};
    for (uint32_t i = 0; i < series->tag_count && e == OK; i++) {
        size_t from = q->base.text.size, middle;
        e = opentsdb_label_name_get(q, &q->base.text, series->tags[i].name);
        middle = q->base.text.size;
        if (e == OK) e = stored_value_get(&q->base.text, series->tags[i].value);
        struct label label = {bytes_of(q->base.text.at + from, middle - from),
                              bytes_of(q->base.text.at + middle, q->base.text.size - middle)};
        if (label.value.size == 0 || bytes_equal_text(label.name, "__name__")) continue;
        if (n == FINAL_LABELS_MAX)
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        labels[n++] = label;
    }
    *ret_count = n;
    return e ? fetch_no_memory(why) : OK;
}

/* Receives the numbers of points. */
struct question_count {
    struct opentsdb_question *q;
    uint32_t at; /* the current series; UINT32_MAX if it is not selected */
};

static enum err
add_found(struct opentsdb_question *q, const struct opentsdb_series *series,
          const struct label *labels, uint32_t count, struct why *why)
{
    struct opentsdb_found found = {.tsuid_at = q->tsuids.size,
                                   .tsuid_size = (uint32_t)series->tsuid.size,
                                   .labels_at = q->labels.size,
                                   .metric_hash = hash_bytes(series->metric, 0)};
    buf_put_bytes(&q->tsuids, series->tsuid);
    for (uint32_t i = 0; i < count; i++)
        labels_put(&q->labels, labels[i]);
    found.labels_size = (uint32_t)(q->labels.size - found.labels_at);
    if (!array_reserve(q->base.budget, &q->found, &q->found_capacity, q->found_count + 1) ||
        !table_reserve(&q->by_tsuid, q->base.budget, 1) || buf_error(&q->tsuids) ||
        buf_error(&q->labels))
        return fetch_no_memory(why);
    table_add(&q->by_tsuid, hash_bytes(series->tsuid, 0), q->found_count);
    q->found[q->found_count++] = found;
    return OK;
}

static enum err
take_counted(void *context, const struct opentsdb_series *series, struct why *why)
{
    struct question_count *c = context;
    struct opentsdb_question *q = c->q;
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count = 0;
    c->at = find_tsuid(q, series->tsuid);
    if (c->at != UINT32_MAX) return OK; /* found in an earlier piece of time */
    enum err e = read_labels(q, series, labels, &count, why);
    const struct fetch_series made = {.labels = labels, .count = count};
    if (e || !fetch_question_selects(&q->base, &made)) return e;
    c->at = q->found_count;
    return add_found(q, series, labels, count, why);
}

static enum err
take_count(void *context, int64_t t_ms, uint64_t bits, struct why *why)
{
    struct question_count *c = context;
    double points = bits_double(bits);
    (void)t_ms, (void)why;
    if (!(points > 0)) return OK;
    /* The number may be wrong; it only decides how much is requested at once. */
    uint64_t whole = points < 1e15 ? (uint64_t)points : 1000000000000000;
    if (c->at == UINT32_MAX)
        c->q->points_passed += whole;
    else
        c->q->found[c->at].points += whole;
    if (c->at != UINT32_MAX) c->q->points_found += whole;
    return OK;
}

/* Counts the points of all series, by pieces of time if the server refuses to read all of it. */
static enum err
count_points(struct opentsdb_question *q, struct why *why)
{
    struct question_count c = {q, UINT32_MAX};
    const struct opentsdb_sink sink = {take_counted, take_count, &c};
    int64_t from_ms = q->base.min_ms, last_ms = q->base.max_ms, piece_ms = last_ms - from_ms + 1;
    enum err e = list_metrics(q, why);
    while (e == OK && from_ms <= last_ms) {
        int64_t to_ms = piece_ms - 1 < last_ms - from_ms ? from_ms + piece_ms - 1 : last_ms;
        e = ask_metrics(q, from_ms, to_ms, true, &sink, why);
        if (e == ERR_FULL && to_ms - from_ms >= HOUR_MS) {
            /* Points of this piece are counted twice: an estimate may be too large. */
            piece_ms = (to_ms - from_ms + 1) / 2;
            e = OK;
        } else if (e == OK) {
            from_ms = to_ms + 1;
            piece_ms *= piece_ms < OPENTSDB_TIME_MS_MAX ? 2 : 1;
        }
    }
    return e;
}

/* Finds the series, and gives them to fetch_question_take(). ERR_FULL: the server refuses to read
 * even an hour of them. */
static enum err
opentsdb_question_find(struct fetch_question *base, struct why *why)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    enum err e = count_points(q, why);
    for (uint32_t i = 0; i < q->found_count && e == OK; i++) {
        const struct opentsdb_found *found = &q->found[i];
        struct label labels[FINAL_LABELS_MAX];
        struct fetch_series series = {.labels = labels,
                                      .key = bytes_of((const uint8_t *)&i, sizeof i),
                                      .samples = found->points,
                                      .first_ms = base->min_ms,
                                      .last_ms = base->max_ms};
        struct cursor c = cursor_of(bytes_of(q->labels.at + found->labels_at, found->labels_size));
        while (series.count < FINAL_LABELS_MAX && labels_next(&c, &labels[series.count]))
            series.count++;
        e = fetch_question_take(base, &series, why);
    }
    return e;
}

/* --- samples ---------------------------------------------------------------------------------- */

struct sampling {
    struct opentsdb_question *q;
    const struct series_block *block;
    uint32_t number; /* number of the current series in the block; UINT32_MAX if it is not there */
};

/* The position in `found` of a series of a block. */
static uint32_t
found_at(const struct opentsdb_question *q, uint32_t number)
{
    return load_le32(series_blocks_key(q->base.blocks, number).at);
}

static enum err
take_sampled(void *context, const struct opentsdb_series *series, struct why *why)
{
    struct sampling *s = context;
    uint32_t found = find_tsuid(s->q, series->tsuid);
    (void)why;
    s->number = UINT32_MAX;
    if (found == UINT32_MAX) return OK;
    uint32_t number = s->q->found[found].number;
    if (number < s->block->first || number - s->block->first >= s->block->count) return OK;
    if (found_at(s->q, number) == found) s->number = number;
    return OK;
}

static enum err
take_sample(void *context, int64_t t_ms, uint64_t bits, struct why *why)
{
    struct sampling *s = context;
    if (s->number == UINT32_MAX) return OK;
    return series_blocks_put_float(s->q->base.blocks, s->number, t_ms, bits, 0, why);
}

/* Makes a request for a block. A sub-query has the TSUIDs of one metric, whose id they begin with.
 */
static enum err
put_block(struct opentsdb_question *q, const struct series_block *block, struct why *why)
{
    struct buf *body = &q->exchange.base.body;
    uint64_t last = 0;
    begin_body(q, block->min_ms, block->max_ms);
    for (uint32_t i = 0; i < block->count; i++) {
        const struct opentsdb_found *found = &q->found[found_at(q, block->first + i)];
        bool is_next = i > 0 && found->metric_hash == last;
        if (i > 0 && !is_next) buf_put_text(body, "]},");
        buf_put_text(body, is_next ? ",\"" : "{\"aggregator\":\"none\",\"tsuids\":[\"");
        buf_put_bytes(body, tsuid_of(q, found));
        buf_put_u8(body, '"');
        last = found->metric_hash;
        if (body->size > OPENTSDB_BODY_BYTES - BODY_END_BYTES - 2 && i > 0)
            return why_set(why, ERR_FULL, "too many series for a request");
    }
    buf_put_text(body, "]}");
    end_body(q);
    return OK;
}

/* As fetch_type.samples; keys are le32, positions in `found`. */
static enum err
opentsdb_question_samples(struct fetch_question *base, const struct series_block *block,
                          struct why *why)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    struct sampling s = {q, block, UINT32_MAX};
    const struct opentsdb_sink sink = {take_sampled, take_sample, &s};
    for (uint32_t i = block->first; i < block->first + block->count; i++)
        q->found[found_at(q, i)].number = i;
    /* The block has all series, and the filters select few others. */
    if (block->count == q->found_count && q->points_passed <= q->points_found)
        return ask_metrics(q, block->min_ms, block->max_ms, false, &sink, why);
    enum err e = put_block(q, block, why);
    return e ? e : opentsdb_exchange_series(&q->exchange, &sink, why);
}

/* --- the reader ------------------------------------------------------------------------------- */

/* Names of metrics and of labels are those that OpenTSDB ever had; all else is found out of the
 * series. /api/search/lookup is not used: it knows only series that were written while
 * tsd.core.meta.enable_tsuid_tracking was on, or reads the whole table. */

static enum err
give_name(void *context, struct bytes stored, struct why *why)
{
    struct opentsdb_question *q = context;
    struct buf *text = &q->base.text;
    buf_clear(text);
    enum err e = q->base.purpose == FETCH_NAMES ? opentsdb_label_name_get(q, text, stored)
                                                : stored_value_get(text, stored);
    if (e) return fetch_no_memory(why);
    q->gave_names = true;
    return text->size == 0 ? OK : q->base.to->each(q->base.to->context, buf_bytes(text));
}

/* Gives all names of labels. */
static enum err
label_names(struct fetch_question *base, struct why *why)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    if (base->matcher_count > 0) return ERR_UNSUPPORTED;
    enum err e = opentsdb_question_names(q, "tagk", bytes_of(NULL, 0), give_name, q, why);
    if (e == OK && q->gave_names) e = base->to->each(base->to->context, bytes_of_text("__name__"));
    return e;
}

/* Gives all names of metrics. */
static enum err
label_values(struct fetch_question *base, struct why *why)
{
    struct opentsdb_question *q = (struct opentsdb_question *)base;
    if (base->matcher_count > 0 || !bytes_equal_text(base->name, "__name__"))
        return ERR_UNSUPPORTED;
    return opentsdb_question_names(q, "metrics", bytes_of(NULL, 0), give_name, q, why);
}

enum err
opentsdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                    struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct fetch_reader),
        .question_bytes = sizeof(struct opentsdb_question),
        .max_ms = OPENTSDB_TIME_MS_MAX,
        .arena_bytes_max = 256 << 20,
        .scratch_bytes_max = 64 << 20,
        .text_bytes_max = 16 << 20,
        .init = opentsdb_question_init,
        .fini = opentsdb_question_fini,
        .find = opentsdb_question_find,
        .samples = opentsdb_question_samples,
        .names = label_names,
        .values = label_values,
    };
    return fetch_reader_new(&type, options, NULL, ret_answerer, why);
}
