/* check.h - a configuration file, all of it looked at; for commands that are told one. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "backend/settings.h"
#include "config/config.h"

/*
 * What the file says, over the defaults; which flags its server is given is not known here.
 * `ret_list` is given, for destinations_free(). ERR_INPUT and others as of settings_yaml(),
 * destinations_yaml(), settings_validate() and destinations_check(), with the file's name.
 */
MUST_CHECK enum err check_file(const char *path, struct settings *ret_settings,
                               struct destinations *ret_list, struct why *why);

/*
 * Tells, a line for each, what a file's destinations would change at a server: those that go, with
 * what waits for them, those that become others, and those that are new. `against` is its address
 * or its storage directory, which is only read. `ret_backlog`: one that goes leaves something
 * behind, or nobody can say that it does not.
 *
 * ERR_INPUT: no such address; ERR_MISSING: no such directory; ERR_AGAIN: the server does not
 * answer; ERR_UNSUPPORTED: its answer is not one that Firekeep gives; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err check_against(const struct settings *settings, const struct destinations *list,
                                  const char *against, bool *ret_backlog, struct why *why);

#endif
