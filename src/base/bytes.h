/*
 * bytes.h - views of memory, byte order, varints. Everything we store or send is little endian
 * unless its format page says otherwise.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "firekeep is written for little-endian machines (AMD64, ARM64)"
#endif

/* A view: does not own, does not end in NUL, may be empty with `at` NULL. */
struct bytes {
    const uint8_t *at;
    size_t size;
};

static inline struct bytes
bytes_of(const void *at, size_t size)
{
    return (struct bytes){at, size};
}

static inline struct bytes
bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

/* Compares as unsigned bytes, a prefix before the longer one: <0, 0, >0. */
static inline int
bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.at, b.at, common);
    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool
bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}

/* A growing or fixed piece of memory being written is `base/buf.h`. */

static inline uint16_t
load_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t
load_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t
load_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void
store_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void
store_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void
store_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline uint32_t
load_be32(const void *p)
{
    return __builtin_bswap32(load_le32(p));
}
static inline uint64_t
load_be64(const void *p)
{
    return __builtin_bswap64(load_le64(p));
}
static inline void
store_be16(void *p, uint16_t v)
{
    store_le16(p, __builtin_bswap16(v));
}
static inline void
store_be32(void *p, uint32_t v)
{
    store_le32(p, __builtin_bswap32(v));
}
static inline void
store_be64(void *p, uint64_t v)
{
    store_le64(p, __builtin_bswap64(v));
}

static inline uint64_t
double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double
bits_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Maps signed numbers of small magnitude to small unsigned numbers. */
static inline uint64_t
zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t
unzigzag(uint64_t u)
{
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

enum { VARINT_SIZE_MAX = 10 };

/* Writes LEB128 at `out`, which has room for VARINT_SIZE_MAX bytes. Returns the bytes used. */
static inline size_t
varint_put(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static inline size_t
varint_size(uint64_t v)
{
    return ((size_t)(63 - __builtin_clzll(v | 1)) * 9 + 73) / 64;
}

/* A bounded cursor over bytes that came from outside. A read that does not fit sets `bad` and moves
 * the cursor to its end, and every later read yields zero or an empty view: so a decoder may check
 * once after several reads. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline struct cursor
cursor_of(struct bytes b)
{
    return (struct cursor){b.at, b.at == NULL ? b.at : b.at + b.size, false};
}

static inline size_t
cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

static inline void
cursor_fail(struct cursor *c)
{
    c->bad = true;
    c->at = c->end;
}

/* The slow path of cursor_varint(): more than one byte, or the end is near. */
static inline uint64_t
cursor_varint_long(struct cursor *c)
{
    uint64_t v = 0;
    const uint8_t *p = c->at;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == c->end) break;
        uint8_t b = *p++;
        if (shift == 63 && b > 1) break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            c->at = p;
            return v;
        }
    }
    cursor_fail(c);
    return 0;
}

static inline uint64_t
cursor_varint(struct cursor *c)
{
    if (c->at != c->end && *c->at < 0x80) return *c->at++;
    return cursor_varint_long(c);
}

static inline int64_t
cursor_zigzag(struct cursor *c)
{
    return unzigzag(cursor_varint(c));
}

static inline struct bytes
cursor_bytes(struct cursor *c, uint64_t size)
{
    if (size > cursor_left(c)) {
        cursor_fail(c);
        return (struct bytes){NULL, 0};
    }
    struct bytes b = {c->at, (size_t)size};
    c->at += size;
    return b;
}

static inline uint8_t
cursor_u8(struct cursor *c)
{
    if (c->at == c->end) {
        cursor_fail(c);
        return 0;
    }
    return *c->at++;
}

static inline uint32_t
cursor_le32(struct cursor *c)
{
    struct bytes b = cursor_bytes(c, 4);
    return b.at == NULL ? 0 : load_le32(b.at);
}

static inline uint64_t
cursor_le64(struct cursor *c)
{
    struct bytes b = cursor_bytes(c, 8);
    return b.at == NULL ? 0 : load_le64(b.at);
}

/* Reads a varint length and that many bytes. */
static inline struct bytes
cursor_counted(struct cursor *c)
{
    return cursor_bytes(c, cursor_varint(c));
}

#endif
