/*
 * cluster.h - series described by a file, such as those of a rack of machines, which behave like
 * captured ones. bench/promql/cluster.txt explains the form of the file.
 */
#ifndef BENCH_LIB_CLUSTER_H
#define BENCH_LIB_CLUSTER_H

#include "lib/fleet.h"

/* Makes `f` the fleet that the file describes. `captured` is borrowed as long as `f` is used. */
void cluster_read(struct fleet *f, const char *path, const struct fleet *captured);

#endif
