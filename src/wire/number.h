/*
 * number.h - a double as text: the shortest decimal digits that read back as the same double, laid
 * out as Prometheus does ("NaN" whatever its payload, "+Inf", "-Inf", "-0"), and read back again.
 */
#ifndef WIRE_NUMBER_H
#define WIRE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NUMBER_TEXT_BYTES = 32 }; /* room for any number_print() */

/*
 * As sample values stand in the JSON answers of the query API: no exponent for 0 and for
 * magnitudes from 1e-6 to below 1e21 ("0.000001", "100000000000000000000"), else one of at least
 * two digits with its sign ("1e-07", "1e+21", "1.5e+300"). Returns the bytes written; no NUL.
 */
size_t number_print(uint64_t bits, char *to);

/*
 * As in sentences of Prometheus: the same digits, with an exponent below 0.0001 and from 1000000 on
 * ("1e+06").
 */
size_t number_print_sentence(uint64_t bits, char *to);

/*
 * A finite one for JSON and its like, where a number without point or exponent may be taken for an
 * integer, which has no minus zero: "-0.0", else as number_print().
 */
size_t number_print_json(uint64_t bits, char *to);

/*
 * Reads all of `text` as one decimal number, correctly rounded whatever its length: an optional
 * sign, digits with at most one point, an optional exponent; or inf, infinity (with a sign or
 * without), nan in any case. "nan" is Prometheus' ordinary one. False: nothing of that, or finite
 * digits beyond the largest double. What is too small becomes a zero of its sign.
 */
bool number_parse(const char *text, size_t size, uint64_t *ret_bits);

/*
 * The same for text that must carry every bit: the staleness marker is "stale", any other NaN but
 * the ordinary one is "NaN(0x7ff8dead0000beef)", its 64 bits. number_parse_exact() reads these
 * besides all that number_parse() reads.
 */
size_t number_print_exact(uint64_t bits, char *to); /* at most NUMBER_TEXT_BYTES */
bool number_parse_exact(const char *text, size_t size, uint64_t *ret_bits);

#ifdef __cplusplus
}
#endif

#endif
