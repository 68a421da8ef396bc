/* sizes.h - private to tsdb/: the bytes that metrics and labels take in parts. */
#ifndef TSDB_READ_SIZES_H
#define TSDB_READ_SIZES_H

#include "tsdb/part/live.h"
#include "tsdb/tsdb.h"

/* tsdb_sizes() for the parts of a version. */
MUST_CHECK enum err parts_sizes(const struct version *version, const struct query_request *request,
                                const struct tsdb_sizes_options *options, struct arena *arena,
                                struct tsdb_sizes *ret_sizes, struct why *why);

#endif
