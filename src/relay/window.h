/*
 * window.h - the records under way: what became of each of their items, and so how far everything
 * is settled. Settling may come in any order; the cursor is where the first open item is.
 *
 * Threads: one.
 */
#ifndef RELAY_WINDOW_H
#define RELAY_WINDOW_H

#include "relay/fate.h"

struct chunk;

/* Where to go on after a restart. */
struct relay_cursor {
    uint64_t pos;   /* of the first record that is not wholly settled; what is before it, is */
    uint32_t index; /* of its first item that is not */
};

struct window;
/* Begins with nothing under way. ERR_NOMEM. */
MUST_CHECK enum err window_new(struct budget *memory, struct relay_cursor cursor,
                               struct window **ret_window);
void window_free(struct window *window);

/*
 * A record, all of its items open; `ret_record` is its number, which rises by one each time.
 * ERR_NOMEM; ERR_AGAIN: too many are under way.
 */
MUST_CHECK enum err window_push(struct window *window, const struct chunk *chunk,
                                uint64_t *ret_record);
/*
 * `count` items of the log that cannot be read stand before what is pushed next, at `pos`: they are
 * taken, and settled as `fate`. ERR_NOMEM, ERR_AGAIN: nothing was done.
 */
MUST_CHECK enum err window_push_lost(struct window *window, uint64_t pos, uint64_t segment,
                                     enum item_kind kind, uint64_t count, uint8_t fate);
/*
 * Of the record pushed last `taken` items are wanted, and `repeats` of these were counted before,
 * it is not known which: as many that do not become dead letters, of this record or of later ones,
 * are settled as repeated.
 */
void window_note_taken(struct window *window, uint32_t taken, uint32_t repeats);
/* `count` items of a record from `first` on, all of them open. ERR_NOMEM: they still are. */
MUST_CHECK enum err window_settle(struct window *window, uint64_t record, uint32_t first,
                                  uint32_t count, uint8_t fate);
/*
 * An item that is settled as `from` is so as `to`; once more is no error. `pos` and `index` are its
 * identity. `ret_there`: false if it is settled in another way, as what was so
 * before a restart is, or its record is not here any more. ERR_NOMEM.
 */
MUST_CHECK enum err window_change(struct window *window, uint64_t pos, uint32_t index, uint8_t from,
                                  uint8_t to, bool *ret_there);
/* All items that are settled as `from`. Adds how many those are. */
void window_change_all(struct window *window, uint8_t from, uint8_t to,
                       uint64_t counts[ITEM_KIND_COUNT]);
/* Settling items of this record needs no memory any more. ERR_NOMEM. */
MUST_CHECK enum err window_reserve(struct window *window, uint64_t record);
/* Where a record is read again. */
struct window_place {
    uint64_t pos;
    uint64_t segment;
    int64_t realtime_ms;
};
struct window_place window_place(const struct window *window, uint64_t record);

/* With nothing under way: nothing before this cursor ever will be. */
void window_skip(struct window *window, struct relay_cursor to);

/*
 * Forgets what is settled from the beginning on. `ret_cursor`: up to where that is, and
 * `ret_before`, if not NULL: what became of everything before it since the window was made.
 */
void window_cursor(struct window *window, struct relay_cursor *ret_cursor,
                   struct fates *ret_before);
/* Items taken, as they were noted, of what window_cursor() says is before the cursor: of all since
 * the window was made. Repeats are not among them. */
uint64_t window_taken_before(const struct window *window, enum item_kind kind);
/* Items of the records under way, wanted or not. */
uint64_t window_held(const struct window *window, enum item_kind kind);
/* Repeats not yet settled as such; more than are open, if too many became dead letters. */
uint64_t window_repeats_open(const struct window *window, enum item_kind kind);
/* Everything that was settled since the window was made, also after the cursor. */
const struct fates *window_fates(const struct window *window);
/* Records under way, open items among them, and the segment of the oldest (0: there is none). */
uint64_t window_records(const struct window *window);
uint64_t window_open(const struct window *window, enum item_kind kind);
uint64_t window_segment(const struct window *window);
/* When the oldest record under way was committed; 0: nothing is, or it is not known. */
int64_t window_oldest_ms(const struct window *window);

#endif
