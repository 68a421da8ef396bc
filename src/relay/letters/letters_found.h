/*
 * letters_found.h - what reading all files of dead letters has shown, beside what the destination's
 * state says they held: what is damaged, what is lost, and what has come back. Format:
 * docs/format/relay.md.
 *
 * Threads: none of its own.
 */
#ifndef RELAY_LETTERS_LETTERS_FOUND_H
#define RELAY_LETTERS_LETTERS_FOUND_H

#include "relay/letters/letter_file.h"
#include "relay/letters/letters_mark.h"

enum letter_damage_kind {
    LETTERS_UNREADABLE, /* from `offset` to `end` */
    LETTERS_CUT,        /* the file ends at `offset`; `end` is where it should, 0: not known */
    LETTERS_MISSING,    /* the file is not there */
};

struct letter_damage {
    enum letter_damage_kind kind;
    uint32_t file;
    uint64_t offset;
    uint64_t end;
    uint32_t letters; /* that may have stood there, if that is known */
};

struct letters_found {
    uint64_t damaged; /* places; the first of them: */
    struct letter_damage first[DEAD_LETTERS_TEXTS];
    uint32_t first_count;
    uint64_t missing_files;
    uint64_t missing; /* letters that cannot be read, and no mark says that they are gone */

    /* Only if the state says what the files held: */
    uint64_t live[ITEM_KIND_COUNT]; /* up to where it knows them, and of which letters that is */
    uint64_t print;
    uint64_t moved[ITEM_KIND_COUNT][MARK_LAST + 1]; /* by marks after that */

    /* In the end. Only those that the state's account has, as in `moved`. */
    uint64_t kept[ITEM_KIND_COUNT];
    uint64_t replaying[ITEM_KIND_COUNT];
};

void letters_found_damage(struct letters_found *found, const struct letter_damage *damage);
/* "DIR/0000002a.letters: ..." */
void letter_damage_print(const struct letter_damage *damage, const char *dir,
                         char to[DEAD_LETTERS_TEXT_BYTES]);

/*
 * Whether the account of a state has this letter. It has not if its item lies after the cursor, or
 * is given once more: then it comes by again, and is counted then.
 */
bool letters_count_has(const struct letters_known *known, const struct dead_letter *letter);

/*
 * What becomes of the account. For each kind, dead_lettered and replaying of the state, less what
 * marks moved, are kept + replaying + lost - back.
 */
struct letters_account {
    bool differs;                            /* not all is as it was */
    uint64_t dead_lettered[ITEM_KIND_COUNT]; /* from now on */
    uint64_t replaying[ITEM_KIND_COUNT];
    uint64_t delivered[ITEM_KIND_COUNT]; /* since the state was written, and so on */
    uint64_t dropped[ITEM_KIND_COUNT];
    uint64_t dropped_full[ITEM_KIND_COUNT];
    uint64_t lost[ITEM_KIND_COUNT];
    uint64_t back[ITEM_KIND_COUNT]; /* were gone and are letters again: taken once more */
    /* More than the state counts: those that are back, and those that an older version's state left
     * out: being sent again, or taken from others (letters_found.c). */
    uint64_t taken[ITEM_KIND_COUNT];
};
void letters_compare(const struct letters_known *known, const struct letters_found *found,
                     struct letters_account *ret_account);

#endif
