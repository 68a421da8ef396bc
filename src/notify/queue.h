/*
 * queue.h - the alerts for a member: each once, in its newest state, in the order of their first
 * queueing.
 *
 *      queue_put() --> waiting --- queue_take() ---> taken --- queue_drop_taken() ---> freed
 *                         ^                            |
 *                         +------ queue_put_back() ----+    unless a newer state is waiting
 *
 * Taking, dropping and putting back need no memory, so they cannot fail.
 *
 * Threads: the owner's.
 */
#ifndef NOTIFY_QUEUE_H
#define NOTIFY_QUEUE_H

#include "base/table.h"
#include "notify/encoded_alert.h"

struct queue_list {
    uint32_t first, last; /* slots; UINT32_MAX if the list is empty */
    uint32_t count;
};

struct queue {
    struct budget *memory;
    struct queue_slot *slots;
    uint32_t capacity;
    uint32_t used; /* slots that were used at least once */
    uint32_t free; /* the first slot that is free again */
    struct queue_list waiting;
    struct queue_list taken;
    struct table table; /* waiting alerts, by labels */
    int64_t expiry_ms;  /* no waiting alert expires before this time */
};

void queue_init(struct queue *queue, struct budget *memory);
void queue_fini(struct queue *queue);

/* Queues the newest state of an alert, which replaces an older one. The queue takes a reference of
 * its own. ERR_NOMEM: nothing changed. */
MUST_CHECK enum err queue_put(struct queue *queue, struct encoded_alert *alert);
/* Drops the oldest until at most `count_max` wait. Returns the number of dropped alerts. */
uint32_t queue_limit(struct queue *queue, uint32_t count_max);
/* Drops waiting alerts that have expired. Returns their number. */
uint32_t queue_expire(struct queue *queue, int64_t now_ms);
/* Drops all alerts, including taken ones. Returns their number. */
uint32_t queue_clear(struct queue *queue);

/*
 * Takes the oldest, at most `count_max` (at least 1) and, after the first, not more than
 * `bytes_max`; appends them to `body` as a JSON array. Alerts must be waiting, and none taken.
 * ERR_NOMEM, ERR_LIMIT: the body cannot grow; nothing changed.
 */
MUST_CHECK enum err queue_take(struct queue *queue, uint32_t count_max, size_t bytes_max,
                               struct buf *body);
/* The alert that was taken first, or NULL. A view until it is dropped or put back. */
const struct encoded_alert *queue_taken(const struct queue *queue);
void queue_drop_taken(struct queue *queue);
/* Makes taken alerts wait again, before all others, unless a newer state of them is waiting. */
void queue_put_back(struct queue *queue);

/* Asserts the invariants, which queue.c lists. O(n): for tests and debug builds. */
void queue_validate(const struct queue *queue);

#endif
