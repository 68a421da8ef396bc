/*
 * buf.h - the one growing byte buffer. It cannot be made without a ceiling.
 *
 * Appends never half-happen. After a failed append the buffer is as before and `failed` says
 * which error it was (ERR_LIMIT or ERR_NOMEM), sticky until buf_clear(): a writer of many small
 * pieces may append without looking and check buf_error() once.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/mem.h"

struct buf {
    uint8_t *at;
    size_t size;
    size_t capacity;
    size_t limit;
    struct budget *budget;
    enum err failed;
    bool secret;
};

/* Takes no memory before the first byte is put. `limit_bytes` > 0. `budget` may be NULL. */
void buf_init(struct buf *buf, struct budget *budget, size_t limit_bytes);
/* Does the same for secrets: memory is overwritten before it is freed, also when it grows. */
static inline void
buf_init_secret(struct buf *buf, struct budget *budget, size_t limit_bytes)
{
    buf_init(buf, budget, limit_bytes);
    buf->secret = true;
}
void buf_fini(struct buf *buf);
/* Overwrites the content and clears the buffer. */
void buf_wipe(struct buf *buf);

/* The slow path of the inline functions below: makes room for `more` bytes after `size`. */
bool buf_grow(struct buf *buf, size_t more);

static inline void
buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->failed = OK;
}

static inline enum err
buf_error(const struct buf *buf)
{
    return buf->failed;
}

static inline struct bytes
buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->at, buf->size};
}

/* Makes room for `more` bytes at buf->at + buf->size; the caller advances `size`. */
static inline bool
buf_reserve(struct buf *buf, size_t more)
{
    return more <= buf->capacity - buf->size || buf_grow(buf, more);
}

static inline void
buf_put(struct buf *buf, const void *from, size_t size)
{
    if (!buf_reserve(buf, size)) return;
    if (size > 0) memcpy(buf->at + buf->size, from, size);
    buf->size += size;
}

static inline void
buf_put_bytes(struct buf *buf, struct bytes b)
{
    buf_put(buf, b.at, b.size);
}

static inline void
buf_put_u8(struct buf *buf, uint8_t v)
{
    if (!buf_reserve(buf, 1)) return;
    buf->at[buf->size++] = v;
}

static inline void
buf_put_le32(struct buf *buf, uint32_t v)
{
    buf_put(buf, &v, sizeof v);
}

static inline void
buf_put_le64(struct buf *buf, uint64_t v)
{
    buf_put(buf, &v, sizeof v);
}

static inline void
buf_put_varint(struct buf *buf, uint64_t v)
{
    if (!buf_reserve(buf, VARINT_SIZE_MAX)) return;
    buf->size += varint_put(buf->at + buf->size, v);
}

static inline void
buf_put_zigzag(struct buf *buf, int64_t v)
{
    buf_put_varint(buf, zigzag(v));
}

/* Appends a varint length and the bytes. */
static inline void
buf_put_counted(struct buf *buf, struct bytes b)
{
    buf_put_varint(buf, b.size);
    buf_put_bytes(buf, b);
}

static inline void
buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

/* Appends as many whole characters of the text as fit. */
void buf_put_cut(struct buf *buf, struct bytes text);

/* Appends a formatted text without its NUL. */
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* --- integers as decimal digits, a million in less than a second ------------------------------ */

enum { DECIMAL_BYTES = 20 }; /* enough for any 64-bit number with its sign */

/* Both return the bytes written; no NUL. */
static inline size_t
decimal_print_uint(uint64_t v, char *to)
{
    char text[DECIMAL_BYTES];
    size_t at = sizeof text;
    while (v >= 100) { /* two digits for one division */
        unsigned two = (unsigned)(v % 100);
        v /= 100;
        text[--at] = (char)('0' + two % 10);
        text[--at] = (char)('0' + two / 10);
    }
    if (v >= 10) {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    }
    text[--at] = (char)('0' + v);
    memcpy(to, text + at, sizeof text - at);
    return sizeof text - at;
}

static inline size_t
decimal_print_int(int64_t v, char *to)
{
    if (v >= 0) return decimal_print_uint((uint64_t)v, to);
    *to = '-';
    return 1 + decimal_print_uint(0 - (uint64_t)v, to + 1);
}

static inline void
buf_put_uint(struct buf *to, uint64_t v)
{
    char text[DECIMAL_BYTES];
    buf_put(to, text, decimal_print_uint(v, text));
}

static inline void
buf_put_int(struct buf *to, int64_t v)
{
    char text[DECIMAL_BYTES];
    buf_put(to, text, decimal_print_int(v, text));
}

#endif
