/*
 * query_print.c - writes results as they arrive. A table of one time has an aligned row for each
 * series, in which long native histograms are cut; with many times, each series is a line, followed
 * by lines for its points. Rows of CSV are those of `export`, and also have histograms as texts,
 * which `import` does not read.
 */
#include "cli/query/query_print.h"

#include <math.h>

#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "cli/lib/report.h"
#include "model/labels.h"
#include "wire/json/json_tree.h"
#include "wire/number.h"
#include "wire/text/text_format.h"

/*
 * A plan arrives as JSON, from a server or from the engine in this process, and is
 * printed as rows: the inputs of an operator follow below it, indented.
 */

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
    for (uint32_t i = 0; i < depth && i < INDENTS_MAX; i++)
        buf_put_text(&text, "  ");
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
    for (size_t i = 0; i < json_array_size(children); i++)
        print_node(p, json_array_get(children, i), depth + 1);
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
    enum err e = report_new(REPORT_TEXT, p->to, NULL, &p->report, why);
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
        e = report_end(p->report, why);
    }
    json_decref(root);
    return e == OK && ferror(p->to) ? ERR_IO : e;
}

static enum err
take_data(struct query_sink *sink, struct bytes piece, struct why *why)
{
    struct plan_printer *p = (struct plan_printer *)(void *)sink;
    buf_put_bytes(&p->data, piece);
    return buf_error(&p->data) ? why_set(why, ERR_NOMEM, "not enough memory for the plan") : OK;
}

static void
plan_printer_free(struct query_sink *sink)
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
        .data = take_data, .note = query_note_print, .end = print_plan, .free = plan_printer_free};
    struct plan_printer *p = mem_new(NULL, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    p->sink.ops = &ops;
    p->to = to;
    p->ran = ran;
    buf_init(&p->data, NULL, DATA_BYTES_MAX);
    *ret_sink = &p->sink;
    return OK;
}

enum { TEXT_BYTES = 64 * 1024, TEXT_BYTES_MAX = 256 << 20, CELL_BYTES_MAX = 64 };

struct printer {
    struct query_sink sink; /* first, so that both pointers convert */
    FILE *to;
    enum query_form form;
    enum promql_type type;
    struct buf text;
    struct report *report; /* for a table of one time, or a string */
    struct buf series;     /* a table's, as a selector */
    struct buf value;
    bool begun;
    bool any;                   /* a series, a string, or JSON arrived */
    struct text_writer *writer; /* writes CSV; unused for other formats */
};

static struct printer *
printer_of(struct query_sink *sink)
{
    return (struct printer *)(void *)sink;
}

enum err
query_print_out(struct buf *text, FILE *to, struct why *why)
{
    enum err e = buf_error(text);
    if (e) return why_set(why, e, "not enough memory for the output");
    bool written = text->size == 0 || fwrite(text->at, 1, text->size, to) == text->size;
    buf_clear(text);
    return written ? OK : ERR_IO;
}

static enum err
write_if_large(struct printer *p, struct why *why)
{
    return p->text.size < TEXT_BYTES ? OK : query_print_out(&p->text, p->to, why);
}

void
query_note_print(struct query_sink *sink, enum promql_note kind, struct bytes sentence)
{
    static const char own[] = "PromQL "; /* followed by "warning" or "info", and a colon */
    bool named = sentence.size > sizeof own && memcmp(sentence.at, own, sizeof own - 1) == 0;
    struct buf text;
    (void)sink;
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    if (!named) buf_put_text(&text, kind == PROMQL_WARNING ? "warning: " : "info: ");
    buf_put_shown(&text, sentence);
    fflush(stdout);
    fprintf(stderr, "%.*s\n", (int)text.size, (const char *)text.at);
    buf_fini(&text);
}

void
query_print_empty(void)
{
    fprintf(stderr, "the result is empty\n");
}

/* --- histograms ------------------------------------------------------------------------------- */

static void
print_number(struct buf *to, double value)
{
    char text[NUMBER_TEXT_BYTES];
    buf_put(to, text, number_print_sentence(double_bits(value), text));
}

/* Writes it as Prometheus does, {count:3, sum:4, (1,2]:3}. */
static struct bytes
histogram_text(struct printer *p, const struct query_histogram *h)
{
    struct buf *to = &p->value;
    buf_clear(to);
    buf_put_text(to, "{count:");
    print_number(to, h->count);
    buf_put_text(to, ", sum:");
    print_number(to, h->sum);
    for (uint32_t i = 0; i < h->bucket_count; i++) {
        const struct fhist_bucket *b = &h->buckets[i];
        buf_put_text(to, b->has_lower ? ", [" : ", (");
        print_number(to, b->lower);
        buf_put_u8(to, ',');
        print_number(to, b->upper);
        buf_put_text(to, b->has_upper ? "]:" : "):");
        print_number(to, b->count);
    }
    buf_put_u8(to, '}');
    return buf_bytes(to);
}

/* Cuts it to the buckets for which a column has room: CSV and JSON have all of them. */
static struct bytes
histogram_cell(struct printer *p, const struct query_histogram *h)
{
    static const char rest[] = "...}";
    struct bytes text = histogram_text(p, h);
    if (text.size <= CELL_BYTES_MAX) return text;
    size_t size = CELL_BYTES_MAX - strlen(rest);
    while (text.at[size - 1] != ' ') /* a blank precedes "sum" */
        size--;
    p->value.size = size;
    buf_put_text(&p->value, rest);
    return buf_bytes(&p->value);
}

/* --- a table ---------------------------------------------------------------------------------- */

static enum err
table_begin(struct query_sink *sink, enum promql_type type, struct why *why)
{
    struct printer *p = printer_of(sink);
    p->type = type;
    p->begun = true;
    if (type == PROMQL_MATRIX) return OK;
    enum err e = report_new(REPORT_TEXT, p->to, NULL, &p->report, why);
    if (e) return e;
    report_table(p->report, "result", NULL,
                 type == PROMQL_VECTOR ? "series|value|time" : "value|time");
    return OK;
}

static enum err
table_series(struct query_sink *sink, struct bytes labels, struct why *why)
{
    struct printer *p = printer_of(sink);
    p->any = true;
    buf_clear(&p->series);
    labels_print_selector(&p->series, labels);
    if (buf_error(&p->series)) return why_set(why, ERR_NOMEM, "not enough memory for labels");
    if (p->type != PROMQL_MATRIX) return OK;
    buf_put_bytes(&p->text, buf_bytes(&p->series));
    buf_put_u8(&p->text, '\n');
    return OK;
}

static enum err
table_point(struct query_sink *sink, const struct query_point *point, struct why *why)
{
    struct printer *p = printer_of(sink);
    struct report_value time = value_time(point->t_ms), value = value_float(point->value);
    if (p->type == PROMQL_MATRIX) {
        char text[TIME_TEXT_BYTES];
        buf_printf(&p->text, "  %s  ", time_print(point->t_ms, text));
        if (point->histogram != NULL)
            buf_put_bytes(&p->text, histogram_text(p, point->histogram));
        else
            buf_put(&p->text, text, number_print(double_bits(point->value), text));
        buf_put_u8(&p->text, '\n');
        return write_if_large(p, why);
    }
    if (point->histogram != NULL) value = value_view(histogram_cell(p, point->histogram));
    if (p->type == PROMQL_SCALAR)
        report_row(p->report, value, time);
    else
        report_row(p->report, value_view(buf_bytes(&p->series)), value, time);
    return ferror(p->to) ? ERR_IO : OK;
}

static enum err
table_string(struct query_sink *sink, int64_t t_ms, struct bytes text, struct why *why)
{
    (void)why;
    printer_of(sink)->any = true;
    report_row(printer_of(sink)->report, value_view(text), value_time(t_ms));
    return OK;
}

static enum err
table_end(struct query_sink *sink, struct why *why)
{
    struct printer *p = printer_of(sink);
    if (p->begun && !p->any) query_print_empty();
    if (p->report == NULL) return query_print_out(&p->text, p->to, why);
    report_table_end(p->report, 0);
    enum err e = report_end(p->report, why);
    return e == OK && ferror(p->to) ? ERR_IO : e;
}

/* --- CSV -------------------------------------------------------------------------------------- */

static enum err
csv_begin(struct query_sink *sink, enum promql_type type, struct why *why)
{
    struct printer *p = printer_of(sink);
    (void)type;
    (void)why;
    text_writer_begin(p->writer, &p->text);
    return OK;
}

static enum err
csv_series(struct query_sink *sink, struct bytes labels, struct why *why)
{
    enum err e = text_writer_series(printer_of(sink)->writer, labels);
    return e ? why_set(why, e, "not enough memory for labels") : OK;
}

static enum err
csv_point(struct query_sink *sink, const struct query_point *point, struct why *why)
{
    struct printer *p = printer_of(sink);
    if (point->histogram != NULL) {
        text_writer_text(p->writer, point->t_ms, histogram_text(p, point->histogram), &p->text);
    } else { /* the API has only one NaN */
        uint64_t bits = isnan(point->value) ? NORMAL_NAN_BITS : double_bits(point->value);
        text_writer_floats(p->writer, 1, &point->t_ms, &bits, &p->text);
    }
    return write_if_large(p, why);
}

static enum err
csv_string(struct query_sink *sink, int64_t t_ms, struct bytes text, struct why *why)
{
    struct printer *p = printer_of(sink);
    enum err e = csv_series(sink, bytes_of("", 0), why);
    if (e == OK) text_writer_text(p->writer, t_ms, text, &p->text);
    return e;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static enum err
json_data(struct query_sink *sink, struct bytes piece, struct why *why)
{
    struct printer *p = printer_of(sink);
    p->any = true;
    buf_put_bytes(&p->text, piece);
    return write_if_large(p, why);
}

/* Also ends CSV. */
static enum err
json_end(struct query_sink *sink, struct why *why)
{
    struct printer *p = printer_of(sink);
    if (p->form == QUERY_JSON && p->any) buf_put_u8(&p->text, '\n');
    return query_print_out(&p->text, p->to, why);
}

/* --- printers --------------------------------------------------------------------------------- */

static void
printer_free(struct query_sink *sink)
{
    struct printer *p = printer_of(sink);
    report_free(p->report);
    text_writer_free(p->writer);
    buf_fini(&p->text);
    buf_fini(&p->series);
    buf_fini(&p->value);
    mem_free(NULL, p, sizeof *p);
}

enum err
query_printer_new(enum query_form form, FILE *to, struct query_sink **ret_sink, struct why *why)
{
    static const struct query_sink_ops ops[] = {
        [QUERY_TABLE] = {.begin = table_begin,
                         .series = table_series,
                         .point = table_point,
                         .string = table_string,
                         .note = query_note_print,
                         .end = table_end,
                         .free = printer_free},
        [QUERY_CSV] = {.begin = csv_begin,
                       .series = csv_series,
                       .point = csv_point,
                       .string = csv_string,
                       .note = query_note_print,
                       .end = json_end,
                       .free = printer_free},
        [QUERY_JSON] = {.data = json_data,
                        .note = query_note_print,
                        .end = json_end,
                        .free = printer_free},
    };
    struct printer *p = mem_new(NULL, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    p->sink.ops = &ops[form];
    p->form = form;
    p->to = to;
    buf_init(&p->text, NULL, TEXT_BYTES_MAX);
    buf_init(&p->series, NULL, TEXT_BYTES_MAX);
    buf_init(&p->value, NULL, TEXT_BYTES_MAX);
    if (form == QUERY_CSV && text_writer_new(TEXT_CSV, NULL, &p->writer)) {
        printer_free(&p->sink);
        return why_set(why, ERR_NOMEM, "not enough memory");
    }
    *ret_sink = &p->sink;
    return OK;
}
