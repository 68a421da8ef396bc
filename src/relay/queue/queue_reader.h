/*
 * queue_reader.h - the writes that a destination has taken from the queue: gives their items one
 * after the other, and again until they are settled, and keeps the account of what became of them.
 *
 * Owner: the relay. Only queue_reader.c writes the fields; others read those of the first group.
 *
 * Threads: one, that of the destination.
 */
#ifndef RELAY_QUEUE_QUEUE_READER_H
#define RELAY_QUEUE_QUEUE_READER_H

#include "relay/feed/selection.h"
#include "relay/options.h"
#include "relay/queue/write_queue.h"
#include "relay/state/state.h"

struct taken_write {
    uint64_t number; /* rises with each write */
    struct queued_write *write;
    uint32_t next;                  /* index of the next item that is given */
    uint32_t open[ITEM_KIND_COUNT]; /* items passed and not settled */
    bool is_dropped;                /* it was over: its items leave all calls */
    struct write_part part;
};

struct queue_reader {
    struct fates fates; /* FATE_OPEN counts open items */
    uint64_t taken[ITEM_KIND_COUNT];

    const struct relay_context *context;
    bool takes_metadata;
    struct write_slot *slot; /* NULL before queue_reader_begin() */
    struct taken_write *writes;
    uint32_t count, capacity;
    uint32_t giving; /* index of the first write that has items to be given */
    uint64_t next_number;
    struct arena scratch; /* labels of the item that was given last */
};

void queue_reader_init(struct queue_reader *reader, const struct relay_context *context);
/* Takes all writes that come from now on; `wake` as in write_slot_join(). ERR_NOMEM. */
MUST_CHECK enum err queue_reader_begin(struct queue_reader *reader, struct write_queue *queue,
                                       bool takes_metadata, void (*wake)(void *context),
                                       void *context);
/* Lets go of all writes. Accepts a reader that has not begun. */
void queue_reader_end(struct queue_reader *reader);

/* Takes all writes that wait, so that they end in time also while no item is asked for. */
void queue_reader_take(struct queue_reader *reader);
/* Gives the next wanted item, and its place: a view until the next call of a function that gives
 * one. ERR_AGAIN: no write has an item to be given; ERR_NOMEM. */
MUST_CHECK enum err queue_reader_next(struct queue_reader *reader, struct item *ret_item,
                                      uint64_t *ret_record, uint32_t *ret_index);
/* The item given last is in a call, or settled. */
void queue_reader_pass(struct queue_reader *reader);
/* Gives an item again. ERR_NOMEM. */
MUST_CHECK enum err queue_reader_load(struct queue_reader *reader, uint64_t record, uint32_t index,
                                      struct item *ret_item);

/* Settles `count` open items of one kind: as delivered, or dropped for what the settings say. */
void queue_reader_settle(struct queue_reader *reader, uint64_t record, uint32_t index,
                         uint32_t count, unsigned fate);
/* Settles an item as refused for good. */
void queue_reader_refuse(struct queue_reader *reader, uint64_t record, uint32_t index,
                         const char *reason, const char *answer);

/* Drops the writes that are over, whose open items count as withdrawn; `error` is why they were not
 * delivered, or empty. True if there is one: no item of it may stay in a call, and
 * queue_reader_release() has to follow. */
bool queue_reader_drop_over(struct queue_reader *reader, int64_t now_ns, int64_t now_ms,
                            const char *error);
/* True if the record was dropped. */
bool queue_reader_is_dropped(const struct queue_reader *reader, uint64_t record);
/* Ends the parts of dropped writes, and of those whose items are all settled. */
void queue_reader_release(struct queue_reader *reader);
/* Unix time at which the oldest write came; 0 if there is none. */
int64_t queue_reader_oldest_ms(const struct queue_reader *reader);

#endif
