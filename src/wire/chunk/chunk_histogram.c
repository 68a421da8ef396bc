/*
 * chunk_histogram.c - the writer of HISTOGRAM and FLOAT_HISTOGRAM chunks: decides which histograms
 * share a chunk.
 *
 *     histograms -> rows of steps, gathered -> bits of a chunk -> taker
 *
 * The histograms of a chunk have one layout (schema, zero threshold, spans, custom bounds). A new
 * bucket widens the layout, and the bucket is empty in earlier histograms; since the layout
 * precedes everything else in a chunk, the writer gathers histograms and writes them when the chunk
 * is full or ends. (Prometheus' own appender rewrites the chunk it has begun.)
 *
 * Readers assume "no counter reset since the previous histogram" for every histogram of a chunk but
 * the first, whatever hint it had when it was written; so the writer compares, and a reset begins a
 * chunk whose header says so. The rule, first match wins:
 *
 *     histogram to be put                     chunk        header of the new chunk
 *     hint YES                                new          reset
 *     staleness marker                        same
 *     gauge after counter, or vice versa      new          gauge, or unknown
 *     follows a staleness marker              new          gauge, or unknown
 *     count fell                              new          reset
 *     schema or zero threshold changed        new          gauge, or unknown
 *     custom bounds changed                   new          reset
 *     zero count or any bucket fell           new          reset
 *     other buckets, and layouts are kept,
 *         or a union would be too large       new          gauge, or no reset
 *     else                                    same, widened if need be
 *
 * Gauges may fall: for them the lines that end in "reset" are skipped or say "gauge".
 *
 * A row holds the changes since the previous row. Columns bring these steps with them, and the
 * writer looks only at numbers that change.
 */
#include "wire/chunk/chunk_histogram_private.h"

enum { NOW_BUCKETS = 3 /* index of the first bucket in `now` */ };

enum err
histogram_chunks_new(struct budget *budget, enum chunk_layouts layouts, size_t bytes_max,
                     take_histogram_chunk *take, void *context,
                     struct histogram_chunks **ret_chunks)
{
    struct histogram_chunks *w = mem_new(budget, sizeof *w);
    if (w == NULL) return ERR_NOMEM;
    w->budget = budget;
    w->layouts = layouts;
    w->bytes_max = bytes_max;
    w->take = take;
    w->context = context;
    w->stale_from = UINT32_MAX;
    arena_init(&w->scratch, budget, 0, 0);
    buf_init(&w->data, budget, SIZE_MAX);
    *ret_chunks = w;
    return OK;
}

void
histogram_chunks_free(struct histogram_chunks *w)
{
    if (w == NULL) return;
    struct layout_room *rooms[] = {
        &w->spans,        &w->custom,       &w->valid_room, &w->steps_room, &w->masks_room,
        &w->wider_steps,  &w->wider_masks,  &w->base_room,  &w->last_room,  &w->windows_room,
        &w->zeros_room,   &w->now_room,     &w->map_room,   &w->reached,    &w->places_room,
        &w->ordered_room, &w->ordered_masks};
    for (unsigned i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        room_free(w, rooms[i]);
    }
    arena_fini(&w->scratch);
    buf_fini(&w->data);
    mem_free(w->budget, w, sizeof *w);
}

enum err
histogram_chunks_end(struct histogram_chunks *w, struct why *why)
{
    enum err e = w->rows > 0 ? rows_encode(w, why) : OK;
    w->goes_on = false;
    return e;
}

static uint64_t
bucket_total(const struct histogram *h)
{
    return (uint64_t)h->positive.bucket_count + h->negative.bucket_count;
}

static bool
spans_match(const struct hist_buckets *b)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->span_count; i++) {
        total += b->spans[i].length;
    }
    return total == b->bucket_count;
}

/* --- did anything fall? ----------------------------------------------------------------------- */

/* count_fell() is true if a count or zero count decreased, bucket_fell() if a bucket did. NaN is
 * never a decrease. Integer buckets are signed, since those of malformed histograms may be
 * negative. */
static inline bool
count_fell(bool is_float, uint64_t before, uint64_t now)
{
    return is_float ? bits_double(now) < bits_double(before) : now < before;
}

static inline bool
bucket_fell(bool is_float, uint64_t before, uint64_t now)
{
    return is_float ? bits_double(now) < bits_double(before) : (int64_t)now < (int64_t)before;
}

static bool
buckets_fell(const struct histogram_chunks *w, const uint64_t *now)
{
    bool is_float = w->layout.kind == SAMPLE_HISTOGRAM_FLOAT, fell = false;
    const uint32_t *places = w->places + COLUMN_POSITIVE;
    for (uint32_t i = 0; i < w->layout.positive.bucket_count; i++) {
        fell |= bucket_fell(is_float, w->last[places[i]], now[i]);
    }
    now += w->layout.positive.bucket_count;
    places = w->places + w->negative;
    for (uint32_t i = 0; i < w->layout.negative.bucket_count; i++) {
        fell |= bucket_fell(is_float, w->last[places[i]], now[i]);
    }
    return fell;
}

/* Compares buckets of another layout: a bucket that was not empty may be gone. */
static bool
side_fell(const struct histogram_chunks *w, const struct side_union *u, const uint32_t *places,
          uint32_t old_count, const uint64_t *now, uint32_t new_count)
{
    bool is_float = w->layout.kind == SAMPLE_HISTOGRAM_FLOAT;
    for (uint32_t i = 0, k = 0; i < old_count; i++) {
        uint64_t last = w->last[places[i]];
        while (k < new_count && u->new_at[k] < u->old_at[i]) {
            k++;
        }
        if (k < new_count && u->new_at[k] == u->old_at[i]) {
            if (bucket_fell(is_float, last, now[k])) return true;
        } else if (is_float ? bits_double(last) != 0 : last != 0) {
            return true;
        }
    }
    return false;
}

static bool
united_buckets_fell(const struct histogram_chunks *w, const struct layout_union *u,
                    const struct histogram *h, const uint64_t *now)
{
    return side_fell(w, &u->positive, w->places + COLUMN_POSITIVE, w->layout.positive.bucket_count,
                     now, h->positive.bucket_count) ||
           side_fell(w, &u->negative, w->places + w->negative, w->layout.negative.bucket_count,
                     now + h->positive.bucket_count, h->negative.bucket_count);
}

/* --- the rule --------------------------------------------------------------------------------- */

enum verdict {
    FITS,            /* same buckets as the layout */
    FITS_FALLS,      /* same buckets, but a counter reset begins a chunk */
    FITS_UNION,      /* some buckets differ */
    NEW_LAYOUT,      /* begins a chunk and a layout; its hint gives the header */
    NEW_LAYOUT_WITH, /* the same with judgement.header */
};

struct judgement {
    enum verdict verdict;
    enum chunk_reset header;
    struct layout_union both; /* valid for FITS_UNION */
};

static struct judgement
new_layout(enum chunk_reset header)
{
    return (struct judgement){.verdict = NEW_LAYOUT_WITH, .header = header};
}

static enum err
judge_union(struct histogram_chunks *w, const struct histogram *h, bool gauge,
            struct judgement *ret)
{
    struct layout_union u;
    enum err e = layout_unite(w, h, &u);
    if (e) return e;
    bool has_both = u.positive.new_at != NULL && u.negative.new_at != NULL;
    if (!gauge && has_both && united_buckets_fell(w, &u, h, w->now + NOW_BUCKETS)) {
        *ret = new_layout(CHUNK_RESET_YES);
        return OK;
    }
    uint64_t total = (uint64_t)u.positive.count + u.negative.count;
    bool room = !u.wider || (w->rows > 0 && layout_has_room(w, total));
    if (u.possible && room && w->layouts == CHUNK_LAYOUTS_UNITED) {
        *ret = (struct judgement){.verdict = FITS_UNION, .both = u};
    } else {
        *ret = new_layout(gauge      ? CHUNK_RESET_GAUGE
                          : has_both ? CHUNK_RESET_NO
                                     : CHUNK_RESET_UNKNOWN);
    }
    return OK;
}

/* Applies the table above to the histogram in `now`. */
static enum err
chunk_judge(struct histogram_chunks *w, const struct histogram *h, enum reset_hint hint,
            struct judgement *ret)
{
    const struct histogram *old = &w->layout;
    *ret = (struct judgement){.verdict = NEW_LAYOUT};
    if (!w->goes_on || h->kind != old->kind || hint == RESET_YES) return OK;
    bool last_is_stale = w->last[COLUMN_SUM] == STALE_NAN_BITS;
    if (w->now[COLUMN_SUM] == STALE_NAN_BITS) {
        if (w->rows > 0) ret->verdict = FITS;
        return OK;
    }
    bool gauge = hint == RESET_GAUGE, is_float = h->kind == SAMPLE_HISTOGRAM_FLOAT;
    enum chunk_reset unlike = gauge ? CHUNK_RESET_GAUGE : CHUNK_RESET_UNKNOWN;
    if (gauge != w->gauge || last_is_stale) {
        *ret = new_layout(unlike);
        return OK;
    }
    bool fell = !gauge && count_fell(is_float, w->last[COLUMN_COUNT], w->now[COLUMN_COUNT]);
    bool same = histogram_same_layout(old, h);
    if (!fell && !same) {
        if (old->schema != h->schema || old->zero_threshold_bits != h->zero_threshold_bits) {
            *ret = new_layout(unlike);
            return OK;
        }
        fell = !gauge && !histogram_same_custom(old, h);
        if (gauge && !histogram_same_custom(old, h)) {
            *ret = new_layout(CHUNK_RESET_GAUGE);
            return OK;
        }
    }
    fell = fell || (!gauge && count_fell(is_float, w->last[COLUMN_ZERO], w->now[COLUMN_ZERO]));
    if (same) {
        fell = fell || (!gauge && buckets_fell(w, w->now + NOW_BUCKETS));
        ret->verdict = fell ? FITS_FALLS : FITS;
        return OK;
    }
    if (fell) {
        *ret = new_layout(CHUNK_RESET_YES);
        return OK;
    }
    return judge_union(w, h, gauge, ret);
}

/* --- a row ------------------------------------------------------------------------------------ */

static inline void
set_number(struct histogram_chunks *w, uint32_t row, uint32_t place, uint64_t now)
{
    uint64_t before = w->last[place];
    if (now == before) return;
    bool xored = w->layout.kind == SAMPLE_HISTOGRAM_FLOAT || place == COLUMN_SUM;
    w->touched[row / 64] |= (uint64_t)1 << row % 64;
    w->steps[(size_t)row * w->row_places + place] = xored ? now ^ before : now - before;
    w->masks[(size_t)row * w->row_words + place / 64] |= (uint64_t)1 << place % 64;
    w->last[place] = now;
}

/* Empties the buckets that the histogram lacks. */
static void
clear_others(struct histogram_chunks *w, uint32_t row, const struct histogram *h)
{
    uint64_t total = bucket_total(h);
    uint32_t i = 0;
    for (uint32_t c = COLUMN_POSITIVE; c < w->columns; c++) {
        if (i < total && w->map[i] == w->places[c]) {
            i++;
        } else {
            set_number(w, row, w->places[c], 0);
        }
    }
}

static void
add_row(struct histogram_chunks *w, const struct histogram *h, enum reset_hint hint, int64_t t_ms,
        const struct judgement *j)
{
    uint32_t row = w->rows++;
    w->times_ms[row] = t_ms;
    w->hints[row] = (uint8_t)hint;
    w->falls[row] = j->verdict == FITS_FALLS;
    set_number(w, row, COLUMN_SUM, w->now[COLUMN_SUM]);
    w->goes_on = true;
    if (w->now[COLUMN_SUM] == STALE_NAN_BITS) {
        if (w->stale_from > row) w->stale_from = row;
        w->touched[row / 64] |= (uint64_t)1 << row % 64;
        return;
    }
    set_number(w, row, COLUMN_COUNT, w->now[COLUMN_COUNT]);
    set_number(w, row, COLUMN_ZERO, w->now[COLUMN_ZERO]);
    uint64_t total = bucket_total(h);
    for (uint32_t i = 0; i < total; i++) {
        set_number(w, row, w->map[i], w->now[NOW_BUCKETS + i]);
    }
    if (j->verdict == FITS_UNION) clear_others(w, row, h);
}

/* Begins a layout and a chunk. */
static enum err
begin_layout(struct histogram_chunks *w, const struct histogram *h, enum reset_hint hint,
             const struct judgement *j, struct why *why)
{
    enum err e = w->rows > 0 ? rows_encode(w, why) : OK;
    const struct histogram nothing = {.kind = h->kind};
    if (e == OK) {
        e = layout_begin(w, w->now[COLUMN_SUM] == STALE_NAN_BITS ? &nothing : h);
    }
    if (e) return e;
    w->gauge = hint == RESET_GAUGE;
    w->has_header = j->verdict == NEW_LAYOUT_WITH;
    w->header = j->header;
    return OK;
}

static enum err
room_for_now(struct histogram_chunks *w, const struct histogram *h)
{
    uint64_t buckets = bucket_total(h);
    enum err e = room_for(w, &w->now_room, buckets + NOW_BUCKETS + 1, sizeof *w->now);
    if (e == OK) e = room_for(w, &w->map_room, buckets + 1, sizeof *w->map);
    w->now = w->now_room.at;
    w->map = w->map_room.at;
    return e;
}

/* Appends `now` as the next row; `map` then belongs to its layout. */
static enum err
put_now(struct histogram_chunks *w, const struct histogram *h, enum reset_hint hint, int64_t t_ms,
        struct why *why)
{
    struct judgement j;
    enum err e = w->rows > 0 && w->rows >= w->rows_max ? rows_encode(w, why) : OK;
    if (e == OK) e = chunk_judge(w, h, hint, &j);
    if (e) return e;
    bool is_new = j.verdict == NEW_LAYOUT || j.verdict == NEW_LAYOUT_WITH;
    if (is_new) e = begin_layout(w, h, hint, &j, why);
    if (e == OK && j.verdict == FITS_UNION && j.both.wider) e = layout_widen(w, &j.both);
    if (e) return e;
    bool is_stale = w->now[COLUMN_SUM] == STALE_NAN_BITS;
    if (j.verdict == FITS_UNION) {
        uint32_t in_positive = h->positive.bucket_count;
        for (uint32_t i = 0; i < in_positive; i++) {
            w->map[i] = w->places[COLUMN_POSITIVE + j.both.positive.new_at[i]];
        }
        for (uint32_t i = 0; i < h->negative.bucket_count; i++) {
            w->map[in_positive + i] = w->places[w->negative + j.both.negative.new_at[i]];
        }
    } else if (!is_stale) {
        /* The histogram has the layout of the chunk. */
        uint32_t positive = w->layout.positive.bucket_count;
        uint32_t count = positive + w->layout.negative.bucket_count;
        for (uint32_t i = 0; i < count; i++) {
            w->map[i] = w->places[COLUMN_POSITIVE + i + (i >= positive)];
        }
    }
    add_row(w, h, hint, t_ms, &j);
    return OK;
}

/* --- histograms ------------------------------------------------------------------------------- */

static void
now_side(const struct hist_buckets *b, bool is_float, uint64_t *now)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        now[i] = is_float ? b->counts[i] : (count += (uint64_t)b->deltas[i]);
    }
}

enum err
histogram_chunks_put(struct histogram_chunks *w, uint32_t count, const int64_t *times_ms,
                     const struct histogram *h, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!spans_match(&h[i].positive) || !spans_match(&h[i].negative)) {
            return why_set(why, ERR_INPUT, "histogram spans and buckets do not match");
        }
        enum err e = room_for_now(w, &h[i]);
        if (e) return e;
        bool is_float = h[i].kind == SAMPLE_HISTOGRAM_FLOAT;
        w->now[COLUMN_COUNT] = h[i].count;
        w->now[COLUMN_ZERO] = h[i].zero_count;
        w->now[COLUMN_SUM] = h[i].sum_bits;
        now_side(&h[i].positive, is_float, w->now + NOW_BUCKETS);
        now_side(&h[i].negative, is_float, w->now + NOW_BUCKETS + h[i].positive.bucket_count);
        e = put_now(w, &h[i], h[i].reset_hint, times_ms[i], why);
        if (e) return e;
    }
    return OK;
}

/* --- columns ---------------------------------------------------------------------------------- */

/* Columns being put, row by row or many rows at once. */
struct columns_in {
    const struct hist_columns *columns;
    const int64_t *times_ms; /* times_ms[0] is the time of row `from` */
    uint32_t from, end;
    uint32_t row; /* next row */
    uint32_t buckets;
    bool is_float;
    uint32_t *reached; /* steps before `row`: sum, count, zero count, buckets */
};

enum { REACHED_SUM, REACHED_COUNT, REACHED_ZERO, REACHED_BUCKETS };

/* Returns the number in `row`; *reached counts the steps up to it. */
static uint64_t
column_at(const struct hist_column *column, bool xored, uint32_t row, uint64_t number,
          uint32_t *reached)
{
    uint32_t i = *reached;
    for (; i < column->step_count && column->rows[i] <= row; i++) {
        number = xored ? number ^ column->steps[i] : number + column->steps[i];
    }
    *reached = i;
    return number;
}

static enum reset_hint
hint_at(const struct hist_columns *columns, uint32_t row)
{
    return columns->hints == NULL ? columns->hint : (enum reset_hint)columns->hints[row];
}

/* Puts the next row as a histogram: updates `now` from the previous row. */
static enum err
put_whole_row(struct histogram_chunks *w, struct columns_in *in, struct why *why)
{
    const struct hist_columns *c = in->columns;
    uint32_t row = in->row++;
    bool is_float = in->is_float;
    uint64_t *now = w->now, *rest = &now[NOW_BUCKETS + in->buckets], total = 0;
    now[COLUMN_SUM] = column_at(&c->sum, true, row, now[COLUMN_SUM], &in->reached[REACHED_SUM]);
    now[COLUMN_ZERO] =
        column_at(&c->zero_count, is_float, row, now[COLUMN_ZERO], &in->reached[REACHED_ZERO]);
    for (uint32_t i = 0; i < in->buckets; i++) {
        uint64_t *bucket = &now[NOW_BUCKETS + i];
        *bucket =
            column_at(&c->buckets[i], is_float, row, *bucket, &in->reached[REACHED_BUCKETS + i]);
        total += *bucket;
    }
    *rest = column_at(&c->count, is_float, row, *rest, &in->reached[REACHED_COUNT]);
    now[COLUMN_COUNT] = is_float ? *rest : *rest + now[COLUMN_ZERO] + total;
    return put_now(w, &c->layout, hint_at(c, row), in->times_ms[row - in->from], why);
}

/* Returns the first row from the next one on that put_whole_row() must put. */
static uint32_t
next_whole_row(const struct histogram_chunks *w, const struct columns_in *in)
{
    const struct hist_columns *c = in->columns;
    uint64_t sum = w->last[COLUMN_SUM];
    if (sum == STALE_NAN_BITS || hint_at(c, in->row) == RESET_YES) return in->row;
    uint32_t end = in->end;
    for (uint32_t i = in->reached[REACHED_SUM]; i < c->sum.step_count; i++) {
        sum ^= c->sum.steps[i];
        if (sum == STALE_NAN_BITS && c->sum.rows[i] < end) end = c->sum.rows[i];
        if (c->sum.rows[i] >= end) break;
    }
    for (uint32_t row = in->row; c->hints != NULL && row < end; row++) {
        bool alike = c->hints[row] != RESET_YES && (c->hints[row] == RESET_GAUGE) == w->gauge;
        if (!alike) end = row;
    }
    return end;
}

enum meaning { A_BUCKET, A_COUNT, A_SUM };

/* Adds the steps of the next `count` rows. */
static inline __attribute__((always_inline)) void
run_column(struct histogram_chunks *w, const struct columns_in *in, uint32_t count,
           const struct hist_column *from, uint32_t *reached, uint32_t place, enum meaning meaning,
           bool is_float)
{
    const uint32_t places = w->row_places, words = w->row_words, first = in->row,
                   end = first + count;
    uint64_t *steps = w->steps + (size_t)w->rows * places;
    uint64_t *masks = w->masks + (size_t)w->rows * words;
    uint8_t *falls = w->falls + w->rows;
    uint64_t number = w->last[place];
    uint32_t i = *reached;
    for (; i < from->step_count && from->rows[i] < end; i++) {
        uint32_t row = from->rows[i] - first;
        uint64_t step = from->steps[i];
        uint64_t next = is_float || meaning == A_SUM ? number ^ step : number + step;
        uint32_t of_chunk = w->rows + row;
        w->touched[of_chunk / 64] |= (uint64_t)1 << of_chunk % 64;
        steps[(size_t)row * places + place] = step;
        masks[(size_t)row * words + place / 64] |= (uint64_t)1 << place % 64;
        if (!is_float && meaning != A_SUM) {
            steps[(size_t)row * places + COLUMN_COUNT] += step;
            masks[(size_t)row * words] |= (uint64_t)1 << COLUMN_COUNT;
        }
        if (meaning == A_BUCKET) falls[row] |= bucket_fell(is_float, number, next);
        if (meaning == A_COUNT) falls[row] |= count_fell(is_float, number, next);
        number = next;
    }
    w->last[place] = number;
    *reached = i;
}

/* Adds the steps of the counts' excess over the sum of their buckets, then notes counts that fell.
 */
static void
run_integer_count(struct histogram_chunks *w, struct columns_in *in, uint32_t count)
{
    const struct hist_column *from = &in->columns->count;
    uint64_t *rest = &w->now[NOW_BUCKETS + in->buckets];
    uint32_t i = in->reached[REACHED_COUNT];
    for (; i < from->step_count && from->rows[i] < in->row + count; i++) {
        uint32_t row = w->rows + from->rows[i] - in->row;
        w->touched[row / 64] |= (uint64_t)1 << row % 64;
        w->steps[(size_t)row * w->row_places + COLUMN_COUNT] += from->steps[i];
        w->masks[(size_t)row * w->row_words] |= (uint64_t)1 << COLUMN_COUNT;
        *rest += from->steps[i];
    }
    in->reached[REACHED_COUNT] = i;
    uint64_t number = w->last[COLUMN_COUNT];
    for (uint32_t row = w->rows; row < w->rows + count; row++) {
        uint64_t next = number + w->steps[(size_t)row * w->row_places + COLUMN_COUNT];
        w->falls[row] |= next < number;
        number = next;
    }
    w->last[COLUMN_COUNT] = number;
}

static inline __attribute__((always_inline)) void
run_rows_of(struct histogram_chunks *w, struct columns_in *in, uint32_t count, bool is_float)
{
    const struct hist_columns *c = in->columns;
    uint32_t *reached = in->reached;
    memset(w->falls + w->rows, 0, count);
    run_column(w, in, count, &c->sum, &reached[REACHED_SUM], COLUMN_SUM, A_SUM, is_float);
    run_column(w, in, count, &c->zero_count, &reached[REACHED_ZERO], COLUMN_ZERO, A_COUNT,
               is_float);
    for (uint32_t i = 0; i < in->buckets; i++) {
        if (reached[REACHED_BUCKETS + i] == c->buckets[i].step_count) continue;
        run_column(w, in, count, &c->buckets[i], &reached[REACHED_BUCKETS + i], w->map[i], A_BUCKET,
                   is_float);
    }
    if (is_float) {
        run_column(w, in, count, &c->count, &reached[REACHED_COUNT], COLUMN_COUNT, A_COUNT, true);
    } else {
        run_integer_count(w, in, count);
    }
    if (w->gauge) memset(w->falls + w->rows, 0, count);
}

static enum err
columns_in_begin(struct histogram_chunks *w, struct columns_in *in)
{
    const struct hist_columns *c = in->columns;
    enum err e = room_for_now(w, &c->layout);
    if (e == OK) {
        e = room_for(w, &w->reached, (uint64_t)in->buckets + REACHED_BUCKETS, sizeof *in->reached);
    }
    if (e) return e;
    in->reached = w->reached.at;
    memset(in->reached, 0, (in->buckets + REACHED_BUCKETS) * sizeof *in->reached);
    w->now[COLUMN_SUM] = c->sum.first;
    w->now[COLUMN_ZERO] = c->zero_count.first;
    for (uint32_t i = 0; i < in->buckets; i++) {
        w->now[NOW_BUCKETS + i] = c->buckets[i].first;
    }
    w->now[NOW_BUCKETS + in->buckets] = c->count.first;
    return OK;
}

enum err
histogram_chunks_put_columns(struct histogram_chunks *w, const struct hist_columns *columns,
                             uint32_t from, uint32_t count, const int64_t *times_ms,
                             struct why *why)
{
    struct columns_in in = {
        .columns = columns,
        .times_ms = times_ms,
        .from = from,
        .end = from + count,
        .row = from,
        .buckets = (uint32_t)bucket_total(&columns->layout),
        .is_float = columns->layout.kind == SAMPLE_HISTOGRAM_FLOAT,
    };
    enum err e = columns_in_begin(w, &in);
    while (e == OK && in.row < in.end) {
        e = put_whole_row(w, &in, why);
        uint32_t whole = e == OK && in.row < in.end ? next_whole_row(w, &in) : in.row;
        bool ran = in.row < whole;
        while (e == OK && in.row < whole) {
            if (w->rows == w->rows_max) e = rows_encode(w, why);
            if (e) break;
            uint32_t room = w->rows_max - w->rows;
            /* Puts as many of the following rows as there is room for. */
            uint32_t rows = whole - in.row < room ? whole - in.row : room;
            if (in.is_float)
                run_rows_of(w, &in, rows, true);
            else
                run_rows_of(w, &in, rows, false);
            for (uint32_t i = 0; i < rows; i++) {
                w->hints[w->rows + i] = (uint8_t)hint_at(in.columns, in.row + i);
            }
            memcpy(w->times_ms + w->rows, in.times_ms + (in.row - in.from),
                   rows * sizeof *w->times_ms);
            w->rows += rows;
            in.row += rows;
        }
        if (ran) {
            /* `now` must hold the numbers of the previous row. */
            w->now[COLUMN_SUM] = w->last[COLUMN_SUM];
            w->now[COLUMN_ZERO] = w->last[COLUMN_ZERO];
            if (in.is_float) w->now[NOW_BUCKETS + in.buckets] = w->last[COLUMN_COUNT];
            for (uint32_t i = 0; i < in.buckets; i++) {
                w->now[NOW_BUCKETS + i] = w->last[w->map[i]];
            }
        }
    }
    return e;
}
