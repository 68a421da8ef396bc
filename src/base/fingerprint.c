#include "base/fingerprint.h"

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014). */
static uint64_t
next_word(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void
fingerprint_key_make(struct fingerprint_key *key, uint64_t seed)
{
    uint64_t state = seed;
    key->seed = seed;
    for (unsigned i = 0; i < sizeof key->words / sizeof *key->words; i++) {
        key->words[i] = next_word(&state);
    }
}
