/*
 * series_seen.h - which series a call has one of, where it may have one only. Two series of the
 * same hash are taken for one: then a call is sent earlier than it had to be.
 */
#ifndef RELAY_SERIES_SEEN_H
#define RELAY_SERIES_SEEN_H

#include "base/mem.h"

/* Zeroed: none. */
struct series_seen {
    uint64_t *slots; /* 0: free */
    uint32_t capacity;
    uint32_t count;
};

/* Makes room for one more. False: no memory. */
bool series_seen_reserve(struct series_seen *seen, struct budget *memory);
bool series_seen_has(const struct series_seen *seen, uint64_t hash);
/* There is room for it. */
void series_seen_add(struct series_seen *seen, uint64_t hash);
/* Keeps the memory. */
void series_seen_clear(struct series_seen *seen);
void series_seen_fini(struct series_seen *seen, struct budget *memory);

#endif
