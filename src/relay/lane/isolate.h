/*
 * isolate.h - finds the refused items of a call when the response does not say which they are:
 * halves the call into pieces, which are sent one by one, or several at a time, until each refused
 * item is alone. At first a call is one piece. After a response that refuses some items:
 *
 *     [ a b c d e f g h ]           refused
 *     [ a b c d ][ e f g h ]        the second waits: the response to the first may imply its own
 *     [ a b ][ c d ][ e f g h ]     the first is refused: the second of them waits, the other is
 * open
 *
 * Pieces have different series, so they may be tried in any order. If they share series (one series
 * is left), the second waits until the first is settled. Within a piece items stay in the order of
 * the log.
 *
 * Series that were refused lately are suspects: they are set apart before a call is tried. This
 * module settles nothing: the caller reports what became of a piece. Only a response says that an
 * item is refused, never an expectation.
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
    uint64_t series; /* hash */
    uint32_t index;  /* index in the record */
    uint32_t count;  /* items of the run; 0 if all became dead letters */
    uint32_t entry;  /* entry of the call's body that holds it */
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
    enum piece_state state;
    bool found;   /* it is what refusals have left of a larger piece */
    bool suspect; /* it was set apart because its series were refused lately */
    bool held;    /* it was refused, which is not believed: others are tried before it */
};

struct isolate {
    struct budget *memory;
    struct call_piece *pieces; /* ascending in `from` */
    uint32_t count;
    uint32_t capacity;
};

/* ERR_NOMEM. */
MUST_CHECK enum err isolate_init(struct isolate *isolate, struct budget *memory);
/* Accepts zeroed memory. */
void isolate_fini(struct isolate *isolate);

/* Begins a call of `count` items, at least 1, as one piece. The call before it is done: `count` is
 * 0, as no piece is left or the rest was abandoned. */
void isolate_begin(struct isolate *isolate, uint32_t count);
/*
 * A piece that may be tried now and that no attempt has; NULL if there is none. If it is SURE and
 * has more than one item, it must be split instead. A view until the next change.
 */
struct call_piece *isolate_next(const struct isolate *isolate);
/* The piece taken by attempt `who`; NULL if it has none. */
struct call_piece *isolate_taken(const struct isolate *isolate, uint8_t who);

/* Removes a piece that is settled. `delivered`: all of it was, by the first response. */
void isolate_gone(struct isolate *isolate, struct call_piece *piece, bool delivered);
/* A piece was answered and not delivered as a whole: the piece that waits for it may be tried. */
void isolate_answered(struct isolate *isolate, struct call_piece *piece);
/* A piece was refused, and is to be tried again after all others that may be tried. */
void isolate_hold(struct isolate *isolate, struct call_piece *piece);
/* Cuts a piece that is too large in two before item `at`; the second waits for the first.
 * ERR_NOMEM. */
MUST_CHECK enum err isolate_cut(struct isolate *isolate, struct call_piece *piece, uint32_t at);
/*
 * Replaces a piece, of whose two or more items some are refused, by its halves, which no attempt
 * has. Reorders `items`, unless they stay `in_order`. ERR_NOMEM: nothing was changed.
 */
MUST_CHECK enum err isolate_halve(struct isolate *isolate, struct call_piece *piece,
                                  struct call_item *items, bool in_order);

/* Asserts the invariants at the top of isolate.c, for a call of `items` items: for tests and debug
 * builds. */
void isolate_validate(const struct isolate *isolate, uint32_t items);

/* --- suspects --------------------------------------------------------------------------------- */

/* Series that were refused lately, in a table of fixed size: each has one place, and replaces the
 * one that was there. Zeroed memory is an empty table. */
struct suspects {
    uint64_t *slots; /* hashes; 0 if free */
    uint32_t count;
};

/* Does nothing if memory is refused. */
void suspects_add(struct suspects *suspects, struct budget *memory, uint64_t series);
void suspects_forget(struct suspects *suspects, uint64_t series);
void suspects_fini(struct suspects *suspects, struct budget *memory);
/* Before anything of a call is tried, sets apart the items of suspects, unless all are. ERR_NOMEM.
 */
MUST_CHECK enum err isolate_set_apart(struct isolate *isolate, struct call_item *items,
                                      const struct suspects *suspects);

#endif
