/* check.h - reads and checks a whole configuration file, for commands that take one. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "config/lists/lists.h"

/*
 * Reads the settings of a file, over the defaults; flags of its server are not known here. The
 * lists are given, for config_lists_free(). ERR_INPUT and others as of settings_load() and
 * config_lists_check(), with the file's name.
 */
MUST_CHECK enum err check_file(const char *path, struct settings *ret_settings,
                               struct config_lists *ret_lists, struct why *why);

/*
 * Prints a line for each destination that the file would remove from a server (with its backlog),
 * change, or add; for a running server, also for rule files and Alertmanagers. `against` is the
 * address of the server or its storage directory, which is only read. `ret_backlog`: a removed
 * destination would leave samples or dead letters, or these cannot be counted.
 *
 * ERR_INPUT: invalid address; ERR_MISSING: the directory does not exist; ERR_AGAIN: the server does
 * not answer; ERR_UNSUPPORTED: the response is not from Firekeep; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err check_against(const struct settings *settings, const struct config_lists *file,
                                  const char *against, const char *http_config_file,
                                  bool *ret_backlog, struct why *why);

#endif
