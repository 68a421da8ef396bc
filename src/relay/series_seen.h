/*
 * series_seen.h - which series a call has one of, where it may have one only. Two series whose
 * hashes differ in bit 32 alone are taken for one: then a call is sent earlier than it had to be.
 */
#ifndef RELAY_SERIES_SEEN_H
#define RELAY_SERIES_SEEN_H

#include "base/table.h"

/* Zeroed: none. */
struct series_seen {
    struct table hashes; /* the low half is the table's hash, of the high half 31 bits are the id */
};

static inline bool
series_seen_has(const struct series_seen *seen, uint64_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(&seen->hashes, hash, &at, &id);) {
        if (id == hash >> 33) return true;
    }
    return false;
}

/* Makes room for one more. False: no memory. */
static inline bool
series_seen_reserve(struct series_seen *seen, struct budget *memory)
{
    return table_reserve(&seen->hashes, memory, 1);
}

/* There is room for it, and it is not there. */
static inline void
series_seen_add(struct series_seen *seen, uint64_t hash)
{
    table_add(&seen->hashes, hash, (uint32_t)(hash >> 33));
}

/* Keeps the memory. */
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
