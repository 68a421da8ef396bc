/*
 * explain_put.c - prints a plan as the API gives it. It does not use struct json, since expressions
 * nest deeper than that allows.
 */
#include <assert.h>
#include <inttypes.h>

#include "base/text/json.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "promql/eval/plan/explain.h"

enum { LINE_READS_MAX = 16, LINE_TEXT_BYTES = 256 };

/* --- figures ---------------------------------------------------------------------------------- */

static void
add_cost(struct series_cost *to, const struct series_cost *c)
{
    to->series += c->series;
    to->blocks += c->blocks;
    to->samples += c->samples;
    to->bytes += c->bytes;
}

/* Sums up what is read for a node and its children. Returns its time: that of the children if it
 * has no operator of its own. */
static int64_t
add_up(struct plan_figures *x)
{
    int64_t below_ns = 0;
    assert((x->first == NULL) == (x->last == NULL)); /* invariant 2 of explain.c */
    x->total = x->cost;
    x->total_known = x->known;
    for (struct plan_figures *c = x->first; c != NULL; c = c->next) {
        below_ns += add_up(c);
        add_cost(&x->total, &c->total);
        x->total_known &= c->total_known;
    }
    x->below_ns = below_ns;
    return x->is_measured ? x->spent_ns : below_ns;
}

bool
promql_plan_cost(const struct promql_plan *plan, struct series_cost *ret, bool *ret_exact)
{
    *ret_exact = true;
    for (const struct plan_figures *x = plan->root; x != NULL; x = x->after) {
        if (x->reads) *ret_exact &= x->exact;
    }
    add_up(plan->root);
    *ret = plan->root->total;
    return plan->root->total_known;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void
put_count(struct buf *to, const char *key, bool known, uint64_t value)
{
    if (known)
        buf_printf(to, ",\"%s\":%" PRIu64, key, value);
    else
        buf_printf(to, ",\"%s\":null", key);
}

/* The number of series that a node gives: its own, or those of the child that does its work. */
static void
plan_put_series(const struct promql_plan *plan, const struct plan_figures *x, struct buf *to)
{
    if (!plan->was_run) {
        put_count(to, "series", x->series_known, x->series);
    } else if (x->reads && !x->turns && x->known) {
        put_count(to, "series", true, x->cost.series);
    } else {
        bool is_last = x->is_measured || x->first == NULL;
        put_count(to, "series", true, is_last ? x->series_given : x->first->series_given);
    }
}

static void
put_detail(const struct plan_figures *x, struct buf *to)
{
    buf_put_text(to, ",\"detail\":");
    (void)json_print_string(to, x->detail);
    if (buf_error(to)) return;
    assert(to->at[to->size - 1] == '"');
    to->size--; /* the text goes on, with characters that need no escape */
    if (x->way != NULL) buf_printf(to, "; %s", x->way);
    if (x->steps > 1) buf_printf(to, "; %" PRIu32 " steps", x->steps);
    if (x->shards > 1) buf_printf(to, "; %" PRIu32 " shards", x->shards);
    int64_t resolution_ms = atomic_load_explicit(&x->resolution_ms, memory_order_relaxed);
    char text[TIME_TEXT_BYTES];
    if (resolution_ms > 0) {
        buf_printf(to, "; downsampled to %s", time_print_duration(resolution_ms, text));
    }
    buf_put_u8(to, '"');
}

static void
put_node(const struct promql_plan *plan, const struct plan_figures *x, enum plan_memory memory,
         struct buf *to)
{
    buf_printf(to, "{\"operator\":\"%s\"", x->word);
    put_detail(x, to);
    plan_put_series(plan, x, to);
    put_count(to, "blocks", x->total_known, x->total.blocks);
    put_count(to, "samples", x->total_known, x->total.samples);
    put_count(to, "bytes", x->total_known, x->total.bytes);
    if (!plan->was_run && x->reads && x->known) {
        buf_printf(to, ",\"exact\":%s", x->exact ? "true" : "false");
    }
    if (plan->was_run && x->is_measured) {
        int64_t own_ns = x->spent_ns - x->below_ns;
        buf_printf(to, ",\"ms\":%.3f", (double)(own_ns < 0 ? 0 : own_ns) / 1e6);
        uint64_t peak = atomic_load_explicit(&x->budget.peak_bytes, memory_order_relaxed);
        if (x->is_charged && memory == PLAN_MEMORY_SHOWN) put_count(to, "peak_bytes", true, peak);
    }
    buf_put_text(to, ",\"children\":[");
    for (const struct plan_figures *c = x->first; c != NULL; c = c->next) {
        if (c != x->first) buf_put_u8(to, ',');
        put_node(plan, c, memory, to);
    }
    buf_put_text(to, "]}");
}

enum err
promql_plan_put(const struct promql_plan *plan, enum plan_memory memory, struct buf *to)
{
    add_up(plan->root);
    put_node(plan, plan->root, memory, to);
    return buf_error(to);
}

/* --- a line ----------------------------------------------------------------------------------- */

static void
put_read(const struct plan_figures *x, struct buf *to)
{
    const struct series_cost *c = &x->cost;
    struct bytes text = utf8_cut(x->detail, LINE_TEXT_BYTES);
    buf_put_bytes(to, text);
    if (text.size < x->detail.size) buf_put_text(to, "...");
    if (!x->known) {
        buf_put_text(to, ": unknown");
        return;
    }
    buf_printf(to,
               ": %s%" PRIu64 " series, %" PRIu64 " blocks, %" PRIu64 " samples, %" PRIu64 " bytes",
               x->exact ? "" : "about ", c->series, c->blocks, c->samples, c->bytes);
}

void
promql_plan_put_line(const struct promql_plan *plan, struct buf *to)
{
    uint32_t count = 0;
    for (const struct plan_figures *x = plan->root; x != NULL; x = x->after) {
        if (!x->reads || count++ >= LINE_READS_MAX) continue;
        if (count > 1) buf_put_text(to, "; ");
        put_read(x, to);
    }
    if (count > LINE_READS_MAX) buf_printf(to, "; and %" PRIu32 " more", count - LINE_READS_MAX);
}
