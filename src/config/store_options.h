/*
 * store_options.h - derives a store's options from settings: for the server, and for commands that
 * open a directory themselves.
 */
#ifndef CONFIG_STORE_OPTIONS_H
#define CONFIG_STORE_OPTIONS_H

#include "config/config.h"
#include "tsdb/tsdb.h"

/* Memory budgets of a process. Head, log and requests draw on the foreground; flushes, merges
 * and the cache draw on the process, so that the foreground cannot take their share. */
struct memory {
    struct budget process;
    struct budget foreground;
    uint64_t flush_bytes; /* shares outside the foreground: the most that each of them needs */
    uint64_t merge_bytes;
    uint64_t cache_bytes;
    uint64_t head_bytes; /* head's limit, a part of `foreground` */
};
/* Divides the memory of a process, in bytes (memory.limit). */
void memory_init(struct memory *memory, uint64_t bytes);

/* Returns the options of a store. `memory` outlives the store; wal.ack sets the acknowledgement. */
struct tsdb_options store_options_of(const struct settings *settings, struct env *env,
                                     struct memory *memory);
struct tsdb_limits store_limits_of(const struct settings *settings);

#endif
