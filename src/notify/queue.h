/*
 * queue.h - what a member is still to be told: each alert once, in its newest state, in the order
 * in which they were first queued.
 *
 *      queue_put() --> waiting --- queue_take() ---> taken --- queue_told() ---> gone
 *                         ^                            |
 *                         +------ queue_put_back() ----+    but for what was queued anew meanwhile
 *
 * Taking, settling and putting back need no memory, so they cannot fail.
 *
 * Threads: the owner's.
 */
#ifndef NOTIFY_QUEUE_H
#define NOTIFY_QUEUE_H

#include "base/table.h"
#include "notify/encoded_alert.h"

struct queue_list {
    uint32_t first, last; /* places; NULL_PLACE: it is empty */
    uint32_t count;
};

struct queue {
    struct budget *memory;
    struct queue_place *places;
    uint32_t capacity;
    uint32_t used; /* places that were ever in use */
    uint32_t free; /* the first of those that are not any more */
    struct queue_list waiting;
    struct queue_list taken;
    struct table table; /* of what waits, by labels */
    int64_t expiry_ms;  /* nothing of what waits expires before this */
};

void queue_init(struct queue *queue, struct budget *memory);
void queue_fini(struct queue *queue);

/* Queues the newest state of an alert, which takes the place of an older one. The alert is
 * borrowed; the queue has a reference of its own. ERR_NOMEM: nothing changed. */
MUST_CHECK enum err queue_put(struct queue *queue, struct encoded_alert *alert);
/* Gives up the oldest until at most `count_max` wait. Returns how many these were, as the others.
 */
uint32_t queue_limit(struct queue *queue, uint32_t count_max);
/* Gives up what has expired. */
uint32_t queue_expire(struct queue *queue, int64_t now_ms);
/* Gives up everything, what was taken, too. */
uint32_t queue_clear(struct queue *queue);

/*
 * Takes the oldest, at most `count_max` (at least 1) and, but for the first, not more than
 * `bytes_max`; appends them to `body` as a JSON array. Nothing may be taken before, something
 * waits. ERR_NOMEM, ERR_LIMIT: of the body; nothing changed.
 */
MUST_CHECK enum err queue_take(struct queue *queue, uint32_t count_max, size_t bytes_max,
                               struct buf *body);
/* The alert that was taken first; NULL: none was. A view until it is settled. */
const struct encoded_alert *queue_taken(const struct queue *queue);
/* What was taken is done with. */
void queue_told(struct queue *queue);
/* What was taken waits again, before all others; but for those that are there in a newer state. */
void queue_put_back(struct queue *queue);

#endif
