/*
 * chart.c - points arrive series by series and are not kept: each of the first ten series has a row
 * of bins, one for each stretch of time, with the least and the greatest value, the first and the
 * last, which is all that a chart of a few hundred columns can show. The range of times may not be
 * known before (`up[1h]`): for a point beyond the bins, their width doubles and pairs of bins
 * merge. So the memory does not depend on the number of points.
 *
 * Points are joined by lines unless they are further apart than `gap_ms`; NaN is not drawn.
 * Infinities are marks at the edge. The scale begins and ends at round numbers, as do its labels.
 */
#include "cli/query/chart.h"

#include <math.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text/time_text.h"
#include "cli/query/query_print.h"
#include "model/labels.h"

enum {
    SERIES_MAX = 10,
    BINS = 2048,
    WIDTH_MIN = 40,
    WIDTH_MAX = 1000,
    HEIGHT_MIN = 12,
    HEIGHT_MAX = 500,
    ROWS_MIN = 5,     /* height of the plot area */
    ROWS_A_LABEL = 3, /* approximately */
    TEXT_BYTES_MAX = 64 << 20,
    NAME_BYTES_MAX = 4096,
};

static const char marks[SERIES_MAX + 1] = "*+ox#@%&=~";

struct bin {
    bool any;    /* has a finite value */
    bool joined; /* a line joins it to the previous bin with a value */
    bool above;  /* has +Inf */
    bool below;
    double least, greatest;
    double first, last;
};

struct chart_series {
    struct bin *bins;
    struct buf name;
    double last; /* last value, which may be NaN */
};

struct chart {
    struct query_sink sink; /* first, so that both pointers convert */
    struct chart_options options;
    struct chart_series series[SERIES_MAX];
    uint32_t count;
    struct bin *spare;
    struct buf text;

    int64_t width_ms;       /* width of a bin */
    int64_t first_bin;      /* time of the first bin divided by width_ms */
    int64_t min_ms, max_ms; /* range to cover; min > max: no points so far */

    /* The current series. */
    struct buf name;
    bool drawn;
    bool has_value, has_histogram;
    int64_t before_ms; /* time of the previous point */
    bool is_before;    /* the previous point can be joined */

    uint64_t left_out;   /* series that are not drawn */
    uint64_t histograms; /* series with histograms */
    bool infinite;
};

static struct chart *
chart_of(struct query_sink *sink)
{
    return (struct chart *)(void *)sink;
}

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

/* --- bins ------------------------------------------------------------------------------------- */

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Merges the later bin `from` into `to`. */
static void
bin_add(struct bin *to, const struct bin *from)
{
    to->above |= from->above;
    to->below |= from->below;
    if (!from->any) return;
    if (!to->any) {
        bool above = to->above, below = to->below;
        *to = *from;
        to->above = above;
        to->below = below;
        return;
    }
    if (from->least < to->least) to->least = from->least;
    if (from->greatest > to->greatest) to->greatest = from->greatest;
    to->last = from->last;
}

/* Changes the bins to `width_ms`, from `first_bin` on. */
static void
rebin(struct chart *c, int64_t width_ms, int64_t first_bin)
{
    for (uint32_t s = 0; s < c->count; s++) {
        memset(c->spare, 0, BINS * sizeof *c->spare);
        for (int64_t i = 0; i < BINS; i++) {
            const struct bin *b = &c->series[s].bins[i];
            if (!b->any && !b->above && !b->below) continue;
            int64_t at = floor_div((c->first_bin + i) * c->width_ms, width_ms) - first_bin;
            bin_add(&c->spare[at], b);
        }
        struct bin *old = c->series[s].bins;
        c->series[s].bins = c->spare;
        c->spare = old;
    }
    c->width_ms = width_ms;
    c->first_bin = first_bin;
}

/* Makes the bins cover the time, which is so far from the ends of int64 that the product of a
 * bin's number and its width does not overflow. */
static void
cover(struct chart *c, int64_t t_ms)
{
    int64_t min_ms = c->min_ms > c->max_ms || t_ms < c->min_ms ? t_ms : c->min_ms;
    int64_t max_ms = c->min_ms > c->max_ms || t_ms > c->max_ms ? t_ms : c->max_ms;
    if (min_ms == c->min_ms && max_ms == c->max_ms) return;
    c->min_ms = min_ms;
    c->max_ms = max_ms;
    int64_t width_ms = c->width_ms;
    int64_t first = floor_div(min_ms, width_ms), last = floor_div(max_ms, width_ms);
    if (first >= c->first_bin && last - c->first_bin < BINS) return;
    while (last - first >= BINS) {
        width_ms *= 2;
        first = floor_div(min_ms, width_ms);
        last = floor_div(max_ms, width_ms);
    }
    rebin(c, width_ms, first);
}

static int64_t
clamp_time(int64_t t_ms)
{
    const int64_t most = INT64_C(1) << 60; /* 36 million years */
    return t_ms > most ? most : t_ms < -most ? -most : t_ms;
}

static void
add_point(struct chart *c, int64_t t_ms, double value)
{
    cover(c, t_ms);
    struct chart_series *s = &c->series[c->count - 1];
    struct bin *b = &s->bins[floor_div(t_ms, c->width_ms) - c->first_bin];
    bool joined = c->is_before && t_ms - c->before_ms <= c->options.gap_ms;
    c->before_ms = t_ms;
    c->is_before = isfinite(value);
    s->last = value;
    if (isnan(value)) return;
    struct bin one = {.any = isfinite(value),
                      .joined = joined,
                      .above = value == INFINITY,
                      .below = value == -INFINITY,
                      .least = value,
                      .greatest = value,
                      .first = value,
                      .last = value};
    c->infinite |= !one.any;
    bin_add(b, &one);
}

/* --- the sink --------------------------------------------------------------------------------- */

static enum err
chart_begin(struct query_sink *sink, enum promql_type type, struct why *why)
{
    struct chart *c = chart_of(sink);
    if (type != PROMQL_MATRIX) {
        return why_set(why, ERR_INPUT,
                       "a chart needs values at several times: use --start and --end instead of "
                       "--time, or another --format");
    }
    if (c->options.is_range) {
        cover(c, c->options.first_ms);
        cover(c, c->options.last_ms);
    }
    return OK;
}

static void
chart_end_series(struct chart *c)
{
    if (c->has_value && !c->drawn) c->left_out++;
    if (c->has_histogram) c->histograms++;
    c->drawn = c->has_value = c->has_histogram = c->is_before = false;
}

static enum err
chart_series_begin(struct query_sink *sink, struct bytes labels, struct why *why)
{
    struct chart *c = chart_of(sink);
    chart_end_series(c);
    buf_clear(&c->name);
    labels_print_selector(&c->name, labels);
    return buf_error(&c->name) ? why_set(why, ERR_NOMEM, "not enough memory for labels") : OK;
}

/* Only a series with finite or infinite values gets a mark. */
static enum err
draw_series(struct chart *c, struct why *why)
{
    struct chart_series *s = &c->series[c->count];
    size_t size = c->name.size < NAME_BYTES_MAX ? c->name.size : NAME_BYTES_MAX;
    s->bins = mem_new(NULL, BINS * sizeof *s->bins);
    buf_put(&s->name, c->name.at, size);
    c->count++;
    c->drawn = true;
    return s->bins == NULL || buf_error(&s->name)
               ? why_set(why, ERR_NOMEM, "not enough memory for the chart")
               : OK;
}

static enum err
chart_point(struct query_sink *sink, const struct query_point *point, struct why *why)
{
    struct chart *c = chart_of(sink);
    enum err e = OK;
    c->has_histogram |= point->histogram != NULL;
    if (point->histogram != NULL || (c->has_value && !c->drawn)) return OK;
    if (!c->has_value && c->count < SERIES_MAX) e = draw_series(c, why);
    c->has_value = true;
    if (e == OK && c->drawn) add_point(c, clamp_time(point->t_ms), point->value);
    return e;
}

static enum err
chart_string(struct query_sink *sink, int64_t t_ms, struct bytes text, struct why *why)
{
    (void)t_ms;
    (void)text;
    return chart_begin(sink, PROMQL_STRING, why);
}

/* --- scales ----------------------------------------------------------------------------------- */

/* From `low` to `high`, both multiples of `step`. Long: the distance between two doubles may
 * exceed DBL_MAX. */
struct chart_scale {
    long double low, high, step;
    uint32_t steps;
    const char *unit;
    long double unit_value;
    int digits; /* after the decimal point; -1: scientific notation */
};

/* Returns the smallest 1, 2 or 5 times a power of ten that is at least `least`. */
static long double
round_step(long double least)
{
    long double power = powl(10, floorl(log10l(least)));
    long double factor = least / power;
    return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

/* Chooses a common unit for all labels, and as many digits as distinguish them. */
static void
choose_unit(struct chart_scale *s)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    long double most = fmaxl(fabsl(s->low), fabsl(s->high));
    unsigned i = 0;
    s->unit_value = 1;
    while (i < 6 && most / s->unit_value >= (i == 0 ? 10000 : 1000)) {
        s->unit_value *= 1000;
        i++;
    }
    s->unit = units[i];
    int digits = (int)ceill(-log10l(s->step / s->unit_value) - 1e-9L);
    s->digits = digits < 0 ? 0 : digits;
    if (most / s->unit_value < 10000 && s->digits <= 6) return;
    s->unit = "";
    s->unit_value = 1;
    s->digits = -1;
}

static struct chart_scale
scale_of(double least, double greatest, uint32_t rows)
{
    long double low = least, high = greatest;
    if (low == high) { /* the line is drawn in the middle */
        long double around = low == 0 ? 1 : fabsl(low) / 2;
        low -= around;
        high += around;
    }
    long double wanted = rows / ROWS_A_LABEL;
    struct chart_scale s = {.step = round_step((high - low) / (wanted < 1 ? 1 : wanted))};
    /* Differences below the resolution of a double cannot be shown. */
    long double finest = fmaxl(fabsl(low), fabsl(high)) * 0x1p-52L;
    if (s.step < finest) s.step = round_step(finest);
    s.low = floorl(low / s.step + 1e-9L) * s.step;
    s.high = ceill(high / s.step - 1e-9L) * s.step;
    s.steps = (uint32_t)(roundl((s.high - s.low) / s.step));
    choose_unit(&s);
    return s;
}

static void
print_scale(const struct chart_scale *s, uint32_t i, char *to, size_t size)
{
    long double value = s->low + i * s->step;
    if (fabsl(value) < s->step / 2) value = 0; /* an error of rounding */
    if (s->digits >= 0) {
        snprintf(to, size, "%.*Lf%s", s->digits, value / s->unit_value, value == 0 ? "" : s->unit);
        return;
    }
    int digits = value == 0 ? 0 : (int)(floorl(log10l(fabsl(value))) - floorl(log10l(s->step)));
    if (digits < 0) digits = 0;
    snprintf(to, size, "%.*Le", digits > 15 ? 15 : digits, value);
}

/* --- the plot area ---------------------------------------------------------------------------- */

struct chart_field {
    char *cells;
    uint32_t width, height;
    int64_t first_ms, last_ms;
    struct chart_scale scale;
};

static void
put_cell(struct chart_field *f, uint32_t x, uint32_t y, char mark)
{
    f->cells[(size_t)y * f->width + x] = mark;
}

static uint32_t
row_of(const struct chart_field *f, double value)
{
    long double from_top = (f->scale.high - value) / (f->scale.high - f->scale.low);
    long double row = roundl(from_top * (f->height - 1));
    return row < 0 ? 0 : row > f->height - 1 ? f->height - 1 : (uint32_t)row;
}

static uint32_t
column_of(const struct chart_field *f, int64_t t_ms)
{
    if (t_ms <= f->first_ms) return 0;
    if (t_ms >= f->last_ms) return f->width - 1;
    double share = (double)(t_ms - f->first_ms) / (double)(f->last_ms - f->first_ms);
    return (uint32_t)lround(share * (f->width - 1));
}

/* Draws from one cell to another, both included. */
static void
draw_line(struct chart_field *f, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1, char mark)
{
    int dx = (int)x1 - (int)x0, dy = (int)y1 - (int)y0;
    int steps = abs(dx) > abs(dy) ? abs(dx) : abs(dy);
    for (int i = 0; i <= steps; i++) {
        int x = steps == 0 ? 0 : (int)lround((double)dx * i / steps);
        int y = steps == 0 ? 0 : (int)lround((double)dy * i / steps);
        put_cell(f, (uint32_t)((int)x0 + x), (uint32_t)((int)y0 + y), mark);
    }
}

static void
draw(const struct chart *c, struct chart_field *f, uint32_t which)
{
    const struct chart_series *s = &c->series[which];
    uint32_t last_x = 0, last_y = 0;
    bool before = false;
    for (int64_t i = 0; i < BINS; i++) {
        const struct bin *b = &s->bins[i];
        uint32_t x = column_of(f, (c->first_bin + i) * c->width_ms + c->width_ms / 2);
        if (b->above) put_cell(f, x, 0, '^');
        if (b->below) put_cell(f, x, f->height - 1, 'v');
        if (!b->any) continue;
        if (before && b->joined) draw_line(f, last_x, last_y, x, row_of(f, b->first), marks[which]);
        draw_line(f, x, row_of(f, b->greatest), x, row_of(f, b->least), marks[which]);
        before = true;
        last_x = x;
        last_y = row_of(f, b->last);
    }
}

static bool
find_extremes(const struct chart *c, double *ret_least, double *ret_greatest)
{
    bool any = false;
    for (uint32_t s = 0; s < c->count; s++) {
        for (uint32_t i = 0; i < BINS; i++) {
            const struct bin *b = &c->series[s].bins[i];
            if (!b->any) continue;
            if (!any || b->least < *ret_least) *ret_least = b->least;
            if (!any || b->greatest > *ret_greatest) *ret_greatest = b->greatest;
            any = true;
        }
    }
    return any;
}

/* --- times ------------------------------------------------------------------------------------ */

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

enum { TIME_SIZE = 24 }; /* "2023-11-14T22:13:20.000Z": years have four digits */

/* The part of a timestamp that is a label. */
struct time_form {
    uint32_t from, size;
};

static struct time_form
time_form_of(int64_t step_ms, int64_t span_ms)
{
    if (step_ms >= DAY_MS) return (struct time_form){0, 10}; /* the day */
    if (span_ms > DAY_MS && step_ms >= MINUTE_MS)
        return (struct time_form){5, 11}; /* the day and the minute */
    if (step_ms >= MINUTE_MS) return (struct time_form){11, 5};
    return step_ms >= SECOND_MS ? (struct time_form){11, 8} : (struct time_form){11, 12};
}

/* Returns the smallest round step whose labels have room. */
static int64_t
time_step(int64_t span_ms, uint32_t width)
{
    static const int64_t steps[] = {1,
                                    2,
                                    5,
                                    10,
                                    20,
                                    50,
                                    100,
                                    200,
                                    500,
                                    SECOND_MS,
                                    2 * SECOND_MS,
                                    5 * SECOND_MS,
                                    10 * SECOND_MS,
                                    15 * SECOND_MS,
                                    30 * SECOND_MS,
                                    MINUTE_MS,
                                    2 * MINUTE_MS,
                                    5 * MINUTE_MS,
                                    10 * MINUTE_MS,
                                    15 * MINUTE_MS,
                                    30 * MINUTE_MS,
                                    HOUR_MS,
                                    2 * HOUR_MS,
                                    3 * HOUR_MS,
                                    6 * HOUR_MS,
                                    12 * HOUR_MS,
                                    DAY_MS,
                                    2 * DAY_MS,
                                    5 * DAY_MS,
                                    10 * DAY_MS,
                                    30 * DAY_MS,
                                    90 * DAY_MS,
                                    180 * DAY_MS,
                                    365 * DAY_MS};
    int64_t step = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps || step < span_ms; i++) {
        step = i < sizeof steps / sizeof *steps ? steps[i] : step * 2;
        uint32_t size = time_form_of(step, span_ms).size + 3;
        if ((double)step / (double)span_ms * (width - 1) >= size) return step;
    }
    return step;
}

static void
chart_put_times(struct chart *c, const struct chart_field *f, uint32_t margin)
{
    struct buf *to = &c->text;
    int64_t span_ms = f->last_ms - f->first_ms;
    int64_t step_ms = time_step(span_ms < 1 ? 1 : span_ms, f->width);
    struct time_form form = time_form_of(step_ms, span_ms);
    char axis[WIDTH_MAX + 1], labels[WIDTH_MAX + 32];
    memset(axis, '-', f->width);
    memset(labels, ' ', sizeof labels);
    uint32_t size = 0;
    int64_t t_ms = -floor_div(-f->first_ms, step_ms) * step_ms;
    for (; t_ms <= f->last_ms; t_ms += step_ms) {
        char text[TIME_TEXT_BYTES];
        uint32_t x = column_of(f, t_ms), from = x < form.size / 2 ? 0 : x - form.size / 2;
        bool known = strlen(time_print(t_ms, text)) == TIME_SIZE;
        axis[x] = '+';
        if (from + form.size > f->width) from = f->width - form.size;
        if (!known || (size > 0 && from < size + 2)) continue;
        memcpy(labels + from, text + form.from, form.size);
        for (uint32_t i = from; i < from + form.size; i++) {
            if (labels[i] == 'T') labels[i] = ' ';
        }
        size = from + form.size;
    }
    buf_printf(to, "%*s+%.*s\n", (int)margin, "", (int)f->width, axis);
    buf_printf(to, "%*s %.*s\n", (int)margin, "", (int)size, labels);
}

/* --- the page --------------------------------------------------------------------------------- */

/* Appends at most `width` characters. */
static void
put_cut(struct buf *to, struct bytes text, uint32_t width)
{
    uint32_t shown = 0, all = 0;
    size_t at = 0, cut = 0;
    for (; at < text.size; at++) {
        if ((text.at[at] & 0xc0) == 0x80) continue;
        if (all++ == width - 3) cut = at;
    }
    shown = all > width;
    buf_put(to, text.at, shown ? cut : text.size);
    if (shown) buf_put_text(to, "...");
}

static void
put_legend(struct chart *c, uint32_t lines, uint32_t width)
{
    for (uint32_t i = 0; i < lines; i++) {
        buf_printf(&c->text, "%c ", marks[i]);
        put_cut(&c->text, buf_bytes(&c->series[i].name), width - 2);
        buf_put_u8(&c->text, '\n');
    }
}

/* Reports series that are not shown, and the meaning of marks at the edges, on stderr, so that
 * stdout has only the chart. */
static void
report_rest(const struct chart *c, uint32_t legend)
{
    uint64_t unnamed = c->count - legend;
    if (c->left_out > 0 || unnamed > 0) {
        fprintf(stderr, "%llu more series are not shown; use topk() or narrower matchers\n",
                (unsigned long long)(c->left_out + unnamed));
    }
    if (c->histograms > 0) {
        fprintf(stderr,
                "%llu series have native histograms, which a chart does not show; use "
                "histogram_quantile() or --format=table\n",
                (unsigned long long)c->histograms);
    }
    if (c->infinite) fprintf(stderr, "^ and v at the edges are +Inf and -Inf\n");
}

static void
chart_put_field(struct chart *c, const struct chart_field *f, uint32_t margin)
{
    for (uint32_t y = 0; y < f->height; y++) {
        char label[48] = "";
        for (uint32_t i = 0; i <= f->scale.steps && label[0] == '\0'; i++) {
            double value = (double)(f->scale.low + i * f->scale.step);
            if (row_of(f, value) == y) print_scale(&f->scale, i, label, sizeof label);
        }
        const char *cells = f->cells + (size_t)y * f->width;
        uint32_t size = f->width;
        while (size > 0 && cells[size - 1] == ' ') {
            size--;
        }
        buf_printf(&c->text, "%*s%c%.*s\n", (int)margin, label, label[0] == '\0' ? '|' : '+',
                   (int)size, cells);
    }
}

/* Omits the fraction of whole seconds. */
static void
put_moment(struct buf *to, int64_t t_ms)
{
    char text[TIME_TEXT_BYTES];
    size_t size = strlen(time_print(t_ms, text));
    if (size == TIME_SIZE && t_ms % 1000 == 0)
        buf_printf(to, "%.19sZ", text);
    else
        buf_put(to, text, size);
}

static void
put_span(struct chart *c, const struct chart_field *f, uint32_t width)
{
    struct buf line;
    buf_init(&line, NULL, NAME_BYTES_MAX);
    put_moment(&line, f->first_ms);
    buf_put_text(&line, " to ");
    put_moment(&line, f->last_ms);
    if (c->options.step_ms > 0) {
        buf_printf(&line, ", step %.12gs", (double)c->options.step_ms / 1000);
    }
    put_cut(&c->text, buf_bytes(&line), width);
    buf_put_u8(&c->text, '\n');
    buf_fini(&line);
}

static enum err
print_chart(struct chart *c, uint32_t legend, uint32_t width, uint32_t height, struct why *why)
{
    double least = 0, greatest = 1;
    struct chart_field f = {.height = height - legend - 3};
    f.first_ms = c->options.is_range ? c->options.first_ms : c->min_ms;
    f.last_ms = c->options.is_range ? c->options.last_ms : c->max_ms;
    (void)find_extremes(c, &least, &greatest);
    f.scale = scale_of(least, greatest, f.height);
    uint32_t margin = 0;
    for (uint32_t i = 0; i <= f.scale.steps; i++) {
        char label[48];
        print_scale(&f.scale, i, label, sizeof label);
        uint32_t size = (uint32_t)strlen(label);
        if (size > margin) margin = size;
    }
    f.width = width - margin - 1;
    size_t size = (size_t)f.width * f.height;
    f.cells = mem_alloc(NULL, size);
    if (f.cells == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the chart");
    memset(f.cells, ' ', size);
    for (uint32_t i = c->count;
         i-- > 0;) { /* backwards: the first series is drawn over the others */
        draw(c, &f, i);
    }
    chart_put_field(c, &f, margin);
    chart_put_times(c, &f, margin);
    put_span(c, &f, width);
    put_legend(c, legend, width);
    mem_free(NULL, f.cells, size);
    return query_print_out(&c->text, c->options.to, why);
}

static enum err
chart_end(struct query_sink *sink, struct why *why)
{
    struct chart *c = chart_of(sink);
    uint32_t width = c->options.width,
             height = c->options.height - 1; /* a line is left for the prompt */
    enum err e = OK;
    chart_end_series(c);
    if (width < WIDTH_MIN) width = WIDTH_MIN;
    if (width > WIDTH_MAX) width = WIDTH_MAX;
    if (c->options.height <= HEIGHT_MIN) height = HEIGHT_MIN;
    if (height > HEIGHT_MAX) height = HEIGHT_MAX;
    uint32_t legend = height - 3 - ROWS_MIN;
    if (legend > c->count) legend = c->count;
    if (c->count > 0)
        e = print_chart(c, legend, width, height, why);
    else if (c->histograms == 0)
        query_print_empty();
    if (e) return e;
    fflush(c->options.to);
    report_rest(c, legend);
    return OK;
}

static void
chart_free(struct query_sink *sink)
{
    struct chart *c = chart_of(sink);
    for (uint32_t i = 0; i < SERIES_MAX; i++) {
        mem_free(NULL, c->series[i].bins, BINS * sizeof(struct bin));
        buf_fini(&c->series[i].name);
    }
    mem_free(NULL, c->spare, BINS * sizeof(struct bin));
    buf_fini(&c->name);
    buf_fini(&c->text);
    mem_free(NULL, c, sizeof *c);
}

enum err
chart_new(const struct chart_options *options, struct query_sink **ret_sink, struct why *why)
{
    static const struct query_sink_ops ops = {.begin = chart_begin,
                                              .series = chart_series_begin,
                                              .point = chart_point,
                                              .string = chart_string,
                                              .note = query_note_print,
                                              .end = chart_end,
                                              .free = chart_free};
    struct chart *c = mem_new(NULL, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    c->sink.ops = &ops;
    c->options = *options;
    c->options.first_ms = clamp_time(options->first_ms);
    c->options.last_ms = clamp_time(options->last_ms);
    c->width_ms = 1;
    c->min_ms = 1; /* and max_ms is 0: no points so far */
    buf_init(&c->name, NULL, TEXT_BYTES_MAX);
    buf_init(&c->text, NULL, TEXT_BYTES_MAX);
    for (uint32_t i = 0; i < SERIES_MAX; i++) {
        buf_init(&c->series[i].name, NULL, NAME_BYTES_MAX);
    }
    c->spare = mem_new(NULL, BINS * sizeof(struct bin));
    if (c->spare == NULL) {
        chart_free(&c->sink);
        return why_set(why, ERR_NOMEM, "not enough memory for the chart");
    }
    *ret_sink = &c->sink;
    return OK;
}
