/* remote_pattern.h - matchers in a form that all servers read in the same way. Private to
 * backend/remote. */
#ifndef BACKEND_REMOTE_REMOTE_PATTERN_H
#define BACKEND_REMOTE_REMOTE_PATTERN_H

#include "base/buf.h"
#include "model/matcher.h"

/* The pattern of a matcher for a server. Prometheus before 3.0, and servers built upon it, put a
 * regex between ^(?: and )$: there a dot does not match a line feed, and after an open \Q the end
 * is read as text. So the pattern has a flag and an \E where they matter; other servers read it in
 * the same way. A view of the matcher, or in `arena`; `at` is NULL without memory. */
struct bytes remote_pattern(const struct matcher *matcher, struct arena *arena);

/*
 * Appends a request for the samples between two times, compressed: with at most RR_MATCHERS_MAX of
 * the matchers, or one that matches everything. Memory is of the budget of `to`. ERR_NOMEM,
 * ERR_LIMIT: it is too large.
 */
MUST_CHECK enum err remote_request_put(struct buf *to, struct matcher *const *matchers,
                                       uint32_t count, int64_t min_ms, int64_t max_ms,
                                       bool streamed, bool samples, struct why *why);

#endif
