/*
 * snappy.h - snappy blocks (not framed): through libsnappy, with the announced length checked
 * before memory is allocated, and by a compressor of ours for records of one size.
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

/* --- records of one size ---------------------------------------------------------------------- */

/*
 * It looks for repetition only one record back and needs no table. For runs of samples, which
 * repeat nowhere else, it takes a third of libsnappy's time.
 */

enum {
    RECORD_PACK_BYTES_MAX = 65536, /* limit of the input */
    RECORD_PACK_SLACK = 16,        /* bytes accessed after the input, and after the output */
    RECORD_PACK_OVERHEAD = 16 + RECORD_PACK_SLACK
};

/* Writes the elements of a snappy block for `raw`, without the size that precedes them; `to` has
 * room for raw.size + RECORD_PACK_OVERHEAD. `record_bytes` is 1..2047. Returns the bytes written.
 */
size_t record_pack(uint8_t *to, struct bytes raw, size_t record_bytes);

#endif
