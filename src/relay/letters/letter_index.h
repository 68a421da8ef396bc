/*
 * letter_index.h - what the files of dead letters hold: which letters there are and what was
 * decided about each, half a byte a letter, however large it is, and a few words a file. Of those
 * few that are asked for by their identity, where they lie.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTER_INDEX_H
#define RELAY_LETTERS_LETTER_INDEX_H

#include "base/table.h"
#include "relay/letters/letters_found.h"

enum letter_state {
    LETTER_GONE, /* delivered, dropped, revoked, said again elsewhere, or never read */
    LETTER_KEPT,
    LETTER_REPLAYING,
    LETTER_GIVEN, /* replaying, and in the hands of the relay; not known on disk */
    LETTER_STATE_COUNT,
    /* While files are read: its number is missing, and no mark has said that it is gone. */
    LETTER_UNREAD = LETTER_GIVEN,
};

/* In the files. */
struct position {
    uint32_t file;
    uint64_t offset;
};

/* A file. */
struct letter_volume {
    uint32_t number;
    uint32_t letter_count;   /* the number of the letter to come */
    uint64_t bytes;          /* on disk */
    uint64_t whole_bytes;    /* when it was read: up to where there are whole entries, */
    uint64_t batch_bytes;    /* and where the last batch of them begins */
    bool made;               /* it is there */
    bool clean;              /* it may be continued at its end */
    bool damaged;            /* something in it was durable and is not there */
    bool leaving;            /* its removal was begun */
    bool released;           /* it holds nothing that anybody needs, once the state knows that: */
    struct position release; /* that is when it knows this place */
    int64_t oldest_ms;       /* of its letters, when they failed */
    int64_t youngest_ms;
    uint32_t counts[LETTER_STATE_COUNT][ITEM_KIND_COUNT]; /* of LETTER_GONE not kept */
    uint32_t unread_count;                                /* letters that are LETTER_UNREAD */
    uint64_t print;                                       /* of those that are not gone */
    uint8_t *nibbles;                                     /* state, and kind times 4 */
    size_t capacity;                                      /* bytes */
};

/* A letter that is asked for by its identity: `pos` and `index`. */
struct letter_slot {
    uint64_t pos;
    uint32_t index;
    uint32_t offset; /* of its entry in the file */
    struct letter_place place;
};

/* Some of them. Zeroed memory is none. */
struct letter_slots {
    struct letter_slot *slots;
    uint32_t count;
    uint32_t capacity;
    struct table ids;
};

struct letter_index {
    struct budget *memory;
    struct letter_volume *volumes; /* by their numbers */
    uint32_t count;
    uint32_t capacity;
    struct letter_slots again; /* of items that come by again, as the state said when it was read */
    struct letter_slots given; /* in the hands of the relay */
    struct letters_found found; /* when it was read */
};

void letter_index_init(struct letter_index *index, struct budget *memory);
void letter_index_fini(struct letter_index *index);

/*
 * Reads all files of a directory, beside what the destination's state says of them; NULL: there is
 * none. ERR_MISSING: no such directory, which is told in `found`, too.
 * ERR_AGAIN: files went meanwhile, a relay is at work; then the index is to be thrown away, as
 * after every other error. ERR_UNSUPPORTED, ERR_IO, ERR_NOMEM; ERR_LIMIT: of names.
 */
MUST_CHECK enum err letter_index_read(struct letter_index *index, struct env *env, const char *dir,
                                      const struct letters_known *known, struct why *why);

/* One with a number above all others. Moves the others: they are to be found again. ERR_NOMEM. */
MUST_CHECK enum err letter_index_append(struct letter_index *index, uint32_t number);
void letter_index_remove(struct letter_index *index, uint32_t at);
/* NULL: there is none. A view until one is appended or removed. */
struct letter_volume *letter_index_find(const struct letter_index *index, uint32_t number);
/* The one with the highest number; NULL: there is none. */
struct letter_volume *letter_index_newest(const struct letter_index *index);

/* LETTER_GONE where there is no such letter. */
enum letter_state letter_index_state(const struct letter_index *index, struct letter_place place);
/* Of one that is not gone. */
void letter_index_set(struct letter_index *index, struct letter_place place,
                      enum letter_state state);

/* NULL: it is not there. A view until one is added or removed; place and offset may be changed. */
struct letter_slot *letter_slots_find(const struct letter_slots *slots, uint64_t pos,
                                      uint32_t index);
/* Behind the others; of one identity the last one is found. ERR_NOMEM. */
MUST_CHECK enum err letter_slots_add(struct letter_slots *slots, struct budget *memory,
                                     const struct letter_slot *slot);
/* If it is there; of these no identity was added twice. The last one takes its place. */
void letter_slots_remove(struct letter_slots *slots, uint64_t pos, uint32_t index);

/* Room for a letter of that number. ERR_NOMEM. */
MUST_CHECK enum err letter_volume_reserve(const struct letter_index *index,
                                          struct letter_volume *volume, uint32_t number);
/* A letter that is kept; numbers ascend, and there is room. */
void letter_volume_add(struct letter_volume *volume, uint32_t number, enum item_kind kind,
                       int64_t failed_ms);
/* LETTER_GONE where there is no such letter. */
enum letter_state letter_volume_state(const struct letter_volume *volume, uint32_t number);
enum item_kind letter_volume_kind(const struct letter_volume *volume, uint32_t number);
/* Of one that is not gone. */
void letter_volume_set(struct letter_volume *volume, uint32_t number, enum letter_state state);
/* Those that cannot be read are gone. */
void letter_volume_see_missing(struct letter_volume *volume);
/* Letters in a state, of all kinds; and all that are not gone. */
uint64_t letter_volume_count(const struct letter_volume *volume, enum letter_state state);
uint64_t letter_volume_live(const struct letter_volume *volume);

#endif
