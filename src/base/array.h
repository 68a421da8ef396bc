/*
 * array.h - arrays of any type: room to grow, binary search, heaps, and a sort by an integer.
 *
 * The owner of a growing array keeps three fields, `items`, `count` and `capacity` (whatever their
 * names, and of any unsigned type), zero at first. Threads: the owner's.
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stdlib.h>

#include "base/mem.h"

enum { ARRAY_ITEMS_FIRST = 16 };

/* Returns the capacity that follows `capacity` and holds `count` items of `item_bytes` each, by
 * doubling. 0 if memory cannot hold so many, or `count_max` is lower. */
static inline size_t
array_capacity(size_t capacity, size_t count, size_t item_bytes, size_t count_max)
{
    size_t max = SIZE_MAX / 2 / item_bytes;
    if (max > count_max) max = count_max;
    if (count > max) return 0;
    if (capacity == 0) capacity = ARRAY_ITEMS_FIRST;
    while (capacity < count)
        capacity = capacity > max / 2 ? max : 2 * capacity;
    return capacity;
}

/* Makes room for `wanted` items in all; new room is not zeroed. False without memory: nothing has
 * changed. `wanted` and the pointers are evaluated once. */
#define array_reserve(budget, items, capacity, wanted)                                           \
    __extension__({                                                                              \
        __auto_type items_ = (items);                                                            \
        __auto_type capacity_ = (capacity);                                                      \
        size_t wanted_ = (wanted), each_ = sizeof **items_;                                      \
        bool fits_ = wanted_ <= *capacity_;                                                      \
        if (!fits_) {                                                                            \
            size_t more_ =                                                                       \
                array_capacity(*capacity_, wanted_, each_, (size_t)(__typeof__(*capacity_))-1);  \
            void *grown_ = more_ == 0                                                            \
                               ? NULL                                                            \
                               : mem_resize(budget, *items_, *capacity_ * each_, more_ * each_); \
            if (grown_ != NULL) {                                                                \
                *items_ = grown_;                                                                \
                *capacity_ = (__typeof__(*capacity_))more_;                                      \
                fits_ = true;                                                                    \
            }                                                                                    \
        }                                                                                        \
        fits_;                                                                                   \
    })

/* Frees the memory; the fields keep their values. */
#define array_free(budget, items, capacity) mem_free(budget, items, (capacity) * sizeof *(items))

/* Gives the first number `i` in low..high-1 for which `is_past`, an expression of `i`, is true;
 * `high` if it is true for none. It must be true for all numbers after the first one. `i` has the
 * type of `high`. An example: search_first(i, 0u, count, times[i] > t_ms) is the number of times up
 * to t_ms. */
#define search_first(i, low, high, is_past)                        \
    __extension__({                                                \
        __typeof__((high) + 0) high_ = (high), low_ = (low);       \
        while (low_ < high_) {                                     \
            const __typeof__(high_) i = low_ + (high_ - low_) / 2; \
            if (is_past)                                           \
                high_ = i;                                         \
            else                                                   \
                low_ = i + 1;                                      \
        }                                                          \
        low_;                                                      \
    })

/* --- heaps ------------------------------------------------------------------------------------ */

/* In a binary heap the item that goes before all others is the first. `goes_before` is an
 * expression of `a` and `b`, pointers to two items. The owner keeps array and count, and takes the
 * first item out by putting the last one in its place: heap_down() from 0. */

/* Puts `item` at the free place `from` and lets it rise. */
#define heap_up(items, from, item, goes_before)                              \
    __extension__({                                                          \
        __auto_type heap_ = (items);                                         \
        const __typeof__(*heap_) item_ = (item);                             \
        size_t at_ = (from);                                                 \
        while (at_ > 0) {                                                    \
            const __typeof__(item_) *a = &item_, *b = &heap_[(at_ - 1) / 2]; \
            if (!(goes_before)) break;                                       \
            heap_[at_] = *b;                                                 \
            at_ = (at_ - 1) / 2;                                             \
        }                                                                    \
        heap_[at_] = item_;                                                  \
    })

/* Puts `item` at the free place `from` of `count` items and lets it sink. */
#define heap_down(items, count, from, item, goes_before)                 \
    __extension__({                                                      \
        __auto_type heap_ = (items);                                     \
        const __typeof__(*heap_) item_ = (item);                         \
        size_t at_ = (from), count_ = (count);                           \
        for (size_t child_; (child_ = 2 * at_ + 1) < count_;) {          \
            const __typeof__(item_) *a = &heap_[child_ + 1], *b = a - 1; \
            if (child_ + 1 < count_ && (goes_before)) child_++;          \
            a = &heap_[child_], b = &item_;                              \
            if (!(goes_before)) break;                                   \
            heap_[at_] = *a;                                             \
            at_ = child_;                                                \
        }                                                                \
        heap_[at_] = item_;                                              \
    })

/* --- a sort ----------------------------------------------------------------------------------- */

/* Sorts items that begin with a uint64_t by it, in a pass for each 11 bits in which any differ; few
 * of them with qsort(). Inline: the size of an item is known where it is moved. */

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
    for (uint32_t i = 1; i < count; i++)
        differ |= radix_key(from + i * item_bytes) ^ radix_key(from);
    for (unsigned shift = from_bit; shift < 64; shift += RADIX_BITS) {
        uint32_t starts[RADIX] = {0};
        if ((differ >> shift & (RADIX - 1)) == 0) continue;
        for (uint32_t i = 0; i < count; i++)
            starts[radix_key(from + i * item_bytes) >> shift & (RADIX - 1)]++;
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
