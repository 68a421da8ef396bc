/*
 * letters_mark.h - what a destination's state says of its dead letters: up to where their files
 * were durable when it was written, and what they held. So what is missing or unreadable before
 * that place is damage, and what is so after it may be what a crash left. Format:
 * docs/format/relay.md.
 *
 * Threads: none of its own.
 */
#ifndef RELAY_LETTERS_LETTERS_MARK_H
#define RELAY_LETTERS_LETTERS_MARK_H

#include "backend/item.h"
#include "base/fields.h"

enum { LETTERS_MARK_RUNS_MAX = 16 };

struct letters_mark {
    bool known;            /* false: an older version wrote the state, and nothing is said */
    uint32_t file;         /* the one written to: no other has a higher number */
    uint64_t offset;       /* in it: all before it is durable; 0: the file is not there */
    uint32_t letter_count; /* the number that its next letter has */
    uint32_t whole_from;   /* files from this number on end as they should if another one follows */
    uint64_t live[ITEM_KIND_COUNT];      /* letters in files: kept and replaying */
    uint64_t replaying[ITEM_KIND_COUNT]; /* of items before the cursor: they are queued again */
    uint64_t print;                      /* of which letters these are: see the format */
    /* Which files hold any of them; beyond so many runs it is not said. */
    uint32_t run_count;
    struct {
        uint32_t first;
        uint32_t count;
    } runs[LETTERS_MARK_RUNS_MAX];
};

/* All that has to be known of a state to judge the files; relay_state_letters() takes it out. */
struct letters_known {
    struct letters_mark mark;
    /* Kept letters of items before the cursor. An older version's count may be below 0. */
    uint64_t dead_lettered[ITEM_KIND_COUNT];
    /* Which items come by again, see letters_count_has(): the cursor, */
    uint64_t cursor_pos;
    uint32_t cursor_index;
    uint64_t begin_pos; /* and as in struct relay_state */
    int64_t begin_ms;
    uint64_t fill_to_pos;
};

/* Counted, so that a newer version may put more after it. Read: `known` is false if nothing is
 * left to read. */
void letters_mark_fields(const struct fields *fields, struct letters_mark *mark);

/* Adds a file that does; numbers ascend. */
void letters_mark_add(struct letters_mark *mark, uint32_t file);

#endif
