/*
 * relay_private.h - a destination put together: the parts, and the files that work on several of
 * them. A part's fields are written by its own functions only; its header says which others read.
 *
 * The state is written by the files of this folder: what was saved last by begin.c and relay.c, and
 * what belongs into the next one where it changes: an operator's wish (watch.c), the position of
 * the oldest record of the log (relay.c), that the log is lost (catch_up.c). account.c changes the
 * state that it is passed.
 */
#ifndef RELAY_RELAY_PRIVATE_H
#define RELAY_RELAY_PRIVATE_H

#include "base/lock.h"
#include "relay/feed/feed.h"
#include "relay/lane/lane.h"
#include "relay/letters/letters.h"
#include "relay/options.h"
#include "relay/queue/queue_reader.h"
#include "relay/relay.h"
#include "relay/state/account.h"
#include "relay/state/saving.h"
#include "relay/state/state.h"

/*
 * The status that other threads see, and the requests that they leave.
 *
 * Owner: the relay. Only watch.c writes the fields; the stepping thread reads those of the first
 * group.
 */
struct watch {
    struct relay_status now;
    struct relay_shown left; /* the destination's account, which a dry run does not change */
    uint64_t left_repeats;
    int64_t logged_difference[ITEM_KIND_COUNT]; /* the difference that was logged last */
    int64_t unread_ms; /* Unix time since which the log has more and nothing of it was read; or 0 */
    bool gives_again;  /* stored samples are to be sent again */
    int64_t again_from_ms;  /* Unix time of the oldest of them */
    bool letters_decided;   /* a request about dead letters waits for the next state */
    uint64_t letters_lines; /* the letters that it is about */

    struct lock lock; /* LOCK_RANK_RELAY; guards to the next blank line */
    struct relay_status status;
    enum relay_wish wish; /* the last wish that was not taken so far; or RELAY_WISH_NONE */
    bool again_wanted;    /* the same for gives_again, from wanted_from_ms */
    int64_t wanted_from_ms;
    bool letters_wanted;                   /* a request about dead letters was not taken so far, */
    bool letters_drop;                     /* which is to drop them */
    uint64_t letters_number, letters_done; /* the last request, and the last that is durable */
    uint64_t done_lines;                   /* letters of that one */
};

enum run_phase {
    RUN_NONE,
    RUN_ON,
    RUN_LEAVING, /* nothing new is sent: the run ends as soon as no request is pending */
};

/* The state of a destination whose items come from a queue. */
struct direct {
    struct queue_reader reader;
    int64_t looked_ns; /* monotonic time at which the clocks were read last; 0: never */
    int64_t ahead_ms;  /* Unix time then, without the monotonic time */
};

struct relay {
    struct relay_context context; /* immutable after relay_open() */

    /* Owned by the stepping thread; watch.lock guards what other threads reach. */
    bool stopping;
    bool draining;
    struct relay_state state;
    struct saving saving;
    struct watch watch;
    struct rates rates;
    struct breaker breaker;
    struct sent sent;

    /* The run, from relay_begin_run() to relay_end_run(). */
    enum run_phase phase;
    int64_t run_again_ns; /* monotonic time before which no further run begins */
    struct writer *writer;
    struct writer_limits limits;
    struct window *window;
    struct feed feed;
    struct account account;
    struct letters letters;
    struct settling settling;
    struct preparation preparation;
    struct lanes lanes;
    struct direct direct; /* instead of window, feed, account and letters, with options.queue */
};

/* --- relay.c ---------------------------------------------------------------------------------- */

/* True if the settings or an operator pause the destination. */
bool relay_is_paused(const struct relay *r);
/* The run is to end, as soon as no request is pending, or goes on. */
void relay_leave_run(struct relay *r, bool leaves);
/* Ends the run; the next step begins another one from the state. No request may be pending. */
void relay_run_again(struct relay *r);
/* The time until something is due, in milliseconds; new samples may come earlier. */
int relay_idle_ms(const struct relay *r);
/* Makes settled items durable; then lanes that wait for the state may go on. */
MUST_CHECK enum err relay_save(struct relay *r, struct why *why);
/* Takes the responses that have come. */
void relay_take_answers(struct relay *r);

/* --- begin.c ---------------------------------------------------------------------------------- */

/* Loads the state, or makes the first one. It is durable on return, except in a dry run. */
MUST_CHECK enum err relay_load_state(struct relay *r, struct why *why);

/* --- direct.c --------------------------------------------------------------------------------- */

/* True if its items come from a queue: then its run is direct, and nothing of it is durable. */
static inline bool
relay_is_direct(const struct relay *r)
{
    return r->context.options.queue != NULL;
}
/* Begins to take writes from the queue. ERR_NOMEM. */
MUST_CHECK enum err direct_begin(struct relay *r, struct why *why);
/* Gives up pending requests, and lets go of all writes. */
void direct_end(struct relay *r);
/* As relay_step() and relay_wait(). */
int direct_step(struct relay *r);
void direct_wait(struct relay *r, int wait_ms);

/* --- watch.c ---------------------------------------------------------------------------------- */

/* Publishes the first status. `r` has its state. */
void watch_begin(struct relay *r);
/* Takes the requests that other threads have left since the last call. */
void watch_take_wish(struct relay *r);
/* Carries out a request about dead letters, with the next state. That state is durable, or the run
 * ends without it: then the request is carried out again. */
void watch_take_letters(struct relay *r);
void watch_letters_saved(struct relay *r);
void watch_letters_lost(struct relay *r);
/* Publishes the status that other threads see. */
void watch_publish(struct relay *r);

/* --- catch_up.c ------------------------------------------------------------------------------- */

/* Leaves the log for the store if the relay lags too far, and returns to the log later. */
void catch_up(struct relay *r);
/* The position of the log up to which parts have everything, and the items that the log had
 * accepted there. Sets the borders at it and at `from_pos`, so that no part will reach across
 * them. */
uint64_t catch_up_end(const struct relay_context *context, uint64_t from_pos,
                      struct log_count *ret_count);
/* Sets cursor and fill of a state that begins to read this stretch of the log from the store. */
void catch_up_fill(struct relay_state *state, uint64_t from_pos, uint64_t to_pos, int64_t since_ms);
/* True if the queued part of the log exceeds the destination's budget. */
bool catch_up_is_due(struct relay *r);

#endif
