/*
 * prepare.h - fetches what a writer needs before anything can be sent, and checks at the start
 * whether credentials are accepted.
 *
 * Owner: the relay. Only prepare.c writes the fields.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_PREPARE_H
#define RELAY_LANE_PREPARE_H

#include "relay/context.h"
#include "relay/lane/backoff.h"
#include "relay/lane/breaker.h"
#include "relay/lane/throttle.h"

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

#endif
