/*
 * process.h - the process as the kernel sees it: what runs before its libraries are initialized,
 * what it may do, and what the kernel counts.
 */
#ifndef APP_PROCESS_H
#define APP_PROCESS_H

#include "base/metric.h"

/* --- confinement ------------------------------------------------------------------------------ */

/* Both are called by the main thread, before the server starts. */

/* Turns off core dumps, and tracing by processes that do not run as root. Programs that the process
 * runs later can be traced, and dump no core either. */
void confine_memory(void);

/*
 * Lets all threads, and all programs that the process runs later, make only the system calls that
 * process.c lists. Others fail with ENOSYS, and the kernel audits them. Such programs cannot gain
 * privileges by setuid bits. There is no way back: a second call fails.
 *
 * ERR_NOMEM; ERR_UNSUPPORTED: the kernel has no filters, or refuses them. Calls are not limited
 * then.
 */
MUST_CHECK enum err confine_calls(struct why *why);

/* --- before main() ---------------------------------------------------------------------------- */

/*
 * Called by the loader with the arguments of main(), before the constructors of the libraries:
 *   - Descriptors 0 to 2 are never those of other files: one that is closed is opened on something
 *     that can neither be read nor written. LOCK or a part would be overwritten with log lines.
 *   - For `serve`, SIGHUP is blocked until the server takes it: a reload that is requested while
 *     the process starts is done after the start, and does not end the process.
 */
void process_begin(int argc, char **argv, char **environment);

/* --- metrics ---------------------------------------------------------------------------------- */

/* Their names are those that Prometheus clients use: process_cpu_seconds_total, ... and the highest
 * resident memory so far, process_resident_memory_max_bytes. */

/* Adds the collector to the registry. Call once, at the start: it computes the start time, which
 * stays the same when the clock is set. */
void process_metrics_register(void);

/* Checks that the limit of open files leaves some for clients after `more` are open. ERR_LIMIT. */
MUST_CHECK enum err process_check_files(uint32_t more, struct why *why);

/* The pieces, for tests. Fields of /proc/self/stat, in the kernel's units. */
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
