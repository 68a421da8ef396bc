/*
 * id_table.h - private to head/: a table of ids (base/table.h) in shards, so that growing one shard
 * is a short pause. Ids are never removed.
 */
#ifndef TSDB_HEAD_ID_TABLE_H
#define TSDB_HEAD_ID_TABLE_H

#include "base/table.h"

enum { ID_TABLE_SHARDS = 64 };

/* Zeroed memory is an empty table. */
struct id_table {
    struct table shards[ID_TABLE_SHARDS];
};

/* The shard of a hash, for table_next(), table_reserve(), table_add(). */
#define id_table_shard(t, hash) (&(t)->shards[(hash) >> 58])

static inline void
id_table_fini(struct id_table *t, struct budget *budget)
{
    for (unsigned s = 0; s < ID_TABLE_SHARDS; s++)
        table_fini(&t->shards[s], budget);
}

static inline uint64_t
id_table_bytes(const struct id_table *t)
{
    uint64_t bytes = 0;
    for (unsigned s = 0; s < ID_TABLE_SHARDS; s++)
        bytes += t->shards[s].capacity * sizeof(struct table_slot);
    return bytes;
}

#endif
