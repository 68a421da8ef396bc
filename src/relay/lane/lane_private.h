/*
 * lane_private.h - functions that lane.c and lane_verdict.c call in each other. lane.c sends pieces
 * and waits for responses, lane_verdict.c acts on the verdicts.
 *
 * Threads: the destination's thread only, without a lock.
 */
#ifndef RELAY_LANE_LANE_PRIVATE_H
#define RELAY_LANE_LANE_PRIVATE_H

#include <assert.h>

#include "relay/lane/lane.h"

/* The piece of an attempt that is not free. */
static inline struct call_piece *
piece_of(const struct attempt *a)
{
    struct call_piece *piece = isolate_taken(&a->lane->pieces, a->number);
    assert(piece != NULL); /* invariant 2 of lane.c */
    return piece;
}

/* --- lane.c ----------------------------------------------------------------------------------- */

/* Frees an attempt, whose piece was settled or replaced. */
void lane_end_attempt(struct lanes *lanes, struct attempt *a);
/* Removes a settled piece of an attempt. `delivered`: all of it was, by the first response. */
void lane_piece_gone(struct lanes *lanes, struct attempt *a, bool delivered);

/* --- lane_verdict.c --------------------------------------------------------------------------- */

/* Returns the number of samples in a piece. */
uint32_t lane_piece_samples(const struct lane *lane, const struct call_piece *piece);
/* Makes the lane pause (pace.h); other lanes are not affected. */
void lane_back_off(struct lanes *lanes, struct lane *lane, int64_t retry_after_ms);
/* Halves a piece of which some items are refused. False if memory is refused. */
bool lane_halve(struct lanes *lanes, struct lane *lane, struct call_piece *piece);
/* Tries again to write the letters of an attempt's dead piece. */
void lane_bury_again(struct lanes *lanes, struct attempt *a);
/* Acts on the verdict on an attempt. */
void lane_judge(struct lanes *lanes, struct attempt *a, const struct writer_step *step);

#endif
