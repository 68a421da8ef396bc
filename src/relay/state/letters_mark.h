/*
 * letters_mark.h - the part of a destination's state about its dead letters: up to which position
 * their files were durable when it was written, and what they held. Missing or unreadable bytes
 * before that position are damage; after it they may be the effect of a crash. Format:
 * docs/format/relay.md.
 *
 * Threads: none of its own.
 */
#ifndef RELAY_STATE_LETTERS_MARK_H
#define RELAY_STATE_LETTERS_MARK_H

#include "backend/item.h"
#include "base/fields.h"

enum { LETTERS_MARK_RUNS_MAX = 16 };

struct letters_mark {
    bool known;            /* false if an older version wrote the state, which has no mark */
    uint32_t file;         /* the file being written, which has the highest number */
    uint64_t offset;       /* all of the file before it is durable; 0 if the file does not exist */
    uint32_t letter_count; /* number of the file's next letter */
    uint32_t whole_from;   /* files from this number on have an end entry if another one follows */
    uint64_t live[ITEM_KIND_COUNT];      /* letters in files, kept or replaying */
    uint64_t replaying[ITEM_KIND_COUNT]; /* replaying letters of items before the cursor */
    uint64_t print;                      /* fingerprint of the live letters: see the format */
    /* Files that have live letters; files beyond the last run are not listed. */
    uint32_t run_count;
    struct {
        uint32_t first;
        uint32_t count;
    } runs[LETTERS_MARK_RUNS_MAX];
};

/* The parts of a state that are needed to judge the files; made by relay_state_letters(). */
struct letters_known {
    struct letters_mark mark;
    /* Kept letters of items before the cursor. An older version's count may be below 0. */
    uint64_t dead_lettered[ITEM_KIND_COUNT];
    /* These decide which items are read again, see letters_count_has(); as in struct relay_state.
     */
    uint64_t cursor_pos;
    uint32_t cursor_index;
    uint64_t begin_pos;
    int64_t begin_ms;
    uint64_t fill_to_pos;
    uint64_t again_pos;
    uint32_t again_index;
};

/* Writes or reads a mark with its size, so that a newer version may append fields. When reading,
 * `known` is false if nothing is left to read. */
void letters_mark_fields(const struct fields *fields, struct letters_mark *mark);

/* Adds a file that has live letters; numbers ascend. */
void letters_mark_add(struct letters_mark *mark, uint32_t file);

#endif
