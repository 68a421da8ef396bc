/* hchunk_private.h - definitions shared by hchunk.c and hchunk_read.c: see hchunk.h. */
#ifndef TSDB_HEAD_HCHUNK_PRIVATE_H
#define TSDB_HEAD_HCHUNK_PRIVATE_H

#include "tsdb/head/hchunk.h"

enum {
    TOKEN_TIME = 0xF8,
    TOKEN_START = 0xF9,
    TOKEN_SAME = 0xFD,
    TOKEN_BITS = 0xFE,
    TOKEN_SCALE = 0xFF,
    EXPONENT_BITS = 31, /* k is the bits in the order of doubles */
};

/* Maps doubles to integers in the same order (-NaN < -Inf < ... < +Inf < NaN); bijective. */
static inline int64_t
ordered_of_bits(uint64_t bits)
{
    return (int64_t)(bits ^ ((uint64_t)((int64_t)bits >> 63) >> 1));
}

/* Returns the words of one side: deltas or count bits, which have the same width. */
static inline uint64_t *
bucket_words(const struct hist_buckets *b)
{
    const void *words = b->deltas != NULL ? (const void *)b->deltas : (const void *)b->counts;
    return (uint64_t *)(uintptr_t)words;
}

#endif
