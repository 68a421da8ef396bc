/*
 * snappy.h - snappy blocks (not framed) through libsnappy; the announced length is checked before
 * memory is allocated.
 */
#ifndef WIRE_SNAPPY_H
#define WIRE_SNAPPY_H

#include "base/buf.h"

/* Returns the uncompressed length that a snappy block announces, without allocating. It is at most
 * 64/3 of the block: three bytes that copy 64 are the densest element, so a block that announces
 * more is invalid. ERR_INPUT: no valid length prefix, or an impossible length. ERR_LIMIT: beyond
 * `size_max`. */
MUST_CHECK enum err snappy_size(struct bytes compressed, size_t size_max, size_t *ret_size);
/* Uncompresses into `to` (cleared first), which must allow that size; its memory is kept from one
 * block to the next. On error `to` is empty. ERR_INPUT, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err snappy_unpack(struct bytes compressed, struct buf *to, struct why *why);
/* Appends the compressed block. `to` must allow the worst case, 32 + size + size / 6 bytes.
 * ERR_LIMIT, ERR_NOMEM of the buffer; ERR_LIMIT also beyond 4 GiB, the limit of the format. */
MUST_CHECK enum err snappy_pack(struct bytes raw, struct buf *to);

#endif
