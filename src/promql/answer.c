/* answer.c - answers of the query API and the explain API: see promql.h. */
#include "base/buf.h"
#include "base/text/json.h"
#include "model/labels.h"
#include "promql/parse/tree.h"
#include "promql/promql.h"
#include "wire/number.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* --- the explain API: promql_plan_put() prints the tree of operators -------------------------- */

struct bound {
    const char *name;
    const char *what;
    uint64_t max; /* 0: no limit */
    uint64_t needs;
};
enum { BOUND_COUNT = 3 };

/* False if it is not known what the query needs. */
static bool
bounds_of(const struct promql_explained *x, struct bound ret[BOUND_COUNT], bool *ret_exact)
{
    const struct query_control *c = x->control;
    const struct limit_names *names = c->names;
    struct series_cost cost;
    if (names == NULL || !promql_plan_cost(x->plan, &cost, ret_exact)) return false;
    ret[0] = (struct bound){names->series, "series", c->series_max, cost.series};
    ret[1] = (struct bound){names->samples, "samples", c->samples_max, cost.samples};
    ret[2] = (struct bound){names->bytes, "bytes of samples", c->bytes_max, cost.bytes};
    return true;
}

static void
put_stats(const struct promql_explained *x, struct json *j)
{
    const struct query_control *c = x->control;
    char digits[NUMBER_TEXT_BYTES];
    uint64_t bits = double_bits((double)(x->ran_ns / 1000) / 1000);
    json_key(j, "ms");
    json_put_raw(j, bytes_of(digits, number_print_json(bits, digits)));
    json_member_uint(j, "series", c->series_seen);
    json_member_uint(j, "samples", c->samples_seen);
    json_member_uint(j, "bytes", c->bytes_seen);
    json_member_uint(j, "fetched_bytes", c->fetched_seen);
    json_member_uint(j, "fetches", c->fetches);
    json_member_uint(j, "result_series", promql_series_count(x->result));
    json_member_uint(j, "peak_samples", promql_peak_samples(x->result));
    if (x->memory == PLAN_MEMORY_HIDDEN) return;
    json_member_uint(j, "peak_bytes",
                     atomic_load_explicit(&c->budget->peak_bytes, memory_order_relaxed));
}

enum err
promql_explained_put(const struct promql_explained *x, struct buf *to)
{
    struct json j;
    enum err e = promql_plan_put(x->plan, x->memory, to);
    if (e) return e;
    assert(to->size > 0);
    assert(to->at[to->size - 1] == '}');
    to->size--; /* reopens the object */
    buf_put_text(to, x->result != NULL ? ",\"stats\":" : ",\"limits\":");
    json_init(&j, to);
    if (x->result != NULL) {
        json_object_open(&j);
        put_stats(x, &j);
        json_object_close(&j);
    } else {
        struct bound bounds[BOUND_COUNT];
        bool exact;
        unsigned count = bounds_of(x, bounds, &exact) ? BOUND_COUNT : 0;
        json_array_open(&j);
        for (const struct bound *b = bounds; b < bounds + count; b++) {
            if (b->max == 0) continue;
            json_object_open(&j);
            json_member_text(&j, "name", b->name);
            json_member_uint(&j, "limit", b->max);
            json_member_uint(&j, "needs", b->needs);
            json_object_close(&j);
        }
        json_array_close(&j);
    }
    buf_put_u8(to, '}');
    return buf_error(to);
}

void
promql_explained_warnings(const struct promql_explained *x,
                          void (*each)(void *context, struct bytes sentence), void *context)
{
    struct bound bounds[BOUND_COUNT];
    bool exact;
    unsigned count = x->result == NULL && bounds_of(x, bounds, &exact) ? BOUND_COUNT : 0;
    for (unsigned i = 0; i < count; i++) {
        const struct bound *b = &bounds[i];
        char text[256];
        if (b->max == 0 || b->needs <= b->max) continue;
        int size =
            snprintf(text, sizeof text,
                     "the query would be refused: it reads %s%" PRIu64 " %s, and %s is %" PRIu64
                     "; use narrower matchers or a shorter time range",
                     exact ? "" : "about ", b->needs, b->what, b->name, b->max);
        each(context, bytes_of(text, (size_t)size));
    }
}

enum {
    NOTE_BYTES_MAX = 1024 * 1024,
    NOTES_MAX = 10, /* limit of each kind; the number of others is given */
};

size_t
promql_print_time(int64_t t_ms, char to[PROMQL_TIME_BYTES])
{
    uint64_t ms = t_ms < 0 ? -(uint64_t)t_ms : (uint64_t)t_ms;
    size_t size = t_ms < 0;
    to[0] = '-';
    size += decimal_print_uint(ms / 1000, to + size);
    if (ms % 1000 == 0) return size;
    size_t end = size + decimal_print_uint(1000 + ms % 1000, to + size);
    assert(end <= PROMQL_TIME_BYTES);
    to[size] = '.'; /* replaces the 1 of the thousand */
    return end;
}

_Static_assert((int)PROMQL_TIME_BYTES >= (int)NUMBER_TEXT_BYTES, "a time is printed as a number");

size_t
promql_print_short_time(int64_t t_ms, char to[PROMQL_TIME_BYTES])
{
    return number_print(double_bits((double)t_ms / 1000), to);
}

static void
answer_put_number(struct json *j, double value)
{
    char digits[NUMBER_TEXT_BYTES];
    json_put_bytes(j, bytes_of(digits, number_print(double_bits(value), digits)));
}

static void
answer_put_histogram(struct json *j, const struct fhist *h)
{
    bool any = false;
    json_object_open(j);
    json_key(j, "count");
    answer_put_number(j, h->count);
    json_key(j, "sum");
    answer_put_number(j, h->sum);
    for (uint32_t i = 0; i < fhist_bucket_count(h); i++) {
        struct fhist_bucket b = fhist_bucket(h, i);
        if (b.count == 0) continue;
        if (!any) json_member_array(j, "buckets");
        any = true;
        json_array_open(j);
        json_put_int(j, b.has_lower ? (b.has_upper ? 3 : 1) : b.has_upper ? 0 : 2);
        answer_put_number(j, b.lower);
        answer_put_number(j, b.upper);
        answer_put_number(j, b.count);
        json_array_close(j);
    }
    if (any) json_array_close(j);
    json_object_close(j);
}

/* Puts [time, "value"] or [time, {histogram}]. */
static void
put_point(struct promql_answer *a, const struct promql_point *p)
{
    char text[PROMQL_TIME_BYTES + NUMBER_TEXT_BYTES + 8];
    size_t size = 1;
    text[0] = '[';
    size += promql_print_time(p->t_ms, text + size);
    if (p->histogram != NULL) {
        json_array_open(a->to);
        json_put_raw(a->to, bytes_of(text + 1, size - 1));
        answer_put_histogram(a->to, p->histogram);
        json_array_close(a->to);
        return;
    }
    text[size++] = ',';
    text[size++] = '"';
    size += number_print(double_bits(p->value), text + size);
    text[size++] = '"';
    text[size++] = ']';
    json_put_raw(a->to, bytes_of(text, size));
}

static enum err
put_points(struct promql_answer *a, bool histograms, const char *key)
{
    struct promql_point p;
    enum err e = OK;
    bool any = false;
    while (e == OK && promql_next_point(a->result, histograms, &p)) {
        if (!any) json_member_array(a->to, key);
        any = true;
        put_point(a, &p);
        e = a->piece(a->context);
    }
    if (any) json_array_close(a->to);
    return e;
}

static enum err
answer_put_series(struct promql_answer *a, bool is_matrix)
{
    struct bytes labels;
    struct promql_point p;
    enum err e = OK;
    uint64_t count = 0;
    json_array_open(a->to);
    while (e == OK && promql_next_series(a->result, &labels)) {
        a->limited = a->limit != 0 && count++ == a->limit;
        if (a->limited) break;
        json_object_open(a->to);
        json_key(a->to, "metric");
        labels_put_json(a->to, labels);
        if (is_matrix) {
            e = put_points(a, false, "values");
            if (e == OK) e = put_points(a, true, "histograms");
        } else if (promql_next_point(a->result, false, &p)) {
            json_key(a->to, "value");
            put_point(a, &p);
        } else if (promql_next_point(a->result, true, &p)) {
            json_key(a->to, "histogram");
            put_point(a, &p);
        }
        json_object_close(a->to);
        if (e == OK) e = a->piece(a->context);
    }
    json_array_close(a->to);
    return e;
}

enum err
promql_answer_put(struct promql_answer *a)
{
    enum promql_type type = promql_result_type(a->result);
    struct bytes labels;
    struct promql_point p = {.t_ms = a->t_ms};
    char time[PROMQL_TIME_BYTES];
    json_member_text(a->to, "resultType", promql_type_word(type));
    json_key(a->to, "result");
    if (type != PROMQL_STRING && type != PROMQL_SCALAR)
        return answer_put_series(a, type == PROMQL_MATRIX);
    if (type == PROMQL_SCALAR &&
        (!promql_next_series(a->result, &labels) || !promql_next_point(a->result, false, &p)))
        return OK;
    json_array_open(a->to);
    json_put_raw(a->to, bytes_of(time, promql_print_short_time(p.t_ms, time)));
    if (type == PROMQL_STRING) {
        json_put_bytes(a->to, promql_result_string(a->result));
    } else { /* without an exponent, unlike the values of vectors */
        json_put_raw(a->to, bytes_of_text("\""));
        tree_print_number(p.value, a->to->to);
        buf_put_u8(a->to->to, '"');
    }
    json_array_close(a->to);
    return OK;
}

enum err
promql_answer_notes(const struct promql_result *result, enum promql_note kind, bool limited,
                    struct budget *budget, void (*each)(void *context, struct bytes sentence),
                    void *context, struct why *why)
{
    bool warns = kind == PROMQL_WARNING;
    struct buf text;
    uint32_t count = promql_note_count(result, kind), most = NOTES_MAX - (warns && limited);
    enum err e = OK;
    if (warns && limited) each(context, bytes_of_text("results truncated due to limit"));
    buf_init(&text, budget, NOTE_BYTES_MAX);
    for (uint32_t n = 0; e == OK && n < count && n < most; n++) {
        promql_note(result, kind, n, &text);
        e = buf_error(&text);
        if (e == OK) each(context, buf_bytes(&text));
        buf_clear(&text);
    }
    if (e) e = why_set(why, ERR_NOMEM, "not enough memory for the warnings of the query");
    buf_fini(&text);
    if (count > most) {
        char more[64];
        int size = snprintf(more, sizeof more, "%" PRIu32 " more %s annotations omitted",
                            count - most, warns ? "warning" : "info");
        each(context, bytes_of(more, (size_t)size));
    }
    return e;
}
