/*
 * number.h - writes a double as the shortest decimal digits that read back as the same double, in
 * Prometheus' layout ("NaN" for any payload, "+Inf", "-Inf", "-0"), and reads it.
 */
#ifndef WIRE_NUMBER_H
#define WIRE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NUMBER_TEXT_BYTES = 32 }; /* enough for any number_print() */

/* Writes the number as a sample value in JSON answers of the query API: without an exponent for 0
 * and for magnitudes from 1e-6 to below 1e21 ("0.000001", "100000000000000000000"), else with a
 * signed exponent of at least two digits ("1e-07", "1e+21", "1.5e+300"). Returns the bytes written;
 * no NUL. */
size_t number_print(uint64_t bits, char *to);

/* Writes the number as Prometheus does in sentences: the same digits, with an exponent below 0.0001
 * and from 1000000 on ("1e+06"). */
size_t number_print_sentence(uint64_t bits, char *to);

/* Writes a finite number for readers that take a number without point or exponent for an integer,
 * which has no minus zero: "-0.0", else as number_print(). */
size_t number_print_json(uint64_t bits, char *to);

/* Writes the number without an exponent, however long it is then. */
enum { NUMBER_PLAIN_BYTES = 352 };
size_t number_print_plain(uint64_t bits, char *to);

/* Reads all of `text` as one decimal number, correctly rounded for any length: an optional sign,
 * digits with at most one point, an optional exponent; or inf, infinity (optional sign), nan in any
 * case. "nan" is Prometheus' ordinary NaN. False: not a number, or finite digits beyond the largest
 * double. Digits below the smallest double give a zero with their sign. */
bool number_parse(const char *text, size_t size, uint64_t *ret_bits);

/* Reads what Go's strconv.ParseFloat reads, as Prometheus does in labels and parameters: also
 * hexadecimal digits with an exponent of two ("0x1p-2"), and underscores between digits. Texts that
 * are not plain decimal have at most 127 bytes. */
bool number_parse_go(const char *text, size_t size, uint64_t *ret_bits);

/* Write and read a number with every bit: the staleness marker is "stale", any other NaN but the
 * ordinary one is "NaN(0x7ff8dead0000beef)", its 64 bits. number_parse_exact() also reads all that
 * number_parse() reads. */
size_t number_print_exact(uint64_t bits, char *to); /* at most NUMBER_TEXT_BYTES */
bool number_parse_exact(const char *text, size_t size, uint64_t *ret_bits);

#ifdef __cplusplus
}
#endif

#endif
