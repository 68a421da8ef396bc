/*
 * bins.c - the function samples_agg(STEP): a row for each series and bin of STEP that has a sample.
 *
 * Bins begin at multiples of STEP. Counts and extremes come from the statistics of blocks where a
 * bin has all of a block, and so do the first, the last and the increase of samples that never
 * decrease; sums are always added up from samples, in the order of time. NaN is left out, as it is
 * NULL in `samples`: the row is that of GROUP BY series, bin(time, STEP) there.
 */
#include "sql/tables/tables.h"

#include "base/text/time_text.h"

enum bin_column {
    BIN_TIME,
    BIN_METRIC,
    BIN_LABELS,
    BIN_SERIES,
    BIN_COUNT,
    BIN_MIN,
    BIN_MAX,
    BIN_SUM,
    BIN_AVG,
    BIN_FIRST,
    BIN_LAST,
    BIN_INCREASE,
    BIN_STEP,     /* hidden */
    BIN_SELECTOR, /* hidden, optional */
    BIN_COLUMNS
};

#define COLUMN(c) (UINT64_C(1) << BIN_##c)

static int64_t
floor_to(int64_t t, int64_t step)
{
    int64_t rest = t % step;
    return t - rest - (rest < 0 ? step : 0);
}

/* Widens the times, which are those of bins, to those of their samples. */
static void
widen_times(struct query_request *request, int64_t step)
{
    const int64_t least = INT64_MIN / 2,
                  most = INT64_MAX / 2; /* milliseconds of 146 million years */
    int64_t min = request->min_ms < least ? least : request->min_ms;
    int64_t max = request->max_ms > most ? most : request->max_ms;
    int64_t begin = floor_to(min, step);
    request->min_ms = begin < min ? begin + step : begin;
    request->max_ms = floor_to(max, step) + step - 1;
}

static enum err
begin_bins(struct sql_cursor *c, sqlite3_value **arguments, struct why *why)
{
    struct bytes text = sql_text(arguments[0]);
    struct query_request *r = &c->request;
    int64_t step = sqlite3_value_int64(arguments[0]);
    if (text.at != NULL && !time_parse_duration(text, &step)) step = 0;
    if (step <= 0 || step > INT64_MAX / 4)
        return why_set(why, ERR_INPUT, "expected samples_agg('5m'): a duration above 0");
    widen_times(r, step);
    if (r->min_ms > r->max_ms) {
        c->is_end = true;
        return OK;
    }
    c->step_ms = step;
    r->sets = &c->matchers;
    r->set_count = c->matchers.count > 0;
    r->hints.rollups = ROLLUP_NONE;
    uint64_t used = c->plan->used;
    if ((used & (COLUMN(SUM) | COLUMN(AVG))) == 0) {
        r->hints.summaries = SUMMARY_COUNT | SUMMARY_EXTREMES;
        if ((used & (COLUMN(FIRST) | COLUMN(LAST) | COLUMN(INCREASE))) != 0)
            r->hints.summaries |= SUMMARY_ENDS;
        r->hints.windows = (struct query_windows){.first_ms = r->min_ms + step - 1,
                                                  .last_ms = r->max_ms,
                                                  .step_ms = step,
                                                  .range_ms = step};
    }
    return view_select(c->sql->options.view, r, &c->set, why);
}

/* A bin with the samples that were added until now. */
struct bin {
    int64_t begin_ms;
    uint64_t count;
    double least, greatest, sum, first, last, increase;
};

/* Adds a sample, or samples that never decrease from `first` to `last`. */
static void
bin_add(struct bin *b, uint64_t count, double least, double greatest, double first, double last)
{
    bool is_first = b->count == 0;
    b->count += count;
    if (is_first || least < b->least) b->least = least;
    if (is_first || greatest > b->greatest) b->greatest = greatest;
    b->sum += first;
    if (is_first)
        b->first = first;
    else
        b->increase += first < b->last ? first : first - b->last;
    b->increase += last - first;
    b->last = last;
}

static void
set_bin(struct sql_cursor *c, const struct bin *b)
{
    const double values[] = {b->least, b->greatest, b->sum,     b->sum / (double)b->count,
                             b->first, b->last,     b->increase};
    c->cells[BIN_TIME] = integer_cell(b->begin_ms);
    c->cells[BIN_COUNT] = integer_cell((int64_t)b->count);
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++)
        c->cells[BIN_MIN + i] = real_cell(double_bits(values[i]));
}

/* Adds the batch from c->at on. True: the next sample is of another bin. */
static bool
add_batch(struct sql_cursor *c, struct bin *bin)
{
    const struct sample_batch *b = &c->batch;
    const struct sample_summary *s = b->summary;
    if (s != NULL && b->kind == SAMPLE_FLOAT) {
        int64_t begin = floor_to(s->min_ms, c->step_ms);
        if (bin->count > 0 && begin != bin->begin_ms) return true;
        bin->begin_ms = begin;
        bin_add(bin, b->count, s->least, s->greatest, s->first, s->last);
        c->at = b->count;
        return false;
    }
    for (; s == NULL && b->kind == SAMPLE_FLOAT && c->at < b->count; c->at++) {
        double value = bits_double(b->value_bits[c->at]);
        if (value != value) continue;
        int64_t begin = floor_to(b->times_ms[c->at], c->step_ms);
        if (bin->count > 0 && begin != bin->begin_ms) return true;
        bin->begin_ms = begin;
        bin_add(bin, 1, value, value, value, value);
    }
    c->at = b->count;
    return false;
}

static enum err
next_bin(struct sql_cursor *c, struct why *why)
{
    struct bin bin = {.count = 0};
    struct bytes labels;
    enum err e = OK;
    bool is_begun = c->cells[BIN_SERIES].kind != CELL_NULL;
    for (;;) {
        if (is_begun && c->at < c->batch.count && add_batch(c, &bin)) break;
        if (is_begun && !c->is_done) {
            e = query_control_check(c->request.control, why);
            if (e == OK) e = series_set_batch(c->set, &c->batch, why);
            if (e) return e;
            c->at = 0;
            c->is_done = c->batch.count == 0;
            if (!c->is_done) continue;
        }
        if (bin.count > 0) break;
        e = series_set_next(c->set, &labels, why);
        c->is_end = e == OK && labels.at == NULL;
        if (e || c->is_end) return e;
        e = sql_set_series_cells(c, BIN_SERIES, BIN_METRIC, BIN_LABELS, labels);
        if (e) return e;
        c->batch.count = c->at = 0;
        c->is_done = false;
        is_begun = true;
    }
    set_bin(c, &bin);
    return OK;
}

const struct table_definition sql_bins_definition = {
    "samples_agg",
    "time TIMESTAMP_INT, metric TEXT, labels TEXT, series TEXT, count INTEGER, min REAL, max REAL, "
    "sum REAL, avg REAL, first REAL, last REAL, increase REAL, step HIDDEN, selector HIDDEN",
    "series, time",
    {COLUMN_TIME, COLUMN_METRIC, [BIN_SERIES] = COLUMN_SERIES, [BIN_SELECTOR] = COLUMN_SELECTOR,
     [BIN_STEP] = COLUMN_ARGUMENT},
    BIN_COLUMNS,
    1e6,
    begin_bins,
    next_bin,
};
