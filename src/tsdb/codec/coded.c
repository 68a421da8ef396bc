/*
 * coded.c - codes of whole numbers by their size, see codec_private.h. The bytes are
 * docs/format/codec.md.
 */
#include "tsdb/codec/codec_private.h"

#include <assert.h>

/* --- codes ------------------------------------------------------------------------------------ */

/*
 * A class is the length of a number and the bit after its highest one. Codes are canonical: they
 * ascend with their bits, then with their classes, so that only the bits of each are stored. Their
 * choice is greedy: all begin with the greatest number of bits, and what room is left goes, bit by
 * bit, to the code that saves most for it. It is within some per mille of Huffman's choice, whose
 * codes may be longer than a small table permits.
 */

enum { CLASSES = 128, ROOM = 1 << CODED_BITS_MAX };

/* Conversions of numbers to unsigned ones. */
enum coded_sign { SIGN_BOTH, SIGN_POSITIVE, SIGN_NEGATIVE, SIGNS };

static uint64_t
to_unsigned(int64_t v, enum coded_sign sign)
{
    if (sign == SIGN_BOTH) return zigzag(v);
    return sign == SIGN_POSITIVE ? (uint64_t)v : 0 - (uint64_t)v;
}

static int64_t
from_unsigned(uint64_t u, unsigned sign)
{
    if (sign == SIGN_BOTH) return unzigzag(u);
    return (int64_t)(sign == SIGN_POSITIVE ? u : 0 - u);
}

static enum coded_sign
sign_of(const int64_t *values, uint32_t count)
{
    bool any_positive = false, any_negative = false;
    for (uint32_t i = 0; i < count; i++) {
        any_positive |= values[i] > 0;
        any_negative |= values[i] < 0;
    }
    if (any_positive && any_negative) return SIGN_BOTH;
    return any_negative ? SIGN_NEGATIVE : SIGN_POSITIVE;
}

/* Returns 0, 1, 2, 3, then two classes for each length. */
static unsigned
class_of(uint64_t u)
{
    unsigned length = codec_bit_length(u);
    return length < 2 ? length : 2 * (length - 1) + (unsigned)(u >> (length - 2) & 1);
}

/* Returns the number of bits that the class does not say. */
static unsigned
class_rest_bits(unsigned class)
{
    return class < 2 ? 0 : class / 2 - 1;
}

static uint64_t
class_least(unsigned class)
{
    return class < 2 ? class : (uint64_t)(2 | (class & 1)) << class_rest_bits(class);
}

/* Chooses the bits of the codes of classes that occur. */
static void
choose_bits(const uint32_t *counts, uint8_t *ret_bits)
{
    uint32_t room = ROOM;
    for (unsigned i = 0; i < CLASSES; i++) {
        ret_bits[i] = counts[i] > 0 ? CODED_BITS_MAX : 0;
        room -= counts[i] > 0;
    }
    for (;;) {
        unsigned best = CLASSES;
        uint64_t best_gain = 0;
        for (unsigned i = 0; i < CLASSES; i++) {
            uint32_t cost = 1u << (CODED_BITS_MAX - ret_bits[i]);
            uint64_t gain = (uint64_t)counts[i] << ret_bits[i]; /* for each part of the room */
            if (ret_bits[i] <= 1 || cost > room || gain <= best_gain) continue;
            best = i;
            best_gain = gain;
        }
        if (best == CLASSES) return;
        room -= 1u << (CODED_BITS_MAX - ret_bits[best]);
        ret_bits[best]--;
    }
}

static uint32_t
reversed(uint32_t code, unsigned bits)
{
    uint32_t to = 0;
    for (unsigned i = 0; i < bits; i++)
        to |= (code >> i & 1) << (bits - 1 - i);
    return to;
}

/* Gives each class its code, lowest bit first. False if they are too many. */
static bool
assign_codes(const uint8_t *bits, uint32_t *ret_codes)
{
    uint32_t next = 0; /* as a code of CODED_BITS_MAX bits */
    for (unsigned b = 1; b <= CODED_BITS_MAX; b++) {
        for (unsigned i = 0; i < CLASSES; i++) {
            if (bits[i] != b) continue;
            if (next >= ROOM) return false;
            ret_codes[i] = reversed(next >> (CODED_BITS_MAX - b), b);
            next += 1u << (CODED_BITS_MAX - b);
        }
    }
    return next <= ROOM;
}

/* --- writing codes ---------------------------------------------------------------------------- */

struct bit_writer {
    uint8_t *at;
    uint64_t word;
    unsigned fill;
};

/* Appends up to 63 bits; writes up to 8 bytes. */
static void
put_bits(struct bit_writer *w, uint64_t v, unsigned bits)
{
    if (bits == 0) return;
    w->word |= v << w->fill;
    w->fill += bits;
    if (w->fill < 64) return;
    store_le64(w->at, w->word);
    w->at += 8;
    w->fill -= 64;
    w->word = w->fill == 0 ? 0 : v >> (bits - w->fill);
}

size_t
codec_coded_write(const int64_t *values, uint32_t count, size_t limit_bytes, uint8_t *out)
{
    assert(count > 0 && count <= CODEC_SAMPLES_MAX);
    enum coded_sign sign = sign_of(values, count);
    uint32_t counts[CLASSES] = {0}, codes[CLASSES];
    uint8_t bits[CLASSES];
    for (uint32_t i = 0; i < count; i++)
        counts[class_of(to_unsigned(values[i], sign))]++;
    choose_bits(counts, bits);
    unsigned first = 0, end = CLASSES;
    while (counts[first] == 0)
        first++;
    while (counts[end - 1] == 0)
        end--;
    uint64_t size_bits = 0;
    for (unsigned i = first; i < end; i++)
        size_bits += (uint64_t)counts[i] * (bits[i] + class_rest_bits(i));
    size_t head_bytes = 3 + (end - first + 1) / 2, size = head_bytes + (size_t)(size_bits + 7) / 8;
    if (size >= limit_bytes) return 0;
    bool assigned = assign_codes(bits, codes);
    assert(assigned);
    out[0] = (uint8_t)sign;
    out[1] = (uint8_t)first;
    out[2] = (uint8_t)(end - first);
    memset(out + 3, 0, head_bytes - 3);
    for (unsigned i = first; i < end; i++)
        out[3 + (i - first) / 2] |= (uint8_t)(bits[i] << (i - first) % 2 * 4);
    struct bit_writer w = {.at = out + head_bytes};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t u = to_unsigned(values[i], sign);
        unsigned class = class_of(u);
        put_bits(&w, codes[class], bits[class]);
        put_bits(&w, u - class_least(class), class_rest_bits(class));
    }
    store_le64(w.at, w.word);
    assert(w.at + (w.fill + 7) / 8 == out + size);
    return size;
}

/* --- reading codes ---------------------------------------------------------------------------- */

enum err
codec_coded_begin(struct codec_coded_reader *reader, struct cursor *cursor)
{
    unsigned sign = cursor_u8(cursor), first = cursor_u8(cursor), count = cursor_u8(cursor);
    if (cursor->bad || sign >= SIGNS || count == 0 || first + count > CLASSES) return ERR_CORRUPT;
    struct bytes nibbles = cursor_bytes(cursor, (count + 1) / 2);
    if (cursor->bad) return ERR_CORRUPT;
    uint8_t bits[CLASSES] = {0};
    uint32_t codes[CLASSES];
    for (unsigned i = 0; i < count; i++) {
        bits[first + i] = nibbles.at[i / 2] >> i % 2 * 4 & 15;
        if (bits[first + i] > CODED_BITS_MAX) return ERR_CORRUPT;
    }
    if (!assign_codes(bits, codes)) return ERR_CORRUPT;
    memset(reader, 0, sizeof *reader);
    reader->sign = sign;
    for (unsigned i = 0; i < CLASSES; i++) {
        for (uint32_t code = codes[i]; bits[i] > 0 && code < ROOM; code += 1u << bits[i]) {
            reader->codes[code].bits = bits[i];
            reader->codes[code].class = (uint8_t)i;
        }
    }
    return OK;
}

/* Returns at least the next 57 bits. */
static uint64_t
bits_at(const struct cursor *cursor, uint64_t at)
{
    return load_le64(cursor->at + at / 8) >> at % 8;
}

enum err
codec_coded_read(struct codec_coded_reader *reader, const struct cursor *cursor, uint32_t count,
                 uint64_t *ret_values)
{
    uint64_t at = reader->at, end = 8 * (uint64_t)cursor_left(cursor);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = bits_at(cursor, at);
        unsigned bits = reader->codes[word % ROOM].bits, class = reader->codes[word % ROOM].class;
        unsigned more = class_rest_bits(class);
        if (bits == 0 || at + bits + more > end) return ERR_CORRUPT;
        at += bits;
        word >>= bits;
        if (bits + more > 57) {
            word = bits_at(cursor, at) & ((UINT64_C(1) << 32) - 1);
            word |= bits_at(cursor, at + 32) << 32;
        }
        at += more;
        uint64_t u = class_least(class) + (word & ((UINT64_C(1) << more) - 1));
        ret_values[i] = (uint64_t)from_unsigned(u, reader->sign);
    }
    reader->at = at;
    return OK;
}

void
codec_coded_end(const struct codec_coded_reader *reader, struct cursor *cursor)
{
    (void)cursor_bytes(cursor, (reader->at + 7) / 8);
}
