/* time_text.h - reads and writes times as people and files do, exact to the millisecond. */
#ifndef BASE_TEXT_TIME_TEXT_H
#define BASE_TEXT_TIME_TEXT_H

#include "base/bytes.h"
#include "base/err.h"

enum { TIME_TEXT_BYTES = 40 };

/* Reads digits with an optional sign. False: anything else, or beyond int64. */
bool time_parse_ms(struct bytes text, int64_t *ret_ms);

/* Reads Unix seconds with an optional fraction and exponent ("1.7e9", "1700000000.5"), rounded to
 * the nearest millisecond. False: anything else, or beyond int64 milliseconds. */
bool time_parse_seconds(struct bytes text, int64_t *ret_ms);

/* Reads RFC 3339, "2024-02-29T12:00:00.25+01:00"; also with a blank for the T, and a date alone
 * (midnight, UTC). Fractions are cut to milliseconds. */
bool time_parse_rfc3339(struct bytes text, int64_t *ret_ms);

/*
 * Reads a time as Prometheus' API does: Unix seconds, rounded as it rounds them (the nearest
 * double's fraction to the nearest millisecond), RFC 3339 with T and Z as capitals, and the two
 * texts in which it writes its least and greatest time. A time beyond int64 milliseconds, ±Inf
 * included, becomes the least or the greatest of them. False: anything else, "now" and dates alone
 * included.
 */
bool time_parse_api(struct bytes text, int64_t *ret_ms);

/* Reads "1h30m": whole numbers with ms, s, m, h, d, w (7 days) or y (365 days). False: anything
 * else. */
bool time_parse_duration(struct bytes text, int64_t *ret_ms);
/* Does the same with the rules of Prometheus' API: each unit at most once, from the largest to the
 * smallest, and no more than fits into nanoseconds, 292 years. */
bool time_parse_duration_api(struct bytes text, int64_t *ret_ms);

/* Writes a duration like Prometheus: "1h30m", with years and weeks only if there is no remainder,
 * "90d" and not "12w6d". It is not negative; `to` has room for TIME_TEXT_BYTES and ends in NUL.
 * Returns `to`. */
char *time_print_duration(int64_t ms, char *to);

/*
 * Reads a time of a command line: RFC 3339, Unix seconds (rounded as by the API), "now", "now-1d",
 * "now+1h". ERR_INPUT, with the sentence in `why`.
 */
MUST_CHECK enum err time_parse(struct bytes text, int64_t now_ms, int64_t *ret_ms, struct why *why);

/* Writes RFC 3339 in UTC, with milliseconds; years outside 0..9999 as plain milliseconds with "ms".
 * `to` has room for TIME_TEXT_BYTES and ends in NUL. Returns `to`. */
char *time_print(int64_t ms, char *to);

/* Writes Unix seconds with as many digits of a fraction as needed: "1700000000", "-0.001". Returns
 * the number of bytes in `to`, which has room for TIME_TEXT_BYTES. */
size_t time_print_seconds(int64_t ms, char *to);

/* Returns the start, in UTC, of the month that is `months` after that of a time. */
int64_t time_month_begin(int64_t ms, int months);

#endif
