/*
 * record_pack.h - a snappy compressor for records of one size: it looks for repetition only one
 * record back and needs no table. For runs of samples, which repeat nowhere else, it takes a third
 * of libsnappy's time.
 */
#ifndef WIRE_RECORD_PACK_H
#define WIRE_RECORD_PACK_H

#include "base/bytes.h"

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
