/*
 * hash.h - XXH3 under our own names. Keys of tables that a client can fill are hashed with the
 * per-process secret seed; checksums of stored bytes use the seeds that their format pages name.
 */
#ifndef BASE_HASH_HASH_H
#define BASE_HASH_HASH_H

#define XXH_INLINE_ALL
#include <stdbool.h>
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

/* --- fingerprints ----------------------------------------------------------------------------- */

/*
 * Fingerprints hash a text to 128 bits under a secret key.
 *
 * Under a random key two different texts, chosen without knowledge of it, have the same
 * fingerprint with a probability of at most 2^-63. This bound is proven, so a caller may take
 * equal fingerprints for equal texts without comparing them. The fingerprint is the sum of products
 * NH: Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC: Fast and Secure Message Authentication"
 * (1999), section 4, with words of 64 bits; the first product includes the length. NH needs a word
 * of key for each word of text, so texts longer than FINGERPRINT_BYTES_MAX have no fingerprint.
 */

enum { FINGERPRINT_WORDS_MAX = 256, FINGERPRINT_BYTES_MAX = FINGERPRINT_WORDS_MAX * 8 };

struct fingerprint {
    uint64_t low;
    uint64_t high;
};

/* All words are random. */
struct fingerprint_key {
    uint64_t words[2 + FINGERPRINT_WORDS_MAX];
};

/* A fingerprint of fingerprints needs a key of its own. */
struct fingerprint_keys {
    struct fingerprint_key texts;
    struct fingerprint_key lists;
};

/* True if there is no fingerprint: the text is too long, or not known. */
static inline bool
fingerprint_is_none(struct fingerprint f)
{
    return (f.low | f.high) == 0;
}

/* True if both are of the same text; false if one is missing. */
static inline bool
fingerprint_equal(struct fingerprint a, struct fingerprint b)
{
    return ((a.low ^ b.low) | (a.high ^ b.high)) == 0 && !fingerprint_is_none(a);
}

/* A sum of pairs of words in their order, as it is computed. */
struct fingerprint_sum {
    unsigned __int128 sum;
    const uint64_t *next; /* next word of the key */
};

/* `length` is that of the text, in any unit in which texts of different numbers of words differ. */
static inline struct fingerprint_sum
fingerprint_begin(const struct fingerprint_key *key, uint64_t length)
{
    const uint64_t *k = key->words;
    return (struct fingerprint_sum){(unsigned __int128)(k[0] + length) * k[1], k + 2};
}

/* Adds a pair of words; at most FINGERPRINT_WORDS_MAX / 2 times. */
static inline void
fingerprint_add(struct fingerprint_sum *s, uint64_t a, uint64_t b)
{
    s->sum += (unsigned __int128)(s->next[0] + a) * (s->next[1] + b);
    s->next += 2;
}

static inline struct fingerprint
fingerprint_end(const struct fingerprint_sum *s)
{
    return (struct fingerprint){(uint64_t)s->sum, (uint64_t)(s->sum >> 64)};
}

/* Adds the last, short pair of words, of fewer than 16 bytes. No two are alike, because `length`
 * says how many there are. */
static inline void
fingerprint_add_few(struct fingerprint_sum *s, const uint8_t *p, size_t size)
{
    if (size >= 8)
        fingerprint_add(s, load_le64(p), load_le64(p + size - 8));
    else if (size >= 4)
        fingerprint_add(s, load_le32(p), load_le32(p + size - 4));
    else if (size > 0)
        fingerprint_add(s, p[0], (uint64_t)p[size / 2] << 8 | p[size - 1]);
}

/* Returns no fingerprint for more than FINGERPRINT_BYTES_MAX bytes. */
static inline struct fingerprint
fingerprint_of(const struct fingerprint_key *key, struct bytes text)
{
    if (text.size > FINGERPRINT_BYTES_MAX) return (struct fingerprint){0, 0};
    struct fingerprint_sum s = fingerprint_begin(key, text.size);
    const uint8_t *p = text.at;
    size_t left = text.size;
    for (; left >= 16; p += 16, left -= 16)
        fingerprint_add(&s, load_le64(p), load_le64(p + 8));
    if (left == 0) return fingerprint_end(&s);
    if (text.size > 16) {
        /* Reads some bytes twice; the length says which. */
        fingerprint_add(&s, load_le64(p + left - 16), load_le64(p + left - 8));
    } else {
        fingerprint_add_few(&s, p, left);
    }
    return fingerprint_end(&s);
}

#endif
