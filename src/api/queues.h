/*
 * queues.h - the queues of requests that read, compute or wait, each with threads of its own, and
 * query threads that help others.
 *
 * Threads: handlers call it from any thread, without api->lock.
 */
#ifndef API_QUEUES_H
#define API_QUEUES_H

#include "net/http_server.h"
#include "promql/promql.h"

struct api;

/* Reads and queries have several threads each. The other queues have one each, so that none waits
 * for another kind of work. */
enum queue_name {
    QUEUE_READS, /* remote reads and look-ups */
    QUEUE_QUERIES,
    QUEUE_PAGES,        /* metrics and status pages */
    QUEUE_WRITES,       /* writes too large for a worker */
    QUEUE_REPEATS,      /* writes that are compared with parts */
    QUEUE_ADMIN,        /* operations that an operator waits for */
    QUEUE_MERGES,       /* merges, which may take hours */
    QUEUE_CHANGES,      /* reloads and changes of rules, which read or write files */
    QUEUE_DESTINATIONS, /* questions about destinations, which wait for other systems */
    QUEUE_COUNT,
    QUEUE_NONE, /* runs on the HTTP worker, since it never waits */
};

/*
 * Hands a request to the threads of a queue. `refused` answers it if its turn does not come; NULL:
 * 503 in plain text.
 */
void run_later(struct api *api, enum queue_name queue, struct http_request *request,
               void (*run)(struct api *api, struct http_request *request),
               void (*refused)(struct api *api, struct http_request *request, enum err e,
                               const struct why *why));
/* Limits a streamed answer that has just begun: it ends at the query's deadline, and sooner if its
 * client is slow while others wait for a thread of the queue. */
void limit_stream(struct api *api, enum queue_name queue, struct http_request *request,
                  const struct query_control *control);

/* Jobs of a queue at one moment. */
struct queue_load {
    uint32_t waiting, running;
};
/* The caller holds the lock of the api. */
struct queue_load queue_load_locked(const struct api *api, enum queue_name queue);

/* For queries on query threads: idle query threads help them. */
struct promql_helpers query_helpers(struct api *api);

#endif
