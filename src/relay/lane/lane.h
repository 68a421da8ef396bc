/*
 * lane.h - the lanes of a destination: each has one call that is being filled, and one that is
 * being sent. A series belongs to a lane by its hash; dead letters that are sent again have a lane
 * of their own.
 *
 * Owner: the relay. Only lane.c and lane_verdict.c write the fields.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_LANE_H
#define RELAY_LANE_LANE_H

#include "base/table.h"
#include "relay/feed/feed.h"
#include "relay/lane/isolate.h"
#include "relay/lane/pace.h"
#include "relay/letters/letters.h"
#include "relay/options.h"
#include "relay/queue/queue_reader.h"
#include "relay/state/account.h"

/* --- settling --------------------------------------------------------------------------------- */

/*
 * Reads and settles the items of calls, wherever they come from: the log, the store, dead letters
 * that are sent again, or the queue of writes whose senders wait. Lanes reach feed, window, letters
 * and queue only through it.
 *
 * Owner: the relay. Only lane_verdict.c writes the fields.
 */

/* call_item.record of replayed letters; their index is that of letters_replay_next(). */
#define REPLAY_RECORD UINT64_MAX

struct settling {
    const struct relay_context *context;
    struct feed *feed;
    struct letters *letters;
    struct saving *saving;
    struct breaker *breaker;
    struct sent *sent;
    /* NULL, or all items are from it, and `window` is not used. Senders wait for what becomes of
     * their items: refusals go to them, and an item is given up only when its write is over. */
    struct queue_reader *queue;
    struct window *window; /* window of the run; NULL between runs */
};

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

/* --- preparation ------------------------------------------------------------------------------ */

/*
 * Fetches what a writer needs before anything can be sent, and checks at the start whether
 * credentials are accepted.
 *
 * Owner: the relay. Only prepare.c writes the fields.
 */

enum { AGAIN_MAX = 4 }; /* times that something is sent again at once */

/* The pending request of a preparation. */
enum prepare_request {
    PREPARE_NONE,
    PREPARE_FETCH, /* fetches what the writer needs */
    PREPARE_CHECK, /* checks credentials */
};

struct preparation {
    const struct relay_context *context;
    struct breaker *breaker;
    struct throttle *throttle;

    /* The run; cleared at its end from here on. */
    struct writer *writer;
    const struct writer_limits *limits;
    bool is_held; /* nothing is sent: the relay is paused or ends */
    enum prepare_request pending;
    bool has_failed;        /* the last request failed */
    bool looked;            /* the destination accepted a check or a call, or is never checked */
    bool is_doubted;        /* a call was refused before that: the check comes first */
    struct backoff pause;   /* before the next request that fetches */
    uint32_t refused_count; /* times in a row that fetched credentials were refused */
    uint32_t check_agains;  /* times in a row that the check was repeated at once */
};

/* The arguments outlive it. */
void prepare_init(struct preparation *preparation, const struct relay_context *context,
                  struct breaker *breaker, struct throttle *throttle);
/* Begins a run with this writer. */
void prepare_begin(struct preparation *preparation, struct writer *writer,
                   const struct writer_limits *limits);
void prepare_end(struct preparation *preparation);
/* The process was suspended: a pending request is given up, and pauses are over. */
void prepare_again(struct preparation *preparation);
/* From now on nothing may be sent, or something may. */
void prepare_hold(struct preparation *preparation, bool is_held);
/* True if calls may be sent: nothing holds them, and nothing must be prepared first. Begins a
 * preparation that is due. */
bool prepare_is_ready(struct preparation *preparation);
/* Prepares once after the start, even if nothing is to be sent, so that wrong credentials are
 * reported then and not with the first call. While no lane is busy, or a refusal is doubted, makes
 * the check of writer_limits.start_check. Called until `looked`. */
void prepare_early(struct preparation *preparation, uint32_t lanes_busy);
/* A call was refused for its content. False if the refusal must not be applied, because nothing was
 * accepted before: the check is made first, and then the call is due again. */
bool prepare_trusts_refusals(struct preparation *preparation);
/* Takes the response to the pending request, whose context is `preparation`; NULL begins a
 * preparation. */
void prepare_answered(struct preparation *preparation, const struct http_call_answer *answer);

/* --- lanes ------------------------------------------------------------------------------------ */

/*
 * The series that a call has, where it may have one sample of each only. Two series whose hashes
 * differ in bit 32 alone count as one: then a call is sent earlier than needed. The low half of a
 * hash is the table's, 31 bits of the high half are the id.
 */
static inline bool
series_seen_has(const struct table *seen, uint64_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(seen, hash, &at, &id);)
        if (id == hash >> 33) return true;
    return false;
}

/* Adds a series that is not in the table; there is room for it. */
static inline void
series_seen_add(struct table *seen, uint64_t hash)
{
    table_add(seen, hash, (uint32_t)(hash >> 33));
}

enum {
    ATTEMPTS_MAX = 8, /* attempts of a lane */
    QUEUED_MAX = 4,   /* full calls of a lane that wait for the one being sent */
};

struct call {
    struct writer_call *body;
    struct call_item *items;
    uint32_t count; /* entries of `items` */
    uint32_t capacity;
    uint64_t samples;  /* items, with all those of runs */
    uint64_t bytes;    /* size of the body; of a queued call only */
    struct table seen; /* its series; only where it may have one sample of each */
    int64_t first_ns;  /* monotonic time at which the first item was added */
    bool sealed;       /* nothing more is added */
    bool stale;        /* the body has items that the call lacks: it must be rebuilt */
};

enum attempt_phase {
    ATTEMPT_FREE,
    ATTEMPT_READY,   /* its request may be sent */
    ATTEMPT_SAVING,  /* its request may be sent once the state is saved */
    ATTEMPT_PENDING, /* its request was sent, and has no response so far */
};

/* A piece of a lane's call that is tried. */
struct attempt {
    struct lane *lane;
    uint8_t number;           /* from 1 on; attempt 1 uses the call's own body */
    enum attempt_phase phase; /* isolate_taken() has the piece of one that is not free */
    struct writer_call *body; /* body of the others; NULL before it is made */
    bool built;               /* the body holds exactly the piece */
    bool ambiguous;           /* it was sent, and the outcome is unknown */
    bool is_nothing; /* nothing had to be sent, so its success says nothing about the destination */
    bool probes;     /* the destination might not work when it was sent last */
    uint32_t agains; /* times that it was sent again at once */
};

struct lane {
    struct call filling;
    struct call queue[QUEUED_MAX]; /* full calls, oldest first; bodies are made when first needed */
    uint32_t queued;
    struct call sending;
    struct isolate pieces; /* pieces of `sending` that are not settled */
    struct attempt attempts[ATTEMPTS_MAX];
    struct backoff pause;     /* the lane's own pause: its call may fail where others would not */
    int64_t failing_since_ns; /* monotonic time of the first failure in a row; 0 if not failing */
};

struct lanes {
    const struct relay_context *context;
    struct settling *settling;
    struct preparation *preparation;
    struct saving *saving;
    struct breaker *breaker;
    struct rates *rates;
    struct sent *sent;

    /* The run; cleared at its end from here on. */
    const struct writer_class *class;
    struct writer *writer;
    struct writer_limits limits;
    struct call_bounds bounds; /* `bytes` is lowered when a call was too large */
    struct lane all[LANES_MAX];
    uint32_t count;
    struct lane replay;        /* lane of dead letters that are sent again */
    struct lane *begun;        /* with limits.one_lane, the lane whose call is sent; else NULL */
    uint32_t turn;             /* index of the lane that is served first */
    uint32_t pending;          /* pending requests of all lanes */
    struct throttle throttle;  /* limits the number of pending requests */
    uint32_t unprepared;       /* probes in a row whose credentials were refused */
    uint64_t queued_bytes;     /* bytes of queued calls of all lanes */
    uint64_t queued_bytes_max; /* upper limit of these */
    struct suspects suspects;
    int64_t age_ms; /* age at which a call being filled is sent */
    bool has_room;  /* a call needed no network, so a full lane may have room again */
};

/* The arguments outlive the lanes, and so do the parts that `settling` uses. */
void lanes_init(struct lanes *lanes, struct settling *settling, struct preparation *preparation,
                struct rates *rates);
/* Begins a run: makes as many lanes as bounds and memory allow. `writer` and `limits` are those of
 * the run. ERR_NOMEM: lanes_end() releases what was made. */
MUST_CHECK enum err lanes_begin(struct lanes *lanes, struct writer *writer,
                                const struct writer_limits *limits);
/* Accepts lanes that were not begun. */
void lanes_end(struct lanes *lanes);

enum lane_offer { LANE_TOOK, LANE_FULL, LANE_UNFIT, LANE_TOO_OLD };
/* Adds an item to the call that its lane is filling; sets at->entry and at->series. `why` says why
 * it is unfit. */
enum lane_offer lanes_offer(struct lanes *lanes, const struct item *item, struct call_item *at,
                            struct why *why);
/* Calls are sent without waiting for their age, or again after waiting for it. */
void lanes_hurry(struct lanes *lanes, bool hurry);
/* Sends the requests that may be sent now. */
void lanes_send(struct lanes *lanes);
/* Takes the response to an attempt's request. */
void lanes_answered(struct lanes *lanes, struct attempt *attempt,
                    const struct http_call_answer *answer);
/* Dropped items (queue_reader_is_dropped()) leave all calls. A pending request with one is given
 * up, and the others of its call are sent again: their outcome is unknown. */
void lanes_forget_dropped(struct lanes *lanes);
/* The process was suspended: the outcome of pending requests is unknown, which are sent again at
 * once, and pauses are over. */
void lanes_again(struct lanes *lanes);
/* The state was saved: attempts that waited for it may be sent. */
void lanes_saved(struct lanes *lanes);
/* True if no lane of the log has an item. */
bool lanes_are_empty(const struct lanes *lanes);
/* The number of lanes of the log that are sending a call. */
uint32_t lanes_busy(const struct lanes *lanes);
/* Monotonic time of the next lanes_send() that may have something to do; INT64_MAX if none is due.
 */
int64_t lanes_next_ns(const struct lanes *lanes);

#endif
