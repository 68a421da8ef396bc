/*
 * relay.h - hands the log on to one destination: at least once, in the order of the log for each
 * series, and with an account of every sample.
 *
 *     log --> items --> [ lane: calls filled | call under way ] x lanes --> writer --> HTTP
 *                |                         |
 *              window <---- settled -------+----> dead letters
 *
 * A series belongs to a lane by its hash; a lane has one call under way, perhaps in pieces of
 * different series, and everything retryable of it is settled before the next begins. Nothing of
 * what is under way is kept but positions: should a call have to be made again from fewer of its
 * items, they are read again from the log.
 *
 * It starts no thread: relay_step() does what can be done at once and says when to come back.
 *
 * Threads: one steps; relay_status(), relay_wish() and relay_wake() may be called from any.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "backend/writer.h"
#include "relay/fate.h"
#include "relay/letters/dead_letters.h"
#include "wal/wal.h"

struct relay;

struct relay_options {
    struct env *env;
    struct wal *wal;
    struct tsdb *tsdb; /* where the log's past is to be had; NULL: nowhere */
    const char *dir;   /* of all destinations; is there */
    struct budget *memory;
    const struct destination_settings *settings; /* outlive the relay */
    const struct writer_class *writer;
    const char *instance; /* tsdb_name_id(): begins the names of what this directory alone writes */
    const char *user_agent;
    struct relay_guard *guard; /* of this destination; outlives the relay */
    /* Unix time and the monotonic clock at one moment, as early as the process knows them: ages are
     * counted from there, whatever the clock does since. 0: when the relay is opened. */
    int64_t epoch_ms;
    int64_t epoch_ns;
};

/*
 * Keeps the log, and the store as the destination wants to find it, from when a destination is
 * named until it is no longer named: from where its state says, from here on if it is new and
 * begins now, else from the oldest record. `before` guards the same destination until this one
 * does, under other settings; NULL: nothing does. Options may have no guard yet. ERR_NOMEM;
 * ERR_LIMIT.
 */
struct relay_guard;
MUST_CHECK enum err relay_guard_new(const struct relay_options *options,
                                    const struct relay_guard *before,
                                    struct relay_guard **ret_guard, struct why *why);
void relay_guard_free(struct relay_guard *guard);
/* From this position of the log on it keeps everything. Any thread. */
uint64_t relay_guard_pos(const struct relay_guard *guard);

/*
 * Opens a destination, from its state or, if it is new, from where its settings say; that is
 * durable on return. ERR_INPUT: settings that cannot be; ERR_CORRUPT: its state cannot be read, and
 * `why` says how an operator decides; ERR_UNSUPPORTED: a newer version wrote it; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err relay_open(const struct relay_options *options, struct relay **ret_relay,
                               struct why *why);
/* Abandons what is under way. */
void relay_free(struct relay *relay);

/* Goes on; returns after how many milliseconds it wants to be called again, unless woken. */
int relay_step(struct relay *relay);
/* Waits for answers, for at most so long, or until relay_wake(). */
void relay_wait(struct relay *relay, int wait_ms);
void relay_wake(struct relay *relay);
/* Nothing more will be written: once all of the log is read, calls do not wait until they are old.
 */
void relay_drain(struct relay *relay);
/*
 * No further call is begun. relay_step() goes on with those under way until relay_is_idle(); then
 * relay_close() makes the state durable and frees. ERR_IO: what was settled last is sent again.
 */
void relay_stop(struct relay *relay);
bool relay_is_idle(const struct relay *relay);
MUST_CHECK enum err relay_close(struct relay *relay, struct why *why);

/* --- watching and telling --------------------------------------------------------------------- */

enum relay_state_word {
    RELAY_RUNNING,
    RELAY_PAUSED,   /* as told */
    RELAY_RETRYING, /* the last answer was a temporary failure */
    RELAY_BLOCKED,  /* nothing can be delivered until an operator mends something */
    RELAY_REFUSING, /* the destination refuses most of what it is given */
    RELAY_FILLING,  /* it is given what the store has, and then the log again */
    RELAY_DRY_RUN,
};
/* "running", ... */
const char *relay_state_text(enum relay_state_word state);

enum { RELAY_TEXT_BYTES = 512 };

/* What a dry run would have sent: its calls, bytes and units are counted like those of others. */
struct relay_dry {
    int64_t since_ms; /* Unix time; 0: it is none */
    int64_t for_ms;   /* it has been at work, */
    uint64_t samples; /* and histograms */
    uint64_t others;  /* exemplars, metadata */
    uint64_t mapped;  /* of both, in a reversible coding */
    uint64_t unrepresentable;
};

struct relay_status {
    enum relay_state_word state;
    struct relay_dry dry;
    char error[RELAY_TEXT_BYTES]; /* the last failure, until something is delivered; "" */
    int64_t error_ms;             /* Unix time of it */
    struct fates fates;           /* FATE_OPEN: what is under way, and what waits after it */
    uint64_t taken[ITEM_KIND_COUNT];
    struct relay_shown shown; /* the same for counters: of the durable state, and never less */
    int64_t difference[ITEM_KIND_COUNT]; /* taken, but nowhere; 0 unless something is miscounted */
    uint64_t repeats_total; /* samples that the store gave once more, beside the account */
    uint64_t behind_bytes;  /* of the log, not yet settled */
    int64_t behind_ms;      /* age of the oldest sample of it; 0: all is settled */
    bool full;              /* the log's budget is reached, and nothing may be given up */
    uint64_t cursor_pos;
    uint64_t calls_total;
    uint64_t calls_failed_total;
    uint64_t sent_bytes_total;
    uint64_t
        resent_samples_total; /* sent again after an answer that does not say what was stored */
    uint64_t units_total;     /* billed */
    uint32_t lanes;           /* requests that may be under way at a time */
    uint32_t lanes_busy;
    uint64_t batch_bytes_max;
    int64_t delivered_ms; /* Unix time of the last success; 0: none yet */
    uint64_t memory_bytes;
};
void relay_status(struct relay *relay, struct relay_status *ret_status);
/* That is `full`; for who steps it. */
bool relay_is_full(const struct relay *relay);

/*
 * Gives the destination again what is stored with times from there on; it goes on after that. Once
 * begun it is remembered. ERR_UNSUPPORTED: there is no store; ERR_AGAIN: it has not yet taken all,
 * or is at it.
 */
MUST_CHECK enum err relay_replay(struct relay *relay, int64_t from_ms, struct why *why);
/* Pauses or goes on, whatever the settings say; remembered. */
void relay_wish(struct relay *relay, bool paused);

#endif
