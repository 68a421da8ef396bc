/* path_from.h - paths that are relative to the directory of a file, such as the configuration file.
 */
#ifndef BASE_PATH_FROM_H
#define BASE_PATH_FROM_H

#include "base/mem.h"

/*
 * A path as it is from the directory of `file` on; an absolute one as it is. Without "." and "..",
 * where they can be left out, as Go's filepath.Join does it: rules are known by the names of their
 * files, and are to have the names that they have at a Prometheus. NULL: the arena is full.
 */
const char *path_from(struct arena *arena, const char *file, const char *path);

#endif
