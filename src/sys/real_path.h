/*
 * real_path.h - resolves links and ".." in a path, as far as its directories exist. The rest of the
 * path is taken literally.
 *
 * Threads: any.
 */
#ifndef SYS_REAL_PATH_H
#define SYS_REAL_PATH_H

#include "base/err.h"

enum { REAL_PATH_BYTES = 4096 };

/* Returns an absolute path without a slash at its end (except "/"). ERR_LIMIT: it is too long.
 * ERR_IO: it cannot be followed, for lack of permission or because of a loop of links; errno says
 * which. */
MUST_CHECK enum err real_path(const char *path, char ret_path[REAL_PATH_BYTES]);
/* True if `path` is `dir` or below it; both are results of real_path(). */
bool real_path_is_within(const char *path, const char *dir);

#endif
