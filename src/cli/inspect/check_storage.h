/* check_storage.h - finds out whether this version can open a storage directory. */
#ifndef CLI_INSPECT_CHECK_STORAGE_H
#define CLI_INSPECT_CHECK_STORAGE_H

#include "base/err.h"

/*
 * Opens the directory of a stopped server for reading, and reads the states of its destinations
 * and rules; changes nothing. Damage is no error: a server starts with it.
 *
 * ERR_INPUT: not a storage directory; ERR_UNSUPPORTED: a newer version wrote something in it;
 * ERR_AGAIN: a running server has it open; ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err check_storage(const char *dir, struct why *why);

#endif
