/* search.h - binary search over whatever has numbers in order. */
#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

/*
 * The first number `i` in low..high-1 for which `is_past`, an expression of `i`, is true; `high`
 * when there is none. From one for which it is true on it is true for all. `i` has the type of
 * `high`. An example: search_first(i, 0u, count, times[i] > t_ms) is how many times are until t_ms.
 */
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
