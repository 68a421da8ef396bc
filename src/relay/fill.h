/*
 * fill.h - what the store has, for a destination that wants what the log no longer has: everything
 * in parts that came in a stretch of the log, by windows of time, in a window tenant by tenant,
 * there series by series in label order with samples in time order, then exemplars; at the end the
 * families' metadata.
 *
 * Items are numbered as they come by; their positions begin at fill_first_pos(), and no position
 * of the log is among them. What was given can be loaded again by its position until it is
 * passed: some of it is kept, the rest is read again from the store, and checked to be the same.
 *
 * Threads: one.
 */
#ifndef RELAY_FILL_H
#define RELAY_FILL_H

#include "relay/chunk.h"
#include "relay/selection.h"
#include "tsdb/tsdb.h"

/* The position of the first item of a fill. */
uint64_t fill_first_pos(uint32_t number);

struct fill_options {
    struct env *env;
    struct tsdb *tsdb;
    const char *name;
    const struct selection *selection;
    struct budget *memory;
    struct tsdb_stretch stretch;
    int64_t min_ms; /* samples before are not wanted */
    int64_t window_ms;
    bool takes_metadata;
    size_t kept_bytes; /* of chunks, that need not be read again */
};

struct fill;
/* `place`: what fill_place() said of item `pos`, or empty: from the beginning. ERR_CORRUPT: it
 * makes no sense; ERR_NOMEM. */
MUST_CHECK enum err fill_open(const struct fill_options *options, uint64_t pos, struct bytes place,
                              struct fill **ret_fill, struct why *why);
void fill_close(struct fill *fill);

/*
 * The next items; a view until they are passed. ERR_MISSING: there is nothing more. ERR_IO,
 * ERR_NOMEM: the same call again.
 */
MUST_CHECK enum err fill_next(struct fill *fill, const struct chunk **ret_chunk, struct why *why);
/*
 * A chunk that was given and not passed, by its position; a view until the next call of this
 * function. ERR_CORRUPT: the store has changed, it is not what it was any more. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err fill_load(struct fill *fill, uint64_t pos, const struct chunk **ret_chunk,
                              struct why *why);
/* Items before this position are not needed any more. */
void fill_pass(struct fill *fill, uint64_t pos);
/* After what was given. */
uint64_t fill_pos(const struct fill *fill);
/*
 * Puts where reading goes on for who wants to begin with this item, which was given and not passed,
 * or would be the next. Errors as fill_load().
 */
MUST_CHECK enum err fill_place(struct fill *fill, uint64_t pos, struct buf *to, struct why *why);
/* Whether these bytes are what fill_place() puts, or none. */
bool fill_place_is_one(struct bytes place);
/* Adds what was met of stored samples that are not given, since the fill was opened. */
void fill_left_out(struct fill *fill, struct samples_left_out *add_to);
/* Whether something of the store could not be read, and was not handed on. */
bool fill_met_damage(const struct fill *fill);
/* Lets go of the parts that are being read, so that they may be removed; they are found again. */
void fill_rest(struct fill *fill);

#endif
