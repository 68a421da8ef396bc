/*
 * histogram_rollups.c - see rollups.h. The bytes are docs/format/codec.md.
 *
 * Counts are columns of differences to guesses, as in rollups.c. First histograms and
 * sums nearly always have the layout of the rows: they are blocks of histograms in turn, and those
 * of integers hold differences to the last one before, or to what the mean of first and last makes
 * of a sum. Differences wrap around, which such a block permits. The rest (another layout, a sum
 * that is no integer any more, the rare corrections) are single histograms, as in the log.
 */
#include "tsdb/codec/rollups.h"

#include <assert.h>

#include "model/histogram.h"
#include "tsdb/codec/codec.h"
#include "tsdb/codec/codec_private.h"

enum histogram_column {
    HISTOGRAM_COUNT,
    HISTOGRAM_CHANGES,
    HISTOGRAM_RESETS,
    HISTOGRAM_LAYOUT_CHANGES,
    HISTOGRAM_GAUGES,
    HISTOGRAM_CUSTOM,
    HISTOGRAM_SECOND_IS_RESET,
    HISTOGRAM_CORRECTION_LOST,
    HISTOGRAM_FIRST_IS_SINGLE, /* not in the block of first histograms */
    HISTOGRAM_SUM_IS_SINGLE,
    HISTOGRAM_COLUMNS,
};

enum { FLAGS_END = 1 << HISTOGRAM_COLUMNS };

#define INTEGER_MAX 0x1p53

/* One window with samples, besides its rollup. */
struct window_form {
    bool first_is_single;
    bool sum_is_single;
    struct histogram sum; /* in the layout of the rows, if it is not single */
};

/* A block being written or read; arrays have an item for each window with samples. */
struct histogram_block {
    struct arena *arena;
    int64_t resolution_ms;
    uint64_t interval_ms;
    struct histogram_rollup **rollups;
    struct rollup *times; /* only times and counts */
    struct window_form *forms;
    int64_t *column;
    struct histogram *nested;
    uint32_t count;
};

/* --- rows ------------------------------------------------------------------------------------- */

static bool
is_marker(const struct histogram *h)
{
    return h->sum_bits == STALE_NAN_BITS;
}

uint32_t
histogram_rollup_rows(const struct histogram_rollup *rollups, uint32_t count, int64_t *ret_times_ms,
                      struct histogram *ret_rows)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct histogram_rollup *r = &rollups[i];
        if (r->count > 0) {
            ret_times_ms[rows] = r->last_ms;
            ret_rows[rows++] = r->last;
        }
        if (r->is_stale) {
            ret_times_ms[rows] = r->stale_ms;
            ret_rows[rows++] = (struct histogram){.kind = r->last.kind, .sum_bits = STALE_NAN_BITS};
        }
    }
    return rows;
}

/* Makes the rollups of the rows, with a count of 1 where there are samples. */
static enum err
read_rows(int64_t resolution_ms, const int64_t *times_ms, const struct histogram *rows,
          uint32_t row_count, struct histogram_rollup *rollups, uint32_t *ret_count)
{
    uint32_t count = 0;
    int64_t end = 0;
    for (uint32_t i = 0; i < row_count; i++) {
        if (i > 0 && times_ms[i] <= times_ms[i - 1]) return ERR_CORRUPT;
        int64_t own_end = rollup_window_end(times_ms[i], resolution_ms);
        bool is_new = count == 0 || own_end != end, stale = is_marker(&rows[i]);
        end = own_end;
        if (is_new) {
            rollups[count++] = (struct histogram_rollup){.first_ms = times_ms[i],
                                                         .last_ms = times_ms[i],
                                                         .is_stale = stale,
                                                         .stale_ms = stale ? times_ms[i] : 0,
                                                         .count = stale ? 0 : 1,
                                                         .first = rows[i],
                                                         .last = rows[i]};
            continue;
        }
        struct histogram_rollup *r = &rollups[count - 1];
        if (!stale || r->is_stale) return ERR_CORRUPT;
        r->is_stale = true;
        r->stale_ms = times_ms[i];
    }
    *ret_count = count;
    return OK;
}

/* Collects the windows with samples, whose last ones must have one layout. */
static enum err
begin_block(struct histogram_block *b, struct histogram_rollup *rollups, uint32_t count)
{
    b->rollups = arena_alloc(b->arena, count * sizeof *b->rollups);
    b->times = arena_new(b->arena, count * sizeof *b->times);
    b->forms = arena_new(b->arena, count * sizeof *b->forms);
    b->column = arena_alloc(b->arena, count * sizeof *b->column);
    b->nested = arena_alloc(b->arena, count * sizeof *b->nested);
    if (b->rollups == NULL || b->times == NULL || b->forms == NULL || b->column == NULL ||
        b->nested == NULL)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        struct histogram_rollup *r = &rollups[i];
        if (r->count == 0) continue;
        if (b->count > 0 && !histogram_same_layout(&b->rollups[0]->last, &r->last))
            return ERR_CORRUPT;
        b->times[b->count] =
            (struct rollup){.first_ms = r->first_ms, .last_ms = r->last_ms, .count = r->count};
        b->rollups[b->count++] = r;
    }
    return OK;
}

/* --- integers --------------------------------------------------------------------------------- */

static uint64_t
guess_of(const struct histogram_block *b, enum histogram_column column, uint32_t i)
{
    const struct histogram_rollup *r = b->rollups[i];
    switch (column) {
    case HISTOGRAM_COUNT:
        return rollups_guess_count(b->interval_ms, &b->times[i]);
    case HISTOGRAM_CHANGES:
        return r->count - 1;
    case HISTOGRAM_GAUGES:
        return r->last.reset_hint == RESET_GAUGE ? r->count : 0;
    case HISTOGRAM_CUSTOM:
        return r->last.schema == HISTOGRAM_SCHEMA_CUSTOM ? r->count : 0;
    default:
        return 0;
    }
}

static uint64_t
integer_of(const struct histogram_block *b, enum histogram_column column, uint32_t i)
{
    const struct histogram_rollup *r = b->rollups[i];
    switch (column) {
    case HISTOGRAM_COUNT:
        return r->count;
    case HISTOGRAM_CHANGES:
        return r->changes;
    case HISTOGRAM_RESETS:
        return r->resets;
    case HISTOGRAM_LAYOUT_CHANGES:
        return r->layout_changes;
    case HISTOGRAM_GAUGES:
        return r->gauge_count;
    case HISTOGRAM_CUSTOM:
        return r->custom_count;
    case HISTOGRAM_SECOND_IS_RESET:
        return r->second_is_reset;
    case HISTOGRAM_CORRECTION_LOST:
        return r->correction_lost;
    case HISTOGRAM_FIRST_IS_SINGLE:
        return b->forms[i].first_is_single;
    default:
        return b->forms[i].sum_is_single;
    }
}

/* ERR_CORRUPT: out of its range. */
static enum err
set_integer(struct histogram_block *b, enum histogram_column column, uint32_t i, uint64_t v)
{
    struct histogram_rollup *r = b->rollups[i];
    bool is_flag = column >= HISTOGRAM_SECOND_IS_RESET;
    if (v > (is_flag ? 1 : UINT32_MAX)) return ERR_CORRUPT;
    switch (column) {
    case HISTOGRAM_COUNT:
        r->count = b->times[i].count = (uint32_t)v;
        return rollups_check_times(rollup_window_end(b->times[i].last_ms, b->resolution_ms),
                                   b->resolution_ms, &b->times[i]);
    case HISTOGRAM_CHANGES:
        r->changes = (uint32_t)v;
        break;
    case HISTOGRAM_RESETS:
        r->resets = (uint32_t)v;
        break;
    case HISTOGRAM_LAYOUT_CHANGES:
        r->layout_changes = (uint32_t)v;
        break;
    case HISTOGRAM_GAUGES:
        r->gauge_count = (uint32_t)v;
        break;
    case HISTOGRAM_CUSTOM:
        r->custom_count = (uint32_t)v;
        break;
    case HISTOGRAM_SECOND_IS_RESET:
        r->second_is_reset = v != 0;
        break;
    case HISTOGRAM_CORRECTION_LOST:
        r->correction_lost = v != 0;
        break;
    case HISTOGRAM_FIRST_IS_SINGLE:
        b->forms[i].first_is_single = v != 0;
        break;
    default:
        b->forms[i].sum_is_single = v != 0;
        break;
    }
    return OK;
}

/* --- which histograms are written ------------------------------------------------------------- */

/* The only sample of a window is in the rows. */
static bool
has_first(const struct histogram_rollup *r)
{
    return r->count > 1;
}

static bool
has_sum(const struct histogram_rollup *r)
{
    return r->count > 1 && (r->custom_count == 0 || r->custom_count == r->count);
}

static bool
has_correction(const struct histogram_rollup *r)
{
    return r->resets > r->second_is_reset && !r->correction_lost;
}

/* --- differences ------------------------------------------------------------------------------ */

/* Guesses are subtracted to write and added to read. */
enum guess_shift { SHIFT_DOWN, SHIFT_UP };

/* Shifts a number by n times the mean of x and y, mod 2^64. */
static uint64_t
shifted(uint64_t v, uint64_t x, uint64_t y, uint32_t n, enum guess_shift shift)
{
    uint64_t guess = (uint64_t)((int64_t)(n * (x + y)) / 2);
    return shift == SHIFT_UP ? v + guess : v - guess;
}

/* Shifts absolute counts. False without memory. */
static bool
shift_side(struct arena *arena, struct hist_buckets *a, const struct hist_buckets *x,
           const struct hist_buckets *y, uint32_t n, enum guess_shift shift)
{
    if (a->bucket_count == 0) return true;
    int64_t *deltas = arena_alloc(arena, a->bucket_count * sizeof *deltas);
    if (deltas == NULL) return false;
    uint64_t at = 0, at_x = 0, at_y = 0, before = 0;
    for (uint32_t i = 0; i < a->bucket_count; i++) {
        at += (uint64_t)a->deltas[i];
        at_x += (uint64_t)x->deltas[i];
        at_y += (uint64_t)y->deltas[i];
        uint64_t now = shifted(at, at_x, at_y, n, shift);
        deltas[i] = (int64_t)(now - before);
        before = now;
    }
    a->deltas = deltas;
    return true;
}

/* Shifts the counts of an integer histogram; floats stay as they are. All have one layout. */
static bool
shift_counts(struct arena *arena, struct histogram *a, const struct histogram *x,
             const struct histogram *y, uint32_t n, enum guess_shift shift)
{
    if (a->kind != SAMPLE_HISTOGRAM_INT) return true;
    a->count = shifted(a->count, x->count, y->count, n, shift);
    a->zero_count = shifted(a->zero_count, x->zero_count, y->zero_count, n, shift);
    return shift_side(arena, &a->positive, &x->positive, &y->positive, n, shift) &&
           shift_side(arena, &a->negative, &x->negative, &y->negative, n, shift);
}

/* Shifts a first histogram by the last one before. */
static bool
shift_first(const struct histogram_block *b, uint32_t i, enum guess_shift shift,
            struct histogram *h)
{
    const struct histogram *guess = &b->rollups[i > 0 ? i - 1 : 0]->last;
    return shift_counts(b->arena, h, guess, guess, 1, shift);
}

/* Shifts a sum by what the first and the last histogram make likely. */
static bool
shift_sum(const struct histogram_block *b, uint32_t i, enum guess_shift shift, struct histogram *h)
{
    const struct histogram_rollup *r = b->rollups[i];
    const struct histogram *first = b->forms[i].first_is_single ? &r->last : &r->first;
    return shift_counts(b->arena, h, first, &r->last, r->count, shift);
}

/* --- sums in the layout of the rows ----------------------------------------------------------- */

static bool
is_natural(double v)
{
    return v >= 0 && v < INTEGER_MAX && (double)(int64_t)v == v &&
           double_bits(v) != double_bits(-0.0);
}

/* Writes the counts of a sum for all buckets of the layout. False if it has others, or counts that
 * the kind does not have, or without memory. */
static bool
fit_side(struct arena *arena, const struct fhist_side *s, bool is_integer,
         const struct hist_buckets *layout, struct hist_buckets *ret)
{
    uint64_t *words = arena_alloc(arena, (layout->bucket_count + 1) * sizeof *words);
    if (words == NULL) return false;
    int64_t index = 0;
    uint32_t at = 0, bucket = 0;
    uint64_t before = 0;
    for (uint32_t span = 0; span < layout->span_count; span++) {
        index += layout->spans[span].offset;
        for (uint32_t i = 0; i < layout->spans[span].length; i++, index++) {
            bool is_there = at < s->count && s->indexes[at] == index;
            double count = is_there ? s->counts[at++] : 0;
            if (is_integer && !is_natural(count)) return false;
            uint64_t word = is_integer ? (uint64_t)count : double_bits(count);
            words[bucket++] = is_integer ? word - before : word;
            before = word;
        }
    }
    *ret = *layout;
    ret->deltas = is_integer ? (const int64_t *)words : NULL;
    ret->counts = is_integer ? NULL : words;
    return at == s->count;
}

static bool
same_bounds(const struct fhist *h, const struct histogram *layout)
{
    if (h->bound_count != layout->custom_count) return false;
    for (uint32_t i = 0; i < h->bound_count; i++)
        if (double_bits(h->bounds[i]) != layout->custom_bits[i]) return false;
    return true;
}

/* Makes a histogram of the layout and kind of another one. False if that is not exact. */
static bool
fit_sum(struct arena *arena, const struct fhist *h, const struct histogram *layout,
        struct histogram *ret)
{
    bool is_integer = layout->kind == SAMPLE_HISTOGRAM_INT;
    if (h->schema != layout->schema || !same_bounds(h, layout)) return false;
    if (double_bits(h->zero_threshold) != layout->zero_threshold_bits) return false;
    if (is_integer && (!is_natural(h->count) || !is_natural(h->zero_count))) return false;
    *ret = *layout;
    ret->reset_hint = h->hint;
    ret->sum_bits = double_bits(h->sum);
    ret->count = is_integer ? (uint64_t)h->count : double_bits(h->count);
    ret->zero_count = is_integer ? (uint64_t)h->zero_count : double_bits(h->zero_count);
    return fit_side(arena, &h->positive, is_integer, &layout->positive, &ret->positive) &&
           fit_side(arena, &h->negative, is_integer, &layout->negative, &ret->negative);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Writes the length and the block of b->nested. */
static void
put_nested(struct codec_scratch *scratch, const struct histogram_block *b, uint32_t count,
           struct buf *out)
{
    if (count == 0) return;
    size_t size_at = out->size;
    buf_put_le32(out, 0);
    size_t from = out->size;
    codec_histogram_encode(scratch, b->nested, count, out);
    if (buf_error(out) == OK) store_le32(out->at + size_at, (uint32_t)(out->size - from));
}

static enum err
put_single(struct arena *arena, const struct fhist *h, struct buf *out)
{
    struct histogram stored;
    enum err e = fhist_stored(arena, h, &stored);
    if (e == OK) histogram_put(out, &stored);
    return e;
}

static enum err
put_firsts(struct codec_scratch *scratch, struct histogram_block *b, struct buf *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        if (!has_first(b->rollups[i]) || b->forms[i].first_is_single) continue;
        b->nested[count] = b->rollups[i]->first;
        if (!shift_first(b, i, SHIFT_DOWN, &b->nested[count++])) return ERR_NOMEM;
    }
    put_nested(scratch, b, count, out);
    for (uint32_t i = 0; i < b->count; i++)
        if (b->forms[i].first_is_single) histogram_put(out, &b->rollups[i]->first);
    return OK;
}

static enum err
put_sums(struct codec_scratch *scratch, struct histogram_block *b, struct buf *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        if (!has_sum(b->rollups[i]) || b->forms[i].sum_is_single) continue;
        b->nested[count] = b->forms[i].sum;
        if (!shift_sum(b, i, SHIFT_DOWN, &b->nested[count++])) return ERR_NOMEM;
    }
    put_nested(scratch, b, count, out);
    enum err e = OK;
    for (uint32_t i = 0; i < b->count && e == OK; i++)
        if (b->forms[i].sum_is_single) e = put_single(b->arena, b->rollups[i]->sum, out);
    return e;
}

enum err
codec_histogram_rollups_encode_times(struct codec_scratch *scratch, struct arena *arena,
                                     const struct histogram_rollup *rollups, uint32_t count,
                                     int64_t resolution_ms, struct buf *out)
{
    struct rollup *times = arena_new(arena, (count + 1) * sizeof *times);
    if (times == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        times[i].first_ms = rollups[i].first_ms;
        times[i].last_ms = rollups[i].last_ms;
        times[i].count = rollups[i].count;
    }
    codec_rollups_encode_times(scratch, times, count, resolution_ms, out);
    return OK;
}

enum err
codec_histogram_rollups_encode(struct codec_scratch *scratch, struct arena *arena,
                               const struct histogram_rollup *rollups, uint32_t count,
                               struct buf *out)
{
    size_t size_before = out->size;
    struct histogram_block b = {.arena = arena};
    struct histogram_rollup *own = arena_alloc(arena, (count + 1) * sizeof *own);
    if (own == NULL) return ERR_NOMEM;
    if (count > 0) memcpy(own, rollups, count * sizeof *own);
    enum err e = begin_block(&b, own, count);
    assert(e != ERR_CORRUPT); /* the last samples have one layout */
    if (e) return ERR_NOMEM;
    if (b.count == 0) return OK;
    b.interval_ms = rollups_usual_interval_ms(b.times, b.count);
    const struct histogram *layout = &b.rollups[0]->last;
    uint64_t resets = 0, changes = 0;
    for (uint32_t i = 0; i < b.count; i++) {
        struct histogram_rollup *r = b.rollups[i];
        struct window_form *form = &b.forms[i];
        resets += r->resets;
        changes += r->changes;
        if (r->correction != NULL) fhist_settle(r->correction);
        if (has_first(r)) form->first_is_single = !histogram_same_layout(&r->first, layout);
        if (!has_sum(r)) continue;
        fhist_settle(r->sum);
        /* Buckets within the zero bucket are not added: then the count is more than theirs. */
        form->sum_is_single = !fit_sum(b.arena, r->sum, layout, &form->sum) ||
                              histogram_check(&form->sum, NULL) != OK;
    }
    bool falls_often = rollups_fall_often(resets, changes, b.count);
    for (uint32_t i = 0; i < b.count; i++) {
        struct histogram_rollup *r = b.rollups[i];
        r->correction_lost |= has_correction(r) && (falls_often || r->gauge_count > 0);
    }
    size_t flags_at = out->size;
    buf_put(out, (const uint8_t[]){0, 0}, 2);
    unsigned flags = 0;
    for (unsigned column = 0; column < HISTOGRAM_COLUMNS; column++) {
        uint64_t any = 0;
        for (uint32_t i = 0; i < b.count; i++) {
            enum histogram_column c = (enum histogram_column)column;
            uint64_t distance = integer_of(&b, c, i) - guess_of(&b, c, i);
            b.column[i] = (int64_t)distance;
            any |= distance;
        }
        if (any == 0) continue;
        flags |= 1u << column;
        codec_int_encode(scratch, b.column, b.count, out);
    }
    if (buf_error(out) == OK) store_le16(out->at + flags_at, (uint16_t)flags);
    e = put_firsts(scratch, &b, out);
    if (e == OK) e = put_sums(scratch, &b, out);
    for (uint32_t i = 0; i < b.count && e == OK; i++)
        if (has_correction(b.rollups[i])) e = put_single(arena, b.rollups[i]->correction, out);
    if (e || buf_error(out)) out->size = size_before;
    return e;
}

/* The number of the first windows whose last samples are rows of one block: up to the first marker.
 */
static uint32_t
rows_of_block(const struct histogram_rollup *rollups, uint32_t count)
{
    uint32_t n = 0;
    while (n < count && rollups[n].count > 0 &&
           histogram_same_layout(&rollups[0].last, &rollups[n].last) &&
           codec_histogram_fits(&rollups[0].last, n + 1))
        if (rollups[n++].is_stale) break;
    return n;
}

enum err
codec_histogram_rollups_encode_blocks(struct codec_scratch *scratch, struct arena *arena,
                                      const struct histogram_rollup *rollups, uint32_t count,
                                      int64_t resolution_ms, int64_t *times_ms, struct buf *out)
{
    struct histogram *rows = arena_alloc(arena, (count + 1) * sizeof *rows);
    enum err e = rows == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0, n; i < count && e == OK; i += n) {
        n = rows_of_block(rollups + i, count - i);
        for (uint32_t k = 0; k < n; k++) {
            times_ms[k] = rollups[i + k].last_ms;
            rows[k] = rollups[i + k].last;
        }
        if (n > 0) {
            codec_times_encode(scratch, times_ms, n, out);
            codec_histogram_encode(scratch, rows, n, out);
            e = codec_histogram_rollups_encode_times(scratch, arena, rollups + i, n, resolution_ms,
                                                     out);
            if (e == OK) e = codec_histogram_rollups_encode(scratch, arena, rollups + i, n, out);
        }
        n = n > 0 ? n : 1;
        const struct histogram_rollup *last = &rollups[i + n - 1];
        if (e || !last->is_stale) continue;
        const struct histogram marker = {.kind = last->last.kind, .sum_bits = STALE_NAN_BITS};
        codec_times_encode(scratch, &last->stale_ms, 1, out);
        codec_histogram_encode(scratch, &marker, 1, out);
    }
    return e;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads the block of `count` histograms in the layout of the rows to b->nested. */
static enum err
read_nested(struct cursor *cursor, struct histogram_block *b, uint32_t count)
{
    if (count == 0) return OK;
    uint32_t size = cursor_le32(cursor);
    struct bytes block = cursor_bytes(cursor, size);
    if (cursor->bad) return ERR_CORRUPT;
    enum err e = codec_histogram_decode(block, count, b->arena, b->nested);
    if (e) return e;
    return histogram_same_layout(&b->nested[0], &b->rollups[0]->last) ? OK : ERR_CORRUPT;
}

static enum err
read_firsts(struct cursor *cursor, struct histogram_block *b)
{
    uint32_t count = 0, at = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->forms[i].first_is_single && !has_first(b->rollups[i])) return ERR_CORRUPT;
        count += has_first(b->rollups[i]) && !b->forms[i].first_is_single;
    }
    enum err e = read_nested(cursor, b, count);
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        struct histogram_rollup *r = b->rollups[i];
        if (!has_first(r) || b->forms[i].first_is_single) continue;
        r->first = b->nested[at++];
        if (!shift_first(b, i, SHIFT_UP, &r->first)) e = ERR_LIMIT;
    }
    for (uint32_t i = 0; i < b->count && e == OK; i++)
        if (b->forms[i].first_is_single) e = histogram_get(cursor, b->arena, &b->rollups[i]->first);
    return e;
}

/* Makes a histogram that others can be added to. */
static enum err
make_sum(struct arena *arena, const struct histogram *from, struct fhist **ret)
{
    struct fhist *sum = arena_alloc(arena, sizeof *sum);
    void *memory = arena_alloc(arena, fhist_bytes_of(from));
    if (sum == NULL || memory == NULL) return ERR_LIMIT;
    if (fhist_begin(arena, fhist_of(memory, from), true, sum)) return ERR_LIMIT;
    *ret = sum;
    return OK;
}

static enum err
read_single(struct cursor *cursor, struct arena *arena, struct fhist **ret)
{
    struct histogram h;
    enum err e = histogram_get(cursor, arena, &h);
    return e ? e : make_sum(arena, &h, ret);
}

static enum err
read_sums(struct cursor *cursor, struct histogram_block *b)
{
    uint32_t count = 0, at = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct histogram_rollup *r = b->rollups[i];
        if (b->forms[i].sum_is_single && !has_sum(r)) return ERR_CORRUPT;
        count += has_sum(r) && !b->forms[i].sum_is_single;
    }
    enum err e = read_nested(cursor, b, count);
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        struct histogram_rollup *r = b->rollups[i];
        if (r->count == 1) {
            e = make_sum(b->arena, &r->last, &r->sum);
        } else if (has_sum(r) && !b->forms[i].sum_is_single) {
            struct histogram sum = b->nested[at++];
            if (!shift_sum(b, i, SHIFT_UP, &sum)) return ERR_LIMIT;
            /* One that is no histogram could not be written again. */
            e = histogram_check(&sum, NULL) ? ERR_CORRUPT : make_sum(b->arena, &sum, &r->sum);
        }
    }
    for (uint32_t i = 0; i < b->count && e == OK; i++)
        if (b->forms[i].sum_is_single) e = read_single(cursor, b->arena, &b->rollups[i]->sum);
    return e;
}

/* Checks what joining relies on: invariants, and that kinds of buckets are as counted. */
static enum err
check_histogram_rollup(const struct histogram_rollup *r)
{
    if (!histogram_rollup_is_valid(r)) return ERR_CORRUPT;
    if (r->count == 0) return OK;
    const struct histogram *ends[] = {&r->last, &r->first};
    uint32_t custom = 0, known = r->count > 1 ? 2 : 1;
    for (uint32_t i = 0; i < known; i++) {
        if (is_marker(ends[i])) return ERR_CORRUPT;
        custom += ends[i]->schema == HISTOGRAM_SCHEMA_CUSTOM;
    }
    bool plausible = custom <= r->custom_count && known - custom <= r->count - r->custom_count;
    if (r->sum != NULL) plausible &= fhist_is_custom(r->sum) == (r->custom_count > 0);
    return plausible ? OK : ERR_CORRUPT;
}

static enum err
read_block(struct cursor *cursor, struct histogram_block *b)
{
    unsigned low = cursor_u8(cursor), high = cursor_u8(cursor), flags = low | high << 8;
    if (cursor->bad || flags >= FLAGS_END) return ERR_CORRUPT;
    enum err e = OK;
    for (unsigned column = 0; column < HISTOGRAM_COLUMNS && e == OK; column++) {
        bool is_written = (flags & 1u << column) != 0;
        if (is_written)
            e = codec_int_decode(cursor, b->count, b->column);
        else
            memset(b->column, 0, b->count * sizeof *b->column);
        for (uint32_t i = 0; i < b->count && e == OK; i++) {
            enum histogram_column c = (enum histogram_column)column;
            e = set_integer(b, c, i, guess_of(b, c, i) + (uint64_t)b->column[i]);
        }
    }
    if (e == OK) e = read_firsts(cursor, b);
    if (e == OK) e = read_sums(cursor, b);
    for (uint32_t i = 0; i < b->count && e == OK; i++) {
        struct histogram_rollup *r = b->rollups[i];
        if (has_correction(r)) e = read_single(cursor, b->arena, &r->correction);
    }
    return e;
}

enum err
codec_histogram_rollups_decode(struct bytes first_times, struct bytes encoded,
                               int64_t resolution_ms, const int64_t *times_ms,
                               const struct histogram *rows, uint32_t row_count,
                               struct arena *arena, struct histogram_rollup *ret_rollups,
                               uint32_t *ret_count)
{
    if (row_count == 0 || row_count > CODEC_SAMPLES_MAX) return ERR_CORRUPT;
    uint32_t count;
    enum err e = read_rows(resolution_ms, times_ms, rows, row_count, ret_rollups, &count);
    if (e) return e;
    struct histogram_block b = {.arena = arena, .resolution_ms = resolution_ms};
    struct cursor cursor = cursor_of(encoded);
    e = begin_block(&b, ret_rollups, count);
    if (e == OK && b.count == 0 && first_times.size > 0) e = ERR_CORRUPT;
    if (e == OK && b.count > 0) {
        e = rollups_read_times(first_times, b.resolution_ms, b.times, b.count, b.count,
                               &b.interval_ms);
        for (uint32_t i = 0; i < b.count && e == OK; i++)
            b.rollups[i]->first_ms = b.times[i].first_ms;
    }
    if (e == OK && b.count > 0) e = read_block(&cursor, &b);
    if (e == OK && cursor_left(&cursor) > 0) e = ERR_CORRUPT;
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = check_histogram_rollup(&ret_rollups[i]);
    if (e == OK) *ret_count = count;
    return e;
}
