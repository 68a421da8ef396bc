/*
 * remote_pattern.h - patterns as every server that may be asked reads them. Private to
 * backend/remote.
 */
#ifndef BACKEND_REMOTE_REMOTE_PATTERN_H
#define BACKEND_REMOTE_REMOTE_PATTERN_H

#include "model/matcher.h"

/*
 * What a server is told of a matcher. Prometheus before 3.0, and what is built upon it, puts a
 * regex between ^(?: and )$: there a dot does not match a line feed, and a \Q that is left open
 * takes the end for text. So it is told of both, where they matter; to others it means the same.
 * A view of the matcher, or in `arena`; `at` NULL: there is no memory.
 */
struct bytes remote_pattern(const struct matcher *matcher, struct arena *arena);

#endif
