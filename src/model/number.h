/*
 * number.h - a double as text: the shortest decimal digits that read back as the same double, laid
 * out as Prometheus does. "NaN" (whatever its payload), "+Inf", "-Inf", "-0".
 */
#ifndef MODEL_NUMBER_H
#define MODEL_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    NUMBER_TEXT_BYTES = 32,   /* room for any number_print() */
    NUMBER_FIXED_BYTES = 352, /* room for any number_print_fixed() */
};

/*
 * As sample values stand in the JSON answers of the query API: no exponent for 0 and for
 * magnitudes from 1e-6 to below 1e21 ("0.000001", "100000000000000000000"), else one of at least
 * two digits with its sign ("1e-07", "1e+21", "1.5e+300"). Returns the bytes written; no NUL.
 */
size_t number_print(uint64_t bits, char *to);

/* The same digits, never an exponent: as label values made from numbers (count_values, le). */
size_t number_print_fixed(uint64_t bits, char *to);

#ifdef __cplusplus
}
#endif

#endif
