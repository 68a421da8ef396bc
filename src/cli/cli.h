/*
 * cli.h - which command was asked for, and help.
 *
 *     firekeep CMD [words]      runs it
 *     firekeep help [CMD]       also --help, -h; and after a command: firekeep CMD --help
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage (the reason and a hint go to stderr), 3 done, but
 * samples of a destination would remain undelivered (check --against), or rules are duplicates
 * (check rules --lint-fatal).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/buf.h"
#include "cli/lib/flags.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_BACKLOG = 3, EXIT_LINT = 3 };

struct command {
    const char *name;
    const char *arguments; /* for the line "usage:", e.g. "FILE"; NULL: none */
    const char *help;      /* one sentence, lower case, no full stop */
    /* argv[0] is the name; help was not asked for. Returns an exit code. */
    int (*run)(int argc, char **argv);
    const struct flag *flags;        /* shown by `help CMD`; NULL: none */
    const char *notes;               /* what it says after them; NULL: nothing */
    void (*details)(struct buf *to); /* instead of both: appends them */
};

/* Runs what argv asks for. `commands` ends at a NULL. Returns the exit code; 1 also when stdout
 * could not be written. */
int cli_run(const struct command *const *commands, int argc, char **argv);

/* For commands: prints "firekeep CMD: ..." and a hint to stderr, and returns EXIT_USAGE. */
int cli_usage_error(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);
/* Prints "firekeep CMD: ..." to stderr, after all that is on stdout, and returns EXIT_FAILED. */
int cli_failed(const char *command, enum err e, const struct why *why);

/* What ends a noun after a number: "s", or nothing after 1. */
static inline const char *
plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

#endif
