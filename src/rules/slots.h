/*
 * slots.h - which evaluations of a group were made: a set of numbers that mostly follow each other.
 *
 * Threads: the owner's.
 */
#ifndef RULES_SLOTS_H
#define RULES_SLOTS_H

#include "base/mem.h"

struct slot_run {
    int64_t first, last;
};
struct slots {
    struct budget *budget;
    struct slot_run *runs; /* ascending, with a gap between any two */
    uint32_t count, capacity;
};

/* Takes no memory yet. */
void slots_init(struct slots *slots, struct budget *budget);
void slots_fini(struct slots *slots);
/* `first` to `last`, which is not less.   ERR_NOMEM: nothing changed. */
MUST_CHECK enum err slots_add(struct slots *slots, int64_t first, int64_t last);
bool slots_has(const struct slots *slots, int64_t slot);
/* The first one from `from` on that is missing. */
int64_t slots_first_missing(const struct slots *slots, int64_t from);
/* The last one before `slot`. False: there is none. */
bool slots_last_before(const struct slots *slots, int64_t slot, int64_t *ret);
/* The first one from `from` on. False: there is none. */
bool slots_first_from(const struct slots *slots, int64_t from, int64_t *ret);
/* How many are missing from `from` to before `to`. */
uint64_t slots_missing(const struct slots *slots, int64_t from, int64_t to);
void slots_forget_before(struct slots *slots, int64_t slot);

#endif
