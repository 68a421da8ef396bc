/*
 * dead_letters.h - what a destination refused for good, or has no form for: kept whole, with the
 * reason, until an operator decides. Format: docs/format/relay.md.
 *
 * They lie in files of some megabytes under DIR/dead-letters. The relay alone writes these; an
 * operator's decisions come in as files of requests in the same directory, which any process may
 * make (relay/dead_letters_ask.h), so that deciding works while a server runs and while none does.
 *
 * A letter is identified by the position of its record in the log and its number in there. What is
 * remembered of a letter is half a byte; identities are known only of those that come by again, as
 * the state said when it was opened, and of those that are being replayed.
 *
 * The destination's state says what the files held when it was written (letters_mark.h). So whoever
 * reads them can tell damage from what a crash left, and how many letters are lost or back; and no
 * file goes before two states in a row say that it held nothing any more.
 *
 * Threads: one for a struct dead_letters.
 */
#ifndef RELAY_LETTERS_DEAD_LETTERS_H
#define RELAY_LETTERS_DEAD_LETTERS_H

#include "backend/item.h"
#include "base/buf.h"
#include "sys/env.h"

/* Of places of damage, the first that are told, and the text of one. */
enum { DEAD_LETTERS_TEXTS = 8, DEAD_LETTERS_TEXT_BYTES = 384 };

/* What an operator decides. The numbers are stored. */
enum dead_letters_wish { DEAD_LETTERS_REPLAY = 0, DEAD_LETTERS_DROP = 1 };

struct dead_letter {
    uint64_t pos;
    uint32_t index;
    struct item item;
    struct bytes reason; /* one word */
    struct bytes answer; /* what the destination said; may be empty */
    int64_t failed_ms;   /* Unix time */
};

struct dead_letters;
struct letters_mark;
struct letters_account;
struct letters_found;
struct letters_known;
/* Where a letter goes: an operator wants it sent again, or dropped, or it goes for the budget or
 * its age, kept or while it is sent again. */
enum letter_move { LETTER_AGAIN, LETTER_DROPPED, LETTER_FULL, LETTER_AGAIN_FULL };
struct dead_letters_options {
    struct env *env;
    const char *dir; /* the destination's, which is there; outlives what is opened */
    const struct letters_known *known; /* borrowed for the opening; NULL: nothing is known */
    struct budget *memory;
    uint64_t max_bytes;
    int64_t max_age_ms; /* 0: for ever */
    /*
     * A letter is going to move; perhaps it is said again. `ret_counted`: it is counted there, and
     * not in what moved. NULL: the caller need not know.
     */
    enum err (*moves)(void *context, const struct dead_letter *letter, enum letter_move move,
                      bool *ret_counted);
    void *context;
};

/*
 * Reads all of them. Nothing is made on disk before the first letter. What stands at or after the
 * cursor may be added again by a relay that begins there: that is noticed then. ERR_UNSUPPORTED: a
 * newer version wrote them. ERR_IO, ERR_NOMEM. Damaged letters are skipped, and counted: if not all
 * is as the state says, replays are called off with the next dead_letters_tend(), as it is not
 * known which of them are over.
 */
MUST_CHECK enum err dead_letters_open(const struct dead_letters_options *options,
                                      struct dead_letters **ret_letters, struct why *why);
/* Abandons what was not synced. */
void dead_letters_free(struct dead_letters *letters);
/* What the opening has met, and what becomes of the account then. */
const struct letters_found *dead_letters_found(const struct dead_letters *letters);
const struct letters_account *dead_letters_account(const struct dead_letters *letters);

/*
 * Durable with the next sync. Added again after a restart, it counts once, and what is said last
 * counts; so it does if it was being replayed, which then is over. ERR_LIMIT: it has more than 16
 * MiB. After any error, of the device too (ERR_IO, ERR_FULL), nothing was added.
 */
MUST_CHECK enum err dead_letters_add(struct dead_letters *letters, const struct dead_letter *letter,
                                     struct why *why);
/*
 * An item that was added before a crash was delivered after it: no letter any more. Of others
 * nothing is done, at little cost. Durable with the next sync; after an error nothing was done.
 */
MUST_CHECK enum err dead_letters_revoke(struct dead_letters *letters, uint64_t pos, uint32_t index,
                                        struct why *why);
/* All that come by again, as it seemed when they were opened. After an error some are. */
MUST_CHECK enum err dead_letters_revoke_known(struct dead_letters *letters, struct why *why);
/*
 * Letters of items that come by again if the relay goes on with that state, and so are none of its
 * account; to be asked before it is written. Reads all files.
 */
MUST_CHECK enum err dead_letters_count_again(struct dead_letters *letters,
                                             const struct letters_known *next,
                                             uint64_t ret_kept[ITEM_KIND_COUNT],
                                             uint64_t ret_replaying[ITEM_KIND_COUNT],
                                             struct why *why);
/* After an error all that was said waits for the next one. */
MUST_CHECK enum err dead_letters_sync(struct dead_letters *letters, struct why *why);

/* For the state to be written: all but `replaying`. Everything is synced. */
void dead_letters_mark(struct dead_letters *letters, struct letters_mark *ret_mark);
/* The state with the mark that was asked for last is durable. */
void dead_letters_saved(struct dead_letters *letters);

struct dead_letters_counts {
    uint64_t letters[ITEM_KIND_COUNT]; /* that nothing was decided about */
    uint64_t replaying[ITEM_KIND_COUNT];
    uint64_t bytes;   /* of the files */
    uint64_t damaged; /* places in them, of a letter or more each */
};
void dead_letters_counts(const struct dead_letters *letters,
                         struct dead_letters_counts *ret_counts);

/*
 * Looks for requests, and at budget and age, and acts on them: durable on return. What moved is
 * added to `ret_moved`: to replaying (an operator's replay), or away. After an error, too: what
 * moved is said once, and the rest waits for the next call. Syncs, as dead_letters_sync(). May read
 * all files, after a request, and a file that goes. Files go once dead_letters_saved() was called
 * twice after that.
 */
struct dead_letters_moved {
    uint64_t replaying[ITEM_KIND_COUNT];
    uint64_t dropped[ITEM_KIND_COUNT]; /* by the operator; nothing that is being replayed */
    /* The oldest, for the budget or their age: those that were being replayed are among them. */
    uint64_t dropped_full[ITEM_KIND_COUNT];
    /* Of these together by who is told of each; but for those that were being replayed. */
    uint64_t counted[ITEM_KIND_COUNT];
    uint64_t counted_dropped[ITEM_KIND_COUNT];
    uint64_t counted_full[ITEM_KIND_COUNT]; /* and these, too */
    /* They cannot be read any more; those that were being replayed are among them. */
    uint64_t lost[ITEM_KIND_COUNT];
    uint64_t counted_lost[ITEM_KIND_COUNT]; /* by who looks for them */
    char lost_at[DEAD_LETTERS_TEXT_BYTES];  /* the first place, if there are any */
    uint64_t called_off;                    /* replays: these are letters again */
    uint64_t requests_damaged;              /* and removed */
    bool waits; /* for a state to be written: then more can be removed */
};
MUST_CHECK enum err dead_letters_tend(struct dead_letters *letters, int64_t now_ms,
                                      struct dead_letters_moved *ret_moved, struct why *why);

/*
 * Calls `each` for every letter that is there, `kept` or being replayed: after moved.lost said that
 * some are not. Reads all files. Errors of `each` are forwarded; syncs, as dead_letters_sync().
 */
MUST_CHECK enum err dead_letters_each_alive(struct dead_letters *letters,
                                            enum err (*each)(void *context,
                                                             const struct dead_letter *letter,
                                                             bool kept),
                                            void *context, struct why *why);

/*
 * The next letter that is to be replayed, oldest first; a view until the next call. ERR_MISSING:
 * there is none. Each is given once after an open, and is replaying until it is settled.
 */
MUST_CHECK enum err dead_letters_next_replay(struct dead_letters *letters,
                                             struct dead_letter *ret_letter, struct why *why);
/*
 * A letter that was given, again, by its identity; a view until the next call. ERR_MISSING: it was
 * not given or is settled, or it went meanwhile: for the budget or its age (dead_letters_tend() has
 * counted it), or because it cannot be read any more (it is counted among the damaged).
 */
MUST_CHECK enum err dead_letters_load(struct dead_letters *letters, uint64_t pos, uint32_t index,
                                      struct dead_letter *ret_letter, struct why *why);
/*
 * Delivered: it goes. Else it is a letter again, the youngest, with what was said last. Durable
 * with the next sync; until then a crash lets it be replayed again. ERR_MISSING: as above, and
 * nothing is to be counted. After other errors it is as it was.
 */
MUST_CHECK enum err dead_letters_settle(struct dead_letters *letters, uint64_t pos, uint32_t index,
                                        bool delivered, struct bytes reason, struct bytes answer,
                                        int64_t now_ms, struct why *why);

#endif
