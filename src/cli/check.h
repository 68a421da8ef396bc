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

#endif
