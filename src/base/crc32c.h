/*
 * crc32c.h - CRC-32C (Castagnoli): the checksum of remote read frames and of Prometheus' files.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/bytes.h"

/*
 * The checksum of everything `crc` stands for followed by `b`; begin with 0. So a message may be
 * summed piece by piece. Uses the processor's instruction where there is one.
 */
uint32_t crc32c(uint32_t crc, struct bytes b);

/* The same without special instructions: what crc32c() falls back to. */
uint32_t crc32c_portable(uint32_t crc, struct bytes b);

#endif
