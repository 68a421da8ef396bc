/*
 * letters_rig.h - a destination's directory with dead letters whose content follows from their
 * number, as a relay leaves it. For tests of what reads them.
 */
#ifndef LIB_RELAY_LETTERS_RIG_H
#define LIB_RELAY_LETTERS_RIG_H

#include "lib/test.h"

#include "relay/letters/letters.h"

enum { REASONS = 3 };
extern const char *const letter_reasons[REASONS];

uint64_t made_letter_pos(uint32_t id);
uint32_t made_letter_index(uint32_t id);
int64_t made_letter_failed_ms(uint32_t id);

/* The memory of a letter. */
struct letter_memory {
    uint8_t label_bytes[128], exemplar_label_bytes[64];
    char answer[64], tenant[16];
    struct histogram histogram;
    struct hist_span span;
    int64_t deltas[3];
};

/* Makes the letter of a number, as views of `m`. */
struct dead_letter made_letter(uint32_t id, uint32_t reason, struct letter_memory *m);

/* Adds a file with letters first..first+count-1, each with the reason of its number, to the
 * directory of a destination, which is made if it is missing, and says so in its state. */
void letters_rig_add(struct env *env, const char *dir, uint32_t first, uint32_t count);

#endif
