/*
 * moment.h - Go's time.Time and time.Duration: arithmetic, and the texts of them. Private to
 * template/. The zone of this machine is taken for UTC, under its other name.
 */
#ifndef TEMPLATE_MOMENT_H
#define TEMPLATE_MOMENT_H

#include "base/buf.h"

struct tmpl_time {
    int64_t seconds; /* Unix */
    uint32_t nanos;  /* below 10^9 */
    bool is_local;
};

/* Seconds before Unix' zero since that of Go, which is the first of January of the year 1. */
#define TMPL_GO_ZERO_SECONDS 62135596800

struct tmpl_date {
    int64_t year;
    int32_t month;    /* 1 to 12 */
    int32_t day;      /* 1 to 31 */
    int32_t year_day; /* 1 to 366 */
    int32_t weekday;  /* 0: Sunday */
    int32_t hour, minute, second;
};
struct tmpl_date tmpl_date_of(const struct tmpl_time *t);

struct tmpl_time tmpl_time_of_ms(int64_t ms);
struct tmpl_time tmpl_time_add(const struct tmpl_time *t, int64_t ns);
struct tmpl_time tmpl_time_add_date(const struct tmpl_time *t, int64_t years, int64_t months,
                                    int64_t days);
/* The least or the greatest duration if it is beyond them. */
int64_t tmpl_time_sub(const struct tmpl_time *t, const struct tmpl_time *u);
int tmpl_time_compare(const struct tmpl_time *t, const struct tmpl_time *u);
/* To multiples of `ns` since Go's zero; up if it is half of one, when it is rounded. */
struct tmpl_time tmpl_time_truncate(const struct tmpl_time *t, int64_t ns);
struct tmpl_time tmpl_time_round(const struct tmpl_time *t, int64_t ns);

/* As a layout says: "2006-01-02 15:04:05.000". */
void tmpl_time_format(const struct tmpl_time *t, struct bytes layout, struct buf *to);
/* 2006-01-02 15:04:05.999999999 -0700 MST */
void tmpl_time_print(const struct tmpl_time *t, struct buf *to);
/* time.Date(2006, time.January, 2, 15, 4, 5, 0, time.UTC) */
void tmpl_time_print_go(const struct tmpl_time *t, struct buf *to);
void tmpl_month_print(int64_t month, struct buf *to);
void tmpl_weekday_print(int64_t weekday, struct buf *to);

/* 1h2m3.5s */
void tmpl_duration_print(int64_t ns, struct buf *to);
int64_t tmpl_duration_truncate(int64_t ns, int64_t unit);
/* Halves away from zero. */
int64_t tmpl_duration_round(int64_t ns, int64_t unit);

#endif
