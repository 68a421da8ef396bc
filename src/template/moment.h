/*
 * moment.h - texts of moments and durations, as Go's time.Time and time.Duration print them.
 * Private to template/. A moment is nanoseconds since 1970: years 1677 to 2262. Every zone is UTC.
 */
#ifndef TEMPLATE_MOMENT_H
#define TEMPLATE_MOMENT_H

#include <time.h>

#include "base/buf.h"

/* Year, month, day, hour, minute, second in UTC. */
struct tm tmpl_time_parts(int64_t ns);
/* Prints a time in the form of a layout: "2006-01-02 15:04:05.000". */
void tmpl_time_format(int64_t ns, struct bytes layout, struct buf *to);
/* "2015-06-23 13:19:44.128 +0000 UTC" */
void tmpl_time_print(int64_t ns, struct buf *to);
/* "1h2m3.5s" */
void tmpl_duration_print(int64_t ns, struct buf *to);

#endif
