/*
 * snappy.h - snappy blocks (not framed), guarded: the announced length is looked at before memory
 * is taken. The compression itself is libsnappy.
 */
#ifndef WIRE_SNAPPY_H
#define WIRE_SNAPPY_H

#include "base/buf.h"

/*
 * The uncompressed length a snappy block announces, before anything is allocated.
 * ERR_INPUT: no valid length prefix. ERR_LIMIT: beyond `size_max`.
 */
MUST_CHECK enum err snappy_size(struct bytes compressed, size_t size_max, size_t *ret_size);
/* Uncompresses into `to` (cleared first), which must allow that size. ERR_INPUT, ERR_LIMIT,
 * ERR_NOMEM. */
MUST_CHECK enum err snappy_unpack(struct bytes compressed, struct buf *to, struct why *why);
/* Appends the compressed block. ERR_LIMIT, ERR_NOMEM of the buffer. */
MUST_CHECK enum err snappy_pack(struct bytes raw, struct buf *to);

#endif
