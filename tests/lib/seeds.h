/*
 * seeds.h - the seeds of tests. SEED_SHIFT in the environment is added to each, so that a test can
 * be run with other seeds than its fixed ones. For tests only.
 */
#ifndef LIB_SEEDS_H
#define LIB_SEEDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static inline uint64_t
shifted_seed(uint64_t seed)
{
    const char *shift = getenv("SEED_SHIFT");
    return seed + (shift == NULL ? 0 : strtoull(shift, NULL, 10));
}

/* Returns true if seeds are not shifted. A case that a seed was chosen for need not occur
 * with others. */
static inline bool
seeds_are_fixed(void)
{
    return getenv("SEED_SHIFT") == NULL;
}

#endif
