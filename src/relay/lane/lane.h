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

#include "relay/context.h"
#include "relay/lane/backoff.h"
#include "relay/lane/bounds.h"
#include "relay/lane/breaker.h"
#include "relay/lane/isolate.h"
#include "relay/lane/prepare.h"
#include "relay/lane/rates.h"
#include "relay/lane/sent.h"
#include "relay/lane/series_seen.h"
#include "relay/lane/settle.h"
#include "relay/lane/throttle.h"

enum {
    ATTEMPTS_MAX = 8, /* attempts of a lane */
    QUEUED_MAX = 4,   /* full calls of a lane that wait for the one being sent */
};

struct call {
    struct writer_call *body;
    struct call_item *items;
    uint32_t count; /* entries of `items` */
    uint32_t capacity;
    uint64_t samples;        /* items, with all those of runs */
    uint64_t bytes;          /* size of the body; of a queued call only */
    struct series_seen seen; /* its series; only where it may have one sample of each */
    int64_t first_ns;        /* monotonic time at which the first item was added */
    bool sealed;             /* nothing more is added */
    bool stale;              /* the body has items that the call lacks: it must be rebuilt */
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
