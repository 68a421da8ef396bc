/*
 * plan_print.c - a plan arrives as JSON, from a server or from the engine in this process, and is
 * printed as rows: the inputs of an operator follow below it, indented.
 */

#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "cli/lib/report.h"
#include "cli/query/query_print.h"
#include "wire/json/json_tree.h"

enum {
    DATA_BYTES_MAX = 16 << 20,
    DETAIL_SHOWN_BYTES = 120,
    INDENTS_MAX = 30, /* deeper nodes have this indentation */
};

struct plan_printer {
    struct query_sink sink; /* first, so that both pointers convert */
    FILE *to;
    struct buf data;
    struct report *report;
    bool ran; /* the plan has times, memory and stats */
};

/* Prints a node, and its inputs below it. jansson limits the depth. */
static void
print_node(struct plan_printer *p, const json_t *node, uint32_t depth)
{
    struct bytes all = json_tree_text(json_object_get(node, "detail"));
    struct bytes detail = utf8_cut(all.at == NULL ? bytes_of_text("") : all, DETAIL_SHOWN_BYTES);
    const json_t *children = json_object_get(node, "children");
    const char *word = json_string_value(json_object_get(node, "operator"));
    struct buf text;
    buf_init(&text, NULL, DATA_BYTES_MAX);
    for (uint32_t i = 0; i < depth && i < INDENTS_MAX; i++) {
        buf_put_text(&text, "  ");
    }
    buf_put_shown(&text, bytes_of_text(word == NULL ? "" : word));
    buf_put_text(&text, "  ");
    buf_put_shown(&text, detail);
    if (detail.size < all.size) buf_put_text(&text, "...");
    /* A plan that did not run has no columns for the last two. */
    report_row(p->report, value_view(buf_bytes(&text)), value_json(node, "series", VALUE_COUNT),
               value_json(node, "blocks", VALUE_COUNT), value_json(node, "samples", VALUE_COUNT),
               value_json(node, "bytes", VALUE_SIZE), value_json(node, "ms", VALUE_NUMBER),
               value_json(node, "peak_bytes", VALUE_SIZE));
    buf_fini(&text);
    for (size_t i = 0; i < json_array_size(children); i++) {
        print_node(p, json_array_get(children, i), depth + 1);
    }
}

static enum err
print_plan(struct query_sink *sink, struct why *why)
{
    struct plan_printer *p = (struct plan_printer *)(void *)sink;
    if (buf_error(&p->data)) return why_set(why, ERR_NOMEM, "not enough memory for the plan");
    if (p->data.size == 0) return OK; /* another message reports the error */
    json_t *root = json_loadb((const char *)p->data.at, p->data.size, JSON_ALLOW_NUL, NULL);
    if (!json_is_string(json_object_get(root, "operator"))) {
        json_decref(root);
        return why_set(why, ERR_UNSUPPORTED,
                       "the response is not a query plan; is it a Firekeep that --url names?");
    }
    enum err e = report_new(REPORT_TEXT, p->to, NULL, &p->report);
    if (e == OK) {
        const json_t *stats = json_object_get(root, "stats");
        struct report_value peak = value_json(stats, "peak_bytes", VALUE_SIZE);
        report_table(p->report, "plan", NULL,
                     p->ran ? "operator|series|blocks|samples|bytes|ms|memory"
                            : "operator|series|blocks|samples|bytes");
        print_node(p, root, 0);
        report_table_end(p->report, 0);
        if (p->ran) {
            report_field(p->report, "ms", "time in ms", value_json(stats, "ms", VALUE_NUMBER));
            report_field(p->report, "resultSeries", "series in the result",
                         value_json(stats, "result_series", VALUE_COUNT));
            report_field(p->report, "peakSamples", "samples held at most",
                         value_json(stats, "peak_samples", VALUE_COUNT));
            if (peak.count > 0) /* a server may hide it */
                report_field(p->report, "peakBytes", "memory at most", peak);
        }
        e = report_end(p->report);
    }
    json_decref(root);
    if (e) return why_set(why, e, "not enough memory for the output");
    return ferror(p->to) ? ERR_IO : OK;
}

static enum err
take_data(struct query_sink *sink, struct bytes piece, struct why *why)
{
    struct plan_printer *p = (struct plan_printer *)(void *)sink;
    buf_put_bytes(&p->data, piece);
    return buf_error(&p->data) ? why_set(why, ERR_NOMEM, "not enough memory for the plan") : OK;
}

static void
printer_free(struct query_sink *sink)
{
    struct plan_printer *p = (struct plan_printer *)(void *)sink;
    report_free(p->report);
    buf_fini(&p->data);
    mem_free(NULL, p, sizeof *p);
}

enum err
plan_printer_new(FILE *to, bool ran, struct query_sink **ret_sink, struct why *why)
{
    static const struct query_sink_ops ops = {
        .data = take_data, .note = query_note_print, .end = print_plan, .free = printer_free};
    struct plan_printer *p = mem_new(NULL, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    p->sink.ops = &ops;
    p->to = to;
    p->ran = ran;
    buf_init(&p->data, NULL, DATA_BYTES_MAX);
    *ret_sink = &p->sink;
    return OK;
}
