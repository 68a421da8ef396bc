/*
 * seed_testing.h - the seeds of the tests of this folder. SEED_SHIFT in the environment is added to
 * each, so that what holds for the fixed ones can be tried with any others. For tests only.
 */
#ifndef RELAY_SEED_TESTING_H
#define RELAY_SEED_TESTING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static inline uint64_t
shifted_seed(uint64_t seed)
{
    const char *shift = getenv("SEED_SHIFT");
    return seed + (shift == NULL ? 0 : strtoull(shift, NULL, 10));
}

/* What a fixed seed was found for need not happen with others. */
static inline bool
seeds_are_fixed(void)
{
    return getenv("SEED_SHIFT") == NULL;
}

#endif
