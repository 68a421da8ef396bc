/*
 * array.h - room in growing arrays of any type.
 *
 * The owner keeps three fields, `items`, `count` and `capacity` (whatever their names, and of any
 * unsigned type), zero at first. Threads: the owner's.
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

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

#endif
