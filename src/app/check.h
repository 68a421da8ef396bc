/* check.h - a configuration file, all of it looked at; for commands that are told one. */
#ifndef APP_CHECK_H
#define APP_CHECK_H

#include "app/config.h"
#include "backend/settings.h"

/*
 * What the file says, over the defaults; which flags its server is given is not known here.
 * `ret_list` is given, for destinations_free(). ERR_INPUT and others as of settings_yaml(),
 * destinations_yaml(), settings_validate() and relays_check(), with the file's name.
 */
MUST_CHECK enum err check_file(const char *path, struct settings *ret_settings,
                               struct destinations *ret_list, struct why *why);

#endif
