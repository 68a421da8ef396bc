/*
 * reading_lock.c - what keeps a server off a directory that is only read, and is refused where one
 * is at work. LOCK is opened for reading, and the lock is shared: this leaves no trace, works on
 * media that cannot be written, and any number of readers may do so at one time.
 */
#include "tsdb/store/store.h"

enum err
tsdb_reading_lock(struct env *env, const char *dir, struct file *ret_lock, bool *ret_locked,
                  struct why *why)
{
    char path[256];
    *ret_locked = false;
    enum err e = path_in(path, sizeof path, dir, "LOCK", why);
    if (e) return e;
    e = file_open(env, path, FILE_READ, ret_lock, why);
    if (e == ERR_MISSING && format_check(env, dir, NULL) != ERR_MISSING) {
        *ret_locked = true; /* a copy of a storage: nobody has used it yet */
        return OK;
    }
    if (e == ERR_MISSING) return why_set(why, e, "%s is not a Firekeep storage directory", dir);
    if (e) return e;
    e = file_lock(ret_lock, NULL);
    if (e == ERR_AGAIN) return why_set(why, e, "%s is in use by another process", dir);
    *ret_locked = e == OK;
    err_ignore(e, "a file system without locks can be read, and whoever does is told");
    return OK;
}
