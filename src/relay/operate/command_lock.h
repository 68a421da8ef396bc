/*
 * command_lock.h - one operator at a time decides about a destination: what a command counts and says
 * then holds until it is done. The server is not kept from anything.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_COMMAND_LOCK_H
#define RELAY_OPERATE_COMMAND_LOCK_H

#include "sys/env.h"

#define ASKING_LOCK_NAME "asking.lock" /* stays, empty, in the destination's directory `dir` */

/*
 * Held until file_close(). ERR_AGAIN: another command decides at this moment. ERR_MISSING: there is
 * no such directory. ERR_IO.
 */
MUST_CHECK enum err asking_lock(struct env *env, const char *dir, struct file *ret_lock,
                                struct why *why);

#endif
