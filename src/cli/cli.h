/*
 * cli.h - runs a command, or prints help.
 *
 *     firekeep CMD [words]      runs it
 *     firekeep help [CMD]       also --help, -h; and after a command: firekeep CMD --help
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage (the reason and a hint go to stderr), 3 done, but
 * there are duplicate rules (check rules --lint-fatal).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/buf.h"
#include "cli/lib/flags.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_LINT = 3 };

struct command {
    const char *name;
    const char *arguments; /* for the line "usage:", e.g. "FILE"; NULL: no arguments */
    const char *help;      /* one sentence, lower case, no full stop */
    /* Called unless help was requested; argv[0] is the name. Returns an exit code. */
    int (*run)(int argc, char **argv);
    const struct flag *flags;        /* shown by `help CMD`; NULL: no flags */
    const char *notes;               /* printed after the flags; NULL: nothing */
    void (*details)(struct buf *to); /* appends both, and replaces them */
};

/* Runs the command that argv names. `commands` ends at a NULL. Returns the exit code, which is 1
 * also if stdout could not be written. */
int cli_run(const struct command *const *commands, int argc, char **argv);

/* For commands: prints "firekeep CMD: ..." and a hint to stderr, and returns EXIT_USAGE. */
int cli_usage_error(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);
/* Prints "firekeep CMD: ..." to stderr, after flushing stdout, and returns EXIT_FAILED. */
int cli_failed(const char *command, enum err e, const struct why *why);

struct config_lists;
struct settings;

/*
 * Reads and checks a whole configuration file, for commands that take one: its settings over the
 * defaults; flags of its server are not known here. The lists are given, for config_lists_free().
 * ERR_INPUT and others as of settings_load() and config_lists_check(), with the file's name.
 */
MUST_CHECK enum err check_file(const char *path, struct settings *ret_settings,
                               struct config_lists *ret_lists, struct why *why);

struct destination_settings;
struct source_settings;

/* Finds a destination or source by its name. ERR_INPUT: there is no file; ERR_MISSING: it has none
 * of that name. */
MUST_CHECK enum err config_find_destination(const struct config_lists *lists, const char *file,
                                            const char *name,
                                            const struct destination_settings **ret,
                                            struct why *why);
MUST_CHECK enum err config_find_source(const struct config_lists *lists, const char *file,
                                       const char *name, const struct source_settings **ret,
                                       struct why *why);

/* Returns the ending of a noun after a number: "s", or "" after 1. */
static inline const char *
plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* The commands of firekeep; main.c lists them. */
extern const struct command command_backup, command_bucket, command_check, command_copy,
    command_dead_letters, command_deletions, command_destinations, command_export, command_hash,
    command_health, command_import, command_inspect, command_kinesis_adapter, command_lambda,
    command_plan, command_query, command_remote_storage_adapter, command_restore, command_rules,
    command_serve, command_sources, command_test, command_timestream_connector, command_token,
    command_undelete, command_verify, command_version;

#endif
