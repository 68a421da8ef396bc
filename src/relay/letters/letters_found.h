/*
 * letters_found.h - the findings of reading all files of dead letters, compared with what the
 * destination's state says they held: damaged places, and letters that are lost or back. Format:
 * docs/format/relay.md.
 *
 * Threads: none of its own.
 */
#ifndef RELAY_LETTERS_LETTERS_FOUND_H
#define RELAY_LETTERS_LETTERS_FOUND_H

#include "relay/letters/letter_file.h"
#include "relay/state/letters_mark.h"

enum letter_damage_kind {
    LETTERS_UNREADABLE, /* bytes from `offset` to `end` */
    LETTERS_CUT,        /* the file ends at `offset` instead of `end`; 0 if unknown */
    LETTERS_MISSING,    /* the file does not exist */
};

struct letter_damage {
    enum letter_damage_kind kind;
    uint32_t file;
    uint64_t offset;
    uint64_t end;
    uint32_t letters; /* letters that may be lost, if known */
};

struct letters_found {
    uint64_t damaged; /* damaged places, of which `first` has the first ones */
    struct letter_damage first[DEAD_LETTERS_TEXTS];
    uint32_t first_count;
    uint64_t missing_files;
    uint64_t missing; /* letters that cannot be read and that no mark says to be gone */

    /* Only if the state has a mark: live letters at its position, their fingerprint, and letters
     * moved by later marks. */
    uint64_t live[ITEM_KIND_COUNT];
    uint64_t print;
    uint64_t moved[ITEM_KIND_COUNT][MARK_LAST + 1];

    /* Letters that are kept or replaying after all marks and that the state's account includes. */
    uint64_t kept[ITEM_KIND_COUNT];
    uint64_t replaying[ITEM_KIND_COUNT];
};

void letters_found_damage(struct letters_found *found, const struct letter_damage *damage);
/* "DIR/0000002a.letters: ..." */
void letter_damage_print(const struct letter_damage *damage, const char *dir,
                         char to[DEAD_LETTERS_TEXT_BYTES]);

/*
 * True if the account of a state includes this letter. It does not if the item is after the cursor,
 * or is given once more: then it is read again, and counted then.
 */
bool letters_count_has(const struct letters_known *known, const struct dead_letter *letter);

/*
 * The changes to the account. For each kind, dead_lettered and replaying of the state, less what
 * marks moved, are kept + replaying + lost - back.
 */
struct letters_account {
    bool differs;                            /* letters are lost or back */
    uint64_t dead_lettered[ITEM_KIND_COUNT]; /* the term from now on */
    uint64_t replaying[ITEM_KIND_COUNT];     /* the term from now on */
    uint64_t delivered[ITEM_KIND_COUNT];     /* moved since the state was written */
    uint64_t dropped[ITEM_KIND_COUNT];       /* moved since the state was written */
    uint64_t dropped_full[ITEM_KIND_COUNT];  /* moved since the state was written */
    uint64_t lost[ITEM_KIND_COUNT];
    uint64_t back[ITEM_KIND_COUNT]; /* letters again after they were gone: taken once more */
    /* Items that count as taken in addition: letters that are back, and those that an older
     * version's state left out: being sent again, or taken from others (letters_found.c). */
    uint64_t taken[ITEM_KIND_COUNT];
};
void letters_compare(const struct letters_known *known, const struct letters_found *found,
                     struct letters_account *ret_account);

#endif
