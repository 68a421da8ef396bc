/* hours.h - the hours of an archive that may have samples of a time, by the names of objects:
 * "YYYY/MM/DD/HH/..." in UTC, after the prefix. */
#ifndef BACKEND_ARCHIVE_HOURS_H
#define BACKEND_ARCHIVE_HOURS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { HOUR_TEXT_BYTES = 15, HOUR_TEXT_SIZE = 14 };

struct hours {
    bool all;                    /* all names count, also those without an hour */
    char first[HOUR_TEXT_BYTES]; /* "2026/01/02/03/" */
    char last[HOUR_TEXT_BYTES];
};

/* The hours of samples between two times, if an object's hour differs by at most `late_ms`. */
void hours_between(int64_t min_ms, int64_t max_ms, int64_t late_ms, struct hours *ret_hours);

/* True if a name, after the prefix, begins with one of these hours. */
bool hours_have_name(const struct hours *hours, struct bytes name);
/* True if a directory, "2026/01", may contain some of them. */
bool hours_may_be_in(const struct hours *hours, struct bytes dir);

#endif
