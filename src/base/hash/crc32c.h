/*
 * crc32c.h - CRC-32C (Castagnoli): the checksum of remote read frames and of Prometheus' files.
 */
#ifndef BASE_HASH_CRC32C_H
#define BASE_HASH_CRC32C_H

#include "base/bytes.h"

/* Returns the checksum of a message in pieces: `crc` is that of the pieces before `b`, 0 for the
 * first. Uses the processor's instruction if it has one. */
uint32_t crc32c(uint32_t crc, struct bytes b);

/* Computes the same without special instructions; crc32c() calls it if the processor lacks them. */
uint32_t crc32c_portable(uint32_t crc, struct bytes b);

#endif
