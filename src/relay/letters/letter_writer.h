/*
 * letter_writer.h - the one who writes files of dead letters: letters and marks, in batches. It
 * keeps the index true of what it writes.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTER_WRITER_H
#define RELAY_LETTERS_LETTER_WRITER_H

#include "relay/letters/letter_index.h"

enum { LETTER_FILE_PATH_BYTES = sizeof(((struct file *)0)->path) };

/* The last batch that was found, which may be of a crash. */
enum letter_tail {
    TAIL_WRITTEN,
    TAIL_WAITS, /* it is in `pending`, to be written again, */
    TAIL_CUT,   /* and what stands after it goes */
};

struct letter_writer {
    struct env *env;
    struct budget *memory;
    const char *dir;                   /* the destination's */
    char path[LETTER_FILE_PATH_BYTES]; /* of the files' directory */
    uint64_t file_bytes_max;
    int64_t max_age_ms;  /* of letters; 0: for ever */
    uint32_t number_min; /* of the files to come */
    struct letter_index index;

    struct file file; /* the youngest; closed until something is written to it */
    struct buf pending;
    enum letter_tail tail;
    bool names_durable; /* the directory was synced since it was opened or that failed */
    struct buf scratch; /* an entry being made */
    struct buf runs;
};

/* `dir` outlives it. ERR_LIMIT: the path is too long. letter_writer_fini() in any case. */
MUST_CHECK enum err letter_writer_init(struct letter_writer *writer, struct env *env,
                                       const char *dir, struct budget *memory, struct why *why);
/* Abandons what was not synced. */
void letter_writer_fini(struct letter_writer *writer);
/* The index was read: goes on after what there is. ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_writer_begin(struct letter_writer *writer, struct why *why);

/* Of a file. ERR_LIMIT. */
MUST_CHECK enum err letter_writer_path(const struct letter_writer *writer, uint32_t number,
                                       char to[LETTER_FILE_PATH_BYTES], struct why *why);

/* All of these are durable with the next sync, and after an error nothing was said. Files may be
 * begun: views of volumes end. */

/* A letter, in the place of another if `replaces` is one. ERR_LIMIT: it is too large. */
MUST_CHECK enum err letter_writer_letter(struct letter_writer *writer,
                                         const struct dead_letter *letter,
                                         struct letter_place replaces, struct letter_slot *ret_slot,
                                         struct why *why);
/* What became of one letter, of `runs` of letters of a file, and of all in the file at this place
 * of the index that are in one of these states (1 << LETTER_...). The index is the caller's. */
MUST_CHECK enum err letter_writer_mark(struct letter_writer *writer, enum letter_mark mark,
                                       struct letter_place place, struct why *why);
MUST_CHECK enum err letter_writer_marks(struct letter_writer *writer, enum letter_mark mark,
                                        uint32_t file, struct bytes runs, struct why *why);
MUST_CHECK enum err letter_writer_mark_states(struct letter_writer *writer, uint32_t at,
                                              unsigned states, enum letter_mark mark,
                                              struct why *why);
/* The youngest file ends, and another one begins, on disk. */
MUST_CHECK enum err letter_writer_end(struct letter_writer *writer, struct why *why);

/* After an error all that was said waits for the next one. */
MUST_CHECK enum err letter_writer_sync(struct letter_writer *writer, struct why *why);
/* Nothing waits for that. */
bool letter_writer_is_synced(const struct letter_writer *writer);
/* Names that were made or removed are durable. */
MUST_CHECK enum err letter_writer_sync_names(struct letter_writer *writer, struct why *why);
/* The end of what is durable. */
struct position letter_writer_end_pos(const struct letter_writer *writer);

#endif
