/*
 * progress.h - shows the progress of long commands, and lets signals stop them. On a terminal the
 * progress is a line on stderr that is replaced several times per second, elsewhere nothing is
 * shown until the end.
 *
 * Threads: any.
 */
#ifndef CLI_LIB_PROGRESS_H
#define CLI_LIB_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lock.h"

struct progress {
    struct lock lock; /* LOCK_RANK_LEAF */
    bool on_terminal;
    bool shown; /* the line is on the terminal, and must be removed before other output */
    int64_t began_ns;
    int64_t last_ns;
    const char *unit; /* "samples" */
};

/* Begins to measure the time. `unit`: static, in the plural. */
void progress_begin(struct progress *p, const char *unit);

/* Shows a rate from `units`, and the time left from `done` of `all` (0: not known). */
void progress_show(struct progress *p, uint64_t units, uint64_t done, uint64_t all);

/* Removes the line. */
void progress_clear(struct progress *p);

/* Returns the time since progress_begin(). */
double progress_seconds(const struct progress *p);

/* Prints a line on stderr, without disturbing the progress. */
void progress_say(struct progress *p, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * Makes SIGINT and SIGTERM set the flag returned, which lives as long as the process: the command
 * completes its current step, saves its progress, and ends. A second signal ends it at once.
 */
const atomic_bool *interrupt_watch(void);

#endif
