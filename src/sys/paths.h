/* paths.h - paths that people write: with wildcards, with links and "..", or relative to a file.
 * Threads: any. */
#ifndef SYS_PATHS_H
#define SYS_PATHS_H

#include "base/err.h"
#include "base/mem.h"
#include "sys/env.h"

/* True if the pattern has wildcards. */
bool file_pattern_is_wild(const char *pattern);
/* ERR_INPUT: wildcards before the last '/', nothing after it, or an open '['. */
MUST_CHECK enum err file_pattern_check(const char *pattern, struct why *why);

/*
 * Calls `each` with the path, a view, of each match, in no particular order and without checking
 * what it is. A pattern without wildcards is passed as it is, whether it exists or not. A missing
 * directory has no files. An error of `each` ends the listing and is returned.
 *
 * ERR_LIMIT: a path is longer than FILE_PATH_BYTES - 1; errors of env_listdir().
 */
MUST_CHECK enum err file_pattern_expand(struct env *env, const char *pattern,
                                        enum err (*each)(void *context, const char *path),
                                        void *context, struct why *why);

/* --- links ------------------------------------------------------------------------------------ */

/*
 * Resolves links and ".." in a path, as far as its directories exist. The rest of the path is taken
 * literally.
 */

enum { REAL_PATH_BYTES = 4096 };

/* Returns an absolute path without a slash at its end (except "/"). ERR_LIMIT: it is too long.
 * ERR_IO: it cannot be followed, for lack of permission or because of a loop of links; errno says
 * which. */
MUST_CHECK enum err real_path(const char *path, char ret_path[REAL_PATH_BYTES]);
/* True if `path` is `dir` or below it; both are results of real_path(). */
bool real_path_is_within(const char *path, const char *dir);

/* --- relative paths --------------------------------------------------------------------------- */

/* Returns `path` relative to the directory of `file`; an absolute path stays. Removes "." and ".."
 * like Go's filepath.Join: rules are identified by the names of their files, which must be those
 * that Prometheus gives them. NULL: the arena is full. */
const char *path_from(struct arena *arena, const char *file, const char *path);

#endif
