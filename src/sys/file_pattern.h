/*
 * file_pattern.h - paths with wildcards in their last element, as settings name several files:
 * "rules/node-*.yml". `*` stands for any bytes, `?` for one, `[a-z]` for one of these; a backslash
 * takes its meaning from the next byte. Names that begin with '.' are no exception.
 */
#ifndef SYS_FILE_PATTERN_H
#define SYS_FILE_PATTERN_H

#include "sys/env.h"

/* Whether it is more than the path of one file. */
bool file_pattern_is_wild(const char *pattern);
/* ERR_INPUT: there are wildcards before the last '/', nothing is behind it, or a '[' is not closed.
 */
MUST_CHECK enum err file_pattern_check(const char *pattern, struct why *why);

/*
 * Calls `each` with the paths, views, of all that match, in no order; what these are nobody has
 * looked at. A pattern without wildcards is called for itself, whether it is there or not. A
 * directory that is not there has no files. An error of `each` ends it.
 *
 * ERR_LIMIT: a path is longer than FILE_PATH_BYTES - 1; and those of env_listdir().
 */
MUST_CHECK enum err file_pattern_expand(struct env *env, const char *pattern,
                                        enum err (*each)(void *context, const char *path),
                                        void *context, struct why *why);

#endif
