/*
 * radix.h - sorts items that begin with a uint64_t by it, in a pass for each 11 bits in which any
 * differ; few of them with qsort(). Inline: the size of an item is known where it is moved.
 */
#ifndef BASE_RADIX_H
#define BASE_RADIX_H

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };

static inline uint64_t
radix_key(const void *item)
{
    uint64_t key;
    memcpy(&key, item, sizeof key);
    return key;
}

static inline int
radix_compare(const void *a, const void *b)
{
    return (radix_key(a) > radix_key(b)) - (radix_key(a) < radix_key(b));
}

/* Returns the sorted items, which are in `items` or in `spare`, which has room for as many. Bits
 * below `from_bit` do not matter: items are in their order already. For fewer than `worth` items
 * qsort() is used. */
static inline __attribute__((always_inline)) void *
radix_sort(void *items, void *spare, uint32_t count, size_t item_bytes, unsigned from_bit,
           uint32_t worth)
{
    uint8_t *from = items, *to = spare;
    uint64_t differ = 0;
    if (count < worth) {
        qsort(items, count, item_bytes, radix_compare);
        return items;
    }
    for (uint32_t i = 1; i < count; i++) {
        differ |= radix_key(from + i * item_bytes) ^ radix_key(from);
    }
    for (unsigned shift = from_bit; shift < 64; shift += RADIX_BITS) {
        uint32_t starts[RADIX] = {0};
        if ((differ >> shift & (RADIX - 1)) == 0) continue;
        for (uint32_t i = 0; i < count; i++) {
            starts[radix_key(from + i * item_bytes) >> shift & (RADIX - 1)]++;
        }
        for (uint32_t b = 0, at = 0; b < RADIX; b++) {
            uint32_t size = starts[b];
            starts[b] = at;
            at += size;
        }
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *item = from + i * item_bytes;
            uint32_t place = starts[radix_key(item) >> shift & (RADIX - 1)]++;
            memcpy(to + place * item_bytes, item, item_bytes);
        }
        uint8_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

#endif
