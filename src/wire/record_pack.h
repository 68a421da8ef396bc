/*
 * record_pack.h - a snappy compressor for records of one size: it looks for repetition in one
 * place only, a record earlier, and needs no table. For runs of samples, where that is all there is
 * to find, it takes a third of libsnappy's time.
 */
#ifndef WIRE_RECORD_PACK_H
#define WIRE_RECORD_PACK_H

#include "base/bytes.h"

enum {
    RECORD_PACK_BYTES_MAX = 65536, /* of input */
    RECORD_PACK_SLACK = 16,        /* bytes after the input, and of the room, that may be touched */
    RECORD_PACK_OVERHEAD = 16 + RECORD_PACK_SLACK
};

/*
 * Writes the elements of a snappy block, without the size in front, that stand for `raw`; `to` has
 * room for raw.size + RECORD_PACK_OVERHEAD. `record_bytes` is 1..2047. Returns the bytes written.
 */
size_t record_pack(uint8_t *to, struct bytes raw, size_t record_bytes);

#endif
