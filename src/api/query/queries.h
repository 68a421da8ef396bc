/* queries.h - queries that run, and the costs of recent ones. Threads: any. */
#ifndef API_QUERY_QUERIES_H
#define API_QUERY_QUERIES_H

#include "api/routes.h"

/* A query that runs. Its thread sets all fields but the first two before queries_begin(); memory
 * that it views stays until queries_end(). */
struct active_query {
    struct active_query *next, *before; /* guarded by the lock of the api */
    uint64_t id;                        /* guarded as well */
    struct bytes tenant;
    struct bytes user; /* name; empty if it is not known */
    struct bytes text;
    int64_t first_ms, last_ms, step_ms; /* step 0: at one time */
    int64_t begun_ns;
    struct query_control *control; /* control of the query; its budget is used, too */
    enum plan_memory memory;       /* says whether its user may know how much it used */
    uint64_t peak_bytes;           /* largest amount of memory it used; set by queries_end() */
    uint64_t needs_bytes;          /* guarded: memory it needs at least; 0: it was never refused */
    uint64_t memory_turn;          /* guarded: it waits for memory, after lower turns; 0: it runs */
};

/* Guarded by the lock of the api. */
struct queries {
    struct active_query *active; /* the newest first */
    uint64_t count;              /* id of the newest query */
    uint64_t memory_turns;       /* turn of the last query that began to wait for memory */
    struct cond memory_cond;     /* a query has ended, and its memory is free */
    struct past_query *past;     /* costs of recent queries, by text, tenant and user */
    uint32_t past_count;
};

/* Lists a query, whose memory is the caller's until it is unlisted, and gives it an id. */
void queries_begin(struct api *api, struct active_query *query);
/* Unlists a query without accounting it, if it has not run. */
void queries_forget(struct api *api, struct active_query *query);
/*
 * Waits until other queries have left as much memory as this one needs at least, or no other runs,
 * which sets *alone. Queries that wait have their turns. False: it took until `until_ns`
 * (monotonic), or the query was ended, or it was alone before and is again. The caller has freed
 * the memory of its last attempt.
 */
bool queries_await_memory(struct api *api, struct active_query *query, uint64_t needs_bytes,
                          int64_t until_ns, bool *alone);
/* Unlists a query that ended with `e`, and accounts its costs. Returns true if it was slow, so that
 * the caller logs it. */
bool queries_end(struct api *api, struct active_query *query, enum err e, int64_t took_ns);
/* `plan` describes what it reads; empty if that is not known. */
void queries_log_slow(const struct active_query *query, enum err e, int64_t took_ns,
                      struct bytes plan);

#endif
