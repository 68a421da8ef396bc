/*
 * progress.h - for commands that work for long: how far they are, on a terminal a line on stderr
 * that is written over some times a second, elsewhere nothing until the end; and what stops them.
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
    bool shown; /* a line stands there that must go before anything else is written */
    int64_t began_ns;
    int64_t last_ns;
    const char *unit; /* "samples" */
};

void progress_begin(struct progress *p, const char *unit);

/* `done` of `all` (0: not known) gives the time left, `units` are counted for the rate. */
void progress_show(struct progress *p, uint64_t units, uint64_t done, uint64_t all);

/* Removes the line. */
void progress_clear(struct progress *p);

double progress_seconds(const struct progress *p);

/* A line on stderr between those of the progress. */
void progress_say(struct progress *p, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * From now on SIGINT and SIGTERM set the flag that this gives, which lives as long as the process:
 * the command finishes what it is at, notes how far it came, and ends. A second signal ends it at
 * once.
 */
const atomic_bool *interrupt_watch(void);

#endif
