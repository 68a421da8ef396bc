/*
 * dead_letters_private.h - the relay's half, as its two files share it.
 */
#ifndef RELAY_LETTERS_DEAD_LETTERS_PRIVATE_H
#define RELAY_LETTERS_DEAD_LETTERS_PRIVATE_H

#include "relay/letters/letter_writer.h"

struct dead_letters {
    struct dead_letters_options options;
    struct letter_writer writer;
    struct letter_index *index; /* the writer's */
    struct buf runs;            /* of letters that were collected */

    struct letter_scan reader;
    uint32_t reader_file; /* 0: closed */
    uint32_t replay_file; /* where dead_letters_next_replay() continues */
    uint64_t replay_offset;
    uint32_t checked_file; /* letters of it that were not met are lost already */

    struct letters_account account;             /* as it was opened */
    bool differs;                               /* and not put right yet */
    uint32_t whole_from;                        /* for the mark, which see */
    struct position noted, saved, saved_before; /* up to where which states know the files */
    uint64_t lost[ITEM_KIND_COUNT];             /* and not told yet */
    struct letter_damage lost_at;

    /* dead_letters_tend.c: */
    uint64_t counted[ITEM_KIND_COUNT];       /* of those that move now, elsewhere; */
    uint64_t counted_again[ITEM_KIND_COUNT]; /* of these, which were being replayed */
};

/*
 * The reader stands at this offset of what is durable in a file; what is to be replayed is, because
 * its mark is of a later batch. ERR_MISSING: the file is gone.
 */
MUST_CHECK enum err dead_letters_use_reader(struct dead_letters *dl, struct letter_volume *v,
                                            uint64_t offset, struct why *why);
/* The next letter of that file that is not gone, a view until the next call. ERR_MISSING: none. */
MUST_CHECK enum err dead_letters_next(struct dead_letters *dl, const struct letter_volume *v,
                                      const struct letter_entry **ret_entry, struct why *why);
void dead_letters_close_reader(struct dead_letters *dl);
/*
 * A file was read to its end, and not all of its letters were met: those are lost. Leaves the runs
 * of those that are there in `runs`.
 */
MUST_CHECK enum err dead_letters_check_volume(struct dead_letters *dl, struct letter_volume *v,
                                              struct why *why);
/* A letter is in another place: so it is for who looks for it because it comes again. */
void dead_letters_note_moved(struct dead_letters *dl, const struct letter_slot *slot);

#endif
