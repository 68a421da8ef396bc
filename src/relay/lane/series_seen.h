/*
 * series_seen.h - the set of series that a call has, where it may have one sample of each only. Two
 * series whose hashes differ in bit 32 alone count as one: then a call is sent earlier than needed.
 */
#ifndef RELAY_LANE_SERIES_SEEN_H
#define RELAY_LANE_SERIES_SEEN_H

#include "base/table.h"

/* Zeroed memory is an empty set. */
struct series_seen {
    struct table hashes; /* the low half is the table's hash, 31 bits of the high half are the id */
};

static inline bool
series_seen_has(const struct series_seen *seen, uint64_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(&seen->hashes, hash, &at, &id);) {
        if (id == hash >> 33) return true;
    }
    return false;
}

/* Makes room for one more. False if memory is refused. */
static inline bool
series_seen_reserve(struct series_seen *seen, struct budget *memory)
{
    return table_reserve(&seen->hashes, memory, 1);
}

/* Adds a series that is not in the set; there is room for it. */
static inline void
series_seen_add(struct series_seen *seen, uint64_t hash)
{
    table_add(&seen->hashes, hash, (uint32_t)(hash >> 33));
}

/* Empties the set and keeps the memory. */
static inline void
series_seen_clear(struct series_seen *seen)
{
    table_clear(&seen->hashes);
}

static inline void
series_seen_fini(struct series_seen *seen, struct budget *memory)
{
    table_fini(&seen->hashes, memory);
}

#endif
