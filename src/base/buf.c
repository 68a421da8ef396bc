/* buf.c - see buf.h. Buffers grow by half. */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>

#include "base/text/utf8.h"

enum { BUF_FIRST_BYTES = 256 };

void
buf_init(struct buf *buf, struct budget *budget, size_t limit_bytes)
{
    assert(limit_bytes > 0);
    *buf = (struct buf){.limit = limit_bytes, .budget = budget};
}

static void
give_back(struct buf *buf)
{
    if (buf->secret)
        mem_free_secret(buf->budget, buf->at, buf->capacity);
    else
        mem_free(buf->budget, buf->at, buf->capacity);
}

void
buf_wipe(struct buf *buf)
{
    if (buf->at != NULL) explicit_bzero(buf->at, buf->capacity);
    buf_clear(buf);
}

void
buf_fini(struct buf *buf)
{
    give_back(buf);
    buf->at = NULL;
    buf->size = buf->capacity = 0;
}

bool
buf_grow(struct buf *buf, size_t more)
{
    if (more > buf->limit || buf->size > buf->limit - more) {
        if (buf->failed == OK) buf->failed = ERR_LIMIT;
        return false;
    }
    size_t need = buf->size + more;
    size_t capacity = buf->capacity == 0 ? BUF_FIRST_BYTES : buf->capacity;
    while (capacity < need)
        capacity += capacity / 2;
    if (capacity > buf->limit) capacity = buf->limit;
    /* A secret is copied, because realloc() would leave the old bytes in freed memory. */
    uint8_t *at = buf->secret ? mem_alloc(buf->budget, capacity)
                              : mem_resize(buf->budget, buf->at, buf->capacity, capacity);
    if (at == NULL) {
        if (buf->failed == OK) buf->failed = ERR_NOMEM;
        return false;
    }
    if (buf->secret) {
        if (buf->size > 0) memcpy(at, buf->at, buf->size);
        give_back(buf);
    }
    buf->at = at;
    buf->capacity = capacity;
    return true;
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need >= 0 && buf_reserve(buf, (size_t)need + 1)) {
        vsnprintf((char *)buf->at + buf->size, (size_t)need + 1, format, again);
        buf->size += (size_t)need;
    }
    va_end(again);
}

void
buf_put_cut(struct buf *buf, struct bytes text)
{
    buf_put_bytes(buf, utf8_cut(text, buf->limit - buf->size));
}
