/* snappy.c - calls libsnappy after checking that the sizes are possible. */
#include "wire/snappy.h"

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
    if (snappy_uncompressed_length(chars(compressed.at), compressed.size, &size) != SNAPPY_OK) {
        return ERR_INPUT;
    }
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
    if (e == ERR_LIMIT) {
        return why_set(why, e, "snappy: uncompressed size must be at most %zu bytes", to->limit);
    }
    if (e) return why_set(why, e, "snappy: invalid length prefix");
    /* At least one byte, so that the buffer has an address. */
    if (!buf_reserve(to, size == 0 ? 1 : size)) {
        return why_set(why, buf_error(to), "snappy: not enough memory for %zu bytes", size);
    }
    size_t got = to->capacity;
    if (snappy_uncompress(chars(compressed.at), compressed.size, (char *)to->at, &got) !=
            SNAPPY_OK ||
        got != size) {
        return why_set(why, ERR_INPUT, "snappy: damaged block");
    }
    to->size = size;
    return OK;
}

enum err
snappy_pack(struct bytes raw, struct buf *to)
{
    if (raw.size > UINT32_MAX) return ERR_LIMIT;
    size_t room = snappy_max_compressed_length(raw.size);
    if (!buf_reserve(to, room)) return buf_error(to);
    if (snappy_compress(chars(raw.at), raw.size, (char *)to->at + to->size, &room) != SNAPPY_OK) {
        return ERR_LIMIT; /* its only error is too little room */
    }
    to->size += room;
    return OK;
}
