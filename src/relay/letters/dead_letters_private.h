/*
 * dead_letters_private.h - the struct that dead_letters.c and dead_letters_tend.c share.
 */
#ifndef RELAY_LETTERS_DEAD_LETTERS_PRIVATE_H
#define RELAY_LETTERS_DEAD_LETTERS_PRIVATE_H

#include "relay/letters/letter_writer.h"

struct dead_letters {
    struct dead_letters_options options;
    struct letter_writer writer;
    struct letter_index *index; /* index of the letter writer; a view */
    struct buf runs;            /* numbers of letters that were collected */

    struct letter_scan reader;
    uint32_t reader_file; /* number of the file that it reads; 0 if it is closed */
    uint32_t replay_file; /* position at which dead_letters_next_replay() continues */
    uint64_t replay_offset;
    uint32_t checked_file; /* the file that was checked last for replaying letters that are lost */

    struct letters_account account; /* changes found when the letters were opened */
    bool differs;        /* letters are lost or back, and marks do not say so until now */
    uint32_t whole_from; /* letters_mark.whole_from */
    /* Positions up to which states know the files: the next one, the durable one, and its
     * predecessor. */
    struct letter_pos noted, saved, saved_before;
    uint64_t lost[ITEM_KIND_COUNT]; /* letters lost since the last dead_letters_tend() */
    struct letter_damage lost_at;   /* place of the first of these */

    /* dead_letters_tend.c: letters that move now and that the window counts. */
    uint64_t counted[ITEM_KIND_COUNT];
    uint64_t counted_again[ITEM_KIND_COUNT]; /* subset of these: letters that were being replayed */
};

/*
 * Moves the reader to an offset in the durable bytes of a file. Letters to be replayed are durable,
 * because their mark is in a later batch. ERR_MISSING: the file is gone.
 */
MUST_CHECK enum err dead_letters_use_reader(struct dead_letters *dl, struct letter_volume *v,
                                            uint64_t offset, struct why *why);
/* Gives the next letter of that file that is not gone, as a view until the next call. ERR_MISSING:
 * the file has no more. */
MUST_CHECK enum err dead_letters_next(struct dead_letters *dl, const struct letter_volume *v,
                                      const struct letter_entry **ret_entry, struct why *why);
void dead_letters_close_reader(struct dead_letters *dl);
/*
 * Reads a file to its end; live letters that are not in it are lost. Leaves the numbers of those
 * that are there in dl->runs.
 */
MUST_CHECK enum err dead_letters_check_volume(struct dead_letters *dl, struct letter_volume *v,
                                              struct why *why);
/* A letter has moved to another place: updates its slot in index->again, if it has one. */
void dead_letters_note_moved(struct dead_letters *dl, const struct letter_slot *slot);

#endif
