/*
 * heap.h - binary heaps in arrays of any type: the item that goes before all others is the first.
 *
 * `goes_before` is an expression of `a` and `b`, pointers to two items. The owner keeps array and
 * count, and takes the first item out by putting the last one in its place: heap_down() from 0.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

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

#endif
