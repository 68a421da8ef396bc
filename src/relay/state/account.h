/*
 * account.h - the items that are pending, and counts of what a destination has taken: all items of
 * the log that it wants, whether they were read or not. For each kind
 *
 *     taken = delivered + dead-lettered + dropped{reason} + queued
 *
 * Owner: the relay. Only account.c writes the fields; others read those of the first group.
 *
 * Threads: one.
 */
#ifndef RELAY_STATE_ACCOUNT_H
#define RELAY_STATE_ACCOUNT_H

#include "relay/feed/feed.h"
#include "relay/feed/log_items.h"
#include "relay/options.h"
#include "relay/state/saving.h"
#include "relay/state/state.h"

/* --- pending records -------------------------------------------------------------------------- */

/* The fate of each of their items, and from that the cursor, which is the position of the first
 * open item. Items may be settled in any order. Only window.c writes the fields. */
struct window_record {
    uint64_t pos;
    uint64_t end_pos;
    uint64_t segment;
    int64_t realtime_ms;
    uint32_t count;
    uint32_t open;
    uint32_t taken;    /* wanted items among `count` */
    uint32_t repeats;  /* repeats among them that are not settled so far */
    uint32_t repeated; /* items settled as FATE_REPEATED */
    uint8_t kind;
    uint8_t fate;   /* fate of all items if `fates` is NULL */
    uint8_t *fates; /* fates of `count` items; NULL if they are all the same */
};

struct window {
    struct budget *memory;
    struct window_record *ring;
    uint32_t capacity;          /* a power of two */
    uint64_t first;             /* number of the oldest record */
    uint64_t next;              /* number of the record that is pushed next */
    struct relay_cursor cursor; /* after the records that were removed */
    struct fates before;        /* fates of items in records that were removed */
    struct fates all;           /* fates of all settled items since then, also after the cursor */
    uint64_t open[ITEM_KIND_COUNT];         /* open items in the ring */
    uint64_t taken_before[ITEM_KIND_COUNT]; /* items taken in records that were removed */
    uint64_t held[ITEM_KIND_COUNT];         /* items in the ring, wanted or not */
    /* Repeats not settled as such so far; may exceed the open items if too many became dead
     * letters.
     */
    uint64_t repeats_open[ITEM_KIND_COUNT];
    uint64_t debt[ITEM_KIND_COUNT]; /* open repeats that later records must pay */
};
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
/* The segment of the oldest record; 0 if the window is empty. */
uint64_t window_segment(const struct window *window);
/* Unix time at which the oldest record was committed; 0 if unknown or the window is empty. */
int64_t window_oldest_ms(const struct window *window);

/* Asserts the invariants at the top of window.c. Reads every item's fate: for tests and debug
 * builds. */
void window_validate(const struct window *window);

/* --- account ---------------------------------------------------------------------------------- */

/* Items after the reading position that were counted in advance. */
struct read_ahead {
    struct log_items *log; /* a second reader that counts; NULL while nothing is counted */
    struct chunk chunk;    /* the chunk it read last */
    uint64_t pos;          /* position of the log up to which items are counted; 0 if none are */
    int64_t count[ITEM_KIND_COUNT];
    /* Items that could not be counted because they cannot be read: at most so many more may come,
     * and count as taken then. UINT64_MAX if their number is unknown. */
    uint64_t margin[ITEM_KIND_COUNT];
    struct log_count log_count; /* items that the log had accepted at `pos`, by its totals */
    uint64_t whole_pos; /* the end of the log where the count was compared with its totals last */
    bool blind;         /* items after `pos` cannot be counted, as the log no longer has them */
    bool met_damage;    /* part of what is counted could not be read: the rest may be lost */
    bool lasting;       /* items of a lost part of the log are included: the count is saved */
    int64_t behind_ns;  /* monotonic time since which the log has more than was read; 0 if not */
};

struct account {
    struct fates base; /* fates of all items before the window */
    struct read_ahead ahead;

    const struct relay_context *context;
    struct feed *feed;
    struct saving *saving;
    struct window *window;                /* window of the run */
    uint64_t fed[ITEM_KIND_COUNT];        /* wanted items that were read, without repeats */
    uint64_t taken[ITEM_KIND_COUNT];      /* items settled or queued, as counted by reading */
    uint64_t base_taken[ITEM_KIND_COUNT]; /* items among these before the window */
    bool found_damage; /* the store was damaged, since the log was followed last: outlives runs */

    bool is_whole;                         /* all items that the log had at the start are counted */
    uint64_t whole_from_pos;               /* `is_whole` is set at this position of the log, */
    struct log_count whole_count;          /* when this many items were read, counted or lost */
    uint64_t known[ITEM_KIND_COUNT];       /* items taken before `known_pos`, as the state says */
    uint64_t known_pos;                    /* position of the log up to which the state counted */
    uint64_t taken_since[ITEM_KIND_COUNT]; /* items of `taken` after `known_pos` */
};

/* The arguments outlive the account. */
void account_init(struct account *account, const struct relay_context *context, struct feed *feed,
                  struct saving *saving);
/* Begins a run with this state, before the feed does. `window` is the run's. */
void account_begin(struct account *account, const struct relay_state *state, struct window *window);
/* Ends a run, before the feed does. */
void account_end(struct account *account);

/* --- reading ---------------------------------------------------------------------------------- */

/* Counts the items of the feed's chunk, which was pushed into the window last and whose first
 * feed.over items are skipped. Returns the number of unwanted items among the others. */
uint32_t account_chunk(struct account *account);
/* True if nothing is counted in advance, or all up to this chunk of the log. */
bool account_is_ahead(const struct account *account, const struct chunk *chunk);
/* Counts the lost items of one kind before a chunk as dropped. account_is_ahead(). ERR_NOMEM,
 * ERR_AGAIN. */
MUST_CHECK enum err account_lost(struct account *account, const struct chunk *chunk, unsigned kind);
/* True if all items before `pos` of the log were read or counted, or cannot be. */
bool account_knows(const struct account *account, uint64_t pos);
/* Counts items of the log after the reading position, once the relay has lagged for a while or is
 * paused. True if there is more to be counted. */
bool account_read_ahead(struct account *account, const struct relay_state *state, bool is_paused);
/* Accounts for counted items that never came, once reading has reached the end of the count. The
 * state then expects none. */
void account_close(struct account *account, struct relay_state *state);

/* Items taken from log and store, without repeats. */
uint64_t account_taken(const struct account *account, enum item_kind kind);
/* Items taken before the cursor. */
uint64_t account_taken_before(const struct account *account, enum item_kind kind);
/* Items taken that are not settled. */
uint64_t account_queued(const struct account *account, enum item_kind kind);
/* Items taken that are neither settled nor queued: 0 unless something was miscounted. */
int64_t account_difference(const struct account *account, enum item_kind kind);

/* `count` items before the cursor that were settled as `from` are settled as `to`. */
void account_move(struct account *account, enum item_kind kind, unsigned from, unsigned to,
                  uint64_t count);

/* --- states ----------------------------------------------------------------------------------- */

/* Once all that the log had at the start of the run is counted, counts items as lost that the state
 * has counted and the log no longer has. */
void account_found(struct account *account, const struct relay_state *state);
/* The items expected after the cursor, for the state; `before` has the fates before the cursor. */
void account_expected(const struct account *account, const struct fates *before,
                      struct relay_expected *ret_expected);
/* Items taken; at least as many as the state says until account_found() is done, or while the store
 * may have what the log lost. */
void account_counted(const struct account *account, const struct relay_state *state,
                     uint64_t ret_counted[ITEM_KIND_COUNT]);
/* Writes the same, and the log's totals, into the next state, so far a copy of the last one. */
void account_remember(const struct account *account, struct relay_state *next);
/* The state with what is expected is durable. */
void account_saved(struct account *account, const struct relay_state *state);
/* Extends a margin over the items of the log from `count` to `to`, without limit if one of them is
 * unknown. `count` becomes `to`. */
void account_widen(const struct log_count *to, struct log_count *count,
                   uint64_t margin[ITEM_KIND_COUNT]);
/* Completes the state `next`, with which the relay leaves the log for the store: settles what the
 * store cannot have, and sets the items expected. `before` has the fates before the cursor. */
void account_leave(struct account *account, const struct fates *before, struct relay_state *next);

#endif
