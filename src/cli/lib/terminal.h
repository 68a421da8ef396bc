/*
 * terminal.h - the terminal of a command: shows its progress, asks for secrets, and lets signals
 * stop it.
 */
#ifndef CLI_LIB_TERMINAL_H
#define CLI_LIB_TERMINAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/lock.h"

/* --- a password or token ---------------------------------------------------------------------- */

enum { SECRET_LINE_BYTES_MAX = 4096 };

/*
 * Prints the prompt on the process's terminal, whatever standard input is, and appends the line
 * that is typed, without its end. The terminal does not show it. Signal handlers of the process are
 * replaced meanwhile.
 *
 * ERR_UNSUPPORTED: the process has no terminal; ERR_CANCELED: a signal or the end of the input
 * came; ERR_LIMIT: the line is longer than SECRET_LINE_BYTES_MAX; ERR_IO.
 */
MUST_CHECK enum err ask_secret(const char *prompt, struct buf *to, struct why *why);

/* Appends standard input, one line, without its end. ERR_INPUT: more than one line; ERR_LIMIT;
 * ERR_IO. */
MUST_CHECK enum err secret_from_stdin(struct buf *to, struct why *why);

/* --- progress --------------------------------------------------------------------------------- */

/* A line on stderr that is replaced several times per second; if stderr is not a terminal, nothing
 * is shown until the end. Threads: any. */
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
