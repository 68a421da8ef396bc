/*
 * schedule.h - the times at which a group is evaluated.
 *
 * They are multiples of its interval, shifted by a hash of its file and name. So groups are spread
 * over the interval, and every server with the same files evaluates them at the same times. The
 * hash is Prometheus', and so are the times. Each time has a number, its slot.
 *
 *      | shift |     interval      |     interval      |
 *      0       slot 0              slot 1              slot 2
 *
 * Threads: pure.
 */
#ifndef RULES_GROUP_SCHEDULE_H
#define RULES_GROUP_SCHEDULE_H

#include "base/mem.h"

struct schedule {
    int64_t interval_ns; /* above 0 */
    int64_t shift_ns;    /* below the interval */
};

/* Finds the schedule of a group. ERR_NOMEM. */
MUST_CHECK enum err schedule_of(const char *file, const char *name, int64_t interval_ns,
                                struct schedule *ret);
/* Returns the last slot at or before a time (Unix, not negative); -1 before slot 0. */
int64_t schedule_slot(const struct schedule *schedule, int64_t now_ns);
/* Returns the Unix time of a slot. */
int64_t schedule_time_ns(const struct schedule *schedule, int64_t slot);

#endif
