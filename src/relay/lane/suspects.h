/*
 * suspects.h - series and metrics that were refused lately. They are looked at first when a call is
 * refused, and are sent in a request of their own; nothing is settled because of them. The table
 * has a fixed size: a key may be evicted by others.
 *
 * Threads: one.
 */
#ifndef RELAY_LANE_SUSPECTS_H
#define RELAY_LANE_SUSPECTS_H

#include "base/mem.h"

/* Zeroed memory is an empty table. Keys are hashes. */
struct suspects {
    uint64_t *slots; /* 0 if free */
    uint32_t count;
    uint32_t next;         /* selects the slot of a full set that is evicted next */
    uint64_t forgot_count; /* keys removed or evicted so far */
};

bool suspects_has(const struct suspects *suspects, uint64_t key);
/* Does nothing if memory is refused. */
void suspects_add(struct suspects *suspects, struct budget *memory, uint64_t key);
void suspects_forget(struct suspects *suspects, uint64_t key);
void suspects_fini(struct suspects *suspects, struct budget *memory);

#endif
