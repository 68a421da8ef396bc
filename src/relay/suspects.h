/*
 * suspects.h - series and metrics that were refused lately: where to look first when a call is
 * refused, and what is better sent in a request of its own. Nothing is settled by that. A table of
 * fixed size: what was put in may be gone.
 *
 * Threads: one.
 */
#ifndef RELAY_SUSPECTS_H
#define RELAY_SUSPECTS_H

#include "base/mem.h"

/* Zeroed: none. Keys are hashes. */
struct suspects {
    uint64_t *slots; /* 0: free */
    uint32_t count;
    uint32_t next;         /* which one of a full set goes */
    uint64_t forgot_count; /* how often one was taken out, or went */
};

bool suspects_has(const struct suspects *suspects, uint64_t key);
/* Without memory nothing is remembered. */
void suspects_add(struct suspects *suspects, struct budget *memory, uint64_t key);
void suspects_forget(struct suspects *suspects, uint64_t key);
void suspects_fini(struct suspects *suspects, struct budget *memory);

#endif
