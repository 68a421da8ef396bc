/*
 * hours.h - which hours of an archive may have samples of a time, as the names of objects tell:
 * "YYYY/MM/DD/HH/..." in UTC, after the prefix.
 */
#ifndef BACKEND_ARCHIVE_HOURS_H
#define BACKEND_ARCHIVE_HOURS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { HOUR_TEXT_BYTES = 15, HOUR_TEXT_SIZE = 14 };

struct hours {
    bool all;                    /* and names need not begin with one */
    char first[HOUR_TEXT_BYTES]; /* "2026/01/02/03/" */
    char last[HOUR_TEXT_BYTES];
};

/* Those of samples between two times, when an object's hour differs by `late_ms` at most. */
void hours_between(int64_t min_ms, int64_t max_ms, int64_t late_ms, struct hours *ret_hours);

/* Whether a name, after the prefix, begins with an hour, and with one of these. */
bool hours_have_name(const struct hours *hours, struct bytes name);
/* Whether a directory, "2026/01", may hold some of them. */
bool hours_may_be_in(const struct hours *hours, struct bytes dir);

#endif
