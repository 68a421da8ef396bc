/*
 * rollups.c - what a block of rollups has besides its rows, see rollups.h. The bytes are
 * docs/format/codec.md.
 *
 * A rollup is a dozen numbers, most of which say little that is new: the first sample follows the
 * last one of the window before, a counter's least value is its first, a regular series has the
 * same count everywhere. So each column is guessed from what the reader knows already (the rows,
 * the columns before it), and only the difference is written, as integers; a column whose guesses
 * are all right is not written. First times are those of other series of the target, too, so they
 * are in the column of times, which these share.
 *
 * Differences of values are taken between integers, in one of two domains that the whole block has:
 * decimals (k of k / 10^e, as float.c has them), or places in the order of doubles. A value that is
 * no decimal has a second number, the distance of its bits to those of k / 10^e. Sums and
 * corrections are themselves rounded: they take the nearest decimal without a second number.
 *
 * Distances are frames of one width or coded streams (codec_private.h), whichever is shorter. They
 * are too random for more: on the fleet of bench, codes that knew the range of the window, or the
 * distance of the other extreme, would save 1.5 % of a column.
 *
 * Guesses are computed alike by writer and reader, to the last bit: each double operation is
 * rounded once (no contraction), and what is not finite is replaced.
 */
#include "tsdb/codec/rollups.h"

#include "tsdb/codec/codec_private.h"

#include <assert.h>
#include <math.h>

/* --- the form of a block ---------------------------------------------------------------------- */

enum {
    E_ORDERED = 16, /* places in the order of doubles */

    /* Bits of the byte of guesses. */
    SUM_GUESS_MASK = 3,
    SUM_GUESSES = 3,
    CHANGES_GUESS_SHIFT = 2,
    FIRST_GUESS_SHIFT = 3,
    GUESSES_END = 16,

    CODED_END = 128, /* flag_of_coded() */
};

/* In the order in which they are written: a guess uses only columns before. */
enum rollup_column {
    COLUMN_COUNT,
    COLUMN_NAN_COUNT,
    COLUMN_FIRST,
    COLUMN_CHANGES,
    COLUMN_RESETS,
    COLUMN_LEAST,
    COLUMN_GREATEST,
    COLUMN_SUM,
    COLUMN_CORRECTION,
    COLUMNS,
};

/* Functions of one column are compiled for each, since the switches over columns would take most of
 * the time. */
#define INLINE static inline __attribute__((always_inline))

/* Flags: bits for the columns that are written, and for those that have second numbers. */
#define CORRECTIONS_LOST (1u << 14)

enum { ROLLUPS_FLAGS_END = 1 << 15 };

static unsigned
flag_of_numbers(enum rollup_column column)
{
    return 1u << column;
}

static unsigned
flag_of_rests(enum rollup_column column)
{
    static const uint16_t flags[COLUMNS] = {
        [COLUMN_FIRST] = 1u << 9, [COLUMN_LEAST] = 1u << 10,      [COLUMN_GREATEST] = 1u << 11,
        [COLUMN_SUM] = 1u << 12,  [COLUMN_CORRECTION] = 1u << 13,
    };
    return flags[column];
}

/* Bits for the columns that are coded streams. Counts of samples never are. */
static unsigned
flag_of_coded(enum rollup_column column)
{
    return column < COLUMN_FIRST ? 0 : 1u << (column - COLUMN_FIRST);
}

/* The properties that all rollups of a block share. */
struct rollups_form {
    uint64_t interval_ms; /* usual distance of samples */
    unsigned e;           /* exponent, or E_ORDERED */
    unsigned sum_guess;
    unsigned changes_guess;
    unsigned first_guess;
    unsigned coded; /* bits of flag_of_coded() */
    unsigned flags;
};

/* --- rows ------------------------------------------------------------------------------------- */

uint32_t
rollup_rows(const struct rollup *rollups, uint32_t count, int64_t *ret_times_ms, uint64_t *ret_bits)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (rollups[i].count > 0) {
            ret_times_ms[rows] = rollups[i].last_ms;
            ret_bits[rows++] = rollups[i].last_bits;
        }
        if (rollups[i].is_stale) {
            ret_times_ms[rows] = rollups[i].stale_ms;
            ret_bits[rows++] = STALE_NAN_BITS;
        }
    }
    return rows;
}

/* Makes the rollups of the rows, with a count of 1 where there are samples; columns follow. */
static enum err
rollups_read_rows(int64_t resolution_ms, const int64_t *times_ms, const uint64_t *bits,
                  uint32_t row_count, struct rollup *rollups, uint32_t *ret_count,
                  uint32_t *ret_sampled_count)
{
    uint32_t count = 0, sampled_count = 0;
    int64_t end = rollup_window_end(times_ms[0], resolution_ms);
    for (uint32_t i = 0; i < row_count; i++) {
        if (i > 0 && times_ms[i] <= times_ms[i - 1]) return ERR_CORRUPT;
        int64_t own_end = rollups_next_end(end, times_ms[i], resolution_ms);
        bool is_new = count == 0 || own_end != end;
        end = own_end;
        if (is_new) {
            bool is_stale = bits[i] == STALE_NAN_BITS;
            rollups[count++] = (struct rollup){.first_ms = times_ms[i],
                                               .last_ms = times_ms[i],
                                               .stale_ms = times_ms[i],
                                               .is_stale = is_stale,
                                               .count = !is_stale,
                                               .first_bits = bits[i],
                                               .last_bits = bits[i]};
            sampled_count += !is_stale;
            continue;
        }
        struct rollup *r = &rollups[count - 1];
        if (bits[i] != STALE_NAN_BITS || r->is_stale) return ERR_CORRUPT;
        r->is_stale = true;
        r->stale_ms = times_ms[i];
    }
    *ret_count = count;
    *ret_sampled_count = sampled_count;
    return OK;
}

/* --- values as integers ----------------------------------------------------------------------- */

/* Finds the integer near v * 10^e. False if it is not below 2^62. */
static bool
scaled(double v, unsigned e, int64_t *ret_k)
{
    if (codec_scale(v, e, ret_k)) return true;
    double product = v * codec_powers[e];
    if (!(product < 0x1p62 && product > -0x1p62)) return false;
    *ret_k = (int64_t)product;
    return true;
}

/* Returns a value's integer; 0 for decimals out of range. */
static int64_t
place_of(unsigned e, uint64_t bits)
{
    if (e == E_ORDERED) return codec_ordered(bits);
    int64_t k;
    return scaled(bits_double(bits), e, &k) ? k : 0;
}

/* Returns the value at a distance from a guess; the guess itself if it is 0. */
static uint64_t
value_at(unsigned e, uint64_t guess, int64_t distance)
{
    if (distance == 0) return guess;
    uint64_t place = (uint64_t)place_of(e, guess) + (uint64_t)distance;
    return e == E_ORDERED ? codec_unordered(place) : codec_decimal_bits(e, (int64_t)place);
}

/* Returns the distance of a value to its guess; 0 for one that is not near a decimal. */
static int64_t
distance_of(unsigned e, uint64_t guess, uint64_t bits)
{
    if (bits == guess) return 0;
    uint64_t from = (uint64_t)place_of(e, guess);
    if (e == E_ORDERED) return (int64_t)((uint64_t)codec_ordered(bits) - from);
    int64_t k;
    return scaled(bits_double(bits), e, &k) ? (int64_t)((uint64_t)k - from) : 0;
}

/* --- guesses ---------------------------------------------------------------------------------- */

/* Returns the time after the last sample before (which may be NULL), or the earliest in the window,
 * which ends at `end`, from which regular samples lead to the last one. All is mod 2^64: times may
 * be anywhere. */
static uint64_t
guess_first_ms(int64_t end, int64_t resolution_ms, uint64_t interval_ms, const struct rollup *r,
               const struct rollup *before)
{
    uint64_t last = (uint64_t)r->last_ms;
    uint64_t room = last - ((uint64_t)end - (uint64_t)resolution_ms);
    if (before != NULL) {
        uint64_t next = (uint64_t)before->last_ms + interval_ms;
        if (last - next < room) return next;
    }
    return last - (room - 1) / interval_ms * interval_ms;
}

uint64_t
rollups_guess_count(uint64_t interval_ms, const struct rollup *r)
{
    uint64_t duration = (uint64_t)r->last_ms - (uint64_t)r->first_ms;
    return (duration + interval_ms / 2) / interval_ms + 1;
}

/* Returns the bits of the decimal next to a guess. */
static uint64_t
decimal_near(const struct rollups_form *form, double guess)
{
    uint64_t bits = isfinite(guess) ? double_bits(guess) : 0;
    if (form->e == E_ORDERED) return bits;
    return codec_decimal_bits(form->e, place_of(form->e, bits));
}

/* Returns the last value before, or the point of the line from there to the last value. */
static uint64_t
guess_first(const struct rollups_form *form, const struct rollup *r, const struct rollup *before)
{
    if (before == NULL) return r->last_bits;
    if (form->first_guess == 0 || before->last_bits == r->last_bits) return before->last_bits;
    double from = bits_double(before->last_bits), to = bits_double(r->last_bits);
    double whole = (double)((uint64_t)r->last_ms - (uint64_t)before->last_ms);
    double part = (double)((uint64_t)r->first_ms - (uint64_t)before->last_ms);
    return decimal_near(form, from + (to - from) * (part / whole));
}

static uint64_t
guess_sum(const struct rollups_form *form, const struct rollup *r)
{
    double ends = bits_double(r->first_bits) + bits_double(r->last_bits);
    double extremes = r->least + r->greatest, twice;
    if (form->sum_guess == 0)
        twice = extremes;
    else if (form->sum_guess == 1)
        twice = ends;
    else
        twice = (ends + extremes) * 0.5;
    return decimal_near(form, twice * 0.5 * (double)(r->count - r->nan_count));
}

/* Returns an integer, or the bits of a value. */
INLINE uint64_t
rollups_guess_of(const struct rollups_form *form, enum rollup_column column, const struct rollup *r,
                 const struct rollup *before)
{
    double first = bits_double(r->first_bits), last = bits_double(r->last_bits);
    switch (column) {
    case COLUMN_COUNT:
        return rollups_guess_count(form->interval_ms, r);
    case COLUMN_FIRST:
        return guess_first(form, r, before);
    case COLUMN_CHANGES:
        if (r->first_bits == r->last_bits) return 0;
        return form->changes_guess == 0 ? r->count - 1 : 1;
    case COLUMN_RESETS:
        /* A series whose corrections are kept falls seldom, another one half of the time. */
        return form->flags & CORRECTIONS_LOST ? r->changes / 2 : last < first;
    case COLUMN_LEAST:
        return last < first || isnan(first) ? r->last_bits : r->first_bits;
    case COLUMN_GREATEST:
        return last > first || isnan(first) ? r->last_bits : r->first_bits;
    case COLUMN_SUM:
        return guess_sum(form, r);
    case COLUMN_CORRECTION:
        return decimal_near(form, r->resets * r->greatest);
    default:
        return 0;
    }
}

/* --- columns ---------------------------------------------------------------------------------- */

INLINE bool
is_integer(enum rollup_column column)
{
    return column < COLUMN_FIRST || column == COLUMN_CHANGES || column == COLUMN_RESETS;
}

/* True if the extreme follows from the order of samples. Of equal zeros the first one counts, which
 * need not be the last sample. */
INLINE bool
is_extreme_implied(enum rollup_column column, const struct rollup *r, uint64_t *ret_bits)
{
    if (r->nan_count == r->count) {
        *ret_bits = double_bits(NAN);
        return true;
    }
    bool only_rises = r->resets == 0, only_falls = r->resets == r->changes;
    bool is_first = column == COLUMN_LEAST ? only_rises : only_falls;
    bool is_last = column == COLUMN_LEAST ? only_falls : only_rises;
    *ret_bits = is_first ? r->first_bits : r->last_bits;
    return r->nan_count == 0 && (is_first || (is_last && bits_double(r->last_bits) != 0));
}

/* True if the number follows from columns before: then it is not written. */
INLINE bool
is_implied(const struct rollups_form *form, enum rollup_column column, const struct rollup *r,
           uint64_t *ret_bits)
{
    uint32_t numbers = r->count - r->nan_count;
    switch (column) {
    case COLUMN_FIRST:
        *ret_bits = r->last_bits;
        return r->count == 1;
    case COLUMN_CHANGES:
        *ret_bits = 0;
        return r->count == 1;
    case COLUMN_RESETS:
        *ret_bits = 0;
        return r->changes == 0;
    case COLUMN_LEAST:
    case COLUMN_GREATEST:
        return is_extreme_implied(column, r, ret_bits);
    case COLUMN_SUM:
        *ret_bits = double_bits(numbers > 0 ? r->least * numbers : 0);
        return numbers == 0 || (r->least == r->greatest && isfinite(r->least * numbers));
    case COLUMN_CORRECTION:
        *ret_bits = r->resets == 0 ? 0 : double_bits(NAN);
        return r->resets == 0 || (form->flags & CORRECTIONS_LOST) != 0;
    default:
        return false;
    }
}

INLINE uint64_t
number_of(enum rollup_column column, const struct rollup *r)
{
    switch (column) {
    case COLUMN_COUNT:
        return r->count;
    case COLUMN_NAN_COUNT:
        return r->nan_count;
    case COLUMN_FIRST:
        return r->first_bits;
    case COLUMN_CHANGES:
        return r->changes;
    case COLUMN_RESETS:
        return r->resets;
    case COLUMN_LEAST:
        return double_bits(r->least);
    case COLUMN_GREATEST:
        return double_bits(r->greatest);
    case COLUMN_SUM:
        return double_bits(precise_value(&r->sum));
    default:
        return double_bits(r->correction);
    }
}

INLINE enum err
set_number(enum rollup_column column, uint64_t v, struct rollup *r)
{
    if (is_integer(column) && (v > UINT32_MAX || (column == COLUMN_COUNT && v == 0)))
        return ERR_CORRUPT;
    switch (column) {
    case COLUMN_COUNT:
        r->count = (uint32_t)v;
        break;
    case COLUMN_NAN_COUNT:
        r->nan_count = (uint32_t)v;
        break;
    case COLUMN_FIRST:
        r->first_bits = v;
        break;
    case COLUMN_CHANGES:
        r->changes = (uint32_t)v;
        break;
    case COLUMN_RESETS:
        r->resets = (uint32_t)v;
        break;
    case COLUMN_LEAST:
        r->least = bits_double(v);
        break;
    case COLUMN_GREATEST:
        r->greatest = bits_double(v);
        break;
    case COLUMN_SUM:
        r->sum = (struct precise){.sum = bits_double(v)};
        break;
    default:
        r->correction = bits_double(v);
        break;
    }
    return OK;
}

/* --- writing columns -------------------------------------------------------------------------- */

/* The vote of Boyer and Moore. */
uint64_t
rollups_usual_interval_ms(const struct rollup *rollups, uint32_t count)
{
    uint64_t usual = 1;
    uint32_t votes = 0;
    const struct rollup *before = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct rollup *r = &rollups[i];
        if (r->count == 0) continue;
        uint64_t own = 0;
        if (r->count > 1) {
            uint64_t duration = (uint64_t)r->last_ms - (uint64_t)r->first_ms;
            own = (duration + (r->count - 1) / 2) / (r->count - 1);
        } else if (before != NULL) {
            own = (uint64_t)r->first_ms - (uint64_t)before->last_ms;
        }
        before = r;
        if (own == 0) continue;
        if (votes == 0) usual = own;
        votes = own == usual ? votes + 1 : votes - 1;
    }
    return usual;
}

/* Raises e for a value that needs more digits. False if it is not a decimal. */
static bool
raise_exponent(uint64_t bits, unsigned *e)
{
    enum { HINT_MAX = 11 };
    unsigned raised;
    int64_t k;
    if (scaled(bits_double(bits), *e, &k) && codec_decimal_bits(*e, k) == bits) return true;
    if (*e > HINT_MAX || !codec_decimal(bits, *e, &raised, &k)) return false;
    if (raised > *e) *e = raised;
    return true;
}

/* Returns the exponent of the last samples, raised for others; E_ORDERED if most of those that
 * differ from the last ones are no decimals. */
static unsigned
choose_exponent(struct codec_scratch *scratch, const struct rollup *rollups, uint32_t count,
                struct buf *out)
{
    uint32_t sampled = 0;
    for (uint32_t i = 0; i < count; i++)
        if (rollups[i].count > 0) scratch->column[sampled++] = (int64_t)rollups[i].last_bits;
    size_t size_before = out->size;
    codec_float_encode(scratch, (const uint64_t *)scratch->column, sampled, out);
    if (buf_error(out)) return 0;
    struct bytes last = bytes_of(out->at + size_before, out->size - size_before);
    struct codec_shape shape = codec_float_shape(last);
    out->size = size_before;
    unsigned e = shape.e;
    if (!shape.is_decimal) return E_ORDERED;
    uint32_t moved = 0, failed = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rollup *r = &rollups[i];
        const uint64_t values[] = {r->first_bits, double_bits(r->least), double_bits(r->greatest)};
        for (unsigned v = 0; v < 3 && r->count > 0; v++) {
            if (values[v] == r->last_bits) continue;
            moved++;
            failed += !raise_exponent(values[v], &e);
        }
    }
    return !shape.is_corrected && failed > moved / 2 ? E_ORDERED : e;
}

/* True if no correction was kept, or if the series is no counter. */
static bool
loses_corrections(const struct rollup *rollups, uint32_t count)
{
    uint64_t resets = 0, changes = 0;
    bool any_kept = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct rollup *r = &rollups[i];
        if (r->count == 0) continue;
        resets += r->resets;
        changes += r->changes;
        any_kept |= r->resets > 0 && !isnan(r->correction);
    }
    return resets > 0 && (!any_kept || rollups_fall_often(resets, changes, count));
}

/* A sum of n samples may be off by n roundings of its parts, which a decimal may be as well. */
static double
tolerance_of(enum rollup_column column, const struct rollup *r)
{
    if (column != COLUMN_SUM && column != COLUMN_CORRECTION) return 0;
    double n = column == COLUMN_SUM ? r->count - r->nan_count : r->resets;
    double tolerance = 0x1p-52 * n * fmax(fabs(r->least), fabs(r->greatest));
    return isfinite(tolerance) ? tolerance : 0;
}

/* Fills scratch->column and scratch->r; returns the number of items that are not implied. */
static uint32_t
fill_column(struct codec_scratch *scratch, const struct rollups_form *form,
            enum rollup_column column, const struct rollup *rollups, uint32_t count)
{
    uint32_t n = 0;
    const struct rollup *before = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct rollup *r = &rollups[i], *previous = before;
        uint64_t implied;
        if (r->count == 0) continue;
        before = r;
        if (is_implied(form, column, r, &implied)) continue;
        uint64_t number = number_of(column, r), guess = rollups_guess_of(form, column, r, previous);
        int64_t distance, rest = 0;
        if (is_integer(column)) {
            distance = (int64_t)(number - guess);
        } else {
            distance = distance_of(form->e, guess, number);
            uint64_t found = value_at(form->e, guess, distance);
            double error = fabs(bits_double(found) - bits_double(number));
            double tolerance = tolerance_of(column, r);
            bool is_close = tolerance > 0 && error <= tolerance;
            if (!is_close) rest = (int64_t)(number - found);
        }
        scratch->column[n] = distance;
        scratch->r[n++] = rest;
    }
    return n;
}

static bool
any_set(const int64_t *numbers, uint32_t count)
{
    int64_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all |= numbers[i];
    return all != 0;
}

static void
put_column(struct codec_scratch *scratch, struct rollups_form *form, enum rollup_column column,
           const struct rollup *rollups, uint32_t count, struct buf *out)
{
    uint32_t n = fill_column(scratch, form, column, rollups, count);
    if (any_set(scratch->column, n)) {
        form->flags |= flag_of_numbers(column);
        /* The shorter kind of stream is appended. */
        size_t size = codec_int_write(scratch, scratch->column, n, false, scratch->out);
        unsigned coded = flag_of_coded(column);
        uint8_t *other = scratch->out + CODEC_STREAM_BYTES_MAX;
        size_t coded_size = coded == 0 ? 0 : codec_coded_write(scratch->column, n, size, other);
        if (coded_size > 0) {
            form->coded |= coded;
            buf_put(out, other, coded_size);
        } else {
            buf_put(out, scratch->out, size);
        }
    }
    if (any_set(scratch->r, n)) {
        form->flags |= flag_of_rests(column);
        codec_int_encode(scratch, scratch->r, n, out);
    }
}

/* Keeps the guess with which the column costs least, as an estimate: second numbers do not count,
 * nor what a coded stream saves. `guess` is in the form. */
static void
choose_guess(struct codec_scratch *scratch, struct rollups_form *form, unsigned *guess,
             unsigned guesses, enum rollup_column column, const struct rollup *rollups,
             uint32_t count)
{
    size_t least = SIZE_MAX;
    unsigned best = 0;
    for (*guess = 0; *guess < guesses && least > 0; ++*guess) {
        uint32_t n = fill_column(scratch, form, column, rollups, count);
        size_t cost = 0; /* size of the distances */
        if (any_set(scratch->column, n))
            cost = codec_int_write(scratch, scratch->column, n, false, scratch->out);
        if (cost >= least) continue;
        least = cost;
        best = *guess;
    }
    *guess = best;
}

void
codec_rollups_encode_times(struct codec_scratch *scratch, const struct rollup *rollups,
                           uint32_t count, int64_t resolution_ms, struct buf *out)
{
    uint64_t interval_ms = rollups_usual_interval_ms(rollups, count);
    const struct rollup *before = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rollup *r = &rollups[i];
        if (r->count == 0) continue;
        int64_t end = rollup_window_end(r->last_ms, resolution_ms);
        uint64_t guess = guess_first_ms(end, resolution_ms, interval_ms, r, before);
        scratch->column[n++] = (int64_t)((uint64_t)r->first_ms - guess);
        before = r;
    }
    if (n == 0) return;
    buf_put_varint(out, interval_ms);
    if (any_set(scratch->column, n)) codec_int_encode(scratch, scratch->column, n, out);
}

void
codec_rollups_encode(struct codec_scratch *scratch, const struct rollup *rollups, uint32_t count,
                     struct buf *out)
{
    uint32_t sampled = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert(rollup_is_valid(&rollups[i]));
        sampled += rollups[i].count > 0;
    }
    if (sampled == 0) return;
    size_t size_before = out->size;
    struct rollups_form form = {
        .interval_ms = rollups_usual_interval_ms(rollups, count),
        .e = choose_exponent(scratch, rollups, count, out),
    };
    if (loses_corrections(rollups, count)) form.flags = CORRECTIONS_LOST;
    choose_guess(scratch, &form, &form.first_guess, 2, COLUMN_FIRST, rollups, count);
    choose_guess(scratch, &form, &form.changes_guess, 2, COLUMN_CHANGES, rollups, count);
    choose_guess(scratch, &form, &form.sum_guess, SUM_GUESSES, COLUMN_SUM, rollups, count);
    buf_put_u8(out, (uint8_t)form.e);
    size_t form_at = out->size;
    buf_put(out, (const uint8_t[]){0, 0, 0, 0}, 4);
    for (unsigned column = 0; column < COLUMNS; column++)
        put_column(scratch, &form, (enum rollup_column)column, rollups, count, out);
    if (buf_error(out)) {
        out->size = size_before;
        return;
    }
    out->at[form_at] = (uint8_t)(form.sum_guess | form.changes_guess << CHANGES_GUESS_SHIFT |
                                 form.first_guess << FIRST_GUESS_SHIFT);
    out->at[form_at + 1] = (uint8_t)form.coded;
    store_le16(out->at + form_at + 2, (uint16_t)form.flags);
}

void
codec_rollups_encode_block(struct codec_scratch *scratch, const struct rollup *rollups,
                           uint32_t count, int64_t resolution_ms, int64_t *times_ms, uint64_t *bits,
                           struct buf *out)
{
    int64_t origin;
    uint32_t rows = rollup_rows(rollups, count, times_ms, bits);
    codec_times_encode(scratch, times_ms, rows, out);
    codec_rollups_encode_times(scratch, rollups, count, resolution_ms, out);
    codec_float_encode_from(scratch, bits, rows, &origin, out);
    codec_rollups_encode(scratch, rollups, count, out);
}

/* --- reading columns -------------------------------------------------------------------------- */

/* The numbers of a column, one after the other; zeros if it was not written. */
struct column_reader {
    bool is_written;
    bool is_coded;
    struct codec_coded_reader coded;
    struct cursor *cursor;
    struct codec_int_reader reader;
    uint32_t left; /* numbers of a coded stream that are not in the frame */
    uint32_t at;
    uint32_t got;
    uint64_t frame[CODEC_FRAME];
};

static enum err
column_begin(struct column_reader *column, struct cursor *cursor, bool is_coded, uint32_t count)
{
    column->is_written = true;
    column->is_coded = is_coded;
    column->cursor = cursor;
    column->left = count;
    column->at = column->got = 0;
    if (is_coded) return codec_coded_begin(&column->coded, cursor);
    return codec_int_head(&column->reader, cursor, count, column->frame, &column->got);
}

static enum err
column_frame(struct column_reader *column)
{
    column->at = 0;
    if (!column->is_coded) return codec_int_frame(&column->reader, column->frame, &column->got);
    column->got = column->left < CODEC_FRAME ? column->left : CODEC_FRAME;
    column->left -= column->got;
    return codec_coded_read(&column->coded, column->cursor, column->got, column->frame);
}

INLINE enum err
column_next(struct column_reader *column, uint64_t *ret_number)
{
    *ret_number = 0;
    if (!column->is_written) return OK;
    if (column->at == column->got) {
        enum err e = column_frame(column);
        if (e) return e;
    }
    *ret_number = column->frame[column->at++];
    return OK;
}

/* Returns the number of items that are not implied. */
INLINE uint32_t
count_written(const struct rollups_form *form, enum rollup_column column,
              const struct rollup *rollups, uint32_t count)
{
    uint32_t written = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t implied;
        written += rollups[i].count > 0 && !is_implied(form, column, &rollups[i], &implied);
    }
    return written;
}

/* Sets the numbers of a column: the implied ones, and others by their distances from guesses. */
INLINE enum err
read_distances(struct cursor *cursor, const struct rollups_form *form, enum rollup_column column,
               struct rollup *rollups, uint32_t count, uint32_t written)
{
    struct column_reader reader;
    enum err e = OK;
    reader.is_written = (form->flags & flag_of_numbers(column)) != 0;
    reader.is_coded = reader.is_written && (form->coded & flag_of_coded(column)) != 0;
    if (reader.is_written) e = column_begin(&reader, cursor, reader.is_coded, written);
    const struct rollup *before = NULL;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        struct rollup *r = &rollups[i];
        const struct rollup *previous = before;
        uint64_t distance, number;
        if (r->count == 0) continue;
        before = r;
        if (!is_implied(form, column, r, &number)) {
            e = column_next(&reader, &distance);
            if (e) break;
            number = rollups_guess_of(form, column, r, previous);
            number = is_integer(column) ? number + distance
                                        : value_at(form->e, number, (int64_t)distance);
        }
        e = set_number(column, number, r);
    }
    if (e == OK && reader.is_coded) codec_coded_end(&reader.coded, cursor);
    return e;
}

INLINE enum err
read_rests(struct cursor *cursor, const struct rollups_form *form, enum rollup_column column,
           struct rollup *rollups, uint32_t count, uint32_t written)
{
    struct column_reader reader;
    enum err e = column_begin(&reader, cursor, false, written);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        uint64_t rest, implied;
        struct rollup *r = &rollups[i];
        if (r->count == 0 || is_implied(form, column, r, &implied)) continue;
        e = column_next(&reader, &rest);
        if (e == OK) e = set_number(column, number_of(column, r) + rest, r);
    }
    return e;
}

INLINE enum err
rollups_read_column(struct cursor *cursor, const struct rollups_form *form,
                    enum rollup_column column, struct rollup *rollups, uint32_t count)
{
    unsigned numbers = flag_of_numbers(column), rests = flag_of_rests(column);
    bool is_there = (form->flags & (numbers | rests)) != 0;
    if (!is_there && column == COLUMN_NAN_COUNT) return OK; /* all are 0 */
    uint32_t written = is_there ? count_written(form, column, rollups, count) : 0;
    if (is_there && written == 0) return ERR_CORRUPT;
    enum err e = read_distances(cursor, form, column, rollups, count, written);
    if (e || (form->flags & rests) == 0) return e;
    return read_rests(cursor, form, column, rollups, count, written);
}

/* The sum, which is before the corrections, is also read for these. */
static enum err
rollups_read_columns(struct cursor *cursor, const struct rollups_form *form, enum rollup_use use,
                     struct rollup *rollups, uint32_t count)
{
    enum err e = OK;
    unsigned corrections = flag_of_numbers(COLUMN_CORRECTION) | flag_of_rests(COLUMN_CORRECTION);
    bool has_corrections = use >= ROLLUP_CORRECTION && (form->flags & corrections) != 0;
#define READ(column, is_used) \
    if (e == OK && (is_used)) e = rollups_read_column(cursor, form, column, rollups, count)
    READ(COLUMN_COUNT, true);
    READ(COLUMN_NAN_COUNT, true);
    READ(COLUMN_FIRST, use >= ROLLUP_ENDS);
    READ(COLUMN_CHANGES, use >= ROLLUP_EXTREMES);
    READ(COLUMN_RESETS, use >= ROLLUP_EXTREMES);
    READ(COLUMN_LEAST, use >= ROLLUP_EXTREMES);
    READ(COLUMN_GREATEST, use >= ROLLUP_EXTREMES);
    READ(COLUMN_SUM, use >= ROLLUP_WHOLE || has_corrections);
    READ(COLUMN_CORRECTION, use >= ROLLUP_CORRECTION);
#undef READ
    return e;
}

enum err
rollups_read_times(struct bytes encoded, int64_t resolution_ms, struct rollup *rollups,
                   uint32_t count, uint32_t sampled_count, uint64_t *ret_interval_ms)
{
    struct cursor cursor = cursor_of(encoded);
    struct column_reader reader;
    const struct rollup *before = NULL;
    enum err e = OK;
    *ret_interval_ms = sampled_count == 0 ? 1 : cursor_varint(&cursor);
    if (cursor.bad || *ret_interval_ms == 0) return ERR_CORRUPT;
    reader.is_written = sampled_count > 0 && cursor_left(&cursor) > 0;
    if (reader.is_written) e = column_begin(&reader, &cursor, false, sampled_count);
    int64_t end = rollup_window_end(rollups[0].last_ms, resolution_ms);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        struct rollup *r = &rollups[i];
        uint64_t distance;
        if (r->count == 0) continue;
        e = column_next(&reader, &distance);
        if (e) break;
        end = rollups_next_end(end, r->last_ms, resolution_ms);
        r->first_ms =
            (int64_t)(guess_first_ms(end, resolution_ms, *ret_interval_ms, r, before) + distance);
        before = r;
    }
    return e == OK && cursor_left(&cursor) > 0 ? ERR_CORRUPT : e;
}

static enum err
read_form(struct cursor *cursor, uint64_t interval_ms, struct rollups_form *ret_form)
{
    unsigned e = cursor_u8(cursor), guesses = cursor_u8(cursor), coded = cursor_u8(cursor);
    unsigned low = cursor_u8(cursor), high = cursor_u8(cursor);
    *ret_form = (struct rollups_form){
        .interval_ms = interval_ms,
        .e = e,
        .sum_guess = guesses & SUM_GUESS_MASK,
        .changes_guess = guesses >> CHANGES_GUESS_SHIFT & 1,
        .first_guess = guesses >> FIRST_GUESS_SHIFT & 1,
        .coded = coded,
        .flags = low | high << 8,
    };
    if (cursor->bad || e > E_ORDERED || ret_form->flags >= ROLLUPS_FLAGS_END) return ERR_CORRUPT;
    if (guesses >= GUESSES_END || coded >= CODED_END) return ERR_CORRUPT;
    return ret_form->sum_guess >= SUM_GUESSES ? ERR_CORRUPT : OK;
}

enum err
rollups_check_times(int64_t end, int64_t resolution_ms, const struct rollup *r)
{
    if (r->first_ms > r->last_ms) return ERR_CORRUPT;
    if (rollups_next_end(end, r->first_ms, resolution_ms) != end) return ERR_CORRUPT;
    bool has_room = r->count - 1 <= (uint64_t)r->last_ms - (uint64_t)r->first_ms;
    return r->count == 0 || !has_room ? ERR_CORRUPT : OK;
}

/* Checks what callers rely on: invariants, times, and an order of the extremes. */
static enum err
check_rollup(const struct rollup *r, int64_t end, int64_t resolution_ms, enum rollup_use use)
{
    if (!rollup_is_valid(r)) return ERR_CORRUPT;
    if (r->count == 0) return OK;
    if (rollups_check_times(end, resolution_ms, r)) return ERR_CORRUPT;
    if (r->first_bits == STALE_NAN_BITS) return ERR_CORRUPT;
    bool has_extremes = use >= ROLLUP_EXTREMES && r->nan_count < r->count;
    return has_extremes && !(r->least <= r->greatest) ? ERR_CORRUPT : OK;
}

enum err
codec_rollups_decode(struct bytes first_times, struct bytes encoded, int64_t resolution_ms,
                     enum rollup_use use, const int64_t *times_ms, const uint64_t *bits,
                     uint32_t row_count, struct rollup *ret_rollups, uint32_t *ret_count)
{
    assert(use != ROLLUP_NONE);
    if (row_count == 0 || row_count > CODEC_SAMPLES_MAX) return ERR_CORRUPT;
    uint32_t count, sampled_count;
    struct rollup *rollups = ret_rollups;
    enum err e = rollups_read_rows(resolution_ms, times_ms, bits, row_count, rollups, &count,
                                   &sampled_count);
    if (e) return e;
    struct cursor cursor = cursor_of(encoded);
    struct rollups_form form = {0};
    uint64_t interval_ms;
    e = rollups_read_times(first_times, resolution_ms, rollups, count, sampled_count, &interval_ms);
    if (sampled_count > 0 && e == OK) e = read_form(&cursor, interval_ms, &form);
    if (sampled_count > 0 && e == OK) e = rollups_read_columns(&cursor, &form, use, rollups, count);
    if (e == OK && use == ROLLUP_WHOLE && cursor_left(&cursor) > 0) e = ERR_CORRUPT;
    int64_t end = rollup_window_end(times_ms[0], resolution_ms);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        end = rollups_next_end(end, rollups[i].last_ms, resolution_ms);
        e = check_rollup(&rollups[i], end, resolution_ms, use);
    }
    if (e == OK) *ret_count = count;
    return e;
}
