/*
 * chart.c - each of the first ten series has the min and max of each column, which
 * is all that a chart can show, so memory does not depend on the number of points. Points are
 * joined unless they are further apart than `gap_ms`; NaN and infinities are not drawn.
 */

#include <math.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text/time_text.h"
#include "cli/query/query_print.h"
#include "model/labels.h"

enum {
    SERIES_MAX = 10,
    WIDTH_MIN = 60,
    WIDTH_MAX = 1000,
    HEIGHT_MIN = 12,
    HEIGHT_MAX = 500,
    ROWS_MIN = 5, /* height of the plot area */
    ROWS_A_LABEL = 3,
    MARGIN = 11, /* for a label of the scale: -1.798e+308 */
    CHART_TEXT_BYTES_MAX = 64 << 20,
    NAME_BYTES_MAX = 4 * WIDTH_MAX,
};

static const char marks[SERIES_MAX + 1] = "*+ox#@%&=~";

struct chart_column {
    bool any;    /* has a finite value */
    bool joined; /* a line joins it to the previous column with a value */
    double min, max, last;
};

struct chart {
    struct query_sink sink; /* first, so that both pointers convert */
    struct chart_options options;
    uint32_t width, height; /* of the plot area */
    struct chart_column columns[SERIES_MAX][WIDTH_MAX];
    char names[SERIES_MAX][NAME_BYTES_MAX + 4];
    char cells[HEIGHT_MAX][WIDTH_MAX];
    uint32_t count;
    struct buf text;   /* name of the current series; the picture */
    bool has_value;    /* the current series has a float */
    int64_t before_ms; /* its previous point that can be joined, or INT64_MIN */
    double min, max;
    bool histograms;
};

void
chart_room(uint32_t *ret_width, uint32_t *ret_height)
{
    struct winsize size = {0};
    const char *columns = getenv("COLUMNS"), *lines = getenv("LINES");
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    long width = columns == NULL ? 0 : strtol(columns, NULL, 10);
    long height = lines == NULL ? 0 : strtol(lines, NULL, 10);
    *ret_width = width > 0 && width <= WIDTH_MAX ? (uint32_t)width
                 : known && size.ws_col > 0      ? size.ws_col
                                                 : 80;
    *ret_height = height > 0 && height <= HEIGHT_MAX ? (uint32_t)height
                  : known && size.ws_row > 0         ? size.ws_row
                                                     : 24;
}

static uint32_t
limited(uint32_t number, uint32_t min, uint32_t max)
{
    return number < min ? min : number > max ? max : number;
}

/* --- points ----------------------------------------------------------------------------------- */

static enum err
chart_begin(struct query_sink *sink, enum promql_type type, struct why *why)
{
    const struct chart *c = (struct chart *)(void *)sink;
    if (type == PROMQL_MATRIX && c->options.is_range) return OK;
    return why_set(
        why, ERR_INPUT,
        "a chart needs values at several times: use --start and --end instead of --time, "
        "or another --format");
}

static enum err
chart_series(struct query_sink *sink, struct bytes labels, struct why *why)
{
    struct chart *c = (struct chart *)(void *)sink;
    c->has_value = false;
    c->before_ms = INT64_MIN;
    buf_clear(&c->text);
    labels_print_selector(&c->text, labels);
    return buf_error(&c->text) ? why_set(why, ERR_NOMEM, "not enough memory for labels") : OK;
}

static enum err
chart_point(struct query_sink *sink, const struct query_point *p, struct why *why)
{
    (void)why;
    struct chart *c = (struct chart *)(void *)sink;
    const struct chart_options *o = &c->options;
    c->histograms |= p->histogram != NULL;
    if (p->histogram != NULL) return OK;
    if (!c->has_value && c->count < SERIES_MAX) {
        /* Keeps at most as many characters of a name as a line has room for. */
        struct bytes text = buf_bytes(&c->text);
        size_t size = 0;
        for (uint32_t shown = 0; size < text.size; size++)
            if ((text.at[size] & 0xc0) != 0x80 && ++shown > c->width + MARGIN - 4) break;
        snprintf(c->names[c->count], sizeof c->names[0], "%.*s%s", (int)size, (const char *)text.at,
                 size < text.size ? "..." : "");
    }
    if (!c->has_value) c->count++;
    c->has_value = true;
    if (c->count > SERIES_MAX || p->t_ms < o->first_ms || p->t_ms > o->last_ms) return OK;
    double range = (double)o->last_ms - (double)o->first_ms;
    double share = range == 0 ? 0 : ((double)p->t_ms - (double)o->first_ms) / range;
    struct chart_column *x = &c->columns[c->count - 1][lround(share * (c->width - 1))];
    bool joined = c->before_ms != INT64_MIN && p->t_ms - c->before_ms <= o->gap_ms;
    c->before_ms = isfinite(p->value) ? p->t_ms : INT64_MIN;
    if (!isfinite(p->value)) return OK;
    if (!x->any) *x = (struct chart_column){true, joined, p->value, p->value, p->value};
    x->min = fmin(x->min, p->value);
    x->max = fmax(x->max, p->value);
    x->last = p->value;
    c->min = fmin(c->min, p->value);
    c->max = fmax(c->max, p->value);
    return OK;
}

/* --- the picture ------------------------------------------------------------------------------ */

/* The row of a value, from the top; half of the range first, which may exceed DBL_MAX. */
static uint32_t
row_of(const struct chart *c, double value)
{
    double share = (c->max / 2 - value / 2) / (c->max / 2 - c->min / 2);
    return (uint32_t)lround(fmax(0, fmin(1, share)) * (c->height - 1));
}

/* A value is drawn as far as the next one that it is joined with, and there a line up or down. */
static void
draw_series(struct chart *c, uint32_t which)
{
    const struct chart_column *columns = c->columns[which], *before = NULL;
    for (uint32_t x = 0; x < c->width; x++) {
        struct chart_column now = columns[x];
        if (!now.any) continue;
        bool joined = before != NULL && now.joined;
        for (uint32_t i = joined ? (uint32_t)(before - columns) + 1 : x; i < x; i++)
            c->cells[row_of(c, before->last)][i] = marks[which];
        if (joined) now.min = fmin(now.min, before->last);
        if (joined) now.max = fmax(now.max, before->last);
        for (uint32_t y = row_of(c, now.max); y <= row_of(c, now.min); y++)
            c->cells[y][x] = marks[which];
        before = &columns[x];
    }
}

static void
put_line(struct chart *c, const char *label, char edge, const char *cells, uint32_t size)
{
    while (size > 0 && cells[size - 1] == ' ')
        size--;
    buf_printf(&c->text, "%*s%c%.*s\n", MARGIN, label, edge, (int)size, cells);
}

static void
put_picture(struct chart *c, uint32_t legend)
{
    char first[TIME_TEXT_BYTES], last[TIME_TEXT_BYTES], axis[WIDTH_MAX];
    if (isinf(c->min)) c->min = 0, c->max = 1; /* no value */
    if (c->min == c->max) {                    /* the line is drawn in the middle */
        double around = c->min == 0 ? 1 : fabs(c->min) / 2;
        c->min -= around;
        c->max += around;
    }
    memset(c->cells, ' ', sizeof c->cells);
    buf_clear(&c->text);
    for (uint32_t i = legend; i-- > 0;) /* the first series is drawn over the others */
        draw_series(c, i);
    for (uint32_t y = 0; y < c->height; y++) {
        char label[32] = "";
        double share = (double)y / (c->height - 1);
        bool has_label = y % ROWS_A_LABEL == 0 || y == c->height - 1;
        if (has_label) snprintf(label, sizeof label, "%.4g", c->max * (1 - share) + c->min * share);
        put_line(c, label, has_label ? '+' : '|', c->cells[y], c->width);
    }
    memset(axis, '-', c->width);
    put_line(c, "", '+', axis, c->width);
    buf_printf(&c->text, "%.28s to %.28s\n", time_print(c->options.first_ms, first),
               time_print(c->options.last_ms, last));
    for (uint32_t i = 0; i < legend; i++)
        buf_printf(&c->text, "%c %s\n", marks[i], c->names[i]);
}

static enum err
chart_end(struct query_sink *sink, struct why *why)
{
    struct chart *c = (struct chart *)(void *)sink;
    /* A line is left for the prompt. */
    uint32_t height = limited(c->options.height - 1, HEIGHT_MIN, HEIGHT_MAX);
    uint32_t legend = limited(c->count, 0, SERIES_MAX);
    if (legend > height - 2 - ROWS_MIN) legend = height - 2 - ROWS_MIN;
    c->height = height - legend - 2;
    if (c->count == 0 && !c->histograms) query_print_empty();
    if (c->count > 0) {
        put_picture(c, legend);
        enum err e = query_print_out(&c->text, c->options.to, why);
        if (e) return e;
    }
    fflush(c->options.to);
    if (c->count > legend)
        fprintf(stderr, "%u more series are not shown; use topk() or narrower matchers\n",
                c->count - legend);
    if (c->histograms)
        fprintf(stderr, "native histograms are not shown; use histogram_quantile() or "
                        "--format=table\n");
    return OK;
}

static void
chart_free(struct query_sink *sink)
{
    struct chart *c = (struct chart *)(void *)sink;
    buf_fini(&c->text);
    mem_free(NULL, c, sizeof *c);
}

enum err
chart_new(const struct chart_options *options, struct query_sink **ret_sink, struct why *why)
{
    static const struct query_sink_ops ops = {.begin = chart_begin,
                                              .series = chart_series,
                                              .point = chart_point,
                                              .note = query_note_print,
                                              .end = chart_end,
                                              .free = chart_free};
    struct chart *c = mem_new(NULL, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the chart");
    c->sink.ops = &ops;
    c->options = *options;
    c->width = limited(options->width, WIDTH_MIN, WIDTH_MAX) - MARGIN - 1;
    c->min = INFINITY;
    c->max = -INFINITY;
    buf_init(&c->text, NULL, CHART_TEXT_BYTES_MAX);
    *ret_sink = &c->sink;
    return OK;
}
