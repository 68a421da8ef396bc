/* snappy.c - calls libsnappy after checking that the sizes are possible. */
#include "wire/snappy.h"

#include <assert.h>
#include <snappy-c.h>

static const char *
chars(const uint8_t *at)
{
    return at == NULL ? "" : (const char *)at;
}

enum err
snappy_size(struct bytes compressed, size_t size_max, size_t *ret_size)
{
    size_t size;
    if (snappy_uncompressed_length(chars(compressed.at), compressed.size, &size) != SNAPPY_OK)
        return ERR_INPUT;
    if (size / 64 > compressed.size / 3) return ERR_INPUT;
    if (size > size_max) return ERR_LIMIT;
    *ret_size = size;
    return OK;
}

enum err
snappy_unpack(struct bytes compressed, struct buf *to, struct why *why)
{
    buf_clear(to);
    size_t size;
    enum err e = snappy_size(compressed, to->limit, &size);
    if (e == ERR_LIMIT)
        return why_set(why, e, "snappy: uncompressed size must be at most %zu bytes", to->limit);
    if (e) return why_set(why, e, "snappy: invalid length prefix");
    /* At least one byte, so that the buffer has an address. */
    if (!buf_reserve(to, size == 0 ? 1 : size))
        return why_set(why, buf_error(to), "snappy: not enough memory for %zu bytes", size);
    size_t got = to->capacity;
    if (snappy_uncompress(chars(compressed.at), compressed.size, (char *)to->at, &got) !=
            SNAPPY_OK ||
        got != size)
        return why_set(why, ERR_INPUT, "snappy: damaged block");
    to->size = size;
    return OK;
}

enum err
snappy_pack(struct bytes raw, struct buf *to)
{
    if (raw.size > UINT32_MAX) return ERR_LIMIT;
    size_t room = snappy_max_compressed_length(raw.size);
    if (!buf_reserve(to, room)) return buf_error(to);
    if (snappy_compress(chars(raw.at), raw.size, (char *)to->at + to->size, &room) != SNAPPY_OK)
        return ERR_LIMIT; /* its only error is too little room */
    to->size += room;
    return OK;
}

/* --- records of one size ---------------------------------------------------------------------- */

/*
 * The format: a literal is a byte with its length less one in the upper six bits
 * (60 and 61: one or two bytes of length follow), then the bytes. A copy of 4 to 11 bytes from less
 * than 2048 bytes before takes two bytes; of 1 to 64 bytes, three. A copy may overlap its output.
 *
 * Copies are chosen so that the output is never more than three bytes longer than the input: a copy
 * and the literal before it must not cost more than they replace. Four bytes replaced by two pay
 * for a head of two bytes, with which a literal has less than 257 bytes; after a longer literal a
 * copy must have eight. That leaves the head of the last literal.
 */

enum {
    COPY_MIN = 4,
    COPY_MIN_BEHIND_LONG = 8,
    LITERAL_LONG = 256,
    SHORT_COPY_MAX = 11,
    LONG_COPY_MAX = 64
};

static uint8_t *
put_literal(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size == 0) return to;
    size_t less = size - 1;
    if (size <= 16) {
        *to++ = (uint8_t)(less << 2);
        memcpy(to, from, 8);
        memcpy(to + 8, from + 8, 8);
        return to + size;
    }
    if (less < 60) {
        *to++ = (uint8_t)(less << 2);
    } else if (less < 256) {
        *to++ = 60 << 2;
        *to++ = (uint8_t)less;
    } else {
        *to++ = 61 << 2;
        store_le16(to, (uint16_t)less);
        to += 2;
    }
    memcpy(to, from, size);
    return to + size;
}

static uint8_t *
put_copy(uint8_t *to, size_t offset, size_t size)
{
    for (; size > SHORT_COPY_MAX; to += 3) {
        size_t some = size < LONG_COPY_MAX ? size : LONG_COPY_MAX;
        /* The rest must not be too short for a copy of its own. */
        if (size > some && size - some < COPY_MIN) some -= COPY_MIN;
        to[0] = (uint8_t)((some - 1) << 2 | 2);
        store_le16(to + 1, (uint16_t)offset);
        size -= some;
    }
    if (size == 0) return to;
    to[0] = (uint8_t)(offset >> 8 << 5 | (size - COPY_MIN) << 2 | 1);
    to[1] = (uint8_t)offset;
    return to + 2;
}

/* Returns the number of bytes from `p` on that equal the previous record, of which the first 8 do.
 */
static size_t
match_size(const uint8_t *p, const uint8_t *last, size_t record_bytes)
{
    size_t n = 8;
    for (; p + n <= last; n += 8) {
        uint64_t differ = load_le64(p + n) ^ load_le64(p + n - record_bytes);
        if (differ != 0) return n + ((size_t)__builtin_ctzll(differ) >> 3);
    }
    return n;
}

/* Returns the offset, after `equal` bytes and the one that differs, at which a match may begin. */
static size_t
skip_size(uint64_t differ, size_t equal)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t tops = 0x8080808080808080u;
    uint64_t rest = differ | ((uint64_t)0xff << 8 * equal) | (((uint64_t)1 << 8 * equal) - 1);
    uint64_t zeros = (rest - ones) & ~rest & tops; /* exact up to the first zero */
    return zeros == 0 ? 8 : (size_t)__builtin_ctzll(zeros) >> 3;
}

size_t
record_pack(uint8_t *to, struct bytes raw, size_t record_bytes)
{
    assert(raw.size <= RECORD_PACK_BYTES_MAX);
    assert(record_bytes > 0 && record_bytes < 2048);
    uint8_t *begin = to;
    const uint8_t *end = raw.at + raw.size;
    const uint8_t *literal = raw.at;
    if (raw.size >= record_bytes + 8) {
        const uint8_t *last = end - 8; /* the last position with eight bytes to compare */
        for (const uint8_t *p = raw.at + record_bytes; p <= last;) {
            uint64_t differ = load_le64(p) ^ load_le64(p - record_bytes);
            size_t equal = differ == 0 ? match_size(p, last, record_bytes)
                                       : (size_t)__builtin_ctzll(differ) >> 3;
            size_t least = p - literal < LITERAL_LONG ? COPY_MIN : COPY_MIN_BEHIND_LONG;
            if (equal >= least) {
                to = put_literal(to, literal, (size_t)(p - literal));
                to = put_copy(to, record_bytes, equal);
                p += equal;
                literal = p;
            } else {
                p += equal < 7 ? skip_size(differ, equal) : 8;
            }
        }
    }
    to = put_literal(to, literal, (size_t)(end - literal));
    return (size_t)(to - begin);
}
