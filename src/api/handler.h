/*
 * handler.h - for the handlers of routes: the object that api.h hides, and the parts of a request:
 * its path, its tenant, its arguments and the limits of its answer.
 *
 * A handler runs on an HTTP worker, where it must not wait, or on a thread of a queue. It answers
 * its request, once.
 */
#ifndef API_HANDLER_H
#define API_HANDLER_H

#include "api/api.h"
#include "base/lock.h"
#include "base/text/json.h"
#include "net/http_server.h"
#include "promql/promql.h"

/* --- queues.c --------------------------------------------------------------------------------- */

/* The queues of requests that read, compute or wait, each with threads of its own, and query
 * threads that help others. Threads: handlers call it from any thread, without api->lock. */

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

/* Hands a request to the threads of a queue. `refused` answers it if its turn does not come; NULL:
 * 503 in plain text. */
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

/* For api.c, which begins and ends the queues, and for tests. */

enum { JOBS_MAX = 4096, JOBS_OF_TENANT_MAX = 1024 };

/* A request that waits for a thread of a queue. */
struct job {
    struct job *next;
    struct http_request *request;
    void (*run)(struct api *api, struct http_request *request);
    /* Called instead of run() if its turn does not come; NULL: 503 in plain text. */
    void (*refused)(struct api *api, struct http_request *request, enum err e,
                    const struct why *why);
    enum queue_name queue; /* the queue in which it waits */
    int64_t deadline_ns;
    struct bytes tenant; /* the request's first tenant, not checked; may be empty */
    bool in_turns;       /* tenants take turns in this queue */
    uint64_t round;      /* each tenant has at most one job per round */
};

/*
 * Guarded by api->lock.
 *
 * 1. Jobs are in the order of their rounds, and those of a round in the order they came.
 * 2. No job has a lower round than the job that was taken last.
 * 3. `waiting`, at most JOBS_MAX, is the number of jobs in the queue; `running` counts its threads
 *    that run one.
 */
struct job_queue {
    struct api *api; /* immutable */
    struct job *first;
    _Atomic uint32_t waiting; /* relaxed where it is read without the lock: a hint */
    uint64_t round;           /* round of the job that was taken last */
    uint32_t running;
    bool runs_abandoned; /* runs a job even if its client is gone; immutable */
    struct cond cond;
};

/* Makes the queues of an api, without threads. After an error queues_free() follows. ERR_NOMEM. */
MUST_CHECK enum err queues_new(struct api *api);
/* Starts the threads. ERR_NOMEM, ERR_AGAIN. */
MUST_CHECK enum err queues_start(struct api *api);
/* Ends and joins the threads. All requests must be answered. */
void queues_stop(struct api *api);
void queues_free(struct api *api);

/* Runs the queue's first job, without the lock. False: the queue is empty. */
bool queue_work_locked(struct job_queue *q);

/* --- the api ---------------------------------------------------------------------------------- */

struct api {
    struct api_options options; /* with tenancy, the answerer takes lists of tenants */
    struct budget write_budget;
    struct budget read_budget;
    struct budget page_budget;            /* pages work while reads have filled their budget */
    struct promql_cache *results;         /* results of range queries */
    _Atomic(struct http_server *) server; /* release in api_set_server(), acquire in /metrics */

    _Atomic bool stopping;                /* relaxed: a request that misses it is served */
    _Atomic bool took_deltas;             /* relaxed: since the start */
    _Atomic(const char *) reads_canceled; /* relaxed; the reason, or NULL if reads go on */

    struct lock lock; /* LOCK_RANK_API; guards to the next blank line */
    struct api_limits limits;
    struct job_queue *queues;      /* one for each enum queue_name */
    struct queue_threads *threads; /* queues.c */
    struct queries *queries;       /* routes.h */
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

/* --- answers ---------------------------------------------------------------------------------- */

/* All families of routes share them: errors as statuses, and JSON in Prometheus' envelope. */

#define RETRY_AFTER_S "2"

/* The kind of request that failed; some errors have another status for some kinds. */
enum purpose { FOR_ANYTHING, FOR_WRITE, FOR_QUERY };

/* Returns ERR_LIMIT in place of ERR_NOMEM if the request needs what all requests together may use,
 * but for a sixteenth that others always use: it would fail again. `own` is its budget, below that
 * of all, which has refused it. */
enum err memory_verdict(enum err e, const struct budget *own);
/* The status for an error, 204 for OK, and the errorType that Prometheus has for it. */
unsigned status_of(enum purpose purpose, enum err e);
const char *problem_type_of(enum purpose purpose, enum err e);
/* Replies with a short plain text; 503 gets Retry-After. */
void reply_error(struct http_request *request, enum purpose purpose, enum err e,
                 const struct why *why);
/* Does the same in the JSON envelope of Prometheus' API. */
void reply_problem_of(struct http_request *request, enum purpose purpose, enum err e,
                      const struct why *why);
void reply_problem(struct http_request *request, unsigned status, const char *type,
                   const char *text);
/* Replies with a sentence made for this request, cut at SENTENCE_BYTES_MAX. */
enum { SENTENCE_BYTES_MAX = 64 * 1024 };
void reply_sentence(struct http_request *request, unsigned status, const char *type,
                    struct bytes sentence);
void reply_json(struct http_request *request, unsigned status, const struct buf *text);
/* Begins the document of a success; the caller writes the value of its "data" next. */
void success_begin(struct json *j, struct buf *text);
/* Writes a member with a time in seconds. */
void put_time(struct json *j, const char *name, int64_t t_ms);

/* A document of a success that is sent when it is complete, so that it may fail at any point. */
struct json_page {
    struct api *api;
    struct http_request *request;
    struct bytes tenant;  /* for pages about data */
    enum owner_list list; /* for pages that are a list of the server */
    struct json *j;       /* expects the value of "data" */
    struct json json;
    struct buf text; /* charged to the budget of pages */
    struct why why;
};
void json_page_begin(struct json_page *page, struct api *api, struct http_request *request);
/* Sends the page if `e` is OK, else the error. */
void json_page_send(struct json_page *page, enum purpose purpose, enum err e);

#endif
