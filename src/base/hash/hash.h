/*
 * hash.h - XXH3 under our own names. Keys of tables that a client can fill are hashed with the
 * per-process secret seed; checksums of stored bytes use the seeds that their format pages name.
 */
#ifndef BASE_HASH_HASH_H
#define BASE_HASH_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"

static inline uint64_t
hash_bytes(struct bytes b, uint64_t seed)
{
    return XXH3_64bits_withSeed(b.at == NULL ? "" : (const void *)b.at, b.size, seed);
}

/* Hashes bytes in pieces: begin, any number of add, end. */
struct hash_pieces {
    XXH3_state_t state;
};

static inline void
hash_begin(struct hash_pieces *h, uint64_t seed)
{
    XXH3_INITSTATE(&h->state);
    XXH3_64bits_reset_withSeed(&h->state, seed);
}

static inline void
hash_add(struct hash_pieces *h, struct bytes b)
{
    if (b.size > 0) XXH3_64bits_update(&h->state, b.at, b.size);
}

static inline uint64_t
hash_end(const struct hash_pieces *h)
{
    return XXH3_64bits_digest(&h->state);
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
