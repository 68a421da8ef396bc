/* check.h - reads and checks a whole configuration file, for commands that take one. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "config/lists/lists.h"

/*
 * What the file says, over the defaults; which flags its server is given is not known here.
 * The lists are given, for config_lists_free(). ERR_INPUT and others as of settings_load() and
 * config_lists_check(), with the file's name.
 */
MUST_CHECK enum err check_file(const char *path, struct settings *ret_settings,
                               struct config_lists *ret_lists, struct why *why);

/*
 * Prints a line for each destination that the file would remove from a server, with what waits for
 * it, change, or add; of a server also for rule files and Alertmanagers. `against` is the address
 * of the server or its storage directory, which is only read. `ret_backlog`: samples or dead
 * letters of one that is removed would remain, or cannot be counted.
 *
 * ERR_INPUT: no such address; ERR_MISSING: no such directory; ERR_AGAIN: the server does not
 * answer; ERR_UNSUPPORTED: the response is not from Firekeep; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err check_against(const struct settings *settings, const struct config_lists *file,
                                  const char *against, bool *ret_backlog, struct why *why);

#endif
