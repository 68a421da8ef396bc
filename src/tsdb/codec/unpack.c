/*
 * unpack.c - reads integer streams. Format: docs/format/codec.md.
 *
 * The cost of reading is unpacking, so there is an unpacker for each width: eight numbers of w bits
 * are w bytes, and with w known to the compiler every offset, shift and mask is a constant. The
 * seven numbers that may remain at the end of a frame are read one at a time, so that at most 8
 * bytes after the frame are read.
 *
 * Everything is checked before it is used: the width and the sizes that follow from it against the
 * cursor before a byte is unpacked, positions against the frame. The numbers themselves may have
 * any value; arithmetic is mod 2^64.
 */
#include "tsdb/codec/int.h"

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
    for (uint32_t i = groups * 8; i < count; i++) {
        out[i] = unpack_at(in, w, i);
    }
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

static enum err
read_numbers(struct cursor *cursor, uint32_t count, uint64_t *u)
{
    struct packed_frame f;
    enum err e = read_frame(cursor, count, &f);
    if (e) return e;
    int_unpack(f.packed.at, f.w, count, u);
    if (f.exceptions == 0) return OK;
    if (f.h == 128) return patch_varints(cursor, f.patch.at, f.w, f.exceptions, u, count);
    return patch_packed(f.patch.at, f.w, f.h, f.exceptions, u, count);
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
    for (uint32_t i = 0; i < count; i++) {
        v[i] = v[i] * reader->divisor + reader->origin;
    }
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
    if ((reader->header & CODEC_ALL_ZERO) == 0) return read_numbers(reader->cursor, count, u);
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
    for (uint32_t i = 0; i < count; i++) {
        u[i] = step_of(reader, u[i]);
    }
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
