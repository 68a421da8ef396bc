/*
 * write_queue.h - writes that are answered when all destinations have them (wal.ack=destination):
 * each waits in memory, with its deadline, until every destination has ended its part of it.
 *
 *     write_queue_put() --> [ waiting ] -- write_slot_take(), write_slot_end() by each destination
 * --> done
 *
 * A destination takes writes in the order in which they came, hands their items to its lanes, and
 * ends its part: all items settled, or let go. It lets go at the deadline, or when the write is
 * over since another one has let go; from then on it sends nothing of the write. So when the last
 * part ends, and the write is answered, nothing of it is or will be sent.
 *
 * The deadline is a time of both clocks, and the first to reach it counts: a machine that was
 * frozen goes on with the monotonic time it had, hours later.
 *
 * Threads: any for write_queue_*(); a slot's functions are for the thread of its destination.
 */
#ifndef RELAY_QUEUE_WRITE_QUEUE_H
#define RELAY_QUEUE_WRITE_QUEUE_H

#include "backend/item.h"
#include "base/lock.h"
#include "base/metric.h"
#include "tsdb/tsdb.h"

/*
 * The items of a write request, copied out of it, as destinations get them. What the limits of
 * labels and times refuse is not among them.
 *
 * Threads: one makes them; then they are immutable.
 */

struct queued_series {
    struct bytes labels; /* canonical, as they were received */
    uint64_t hash;       /* hash of tenant and labels */
};

struct queued_item {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
    /* By kind: struct histogram, the struct bytes of an exemplar's labels, struct metadata. */
    const void *more;
    uint32_t series;
    uint8_t kind; /* enum item_kind */
};

struct write_items {
    struct arena arena; /* has all of the rest, but not the struct */
    struct bytes tenant;
    struct queued_series *series;
    uint32_t series_count;
    struct queued_item *items;
    uint32_t count;
    uint64_t count_of[ITEM_KIND_COUNT];
    uint64_t rejected[LEDGER_KIND_COUNT][REJECT_COUNT]; /* refused items, which are not here */
    int64_t arrival_ms;                                 /* Unix time */
};

/* The limits that decide what is refused. */
struct write_rules {
    struct labels_limits labels;
    enum name_rule require_name;
    int64_t max_future_ms;
};

/*
 * Copies the items of a request whose labels were checked by rw_decode(). `ret_result` counts them
 * as written, and what the rules refuse as rejected, with a text. ERR_NOMEM: also where the arena's
 * limit of `bytes_max` is reached; the items must be freed also then.
 */
MUST_CHECK enum err write_items_init(struct write_items *items, struct budget *memory,
                                     uint64_t bytes_max, const struct write_rules *rules,
                                     int64_t now_ms, struct bytes tenant,
                                     const struct rw_request *request,
                                     struct ingest_result *ret_result);
/* Adds to a ledger what it is to count once the write is answered: its items as passed on. */
void write_items_count(const struct write_items *items, struct ledger *add_to);
void write_items_fini(struct write_items *items);

/* Gives item `i` with the labels that it was received with; views of the items. */
void write_items_item(const struct write_items *items, uint32_t i, struct item *ret_item);

struct write_queue;
struct write_slot;

struct write_queue_options {
    struct env *env;
    struct budget *memory;
    uint64_t bytes_max; /* of all waiting writes; beyond it, writes are refused for now */
    int64_t timeout_ms; /* time after which a sender gives up */
    /*
     * The write of `waiter` is over, exactly once for each that was put; views. OK: all
     * destinations have its samples, but for those that `result` counts as rejected. ERR_AGAIN: the
     * sender has to repeat it. On the thread of a destination, or in write_queue_put(); under no
     * lock.
     */
    void (*done)(void *context, void *waiter, enum err e, const struct write_items *items,
                 const struct ingest_result *result, const struct why *why);
    void *context;
};

MUST_CHECK enum err write_queue_new(const struct write_queue_options *options,
                                    struct write_queue **ret_queue);
/* No write is waiting, and no destination has a slot. */
void write_queue_free(struct write_queue *queue);
void write_queue_set_rules(struct write_queue *queue, const struct write_rules *rules);
/* The number of destinations that a write needs: without as many slots none is taken. */
void write_queue_expect(struct write_queue *queue, uint32_t destinations);

/* Waits until as many destinations have a slot, at most until this monotonic time. */
void write_queue_await(struct write_queue *queue, int64_t until_ns);

struct offered_write {
    struct bytes tenant;
    const struct rw_request *request; /* decoded with all checks */
    int64_t began_ns;                 /* monotonic time of its first byte */
    int64_t timeout_ms; /* the sender gives up earlier than options.timeout_ms; 0: not known */
    void *waiter;
};
/* Puts a write; one that has nothing to be sent is done at once. ERR_AGAIN, ERR_NOMEM: not now;
 * ERR_LIMIT: too large for the queue at any time: nothing was put, and `done` is not called. */
MUST_CHECK enum err write_queue_put(struct write_queue *queue, const struct offered_write *write,
                                    struct why *why);
/* For a metric_collector, whose context is the queue. */
void write_queue_collect(struct metric_sink *sink, void *queue);

/* --- a destination's side --------------------------------------------------------------------- */

/* Fields that do not change while a destination has the write. */
struct queued_write {
    struct write_items items;
    int64_t until_ns; /* its deadline: monotonic, */
    int64_t until_ms; /* and Unix time */
};

/* The result of a write at one destination. */
struct write_part {
    bool left;                         /* let go: not all items are settled */
    uint64_t refused[ITEM_KIND_COUNT]; /* items refused for good */
    char text[256]; /* the reason of the first of them; if let go, the last error, or empty */
};

/* Gives a destination a slot: it gets all writes that are put from now on. `wake` is called when
 * one comes or is over, under a lock: it does not block. ERR_NOMEM. */
MUST_CHECK enum err write_slot_join(struct write_queue *queue, const char *name,
                                    void (*wake)(void *context), void *context,
                                    struct write_slot **ret_slot);
/* Lets go of writes that were not taken. All taken ones have ended. */
void write_slot_leave(struct write_slot *slot);
/* Returns the next write for this destination; NULL if it has taken all. */
struct queued_write *write_slot_take(struct write_slot *slot);
/* True if the deadline has passed, or another destination has let go. */
bool write_is_over(const struct queued_write *write, int64_t now_ns, int64_t now_ms);
/* Ends this destination's part, exactly once. The write must not be used afterwards. */
void write_slot_end(struct write_slot *slot, struct queued_write *write,
                    const struct write_part *part);

#endif
