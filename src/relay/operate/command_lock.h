/*
 * command_lock.h - lets one operator command at a time change a destination, so that the facts it
 * read stay true until it is done. The lock does not restrict the server.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_COMMAND_LOCK_H
#define RELAY_OPERATE_COMMAND_LOCK_H

#include "sys/env.h"

/*
 * Locks a destination by the file RELAY_LOCK_NAME in its directory `dir`, until file_close().
 * ERR_AGAIN: another command has the lock. ERR_MISSING: the directory does not exist. ERR_IO.
 */
MUST_CHECK enum err command_lock(struct env *env, const char *dir, struct file *ret_lock,
                                 struct why *why);

#endif
