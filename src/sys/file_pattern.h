/*
 * file_pattern.h - paths with wildcards in their last element, as settings name several files:
 * "rules/node-*.yml". `*` matches any bytes, `?` one byte, `[a-z]` one byte of the set; a
 * backslash makes the next byte a literal. They match a leading '.' of a name, too.
 */
#ifndef SYS_FILE_PATTERN_H
#define SYS_FILE_PATTERN_H

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

#endif
