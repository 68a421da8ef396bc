/*
 * settle.h - reads and settles the items of calls, wherever they come from: the log, the store,
 * dead letters that are sent again, or the queue of writes whose senders wait. Lanes reach feed,
 * window, letters and queue only through it.
 *
 * Owner: the relay. Only settle.c writes the fields.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_SETTLE_H
#define RELAY_LANE_SETTLE_H

#include "relay/feed/feed.h"
#include "relay/lane/breaker.h"
#include "relay/lane/isolate.h"
#include "relay/lane/sent.h"
#include "relay/letters/letters.h"
#include "relay/queue/queue_reader.h"
#include "relay/state/window.h"

/* call_item.record of replayed letters; their index is that of letters_replay_next(). */
#define REPLAY_RECORD UINT64_MAX

struct settling {
    const struct relay_context *context;
    struct feed *feed;
    struct letters *letters;
    struct saving *saving;
    struct breaker *breaker;
    struct sent *sent;
    struct queue_reader *queue; /* all items are from it, and the next is not used; or NULL */
    struct window *window;      /* window of the run */
};

/* Begin and end a run. */
void settle_begin(struct settling *settling, struct window *window);
void settle_end(struct settling *settling);

/* True if items are read from the store, and not from the log. */
static inline bool
settle_reads_store(const struct settling *settling)
{
    return feed_reads_store(settling->feed);
}

/* True if senders wait for what becomes of their items: refusals go to them, and an item is given
 * up only when its write is over. */
static inline bool
settle_answers(const struct settling *settling)
{
    return settling->queue != NULL;
}

/* Reads again item `index` of a record. ERR_MISSING: the log no longer has it, or the letter is
 * gone. Errors as feed_load(). */
MUST_CHECK enum err settle_load(struct settling *settling, uint64_t record, uint32_t index,
                                struct item *ret_item, struct why *why);
/* True if an item that cannot be read again, for this error, is lost. False if it stays open: it is
 * to be read later, or by another run. */
bool settle_is_lost(struct settling *settling, const struct call_item *at, enum err e);
/* Settles items of a call. ERR_NOMEM: they are still open. */
MUST_CHECK enum err settle_item(struct settling *settling, const struct call_item *at,
                                uint8_t fate);

enum bury_why { BURY_REFUSED, BURY_UNREPRESENTABLE };
/* Keeps an item as a dead letter or drops it, as the settings say for this kind of failure. On an
 * error it is still open. `item` is not used for a replayed letter, which is a letter again. */
MUST_CHECK enum err settle_bury(struct settling *settling, const struct call_item *at,
                                const struct item *item, enum bury_why why_buried,
                                const char *reason, const char *answer);

#endif
