/*
 * saving.h - the time at which a destination's next state is due, and the bytes of the state that
 * is durable and of the next one. Also keeps the counters that are shown from decreasing.
 *
 * Owner: the relay; relay.c builds the states. Only saving.c writes the fields but `scratch`.
 *
 * Threads: one.
 */
#ifndef RELAY_STATE_SAVING_H
#define RELAY_STATE_SAVING_H

#include "relay/feed/feed.h"
#include "relay/options.h"
#include "relay/state/state.h"

enum save_need {
    SAVE_IF_MOVED, /* only if the cursor, the counts or the writer's state have changed */
    SAVE_SOON,     /* within a second: something else has changed */
    SAVE_NOW,      /* at once: a lane waits for it */
};

struct saving {
    enum save_need need;
    const struct relay_context *context;
    int64_t tried_ns;   /* monotonic time of the last attempt */
    struct buf writer;  /* bytes that the state's `writer` is a view of */
    struct buf place;   /* bytes that the state's fill.place is a view of */
    struct buf letters; /* bytes that the state's `letters` is a view of */
    struct buf next_writer, next_place, next_letters; /* the same for the next state */
    uint64_t writer_hash;                             /* hash of `writer` as saved last */
    struct buf scratch; /* a file, while it is written or read; for any reader of states */
};

/* `context` outlives it. */
void saving_init(struct saving *saving, const struct relay_context *context);
void saving_fini(struct saving *saving);

/* Something has changed that the next state says. */
void save_want(struct saving *saving, enum save_need need);
/* True if a second has passed since the last attempt, or a lane waits: an attempt begins. */
bool saving_is_due(struct saving *saving);

/* Copies the bytes that `state` has views of, which then is one of these copies. ERR_NOMEM. */
MUST_CHECK enum err saving_keep_texts(struct saving *saving, struct relay_state *state);
/* Puts the writer's state into the bytes of the next state. ERR_NOMEM. */
MUST_CHECK enum err saving_ask_writer(struct saving *saving, const struct writer *writer,
                                      struct why *why);
/* Puts the place of the state's cursor in the store, as `feed` reads it, into the next state.
 * Errors as feed_place(). */
MUST_CHECK enum err saving_ask_place(struct saving *saving, struct feed *feed,
                                     struct relay_state *state, struct why *why);
/* True if something is wanted, or the writer's state differs from what was saved last. */
bool saving_has_news(const struct saving *saving);
/* Writes a state, except in a dry run. Errors as relay_state_write(). */
MUST_CHECK enum err saving_put(struct saving *saving, const struct relay_state *state,
                               struct why *why);
/* `state`, with views of the next state's bytes, is durable: these are the state's bytes now, and
 * nothing else is wanted. */
void saving_done(struct saving *saving, const struct relay_state *state);

/*
 * Prepares a state that follows `before`: items that left a term of the account since then are
 * added to next->beside, for counters.
 */
void shown_keep(struct relay_state *next, const struct relay_state *before);
/* Does the same for a state that begins to read elsewhere: items that were taken are read again and
 * are still queued. */
void shown_keep_taken(struct relay_state *next, const struct relay_state *before);
/* Saves `next` instead of the run's next state, for the run to come, and makes it the `state`. On
 * an error that is unchanged. */
MUST_CHECK enum err save_instead(struct saving *saving, struct relay_state *state,
                                 const struct relay_state *next, struct why *why);

#endif
