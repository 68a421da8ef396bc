/*
 * handler.h - for the handlers of routes: the object that api.h hides, and the parts of a request:
 * its path, its tenant, its arguments and the limits of its answer.
 *
 * A handler runs on an HTTP worker, where it must not wait, or on a thread of a queue (queues.h).
 * It answers its request (answer.h), once.
 */
#ifndef API_HANDLER_H
#define API_HANDLER_H

#include "api/api.h"
#include "base/lock.h"

struct api {
    struct api_options options; /* with tenancy, the answerer takes lists of tenants */
    struct budget write_budget;
    struct budget read_budget;
    struct budget page_budget;            /* pages work while reads have filled their budget */
    struct promql_cache *results;         /* results of range queries */
    _Atomic(struct http_server *) server; /* release in api_set_server(), acquire in /metrics */

    _Atomic bool stopping;                /* relaxed: a request that misses it is served */
    _Atomic(const char *) reads_canceled; /* relaxed; the reason, or NULL if reads go on */

    struct lock lock; /* LOCK_RANK_API; guards to the next blank line */
    struct api_limits limits;
    struct job_queue *queues;      /* one for each enum queue_name: queues_private.h */
    struct queue_threads *threads; /* queues.c */
    struct queries *queries;       /* query/queries.h */
    struct writes *writes;         /* write/write.c */

    /* For api.c only. */
    struct answerer *of_tenants; /* with tenancy, the answerer of the options; else NULL */
    struct http_route *routes;
    size_t route_count;
    struct arena route_memory; /* paths and contexts of routes */
    struct matcher *origins;   /* NULL: cors_origin is "auto" */
    struct metric_collector collector;
};

/* --- path and tenant -------------------------------------------------------------------------- */

/* The path as in the table of routes, without prefixes. */
const char *api_path(const struct api *api, const struct http_request *request);
/* Returns true for a path below /prometheus, where Cortex and Mimir have the API. */
bool api_is_prefixed(const struct api *api, const struct http_request *request);

/* Returns the tenant of a request that reads, or several, for the answerer. The result is 0, or the
 * status to answer with (401 or 400) and why. */
unsigned tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
                      struct why *why);
/* Like tenant_named(), but answers itself if the name is refused. False: it did. */
bool tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant);
/* Like tenant_named() and tenant_of(), for requests that name exactly one tenant. */
unsigned one_tenant_named(const struct api *api, struct http_request *request,
                          struct bytes *ret_tenant, struct why *why);
bool one_tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant);

/* --- arguments and limits of a read ----------------------------------------------------------- */

struct api_limits api_limits_now(struct api *api);
/* Sets the limits of a read to the present ones; it ends early when its client is gone. */
void query_control_begin(struct api *api, struct http_request *request, struct budget *budget,
                         struct query_control *ret_control);

#endif
