/*
 * window.h - the pending records: the fate of each of their items, and from that the cursor, which
 * is the position of the first open item. Items may be settled in any order.
 *
 * Threads: one.
 */
#ifndef RELAY_STATE_WINDOW_H
#define RELAY_STATE_WINDOW_H

#include "relay/feed/chunk.h"
#include "relay/state/fate.h"

struct window;
/* Makes a window without records. ERR_NOMEM. */
MUST_CHECK enum err window_new(struct budget *memory, struct relay_cursor cursor,
                               struct window **ret_window);
void window_free(struct window *window);

/*
 * Adds a record whose items are all open. Its position must not be before that of the record pushed
 * last. `ret_record` is its number; numbers are consecutive.
 * ERR_NOMEM; ERR_AGAIN: the window is full.
 */
MUST_CHECK enum err window_push(struct window *window, const struct chunk *chunk,
                                uint64_t *ret_record);
/*
 * Adds `count` items of the log that cannot be read, before the record at `pos` that is pushed
 * next: they count as taken and are settled as `fate`. ERR_NOMEM, ERR_AGAIN: nothing was changed.
 */
MUST_CHECK enum err window_push_lost(struct window *window, uint64_t pos, uint64_t segment,
                                     enum item_kind kind, uint64_t count, uint8_t fate);
/*
 * Says that `taken` items of the record pushed last are wanted and that `repeats` of these were
 * counted before; which ones is unknown. As many items that do not become dead letters, of this
 * record or of later ones, are settled as repeated.
 */
void window_note_taken(struct window *window, uint32_t taken, uint32_t repeats);
/* Settles `count` open items of a record from `first` on. ERR_NOMEM: they are still open. */
MUST_CHECK enum err window_settle(struct window *window, uint64_t record, uint32_t first,
                                  uint32_t count, uint8_t fate);
/* Allocates what settling items of this record needs, so that it cannot fail. ERR_NOMEM. */
MUST_CHECK enum err window_reserve(struct window *window, uint64_t record);
/* Place at which a record can be read again. */
struct window_place {
    uint64_t pos;
    uint64_t segment;
    int64_t realtime_ms;
};
struct window_place window_place(const struct window *window, uint64_t record);

/* Moves the cursor forward to `to`, while no item is open: the log has nothing before it. */
void window_skip(struct window *window, struct relay_cursor to);

/*
 * Removes the oldest records as far as they are settled. `ret_before` (may be NULL) has the fates
 * of all items before the cursor, since the window was made.
 */
void window_cursor(struct window *window, struct relay_cursor *ret_cursor,
                   struct fates *ret_before);
/* The same cursor as states have it: an item of the store has a position of its own. */
struct relay_cursor window_saved_cursor(struct window *window, struct fates *ret_before);
/* Items taken before the cursor since the window was made, without repeats. Call window_cursor()
 * first. */
uint64_t window_taken_before(const struct window *window, enum item_kind kind);
/* Items of the records in the window, wanted or not. */
uint64_t window_held(const struct window *window, enum item_kind kind);
/* Repeats not settled as such so far; may exceed the open items if too many became dead letters. */
uint64_t window_repeats_open(const struct window *window, enum item_kind kind);
/* The fates of all items settled since the window was made, also after the cursor. A view. */
const struct fates *window_fates(const struct window *window);
/* Records in the window, open items in them, and the segment of the oldest (0 if it is empty). */
uint64_t window_records(const struct window *window);
uint64_t window_open(const struct window *window, enum item_kind kind);
uint64_t window_segment(const struct window *window);
/* Unix time at which the oldest record was committed; 0 if unknown or the window is empty. */
int64_t window_oldest_ms(const struct window *window);

/* Asserts the invariants at the top of window.c. Reads every item's fate: for tests and debug
 * builds. */
void window_validate(const struct window *window);

#endif
