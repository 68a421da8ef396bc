/*
 * plan_print.c - a plan arrives as JSON, from a server or from the engine in this process, and is
 * printed as rows: the inputs of an operator follow below it, indented.
 */
#include "cli/query/plan_print.h"

#include "base/text/shown.h"
#include "base/text/utf8.h"
#include "cli/lib/report.h"
#include "cli/query/query_print.h"
#include "wire/json/json_scan.h"

enum {
    DATA_BYTES_MAX = 256 << 20,
    DETAIL_SHOWN_BYTES = 120,
    INDENTS_MAX = 30, /* deeper nodes have this indentation */
    DEPTH_MAX = 10000,
};

struct plan_printer {
    struct query_sink sink; /* first, so that both pointers convert */
    FILE *to;
    struct buf data;
    struct arena arena; /* texts of `data` */
    struct report *report;
    bool ran; /* the plan has times, memory and stats: */
    double ms, peak_bytes, peak_samples, result_series;
};

/* The figures of a node, in the order of columns. */
enum figure { FIGURE_SERIES, FIGURE_BLOCKS, FIGURE_SAMPLES, FIGURE_BYTES, FIGURE_MS, FIGURE_PEAK };
enum { FIGURE_COUNT = FIGURE_PEAK + 1, MEMBER_WORD = FIGURE_COUNT, MEMBER_DETAIL, MEMBER_CHILDREN };
static const struct bytes members[] = {
    SCAN_NAME("series"),   SCAN_NAME("blocks"), SCAN_NAME("samples"),
    SCAN_NAME("bytes"),    SCAN_NAME("ms"),     SCAN_NAME("peak_bytes"),
    SCAN_NAME("operator"), SCAN_NAME("detail"), SCAN_NAME("children"),
};
enum { MEMBER_COUNT = sizeof members / sizeof members[0] };

struct plan_row {
    struct bytes word;
    struct bytes detail;
    double figures[FIGURE_COUNT];
    bool known[FIGURE_COUNT];
};

/* --- rows ------------------------------------------------------------------------------------- */

static struct report_value
figure(const struct plan_row *row, enum figure i)
{
    if (!row->known[i]) return value_none();
    uint64_t count = (uint64_t)row->figures[i];
    if (i == FIGURE_MS) {
        return (struct report_value){.kind = VALUE_NUMBER, .number = row->figures[i]};
    }
    return i == FIGURE_BYTES || i == FIGURE_PEAK ? value_size(count) : value_count(count);
}

static void
print_row(struct plan_printer *p, const struct plan_row *row, uint32_t depth)
{
    struct buf text;
    struct bytes detail = utf8_cut(row->detail, DETAIL_SHOWN_BYTES);
    buf_init(&text, NULL, DATA_BYTES_MAX);
    for (uint32_t i = 0; i < depth && i < INDENTS_MAX; i++) {
        buf_put_text(&text, "  ");
    }
    buf_put_shown(&text, row->word);
    buf_put_text(&text, "  ");
    buf_put_shown(&text, detail);
    if (detail.size < row->detail.size) buf_put_text(&text, "...");
    struct report_value what = value_view(buf_bytes(&text));
    if (p->ran) {
        report_row(p->report, what, figure(row, FIGURE_SERIES), figure(row, FIGURE_BLOCKS),
                   figure(row, FIGURE_SAMPLES), figure(row, FIGURE_BYTES), figure(row, FIGURE_MS),
                   figure(row, FIGURE_PEAK));
    } else {
        report_row(p->report, what, figure(row, FIGURE_SERIES), figure(row, FIGURE_BLOCKS),
                   figure(row, FIGURE_SAMPLES), figure(row, FIGURE_BYTES));
    }
    buf_fini(&text);
}

static void
read_figure(struct scan *s, struct plan_row *row, unsigned i)
{
    if (scan_peek(s) == 'n') {
        scan_null(s);
        return;
    }
    row->figures[i] = bits_double(scan_double(s));
    row->known[i] = s->bad == NULL && row->figures[i] >= 0 && row->figures[i] < 0x1p63;
}

static unsigned
which(struct bytes key)
{
    unsigned i = 0;
    while (i < MEMBER_COUNT && !bytes_equal(key, members[i])) {
        i++;
    }
    return i;
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void
read_stats(struct plan_printer *p, struct scan *s)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        double *to = bytes_equal_text(key, "ms")              ? &p->ms
                     : bytes_equal_text(key, "peak_bytes")    ? &p->peak_bytes
                     : bytes_equal_text(key, "peak_samples")  ? &p->peak_samples
                     : bytes_equal_text(key, "result_series") ? &p->result_series
                                                              : NULL;
        if (to == NULL)
            scan_skip(s);
        else
            *to = bits_double(scan_double(s));
    }
}

/* The figures of a node precede its inputs. */
static void
read_node(struct plan_printer *p, struct scan *s, uint32_t depth)
{
    struct plan_row row = {.word = bytes_of("", 0), .detail = bytes_of("", 0)};
    struct bytes key;
    if (depth > DEPTH_MAX) {
        scan_fail(s, "the plan is too deep");
        return;
    }
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        unsigned i = which(key);
        if (i < FIGURE_COUNT) {
            read_figure(s, &row, i);
        } else if (i == MEMBER_WORD) {
            row.word = scan_text(s);
        } else if (i == MEMBER_DETAIL) {
            row.detail = scan_text(s);
        } else if (i == MEMBER_CHILDREN) {
            print_row(p, &row, depth);
            scan_expect(s, '[');
            while (scan_item(s)) {
                read_node(p, s, depth + 1);
            }
        } else if (depth == 0 && bytes_equal_text(key, "stats")) {
            read_stats(p, s);
        } else {
            scan_skip(s);
        }
    }
}

static void
print_stats(const struct plan_printer *p)
{
    struct report *r = p->report;
    report_field(r, "ms", "time in ms",
                 (struct report_value){.kind = VALUE_NUMBER, .number = p->ms});
    report_field(r, "resultSeries", "series in the result",
                 value_count((uint64_t)p->result_series));
    report_field(r, "peakSamples", "samples held at most", value_count((uint64_t)p->peak_samples));
    if (p->peak_bytes > 0) /* a server may hide it */
        report_field(r, "peakBytes", "memory at most", value_size((uint64_t)p->peak_bytes));
}

static enum err
print_plan(struct query_sink *sink, struct why *why)
{
    struct plan_printer *p = (struct plan_printer *)(void *)sink;
    if (buf_error(&p->data)) return why_set(why, ERR_NOMEM, "not enough memory for the plan");
    if (p->data.size == 0) return OK; /* another message reports the error */
    struct scan s = scan_of(buf_bytes(&p->data), &p->arena);
    enum err e = report_new(REPORT_TEXT, p->to, NULL, &p->report);
    if (e) return why_set(why, e, "not enough memory for the output");
    report_table(p->report, "plan", NULL,
                 p->ran ? "operator|series|blocks|samples|bytes|ms|memory"
                        : "operator|series|blocks|samples|bytes");
    read_node(p, &s, 0);
    scan_end(&s);
    report_table_end(p->report, 0);
    if (p->ran && s.bad == NULL) print_stats(p);
    e = report_end(p->report);
    if (s.bad != NULL)
        return why_set(why, ERR_UNSUPPORTED,
                       "the response is not a query plan: %s; is it a Firekeep that --url names?",
                       s.bad);
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
    arena_fini(&p->arena);
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
    arena_init(&p->arena, NULL, 0, 0);
    buf_init(&p->data, NULL, DATA_BYTES_MAX);
    *ret_sink = &p->sink;
    return OK;
}
