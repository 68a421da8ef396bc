/*
 * fill.h - reads from the store what a destination needs and the log no longer has: everything in
 * parts that came in a stretch of the log. It comes by windows of time; in a window tenant by
 * tenant; of a tenant series by series in label order with samples in time order, then exemplars;
 * after all windows the metadata of families.
 *
 * Items are numbered in this order. Their positions begin at fill_first_pos(), and none of them is
 * a position of the log. Items that were given can be loaded again by their position until they are
 * passed: some are kept, the others are read again from the store and compared.
 *
 * Threads: one.
 */
#ifndef RELAY_FEED_FILL_H
#define RELAY_FEED_FILL_H

#include "relay/feed/log_items.h"
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
    int64_t min_ms; /* samples before it are not wanted */
    int64_t window_ms;
    bool takes_metadata;
    size_t kept_bytes; /* bytes of chunks that are kept so that they need not be read again */
};

struct fill;
/* `place` is the place that fill_place() put for item `pos`, or empty to begin at the first item.
 * ERR_CORRUPT: the place is invalid; ERR_NOMEM. */
MUST_CHECK enum err fill_open(const struct fill_options *options, uint64_t pos, struct bytes place,
                              struct fill **ret_fill, struct why *why);
void fill_close(struct fill *fill);

/*
 * Gives the next items; a view until they are passed. ERR_MISSING: there are no more. ERR_IO,
 * ERR_NOMEM: repeat the call.
 */
MUST_CHECK enum err fill_next(struct fill *fill, const struct chunk **ret_chunk, struct why *why);
/*
 * Gives again the chunk with the item at `pos`, which was given and not passed; a view until the
 * next call of this function. ERR_CORRUPT: the store has changed since. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err fill_load(struct fill *fill, uint64_t pos, const struct chunk **ret_chunk,
                              struct why *why);
/* Forgets the items before this position. */
void fill_pass(struct fill *fill, uint64_t pos);
/* The position of the next item. */
uint64_t fill_pos(const struct fill *fill);
/*
 * Appends the place from which another fill begins with item `pos`, which was given and not passed,
 * or is the next one. Errors as fill_load().
 */
MUST_CHECK enum err fill_place(struct fill *fill, uint64_t pos, struct buf *to, struct why *why);
/* True if the bytes are a valid place, or empty. */
bool fill_place_is_one(struct bytes place);
/* Adds the numbers of stored samples that were read and not given, since the fill was opened. */
void fill_left_out(struct fill *fill, struct samples_left_out *add_to);
/* True if something in the store could not be read, and was skipped. */
bool fill_found_damage(const struct fill *fill);
/* Releases the parts that are being read, so that they may be removed; they are opened again when
 * needed. */
void fill_rest(struct fill *fill);

#endif
