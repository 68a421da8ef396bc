/* queues_private.h - the queues, for api.c, which begins and ends them, and for tests. */
#ifndef API_QUEUES_PRIVATE_H
#define API_QUEUES_PRIVATE_H

#include "api/queues.h"
#include "base/lock.h"

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

#endif
