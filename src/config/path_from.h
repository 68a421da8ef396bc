/* path_from.h - paths of the configuration file that are relative to its directory. For config/
 * only. */
#ifndef CONFIG_PATH_FROM_H
#define CONFIG_PATH_FROM_H

#include "base/mem.h"

/*
 * A path as it is from the directory of `file` on; an absolute one as it is. Without "." and "..",
 * where they can be left out, as Go's filepath.Join does it: rules are known by the names of their
 * files, and are to have the names that they have at a Prometheus. NULL: the arena is full.
 */
const char *path_from(struct arena *arena, const char *file, const char *path);

#endif
