/*
 * queries.h - the queries of a benchmark, read from a file. bench/promql/queries.txt explains its
 * form.
 */
#ifndef BENCH_LIB_QUERIES_H
#define BENCH_LIB_QUERIES_H

#include "base/buf.h"

struct query {
    const char *name;
    const char *text; /* its $r and $i are those of its step */
    bool heavy;
    int64_t range_s; /* both are 0 for an instant query */
    int64_t step_s;
};

struct queries {
    struct query *at;
    unsigned count;
};

/* Reads the queries of the set. They live as long as the process. */
struct queries queries_read(const char *path, const char *set);
/* Returns the path and the form of a query that ends at this time; ranges begin and
 * end at a step. */
const char *query_path(const struct query *q);
void query_put_form(const struct query *q, int64_t end_s, bool nocache, struct buf *to);

#endif
