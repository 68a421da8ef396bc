/*
 * input.h - what decoders of inputs/ have in common: each reads the message of another protocol
 * into a struct rw_request (wire/remote/remote_write_fill.h). A point that cannot be a sample is
 * refused, and those beside it are taken.
 */
#ifndef INPUTS_INPUT_H
#define INPUTS_INPUT_H

#include "wire/remote/remote_write_fill.h"

struct input_outcome {
    uint64_t points;  /* of the message */
    uint64_t refused; /* of these */
    uint64_t deltas;  /* of the others: what was added since the point before */
    struct why first; /* why the first was */
    uint64_t line;    /* of lines: the number of that, from 1 */
    char line_text[72];
};

/* Counts refused points, for the reason that was set in `why`. */
static inline void
input_refuse(struct input_outcome *outcome, uint64_t points, const struct why *why)
{
    if (outcome->refused == 0) outcome->first = *why;
    outcome->refused += points;
}

/* Sorts labels by name, and drops those without a value. False: a name is there twice. */
bool input_sort_labels(struct label *labels, uint32_t *count);

/* Takes the next word of a line off it, before a blank or a tab; empty at the end. */
struct bytes input_word(struct bytes *line);

/* Ends a request that was filled, or after an error clears it. Returns the error: of ERR_INPUT,
 * `why` is set. */
MUST_CHECK enum err input_end(struct rw_request *to, enum err e, struct why *why);

#endif
