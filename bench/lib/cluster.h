/*
 * cluster.h - series that a file describes, as those of a rack of machines, with the behaviour of
 * captured ones. The form of the file: bench/promql/cluster.txt.
 */
#ifndef BENCH_LIB_CLUSTER_H
#define BENCH_LIB_CLUSTER_H

#include "lib/fleet.h"

/* Makes `f` the fleet that the file describes. `captured` is borrowed as long as `f` is used. */
void cluster_read(struct fleet *f, const char *path, const struct fleet *captured);

#endif
