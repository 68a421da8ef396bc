/* command_lock.c - see command_lock.h. */
#include "relay/operate/command_lock.h"

#include "relay/state/directory.h"

enum err
command_lock(struct env *env, const char *dir, struct file *ret_lock, struct why *why)
{
    char path[sizeof ret_lock->path];
    struct file lock;
    enum err e = path_in(path, sizeof path, dir, RELAY_LOCK_NAME, why);
    if (e) return e;
    e = file_open(env, path, FILE_REPLACE, &lock, why);
    if (e) return e;
    e = file_lock(&lock, why);
    if (e == ERR_AGAIN) {
        why_set(why, e,
                "%s: another command is changing this destination, nothing was changed: check what "
                "it did, then retry",
                dir);
    }
    if (e)
        err_ignore(file_close(&lock), "nothing was written");
    else
        *ret_lock = lock;
    return e;
}
