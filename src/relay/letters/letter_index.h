/*
 * letter_index.h - the index of the files of dead letters: the state of each letter, in half a byte
 * per letter of any size, and a few words per file. For the few letters that are looked up by their
 * identity it has their places.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTER_INDEX_H
#define RELAY_LETTERS_LETTER_INDEX_H

#include "base/table.h"
#include "relay/letters/letters_found.h"

enum letter_state {
    LETTER_GONE, /* delivered, dropped, revoked, written again elsewhere, or never read */
    LETTER_KEPT,
    LETTER_REPLAYING,
    LETTER_GIVEN, /* replaying, and given to the relay; stored as LETTER_REPLAYING */
    LETTER_STATE_COUNT,
    /* While files are read: the letter is missing, and no mark has said that it is gone. Counted in
     * unread_count alone. */
    LETTER_UNREAD = LETTER_GIVEN,
};

/* A position in the files. */
struct letter_pos {
    uint32_t file;
    uint64_t offset;
};

/* A file. */
struct letter_volume {
    uint32_t number;
    uint32_t letter_count;     /* number of the next letter */
    uint64_t bytes;            /* durable size */
    uint64_t whole_bytes;      /* end of the last whole entry, when the file was read */
    uint64_t batch_bytes;      /* start of the last batch of entries, when the file was read */
    bool made;                 /* the file exists */
    bool clean;                /* entries may be appended */
    bool damaged;              /* something that was durable is missing */
    bool leaving;              /* its removal has begun */
    bool released;             /* it may be removed once a state knows the position `release` */
    struct letter_pos release; /* end of the marks that replace its own */
    int64_t oldest_ms;         /* Unix time at which the first of its letters failed */
    int64_t youngest_ms;       /* time of the youngest letter */
    uint32_t counts[LETTER_STATE_COUNT][ITEM_KIND_COUNT]; /* letters; those of LETTER_GONE are 0 */
    uint32_t unread_count;                                /* letters that are LETTER_UNREAD */
    uint64_t print;   /* sum of the fingerprints of letters that are not gone */
    uint8_t *nibbles; /* per letter: state, and kind times 4 */
    size_t capacity;  /* bytes of `nibbles` */
};

/* The place of a letter that is looked up by its identity, `pos` and `index`. */
struct letter_slot {
    uint64_t pos;
    uint32_t index;
    uint32_t offset; /* offset of its entry in the file */
    struct letter_place place;
};

/* A table of slots. Zeroed memory is an empty one. */
struct letter_slots {
    struct letter_slot *slots;
    uint32_t count;
    uint32_t capacity;
    struct table ids;
};

struct letter_index {
    struct budget *memory;
    struct letter_volume *volumes; /* ascending numbers */
    uint32_t count;
    uint32_t capacity;
    struct letter_slots again;  /* letters of items that are read again, as the state says */
    struct letter_slots given;  /* letters that were given to the relay */
    struct letters_found found; /* findings of reading the files */
};

void letter_index_init(struct letter_index *index, struct budget *memory);
void letter_index_fini(struct letter_index *index);

/*
 * Reads all files of a directory. `known` is what the destination's state says of them; NULL
 * without a state. ERR_MISSING: the directory does not exist; `found` is valid all the same.
 * ERR_AGAIN: files were removed meanwhile by a running relay. After this and every other error the
 * index can only be freed. ERR_UNSUPPORTED, ERR_IO, ERR_NOMEM; ERR_LIMIT: too many files.
 */
MUST_CHECK enum err letter_index_read(struct letter_index *index, struct env *env, const char *dir,
                                      const struct letters_known *known, struct why *why);

/* Adds a volume whose number is above all others. Ends pointers to volumes. ERR_NOMEM. */
MUST_CHECK enum err letter_index_append(struct letter_index *index, uint32_t number);
void letter_index_remove(struct letter_index *index, uint32_t at);
/* NULL if there is none. A view until one is appended or removed. */
struct letter_volume *letter_index_find(const struct letter_index *index, uint32_t number);
/* The volume with the highest number; NULL if there is none. */
struct letter_volume *letter_index_newest(const struct letter_index *index);

/* LETTER_GONE if the letter does not exist. */
enum letter_state letter_index_state(const struct letter_index *index, struct letter_place place);
/* Changes the state of a letter that is not gone. */
void letter_index_set(struct letter_index *index, struct letter_place place,
                      enum letter_state state);

/* NULL if it is not there. A view until one is added or removed; place and offset may be changed.
 */
struct letter_slot *letter_slots_find(const struct letter_slots *slots, uint64_t pos,
                                      uint32_t index);
/* Appends a slot; of several with one identity the last one is found. ERR_NOMEM. */
MUST_CHECK enum err letter_slots_add(struct letter_slots *slots, struct budget *memory,
                                     const struct letter_slot *slot);
/* Removes a slot if it is there, from a table in which no identity was added twice. Moves the last
 * slot into its place. */
void letter_slots_remove(struct letter_slots *slots, uint64_t pos, uint32_t index);

/* Makes room for the letter of that number. ERR_NOMEM. */
MUST_CHECK enum err letter_volume_reserve(const struct letter_index *index,
                                          struct letter_volume *volume, uint32_t number);
/* Adds a letter as LETTER_KEPT; numbers ascend, and there is room. */
void letter_volume_add(struct letter_volume *volume, uint32_t number, enum item_kind kind,
                       int64_t failed_ms);
/* LETTER_GONE if the letter does not exist. */
enum letter_state letter_volume_state(const struct letter_volume *volume, uint32_t number);
enum item_kind letter_volume_kind(const struct letter_volume *volume, uint32_t number);
/* Changes the state of a letter that is not gone. */
void letter_volume_set(struct letter_volume *volume, uint32_t number, enum letter_state state);
/* Makes all LETTER_UNREAD letters LETTER_GONE. */
void letter_volume_see_missing(struct letter_volume *volume);
/* The number of letters in a state, and of all that are not gone. */
uint64_t letter_volume_count(const struct letter_volume *volume, enum letter_state state);
uint64_t letter_volume_live(const struct letter_volume *volume);

/* Asserts invariants 1 to 3 at the top of letter_index.c: for tests and debug builds. */
void letter_index_validate(const struct letter_index *index);

#endif
