/*
 * hash.h - XXH3 under our own names. Keys of tables that a client can fill are hashed with the
 * per-process secret seed; checksums of stored bytes use the seeds that their format pages name.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"

static inline uint64_t
hash_bytes(struct bytes b, uint64_t seed)
{
    return XXH3_64bits_withSeed(b.at == NULL ? "" : (const void *)b.at, b.size, seed);
}

/* Mixes a further 64-bit word into a hash. */
static inline uint64_t
hash_mix(uint64_t hash, uint64_t word)
{
    hash ^= word + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    hash *= 0xff51afd7ed558ccdu;
    return hash ^ (hash >> 33);
}

#endif
