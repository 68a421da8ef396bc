/*
 * dropin.h - commands that take the place of other programs between Prometheus and a store: their
 * flags become a configuration of Firekeep, which is printed, and a server starts with it. The
 * server stores nothing but the log of what is not delivered yet (`storage.mode: none`).
 */
#ifndef CLI_DROPIN_DROPIN_H
#define CLI_DROPIN_DROPIN_H

#include <limits.h>

#include "base/buf.h"
#include "cli/cli.h"

enum { DROPIN_DIR_BYTES = PATH_MAX + 80 };

/* Writes a key and a quoted text on a line; nothing for NULL and for "". */
void dropin_put(struct buf *config, const char *indent, const char *key, const char *text);

/* Writes the URL of a server without the user and password in it, and `basic_auth` with those of
 * the flags, or else with these. */
void dropin_put_server(struct buf *config, const char *url, const char *user, const char *password);

/* The value of an environment variable, or `otherwise` if it is not set or empty. */
const char *dropin_environment(const char *name, const char *otherwise);

/*
 * Rewrites flags as flags_parse() reads them: long ones with one hyphen get two; for the names in
 * `switches`, which ends at a NULL, --NAME=true becomes --NAME, and --NAME=false and --no-NAME go,
 * as do the other words that Go reads as true or false. Returns the number of words that are left.
 */
int dropin_words(int argc, char **argv, const char *const *switches);

/* Rewrites a duration of Go, such as 1.5s, as Firekeep reads them. NULL stays. ERR_INPUT: it is not
 * a duration; `flag` is its name. */
MUST_CHECK enum err dropin_duration(const char *flag, const char **value, struct why *why);

/*
 * Finds the directory of the server: `given`, else the first of $STATE_DIRECTORY, else ./firekeep,
 * and prints the latter. False: that cannot be written, and the directory is one for temporary
 * files, where no log may be: the server has to answer when the destination has a write.
 */
bool dropin_find_storage(const char *command, const char *given,
                         char ret_dir[static DROPIN_DIR_BYTES]);

#endif
