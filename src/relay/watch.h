/*
 * watch.h - the status that other threads see, and the requests that they leave.
 *
 * Owner: the relay. Only watch.c writes the fields; the stepping thread reads those of the first
 * group.
 */
#ifndef RELAY_WATCH_H
#define RELAY_WATCH_H

#include "base/lock.h"
#include "relay/relay.h"
#include "relay/state/state.h"

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

/* `watch` is zeroed. */
void watch_init(struct watch *watch);
void watch_fini(struct watch *watch);
/* Stored samples are being sent again: the request was carried out. */
void watch_given_again(struct watch *watch);

#endif
