/* path_from.h - paths that are relative to the directory of a file, such as the configuration file.
 */
#ifndef BASE_TEXT_PATH_FROM_H
#define BASE_TEXT_PATH_FROM_H

#include "base/mem.h"

/* Returns `path` relative to the directory of `file`; an absolute path stays. Removes "." and ".."
 * like Go's filepath.Join: rules are identified by the names of their files, which must be those
 * that Prometheus gives them. NULL: the arena is full. */
const char *path_from(struct arena *arena, const char *file, const char *path);

#endif
