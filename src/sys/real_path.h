/*
 * real_path.h - where a path leads: links followed and ".." resolved, as far as its directories are
 * there. What is not there yet is taken by its words.
 *
 * Threads: any.
 */
#ifndef SYS_REAL_PATH_H
#define SYS_REAL_PATH_H

#include "base/err.h"

enum { REAL_PATH_BYTES = 4096 };

/* Absolute, without a slash at its end (but for "/"). ERR_LIMIT: it is too long. ERR_IO: it cannot
 * be followed: no permission, a circle of links; errno says which. */
MUST_CHECK enum err real_path(const char *path, char ret_path[REAL_PATH_BYTES]);
/* Whether `path` is `dir` or lies below it; both as real_path() gives them. */
bool real_path_is_within(const char *path, const char *dir);

#endif
