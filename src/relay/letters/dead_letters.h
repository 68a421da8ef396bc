/*
 * dead_letters.h - items that a destination refused permanently, or cannot represent: kept whole,
 * with the reason, until an operator decides. Format: docs/format/relay.md.
 *
 * They are in files of some megabytes under DIR/dead-letters. Only the relay writes these; an
 * operator's decisions come as files of requests in the same directory, which any process may write
 * (relay/operate/dead_letters_command.h), whether a server runs or not.
 *
 * A letter is identified by the position of its record in the log and its index in it. Half a byte
 * of memory is kept for each letter; identities are kept only for letters of items that are read
 * again, as the state says at opening, and for those that are being replayed.
 *
 * The destination's state says what the files held when it was written (letters_mark.h). So a
 * reader can distinguish damage from the effects of a crash, and count letters that are lost or
 * back; a file is removed only after two states in a row say that it held nothing.
 *
 * Threads: one for a struct dead_letters.
 */
#ifndef RELAY_LETTERS_DEAD_LETTERS_H
#define RELAY_LETTERS_DEAD_LETTERS_H

#include "backend/item.h"
#include "base/buf.h"
#include "sys/env.h"

/* The number of damaged places that are reported, and the size of the text for one. */
enum { DEAD_LETTERS_TEXTS = 8, DEAD_LETTERS_TEXT_BYTES = 384 };

/* An operator's decision. The numbers are stored. */
enum dead_letters_wish { DEAD_LETTERS_REPLAY = 0, DEAD_LETTERS_DROP = 1 };

struct dead_letter {
    uint64_t pos;
    uint32_t index;
    struct item item;
    struct bytes reason; /* one word */
    struct bytes answer; /* text of the destination's response; may be empty */
    int64_t failed_ms;   /* Unix time */
};

struct dead_letters;
struct letters_mark;
struct letters_account;
struct letters_found;
struct letters_known;
/* Why a letter changes. */
enum letter_move {
    LETTER_AGAIN,      /* an operator wants it sent again */
    LETTER_DROPPED,    /* an operator dropped it */
    LETTER_FULL,       /* it was dropped for the budget or its age */
    LETTER_AGAIN_FULL, /* the same for a letter that was being sent again */
};
struct dead_letters_options {
    struct env *env;
    const char *dir; /* the destination's directory, which exists; outlives the letters */
    const struct letters_known *known; /* borrowed during the opening; NULL without a state */
    struct budget *memory;
    uint64_t max_bytes;
    int64_t max_age_ms; /* 0 if unlimited */
    /*
     * Called before a letter moves, perhaps more than once for one move. `ret_counted`: the callee
     * has counted the move, and dead_letters_moved leaves it to it. NULL if not needed.
     */
    enum err (*moves)(void *context, const struct dead_letter *letter, enum letter_move move,
                      bool *ret_counted);
    void *context;
};

/*
 * Reads all letters. Nothing is created on disk before the first letter. Items at or after the
 * cursor may be added again by a relay that begins there, which is recognized. Damaged letters are
 * skipped and counted: if the files differ from what the state says, the next dead_letters_tend()
 * cancels replays, as it is unknown which of them were finished. ERR_UNSUPPORTED: a newer version
 * wrote them; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err dead_letters_open(const struct dead_letters_options *options,
                                      struct dead_letters **ret_letters, struct why *why);
/* Abandons what was not synced. */
void dead_letters_free(struct dead_letters *letters);
/* The findings of the opening, and the changes to the account that follow from them. Views. */
const struct letters_found *dead_letters_found(const struct dead_letters *letters);
const struct letters_account *dead_letters_account(const struct dead_letters *letters);

/*
 * Adds a letter, durably with the next sync. A letter that is added again after a restart counts
 * once, replaces the earlier one, and ends its replay. ERR_LIMIT: it has more than 16 MiB. After
 * any error (also ERR_IO, ERR_FULL) nothing was added.
 */
MUST_CHECK enum err dead_letters_add(struct dead_letters *letters, const struct dead_letter *letter,
                                     struct why *why);
/*
 * Removes the letter of an item that was added before a crash and settled otherwise after it. For
 * other items it does nothing, at little cost. Durable with the next sync; after an error nothing
 * was changed.
 */
MUST_CHECK enum err dead_letters_revoke(struct dead_letters *letters, uint64_t pos, uint32_t index,
                                        struct why *why);
/* Removes all letters of items that are read again, as known since the opening. After an error some
 * of them. */
MUST_CHECK enum err dead_letters_revoke_known(struct dead_letters *letters, struct why *why);
/*
 * Counts letters of items that are read again if the relay continues with the state `next`, so that
 * its account does not include them. Call it before that state is written. Reads all files.
 */
MUST_CHECK enum err dead_letters_count_again(struct dead_letters *letters,
                                             const struct letters_known *next,
                                             uint64_t ret_kept[ITEM_KIND_COUNT],
                                             uint64_t ret_replaying[ITEM_KIND_COUNT],
                                             struct why *why);
/* Makes all changes durable. After an error they wait for the next sync. */
MUST_CHECK enum err dead_letters_sync(struct dead_letters *letters, struct why *why);

/* Fills in the mark for the next state, except `replaying`. All changes are synced. */
void dead_letters_mark(struct dead_letters *letters, struct letters_mark *ret_mark);
/* The state with the last mark is durable. */
void dead_letters_saved(struct dead_letters *letters);

struct dead_letters_counts {
    uint64_t letters[ITEM_KIND_COUNT]; /* letters without a decision */
    uint64_t replaying[ITEM_KIND_COUNT];
    uint64_t bytes;   /* bytes of the files */
    uint64_t damaged; /* damaged places in them, of one or more letters each */
};
void dead_letters_counts(const struct dead_letters *letters,
                         struct dead_letters_counts *ret_counts);

/*
 * Carries out requests, and enforces budget and age: durable on return. Adds the letters that moved
 * to `ret_moved`, also after an error: each move is reported once, and the rest waits for the next
 * call. Syncs, as dead_letters_sync(). May read all files after a request, and a file that is
 * dropped. Files are removed after dead_letters_saved() was called twice.
 */
struct dead_letters_moved {
    uint64_t replaying[ITEM_KIND_COUNT];
    uint64_t dropped[ITEM_KIND_COUNT]; /* dropped by the operator; none that was being replayed */
    /* Oldest letters dropped for the budget or their age, with those that were being replayed. */
    uint64_t dropped_full[ITEM_KIND_COUNT];
    /* Moves that moves() has counted, without letters that were being replayed. */
    uint64_t counted[ITEM_KIND_COUNT];
    uint64_t counted_dropped[ITEM_KIND_COUNT]; /* part of `dropped` that is counted */
    uint64_t counted_full[ITEM_KIND_COUNT]; /* part of `dropped_full` that is counted, with letters
                                               that were being replayed */
    /* Letters that cannot be read any more, with those that were being replayed. */
    uint64_t lost[ITEM_KIND_COUNT];
    uint64_t counted_lost[ITEM_KIND_COUNT]; /* set by the caller: lost ones that it has counted */
    char lost_at[DEAD_LETTERS_TEXT_BYTES];  /* place of the first lost letter */
    uint64_t called_off;                    /* canceled replays, which are letters again */
    uint64_t requests_damaged;              /* damaged requests, which were removed */
    bool waits; /* more can be removed after the next state is written */
};
MUST_CHECK enum err dead_letters_tend(struct dead_letters *letters, int64_t now_ms,
                                      struct dead_letters_moved *ret_moved, struct why *why);

/*
 * Calls `each` for every live letter, whether it is `kept` or being replayed, so that the caller
 * can find those that moved.lost counts. Reads all files. Forwards errors of `each`; syncs, as
 * dead_letters_sync().
 */
MUST_CHECK enum err dead_letters_each_alive(struct dead_letters *letters,
                                            enum err (*each)(void *context,
                                                             const struct dead_letter *letter,
                                                             bool kept),
                                            void *context, struct why *why);

/*
 * Gives the next letter to be replayed, oldest first; a view until the next call. ERR_MISSING:
 * there is none. Each is given once after an open, and is replaying until it is settled.
 */
MUST_CHECK enum err dead_letters_next_replay(struct dead_letters *letters,
                                             struct dead_letter *ret_letter, struct why *why);
/*
 * Gives again a letter that was given, by its identity; a view until the next call. ERR_MISSING: it
 * was not given or is settled, or it was removed meanwhile: for the budget or its age
 * (dead_letters_tend() has counted it), or because it cannot be read any more (it is counted as
 * damaged).
 */
MUST_CHECK enum err dead_letters_load(struct dead_letters *letters, uint64_t pos, uint32_t index,
                                      struct dead_letter *ret_letter, struct why *why);
/*
 * Removes a letter that was delivered; otherwise keeps it as the youngest one, with a new reason
 * and answer. Durable with the next sync; after a crash before that it is replayed again.
 * ERR_MISSING: as above, and the caller counts nothing. After other errors it is unchanged.
 */
MUST_CHECK enum err dead_letters_settle(struct dead_letters *letters, uint64_t pos, uint32_t index,
                                        bool delivered, struct bytes reason, struct bytes answer,
                                        int64_t now_ms, struct why *why);

#endif
