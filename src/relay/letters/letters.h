/*
 * letters.h - the dead letters of an open destination: their files, the letters that are being sent
 * again, and their part of the account, which is stored apart and kept consistent with the files.
 *
 * Owner: the relay. Only letters_account.c and letters_replay.c write the fields.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTERS_H
#define RELAY_LETTERS_LETTERS_H

#include "relay/context.h"
#include "relay/letters/dead_letters.h"
#include "relay/state/account.h"
#include "relay/state/saving.h"
#include "relay/state/window.h"

/* Identifies a dead letter by the position of its item in the log. */
struct replay_id {
    uint64_t pos;
    uint32_t index;
    enum item_kind kind;
};

/* Letters that are sent again. */
struct replays {
    struct replay_id *ids; /* letters that were handed out; they are called by their index */
    uint32_t count, capacity;
    struct replay_id waiting;  /* a letter that had no room in a call */
    bool waits;                /* there is one */
    struct replay_id *arrived; /* letters that were delivered since the last save */
    uint32_t arrived_count, arrived_capacity;
};

struct letters {
    struct dead_letters *files; /* open during a run; otherwise NULL */

    const struct relay_context *context;
    struct account *account;
    struct saving *saving;
    struct window *window; /* the window of the run */
    struct replays replays;
};

/* The arguments outlive the letters. */
void letters_init(struct letters *letters, const struct relay_context *context,
                  struct account *account, struct saving *saving);
/* Begins a run: opens the files, which must agree with `state`; counts and logs what was lost, or
 * is back. Errors as dead_letters_open(). */
MUST_CHECK enum err letters_begin(struct letters *letters, const struct relay_state *state,
                                  struct window *window, struct why *why);
void letters_end(struct letters *letters);

/* --- letters_account.c ------------------------------------------------------------------------ */

/* Carries out what operator, budget and age decide about dead letters. Errors as
 * dead_letters_tend(): the rest waits for the next call. */
MUST_CHECK enum err letters_tend(struct letters *letters, struct why *why);
/* The mark of the letters, which are synced, for the next state; `before` has the fates of this run
 * before its cursor. */
void letters_remember(const struct letters *letters, const struct fates *before,
                      struct letters_mark *ret_mark);
/* Revokes the letters of items after the cursor of the durable `state`, which are read again under
 * other positions, and updates the state's mark. After an error the run must end. */
MUST_CHECK enum err letters_take_back(struct letters *letters, struct relay_state *state,
                                      struct why *why);
/* A letter that was sent again is settled. */
void letters_replayed(struct letters *letters, const struct replay_id *id, uint8_t fate);

/* --- letters_replay.c ------------------------------------------------------------------------- */

/* True if letters are to be sent again. */
bool letters_replay_has(const struct letters *letters);
/*
 * Gives the next letter that is to be sent again, and its index; a view until the next call.
 * ERR_MISSING: all were given; ERR_NOMEM. It is given again until letters_replay_handed_on().
 */
MUST_CHECK enum err letters_replay_next(struct letters *letters, struct dead_letter *ret_letter,
                                        uint32_t *ret_index, struct why *why);
/* The letter given last is in a call, or settled. */
void letters_replay_handed_on(struct letters *letters);
/* The letter given last, at `index`, had no room in a call. */
void letters_replay_wait(struct letters *letters, uint32_t index);
/* No letter is in a call: indexes begin again. */
void letters_replay_clear(struct letters *letters);
/* Reads again the letter at `index`. ERR_MISSING: the letter is gone. */
MUST_CHECK enum err letters_replay_load(struct letters *letters, uint32_t index,
                                        struct item *ret_item, struct why *why);
/* Settles `count` letters from `index` on: as delivered, once the state is saved, or as letters
 * again. */
MUST_CHECK enum err letters_replay_settle(struct letters *letters, uint32_t index, uint32_t count,
                                          bool delivered, const char *reason, const char *answer);
/* The state is saved: letters that were delivered before it are settled. Durable with the next
 * save. */
void letters_replay_saved(struct letters *letters);
void letters_replay_end(struct letters *letters);

#endif
