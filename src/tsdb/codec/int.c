/*
 * int.c - reads and writes integer streams. Format: docs/format/codec.md.
 *
 * Writing: a stream costs what the widths of its numbers cost, so the writer's work is to choose,
 * without trying each choice out: which differences to take (mode), whether to fold signs (zigzag)
 * or subtract a base, and for each frame of 128 the width w that is cheapest when wider numbers
 * become exceptions. All three decisions read one thing, a histogram of bit lengths:
 *
 *     cost(w) = count * w + exceptions * (7 for the position + their bits above w)
 *
 * so a mode is judged from one pass over the differences and a walk over at most 64 counters. The
 * passes are what encoding time goes into. The counters are kept fourfold, since incrementing the
 * one just incremented waits for the store before.
 */
#include "tsdb/codec/codec_private.h"

#include <assert.h>

/* --- reading ---------------------------------------------------------------------------------- */

/*
 * The cost of reading is unpacking, so there is an unpacker for each width: eight numbers of w bits
 * are w bytes, and with w known to the compiler every offset, shift and mask is a constant. The
 * seven numbers that may remain at the end of a frame are read one at a time, so that at most 8
 * bytes after the frame are read.
 *
 * Everything is checked before it is used: the width and the sizes that follow from it against the
 * cursor before a byte is unpacked, positions against the frame. The numbers themselves may have
 * any value; arithmetic is mod 2^64.
 */

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t
low_bits(unsigned w)
{
    return w >= 64 ? UINT64_MAX : (UINT64_C(1) << w) - 1;
}

INLINE uint64_t
unpack_at(const uint8_t *in, unsigned w, uint32_t index)
{
    size_t bit = (size_t)index * w;
    unsigned shift = bit & 7;
    uint64_t v = load_le64(in + bit / 8) >> shift;
    if (w > 57 && shift + w > 64) v |= (uint64_t)in[bit / 8 + 8] << (64 - shift);
    return v & low_bits(w);
}

INLINE void
unpack_groups(const uint8_t *in, unsigned w, uint32_t groups, uint64_t *out)
{
    for (uint32_t i = 0; i < groups; i++, in += w, out += 8) {
        out[0] = unpack_at(in, w, 0);
        out[1] = unpack_at(in, w, 1);
        out[2] = unpack_at(in, w, 2);
        out[3] = unpack_at(in, w, 3);
        out[4] = unpack_at(in, w, 4);
        out[5] = unpack_at(in, w, 5);
        out[6] = unpack_at(in, w, 6);
        out[7] = unpack_at(in, w, 7);
    }
}

#define WIDTHS_8(X, d) \
    X((d)*8 + 1)       \
    X((d)*8 + 2)       \
    X((d)*8 + 3)       \
    X((d)*8 + 4) X((d)*8 + 5) X((d)*8 + 6) X((d)*8 + 7) X((d)*8 + 8)
#define WIDTHS(X)  \
    WIDTHS_8(X, 0) \
    WIDTHS_8(X, 1) \
    WIDTHS_8(X, 2) \
    WIDTHS_8(X, 3) WIDTHS_8(X, 4) WIDTHS_8(X, 5) WIDTHS_8(X, 6) WIDTHS_8(X, 7)

/* Unpacks count numbers of w = 0..64 bits; reads up to 8 bytes after them. */
static void
int_unpack(const uint8_t *in, unsigned w, uint32_t count, uint64_t *out)
{
    if (w == 0) {
        memset(out, 0, count * sizeof *out);
        return;
    }
    uint32_t groups = count / 8;
    switch (w) {
#define CASE(width)                            \
    case width:                                \
        unpack_groups(in, width, groups, out); \
        break;
        WIDTHS(CASE)
#undef CASE
    default:
        __builtin_unreachable();
    }
    for (uint32_t i = groups * 8; i < count; i++)
        out[i] = unpack_at(in, w, i);
}

/* Adds the bits above w of the exceptions. `in` has the positions, and the values if h is not
 * 128. */
static enum err
patch_packed(const uint8_t *in, unsigned w, unsigned h, uint32_t exceptions, uint64_t *u,
             uint32_t count)
{
    const uint8_t *above = in + (exceptions * 7 + 7) / 8;
    uint32_t previous = 0;
    for (uint32_t i = 0; i < exceptions; i++) {
        uint32_t position = (uint32_t)unpack_at(in, 7, i);
        if (position >= count || (i > 0 && position <= previous)) return ERR_CORRUPT;
        previous = position;
        uint64_t high = h == 0 ? 0 : unpack_at(above, h, i);
        u[position] += (high + 1) << w;
    }
    return OK;
}

static enum err
patch_varints(struct cursor *cursor, const uint8_t *positions, unsigned w, uint32_t exceptions,
              uint64_t *u, uint32_t count)
{
    uint32_t previous = 0;
    for (uint32_t i = 0; i < exceptions; i++) {
        uint32_t position = (uint32_t)unpack_at(positions, 7, i);
        if (position >= count || (i > 0 && position <= previous)) return ERR_CORRUPT;
        previous = position;
        u[position] += (cursor_varint(cursor) + 1) << w;
    }
    return cursor->bad ? ERR_CORRUPT : OK;
}

/* The header of a frame, and the place of its numbers. */
struct packed_frame {
    unsigned w;
    uint32_t exceptions;
    unsigned h;
    struct bytes packed, patch;
};

static enum err
read_frame(struct cursor *cursor, uint32_t count, struct packed_frame *ret_frame)
{
    struct packed_frame f = {0};
    unsigned first = cursor_u8(cursor);
    f.w = first & 127;
    if (f.w > 64) return ERR_CORRUPT;
    if (first >= 128) {
        f.exceptions = (uint32_t)cursor_u8(cursor) + 1;
        f.h = cursor_u8(cursor);
        if (f.exceptions > count || f.w == 64 || (f.h > 64 - f.w && f.h != 128)) return ERR_CORRUPT;
    }
    f.packed = cursor_bytes(cursor, ((uint64_t)count * f.w + 7) / 8);
    if (f.exceptions > 0) {
        uint64_t patch_bytes = (f.exceptions * 7 + 7) / 8;
        if (f.h != 128) patch_bytes += (f.exceptions * f.h + 7) / 8;
        f.patch = cursor_bytes(cursor, patch_bytes);
    }
    *ret_frame = f;
    return cursor->bad ? ERR_CORRUPT : OK;
}

/* --- from numbers to values ------------------------------------------------------------------- */

typedef uint64_t pair __attribute__((vector_size(16)));

INLINE uint64_t
unfold(uint64_t u, bool zigzagged, uint64_t base)
{
    return zigzagged ? (uint64_t)unzigzag(u) : u + base;
}

INLINE pair
unfold_pair(pair u, bool zigzagged, uint64_t base)
{
    return zigzagged ? (u >> 1) ^ -(u & 1) : u + base;
}

/* {a, b} to {last + a, last + a + b}; `last` becomes the new last one, twice. */
INLINE pair
sum_pair(pair v, pair *last)
{
    const pair zero = {0, 0};
    v += __builtin_shufflevector(zero, v, 0, 2);
    v += *last;
    *last = __builtin_shufflevector(v, v, 1, 1);
    return v;
}

/* Turns numbers into values, two at a time; an odd one is left over. */
INLINE void
integrate_pairs(struct codec_int_reader *reader, enum codec_mode mode, bool zigzagged, uint64_t *v,
                uint32_t count)
{
    pair value = {reader->value, reader->value}, delta = {reader->delta, reader->delta};
    const uint64_t base = reader->base;
    for (uint32_t i = 0; i + 2 <= count; i += 2) {
        pair x;
        memcpy(&x, v + i, sizeof x);
        x = unfold_pair(x, zigzagged, base);
        if (mode == CODEC_DELTA) x = sum_pair(x, &value);
        if (mode == CODEC_DELTA2) x = sum_pair(sum_pair(x, &delta), &value);
        if (mode == CODEC_LINE) x += sum_pair(delta, &value);
        memcpy(v + i, &x, sizeof x);
    }
    reader->value = value[0];
    reader->delta = delta[0];
}

INLINE void
integrate_as(struct codec_int_reader *reader, enum codec_mode mode, bool zigzagged, uint64_t *v,
             uint32_t count)
{
    integrate_pairs(reader, mode, zigzagged, v, count);
    if ((count & 1) == 0) return;
    uint64_t x = unfold(v[count - 1], zigzagged, reader->base);
    if (mode == CODEC_DELTA2) reader->delta += x;
    if (mode == CODEC_DELTA) reader->value += x;
    if (mode == CODEC_DELTA2 || mode == CODEC_LINE) reader->value += reader->delta;
    if (mode == CODEC_DELTA || mode == CODEC_DELTA2) x = reader->value;
    if (mode == CODEC_LINE) x += reader->value;
    v[count - 1] = x;
}

static void
integrate(struct codec_int_reader *reader, uint64_t *v, uint32_t count)
{
    switch (reader->header & (CODEC_MODE_MASK | CODEC_ZIGZAG)) {
#define CASES(mode)                                  \
    case mode:                                       \
        integrate_as(reader, mode, false, v, count); \
        break;                                       \
    case mode | CODEC_ZIGZAG:                        \
        integrate_as(reader, mode, true, v, count);  \
        break;
        CASES(CODEC_PLAIN)
        CASES(CODEC_DELTA)
        CASES(CODEC_DELTA2)
        CASES(CODEC_LINE)
#undef CASES
    default:
        __builtin_unreachable();
    }
}

static void
multiply(const struct codec_int_reader *reader, uint64_t *v, uint32_t count)
{
    if (reader->divisor == 0) return;
    for (uint32_t i = 0; i < count; i++)
        v[i] = v[i] * reader->divisor + reader->origin;
}

enum err
codec_int_head(struct codec_int_reader *reader, struct cursor *cursor, uint32_t count,
               uint64_t *ret_values, uint32_t *ret_count)
{
    *reader = (struct codec_int_reader){.cursor = cursor};
    unsigned header = cursor_u8(cursor);
    if (header == CODEC_DIVIDED) {
        reader->divisor = cursor_varint(cursor);
        reader->origin = (uint64_t)cursor_zigzag(cursor);
        if (reader->divisor == 0) return ERR_CORRUPT;
        header = cursor_u8(cursor);
    }
    if (header > (CODEC_MODE_MASK | CODEC_ZIGZAG | CODEC_ALL_ZERO)) return ERR_CORRUPT;
    reader->header = header;
    enum codec_mode mode = header & CODEC_MODE_MASK;
    uint32_t lead = mode == CODEC_PLAIN ? 0 : mode == CODEC_DELTA2 ? 2 : 1;
    if (lead > count) return ERR_CORRUPT;
    if ((header & CODEC_ZIGZAG) == 0) reader->base = (uint64_t)cursor_zigzag(cursor);
    if (lead > 0) reader->value = (uint64_t)cursor_zigzag(cursor);
    ret_values[0] = reader->value;
    if (mode == CODEC_DELTA2 || mode == CODEC_LINE) reader->delta = (uint64_t)cursor_zigzag(cursor);
    if (mode == CODEC_DELTA2) ret_values[1] = reader->value += reader->delta;
    if (cursor->bad) return ERR_CORRUPT;
    multiply(reader, ret_values, lead);
    reader->left = count - lead;
    *ret_count = lead;
    return OK;
}

/* Computes the state that integrate() leaves in the reader, without the values. */
static void
pass(struct codec_int_reader *reader, const uint64_t *u, uint32_t count)
{
    enum codec_mode mode = reader->header & CODEC_MODE_MASK;
    bool zigzagged = (reader->header & CODEC_ZIGZAG) != 0;
    uint64_t value = reader->value, delta = reader->delta;
    if (mode == CODEC_PLAIN) return;
    for (uint32_t i = 0; i < count && mode != CODEC_LINE; i++) {
        uint64_t x = unfold(u[i], zigzagged, reader->base);
        if (mode == CODEC_DELTA2) x = delta += x;
        value += x;
    }
    if (mode == CODEC_LINE) value += count * delta;
    reader->value = value;
    reader->delta = delta;
}

/* Reads the numbers of the next frame. */
static enum err
next_numbers(struct codec_int_reader *reader, uint64_t *u, uint32_t *ret_count)
{
    uint32_t count = reader->left < CODEC_FRAME ? reader->left : CODEC_FRAME;
    reader->left -= count;
    *ret_count = count;
    if ((reader->header & CODEC_ALL_ZERO) == 0) {
        struct packed_frame f;
        enum err e = read_frame(reader->cursor, count, &f);
        if (e) return e;
        int_unpack(f.packed.at, f.w, count, u);
        if (f.exceptions == 0) return OK;
        if (f.h == 128)
            return patch_varints(reader->cursor, f.patch.at, f.w, f.exceptions, u, count);
        return patch_packed(f.patch.at, f.w, f.h, f.exceptions, u, count);
    }
    memset(u, 0, count * sizeof *u);
    return OK;
}

enum err
codec_int_pass(struct codec_int_reader *reader, uint64_t *room, uint32_t *ret_count)
{
    enum err e = next_numbers(reader, room, ret_count);
    if (e == OK) pass(reader, room, *ret_count);
    return e;
}

enum err
codec_int_frame(struct codec_int_reader *reader, uint64_t *ret_values, uint32_t *ret_count)
{
    enum err e = next_numbers(reader, ret_values, ret_count);
    if (e) return e;
    integrate(reader, ret_values, *ret_count);
    multiply(reader, ret_values, *ret_count);
    return OK;
}

/* --- changes ---------------------------------------------------------------------------------- */

/* Differences from a value to the next; those of 0 are left out. */
INLINE void
keep_steps(struct codec_changes *to, uint32_t row, const uint64_t *steps, uint32_t count)
{
    uint32_t n = to->count;
    for (uint32_t i = 0; i < count; i++) {
        to->rows[n] = (uint16_t)(row + i);
        to->steps[n] = steps[i];
        n += steps[i] != 0;
    }
    to->count = n;
}

/* Adds the changes of values that follow `before`; returns the last value. */
static uint64_t
keep_differences(struct codec_changes *to, uint32_t row, uint64_t before, const uint64_t *values,
                 uint32_t count)
{
    uint64_t steps[CODEC_FRAME];
    for (uint32_t i = 0; i < count; i++) {
        steps[i] = values[i] - before;
        before = values[i];
    }
    keep_steps(to, row, steps, count);
    return before;
}

INLINE uint64_t
step_of(const struct codec_int_reader *reader, uint64_t u)
{
    uint64_t x = unfold(u, (reader->header & CODEC_ZIGZAG) != 0, reader->base);
    return reader->divisor == 0 ? x : x * reader->divisor;
}

/* Adds the changes of a frame with w = 0: only its exceptions are not zero. */
static enum err
keep_exceptions(struct codec_int_reader *reader, const struct packed_frame *f,
                struct codec_changes *to, uint32_t row, uint32_t count)
{
    if (f->exceptions == 0) return OK;
    const uint8_t *above = f->patch.at + (f->exceptions * 7 + 7) / 8;
    uint32_t previous = 0;
    for (uint32_t i = 0; i < f->exceptions; i++) {
        uint32_t position = (uint32_t)unpack_at(f->patch.at, 7, i);
        if (position >= count || (i > 0 && position <= previous)) return ERR_CORRUPT;
        previous = position;
        uint64_t high = f->h == 128 ? cursor_varint(reader->cursor)
                        : f->h == 0 ? 0
                                    : unpack_at(above, f->h, i);
        uint64_t step = step_of(reader, high + 1);
        to->rows[to->count] = (uint16_t)(row + position);
        to->steps[to->count] = step;
        to->count += step != 0;
    }
    return reader->cursor->bad ? ERR_CORRUPT : OK;
}

/* Reads a stream of differences: a frame's numbers are the steps. */
static enum err
keep_frame(struct codec_int_reader *reader, struct codec_changes *to, uint32_t row, uint32_t count)
{
    uint64_t u[CODEC_FRAME];
    struct packed_frame f = {0};
    if ((reader->header & CODEC_ALL_ZERO) == 0) {
        enum err e = read_frame(reader->cursor, count, &f);
        if (e) return e;
    }
    if (f.w == 0 && step_of(reader, 0) == 0) return keep_exceptions(reader, &f, to, row, count);
    int_unpack(f.packed.at, f.w, count, u);
    enum err e = OK;
    if (f.exceptions > 0) {
        e = f.h == 128 ? patch_varints(reader->cursor, f.patch.at, f.w, f.exceptions, u, count)
                       : patch_packed(f.patch.at, f.w, f.h, f.exceptions, u, count);
    }
    for (uint32_t i = 0; i < count; i++)
        u[i] = step_of(reader, u[i]);
    keep_steps(to, row, u, count);
    return e;
}

enum err
codec_int_changes(struct cursor *cursor, uint32_t count, struct codec_changes *changes)
{
    uint64_t values[CODEC_FRAME];
    uint32_t got;
    struct codec_int_reader reader;
    if (count == 0 || count > CODEC_SAMPLES_MAX) return ERR_CORRUPT;
    enum err e = codec_int_head(&reader, cursor, count, values, &got);
    if (e == OK && got == 0) e = codec_int_frame(&reader, values, &got); /* plain */
    if (e) return e;
    bool differences = (reader.header & CODEC_MODE_MASK) == CODEC_DELTA;
    changes->count = 0;
    changes->first = values[0];
    uint64_t before = keep_differences(changes, 1, values[0], values + 1, got - 1);
    for (uint32_t row = got; reader.left > 0 && e == OK; row += got) {
        if (differences) {
            got = reader.left < CODEC_FRAME ? reader.left : CODEC_FRAME;
            reader.left -= got;
            e = keep_frame(&reader, changes, row, got);
        } else {
            e = codec_int_frame(&reader, values, &got);
            if (e == OK) before = keep_differences(changes, row, before, values, got);
        }
    }
    return e;
}

/* --- lengths of numbers ----------------------------------------------------------------------- */

enum { LENGTHS_ROW = 72 }; /* 65 lengths, and whole vectors */

/* Counters of bit lengths. */
struct lengths {
    _Alignas(16) uint16_t of[4][LENGTHS_ROW];
    uint64_t all; /* all numbers or-ed */
};

/* A width, and the estimated size of the frames with it. */
struct width {
    unsigned bits;
    uint32_t exception_count;
    uint64_t cost_bits;
};

/* The way in which a stream is written. */
struct int_choice {
    enum codec_mode mode;
    bool zigzag;
    bool all_zero;
    int64_t base;
    int64_t step;
    struct width width; /* width for all frames as if they were one */
    uint64_t cost_bits; /* cost of the whole stream, without the divisor's part */

    /* Properties of the differences, for the choice of other modes. */
    uint32_t zero_count;
    bool any_negative;
};

static inline uint64_t
int_fold(int64_t x, bool zigzagged, int64_t base)
{
    return zigzagged ? zigzag(x) : (uint64_t)x - (uint64_t)base;
}

typedef uint16_t lanes __attribute__((vector_size(16), may_alias));
typedef uint64_t pair __attribute__((vector_size(16)));
typedef int64_t pair_signed __attribute__((vector_size(16)));
typedef double pair_double __attribute__((vector_size(16)));

enum { LENGTHS_VECTORS = LENGTHS_ROW * sizeof(uint16_t) / sizeof(lanes) };

static inline void
lengths_clear(struct lengths *lengths)
{
    lanes *row = (lanes *)lengths->of;
    for (unsigned i = 0; i < 4 * LENGTHS_VECTORS; i++)
        row[i] = (lanes){0};
    lengths->all = 0;
}

/* For numbers below 2^51; longer ones make the counters wrong and show in `all`. The exponent of a
 * double is a bit length: 2u + 1, put into the low bits of 2^52, becomes a double by subtracting
 * 2^52, and its exponent is that of u's length. Two at a time, where the instruction that finds the
 * highest bit is slow on half of the machines. */
static inline __attribute__((always_inline)) void
lengths_count_short(struct lengths *lengths, const int64_t *x, uint32_t fours, bool zigzagged,
                    int64_t base)
{
    const pair implicit = {0x4330000000000001u, 0x4330000000000001u};
    const pair exponent_of_1 = {1023, 1023}, below_64 = {63, 63};
    const pair_double two_52 = {0x1p52, 0x1p52};
    const pair bases = {(uint64_t)base, (uint64_t)base};
    pair all = {0, 0};
    for (const int64_t *end = x + 4 * (size_t)fours; x != end; x += 4) {
        pair u[2];
        memcpy(u, x, sizeof u);
        for (unsigned i = 0; i < 2; i++) {
            u[i] = zigzagged ? (u[i] << 1) ^ (pair)((pair_signed)u[i] >> 63) : u[i] - bases;
            all |= u[i];
            pair length = (pair)((pair_double)((u[i] << 1) | implicit) - two_52) >> 52;
            lanes index = (lanes)((length - exponent_of_1) & below_64);
            lengths->of[2 * i][index[0]]++;
            lengths->of[2 * i + 1][index[4]]++;
        }
    }
    lengths->all = all[0] | all[1];
}

static inline __attribute__((always_inline)) void
lengths_count(struct lengths *lengths, const int64_t *x, uint32_t count, bool zigzagged,
              int64_t base)
{
    lengths_clear(lengths);
    uint32_t done = count & ~3u;
    lengths_count_short(lengths, x, done / 4, zigzagged, base);
    if (lengths->all >> 51 != 0) {
        lengths_clear(lengths);
        done = 0;
    }
    for (uint32_t i = done; i < count; i++) {
        uint64_t u = int_fold(x[i], zigzagged, base);
        lengths->all |= u;
        lengths->of[i & 3][codec_bit_length(u)]++;
    }
    /* Adds the four copies up into the first. */
    lanes *row = (lanes *)lengths->of;
    for (unsigned i = 0; i < LENGTHS_VECTORS; i++) {
        row[i] +=
            row[i + LENGTHS_VECTORS] + row[i + 2 * LENGTHS_VECTORS] + row[i + 3 * LENGTHS_VECTORS];
    }
}

static void
lengths_count_based(struct lengths *lengths, const int64_t *x, uint32_t count, int64_t base)
{
    lengths_count(lengths, x, count, false, base);
}
/* Returns the cheapest width for `count` numbers in `frames` frames. Going down from the greatest
 * length, each step turns the numbers of one more length into exceptions, all of which get a bit
 * wider. */
static struct width
lengths_choose_width(const struct lengths *lengths, uint32_t count, uint32_t frames)
{
    unsigned longest = codec_bit_length(lengths->all);
    struct width best = {longest, 0, (uint64_t)count * longest + 8 * (uint64_t)frames};
    uint64_t exceptions = 0, bits_above = 0;
    for (unsigned w = longest; w-- > 0;) {
        exceptions += lengths->of[0][w + 1];
        bits_above += exceptions;
        if (exceptions * 7 >= best.cost_bits) break;
        uint64_t packed = exceptions * (7 + longest - w);
        uint64_t varints = exceptions * 11 + bits_above + bits_above / 8;
        uint64_t cost = (uint64_t)count * w + 24 * (uint64_t)frames;
        cost += packed < varints ? packed : varints;
        if (cost < best.cost_bits) best = (struct width){w, (uint32_t)exceptions, cost};
    }
    return best;
}

static uint64_t
zigzag_cost_bits(int64_t v)
{
    return 8 * varint_size(zigzag(v));
}

/* --- choosing the mode ------------------------------------------------------------------------ */

/* Writes the differences of the values in a mode; returns their number. */
static uint32_t
differences(const int64_t *values, uint32_t count, enum codec_mode mode, int64_t step, int64_t *x)
{
    const uint64_t *v = (const uint64_t *)values;
    uint64_t *to = (uint64_t *)x;
    switch (mode) {
    case CODEC_PLAIN:
        memcpy(x, values, count * sizeof *x);
        return count;
    case CODEC_DELTA:
        for (uint32_t i = 1; i < count; i++)
            to[i - 1] = v[i] - v[i - 1];
        return count - 1;
    case CODEC_DELTA2:
        for (uint32_t i = 2; i < count; i++)
            to[i - 2] = v[i] - 2 * v[i - 1] + v[i - 2];
        return count - 2;
    case CODEC_LINE:
        break;
    }
    uint64_t line = v[0];
    for (uint32_t i = 1; i < count; i++) {
        line += (uint64_t)step;
        to[i - 1] = v[i] - line;
    }
    return count - 1;
}

/* Least and greatest of the numbers that `w` bits hold after zigzag. */
struct int_span {
    int64_t least;
    int64_t greatest;
    bool any_negative; /* true if one of all numbers is negative */
};

static bool
base_is_hopeless(const struct int_span *s, unsigned w)
{
    if (!s->any_negative || s->least > s->greatest) return false;
    return codec_bit_length((uint64_t)s->greatest - (uint64_t)s->least) >= w;
}

/* Ends early if no later number can make a base worthwhile. */
static struct int_span
span_of(const int64_t *x, uint32_t count, unsigned w)
{
    enum { STRETCH = 64 };
    struct int_span s = {INT64_MAX, INT64_MIN, false};
    const int64_t half = w >= 64 ? INT64_MAX : w == 0 ? 0 : (INT64_C(1) << (w - 1)) - 1;
    const int64_t low = w == 0 ? 0 : -half - 1;
    for (uint32_t at = 0, end; at < count && !base_is_hopeless(&s, w); at = end) {
        int64_t least = s.least, greatest = s.greatest, signs = 0;
        end = at + STRETCH < count ? at + STRETCH : count;
        for (uint32_t i = at; i < end; i++) {
            int64_t v = x[i];
            signs |= v;
            int64_t down = v < low ? INT64_MAX : v;
            int64_t up = v > half ? INT64_MIN : v;
            least = down < least ? down : least;
            greatest = up > greatest ? up : greatest;
        }
        s.least = least;
        s.greatest = greatest;
        s.any_negative |= signs < 0;
    }
    return s;
}

typedef int32_t quad __attribute__((vector_size(16)));

static inline quad
quad_choose(quad mask, quad yes, quad no)
{
    return (yes & mask) | (no & ~mask);
}

/* span_of() for numbers of 32 bits, four at a time. */
static struct int_span
span_of_short(const int64_t *x, uint32_t count, unsigned w)
{
    const int32_t half = (int32_t)(w == 0 ? 0 : (INT64_C(1) << (w - 1)) - 1);
    const int32_t low = w == 0 ? 0 : -half - 1;
    const quad lows = {low, low, low, low}, halves = {half, half, half, half};
    const quad max = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX}, min = -max - 1;
    quad least = max, greatest = min, signs = {0, 0, 0, 0};
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        quad a, b;
        memcpy(&a, x + i, sizeof a);
        memcpy(&b, x + i + 2, sizeof b);
        quad v = __builtin_shufflevector(a, b, 0, 2, 4, 6); /* the low halves */
        signs |= v;
        quad down = quad_choose(v < lows, max, v), up = quad_choose(v > halves, min, v);
        least = quad_choose(down < least, down, least);
        greatest = quad_choose(up > greatest, up, greatest);
    }
    struct int_span s = span_of(x + i, count - i, w);
    for (unsigned lane = 0; lane < 4; lane++) {
        s.least = least[lane] < s.least ? least[lane] : s.least;
        s.greatest = greatest[lane] > s.greatest ? greatest[lane] : s.greatest;
        s.any_negative |= signs[lane] < 0;
    }
    return s;
}

/* Chooses between both ways to make the differences unsigned. A base can pay if the numbers are not
 * spread around zero: if the span of those that zigzag holds is shorter than zigzag's width, or if
 * none is negative. */
static void
plan_fold(const int64_t *x, uint32_t count, struct int_choice *plan)
{
    uint32_t frames = (count + CODEC_FRAME - 1) / CODEC_FRAME;
    struct lengths lengths;
    lengths_count(&lengths, x, count, true, 0);
    struct width folded = lengths_choose_width(&lengths, count, frames);
    uint64_t head_bits = plan->cost_bits;
    plan->zigzag = true;
    plan->base = 0;
    plan->width = folded;
    plan->zero_count = lengths.of[0][0];
    plan->all_zero = lengths.all == 0;
    plan->cost_bits = head_bits + (plan->all_zero ? 0 : folded.cost_bits);
    if (plan->all_zero) return;

    bool is_short = lengths.all >> 32 == 0; /* signs and all */
    struct int_span span =
        is_short ? span_of_short(x, count, folded.bits) : span_of(x, count, folded.bits);
    plan->any_negative = span.any_negative;
    if (span.least > span.greatest || base_is_hopeless(&span, folded.bits)) return;
    lengths_count_based(&lengths, x, count, span.least);
    struct width based = lengths_choose_width(&lengths, count, frames);
    uint64_t cost = head_bits + zigzag_cost_bits(span.least);
    if (lengths.all != 0) cost += based.cost_bits;
    if (cost >= plan->cost_bits) return;
    plan->zigzag = false;
    plan->base = span.least;
    plan->width = based;
    plan->all_zero = lengths.all == 0;
    plan->cost_bits = cost;
}

/* Tries one mode; keeps it if it is cheaper than `best`. Leaves its differences in x. */
static void
plan_try(const int64_t *values, uint32_t count, enum codec_mode mode, int64_t step, int64_t *x,
         struct int_choice *best)
{
    struct int_choice plan = {.mode = mode, .step = step, .cost_bits = 8};
    if (mode != CODEC_PLAIN) plan.cost_bits += zigzag_cost_bits(values[0]);
    if (mode == CODEC_DELTA2)
        plan.cost_bits += zigzag_cost_bits((int64_t)((uint64_t)values[1] - (uint64_t)values[0]));
    if (mode == CODEC_LINE) plan.cost_bits += zigzag_cost_bits(step);
    if (plan.cost_bits >= best->cost_bits) return;
    uint32_t left = differences(values, count, mode, step, x);
    plan_fold(x, left, &plan);
    if (plan.cost_bits < best->cost_bits) *best = plan;
}

/* A cheaper stream is not worth more tries, which save at most a byte. */
enum { PLAN_CHEAP_BITS = 32 };

/* Tries lines of ascending values: through both ends, which fits a drifting clock, and with the
 * step in the middle, which fits a gap or a late last value. */
static void
plan_try_lines(const int64_t *values, uint32_t count, int64_t *x, struct int_choice *best)
{
    int64_t whole;
    if (__builtin_sub_overflow(values[count - 1], values[0], &whole)) return;
    int64_t intervals = (int64_t)count - 1;
    int64_t half = whole < 0 ? -(intervals / 2) : intervals / 2;
    int64_t step = whole / intervals;
    int64_t rest = whole - step * intervals;
    if (rest > half && half >= 0) step++;
    if (rest < half && half < 0) step--;
    plan_try(values, count, CODEC_LINE, step, x, best);
    int64_t middle = (int64_t)((uint64_t)values[count / 2] - (uint64_t)values[count / 2 - 1]);
    if (middle != step) plan_try(values, count, CODEC_LINE, middle, x, best);
}

/* Tries delta first. If most values repeat the previous one, differences of differences only move
 * twice as often; if values never fall, they are nearer to each other than to any base. */
static struct int_choice
plan_stream(const int64_t *values, uint32_t count, bool ascending, int64_t *x)
{
    struct int_choice best = {.cost_bits = UINT64_MAX};
    if (count == 1) {
        best = (struct int_choice){.all_zero = true, .base = values[0]};
        best.cost_bits = 8 + zigzag_cost_bits(values[0]);
        return best;
    }
    plan_try(values, count, CODEC_DELTA, 0, x, &best);
    uint64_t first_bits = 8 + zigzag_cost_bits(values[0]);
    if (best.cost_bits < first_bits + PLAN_CHEAP_BITS) return best;
    bool standing = best.zero_count > count / 2, falling = best.any_negative;
    if (!standing && count > 2) plan_try(values, count, CODEC_DELTA2, 0, x, &best);
    if (ascending)
        plan_try_lines(values, count, x, &best);
    else if (falling)
        plan_try(values, count, CODEC_PLAIN, 0, x, &best);
    return best;
}

/* --- the common divisor ----------------------------------------------------------------------- */

/* Division by a fixed number that nearly always leaves no remainder: d is a multiple of an odd g
 * exactly if d times the inverse of g mod 2^64 is at most (2^64 - 1) / g, and then that product is
 * the quotient. Powers of two are shifted out. */
struct divisor {
    uint64_t g; /* 0 before the first difference */
    unsigned shift;
    uint64_t inverse;
    uint64_t quotient_max;
};

static void
divisor_set(struct divisor *divisor, uint64_t g)
{
    divisor->g = g;
    divisor->shift = (unsigned)__builtin_ctzll(g);
    uint64_t odd = g >> divisor->shift;
    uint64_t inverse = odd * 3 ^ 2; /* correct in its low 5 bits; each step doubles their number */
    for (unsigned i = 0; i < 4; i++)
        inverse *= 2 - odd * inverse;
    divisor->inverse = inverse;
    divisor->quotient_max = UINT64_MAX / odd;
}

static inline bool
divisor_divides(const struct divisor *divisor, uint64_t d, uint64_t *ret_quotient)
{
    uint64_t quotient = (d >> divisor->shift) * divisor->inverse;
    *ret_quotient = quotient;
    return quotient <= divisor->quotient_max && (d & ((UINT64_C(1) << divisor->shift) - 1)) == 0;
}

static uint64_t
greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static inline uint64_t
magnitude(int64_t v)
{
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* Finds the greatest common divisor of all v - v0. False if it is 1, if all values are equal, or if
 * some v - v0 is not an int64. ret_moved_count: values that differ from the previous one. */
static bool
divisor_find(const int64_t *values, uint32_t count, struct divisor *ret_divisor,
             uint32_t *ret_moved_count)
{
    struct divisor divisor = {0};
    uint32_t moved = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (values[i] == values[i - 1]) continue;
        moved++;
        int64_t difference;
        if (__builtin_sub_overflow(values[i], values[0], &difference)) return false;
        if (difference == 0) continue;
        uint64_t d = magnitude(difference), quotient;
        if (divisor.g == 0)
            divisor_set(&divisor, d);
        else if (!divisor_divides(&divisor, d, &quotient))
            divisor_set(&divisor, greatest_common_divisor(d, divisor.g));
        if (divisor.g == 1) return false;
    }
    *ret_divisor = divisor;
    *ret_moved_count = moved;
    return divisor.g > 1;
}

static void
divisor_divide(const struct divisor *divisor, const int64_t *values, uint32_t count, int64_t *to)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t difference = (uint64_t)values[i] - (uint64_t)values[0];
        uint64_t quotient;
        (void)divisor_divides(divisor, magnitude((int64_t)difference), &quotient);
        to[i] = (int64_t)((int64_t)difference < 0 ? 0 - quotient : quotient);
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Packs the low w bits of each number, lowest first; returns the end. Writes up to 7 bytes more. */
static uint8_t *
int_pack(uint8_t *out, const uint64_t *u, uint32_t count, unsigned w)
{
    if (w == 0) return out;
    if (w == 64) {
        memcpy(out, u, count * sizeof *u);
        return out + count * sizeof *u;
    }
    uint64_t mask = (UINT64_C(1) << w) - 1;
    uint64_t word = 0;
    unsigned fill = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = u[i] & mask;
        word |= v << fill;
        fill += w;
        if (fill < 64) continue;
        store_le64(out, word);
        out += 8;
        fill -= 64;
        word = v >> (w - fill);
    }
    store_le64(out, word);
    return out + (fill + 7) / 8;
}

/* Writes the bits above w of the exceptions: packed, or as varints if these are clearly shorter. */
static uint8_t *
write_exceptions(uint8_t *out, uint8_t *ret_h, const uint64_t *positions, const uint64_t *above,
                 uint32_t count)
{
    uint64_t all = 0;
    size_t varint_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        all |= above[i];
        varint_bytes += varint_size(above[i]);
    }
    unsigned h = codec_bit_length(all);
    size_t packed_bytes = ((size_t)count * h + 7) / 8;
    out = int_pack(out, positions, count, 7);
    if (varint_bytes + 2 + count / 8 >= packed_bytes) {
        *ret_h = (uint8_t)h;
        return int_pack(out, above, count, h);
    }
    *ret_h = 128;
    for (uint32_t i = 0; i < count; i++)
        out += varint_put(out, above[i]);
    return out;
}

static uint8_t *
write_frame(uint8_t *out, const int64_t *x, uint32_t count, const struct int_choice *plan,
            bool only)
{
    uint64_t u[CODEC_FRAME];
    for (uint32_t i = 0; i < count; i++)
        u[i] = int_fold(x[i], plan->zigzag, plan->base);
    struct width width = plan->width;
    if (!only) {
        struct lengths lengths;
        lengths_count_based(&lengths, (const int64_t *)u, count, 0);
        width = lengths_choose_width(&lengths, count, 1);
    }
    *out++ = (uint8_t)(width.bits | (width.exception_count > 0 ? 128 : 0));
    if (width.exception_count == 0) return int_pack(out, u, count, width.bits);

    uint64_t positions[CODEC_FRAME], above[CODEC_FRAME];
    uint32_t exceptions = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t high = u[i] >> width.bits;
        positions[exceptions] = i;
        above[exceptions] = high - 1;
        exceptions += high != 0;
    }
    *out++ = (uint8_t)(exceptions - 1);
    uint8_t *h = out++;
    out = int_pack(out, u, count, width.bits);
    return write_exceptions(out, h, positions, above, exceptions);
}

static uint8_t *
write_planned(uint8_t *out, const int64_t *values, uint32_t count, const struct int_choice *plan,
              int64_t *x)
{
    *out++ = (uint8_t)((unsigned)plan->mode | (plan->zigzag ? CODEC_ZIGZAG : 0) |
                       (plan->all_zero ? CODEC_ALL_ZERO : 0));
    if (!plan->zigzag) out += varint_put(out, zigzag(plan->base));
    if (plan->mode != CODEC_PLAIN) out += varint_put(out, zigzag(values[0]));
    if (plan->mode == CODEC_DELTA2) {
        uint64_t delta = (uint64_t)values[1] - (uint64_t)values[0];
        out += varint_put(out, zigzag((int64_t)delta));
    }
    if (plan->mode == CODEC_LINE) out += varint_put(out, zigzag(plan->step));
    if (plan->all_zero) return out;

    uint32_t left = differences(values, count, plan->mode, plan->step, x);
    assert(left == count - (plan->mode == CODEC_PLAIN ? 0 : plan->mode == CODEC_DELTA2 ? 2 : 1));
    for (uint32_t at = 0; at < left; at += CODEC_FRAME) {
        uint32_t size = left - at < CODEC_FRAME ? left - at : CODEC_FRAME;
        uint8_t *end = write_frame(out, x + at, size, plan, left <= CODEC_FRAME);
        assert(end - out <= CODEC_FRAME_BYTES_MAX);
        out = end;
    }
    return out;
}

size_t
codec_int_write(struct codec_scratch *scratch, const int64_t *values, uint32_t count,
                bool ascending, uint8_t *out)
{
    assert(count > 0 && count <= CODEC_SAMPLES_MAX);
    int64_t *quotient = scratch->quotient;
    struct divisor divisor = {0};
    struct int_choice divided = {.cost_bits = UINT64_MAX}, plain = {.cost_bits = UINT64_MAX};
    uint32_t moved_count;
    bool sure = false;
    if (divisor_find(values, count, &divisor, &moved_count)) {
        uint64_t head_bits = 8 + 8 * varint_size(divisor.g) + zigzag_cost_bits(values[0]);
        divisor_divide(&divisor, values, count, quotient);
        divided = plan_stream(quotient, count, ascending, scratch->x);
        divided.cost_bits += head_bits;
        /* Each move is shorter by the divisor's length: only few moves leave this in doubt. */
        sure = (uint64_t)moved_count * (codec_bit_length(divisor.g) - 1) > 2 * head_bits;
    }
    if (!sure) plain = plan_stream(values, count, ascending, scratch->x);
    if (plain.cost_bits <= divided.cost_bits)
        return (size_t)(write_planned(out, values, count, &plain, scratch->x) - out);
    uint8_t *at = out;
    *at++ = CODEC_DIVIDED;
    at += varint_put(at, divisor.g);
    at += varint_put(at, zigzag(values[0]));
    return (size_t)(write_planned(at, quotient, count, &divided, scratch->x) - out);
}
