/*
 * letters.h - the dead letters of an open destination: items that it refused permanently, or cannot
 * represent, kept whole with the reason until an operator decides. Format: docs/format/relay.md.
 *
 * Files of lines under DIR/dead-letters; the relay owns them while it is open. A line is written
 * when the cursor passes its item: so every line is of an item that is settled for good, the number
 * of lines is the account's number of dead letters, and a restart cuts what its state does not
 * know. Until then the line waits in `ahead`, and after a restart its item is read again.
 *
 * A replay gives the lines of the oldest file to the lanes, again in an order of its own: a line
 * leaves the account's dead letters when all lines before it are settled, in the same state in
 * which it is delivered, or a new line exists.
 *
 * Owner: the relay. Only letters.c, letters_tend.c and letters_replay.c write the fields.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTERS_H
#define RELAY_LETTERS_LETTERS_H

#include "relay/context.h"
#include "relay/letters/letter_line.h"
#include "relay/state/account.h"
#include "relay/state/letter_list.h"
#include "relay/state/saving.h"
#include "relay/state/window.h"

/* A line that waits until the cursor, or the replay, has passed its item. */
struct letter_ahead {
    uint64_t at; /* offset of the line in the text of all that wait */
    uint32_t size;
    bool replayed; /* `cursor` is the number of the replayed line */
    uint8_t kind;  /* enum item_kind */
    int64_t failed_ms;
    struct relay_cursor cursor; /* position of the item */
};

/* A line that was given to the lanes. */
struct letter_given {
    uint64_t at; /* offset in the text of its file */
    uint32_t size;
    uint8_t kind; /* enum item_kind; ITEM_KIND_COUNT: the line cannot be read */
    uint8_t fate; /* FATE_OPEN, FATE_DELIVERED or FATE_DEAD_LETTERED */
};

/* The replay of one file. Its text is in a file of its own, which a restart makes again. */
struct letters_replay {
    uint32_t number;            /* of the file; 0: none */
    struct file text;           /* the file's lines, unpacked */
    uint64_t end;               /* size of the text */
    uint64_t next_at;           /* offset of the first line that was not given so far */
    struct letter_given *given; /* lines from list.replay_at on */
    uint32_t count, capacity;
    uint32_t first;  /* index of given[0] in calls */
    bool waits;      /* the last of `given` had no room in a call */
    struct buf line; /* the line that was read last */
    struct letter_reader *reader;
};

struct letters {
    bool is_open; /* during a run, except in a dry run */
    struct letter_list list;
    char dir[FILE_PATH_BYTES];

    const struct relay_context *context;
    struct account *account;
    struct saving *saving;
    struct file file;      /* the current file, if open_number is its number */
    uint32_t open_number;  /* 0: it is not open */
    uint32_t saved_number; /* files below it are closed in the durable state */
    uint32_t packed_below; /* files below it are packed */
    uint64_t bytes;        /* of all files, as found by the last letters_tend() */
    bool looked;           /* `bytes` is known */
    struct buf leaving;    /* u32 numbers of files to be removed once the state is durable */

    struct letter_ahead *ahead;
    uint32_t ahead_count, ahead_capacity;
    struct buf lines;  /* the end of the text of all that wait */
    uint64_t lines_at; /* size of the text before it, which is in `spill` */
    struct file spill;
    struct letters_replay replay;
};

/* The arguments outlive the letters. */
void letters_init(struct letters *letters, const struct relay_context *context,
                  struct account *account, struct saving *saving);
/* Begins a run from `state`: removes and cuts what it does not know, and counts lines that are
 * missing. ERR_CORRUPT: the state's list is invalid; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letters_begin(struct letters *letters, const struct relay_state *state,
                                  struct why *why);
void letters_end(struct letters *letters);

/* Adds the letter of an item at or after the cursor. ERR_LIMIT: the line is too long; ERR_IO,
 * ERR_FULL, ERR_NOMEM: nothing was added. */
MUST_CHECK enum err letters_add(struct letters *letters, const struct dead_letter *letter,
                                struct relay_cursor at, struct why *why);
/* Makes durable the lines of all items before `cursor`, for the next state. After an error the rest
 * waits, and the state must not be saved. */
MUST_CHECK enum err letters_write(struct letters *letters, struct relay_cursor cursor,
                                  struct why *why);
/* The state that has letters.list is durable. */
void letters_saved(struct letters *letters);
/* Makes the list of all lines under the destination's directory `dir`, whatever its state says.
 * ERR_IO, ERR_NOMEM. The caller frees the list. */
MUST_CHECK enum err letters_recount(struct env *env, const char *dir, struct budget *memory,
                                    struct letter_list *list, struct why *why);

/* --- letters_tend.c --------------------------------------------------------------------------- */

/* An operator's decision about all lines in files that are not sent again. */
enum letters_wish { LETTERS_REPLAY, LETTERS_DROP };

/* Carries out a decision, with the next state. Returns the number of lines. */
uint64_t letters_decide(struct letters *letters, enum letters_wish wish);
/* Enforces size and age, begins another file where one is due, and packs one that is closed. An
 * error is reported; the rest waits for the next call. */
MUST_CHECK enum err letters_tend(struct letters *letters, struct why *why);

/* --- letters_replay.c ------------------------------------------------------------------------- */

/*
 * Gives the next letter that is to be sent again, and its index in calls; a view until the next
 * call. ERR_MISSING: all have been given; ERR_IO, ERR_NOMEM. It is given again unless
 * letters_replay_handed_on() follows.
 */
MUST_CHECK enum err letters_replay_next(struct letters *letters, struct dead_letter *ret_letter,
                                        uint32_t *ret_index, struct why *why);
/* The letter given last is in a call, or settled. */
void letters_replay_handed_on(struct letters *letters);
/* Reads again the letter at `index`. ERR_MISSING: it cannot be read any more, and is settled;
 * ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letters_replay_load(struct letters *letters, uint32_t index,
                                        struct dead_letter *ret_letter, struct why *why);
/* Settles `count` letters from `index` on: as delivered, or as letters again. ERR_IO, ERR_NOMEM:
 * some may be settled; repeat the call. */
MUST_CHECK enum err letters_replay_settle(struct letters *letters, uint32_t index, uint32_t count,
                                          bool delivered, const char *reason, const char *answer);
/* The number of the first line that is not settled: lines before it may be written, and counted. */
uint32_t letters_replay_cursor(const struct letters *letters);
/* Counts the lines before that number, whose successors are written. */
void letters_replay_count(struct letters *letters, uint32_t cursor);
void letters_replay_end(struct letters *letters);

#endif
