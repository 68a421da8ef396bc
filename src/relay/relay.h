/*
 * relay.h - delivers the log to one destination: at least once, in the order of the log for each
 * series, and with an account of every sample.
 *
 *     log --> items --> [ lane: calls filled | call pending ] x lanes --> writer --> HTTP
 *                |                         |
 *              window <---- settled -------+----> dead letters
 *
 * A series belongs to a lane by its hash. A lane has one pending call, possibly in pieces of
 * different series, and settles everything retryable of it before the next begins. Only positions
 * are kept of pending items: if a call has to be made again from fewer of its items, these are read
 * again from the log.
 *
 * It starts no thread: relay_step() does what can be done at once and says when to call it again.
 *
 * With options.queue there is no log: items come from writes whose senders wait, nothing is
 * durable, and what is refused goes to the sender (direct.c).
 *
 * Threads: one steps; relay_status(), relay_wish() and relay_wake() may be called from any.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "relay/options.h"
#include "relay/state/state.h"

struct relay;

/*
 * Opens a destination. It begins where its state says or, if it is new, where its settings say,
 * which is durable on return. ERR_INPUT: invalid settings; ERR_CORRUPT: its state cannot be read,
 * and `why` says how an operator can decide; ERR_UNSUPPORTED: a newer version wrote it; ERR_IO,
 * ERR_NOMEM.
 */
MUST_CHECK enum err relay_open(const struct relay_options *options, struct relay **ret_relay,
                               struct why *why);
/* Closes it without saving; pending requests are canceled. */
void relay_free(struct relay *relay);

/* Does what is due; returns the milliseconds after which it must be called again, unless woken. */
int relay_step(struct relay *relay);
/* Waits for responses for at most `wait_ms`, or until relay_wake(). */
void relay_wait(struct relay *relay, int wait_ms);
void relay_wake(struct relay *relay);
/* The log will not grow: once all of it is read, calls are sent without waiting for their age. */
void relay_drain(struct relay *relay);
/*
 * Begins no further call. relay_step() continues with pending requests until relay_is_idle(); then
 * relay_close() makes the state durable and frees the relay. ERR_IO: items that were settled last
 * are sent again.
 */
void relay_stop(struct relay *relay);
bool relay_is_idle(const struct relay *relay);
MUST_CHECK enum err relay_close(struct relay *relay, struct why *why);

/* --- status and requests ---------------------------------------------------------------------- */

enum relay_state_word {
    RELAY_RUNNING,
    RELAY_PAUSED,   /* by its settings or an operator */
    RELAY_RETRYING, /* the last response was a temporary failure */
    RELAY_BLOCKED,  /* nothing can be delivered until an operator repairs something */
    RELAY_REFUSING, /* the destination refuses most samples */
    RELAY_FILLING,  /* it reads the store, and will then follow the log again */
    RELAY_DRY_RUN,
};
/* "running", ... */
const char *relay_state_text(enum relay_state_word state);

enum { RELAY_TEXT_BYTES = 512 };

/* Items that a dry run would have sent; its calls, bytes and units are in relay_status. */
struct relay_dry {
    int64_t since_ms; /* Unix time of its start; 0 if it is not a dry run */
    int64_t for_ms;   /* duration so far */
    uint64_t samples; /* floats and histograms */
    uint64_t others;  /* exemplars and metadata */
    uint64_t mapped;  /* items of both whose names were encoded reversibly */
    uint64_t unrepresentable;
};

struct relay_status {
    enum relay_state_word state;
    struct relay_dry dry;
    char error[RELAY_TEXT_BYTES]; /* the last failure; "" after a delivery */
    int64_t error_ms;             /* Unix time of the last failure */
    struct fates fates;           /* FATE_OPEN counts queued items */
    uint64_t taken[ITEM_KIND_COUNT];
    struct relay_shown shown; /* the same for counters: of the durable state, never decreasing */
    int64_t difference[ITEM_KIND_COUNT]; /* taken items in no term; 0 unless miscounted */
    uint64_t replaying;     /* dead letters that are being sent again; they count as dead letters */
    uint64_t repeats_total; /* samples that the store gave once more; not part of the account */
    uint64_t behind_bytes;  /* bytes of the log that are not settled */
    int64_t behind_ms;      /* age of the oldest of these; 0 if all is settled */
    bool full;              /* the log's budget is reached, and the settings allow no loss */
    uint64_t cursor_pos;
    uint64_t calls_total;
    uint64_t calls_failed_total;
    uint64_t sent_bytes_total;
    uint64_t resent_samples_total; /* samples sent again because the outcome was unknown */
    uint64_t units_total;          /* billed units */
    uint32_t lanes;                /* requests that may be pending at a time */
    uint32_t lanes_busy;
    uint64_t batch_bytes_max;
    int64_t delivered_ms; /* Unix time of the last delivery; 0 before the first */
    uint64_t memory_bytes;
};
void relay_status(struct relay *relay, struct relay_status *ret_status);
/* relay_status.full, for the stepping thread. */
bool relay_is_full(const struct relay *relay);

/*
 * Sends again all stored samples from a time on, and then continues with the log. Once begun it
 * outlives restarts. ERR_UNSUPPORTED: there is no store; ERR_AGAIN: the destination has not taken
 * all stored samples so far, or is sending them again.
 */
MUST_CHECK enum err relay_replay(struct relay *relay, int64_t from_ms, struct why *why);
/*
 * Wants all dead letters that are not being sent again to be sent again or, with `drop`, dropped.
 * relay_letters_done() with the number that this gives says when that is durable, and how many they
 * are. ERR_AGAIN: another such request is pending, or the relay that took the request is gone;
 * ERR_UNSUPPORTED: the destination keeps none, or it is a dry run.
 */
MUST_CHECK enum err relay_letters_want(struct relay *relay, bool drop, uint64_t *ret_number,
                                       struct why *why);
MUST_CHECK enum err relay_letters_done(struct relay *relay, uint64_t number, bool *ret_done,
                                       uint64_t *ret_lines, struct why *why);
/* Pauses or resumes, whatever the settings say; this outlives restarts. */
void relay_wish(struct relay *relay, bool paused);

#endif
