/*
 * dropin.h - commands that take the place of other programs between Prometheus and a store: their
 * flags become a configuration of Firekeep, which is printed, and a server starts with it. The
 * server stores nothing but the log of what is not delivered yet (`storage.mode: none`).
 */
#ifndef CLI_DROPIN_DROPIN_H
#define CLI_DROPIN_DROPIN_H

#include "base/buf.h"
#include "cli/cli.h"

/* Flags that all of them have. */
struct dropin_flags {
    const char *listen;
    const char *telemetry_path; /* NULL: the old program has no such flag */
    const char *log_level;
    const char *log_format;
    const char *storage; /* NULL: $STATE_DIRECTORY, or ./firekeep */
};

#define DROPIN_STORAGE_FLAG(s, f)                                                          \
    {                                                                                      \
        "storage.path", 0, FLAG_TEXT, offsetof(s, f.storage), "DIRECTORY",                 \
            "of Firekeep, not of the old program: where samples wait for the destination " \
            "(default $STATE_DIRECTORY, or ./firekeep)"                                    \
    }

/* Writes a key and a quoted text on a line; nothing for NULL and for "". */
void dropin_put(struct buf *config, const char *indent, const char *key, const char *text);

/* The value of an environment variable, or `otherwise` if it is not set or empty. */
const char *dropin_environment(const char *name, const char *otherwise);

/*
 * Rewrites flags as flags_parse() reads them: long ones with one hyphen get two; for the names in
 * `switches`, which ends at a NULL, --NAME=true becomes --NAME, and --NAME=false and --no-NAME go.
 * Returns the number of words that are left.
 */
int dropin_words(int argc, char **argv, const char *const *switches);

/* Prints a line for each flag among the words whose help says that it has no effect. */
void dropin_print_ignored(const char *command, const struct flag *flags, int argc, char **argv);

/*
 * Starts the server, and returns its exit code. `config` has the destinations and sources; `note`
 * says on one line what the old program did otherwise.
 */
int dropin_serve(const char *command, const struct dropin_flags *f, struct buf *config,
                 const char *note);

#endif
