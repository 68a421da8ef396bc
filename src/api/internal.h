/* internal.h - private to api/: the object behind api.h, and what its families of routes share. */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "api/api.h"
#include "base/json.h"
#include "base/lock.h"
#include "wire/remote_write.h"

enum { RETRY_AFTER_S = 2, JOBS_MAX = 4096 };

/* A write that waits for its commit; or before, for what parts say of samples in doubt. */
struct waiting {
    struct waiting *next;
    struct http_request *request;
    uint64_t epoch;
    enum tsdb_epoch state;
    enum rw_version version;
    enum err error; /* the rest of the request could not be taken */
    struct why why;
    struct ingest_result result;
    struct writer *writer;      /* with doubts */
    struct tsdb_doubts *doubts; /* NULL: none */
};

/*
 * Reads may take every thread there is for them. What watches the server does not queue behind
 * them: pages and reloads have a thread of their own. So have writes too large for a worker, writes
 * that are compared with what parts hold, what an operator waits for, and merges, which may take
 * hours.
 */
enum queue_name {
    QUEUE_READS,
    QUEUE_PAGES,
    QUEUE_WRITES,
    QUEUE_REPEATS,
    QUEUE_ADMIN,
    QUEUE_MERGES,
    QUEUE_COUNT
};

/* A request that waits for such a thread. */
struct job {
    struct job *next;
    struct http_request *request;
    void (*run)(struct api *api, struct http_request *request);
    void (*refuse)(struct api *api, struct http_request *request, const struct why *why);
    int64_t deadline_ns;
};

/* Guarded by api->lock. */
struct job_queue {
    struct job *first;
    struct job *last;
    _Atomic uint32_t waiting; /* relaxed where it is read without the lock: a hint */
    uint32_t running;
    bool of_gone_too; /* whether or not the client is there: immutable */
    struct cond cond;
};

/* Working memory of one write; kept for the next. */
struct writer {
    struct writer *next;
    struct budget budget; /* of the two below */
    struct buf message;
    struct rw_request request;
};

struct api {
    struct api_options options;
    struct http_route *routes;
    size_t route_count;
    struct budget write_budget;
    struct budget read_budget;
    _Atomic(struct http_server *) server; /* release in api_set_server(), acquire in /metrics */
    struct metric_collector collector;

    _Atomic uint64_t read_samples_max; /* relaxed */
    _Atomic uint64_t read_bytes_max;   /* relaxed */
    _Atomic int64_t read_timeout_ns;   /* relaxed */
    _Atomic bool stopping;             /* relaxed: a request that misses it is served */

    struct lock lock; /* LOCK_RANK_API; guards to the next blank line */
    struct waiting *waiting_first;
    struct waiting *waiting_last;
    uint64_t waiting_count;
    struct job_queue queues[QUEUE_COUNT];
    bool threads_stop;
    struct writer *writers;
    struct waiting *spare_waiting;
    struct waiting *doubtful; /* in QUEUE_REPEATS */
    uint32_t doubtful_count;

    struct env_thread **threads;
    uint32_t thread_count;
};

/* --- shared ----------------------------------------------------------------------------------- */

/* The status for an error; 204 for OK. */
unsigned status_of(enum err e);
/* A short plain text; 503 gets Retry-After. */
void reply_error(struct http_request *request, enum err e, const struct why *why);
/* The tenant of a request. 0, or the status to answer with (401 or 400) and why. */
unsigned tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
                      struct why *why);
/* The same; false: it was answered. */
bool tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant);
/* What a query of this request may cost: all that is allowed, until the client is gone. */
void query_control_begin(struct api *api, struct http_request *request, struct budget *budget,
                         struct query_control *ret_control);
/* Hands a request to the query threads. */
void read_later(struct api *api, struct http_request *request,
                void (*run)(struct api *api, struct http_request *request));
/* Hands it to the thread for pages. */
void run_later(struct api *api, struct http_request *request,
               void (*run)(struct api *api, struct http_request *request));
/* Hands it to the thread for merges. */
void merge_later(struct api *api, struct http_request *request,
                 void (*run)(struct api *api, struct http_request *request));
/* Hands it to the thread for an operator's other wishes. */
void admin_later(struct api *api, struct http_request *request,
                 void (*run)(struct api *api, struct http_request *request));
/* Hands it to the thread for large writes; `refused` answers it if its turn does not come. */
void write_later(struct api *api, struct http_request *request,
                 void (*run)(struct api *api, struct http_request *request),
                 void (*refused)(struct api *api, struct http_request *request,
                                 const struct why *why));
/* The same for writes that are compared with what parts hold, be the client there or gone. */
void repeats_later(struct api *api, struct http_request *request,
                   void (*run)(struct api *api, struct http_request *request),
                   void (*refused)(struct api *api, struct http_request *request,
                                   const struct why *why));

/* --- JSON, in Prometheus' envelope (status.c) --------------------------------------------------
 */

void reply_problem(struct http_request *request, unsigned status, const char *type,
                   const char *text);

/* The status for an error of a look-up, and Prometheus' word for it (lookup.c). */
unsigned lookup_problem(enum err e, const char **ret_type);

/* --- families of routes ----------------------------------------------------------------------- */

void write_handler(void *context, struct http_request *request);
void writers_free(struct api *api);
void read_handler(void *context, struct http_request *request);
void status_handler(void *context, struct http_request *request);
void remembered_handler(void *context, struct http_request *request);
void label_names_handler(void *context, struct http_request *request);
void label_values_handler(void *context, struct http_request *request);
void series_handler(void *context, struct http_request *request);
void admin_flush_handler(void *context, struct http_request *request);
void admin_merge_handler(void *context, struct http_request *request);
void admin_snapshot_handler(void *context, struct http_request *request);
void admin_clean_handler(void *context, struct http_request *request);
void admin_delete_handler(void *context, struct http_request *request);
void admin_destination_handler(void *context, struct http_request *request);
void metrics_handler(void *context, struct http_request *request);
void healthy_handler(void *context, struct http_request *request);
void ready_handler(void *context, struct http_request *request);
void reload_handler(void *context, struct http_request *request);
void root_handler(void *context, struct http_request *request);

void store_metrics(struct metric_sink *sink, void *context);
void write_metrics_register(void);
/* Logs what a request was refused of, once a minute for each reason. Any thread, under no lock. */
void refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result);
void read_metrics_register(void);

#endif
