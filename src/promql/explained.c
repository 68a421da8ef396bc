/*
 * explained.c - see explained.h. explain_put.c prints the tree of operators; this file adds the
 * rest.
 */
#include "promql/explained.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/text/json.h"
#include "wire/number.h"

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
    json_member_uint(j, "result_series", promql_series_count(x->result));
    json_member_uint(j, "peak_samples", promql_peak_samples(x->result));
    if (x->memory == PLAN_MEMORY_HIDDEN) return;
    json_member_uint(j, "peak_bytes",
                     atomic_load_explicit(&c->budget->peak_bytes, memory_order_relaxed));
}

static void
put_limits(const struct promql_explained *x, struct json *j)
{
    struct bound bounds[BOUND_COUNT];
    bool exact;
    unsigned count = bounds_of(x, bounds, &exact) ? BOUND_COUNT : 0;
    for (unsigned i = 0; i < count; i++) {
        const struct bound *b = &bounds[i];
        if (b->max == 0) continue;
        json_object_open(j);
        json_member_text(j, "name", b->name);
        json_member_uint(j, "limit", b->max);
        json_member_uint(j, "needs", b->needs);
        json_object_close(j);
    }
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
        json_array_open(&j);
        put_limits(x, &j);
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
