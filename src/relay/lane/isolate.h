/*
 * isolate.h - finds the refused items of a call when the response does not say which they are:
 * splits the call into pieces, which are sent one by one, or several at a time, until each refused
 * item is alone. At first a call is one piece. After a response that refuses some items:
 *
 *     [ a b c d e f g h ]           refused
 *     [ a b c d ][ e f g h ]        in two, if nothing is known: the first may imply the second
 *     [ a c ][ d ][ e g ][ f h ]    in more, if the response says how many were refused
 *     [ a b d e g h ][ c f ]        items that the response names are set apart, and tried last
 *
 * Pieces have different series, so they may be tried in any order. If they share series (one series
 * is left, or the oldest samples are set apart), the second waits until the first is settled.
 * Within a piece items stay in the order of the log.
 *
 * This module settles nothing: the caller reports what became of a piece. Only a response says that
 * an item is refused, never an expectation.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_ISOLATE_H
#define RELAY_LANE_ISOLATE_H

#include "base/mem.h"

/* The position in the log of one item of a call; with one lane, of a run of consecutive items in
 * the same entry. */
struct call_item {
    uint64_t record; /* the window's number of the record */
    uint32_t index;  /* index in the record */
    uint32_t count;  /* items of the run; 0 if all became dead letters */
    uint32_t entry;  /* entry of the call's body that holds it */
    bool suspect;    /* its series or metric had been refused lately when it was added */
};

enum piece_state {
    PIECE_OPEN,  /* may be tried */
    PIECE_WAITS, /* the response to the piece before it decides whether it is tried or split */
    PIECE_SURE,  /* at least one item is refused: it must be split before it is tried */
    PIECE_DEAD,  /* refused and not to be sent again, but its letters are not written so far */
};

/* Items [from, to) of a call. */
struct call_piece {
    uint32_t from, to;
    uint32_t after; /* it waits until no item of [after, from) is left */
    uint8_t taken;  /* number of the attempt that tries it; 0 if none does */
    uint8_t depth;  /* refusals that led to it */
    enum piece_state state;
    bool suspect; /* it was set apart because its items may be refused */
    bool by_time; /* it was set apart for the times of its items */
};

/* Facts about an item of a call that was refused. */
struct isolate_key {
    uint64_t metric; /* hash; 0 if unknown */
    uint64_t series; /* hash; 0 if unknown */
    bool known;
    uint8_t blame; /* enum writer_blame */
    bool blamed;   /* the response names it, or it was refused lately */
};

struct isolate {
    struct budget *memory;
    struct call_piece *pieces; /* ascending in `from` */
    uint32_t count;
    uint32_t capacity;
    struct isolate_key *keys; /* keys of all items of the call; NULL before a refusal */
    uint32_t key_count;
    uint32_t delivered_count; /* items of the call reported to isolate_settled() as delivered */
    uint32_t refused_count;   /* items of the call reported to isolate_settled() as refused */
};

/* ERR_NOMEM. */
MUST_CHECK enum err isolate_init(struct isolate *isolate, struct budget *memory);
/* Accepts zeroed memory. */
void isolate_fini(struct isolate *isolate);

/* Begins a call of `count` items, at least 1, as one piece. The call before it is done. */
void isolate_begin(struct isolate *isolate, uint32_t count);
/* Ends a call with pieces that are not settled: it is done. */
void isolate_abandon(struct isolate *isolate);
/* True if no piece is left. */
bool isolate_is_done(const struct isolate *isolate);
/*
 * A piece that may be tried now and that no attempt has; NULL if there is none. If it is SURE and
 * has more than one item, it must be split instead. A view until the next change.
 */
struct call_piece *isolate_next(const struct isolate *isolate);
/* The piece taken by attempt `who`; NULL if it has none. */
struct call_piece *isolate_taken(const struct isolate *isolate, uint8_t who);

/* Items of a piece are about to be settled. This only affects into how many pieces others are
 * split.
 */
void isolate_settled(struct isolate *isolate, uint32_t delivered, uint32_t refused);
/* Removes a piece that is settled. `delivered`: all of it was, by the first response. */
void isolate_gone(struct isolate *isolate, struct call_piece *piece, bool delivered);
/* A piece was answered and not delivered as a whole: the piece that waits for it may be tried. */
void isolate_answered(struct isolate *isolate, struct call_piece *piece);
/* Cuts a piece that is too large in two before item `at`; the second waits for the first.
 * ERR_NOMEM.
 */
MUST_CHECK enum err isolate_cut(struct isolate *isolate, struct call_piece *piece, uint32_t at);
/* Makes room for the keys of a call's `count` items, none of them known. ERR_NOMEM. */
MUST_CHECK enum err isolate_need_keys(struct isolate *isolate, uint32_t count);

/* A response names or counts the items that it refuses. */
struct isolate_hint {
    uint32_t refused;         /* their number; 0 if unknown */
    bool reports_all_refused; /* responses report it if all items are refused */
    bool by_time;             /* the blamed items are the oldest ones */
    bool in_order;            /* items may be refused for their times rather than their series */
    bool no_response; /* nothing else is set: blamed items are set apart before they are tried */
};
/*
 * Replaces a piece, of whose two or more items some are refused, by smaller ones that no attempt
 * has. Reorders `items` together with their keys. ERR_NOMEM: nothing was changed.
 */
MUST_CHECK enum err isolate_split(struct isolate *isolate, struct call_piece *piece,
                                  struct call_item *items, const struct isolate_hint *hint);
/* Before anything is tried, sets apart the items that are `suspect`, unless all are. ERR_NOMEM. */
MUST_CHECK enum err isolate_set_apart(struct isolate *isolate, struct call_item *items);

/* Asserts the invariants at the top of isolate.c, for a call of `items` items: for tests and debug
 * builds. */
void isolate_validate(const struct isolate *isolate, uint32_t items);

#endif
