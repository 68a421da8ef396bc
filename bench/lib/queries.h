/*
 * queries.h - the queries of a benchmark, read from a file. Its form: bench/promql/queries.txt.
 */
#ifndef BENCH_LIB_QUERIES_H
#define BENCH_LIB_QUERIES_H

#include "base/buf.h"

struct query {
    const char *name;
    const char *text; /* its $r and $i are those of its step */
    bool heavy;
    int64_t range_s; /* of an instant query both are 0 */
    int64_t step_s;
};

struct queries {
    struct query *at;
    unsigned count;
};

/* Those that are asked of the set. They live as long as the process. */
struct queries queries_read(const char *path, const char *set);
/* The path and the form of one that ends at this time; ranges begin and end with a step. */
const char *query_path(const struct query *q);
void query_put_form(const struct query *q, int64_t end_s, bool nocache, struct buf *to);

#endif
