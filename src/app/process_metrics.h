/* process_metrics.h - metrics of this process that the kernel counts, with the names that
 * Prometheus clients use: process_cpu_seconds_total, process_resident_memory_bytes, ... and the
 * highest resident memory so far, process_resident_memory_max_bytes. */
#ifndef APP_PROCESS_METRICS_H
#define APP_PROCESS_METRICS_H

#include "base/metric.h"

/* Adds the collector to the registry. Call once, at the start: it computes the start time, which
 * stays the same when the clock is set. */
void process_metrics_register(void);

/* Checks that the limit of open files leaves some for clients after `more` are open. ERR_LIMIT. */
MUST_CHECK enum err process_check_files(uint32_t more, struct why *why);

/* --- the pieces, for tests -------------------------------------------------------------------- */

/* Fields of /proc/self/stat, in the kernel's units. */
struct process_stat {
    uint64_t user_ticks;
    uint64_t system_ticks;
    uint64_t start_ticks; /* since boot */
    uint64_t virtual_bytes;
    uint64_t resident_pages;
};

/* False if the text has not the form that proc(5) describes. */
bool process_stat_parse(struct bytes text, struct process_stat *ret_stat);
/* Gets the value of a line "name:   123 kB" of /proc/self/status, in bytes. False if the line is
 * missing. */
bool process_status_bytes(struct bytes text, const char *name, uint64_t *ret_bytes);

/* Prints the metrics that can be read under `dir` ("/proc/self"); others are left out. */
void process_metrics_collect(struct metric_sink *sink, void *dir);

#endif
