/*
 * isolate.h - a call in pieces that are tried one by one, or several at a time, until what is
 * refused in it stands alone. At first a call is one piece. After an answer that refuses some and
 * does not say which:
 *
 *     [ a b c d e f g h ]           refused
 *     [ a b c d ][ e f g h ]        in two, if nothing is known: the first tells of the second
 *     [ a c ][ d ][ e g ][ f h ]    in more, if the answer says how many were refused
 *     [ a b d e g h ][ c f ]        what the answer points at is set apart, and tried last
 *
 * Pieces have different series, so they may be tried in any order; where they have not (one series
 * is left, or what is set apart are the oldest samples), the second waits until the first is
 * settled. Within a piece items stay in the order of the log.
 *
 * Nothing is settled here: whoever tries a piece says what became of it. Whether an item is refused
 * is known from an answer alone, never from what was expected.
 *
 * Threads: one.
 */
#ifndef RELAY_ISOLATE_H
#define RELAY_ISOLATE_H

#include "base/mem.h"

/* Where items stand in the log, and in which part of their call. In a call of several lanes each
 * has its own; where there is one lane, those that follow one another share one. */
struct call_item {
    uint64_t record; /* the window's number */
    uint32_t index;
    uint32_t count;
    uint32_t entry;
    bool suspect; /* when it was added, its series or metric had been refused lately */
};

/* Items [from, to) of a call. */
struct call_piece {
    uint32_t from, to;
    uint32_t after; /* not to be tried before nothing is left of [after, from) */
    uint8_t taken;  /* the attempt's number; 0: none is trying it */
    uint8_t depth;  /* refusals that led to it */
    bool waits;     /* for an answer to the piece in front of it, which will tell */
    bool sure;      /* one at least is refused: not to be tried as a whole */
    bool dead;      /* refused, and not to be sent again: that has to be noted, and could not be */
    bool suspect;   /* was set apart because its items may be refused */
    bool by_time;   /* for their times */
};

/* What is known of an item of a call that was refused. */
struct isolate_key {
    uint64_t metric; /* hashes; 0: not known */
    uint64_t series;
    bool known;
    uint8_t blame; /* enum writer_blame */
    bool blamed;   /* the answer points at it, or it was refused lately */
};

struct isolate {
    struct budget *memory;
    struct call_piece *pieces; /* by `from` */
    uint32_t count;
    uint32_t capacity;
    struct isolate_key *keys; /* of each item; NULL: nothing was refused */
    uint32_t key_count;
    uint32_t delivered_count; /* items of the call that were settled, as isolate_settled() was */
    uint32_t refused_count;   /* called */
};

/* ERR_NOMEM. */
MUST_CHECK enum err isolate_init(struct isolate *isolate, struct budget *memory);
/* Accepts zeroed memory. */
void isolate_fini(struct isolate *isolate);

/* A call of so many items, at least 1, in one piece. */
void isolate_begin(struct isolate *isolate, uint32_t count);
/* Nothing is left. */
bool isolate_is_done(const struct isolate *isolate);
/*
 * A piece that may be tried now, and that no attempt has; NULL: none. If it is `sure` and has more
 * than one item it is to be split instead. A view until the next change.
 */
struct call_piece *isolate_next(const struct isolate *isolate);
/* The one that is taken by `who`; NULL: none. */
struct call_piece *isolate_taken(const struct isolate *isolate, uint8_t who);

/* So many items of a piece are about to be settled. Only how pieces are made depends on it. */
void isolate_settled(struct isolate *isolate, uint32_t delivered, uint32_t refused);
/* Everything of a piece is settled. `delivered`: all of it, by the first answer. */
void isolate_gone(struct isolate *isolate, struct call_piece *piece, bool delivered);
/* Something of a piece was answered, and not all of it delivered: what waits for it may go on. */
void isolate_answered(struct isolate *isolate, struct call_piece *piece);
/* In two at an item, the second after the first: where it is about size. ERR_NOMEM. */
MUST_CHECK enum err isolate_cut(struct isolate *isolate, struct call_piece *piece, uint32_t at);
/* Room for keys of so many items, none known. ERR_NOMEM. */
MUST_CHECK enum err isolate_need_keys(struct isolate *isolate, uint32_t count);

/* What an answer says of those it refuses. */
struct isolate_told {
    uint32_t refused; /* so many; 0: it does not say */
    bool tells_all;   /* it would say so if it were all */
    bool by_time;     /* those whose keys are blamed are the oldest */
    bool in_order;    /* it is no matter of series: what is refused may be so for its time */
    bool unasked;     /* nothing was said: what is blamed is set apart before it is asked for */
};
/*
 * Some of a piece of two at least are refused: it comes in pieces, of which no attempt has any.
 * Keys are those of `items`, and are reordered with them. ERR_NOMEM: it is as it was.
 */
MUST_CHECK enum err isolate_split(struct isolate *isolate, struct call_piece *piece,
                                  struct call_item *items, const struct isolate_told *told);
/* Before anything is tried: items that are `suspect` are set apart, if not all are. ERR_NOMEM. */
MUST_CHECK enum err isolate_set_apart(struct isolate *isolate, struct call_item *items);

#endif
