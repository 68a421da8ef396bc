/*
 * letter_table.h - where letters lie, by their identity: for the few that are asked for by it.
 *
 * Threads: one.
 */
#ifndef RELAY_LETTERS_LETTER_TABLE_H
#define RELAY_LETTERS_LETTER_TABLE_H

#include "relay/letters/letter_file.h"

struct letter_slot {
    uint64_t pos; /* with `index`: the letter's identity */
    uint32_t index;
    uint32_t offset;           /* of its entry in the file */
    struct letter_place place; /* file 0: the slot is empty */
};

struct letter_table {
    struct budget *memory;
    struct letter_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

void letter_table_init(struct letter_table *table, struct budget *memory);
void letter_table_fini(struct letter_table *table);

/* NULL: it is not there. A view until something is put or removed; place and offset may be changed.
 */
struct letter_slot *letter_table_find(const struct letter_table *table, uint64_t pos,
                                      uint32_t index);
/* Puts one, or puts it in the place of what has its identity. ERR_NOMEM. */
MUST_CHECK enum err letter_table_put(struct letter_table *table, const struct letter_slot *slot);
/* If it is there. */
void letter_table_remove(struct letter_table *table, uint64_t pos, uint32_t index);

#endif
