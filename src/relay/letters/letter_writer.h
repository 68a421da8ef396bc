/*
 * letter_writer.h - writes the files of dead letters: letters and marks, in batches. It updates the
 * index for letters that it writes.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTER_WRITER_H
#define RELAY_LETTERS_LETTER_WRITER_H

#include "relay/letters/letter_index.h"

enum { LETTER_FILE_PATH_BYTES = sizeof(((struct file *)0)->path) };

/* The last batch that was found at the opening, which may be torn. */
enum letter_tail {
    TAIL_WRITTEN,
    TAIL_WAITS, /* it is in `pending`, and is written again */
    TAIL_CUT,   /* the same, and bytes after it are cut off */
};

struct letter_writer {
    struct env *env;
    struct budget *memory;
    const char *dir;                   /* the destination's directory */
    char path[LETTER_FILE_PATH_BYTES]; /* the directory of the files */
    uint64_t file_bytes_max;
    int64_t max_age_ms;  /* maximum age of letters; 0 if unlimited */
    uint32_t number_min; /* lowest number of new files */
    struct letter_index index;

    struct file file;   /* the newest file; closed before something is written to it */
    struct buf pending; /* entries that wait to be written */
    enum letter_tail tail;
    bool names_durable; /* the directory was synced after it was opened, or after a failed sync */
    struct buf scratch; /* the entry that is being made */
    struct buf runs;
};

/* `dir` outlives it. ERR_LIMIT: the path is too long. letter_writer_fini() in any case. */
MUST_CHECK enum err letter_writer_init(struct letter_writer *writer, struct env *env,
                                       const char *dir, struct budget *memory, struct why *why);
/* Abandons what was not synced. */
void letter_writer_fini(struct letter_writer *writer);
/* Prepares to append to the newest file, after the index was read. ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_writer_begin(struct letter_writer *writer, struct why *why);

/* The path of a file. ERR_LIMIT. */
MUST_CHECK enum err letter_writer_path(const struct letter_writer *writer, uint32_t number,
                                       char to[LETTER_FILE_PATH_BYTES], struct why *why);

/* Entries written by these functions are durable with the next sync; after an error nothing was
 * written. They may begin files: views of volumes end. */

/* Writes a letter, which replaces another one if `replaces` has a file. ERR_LIMIT: it is too large.
 */
MUST_CHECK enum err letter_writer_letter(struct letter_writer *writer,
                                         const struct dead_letter *letter,
                                         struct letter_place replaces, struct letter_slot *ret_slot,
                                         struct why *why);
/* Write a mark for one letter, for `runs` of letters of a file, and for all letters of the volume
 * at `at` that are in one of these states (1 << LETTER_...). The caller updates the index. */
MUST_CHECK enum err letter_writer_mark(struct letter_writer *writer, enum letter_mark mark,
                                       struct letter_place place, struct why *why);
MUST_CHECK enum err letter_writer_marks(struct letter_writer *writer, enum letter_mark mark,
                                        uint32_t file, struct bytes runs, struct why *why);
MUST_CHECK enum err letter_writer_mark_states(struct letter_writer *writer, uint32_t at,
                                              unsigned states, enum letter_mark mark,
                                              struct why *why);
/* Ends the newest file and begins another one, durably. */
MUST_CHECK enum err letter_writer_end(struct letter_writer *writer, struct why *why);

/* Makes all entries durable. After an error they wait for the next sync. */
MUST_CHECK enum err letter_writer_sync(struct letter_writer *writer, struct why *why);
/* True if nothing waits for a sync. */
bool letter_writer_is_synced(const struct letter_writer *writer);
/* Makes names of files that were made or removed durable. */
MUST_CHECK enum err letter_writer_sync_names(struct letter_writer *writer, struct why *why);
/* The end of the durable entries. */
struct letter_pos letter_writer_end_pos(const struct letter_writer *writer);

#endif
