/* search.h - binary search over anything that is numbered and ordered. */
#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

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

#endif
